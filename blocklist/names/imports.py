"""Files of names that people import: bytes in, every name with its line out.

Nothing is cut, mended or dropped on the way. Whatever is neither a comment nor a name stays an entry, so that the
caller, who normalises the names, refuses it under the number of its line.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from itertools import compress, count, islice, takewhile
from typing import Any, Final, NamedTuple

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later

MAX_BYTES: Final = 64 << 20
"""Largest file that is read; a million names take about 20 MiB."""

NAME_COLUMNS: Final = ("name", "domain", "host", "hostname")
LIST_KEYS: Final = ("names", "domains")

LOCAL_NAMES: Final = frozenset(
    {
        "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
        "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
    }
)  # fmt: skip
"""What every hosts file begins with: names of the machine itself, never of a site."""

_BLANKS = " \t"  # other white space separates no fields: it stays, and is refused with the name it stands in
_filled_lines = re.compile(r"[^\r\n]+").finditer
_comment = re.compile(r"(?:^|[ \t])#").search
_begins_yaml = re.compile(rf"""(?:-|---|(?:{"|".join(LIST_KEYS)})[ ]*:)(?:[ \t]|$)|\{{|\[[ \t]*(?:["']|$)""").match
# What YAML forbids, and the line breaks that it counts but editors do not (NEL, LS, PS): our numbers would be wrong.
_not_in_yaml = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
).search

_YAML_SHAPE = later("write one list of names, '- www.example.com' a line, alone or under the key names or domains")
_NO_SCOPE = later("take the column out and look at the scopes that import shows, or use 'blocklist add --scope'")
_CSV_SHAPE = later("name one column of the header {titles} or {last}")


class Entry(NamedTuple):
    """What stands in one place of a file as a name.

    Attributes:
        line: The line in the file, from 1; of a CSV row, the one where the row starts.
        text: What stands there, not normalised; empty where a name should be and is not.
    """

    line: int
    text: str


def detect(content: str) -> str:
    """Tell the format of a file's text by its first line that is neither blank nor a comment.

    Returns:
        One of `FORMATS`; `names` when it looks like nothing else, since then each line is shown when refused.
    """
    _, line = _first(content)
    fields = _fields(_uncommented(line))
    if len(fields) > 1 and _is_address(fields[0]):
        return "hosts"
    if _begins_yaml(line.lstrip(_BLANKS)):
        return "yaml"
    return "csv" if _delimiter(line) else "names"


def read(content: bytes, format_id: str | None = None) -> list[Entry]:
    """Read the names of a file, in their order, duplicates included.

    A line ends with LF, CRLF or CR. In `names` and `hosts`, `#` starts a comment at the start of a line and after a
    blank. Nothing else does: a line that starts with `!` or `;` is an entry, and no name.

    Args:
        content: The whole file, in UTF-8, with or without a byte order mark.
        format_id: One of `FORMATS`; told by content when it is not given.

    Raises:
        UsageError: It is too large, not in UTF-8, of an unknown format, or not as that format has to be.
    """
    if format_id is not None and format_id not in _READERS:
        raise UsageError(
            _("there is no import format {format_id!r}", format_id=format_id),
            _("take one of {choices}", choices=", ".join(FORMATS)),
        )
    if len(content) > MAX_BYTES:
        raise UsageError(_("the file is over {most} MiB", most=MAX_BYTES >> 20), _("import it in parts"))
    content = content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            _("line {line} is not in UTF-8", line=line), _("save the file as UTF-8 text and import that")
        ) from None
    return _READERS[format_id or detect(text)](text)


# --- One name a line, and hosts ----------------------------------------------------------------------------------


def _read_names(content: str) -> list[Entry]:
    texts = _uncommented_lines(content)
    # No loop: a million lines take 0.4 s, and as long again for the garbage collector to look at each entry.
    return list(map(Entry, compress(count(1), texts), filter(None, texts)))


def _read_hosts(content: str) -> list[Entry]:
    lines = enumerate(_uncommented_lines(content), 1)
    return [Entry(number, text) for number, line in lines if line for text in _hosts_names(line)]


def _uncommented_lines(content: str) -> list[str]:
    return [line.strip(_BLANKS) if "#" not in line else _uncommented(line) for line in content.split("\n")]


def _hosts_names(line: str) -> list[str]:
    """Give the names of a hosts line, or the whole line when it is none."""
    fields = _fields(line)
    if len(fields) < 2 or not _is_address(fields[0]):
        return [line]
    if fields == ["0.0.0.0", "0.0.0.0"]:  # noqa: S104  (nothing is bound: lists of this format begin with that line)
        return []
    return [field for field in fields[1:] if field.lower() not in LOCAL_NAMES]


def _fields(line: str) -> list[str]:
    return [field for field in line.replace("\t", " ").split(" ") if field]


@lru_cache(1024)  # a hosts file has a million lines and one address
def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text).version)
    return False


def _uncommented(line: str) -> str:
    """Give a line without its comment and the blanks around it.

    A comment that holds another kind of line break (U+2028, form feed, …) stays: where a program shows what follows
    as a line of its own, somebody meant a name.
    """
    text = line.strip(_BLANKS)
    found = _comment(text) if "#" in text else None
    if found is None or len(text[found.start() :].splitlines()) > 1:
        return text
    return text[: found.start()].rstrip(_BLANKS)


def _first(content: str) -> tuple[int, str]:
    """Give the number and the text of the first line with a meaning; line 1 and no text when there is none."""
    for found in _filled_lines(content):
        if _uncommented(found[0]):
            return content.count("\n", 0, found.start()) + 1, found[0]
    return 1, ""


# --- CSV ---------------------------------------------------------------------------------------------------------


def _read_csv(content: str) -> list[Entry]:
    """Read the name column of a CSV; comments and blank lines may stand before its header.

    Raises:
        UsageError: No column or several could be the names, or the quotation marks do not pair.
    """
    start, first = _first(content)
    before = start - 1
    # Strict, or a quotation mark that is never closed takes all rows below it into one cell, unseen.
    rows = csv.reader(islice(io.StringIO(content), before, None), delimiter=_delimiter(first) or ",", strict=True)
    entries = []
    try:
        header = next(rows, [])
        column = _name_column(header)
        start = before + rows.line_num + 1
        for row in rows:
            if row:
                entries.append(Entry(start, _cell(row, column, len(header))))
            start = before + rows.line_num + 1
    except csv.Error as error:
        raise UsageError(
            _("the row in line {line} is not valid CSV: {fault}", line=start, fault=error),
            _("check the quotation marks in that line and below it"),
        ) from None
    return entries


def _delimiter(header: str) -> str | None:
    """Give the delimiter that makes most cells of a header, one of them called as names are; else nothing."""
    widths = {}
    for delimiter in ",;\t":
        with suppress(csv.Error):  # a cell of over 128 KiB
            cells = next(csv.reader([header], delimiter=delimiter), [])
            if _name_columns(cells):
                widths[delimiter] = len(cells)
    return max(widths, key=widths.__getitem__, default=None)


def _name_columns(header: list[str]) -> list[int]:
    return [index for index, cell in enumerate(header) if cell.strip().lower() in NAME_COLUMNS]


def _name_column(header: list[str]) -> int:
    """Give the column that holds the names.

    Raises:
        UsageError: There is none, or more than one: taking the first would drop names unseen. Or there is a column of
            scopes, which are not read: a host that somebody wrote down must not become its whole domain.
    """
    columns = _name_columns(header)
    if any(cell.strip().lower() == "scope" for cell in header):
        raise UsageError(_("the CSV has a column of scopes, which import does not read"), _(_NO_SCOPE))
    if not columns:
        raise UsageError(_("the CSV has no column of names"), _csv_hint())
    if len(columns) > 1:
        titles = ", ".join(header[column].strip() for column in columns)
        raise UsageError(
            _("the CSV has {count} columns that could be the names: {titles}", count=len(columns), titles=titles),
            _csv_hint(),
        )
    return columns[0]


def _csv_hint() -> str:
    return _(_CSV_SHAPE, titles=", ".join(NAME_COLUMNS[:-1]), last=NAME_COLUMNS[-1])


def _cell(row: list[str], column: int, width: int) -> str:
    """Give the name cell; the whole row, which is no name, when it holds more than the header has columns for."""
    if any(cell.strip() for cell in row[width:]):
        return " | ".join(row)
    return row[column] if column < len(row) else ""


# --- YAML --------------------------------------------------------------------------------------------------------


def _read_yaml(content: str) -> list[Entry]:
    """Read a list of texts from the parser's events.

    An event has the text as written: `no` and `12:30:45` are never guessed to be something else. And nothing is
    built that could expand or nest without end.

    Raises:
        UsageError: It is not YAML, or not one flat list of texts.
    """
    import yaml  # takes 15 ms, and the other formats never need it

    if found := _not_in_yaml(content):
        line = content.count("\n", 0, found.start()) + 1
        raise UsageError(
            _("line {line} holds U+{code:04X}, which YAML cannot", line=line, code=ord(found[0])),
            _("delete that character"),
        )
    last = content.count("\n") + 1  # the parser may put the end of the file past it
    try:
        return list(_yaml_items(_yaml_kinds(yaml.parse(content, yaml.CSafeLoader), last)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = min(mark.line + 1, last) if mark else last
        raise UsageError(
            _("line {line} is not valid YAML: {fault}", line=line, fault=getattr(error, "problem", error)),
            _(_YAML_SHAPE),
        ) from None


def _yaml_items(kinds: Iterator[tuple[str, int, str]]) -> Iterator[Entry]:
    """Yield the items of the one list in a document.

    Raises:
        UsageError: There is another thing in the document, or no list.
    """
    kind, line, text = next(kinds)
    if kind == "MappingStart":
        kind, line, text = next(kinds)
        if kind != "Scalar" or text not in LIST_KEYS:
            raise _not_yaml_list(_("line {line} has another key than names or domains", line=line))
        kind, line, text = next(kinds)
    if kind != "SequenceStart":
        raise _not_yaml_list(_("line {line} is no list of names", line=line))
    for kind, line, text in takewhile(lambda event: event[0] != "SequenceEnd", kinds):
        if kind != "Scalar":
            raise _not_yaml_list(_("line {line} has an item that is no text but a list or a mapping", line=line))
        yield Entry(line, text)
    for kind, line, _value in kinds:
        if kind not in ("MappingEnd", "DocumentEnd", "StreamEnd"):
            raise _not_yaml_list(_("line {line} has more than the one list", line=line))


def _yaml_kinds(events: Iterable[Any], last: int) -> Iterator[tuple[str, int, str]]:
    """Yield kind, line and text of each event after the document's start.

    Raises:
        UsageError: At a directive, an anchor, an alias or a tag.
    """
    for event in events:
        kind, line = type(event).__name__.removesuffix("Event"), min(event.start_mark.line + 1, last)
        if getattr(event, "version", None) or getattr(event, "tags", None):
            raise _not_yaml_list(_("line {line} is under a directive (%)", line=line))
        if getattr(event, "anchor", None):
            raise _not_yaml_list(_("line {line} has an anchor (&) or an alias (*)", line=line))
        if getattr(event, "tag", None):
            raise _not_yaml_list(_("line {line} has a tag (!)", line=line))
        if kind not in ("StreamStart", "DocumentStart"):
            yield kind, line, getattr(event, "value", "")


def _not_yaml_list(message: str) -> UsageError:
    return UsageError(message, _(_YAML_SHAPE))


_READERS: Final[Mapping[str, Callable[[str], list[Entry]]]] = {
    "names": _read_names,
    "hosts": _read_hosts,
    "csv": _read_csv,
    "yaml": _read_yaml,
}
FORMATS: Final = tuple(_READERS)
"""Names of the formats: one name a line, hosts file, CSV with a header, YAML list."""
