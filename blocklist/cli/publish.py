"""`plan` and `publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import Settings, Verb, clock, office, workspace
from blocklist.cli.terminal import (
    complain,
    counted,
    counts,
    fail,
    finish,
    plan_members,
    print_totals,
    progress,
    say,
    show_braked,
    table,
)
from blocklist.names.domain_name import both_forms
from blocklist.office.queries import against_rules
from blocklist.office.vocabulary import said
from blocklist.publisher.explain import changes_of
from blocklist.publisher.outbox import NotifyError
from blocklist.publisher.publish import draft, publish
from blocklist.release.contents import BrakeError, announcement
from blocklist.release.notices import SHOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocklist.publisher.explain import Change
    from blocklist.publisher.publish import Draft, Result
    from blocklist.release.notices import Notice


@click.command("plan", cls=Verb, short_help="Show what a publish would do and why, and what brakes it.")
@click.pass_obj
def plan_command(settings: Settings) -> None:
    """Show what a publish would change and announce, by which act or date, and why it would be braked.

    What is listed against a guard is shown too: a name that is published stays until an officer ends it. Where the last
    acts do not verify, what the valid acts before them say is shown, and the exit code is 3.
    """
    made = draft(workspace(settings), clock(), progress)
    notice, changes = made.notice(), list(changes_of(made))
    warnings = []
    if made.bad is None:  # else the register does not open
        with office(settings) as opened:
            warnings = list(against_rules(opened, made.now.measures))
    if settings.json:
        announced = [announcement(request) for request in notice.requests]
        more = {"announced": announced, "due": made.due, "braked": list(made.braked), "warnings": warnings}
        finish(settings, {**plan_members(made.plan), "changes": [change.to_json() for change in changes], **more})
    else:
        _show(made, notice, changes, warnings)
    if made.bad is not None:
        fail(made.bad)


def _show(made: Draft, notice: Notice, changes: Sequence[Change], warnings: Sequence[str]) -> None:
    """What would be published, for people."""
    if changes:
        table(("", _("NAME"), _("SCOPE"), _("WHY")), map(_row, changes[: 2 * SHOWN]))
    if len(changes) > 2 * SHOWN:
        click.echo(plural("… and {count} more", "… and {count} more", len(changes) - 2 * SHOWN))
    print_totals(made.plan)
    for line in notice.request_lines():
        click.echo(line)
    for warning in warnings:
        say(_("warning: {warning}", warning=warning))
    _say_brakes(made)


def _row(change: Change) -> tuple[str, str, str, str]:
    """A line of the table: what happens to a name, and the act or the date that says so."""
    name, scope = both_forms(change.name.text), str(change.name.scope)
    until = shown(change.review_by) if change.review_by else "-"
    if change.what == "added":
        why = _("act {seq}: ground {ground}, until {until}", seq=change.act, ground=change.code, until=until)
        return "+", name, scope, why
    if change.what == "lapsed":
        return "-", name, scope, _("lapsed {until}: nobody verified it again", until=until)
    if change.act is None:
        return "-", name, scope, _("the policy protects it")
    return "-", name, scope, _("act {seq}: {reason}", seq=change.act, reason=said(change.code))


def _say_brakes(made: Draft) -> None:
    for reason in made.braked:
        say(_("braked: {reason}", reason=reason))
    if made.braked:
        say(_("if this is meant: blocklist publish --accept {checksum}", checksum=made.plan.checksum))
    elif not made.due:
        say(_("nothing is to be published"))


@click.command("publish", cls=Verb, short_help="Make a release, if anything is to be published.")
@click.option("--accept", metavar="CHECKSUM", help="Let exactly this plan pass the brakes.")
@click.option("--notify", metavar="COMMAND", help="Hand what is new to this command, on its standard input.")
@click.pass_obj
def publish_command(settings: Settings, accept: str | None, notify: str | None) -> None:
    """Make a release, if anything changed or half of the last one's validity has gone.

    Signs with the publisher's keys; no officer takes part. With --notify the command is told, in French and in English,
    which names were added, have ended or lapsed, and which removals were requested since it was told last. Where the
    last acts do not verify, what the valid acts before them say is published, and the exit code is 3.
    """
    here = workspace(settings)
    here.only_list()  # or the first complaint would be about the lock file
    try:
        result = publish(here, clock(), accept, notify, progress)
    except BrakeError as error:
        show_braked(settings, error)
        raise
    plan = result.draft.plan
    members = {"release": result.number, "path": str(result.path), "changed": result.changed}
    changes = plan_members(plan) if settings.json else {}  # a million names and their checksum, for nobody else
    finish(settings, {**members, **changes, "notified": result.notified}, _said(result, notify))
    failure, bad = result.failure, result.draft.bad
    if isinstance(failure, NotifyError) and failure.output:
        say(failure.output)
    if bad is not None and failure is not None:
        complain(failure)
    fault = bad or failure
    if fault is not None:
        fail(fault)


def _said(result: Result, notify: str | None) -> str:
    name = result.path.name
    if result.changed:
        text = _(
            "release {name} published: {names}; {changes}",
            name=name,
            names=counted(len(result.draft.now.measures)),
            changes=counts(result.draft.plan),
        )
        text += f"\n  {result.path}"
    else:
        text = _("nothing is to be published; release {name} is current", name=name)
    if result.notified:
        text += "\n  " + _("what is new was handed to {command}", command=notify)
    return text
