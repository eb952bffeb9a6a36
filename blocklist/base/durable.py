"""Files that survive a power cut: whole or not at all, and private from their first byte.

A rename is atomic, but durable only when the file was synced before it and its folder after it. Everything that
`blocklist` must not lose is written through this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from blocklist.base.errors import RefusedError, TargetError, UsageError
from blocklist.base.i18n import _


class Written(NamedTuple):
    """What was written: SHA-256 (hex) and octets."""

    sha256: str
    length: int


def digest(chunks: Iterable[bytes]) -> Written:
    """Return what writing `chunks` would write."""
    import hashlib  # here: a pull that finds nothing new needs none

    sha256, length = hashlib.sha256(), 0
    for chunk in chunks:
        sha256.update(chunk)
        length += len(chunk)
    return Written(sha256.hexdigest(), length)


TEMPORARY = ".tmp-"
"""Prefix of files that are not finished; whoever finds one after a crash may delete it."""


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn a failed write into one sentence about `path`.

    Raises:
        TargetError: The disk is full, the folder is missing or may not be written.
    """
    try:
        yield
    except OSError as fault:
        raise TargetError(
            _("{path} could not be written: {fault}", path=path, fault=fault.strerror or fault),
            _("nothing was changed there; make room or correct the permissions, then run the command again"),
        ) from fault


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename lives in its folder, not in its file)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_chunks(path: Path, chunks: Iterable[bytes], mode: int = 0o644) -> Written:
    """Create `path` from `chunks` and sync it; the caller syncs the folder once all its files are there.

    Args:
        path: A file that is not there yet.
        chunks: Its content.
        mode: Its permissions.

    Raises:
        OSError: `path` exists, or could not be written; a half-written file is removed.
    """
    import hashlib  # here and below: a pull that finds nothing new needs none

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    digest, length = hashlib.sha256(), 0
    try:
        with os.fdopen(handle, "wb") as stream:
            for chunk in chunks:
                digest.update(chunk)
                length += len(chunk)
                stream.write(chunk)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(digest.hexdigest(), length)


def beside(path: Path) -> Path:
    """A private, unused name in the folder of `path`, hence on its file system."""
    return path.with_name(f"{TEMPORARY}{path.name}-{os.urandom(6).hex()}")


@contextlib.contextmanager
def folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Give a folder beside `path` to write files in; at the end it takes that name, on a failure it goes away.

    Raises:
        TargetError: It could not be written, or `path` is there and not empty.
    """
    import shutil

    with written(path):
        staging = beside(path)
        staging.mkdir(mode)
        try:
            yield staging
            sync_folder(staging)
            staging.rename(path)
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write `content` to `path` atomically and durably.

    Raises:
        TargetError: It could not be written; what was there before is untouched.
    """
    with written(path):
        with _taking_place_of(path) as temporary:
            write_chunks(temporary, [content], mode)
        sync_folder(path.parent)


def note(path: Path, content: bytes) -> None:
    """Write `content` to the private file `path` atomically, but not durably: what the next run writes anew anyway.

    Raises:
        TargetError: It could not be written; what was there before is untouched.
    """
    with (
        written(path),
        _taking_place_of(path) as temporary,
        os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream,
    ):
        stream.write(content)


@contextlib.contextmanager
def _taking_place_of(path: Path) -> Iterator[Path]:
    """A file to be made beside `path`: at the end it takes that one's place, and on a failure it goes away."""
    temporary = beside(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_plain(path: Path) -> bool:
    """Whether this is a plain file: no link, no folder, no device, no pipe that a reader would wait for.

    Raises:
        OSError: There is nothing of that name.
    """
    return stat.S_ISREG(path.lstat().st_mode)


def digest_of(path: Path) -> str | None:
    """SHA-256 (hex) of a plain file, None when there is none."""
    import hashlib

    try:
        if not is_plain(path):
            return None
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def stamp(path: Path) -> str:
    """What the file system says of a file that nobody touches: another file, or another content, has another stamp."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}"


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Create the folder `path` with its parents; one that is there stays as it is.

    Raises:
        TargetError: It could not be created.
    """
    with written(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)


def read(path: Path, what: str, limit: int, hint: str = "") -> bytes:
    """Read a file of at most `limit` bytes; `what` names it in an error.

    Raises:
        UsageError: It is missing, unreadable or too large.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as fault:
        raise UsageError(
            _("{what} {path} cannot be read: {fault}", what=what, path=path, fault=fault.strerror or fault), hint
        ) from fault
    if len(content) > limit:
        raise UsageError(
            _("{what} {path} is larger than {most} bytes", what=what, path=path, most=limit),
            _("is this the right file?"),
        )
    return content


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, so that `what` runs once at a time.

    Raises:
        RefusedError: Another process holds it.
        TargetError: The lock file could not be created.
    """
    with written(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise RefusedError(_("another {what} is running", what=what), _("wait until it has ended")) from fault
        yield
    finally:
        os.close(handle)
