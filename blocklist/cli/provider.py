"""`subscribe`, `pull`, `verify`: what an internet provider runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blocklist import files
from blocklist.acts import ENVIRONMENTS
from blocklist.cli.common import Settings, Verb, agreed, clock, fail, finish, say
from blocklist.cli.output import progress
from blocklist.cli.publish import counts, plan_members, print_plan, show_braked
from blocklist.client import subscription
from blocklist.client.install import Target
from blocklist.client.pull import ANY_CHANGE, pull
from blocklist.client.verify import verify
from blocklist.errors import UsageError
from blocklist.fields import format_instant
from blocklist.formats import folder_name
from blocklist.messages import _, later, plural, shown
from blocklist.release import BrakeError, announcement

if TYPE_CHECKING:
    from blocklist.client.pull import Outcome
    from blocklist.release import Plan

_F = TypeVar("_F", bound=Callable[..., Any])
_MAX_ROOT = 512 * 1024
_SUBSCRIPTION = "subscription.yaml"


def _file_option(*names: str) -> Callable[[_F], _F]:
    """Which subscription; by default that of the workspace folder."""
    shown_default = later("subscription.yaml in -C")
    return click.option(*names, type=click.Path(path_type=Path), show_default=shown_default, metavar="FILE")


@click.command("subscribe", cls=Verb, short_help="Write a subscription and pin the publisher's root.")
@click.argument("url")
@click.option("--list", "list_id", required=True, metavar="ID")
@click.option(
    "--root", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The publisher's TUF root."
)
@click.option("--environment", type=click.Choice(ENVIRONMENTS), default="production", show_default=True)
@click.option("--to", "targets", multiple=True, required=True, metavar="FORMAT=PATH", help="Which export goes where.")
@click.option("--reload", "reload_command", default="", metavar="COMMAND", help="Run after a file is in place.")
@_file_option("-o", "output")
@click.pass_obj
def subscribe_command(
    settings: Settings,
    url: str,
    list_id: str,
    root: Path,
    environment: str,
    targets: tuple[str, ...],
    reload_command: str,
    output: Path | None,
) -> None:
    """Write a subscription and pin the publisher's root, which was given to you out of band."""
    wanted = [_target(text, reload_command) for text in targets]
    pinned = files.read(root, _("the root"), _MAX_ROOT, _("the office hands it out as 1.root.json"))
    made = subscription.write(output or settings.folder / _SUBSCRIPTION, url, list_id, environment, pinned, wanted)
    members: dict[str, object] = {"subscription": str(made.path), "root": made.root}
    finish(
        settings,
        members,
        _("{path} written; root {root}\n  next: blocklist pull -c {path}", path=made.path, root=made.root),
    )


def _target(text: str, reload_command: str) -> Target:
    format_id, equals, path = text.partition("=")
    if not equals or not path:
        raise UsageError(
            _("{text!r} is not FORMAT=PATH", text=text), _("for example --to rpz=/var/lib/bind/blocklist.zone")
        )
    return Target(format_id, Path(path).absolute(), reload=reload_command)


@click.command("pull", cls=Verb)
@_file_option("-c", "config")
@click.option(
    "--accept",
    is_flag=False,
    flag_value=ANY_CHANGE,
    metavar="[CHECKSUM]",
    help="Let in a first pull, or with CHECKSUM exactly that change.",
)
@click.option("--adopt", is_flag=True, help="Replace target files that this program did not write.")
@click.pass_obj
def pull_command(settings: Settings, config: Path | None, accept: str | None, adopt: bool) -> None:
    """Fetch, verify, replay and install the newest release.

    \b
    Exit codes: 0 installed or unchanged, 1 refused by a brake or check, 2 usage, 3 verification failed,
    4 stale, 5 unreachable, 6 a target could not be changed. Whatever fails, what is installed stays.
    """  # noqa: D301  (click's own mark)
    made = subscription.load(config or settings.folder / _SUBSCRIPTION)
    try:
        outcome = pull(made, clock(), accept=accept, adopt=adopt, confirm=_confirm, progress=progress)
    except BrakeError as error:
        show_braked(settings, error)
        raise
    finish(settings, _pulled(outcome), _said(outcome) if not outcome.failures else "")
    for note in outcome.notes:
        say(note)
    if outcome.notice is not None and not settings.json:
        for line in outcome.notice.lines():
            say(line)
    for failure in outcome.failures[1:]:
        say(_("blocklist: error: {message}", message=failure.message))
    if outcome.failures:
        fail(outcome.failures[0])


def _pulled(outcome: Outcome) -> dict[str, object]:
    """What a pull did, as JSON."""
    notice = outcome.notice
    members: dict[str, object] = {
        "release": outcome.release,
        "installed": list(outcome.installed),
        "changed": outcome.changed,
        "announced": [announcement(request) for request in notice.requests] if notice else [],
        "block_before": _instant(notice.block_before if notice else None),
        "restore_before": _instant(notice.restore_before if notice else None),
    }
    return members if outcome.plan is None else members | plan_members(outcome.plan)


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _said(outcome: Outcome) -> str:
    name = folder_name(datetime.fromtimestamp(outcome.release, UTC))
    if outcome.changed and outcome.plan is not None:
        text = _("release {name} installed: {changes}", name=name, changes=counts(outcome.plan))
        return f"{text}\n  {', '.join(outcome.installed)}"
    return _("release {name} is installed already, nothing was changed", name=name)


def _confirm(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        return False
    print_plan(plan)
    return agreed(_("Install this list for the first time?"))


@click.command("verify", cls=Verb, short_help="Check a downloaded release.")
@click.argument("release", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--cert", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The authority, seal.pem.")
@click.option("--register", metavar="ID", help="The founding id: replay what two officers signed.")
@click.pass_obj
def verify_command(settings: Settings, release: Path, cert: Path, register: str | None) -> None:
    """Check a downloaded release: its seal, its sums and, with --register, every act behind it."""
    result = verify(release, cert, register, clock())
    members: dict[str, object] = {
        "instant": format_instant(result.instant),
        "valid_until": format_instant(result.valid_until),
        "sealed_by": result.sealed_by,
        "files": list(result.files),
        "missing": list(result.missing),
        "names": result.names,
        "unknown_formats": list(result.unknown),
    }
    lines = [
        _(
            "sealed by {authority}, made {instant}, valid until {end}",
            authority=result.sealed_by,
            instant=shown(result.instant),
            end=shown(result.valid_until),
        )
    ]
    if result.missing:
        lines.append(_("not here, so not checked: {names}", names=", ".join(result.missing)))
    if result.names is None:
        lines.append(_("seal only: this does not show that two officers signed for each name (give --register ID)"))
    else:
        lines.append(
            plural(
                "{count} name, two officers signed for it; the exports are what they signed",
                "{count} names, two officers signed for each; the exports are what they signed",
                result.names,
            )
        )
    if result.unknown:
        lines.append(
            _("only sealed, in a format that this program does not know: {formats}", formats=", ".join(result.unknown))
        )
    finish(settings, members, "\n".join(lines))
