"""The check of listed names, at least each quarter (décret 2015-125 art. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.names.domain_name import Name
from blocklist.office.session import Said, Session, dossier_with, one_act
from blocklist.register import acts
from blocklist.register.acts import SignedAct


def review(
    session: Session,
    names: Sequence[Name],
    outcome: str,
    review_by: datetime | None,
    note: str,
    evidence: Sequence[Path],
) -> SignedAct:
    """State that names were verified again (décret 2015-125 art. 4)."""
    session.require_officer()
    still = outcome == "still-unlawful"
    if not still and review_by is not None:
        raise UsageError(
            _("outcome {outcome} ends the measure and has no review date", outcome=outcome),
            _("leave out --review-by"),
        )
    reviewed = one_act(names)
    with session.keeping_evidence(evidence) as keep:

        def build() -> list[Said]:
            until = (review_by or session.review_until()) if still else None
            body = acts.Review(names=reviewed, outcome=outcome, review_by=until)
            return [(body, dossier_with({"note": note, "evidence": keep()}))]

        return session.commit(build)[0]
