"""Acts and dossiers in words: what a code of a payload, an act, or the lines of a dossier say to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import _, later, plain, plural, preferred, shown
from blocklist.keys.encoding import PublicKey
from blocklist.names.domain_name import Names, both_forms
from blocklist.register import acts
from blocklist.register.acts import Body
from blocklist.register.decoders import parse_instant
from blocklist.register.policy import Policy

WORDS: Mapping[str, str] = {
    "host": later("the host"),
    "publisher": later("the publisher"),
    "platform": later("the platform"),
    "removed": later("the content was removed"),
    "refused": later("refused"),
    "silent": later("no answer"),
    "clarification": later("asks for clarification, so the notice begins anew"),
    "undelivered": later("it could not be delivered"),
    "still-unlawful": later("still unlawful"),
    "disappeared": later("the site has disappeared"),
    "lawful": later("the content is not unlawful any more"),
    "annulled": later("annulled by a court"),
    "suspended": later("suspended by a court"),
    "error": later("listed by error"),
    "recommendation": later("irregular, as the qualified person found"),
    "accepted": later("accepted"),
    "not-removed": later("the content was not removed within the notice"),
    "no-identification": later("the site does not say who publishes it"),
    "agent": later("agent"),
    "head": later("head of office"),
    "qualified-person": later("qualified person"),
}
"""Codes of payloads, as people say them."""


def said(code: str) -> str:
    """A code of a payload in words."""
    return _(WORDS[code])


# Acts


def sentence(body: Body) -> str:
    """What an act says, by its payload alone."""
    return _SENTENCES[type(body)](body)


def _founded(body: acts.Found) -> str:
    return _(
        "founded the register of {list_id}, environment {environment}", list_id=body.list, environment=body.environment
    )


def _appointed(body: acts.Appoint) -> str:
    key = PublicKey.from_base64(body.key).fingerprint
    return _("appointed {officer} as {role}, key {key}", officer=body.officer, role=said(body.role), key=key)


def _requested(body: acts.Request) -> str:
    if body.names is None:
        return _("asked the platform to remove content")
    return _("asked {recipient} to remove content: {names}", recipient=said(body.to), names=brief(body.names))


def _added(body: acts.Add) -> str:
    cited = ", ".join(str(ref.seq) for ref in body.requests or ())
    return plural(
        "proposed {count} name: ground {ground}, basis {basis}, until {until}",
        "proposed {count} names: ground {ground}, basis {basis}, until {until}",
        body.count,
        ground=body.ground,
        basis=_("{basis} (requests {cited})", basis=body.basis, cited=cited) if cited else body.basis,
        until=shown(body.review_by),
    )


def _reviewed(body: acts.Review) -> str:
    found = _("verified {names} again: {outcome}", names=brief(body.names), outcome=said(body.outcome))
    if body.review_by is None:
        return found
    return _("{found}, until {until}", found=found, until=shown(body.review_by))


def _recommended(body: acts.Recommend) -> str:
    if body.names is None:
        return _("made a general remark")
    return _("found irregular, and recommended to end: {names}", names=brief(body.names))


def _approved(body: acts.Approve) -> str:
    if body.names is None:
        return _("approved act {seq}", seq=body.act.seq)
    return _("approved act {seq}: {names}", seq=body.act.seq, names=brief(body.names))


def _answered(body: acts.Answer) -> str:
    found = _("answer to request {seq}: {outcome}", seq=body.request.seq, outcome=said(body.outcome))
    return found if body.observed is None else found + _(", seen gone {time}", time=shown(body.observed))


_SENTENCES: Mapping[type[Body], Callable[[Any], str]] = {
    acts.Found: _founded,
    acts.Appoint: _appointed,
    acts.Revoke: lambda body: _("ended the appointment of {officer}", officer=body.officer),
    acts.Adopt: lambda body: _("adopted a policy"),
    acts.Request: _requested,
    acts.Answer: _answered,
    acts.Add: _added,
    acts.Approve: _approved,
    acts.Reject: lambda body: _("rejected act {seq}", seq=body.act.seq),
    acts.Review: _reviewed,
    acts.Remove: lambda body: _("removed {names}: {reason}", names=brief(body.names), reason=said(body.reason)),
    acts.Recommend: _recommended,
    acts.Respond: lambda body: _(
        "answer to recommendation {seq}: {outcome}", seq=body.recommendation.seq, outcome=said(body.outcome)
    ),
    acts.Erase: lambda body: _("destroyed the dossier of act {seq}", seq=body.act.seq),
}


def brief(names: Names) -> str:
    """Up to three names, both forms of one that is not plain ASCII, and how many more there are."""
    texts = [*names.domain, *names.host]
    more = len(texts) - 3
    shown_names = ", ".join(map(both_forms, texts[:3]))
    return _("{names} and {count} more", names=shown_names, count=more) if more > 0 else shown_names


# Dossiers


def details_of(members: Mapping[str, Any], policy: Policy, body: Body | None = None) -> list[str]:
    """What a dossier holds, a line each; salts and the names that the act's own sentence has are left out."""
    try:
        return [plain(line) for line in _details(members, policy, body)]
    except (ValueError, TypeError, LookupError, AttributeError, BlocklistError):
        # An officer signed for these bytes, and no program of ours wrote them.
        return [_("its dossier has a form that this program does not know")]


def _details(members: Mapping[str, Any], policy: Policy, body: Body | None) -> Iterator[str]:
    for key, text in _TEXTS.items():
        if members.get(key):
            yield _(text, value=members[key])
    for url in members.get("urls", ()):
        yield _("page: {url}", url=url)
    if members.get("names") and not isinstance(body, acts.Add):
        yield _("names: {names}", names=_texts(members["names"]))
    yield from _answers(members.get("says", {}), policy, body)
    for entry in members.get("evidence", ()):
        kept = shown(parse_instant(entry["kept"]))
        yield _("evidence: {name} ({type}, {size} octets, kept {kept}), SHA-256 {sha256}", **entry | {"kept": kept})
    if like := members.get("like"):
        former = _texts(like["names"])
        yield _("continues the measure on {names}, proposed by act {seq}", names=former, seq=like["act"])
    if "replaces" in members:
        yield _("replaces act {seq}, from which names were struck", seq=members["replaces"])


def _texts(names: Mapping[str, list[str]]) -> str:
    return ", ".join(text for named in names.values() for text in named)


_TEXTS: Mapping[str, str] = {
    "identity": later("identity: {value}"),
    "reference": later("reference: {value}"),
    "contact": later("contact: {value}"),
    "reason": later("reason: {value}"),
    "note": later("note: {value}"),
    "text": later("text: {value}"),
}


def _answers(says: Mapping[str, str], policy: Policy, body: Body | None) -> Iterator[str]:
    """The answers to what the ground asks, in the order in which it asks."""
    ground = policy.grounds.get(body.ground) if isinstance(body, acts.Add) else None
    asked = {ask.id: ask.texts[preferred()] for ask in ground.asks} if ground else {}
    for ask_id in (*(known for known in asked if known in says), *(other for other in says if other not in asked)):
        yield f"{asked.get(ask_id, ask_id)} - {says[ask_id]}"
