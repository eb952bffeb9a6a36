"""Processes for an office that is killed: one that adds, approves, removes and publishes, one that verifies all along.

Run as a program, with a role and the folder of a site; what it has to say it writes to standard output, line by line.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Self

from kit.paths import TESTS
from kit.site import Site
from kit.tree import current, with_openssl, with_tuf
from tuf.api.metadata import Metadata

from blocklist.names.domain_name import Name, Scope
from blocklist.office import approve, propose, remove
from blocklist.release.manifest import SEAL, SUMS

VERBS = ("add", "approve", "remove", "publish")
STEP = timedelta(seconds=2)
"""How far the clock goes from one thing to the next. A release is a second later than the last one, whatever the
clock says: an office that publishes all the time would be ahead of the real clock before long."""


def say(text: str) -> None:
    """One line, whole or not at all, whenever this process is killed."""
    os.write(1, f"{text}\n".encode())


# --- An office --------------------------------------------------------------------------------------------------------


def verbs_for_ever(site: Site, chance: random.Random) -> None:
    """Do what officers and the publisher do, in any order, and say what is done when the call has returned."""
    while True:
        site.now += STEP
        (verb,) = chance.choices(VERBS, (3, 3, 2, 4))
        say(f"begin {verb}")
        if verb == "publish":
            say(f"release {site.publish().number}")
            continue
        with site.office("agent-2" if verb == "approve" else "agent-1") as office:
            if verb == "add":
                texts = {f"n{chance.getrandbits(48):012x}.example" for _ in range(chance.randint(1, 2))}
                made = propose.propose(office, [Name(text, Scope.DOMAIN) for text in texts], site.proposal())
            elif verb == "approve":
                waiting = [entry.ref.seq for entry in approve.waiting_for(office)]
                made = approve.approve(office, *chance.sample(waiting, min(2, len(waiting))))
            else:
                listed = sorted(office.register.in_force(office.now).names(), key=str)
                made = remove.remove(office, chance.sample(listed, 1), "lawful", "") if listed else []
            for signed in made:
                say(f"act {signed.id}")


def be_an_office(folder: Path) -> None:
    """For every line `SEED INSTANT` of the input, an office of its own, which goes on until it is killed.

    It is forked from a process that has done all of it once: imports and first uses would be most of its life.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        practice = Site(Path(scratch), datetime.now(UTC))
        practice.block("practice.example")
        practice.remove("practice.example")
        practice.publish()
    say("ready")
    for line in sys.stdin:
        seed, instant = line.split()
        child = os.fork()
        if child == 0:
            try:
                say(f"pid {os.getpid()}")
                verbs_for_ever(Site.at(folder, datetime.fromisoformat(instant)), random.Random(seed))
            except BaseException:
                say(f"fault {traceback.format_exc()!r}")
            finally:
                os._exit(1)
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


# --- Readers ----------------------------------------------------------------------------------------------------------


class Readers:
    """Who has `openssl`, who has python-tuf and has looked before, and who looks for the first time."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.number = 0
        self.latest = ""
        self.looks = 0
        self._root = site.root.read_bytes()
        folder.mkdir()

    def look(self) -> None:
        """All verify what they see, and nobody sees an older release than before."""
        self.looks += 1
        number, got = self._with_tuf("kept")
        assert f"({number})".encode() in got["rpz.zone"]
        assert number >= self.number
        if self.looks % 4 == 0:
            newest, _ = self._with_tuf("new")
            assert newest >= number
            shutil.rmtree(self.folder / "new")
        self.number = number
        self._with_openssl()

    def _with_tuf(self, name: str) -> tuple[int, dict[str, bytes]]:
        got = with_tuf(self.site.exports, self.folder / name, self._root)
        return Metadata.from_file(str(self.folder / name / "metadata/timestamp.json")).signed.version, got

    def _with_openssl(self) -> None:
        """The release that `latest` names, fetched file by file as `docs/verify.md` says."""
        release = current(self.site)
        assert release.name >= self.latest
        self.latest = release.name
        for name in (SUMS, SEAL, "rpz.zone"):
            shutil.copy(release / name, self.folder)
        assert with_openssl(self.folder, self.site.exports / "seal.pem") == ""


def be_readers(folder: Path) -> None:
    """Look again and again until the input ends; say how often, or what went wrong."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        readers = Readers(Site.at(folder, datetime.now(UTC)), Path(scratch) / "readers")
        say("ready")
        try:
            while not select.select([sys.stdin], [], [], 0)[0]:
                readers.look()
        except BaseException:
            say(f"fault {traceback.format_exc()!r}")
    say(f"looks {readers.looks}")


# --- Whoever starts them ----------------------------------------------------------------------------------------------


class Process:
    """One of these programs; used as a context, it is told at the end that its input is over."""

    def __init__(self, role: str, site: Site) -> None:
        self.site = site
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kit.crash_office", role, str(site.folder)],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read = b""
        assert self.line() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._stdin.closed:
            self._stdin.close()
        self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def tell(self, text: str) -> None:
        self._stdin.write(f"{text}\n".encode())
        self._stdin.flush()

    def line(self, within: float | None = None) -> str | None:
        """The next line; None when so many seconds have passed without one."""
        while b"\n" not in self._read:
            if not select.select([self._stdout], [], [], within)[0]:
                return None
            more = os.read(self._stdout.fileno(), 65536)
            assert more, "the process has ended"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        text = line.decode()
        assert not text.startswith("fault "), text
        return text


@dataclass
class Life:
    """What an office has done and said until it was killed, and what it was doing then."""

    begun: list[str] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    releases: list[int] = field(default_factory=list)

    def take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        keep: dict[str, Callable[[str], None]] = {
            "begin": self.begun.append,
            "act": self.acts.append,
            "release": lambda number: self.releases.append(int(number)),
        }
        keep[word](rest)


class Office(Process):
    """An office that is killed again and again."""

    def __init__(self, site: Site) -> None:
        super().__init__("office", site)

    def live(self, seed: int, seconds: float) -> Life:
        """Have it work for so long, and kill it."""
        self.tell(f"{seed} {self.site.now.isoformat()}")
        life, pid = Life(), int((self.line() or "").removeprefix("pid "))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if (line := self.line(left)) is not None:
                life.take(line)
        os.kill(pid, signal.SIGKILL)
        while (line := self.line()) != f"ended {-signal.SIGKILL}":
            assert line is not None
            life.take(line)
        self.site.now += STEP * (len(life.begun) + 1)
        return life


class Watch(Process):
    """Readers that verify all the time."""

    def __init__(self, site: Site) -> None:
        super().__init__("readers", site)

    def require_well(self) -> None:
        """None of them has found anything wrong until now."""
        assert self.line(0) is None

    def looks(self) -> int:
        """End it; how often all of them have verified everything."""
        self._stdin.close()
        word, number = (self.line() or "").split()
        assert word == "looks"
        return int(number)


if __name__ == "__main__":
    {"office": be_an_office, "readers": be_readers}[sys.argv[1]](Path(sys.argv[2]))
