"""The seal authority: what its holder does offline, and seldom.

It certifies the keys that a publisher seals with, and lists which of these certificates are revoked. What is made
here, `blocklist.seal.cms` and stock `openssl` check.

No I/O and no clock: keys and times go in, PEM or an exception comes out. Times must carry a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _
from blocklist.seal.x509 import AUTHORITY, HASH_OF_CURVE, SIGNER, own_certificate, reading, require_curve, whole_second

_AUTHORITY_LIFE = timedelta(days=3652)  # ten years
_CERTIFICATE_LIFE = timedelta(days=365)

# Certificates and lists begin this long before they are made: a verifier whose clock is slow would refuse, as not yet
# valid, what begins right now (and the release that is sealed a minute later with it). They end as counted from `now`.
_HEAD_START = timedelta(hours=1)


def new_authority(common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> bytes:
    """Make the certificate of a seal authority: the one thing that a verifier has to trust.

    Args:
        common_name: What people read in the certificate; name the office and the environment.
        key: P-384; to be kept offline.
        now: Its ten years are counted from here; it is in force from an hour before.

    Returns:
        A self-signed CA certificate, PEM.

    Raises:
        UsageError: The key is not on P-384, or the name is empty or longer than 64 characters.
    """
    if key.curve.name != "secp384r1":
        raise UsageError(
            _("the key of a seal authority must be on P-384, this one is on {curve}", curve=key.curve.name)
        )
    return _certificate(_name(common_name), key.public_key(), None, key, whole_second(now))


def issue_certificate(
    authority_pem: bytes,
    authority_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    common_name: str,
    now: datetime,
) -> bytes:
    """Issue the certificate that a publisher seals with, for one year or until the authority ends.

    Like the authority's own, it is in force from an hour before `now`, but never from before the authority is.
    It has no extended key usage: with any but emailProtection, stock `openssl cms -verify` refuses the seal.

    Returns:
        The certificate, PEM.

    Raises:
        UsageError: The authority, its key, the public key or the name cannot be used.
        RefusedError: The authority is not in force, or its own key or name was given for the seal.
    """
    authority = own_certificate(authority_pem, authority_key, now, AUTHORITY)
    require_curve(public_key, SIGNER)
    if public_key == authority_key.public_key():
        raise RefusedError(
            _("the seal authority cannot seal releases with its own key"), _("make another key for the seal")
        )
    if _name(common_name) == authority.subject:
        raise RefusedError(
            _("the seal's certificate cannot bear the authority's name"), _("choose another common name")
        )
    return _certificate(_name(common_name), public_key, authority, authority_key, whole_second(now))


def new_revocation_list(
    authority_pem: bytes,
    authority_key: ec.EllipticCurvePrivateKey,
    revoked: Mapping[int, datetime],
    number: int,
    now: datetime,
    valid_days: int,
) -> bytes:
    """Make the authority's complete revocation list.

    Args:
        authority_pem: The authority's certificate.
        authority_key: Its key.
        revoked: Serial number of each revoked certificate -> when it was revoked.
        number: Higher than that of the list before (RFC 5280 clause 5.2.3).
        now: When it is made. Its date of issue (thisUpdate) is an hour before, so a revocation can bear a later one.
        valid_days: So many days from `now` on, verifiers refuse it: the next one is due before.

    Returns:
        The list, PEM.

    Raises:
        UsageError: The authority, its key, a serial, the number or the days cannot be used.
        RefusedError: The authority is not in force.
    """
    authority, made = own_certificate(authority_pem, authority_key, now, AUTHORITY), whole_second(now)
    if number < 1 or valid_days < 1:
        raise UsageError(_("a revocation list needs a number from 1 on, and must be valid for at least one day"))
    with reading(_("a serial, a time, the number or the days do not fit into a revocation list"), UsageError):
        end = made + timedelta(days=valid_days)
        builder = x509.CertificateRevocationListBuilder(authority.subject, made - _HEAD_START, end)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for serial, at in sorted(revoked.items()):
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, whole_second(at)).build())
        revocations = builder.sign(authority_key, HASH_OF_CURVE[authority_key.curve.name])
    return revocations.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> bytes:
    """Sign a certificate for a seal, or without `issuer` a self-signed one for an authority."""
    ca = issuer is None
    start, end = now - _HEAD_START, now + (_AUTHORITY_LIFE if issuer is None else _CERTIFICATE_LIFE)
    if issuer is not None:
        start, end = max(start, issuer.not_valid_before_utc), min(end, issuer.not_valid_after_utc)
    # certSign and cRLSign for an authority, digitalSignature and contentCommitment for a seal: in RFC 5280's order.
    usage = x509.KeyUsage(not ca, not ca, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder(subject if issuer is None else issuer.subject, subject, public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    certificate = builder.sign(issuer_key, HASH_OF_CURVE[issuer_key.curve.name])
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    with reading(_("a common name has 1 to 64 characters"), UsageError):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
