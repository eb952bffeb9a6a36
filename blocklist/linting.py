"""A release is linted while it is written; a long zone by another process, because that takes as long as the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import BinaryIO

from blocklist.aside import Aside, Helped
from blocklist.errors import RefusedError, TargetError
from blocklist.lint import ZONE_SUFFIX, linted
from blocklist.messages import _

LONG = 50_000
"""Names from which on a process is worth its start."""

_PORTION = 1024 * 1024


class Linting(Helped):
    """Lints the files of one release; to be entered before any thread begins.

    Args:
        names: How many the release has.
        after: The number of the release before.
    """

    def __init__(self, names: int, after: int | None) -> None:
        super().__init__(partial(_work, after) if names >= LONG else None)
        self._after = after
        self._file = ""

    def pass_on(self, file: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand on the octets of a file; of zones, there is one.

        Raises:
            RefusedError: A resolver would choke on them. This may show at the end of the file, or by `require`.
        """
        if self._aside is None or not file.endswith(ZONE_SUFFIX):
            return linted(file, chunks, self._after)
        self._file = file
        return self._pass_aside(self._aside, chunks)

    def _pass_aside(self, other: Aside, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            other.given.write(f"{self._file}\n".encode())
            for chunk in chunks:
                other.given.write(chunk)
                yield chunk
            other.given.close()
        except BrokenPipeError as fault:
            raise self._died() from fault

    def require(self) -> None:
        """Wait until all that was handed on is read.

        Raises:
            RefusedError: A resolver would choke on it.
            TargetError: Nobody knows, because the process died.
        """
        if self._aside is None or not self._file:
            return
        answer = self._aside.answers.read()
        if not answer:
            raise self._died()
        if refusal := json.loads(answer):
            raise RefusedError(*refusal)

    def _died(self) -> TargetError:
        return TargetError(
            _("the process that reads {file} as a resolver would has died", file=self._file),
            _("the last release is still the current one; if memory was short, publish again"),
        )


def _work(after: int | None, given: BinaryIO, answer: BinaryIO) -> None:
    file, refusal = given.readline().decode().removesuffix("\n"), list[str]()
    try:
        for _chunk in linted(file, iter(partial(given.read, _PORTION), b""), after):
            pass
    except RefusedError as fault:
        refusal = [fault.message, fault.hint]
    answer.write(json.dumps(refusal).encode())
