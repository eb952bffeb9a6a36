"""Keys: public keys as acts carry them, and private keys in a folder that only their owner can read.

Officers' keys are found by the officer's id (`agent-1.pub` beside `agent-1.p12`), keys of roles by role and key id
(`timestamp-3fa9c2d1….pem`), so that one folder serves several workspaces and a rotated key has a name of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

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

from blocklist import files
from blocklist.errors import RefusedError, UsageError, VerificationError
from blocklist.messages import _

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

VerifyingKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
Passphrase = Callable[[str], bytes]
"""Given what the passphrase opens, returns it: from a prompt or a file, never from an argument."""

KDF_ROUNDS = 1_000_000
"""Rounds of the key derivation of an encrypted key file; about half a second, for us and for a thief's each guess."""

_HASHES: dict[str, hashes.HashAlgorithm] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}
_MAX_KEY_FILE = 64 * 1024
_KEY_NAME = re.compile(r"[a-z][a-z0-9-]{0,127}")


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


def _seal_key(name: str, key: SigningKey, passphrase: bytes) -> bytes:
    """PKCS#12, because PKCS#8 as `cryptography` writes it stays at 2,048 rounds; without the MAC, which does so too.

    The MAC is made with the same passphrase: a thief would try his guesses on it, five hundred times as fast.
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


def _open_key(content: bytes, passphrase: bytes, what: str) -> object:
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        return pkcs12.load_pkcs12(content, passphrase).key
    except ValueError as fault:
        raise UsageError(
            _("the passphrase does not open {what}", what=what),
            _("try again; BLOCKLIST_PASSPHRASE_FILE names a file whose first line is the passphrase"),
        ) from fault


class KeyFolder:
    """The private keys of one person or machine: mode 0700, every private key in it 0600.

    Args:
        path: The folder; it is made when the first key is.
        passphrase: Asked for whenever an encrypted key is opened.
        new: Asked for whenever a key is made that is to be encrypted; by default the same.
    """

    def __init__(self, path: Path, passphrase: Passphrase, new: Passphrase | None = None) -> None:
        self.path = path
        self._passphrase = passphrase
        self._new = new or passphrase

    def create(self, name: str, key: SigningKey, *, encrypt: bool) -> PublicKey:
        """Keep a new private key as `name`, its public key beside it as `name.pub`.

        Raises:
            RefusedError: A key of that name exists; keys are never overwritten.
            UsageError: The name cannot be that of a key, or the passphrase is empty.
            TargetError: The files could not be written.
        """
        if self.has(name):
            raise RefusedError(
                _("the key {name} exists in {path}", name=name, path=self.path),
                _("keys are never overwritten; choose another id"),
            )
        public = PublicKey.wrap(key.public_key())
        if encrypt:
            suffix, private = ".p12", _seal_key(name, key, self._new(_("the new key {name}", name=name)))
        else:
            suffix, private = ".pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files.make_folder(self.path, 0o700)
        files.replace(self.path / f"{name}.pub", public.to_pem())
        files.replace(self.path / f"{name}{suffix}", private, 0o600)
        return public

    def has(self, name: str) -> bool:
        """Whether there is a private key of that name.

        Raises:
            UsageError: The name cannot be that of a key.
        """
        return self._private(name) is not None

    def is_encrypted(self, name: str) -> bool:
        """Whether the private key of that name asks for a passphrase."""
        path = self._private(name)
        return path is not None and path.suffix == ".p12"

    def _private(self, name: str) -> Path | None:
        if not _KEY_NAME.fullmatch(name):
            raise UsageError(
                _("{name!r} cannot be the name of a key", name=name), _("lower-case letters, digits and hyphens")
            )
        paths = (self.path / f"{name}{suffix}" for suffix in (".p12", ".pem"))
        return next((path for path in paths if path.exists()), None)

    def public(self, name: str) -> PublicKey:
        """The public key of `name`.

        Raises:
            UsageError: There is none, or it cannot be read.
        """
        path = self.path / f"{name}.pub"
        return PublicKey.from_pem(files.read(path, _("the public key"), _MAX_KEY_FILE), str(path))

    def private(self, name: str) -> SigningKey:
        """The private key of `name`, opened with its passphrase if it has one.

        Raises:
            UsageError: There is none, it is open to others, or the passphrase is wrong.
        """
        path = self._private(name)
        if path is None:
            raise UsageError(
                _("there is no key {name} in {path}", name=name, path=self.path),
                _("BLOCKLIST_KEYS names the folder that holds your keys"),
            )
        if path.stat().st_mode & 0o077:
            raise UsageError(
                _("the key {path} can be read by others", path=path),
                _("chmod 600 {path}; consider the key known", path=path),
            )
        content = files.read(path, _("the key"), _MAX_KEY_FILE)
        if path.suffix == ".p12":
            key = _open_key(content, self._passphrase(_("the key {name}", name=name)), _("the key {name}", name=name))
        else:
            key = _load_plain(content, path)
        if not isinstance(key, SigningKey):
            raise UsageError(
                _("{path} holds no key that can sign", path=path), _("Ed25519, ECDSA P-256 and P-384 keys can")
            )
        return key


def _load_plain(content: bytes, path: Path) -> object:
    try:
        return load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise UsageError(
            _("{path} holds no private key in PEM form", path=path), _("restore it from your backup")
        ) from fault


def role_key_name(role: str, keyid: str) -> str:
    """The file name of the key of a role: readable, and another one for each key."""
    return f"{role}-{keyid[:16]}"
