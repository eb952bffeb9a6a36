"""A measure, and the set of measures that is in force at one instant.

Names that were decided by the same acts share one `Measure` object: a million names cost one dictionary, not a
million records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from blocklist.names import Name, Scope, above, within


class State(StrEnum):
    """What the acts say about one name at one instant."""

    UNLISTED = "unlisted"
    LISTED = "listed"
    LAPSED = "lapsed"
    REMOVED = "removed"
    ANNULLED = "annulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """The last decision on a name; `added`, `approved` and `ended_by` are numbers of acts.

    `reason` is the code of the act that ended it (`annulled`, `lawful`, …), or None while nothing but its date does.
    """

    ground: str
    basis: str
    added: int
    approved: int
    since: datetime
    review_by: datetime
    ended: datetime | None = None
    ended_by: int | None = None
    reason: str | None = None

    def state(self, at: datetime) -> State:
        """The state at the instant `at`: in force while `at < review_by` and nothing ended it."""
        if self.reason == "annulled":
            return State.ANNULLED
        if self.ended is not None:
            return State.REMOVED
        return State.LISTED if at < self.review_by else State.LAPSED


@dataclass(frozen=True, slots=True)
class Measures:
    """Names by scope with their measures."""

    domain: Mapping[str, Measure] = field(default_factory=dict)
    host: Mapping[str, Measure] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.domain) + len(self.host)

    def by_scope(self) -> tuple[tuple[Scope, Mapping[str, Measure]], ...]:
        """Both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))

    def names(self) -> Iterator[Name]:
        """Every name, domains first."""
        return (Name(text, scope) for scope, names in self.by_scope() for text in names)

    def get(self, name: Name) -> Measure | None:
        """The measure of `name`."""
        return (self.domain if name.scope is Scope.DOMAIN else self.host).get(name.text)

    def in_force(self, at: datetime, protected: AbstractSet[str]) -> Measures:
        """Those in force at `at`, but for names that are a protected subtree, below one or above one (promise 6)."""
        parents, sheltered = above(protected), _Within(protected)
        return Measures(
            *(
                {
                    text: measure
                    for text, measure in names.items()
                    if measure.ended is None
                    and at < measure.review_by
                    and text not in parents
                    and text not in protected
                    and not sheltered[text.partition(".")[2]]
                }
                for _, names in self.by_scope()
            )
        )

    def common(self, others: Measures) -> Measures:
        """Those on names that `others` has too, in the same scope."""
        pairs = zip(self.by_scope(), others.by_scope(), strict=True)
        return Measures(
            *({text: measure for text, measure in ours.items() if text in theirs} for (_, ours), (_, theirs) in pairs)
        )

    def same_names(self, others: Measures) -> bool:
        """Whether both hold the same names in the same scopes, by whatever measures."""
        return self.domain.keys() == others.domain.keys() and self.host.keys() == others.host.keys()

    def not_lapsed(self, at: datetime) -> Measures:
        """Those whose review date has not come at `at`."""
        return Measures(
            *(
                {text: measure for text, measure in names.items() if at < measure.review_by}
                for _, names in self.by_scope()
            )
        )

    def next_lapse(self) -> datetime | None:
        """The first review date of all."""
        return min((measure.review_by for _, names in self.by_scope() for measure in names.values()), default=None)

    def rendered(self) -> Measures:
        """What exports hold: sorted, without the names that a listed domain covers.

        A more specific owner name in a policy zone takes its neighbours out of the wildcard above it, so a covered
        name would unblock others (RFC 4592, section 3.3.1: the closest encloser decides).
        """
        parents = {text.partition(".")[2] for names in (self.domain, self.host) for text in names}
        covered = {parent for parent in parents if within(parent, self.domain.keys())}
        return Measures(
            {text: self.domain[text] for text in sorted(_outside(self.domain, covered))},
            {text: self.host[text] for text in sorted(_outside(self.host, covered)) if text not in self.domain},
        )


def _outside(names: Mapping[str, Measure], covered: AbstractSet[str]) -> Iterable[str]:
    """The names whose parent is not one of `covered`; mostly there is none, and nothing to look at."""
    return (text for text in names if text.partition(".")[2] not in covered) if covered else names


class _Within(dict[str, bool]):
    """Whether a name is one of `subtrees` or below one, asked for the parents of a million names: few are distinct."""

    def __init__(self, subtrees: AbstractSet[str]) -> None:
        super().__init__()
        self._subtrees = subtrees

    def __missing__(self, text: str) -> bool:
        self[text] = found = within(text, self._subtrees)
        return found
