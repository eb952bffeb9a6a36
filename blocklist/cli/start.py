"""`init`: a new workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

import blocklist
from blocklist.cli.common import Settings, Verb, clock, finish, new_passphrase, read_id, workspace
from blocklist.workspace import DEFAULT_LIST, init


def shipped_lists() -> Path:
    """The policy files that come with the package; in a checkout they are in the folder beside it."""
    package = Path(blocklist.__file__).parent
    inside = package / "lists"
    return inside if inside.is_dir() else package.parent / "lists"


def _ask_once() -> Callable[[str], bytes]:
    """One passphrase for all the keys of a new head."""
    known: list[bytes] = []

    def read(_: str) -> bytes:
        if not known:
            known.append(new_passphrase("the keys of the new head"))
        return known[0]

    return read


@click.command("init", cls=Verb)
@click.option(
    "--list",
    "list_id",
    default=DEFAULT_LIST,
    callback=read_id,
    metavar="ID",
    show_default=True,
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
def init_command(settings: Settings, list_id: str, environment: str, head: str, no_passphrase: bool) -> None:
    """Make a workspace: register, keys, seal and TUF root.

    Running it again changes nothing. Keys go to BLOCKLIST_KEYS, never into the workspace.
    """
    here = workspace(settings, _ask_once())
    founded = init(here, list_id, environment, head, shipped_lists(), clock(), encrypt=not no_passphrase)
    members: dict[str, object] = {
        "register": founded.register,
        "list": founded.list_id,
        "environment": founded.environment,
        "head": founded.head,
        "root": str(here.path / "exports/metadata/1.root.json"),
        "seal": str(here.path / "exports/seal.pem"),
        "keys": str(here.keys.path),
        "created": founded.created,
    }
    what = "founded" if founded.created else "is there already, nothing was changed:"
    finish(
        settings,
        members,
        f"{founded.list_id} ({founded.environment}) {what} register {founded.register}\n"
        f"  keys in {here.keys.path}; policy in {here.lists}; providers pin {members['root']}",
    )
