"""The thief of docs/design.md, "What a thief can do": the rows of the table, and the office that is robbed.

Every test of a row plays the thief with what the row says is stolen: genuine keys, a genuine tree, a subscriber that
has accepted a release of it. It says which of the row's columns it proves; `test_thief` holds table and tests together.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from kit.docs import rows, section
from kit.fixed import LIST
from kit.hostile import Scene, Stage, later, signed_by_two
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.shell import WHY, Shell

from blocklist.register.acts import read_line
from blocklist.release import receipts
from blocklist.release.receipts import Receipt
from blocklist.store.store import Store

MINUTE = timedelta(minutes=1)
COLUMNS = ("can", "cannot", "sees", "recovery")
TABLE = {re.findall(r"\*\*(.+?)\*\*", row[0])[0]: row[1:] for row in rows(section("design.md", "What a thief can do"))}
"""What the document says, by what is stolen: a text for each of `COLUMNS`."""

PROVEN: dict[str, set[str]] = {}
"""The columns of each row that some test proves."""


class Entry(NamedTuple):
    """An act: which one it is, who signed it, and of which kind it is."""

    id: str
    by: str
    kind: str


_Test = TypeVar("_Test", bound=Callable[..., None])


def stolen(what: str, *columns: str) -> Callable[[_Test], _Test]:
    """Say which row of the table a test proves, and which columns of it; by default all."""

    def note(test: _Test) -> _Test:
        PROVEN.setdefault(what, set()).update(columns or COLUMNS)
        return test

    return note


class Theft(Stage):
    """A stage whose office is at hand as well, by its commands, at the clock of the scene.

    The subscriber has accepted the first release; the office has made the second (see `Scene`), which lists
    four.example and ends one.example. What the subscriber sees is what lies in the thief's tree.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(ready_made(folder, datetime.now(UTC), Scene.make), folder / "stolen")
        self.site = self.scene.site
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("BLOCKLIST_KEYS", str(self.site.keys.path))
        self.shell = Shell(self.site.folder, monkeypatch)
        self.shell.at(self.site.now)

    @property
    def lists(self) -> Path:
        return self.site.workspace.lists

    def wait(self, by: timedelta = MINUTE) -> datetime:
        """Let time go on, for the office and for its commands."""
        self.shell.at(later(self.site, by))
        return self.site.now

    def list_names(self, *wanted: str, by: str = "agent-2", approved_by: str = "agent-3", note: str = "") -> None:
        """Two officers list names by the commands."""
        self.shell("--as", approved_by, "approve", str(propose(self.shell, *wanted, by=by, note=note)))

    def published(self, *words: str) -> None:
        """The office publishes, and its tree is what the subscriber sees."""
        self.shell("publish", *words)
        self.back(self.site.exports)

    def goes_on(self, name: str = "five.example", **who: str) -> None:
        """The office lists another name, and the subscriber takes it: with what it pinned on the first day."""
        self.wait()
        self.list_names(name, **who)
        self.published()
        self.accepted(self.site.now)
        assert f"{name} A " in self.provider.installed()
        assert "evil" not in self.provider.installed()

    def newcomer(self, root: bytes | None = None) -> Provider:
        """Somebody who subscribes now, with the root of the first day unless another one was handed out."""
        number = len(list(self.provider.folder.parent.glob("newcomer-*")))
        folder = self.provider.folder.parent / f"newcomer-{number}"
        return Provider(folder, self.thief.url, root or self.scene.site.root.read_bytes())

    def pin(self, root: bytes) -> None:
        """The operator takes another root that was handed out, and keeps everything else."""
        (self.provider.state / "root.json").write_bytes(root)
        self.provider.edit(root=hashlib.sha256(root).hexdigest())

    def receipt(self) -> Receipt:
        """What the subscriber states to have installed."""
        return receipts.read(self.provider.list_state.receipt_path.read_bytes()).receipt

    def known(self) -> list[Entry]:
        """Every act that the subscriber has."""
        signed = map(read_line, self.provider.acts_path.read_bytes().splitlines())
        return [Entry(entry.id, entry.act.by, entry.act.body.kind) for entry in signed]

    def log(self) -> list[Entry]:
        """Every act that the office sees."""
        return [Entry(act["id"], act["by"], act["kind"]) for act in self.shell.json("log")["acts"]]

    def faults(self, expect: int = 3) -> list[tuple[int | None, str]]:
        """What `audit` finds: act and message."""
        return [(fault["act"], fault["message"]) for fault in self.shell.json("audit", expect=expect)["faults"]]

    def register(self) -> list[bytes]:
        """The acts as they are in the database."""
        with contextlib.closing(Store(self.lists)) as store:
            return list(store.lines(LIST))

    def list_without_guards(self, *domains: str) -> None:
        """What two agents can do whose program is their own."""
        lines = self.register()
        news = signed_by_two(self.site, lines, *domains, at=self.site.now)[len(lines) :]
        with contextlib.closing(Store(self.lists)) as store:
            store.append(LIST, [read_line(line) for line in news], [None] * len(news))

    def sql(self, database: str, *statements: str) -> list[Any]:
        """What somebody does who may write the files; gives the rows of the last statement."""
        with contextlib.closing(sqlite3.connect(self.lists / database, isolation_level=None)) as connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]

    def lose_register(self) -> None:
        """The database of the acts is gone."""
        for path in self.lists.glob("register.db*"):
            path.unlink()

    def put_back(self, copy: Path) -> None:
        """`lists/` as it was copied."""
        shutil.rmtree(self.lists)
        shutil.copytree(copy, self.lists)


def appoint(shell: Shell, officer: str, role: str = "agent", by: str = "head-1") -> int:
    """The act by which a head appoints somebody, with a key that is made for it."""
    public = shell.json("key", "new", officer, "--no-passphrase")["public"]
    return int(shell.json("--as", by, "officer", "appoint", officer, "--role", role, "--key", public)["act"])


def propose(shell: Shell, *wanted: str, by: str, note: str = "") -> int:
    """The act by which an agent proposes names."""
    return int(shell.json("--as", by, "add", *wanted, *WHY, "--note", note)["act"])


def holding(places: Iterable[Path], text: str) -> list[Path]:
    """The files, or the files below the folders, in which a text stands."""
    files = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]
