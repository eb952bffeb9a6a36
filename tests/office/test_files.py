"""Files that survive a power cut: whole or not at all, private from their first byte, and errors in one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocklist.base import durable
from blocklist.base.errors import RefusedError, TargetError, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Calls:
    """What was done to files, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        fsync, rename = os.fsync, Path.replace

        def syncing(handle: int) -> None:
            self.done.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
            fsync(handle)

        def renaming(path: Path, target: Path) -> Path:
            self.done.append("rename")
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", syncing)
        monkeypatch.setattr(Path, "replace", renaming)


# --- Writing -----------------------------------------------------------------------------------------------------


def test_a_file_is_synced_then_renamed_then_its_folder_is_synced(tmp_path: Path, monkeypatch) -> None:
    calls = Calls(monkeypatch)
    durable.replace(tmp_path / "file", b"new")
    assert calls.done == ["sync file", "rename", "sync folder"]
    assert (tmp_path / "file").read_bytes() == b"new"
    assert left(tmp_path) == {"file"}


@pytest.mark.parametrize("wanted", [0o600, 0o644, 0o640])
def test_a_mode_is_what_was_asked_for(tmp_path: Path, wanted: int) -> None:
    path = tmp_path / "file"
    for mask in (0, 0o077):
        before = os.umask(mask)
        try:
            durable.replace(path, b"x", wanted)
            assert mode(path) == wanted
        finally:
            os.umask(before)
    path.chmod(0o666)
    durable.replace(path, b"y", wanted)
    assert mode(path) == wanted


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        seen.append(mode(tmp_path / "file"))
        yield b"secret"
        seen.append(mode(tmp_path / "file"))

    before = os.umask(0)
    try:
        durable.write_chunks(tmp_path / "file", chunks(), 0o644)
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]
    assert mode(tmp_path / "file") == 0o644


def test_what_was_written_is_told(tmp_path: Path) -> None:
    chunks = [b"one", b"", b"two" * 100_000]
    written = durable.write_chunks(tmp_path / "file", iter(chunks))
    content = (tmp_path / "file").read_bytes()
    assert content == b"".join(chunks)
    assert written == durable.digest(chunks) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            durable.write_chunks(tmp_path / name, [b"new"])
    assert (tmp_path / "file").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_fails_half_way_is_gone(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        durable.write_chunks(tmp_path / "file", chunks())
    assert left(tmp_path) == set()


def handles() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("broken", ["write", "sync", "rename"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, broken: str, monkeypatch) -> None:
    path = tmp_path / "file"
    durable.replace(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, "fsync" if broken == "sync" else "fchmod", fail)
    with pytest.raises(TargetError, match="No space left") as caught:
        durable.replace(path, b"new")
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 6
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == {"file"}


@pytest.mark.parametrize("path", ["missing/file", "file/file", "folder"])
def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder/inner").mkdir(parents=True)
    with pytest.raises(TargetError, match="could not be written"):
        durable.replace(tmp_path / path, b"new")
    assert left(tmp_path) == {"file", "folder"}


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    durable.replace(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


def test_a_name_beside_is_new_each_time_and_on_the_same_file_system(tmp_path: Path) -> None:
    found = {durable.beside(tmp_path / "file") for _ in range(100)}
    assert len(found) == 100
    assert {path.parent for path in found} == {tmp_path}
    assert all(path.name.startswith(durable.TEMPORARY) for path in found)


# --- Folders and reading -----------------------------------------------------------------------------------------


def test_a_folder_is_made_with_its_parents_and_left_as_it_is(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a/b", 0o700)
    assert mode(tmp_path / "a/b") == 0o700
    durable.make_folder(tmp_path / "a/b", 0o755)
    assert mode(tmp_path / "a/b") == 0o700
    (tmp_path / "file").touch()
    for path in ("file", "file/inner"):
        with pytest.raises(TargetError):
            durable.make_folder(tmp_path / path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert durable.read(tmp_path / "file", "the file", 5) == b"12345"
    with pytest.raises(UsageError, match=r"the file .* is larger than 4 bytes"):
        durable.read(tmp_path / "file", "the file", 4)


@pytest.mark.parametrize("path", ["missing", ".", "missing/file"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"the policy .* cannot be read: ") as caught:
        durable.read(tmp_path / path, "the policy", 10, "write one")
    assert caught.value.hint == "write one"


# --- Locks -------------------------------------------------------------------------------------------------------


def test_what_is_locked_runs_once_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with durable.locked(path, "publish"):
        assert mode(path) == 0o600
        with pytest.raises(RefusedError, match="another publish is running"), durable.locked(path, "publish"):
            raise AssertionError
    with durable.locked(path, "publish"):
        pass


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """Even a process that is killed leaves no lock behind: the kernel drops it."""
    path, (reading, writing) = tmp_path / "lock", os.pipe()
    child = os.fork()
    if child == 0:
        with durable.locked(path, "pull"):
            os.write(writing, b"x")
            os.read(os.pipe()[0], 1)  # for ever
    os.read(reading, 1)
    with pytest.raises(RefusedError), durable.locked(path, "pull"):
        raise AssertionError
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    with durable.locked(path, "pull"):
        pass


def test_a_lock_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TargetError), durable.locked(tmp_path / "missing/lock", "pull"):
        raise AssertionError


def test_a_fault_inside_a_lock_lets_it_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), durable.locked(tmp_path / "lock", "pull"):
        raise ZeroDivisionError
    with durable.locked(tmp_path / "lock", "pull"):
        pass
