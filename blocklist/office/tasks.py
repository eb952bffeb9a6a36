"""What has to be done on a list, the most urgent first, each with the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import _, plural, shown
from blocklist.names.domain_name import Name
from blocklist.office.queries import guarded, withheld
from blocklist.office.session import Session
from blocklist.office.vocabulary import brief, said
from blocklist.publisher.tree import Repository
from blocklist.register import acts
from blocklist.register.decoders import format_instant
from blocklist.register.lifecycle import Measure, Measures, Pending, Request, Stage, State

_PUBLISHED_WITHIN = timedelta(hours=1)
"""The publisher runs every few minutes; a decision that is not out after this long is held up by something."""

_TOGETHER = 20
"""Names of one decision that one command line takes."""

_TOLD = (acts.Review, acts.Request, acts.Answer)
"""Acts that a release always shows, beside the measures themselves and the policy."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do.

    Attributes:
        by: Until when; it is overdue from then on.
        what: What, in words.
        command: The command that does it, without the program's name. It is filled in as far as can be: a word in
            capitals (OUTCOME, TEXT) is for the officer, and the command refuses it as it stands.
        must: False for what the law only allows: it never counts as overdue.
    """

    by: datetime
    what: str
    command: str
    must: bool = True

    def overdue(self, now: datetime) -> bool:
        """Whether the time is up."""
        return self.must and self.by <= now

    def to_json(self, now: datetime, program: str) -> dict[str, object]:
        """For `--json`; `program` comes before the command."""
        return {
            "by": format_instant(self.by),
            "overdue": self.overdue(now),
            "what": self.what,
            "command": f"{program} {self.command}",
        }


def tasks(opened: Session, within: timedelta | None = None) -> list[Task]:
    """Everything that is due at most `within` from now (by default the policy's time of warning), by urgency."""
    horizon = opened.now + (timedelta(seconds=opened.register.policy.warn) if within is None else within)
    in_force = opened.register.in_force(opened.now)
    waiting = {name for _entry, names in opened.waiting_names() for name in names}
    found = (
        *_reviews(in_force, horizon),
        *_lapses(opened, waiting),
        *_approvals(opened, in_force, waiting),
        *_requests(opened, in_force, waiting),
        *_closed(opened, in_force),
        *_recommendations(opened),
        *_irregular(opened, in_force),
        *_publications(opened, in_force),
    )
    return sorted((task for task in found if task.by <= horizon), key=lambda task: (not task.must, task.by))


def _recent(opened: Session) -> datetime:
    """What ended before this is no news any more: as long ago as a review is announced ahead."""
    return opened.now - timedelta(seconds=opened.register.policy.warn)


def _command(*words: object) -> str:
    return shlex.join(map(str, words))


# Measures


def _reviews(in_force: Measures, horizon: datetime) -> Iterator[Task]:
    for measure, texts in _together(in_force, lambda measure: measure.review_by <= horizon):
        what = plural(
            "verify {names} again: the measure lapses at its review date",
            "verify {names} again: the measures lapse at their review date",
            len(texts),
            names=", ".join(texts),
        )
        yield Task(measure.review_by, what, _command("review", *texts, "--outcome", "OUTCOME"))


def _lapses(opened: Session, waiting: AbstractSet[Name]) -> Iterator[Task]:
    """A lapse is never silent: it is overdue until somebody proposes the name again, or it is no news any more."""
    recent, again = _recent(opened), {name.text for name in waiting}

    def has_lapsed(measure: Measure) -> bool:
        return measure.state(opened.now) is State.LAPSED and measure.review_by > recent

    for measure, texts in _together(opened.register.measures(), has_lapsed):
        left = [text for text in texts if text not in again]
        if left:
            what = plural(
                "{names} lapsed and is not blocked any more; if the site is still unlawful, propose it again",
                "{names} lapsed and are not blocked any more; if the sites are still unlawful, propose them again",
                len(left),
                names=", ".join(left),
            )
            yield Task(measure.review_by, what, _command("add", *left, "--like", left[0]))


def _together(measures: Measures, wanted: Callable[[Measure], bool]) -> Iterator[tuple[Measure, list[str]]]:
    """Names that were decided by the same acts, sorted, a command line's worth at a time."""
    found: dict[int, tuple[list[str], Measure]] = {}
    for _scope, named in measures.by_scope():
        for text, measure in named.items():
            if id(measure) in found:
                found[id(measure)][0].append(text)
            elif wanted(measure):
                found[id(measure)] = ([text], measure)
    groups = ((sorted(texts), measure) for texts, measure in found.values())
    for texts, measure in sorted(groups, key=itemgetter(0)):
        for start in range(0, len(texts), _TOGETHER):
            yield measure, texts[start : start + _TOGETHER]


def _irregular(opened: Session, in_force: Measures) -> Iterator[Task]:
    """Listed names that could not be listed any more: a guard refuses them now, or the policy protects them."""
    for finding in guarded(opened, in_force):
        what = _("listed against a guard: {message}", message=finding.message)
        yield Task(opened.now, what, _command("remove", finding.name, "--reason", "error"))
    for name in withheld(opened, in_force):
        what = _("{name} is listed and withheld from every release: it is protected now", name=name.text)
        yield Task(opened.now, what, _command("remove", name.text, "--reason", "error"))


# Acts that wait for an answer


def _approvals(opened: Session, in_force: Measures, waiting: AbstractSet[Name]) -> Iterator[Task]:
    for entry in opened.register.pending.values():
        seq, by = entry.ref.seq, entry.act.by
        if entry.stage(opened.now) is Stage.PENDING:
            yield _waiting(opened, entry)
        elif entry.until > _recent(opened) and (names := _proposed_still(opened, entry, in_force, waiting)):
            what = _("act {seq} by {by} waited seven days for an approval and has lapsed: make it anew", seq=seq, by=by)
            yield Task(entry.until, what, _command("add", *names, "--like", seq))


def _waiting(opened: Session, entry: Pending) -> Task:
    kind, seq, by = entry.act.body.kind, entry.ref.seq, entry.act.by
    closed = [ref.seq for ref in getattr(entry.act.body, "requests", None) or () if opened.is_closed(ref.seq)]
    if closed:
        what = _(
            "act {seq} by {by} cannot be approved: request {request} is closed; reject it",
            seq=seq,
            by=by,
            request=closed[0],
        )
        return Task(entry.until, what, _command("reject", seq, "--reason", f"request {closed[0]}"))
    what = _("act {seq} ({kind} by {by}) waits for another officer's approval", seq=seq, kind=kind, by=by)
    return Task(entry.until, what, _command("approve", seq))


def _proposed_still(opened: Session, entry: Pending, in_force: Measures, waiting: AbstractSet[Name]) -> list[str]:
    """The names of an expired proposal that nobody proposed again; what this account cannot read is no task of its."""
    try:
        proposed = opened.proposed_names(entry)
    except BlocklistError:
        return []
    names = proposed[0].each() if proposed else []
    return [name.text for name in names if name not in waiting and in_force.get(name) is None]


def _requests(opened: Session, in_force: Measures, waiting: AbstractSet[Name]) -> Iterator[Task]:
    done = in_force.domain.keys() | in_force.host.keys() | {name.text for name in waiting}
    for request in opened.register.requests.values():
        over = request.clock + timedelta(seconds=opened.register.policy.notice)
        asked = [*request.names.domain, *request.names.host] if request.names else []
        open_names = [text for text in asked if text not in done]
        if request.stage in (Stage.WAITING, Stage.CLARIFIED):
            yield _unanswered(request, over)
        elif not request.is_closed and open_names and over > _recent(opened):
            yield _unfollowed(request, over, open_names[:_TOGETHER])


def _unanswered(request: Request, over: datetime) -> Task:
    seq, command = request.ref.seq, _command("answer", request.ref.seq, "--outcome", "OUTCOME")
    if request.to == "platform":
        return Task(over, _("state what came back to request {seq} to the platform", seq=seq), command, must=False)
    what = _(
        "state what came back to request {seq} to {recipient}; the notice ends {over}",
        seq=seq,
        recipient=said(request.to),
        over=shown(over),
    )
    return Task(over, what, command)


def _closed(opened: Session, in_force: Measures) -> Iterator[Task]:
    """Measures whose addition cites a request that was closed since."""
    cited = {seq: opened.index.leads.get(seq, ()) for seq in {measure.added for measure in _each(in_force)}}
    closed = {added: [seq for seq in seqs if opened.is_closed(seq)] for added, seqs in cited.items()}
    for measure, texts in _together(in_force, lambda measure: bool(closed[measure.added])):
        seq, names = closed[measure.added][0], ", ".join(texts)
        if opened.register.requests[seq].stage is Stage.FOLLOWED:
            what = _(
                "the content that request {seq} was about is removed, and {names} is still blocked: verify it again",
                seq=seq,
                names=names,
            )
        else:
            what = _(
                "request {seq} was never delivered, and {names} is still blocked: verify it again", seq=seq, names=names
            )
        yield Task(opened.now, what, _command("review", *texts, "--outcome", "OUTCOME"))


def _each(measures: Measures) -> Iterator[Measure]:
    return (measure for _scope, named in measures.by_scope() for measure in named.values())


def _unfollowed(request: Request, over: datetime, names: list[str]) -> Task:
    what = _(
        "request {seq} to {recipient} was not followed: {names} can be proposed from {over} on",
        seq=request.ref.seq,
        recipient=said(request.to),
        names=", ".join(names),
        over=shown(over),
    )
    command = _command("add", *names, "--basis", "not-removed", "--ground", "GROUND", "--ref", "REFERENCE")
    return Task(over, what, command, must=False)


def _recommendations(opened: Session) -> Iterator[Task]:
    for entry in opened.register.recommendations.values():
        if entry.stage is Stage.OPEN:
            at, seq = opened.act(entry.ref.seq).act.at, entry.ref.seq
            about = brief(entry.names) if entry.names else _("a general remark")
            what = _("answer recommendation {seq} of the qualified person: {about}", seq=seq, about=about)
            yield Task(at, what, _command("respond", seq, "--ANSWER", "--text", "TEXT"))


# The publisher


def _publications(opened: Session, in_force: Measures) -> Iterator[Task]:
    current, register = Repository.of(opened.workspace).current(opened.list_id), opened.register
    command = _command("publish")
    since = datetime.fromtimestamp(current.number, UTC) if current else None
    waiting = min(_unpublished(opened, in_force, current.head.seq if current else 0, since), default=None)
    if waiting is not None:
        what = _(
            "what was decided at {at} is in no release yet; the publisher runs every few minutes", at=shown(waiting)
        )
        yield Task(waiting + _PUBLISHED_WITHIN, what, command)
    if since is not None:
        until = since + timedelta(seconds=register.policy.freshness)
        if opened.now >= since + (until - since) / 2 + _PUBLISHED_WITHIN:
            yield Task(
                until, _("the last release ends {until}, and should have been renewed", until=shown(until)), command
            )


def _unpublished(opened: Session, in_force: Measures, published: int, since: datetime | None) -> Iterator[datetime]:
    """When what no release shows happened: what began, ended or lapsed since the last one, and what it announces."""
    register = opened.register
    yield from (at for at, _policy in register.policies[1:] if since is not None and at > since)
    for seq in range(published + 1, register.head.seq + 1):
        act = opened.act(seq).act
        if isinstance(act.body, _TOLD):
            yield act.at
            break
    for scope, named in register.measures().by_scope():
        for text, measure in named.items():
            if measure.approved > published and in_force.get(Name(text, scope)) is not None:
                yield measure.since
            elif since is not None and measure.approved <= published:
                acted = measure.ended is not None and (measure.ended_by or 0) > published
                end = measure.ended or measure.review_by
                # An act of the very second of the release came after it: the number of its head says so.
                if since < end <= opened.now or (acted and end == since):
                    yield end
