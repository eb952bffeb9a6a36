"""What a TUF client must do (specification 1.0, section 5), of our own step 1: refresh, keep, find and fetch.

theupdateframework's tuf-conformance is not on PyPI; what it looks at is looked at here in our own terms, on a whole
pull. Its cases that are attacks on content too are in test_hostile.py and test_hostile_answers.py.
"""

from __future__ import annotations

import datetime as clock
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from kit.fixed import DAY, HOUR, LIST, key
from kit.hostile import Scene, public_key, signed_twice, under_another_id
from kit.memory import URL, Memory, MemoryStage, tuf_clock
from kit.provider import Provider
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Key, Metadata, MetaFile, Root, Targets

from blocklist.base.errors import BlocklistError, UsageError, VerificationError
from blocklist.client.fetch import Publisher
from blocklist.keys.encoding import signer

ROLES = ("timestamp", "snapshot", "targets", LIST)


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, memory: Memory) -> MemoryStage:
    return MemoryStage(scene, tmp_path, memory)


def second(stage: MemoryStage) -> None:
    """The second release, whose acts are the office's own."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)


def trusted(stage: MemoryStage, role: str) -> dict[str, Any]:
    """What the provider keeps of a role."""
    return dict(json.loads((stage.provider.state / f"metadata/{role}.json").read_bytes())["signed"])


def versions(stage: MemoryStage) -> dict[str, int]:
    return {role: trusted(stage, role)["version"] for role in ("root", *ROLES)}


# --- The order of things ----------------------------------------------------------------------------------------------


def test_a_first_refresh_asks_for_each_role_once_and_in_order(stage: MemoryStage) -> None:
    number = stage.thief.number
    asked = [path.removeprefix("metadata/") for path in stage.memory.paths(".json") if path.startswith("metadata/")]
    wanted = ["2.root", "timestamp", f"{number}.snapshot", "1.targets", f"{number}.{LIST}"]
    assert asked == [f"{name}.json" for name in wanted]
    assert versions(stage) == {"root": 1, "timestamp": number, "snapshot": number, "targets": 1, LIST: number}


def test_files_come_after_all_metadata(stage: MemoryStage) -> None:
    kinds = [path.partition("/")[0] for path in stage.memory.paths()]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"metadata", "targets"}


def test_what_is_known_does_not_travel_again(stage: MemoryStage) -> None:
    stage.memory.honest()
    stage.thief.refer({})
    stage.show()
    assert not stage.provider.pull(stage.now).changed
    asked = [path.split(".")[-2].rpartition("/")[2] for path in stage.memory.paths()]
    assert asked == ["timestamp", "root", "timestamp", "snapshot"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b"[" * 5000])
@pytest.mark.parametrize("role", ROLES)
def test_damaged_local_metadata_are_fetched_anew(stage: MemoryStage, role: str, damage: bytes) -> None:
    path = stage.provider.state / f"metadata/{role}.json"
    good = path.read_bytes()
    path.write_bytes(damage)
    (stage.provider.state / "verified.json").unlink()
    assert not stage.provider.pull(stage.now).changed
    assert path.read_bytes() == good


# --- The root that is pinned ------------------------------------------------------------------------------------------


def no_version(root: dict[str, Any]) -> None:
    del root["signed"]["version"]


def wrong_signature(root: dict[str, Any]) -> None:
    root["signatures"][0]["sig"] = "00" * 64


def no_signature(root: dict[str, Any]) -> None:
    root["signatures"] = []


def another_role(root: dict[str, Any]) -> None:
    root["signed"]["_type"] = "targets"


@pytest.mark.parametrize("change", [no_version, wrong_signature, no_signature, another_role])
def test_nothing_is_asked_with_a_root_that_is_none(
    scene: Scene, tmp_path: Path, memory: Memory, change: Callable[[dict[str, Any]], None]
) -> None:
    made = json.loads(scene.site.root.read_bytes())
    change(made)
    root = json.dumps(made).encode()
    with pytest.raises(UsageError, match="not a TUF root"):
        Provider(tmp_path / "new", URL, root)
    provider = Provider(tmp_path / "old", URL, scene.site.root.read_bytes())
    with pytest.raises(VerificationError, match="not genuine"):
        Publisher(provider.subscription, root, memory)
    assert memory.asked == []


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_another_timestamp_of_the_same_version_is_dropped(stage: MemoryStage) -> None:
    before = trusted(stage, "timestamp")
    stage.thief.resign("timestamp", lambda signed: setattr(signed.snapshot_meta, "version", 2**31))
    stage.show()
    assert not stage.provider.pull(stage.now).changed
    assert trusted(stage, "timestamp") == before


def test_a_snapshot_that_nobody_refers_to_is_not_asked_for(stage: MemoryStage) -> None:
    before = versions(stage)
    stage.thief.resign("snapshot", lambda signed: setattr(signed, "version", 1))
    stage.memory.honest()
    stage.show()
    assert not stage.provider.pull(stage.now).changed
    assert versions(stage) == before
    assert not stage.memory.paths("snapshot.json")


def test_a_snapshot_is_the_one_that_the_timestamp_names(stage: MemoryStage) -> None:
    before = versions(stage)
    second(stage)
    path = stage.thief.path("snapshot")
    stage.thief.resign("snapshot", lambda signed: setattr(signed, "version", signed.version + 1), name=path.name)
    stage.refused("Expected snapshot version")
    assert versions(stage) == before | {"timestamp": int(stage.now.timestamp())}


def hashed(content: bytes, version: int) -> MetaFile:
    return MetaFile.from_data(version, content, ["sha256"])


@pytest.mark.parametrize("hashes", [False, True])
def test_a_rollback_that_the_metadata_agree_on(stage: MemoryStage, hashes: bool) -> None:
    """The old snapshot is genuine and so is its digest; what was seen before decides."""
    first = next((stage.scene.first / "metadata").glob("*.snapshot.json"))
    version = int(first.name.split(".")[0])
    second(stage)
    stage.accepted()
    before = versions(stage)
    meta = hashed(first.read_bytes(), version) if hashes else MetaFile(version)
    stage.thief.resign("timestamp", lambda signed: bump(signed, meta))
    stage.refused("New snapshot version must be >=")
    assert versions(stage) == before


def bump(timestamp: Any, meta: MetaFile) -> None:
    timestamp.version += 1
    timestamp.snapshot_meta = meta


@pytest.mark.parametrize("hashes", [False, True])
@pytest.mark.parametrize("role", ["targets", LIST])
def test_a_rollback_of_what_the_snapshot_names(stage: MemoryStage, role: str, hashes: bool) -> None:
    old = stage.thief.path(role).read_bytes()
    second(stage)
    stage.heads.state()
    stage.accepted()
    before = versions(stage)
    version = json.loads(old)["signed"]["version"]
    meta = hashed(old, version) if hashes else MetaFile(version)
    stage.thief.refer({f"{role}.json": version})
    snapshot = stage.thief.resign("snapshot", lambda signed: signed.meta.update({f"{role}.json": meta}))
    stage.refused(f"Expected {role}.json version")
    assert versions(stage) == before | {"timestamp": int(snapshot.name.split(".")[0])}


@pytest.mark.parametrize("role", ["snapshot", "targets", LIST])
def test_a_digest_in_the_metadata_is_looked_at(stage: MemoryStage, role: str) -> None:
    second(stage)
    if role == "targets":
        stage.heads.state()
    meta = hashed(stage.thief.path(role).read_bytes() + b" ", stage.thief.read(role).signed.version)
    if role == "snapshot":
        stage.thief.resign("timestamp", lambda signed: setattr(signed, "snapshot_meta", meta))
    else:
        stage.thief.resign("snapshot", lambda signed: signed.meta.update({f"{role}.json": meta}))
    stage.refused("not genuine")


# --- Expiry -----------------------------------------------------------------------------------------------------------

PAST = datetime(2020, 1, 1, tzinfo=clock.UTC)


def test_an_expired_root_is_kept_and_nothing_else(stage: MemoryStage) -> None:
    """Section 5.3.10: the freeze is looked for once the newest root is known."""
    second(stage)
    stage.heads.change_root(lambda _: None)
    stage.heads.change_root(lambda root: setattr(root, "expires", PAST))
    before = versions(stage)
    stage.refused("root.json is expired", 4)
    assert versions(stage) == before | {"root": 3}


def test_a_root_that_has_expired_may_lead_to_the_next_one(stage: MemoryStage) -> None:
    stage.heads.change_root(lambda root: setattr(root, "expires", PAST))
    stage.heads.change_root(lambda root: setattr(root, "expires", stage.now + DAY))
    stage.show()
    assert not stage.provider.pull(stage.now).changed
    assert stage.trusted_root == 3


@pytest.mark.parametrize("role", ROLES)
def test_what_has_expired_is_not_kept(stage: MemoryStage, role: str) -> None:
    second(stage)
    if role == "targets":
        stage.heads.change_targets(lambda targets: setattr(targets, "expires", PAST))
    else:
        stage.thief.resign(role, lambda signed: setattr(signed, "expires", PAST))
    before = trusted(stage, role)
    stage.refused("expired", 4)
    assert trusted(stage, role) == before


@pytest.mark.parametrize("role", ROLES)
def test_what_expired_here_leads_to_what_is_newer(stage: MemoryStage, role: str) -> None:
    """An old timestamp or snapshot still says what must not be rolled back."""
    later = stage.now + 11 * HOUR
    second(stage)
    stage.heads.change_targets(lambda targets: setattr(targets, "expires", later + DAY))
    for name in ("snapshot", "timestamp", LIST):
        stage.thief.resign(name, lambda signed: setattr(signed, "expires", later + DAY))
    with tuf_clock(later + HOUR):
        stage.accepted(later)
    assert trusted(stage, role)["expires"] == (later + DAY).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_expired_here_is_not_used_again(stage: MemoryStage) -> None:
    """The publisher has nothing newer than the list's role, which is over."""
    for name in ("snapshot", "timestamp"):
        stage.thief.resign(name, lambda signed: renew(signed, stage.now + 9 * DAY))
    stage.show()
    with tuf_clock(stage.now + 2 * DAY):
        stage.refused(f"New {LIST} is expired", 4, now=stage.now + HOUR)


def renew(signed: Any, expires: datetime) -> None:
    signed.version += 1
    signed.expires = expires
    if signed.type == "timestamp":
        signed.snapshot_meta.version += 1


# --- Keys and thresholds ----------------------------------------------------------------------------------------------

OLD = (0, 1, 2, 3, 4)
NEW = (5, 6, 7, 8, 9)
MIXED = (0, 1, 3, 4, 5)

ROOTS: dict[str, tuple[bool, list[tuple[tuple[int, ...], int, tuple[int, ...]]]]] = {
    # Whether the last one is trusted; then each root: its keys, its threshold, who signed it.
    "another key": (True, [((1,), 1, (1,)), ((2,), 1, (2, 1)), ((2,), 1, (2,))]),
    "signatures of nobody": (True, [((1,), 1, (3, 1, 4)), ((2,), 1, (3, 2, 1, 4)), ((2,), 1, (3, 2, 4))]),
    "whichever three of five": (True, [(OLD, 3, (0, 2, 4)), (OLD, 3, (0, 4, 1)), (OLD, 3, (0, 1, 3))]),
    "one of five is another": (True, [(OLD, 3, (0, 2, 4)), (MIXED, 3, (0, 4, 1))]),
    "one of five is another, in two steps": (
        True,
        [(OLD, 3, (0, 2, 4)), (MIXED, 3, (0, 2, 4, 5)), (MIXED, 3, (0, 4, 5))],
    ),
    "all of five are others": (True, [(OLD, 3, (0, 2, 4)), (NEW, 3, (0, 2, 4, 5, 6, 7)), (NEW, 3, (5, 6, 7))]),
    "a higher threshold": (True, [((1, 2, 3), 1, (1,)), ((1, 2, 3), 2, (1, 2))]),
    "a lower threshold": (True, [((1, 2, 3), 2, (1, 2)), ((1, 2, 3), 1, (1, 2)), ((1, 2, 3), 1, (1,))]),
    "one key more": (True, [((1,), 1, (1,)), ((1, 2), 2, (1, 2))]),
    "without the old key": (False, [((1,), 1, (1,)), ((2,), 1, (2, 3, 4))]),
    "without the new key": (False, [((1,), 1, (1,)), ((2,), 1, (1, 3, 4))]),
    "three old keys, two of them in the new root": (False, [(OLD, 3, (0, 2, 4)), (MIXED, 3, (0, 2, 4))]),
    "three new keys, two of them in the old root": (False, [(OLD, 3, (0, 2, 4)), (MIXED, 3, (0, 4, 5))]),
    "a higher threshold that is not reached": (False, [((1, 2, 3), 1, (1,)), ((1, 2, 3), 2, (2,))]),
    "a lower threshold before it holds": (False, [((1, 2, 3), 2, (1, 2)), ((1, 2, 3), 1, (1,))]),
}


def set_keys(root: Root, role: str, numbers: Iterable[int], threshold: int) -> None:
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for number in numbers:
        root.add_key(public_key(key(f"root {number}")), role)
    root.roles[role].threshold = threshold


def write_signed(path: Path, signed: Any, numbers: Iterable[int], *others: Any) -> None:
    metadata: Metadata[Any] = Metadata(signed)
    for number in numbers:
        metadata.sign(signer(key(f"root {number}")), append=True)
    for other in others:
        metadata.sign(signer(other), append=True)
    path.write_bytes(metadata.to_bytes())


@pytest.mark.parametrize("name", ROOTS)
def test_from_root_to_root(stage: MemoryStage, tmp_path: Path, name: str) -> None:
    """Each root is signed by the threshold of the root before it, and by its own."""
    good, roots = ROOTS[name]
    root = stage.heads.root()
    folder = stage.thief.exports / "metadata"
    for version, (keys, threshold, signers) in enumerate(roots, 1):
        root.version = version
        set_keys(root, "root", keys, threshold)
        write_signed(folder / f"{version}.root.json", root, signers)
    provider = Provider(tmp_path / "new", URL, (folder / "1.root.json").read_bytes())
    stage.show()
    if good:
        assert provider.pull(stage.now, accept="any").changed
    else:
        with pytest.raises(VerificationError, match=r"root was signed by \d/\d keys"):
            provider.pull(stage.now, accept="any")
        assert provider.kept() == {}
    seen = json.loads((provider.state / "metadata/root.json").read_bytes())["signed"]["version"]
    assert seen == len(roots) - (not good)


OTHERS: dict[str, tuple[bool, tuple[tuple[int, ...], int, tuple[int, ...]]]] = {
    "another key": (True, ((2,), 1, (2,))),
    "signatures of nobody": (True, ((1,), 1, (3, 1, 4))),
    "three of five": (True, (OLD, 3, (0, 2, 4))),
    "another three of five": (True, (OLD, 3, (2, 3, 4))),
    "not the new key": (False, ((2,), 1, (1, 3, 4))),
    "two of three that count": (False, (MIXED, 3, (0, 2, 4))),
    "two of three": (False, (MIXED, 3, (0, 4))),
    "one key for three": (False, (OLD, 3, (0, 0, 0))),
    "a threshold above all keys": (False, (OLD, 6, OLD)),
}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_role_is_signed_by_the_threshold_of_its_keys(stage: MemoryStage, role: str, name: str) -> None:
    good, (keys, threshold, signers) = OTHERS[name]
    second(stage)
    if role == "targets":
        stage.heads.state()
    stage.heads.change_root(lambda root: set_keys(root, role, keys, threshold))
    write_signed(stage.thief.path(role), stage.thief.read(role).signed, signers)
    if good:
        stage.accepted()
    else:
        stage.refused(f"{role} was signed by ./{threshold} keys")
    assert stage.trusted_root == 2


@pytest.mark.parametrize("name", OTHERS)
def test_the_role_of_the_list_is_signed_by_the_threshold_of_its_keys(stage: MemoryStage, name: str) -> None:
    good, (keys, threshold, signers) = OTHERS[name]
    second(stage)

    def delegated(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        below = targets.delegations.roles[LIST]
        for keyid in list(below.keyids):
            targets.revoke_key(keyid, LIST)
        for number in keys:
            targets.add_key(public_key(key(f"root {number}")), LIST)
        below.threshold = threshold

    stage.heads.change_targets(delegated)
    write_signed(stage.thief.path(LIST), stage.thief.read(LIST).signed, signers)
    if good:
        stage.accepted()
    else:
        stage.refused(f"{LIST} was signed by ./{threshold} keys")


def test_a_key_in_the_root_signs_nothing(stage: MemoryStage) -> None:
    """A higher threshold is not reached by naming a key whose signature nobody gave."""
    second(stage)

    def more(root: Root) -> None:
        root.roles["snapshot"].threshold = 2
        root.roles["snapshot"].keyids.append("0" * 64)
        root.add_key(public_key(key("root 1")), "snapshot")

    stage.heads.change_root(more)
    stage.refused("snapshot was signed by 1/2 keys")
    write_signed(stage.thief.path("snapshot"), stage.thief.read("snapshot").signed, [1], stage.thief.keys["snapshot"])
    stage.accepted()


def test_members_that_nobody_knows_are_kept_and_signed(stage: MemoryStage) -> None:
    """Specification, section 4: whoever meets them includes them in what is verified."""

    def strange(root: Root) -> None:
        root.unrecognized_fields["unknown"] = {"a": [1, "b"]}
        root.roles["root"].unrecognized_fields["unknown"] = "c"
        for known in root.keys.values():
            known.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]

    path = stage.heads.change_root(strange)
    second(stage)
    stage.accepted()
    assert stage.trusted_root == 2
    assert (stage.provider.state / "metadata/root.json").read_bytes() == path.read_bytes()


# --- One key under two ids --------------------------------------------------------------------------------------------

SPELLED: dict[str, Callable[[str], str]] = {
    "the same text": str,
    "without the last line's end": lambda pem: pem.rstrip("\n"),
    "with the line ends of another system": lambda pem: pem.replace("\n", "\r\n"),
    "in shorter lines": lambda pem: "\n".join(wrapped(pem)) + "\n",
    "after a remark": lambda pem: f"of the heads\n{pem}",
    "with blanks at the ends of lines": lambda pem: pem.replace("\n", " \n"),
}
HEXADECIMAL: dict[str, Callable[[str], str]] = {"the same text": str, "capital digits": str.upper}


def wrapped(pem: str) -> list[str]:
    first, *lines, last = pem.strip().split("\n")
    text = "".join(lines)
    return [first, *(text[start : start + 16] for start in range(0, len(text), 16)), last]


ONE_KEY = [
    *(("ed25519", name, spell) for name, spell in HEXADECIMAL.items()),
    *(("ecdsa", name, spell) for name, spell in SPELLED.items()),
    *(("rsa", name, spell) for name, spell in SPELLED.items()),
]


def made_key(kind: str) -> Any:
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else key("twice")


def doubled(kind: str, spell: Callable[[str], str]) -> tuple[CryptoSigner, list[Key]]:
    """A signer, and its public key under two ids."""
    made = CryptoSigner(made_key(kind))
    return made, [made.public_key, under_another_id(made.public_key, 7, spell)]


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(("kind", "name", "spell"), ONE_KEY, ids=[f"{kind} {name}" for kind, name, _ in ONE_KEY])
def test_one_key_under_two_ids_in_the_root(
    stage: MemoryStage, role: str, kind: str, name: str, spell: Callable[[str], str]
) -> None:
    """The heads were made to sign a root in which one stolen key reaches a threshold of two."""
    by, keys = doubled(kind, spell)

    def twice(root: Root) -> None:
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        for entry in keys:
            root.add_key(entry, role)
        root.roles[role].threshold = 2

    root = stage.heads.root()
    root.version = 2
    twice(root)
    path = stage.thief.exports / "metadata/2.root.json"
    second(stage)
    path.write_bytes(signed_twice(root, by, keys if role == "root" else [], stage.heads.keys["root"]))
    if role != "root":
        signed = stage.thief.read(role).signed
        stage.thief.path(role).write_bytes(signed_twice(signed, by, keys))
    stage.refused("one key under two ids")


@pytest.mark.parametrize(("kind", "name", "spell"), ONE_KEY, ids=[f"{kind} {name}" for kind, name, _ in ONE_KEY])
def test_one_key_under_two_ids_in_the_delegation(
    stage: MemoryStage, kind: str, name: str, spell: Callable[[str], str]
) -> None:
    by, keys = doubled(kind, spell)

    def twice(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        for keyid in list(targets.delegations.roles[LIST].keyids):
            targets.revoke_key(keyid, LIST)
        for entry in keys:
            targets.add_key(entry, LIST)
        targets.delegations.roles[LIST].threshold = 2

    second(stage)
    stage.heads.change_targets(twice)
    stage.thief.path(LIST).write_bytes(signed_twice(stage.thief.read(LIST).signed, by, keys))
    stage.refused("one key under two ids")


def test_a_root_with_one_key_under_two_ids_is_no_way_back(stage: MemoryStage) -> None:
    """It is refused at every pull, and once the heads have signed another one all is well."""
    own = public_key(stage.heads.keys["root"])
    stage.heads.change_root(lambda root: root.add_key(under_another_id(own, 7), "root"))
    for _ in range(2):
        stage.refused("one key under two ids")
    stage.heads.change_root(lambda root: root.revoke_key(f"{7:064x}", "root"))
    second(stage)
    stage.accepted()
    assert stage.trusted_root == 3


def test_two_keys_are_two(stage: MemoryStage) -> None:
    stage.heads.change_root(lambda root: root.add_key(public_key(key("root 1")), "root"))
    second(stage)
    stage.accepted()
    assert stage.trusted_root == 2


# --- Way out after a fast-forward: other keys -------------------------------------------------------------------------


def rotated(stage: MemoryStage, *roles: str) -> None:
    """The heads put other keys in the place of the stolen ones."""

    def change(root: Root) -> None:
        for role in roles:
            set_keys(root, role, [1], 1)

    stage.heads.change_root(change)
    for role in roles:
        stage.thief.keys[role] = key("root 1")


@pytest.mark.parametrize(
    ("ahead", "roles"),
    [("timestamp", ("timestamp",)), ("snapshot", ("timestamp", "snapshot")), (LIST, ("timestamp", "snapshot"))],
)
def test_after_a_fast_forward_other_keys_help(stage: MemoryStage, ahead: str, roles: tuple[str, ...]) -> None:
    """Section 5.3.11: what was signed with the old keys counts no more, also against a rollback."""
    high = 4_000_000_000
    if ahead == LIST:
        stage.thief.offer(number=high)
    elif ahead == "snapshot":
        stage.thief.resign("snapshot", lambda signed: setattr(signed, "version", high))
        stage.thief.resign("timestamp", lambda signed: bump(signed, MetaFile(high)))
    else:
        stage.thief.resign("timestamp", lambda signed: setattr(signed, "version", high))
    stage.show()
    with pytest.raises(BlocklistError) if ahead == LIST else does_not_raise():
        stage.provider.pull(stage.now)
    assert trusted(stage, "timestamp" if ahead == "timestamp" else "snapshot")["version"] == high
    stage.back(stage.scene.site.exports)
    stage.refused("not genuine", now=stage.scene.site.now)
    rotated(stage, *roles)
    for role in ("snapshot", "timestamp"):
        stage.thief.resign(role, lambda _: None)
    stage.accepted(stage.scene.site.now)
    assert "four.example" in stage.provider.installed()


@contextmanager
def does_not_raise() -> Iterator[None]:
    yield


# --- Roles below, their names and their order -------------------------------------------------------------------------

NAMES = ["?", "#", "/below", "../../below", "a/b", "a\\b", "%2e%2e%2f", " ", "..", ".", "\u202e", "é", "a.b"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_role_is_only_a_name(stage: MemoryStage, name: str) -> None:
    """It is part of an address and of a file name, and leads out of neither folder."""
    before = {*files_below(stage.provider.folder), *previous(stage)}
    second(stage)
    file = f"{LIST}/hosts.txt"
    stage.thief.delegate(name, {file: stage.thief.read(LIST).signed.targets[file]})
    stage.memory.honest()
    stage.accepted()
    assert f"metadata/1.{quote(name, '')}.json" in stage.memory.paths()
    made = files_below(stage.provider.folder.parent) - before - files_below(stage.thief.exports)
    assert made == {stage.provider.state / "metadata" / f"{quote(name, '')}.json"}


def previous(stage: MemoryStage) -> set[Path]:
    """What an installation leaves beside each target."""
    return {target.path.with_name(f"{target.path.name}.previous") for target in stage.provider.targets}


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def delegate(stage: MemoryStage, graph: dict[str, list[tuple[str, str, bool]]]) -> None:
    """Roles below the list's, all with its key: which others each names, for which files, and whether as the last.

    The hosts file is signed by none of them.
    """
    own = signer(stage.thief.keys[LIST]).public_key
    expires = stage.thief.read(LIST).signed.expires

    def below(name: str) -> Delegations:
        roles = {
            other: DelegatedRole(other, [own.keyid], 1, terminating, [f"{LIST}/{pattern}"])
            for other, pattern, terminating in graph.get(name, [])
        }
        return Delegations({own.keyid: own}, roles)

    role = stage.thief.read(LIST).signed
    role.delegations = below("")
    del role.targets[f"{LIST}/hosts.txt"]
    stage.thief.sign(role)
    names = {other for entries in graph.values() for other, *_ in entries}
    for name in names:
        made = Targets(version=1, expires=expires, targets={}, delegations=below(name))
        stage.thief.sign(made, name=f"1.{name}.json")
    stage.thief.refer({f"{name}.json": 1 for name in names})


GRAPHS: dict[str, tuple[dict[str, list[tuple[str, str, bool]]], str]] = {
    # The roles that each role names (the list's is ""), and the order in which they are asked for hosts.txt.
    "one": ({"": [("a", "*", False)]}, "a"),
    "two": ({"": [("a", "*", False), ("b", "*", False)]}, "ab"),
    "depth first": ({"": [("a", "*", False), ("b", "*", False)], "a": [("c", "*", False), ("d", "*", False)]}, "acdb"),
    "one that is the last": (
        {"": [("a", "*", False), ("b", "*", False)], "a": [("c", "*", True), ("d", "*", False)]},
        "ac",
    ),
    "other files": ({"": [("a", "*.zone", False), ("b", "*", False)], "a": [("c", "*", False)]}, "b"),
    "other files further down": (
        {"": [("a", "*", False), ("b", "*", False)], "a": [("c", "*.zone", False)], "c": [("d", "*", False)]},
        "ab",
    ),
    "other folders": ({"": [("a", "*/*", False), ("b", "h*", False)]}, "b"),
    "a circle": (
        {
            "": [("a", "*", False), ("b", "*", False)],
            "b": [("c", "*", False)],
            "c": [("d", "*", False)],
            "d": [("b", "*", False)],
        },
        "abcd",
    ),
    "two ways to one": (
        {"": [("a", "*", False), ("b", "*", False)], "a": [("c", "*", False)], "b": [("c", "*", False)]},
        "acb",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_roles_are_asked_in_order(stage: MemoryStage, name: str) -> None:
    graph, order = GRAPHS[name]
    second(stage)
    delegate(stage, graph)
    stage.memory.honest()
    stage.refused("hosts.txt is not what")
    asked = [path.split(".")[1] for path in stage.memory.paths(".json") if path.startswith("metadata/1.")]
    assert "".join(asked) == order


def test_roles_without_end_are_left(stage: MemoryStage) -> None:
    second(stage)
    names = [f"r{number}" for number in range(100)]
    graph = {before: [(after, "*", False)] for before, after in zip(["", *names], names, strict=False)}
    delegate(stage, graph)
    stage.memory.honest()
    stage.refused("hosts.txt is not what")
    assert len(stage.memory.paths()) < 50


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["acts.jsonl", f"{LIST}.json"])
def test_a_file_is_the_one_that_was_signed(stage: MemoryStage, tmp_path: Path, word: str) -> None:
    """Other content of the same length, and of another one; nothing of it stays, and the genuine one is taken then."""
    provider = Provider(tmp_path / "new", URL, stage.scene.site.root.read_bytes())
    path = next(path for path in stage.memory.files if path.startswith("targets/") and path.endswith(word))
    good = stage.memory.files[path]
    for other in (good[:-1], good.replace(b'"', b"'", 1), good[::-1], b""):
        stage.memory.files[path] = other
        with pytest.raises(VerificationError):
            provider.pull(stage.now, accept="any")
        assert provider.kept() == {}
    stage.memory.files[path] = good
    assert provider.pull(stage.now, accept="any").changed


def test_file_after_file(stage: MemoryStage) -> None:
    """Between releases the publisher shows other content under the same name: each time the old one stays."""
    lines = [*stage.acts, *stage.scene.news]
    for number in range(3):
        now = stage.now + timedelta(minutes=number)
        stage.thief.offer(lines, now)
        stage.accepted(now)
        path = stage.thief.target_path(stage.thief.read(LIST).signed.targets[f"{LIST}/acts.jsonl"])
        stage.thief.offer(lines, now + timedelta(seconds=1))
        good = path.read_bytes()
        path.write_bytes(good.replace(b"payload", b"PAYLOAD", 1))
        (stage.provider.folder / "installed.rpz").write_text("edited\n")
        stage.provider.acts_path.write_bytes(b"edited\n" * 10_000)
        stage.kept = stage.provider.kept()
        stage.refused("not the file that was signed", now=now + timedelta(seconds=1))
        path.write_bytes(good)
