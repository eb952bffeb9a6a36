"""Workspaces that many tests begin with, made once and copied: to found one takes as long as most tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

_MAY_BE_OLD = timedelta(minutes=1)


class Movable(Protocol):
    """What stands in a folder, and finds its way in a copy of that."""

    def moved(self, folder: Path) -> Self: ...


_Made = TypeVar("_Made", bound=Movable)

_made: dict[Callable[[Path, datetime], Any], list[tuple[datetime, Path, Any]]] = {}


def ready_made(folder: Path, now: datetime, make: Callable[[Path, datetime], _Made]) -> _Made:
    """A copy, in `folder`, of what `make` makes with the time `now`, or made with a time up to a minute before.

    Its copies have the same keys and acts, and the clock of the first. Whoever needs two that differ calls `make`.
    """
    known = _made.setdefault(make, [])
    fresh = [(place, made) for at, place, made in known if timedelta(0) <= now - at < _MAY_BE_OLD]
    if fresh:
        place, made = fresh[0]
    else:
        place = Path(tempfile.mkdtemp(dir=_shelf().name))
        made = make(place, now)
        known.append((now, place, made))
    copy_tree(place, folder)
    return made.moved(folder)


@cache
def _shelf() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="blocklist-ready-")


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with its hard links."""
    seen: dict[int, str] = {}

    def copy(path: str, to: str) -> None:
        status = os.lstat(path)
        if status.st_ino in seen:
            os.link(seen[status.st_ino], to)
            return
        shutil.copy2(path, to)
        if status.st_nlink > 1:
            seen[status.st_ino] = to

    shutil.copytree(source, target, symlinks=True, copy_function=copy, dirs_exist_ok=True)
