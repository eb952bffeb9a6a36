"""What commands share: help in the user's language, results and errors, the workspace, ids and dates."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import LANGUAGES, _, paris, plural, preferred
from blocklist.cli.output import ERROR, NOTICE, faint, progress, say, urgent
from blocklist.cli.prompts import passphrase, pin
from blocklist.cli.settings import Settings, common_options

if TYPE_CHECKING:
    from blocklist.office.session import Session
    from blocklist.workspace import Workspace

_DAY = re.compile(r"2[01][0-9]{2}-[0-9]{2}-[0-9]{2}")


def language(args: Sequence[str]) -> str:
    """The language of a command line: that of the last `--lang` on it, else of the locale.

    It is needed before click parses anything, since help and usage errors are in it too.
    """
    found = preferred()
    for word, after in zip_longest(args, args[1:], fillvalue=""):
        if word == "--":
            break
        asked = after if word == "--lang" else word.removeprefix("--lang=")
        found = asked if asked in LANGUAGES and asked != word else found
    return found


_C = TypeVar("_C", bound=click.Command)


def _translated(command: _C) -> _C:
    """A copy of a command for showing its help: every text of it in the language that is spoken."""
    twin = copy.copy(command)
    twin._help_option = None  # click keeps the one it made, whose text has a language already
    twin.help, twin.short_help = (text and _(inspect.cleandoc(text)) for text in (command.help, command.short_help))
    twin.params = [copy.copy(parameter) for parameter in command.params]
    for parameter in twin.params:
        if isinstance(parameter, click.Option):
            parameter.help = parameter.help and _(parameter.help)
            if isinstance(parameter.show_default, str):
                parameter.show_default = _(parameter.show_default)
    return twin


class Verb(click.Command):
    """A command that takes the common options after its name too, and shows its help in the user's language."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (click's signature)
        super().__init__(*args, **kwargs)
        own = {name for parameter in self.params for name in parameter.opts}
        self.params += [option for option in common_options() if not own & set(option.opts)]

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  (click's own)
        """Run the command, on the database that was named."""
        url = ctx.ensure_object(Settings).store
        if url is None:
            return super().invoke(ctx)
        from blocklist.store.postgres import naming

        with naming(url):
            return super().invoke(ctx)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        click.Command.format_help(_translated(self), ctx, formatter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The line of this command in the help of its group."""
        return click.Command.get_short_help_str(_translated(self), limit)


class VerbGroup(click.Group):
    """A group of commands; without one it prints its help, and that is a usage error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help when nothing was said."""
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        click.Group.format_help(_translated(self), ctx, formatter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The line of this group in the help of the program."""
        return click.Group.get_short_help_str(_translated(self), limit)


# Results and errors


def finish(settings: Settings, members: dict[str, object], text: str = "") -> None:
    """The command's one result: JSON if that was asked for, else a message."""
    if settings.json:
        unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        click.echo(json.dumps(members, ensure_ascii=not unicode, default=str))
    elif text:
        say(text)


def counted(count: int, what: str = "name") -> str:
    """`1 name`, `2 names`."""
    match what:
        case "act":
            return plural("{count} act", "{count} acts", count)
        case "fault":
            return plural("{count} fault", "{count} faults", count)
        case "line":
            return plural("{count} line", "{count} lines", count)
        case _other:
            return plural("{count} name", "{count} names", count)


def fail(error: BlocklistError, color: bool | None = None) -> NoReturn:
    """Print an error as one line and a hint, and exit with its code."""
    complain(error, color)
    sys.exit(error.exit_code)


def complain(error: BlocklistError, color: bool | None = None) -> None:
    """Print an error as one line and a hint."""
    # When a command has ended, click's context, which knows about colour, is closed: it is told.
    say(_("blocklist: {word}: {message}", word=urgent(_("error")), message=error.message), ERROR, color)
    for line in error.hint.splitlines():
        say(faint(_("blocklist: {word}: {message}", word=_("hint"), message=line)), NOTICE, color)


# Where things are


def keys_path() -> Path:
    """The key folder: `BLOCKLIST_KEYS`, or the user's configuration folder."""
    return Path(os.environ.get("BLOCKLIST_KEYS") or click.get_app_dir("blocklist"))


def workspace(settings: Settings, read: Callable[[str], bytes] = passphrase) -> Workspace:
    """The workspace of `-C`, with the key folder of this user."""
    from blocklist.keys.folder import KeyFolder
    from blocklist.workspace import Workspace

    return Workspace(settings.folder.absolute(), KeyFolder(keys_path(), read, pin=pin), list_id=settings.list_id)


def office(settings: Settings) -> Session:
    """The register of the workspace, opened and verified."""
    from blocklist.office.session import Session

    return Session(workspace(settings), clock, settings.officer, progress)


def signing_office(settings: Settings) -> Session:
    """The same for a command that signs: who signs is settled before anything is shown or asked.

    Raises:
        UsageError: No officer is named, or none of that id is in office.
    """
    opened = office(settings)
    try:
        opened.require_officer()
    except BlocklistError:
        opened.close()
        raise
    return opened


def refuse_store(settings: Settings) -> None:
    """Refuse `--store` in a command that has nothing to do with the register of a workspace.

    Raises:
        UsageError: It was given.
    """
    if settings.store is not None:
        raise UsageError(
            _("--store names the database of the workspace's register, which this command does not use"),
            _("leave out --store"),
        )


# Ids and time


def read_id(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """The id of an officer or a list."""
    from blocklist.base.strict_yaml import is_identifier

    if not is_identifier(text):
        raise click.BadParameter(
            _("{text!r} is not an id: a letter, then up to 31 letters, digits or hyphens", text=text[:80])
        )
    return text


def clock() -> datetime:
    """Now, in UTC. There is no way to tell the program another time."""
    return datetime.now(UTC)


def read_date(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """A day, meaning its end in Paris, or an instant in UTC."""
    if text is None:
        return None
    from blocklist.register.decoders import ActError, parse_instant

    try:
        if not _DAY.fullmatch(text):
            return parse_instant(text)
        morning = datetime.combine(date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), paris())
        return morning.astimezone(UTC)
    except (ActError, ValueError) as fault:
        raise click.BadParameter(
            _("a date is 2027-02-14, or an instant in UTC such as 2027-02-14T12:00:00Z")
        ) from fault
