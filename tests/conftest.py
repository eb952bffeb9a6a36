"""What pytest itself needs: one language, settings of hypothesis that give the same run everywhere, workspaces."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from kit.effort import EXAMPLES
from kit.fixed import LIST
from kit.postgres import Postgres, running
from kit.ready_made import ready_made
from kit.shell import Shell, listed_site
from kit.site import Site, no_passphrase
from kit.two_lists import Both, other_of

from blocklist.keys.folder import KeyFolder
from blocklist.workspace import Workspace

os.environ["LANGUAGE"] = "en"  # what tests compare is English, whatever the machine speaks

# A busy machine is no fault of the code.
settings.register_profile("blocklist", deadline=None, max_examples=100 * EXAMPLES)
settings.load_profile("blocklist")


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCKLIST_AS", "BLOCKLIST_PASSPHRASE_FILE", "BLOCKLIST_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(tmp_path / "keys"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imprint.txt").write_text("no name, no address\n")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Iterator[Shell]:
    made = Shell(tmp_path, monkeypatch)
    yield made
    made.forget()


@pytest.fixture
def shell(empty: Shell) -> Shell:
    """A workspace with head-1, agent-1 and agent-2."""
    ready_made(empty.folder, datetime.now(UTC), Site)
    return empty


@pytest.fixture
def listed(empty: Shell) -> Shell:
    """The same, with bad.example listed and published."""
    ready_made(empty.folder, datetime.now(UTC), listed_site)
    return empty


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with running() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test has: by default it runs on each."""
    return str(request.param)


@pytest.fixture(scope="module")
def founded_both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Two lists, of which the first has a release."""
    return Both(tmp_path_factory.mktemp("lists") / "site", datetime.now(UTC))


@pytest.fixture
def both(founded_both: Both, tmp_path: Path) -> Both:
    """A copy of the two lists, free to be changed; the second has no release yet."""
    folder = shutil.copytree(founded_both.first.folder, tmp_path / "site")
    mine = copy.copy(founded_both)
    mine.first = copy.copy(founded_both.first)
    mine.first.folder, mine.first.keys = folder, KeyFolder(folder / "keys", no_passphrase)
    mine.first.workspace = Workspace(folder / "office", mine.first.keys, LIST)
    mine.second = other_of(mine.first)
    return mine
