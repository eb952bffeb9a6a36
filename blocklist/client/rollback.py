"""`rollback`: back to a release that was installed before, and no further until the operator says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.client import install
from blocklist.client.install import Applied
from blocklist.client.state import ListState
from blocklist.client.verify_acts import edition, installation
from blocklist.register.decoders import folder_name

if TYPE_CHECKING:
    from blocklist.base.i18n import Progress
    from blocklist.client.state import Accepted, Record
    from blocklist.client.subscription import Subscription


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Where the list is held now: `waiting` additions of later releases are out, `ended` names of it stay out."""

    to: Accepted
    applied: Applied
    waiting: int
    ended: int


def rollback(
    subscription: Subscription, list_id: str, release: str | None, now: datetime, progress: Progress
) -> RolledBack:
    """Install again what an earlier release listed, and hold the list there.

    What has ended since then by an act or by its date does not come back: the law does not allow it any more.

    Args:
        subscription: What the provider wrote down.
        list_id: One of its lists.
        release: The folder name of a kept release; by default the one before that which is let in.
        now: The clock.
        progress: Told about long work.

    Raises:
        UsageError: There is no such release.
        VerificationError: The acts that are kept are not those that were accepted.
        TargetError: The record could not be kept.
    """
    state = ListState.of(subscription, list_id)
    record = state.record()
    if record is None:
        raise UsageError(
            _("{path} has accepted no release yet", path=subscription.path), _("run 'blocklist pull' first")
        )
    to = _chosen(record, release)
    known = installation(state, record, now, progress, to)
    shown = edition(known.newest, record, now, base=known.base, lapsed_at=now, held=True)
    after = replace(record, let_in=to.release, held=now)
    with install.render(subscription.lists[list_id], shown.shown) as candidates:
        applied = install.apply(subscription, record, after, shown, candidates, None, now)
    return RolledBack(to, applied, shown.waiting, len(known.base.measures) - len(shown.shown.measures))


def _chosen(record: Record, release: str | None) -> Accepted:
    kept = {folder_name(accepted.instant): accepted for accepted in record.kept}
    older = [accepted for accepted in record.kept if accepted.release < record.let_in]
    listed = _("kept are {releases}", releases=", ".join(kept))
    if release is None and older:
        return older[0]
    if release is None:
        raise UsageError(_("no release is kept from before the one that is installed"), listed)
    if release not in kept:
        raise UsageError(_("release {release} is not kept here", release=release), listed)
    return kept[release]
