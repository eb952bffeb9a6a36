"""A publisher in memory: a tree of files behind a `Transport`, which answers any request as a test wants it to.

In the manner of python-tuf's repository simulator. What an attack over the network can do is done here without a
socket: another answer at the second request, a file that changes half-way through a pull, a lie about a range.
"""

from __future__ import annotations

import datetime as clock
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from kit.hostile import Scene, Stage
from tuf.ngclient._internal import trusted_metadata_set

from blocklist.client.transport import Answer, TransportError

URL = "https://publisher.example"


@dataclass(frozen=True)
class Asked:
    """One request: the file's path in the tree, from which octet on, and the marks of the answer that is known."""

    path: str
    offset: int = 0
    marks: Mapping[str, str] = field(default_factory=dict)


Reply = Callable[["Memory", Asked], Answer]


class Memory:
    """A `Transport` to a tree in memory; every request is written down in `asked`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.sent = 0
        self._replies: dict[str, list[Reply]] = {}
        self._before: list[tuple[str, Callable[[], object]]] = []

    def load(self, exports: Path) -> None:
        """Show the files of a published tree, and no others."""
        self.files = {
            str(path.relative_to(exports)): path.read_bytes() for path in exports.rglob("*") if path.is_file()
        }

    def answer(self, word: str, *replies: Reply) -> None:
        """Answer requests for paths that end so with these replies, one after the other; the last one stays."""
        self._replies[word] = list(replies)

    def before(self, word: str, action: Callable[[], object]) -> None:
        """Do something once, before the next request for such a path is answered."""
        self._before.append((word, action))

    def honest(self) -> None:
        """Answer as a good server again, and forget what was asked."""
        self._replies.clear()
        self._before.clear()
        self.asked.clear()
        self.sent = 0

    def paths(self, word: str = "") -> list[str]:
        """What was asked for, of paths that end so."""
        return [asked.path for asked in self.asked if asked.path.endswith(word)]

    # What a `Transport` is

    def get(self, url: str, offset: int = 0, marks: Mapping[str, str] | None = None) -> Answer:
        assert url.startswith(f"{URL}/"), url
        asked = Asked(url.removeprefix(f"{URL}/"), offset, dict(marks or {}))
        self.asked.append(asked)
        for entry in [entry for entry in self._before if asked.path.endswith(entry[0])]:
            self._before.remove(entry)
            entry[1]()
        replies = next((made for word, made in self._replies.items() if asked.path.endswith(word)), [honest])
        made = (replies.pop(0) if len(replies) > 1 else replies[0])(self, asked)
        return Answer(made.status, made.marks, self._counted(made.chunks))

    def close(self) -> None:
        pass

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk


def tag(content: bytes) -> dict[str, str]:
    """The mark of a file."""
    return {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'}


# What a server answers


def honest(memory: Memory, asked: Asked) -> Answer:
    """As a good web server does."""
    content = memory.files.get(asked.path)
    if content is None:
        return Answer(404)
    if asked.marks == tag(content):
        return Answer(304, asked.marks)
    return Answer(206 if asked.offset else 200, tag(content), iter([content[asked.offset :]]))


def status(number: int) -> Reply:
    """Nothing but a status."""
    return lambda memory, asked: Answer(number)


def body(content: bytes, number: int = 200, **marks: str) -> Reply:
    """The same content, whatever was asked for."""
    return lambda memory, asked: Answer(number, marks or tag(content), iter([content]))


def endless(chunk: bytes = b" " * 65536, most: int = 10_000, number: int = 200) -> Reply:
    """What is there, and then a chunk again and again. A client that reads more than `most` of them never stops."""

    def chunks(content: bytes) -> Iterator[bytes]:
        yield content
        for _ in range(most):
            yield chunk
        raise AssertionError("the client reads without end")

    return lambda memory, asked: Answer(number, {}, chunks(memory.files.get(asked.path, b"")[asked.offset :]))


def broken_off(share: float = 0.5, number: int = 200) -> Reply:
    """Part of the file, and then the connection is gone."""

    def chunks(content: bytes) -> Iterator[bytes]:
        yield content[: int(len(content) * share)]
        raise TransportError("the connection is gone")

    return lambda memory, asked: Answer(number, {}, chunks(memory.files[asked.path][asked.offset :]))


def drip(memory: Memory, asked: Asked) -> Answer:
    """Honest, octet by octet."""
    made = honest(memory, asked)
    return Answer(made.status, made.marks, (bytes([octet]) for chunk in made.chunks for octet in chunk))


class MemoryStage(Stage):
    """A provider that reads the thief's tree over a network in memory."""

    def __init__(self, scene: Scene, folder: Path, memory: Memory) -> None:
        self.memory = memory
        super().__init__(scene, folder, URL)

    def show(self) -> None:
        self.memory.load(self.thief.exports)


@contextmanager
def tuf_clock(now: clock.datetime) -> Iterator[None]:
    """python-tuf asks the machine for the time, and takes no other."""
    frozen = SimpleNamespace(datetime=SimpleNamespace(now=lambda _zone: now), timezone=clock.timezone)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(trusted_metadata_set, "datetime", frozen)
        yield
