"""The seal, against stock `openssl` in both directions and against forgeries named by their defect."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from kit.seal import (
    CMS_VERIFY,
    CONTENT,
    DAY,
    HOUR,
    NOW,
    ONLY,
    SECOND,
    Office,
    key_usage,
    new_key,
    new_office,
    openssl,
    openssl_signs,
    openssl_verifies,
    pem_key,
    revocation_list,
    write,
)

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.seal import cms
from blocklist.seal.ca import issue_certificate, new_revocation_list


@pytest.fixture(scope="module")
def office() -> Office:
    return new_office()


@pytest.fixture(scope="module")
def stranger() -> Office:
    return new_office()  # the same names, other keys


# Forging: certificates and seals that the module itself would not make.


def forged_certificate(
    office: Office,
    public_key,
    *,
    issuer_key=None,
    issuer: x509.Name | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] | None = None,
    algorithm=None,
) -> bytes:
    """Issue under the office's authority (unless told otherwise) a certificate with any extensions."""
    parent = x509.load_pem_x509_certificate(office.authority)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer or parent.subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + 30 * DAY)
    )
    for extension, critical in ((key_usage("digital_signature"), True),) if extensions is None else extensions:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(issuer_key or office.authority_key, algorithm or hashes.SHA384())
    return signed.public_bytes(serialization.Encoding.PEM)


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def forged_seal(office: Office, change: Callable[[list[bytes]], list[bytes]], content: bytes = CONTENT) -> bytes:
    """Seal with a list of signed attributes that was tampered with before it was signed."""
    certificate = der(office.certificate)
    honest = cms._signed_attributes(content, certificate, "sha384", NOW)
    attributes = b"".join(change(split(honest)))
    signature = office.key.sign(cms._der_set(attributes), ec.ECDSA(hashes.SHA384()))
    return cms._signed_data(certificate, "sha384", attributes, signature)


def split(attributes: bytes) -> list[bytes]:
    return [item.dump() for item in asn1_cms.CMSAttributes.load(cms._der_set(attributes))]


def attribute(name: str, *values: bytes) -> bytes:
    return cms._sequence(cms._oid(cms._ATTRIBUTES[name]), cms._der_set(b"".join(values)))


def without(name: str) -> Callable[[list[bytes]], list[bytes]]:
    return lambda items: [item for item in items if cms._oid(cms._ATTRIBUTES[name]) not in item]


def instead(name: str, *values: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda items: sorted([*without(name)(items), attribute(name, *values)])


def edited(sealed: bytes, edit: Callable[[asn1_cms.SignedData], None]) -> bytes:
    """Edit the unsigned parts of a seal and encode it again in full."""
    message = asn1_cms.ContentInfo.load(sealed)
    edit(message["content"])
    return message.dump(force=True)


@pytest.fixture(scope="module")
def today() -> Office:
    """An office of the real day: `openssl cms -sign` cannot be told a signing time."""
    return new_office(datetime.now(UTC) - DAY)


@pytest.fixture
def workshop(tmp_path: Path, today: Office) -> Path:
    """A folder in which `openssl_signs` finds what it needs."""
    write(tmp_path, today)
    tmp_path.joinpath("seal.key").write_bytes(pem_key(today.key))
    tmp_path.joinpath("seal-1.pem").write_bytes(today.certificate)
    return tmp_path


# Stock openssl accepts what we make.


def test_openssl_accepts_our_seal(tmp_path, office):
    write(tmp_path, office)
    assert openssl_verifies(tmp_path)


def test_openssl_accepts_our_seal_on_p256(tmp_path, office):
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_certificate(office.authority, office.authority_key, key.public_key(), "p256", NOW)
    sealed = cms.seal(CONTENT, key, certificate, NOW)
    write(tmp_path, office, sealed=sealed)
    assert openssl_verifies(tmp_path)
    assert office.verify(sealed).public_bytes(serialization.Encoding.PEM) == certificate


def test_openssl_accepts_our_seal_with_the_revocation_list(tmp_path, office):
    write(tmp_path, office)
    tmp_path.joinpath("both.pem").write_bytes(office.authority + office.crl)
    assert openssl_verifies(tmp_path, "-crl_check", authority="both.pem")
    assert not openssl_verifies(tmp_path, "-crl_check"), "a missing list must not pass"


def test_a_verifier_whose_clock_is_an_hour_slow_accepts_what_was_made_now(tmp_path, office):
    write(tmp_path, office)
    tmp_path.joinpath("both.pem").write_bytes(office.authority + office.crl)
    assert openssl_verifies(tmp_path, "-crl_check", at=NOW - HOUR, authority="both.pem")
    assert not openssl_verifies(tmp_path, "-crl_check", at=NOW - HOUR - SECOND, authority="both.pem")
    office.verify(office.sealed, at=NOW - HOUR, crl_pem=office.crl)


def test_openssl_refuses_a_revoked_certificate(tmp_path, office):
    write(tmp_path, office)
    crl = new_revocation_list(office.authority, office.authority_key, {office.serial: NOW}, 2, NOW, 30)
    tmp_path.joinpath("both.pem").write_bytes(office.authority + crl)
    assert not openssl_verifies(tmp_path, "-crl_check", authority="both.pem")


def test_openssl_refuses_other_content(tmp_path, office):
    write(tmp_path, office, content=CONTENT.replace(b"0", b"1", 1))
    assert not openssl_verifies(tmp_path)


def test_openssl_with_the_documented_options_trusts_no_other_authority(tmp_path, office):
    """The system's folder of authorities must not count, whoever is in it."""
    write(tmp_path, office)
    tmp_path.joinpath("other.pem").write_bytes(new_office(name="another authority").authority)
    system = tmp_path / "certs"
    system.mkdir()
    digest = openssl(tmp_path, "x509", "-in", "seal.pem", "-noout", "-subject_hash").stdout.decode().strip()
    system.joinpath(f"{digest}.0").write_bytes(office.authority)
    system_env = os.environ | {"SSL_CERT_DIR": str(system)}
    command = [*CMS_VERIFY, "-CAfile", "other.pem", "-attime", str(int(NOW.timestamp()))]
    assert openssl(tmp_path, *command, env=system_env).returncode == 0, "then the two options are no longer needed"
    assert openssl(tmp_path, *command, *ONLY, env=system_env).returncode != 0


@pytest.mark.parametrize(
    ("at", "in_force"),
    [
        (-HOUR - SECOND, False),
        (-HOUR, True),
        (timedelta(0), True),
        (365 * DAY - SECOND, True),
        (365 * DAY, False),
        (365 * DAY + SECOND, False),
    ],
    ids=["a second early", "an hour slow", "made", "last second", "the end", "a second late"],
)
def test_both_agree_when_a_certificate_is_in_force(tmp_path, office, at, in_force):
    write(tmp_path, office)
    assert openssl_verifies(tmp_path, at=NOW + at) == in_force
    if in_force:
        office.verify(office.sealed, at=NOW + at)
    else:
        with pytest.raises(VerificationError, match=r"certificate (is not valid before|has expired)"):
            office.verify(office.sealed, at=NOW + at)


# We accept what stock openssl makes.


@pytest.mark.parametrize("digest", ["sha256", "sha384"])
def test_a_seal_made_by_openssl_is_accepted(workshop, today, digest):
    made = openssl_signs(workshop, "-cades", "-md", digest)
    now = datetime.now(UTC)
    assert today.verify(made, at=now).serial_number == today.serial
    assert today.verify(made, at=now, crl_pem=today.crl).serial_number == today.serial


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-md sha384", "lacks the signed attribute signing-certificate-v2"),
        ("-cades -md sha512", "digest algorithm is neither"),
        ("-cades -md sha1", "digest algorithm is neither"),
        ("-cades -md sha384 -nodetach", "content of its own"),
        ("-cades -md sha384 -keyid", "one form"),
        ("-cades -md sha384 -nocerts", "0 certificates"),
        ("-cades -md sha384 -certfile seal.pem", "2 certificates"),
        ("-cades -md sha384 -econtent_type 1.2.3.4", "something else than plain data"),
        ("-md sha384 -noattr", "one form"),
        ("-cades -md sha384 -signer second.pem -inkey second.key", "2 signers"),
        ("-cades -md sha384 -outform PEM", "not a CMS signature in DER"),
        ("-cades -md sha384 -nodetach -stream", "content of its own"),
    ],
)
def test_other_forms_made_by_openssl_are_refused(workshop, today, options, message):
    second = new_key()
    certificate = issue_certificate(
        today.authority, today.authority_key, second.public_key(), "second", datetime.now(UTC)
    )
    workshop.joinpath("second.pem").write_bytes(certificate)
    workshop.joinpath("second.key").write_bytes(pem_key(second))
    made = openssl_signs(workshop, *options.split())
    with pytest.raises(VerificationError, match=message):
        today.verify(made, at=datetime.now(UTC))


def test_an_rsa_signer_is_refused(workshop, today):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    workshop.joinpath("rsa.key").write_bytes(pem_key(key))
    workshop.joinpath("rsa.pem").write_bytes(forged_certificate(today, key.public_key()))
    made = openssl_signs(workshop, "-cades", "-md", "sha384", key="rsa.key", certificate="rsa.pem")
    with pytest.raises(VerificationError, match="signature algorithm is not ECDSA with SHA384"):
        today.verify(made, at=datetime.now(UTC))


# What verify promises, on our own seals.


def test_the_signers_certificate_comes_back(office):
    certificate = office.verify(office.sealed, crl_pem=office.crl)
    assert certificate.public_bytes(serialization.Encoding.PEM) == office.certificate


def test_the_signing_time_is_in_the_seal(office):
    later = NOW + timedelta(days=3, microseconds=5)
    message = asn1_cms.ContentInfo.load(cms.seal(CONTENT, office.key, office.certificate, later))
    attributes = {item["type"].native: item["values"].native for item in message["content"]["signer_infos"][0][3]}
    assert attributes["signing_time"] == [NOW + timedelta(days=3)]


def test_signed_attributes_are_fixed_bytes():
    """What is signed for a given input never changes: content-type, signing-time, digest, certificate, in DER order."""
    assert cms._signed_attributes(b"content\n", b"certificate", "sha384", NOW).hex() == (
        "301806092a864886f70d010903310b06092a864886f70d010701"
        "301c06092a864886f70d010905310f170d3236313132323132303030305a"
        "303f06092a864886f70d01090431320430"
        "47bea177be21a9e5457ad4d4eef18b8a59a5c462ed3f2afe373a9c6fdc1c4dd88eb34578eb78e87faf0550dbd4d9d94e"
        "3054060b2a864886f70d010910022f314530433041303f300b06096086480165030402020430"
        "e6c15e58c149c828fb5f13609c3f8d4d4fee3bc69e6ff93bfaabc8bbf2f64560641e6d4818e5c76349512951201af82a"
    )


def test_a_signing_time_from_2050_on_is_a_generalized_time():
    assert cms._time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC))[:1] == b"\x17"
    assert cms._time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"


def test_no_flipped_bit_is_accepted(office):
    """Not one byte of a seal is free: each is signed, hashed or compared."""
    for position in range(len(office.sealed)):
        for mask in (1 << position % 8, 0xFF):
            flipped = bytearray(office.sealed)
            flipped[position] ^= mask
            with pytest.raises(VerificationError):
                office.verify(bytes(flipped))


def test_no_truncation_is_accepted(office):
    for length in range(len(office.sealed)):
        with pytest.raises(VerificationError):
            office.verify(office.sealed[:length])


@pytest.mark.parametrize(
    ("sealed", "message"),
    [
        (b"", "not a CMS signature in DER"),
        (bytes(100_000), "more than 65536"),
        (bytes(60_000), "not a CMS signature in DER"),
        (b"\x30\x80" * 32_000, "not a CMS signature in DER"),
        (b"\xa0\x80" * 32_000, "not a CMS signature in DER"),
        (b"\x06\x83\x00\xf0\x00" + b"\xff" * 61_439 + b"\x01", "not a CMS signature in DER"),
        (asn1_cms.ContentInfo({"content_type": "data", "content": core.OctetString(b"x")}).dump(), "not a signature"),
    ],
    ids=[
        "empty",
        "zeros, large",
        "zeros",
        "endless sequences",
        "endless tags",
        "endless number",
        "another CMS message",
    ],
)
def test_garbage_is_refused_with_a_sentence(office, sealed, message):
    with pytest.raises(VerificationError, match=message):
        office.verify(sealed)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_with_a_sentence(office, sealed):
    with pytest.raises(VerificationError):
        office.verify(sealed)


@given(st.data())
def test_a_spliced_seal_is_refused_with_a_sentence(office, data):
    start = data.draw(st.integers(0, len(office.sealed)))
    end = data.draw(st.integers(start, len(office.sealed)))
    spliced = office.sealed[:start] + data.draw(st.binary(max_size=40)) + office.sealed[end:]
    if spliced != office.sealed:
        with pytest.raises(VerificationError):
            office.verify(spliced)


def test_trailing_bytes_are_refused(office):
    for trail in (b"\0", b"\n", office.sealed):
        with pytest.raises(VerificationError):
            office.verify(office.sealed + trail)


def test_other_content_is_refused(office):
    with pytest.raises(VerificationError, match="the content is not what was sealed"):
        office.verify(office.sealed, content=CONTENT + b"\n")


def test_another_authority_is_refused_even_under_the_same_name(office, stranger):
    with pytest.raises(VerificationError, match="not issued by the seal authority"):
        office.verify(stranger.sealed)


# Signed attributes.


@pytest.mark.parametrize("name", ["content-type", "message-digest", "signing-time", "signing-certificate-v2"])
def test_a_missing_signed_attribute_is_refused(office, name):
    with pytest.raises(VerificationError, match=f"lacks the signed attribute {name}"):
        office.verify(forged_seal(office, without(name)))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("content-type", (cms._oid("1.2.3"),), "content-type is not plain data"),
        ("content-type", (cms._oid(cms._DATA), cms._oid(cms._DATA)), "content-type is not plain data"),
        ("message-digest", (cms._octets(b""),), "the content is not what was sealed"),
        ("message-digest", (), "the content is not what was sealed"),
        ("signing-certificate-v2", (cms._sequence(),), "names another certificate"),
        ("signing-certificate-v2", (cms._certificate_reference(b"", "sha384"),), "names another certificate"),
        ("signing-time", (b"\x17\x0b2611221200Z",), "signing-time"),
        ("signing-time", (b"\x17\x0d991322120000Z",), "signing-time cannot be read"),
        ("signing-time", (b"\x18\x0f20261122120000Z",), "signing-time is not in DER"),
        ("signing-time", (cms._time(NOW), cms._time(NOW)), "signing-time cannot be read"),
        ("signing-time", (), "signing-time cannot be read"),
        (
            "signing-time",
            (cms._time(NOW - HOUR - SECOND),),
            "at the signing time, the seal's certificate is not valid",
        ),
        ("signing-time", (cms._time(NOW + 365 * DAY),), "at the signing time, the seal's certificate has expired"),
    ],
)
def test_a_wrong_signed_attribute_is_refused(office, name, values, message):
    with pytest.raises(VerificationError, match=message):
        office.verify(forged_seal(office, instead(name, *values)))


def test_a_signed_attribute_given_twice_is_refused(office):
    sealed = forged_seal(office, lambda items: sorted([*items, attribute("signing-time", cms._time(NOW + DAY))]))
    with pytest.raises(VerificationError, match="twice"):
        office.verify(sealed)


def test_signed_attributes_out_of_order_are_refused(office):
    with pytest.raises(VerificationError, match="one form"):
        office.verify(forged_seal(office, lambda items: items[::-1]))


def test_attributes_signed_by_another_key_are_refused(office, stranger):
    certificate = der(office.certificate)
    attributes = cms._signed_attributes(CONTENT, certificate, "sha384", NOW)
    signature = stranger.key.sign(cms._der_set(attributes), ec.ECDSA(hashes.SHA384()))
    with pytest.raises(VerificationError, match="signature value in the seal is wrong"):
        office.verify(cms._signed_data(certificate, "sha384", attributes, signature))


def test_a_signature_under_the_tag_of_the_file_is_refused(office):
    """RFC 5652 clause 5.4: the SET OF tag is signed, not [0]."""
    certificate = der(office.certificate)
    attributes = cms._signed_attributes(CONTENT, certificate, "sha384", NOW)
    signature = office.key.sign(cms._explicit(0, attributes), ec.ECDSA(hashes.SHA384()))
    with pytest.raises(VerificationError, match="signature value in the seal is wrong"):
        office.verify(cms._signed_data(certificate, "sha384", attributes, signature))


# Parts that nobody signed.


def test_unsigned_attributes_are_refused(office):
    def add(signed):
        signed["signer_infos"][0]["unsigned_attrs"] = [{"type": "signing_time", "values": [core.UTCTime(NOW)]}]

    with pytest.raises(VerificationError):
        office.verify(edited(office.sealed, add))


def test_null_parameters_are_refused(office):
    """asn1crypto writes them, RFC 5754 does not want them: one form only."""

    def add(signed):
        signed["digest_algorithms"] = [{"algorithm": "sha384"}]

    with pytest.raises(VerificationError, match="one form"):
        office.verify(edited(office.sealed, add))


def test_another_version_is_refused(office):
    def change(signed):
        signed["version"] = "v3"

    with pytest.raises(VerificationError, match="one form"):
        office.verify(edited(office.sealed, change))


def test_a_swapped_certificate_is_refused(office):
    """A second certificate for the same key would let the same signature say something else."""
    other = issue_certificate(office.authority, office.authority_key, office.key.public_key(), "other", NOW)
    parts = cms._read(office.sealed)
    swapped = cms._signed_data(der(other), parts.hash_name, parts.attributes, parts.signature)
    with pytest.raises(VerificationError, match="names another certificate"):
        office.verify(swapped)


def test_an_enclosed_revocation_list_is_refused(office):
    crl = x509.load_pem_x509_crl(office.crl).public_bytes(serialization.Encoding.DER)
    certificate = cms._explicit(0, der(office.certificate))
    signed = asn1_cms.ContentInfo.load(office.sealed)["content"].contents
    signed = signed.replace(certificate, certificate + cms._explicit(1, crl))
    with pytest.raises(VerificationError, match="one form"):
        office.verify(cms._sequence(cms._oid(cms._SIGNED_DATA), cms._explicit(0, cms._sequence(signed))))


# Certificates.


def sealed_with(office: Office, **certificate) -> bytes:
    key = new_key()
    return cms.seal(CONTENT, key, forged_certificate(office, key.public_key(), **certificate), NOW)


def test_a_plain_forged_certificate_would_pass(office):
    """So that the refusals below are about what they change."""
    office.verify(sealed_with(office))


SIGN = (key_usage("digital_signature"), True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extensions": ()}, "not for signing"),
        ({"extensions": ((key_usage("key_cert_sign"), True),)}, "not for signing"),
        ({"extensions": (SIGN, (x509.BasicConstraints(ca=True, path_length=None), True))}, "certificate authority"),
        ({"extensions": (SIGN, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False))}, "another use"),
        ({"extensions": (SIGN, (x509.InhibitAnyPolicy(0), True))}, "critical extension"),
        ({"algorithm": hashes.SHA512()}, "neither SHA-256 nor SHA-384"),
    ],
    ids=["no key usage", "key usage", "authority", "client authentication", "critical extension", "hash"],
)
def test_a_certificate_for_something_else_is_refused(office, change, message):
    with pytest.raises(VerificationError, match=message):
        office.verify(sealed_with(office, **change))


def test_an_extended_key_usage_is_judged_as_openssl_does(tmp_path, office):
    for purpose, accepted in [(ExtendedKeyUsageOID.EMAIL_PROTECTION, True), (ExtendedKeyUsageOID.CODE_SIGNING, False)]:
        sealed = sealed_with(office, extensions=(SIGN, (x509.ExtendedKeyUsage([purpose]), False)))
        write(tmp_path, office, sealed=sealed)
        assert openssl_verifies(tmp_path) == accepted
        if accepted:
            office.verify(sealed)
        else:
            with pytest.raises(VerificationError, match="another use"):
                office.verify(sealed)


def test_a_certificate_issued_by_a_seal_certificate_is_refused(office):
    parent = x509.load_pem_x509_certificate(office.certificate)
    sealed = sealed_with(office, issuer=parent.subject, issuer_key=office.key)
    with pytest.raises(VerificationError, match="not issued by the seal authority"):
        office.verify(sealed)
    with pytest.raises(VerificationError, match="self-signed"):
        office.verify(sealed, authority_pem=office.certificate)


def test_a_self_signed_certificate_is_refused(office):
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")])
    certificate = forged_certificate(office, key.public_key(), issuer=name, issuer_key=key)
    sealed = cms.seal(CONTENT, key, certificate, NOW)
    with pytest.raises(VerificationError, match="not issued by the seal authority"):
        office.verify(sealed)
    with pytest.raises(VerificationError, match="not that of a certificate authority"):
        office.verify(sealed, authority_pem=certificate)


def test_the_authority_itself_cannot_seal(office):
    sealed = cms.seal(CONTENT, office.authority_key, office.authority, NOW)
    with pytest.raises(VerificationError, match="certificate authority"):
        office.verify(sealed)


def test_a_certificate_that_lies_about_its_issuers_name_is_refused(office):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
    with pytest.raises(VerificationError, match="not issued by the seal authority"):
        office.verify(sealed_with(office, issuer=name))


def test_a_certificate_that_cannot_be_read_is_refused(office):
    broken = bytearray(der(office.certificate))
    broken[broken.index(b"\x55\x1d\x0f\x01\x01\xff\x04\x04\x03") + 8] ^= 0x01  # the BIT STRING of keyUsage
    attributes = cms._signed_attributes(CONTENT, bytes(broken), "sha384", NOW)
    signature = office.key.sign(cms._der_set(attributes), ec.ECDSA(hashes.SHA384()))
    with pytest.raises(VerificationError, match="the seal's certificate"):
        office.verify(cms._signed_data(bytes(broken), "sha384", attributes, signature))


def test_a_key_on_another_curve_is_refused(office):
    key = ec.generate_private_key(ec.SECP521R1())
    certificate = forged_certificate(office, key.public_key())
    attributes = cms._signed_attributes(CONTENT, der(certificate), "sha384", NOW)
    signature = key.sign(cms._der_set(attributes), ec.ECDSA(hashes.SHA384()))
    with pytest.raises(VerificationError, match="not on P-256 or P-384"):
        office.verify(cms._signed_data(der(certificate), "sha384", attributes, signature))


@pytest.mark.parametrize(
    ("authority", "message"),
    [
        (lambda o, s: b"", "exactly one certificate"),
        (lambda o, s: o.authority + s.authority, "exactly one certificate"),
        (lambda o, s: o.authority + o.crl, "exactly one certificate"),
        (lambda o, s: o.crl, "cannot be read"),
        (lambda o, s: o.authority[:200], "cannot be read"),
        (lambda o, s: o.certificate, "self-signed"),
        (lambda o, s: s.authority, "not issued by the seal authority"),
    ],
    ids=["empty", "two", "with a list", "a list", "cut", "the seal's", "another"],
)
def test_an_unfit_authority_file_is_refused(office, stranger, authority, message):
    with pytest.raises(VerificationError, match=message):
        office.verify(office.sealed, authority_pem=authority(office, stranger))


def test_an_rsa_authority_is_refused(office):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")])
    authority = forged_certificate(office, key.public_key(), issuer=name, issuer_key=key)
    with pytest.raises(VerificationError, match="not on P-256 or P-384"):
        office.verify(office.sealed, authority_pem=authority)


def test_an_authority_is_not_trusted_beyond_its_end(office):
    end = x509.load_pem_x509_certificate(office.authority).not_valid_after_utc
    with pytest.raises(VerificationError, match="the seal authority's certificate has expired"):
        office.verify(office.sealed, at=end)


# Revocation.


def test_a_revoked_certificate_is_refused_at_every_instant(office):
    crl = revocation_list(office, office.serial, 4711, now=NOW + 10 * DAY)
    for at in (NOW, NOW + 11 * DAY):
        with pytest.raises(VerificationError, match="was revoked on 2026-12-02 13:00"):
            office.verify(office.sealed, at=at, crl_pem=crl)


def test_another_certificates_revocation_does_not_matter(office):
    office.verify(office.sealed, crl_pem=revocation_list(office, office.serial + 1, 4711))


def test_a_revocation_list_is_good_until_its_end(office):
    crl = revocation_list(office, days=2)
    office.verify(office.sealed, at=NOW + 2 * DAY - SECOND, crl_pem=crl)
    with pytest.raises(VerificationError, match="out of date") as caught:
        office.verify(office.sealed, at=NOW + 2 * DAY, crl_pem=crl)
    assert "seal.crl" in caught.value.hint


def forged_list(office: Office, *, extension=None, algorithm=None, key=None) -> bytes:
    issuer = x509.load_pem_x509_certificate(office.authority).subject
    builder = x509.CertificateRevocationListBuilder(issuer, NOW, NOW + 30 * DAY)
    if extension:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key or office.authority_key, algorithm or hashes.SHA384()).public_bytes(
        serialization.Encoding.PEM
    )


@pytest.mark.parametrize(
    ("crl", "message"),
    [
        (lambda o, s: s.crl, "not issued by the seal authority"),
        (lambda o, s: forged_list(o, key=s.authority_key), "not issued by the seal authority"),
        (lambda o, s: forged_list(o, key=o.key), "not issued by the seal authority"),
        (lambda o, s: forged_list(o, extension=x509.DeltaCRLIndicator(1)), "critical extension"),
        (lambda o, s: forged_list(o, algorithm=hashes.SHA512()), "neither SHA-256 nor SHA-384"),
        (lambda o, s: b"", "exactly one list"),
        (lambda o, s: o.crl + s.crl, "exactly one list"),
        (lambda o, s: o.authority, "cannot be read"),
        (lambda o, s: o.crl[:200], "cannot be read"),
    ],
    ids=["another authority's", "forged", "by the seal key", "delta", "hash", "empty", "two", "a certificate", "cut"],
)
def test_an_unfit_revocation_list_is_refused(office, stranger, crl, message):
    with pytest.raises(VerificationError, match=message):
        office.verify(office.sealed, crl_pem=crl(office, stranger))


def test_an_authority_that_may_not_sign_lists_is_refused(office):
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")])
    extensions = ((key_usage("key_cert_sign"), True), (x509.BasicConstraints(ca=True, path_length=0), True))
    authority = forged_certificate(office, key.public_key(), issuer=name, issuer_key=key, extensions=extensions)
    certificate = issue_certificate(authority, key, office.key.public_key(), "seal", NOW)
    sealed = cms.seal(CONTENT, office.key, certificate, NOW)
    office.verify(sealed, authority_pem=authority)
    crl = new_revocation_list(authority, key, {}, 1, NOW, 30)
    with pytest.raises(VerificationError, match="not for signing revocation lists"):
        office.verify(sealed, authority_pem=authority, crl_pem=crl)


# Sealing.


def test_what_cannot_be_sealed_is_refused_at_once(office, stranger):
    with pytest.raises(UsageError, match="seal's certificate is for another key"):
        cms.seal(CONTENT, stranger.key, office.certificate, NOW)
    with pytest.raises(RefusedError, match="not valid before 2026-11-22 12:00"):
        cms.seal(CONTENT, office.key, office.certificate, NOW - HOUR - SECOND)
    with pytest.raises(RefusedError, match="it ended 2027-11-22 13:00"):
        cms.seal(CONTENT, office.key, office.certificate, NOW + 365 * DAY)


def test_a_time_without_a_zone_is_a_mistake_of_the_caller(office):
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="without a zone"):
        cms.seal(CONTENT, office.key, office.certificate, naive)
    with pytest.raises(ValueError, match="without a zone"):
        office.verify(office.sealed, at=naive)
