"""Verified state kept beside the register: equal in everything, and ignored whenever it might not be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.chain import Chain
from kit.effort import EXAMPLES
from kit.fixed import DAY, LIST, SALT, START, WEEK, key_text, names
from kit.history import STEP, History
from kit.random_acts import new_world, step
from kit.replaying import audit
from msgspec import defstruct

from blocklist.base.durable import Written
from blocklist.base.errors import VerificationError
from blocklist.names.domain_name import Names
from blocklist.office.session import act, open_state
from blocklist.register import acts, policy_reader, replay
from blocklist.register.acts import SignedAct
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measure, Officer, Pending
from blocklist.register.replay import Index, State, decode, encode, extend, seal
from blocklist.store.store import Store


class Place:
    """A store on disk with the acts of a chain."""

    def __init__(self, folder: Path, signed: list[SignedAct]) -> None:
        self.folder = folder
        self.now = signed[-1].act.at
        self.store = Store(folder, create=True)
        self.append(signed)

    @property
    def path(self) -> Path:
        return self.folder / "cache" / f"{LIST}.{os.geteuid()}.json"

    def append(self, signed: list[SignedAct]) -> None:
        self.store.append(LIST, signed, [None] * len(signed))
        self.now = signed[-1].act.at

    def open(self) -> State:
        return open_state(self.store, LIST, self.folder, self.now)


@pytest.fixture(scope="module")
def signed() -> list[SignedAct]:
    return History(140, START).chain.signed


@pytest.fixture
def place(tmp_path: Path, signed: list[SignedAct]) -> Iterator[Place]:
    made = Place(tmp_path / "lists", signed)
    yield made
    made.store.close()


@pytest.fixture
def kept(place: Place) -> Place:
    """A place whose state was kept at its head."""
    place.open()
    return place


def replayed(signed: list[SignedAct]) -> State:
    state = State(Register())
    for entry in signed:
        state.register.apply(entry)
        state.index.note(entry)
    return state


def sharing(register: Register) -> list[list[int]]:
    """Which names share a measure: for each name, the place of the first one with the same."""
    scopes = [[id(named[text]) for text in sorted(named)] for _scope, named in register.measures().by_scope()]
    every = [*scopes[0], *scopes[1]]
    return [[every.index(measure) for measure in scope] for scope in scopes]


def assert_same(found: State, expected: State) -> None:
    """Every attribute is equal, whichever there are, and names share their measures as before."""
    assert vars(found.register) == vars(expected.register)
    assert found.register.heads() == expected.register.heads()
    assert sharing(found.register) == sharing(expected.register)
    for text in {name.text for name in expected.register.measures().names()} | {"never.test"}:
        assert found.index.about(text) == expected.index.about(text)


# --- Equal in everything -----------------------------------------------------------------------------------------


def every_kind() -> Chain:
    """A register with acts of all kinds, and something of everything that a register remembers."""
    chain = Chain(heads=("head-1", "head-2"), change={"approvals": {"add": 2, "adopt": 1}})
    for officer, role in (("agent-3", "agent"), ("agent-4", "agent"), ("qualified-1", "qualified-person")):
        chain.appoint(officer, role)
    chain.add_act("head-1", acts.Revoke(officer="agent-4"))
    request = chain.add_act("agent-1", acts.Request(to="host", names=names("a.example", hosts=["www.b.example"])))
    chain.add_act("agent-2", acts.Request(to="platform"))
    chain.add_act("agent-2", acts.Answer(request=request.ref, outcome="refused"))
    chain.tick(2 * DAY)
    wanted = names("a.example", "c.example", hosts=["www.b.example"])
    added = chain.add_act("agent-1", chain.proposal(wanted, basis="not-removed", requests=(request.ref,)))
    for officer in ("agent-2", "head-1"):
        chain.add_act(officer, acts.Approve(act=added.ref, names=wanted, salt=SALT))
    chain.review("a.example", until=chain.at + 5 * WEEK)
    finding = chain.add_act("qualified-1", acts.Recommend(names=names("c.example")))
    chain.add_act("qualified-1", acts.Recommend())
    chain.add_act("head-1", acts.Respond(recommendation=finding.ref, outcome="accepted"))
    chain.remove(hosts=["www.b.example"], reason="annulled")
    rejected = chain.propose("d.example")
    chain.add_act("agent-1", acts.Reject(act=rejected.ref))
    chain.add_act("head-1", acts.Erase(act=added.ref))
    chain.approve(chain.propose("e.example"), "e.example")
    changed = policy_reader.from_json(chain.policy.to_json() | {"protected": [], "platforms": {}})
    for _ in range(2):
        adopt = acts.Adopt(policy=changed.to_json(), files={"list.yaml": "0" * 64}, rules=acts.RULES)
        adopted = chain.add_act("head-1", adopt)
    chain.add_act("head-2", acts.Approve(act=adopted.ref))
    return chain


def test_every_kind_of_act_comes_back() -> None:
    chain = every_kind()
    assert {entry.act.body.kind for entry in chain.signed} == set(acts.KINDS)
    for name, value in vars(chain.register).items():
        assert value, f"{name} holds nothing: this test would not see it get lost"
    state = replayed(chain.signed)
    assert_same(decode(encode(state)), state)
    assert decode(encode(replace(state, seen=Written("0" * 64, 7)))).seen == Written("0" * 64, 7)


def test_other_fields_are_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = {replay._layout()}
    for field in (("more", int), ("ids", list[int]), ("officers", list[tuple[str, str]]), ("measures", list[Measure])):
        with monkeypatch.context() as patch:
            other = defstruct("_Content", [field], bases=(replay._Content,), kw_only=True)
            patch.setattr(replay, "_Content", other)
            layouts.add(replay._layout.__wrapped__())
    assert len(layouts) == 5


def test_what_is_written_apart_has_every_field() -> None:
    """Officers and acts that wait are rows, because a key and an act are texts."""
    hints = get_type_hints(replay._Content)
    for cls, row in ((Officer, hints["officers"]), (Pending, hints["pending"])):
        assert len(fields(cls)) == len(get_args(get_args(row)[0]))


@settings(deadline=None, max_examples=25 * EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from((1, 2)))
def test_state_from_any_cut_and_the_acts_after_it_are_the_register(data: st.DataObject, approvals: int) -> None:
    world = new_world(approvals)
    for _ in range(data.draw(st.integers(1, 12))):
        step(world, data.draw)
    signed, full = world.chain.signed, replayed(world.chain.signed)
    state = State(Register())
    for cut, entry in enumerate(signed, 1):
        state.register.apply(entry)
        state.index.note(entry)
        again = decode(encode(state))
        for later in extend(again.register, (line.line() for line in signed[cut:]), world.chain.at):
            again.index.note(later)
        assert_same(again, full)


# --- Opening -----------------------------------------------------------------------------------------------------


def test_the_state_is_kept_for_this_account_alone(kept: Place, signed: list[SignedAct]) -> None:
    assert kept.path.stat().st_mode & 0o7777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o7777 == 0o1777
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]
    assert_same(kept.open(), replayed(signed))


def test_only_later_acts_are_read_and_what_is_read_is_verified(kept: Place, signed: list[SignedAct]) -> None:
    spoil(kept, 7)
    state = kept.open()
    assert_same(state, replayed(signed))
    assert act(kept.store, state.register, 8).id == signed[7].id
    with pytest.raises(VerificationError, match="act 7 is not the one that was verified"):
        act(kept.store, state.register, 7)
    assert audit(kept.store.lines(LIST), kept.now)[1]
    kept.path.unlink()
    with pytest.raises(VerificationError, match="act 7"):
        kept.open()


def spoil(place: Place, seq: int) -> None:
    """Put another act in the place of one, as a thief of the file would."""
    line = place.store.line(LIST, seq + 1)
    with closing(sqlite3.connect(place.folder / "register.db")) as database, database:
        database.execute("DROP TRIGGER acts_update")
        database.execute("UPDATE acts SET envelope = ? WHERE seq = ?", (line, seq))
    database.close()


def test_an_act_that_is_gone_or_unreadable_is_reported(kept: Place) -> None:
    register = kept.open().register
    with closing(sqlite3.connect(kept.folder / "register.db")) as database, database:
        database.execute("DROP TRIGGER acts_delete")
        database.execute("DROP TRIGGER acts_update")
        database.execute("DELETE FROM acts WHERE seq = 5")
        database.execute("UPDATE acts SET envelope = 'no envelope' WHERE seq = 6")
    database.close()
    with pytest.raises(VerificationError, match="act 5 is not the one"):
        act(kept.store, register, 5)
    with pytest.raises(VerificationError, match="not a DSSE envelope"):
        act(kept.store, register, 6)


def test_an_act_after_the_cache_is_checked_in_full(kept: Place, signed: list[SignedAct]) -> None:
    chain = continued(signed)
    forged = chain.make("agent-1", acts.Request(to="host", names=names("x.test")), signed_by="agent-2")
    kept.append([forged])
    with pytest.raises(VerificationError, match="act 141: it is not signed with the key of agent-1"):
        kept.open()


def continued(signed: list[SignedAct]) -> Chain:
    """A chain to go on with."""
    chain = Chain()
    chain.register, chain.signed, chain.at = replayed(signed).register, list(signed), signed[-1].act.at
    return chain


def test_a_few_acts_are_replayed_and_many_are_kept(kept: Place, signed: list[SignedAct]) -> None:
    chain, before = continued(signed), kept.path.read_bytes()
    kept.append([chain.propose(f"n{number:03d}.test") for number in range(replay.KEEP_AFTER)])
    assert_same(kept.open(), replayed(chain.signed))
    assert kept.path.read_bytes() == before
    kept.append([chain.propose("last.test")])
    kept.open()
    assert decode(kept.path.read_bytes()).register.head == chain.head
    assert_same(kept.open(), replayed(chain.signed))


def test_a_register_of_very_many_names_is_not_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocklist.office.session.MAX_KEPT", 10)
    assert len(place.open().register.measures()) > 10
    assert not place.path.parent.exists()


def test_where_nothing_can_be_written_the_register_opens_all_the_same(place: Place, signed: list[SignedAct]) -> None:
    place.path.parent.write_text("in the way")
    assert_same(place.open(), replayed(signed))
    assert_same(place.open(), replayed(signed))


# --- Ignored -----------------------------------------------------------------------------------------------------


def test_the_cache_of_another_register_is_ignored(kept: Place, tmp_path: Path) -> None:
    other = History(150, START - timedelta(hours=1)).chain.signed
    there = Place(tmp_path / "other", other)
    there.path.parent.mkdir()
    shutil.copy(kept.path, there.path)
    assert_same(there.open(), replayed(other))
    there.store.close()


@pytest.mark.parametrize("fork", [False, True], ids=["an old backup was restored", "the chain was forked"])
def test_a_register_without_the_head_of_the_cache_is_replayed(
    kept: Place, tmp_path: Path, signed: list[SignedAct], fork: bool
) -> None:
    chain = continued(signed[:-1])
    if fork:
        chain.propose("other.test")
    there = Place(tmp_path / "other", chain.signed)
    there.path.parent.mkdir()
    shutil.copy(kept.path, there.path)
    assert_same(there.open(), replayed(chain.signed))
    there.store.close()


def test_the_cache_of_another_list_is_ignored(kept: Place) -> None:
    assert replay.read_own(kept.path, LIST, kept.now) is not None
    assert replay.read_own(kept.path, "another-list", kept.now) is None


def test_a_state_that_is_bound_to_acts_is_ignored(kept: Place) -> None:
    """A publisher's file has no index."""
    kept.path.write_bytes(encode(State(kept.open().register, seen=Written("0" * 64, 1))))
    assert replay.read_own(kept.path, LIST, kept.now) is None


def test_a_clock_that_went_back_is_noticed_as_before(kept: Place) -> None:
    kept.now -= STEP
    with pytest.raises(VerificationError, match="which is in the future"):
        kept.open()


def with_json(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def altered(content: bytes) -> bytes:
        inner = replay.unseal(content)
        assert old in inner
        return seal(inner.replace(old, new, 1))

    return altered


def with_word(place: int) -> Callable[[bytes], bytes]:
    """Another word in the first line: `blocklist cache`, the version, the rules, the layout, the digest."""

    def altered(content: bytes) -> bytes:
        words, rest = content.split(b"\n", 1)[0].split(), content.split(b"\n", 1)[1]
        words[place] += b"0"
        return b" ".join(words) + b"\n" + rest

    return altered


def without(member: str) -> Callable[[bytes], bytes]:
    def altered(content: bytes) -> bytes:
        members = json.loads(replay.unseal(content))
        del members[member]
        return seal(json.dumps(members).encode())

    return altered


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[:-100],
    "another byte": lambda content: content.replace(b"case00001", b"case00002", 1),
    "another version": lambda content: content.replace(b"cache 0", b"cache 9", 1),
    "other rules": with_word(3),
    "another layout": with_word(4),
    "no first line": lambda content: content.partition(b"\n")[2],
    "not JSON": lambda _: seal(b"{"),
    "not UTF-8": lambda _: seal(b'"\xff"'),
    "nested": lambda _: seal(b"[" * 100_000),
    "nested where anything may stand": lambda _: seal(b'{"other":' + b"[" * 100_000),
    "a list": lambda _: seal(b"[]"),
    "null": lambda _: seal(b"null"),
    **{f"no {member}": without(member) for member in replay._Content.__struct_fields__},
    "wrong types": with_json(b'"at":', b'"at":null,"other":'),
    "an instant of nowhere": with_json(b'Z","list_id"', b'","list_id"'),
    "a year too late": with_json(b'"at":"2026', b'"at":"20260'),
    "a key that is none": with_json(b'"holders":{"', b'"holders":{"A'),
    "an act that is none": with_json(b'"pending":[]', b'"pending":[["{",{"seq":1,"id":""},[]]]'),
    "a measure that is none": with_json(b'"measures":[[{"ground"', b'"measures":[[{"other"'),
    "names of no scope": with_json(b'"measures":[[{', b'"measures":[[[],{'),
    "a name that is a number": with_json(b'["case00001.test"],[]]', b"[1],[]]"),
    "a number beyond all numbers": with_json(b'"added":12,', b'"added":1' + b"0" * 5000 + b","),
    "nothing but a first line": lambda _: seal(b""),
    "an empty register": lambda _: encode(State(Register())),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_cache_is_ignored_and_written_anew(
    kept: Place, signed: list[SignedAct], damage: Callable[[bytes], bytes]
) -> None:
    good = kept.path.read_bytes()
    kept.path.write_bytes(damage(good))
    assert kept.path.read_bytes() != good
    assert_same(kept.open(), replayed(signed))
    assert kept.path.read_bytes() == good


def lying(place: Place) -> bytes:
    """A cache that lists a name which nobody approved: whoever believes it fails the test."""
    state = place.open()
    for texts in state.register._measures.values():
        for measure in list(texts.values())[:1]:
            texts["lie.example"] = measure
    return encode(state)


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o600)


FOREIGN: dict[str, Callable[[Path], None]] = {
    "all may write": lambda path: path.chmod(0o666),
    "the group may write": lambda path: path.chmod(0o620),
    "others may read": lambda path: path.chmod(0o644),
    "a link": as_link,
    "a pipe": as_pipe,
    "a folder": as_folder,
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_that_others_can_have_written_is_ignored(
    kept: Place, signed: list[SignedAct], change: Callable[[Path], None]
) -> None:
    content = lying(kept)
    kept.path.write_bytes(content)
    change(kept.path)
    assert_same(kept.open(), replayed(signed))


def test_a_file_of_another_account_is_ignored(
    kept: Place, signed: list[SignedAct], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.path.write_bytes(lying(kept))
    mine = kept.path
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    mine.rename(kept.path)
    assert_same(kept.open(), replayed(signed))


def test_a_very_large_file_is_ignored(kept: Place, signed: list[SignedAct], monkeypatch: pytest.MonkeyPatch) -> None:
    kept.path.write_bytes(lying(kept))
    monkeypatch.setattr(replay, "_MAX_OWN_FILE", 1000)
    assert_same(kept.open(), replayed(signed))


# --- The index ---------------------------------------------------------------------------------------------------


def kinds(chain: Chain, index: Index, text: str) -> list[tuple[int, str]]:
    return [(seq, chain.signed[seq - 1].act.body.kind) for seq in index.about(text)]


def test_the_acts_about_a_name_are_all_that_belong_to_its_measures() -> None:
    chain = every_kind()
    for index in (replayed(chain.signed).index, decode(encode(replayed(chain.signed))).index):
        about_a = [kind for _, kind in kinds(chain, index, "a.example")]
        assert about_a == ["request", "answer", "add", "approve", "approve", "review", "erase"]
        about_b = [kind for _, kind in kinds(chain, index, "www.b.example")]
        assert about_b == ["request", "answer", "add", "approve", "approve", "remove", "erase"]
        about_c = [kind for _, kind in kinds(chain, index, "c.example")]
        assert about_c == ["request", "answer", "add", "approve", "approve", "recommend", "respond", "erase"]
        assert index.about("d.example") == []  # it was proposed and rejected: its name was never signed in the open
        assert index.about("b.example") == []


def test_an_addition_of_another_name_on_the_same_request_is_not_about_this_one() -> None:
    chain = Chain()
    request = chain.add_act("agent-1", acts.Request(to="host", names=names("a.example", "b.example")))
    chain.tick(2 * DAY)
    for text in ("a.example", "b.example"):
        chain.block(text, basis="not-removed", requests=(request.ref,))
    index = replayed(chain.signed).index
    assert index.about("a.example") == [4, 5, 6]
    assert index.about("b.example") == [4, 7, 8]


def test_a_name_in_both_scopes_of_an_act_is_found_once() -> None:
    chain = Chain()
    chain.block("a.example", hosts=["a.example"])
    index = replayed(chain.signed).index
    assert index.about("a.example") == [4, 5]
    index.settle()
    assert index.mentions == {"a.example": [5]}
    assert index.about("a.example") == [4, 5]


@given(st.sets(st.sampled_from("abcdefgh")), st.sampled_from("abcdefghi"))
def test_a_name_is_found_among_sorted_ones(some: set[str], one: str) -> None:
    texts: Any = tuple(sorted(some))
    assert replay._holds(Names(texts, ()), one) == (one in some)
    assert replay._holds(Names((), texts), one) == (one in some)


# --- The history that speed is measured on -----------------------------------------------------------------------


def test_the_history_has_the_size_and_the_end_that_were_asked_for() -> None:
    end: datetime = START + timedelta(microseconds=5)
    history = History(700, end)
    assert len(history.chain.signed) == len(history.dossiers) == 700
    assert timedelta(0) <= START - history.chain.at < STEP
    found = {entry.act.body.kind for entry in history.chain.signed}
    assert found == {"found", "appoint", "request", "answer", "add", "approve", "reject", "review", "recommend"}
    assert key_text("agent-1") == history.chain.register.officers["agent-1"].key.to_base64()
