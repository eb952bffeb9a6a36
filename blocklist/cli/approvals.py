"""`approve` and `reject`: the second signature."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import click

from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import _, preferred, shown
from blocklist.cli.commands import Settings, Verb, describe, say_findings, scopes, signing_office, yes_option
from blocklist.cli.terminal import ask, can_ask, confirmed, finish, say
from blocklist.names.domain_name import Name, Scope
from blocklist.office.approve import approve, reject, require_approvable, waiting_for
from blocklist.office.history import event
from blocklist.office.propose import GuardError
from blocklist.office.vocabulary import details_of, said, sentence
from blocklist.register import acts
from blocklist.register.policy import unnamed
from blocklist.register.policy_diff import describe_adoption

if TYPE_CHECKING:
    from blocklist.office.session import Session
    from blocklist.register.lifecycle import Pending


@click.command("approve", cls=Verb, short_help="Approve what other officers proposed.")
@click.argument("numbers", nargs=-1, type=int, metavar="[SEQ...]")
@yes_option
@click.pass_obj
def approve_command(settings: Settings, numbers: tuple[int, ...]) -> None:
    """Approve acts of other officers; without a number, go through what waits for you."""
    with signing_office(settings) as opened:
        waiting = [opened.pending(seq) for seq in numbers] if numbers else waiting_for(opened)
        if not numbers and waiting and not can_ask(settings):
            numbered = ", ".join(str(entry.ref.seq) for entry in waiting)
            raise UsageError(
                _("no terminal to ask about what waits for you: {numbers}", numbers=numbered),
                _("name the acts to approve"),
            )
        if not numbers:
            waiting = [entry for entry in waiting if _is_approvable(opened, entry)]
        wanted = [entry.ref.seq for entry in waiting if _confirmed(settings, opened, entry)]
        try:
            signed = approve(opened, *wanted, unless_gone=not numbers) if wanted else []
        except GuardError as error:
            say_findings(error)
            raise
        names: list[Name] = []
        for approved in signed:
            body = approved.act.body
            if isinstance(body, acts.Approve):
                names += body.names.each() if body.names is not None else []
                say(_done(opened, approved.act.seq, body.act.seq))
        members: dict[str, object] = {
            "act": signed[-1].act.seq if signed else None,
            "acts": [entry.act.seq for entry in signed],
            "names": [name.text for name in names],
            "scopes": scopes(names),
        }
        nothing = _("nothing was approved") if waiting else _("nothing waits for you")
        finish(settings, members, "" if signed else nothing)


def _done(opened: Session, seq: int, approved: int) -> str:
    if approved in opened.register.pending:
        return _("act {seq}: act {approved} approved; waits for more approvals", seq=seq, approved=approved)
    if isinstance(opened.act(approved).act.body, acts.Add):
        return _("act {seq}: act {approved} approved; in force with the next release", seq=seq, approved=approved)
    return _("act {seq}: act {approved} approved; in effect now", seq=seq, approved=approved)


def _is_approvable(opened: Session, entry: Pending) -> bool:
    """Of what waits, what this officer can approve; the reason of the rest is said."""
    try:
        require_approvable(opened, entry)
    except BlocklistError as reason:
        say(_("act {seq} is left out: {message}", seq=entry.ref.seq, message=reason.message))
        return False
    return True


def _confirmed(settings: Settings, opened: Session, entry: Pending) -> bool:
    """Show in full what would be signed, and ask; nothing is signed before the last answer."""
    require_approvable(opened, entry)
    say(
        _(
            "act {seq}, {at}, by {by}: {kind}",
            seq=entry.ref.seq,
            at=shown(entry.act.at),
            by=entry.act.by,
            kind=entry.act.body.kind,
        )
    )
    for line in _in_full(opened, entry):
        say(f"  {line}")
    return confirmed(settings, _("Approve act {seq}?", seq=entry.ref.seq))


def _in_full(opened: Session, entry: Pending) -> Iterator[str]:
    """All that the second officer signs for: what the act says, and what its dossier holds."""
    body, policy = entry.act.body, opened.register.policy
    yield sentence(body)
    if isinstance(body, acts.Add):
        ground = policy.grounds[body.ground]
        yield _("ground: {text} ({article})", text=ground.texts[preferred()], article=ground.article)
        yield _("basis: {basis}", basis=said(body.basis))
        for ref in body.requests or ():
            yield from _request_in_full(opened, ref.seq)
        yield from _unnamed(opened, entry, body)
    if isinstance(body, acts.Adopt):
        yield from describe_adoption(opened.register, body, opened.now)
    yield from details_of(opened.dossier_of(entry.ref.seq), policy, body)
    opened_names = opened.proposed_names(entry)
    if opened_names is not None:
        names = opened_names[0].each()
        for name in names:
            yield from _judgment(opened, name)
        yield _("names:")
        yield describe(opened, names, None).removeprefix("  ")


def _request_in_full(opened: Session, seq: int) -> Iterator[str]:
    """A removal request that is cited, and what came back."""
    for number in opened.index.reached_from([seq]):
        happened = event(opened, opened.act(number))
        said_by = _("{by}: {what}", by=happened.by, what=happened.what)
        yield f"{happened.seq}  {shown(happened.at)}  {said_by}"
        yield from (f"    {line}" for line in happened.details)


def _unnamed(opened: Session, entry: Pending, body: acts.Add) -> Iterator[str]:
    """Names that no request named: of a site that moved, or of another one."""
    proposed, requests = opened.proposed_names(entry), opened.register.requests
    for name in unnamed(proposed[0].each(), body.requests, requests) if proposed and body.requests else ():
        yield _("NOT NAMED by these requests: {name}", name=name.text)


def _judgment(opened: Session, name: Name) -> Iterator[str]:
    """What a court said about a name that is to be listed again, or about one above or below it."""
    measures = opened.register.measures()
    texts = {name.text, *opened.register.annulled_near(name.text)}
    for text, scope in product(sorted(texts), Scope):
        measure = measures.get(Name(text, scope))
        if measure is None or measure.reason not in ("annulled", "suspended") or measure.ended_by is None:
            continue
        happened = event(opened, opened.act(measure.ended_by))
        at, what = shown(happened.at), happened.what
        if measure.reason == "annulled":
            yield _("ANNULLED: act {seq}, {at}, by {by}: {what}", seq=happened.seq, at=at, by=happened.by, what=what)
        else:
            yield _("SUSPENDED: act {seq}, {at}, by {by}: {what}", seq=happened.seq, at=at, by=happened.by, what=what)
        yield from (f"  {line}" for line in happened.details)


@click.command("reject", cls=Verb)
@click.argument("number", type=int, metavar="SEQ")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the confidential dossier.")
@yes_option
@click.pass_obj
def reject_command(settings: Settings, number: int, reason: str) -> None:
    """Reject a pending act, or withdraw your own."""
    with signing_office(settings) as opened:
        entry = opened.pending(number)
        ask(
            settings,
            _("Reject act {number} ({kind} by {by})?", number=number, kind=entry.act.body.kind, by=entry.act.by),
        )
        signed = reject(opened, number, reason)
        text = _("act {seq}: act {rejected} rejected", seq=signed.act.seq, rejected=number)
        finish(settings, {"act": signed.act.seq, "rejected": number}, text)
