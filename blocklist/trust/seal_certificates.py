"""The seal from year to year: certificates that overlap, the revocation list, and a qualified seal beside the first.

What providers pinned is the authority, `seal.pem`; nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blocklist.base import durable
from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _, plain
from blocklist.keys.encoding import PublicKey
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.seal.ca import issue_certificate, new_revocation_list
from blocklist.seal.x509 import HASH_OF_CURVE, SIGNER, check_issued_here, reading, require_curve
from blocklist.trust.describe import ends
from blocklist.trust.folder import AUTHORITY, QUALIFIED, QUALIFIED_CHAIN, REVOCATIONS, SEAL, TrustFolder, key_name
from blocklist.trust.genesis import REVOCATION_DAYS, SEAL_AUTHORITY, SEAL_ROLE, keep_key
from blocklist.trust.online_keys import certified_key_id

MAX_CERTIFICATES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of the seal for people: `kind` is `seal`, `former`, `authority` or `qualified`."""

    kind: str
    subject: str
    fingerprint: str
    until: datetime
    revoked: bool = False
    here: bool = False

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "until": self.until.isoformat(),
            "revoked": self.revoked,
            "here": self.here,
        }


def certificates(heads: TrustFolder, keys: KeyFolder) -> list[Certificate]:
    """All certificates that are kept, the one that seals first."""
    newest, *former = heads.certificates()
    found = [_described("seal", newest, heads, keys), *(_described("former", pem, heads, keys) for pem in former)]
    if (heads.path / QUALIFIED).exists():
        found.append(_described("qualified", (heads.path / QUALIFIED).read_bytes(), None, keys))
    return [*found, _described("authority", _authority(heads), None, keys)]


def _described(kind: str, pem: bytes, heads: TrustFolder | None, keys: KeyFolder) -> Certificate:
    certificate = x509.load_pem_x509_certificate(pem)
    public = PublicKey.wrap(certificate.public_key())
    role = SEAL_AUTHORITY if kind == "authority" else SEAL_ROLE
    return Certificate(
        kind,
        _subject(certificate),
        public.fingerprint,
        certificate.not_valid_after_utc,
        heads is not None and heads.is_revoked(pem),
        key_name(keys, role, public.keyid) is not None,
    )


def seal_warnings(heads: TrustFolder, now: datetime) -> Iterator[str]:
    """What of the seal ends soon, has ended, or was revoked."""
    newest = heads.certificates()[0]
    named = [(_(SIGNER), newest), (_("the seal authority's certificate"), _authority(heads))]
    if (heads.path / QUALIFIED).exists():
        named.append((_("the qualified seal's certificate"), (heads.path / QUALIFIED).read_bytes()))
    for what, pem in named:
        yield ends(what, x509.load_pem_x509_certificate(pem).not_valid_after_utc, now)
    until = heads.revoked().next_update_utc
    if until is not None:
        yield ends(_("the seal's revocation list"), until, now)
    if heads.is_revoked(newest):
        yield _("the seal's certificate was revoked, and no other was issued: blocklist trust seal renew")


def _authority(heads: TrustFolder) -> bytes:
    return durable.read(heads.path / AUTHORITY, _("the seal authority"), MAX_CERTIFICATES)


# By the office's own authority, which is offline


def renew(heads: TrustFolder, keys: KeyFolder, now: datetime, public: PublicKey | None = None) -> Certificate:
    """Issue a certificate for another year, and the revocation list anew; the one before stays good until its end.

    Args:
        heads: The trust folder.
        keys: Holds the authority's key; takes the new key of the seal, unless `public` was made elsewhere.
        now: The clock.
        public: The new key.

    Raises:
        UsageError: The authority's key is not here, or the new key is not ECDSA.
        RefusedError: The authority has ended, or the new key has another role.
        TargetError: A file could not be written.
    """
    authority, authority_key = _authority(heads), _authority_key(heads, keys)
    before = heads.certificates()[0]
    made = None if public else ec.generate_private_key(ec.SECP384R1())
    wanted = public.curve_key() if public else made.public_key() if made else None
    assert wanted is not None  # noqa: S101  (one of the two is there)
    issued = issue_certificate(authority, authority_key, wanted, _common_name(before), now)
    if made is not None:
        keep_key(keys, SEAL_ROLE, made, encrypt=False)
    _reissue(heads, authority, authority_key, {}, now)
    _put_first(heads, before, issued)
    return _described("seal", issued, heads, keys)


def _authority_key(heads: TrustFolder, keys: KeyFolder) -> ec.EllipticCurvePrivateKey:
    keyid = certified_key_id(_authority(heads))
    key = keys.private(key_name(keys, SEAL_AUTHORITY, keyid) or role_key_name(SEAL_AUTHORITY, keyid))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(_("the key of the seal authority is not an ECDSA key"), _("restore it from your backup"))
    return key


def _common_name(pem: bytes) -> str:
    names = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "blocklist seal"


def _reissue(
    heads: TrustFolder,
    authority: bytes,
    key: ec.EllipticCurvePrivateKey,
    more: dict[int, datetime],
    now: datetime,
) -> None:
    """The next revocation list: all that was revoked, and `more`."""
    before = heads.revoked()
    revoked = {entry.serial_number: entry.revocation_date_utc for entry in before}
    number = before.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
    made = new_revocation_list(authority, key, more | revoked, number, now, REVOCATION_DAYS)
    heads.write(REVOCATIONS, made)


def _put_first(heads: TrustFolder, before: bytes, issued: bytes) -> None:
    """The one before is kept under its serial first: a crash in between leaves one too many, and none too few."""
    serial = x509.load_pem_x509_certificate(before).serial_number
    heads.write(f"seal-{serial:x}.crt", before)
    heads.write(SEAL, issued)


def revoke(heads: TrustFolder, keys: KeyFolder, fingerprint: str, now: datetime) -> Certificate:
    """Take a certificate of the seal back, by the fingerprint of its key.

    Raises:
        UsageError: No certificate or several are meant, or the authority's key is not here.
        RefusedError: It is revoked already.
        TargetError: The list could not be written.
    """
    wanted = fingerprint.replace("-", "").lower()
    meant = [pem for pem in heads.certificates() if certified_key_id(pem).startswith(wanted) and len(wanted) >= 8]
    if not meant:
        there = ", ".join(_described("seal", pem, None, keys).fingerprint for pem in heads.certificates())
        raise UsageError(
            _("{fingerprint} is no certificate of the seal", fingerprint=fingerprint[:80]),
            _("their keys are {keys}", keys=there),
        )
    serials = {x509.load_pem_x509_certificate(pem).serial_number: now for pem in meant if not heads.is_revoked(pem)}
    if not serials:
        raise RefusedError(_("the certificate of {fingerprint} is revoked already", fingerprint=fingerprint))
    _reissue(heads, _authority(heads), _authority_key(heads, keys), serials, now)
    return _described("seal", meant[0], heads, keys)


# By somebody else's authority


def request(keys: KeyFolder, common_name: str, organization: str, country: str) -> tuple[bytes, PublicKey]:
    """Make a key for a seal and a request for its certificate (PKCS#10, PEM).

    Raises:
        UsageError: A name cannot stand in a certificate.
        TargetError: The key could not be written.
    """
    named = (
        (NameOID.COUNTRY_NAME, country),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.COMMON_NAME, common_name),
    )
    with reading(_("a common name has 1 to 64 characters, a country is two letters"), UsageError):
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in named if text])
        if not common_name:
            raise ValueError
    key = ec.generate_private_key(ec.SECP384R1())
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(usage, critical=True)
    made = builder.sign(key, HASH_OF_CURVE[key.curve.name])
    keep_key(keys, SEAL_ROLE, key, encrypt=False)
    return made.public_bytes(Encoding.PEM), PublicKey.wrap(key.public_key())


def install(
    heads: TrustFolder, keys: KeyFolder, content: bytes, now: datetime, public: PublicKey | None = None
) -> Certificate:
    """Take in a certificate that was issued for a request, with those above it if its authority is another than ours.

    One of our own authority seals from now on. One of another authority makes a second seal beside the first: what
    providers pinned stays as it is.

    Args:
        heads: The trust folder.
        keys: Holds the key, unless `public` names it.
        content: PEM: one certificate, or the whole chain.
        now: The clock.
        public: The key of the request, when it is on the publisher's machine.

    Raises:
        UsageError: The file holds no certificate, or is for another key.
        VerificationError: The chain does not hold, or the certificate is not one that may seal.
        TargetError: A file could not be written.
    """
    with reading(_("the file holds no certificates in PEM"), UsageError):
        chain = x509.load_pem_x509_certificates(content)
        certificate = next(entry for entry in chain if not _is_authority(entry))
    pem = certificate.public_bytes(Encoding.PEM)
    _require_ours(certificate, keys, public)
    authority = x509.load_pem_x509_certificate(_authority(heads))
    if certificate.issuer == authority.subject:
        check_issued_here(certificate, _authority(heads), now)
        _put_first(heads, heads.certificates()[0], pem)
        return _described("seal", pem, heads, keys)
    above = _ordered(certificate, [entry for entry in chain if _is_authority(entry)], now)
    _require_for_signing(certificate)
    heads.write(QUALIFIED_CHAIN, b"".join(entry.public_bytes(Encoding.PEM) for entry in above))
    heads.write(QUALIFIED, pem)
    return _described("qualified", pem, None, keys)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _require_ours(certificate: x509.Certificate, keys: KeyFolder, public: PublicKey | None) -> None:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UsageError(_("the certificate is for another key"), _("it has to be for the request that was made here"))
    require_curve(key, SIGNER)
    found = PublicKey.wrap(key)
    ours = found == public if public else key_name(keys, SEAL_ROLE, found.keyid) is not None
    if not ours:
        raise UsageError(
            _("the certificate is for the key {fingerprint}, which is not here", fingerprint=found.fingerprint),
            _("run this where 'trust seal request' was run, or name the key with --key FILE.pub"),
        )


def _ordered(certificate: x509.Certificate, above: Sequence[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """The certificates above one, up to the self-signed one, each checked."""
    chain: list[x509.Certificate] = []
    current = certificate
    while not chain or chain[-1].issuer != chain[-1].subject:
        issuer = next((entry for entry in above if entry not in chain and _issued(current, entry)), None)
        if issuer is None:
            raise VerificationError(
                _(
                    "the chain does not lead from {subject} to a self-signed authority",
                    subject=current.subject.rfc4514_string(),
                ),
                _("put the certificate and all those above it into one PEM file"),
            )
        chain.append(issuer)
        current = issuer
    if not _issued(current, current):
        raise VerificationError(_("the last certificate of the chain was not issued by itself"))
    for entry in (certificate, *chain):
        if not entry.not_valid_before_utc <= now < entry.not_valid_after_utc:
            raise VerificationError(_("{subject} is not in force", subject=_subject(entry)))
    return chain


def _subject(certificate: x509.Certificate) -> str:
    return plain(certificate.subject.rfc4514_string())


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _require_for_signing(certificate: x509.Certificate) -> None:
    """OpenSSL's rules for who may sign CMS: with another certificate, its command would refuse every release."""
    uses = {entry.oid: entry.value for entry in certificate.extensions}
    usage = uses.get(x509.KeyUsage.oid)
    if isinstance(usage, x509.KeyUsage) and not (usage.digital_signature or usage.content_commitment):
        raise VerificationError(_("{what} is not for signing", what=_(SIGNER)))
    purposes = uses.get(x509.ExtendedKeyUsage.oid)
    if isinstance(purposes, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        raise VerificationError(
            _("{what} is for another use", what=_(SIGNER)),
            _("ask for one without an extended key usage, or with emailProtection"),
        )
