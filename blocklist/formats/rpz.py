"""DNS response policy zone, for BIND, Unbound, PowerDNS Recursor and Knot Resolver 5.

Owners are relative and there is no `$ORIGIN`, so the provider names the zone. `name` and `*.name` are separate
triggers (draft-vixie-dnsop-dns-rpz-00, section 4.1.1), and both are written for a domain. The landing page is local
data, because Knot Resolver 5 ignores a landing CNAME.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from blocklist.formats import Release, chunks, header
from blocklist.measures import Measures
from blocklist.names import is_host_name
from blocklist.policy import Action, Policy

REFRESH, RETRY, EXPIRE, MINIMUM = 300, 60, 2419200, 60
"""SOA times in seconds. Expire is four weeks: a secondary that cannot reach its primary must go on blocking."""


def render(measures: Measures, policy: Policy, release: Release) -> Iterator[bytes]:
    """The zone file."""
    yield header(release, policy, ";", ("Give the zone a name of at most 30 characters; owners are relative to it.",))
    yield (
        f"$TTL {policy.ttl}\n"
        f"@ SOA localhost. hostmaster.localhost. {release.number} {REFRESH} {RETRY} {EXPIRE} {MINIMUM}\n"
        "@ NS localhost.\n"
    ).encode()
    domain, host = _lines(policy.action)
    yield from chunks(list(measures.domain), domain)
    yield from chunks(list(measures.host), host)


def _lines(action: Action) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """What to write for a domain and for a host.

    BIND refuses a whole zone for one address record at an owner that is no host name, so a name with an underscore
    gets a CNAME. For a host that is `CNAME *.` (no data): `CNAME .` takes the whole subtree on Knot Resolver 6.
    """
    if action.kind == "address":
        records = [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]
    elif action.kind == "cname":
        records = [f"CNAME {action.target}."]
    else:
        return _domain(["CNAME ."]), _host(["CNAME *."])
    return (
        _by_kind(_domain(records), _domain(["CNAME ."])),
        _by_kind(_host(records), _host(["CNAME *."])),
    )


def _by_kind(legal: Callable[[str], str], other: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: legal(name) if is_host_name(name) else other(name)


def _domain(records: list[str]) -> Callable[[str], str]:
    return _template([f"{owner} {record}" for owner in ("{0}", "*.{0}") for record in records])


def _host(records: list[str]) -> Callable[[str], str]:
    return _template([f"{{0}} {record}" for record in records])


def _template(lines: list[str]) -> Callable[[str], str]:
    return "".join(f"{line}\n" for line in lines).format
