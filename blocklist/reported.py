"""What providers reported: the receipts that the office took in, and who applied or restored something by when.

They are files under `lists/receipts/<list>/<provider>/`, as they came. A provider's key is in
`lists/providers/<provider>.pub`; what it signed is verified each time that somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist import files, receipts
from blocklist.documents import is_identifier
from blocklist.errors import BlocklistError, UsageError, VerificationError
from blocklist.instants import folder_name, format_instant
from blocklist.messages import _
from blocklist.receipts import MAX_RECEIPT, Receipt, Received
from blocklist.release import DELAY
from blocklist.signing import PublicKey

if TYPE_CHECKING:
    from blocklist.register import Register

_FOLDER_MODE = 0o3775
"""Every account of the office adds receipts (setgid: to its group), and removes no other account's (sticky)."""

_MAX_KEY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """What the receipts of one provider say about one change of the list.

    Attributes:
        provider: Who.
        applied: When it was in place at the latest; None when no receipt says that it is.
        signed: Whether the provider's key signed that.
        late: Whether that is after the deadline, or the deadline has passed without it.
        first: Whether no receipt of this provider was taken in that is older.
        back: When the provider went back to an older release, if its last receipt says so.
        damaged: The files that are none of this register any more, and do not count.
    """

    provider: str
    applied: datetime | None = None
    signed: bool = False
    late: bool = False
    first: bool = False
    back: datetime | None = None
    damaged: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "provider": self.provider,
            "applied": self.applied and format_instant(self.applied),
            "signed": self.signed,
            "late": self.late,
            "first": self.first,
            "back": self.back and format_instant(self.back),
            "damaged": [str(path) for path in self.damaged],
        }


class Reported:
    """The receipts of one list.

    Args:
        lists: The folder `lists` of the workspace.
        register: The register of the list.
    """

    def __init__(self, lists: Path, register: Register) -> None:
        self._lists = lists
        self._register = register

    # Files

    def _folder(self, provider: str) -> Path:
        return self._lists / "receipts" / self._register.list_id / provider

    def path(self, provider: str, receipt: Receipt) -> Path:
        """Where a receipt is kept: the release that was accepted, and when it was applied."""
        name = f"{folder_name(receipt.shown.instant)}-{folder_name(receipt.applied)}.json"
        return self._folder(provider) / name

    def keep(self, path: Path, content: bytes) -> None:
        """Write a receipt, durably, to the `path` where it is kept.

        Raises:
            TargetError: It could not be written.
        """
        with files.written(path):
            for folder in reversed(path.relative_to(self._lists).parents[:-1]):
                _make_folder(self._lists / folder)
        files.replace(path, content)

    def providers(self) -> list[str]:
        """The providers of which there is a receipt."""
        folder = self._folder("")
        return sorted(path.name for path in folder.glob("*") if is_identifier(path.name) and self._kept(path.name))

    def _kept(self, provider: str) -> list[Path]:
        """The files of one provider, in the order in which the provider applied releases."""
        paths = self._folder(provider).glob("2*Z-2*Z.json")
        return sorted(paths, key=lambda path: path.stem.split("-")[::-1])

    def read(self, path: Path) -> Received:
        """A receipt that was taken in.

        Raises:
            BlocklistError: It cannot be read, or is none of this register.
        """
        received = receipts.read(files.read(path, _("the receipt"), MAX_RECEIPT))
        self.check(received.receipt)
        provider = path.parent.name
        if received.receipt.provider not in ("", provider) or self.path(provider, received.receipt) != path:
            raise VerificationError(_("{path} is another receipt than its name says", path=path))
        return received

    # Checks

    def check(self, receipt: Receipt) -> None:
        """Refuse a receipt of something else, or of acts that this register does not have.

        Raises:
            VerificationError: It is one.
        """
        register = self._register
        own = (register.list_id, register.environment)
        if (receipt.list, receipt.environment) != own:
            raise VerificationError(
                _(
                    "the receipt is for {list_id} ({environment}), this register is {own} ({own_environment})",
                    list_id=receipt.list,
                    environment=receipt.environment,
                    own=own[0],
                    own_environment=own[1],
                ),
                _("take it in where that list is kept; test is not production"),
            )
        if receipt.register != register.id:
            raise VerificationError(
                _("the receipt is for another register of {list_id}", list_id=receipt.list),
                _("the provider subscribed to another one; compare the register's id with the provider"),
            )
        for ref in (receipt.let_in.head, receipt.shown.head):
            if register.ids[ref.seq - 1 : ref.seq] != [ref.id]:
                raise VerificationError(
                    _("the receipt shows an act {seq} that this register does not have", seq=ref.seq),
                    _("the provider follows a fork, or this is an older copy of the register: run 'blocklist audit'"),
                )

    def key(self, provider: str) -> PublicKey | None:
        """The key that the office has of a provider.

        Raises:
            UsageError: The file is no public key.
        """
        path = self._lists / "providers" / f"{provider}.pub"
        if not path.exists():
            return None
        try:
            return PublicKey.from_pem(files.read(path, _("the public key"), _MAX_KEY), str(path))
        except UsageError as fault:
            raise UsageError(
                fault.message, _("put the .pub file there that belongs to the provider's key of receipts")
            ) from fault

    def is_signed(self, provider: str, received: Received) -> bool:
        """Whether a receipt that was taken in is signed with the key that the office has now."""
        try:
            key = self.key(provider)
            if key is not None:
                received.verify(key, provider)
        except BlocklistError:
            return False
        return key is not None

    # Questions

    def reports(
        self, since: datetime, published: datetime, holds: Callable[[Receipt], bool], now: datetime
    ) -> Iterator[Report]:
        """What each provider says about one change; who has still time and has not reported is left out.

        Args:
            since: No release before this instant can have the change.
            published: The first release that has it.
            holds: Whether a release that a receipt shows has it.
            now: The clock.
        """
        for provider in self.providers():
            report = self._report(provider, since, published + DELAY, holds, now)
            if report.applied or report.late or report.damaged:
                yield report

    def _report(
        self, provider: str, since: datetime, deadline: datetime, holds: Callable[[Receipt], bool], now: datetime
    ) -> Report:
        kept, damaged = self._kept(provider), []
        for path in (path for path in kept if path.name >= folder_name(since)):
            try:
                received = self.read(path)
            except BlocklistError:
                damaged.append(path)
                continue
            receipt = received.receipt
            if holds(receipt) and not receipt.failed:
                return Report(
                    provider,
                    receipt.applied,
                    self.is_signed(provider, received),
                    receipt.applied > deadline,
                    path == kept[0],
                    self._back(kept[-1], holds),
                    tuple(damaged),
                )
        return Report(provider, late=now > deadline, damaged=tuple(damaged))

    def _back(self, last: Path, holds: Callable[[Receipt], bool]) -> datetime | None:
        try:
            receipt = self.read(last).receipt
        except BlocklistError:
            return None
        return None if holds(receipt) else receipt.applied


def _make_folder(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(0o700)
        path.chmod(_FOLDER_MODE)  # a mode that mkdir is given loses the setgid bit, and to the umask
        files.sync_folder(path.parent)
