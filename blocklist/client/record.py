"""What a subscriber remembers of the release that it accepted, and what it reads of the one that is offered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklist import files
from blocklist.errors import UsageError
from blocklist.fields import ActError, Ref, format_instant, parse_instant
from blocklist.messages import _

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

MAX_STATE = 4 * 1024 * 1024
_NUMBERS = range(1, 2**32)
"""What can be the number of a release: it is the serial of a zone too (RFC 1035, section 3.3.13)."""

MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a JSON value of any shape can raise."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record of the release that was accepted last (`accepted.json`).

    `installed` has the SHA-256 of each target that holds this release, and nothing for one that could not be changed.
    """

    register: str
    release: int
    valid_until: datetime
    head: Ref
    acts_length: int
    checkpoint: Ref
    installed: Mapping[str, str]

    @property
    def instant(self) -> datetime:
        """The instant of the release."""
        return datetime.fromtimestamp(self.release, UTC)

    def to_bytes(self) -> bytes:
        """The record's file."""
        members = {
            "register": self.register,
            "release": self.release,
            "valid_until": format_instant(self.valid_until),
            "head": self.head.to_json(),
            "acts_length": self.acts_length,
            "checkpoint": self.checkpoint.to_json(),
            "installed": dict(self.installed),
        }
        return json.dumps(members, indent=1).encode() + b"\n"

    @classmethod
    def load(cls, path: Path) -> Accepted | None:
        """The record, or None before the first pull.

        Raises:
            UsageError: The file is not a record.
        """
        if not path.exists():
            return None
        content = files.read(path, _("the record of the last pull"), MAX_STATE)
        try:
            members = json.loads(content)
            return cls(
                str(members["register"]),
                _number(members["release"]),
                parse_instant(members["valid_until"]),
                _ref(members["head"]),
                int(members["acts_length"]),
                _ref(members["checkpoint"]),
                {str(target): str(digest) for target, digest in members["installed"].items()},
            )
        except (ActError, *MALFORMED) as fault:
            raise UsageError(
                _("{path} is damaged", path=path), _("remove it; the next pull then asks as the first one did")
            ) from fault


@dataclass(frozen=True, slots=True)
class Offer:
    """What the metadata say is published: all of it signed, none of it believed before step 4."""

    number: int
    head: Ref
    acts: TargetFile
    since: tuple[Ref, datetime] | None
    list_id: str
    environment: str
    register: str
    checkpoint: Ref

    @classmethod
    def read(cls, number: int, acts: TargetFile, changes: TargetFile, pin: bytes) -> Offer:
        """Put together what the publisher's role and the heads' pin say.

        Raises:
            One of `MALFORMED`: They say nothing of the kind.
        """
        stated, since = json.loads(pin), changes.custom["since"]
        return cls(
            _number(number),
            _ref(acts.custom["head"]),
            acts,
            None if since is None else (_ref(since["head"]), _instant(since["number"])),
            str(stated["list"]),
            str(stated["environment"]),
            str(stated["register"]),
            _ref(stated["checkpoint"]),
        )

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)


def _ref(members: Mapping[str, Any]) -> Ref:
    seq = int(members["seq"])
    if seq < 1:
        raise ValueError(f"there is no act {seq}")
    return Ref(seq, str(members["id"]))


def _number(value: object) -> int:
    if type(value) is not int or value not in _NUMBERS:
        raise ValueError(f"{value} is no number of a release")
    return value


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(_number(value), UTC)
