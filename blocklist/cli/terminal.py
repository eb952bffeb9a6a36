"""What commands write and ask: tables that fit, results, errors, progress, questions, passphrases.

Data go to standard output, messages to standard error.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from blocklist.base.errors import BlocklistError, RefusedError, UsageError
from blocklist.base.i18n import _, later, plural

if TYPE_CHECKING:
    from blocklist.cli.commands import Settings
    from blocklist.release.contents import BrakeError, Plan


_PATIENCE = 0.5
"""Seconds for which nobody wonders what the program does."""

_painted = re.compile(r"((?:\x1b\[[0-9;]*m)*)(.*?)((?:\x1b\[0m)?)", re.DOTALL).fullmatch
_GAP = "  "


def prepare_output() -> None:
    """Let a terminal that cannot show a character show its code instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def colour(args: Sequence[str]) -> bool | None:
    """What click is told about colour: never with `NO_COLOR` (no-color.org) or `--json`, else on a terminal alone."""
    return False if os.environ.get("NO_COLOR") or "--json" in args else None


def urgent(text: str) -> str:
    """A text that must not be overlooked, in bold red where there is colour."""
    return click.style(text, fg="red", bold=True)


def faint(text: str) -> str:
    """A text that is there for help, dim where there is colour."""
    return click.style(text, dim=True)


INFO, NOTICE, WARNING, ERROR = 6, 5, 4, 3
"""Levels of syslog (RFC 5424, section 6.2.1), which journald sorts and filters by."""


def say(text: str, level: int = INFO, color: bool | None = None) -> None:
    """A message for the person, or for the journal, where each of its lines says how much it matters."""
    if _to_journal():
        text = "\n".join(f"<{level}>{line}" for line in click.unstyle(text).splitlines())
    click.echo(text, err=True, color=color)


def _to_journal() -> bool:
    """Whether standard error is a stream of journald (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns on standard output, in 80 columns, or all of a terminal that is wider.

    Nothing is cut: the widest columns go on in the next lines. A cell may be coloured (`urgent`).

    Args:
        header: The titles, translated already.
        rows: The cells of each row, as many as there are titles.
    """
    for line in table_lines(header, rows, _columns()):
        click.echo(line)


def table_lines(header: Sequence[str], rows: Iterable[Sequence[object]], width: int) -> Iterator[str]:
    """The lines of a table that is at most `width` columns wide."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = _fitted([max(map(_width, column)) for column in zip(*cells, strict=True)], width)
    for row in cells:
        columns = [_wrapped(cell, size) for cell, size in zip(row, widths, strict=True)]
        for index in range(max(map(len, columns))):
            parts = (column[index] if index < len(column) else "" for column in columns)
            padded = (part + " " * (size - _width(part)) for part, size in zip(parts, widths, strict=True))
            yield _GAP.join(padded).rstrip()


def _fitted(widths: list[int], width: int) -> list[int]:
    """Take from the widest column, one place at a time, until all of them fit."""
    fitted = list(widths)
    while sum(fitted) + len(_GAP) * (len(fitted) - 1) > width and max(fitted) > 1:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _width(text: str) -> int:
    """The places that a text takes on a terminal: none for a mark, two for a character of East Asia, as a rule."""
    plain = click.unstyle(text)
    if plain.isascii():
        return len(plain)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in plain)


def _wrapped(cell: str, width: int) -> list[str]:
    """Break a cell into lines, all in its colour: at a blank, else after a dot or hyphen, else anywhere."""
    match = _painted(cell)
    before, text, after = match.groups() if match else ("", cell, "")
    lines = []
    while _width(text) > width:
        most = next(index for index in range(len(text), 0, -1) if index == 1 or _width(text[:index]) <= width)
        # A blank right behind what fits is as good a place: it is dropped.
        blank, within = text.rfind(" ", 0, most + 1), max(text.rfind(mark, 0, most) for mark in ".-")
        end = max(blank, 0) or within + 1 or most
        lines.append(text[:end].rstrip(" "))
        text = text[end:].lstrip(" ")
    return [before + line + after for line in (*lines, text)]


def _columns() -> int:
    return max(80, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 80


@contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], object]]:
    """Show on standard error how far a long piece of work is, if that is a terminal and the work is long.

    It yields the function to call with how many more of the `length` steps (acts, files, octets) are done, so that
    what works needs no command line: it takes any `Callable[[int], object]`.

    Args:
        label: What is done, translated already.
        length: All steps.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    begun = time.monotonic()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=True) as bar:

        def advance(done: int) -> None:
            bar.hidden = time.monotonic() - begun < _PATIENCE
            bar.update(done)

        yield advance


PASSPHRASE_FILE = "BLOCKLIST_PASSPHRASE_FILE"  # noqa: S105  (the name of a variable)
NEW_PASSPHRASE_FILE = "BLOCKLIST_NEW_PASSPHRASE_FILE"  # noqa: S105
PIN_FILE = "BLOCKLIST_PIN_FILE"


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
    from blocklist.base import durable

    path = os.environ.get(variable)
    if path:
        name = _("the PIN file") if variable == PIN_FILE else _("the passphrase file")
        return durable.read(Path(path), name, 4096).split(b"\n")[0].rstrip(b"\r")
    if not sys.stdin.isatty():
        if variable == PIN_FILE:
            message = _("the PIN for {what} cannot be asked for: there is no terminal", what=what)
        else:
            message = _("the passphrase for {what} cannot be asked for: there is no terminal", what=what)
        raise UsageError(message, _("{variable} names a file with it", variable=variable))
    return str(click.prompt(prompt, hide_input=True, err=True)).encode()


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


def plan_members(plan: Plan) -> dict[str, object]:
    """A plan as JSON: the names that are added, removed by acts and lapsed, and the checksum that accepts it."""
    return {
        "checksum": plan.checksum,
        "added": [*plan.added.domain, *plan.added.host],
        "removed": [*plan.removed.domain, *plan.removed.host],
        "lapsed": [*plan.lapsed.domain, *plan.lapsed.host],
    }


def print_plan(plan: Plan) -> None:
    """A plan for people, on standard output."""
    from blocklist.release.notices import SHOWN

    changes = [("+", plan.added, _("added")), ("-", plan.removed, _("removed")), ("-", plan.lapsed, _("lapsed"))]
    for sign, names, how in changes:
        named = [(text, scope) for scope, texts in names.by_scope() for text in texts[:SHOWN]]
        for text, scope in named[:SHOWN]:
            click.echo(f"{sign} {text} ({scope}) {how}")
        if len(names) > SHOWN:
            click.echo(f"{sign} {plural('… and {count} more', '… and {count} more', len(names) - SHOWN)} {how}")
    print_totals(plan)


def print_totals(plan: Plan) -> None:
    """How much a plan changes, and the checksum that accepts it."""
    click.echo(
        _(
            "{changes}; {names} before; checksum {checksum}",
            changes=counts(plan),
            names=counted(plan.before),
            checksum=plan.checksum,
        )
    )


def show_braked(settings: Settings, error: BrakeError) -> None:
    """The plan that the brakes stopped, before the error that says so."""
    if settings.json:
        finish(settings, plan_members(error.plan))
    else:
        print_plan(error.plan)


def counts(plan: Plan) -> str:
    """How many names a plan changes, in words."""
    return ", ".join(
        (
            plural("{count} added", "{count} added", len(plan.added)),
            plural("{count} removed", "{count} removed", len(plan.removed)),
            plural("{count} lapsed", "{count} lapsed", len(plan.lapsed)),
            plural("{count} renewed", "{count} renewed", len(plan.renewed)),
        )
    )
