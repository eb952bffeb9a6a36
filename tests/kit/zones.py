"""A policy zone of the fewest lines, for a fault to be put into."""

from __future__ import annotations

from kit.paths import TESTS

HOSTILE = TESTS / "resolvers/hostile"
HEAD = b"$TTL 300\n@ SOA localhost. hostmaster.localhost. 1795348800 300 60 2419200 60\n@ NS localhost.\n"
FIRST = b"before.example CNAME .\n*.before.example CNAME .\n"
LAST = b"after.example CNAME .\n*.after.example CNAME .\n"


def body(lines: bytes) -> bytes:
    return HEAD + FIRST + lines + LAST
