"""What a register is kept in: its two tables, what every database that holds them can do, and SQLite files.

Two SQLite files beside the workspace are for one office host; `postgres` is for several, and nothing above `store`
knows which it is. Dossiers are in a second file beside the first, because a file is all that its permissions can
protect: the publisher reads `register.db` and cannot open `dossiers.db`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.base.i18n import _

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


def not_kept(shown: str) -> TargetError:
    """What is said of a database that swallows what is inserted: a trigger can do so without an error."""
    return TargetError(
        _("the database {shown} does not keep what is appended: nothing was", shown=shown),
        _("its tables or triggers were changed: see 'blocklist audit', and restore it from a backup"),
    )


def insert_dossiers(connection: sa.Connection, rows: Sequence[dict[str, object]], shown: str) -> None:
    """Insert dossiers and read back that they are there.

    Raises:
        TargetError: They are not.
    """
    connection.execute(sa.insert(DOSSIERS), rows)
    wanted = {(row["act"], row["salt"], row["content"]) for row in rows}
    query = sa.select(DOSSIERS.c.act, DOSSIERS.c.salt, octets(DOSSIERS.c.content))
    found = connection.execute(query.where(DOSSIERS.c.act.in_([row["act"] for row in rows])))
    if {(act, salt, bytes(content)) for act, salt, content in found} != wanted:
        raise not_kept(shown)


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
    def altered(self) -> list[str]:
        """The tables, indexes, triggers and rules that were added, changed or removed since they were made, by name.

        One that swallows an insert makes the register lie to whoever appends.
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


_ATTEMPTS = 20
"""How often a copy is made anew because somebody wrote meanwhile."""

_Stamp = tuple[tuple[str, int, int], ...]


def copied(folder: Path, databases: Sequence[tuple[str, str]]) -> tempfile.TemporaryDirectory[str]:
    """Copy databases with their logs: SQLite cannot read a log where it cannot write.

    Args:
        folder: Where they are; nothing in it is changed.
        databases: The name of each database and of its log. Those after the first are left out if they are missing,
            or closed to this account.

    Returns:
        A folder that only this account can open; the caller cleans it up.

    Raises:
        UsageError: The first may not be read.
        TargetError: There is no room.
        RefusedError: They are written to all the time, so that no copy is whole.
    """
    copy = tempfile.TemporaryDirectory(prefix="blocklist-")
    try:
        for _attempt in range(_ATTEMPTS):
            if _copy_once(folder, Path(copy.name), databases):
                return copy
        raise RefusedError(_("{path} is being written to all the time", path=folder), _("run the command again"))
    except PermissionError as fault:
        copy.cleanup()
        raise UsageError(
            _("{path} cannot be read: {reason}", path=fault.filename, reason=fault.strerror),
            _("an audit needs to read the register, not to write it"),
        ) from fault
    except OSError as fault:
        copy.cleanup()
        raise TargetError(
            _("{path} could not be copied: {reason}", path=folder, reason=fault.strerror),
            _("make room in the temporary folder, or choose another with TMPDIR"),
        ) from fault
    except BaseException:
        copy.cleanup()
        raise


def _copy_once(folder: Path, copy: Path, databases: Sequence[tuple[str, str]]) -> bool:
    """Copy what is there now; returns whether nobody wrote meanwhile."""
    before = _stamp(folder, databases)
    for stale in copy.iterdir():
        stale.unlink()
    with contextlib.suppress(FileNotFoundError):  # a log goes when its last reader goes
        for name, *_rest in before:
            shutil.copyfile(folder / name, copy / name)
    return _stamp(folder, databases) == before


def _stamp(folder: Path, databases: Sequence[tuple[str, str]]) -> _Stamp:
    """The files that are to be copied, with what changes when one of them is written."""
    found = []
    for index, (database, log) in enumerate(databases):
        if index and not os.access(folder / database, os.R_OK):
            continue
        for name in (database, log):
            with contextlib.suppress(FileNotFoundError):
                status = (folder / name).stat()
                found.append((name, status.st_size, status.st_mtime_ns))
    return tuple(found)


def is_there(path: Path) -> bool:
    """Whether there is a file of that name, even one in a folder that is closed to this account."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


REGISTER = "register.db"
_SECRET = "dossiers.db"  # noqa: S105  (the name of a file)
_FILES = ((REGISTER, f"{REGISTER}-wal"), (_SECRET, f"{_SECRET}-wal"))
"""Each database with its log."""

# INSERT OR REPLACE deletes a row without asking a DELETE trigger, so the insert itself has to be refused.
_APPEND_ONLY = {
    "acts_update": "BEFORE UPDATE ON acts BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "acts_delete": "BEFORE DELETE ON acts BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "acts_insert": "BEFORE INSERT ON acts WHEN EXISTS (SELECT 1 FROM acts WHERE id = NEW.id"
    " OR list = NEW.list AND (seq = NEW.seq OR prev = NEW.prev)) BEGIN SELECT RAISE(ABORT, 'append only'); END",
}


class SqliteFiles(Database):
    """`register.db` and `dossiers.db` in a folder.

    Args:
        folder: Where they are.
        create: Make what is missing; otherwise `register.db` has to be there.
        read_only: Read a private copy, and make or change nothing in `folder`. So is a folder that cannot be written.
        missing: What to do where there is no register.

    Raises:
        UsageError: There is no register in `folder`, or this account may not read it.
        TargetError: The database could not be made or copied.
        RefusedError: It is written to all the time, so that no copy is whole.
    """

    def __init__(self, folder: Path, *, create: bool, read_only: bool, missing: str) -> None:
        path = folder / REGISTER
        if create:
            durable.make_folder(folder)
        elif not path.exists():
            raise UsageError(_("there is no register in {folder}", folder=folder), missing)
        self.shown = str(folder)
        self._folder = folder
        closed = not create and not (os.access(folder, os.W_OK) and os.access(path, os.W_OK))
        self._copy = copied(folder, _FILES) if read_only or closed else None
        self.read_only = self._copy is not None
        self._home = Path(self._copy.name) if self._copy is not None else folder
        self._acts = _engine(self._home / REGISTER)
        self._dossiers: sa.Engine | None = None
        if create:
            with self.writing() as connection:
                ACT_TABLES.create_all(connection)
                _forbid(connection)

    def close(self) -> None:
        """Close the files."""
        self._acts.dispose()
        if self._dossiers is not None:
            self._dossiers.dispose()
            self._dossiers = None
        if self._copy is not None:
            self._copy.cleanup()

    def engine(self, *, dossiers: bool) -> sa.Engine:
        """See `Database`; the file of dossiers is made, closed to others, when it is first needed."""
        if not dossiers:
            return self._acts
        if self._dossiers is None:
            there = self._folder / _SECRET
            needed = os.R_OK if self._copy is not None else os.R_OK | os.W_OK
            if is_there(there) and not os.access(there, needed):
                raise UsageError(
                    _("{secret} is closed to this account", secret=there), _("dossiers are for the office's agents")
                )
            path = self._home / _SECRET
            with durable.written(path), contextlib.suppress(FileExistsError):
                durable.write_chunks(path, [], 0o600)
            self._dossiers = _engine(path)
            with self.writing(dossiers=True) as connection:
                DOSSIER_TABLES.create_all(connection)
        return self._dossiers

    @property
    def has_dossiers(self) -> bool:
        """See `Database`."""
        return is_there(self._folder / _SECRET)

    def keep(self, connection: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
        """See `Database`: on disk before the acts, since an act without its dossier could not be approved."""
        with self.writing(dossiers=True) as own:
            insert_dossiers(own, rows, self.shown)

    def take_back(self, act_ids: Sequence[str]) -> None:
        """See `Database`."""
        with self.writing(dossiers=True) as connection:
            connection.execute(sa.delete(DOSSIERS).where(DOSSIERS.c.act.in_(act_ids)))

    def destroy(self, act_ids: Sequence[str]) -> None:
        """See `Database`."""
        self.take_back(act_ids)
        engine = self.engine(dossiers=True).execution_options(bare=True)
        with self._failing(dossiers=True), engine.connect() as connection:
            # What a page once held may stand in its gaps, and what was written stands in the log: both are made anew.
            for statement in ("PRAGMA temp_store=MEMORY", "VACUUM"):
                connection.exec_driver_sql(statement)
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if busy:
            raise TargetError(
                _("{path} is in use, so what was erased may still be in its log", path=self._folder / _SECRET),
                _("run the command again when no other is running"),
            )

    def altered(self) -> list[str]:
        """See `Database`."""
        shipped = sa.create_engine("sqlite://")
        with shipped.begin() as connection:
            ACT_TABLES.create_all(connection)
            _forbid(connection)
            wanted = _schema(connection)
        shipped.dispose()
        with self.reading() as connection:
            found = _schema(connection)
        return sorted({name for name, _sql in wanted ^ found})

    def contains(self, wanted: bytes) -> sa.ColumnElement[bool]:
        """See `Database`."""
        return sa.func.instr(octets(DOSSIERS.c.content), sa.literal(wanted, sa.LargeBinary)) > 0

    @contextlib.contextmanager
    def cutting(self) -> Iterator[sa.Connection]:
        """See `Database`."""
        with self.writing() as connection:
            for name in _APPEND_ONLY:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            yield connection
            _forbid(connection)

    def sentence(self, fault: DBAPIError, *, dossiers: bool) -> BlocklistError:
        """See `Database`."""
        if isinstance(fault, IntegrityError):
            return ConflictError(_("the same act was appended meanwhile"), _("look at 'blocklist log'"))
        path = self._folder / (_SECRET if dossiers else REGISTER)
        broken = isinstance(fault, DatabaseError) and not isinstance(fault, OperationalError)
        if broken and "not a database" in str(fault.orig):
            return VerificationError(
                _("{database} is not a database any more", database=path), _("restore it from the newest backup")
            )
        return TargetError(
            _("the database {database} failed: {orig}", database=path, orig=fault.orig),
            _("nothing was appended; make room or correct the permissions, then run the command again"),
        )


def _forbid(connection: sa.Connection) -> None:
    for name, rule in _APPEND_ONLY.items():
        connection.exec_driver_sql(f"CREATE TRIGGER IF NOT EXISTS {name} {rule}")


def _schema(connection: sa.Connection) -> set[tuple[str, str]]:
    """What SQLite holds, by name, with the statement that made it; how that is spaced depends on the version."""
    rows = connection.exec_driver_sql("SELECT name, coalesce(sql, '') FROM sqlite_master")
    return {(str(name), " ".join(str(sql).split())) for name, sql in rows}


def _engine(path: Path) -> sa.Engine:
    """SQLite as it has to be for a register: write-ahead log, every commit on disk, writers queue at BEGIN."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401  (the driver's own object)
        connection.isolation_level = None  # the driver's own BEGIN would come too late, see the next listener
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer takes its lock before it reads the head, so that nobody appends in between; readers never wait.
        # Tidying up takes its own locks, outside of a transaction.
        options = connection.get_execution_options()
        if not options.get("bare"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")

    return engine
