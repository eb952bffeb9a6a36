"""PostgreSQL as an office's database: a real server, killed and restarted, with the roles and the SQL that are shipped.

What it has in common with SQLite is in `test_store`, `test_concurrency` and `test_mending`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from kit.chain import Chain
from kit.fixed import LIST
from kit.postgres import OWNER, Postgres, program
from kit.shell import WHY, Shell
from kit.site import Site
from kit.stored import SMALL, folded, forked, next_act

from blocklist.base.errors import TargetError, UnreachableError, UsageError, VerificationError
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.store import postgres, store
from blocklist.store.database import ACTS, ConflictError
from blocklist.store.postgres import SCHEMA, PostgresServer, parsed
from blocklist.store.store import Dossier, Store, configured

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
SECRET = "what-nobody-else-may-read"


@pytest.fixture
def database(server: Postgres) -> str:
    return server.database()


@pytest.fixture
def chain() -> Chain:
    return Chain(change=SMALL)


@pytest.fixture
def place(server: Postgres, database: str, tmp_path: Path, chain: Chain) -> Path:
    """A folder whose register is on the server, with the acts of `chain` in it."""
    become(server, database, tmp_path, "hugo")
    with contextlib.closing(Store(tmp_path)) as made:
        made.append(LIST, chain.signed, [None] * len(chain.signed))
    return tmp_path


def become(server: Postgres, database: str, lists: Path, account: str) -> None:
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "register.url").write_text(server.url(database, account))


@pytest.fixture
def office(empty: Shell, server: Postgres, database: str) -> Shell:
    """A workspace on the server, with bad.example listed and published."""
    become(server, database, empty.office / "lists", "hugo")
    Site(empty.folder, datetime.now(UTC))
    empty("--as", "agent-1", "add", "bad.example", *WHY, "--note", SECRET)
    empty("--as", "agent-2", "approve", "4")
    empty("publish")
    return empty


# --- Who may do what ---------------------------------------------------------------------------------------------

CHANGES = (
    "UPDATE acts SET envelope = ''",
    "DELETE FROM acts",
    "DELETE FROM acts WHERE seq = 3",
    "TRUNCATE acts",
    "INSERT INTO acts SELECT * FROM acts WHERE seq = 2 ON CONFLICT (id) DO UPDATE SET envelope = ''",
    "ALTER TABLE acts DISABLE TRIGGER USER",
    "DROP TRIGGER acts_change ON acts",
    "DROP TABLE acts",
    "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "SET ROLE owner",
    "CREATE TABLE public.others (id int)",
)
READS = ("SELECT count(*) FROM acts", "SELECT count(*) FROM dossiers")
WRITES = ("INSERT INTO acts VALUES ('x', 1, 'i', 'p', '')", "INSERT INTO dossiers VALUES ('a', 's', '')")
NO_DOSSIER = ("UPDATE dossiers SET content = ''", "TRUNCATE dossiers", "DROP TABLE dossiers")
ENDS = ("DELETE FROM dossiers", "SELECT tidy_dossiers()")


def refused(server: Postgres, database: str, account: str, statement: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        server.psql(database, statement, account)
    return str(caught.value.stderr)


@pytest.mark.parametrize("account", ["anna", "hugo", "paul", "aude", "zoe"])
def test_no_account_of_the_office_can_change_what_was_appended(
    server: Postgres, database: str, place: Path, chain: Chain, account: str
) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):  # whoever may read is warned, and nothing is granted
        server.psql(database, "GRANT UPDATE, DELETE ON acts TO PUBLIC", account)
    for statement in (*CHANGES, *NO_DOSSIER):
        said = refused(server, database, account, statement)
        assert "permission denied" in said or "must be owner" in said, said
    assert folded(place).head == chain.head


@pytest.mark.parametrize(
    ("account", "may"),
    [
        ("anna", {*READS, *WRITES}),
        ("hugo", {*READS, *WRITES, *ENDS}),
        ("paul", {READS[0]}),
        ("aude", {*READS}),
        ("zoe", set()),
    ],
)
def test_each_role_may_do_what_its_office_needs_and_no_more(
    server: Postgres, database: str, place: Path, account: str, may: set[str]
) -> None:
    for statement in (*READS, *WRITES, *ENDS):
        if statement in may:
            server.psql(database, f"BEGIN; {statement}; ROLLBACK", account)
        else:
            assert "permission denied" in refused(server, database, account, statement), statement


def test_the_owner_is_kept_from_a_mistake(server: Postgres, database: str, place: Path) -> None:
    for statement in (*CHANGES[:4], "UPDATE acts SET seq = 9 WHERE seq = 2"):
        assert "append only" in refused(server, database, OWNER, statement)


def test_an_owner_who_means_it_is_found_by_the_chain(server: Postgres, database: str, place: Path) -> None:
    server.psql(database, "ALTER TABLE acts DISABLE TRIGGER USER; DELETE FROM acts WHERE seq = 2")
    with pytest.raises(VerificationError, match=r"^act 2: it does not follow act 1"):
        folded(place)


def test_the_tables_refuse_a_fork(server: Postgres, database: str, place: Path) -> None:
    for columns in ("list, seq, 'other', 'another'", "list, 99, 'other', prev", "'x', 99, id, 'another'"):
        statement = f"INSERT INTO acts SELECT {columns}, '' FROM acts WHERE seq = 2"  # noqa: S608
        assert "unique constraint" in refused(server, database, "anna", statement)
    assert "not-null" in refused(server, database, "anna", "INSERT INTO acts VALUES ('x', 1, 'other', NULL, '')")


def test_the_sql_can_be_run_again(server: Postgres, database: str, place: Path, chain: Chain) -> None:
    server.psql(database, SCHEMA.read_text())
    assert folded(place).head == chain.head


def test_the_publishers_account_publishes_and_reads_no_dossier(office: Shell, server: Postgres, database: str) -> None:
    office("--as", "agent-1", "add", "new.example", *WHY)
    office("--as", "agent-2", "approve", "6")
    become(server, database, office.office / "lists", "paul")
    office("publish")
    assert any(b"new.example" in path.read_bytes() for path in office.release.glob("*hosts*"))
    message = "does not let this account do that: permission denied for table"
    office.refused("--as", "agent-1", "add", "third.example", *WHY, code=2, message=message)
    office.refused("dossier", "show", "4", code=2, message=message)
    done = office.json("audit")
    assert (done["faults"], done["dossiers"]["checked"]) == ([], 0)
    assert [remark for remark in done["remarks"] if "dossier" in remark]


def test_the_auditors_account_checks_everything_and_writes_nothing(
    office: Shell, server: Postgres, database: str
) -> None:
    become(server, database, office.office / "lists", "aude")
    done = office.json("audit")
    assert (done["faults"], done["dossiers"]["checked"]) == ([], 1)
    office.refused("--as", "agent-1", "add", "third.example", *WHY, code=2, message="does not let this account")


def test_an_audit_cannot_write_whatever_its_account_may(place: Path, chain: Chain) -> None:
    with contextlib.closing(Store(place, read_only=True)) as reading:
        assert list(reading.lines(LIST)) == chain.lines
        with pytest.raises(TargetError, match="cannot be written"):
            reading.append(LIST, [next_act(chain.head, chain.register.id)], [None])
        with (
            pytest.raises(TargetError, match="read-only transaction"),
            reading.database.writing(dossiers=True) as connection,
        ):
            connection.execute(sa.text("DELETE FROM dossiers"))


# --- Erasing -----------------------------------------------------------------------------------------------------


def on_disk(server: Postgres, database: str) -> bool:
    """Whether the secret stands anywhere in the database's files (the server's log of changes is another matter)."""
    server.psql(database, "CHECKPOINT")
    number = server.psql(database, "SELECT oid FROM pg_database WHERE datname = current_database()").strip()
    files = (Path(server.data) / "base" / number).iterdir()
    return any(SECRET.encode() in path.read_bytes() for path in files)


def test_an_erased_dossier_is_in_no_file_of_the_database(office: Shell, server: Postgres, database: str) -> None:
    assert on_disk(server, database)
    office("--as", "head-1", "dossier", "erase", "4", "--reason", "asked")
    assert not on_disk(server, database)
    done = office.json("audit")
    assert (done["faults"], done["dossiers"]["erased"]) == ([], 1)


def test_an_erasure_while_somebody_reads_is_whole_or_says_so(
    office: Shell, server: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase = ("--as", "head-1", "dossier", "erase", "4", "--reason", "asked")
    monkeypatch.setattr(postgres, "_SESSION", ("SET lock_timeout = '50ms'",))
    reader = sa.create_engine(parsed(server.url(database, "aude")), isolation_level="REPEATABLE READ")
    with reader.connect() as connection:
        connection.execute(sa.text("SELECT count(*) FROM dossiers")).scalar()
        office.refused(*erase, code=6, message="is in use, and what was to be done could not be finished")
        assert on_disk(server, database)
    with reader.connect() as connection:  # one that only might look at dossiers, and has a snapshot from before
        connection.execute(sa.text("SELECT count(*) FROM acts")).scalar()
        office(*erase)
        assert not on_disk(server, database)
    reader.dispose()


def test_an_agents_account_destroys_no_dossier(office: Shell, server: Postgres, database: str) -> None:
    become(server, database, office.office / "lists", "anna")
    erase = ("--as", "head-1", "dossier", "erase", "4", "--reason", "asked")
    office.refused(*erase, code=2, message="permission denied")
    assert on_disk(server, database)


# --- Two writers, a server that dies -----------------------------------------------------------------------------


def test_the_second_writer_waits_and_then_fails(server: Postgres, database: str, place: Path, chain: Chain) -> None:
    register = chain.register.id
    first, second = next_act(chain.head, register), next_act(chain.head, register, by="agent-2")
    ended: list[BaseException] = []

    def append() -> None:
        with contextlib.closing(Store(place)) as other:
            try:
                other.append(LIST, [second], [None])
            except ConflictError as fault:
                ended.append(fault)

    with contextlib.closing(Store(place)) as ours:
        with ours.database.writing() as connection:
            connection.execute(sa.insert(ACTS), [store._row(LIST, first)])
            waiting = threading.Thread(target=append)
            waiting.start()
            while server.psql(database, "SELECT count(*) FROM pg_locks WHERE NOT granted").strip() == "0":
                assert waiting.is_alive()
            assert not ended
        waiting.join()
        assert len(ended) == 1
        assert ours.head(LIST) == first.ref


def test_what_was_acknowledged_is_on_disk_whatever_the_servers_default(
    server: Postgres, database: str, place: Path
) -> None:
    server.psql("postgres", f"ALTER DATABASE {database} SET synchronous_commit = off")
    with contextlib.closing(Store(place)) as ours, ours.database.reading() as connection:
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
    assert server.psql(database, "SHOW fsync").strip() == "on"


def intentions(place: Path, writer: int, register: str):
    """Append acts for ever, each intention until it is acknowledged, as a person who is told 'not known' would."""

    def append(pipe: int) -> None:
        number = 0
        ours = None
        while True:
            with contextlib.suppress(ConflictError, UnreachableError):
                ours = ours or Store(place)
                dossier = Dossier.of({"writer": writer, "number": number})
                head = ours.head(LIST)
                assert head is not None
                signed = next_act(head, register, dossier, by=f"agent-{1 + writer % 2}")
                ours.append(LIST, [signed], [dossier])
                os.write(pipe, f"{signed.act.seq} {signed.id}\n".encode())
                number += 1

    return append


def test_a_server_that_is_killed_loses_nothing_acknowledged_and_doubles_nothing(
    server: Postgres, place: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_WAITS", (0.0, *[0.05] * 200))
    writers = [forked(intentions(place, number, chain.register.id)) for number in range(4)]
    streams = [os.fdopen(pipe) for _child, pipe in writers]
    acknowledged = []
    for how in (server.kill, server.stop, server.kill):
        acknowledged += [stream.readline() for stream in streams for _ in range(3)]  # all of them are at work
        how()
        server.start()
    acknowledged += [stream.readline() for stream in streams for _ in range(3)]
    for child, _pipe in writers:
        os.kill(child, 9)
        os.waitpid(child, 0)
    for stream in streams:
        acknowledged += stream.read().splitlines()
        stream.close()
    assert not [line for line in acknowledged if "FAILED" in line]
    ids = folded(place).ids
    said = [(int(seq), act) for seq, act in map(str.split, acknowledged)]
    assert len(said) == len(set(said)) > 40
    assert set(said) <= set(enumerate(ids, 1))
    with contextlib.closing(Store(place)) as ours:
        signed = [acts.read_line(line) for line in ours.lines(LIST, after=len(chain.signed))]
        kept = [ours.dossier(act) for act in signed]
        assert ours.dossier_ids() == {act.id for act in signed}
    assert None not in kept
    meant = Counter(tuple(dossier.members().values()) for dossier in kept if dossier)
    assert set(meant.values()) == {1}


class Lost:
    """A connection that is lost at the n-th commit, before or after the server did it."""

    def __init__(self, database: PostgresServer, monkeypatch: pytest.MonkeyPatch, when: str, times: int) -> None:
        self.times = times
        real = database.writing

        @contextlib.contextmanager
        def writing(*, dossiers: bool = False) -> Iterator[sa.Connection]:
            lose = self.times > 0
            self.times -= 1
            with contextlib.ExitStack() as stack:
                connection = stack.enter_context(real(dossiers=dossiers))
                yield connection
                if lose and when == "before":
                    raise UnreachableError("lost")
            if lose and when == "after":
                raise UnreachableError("lost")

        monkeypatch.setattr(database, "writing", writing)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_appends_once(
    place: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    dossier = Dossier.of({"a": 1})
    signed = next_act(chain.head, chain.register.id, dossier)
    with contextlib.closing(Store(place)) as ours:
        Lost(ours.database, monkeypatch, when, times=1)
        ours.append(LIST, [signed], [dossier])
        assert list(ours.lines(LIST)) == [*chain.lines, signed.line()]
        assert ours.dossier(signed) == dossier


def test_a_lost_answer_after_which_another_writer_came_is_a_lost_race(
    place: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (next_act(chain.head, chain.register.id, by=f"agent-{number}") for number in (1, 2))
    with contextlib.closing(Store(place)) as first, contextlib.closing(Store(place)) as second:
        real = first._append

        def interrupted(*arguments: object) -> None:
            monkeypatch.setattr(first, "_append", real)
            second.append(LIST, [theirs], [None])
            raise UnreachableError("lost")

        monkeypatch.setattr(first, "_append", interrupted)
        with pytest.raises(ConflictError, match=f"meanwhile: number {theirs.act.seq}"):
            first.append(LIST, [ours], [None])
        assert first.head(LIST) == theirs.ref


def test_what_became_of_an_act_is_said_to_be_unknown_when_it_is(
    place: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_WAITS", (0.0, 0.0))
    signed = next_act(chain.head, chain.register.id)
    with contextlib.closing(Store(place)) as ours:
        Lost(ours.database, monkeypatch, "before", times=9)
        with pytest.raises(UnreachableError, match="lost") as caught:
            ours.append(LIST, [signed], [None])
    assert "whether it was appended is not known" in caught.value.hint
    assert caught.value.exit_code == 5


def test_a_server_that_is_down_is_one_sentence(server: Postgres, office: Shell) -> None:
    server.stop("fast")
    try:
        office.refused("list", code=5, message="the database postgresql://hugo@.* does not answer: ")
        office.refused("--as", "agent-1", "add", "new.example", *WHY, code=5, message="does not answer")
        office.refused("publish", code=5, message="does not answer")
    finally:
        server.start()
    assert office.json("--as", "agent-1", "add", "new.example", *WHY)["act"] == 6


# --- Naming the database -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://anna:geheim@/office", "holds a password"),
        ("postgresql://anna%3Ageheim@/office", "holds a password"),
        ("postgresql:///office?PASSWORD=geheim", "holds a password"),
        ("postgresql:///office?password=geheim", "holds a password"),
        ("postgresql:///office?sslpassword=geheim", "holds a password"),
        ("postgresql:///office?scram_client_key=geheim", "cannot hold scram_client_key"),
        ("postgresql:///office?options=-cfsync%3Doff", "cannot hold options"),
        ("postgresql://db.office.example/office", "how the connection to db.office.example is protected"),
        ("postgresql:///office?host=/run&host=db.office.example", "connection to db.office.example is protected"),
        ("postgresql:///office?host=/run,db.office.example", "is protected"),
        ("postgresql:///office?hostaddr=192.0.2.7", "connection to 192.0.2.7 is protected"),
        ("mysql://anna@/office", "mysql is not a kind of database"),
        ("postgresql+asyncpg:///office", "asyncpg is not a kind"),
        ("sqlite:////office.db", "sqlite is not a kind"),
        ("office", "not the URL of a database"),
        ("postgresql://x:notaport:/y@:", "not the URL|password"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_sentence(
    text: str, message: str, empty: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stands; and what it holds is not shown."""
    with pytest.raises(UsageError, match=message):
        parsed(text)
    lists = empty.office / "lists"
    lists.mkdir(parents=True)
    # A command that would not look at it refuses it all the same.
    typed = (("--store", text, "list"), ("key", "list", "--store", text))
    said = [empty.refused(*words, code=2, message=message) for words in typed]
    (lists / "register.url").write_text(text)
    said.append(empty.refused("list", code=2, message=message))
    (lists / "register.url").unlink()
    monkeypatch.setenv("BLOCKLIST_STORE", text)
    said += [empty.refused("list", code=2, message=message), empty("list", "--help")]
    assert not [shown for shown in said if "geheim" in shown.output]


@pytest.mark.parametrize(
    "text",
    [
        *(f"postgresql://{host}/office" for host in ("", "localhost", "127.0.0.1", "[::1]")),
        "postgresql:///office?host=/var/run/postgresql",
        "postgresql:///office?host=@blocklist",
        "postgresql:///?service=office",
        "postgresql://db.office.example/office?sslmode=prefer",
        "postgresql://db.office.example/office?sslmode=verify-full&sslrootcert=ca.pem&sslcert=a.pem&sslkey=a.key",
    ],
)
def test_a_url_that_says_how_it_is_protected_or_needs_no_protection(text: str) -> None:
    assert parsed(text).drivername == "postgresql+psycopg"


def test_what_protects_the_connection_may_be_said_by_libpqs_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert parsed("postgresql://db.office.example/office").host == "db.office.example"


def test_the_file_with_the_url_holds_one(tmp_path: Path) -> None:
    path = tmp_path / "register.url"
    assert configured(tmp_path) is None
    path.write_text("# where it is\n\n  postgresql:///office  \n")
    assert configured(tmp_path) == ("postgresql:///office", "register.url")
    for content in ("", "# nothing\n", "postgresql:///a\npostgresql:///b\n"):
        path.write_text(content)
        with pytest.raises(UsageError, match="does not hold one URL"):
            configured(tmp_path)


def test_the_variable_wins_over_the_file(
    server: Postgres, office: Shell, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKLIST_STORE", server.url(database, "zoe"))
    office.refused("list", code=2, message="permission denied for table acts")
    monkeypatch.setenv("BLOCKLIST_STORE", server.url(database, "anna"))
    (office.office / "lists/register.url").unlink()
    assert office.acts() == 5


def test_the_option_wins_over_both_before_and_after_the_command(
    server: Postgres, office: Shell, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody, anna = (server.url(database, account) for account in ("zoe", "anna"))
    become(server, database, office.office / "lists", "zoe")
    monkeypatch.setenv("BLOCKLIST_STORE", nobody)
    assert len(office.json("--store", anna, "log")["acts"]) == 5
    assert len(office.json("log", "--store", anna)["acts"]) == 5
    assert len(office.json("--store", nobody, "log", "--store", anna)["acts"]) == 5
    office.refused("log", code=2, message="permission denied for table acts")  # it was for that command alone
    monkeypatch.setenv("BLOCKLIST_STORE", anna)
    office.refused("--store", nobody, "log", code=2, message="permission denied for table acts")
    assert office.acts() == 5


def test_a_register_is_founded_and_kept_where_the_option_says(server: Postgres, database: str, empty: Shell) -> None:
    url = server.url(database)
    empty("--store", url, "init", "--no-passphrase")
    assert empty.json("--store", url, "status")["list"] == LIST
    assert not list((empty.office / "lists").glob("register.*"))
    refused = empty.refused("status", code=2, message="there is no register in")
    assert "if it is on a server, name it with --store or in lists/register.url" in refused.stderr


def test_what_is_due_is_to_be_typed_with_the_database(office: Shell, server: Postgres, database: str) -> None:
    url = server.url(database)
    office("--as", "agent-1", "add", "new.example", *WHY)
    (task,) = office.json("--store", url, "due", "--within", "2w")["tasks"]
    assert task["command"] == f"blocklist -C {office.office} --store '{url}' approve 6"


def test_a_register_in_files_and_a_database_that_is_named_are_one_too_many(
    listed: Shell, server: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url(database)
    message = "holds register.db, and another database is named as well: {}\n.*one of the two is older"
    listed.refused("list", "--store", url, code=2, message=message.format("--store"))
    with monkeypatch.context() as patched:
        patched.setenv("BLOCKLIST_STORE", url)
        listed.refused("list", code=2, message=message.format("BLOCKLIST_STORE"))
    become(server, database, listed.office / "lists", "hugo")
    listed.refused("list", code=2, message=message.format("register.url"))


@pytest.mark.parametrize(
    "command",
    [
        ["subscribe", "https://lists.example/"],
        ["pull"],
        ["rollback"],
        ["verify", "release", "--cert", "seal.pem"],
        ["check", "--resolver", "127.0.0.1", "-c", "subscription.yaml"],
        ["status", "-c", "subscription.yaml"],
        ["lint", "rpz.zone"],
        ["store", "copy", "here", "there"],
        ["demo", "folder"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_without_the_workspaces_register_takes_no_database(command: list[str], empty: Shell) -> None:
    message = "which this command does not use\n.*leave out --store"
    empty.refused("--store", "postgresql:///office", *command, code=2, message=message)
    empty.refused(*command, "--store", "postgresql:///office", code=2, message=message)
    assert not (empty.folder / "folder").exists()


def test_at_a_provider_the_variable_means_nothing(listed: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = listed.subscribe()
    monkeypatch.setenv("BLOCKLIST_STORE", "postgresql:///office")
    listed("pull", "-c", path, "--accept")
    listed("status", "-c", path)
    listed("lint", listed.folder / "isp/rpz.zone")


def test_a_database_without_tables_says_how_they_are_made(server: Postgres, empty: Shell) -> None:
    become(server, server.database(bare=True), empty.office / "lists", OWNER)
    for command in (["list"], ["init", "--no-passphrase"]):
        refused = empty.refused(*command, code=2, message="has no tables for a register")
        assert "blocklist store schema | psql" in refused.stderr


def test_a_database_or_an_account_that_is_not_there_is_one_sentence(server: Postgres, database: str) -> None:
    for url in (server.url("nowhere"), server.url(database, "nobody"), f"postgresql:///x?host={server.folder}/none"):
        with pytest.raises(UnreachableError, match=r"does not answer: .*(not exist|No such file)") as caught:
            Store.at(url)
        assert "\n" not in caught.value.message


def test_the_driver_may_be_missing(server: Postgres, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match="the driver for PostgreSQL is missing") as caught:
        Store.at(server.url(database))
    assert "blocklist[postgres]" in caught.value.hint


def test_a_passphrase_of_the_server_comes_from_libpqs_own_file(
    server: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Path(server.data) / "pg_hba.conf"
    before = settings.read_text()
    server.psql("postgres", "ALTER ROLE anna PASSWORD 'geheim'")
    settings.write_text("local all anna scram-sha-256\nlocal all all trust\n")
    try:
        server.psql("postgres", "SELECT pg_reload_conf()")
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
        with pytest.raises(UnreachableError) as caught:
            Store.at(server.url(database, "anna"))
        assert "geheim" not in caught.value.message
        (tmp_path / "pass").write_text(f"{server.folder}:*:{database}:anna:geheim\n")
        (tmp_path / "pass").chmod(0o600)
        with contextlib.closing(Store.at(server.url(database, "anna"))) as ours:
            assert ours.lists() == []
    finally:
        settings.write_text(before)
        server.psql("postgres", "SELECT pg_reload_conf()")


# --- Backup ------------------------------------------------------------------------------------------------------


def backup(server: Postgres, database: str, path: Path) -> None:
    """As the guide says it."""
    subprocess.run([program("pg_dump"), "-Fc", "-f", path, "-d", server.conninfo(database)], check=True)


def restored(server: Postgres, path: Path) -> str:
    name = server.database(bare=True)
    subprocess.run([program("pg_restore"), "--exit-on-error", "-d", server.conninfo(name), path], check=True)
    return name


def test_a_backup_holds_everything(office: Shell, server: Postgres, database: str, tmp_path: Path) -> None:
    backup(server, database, tmp_path / "office.dump")
    name = restored(server, tmp_path / "office.dump")
    become(server, name, office.office / "lists", "hugo")
    done = office.json("audit")
    assert (done["faults"], done["acts"], done["dossiers"]["checked"]) == ([], 5, 1)
    assert office.json("--as", "agent-1", "add", "new.example", *WHY)["act"] == 6
    for statement in CHANGES[:4]:
        assert "permission denied" in refused(server, name, "hugo", statement)
        assert "append only" in refused(server, name, OWNER, statement)


def test_an_older_backup_is_known_by_every_key_folder(
    office: Shell, server: Postgres, database: str, tmp_path: Path
) -> None:
    backup(server, database, tmp_path / "office.dump")
    office("--as", "agent-1", "add", "new.example", *WHY)
    become(server, restored(server, tmp_path / "office.dump"), office.office / "lists", "hugo")
    for words in (["list"], ["--as", "agent-2", "add", "other.example", *WHY], ["publish"]):
        office.refused(*words, code=3, message="lacks act 6, which these keys have seen")


def test_an_older_backup_is_known_by_the_published_head(
    office: Shell, server: Postgres, database: str, tmp_path: Path
) -> None:
    """Whoever has no memory of the register, such as a publisher on a new machine, compares with the tree."""
    backup(server, database, tmp_path / "office.dump")
    office("--as", "agent-1", "add", "new.example", *WHY)
    office("--as", "agent-2", "approve", "6")
    office("publish")
    become(server, restored(server, tmp_path / "office.dump"), office.office / "lists", "paul")
    for path in (office.keys / "seen").iterdir():
        path.unlink()
    office.refused("publish", code=3, message="act 7 of the last release is not in the register")
    become(server, database, office.office / "lists", "paul")
    office("publish")


def test_acts_are_numbered_from_the_head(place: Path, chain: Chain, server: Postgres, database: str) -> None:
    """The server has no sequence: serial order is not the order of commits."""
    assert server.psql(database, "SELECT count(*) FROM pg_sequences").strip() == "0"
    with contextlib.closing(Store(place)) as ours:
        head = ours.head(LIST)
        assert head == Ref(len(chain.signed), chain.head.id)
