"""The published tree `exports/`, publisher's side: TUF metadata, sealed releases, files first and timestamp last.

Everything below `exports/` is static and can be served by any web server. The rename of `timestamp.json` is the
commit: what is written before it is not referenced by anything, and the next `publish` clears it after a crash.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from blocklist.base import durable
from blocklist.base.durable import Written
from blocklist.base.errors import BlocklistError, RefusedError
from blocklist.base.i18n import _
from blocklist.base.instants import CLOCK_TOLERANCE, folder_instant, folder_name
from blocklist.keys.encryption import SigningKey
from blocklist.keys.folder import KeyFolder
from blocklist.publisher.release_folders import release_folders
from blocklist.register.decoders import Ref
from blocklist.release.formats import Release
from blocklist.release.manifest import ACTS, CHANGES, SEAL, SUMS
from blocklist.trust.folder import AUTHORITY, PIN, QUALIFIED_CHAIN, REVOCATIONS, TrustFolder
from blocklist.trust.genesis import create_metadata, create_seal
from blocklist.trust.metadata_io import MAX_METADATA, add_signatures, read, signed_bytes, verified
from blocklist.trust.online_keys import also_sealed, require_delegated, role_keys, sealed
from blocklist.trust.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Pin, delegated, signed_by
from blocklist.workspace import Workspace

QUALIFIED_SEAL = "SHA256SUMS.qualified.p7s"
"""A second seal beside the first, by a certificate that somebody else issued."""


@dataclass(frozen=True, slots=True)
class Published:
    """The release that the tree's metadata name: its number (the TUF version), its head, its folder.

    `since` is the number of the release before it, or None.
    """

    number: int
    head: Ref
    path: Path
    since: int | None = None

    @property
    def folder(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)


class Repository:
    """The tree under `path`; `trust` keeps every root and targets version ever signed, and the seal certificate."""

    def __init__(self, path: Path, trust: Path) -> None:
        self.path = path
        self.trust = trust
        self.heads = TrustFolder(trust)
        self._metadata = path / "metadata"
        self._targets = path / "targets"

    @classmethod
    def of(cls, workspace: Workspace) -> Repository:
        """Return the tree of a workspace."""
        return cls(workspace.exports, workspace.trust)

    # What the heads sign

    def create(self, pin: Pin, keys: KeyFolder, now: datetime, *, encrypt: bool) -> bool:
        """Make what is missing of root, targets, seal and the first list's role; returns whether anything was.

        Args:
            pin: What the heads state about the list.
            keys: Where new keys go.
            now: The clock.
            encrypt: Whether the heads' new keys get a passphrase.

        Raises:
            TargetError: A file could not be written.
        """
        durable.make_folder(self.trust)
        # Judged by what the heads keep, not by the tree: an emptied tree must not get a new root, which nobody pinned.
        new_seal = not (self.trust / AUTHORITY).exists()
        if new_seal:
            create_seal(self.heads, pin.environment, keys, now, encrypt=encrypt)
        new_root = not self.is_founded()
        if new_root:
            create_metadata(self.heads, pin, keys, now, encrypt=encrypt)
        return self.mend() or new_seal or new_root

    def is_founded(self) -> bool:
        """Whether there is a root; it is the last file of a founding, and there must never be a second one."""
        return any((folder / "1.root.json").exists() for folder in (self.trust, self._metadata))

    def lists(self) -> set[str]:
        """The lists whose register the heads pinned, as far as the trust folder or the tree shows it."""
        kept = (path.name.removesuffix(PIN) for path in self.trust.glob(f"*{PIN}"))
        return {*kept, *(path.name.split(".")[1] for path in (self._targets / "registers").glob("*.json"))}

    def lacks(self, list_id: str) -> bool:
        """Whether there is a tree, and the heads did not let this list into it."""
        return self.is_founded() and list_id not in delegated(self.heads.targets())

    def mend(self) -> bool:
        """Put back what the tree lacks of the files that do not change with a release; returns whether it did.

        A root that gives the publisher other keys is shown with the first release that these have signed, and not
        before: until then nobody could read the tree.

        Raises:
            TargetError: A file could not be written.
        """
        newest = self._newest_shown()
        kept = ((path, content) for path, content in self._kept() if _version(path, ROOT) <= newest)
        missing = [(path, content) for path, content in kept if not _holds(path, content)]
        for path, content in missing:
            durable.make_folder(path.parent)
            durable.replace(path, content)
        return bool(missing)

    def _newest_shown(self) -> int:
        """The newest root under which the tree can be read."""
        newest, *before = self.heads.every(ROOT, Root)
        if not (self._metadata / "timestamp.json").exists():
            return newest.signed.version
        for root in (newest, *before):
            if self._speaks(root.signed):
                return root.signed.version
        there = [_version(path, ROOT) for path in self._metadata.glob(f"*.{ROOT}.json")]
        return max(there, default=newest.signed.version)

    def _speaks(self, root: Root) -> bool:
        """Whether timestamp, snapshot and targets of the tree are signed as a root wants it."""
        try:
            timestamp = read(self._metadata / "timestamp.json", Timestamp)
            snapshot = read(self._metadata / f"{timestamp.signed.snapshot_meta.version}.{SNAPSHOT}.json", Snapshot)
            targets = read(self.trust / f"{snapshot.signed.meta['targets.json'].version}.{TARGETS}.json", Targets)
        except (BlocklistError, KeyError):
            return False
        return all(signed_by(metadata, root, metadata.signed.type) for metadata in (timestamp, snapshot, targets))

    def _kept(self) -> Iterator[tuple[Path, bytes]]:
        """Everything that the trust folder keeps for the tree: path in the tree, and content."""
        for kept, content in self.heads.pins():
            target = f"registers/{kept.name.removesuffix(PIN)}.json"
            yield self._targets / TargetFile.from_data(target, content, ["sha256"]).get_prefixed_paths()[0], content
        roots, every = self.heads.every(ROOT, Root), self.heads.every(TARGETS, Targets)
        for signed in (*(root.signed for root in roots), *(targets.signed for targets in every)):
            name = f"{signed.version}.{signed.type}.json"
            yield self._metadata / name, durable.read(self.trust / name, _("the kept file"), MAX_METADATA)
        for name in (AUTHORITY, REVOCATIONS, QUALIFIED_CHAIN):
            if (self.trust / name).exists():
                yield self.path / name, durable.read(self.trust / name, _("the kept file"), MAX_METADATA)

    def damaged(self, list_id: str, *, waiting: bool = True) -> list[Path]:
        """The files of the tree that are not what was published last.

        Args:
            list_id: Whose release to look at, too.
            waiting: Whether what the heads signed since counts, which the next release shows.

        Raises:
            VerificationError: The tree's metadata are not what the publisher signed.
        """
        newest = self.heads.versions(ROOT)[0] if waiting else self._newest_shown()
        kept = ((path, content) for path, content in self._kept() if _version(path, ROOT) <= newest)
        found = [path for path, content in kept if not _holds(path, content)]
        snapshot, targets = self._snapshot(), self.heads.targets().version
        if waiting and snapshot is not None and snapshot.meta["targets.json"].version != targets:
            found.append(self._metadata / f"{targets}.{TARGETS}.json")
        found += self._lost(list_id, snapshot)
        current = self.current(list_id)
        if current is None:
            return found
        for path, target in self._role(list_id, current.number).targets.items():
            names = (current.path / Path(path).name, self._targets / target.get_prefixed_paths()[0])
            found += [name for name in names if durable.digest_of(name) != target.hashes["sha256"]]
        latest = current.path.with_name("latest")
        return found if _holds(latest, f"{current.folder}\n".encode()) else [*found, latest]

    # Reading what is published

    def current(self, list_id: str) -> Published | None:
        """The release that the metadata name now; None before the first, if stolen keys signed it, or if they are lost.

        Raises:
            VerificationError: The tree's metadata are not what the publisher signed.
        """
        snapshot = self._snapshot()
        if snapshot is None or f"{list_id}.json" not in snapshot.meta:
            return None
        version = snapshot.meta[f"{list_id}.json"].version
        if not (self._metadata / f"{version}.{list_id}.json").exists():
            return None
        role = self._role(list_id, version)
        head = role.targets[f"{list_id}/{ACTS}"].custom["head"]
        folder = folder_name(datetime.fromtimestamp(version, UTC))
        since = role.targets[f"{list_id}/{CHANGES}"].custom["since"]
        path = self.path / list_id / folder
        return Published(version, Ref(head["seq"], head["id"]), path, since and since["number"])

    def _role(self, list_id: str, version: int) -> Targets:
        """A list's own metadata, signed by the key that it has now, or had when they were made."""
        path = self._metadata / f"{version}.{list_id}.json"
        metadata, newest = read(path, Targets), self.heads.targets()
        for targets in self.heads.every(TARGETS, Targets):
            if list_id in delegated(targets.signed) and signed_by(metadata, targets.signed, list_id):
                return metadata.signed
        return verified(path, Targets, newest, list_id)

    def last_number(self) -> int:
        """The number of the last release of any list, 0 before the first."""
        snapshot = self._snapshot()
        return snapshot.version if snapshot else 0

    def is_ahead(self, now: datetime) -> bool:
        """Whether the tree is dated further ahead than clocks may differ: nobody would take it, or what follows it."""
        return self.last_number() > (now + CLOCK_TOLERANCE).timestamp()

    def warnings(self, now: datetime) -> Iterator[str]:
        """Yield a sentence if the tree is dated in the future."""
        if self.is_ahead(now):
            yield _(
                "the published tree is dated in the future: somebody else signed it, or a clock was wrong: "
                "blocklist trust rotate publisher --stolen"
            )

    def require_not_ahead(self, now: datetime, hint: str) -> None:
        """Refuse a tree that is dated in the future.

        Raises:
            RefusedError: It is.
        """
        if self.is_ahead(now):
            raise RefusedError(
                _("the published tree is dated in the future: somebody else signed it, or a clock was wrong"), hint
            )

    def _snapshot(self) -> Snapshot | None:
        """What the tree shows; None before the first release, or if stolen keys signed it."""
        path = self._metadata / "timestamp.json"
        if not path.exists():
            return self._newest_snapshot()
        timestamp, stolen = read(path, Timestamp), self.heads.stolen()
        # After a rotation the last release is signed with keys of an older root; the next one is not.
        roots = [entry.signed for entry in self.heads.every(ROOT, Root)]
        speaking = [root for root in roots if signed_by(timestamp, root, TIMESTAMP)]
        believed = [root for root in speaking if not stolen & set(root.roles[TIMESTAMP].keyids)]
        if speaking and not believed:
            return None  # whatever it says, a thief may have said it
        number = timestamp.signed.snapshot_meta.version
        snapshot_path = self._metadata / f"{number}.{SNAPSHOT}.json"
        if believed and not snapshot_path.exists():
            # Its number is all that is known of it: the next release is later, and continues none.
            targets = MetaFile(self.heads.targets().version)
            return Snapshot(version=number, expires=timestamp.signed.expires, meta={"targets.json": targets})
        snapshot = read(snapshot_path, Snapshot)
        root = next((root for root in believed if signed_by(snapshot, root, SNAPSHOT)), roots[0])
        verified(path, Timestamp, root, TIMESTAMP)
        return verified(snapshot_path, Snapshot, root, SNAPSHOT)

    def _newest_snapshot(self) -> Snapshot | None:
        """The newest one there is, for a tree whose timestamp is lost; all that it names was written before it.

        A first release that was never committed is no such tree: nothing leads to it by name.
        """
        if not any(self.path.glob("*/latest")):
            return None
        versions = [_version(path, SNAPSHOT) for path in self._metadata.glob(f"*.{SNAPSHOT}.json")]
        stolen, roots = self.heads.stolen(), [entry.signed for entry in self.heads.every(ROOT, Root)]
        believed = [root for root in roots if not stolen & set(root.roles[SNAPSHOT].keyids)]
        for version in sorted(versions, reverse=True):
            snapshot = read(self._metadata / f"{version}.{SNAPSHOT}.json", Snapshot)
            if any(signed_by(snapshot, root, SNAPSHOT) for root in believed):
                return snapshot.signed
        return None

    def _lost(self, list_id: str, snapshot: Snapshot | None) -> list[Path]:
        """The metadata of the current release that are not there."""
        if snapshot is None:
            return []
        names = ["timestamp.json", f"{snapshot.version}.{SNAPSHOT}.json"]
        if role := snapshot.meta.get(f"{list_id}.json"):
            names.append(f"{role.version}.{list_id}.json")
        return [path for name in names if not (path := self._metadata / name).exists()]

    # Publishing

    def publish(
        self,
        release: Release,
        since: Mapping[str, object] | None,
        contents: Iterable[tuple[str, Iterable[bytes]]],
        make_sums: Callable[[Mapping[str, Written]], bytes],
        keys: KeyFolder,
    ) -> Path:
        """Write a release and commit it; returns its folder.

        Args:
            release: The release; its number is greater than every one before.
            since: Number and head of the release that `changes.json` compares with.
            contents: Each file's name and chunks.
            make_sums: Given what was written, by name, the content of `SHA256SUMS`.
            keys: Where the publisher's keys are.

        Raises:
            TargetError: The disk is full or the tree cannot be written; the last release is still the current one.
            UsageError: A key of the publisher is missing, or the heads did not let the list into the tree yet.
        """
        roles = self._publisher_keys(release.list_id, keys)
        folder = self.path / release.list_id / release.folder
        durable.make_folder(folder.parent)
        durable.make_folder(self._targets / release.list_id)
        with durable.written(folder):
            targets = self._write_release(release, contents, make_sums, keys, folder)
            targets[f"{release.list_id}/{ACTS}"].unrecognized_fields["custom"] = {"head": release.head.to_json()}
            targets[f"{release.list_id}/{CHANGES}"].unrecognized_fields["custom"] = {"since": since}
            self._link(folder, targets.values())
            self._write_metadata(release, targets, roles)
        return folder

    def _publisher_keys(self, list_id: str, keys: KeyFolder) -> dict[str, list[SigningKey]]:
        """The keys for the list's role, snapshot, timestamp, and every other list whose key was exchanged."""
        root, targets = self.heads.root(), self.heads.targets()
        require_delegated(targets, list_id)
        shown = self._newest_shown()
        roots = [root, *(entry.signed for entry in self.heads.every(ROOT, Root) if entry.signed.version == shown)]
        snapshot = self._snapshot()
        before = snapshot.meta["targets.json"].version if snapshot else 0
        speak = [
            entry.signed
            for entry in self.heads.every(TARGETS, Targets)
            if entry.signed.version in (before, targets.version)
        ]
        others = [other for other in self._others(snapshot, list_id) if self._is_unsigned(snapshot, other, targets)]
        wanted: dict[str, Sequence[Root | Targets]] = {
            list_id: speak,
            SNAPSHOT: roots,
            TIMESTAMP: roots,
            **dict.fromkeys(others, speak),
        }
        return {role: role_keys(role, delegators, keys) for role, delegators in wanted.items()}

    @staticmethod
    def _others(snapshot: Snapshot | None, list_id: str) -> list[str]:
        """The other lists that the tree shows now."""
        names = [name.removesuffix(".json") for name in snapshot.meta] if snapshot else []
        return [name for name in names if name not in (TARGETS, list_id)]

    def _is_unsigned(self, snapshot: Snapshot | None, other: str, targets: Targets) -> bool:
        """Whether the newest `targets` want other signatures on what another list published last."""
        assert snapshot is not None  # noqa: S101  (there are no others without one)
        path = self._metadata / f"{snapshot.meta[f'{other}.json'].version}.{other}.json"
        return path.exists() and not signed_by(read(path, Targets), targets, other)

    def _write_release(
        self,
        release: Release,
        contents: Iterable[tuple[str, Iterable[bytes]]],
        make_sums: Callable[[Mapping[str, Written]], bytes],
        keys: KeyFolder,
        folder: Path,
    ) -> dict[str, TargetFile]:
        """Write all files aside, seal them, and give the folder its name."""
        staging = durable.beside(folder)
        staging.mkdir()
        try:
            written = {name: durable.write_chunks(staging / name, chunks) for name, chunks in contents}
            sums = make_sums(written)
            written[SUMS] = durable.write_chunks(staging / SUMS, [sums])
            written[SEAL] = durable.write_chunks(staging / SEAL, [sealed(self.heads, sums, release.instant, keys)])
            for qualified in also_sealed(self.heads, sums, release.instant, keys):
                written[QUALIFIED_SEAL] = durable.write_chunks(staging / QUALIFIED_SEAL, [qualified])
            durable.sync_folder(staging)
            staging.rename(folder)
            durable.sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        paths = {name: f"{release.list_id}/{name}" for name in written}
        return {
            paths[name]: TargetFile(entry.length, {"sha256": entry.sha256}, paths[name])
            for name, entry in sorted(written.items())
        }

    def _link(self, folder: Path, targets: Iterable[TargetFile]) -> None:
        """Give the files their hash-prefixed TUF names."""
        for target in targets:
            prefixed = self._targets / target.get_prefixed_paths()[0]
            if not prefixed.exists():
                os.link(folder / Path(target.path).name, prefixed)
        durable.sync_folder(self._targets / folder.parent.name)

    def _write_metadata(
        self, release: Release, targets: dict[str, TargetFile], roles: Mapping[str, list[SigningKey]]
    ) -> None:
        """Write role, snapshot and, last of all, the timestamp that makes them count; then what follows it."""
        number, expires, list_id = release.number, release.valid_until, release.list_id
        previous = self._snapshot()
        meta = dict(previous.meta) if previous else {}
        meta["targets.json"] = MetaFile(self.heads.targets().version)
        meta[f"{list_id}.json"] = MetaFile(number)
        role = Targets(version=number, expires=expires, targets=targets)
        if previous and meta.keys() - {"targets.json", f"{list_id}.json"}:
            # Another list may be valid for longer. Its own role says until when, so nothing old is good for longer.
            expires = max(expires, previous.expires)
        snapshot = Snapshot(version=number, expires=expires, meta=meta)
        timestamp = Timestamp(version=number, expires=expires, snapshot_meta=MetaFile(number))
        self.mend()
        for other in roles.keys() - {list_id, SNAPSHOT, TIMESTAMP}:
            path = self._metadata / f"{meta[f'{other}.json'].version}.{other}.json"
            durable.replace(path, add_signatures(read(path, Targets), roles[other]))
        durable.replace(self._metadata / f"{number}.{list_id}.json", signed_bytes(role, roles[list_id]))
        durable.replace(self._metadata / f"{number}.snapshot.json", signed_bytes(snapshot, roles[SNAPSHOT]))
        durable.replace(self._metadata / "timestamp.json", signed_bytes(timestamp, roles[TIMESTAMP]))
        # Whoever follows this name has no metadata, and must never be led to a release that may be cleared.
        durable.replace(self.path / list_id / "latest", f"{release.folder}\n".encode())
        self.mend()  # a root that waited for what it wants signed can be shown now

    # After a crash

    def clear(self, list_id: str, number: int) -> None:
        """Remove what a publisher that died left behind: unfinished files, and a release that was never committed.

        Args:
            list_id: Whose release may be there.
            number: That of the next one. When stolen keys signed what the tree shows, or metadata are lost, nothing
                says which releases were genuine: those before the next one stay for `audit` to judge.

        Raises:
            TargetError: Something could not be removed.
        """
        current, snapshot = self.current(list_id), self._snapshot()
        committed, newest = current.number if current else 0, snapshot.version if snapshot else 0
        if current is None and self._is_unknown(list_id, snapshot):
            committed = newest = number - 1
        with durable.written(self.path):
            for unfinished in self.path.rglob(f"{durable.TEMPORARY}*"):
                shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink(missing_ok=True)
            if current is not None and current.path.exists():
                self._lead_to(current)
            for folder in release_folders(self.path / list_id):
                if folder_instant(folder.name).timestamp() > committed:
                    self._forget(folder)
            for path in self._metadata.glob("*.json"):
                if max(_version(path, list_id), _version(path, SNAPSHOT)) > newest:
                    path.unlink()

    def _is_unknown(self, list_id: str, snapshot: Snapshot | None) -> bool:
        """Whether there were releases of a list that has no current one."""
        if snapshot is None:
            return any(path.exists() for path in (self._metadata / "timestamp.json", self.path / list_id / "latest"))
        return bool(self._lost(list_id, snapshot))

    @staticmethod
    def _lead_to(current: Published) -> None:
        """Finish what comes after the commit."""
        latest, name = current.path.with_name("latest"), f"{current.folder}\n".encode()
        if not _holds(latest, name):
            durable.replace(latest, name)

    def _forget(self, folder: Path) -> None:
        linked = self._targets / folder.parent.name
        for path in folder.iterdir():
            twin = linked / f"{durable.digest_of(path)}.{path.name}"
            if twin.exists() and twin.samefile(path):
                twin.unlink()
        if linked.exists():
            durable.sync_folder(linked)  # without the folder, nothing would lead to them
        shutil.rmtree(folder)


def _version(path: Path, role: str) -> int:
    """The version in the name of a role's metadata; 0 if it is not one of that role."""
    parts = path.name.split(".")
    return int(parts[0]) if parts[1:] == [role, "json"] and parts[0].isdecimal() else 0


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
