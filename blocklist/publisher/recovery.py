"""What a publisher that died left behind in the tree: what was never committed goes, what was is finished."""

from __future__ import annotations

import shutil
from pathlib import Path

from tuf.api.metadata import Snapshot

from blocklist.base import durable
from blocklist.base.instants import folder_instant
from blocklist.publisher.release_folders import release_folders
from blocklist.publisher.tree import Published, Repository, holds, version_in
from blocklist.trust.roles import SNAPSHOT


def clear(tree: Repository, list_id: str, number: int) -> None:
    """Remove unfinished files and a release that was never committed.

    Args:
        tree: The published tree.
        list_id: Whose release may be there.
        number: That of the next one. When stolen keys signed what the tree shows, or metadata are lost, nothing says
            which releases were genuine: those before the next one stay for `audit` to judge.

    Raises:
        TargetError: Something could not be removed.
    """
    current, snapshot = tree.current(list_id), tree.snapshot()
    committed, newest = current.number if current else 0, snapshot.version if snapshot else 0
    if current is None and _is_unknown(tree, list_id, snapshot):
        committed = newest = number - 1
    with durable.written(tree.path):
        for unfinished in tree.path.rglob(f"{durable.TEMPORARY}*"):
            shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink(missing_ok=True)
        if current is not None and current.path.exists():
            _lead_to(current)
        for folder in release_folders(tree.path / list_id):
            if folder_instant(folder.name).timestamp() > committed:
                _forget(folder, tree.targets / list_id)
        for path in tree.metadata.glob("*.json"):
            if max(version_in(path, list_id), version_in(path, SNAPSHOT)) > newest:
                path.unlink()


def _is_unknown(tree: Repository, list_id: str, snapshot: Snapshot | None) -> bool:
    """Whether there were releases of a list that has no current one."""
    if snapshot is None:
        return any(path.exists() for path in (tree.metadata / "timestamp.json", tree.path / list_id / "latest"))
    return bool(tree.lost(list_id, snapshot))


def _lead_to(current: Published) -> None:
    """Finish what comes after the commit."""
    latest, name = current.path.with_name("latest"), f"{current.folder}\n".encode()
    if not holds(latest, name):
        durable.replace(latest, name)


def _forget(folder: Path, linked: Path) -> None:
    """Remove a release and its links among the TUF targets."""
    for path in folder.iterdir():
        twin = linked / f"{durable.digest_of(path)}.{path.name}"
        if twin.exists() and twin.samefile(path):
            twin.unlink()
    if linked.exists():
        durable.sync_folder(linked)  # without the folder, nothing would lead to them
    shutil.rmtree(folder)
