"""Arguments, questions and answers that the commands of officers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.i18n import _, plural
from blocklist.cli.context import finish, read_date
from blocklist.cli.output import say
from blocklist.cli.prompts import ask, can_ask
from blocklist.cli.settings import Settings
from blocklist.names.domain_name import Name, NameRefused, Scope, mixes_scripts
from blocklist.office.session import GuardError

if TYPE_CHECKING:
    from blocklist.office.session import Session

_SHOWN = 30

name_arguments = click.argument("names", nargs=-1, required=True, metavar="NAME...")
date_option = click.option(
    "--review-by", callback=read_date, metavar="DATE", help="A day (its end in Paris) or an instant in UTC."
)
evidence_option = click.option(
    "--evidence",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Kept with the dossier; may be given again.",
)
note_option = click.option("--note", default="", metavar="TEXT", help="Kept in the confidential dossier.")


def say_findings(error: GuardError) -> None:
    """What each guard found, before the error that counts them."""
    for finding in error.findings:
        say(f"{finding.guard}: {finding.message}")
        if finding.hint:
            say(f"    {finding.hint}")


def describe(opened: Session, names: Sequence[Name], most: int | None = _SHOWN) -> str:
    """What exactly is blocked, a line a name: both forms of one that is not plain ASCII, mixed scripts marked."""
    suffixes = opened.suffixes()
    lines = []
    for name in names[:most]:
        mark = _("   MIXED SCRIPTS: letters of two alphabets") if mixes_scripts(name.text) else ""
        lines.append(f"  {suffixes.describe(name)}{mark}")
    if most is not None and len(names) > most:
        lines.append(plural("  … and {count} more name", "  … and {count} more names", len(names) - most))
    return "\n".join(lines)


def read_name(settings: Settings, opened: Session, text: str, scope: Scope | None) -> Name:
    """A name as typed; one of mixed scripts only when the officer confirms that it is meant."""
    try:
        return opened.read_name(text, scope)
    except NameRefused as refusal:
        if refusal.reason != "mixed-script" or not can_ask(settings):
            raise
        say(f"{refusal.message}\n    {refusal.hint}")
        ask(settings, _("Is this name meant as it stands?"))
        return opened.read_name(text, scope, allow_mixed=True)


def scopes(names: Sequence[Name]) -> dict[str, str]:
    """Names with their scopes, for `--json`."""
    return {name.text: str(name.scope) for name in names}


def finish_names(settings: Settings, seq: int, names: Sequence[Name], text: str) -> None:
    """The result of an act about names; `text` says it to people."""
    unique = sorted(set(names))
    finish(settings, {"act": seq, "names": [name.text for name in unique], "scopes": scopes(unique)}, text)
