"""Keys as bytes: public keys as acts and metadata carry them, private keys as files hold them, and signers."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
VerifyingKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_HASHES: dict[str, hashes.HashAlgorithm] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519, ECDSA P-256 or ECDSA P-384 public key, compared by its re-encoded SubjectPublicKeyInfo (RFC 5280)."""

    der: bytes
    _key: VerifyingKey = field(compare=False, repr=False)

    @classmethod
    def wrap(cls, key: object) -> PublicKey:
        """Take a key of `cryptography`.

        Raises:
            UsageError: It is of another type than the three, or no secret belongs to it.
        """
        named_curve = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES
        if not isinstance(key, ed25519.Ed25519PublicKey) and not named_curve:
            raise UsageError(
                _("the key is not Ed25519, ECDSA P-256 or ECDSA P-384"), _("make one with 'blocklist key new'")
            )
        assert isinstance(key, VerifyingKey)  # noqa: S101  (tells the type checker what the line above refused)
        if isinstance(key, ed25519.Ed25519PublicKey) and _is_weak(key.public_bytes_raw()):
            raise UsageError(_("the key is one that anybody can sign with"), _("make one with 'blocklist key new'"))
        return cls(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)

    @classmethod
    def from_base64(cls, text: str) -> PublicKey:
        """Read a key as acts carry it.

        Raises:
            VerificationError: It is not the one encoding of a key of the three types.
        """
        return _from_base64(text)

    @classmethod
    def from_pem(cls, content: bytes, what: str) -> PublicKey:
        """Read a key file; `what` names it in an error.

        Raises:
            UsageError: It holds no public key of the three types.
        """
        try:
            return cls.wrap(load_pem_public_key(content))
        except (ValueError, UnsupportedAlgorithm) as fault:
            raise UsageError(
                _("{what} holds no public key in PEM form", what=what), _("give the .pub file of the officer")
            ) from fault

    def to_base64(self) -> str:
        """The form that acts carry."""
        return base64.b64encode(self.der).decode()

    def to_pem(self) -> bytes:
        """The form of key files."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def keyid(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The first 80 bits of the key id in groups of four, to be read out loud."""
        return "-".join(self.keyid[start : start + 4] for start in range(0, 20, 4))

    def curve_key(self) -> ec.EllipticCurvePublicKey:
        """The key, which has to be ECDSA: those of tokens are.

        Raises:
            UsageError: It is Ed25519.
        """
        if not isinstance(self._key, ec.EllipticCurvePublicKey):
            raise UsageError(_("the key is not an ECDSA key"), _("keys on tokens are on P-384 or P-256"))
        return self._key

    def verify(self, signature: bytes, content: bytes) -> None:
        """Check a signature over `content`.

        Raises:
            VerificationError: It was not made by this key over these bytes.
        """
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, content)
            else:
                self._key.verify(signature, content, ec.ECDSA(_HASHES[self._key.curve.name]))
        except InvalidSignature as fault:
            raise VerificationError(_("the signature is not by the officer's key"), _("the act was altered")) from fault


_P = 2**255 - 19
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""Second coordinates of the points of order 1, 2, 4 and 8 of edwards25519 (RFC 8032, 5.1)."""


def _is_weak(raw: bytes) -> bool:
    """Whether a point has low order, or a second encoding: OpenSSL verifies signatures that anybody makes for those."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    return y >= _P or y in _LOW_ORDER


@lru_cache(maxsize=1024)
def _from_base64(text: str) -> PublicKey:
    try:
        key = PublicKey.wrap(load_der_public_key(base64.b64decode(text, validate=True)))
    except (binascii.Error, ValueError, UnsupportedAlgorithm, UsageError) as fault:
        raise VerificationError(_("a public key is not Ed25519, ECDSA P-256 or P-384 in DER form")) from fault
    if key.to_base64() != text:
        raise VerificationError(_("a public key is not in its one encoding"))
    return key


def signer(key: SigningKey) -> CryptoSigner:
    """A securesystemslib signer whose key id is the SHA-256 of the public key, as everywhere in `blocklist`."""
    from securesystemslib.signer import CryptoSigner, SSlibKey

    public = PublicKey.wrap(key.public_key())
    return CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), keyid=public.keyid))


# Private keys in files

KDF_ROUNDS = 1_000_000
"""Rounds of the key derivation of an encrypted key file; about half a second, for us and for a thief's each guess."""

_PKCS8 = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_OLD_PEM = b"Proc-Type: 4,ENCRYPTED"


@dataclass(frozen=True, slots=True)
class Protection:
    """What stands between a copy of a key file and the key.

    Args:
        encrypted: Whether a passphrase is needed.
        rounds: Of PBKDF2, where that was used throughout; 0 for what is weaker by kind or cannot be judged.
    """

    encrypted: bool
    rounds: int = 0

    @property
    def weak(self) -> bool:
        """Whether a passphrase is asked for that a thief guesses faster than `KDF_ROUNDS` allow."""
        return self.encrypted and self.rounds < KDF_ROUNDS


def is_pem(content: bytes) -> bool:
    """Whether these are the bytes of a PEM file, as against PKCS#12."""
    return b"-----BEGIN " in content


def protection(content: bytes, what: str) -> Protection:
    """How a key file is protected; the passphrase is not needed.

    Raises:
        UsageError: It is no key file.
    """
    if is_pem(content):
        if _PKCS8 in content:
            return Protection(True, min(_rounds(_pkcs8_algorithms(content), what)))
        return Protection(_OLD_PEM in content)
    return Protection(True, min(_rounds(_pkcs12_algorithms(content), what), default=0))


def _rounds(found: Iterator[int], what: str) -> list[int]:
    """All that a lazy parser finds, or one error: it raises a dozen types."""
    try:
        return list(found)
    except Exception as fault:
        raise UsageError(_("{what} holds no private key", what=what), _("restore it from your backup")) from fault


def _pkcs8_algorithms(content: bytes) -> Iterator[int]:
    from asn1crypto.keys import EncryptedPrivateKeyInfo
    from asn1crypto.pem import unarmor

    _type, _headers, encoded = unarmor(content[content.index(_PKCS8) :])
    yield _derivation(EncryptedPrivateKeyInfo.load(encoded, strict=True)["encryption_algorithm"])


def _pkcs12_algorithms(content: bytes) -> Iterator[int]:
    """Every derivation from the passphrase in a PKCS#12 file (RFC 7292): each is a way to try passphrases."""
    from asn1crypto.pkcs12 import Pfx, SafeContents

    sealed = Pfx.load(content, strict=True)
    if sealed["mac_data"].native is not None:
        yield int(sealed["mac_data"]["iterations"].native)
    for part in sealed.authenticated_safe:
        if part["content_type"].native == "encrypted_data":
            yield _derivation(part["content"]["encrypted_content_info"]["content_encryption_algorithm"])
            continue
        for bag in SafeContents.load(part["content"].native, strict=True):
            if bag["bag_id"].native == "pkcs8_shrouded_key_bag":
                yield _derivation(bag["bag_value"]["encryption_algorithm"])
            elif bag["bag_id"].native == "key_bag":
                yield 0


def _derivation(algorithm: Any) -> int:  # noqa: ANN401 (asn1crypto has no types)
    """Rounds of PBES2 with PBKDF2 (RFC 8018); 0 for the older schemes, whose ciphers are weak, and unknown ones."""
    if algorithm["algorithm"].native != "pbes2":
        return 0
    derived = algorithm["parameters"]["key_derivation_func"]
    return int(derived["parameters"]["iteration_count"].native) if derived["algorithm"].native == "pbkdf2" else 0


def require_strong(found: Protection, what: str) -> None:
    """Refuse a passphrase that protects less than it seems to.

    Raises:
        UsageError: A thief could try passphrases much faster than on a key that `blocklist` closed.
    """
    if not found.weak:
        return
    hint = _("'blocklist key change-passphrase' closes it anew; choose another passphrase if others may have copied it")
    if found.rounds:
        raise UsageError(
            _(
                "{what} is closed with too few rounds of key derivation: {rounds}, not {wanted}",
                what=what,
                rounds=found.rounds,
                wanted=KDF_ROUNDS,
            ),
            hint,
        )
    raise UsageError(_("{what} is closed with a scheme that is out of date or unknown", what=what), hint)


def opened(content: bytes, passphrase: bytes | None, what: str) -> object:
    """The key in a file; `passphrase` is None for one that is not encrypted.

    Raises:
        UsageError: The passphrase does not open it, or there is no key in it.
    """
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        if is_pem(content):
            return load_pem_private_key(content, passphrase)
        return pkcs12.load_pkcs12(content, passphrase).key
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        if passphrase is None:
            raise UsageError(
                _("{path} holds no private key in PEM form", path=what), _("restore it from your backup")
            ) from fault
        raise UsageError(
            _("the passphrase does not open {what}", what=what),
            _("try again; BLOCKLIST_PASSPHRASE_FILE names a file whose first line is the passphrase"),
        ) from fault


def closed(name: str, key: SigningKey, passphrase: bytes) -> bytes:
    """PKCS#12, because PKCS#8 as `cryptography` writes it stays at 2,048 rounds; without the MAC, which does so too.

    The MAC is made with the same passphrase: a thief would try his guesses on it, five hundred times as fast.

    Raises:
        UsageError: The passphrase is empty.
    """
    from asn1crypto.pkcs12 import Pfx
    from cryptography.hazmat.primitives.serialization import pkcs12

    if not passphrase:
        raise UsageError(_("an empty passphrase protects nothing"), _("give one, or leave the key unencrypted"))
    scheme = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(KDF_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase)
    )
    sealed = Pfx.load(pkcs12.serialize_key_and_certificates(name.encode(), key, None, None, scheme))
    return bytes(Pfx({"version": "v3", "auth_safe": sealed["auth_safe"]}).dump())


def plain(key: SigningKey) -> bytes:
    """PKCS#8 without a passphrase, in PEM form."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
