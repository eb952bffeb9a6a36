"""The commands of the program: how one is found, its options, help and errors, and the workspace that it works on.

A command parses, calls one function of the office or the client, and prints; nothing is decided here. Its module is
imported when it runs, so that starting up costs little more than importing click.
"""

from __future__ import annotations

import copy
import errno
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from blocklist import __version__
from blocklist.base.errors import BlocklistError, TargetError, UsageError
from blocklist.base.i18n import LANGUAGES, _, later, paris, plural, preferred, speaking
from blocklist.cli.terminal import ask, can_ask, colour, fail, finish, passphrase, pin, prepare_output, progress, say

if TYPE_CHECKING:
    from blocklist.names.domain_name import Name, Scope
    from blocklist.office.propose import GuardError
    from blocklist.office.session import Session
    from blocklist.workspace import Workspace


@dataclass(slots=True)
class Settings:
    """The common options, wherever on the command line they stand."""

    folder: Path = Path()
    officer: str | None = None
    list_id: str | None = None
    store: str | None = None
    json: bool = False
    yes: bool = False


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401  (any option's value)
        if value not in (None, False):
            setattr(ctx.ensure_object(Settings), name, value)

    return callback


def common_options(officer_variable: str | None = None) -> list[click.Parameter]:
    """`-C`, `--as`, `--list`, `--store`, `--lang` and `--json`, accepted before and after the command.

    Only the options before the command read the variable: those after it would let it win over `--as` before it.
    """

    def option(names: list[str], field: str, **rest: Any) -> click.Option:  # noqa: ANN401  (click's own arguments)
        return click.Option(names, expose_value=False, callback=_set(field), **rest)

    # The language is in effect long before options are parsed (`language`), so its option sets nothing.
    lang = click.Option(["--lang"], expose_value=False, type=click.Choice(LANGUAGES), help="The language of messages.")

    # Their names are like no command's own: a parameter of the same name would take the value of the other.
    return [
        option(
            ["-C", "common_folder"], "folder", type=click.Path(path_type=Path), metavar="DIR", help="The workspace."
        ),
        option(
            ["--as", "common_officer"], "officer", envvar=officer_variable, metavar="ID", help="The officer who signs."
        ),
        option(["--list", "common_list"], "list_id", metavar="ID", help="The list, where there are several."),
        option(["--store", "common_store"], "store", metavar="URL", help="The register's database, on a server."),
        lang,
        option(["--json", "common_json"], "json", is_flag=True, help="Print one JSON object."),
    ]


yes_option = click.option("--yes", is_flag=True, expose_value=False, callback=_set("yes"), help="Answer yes.")


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
        """Run the command; a `--store` that can name no database is refused by every one, also where it is not used."""
        store = ctx.ensure_object(Settings).store
        if store is not None:
            from blocklist.store.postgres import parsed

            parsed(store)
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


# Where things are


def keys_path() -> Path:
    """The key folder: `BLOCKLIST_KEYS`, or the user's configuration folder."""
    return Path(os.environ.get("BLOCKLIST_KEYS") or click.get_app_dir("blocklist"))


def workspace(settings: Settings, read: Callable[[str], bytes] = passphrase) -> Workspace:
    """The workspace of `-C`, with the key folder of this user."""
    from blocklist.keys.folder import KeyFolder
    from blocklist.workspace import Workspace

    keys = KeyFolder(keys_path(), read, pin=pin)
    return Workspace(settings.folder.absolute(), keys, settings.list_id, settings.store)


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
    from blocklist.register.decoders import is_identifier

    if not is_identifier(text):
        raise click.BadParameter(
            _("{text!r} is not an id: a letter, then up to 31 letters, digits or hyphens", text=text[:80])
        )
    return text


def clock() -> datetime:
    """Now, in UTC. There is no way to tell the program another time."""
    return datetime.now(UTC).replace(microsecond=0)


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


def read_time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """An instant as people write and read it: in Paris unless it says otherwise, to the second."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=paris())).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as fault:
        raise click.BadParameter(_("a time is 2027-02-14 13:00, in Paris, or 2027-02-14T12:00:00Z")) from fault


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
    from blocklist.names.domain_name import mixes_scripts

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
    from blocklist.names.domain_name import NameRefused

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


# The program

GROUPS = {
    later("Start"): {"init": "start", "demo": "demo"},
    later("Curate"): {
        "request": "requests",
        "answer": "requests",
        "add": "propose",
        "import": "propose",
        "approve": "approvals",
        "reject": "approvals",
        "remove": "propose",
    },
    later("Review"): {"due": "reviews", "review": "reviews"},
    later("Look"): {"list": "inspect", "show": "inspect", "log": "inspect", "status": "inspect", "formats": "formats"},
    later("Oversight"): {
        "recommend": "oversight",
        "respond": "oversight",
        "audit": "dossiers",
        "dossier": "dossiers",
    },
    later("Publish"): {
        "plan": "publish",
        "publish": "publish",
        "lint": "lint",
        "trust": "trust",
        "receipt": "receipts",
    },
    later("Office"): {"key": "officers", "officer": "officers", "policy": "policies", "store": "store"},
    later("Provider"): {
        "subscribe": "subscribe",
        "pull": "provider",
        "rollback": "provider",
        "verify": "verify",
        "check": "check",
    },
}
"""The help's groups, by who uses them: each command and the module that holds it."""

MODULES = {name: module for commands in GROUPS.values() for name, module in commands.items()}


class Commands(VerbGroup):
    """Loads a command's module when the command is asked for, and turns every error into two lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in MODULES:
            return None
        module = import_module(f"blocklist.cli.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each group."""
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(_(title)):
                formatter.write_dl([(name, command.get_short_help_str(100)) for name, command in commands if command])

    def main(self, args: Sequence[str] | None = None, **kwargs: Any) -> NoReturn:  # type: ignore[override]  # noqa: ANN401
        """Run in the language of the command line, and exit with the code of what happened."""
        words = list(sys.argv[1:] if args is None else args)
        prepare_output()
        with speaking(language(words)):
            self._run(words, colour(words), **kwargs)

    def _run(self, words: list[str], color: bool | None, **kwargs: Any) -> NoReturn:  # noqa: ANN401  (click's own)
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(words, color=color, **kwargs) or 0)
        except BlocklistError as error:
            fail(error, color)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else _("blocklist COMMAND")
            message = error.format_message().rstrip(".")
            fail(UsageError(message, _("see '{command} --help'", command=command)), color)
        except click.Abort:
            fail(Stopped(_("stopped; nothing was changed")), color)
        except PermissionError as error:
            message = _("{path} is closed to this account", path=error.filename or "-")
            fail(UsageError(message, _("the office's guide says which account may do what")), color)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has left, and would not read a complaint either
            sys.exit(1)
        except OSError as error:
            if error.filename is not None or error.errno not in _NO_ROOM:
                raise
            message = _("the output cannot be written: {fault}", fault=error.strerror)
            fail(TargetError(message, _("what the command had done before it spoke stays done")), color)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Stopped(BlocklistError):  # noqa: N818  (no fault: somebody chose so)
    """The person at the terminal stopped, or answered no."""

    exit_code = 130


@click.group(
    cls=Commands, params=common_options("BLOCKLIST_AS"), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="blocklist")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep and publish a signed register of blocked sites, in which every measure ends unless it is reviewed."""
    ctx.ensure_object(Settings)
