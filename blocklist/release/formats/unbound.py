"""Local zones for Unbound (unbound.conf(5)), for servers that run without policy zones.

A `redirect` zone answers for everything below it, with no data for the types that it does not hold. A `transparent`
zone does so for the names that it holds, and what is below them is resolved; a `typetransparent` one would let AAAA
and HTTPS records through. No type of zone makes one name alone not exist: such a host gets a record of a type for
private use, which nobody asks for, so that all else is no data.
"""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Policy
from blocklist.release.formats import Release, chunks, header

NOTHING = r"TYPE65280 \# 0"
"""A record of a private-use type (RFC 6895, section 3.1) without content (RFC 3597, section 5)."""

_USE = ("In unbound.conf: include: PATH",)


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The configuration."""
    yield header(release, policy, "#", _USE)
    action, ttl = policy.action, policy.ttl
    records = [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]
    domain, lines = "redirect" if records else "always_nxdomain", _lines(records, ttl)
    yield b"server:\n"
    yield from chunks(measures.domain, f'local-zone: "{{}}" {domain}\n{lines}')
    yield from chunks(measures.host, f'local-zone: "{{}}" transparent\n{lines or _lines([NOTHING], ttl)}')


def _lines(records: list[str], ttl: int) -> str:
    return "".join(f'local-data: "{{}} {ttl} {record}"\n' for record in records)
