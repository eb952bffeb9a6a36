"""Removal requests and what came back (LCEN art. 6-1 al. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.names.domain_name import Name
from blocklist.office.session import Session, one_act
from blocklist.register import acts
from blocklist.register.acts import SignedAct


def request(
    session: Session,
    names: Sequence[Name],
    to: str,
    contact: str,
    urls: Sequence[str],
    note: str,
    evidence: Sequence[Path],
) -> SignedAct:
    """State that a recipient was asked to remove content; the notice period begins.

    A platform's names stay in the dossier: what it is asked about is a page, and no site that could be blocked.

    Raises:
        UsageError: No contact, no names, or an address that is no URL.
    """
    session.require_officer()
    asked = one_act(names)
    if not contact.strip():
        raise UsageError(_("the request says nobody who was asked"), _("--contact TEXT: address, form or telephone"))
    for url in urls:
        _require_url(url)
    hidden = asked if to == "platform" else None
    body = acts.Request(to=to, names=None if hidden else asked)
    told = {
        "contact": contact.strip(),
        "urls": list(urls),
        "names": hidden and hidden.to_json(),
        "note": note,
    }
    return session.state_with_evidence(body, told, evidence)


def answer(
    session: Session,
    seq: int,
    outcome: str,
    note: str,
    evidence: Sequence[Path],
    observed: datetime | None = None,
) -> SignedAct:
    """State what came back to a removal request.

    Args:
        session: The register, and the officer who signs.
        seq: The number of the request.
        outcome: One of `acts.ANSWERS`.
        note: Kept in the dossier.
        evidence: Files that are kept.
        observed: When the content was seen to be gone; only with `removed`.

    Raises:
        UsageError: There is no such request, or the outcome says nothing of when.
        RuleError: It is closed, or the time is not between the request and now.
    """
    session.require_officer()
    if observed is not None and outcome != "removed":
        raise UsageError(
            _("--observed says when the content was seen to be gone, so it goes with --outcome removed"),
            _("leave out --observed"),
        )
    body = acts.Answer(request=session.open_request(seq), outcome=outcome, observed=observed)
    return session.state_with_evidence(body, {"note": note}, evidence)


def _require_url(text: str) -> None:
    """Refuse what is no address of a page."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or len(text) > 2000 or not text.isprintable():
        raise UsageError(
            _("{url!r} is not the URL of a page", url=text[:80]), _("such as https://www.example.com/page")
        )
