"""A policy zone, read once from its bytes: what would a resolver choke on?

Lists are long and uniform, so lines are looked at in three ways, each far faster than the next: a stretch of names that
all have the same records is taken as a whole, once it is sure that its lines are these records and nothing else; a line
whose records are known is split at its first blank; whatever is left is read as RFC 1035 has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from blocklist.lint.masterfile import (
    DNSSEC,
    MAX_LINE,
    MAX_WIRE,
    Entry,
    EntryError,
    Reader,
    Record,
    name,
    record,
    ttl,
)
from blocklist.lint.owners import Owners
from blocklist.lint.rules import Findings
from blocklist.lint.state import Act, State

ZONE_ROOM = 32
"""Octets of a zone name of 30 characters in a message: the longest that the header of our zones allows."""

_LEAST, _MOST = 4096, 1024 * 1024
"""Octets that are looked at as a stretch: more after a success, fewer after a failure."""

_SIGHT = 2048
"""Octets in which a name's records have to stand to be recognised."""

_REMEMBERED = 8192
_BYTES = bytes(range(256))
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_NO_CONTROL = _CONTROL.sub(b"", _BYTES)
_PLAIN = rb"([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)"
_OWNER = re.compile(rb"(?:\*\.)?((?:[a-z0-9_][a-z0-9_-]{0,62}\.)+[a-z0-9_][a-z0-9_-]{0,62})")
_SPECIAL = re.compile(rb'["();\\]')


class _Block(NamedTuple):
    """The lines of one name: what stands around it, and what they do."""

    parts: tuple[bytes, ...]
    state: State


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
        self._known: dict[bytes, Act] = {}
        self._window = _LEAST

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
        place = 0
        if self._too_long:
            place, self._too_long = text.find(b"\n") + 1 or len(text) + 1, False
            self._line += 1
        while place <= len(text):
            taken, left = self._stretch(text, place)
            if not taken:
                end = text.rfind(b"\n", place, place + left)
                end = end if end >= 0 else text.find(b"\n", place)
                taken = self._line_by_line(text[place : end if end >= 0 else len(text)])
            place += taken

    def _line_by_line(self, text: bytes) -> int:
        lines = text.split(b"\n")
        if b"\r" in text:
            lines = self._without_returns(lines)
        if text.translate(None, _NO_CONTROL) or max(map(len, lines)) > MAX_LINE:
            self._blank_unreadable(lines)
        for line in lines:
            self._line += 1
            self._one(line)
        return len(text) + 1

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

    # A stretch of names with the same records

    def _stretch(self, text: bytes, start: int) -> tuple[int, int]:
        """Take the names that have the records of the first one.

        Returns:
            How many octets were taken; if none, how many are to be looked at line by line.
        """
        end = text.rfind(b"\n", start, start + self._window) + 1
        if not end or self._reader.depth or self._origin or not self._head:
            return 0, 1
        block = self._block(text[start : min(end, start + _SIGHT)].split(b"\n"))
        names = _pattern(block.parts).findall(text, start, end) if block else []
        if block is None or not names:
            return 0, 1
        size, last, joined = len(block.parts) - 1, names[-1].join(block.parts), b"\n".join(names)
        length = (len(joined) + 1 - len(names)) * size + sum(map(len, block.parts)) * len(names)
        # The names stand one after the other if the last one ends where their lengths say. It could stand there
        # a second time, but then it is in `names` twice.
        if (
            text[start + length - len(last) : start + length] != last
            or not self._are_plain(joined, max(map(len, names)), block.state)
            or not self._owners.extend(names, joined, block.state, self._line + 1, size)
        ):
            left, self._window = end - start, max(self._window // 4, _LEAST)
            return 0, left
        self._line += len(names) * size
        self.records += len(names) * size
        self._owner = last.split(b"\n")[-2].split(None, 1)[0].decode()
        self._window = min(self._window * 2, _MOST)
        return length, 0

    def _block(self, lines: list[bytes]) -> _Block | None:
        """The records of the name of the first line, if it is new and they are known."""
        first = _split(lines[0])
        base = first[0].removeprefix(b"*.") if first else b""
        if first is None or not base or self._owners.get(base) is not None:
            return None
        state, parts = self._owners.nothing, [b"" if first[0] == base else b"*."]
        for line in lines[:-1]:
            split = _split(line)
            if split is None or split[0] not in (base, b"*." + base):
                break
            if _CONTROL.search(line):
                return None
            owner, tail = split
            act = self._known.get(tail)
            after = self._owners.after(state, owner != base, act) if act else ""
            if isinstance(after, str):
                return None
            state = after
            if len(parts) > 1:
                parts[-1] += b"" if owner == base else b"*."
            parts.append(line[len(owner) :] + b"\n")
        return _Block(tuple(parts), state) if len(parts) > 1 else None

    def _are_plain(self, text: bytes, longest: int, state: State) -> bool:
        """Whether all of these, a line each, are names that need no second look."""
        if state.has_address and b"_" in text:
            return False
        if b"-" in text:
            bounded = b"\n" + text + b"\n"
            if any(part in bounded for part in (b"-.", b"-\n", b".-", b"\n-", b".rpz-", b"\nrpz-")):
                return False
        return longest <= 63 or (self._owners.fits(longest) and not re.search(rb"[^.\n]{64}", text))

    # A line

    def _one(self, line: bytes) -> None:
        """One line: a record that looks like others before, or whatever else it is."""
        if not self._reader.depth and not self._origin and self._head:
            split = _split(line)
            act = self._known.get(split[1]) if split else None
            owner = split[0].lower() if split else b""
            match = _OWNER.fullmatch(owner)
            if act is not None and match is not None:
                self._owner = owner.decode()
                self.records += 1
                self._owners.add(self._line, owner, match[1], act)
                return
        self._entry(line)

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
        act = self._owners.act(found)
        split = _split(line)
        if split and not entry.inherits and not found.faults and not _SPECIAL.search(line) and self._ttl:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            if found.type not in DNSSEC | {"SOA", "NS"}:
                self._known[split[1]] = act
        self._place(entry.line, relative, found, act)

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

    def _place(self, line: int, relative: str, found: Record, act: Act) -> None:
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
            self._owners.add(line, owner, owner.removeprefix(b"*."), act)

    def _soa(self, line: int, relative: str, found: Record) -> None:
        self._head = True
        if self.serial is not None or relative:
            self._note("soa-twice", line, relative or "@")
            return
        # From the right: names can hold blanks, and generic data (RFC 3597) have no serial at all.
        serial = found.value.rsplit(" ", 5)[1:2]
        self.serial = int(serial[0]) if not found.faults and serial and serial[0].isdecimal() else 0

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


@lru_cache(maxsize=64)
def _pattern(parts: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """What matches the lines of one name; its only group is the name."""
    first, second, *others = map(re.escape, parts)
    return re.compile(b"^" + first + _PLAIN + second + b"".join(rb"\1" + other for other in others), re.MULTILINE)


def _split(line: bytes) -> tuple[bytes, bytes] | None:
    """Owner and rest of a line that holds a whole record; None when it may be anything else."""
    if line[:1] in (b"", b" ", b"\t", b"$", b";", b"("):
        return None
    parts = line.split(None, 1)
    return (parts[0], parts[1]) if len(parts) == 2 else None


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
