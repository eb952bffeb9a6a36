"""`formats`: what each export is for, and what it can and cannot say."""

from __future__ import annotations

import click

from blocklist.base.i18n import _
from blocklist.cli.commands import Settings, Verb
from blocklist.cli.terminal import finish, table
from blocklist.release.formats import FORMATS, Format


@click.command("formats", cls=Verb)
@click.pass_obj
def formats_command(settings: Settings) -> None:
    """List the formats of exports with what each can and cannot say."""
    if settings.json:
        finish(settings, {"formats": [_members(entry) for entry in FORMATS.values()]})
        return
    table(
        (_("FORMAT"), _("FOR"), _("ACTIONS"), _("SAYS"), _("CANNOT SAY")),
        ((entry.id, _for(entry), " ".join(entry.actions), _(entry.can), _(entry.cannot)) for entry in FORMATS.values()),
    )


def _for(entry: Format) -> str:
    servers = _(entry.servers)
    return servers if entry.verified else _("{servers} (not verified)", servers=servers)


def _members(entry: Format) -> dict[str, object]:
    return {
        "id": entry.id,
        "file": entry.file,
        "for": entry.servers,
        "actions": list(entry.actions),
        "verified": entry.verified,
        "can": entry.can,
        "cannot": entry.cannot,
    }
