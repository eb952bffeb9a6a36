"""`plan` and `publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklist.cli.common import Settings, Verb, clock, counted, fail, finish, say, workspace
from blocklist.cli.output import progress
from blocklist.cli.plans import counts, plan_members, print_plan, show_braked
from blocklist.messages import _
from blocklist.notifying import NotifyError
from blocklist.publishing import draft, publish
from blocklist.release import BrakeError, announcement

if TYPE_CHECKING:
    from blocklist.publishing import Draft, Result


@click.command("plan", cls=Verb, short_help="Show what a publish would do, and what brakes it.")
@click.pass_obj
def plan_command(settings: Settings) -> None:
    """Show what a publish would change and announce, and why it would be braked."""
    made = draft(workspace(settings), clock(), progress)
    notice = made.notice()
    if settings.json:
        announced = [announcement(request) for request in notice.requests]
        more = {"announced": announced, "due": made.due, "braked": list(made.braked)}
        finish(settings, {**plan_members(made.plan), **more})
        return
    print_plan(made.plan)
    for line in notice.request_lines():
        click.echo(line)
    _say_brakes(made)


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
    which names were added, have ended or lapsed, and which removals were requested since it was told last.
    """
    here = workspace(settings)
    here.only_list()  # or the first complaint would be about the lock file
    try:
        result = publish(here, clock(), accept, notify, progress)
    except BrakeError as error:
        show_braked(settings, error)
        raise
    plan = result.draft.plan
    members = {"release": result.number, "path": str(result.path), "changed": result.changed, **plan_members(plan)}
    finish(settings, {**members, "notified": result.notified}, _said(result, notify))
    if result.failure is not None:
        if isinstance(result.failure, NotifyError) and result.failure.output:
            say(result.failure.output)
        fail(result.failure)


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
