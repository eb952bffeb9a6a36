"""The fold under random acts of random officers, honest and not: what must hold whatever is tried.

Every act here is signed for real. An act that the register refuses changes nothing; one that it accepts is checked
against a second account of the rules, kept as simply as it can be, in `World`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.chain import Chain, snapshot
from kit.effort import EXAMPLES
from kit.fixed import DAY, SALT, WEEK, names
from kit.random_acts import PROTECTED, SECOND, World, new_world, step
from kit.replaying import audit, fold

from blocklist.base.errors import BlocklistError
from blocklist.names.domain_name import Name, Scope, ancestors
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measure, State
from blocklist.register.replay import from_beginning

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
@settings(max_examples=80 * EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
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


@settings(max_examples=40 * EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
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
