"""The qualified person's recommendations, and the office's answers (LCEN art. 6-1 al. 3)."""

from __future__ import annotations

from collections.abc import Sequence

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.names.domain_name import Name
from blocklist.office.session import Session, numbered, one_act
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.lifecycle import Recommendation

_MAX_TEXT = 20_000


def recommend(session: Session, names: Sequence[Name], text: str) -> SignedAct:
    """State that measures are irregular; without names, a general remark."""
    session.require_officer()
    _require_text(text)
    return session.state(acts.Recommend(names=one_act(names) if names else None), text=text.strip())


def respond(session: Session, seq: int, outcome: str, text: str) -> SignedAct:
    """Answer a recommendation; accepting it ends its measures in the same act.

    Raises:
        UsageError: There is no such recommendation.
        RuleError: It was answered already.
    """
    session.require_officer()
    _require_text(text)
    body = acts.Respond(recommendation=recommendation(session, seq).ref, outcome=outcome)
    return session.state(body, text=text.strip())


def recommendation(session: Session, seq: int) -> Recommendation:
    """The recommendation of that number.

    Raises:
        UsageError: There is none.
    """
    message = _("act {seq} is not a recommendation", seq=seq)
    return numbered(session.register.recommendations, seq, message, _("'blocklist due' lists those that are open"))


def _require_text(text: str) -> None:
    if not text.strip() or len(text) > _MAX_TEXT:
        raise UsageError(
            _("the text is empty, or longer than {most} characters", most=_MAX_TEXT), _("say it with --text TEXT")
        )
