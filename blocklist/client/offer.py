"""What the metadata say is published, and whether it may follow what was accepted (steps 1 and 2 of a pull)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _, later
from blocklist.base.instants import CLOCK_TOLERANCE, folder_name, format_instant
from blocklist.client.state import MALFORMED, Record, read_number, read_ref
from blocklist.register.decoders import Ref
from blocklist.release.manifest import ACTS, CHANGES

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from blocklist.client.fetch import Publisher

TELL = later("the installed list stays; tell the office")
_MAX_PIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A release as it is offered: all of it signed, none of it believed before step 4."""

    number: int
    head: Ref
    acts: TargetFile
    since: tuple[Ref, datetime] | None
    list_id: str
    environment: str
    register: str
    checkpoint: Ref

    @classmethod
    def read(cls, publisher: Publisher, list_id: str, pin: Path) -> Offer:
        """Put together what the publisher's role says and what the heads pinned; `pin` keeps the heads' file.

        Raises:
            VerificationError: They say nothing that this program knows.
            UsageError: They do not name the list.
            UnreachableError: The heads' file could not be fetched.
        """
        acts, changes = publisher.target(f"{list_id}/{ACTS}"), publisher.target(f"{list_id}/{CHANGES}")
        content = publisher.content(publisher.target(f"registers/{list_id}.json"), _MAX_PIN, pin)
        try:
            return cls._read(publisher.release_number(list_id, acts), acts, changes, content)
        except MALFORMED as fault:
            raise VerificationError(_("the metadata describe no release that this program knows"), _(TELL)) from fault

    @classmethod
    def _read(cls, number: int, acts: TargetFile, changes: TargetFile, pin: bytes) -> Offer:
        stated, since = json.loads(pin), changes.custom["since"]
        return cls(
            read_number(number),
            read_ref(acts.custom["head"]),
            acts,
            None if since is None else (read_ref(since["head"]), _instant(since["number"])),
            str(stated["list"]),
            str(stated["environment"]),
            str(stated["register"]),
            read_ref(stated["checkpoint"]),
        )

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)

    def check(self, list_id: str, environment: str, accepted: Record | None, now: datetime) -> None:
        """Hold the offer against the subscription, the clock and what was accepted before.

        Raises:
            VerificationError: It is of another list or environment, of the future, or goes back.
        """
        if (self.environment, self.list_id) != (environment, list_id):
            raise VerificationError(
                _(
                    "the publisher's register is {list_id} ({environment}), the subscription is for "
                    "{wanted} ({wanted_environment})",
                    list_id=self.list_id,
                    environment=self.environment,
                    wanted=list_id,
                    wanted_environment=environment,
                ),
                _("subscribe to the right address; test is not production"),
            )
        if self.instant > now + CLOCK_TOLERANCE:
            raise VerificationError(
                _("the release is dated {instant}, in the future", instant=format_instant(self.instant)),
                _("check this machine's clock"),
            )
        if accepted is not None:
            self._check_follows(accepted)

    def _check_follows(self, accepted: Record) -> None:
        newest = accepted.newest
        if self.register != accepted.register:
            raise VerificationError(
                _("the publisher offers another register than the one accepted"), _("call the office")
            )
        if self.number < newest.release:
            raise VerificationError(
                _(
                    "release {instant} is older than {accepted}, the accepted one",
                    instant=folder_name(self.instant),
                    accepted=folder_name(newest.instant),
                ),
                _("an old release is offered again; tell the office"),
            )
        if self.number == newest.release and self.head != newest.head:
            raise VerificationError(
                _("{accepted} is another release of the same instant", accepted=folder_name(newest.instant)), _(TELL)
            )
        if self.head.seq < newest.head.seq and self.checkpoint == newest.checkpoint:
            raise VerificationError(_("the register is shorter than it was: acts were dropped"), _("tell the office"))


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(read_number(value), UTC)
