"""`store`: the database of a register: moving it, mending it, making it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.i18n import _, plural
from blocklist.cli.commands import Settings, Verb, VerbGroup, clock, refuse_store, workspace, yes_option
from blocklist.cli.terminal import ask, finish, progress, say

if TYPE_CHECKING:
    from blocklist.office.repair import Damage


@click.group("store", cls=VerbGroup)
def store_command() -> None:
    """Move, mend or make again the database of a register."""


@store_command.command("copy", cls=Verb, short_help="Copy a register to another database.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.pass_obj
def store_copy(settings: Settings, source: str, target: str) -> None:
    """Copy all acts and dossiers from one database to another, and verify the copy.

    FROM and TO are each a folder with register.db, or a URL such as postgresql:///blocklist. Of an older copy, only
    what is new is copied. Files of evidence are not in a database and stay where they are.
    """
    from blocklist.store.migrate import copy
    from blocklist.store.store import Store

    refuse_store(settings)
    ours = Store.at(source)
    try:
        theirs = Store.at(target, create=True)
        try:
            done = copy(ours, theirs, clock(), progress)
            shown = theirs.shown
        finally:
            theirs.close()
    finally:
        ours.close()
    lines = [
        plural(
            "{list_id}: {new} of {count} act copied, {dossiers} dossiers there, all verified",
            "{list_id}: {new} of {count} acts copied, {dossiers} dossiers there, all verified",
            entry.head.seq,
            list_id=entry.list_id,
            new=entry.new,
            dossiers=entry.dossiers,
        )
        for entry in done
    ]
    if "://" in target:
        lines.append(_("to work there: write the URL into lists/register.url, and move register.db, dossiers.db away"))
    members: dict[str, object] = {
        "target": shown,
        "lists": [
            {"list": entry.list_id, "head": entry.head.to_json(), "new": entry.new, "dossiers": entry.dossiers}
            for entry in done
        ],
    }
    finish(settings, members, "\n".join(lines))


@store_command.command("repair", cls=Verb, short_help="Set aside what does not verify.")
@click.option("--future", is_flag=True, help="Also set aside acts that are dated ahead of the clock.")
@yes_option
@click.pass_obj
def store_repair(settings: Settings, future: bool) -> None:
    """Set aside, into a file, acts that do not verify and dossiers without an act, so that appending goes on.

    Nothing that a key folder or the last release has seen is set aside: then a backup is needed.
    """
    from blocklist.office.repair import examine, set_aside

    here, now = workspace(settings), clock()
    found = examine(here, now, future=future, progress=progress)
    if not found:
        finish(settings, _members(found, None), _("nothing to repair; head {head}", head=found.head.seq))
        return
    for entry in found.wrong:
        say(_("act {seq}: {message}", seq=entry.row.seq, message=entry.reason))
    for act in found.strangers:
        say(_("a dossier belongs to no act: {act}", act=act))
    ask(settings, _("Set this aside? Act {head} is then the last one.", head=found.head.seq))
    path = set_aside(here, found, now, future=future)
    finish(settings, _members(found, path), _("set aside in {path}; head {head}", path=path, head=found.head.seq))


def _members(found: Damage, path: Path | None) -> dict[str, object]:
    return {
        "list": found.list_id,
        "head": found.head.to_json(),
        "acts": [{"seq": entry.row.seq, "reason": entry.reason} for entry in found.wrong],
        "dossiers": list(found.strangers),
        "file": None if path is None else str(path),
    }


@store_command.command("restore", cls=Verb, short_help="Make a lost register again.")
@click.argument("path", type=click.Path(path_type=Path), metavar="ACTS.JSONL")
@click.option("--register", "register_id", metavar="ID", help="The register's id, if lists/trust/ is lost too.")
@yes_option
@click.pass_obj
def store_restore(settings: Settings, path: Path, register_id: str | None) -> None:
    """Make a lost register again from the acts.jsonl of a release, or of any provider.

    Dossiers are in no release: those of a backup of dossiers.db are used if it is put back first.
    """
    from blocklist.office.repair import restore

    ask(settings, _("Make the register again from {path}?", path=path))
    done = restore(workspace(settings), path, register_id, clock(), progress)
    text = plural(
        "{count} act restored, head {head}; {here} of {confidential} dossiers are here",
        "{count} acts restored, head {head}; {here} of {confidential} dossiers are here",
        done.head.seq,
        head=done.head.seq,
        here=done.dossiers,
        confidential=done.confidential,
    )
    members: dict[str, object] = {
        "list": done.list_id,
        "register": done.register,
        "head": done.head.to_json(),
        "dossiers": {"here": done.dossiers, "of": done.confidential},
    }
    finish(settings, members, text)


@store_command.command("schema", cls=Verb, short_help="Print the tables and roles for PostgreSQL.")
def store_schema() -> None:
    """Print the SQL that makes the tables and roles on a PostgreSQL server; for psql."""
    from blocklist.store.postgres import SCHEMA

    click.echo(SCHEMA.read_text(), nl=False)
