"""Where acts and dossiers are kept: SQL tables, append only.

The database is not trusted: what counts is the chain and the signatures, and everything read from here is verified.
The triggers keep an honest program from a mistake; a thief who owns the file can drop them, and the chain shows it.

With SQLite the dossiers are in a second file beside the first, because a file is all that its permissions can
protect: the publisher reads `register.db` and cannot open `dossiers.db`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError

from blocklist import files
from blocklist.acts import SignedAct
from blocklist.copying import copied, is_there
from blocklist.errors import RefusedError, TargetError, UsageError, VerificationError
from blocklist.fields import Ref, encode
from blocklist.messages import _
from blocklist.register import Register

_FILES = (("register.db", "register.db-wal"), ("dossiers.db", "dossiers.db-wal"))
"""Each database with its log."""

NO_ACT = "0" * 64
"""What stands in column `prev` of a founding act: NULLs would all be distinct to UNIQUE (list, prev)."""

_metadata = sa.MetaData()
_acts = sa.Table(
    "acts",
    _metadata,
    sa.Column("list", sa.String(32), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("prev", sa.String(64), nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("list", "seq"),
    sa.UniqueConstraint("list", "prev"),
)
_confidential = sa.MetaData()
_dossiers = sa.Table(
    "dossiers",
    _confidential,
    sa.Column("act", sa.String(64), primary_key=True),
    sa.Column("salt", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

_SALT = re.compile(r"[0-9a-f]{64}")


def _octets(column: sa.Column[bytes]) -> sa.Cast[bytes]:
    """Octets, whatever is stored: SQLite keeps a text in a column of octets if that is what it was given."""
    return sa.cast(column, sa.LargeBinary)


# INSERT OR REPLACE deletes a row without asking a DELETE trigger, so the insert itself has to be refused.
_APPEND_ONLY = (
    "CREATE TRIGGER IF NOT EXISTS acts_update BEFORE UPDATE ON acts BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "CREATE TRIGGER IF NOT EXISTS acts_delete BEFORE DELETE ON acts BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "CREATE TRIGGER IF NOT EXISTS acts_insert BEFORE INSERT ON acts WHEN EXISTS (SELECT 1 FROM acts WHERE id = NEW.id"
    " OR list = NEW.list AND (seq = NEW.seq OR prev = NEW.prev)) BEGIN SELECT RAISE(ABORT, 'append only'); END",
)


class Row(NamedTuple):
    """One row of the table of acts, as it is stored."""

    seq: object
    id: object
    prev: object
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Dossier:
    """What is confidential about one act: any JSON object, and the salt of its commitment (hex)."""

    content: bytes
    salt: str

    @classmethod
    def of(cls, members: Mapping[str, object]) -> Dossier:
        """A dossier with a new random salt."""
        return cls(encode(members), secrets.token_hex(32))

    @property
    def commitment(self) -> str:
        """HMAC-SHA256 under the salt, which the act holds."""
        return hmac.new(bytes.fromhex(self.salt), self.content, hashlib.sha256).hexdigest()

    def require(self, signed: SignedAct) -> None:
        """Refuse a dossier that is not the one of an act.

        Raises:
            VerificationError: The act commits to another one, or to none.
        """
        wanted = signed.act.dossier or ""
        if not _SALT.fullmatch(self.salt) or not hmac.compare_digest(self.commitment, wanted):
            raise VerificationError(
                _("the dossier of act {seq} was altered", seq=signed.act.seq), _("restore it from a backup")
            )

    def members(self) -> dict[str, Any]:
        """The JSON object."""
        return dict(json.loads(self.content))


class HeadMemory:
    """The last head of each register that a key folder has seen: an old backup or a fork does not hold it."""

    def __init__(self, keys: Path) -> None:
        self._folder = keys / "seen"
        # Read before the register is: what another command appends in between is then no reason to be alarmed.
        self._seen = {
            path.stem: files.read(path, _("the remembered head"), 4096) for path in self._folder.glob("*.json")
        }

    def check(self, register: Register) -> None:
        """Refuse a register that lost acts, and remember its head.

        Raises:
            VerificationError: The act seen last is not in it, or what was remembered is damaged.
        """
        if register.id in self._seen:
            seq, act = _remembered(self._seen[register.id], self._folder / f"{register.id}.json")
            if not 1 <= seq <= len(register.ids) or register.ids[seq - 1] != act:
                raise VerificationError(
                    _("the register lacks act {seq}, which these keys have seen", seq=seq),
                    _("this is an older copy or a fork: restore the newest backup, or the acts of the last release"),
                )
            if seq == len(register.ids):
                return
        self.remember(register.id, register.head)

    def remember(self, register_id: str, head: Ref) -> None:
        """Keep `head` as the last one seen; whoever only reads and has no key folder keeps nothing."""
        if not self._folder.parent.exists():
            return
        self._seen[register_id] = encode(head.to_json())
        files.make_folder(self._folder, 0o700)
        files.replace(self._folder / f"{register_id}.json", self._seen[register_id], 0o600)


def _remembered(content: bytes, path: Path) -> tuple[int, str]:
    try:
        seen = json.loads(content)
        return int(seen["seq"]), str(seen["id"])
    except (ValueError, KeyError, TypeError) as fault:
        raise VerificationError(
            _("the remembered head {path} is damaged", path=path),
            _("compare 'blocklist log' with the last release; if it is all there, delete this file"),
        ) from fault


def how_to_start(lists: Path) -> str:
    """What to do where no register is: found one, but never a second one where one was lost."""
    if (lists / "trust").exists():
        return _("there was one: restore register.db and dossiers.db from the newest backup")
    return _("make one with 'blocklist init', or give -C DIR")


class ConflictError(RefusedError):
    """Somebody else appended first; nothing was written."""


class Store:
    """Acts and dossiers of one workspace.

    Args:
        folder: The folder of `register.db` and `dossiers.db`; they are made when `create` is set.
        create: Make the database; otherwise it has to be there.
        read_only: Read a private copy, and make or change nothing in `folder`. So is a folder that cannot be written.

    Raises:
        UsageError: There is no register in `folder`, or this account may not read it.
        TargetError: The database could not be made or copied.
        RefusedError: It is written to all the time, so that no copy is whole.
    """

    def __init__(self, folder: Path, *, create: bool = False, read_only: bool = False) -> None:
        path = folder / "register.db"
        if create:
            files.make_folder(folder)
        elif not path.exists():
            raise UsageError(_("there is no register in {folder}", folder=folder), how_to_start(folder))
        self._shown = folder
        closed = not create and not (os.access(folder, os.W_OK) and os.access(path, os.W_OK))
        self._copy = copied(folder, _FILES) if read_only or closed else None
        home = Path(self._copy.name) if self._copy is not None else folder
        self._secret = home / "dossiers.db"
        self._engine = _engine(home / "register.db", path)
        self._vault: sa.Engine | None = None
        if create:
            with _writing(self._engine) as connection:
                _metadata.create_all(connection)
                for statement in _APPEND_ONLY:
                    connection.exec_driver_sql(statement)

    def close(self) -> None:
        """Close the database files."""
        self._engine.dispose()
        if self._vault is not None:
            self._vault.dispose()
        if self._copy is not None:
            self._copy.cleanup()

    @property
    def has_dossiers(self) -> bool:
        """Whether any dossiers are kept here, for this account or for others."""
        return is_there(self._shown / "dossiers.db")

    def lists(self) -> list[str]:
        """The ids of the lists that have a register here."""
        with _reading(self._engine) as connection:
            return sorted(connection.scalars(sa.select(_acts.c.list).where(_acts.c.seq == 1)))

    def every_list(self) -> list[str]:
        """The same, with those whose founding act is gone: what an audit looks at."""
        with _reading(self._engine) as connection:
            return sorted(map(str, connection.scalars(sa.select(_acts.c.list).distinct())))

    def lines(self, list_id: str, after: int = 0) -> Iterator[bytes]:
        """The envelopes of one register in order, as they were appended, those that follow the act `after`."""
        later = (_acts.c.list == list_id) & (_acts.c.seq > after)
        query = sa.select(_octets(_acts.c.envelope)).where(later).order_by(_acts.c.seq)
        with _reading(self._engine) as connection:
            yield from connection.execution_options(yield_per=64).scalars(query)

    def rows(self, list_id: str) -> Iterator[Row]:
        """The same with the columns beside them, as they are stored: nothing says that they fit the envelope."""
        columns = (_acts.c.seq, _acts.c.id, _acts.c.prev, _octets(_acts.c.envelope).label("envelope"))
        query = sa.select(*columns).where(_acts.c.list == list_id).order_by(_acts.c.seq)
        with _reading(self._engine) as connection:
            for row in connection.execution_options(yield_per=64).execute(query):
                yield Row(*row)

    def ids(self) -> set[str]:
        """The ids of the acts of all lists, as the column says."""
        with _reading(self._engine) as connection:
            return set(connection.scalars(sa.select(_acts.c.id)))

    def line(self, list_id: str, seq: int) -> bytes | None:
        """The envelope that has that number, None if none has."""
        query = sa.select(_octets(_acts.c.envelope)).where(_acts.c.list == list_id, _acts.c.seq == seq)
        with _reading(self._engine) as connection:
            return connection.scalar(query)

    def head(self, list_id: str) -> Ref | None:
        """The last act of a register."""
        with _reading(self._engine) as connection:
            return _head(connection, list_id)

    def append(self, list_id: str, signed: Sequence[SignedAct], dossiers: Sequence[Dossier | None]) -> None:
        """Append acts, all or none, each with its dossier; the first must follow the head (compare and swap).

        Raises:
            ConflictError: Another act was appended meanwhile.
            TargetError: The database could not be written.
        """
        if self._copy is not None:
            raise TargetError(
                _("the register in {folder} cannot be written by this account", folder=self._shown),
                _("nothing was appended; work where the office's register is"),
            )
        # Dossiers go first: one without its act harms nobody, an act without its dossier cannot be approved.
        self._keep(signed, dossiers)
        try:
            with _writing(self._engine) as connection:
                head = _head(connection, list_id)
                if (head.id if head else None) != signed[0].act.prev:
                    raise ConflictError(
                        _(
                            "another act was appended to {list_id} meanwhile: number {value}",
                            list_id=list_id,
                            value=head.seq if head else 0,
                        ),
                        _("look at 'blocklist log', then run the command again"),
                    )
                connection.execute(sa.insert(_acts), [_row(list_id, act) for act in signed])
        except (ConflictError, TargetError):
            self._forget([act.id for act, dossier in zip(signed, dossiers, strict=True) if dossier is not None])
            raise

    def dossier(self, signed: SignedAct) -> Dossier | None:
        """The dossier of an act, if it has one that was not destroyed.

        Raises:
            VerificationError: It is not the one that the act commits to.
            UsageError: This account may not read dossiers.
        """
        if signed.act.dossier is None:
            return None
        content = _octets(_dossiers.c.content).label("content")
        query = sa.select(content, _dossiers.c.salt).where(_dossiers.c.act == signed.id)
        with _reading(self._open_vault()) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        dossier = Dossier(row.content, str(row.salt))
        dossier.require(signed)
        return dossier

    def dossier_ids(self) -> set[str]:
        """The ids of all acts, of any list, of which there is a dossier.

        Raises:
            UsageError: This account may not read dossiers.
        """
        with _reading(self._open_vault()) as connection:
            return set(connection.scalars(sa.select(_dossiers.c.act)))

    def mentioning(self, text: str) -> list[str]:
        """The ids of acts, of any list, whose dossier holds the JSON string `text` somewhere.

        It is looked for as octets, in any member: the caller reads the dossier and sees where it stands.

        Raises:
            UsageError: This account may not read dossiers.
        """
        wanted = sa.literal(encode(text), sa.LargeBinary)
        query = sa.select(_dossiers.c.act).where(sa.func.instr(_octets(_dossiers.c.content), wanted) > 0)
        with _reading(self._open_vault()) as connection:
            return sorted(map(str, connection.scalars(query)))

    def erase(self, act_ids: Sequence[str]) -> None:
        """Destroy dossiers and their salts; doing it again finishes what was cut off.

        Raises:
            UsageError: This account may not read dossiers.
            TargetError: Others hold the database, so that traces may be left in its log.
        """
        vault = self._open_vault()
        self._forget(act_ids)
        with _reading(vault.execution_options(bare=True)) as connection:
            # What a page once held may stand in its gaps, and what was written stands in the log: both are made anew.
            for statement in ("PRAGMA temp_store=MEMORY", "VACUUM"):
                connection.exec_driver_sql(statement)
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if busy:
            raise TargetError(
                _("{path} is in use, so what was erased may still be in its log", path=self._shown / "dossiers.db"),
                _("run the command again when no other is running"),
            )

    def _open_vault(self) -> sa.Engine:
        if self._vault is None:
            needed = os.R_OK if self._copy is not None else os.R_OK | os.W_OK
            if is_there(self._shown / "dossiers.db") and not os.access(self._shown / "dossiers.db", needed):
                raise UsageError(
                    _("{secret} is closed to this account", secret=self._shown / "dossiers.db"),
                    _("dossiers are for the office's agents"),
                )
            with files.written(self._secret), contextlib.suppress(FileExistsError):
                files.write_chunks(self._secret, [], 0o600)
            self._vault = _engine(self._secret, self._shown / "dossiers.db")
            with _writing(self._vault) as connection:
                _confidential.create_all(connection)
        return self._vault

    def _keep(self, signed: Sequence[SignedAct], dossiers: Sequence[Dossier | None]) -> None:
        rows = [
            {"act": act.id, "salt": dossier.salt, "content": dossier.content}
            for act, dossier in zip(signed, dossiers, strict=True)
            if dossier is not None
        ]
        if rows:
            with _writing(self._open_vault()) as connection:
                connection.execute(sa.insert(_dossiers), rows)

    def _forget(self, act_ids: Sequence[str]) -> None:
        if self._vault is not None:
            with _writing(self._vault) as connection:
                connection.execute(sa.delete(_dossiers).where(_dossiers.c.act.in_(act_ids)))


def _row(list_id: str, signed: SignedAct) -> dict[str, object]:
    return {
        "list": list_id,
        "seq": signed.act.seq,
        "id": signed.id,
        "prev": signed.act.prev or NO_ACT,
        "envelope": signed.line(),
    }


def _head(connection: sa.Connection, list_id: str) -> Ref | None:
    query = sa.select(_acts.c.seq, _acts.c.id).where(_acts.c.list == list_id).order_by(_acts.c.seq.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Ref(row.seq, row.id) if row else None


def _engine(path: Path, shown: Path) -> sa.Engine:
    """SQLite as it has to be for a register: write-ahead log, every commit on disk, writers queue at BEGIN."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30}, execution_options={"shown": shown})

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


@contextlib.contextmanager
def _reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    with _failing(engine), engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def _writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    with _failing(engine), engine.execution_options(write=True).begin() as connection:
        yield connection


@contextlib.contextmanager
def _failing(engine: sa.Engine) -> Iterator[None]:
    """Turn the database's errors into one sentence."""
    try:
        yield
    except IntegrityError as fault:
        raise ConflictError(_("the same act was appended meanwhile"), _("look at 'blocklist log'")) from fault
    except DatabaseError as fault:
        if isinstance(fault, OperationalError) or "not a database" not in str(fault.orig):
            raise _unwritten(engine, fault) from fault
        raise VerificationError(
            _("{database} is not a database any more", database=engine.get_execution_options()["shown"]),
            _("restore it from the newest backup"),
        ) from fault
    except DBAPIError as fault:
        raise _unwritten(engine, fault) from fault


def _unwritten(engine: sa.Engine, fault: DBAPIError) -> TargetError:
    return TargetError(
        _("the database {database} failed: {orig}", database=engine.get_execution_options()["shown"], orig=fault.orig),
        _("nothing was appended; make room or correct the permissions, then run the command again"),
    )
