"""Keys on PKCS#11 tokens: made there, never out of there, and used like the keys of `cryptography`.

A key folder holds a link to each of them, a PKCS#11 URI (RFC 7512) that says which module, token and key; no secret is
in it. `TokenKey` is an `ec.EllipticCurvePrivateKey`: whatever signs with a key file, be it an act, metadata, a seal or
a certificate, signs with a token as it is. That `cryptography` and `securesystemslib` take such a subclass is no
promised interface; a test holds them to it.

The library is python-pkcs11 (the extra `hsm`), loaded when a token is used. It starts modules for one thread at a
time, hence the lock; a login counts for the whole process, so each token asks once for its PIN.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _

if TYPE_CHECKING:
    import pkcs11

Pin = Callable[[str, bool], bytes]
"""Given what the PIN opens, and whether one more wrong one locks it, returns the PIN: never from an argument."""

CURVES: dict[str, ec.EllipticCurve] = {"p384": ec.SECP384R1(), "p256": ec.SECP256R1()}
_PARAMETERS = {"secp256r1": bytes.fromhex("06082a8648ce3d030107"), "secp384r1": bytes.fromhex("06052b81040022")}
"""The names of the curves as CKA_EC_PARAMS has them: an object identifier in DER (RFC 5480, clause 2.1.1.1)."""

_CHALLENGE = b"blocklist asks whether this token holds the key that it should"
_lock = threading.RLock()
_started: dict[str, Any] = {}
"""Modules, by path."""
_logins: dict[tuple[str, str], _Login] = {}
"""By module and serial number of the token."""


@dataclass(frozen=True, slots=True)
class _Login:
    """A session that is logged in; and the PIN, unless the token took it from a key pad of its own."""

    session: Any
    pin: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which token is meant: its label or its serial number, or the only one that is there."""

    module: Path
    label: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is.

    Args:
        module: The PKCS#11 module, a shared library.
        label: Of the token, for people.
        serial: Of the token; this is what it is found by.
        key_id: CKA_ID of the key.
    """

    module: Path
    label: str
    serial: str
    key_id: bytes

    def to_uri(self) -> str:
        """The link as a key folder keeps it (RFC 7512)."""
        token, serial = quote(self.label, safe=""), quote(self.serial, safe="")
        key_id = "".join(f"%{octet:02x}" for octet in self.key_id)
        return f"pkcs11:token={token};serial={serial};id={key_id};type=private?module-path={quote(str(self.module))}"

    @classmethod
    def from_uri(cls, text: str, what: str) -> Place:
        """Read a link; `what` names it in an error.

        Raises:
            UsageError: It is none.
        """
        scheme, _colon, rest = text.strip().partition(":")
        path, _mark, query = rest.partition("?")
        pairs = [part.partition("=")[::2] for part in path.split(";") + query.split("&")]
        found = {name: unquote_to_bytes(value).decode("utf-8", "replace") for name, value in pairs}
        key_id = unquote_to_bytes(dict(pairs).get("id", ""))
        wanted = {"token", "serial", "id", "type", "module-path"}
        if scheme != "pkcs11" or found.keys() != wanted or len(pairs) != len(wanted) or not key_id:
            raise UsageError(
                _("{what} does not say where a key is", what=what), _("make it again with 'blocklist key attach'")
            )
        return cls(Path(found["module-path"]), found["token"], found["serial"], key_id)


class TokenKey(ec.EllipticCurvePrivateKey):
    """A private key on a token: it signs there, and cannot be read.

    Every signature is verified before it is given out: a wrong key or a faulty token is noticed here.
    """

    def __init__(self, key: Any, public: ec.EllipticCurvePublicKey, what: str, pin: str | None) -> None:  # noqa: ANN401
        self._key, self._public, self._what, self._pin = key, public, what, pin

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Its public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ANN401
        """Sign; the hash is computed here, since not every token knows each (CKM_ECDSA does not hash).

        Raises:
            UsageError: The token is gone or refuses, or it does not hold the key that it should.
        """
        from pkcs11 import Mechanism

        digest = _digest(data, signature_algorithm.algorithm)
        with _speaking(self._what):
            raw = bytes(self._key.sign(digest, mechanism=Mechanism.ECDSA, pin=self._pin))
        half = len(raw) // 2
        signature = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        try:
            self._public.verify(signature, data, signature_algorithm)
        except InvalidSignature as fault:
            raise _another_key(self._what) from fault
        return signature

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Not for this."""
        raise _stays(self._what)

    def private_numbers(self) -> NoReturn:
        """Not to be had."""
        raise _stays(self._what)

    def private_bytes(self, encoding: object, format: object, encryption_algorithm: object) -> NoReturn:  # noqa: A002
        """Not to be had."""
        raise _stays(self._what)

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> TokenKey:
        return self


def _stays(what: str) -> RefusedError:
    return RefusedError(_("the key on {what} cannot leave it", what=what), _("it can sign, and nothing else"))


def _another_key(what: str) -> UsageError:
    return UsageError(
        _("the key on {what} is not the one of the .pub file", what=what),
        _("is it another officer's token? 'blocklist key attach' makes the link anew"),
    )


def _digest(content: bytes, algorithm: hashes.HashAlgorithm | Prehashed) -> bytes:
    if isinstance(algorithm, Prehashed):
        return bytes(content)
    digest = hashes.Hash(algorithm)
    digest.update(content)
    return digest.finalize()


# --- What can be done with a token -------------------------------------------------------------------------------


def make(choice: Choice, label: str, curve: ec.EllipticCurve, pin: Pin) -> tuple[Place, TokenKey]:
    """Make a key on a token: sensitive, not extractable, for signing alone.

    Raises:
        UsageError: No such token, several of them, a wrong PIN, or the token makes no such keys.
    """
    token = _token(choice.module, choice.label, choice.serial)
    from pkcs11 import Attribute, KeyType

    what, key_id = _named(token), os.urandom(16)
    login = _login(choice.module, token, pin)
    with _speaking(what):
        session = token.open(rw=True)  # a login counts for every session
        parameters = {Attribute.EC_PARAMS: _PARAMETERS[curve.name]}
        public, private = session.create_domain_parameters(KeyType.EC, parameters, local=True).generate_keypair(
            id=key_id,
            label=label,
            store=True,
            public_template={Attribute.DERIVE: False},
            private_template={
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.PRIVATE: True,
                Attribute.DERIVE: False,
            },
        )
        point = _public_of(public)
    if point is None:
        raise UsageError(_("{what} made a key of another kind than was asked for", what=what))
    place = Place(choice.module, token.label, _serial(token), key_id)
    return place, TokenKey(private, point, what, _again(private, login))


def destroy(place: Place, pin: Pin) -> None:
    """Take a key off its token: one that was just made and could not be recorded.

    Raises:
        UsageError: As for `make`.
    """
    token = _token(place.module, place.label, place.serial)
    from pkcs11 import Attribute

    _login(place.module, token, pin)
    with _speaking(_named(token)):
        for found in list(token.open(rw=True).get_objects({Attribute.ID: place.key_id})):
            found.destroy()


def existing(choice: Choice, key_id: bytes | None, pin: Pin) -> tuple[Place, TokenKey]:
    """A key that is on a token already: that of `key_id`, or the only one.

    Raises:
        UsageError: No such token or key, several of them, or a wrong PIN.
    """
    token = _token(choice.module, choice.label, choice.serial)
    from pkcs11 import Attribute

    what = _named(token)
    login = _login(choice.module, token, pin)
    with _speaking(what):
        found = _private_keys(login.session, key_id)
        if len(found) != 1:
            raise _none_or_several(what, [bytes(key[Attribute.ID]).hex() for key in found])
        (private,) = found
        place = Place(choice.module, token.label, _serial(token), bytes(private[Attribute.ID]))
        public = _public_on(login.session, place.key_id)
    if public is None:
        raise UsageError(
            _("{what} shows no public key on P-256 or P-384 with this key", what=what),
            _("write the public key to the token too, with its own program"),
        )
    key = TokenKey(private, public, what, _again(private, login))
    key.sign(_CHALLENGE, ec.ECDSA(hashes.SHA256()))
    return place, key


def opened(place: Place, public: ec.EllipticCurvePublicKey, pin: Pin) -> TokenKey:
    """The key of a link, which has to be the private key of `public`.

    Raises:
        UsageError: The token or the key is not there, the PIN is wrong or locked, or it is another key.
    """
    token = _token(place.module, place.label, place.serial)
    what = _named(token)
    login = _login(place.module, token, pin)
    with _speaking(what):
        found = _private_keys(login.session, place.key_id)
        if len(found) != 1:
            raise _none_or_several(what, [place.key_id.hex()] * len(found))
        shown = _public_on(login.session, place.key_id)
    key = TokenKey(found[0], public, what, _again(found[0], login))
    if shown is None:
        key.sign(_CHALLENGE, ec.ECDSA(hashes.SHA256()))  # the token does not say which key it is, so it has to show it
    elif shown != public:
        raise _another_key(what)
    return key


def forget() -> None:
    """Log out of every token, and stop the modules; the next use begins anew."""
    import pkcs11

    with _lock:
        for module in _started.values():
            with suppress(pkcs11.PKCS11Error):
                module.finalize()
        _started.clear()
        _logins.clear()


# --- Modules, tokens, sessions -----------------------------------------------------------------------------------


def _module(path: Path) -> Any:  # noqa: ANN401 (the library's class is made at run time)
    """Load and start a PKCS#11 module."""
    try:
        import pkcs11
    except ImportError as fault:
        raise UsageError(
            _("keys on tokens need the package python-pkcs11"), _("pip install 'blocklist[hsm]'")
        ) from fault
    hint = _("the token's vendor says which file it is; OpenSC's is opensc-pkcs11.so")
    if not path.is_absolute() or not path.is_file():
        raise UsageError(_("there is no PKCS#11 module {path}", path=path), hint)
    try:
        # By its real path: a module that is reached by two names would be started twice, and refuses that.
        real = str(path.resolve())
        return _started.setdefault(real, pkcs11.lib(real))
    except pkcs11.PKCS11Error as fault:
        raise UsageError(_("the PKCS#11 module {path} does not start", path=path), hint) from fault


def _token(module: Path, label: str | None, serial: str | None) -> pkcs11.Token:
    """The token of that serial number, else of that label, else the only one."""
    library = _module(module)
    from pkcs11 import TokenFlag

    with _speaking(_("the module {path}", path=module)):
        there: list[pkcs11.Token] = [t for t in library.get_tokens() if t.flags & TokenFlag.TOKEN_INITIALIZED]
    if serial:
        found = [token for token in there if _serial(token) == serial]
    else:
        found = [token for token in there if label is None or token.label == label]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{_named(token)} --serial {_serial(token)}" for token in there)
    if found:
        raise UsageError(
            _("{count} tokens fit, and only one can be meant", count=len(found)),
            _("name it with --label or --serial; there are: {names}", names=names),
        )
    hint = _("plug it in; there are: {names}", names=names) if there else _("plug it in; there is no token at all")
    if serial and label:
        raise UsageError(_("the token {label} of serial {serial} is not there", label=label, serial=serial), hint)
    raise UsageError(_("the token {label} is not there", label=serial or label or ""), hint)


def _serial(token: pkcs11.Token) -> str:
    return token.serial.decode("utf-8", "replace").strip("\0 ")


def _named(token: pkcs11.Token) -> str:
    return _("the token {label}", label="".join(sign if sign.isprintable() else "?" for sign in token.label))


def _login(module: Path, token: pkcs11.Token, pin: Pin) -> _Login:
    """Log in to a token, once in a process.

    Raises:
        UsageError: The PIN is wrong, or locked.
    """
    import pkcs11

    which, what = (str(module.resolve()), _serial(token)), _named(token)
    with _lock:
        if which not in _logins:
            if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
                raise _locked(what)
            own_pad = token.flags & pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH
            last = bool(token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY)
            secret = None if own_pad else pin(what, last).decode("utf-8", "replace")
            with _speaking(what):
                session = token.open(user_pin=pkcs11.PROTECTED_AUTH if secret is None else secret)
            _logins[which] = _Login(session, secret)
        return _logins[which]


def _private_keys(session: Any, key_id: bytes | None) -> list[Any]:  # noqa: ANN401
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.EC}
    return list(session.get_objects(wanted if key_id is None else wanted | {Attribute.ID: key_id}))


def _public_on(session: Any, key_id: bytes) -> ec.EllipticCurvePublicKey | None:  # noqa: ANN401
    """The public key that the token holds beside a private one, if it holds one of a curve that we know."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: KeyType.EC, Attribute.ID: key_id}
    return next(filter(None, map(_public_of, list(session.get_objects(wanted)))), None)


def _public_of(found: Any) -> ec.EllipticCurvePublicKey | None:  # noqa: ANN401
    from pkcs11 import Attribute

    names = {parameters: name for name, parameters in _PARAMETERS.items()}
    curve = next((c for c in CURVES.values() if c.name == names.get(bytes(found[Attribute.EC_PARAMS]))), None)
    if curve is None:
        return None
    # An OCTET STRING around the point, says the standard; some tokens give the point alone.
    point = bytes(found[Attribute.EC_POINT])[-(1 + 2 * ((curve.key_size + 7) // 8)) :]
    with suppress(ValueError):
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    return None


def _again(private: Any, login: _Login) -> str | None:  # noqa: ANN401
    """The PIN, where the token wants it for every signature (CKA_ALWAYS_AUTHENTICATE)."""
    import pkcs11

    with suppress(pkcs11.PKCS11Error, KeyError):
        if private[pkcs11.Attribute.ALWAYS_AUTHENTICATE]:
            return login.pin
    return None


# --- Faults ------------------------------------------------------------------------------------------------------


@contextmanager
def _speaking(what: str) -> Iterator[None]:
    """Talk to a token, one thread at a time, and turn what it answers into one sentence.

    Raises:
        UsageError: It refused, or is gone.
    """
    import pkcs11

    with _lock:
        try:
            yield
        except pkcs11.PKCS11Error as fault:
            raise _explained(what, fault) from fault


def _explained(what: str, fault: pkcs11.PKCS11Error) -> UsageError:
    import pkcs11

    match fault:
        case pkcs11.PinLocked():
            return _locked(what)
        case pkcs11.PinIncorrect() | pkcs11.PinInvalid() | pkcs11.PinLenRange():
            return UsageError(
                _("the PIN does not open {what}", what=what),
                _("mind that a few wrong ones lock it; BLOCKLIST_PIN_FILE names a file whose first line is the PIN"),
            )
        case pkcs11.PinExpired() | pkcs11.UserPinNotInitialized():
            return UsageError(
                _("{what} has no PIN that can be used", what=what), _("set one with the token's own program")
            )
        case pkcs11.TokenNotPresent() | pkcs11.DeviceRemoved() | pkcs11.SessionHandleInvalid() | pkcs11.DeviceError():
            return UsageError(_("{what} was taken away or does not answer", what=what), _("plug it in and try again"))
        case pkcs11.TokenWriteProtected() | pkcs11.SessionReadOnly() | pkcs11.MechanismInvalid():
            return UsageError(
                _("{what} makes no such keys", what=what),
                _("make the key with the token's own program, then 'blocklist key attach'"),
            )
    return UsageError(
        _("{what} refuses: {fault}", what=what, fault=type(fault).__name__),
        _("the token's own program may tell more"),
    )


def _locked(what: str) -> UsageError:
    return UsageError(
        _("the PIN of {what} is locked", what=what),
        _("too many wrong ones were given; the token's own program unlocks it with the PUK or security officer's PIN"),
    )


def _none_or_several(what: str, ids: list[str]) -> UsageError:
    if not ids:
        return UsageError(_("{what} does not hold the key", what=what), _("is it the right token?"))
    return UsageError(
        _("{what} holds several keys that fit", what=what), _("name one with --key-id: {ids}", ids=", ".join(ids))
    )
