"""A plan for people and for scripts, at the office and at a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklist.base.i18n import _, plural
from blocklist.cli.context import counted, finish
from blocklist.cli.settings import Settings
from blocklist.release.notices import SHOWN

if TYPE_CHECKING:
    from blocklist.release.plan import BrakeError, Plan


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
    changes = [("+", plan.added, _("added")), ("-", plan.removed, _("removed")), ("-", plan.lapsed, _("lapsed"))]
    for sign, names, how in changes:
        named = [(text, scope) for scope, texts in names.by_scope() for text in texts[:SHOWN]]
        for text, scope in named[:SHOWN]:
            click.echo(f"{sign} {text} ({scope}) {how}")
        if len(names) > SHOWN:
            click.echo(f"{sign} {plural('… and {count} more', '… and {count} more', len(names) - SHOWN)} {how}")
    print_totals(plan)


def print_totals(plan: Plan) -> None:
    """How much a plan changes, and the checksum that accepts it."""
    click.echo(
        _(
            "{changes}; {names} before; checksum {checksum}",
            changes=counts(plan),
            names=counted(plan.before),
            checksum=plan.checksum,
        )
    )


def show_braked(settings: Settings, error: BrakeError) -> None:
    """The plan that the brakes stopped, before the error that says so."""
    if settings.json:
        finish(settings, plan_members(error.plan))
    else:
        print_plan(error.plan)


def counts(plan: Plan) -> str:
    """How many names a plan changes, in words."""
    return ", ".join(
        (
            plural("{count} added", "{count} added", len(plan.added)),
            plural("{count} removed", "{count} removed", len(plan.removed)),
            plural("{count} lapsed", "{count} lapsed", len(plan.lapsed)),
            plural("{count} renewed", "{count} renewed", len(plan.renewed)),
        )
    )
