"""Documents that people or acts hold: YAML without its traps, and values read with every fault noted at once.

What is signed is read by the same checks for ever, so nothing here depends on a library's tables.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, plural

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}

RESERVED_IDS: Final = frozenset({"root", "targets", "snapshot", "timestamp", "metadata", "latest", "registers"})
"""Names of roles and folders of the published tree; `registers` because its delegation would be `registers/*`."""

MAX_FILE: Final = 1 << 20
_MAX_DEPTH: Final = 8
_MAX_SHOWN: Final = 50

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhdw])")
_PLAIN_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
# Latin letters and the punctuation of French and English: all of it assigned long ago, none of it combining, so what
# is NFC today is NFC for ever; no line break, soft hyphen or direction mark can get into an export's header.
_TEXT: Final = re.compile(r"[\x20-\x7e\xa0-\xac\xae-\u024f\u2010-\u2027\u202f-\u205e\u20ac]+")
BAD: Final = object()
"""Stands for a value whose fault is already noted."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


@dataclass(frozen=True, slots=True)
class Range:
    """Least and most, both allowed, and the phrase (`later`) that says so, with its article of law if there is one."""

    least: int
    most: int
    allowed: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (`brakes.added`), what is there, and what is allowed, in one phrase."""

    key: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return _("{key}: {value}; allowed: {allowed}", key=self.key, value=self.value, allowed=self.allowed)


class DocumentError(UsageError):
    """A document is not valid; holds every fault that was found, not the first only.

    Args:
        name: What was read: the file's name, or "the signed policy".
        faults: At least one.
    """

    def __init__(self, name: str, faults: Collection[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [str(fault) for fault in self.faults[:_MAX_SHOWN]]
        if len(self.faults) > _MAX_SHOWN:
            lines.append(_("and {count} more", count=len(self.faults) - _MAX_SHOWN))
        message = plural("{name} has {count} fault", "{name} has {count} faults", len(self.faults), name=name)
        super().__init__(message, "\n".join(lines))

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"


# --- YAML, without its traps -------------------------------------------------------------------------------------


def read_yaml(files: Mapping[str, bytes], name: str, path: str, checker: Checker) -> object:
    """The tree of one file; `BAD` after a fault that leaves nothing to look at."""
    content = files.get(name)
    if content is None:
        checker.fault(path or name, name, _("a file that is there"))
    elif len(content) > MAX_FILE:
        checker.fault(path or name, _("{count} bytes", count=len(content)), _("a file of at most 1 MiB"))
    else:
        try:
            return _parse_yaml(content.decode("utf-8-sig"), name, path, checker)
        except UnicodeDecodeError as error:
            checker.fault(
                path or name, _("byte {number} of {name}", number=error.start, name=name), _("a file in UTF-8")
            )
    return BAD


def _parse_yaml(text: str, name: str, path: str, checker: Checker) -> object:
    import yaml  # takes 15 ms, and replays never need it

    before = len(checker.faults)
    try:
        _check_events(yaml.parse(text, yaml.CSafeLoader), name, path, checker)
        if len(checker.faults) > before:
            return BAD
        return _value(yaml.compose(text, yaml.CSafeLoader), name, path, checker)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = _line(name, mark) if mark else name
        problem = getattr(error, "problem", None) or _("unreadable character")
        checker.fault(path or name, where, _("valid YAML ({problem})", problem=problem))
    return BAD


def _line(name: str, mark: Any) -> str:  # noqa: ANN401 - yaml has no common type
    return _("{name} line {line}", name=name, line=mark.line + 1)


def _check_events(events: Iterable[Any], name: str, path: str, checker: Checker) -> None:
    """Look for what could expand, tag or nest without end, before anything is built."""
    depth, documents = -2, 0  # the stream and its document are no levels of the policy
    for event in events:
        where, kind = _line(name, event.start_mark), type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        documents += kind == "DocumentStartEvent"
        if depth > _MAX_DEPTH:
            checker.fault(path or name, where, _("at most {most} levels", most=_MAX_DEPTH))
            return
        if documents > 1 or getattr(event, "version", None) or getattr(event, "tags", None):
            checker.fault(path or name, where, _("one document, without --- and % lines"))
            return
        if getattr(event, "anchor", None):
            checker.fault(path or name, f"{where}: {event.anchor}", _("values written out, no anchor (&) or alias (*)"))
        if getattr(event, "tag", None):
            checker.fault(path or name, f"{where}: {event.tag}", _("values without a tag (!)"))


def _value(node: Any, name: str, path: str, checker: Checker) -> object:  # noqa: ANN401 - yaml has no common type
    """The plain value of a YAML node."""
    if node is None:
        checker.fault(path or name, _("nothing"), _("a file that is not empty"))
        return BAD
    if node.id == "sequence":
        return [_value(item, name, join(path, str(index)), checker) for index, item in enumerate(node.value)]
    return _pairs(node, name, path, checker) if node.id == "mapping" else _scalar(node, path or name, checker)


def _pairs(node: Any, name: str, path: str, checker: Checker) -> dict[str, object]:  # noqa: ANN401
    pairs: dict[str, object] = {}
    for key_node, value_node in node.value:
        key = _value(key_node, name, path, checker)
        if not isinstance(key, str):
            checker.fault(path or name, key, _("keys that are words"))
            continue
        if key in pairs:
            where = _("again in line {line} of {name}", line=key_node.start_mark.line + 1, name=name)
            checker.fault(join(path, key), where, _("each key once"))
        pairs[key] = _value(value_node, name, join(path, key), checker)
    return pairs


def _scalar(node: Any, path: str, checker: Checker) -> object:  # noqa: ANN401
    """Quoted is text; plain is text, `true`, `false` or a decimal, and what YAML 1.1 would guess is refused."""
    text, tag = node.value, node.tag.rpartition(":")[2]
    if node.style or tag == "str":
        return text
    if tag == "bool" and text in ("true", "false"):
        return text == "true"
    if tag == "int" and _PLAIN_INTEGER.fullmatch(text):
        return int(text)
    checker.fault(path, text, _("text in quotes, true, false or a plain whole number (YAML would guess here)"))
    return BAD


# --- Values ------------------------------------------------------------------------------------------------------


def is_identifier(value: object) -> bool:
    """Whether this is an id of an officer, a list or a ground."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and value not in RESERVED_IDS


def join(path: str, key: str) -> str:
    """The path of `key` below `path`, shortened where somebody wrote nonsense."""
    shown = key if re.fullmatch(r"[\w.-]{1,80}", key, re.ASCII) else _repr.repr(key)
    return f"{path}.{shown}" if path else shown


class Checker:
    """Reads one value of a kind, or notes a fault and gives back a stand-in, so that checking goes on."""

    def __init__(self, *, written: bool) -> None:
        self.written = written
        self.faults: list[Fault] = []

    def fault(self, path: str, value: object, allowed: str) -> None:
        """Note that `value` at `path` is wrong, and what is allowed there."""
        if value is not BAD:
            self.faults.append(Fault(path, _repr.repr(value), allowed))

    def section(self, value: object, path: str, required: str, optional: str = "") -> dict[str, object]:
        """A mapping with these keys; one that is missing is there as `BAD`."""
        known, pairs = (*required.split(), *optional.split()), self.pairs(value, path)
        for key in pairs.keys() - set(known):
            self.fault(join(path, key), pairs[key], _unknown(key, known))
        if isinstance(value, dict):
            self.faults += [
                Fault(join(path, k), _("missing"), _("a value")) for k in required.split() if k not in pairs
            ]
        return {**dict.fromkeys(required.split(), BAD), **{key: pairs[key] for key in known if key in pairs}}

    def pairs(self, value: object, path: str) -> dict[str, object]:
        """A mapping with keys that are text."""
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return value
        self.fault(path or "policy", value, _("keys and values"))
        return {}

    def items(self, value: object, path: str, least: int, most: int) -> Iterator[tuple[str, object]]:
        """The values of a list, each with its path."""
        if isinstance(value, list) and least <= len(value) <= most:
            yield from ((join(path, str(index)), item) for index, item in enumerate(value))
        else:
            self.fault(path, value, _("a list of {least} to {most} values", least=least, most=most))

    def integer(self, value: object, path: str, least: int, most: int) -> int:
        """A whole number; a boolean is none."""
        if type(value) is int and least <= value <= most:
            return value
        self.fault(path, value, _("a whole number from {least} to {most}", least=least, most=most))
        return 0

    def duration(self, value: object, path: str, allowed: Range) -> int:
        """A duration in seconds, written `24h` in a file."""
        seconds = read_duration(value) if self.written else value
        if type(seconds) is not int:
            how = _("a whole number and a unit, such as 300s, 90m, 24h, 14d or 12w")
            self.fault(path, value, how if self.written else _("whole seconds"))
        elif allowed.least <= seconds <= allowed.most:
            return seconds
        else:
            self.fault(path, value, _(allowed.allowed))
        return 0

    def text(self, value: object, path: str, most: int = 300) -> str:
        """One line of text that can stand in the header of any export."""
        if isinstance(value, str) and _is_text(value, most):
            return value
        self.fault(path, value, _("one line of 1 to {most} Latin characters in NFC, no blanks around it", most=most))
        return ""

    def texts(self, value: object, path: str) -> dict[str, str]:
        """The same text in French and in English."""
        pairs = self.section(value, path, "fr en")
        return {key: self.text(text, join(path, key), 2000) for key, text in pairs.items()}

    def choice(self, value: object, path: str, allowed: Collection[str]) -> str:
        """One of the words that are allowed."""
        if isinstance(value, str) and value in allowed:
            return value
        self.fault(path, value, ", ".join(allowed))
        return ""

    def identifier(self, value: object, path: str) -> str:
        """An id, see `is_identifier`."""
        if isinstance(value, str) and is_identifier(value):
            return value
        reserved = ", ".join(sorted(RESERVED_IDS))
        self.fault(
            path,
            value,
            _("a lower-case letter, then up to 31 letters, digits or hyphens; none of {reserved}", reserved=reserved),
        )
        return ""

    def distinct(self, pairs: Iterator[tuple[str, str]]) -> tuple[str, ...]:
        """The good values of a list, each once."""
        kept: dict[str, str] = {}
        for path, value in pairs:
            if value in kept:
                self.fault(path, value, _("each value once (it is also {key})", key=kept[value]))
            elif value:
                kept[value] = path
        return tuple(kept)


def read_duration(value: object) -> int | None:
    """The seconds of a duration such as `24h` or `2w`; None when it is none."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else None


def _is_text(value: str, most: int) -> bool:
    if not 1 <= len(value) <= most or value != value.strip():
        return False
    return _TEXT.fullmatch(value) is not None and unicodedata.is_normalized("NFC", value)


def _unknown(key: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, known, 1)
    if close:
        return _("no key of this name; did you mean {key}?", key=close[0])
    return _("one of the keys {keys}", keys=", ".join(known))
