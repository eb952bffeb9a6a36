"""Stolen publisher keys: every attack is refused with its exit code, and leaves the provider as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import DAY, HOUR, LIST, SALT, names
from kit.hostile import (
    EVIL,
    MINUTE,
    Scene,
    Stage,
    Thief,
    envelope,
    fold_anyway,
    next_line,
    other_signature,
    payload_of,
    ref_of,
    signed_by_two,
)
from kit.provider import Provider
from kit.site import Site
from tuf.api.metadata import Metadata, TargetFile

from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import quietly
from blocklist.client.rollback import rollback
from blocklist.keys.encoding import SigningKey
from blocklist.names.domain_name import Name, Names, Scope
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.release.contents import BrakeError
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES


@pytest.fixture
def stage(scene: Scene, tmp_path: Path) -> Stage:
    return Stage(scene, tmp_path)


def test_the_kit_itself_is_accepted_when_it_is_honest(stage: Stage) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    assert "four.example" in stage.provider.installed()
    assert stage.provider.accepted()["release"] == int(stage.now.timestamp())


# --- Promise 4: a stolen publisher blocks nothing ---------------------------------------------------------------------

Attack = Callable[[Stage], object]


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        assert content.count(old.encode()) >= 1, old
        return content.replace(old.encode(), new.encode(), 1)

    return edit


def appended(more: str) -> Callable[[bytes], bytes]:
    return lambda content: content + more.encode()


def lapsing(stage: Stage) -> dict[Name, Any]:
    """The measure that lapses four hours after the scene began."""
    name = Name("lapsing.example", Scope.DOMAIN)
    measure = fold_anyway(stage.acts).measures().get(name)
    assert measure is not None
    return {name: measure}


EXPORTS: dict[str, tuple[Attack, str]] = {
    "a name in every export": (lambda s: s.thief.offer(add=[EVIL]), "is not what the officers' acts say"),
    "a name in the policy zone only": (
        lambda s: s.thief.offer(edits={"rpz.zone": appended("evil.example A 192.0.2.1\n")}),
        "rpz.zone is not what",
    ),
    "a name in the hosts file only": (
        lambda s: s.thief.offer(edits={"hosts.txt": appended("192.0.2.1 evil.example\n")}),
        "hosts.txt is not what",
    ),
    "a host widened to its domain": (
        lambda s: s.thief.offer(add=[Name("www.three.example", Scope.DOMAIN)], drop=["www.three.example"]),
        "is not what the officers' acts say",
    ),
    "a wildcard for a host": (
        lambda s: s.thief.offer(edits={"rpz.zone": appended("*.www.three.example A 192.0.2.1\n")}),
        "rpz.zone is not what",
    ),
    "a landing page of the thief": (
        lambda s: s.thief.offer(edits={"rpz.zone": replaced("A 192.0.2.1", "A 203.0.113.66")}),
        "rpz.zone is not what",
    ),
    "the same zone with another serial": (
        lambda s: s.thief.offer(edits={"rpz.zone": lambda zone: zone.replace(b" 300 60 2419200", b" 301 60 2419200")}),
        "rpz.zone is not what",
    ),
    "one blank more": (lambda s: s.thief.offer(edits={"hosts.txt": appended("\n")}), "hosts.txt is not what"),
    "an empty zone": (lambda s: s.thief.offer(edits={"rpz.zone": lambda _: b""}), "rpz.zone is not what"),
    "a name left out": (lambda s: s.thief.offer(drop=["one.example"]), "is not what the officers' acts say"),
    "a removed name back again": (
        lambda s: s.thief.offer(add=[Name("two.example", Scope.DOMAIN)]),
        "is not what the officers' acts say",
    ),
    "changes.json tells of a name that was never listed": (
        lambda s: s.thief.offer(
            edits={CHANGES: replaced('"removed":{"domain":[]', '"removed":{"domain":["evil.example"]')}
        ),
        "changes.json is not what",
    ),
    "announced.json tells of a request that was never made": (
        lambda s: s.thief.offer(edits={ANNOUNCED: replaced('"requests":[', '"requests":[{"act":3,"to":"host"}')}),
        "announced.json is not what",
    ),
    "the listing says other bytes than are there": (
        lambda s: (
            s.thief.offer(),
            s.thief.resign(LIST, lambda role: setattr(role.targets[f"{LIST}/rpz.zone"], "length", 7)),
        ),
        "rpz.zone is not what",
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_promise_4_a_stolen_publisher_blocks_nothing(stage: Stage, name: str) -> None:
    attack, match = EXPORTS[name]
    attack(stage)
    stage.refused(match)
    stage.recovers()


def test_promise_4_accepting_a_plan_does_not_let_a_forgery_in(stage: Stage) -> None:
    stage.thief.offer(add=[EVIL])
    stage.refused("is not what the officers' acts say", accept="any")
    stage.refused("is not what the officers' acts say", accept="any", adopt=True)


def test_promise_4_neither_at_a_first_pull(stage: Stage, tmp_path: Path) -> None:
    stage.thief.offer(add=[EVIL])
    new = Provider(tmp_path / "new", stage.thief.url, stage.scene.site.root.read_bytes())
    with pytest.raises(BlocklistError, match="is not what the officers' acts say") as caught:
        new.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert new.kept() == {}


# Acts: what the thief ships must be what officers signed, whole and in order.


def extended(stage: Stage, by: str, body: acts.Body, key: str | None = None, **header: Any) -> list[bytes]:
    at = header.pop("at", stage.now)
    return [*stage.acts, next_line(stage.acts, by, stage.scene.key(key or by), body, at, **header)]


def proposal(stage: Stage, *domains: str, **fields: Any) -> acts.Add:
    wanted = names(*domains)
    members = {"ground": "apology", "basis": "no-identification", "review_by": stage.now + DAY}
    return acts.Add(commitment=wanted.commitment(SALT), count=len(wanted), **members | fields)


def blocked(
    stage: Stage,
    *,
    proposer: str = "agent-1",
    approver: str = "agent-2",
    approver_key: SigningKey | None = None,
    opened: Names | None = None,
    lines: list[bytes] | None = None,
) -> list[bytes]:
    """The acts, and evil.example proposed and approved in a way that one rule or the other forbids."""
    lines = stage.acts if lines is None else lines
    add = next_line(lines, proposer, stage.scene.key(proposer), proposal(stage, "evil.example"), stage.now - MINUTE)
    lines = [*lines, add]
    body = acts.Approve(act=ref_of(lines), names=opened or names("evil.example"), salt=SALT)
    key = approver_key or stage.scene.key(approver)
    return [*lines, next_line(lines, approver, key, body, stage.now - MINUTE)]


def forked(stage: Stage, back: int, more: int = 1) -> list[bytes]:
    """Another end of the history, made with the keys of officers: the last `back` acts become others."""
    lines = stage.acts[: len(stage.acts) - back]
    for number in range(more):
        body = proposal(stage, f"fork-{number}.example")
        lines = [*lines, next_line(lines, "agent-1", stage.scene.key("agent-1"), body, stage.now - MINUTE)]
    return lines


def with_payload(stage: Stage, change: Callable[[bytes], bytes], by: str = "agent-1") -> list[bytes]:
    """The acts, and one whose payload is spelled in a way that the program does not write; genuinely signed."""
    line = next_line(stage.acts, by, stage.scene.key(by), proposal(stage, "evil.example"), stage.now)
    return [*stage.acts, envelope(change(payload_of(line)), stage.scene.key(by))]


def with_last(stage: Stage, change: Callable[[bytes], bytes]) -> list[bytes]:
    return [*stage.acts[:-1], change(stage.acts[-1])]


def offered(lines: Callable[[Stage], list[bytes]], **options: Any) -> Attack:
    return lambda stage: stage.thief.offer(lines(stage), stage.now, **options)


THIEF = ed25519.Ed25519PrivateKey.generate()
PAST, AHEAD = datetime(2020, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)

SIGNED: dict[str, tuple[Attack, str]] = {
    "an approval missing": (
        offered(lambda s: blocked(s)[:-1], add=[EVIL]),
        "is not what the officers' acts say",
    ),
    "the author approves": (offered(lambda s: blocked(s, approver="agent-1"), add=[EVIL]), "cannot approve it"),
    "an approval by nobody that was appointed": (
        offered(lambda s: blocked(s, approver="agent-9", approver_key=THIEF), add=[EVIL]),
        "agent-9 is not an officer in office",
    ),
    "an approval with a stolen name": (
        offered(lambda s: blocked(s, approver_key=THIEF), add=[EVIL]),
        "not signed with the key of agent-2",
    ),
    "an approval signed by another agent": (
        offered(lambda s: blocked(s, approver_key=s.scene.key("agent-3")), add=[EVIL]),
        "not signed with the key of agent-2",
    ),
    "a signature that is somebody else's under the agent's key id": (
        offered(lambda s: [*blocked(s)[:-1], grafted(blocked(s)[-1], blocked(s, approver_key=THIEF)[-1])], add=[EVIL]),
        "the signature is not by the officer's key",
    ),
    "a commitment opened to other names": (
        offered(lambda s: blocked(s, opened=names("other.example")), add=[EVIL]),
        "other names than were proposed",
    ),
    "a commitment opened to more names": (
        offered(lambda s: blocked(s, opened=names("evil.example", "other.example")), add=[EVIL]),
        "other names than were proposed",
    ),
    "a review by nobody": (
        offered(
            lambda s: [
                *s.acts,
                next_line(
                    s.acts,
                    "agent-1",
                    THIEF,
                    acts.Review(names=names("lapsing.example"), outcome="still-unlawful", review_by=s.now + 30 * DAY),
                    s.now,
                ),
            ]
        ),
        "not signed with the key of agent-1",
    ),
    "an agent that the thief appoints": (
        offered(lambda s: extended(s, "agent-1", acts.Appoint(officer="agent-9", role="agent", key="A" * 60))),
        "an act appoint is for head",
    ),
    "an act that nobody signed": (
        offered(lambda s: with_last(s, lambda line: resigned(line, THIEF))),
        "not signed with the key of agent-3",
    ),
    "acts of another register": (
        offered(lambda s: extended(s, "agent-1", proposal(s, "evil.example"), register="0" * 64)),
        "belongs to another register",
    ),
    "an act of the future": (
        offered(lambda s: extended(s, "agent-1", proposal(s, "evil.example", review_by=s.now + DAY), at=s.now + HOUR)),
        "in the future",
    ),
    "an act dated years ahead": (
        offered(lambda s: extended(s, "agent-1", acts.Remove(names=names("one.example"), reason="error"), at=AHEAD)),
        "which is in the future",
    ),
    "a proposal by an agent who was revoked": (
        offered(lambda s: blocked(s, lines=without(s, "agent-1")), add=[EVIL]),
        "agent-1 is not an officer in office",
    ),
    "an approval by an agent who was revoked": (
        offered(lambda s: blocked(s, approver="agent-3", lines=without(s, "agent-3")), add=[EVIL]),
        "agent-3 is not an officer in office",
    ),
    "an approval by an agent who was revoked since the proposal": (
        offered(lambda s: [*without(s, "agent-3", blocked(s)[:-1]), approval(s, "agent-3")], add=[EVIL]),
        "agent-3 is not an officer in office",
    ),
    "an approval of what was not proposed": (
        offered(lambda s: [*blocked(s)[:-1], approval(s, "agent-2", Ref(2, ref_of(s.acts[:2]).id))], add=[EVIL]),
        "act 2 does not wait for an approval",
    ),
    "an approval of another act under the number of the proposal": (
        offered(lambda s: [*blocked(s)[:-1], approval(s, "agent-2", Ref(len(s.acts) + 1, "a" * 64))], add=[EVIL]),
        "act 10 does not wait for an approval",
    ),
    "an act that breaks a rule": (
        offered(lambda s: extended(s, "agent-1", acts.Remove(names=names("never.example"), reason="error"))),
        "never.example was never listed",
    ),
}


def without(stage: Stage, officer: str, lines: list[bytes] | None = None) -> list[bytes]:
    """The acts, and the head's act that revokes an officer: made with the head's key, which is not the thief's."""
    lines = stage.acts if lines is None else lines
    at = stage.now - MINUTE
    return [*lines, next_line(lines, "head-1", stage.scene.key("head-1"), acts.Revoke(officer=officer), at)]


def approval(stage: Stage, by: str, of: Ref | None = None) -> bytes:
    """An approval that follows the acts and the proposal of evil.example, or one act more if `by` was revoked."""
    lines = blocked(stage)[:-1]
    body = acts.Approve(act=of or ref_of(lines), names=names("evil.example"), salt=SALT)
    lines = lines if of else without(stage, by, lines)
    return next_line(lines, by, stage.scene.key(by), body, stage.now - MINUTE)


def resigned(line: bytes, key: SigningKey) -> bytes:
    return envelope(payload_of(line), key)


def grafted(line: bytes, other: bytes) -> bytes:
    """A line with the signature of another one, under its own key id."""
    members = json.loads(line)
    members["signatures"][0]["sig"] = json.loads(other)["signatures"][0]["sig"]
    return json.dumps(members, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", SIGNED)
def test_promise_4_no_name_without_two_officers(stage: Stage, name: str) -> None:
    attack, match = SIGNED[name]
    attack(stage)
    stage.refused(match)


# --- Promise 8: history is evident ------------------------------------------------------------------------------------

HISTORY: dict[str, tuple[Attack, str]] = {
    "the last act dropped": (offered(lambda s: s.acts[:-1]), "the register is shorter than it was"),
    "all acts dropped but the first": (offered(lambda s: s.acts[:1]), "the register is shorter than it was"),
    "an act dropped in the middle": (
        offered(lambda s: [*s.acts[:4], *s.acts[5:], *s.scene.news], head=None),
        "act 5: it does not follow act 4",
    ),
    "two acts in the other order": (
        offered(lambda s: [*s.acts[:4], s.acts[5], s.acts[4], *s.acts[6:]]),
        "act 5: it does not follow act 4",
    ),
    "an act twice": (offered(lambda s: [*s.acts, s.acts[-1]]), "it does not follow act"),
    "the founding act missing": (
        lambda s: s.thief.offer([*s.acts[1:], *s.scene.news], s.now, state=fold_anyway(s.acts)),
        "act 1: the first act does not found",
    ),
    "the founding act twice": (offered(lambda s: [*s.acts, s.acts[0]]), "founds a register in the middle"),
    "other acts at the end": (offered(lambda s: forked(s, 1)), "history was rewritten"),
    "other acts at the end, more of them": (offered(lambda s: forked(s, 2, 5)), "history was rewritten"),
    "an act backdated before what was accepted": (
        offered(lambda s: extended(s, "agent-1", proposal(s, "late.example"), at=s.scene.at - 30 * MINUTE)),
        "dated before the release that was accepted without it",
    ),
    "an act dated before the act that it follows": (
        offered(lambda s: extended(s, "agent-1", proposal(s, "late.example"), at=s.scene.at - 2 * HOUR)),
        "dated before the act that it follows",
    ),
    "a head that the acts do not have": (
        offered(lambda s: s.acts, head=Ref(99, "9" * 64)),
        "do not end at the head",
    ),
    "a head in the middle of the acts": (
        offered(lambda s: [*s.acts, *s.scene.news], head=None, acts_custom={"head": {"seq": 5, "id": "5" * 64}}),
        "shorter than it was|do not end at the head",
    ),
    "acts after the head that is named": (
        lambda s: s.thief.offer([*s.acts, *s.scene.news], s.now, head=ref_of(s.acts)),
        "do not end at the head",
    ),
    "no acts at all": (offered(lambda s: s.acts, edits={ACTS: lambda _: b""}), "do not end at the head"),
    "a last line without its end": (offered(lambda s: s.acts, edits={ACTS: lambda c: c[:-1]}), "cut off"),
    "blank lines": (offered(lambda s: s.acts, edits={ACTS: lambda c: c + b"\n"}), "not a DSSE envelope"),
    "a line that has no end": (
        offered(lambda s: s.acts, edits={ACTS: lambda c: c + b"x" * (9 * 1024 * 1024)}),
        "too long or was cut off",
    ),
    "a blank in an envelope": (
        offered(lambda s: with_last(s, lambda line: line.replace(b'":', b'": ', 1))),
        "not a DSSE envelope in its one form",
    ),
    "two signatures": (
        offered(lambda s: with_last(s, lambda line: line.replace(b"}]}", b'},{"keyid":"","sig":""}]}'))),
        "not a DSSE envelope in its one form",
    ),
    "the payload twice in an envelope": (
        offered(lambda s: with_last(s, lambda line: b'{"payload":"e30=",' + line[1:])),
        "not a DSSE envelope in its one form",
    ),
    "a key twice in a payload": (
        offered(
            lambda s: with_payload(s, lambda payload: payload.replace(b'{"at"', b'{"at":"2026-01-01T00:00:00Z","at"'))
        ),
        "sorted, unique keys",
    ),
    "a blank in a payload": (
        offered(lambda s: with_payload(s, lambda payload: payload.replace(b",", b", ", 1))),
        "sorted, unique keys",
    ),
    "a field that nobody knows": (
        offered(lambda s: with_payload(s, lambda payload: payload[:-1] + b',"zzz":1}')),
        "'zzz' does not belong",
    ),
    "a kind that nobody knows": (
        offered(lambda s: with_payload(s, lambda payload: payload.replace(b'"kind":"add"', b'"kind":"allow"'))),
        "'allow' is unknown",
    ),
}


@pytest.mark.parametrize("name", HISTORY)
def test_promise_8_history_is_evident(stage: Stage, name: str) -> None:
    attack, match = HISTORY[name]
    attack(stage)
    stage.refused(match)


def test_promise_8_a_second_signature_is_the_same_act(stage: Stage) -> None:
    """Anybody can compute the other ECDSA signature: it changes the bytes of the line and nothing that was stated."""
    number = next(index for index, line in enumerate(stage.acts) if b'"by":"agent-3"' in payload_of(line))
    lines = [*stage.acts[:number], other_signature(stage.acts[number]), *stage.acts[number + 1 :], *stage.scene.news]
    assert lines[number] != stage.acts[number]
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    assert stage.provider.accepted()["head"] == ref_of(lines).to_json()


def test_promise_8_unknown_rules_ask_for_an_upgrade(stage: Stage) -> None:
    policy = json.loads(payload_of(stage.acts[0]))
    body = acts.Adopt(policy=policy["policy"], files=policy["files"], rules=1)
    line = next_line(stage.acts, "head-1", stage.scene.key("head-1"), body, stage.now)
    newer = envelope(payload_of(line).replace(b'"rules":1', b'"rules":2'), stage.scene.key("head-1"))
    stage.thief.offer([*stage.acts, newer], stage.now)
    assert stage.refused("follows rules 2, this program knows 1").hint == "upgrade blocklist"


def test_promise_8_a_fork_is_refused_until_the_heads_sign_a_newer_checkpoint(stage: Stage) -> None:
    lines = forked(stage, 1, 3)
    old = ref_of(stage.acts)
    stage.thief.offer(lines, stage.now)
    stage.refused("history was rewritten")
    stage.heads.state(checkpoint=ref_of(lines[:-1]).to_json())
    stage.thief.offer(lines, stage.now + MINUTE)
    outcome = stage.provider.pull(stage.now + MINUTE)
    assert outcome.changed
    (note,) = outcome.notes
    assert str(old.seq) in note
    assert old.id in note
    assert ref_of(lines).id in note
    assert stage.provider.accepted()["head"] == ref_of(lines).to_json()
    # The branch that was left is refused from now on.
    stage.kept = stage.provider.kept()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now + 2 * MINUTE)
    stage.refused("the checkpoint|history was rewritten", now=stage.now + 3 * MINUTE)


def test_promise_8_a_checkpoint_that_both_branches_hold_decides_nothing(stage: Stage) -> None:
    stage.heads.state(checkpoint=ref_of(stage.acts[:3]).to_json())
    stage.thief.offer(forked(stage, 1, 3), stage.now)
    stage.refused("history was rewritten")


@pytest.mark.parametrize(
    "checkpoint",
    [{"seq": 3, "id": "3" * 64}, {"seq": 999, "id": "3" * 64}, {"seq": 0, "id": "0" * 64}, {"seq": -1, "id": "0" * 64}],
)
def test_promise_8_acts_hold_the_checkpoint(stage: Stage, checkpoint: dict[str, Any]) -> None:
    stage.heads.state(checkpoint=checkpoint)
    stage.thief.offer()
    stage.refused("do not hold the checkpoint|describe no release")


@pytest.mark.parametrize(
    "pin",
    [b"", b"{}", b"[]", b"null", b"[" * 60_000, b"\xff", b'{"list":1}', b'{"checkpoint":{"seq":1e999,"id":"x"}}'],
)
def test_a_pin_that_makes_no_sense(stage: Stage, pin: bytes) -> None:
    stage.heads.replace(pin)
    stage.thief.offer()
    stage.refused("describe no release")


def test_a_pin_that_is_too_large(stage: Stage) -> None:
    stage.heads.replace(b" " * 70_000)
    stage.thief.offer()
    stage.refused("has 70000 bytes, more than 65536")


def test_another_register_behind_the_same_pin(stage: Stage) -> None:
    stage.heads.state(register="7" * 64)
    stage.refused("another register than the one accepted")


# --- Time: old news, future news, news that never ends ----------------------------------------------------------------


def test_promise_4_a_lapsed_measure_is_not_kept_by_showing_it_anyway(stage: Stage) -> None:
    stage.thief.offer(at=stage.scene.at + 4 * HOUR, keep=lapsing(stage))
    stage.refused("is not what the officers' acts say", now=stage.scene.at + 4 * HOUR)


def test_promise_4_a_lapsed_measure_is_not_kept_by_a_past_instant(stage: Stage) -> None:
    """The measure lapsed two hours before the pull: an instant before that is older than the acts, or stale."""
    lines = extended(stage, "agent-1", proposal(stage, "other.example"), at=stage.scene.at + 4 * HOUR)
    stage.thief.offer(lines, stage.scene.at + 2 * HOUR)
    stage.refused("older than its last act", now=stage.scene.at + 5 * HOUR)


@pytest.mark.parametrize("fresh", [True, False], ids=["a new release", "the accepted one"])
def test_promise_4_the_most_a_thief_can_do_is_withhold_until_the_validity_ends(stage: Stage, fresh: bool) -> None:
    """Metadata that never expire do not keep an old list alive: the policy says how long a release is valid."""
    never = datetime(2199, 1, 1, tzinfo=UTC)
    if fresh:
        stage.thief.offer(expires=never)
    else:
        for role in (LIST, "snapshot", "timestamp"):
            stage.thief.resign(role, lambda signed: setattr(signed, "expires", never))
    end = stage.scene.at + 12 * HOUR + (MINUTE if fresh else timedelta())
    if fresh:
        stage.accepted(end - timedelta(seconds=1))
    else:
        assert not stage.provider.pull(end - timedelta(seconds=1)).changed
    stage.refused("was valid until", 4, now=end)
    if fresh:
        new = Provider(stage.provider.folder / "new", stage.thief.url, stage.scene.site.root.read_bytes())
        with pytest.raises(BlocklistError, match="was valid until") as caught:
            new.pull(end, accept="any")
        assert caught.value.exit_code == 4


def test_a_release_of_the_future(stage: Stage) -> None:
    stage.thief.offer(at=stage.now + 5 * MINUTE + timedelta(seconds=1))
    stage.refused("in the future")
    stage.accepted(stage.now + timedelta(seconds=1))  # five minutes are what two honest clocks may differ


def test_an_older_release_is_refused_even_when_the_metadata_are_forgotten(stage: Stage, tmp_path: Path) -> None:
    """TUF's own memory of versions is one line of defence, the record of what was accepted another one."""
    Thief(stage.scene.site, tmp_path / "old", stage.scene.first)
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    shutil.rmtree(stage.provider.state / "metadata")
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(stage.scene.first, stage.thief.exports)
    stage.refused("is older than .* the accepted one")


@pytest.mark.parametrize("number", [10**10, 253402300800, 10**12, 10**18, 2**63, 10**30])
def test_a_number_that_is_no_instant(stage: Stage, number: int) -> None:
    stage.thief.offer(number=number)
    stage.refused("in the future|no release that this program knows")


def test_a_fast_forward_stops_news_until_the_metadata_are_forgotten(stage: Stage) -> None:
    """TUF remembers the highest version it saw: the list stays, the exit code says so, and there is a way out."""
    stage.thief.offer(number=4_000_000_000)
    stage.refused("in the future")
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(stage.scene.site.exports, stage.thief.exports)
    stage.refused("timestamp version", now=stage.scene.site.now)
    shutil.rmtree(stage.provider.state / "metadata")
    stage.recovers()


# --- What the metadata say beside the files ---------------------------------------------------------------------------

NONSENSE: dict[str, Any] = {
    "nothing": None,
    "a text": "head",
    "a list": [],
    "a number": 1,
    "no members": {},
    "null": {"head": None, "since": None},
    "texts": {"head": "x", "since": "x"},
    "half a head": {"head": {"seq": 1}, "since": {"number": 1}},
    "a head of texts": {"head": {"seq": "one", "id": 1}, "since": {"number": "one", "head": {"seq": 1, "id": ""}}},
    "a huge head": {"head": {"seq": 10**40, "id": "x"}, "since": {"number": 10**40, "head": {"seq": 1, "id": "x"}}},
    "a negative head": {"head": {"seq": -1, "id": "x"}, "since": {"number": -(10**14), "head": {"seq": 1, "id": "x"}}},
}


@pytest.mark.parametrize("name", NONSENSE)
def test_custom_that_makes_no_sense(stage: Stage, name: str) -> None:
    stage.thief.offer(acts_custom=NONSENSE[name])
    stage.refused("no release that this program knows|do not end at the head|shorter than it was")


@pytest.mark.parametrize("name", [name for name in NONSENSE if name != "null"])
def test_since_that_makes_no_sense(stage: Stage, name: str) -> None:
    stage.thief.offer(changes_custom=NONSENSE[name])
    stage.refused("no release that this program knows|compares itself with one that never was")


def test_a_release_that_compares_itself_with_the_future(stage: Stage) -> None:
    since = {"number": int(stage.now.timestamp()) + 1, "head": ref_of(stage.acts).to_json()}
    stage.thief.offer(since=since)
    stage.refused("compares itself with one that never was")


def test_a_release_that_hides_what_it_compares_itself_with(stage: Stage) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now, since=None)
    stage.refused("changes.json is not what")


@pytest.mark.parametrize(
    ("missing", "said", "code"),
    [
        (ACTS, "publishes no", 2),  # what a wrong list in the subscription looks like
        (CHANGES, "publishes no", 2),
        (ANNOUNCED, "is not what the officers' acts say", 3),
        ("rpz.zone", "is not what the officers' acts say", 3),
    ],
)
def test_a_file_that_the_metadata_do_not_name(stage: Stage, missing: str, said: str, code: int) -> None:
    stage.thief.offer()
    stage.thief.resign(LIST, lambda role: role.targets.pop(f"{LIST}/{missing}"))
    stage.refused(said, code)


# --- TUF: the metadata themselves -------------------------------------------------------------------------------------


def twice(stage: Stage) -> None:
    """Let the provider see a second release, so that the first is a step back."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()


def back_to_first(stage: Stage, *names: str) -> None:
    for name in names:
        shutil.copy(stage.scene.first / "metadata" / name, stage.thief.exports / "metadata" / name)


def lower_version(role: str) -> Attack:
    def attack(stage: Stage) -> None:
        twice(stage)
        if role == "timestamp":
            return back_to_first(stage, "timestamp.json")
        if role == "snapshot":
            old = int(stage.scene.at.timestamp())
            return stage.thief.resign("timestamp", lambda signed: bump(signed, old)) and None
        return stage.thief.refer({f"{LIST}.json": int(stage.scene.at.timestamp())})

    return attack


def bump(timestamp: Any, snapshot: int) -> None:
    timestamp.version += 1
    timestamp.snapshot_meta.version = snapshot


def mixed(stage: Stage) -> None:
    """The new role under the version that the old snapshot names."""
    stage.thief.offer(add=[EVIL])
    number = stage.thief.number
    role = stage.thief.exports / f"metadata/{number}.{LIST}.json"
    stage.thief.refer({f"{LIST}.json": number + 1})
    shutil.copy(role, role.with_name(f"{number + 1}.{LIST}.json"))


def expired(role: str) -> Attack:
    def attack(stage: Stage) -> None:
        stage.thief.offer()
        stage.thief.resign(role, lambda signed: setattr(signed, "expires", PAST))

    return attack


def wrong_key(role: str, key: str) -> Attack:
    def attack(stage: Stage) -> None:
        stage.thief.offer(add=[EVIL])
        stage.thief.resign(role, lambda _: None, key)

    return attack


def oversized(role: str, size: int) -> Attack:
    def attack(stage: Stage) -> None:
        stage.thief.offer(add=[EVIL])
        append(stage.thief.path(role), b" " * size)

    return attack


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def garbage(role: str, content: bytes) -> Attack:
    def attack(stage: Stage) -> None:
        stage.thief.offer()
        stage.thief.path(role).write_bytes(content)

    return attack


def new_targets(stage: Stage) -> None:
    """The thief signs top-level targets, which only the heads can."""
    targets = stage.thief.read("targets").signed
    targets.version = 2
    stage.thief.sign(targets, LIST, "snapshot", "timestamp", name="2.targets.json")
    stage.thief.refer({"targets.json": 2})


def new_root(stage: Stage) -> None:
    """The thief signs a root that makes its keys everything."""
    root = Metadata.from_file(str(stage.thief.exports / "metadata/1.root.json")).signed
    root.version = 2
    stage.thief.sign(root, LIST, "snapshot", "timestamp", name="2.root.json")


def under_another_name(stage: Stage) -> None:
    """The role file of one version holds another one."""
    stage.thief.offer()
    stage.thief.resign(LIST, lambda role: setattr(role, "version", role.version + 5), name=stage.thief.path(LIST).name)


def older_targets(stage: Stage) -> None:
    """The heads stated something new, and the publisher shows what they had stated before."""
    stage.heads.state()
    assert not stage.provider.pull(stage.now).changed
    stage.thief.refer({"targets.json": 1})


def older_root(stage: Stage) -> None:
    """The root that was seen last once more, as if it were the next one."""
    second = stage.heads.change_root(lambda _: None)
    assert not stage.provider.pull(stage.now).changed
    assert stage.trusted_root == 2
    shutil.copy(second, second.with_name("3.root.json"))


def other_snapshot(stage: Stage) -> None:
    """The snapshot of the first release under the number of the second one."""
    first = stage.thief.path("snapshot").read_bytes()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.path("snapshot").write_bytes(first)


def two_releases(stage: Stage) -> None:
    """The files of one release and the role of another one."""
    twice(stage)
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now + MINUTE)
    first = Metadata.from_file(str(next((stage.scene.first / "metadata").glob(f"*.{LIST}.json")))).signed
    stage.thief.resign(LIST, lambda role: role.targets.update({f"{LIST}/{ACTS}": first.targets[f"{LIST}/{ACTS}"]}))


def forgetful_snapshot(stage: Stage) -> None:
    stage.thief.refer({})
    stage.thief.resign("snapshot", lambda snapshot: snapshot.meta.pop(f"{LIST}.json"))


METADATA: dict[str, tuple[Attack, str, int]] = {
    "timestamp rolled back": (lower_version("timestamp"), "timestamp version", 3),
    "snapshot rolled back": (lower_version("snapshot"), "[Ss]napshot version", 3),
    "role rolled back": (lower_version(LIST), "version", 3),
    "targets rolled back": (older_targets, "Expected targets.json version 1, got 2", 3),
    "root rolled back": (older_root, "Expected root version 3 instead got version 2", 3),
    "mix and match": (mixed, "Expected .* got", 3),
    "the snapshot of another release": (other_snapshot, "Expected snapshot version", 3),
    "the acts of another release": (two_releases, "shorter than it was|do not end at the head", 3),
    "a snapshot that forgets the list": (forgetful_snapshot, "missing info for", 3),
    "a role of another version": (under_another_name, "Expected .* got", 3),
    "timestamp expired": (expired("timestamp"), "no longer valid", 4),
    "snapshot expired": (expired("snapshot"), "no longer valid", 4),
    "role expired": (expired(LIST), "no longer valid", 4),
    "targets expired": (
        lambda s: s.heads.change_targets(lambda targets: setattr(targets, "expires", PAST)),
        "no longer valid",
        4,
    ),
    "root expired": (
        lambda s: s.heads.change_root(lambda root: setattr(root, "expires", PAST)),
        "root.json is expired",
        4,
    ),
    "timestamp signed by another role": (wrong_key("timestamp", "snapshot"), "was signed by 0/1 keys", 3),
    "snapshot signed by another role": (wrong_key("snapshot", LIST), "was signed by 0/1 keys", 3),
    "role signed by another role": (wrong_key(LIST, "timestamp"), "was signed by 0/1 keys", 3),
    "targets signed by the publisher": (new_targets, "was signed by 0/1 keys", 3),
    "root signed by the publisher": (new_root, "was signed by 0/1 keys", 3),
    "timestamp oversized": (oversized("timestamp", 20_000), "sends more than was signed", 3),
    "snapshot oversized": (oversized("snapshot", 2_000_001), "sends more than was signed", 3),
    "role oversized": (oversized(LIST, 5_000_001), "sends more than was signed", 3),
    "root oversized": (
        lambda s: append(s.heads.change_root(lambda _: None), b" " * 512_001),
        "sends more than was signed",
        3,
    ),
    "timestamp is not JSON": (garbage("timestamp", b"<html>"), "not genuine", 3),
    "timestamp nests without end": (garbage("timestamp", b"[" * 10_000), "not genuine", 3),
    "snapshot is another role": (garbage("snapshot", b'{"signed":{"_type":"root"},"signatures":[]}'), "not genuine", 3),
    "role is empty": (garbage(LIST, b""), "not genuine", 3),
    "role holds another key twice": (garbage(LIST, b'{"signed":{},"signed":{},"signatures":[]}'), "not genuine", 3),
    "timestamp is missing": (lambda s: s.thief.path("timestamp").unlink(), "does not answer as a publisher", 5),
    "snapshot is missing": (
        lambda s: (s.thief.offer(), s.thief.path("snapshot").unlink()),
        "does not answer as a publisher",
        5,
    ),
    "role is missing": (lambda s: (s.thief.offer(), s.thief.path(LIST).unlink()), "does not answer", 5),
    "acts are missing": (
        lambda s: (
            s.thief.offer([*s.acts, *s.scene.news], s.now),
            s.thief.target_path(s.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]).unlink(),
        ),
        "does not answer as a publisher",
        5,
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_are_not_genuine(stage: Stage, name: str) -> None:
    attack, match, code = METADATA[name]
    attack(stage)
    stage.refused(match, code)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", LIST])
@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e400", "1.0", "-1", "0", "null", "true", '"1"', "[1]", "9" * 400, "9" * 5000]
)
def test_a_version_that_is_no_version(stage: Stage, role: str, number: str) -> None:
    """Without a key: whatever a parser makes of it, it is not what was signed."""
    stage.thief.offer()
    path = stage.thief.path(role)
    version = stage.thief.read(role).signed.version
    text = path.read_bytes().replace(f'"version":{version}}}}}'.encode(), f'"version":{number}}}}}'.encode())
    assert text != path.read_bytes()
    path.write_bytes(text)
    stage.refused("not genuine")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", LIST])
def test_a_member_twice_counts_as_what_was_signed(stage: Stage, role: str) -> None:
    """JSON leaves open which of the two counts (RFC 8259, section 4): the one that the signature is about."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    genuine = stage.thief.path(role).read_bytes()
    forged = json.loads(genuine)["signed"] | {"version": 7, "expires": "2199-01-01T00:00:00Z"}
    twice = f'"signed":{json.dumps(forged)}'.encode()
    stage.thief.path(role).write_bytes(genuine[:-1] + b"," + twice + b"}")
    stage.refused("not genuine")
    stage.thief.path(role).write_bytes(b"{" + twice + b"," + genuine[1:])
    stage.accepted()
    assert stage.provider.accepted()["release"] == int(stage.now.timestamp())


@pytest.mark.parametrize("depth", [300, 500, 980, 1000, 5000])
def test_a_member_that_nests(stage: Stage, depth: int) -> None:
    """What one parser reads, another step may not: reading and checking recurse in other ways."""
    stage.thief.offer()
    for path in [stage.thief.path(role) for role in ("timestamp", "snapshot", LIST)]:
        path.write_bytes(path.read_bytes().replace(b'"_type"', b'"a":' + b"[" * depth + b"]" * depth + b',"_type"'))
    stage.refused("not genuine")


# --- Roles below the list's, which the publisher's key can make -------------------------------------------------------


def with_a_role_below(stage: Stage, name: str, hosts: bytes | None) -> None:
    """A release whose hosts file is signed by another role, if it is signed at all."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    file = f"{LIST}/hosts.txt"
    own = stage.thief.read(LIST).signed.targets[file]
    target = own if hosts is None else TargetFile.from_data(file, hosts, ["sha256"])
    stage.thief.delegate(name, {file: target})


def test_a_role_below_signs_what_the_acts_say(stage: Stage) -> None:
    with_a_role_below(stage, "below", None)
    stage.accepted()
    assert "four.example" in stage.provider.installed("hosts")


def test_promise_4_a_role_below_blocks_nothing(stage: Stage) -> None:
    with_a_role_below(stage, "below", b"192.0.2.1 evil.example\n")
    stage.refused("hosts.txt is not what")


@pytest.mark.parametrize("name", ["root", "timestamp", "snapshot", "targets", ""])
def test_no_role_below_has_the_name_of_one_above(stage: Stage, name: str) -> None:
    trusted = (stage.provider.state / "metadata/root.json").read_bytes()
    stage.thief.offer()
    stage.thief.resign(LIST, lambda role: role.targets.pop(f"{LIST}/hosts.txt"))
    stage.thief.delegate("below", {})
    path = stage.thief.path(LIST)
    path.write_bytes(stage.thief.signed_anyhow(LIST, replaced_role(json.loads(path.read_bytes())["signed"], name)))
    stage.refused("not genuine")
    assert (stage.provider.state / "metadata/root.json").read_bytes() == trusted


def replaced_role(signed: dict[str, Any], name: Any) -> dict[str, Any]:
    signed["delegations"]["roles"][0]["name"] = name
    return signed


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def tree_folders(stage: Stage) -> set[Path]:
    return {path for path in stage.thief.exports.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("digest", ["../../../evil", "/evil", "..", "a?b", "a#b", "", "é", "a" * 200])
def test_a_digest_leads_nowhere(stage: Stage, digest: str) -> None:
    """It is a part of an address too, and no file has it."""
    before = files_below(stage.provider.folder.parent)
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: role.targets[f"{LIST}/{ACTS}"].hashes.update({"sha256": digest}))
    stage.refused(r"does not answer|not the file that was signed", 5)
    made = files_below(stage.provider.folder.parent) - before
    assert {path.parent for path in made} <= {stage.provider.state / "metadata", *tree_folders(stage)}


@pytest.mark.parametrize("hashes", [{"sha512": "a" * 128}, {"md5": "a" * 32}, {"sha256": "A" * 64}])
def test_a_file_is_known_by_its_sha256_only(stage: Stage, hashes: dict[str, str]) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    target = stage.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]
    content = stage.thief.target_path(target).read_bytes()
    stage.thief.resign(LIST, lambda role: setattr(role.targets[f"{LIST}/{ACTS}"], "hashes", hashes))
    stage.thief.target_path(stage.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]).write_bytes(content)
    stage.refused("not the file that was signed")


def test_the_heads_do_not_publish_for_the_list(stage: Stage) -> None:
    """Files of the list in the top-level targets have no release number, whoever signed them."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    files = stage.thief.read(LIST).signed.targets
    stage.heads.change_targets(lambda targets: targets.targets.update(files))
    stage.refused("no release that this program knows")


# --- What waits for the provider's word, and what ends all the same ---------------------------------------------------

MANY = [f"n{number:02}.example" for number in range(21)]
"""One more than a provider's brakes let in unasked."""


def listed(stage: Stage, lines: list[bytes], *domains: str, at: datetime) -> list[bytes]:
    return signed_by_two(stage.scene.site, lines, *domains, at=at)


def removed(stage: Stage, lines: list[bytes], at: datetime, *domains: str, hosts: tuple[str, ...] = ()) -> list[bytes]:
    body = acts.Remove(names=names(*domains, hosts=hosts), reason="lawful")
    return [*lines, next_line(lines, "agent-1", stage.scene.key("agent-1"), body, at)]


def braked(stage: Stage, lines: list[bytes], at: datetime) -> None:
    """The release is offered, its additions wait, and what has ended in it has ended here."""
    stage.thief.offer(lines, at)
    stage.show()
    outcome = stage.provider.attempt(at)
    assert isinstance(outcome.error, BrakeError)
    assert not [name for name in MANY if f"{name} " in stage.provider.installed()]
    stage.kept = stage.provider.kept()


def test_promise_6_a_brake_hides_no_forged_ending(stage: Stage) -> None:
    """The additions of two officers are too many, and the thief leaves a name out beside them."""
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    stage.thief.offer(lines, stage.now, drop=["one.example"])
    stage.refused("is not what the officers' acts say")


def test_promise_6_nor_a_forged_addition(stage: Stage) -> None:
    lines = removed(stage, listed(stage, stage.acts, *MANY, at=stage.now), stage.now, "one.example")
    stage.thief.offer(lines, stage.now, add=[EVIL])
    stage.refused("is not what the officers' acts say")


def test_promise_6_while_additions_wait_a_name_ends_by_an_act_only(stage: Stage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    braked(stage, lines, stage.now)
    stage.thief.offer(lines, stage.now + MINUTE, drop=["one.example"])
    stage.refused("is not what the officers' acts say", now=stage.now + MINUTE)
    lines = removed(stage, lines, stage.now + 2 * MINUTE, "one.example")
    braked(stage, lines, stage.now + 2 * MINUTE)
    assert "one.example" not in stage.provider.installed()
    assert "www.three.example" in stage.provider.installed()


def test_promise_6_while_additions_wait_a_host_does_not_become_its_domain(stage: Stage) -> None:
    """The same name in another scope is another addition."""
    lines = removed(stage, stage.acts, stage.now, hosts=("www.three.example",))
    braked(stage, listed(stage, lines, "www.three.example", *MANY, at=stage.now), stage.now)
    assert "www.three.example" not in stage.provider.installed()


def test_promise_6_while_additions_wait_more_of_them_wait_too(stage: Stage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    lines = removed(stage, lines, stage.now, "one.example")
    braked(stage, lines, stage.now)
    before = stage.provider.installed()
    lines = listed(stage, lines, "five.example", at=stage.now + MINUTE)
    braked(stage, lines, stage.now + MINUTE)
    assert stage.provider.installed() == before


def test_promise_6_what_ended_and_is_listed_again_waits_with_the_others(stage: Stage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    lines = removed(stage, lines, stage.now, "one.example")
    braked(stage, lines, stage.now)
    lines = listed(stage, lines, "one.example", at=stage.now + MINUTE)
    braked(stage, lines, stage.now + MINUTE)
    assert "one.example" not in stage.provider.installed()


def test_promise_8_a_fork_does_not_get_past_a_brake(stage: Stage) -> None:
    """The heads ended it, the brakes still hold: nothing moves before the provider's word."""
    lines = listed(stage, forked(stage, 1, 1), *MANY, at=stage.now)
    stage.heads.state(checkpoint=ref_of(lines).to_json())
    stage.thief.offer(lines, stage.now)
    stage.refused("names are added, more than 20", 1)
    stage.refused("names are added, more than 20", 1, now=stage.now + MINUTE)


def test_promise_8_a_fork_while_the_list_is_held(stage: Stage) -> None:
    """Not even a fork that the heads ended gets past the operator's word."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    rollback(stage.provider.subscription, LIST, None, stage.now, quietly)
    stage.kept = stage.provider.kept()
    lines = listed(stage, forked(stage, 1, 3), "five.example", at=stage.now)
    stage.heads.state(checkpoint=ref_of(lines).to_json())
    stage.thief.offer(lines, stage.now + MINUTE)
    stage.refused("ended a fork, and the list is held", 1, now=stage.now + MINUTE)
    stage.accepted(stage.now + MINUTE, resume=True)
    assert "five.example" in stage.provider.installed()


@pytest.mark.parametrize("lines", [1, 2])
def test_promise_8_after_a_fork_what_was_accepted_has_to_be_known(stage: Stage, lines: int) -> None:
    """With other acts here than the record speaks of, nobody can say which branch this provider was on."""
    record = json.loads(stage.provider.record_path.read_bytes())
    record["newest"]["acts_length"] -= sum(len(line) + 1 for line in stage.acts[-lines:])
    stage.provider.record_path.write_text(json.dumps(record))
    stage.kept = stage.provider.kept()
    fork = forked(stage, 1, 3)
    stage.heads.state(checkpoint=ref_of(fork).to_json())
    stage.thief.offer(fork, stage.now)
    stage.refused("history was rewritten")


def test_promise_8_a_fork_while_additions_wait(stage: Stage) -> None:
    braked(stage, removed(stage, listed(stage, stage.acts, *MANY, at=stage.now), stage.now, "one.example"), stage.now)
    lines = listed(stage, forked(stage, 1, 4), *MANY, at=stage.now)
    stage.thief.offer(lines, stage.now + MINUTE)
    stage.refused("history was rewritten", now=stage.now + MINUTE)
    stage.heads.state(checkpoint=ref_of(lines).to_json())
    stage.thief.offer(lines, stage.now + 2 * MINUTE)
    stage.refused("names are added, more than 20", 1, now=stage.now + 2 * MINUTE)


# --- Promise 10, and files without any key ----------------------------------------------------------------------------


def test_promise_10_the_environment_is_inside_what_is_signed(stage: Stage, tmp_path: Path) -> None:
    root = stage.scene.site.root.read_bytes()
    other = Provider(tmp_path / "other", stage.thief.url, root, environment="production")
    with pytest.raises(BlocklistError, match=r"is apology-of-terrorism \(test\)") as caught:
        other.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert other.kept() == {}


def test_promise_10_the_acts_say_the_environment_too(stage: Stage, tmp_path: Path) -> None:
    """Even if the heads' pin were wrong: the founding act holds the environment."""
    stage.heads.state(environment="production")
    other = Provider(tmp_path / "other", stage.thief.url, stage.scene.site.root.read_bytes(), environment="production")
    with pytest.raises(BlocklistError, match="the acts are those of another register") as caught:
        other.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert other.kept() == {}


@pytest.fixture(scope="module")
def production(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Another environment of the same list, with keys of its own."""
    site = Site(tmp_path_factory.mktemp("production"), scene.site.now - HOUR, "production")
    site.block("real.example.com")
    return site


def test_promise_10_another_environment_has_another_root(stage: Stage, production: Site) -> None:
    shutil.copytree(production.exports / "metadata", stage.thief.exports / "metadata", dirs_exist_ok=True)
    stage.thief.sign(stage.thief.read("timestamp").signed)
    assert production.root.read_bytes() != stage.scene.site.root.read_bytes()
    provider = Provider(stage.provider.folder / "new", stage.thief.url, production.root.read_bytes())
    with pytest.raises(BlocklistError, match="was signed by 0/1 keys") as caught:
        provider.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3


def test_promise_10_the_root_that_was_pinned_decides_not_the_one_on_the_server(stage: Stage, tmp_path: Path) -> None:
    """Another publisher, whole and consistent, of a list and an environment that are called the same."""
    other = Site(tmp_path / "other", stage.scene.at)
    other.block("evil.example")
    other.publish()
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(other.exports, stage.thief.exports)
    for _ in range(2):
        stage.refused("was signed by 0/1 keys")
        shutil.rmtree(stage.provider.state / "metadata")  # and not because of what was seen before


def test_promise_10_seal_authorities_differ(production: Site, scene: Scene) -> None:
    assert (production.exports / "seal.pem").read_bytes() != (scene.site.exports / "seal.pem").read_bytes()


def test_the_pinned_root_is_the_only_one(stage: Stage, production: Site) -> None:
    (stage.provider.state / "root.json").write_bytes(production.root.read_bytes())
    stage.refused("is not the root that .* pins")
    (stage.provider.state / "root.json").unlink()
    stage.refused("the pinned root .* cannot be read", 2)


def test_another_list(stage: Stage, tmp_path: Path) -> None:
    targets, before = stage.provider.subscription.lists, stage.kept
    stage.provider.edit(lists={"anti-scam": targets[LIST]})
    stage.kept = stage.provider.kept()  # that list has no record yet
    stage.refused("publishes no anti-scam/acts.jsonl", 2)
    stage.kept = before
    stage.heads.state(list="anti-scam")
    stage.provider.edit(lists=targets)
    stage.refused("register is anti-scam")


def published_files(exports: Path) -> list[str]:
    return sorted(str(path.relative_to(exports)) for path in exports.rglob("*") if path.is_file())


def test_every_file_of_a_release_altered_without_a_key(scene: Scene, tmp_path: Path) -> None:
    """An intruder on the web server: nothing that was altered is ever installed."""
    genuine = Provider(tmp_path / "genuine", scene.first.as_uri(), scene.site.root.read_bytes())
    genuine.pull(scene.at, accept="any")
    wanted = genuine.installed(), genuine.installed("hosts")
    refused = set()
    for number, name in enumerate(published_files(scene.first)):
        tree = tmp_path / f"tree-{number}"
        shutil.copytree(scene.first, tree)
        content = bytearray((tree / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tree / name).write_bytes(content)
        provider = Provider(tmp_path / f"provider-{number}", tree.as_uri(), scene.site.root.read_bytes())
        try:
            provider.pull(scene.at, accept="any")
        except BlocklistError as fault:
            assert fault.exit_code == 3, (name, fault)
            assert provider.kept() == {}
            refused.add(Path(name).name.split(".", 1)[-1] if "." in Path(name).stem else Path(name).name)
        else:
            assert (provider.installed(), provider.installed("hosts")) == wanted
    assert {"acts.jsonl", f"{LIST}.json", "snapshot.json", "timestamp.json", "targets.json"} <= refused


# --- Promise 6: what would break the internet -------------------------------------------------------------------------


def test_promise_6_a_protected_name_that_two_agents_signed_is_not_rendered(stage: Stage) -> None:
    protected = ["google.com", "mail.google.com", "gouv.fr", "fr"]
    lines = signed_by_two(stage.scene.site, stage.acts, "bad.example", *protected[:3], at=stage.now)
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    zone = stage.provider.installed()
    assert "bad.example A " in zone
    assert not [name for name in protected if f"{name} " in zone]
    stage.kept = stage.provider.kept()
    stage.thief.offer(lines, stage.now + MINUTE, add=[Name("google.com", Scope.DOMAIN)])
    stage.refused("is not what the officers' acts say", now=stage.now + MINUTE)


def test_promise_6_a_mass_addition_stops_at_the_provider_even_if_two_agents_signed_it(stage: Stage) -> None:
    lines = signed_by_two(stage.scene.site, stage.acts, *(f"n{n}.example" for n in range(21)), at=stage.now)
    stage.thief.offer(lines, stage.now)
    stage.refused("21 names are added, more than 20", 1)
    stage.refused("21 names are added, more than 20", 1, accept="any")
