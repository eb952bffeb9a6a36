"""What a release says of itself: the names of its files, the header and the sums of `SHA256SUMS`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from blocklist.base import durable
from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _
from blocklist.register.decoders import ActError, Ref, parse_instant, read_ref

ACTS, CHANGES, ANNOUNCED = "acts.jsonl", "changes.json", "announced.json"
SUMS, SEAL = "SHA256SUMS", "SHA256SUMS.p7s"

MAX_SUMS = 1024 * 1024
"""Octets of the sums, of the seal and of the certificates."""

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
_DATES = re.compile(r"^# Made (\S+), valid until (\S+)$", re.MULTILINE)
_HEAD = re.compile(r"^# Register ([0-9a-f]{64}), head: act ([1-9][0-9]{0,15}), ([0-9a-f]{64})$", re.MULTILINE)


class Header(NamedTuple):
    """What the comment at the top of `SHA256SUMS` says of a release, as every export says it too."""

    instant: datetime
    valid_until: datetime
    register: str
    head: Ref


def read_header(sums: bytes) -> Header:
    """Read the header of `SHA256SUMS`, or of the beginning of it.

    Raises:
        VerificationError: It does not say when the release was made, or which acts it shows.
    """
    text = sums.decode(errors="replace")
    dates, head = _DATES.search(text), _HEAD.search(text)
    if dates is None:
        raise VerificationError(
            _("{name} does not say when it was made", name=SUMS), _("it is not a release of this program")
        )
    if head is None:
        raise VerificationError(_("{name} does not name the head", name=SUMS))
    return Header(parse_instant(dates[1]), parse_instant(dates[2]), head[1], Ref(int(head[2]), head[3]))


def read_revocations(certificate: Path) -> bytes | None:
    """Return the revocation list beside the seal authority's certificate, if there is one."""
    path = certificate.with_name("seal.crl")
    return durable.read(path, _("the revocation list"), MAX_SUMS) if path.exists() else None


def read_sums(sums: bytes) -> dict[str, str]:
    """The files of a release with their SHA-256.

    Raises:
        VerificationError: A line is no sum.
    """
    listed = {}
    for line in sums.decode(errors="replace").split("\n")[:-1]:
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise VerificationError(
                _("{name} has a line that is no sum", name=SUMS), _("it is not a release of this program")
            )
        listed[match[2]] = match[1]
    return listed


def read_since(path: Path) -> tuple[Ref, datetime] | None:
    """The release that `changes.json` says it compares with, its head and instant; its first line says so.

    Raises:
        VerificationError: It does not say it.
    """
    with path.open("rb") as stream:
        line = stream.readline(MAX_SUMS)
    try:
        since = json.loads(line.rstrip(b",\n") + b"}")["since"]
        return (read_ref(since["head"]), datetime.fromtimestamp(since["number"], UTC)) if since else None
    except (ActError, ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError) as fault:
        raise VerificationError(
            _("{path} cannot be read", path=path), _("it is not a release of this program")
        ) from fault
