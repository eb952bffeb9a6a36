"""The state folder of a subscription: where it is, its lock, and how the last pull of each list ended.

Every pull needs this much, even one that has nothing to do; so it loads next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from blocklist import files
from blocklist.errors import BlocklistError
from blocklist.instants import format_instant
from blocklist.messages import _

MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a JSON value of any shape can raise."""

_MAX_NOTE = 64 * 1024


def state_folder(config: Path) -> Path:
    """Where `pull` keeps what it accepted, beside the subscription."""
    return config.with_name(f"{config.stem}.state")


def list_folder(state: Path, list_id: str) -> Path:
    """What is kept of one list."""
    return state / "lists" / list_id


@contextmanager
def locked(config: Path) -> Iterator[None]:
    """Let nobody else change the targets or the state of a subscription meanwhile; what a killed pull left is removed.

    Raises:
        RefusedError: Somebody does.
        TargetError: The state folder cannot be used.
    """
    state = state_folder(config)
    files.make_folder(state, 0o700)
    with files.locked(state / "lock", _("pull of {path}", path=config)):
        _tidy(state)
        yield


def _tidy(state: Path) -> None:
    """Remove the files that a pull was writing when it was killed."""
    for folder in (state, *(state / "lists").glob("*")):
        sweep(folder, files.TEMPORARY)
    sweep(state / "metadata", "tmp")  # python-tuf's


def sweep(folder: Path, prefix: str, but: str = "") -> None:
    """Remove the files of a folder whose names begin so; what a failing disk keeps is removed the next time."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(prefix) and path.name != but:
                path.unlink(missing_ok=True)


class Last(NamedTuple):
    """How the last pull of a list ended: `message` is the worst error, `success` is when one ended well."""

    at: datetime
    exit_code: int
    message: str
    success: datetime | None

    @classmethod
    def load(cls, folder: Path) -> Last | None:
        """What is noted in the folder of a list; None if nothing is, or the note is damaged."""
        try:
            members = json.loads(files.read(folder / _LAST, _("the note of the last pull"), _MAX_NOTE))
            success = members["success"] and _instant(members["success"])
            return cls(_instant(members["at"]), int(members["exit_code"]), str(members["message"]), success)
        except (BlocklistError, OSError, *MALFORMED):
            return None

    def save(self, folder: Path) -> None:
        """Note it. A power cut may take the note with it: the next pull writes another.

        Raises:
            TargetError: It could not be written.
        """
        members = {
            "at": format_instant(self.at),
            "exit_code": self.exit_code,
            "message": self.message,
            "success": self.success and format_instant(self.success),
        }
        files.note(folder / _LAST, json.dumps(members).encode() + b"\n")


_LAST = "last.json"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
