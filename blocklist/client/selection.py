"""Which names of an accepted release a provider installs, and what the header says when they are not all of them.

Mostly the edition is the release itself, byte for byte. Additions may have to wait, for the provider's word or for the
end of a hold; what has ended never waits. So an edition is never anything but a part of what was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist.base.instants import folder_name
from blocklist.release.formats import Changed

if TYPE_CHECKING:
    from blocklist.client.state import Record
    from blocklist.release.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Edition:
    """What is to be installed: `shown`, whose additions are those of the release `let_in`.

    `waiting` names of the newest release are left out for now, and `lapsed` ones because their review date had come at
    `lapsed_at`.
    """

    shown: Snapshot
    let_in: int
    waiting: int = 0
    lapsed: int = 0
    lapsed_at: datetime | None = None


def edition(
    newest: Snapshot,
    record: Record | None,
    now: datetime,
    *,
    base: Snapshot | None = None,
    lapsed_at: datetime | None = None,
    held: bool = False,
) -> Edition:
    """What to install of the newest accepted release.

    Args:
        newest: That release.
        record: What was accepted and installed before.
        now: The clock, for the serial of what is not as published.
        base: Only what this older release let in, and has not ended since.
        lapsed_at: Without the names whose review date has come by then.
        held: Whether the operator holds the list at `base`.
    """
    let_in = newest.measures.let_in(base.measures, base.head.seq) if base else newest.measures
    kept = let_in.not_lapsed(lapsed_at) if lapsed_at else let_in
    waiting, lapsed = len(newest.measures) - len(let_in), len(let_in) - len(kept)
    from_release, number = int((base or newest).instant.timestamp()), newest.release().number
    last = record.serial if record else 0
    same = record is not None and _key(record) == (number, from_release, held, len(kept))
    if not (waiting or lapsed or held) and (number > last or (same and number == last)):
        return Edition(newest, from_release, lapsed_at=lapsed_at)
    # Secondaries ignore a serial that is not above the last one.
    serial = last if same and last > number else max(int(now.timestamp()), last + 1, number + 1)
    shown = replace(
        newest, measures=kept, changed=Changed(serial, tuple(_remarks(base, serial, waiting, lapsed, held)))
    )
    return Edition(shown, from_release, waiting, lapsed, lapsed_at)


def installed_edition(newest: Snapshot, base: Snapshot, record: Record, now: datetime) -> Edition:
    """What the record says is installed."""
    held = record.held is not None
    back = base if record.waits or held else None
    return edition(newest, record, now, base=back, lapsed_at=record.lapsed_at, held=held)


def _key(record: Record) -> tuple[int, int, bool, int]:
    return record.newest.release, record.let_in, record.held is not None, record.names


def _remarks(base: Snapshot | None, serial: int, waiting: int, lapsed: int, held: bool) -> Iterator[str]:
    """Lines for the header, in English like the rest of it."""
    yield f"Changed by the provider, serial {serial}: the seal is that of the file as it was published."
    if base is not None:
        why = "Held" if held else "Waiting for the provider's word since"
        yield f"{why} release {folder_name(base.instant)}: {waiting} added after it left out."
    if lapsed:
        yield f"Without {lapsed} whose review date has passed and no newer release has come."
