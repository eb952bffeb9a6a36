"""Acts and dossiers on a PostgreSQL server, for an office of many agents.

Each account of the office has a role of its own on the server, which is a member of one of the roles in
`sql/postgresql.sql`: what it may do is for the server to refuse. No password passes through this program: libpq takes
it from the file of `PGPASSFILE`, or the server knows the account (`peer`, a client certificate). Over a network, what
protects the connection has to be spelled: libpq by itself is content with none.

Acts and their dossiers are written in one transaction. Two writers on one head meet at UNIQUE (list, prev): the second
waits for the first to end, and then fails. The number of an act follows from the head and never from a sequence of the
server, whose order would not be that of the commits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from blocklist.base.errors import BlocklistError, TargetError, UnreachableError, UsageError
from blocklist.base.i18n import _
from blocklist.store.database import DOSSIERS, ConflictError, Database, insert_dossiers, octets

SCHEMA = Path(__file__).parent / "sql" / "postgresql.sql"
"""The tables and the roles, for whoever administers the server."""

_PARAMETERS = (
    *("host", "hostaddr", "port", "service", "target_session_attrs", "connect_timeout"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "ssl_min_protocol_version"),
    *("passfile", "channel_binding", "require_auth", "requirepeer", "gssencmode", "krbsrvname"),
)
"""What a URL may say beside server, database and account: where, protected by what, and proving oneself how."""
_LOCAL = ("", "localhost", "127.0.0.1", "::1")
_DRIVER = "postgresql+psycopg"
_CLOSED, _LOCKED, _NO_TABLE, _NO_FUNCTION = "42501", "55P03", "42P01", "42883"
_AGAIN = {"40001", "40P01"}
"""Serialisation failure, deadlock: the whole transaction can be tried again."""
_GONE = ("08", "57P")
"""Connection lost, server shutting down or starting."""
_SESSION = (
    "SET lock_timeout = '30s'",
    "SET idle_in_transaction_session_timeout = '60s'",
    # What was acknowledged has to be on disk, whatever the server does by default.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)

_ONLY_TRIGGER = "acts_change"
_TRIGGERS = """
    SELECT t.tgname, t.tgenabled, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgrelid IN (to_regclass('acts'), to_regclass('dossiers'))
"""
_RULES = """
    SELECT rulename FROM pg_rewrite
    WHERE rulename <> '_RETURN' AND ev_class IN (to_regclass('acts'), to_regclass('dossiers'))
"""


def how_to_name() -> str:
    """Return what the URL of a database looks like."""
    return _("a database is named like postgresql:///blocklist?host=/var/run/postgresql")


def parsed(text: str) -> sa.URL:
    """A URL as it was typed or configured.

    Raises:
        UsageError: It is none, or one of another kind, or it holds a password or what this program does not know; or it
            leads over a network and does not say what protects the connection.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as fault:
        raise UsageError(_("this is not the URL of a database"), how_to_name()) from fault
    if url.password is not None or ":" in (url.username or "") or any("password" in name.lower() for name in url.query):
        # Arguments, configuration and errors are read by many.
        raise UsageError(
            _("the URL of the database holds a password"),
            _("take it out and put it into ~/.pgpass, or into the file that PGPASSFILE names"),
        )
    if url.drivername not in ("postgresql", _DRIVER):
        raise UsageError(_("{kind} is not a kind of database that can be used", kind=url.drivername), how_to_name())
    _require_known(url)
    _require_protected(url)
    return url.set(drivername=_DRIVER)


def _require_known(url: sa.URL) -> None:
    """Newer versions of libpq take secrets under other names, too."""
    unknown = [name for name in url.query if name not in _PARAMETERS]
    if unknown:
        raise UsageError(
            _("the URL of the database cannot hold {name}", name=unknown[0][:80]),
            _("it can hold {names}; all else goes into a service file of libpq", names=", ".join(_PARAMETERS)),
        )


def _require_protected(url: sa.URL) -> None:
    """By default libpq goes on in the clear, and believes any certificate."""
    hosts = (url.host or "", *(host for name in ("host", "hostaddr") for host in url.normalized_query.get(name, ())))
    remote = [host for host in hosts if host not in _LOCAL and (host[0] not in "/@" or "," in host)]
    if remote and "sslmode" not in url.query and not os.environ.get("PGSSLMODE"):
        raise UsageError(
            _("the URL of the database does not say how the connection to {host} is protected", host=remote[0]),
            _("add sslmode=verify-full and sslrootcert=FILE, the authority of the server's certificate"),
        )


class PostgresServer(Database):
    """The database of that URL.

    Args:
        url: See `parsed`.
        read_only: Write nothing.

    Raises:
        UsageError: The driver is missing, the tables are, or this account may not read the acts.
        UnreachableError: The server does not answer, or does not let this account in.
    """

    def __init__(self, url: sa.URL, *, read_only: bool = False) -> None:
        self.shown = unquote(url.set(drivername="postgresql").render_as_string())
        self.read_only = read_only
        self._engine = self._made(url)
        try:
            self._require_tables()
        except BaseException:
            self.close()
            raise

    def _made(self, url: sa.URL) -> sa.Engine:
        arguments = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
        try:
            engine = sa.create_engine(
                url,
                connect_args={"application_name": "blocklist", **arguments},
                execution_options={"postgresql_readonly": self.read_only},
                pool_pre_ping=True,
            )
        except ImportError as fault:  # psycopg, or the library libpq beneath it
            raise UsageError(
                _("the driver for PostgreSQL is missing: {fault}", fault=fault),
                _("install it: pip install 'blocklist[postgres]', and the system's package libpq5"),
            ) from fault
        event.listen(engine, "connect", _prepare)
        return engine

    def _require_tables(self) -> None:
        with self.reading() as connection:
            found = connection.scalar(sa.text("SELECT to_regclass('acts') IS NOT NULL"))
            if not found:
                raise self._no_tables()

    def _no_tables(self) -> UsageError:
        return UsageError(
            _("{database} has no tables for a register", database=self.shown),
            _("its administrator makes them: blocklist store schema | psql -d DATABASE"),
        )

    def engine(self, *, dossiers: bool) -> sa.Engine:
        """See `Database`: one for both, so that one transaction holds both."""
        return self._engine

    @property
    def has_dossiers(self) -> bool:
        """See `Database`."""
        with self.reading() as connection:
            return bool(connection.scalar(sa.text("SELECT to_regclass('dossiers') IS NOT NULL")))

    def keep(self, connection: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
        """See `Database`."""
        insert_dossiers(connection, rows, self.shown)

    def take_back(self, act_ids: Sequence[str]) -> None:
        """Nothing is left: they were part of the transaction that failed."""

    def destroy(self, act_ids: Sequence[str]) -> None:
        """See `Database`.

        A deleted row stays in the table's file until the table is written anew, which its owner alone can do: the
        function that is shipped does it for whoever may delete dossiers.
        """
        with self.writing(dossiers=True) as connection:
            connection.execute(sa.delete(DOSSIERS).where(DOSSIERS.c.act.in_(act_ids)))
        with self.writing(dossiers=True) as connection:
            connection.execute(sa.text("SELECT tidy_dossiers()"))

    def altered(self) -> list[str]:
        """See `Database`: triggers, rules and their functions; columns and constraints show at the first query."""
        shipped = SCHEMA.read_text()
        with self.reading() as connection:
            triggers = connection.execute(sa.text(_TRIGGERS)).all()
            rules = connection.scalars(sa.text(_RULES)).all()
        sound = [name for name, enabled, source in triggers if enabled == "O" and name in shipped and source in shipped]
        strange = {name for name, _enabled, _source in triggers} - set(sound)
        return sorted({*strange, *rules, *({_ONLY_TRIGGER} - set(sound))})

    def contains(self, wanted: bytes) -> sa.ColumnElement[bool]:
        """See `Database`."""
        # `position` is a word of the grammar; with its schema before it, it is a function like any other.
        return sa.func.pg_catalog.position(octets(DOSSIERS.c.content), sa.literal(wanted, sa.LargeBinary)) > 0

    @contextlib.contextmanager
    def cutting(self) -> Iterator[sa.Connection]:
        """See `Database`: for the owner of the tables, who alone can switch their triggers off."""
        with self.writing() as connection:
            connection.execute(sa.text("ALTER TABLE acts DISABLE TRIGGER USER"))
            yield connection
            connection.execute(sa.text("ALTER TABLE acts ENABLE TRIGGER USER"))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def sentence(self, fault: DBAPIError, *, dossiers: bool) -> BlocklistError:
        """See `Database`."""
        state = str(getattr(fault.orig, "sqlstate", None) or "")
        said = str(fault.orig).strip().partition("\n")[0]
        if isinstance(fault, IntegrityError):
            return ConflictError(_("the same act was appended meanwhile"), _("look at 'blocklist log'"))
        if state in _AGAIN:
            return ConflictError(_("others were writing at the same time"), _("run the command again"))
        if state == _CLOSED:
            return self._closed(said)
        if state == _LOCKED:
            return TargetError(
                _("{database} is in use, and what was to be done could not be finished", database=self.shown),
                _("run the command again when no other is running"),
            )
        if state in (_NO_TABLE, _NO_FUNCTION):
            return self._no_tables()
        if fault.connection_invalidated or not state or state.startswith(_GONE):
            return UnreachableError(
                _("the database {database} does not answer: {said}", database=self.shown, said=said),
                _("see whether the server runs and lets this account in, then run the command again"),
            )
        return TargetError(
            _("the database {database} failed: {orig}", database=self.shown, orig=said),
            _("nothing was appended; make room or correct the permissions, then run the command again"),
        )

    def _closed(self, said: str) -> UsageError:
        return UsageError(
            _("{database} does not let this account do that: {said}", database=self.shown, said=said),
            _("the office's guide says which account may do what"),
        )


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  (the driver's own object)
    """Settings of a new session; outside of a transaction, which would take them back."""
    connection.autocommit = True
    for statement in _SESSION:
        connection.execute(statement)
    connection.autocommit = False
