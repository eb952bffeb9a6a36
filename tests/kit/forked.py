"""Commands in processes of their own, forked from this one: to import the program would be most of their life."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from blocklist.__main__ import run


class Forked:
    """A running `blocklist`, with as much of `subprocess.Popen` as tests need; nobody is at its standard input.

    Attributes:
        returncode: Its exit code, or minus the signal that ended it; None as far as is known while it runs.
    """

    def __init__(self, *words: str, folder: Path | None = None, **environment: str) -> None:
        self.returncode: int | None = None
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self.pid = os.fork()
        if self.pid == 0:
            self._live(words, folder or Path.cwd(), environment)

    def _live(self, words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> NoReturn:
        code: object = 70
        try:
            os.chdir(folder)
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

    def communicate(self, timeout: float = 120) -> tuple[bytes, bytes]:
        """What it wrote, when it has ended."""
        if self.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                ended, _, _ = select.select([handle], [], [], timeout)
            finally:
                os.close(handle)
            assert ended, f"it has not ended within {timeout} seconds"
            self.poll()
        with self._output, self._errors:
            self._output.seek(0)
            self._errors.seek(0)
            return self._output.read(), self._errors.read()
