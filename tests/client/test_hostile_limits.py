"""A hostile publisher at the limits: answers of which nothing comes, lengths nobody has, brakes in odd orders."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kit.chain import Chain
from kit.fixed import LIST
from kit.hostile import MINUTE, Scene, fold_anyway, public_key, under_another_id
from kit.memory import URL, Memory, MemoryStage, endless
from kit.provider import Provider
from test_conformance import signed_twice
from test_hostile import MANY, braked, listed, removed
from test_hostile_answers import OK, Wire, read, said, slowly
from test_hostile_answers import way as way
from tuf.api.metadata import MetaFile

from blocklist.base.errors import UsageError
from blocklist.client.transport import HttpsTransport, TransportError
from blocklist.keys.encoding import signer
from blocklist.register.decoders import Ref
from blocklist.release.contents import BrakeError
from blocklist.release.manifest import ACTS


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, memory: Memory) -> MemoryStage:
    return MemoryStage(scene, tmp_path, memory)


# A: the web server alone

GZIP = b"Content-Encoding: gzip\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_the_body_of_a_redirection_is_not_read(way: HttpsTransport, number: int) -> None:
    moved = f"HTTP/1.1 {number} Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n".encode()
    with closing(Wire(said(moved, then=b" " * 65536))) as wire:
        assert way.get(wire.url).status == number
        way.close()
        assert wire.sent < 16_000_000


def test_the_body_of_a_broken_server_is_not_read(way: HttpsTransport) -> None:
    with closing(Wire(said(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n", then=b" " * 65536))) as wire:
        assert way.get(wire.url).status == 503
        way.close()
        assert wire.sent < 64_000_000


NEVER_DONE = {
    "trailers without an end": said(OK, CHUNKED, b"5\r\nhello\r\n0\r\n", then=b"A: b\r\n" * 1000),
    "nothing, compressed": said(OK, GZIP, gzip.compress(b"")[:10], then=EMPTY_BLOCK * 20),
    "nothing, compressed again and again": said(OK, GZIP, then=gzip.compress(b"") * 500),
    "a slow length": slowly(OK, CHUNKED, b"1;", then=b"a" * 1000),
}


@pytest.mark.parametrize("name", NEVER_DONE)
def test_an_answer_of_which_nothing_comes(way: HttpsTransport, name: str) -> None:
    with closing(Wire(NEVER_DONE[name])) as wire:
        with pytest.raises(TransportError, match="too slowly"):
            read(way, wire)
        assert wire.sent < wire.MOST


def test_a_range_of_too_many_digits(way: HttpsTransport) -> None:
    stated = b"bytes " + b"5" * 5000 + b"-9/10"
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: %b\r\n\r\n56789" % stated
    with closing(Wire(said(answer))) as wire, pytest.raises(TransportError, match="another range"):
        read(way, wire, offset=5)


# B: the publisher's keys


@pytest.mark.parametrize("role", ["snapshot", LIST])
def test_a_length_in_the_metadata_is_no_leave_to_send_so_much(stage: MemoryStage, role: str) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    meta = MetaFile(stage.thief.number, length=10**12)
    if role == "snapshot":
        stage.thief.resign("timestamp", lambda signed: setattr(signed, "snapshot_meta", meta))
    else:
        stage.thief.resign("snapshot", lambda signed: signed.meta.update({f"{LIST}.json": meta}))
    stage.memory.honest()
    stage.memory.answer(f"{stage.thief.number}.{role}.json", endless())
    stage.refused("sends more than")
    assert stage.memory.sent < 6_000_000


def test_a_length_of_acts_that_no_register_has(stage: MemoryStage) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: setattr(role.targets[f"{LIST}/{ACTS}"], "length", 10**15))
    stage.memory.honest()
    stage.memory.answer(ACTS, endless())
    stage.refused("more than")
    assert not stage.memory.paths(ACTS)


def test_acts_of_another_register_are_not_read_to_their_end(stage: MemoryStage) -> None:
    """The thief founds a register of its own, of as many acts as it likes."""
    foreign = Chain().lines
    stage.thief.offer([*foreign, b"what is not an act"], stage.now, state=fold_anyway(foreign), head=Ref(99, "9" * 64))
    stage.refused("those of another register")


@pytest.mark.parametrize("name", [5, True, -1])
def test_a_role_below_whose_name_is_no_text(stage: MemoryStage, name: Any) -> None:
    stage.thief.offer()
    stage.thief.resign(LIST, lambda role: role.targets.pop(f"{LIST}/hosts.txt"))
    stage.thief.delegate("below", {})
    path = stage.thief.path(LIST)
    signed = json.loads(path.read_bytes())["signed"]
    signed["delegations"]["roles"][0]["name"] = name
    path.write_bytes(stage.thief.signed_anyhow(LIST, signed))
    stage.refused("not genuine")


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nblocklist: pulled", "\u202e", "\r", "\x85", "\u2028"])
def test_what_the_metadata_say_cannot_forge_a_line_of_the_journal(stage: MemoryStage, text: str) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: role.targets[f"{LIST}/{ACTS}"].hashes.update({"sha256": text}))
    error = stage.refused("is not there", 5)
    assert error.message.isprintable()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now + MINUTE)
    stage.thief.delegate(text, {f"{LIST}/hosts.txt": stage.thief.read(LIST).signed.targets[f"{LIST}/hosts.txt"]})
    stage.thief.resign("snapshot", lambda snapshot: snapshot.meta.pop(f"{text}.json"))
    error = stage.refused("is not part of snapshot|not genuine", now=stage.now + MINUTE)
    assert error.message.isprintable()


# C: one key under two ids


def test_no_root_on_the_way_counts_a_key_twice(stage: MemoryStage) -> None:
    """The heads were made to sign root 2; one stolen key under two ids then signs root 3, which looks as it should."""
    by, folder = signer(stage.heads.keys["root"]), stage.thief.exports / "metadata"
    twice = [by.public_key, under_another_id(by.public_key, 7)]
    root = stage.heads.root()
    root.version = 2
    root.add_key(twice[1], "root")
    root.roles["root"].threshold = 2
    (folder / "2.root.json").write_bytes(signed_twice(root, by, twice))
    root.version = 3
    root.revoke_key(twice[1].keyid, "root")
    root.roles["root"].threshold = 1
    (folder / "3.root.json").write_bytes(signed_twice(root, by, twice))
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    for _ in range(2):
        stage.refused("one key under two ids")


def test_no_root_is_pinned_that_counts_a_key_twice(stage: MemoryStage, tmp_path: Path) -> None:
    own = public_key(stage.heads.keys["root"])
    path = stage.heads.change_root(lambda root: root.add_key(under_another_id(own, 7, str.upper), "root"))
    with pytest.raises(UsageError, match="one key under two ids"):
        Provider(tmp_path / "new", URL, path.read_bytes())
    assert not (tmp_path / "new/list.yaml").exists()


# D: brakes


def test_promise_6_no_release_has_the_number_of_another_one(stage: MemoryStage) -> None:
    """Two releases of one instant: the second one would be let in as the first one was, past the brakes."""
    lines = listed(stage, stage.acts, "x.example", at=stage.now - MINUTE)
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    more = removed(stage, listed(stage, lines, *MANY, at=stage.now), stage.now, "x.example")
    stage.back(stage.scene.first)
    stage.thief.offer(more, stage.now)
    again = MetaFile.from_data(stage.thief.number, stage.thief.path(LIST).read_bytes(), ["sha256"])
    stage.thief.refer({})
    stage.thief.resign("snapshot", lambda snapshot: snapshot.meta.update({f"{LIST}.json": again}))
    (stage.provider.folder / "installed.rpz").write_text("edited\n")
    stage.kept = stage.provider.kept()
    stage.refused("another release of the same instant", now=stage.now + MINUTE)


def test_promise_6_a_whole_list_that_ended_does_not_come_back_unasked(stage: MemoryStage) -> None:
    """Its names were let in once; by now they are additions, and too many."""
    now = stage.now
    names = [f"b{number:02}.example" for number in range(15)], [f"c{number:02}.example" for number in range(15)]
    lines = stage.acts
    for part in names:
        lines = listed(stage, lines, *part, at=now)
        stage.thief.offer(lines, now)
        stage.accepted(now)
        now += MINUTE
    lines = listed(stage, lines, *MANY, at=now)
    for part in names:
        lines = removed(stage, lines, now, *part)
    braked(stage, lines, now)
    now += MINUTE
    for part in names:
        lines = listed(stage, lines, *part, at=now)
    lines = removed(stage, lines, now, *MANY)
    stage.thief.offer(lines, now)
    stage.show()
    outcome = stage.provider.attempt(now)
    assert isinstance(outcome.error, BrakeError)
    assert "b01.example" not in stage.provider.installed()


# E: small ones


def test_a_digest_that_is_no_file_name(scene: Scene, tmp_path: Path) -> None:
    from kit.hostile import Stage

    stage = Stage(scene, tmp_path)
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: role.targets[f"{LIST}/{ACTS}"].hashes.update({"sha256": "a" * 5000}))
    stage.refused("does not answer|not there", 5)


def test_a_pin_without_a_digest_that_we_know(stage: MemoryStage, tmp_path: Path) -> None:
    pin = f"registers/{LIST}.json"
    content = stage.thief.target_path(stage.thief.read("targets").signed.targets[pin]).read_bytes()
    stage.heads.replace(content, "sha512")
    stage.show()
    new = Provider(tmp_path / "new", URL, stage.scene.site.root.read_bytes())
    assert new.pull(stage.now, accept="any").changed
