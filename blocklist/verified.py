"""A register as somebody verified it last, so that what follows is all that has to be replayed.

It belongs to the very octets of the acts that it came from, which are compared each time, and to the account that wrote
it, in a folder that nobody else can open. Whatever is wrong with it, it is as if there were none, and every act is
replayed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from blocklist import files, states
from blocklist.aside import Helped
from blocklist.errors import BlocklistError
from blocklist.files import Written
from blocklist.register import Register

_MAX_FILE = 1 << 30


class Verified(NamedTuple):
    """A register, and how many octets of the acts it has seen."""

    register: Register
    length: int


def start(path: Path, first: Callable[[int], Iterable[bytes]], oldest: int, now: datetime) -> Verified:
    """Where a replay can begin: no later than at the act number `oldest`; else with none.

    Args:
        path: Where a register may have been kept.
        first: Gives so many octets of the acts, as far as they go.
        oldest: The first act after which the register is wanted.
        now: The clock.
    """
    with suppress(*states.UNUSABLE):
        about, lines = states.unseal(files.read(path, "", _MAX_FILE))
        seen, register = Written(*about), states.read(lines)[0]
        fits = seen.length and len(register.ids) <= oldest and register.at <= now
        if fits and files.digest(first(seen.length)) == seen:
            return Verified(register, seen.length)
    return Verified(Register(), 0)


def keep(path: Path, register: Register, seen: Written) -> None:
    """Keep a register that came from these acts; worth it after `states.KEEP_AFTER` of them."""
    _write(path, seen, states.write(register))


class Keeping(Helped):
    """Keeps a register by another process, which prepares it at once and writes it when it is told of its acts.

    What nobody tells of is not kept; to be entered before any thread begins.
    """

    def __init__(self, path: Path, register: Register) -> None:
        super().__init__(partial(_work, path, register))

    def keep(self, seen: Written) -> None:
        """Keep it: it came from these acts."""
        if self._aside is not None:
            with suppress(BrokenPipeError):
                self._aside.given.write(states.encode(seen))
                self._aside.given.close()


def _work(path: Path, register: Register, given: BinaryIO, _answers: BinaryIO) -> None:
    lines = states.write(register)
    if told := given.read():
        _write(path, Written(*json.loads(told)), lines)


def _write(path: Path, seen: Written, lines: Iterable[bytes]) -> None:
    with suppress(OSError, BlocklistError):  # without it the next replay takes longer
        files.make_folder(path.parent, 0o700)
        for unfinished in path.parent.glob(f"{files.TEMPORARY}{path.name}-*"):
            unfinished.unlink(missing_ok=True)  # of one that was killed: whoever keeps it holds a lock
        files.note(path, states.seal(seen, lines))
