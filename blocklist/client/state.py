"""The state folder of a subscription: its lock, what was accepted and installed of each list, how the last pull ended.

The acts of all accepted releases are in one file, in which each release is the beginning of the next one's acts. The
record says how long; what a crash left behind that is read by nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import _
from blocklist.register.decoders import CLOCK_TOLERANCE, ActError, Ref, format_instant, parse_instant, read_ref

MALFORMED = (ActError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a JSON value of any shape can raise."""

_MAX_NOTE = 64 * 1024


def state_folder(config: Path) -> Path:
    """Where `pull` keeps what it accepted, beside the subscription."""
    return config.with_name(f"{config.stem}.state")


def list_folder(state: Path, list_id: str) -> Path:
    """What is kept of one list."""
    return state / "lists" / list_id


@contextmanager
def locked(config: Path) -> Iterator[None]:
    """Let nobody else change the targets or the state of a subscription meanwhile; what a killed pull left is removed.

    Raises:
        RefusedError: Somebody does.
        TargetError: The state folder cannot be used.
    """
    state = state_folder(config)
    durable.make_folder(state, 0o700)
    with durable.locked(state / "lock", _("pull of {path}", path=config)):
        _tidy(state)
        yield


def _tidy(state: Path) -> None:
    """Remove the files that a pull was writing when it was killed."""
    for folder in (state, *(state / "lists").glob("*")):
        sweep(folder, durable.TEMPORARY)
    sweep(state / "metadata", "tmp")  # python-tuf's


def sweep(folder: Path, prefix: str, but: str = "") -> None:
    """Remove the files of a folder whose names begin so; what a failing disk keeps is removed the next time."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(prefix) and path.name != but:
                path.unlink(missing_ok=True)


class Last(NamedTuple):
    """How the last pull of a list ended: `message` is the worst error, `success` is when one ended well."""

    at: datetime
    exit_code: int
    message: str
    success: datetime | None

    @classmethod
    def load(cls, folder: Path) -> Last | None:
        """What is noted in the folder of a list; None if nothing is, or the note is damaged."""
        try:
            members = json.loads(durable.read(folder / _LAST, _("the note of the last pull"), _MAX_NOTE))
            success = members["success"] and _instant(members["success"])
            return cls(_instant(members["at"]), int(members["exit_code"]), str(members["message"]), success)
        except (BlocklistError, OSError, *MALFORMED):
            return None

    def save(self, folder: Path) -> None:
        """Note it. A power cut may take the note with it: the next pull writes another.

        Raises:
            TargetError: It could not be written.
        """
        members = {
            "at": format_instant(self.at),
            "exit_code": self.exit_code,
            "message": self.message,
            "success": self.success and format_instant(self.success),
        }
        durable.note(folder / _LAST, json.dumps(members).encode() + b"\n")


_LAST = "last.json"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


MAX_STATE = 4 * 1024 * 1024
KEPT = 3
"""Releases that `rollback` can return to, each of other names than the one after it."""

_NUMBERS = range(1, 2**32)
"""What can be the number of a release: it is the serial of a zone too (RFC 1035, section 3.3.13)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A release that was accepted: `acts_length` octets of the acts are its own, `names` is how many it lists."""

    release: int
    valid_until: datetime
    head: Ref
    acts_length: int
    checkpoint: Ref
    names: int

    @property
    def instant(self) -> datetime:
        """The instant of the release."""
        return datetime.fromtimestamp(self.release, UTC)

    def to_json(self) -> dict[str, object]:
        """Its part of the record."""
        return {
            "release": self.release,
            "valid_until": format_instant(self.valid_until),
            "head": self.head.to_json(),
            "acts_length": self.acts_length,
            "checkpoint": self.checkpoint.to_json(),
            "names": self.names,
        }

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Accepted:
        """From its part of the record.

        Raises:
            One of `MALFORMED`: It is none.
        """
        return cls(
            read_number(members["release"]),
            parse_instant(members["valid_until"]),
            read_ref(members["head"]),
            int(members["acts_length"]),
            read_ref(members["checkpoint"]),
            int(members["names"]),
        )


@dataclass(frozen=True, slots=True)
class Installed:
    """What was put at a target's path: its SHA-256, or nothing when it could not be changed.

    `stamp` is how the file system saw it then: as long as it says the same, nobody has touched the file.
    """

    sha256: str
    stamp: str

    @classmethod
    def at(cls, path: Path, sha256: str) -> Installed:
        """The file that is in place now."""
        return cls(sha256, durable.stamp(path))

    def holds(self, path: Path) -> bool:
        """Whether the file is still the one that was installed."""
        if not self.sha256:
            return False
        return durable.stamp(path) == self.stamp or durable.digest_of(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Record:
    """The state of one list at one subscriber.

    Attributes:
        register: The founding id.
        acts: The name of the file of the acts; `acts_stamp` is how the file system saw it.
        newest: The release that was accepted last.
        kept: The releases that were installed last, newest first, each of other names than the one after it.
        let_in: That of them whose additions are installed; an older one than `newest` while additions wait.
        held: Since when the list is held there, if `rollback` holds it.
        serial: The highest serial that was written.
        names: How many names are installed.
        lapses: The first review date of them.
        lapsed_at: The instant up to which lapsed names of the newest release were left out, if they were.
        installing: Whether an installation was begun whose end is not known.
        installed: What is at each target's path.
    """

    register: str
    acts: str
    newest: Accepted
    kept: tuple[Accepted, ...]
    let_in: int
    acts_stamp: str = ""
    held: datetime | None = None
    serial: int = 0
    names: int = 0
    lapses: datetime | None = None
    lapsed_at: datetime | None = None
    installing: bool = False
    installed: Mapping[str, Installed] = field(default_factory=dict)

    @property
    def base(self) -> Accepted:
        """The release whose additions are installed."""
        return next(accepted for accepted in self.kept if accepted.release == self.let_in)

    @property
    def waits(self) -> bool:
        """Whether there may be additions in the newest release that are not let in."""
        return self.let_in != self.newest.release

    def left_out_early(self, now: datetime) -> bool:
        """Whether names were left out as lapsed by a clock that ran ahead."""
        return self.lapsed_at is not None and self.lapsed_at > now + CLOCK_TOLERANCE

    def let_all_in(self, accepted: Accepted, *, other_names: bool) -> Record:
        """The record once a release is accepted with all that it adds."""
        older = self.kept if other_names else self.kept[1:]
        older = tuple(entry for entry in older if entry.release != accepted.release)
        kept = (accepted, *older)[:KEPT]
        return replace(self, newest=accepted, kept=kept, let_in=accepted.release, held=None)

    def to_bytes(self) -> bytes:
        """The record's file."""
        members = {
            "register": self.register,
            "acts": self.acts,
            "acts_stamp": self.acts_stamp,
            "newest": self.newest.to_json(),
            "kept": [accepted.to_json() for accepted in self.kept],
            "let_in": self.let_in,
            "held": self.held and format_instant(self.held),
            "serial": self.serial,
            "names": self.names,
            "lapses": self.lapses and format_instant(self.lapses),
            "lapsed_at": self.lapsed_at and format_instant(self.lapsed_at),
            "installing": self.installing,
            "installed": {path: {"sha256": on.sha256, "stamp": on.stamp} for path, on in self.installed.items()},
        }
        return json.dumps(members, indent=1).encode() + b"\n"

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """The record, or None before the first pull.

        Raises:
            UsageError: The file is not a record.
        """
        if not path.exists():
            return None
        content = durable.read(path, _("the record of the last pull"), MAX_STATE)
        try:
            return cls._read(json.loads(content))
        except MALFORMED as fault:
            raise UsageError(
                _("{path} is damaged", path=path), _("remove it; the next pull then asks as the first one did")
            ) from fault

    @classmethod
    def _read(cls, members: Mapping[str, Any]) -> Record:
        made = cls(
            register=str(members["register"]),
            acts=str(members["acts"]),
            newest=Accepted.read(members["newest"]),
            kept=tuple(map(Accepted.read, members["kept"])),
            let_in=read_number(members["let_in"]),
            acts_stamp=str(members["acts_stamp"]),
            held=members["held"] and parse_instant(members["held"]),
            serial=int(members["serial"]),
            names=int(members["names"]),
            lapses=members["lapses"] and parse_instant(members["lapses"]),
            lapsed_at=members["lapsed_at"] and parse_instant(members["lapsed_at"]),
            installing=bool(members["installing"]),
            installed={
                str(path): Installed(str(on["sha256"]), str(on["stamp"])) for path, on in members["installed"].items()
            },
        )
        if Path(made.acts).name != made.acts or made.let_in not in [accepted.release for accepted in made.kept]:
            raise ValueError("it does not fit together")
        return made


def read_number(value: object) -> int:
    """The number of a release.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value not in _NUMBERS:
        raise ValueError(f"{value} is no number of a release")
    return value


ACTS_PREFIX = "acts-"

if TYPE_CHECKING:
    from blocklist.client.subscription import Subscription
    from blocklist.register.decoders import Ref


@dataclass(frozen=True, slots=True)
class ListState:
    """Where what is known of one list is kept."""

    folder: Path

    @classmethod
    def of(cls, subscription: Subscription, list_id: str) -> ListState:
        """That of one list of a subscription."""
        return cls(list_folder(subscription.state, list_id))

    @property
    def record_path(self) -> Path:
        """What was accepted and installed."""
        return self.folder / "accepted.json"

    @property
    def receipt_path(self) -> Path:
        """The receipt of the last installation, for the office."""
        return self.folder / "receipt.json"

    @property
    def pin_path(self) -> Path:
        """What the heads stated of the register, as it was fetched."""
        return self.folder / "register.json"

    @property
    def verified_path(self) -> Path:
        """The register as it was verified last."""
        return self.folder / "state.json"

    @property
    def news_path(self) -> Path:
        """Acts while they are fetched."""
        return self.folder / f"{durable.TEMPORARY}acts"

    def acts_path(self, record: Record) -> Path:
        """The acts of all accepted releases."""
        return self.folder / record.acts

    def holds_acts(self, record: Record) -> bool:
        """Whether nobody has touched the acts since they were written."""
        return bool(record.acts_stamp) and durable.stamp(self.acts_path(record)) == record.acts_stamp

    @staticmethod
    def acts_name(head: Ref) -> str:
        """The name of the file of the acts that end at `head`: another one for each branch of a register."""
        return f"{ACTS_PREFIX}{head.seq}-{head.id[:16]}.jsonl"

    def record(self) -> Record | None:
        """See `Record.load`."""
        return Record.load(self.record_path)

    def save(self, record: Record) -> None:
        """Keep a record, durably.

        Raises:
            TargetError: It could not be written; the former record is untouched.
        """
        durable.replace(self.record_path, record.to_bytes(), 0o600)

    def make(self) -> None:
        """Make the folder.

        Raises:
            TargetError: It could not be made.
        """
        durable.make_folder(self.folder, 0o700)

    def clear(self, record: Record | None) -> None:
        """Remove what a killed pull left behind, and acts that no record speaks of."""
        sweep(self.folder, durable.TEMPORARY)
        sweep(self.folder, ACTS_PREFIX, record.acts if record else "")
