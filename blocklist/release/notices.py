"""What people are told about a release: the office's notice, and what `pull` prints.

It is made from two states of the register, so the office and every provider read the same words about the same step.
There is nothing in it that a provider does not have: no URL, no evidence, no text of a dossier, no person (promise 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from blocklist.base.i18n import _, later, plural, preferred, shown, speaking
from blocklist.names.domain_name import Name, Names, nearest
from blocklist.register.lifecycle import Measures, Request, State
from blocklist.register.policy import Policy
from blocklist.release.contents import DELAY, Plan, Snapshot
from blocklist.release.renderers import Release

SHOWN = 50
"""Names, or requests, to a list for people; the rest is counted."""

_WHY: Mapping[str, str] = {
    "lapsed": later("lapsed without a review"),
    "annulled": later("the measure was annulled"),
    "suspended": later("the measure was suspended"),
    "disappeared": later("the content has disappeared"),
    "lawful": later("no longer unlawful"),
    "error": later("listed in error"),
    "recommendation": later("recommended by the qualified person"),
    "protected": later("protected by the policy"),
}
"""Why a measure ended: by its date, by an act of that reason, or because its name became a protected one."""

_RECIPIENTS: Mapping[str, str] = {
    "host": later("the host"),
    "publisher": later("the publisher"),
    "platform": later("a platform"),
}

_ANSWERS: Mapping[str, str] = {
    "removed": later("Act {act}: {recipient} has removed the content"),
    "refused": later("Act {act}: {recipient} refused to remove the content"),
    "silent": later("Act {act}: {recipient} has not answered"),
    "undelivered": later("Act {act}: the request could not be delivered to {recipient}"),
    "clarification": later("Act {act}: the request was clarified; the time to remove runs anew from {clock}"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """Names to which the same happened, with the same time to act; `why` is empty for additions."""

    why: str
    names: Names
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """What is new in a release for somebody who knew an older one.

    `first` says that the reader joins a list that had releases before: `added` is all of it, and only counted. `missed`
    says that the reader missed releases: the time to act then runs from the first that showed the change, and each
    deadline is the earliest that it can be. `requested` are removal requests that are new to the reader, `answered`
    those whose state has changed. `covered` are ended names that another measure still blocks.
    """

    release: Release
    policy: Policy
    added: tuple[Change, ...]
    ended: tuple[Change, ...]
    renewed: int
    requested: tuple[Request, ...]
    answered: tuple[Request, ...]
    policy_changed: bool
    covered: frozenset[Name] = frozenset()
    first: bool = False
    missed: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        news = self.added or self.ended or self.renewed or self.requested or self.answered
        return bool(news or self.policy_changed)

    @property
    def block_before(self) -> datetime | None:
        """When the first of the additions has to be blocked."""
        return None if self.first else min((change.deadline for change in self.added), default=None)

    @property
    def restore_before(self) -> datetime | None:
        """When access to the first of the ended names has to be restored."""
        return min((change.deadline for change in self.ended), default=None)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The removal requests that are new, or whose state is."""
        return tuple(sorted((*self.requested, *self.answered), key=lambda request: request.ref.seq))

    def lines(self) -> list[str]:
        """The notice in the language that is spoken."""
        return [*self._added(), *self._ended(), *self._reviewed(), *self.request_lines()]

    def heading(self) -> list[str]:
        """Which list, and which release of it, in the language that is spoken."""
        made, title = self.release, self.policy.title[preferred()]
        lines = [
            title,
            _("List {list_id}, environment {environment}", list_id=made.list_id, environment=made.environment),
            _("Release {folder}, made {instant}", folder=made.folder, instant=shown(made.instant)),
            _("Register {register}", register=made.register),
            _("Head: act {seq}, {id}", seq=made.head.seq, id=made.head.id),
        ]
        test = _("*** TEST *** This is a test: no measure in it is real.")
        return [test, *lines] if made.environment == "test" else lines

    def subject(self) -> str:
        """One line in no language, plain ASCII: fit for the subject of a mail."""
        added, ended = (sum(len(change.names) for change in changes) for changes in (self.added, self.ended))
        news = len(self.requested) + len(self.answered)
        announced = f", announced {news}" if news else ""
        test = "TEST " if self.release.environment == "test" else ""
        return f"{test}{self.release.list_id} {self.release.folder}: +{added} -{ended}{announced}"

    def _added(self) -> Iterator[str]:
        if self.first:
            count = sum(len(change.names) for change in self.added)
            yield plural("{count} name is on the list", "{count} names are on the list", count)
            return
        cite, left = _cited(self.policy.article("block")), SHOWN
        for change in self.added:
            count, when = len(change.names), self._before(change.deadline)
            yield plural(
                "Block {count} name {when}{cite}:", "Block {count} names {when}{cite}:", count, when=when, cite=cite
            )
            yield from _listed("+", change.names, left, self._still)
            left = max(0, left - count)

    def _ended(self) -> Iterator[str]:
        cite, left = _cited(self.policy.article("remove")), SHOWN
        for change in self.ended:
            count = len(change.names)
            yield plural(
                "Restore access to {count} name {when}{cite}; {why}:",
                "Restore access to {count} names {when}{cite}; {why}:",
                count,
                when=self._before(change.deadline),
                cite=cite,
                why=_(_WHY[change.why]),
            )
            yield from _listed("-", change.names, left, self._still)
            left = max(0, left - count)

    def _before(self, deadline: datetime) -> str:
        if self.missed:
            return _("before {deadline} at the latest", deadline=shown(deadline))
        return _("before {deadline}", deadline=shown(deadline))

    def _still(self, name: Name) -> str:
        return _(", which another measure still blocks") if name in self.covered else ""

    def _reviewed(self) -> Iterator[str]:
        if self.renewed:
            yield plural("{count} name was reviewed and stays", "{count} names were reviewed and stay", self.renewed)
        if self.policy_changed:
            yield _("The policy of the list has changed")

    def request_lines(self) -> Iterator[str]:
        """What is new about removal requests, in the language that is spoken."""
        for request in self.requested[:SHOWN]:
            yield from self._requested(request)
        for request in self.answered[:SHOWN]:
            yield _answer(request)
        left = sum(max(0, len(requests) - SHOWN) for requests in (self.requested, self.answered))
        if left:
            yield plural("… and {count} more request", "… and {count} more requests", left)

    def _requested(self, request: Request) -> Iterator[str]:
        to, cite = _(_RECIPIENTS[request.to]), _cited(self.policy.article("request"))
        act, since = request.ref.seq, shown(request.since)
        if request.names is None:
            yield _(
                "Act {act}: removal was asked of {recipient}, T0 {since}{cite}; the names are withheld",
                act=act,
                recipient=to,
                since=since,
                cite=cite,
            )
        else:
            yield _(
                "Act {act}: removal was asked of {recipient}, T0 {since}{cite}; for information:",
                act=act,
                recipient=to,
                since=since,
                cite=cite,
            )
            yield from _listed("?", request.names, SHOWN, self._still)
        if request.outcome is not None:
            yield _answer(request)


def both(notice: Notice) -> str:
    """The notice as it is sent: the subject, then everything in French, then in English."""
    parts = [notice.subject()]
    for language in ("fr", "en"):
        with speaking(language):
            parts += ["", *notice.heading(), "", *notice.lines()]
    return "\n".join(parts) + "\n"


def compare(
    before: Snapshot | None, now: Snapshot, plan: Plan, decisions: Measures, since: int | None, *, first: bool = False
) -> Notice:
    """What `now` has that is new to somebody who knew `before`.

    Args:
        before: The release that the reader knows.
        now: The release that the reader gets.
        plan: The plan between these two.
        decisions: The last decision on every name.
        since: The number of the release that came before `now`.
        first: Count the names only, and leave out requests that are closed.
    """
    clock = _Clock(before, now, missed=plan.since != since)
    return Notice(
        release=now.release(),
        policy=now.policy,
        added=_additions(plan, clock, first=first),
        ended=(
            *_grouped(plan.removed, lambda name: _reason(decisions, name, clock)),
            *_grouped(plan.lapsed, lambda name: _reason(decisions, name, clock)),
        ),
        renewed=len(plan.renewed),
        requested=tuple(
            entry for entry in now.requests if _is_new(entry, before) and (not first or entry.outcome != "removed")
        ),
        answered=tuple(entry for entry in now.requests if before and _has_changed(entry, before)),
        policy_changed=plan.policy_changed,
        covered=_covered(plan, now),
        first=first,
        missed=clock.missed and not first,
    )


def _is_new(request: Request, before: Snapshot | None) -> bool:
    return before is None or request.ref.seq > before.head.seq


def _has_changed(request: Request, before: Snapshot) -> bool:
    """Whether something came back to a request since; one that only a longer review period shows again has not."""
    known = {entry.ref: entry for entry in before.requests}.get(request.ref)
    told = known != request if known else request.changed >= before.instant
    return told and not _is_new(request, before)


@dataclass(frozen=True, slots=True)
class _Clock:
    """From when on the time to act runs: from the release that first showed a change (décret 2015-125 art. 3 and 4).

    Somebody who missed that release is told the earliest instant at which it can have been made: it is later than
    the one that this reader knows, and not earlier than the decision.
    """

    before: Snapshot | None
    now: Snapshot
    missed: bool

    def deadline(self, decided: datetime | None) -> datetime:
        """By when to act on what was decided at that instant."""
        if not self.missed:
            return self.now.instant + DELAY
        known = self.before.instant if self.before else decided or self.now.instant
        return min(self.now.instant, max(decided or known, known)) + DELAY

    def added(self, name: Name) -> datetime:
        """By when to block a name."""
        measure = self.now.measures.get(name)
        return self.deadline(measure.since if measure else None)


def _reason(decisions: Measures, name: Name, clock: _Clock) -> tuple[str, datetime]:
    """Why a name ended, and by when to restore access."""
    last = decisions.get(name)
    if last is not None and last.ended is not None:
        return last.reason or "protected", clock.deadline(last.ended)
    if last is not None and last.state(clock.now.instant) is State.LAPSED:
        return "lapsed", clock.deadline(last.review_by)
    return "protected", clock.deadline(None)


def _grouped(names: Names, key: Callable[[Name], tuple[str, datetime]]) -> list[Change]:
    """Names in groups of the same reason and deadline, the most urgent first."""
    groups: dict[tuple[str, datetime], tuple[list[str], list[str]]] = {}
    for place, (scope, texts) in enumerate(names.by_scope()):
        for text in texts:
            groups.setdefault(key(Name(text, scope)), ([], []))[place].append(text)
    order = sorted(groups, key=lambda entry: (entry[1], entry[0]))
    return [Change(why, Names(*map(tuple, groups[why, deadline])), deadline) for why, deadline in order]


def _additions(plan: Plan, clock: _Clock, *, first: bool) -> tuple[Change, ...]:
    if clock.missed and not first:
        return tuple(_grouped(plan.added, lambda name: ("", clock.added(name))))
    # All alike, and perhaps a million: no need to look at each.
    return (Change("", plan.added, clock.now.instant + DELAY),) if first or len(plan.added) else ()


def _covered(plan: Plan, now: Snapshot) -> frozenset[Name]:
    """The names that ended and are still blocked, because a domain above them is listed."""
    ended = (name for names in (plan.removed, plan.lapsed) for name in names.each())
    return frozenset(name for name in ended if nearest(name.text, now.measures.domain.keys()))


def _answer(request: Request) -> str:
    return _(
        _ANSWERS[str(request.outcome)],
        act=request.ref.seq,
        recipient=_(_RECIPIENTS[request.to]),
        clock=shown(request.clock),
    )


def _cited(article: str) -> str:
    return f" ({article})" if article else ""


def _listed(sign: str, names: Names, limit: int, remark: Callable[[Name], str]) -> Iterator[str]:
    """One line a name, at most `limit` of them; the rest is counted."""
    each = (Name(text, scope) for scope, texts in names.by_scope() for text in texts)
    yield from (f"  {sign} {name.text} ({name.scope}){remark(name)}" for name in islice(each, limit))
    if len(names) > limit:
        yield "  " + plural("… and {count} more", "… and {count} more", len(names) - limit)
