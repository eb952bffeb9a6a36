"""The values that acts, releases and records are made of, each in its one spelling.

Each is read strictly, and written back to the very same JSON.
"""

from __future__ import annotations

import json
import re
import reprlib
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _, later
from blocklist.names.domain_name import NameRefused, Names, require_canonical

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far two honest clocks may differ."""

_FOLDER = "%Y%m%dT%H%M%SZ"


def format_instant(instant: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def folder_name(instant: datetime) -> str:
    """The name of the folder of the release of that instant, `20261122T120000Z`."""
    return instant.strftime(_FOLDER)


def folder_instant(name: str) -> datetime:
    """The instant of the release whose folder has that name.

    Raises:
        ValueError: It is no such name.
    """
    return datetime.strptime(name, _FOLDER).replace(tzinfo=UTC)


MAX_NAMES = 10_000
"""Names that one act may hold."""

RESERVED_IDS = frozenset({"root", "targets", "snapshot", "timestamp", "metadata", "latest", "registers"})
"""Names of roles and folders of the published tree; `registers` because its delegation would be `registers/*`."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_INSTANT = re.compile(r"2[01]\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)  # strptime takes any script's digits

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


class ActError(VerificationError):
    """The bytes are not an act in the one form that an act has."""


def refuse(message: str) -> NoReturn:
    """Raise `ActError`, with the hint that fits every malformed act."""
    raise ActError(message, _("the act was altered, or made by a newer program"))


def shown(value: object) -> str:
    """A value as a message can hold it, however long or deep it is."""
    return _repr.repr(value)


@dataclass(frozen=True, slots=True)
class Ref:
    """One act of the same register, by number and id."""

    seq: int
    id: str

    def to_json(self) -> dict[str, object]:
        """The form inside a payload."""
        return {"id": self.id, "seq": self.seq}


@dataclass(frozen=True, slots=True)
class Branch:
    """Which history of a register the heads chose, by an act that it holds.

    The first is the founding act's. After a fork they choose another one, with the next number.
    """

    number: int
    act: Ref

    def to_json(self) -> dict[str, object]:
        """The form inside what the heads state."""
        return {"act": self.act.to_json(), "number": self.number}


@dataclass(frozen=True, slots=True)
class Head:
    """An officer whom the founding act appoints: id and public key (SubjectPublicKeyInfo DER, base64)."""

    id: str
    key: str

    def to_json(self) -> dict[str, object]:
        """The form inside a payload."""
        return {"id": self.id, "key": self.key}


_encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON with sorted keys: the only encoding of a payload."""
    return _encoder.encode(value).encode()


def _no_float(text: str) -> NoReturn:
    refuse(_("{text} is not a whole number", text=text[:80]))


_MANY = 100
"""Names from which on it is worth to write them without a JSON encoder."""

_decoder = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)


def load_canonical(payload: bytes) -> dict[str, Any]:
    """Parse canonical JSON and nothing else (RFC 8259 leaves duplicate keys open, so we do not).

    Raises:
        ActError: The bytes are not exactly what `encode` writes for some object.
    """
    try:
        text = payload.decode()
        members = _decoder.decode(text)
        canonical = _with_names(members) == payload or encode(members) == payload
    except (ValueError, RecursionError) as fault:
        raise ActError(_("the payload is not JSON in UTF-8")) from fault
    if not isinstance(members, dict) or not canonical:
        refuse(_("the payload is not a compact JSON object with sorted, unique keys"))
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        refuse(_("the payload holds text that is not in normal form NFC"))
    return members


def _with_names(members: Any) -> bytes | None:  # noqa: ANN401  (any JSON)
    """What `encode` gives for an object with many canonical names, three times as fast; None for any other."""
    match members:
        case {"names": {"domain": list(domain), "host": list(host), **others}} if (
            not others and len(domain) + len(host) >= _MANY
        ):
            with suppress(TypeError):
                known = {"names": Names(tuple(domain), tuple(host)).encoded()}
                rest = {key: encode(value) for key, value in members.items() if key != "names"}
                return b"{%b}" % b",".join(
                    b"%b:%b" % (encode(key), text) for key, text in sorted((rest | known).items())
                )
    return None


def parse_instant(text: object) -> datetime:
    """The instant that `format_instant` wrote.

    Raises:
        ActError: Any other spelling, or a year outside 2000 to 2199.
    """
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            # Twenty times as fast as strptime; half of reading an act would be its instants.
            year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
            return datetime(year, month, day, int(text[11:13]), int(text[14:16]), int(text[17:19]), tzinfo=UTC)
        except ValueError:
            pass
    refuse(_("{text} is not an instant such as 2026-11-22T12:00:00Z", text=shown(text)))


def _object(value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        refuse(_("an object with exactly the keys {keys} is expected", keys=", ".join(keys)))
    return value


def _text(pattern: re.Pattern[str], fault: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            refuse(_(fault, value=shown(value)))
        return value

    return read


def code(*allowed: str) -> Callable[[object], str]:
    """A reader of one word of a closed list."""

    def read(value: object) -> str:
        if value not in allowed:
            refuse(_("{value} is none of {choices}", value=shown(value), choices=", ".join(allowed)))
        return str(value)

    return read


def number(low: int, high: int) -> Callable[[object], int]:
    """A reader of a whole number; a boolean is none."""

    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            refuse(_("{value} is not a whole number from {least} to {most}", value=shown(value), least=low, most=high))
        return value

    return read


def _bounded_list(value: object, high: int) -> list[object]:
    if not isinstance(value, list) or not 1 <= len(value) <= high:
        refuse(_("a list of 1 to {most} entries is expected", most=high))
    return value


_digest = _text(_DIGEST, later("{value} is not 64 hexadecimal digits"))
read_salt = _digest
"""A salt as a dossier holds it: 64 hexadecimal digits."""
_sequence = number(1, 2**53)
_key_text = _text(re.compile(r"[A-Za-z0-9+/]{40,400}={0,2}"), later("{value} is not a base64 public key"))


def is_identifier(value: object) -> bool:
    """Whether this is an id of an officer, a list or a ground."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and value not in RESERVED_IDS


def parse_identifier(value: object) -> str:
    """An id of an officer or a list: `[a-z][a-z0-9-]{0,31}`, and none that metadata files are named by.

    Raises:
        ActError: It is not one.
    """
    if not isinstance(value, str) or not is_identifier(value):
        refuse(_("{value} is not an id: lower-case letters, digits and hyphens, at most 32", value=shown(value)))
    return value


def read_ref(value: object) -> Ref:
    """The act that a payload, a record or a published file names by number and id.

    Raises:
        ActError: It names none.
    """
    entries = _object(value, ("id", "seq"))
    return Ref(_sequence(entries["seq"]), _digest(entries["id"]))


def read_branch(value: object) -> Branch:
    """The branch that the heads state.

    Raises:
        ActError: It is none.
    """
    entries = _object(value, ("act", "number"))
    return Branch(_sequence(entries["number"]), read_ref(entries["act"]))


def _refs(value: object) -> tuple[Ref, ...]:
    refs = tuple(read_ref(entry) for entry in _bounded_list(value, 100))
    if [ref.seq for ref in refs] != sorted({ref.seq for ref in refs}):
        refuse(_("references must be sorted by number, each once"))
    return refs


def read_names(value: object) -> Names:
    """Names as a payload or a dossier holds them.

    Raises:
        ActError: They are not canonical, sorted and unique, or too many.
    """
    scopes = _object(value, ("domain", "host"))
    for texts in scopes.values():
        if not isinstance(texts, list) or set(map(type, texts)) - {str}:
            refuse(_("names must be lists of texts"))
        try:
            require_canonical(texts)
        except NameRefused as refusal:
            refuse(refusal.message)
        # Resolvers read such an owner of a policy zone as a rule on addresses or servers (draft-vixie-dnsop-dns-rpz).
        if ".rpz-" in "\n".join(texts) and any(text.rpartition(".")[2].startswith("rpz-") for text in texts):
            refuse(_("a name ends in a label that resolvers read as another trigger (rpz-...)"))
    names = Names(tuple(scopes["domain"]), tuple(scopes["host"]))
    if not 1 <= len(names) <= MAX_NAMES:
        refuse(_("an act holds 1 to {most} names, not {count}", most=MAX_NAMES, count=len(names)))
    return names


def _heads(value: object) -> tuple[Head, ...]:
    entries = [_object(entry, ("id", "key")) for entry in _bounded_list(value, 32)]
    heads = tuple(Head(parse_identifier(entry["id"]), _key_text(entry["key"])) for entry in entries)
    if [head.id for head in heads] != sorted({head.id for head in heads}):
        refuse(_("heads must be sorted by id, each once"))
    return heads


def _policy(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        refuse(_("the policy must be an object"))
    return value


def _file_digests(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not 1 <= len(value) <= 16:
        refuse(_("the digests of 1 to 16 policy files are expected"))
    file_name = _text(_FILE_NAME, later("{value} is not a file name"))
    return {file_name(name): _digest(digest) for name, digest in value.items()}


# The types of fields: each names the function that reads it, so a kind's class is its whole specification.

Identifier = Annotated[str, parse_identifier]
Instant = Annotated[datetime, parse_instant]
Digest = Annotated[str, _digest]
Nonce = Annotated[str, _text(_NONCE, later("{value} is not 32 hexadecimal digits"))]
KeyText = Annotated[str, _key_text]
Reference = Annotated[Ref, read_ref]
References = Annotated[tuple[Ref, ...], _refs]
Heads = Annotated[tuple[Head, ...], _heads]
Sequence = Annotated[int, _sequence]
NameSet = Annotated[Names, read_names]
Rules = Annotated[int, number(1, 2**31)]
Count = Annotated[int, number(1, MAX_NAMES)]
PolicyJson = Annotated[Mapping[str, object], _policy]
FileDigests = Annotated[Mapping[str, str], _file_digests]
