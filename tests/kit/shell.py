"""The command line as tests use it: in a workspace of its own, every run checked for tracebacks and its exit code."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kit.fixed import LIST
from kit.site import Site

from blocklist.cli import commands
from blocklist.cli.commands import main

_TIME: list[datetime] = []


def _clock() -> datetime:
    """The time that a test set, or the real one."""
    return _TIME[-1] if _TIME else datetime.now(UTC)


# The commands have no clock that a user could set; their modules, not loaded yet, take this one.
commands.clock = _clock

SAYS = tuple(
    word for ask in ("terrorist-act", "favourable", "public", "context") for word in ("--say", f"{ask}=as seen")
)
NO_PROOF = ("--ground", "apology", "--basis", "no-identification", "--ref", "2026-17", *SAYS)
WHY = (*NO_PROOF, "--evidence", "imprint.txt")


class Shell:
    """Runs commands in a workspace; every run is checked for tracebacks and for its exit code."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.office = folder / "office"
        self.keys = folder / "keys"
        self._monkeypatch = monkeypatch

    def __call__(self, *args: str | Path, expect: int = 0, where: bool = True, **rest: Any) -> Result:
        words = [*(["-C", str(self.office)] if where else []), *map(str, args)]
        result = CliRunner().invoke(main, words, **rest)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert "Traceback" not in result.output
        assert result.exit_code == expect, result.output
        return result

    def json(self, *args: str | Path, expect: int = 0) -> Any:
        """The one JSON object that the command prints."""
        return json.loads(self("--json", *args, expect=expect).stdout)

    def refused(self, *args: str | Path, code: int, message: str, **rest: Any) -> Result:
        """Run a command that has to fail: one error line, nothing on standard output."""
        result = self(*args, expect=code, **rest)
        errors = [line for line in result.stderr.splitlines() if line.startswith("blocklist: error: ")]
        assert len(errors) == 1
        assert re.search(message, result.stderr), result.stderr
        assert result.stdout == ""
        return result

    def terminal(self) -> None:
        """From now on there is somebody to ask."""
        self._monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)

    def at(self, instant: datetime) -> None:
        """From now on this is the time; `Shell.forget` ends it."""
        _TIME[:] = [instant]

    @staticmethod
    def forget() -> None:
        """It is the real time again."""
        _TIME.clear()

    def acts(self) -> int:
        return len(self.json("log")["acts"])

    def subscribe(self, *more: str | Path, url: str | None = None, name: str = "subscription.yaml") -> Path:
        path = self.folder / "isp" / name
        self(
            *("subscribe", url or (self.office / "exports").as_uri(), "--list", LIST, "--environment", "test"),
            *("--root", self.office / "exports/metadata/1.root.json", "-o", path),
            *(more or ("--to", f"rpz={self.folder}/isp/rpz.zone")),
        )
        return path

    @property
    def release(self) -> Path:
        folder = self.office / "exports" / LIST
        return folder / (folder / "latest").read_text().strip()


def listed_site(folder: Path, now: datetime) -> Site:
    """A site where bad.example is listed and published by commands; these are run in its folder, with its keys."""
    made = Site(folder, now)
    (folder / "imprint.txt").write_text("no name, no address\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLOCKLIST_KEYS", str(made.keys.path))
        patch.chdir(folder)
        shell = Shell(folder, patch)
        shell("--as", "agent-1", "add", "bad.example", *WHY)
        shell("--as", "agent-2", "approve", "4")
        shell("publish")
    return made
