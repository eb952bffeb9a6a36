"""Installing one file: aside, checked, renamed, reloaded; and whatever fails, the previous file is in place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from kit.breaking import Breaking

from blocklist.base.durable import digest_of
from blocklist.base.errors import RefusedError, TargetError
from blocklist.client import install
from blocklist.client.install import Staged, Target, check, reload, run, stage

OLD, NEW = b"old zone\n", b"new zone\n"


class Folder:
    """A folder with a target, and commands that write down what they saw."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path / "list.zone"
        self.log = path / "log"

    def command(self, name: str, script: str) -> str:
        """A real program; `$1` is its argument."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return str(program)

    def reloading(self, script: str = "") -> str:
        """A reload command that notes the content that it found in place, then runs `script`."""
        return self.command("reload", f'cat "{self.target}" >> "{self.log}"\n{script}')

    def staged(self, check: str = "", reload: str = "", content: bytes = NEW) -> Staged:
        return stage(Target("rpz", self.target, check, reload), [content[:3], content[3:]])

    def seen(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def files(self) -> set[str]:
        return {path.name for path in self.path.iterdir()} - {"log", "reload", "check"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_candidate_is_beside_its_target_and_whole(folder: Folder) -> None:
    staged = folder.staged()
    assert staged.path.parent == folder.target.parent
    assert staged.path.name.startswith(".tmp-")
    assert staged.path.read_bytes() == NEW
    assert staged.content.length == len(NEW)
    assert staged.content.sha256 == digest_of(staged.path)
    assert not folder.target.exists()
    staged.discard()
    staged.discard()
    assert folder.files() == set()


def test_a_first_file(folder: Folder) -> None:
    install.install(folder.staged(reload=folder.reloading()))
    assert folder.target.read_bytes() == NEW
    assert stat.S_IMODE(folder.target.stat().st_mode) == 0o644
    assert folder.seen() == NEW
    assert folder.files() == {"list.zone"}


def test_the_previous_file_is_kept(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    install.install(folder.staged())
    assert folder.target.read_bytes() == NEW
    assert (folder.path / "list.zone.previous").read_bytes() == OLD
    install.install(folder.staged(content=b"newer\n"))
    assert (folder.path / "list.zone.previous").read_bytes() == NEW
    assert folder.files() == {"list.zone", "list.zone.previous"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_mode_is_kept(folder: Folder, mode: int) -> None:
    folder.target.write_bytes(OLD)
    folder.target.chmod(mode)
    install.install(folder.staged())
    assert stat.S_IMODE(folder.target.stat().st_mode) == mode


def test_owner_is_kept(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.target.write_bytes(OLD)
    asked = []
    monkeypatch.setattr(os, "chown", lambda path, user, group: asked.append((Path(path).name[:5], user, group)))
    install.install(folder.staged())
    status = folder.target.stat()
    assert asked == [(".tmp-", status.st_uid, status.st_gid)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner_is_kept_for_real(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    os.chown(folder.target, 1234, 2345)
    install.install(folder.staged())
    assert (folder.target.stat().st_uid, folder.target.stat().st_gid) == (1234, 2345)


def test_who_may_not_give_files_away_still_installs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.target.write_bytes(OLD)
    folder.target.chmod(0o640)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    install.install(folder.staged())
    assert folder.target.read_bytes() == NEW
    assert stat.S_IMODE(folder.target.stat().st_mode) == 0o640


# --- Check ------------------------------------------------------------------------------------------------------------


def test_the_check_sees_the_candidate(folder: Folder) -> None:
    program = folder.command("check", f'cat "$1" >> "{folder.log}"')
    staged = folder.staged(check=f"{program} {{file}}")
    check(staged)
    assert folder.seen() == NEW
    assert not folder.target.exists()


def test_a_check_that_says_no(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    program = folder.command("check", 'echo "first line" >&2; echo "line 7: bad owner" >&2; exit 3')
    with pytest.raises(RefusedError, match=r"check exited with 3: line 7: bad owner") as caught:
        check(folder.staged(check=f"{program} {{file}}"))
    assert caught.value.exit_code == 1
    assert folder.target.read_bytes() == OLD


def test_no_check_is_no_refusal(folder: Folder) -> None:
    check(folder.staged())


def test_commands_run_without_a_shell(folder: Folder) -> None:
    staged = folder.staged(check=f'test "{{file}}; touch {folder.path}/hacked" != "$HOME"')
    check(staged)
    assert not (folder.path / "hacked").exists()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["/nonexistent/program"], "No such file or directory"),
        (["/"], "Permission denied"),
        (["false"], "false exited with 1"),
        (["sh", "-c", "kill -9 $$"], "exited with -9"),
        (["sh", "-c", "echo out; exit 1"], "exited with 1: out"),
        (["sh", "-c", "echo out; echo err >&2; exit 1"], "exited with 1: err"),
        (["sh", "-c", "printf '\\377\\n' >&2; exit 1"], "exited with 1: \ufffd"),
        (["sh", "-c", "head -c 10000 /dev/zero | tr '\\0' x; exit 1"], "exited with 1: xxx"),
    ],
)
def test_what_commands_can_say(command: list[str], problem: str) -> None:
    said = run(command)
    assert problem in said
    assert len(said) < 400


def test_commands_that_succeed_say_nothing() -> None:
    assert run(["sh", "-c", "echo noise; echo noise >&2"]) == ""


def test_commands_get_no_input() -> None:
    assert run(["cat"]) == ""


def test_a_command_that_does_not_end(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "COMMAND_TIMEOUT", 0.05)
    with pytest.raises(RefusedError, match=r"tail did not end within 0\.05 seconds"):
        check(folder.staged(check="tail -f /dev/null"))


# --- Reload -----------------------------------------------------------------------------------------------------------


def test_a_reload_that_fails_brings_the_previous_file_back_and_reloads_that(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    folder.target.chmod(0o640)
    script = f'if grep -q new "{folder.target}"; then echo "zone not loaded" >&2; exit 1; fi'
    with pytest.raises(TargetError, match=r"reload exited with 1: zone not loaded$") as caught:
        install.install(folder.staged(reload=folder.reloading(script)))
    assert caught.value.exit_code == 6
    assert str(folder.target) in caught.value.message
    assert folder.target.read_bytes() == OLD
    assert stat.S_IMODE(folder.target.stat().st_mode) == 0o640
    assert folder.seen() == NEW + OLD


def test_a_reload_that_fails_twice_is_said(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    with pytest.raises(TargetError, match=r"reloading the previous file failed too: .* exited with 4"):
        install.install(folder.staged(reload=folder.reloading("exit 4")))
    assert folder.target.read_bytes() == OLD


def test_a_first_file_that_cannot_be_loaded_goes_away(folder: Folder) -> None:
    with pytest.raises(TargetError):
        install.install(folder.staged(reload=folder.reloading("exit 1")))
    assert not folder.target.exists()
    assert folder.files() == set()


def test_a_reload_that_does_not_end(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "COMMAND_TIMEOUT", 0.05)
    folder.target.write_bytes(OLD)
    with pytest.raises(TargetError, match=r"tail did not end within 0\.05 seconds"):
        install.install(folder.staged(reload="tail -f /dev/null"))
    assert folder.target.read_bytes() == OLD


def test_reload_alone(folder: Folder) -> None:
    folder.target.write_bytes(OLD)
    reload(Target("rpz", folder.target, reload=folder.reloading()))
    reload(Target("rpz", folder.target))
    assert folder.seen() == OLD
    with pytest.raises(TargetError, match="false exited with 1") as caught:
        reload(Target("rpz", folder.target, reload="false"))
    assert caught.value.exit_code == 6
    assert folder.target.read_bytes() == OLD


# --- Disks ------------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="could not be written") as caught:
        stage(Target("rpz", tmp_path / "none/list.zone"), [NEW])
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_what_is_no_plain_file_is_no_target(folder: Folder, kind: str) -> None:
    aside = folder.target.with_name("aside")
    if kind == "folder":
        folder.target.mkdir()
    elif kind == "pipe":
        os.mkfifo(folder.target)
    else:
        folder.target.symlink_to(aside)
        if kind == "link":
            aside.write_bytes(b"theirs")
    before = folder.target.lstat()
    assert digest_of(folder.target) is None
    with pytest.raises(TargetError, match="no plain file"):
        folder.staged()
    assert folder.target.lstat() == before


@pytest.mark.parametrize("how", ["before", "after", "dead"])
def test_promise_7_a_disk_that_fails_at_any_write(folder: Folder, how: str) -> None:
    """Whichever write fails, the target holds the old file or the new one, never half of one and never none."""
    outcomes = set()
    for number in range(1, 40):
        folder.target.unlink(missing_ok=True)
        folder.target.write_bytes(OLD)
        with Breaking(number, how) as breaking:
            try:
                staged = folder.staged()
                install.install(staged)
            except TargetError as fault:
                assert breaking.broke
                outcomes.add((str(fault.exit_code), folder.target.read_bytes()))
            else:
                assert not breaking.broke, breaking.calls
                break
        assert folder.target.read_bytes() in (OLD, NEW)
    else:
        pytest.fail("it never succeeded")
    assert number > 5
    assert ("6", OLD) in outcomes


def test_what_cannot_be_read_has_no_digest(folder: Folder) -> None:
    assert digest_of(folder.target) is None
    folder.target.mkdir()
    assert digest_of(folder.target) is None
