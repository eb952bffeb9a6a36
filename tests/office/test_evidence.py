"""Evidence: kept once under its digest, closed to the publisher, found when it is lost, however large it is."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tracemalloc
from pathlib import Path

import pytest
from kit.fixed import START

from blocklist.base import durable
from blocklist.base.errors import TargetError, UsageError
from blocklist.store.evidence import CHUNK, Evidence, own_name


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


def saved(folder: Path, content: bytes = b"what was seen", name: str = "capture.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_copy_is_kept_under_its_digest(evidence: Evidence, tmp_path: Path) -> None:
    entry = evidence.keep(saved(tmp_path), START)
    digest = hashlib.sha256(b"what was seen").hexdigest()
    assert entry == {
        "sha256": digest,
        "size": 13,
        "name": "capture.png",
        "type": "image/png",
        "kept": "2026-11-22T12:00:00Z",
    }
    assert evidence.path(digest).read_bytes() == b"what was seen"
    assert evidence.check([entry]) == []
    assert evidence.kept() == {digest}
    unknown = evidence.keep(saved(tmp_path, b"x", "record.unheard-of"), START)
    assert unknown["type"] == "application/octet-stream"


@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_office_reads_it_and_nobody_else(evidence: Evidence, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        entry = evidence.keep(saved(tmp_path), START)
    finally:
        os.umask(before)
    assert mode(evidence.folder) == 0o2770
    assert mode(evidence.path(str(entry["sha256"]))) == 0o640


def test_files_take_the_group_of_the_folder(evidence: Evidence, tmp_path: Path) -> None:
    evidence.folder.mkdir()
    os.chown(evidence.folder, -1, 12345)  # the tests run as root, as one who sets an office up
    evidence.folder.chmod(0o2770)
    entry = evidence.keep(saved(tmp_path), START)
    assert evidence.path(str(entry["sha256"])).stat().st_gid == 12345
    assert mode(evidence.folder) == 0o2770


def test_the_same_content_is_kept_once(evidence: Evidence, tmp_path: Path) -> None:
    one = evidence.keep(saved(tmp_path), START)
    inode = evidence.path(str(one["sha256"])).stat().st_ino
    two = evidence.keep(saved(tmp_path, name="other.txt"), START)
    assert (two["sha256"], two["name"], two["type"]) == (one["sha256"], "other.txt", "text/plain")
    assert [path.stat().st_ino for path in evidence.folder.iterdir()] == [inode]


def test_a_damaged_copy_is_replaced(evidence: Evidence, tmp_path: Path) -> None:
    entry = evidence.keep(saved(tmp_path), START)
    evidence.path(str(entry["sha256"])).write_bytes(b"WHAT was seen")
    assert evidence.check([entry]) == [f"its evidence 'capture.png' was altered: {entry['sha256']}"]
    evidence.keep(saved(tmp_path), START)
    assert evidence.check([entry]) == []


def test_large_files_are_streamed(evidence: Evidence, tmp_path: Path) -> None:
    path, copied = tmp_path / "film.mp4", []
    with path.open("wb") as stream:
        stream.truncate(64 * CHUNK)
    tracemalloc.start()
    try:
        entry = evidence.keep(path, START, copied.append)
        problems = evidence.check([entry])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (entry["size"], sum(copied), problems) == (64 * CHUNK, 64 * CHUNK, [])
    assert peak < 8 * CHUNK


# --- What is refused ---------------------------------------------------------------------------------------------


def test_only_files_are_evidence(evidence: Evidence, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, message in (
        (tmp_path / "absent.png", "cannot be read: No such file"),
        (tmp_path / "folder", "Is a directory|not a file"),
        (tmp_path / "pipe", "is not a file"),
        (Path("/dev/zero"), "is not a file"),
        (saved(tmp_path, b""), "is empty"),
    ):
        with pytest.raises(UsageError, match=message):
            evidence.keep(path, START)
    assert evidence.kept() == set()


def test_a_full_disk_leaves_nothing_behind(evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    for name in ("fsync", "fchmod", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, _full)
            with pytest.raises(TargetError, match="No space left"):
                evidence.keep(path, START)
        assert not [name for name in evidence.kept() if name.startswith(durable.TEMPORARY)]


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_source_that_fails_is_not_the_fault_of_the_disk(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_octets: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(UsageError, match=r"capture.png cannot be read: Input/output error"):
        evidence.keep(saved(tmp_path), START, stop)
    assert evidence.kept() == set()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    saved(tmp_path, name="file")
    with pytest.raises(TargetError, match="could not be written"):
        Evidence(tmp_path / "file" / "evidence").keep(saved(tmp_path), START)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("capture.png", "capture.png"),
        ("e\u0301cran.png", "\u00e9cran.png"),
        ("two\nlines\x1b[31m.txt", "two_lines_[31m.txt"),
        ("\u202egnp.exe", "_gnp.exe"),
        (os.fsdecode(b"caf\xe9.txt"), "caf_.txt"),
        ("\u0958" * 85, "\u0915\u093c" * 42 + "\u0915"),  # grows in NFC
    ],
)
def test_a_name_is_one_that_can_be_shown(name: str, kept: str) -> None:
    assert own_name(Path("/some/folder") / name) == kept
    assert len(own_name(Path(name)).encode()) <= 255


# --- What is found -----------------------------------------------------------------------------------------------


def test_what_is_lost_is_found(evidence: Evidence, tmp_path: Path) -> None:
    entry = evidence.keep(saved(tmp_path), START)
    digest = str(entry["sha256"])
    path = evidence.path(digest)
    for content, problem in ((b"WHAT was seen", "was altered"), (b"what", "has another size")):
        path.write_bytes(content)
        found = Evidence(evidence.folder).check([entry])
        assert found == [f"its evidence 'capture.png' {problem}: {digest}"]
    evidence.remove(digest)
    evidence.remove(digest)
    assert evidence.check([entry]) == [f"its evidence 'capture.png' is not there: {digest}"]
    path.mkdir()
    assert evidence.check([entry]) == [f"its evidence 'capture.png' is not a file any more: {digest}"]


@pytest.mark.parametrize("digest", ["", "../register.db", "A" * 64, "5a" * 31, None, 7, ["x"]])
def test_what_a_dossier_says_never_becomes_another_path(evidence: Evidence, digest: object) -> None:
    assert evidence.check([{"sha256": digest, "size": 1, "name": "x"}]) == ["its evidence 'x' has no SHA-256"]
    if isinstance(digest, str):
        for call in (evidence.path, evidence.remove):
            with pytest.raises(UsageError, match="is not a SHA-256"):
                call(digest)
