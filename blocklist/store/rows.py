"""Taking rows out of the tables, which only the repair of a damaged register does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from blocklist.store.database import ACTS, DOSSIERS, octets
from blocklist.store.store import Store

_SLICE = 500
"""Ids in one statement: databases bound how many values a statement may have."""


def read_dossiers(store: Store, act_ids: Sequence[str]) -> list[tuple[str, str, bytes]]:
    """Return act, salt and content of the dossiers that are here."""
    found: list[tuple[str, str, bytes]] = []
    if not store.has_dossiers:
        return found
    columns = (DOSSIERS.c.act, DOSSIERS.c.salt, octets(DOSSIERS.c.content))
    for ids in _slices(act_ids):
        with store.database.reading(dossiers=True) as connection:
            query = sa.select(*columns).where(DOSSIERS.c.act.in_(ids))
            found += [(str(act), str(salt), bytes(content)) for act, salt, content in connection.execute(query)]
    return found


def delete_acts(connection: sa.Connection, list_id: str, act_ids: Sequence[str]) -> None:
    """Delete acts of a list in the caller's transaction."""
    for ids in _slices(act_ids):
        connection.execute(sa.delete(ACTS).where((ACTS.c.list == list_id) & ACTS.c.id.in_(ids)))


def delete_dossiers(store: Store, act_ids: Sequence[str]) -> None:
    """Delete the dossiers of acts that are gone."""
    for ids in _slices(act_ids):
        with store.database.writing(dossiers=True) as connection:
            connection.execute(sa.delete(DOSSIERS).where(DOSSIERS.c.act.in_(ids)))


def _slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _SLICE] for start in range(0, len(ids), _SLICE))
