"""Work for another process, so that two processors share a long task.

It begins as a copy of this one, before any thread does, and has nothing of what happens here later but what it is
given. Should this process be killed, that ends, and so does the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

_ROOM = 1024 * 1024
"""Octets that may wait in a pipe: what an unprivileged process may ask for."""

Work = Callable[[BinaryIO, BinaryIO], None]
"""Given what it reads and where it answers."""

_ours: set[int] = set()
"""The ends of pipes that no other process may hold, or what it is given would never end."""


class Aside:
    """The other process; `given` is what it reads, `answers` what it says. It is waited for at the end.

    Raises:
        OSError: The system has no room for it.
    """

    def __init__(self, work: Work) -> None:
        reading, given = _pipe()
        answers, answering = _pipe()
        ours = {given, answers}
        try:
            self._process = os.fork()
        except OSError:
            for handle in (reading, answering, *ours):
                os.close(handle)
            raise
        if not self._process:
            _begin(work, reading, answering, ours | _ours)
        os.close(reading)
        os.close(answering)
        self._ours = ours
        _ours.update(ours)
        self.given: BinaryIO = os.fdopen(given, "wb")
        self.answers: BinaryIO = os.fdopen(answers, "rb")

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        _ours.difference_update(self._ours)
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


def _pipe() -> tuple[int, int]:
    source, sink = os.pipe()
    with contextlib.suppress(OSError):  # a smaller one only makes both wait more often
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _ROOM)
    return source, sink


def _begin(work: Work, reading: int, answering: int, others: set[int]) -> None:
    """What the other process does. It ends here: whatever was open when it began is the first one's to close."""
    try:
        for handle in others:
            os.close(handle)
        gc.disable()  # it would look at, and so copy, everything that is in memory here
        with os.fdopen(answering, "wb") as stream:
            work(os.fdopen(reading, "rb"), stream)
    finally:
        os._exit(0)
