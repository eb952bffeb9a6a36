"""What the seal authority makes, and what it refuses to make. Whether stock `openssl` takes it is in test_seal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from kit.seal import DAY, HOUR, NOW, SECOND, Office, key_usage, new_key, new_office, revocation_list

from blocklist.base.errors import RefusedError, UsageError
from blocklist.seal.ca import issue_certificate, new_authority, new_revocation_list


@pytest.fixture(scope="module")
def office() -> Office:
    return new_office()


@pytest.fixture(scope="module")
def stranger() -> Office:
    return new_office()  # the same names, other keys


def test_the_authority_is_a_ca_for_ten_years(office):
    authority = x509.load_pem_x509_certificate(office.authority)
    extensions = {type(item.value): item for item in authority.extensions}
    assert extensions[x509.BasicConstraints].value == x509.BasicConstraints(ca=True, path_length=0)
    assert extensions[x509.KeyUsage].value == key_usage("key_cert_sign", "crl_sign")
    assert extensions[x509.BasicConstraints].critical
    assert extensions[x509.KeyUsage].critical
    assert x509.SubjectKeyIdentifier in extensions
    assert authority.not_valid_before_utc == NOW - HOUR
    assert authority.not_valid_after_utc == NOW + timedelta(days=3652)


def test_the_seals_certificate_is_for_signing_for_one_year(office):
    certificate = x509.load_pem_x509_certificate(office.certificate)
    extensions = {type(item.value): item.value for item in certificate.extensions}
    assert extensions[x509.KeyUsage] == key_usage("digital_signature", "content_commitment")
    assert not extensions[x509.BasicConstraints].ca
    assert x509.ExtendedKeyUsage not in extensions, "openssl would refuse the seal"
    authority = x509.load_pem_x509_certificate(office.authority)
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions[x509.AuthorityKeyIdentifier].key_identifier == identifier.digest
    assert certificate.not_valid_before_utc == NOW - HOUR
    assert certificate.not_valid_after_utc == NOW + timedelta(days=365)


def test_a_certificate_does_not_outlive_its_authority(office):
    end = x509.load_pem_x509_certificate(office.authority).not_valid_after_utc
    pem = issue_certificate(office.authority, office.authority_key, office.key.public_key(), "late", end - 10 * DAY)
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == end
    with pytest.raises(RefusedError, match="has expired"):
        issue_certificate(office.authority, office.authority_key, office.key.public_key(), "later", end)


def test_a_certificate_is_not_in_force_before_its_authority(office):
    start = x509.load_pem_x509_certificate(office.authority).not_valid_before_utc
    public_key = office.key.public_key()
    pem = issue_certificate(office.authority, office.authority_key, public_key, "early", start + SECOND)
    assert x509.load_pem_x509_certificate(pem).not_valid_before_utc == start
    with pytest.raises(RefusedError, match="not valid before"):
        issue_certificate(office.authority, office.authority_key, public_key, "earlier", start - SECOND)


def test_two_certificates_never_share_a_serial(office):
    issued = [
        issue_certificate(office.authority, office.authority_key, office.key.public_key(), "seal", NOW)
        for _ in range(3)
    ]
    assert len({x509.load_pem_x509_certificate(pem).serial_number for pem in issued}) == 3


def test_an_authority_is_on_p384():
    with pytest.raises(UsageError, match="must be on P-384"):
        new_authority("authority", ec.generate_private_key(ec.SECP256R1()), NOW)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_common_name_has_1_to_64_characters(name):
    with pytest.raises(UsageError, match="1 to 64 characters"):
        new_authority(name, new_key(), NOW)


def test_what_cannot_be_issued_is_refused_at_once(office, stranger):
    def issue(key, authority=office.authority, authority_key=office.authority_key, name="seal", now=NOW):
        return issue_certificate(authority, authority_key, key.public_key(), name, now)

    with pytest.raises(UsageError, match="authority's certificate is for another key"):
        issue(new_key(), authority_key=stranger.authority_key)
    with pytest.raises(UsageError, match="exactly one certificate"):
        issue(new_key(), authority=b"")
    with pytest.raises(UsageError, match="must be on P-256 or P-384"):
        issue(ec.generate_private_key(ec.SECP521R1()))
    with pytest.raises(RefusedError, match="its own key"):
        issue(office.authority_key)
    with pytest.raises(RefusedError, match="the authority's name"):
        issue(new_key(), name="blocklist seal authority, test")


@pytest.mark.parametrize(
    ("revoked", "number", "days"),
    [({}, 0, 30), ({}, 1, 0), ({}, 1, 10**9), ({-1: NOW}, 1, 30), ({1: NOW.replace(tzinfo=None)}, 1, 30)],
)
def test_an_impossible_revocation_list_is_refused(office, revoked, number, days):
    with pytest.raises(UsageError):
        new_revocation_list(office.authority, office.authority_key, revoked, number, NOW, days)


def test_a_revocation_list_holds_its_number_and_entries(office):
    crl = x509.load_pem_x509_crl(revocation_list(office, 12, 11))
    assert [entry.serial_number for entry in crl] == [11, 12]
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert crl.last_update_utc == NOW - HOUR
    assert crl.next_update_utc == NOW + 30 * DAY
