"""Local data rules for Knot Resolver 6, whose policy zones answer with addresses at the name alone.

Written from its documentation and source (`doc/user/config-local-data.rst`, `datamodel/local_data_schema.py`,
`lib/rules/local-addr.c`), not run against one.

The addresses are records, and not the `address` of rules: that adds a reverse record for each name, so that whoever
asks for the name of the landing page's address gets the confidential list. A rule with `subtree: redirect` answers
from the records at its top. Its `name` takes no underscore, for one of which all of the configuration would be refused;
such a domain is blocked at its own name.
"""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.names.domain_name import is_host_name
from blocklist.register.measures import Rendered
from blocklist.register.policy import Policy
from blocklist.release.formats import Release, chunks, header
from blocklist.release.formats.unbound import NOTHING

_USE = (
    "For Knot Resolver 6, in its configuration. From its documentation, NOT VERIFIED with a running one.",
    "A domain with an underscore is blocked at its own name only.",
)


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The rules: records, then the domains whose records answer for everything below."""
    yield header(release, policy, "#", _USE)
    yield b"local-data:\n  rules:\n"
    action, ttl = policy.action, f"      ttl: {policy.ttl}s\n"
    addresses = [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]
    records = "".join(f"        {{}}. {record}\n" for record in addresses or [NOTHING])
    named = any(map(is_host_name, measures.domain))
    yield f"    - nodata: true\n{ttl}      records: |\n".encode()  # never of nothing: the probe is a host
    # A domain that does not exist needs no record; one that no rule can name does.
    yield from chunks(measures.domain, records if addresses else "", records)
    yield from chunks(measures.host, records)
    if named:
        yield f"    - subtree: {'redirect' if addresses else 'nxdomain'}\n{ttl}      name:\n".encode()
        yield from chunks(measures.domain, '        - "{}"\n', "")
