"""What acts decide about: measures with their states, and the lifecycle of proposals, requests and recommendations.

`MAY_SIGN` says which role signs which act, `LIFECYCLE` which act may follow in which state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _, later
from blocklist.names.domain_name import Name, Names, Scope, above, within
from blocklist.register import acts
from blocklist.register.decoders import Ref

if TYPE_CHECKING:
    from blocklist.keys.encoding import PublicKey
    from blocklist.register.acts import Act


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


PENDING_FOR = timedelta(days=7)
"""How long an act waits for its approval; after that it has to be made anew."""


MAY_SIGN: Mapping[str, frozenset[str]] = {
    "appoint": frozenset({"head"}),
    "revoke": frozenset({"head"}),
    "adopt": frozenset({"head"}),
    "request": frozenset({"agent"}),
    "answer": frozenset({"agent"}),
    "add": frozenset({"agent"}),
    "approve": frozenset({"agent", "head"}),
    "reject": frozenset({"agent", "head"}),
    "review": frozenset({"agent"}),
    "remove": frozenset({"agent"}),
    "recommend": frozenset({"qualified-person"}),
    "respond": frozenset({"agent", "head"}),
    "erase": frozenset({"head"}),
}
"""Which roles may sign which kind (décret 2015-125 art. 1 and 5)."""


class RuleError(RefusedError):
    """An act breaks a rule of the register.

    Args:
        message: What is wrong with it.
        hint: The rule, or what to do.
        article: The text of law behind the rule; empty for a rule of this program or of the list's policy.
    """

    def __init__(self, message: str, hint: str = "", article: str = "") -> None:
        both = _("{hint} ({article})", hint=hint, article=article) if hint and article else hint or article
        super().__init__(message, both)


def refuse_act(message: str, hint: str = "", article: str = "") -> NoReturn:
    """Raise `RuleError`."""
    raise RuleError(message, hint, article)


class Stage(StrEnum):
    """How far something has come that acts cite: a proposal, a removal request, a recommendation."""

    PENDING = "proposal pending"
    EFFECTIVE = "proposal in effect"
    REJECTED = "proposal rejected"
    EXPIRED = "proposal expired"
    WAITING = "request waiting"
    REFUSED = "request refused"
    SILENT = "request silent"
    CLARIFIED = "request clarified"
    FOLLOWED = "request followed"
    UNDELIVERED = "request undelivered"
    OPEN = "recommendation open"
    ACCEPTED = "recommendation accepted"
    DECLINED = "recommendation refused"


ANSWERED: Mapping[str | None, Stage] = {
    None: Stage.WAITING,
    "refused": Stage.REFUSED,
    "silent": Stage.SILENT,
    "clarification": Stage.CLARIFIED,
    "removed": Stage.FOLLOWED,
    "undelivered": Stage.UNDELIVERED,
}
"""The stage of a removal request by its last answer."""

RESPONDED: Mapping[str | None, Stage] = {None: Stage.OPEN, "accepted": Stage.ACCEPTED, "refused": Stage.DECLINED}
"""The stage of a recommendation by its response."""


_DELIVERED = (
    later("request {subject} was answered, so it was delivered"),
    later("say what came back; for another contact make a new request"),
)
_WHY: Mapping[State | Stage, tuple[str, str]] = {
    State.UNLISTED: (later("{subject} was never listed"), later("see 'blocklist list' for what is")),
    State.LISTED: (
        later("{subject} is listed already"),
        later("a name is listed once; to move its review date use 'blocklist review'"),
    ),
    State.LAPSED: (
        later("{subject} has lapsed: its review date has passed"),
        later("what has ended stays ended; to block it again use 'blocklist add --like'"),
    ),
    State.REMOVED: (
        later("{subject} was removed"),
        later("what has ended stays ended; to block it again use 'blocklist add'"),
    ),
    State.ANNULLED: (
        later("{subject} was annulled"),
        later("only an approval by a head lists an annulled name again"),
    ),
    Stage.EXPIRED: (later("act {subject} waited more than seven days and has lapsed"), later("make it anew")),
    Stage.FOLLOWED: (
        later("request {subject} is closed: the content was removed"),
        later("there is nothing to answer or to block; for other content make a new request"),
    ),
    Stage.REFUSED: _DELIVERED,
    Stage.CLARIFIED: _DELIVERED,
    Stage.UNDELIVERED: (
        later("request {subject} is closed: it was never delivered"),
        later("make a new request, with the contact that works; its notice begins with it"),
    ),
    Stage.ACCEPTED: (
        later("recommendation {subject} was answered already: accepted"),
        later("each is answered once; the qualified person can make another one"),
    ),
    Stage.DECLINED: (
        later("recommendation {subject} was answered already: refused"),
        later("each is answered once; the qualified person can make another one"),
    ),
}


def refuse_step(subject: object, state: State | Stage, article: str = "") -> NoReturn:
    """Say that what is in `state` cannot take a step.

    Args:
        subject: A name, or the number of an act.
        state: Where it is.
        article: The text of law that forbids the step, if one does.

    Raises:
        RuleError: Always.
    """
    fact, hint = _WHY[state]
    raise RuleError(_(fact, subject=subject), _(hint), article)


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody who signs, under a pseudonym; `until` is None while in office."""

    id: str
    role: str
    key: PublicKey
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that waits for approvals, with the officers who gave theirs."""

    act: Act
    ref: Ref
    approvals: tuple[str, ...] = ()

    @property
    def until(self) -> datetime:
        """The last instant at which it can be approved."""
        return self.act.at + PENDING_FOR

    def without(self, officer: str) -> Pending:
        """The same as if that officer had not approved it."""
        return replace(self, approvals=tuple(other for other in self.approvals if other != officer))

    def stage(self, at: datetime) -> Stage:
        """Whether it still waits at the instant `at`."""
        return Stage.PENDING if at <= self.until else Stage.EXPIRED


@dataclass(frozen=True, slots=True)
class Request:
    """A removal request and what came back.

    `since` is T0, `clock` that or the last clarification, which restarts it, `changed` the last act about it,
    `observed` when the content was seen to be gone.
    """

    ref: Ref
    to: str
    names: Names | None
    since: datetime
    clock: datetime
    changed: datetime
    outcome: str | None = None
    observed: datetime | None = None

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return ANSWERED[self.outcome]

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be based on it any more: the content is gone, or nobody was reached."""
        return self.stage in (Stage.FOLLOWED, Stage.UNDELIVERED)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the qualified person recommended, and the answer."""

    ref: Ref
    names: Names | None
    outcome: str | None = None

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return RESPONDED[self.outcome]


_Cited = TypeVar("_Cited", Request, Recommendation)


def cited(found: Mapping[int, _Cited], ref: Ref, message: str) -> _Cited:
    """What an act cites by number and id.

    Raises:
        RuleError: It is not there; `message`, marked for translation, says what was looked for.
    """
    entry = found.get(ref.seq)
    if entry is None or entry.ref.id != ref.id:
        raise RuleError(_(message, seq=ref.seq), _("see 'blocklist log' for the numbers of acts"))
    return entry


_ENDS = (
    *(f"remove {reason}" for reason in acts.REASONS if reason != "annulled"),
    *(f"review {outcome}" for outcome in acts.OUTCOMES if outcome != "still-unlawful"),
)
_KNOWN = (State.LISTED, State.LAPSED, State.REMOVED, State.ANNULLED)
_REPLIES = tuple(answer for answer in acts.ANSWERS if answer != "undelivered")
_UNFOLLOWED = (Stage.WAITING, Stage.REFUSED, Stage.SILENT, Stage.CLARIFIED)

LIFECYCLE: Mapping[tuple[State | Stage, str], State | Stage] = {
    # A name
    (State.UNLISTED, "approve"): State.LISTED,
    (State.LAPSED, "approve"): State.LISTED,
    (State.REMOVED, "approve"): State.LISTED,
    **{(state, "approve by a head"): State.LISTED for state in State if state is not State.LISTED},
    (State.LISTED, "review still-unlawful"): State.LISTED,
    **{(State.LISTED, event): State.REMOVED for event in _ENDS},
    # A court may annul what has already ended; from then on only a head can list the name again.
    **{(state, "remove annulled"): State.ANNULLED for state in (State.LISTED, State.LAPSED, State.REMOVED)},
    **{(state, "recommend"): state for state in _KNOWN},
    **{(state, "respond accepted"): state for state in _KNOWN},
    (State.LISTED, "respond accepted"): State.REMOVED,
    # What acts cite: a proposal, a removal request, a recommendation
    (Stage.PENDING, "approve"): Stage.EFFECTIVE,
    (Stage.PENDING, "reject"): Stage.REJECTED,
    **{(stage, f"answer {answer}"): ANSWERED[answer] for stage in _UNFOLLOWED for answer in _REPLIES},
    # What was refused or clarified had been read; what was taken for silence may turn out to have come back.
    **{(stage, "answer undelivered"): Stage.UNDELIVERED for stage in (Stage.WAITING, Stage.SILENT)},
    **{(stage, "add not-removed"): stage for stage in _UNFOLLOWED},
    **{(Stage.OPEN, f"respond {response}"): RESPONDED[response] for response in acts.RESPONSES},
}
"""The lifecycle, `(state, act) -> state`; what is not here is refused.

Time alone makes LISTED LAPSED, and PENDING EXPIRED. An act that needs several approvals stays PENDING until the last.
"""


def check_transition(subject: object, state: State | Stage, event: str, article: str = "") -> None:
    """Look a step up in the table.

    Args:
        subject: A name, or the number of an act.
        state: Where it is.
        event: The step.
        article: The text of law that forbids what is not in the table, if one does.

    Raises:
        RuleError: It is not there.
    """
    if (state, event) not in LIFECYCLE:
        refuse_step(subject, state, article)
