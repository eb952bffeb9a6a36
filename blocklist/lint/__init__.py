"""What would a resolver choke on? Checks of policy zones and of other exports: bytes in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _, plain, plural
from blocklist.lint.rules import Finding, Findings, described
from blocklist.lint.zone import ZoneLinter

_MAX_LINE = 1024 * 1024
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_NO_CONTROL = _CONTROL.sub(b"", bytes(range(256)))
_RETURNS = ".csv"
"""Its lines end with CR LF (RFC 4180, section 2)."""

_REPEATING = (".json", ".jsonl", ".yaml", ".yml")


class TextLinter:
    """Takes the bytes of a file in any portions (`feed`), then says what it found (`close`)."""

    def __init__(self, file: str, *, entries: bool = True) -> None:
        """Without `entries` no line is remembered and none is counted but where it matters."""
        self.findings = Findings()
        self.lines = 0
        # One entry of these takes several lines, which many entries share.
        self._once = entries and not file.endswith(_REPEATING)
        self._returns = file.endswith(_RETURNS)
        self._marks = (b"\0", b"\x1b") if self._returns else (b"\0", b"\x1b", b"\r")
        self._seen: set[bytes] = set()
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """The next octets of the file."""
        text = self._rest + chunk
        end = text.rfind(b"\n")
        self._rest = text[end + 1 :]
        # Enough for exports of ours, and it takes no time; to look for every character takes longer than to write them.
        if not self._once and not any(mark in text for mark in self._marks):
            self.lines += end >= 0
        elif end >= 0:
            self._read(text[:end])
        if len(self._rest) > _MAX_LINE:
            self._note("line-limit", self.lines + 1, self._rest)
            self._rest = b""

    def close(self, *, warnings: bool = True) -> Findings:
        """Nothing follows: everything that was found."""
        if self._rest:
            self._note("final-newline", self.lines + 1, self._rest)
            self._read(self._rest)
        if not self.lines:
            self._note("empty", 1, b"")
        return self.findings

    def _read(self, text: bytes) -> None:
        lines = text.split(b"\n")
        if text.translate(None, _NO_CONTROL):
            lines = [self._without_controls(number, line) for number, line in enumerate(lines, self.lines + 1)]
        if self._once:
            self._check_twice([line for line in lines if line and not line.startswith(b"#")], lines)
        self.lines += len(lines)

    def _without_controls(self, number: int, line: bytes) -> bytes:
        if line.endswith(b"\r"):
            if not self._returns:
                self._note("crlf", number, line[:-1])
            line = line[:-1]
        if _CONTROL.search(line):
            self._note("control", number, line)
        return line

    def _check_twice(self, entries: list[bytes], lines: list[bytes]) -> None:
        if self._seen.isdisjoint(entries) and len(set(entries)) == len(entries):
            self._seen.update(entries)
            return
        for number, line in enumerate(lines, self.lines + 1):
            if line and not line.startswith(b"#"):
                if line in self._seen:
                    self._note("line-twice", number, line)
                self._seen.add(line)

    def _note(self, rule: str, line: int, text: bytes) -> None:
        self.findings.add(rule, line, text[:260].decode("utf-8", "replace"))


ZONE_SUFFIX = ".zone"


def linted(file: str, chunks: Iterable[bytes], after: int | None = None) -> Iterator[bytes]:
    """Hand on the bytes of an export of ours, and refuse it at its end if a resolver would.

    Args:
        file: Its name in the release.
        chunks: Its bytes.
        after: The number of the release before.

    Raises:
        RefusedError: There is an error in it.
    """
    linter = ZoneLinter(after=after) if file.endswith(ZONE_SUFFIX) else TextLinter(file, entries=False)
    for chunk in chunks:
        linter.feed(chunk)
        yield chunk
    _refuse_errors(file, linter.close(warnings=False))


def _refuse_errors(file: str, findings: Findings) -> None:
    first = findings.first_error()
    if first is None:
        return
    raise RefusedError(
        plural(
            "{file} has {count} error that a resolver would choke on: line {line}, {owner}: {what}",
            "{file} has {count} errors that a resolver would choke on; the first: line {line}, {owner}: {what}",
            findings.of("error"),
            file=file,
            line=first.line,
            owner=shown_owner(first),
            what=described(first.rule),
        ),
        _("nothing was published; the last release stays; tell the authors of this program"),
    )


def shown_owner(finding: Finding) -> str:
    """The name of a finding for people, on one line and not longer than a name."""
    return plain(finding.owner) or "-"
