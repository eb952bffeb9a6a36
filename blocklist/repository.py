"""The published tree `exports/`, publisher's side: TUF metadata, sealed releases, files first and timestamp last.

Everything below `exports/` is static and can be served by any web server. The rename of `timestamp.json` is the
commit: what is written before it is not referenced by anything, and the next `publish` clears it after a crash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509 import load_pem_x509_certificate
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from blocklist import files, seal
from blocklist.authority import issue_certificate, new_authority, new_revocation_list
from blocklist.errors import TargetError, UsageError
from blocklist.fields import Ref, encode, folder_instant, folder_name
from blocklist.formats import Release
from blocklist.messages import _
from blocklist.metadata import MAX_METADATA, S, read, signed_bytes, verified
from blocklist.release import ACTS, CHANGES, SEAL, SUMS
from blocklist.signing import KeyFolder, PublicKey, SigningKey, role_key_name, signer

OFFLINE_FOR = timedelta(days=365)
"""Life of `root` and top-level `targets`, which heads sign with keys that are kept offline."""

SEAL_AUTHORITY, SEAL_ROLE = "seal-authority", "seal"
_ROOT, _TARGETS, _SNAPSHOT, _TIMESTAMP = Root.type, Targets.type, Snapshot.type, Timestamp.type
_PIN = ".register.json"
_WRITERS = 2


@dataclass(frozen=True, slots=True)
class Pin:
    """What the heads state about one list, in the TUF target `registers/<list>.json`."""

    list_id: str
    environment: str
    register: str
    checkpoint: Ref

    @property
    def target(self) -> str:
        """The TUF target path."""
        return f"registers/{self.list_id}.json"

    def to_bytes(self) -> bytes:
        """The target's content."""
        members = {
            "list": self.list_id,
            "environment": self.environment,
            "register": self.register,
            "checkpoint": self.checkpoint.to_json(),
        }
        return encode(members) + b"\n"


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


class Repository:
    """The tree under `path`; `trust` keeps every root and targets version ever signed, and the seal certificate."""

    def __init__(self, path: Path, trust: Path) -> None:
        self.path = path
        self.trust = trust
        self._metadata = path / "metadata"
        self._targets = path / "targets"

    # Founding

    def create(
        self, pin: Pin, keys: KeyFolder, now: datetime, *, encrypt: bool, heads: Sequence[SigningKey] = ()
    ) -> bool:
        """Make what is missing of root, targets, seal and the list's role; returns whether anything was.

        The keys of `root`, `targets` and the seal authority are the heads' and are encrypted; those of the list
        roles, `snapshot`, `timestamp` and the seal are the publisher's, a machine, and are not.

        Args:
            pin: What the heads state about the list.
            keys: Where new keys go.
            now: The clock.
            encrypt: Whether the heads' new keys get a passphrase.
            heads: What `delegating_keys` returned for the list.

        Raises:
            TargetError: A file could not be written.
            VerificationError: The `targets` metadata in the trust folder are not what the heads signed.
        """
        files.make_folder(self.trust)
        # Judged by what the heads keep, not by the tree: an emptied tree must not get a new root, which nobody pinned.
        new_seal = not (self.trust / "seal.pem").exists()
        if new_seal:
            self._create_seal(pin.environment, keys, now, encrypt=encrypt)
        new_root = not self.is_founded()
        if new_root:
            self._create_metadata(pin, keys, now, encrypt=encrypt)
        elif heads:
            self._delegate(pin, keys, heads, now)
            with contextlib.suppress(TargetError):  # the tree may be closed to this account: `publish` mends it then
                self.mend()
            return True
        return self.mend() or new_seal or new_root

    def is_founded(self) -> bool:
        """Whether there is a root; it is the last file of a founding, and there must never be a second one."""
        return any((folder / "1.root.json").exists() for folder in (self.trust, self._metadata))

    def lists(self) -> set[str]:
        """The lists whose register the heads pinned, as far as the trust folder or the tree shows it."""
        kept = (path.name.removesuffix(_PIN) for path in self.trust.glob(f"*{_PIN}"))
        return {*kept, *(path.name.split(".")[1] for path in (self._targets / "registers").glob("*.json"))}

    def delegating_keys(self, list_id: str, keys: KeyFolder) -> list[SigningKey]:
        """The heads' `targets` keys, opened, if it takes them to let the list into the tree; else none.

        Raises:
            UsageError: They are not all in the key folder, or the passphrase is wrong.
        """
        if not self.is_founded() or list_id in _delegated(self._offline(_TARGETS, Targets)):
            return []
        role = self._offline(_ROOT, Root).roles[_TARGETS]
        named = [role_key_name(_TARGETS, keyid) for keyid in role.keyids]
        found = [name for name in named if keys.has(name)]
        if len(found) < role.threshold:
            missing = ", ".join(name for name in named if name not in found)
            raise UsageError(
                _(
                    "another list takes the heads' key {missing}, which is not in {path}",
                    missing=missing,
                    path=keys.path,
                ),
                _("copy it from its offline medium, run the command again, then take it away"),
            )
        return [keys.private(name) for name in found]

    def mend(self) -> bool:
        """Put back what the tree lacks of the files that do not change with a release; returns whether it did.

        Raises:
            TargetError: A file could not be written.
        """
        missing = [(path, content) for path, content in self._kept() if not _holds(path, content)]
        for path, content in missing:
            files.make_folder(path.parent)
            files.replace(path, content)
        return bool(missing)

    def _kept(self) -> Iterator[tuple[Path, bytes]]:
        """Everything that the trust folder keeps for the tree: path in the tree, and content."""
        for kept in sorted(self.trust.glob("*.*")):
            content = files.read(kept, _("the kept file"), MAX_METADATA)
            if kept.name.endswith(_PIN):
                target = f"registers/{kept.name.removesuffix(_PIN)}.json"
                yield self._targets / TargetFile.from_data(target, content, ["sha256"]).get_prefixed_paths()[0], content
            elif kept.suffix == ".json":
                yield self._metadata / kept.name, content
            elif kept.name in ("seal.pem", "seal.crl"):
                yield self.path / kept.name, content

    def damaged(self, list_id: str) -> list[Path]:
        """The files of the tree that are not what was published last.

        Raises:
            VerificationError: The tree's metadata are not what the publisher signed.
        """
        found = [path for path, content in self._kept() if not _holds(path, content)]
        current = self.current(list_id)
        if current is None:
            return found
        for path, target in self._role(list_id, current.number).targets.items():
            names = (current.path / Path(path).name, self._targets / target.get_prefixed_paths()[0])
            found += [name for name in names if files.digest_of(name) != target.hashes["sha256"]]
        latest = current.path.with_name("latest")
        return found if _holds(latest, f"{current.folder}\n".encode()) else [*found, latest]

    def _create_seal(self, environment: str, keys: KeyFolder, now: datetime, *, encrypt: bool) -> None:
        authority_key, seal_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
        authority = new_authority(f"blocklist seal authority, {environment}", authority_key, now)
        certificate = issue_certificate(
            authority, authority_key, seal_key.public_key(), f"blocklist seal, {environment}", now
        )
        _keep(keys, SEAL_AUTHORITY, authority_key, encrypt=encrypt)
        _keep(keys, SEAL_ROLE, seal_key, encrypt=False)
        revoked = new_revocation_list(authority, authority_key, {}, 1, now, OFFLINE_FOR.days + 30)
        files.replace(self.trust / "seal.crt", certificate)
        files.replace(self.trust / "seal.crl", revoked)
        files.replace(self.trust / "seal.pem", authority)

    def _create_metadata(self, pin: Pin, keys: KeyFolder, now: datetime, *, encrypt: bool) -> None:
        names = (_ROOT, _TARGETS, _SNAPSHOT, _TIMESTAMP, pin.list_id)
        made = {name: ed25519.Ed25519PrivateKey.generate() for name in names}
        public = {
            name: _keep(keys, name, key, encrypt=encrypt and name in (_ROOT, _TARGETS)) for name, key in made.items()
        }
        expires = _whole_second(now + OFFLINE_FOR)
        root = Root(version=1, expires=expires, consistent_snapshot=True)
        for name in (_ROOT, _TARGETS, _SNAPSHOT, _TIMESTAMP):
            root.add_key(public[name], name)
        targets = Targets(version=1, expires=expires)
        _let_in(targets, pin, public[pin.list_id])
        files.replace(self.trust / f"{pin.list_id}{_PIN}", pin.to_bytes())
        files.replace(self.trust / "1.targets.json", signed_bytes(targets, [made[_TARGETS]]))
        files.replace(self.trust / "1.root.json", signed_bytes(root, [made[_ROOT]]))

    def _delegate(self, pin: Pin, keys: KeyFolder, heads: Sequence[SigningKey], now: datetime) -> None:
        """Sign a new version of top-level `targets` that has everything of the last one, and this list too."""
        version = self._offline(_TARGETS, Targets).version
        path = self.trust / f"{version}.targets.json"
        # What stands there gets the heads' signature once more: so it must have had it before.
        targets = verified(path, Targets, self._offline(_ROOT, Root), _TARGETS)
        targets.version, targets.expires = version + 1, _whole_second(now + OFFLINE_FOR)
        key = ed25519.Ed25519PrivateKey.generate()
        _let_in(targets, pin, _keep(keys, pin.list_id, key, encrypt=False))
        files.replace(self.trust / f"{pin.list_id}{_PIN}", pin.to_bytes())
        files.replace(self.trust / f"{version + 1}.targets.json", signed_bytes(targets, heads))

    # Reading what is published

    def current(self, list_id: str) -> Published | None:
        """The release that the metadata name now, or None before the first.

        Raises:
            VerificationError: The tree's metadata are not what the publisher signed.
        """
        snapshot = self._snapshot()
        if snapshot is None or f"{list_id}.json" not in snapshot.meta:
            return None
        version = snapshot.meta[f"{list_id}.json"].version
        role = self._role(list_id, version)
        head = role.targets[f"{list_id}/{ACTS}"].custom["head"]
        folder = folder_name(datetime.fromtimestamp(version, UTC))
        since = role.targets[f"{list_id}/{CHANGES}"].custom["since"]
        path = self.path / list_id / folder
        return Published(version, Ref(head["seq"], head["id"]), path, since and since["number"])

    def _role(self, list_id: str, version: int) -> Targets:
        return verified(
            self._metadata / f"{version}.{list_id}.json", Targets, self._offline(_TARGETS, Targets), list_id
        )

    def last_number(self) -> int:
        """The number of the last release of any list, 0 before the first."""
        snapshot = self._snapshot()
        return snapshot.version if snapshot else 0

    def _snapshot(self) -> Snapshot | None:
        if not (self._metadata / "timestamp.json").exists():
            return None
        root = self._offline(_ROOT, Root)
        timestamp = verified(self._metadata / "timestamp.json", Timestamp, root, _TIMESTAMP)
        return verified(self._metadata / f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot, root, _SNAPSHOT)

    def _offline(self, role: str, cls: type[S]) -> S:
        """The newest version of `root` or `targets`, from the trust folder: the tree could have been emptied."""
        versions = [int(path.name.split(".")[0]) for path in self.trust.glob(f"*.{role}.json")]
        if not versions:
            raise UsageError(
                _("there is no {role} metadata in {trust}", role=role, trust=self.trust),
                _("restore it from a backup; if 'blocklist init' was cut off, run it again"),
            )
        return read(self.trust / f"{max(versions)}.{role}.json", cls).signed

    # Publishing

    def publish(
        self,
        release: Release,
        since: Mapping[str, object] | None,
        contents: Iterable[tuple[str, Iterable[bytes]]],
        make_sums: Callable[[Mapping[str, str]], bytes],
        keys: KeyFolder,
    ) -> Path:
        """Write a release and commit it; returns its folder.

        Args:
            release: The release; its number is greater than every one before.
            since: Number and head of the release that `changes.json` compares with.
            contents: Each file's name and chunks.
            make_sums: Given the digests, the content of `SHA256SUMS`.
            keys: Where the publisher's keys are.

        Raises:
            TargetError: The disk is full or the tree cannot be written; the last release is still the current one.
            UsageError: A key of the publisher is missing, or the heads did not let the list into the tree yet.
        """
        roles = self._publisher_keys(release.list_id, keys)
        self._clear(release.list_id)
        folder = self.path / release.list_id / release.folder
        files.make_folder(folder.parent)
        files.make_folder(self._targets / release.list_id)
        with files.written(folder):
            targets = self._write_release(release, contents, make_sums, keys, folder)
            targets[f"{release.list_id}/{ACTS}"].unrecognized_fields["custom"] = {"head": release.head.to_json()}
            targets[f"{release.list_id}/{CHANGES}"].unrecognized_fields["custom"] = {"since": since}
            self._link(folder, targets.values())
            self._write_metadata(release, targets, roles)
        return folder

    def _publisher_keys(self, list_id: str, keys: KeyFolder) -> dict[str, list[SigningKey]]:
        root, targets = self._offline(_ROOT, Root), self._offline(_TARGETS, Targets)
        delegated = _delegated(targets).get(list_id)
        if delegated is None:
            raise UsageError(
                _("the heads did not sign for the list {list_id} in the published tree", list_id=list_id),
                _("its founding was cut off: run 'blocklist init --list {list_id}' again", list_id=list_id),
            )
        wanted = {
            list_id: delegated.keyids,
            _SNAPSHOT: root.roles[_SNAPSHOT].keyids,
            _TIMESTAMP: root.roles[_TIMESTAMP].keyids,
        }
        return {role: [keys.private(role_key_name(role, keyid)) for keyid in ids] for role, ids in wanted.items()}

    def _write_release(
        self,
        release: Release,
        contents: Iterable[tuple[str, Iterable[bytes]]],
        make_sums: Callable[[Mapping[str, str]], bytes],
        keys: KeyFolder,
        folder: Path,
    ) -> dict[str, TargetFile]:
        """Write all files aside, seal them, and give the folder its name."""
        staging = files.beside(folder)
        staging.mkdir()
        try:
            # While one file is flushed to the disk the next is rendered; a large release takes a third less time.
            with ThreadPoolExecutor(_WRITERS) as pool:
                jobs = {name: pool.submit(files.write_chunks, staging / name, chunks) for name, chunks in contents}
            written = {name: job.result() for name, job in jobs.items()}
            sums = make_sums({name: entry.sha256 for name, entry in written.items()})
            written[SUMS] = files.write_chunks(staging / SUMS, [sums])
            written[SEAL] = files.write_chunks(staging / SEAL, [self._seal(sums, release.instant, keys)])
            files.sync_folder(staging)
            staging.rename(folder)
            files.sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        paths = {name: f"{release.list_id}/{name}" for name in written}
        return {
            paths[name]: TargetFile(entry.length, {"sha256": entry.sha256}, paths[name])
            for name, entry in sorted(written.items())
        }

    def _seal(self, sums: bytes, at: datetime, keys: KeyFolder) -> bytes:
        certificate = files.read(self.trust / "seal.crt", _("the seal certificate"), MAX_METADATA)
        key = keys.private(role_key_name(SEAL_ROLE, _certified_key_id(certificate)))
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError(_("the key of the seal is not an ECDSA key"), _("restore it from your backup"))
        return seal.seal(sums, key, certificate, at)

    def _link(self, folder: Path, targets: Iterable[TargetFile]) -> None:
        """Give the files their hash-prefixed TUF names."""
        for target in targets:
            prefixed = self._targets / target.get_prefixed_paths()[0]
            if not prefixed.exists():
                os.link(folder / Path(target.path).name, prefixed)
        files.sync_folder(self._targets / folder.parent.name)

    def _write_metadata(
        self, release: Release, targets: dict[str, TargetFile], roles: Mapping[str, list[SigningKey]]
    ) -> None:
        """Write role, snapshot, `latest` and, last of all, the timestamp that makes them count."""
        number, expires, list_id = release.number, release.valid_until, release.list_id
        previous = self._snapshot()
        meta = dict(previous.meta) if previous else {}
        meta["targets.json"] = MetaFile(self._offline(_TARGETS, Targets).version)
        meta[f"{list_id}.json"] = MetaFile(number)
        role = Targets(version=number, expires=expires, targets=targets)
        if previous and meta.keys() - {"targets.json", f"{list_id}.json"}:
            # Another list may be valid for longer. Its own role says until when, so nothing old is good for longer.
            expires = max(expires, previous.expires)
        snapshot = Snapshot(version=number, expires=expires, meta=meta)
        timestamp = Timestamp(version=number, expires=expires, snapshot_meta=MetaFile(number))
        files.replace(self._metadata / f"{number}.{list_id}.json", signed_bytes(role, roles[list_id]))
        files.replace(self._metadata / f"{number}.snapshot.json", signed_bytes(snapshot, roles[_SNAPSHOT]))
        files.replace(self.path / list_id / "latest", f"{release.folder}\n".encode())
        files.replace(self._metadata / "timestamp.json", signed_bytes(timestamp, roles[_TIMESTAMP]))

    # After a crash

    def _clear(self, list_id: str) -> None:
        """Remove what a publisher that died left behind: unfinished files, and a release that was never committed."""
        current = self.current(list_id)
        number = current.number if current else 0
        with files.written(self.path):
            for unfinished in self.path.rglob(f"{files.TEMPORARY}*"):
                shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
            for folder in _releases(self.path / list_id):
                if folder_instant(folder.name).timestamp() > number:
                    self._forget(folder, current)
            for path in self._metadata.glob("*.json"):
                version = path.name.split(".")[0]
                role = path.name.split(".")[-2]
                if version.isdigit() and role in (list_id, _SNAPSHOT) and int(version) > self.last_number():
                    path.unlink()

    def _forget(self, folder: Path, current: Published | None) -> None:
        if current is not None:
            files.replace(folder.parent / "latest", f"{current.path.name}\n".encode())
        for path in folder.iterdir():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            linked = self._targets / folder.parent.name / f"{digest}.{path.name}"
            if linked.exists() and linked.samefile(path):
                linked.unlink()
        shutil.rmtree(folder)


def _certified_key_id(certificate_pem: bytes) -> str:
    return PublicKey.wrap(load_pem_x509_certificate(certificate_pem).public_key()).keyid


def _releases(folder: Path) -> list[Path]:
    return [path for path in folder.glob("2*Z") if path.is_dir()]


def _keep(keys: KeyFolder, role: str, key: SigningKey, *, encrypt: bool) -> Key:
    public = signer(key).public_key
    keys.create(role_key_name(role, public.keyid), key, encrypt=encrypt)
    return public


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _whole_second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _delegated(targets: Targets) -> dict[str, DelegatedRole]:
    """The roles that top-level `targets` let speak, by list."""
    return dict((targets.delegations and targets.delegations.roles) or {})


def _let_in(targets: Targets, pin: Pin, key: Key) -> None:
    """Add a list to top-level `targets`: its pin, and the role that alone speaks for its files."""
    known = targets.delegations.keys if targets.delegations else {}
    role = DelegatedRole(pin.list_id, [key.keyid], 1, terminating=True, paths=[f"{pin.list_id}/*"])
    targets.delegations = Delegations({**known, key.keyid: key}, {**_delegated(targets), pin.list_id: role})
    targets.targets[pin.target] = TargetFile.from_data(pin.target, pin.to_bytes(), ["sha256"])
