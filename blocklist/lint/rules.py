"""What can be wrong in a policy zone or another export, which servers it hurts, and what to do about it.

Most effects were seen on a real server (BIND 9.18, Unbound 1.17, Knot Resolver 5.6, PowerDNS Recursor 4.8), and tests
see the gravest again; those of Knot Resolver 6 are read from its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from blocklist.base.i18n import _, later

Severity = Literal["error", "warning"]
BIND, UNBOUND, KNOT5, KNOT6, POWERDNS = "BIND", "Unbound", "Knot Resolver 5", "Knot Resolver 6", "PowerDNS"
SERVERS = (BIND, UNBOUND, KNOT5, KNOT6, POWERDNS)
EXAMPLES = 100
"""Findings of one rule that are kept; the others are counted."""

_LOST = later("loads no rule at all")
_DOWN = later("does not start")
_REST = later("drops this and every later rule")
_OTHER_RULE = later("takes it for another kind of rule")
_WRONG = later("answers for names that nobody listed")
_IGNORED = later("ignores it: the name resolves")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: an error is what makes a server refuse the file, or block what it should not or not what it should."""

    severity: Severity
    what: str
    effects: Mapping[str, str]
    hint: str


def _error(what: str, hint: str, **effects: str) -> Rule:
    return Rule("error", what, _by_server(effects), hint)


def _warning(what: str, hint: str, **effects: str) -> Rule:
    return Rule("warning", what, _by_server(effects), hint)


_KEYS = {"bind": BIND, "unbound": UNBOUND, "knot5": KNOT5, "knot6": KNOT6, "powerdns": POWERDNS}


def _by_server(effects: Mapping[str, str]) -> Mapping[str, str]:
    return {_KEYS[key]: effect for key, effect in effects.items()}


_UNREAD = {"bind": _LOST, "unbound": _DOWN, "knot5": _REST, "powerdns": _LOST}

RULES: Mapping[str, Rule] = {
    # The file
    "crlf": _error(
        later("a line ends with CR LF"), later("write LF alone (dos2unix)"), knot5=_LOST
    ),
    "final-newline": _warning(
        later("the last line has no end"),
        later("is the file complete? end it with a line feed"),
        bind=later("warns"),
    ),
    "control": _error(later("there is a control character"), later("take it out"), **_UNREAD),
    "line-limit": _error(
        later("a line, or a record over several lines, is too long"), later("shorten it"), unbound=_DOWN
    ),
    "empty": _error(later("the file is empty"), later("is it the right file?"), bind=_LOST, powerdns=_LOST),
    # Its form
    "syntax": _error(later("this is no record"), later("correct or remove the line"), **_UNREAD),
    "directive": _error(
        later("servers do not know this directive alike"),
        later("leave $INCLUDE, $GENERATE and unknown directives out: write every record"),
        bind=_LOST, unbound=_DOWN, knot5=_REST, powerdns=_LOST,
    ),
    "origin": _error(
        later("$ORIGIN pins the name of the zone, which is the provider's"),
        later("leave it out; relative owners fit every zone name"),
        bind=later("loads nothing under another name"), unbound=later("does not start under another name"),
    ),
    "class": _error(later("the class is not IN"), later("write IN or nothing"), **_UNREAD),
    "type": _error(later("the type of the record is unknown"), later("correct it"), **_UNREAD),
    "data": _error(later("the record's data do not fit its type"), later("correct them"), **_UNREAD),
    "ttl": _error(
        later("this is no TTL"), later("a number of seconds"), bind=_LOST, knot5=_REST, powerdns=_LOST
    ),
    "ttl-missing": _warning(
        later("a record has no TTL and there is no $TTL before it"),
        later("begin with $TTL 300"),
        bind=later("takes the SOA's minimum"),
    ),
    "no-owner": _error(
        later("the line begins with a blank, and there is no owner before it"), later("write the owner"),
        bind=_LOST, knot5=_LOST, powerdns=_LOST,
    ),
    # Its head
    "soa-missing": _error(later("there is no SOA record"), later("put it first"), bind=_LOST, powerdns=_LOST),
    "soa-twice": _error(later("there are two SOA records"), later("keep one"), bind=_LOST),
    "soa-late": _error(later("records stand before the SOA"), later("put it first"), powerdns=_LOST),
    "ns-missing": _error(later("the zone has no NS record"), later("@ NS localhost."), bind=_LOST),
    "ns-in-zone": _error(
        later("a name server in the zone has no address"), later("@ NS localhost."), bind=_LOST
    ),
    "apex": _error(
        later("the zone's own name has other records than SOA and NS"),
        later("take them out: they become a rule for the root"),
        unbound=_WRONG, knot5=_WRONG, powerdns=_WRONG,
    ),
    "dnssec": _error(
        later("there is a ZONEMD or DNSSEC record"),
        later("serve an unsigned zone without ZONEMD; verify the file before it is loaded"),
        unbound=_WRONG, knot5=_WRONG, powerdns=_WRONG,
    ),
    "serial": _error(
        later("the serial is not above that of the earlier file"),
        later("raise it; secondaries ignore a lower one (RFC 1982)"),
        bind=later("keeps the old zone"), unbound=later("keeps the old zone"), powerdns=later("keeps the old zone"),
    ),
    # Owners
    "label": _error(later("a label is empty or longer than 63 octets"), later("remove the name"), **_UNREAD),
    "too-long": _error(
        later("owner and zone name have over 255 octets together"),
        later("leave the name out, or give the zone a shorter name"),
        **_UNREAD,
    ),
    "character": _error(
        later("an owner has a character that no name has"),
        later("an A-label for other alphabets; no URL, no path"),
        knot5=_REST,
    ),
    "odd-name": _warning(
        later("nobody asks for such a name"), later("remove it"), bind=later("loads a rule that never matches")
    ),
    "absolute-owner": _error(
        later("an owner ends with a dot and is not in the zone"),
        later("write owners relative to the zone, without a dot at the end"),
        bind=_IGNORED, unbound=_DOWN,
    ),
    "everything": _error(
        later("this is a rule for all names"), later("remove it"), knot5=_WRONG, powerdns=_WRONG
    ),
    "trigger": _error(
        later("the last label is that of another kind of rule, and the rest does not fit it"),
        later("no public name ends with rpz-ip, rpz-client-ip, rpz-nsip or rpz-nsdname"),
        powerdns=_LOST,
    ),
    "other-trigger": _error(
        later("this is a rule for addresses or name servers, and for no name"),
        later("use such rules only if you mean them: unrelated sites share an address"),
        bind=_OTHER_RULE, unbound=_OTHER_RULE, powerdns=_OTHER_RULE, knot5=_IGNORED, knot6=_IGNORED,
    ),
    "host-name": _error(
        later("an address record has an owner that no host can have"),
        later("CNAME . or CNAME *. for a name with an underscore"),
        bind=_LOST,
    ),
    # Rules
    "duplicate": _error(later("a record stands there twice"), later("keep one"), powerdns=_LOST),
    "two-actions": _error(
        later("a name has two actions"), later("keep one"),
        bind=_LOST, unbound=later("takes the first"), knot5=later("takes the last"), powerdns=_LOST,
    ),
    "too-many": _error(later("a name has over 100 records"), later("a rule needs one or two"), knot5=_WRONG),
    "below-wildcard": _error(
        later("a rule below *.NAME takes its neighbours out of that"),
        later("leave out what a rule for *.NAME covers"),
        bind=later("lets neighbours and names below resolve"), unbound=later("lets names below resolve"),
    ),
    "relative-target": _error(
        later("the target of a CNAME has no dot at the end"),
        later("write the dot: without it, it is a name in the zone"),
        bind=_WRONG, unbound=_WRONG, powerdns=_WRONG,
    ),
    "half": _warning(
        later("*.NAME has a rule and NAME has none"), later("write both"),
        **dict.fromkeys(_KEYS, later("lets NAME itself resolve")),
    ),
    "name-only": _warning(
        later("NAME has a rule and *.NAME has none"), later("right for a host; write both for a domain"),
        bind=later("lets names below resolve"), unbound=later("lets names below resolve"),
        knot5=later("lets names below resolve"), powerdns=later("lets names below resolve"),
    ),
    "subtree": _warning(
        later("CNAME . for a name alone"), later("CNAME *. is exact everywhere"),
        knot6=later("blocks everything below it too"),
    ),
    "landing-cname": _warning(
        later("the landing page is a CNAME"), later("use A and AAAA records"), knot5=_IGNORED,
    ),
    "wildcard-address": _warning(
        later("*.NAME has address records"), later("for Knot Resolver 6, use the export knot"),
        knot6=later("lets names below resolve"),
    ),
    "action": _warning(
        later("passthru, drop or tcp-only"), later("only for servers that know it"), knot6=_IGNORED
    ),
    "dname": _warning(later("DNAME is no action"), later("CNAME"), knot5=_IGNORED),
    # Other exports
    "line-twice": _error(later("a line stands there twice"), later("keep one")),
}  # fmt: skip
"""Every rule by its id."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a rule is broken; `owner` is the name, or else what stands there."""

    rule: str
    line: int
    owner: str

    def to_json(self) -> dict[str, object]:
        """The finding as JSON; its keys and ids are the same in every language."""
        rule = RULES[self.rule]
        return {"rule": self.rule, "severity": rule.severity, "line": self.line, "owner": self.owner}


@dataclass(slots=True)
class Findings:
    """All that was found: of each rule the first findings, and how many there are."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, rule: str, line: int, owner: str, count: int = 1) -> None:
        """Note a finding, or `count` of which this is the first."""
        self.counts[rule] = self.counts.get(rule, 0) + count
        kept = self.examples.setdefault(rule, [])
        if len(kept) < EXAMPLES:
            kept.append(Finding(rule, line, owner))

    def of(self, severity: Severity) -> int:
        """How many findings of that severity there are."""
        return sum(count for rule, count in self.counts.items() if RULES[rule].severity == severity)

    @property
    def rules(self) -> list[str]:
        """The broken rules: errors first, then as the table has them."""
        return sorted(self.counts, key=lambda rule: (RULES[rule].severity, list(RULES).index(rule)))

    def first_error(self) -> Finding | None:
        """An error to name where there is room for one."""
        return next((self.examples[rule][0] for rule in self.rules if RULES[rule].severity == "error"), None)


def described(rule: str) -> str:
    """What a rule is about, for people."""
    return _(RULES[rule].what)


def affected(rule: str) -> list[tuple[str, str]]:
    """The servers that a finding hurts, and how, for people."""
    return [(server, _(effect)) for server, effect in RULES[rule].effects.items()]
