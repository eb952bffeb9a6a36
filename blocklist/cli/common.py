"""What every command shares: the common options, output as text or JSON, questions, dates."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from blocklist.cli.output import ERROR, NOTICE, faint, progress, urgent
from blocklist.cli.output import say as say  # commands take these from here
from blocklist.cli.output import table as table
from blocklist.errors import BlocklistError, RefusedError, UsageError
from blocklist.messages import LANGUAGES, _, later, paris, plural, preferred
from blocklist.messages import shown as shown  # commands take it from here

if TYPE_CHECKING:
    from blocklist.office import Office
    from blocklist.workspace import Workspace

PASSPHRASE_FILE = "BLOCKLIST_PASSPHRASE_FILE"  # noqa: S105  (the name of a variable)
NEW_PASSPHRASE_FILE = "BLOCKLIST_NEW_PASSPHRASE_FILE"  # noqa: S105
PIN_FILE = "BLOCKLIST_PIN_FILE"


_DAY = re.compile(r"2[01][0-9]{2}-[0-9]{2}-[0-9]{2}")


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
        from blocklist.postgres import naming

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


yes_option = click.option("--yes", is_flag=True, expose_value=False, callback=_set("yes"), help="Answer yes.")


# Results, errors, questions


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


def ask(settings: Settings, question: str) -> None:
    """Ask on a terminal; without one, or with `--yes`, nothing is asked.

    Raises:
        click.Abort: The answer is no.
    """
    if not confirmed(settings, question):
        raise click.Abort


def confirmed(settings: Settings, question: str) -> bool:
    """The answer on a terminal; yes without one, or with `--yes`."""
    return settings.yes or not sys.stdin.isatty() or agreed(question)


def agreed(question: str) -> bool:
    """The answer of the person at the terminal, in English or in their language; an empty one is no."""
    # click.confirm knows y and n alone.
    yes, no = ({*english, *_(spoken).split()} for english, spoken in ((("y", "yes"), _YES), (("n", "no"), _NO)))
    while True:
        choices = _("y/N")
        answer = click.prompt(f"{question} [{choices}]", default="", show_default=False, err=True).strip().lower()
        if answer in yes:
            return True
        if answer in {"", *no}:
            return False


_YES = later("y yes")
_NO = later("n no")


def can_ask(settings: Settings) -> bool:
    """Whether there is somebody, or `--yes`, to answer a question that must not be skipped."""
    return settings.yes or sys.stdin.isatty()


# Where things are


def keys_path() -> Path:
    """The key folder: `BLOCKLIST_KEYS`, or the user's configuration folder."""
    return Path(os.environ.get("BLOCKLIST_KEYS") or click.get_app_dir("blocklist"))


def passphrase(what: str) -> bytes:
    """The passphrase for `what`, from the file that `BLOCKLIST_PASSPHRASE_FILE` names or from a prompt.

    Raises:
        UsageError: There is neither file nor terminal, or the passphrase is empty.
    """
    return _passphrase(what, PASSPHRASE_FILE)


def new_passphrase(what: str) -> bytes:
    """A passphrase for a new key: asked twice on a terminal."""
    return _twice(what, PASSPHRASE_FILE)


def changed_passphrase(what: str) -> bytes:
    """A passphrase in the place of another one: asked twice, or from a file of its own."""
    return _twice(what, NEW_PASSPHRASE_FILE)


def pin(what: str, last_try: bool) -> bytes:
    """The PIN of a token, from the file that `BLOCKLIST_PIN_FILE` names or from a prompt.

    Raises:
        UsageError: There is neither file nor terminal, or the PIN is empty.
        RefusedError: The next wrong one locks the token, and nobody is there to look at what is given.
    """
    if os.environ.get(PIN_FILE) and last_try:
        raise RefusedError(
            _("one more wrong PIN locks {what}, so the one in the file is not tried", what=what),
            _("correct the file; then run a command that signs without {variable} and type the PIN", variable=PIN_FILE),
        )
    secret = _secret(
        what, PIN_FILE, _("PIN for {what}, the last try", what=what) if last_try else _("PIN for {what}", what=what)
    )
    if not secret:
        raise UsageError(_("the PIN for {what} is empty", what=what))
    return secret


def _twice(what: str, variable: str) -> bytes:
    secret = _passphrase(what, variable)
    if not os.environ.get(variable) and _passphrase(_("{what}, again", what=what), variable) != secret:
        raise UsageError(_("the two passphrases differ"), _("nothing was made; try again"))
    return secret


def _passphrase(what: str, variable: str) -> bytes:
    secret = _secret(what, variable, _("Passphrase for {what}", what=what))
    if not secret:
        raise UsageError(_("the passphrase for {what} is empty", what=what), _("choose one, or use --no-passphrase"))
    try:
        secret.decode()
    except UnicodeDecodeError as fault:
        raise UsageError(
            _("the passphrase for {what} is not text in UTF-8", what=what), _("save its file as UTF-8")
        ) from fault
    return secret


def _secret(what: str, variable: str, prompt: str) -> bytes:
    """The first line of the file that a variable names, or what is typed."""
    from blocklist import files

    path = os.environ.get(variable)
    if path:
        name = _("the PIN file") if variable == PIN_FILE else _("the passphrase file")
        return files.read(Path(path), name, 4096).split(b"\n")[0].rstrip(b"\r")
    if not sys.stdin.isatty():
        if variable == PIN_FILE:
            message = _("the PIN for {what} cannot be asked for: there is no terminal", what=what)
        else:
            message = _("the passphrase for {what} cannot be asked for: there is no terminal", what=what)
        raise UsageError(message, _("{variable} names a file with it", variable=variable))
    return str(click.prompt(prompt, hide_input=True, err=True)).encode()


def workspace(settings: Settings, read: Callable[[str], bytes] = passphrase) -> Workspace:
    """The workspace of `-C`, with the key folder of this user."""
    from blocklist.signing import KeyFolder
    from blocklist.workspace import Workspace

    return Workspace(settings.folder.absolute(), KeyFolder(keys_path(), read, pin=pin), list_id=settings.list_id)


def office(settings: Settings) -> Office:
    """The register of the workspace, opened and verified."""
    from blocklist.office import Office

    return Office(workspace(settings), clock, settings.officer, progress)


def signing_office(settings: Settings) -> Office:
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
    from blocklist.documents import is_identifier

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
    from blocklist.fields import ActError, parse_instant

    try:
        if not _DAY.fullmatch(text):
            return parse_instant(text)
        morning = datetime.combine(date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), paris())
        return morning.astimezone(UTC)
    except (ActError, ValueError) as fault:
        raise click.BadParameter(
            _("a date is 2027-02-14, or an instant in UTC such as 2027-02-14T12:00:00Z")
        ) from fault
