"""Certificates of seals, as strictly read as the seals: issued right under one authority, in force, not revoked.

No I/O and no clock: PEM and times go in, an exception or a value comes out. Times must carry a zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from blocklist.base.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _, later, shown

HASH_OF_CURVE: dict[str, hashes.SHA256 | hashes.SHA384] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}

# What this module understands of a critical extension; an unknown one must be refused (RFC 5280 clause 4.2).
_KNOWN_CRITICAL = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}

# How messages call the two.
AUTHORITY = later("the seal authority's certificate")
SIGNER = later("the seal's certificate")
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@contextmanager
def reading(sentence: str, error_type: type[BlocklistError] = VerificationError) -> Iterator[None]:
    """Turn whatever a parser raises into one error with this sentence.

    asn1crypto and cryptography parse as late as they can and raise a dozen types (a RecursionError among them), so the
    only safe list is all of them. Their texts quote the input, which may be hostile to a terminal: they stay in the
    chain of causes.
    """
    try:
        yield
    except BlocklistError:
        raise
    except Exception as error:
        raise error_type(sentence) from error


def check_issued_here(
    certificate: x509.Certificate,
    authority_pem: bytes,
    at: datetime,
    crl_pem: bytes | None = None,
    signing_time: datetime | None = None,
) -> ec.EllipticCurvePublicKey:
    """Check that a certificate may seal: from this authority, in force at `at` and when it signed, not revoked.

    Returns:
        Its key.

    Raises:
        VerificationError: In one sentence, the first thing found wrong.
    """
    authority = _trusted_authority(authority_pem, at)
    with reading(_("{what} cannot be read", what=_(SIGNER))):
        key = _check_certificate(certificate, authority)
        _require_in_force(certificate, at, SIGNER)
        if signing_time is not None:
            _require_in_force(certificate, signing_time, later("at the signing time, the seal's certificate"))
    if crl_pem is not None:
        with reading(_("the revocation list cannot be read")):
            _check_revocation(certificate, authority, crl_pem, at)
    return key


def _trusted_authority(authority_pem: bytes, at: datetime) -> x509.Certificate:
    """Load the trust anchor: one self-signed CA certificate in force at `at`."""
    authority = _one_certificate(authority_pem, AUTHORITY, VerificationError)
    with reading(_("{what} cannot be read", what=_(AUTHORITY))):
        _check_issued(authority, authority, AUTHORITY)
        constraints = _extension(authority, x509.BasicConstraints)
        usage = _extension(authority, x509.KeyUsage)
        if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
            raise VerificationError(_("{what} is not that of a certificate authority", what=_(AUTHORITY)))
        _require_in_force(authority, at, AUTHORITY)
    return authority


def _check_certificate(certificate: x509.Certificate, authority: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Check a seal certificate, directly under the authority, and return its key."""
    _check_issued(certificate, authority, SIGNER)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise VerificationError(_("{what} is that of a certificate authority", what=_(SIGNER)))
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not (usage.digital_signature or usage.content_commitment):
        raise VerificationError(_("{what} is not for signing", what=_(SIGNER)))
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    # OpenSSL's rule, so that both give the same answer: no extended key usage, or one with emailProtection.
    if purposes is not None and ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        raise VerificationError(_("{what} is for another use", what=_(SIGNER)))
    return _allowed_key(certificate, SIGNER)


def _check_issued(certificate: x509.Certificate, authority: x509.Certificate, what: str) -> None:
    """Check that the authority's key signed a certificate, with an algorithm of the closed list."""
    _allowed_key(authority, AUTHORITY)
    _check_hash(certificate, what)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        if certificate is authority:
            message = _("{what} was not issued by itself: it must be self-signed", what=_(what))
        else:
            message = _("{what} was not issued by the seal authority", what=_(what))
        raise VerificationError(message) from error
    if {item.oid for item in certificate.extensions if item.critical} - _KNOWN_CRITICAL:
        raise VerificationError(_("{what} has a critical extension that this program does not know", what=_(what)))


def _check_hash(signed: x509.Certificate | x509.CertificateRevocationList, what: str) -> None:
    if not isinstance(signed.signature_hash_algorithm, hashes.SHA256 | hashes.SHA384):
        raise VerificationError(_("{what} was signed with a hash that is neither SHA-256 nor SHA-384", what=_(what)))


def _check_revocation(certificate: x509.Certificate, authority: x509.Certificate, crl_pem: bytes, at: datetime) -> None:
    """Check a certificate against the authority's complete revocation list (RFC 5280 clause 6.3.3)."""
    if crl_pem.count(b"-----BEGIN ") != 1:
        raise VerificationError(_("the file of the revocation list must hold exactly one list in PEM"))
    revocations = x509.load_pem_x509_crl(crl_pem)
    usage = _extension(authority, x509.KeyUsage)
    if usage is None or not usage.crl_sign:
        raise VerificationError(_("{what} is not for signing revocation lists", what=_(AUTHORITY)))
    _check_hash(revocations, later("the revocation list"))
    if revocations.issuer != authority.subject or not revocations.is_signature_valid(
        _allowed_key(authority, AUTHORITY)
    ):
        raise VerificationError(_("the revocation list was not issued by the seal authority"))
    # A delta list, or one for some certificates only, says so in a critical extension.
    if any(item.critical for item in revocations.extensions):
        raise VerificationError(_("the revocation list has a critical extension that this program does not know"))
    end = revocations.next_update_utc
    if end is None or at >= end:
        raise VerificationError(
            _("the revocation list is out of date (next update: {end})", end=end),
            _("fetch seal.crl again; if it is still the old one, the publisher has to issue a new list"),
        )
    entry = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise VerificationError(
            _(
                "{what} was revoked on {instant}",
                what=_(SIGNER),
                instant=shown(entry.revocation_date_utc),
            )
        )


def own_certificate(pem: bytes, key: ec.EllipticCurvePrivateKey, now: datetime, what: str) -> x509.Certificate:
    """Load the certificate of who is about to sign something with `key`.

    Raises:
        UsageError: It cannot be read, or the key is another one or on another curve.
        RefusedError: It is not in force at `now`.
    """
    certificate = _one_certificate(pem, what, UsageError)
    require_curve(key, what)
    if certificate.public_key() != key.public_key():
        raise UsageError(_("{what} is for another key", what=_(what)))
    _require_in_force(certificate, whole_second(now), what, RefusedError)
    return certificate


def require_curve(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey, what: str) -> None:
    """Refuse to sign with, or to certify, a key outside the closed list.

    Raises:
        UsageError: The key is on another curve.
    """
    if key.curve.name not in HASH_OF_CURVE:
        raise UsageError(
            _("the key of {what} must be on P-256 or P-384, this one is on {curve}", what=_(what), curve=key.curve.name)
        )


def _one_certificate(pem: bytes, what: str, error_type: type[BlocklistError]) -> x509.Certificate:
    if pem.count(b"-----BEGIN ") != 1:
        raise error_type(_("the file of {what} must hold exactly one certificate in PEM", what=_(what)))
    with reading(_("{what} cannot be read", what=_(what)), error_type):
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()  # parsed late: a fault shows here, and nowhere later
    return certificate


def _require_in_force(
    certificate: x509.Certificate, at: datetime, what: str, error_type: type[BlocklistError] = VerificationError
) -> None:
    """Refuse a certificate outside its life; the last second is out, as OpenSSL has it and as measures end."""
    if at < certificate.not_valid_before_utc:
        raise error_type(
            _(
                "{what} is not valid before {instant}",
                what=_(what),
                instant=shown(certificate.not_valid_before_utc),
            )
        )
    if at >= certificate.not_valid_after_utc:
        raise error_type(
            _(
                "{what} has expired: it ended {instant}",
                what=_(what),
                instant=shown(certificate.not_valid_after_utc),
            )
        )


def _allowed_key(certificate: x509.Certificate, what: str) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in HASH_OF_CURVE:
        raise VerificationError(_("the key of {what} is not on P-256 or P-384", what=_(what)))
    return key


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def whole_second(at: datetime) -> datetime:
    """Cut to the second, in UTC: the grain of X.509 and of CMS.

    Raises:
        ValueError: The time has no zone.
    """
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).replace(microsecond=0)
