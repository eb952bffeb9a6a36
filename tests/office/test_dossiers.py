"""Dossiers: shown, handed out so that a court can verify them, and erased so that nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from kit.fixed import HOUR, LIST, START
from kit.ready_made import ready_made
from kit.shell import WHY, Shell
from kit.site import Site

from blocklist.audit.audit import Audit, audit_workspace
from blocklist.audit.case_file import Exported, export_measure
from blocklist.base.errors import RefusedError, TargetError, UsageError
from blocklist.base.i18n import speaking
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Scope
from blocklist.office import approve, propose
from blocklist.office.erase import erase
from blocklist.register.fold import RuleError
from blocklist.store.evidence import Evidence
from blocklist.store.store import Store
from blocklist.workspace import Workspace

SECRET = "the-reference-that-nobody-may-find-again"
BAD = Name("bad.example", Scope.DOMAIN)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Act 4 proposes bad.example with a secret reference and its own evidence, act 5 approves, act 6 removes it."""
    return ready_made(tmp_path, START, _blocked_and_removed)


def _blocked_and_removed(folder: Path, now: datetime) -> Site:
    found = Site(folder, now)
    (folder / "capture.txt").write_text("what was seen")
    with found.office("agent-1") as office:
        propose.propose(office, [BAD], found.proposal(reference=SECRET, evidence=(folder / "capture.txt",)))
    with found.office("agent-2") as office:
        approve.approve(office, 4)
    found.remove("bad.example")
    return found


def audited(site: Site, folder: Path | None = None) -> Audit:
    workspace = Workspace(folder or site.workspace.path, KeyFolder(site.folder / "no-keys", lambda _: b""))
    return audit_workspace(workspace, site.now + HOUR)


def exported(site: Site, name: str = "bad.example", folder: str = "out") -> Exported:
    with site.office() as office:
        return export_measure(office, name, site.folder / folder)


def in_any_file(folder: Path, *wanted: bytes) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(word in path.read_bytes() for word in wanted)]


def salt_of(site: Site, seq: int) -> bytes:
    with (
        contextlib.closing(sqlite3.connect(site.workspace.lists / "dossiers.db")) as connection,
        site.office() as office,
    ):
        (salt,) = connection.execute("SELECT salt FROM dossiers WHERE act = ?", (office.act(seq).id,)).fetchone()
    return salt.encode()


# --- Export ------------------------------------------------------------------------------------------------------


def test_an_export_holds_everything_about_a_measure_and_can_be_audited(site: Site) -> None:
    made = exported(site)
    folder = made.folder
    assert (made.name, made.acts, made.dossiers, made.evidence, made.lost) == ("bad.example", (4, 5, 6), 1, 1, ())
    with site.office() as office:
        assert (folder / "acts.jsonl").read_bytes() == b"".join(line + b"\n" for line in office.store.lines(LIST))
    assert sorted(path.name for path in (folder / "dossiers").iterdir()) == ["4.json", "4.salt"]
    assert json.loads((folder / "dossiers/4.json").read_bytes())["reference"] == SECRET
    assert [path.read_text() for path in (folder / "evidence").iterdir()] == ["what was seen"]
    measure = json.loads((folder / "measure.json").read_bytes())
    assert (measure["name"], measure["acts"], measure["register"]) == ("bad.example", [4, 5, 6], site.founded.register)
    result = audited(site, folder)
    assert (result.acts, result.dossiers, result.evidence, result.faults) == (6, 1, 1, ())


def test_an_export_is_closed_to_others(site: Site) -> None:
    folder = exported(site).folder
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_commitment_can_be_checked_by_hand(site: Site) -> None:
    folder = exported(site).folder
    key = (folder / "dossiers/4.salt").read_text().strip()
    said = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}", folder / "dossiers/4.json"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    with site.office() as office:
        assert said.split()[-1] == office.act(4).act.dossier


@pytest.mark.parametrize(("language", "words"), [("en", "How to verify"), ("fr", "capture.txt")])
def test_an_export_says_what_it_is(site: Site, language: str, words: str) -> None:
    with speaking(language):
        folder = exported(site).folder
    text = (folder / "README.txt").read_text()
    assert words in text
    assert "capture.txt" in text
    assert site.founded.register in text


def test_an_export_is_written_to_a_new_folder_only(site: Site) -> None:
    (site.folder / "empty").mkdir()
    exported(site, folder="empty")
    for folder in ("empty", "capture.txt"):
        with pytest.raises(UsageError, match="is there already"):
            exported(site, folder=folder)
    with pytest.raises(UsageError, match="no act is about other"):
        exported(site, "other.example")
    assert not list(site.folder.glob(".tmp-*"))


def test_an_export_that_fails_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    before = sorted(site.folder.iterdir())
    with pytest.raises(TargetError, match="No space left"):
        exported(site)
    assert sorted(site.folder.iterdir()) == before


def test_what_is_lost_is_said_and_the_rest_is_exported(site: Site) -> None:
    shutil.rmtree(site.workspace.lists / "evidence")
    made = exported(site)
    assert (made.dossiers, made.evidence) == (1, 0)
    assert made.lost[0].startswith("act 4: its evidence 'capture.txt' is not there")
    assert [fault.act for fault in audited(site, made.folder).faults] == [4]


@pytest.mark.parametrize(
    ("path", "act", "message"),
    [
        ("dossiers/4.json", 4, "its dossier is not there"),
        ("dossiers/4.salt", 4, "its dossier is not there"),
        ("evidence/*", 4, "is not there"),
        ("measure.json", None, "measure.json"),
    ],
)
def test_a_file_that_is_missing_from_an_export_is_found(site: Site, path: str, act: int | None, message: str) -> None:
    folder = exported(site).folder
    (found,) = folder.glob(path)
    found.unlink()
    if act is None:
        with pytest.raises(UsageError, match=message):
            audited(site, folder)
    else:
        assert [(fault.act, message in fault.message) for fault in audited(site, folder).faults] == [(act, True)]


@pytest.mark.parametrize("path", ["dossiers/4.json", "dossiers/4.salt", "evidence/*", "acts.jsonl", "measure.json"])
def test_a_file_of_an_export_that_was_changed_is_found(site: Site, path: str) -> None:
    folder = exported(site).folder
    (found,) = folder.glob(path)
    content = found.read_bytes()
    changed = content.replace(b'"seq":6', b'"seq":5') if path == "measure.json" else content[:-9] + b"~" + content[-8:]
    found.write_bytes(changed)
    assert changed != content
    assert audited(site, folder).faults


def test_a_dossier_of_no_act_in_an_export_is_found(site: Site) -> None:
    folder = exported(site).folder
    (folder / "dossiers/99.json").write_text("{}")
    assert "a dossier belongs to no act: 99" in audited(site, folder).remarks


# --- Erase -------------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_what_was_erased(site: Site) -> None:
    for number in range(40):  # so that pages are split, merged and moved
        site.now += HOUR
        with site.office("agent-1") as office:
            propose.propose(office, [Name(f"n{number}.example", Scope.DOMAIN)], site.proposal(note="x" * (number * 97)))
    salt, lists = salt_of(site, 4), site.workspace.lists
    assert in_any_file(lists, SECRET.encode(), salt, b"what was seen")
    with site.office("head-1") as office:
        done = erase(office, 4, "art. 17 request of 2026-11-20")
    assert (done.act, done.dossier, done.evidence, done.shared) == (47, 4, 1, 0)
    assert in_any_file(lists, SECRET.encode(), salt, b"what was seen") == []
    result = audited(site)
    assert (result.erased, result.faults, result.remarks[1:]) == (1, (), ())
    with site.office() as office:
        assert office.dossier_of(4) == {}
        assert office.dossier_of(47) == {"reason": "art. 17 request of 2026-11-20"}
        assert 4 in office.register.erased


def test_evidence_that_another_dossier_names_stays(site: Site) -> None:
    with site.office("agent-1") as office:
        propose.propose(
            office, [Name("two.example", Scope.DOMAIN)], site.proposal(evidence=(site.folder / "capture.txt",))
        )
    with site.office("head-1") as office:
        done = erase(office, 4, "asked")
    assert (done.evidence, done.shared) == (0, 1)
    assert audited(site).faults == ()


@pytest.mark.parametrize("where", ["remove", "erase"])
def test_an_erasure_that_was_cut_off_is_found_and_finished(
    site: Site, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patched, site.office("head-1") as office:
        patched.setattr(Evidence if where == "remove" else Store, where, cut)
        with pytest.raises(PowerCutError):
            erase(office, 4, "asked")
    found = audited(site).faults
    assert [(fault.act, fault.message) for fault in found] == [
        (4, "its dossier is still there, though act 7 says that it was destroyed")
    ]
    with site.office("agent-1") as office, pytest.raises(RefusedError, match="only a head"):
        erase(office, 4, "asked")
    with site.office("head-1") as office:
        done = erase(office, 4, "asked")
        assert (done.act, office.register.head.seq) == (None, 7)
    assert (audited(site).faults, audited(site).erased) == ((), 1)
    assert in_any_file(site.workspace.lists, SECRET.encode(), b"what was seen") == []


def test_an_erasure_while_somebody_reads_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.workspace.lists / "dossiers.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader, site.office("head-1") as office:
        office.store.dossier_ids()
        with office.store.database.engine(dossiers=True).connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=1")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dossiers").fetchone()
        with pytest.raises(TargetError, match="is in use"):
            erase(office, 4, "asked")
        reader.execute("COMMIT")
        assert erase(office, 4, "asked").act is None
    assert in_any_file(site.workspace.lists, SECRET.encode()) == []


def test_who_may_erase_what(site: Site) -> None:
    with site.office("agent-1") as office:
        propose.propose(office, [Name("two.example", Scope.DOMAIN)], site.proposal())
        with pytest.raises(RuleError, match="agent-1 is agent"):
            erase(office, 4, "asked")
    with site.office("head-1") as office:
        for seq, error, message in (
            (7, RefusedError, "waits for an approval"),
            (5, UsageError, "act 5 has no dossier"),
            (99, UsageError, "there is no act 99"),
        ):
            with pytest.raises(error, match=message):
                erase(office, seq, "asked")
        with pytest.raises(UsageError, match="no reason"):
            erase(office, 4, " ")
        office.store.erase([office.act(4).id])  # lost, and nobody said that it was destroyed
        with pytest.raises(UsageError, match="is not here"):
            erase(office, 4, "asked")
        assert office.register.head.seq == 7


def test_an_erased_dossier_is_exported_as_erased(site: Site) -> None:
    with site.office("head-1") as office:
        erase(office, 4, "asked")
    made = exported(site)
    assert (made.acts, made.lost) == ((4, 5, 6, 7), ())
    result = audited(site, made.folder)
    assert (result.erased, result.dossiers, result.faults) == (1, 1, ())


# --- The commands ------------------------------------------------------------------------------------------------


def test_a_dossier_is_shown_in_words(shell: Shell) -> None:
    shell("--as", "agent-1", "request", "xn--bcher-kva.example", "--to", "host", "--contact", "abuse@host.example")
    shell("--as", "agent-1", "add", "b\u00fccher.example", "bad.example", *WHY, "--note", "seen twice")
    text = shell("dossier", "show", "5").stdout
    for part in ("b\u00fccher.example", "xn--bcher-kva.example", "bad.example", "note: seen twice", "evidence: "):
        assert part in text, text
    (path,) = (shell.office / "lists/evidence").iterdir()
    assert str(path) in text
    assert json.loads((shell("--json", "dossier", "show", "4")).stdout)["dossier"] == {"contact": "abuse@host.example"}
    shown = shell.json("dossier", "show", "5")["dossier"]
    assert "salt" not in shown
    assert [(entry["path"], entry["fault"]) for entry in shown["evidence"]] == [(str(path), None)]
    path.unlink()
    assert "is not there" in shell("dossier", "show", "5").stdout
    assert "is not there" in shell.json("dossier", "show", "5")["dossier"]["evidence"][0]["fault"]
    assert shell.json("audit", expect=3)["faults"][0]["act"] == 5


def test_what_has_no_dossier_says_so(listed: Shell) -> None:
    listed.refused("dossier", "show", "5", code=2, message="act 5 has no dossier")
    listed.refused("dossier", "show", "99", code=2, message="there is no act 99")
    with contextlib.closing(sqlite3.connect(listed.office / "lists/dossiers.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM dossiers")
    listed.refused("dossier", "show", "4", code=2, message="the dossier of act 4 is not here")


def test_exporting_and_erasing_by_command(listed: Shell, tmp_path: Path) -> None:
    made = listed.json("dossier", "export", "bad.example", "-o", tmp_path / "out")
    assert (made["acts"], made["dossiers"], made["evidence"], made["lost"]) == ([4, 5], 1, 1, [])
    assert "it is confidential" in listed("dossier", "export", "bad.example", "-o", tmp_path / "two").stderr
    erase = ("dossier", "erase", "4", "--reason", "asked")
    listed.refused(*erase, code=2, message="no officer is named")
    listed.refused("--as", "agent-1", *erase, code=1, message="agent-1 is agent")
    result = listed("--as", "head-1", *erase)
    assert result.stdout == ""
    assert "act 6: the dossier of act 4 is destroyed, with 1 file of evidence" in result.stderr
    assert "what was left of it is gone now" in listed("--as", "head-1", *erase).stderr
    listed.refused("dossier", "show", "4", code=2, message="the dossier of act 4 was erased")
    audit = listed("audit")
    assert audit.stdout.splitlines()[:4] == [
        "6 acts checked: chain, signatures, appointments, every rule, clock",
        "1 dossier checked against its act; 1 erased, 0 not here",
        "0 files of evidence checked against their dossiers",
        "1 release checked: seal, sums, and what the acts say at its instant",
    ]
    assert "no fault; head" in audit.stderr
    shutil.rmtree(listed.office / "lists/evidence")
    shutil.rmtree(tmp_path / "two/evidence")
    listed("-C", tmp_path / "out", "audit", where=False)
    broken = listed("-C", tmp_path / "two", "audit", where=False, expect=3)
    assert "act 4: its evidence" in broken.stdout
    carried = listed("-C", listed.release, "audit", where=False)
    assert "remark: no dossiers are here, so none was checked, nor any evidence" in carried.stdout


# --- What is searched --------------------------------------------------------------------------------------------


def test_dossiers_are_searched_for_whole_strings(site: Site) -> None:
    with site.office() as office:
        proposed = office.act(4).id
        assert office.store.mentioning("bad.example") == [proposed]
        assert office.store.mentioning(SECRET) == [proposed]
        for text in ("ad.example", "bad", "", "%", "bad.exampl_", 'x"y'):
            assert office.store.mentioning(text) == []
