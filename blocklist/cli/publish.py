"""`plan` and `publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklist.cli.common import Settings, Verb, clock, counted, finish, say, workspace
from blocklist.messages import _
from blocklist.publishing import draft, publish
from blocklist.release import BrakeError

if TYPE_CHECKING:
    from blocklist.publishing import Draft
    from blocklist.release import Plan

_SHOWN = 50


def plan_members(plan: Plan) -> dict[str, object]:
    """A plan as JSON: the names that are added, removed by acts and lapsed, and the checksum that accepts it."""
    return {
        "checksum": plan.checksum,
        "added": [*plan.added.domain, *plan.added.host],
        "removed": [*plan.removed.domain, *plan.removed.host],
        "lapsed": [*plan.lapsed.domain, *plan.lapsed.host],
    }


def print_plan(plan: Plan) -> None:
    """A plan for people, on standard output."""
    changes = [("+", plan.added, "added"), ("-", plan.removed, "removed"), ("-", plan.lapsed, "lapsed")]
    for sign, names, how in changes:
        named = [(text, scope) for scope, texts in names.by_scope() for text in texts[:_SHOWN]]
        for text, scope in named[:_SHOWN]:
            click.echo(f"{sign} {text} ({scope}) {how}")
        if len(names) > _SHOWN:
            click.echo(f"{sign} … and {len(names) - _SHOWN} more {how}")
    click.echo(f"{counts(plan)}; {counted(plan.before)} before; checksum {plan.checksum}")


def show_braked(settings: Settings, error: BrakeError) -> None:
    """The plan that the brakes stopped, before the error that says so."""
    if settings.json:
        finish(settings, plan_members(error.plan))
    else:
        print_plan(error.plan)


def counts(plan: Plan) -> str:
    """How many names a plan changes, in words."""
    parts = {"added": plan.added, "removed": plan.removed, "lapsed": plan.lapsed, "renewed": plan.renewed}
    return ", ".join(f"{len(names)} {what}" for what, names in parts.items())


@click.command("plan", cls=Verb)
@click.pass_obj
def plan_command(settings: Settings) -> None:
    """Show what a publish would change, and why it would be braked."""
    made = draft(workspace(settings), clock())
    if settings.json:
        finish(settings, {**plan_members(made.plan), "due": made.due, "braked": list(made.braked)})
        return
    print_plan(made.plan)
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
@click.pass_obj
def publish_command(settings: Settings, accept: str | None) -> None:
    """Make a release, if anything changed or half of the last one's validity has gone.

    Signs with the publisher's keys; no officer takes part.
    """
    here = workspace(settings)
    here.only_list()  # or the first complaint would be about the lock file
    try:
        result = publish(here, clock(), accept)
    except BrakeError as error:
        show_braked(settings, error)
        raise
    plan = result.draft.plan
    members = {"release": result.number, "path": str(result.path), "changed": result.changed, **plan_members(plan)}
    if result.changed:
        names = counted(len(result.draft.now.measures))
        text = f"release {result.path.name} published: {names}; {counts(plan)}\n  {result.path}"
    else:
        text = f"nothing is to be published; release {result.path.name} is current"
    finish(settings, members, text)
