"""A register's verified state as bytes and back, for whoever keeps it beside the acts that it came from.

What is read here was verified when it was written, and is not verified again: it is for the account that wrote it.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from blocklist import __version__, acts
from blocklist.compact import Codec, codec
from blocklist.entries import Officer, Pending, Recommendation, Request
from blocklist.errors import BlocklistError
from blocklist.listing import BLOCK, Listing, Settled, settle
from blocklist.measures import Measure
from blocklist.names import Scope
from blocklist.policy import Policy
from blocklist.register import Register
from blocklist.signing import PublicKey

KEEP_AFTER = 100
"""How many acts are replayed before it is worth to keep the state anew."""

UNUSABLE = (
    OSError,
    BlocklistError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    zlib.error,
)
"""What reading a kept state can raise, whatever is in its file."""

_FORM = 4
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
    layouts = (*(f"{name}: {part.layout}" for name, part in attributes.items()), measure.layout)
    form = (*layouts, f"{_FORM} {BLOCK} {sys.byteorder}")
    return attributes, measure, hashlib.sha256("\n".join(form).encode()).hexdigest()


def encode(value: object) -> bytes:
    """Compact JSON on one line."""
    return json.dumps(value, separators=(",", ":")).encode()


def seal(about: object, lines: Iterable[bytes]) -> bytes:
    """A line that says what follows, and the digest of it; a line about it, and then the lines themselves."""
    content = b"\n".join((encode(about), *lines))
    return b"\n".join((_header(content), content))


def unseal(content: bytes) -> tuple[Any, list[bytes]]:
    """What was sealed.

    Raises:
        ValueError: It was written by another version, for other rules or fields, or was damaged.
    """
    header, told, *lines = content.split(b"\n")
    if header != _header(memoryview(content)[len(header) + 1 :]):
        raise ValueError("not a state, or of another version")
    return json.loads(told), lines


def _header(content: bytes | memoryview) -> bytes:
    words = ("blocklist cache", __version__, acts.RULES, _codecs()[2], hashlib.sha256(content).hexdigest())
    return " ".join(map(str, words)).encode()


def write(register: Register, more: Mapping[str, object] | None = None) -> list[bytes]:
    """A register, and more members of its kind: a line of JSON, then the lines of its names."""
    members: dict[str, Any] = {
        name: part.write(getattr(register, name)) if part.write else getattr(register, name)
        for name, part in _codecs()[0].items()
    }
    measures, lines = _write_measures(register)
    return [encode({**members, "_measures": measures, **(more or {})}), *lines]


def read(lines: list[bytes]) -> tuple[Register, dict[str, Any]]:
    """The register that `write` wrote, equal in everything, and all the members."""
    members, register = json.loads(lines[0]), Register()
    for name, part in _codecs()[0].items():
        setattr(register, name, part.read(members[name]) if part.read else members[name])
    _read_measures(register, members["_measures"], iter(lines[1:]))
    return register, members


def _write_measures(register: Register) -> tuple[dict[str, object], list[bytes]]:
    """Each measure once; for each scope the blocks of its names, and the place of the measure of each name.

    Names that share a measure go on sharing it.
    """
    write_row = _codecs()[1].write
    assert write_row is not None  # noqa: S101  (a dataclass always has one)
    scopes = register.measures().by_scope()
    table, all_settled = settle([named for _, named in scopes])
    sizes = {scope: (len(entry.blocks), entry.counts) for (scope, _), entry in zip(scopes, all_settled, strict=True)}
    lines = [line for entry in all_settled for line in (*entry.blocks, b64encode(zlib.compress(entry.places, 1)))]
    return {"rows": [write_row(measure) for measure in table], "scopes": sizes}, lines


def _read_measures(register: Register, members: dict[str, Any], lines: Iterator[bytes]) -> None:
    read_row = _codecs()[1].read
    assert read_row is not None  # noqa: S101
    table = [read_row(row) for row in members["rows"]]
    for scope, (size, counts) in members["scopes"].items():
        blocks, places = list(islice(lines, size)), array("I", zlib.decompress(b64decode(next(lines, b""))))
        if (len(counts), sum(counts), len(blocks)) != (len(table), len(places), math.ceil(len(places) / BLOCK)):
            raise ValueError("names, places and measures do not fit")
        register._measures[Scope(scope)] = Listing(None, Settled(blocks, places, table, counts))
