"""`status` at a provider: what is installed, from which release, and what went wrong last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.errors import StaleError
from blocklist.base.i18n import _, later, shown
from blocklist.cli.commands import Settings, clock
from blocklist.cli.terminal import counted, finish, urgent
from blocklist.client.status import Standing, standings, write_metrics
from blocklist.register.decoders import folder_name

if TYPE_CHECKING:
    from blocklist.client.state import Record
    from blocklist.client.subscription import Subscription

_STATES = {
    "installed": later("installed"),
    "changed": later("changed by somebody else"),
    "missing": later("missing"),
    "failed": later("not installed"),
}


def show_standings(settings: Settings, subscription: Subscription, metrics: Path | None) -> None:
    """Print how every list of a subscription stands; exit code 4 when one is stale."""
    every = standings(subscription, clock())
    if metrics is not None:
        write_metrics(metrics, every)
    if settings.json:
        finish(settings, {"lists": [standing.to_json() for standing in every]})
    else:
        for standing in every:
            for line in _lines(standing):
                click.echo(line)
    if any(standing.is_stale for standing in every):
        sys.exit(StaleError.exit_code)


def _lines(standing: Standing) -> Iterator[str]:
    record = standing.record
    if record is None:
        yield _("list {list_id}: nothing is installed yet", list_id=standing.list_id)
    else:
        yield from _installed(standing, record)
    for target in standing.targets:
        state = standing.state_of(target)
        words = _(_STATES[state])
        yield f"  {target.format:<8} {target.path}  {words if state == 'installed' else urgent(words)}"
    yield from _last(standing)


def _installed(standing: Standing, record: Record) -> Iterator[str]:
    newest = record.newest
    yield _(
        "list {list_id}: release {release}, {names}, head act {seq}",
        list_id=standing.list_id,
        release=folder_name(newest.instant),
        names=counted(record.names),
        seq=newest.head.seq,
    )
    until = shown(newest.valid_until)
    yield (
        "  " + urgent(_("stale since {until}: no newer release came", until=until))
        if standing.is_stale
        else _("  valid until {until}", until=until)
    )
    base = folder_name(record.base.instant)
    if record.held:
        yield "  " + urgent(_("hold: at release {base} since {held}", base=base, held=shown(record.held)))
    elif record.waits:
        yield "  " + urgent(_("additions since release {base} wait for your word", base=base))
    kept = ", ".join(folder_name(accepted.instant) for accepted in record.kept)
    yield _("  kept for rollback: {kept}", kept=kept)


def _last(standing: Standing) -> Iterator[str]:
    last = standing.last
    if last is None:
        yield _("  no pull has ended yet")
        return
    yield _("  last pull {at}, exit code {code}", at=shown(last.at), code=last.exit_code)
    if last.message:
        yield "  " + urgent(last.message)
    if last.exit_code:
        yield _("  last success {at}", at=shown(last.success)) if last.success else _("  no pull has succeeded yet")
