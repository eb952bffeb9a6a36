"""A policy zone, read once from its bytes: what would a resolver choke on?

Lists are long and uniform: a line whose owner is an ordinary name and whose record was seen before only moves that name
from one state to the next. Whatever else a line is, it is read as RFC 1035 has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from blocklist.lint.owners import Owners
from blocklist.lint.rules import Findings
from blocklist.lint.zone_reader import (
    DNSSEC,
    MAX_LINE,
    MAX_WIRE,
    Entry,
    EntryError,
    Reader,
    Record,
    is_number,
    name,
    record,
    ttl,
)

ZONE_ROOM = 32
"""Octets of a zone name of 30 characters in a message: the longest that the header of our zones allows."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_NO_CONTROL = _CONTROL.sub(b"", bytes(range(256)))
_SPECIAL = re.compile(rb'["();\\]')


class ZoneLinter:
    """Takes the bytes of a zone in any portions (`feed`), then says what it found (`close`)."""

    def __init__(self, zone: str = "", after: int | None = None) -> None:
        """Args are those of `lint_zone`."""
        self.findings = Findings()
        self.serial: int | None = None
        self.records = 0
        self._after = after
        self._zone = zone.rstrip(".").lower()
        self._owners = Owners(self.findings, MAX_WIRE - (len(self._zone) + 2 if zone else ZONE_ROOM))
        self._reader = Reader()
        self._rest = b""
        self._too_long = False
        self._line = 0
        self._owner: str | None = None
        self._origin = ""
        self._ttl = False
        self._head = False
        self._name_servers: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """How many names have a rule; `NAME` and `*.NAME` are one."""
        return len(self._owners)

    # Portions to lines

    def feed(self, chunk: bytes) -> None:
        """The next octets of the file."""
        text = self._rest + chunk
        end = text.rfind(b"\n")
        self._rest = text[end + 1 :]
        if end >= 0:
            self._read(text[:end])
        if len(self._rest) > MAX_LINE:
            # Without this a file without line feeds would have to fit into memory.
            if not self._too_long:
                self._note("line-limit", self._line + 1, self._rest)
            self._rest, self._too_long = b"", True

    def close(self, *, warnings: bool = True) -> Findings:
        """Nothing follows: everything that was found; what every name would be warned of only with `warnings`."""
        if self._rest or self._too_long:
            self._note("final-newline", self._line + 1, self._rest)
            self._read(self._rest)
        try:
            self._reader.end()
        except EntryError as fault:
            self._note(fault.reason, self._line, fault.detail)
        self._check_head()
        self._owners.finish(warnings=warnings)
        return self.findings

    def _read(self, text: bytes) -> None:
        """Whole lines; the last one without its line feed."""
        lines = text.split(b"\n")
        if self._too_long:
            self._too_long = False
            self._line += 1
            del lines[0]
        if b"\r" in text:
            lines = self._without_returns(lines)
        if text.translate(None, _NO_CONTROL) or (len(text) > MAX_LINE and max(map(len, lines), default=0) > MAX_LINE):
            self._blank_unreadable(lines)
        if b"\t" in text and not _SPECIAL.search(text):
            lines = [line.replace(b"\t", b" ") for line in lines]
        self._read_lines(lines)

    def _read_lines(self, lines: list[bytes]) -> None:
        done = 0
        while done < len(lines):
            if not self._reader.depth and not self._origin and self._head:
                taken = self._owners.take(lines, done, self._line + 1)
                if taken:
                    done += taken
                    self._line += taken
                    self.records += taken
                    self._owner = lines[done - 1].partition(b" ")[0].decode()
                    continue
            self._line += 1
            self._entry(lines[done])
            done += 1

    def _without_returns(self, lines: list[bytes]) -> list[bytes]:
        for number, line in enumerate(lines, self._line + 1):
            if line.endswith(b"\r"):
                self._note("crlf", number, line[:-1].split(b" ")[0])
        return [line.removesuffix(b"\r") for line in lines]

    def _blank_unreadable(self, lines: list[bytes]) -> None:
        """Note the lines that hold what no line may, and go on as if they were empty."""
        for index, line in enumerate(lines):
            rule = "line-limit" if len(line) > MAX_LINE else "control" if _CONTROL.search(line) else ""
            if rule:
                self._note(rule, self._line + index + 1, line)
                lines[index] = b""

    def _note(self, rule: str, line: int, owner: str | bytes) -> None:
        text = owner[:300].decode("latin-1") if isinstance(owner, bytes) else owner
        self.findings.add(rule, line, text[:260])

    # A line

    def _entry(self, line: bytes) -> None:
        try:
            for entry in self._reader.read(self._line, line):
                if entry.words[0].startswith("$") and not entry.inherits:
                    self._directive(entry)
                else:
                    self._record(entry, line)
        except EntryError as fault:
            self._note(fault.reason, self._line, fault.detail)

    def _directive(self, entry: Entry) -> None:
        word, *rest = entry.words
        match word.upper():
            case "$TTL" if len(rest) == 1 and ttl(rest[0]) is not None:
                self._ttl = True
            case "$TTL":
                self._note("ttl", entry.line, " ".join(rest))
            case "$ORIGIN" if len(rest) == 1:
                self._set_origin(entry.line, name(rest[0]))
            case _:
                self._note("directive", entry.line, word)

    def _set_origin(self, line: int, text: str) -> None:
        if not text.endswith("."):
            self._origin = f"{text}.{self._origin}".rstrip(".") if text != "@" else self._origin
            return
        if not self._zone:
            self._pin(line, text)
        inside = self._inside(text)
        if inside is None:
            self._note("origin", line, text)
        self._origin = inside or ""

    def _pin(self, line: int, text: str) -> None:
        """The file says the zone's name, which we do not know."""
        self._zone = text.rstrip(".")
        self._note("origin", line, text)

    def _inside(self, text: str) -> str | None:
        """An absolute name relative to the zone; None when it is not in it."""
        absolute = text.rstrip(".")
        if absolute == self._zone:
            return ""
        return absolute.removesuffix(f".{self._zone}") if absolute.endswith(f".{self._zone}") else None

    def _record(self, entry: Entry, line: bytes) -> None:
        words = list(entry.words)
        if not entry.inherits:
            self._owner = None
            owner = words.pop(0)
        elif self._owner is None:
            self._note("no-owner", entry.line, " ".join(words)[:60])
            return
        else:
            owner = self._owner
        found = record(words)
        self.records += 1
        for rule, detail in found.faults:
            self._note(rule, entry.line, f"{owner} {detail}")
        self._check_ttl(entry.line, found, owner)
        relative = self._relative(entry.line, owner, found)
        self._owner = owner
        if relative is None:
            return
        plain = not (entry.inherits or found.faults or _SPECIAL.search(line))
        self._place(entry.line, relative, found, line.partition(b" ")[2] if plain else b"")

    def _check_ttl(self, line: int, found: Record, owner: str) -> None:
        """What a record without a TTL takes is that of $TTL, or of the record before it (RFC 1035, section 5.1)."""
        if found.ttl is None and not self._ttl:
            self._note("ttl-missing", line, owner)
        self._ttl = True

    def _relative(self, line: int, owner: str, found: Record) -> str | None:
        """The owner relative to the zone, "" for its own name; None when it is in no zone."""
        text = name(owner)
        if text == "@":
            return self._origin
        if not text.endswith("."):
            return f"{text}.{self._origin}" if self._origin else text
        if not self._zone and found.type == "SOA":
            self._pin(line, text)
        inside = self._inside(text) if self._zone else None
        if inside is None:
            self._note("absolute-owner", line, text)
        return inside

    # What a record does

    def _place(self, line: int, relative: str, found: Record, octets: bytes) -> None:
        if found.type == "SOA":
            self._soa(line, relative, found)
            return
        if not self._head:
            self._head = True
            self._note("soa-late", line, relative or "@")
        if found.type in DNSSEC:
            self._note("dnssec", line, f"{relative or '@'} {found.type}")
        elif relative == "" and found.type == "NS":
            self._name_servers.append((line, found.value))
        elif relative == "":
            self._note("apex", line, f"@ {found.type}")
        elif relative == "*":
            self._note("everything", line, relative)
        else:
            owner = relative.encode("latin-1", "replace")
            self._owners.check(line, owner)
            self._owners.add(line, owner, self._owners.act(found), octets)

    def _soa(self, line: int, relative: str, found: Record) -> None:
        self._head = True
        if self.serial is not None or relative:
            self._note("soa-twice", line, relative or "@")
            return
        # From the right: names can hold blanks, and generic data (RFC 3597) have no serial at all.
        serial = found.value.rsplit(" ", 5)[1:2]
        self.serial = int(serial[0]) if not found.faults and serial and is_number(serial[0]) else 0

    # At the end

    def _check_head(self) -> None:
        if not self.records and not self.findings.counts:
            self._note("empty", 1, "")
            return
        if self.serial is None:
            self._note("soa-missing", 1, "@")
        elif self._after is not None and not 0 < (self.serial - self._after) % 2**32 < 2**31:
            self._note("serial", 1, f"{self._after} → {self.serial}")
        if not self._name_servers:
            self._note("ns-missing", 1, "@")
        for line, target in self._name_servers:
            if target == "@":
                inside: str | None = ""
            else:
                inside = target if not target.endswith(".") else self._inside(target) if self._zone else None
            rules = self._owners.get((inside or "").encode("latin-1", "replace")) or self._owners.nothing
            if inside is not None and not any(act.is_address for act in rules.own):
                self._note("ns-in-zone", line, target)


def lint_zone(chunks: Iterable[bytes], zone: str = "", after: int | None = None) -> ZoneLinter:
    """Read a whole zone.

    Args:
        chunks: Its bytes.
        zone: The name under which it will be loaded; without one, any of up to 30 characters.
        after: The serial of an earlier file.
    """
    linter = ZoneLinter(zone, after)
    for chunk in chunks:
        linter.feed(chunk)
    linter.close()
    return linter
