"""The published tree `exports/` as its publisher sees it: what the heads keep for it, and what its metadata name.

Everything below `exports/` is static and can be served by any web server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError
from blocklist.base.i18n import _
from blocklist.keys.folder import KeyFolder
from blocklist.register.decoders import CLOCK_TOLERANCE, Ref, folder_name, read_ref
from blocklist.release.manifest import ACTS, CHANGES
from blocklist.trust.folder import (
    AUTHORITY,
    MAX_METADATA,
    PIN,
    QUALIFIED_CHAIN,
    REVOCATIONS,
    TrustFolder,
    read,
    verified,
)
from blocklist.trust.genesis import create_metadata, create_seal
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
        self.metadata = path / "metadata"
        self.targets = path / "targets"

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
        return any((folder / "1.root.json").exists() for folder in (self.trust, self.metadata))

    def lists(self) -> set[str]:
        """The lists whose register the heads pinned, as far as the trust folder or the tree shows it."""
        kept = (path.name.removesuffix(PIN) for path in self.trust.glob(f"*{PIN}"))
        return {*kept, *(path.name.split(".")[1] for path in (self.targets / "registers").glob("*.json"))}

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
        newest = self.newest_shown()
        kept = ((path, content) for path, content in self._kept() if version_in(path, ROOT) <= newest)
        missing = [(path, content) for path, content in kept if not holds(path, content)]
        for path, content in missing:
            durable.make_folder(path.parent)
            durable.replace(path, content)
        return bool(missing)

    def newest_shown(self) -> int:
        """The newest root under which the tree can be read."""
        newest, *before = self.heads.every(ROOT, Root)
        if not (self.metadata / "timestamp.json").exists():
            return newest.signed.version
        for root in (newest, *before):
            if self._speaks(root.signed):
                return root.signed.version
        there = [version_in(path, ROOT) for path in self.metadata.glob(f"*.{ROOT}.json")]
        return max(there, default=newest.signed.version)

    def _speaks(self, root: Root) -> bool:
        """Whether timestamp, snapshot and targets of the tree are signed as a root wants it."""
        try:
            timestamp = read(self.metadata / "timestamp.json", Timestamp)
            snapshot = read(self.metadata / f"{timestamp.signed.snapshot_meta.version}.{SNAPSHOT}.json", Snapshot)
            targets = read(self.trust / f"{snapshot.signed.meta['targets.json'].version}.{TARGETS}.json", Targets)
        except (BlocklistError, KeyError):
            return False
        return all(signed_by(metadata, root, metadata.signed.type) for metadata in (timestamp, snapshot, targets))

    def _kept(self) -> Iterator[tuple[Path, bytes]]:
        """Everything that the trust folder keeps for the tree: path in the tree, and content."""
        for kept, content in self.heads.pins():
            target = f"registers/{kept.name.removesuffix(PIN)}.json"
            yield self.targets / TargetFile.from_data(target, content, ["sha256"]).get_prefixed_paths()[0], content
        roots, every = self.heads.every(ROOT, Root), self.heads.every(TARGETS, Targets)
        for signed in (*(root.signed for root in roots), *(targets.signed for targets in every)):
            name = f"{signed.version}.{signed.type}.json"
            yield self.metadata / name, durable.read(self.trust / name, _("the kept file"), MAX_METADATA)
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
        newest = self.heads.versions(ROOT)[0] if waiting else self.newest_shown()
        kept = ((path, content) for path, content in self._kept() if version_in(path, ROOT) <= newest)
        found = [path for path, content in kept if not holds(path, content)]
        snapshot, targets = self.snapshot(), self.heads.targets().version
        if waiting and snapshot is not None and snapshot.meta["targets.json"].version != targets:
            found.append(self.metadata / f"{targets}.{TARGETS}.json")
        found += self.lost(list_id, snapshot)
        current = self.current(list_id)
        if current is None:
            return found
        for path, target in self._role(list_id, current.number).targets.items():
            names = (current.path / Path(path).name, self.targets / target.get_prefixed_paths()[0])
            found += [name for name in names if durable.digest_of(name) != target.hashes["sha256"]]
        latest = current.path.with_name("latest")
        return found if holds(latest, f"{current.folder}\n".encode()) else [*found, latest]

    # Reading what is published

    def current(self, list_id: str) -> Published | None:
        """The release that the metadata name now; None before the first, if stolen keys signed it, or if they are lost.

        Raises:
            VerificationError: The tree's metadata are not what the publisher signed.
        """
        snapshot = self.snapshot()
        if snapshot is None or f"{list_id}.json" not in snapshot.meta:
            return None
        version = snapshot.meta[f"{list_id}.json"].version
        if not (self.metadata / f"{version}.{list_id}.json").exists():
            return None
        role = self._role(list_id, version)
        head = read_ref(role.targets[f"{list_id}/{ACTS}"].custom["head"])
        folder = folder_name(datetime.fromtimestamp(version, UTC))
        since = role.targets[f"{list_id}/{CHANGES}"].custom["since"]
        path = self.path / list_id / folder
        return Published(version, head, path, since and since["number"])

    def _role(self, list_id: str, version: int) -> Targets:
        """A list's own metadata, signed by the key that it has now, or had when they were made."""
        path = self.metadata / f"{version}.{list_id}.json"
        metadata, newest = read(path, Targets), self.heads.targets()
        for targets in self.heads.every(TARGETS, Targets):
            if list_id in delegated(targets.signed) and signed_by(metadata, targets.signed, list_id):
                return metadata.signed
        return verified(path, Targets, newest, list_id)

    def last_number(self) -> int:
        """The number of the last release of any list, 0 before the first."""
        snapshot = self.snapshot()
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

    def snapshot(self) -> Snapshot | None:
        """What the tree shows; None before the first release, or if stolen keys signed it."""
        path = self.metadata / "timestamp.json"
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
        snapshot_path = self.metadata / f"{number}.{SNAPSHOT}.json"
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
        versions = [version_in(path, SNAPSHOT) for path in self.metadata.glob(f"*.{SNAPSHOT}.json")]
        stolen, roots = self.heads.stolen(), [entry.signed for entry in self.heads.every(ROOT, Root)]
        believed = [root for root in roots if not stolen & set(root.roles[SNAPSHOT].keyids)]
        for version in sorted(versions, reverse=True):
            snapshot = read(self.metadata / f"{version}.{SNAPSHOT}.json", Snapshot)
            if any(signed_by(snapshot, root, SNAPSHOT) for root in believed):
                return snapshot.signed
        return None

    def lost(self, list_id: str, snapshot: Snapshot | None) -> list[Path]:
        """The metadata of the current release that are not there."""
        if snapshot is None:
            return []
        names = ["timestamp.json", f"{snapshot.version}.{SNAPSHOT}.json"]
        if role := snapshot.meta.get(f"{list_id}.json"):
            names.append(f"{role.version}.{list_id}.json")
        return [path for name in names if not (path := self.metadata / name).exists()]


def version_in(path: Path, role: str) -> int:
    """The version in the name of a role's metadata; 0 if it is not one of that role."""
    parts = path.name.split(".")
    return int(parts[0]) if parts[1:] == [role, "json"] and parts[0].isdecimal() else 0


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there with exactly this content."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False
