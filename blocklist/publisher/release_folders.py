"""The folders of a list's releases in the published tree, and the head that each release shows."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from blocklist.base.instants import folder_instant, folder_name
from blocklist.release.manifest import SUMS

_HEAD = re.compile(rb"(?m)^# Register [0-9a-f]{64}, head: act (\d+), [0-9a-f]{64}$")
_MAX_HEADER = 16 * 1024


def release_folders(folder: Path) -> list[Path]:
    """Return the folders of all releases of a list, oldest first."""
    return sorted(path for path in folder.glob("2*Z") if path.is_dir())


class Releases:
    """The published releases of one list, oldest first, and the head that each one shows."""

    def __init__(self, folder: Path) -> None:
        self._folders = [path for path in release_folders(folder) if (path / SUMS).exists()]

    def first(self, holds: Callable[[int, datetime], bool]) -> datetime | None:
        """The instant of the first release for which `holds(number of its head, its instant)` is true.

        Heads and instants only grow, so that a few of thousands have to be looked at.
        """
        place = bisect_left(self._folders, True, key=lambda path: holds(_head(path), folder_instant(path.name)))
        return folder_instant(self._folders[place].name) if place < len(self._folders) else None

    def contradict(self, instant: datetime, head: int) -> bool:
        """Whether there cannot have been a release of that instant with that head.

        Of the time before the oldest release that is kept nothing is known.
        """
        names, name = [path.name for path in self._folders], folder_name(instant)
        if name in names:
            return _head(self._folders[names.index(name)]) != head
        return bool(names) and name > names[0]


def _head(folder: Path) -> int:
    with (folder / SUMS).open("rb") as stream:
        match = _HEAD.search(stream.read(_MAX_HEADER))
    return int(match[1]) if match else 0
