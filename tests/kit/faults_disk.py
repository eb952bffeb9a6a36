"""A machine whose disk or commands fail at the n-th step, or which loses its power there, with all that was not synced.

Steps are the calls that change a file system, the writes to files, and the commands of the operator. What a power cut
takes is the worst that POSIX allows: every name that was made, replaced or removed since its folder was synced, and
every octet that was written since its file was.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from blocklist.base import subprocesses
from blocklist.base.subprocesses import Ran

HOWS = ("before", "after", "dead", "lost")
"""The step fails without an effect, or with it; or it and every later one fail; or with that, what was not synced."""

CALLS = (
    *("open", "fsync", "link", "symlink", "replace", "rename", "mkdir", "unlink", "remove", "rmdir"),
    *("chmod", "fchmod", "chown"),
)
_REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in CALLS}


class Resolvers:
    """What stands for the resolvers: each remembers what it was told to load last; nothing, if there was no file."""

    def __init__(self) -> None:
        self.loaded: dict[Path, bytes | None] = {}

    def run(self, command: list[str]) -> Ran:
        """`load FILE`, or `check FILE`."""
        verb, path = command[0], Path(command[1])
        content = path.read_bytes() if path.exists() else None
        if verb == "load":
            self.loaded[path] = content
        return Ran("" if content or verb == "load" else "an empty file")


class Machine:
    """Used as a context, in which the `number`th step fails in one of the ways of `HOWS`; by default none does."""

    def __init__(self, stash: Path, resolvers: Resolvers, number: int = 0, how: str = "before") -> None:
        self.steps: list[str] = []
        self._number = number
        self._how = how
        self._resolvers = resolvers
        # A second name changes what a file system says of a file, and with it what a pull finds untouched.
        self._journal = _Journal(stash) if how == "lost" else None
        self._kept = (io.open, subprocesses.run)

    def __enter__(self) -> Machine:
        for name in CALLS:
            setattr(os, name, self._breaking(name))
        io.open, subprocesses.run = self._open, self._command
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in _REAL.items():
            setattr(os, name, real)
        io.open, subprocesses.run = self._kept
        if self._journal is not None:
            if self.broke:
                self._journal.lose()
            self._journal.close()

    @property
    def broke(self) -> bool:
        return 0 < self._number <= len(self.steps)

    def step(self, what: str, act: Callable[[], Any], torn: Callable[[], Any] = lambda: None) -> Any:
        """Take a step, or fail; `torn` is what a step that fails may have done of it."""
        self.steps.append(what)
        due = len(self.steps) == self._number or (self._how in ("dead", "lost") and self.broke)
        if due and self._how != "after":
            torn()
            raise OSError(errno.EIO, "Input/output error")
        done = act()
        if due:
            if what.startswith("open"):
                done.close() if hasattr(done, "close") else os.close(done)
            raise OSError(errno.EIO, "Input/output error")
        return done

    def _breaking(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            def act() -> Any:
                return self._noted(name, lambda: _REAL[name](*args, **kwargs), args)

            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return _REAL[name](*args, **kwargs)
            return self.step(f"{name} {_name_of(args[0])}", act)

        return call

    def _open(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        def act() -> Any:
            return self._kept[0](file, mode, *args, **kwargs)

        if not set(mode) & set("wax+") or "opener" in kwargs:  # an opener calls os.open
            return act()
        if isinstance(file, int):
            return _Stream(self, act(), _name_of(file))
        stream = self.step(f"open {_name_of(file)}", lambda: self._noted("open", act, (file,)))
        return _Stream(self, stream, _name_of(file))

    def _noted(self, name: str, act: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        return act() if self._journal is None else self._journal.note(name, act, args)

    def _command(self, command: list[str], seconds: float, text: bytes = b"") -> Ran:
        try:
            done: Ran = self.step(" ".join(command), lambda: self._resolvers.run(command))
        except OSError:
            return Ran(f"{command[0]} exited with 1")
        return done


def _path_of(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()


def _name_of(file: Any) -> str:
    return (_path_of(file) if isinstance(file, int) else Path(file)).name


class _Stream:
    """A file that is written, octets by octets."""

    def __init__(self, machine: Machine, stream: Any, name: str) -> None:
        self._machine, self._stream, self._name = machine, stream, name

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, content: bytes) -> Any:
        whole, half = (lambda: self._stream.write(content)), (lambda: self._stream.write(content[: len(content) // 2]))
        return self._machine.step(f"write {self._name}", whole, half)

    def truncate(self, length: int) -> Any:
        return self._machine.step(f"truncate {self._name}", lambda: self._stream.truncate(length))


class _Journal:
    """What was done to the disk and is not synced yet. Old files are kept in `stash`, by a second name."""

    def __init__(self, stash: Path) -> None:
        self._stash = stash
        self._numbers = 0
        self._names: list[tuple[Path, Callable[[], None]]] = []
        self._contents: dict[int, tuple[Path | None, int]] = {}
        stash.mkdir()

    def note(self, name: str, act: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Do it, and note how to undo it."""
        noting = getattr(self, f"_{name}", None)
        return act() if noting is None else noting(act, *args)

    def lose(self) -> None:
        """What a power cut does: undo all that is noted."""
        for _, undo in reversed(self._names):
            with suppress(OSError):
                undo()
        for path, length in self._contents.values():
            if path is not None:
                os.truncate(path, length)

    def close(self) -> None:
        shutil.rmtree(self._stash)

    def _keep(self, path: Path) -> Path | None:
        self._numbers += 1
        kept = self._stash / str(self._numbers)
        try:
            _REAL["link"](path, kept, follow_symlinks=False)
        except OSError:
            return None
        return kept

    def _undone(self, path: Path, undo: Callable[[], None]) -> None:
        self._names.append((path.parent, undo))

    def _open(self, act: Callable[[], Any], path: Any, *_: Any) -> Any:
        path, existed = Path(path), os.path.lexists(path)
        done = act()
        handle = done if isinstance(done, int) else done.fileno()
        if not existed:
            self._undone(path, lambda: _REAL["unlink"](path))
        status = os.fstat(handle)
        self._contents.setdefault(status.st_ino, (self._keep(path), status.st_size))
        return done

    def _fsync(self, act: Callable[[], Any], handle: int) -> None:
        act()
        status, path = os.fstat(handle), _path_of(handle)
        if stat.S_ISDIR(status.st_mode):
            self._names = [(folder, undo) for folder, undo in self._names if folder != path]
        else:
            self._contents.pop(status.st_ino, None)

    def _replace(self, act: Callable[[], Any], source: Any, path: Any) -> None:
        source, path = Path(source), Path(path)
        same = path.exists() and source.samefile(path)
        old = None if same else self._keep(path)
        act()

        def undo() -> None:
            _REAL["rename"](path, source)
            if old is not None:
                _REAL["rename"](old, path)

        if not same:  # then nothing was renamed
            self._undone(path, undo)

    _rename = _replace

    def _link(self, act: Callable[[], Any], _source: Any, path: Any) -> None:
        act()
        self._undone(Path(path), lambda: _REAL["unlink"](path))

    _symlink = _link

    def _unlink(self, act: Callable[[], Any], path: Any) -> None:
        old = self._keep(Path(path))
        act()
        if old is not None:
            kept = old
            self._undone(Path(path), lambda: _REAL["rename"](kept, path))

    _remove = _unlink

    def _mkdir(self, act: Callable[[], Any], path: Any, *_: Any) -> None:
        """Without its name, a folder is lost with all that is in it, synced or not."""
        existed = os.path.lexists(path)
        act()
        if not existed:
            self._numbers += 1
            away = self._stash / str(self._numbers)
            self._undone(Path(path), lambda: _REAL["rename"](path, away))
