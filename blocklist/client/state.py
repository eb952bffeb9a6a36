"""The files of one list in the state folder of a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist import files
from blocklist.client.folder import list_folder, sweep
from blocklist.client.record import Record

ACTS_PREFIX = "acts-"

if TYPE_CHECKING:
    from blocklist.client.subscription import Subscription
    from blocklist.fields import Ref


@dataclass(frozen=True, slots=True)
class ListState:
    """Where what is known of one list is kept."""

    folder: Path

    @classmethod
    def of(cls, subscription: Subscription, list_id: str) -> ListState:
        """That of one list of a subscription."""
        return cls(list_folder(subscription.state, list_id))

    @property
    def record_path(self) -> Path:
        """What was accepted and installed."""
        return self.folder / "accepted.json"

    @property
    def receipt_path(self) -> Path:
        """The receipt of the last installation, for the office."""
        return self.folder / "receipt.json"

    @property
    def pin_path(self) -> Path:
        """What the heads stated of the register, as it was fetched."""
        return self.folder / "register.json"

    @property
    def verified_path(self) -> Path:
        """The register as it was verified last."""
        return self.folder / "state.json"

    @property
    def news_path(self) -> Path:
        """Acts while they are fetched."""
        return self.folder / f"{files.TEMPORARY}acts"

    def acts_path(self, record: Record) -> Path:
        """The acts of all accepted releases."""
        return self.folder / record.acts

    def holds_acts(self, record: Record) -> bool:
        """Whether nobody has touched the acts since they were written."""
        return bool(record.acts_stamp) and files.stamp(self.acts_path(record)) == record.acts_stamp

    @staticmethod
    def acts_name(head: Ref) -> str:
        """The name of the file of the acts that end at `head`: another one for each branch of a register."""
        return f"{ACTS_PREFIX}{head.seq}-{head.id[:16]}.jsonl"

    def record(self) -> Record | None:
        """See `Record.load`."""
        return Record.load(self.record_path)

    def save(self, record: Record) -> None:
        """Keep a record, durably.

        Raises:
            TargetError: It could not be written; the former record is untouched.
        """
        files.replace(self.record_path, record.to_bytes(), 0o600)

    def make(self) -> None:
        """Make the folder.

        Raises:
            TargetError: It could not be made.
        """
        files.make_folder(self.folder, 0o700)

    def clear(self, record: Record | None) -> None:
        """Remove what a killed pull left behind, and acts that no record speaks of."""
        sweep(self.folder, files.TEMPORARY)
        sweep(self.folder, ACTS_PREFIX, record.acts if record else "")
