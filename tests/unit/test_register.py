"""The register: who may do what, when, and that whatever is refused changes nothing.

Tests named after a promise (`test_promise_1_…`) are those of README.md that the fold keeps by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from kit.chain import Chain, refused, snapshot
from kit.fixed import DAY, HOUR, LIST, SALT, START, WEEK, key_text, names
from kit.forged import canonical, envelope, forged_line, members, resigned
from kit.replaying import audit

from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.names.domain_name import Name, Names, Scope
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import MAX_NAMES, Head, Ref, format_instant, parse_instant
from blocklist.register.fold import MAY_SIGN, Register
from blocklist.register.lifecycle import (
    ANSWERED,
    LIFECYCLE,
    PENDING_FOR,
    RESPONDED,
    Measures,
    Recommendation,
    RuleError,
    Stage,
    State,
)
from blocklist.register.policy_reader import from_json
from blocklist.register.replay import from_beginning

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SITE, OTHER = "site.example", "other.example"
REVIEW = timedelta(weeks=12)
SMALL = {"protected": ["protected.example"], "platforms": {}}
OFFICERS = (("agent-1", "agent"), ("agent-2", "agent"), ("agent-3", "agent"), ("qualified-1", "qualified-person"))


def new_chain(*, heads: tuple[str, ...] = ("head-1",), environment: str = "test", **change: Any) -> Chain:
    """Three agents and the qualified person; in production the other heads approve each appointment."""
    if environment == "test":
        return Chain(heads=heads, officers=OFFICERS, change=SMALL | change)
    chain = Chain(environment=environment, heads=heads, officers=(), change=SMALL | change)
    for officer, role in OFFICERS:
        appointed = chain.appoint(officer, role)
        if len(heads) > 1:
            chain.add_act("head-2", acts.Approve(act=appointed.ref))
    return chain


@pytest.fixture
def chain() -> Chain:
    return new_chain()


def in_force(chain: Chain, at: datetime | None = None) -> set[str]:
    return {name.text for name in chain.register.in_force(at or chain.at).names()}


def state(chain: Chain, text: str = SITE, at: datetime | None = None) -> State:
    measure = chain.register.measures().get(Name(text, Scope.DOMAIN))
    return State.UNLISTED if measure is None else measure.state(at or chain.at)


def opening(proposed: Any, *domains: str, hosts: tuple[str, ...] = (), **changes: Any) -> acts.Approve:
    return acts.Approve(**{"act": proposed.ref, "names": names(*domains, hosts=hosts), "salt": SALT} | changes)


def remove(*domains: str, reason: str = "lawful") -> acts.Remove:
    return acts.Remove(names=names(*domains), reason=reason)


def still(*domains: str, until: datetime) -> acts.Review:
    return acts.Review(names=names(*domains), outcome="still-unlawful", review_by=until)


# --- Promise 1: two people ---------------------------------------------------------------------------------------


def test_promise_1_a_proposal_alone_blocks_nothing(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    assert state(chain) is State.UNLISTED
    assert not in_force(chain)
    chain.approve(proposed, SITE)
    assert in_force(chain) == {SITE}
    measure = chain.register.measures().get(Name(SITE, Scope.DOMAIN))
    assert (measure.added, measure.approved) == (proposed.act.seq, chain.head.seq)


@pytest.mark.parametrize("author", ["agent-1", "agent-2"])
def test_promise_1_an_author_cannot_approve(chain: Chain, author: str) -> None:
    proposed = chain.propose(SITE, by=author)
    refused(chain, author, opening(proposed, SITE), "cannot approve it")
    pending = chain.register.pending[proposed.act.seq]
    able = {officer for officer in chain.register.officers if chain.register.may_approve(pending, officer)}
    assert able == {"agent-1", "agent-2", "agent-3", "head-1"} - {author}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"names": names(OTHER)}, id="another name"),
        pytest.param({"names": names(SITE, OTHER)}, id="one name more"),
        pytest.param({"names": Names(host=(SITE,))}, id="another scope"),
        pytest.param({"names": Names(domain=(SITE,), host=(SITE,))}, id="both scopes"),
        pytest.param({"salt": "5b" + SALT[2:]}, id="another salt"),
        pytest.param({"names": None, "salt": None}, id="no names"),
    ],
)
def test_promise_1_an_approval_of_something_else_is_refused(chain: Chain, changes: dict[str, Any]) -> None:
    proposed = chain.propose(SITE)
    refused(chain, "agent-2", opening(proposed, SITE, **changes), "names")


def test_promise_1_one_of_two_names_is_not_what_was_proposed(chain: Chain) -> None:
    proposed = chain.propose(SITE, OTHER)
    refused(chain, "agent-2", opening(proposed, SITE), "other names")


@pytest.mark.parametrize("count", [1, 3, MAX_NAMES])
def test_promise_1_the_count_is_part_of_what_was_proposed(chain: Chain, count: int) -> None:
    proposed = chain.add_act("agent-1", replace(chain.proposal(names(SITE, OTHER)), count=count))
    refused(chain, "agent-2", opening(proposed, SITE, OTHER), "other names")


def test_promise_1_an_approval_names_the_act_by_number_and_id(chain: Chain) -> None:
    first = chain.propose(SITE)
    second = chain.propose(SITE)
    for ref in (
        Ref(first.act.seq, second.id),
        Ref(second.act.seq, first.id),
        Ref(first.act.seq, "0" * 64),
        Ref(2, chain.signed[1].id),
        Ref(999, first.id),
        Ref(second.act.seq + 1, second.id),
    ):
        refused(chain, "agent-2", opening(first, SITE, act=ref), "does not wait for an approval")


def test_promise_1_an_approval_counts_for_seven_days_and_not_a_second_more(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    assert PENDING_FOR == 7 * DAY
    refused(chain, "agent-2", opening(proposed, SITE), "more than seven days", later=7 * DAY + SECOND)
    assert chain.register.waiting(proposed.act.at + 7 * DAY)
    assert not chain.register.waiting(proposed.act.at + 7 * DAY + SECOND)
    chain.tick(7 * DAY - SECOND)
    chain.approve(proposed, SITE)
    assert chain.at == proposed.act.at + 7 * DAY
    assert in_force(chain) == {SITE}


def test_promise_1_an_approval_is_used_once(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    chain.approve(proposed, SITE)
    refused(chain, "agent-3", opening(proposed, SITE), "does not wait")
    chain.remove(SITE)
    refused(chain, "agent-2", opening(proposed, SITE), "does not wait")


@pytest.mark.parametrize(
    ("officer", "match"), [("qualified-1", "is qualified-person"), ("nobody-1", "not an officer in office")]
)
def test_promise_1_others_cannot_approve(chain: Chain, officer: str, match: str) -> None:
    proposed = chain.propose(SITE)
    refused(chain, officer, opening(proposed, SITE), match)


def test_promise_1_a_head_can_approve_and_cannot_propose(chain: Chain) -> None:
    refused(chain, "head-1", chain.proposal(names(SITE)), "is head; an act add is for agent")
    chain.approve(chain.propose(SITE), SITE, by="head-1")
    assert in_force(chain) == {SITE}


def test_promise_1_a_revoked_officer_cannot_approve(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    chain.add_act("head-1", acts.Revoke(officer="agent-2"))
    refused(chain, "agent-2", opening(proposed, SITE), "not an officer in office")


def test_promise_1_what_a_revoked_officer_proposed_cannot_be_approved(chain: Chain) -> None:
    proposed, kept = chain.propose(SITE), chain.propose(OTHER, by="agent-2")
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    refused(chain, "agent-2", opening(proposed, SITE), "does not wait")
    chain.appoint("agent-1")
    refused(chain, "agent-2", opening(proposed, SITE), "does not wait")
    chain.approve(kept, OTHER, by="agent-1")
    assert in_force(chain) == {OTHER}


def test_promise_1_one_officer_cannot_sign_as_another(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    refused(chain, "agent-2", opening(proposed, SITE), "key of agent-2", VerificationError, signed_by="agent-1")
    honest = chain.make("agent-2", opening(proposed, SITE))
    borrowed = json.loads(honest.line())["signatures"][0]["keyid"]  # the right key id, the wrong key
    forged = acts.read_line(envelope(honest.payload, "agent-1", keyid=borrowed))
    before = snapshot(chain.register)
    with pytest.raises(VerificationError, match="not by the officer's key"):
        chain.register.apply(forged)
    assert snapshot(chain.register) == before


def test_promise_1_one_person_has_one_key_and_one_role(chain: Chain) -> None:
    for role in acts.ROLES:
        again = acts.Appoint(officer="agent-1", role=role, key=key_text("spare"))
        refused(chain, "head-1", again, "in office already")
        second = acts.Appoint(officer="agent-9", role=role, key=key_text("agent-1"))
        refused(chain, "head-1", second, "belongs to agent-1")
    refused(chain, "head-1", acts.Appoint(officer="agent-9", role="agent", key=key_text("head-1")), "belongs to head-1")
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    second = acts.Appoint(officer="agent-9", role="agent", key=key_text("agent-1"))
    refused(chain, "head-1", second, "belongs to agent-1")  # for ever
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=key_text("spare")))
    second = acts.Appoint(officer="agent-9", role="agent", key=key_text("agent-1"))
    refused(chain, "head-1", second, "belongs to agent-1")  # even after its owner has another


def test_promise_1_two_heads_cannot_found_with_one_key() -> None:
    founded = Chain(officers=(), change=SMALL).signed[0]
    body = replace(founded.act.body, heads=(Head("head-1", key_text("head-1")), Head("head-2", key_text("head-1"))))
    register = Register()
    before = snapshot(register)
    with pytest.raises(RuleError, match="the same key"):
        register.apply(acts.read_line(envelope(replace(founded.act, body=body).payload(), "head-1")))
    assert snapshot(register) == before


@pytest.mark.parametrize("wanted", [2, 3])
def test_promise_1_a_policy_can_ask_for_more_approvals(wanted: int) -> None:
    chain = new_chain(approvals={"add": wanted})
    proposed = chain.propose(SITE)
    for by in ("agent-2", "agent-3", "head-1")[: wanted - 1]:
        chain.approve(proposed, SITE, by=by)
        assert state(chain) is State.UNLISTED
        refused(chain, by, opening(proposed, SITE), "cannot approve")  # nobody counts twice
        refused(chain, "agent-1", opening(proposed, SITE), "cannot approve it")
        refused(chain, "qualified-1", opening(proposed, SITE), "is qualified-person")
    last = ("agent-2", "agent-3", "head-1")[wanted - 1]
    refused(chain, last, opening(proposed, OTHER), "other names")
    chain.approve(proposed, SITE, by=last)
    assert in_force(chain) == {SITE}


@pytest.mark.parametrize("approvals", [{"add": 0}, {"add": -1}, {}, {"add": None}, {"add": True}, {"add": 0.5}])
def test_promise_1_no_policy_lowers_it(chain: Chain, approvals: dict[str, Any]) -> None:
    body = acts.Adopt(policy=chain.policy.to_json(), files={"a.yaml": "0" * 64}, rules=1)
    lowered = replace(body, policy=chain.policy.to_json() | {"approvals": approvals})
    if approvals != {"add": 0.5}:
        refused(chain, "head-1", lowered, "policy is not valid")
    # Even a policy that came in by some other way lets no name pass on one signature.
    at, policy = chain.register.policies[-1]
    chain.register.policies[-1] = (at, replace(policy, approvals={k: v for k, v in approvals.items() if v is not None}))
    proposed = chain.propose(SITE)
    assert state(chain) is State.UNLISTED
    refused(chain, "agent-1", opening(proposed, SITE), "cannot approve it")


# --- Promise 2: it ends ------------------------------------------------------------------------------------------


def test_promise_2_a_measure_is_in_force_until_its_review_date_and_not_a_second_more(chain: Chain) -> None:
    chain.block(SITE)
    until = chain.register.measures().get(Name(SITE, Scope.DOMAIN)).review_by
    assert in_force(chain, until - SECOND) == {SITE}
    assert state(chain, at=until - SECOND) is State.LISTED
    assert in_force(chain, until) == set()
    assert state(chain, at=until) is State.LAPSED


def test_promise_2_only_a_review_moves_the_date(chain: Chain) -> None:
    chain.block(SITE)
    before = chain.register.measures().get(Name(SITE, Scope.DOMAIN))
    recommended = chain.add_act("qualified-1", acts.Recommend(names=names(SITE)))
    chain.add_act("agent-1", acts.Respond(recommendation=recommended.ref, outcome="refused"))
    longer = chain.policy.to_json() | {"review": int((REVIEW + WEEK / 2).total_seconds())}
    chain.add_act("head-1", acts.Adopt(policy=longer, files={"a.yaml": "0" * 64}, rules=1))
    refused(chain, "agent-2", opening(chain.propose(SITE), SITE), "is listed already")
    assert chain.register.measures().get(Name(SITE, Scope.DOMAIN)) == before
    chain.review(SITE, until=chain.at + SECOND + REVIEW)
    after = chain.register.measures().get(Name(SITE, Scope.DOMAIN))
    assert after == replace(before, review_by=chain.at + REVIEW)


def test_promise_2_a_review_comes_before_the_date_and_not_at_it(chain: Chain) -> None:
    until = chain.at + DAY
    chain.block(SITE, review_by=until)
    longer = until + WEEK
    refused(chain, "agent-1", still(SITE, until=longer), "has lapsed", later=until - chain.at)
    refused(chain, "agent-1", still(SITE, until=longer), "has lapsed", later=until - chain.at + DAY)
    chain.tick(until - chain.at - 2 * SECOND)
    chain.review(SITE, until=longer)
    assert chain.at == until - SECOND
    assert in_force(chain, longer - SECOND) == {SITE}
    assert in_force(chain, longer) == set()


@pytest.mark.parametrize("away", [REVIEW + SECOND, timedelta(0), -SECOND, -WEEK, 100 * 365 * DAY])
def test_promise_2_no_date_is_past_or_further_away_than_the_review_period(chain: Chain, away: timedelta) -> None:
    chain.block(OTHER)
    at = chain.at + SECOND
    refused(chain, "agent-1", chain.proposal(names(SITE), review_by=at + away), "not within the review period")
    refused(chain, "agent-1", still(OTHER, until=at + away), "not within the review period")


@pytest.mark.parametrize("away", [REVIEW, SECOND])
def test_promise_2_the_whole_review_period_can_be_used(chain: Chain, away: timedelta) -> None:
    chain.block(OTHER)
    chain.add_act("agent-1", still(OTHER, until=chain.at + SECOND + away))
    chain.propose(SITE, review_by=chain.at + SECOND + away)


def test_promise_2_a_review_may_bring_the_date_forward(chain: Chain) -> None:
    chain.block(SITE)
    chain.review(SITE, until=chain.at + HOUR)
    assert in_force(chain, chain.at + HOUR) == set()


def test_promise_2_an_approval_after_the_review_date_lists_nothing(chain: Chain) -> None:
    proposed = chain.propose(SITE, review_by=chain.at + HOUR)
    refused(chain, "agent-2", opening(proposed, SITE), "not within the review period", later=HOUR - SECOND)
    refused(chain, "agent-2", opening(proposed, SITE), "not within the review period", later=HOUR)
    chain.tick(HOUR - 3 * SECOND)
    chain.approve(proposed, SITE)
    assert in_force(chain) == {SITE}
    assert in_force(chain, chain.at + SECOND) == set()


def test_promise_2_a_shorter_review_period_holds_for_what_is_pending(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    shorter = chain.policy.to_json() | {"review": 3 * 7 * 86400}
    chain.add_act("head-1", acts.Adopt(policy=shorter, files={"a.yaml": "0" * 64}, rules=1))
    refused(chain, "agent-2", opening(proposed, SITE), "not within the review period")


def test_promise_2_what_lapsed_is_listed_again_only_by_two(chain: Chain) -> None:
    chain.block(SITE, review_by=chain.at + HOUR)
    chain.tick(HOUR)
    proposed = chain.propose(SITE)
    assert in_force(chain) == set()
    refused(chain, "agent-1", opening(proposed, SITE), "cannot approve it")
    chain.approve(proposed, SITE)
    assert in_force(chain) == {SITE}


# --- Promise 6: protected names are withheld from every fold -----------------------------------------------------


def adopt(chain: Chain, by: str = "head-1", **change: Any) -> acts.SignedAct:
    changed = from_json(chain.register.policy.to_json() | change).to_json()
    return chain.add_act(by, acts.Adopt(policy=changed, files={"a.yaml": "0" * 64}, rules=1))


@pytest.mark.parametrize(
    ("protected", "withheld"),
    [
        ("site.example", {"site.example", "www.site.example", "deep.www.site.example"}),
        ("www.site.example", {"site.example", "www.site.example", "deep.www.site.example"}),
        ("far.deep.www.site.example", {"site.example", "www.site.example", "deep.www.site.example"}),
        ("site.test", {"site.test"}),
    ],
)
@pytest.mark.parametrize("scope", ["domain", "host"])
def test_promise_6_what_meets_a_protected_name_is_withheld(protected: str, withheld: set[str], scope: str) -> None:
    chain = new_chain(protected=[protected], approvals={"add": 3})
    texts = ["deep.www.site.example", "mysite.example", "site.example", "site.test", "www.site.example"]
    listed = names(*texts) if scope == "domain" else names(hosts=texts)
    proposed = chain.add_act("agent-1", chain.proposal(listed))
    for by in ("agent-2", "agent-3", "head-1"):  # everybody signs, and nothing comes of it
        chain.add_act(by, acts.Approve(act=proposed.ref, names=listed, salt=SALT))
    assert in_force(chain) == set(texts) - withheld
    assert len(chain.register.measures()) == len(texts)
    *_, (_, register) = from_beginning(chain.lines, chain.at)
    assert {name.text for name in register.in_force(chain.at).names()} == set(texts) - withheld


def test_promise_6_adopting_a_protected_name_withholds_it_and_dropping_it_does_not(chain: Chain) -> None:
    chain.block(SITE, OTHER)
    adopt(chain, protected=[SITE])
    assert in_force(chain) == {OTHER}
    assert state(chain) is State.LISTED  # a fact of the register, and no part of any release
    adopt(chain, protected=["protected.example"])
    assert in_force(chain) == {SITE, OTHER}


def test_promise_6_what_is_withheld_can_be_removed(chain: Chain) -> None:
    chain.block(SITE)
    adopt(chain, protected=[SITE])
    chain.remove(SITE)
    adopt(chain, protected=["protected.example"])
    assert in_force(chain) == set()


def test_promise_6_a_look_at_an_earlier_instant_shows_no_protected_name(chain: Chain) -> None:
    chain.block(SITE)
    earlier = chain.at
    adopt(chain, protected=[SITE])
    assert in_force(chain, earlier) == set()


# --- Promise 8: history is evident -------------------------------------------------------------------------------

THIEF = "stranger"


def long_chain() -> Chain:
    """Twelve acts of several kinds."""
    chain = new_chain()
    chain.block(SITE)
    chain.block(OTHER)
    chain.review(SITE, until=chain.at + WEEK)
    chain.add_act("agent-1", acts.Request(to="host", names=names("asked.example")))
    chain.remove(OTHER)
    return chain


HISTORY = long_chain()
LINES = tuple(HISTORY.lines)
LAST = len(LINES)
ALTERED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "register": lambda payload: "1" * 64,
    "seq": lambda payload: payload["seq"] + 1,
    "prev": lambda payload: "1" * 64,
    "at": lambda payload: format_instant(parse_instant(payload["at"]) + 30 * SECOND),
    "by": lambda payload: "agent-3" if payload["by"] != "agent-3" else "agent-2",
    "dossier": lambda payload: "2" * 64,
}


def fails_at(lines: list[bytes] | tuple[bytes, ...], number: int, now: datetime = HISTORY.at) -> str:
    """Assert that a replay ends at act `number`, with the state of the acts before it, and that an audit finds it."""
    ids: list[str] = []
    with pytest.raises(VerificationError, match=rf"^act {number}: ") as caught:
        for _, register in from_beginning(lines, now):
            ids = list(register.ids)
    assert ids == HISTORY.register.ids[: number - 1]
    assert abs(audit(lines, now)[1][0].act - number) <= 1
    return caught.value.message


def test_promise_8_the_honest_history_is_whole() -> None:
    *_, (_, register) = from_beginning(LINES, HISTORY.at)
    assert snapshot(register) == snapshot(HISTORY.register)
    assert audit(LINES, HISTORY.at)[1] == []


@pytest.mark.parametrize("number", range(1, LAST + 1))
@pytest.mark.parametrize("field", ALTERED)
def test_promise_8_a_changed_act_is_found(number: int, field: str) -> None:
    lines, signed = list(LINES), HISTORY.signed[number - 1]
    lines[number - 1] = forged_line(lines[number - 1], **{field: ALTERED[field](members(signed))})
    fails_at(lines, number)


@pytest.mark.parametrize("number", range(2, LAST + 1))
@pytest.mark.parametrize("field", ALTERED)
def test_promise_8_an_act_that_its_author_changed_later_is_found(number: int, field: str) -> None:
    """Whoever holds the key can sign another act; the act after it, or the head that others saw, tells."""
    lines, signed = list(LINES), HISTORY.signed[number - 1]
    lines[number - 1] = resigned(signed, **{field: ALTERED[field](members(signed))})
    if field in ("dossier", "at") and number == LAST:
        *_, (_, register) = from_beginning(lines, HISTORY.at + MINUTE)
        assert register.head != HISTORY.head  # a fork: see the memory of the head, and the subscribers
    else:
        with pytest.raises(VerificationError) as caught:
            list(from_beginning(lines, HISTORY.at + MINUTE))
        assert caught.value.message.startswith((f"act {number}:", f"act {number + 1}:"))
        assert audit(lines, HISTORY.at + MINUTE)[1]


@pytest.mark.parametrize("number", range(1, LAST))
def test_promise_8_a_dropped_act_is_found(number: int) -> None:
    fails_at((*LINES[: number - 1], *LINES[number:]), number)


@pytest.mark.parametrize("number", range(1, LAST))
def test_promise_8_two_acts_in_the_wrong_order_are_found(number: int) -> None:
    fails_at((*LINES[: number - 1], LINES[number], LINES[number - 1], *LINES[number + 1 :]), number)


@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_promise_8_an_act_that_is_there_twice_is_found(number: int) -> None:
    message = fails_at((*LINES[:number], LINES[number - 1], *LINES[number:]), number + 1)
    assert "follow" in message or "founds a register" in message


@pytest.mark.parametrize("number", range(1, LAST + 1))
@pytest.mark.parametrize("by", ["agent-2", THIEF])
def test_promise_8_an_act_signed_by_another_is_found(number: int, by: str) -> None:
    lines, signed = list(LINES), HISTORY.signed[number - 1]
    if signed.act.by == by:
        by = "agent-3"
    lines[number - 1] = resigned(signed, by)
    fails_at(lines, number)
    lines[number - 1] = envelope(signed.payload, by, keyid=signed.keyid)  # the right key id, the wrong key
    fails_at(lines, number)


def test_promise_8_a_fork_is_found() -> None:
    branch = new_chain()
    assert branch.lines == HISTORY.lines[: len(branch.lines)]
    forked = branch.propose("elsewhere.example")  # genuine, and not what act 6 is
    number = forked.act.seq
    fails_at((*LINES[:number], forked.line(), *LINES[number:]), number + 1)
    with pytest.raises(VerificationError, match=rf"^act {number + 1}: it does not follow act {number}"):
        list(from_beginning((*LINES[: number - 1], forked.line(), *LINES[number:]), HISTORY.at))


def test_promise_8_an_act_cannot_be_backdated() -> None:
    chain = new_chain()
    chain.block(SITE)
    refused(chain, "agent-1", remove(SITE), "dated before", VerificationError, later=-SECOND)
    refused(chain, "agent-1", remove(SITE), "dated before", VerificationError, at=START - DAY)
    chain.add_act("agent-1", remove(SITE), later=timedelta(0))  # the same second is no lie


def test_promise_8_an_act_is_not_from_the_future() -> None:
    chain = new_chain()
    chain.add_act("agent-1", acts.Request(to="platform"), later=HOUR)
    allowed = chain.at - 5 * MINUTE
    assert list(from_beginning(chain.lines, allowed))
    with pytest.raises(VerificationError, match=rf"^act {chain.head.seq}: .* in the future"):
        list(from_beginning(chain.lines, allowed - SECOND))
    assert [fault.act for fault in audit(chain.lines, allowed - SECOND)[1]] == [chain.head.seq]


def test_promise_8_a_second_founding_is_refused(chain: Chain) -> None:
    chain.block(SITE)
    again = chain.signed[0]
    other = Chain(heads=("head-2",), officers=(), change=SMALL).signed[0]
    for founded in (again, other):
        before = snapshot(chain.register)
        with pytest.raises(VerificationError, match="in the middle"):
            chain.register.apply(founded)
        assert snapshot(chain.register) == before


def test_promise_8_an_act_of_another_register_is_refused(chain: Chain) -> None:
    other = Chain(officers=OFFICERS, change=SMALL, at=START + HOUR)  # the same officers, the same keys
    assert other.register.id != chain.register.id
    foreign = other.make("agent-1", acts.Request(to="platform"))
    before = snapshot(chain.register)
    with pytest.raises(VerificationError, match="another register"):
        chain.register.apply(foreign)
    assert snapshot(chain.register) == before
    with pytest.raises(VerificationError, match="does not found"):
        Register().apply(foreign)


def test_promise_8_what_a_revoked_officer_signs_is_refused_and_what_he_signed_before_stays(chain: Chain) -> None:
    chain.block(SITE)
    late = chain.make("agent-1", remove(SITE))
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    assert in_force(chain) == {SITE}
    refused(chain, "agent-1", remove(SITE), "not an officer in office")
    before = snapshot(chain.register)
    with pytest.raises(VerificationError, match="does not follow"):
        chain.register.apply(late)  # signed in time, and kept back
    assert snapshot(chain.register) == before


@pytest.mark.parametrize("by", ["head-2", THIEF])
def test_a_founding_act_is_signed_by_one_of_its_heads(by: str) -> None:
    founded = Chain(officers=(), change=SMALL).signed[0]
    with pytest.raises(RuleError, match="not signed by one of its heads"):
        Register().apply(acts.read_line(resigned(founded, by, by=by)))
    with pytest.raises(VerificationError, match="key of head-1"):
        Register().apply(acts.read_line(resigned(founded, by)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"list": "other-list"}, "its policy is for the list"),
        ({"policy": {}}, "its policy is not valid"),
        ({"heads": [{"id": "head-1", "key": "A" * 60}]}, "a public key is not"),
    ],
)
def test_a_founding_act_holds_together(change: dict[str, Any], match: str) -> None:
    founded = Chain(officers=(), change=SMALL).signed[0]
    register = Register()
    before = snapshot(register)
    with pytest.raises(BlocklistError, match=match):
        register.apply(acts.read_line(resigned(founded, **change)))
    assert snapshot(register) == before


# --- Ending ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", acts.REASONS)
@pytest.mark.parametrize("by", ["agent-1", "agent-2", "agent-3"])
def test_one_signature_ends_a_measure_at_once(chain: Chain, reason: str, by: str) -> None:
    chain.block(SITE, OTHER)
    kept = chain.register.measures().get(Name(OTHER, Scope.DOMAIN))
    ended = chain.remove(SITE, reason=reason, by=by)
    assert in_force(chain) == {OTHER}
    measure = chain.register.measures().get(Name(SITE, Scope.DOMAIN))
    assert (measure.ended, measure.ended_by, measure.reason) == (chain.at, ended.act.seq, reason)
    assert chain.register.measures().get(Name(OTHER, Scope.DOMAIN)) == kept  # they shared one measure


def test_many_measures_end_together_or_not_at_all(chain: Chain) -> None:
    chain.block(SITE, OTHER)
    chain.remove(SITE)
    refused(chain, "agent-1", remove(OTHER, SITE), f"{SITE} was removed")
    refused(chain, "agent-1", remove(OTHER, "unknown.example"), "was never listed")
    some = Names(domain=(OTHER,), host=("unknown.example",))  # the first scope could, the second cannot
    refused(chain, "agent-1", acts.Remove(names=some, reason="lawful"), "was never listed")
    assert in_force(chain) == {OTHER}


def test_the_scope_is_part_of_a_name(chain: Chain) -> None:
    chain.block(hosts=[SITE])
    refused(chain, "agent-1", remove(SITE), "was never listed")
    chain.block(SITE)
    chain.remove(SITE)
    assert chain.register.in_force(chain.at).host.keys() == {SITE}
    assert not chain.register.in_force(chain.at).domain


def test_an_annulled_name_needs_a_head(chain: Chain) -> None:
    chain.block(SITE)
    chain.remove(SITE, reason="annulled")
    for by in ("agent-2", "agent-3"):
        refused(chain, by, opening(chain.propose(SITE), SITE), "was annulled")
    chain.approve(chain.propose(SITE), SITE, by="head-1")
    assert in_force(chain) == {SITE}


def test_of_two_approvals_one_is_a_heads_for_an_annulled_name() -> None:
    chain = new_chain(approvals={"add": 2})
    first = chain.propose(SITE)
    chain.approve(first, SITE)
    chain.approve(first, SITE, by="agent-3")
    chain.remove(SITE, reason="annulled")
    second = chain.propose(SITE)
    chain.approve(second, SITE)
    refused(chain, "agent-3", opening(second, SITE), "was annulled")
    chain.approve(second, SITE, by="head-1")
    assert in_force(chain) == {SITE}


def test_one_annulled_name_among_others_needs_a_head(chain: Chain) -> None:
    chain.block(SITE)
    chain.remove(SITE, reason="annulled")
    proposed = chain.propose(SITE, OTHER)
    refused(chain, "agent-2", opening(proposed, SITE, OTHER), "was annulled")
    assert in_force(chain) == set()


def test_an_annulment_after_the_end_keeps_the_instant_of_the_end(chain: Chain) -> None:
    chain.block(SITE)
    chain.remove(SITE, reason="lawful")
    ended = chain.at
    chain.block(OTHER, review_by=chain.at + DAY)
    lapsed = chain.register.measures().get(Name(OTHER, Scope.DOMAIN)).review_by
    chain.tick(WEEK)
    chain.remove(SITE, OTHER, reason="annulled")
    assert chain.register.measures().get(Name(SITE, Scope.DOMAIN)).ended == ended
    assert chain.register.measures().get(Name(OTHER, Scope.DOMAIN)).ended == lapsed


# --- The lifecycle table -----------------------------------------------------------------------------------------

EVENTS = (
    "approve",
    "approve by a head",
    *(f"review {outcome}" for outcome in acts.OUTCOMES),
    *(f"remove {reason}" for reason in acts.REASONS),
    "recommend",
    "respond accepted",
)


def chain_in(wanted: State) -> Chain:
    """A register in which SITE is in that state, by acts alone."""
    chain = new_chain()
    if wanted is State.UNLISTED:
        return chain
    chain.block(SITE, review_by=chain.at + HOUR if wanted is State.LAPSED else None)
    if wanted is State.LAPSED:
        chain.tick(HOUR)
    elif wanted in (State.REMOVED, State.ANNULLED):
        chain.remove(SITE, reason="annulled" if wanted is State.ANNULLED else "lawful")
    return chain


def event_act(chain: Chain, event: str) -> tuple[str, acts.Body]:
    """Who does it, and the body of the act; what has to come before it is in the chain then."""
    verb, _, what = event.partition(" ")
    if verb == "approve":
        return "head-1" if what else "agent-2", opening(chain.propose(SITE), SITE)
    if verb == "review":
        until = chain.at + DAY if what == "still-unlawful" else None
        return "agent-1", acts.Review(names=names(SITE), outcome=what, review_by=until)
    if verb == "remove":
        return "agent-1", remove(SITE, reason=what)
    if verb == "recommend":
        return "qualified-1", acts.Recommend(names=names(SITE))
    if state(chain) is State.UNLISTED:  # no act gets there; the table has to refuse it all the same
        ref = chain.head
        chain.register.recommendations[ref.seq] = Recommendation(ref, names(SITE))
    else:
        ref = chain.add_act("qualified-1", acts.Recommend(names=names(SITE))).ref
    return "agent-1", acts.Respond(recommendation=ref, outcome="accepted")


CITING = ("approve", "reject", "add not-removed", *(f"answer {answer}" for answer in acts.ANSWERS),
          *(f"respond {response}" for response in acts.RESPONSES))  # fmt: skip
"""Events of what acts cite by number: proposals, requests, recommendations."""


def test_the_table_knows_every_event() -> None:
    assert {event for state, event in LIFECYCLE if isinstance(state, State)} == set(EVENTS)
    assert {event for state, event in LIFECYCLE if isinstance(state, Stage)} == set(CITING)


def refused_with_its_rule(chain: Chain, by: str, body: acts.Body, match: str, article: str = "") -> None:
    """Refused, nothing changed, and the hint says the rule, and the article of law if the law is the reason."""
    refused(chain, by, body, match)
    with pytest.raises(RuleError) as caught:
        chain.register.apply(chain.make(by, body, at=chain.at + SECOND))
    assert caught.value.hint
    assert ("art. " in caught.value.hint) == bool(article)
    assert article in caught.value.hint


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("before", State)
def test_every_state_and_event(before: State, event: str) -> None:
    chain = chain_in(before)
    assert state(chain) is before
    by, body = event_act(chain, event)
    if (before, event) not in LIFECYCLE:
        why = "never listed|listed already|has lapsed|was removed|was annulled"
        refused_with_its_rule(chain, by, body, why)
        return
    chain.add_act(by, body)
    after = LIFECYCLE[before, event]
    assert state(chain) is after
    assert in_force(chain) == ({SITE} if after is State.LISTED else set())


def cited_in(wanted: Stage) -> tuple[Chain, SignedAct]:
    """A register with a proposal, a request or a recommendation at that stage."""
    chain = new_chain()
    subject = wanted.partition(" ")[0]
    if subject == "proposal":
        made = chain.propose(SITE)
        if wanted is Stage.EFFECTIVE:
            chain.approve(made, SITE)
        elif wanted is Stage.REJECTED:
            chain.add_act("agent-3", acts.Reject(act=made.ref))
        elif wanted is Stage.EXPIRED:
            chain.tick(7 * DAY)
    elif subject == "request":
        made = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
        answers = {stage: answer for answer, stage in ANSWERED.items()}
        chain.tick(DAY)
        if answers[wanted] is not None:
            chain.add_act("agent-1", acts.Answer(request=made.ref, outcome=answers[wanted]))
        chain.tick(2 * DAY)
    else:
        made = chain.add_act("qualified-1", acts.Recommend())
        responses = {stage: response for response, stage in RESPONDED.items()}
        if responses[wanted] is not None:
            chain.add_act("agent-1", acts.Respond(recommendation=made.ref, outcome=responses[wanted]))
    return chain, made


def stage_of(chain: Chain, made: SignedAct) -> Stage:
    """Where it stands; what has left the proposals is known by what became of it."""
    register, seq = chain.register, made.act.seq
    found = register.requests.get(seq) or register.recommendations.get(seq)
    if found is not None:
        return found.stage
    if seq in register.pending:
        return register.pending[seq].stage(chain.at + SECOND)
    return Stage.EFFECTIVE if state(chain) is State.LISTED else Stage.REJECTED


def citing_act(chain: Chain, made: SignedAct, event: str) -> tuple[str, acts.Body]:
    verb, _, what = event.partition(" ")
    if verb == "approve":
        return "agent-2", opening(made, SITE)
    if verb == "reject":
        return "agent-2", acts.Reject(act=made.ref)
    if verb == "answer":
        return "agent-2", acts.Answer(request=made.ref, outcome=what)
    if verb == "add":
        return "agent-2", chain.proposal(names(SITE), basis="not-removed", requests=(made.ref,))
    return "agent-2", acts.Respond(recommendation=made.ref, outcome=what)


@pytest.mark.parametrize("event", CITING)
@pytest.mark.parametrize("before", Stage)
def test_every_stage_and_event(before: Stage, event: str) -> None:
    chain, made = cited_in(before)
    assert stage_of(chain, made) is before
    by, body = citing_act(chain, made, event)
    if (before, event) not in LIFECYCLE:
        why = (
            "does not wait|waited more than|is not a removal request|is not a recommendation|is closed|answered already"
            "|was answered, so it was delivered"
        )
        closed = before in (Stage.FOLLOWED, Stage.UNDELIVERED)
        law = "LCEN art. 6-1 al. 2" if closed and event == "add not-removed" else ""
        refused_with_its_rule(chain, by, body, why, law)
        return
    chain.add_act(by, body)
    assert stage_of(chain, made) is LIFECYCLE[before, event]


@pytest.mark.parametrize(("regime", "article"), [("lcen-6-1", " (décret 2015-125 art. 4)"), ("other", "")])
def test_a_list_under_another_law_cites_no_article_of_this_one(regime: str, article: str) -> None:
    chain = Chain(officers=OFFICERS, change=SMALL | {"regime": regime})
    late = chain.proposal(names(SITE), review_by=chain.at + REVIEW + 2 * SECOND)
    with pytest.raises(RuleError, match="not within the review period") as caught:
        chain.register.apply(chain.make("agent-1", late, at=chain.at + SECOND))
    assert caught.value.hint.endswith(f"at the latest{article}")


def test_only_a_head_lists_what_meets_an_annulled_name(chain: Chain) -> None:
    """In the other scope, below it and above it: a court's word is not to be got round by another spelling."""
    chain.block("case.site.example")
    chain.remove("case.site.example", reason="annulled")
    for proposed in (
        names(hosts=["case.site.example"]),
        names("case.site.example"),
        names(hosts=["www.case.site.example"]),
        names("site.example"),
    ):
        added = chain.add_act("agent-1", chain.proposal(proposed))
        approval = acts.Approve(act=added.ref, names=proposed, salt=SALT)
        refused(chain, "agent-2", approval, "was annulled")
    chain.approve(chain.propose("notcase.site.example"), "notcase.site.example")
    chain.add_act("head-1", approval)
    assert "site.example" in in_force(chain)
    assert chain.register.annulled == {"case.site.example"}


def test_a_list_keeps_its_legal_basis(chain: Chain) -> None:
    loose = chain.policy.to_json() | {"regime": "other", "review": 365 * 86400}
    body = acts.Adopt(policy=loose, files={"a.yaml": "0" * 64}, rules=1)
    refused(chain, "head-1", body, "under the regime other, the list is under lcen-6-1")


def test_nothing_but_an_approval_lists_a_name() -> None:
    """Read off the table: no other act turns what is not listed into something listed."""
    assert all(
        event in ("approve", "approve by a head") or before is State.LISTED
        for (before, event), after in LIFECYCLE.items()
        if after is State.LISTED
    )
    assert all(
        (State.LISTED, f"remove {reason}") in LIFECYCLE for reason in acts.REASONS
    )  # one signature ends a measure, whatever the reason


# --- Who signs what ----------------------------------------------------------------------------------------------


def bodies(chain: Chain) -> dict[str, acts.Body]:
    """One act of each kind but `found`, that would be allowed if the right officer signed it."""
    blocked = chain.block(SITE)
    proposed = chain.propose(OTHER, by="agent-3")
    request = chain.add_act("agent-3", acts.Request(to="host", names=names(OTHER)))
    recommended = chain.add_act("qualified-1", acts.Recommend())
    return {
        "appoint": acts.Appoint(officer="agent-9", role="agent", key=key_text("agent-9")),
        "revoke": acts.Revoke(officer="agent-3"),
        "adopt": acts.Adopt(policy=chain.policy.to_json(), files={"a.yaml": "0" * 64}, rules=1),
        "request": acts.Request(to="platform"),
        "answer": acts.Answer(request=request.ref, outcome="refused"),
        "add": chain.proposal(names("new.example")),
        "approve": opening(proposed, OTHER),
        "reject": acts.Reject(act=proposed.ref),
        "review": still(SITE, until=chain.at + DAY),
        "remove": remove(SITE),
        "recommend": acts.Recommend(names=names(SITE)),
        "respond": acts.Respond(recommendation=recommended.ref, outcome="accepted"),
        "erase": acts.Erase(act=blocked.ref),
    }


@pytest.mark.parametrize("kind", [kind for kind in acts.KINDS if kind != "found"])
@pytest.mark.parametrize(("officer", "role"), [("agent-1", "agent"), ("head-1", "head"), OFFICERS[-1]])
def test_who_may_sign_which_kind(chain: Chain, kind: str, officer: str, role: str) -> None:
    body = bodies(chain)[kind]
    if role in MAY_SIGN[kind]:
        chain.add_act(officer, body)
    else:
        refused(chain, officer, body, f"{officer} is {role}; an act {kind} is for")
        refused(chain, THIEF, body, "not an officer in office")


def test_every_kind_has_its_signers_and_only_the_law_s() -> None:
    assert MAY_SIGN.keys() == acts.KINDS.keys() - {"found"}
    assert {kind for kind, roles in MAY_SIGN.items() if "qualified-person" in roles} == {"recommend"}
    assert {kind for kind, roles in MAY_SIGN.items() if roles == {"head"}} == {"appoint", "revoke", "adopt", "erase"}


# --- Rejecting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["agent-1", "agent-2", "head-1"])
def test_author_and_others_can_reject(chain: Chain, by: str) -> None:
    proposed = chain.propose(SITE)
    chain.add_act(by, acts.Reject(act=proposed.ref))
    refused(chain, "agent-3", opening(proposed, SITE), "does not wait")
    refused(chain, "agent-3", acts.Reject(act=proposed.ref), "does not wait")


def test_who_cannot_approve_cannot_reject(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    refused(chain, "qualified-1", acts.Reject(act=proposed.ref), "is qualified-person")
    refused(chain, "agent-2", acts.Reject(act=Ref(proposed.act.seq, "0" * 64)), "does not wait")
    refused(chain, "agent-2", acts.Reject(act=proposed.ref), "more than seven days", later=7 * DAY + SECOND)


def test_an_agent_cannot_reject_what_heads_decide() -> None:
    chain = new_chain(environment="production", heads=("head-1", "head-2"))
    pending = chain.appoint("agent-9")
    refused(chain, "agent-1", acts.Reject(act=pending.ref), "cannot reject")
    refused(chain, "agent-1", acts.Approve(act=pending.ref), "cannot approve")
    chain.add_act("head-2", acts.Reject(act=pending.ref))
    refused(chain, "head-2", acts.Approve(act=pending.ref), "does not wait")
    assert chain.register.in_office("agent-9") is None


# --- Requests and answers ----------------------------------------------------------------------------------------


def cite(chain: Chain, *requests: Any, **fields: Any) -> acts.Add:
    refs = tuple(request.ref for request in requests)
    return chain.proposal(names(SITE), basis="not-removed", requests=refs, **fields)


@pytest.mark.parametrize("to", ["host", "publisher"])
def test_the_notice_ends_after_24_hours_and_not_a_second_before(chain: Chain, to: str) -> None:
    request = chain.add_act("agent-1", acts.Request(to=to, names=names(SITE)))
    refused(chain, "agent-1", cite(chain, request), "the notice of request .* ends at", later=DAY - SECOND)
    proposed = chain.add_act("agent-1", cite(chain, request), later=DAY)
    chain.approve(proposed, SITE)
    assert chain.register.measures().get(Name(SITE, Scope.DOMAIN)).basis == "not-removed"


def test_nobody_is_silent_before_the_notice_is_over(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    silent = acts.Answer(request=request.ref, outcome="silent")
    refused(chain, "agent-1", silent, "the notice of request", later=DAY - SECOND)
    chain.add_act("agent-1", silent, later=DAY)


def test_an_answer_does_not_shorten_the_notice(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    chain.add_act("agent-2", acts.Answer(request=request.ref, outcome="refused"))
    refused(chain, "agent-1", cite(chain, request), "the notice of request", later=DAY - 2 * SECOND)
    chain.add_act("agent-1", cite(chain, request), later=DAY - SECOND)


def test_when_content_was_seen_to_be_gone_lies_between_the_request_and_the_answer(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    asked, now = chain.at, chain.tick(HOUR)
    for observed in (asked - SECOND, now + HOUR):
        answered = acts.Answer(request=request.ref, outcome="removed", observed=observed)
        refused(chain, "agent-1", answered, "is not between request 6 and now")
    chain.add_act("agent-1", acts.Answer(request=request.ref, outcome="removed", observed=asked))
    assert chain.register.requests[6].observed == asked


def test_what_was_never_delivered_is_no_basis_also_for_what_waits(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    chain.tick(25 * HOUR)
    added = chain.propose(SITE, basis="not-removed", requests=(request.ref,))
    chain.add_act("agent-2", acts.Answer(request=request.ref, outcome="undelivered"))
    refused(chain, "agent-2", opening(added, SITE), "is closed: it was never delivered")
    refused(chain, "agent-1", acts.Answer(request=request.ref, outcome="removed"), "is closed: it was never delivered")


def test_a_clarification_restarts_the_clock(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    clarified = chain.add_act("agent-1", acts.Answer(request=request.ref, outcome="clarification"), later=20 * HOUR)
    refused(chain, "agent-1", cite(chain, request), "the notice of request", later=5 * HOUR)
    chain.add_act("agent-1", acts.Answer(request=request.ref, outcome="refused"), later=23 * HOUR)
    refused(chain, "agent-1", cite(chain, request), "the notice of request", later=HOUR - SECOND)
    chain.add_act("agent-1", cite(chain, request), later=HOUR)
    assert chain.at == clarified.act.at + DAY


def test_a_request_that_was_followed_is_closed(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    chain.add_act("agent-1", acts.Answer(request=request.ref, outcome="removed"))
    refused(chain, "agent-1", cite(chain, request), "the content was removed", later=2 * DAY)
    for outcome in acts.ANSWERS:
        refused(chain, "agent-1", acts.Answer(request=request.ref, outcome=outcome), "is closed")


def test_an_answer_removed_stops_what_is_pending(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    proposed = chain.add_act("agent-1", cite(chain, request), later=DAY)
    chain.add_act("agent-2", acts.Answer(request=request.ref, outcome="removed"))
    refused(chain, "agent-2", opening(proposed, SITE), "the content was removed")


def test_a_clarification_stops_what_is_pending_until_its_notice_ends(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    proposed = chain.add_act("agent-1", cite(chain, request), later=DAY)
    chain.add_act("agent-2", acts.Answer(request=request.ref, outcome="clarification"))
    refused(chain, "agent-2", opening(proposed, SITE), "the notice of request", later=DAY - SECOND)
    chain.add_act("agent-2", opening(proposed, SITE), later=DAY)


def test_a_platform_s_request_founds_no_measure(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="platform"))
    refused(chain, "agent-1", cite(chain, request), "went to a platform", later=2 * DAY)
    chain.add_act("agent-1", acts.Answer(request=request.ref, outcome="removed"))


def test_every_cited_request_counts(chain: Chain) -> None:
    first = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    second = chain.add_act("agent-1", acts.Request(to="publisher", names=names(SITE)), later=HOUR)
    refused(chain, "agent-1", cite(chain, first, second), "the notice of request", later=DAY - SECOND)
    chain.add_act("agent-1", cite(chain, first, second), later=DAY)


def test_a_citation_names_a_request_by_number_and_id(chain: Chain) -> None:
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    for ref in (Ref(request.act.seq, "0" * 64), Ref(2, chain.signed[1].id), Ref(999, request.id)):
        body = chain.proposal(names(SITE), basis="not-removed", requests=(ref,))
        refused(chain, "agent-1", body, "is not a removal request", later=DAY)
        refused(chain, "agent-1", acts.Answer(request=ref, outcome="silent"), "is not a removal request")


def test_a_longer_notice_of_the_policy_holds() -> None:
    chain = new_chain(notice=3 * 86400)
    request = chain.add_act("agent-1", acts.Request(to="host", names=names(SITE)))
    refused(chain, "agent-1", cite(chain, request), "the notice of request", later=3 * DAY - SECOND)
    chain.add_act("agent-1", cite(chain, request), later=3 * DAY)


def test_a_ground_is_one_of_the_policy_s(chain: Chain) -> None:
    refused(chain, "agent-1", chain.proposal(names(SITE), ground="taste"), "is not a ground of this list")


# --- Oversight ---------------------------------------------------------------------------------------------------


def test_an_accepted_recommendation_ends_its_measures(chain: Chain) -> None:
    chain.block(SITE, OTHER)
    recommended = chain.add_act("qualified-1", acts.Recommend(names=names(SITE)))
    assert in_force(chain) == {SITE, OTHER}
    answered = chain.add_act("head-1", acts.Respond(recommendation=recommended.ref, outcome="accepted"))
    assert in_force(chain) == {OTHER}
    measure = chain.register.measures().get(Name(SITE, Scope.DOMAIN))
    assert (measure.reason, measure.ended_by) == ("recommendation", answered.act.seq)


def test_an_accepted_recommendation_leaves_what_was_listed_anew_since(chain: Chain) -> None:
    chain.block(SITE)
    recommended = chain.add_act("qualified-1", acts.Recommend(names=names(SITE)))
    chain.remove(SITE, reason="error")
    chain.block(SITE)
    chain.add_act("head-1", acts.Respond(recommendation=recommended.ref, outcome="accepted"))
    assert in_force(chain) == {SITE}


@pytest.mark.parametrize("outcome", acts.RESPONSES)
def test_a_recommendation_is_answered_once(chain: Chain, outcome: str) -> None:
    chain.block(SITE)
    recommended = chain.add_act("qualified-1", acts.Recommend(names=names(SITE)))
    chain.add_act("agent-1", acts.Respond(recommendation=recommended.ref, outcome=outcome))
    for again in acts.RESPONSES:
        refused(chain, "agent-1", acts.Respond(recommendation=recommended.ref, outcome=again), "answered already")
    assert in_force(chain) == (set() if outcome == "accepted" else {SITE})


def test_a_general_remark_ends_nothing(chain: Chain) -> None:
    chain.block(SITE)
    remark = chain.add_act("qualified-1", acts.Recommend())
    chain.add_act("agent-1", acts.Respond(recommendation=remark.ref, outcome="accepted"))
    assert in_force(chain) == {SITE}


def test_an_accepted_recommendation_leaves_what_has_ended_as_it_ended(chain: Chain) -> None:
    chain.block(SITE, OTHER)
    recommended = chain.add_act("qualified-1", acts.Recommend(names=names(SITE, OTHER)))
    chain.remove(OTHER, reason="annulled")
    ended = chain.register.measures().get(Name(OTHER, Scope.DOMAIN))
    chain.add_act("agent-1", acts.Respond(recommendation=recommended.ref, outcome="accepted"))
    assert chain.register.measures().get(Name(OTHER, Scope.DOMAIN)) == ended
    assert in_force(chain) == set()


def test_a_recommendation_is_about_measures_of_this_register(chain: Chain) -> None:
    chain.block(SITE)
    refused(chain, "qualified-1", acts.Recommend(names=names(SITE, OTHER)), f"{OTHER} was never listed")
    for ref in (Ref(chain.head.seq, "0" * 64), chain.head, Ref(999, chain.head.id)):
        body = acts.Respond(recommendation=ref, outcome="refused")
        refused(chain, "agent-1", body, "is not a recommendation of this register")


# --- Erasure -----------------------------------------------------------------------------------------------------


def test_a_dossier_is_erased_once_and_of_an_act_that_is_there(chain: Chain) -> None:
    added = chain.propose(SITE)
    for ref in (
        Ref(added.act.seq, "0" * 64),
        Ref(added.act.seq - 1, added.id),
        Ref(added.act.seq + 1, added.id),
        Ref(2**53, added.id),
    ):
        refused(chain, "head-1", acts.Erase(act=ref), "is not an act of this register")
    chain.add_act("head-1", acts.Erase(act=added.ref))
    assert chain.register.erased == {added.act.seq}
    refused(chain, "head-1", acts.Erase(act=added.ref), "erased already")


# --- Officers and policies ---------------------------------------------------------------------------------------


HEAD_ACTS = (
    acts.Appoint(officer="agent-9", role="agent", key=key_text("agent-9")),
    acts.Appoint(officer="head-9", role="head", key=key_text("head-9")),
    acts.Adopt(policy=HISTORY.policy.to_json() | {"ttl": 600}, files={"a.yaml": "0" * 64}, rules=1),
)


@pytest.mark.parametrize(
    ("environment", "heads", "waits"),
    [
        ("test", ("head-1",), False),
        ("test", ("head-1", "head-2"), False),
        ("production", ("head-1",), False),
        ("production", ("head-1", "head-2"), True),
        ("production", ("head-1", "head-2", "head-3"), True),
    ],
)
def test_heads_decide_together_in_production(environment: str, heads: tuple[str, ...], waits: bool) -> None:
    for body in HEAD_ACTS:
        chain = new_chain(environment=environment, heads=heads)
        made = chain.add_act("head-1", body)
        assert (made.act.seq in chain.register.pending) is waits
        if waits:
            refused(chain, "head-1", acts.Approve(act=made.ref), "cannot approve it")
            refused(chain, "agent-1", acts.Approve(act=made.ref), "cannot approve act")
            refused(chain, "head-2", acts.Approve(act=made.ref, names=names(SITE), salt=SALT), "no names to approve")
            refused(chain, "head-2", acts.Approve(act=made.ref), "seven days", later=7 * DAY + SECOND)
            chain.add_act("head-2", acts.Approve(act=made.ref))
        assert made.act.seq not in chain.register.pending
        if isinstance(body, acts.Adopt):
            assert [policy.ttl for _, policy in chain.register.policies] == [300, 600]
        else:
            assert chain.register.in_office(body.officer).role == body.role


@pytest.mark.parametrize("environment", ["test", "production"])
def test_revoking_an_agent_never_waits(environment: str) -> None:
    chain = new_chain(environment=environment, heads=("head-1", "head-2", "head-3"), approvals={"add": 1, "revoke": 2})
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    assert chain.register.in_office("agent-1") is None
    assert not chain.register.pending


@pytest.mark.parametrize("officer", ["head-3", "qualified-1"])
def test_revoking_a_head_or_the_qualified_person_waits_for_another_head_in_production(officer: str) -> None:
    """Nobody alone takes the oversight away."""
    chain = new_chain(environment="production", heads=("head-1", "head-2", "head-3"))
    revoked = chain.add_act("head-1", acts.Revoke(officer=officer))
    assert chain.register.in_office(officer) is not None
    refused(chain, "head-1", acts.Approve(act=revoked.ref), "cannot approve it")
    refused(chain, "agent-1", acts.Approve(act=revoked.ref), "cannot approve act")
    chain.add_act("head-2", acts.Approve(act=revoked.ref))
    assert chain.register.in_office(officer) is None
    refused(chain, officer, acts.Revoke(officer="head-1"), "not an officer in office")


def test_an_approval_is_void_once_its_officer_is_revoked() -> None:
    """Only the approval: the proposal goes on waiting, for another officer."""
    chain = new_chain(approvals={"add": 2})
    for name in ("agent-4", "agent-5"):
        chain.appoint(name)
    added = chain.propose("bad.example")
    chain.approve(added, "bad.example", by="agent-2")
    chain.add_act("head-1", acts.Revoke(officer="agent-2"))
    chain.approve(added, "bad.example", by="agent-4")
    assert added.act.seq in chain.register.pending
    assert not chain.register.in_force(chain.at)
    chain.approve(added, "bad.example", by="agent-5")
    assert added.act.seq not in chain.register.pending
    assert [str(name) for name in chain.register.in_force(chain.at).domain] == ["bad.example"]


def test_what_a_revoked_officer_approved_in_time_stays() -> None:
    chain = new_chain()
    chain.block("bad.example")
    chain.add_act("head-1", acts.Revoke(officer="agent-2"))
    assert list(chain.register.in_force(chain.at).domain) == ["bad.example"]


def test_a_policy_can_ask_for_more_heads_but_not_for_more_than_there_are() -> None:
    wanted = {"add": 1, "appoint": 5}
    chain = Chain(heads=("head-1", "head-2", "head-3"), officers=(), change=SMALL | {"approvals": wanted})
    appointed = chain.appoint("agent-1")
    chain.add_act("head-2", acts.Approve(act=appointed.ref))
    assert chain.register.in_office("agent-1") is None
    refused(chain, "head-2", acts.Approve(act=appointed.ref), "cannot approve act")
    chain.add_act("head-3", acts.Approve(act=appointed.ref))
    assert chain.register.in_office("agent-1") is not None


def test_the_last_head_stays(chain: Chain) -> None:
    refused(chain, "head-1", acts.Revoke(officer="head-1"), "is the only head")
    chain.appoint("head-2", "head")
    chain.add_act("head-2", acts.Revoke(officer="head-1"))
    refused(chain, "head-2", acts.Revoke(officer="head-2"), "is the only head")
    assert chain.register.heads() == ["head-2"]


def test_pending_revocations_cannot_together_leave_no_head() -> None:
    chain = new_chain(environment="production", heads=("head-1", "head-2", "head-3"))
    first = chain.add_act("head-1", acts.Revoke(officer="head-2"))
    second = chain.add_act("head-1", acts.Revoke(officer="head-3"))
    third = chain.add_act("head-2", acts.Revoke(officer="head-1"))
    chain.add_act("head-3", acts.Approve(act=first.ref))
    refused(chain, "head-3", acts.Approve(act=third.ref), "does not wait")  # its author is no head any more
    chain.add_act("head-3", acts.Approve(act=second.ref))
    refused(chain, "head-1", acts.Revoke(officer="head-1"), "is the only head")


def test_nobody_is_revoked_twice_or_unknown(chain: Chain) -> None:
    refused(chain, "head-1", acts.Revoke(officer="agent-9"), "not an officer in office")
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    refused(chain, "head-1", acts.Revoke(officer="agent-1"), "not an officer in office")


def test_two_pending_appointments_cannot_share_a_key() -> None:
    chain = new_chain(environment="production", heads=("head-1", "head-2"))
    first = chain.add_act("head-1", acts.Appoint(officer="agent-8", role="agent", key=key_text("new")))
    second = chain.add_act("head-1", acts.Appoint(officer="agent-9", role="agent", key=key_text("new")))
    third = chain.add_act("head-1", acts.Appoint(officer="agent-8", role="head", key=key_text("newer")))
    chain.add_act("head-2", acts.Approve(act=first.ref))
    refused(chain, "head-2", acts.Approve(act=second.ref), "belongs to agent-8")
    refused(chain, "head-2", acts.Approve(act=third.ref), "in office already")


def test_an_officer_comes_back_with_the_same_key_or_another(chain: Chain) -> None:
    for key in ("agent-1", "spare"):
        chain.add_act("head-1", acts.Revoke(officer="agent-1"))
        chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=key_text(key)))
        chain.add_act("agent-1", acts.Request(to="platform"), signed_by=key)
    refused(chain, "agent-1", acts.Request(to="platform"), "not signed with the key", VerificationError)


def test_a_public_key_that_is_none_is_refused(chain: Chain) -> None:
    body = acts.Appoint(officer="agent-9", role="agent", key="A" * 60)
    refused(chain, "head-1", body, "a public key is not", VerificationError)


@pytest.mark.parametrize("change", [{"id": "other-list"}, {"ttl": 0}, {"grounds": {}}, {"unknown": 1}])
def test_a_policy_is_valid_and_for_this_list(chain: Chain, change: dict[str, Any]) -> None:
    body = acts.Adopt(policy=chain.policy.to_json() | change, files={"a.yaml": "0" * 64}, rules=1)
    refused(chain, "head-1", body, "its policy is")


def test_a_ground_that_is_gone_stops_what_is_pending(chain: Chain) -> None:
    proposed = chain.propose(SITE)
    grounds = chain.policy.to_json()["grounds"]
    assert isinstance(grounds, dict)
    renamed = {"other-ground": grounds["apology"]}
    adopt(chain, grounds=renamed)
    refused(chain, "agent-2", opening(proposed, SITE), "is not a ground of this list")


# --- Sharing -----------------------------------------------------------------------------------------------------


def test_names_of_one_act_share_a_measure_and_part_without_harm(chain: Chain) -> None:
    texts = tuple(f"n{number}.example" for number in range(6))
    chain.block(*texts[:5], hosts=[texts[5]])
    shared = {id(measure) for _, found in chain.register.measures().by_scope() for measure in found.values()}
    assert len(shared) == 1
    until = chain.at + DAY
    chain.review(*texts[:2], until=until)
    chain.remove(texts[0])
    chain.remove(texts[2], reason="annulled")
    measures = chain.register.measures()
    assert [measures.get(Name(text, Scope.DOMAIN)).state(chain.at) for text in texts[:5]] == [
        State.REMOVED,
        State.LISTED,
        State.ANNULLED,
        State.LISTED,
        State.LISTED,
    ]
    assert measures.domain[texts[1]].review_by == until
    assert measures.domain[texts[3]].review_by == chain.signed[5].act.body.review_by
    assert measures.host[texts[5]] == measures.domain[texts[4]]


def test_known_and_new_names_in_one_act_get_the_same_decision(chain: Chain) -> None:
    chain.block(SITE)
    chain.remove(SITE)
    chain.block("a.example", OTHER, SITE, hosts=[SITE])
    measures = chain.register.measures()
    assert len({repr(measure) for _, found in measures.by_scope() for measure in found.values()}) == 1
    assert in_force(chain) == {"a.example", OTHER, SITE}


def test_what_somebody_holds_of_a_register_is_not_changed_by_later_acts(chain: Chain) -> None:
    chain.block(SITE)
    seen: Measures = chain.register.in_force(chain.at)
    chain.remove(SITE)
    chain.block(OTHER)
    assert [name.text for name in seen.names()] == [SITE]


def test_a_founding_act_says_list_and_environment() -> None:
    register = new_chain(environment="production").register
    assert (register.list_id, register.environment) == (LIST, "production")
    assert register.head == Ref(len(register.ids), register.ids[-1])
    assert register.id == register.ids[0]


def test_the_fold_keeps_no_reference_to_what_a_caller_can_change(chain: Chain) -> None:
    """A policy comes out of a payload; changing the parsed payload later must not change the register."""
    payload = canonical(members(chain.signed[0]))
    signed = acts.read_line(envelope(payload, "head-1"))
    register = Register()
    register.apply(signed)
    before = snapshot(register)
    policy = signed.act.body.policy
    assert isinstance(policy, dict)
    policy["brakes"]["added"] = 9999
    policy["grounds"].clear()
    policy["approvals"]["add"] = 0
    policy["protected"].clear()
    assert snapshot(register) == before
