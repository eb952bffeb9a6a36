"""Finding out at little cost that there is nothing to do: the usual case, every quarter of an hour.

After a pull that left nothing undone, the state folder says which root and which timestamp were verified last, and
when the first of the metadata expires. If the publisher still shows that timestamp and no newer root, a refresh could
not bring anything else; so python-tuf need not even be loaded. Whatever is not exactly so is left to a pull in full,
which also says what is wrong. Nothing is decided here but that nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist import files
from blocklist.client.record import MALFORMED, Record
from blocklist.client.state import ListState
from blocklist.client.transport import NO_NEWER_ROOT
from blocklist.errors import BlocklistError
from blocklist.fields import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from blocklist.client.fetch import Publisher
    from blocklist.client.subscription import Subscription, Target
    from blocklist.client.transport import Transport

_MAX_TIMESTAMP = 16 * 1024
_MAX_KNOWN = 64 * 1024


def nothing_new(subscription: Subscription, now: datetime, way: Transport, prune_lapsed: bool) -> bool:
    """Whether a pull would find every list as it left it, and nothing new at the publisher."""
    try:
        known = json.loads(files.read(_path(subscription), "", _MAX_KNOWN))
        if files.digest_of(subscription.state / "root.json") != subscription.root:
            return False
        if known["of"] != _of(subscription) or now >= datetime.fromtimestamp(known["expires"], UTC):
            return False
        if not all(_is_settled(subscription, list_id, now, prune_lapsed) for list_id in subscription.lists):
            return False
        root = way.get(f"{subscription.metadata_url}/{int(known['root']) + 1}.root.json")
        return root.status in NO_NEWER_ROOT and _is_same(subscription, way, known)
    except (BlocklistError, OSError, *MALFORMED):
        return False


def _is_settled(subscription: Subscription, list_id: str, now: datetime, prune_lapsed: bool) -> bool:
    state = ListState.of(subscription, list_id)
    record = state.record()
    if record is None or record.installing or record.held or record.waits or not state.holds_acts(record):
        return False
    in_time = record.newest.instant <= now + CLOCK_TOLERANCE and now < record.newest.valid_until
    lapsed = prune_lapsed and record.lapses is not None and record.lapses <= now
    return (
        in_time and not lapsed and not record.left_out_early(now) and targets_hold(record, subscription.lists[list_id])
    )


def targets_hold(record: Record, targets: Iterable[Target]) -> bool:
    """Whether every target holds what was installed there."""
    wanted = {str(target.path) for target in targets}
    return wanted == record.installed.keys() and all(on.holds(Path(path)) for path, on in record.installed.items())


def _is_same(subscription: Subscription, way: Transport, known: Mapping[str, object]) -> bool:
    """Whether the publisher shows the timestamp that was verified last."""
    marks = known["marks"]
    answer = way.get(f"{subscription.metadata_url}/timestamp.json", marks=marks if isinstance(marks, dict) else None)
    if answer.status == 304:
        return True
    if answer.status != 200:
        return False
    content = b""
    for chunk in answer.chunks:
        content += chunk
        if len(content) > _MAX_TIMESTAMP:
            return False
    if hashlib.sha256(content).hexdigest() != known["timestamp"]:
        return False
    with suppress(BlocklistError):  # so that the next time it need not travel
        files.replace(_path(subscription), json.dumps({**known, "marks": dict(answer.marks)}).encode(), 0o600)
    return True


def remember(subscription: Subscription, publisher: Publisher) -> None:
    """Write down what was verified, after a pull that left nothing undone."""
    with suppress(BlocklistError, OSError):
        timestamp = (subscription.state / "metadata/timestamp.json").read_bytes()
        known = {
            "of": _of(subscription),
            "root": publisher.root_version,
            "timestamp": hashlib.sha256(timestamp).hexdigest(),
            "marks": {},
            "expires": publisher.expires(subscription.lists).timestamp(),
        }
        files.replace(_path(subscription), json.dumps(known).encode(), 0o600)


def forget(subscription: Subscription) -> None:
    """From now on a pull in full is needed."""
    with suppress(OSError):
        _path(subscription).unlink(missing_ok=True)


def _path(subscription: Subscription) -> Path:
    return subscription.state / "verified.json"


def _of(subscription: Subscription) -> str:
    """What was verified holds for this address, root and environment only."""
    return f"{subscription.url} {subscription.root} {subscription.environment}"
