"""What the operator says to a pull, and what a pull did about each list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import Progress, quietly
from blocklist.release.contents import Plan
from blocklist.release.notices import Notice

ANY_CHANGE = "any"
"""What `--accept` without a checksum stands for; it is enough for a first pull only."""


class Options(NamedTuple):
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


@dataclass
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
