"""Work for another process, so that two processors share a long task.

It begins as a copy of this one, before any thread does. It has nothing that is open here, and learns of nothing that
happens later but what it is given. Should this process be killed, that ends, and so does the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

_ROOM = 1024 * 1024
"""Octets that may wait in a pipe: what an unprivileged process may ask for."""

Work = Callable[[BinaryIO, BinaryIO], None]
"""Given what it reads and where it answers."""


class Aside:
    """The other process; `given` is what it reads, `answers` what it says. It is waited for at the end.

    Raises:
        OSError: The system has no room for it.
    """

    def __init__(self, work: Work) -> None:
        reading, given = _pipe()
        answers, answering = _pipe()
        try:
            self._process = os.fork()
        except OSError:
            for handle in (reading, given, answers, answering):
                os.close(handle)
            raise
        if not self._process:
            _begin(work, reading, answering)
        os.close(reading)
        os.close(answering)
        self.given: BinaryIO = os.fdopen(given, "wb")
        self.answers: BinaryIO = os.fdopen(answers, "rb")

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.given.close()
        self.answers.close()
        os.waitpid(self._process, 0)


def start(work: Work) -> Aside | None:
    """Another process for this work; None if the system has no room for it, so that it has to be done here."""
    try:
        return Aside(work)
    except OSError:
        return None


class Helped:
    """Whoever may have another process at work, from the beginning to the end of its context.

    Args:
        work: What that one does; without it, none is started.
    """

    def __init__(self, work: Work | None) -> None:
        self._aside = start(work) if work else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._aside is not None:
            self._aside.__exit__(kind, fault, at)


def _pipe() -> tuple[int, int]:
    source, sink = os.pipe()
    with contextlib.suppress(OSError):  # a smaller one only makes both wait more often
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _ROOM)
    return source, sink


def _begin(work: Work, reading: int, answering: int) -> None:
    """What the other process does. It ends here, so that nothing of the first one's is finished twice."""
    try:
        # A lock is held, and a pipe has no end, as long as any process has it open.
        for handle in [int(path.name) for path in Path("/dev/fd").iterdir()]:
            if handle not in (0, 1, 2, reading, answering):
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(handle)
        gc.disable()  # it would look at, and so copy, everything that is in memory here
        with os.fdopen(answering, "wb") as stream:
            work(os.fdopen(reading, "rb"), stream)
    finally:
        os._exit(0)
