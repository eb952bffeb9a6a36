"""A measure, and the set of measures that is in force at one instant.

Names that were decided by the same acts share one `Measure` object: a million names are not a million records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from operator import itemgetter

from blocklist.listing import Listing, Ordered
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

    domain: Listing[Measure] = field(default_factory=Listing)
    host: Listing[Measure] = field(default_factory=Listing)
    parents: AbstractSet[str] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.domain) + len(self.host)

    def by_scope(self) -> tuple[tuple[Scope, Listing[Measure]], ...]:
        """Both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))

    def names(self) -> Iterator[Name]:
        """Every name, domains first, each scope sorted."""
        return (Name(text, scope) for scope, names in self.by_scope() for text in names.in_order())

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
            for text in (*names.among(met), *(names if below else ()))
            if text in met or text.partition(".")[2] in below
        }
        return self._kept(lambda measure: measure.ended is None and at < measure.review_by, withheld)

    def let_in(self, others: Measures, until: int) -> Measures:
        """Those on names that `others` has too, in the same scope, approved by an act up to number `until`.

        A name that ended and was listed again after that act is a new addition.
        """
        domain, host = (
            ours.kept(lambda measure: measure.approved <= until, set(ours.since(theirs).new))
            for (_, ours), (_, theirs) in zip(self.by_scope(), others.by_scope(), strict=True)
        )
        return replace(self, domain=domain, host=host)

    def same_names(self, others: Measures) -> bool:
        """Whether both hold the same names in the same scopes, by whatever measures."""
        pairs = zip(self.by_scope(), others.by_scope(), strict=True)
        found = [ours.since(theirs) for (_, ours), (_, theirs) in pairs]
        return not any(difference.new or difference.gone for difference in found)

    def not_lapsed(self, at: datetime) -> Measures:
        """Those whose review date has not come at `at`."""
        return self._kept(lambda measure: at < measure.review_by)

    def next_lapse(self) -> datetime | None:
        """The first review date of all."""
        dates = (measure.review_by for _, names in self.by_scope() for measure in names.distinct())
        return min(dates, default=None)

    def rendered(self) -> Rendered:
        """What exports hold: sorted, without the names that a listed domain covers.

        A more specific owner name in a policy zone takes its neighbours out of the wildcard above it, so a covered
        name would unblock others (RFC 4592, section 3.3.1: the closest encloser decides).
        """
        parents = self.all_parents()
        domains = self.domain.keys_for(len(parents) + len(self.host))
        covered = {parent for parent in parents if within(parent, domains)}
        hosts = self.host.in_order()
        twice = {text for text in hosts if text in domains}
        return Rendered(self.domain.in_order().but((), covered), hosts.but(twice, covered))

    def all_parents(self) -> AbstractSet[str]:
        """The parents of all names, and maybe more."""
        if self.parents is not None:
            return self.parents
        return parents_of(text for _, names in self.by_scope() for text in names)

    def _kept(self, wanted: Callable[[Measure], bool], without: AbstractSet[str] = frozenset()) -> Measures:
        """Those that are `wanted`, which is asked once for each of the few distinct measures, on other names."""
        return replace(self, domain=self.domain.kept(wanted, without), host=self.host.kept(wanted, without))


@dataclass(frozen=True, slots=True)
class Rendered:
    """The names of an export with their measures: sorted, and none of them covered by another."""

    domain: Ordered[Measure]
    host: Ordered[Measure]

    def by_scope(self) -> tuple[tuple[Scope, Ordered[Measure]], ...]:
        """Both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))


def parents_of(names: Iterable[str]) -> set[str]:
    """The parent of each name; of a million names they are few."""
    return set(map(itemgetter(2), map(str.partition, names, repeat("."))))
