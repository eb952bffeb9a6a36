"""A register's verified state as bytes and back, for whoever keeps it beside the acts that it came from.

What is read here was verified when it was written, and is not verified again: it is for the account that wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any

from blocklist import __version__, acts
from blocklist.compact import Codec, codec
from blocklist.entries import Officer, Pending, Recommendation, Request
from blocklist.errors import BlocklistError
from blocklist.measures import Measure, boundaries
from blocklist.names import Scope
from blocklist.policy import Policy
from blocklist.register import Register
from blocklist.signing import PublicKey

KEEP_AFTER = 100
"""How many acts are replayed before it is worth to keep the state anew."""

UNUSABLE = (OSError, BlocklistError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading a kept state can raise, whatever is in its file."""

_FORM = 3
"""Of `_measures`, which no codec describes; another number whenever that changes."""

_FIELDS: dict[str, Any] = {
    "ids": list[str],
    "at": datetime,
    "list_id": str,
    "environment": str,
    "policies": list[tuple[datetime, Policy]],
    "officers": dict[str, Officer],
    "pending": dict[int, Pending],
    "requests": dict[int, Request],
    "recommendations": dict[int, Recommendation],
    "erased": set[int],
    "annulled": set[str],
    "_holders": dict[PublicKey, str],
    "_parents": set[str],
    "_highest": dict[str, str],
}
"""A register's attributes with their types; `_measures`, where names share their values, is written apart."""


@cache
def _codecs() -> tuple[dict[str, Codec], Codec, str]:
    """The codecs of a register's attributes, the one of a measure, and the digest of all their layouts."""
    attributes, measure = {name: codec(hint) for name, hint in _FIELDS.items()}, codec(Measure)
    layouts = [f"{name}: {part.layout}" for name, part in attributes.items()] + [measure.layout, str(_FORM)]
    return attributes, measure, hashlib.sha256("\n".join(layouts).encode()).hexdigest()


def encode(value: object) -> bytes:
    """Compact JSON on one line."""
    return json.dumps(value, separators=(",", ":")).encode()


def seal(about: object, body: bytes) -> bytes:
    """A line that says what follows, and the digest of it; a line about it, and then that."""
    told = encode(about)
    return b"\n".join((_header(told, body), told, body))


def unseal(content: bytes) -> tuple[Any, bytes]:
    """What was sealed.

    Raises:
        ValueError: It was written by another version, for other rules or fields, or was damaged.
    """
    header, told, body = content.split(b"\n", 2)
    if header != _header(told, body):
        raise ValueError("not a state, or of another version")
    return json.loads(told), body


def _header(told: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(b"%d\n%b" % (len(told), told))
    digest.update(body)
    words = ("blocklist cache", __version__, acts.RULES, _codecs()[2], digest.hexdigest())
    return " ".join(map(str, words)).encode()


def write_register(register: Register) -> dict[str, Any]:
    """A register as JSON has it."""
    members: dict[str, Any] = {
        name: part.write(getattr(register, name)) if part.write else getattr(register, name)
        for name, part in _codecs()[0].items()
    }
    return members | {"_measures": _write_measures(register)}


def read_register(members: Mapping[str, Any]) -> Register:
    """The register that `write_register` wrote, equal in everything."""
    register = Register()
    for name, part in _codecs()[0].items():
        setattr(register, name, part.read(members[name]) if part.read else members[name])
    _read_measures(register, members["_measures"])
    return register


def _write_measures(register: Register) -> dict[str, object]:
    """Each measure once, and runs of names with the place of their measure: names that share one go on sharing it.

    The names of a run are one text, with blanks between them: it is written and read five times as fast as a list.
    """
    write = _codecs()[1].write
    assert write is not None  # noqa: S101  (a dataclass always has one)
    places: dict[int, int] = {}
    rows: list[object] = []

    def runs(named: Mapping[str, Measure]) -> Iterator[tuple[int, str]]:
        texts, measures = list(named), list(named.values())
        for start, end in pairwise((*boundaries(measures), len(measures))):
            if places.setdefault(id(measures[start]), len(places)) == len(rows):
                rows.append(write(measures[start]))
            yield places[id(measures[start])], " ".join(texts[start:end])

    scopes = {scope.value: list(runs(named)) for scope, named in register.measures().by_scope()}
    return {"rows": rows, "scopes": scopes}


def _read_measures(register: Register, members: dict[str, Any]) -> None:
    read = _codecs()[1].read
    assert read is not None  # noqa: S101
    shared = [read(row) for row in members["rows"]]
    for scope, runs in members["scopes"].items():
        named = register._measures[Scope(scope)]
        for place, texts in runs:
            named.update(dict.fromkeys(texts.split(" "), shared[place]))
