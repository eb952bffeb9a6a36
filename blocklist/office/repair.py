"""Mending a register: what does not verify is set aside, and a lost one is made again from published acts.

Neither shortens a register that anybody has seen: what a key folder remembers and what the last release shows has to
be in it afterwards, or nothing is done.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, UnreachableError, UsageError, VerificationError
from blocklist.base.i18n import Progress, _, quietly
from blocklist.publisher.tree import Repository
from blocklist.register import acts
from blocklist.register.acts import SignedAct, read_lines
from blocklist.register.decoders import CLOCK_TOLERANCE, Ref, encode, folder_name, format_instant
from blocklist.register.fold import Register
from blocklist.register.replay import from_beginning
from blocklist.store import rows
from blocklist.store.database import NO_ACT, ConflictError, Row
from blocklist.store.store import HeadMemory, Store
from blocklist.trust.folder import TrustFolder
from blocklist.trust.roles import ROOT
from blocklist.workspace import Workspace

SET_ASIDE = "set-aside"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A row of the table of acts that does not belong to the register, and why."""

    row: Row
    reason: str


@dataclass(frozen=True, slots=True)
class Damage:
    """What a repair would set aside: rows that do not verify, and dossiers that belong to no act of any list."""

    list_id: str
    head: Ref
    wrong: tuple[Wrong, ...]
    strangers: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.wrong or self.strangers)


# Setting aside


def examine(workspace: Workspace, now: datetime, *, future: bool = False, progress: Progress = quietly) -> Damage:
    """What is wrong with a register, and what would stay of it.

    Args:
        workspace: Whose register.
        now: The clock.
        future: Set aside acts that are dated ahead of the clock, too.
        progress: Told about long work.

    Raises:
        VerificationError: Nothing of it verifies; or what stays lacks an act that this key folder, or the last release,
            has; or an act is dated ahead of the clock, and that was not said to be wrong.
        UsageError: There is no register, or this account may not read dossiers.
    """
    store = _of_workspace(workspace)
    try:
        list_id = workspace.chosen(store.lists() or store.every_list())
        return _examine(workspace, store, list_id, now, future=future, progress=progress)
    finally:
        store.close()


def _of_workspace(workspace: Workspace) -> Store:
    return workspace.open_store()


def _examine(
    workspace: Workspace, store: Store, list_id: str, now: datetime, *, future: bool, progress: Progress = quietly
) -> Damage:
    memory, register, wrong = HeadMemory(workspace.keys.path), Register(), []
    with progress(_("replaying the register"), 0) as advance:
        for row in store.rows(list_id):
            try:
                _take(register, row, now, future=future)
            except VerificationError as fault:
                wrong.append(Wrong(row, fault.message))
            advance(1)
    if not register.ids or register.list_id != list_id:
        raise VerificationError(
            _("nothing of the register of {list_id} verifies", list_id=list_id),
            _("restore it from the newest backup, or its acts from the last release: blocklist store restore"),
        )
    if wrong:
        memory.check(register)
        _require_published(workspace, register)
    strangers = store.dossier_ids() - store.ids() if store.has_dossiers else set()
    return Damage(list_id, register.head, tuple(wrong), tuple(sorted(map(str, strangers))))


def _take(register: Register, row: Row, now: datetime, *, future: bool) -> None:
    """Apply a row to the register.

    Raises:
        VerificationError: It does not belong there.
    """
    try:
        signed = acts.read_line(row.envelope)
        if (row.seq, row.id, row.prev) != (signed.act.seq, signed.id, signed.act.prev or NO_ACT):
            raise VerificationError(_("its number and ids in the database are not those of its content"))
        if future and signed.act.at > now + CLOCK_TOLERANCE:
            raise VerificationError(_("it is dated {at}, which is in the future", at=format_instant(signed.act.at)))
        register.apply(signed)
    except BlocklistError as fault:
        raise VerificationError(fault.message, fault.hint) from fault
    if not future and signed.act.at > now + CLOCK_TOLERANCE:
        raise _AheadError(
            _("act {seq} is dated {at}, ahead of this clock", seq=signed.act.seq, at=format_instant(signed.act.at)),
            _("check this machine's clock, or wait; if the act's date is wrong, say --future to set it aside"),
        )


class _AheadError(RefusedError):
    """An act that verifies, but for a clock: more often it is this one that is wrong."""


def _require_published(workspace: Workspace, register: Register) -> None:
    """What was published is with every provider.

    Raises:
        VerificationError: The register lacks it.
    """
    current = Repository.of(workspace).current(register.list_id) if _keeps_trust(workspace) else None
    if current is not None and not _has(register, current.head):
        raise VerificationError(
            _("without this, act {seq} of the last release is not in the register", seq=current.head.seq),
            _("nothing was changed; restore the newest backup, or the acts of the last release"),
        )


def _keeps_trust(workspace: Workspace) -> bool:
    """Whether `lists/trust/` is here, by which a tree can be believed."""
    return bool(TrustFolder(workspace.trust).versions(ROOT))


def _has(register: Register, ref: Ref) -> bool:
    return ref.seq <= len(register.ids) and register.ids[ref.seq - 1] == ref.id


def set_aside(workspace: Workspace, shown: Damage, now: datetime, *, future: bool = False) -> Path:
    """Move exactly what was shown out of the database into a file; returns the file.

    Raises:
        ConflictError: Something else is wrong by now.
        UsageError: This account may not delete acts: on a server, the owner of the tables does.
        TargetError: The file or the database could not be written. Nothing was lost; do it again.
    """
    store = _of_workspace(workspace)
    try:
        folder = workspace.lists / SET_ASIDE
        path = folder / f"{shown.list_id}.{folder_name(now)}.json"
        # Nobody appends while this goes on, so a dossier without an act is not one whose act is just being appended.
        with store.database.cutting() as connection:
            if _examine(workspace, store, shown.list_id, now, future=future) != shown:
                raise ConflictError(_("the register has changed meanwhile"), _("nothing was set aside; look again"))
            gone = [str(entry.row.id) for entry in shown.wrong]
            dossiers = rows.read_dossiers(store, [*gone, *shown.strangers])
            durable.make_folder(folder, 0o700)
            with durable.written(path):
                durable.write_chunks(path, [_document(shown, dossiers)], 0o600)
                durable.sync_folder(folder)
            rows.delete_acts(connection, shown.list_id, gone)
        rows.delete_dossiers(store, [act for act, *_rest in dossiers])
        return path
    finally:
        store.close()


def _document(shown: Damage, dossiers: Sequence[tuple[str, str, bytes]]) -> bytes:
    def text(content: bytes) -> str:
        return base64.b64encode(content).decode()

    members = {
        "list": shown.list_id,
        "head": shown.head.to_json(),
        "acts": [
            {
                "seq": str(entry.row.seq),
                "id": str(entry.row.id),
                "prev": str(entry.row.prev),
                "envelope": text(entry.row.envelope),
                "reason": entry.reason,
            }
            for entry in shown.wrong
        ],
        "dossiers": [{"act": act, "salt": salt, "content": text(content)} for act, salt, content in dossiers],
    }
    return encode(members) + b"\n"


# Restoring


@dataclass(frozen=True, slots=True)
class Restored:
    """A register that was made again; `dossiers` of `confidential` are here."""

    list_id: str
    register: str
    head: Ref
    confidential: int
    dossiers: int


def restore(
    workspace: Workspace, path: Path, register_id: str | None, now: datetime, progress: Progress = quietly
) -> Restored:
    """Make a lost register again from a published `acts.jsonl`; the acts of a register that is there stay as they are.

    Args:
        workspace: Where to.
        path: The file.
        register_id: The id of the founding act; not needed where `lists/trust/` states it.
        now: The clock.
        progress: Told about long work.

    Raises:
        VerificationError: The acts do not verify, are of another register, or lack what was seen or published.
        UsageError: Nothing says which register it has to be; or the file cannot be read.
        RefusedError: There are acts of this list.
        TargetError: The database could not be written.
    """
    memory = HeadMemory(workspace.keys.path)
    signed, register = _read_acts(path, now, progress)
    if workspace.list_id not in (None, register.list_id):
        raise UsageError(
            _("{path} holds the list {list_id}", path=path, list_id=register.list_id), _("check --list and the file")
        )
    _require_stated(workspace, register, register_id)
    _require_published(workspace, register)
    memory.check(register)
    store = workspace.open_store(create=True)
    try:
        if register.list_id in store.every_list():
            raise RefusedError(
                _("there is a register of {list_id} already", list_id=register.list_id),
                _("nothing was changed; if it is damaged, see 'blocklist store repair', or move the database away"),
            )
        try:
            store.append(register.list_id, signed, [None] * len(signed))
        except UnreachableError as fault:
            fault.hint = _("see whether the server runs, then run the command again")
            raise
        confidential = [act for act in signed if act.act.dossier is not None]
        here = store.dossier_ids() if store.has_dossiers else set()
    finally:
        store.close()
    kept = sum(act.id in here for act in confidential)
    return Restored(register.list_id, register.id, register.head, len(confidential), kept)


def _read_acts(path: Path, now: datetime, progress: Progress) -> tuple[list[SignedAct], Register]:
    signed, register = [], Register()
    try:
        with path.open("rb") as stream, progress(_("replaying the register"), 0) as advance:
            for act, after in from_beginning(read_lines(stream), now):
                signed.append(act)
                register = after
                advance(1)
    except OSError as fault:
        raise UsageError(
            _("{path} cannot be read: {reason}", path=path, reason=fault.strerror),
            _("every release holds an acts.jsonl, and every provider has the newest one that it pulled"),
        ) from fault
    if not signed:
        raise VerificationError(_("{path} holds no act", path=path), _("is this the right file?"))
    return signed, register


def _require_stated(workspace: Workspace, register: Register, register_id: str | None) -> None:
    """Anybody can found a register: it has to be the one that the heads, or whoever restores it, stated."""
    heads = TrustFolder(workspace.trust)
    pin = heads.trust().pins.get(register.list_id) if _keeps_trust(workspace) else None
    stated = {pin.register} if pin is not None else set()
    stated |= {register_id} if register_id is not None else set()
    if not stated:
        raise UsageError(
            _("nothing says which register this has to be"),
            _("restore lists/trust/ from a backup, or give the id that providers pinned with --register"),
        )
    if stated != {register.id}:
        raise VerificationError(
            _("the acts are those of register {register}, not of {stated}", register=register.id, stated=max(stated)),
            _("take the acts.jsonl of a release that you verified"),
        )
    if pin is not None and not _has(register, pin.branch.act):
        raise VerificationError(
            _("the acts are not of the branch that the heads chose"), _("take those of a newer release")
        )
