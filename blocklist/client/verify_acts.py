"""Steps 1, 2 and 4 of a pull: what is offered, whether it may follow, and what the acts behind it say.

A provider installs an edition of a release. Mostly that is the release itself, byte for byte; additions may have to
wait, for the provider's word or for the end of a hold, and what has ended never waits. So an edition is never anything
but a part of what was signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import Progress, _, later
from blocklist.client.state import Accepted, ListState, Record, read_number
from blocklist.register import replay
from blocklist.register.acts import id_of, read_lines
from blocklist.register.decoders import (
    CLOCK_TOLERANCE,
    ActError,
    Branch,
    Ref,
    folder_name,
    format_instant,
    read_branch,
    read_ref,
)
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measures
from blocklist.register.replay import extend, from_beginning
from blocklist.release.contents import Mark, Snapshot, take_marked
from blocklist.release.manifest import ACTS, CHANGES
from blocklist.release.renderers import Changed

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from blocklist.client.fetch import Acts, Publisher
    from blocklist.client.state import Record
    from blocklist.client.subscription import Subscription
    from blocklist.client.transport import Deadline
    from blocklist.release.contents import Snapshot


@dataclass(frozen=True, slots=True)
class Edition:
    """What is to be installed: `shown`, whose additions are those of the release `let_in`.

    `waiting` names of the newest release are left out for now, and `lapsed` ones because their review date had come at
    `lapsed_at`.
    """

    shown: Snapshot
    let_in: int
    waiting: int = 0
    lapsed: int = 0
    lapsed_at: datetime | None = None


def edition(
    newest: Snapshot,
    record: Record | None,
    now: datetime,
    *,
    base: Snapshot | None = None,
    lapsed_at: datetime | None = None,
    held: bool = False,
) -> Edition:
    """What to install of the newest accepted release.

    Args:
        newest: That release.
        record: What was accepted and installed before.
        now: The clock, for the serial of what is not as published.
        base: Only what this older release let in, and has not ended since.
        lapsed_at: Without the names whose review date has come by then.
        held: Whether the operator holds the list at `base`.
    """
    let_in = newest.measures.let_in(base.measures, base.head.seq) if base else newest.measures
    kept = let_in.not_lapsed(lapsed_at) if lapsed_at else let_in
    waiting, lapsed = len(newest.measures) - len(let_in), len(let_in) - len(kept)
    from_release, number = int((base or newest).instant.timestamp()), newest.release().number
    last = record.serial if record else 0
    same = record is not None and _key(record) == (number, from_release, held, len(kept))
    if not (waiting or lapsed or held) and (number > last or (same and number == last)):
        return Edition(newest, from_release, lapsed_at=lapsed_at)
    # Secondaries ignore a serial that is not above the last one.
    serial = last if same and last > number else max(int(now.timestamp()), last + 1, number + 1)
    shown = replace(
        newest, measures=kept, changed=Changed(serial, tuple(_remarks(base, serial, waiting, lapsed, held)))
    )
    return Edition(shown, from_release, waiting, lapsed, lapsed_at)


def installed_edition(newest: Snapshot, base: Snapshot, record: Record, now: datetime) -> Edition:
    """What the record says is installed."""
    held = record.held is not None
    back = base if record.waits or held else None
    return edition(newest, record, now, base=back, lapsed_at=record.lapsed_at, held=held)


def _key(record: Record) -> tuple[int, int, bool, int]:
    return record.newest.release, record.let_in, record.held is not None, record.names


def _remarks(base: Snapshot | None, serial: int, waiting: int, lapsed: int, held: bool) -> Iterator[str]:
    """Lines for the header, in English like the rest of it."""
    yield f"Changed by the provider, serial {serial}: the seal is that of the file as it was published."
    if base is not None:
        why = "Held" if held else "Waiting for the provider's word since"
        yield f"{why} release {folder_name(base.instant)}: {waiting} added after it left out."
    if lapsed:
        yield f"Without {lapsed} whose review date has passed and no newer release has come."


TELL = later("the installed list stays; tell the office")
MALFORMED = (ActError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a JSON value of any shape can raise."""

_MAX_PIN = 64 * 1024


# What is offered (steps 1 and 2)


@dataclass(frozen=True, slots=True)
class Offer:
    """A release as it is offered: all of it signed, none of it believed before step 4."""

    number: int
    head: Ref
    acts: TargetFile
    since: tuple[Ref, datetime] | None
    list_id: str
    environment: str
    register: str
    branch: Branch

    @classmethod
    def read(cls, publisher: Publisher, list_id: str, pin: Path) -> Offer:
        """Put together what the publisher's role says and what the heads pinned; `pin` keeps the heads' file.

        Raises:
            VerificationError: They say nothing that this program knows.
            UsageError: They do not name the list.
            UnreachableError: The heads' file could not be fetched.
        """
        acts, changes = publisher.target(f"{list_id}/{ACTS}"), publisher.target(f"{list_id}/{CHANGES}")
        content = publisher.content(publisher.target(f"registers/{list_id}.json"), _MAX_PIN, pin)
        try:
            return cls._read(publisher.release_number(list_id, acts), acts, changes, content)
        except MALFORMED as fault:
            raise VerificationError(_("the metadata describe no release that this program knows"), _(TELL)) from fault

    @classmethod
    def _read(cls, number: int, acts: TargetFile, changes: TargetFile, pin: bytes) -> Offer:
        stated, since = json.loads(pin), changes.custom["since"]
        return cls(
            read_number(number),
            read_ref(acts.custom["head"]),
            acts,
            None if since is None else (read_ref(since["head"]), _instant(since["number"])),
            str(stated["list"]),
            str(stated["environment"]),
            str(stated["register"]),
            read_branch(stated["branch"]),
        )

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)

    def check(self, list_id: str, environment: str, accepted: Record | None, now: datetime) -> None:
        """Hold the offer against the subscription, the clock and what was accepted before.

        Raises:
            VerificationError: It is of another list or environment, of the future, or goes back.
        """
        if (self.environment, self.list_id) != (environment, list_id):
            raise VerificationError(
                _(
                    "the publisher's register is {list_id} ({environment}), the subscription is for "
                    "{wanted} ({wanted_environment})",
                    list_id=self.list_id,
                    environment=self.environment,
                    wanted=list_id,
                    wanted_environment=environment,
                ),
                _("subscribe to the right address; test is not production"),
            )
        if self.instant > now + CLOCK_TOLERANCE:
            raise VerificationError(
                _("the release is dated {instant}, in the future", instant=format_instant(self.instant)),
                _("check this machine's clock"),
            )
        if accepted is not None:
            self._check_follows(accepted)

    def _check_follows(self, accepted: Record) -> None:
        newest = accepted.newest
        if self.register != accepted.register:
            raise VerificationError(
                _("the publisher offers another register than the one accepted"), _("call the office")
            )
        if self.number < newest.release:
            raise VerificationError(
                _(
                    "release {instant} is older than {accepted}, the accepted one",
                    instant=folder_name(self.instant),
                    accepted=folder_name(newest.instant),
                ),
                _("an old release is offered again; tell the office"),
            )
        if self.number == newest.release and self.head != newest.head:
            raise VerificationError(
                _("{accepted} is another release of the same instant", accepted=folder_name(newest.instant)), _(TELL)
            )
        if self.head.seq < newest.head.seq and self.branch == newest.branch:
            raise VerificationError(_("the register is shorter than it was: acts were dropped"), _("tell the office"))


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(read_number(value), UTC)


_MANY = 10**9
"""Acts, where the publisher says how many there are and nobody has counted yet."""


# What the acts say (step 4)


@dataclass(slots=True)
class Replayed:
    """What an offered release says, and what was known before.

    Attributes:
        register: The register at its head.
        now: The offered release.
        count: How many acts were replayed, the others having been verified before.
        since: The release that it compares itself with.
        seen: The one that was accepted last.
        base: The one whose additions are installed.
        last: The one that was installed last; another one than `base` after a rollback.
        moved: Whether it is of another branch than what was accepted, and the heads signed that this is right.
        notes: What has to be reported.
    """

    register: Register
    now: Snapshot
    count: int
    since: Snapshot | None = None
    seen: Snapshot | None = None
    base: Snapshot | None = None
    last: Snapshot | None = None
    moved: bool = False
    notes: list[str] = field(default_factory=list)


def replay_offer(
    offer: Offer,
    acts: Acts,
    state: ListState,
    record: Record | None,
    of: tuple[str, str],
    now: datetime,
    progress: Progress,
    deadline: Deadline,
) -> Replayed:
    """Check every act that a release rests on, and give what they say.

    Args:
        offer: What the metadata say of the release.
        acts: Its acts.
        state: Where the acts of the releases before are kept.
        record: What was accepted before.
        of: The list and the environment that were subscribed to.
        now: The clock.
        progress: Told about long work.
        deadline: When to give up.

    Raises:
        VerificationError: The acts are not genuine, not these, backdated, or of a history that was rewritten.
        TransportError: The deadline has passed.
    """
    marks: set[Mark] = {(offer.head, offer.instant)}
    if offer.since is not None:
        marks.add(offer.since)
    if record is not None:
        marks |= {_mark(record.newest), _mark(record.base), _mark(record.kept[0])}
    register, offset, taken = Register(), 0, dict[Mark, Snapshot]()
    begun = replay.kept(state.verified_path, min(ref.seq for ref, _instant in marks), now)
    if begun is not None and begun.seen is not None and replay.came_from(begun, acts.first(begun.seen.length)):
        register, offset = begun.register, begun.seen.length
    known = len(register.ids)
    lines = acts.lines(offset)
    if known:
        if register.id != offer.register:
            raise _another_register()
        take_marked(register, marks, taken)
    else:
        lines = _of_register(lines, offer.register)
    with progress(_("replaying the acts"), min(offer.head.seq, _MANY) - known) as advance:
        for signed in extend(register, lines, now):
            deadline.require()
            if record is not None:
                _check_not_backdated(record.newest, register, signed.act.seq)
            take_marked(register, marks, taken)
            advance(1)
    shown = taken.get((offer.head, offer.instant))
    if shown is None or register.head != offer.head:
        raise VerificationError(_("the acts do not end at the head that the release names"), _(TELL))
    _check_register(offer, register, of)
    replayed = Replayed(register, shown, len(register.ids) - known)
    if offer.since is not None:
        replayed.since = taken.get(offer.since)
        if replayed.since is None or replayed.since.instant >= shown.instant:
            raise VerificationError(_("the release compares itself with one that never was"), _(TELL))
    if record is not None:
        replayed.seen, replayed.base = taken.get(_mark(record.newest)), taken.get(_mark(record.base))
        replayed.last = taken.get(_mark(record.kept[0]))
        if replayed.seen is None or replayed.base is None:
            _move_over(offer, state, record, replayed, now)
    return replayed


def _of_register(lines: Iterator[bytes], register_id: str) -> Iterator[bytes]:
    """The lines, once the first is known to found this register: what a stranger founded is not even read."""
    first = next(lines, None)
    if first is not None and id_of(first) != register_id:
        raise _another_register()
    return lines if first is None else chain([first], lines)


def _mark(accepted: Accepted) -> Mark:
    return accepted.head, accepted.instant


def _check_register(offer: Offer, register: Register, of: tuple[str, str]) -> None:
    if (register.id, register.list_id, register.environment) != (offer.register, *of):
        raise _another_register()
    if offer.instant < register.at:
        raise VerificationError(_("the release is older than its last act, so something is left out of it"), _(TELL))
    chosen = offer.branch.act
    if chosen.seq > offer.head.seq or register.ids[chosen.seq - 1] != chosen.id:
        raise VerificationError(_("the acts are not of the branch that the heads chose"), _(TELL))


def _another_register() -> VerificationError:
    return VerificationError(_("the acts are those of another register"), _(TELL))


def _check_not_backdated(newest: Accepted, register: Register, seq: int) -> None:
    """What was signed after the release that we accepted cannot be dated before it (promise 8)."""
    head = newest.head
    if seq <= head.seq or register.ids[head.seq - 1] != head.id:
        return
    if register.at < newest.instant - CLOCK_TOLERANCE:
        raise VerificationError(
            _("act {seq} is dated before the release that was accepted without it", seq=seq), _(TELL)
        )


def _move_over(offer: Offer, state: ListState, record: Record, replayed: Replayed, now: datetime) -> None:
    """The head that we accepted is not in this chain: follow only if the heads chose another branch since.

    The act that they chose decides and not the number: whoever stole their keys could have used up the numbers.

    Raises:
        VerificationError: The history was rewritten, and nobody says that this is right.
    """
    head, chosen = record.newest.head, offer.branch.act
    taken: dict[Mark, Snapshot] = {}
    old = Register()
    with _kept_lines(state, record) as lines:
        for _signed, old in from_beginning(lines, now):
            take_marked(old, (_mark(record.newest), _mark(record.base)), taken)
    known = chosen.seq <= len(old.ids) and old.ids[chosen.seq - 1] == chosen.id
    if known or not old.ids or old.head != head:
        raise VerificationError(
            _("act {seq} that was accepted is not in the register any more: history was rewritten", seq=head.seq),
            _(TELL),
        )
    replayed.moved = True
    replayed.seen, replayed.base = taken[_mark(record.newest)], taken[_mark(record.base)]
    replayed.notes.append(
        _(
            "the heads ended a fork: from act {old}, id {old_id}, to act {new}, id {new_id}",
            old=head.seq,
            old_id=head.id,
            new=offer.head.seq,
            new_id=offer.head.id,
        )
    )


@contextmanager
def _kept_lines(state: ListState, record: Record) -> Iterator[Iterator[bytes]]:
    """The acts that were accepted; none if they are gone."""
    path = state.acts_path(record)
    if not path.is_file():
        yield iter(())
        return
    with path.open("rb") as stream:
        yield read_lines(stream, record.newest.acts_length)


# What was accepted


@dataclass(frozen=True, slots=True)
class Installation:
    """What the acts that are kept say: the newest accepted release, and any other kept one that was asked for."""

    newest: Snapshot
    base: Snapshot
    decisions: Measures

    def edition(self, record: Record, now: datetime) -> Edition:
        """What the record says is installed."""
        return installed_edition(self.newest, self.base, record, now)


def installation(
    state: ListState, record: Record, now: datetime, progress: Progress, base: Accepted | None = None
) -> Installation:
    """Replay the acts that are kept.

    Args:
        state: Where they are.
        record: What was accepted.
        now: The clock.
        progress: Told about long work.
        base: Another release than the one that the record lets in.

    Raises:
        VerificationError: They are not the acts of the accepted release.
    """
    chosen = base or record.base
    taken: dict[Mark, Snapshot] = {}
    register = Register()
    with _kept_lines(state, record) as lines, progress(_("replaying the acts"), record.newest.head.seq) as advance:
        for _signed, register in from_beginning(lines, now):
            take_marked(register, (_mark(record.newest), _mark(chosen)), taken)
            advance(1)
    if not register.ids or register.head != record.newest.head or _mark(chosen) not in taken:
        raise _other_acts()
    return Installation(taken[_mark(record.newest)], taken[_mark(chosen)], register.measures())


def accepted_edition(
    subscription: Subscription, list_id: str, now: datetime, progress: Progress
) -> tuple[Snapshot, Measures]:
    """What is installed of a list, and the last decision on every name.

    Raises:
        UsageError: Nothing was accepted yet.
        VerificationError: The acts that were kept are not those of the accepted release.
    """
    state = ListState.of(subscription, list_id)
    record = state.record()
    if record is None:
        raise UsageError(
            _("{path} has accepted no release yet", path=subscription.path), _("run 'blocklist pull' first")
        )
    known = installation(state, record, now, progress)
    return known.edition(record, now).shown, known.decisions


def snapshot_at(
    lines: Iterable[bytes], head: Ref, instant: datetime, now: datetime, progress: Progress
) -> tuple[Snapshot, Measures]:
    """The register at a release's instant, from its acts, and the last decision on every name.

    Raises:
        VerificationError: The acts are not genuine, or do not end at `head`.
    """
    register = Register()
    with progress(_("replaying the acts"), head.seq) as advance:
        for _signed, register in from_beginning(lines, now):  # noqa: B007  (the last one is wanted)
            advance(1)
    if not register.ids or register.head != head:
        raise _other_acts()
    return Snapshot.take(register, instant), register.measures()


def _other_acts() -> VerificationError:
    return VerificationError(
        _("the acts do not end at the head of the release"), _("run 'blocklist pull', or 'blocklist audit'")
    )
