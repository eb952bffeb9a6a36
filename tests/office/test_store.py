"""The store: append only, one writer at a time wins, nothing acknowledged is lost, and dossiers apart."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit.chain import Chain
from kit.fixed import LIST, names
from kit.postgres import Postgres, only_sqlite
from kit.replaying import fold
from kit.stored import SMALL, folded, forked, next_act

from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.store.database import ConflictError
from blocklist.store.store import Dossier, HeadMemory, Store

# Python 3.12 warns of a fork in a process with threads; a child here takes no lock that a thread may hold.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def place(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> Path:
    """A folder where a register can be made: with files in it, or with the URL of a new database."""
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("server")
        (tmp_path / "register.url").write_text(f"# the office's server\n{server.url(server.database())}\n")
    return tmp_path


@pytest.fixture
def chain() -> Chain:
    return Chain(change=SMALL)


@pytest.fixture
def store(place: Path, chain: Chain) -> Iterator[Store]:
    found = filled(place, chain)
    yield found
    found.close()


def filled(folder: Path, chain: Chain) -> Store:
    store = Store(folder, create=True)
    store.append(LIST, chain.signed, [None] * len(chain.signed))
    return store


def kept_dossiers(folder: Path) -> set[str]:
    with contextlib.closing(Store(folder)) as store:
        return store.dossier_ids()


def raw(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "register.db", isolation_level=None)


# --- Append and read ---------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_as_it_was(store: Store, chain: Chain) -> None:
    assert list(store.lines(LIST)) == chain.lines
    assert store.head(LIST) == chain.head
    assert store.lists() == [LIST]
    assert store.head("other") is None
    assert list(store.lines("other")) == []


def test_a_store_opened_again_holds_the_same(store: Store, chain: Chain, tmp_path: Path) -> None:
    store.close()
    assert folded(tmp_path).head == chain.head
    again = Store(tmp_path, create=True)  # as `init` does when it runs again
    assert again.head(LIST) == chain.head
    again.close()


def test_there_is_no_store_unless_one_was_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no register"):
        Store(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError):
        Store(tmp_path / "missing")


def test_a_store_cannot_be_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError):
        Store(tmp_path / "file", create=True)


@pytest.mark.parametrize(
    "content", [b"not a database, and longer than a header is" * 9, b"SQLite format 3\0" + b"x" * 999]
)
def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "register.db").write_bytes(content)
    store = Store(tmp_path)
    with pytest.raises(VerificationError, match="is not a database any more"):
        store.lists()
    store.close()


def test_an_empty_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "register.db").touch()
    store = Store(tmp_path)
    with pytest.raises(BlocklistError):
        store.lists()
    store.close()


# --- Compare and swap --------------------------------------------------------------------------------------------


def test_of_two_stores_the_second_to_append_is_refused(store: Store, chain: Chain, tmp_path: Path) -> None:
    other = Store(tmp_path)
    head = other.head(LIST)
    first, second = next_act(head, chain.register.id), next_act(head, chain.register.id, by="agent-2")
    store.append(LIST, [first], [None])
    before = list(store.lines(LIST))
    with pytest.raises(ConflictError, match=f"meanwhile: number {first.act.seq}") as caught:
        other.append(LIST, [second], [None])
    assert caught.value.exit_code == 1
    assert list(store.lines(LIST)) == before
    other.append(LIST, [next_act(first.ref, chain.register.id, by="agent-2")], [None])
    other.close()
    assert folded(tmp_path).head.seq == first.act.seq + 1


def test_many_acts_are_appended_together_or_not_at_all(store: Store, chain: Chain) -> None:
    one = next_act(chain.head, chain.register.id)
    two = next_act(one.ref, chain.register.id)
    gap = next_act(Ref(two.act.seq, chain.head.id), chain.register.id)  # its `prev` is taken by `one`
    with pytest.raises(ConflictError):
        store.append(LIST, [one, two, gap], [None] * 3)
    assert store.head(LIST) == chain.head
    store.append(LIST, [one, two], [None] * 2)
    assert store.head(LIST) == two.ref


@pytest.mark.parametrize("create", [True, False])
def test_a_register_is_founded_once(store: Store, chain: Chain, create: bool, tmp_path: Path) -> None:
    again = chain.signed[0] if create else Chain(heads=("head-2",), officers=(), change=SMALL).signed[0]
    with pytest.raises(ConflictError):
        store.append(LIST, [again], [None])
    assert list(store.lines(LIST)) == chain.lines


def test_two_lists_do_not_meet(store: Store, chain: Chain) -> None:
    other = Chain(heads=("head-2",), officers=(), change=SMALL)
    store.append("other", other.signed, [None])
    assert store.lists() == sorted([LIST, "other"])
    assert (store.head(LIST), store.head("other")) == (chain.head, other.head)


def test_sixteen_processes_lose_and_fork_nothing(place: Path, chain: Chain) -> None:
    filled(place, chain).close()
    start, gate = os.pipe()
    writers, each, register = 16, 12, chain.register.id

    def work(number: int) -> Callable[[int], None]:
        def append(pipe: int) -> None:
            os.close(gate)
            os.read(start, 1)  # all of them start when the gate closes
            store, done = Store(place), 0
            while done < each:
                head = store.head(LIST)
                dossier = Dossier.of({"process": number}) if done % 4 == 0 else None
                with contextlib.suppress(ConflictError):
                    signed = next_act(head, register, dossier, by=f"agent-{1 + number % 2}")
                    store.append(LIST, [signed], [dossier])
                    done += 1
                    os.write(pipe, f"{signed.act.seq} {signed.id}\n".encode())
            store.close()

        return append

    children = [forked(work(number)) for number in range(writers)]
    os.close(start)
    os.close(gate)
    acknowledged = {}
    for child, pipe in children:
        with os.fdopen(pipe) as stream:
            lines = stream.read().splitlines()
        assert os.waitpid(child, 0)[1] == 0, lines[-1]
        assert len(lines) == each
        acknowledged |= {int(seq): act for seq, act in map(str.split, lines)}
    found = folded(place)
    assert found.head.seq == len(chain.signed) + writers * each
    assert acknowledged == dict(enumerate(found.ids[len(chain.signed) :], len(chain.signed) + 1))
    store = Store(place)
    with_dossier = [signed for line in store.lines(LIST) if (signed := acts.read_line(line)).act.dossier]
    assert len(with_dossier) == writers * each / 4
    assert all(store.dossier(signed) for signed in with_dossier)
    store.close()
    assert kept_dossiers(place) == {signed.id for signed in with_dossier}


def test_a_process_that_is_killed_loses_nothing_acknowledged(place: Path, chain: Chain) -> None:
    filled(place, chain).close()
    register, known = chain.register.id, dict(enumerate(chain.register.ids, 1))

    def append(pipe: int) -> None:
        store = Store(place)
        while True:
            dossier = Dossier.of({"note": "x" * 5000})
            signed = next_act(store.head(LIST), register, dossier)
            store.append(LIST, [signed], [dossier])
            os.write(pipe, f"{signed.act.seq} {signed.id}\n".encode())

    for round_number in range(30):
        child, pipe = forked(append)
        with os.fdopen(pipe) as stream:
            lines = [stream.readline() for _ in range(round_number % 5)]  # then in the middle of the next one
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines += stream.read().splitlines()
        assert not [line for line in lines if "FAILED" in line]
        known |= {int(seq): act for seq, act in map(str.split, lines)}
        ids = folded(place).ids
        assert known.items() <= dict(enumerate(ids, 1)).items()
    store = Store(place)
    assert all(store.dossier(signed) for line in store.lines(LIST) if (signed := acts.read_line(line)).act.dossier)
    store.close()


@pytest.mark.parametrize("dossier", [None, Dossier.of({"note": "y" * 50_000})])
def test_a_full_disk_appends_nothing(tmp_path: Path, chain: Chain, dossier: Dossier | None) -> None:
    """A limit on the size of files stands for the disk: the same error comes from the same system call."""
    filled(tmp_path, chain).close()
    largest = max(path.stat().st_size for path in tmp_path.iterdir()) + 40_000
    register = chain.register.id

    def append(pipe: int) -> None:
        store = Store(tmp_path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        head = store.head(LIST)
        while True:
            signed = next_act(head, register, dossier)
            try:
                store.append(LIST, [signed], [dossier])
            except TargetError as fault:
                assert store.head(LIST) == head
                os.write(pipe, f"REFUSED {fault.exit_code} {fault.hint}\n".encode())
                return
            head = signed.ref
            os.write(pipe, f"{head.seq} {head.id}\n".encode())

    child, pipe = forked(append)
    with os.fdopen(pipe) as stream:
        *lines, last = stream.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0, last
    assert last.startswith("REFUSED 6 nothing was appended")
    found = folded(tmp_path)
    assert [f"{seq} {act}" for seq, act in enumerate(found.ids, 1)][len(chain.signed) :] == lines
    store = Store(tmp_path)
    signed = next_act(found.head, register, dossier)
    store.append(LIST, [signed], [dossier])  # there is room again
    assert store.dossier(signed) == dossier
    store.close()


@only_sqlite
def test_a_folder_that_cannot_be_written_is_one_sentence(
    store: Store, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("blocklist.base.durable.write_chunks", refuse)
    dossier = Dossier.of({"a": 1})
    with pytest.raises(TargetError, match="Read-only"):
        store.append(LIST, [next_act(chain.head, chain.register.id, dossier)], [dossier])
    assert store.head(LIST) == chain.head


# --- Append only -------------------------------------------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE acts SET envelope = x'00'",
        "UPDATE acts SET envelope = x'00' WHERE seq = 2",
        "UPDATE OR REPLACE acts SET seq = 1 WHERE seq = 2",
        "DELETE FROM acts",
        "DELETE FROM acts WHERE seq = 3",
        "INSERT OR REPLACE INTO acts SELECT list, seq, id, prev, x'00' FROM acts WHERE seq = 2",
        "REPLACE INTO acts SELECT list, seq, 'other', 'another', x'00' FROM acts WHERE seq = 2",
        "REPLACE INTO acts SELECT list, 99, id, 'another', x'00' FROM acts WHERE seq = 2",
        "REPLACE INTO acts SELECT list, 99, 'other', prev, x'00' FROM acts WHERE seq = 2",
        "REPLACE INTO acts SELECT 'x', 99, id, 'another', x'00' FROM acts WHERE seq = 2",
        "INSERT INTO acts SELECT list, seq, 'other', 'another', x'00' FROM acts WHERE seq = 2",
        "INSERT INTO acts SELECT list, 99, 'other', prev, x'00' FROM acts WHERE seq = 2",
        "INSERT INTO acts SELECT * FROM acts WHERE seq = 2 ON CONFLICT DO UPDATE SET envelope = x'00'",
    ],
)
def test_sql_cannot_change_what_was_appended(store: Store, chain: Chain, tmp_path: Path, statement: str) -> None:
    with contextlib.closing(raw(tmp_path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(statement)
    assert list(store.lines(LIST)) == chain.lines


@only_sqlite
def test_the_tables_refuse_a_fork_even_without_triggers(store: Store, chain: Chain, tmp_path: Path) -> None:
    with contextlib.closing(raw(tmp_path)) as connection:
        for trigger in ("acts_update", "acts_delete", "acts_insert"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for columns in ("list, seq, 'other', 'another'", "list, 99, 'other', prev", "'x', 99, id, 'another'"):
            with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
                connection.execute(f"INSERT INTO acts SELECT {columns}, x'00' FROM acts WHERE seq = 2")  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            connection.execute("INSERT INTO acts VALUES ('x', 1, 'other', NULL, x'00')")
    assert list(store.lines(LIST)) == chain.lines


@only_sqlite
def test_a_thief_who_drops_the_triggers_is_found_by_the_chain(store: Store, tmp_path: Path) -> None:
    with contextlib.closing(raw(tmp_path)) as connection:
        connection.execute("DROP TRIGGER acts_delete")
        connection.execute("DELETE FROM acts WHERE seq = 2")
    with pytest.raises(VerificationError, match=r"^act 2: it does not follow act 1"):
        folded(tmp_path)


SWALLOWS = {
    "sqlite": "CREATE TRIGGER swallow BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END",
    "postgres": "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TRIGGER swallow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()",
}


def as_owner(place: Path, kind: str, request: pytest.FixtureRequest, statement: str, file: str = "register.db") -> None:
    """What somebody does to the database who owns it."""
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(place / file)) as connection:
            connection.executescript(statement)
    else:
        server: Postgres = request.getfixturevalue("server")
        server.psql(urlsplit((place / "register.url").read_text().splitlines()[1]).path[1:], statement)


@pytest.mark.parametrize("table", ["acts", "dossiers"])
def test_what_the_database_swallows_was_not_appended(
    store: Store, chain: Chain, place: Path, kind: str, table: str, request: pytest.FixtureRequest
) -> None:
    """A trigger can leave out a row without an error: the command must not say that the act is there."""
    dossier = Dossier.of({"a": 1})
    assert store.dossier_ids() == set()  # which makes the file
    as_owner(
        place, kind, request, SWALLOWS[kind].format(table=table), "register.db" if table == "acts" else "dossiers.db"
    )
    with pytest.raises(TargetError, match="does not keep what is appended: nothing was") as caught:
        store.append(LIST, [next_act(chain.head, chain.register.id, dossier)], [dossier])
    assert "blocklist audit" in caught.value.hint
    assert list(store.lines(LIST)) == chain.lines
    assert store.dossier_ids() == set()


ALTERED = {
    "sqlite": {
        SWALLOWS["sqlite"].format(table="acts"): "swallow",
        "DROP TRIGGER acts_delete": "acts_delete",
        "DROP TRIGGER acts_insert; CREATE TRIGGER acts_insert BEFORE INSERT ON acts BEGIN SELECT 1; END": "acts_insert",
        "CREATE VIEW more AS SELECT * FROM acts": "more",
    },
    "postgres": {
        SWALLOWS["postgres"].format(table="acts"): "swallow",
        "DROP TRIGGER acts_change ON acts": "acts_change",
        "ALTER TABLE acts DISABLE TRIGGER USER": "acts_change",
        "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'": (
            "acts_change"
        ),
        "CREATE RULE swallow AS ON INSERT TO acts DO INSTEAD NOTHING": "swallow",
    },
}


@pytest.mark.parametrize("number", range(5))
def test_what_was_done_to_the_schema_is_named(
    store: Store, place: Path, kind: str, number: int, request: pytest.FixtureRequest
) -> None:
    assert store.alterations() == []
    for statement, name in list(ALTERED[kind].items())[number : number + 1]:
        as_owner(place, kind, request, statement)
        (sentence,) = store.alterations()
        assert f": {name} was added, changed or removed" in sentence


@only_sqlite
@pytest.mark.parametrize("value", ["'text'", "7", "zeroblob(0)", "CAST(envelope AS TEXT) || ' '"])
def test_what_a_thief_writes_into_a_column_is_one_sentence(store: Store, tmp_path: Path, value: str) -> None:
    with contextlib.closing(raw(tmp_path)) as connection:
        connection.execute("DROP TRIGGER acts_update")
        connection.execute(f"UPDATE acts SET envelope = {value} WHERE seq = 2")  # noqa: S608
    with pytest.raises(VerificationError, match=r"^act 2: "):
        folded(tmp_path)


@only_sqlite
def test_every_commit_is_on_disk_before_it_is_acknowledged(store: Store) -> None:
    with store.database.engine(dossiers=False).connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


# --- Dossiers ----------------------------------------------------------------------------------------------------


@only_sqlite
def test_a_dossier_is_kept_apart_and_closed_to_others(store: Store, chain: Chain, tmp_path: Path) -> None:
    mask = os.umask(0)  # the most generous of accounts
    try:
        dossier = Dossier.of({"reference": "confidential-reference", "names": {"domain": ["site.example"], "host": []}})
        signed = next_act(chain.head, chain.register.id, dossier)
        store.append(LIST, [signed], [dossier])
        for path in tmp_path.glob("dossiers.db*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    finally:
        os.umask(mask)
    assert store.dossier(signed) == dossier
    assert store.dossier(signed).members()["reference"] == "confidential-reference"
    store.close()
    for path in tmp_path.glob("register.db*"):
        assert b"confidential" not in path.read_bytes()
        assert b"site.example" not in path.read_bytes()


@only_sqlite
def test_reading_a_register_makes_no_dossiers(store: Store, chain: Chain, tmp_path: Path) -> None:
    list(store.lines(LIST))
    assert store.dossier(chain.signed[1]) is None
    assert not (tmp_path / "dossiers.db").exists()


def test_a_salt_is_new_for_every_dossier() -> None:
    one, two = Dossier.of({"a": 1}), Dossier.of({"a": 1})
    assert one.content == two.content
    assert one.salt != two.salt
    assert one.commitment != two.commitment
    assert len(bytes.fromhex(one.salt)) == 32


@only_sqlite
@pytest.mark.parametrize(
    "change",
    [
        "content = x'7b7d'",
        "content = 1",
        "salt = 'x'",
        "salt = x'00'",
        "salt = substr(salt, 2) || '0'",
        "content = content || ' '",
    ],
)
def test_a_dossier_that_was_altered_is_found(store: Store, chain: Chain, tmp_path: Path, change: str) -> None:
    dossier = Dossier(b'{"a":1}', "5a" * 31 + "5b")
    signed = next_act(chain.head, chain.register.id, dossier)
    store.append(LIST, [signed], [dossier])
    with contextlib.closing(sqlite3.connect(tmp_path / "dossiers.db", isolation_level=None)) as connection:
        connection.execute(f"UPDATE dossiers SET {change}")  # noqa: S608
    with pytest.raises(VerificationError, match=f"the dossier of act {signed.act.seq} was altered"):
        store.dossier(signed)


@only_sqlite
def test_a_dossier_that_was_destroyed_is_none(store: Store, chain: Chain, tmp_path: Path) -> None:
    dossier = Dossier.of({"a": 1})
    signed = next_act(chain.head, chain.register.id, dossier)
    store.append(LIST, [signed], [dossier])
    with contextlib.closing(sqlite3.connect(tmp_path / "dossiers.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM dossiers")
    assert store.dossier(signed) is None


def test_a_refused_act_leaves_no_dossier_behind(store: Store, chain: Chain, tmp_path: Path) -> None:
    kept, lost = Dossier.of({"a": 1}), Dossier.of({"b": 1})
    first = next_act(chain.head, chain.register.id, kept)
    second = next_act(chain.head, chain.register.id, lost, by="agent-2")
    store.append(LIST, [first], [kept])
    with pytest.raises(ConflictError):
        store.append(LIST, [second], [lost])
    assert kept_dossiers(tmp_path) == {first.id}


def test_appending_the_same_act_again_keeps_its_dossier(store: Store, chain: Chain, tmp_path: Path) -> None:
    dossier = Dossier.of({"a": 1})
    signed = next_act(chain.head, chain.register.id, dossier)
    store.append(LIST, [signed], [dossier])
    for again in (dossier, None):
        with pytest.raises(ConflictError):
            store.append(LIST, [signed], [again])
        assert store.dossier(signed) == dossier


@only_sqlite
def test_dossiers_of_another_account_are_one_sentence(
    store: Store, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    dossier = Dossier.of({"a": 1})
    signed = next_act(chain.head, chain.register.id, dossier)
    store.append(LIST, [signed], [dossier])
    store.close()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything, so it is said to be another
    with pytest.raises(UsageError, match="closed to this account"):
        store.dossier(signed)


# --- A copy that cannot be written --------------------------------------------------------------------------------


def listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@only_sqlite
@pytest.mark.parametrize("closed", [True, False])
def test_a_read_only_store_changes_nothing(store: Store, chain: Chain, tmp_path: Path, closed: bool) -> None:
    dossier = Dossier.of({"a": "b"})
    signed = next_act(chain.head, chain.register.id, dossier)
    store.append(LIST, [signed], [dossier])
    if closed:
        store.close()
    before = listing(tmp_path)
    assert any(name.endswith("-wal") for name in before) is not closed
    copy = Store(tmp_path, read_only=True)
    try:
        assert list(copy.lines(LIST)) == [*chain.lines, signed.line()]
        assert copy.dossier(signed) == dossier
        assert (copy.dossier_ids(), copy.mentioning("b")) == ({signed.id}, [signed.id])
        assert copy.ids() == {*chain.register.ids, signed.id}
        assert copy.lists() == copy.every_list() == [LIST]
    finally:
        copy.close()
    assert listing(tmp_path) == before


@only_sqlite
def test_a_read_only_store_without_dossiers_makes_none(store: Store, chain: Chain, tmp_path: Path) -> None:
    store.close()
    copy = Store(tmp_path, read_only=True)
    assert not copy.has_dossiers
    assert copy.dossier_ids() == set()
    copy.close()
    assert [path.name for path in tmp_path.iterdir()] == ["register.db"]


@only_sqlite
def test_a_copy_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("copies")
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    Store(tmp_path, read_only=True).close()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for fault, error, message in (
        (full, TargetError, "could not be copied: No space"),
        (_closed, UsageError, "cannot be read: Permission denied"),
        (lambda *_: (tmp_path / "register.db").touch(), RefusedError, "being written to all the time"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "copyfile", fault)
            with pytest.raises(error, match=message):
                Store(tmp_path, read_only=True)
    assert list(home.iterdir()) == []


def _closed(source: Path, *_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(source))


@only_sqlite
def test_a_damaged_copy_is_named_as_it_is_called(store: Store, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "register.db").write_bytes(b"not a database, and longer than a header is" * 9)
    copy = Store(tmp_path, read_only=True)
    try:
        with pytest.raises(VerificationError, match=f"^{tmp_path}/register.db is not a database"):
            copy.lists()
    finally:
        copy.close()


# --- The memory of the head --------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder


def test_an_older_copy_of_a_register_is_refused(chain: Chain, keys: Path) -> None:
    memory = HeadMemory(keys)
    older = Register()
    for signed in chain.signed:
        older.apply(signed)
    memory.check(chain.register)
    memory.check(older)  # the same
    chain.block("site.example")
    memory.check(chain.register)
    with pytest.raises(VerificationError, match=f"lacks act {chain.head.seq}"):
        memory.check(older)
    memory.check(chain.register)  # still remembered


def test_a_fork_of_a_register_is_refused(chain: Chain, keys: Path) -> None:
    branch = Chain(change=SMALL)
    assert branch.head == chain.head
    memory = HeadMemory(keys)
    chain.propose("site.example")
    memory.check(chain.register)
    for _ in range(3):  # as long, and longer
        branch.propose("other.example")
        with pytest.raises(VerificationError, match=f"lacks act {chain.head.seq}") as caught:
            memory.check(branch.register)
        assert caught.value.exit_code == 3
        assert "an older copy or a fork" in caught.value.hint


def test_a_memory_is_one_of_each_register(chain: Chain, keys: Path) -> None:
    memory = HeadMemory(keys)
    memory.check(chain.register)
    memory.check(Chain(heads=("head-2",), officers=(), change=SMALL).register)
    assert len(list((keys / "seen").iterdir())) == 2
    assert stat.S_IMODE((keys / "seen").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (keys / "seen").iterdir()} == {0o600}


def test_a_memory_goes_with_the_keys(chain: Chain, keys: Path, tmp_path: Path) -> None:
    HeadMemory(keys).remember(chain.register.id, chain.head)
    shutil.copytree(keys, tmp_path / "copy")
    behind = Chain(officers=(), change=SMALL)
    assert behind.register.id == chain.register.id
    with pytest.raises(VerificationError):
        HeadMemory(tmp_path / "copy").check(behind.register)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"seq":1}', b'{"id":"x","seq":"y"}', b'{"id":"x","seq":0}', b"\xff", b"1" * 9999],
)
def test_a_memory_that_is_damaged_is_one_sentence(chain: Chain, keys: Path, content: bytes) -> None:
    HeadMemory(keys).check(chain.register)
    (keys / "seen" / f"{chain.register.id}.json").write_bytes(content)
    with pytest.raises(BlocklistError):
        HeadMemory(keys).check(chain.register)


def test_what_is_appended_while_a_command_reads_is_no_fork(chain: Chain, keys: Path) -> None:
    memory, read = HeadMemory(keys), fold(chain.signed, chain.at)
    chain.block("meanwhile.example")
    HeadMemory(keys).check(chain.register)  # another command, with the same keys
    memory.check(read)


def test_a_store_holds_names_only_where_they_may_be(store: Store, chain: Chain) -> None:
    """A proposal commits to its names; what is stored of it does not tell them."""
    chain.signed = chain.signed[:]
    proposed = chain.propose("secret.example")
    store.append(LIST, [proposed], [Dossier.of({"names": names("secret.example").to_json()})])
    assert b"secret" not in proposed.payload


def test_who_has_no_key_folder_remembers_nothing(chain: Chain, tmp_path: Path) -> None:
    HeadMemory(tmp_path / "nobody").check(chain.register)
    assert list(tmp_path.iterdir()) == []
