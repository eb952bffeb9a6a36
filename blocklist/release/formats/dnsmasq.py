"""Configuration of dnsmasq, 2.86 or newer.

`address=` answers for a name and everything below it, but forwards each type that it has no address for, HTTPS records
with their address hints among them; `local=` answers those with no data, and everything where there is no address with
NXDOMAIN. For a host, `server=/*.NAME/#` sends what is below it to the usual servers again.

`host-record=` is not used: it forwards MX, TXT and each type that `dns-rr=` does not hold a record for, cannot say
NXDOMAIN, and answers a reverse query for the landing page with the names of listed sites.
"""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Policy
from blocklist.release.formats import Release, chunks, header

_USE = (
    "For dnsmasq 2.86 or newer: conf-file=PATH, and a restart (it does not read its configuration again on SIGHUP).",
    "Set cache-size=0, or whoever asks for an alias of a listed name brings its real addresses into the cache.",
    "The TTL of the answers is the option local-ttl.",
)


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The configuration."""
    yield header(release, policy, "#", (*_USE, f"This list asks for local-ttl={policy.ttl}."))
    addresses = (*policy.action.a, *policy.action.aaaa)
    domain = "".join(f"address=/{{}}/{address}\n" for address in addresses) + "local=/{}/\n"
    yield from chunks(measures.domain, domain)
    yield from chunks(measures.host, f"{domain}server=/*.{{}}/#\n")
