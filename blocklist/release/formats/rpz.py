"""DNS response policy zone, for BIND, Unbound, PowerDNS Recursor and Knot Resolver 5.

Owners are relative and there is no `$ORIGIN`, so the provider names the zone. `name` and `*.name` are separate
triggers (draft-vixie-dnsop-dns-rpz-00, section 4.1.1), and both are written for a domain. The landing page is local
data, because Knot Resolver 5 ignores a landing CNAME.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blocklist.register.measures import Rendered
from blocklist.register.policy import Action, Policy
from blocklist.release.formats import Release, chunks, header

REFRESH, RETRY, EXPIRE, MINIMUM = 300, 60, 2419200, 60
"""SOA times in seconds. Expire is four weeks: a secondary that cannot reach its primary must go on blocking."""


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The zone file."""
    yield header(release, policy, ";", ("Give the zone a name of at most 30 characters; owners are relative to it.",))
    yield (
        f"$TTL {policy.ttl}\n"
        f"@ SOA localhost. hostmaster.localhost. {release.serial} {REFRESH} {RETRY} {EXPIRE} {MINIMUM}\n"
        "@ NS localhost.\n"
    ).encode()
    for names, owners, nothing in ((measures.domain, ("{}", "*.{}"), "CNAME ."), (measures.host, ("{}",), "CNAME *.")):
        records = _records(policy.action) or [nothing]
        address = policy.action.kind == "address"
        yield from chunks(names, _lines(owners, records), _lines(owners, [nothing]) if address else None)


def _records(action: Action) -> list[str]:
    """The records of the landing page; none where names do not exist.

    Those get `CNAME .` for a domain. For a host it is `CNAME *.` (no data), because `CNAME .` takes the whole subtree
    on Knot Resolver 6. So does a name with an underscore instead of an address: no host can have that name, and BIND
    refuses a whole zone for one such owner.
    """
    if action.kind == "cname":
        return [f"CNAME {action.target}."]
    return [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]


def _lines(owners: Sequence[str], records: Sequence[str]) -> str:
    return "".join(f"{owner} {record}\n" for owner in owners for record in records)
