"""The life of one measure in words: every act about it, and the releases that carried and dropped it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from blocklist import acts
from blocklist.acts import Body, SignedAct
from blocklist.desk import Desk
from blocklist.entries import PENDING_FOR
from blocklist.errors import BlocklistError, UsageError
from blocklist.fields import Names, parse_instant
from blocklist.instants import folder_instant, folder_name, format_instant
from blocklist.messages import _, later, plain, plural, preferred, shown
from blocklist.names import both_forms
from blocklist.policy import Policy
from blocklist.release import DELAY, SUMS
from blocklist.reported import Report, Reported
from blocklist.signing import PublicKey

_HEAD = re.compile(rb"(?m)^# Register [0-9a-f]{64}, head: act (\d+), [0-9a-f]{64}$")
_MAX_HEADER = 16 * 1024

WORDS: Mapping[str, str] = {
    "host": later("the host"),
    "publisher": later("the publisher"),
    "platform": later("the platform"),
    "removed": later("the content was removed"),
    "refused": later("refused"),
    "silent": later("no answer"),
    "clarification": later("asks for clarification, so the notice begins anew"),
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


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: an act with its number, or what followed from the date or a release.

    For a release `reports` is what providers say of it; `details` has that in words.
    """

    seq: int | None
    at: datetime
    by: str
    what: str
    details: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "act": self.seq,
            "at": format_instant(self.at),
            "by": self.by,
            "what": self.what,
            "details": list(self.details),
            "providers": [report.to_json() for report in self.reports],
        }


def said(code: str) -> str:
    """A code of a payload in words."""
    return _(WORDS[code])


# Releases


class Releases:
    """The published releases of one list, oldest first, and the head that each one shows."""

    def __init__(self, folder: Path) -> None:
        self._folders = sorted(path for path in folder.glob("2*Z") if (path / SUMS).exists())

    def first(self, holds: Callable[[int, datetime], bool]) -> datetime | None:
        """The instant of the first release for which `holds(number of its head, its instant)` is true.

        Heads and instants only grow, so that a few of thousands have to be looked at.
        """
        place = bisect_left(self._folders, True, key=lambda path: holds(_head(path), folder_instant(path.name)))
        return folder_instant(self._folders[place].name) if place < len(self._folders) else None

    def contradict(self, instant: datetime, head: int) -> bool:
        """Whether there cannot have been a release of that instant with that head.

        Of the time before the oldest release that is kept nothing is known.
        """
        names, name = [path.name for path in self._folders], folder_name(instant)
        if name in names:
            return _head(self._folders[names.index(name)]) != head
        return bool(names) and name > names[0]


def _head(folder: Path) -> int:
    with (folder / SUMS).open("rb") as stream:
        match = _HEAD.search(stream.read(_MAX_HEADER))
    return int(match[1]) if match else 0


def _proposes(opened: Desk, seq: int, text: str) -> bool:
    """Whether a proposal is for that name, as its dossier says if this account may read it."""
    try:
        names = opened.dossier_of(seq).get("names")
    except BlocklistError:
        return False
    return isinstance(names, dict) and any(text in texts for texts in names.values() if isinstance(texts, list))


# One act in words


def event(opened: Desk, signed: SignedAct) -> Event:
    """An act in words, with what its dossier holds if this account may read it."""
    act = signed.act
    try:
        members = opened.dossier_of(act.seq)
    except UsageError:
        members = {}
    if act.dossier and not members:
        gone = act.seq in opened.register.erased
        details = [_("its dossier was destroyed") if gone else _("its dossier cannot be read here")]
    else:
        details = details_of(members, opened.register.policy, act.body)
    return Event(act.seq, act.at, act.by, sentence(act.body), tuple(details))


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


_SENTENCES: Mapping[type[Body], Callable[[Any], str]] = {
    acts.Found: _founded,
    acts.Appoint: _appointed,
    acts.Revoke: lambda body: _("ended the appointment of {officer}", officer=body.officer),
    acts.Adopt: lambda body: _("adopted a policy"),
    acts.Request: _requested,
    acts.Answer: lambda body: _("answer to request {seq}: {outcome}", seq=body.request.seq, outcome=said(body.outcome)),
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


# Dossiers in words


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


# The life of a measure


def timeline(opened: Desk, text: str, signed: list[SignedAct]) -> list[Event]:
    """The acts about a name, and between them what followed: releases with their deadlines, lapses.

    Args:
        opened: The register.
        text: The canonical name.
        signed: The acts, as `survey.history` gives them.
    """
    life = _Life(opened, {entry.act.seq: entry.act.body for entry in signed}, text)
    events: list[Event] = []
    for entry in signed:
        events += [*life.lapsed(entry.act.at), event(opened, entry), *life.after(entry)]
    events += [*life.lapsed(opened.now), *_unapproved(opened, text, signed)]
    return sorted(events, key=lambda happened: happened.at)


def _unapproved(opened: Desk, text: str, signed: list[SignedAct]) -> Iterator[Event]:
    """How proposals ended that nobody approved or rejected: by their seven days, or with their author's appointment."""
    ended = {body.act.seq for entry in signed if isinstance(body := entry.act.body, acts.Approve | acts.Reject)}
    for entry in signed:
        act = entry.act
        # An addition of another name is here for its link; what approved it is not.
        if not isinstance(act.body, acts.Add) or act.seq in ended or not _proposes(opened, act.seq, text):
            continue
        pending, author = opened.register.pending.get(act.seq), opened.register.officers[act.by]
        if pending is None and author.until is not None and author.until <= act.at + PENDING_FOR:
            what = _("act {seq} cannot be approved any more: {by} is revoked", seq=act.seq, by=act.by)
            yield Event(None, author.until, "", what)
        elif act.at + PENDING_FOR < opened.now:
            what = _("act {seq} was not approved within seven days, and has lapsed", seq=act.seq)
            yield Event(None, act.at + PENDING_FOR, "", what)


class _Life:
    """Follows one name through its acts: whether it is listed, and until when."""

    def __init__(self, opened: Desk, bodies: Mapping[int, Body], text: str) -> None:
        self._releases = Releases(opened.workspace.path / "exports" / opened.list_id)
        self._reported = Reported(opened.workspace.lists, opened.register)
        self._now = opened.now
        self._bodies = bodies
        self._text = text
        self._until: datetime | None = None

    def after(self, signed: SignedAct) -> Iterator[Event]:
        """What an act led to."""
        body, seq = signed.act.body, signed.act.seq
        proposed = self._bodies.get(body.act.seq) if isinstance(body, acts.Approve) else None
        if isinstance(proposed, acts.Add) and isinstance(body, acts.Approve) and self._is_last(body, seq):
            self._until = proposed.review_by
            yield from self._carried(seq, signed.act.at)
        elif isinstance(body, acts.Review) and body.review_by is not None:
            self._until = body.review_by
        elif self._until is not None and self._ends(body):
            self._until = None
            yield from self._dropped(signed.act.at, lambda head, _instant: head >= seq)

    def lapsed(self, now: datetime) -> Iterator[Event]:
        """The end of the measure by its date, if that has come."""
        until = self._until
        if until is not None and until <= now:
            self._until = None
            yield Event(None, until, "", _("lapsed: nobody verified it again by its review date"))
            yield from self._dropped(until, lambda _head, instant: instant >= until)

    def _is_last(self, body: acts.Approve, seq: int) -> bool:
        """Whether this is the approval by which it was listed: with several, the last one is."""
        others = (n for n, other in self._bodies.items() if isinstance(other, acts.Approve) and other.act == body.act)
        return max(others) == seq

    def _ends(self, body: Body) -> bool:
        if isinstance(body, acts.Respond) and body.outcome == "accepted":
            names = getattr(self._bodies.get(body.recommendation.seq), "names", None)
        else:
            names = body.names if isinstance(body, acts.Remove | acts.Review) else None
        return names is not None and (self._text in names.domain or self._text in names.host)

    def _carried(self, seq: int, since: datetime) -> Iterator[Event]:
        at = self._releases.first(lambda head, _instant: head >= seq)
        if at is not None:
            reports = self._reported.reports(since, at, lambda receipt: receipt.let_in.head.seq >= seq, self._now)
            what = _("first release that carries it: providers block before {before}", before=shown(at + DELAY))
            yield _told(at, what, reports, _BLOCKED, _NOT_BLOCKED)

    def _dropped(self, since: datetime, holds: Callable[[int, datetime], bool]) -> Iterator[Event]:
        at = self._releases.first(holds)
        if at is not None:
            reports = self._reported.reports(since, at, lambda receipt: receipt.shown.instant >= at, self._now)
            what = _("first release without it: providers restore before {before}", before=shown(at + DELAY))
            yield _told(at, what, reports, _RESTORED, _NOT_RESTORED)


# What providers say

_BLOCKED = later("{provider} applied this release or a later one by {at}: {remarks}")
_NOT_BLOCKED = later("{provider} has not reported that it applied this release or a later one; the time is over")
_RESTORED = later("{provider} restored it by {at}: {remarks}")
_NOT_RESTORED = later("{provider} has not reported that it restored it; the time is over")


def _told(at: datetime, what: str, reports: Iterable[Report], done: str, missing: str) -> Event:
    """The event of a release, with what providers say of it."""
    told = tuple(reports)
    return Event(None, at, "", what, tuple(line for report in told for line in _said_by(report, done, missing)), told)


def _said_by(report: Report, done: str, missing: str) -> Iterator[str]:
    if report.applied is not None:
        yield _(done, provider=report.provider, at=shown(report.applied), remarks=", ".join(_remarks(report)))
    elif report.late:
        yield _(missing, provider=report.provider)
    for path in report.damaged:
        yield _("{path} is no receipt of this register any more, and does not count", path=path)


def _remarks(report: Report) -> Iterator[str]:
    yield _("signed") if report.signed else _("not signed")
    if report.late:
        yield _("LATE (its first receipt)") if report.first else _("LATE")
    if report.back is not None:
        yield _("went back to an older release by {at}", at=shown(report.back))
