"""Commands in processes of their own, forked from this one: to import the program would be most of their life."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from blocklist.__main__ import run


class Forked:
    """A running `blocklist`, with as much of `subprocess.Popen` as tests need; nobody is at its standard input.

    What it starts itself is in a group of processes with it.

    Attributes:
        returncode: Its exit code, or minus the signal that ended it; None as far as is known while it runs.
    """

    def __init__(self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.returncode: int | None = None
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self.pid = os.fork()
        if self.pid == 0:
            self._live(words, cwd or Path.cwd(), dict(os.environ if env is None else env))
        with contextlib.suppress(OSError):  # whichever of the two is first
            os.setpgid(self.pid, self.pid)

    def _live(self, words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> NoReturn:
        code: object = 70
        try:
            os.setpgid(0, 0)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self._output.fileno(), 1)
            os.dup2(self._errors.fileno(), 2)
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
            sys.argv = ["blocklist", *words]
            run()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but no longer than this."""
        if self.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                select.select([handle], [], [], seconds)  # readable when the process has ended
            finally:
                os.close(handle)
        return self.poll() is not None

    def kill_all(self) -> None:
        """Kill it and what it has started."""
        os.killpg(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float = 120) -> tuple[bytes, bytes]:
        """What it wrote, when it has ended."""
        assert self.ends_within(timeout), f"it has not ended within {timeout} seconds"
        with self._output, self._errors:
            self._output.seek(0)
            self._errors.seek(0)
            return self._output.read(), self._errors.read()


OURS = [sys.executable, "-m", "blocklist"]


def run_forked(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, **how: object
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` for a command of ours whose output is text."""
    assert command[:3] == OURS
    running = Forked(*command[3:], cwd=cwd, env=env)
    said, complaints = (content.decode() for content in running.communicate())
    if how.get("stderr") == subprocess.STDOUT:
        said, complaints = said + complaints, ""
    assert running.returncode is not None
    return subprocess.CompletedProcess(command, running.returncode, said, complaints)
