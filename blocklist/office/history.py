"""The life of one measure: every act about it, and the releases that carried and dropped it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import _, later, shown
from blocklist.office.provider_receipts import Report, Reported
from blocklist.office.session import Session
from blocklist.office.vocabulary import details_of, sentence
from blocklist.publisher.release_folders import Releases
from blocklist.register import acts
from blocklist.register.acts import Body, SignedAct
from blocklist.register.decoders import format_instant
from blocklist.register.lifecycle import PENDING_FOR
from blocklist.release.contents import DELAY


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


def event(opened: Session, signed: SignedAct) -> Event:
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


def _proposes(opened: Session, seq: int, text: str) -> bool:
    """Whether a proposal is for that name, as its dossier says if this account may read it."""
    try:
        names = opened.dossier_of(seq).get("names")
    except BlocklistError:
        return False
    return isinstance(names, dict) and any(text in texts for texts in names.values() if isinstance(texts, list))


def timeline(opened: Session, text: str, signed: list[SignedAct]) -> list[Event]:
    """The acts about a name, and between them what followed: releases with their deadlines, lapses.

    Args:
        opened: The register.
        text: The canonical name.
        signed: The acts, as `queries.history` gives them.
    """
    life = _Life(opened, {entry.act.seq: entry.act.body for entry in signed}, text)
    events: list[Event] = []
    for entry in signed:
        events += [*life.lapsed(entry.act.at), event(opened, entry), *life.after(entry)]
    events += [*life.lapsed(opened.now), *_unapproved(opened, text, signed)]
    return sorted(events, key=lambda happened: happened.at)


def _unapproved(opened: Session, text: str, signed: list[SignedAct]) -> Iterator[Event]:
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

    def __init__(self, opened: Session, bodies: Mapping[int, Body], text: str) -> None:
        self._releases = Releases(opened.workspace.exports / opened.list_id)
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
            yield from self._dropped(signed.act.at, self._releases.first_with(seq))

    def lapsed(self, now: datetime) -> Iterator[Event]:
        """The end of the measure by its date, if that has come."""
        until = self._until
        if until is not None and until <= now:
            self._until = None
            yield Event(None, until, "", _("lapsed: nobody verified it again by its review date"))
            yield from self._dropped(until, self._releases.first_since(until))

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
        at = self._releases.first_with(seq)
        if at is not None:
            reports = self._reported.reports(since, at, lambda receipt: receipt.let_in.head.seq >= seq, self._now)
            what = _("first release that carries it: providers block before {before}", before=shown(at + DELAY))
            yield _told(at, what, reports, _BLOCKED, _NOT_BLOCKED)

    def _dropped(self, since: datetime, at: datetime | None) -> Iterator[Event]:
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
