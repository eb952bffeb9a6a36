"""Random acts of random officers, honest and not, and a second account of the rules, as simple as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from kit.chain import Chain, snapshot
from kit.fixed import DAY, HOUR, SALT, WEEK, key_text

from blocklist.base.errors import BlocklistError
from blocklist.names.domain_name import Names
from blocklist.register import acts
from blocklist.register.acts import Body, SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import LIFECYCLE, Stage, State

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
