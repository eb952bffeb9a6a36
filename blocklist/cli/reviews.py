"""`due` and `review`: what has to be done, and the quarterly verification (décret 2015-125 art. 4)."""

from __future__ import annotations

import shlex
import textwrap
from datetime import datetime, timedelta
from pathlib import Path

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import (
    Settings,
    Verb,
    date_option,
    evidence_option,
    finish_names,
    name_arguments,
    office,
    signing_office,
    yes_option,
)
from blocklist.cli.terminal import ask, finish, say, urgent
from blocklist.office.review import review
from blocklist.office.tasks import Task, tasks
from blocklist.office.vocabulary import said
from blocklist.register import acts
from blocklist.register.policy_reader import read_duration


def _read_within(_context: click.Context, _parameter: click.Parameter, text: str | None) -> timedelta | None:
    """A time such as 2w."""
    seconds = read_duration(text)
    if text is not None and seconds is None:
        raise click.BadParameter(_("{text!r} is not a time such as 24h, 10d or 2w", text=text[:80]))
    return None if seconds is None else timedelta(seconds=seconds)


@click.command("due", cls=Verb, short_help="List what has to be done, the most urgent first.")
@click.option("--within", callback=_read_within, metavar="TIME", help="How far ahead; by default as the policy warns.")
@click.pass_context
def due_command(context: click.Context, within: timedelta | None) -> None:
    """List what has to be done, the most urgent first, each with the command that does it.

    Exit code 1 when something is overdue, else 0.
    """
    settings = context.ensure_object(Settings)
    with office(settings) as opened:
        found, now = tasks(opened, within), opened.now
    program = shlex.join(["blocklist", *_where(settings)])
    overdue = [task for task in found if task.overdue(now)]
    if settings.json:
        finish(settings, {"overdue": len(overdue), "tasks": [task.to_json(now, program) for task in found]})
    for task in found if not settings.json else ():
        _print_task(task, now, program)
    if not found and not settings.json:
        say(_("nothing is due"))
    context.exit(1 if overdue else 0)


def _where(settings: Settings) -> list[str]:
    """The options that name workspace, list and database, as they were given."""
    folder = ["-C", str(settings.folder)] if settings.folder != Path() else []
    named = {"--list": settings.list_id, "--store": settings.store}
    return [*folder, *(word for name, value in named.items() if value for word in (name, value))]


def _print_task(task: Task, now: datetime, program: str) -> None:
    ahead = _("by") if task.must else _("possible from")
    mark = urgent(_("overdue since")) if task.overdue(now) else ahead
    click.echo(f"{mark} {shown(task.by)}")
    for line in textwrap.wrap(task.what, 76, break_long_words=False, break_on_hyphens=False):
        click.echo(f"    {line}")
    click.echo(f"    $ {program} {task.command}")


@click.command("review", cls=Verb, short_help="State that sites were verified again.")
@name_arguments
@click.option("--outcome", type=click.Choice(acts.OUTCOMES), required=True, help="What the verification found.")
@date_option
@click.option("--note", default="", metavar="TEXT", help="The finding; kept in the confidential dossier.")
@evidence_option
@yes_option
@click.pass_obj
def review_command(
    settings: Settings,
    names: tuple[str, ...],
    outcome: str,
    review_by: datetime | None,
    note: str,
    evidence: tuple[Path, ...],
) -> None:
    """State that sites were verified again: a later review date, or the end of their measures."""
    with signing_office(settings) as opened:
        wanted = [opened.known_name(text) for text in names]
        count, found = len(set(wanted)), said(outcome)
        ask(
            settings,
            plural(
                "State that {count} name was verified: {found}?",
                "State that {count} names were verified: {found}?",
                count,
                found=found,
            ),
        )
        signed = review(opened, wanted, outcome, review_by, note, evidence)
        body = signed.act.body
        until = body.review_by if isinstance(body, acts.Review) else None
        then = _("until {until}", until=shown(until)) if until else _("gone with the next release")
        text = plural(
            "act {seq}: {count} name reviewed, {found}; {then}",
            "act {seq}: {count} names reviewed, {found}; {then}",
            count,
            seq=signed.act.seq,
            found=found,
            then=then,
        )
        finish_names(settings, signed.act.seq, wanted, text)
