"""Zone files as RFC 1035, section 5 has them: entries from lines, records from entries. Any bytes are taken."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

MAX_LINE = 65_535
"""Octets of one line, and of one record over several lines; servers' lexers end at about that."""

MAX_TOKENS = 4096
MAX_NUMBER = 100
"""Characters of a serial or a time; Python takes time, or gives up, on thousands of digits."""

MAX_WIRE = 255
"""Octets of a name in a message (RFC 1035, section 2.3.4)."""

_DNSSEC = "ZONEMD DNSKEY RRSIG NSEC NSEC3 NSEC3PARAM DS CDS CDNSKEY DLV KEY SIG NXT"
_OTHERS = (
    "A AAAA AFSDB APL CAA CERT CNAME CSYNC DHCID DNAME EUI48 EUI64 GPOS HINFO HIP HTTPS IPSECKEY ISDN KX L32 L64 LOC LP"
    " MB MG MINFO MR MX NAPTR NID NS NSAP OPENPGPKEY PTR PX RP RT SMIMEA SOA SPF SRV SSHFP SVCB TLSA TXT URI WKS X25"
)
DNSSEC = frozenset(_DNSSEC.split())
"""Types that vouch for a zone; in a policy zone they become rules."""

TYPES = DNSSEC | frozenset(_OTHERS.split())
CLASSES = frozenset(("IN", "CH", "HS", "CS", "ANY", "NONE"))

_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|([()])|(;.*)|((?:[^\s"();\\]|\\.)+)|(\s+)', re.DOTALL)
_TTL = re.compile(r"(?:\d[smhdw]?)+", re.IGNORECASE)
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NUMBERED = re.compile(r"(TYPE|CLASS)(\d{1,5})")
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LAST_TTL = 2**31 - 1


class EntryError(Exception):
    """An entry that no server reads; `reason` is the id of the rule."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the line where it begins, whether that began with a blank, its words."""

    line: int
    inherits: bool
    words: tuple[str, ...]


@dataclass(slots=True)
class Reader:
    """Puts entries together from lines; parentheses join several."""

    depth: int = 0
    _line: int = 0
    _inherits: bool = False
    _words: list[str] = field(default_factory=list)
    _octets: int = 0

    def read(self, number: int, line: bytes) -> Iterator[Entry]:
        """The entry that ends with this line, if one does.

        Raises:
            EntryError: The line cannot be read; reading goes on with the next one.
        """
        if not self.depth:
            self._start(number, line)
        self._octets += len(line)
        if self._octets > MAX_LINE:
            self._drop("line-limit", str(self._octets))
        for match in self._tokens(line):
            quoted, bracket, _comment, word, _blank = match.groups()
            if bracket:
                self.depth += 1 if bracket == b"(" else -1
                if self.depth not in (0, 1):
                    self._drop("syntax", "( )")
            elif quoted is not None or word is not None:
                self._words.append((word if quoted is None else quoted).decode("latin-1"))
                if len(self._words) > MAX_TOKENS:
                    self._drop("line-limit", str(MAX_TOKENS))
        if not self.depth and self._words:
            yield Entry(self._line, self._inherits, tuple(self._words))
            self._words = []

    def end(self) -> None:
        """Nothing follows.

        Raises:
            EntryError: A parenthesis is open.
        """
        if self.depth:
            self._drop("syntax", "(")

    def _start(self, number: int, line: bytes) -> None:
        self._line, self._words, self._octets = number, [], 0
        self._inherits = line[:1] in (b" ", b"\t")

    def _tokens(self, line: bytes) -> Iterator[re.Match[bytes]]:
        place = 0
        while place < len(line):
            match = _TOKEN.match(line, place)
            if match is None:
                self._drop("syntax", '"' if line[place : place + 1] == b'"' else "\\")
                return
            yield match
            place = match.end()

    def _drop(self, reason: str, detail: str) -> None:
        self.depth, self._words = 0, []
        raise EntryError(reason, detail)


@dataclass(frozen=True, slots=True)
class Record:
    """What stands after an owner. `value` is the same for two records that mean the same.

    `faults` are ids of rules, each with what broke it.
    """

    type: str
    value: str
    ttl: int | None
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def action(self) -> str:
        """What a policy zone makes of it: `nxdomain`, `nodata`, `passthru`, `drop`, `tcp-only`, `cname`, `data`."""
        return _ACTIONS.get(self.value, "cname") if self.type == "CNAME" else "data"


_ACTIONS = {
    ".": "nxdomain",
    "*.": "nodata",
    "rpz-passthru.": "passthru",
    "rpz-drop.": "drop",
    "rpz-tcp-only.": "tcp-only",
}


def is_number(text: str) -> bool:
    """Whether these are decimal digits, and not more than anybody needs."""
    return len(text) <= MAX_NUMBER and text.isdecimal()


def ttl(text: str) -> int | None:
    """Seconds of a time such as `300`, `5m` or `1h30m`, None when it is none (RFC 2308, section 4; BIND's units)."""
    if len(text) > MAX_NUMBER or not _TTL.fullmatch(text):
        return None
    return sum(int(number) * _UNIT[unit.lower() or "s"] for number, unit in re.findall(r"(\d+)([a-zA-Z]?)", text))


def record(words: Sequence[str]) -> Record:
    """Read `[TTL] [class] type data`; TTL and class come in any order (RFC 1035, section 5.1).

    Raises:
        EntryError: There is no type, or none that servers know.
    """
    rest, seconds, faults = list(words), None, []
    seen: set[str] = set()
    while rest:
        kind = _lead(rest[0])
        if not kind or kind in seen:
            break
        seen.add(kind)
        word = rest.pop(0)
        if kind == "ttl":
            seconds = ttl(word)
            if seconds is None or seconds > _LAST_TTL:
                faults.append(("ttl", word[:40]))
        elif word.upper() not in ("IN", "CLASS1"):
            faults.append(("class", word[:40]))
    if not rest:
        raise EntryError("syntax", " ".join(words)[:60])
    name = rest.pop(0).upper()
    numbered = _NUMBERED.fullmatch(name)
    if name not in TYPES and not (numbered and numbered[1] == "TYPE"):
        raise EntryError("type", name[:40])
    value, more = _value(name, rest)
    return Record(name, value, seconds, (*faults, *more))


def _lead(word: str) -> str:
    if word[:1].isdigit():
        return "ttl"
    upper = word.upper()
    numbered = _NUMBERED.fullmatch(upper)
    return "class" if upper in CLASSES or (numbered and numbered[1] == "CLASS") else ""


_NAMES = {"CNAME", "DNAME", "NS", "PTR"}
_LEAST = {"MX": 2, "SRV": 4, "SOA": 7, "HTTPS": 2, "SVCB": 2, "CAA": 3, "NAPTR": 6, "TXT": 1, "URI": 3}


def _value(type_: str, words: list[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    text = " ".join(words)
    bad = (("data", f"{type_} {text}"[:60]),)
    if words[:1] == ["\\#"]:
        return text, ()
    if type_ in ("A", "AAAA"):
        address = _address(text)
        return (address, ()) if address and (":" in address) == (type_ == "AAAA") else (text, bad)
    if type_ in _NAMES:
        if len(words) != 1 or not _is_name(text):
            return text, bad
        relative = type_ == "CNAME" and not text.endswith(".")
        return text.lower(), ((("relative-target", text[:60]),) if relative else ())
    if type_ == "SOA":
        return text.lower(), () if _is_soa(words) else bad
    return text, () if len(words) >= _LEAST.get(type_, 1) else bad


@lru_cache(maxsize=256)
def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _is_name(text: str) -> bool:
    try:
        name(text)
    except EntryError:
        return False
    return True


def _is_soa(words: Sequence[str]) -> bool:
    if len(words) != 7 or not all(map(_is_name, words[:2])):
        return False
    return is_number(words[2]) and int(words[2]) < 2**32 and all(ttl(word) is not None for word in words[3:])


def name(text: str) -> str:
    """A name in lower case, with its final dot if it has one; escapes of ordinary characters are taken away.

    Raises:
        EntryError: It has an empty label, one over 63 octets, or an escape of nothing.
    """
    lowered = _ESCAPE.sub(_unescaped, text).lower() if "\\" in text else text.lower()
    if lowered in ("@", "."):
        return lowered
    labels = re.split(r"(?<!\\)\.", lowered.removesuffix("."))
    for label in labels:
        octets = len(_ESCAPE.sub("x", label))
        if not 0 < octets <= 63:
            raise EntryError("label", label[:70] or text[:70])
    return lowered


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code.isdigit() and len(code) == 3:
        if int(code) > 255:
            raise EntryError("syntax", match[0])
        code = chr(int(code))
    return code if code.lower() in _PLAIN else f"\\{ord(code):03d}" if ord(code) < 256 else match[0]


def wire_length(text: str) -> int:
    """Octets of a relative name in a message, without the root."""
    return len(_ESCAPE.sub("x", text)) + 1 if text else 0
