"""`receipt`: what providers state that they installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import Settings, Verb, VerbGroup, clock, read_id, workspace
from blocklist.cli.terminal import complain, finish, progress
from blocklist.office.provider_receipts import take_in
from blocklist.register.decoders import folder_name, format_instant

if TYPE_CHECKING:
    from blocklist.office.provider_receipts import Taken


@click.group("receipt", cls=VerbGroup)
def receipt_command() -> None:
    """Take in what providers state that they installed."""


def _provider(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else read_id(context, parameter, text)


@receipt_command.command("add", cls=Verb, short_help="Take in receipts of providers.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--provider", callback=_provider, metavar="ID", help="Whose they are, if they do not say.")
@click.pass_obj
def receipt_add(settings: Settings, sources: tuple[Path, ...], provider: str | None) -> None:
    """Take in receipts, by which providers state what they installed of a list, and when; 'show' then says so.

    A provider whose key is in lists/providers/ID.pub has to sign. One that is refused holds no other.
    """
    done = take_in(workspace(settings), clock, sources, provider, progress)
    members: dict[str, object] = {
        "receipts": [_members(taken) for taken in done.taken],
        "errors": [fault.message for fault in done.refused],
    }
    finish(settings, members, "\n".join(line for taken in done.taken for line in _lines(taken)))
    for fault in done.refused:
        complain(fault)
    if done.refused:
        sys.exit(done.refused[0].exit_code)


def _members(taken: Taken) -> dict[str, object]:
    receipt = taken.receipt
    return {
        "file": str(taken.source),
        "path": str(taken.path),
        "provider": taken.provider,
        "list": receipt.list,
        "release": receipt.shown.release,
        "let_in": receipt.let_in.release,
        "applied": format_instant(receipt.applied),
        "waiting": receipt.waiting,
        "failed": list(receipt.failed),
        "signed": taken.signed,
        "new": taken.new,
    }


def _lines(taken: Taken) -> Iterator[str]:
    receipt = taken.receipt
    said = _(
        "{provider}, release {folder} applied {at}, {signed}",
        provider=taken.provider,
        folder=folder_name(receipt.shown.instant),
        at=shown(receipt.applied),
        signed=_("signed") if taken.signed else _("not signed"),
    )
    yield _("{said}: taken in", said=said) if taken.new else _("{said}: was here already, nothing changed", said=said)
    if receipt.let_in != receipt.shown:
        yield plural(
            "  {count} name that was added after release {folder} waits there",
            "  {count} names that were added after release {folder} wait there",
            receipt.waiting,
            folder=folder_name(receipt.let_in.instant),
        )
    if receipt.failed:
        yield _("  could not be put in place there: {formats}", formats=", ".join(receipt.failed))
