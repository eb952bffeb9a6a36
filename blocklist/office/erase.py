"""`dossier erase`: a dossier, its salt and its evidence are destroyed (GDPR art. 17); the chain of acts stays whole.

The act comes first, then what it states: after a crash the audit finds what is left, and the same command finishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.office.session import Said, Session, dossier_with
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.store.evidence import entries_of


@dataclass(frozen=True, slots=True)
class Erased:
    """What was destroyed: `act` is the number of the erasure, None when it was stated before and is only finished."""

    act: int | None
    dossier: int
    evidence: int
    shared: int


def require_erasable(opened: Session, seq: int) -> SignedAct:
    """The act whose dossier can be erased, or its erasure finished.

    Raises:
        UsageError: There is no such act, it never had a dossier, or its dossier is lost.
        RefusedError: It waits for an approval, which needs the dossier.
    """
    signed = opened.act(seq)
    if signed.act.dossier is None:
        raise UsageError(_("act {seq} has no dossier", seq=seq), _("see 'blocklist log' for the acts"))
    if any(entry.ref.seq == seq for entry in opened.register.waiting(opened.now)):
        raise RefusedError(
            _("act {seq} waits for an approval, which needs its dossier", seq=seq),
            _("reject it first: blocklist reject {seq}", seq=seq),
        )
    if seq not in opened.register.erased and signed.id not in opened.store.dossier_ids():
        raise UsageError(
            _("the dossier of act {seq} is not here", seq=seq), _("it was lost; restore it from a backup first")
        )
    return signed


def erase(opened: Session, seq: int, reason: str) -> Erased:
    """State that a dossier is destroyed, and destroy it; if that was stated already, finish it.

    Args:
        opened: The register, with the head of office who signs.
        seq: The number of the act.
        reason: Why; kept in the dossier of the erasure.

    Raises:
        UsageError: See `require_erasable`; or no reason is given.
        RefusedError: See `require_erasable`.
        RuleError: The officer is no head. In all these cases nothing was destroyed.
        TargetError: It was stated, and something is left: the same command finishes.
    """
    if not reason.strip():
        raise UsageError(_("no reason is given"), _("say it with --reason TEXT"))
    signed = require_erasable(opened, seq)

    def build() -> Iterator[Said]:
        yield acts.Erase(act=require_erasable(opened, seq).ref), dossier_with({"reason": reason.strip()})

    stated: int | None = None
    if seq in opened.register.erased:
        _require_head(opened)
    else:
        stated = opened.commit(build)[0].act.seq
    removed, shared = _destroy(opened, signed)
    return Erased(stated, seq, removed, shared)


def _require_head(opened: Session) -> None:
    """To finish an erasure needs no act, and no less authority."""
    officer = opened.register.in_office(opened.require_officer())
    if officer is None or officer.role != "head":
        raise RefusedError(_("only a head of office erases a dossier"), _("say who signs with --as ID"))


def _destroy(opened: Session, signed: SignedAct) -> tuple[int, int]:
    """Evidence first, since only the dossier tells which it is; files that other dossiers name stay."""
    removed = shared = 0
    for digest in _evidence_of(opened, signed):
        if set(opened.store.mentioning(digest)) - {signed.id}:
            shared += 1
        else:
            opened.evidence.remove(digest)
            removed += 1
    opened.store.erase([signed.id])
    return removed, shared


def _evidence_of(opened: Session, signed: SignedAct) -> list[str]:
    """The files that a dossier names; one that was altered names none that could be believed."""
    with suppress(VerificationError):
        dossier = opened.store.dossier(signed)
        if dossier is not None:
            return sorted({str(entry.get("sha256")) for entry in entries_of(dossier.members())})
    return []
