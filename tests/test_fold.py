"""The fold under random acts of random officers, honest and not: what must hold whatever is tried.

Every act here is signed for real. An act that the register refuses changes nothing; one that it accepts is checked
against a second account of the rules, kept as simply as it can be, in `World`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import DAY, HOUR, SALT, WEEK, Chain, key_text, names, snapshot
from replaying import audit, fold

from blocklist.base.errors import BlocklistError
from blocklist.names.domain_name import Name, Names, Scope, ancestors
from blocklist.register import acts
from blocklist.register.acts import Body, SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import LIFECYCLE, Measure, Stage, State
from blocklist.register.replay import from_beginning

SECOND = timedelta(seconds=1)
TEXTS = ("a.example", "b.example", "c.example", "www.a.example", "guarded.example", "in.guarded.example", "b.test")
OFFICERS = ("head-1", "head-2", "agent-1", "agent-2", "agent-3", "qualified-1")
PROTECTED = ("guarded.example", "deep.b.test")
STEPS = (SECOND, SECOND, SECOND, timedelta(0), HOUR, DAY, 3 * DAY, 8 * DAY, 5 * WEEK)

OFFICER = st.sampled_from(OFFICERS)
NAMES = st.builds(
    lambda domain, host: Names(tuple(sorted(domain)), tuple(sorted(host))),
    st.sets(st.sampled_from(TEXTS), max_size=3),
    st.sets(st.sampled_from(TEXTS[:4]), max_size=2),
).filter(len)
AWAY = st.sampled_from((SECOND, DAY, WEEK, 4 * WEEK, 12 * WEEK, 12 * WEEK + SECOND))


@dataclass
class World:
    """A chain, and a second account of it: who is in office since when, and who said what."""

    chain: Chain
    roles: dict[str, str]
    proposed: dict[int, tuple[SignedAct, Names]] = field(default_factory=dict)
    history: list[tuple[datetime, dict[str, str]]] = field(default_factory=list)

    @property
    def register(self) -> Register:
        return self.chain.register

    def attempt(self, by: str, body: Body, later: timedelta, **header: Any) -> SignedAct | None:
        """Make an act and let the register judge it; a refusal changes nothing."""
        before, at = snapshot(self.register), self.chain.at
        self.chain.tick(later)
        signed = self.chain.make(by, body, **header)
        steps = list(steps_of(self.register, signed))
        try:
            self.register.apply(signed)
        except BlocklistError:
            assert snapshot(self.register) == before
            self.chain.at = at
            return None
        assert [step for step in steps if step not in LIFECYCLE] == []  # nothing that the table forbids
        self.chain.signed.append(signed)
        self.note(signed)
        return signed

    def note(self, signed: SignedAct) -> None:
        """Keep our own account of what was accepted."""
        act = signed.act
        assert self.roles.get(act.by), f"{act.by} signed act {act.seq} without an office"
        if isinstance(act.body, acts.Appoint):
            self.roles[act.body.officer] = act.body.role
        elif isinstance(act.body, acts.Revoke):
            self.roles.pop(act.body.officer)
        self.history.append((act.at, dict(self.roles)))

    def refs(self, kind: type[Body]) -> list[Ref]:
        found = [signed.ref for signed in self.chain.signed if isinstance(signed.act.body, kind)]
        return found[-6:] or [self.chain.head]


Step = tuple[State | Stage | None, str]


def steps_of(register: Register, signed: SignedAct) -> Iterator[Step]:
    """Which steps of the lifecycle an act takes, read off the register before it; None for what is not there."""
    body, at = signed.act.body, signed.act.at
    pending = register.pending.get(body.act.seq) if isinstance(body, acts.Approve | acts.Reject) else None
    if isinstance(body, acts.Remove):
        yield from name_steps(register, body.names, f"remove {body.reason}", at)
    elif isinstance(body, acts.Review):
        yield from name_steps(register, body.names, f"review {body.outcome}", at)
    elif isinstance(body, acts.Recommend) and body.names:
        yield from name_steps(register, body.names, "recommend", at)
    elif isinstance(body, acts.Respond):
        entry = register.recommendations.get(body.recommendation.seq)
        yield entry and entry.stage, f"respond {body.outcome}"
        if entry and entry.names and body.outcome == "accepted":
            yield from name_steps(register, entry.names, "respond accepted", at)
    elif isinstance(body, acts.Answer):
        request = register.requests.get(body.request.seq)
        yield request and request.stage, f"answer {body.outcome}"
    elif isinstance(body, acts.Add):
        for ref in body.requests or ():
            request = register.requests.get(ref.seq)
            yield request and request.stage, "add not-removed"
    elif isinstance(body, acts.Reject):
        yield pending and pending.stage(at), "reject"
    elif isinstance(body, acts.Approve):
        yield pending and pending.stage(at), "approve"
        last = pending is not None and len(pending.approvals) + 1 == register.approvals_needed(pending.act.body)
        if pending is not None and body.names and last:
            heads = {register.officers[officer].role for officer in (*pending.approvals, signed.act.by)} & {"head"}
            yield from name_steps(register, body.names, "approve by a head" if heads else "approve", at)


def name_steps(register: Register, some: Names, event: str, at: datetime) -> Iterator[Step]:
    for name in some.each():
        measure = register.measures().get(name)
        yield (measure.state(at) if measure else State.UNLISTED), event


def new_world(approvals: int) -> World:
    change = {"protected": sorted(PROTECTED), "platforms": {}, "approvals": {"add": approvals}}
    chain = Chain(heads=("head-1", "head-2"), officers=(), change=change)
    world = World(chain, {"head-1": "head", "head-2": "head"})
    for officer in OFFICERS[2:]:
        role = "agent" if officer.startswith("agent") else "qualified-person"
        assert world.attempt("head-1", acts.Appoint(officer=officer, role=role, key=key_text(officer)), SECOND)
    return world


TRIED = (
    "block", "block", "block", "add", "approve", "remove", "remove", "review", "review", "recommend", "respond",
    "request", "answer", "cite", "cite", "reject", "revoke", "appoint", "adopt", "forge", "erase",
)  # fmt: skip


def step(world: World, draw: Any) -> None:
    """One random act, or a proposal with its approvals; half of the time by an officer who may."""
    kind = draw(st.sampled_from(TRIED))
    likely = {
        "adopt": OFFICERS[:2],
        "recommend": OFFICERS[-1:],
        "revoke": OFFICERS[:2],
        "appoint": OFFICERS[:2],
        "erase": OFFICERS[:2],
    }
    by = draw(OFFICER | st.sampled_from(likely.get(kind, OFFICERS[2:5])))
    later = draw(st.sampled_from(STEPS))
    at = world.chain.at + later
    if kind in ("add", "block"):
        propose(world, draw, by, later, approved=kind == "block")
    elif kind == "cite":
        propose(world, draw, by, later, approved=draw(st.booleans()), cite=True)
    elif kind == "approve" and world.proposed:
        added, some = world.proposed[draw(st.sampled_from(sorted(world.proposed)[-4:]))]
        if draw(st.integers(0, 5)) == 0:
            some = draw(NAMES)
        world.attempt(by, acts.Approve(act=added.ref, names=some, salt=SALT), later)
    elif kind == "remove":
        world.attempt(by, acts.Remove(names=draw_known(world, draw), reason=draw(st.sampled_from(acts.REASONS))), later)
    elif kind == "review":
        outcome = draw(st.sampled_from(acts.OUTCOMES))
        until = at + draw(AWAY) if outcome == "still-unlawful" else None
        world.attempt(by, acts.Review(names=draw_known(world, draw), outcome=outcome, review_by=until), later)
    elif kind == "recommend":
        world.attempt(by, acts.Recommend(names=draw_known(world, draw)), later)
    elif kind == "forge":
        body = acts.Remove(names=draw_known(world, draw), reason="lawful")
        forged = world.attempt(by, body, later, signed_by=draw(OFFICER.filter(lambda other: other != by)))
        assert forged is None
    elif kind != "approve":
        world.attempt(by, other_body(world, kind, draw), later)


def propose(world: World, draw: Any, by: str, later: timedelta, *, approved: bool, cite: bool = False) -> None:
    some = draw(NAMES)
    refs = (draw(st.sampled_from(world.refs(acts.Request))),) if cite else None
    body = acts.Add(
        commitment=some.commitment(SALT),
        count=len(some),
        ground="apology",
        basis="not-removed" if cite else "no-identification",
        requests=refs,
        review_by=world.chain.at + later + draw(AWAY),
    )
    added = world.attempt(by, body, later)
    if added is not None:
        world.proposed[added.act.seq] = (added, some)
        for officer in draw(st.permutations(OFFICERS[:5])) if approved else ():
            world.attempt(officer, acts.Approve(act=added.ref, names=some, salt=SALT), draw(st.sampled_from(STEPS[:4])))


def draw_known(world: World, draw: Any) -> Names:
    """Names, mostly of measures that are there."""
    measures = world.register.measures()
    known = [Names(domain=(text,)) for text in measures.domain] + [Names(host=(text,)) for text in measures.host]
    return draw(NAMES | st.sampled_from(known)) if known else draw(NAMES)


REQUEST = st.builds(lambda to, some: acts.Request(to=to, names=some), st.sampled_from(("host", "publisher")), NAMES) | (
    st.just(acts.Request(to="platform"))
)
CITED: dict[str, type[Body]] = {"respond": acts.Recommend, "answer": acts.Request}


def other_body(world: World, kind: str, draw: Any) -> Body:
    officer = draw(st.sampled_from((*OFFICERS, "agent-9")))
    ref = draw(st.sampled_from(world.refs(CITED.get(kind, acts.Add))))
    made: dict[str, Body] = {
        "respond": acts.Respond(recommendation=ref, outcome=draw(st.sampled_from(acts.RESPONSES))),
        "request": draw(REQUEST),
        "adopt": acts.Adopt(policy=world.chain.policy.to_json(), files={"a.yaml": "0" * 64}, rules=1),
        "answer": acts.Answer(request=ref, outcome=draw(st.sampled_from(acts.ANSWERS))),
        "reject": acts.Reject(act=ref),
        "erase": acts.Erase(act=ref),
        "revoke": acts.Revoke(officer=officer),
        "appoint": acts.Appoint(officer=officer, role=draw(st.sampled_from(acts.ROLES)), key=key_text(officer)),
    }
    return made[kind]


# --- What must hold ----------------------------------------------------------------------------------------------


def every_measure(register: Register) -> list[tuple[Name, Measure]]:
    return [
        (Name(text, scope), found) for scope, all_ in register.measures().by_scope() for text, found in all_.items()
    ]


def check_two_people(world: World, approvals: int) -> None:
    """Whatever was ever listed: one officer proposed it, and others approved exactly that, each in office then."""
    for name, measure in every_measure(world.register):
        added, approved = (world.chain.signed[number - 1].act for number in (measure.added, measure.approved))
        assert isinstance(added.body, acts.Add)
        assert isinstance(approved.body, acts.Approve)
        for ref in added.body.requests or ():
            check_request(world, ref, added.at)
        opened = approved.body.names
        assert opened is not None
        assert name.text in (opened.domain if name.scope is Scope.DOMAIN else opened.host)
        assert opened.commitment(SALT) == added.body.commitment
        signers = {
            signed.act.by
            for signed in world.chain.signed[measure.added : measure.approved]
            if isinstance(signed.act.body, acts.Approve) and signed.act.body.act.seq == measure.added
        }
        assert added.by not in signers
        assert len(signers) == approvals
        assert approved.at - added.at <= 7 * DAY
        in_office = world.history[measure.added - 2][1], world.history[measure.approved - 2][1]
        assert in_office[0][added.by] == "agent"
        assert in_office[1][approved.by] in ("agent", "head")


def check_request(world: World, ref: Ref, at: datetime) -> None:
    """What a measure cites was asked of host or publisher, a day before, and again a day before if they had to ask."""
    request = world.chain.signed[ref.seq - 1].act
    assert isinstance(request.body, acts.Request)
    assert request.body.to in ("host", "publisher")
    answers = [
        signed.act
        for signed in world.chain.signed
        if isinstance(signed.act.body, acts.Answer) and signed.act.body.request == ref and signed.act.at <= at
    ]
    outcomes = {act.body.outcome: act.at for act in answers if isinstance(act.body, acts.Answer)}
    assert at >= max(request.at, outcomes.get("clarification", request.at)) + DAY


def check_in_force(world: World, at: datetime) -> None:
    for name in world.register.in_force(at).names():
        measure = world.register.measures().get(name)
        assert measure is not None
        assert measure.state(at) is State.LISTED
        assert measure.ended is None
        assert at < measure.review_by
        family = {name.text, *ancestors(name.text)}
        assert not family & set(PROTECTED)
        assert all(name.text not in ancestors(protected) for protected in PROTECTED)


def check_dates(world: World) -> None:
    """No date is further away than the review period, counted from the last act that set it."""
    for _, measure in every_measure(world.register):
        assert measure.review_by <= world.chain.at + 12 * WEEK
        if measure.ended is not None:
            assert measure.ended <= measure.review_by


def check_removal(world: World) -> None:
    """Whatever is listed, any one agent in office can end at once."""
    listed = [name for name, measure in every_measure(world.register) if measure.state(world.chain.at) is State.LISTED]
    for agent in [officer for officer, role in world.roles.items() if role == "agent"]:
        for name in listed:
            register = fold(world.chain.signed, world.chain.at)
            some = names(name.text) if name.scope is Scope.DOMAIN else names(hosts=[name.text])
            register.apply(world.chain.make(agent, acts.Remove(names=some, reason="error")))
            assert name not in set(register.in_force(world.chain.at).names())
            others = set(world.register.in_force(world.chain.at).names()) - {name}
            assert set(register.in_force(world.chain.at).names()) == others
        break  # one agent is enough to try: the register knows roles, not persons


def check_replay(world: World, prefixes: list[str]) -> None:
    """The same acts give the same state, act by act, whatever follows."""
    for (_, register), before in zip(from_beginning(world.chain.lines, world.chain.at), prefixes, strict=True):
        assert snapshot(register) == before
    register, faults = audit(world.chain.lines, world.chain.at)
    assert faults == []
    assert snapshot(register) == snapshot(world.register)


@pytest.mark.parametrize("approvals", [1, 2])
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_whatever_is_tried(approvals: int, data: st.DataObject) -> None:
    world = new_world(approvals)
    prefixes = [
        snapshot(fold(world.chain.signed[:number], world.chain.at)) for number in range(1, world.register.head.seq)
    ]
    prefixes.append(snapshot(world.register))
    for _ in range(data.draw(st.integers(4, 18))):
        step(world, data.draw)
        for number in range(len(prefixes), len(world.chain.signed)):
            prefixes.append(snapshot(fold(world.chain.signed[: number + 1], world.chain.at)))
    check_two_people(world, approvals)
    check_dates(world)
    for later in (timedelta(0), SECOND, WEEK, 12 * WEEK):
        check_in_force(world, world.chain.at + later)
    assert not list(world.register.in_force(world.chain.at + 12 * WEEK).names())  # unattended, all of it ends
    check_removal(world)
    check_replay(world, prefixes)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_names_that_were_listed_together_part_without_harm(data: st.DataObject) -> None:
    """One dictionary and shared measures against the plainest model: one record for each name."""
    chain = Chain(change={"protected": ["guarded.example"], "platforms": {}})
    texts = ("a.example", "b.example", "c.example", "d.example")
    model: dict[str, tuple[str, datetime | None]] = {}
    for _ in range(data.draw(st.integers(3, 12))):
        some = sorted(data.draw(st.sets(st.sampled_from(texts), min_size=1)))
        act = data.draw(st.sampled_from(("block", "block", "remove", "annul", "review")))
        at, until = chain.at + SECOND, chain.at + data.draw(st.sampled_from((DAY, WEEK, 11 * WEEK)))
        states = {model.get(text, ("unlisted", None))[0] for text in some}
        try:
            if act == "block":
                chain.block(*some, review_by=until)
            elif act == "review":
                chain.review(*some, until=until)
            else:
                chain.remove(*some, reason="annulled" if act == "annul" else "lawful")
        except BlocklistError:
            allowed = {"block": {"unlisted", "removed"}, "annul": {"listed", "removed"}}.get(act, {"listed"})
            assert states - allowed, f"{act} of {states} was refused at {at}"
        else:
            after = {"block": "listed", "review": "listed", "remove": "removed", "annul": "annulled"}[act]
            for text in some:
                model[text] = (after, until if after == "listed" else model[text][1])
        for text in texts:
            measure = chain.register.measures().get(Name(text, Scope.DOMAIN))
            state, date = model.get(text, ("unlisted", None))
            assert (measure.state(chain.at) if measure else State.UNLISTED) == state
            assert measure is None or measure.review_by == date
