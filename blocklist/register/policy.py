"""The policy of a list: a file that people write, the validated value, and the JSON that an act signs for ever.

One validator reads both forms. They differ in three points only: the file writes durations as ``24h`` and
names the two files of protected names and platforms; the JSON has whole seconds, and the names themselves.

Every replay of a register, for ever, runs `from_json` on what was signed. So nothing here may depend on the clock, on
a suffix list, on IDNA tables or on the version of a library; and a limit that was released never changes: when the
law does, the new limits are a new regime.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Final

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later
from blocklist.base.strict_yaml import BAD, DAY, HOUR, Checker, DocumentError, Fault, Range, join, read_yaml
from blocklist.names import domain_name

_FILE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\.yaml")
FORMATS: Final = ("rpz", "hosts", "domains", "dnsmasq", "unbound", "knot", "csv", "json")
ACTIONS: Final = ("address", "nxdomain", "cname")
UNSAID: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(("hosts", "dnsmasq", "unbound", "knot"), ("cname",))
"""Actions that a format cannot express."""
MAX_FORMATS: Final = 32
TENANTS: Final = ("host", "path")
APPROVALS: Final = ("add", "appoint", "revoke", "adopt")
MAX_NAMES: Final = 20_000


ARTICLES: Final = ("request", "notice", "identification", "oversight", "officers", "block", "review", "remove")
"""What a regime cites an article for."""


@dataclass(frozen=True, slots=True)
class Regime:
    """What a law allows a policy to choose, durations in seconds; and the articles that its rules come from."""

    notice: Range
    review: Range
    freshness: Range
    articles: Mapping[str, str]


# Three calendar months are 89 days at least (1 February to 1 May), and an hour less than that in Paris, where clocks go
# forward in March: 88 days are under a quarter whenever they begin.
REGIMES: Final[Mapping[str, Regime]] = {
    "lcen-6-1": Regime(
        notice=Range(DAY, 30 * DAY, later("24h to 30d (LCEN art. 6-1 al. 2: the host has 24 hours to remove)")),
        review=Range(HOUR, 88 * DAY, later("1h to 88d (décret 2015-125 art. 4: a check at least each quarter)")),
        freshness=Range(
            1, DAY - 1, later("more than 0 and under 24h (décret 2015-125 art. 3: providers have 24 hours)")
        ),
        articles={
            "request": "LCEN art. 6-1 al. 1",
            "notice": "LCEN art. 6-1 al. 2",
            "identification": "LCEN art. 6-1 al. 2",
            "oversight": "LCEN art. 6-1 al. 3",
            "officers": "décret 2015-125 art. 1",
            "block": "décret 2015-125 art. 3",
            "review": "décret 2015-125 art. 4",
            "remove": "décret 2015-125 art. 4",
        },
    ),
    "other": Regime(
        notice=Range(0, 366 * DAY, later("0h to 366d")),
        review=Range(HOUR, 1830 * DAY, later("1h to 1830d")),
        freshness=Range(1, 7 * DAY, later("more than 0 and at most 7d")),
        articles=dict.fromkeys(ARTICLES, ""),
    ),
}


class PolicyError(DocumentError):
    """A policy is not valid."""


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """One text of law; `checked` says that somebody read it in `source`."""

    reference: str
    summary: Mapping[str, str]
    checked: bool
    source: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One question that the dossier of an addition answers."""

    id: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a name may be listed."""

    article: str
    texts: Mapping[str, str]
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What a resolver answers: `kind` address (`a`, `aaaa`), cname (`target`) or nxdomain."""

    kind: str
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Brakes:
    """What one release may change unasked; the percentage counts above 100 names."""

    added: int
    added_percent: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A valid policy, made by `load` or `from_json` only.

    Durations are seconds; names are A-labels; texts are by language, `fr` and `en`.
    """

    id: str
    regime: str
    title: Mapping[str, str]
    authority: str
    legal_basis: tuple[LegalBasis, ...]
    grounds: Mapping[str, Ground]
    remedies: Mapping[str, str]
    notice: int
    review: int
    warn: int
    approvals: Mapping[str, int]
    action: Action
    ttl: int
    formats: tuple[str, ...]
    brakes: Brakes
    freshness: int
    keep: int
    probe: str
    own: tuple[str, ...] = ()
    protected: frozenset[str]
    platforms: Mapping[str, str]

    def article(self, key: str) -> str:
        """The article that a rule comes from, "" where the regime names none; `key` is one of `ARTICLES`."""
        return REGIMES[self.regime].articles[key]

    def to_json(self) -> dict[str, object]:
        """The form that is signed; the keys are those of the file, names are sorted, durations are seconds."""
        return _plain_fields(self)

    @staticmethod
    def from_json(value: object) -> Policy:
        """See the function `from_json`."""
        return from_json(value)


def from_json(value: object) -> Policy:
    """Read the signed form; the same rules as for the file.

    Raises:
        PolicyError: Anything is wrong; it holds every fault.
    """
    checker = Checker(written=False)
    policy = _policy(value, checker)
    if checker.faults:
        raise PolicyError(_("the signed policy"), checker.faults)
    return policy


def load(files: Mapping[str, bytes], list_id: str) -> Policy:
    """Read and validate a policy as people write it.

    Args:
        files: Contents by file name: `<list_id>.yaml` and the files that it names; others are not looked at.
        list_id: The list whose policy it is; the file has to say the same.

    Raises:
        PolicyError: Anything is wrong in any of the files; it holds every fault.
    """
    checker = Checker(written=True)
    main = f"{list_id}.yaml"
    tree = read_yaml(files, main, "", checker)
    if isinstance(tree, dict):
        for key in ("protected", "platforms"):
            if key in tree:
                tree[key] = _referred(files, tree[key], key, checker)
    policy = _policy(tree, checker)
    if policy.id not in (list_id, ""):
        checker.fault("id", policy.id, _("{list_id}, as the file is called", list_id=list_id))
    if checker.faults:
        raise PolicyError(main, checker.faults)
    return policy


def file_names(content: bytes, list_id: str) -> tuple[str, ...]:
    """The files that make up a policy, its own first, so that a caller reads (and digests) no others.

    Raises:
        PolicyError: The policy's own file cannot be read.
    """
    checker = Checker(written=True)
    main = f"{list_id}.yaml"
    tree = read_yaml({main: content}, main, "", checker)
    if not isinstance(tree, dict):
        raise PolicyError(main, checker.faults or [Fault(main, _("no keys"), _("a policy"))])
    others = (tree.get(key) for key in ("protected", "platforms"))
    return (main, *(name for name in others if isinstance(name, str) and _FILE.fullmatch(name)))


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file in hex, by file name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def documentation_addresses(policy: Policy) -> tuple[str, ...]:
    """Landing addresses that no visitor can reach: documentation, private, loopback and the like.

    Asks the tables of this Python, so it is for `publish`, never for a replay.
    """
    addresses = map(ipaddress.ip_address, (*policy.action.a, *policy.action.aaaa))
    # RFC 9637; Python 3.11 does not know it yet.
    late = ipaddress.IPv6Network("3fff::/20")
    return tuple(str(ip) for ip in addresses if not ip.is_global or ip.is_multicast or (ip.version == 6 and ip in late))


def own_names(policy: Policy) -> frozenset[str]:
    """Names of the office itself: the probe, `own`, and the target of a cname action."""
    return frozenset(filter(None, (policy.probe, *policy.own, policy.action.target)))


# --- The signed form ---------------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    if is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _plain_fields(value: object) -> dict[str, object]:
    """A dataclass by field names; a field that has its default is left out."""
    assert is_dataclass(value)  # noqa: S101 - narrows the type, both callers know it
    pairs = ((field, getattr(value, field.name)) for field in fields(value))
    return {f.name: _plain(v) for f, v in pairs if f.default is MISSING or v != f.default}


def _referred(files: Mapping[str, bytes], value: object, key: str, checker: Checker) -> object:
    """The tree of the file that `protected` or `platforms` names."""
    if isinstance(value, str) and _FILE.fullmatch(value):
        return read_yaml(files, value, key, checker)
    checker.fault(key, value, _("the name of a file in the same folder, such as {key}.yaml", key=key))
    return BAD


# --- The rules ---------------------------------------------------------------------------------------------------


_REQUIRED: Final = " ".join(field.name for field in fields(Policy) if field.default is MISSING)
_WARN: Final = Range(1, 1830 * DAY, later("more than 0 and shorter than review"))
_KEEP: Final = Range(DAY, 3660 * DAY, later("1d to 3660d (the current release is always kept)"))


def _policy(value: object, checker: Checker) -> Policy:
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
    grounds = {key: _ground(c, item, join("grounds", key)) for key, item in c.pairs(value, "grounds").items()}
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
    pairs = c.pairs(value, "platforms")
    if len(pairs) > MAX_NAMES:
        c.fault("platforms", _("{count} names", count=len(pairs)), _("at most {most} names", most=MAX_NAMES))
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
