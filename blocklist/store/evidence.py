"""Evidence: copies of what officers saw, each under its SHA-256, in a folder that the publisher cannot open.

The name and the digest of a file stand in the dossier of an act, so that it can be shown later that this was it.
"""

from __future__ import annotations

import mimetypes
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.register.decoders import format_instant, shown

CHUNK = 1024 * 1024
"""Octets in memory at a time, however large a file is."""

MAX_NAME = 255
"""Octets of a file's name that a dossier keeps."""

FOLDER_MODE = 0o2770
"""The office's group and nobody else; files take the folder's group (setgid), not that of the account."""

FILE_MODE = 0o640

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _ignore(_octets: int) -> None:
    """Nobody wants to know how far a copy is."""


def entries_of(members: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a dossier says of each file of evidence."""
    entries = members.get("evidence")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


class Evidence:
    """The evidence of a workspace, or of a folder that a dossier was exported to; it is made by the first `keep`.

    `added` has the digests of the files that were not there before this object kept them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.added: list[str] = []
        self._digests: dict[str, str | None] = {}

    def path(self, sha256: str) -> Path:
        """Where the file of that digest is, or would be.

        Raises:
            UsageError: It is no digest, so it must not become a path.
        """
        if not _DIGEST.fullmatch(sha256):
            raise UsageError(_("{digest} is not a SHA-256", digest=shown(sha256)))
        return self.folder / sha256

    def keep(self, path: Path, at: datetime, progress: Callable[[int], object] = _ignore) -> dict[str, object]:
        """Copy a file, however large; the same content is kept once.

        Args:
            path: The file.
            at: The clock.
            progress: Told how many octets more were copied.

        Returns:
            What the dossier says of it: `sha256`, `size` (octets), `name`, `type` (media type) and `kept` (instant).

        Raises:
            UsageError: It is missing, empty, unreadable, or no file.
            TargetError: It could not be copied; nothing is left of it.
        """
        with _opened(path) as stream, durable.written(self.folder):
            self._make_folder()
            copied = self._copy(_chunks(stream, path, progress), path)
        return {
            "sha256": copied.sha256,
            "size": copied.length,
            "name": own_name(path),
            "type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "kept": format_instant(at),
        }

    def _make_folder(self) -> None:
        if not self.folder.exists():
            durable.make_folder(self.folder, 0o700)
            self.folder.chmod(FOLDER_MODE)  # a mode that mkdir is given loses the setgid bit, and to the umask

    def _copy(self, chunks: Iterable[bytes], source: Path) -> durable.Written:
        temporary = durable.beside(self.folder / "evidence")
        copied = durable.write_chunks(temporary, chunks, FILE_MODE)
        try:
            if copied.length == 0:
                raise UsageError(_("the evidence {path} is empty", path=source), _("is this the right file?"))
            target = self.path(copied.sha256)
            if durable.digest_of(target) == copied.sha256:
                temporary.unlink()
            else:  # not there, or damaged
                if not target.exists():
                    self.added.append(copied.sha256)
                temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        durable.sync_folder(self.folder)
        self._digests.clear()
        return copied

    def fault(self, entry: Mapping[str, object]) -> str | None:
        """What is wrong with the file of one entry of a dossier, or None. Each file is read once."""
        digest, size, name = entry.get("sha256"), entry.get("size"), shown(entry.get("name"))
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            return _("its evidence {name} has no SHA-256", name=name)
        try:
            path = self.path(digest)
            if not durable.is_plain(path):
                return _("its evidence {name} is not a file any more: {digest}", name=name, digest=digest)
            if path.stat().st_size != size:
                return _("its evidence {name} has another size: {digest}", name=name, digest=digest)
            return None if self._is(path) else _("its evidence {name} was altered: {digest}", name=name, digest=digest)
        except FileNotFoundError:
            return _("its evidence {name} is not there: {digest}", name=name, digest=digest)
        except OSError as fault:
            return _("its evidence {name} cannot be read: {reason}", name=name, reason=fault.strerror)

    def _is(self, path: Path) -> bool:
        if path.name not in self._digests:
            with path.open("rb") as stream:
                self._digests[path.name] = durable.digest(iter(lambda: stream.read(CHUNK), b"")).sha256
        return self._digests[path.name] == path.name

    def check(self, entries: Iterable[Mapping[str, object]]) -> list[str]:
        """What is wrong with the files of a dossier: missing, altered, of another size."""
        return [fault for entry in entries if (fault := self.fault(entry)) is not None]

    def kept(self) -> set[str]:
        """The names of all files here; each should be a digest.

        Raises:
            OSError: The folder may not be read.
        """
        return {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()

    def remove(self, sha256: str) -> None:
        """Destroy a file; one that is not there is as good.

        Raises:
            TargetError: It could not be removed.
        """
        with durable.written(self.folder), suppress(FileNotFoundError):
            self.path(sha256).unlink()
            durable.sync_folder(self.folder)
        self._digests.clear()


def own_name(path: Path) -> str:
    """The name of a file without its folders, as a dossier can hold it: NFC, nothing invisible, at most 255 octets."""
    name = unicodedata.normalize("NFC", path.name)
    # Control and format characters, and octets that are no UTF-8, would lie to whoever reads the name.
    plain = "".join("_" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char for char in name)
    return plain.encode()[:MAX_NAME].decode(errors="ignore")


def _opened(path: Path) -> BinaryIO:
    """Open a file, and nothing else: a pipe or a device could be read for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        stream = os.fdopen(handle, "rb")  # closes the handle if it is a folder
    except OSError as fault:
        raise _unreadable(path, fault) from fault
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise UsageError(_("the evidence {path} is not a file", path=path), _("save what it shows to a file"))
    return stream


def _chunks(stream: BinaryIO, path: Path, progress: Callable[[int], object]) -> Iterator[bytes]:
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
            progress(len(chunk))
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _unreadable(path: Path, fault: OSError) -> UsageError:
    return UsageError(_("the evidence {path} cannot be read: {reason}", path=path, reason=fault.strerror))
