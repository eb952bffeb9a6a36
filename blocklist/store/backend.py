"""What a register is kept in: its two tables, and what every database that holds them has to be able to do.

`sqlite` keeps them in files beside the workspace, for one office host; `postgres` on a server, for several. Nothing
above `store` knows which it is.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from blocklist.base.errors import BlocklistError, RefusedError

NO_ACT = "0" * 64
"""What stands in column `prev` of a founding act: NULLs would all be distinct to UNIQUE (list, prev)."""

ACT_TABLES = sa.MetaData()
ACTS = sa.Table(
    "acts",
    ACT_TABLES,
    sa.Column("list", sa.String(32), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("prev", sa.String(64), nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("list", "seq"),
    sa.UniqueConstraint("list", "prev"),
)
DOSSIER_TABLES = sa.MetaData()
DOSSIERS = sa.Table(
    "dossiers",
    DOSSIER_TABLES,
    sa.Column("act", sa.String(64), primary_key=True),
    sa.Column("salt", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


class Row(NamedTuple):
    """One row of the table of acts, as it is stored."""

    seq: object
    id: object
    prev: object
    envelope: bytes


class ConflictError(RefusedError):
    """Somebody else appended first; nothing was written."""


def octets(column: sa.Column[bytes]) -> sa.Cast[bytes]:
    """Octets, whatever is stored: SQLite keeps a text in a column of octets if that is what it was given."""
    return sa.cast(column, sa.LargeBinary)


class Database(ABC):
    """A database that holds acts and dossiers.

    Attributes:
        shown: What people know it as.
        read_only: Whether nothing can be appended by this account, or through this object.
    """

    shown: str
    read_only: bool

    @abstractmethod
    def engine(self, *, dossiers: bool) -> sa.Engine:
        """Where the acts are, or the dossiers.

        Raises:
            UsageError: This account may not read dossiers.
        """

    @abstractmethod
    def sentence(self, fault: DBAPIError, *, dossiers: bool) -> BlocklistError:
        """The database's error in one sentence."""

    @property
    @abstractmethod
    def has_dossiers(self) -> bool:
        """Whether any dossiers are kept here, for this account or for others."""

    @abstractmethod
    def keep(self, connection: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
        """Insert dossiers, at the latest with the acts that `connection` is about to insert.

        Raises:
            ConflictError: One is there already. No dossier was kept.
            TargetError: They could not be written. No dossier was kept.
        """

    @abstractmethod
    def take_back(self, act_ids: Sequence[str]) -> None:
        """Remove the dossiers that were kept for acts which were then not appended."""

    @abstractmethod
    def destroy(self, act_ids: Sequence[str]) -> None:
        """Destroy dossiers and every trace of them; doing it again finishes what was cut off.

        Raises:
            UsageError: This account may not.
            TargetError: Others use the database, so that traces may be left.
        """

    @abstractmethod
    def contains(self, wanted: bytes) -> sa.ColumnElement[bool]:
        """That the content of a dossier holds these octets."""

    @abstractmethod
    def cutting(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """A transaction in which acts can be deleted, and nobody appends.

        Raises:
            UsageError: This account may not.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    @contextlib.contextmanager
    def reading(self, *, dossiers: bool = False) -> Iterator[sa.Connection]:
        """A connection for queries.

        Raises:
            BlocklistError: See `sentence`.
        """
        with self._failing(dossiers=dossiers), self.engine(dossiers=dossiers).connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, dossiers: bool = False) -> Iterator[sa.Connection]:
        """A transaction that is on disk when it has ended.

        Raises:
            BlocklistError: See `sentence`.
        """
        engine = self.engine(dossiers=dossiers).execution_options(write=True)
        with self._failing(dossiers=dossiers), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _failing(self, *, dossiers: bool) -> Iterator[None]:
        try:
            yield
        except DBAPIError as fault:
            raise self.sentence(fault, dossiers=dossiers) from fault
