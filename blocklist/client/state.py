"""The state folder of a subscription: its lock, what was accepted and installed of each list, how the last pull ended.

The acts of all accepted releases are in one file, in which each release is the beginning of the next one's acts. The
record says how long; what a crash left behind that is read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from blocklist import __version__
from blocklist.base import durable
from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import _
from blocklist.register.decoders import CLOCK_TOLERANCE, Branch, Ref

if TYPE_CHECKING:
    from blocklist.client.fetch import Publisher
    from blocklist.client.subscription import Subscription, Target
    from blocklist.client.transport import Transport


_DAMAGED = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading a file of the state can raise, whatever is in it."""

_MAX_NOTE = 64 * 1024

_NUMBERS = range(1, 2**32)
"""What can be the number of a release: it is the serial of a zone too (RFC 1035, section 3.3.13)."""

Number = Annotated[int, msgspec.Meta(ge=_NUMBERS.start, lt=_NUMBERS.stop)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


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


@dataclass(frozen=True, slots=True)
class Last:
    """How the last pull of a list ended: `message` is the worst error, `success` is when one ended well."""

    at: Instant
    exit_code: int
    message: str
    success: Instant | None

    @classmethod
    def load(cls, folder: Path) -> Last | None:
        """Return what is noted in the folder of a list; None if nothing is, or the note is damaged."""
        try:
            content = durable.read(folder / _LAST, _("the note of the last pull"), _MAX_NOTE)
            return msgspec.json.decode(content, type=cls)
        except (BlocklistError, *_DAMAGED):
            return None

    def save(self, folder: Path) -> None:
        """Note it. A power cut may take the note with it: the next pull writes another.

        Raises:
            TargetError: It could not be written.
        """
        durable.note(folder / _LAST, msgspec.json.encode(self) + b"\n")


_LAST = "last.json"


MAX_STATE = 4 * 1024 * 1024
KEPT = 3
"""Releases that `rollback` can return to, each of other names than the one after it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A release that was accepted: `acts_length` octets of the acts are its own, `names` is how many it lists."""

    release: Number
    valid_until: Instant
    head: Ref
    acts_length: int
    branch: Branch
    names: int

    @property
    def instant(self) -> datetime:
        """The instant of the release."""
        return datetime.fromtimestamp(self.release, UTC)


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
    let_in: Number
    acts_stamp: str = ""
    held: Instant | None = None
    serial: int = 0
    names: int = 0
    lapses: Instant | None = None
    lapsed_at: Instant | None = None
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
        """Return the record's file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

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
            record = msgspec.json.decode(content, type=cls)
            if Path(record.acts).name != record.acts or record.let_in not in [kept.release for kept in record.kept]:
                raise ValueError("it does not fit together")
        except _DAMAGED as fault:
            raise UsageError(
                _("{path} is damaged", path=path), _("remove it; the next pull then asks as the first one did")
            ) from fault
        return record


def read_number(value: object) -> int:
    """The number of a release.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value not in _NUMBERS:
        raise ValueError(f"{value} is no number of a release")
    return value


ACTS_PREFIX = "acts-"


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


# How everything was left: the usual case, every quarter of an hour, is that there is nothing to do. As long as the
# files are as a pull left them and the publisher shows the timestamp that it verified and no newer root, a pull in full
# could not bring anything else. Whatever is not exactly so is left to a pull in full, which also says what is wrong.

NO_NEWER_ROOT = (403, 404)
"""What a publisher answers when it has no further root (TUF specification, section 5.3.3; servers say 403 too)."""

_MAX_KNOWN = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """How a pull left everything, and which timestamp it verified; times are in Unix seconds."""

    of: str
    files: dict[str, str]
    begins: float
    ends: float
    lapses: float | None
    root: int
    marks: dict[str, str]
    lists: dict[str, tuple[int, tuple[str, ...]]]

    def is_in_time(self, now: datetime, *, prune_lapsed: bool) -> bool:
        """Tell whether all of it is valid at the instant `now`."""
        ends = self.ends if self.lapses is None or not prune_lapsed else min(self.ends, self.lapses)
        return self.begins <= now.timestamp() < ends

    def is_shown(self, url: str, way: Transport) -> bool:
        """Tell whether the publisher shows the timestamp that was verified, and no newer root."""
        if not self.marks or way.get(f"{url}/timestamp.json", marks=self.marks).status != 304:
            return False
        return way.get(f"{url}/{self.root + 1}.root.json").status in NO_NEWER_ROOT


def nothing_new(
    subscription: Subscription, way: Transport, now: datetime, *, prune_lapsed: bool
) -> dict[str, tuple[int, tuple[str, ...]]] | None:
    """Return each list's release and installed paths if a pull would find all as it was left; None if it may not.

    Args:
        subscription: What would be pulled.
        way: The way to its publisher.
        now: The clock.
        prune_lapsed: Whether names past their review date have to go.
    """
    try:
        content = durable.read(_path(subscription.path), "", _MAX_KNOWN)
        known = msgspec.json.decode(content, type=_Known)
        if known.of != _of(subscription.stamp) or not known.is_in_time(now, prune_lapsed=prune_lapsed):
            return None
        if any(durable.stamp(Path(path)) != stamp for path, stamp in known.files.items()):
            return None
        if not known.is_shown(subscription.metadata_url, way):
            return None
        for list_id in known.lists:
            Last(now, 0, "", now).save(list_folder(subscription.state, list_id))
    except (BlocklistError, *_DAMAGED):
        return None
    return known.lists


def remember(subscription: Subscription, publisher: Publisher, records: Mapping[str, Record]) -> None:
    """Write down how everything was left, after a pull that left nothing undone.

    Args:
        subscription: What was pulled.
        publisher: What was verified.
        records: That of each list.
    """
    with suppress(BlocklistError, OSError):
        root = subscription.state / "root.json"
        stamps = {str(root): durable.stamp(root)}
        for list_id, record in records.items():
            state = ListState.of(subscription, list_id)
            stamps |= {str(path): durable.stamp(path) for path in (state.record_path, state.acts_path(record))}
            stamps |= {path: durable.stamp(Path(path)) for path in record.installed}
            # They are looked at once they have their stamps, so a stamp is never that of a file nobody looked at.
            if not (state.holds_acts(record) and targets_hold(record, subscription.lists[list_id])):
                return
        lapses = [record.lapses.timestamp() for record in records.values() if record.lapses is not None]
        valid_until = (record.newest.valid_until for record in records.values())
        known = _Known(
            of=_of(subscription.stamp),
            files=stamps,
            begins=max(map(_begins, records.values())).timestamp(),
            ends=min(publisher.expires(records), *valid_until).timestamp(),
            lapses=min(lapses, default=None),
            root=publisher.root_version,
            marks=publisher.marks,
            lists={list_id: (record.newest.release, (*record.installed,)) for list_id, record in records.items()},
        )
        durable.replace(_path(subscription.path), msgspec.json.encode(known), 0o600)


def _begins(record: Record) -> datetime:
    """Before that the clock is wrong, or was when names were left out as lapsed."""
    return max(record.newest.instant, record.lapsed_at or record.newest.instant) - CLOCK_TOLERANCE


def targets_hold(record: Record, targets: Iterable[Target]) -> bool:
    """Whether every target holds what was installed there."""
    wanted = {str(target.path) for target in targets}
    return wanted == record.installed.keys() and all(on.holds(Path(path)) for path, on in record.installed.items())


def forget(config: Path) -> None:
    """From now on a pull in full is needed."""
    with suppress(OSError):
        _path(config).unlink(missing_ok=True)


def _path(config: Path) -> Path:
    return state_folder(config) / "verified.json"


def _of(stamp: str) -> str:
    """What was verified holds for this file of a subscription, as this program reads it."""
    return f"{stamp} {__version__}"
