"""The renderers of exports: each is a pure function `(measures, policy, release) -> chunks of bytes`.

A renderer sees only what is shown: names, scopes and dates; no entry carries a ground, a URL, a reference or a person
(promise 9). `formats` has the table of all formats.
"""

from __future__ import annotations

import json as _json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice

from blocklist.names.domain_name import Scope, is_host_name
from blocklist.register.decoders import Ref, folder_name, format_instant
from blocklist.register.lifecycle import Measure, Rendered
from blocklist.register.policy import Action, Policy

CHUNK = 512
"""Names to a chunk: enough to join fast, and so few that what is made of them stays in a processor's cache and below
the 128 KiB from which on memory is asked from the system and given back each time."""

_LINE = 400
"""Characters to a line of the header. After 1,024 octets dnsmasq takes what is left of a comment for an option."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a provider made of a release on its own machine: other names than were published, or another serial."""

    serial: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """What identifies one release: `number` is its instant in Unix seconds."""

    list_id: str
    environment: str
    register: str
    number: int
    freshness: int
    head: Ref
    count: int
    changed: Changed | None = None

    @property
    def serial(self) -> int:
        """The serial of a zone: the number of the release, unless a provider had to write a higher one."""
        return self.changed.serial if self.changed else self.number

    @cached_property
    def instant(self) -> datetime:
        """The instant at which the register was rendered."""
        return datetime.fromtimestamp(self.number, UTC)

    @cached_property
    def valid_until(self) -> datetime:
        """From this instant on the release is stale."""
        return self.instant + timedelta(seconds=self.freshness)

    @cached_property
    def folder(self) -> str:
        """The instant as a folder name, `20261122T120000Z`."""
        return folder_name(self.instant)

    def facts(self) -> dict[str, object]:
        """What every file of the release says of itself."""
        changed = {"changed": {"serial": self.serial, "remarks": list(self.changed.remarks)}} if self.changed else {}
        return {
            "list": self.list_id,
            "environment": self.environment,
            "release": self.folder,
            "number": self.number,
            "instant": format_instant(self.instant),
            "valid_until": format_instant(self.valid_until),
            "register": self.register,
            "head": self.head.to_json(),
            "names": self.count,
            **changed,
        }


# What several formats share


def header(release: Release, policy: Policy, sign: str, remarks: Sequence[str] = ()) -> bytes:
    """The comment lines at the top of a file; `sign` is what starts a comment in its format."""
    lines = [
        f"{policy.title['en']} - {policy.title['fr']}",
        f"List {release.list_id}, environment {release.environment}, release {release.folder} ({release.number})",
        f"Made {format_instant(release.instant)}, valid until {format_instant(release.valid_until)}",
        f"{release.count} {'name' if release.count == 1 else 'names'} and a probe, {policy.probe}",
        "Verify: openssl cms -verify -cades -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS"
        " -CAfile seal.pem -no-CApath -no-CAstore -out /dev/null && sha256sum --strict --ignore-missing -c SHA256SUMS",
        f"Register {release.register}, head: act {release.head.seq}, {release.head.id}",
        *(release.changed.remarks if release.changed else ()),
        *remarks,
    ]
    parts = (line[start : start + _LINE] for line in lines for start in range(0, len(line), _LINE))
    return "".join(f"{sign} {part}\n" for part in parts).encode()


def chunks(names: Iterable[str], template: str, underscored: str | None = None) -> Iterator[bytes]:
    """The lines of all names, joined in chunks.

    Args:
        names: In the order in which they are written.
        template: The lines of one name, with `{}` where the name stands.
        underscored: The lines of a name that no host can have, when these differ.
    """
    # A name joins the parts around it five times as fast as any way of formatting fills them in.
    parts = template.split("{}")
    others = parts if underscored is None else underscored.split("{}")
    left = iter(names)
    while chunk := list(islice(left, CHUNK)):
        if others is parts or is_host_name("".join(chunk)):
            yield "".join([name.join(parts) for name in chunk]).encode()
        else:
            yield "".join([name.join(parts if is_host_name(name) else others) for name in chunk]).encode()


def _records(action: Action) -> list[str]:
    """Return the address records of the landing page; none for another action."""
    return [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]


# rpz: BIND, Unbound, PowerDNS Recursor, Knot Resolver 5

REFRESH, RETRY, EXPIRE, MINIMUM = 300, 60, 2419200, 60
"""SOA times in seconds. Expire is four weeks: a secondary that cannot reach its primary must go on blocking."""


def rpz(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render a DNS response policy zone, for BIND, Unbound, PowerDNS Recursor and Knot Resolver 5.

    Owners are relative and there is no `$ORIGIN`, so the provider names the zone. `name` and `*.name` are separate
    triggers (draft-vixie-dnsop-dns-rpz-00, section 4.1.1), and both are written for a domain. The landing page is local
    data, because Knot Resolver 5 ignores a landing CNAME.
    """
    yield header(release, policy, ";", ("Give the zone a name of at most 30 characters; owners are relative to it.",))
    yield (
        f"$TTL {policy.ttl}\n"
        f"@ SOA localhost. hostmaster.localhost. {release.serial} {REFRESH} {RETRY} {EXPIRE} {MINIMUM}\n"
        "@ NS localhost.\n"
    ).encode()
    for names, owners, nothing in ((measures.domain, ("{}", "*.{}"), "CNAME ."), (measures.host, ("{}",), "CNAME *.")):
        records = _rpz_records(policy.action) or [nothing]
        address = policy.action.kind == "address"
        yield from chunks(names, _rpz_lines(owners, records), _rpz_lines(owners, [nothing]) if address else None)


def _rpz_records(action: Action) -> list[str]:
    """The records of the landing page; none where names do not exist.

    Those get `CNAME .` for a domain. For a host it is `CNAME *.` (no data), because `CNAME .` takes the whole subtree
    on Knot Resolver 6. So does a name with an underscore instead of an address: no host can have that name, and BIND
    refuses a whole zone for one such owner.
    """
    if action.kind == "cname":
        return [f"CNAME {action.target}."]
    return _records(action)


def _rpz_lines(owners: Sequence[str], records: Sequence[str]) -> str:
    return "".join(f"{owner} {record}\n" for owner in owners for record in records)


# hosts: hosts(5)

_HOSTS_LIMITS = (
    "A hosts file blocks exact names only: names below a listed domain stay reachable, but for www.",
    "It holds addresses only: other records, HTTPS records among them, are still resolved.",
)


def hosts(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render a hosts file, for resolvers that read nothing better."""
    addresses = _addresses(policy.action)
    yield header(release, policy, "#", _HOSTS_LIMITS)
    host = "".join(f"{address} {{}}\n" for address in addresses)
    domain = "".join(f"{address} {prefix}{{}}\n" for prefix in ("", "www.") for address in addresses)
    yield from chunks(measures.domain, domain)
    yield from chunks(measures.host, host)


def _addresses(action: Action) -> tuple[str, ...]:
    return ("0.0.0.0", "::") if action.kind == "nxdomain" else (*action.a, *action.aaaa)  # noqa: S104


# domains: AdGuard Home, Pi-hole, Technitium, dnscrypt-proxy, blocky

_DOMAINS_LIMITS = (
    "Names stand under the comment that says what each blocks. Most tools do not read it: they block exact names only,",
    "so names below a domain stay reachable, or subtrees only, so names below a host are blocked too.",
)


def domains(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render one name a line, for what reads nothing better: AdGuard Home, Pi-hole, Technitium, dnscrypt-proxy, blocky.

    Such tools have no common mark for a subtree: some block each name exactly, some with everything below it. So names
    stand plain, as all of them read it, and their scope is in the comment above them.
    """
    yield header(
        release,
        policy,
        "#",
        (*_DOMAINS_LIMITS, f"The answer is set in the tool. It should be: {_answer(policy.action)}"),
    )
    yield b"# Domains: the name and everything below it\n"
    yield from chunks(measures.domain, "{}\n")
    yield b"# Hosts: that name alone\n"
    yield from chunks(measures.host, "{}\n")


def _answer(action: Action) -> str:
    if action.kind == "cname":
        return f"CNAME {action.target}"
    return ", ".join(_records(action)) or "NXDOMAIN"


# dnsmasq: 2.86 or newer

_DNSMASQ_USE = (
    "For dnsmasq 2.86 or newer: conf-file=PATH, and a restart (it does not read its configuration again on SIGHUP).",
    "Set cache-size=0, or whoever asks for an alias of a listed name brings its real addresses into the cache.",
    "The TTL of the answers is the option local-ttl.",
)


def dnsmasq(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render a configuration of dnsmasq, 2.86 or newer.

    `address=` answers for a name and everything below it, but forwards each type that it has no address for, HTTPS
    records with their address hints among them; `local=` answers those with no data, and everything where there is no
    address with NXDOMAIN. For a host, `server=/*.NAME/#` sends what is below it to the usual servers again.

    `host-record=` is not used: it forwards MX, TXT and each type that `dns-rr=` does not hold a record for, cannot say
    NXDOMAIN, and answers a reverse query for the landing page with the names of listed sites.
    """
    yield header(release, policy, "#", (*_DNSMASQ_USE, f"This list asks for local-ttl={policy.ttl}."))
    addresses = (*policy.action.a, *policy.action.aaaa)
    domain = "".join(f"address=/{{}}/{address}\n" for address in addresses) + "local=/{}/\n"
    yield from chunks(measures.domain, domain)
    yield from chunks(measures.host, f"{domain}server=/*.{{}}/#\n")


# unbound: local zones

NOTHING = r"TYPE65280 \# 0"
"""A record of a private-use type (RFC 6895, section 3.1) without content (RFC 3597, section 5)."""

_UNBOUND_USE = ("In unbound.conf: include: PATH",)


def unbound(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render local zones for Unbound (unbound.conf(5)), for servers that run without policy zones.

    A `redirect` zone answers for everything below it, with no data for the types that it does not hold. A `transparent`
    zone does so for the names that it holds, and what is below them is resolved; a `typetransparent` one would let AAAA
    and HTTPS records through. No type of zone makes one name alone not exist: such a host gets a record of a type for
    private use, which nobody asks for, so that all else is no data.
    """
    yield header(release, policy, "#", _UNBOUND_USE)
    action, ttl = policy.action, policy.ttl
    records = _records(action)
    domain, lines = "redirect" if records else "always_nxdomain", _unbound_lines(records, ttl)
    yield b"server:\n"
    yield from chunks(measures.domain, f'local-zone: "{{}}" {domain}\n{lines}')
    yield from chunks(measures.host, f'local-zone: "{{}}" transparent\n{lines or _unbound_lines([NOTHING], ttl)}')


def _unbound_lines(records: list[str], ttl: int) -> str:
    return "".join(f'local-data: "{{}} {ttl} {record}"\n' for record in records)


# knot: Knot Resolver 6

_KNOT_USE = (
    "For Knot Resolver 6, in its configuration. From its documentation, NOT VERIFIED with a running one.",
    "A domain with an underscore is blocked at its own name only.",
)


def knot(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render local data rules for Knot Resolver 6, whose policy zones answer with addresses at the name alone.

    Written from its documentation and source (`doc/user/config-local-data.rst`, `datamodel/local_data_schema.py`,
    `lib/rules/local-addr.c`), not run against one.

    The addresses are records, and not the `address` of rules: that adds a reverse record for each name, so that whoever
    asks for the name of the landing page's address gets the confidential list. A rule with `subtree: redirect` answers
    from the records at its top. Its `name` takes no underscore, for one of which all of the configuration would be
    refused; such a domain is blocked at its own name.
    """
    yield header(release, policy, "#", _KNOT_USE)
    yield b"local-data:\n  rules:\n"
    action, ttl = policy.action, f"      ttl: {policy.ttl}s\n"
    addresses = _records(action)
    records = "".join(f"        {{}}. {record}\n" for record in addresses or [NOTHING])
    named = any(map(is_host_name, measures.domain))
    yield f"    - nodata: true\n{ttl}      records: |\n".encode()  # never of nothing: the probe is a host
    # A domain that does not exist needs no record; one that no rule can name does.
    yield from chunks(measures.domain, records if addresses else "", records)
    yield from chunks(measures.host, records)
    if named:
        yield f"    - subtree: {'redirect' if addresses else 'nxdomain'}\n{ttl}      name:\n".encode()
        yield from chunks(measures.domain, '        - "{}"\n', "")


# csv and json: a provider's own tools

COLUMNS = ("name", "unicode", "scope", "in_force_since", "review_by")

# Ranges, not properties: those of a character change with the tables of a Python, and bytes must not (promise 5). Left
# out are ASCII that no label has, what separates, controls or is not seen, and what is for private use.
_SHOWN = re.compile(
    "[a-z0-9_\u00b7\u00df-\u02af\u0300-\u034e\u0350-\u061b\u061d-\u115e\u1161-\u167f\u1681-\u17b3\u17b6-\u180a"
    "\u1810-\u1fff\u2c00-\u2dff\u3005-\u3007\u3021-\u3163\u3165-\ud7ff\uf900-\ufdff\ufe20-\ufefe"
    "\U00010000-\U0001bc9f\U0001d200-\U0003ffff-]+"
)

Around = Callable[[str, str, str], tuple[str, str, str]]
"""Given scope, since and review date: what stands before, between and after the two forms of a name."""


def rows(rendered: Rendered, around: Around) -> Iterator[list[str]]:
    """Yield the lines of all names, in lists of `CHUNK`."""
    yield from _row_lines(rendered.domain, rendered.measures.domain, Scope.DOMAIN, around)
    yield from _row_lines(rendered.host, rendered.measures.host, Scope.HOST, around)


def _row_lines(
    texts: Sequence[str], measures: Mapping[str, Measure], scope: Scope, around: Around
) -> Iterator[list[str]]:
    known: dict[int, tuple[str, str, str]] = {}
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        decisions = list(map(measures.__getitem__, chunk))
        if len(known) > CHUNK:
            known.clear()
        # Names that were decided together share one measure, and so what stands around them; a measure's hash is slow.
        for key, measure in dict(zip(map(id, decisions), decisions, strict=True)).items():
            if key not in known:
                known[key] = around(str(scope), format_instant(measure.since), format_instant(measure.review_by))
        parts = map(known.__getitem__, map(id, decisions))
        if "xn--" in "".join(chunk):
            yield [
                f"{before}{text}{between}{unicode(text)}{after}"
                for text, (before, between, after) in zip(chunk, parts, strict=True)
            ]
        else:
            yield list(map(str.join, chunk, parts))


def unicode(text: str) -> str:
    """Return the U-label form of a name by Punycode alone (RFC 3492), which no version of a library changes.

    A label that is not what its characters encode to, or holds one that is not shown, stays as it is.
    """
    if "xn--" not in text:
        return text
    return ".".join(_decoded(label) if label.startswith("xn--") else label for label in text.split("."))


def _decoded(label: str) -> str:
    try:
        decoded = label[4:].encode().decode("punycode")
        same = decoded.encode("punycode").decode() == label[4:]
    except (UnicodeError, OverflowError):
        return label
    return decoded if same and not decoded.isascii() and _SHOWN.fullmatch(decoded) else label


def csv(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render comma-separated values (RFC 4180), for a provider's own tools: a header row, then a row for each name."""
    yield (",".join(COLUMNS) + "\r\n").encode()
    for lines in rows(measures, _csv_around):
        yield "".join(lines).encode()


def _csv_around(scope: str, since: str, review_by: str) -> tuple[str, str, str]:
    return "", ",", f",{scope},{since},{review_by}\r\n"


def json(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """Render JSON: the release, the probe, the answer to give, and each name in a line of its own."""
    about = {
        "release": release.facts(),
        "title": dict(policy.title),
        "probe": policy.probe,
        "action": _action(policy.action) | {"ttl": policy.ttl},
    }
    opening = ",\n".join(
        f'"{key}":{_json.dumps(about[key], ensure_ascii=False, separators=(",", ":"))}' for key in about
    )
    yield f'{{{opening},\n"names":['.encode()
    first = True
    for lines in rows(measures, _json_around):
        yield ("\n" if first else ",\n").encode() + ",\n".join(lines).encode()
        first = False
    yield b"\n]}\n"


def _json_around(scope: str, since: str, review_by: str) -> tuple[str, str, str]:
    """A canonical name needs no escape, and neither do the characters that `unicode` lets through."""
    name, unicode, *others = (f'"{column}":"' for column in COLUMNS)
    after = "".join(f'",{key}{value}' for key, value in zip(others, (scope, since, review_by), strict=True))
    return f"{{{name}", f'",{unicode}', f'{after}"}}'


def _action(action: Action) -> dict[str, object]:
    members: dict[str, object] = {"kind": action.kind}
    if action.kind == "cname":
        return members | {"target": action.target}
    return members | ({"a": list(action.a), "aaaa": list(action.aaaa)} if action.kind == "address" else {})
