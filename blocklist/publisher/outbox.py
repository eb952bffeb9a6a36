"""Handing notices to a command of the office, so that none is lost (décret 2015-125 art. 4: "sans délai").

What was handed over last is kept in `lists/<list>.notified.json`. A notice is always the difference between that and
the current release, so a command that fails, or a machine that dies between a release and its notice, delays the news
and loses none. A machine that dies after the command and before the record tells twice.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base import durable, subprocesses
from blocklist.base.errors import TargetError, UsageError, VerificationError
from blocklist.base.i18n import _, later
from blocklist.register.decoders import ActError, Ref, read_ref
from blocklist.release.notices import both

if TYPE_CHECKING:
    from blocklist.publisher.tree import Published
    from blocklist.release.notices import Notice

TIMEOUT = 120
"""Seconds that the command may take."""

_MAX_RECORD = 4096
_AGAIN = later("it is handed over again by the next 'publish --notify'")


@dataclass(frozen=True, slots=True)
class Told:
    """A release that the office was told of."""

    number: int
    head: Ref

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)


class Outbox:
    """The record of what one list's command was handed last."""

    def __init__(self, lists: Path, list_id: str, command: str) -> None:
        """Read the operator's command line.

        Raises:
            UsageError: It is empty, or a quote in it has no end.
        """
        try:
            self._command = shlex.split(command)
        except ValueError:
            self._command = []
        if not self._command:
            raise UsageError(
                _("{command!r} is not a command line", command=command),
                _("give a program and its arguments, for example --notify /srv/blocklist/notify"),
            )
        self._path = lists / f"{list_id}.notified.json"

    def told(self, current: Published | None) -> Told | None:
        """The release that was told last, None when none was.

        Without a record this is the current one: who starts to be told is told what comes.

        Raises:
            VerificationError: The record is damaged.
            TargetError: The first record could not be written.
        """
        if not self._path.exists():
            told = Told(current.number, current.head) if current else None
            self._write(told)
            return told
        content = durable.read(self._path, _("the record of notices"), _MAX_RECORD)
        try:
            members = json.loads(content)
            head = members["head"]
            return Told(int(members["release"]), read_ref(head)) if head else None
        except (ActError, ValueError, TypeError, KeyError) as fault:
            raise VerificationError(
                _("{path} is damaged", path=self._path),
                _("remove it: notices then start with the release that comes next"),
            ) from fault

    def lost(self, told: Told) -> VerificationError:
        """The error for a record of a release that the register does not know."""
        return VerificationError(
            _("act {seq} of the last notice is not in the register", seq=told.head.seq),
            _(
                "this is an older copy or a fork of the register: restore the newest; "
                "if the heads ended a fork, remove {path}",
                path=self._path,
            ),
        )

    def hand_over(self, notice: Notice) -> bool:
        """Give the command the notice, if there is anything to tell, and then record it.

        Returns:
            Whether the command ran.

        Raises:
            TargetError: The command failed, or the record could not be written; the next call tells it again.
        """
        made = notice.release
        if notice:
            ran = subprocesses.run(self._command, TIMEOUT, both(notice).encode())
            if ran.problem:
                message = _(
                    "the notice of release {folder} could not be handed to {command}: {problem}",
                    folder=made.folder,
                    command=shlex.join(self._command),
                    problem=ran.problem,
                )
                raise NotifyError(message, _(_AGAIN), ran.output)
        self._write(Told(made.number, made.head))
        return bool(notice)

    def _write(self, told: Told | None) -> None:
        members = {"release": told.number, "head": told.head.to_json()} if told else {"release": None, "head": None}
        durable.replace(self._path, json.dumps(members).encode() + b"\n")


class NotifyError(TargetError):
    """The command did not take a notice; `output` is what it printed."""

    def __init__(self, message: str, hint: str, output: str) -> None:
        super().__init__(message, hint)
        self.output = output
