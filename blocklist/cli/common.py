"""What every command shares: the common options, output as text or JSON, questions, dates."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from blocklist.errors import BlocklistError, UsageError
from blocklist.messages import _

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from blocklist.office import Office
    from blocklist.workspace import Workspace

PASSPHRASE_FILE = "BLOCKLIST_PASSPHRASE_FILE"  # noqa: S105  (the name of a variable)


_DAY = re.compile(r"2[01][0-9]{2}-[0-9]{2}-[0-9]{2}")


@dataclass(slots=True)
class Settings:
    """The common options, wherever on the command line they stand."""

    folder: Path = Path()
    officer: str | None = None
    json: bool = False
    yes: bool = False


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:  # noqa: ANN401  (any option's value)
        if value not in (None, False):
            setattr(ctx.ensure_object(Settings), name, value)

    return callback


def common_options(officer_variable: str | None = None) -> list[click.Parameter]:
    """`-C`, `--as` and `--json`, accepted before and after the command.

    Only the options before the command read the variable: those after it would let it win over `--as` before it.
    """

    def option(names: list[str], field: str, **rest: Any) -> click.Option:  # noqa: ANN401  (click's own arguments)
        return click.Option(names, expose_value=False, callback=_set(field), **rest)

    return [
        option(["-C", "folder"], "folder", type=click.Path(path_type=Path), metavar="DIR", help="The workspace."),
        option(["--as", "officer"], "officer", envvar=officer_variable, metavar="ID", help="The officer who signs."),
        option(["--json", "as_json"], "json", is_flag=True, help="Print one JSON object."),
    ]


class Verb(click.Command):
    """A command that takes the common options after its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (click's signature)
        super().__init__(*args, **kwargs)
        self.params += common_options()


class VerbGroup(click.Group):
    """A group of commands; without one it prints its help, and that is a usage error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help when nothing was said."""
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(UsageError.exit_code)
        return super().parse_args(ctx, args)


yes_option = click.option("--yes", is_flag=True, expose_value=False, callback=_set("yes"), help="Answer yes.")


# Output: data to standard output, messages to standard error


def prepare_output() -> None:
    """Let a terminal that cannot show a character show its code instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A message for the person."""
    click.echo(text, err=True)


def finish(settings: Settings, members: dict[str, object], text: str = "") -> None:
    """The command's one result: JSON if that was asked for, else a message."""
    if settings.json:
        unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        click.echo(json.dumps(members, ensure_ascii=not unicode, default=str))
    elif text:
        say(text)


def counted(count: int, what: str = "name") -> str:
    """`1 name`, `2 names`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns on standard output."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fail(error: BlocklistError) -> NoReturn:
    """Print an error as one line and a hint, and exit with its code."""
    click.echo(f"blocklist: error: {error.message}", err=True)
    for line in error.hint.splitlines():
        click.echo(f"blocklist: hint: {line}", err=True)
    sys.exit(error.exit_code)


def ask(settings: Settings, question: str) -> None:
    """Ask on a terminal; without one, or with `--yes`, nothing is asked.

    Raises:
        click.Abort: The answer is no.
    """
    if not settings.yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def confirmed(settings: Settings, question: str) -> bool:
    """The answer on a terminal; yes without one, or with `--yes`."""
    return settings.yes or not sys.stdin.isatty() or click.confirm(question, err=True)


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
    from blocklist import files

    path = os.environ.get(PASSPHRASE_FILE)
    if path:
        secret = files.read(Path(path), "the passphrase file", 4096).split(b"\n")[0].rstrip(b"\r")
    elif sys.stdin.isatty():
        secret = str(click.prompt(_("Passphrase for {what}", what=what), hide_input=True, err=True)).encode()
    else:
        raise UsageError(
            _("the passphrase for {what} cannot be asked for: there is no terminal", what=what),
            _("{PASSPHRASE_FILE} names a file with it", PASSPHRASE_FILE=PASSPHRASE_FILE),
        )
    if not secret:
        raise UsageError(_("the passphrase for {what} is empty", what=what), _("choose one, or use --no-passphrase"))
    try:
        secret.decode()
    except UnicodeDecodeError as fault:
        raise UsageError(
            _("the passphrase for {what} is not text in UTF-8", what=what), _("save its file as UTF-8")
        ) from fault
    return secret


def new_passphrase(what: str) -> bytes:
    """A passphrase for a new key: asked twice on a terminal."""
    secret = passphrase(what)
    if not os.environ.get(PASSPHRASE_FILE) and passphrase(f"{what}, again") != secret:
        raise UsageError(_("the two passphrases differ"), _("nothing was made; try again"))
    return secret


def workspace(settings: Settings, read: Callable[[str], bytes] = passphrase) -> Workspace:
    """The workspace of `-C`, with the key folder of this user."""
    from blocklist.signing import KeyFolder
    from blocklist.workspace import Workspace

    return Workspace(settings.folder.absolute(), KeyFolder(keys_path(), read))


def office(settings: Settings) -> Office:
    """The register of the workspace, opened and verified."""
    from blocklist.office import Office

    return Office(workspace(settings), clock(), settings.officer)


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


def paris() -> ZoneInfo:
    """The time zone in which dates are meant and shown."""
    from zoneinfo import ZoneInfo

    return ZoneInfo("Europe/Paris")


def shown(instant: datetime) -> str:
    """An instant for people: Paris time with its offset."""
    return instant.astimezone(paris()).isoformat(" ", "minutes" if instant.second == 0 else "seconds")


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
