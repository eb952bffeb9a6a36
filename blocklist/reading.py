"""A long register is read by another process, ahead of the replay here that judges what it read."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO

from blocklist import aside
from blocklist.errors import TargetError
from blocklist.messages import _
from blocklist.replay import Read, Reader, batches, read_all

LONG = 100
"""Acts from which on a process is worth its start."""


def reader(count: int) -> Reader:
    """What reads so many acts."""
    return read_aside if count >= LONG else read_all


def read_aside(lines: Iterable[bytes]) -> Iterator[list[Read]]:
    """The same as `read_all`; no thread may run when it begins.

    Raises:
        TargetError: The process died.
    """
    started = aside.start(_work)
    if started is None:
        yield from read_all(lines)
        return
    with started as other, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(_send, lines, other.given)
        received = 0
        try:
            # A process that died leaves half an answer, or none.
            with suppress(EOFError, pickle.UnpicklingError):
                while True:
                    batch = pickle.load(other.answers)  # noqa: S301  (a copy of this process wrote it)
                    received += len(batch)
                    yield batch
        finally:
            other.answers.close()  # should the caller have stopped, neither goes on, and the thread can end
        if sending.result() != received:
            raise TargetError(_("the process that reads the acts has died"), _("try again; is there enough memory?"))


def _send(lines: Iterable[bytes], given: BinaryIO) -> int:
    """Hand over the lines; gives how many there were."""
    count = 0
    try:
        for batch in batches(lines):
            pickle.dump(batch, given)
            count += len(batch)
    except BrokenPipeError:
        return -1
    finally:
        with suppress(BrokenPipeError):
            given.close()
    return count


def _work(given: BinaryIO, answers: BinaryIO) -> None:
    for batch in read_all(_received(given)):
        pickle.dump(batch, answers)
        answers.flush()


def _received(given: BinaryIO) -> Iterator[bytes]:
    with suppress(EOFError):
        while True:
            yield from pickle.load(given)  # noqa: S301
