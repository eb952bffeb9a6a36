"""Every attack on a subscriber in one table: what is done, what the pull says, its exit code.

Whoever does it holds the publisher's machine with all its keys (`stage.thief`) or the way to it (`stage.memory`); where
a row needs an officer's or a head's key, it says so. After each, nothing that counts has changed: no installed file, no
record, no acts, no receipt. What is let in, and attacks that take more than one pull, are in `test_hostile.py` and
`test_hostile_answers.py`; what a thief of each key can do all the same is in `test_thief.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kit.attacks import (
    AHEAD,
    MANY,
    PAST,
    THIEF,
    Attack,
    append,
    appended,
    approval,
    blocked,
    expired,
    extended,
    forgetful_snapshot,
    forked,
    garbage,
    grafted,
    listed,
    lower_version,
    mixed,
    new_root,
    new_targets,
    offered,
    older_root,
    older_targets,
    other_snapshot,
    oversized,
    proposal,
    removed,
    replaced,
    replaced_role,
    resigned,
    two_releases,
    under_another_name,
    with_a_role_below,
    with_last,
    with_more,
    with_payload,
    without,
    wrong_key,
)
from kit.chain import Chain
from kit.fixed import DAY, HOUR, LIST, names
from kit.hostile import EVIL, MINUTE, Scene, Stage, branch_of, fold_anyway, next_line, ref_of
from kit.memory import Asked, Memory, MemoryStage, Reply, body, broken_off, endless, status

from blocklist.client.transport import Answer, TransportError
from blocklist.names.domain_name import Name, Scope
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, memory: Memory) -> MemoryStage:
    return MemoryStage(scene, tmp_path, memory)


class Row(NamedTuple):
    """One attack: what is done, a pattern of what the pull says, its exit code."""

    attack: Attack
    says: str
    code: int = 3


FILES = {
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
"""Promise 4: what the acts do not say is in the files of a release."""

SIGNATURES = {
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
"""Promise 4: no name without two officers."""

HISTORY = {
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
        "those of another register",
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
"""Promise 8: a changed, dropped, reordered, backdated or forked act."""

METADATA = {
    "timestamp rolled back": (lower_version("timestamp"), "timestamp version"),
    "snapshot rolled back": (lower_version("snapshot"), "[Ss]napshot version"),
    "role rolled back": (lower_version(LIST), "version"),
    "targets rolled back": (older_targets, "Expected targets.json version 1, got 2"),
    "root rolled back": (older_root, "Expected root version 3 instead got version 2"),
    "mix and match": (mixed, "Expected .* got"),
    "the snapshot of another release": (other_snapshot, "Expected snapshot version"),
    "the acts of another release": (two_releases, "shorter than it was|do not end at the head"),
    "a snapshot that forgets the list": (forgetful_snapshot, "missing info for"),
    "a role of another version": (under_another_name, "Expected .* got"),
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
    "timestamp signed by another role": (wrong_key("timestamp", "snapshot"), "was signed by 0/1 keys"),
    "snapshot signed by another role": (wrong_key("snapshot", LIST), "was signed by 0/1 keys"),
    "role signed by another role": (wrong_key(LIST, "timestamp"), "was signed by 0/1 keys"),
    "targets signed by the publisher": (new_targets, "was signed by 0/1 keys"),
    "root signed by the publisher": (new_root, "was signed by 0/1 keys"),
    "timestamp oversized": (oversized("timestamp", 20_000), "sends more than was signed"),
    "snapshot oversized": (oversized("snapshot", 2_000_001), "sends more than was signed"),
    "role oversized": (oversized(LIST, 5_000_001), "sends more than was signed"),
    "root oversized": (
        lambda s: append(s.heads.change_root(lambda _: None), b" " * 512_001),
        "sends more than was signed",
        3,
    ),
    "timestamp is not JSON": (garbage("timestamp", b"<html>"), "not genuine"),
    "timestamp nests without end": (garbage("timestamp", b"[" * 10_000), "not genuine"),
    "snapshot is another role": (garbage("snapshot", b'{"signed":{"_type":"root"},"signatures":[]}'), "not genuine"),
    "role is empty": (garbage(LIST, b""), "not genuine"),
    "role holds another key twice": (garbage(LIST, b'{"signed":{},"signed":{},"signatures":[]}'), "not genuine"),
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
"""TUF: what is out of date, mixed, unsigned, oversized or missing."""

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
"""What stands where the head of the acts, or the release before, is told of a target."""


def pinned(pin: bytes) -> Attack:
    """The heads signed a pin that makes no sense."""
    return lambda s: (s.heads.replace(pin), s.thief.offer())


def branched(seq: int, id_: str) -> Attack:
    """The heads chose a branch whose act the acts do not hold."""
    return lambda s: (s.heads.state(branch={"act": {"seq": seq, "id": id_}, "number": 2}), s.thief.offer())


def unnamed(file: str) -> Attack:
    """The metadata do not name a file of the release."""
    return lambda s: (s.thief.offer(), s.thief.resign(LIST, lambda role: role.targets.pop(f"{LIST}/{file}")))


def versioned(role: str, number: str) -> Attack:
    """Without a key: whatever a parser makes of it, it is not what was signed."""

    def attack(stage: Stage) -> None:
        stage.thief.offer()
        path = stage.thief.path(role)
        version = stage.thief.read(role).signed.version
        text = path.read_bytes().replace(f'"version":{version}}}}}'.encode(), f'"version":{number}}}}}'.encode())
        assert text != path.read_bytes()
        path.write_bytes(text)

    return attack


def nested(depth: int) -> Attack:
    """What one parser reads, another step may not: reading and checking recurse in other ways."""

    def attack(stage: Stage) -> None:
        stage.thief.offer()
        for path in [stage.thief.path(role) for role in ("timestamp", "snapshot", LIST)]:
            path.write_bytes(path.read_bytes().replace(b'"_type"', b'"a":' + b"[" * depth + b"]" * depth + b',"_type"'))

    return attack


def role_named(name: object) -> Attack:
    """A role below the list's has the name of one above, or none."""

    def attack(stage: Stage) -> None:
        stage.thief.offer()
        stage.thief.resign(LIST, lambda role: role.targets.pop(f"{LIST}/hosts.txt"))
        stage.thief.delegate("below", {})
        path = stage.thief.path(LIST)
        path.write_bytes(stage.thief.signed_anyhow(LIST, replaced_role(json.loads(path.read_bytes())["signed"], name)))

    return attack


def acts_known_by(hashes: dict[str, str]) -> Attack:
    """The acts are there under the digest that is told of them, which is no SHA-256 of ours."""

    def attack(stage: Stage) -> None:
        stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
        content = stage.thief.target_path(stage.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]).read_bytes()
        stage.thief.resign(LIST, lambda role: setattr(role.targets[f"{LIST}/{ACTS}"], "hashes", hashes))
        stage.thief.target_path(stage.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]).write_bytes(content)

    return attack


def another_register(stage: Stage) -> None:
    """The thief founds a register of its own, of as many acts as it likes."""
    foreign = Chain().lines
    stage.thief.offer([*foreign, b"what is not an act"], stage.now, state=fold_anyway(foreign), head=Ref(99, "9" * 64))


def published_by_the_heads(stage: Stage) -> None:
    """Files of the list in the top-level targets have no release number, whoever signed them."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    files = stage.thief.read(LIST).signed.targets
    stage.heads.change_targets(lambda targets: targets.targets.update(files))


def digest_of_acts(digest: str) -> Attack:
    """The digest is a part of an address too, and no file has it."""

    def attack(stage: Stage) -> None:
        stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
        stage.thief.resign(LIST, lambda role: role.targets[f"{LIST}/{ACTS}"].hashes.update({"sha256": digest}))

    return attack


def gone(memory: Memory, asked: Asked) -> Answer:
    raise TransportError("no route")


def answered(file: str, reply: Reply) -> Attack:
    """Without any key: for one file of the next release, the server answers something else."""

    def attack(stage: MemoryStage) -> None:
        stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
        (stage.provider.state / "verified.json").unlink()  # or a timestamp that is "not modified" ends it
        stage.memory.honest()
        stage.memory.answer(file, reply)

    return attack


REPLIES: dict[str, tuple[Reply, int]] = {
    "moved": (status(302), 5),
    "nothing": (status(200), 3),
    "no content": (status(204), 5),
    "a part that nobody asked for": (body(b"{}", 206), 5),
    "not modified": (status(304), 5),
    "forbidden": (status(403), 5),
    "gone": (status(410), 5),
    "broken": (status(503), 5),
    "a number that is no status": (status(0), 5),
    "a page": (body(b"<html>Please log in</html>"), 3),
    "endless": (endless(), 3),
    "endless and small": (endless(b"x", 20_000_000), 3),
    "broken off": (broken_off(), 5),
    "broken off at once": (broken_off(0), 5),
    "one octet more": (with_more, 3),
    "no connection": (gone, 5),
}
ANSWERS = {
    f"{what} instead of {file}": (answered(file, reply), ".", code)
    for file in ("timestamp.json", "snapshot.json", f".{LIST}.json", ACTS)
    for what, (reply, code) in REPLIES.items()
} | {"no connection instead of the next root": (answered("2.root.json", gone), "no route", 5)}
"""An intruder on the way, or on the web server, without any key."""

SIGNED_ROLES = ("timestamp", "snapshot", LIST)
NO_VERSIONS = ("NaN", "Infinity", "1e400", "1.0", "-1", "0", "null", "true", '"1"', "[1]", "9" * 400, "9" * 5000)
NO_PINS = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"[" * 60_000,
    b"\xff",
    b'{"list":1}',
    b'{"branch":{"act":{"seq":1e999,"id":"x"},"number":1}}',
)
NO_DIGESTS = ("../../../evil", "/evil", "..", "a?b", "a#b", "", "é", "a" * 200, "a" * 5000)
NO_CUSTOM = "no release that this program knows|do not end at the head|shorter than it was"
NO_SINCE = "no release that this program knows|compares itself with one that never was"

ATTACKS = {
    name: Row(*row)
    for name, row in {
        **FILES,
        **SIGNATURES,
        **HISTORY,
        **METADATA,
        **ANSWERS,
        # What the heads state of the register.
        "acts of a register that is not the pinned one": (another_register, "those of another register"),
        "another register behind the same pin": (
            lambda s: s.heads.state(register="7" * 64),
            "another register than the one accepted",
        ),
        "a pin that is too large": (pinned(b" " * 70_000), "has 70000 bytes, more than 65536"),
        **{f"a pin of {pin[:20]!r}": (pinned(pin), "describe no release") for pin in NO_PINS},
        **{
            f"a branch that holds act {seq}": (branched(seq, id_), "not of the branch|describe no release")
            for seq, id_ in ((3, "3" * 64), (999, "3" * 64), (0, "0" * 64), (-1, "0" * 64))
        },
        "a choice that both branches hold": (
            lambda s: (
                s.heads.state(branch=branch_of(s.acts[:3])),
                s.thief.offer(forked(s, 1, 3), s.now),
            ),
            "history was rewritten",
        ),
        # When it is.
        **{
            f"release number {number:.0e}": (
                lambda s, number=number: s.thief.offer(number=number),
                "in the future|no release that this program knows",
            )
            for number in (10**10, 253402300800, 10**12, 10**18, 2**63, 10**30)
        },
        # What the metadata tell of a release beside its files.
        **{
            f"the acts tell {name}": (lambda s, told=told: s.thief.offer(acts_custom=told), NO_CUSTOM)
            for name, told in NONSENSE.items()
        },
        **{
            f"the changes tell {name}": (lambda s, told=told: s.thief.offer(changes_custom=told), NO_SINCE)
            for name, told in NONSENSE.items()
            if name != "null"
        },
        "a release that compares itself with the future": (
            lambda s: s.thief.offer(since={"number": int(s.now.timestamp()) + 1, "head": ref_of(s.acts).to_json()}),
            "compares itself with one that never was",
        ),
        "a release that hides what it compares itself with": (
            lambda s: s.thief.offer([*s.acts, *s.scene.news], s.now, since=None),
            "changes.json is not what",
        ),
        # What a wrong list in the subscription looks like, too.
        "the metadata name no acts": (unnamed(ACTS), "publishes no", 2),
        "the metadata name no changes": (unnamed(CHANGES), "publishes no", 2),
        "the metadata name no announced requests": (unnamed(ANNOUNCED), "is not what the officers' acts say"),
        "the metadata name no zone": (unnamed("rpz.zone"), "is not what the officers' acts say"),
        # Metadata whose form a parser may take for another one.
        **{
            f"version {number[:20]} of {role}": (versioned(role, number), "not genuine")
            for role in SIGNED_ROLES
            for number in NO_VERSIONS
        },
        **{
            f"a member that nests {depth} deep": (nested(depth), "not genuine") for depth in (300, 500, 980, 1000, 5000)
        },
        **{
            f"acts known by {next(iter(hashes))} {next(iter(hashes.values()))[:1]}": (
                acts_known_by(hashes),
                "not the file that was signed",
            )
            for hashes in ({"sha512": "a" * 128}, {"md5": "a" * 32}, {"sha256": "A" * 64})
        },
        **{
            f"acts under the digest {digest[:20]!r} of {len(digest)}": (
                digest_of_acts(digest),
                "does not answer|not the file that was signed|not there",
                5,
            )
            for digest in NO_DIGESTS
        },
        # Roles above and below the list's.
        "the heads publish for the list": (published_by_the_heads, "no release that this program knows"),
        "a role below blocks a name": (
            lambda s: with_a_role_below(s, "below", b"192.0.2.1 evil.example\n"),
            "hosts.txt is not what",
        ),
        **{
            f"a role below is called {name!r}": (role_named(name), "not genuine")
            for name in ("root", "timestamp", "snapshot", "targets", "", 5, True, -1)
        },
        # Promise 6: brakes hide nothing.
        "a name left out of what is braked": (
            lambda s: s.thief.offer(listed(s, s.acts, *MANY, at=s.now), s.now, drop=["one.example"]),
            "is not what the officers' acts say",
        ),
        "a name put into what is braked": (
            lambda s: s.thief.offer(
                removed(s, listed(s, s.acts, *MANY, at=s.now), s.now, "one.example"), s.now, add=[EVIL]
            ),
            "is not what the officers' acts say",
        ),
        "more names than the provider's brakes let in, signed by two agents": (
            lambda s: s.thief.offer(listed(s, s.acts, *MANY, at=s.now), s.now),
            "21 names are added, more than 20",
            1,
        ),
    }.items()
}


@pytest.mark.parametrize("name", ATTACKS)
def test_promises_4_6_and_8_an_attack_is_refused_and_nothing_changes(stage: MemoryStage, name: str) -> None:
    attack, says, code = ATTACKS[name]
    attack(stage)
    before = files_below(stage.provider.folder.parent)
    stage.refused(says, code)
    # What was fetched on the way lies where TUF keeps it, and the root is one that the heads signed.
    metadata = stage.provider.state / "metadata"
    made = files_below(stage.provider.folder.parent) - before
    assert {path.parent for path in made} <= {metadata, metadata / "root_history"}
    roots = (stage.thief.exports / "metadata").glob("*.root.json")
    assert (metadata / "root.json").read_bytes() in [path.read_bytes() for path in roots]
    if name in ANSWERS:
        assert stage.memory.sent < 6_000_000  # not more than the largest metadata may have
    if name in FILES or name in ANSWERS:
        stage.memory.honest()
        stage.recovers()


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
