"""Approving and rejecting what other officers proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from blocklist.base.i18n import _
from blocklist.names.domain_name import Name
from blocklist.names.guards import Finding
from blocklist.office.propose import GuardError, findings
from blocklist.office.session import Said, Session
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.lifecycle import Pending, RuleError
from blocklist.register.policy import lacking


def waiting_for(session: Session) -> list[Pending]:
    """The acts that this officer can approve."""
    officer = session.require_officer()
    return [entry for entry in session.register.waiting(session.now) if session.register.may_approve(entry, officer)]


def approve(session: Session, *seqs: int, unless_gone: bool = False) -> list[SignedAct]:
    """Approve acts of other officers, all or none; guards run again, over all their names together.

    Args:
        session: The register, and the officer who signs.
        seqs: Their numbers.
        unless_gone: Leave out those that do not wait any more: somebody else was faster.

    Raises:
        GuardError: A guard refuses a name now, or two of the acts hold it.
        RuleError: The register refuses an approval. In every case nothing was appended.
    """
    session.require_officer()

    def build() -> list[Said]:
        bodies: list[Said] = []
        wanted: list[Name] = []
        gone = {seq for seq in seqs if seq not in session.register.pending} if unless_gone else set()
        for entry in map(session.pending, dict.fromkeys(seq for seq in seqs if seq not in gone)):
            require_approvable(session, entry)
            names, salt = session.proposed_names(entry) or (None, None)
            bodies.append((acts.Approve(act=entry.ref, names=names, salt=salt), None))
            wanted += names.each() if names is not None else []
        _require_free(session, wanted)
        return bodies

    return session.commit(build)


def require_approvable(session: Session, entry: Pending) -> None:
    """Refuse an act that this officer cannot approve, before anything is shown or asked.

    Raises:
        RuleError: Another officer has to, it has expired, a court annulled a name, or its dossier is incomplete.
    """
    body, officer = entry.act.body, session.require_officer()
    session.register.check_approver(entry, officer)
    session.register.waiting_act(entry.ref, "approve", session.now)
    session.register.check_proposal(body, session.now)
    if not isinstance(body, acts.Add):
        return
    proposed = session.proposed_names(entry)
    if proposed is not None:
        session.register.check_not_annulled(proposed[0], [*entry.approvals, officer])
    missing = lacking(session.register.policy, body.ground, body.basis, session.dossier_of(entry.ref.seq))
    if missing:
        raise RuleError(
            _("the dossier of act {seq} lacks {missing}", seq=entry.ref.seq, missing=", ".join(missing)),
            _("reject it; its author adds the names again, with all that is asked"),
        )


def _require_free(session: Session, names: Sequence[Name]) -> None:
    again = [name.text for name, count in Counter(names).items() if count > 1]
    twice = [
        Finding("covered", text, _("{name} is in two of these acts", name=text), _("approve one of them"))
        for text in again
    ]
    found = twice + findings(session, names)
    if found:
        raise GuardError(found, _("nothing was signed; 'blocklist reject' the act, or approve the others without it"))


def reject(session: Session, seq: int, reason: str) -> SignedAct:
    """Reject a pending act, or withdraw one's own."""
    session.require_officer()
    return session.state(acts.Reject(act=session.pending(seq).ref), reason=reason)
