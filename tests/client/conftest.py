"""What a subscriber meets: a stolen publisher, an office that is robbed, a tree in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.hostile import Scene
from kit.memory import Memory
from kit.ready_made import ready_made
from kit.thief import Theft


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """What a stolen publisher begins with; see kit/hostile.py."""
    now = datetime.now(UTC)  # python-tuf looks at the real clock
    return ready_made(tmp_path_factory.mktemp("scene"), now, Scene.make)


@pytest.fixture
def theft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Iterator[Theft]:
    """An office that is robbed, and one subscriber; see kit/thief.py."""
    made = Theft(tmp_path, monkeypatch)
    yield made
    made.shell.forget()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A tree in memory, from which every pull reads."""
    made = Memory()
    monkeypatch.setattr("blocklist.client.pull.transport", lambda _subscription, _deadline: made)
    return made
