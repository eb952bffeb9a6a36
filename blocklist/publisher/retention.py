"""Old releases leave the published tree: what remains for ever are their sums, their seals and every signed root.

What goes first is what nothing names any more, so a crash in between leaves files that the next time goes, and no
metadata that lead nowhere. The current release and what is younger than the policy's `keep` are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import BlocklistError
from blocklist.base.instants import folder_instant
from blocklist.publisher.release_folders import release_folders
from blocklist.publisher.tree import Published
from blocklist.release.manifest import SEAL, SUMS, read_sums

_MAX_SUMS = 1024 * 1024
_KEPT = frozenset((SUMS, SEAL))


def prune(exports: Path, list_id: str, current: Published, keep: timedelta, now: datetime) -> int:
    """Remove the exports and metadata of releases that are older than `keep`; returns how many releases.

    Args:
        exports: The published tree.
        list_id: The list.
        current: Its current release, which stays whatever its age.
        keep: How long releases stay (the policy's `keep`).
        now: The clock.

    Raises:
        TargetError: Something could not be removed; the next publish goes on with it.
    """
    folders = release_folders(exports / list_id)
    old = [folder for folder in folders if folder_instant(folder.name) < now - keep and folder != current.path]
    going = [folder for folder in old if any(path.name not in _KEPT for path in folder.iterdir())]
    with durable.written(exports / list_id):
        _remove(_metadata(exports, list_id, current, now - keep))
        if going:
            needed = {entry for folder in folders if folder not in old for entry in _targets(folder)}
            linked = exports / "targets" / list_id
            _remove(linked / name for folder in going for name in _targets(folder) if name not in needed)
            if linked.exists():
                durable.sync_folder(linked)  # without the files beside the sums, nothing would lead to these
            _remove(path for folder in going for path in folder.iterdir() if path.name not in _KEPT)
    return len(going)


def _targets(folder: Path) -> set[str]:
    """The names under which TUF clients ask for the files of a release, sums and seal among them."""
    try:
        sums = durable.read(folder / SUMS, "", _MAX_SUMS)
        listed = read_sums(sums)
    except BlocklistError:  # an audit says what is wrong with it; here nothing of it is touched
        return set()
    others = {path.name: durable.digest_of(path) for path in (folder / SUMS, folder / SEAL)}
    return {f"{digest}.{name}" for name, digest in {**listed, **others}.items()}


def _metadata(exports: Path, list_id: str, current: Published, before: datetime) -> Iterator[Path]:
    """The list's role and the snapshots of old releases; what the current timestamp leads to is newer than that."""
    oldest = min(before.timestamp(), current.number)
    for path in (exports / "metadata").glob("*.json"):
        version, _dot, role = path.name.removesuffix(".json").partition(".")
        if role in (list_id, "snapshot") and version.isdigit() and int(version) < oldest:
            yield path


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)
