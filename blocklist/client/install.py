"""Putting one file where a resolver reads it: aside, checked, renamed, reloaded, and back if that fails."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blocklist import commands, files
from blocklist.client.subscription import Target
from blocklist.errors import RefusedError, TargetError
from blocklist.files import Written
from blocklist.messages import _

COMMAND_TIMEOUT = 120
"""Seconds that a check or reload command may take."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A candidate beside its target, on the same file system."""

    target: Target
    path: Path
    content: Written

    def discard(self) -> None:
        """Remove the candidate, if it was not installed; what a failing disk keeps of it is cleared by the next one."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def stage(target: Target, chunks: Iterable[bytes]) -> Staged:
    """Write the candidate beside its target.

    Raises:
        TargetError: The disk is full, or the folder cannot be written.
    """
    path = files.beside(target.path)
    if os.path.lexists(target.path) and not files.is_plain(target.path):
        raise TargetError(
            _("{path} is a link, a folder or a device, and no plain file", path=target.path),
            _("give the path of the file itself"),
        )
    with files.written(target.path):
        clear(target.path)
        return Staged(target, path, files.write_chunks(path, chunks))


def clear(path: Path) -> None:
    """Remove what a pull that was killed left beside its target."""
    ours = re.compile(rf"{re.escape(files.TEMPORARY + path.name)}(\.previous)?-[0-9a-f]+").fullmatch
    for entry in path.parent.iterdir():
        if ours(entry.name):
            entry.unlink(missing_ok=True)


def check(staged: Staged) -> None:
    """Run the operator's own check command on the candidate.

    Raises:
        RefusedError: The command says no.
    """
    command = [word.replace("{file}", str(staged.path)) for word in shlex.split(staged.target.check)]
    if command:
        problem = run(command)
        if problem:
            raise RefusedError(
                _("the check of {path} failed: {problem}", path=staged.target.path, problem=problem),
                _("the installed file stays"),
            )


def install(staged: Staged) -> None:
    """Put the candidate in place and reload; when that fails, put the previous file back and reload that.

    Raises:
        TargetError: The previous file is in place again.
    """
    target, path = staged.target, staged.target.path
    previous = path.with_name(f"{path.name}.previous")
    with files.written(path):
        existed = path.exists()
        if existed:
            _keep_owner(path, staged.path)
            _link_over(path, previous)
        staged.path.replace(path)
        files.sync_folder(path.parent)
    problem = _reload(target)
    if problem:
        _put_back(path, previous if existed else None)
        again = _reload(target)
        if existed:
            state = _("the previous file is in place again")
        else:
            state = _("there was no file before, and there is none now")
        message = _("the reload for {path} failed: {problem}", path=path, problem=problem)
        if again:
            message = _("{failure}; reloading the previous file failed too: {problem}", failure=message, problem=again)
        raise TargetError(message, state)


def reload(target: Target) -> None:
    """Reload a file that is in place already.

    Raises:
        TargetError: The command says no; the file stays.
    """
    problem = _reload(target)
    if problem:
        raise TargetError(
            _("the reload for {path} failed: {problem}", path=target.path, problem=problem),
            _("the next pull tries again"),
        )


def _reload(target: Target) -> str:
    return run(shlex.split(target.reload)) if target.reload else ""


def run(command: list[str]) -> str:
    """Run a command of the operator, without a shell; returns what went wrong, or nothing."""
    return commands.run(command, COMMAND_TIMEOUT).problem


def _keep_owner(old: Path, new: Path) -> None:
    status = old.stat()
    with suppress(PermissionError):  # only root can give files away; the mode is kept in any case
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(status.st_mode & 0o7777)


def _link_over(path: Path, name: Path) -> None:
    """Give the file a second name, replacing what had that name."""
    temporary = files.beside(name)
    os.link(path, temporary)
    try:
        temporary.replace(name)
    finally:
        # Renaming one name of a file to another name of the same file does nothing (POSIX, rename).
        temporary.unlink(missing_ok=True)


def _put_back(path: Path, previous: Path | None) -> None:
    with files.written(path):
        if previous is None:
            path.unlink(missing_ok=True)
        else:
            _link_over(previous, path)
        files.sync_folder(path.parent)
