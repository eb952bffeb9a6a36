"""What the commands write: tables that fit, colour on a terminal only, how far long work is.

Data go to standard output, messages to standard error.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click

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
