"""The demo: it runs, shows every promised step, and touches nothing outside its folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from kit.forked import run_forked

from blocklist.cli import demo
from blocklist.cli.commands import main


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Run:
    folder: Path
    shown: str

    def answer(self, command: str, nth: int = 0) -> str:
        """What the n-th command that starts so was answered."""
        parts = re.split(r"(?m)^\$ ", self.shown)[1:]
        return [part.split("\n", 1)[1] for part in parts if part.startswith(command)][nth]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run without DIR, by somebody with keys, an officer's name, a passphrase file and a database of their own."""
    around = tmp_path_factory.mktemp("around")
    for name in ("home", "tmp", "keys", "here"):
        (around / name).mkdir()
        (around / name / "untouched").write_text(name)
    before = snapshot(around)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": around / "home",
            "XDG_CONFIG_HOME": around / "home",
            "TMPDIR": around / "tmp",
            "BLOCKLIST_KEYS": around / "keys",
            "BLOCKLIST_AS": "somebody",
            "BLOCKLIST_PASSPHRASE_FILE": around / "absent",
            "BLOCKLIST_STORE": "postgresql:///office",
        }.items():
            patch.setenv(name, str(value))
        patch.setattr("tempfile.tempdir", None)
        patch.chdir(around / "here")
        result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (folder,) = (around / "tmp").glob("blocklist-demo-*")
    prefix = f"{folder.relative_to(around)}/"
    after = {path: content for path, content in snapshot(around).items() if not path.startswith(prefix)}
    assert after == before
    return Run(folder, result.stdout)


def test_steps_and_answers(run: Run) -> None:
    for command, nth, answer in (
        ("blocklist init", 0, "founded register"),
        ("blocklist --as head-1 officer appoint agent-2", 0, "act 3: agent-2 is agent"),
        ("blocklist --as agent-1 add gouv.fr", 0, "protected: gouv.fr"),
        ("blocklist --as agent-1 request page.example", 0, "act 4: the host was asked about 1 name"),
        ("blocklist --as agent-1 add page.example", 0, "the notice of request 4 ends"),
        ("blocklist --as agent-1 add bad.example", 0, "act 5: 1 name proposed"),
        ("blocklist --as agent-1 approve 5", 0, "agent-1 made act 5 and cannot approve it"),
        ("blocklist --as agent-2 approve 5", 0, "act 6: act 5 approved"),
        ("blocklist publish", 0, "1 added, 0 removed, 0 lapsed"),
        ("openssl cms -verify", 0, "Verification successful"),
        ("sha256sum --strict", 0, "rpz.zone: OK"),
        ("blocklist pull", 0, "1 added"),
        ("blocklist verify tampered", 0, "tampered/rpz.zone is not the file that was sealed"),
        ("blocklist pull", 1, "not the file that was signed"),
        ("blocklist pull", 2, "1 added"),
        ("blocklist publish", 2, "0 added, 0 removed, 1 lapsed"),
        ("blocklist pull", 3, "1 lapsed"),
        ("blocklist due", 0, "brief.example lapsed and is not blocked any more"),
        ("blocklist show bad.example", 0, "providers block before"),
        ("blocklist audit", 0, "no fault"),
    ):
        assert answer in run.answer(command, nth), (command, nth)


def test_every_command_is_shown_as_it_can_be_typed(run: Run) -> None:
    """The commands are relative to the folder, so that they can be repeated there."""
    typed = re.findall(r"(?m)^\$ (blocklist .*)$", run.shown)
    assert len(typed) == 27
    assert [line for line in typed if str(run.folder) in line and "subscribe file://" not in line] == []


def test_what_the_end_says_is_there(run: Run) -> None:
    end = run.shown.split("\nDone. ")[1]
    for name in ("lists", "keys", "exports", "provider"):
        assert f"  {name}/" in end
        assert (run.folder / name).is_dir()
    release = re.search(r"exports/\S+/\d{8}T\d{6}Z", end)
    assert release is not None
    assert (run.folder / release[0] / "SHA256SUMS.p7s").is_file()
    assert (run.folder / "keys/agent-1.pem").is_file()
    zone = (run.folder / "provider/rpz.zone").read_text()
    assert "\n*.bad.example A 192.0.2.1\n" in zone
    assert "brief.example" not in zone
    previous = (run.folder / "provider/rpz.zone.previous").read_text()
    assert "\nbrief.example A 192.0.2.1\n" in previous  # it was blocked until its date


def test_without_stock_tools_and_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for slow in ("_let_lapse", "_look_back"):
        monkeypatch.setattr(demo, slow, lambda *_: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(demo.subprocess, "run", run_forked)  # for `run`, each command was started as a user does
    result = CliRunner().invoke(main, ["--json", "--lang", "fr", "demo", str(tmp_path / "new/folder")])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["folder"] == str(tmp_path / "new/folder")
    assert re.fullmatch("[0-9a-f]{64}", told["register"])
    assert {step["exit_code"] for step in told["steps"]} == {0, 1, 3}
    assert "registre" in told["steps"][0]["output"]  # the commands speak the language of the demo
    assert [step for step in told["steps"] if not step["command"].startswith("blocklist ")] == []


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    demo._verify_with_stock_tools(demo._Demo(tmp_path, quiet=False), "exports/list/release")
    shown = capsys.readouterr().out
    assert "(skipped: openssl is not installed here)" in shown
    assert "(skipped: sha256sum is not installed here)" in shown


@pytest.mark.parametrize("occupied", ["file", "folder"])
def test_a_folder_that_is_in_use_is_refused(occupied: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if occupied == "folder":
        target.mkdir()
    (target / "mine" if occupied == "folder" else target).write_text("mine")
    before = snapshot(tmp_path)
    result = CliRunner().invoke(main, ["demo", str(target)])
    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "expect", "holds"),
    [(["true"], 1, ""), (["false"], 0, ""), (["echo", "other"], 0, "wanted"), (["/absent/command"], 0, "")],
)
def test_a_step_that_answers_otherwise_stops_the_demo(
    command: list[str], expect: int, holds: str, tmp_path: Path
) -> None:
    shown = demo._Demo(tmp_path, quiet=True)
    with pytest.raises(demo.DemoError) as caught:
        shown.run(["blocklist", "publish"], command, tmp_path, expect, holds)
    assert "the step 'blocklist publish'" in caught.value.message
    assert str(tmp_path) in caught.value.hint


@pytest.mark.parametrize("zone", ["other.example A 192.0.2.1\n", "bad.example A 192.0.2.1\nbrief.example CNAME .\n"])
def test_a_zone_that_is_not_as_promised_stops_the_demo(zone: str, tmp_path: Path) -> None:
    (tmp_path / "provider").mkdir()
    (tmp_path / "provider/rpz.zone").write_text(zone)
    with pytest.raises(demo.DemoError, match=r"should hold bad\.example and not brief\.example"):
        demo._Demo(tmp_path, quiet=True).show_zone(holds="bad.example", lacks="brief.example")


def test_a_founding_that_names_no_register_stops_the_demo(tmp_path: Path) -> None:
    shown = demo._Demo(tmp_path, quiet=True, steps=[{"output": "nothing"}])
    with pytest.raises(demo.DemoError):
        demo._register_of(shown)
