"""`pull` and `rollback`: what an internet provider runs from a timer, and by hand when it must."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later, plural
from blocklist.cli.commands import Settings, Verb, clock, refuse_store
from blocklist.cli.terminal import NOTICE, WARNING, agreed, complain, finish, progress, say
from blocklist.client.install import worst
from blocklist.client.pull import pull
from blocklist.client.state import locked
from blocklist.client.subscription import ANY_CHANGE, Options
from blocklist.register.decoders import folder_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocklist.base.errors import BlocklistError
    from blocklist.client.install import Outcome
    from blocklist.client.subscription import Subscription
    from blocklist.release.contents import Plan

SUBSCRIPTION = "subscription.yaml"

config_option = click.option(
    "-c",
    "config",
    type=click.Path(path_type=Path),
    show_default=later("subscription.yaml in -C"),
    metavar="FILE",
    help="The subscription.",
)
metrics_option = click.option(
    "--metrics", type=click.Path(path_type=Path), metavar="FILE", help="Write metrics for Prometheus there."
)


def load(settings: Settings, config: Path | None) -> Subscription:
    """The subscription that was named, or that of the workspace folder."""
    from blocklist.client import subscription

    return subscription.load(_config(settings, config))


def _config(settings: Settings, config: Path | None) -> Path:
    refuse_store(settings)
    return config or settings.folder / SUBSCRIPTION


@click.command("pull", cls=Verb, short_help="Fetch, verify, replay and install the newest release.")
@config_option
@click.option(
    "--accept",
    is_flag=False,
    flag_value=ANY_CHANGE,
    metavar="[CHECKSUM]",
    help="Let in a first pull, or with CHECKSUM exactly that change.",
)
@click.option("--adopt", is_flag=True, help="Replace target files that this program did not write.")
@click.option("--resume", is_flag=True, help="End the hold of a rollback.")
@click.option("--prune-lapsed", is_flag=True, help="Leave out names past their review date if no release comes.")
@metrics_option
@click.pass_obj
def pull_command(
    settings: Settings,
    config: Path | None,
    accept: str | None,
    adopt: bool,
    resume: bool,
    prune_lapsed: bool,
    metrics: Path | None,
) -> None:
    """Fetch, verify, replay and install the newest release of every list.

    \b
    Exit codes: 0 installed or unchanged, 1 refused by a brake or check, 2 usage, 3 verification failed,
    4 stale, 5 unreachable, 6 a target could not be changed. Whatever fails, what is installed stays.
    """  # noqa: D301  (click's own mark)
    if settings.list_id is not None:
        raise UsageError(_("a pull is of all lists of a subscription"), _("leave out --list"))
    options = Options(accept, adopt, resume, prune_lapsed, _confirm, progress)
    outcomes = pull(_config(settings, config), clock(), options)
    if settings.json:
        finish(settings, {"lists": [_members(outcome) for outcome in outcomes]})
    for outcome in outcomes:
        _report(settings, outcome, several=len(outcomes) > 1)
    if metrics is not None:
        from blocklist.client.status import standings, write_metrics

        write_metrics(metrics, standings(load(settings, config), clock()))
    if code := worst(outcomes):
        sys.exit(code)


def _report(settings: Settings, outcome: Outcome, *, several: bool) -> None:
    """What happened to one list, for people and for the journal."""
    if not settings.json and outcome.error is not None and hasattr(outcome.error, "plan"):
        from blocklist.cli.terminal import print_plan

        print_plan(outcome.error.plan)
    tells = outcome.plan is not None if outcome.changed else not outcome.notes
    if not settings.json and outcome.exit_code == 0 and tells:
        text = _said(outcome)
        say(f"{outcome.list_id}: {text}" if several else text)
    for note in outcome.notes:
        say(note, WARNING)
    if outcome.notice is not None and not settings.json:
        for line in outcome.notice.lines():
            say(line, NOTICE)
    for failure in outcome.errors:
        complain(failure)


def _members(outcome: Outcome) -> dict[str, object]:
    """What a pull did to one list, as JSON."""
    notice, plan = outcome.notice, outcome.plan or getattr(outcome.error, "plan", None)
    members: dict[str, object] = {
        "list": outcome.list_id,
        "release": outcome.release,
        "installed": list(outcome.installed),
        "changed": outcome.changed,
        "exit_code": outcome.exit_code,
        "errors": [failure.message for failure in outcome.errors],
        "notes": outcome.notes,
        "announced": [],
        "block_before": None,
        "restore_before": None,
    }
    if plan is not None:
        from blocklist.cli.terminal import plan_members

        members |= plan_members(plan)
    if notice is not None:
        from blocklist.release.contents import announcement

        members["announced"] = [announcement(request) for request in notice.requests]
        members["block_before"] = _instant(notice.block_before)
        members["restore_before"] = _instant(notice.restore_before)
    return members


def _instant(instant: datetime | None) -> str | None:
    from blocklist.register.decoders import format_instant

    return None if instant is None else format_instant(instant)


def _said(outcome: Outcome) -> str:
    name = release_name(outcome.release)
    if outcome.changed and outcome.plan is not None:
        from blocklist.cli.terminal import counts

        text = _("release {name} installed: {changes}", name=name, changes=counts(outcome.plan))
        return f"{text}\n  {', '.join(outcome.installed)}"
    return _("release {name} is installed already, nothing was changed", name=name)


def release_name(number: int) -> str:
    """The folder name of a release."""
    return folder_name(datetime.fromtimestamp(number, UTC))


def _confirm(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        return False
    from blocklist.cli.terminal import print_plan

    print_plan(plan)
    return agreed(_("Install this list for the first time?"))


@click.command("rollback", cls=Verb, short_help="Return to a release that was installed before, and hold it.")
@click.argument("release", required=False, metavar="[RELEASE]")
@config_option
@click.pass_obj
def rollback_command(settings: Settings, release: str | None, config: Path | None) -> None:
    """Return to what RELEASE listed, by default the release before the one that is installed, and hold it there.

    What has ended since then does not come back. Until 'pull --resume' a pull adds nothing; endings go on.
    """
    from blocklist.client.rollback import rollback
    from blocklist.client.subscription import require_list

    made = load(settings, config)
    list_id = require_list(made, settings.list_id)
    with locked(made.path):
        done = rollback(made, list_id, release, clock(), progress)
    name = release_name(done.to.release)
    members: dict[str, object] = {
        "list": list_id,
        "release": name,
        "serial": done.applied.record.serial,
        "names": done.applied.record.names,
        "waiting": done.waiting,
        "ended": done.ended,
        "installed": list(done.applied.installed),
        "errors": [failure.message for failure in done.applied.failures],
    }
    lines = [
        plural(
            "held at release {name}: {count} name is installed",
            "held at release {name}: {count} names are installed",
            done.applied.record.names,
            name=name,
        ),
        *_left_out(done.waiting, done.ended),
        _("  next: blocklist pull -c {path} --resume", path=made.path),
    ]
    finish(settings, members, "\n".join(lines))
    _exit_with(done.applied.failures)


def _left_out(waiting: int, ended: int) -> list[str]:
    added = plural(
        "  {count} that a later release added is out", "  {count} that later releases added are out", waiting
    )
    gone = plural("  {count} that has ended since stays out", "  {count} that have ended since stay out", ended)
    return [text for count, text in ((waiting, added), (ended, gone)) if count]


def _exit_with(failures: Sequence[BlocklistError]) -> None:
    for failure in failures:
        complain(failure)
    if failures:
        sys.exit(failures[0].exit_code)
