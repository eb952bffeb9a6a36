"""Looking at a register: what is listed, what is known of one name, and how things stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import _, plural, shown
from blocklist.names.domain_name import Name, Scope
from blocklist.names.guards import Finding
from blocklist.office.session import Session
from blocklist.publisher.tree import Published, Repository
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import format_instant
from blocklist.register.lifecycle import Measure, Measures, Pending, State
from blocklist.trust.expiry import trust_warnings
from blocklist.trust.folder import TrustFolder

MANY_HEADS = 3
STATES = ("pending", "listed", "lapsed", "removed")


@dataclass(frozen=True, slots=True)
class Listed:
    """One measure for people: `state` is pending, listed, lapsed or removed; `acts` proposed, listed or ended it."""

    name: Name
    state: str
    ground: str
    basis: str
    since: datetime | None
    review_by: datetime
    reason: str | None
    acts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An act that waits for an approval; `mine` when the officer who asks can give it."""

    seq: int
    kind: str
    by: str
    until: datetime
    mine: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How a register stands."""

    list_id: str
    environment: str
    register: str
    acts: int
    listed: int
    lapsing: tuple[tuple[Name, datetime], ...]
    waiting: tuple[Waiting, ...]
    release: Published | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "list": self.list_id,
            "environment": self.environment,
            "register": self.register,
            "acts": self.acts,
            "listed": self.listed,
            "lapsing": [{"name": name.text, "review_by": format_instant(until)} for name, until in self.lapsing],
            "waiting": [
                {"act": entry.seq, "kind": entry.kind, "by": entry.by, "mine": entry.mine} for entry in self.waiting
            ],
            "release": self.release.number if self.release else None,
            "warnings": list(self.warnings),
        }


def listed(opened: Session) -> list[Listed]:
    """Every measure with its state: proposed names from the dossiers, the others from the acts."""
    entries = [_proposed(name, entry) for entry, names in opened.waiting_names() for name in names]
    measures = opened.register.measures()
    for scope, named in measures.by_scope():
        entries += [_listed(Name(text, scope), measure, opened.now) for text, measure in named.items()]
    return sorted(entries, key=lambda entry: (STATES.index(entry.state), entry.name))


def about(opened: Session, text: str) -> list[Listed]:
    """What is known of one name, in either scope."""
    canonical, measures = opened.typed(text), opened.register.measures()
    both = [Name(canonical, scope) for scope in Scope]
    entries = [_proposed(name, entry) for entry, names in opened.waiting_names() for name in names if name in both]
    entries += [_listed(name, measure, opened.now) for name in both if (measure := measures.get(name)) is not None]
    return sorted(entries, key=lambda entry: (STATES.index(entry.state), entry.name))


def history(opened: Session, text: str) -> list[SignedAct]:
    """The acts about a name, in order: those that name it, what these cite or answer, and what dossiers tie to it."""
    canonical = opened.typed(text)
    seqs = [*opened.index.about(canonical), *opened.index.reached_from(_in_dossiers(opened, canonical))]
    return [opened.act(seq) for seq in sorted(set(seqs))]


def _in_dossiers(opened: Session, text: str) -> Iterator[int]:
    """Acts whose dossiers name it: waiting proposals, requests to platforms, names struck, sites that moved."""
    numbers = {act_id: seq for seq, act_id in enumerate(opened.register.ids, 1)}
    try:
        for act_id in opened.store.mentioning(text):
            seq = numbers.get(act_id)
            if seq is not None and _names_it(opened.dossier_of(seq), text):
                yield seq
    except UsageError:
        return  # this account sees what the acts say, and no dossier


def _names_it(members: Mapping[str, Any], text: str) -> bool:
    """Whether a dossier is about a name: by its own names, or by those of the measure that it continues."""
    sets = (members.get("names"), members.get("like", {}).get("names"))
    return any(text in texts for names in sets if names for texts in names.values())


def status(opened: Session) -> Status:
    """How things stand."""
    register, current = opened.register, Repository.of(opened.workspace).current(opened.list_id)
    in_force = register.in_force(opened.now)
    return Status(
        opened.list_id,
        register.environment,
        register.id,
        len(register.ids),
        len(in_force),
        tuple(lapsing(opened, in_force, timedelta(seconds=register.policy.warn))),
        tuple(_waiting(opened)),
        current,
        tuple(_warnings(opened, in_force, current)),
    )


def lapsing(opened: Session, in_force: Measures, within: timedelta) -> list[tuple[Name, datetime]]:
    """The measures whose review date is at most `within` away, the next one first."""
    soon = sorted(
        (measure.review_by, Name(text, scope))
        for scope, named in in_force.by_scope()
        for text, measure in named.items()
        if measure.review_by <= opened.now + within
    )
    return [(name, until) for until, name in soon]


def _waiting(opened: Session) -> Iterator[Waiting]:
    for entry in opened.register.waiting(opened.now):
        mine = opened.officer is not None and opened.register.may_approve(entry, opened.officer)
        yield Waiting(entry.ref.seq, entry.act.body.kind, entry.act.by, entry.until, mine)


def _warnings(opened: Session, in_force: Measures, current: Published | None) -> Iterator[str]:
    register, heads = opened.register, len(opened.register.heads())
    if register.environment == "production" and heads < MANY_HEADS:
        yield _("heads in office: {count}; with fewer than three, one lost key can stop the office", count=heads)
    yield from opened.store.alterations()
    yield from against_rules(opened, in_force)
    if current is not None:
        valid_until = datetime.fromtimestamp(current.number, UTC) + timedelta(seconds=register.policy.freshness)
        if opened.now >= valid_until:
            yield _("the last release is stale since {since}: run 'blocklist publish'", since=shown(valid_until))
    try:
        yield from trust_warnings(TrustFolder(opened.workspace.trust), opened.now)
        yield from Repository.of(opened.workspace).warnings(opened.now)
    except BlocklistError as fault:  # how the register stands is to be seen all the same
        yield fault.message


def guarded(session: Session, in_force: Measures) -> list[Finding]:
    """What the guards say of listed names; a host below a listed domain is no fault, it was listed first."""
    found = session.guards().check(list(in_force.names()), frozenset())
    return [finding for finding in found if finding.guard != "covered"]


def withheld(session: Session, in_force: Measures) -> list[Name]:
    """The listed names that no release holds, because the policy protects them."""
    return [
        name
        for name in session.register.measures().names()
        if session.state_of(name) is State.LISTED and in_force.get(name) is None
    ]


def against_rules(opened: Session, in_force: Measures) -> Iterator[str]:
    """Listed names that could not be listed any more: a guard refuses them now, or the policy protects them."""
    for finding in guarded(opened, in_force):
        yield _("listed against a guard: {message}", message=finding.message)
    kept_back = len(withheld(opened, in_force))
    if kept_back:
        yield plural(
            "{count} listed name is withheld because it meets a protected name",
            "{count} listed names are withheld because they meet protected names",
            kept_back,
        )


def _proposed(name: Name, pending: Pending) -> Listed:
    body = pending.act.body
    assert isinstance(body, acts.Add)  # noqa: S101  (only proposals have names)
    return Listed(name, "pending", body.ground, body.basis, None, body.review_by, None, (pending.ref.seq,))


def _listed(name: Name, measure: Measure, now: datetime) -> Listed:
    state = measure.state(now)
    numbers = [number for number in (measure.added, measure.approved, measure.ended_by) if number is not None]
    shown_state = State.REMOVED if state is State.ANNULLED else state
    return Listed(
        name,
        str(shown_state),
        measure.ground,
        measure.basis,
        measure.since,
        measure.review_by,
        measure.reason,
        tuple(numbers),
    )
