"""Find out at little cost that there is nothing to do: the usual case, every quarter of an hour.

A pull that left nothing undone writes down how it left every file, until when all of it is valid, and which timestamp
it verified. As long as the files are as they were and the publisher shows that very timestamp and no newer root, a
pull in full could not bring anything else. Whatever is not exactly so is left to a pull in full, which also says what
is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklist import __version__
from blocklist.base import durable
from blocklist.base.errors import BlocklistError
from blocklist.client.state import MALFORMED, Last, ListState, list_folder, state_folder
from blocklist.register.decoders import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from blocklist.client.fetch import Publisher
    from blocklist.client.state import Record
    from blocklist.client.subscription import Subscription, Target
    from blocklist.client.transport import Transport

NO_NEWER_ROOT = (403, 404)
"""What a publisher answers when it has no further root (TUF specification, section 5.3.3; servers say 403 too)."""

_MAX_KNOWN = 1024 * 1024


def nothing_new(
    subscription: Subscription, way: Transport, now: datetime, *, prune_lapsed: bool
) -> dict[str, tuple[int, tuple[str, ...]]] | None:
    """Return each list's release and installed paths if a pull would find all as it was left; None if it may not.

    Args:
        subscription: What would be pulled.
        way: The way to its publisher.
        now: The clock.
        prune_lapsed: Whether names past their review date have to go.
    """
    try:
        known = json.loads(durable.read(_path(subscription.path), "", _MAX_KNOWN))
        if known["of"] != _of(subscription.stamp) or not _is_in_time(known, now, prune_lapsed=prune_lapsed):
            return None
        if any(durable.stamp(Path(path)) != stamp for path, stamp in known["files"].items()):
            return None
        if not _is_same(known, subscription.metadata_url, way):
            return None
        lists = {str(key): (int(release), tuple(map(str, paths))) for key, (release, paths) in known["lists"].items()}
        for list_id in lists:
            Last(now, 0, "", now).save(list_folder(subscription.state, list_id))
    except (BlocklistError, OSError, *MALFORMED):
        return None
    return lists


def _is_in_time(known: Mapping[str, Any], now: datetime, *, prune_lapsed: bool) -> bool:
    lapses = known["lapses"] if prune_lapsed else None
    ends = known["ends"] if lapses is None else min(known["ends"], lapses)
    return bool(known["begins"] <= now.timestamp() < ends)


def _is_same(known: Mapping[str, Any], url: str, way: Transport) -> bool:
    """Whether the publisher shows the timestamp that was verified last, and no newer root."""
    marks = known["marks"]
    if not marks or way.get(f"{url}/timestamp.json", marks=marks).status != 304:
        return False
    return way.get(f"{url}/{int(known['root']) + 1}.root.json").status in NO_NEWER_ROOT


def remember(subscription: Subscription, publisher: Publisher, records: Mapping[str, Record]) -> None:
    """Write down how everything was left, after a pull that left nothing undone.

    Args:
        subscription: What was pulled.
        publisher: What was verified.
        records: That of each list.
    """
    with suppress(BlocklistError, OSError):
        root = subscription.state / "root.json"
        stamps = {str(root): durable.stamp(root)}
        for list_id, record in records.items():
            state = ListState.of(subscription, list_id)
            stamps |= {str(path): durable.stamp(path) for path in (state.record_path, state.acts_path(record))}
            stamps |= {path: durable.stamp(Path(path)) for path in record.installed}
            # They are looked at once they have their stamps, so a stamp is never that of a file nobody looked at.
            if not (state.holds_acts(record) and targets_hold(record, subscription.lists[list_id])):
                return
        lapses = [record.lapses.timestamp() for record in records.values() if record.lapses is not None]
        known = {
            "of": _of(subscription.stamp),
            "files": stamps,
            "begins": max(map(_begins, records.values())).timestamp(),
            "ends": min(
                publisher.expires(records), *(record.newest.valid_until for record in records.values())
            ).timestamp(),
            "lapses": min(lapses, default=None),
            "root": publisher.root_version,
            "marks": publisher.marks,
            "lists": {list_id: [record.newest.release, [*record.installed]] for list_id, record in records.items()},
        }
        durable.replace(_path(subscription.path), json.dumps(known).encode(), 0o600)


def _begins(record: Record) -> datetime:
    """Before that the clock is wrong, or was when names were left out as lapsed."""
    return max(record.newest.instant, record.lapsed_at or record.newest.instant) - CLOCK_TOLERANCE


def targets_hold(record: Record, targets: Iterable[Target]) -> bool:
    """Whether every target holds what was installed there."""
    wanted = {str(target.path) for target in targets}
    return wanted == record.installed.keys() and all(on.holds(Path(path)) for path, on in record.installed.items())


def forget(config: Path) -> None:
    """From now on a pull in full is needed."""
    with suppress(OSError):
        _path(config).unlink(missing_ok=True)


def _path(config: Path) -> Path:
    return state_folder(config) / "verified.json"


def _of(stamp: str) -> str:
    """What was verified holds for this file of a subscription, as this program reads it."""
    return f"{stamp} {__version__}"
