"""Private keys in a folder that only their owner can read.

Officers' keys are found by the officer's id (`agent-1.pub` beside `agent-1.p12`), keys of roles by role and key id
(`timestamp-3fa9c2d1….pem`), so that one folder serves several workspaces and a rotated key has a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base import durable
from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _
from blocklist.keys import encoding
from blocklist.keys.encoding import Protection, PublicKey, SigningKey

if TYPE_CHECKING:
    from blocklist.keys.tokens import Choice, Pin, Place


Passphrase = Callable[[str], bytes]
"""Given what the passphrase opens, returns it: from a prompt or a file, never from an argument."""

_MAX_KEY_FILE = 64 * 1024
_KEY_NAME = re.compile(r"[a-z][a-z0-9-]{0,127}")
_LINK = ".token"
_SUFFIXES = (".p12", ".pem", _LINK)
"""Of private keys; the first counts, should a change of passphrase have been cut off between two of them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A key of a folder, as it can be told without opening it.

    Args:
        name: The name that `--as` and the roles use.
        public: Its public key; None when there is no readable `.pub` file.
        path: Its file, or the link to its token.
        protection: Of the file; None when it is on a token.
        place: Where on which token; None when it is a file.
        fault: Why it cannot be used, if it cannot.
    """

    name: str
    public: PublicKey | None
    path: Path
    protection: Protection | None = None
    place: Place | None = None
    fault: str = ""


class KeyFolder:
    """The private keys of one person or machine: mode 0700, every private key in it 0600.

    A key is a file with a passphrase (`NAME.p12`, or `NAME.pem` by `openssl pkcs8`), a file without one (`NAME.pem`),
    or on a token (`NAME.token` says where). Its public key is `NAME.pub` beside it.

    Args:
        path: The folder; it is made when the first key is.
        passphrase: Asked for whenever an encrypted key is opened.
        new: Asked for whenever a key is made that is to be encrypted; by default the same.
        pin: Asked for whenever a token is opened; without it, keys on tokens are refused.
    """

    def __init__(
        self, path: Path, passphrase: Passphrase, new: Passphrase | None = None, pin: Pin | None = None
    ) -> None:
        self.path = path
        self._passphrase = passphrase
        self._new = new or passphrase
        self._pin = pin or _no_pin

    # Making keys

    def create(self, name: str, key: SigningKey, *, encrypt: bool) -> PublicKey:
        """Keep a new private key as `name`, its public key beside it as `name.pub`.

        Raises:
            RefusedError: A key of that name exists; keys are never overwritten.
            UsageError: The name cannot be that of a key, or the passphrase is empty.
            TargetError: The files could not be written.
        """
        self._require_new(name)
        public = PublicKey.wrap(key.public_key())
        if encrypt:
            suffix, private = ".p12", encoding.closed(name, key, self._new(_("the new key {name}", name=name)))
        else:
            suffix, private = ".pem", encoding.plain(key)
        self._write(name, public, suffix, private)
        return public

    def create_on_token(self, name: str, choice: Choice, curve: str, *, role: bool = False) -> tuple[str, PublicKey]:
        """Make a key on a token and link to it.

        Args:
            name: Of the officer or role.
            choice: Which token.
            curve: `p384` or `p256`.
            role: Whether the name gets the key id, as those of roles have it.

        Returns:
            The name under which it is kept, and its public key.

        Raises:
            RefusedError: A key of that name exists.
            UsageError: There is no such token, or it refuses.
            TargetError: The files could not be written; the key was taken off the token.
        """
        from blocklist.keys import tokens

        self._require_new(name)
        place, key = tokens.make(choice, name, tokens.CURVES[curve], self._pin)
        public = PublicKey.wrap(key.public_key())
        name = role_key_name(name, public.keyid) if role else name
        try:
            self._write(name, public, _LINK, place.to_uri().encode() + b"\n")
        except BaseException:
            tokens.destroy(place, self._pin)
            raise
        return name, public

    def attach(
        self, name: str, choice: Choice, key_id: bytes | None = None, *, role: bool = False
    ) -> tuple[str, PublicKey]:
        """Link to a key that is on a token already; a `.pub` file that is there has to be that key's.

        Returns:
            The name under which it is kept, and its public key.

        Raises:
            RefusedError: There is a private key of that name, or a public key that is another.
            UsageError: There is no such token or key, or the token refuses.
            TargetError: The files could not be written.
        """
        from blocklist.keys import tokens

        place, key = tokens.existing(choice, key_id, self._pin)
        public = PublicKey.wrap(key.public_key())
        name = role_key_name(name, public.keyid) if role else name
        if self.has(name) and not self._is_link(name):
            self._require_new(name)
        if (self.path / f"{name}.pub").exists() and self.public(name) != public:
            raise RefusedError(
                _("{name}.pub is not the key on the token", name=name), _("choose another id, or the right token")
            )
        self._write(name, public, _LINK, place.to_uri().encode() + b"\n")
        return name, public

    def _require_new(self, name: str) -> None:
        if self.has(name):
            raise RefusedError(
                _("the key {name} exists in {path}", name=name, path=self.path),
                _("keys are never overwritten; choose another id"),
            )

    def _write(self, name: str, public: PublicKey, suffix: str, private: bytes) -> None:
        durable.make_folder(self.path, 0o700)
        durable.replace(self.path / f"{name}.pub", public.to_pem())
        durable.replace(self.path / f"{name}{suffix}", private, 0o600)

    def change_passphrase(self, name: str) -> PublicKey:
        """Close a key file with another passphrase; a key without one gets one, a weakly closed one is closed well.

        Every file that is written on the way is encrypted. The old one is there until the new one is, whole and on
        the disk; if the machine stops in between, the new one counts, and another run takes the old one away.

        Raises:
            UsageError: There is no such key, the old passphrase is wrong, or the new one is empty or the old one.
            RefusedError: The key is on a token.
            TargetError: The file could not be written; the old one is untouched.
        """
        path, content = self._read_private(name)
        if path.suffix == _LINK:
            raise RefusedError(
                _("the key {name} is on a token", name=name), _("change its PIN with the token's own program")
            )
        what = _("the key {name}", name=name)
        found = encoding.protection(content, str(path))
        old = self._passphrase(what) if found.encrypted else None
        key = _signing(encoding.opened(content, old, what if old else str(path)), path)
        public = PublicKey.wrap(key.public_key())
        self._require_pair(name, public)
        new = self._new(_("the key {name} from now on", name=name))
        if new == old and not found.weak:
            raise UsageError(_("the new passphrase is the old one"), _("nothing was changed; choose another"))
        closed = encoding.closed(name, key, new)
        encoding.opened(closed, new, what)  # before the old file goes: the new one opens
        self._write(name, public, ".p12", closed)
        with durable.written(self.path / f"{name}.pem"):
            (self.path / f"{name}.pem").unlink(missing_ok=True)
            durable.sync_folder(self.path)
        return public

    def _require_pair(self, name: str, public: PublicKey) -> None:
        if (self.path / f"{name}.pub").exists() and self.public(name) != public:
            raise UsageError(
                _("{name}.pub is not the public key of the private key beside it", name=name),
                _("restore both from your backup"),
            )

    # Finding and opening them

    def has(self, name: str) -> bool:
        """Whether there is a private key of that name.

        Raises:
            UsageError: The name cannot be that of a key.
        """
        return self._private(name) is not None

    def is_encrypted(self, name: str) -> bool:
        """Whether the private key of that name asks for a passphrase, or for the PIN of its token.

        Raises:
            UsageError: The name cannot be that of a key, or the file cannot be read.
        """
        path = self._private(name)
        if path is None or path.suffix != ".pem":
            return path is not None
        return encoding.protection(durable.read(path, _("the key"), _MAX_KEY_FILE), str(path)).encrypted

    def kept(self) -> list[Kept]:
        """All keys of the folder, by name; those with a public key alone are other people's."""
        names = {path.stem for suffix in _SUFFIXES for path in self.path.glob(f"*{suffix}")}
        return [self._kept(name) for name in sorted(names) if _KEY_NAME.fullmatch(name)]

    def _kept(self, name: str) -> Kept:
        path, public = self._private(name), None
        assert path is not None  # noqa: S101  (its name was found a moment ago)
        try:
            public = self.public(name) if (self.path / f"{name}.pub").exists() else None
            path, content = self._read_private(name)
            if path.suffix == _LINK:
                return Kept(name, public, path, place=_place(content, path))
            return Kept(name, public, path, encoding.protection(content, str(path)))
        except UsageError as fault:
            return Kept(name, public, path, fault=fault.message)

    def _is_link(self, name: str) -> bool:
        path = self._private(name)
        return path is not None and path.suffix == _LINK

    def _private(self, name: str) -> Path | None:
        if not _KEY_NAME.fullmatch(name):
            raise UsageError(
                _("{name!r} cannot be the name of a key", name=name), _("lower-case letters, digits and hyphens")
            )
        paths = (self.path / f"{name}{suffix}" for suffix in _SUFFIXES)
        return next((path for path in paths if path.exists()), None)

    def public(self, name: str) -> PublicKey:
        """The public key of `name`.

        Raises:
            UsageError: There is none, or it cannot be read.
        """
        path = self.path / f"{name}.pub"
        return PublicKey.from_pem(durable.read(path, _("the public key"), _MAX_KEY_FILE), str(path))

    def private(self, name: str) -> SigningKey:
        """The private key of `name`, opened with its passphrase if it has one, or with the PIN of its token.

        Raises:
            UsageError: There is none, it is open to others, the passphrase or PIN is wrong, or the token is not there.
        """
        path, content = self._read_private(name)
        if path.suffix == _LINK:
            from blocklist.keys import tokens

            return tokens.opened(_place(content, path), self.public(name).curve_key(), self._pin)
        what = _("the key {name}", name=name)
        found = encoding.protection(content, str(path))
        encoding.require_strong(found, what)
        if found.encrypted:
            return _signing(encoding.opened(content, self._passphrase(what), what), path)
        return _signing(encoding.opened(content, None, str(path)), path)

    def _read_private(self, name: str) -> tuple[Path, bytes]:
        path = self._private(name)
        if path is None:
            raise UsageError(
                _("there is no key {name} in {path}", name=name, path=self.path),
                _("BLOCKLIST_KEYS names the folder that holds your keys"),
            )
        mode = path.stat().st_mode
        if path.suffix == _LINK and mode & 0o022:  # it names a library that runs with the owner's rights
            raise UsageError(
                _("the link {path} can be changed by others", path=path),
                _("look at it, then chmod 600 {path}", path=path),
            )
        if path.suffix != _LINK and mode & 0o077:
            raise UsageError(
                _("the key {path} can be read by others", path=path),
                _("chmod 600 {path}; consider the key known", path=path),
            )
        return path, durable.read(path, _("the key"), _MAX_KEY_FILE)


def _signing(key: object, path: Path) -> SigningKey:
    if not isinstance(key, SigningKey):
        raise UsageError(
            _("{path} holds no key that can sign", path=path), _("Ed25519, ECDSA P-256 and P-384 keys can")
        )
    return key


def _place(content: bytes, path: Path) -> Place:
    from blocklist.keys.tokens import Place

    return Place.from_uri(content.decode("utf-8", "replace"), str(path))


def _no_pin(what: str, _last: bool) -> bytes:
    raise UsageError(_("{what} asks for a PIN, which cannot be asked for here", what=what), _("use a key file here"))


def role_key_name(role: str, keyid: str) -> str:
    """The file name of the key of a role: readable, and another one for each key."""
    return f"{role}-{keyid[:16]}"
