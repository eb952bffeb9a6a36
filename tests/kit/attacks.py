"""What attacks on a subscriber are made of: releases, acts and metadata that no honest publisher would show.

Each is done to a `Stage`. The rows are in `tests/client/test_attacks.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import DAY, LIST, SALT, names
from kit.hostile import (
    EVIL,
    MINUTE,
    Stage,
    envelope,
    fold_anyway,
    next_line,
    payload_of,
    ref_of,
    signed_by_two,
)
from kit.memory import Asked, Memory, honest
from tuf.api.metadata import Metadata, TargetFile

from blocklist.client.transport import Answer
from blocklist.keys.encoding import SigningKey
from blocklist.names.domain_name import Name, Names, Scope
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.release.contents import BrakeError
from blocklist.release.manifest import ACTS

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
    stage.show()
    assert not stage.provider.pull(stage.now).changed
    stage.thief.refer({"targets.json": 1})


def older_root(stage: Stage) -> None:
    """The root that was seen last once more, as if it were the next one."""
    second = stage.heads.change_root(lambda _: None)
    stage.show()
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


def with_a_role_below(stage: Stage, name: str, hosts: bytes | None) -> None:
    """A release whose hosts file is signed by another role, if it is signed at all."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    file = f"{LIST}/hosts.txt"
    own = stage.thief.read(LIST).signed.targets[file]
    target = own if hosts is None else TargetFile.from_data(file, hosts, ["sha256"])
    stage.thief.delegate(name, {file: target})


def replaced_role(signed: dict[str, Any], name: Any) -> dict[str, Any]:
    signed["delegations"]["roles"][0]["name"] = name
    return signed


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


def with_more(memory: Memory, asked: Asked) -> Answer:
    """The file, and an octet that nobody signed."""
    made = honest(memory, asked)
    return Answer(made.status, made.marks, iter([b"".join(made.chunks) + b"x"]))
