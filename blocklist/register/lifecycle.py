"""Who may sign what, and the lifecycle of what acts are about: names, proposals, removal requests, recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, TypeVar

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _, later
from blocklist.keys.public import PublicKey
from blocklist.names.name_set import Names
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.register.measures import State

if TYPE_CHECKING:
    from blocklist.register.acts import Act

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
    OPEN = "recommendation open"
    ACCEPTED = "recommendation accepted"
    DECLINED = "recommendation refused"


ANSWERED: Mapping[str | None, Stage] = {
    None: Stage.WAITING,
    "refused": Stage.REFUSED,
    "silent": Stage.SILENT,
    "clarification": Stage.CLARIFIED,
    "removed": Stage.FOLLOWED,
}
"""The stage of a removal request by its last answer."""

RESPONDED: Mapping[str | None, Stage] = {None: Stage.OPEN, "accepted": Stage.ACCEPTED, "refused": Stage.DECLINED}
"""The stage of a recommendation by its response."""


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

    def stage(self, at: datetime) -> Stage:
        """Whether it still waits at the instant `at`."""
        return Stage.PENDING if at <= self.until else Stage.EXPIRED


@dataclass(frozen=True, slots=True)
class Request:
    """A removal request and what came back.

    `since` is T0, `clock` that or the last clarification, which restarts it, `changed` the last act about it.
    """

    ref: Ref
    to: str
    names: Names | None
    since: datetime
    clock: datetime
    changed: datetime
    outcome: str | None = None

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return ANSWERED[self.outcome]


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
    **{(stage, f"answer {answer}"): ANSWERED[answer] for stage in _UNFOLLOWED for answer in acts.ANSWERS},
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
