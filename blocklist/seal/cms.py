"""The seal: a detached CMS signature over SHA256SUMS that stock `openssl` verifies.

A seal is CAdES-B-B (ETSI EN 319 122-1; CMS: RFC 5652) by a one-year certificate, itself issued by the workspace's
seal authority (`blocklist.seal.ca`). There is one way to write it, and `verify` accepts no other: after reading a
seal it writes the same parts again and compares the bytes. So no byte of a seal is left to chance or to whoever
carried it.

No I/O and no clock: bytes and times go in, bytes or an exception come out. Times must carry a zone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from asn1crypto.parser import emit
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _
from blocklist.seal.x509 import HASH_OF_CURVE, SIGNER, check_issued_here, own_certificate, reading, whole_second

MAX_SIGNATURE = 64 * 1024
"""Bytes. A seal has about 1.2 kB; what is larger is refused before it is parsed."""

# The closed lists. Anything else is refused: there is no negotiation in a file that one program writes.
_HASHES = {algorithm.name: algorithm for algorithm in HASH_OF_CURVE.values()}
_HASH_OID = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2"}  # RFC 5754 clause 2
_ECDSA_OID = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3"}  # RFC 5758 clause 3.2

_DATA = "1.2.840.113549.1.7.1"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_ATTRIBUTES = {
    "content-type": "1.2.840.113549.1.9.3",
    "message-digest": "1.2.840.113549.1.9.4",
    "signing-time": "1.2.840.113549.1.9.5",
    "signing-certificate-v2": "1.2.840.113549.1.9.16.2.47",
}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was read from a seal; nothing of it is trusted yet."""

    certificate: bytes
    hash_name: str
    attributes: bytes  # the signed attributes as they stand in the file, one after the other, without a header
    values: Mapping[str, bytes]  # attribute name, or type -> the encoded contents of its SET of values
    signature: bytes


def seal(content: bytes, key: ec.EllipticCurvePrivateKey, certificate_pem: bytes, at: datetime) -> bytes:
    """Seal `content`: ECDSA with SHA-384 on P-384, with SHA-256 on P-256.

    Args:
        content: The bytes of SHA256SUMS.
        key: The key of `certificate_pem`.
        certificate_pem: Travels in the seal.
        at: Stands in the seal as the signing time, whole seconds.

    Returns:
        The detached CMS SignedData, DER: the bytes of SHA256SUMS.p7s.

    Raises:
        UsageError: The certificate cannot be read, or the key is another one or on another curve.
        RefusedError: The certificate is not in force at `at`.
    """
    certificate = own_certificate(certificate_pem, key, at, SIGNER)
    algorithm = HASH_OF_CURVE[key.curve.name]
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    attributes = _signed_attributes(content, encoded, algorithm.name, at)
    signature = key.sign(_der_set(attributes), ec.ECDSA(algorithm))
    return _signed_data(encoded, algorithm.name, attributes, signature)


def verify(
    content: bytes, signature: bytes, authority_pem: bytes, at: datetime, crl_pem: bytes | None = None
) -> x509.Certificate:
    """Verify a seal over `content` as of the instant `at`.

    Stricter than `openssl cms -verify -cades` wherever that leaves a choice. Two things that a reader may expect are
    not promised: the signing time is the signer's word (it must lie in the certificate's life, nothing else proves
    it); and as with any ECDSA, a second signature value over the same attributes can be computed from the first.

    Args:
        content: The bytes of SHA256SUMS.
        signature: The bytes of SHA256SUMS.p7s.
        authority_pem: The seal authority's certificate: exactly one.
        at: When the certificates, and the revocation list's end, are judged.
        crl_pem: The authority's revocation list; without it nothing is known of revocations. A list issued after `at`
            counts (it knows more), one past its end does not. A revoked certificate is refused at every `at`: who
            stole its key can put any signing time.

    Returns:
        The signer's certificate.

    Raises:
        VerificationError: In one sentence, the first thing found wrong.
        ValueError: `at` has no zone (a mistake of the caller, as everywhere in this module).
    """
    at = whole_second(at)
    # 1. The file: one signer, detached, no choice of encoding (RFC 5652 clauses 5.1 and 5.3).
    parts = _read(signature)
    # 2. The signed attributes belong to this content and this certificate.
    signing_time = _check_attributes(parts, content)
    # 3. The certificate comes from this authority, is in force for this use, and 4. it is not revoked.
    with reading(_("{what} cannot be read", what=_(SIGNER))):
        certificate = x509.load_der_x509_certificate(parts.certificate)
    key = check_issued_here(certificate, authority_pem, at, crl_pem, signing_time)
    # 5. Its key signed the attributes (RFC 5652 clause 5.4: as a DER SET OF, not with their tag in the file).
    try:
        key.verify(parts.signature, _der_set(parts.attributes), ec.ECDSA(_HASHES[parts.hash_name]))
    except InvalidSignature as error:
        raise VerificationError(_("the signature value in the seal is wrong")) from error
    return certificate


# Writing CMS. RFC 5652 is short enough to be written down as it stands; `asn1crypto` would put NULL parameters to
# the digest algorithms, where RFC 5754 clause 2 wants none.


def _signed_attributes(content: bytes, certificate: bytes, hash_name: str, at: datetime) -> bytes:
    """Encode the signed attributes of a CAdES-B-B seal, in DER order, without the header of the SET."""
    values = {
        "content-type": _oid(_DATA),
        "message-digest": _octets(hashlib.new(hash_name, content).digest()),
        "signing-time": _time(at),
        "signing-certificate-v2": _certificate_reference(certificate, hash_name),
    }
    # DER sorts a SET OF by the encodings of its elements (X.690 clause 11.6); the signature is over that order.
    return b"".join(sorted(_sequence(_oid(_ATTRIBUTES[name]), _der_set(value)) for name, value in values.items()))


def _certificate_reference(certificate: bytes, hash_name: str, *, with_issuer: bool = False) -> bytes:
    """Encode SigningCertificateV2 naming one certificate (RFC 5035 clauses 3 and 4).

    Args:
        certificate: DER.
        hash_name: SHA-256 is the default there, and DER leaves a default out.
        with_issuer: Add the optional issuerSerial. We do not write it; OpenSSL does.
    """
    algorithm = b"" if hash_name == "sha256" else _sequence(_oid(_HASH_OID[hash_name]))
    fields = [algorithm, _octets(hashlib.new(hash_name, certificate).digest())]
    if with_issuer:
        issuer, serial = _issuer_and_serial(certificate)
        fields.append(_sequence(_sequence(_explicit(4, issuer)), serial))  # GeneralName [4]: a directory name
    return _sequence(_sequence(_sequence(*fields)))


def _signed_data(certificate: bytes, hash_name: str, attributes: bytes, signature: bytes) -> bytes:
    """Encode a detached SignedData with one signer (RFC 5652 clauses 3, 5.1 and 5.3)."""
    version, digest = bytes(core.Integer(1).dump()), _sequence(_oid(_HASH_OID[hash_name]))
    signer = _sequence(
        version,
        _sequence(*_issuer_and_serial(certificate)),
        digest,
        _explicit(0, attributes),
        _sequence(_oid(_ECDSA_OID[hash_name])),
        _octets(signature),
    )
    signed = _sequence(version, _der_set(digest), _sequence(_oid(_DATA)), _explicit(0, certificate), _der_set(signer))
    return _sequence(_oid(_SIGNED_DATA), _explicit(0, signed))


def _issuer_and_serial(certificate: bytes) -> tuple[bytes, bytes]:
    body = asn1_x509.Certificate.load(certificate, strict=True)["tbs_certificate"]
    return bytes(body["issuer"].dump()), bytes(body["serial_number"].dump())


def _time(at: datetime) -> bytes:
    """Encode a signing time: UTCTime through 2049, GeneralizedTime from then on (RFC 5652 clause 11.3)."""
    second = whole_second(at)
    kind = core.UTCTime if 1950 <= second.year < 2050 else core.GeneralizedTime
    return bytes(kind(second).dump())


def _sequence(*parts: bytes) -> bytes:
    return bytes(emit(0, 1, 16, b"".join(parts)))


def _der_set(contents: bytes) -> bytes:
    return bytes(emit(0, 1, 17, contents))


def _explicit(tag: int, contents: bytes) -> bytes:
    return bytes(emit(2, 1, tag, contents))


def _oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).dump())


def _octets(value: bytes) -> bytes:
    return bytes(core.OctetString(value).dump())


# Reading CMS.


def _read(signature: bytes) -> _Parts:
    """Take a seal apart, and refuse every form but the one that `seal` writes.

    Raises:
        VerificationError: It is too large, not CMS, or has another form.
    """
    if len(signature) > MAX_SIGNATURE:
        raise VerificationError(
            _(
                "the seal has {count} bytes, more than {most}",
                count=len(signature),
                most=MAX_SIGNATURE,
            )
        )
    with reading(_("the seal is not a CMS signature in DER")):
        message = cms.ContentInfo.load(signature, strict=True)
        if message["content_type"].dotted != _SIGNED_DATA:
            raise VerificationError(_("the seal is a CMS message, but not a signature"))
        signed = message["content"]
        certificate, signer = _the_signer(signed)
        parts = _signer_parts(certificate, signer)
        # Encoding liberties, unsigned attributes, several certificates, lists, versions: all end here.
        if _signed_data(parts.certificate, parts.hash_name, parts.attributes, parts.signature) != signature:
            raise VerificationError(
                _("the seal is not in the one form that is allowed (RFC 5652 in DER, nothing added)")
            )
    return parts


def _the_signer(signed: Any) -> tuple[Any, Any]:  # noqa: ANN401 (asn1crypto has no types)
    """Find the one certificate and the one signer of a detached SignedData."""
    enclosed = signed["encap_content_info"]
    if enclosed["content_type"].dotted != _DATA:
        raise VerificationError(_("the seal says that it signs something else than plain data"))
    if not isinstance(enclosed["content"], core.Void):
        raise VerificationError(_("the seal holds a content of its own, it must be detached"))
    if len(signed["signer_infos"]) != 1:
        raise VerificationError(
            _("the seal has {count} signers, it must have exactly one", count=len(signed["signer_infos"]))
        )
    if len(signed["certificates"]) != 1:
        raise VerificationError(
            _("the seal holds {count} certificates, it must hold exactly one", count=len(signed["certificates"]))
        )
    return signed["certificates"][0].chosen, signed["signer_infos"][0]


def _signer_parts(certificate: Any, signer: Any) -> _Parts:  # noqa: ANN401 (asn1crypto has no types)
    """Copy out of the lazy parser what is checked later, as plain values."""
    hash_name = signer["digest_algorithm"]["algorithm"].native
    if hash_name not in _HASHES:
        raise VerificationError(_("the seal's digest algorithm is neither SHA-256 nor SHA-384"))
    if signer["signature_algorithm"]["algorithm"].dotted != _ECDSA_OID[hash_name]:
        raise VerificationError(_("the seal's signature algorithm is not ECDSA with {hash}", hash=hash_name.upper()))
    attributes = list(signer["signed_attrs"])
    names = {dotted: name for name, dotted in _ATTRIBUTES.items()}
    types = [str(item["type"].dotted) for item in attributes]
    values = {names.get(oid, oid): bytes(item["values"].contents) for oid, item in zip(types, attributes, strict=True)}
    if len(values) != len(attributes):
        raise VerificationError(_("the seal gives a signed attribute twice"))
    # Sorted here, so that the comparison in `_read` refuses attributes that are not in DER order.
    encoded = b"".join(sorted(bytes(item.dump()) for item in attributes))
    signature = bytes(signer["signature"].native)
    return _Parts(bytes(certificate.dump()), str(hash_name), encoded, values, signature)


def _check_attributes(parts: _Parts, content: bytes) -> datetime:
    """Hold the signed attributes against the content and the certificate (ETSI EN 319 122-1 clause 6.3, level B-B).

    Others may be there (OpenSSL adds S/MIME capabilities): they are signed and say nothing to us.

    Returns:
        The signing time.

    Raises:
        VerificationError: One is missing or says something else.
    """
    missing = [name for name in _ATTRIBUTES if name not in parts.values]
    if missing:
        raise VerificationError(_("the seal lacks the signed attribute {name}", name=missing[0]))
    if parts.values["content-type"] != _oid(_DATA):
        raise VerificationError(_("the signed attribute content-type is not plain data"))
    if parts.values["message-digest"] != _octets(hashlib.new(parts.hash_name, content).digest()):
        raise VerificationError(_("the content is not what was sealed"), _("fetch SHA256SUMS and SHA256SUMS.p7s again"))
    allowed = [_certificate_reference(parts.certificate, h, with_issuer=i) for h in _HASHES for i in (False, True)]
    if parts.values["signing-certificate-v2"] not in allowed:
        raise VerificationError(_("the signed attribute signing-certificate-v2 names another certificate"))
    with reading(_("the signed attribute signing-time cannot be read")):
        signing_time = cms.Time.load(parts.values["signing-time"], strict=True).native
        if _time(signing_time) != parts.values["signing-time"]:
            raise VerificationError(_("the signed attribute signing-time is not in DER"))
    return whole_second(signing_time)
