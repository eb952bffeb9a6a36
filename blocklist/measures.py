"""A measure, and the set of measures that is in force at one instant.

Names that were decided by the same acts share one `Measure` object: a million names cost one dictionary, not a
million records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain, compress, count, repeat
from operator import is_not, itemgetter
from typing import cast

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
    """Names by scope with their measures.

    `parents` are the parents of all the names, and may be more; whoever made the names knows them already.
    """

    domain: Mapping[str, Measure] = field(default_factory=dict)
    host: Mapping[str, Measure] = field(default_factory=dict)
    parents: AbstractSet[str] | None = field(default=None, compare=False, repr=False)

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
        met = above(protected) | protected
        below = {parent for parent in self.all_parents() if within(parent, protected)}
        withheld = {
            text
            for _, names in self.by_scope()
            for text in (*(names.keys() & met), *(names if below else ()))
            if text in met or text.partition(".")[2] in below
        }
        return self._kept(lambda measure: measure.ended is None and at < measure.review_by, withheld)

    def let_in(self, others: Measures, until: int) -> Measures:
        """Those on names that `others` has too, in the same scope, approved by an act up to number `until`.

        A name that ended and was listed again after that act is a new addition.
        """
        pairs = zip(self.by_scope(), others.by_scope(), strict=True)
        domain, host = (
            {text: measure for text, measure in ours.items() if text in theirs and measure.approved <= until}
            for (_, ours), (_, theirs) in pairs
        )
        return Measures(domain, host, self.parents)

    def same_names(self, others: Measures) -> bool:
        """Whether both hold the same names in the same scopes, by whatever measures."""
        return self.domain.keys() == others.domain.keys() and self.host.keys() == others.host.keys()

    def not_lapsed(self, at: datetime) -> Measures:
        """Those whose review date has not come at `at`."""
        return self._kept(lambda measure: at < measure.review_by)

    def next_lapse(self) -> datetime | None:
        """The first review date of all."""
        decisions = (measure for _, names in self.by_scope() for measure in _distinct(names).values())
        return min((measure.review_by for measure in decisions), default=None)

    def rendered(self) -> Measures:
        """What exports hold: sorted, without the names that a listed domain covers.

        A more specific owner name in a policy zone takes its neighbours out of the wildcard above it, so a covered
        name would unblock others (RFC 4592, section 3.3.1: the closest encloser decides).
        """
        covered = {parent for parent in self.all_parents() if within(parent, self.domain.keys())}
        twice = self.host.keys() & self.domain.keys()
        return Measures(
            _Sorted(self.domain, sorted(_outside(self.domain, covered))),
            _Sorted(self.host, sorted(text for text in _outside(self.host, covered) if text not in twice)),
            self.parents,
        )

    def all_parents(self) -> AbstractSet[str]:
        """The parents of all names, and maybe more."""
        if self.parents is not None:
            return self.parents
        return parents_of(text for _, names in self.by_scope() for text in names)

    def _kept(self, wanted: Callable[[Measure], bool], without: AbstractSet[str] = frozenset()) -> Measures:
        """Those that are `wanted`, which is asked once for each of the few distinct measures, on other names."""
        domain, host = (_those(names, wanted, without) for _, names in self.by_scope())
        return Measures(domain, host, self.parents)


def _those(
    names: Mapping[str, Measure], wanted: Callable[[Measure], bool], without: AbstractSet[str]
) -> dict[str, Measure]:
    out = {key for key, measure in _distinct(names).items() if not wanted(measure)}
    if not out and not without:
        return dict(names)
    return {text: measure for text, measure in names.items() if id(measure) not in out and text not in without}


class _Sorted(Mapping[str, Measure]):
    """Some names of a mapping, in the order of `texts`: a second dictionary of a million names takes longer to make."""

    def __init__(self, names: Mapping[str, Measure], texts: list[str]) -> None:
        self._names = names
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __getitem__(self, text: str) -> Measure:
        return self._names[text]

    def values(self) -> ValuesView[Measure]:
        """The measures in the order of the names."""
        return cast(ValuesView[Measure], map(self._names.__getitem__, self._texts))


def parents_of(names: Iterable[str]) -> set[str]:
    """The parent of each name; of a million names they are few."""
    return set(map(itemgetter(2), map(str.partition, names, repeat("."))))


def boundaries(measures: Iterable[Measure]) -> Iterator[int]:
    """The places at which another measure begins; names that were decided together stand together, so they are few."""
    return compress(count(), _begins(measures))


def _begins(measures: Iterable[Measure]) -> Iterator[bool]:
    return map(is_not, measures, chain((None,), measures))


def _distinct(names: Mapping[str, Measure]) -> dict[int, Measure]:
    measures = names.values()
    return {id(measure): measure for measure in compress(measures, _begins(measures))}


def _outside(names: Mapping[str, Measure], covered: AbstractSet[str]) -> Iterable[str]:
    """The names whose parent is not one of `covered`; mostly there is none, and nothing to look at."""
    return (text for text in names if text.partition(".")[2] not in covered) if covered else names
