"""Moving a register from one database to another, and proving that the copy is the register."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import Progress, _, quietly
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.replay import from_beginning
from blocklist.store.store import Dossier, Store

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Copied:
    """One list that was copied and verified: acts in the copy, how many of them are new there, and dossiers."""

    list_id: str
    head: Ref
    new: int
    dossiers: int


def copy(source: Store, target: Store, now: datetime, progress: Progress = quietly) -> list[Copied]:
    """Copy every register to a database that holds none of them, or an older copy, and verify what is there then.

    Raises:
        VerificationError: An act or a dossier of the source does not verify, or the copy is not what was copied.
        RefusedError: The target has acts that the source lacks, or the source was written to meanwhile.
        UsageError: There is nothing to copy; or this account may not read dossiers, or not write there.
        TargetError: The target could not be written.
    """
    lists = source.lists()
    if not lists:
        raise UsageError(_("{source} holds no register", source=source.shown), _("check where the register is"))
    strangers = sorted(set(target.every_list()) - set(lists))
    if strangers:
        raise RefusedError(
            _("{target} holds another list: {lists}", target=target.shown, lists=", ".join(strangers)),
            _("nothing was copied; choose an empty database"),
        )
    return [_copy_list(source, target, list_id, now, progress) for list_id in lists]


def _copy_list(source: Store, target: Store, list_id: str, now: datetime, progress: Progress) -> Copied:
    head = target.head(list_id)
    there = head.seq if head else 0
    _require_prefix(source, target, list_id)
    copied, kept = 0, _ids(target)  # a copy that was cut off may have left a dossier before its act
    for batch in _batches(_verified(source, list_id, now, progress), after=there):
        target.append(list_id, batch, [None if act.id in kept else source.dossier(act) for act in batch])
        copied += len(batch)
    dossiers = _match_dossiers(source, target, list_id, there + copied)
    last = _require_same(source, target, list_id, now, progress)
    return Copied(list_id, last, copied, dossiers)


def _require_prefix(source: Store, target: Store, list_id: str) -> None:
    """What the target has is the beginning of what the source has, octet by octet."""
    ours = source.lines(list_id)
    for seq, line in enumerate(target.lines(list_id), 1):
        if next(ours, None) != line:
            raise RefusedError(
                _("{target} has another act {seq}: it is no older copy", target=target.shown, seq=seq),
                _("nothing was copied; choose an empty database"),
            )


def _verified(store: Store, list_id: str, now: datetime, progress: Progress) -> Iterator[SignedAct]:
    head = store.head(list_id)
    with progress(_("replaying the register"), head.seq if head else 0) as advance:
        for signed, _register in from_beginning(store.lines(list_id), now):
            yield signed
            advance(1)


def _batches(signed: Iterator[SignedAct], after: int) -> Iterator[list[SignedAct]]:
    batch: list[SignedAct] = []
    for act in signed:
        if act.act.seq > after:
            batch.append(act)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _match_dossiers(source: Store, target: Store, list_id: str, length: int) -> int:
    """Bring dossiers that were missing from an older copy, and destroy there what was destroyed here since."""
    ours, theirs = _ids(source), _ids(target)
    count, missing, gone = 0, dict[str, Dossier](), list[str]()
    for line in islice(source.lines(list_id), length):
        signed = acts.read_line(line)
        count += signed.id in ours
        if signed.id in ours - theirs and (dossier := source.dossier(signed)) is not None:
            missing[signed.id] = dossier
        elif signed.id in theirs - ours:
            gone.append(signed.id)
    target.add_dossiers(missing)
    if gone:
        target.erase(gone)
    return count


def _ids(store: Store) -> set[str]:
    return store.dossier_ids() if store.has_dossiers else set()


def _require_same(source: Store, target: Store, list_id: str, now: datetime, progress: Progress) -> Ref:
    """Replay the copy, with its dossiers, and compare it with the source as that is now.

    Raises:
        VerificationError: It is not the same.
        RefusedError: The source goes on.
    """
    ours = source.lines(list_id)
    last: Ref | None = None
    for signed in _verified(target, list_id, now, progress):
        if next(ours, None) != signed.line() or target.dossier(signed) != source.dossier(signed):
            raise VerificationError(
                _("act {seq} of the copy is not what was copied", seq=signed.act.seq), _("do not use the copy")
            )
        last = signed.ref
    if last is None or next(ours, None) is not None:
        raise RefusedError(
            _("the register was written to while it was copied"),
            _("see that nobody works, then run the command again: it copies what is new"),
        )
    return last
