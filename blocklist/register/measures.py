"""A measure, and the set of measures that is in force at one instant.

Names that were decided by the same acts share one `Measure` object: a million names are not a million records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import compress
from operator import is_not
from typing import NamedTuple

from blocklist.names.domain_name import Name, Scope, above, within


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
        """Return the state at the instant `at`: in force while `at < review_by` and nothing ended it."""
        if self.reason == "annulled":
            return State.ANNULLED
        if self.ended is not None:
            return State.REMOVED
        return State.LISTED if at < self.review_by else State.LAPSED


@dataclass(frozen=True, slots=True)
class Measures:
    """Names by scope with their measures, in no particular order.

    `parents` are the parents of all the names, and may be more: whoever listed the names knows them already.
    """

    domain: Mapping[str, Measure] = field(default_factory=dict)
    host: Mapping[str, Measure] = field(default_factory=dict)
    parents: AbstractSet[str] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.domain) + len(self.host)

    def by_scope(self) -> tuple[tuple[Scope, Mapping[str, Measure]], ...]:
        """Return both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))

    def names(self) -> Iterator[Name]:
        """Yield every name, domains first, each scope sorted."""
        return (Name(text, scope) for scope, names in self.by_scope() for text in sorted(names))

    def get(self, name: Name) -> Measure | None:
        """Return the measure of `name`."""
        return (self.domain if name.scope is Scope.DOMAIN else self.host).get(name.text)

    def in_force(self, at: datetime, protected: AbstractSet[str]) -> Measures:
        """Return what is in force at `at`, without names that are, contain or lie below a protected one (promise 6)."""
        withheld = above(protected) | protected
        if below := {parent for parent in self.all_parents() if within(parent, protected)}:
            withheld |= {text for _, names in self.by_scope() for text in names if text.partition(".")[2] in below}
        return self._kept(lambda measure: measure.ended is None and at < measure.review_by, withheld)

    def let_in(self, others: Measures, until: int) -> Measures:
        """Return those on names that `others` has too, in the same scope, approved by an act up to number `until`.

        A name that ended and was listed again after that act is a new addition.
        """
        domain, host = (
            {text: measure for text, measure in ours.items() if measure.approved <= until and text in theirs}
            for (_, ours), (_, theirs) in zip(self.by_scope(), others.by_scope(), strict=True)
        )
        return replace(self, domain=domain, host=host)

    def same_names(self, others: Measures) -> bool:
        """Tell whether both hold the same names in the same scopes, by whatever measures."""
        return self.domain.keys() == others.domain.keys() and self.host.keys() == others.host.keys()

    def not_lapsed(self, at: datetime) -> Measures:
        """Return those whose review date has not come at `at`."""
        return self._kept(lambda measure: at < measure.review_by)

    def next_lapse(self) -> datetime | None:
        """Return the first review date of all."""
        return min((measure.review_by for _, names in self.by_scope() for measure in names.values()), default=None)

    def rendered(self) -> Rendered:
        """Return what exports hold: sorted names, without those that a listed domain covers.

        A more specific owner name in a policy zone takes its neighbours out of the wildcard above it, so a covered
        name would unblock others (RFC 4592, section 3.3.1: the closest encloser decides).
        """
        domains = self.domain.keys()
        domain, host = sorted(domains), sorted(self.host.keys() - domains)
        if covered := {parent for parent in self.all_parents() if within(parent, domains)}:
            domain, host = (
                [text for text in names if text.partition(".")[2] not in covered] for names in (domain, host)
            )
        return Rendered(domain, host, self)

    def all_parents(self) -> AbstractSet[str]:
        """Return the parents of all names, and maybe more."""
        if self.parents is not None:
            return self.parents
        return parents_of(text for _, names in self.by_scope() for text in names)

    def _kept(self, wanted: Callable[[Measure], bool], without: AbstractSet[str] = frozenset()) -> Measures:
        """Return the names whose measure is `wanted`, except those in `without`."""

        def kept(names: Mapping[str, Measure]) -> dict[str, Measure]:
            # Names that were decided together share one measure: it is judged once. To copy a dictionary and take names
            # out of it is several times as fast as to choose a million names one by one.
            distinct = {id(measure): measure for measure in names.values()}
            unwanted = {key for key, measure in distinct.items() if not wanted(measure)}
            out = [text for text, measure in names.items() if id(measure) in unwanted] if unwanted else []
            left = dict(names)
            for text in (*out, *without):
                left.pop(text, None)
            return left

        return replace(self, domain=kept(self.domain), host=kept(self.host))


@dataclass(frozen=True, slots=True)
class Rendered:
    """The names of an export, sorted, none of them covered by another; `measures` says what was decided on each."""

    domain: list[str]
    host: list[str]
    measures: Measures


class Difference(NamedTuple):
    """Names, sorted: those that are new, those that have another measure, those that are gone."""

    new: list[str]
    changed: list[str]
    gone: list[str]


def difference(before: Mapping[str, Measure], after: Mapping[str, Measure]) -> Difference:
    """Compare the names of one scope at two instants."""
    # A measure that no act touched is the same object in both, and a million names need no comparison by value.
    touched = list(compress(after, map(is_not, map(before.get, after), after.values())))
    new = [text for text in touched if text not in before]
    changed = [text for text in touched if text in before and before[text] != after[text]]
    # All other names of `after` are in `before`: unless these are more, nothing is gone.
    gone = before.keys() - after.keys() if len(before) + len(new) > len(after) else set()
    return Difference(sorted(new), sorted(changed), sorted(gone))


def parents_of(names: Iterable[str]) -> set[str]:
    """Return the parent of each name; of a million names they are few."""
    return {text.partition(".")[2] for text in names}
