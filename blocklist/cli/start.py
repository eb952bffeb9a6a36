"""`init`: a new workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

import blocklist
from blocklist.base.i18n import _, later
from blocklist.cli.commands import Settings, Verb, clock, keys_path, read_id
from blocklist.cli.terminal import finish, new_passphrase, passphrase, pin
from blocklist.keys.folder import KeyFolder
from blocklist.office.init import init
from blocklist.workspace import DEFAULT_LIST, Workspace


def shipped_lists() -> Path:
    """The policy files that come with the package; in a checkout they are in the folder beside it."""
    package = Path(blocklist.__file__).parent
    inside = package / "lists"
    return inside if inside.is_dir() else package.parent / "lists"


def _ask_once() -> Callable[[str], bytes]:
    """One passphrase for all the keys of a new head."""
    known: list[bytes] = []

    def read(_what: str) -> bytes:
        if not known:
            known.append(new_passphrase(_("the keys of the new head")))
        return known[0]

    return read


def _read_list(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else read_id(context, parameter, text)


@click.command("init", cls=Verb, short_help="Make a workspace, or another list in it.")
@click.option(
    "--list",
    "list_id",
    callback=_read_list,
    metavar="ID",
    show_default=DEFAULT_LIST,
    help="The list to found.",
)
@click.option("--environment", type=click.Choice(["test", "production"]), default="test", show_default=True)
@click.option(
    "--head",
    default="head-1",
    callback=read_id,
    metavar="ID",
    show_default=True,
    help="The head of office who founds it.",
)
@click.option("--no-passphrase", is_flag=True, help="Keep the heads' keys unencrypted (for tests).")
@click.pass_obj
def init_command(settings: Settings, list_id: str | None, environment: str, head: str, no_passphrase: bool) -> None:
    """Make a workspace: register, keys, seal and TUF root; or another list in it.

    Running it again changes nothing. Keys go to BLOCKLIST_KEYS, never into the workspace.
    """
    keys = KeyFolder(keys_path(), passphrase, _ask_once(), pin)
    here = Workspace(settings.folder.absolute(), keys, database=settings.store)
    wanted = list_id or settings.list_id or DEFAULT_LIST
    founded = init(here, wanted, environment, head, shipped_lists(), clock(), encrypt=not no_passphrase)
    members: dict[str, object] = {
        "register": founded.register,
        "list": founded.list_id,
        "environment": founded.environment,
        "head": founded.head,
        "root": str(here.path / "exports/metadata/1.root.json"),
        "seal": str(here.path / "exports/seal.pem"),
        "keys": str(here.keys.path),
        "created": founded.created,
        "proposal": founded.proposal and str(founded.proposal),
    }
    if founded.created:
        template = later("{list} ({environment}) founded register {register}")
    else:
        template = later("{list} ({environment}) is there already, nothing was changed: register {register}")
    text = _(template, list=founded.list_id, environment=founded.environment, register=founded.register)
    where = _(
        "  keys in {keys}; policy in {policy}; providers pin {root}",
        keys=here.keys.path,
        policy=here.lists,
        root=members["root"],
    )
    lines = [text, where]
    if founded.proposal:
        lines.append(
            _(
                "  it waits for signatures in {path}: 'blocklist trust sign', here and where the other keys are",
                path=founded.proposal,
            )
        )
    if founded.several:
        lines.append(_("  this workspace has several lists now: every command, the publisher's too, needs --list"))
    finish(settings, members, "\n".join(lines))
