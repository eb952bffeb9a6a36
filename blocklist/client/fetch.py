"""The published tree, read through TUF: what the metadata say, and the files that they name."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from blocklist.base import durable
from blocklist.base.errors import (
    BlocklistError,
    StaleError,
    TargetError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from blocklist.base.i18n import _, plain
from blocklist.client.transport import CHUNK, KEEP, TransportError, status_text, unusable
from blocklist.register.acts import read_lines

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Key, TargetFile

    from blocklist.client.subscription import Subscription
    from blocklist.client.transport import Transport


MAX_METADATA = 5_000_000
"""Octets of one role's metadata, whatever length another role states: no key makes a machine's disk larger."""

MAX_ACTS = 4_000_000_000
"""Octets of the acts of one register; a million names take less than a tenth of it."""


class TransportFetcher(FetcherInterface):
    """What python-tuf fetches, by our transport.

    Attributes:
        timestamp: The marks of the timestamp that came last, and its SHA-256.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.timestamp: tuple[Mapping[str, str], str] = ({}, "")

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._transport.get(url)
        if answer.status != 200:
            raise DownloadHTTPError(status_text(url, answer.status), answer.status)
        chunks = _bounded(answer.chunks, MAX_METADATA)
        return self._noted(answer.marks, chunks) if url.endswith("/timestamp.json") else chunks

    def _noted(self, marks: Mapping[str, str], chunks: Iterator[bytes]) -> Iterator[bytes]:
        sha256 = hashlib.sha256()
        for chunk in chunks:
            sha256.update(chunk)
            yield chunk
        # A mark is sent back as it came, and a new header field is ASCII (RFC 9110, section 5.5).
        self.timestamp = ({name: mark for name, mark in marks.items() if mark.isascii()}, sha256.hexdigest())


@dataclass(frozen=True, slots=True)
class Acts:
    """The acts of a release as they were fetched: what follows the first `known_length` octets of `known`.

    When that is nothing, `news` is the whole.
    """

    known: Path
    known_length: int
    news: Path

    def chunks(self) -> Iterator[bytes]:
        """All of them, as bytes."""
        if self.known_length:
            yield from first_octets(self.known, self.known_length)
        with self.news.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    def first(self, length: int) -> Iterator[bytes]:
        """So many of the octets that are known, as far as these go."""
        return first_octets(self.known, min(length, self.known_length))

    def lines(self, offset: int = 0) -> Iterator[bytes]:
        """Their envelopes, from `offset` on, which is at most the known length.

        Raises:
            ActError: See `read_lines`.
        """
        with ExitStack() as opened:
            if self.known_length:
                known = opened.enter_context(self.known.open("rb"))
                known.seek(offset)
                yield from read_lines(known, self.known_length - offset)
            yield from read_lines(opened.enter_context(self.news.open("rb")))


def first_octets(path: Path, length: int) -> Iterator[bytes]:
    """The beginning of a file, as far as it goes."""
    with path.open("rb") as stream:
        while length and (chunk := stream.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk


class Publisher:
    """The published tree of one subscription, read through TUF."""

    def __init__(self, subscription: Subscription, root: bytes, transport: Transport) -> None:
        self._url = subscription.base
        self._transport = transport
        self._folder = subscription.state / "metadata"
        durable.make_folder(self._folder, 0o700)
        self._fetcher = TransportFetcher(transport)
        with _translated(self._url):
            self._updater = Updater(str(self._folder), subscription.metadata_url, fetcher=self._fetcher, bootstrap=root)

    def refresh(self) -> None:
        """Update the TUF metadata.

        Raises:
            StaleError: The newest metadata have expired.
            UnreachableError: The publisher does not answer.
            VerificationError: The metadata are not genuine, older than what was seen before, or count a key twice.
        """
        with _translated(self._url):
            pinned = self.root_version
            try:
                self._updater.refresh()
            finally:
                # What was seen must not be forgotten by a power cut: python-tuf renames, and does not sync.
                _sync_tree(self._folder)
            self._check_roots(pinned)
            check_keys(self._verified(Root.type).keys.values())
            delegations = self._verified(Targets.type).delegations
            if delegations is not None:
                check_keys(delegations.keys.values())

    def _check_roots(self, pinned: int) -> None:
        """Each root on the way was signed by so many different keys of the one before it."""
        paths = [self._folder / f"root_history/{version}.root.json" for version in range(pinned, self.root_version + 1)]
        for old, new in itertools.pairwise(Metadata[Root].from_file(str(path)) for path in paths):
            made = old.signed.get_verification_result(Root.type, new.signed_bytes, new.signatures)
            if (
                len({_canonical(str(key.keyval.get("public"))) for key in made.signed.values()})
                < old.signed.roles["root"].threshold
            ):
                raise _twice()

    def keep(self) -> None:
        """Make durable what was seen of the lists' own metadata."""
        with _translated(self._url):
            _sync_tree(self._folder)

    @property
    def root_version(self) -> int:
        """The version of the newest root."""
        return int(self._verified(Root.type).version)

    def _verified(self, role: str) -> Any:  # noqa: ANN401  (metadata of any role)
        """Return the metadata of a role: python-tuf keeps in its folder what it has verified, and nothing else."""
        return Metadata.from_file(str(self._folder / f"{role}.json")).signed

    @property
    def marks(self) -> dict[str, str]:
        """What the server calls the timestamp that is trusted; nothing if it showed another one."""
        marks, sha256 = self._fetcher.timestamp
        return dict(marks) if durable.digest_of(self._folder / "timestamp.json") == sha256 else {}

    def expires(self, list_ids: Iterable[str]) -> datetime:
        """When the first of all metadata that were used expires."""
        roles = (Root.type, Timestamp.type, Snapshot.type, Targets.type, *list_ids)
        first: datetime = min(self._verified(role).expires for role in roles)
        return first

    def target(self, path: str) -> TargetFile:
        """What the metadata say about one file.

        Raises:
            UsageError: They do not name it.
        """
        target = self.find(path)
        if target is None:
            raise UsageError(
                _("{url} publishes no {path}", url=self._url, path=path),
                _("check the address and the list in the subscription"),
            )
        return target

    def find(self, path: str) -> TargetFile | None:
        """What the metadata say about one file, None when they do not name it."""
        with _translated(self._url):
            return self._updater.get_targetinfo(path)

    def release_number(self, list_id: str, acts: TargetFile) -> int:
        """Return the version of the list's role, which is the release's number.

        Raises:
            KeyError: It is another role that names the acts.
        """
        seen = (self._folder / f"{list_id}.json").exists()
        role = self._verified(list_id) if seen else None
        if role is None or role.targets.get(acts.path) != acts:
            raise KeyError(acts.path)
        return int(role.version)

    def content(self, target: TargetFile, limit: int, known: Path) -> bytes:
        """A small file, verified; fetched only if `known` is not that file, and kept there.

        Raises:
            VerificationError: It is not the file that the metadata name.
            UnreachableError: It could not be fetched.
        """
        if target.length > limit:
            raise VerificationError(
                _("{path} has {length} bytes, more than {most}", path=target.path, length=target.length, most=limit)
            )
        wanted = target.hashes.get("sha256")
        if wanted and durable.digest_of(known) == wanted:
            return durable.read(known, target.path, limit)
        with _translated(self._url):
            content = b"".join(_bounded(self._whole(target), target.length))
            target.verify_length_and_hashes(content)
        durable.replace(known, content, 0o600)
        return content

    def download(self, target: TargetFile, path: Path, known: Path, known_length: int) -> Acts:
        """Fetch a file that only grows; what `known` holds already does not travel again, the rest goes to `path`.

        Raises:
            VerificationError: It is not the file that the metadata name.
            UnreachableError: It could not be fetched.
            TargetError: It could not be written.
        """
        if target.length > MAX_ACTS:
            raise VerificationError(
                _("{path} has {length} bytes, more than {most}", path=target.path, length=target.length, most=MAX_ACTS)
            )
        signed = (target.hashes.get("sha256"), target.length)
        acts = Acts(known, known_length, path)
        if 0 < known_length <= target.length and known.exists() and self._continue(target, acts, signed):
            return acts
        with _translated(self._url):
            written = self._write(path, _bounded(self._whole(target), target.length))
        if written != signed:
            raise VerificationError(
                _("{path} at {url} is not the file that was signed", path=target.path, url=self._url), _(KEEP)
            )
        return Acts(known, 0, path)

    def _continue(self, target: TargetFile, acts: Acts, signed: tuple[str | None, int]) -> bool:
        """Fetch what follows what is known; any mismatch means that the whole has to be fetched."""
        rest = target.length - acts.known_length
        try:
            self._write(acts.news, self._part(target, acts.known_length, rest) if rest else iter(()))
            return durable.digest(acts.chunks()) == signed
        except (TransportError, DownloadError, OSError):
            return False

    def _whole(self, target: TargetFile) -> Iterator[bytes]:
        answer = self._transport.get(self._address(target))
        if answer.status != 200:
            raise unusable(self._url, self._address(target), answer.status)
        return answer.chunks

    def _part(self, target: TargetFile, offset: int, length: int) -> Iterator[bytes]:
        answer = self._transport.get(self._address(target), offset)
        if answer.status != 206:
            raise unusable(self._url, self._address(target), answer.status)
        return _bounded(answer.chunks, length)

    @staticmethod
    def _write(path: Path, chunks: Iterator[bytes]) -> durable.Written:
        with durable.written(path):
            path.unlink(missing_ok=True)
            return durable.write_chunks(path, chunks, 0o600)

    def _address(self, target: TargetFile) -> str:
        return f"{self._url}/targets/{target.get_prefixed_paths()[0]}"


def _bounded(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    left = length
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise DownloadLengthMismatchError(_("the answer is longer than {length} bytes", length=length))
        yield chunk


def check_keys(keys: Iterable[Key]) -> None:
    """One key under two ids would count twice towards a threshold, and python-tuf lets it.

    Raises:
        VerificationError: A key is there twice.
    """
    seen: set[bytes] = set()
    for key in keys:
        value = _canonical(str(key.keyval.get("public")))
        if value in seen:
            raise _twice()
        seen.add(value)


def _twice() -> VerificationError:
    return VerificationError(_("the metadata hold one key under two ids, which would count as two signatures"), _(KEEP))


def _canonical(text: str) -> bytes:
    """A public key however it is spelled: hexadecimal (Ed25519), or PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        key = load_pem_public_key(text.encode())
        raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError:
        return text.encode()
    return raw


def _sync_tree(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what tuf raises into the tree of errors whose exit codes operators know."""
    try:
        yield
    except BlocklistError:
        raise
    except ExpiredMetadataError as fault:
        raise StaleError(
            _("the newest release at {url} is no longer valid: {fault}", url=url, fault=plain(str(fault))), _(KEEP)
        ) from fault
    except DownloadLengthMismatchError as fault:
        raise VerificationError(
            _("{url} sends more than was signed: {fault}", url=url, fault=plain(str(fault))), _(KEEP)
        ) from fault
    except DownloadError as fault:
        if isinstance(fault.__cause__, BlocklistError):
            raise fault.__cause__ from fault
        raise UnreachableError(
            _("{url} does not answer as a publisher: {fault}", url=url, fault=plain(str(fault))), _(KEEP)
        ) from fault
    except (RepositoryError, ValueError, TypeError) as fault:
        raise VerificationError(
            _("{url} offers metadata that are not genuine: {fault}", url=url, fault=plain(str(fault))), _(KEEP)
        ) from fault
    except OSError as fault:
        raise TargetError(
            _("the metadata could not be kept: {fault}", fault=fault.strerror or fault), _(KEEP)
        ) from fault
