"""`pull`: bring the files that resolvers read up to date. The eight steps are in `blocklist.client.steps`.

Here is what surrounds them: the lock, the look whether there is anything to do, and what monitoring reads afterwards.
This module loads neither python-tuf nor the rules of the register, which an unchanged pull does not need.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist import files
from blocklist.client import quick
from blocklist.client.install import clear
from blocklist.client.state import Last, ListState, sweep
from blocklist.client.transport import transport
from blocklist.errors import BlocklistError
from blocklist.messages import Progress, _, quietly

if TYPE_CHECKING:
    from blocklist.client.subscription import Subscription
    from blocklist.client.transport import Transport
    from blocklist.notices import Notice
    from blocklist.release import Plan

ANY_CHANGE = "any"
"""What `--accept` without a checksum stands for; it is enough for a first pull only."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator said to one pull.

    Attributes:
        accept: `ANY_CHANGE` lets a first pull in; a plan's checksum lets exactly that plan through the brakes.
        adopt: Replace files at the targets' paths that this program did not write.
        resume: Go on after a rollback.
        prune_lapsed: Leave out names whose review date has passed while no newer release comes.
        confirm: Asked at a first pull without `accept`.
        progress: Told about long work.
    """

    accept: str | None = None
    adopt: bool = False
    resume: bool = False
    prune_lapsed: bool = False
    confirm: Callable[[Plan], bool] = lambda _: False
    progress: Progress = quietly


@dataclass(slots=True)
class Outcome:
    """What a pull did about one list. `release` is the number of the one that is accepted, 0 if none is.

    `failures` are targets that could not be changed; `error` is why the list was not brought up to date.
    """

    list_id: str
    release: int = 0
    changed: bool = False
    installed: tuple[str, ...] = ()
    plan: Plan | None = None
    notice: Notice | None = None
    notes: list[str] = field(default_factory=list)
    failures: tuple[BlocklistError, ...] = ()
    error: BlocklistError | None = None

    @property
    def errors(self) -> tuple[BlocklistError, ...]:
        """All that went wrong, the worst first."""
        every = self.failures if self.error is None else (self.error, *self.failures)
        return tuple(sorted(every, key=lambda fault: _SEVERITY.index(fault.exit_code)))

    @property
    def exit_code(self) -> int:
        """That of the worst error, or 0."""
        return next((fault.exit_code for fault in self.errors), 0)


_SEVERITY = (3, 4, 1, 6, 5, 2)
"""Exit codes, the worst first: what is not genuine, what is stale, what waits for a person, and the rest."""


def worst(outcomes: Iterable[Outcome]) -> int:
    """The exit code of a pull of several lists."""
    codes = [outcome.exit_code for outcome in outcomes if outcome.exit_code]
    return min(codes, key=_SEVERITY.index, default=0)


def pull(subscription: Subscription, now: datetime, options: Options) -> list[Outcome]:
    """Bring the targets of every list of a subscription up to date.

    Args:
        subscription: What the provider wrote down.
        now: The clock.
        options: What the operator said.

    Returns:
        What happened, for each list; what went wrong is in there too.

    Raises:
        BlocklistError: The pull could not begin: another one runs, or the state folder cannot be used.
    """
    with locked(subscription), closing(transport(subscription)) as way:
        for folder in (subscription.state, *(subscription.state / "lists").glob("*")):
            sweep(folder, files.TEMPORARY)
        sweep(subscription.state / "metadata", "tmp")  # python-tuf's, after a crash
        for target in itertools.chain(*subscription.lists.values()):
            with suppress(OSError):
                clear(target.path)
        outcomes = _outcomes(subscription, now, options, way)
        for outcome in outcomes:
            with suppress(BlocklistError):  # a full disk is told by the targets, and must not hide what they did
                _note(ListState.of(subscription, outcome.list_id), outcome, now)
    return outcomes


def _outcomes(subscription: Subscription, now: datetime, options: Options, way: Transport) -> list[Outcome]:
    is_plain = not (options.adopt or options.resume)
    if is_plain and quick.nothing_new(subscription, now, way, options.prune_lapsed):
        return [_unchanged(subscription, list_id) for list_id in subscription.lists]
    from blocklist.client.steps import take_steps

    return take_steps(subscription, now, options, way)


def _unchanged(subscription: Subscription, list_id: str) -> Outcome:
    record = ListState.of(subscription, list_id).record()
    return Outcome(list_id, record.newest.release if record else 0, installed=tuple(record.installed if record else ()))


def _note(state: ListState, outcome: Outcome, now: datetime) -> None:
    before = state.last()
    state.note(
        Last(
            at=now,
            exit_code=outcome.exit_code,
            message=outcome.errors[0].message if outcome.errors else "",
            success=now if outcome.exit_code == 0 else (before.success if before else None),
        )
    )


@contextmanager
def locked(subscription: Subscription) -> Iterator[None]:
    """Let nobody else change the targets or the state of a subscription meanwhile.

    Raises:
        RefusedError: Somebody does.
        TargetError: The state folder cannot be used.
    """
    files.make_folder(subscription.state, 0o700)
    with files.locked(subscription.state / "lock", _("pull of {path}", path=subscription.path)):
        yield
