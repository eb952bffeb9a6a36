"""Where acts and dossiers are kept: SQL tables, append only.

The database is not trusted: what counts is the chain and the signatures, and everything read from here is verified.
Its triggers and roles keep an honest program from a mistake; a thief who owns it can drop them, and the chain shows it.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from blocklist.base import durable
from blocklist.base.errors import TargetError, UnreachableError, UsageError, VerificationError
from blocklist.base.i18n import _, plain
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Ref, encode
from blocklist.register.fold import Register
from blocklist.store.database import (
    ACTS,
    DOSSIERS,
    NO_ACT,
    REGISTER,
    ConflictError,
    Database,
    Row,
    SqliteFiles,
    not_kept,
    octets,
)
from blocklist.store.postgres import PostgresServer, how_to_name, parsed

_SALT = re.compile(r"[0-9a-f]{64}")
_WAITS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each attempt to learn what became of an act, when the connection was lost while it was appended."""
_PAGE = 128
"""How many acts are read at once; one can hold ten thousand names."""
_SLICE = 500
"""How many ids one statement names: databases limit it."""


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


def how_to_start(lists: Path) -> str:
    """What to do where no register is: found one, but never a second one where one was lost."""
    if (lists / "trust").exists():
        return _(
            "there was one: if it is on a server, name it with --store or in lists/register.url; else restore"
            " register.db and dossiers.db from the newest backup; without one, its acts are in every release:"
            " blocklist store restore"
        )
    return _("make one with 'blocklist init', or give -C DIR")


VARIABLE = "BLOCKLIST_STORE"
URL_FILE = "register.url"


class Named(NamedTuple):
    """The URL of a database, not looked at yet, and what named it."""

    url: str
    by: str


def configured(folder: Path, said: str | None = None) -> Named | None:
    """The database that the command line names, else the variable, else the folder `lists/` in `register.url`.

    Args:
        folder: The folder `lists/`.
        said: The URL that the command line names, if it does.

    Returns:
        None where the register is in files.

    Raises:
        UsageError: The file cannot be read, or holds no URL.
    """
    for named, by in ((said, "--store"), (os.environ.get(VARIABLE), VARIABLE)):
        if named:
            return Named(named, by)
    path = folder / URL_FILE
    if not path.exists():
        return None
    lines = durable.read(path, _("the file"), 4096).decode(errors="replace").splitlines()
    urls = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len(urls) != 1:
        raise UsageError(_("{path} does not hold one URL", path=path), how_to_name())
    return Named(urls[0], URL_FILE)


def _opened(folder: Path, said: str | None, *, create: bool, read_only: bool) -> Database:
    """The database of a folder `lists/`: the server that it names, or files in it."""
    named = configured(folder, said)
    if named is None:
        return SqliteFiles(folder, create=create, read_only=read_only, missing=how_to_start(folder))
    if (folder / REGISTER).exists():
        raise UsageError(
            _("{folder} holds register.db, and another database is named as well: {by}", folder=folder, by=named.by),
            _("one of the two is older: move register.db and dossiers.db away if 'blocklist store copy' moved them"),
        )
    return PostgresServer(parsed(named.url), read_only=read_only)


class Store:
    """Acts and dossiers of one workspace.

    Args:
        folder: The workspace's `lists/`. It holds the register itself (`register.db` and `dossiers.db`), or names the
            server that does (`register.url`), unless the command line or a variable names another one.
        said: The URL that the command line names.
        create: Make the files; otherwise they have to be there. A server's tables are its administrator's to make.
        read_only: Read a private copy of the files, and make or change nothing. So is a folder that cannot be written.
        database: Another database than that of the folder.

    Raises:
        UsageError: There is no register in `folder`, or this account may not read it.
        UnreachableError: The server does not answer.
        TargetError: The database could not be made or copied.
        RefusedError: It is written to all the time, so that no copy is whole.
    """

    def __init__(
        self,
        folder: Path,
        said: str | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        database: Database | None = None,
    ) -> None:
        self._database = database or _opened(folder, said, create=create, read_only=read_only)

    @classmethod
    def at(cls, place: str, *, create: bool = False) -> Store:
        """A register where somebody says that it is: the URL of a server, or a folder with the files themselves.

        Raises:
            BlocklistError: As above.
        """
        if "://" in place:
            return cls(Path(), database=PostgresServer(parsed(place)))
        folder = Path(place)
        files = SqliteFiles(folder, create=create, read_only=False, missing=_("name a folder with register.db"))
        return cls(folder, database=files)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @property
    def shown(self) -> str:
        """What people know the database as."""
        return self._database.shown

    @property
    def database(self) -> Database:
        """The database itself, for those who mend it."""
        return self._database

    @property
    def has_dossiers(self) -> bool:
        """Whether any dossiers are kept here, for this account or for others."""
        return self._database.has_dossiers

    def lists(self) -> list[str]:
        """The ids of the lists that have a register here."""
        with self._database.reading() as connection:
            return sorted(connection.scalars(sa.select(ACTS.c.list).where(ACTS.c.seq == 1)))

    def every_list(self) -> list[str]:
        """The same, with those whose founding act is gone: what an audit looks at."""
        with self._database.reading() as connection:
            return sorted(map(str, connection.scalars(sa.select(ACTS.c.list).distinct())))

    def lines(self, list_id: str, after: int = 0) -> Iterator[bytes]:
        """The envelopes of one register in order, as they were appended, those that follow the act `after`."""
        return (row.envelope for row in self._rows(list_id, after))

    def acts(self, list_id: str, count: int | None = None) -> Iterator[bytes]:
        """The lines of `acts.jsonl`, as many as that: the envelopes as they are shipped."""
        return (line + b"\n" for line in itertools.islice(self.lines(list_id), count))

    def rows(self, list_id: str) -> Iterator[Row]:
        """The same with the columns beside them, as they are stored: nothing says that they fit the envelope."""
        return self._rows(list_id, None)

    def _rows(self, list_id: str, after: object) -> Iterator[Row]:
        # Page by page, since whoever reads may take long, or stop: nothing stays open meanwhile. What was appended
        # between two pages follows what was read, because acts are never inserted before others.
        columns = (ACTS.c.seq, ACTS.c.id, ACTS.c.prev, octets(ACTS.c.envelope).label("envelope"))
        query = sa.select(*columns).where(ACTS.c.list == list_id).order_by(ACTS.c.seq).limit(_PAGE)
        page: Sequence[Row] | None = None
        while page is None or len(page) == _PAGE:
            with self._database.reading() as connection:
                rest = query if after is None else query.where(ACTS.c.seq > after)
                page = [Row(*row) for row in connection.execute(rest).all()]
            yield from page
            after = page[-1].seq if page else after

    def ids(self) -> set[str]:
        """The ids of the acts of all lists, as the column says."""
        with self._database.reading() as connection:
            return set(connection.scalars(sa.select(ACTS.c.id)))

    def line(self, list_id: str, seq: int) -> bytes | None:
        """The envelope that has that number, None if none has."""
        query = sa.select(octets(ACTS.c.envelope)).where(ACTS.c.list == list_id, ACTS.c.seq == seq)
        with self._database.reading() as connection:
            return connection.scalar(query)

    def head(self, list_id: str) -> Ref | None:
        """The last act of a register."""
        with self._database.reading() as connection:
            return head_of(connection, list_id)

    def append(self, list_id: str, signed: Sequence[SignedAct], dossiers: Sequence[Dossier | None]) -> None:
        """Append acts, all or none, each with its dossier; the first must follow the head (compare and swap).

        Raises:
            ConflictError: Another act was appended meanwhile.
            TargetError: The database could not be written.
            UsageError: This account may not.
            UnreachableError: The connection was lost; its hint says if nobody knows what became of the acts.
        """
        self._require_writable()
        lost: UnreachableError | None = None
        for wait in _WAITS:
            time.sleep(wait)
            try:
                # The server may have appended them and died before it could say so. Offering the same acts once more
                # cannot append them twice: their ids and places are taken then.
                if lost is None or not self._holds(signed):
                    self._append(list_id, signed, dossiers)
                return
            except ConflictError:
                if lost is None or not self._holds(signed):
                    raise
                return
            except UnreachableError as fault:
                lost = fault
        raise UnreachableError(
            str(lost),
            _("whether it was appended is not known: look at 'blocklist log' before you run the command again"),
        )

    def _holds(self, signed: Sequence[SignedAct]) -> bool:
        """Whether these very acts are here."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(ACTS.c.id).where(ACTS.c.id == signed[-1].id)) is not None

    def _append(self, list_id: str, signed: Sequence[SignedAct], dossiers: Sequence[Dossier | None]) -> None:
        confidential: list[dict[str, object]] = [
            {"act": act.id, "salt": dossier.salt, "content": dossier.content}
            for act, dossier in zip(signed, dossiers, strict=True)
            if dossier is not None
        ]
        kept = False
        try:
            with self._database.writing() as connection:
                _require_head(head_of(connection, list_id), list_id, signed[0])
                # Dossiers go first: one without its act harms nobody, an act without its dossier cannot be approved.
                if confidential:
                    self._database.keep(connection, confidential)
                    kept = True
                connection.execute(sa.insert(ACTS), [_row(list_id, act) for act in signed])
                self._require_stored(connection, list_id, signed)
        except BaseException:
            if kept:
                self._database.take_back([str(row["act"]) for row in confidential])
            raise

    def _require_stored(self, connection: sa.Connection, list_id: str, signed: Sequence[SignedAct]) -> None:
        """Read back what was inserted: a trigger can swallow a row without an error."""
        query = sa.select(octets(ACTS.c.envelope)).where(ACTS.c.list == list_id, ACTS.c.seq >= signed[0].act.seq)
        if list(connection.scalars(query.order_by(ACTS.c.seq))) != [act.line() for act in signed]:
            raise not_kept(self.shown)

    def alterations(self) -> list[str]:
        """A sentence for each table, trigger or rule of the database that is not as it was made."""
        return [
            _("the database is not as it was made: {name} was added, changed or removed", name=plain(name))
            for name in self._database.altered()
        ]

    def _require_writable(self) -> None:
        if self._database.read_only:
            raise TargetError(
                _("the register in {folder} cannot be written by this account", folder=self._database.shown),
                _("nothing was appended; work where the office's register is"),
            )

    def dossier(self, signed: SignedAct) -> Dossier | None:
        """The dossier of an act, if it has one that was not destroyed.

        Raises:
            VerificationError: It is not the one that the act commits to.
            UsageError: This account may not read dossiers.
        """
        if signed.act.dossier is None:
            return None
        content = octets(DOSSIERS.c.content).label("content")
        query = sa.select(content, DOSSIERS.c.salt).where(DOSSIERS.c.act == signed.id)
        with self._database.reading(dossiers=True) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        dossier = Dossier(row.content, str(row.salt))
        dossier.require(signed)
        return dossier

    def add_dossiers(self, dossiers: Mapping[str, Dossier]) -> None:
        """Keep dossiers, by the id of their act, of acts that are here already.

        Raises:
            UsageError: This account may not.
            ConflictError: One is here.
            TargetError: The database could not be written.
        """
        rows = [{"act": act, "salt": kept.salt, "content": kept.content} for act, kept in dossiers.items()]
        if rows:
            self._require_writable()
            with self._database.writing(dossiers=True) as connection:
                connection.execute(sa.insert(DOSSIERS), rows)

    def dossier_ids(self) -> set[str]:
        """The ids of all acts, of any list, of which there is a dossier.

        Raises:
            UsageError: This account may not read dossiers.
        """
        with self._database.reading(dossiers=True) as connection:
            return set(connection.scalars(sa.select(DOSSIERS.c.act)))

    def mentioning(self, text: str) -> list[str]:
        """The ids of acts, of any list, whose dossier holds the JSON string `text` somewhere.

        It is looked for as octets, in any member: the caller reads the dossier and sees where it stands.

        Raises:
            UsageError: This account may not read dossiers.
        """
        query = sa.select(DOSSIERS.c.act).where(self._database.contains(encode(text)))
        with self._database.reading(dossiers=True) as connection:
            return sorted(map(str, connection.scalars(query)))

    def erase(self, act_ids: Sequence[str]) -> None:
        """Destroy dossiers and their salts; doing it again finishes what was cut off.

        Raises:
            UsageError: This account may not.
            TargetError: Others hold the database, so that traces may be left in its files.
        """
        self._require_writable()
        for start in range(0, len(act_ids), _SLICE):
            self._database.destroy(act_ids[start : start + _SLICE])


def _require_head(head: Ref | None, list_id: str, first: SignedAct) -> None:
    if (head.id if head else None) != first.act.prev:
        raise ConflictError(
            _(
                "another act was appended to {list_id} meanwhile: number {value}",
                list_id=list_id,
                value=head.seq if head else 0,
            ),
            _("look at 'blocklist log', then run the command again"),
        )


def _row(list_id: str, signed: SignedAct) -> dict[str, object]:
    return {
        "list": list_id,
        "seq": signed.act.seq,
        "id": signed.id,
        "prev": signed.act.prev or NO_ACT,
        "envelope": signed.line(),
    }


def head_of(connection: sa.Connection, list_id: str) -> Ref | None:
    """The last act of a register, as this transaction sees it."""
    query = sa.select(ACTS.c.seq, ACTS.c.id).where(ACTS.c.list == list_id).order_by(ACTS.c.seq.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Ref(row.seq, row.id) if row else None


class HeadMemory:
    """The last head of each register that a key folder has seen: an old backup or a fork does not hold it."""

    def __init__(self, keys: Path) -> None:
        self._folder = keys / "seen"
        # Read before the register is: what another command appends in between is then no reason to be alarmed.
        self._seen = {
            path.stem: durable.read(path, _("the remembered head"), 4096) for path in self._folder.glob("*.json")
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
        durable.make_folder(self._folder, 0o700)
        durable.replace(self._folder / f"{register_id}.json", self._seen[register_id], 0o600)


def _remembered(content: bytes, path: Path) -> tuple[int, str]:
    try:
        seen = json.loads(content)
        return int(seen["seq"]), str(seen["id"])
    except (ValueError, KeyError, TypeError) as fault:
        raise VerificationError(
            _("the remembered head {path} is damaged", path=path),
            _("compare 'blocklist log' with the last release; if it is all there, delete this file"),
        ) from fault
