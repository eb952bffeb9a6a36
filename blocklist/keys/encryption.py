"""Private keys as bytes of a file: how strongly they are protected, opening them, and closing them with a passphrase.

No I/O: bytes and passphrases go in, keys or bytes come out. What is written is PKCS#12; PKCS#8 as `openssl pkcs8`
writes it is read as well. Whoever reads a key judges first whether its protection is worth the name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _

SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

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
