"""Public keys as acts and metadata carry them, and the signer of a private key."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encryption import SigningKey

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


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
