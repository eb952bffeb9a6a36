"""What accepted, offered or published releases say, from the acts behind them (step 4 of a pull)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import Progress, _
from blocklist.base.instants import CLOCK_TOLERANCE
from blocklist.client.offer import TELL, Offer
from blocklist.client.selection import Edition, installed_edition
from blocklist.client.state import Accepted, ListState, Record
from blocklist.register import kept_state
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.measures import Measures
from blocklist.register.replay import extend, read_lines, replay
from blocklist.release.snapshot import Mark, Snapshot, take_marked

if TYPE_CHECKING:
    from blocklist.client.fetch import Acts
    from blocklist.client.subscription import Subscription

_MANY = 10**9
"""Acts, where the publisher says how many there are and nobody has counted yet."""


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

    Raises:
        VerificationError: The acts are not genuine, not these, backdated, or of a history that was rewritten.
    """
    marks: set[Mark] = {(offer.head, offer.instant)}
    if offer.since is not None:
        marks.add(offer.since)
    if record is not None:
        marks |= {_mark(record.newest), _mark(record.base), _mark(record.kept[0])}
    begun = kept_state.start(state.verified_path, acts.first, min(ref.seq for ref, _instant in marks), now)
    register, taken = begun.register, dict[Mark, Snapshot]()
    known = len(register.ids)
    if known:
        take_marked(register, marks, taken)
    with progress(_("replaying the acts"), min(offer.head.seq, _MANY) - known) as advance:
        for signed in extend(register, acts.lines(begun.length), now):
            if register.id != offer.register:
                raise _another_register()  # at the first act, however many there are
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


def _mark(accepted: Accepted) -> Mark:
    return accepted.head, accepted.instant


def _check_register(offer: Offer, register: Register, of: tuple[str, str]) -> None:
    if (register.id, register.list_id, register.environment) != (offer.register, *of):
        raise _another_register()
    if offer.instant < register.at:
        raise VerificationError(_("the release is older than its last act, so something is left out of it"), _(TELL))
    if offer.checkpoint.seq > offer.head.seq or register.ids[offer.checkpoint.seq - 1] != offer.checkpoint.id:
        raise VerificationError(_("the acts do not hold the checkpoint that the heads signed"), _(TELL))


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
    """The head that we accepted is not in this chain: follow only if the heads signed a newer checkpoint.

    Raises:
        VerificationError: The history was rewritten, and no checkpoint says that this is right.
    """
    head, position = record.newest.head, offer.checkpoint.seq - 1
    taken: dict[Mark, Snapshot] = {}
    old = Register()
    with _kept_lines(state, record) as lines:
        for _signed, old in replay(lines, now):
            take_marked(old, (_mark(record.newest), _mark(record.base)), taken)
    known = position < len(old.ids) and old.ids[position] == offer.checkpoint.id
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
        for _signed, register in replay(lines, now):
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
        for _signed, register in replay(lines, now):  # noqa: B007  (the last one is wanted)
            advance(1)
    if not register.ids or register.head != head:
        raise _other_acts()
    return Snapshot.take(register, instant), register.measures()


def _other_acts() -> VerificationError:
    return VerificationError(
        _("the acts do not end at the head of the release"), _("run 'blocklist pull', or 'blocklist audit'")
    )
