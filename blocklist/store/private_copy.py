"""A private copy of databases that others may be writing to, from a folder that need not be writable."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from blocklist.base.errors import RefusedError, TargetError, UsageError
from blocklist.base.i18n import _

_ATTEMPTS = 20
"""How often a copy is made anew because somebody wrote meanwhile."""

_Stamp = tuple[tuple[str, int, int], ...]


def copied(folder: Path, databases: Sequence[tuple[str, str]]) -> tempfile.TemporaryDirectory[str]:
    """Copy databases with their logs: SQLite cannot read a log where it cannot write.

    Args:
        folder: Where they are; nothing in it is changed.
        databases: The name of each database and of its log. Those after the first are left out if they are missing,
            or closed to this account.

    Returns:
        A folder that only this account can open; the caller cleans it up.

    Raises:
        UsageError: The first may not be read.
        TargetError: There is no room.
        RefusedError: They are written to all the time, so that no copy is whole.
    """
    copy = tempfile.TemporaryDirectory(prefix="blocklist-")
    try:
        for _attempt in range(_ATTEMPTS):
            if _copy_once(folder, Path(copy.name), databases):
                return copy
        raise RefusedError(_("{path} is being written to all the time", path=folder), _("run the command again"))
    except PermissionError as fault:
        copy.cleanup()
        raise UsageError(
            _("{path} cannot be read: {reason}", path=fault.filename, reason=fault.strerror),
            _("an audit needs to read the register, not to write it"),
        ) from fault
    except OSError as fault:
        copy.cleanup()
        raise TargetError(
            _("{path} could not be copied: {reason}", path=folder, reason=fault.strerror),
            _("make room in the temporary folder, or choose another with TMPDIR"),
        ) from fault
    except BaseException:
        copy.cleanup()
        raise


def _copy_once(folder: Path, copy: Path, databases: Sequence[tuple[str, str]]) -> bool:
    """Copy what is there now; returns whether nobody wrote meanwhile."""
    before = _stamp(folder, databases)
    for stale in copy.iterdir():
        stale.unlink()
    with contextlib.suppress(FileNotFoundError):  # a log goes when its last reader goes
        for name, *_rest in before:
            shutil.copyfile(folder / name, copy / name)
    return _stamp(folder, databases) == before


def _stamp(folder: Path, databases: Sequence[tuple[str, str]]) -> _Stamp:
    """The files that are to be copied, with what changes when one of them is written."""
    found = []
    for index, (database, log) in enumerate(databases):
        if index and not os.access(folder / database, os.R_OK):
            continue
        for name in (database, log):
            with contextlib.suppress(FileNotFoundError):
                status = (folder / name).stat()
                found.append((name, status.st_size, status.st_mtime_ns))
    return tuple(found)


def is_there(path: Path) -> bool:
    """Whether there is a file of that name, even one in a folder that is closed to this account."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
