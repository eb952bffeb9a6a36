"""Work in another process: it says the same as this one, and when it dies or is not to be had, nothing goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from kit import Chain, forged_line
from servers import until

from blocklist import files, linting, reading
from blocklist.errors import RefusedError, TargetError, UnreachableError
from blocklist.linting import Linting
from blocklist.reading import read_aside
from blocklist.register import Register
from blocklist.replay import extend, read_all

HEAD = b"$TTL 300\n@ SOA localhost. hostmaster.localhost. 1795348800 300 60 2419200 60\n@ NS localhost.\n"
ZONE = [HEAD, *(b"n%d.example CNAME .\n*.n%d.example CNAME .\n" % (number, number) for number in range(1000))]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process, no open pipe."""
    before = set(Path("/proc/self/fd").iterdir())
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1  # that of the listing itself


@pytest.fixture
def lines() -> list[bytes]:
    """Some hundred envelopes, with rubbish among them."""
    chain = Chain()
    for number in range(150):
        chain.block(f"n{number}.example")
    good = [signed.line() for signed in chain.signed]
    return [*good[:100], b"", b"rubbish", forged_line(good[3], by="agent-2"), b"\xff" * 5000, *good[100:]]


def dying(*_args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# Reading


def read(batches: Iterable[list[object]]) -> list[object]:
    return [str(entry) if isinstance(entry, Exception) else entry for batch in batches for entry in batch]


def test_lines_are_read_the_same_elsewhere(lines: list[bytes]) -> None:
    assert read(read_aside(lines)) == read(read_all(lines))


def test_and_where_there_is_no_room_for_a_process(lines: list[bytes], full: None) -> None:
    assert read(read_aside(lines)) == read(read_all(lines))


def test_a_hint_comes_back(lines: list[bytes]) -> None:
    wrong = [next(entry for batch in reader([lines[0][:-1]]) for entry in batch) for reader in (read_all, read_aside)]
    assert vars(wrong[0]) == vars(wrong[1])


def test_what_is_wrong_with_the_lines_comes_last(lines: list[bytes]) -> None:
    def lost() -> Iterator[bytes]:
        yield from lines[:90]
        raise UnreachableError("the server is gone")

    found: list[object] = []
    with pytest.raises(UnreachableError, match="the server is gone"):
        for batch in read_aside(lost()):
            found += batch
    assert len(found) == 90


def test_a_replay_that_stops_waits_for_nobody(lines: list[bytes]) -> None:
    """Each of these envelopes is large, so that both pipes are full when the first one is refused."""
    many = [line for _ in range(200) for line in [lines[0], b"x" * 100_000]]
    with pytest.raises(Exception, match="act 2: "):
        list(extend(Register(), many, Chain().at, read_aside))


def test_a_reader_that_dies(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_work", dying)
    with pytest.raises(TargetError, match="the process that reads the acts has died"):
        list(read_aside(lines * 20))


def test_a_reader_that_dies_halfway(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def half(given: BinaryIO, answers: BinaryIO) -> None:
        answers.write(b"\x80\x05")
        answers.flush()
        dying()

    monkeypatch.setattr(reading, "_work", half)
    with pytest.raises(TargetError, match="has died"):
        list(read_aside(lines))


# Linting


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linting, "LONG", 1)


def lint(path: Path, chunks: Iterable[bytes], after: int | None = None) -> bytes:
    """Write a file through a linter, and give what it holds then."""
    path.unlink(missing_ok=True)
    with Linting(1000, after) as opened:
        files.write_chunks(path, opened.pass_on(path, chunks))
        opened.require()
        return path.read_bytes()


@pytest.mark.parametrize("file", ["rpz.zone", "hosts.txt"])
def test_the_octets_are_passed_on(long: None, tmp_path: Path, file: str) -> None:
    chunks = ZONE if file == "rpz.zone" else [b"# a\n", b"192.0.2.1 a.example\n"]
    assert lint(tmp_path / file, chunks) == b"".join(chunks)


@pytest.mark.parametrize(("chunks", "after"), [([*ZONE, ZONE[1]], None), (ZONE, 1795348801)])
def test_a_zone_is_refused_in_the_same_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chunks: list[bytes], after: int | None
) -> None:
    refusals = []
    for number in (1, 10_000):
        monkeypatch.setattr(linting, "LONG", number)
        with pytest.raises(RefusedError, match="a resolver would choke on") as caught:
            lint(tmp_path / "rpz.zone", chunks, after)
        refusals.append((caught.value.message, caught.value.hint))
    assert refusals[0] == refusals[1]


def test_a_release_without_a_zone(long: None) -> None:
    with Linting(1000, None) as opened:
        opened.require()


def test_what_is_linted_is_what_the_file_holds(long: None, tmp_path: Path) -> None:
    path = tmp_path / "a folder\nof two lines" / "rpz.zone"
    path.parent.mkdir()
    with Linting(1000, None) as opened:
        files.write_chunks(path, (chunk.replace(b"CNAME .", b"CNAME") for chunk in opened.pass_on(path, ZONE)))
        with pytest.raises(RefusedError, match="choke"):
            opened.require()


def test_a_file_that_goes_away_lets_nothing_pass(long: None, tmp_path: Path) -> None:
    path = tmp_path / "rpz.zone"
    with Linting(1000, None) as opened:
        list(opened.pass_on(path, ZONE))
        with pytest.raises(TargetError, match=r"the process that reads rpz\.zone"):
            opened.require()


def test_a_write_that_fails_leaves_no_process(long: None, tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield from ZONE
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"), Linting(1000, None) as opened:
        files.write_chunks(tmp_path / "rpz.zone", opened.pass_on(tmp_path / "rpz.zone", failing()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("times", [1, 10_000])
def test_a_linter_that_dies_lets_nothing_pass(
    long: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int
) -> None:
    monkeypatch.setattr(linting, "_work", dying)
    with pytest.raises(TargetError, match=r"the process that reads rpz\.zone as a resolver would has died"):
        lint(tmp_path / "rpz.zone", ZONE * times)


def test_without_room_for_a_process_it_is_linted_here(long: None, full: None, tmp_path: Path) -> None:
    path = tmp_path / "rpz.zone"
    assert lint(path, ZONE) == b"".join(ZONE)
    with pytest.raises(RefusedError, match="choke"):
        lint(path, [*ZONE, ZONE[1]])


# Its end


@contextmanager
def begun(program: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """A program that waits for the end of its input, and what it prints."""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        yield child, iter(child.stdout.readline, "")


def test_it_ends_with_the_one_that_began_it(tmp_path: Path) -> None:
    """The first is killed while both are alive, and the one that was begun later holds nothing of the other."""
    program = (
        "import os, sys\n"
        "from blocklist.aside import Aside\n"
        "def work(given, answers):\n"
        "    answers.write(b'%d\\n' % os.getpid()); answers.flush(); given.read()\n"
        "with Aside(work) as one, Aside(work) as two:\n"
        "    print(one.answers.readline().decode(), two.answers.readline().decode(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with begun(program, tmp_path) as (child, lines):
        others = [int(next(lines)) for _ in range(2)]
        child.kill()
        child.wait()
        until(lambda: not any(map(alive, others)), "the end of the other processes")


def test_it_holds_no_lock(tmp_path: Path) -> None:
    """Of a publisher that was killed, nothing keeps the next one waiting."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from blocklist import files\n"
        "from blocklist.aside import Aside\n"
        "def work(given, answers):\n"
        "    answers.write(b'%d\\n' % os.getpid()); answers.flush(); signal.pause()\n"
        "with files.locked(Path('lock'), 'test'), Aside(work) as one:\n"
        "    print(one.answers.readline().decode(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with begun(program, tmp_path) as (child, lines):
        other = int(next(lines))
        with pytest.raises(RefusedError, match="another test is running"), files.locked(tmp_path / "lock", "test"):
            pass
        child.kill()
        child.wait()
        assert alive(other)
        with files.locked(tmp_path / "lock", "test"):
            os.kill(other, signal.SIGKILL)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
