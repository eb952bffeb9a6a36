"""One name a line, for what reads nothing better: AdGuard Home, Pi-hole, Technitium, dnscrypt-proxy, blocky.

Such tools have no common mark for a subtree: some block each name exactly, some with everything below it. So names
stand plain, as all of them read it, and their scope is in the comment above them.
"""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Action, Policy
from blocklist.release.formats import Release, chunks, header

_LIMITS = (
    "Names stand under the comment that says what each blocks. Most tools do not read it: they block exact names only,",
    "so names below a domain stay reachable, or subtrees only, so names below a host are blocked too.",
)


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The names, the domains first."""
    yield header(
        release, policy, "#", (*_LIMITS, f"The answer is set in the tool. It should be: {_answer(policy.action)}")
    )
    yield b"# Domains: the name and everything below it\n"
    yield from chunks(measures.domain, "{}\n")
    yield b"# Hosts: that name alone\n"
    yield from chunks(measures.host, "{}\n")


def _answer(action: Action) -> str:
    if action.kind == "cname":
        return f"CNAME {action.target}"
    addresses = [f"A {address}" for address in action.a] + [f"AAAA {address}" for address in action.aaaa]
    return ", ".join(addresses) or "NXDOMAIN"
