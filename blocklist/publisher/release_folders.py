"""The folders of a list's releases in the published tree: which there are, and what leaves them.

Old releases leave by the policy's `keep` (`prune`): what remains for ever are their sums, their seals and every signed
root. What a publisher that was killed left behind is removed or finished (`clear`).
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Snapshot

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.publisher.tree import Published, Repository, holds, version_in
from blocklist.register.decoders import folder_instant, folder_name
from blocklist.release.manifest import SEAL, SUMS, read_header, read_sums
from blocklist.trust.roles import SNAPSHOT

_MAX_HEADER = 16 * 1024


def release_folders(folder: Path) -> list[Path]:
    """Return the folders of all releases of a list, oldest first."""
    return sorted(path for path in folder.glob("2*Z") if path.is_dir())


class Releases:
    """The published releases of one list, oldest first, and the head that each one shows."""

    def __init__(self, folder: Path) -> None:
        self._folders = [path for path in release_folders(folder) if (path / SUMS).exists()]

    def first_with(self, seq: int) -> datetime | None:
        """Return the instant of the first release whose head is the act `seq` or a later one.

        Heads and instants only grow, so that a few of thousands have to be looked at.
        """
        return self._instant(bisect_left(self._folders, seq, key=_head))

    def first_since(self, instant: datetime) -> datetime | None:
        """Return the instant of the first release that was made at `instant` or later."""
        return self._instant(bisect_left(self._folders, instant, key=lambda path: folder_instant(path.name)))

    def _instant(self, place: int) -> datetime | None:
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
    with (folder / SUMS).open("rb") as stream, suppress(VerificationError):
        return read_header(stream.read(_MAX_HEADER)).head.seq
    return 0


_MAX_SUMS = 1024 * 1024
_KEPT = frozenset((SUMS, SEAL))


# Old releases


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


# What a killed publisher left


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
