"""The receipt of what was installed, signed with the provider's own key if it has one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from blocklist import files, receipts
from blocklist.errors import UsageError
from blocklist.messages import _
from blocklist.receipts import Receipt
from blocklist.signing import KeyFolder, SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from blocklist.client.applying import Applied
    from blocklist.client.edition import Edition
    from blocklist.client.record import Accepted
    from blocklist.client.state import ListState
    from blocklist.client.subscription import Subscription
    from blocklist.release import Plan


def write_receipt(
    subscription: Subscription,
    state: ListState,
    edition: Edition,
    applied: Applied,
    plan: Plan | None,
    now: datetime,
) -> None:
    """Write down for the office what was installed; it takes the place of the receipt before.

    Raises:
        UsageError: The key cannot be used.
        TargetError: It could not be written.
    """
    shown, record = edition.shown, applied.record
    by_path = {str(target.path): target.format for target in subscription.lists[shown.list_id]}
    installed = {by_path[path]: on.sha256 for path, on in record.installed.items() if on.sha256 and path in by_path}
    receipt = Receipt(
        list=shown.list_id,
        environment=shown.environment,
        register=shown.register,
        provider=subscription.provider,
        shown=_reference(record.newest),
        let_in=_reference(record.base),
        applied=now,
        names=len(shown.measures),
        added=len(plan.added) - edition.waiting if plan else 0,
        ended=len(plan.removed) + len(plan.lapsed) if plan else 0,
        waiting=edition.waiting,
        installed=tuple(sorted(installed.items())),
        failed=tuple(sorted({by_path[path] for path in by_path if path not in applied.installed})),
    )
    key = _key(subscription.receipt_key) if subscription.receipt_key else None
    files.replace(state.receipt_path, receipts.write(receipt, key), 0o600)


def _reference(accepted: Accepted) -> receipts.Applied:
    return receipts.Applied(accepted.release, accepted.head)


def _key(path: Path) -> SigningKey:
    def refuse(what: str) -> bytes:
        raise UsageError(
            _("{what} has a passphrase, which nobody can type at a timer", what=what),
            _("make one for receipts with 'blocklist key new NAME --no-passphrase', and keep its mode 0600"),
        )

    return KeyFolder(path.parent, refuse).private(path.stem)
