"""`store repair`, `store restore` and `store copy`, on SQLite and on a real PostgreSQL, by the commands themselves."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import sqlite3
import stat
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.chain import Chain
from kit.fixed import LIST, NONCE
from kit.postgres import OWNER, OnServer, Postgres, only_sqlite
from kit.ready_made import ready_made
from kit.shell import WHY, Shell, listed_site
from kit.site import Site

from blocklist.base.errors import RefusedError, UsageError
from blocklist.keys.encoding import signer
from blocklist.names.domain_name import Name, Scope
from blocklist.office import removal_requests
from blocklist.register import acts
from blocklist.register.acts import Act
from blocklist.store.migrate import copy
from blocklist.store.store import Dossier, Store


@dataclass
class Office:
    """A workspace with bad.example listed and published, and its database as its owner has it."""

    shell: Shell
    server: Postgres | None = None
    database: str = ""

    @property
    def lists(self) -> Path:
        return self.shell.office / "lists"

    def sql(self, statement: str, of: str = "register.db") -> None:
        """What a thief, or a fault, does to the database."""
        if self.server is not None:
            self.server.psql(self.database, statement.replace("x'", "'\\x"))
            return
        with contextlib.closing(sqlite3.connect(self.lists / of, isolation_level=None)) as connection:
            connection.executescript(statement)

    def as_owner(self) -> None:
        if self.server is not None:
            (self.lists / "register.url").write_text(self.server.url(self.database, OWNER))

    def as_head(self) -> None:
        if self.server is not None:
            (self.lists / "register.url").write_text(self.server.url(self.database))

    def lose(self) -> None:
        """The database is gone."""
        if self.server is None:
            (self.lists / "register.db").unlink()
            for left in self.lists.glob("*.db-*"):
                left.unlink()
        else:
            self.database = self.server.database()
            self.as_head()

    def lines(self) -> list[bytes]:
        with contextlib.closing(Store(self.lists)) as store:
            return list(store.lines(LIST))


@pytest.fixture
def office(empty: Shell, kind: str, request: pytest.FixtureRequest) -> Office:
    made = Office(empty)
    if kind == "sqlite":
        ready_made(empty.folder, datetime.now(UTC), listed_site)
    else:
        made.server = request.getfixturevalue("server")
        ready_made(empty.folder, datetime.now(UTC), OnServer(made.server, listed_site))
        made.database = made.server.again(made.lists)
    return made


BAD_TAIL = "INSERT INTO acts SELECT list, 6, '{tail}', id, x'7b7d' FROM acts WHERE seq = 5"


def spoil(office: Office) -> str:
    """An act 6 that does not verify; returns its id."""
    tail = "ab" * 32
    office.sql(BAD_TAIL.format(tail=tail))
    return tail


# --- Repair ------------------------------------------------------------------------------------------------------


def test_a_tail_that_does_not_verify_is_set_aside_and_appending_goes_on(office: Office) -> None:
    shell, before = office.shell, office.lines()
    tail = spoil(office)
    refused = shell.refused("--as", "agent-1", "add", "new.example", *WHY, code=3, message="act 6: ")
    assert "blocklist store repair" in refused.stderr
    office.as_owner()
    done = shell.json("store", "repair")
    assert [entry["seq"] for entry in done["acts"]] == [6]
    assert done["head"]["seq"] == 5
    assert office.lines() == before
    path = Path(done["file"])
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    kept = json.loads(path.read_bytes())
    assert [(entry["id"], base64.b64decode(entry["envelope"])) for entry in kept["acts"]] == [(tail, b"{}")]
    office.as_head()
    assert shell.json("--as", "agent-1", "add", "new.example", *WHY)["act"] == 6
    assert shell.json("audit")["faults"] == []


def test_the_triggers_are_there_again_after_a_repair(office: Office) -> None:
    spoil(office)
    office.as_owner()
    office.shell("store", "repair")
    with pytest.raises((sqlite3.IntegrityError, subprocess.CalledProcessError)):
        office.sql("DELETE FROM acts WHERE seq = 5")
    assert len(office.lines()) == 5


def test_rows_astray_are_set_aside_wherever_their_number_puts_them(office: Office) -> None:
    before = office.lines()
    for seq, mark in ((0, "aa"), (-7, "bb"), (999, "cc")):
        taken = f"list, {seq}, '{mark * 32}', '{mark * 32}', envelope"
        office.sql(f"INSERT INTO acts SELECT {taken} FROM acts WHERE seq = 3")  # noqa: S608
    office.as_owner()
    done = office.shell.json("store", "repair")
    assert [entry["seq"] for entry in done["acts"]] == [-7, 0, 999]
    assert office.lines() == before


def test_nothing_is_repaired_where_nothing_is_wrong(office: Office) -> None:
    assert "nothing to repair; head 5" in office.shell("store", "repair").stderr
    assert not (office.lists / "set-aside").exists()


def test_a_dossier_without_an_act_is_set_aside(office: Office) -> None:
    stranger = "cd" * 32
    row = f"'{stranger}', '{'00' * 32}', x'7b7d'"
    office.sql(f"INSERT INTO dossiers VALUES ({row})", of="dossiers.db")  # noqa: S608
    assert stranger in str(office.shell.json("audit")["remarks"])
    office.as_owner()
    done = office.shell.json("store", "repair")
    assert (done["acts"], done["dossiers"]) == ([], [stranger])
    kept = json.loads(Path(done["file"]).read_bytes())
    assert kept["dossiers"] == [{"act": stranger, "salt": "00" * 32, "content": base64.b64encode(b"{}").decode()}]
    assert office.shell.json("audit")["remarks"] == []


def test_an_act_that_was_published_is_never_set_aside(office: Office) -> None:
    """A keyless account repairs: it remembers nothing, but the tree shows what was published."""
    if office.server is None:
        office.sql("DROP TRIGGER acts_update")
        office.sql("UPDATE acts SET envelope = x'7b7d' WHERE seq = 5")
    else:
        office.sql("ALTER TABLE acts DISABLE TRIGGER USER; UPDATE acts SET envelope = x'7b7d' WHERE seq = 5")
    office.as_owner()
    before = office.lines()
    office.shell.refused("store", "repair", code=3, message="lacks act 5, which these keys have seen")
    shutil.rmtree(office.shell.keys / "seen")
    office.shell.refused("store", "repair", code=3, message="act 5 of the last release is not in the register")
    assert office.lines() == before
    assert not (office.lists / "set-aside").exists()


def test_an_act_that_was_seen_is_never_set_aside(office: Office) -> None:
    office.shell("--as", "agent-1", "add", "new.example", *WHY)
    office.sql("DROP TRIGGER acts_update" if office.server is None else "ALTER TABLE acts DISABLE TRIGGER USER")
    office.sql("UPDATE acts SET envelope = x'7b7d' WHERE seq = 6")
    office.as_owner()
    office.shell.refused("store", "repair", code=3, message="lacks act 6, which these keys have seen")


@only_sqlite
def test_a_register_of_which_nothing_verifies_is_not_repaired(office: Office) -> None:
    office.sql("DROP TRIGGER acts_update; UPDATE acts SET envelope = x'7b7d'")
    office.shell.refused("store", "repair", code=3, message="nothing of the register .* verifies\n.*store restore")


def _append_ahead(office: Office, ahead: timedelta) -> None:
    """An act by an officer whose machine is ahead of the others."""
    with contextlib.closing(Store(office.lists)) as store:
        head = store.head(LIST)
        assert head is not None
        founding = acts.read_line(next(iter(store.lines(LIST))))
        at = datetime.now(UTC).replace(microsecond=0) + ahead
        body = acts.Request(to="platform")
        act = Act(seq=head.seq + 1, at=at, by="agent-1", body=body, nonce=NONCE, register=founding.id, prev=head.id)
        private = Site.at(office.shell.folder, at).keys.private("agent-1")
        store.append(LIST, [acts.sign(act, signer(private))], [None])


def test_an_act_ahead_of_the_clock_is_set_aside_only_if_that_is_said(office: Office) -> None:
    """More often it is this machine's clock that is wrong, and then everything would look like that."""
    _append_ahead(office, timedelta(days=400))
    office.as_owner()
    office.shell.refused("store", "repair", code=1, message="act 6 is dated .* ahead of this clock\n.*--future")
    assert len(office.lines()) == 6
    done = office.shell.json("store", "repair", "--future")
    assert [entry["seq"] for entry in done["acts"]] == [6]
    assert len(office.lines()) == 5


def test_on_a_terminal_it_asks_and_no_changes_nothing(office: Office) -> None:
    spoil(office)
    office.as_owner()
    office.shell.terminal()
    asked = office.shell("store", "repair", expect=130, input="n\n")
    assert "act 6: " in asked.stderr
    assert len(office.lines()) == 6
    office.shell("store", "repair", input="y\n")
    assert len(office.lines()) == 5


def test_a_repair_that_cannot_write_its_file_deletes_nothing(office: Office) -> None:
    spoil(office)
    office.as_owner()
    (office.lists / "set-aside").write_text("a file where the folder goes")
    office.shell.refused("store", "repair", code=6, message="could not be written")
    assert len(office.lines()) == 6


def test_on_a_server_the_owner_alone_repairs(office: Office, kind: str) -> None:
    spoil(office)
    if kind == "postgres":
        office.shell.refused("store", "repair", code=2, message="does not let this account")
        assert len(office.lines()) == 6
    else:
        office.shell("store", "repair")
        assert len(office.lines()) == 5


# --- Restore -----------------------------------------------------------------------------------------------------


def test_a_lost_register_is_made_again_from_a_release(office: Office) -> None:
    shell, before = office.shell, office.lines()
    published = shell.release / "acts.jsonl"
    assert published.read_bytes() == b"".join(line + b"\n" for line in before)
    office.lose()
    assert "store restore" in shell.refused("--as", "agent-1", "list", code=2, message="no register").stderr
    done = shell.json("store", "restore", published)
    assert (done["head"]["seq"], done["dossiers"]["of"]) == (5, 1)
    assert done["dossiers"]["here"] == (0 if office.server else 1)  # dossiers.db is a file of its own, and was not lost
    assert office.lines() == before
    shell("publish")
    assert shell.json("--as", "agent-1", "add", "new.example", *WHY)["act"] == 6


def test_a_register_that_is_there_is_never_replaced(office: Office) -> None:
    office.shell("--as", "agent-1", "add", "new.example", *WHY)
    before = office.lines()
    (office.shell.keys / "seen").rename(office.shell.folder / "elsewhere")
    office.shell.refused("store", "restore", office.shell.release / "acts.jsonl", code=1, message="already")
    assert office.lines() == before


def test_an_older_file_than_what_was_seen_or_published_is_refused(office: Office) -> None:
    shell, lines = office.shell, office.lines()
    older = shell.folder / "older.jsonl"
    older.write_bytes(b"".join(line + b"\n" for line in lines[:4]))
    office.lose()
    shell.refused("store", "restore", older, code=3, message="act 5 of the last release is not in the register")
    shutil.rmtree(shell.office / "exports")
    shell.refused("store", "restore", older, code=3, message="lacks act 5, which these keys have seen")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], "act 3: "),
        (lambda lines: [*lines[:4], lines[4].replace(b"payload", b"payl0ad")], "act 5: "),
        (lambda lines: [], "holds no act"),
        (lambda lines: [line.removesuffix(b"\n") for line in lines], "act 1: |too long or was cut off"),
    ],
)
@only_sqlite
def test_acts_that_do_not_verify_are_not_restored(office: Office, change, message: str) -> None:
    shell = office.shell
    path = shell.folder / "acts.jsonl"
    path.write_bytes(b"".join(change((shell.release / "acts.jsonl").read_bytes().splitlines(keepends=True))))
    office.lose()
    shell.refused("store", "restore", path, code=3, message=message)
    assert not (office.lists / "register.db").exists()


@only_sqlite
def test_another_register_is_not_restored(office: Office) -> None:
    """Anybody can found a register for this list, and sign all of it."""
    shell = office.shell
    foreign = Chain()
    path = shell.folder / "foreign.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in foreign.lines))
    genuine = json.loads((office.lists / "trust" / f"{LIST}.register.json").read_bytes())["register"]
    office.lose()
    shell.at(foreign.at)
    shell.refused("store", "restore", path, code=3, message=f"not of {genuine}")
    shell.refused("store", "restore", path, "--register", foreign.register.id, code=3, message="are those of register")
    shutil.rmtree(office.lists / "trust")
    shell.refused("store", "restore", path, code=2, message="nothing says which register")
    shell.refused("store", "restore", path, "--register", genuine, code=3, message=f"not of {genuine}")
    assert not (office.lists / "register.db").exists()
    assert shell.json("store", "restore", path, "--register", foreign.register.id)["head"]["seq"] == 3


@only_sqlite
def test_a_file_that_is_not_there_is_not_restored(office: Office) -> None:
    office.lose()
    office.shell.refused("store", "restore", "nothing.jsonl", code=2, message="nothing.jsonl cannot be read")
    path = office.shell.release / "acts.jsonl"
    office.shell.refused("--list", "other", "store", "restore", path, code=2, message="holds the list")


# --- Copy --------------------------------------------------------------------------------------------------------


def content(store: Store) -> tuple[list[bytes], list[Dossier | None]]:
    lines = list(store.lines(LIST))
    return lines, [store.dossier(acts.read_line(line)) for line in lines]


def place(office: Office) -> str:
    return str(office.lists) if office.server is None else office.server.url(office.database)


@pytest.fixture
def target(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A new database of the other kind."""
    if kind == "postgres":
        return str(tmp_path / "moved")
    server: Postgres = request.getfixturevalue("server")
    return server.url(server.database())


def test_a_register_moves_to_the_other_kind_of_database_and_back(office: Office, target: str, tmp_path: Path) -> None:
    done = office.shell.json("store", "copy", place(office), target)
    assert done["lists"][0]["new"] == 5
    office.shell("store", "copy", target, str(tmp_path / "back"))
    with contextlib.closing(Store(office.lists)) as store:
        before = content(store)
    assert [dossier for dossier in before[1] if dossier]
    for there in (target, str(tmp_path / "back")):
        with contextlib.closing(Store.at(there)) as store:
            assert content(store) == before


def test_a_workspace_goes_on_at_the_new_place(office: Office, target: str) -> None:
    shell = office.shell
    shell("store", "copy", place(office), target)
    if office.server is None:
        (office.lists / "register.url").write_text(target)
        refused = shell.refused("list", code=2, message="holds register.db, and another database is named as well")
        assert "move register.db" in refused.stderr
        for path in office.lists.glob("*.db*"):
            path.rename(shell.folder / path.name)
    else:
        (office.lists / "register.url").unlink()
        for path in Path(target).iterdir():
            path.rename(office.lists / path.name)
    assert shell.json("audit")["faults"] == []
    assert shell.json("--as", "agent-1", "add", "new.example", *WHY)["act"] == 6
    shell("--as", "agent-2", "approve", "6")
    shell("publish")


def test_a_second_copy_takes_what_is_new(office: Office, target: str) -> None:
    shell = office.shell
    shell("store", "copy", place(office), target)
    shell("--as", "agent-1", "add", "new.example", *WHY)
    shell("--as", "head-1", "dossier", "erase", "4", "--reason", "asked")
    assert [entry["new"] for entry in shell.json("store", "copy", place(office), target)["lists"]] == [2]
    with contextlib.closing(Store(office.lists)) as store, contextlib.closing(Store.at(target)) as copied:
        assert content(copied) == content(store)
        assert copied.dossier_ids() == store.dossier_ids()
        assert len(copied.dossier_ids()) == 2  # act 6, and the reason of the erasure
    assert [entry["new"] for entry in shell.json("store", "copy", place(office), target)["lists"]] == [0]


def test_a_copy_that_was_cut_off_between_a_dossier_and_its_act_goes_on(office: Office, target: str) -> None:
    with contextlib.closing(Store(office.lists)) as store, contextlib.closing(Store.at(target, create=True)) as copied:
        signed = acts.read_line(list(store.lines(LIST))[3])
        kept = store.dossier(signed)
        assert kept is not None
        copied.add_dossiers({signed.id: kept})
        assert copy(store, copied, datetime.now(UTC))[0].new == 5
        assert content(copied) == content(store)


def test_a_copy_never_goes_over_another_register(office: Office, target: str) -> None:
    branch = Chain()
    with contextlib.closing(Store.at(target, create=True)) as other:
        other.append(LIST, branch.signed, [None] * len(branch.signed))
    office.shell.refused("store", "copy", place(office), target, code=1, message="has another act 1")
    office.shell.refused("store", "copy", target, place(office), code=1, message="has another act 1")
    with contextlib.closing(Store.at(target)) as other:
        assert list(other.lines(LIST)) == branch.lines


def test_a_copy_does_not_go_backwards(office: Office, target: str) -> None:
    shell = office.shell
    shell("store", "copy", place(office), target)
    shell("--as", "agent-1", "add", "new.example", *WHY)
    shell.refused("store", "copy", target, place(office), code=1, message="has another act 6")
    assert len(office.lines()) == 6


def test_a_register_that_does_not_verify_is_not_moved(office: Office, target: str) -> None:
    spoil(office)
    office.shell.refused("store", "copy", place(office), target, code=3, message="act 6: ")


def test_a_dossier_that_was_altered_is_not_moved(office: Office, target: str) -> None:
    office.sql("UPDATE dossiers SET content = x'7b7d'", of="dossiers.db")
    office.shell.refused("store", "copy", place(office), target, code=3, message="the dossier of act 4 was altered")


@only_sqlite
def test_there_has_to_be_something_to_copy(office: Office, target: str, tmp_path: Path) -> None:
    shell = office.shell
    shell.refused("store", "copy", str(tmp_path / "nowhere"), target, code=2, message="there is no register")
    shell.refused("store", "copy", target, str(tmp_path / "copy"), code=2, message="holds no register")
    shell.refused("store", "copy", "mysql://somewhere/x", target, code=2, message="mysql is not a kind of database")


def test_what_is_appended_while_it_is_copied_is_said(office: Office, target: str, monkeypatch) -> None:
    with contextlib.closing(Store(office.lists)) as store, contextlib.closing(Store.at(target, create=True)) as copied:
        real, site = copied.append, Site.at(office.shell.folder, datetime.now(UTC))

        def append(*arguments: object) -> None:
            real(*arguments)
            with site.office("agent-1") as opened:
                removal_requests.request(
                    opened, [Name("page.example", Scope.HOST)], "host", "abuse@host.example", [], "", []
                )

        monkeypatch.setattr(copied, "append", append)
        with pytest.raises(RefusedError, match="written to while it was copied"):
            copy(store, copied, datetime.now(UTC))
        monkeypatch.undo()
        assert copy(store, copied, datetime.now(UTC))[0].new == 1


def test_the_sql_is_printed_for_the_administrator(empty: Shell) -> None:
    assert "CREATE TABLE IF NOT EXISTS public.acts" in empty("store", "schema", where=False).stdout


def test_a_copy_needs_dossiers_to_be_readable(server: Postgres, tmp_path: Path) -> None:
    name, chain = server.database(), Chain()
    with contextlib.closing(Store.at(server.url(name))) as store:
        store.append(LIST, chain.signed, [None] * len(chain.signed))
    with (
        contextlib.closing(Store.at(server.url(name, "paul"))) as closed,
        contextlib.closing(Store.at(str(tmp_path / "copy"), create=True)) as copied,
        pytest.raises(UsageError, match="does not let this account"),
    ):
        copy(closed, copied, chain.at)
