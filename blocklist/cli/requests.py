"""`request` and `answer`: what host, publisher or platform were asked, and what came back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import (
    Settings,
    Verb,
    describe,
    evidence_option,
    finish_names,
    name_arguments,
    note_option,
    read_name,
    read_time,
    signing_office,
    yes_option,
)
from blocklist.cli.terminal import ask, finish, say
from blocklist.office.propose import findings
from blocklist.office.removal_requests import answer, request
from blocklist.office.vocabulary import said
from blocklist.register import acts


@click.command("request", cls=Verb, short_help="State that somebody was asked to remove content.")
@name_arguments
@click.option("--to", "recipient", type=click.Choice(acts.RECIPIENTS), required=True, help="Who was asked.")
@click.option("--contact", required=True, metavar="TEXT", help="Address, form or telephone that was used.")
@click.option("--url", "urls", multiple=True, metavar="URL", help="A page that is meant; may be given again.")
@evidence_option
@note_option
@yes_option
@click.pass_obj
def request_command(
    settings: Settings,
    names: tuple[str, ...],
    recipient: str,
    contact: str,
    urls: tuple[str, ...],
    evidence: tuple[Path, ...],
    note: str,
) -> None:
    """State that a host, a publisher or a platform was asked to remove content: the notice period begins.

    Providers are informed with the next release; names asked of a platform stay confidential.
    """
    with signing_office(settings) as opened:
        wanted = [read_name(settings, opened, text, None) for text in names]
        say(describe(opened, wanted))
        for finding in findings(opened, wanted) if recipient != "platform" else ():
            say(_("could not be blocked: {message}", message=finding.message))
        ask(settings, _("State that {recipient} was asked now?", recipient=said(recipient)))
        signed = request(opened, wanted, recipient, contact, urls, note, evidence)
        over = signed.act.at + timedelta(seconds=opened.register.policy.notice)
        if recipient == "platform":
            text = _("act {seq}: the platform was asked; its names stay confidential", seq=signed.act.seq)
        else:
            text = plural(
                "act {seq}: {recipient} was asked about {count} name; the notice ends {over}",
                "act {seq}: {recipient} was asked about {count} names; the notice ends {over}",
                len(set(wanted)),
                seq=signed.act.seq,
                recipient=said(recipient),
                over=shown(over),
            )
        finish_names(settings, signed.act.seq, wanted, text)


@click.command("answer", cls=Verb, short_help="State what came back to a removal request.")
@click.argument("number", type=int, metavar="SEQ")
@click.option(
    "--outcome", type=click.Choice(acts.ANSWERS), required=True, help="A clarification lets the notice begin anew."
)
@click.option(
    "--observed", callback=read_time, metavar="TIME", help="When the content was seen to be gone; in Paris, or with Z."
)
@note_option
@evidence_option
@yes_option
@click.pass_obj
def answer_command(
    settings: Settings, number: int, outcome: str, observed: datetime | None, note: str, evidence: tuple[Path, ...]
) -> None:
    """State what came back to removal request SEQ; once the content is removed, it is closed.

    A request that could not be delivered is closed too: a new one has its own notice.
    """
    with signing_office(settings) as opened:
        opened.open_request(number)
        ask(settings, _("Answer to request {seq}: {outcome}?", seq=number, outcome=said(outcome)))
        signed = answer(opened, number, outcome, note, evidence, observed)
        members: dict[str, object] = {"act": signed.act.seq, "request": number, "outcome": outcome}
        text = _(
            "act {seq}: answer to request {request}: {outcome}",
            seq=signed.act.seq,
            request=number,
            outcome=said(outcome),
        )
        finish(settings, members, text)
