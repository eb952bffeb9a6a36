"""Reading documents with every fault noted at once, and the policy that an act signs for ever.

One validator reads both forms of a policy. They differ in three points only: the file writes durations as ``24h`` and
names the two files of protected names and platforms; the JSON has whole seconds, and the names themselves.

Every replay of a register, for ever, runs `from_json` on what was signed: nothing here depends on a library's tables.
"""

from __future__ import annotations

import ipaddress
import re
import reprlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Final

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later, plural
from blocklist.names import domain_name
from blocklist.register.decoders import RESERVED_IDS, is_identifier
from blocklist.register.lifecycle import RuleError
from blocklist.register.policy import (
    ACTIONS,
    DAY,
    FORMATS,
    HOUR,
    MAX_FORMATS,
    MAX_GROUNDS,
    MAX_NAMES,
    MINUTE,
    REGIMES,
    TENANTS,
    UNSAID,
    WEEK,
    Action,
    Ask,
    Brakes,
    Ground,
    LegalBasis,
    Policy,
    Range,
)

_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}

_MAX_SHOWN: Final = 50
MAX_FAULTS: Final = 100
"""A document that has more is not read on: whoever wrote it has enough to do, or wants to keep us busy."""

_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhdw])")
# Latin letters and the punctuation of French and English: all of it assigned long ago, none of it combining, so what
# is NFC today is NFC for ever; no line break, soft hyphen or direction mark can get into an export's header.
_TEXT: Final = re.compile(r"[\x20-\x7e\xa0-\xac\xae-\u024f\u2010-\u2027\u202f-\u205e\u20ac]+")
BAD: Final = object()
"""Stands for a value whose fault is already noted."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


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


def join(path: str, key: str) -> str:
    """The path of `key` below `path`, shortened where somebody wrote nonsense."""
    shown = key if re.fullmatch(r"[\w.-]{1,80}", key, re.ASCII) else _repr.repr(key)
    return f"{path}.{shown}" if path else shown


class Checker:
    """Reads one value of a kind, or notes a fault and gives back a stand-in, so that checking goes on.

    Args:
        name: What is read, for the error.
        error: What is raised with the faults, by `finish` or as soon as there are `MAX_FAULTS`.
        written: Whether it is a file that people write.
    """

    def __init__(self, name: str, error: type[DocumentError] = DocumentError, *, written: bool) -> None:
        self.written = written
        self.faults: list[Fault] = []
        self._name = name
        self._error = error

    def fault(self, path: str, value: object, allowed: str) -> None:
        """Note that `value` at `path` is wrong, and what is allowed there."""
        if value is not BAD:
            self.faults.append(Fault(path, _repr.repr(value), allowed))
        if len(self.faults) >= MAX_FAULTS:
            self.finish()

    def finish(self) -> None:
        """Raise every fault that was noted, if there is one."""
        if self.faults:
            raise self._error(self._name, self.faults)

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

    def pairs(self, value: object, path: str, most: int = 1000) -> dict[str, object]:
        """A mapping with keys that are text, at most so many."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.fault(path or "policy", value, _("keys and values"))
        elif len(value) > most:
            self.fault(path or "policy", _("{count} keys", count=len(value)), _("at most {most} keys", most=most))
        else:
            return value
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


# The policy, as it is signed


class PolicyError(DocumentError):
    """A policy is not valid."""


def from_json(value: object) -> Policy:
    """Read the signed form; the same rules as for the file.

    Raises:
        PolicyError: Anything is wrong; it holds every fault.
    """
    checker = Checker(_("the signed policy"), PolicyError, written=False)
    policy = policy_of(value, checker)
    checker.finish()
    return policy


def read_policy(value: Mapping[str, object], list_id: str) -> Policy:
    """The policy that an act holds.

    Raises:
        RuleError: It is not valid, or another list's.
    """
    try:
        policy = from_json(value)
    except PolicyError as fault:
        raise RuleError(_("its policy is not valid: {message}", message=fault.message), fault.hint) from fault
    if policy.id != list_id:
        raise RuleError(_("its policy is for the list {other}, not for {list_id}", other=policy.id, list_id=list_id))
    return policy


_REQUIRED: Final = " ".join(field.name for field in fields(Policy) if field.default is MISSING)
_WARN: Final = Range(1, 1830 * DAY, later("more than 0 and shorter than review"))
_KEEP: Final = Range(DAY, 3660 * DAY, later("1d to 3660d (the current release is always kept)"))


def policy_of(value: object, checker: Checker) -> Policy:
    """Read every field, then check the rules between fields; meaningless when `checker` has faults."""
    c, v = checker, checker.section(value, "", _REQUIRED, "own")
    # An unknown regime is a fault by itself; the others' limits still need something to be checked by.
    regime = REGIMES.get(c.choice(v["regime"], "regime", REGIMES), REGIMES["other"])
    policy = Policy(
        id=c.identifier(v["id"], "id"),
        regime=v["regime"] if isinstance(v["regime"], str) else "",
        title=c.texts(v["title"], "title"),
        authority=c.text(v["authority"], "authority"),
        legal_basis=tuple(_legal_basis(c, *item) for item in c.items(v["legal_basis"], "legal_basis", 1, 100)),
        grounds=_grounds(c, v["grounds"]),
        remedies=c.texts(v["remedies"], "remedies"),
        notice=c.duration(v["notice"], "notice", regime.notice),
        review=c.duration(v["review"], "review", regime.review),
        warn=c.duration(v["warn"], "warn", _WARN),
        approvals=_approvals(c, v["approvals"]),
        action=_action(c, v["action"]),
        ttl=c.integer(v["ttl"], "ttl", 1, HOUR),
        formats=c.distinct((p, _format(c, p, i)) for p, i in c.items(v["formats"], "formats", 1, MAX_FORMATS)),
        brakes=_brakes(c, v["brakes"]),
        freshness=c.duration(v["freshness"], "freshness", regime.freshness),
        keep=c.duration(v["keep"], "keep", _KEEP),
        probe=check_name(c, v["probe"], "probe"),
        own=_names(c, v.get("own", []), "own", 0, 100),
        protected=frozenset(_names(c, v["protected"], "protected", 0, MAX_NAMES)),
        platforms=_platforms(c, v["platforms"]),
    )
    if policy.review and policy.warn >= policy.review:
        c.fault("warn", v["warn"], _("shorter than review, which is {review}", review=v["review"]))
    for format_id in policy.formats:
        if policy.action.kind in UNSAID.get(format_id, ()):
            allowed = _(
                "no {format} with the action {action}: it cannot say it", format=format_id, action=policy.action.kind
            )
            c.fault("formats", format_id, allowed)
    _check_trees(c, policy)
    _check_probe(c, policy)
    return policy


def _format(c: Checker, path: str, value: object) -> str:
    """A format that we know; in what was signed any id, since a newer program may have written it.

    What a format is changes neither the fold nor another format, so who does not know one skips it (`formats.unknown`).
    """
    return c.choice(value, path, FORMATS) if c.written else c.identifier(value, path)


def _legal_basis(c: Checker, path: str, value: object) -> LegalBasis:
    v = c.section(value, path, "reference summary checked source")
    if not isinstance(v["checked"], bool):
        c.fault(join(path, "checked"), v["checked"], _("true or false"))
    return LegalBasis(
        reference=c.text(v["reference"], join(path, "reference")),
        summary=c.texts(v["summary"], join(path, "summary")),
        checked=v["checked"] is True,
        source=c.text(v["source"], join(path, "source")),
    )


def _grounds(c: Checker, value: object) -> dict[str, Ground]:
    pairs = c.pairs(value, "grounds", MAX_GROUNDS)
    grounds = {key: _ground(c, item, join("grounds", key)) for key, item in pairs.items()}
    for key in grounds:
        c.identifier(key, join("grounds", key))
    if value == {}:
        c.fault("grounds", value, _("at least one ground"))
    return grounds


def _ground(c: Checker, value: object, path: str) -> Ground:
    v = c.section(value, path, "article texts asks")
    asks = tuple(_ask(c, *item) for item in c.items(v["asks"], join(path, "asks"), 0, 50))
    c.distinct((join(path, f"asks.{index}.id"), ask.id) for index, ask in enumerate(asks))
    return Ground(c.text(v["article"], join(path, "article")), c.texts(v["texts"], join(path, "texts")), asks)


def _ask(c: Checker, path: str, value: object) -> Ask:
    v = c.section(value, path, "id texts")
    return Ask(c.identifier(v["id"], join(path, "id")), c.texts(v["texts"], join(path, "texts")))


def _approvals(c: Checker, value: object) -> dict[str, int]:
    """How many other officers approve an act; no policy takes the second person away from `add`."""
    v = c.section(value, "approvals", "add", "appoint revoke adopt")
    return {key: c.integer(item, join("approvals", key), int(key == "add"), 10) for key, item in v.items()}


def _action(c: Checker, value: object) -> Action:
    kind = c.choice(c.pairs(value, "action").get("kind", BAD), "action.kind", ACTIONS)
    required = {"address": "kind a", "cname": "kind target"}.get(kind, "kind")
    # After a wrong kind any key may be meant: one fault is enough.
    optional = {"address": "aaaa", "": "a aaaa target"}.get(kind, "")
    v = c.section(value, "action", required, optional)
    if kind == "cname":
        return Action(kind, target=check_name(c, v["target"], "action.target"))
    if kind != "address":
        return Action(kind)
    return Action(kind, a=_addresses(c, v["a"], "a", 1), aaaa=_addresses(c, v.get("aaaa", []), "aaaa", 0))


def _addresses(c: Checker, value: object, key: str, least: int) -> tuple[str, ...]:
    path, test = f"action.{key}", _is_ipv4 if key == "a" else _is_ipv6
    version = 4 if key == "a" else 6
    allowed = _("an IPv{version} address in its shortest form, of one machine", version=version)

    def read(where: str, item: object) -> str:
        if isinstance(item, str) and test(item):
            return item
        c.fault(where, item, allowed)
        return ""

    return c.distinct((where, read(where, item)) for where, item in c.items(value, path, least, 8))


# Canonical text only: Python's own reading of odd spellings (leading zeros, mapped addresses) changed between versions,
# and so may its tables of special ranges; the first octet of multicast and reserved addresses does not.
def _is_ipv4(text: str) -> bool:
    octets = text.split(".")
    good = len(octets) == 4 and all(re.fullmatch(r"0|[1-9][0-9]{0,2}", o) and int(o) < 256 for o in octets)
    return good and 0 < int(octets[0]) < 224


def _is_ipv6(text: str) -> bool:
    if not re.fullmatch(r"[0-9a-f:]{3,39}", text):
        return False
    try:
        ip = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return int(ip) >> 32 != 0xFFFF and int(ip) > 1 and ip.packed[0] != 0xFF and str(ip) == text


def _brakes(c: Checker, value: object) -> Brakes:
    most = {"added": 10_000, "added_percent": 100, "removed": 10_000}
    v = c.section(value, "brakes", " ".join(most))
    return Brakes(**{key: c.integer(v[key], join("brakes", key), 0, most[key]) for key in most})


def check_name(c: Checker, value: object, path: str) -> str:
    """Return a canonical A-label name; note a fault and return "" if `value` is none."""
    if isinstance(value, str) and domain_name.is_canonical(value):
        return value
    c.fault(path, value, _canonical_hint(value))
    return ""


def _canonical_hint(value: object) -> str:
    if not isinstance(value, str):
        return _("a name in quotes")
    try:
        return _("the form {name}", name=domain_name.normalise(value))
    except UsageError as error:
        return _("a domain or host name in lower-case A-labels ({problem})", problem=error.message)


def _names(c: Checker, value: object, path: str, least: int, most: int) -> tuple[str, ...]:
    return c.distinct((where, check_name(c, item, where)) for where, item in c.items(value, path, least, most))


def _platforms(c: Checker, value: object) -> dict[str, str]:
    pairs = c.pairs(value, "platforms", MAX_NAMES)
    read = (
        (check_name(c, k, join("platforms", k)), c.choice(t, join("platforms", k), TENANTS)) for k, t in pairs.items()
    )
    return {key: tenants for key, tenants in read if key}


def _check_trees(c: Checker, policy: Policy) -> None:
    """Protected names and platforms: none says a thing twice, none contradicts another."""
    for name in sorted(policy.protected):
        if domain_name.below(name, policy.protected):
            c.fault("protected", name, _("names outside each other: a name above it is protected already"))
    for name in sorted(policy.platforms):
        if domain_name.within(name, policy.protected):
            c.fault(join("platforms", name), name, _("no name that is protected, or below one that is"))


def _check_probe(c: Checker, policy: Policy) -> None:
    """Every export blocks the probe and what is below it: that must be nobody's."""
    probe = frozenset(filter(None, [policy.probe]))
    if policy.probe and domain_name.within(policy.probe, policy.protected):
        c.fault("probe", policy.probe, _("a name that is not protected"))
    if policy.probe and domain_name.within(policy.probe, frozenset(policy.platforms)):
        c.fault("probe", policy.probe, _("a name outside every platform"))
    own = {"own": policy.own, "action.target": filter(None, [policy.action.target])}
    for key, group in {"protected": policy.protected, "platforms": policy.platforms, **own}.items():
        for name in sorted(group):
            if domain_name.below(name, probe) or (name in probe and key in own):
                allowed = _("no name at or below the probe {probe}: every export blocks it", probe=policy.probe)
                c.fault(key, name, allowed)
