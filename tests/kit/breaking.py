"""A disk that fails at the n-th write."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any


class Breaking:
    """A disk that fails at the n-th write: in a `with` block, every call that changes a disk is counted.

    `how`: `before` the call did anything, `after` it did everything, or `dead`: before, and every call from then on.
    """

    CALLS = ("open", "fsync", "link", "replace", "rename", "mkdir", "unlink", "rmdir", "chmod", "fchmod")

    def __init__(self, number: int, how: str) -> None:
        self.number = number
        self.how = how
        self.calls: list[str] = []
        self._real = {name: getattr(os, name) for name in self.CALLS}

    def __enter__(self) -> Breaking:
        for name in self.CALLS:
            setattr(os, name, self._breaking(name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    @property
    def broke(self) -> bool:
        return len(self.calls) >= self.number

    def _breaking(self, name: str) -> Any:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return real(*args, **kwargs)
            self.calls.append(f"{name} {args[0] if isinstance(args[0], str | Path) else ''}")
            due = len(self.calls) == self.number or (self.how == "dead" and self.broke)
            if due and (self.how != "after" or name == "open"):
                raise OSError(errno.EIO, "Input/output error")
            done = real(*args, **kwargs)
            if due:
                raise OSError(errno.EIO, "Input/output error")
            return done

        return call
