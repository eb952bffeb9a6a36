"""Instants as acts, releases and records spell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far two honest clocks may differ."""

_FOLDER = "%Y%m%dT%H%M%SZ"


def format_instant(instant: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def folder_name(instant: datetime) -> str:
    """The name of the folder of the release of that instant, `20261122T120000Z`."""
    return instant.strftime(_FOLDER)


def folder_instant(name: str) -> datetime:
    """The instant of the release whose folder has that name.

    Raises:
        ValueError: It is no such name.
    """
    return datetime.strptime(name, _FOLDER).replace(tzinfo=UTC)
