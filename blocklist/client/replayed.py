"""What a release that was accepted or published says, from the acts behind it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist.client.record import Accepted
from blocklist.errors import UsageError, VerificationError
from blocklist.fields import Ref
from blocklist.measures import Measures
from blocklist.messages import Progress, _
from blocklist.register import Register
from blocklist.release import ACTS, Snapshot
from blocklist.replay import read_lines, replay

if TYPE_CHECKING:
    from blocklist.client.subscription import Subscription


def accepted_snapshot(subscription: Subscription, now: datetime, progress: Progress) -> tuple[Snapshot, Measures]:
    """What the last pull accepted, and the last decision on every name.

    Raises:
        UsageError: Nothing was accepted yet.
        VerificationError: The acts that were kept are not those of the accepted release.
    """
    accepted, path = Accepted.load(subscription.state / "accepted.json"), subscription.state / ACTS
    if accepted is None or not path.is_file():
        raise UsageError(
            _("{path} has accepted no release yet", path=subscription.path), _("run 'blocklist pull' first")
        )
    with path.open("rb") as stream:
        return snapshot_at(read_lines(stream), accepted.head, accepted.instant, now, progress)


def snapshot_at(
    lines: Iterable[bytes], head: Ref, instant: datetime, now: datetime, progress: Progress
) -> tuple[Snapshot, Measures]:
    """The register at a release's instant, from its acts, and the last decision on every name.

    Raises:
        VerificationError: The acts are not genuine, or do not end at `head`.
    """
    register = Register()
    with progress(_("replaying the acts"), head.seq) as advance:
        for _signed, register in replay(lines, now):  # noqa: B007  (the last one is wanted)
            advance(1)
    if not register.ids or register.head != head:
        raise VerificationError(
            _("the acts do not end at the head of the release"), _("run 'blocklist pull', or 'blocklist audit'")
        )
    return Snapshot.take(register, instant), register.measures()
