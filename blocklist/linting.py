"""A release is linted while it is written; a long zone by another process, because that takes as long as the rest.

That process reads the file itself, as far as it is there. So it makes nobody wait, and sees what a resolver will see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from blocklist.aside import Aside, Helped
from blocklist.errors import RefusedError, TargetError
from blocklist.lint import ZONE_SUFFIX, linted
from blocklist.messages import _

LONG = 50_000
"""Names from which on a process is worth its start."""

_PORTION = 1024 * 1024
_MORE = b"."


class Linting(Helped):
    """Lints the files of one release; to be entered before any thread begins.

    Args:
        names: How many the release has.
        after: The number of the release before.
    """

    def __init__(self, names: int, after: int | None) -> None:
        super().__init__(partial(_work, after) if names >= LONG else None)
        self._after = after
        self._path: Path | None = None

    def pass_on(self, path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand on the octets of a file to whoever writes it at that path; of zones, there is one.

        Raises:
            RefusedError: A resolver would choke on them. This may show at the end of the file, or by `require`.
        """
        if self._aside is None or not path.name.endswith(ZONE_SUFFIX):
            return linted(path.name, chunks, self._after)
        self._path = path
        return self._tell(self._aside, path, chunks)

    def _tell(self, other: Aside, path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand them on, and say each time that there is more to read."""
        try:
            other.given.write(f"{json.dumps(str(path))}\n".encode())
            for chunk in chunks:
                other.given.write(_MORE)
                other.given.flush()
                yield chunk
        except BrokenPipeError as fault:
            raise self._died(path) from fault

    def require(self) -> None:
        """Wait until all that was written is read; to be called when it is.

        Raises:
            RefusedError: A resolver would choke on it.
            TargetError: Nobody knows, because the process died.
        """
        if self._aside is None or self._path is None:
            return
        with suppress(BrokenPipeError):  # the answer tells
            self._aside.given.close()
        answer = self._aside.answers.read()
        if not answer:
            raise self._died(self._path)
        if refusal := json.loads(answer):
            raise RefusedError(*refusal)

    @staticmethod
    def _died(path: Path) -> TargetError:
        return TargetError(
            _("the process that reads {file} as a resolver would has died", file=path.name),
            _("the last release is still the current one; if memory was short, publish again"),
        )


def _work(after: int | None, given: BinaryIO, answer: BinaryIO) -> None:
    path, refusal = Path(json.loads(given.readline())), list[str]()
    try:
        for _chunk in linted(path.name, _growing(path, given), after):
            pass
    except RefusedError as fault:
        refusal = [fault.message, fault.hint]
    answer.write(json.dumps(refusal).encode())


def _growing(path: Path, told: BinaryIO) -> Iterator[bytes]:
    """The octets of a file that is being written, up to its end when nobody tells of more."""
    with path.open("rb") as stream:
        more = True
        while more:
            more = bool(told.read(len(_MORE)))
            yield from iter(partial(stream.read, _PORTION), b"")
