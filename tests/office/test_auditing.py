"""The audit: each thing that can be wrong with a register, its dossiers, evidence and releases is found and named."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from kit.fixed import DAY, HOUR, LIST, START
from kit.ready_made import ready_made
from kit.site import Site

from blocklist.audit.audit import Audit, audit_workspace
from blocklist.base.errors import UsageError
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Names, Scope
from blocklist.office import approve, propose
from blocklist.register import acts
from blocklist.store.store import Dossier
from blocklist.workspace import Workspace


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Acts 1 to 7: bad.example is listed (4, 5), published, and removed (6) with another proposed (7)."""
    return ready_made(tmp_path, START, _two_releases)


def _two_releases(folder: Path, now: datetime) -> Site:
    found = Site(folder, now)
    found.block("bad.example")
    found.publish()
    found.now += HOUR
    found.remove("bad.example")
    with found.office("agent-1") as office:
        propose.propose(office, [Name("worse.example", Scope.DOMAIN)], found.proposal(reference="secret-reference"))
    found.publish()
    return found


def audited(site: Site, folder: Path | None = None) -> Audit:
    workspace = Workspace(folder or site.workspace.path, KeyFolder(site.folder / "no-keys", lambda _: b""))
    return audit_workspace(workspace, site.now)


def faults(site: Site) -> list[tuple[int | None, str]]:
    return [(fault.act, fault.message) for fault in audited(site).faults]


def execute(site: Site, database: str, *statements: str) -> None:
    """What a thief does who owns the files."""
    with contextlib.closing(sqlite3.connect(site.workspace.lists / database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def altered(site: Site, *statements: str) -> None:
    """The same, by one who puts the triggers back."""
    with contextlib.closing(sqlite3.connect(site.workspace.lists / "register.db")) as connection:
        triggers = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    drops = [f"DROP TRIGGER {name}" for name in triggers]
    execute(site, "register.db", *drops, *statements, *triggers.values())


def listing(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def last_release(site: Site) -> Path:
    return sorted((site.exports / LIST).glob("2*Z"))[-1]


def first_release(site: Site) -> Path:
    return sorted((site.exports / LIST).glob("2*Z"))[0]


# --- An honest office --------------------------------------------------------------------------------------------


def test_it_counts_what_it_checked(site: Site) -> None:
    result = audited(site)
    assert (result.acts, result.dossiers, result.erased, result.absent) == (7, 2, 0, 0)
    assert (result.evidence, result.releases) == (1, 2)
    assert (result.list_id, result.environment, result.register) == (LIST, "test", site.founded.register)
    assert (result.faults, result.remarks) == ((), ())


def test_it_says_how_far_it_is(site: Site) -> None:
    told: list[tuple[str, int, list[int]]] = []

    @contextlib.contextmanager
    def progress(label: str, length: int):
        steps: list[int] = []
        told.append((label, length, steps))
        yield steps.append

    audit_workspace(site.workspace, site.now, progress)
    assert [(label, length, sum(steps)) for label, length, steps in told] == [
        ("acts", 7, 7),
        ("dossiers and evidence", 2, 2),
    ]


def test_it_changes_nothing_and_needs_no_key(site: Site, tmp_path: Path) -> None:
    before = listing(site.workspace.path)
    assert audited(site).faults == ()
    assert listing(site.workspace.path) == before
    assert not (tmp_path / "no-keys").exists()


def test_a_writer_that_is_still_there_is_read_with_its_log(site: Site) -> None:
    with site.office("agent-1") as office:
        approve.reject(office, 7, "withdrawn")
        assert (site.workspace.lists / "register.db-wal").stat().st_size > 0
        before = listing(site.workspace.lists)
        result = audited(site)
        assert listing(site.workspace.lists) == before
    assert (result.acts, result.faults) == (8, ())


def test_a_bare_copy_of_the_register_is_enough(site: Site, tmp_path: Path) -> None:
    (tmp_path / "copy/lists").mkdir(parents=True)
    shutil.copy(site.workspace.lists / "register.db", tmp_path / "copy/lists")
    result = audited(site, tmp_path / "copy")
    assert (result.acts, result.dossiers, result.absent, result.releases, result.faults) == (7, 0, 2, 0, ())
    assert [remark.split(",")[0] for remark in result.remarks] == [
        "no published tree is here",
        "no dossiers are here",
    ]
    assert [path.name for path in (tmp_path / "copy/lists").iterdir()] == ["register.db"]


def test_a_release_is_audited_where_it_lies_and_where_it_was_carried(site: Site, tmp_path: Path) -> None:
    here = audited(site, last_release(site))
    assert (here.acts, here.releases, here.faults) == (7, 1, ())
    shutil.copytree(last_release(site), tmp_path / "release")
    carried = audited(site, tmp_path / "release")
    assert (carried.acts, carried.releases, carried.faults) == (7, 0, ())
    lines = (tmp_path / "release/acts.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "release/acts.jsonl").write_bytes(b"".join(lines[:4] + lines[5:]))
    assert audited(site, tmp_path / "release").faults[0].act in (5, 6)
    (tmp_path / "release/acts.jsonl").write_bytes(b"")
    assert [fault.message for fault in audited(site, tmp_path / "release").faults] == ["there are no acts"]


def test_there_has_to_be_something(tmp_path: Path, site: Site) -> None:
    with pytest.raises(UsageError, match="there is no register in"):
        audited(site, tmp_path / "nothing")


# --- Acts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "act", "message"),
    [
        ("UPDATE acts SET envelope = CAST(replace(envelope, 'Type', 'Tipe') AS BLOB) WHERE seq = 5", 5, "not a DSSE"),
        ("DELETE FROM acts WHERE seq = 6", 7, "does not follow"),
        ("UPDATE acts SET id = '" + "0" * 64 + "' WHERE seq = 5", 5, "row in the database is not about this act"),
        ("UPDATE acts SET prev = 'x' WHERE seq = 2", 2, "row in the database is not about this act"),
        ("UPDATE acts SET seq = 99 WHERE seq = 7", 7, "row in the database is not about this act"),
        ("DELETE FROM acts WHERE seq = 1", 1, "does not found a register"),
        ("DELETE FROM acts WHERE seq = 7", 7, "its head"),
    ],
)  # fmt: skip
def test_an_altered_table_is_found(site: Site, statement: str, act: int, message: str) -> None:
    altered(site, statement)
    assert any(number == act and message in text for number, text in faults(site)), faults(site)


def test_an_empty_table_is_no_register(site: Site) -> None:
    altered(site, "DELETE FROM acts")
    with pytest.raises(UsageError, match="holds no register"):
        faults(site)


def test_faults_come_in_the_order_of_the_acts(site: Site) -> None:
    execute(site, "dossiers.db", "UPDATE dossiers SET salt = 'x'")
    altered(site, "UPDATE acts SET prev = 'x' WHERE seq = 2")
    (last_release(site) / "hosts.txt").unlink()
    numbers = [number for number, _message in faults(site)]
    assert numbers[:3] == [2, 4, 7]
    assert numbers == sorted(numbers)
    known = [number for number in numbers if number is not None]
    assert known == sorted(known)


# --- Dossiers and evidence ---------------------------------------------------------------------------------------


def dossier_of(site: Site, seq: int) -> str:
    with site.office() as office:
        return office.act(seq).id


def test_a_lost_dossier_is_found(site: Site) -> None:
    execute(site, "dossiers.db", f"DELETE FROM dossiers WHERE act = '{dossier_of(site, 4)}'")  # noqa: S608
    assert faults(site) == [(4, "its dossier is not there")]
    assert len(audited(site).remarks) == 0  # act 7 names the same evidence


@pytest.mark.parametrize("change", ["content = content || x'20'", "salt = 'x'", "content = 'text'", "content = 1"])
def test_an_altered_dossier_is_found(site: Site, change: str) -> None:
    execute(site, "dossiers.db", f"UPDATE dossiers SET {change} WHERE act = '{dossier_of(site, 4)}'")  # noqa: S608
    assert faults(site) == [(4, "the dossier of act 4 was altered")]


def test_a_proposal_whose_dossier_holds_other_names_is_found(site: Site) -> None:
    """Its author signed a commitment to other names than those in the dossier that he left."""
    with site.office("agent-1") as office:
        salt = "5a" * 32
        body = acts.Add(
            commitment=Names(("other.example",)).commitment(salt),
            count=1,
            ground="apology",
            basis="no-identification",
            review_by=office.review_until(),
        )
        office.state(body, names=Names(("shown.example",)).to_json(), salt=salt)
        office.state(acts.Reject(act=office.pending(7).ref), names=7, evidence=[{"sha256": "../x"}, 7])
    assert faults(site) == [
        (8, "its dossier holds other names than were signed"),
        (9, "its evidence None has no SHA-256"),
    ]


def test_a_dossier_of_nobody_is_remarked(site: Site) -> None:
    """A command that died between the dossier and its act leaves one: no fault of the register."""
    execute(site, "dossiers.db", "INSERT INTO dossiers VALUES ('abcd', 'x', x'00')")
    result = audit_workspace(site.workspace, site.now)
    assert (result.faults, result.remarks) == ((), ("a dossier belongs to no act: abcd",))


def test_lost_evidence_is_found(site: Site) -> None:
    (path,) = (site.workspace.lists / "evidence").iterdir()
    path.unlink()
    message = f"its evidence 'imprint.txt' is not there: {path.name}"
    assert faults(site) == [(4, message), (7, message)]
    path.write_bytes(b"x")
    assert "has another size" in faults(site)[0][1]
    path.write_bytes(b"no name, no ADDRESS\n")
    assert "was altered" in faults(site)[0][1]


def test_evidence_of_no_dossier_is_a_remark(site: Site) -> None:
    (site.workspace.lists / "evidence" / ("5a" * 32)).write_bytes(b"x")
    result = audited(site)
    assert (result.faults, result.remarks) == ((), (f"a file of evidence is named by no dossier: {'5a' * 32}",))


def test_an_account_without_dossiers_audits_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "dossiers" not in str(path) and real(path, mode))
    result = audited(site)
    assert (result.acts, result.dossiers, result.absent, result.faults) == (7, 0, 2, ())
    assert "closed to this account" in result.remarks[0]


# --- Releases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [first_release, last_release])
@pytest.mark.parametrize("name", ["rpz.zone", "hosts.txt", "changes.json", "announced.json", "acts.jsonl"])
def test_a_flipped_byte_of_any_release_is_found(site: Site, which: Callable[[Site], Path], name: str) -> None:
    path = which(site) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it is linked under another name
    path.write_bytes(content)
    head = 5 if which is first_release else 7
    assert (head, f"release {path.parent.name}: {name} is not the file that was sealed") in faults(site)


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.p7s"])
def test_a_forged_seal_is_found(site: Site, name: str) -> None:
    path = first_release(site) / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(
        content.replace(b"1 name", b"0 name") if name == "SHA256SUMS" else content[:-1] + bytes([content[-1] ^ 1])
    )
    found = faults(site)
    assert found[0][0] is None
    assert found[0][1].startswith(f"release {path.parent.name}: the ")


def test_a_seal_of_another_authority_is_found(site: Site, tmp_path: Path) -> None:
    """A thief of the whole tree seals with an authority of his own, and puts its certificate there."""
    other = Site(tmp_path / "thief", START)
    shutil.copy(other.exports / "seal.pem", site.exports / "seal.pem")
    for name in ("SHA256SUMS", "SHA256SUMS.p7s"):
        (first_release(site) / name).unlink()
    other.block("bad.example")
    other.publish()
    for name in ("SHA256SUMS", "SHA256SUMS.p7s"):
        shutil.copy(first_release(other) / name, first_release(site) / name)
    assert any("the seal" in message and "release" in message for _number, message in faults(site))


def test_a_lost_file_of_a_release_is_found(site: Site) -> None:
    (first_release(site) / "rpz.zone").unlink()
    assert faults(site) == [(5, f"release {first_release(site).name}: rpz.zone is not there")]


def test_a_pruned_release_is_a_remark(site: Site) -> None:
    for path in first_release(site).iterdir():
        if not path.name.startswith("SHA256SUMS"):
            path.unlink()
    result = audited(site)
    assert result.faults == ()
    assert result.remarks == ("1 release was pruned: its sums and its seal were checked",)


def test_a_release_without_its_acts_is_found(site: Site, tmp_path: Path) -> None:
    """The office went back to an older register after it had published."""
    older = tmp_path / "older"
    shutil.copytree(site.workspace.lists, older)
    site.now += HOUR
    site.block("third.example")
    site.publish()
    for name in ("register.db", "register.db-wal", "register.db-shm"):
        (site.workspace.lists / name).unlink(missing_ok=True)
        if (older / name).exists():
            shutil.copy(older / name, site.workspace.lists)
    found = faults(site)
    assert any(number == 9 and "the register does not hold its head" in message for number, message in found)


def test_an_act_that_was_backdated_behind_a_release_is_found(site: Site) -> None:
    site.now += DAY
    site.publish()
    folder = last_release(site).name
    site.now -= timedelta(minutes=30)
    with site.office("agent-1") as office:
        approve.reject(office, 7, "late")
    site.now += DAY
    assert faults(site) == [(8, f"it is dated before release {folder}, which lacks it")]


def test_a_release_of_a_rewritten_history_is_found(site: Site, tmp_path: Path) -> None:
    """Somebody founded another register in place of the first one, and left the tree as it was."""
    other = Site(tmp_path / "other", START)
    other.block("bad.example")
    for name in ("register.db", "dossiers.db"):
        for end in ("", "-wal", "-shm"):
            (site.workspace.lists / f"{name}{end}").unlink(missing_ok=True)
        shutil.copy(other.workspace.lists / name, site.workspace.lists / name)
    found = faults(site)
    assert sum("the register does not hold its head" in message for _number, message in found) == 2


def test_a_tree_without_metadata_is_found(site: Site) -> None:
    (site.exports / "metadata/timestamp.json").write_text("{}")
    assert any("metadata cannot be read" in message for _number, message in faults(site))


def test_a_release_under_another_name_is_found(site: Site) -> None:
    first_release(site).rename(first_release(site).with_name("20261122T120000Z".replace("12000", "11000")))
    assert any("it was made at" in message for _number, message in faults(site))


def test_a_release_from_the_future_is_found(site: Site) -> None:
    folder = last_release(site).name
    site.now -= timedelta(minutes=30)
    assert any(message.startswith(f"release {folder}: it is dated") for _number, message in faults(site))


def test_a_dossier_that_is_no_json_is_found(site: Site) -> None:
    with site.office("agent-1") as office:
        dossier = Dossier(b"[", "5a" * 32)
        office.commit(lambda: [(acts.Reject(act=office.pending(7).ref), dossier)])
    assert faults(site) == [(8, "its dossier is no JSON object")]


def test_a_trigger_of_somebody_else_is_a_fault(site: Site) -> None:
    execute(site, "register.db", "CREATE TRIGGER swallow BEFORE INSERT ON acts BEGIN SELECT RAISE(IGNORE); END")
    (fault,) = audit_workspace(site.workspace, site.now).faults
    assert fault.message == "the database is not as it was made: swallow was added, changed or removed"
    assert fault.act is None
