"""Writing a release into the published tree: files first and the timestamp last.

The rename of `timestamp.json` is the commit: what is written before it is not referenced by anything, and the next
`publish` clears it after a crash (`recovery`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from blocklist.base import durable
from blocklist.base.durable import Written
from blocklist.keys.encoding import SigningKey
from blocklist.keys.folder import KeyFolder
from blocklist.publisher.tree import Repository
from blocklist.release.manifest import ACTS, CHANGES
from blocklist.release.renderers import Release
from blocklist.trust.folder import add_signatures, read, signed_bytes
from blocklist.trust.online_keys import require_delegated, role_keys
from blocklist.trust.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, signed_by


@contextmanager
def staged(tree: Repository, release: Release) -> Iterator[Path]:
    """Give a folder for the files of a release; at the end it takes the release's name, on a failure it goes away.

    Raises:
        TargetError: The disk is full or the tree cannot be written.
    """
    folder = tree.path / release.list_id / release.folder
    durable.make_folder(folder.parent)
    durable.make_folder(tree.targets / release.list_id)
    with durable.folder(folder) as staging:
        yield staging


def commit(
    tree: Repository,
    release: Release,
    written: Mapping[str, Written],
    since: Mapping[str, object] | None,
    keys: Mapping[str, list[SigningKey]],
) -> Path:
    """Name the files of a staged release in TUF metadata, and make them count; return the release's folder.

    Args:
        tree: The published tree.
        release: The release; its number is greater than every one before.
        written: Its files.
        since: Number and head of the release that `changes.json` compares with.
        keys: See `release_keys`.

    Raises:
        TargetError: The tree cannot be written; the last release is still the current one.
    """
    folder = tree.path / release.list_id / release.folder
    paths = {name: f"{release.list_id}/{name}" for name in sorted(written)}
    targets = {
        path: TargetFile(written[name].length, {"sha256": written[name].sha256}, path) for name, path in paths.items()
    }
    targets[paths[ACTS]].unrecognized_fields["custom"] = {"head": release.head.to_json()}
    targets[paths[CHANGES]].unrecognized_fields["custom"] = {"since": since}
    with durable.written(folder):
        _link(tree, folder, targets.values())
        _write_metadata(tree, release, targets, keys)
    return folder


def release_keys(tree: Repository, list_id: str, keys: KeyFolder) -> dict[str, list[SigningKey]]:
    """Return the keys for the list's role, snapshot, timestamp, and every other list whose key was exchanged.

    Raises:
        UsageError: A key of the publisher is missing, or the heads did not let the list into the tree yet.
    """
    root, targets = tree.heads.root(), tree.heads.targets()
    require_delegated(targets, list_id)
    shown = tree.newest_shown()
    roots = [root, *(entry.signed for entry in tree.heads.every(ROOT, Root) if entry.signed.version == shown)]
    snapshot = tree.snapshot()
    before = snapshot.meta["targets.json"].version if snapshot else 0
    speak = [
        entry.signed
        for entry in tree.heads.every(TARGETS, Targets)
        if entry.signed.version in (before, targets.version)
    ]
    others = [other for other in _others(snapshot, list_id) if _is_unsigned(tree, snapshot, other, targets)]
    wanted: dict[str, Sequence[Root | Targets]] = {
        list_id: speak,
        SNAPSHOT: roots,
        TIMESTAMP: roots,
        **dict.fromkeys(others, speak),
    }
    return {role: role_keys(role, delegators, keys) for role, delegators in wanted.items()}


def _others(snapshot: Snapshot | None, list_id: str) -> list[str]:
    """The other lists that the tree shows now."""
    names = [name.removesuffix(".json") for name in snapshot.meta] if snapshot else []
    return [name for name in names if name not in (TARGETS, list_id)]


def _is_unsigned(tree: Repository, snapshot: Snapshot | None, other: str, targets: Targets) -> bool:
    """Whether the newest `targets` want other signatures on what another list published last."""
    assert snapshot is not None  # noqa: S101  (there are no others without one)
    path = tree.metadata / f"{snapshot.meta[f'{other}.json'].version}.{other}.json"
    return path.exists() and not signed_by(read(path, Targets), targets, other)


def _link(tree: Repository, folder: Path, targets: Iterable[TargetFile]) -> None:
    """Give the files their hash-prefixed TUF names."""
    for target in targets:
        prefixed = tree.targets / target.get_prefixed_paths()[0]
        if not prefixed.exists():
            os.link(folder / Path(target.path).name, prefixed)
    durable.sync_folder(tree.targets / folder.parent.name)


def _write_metadata(
    tree: Repository, release: Release, targets: dict[str, TargetFile], roles: Mapping[str, list[SigningKey]]
) -> None:
    """Write role, snapshot and, last of all, the timestamp that makes them count; then what follows it."""
    number, expires, list_id = release.number, release.valid_until, release.list_id
    previous = tree.snapshot()
    meta = dict(previous.meta) if previous else {}
    meta["targets.json"] = MetaFile(tree.heads.targets().version)
    meta[f"{list_id}.json"] = MetaFile(number)
    role = Targets(version=number, expires=expires, targets=targets)
    if previous and meta.keys() - {"targets.json", f"{list_id}.json"}:
        # Another list may be valid for longer. Its own role says until when, so nothing old is good for longer.
        expires = max(expires, previous.expires)
    snapshot = Snapshot(version=number, expires=expires, meta=meta)
    timestamp = Timestamp(version=number, expires=expires, snapshot_meta=MetaFile(number))
    tree.mend()
    for other in roles.keys() - {list_id, SNAPSHOT, TIMESTAMP}:
        path = tree.metadata / f"{meta[f'{other}.json'].version}.{other}.json"
        durable.replace(path, add_signatures(read(path, Targets), roles[other]))
    durable.replace(tree.metadata / f"{number}.{list_id}.json", signed_bytes(role, roles[list_id]))
    durable.replace(tree.metadata / f"{number}.snapshot.json", signed_bytes(snapshot, roles[SNAPSHOT]))
    durable.replace(tree.metadata / "timestamp.json", signed_bytes(timestamp, roles[TIMESTAMP]))
    # Whoever follows this name has no metadata, and must never be led to a release that may be cleared.
    durable.replace(tree.path / list_id / "latest", f"{release.folder}\n".encode())
    tree.mend()  # a root that waited for what it wants signed can be shown now
