"""hosts file (hosts(5)), for resolvers that read nothing better."""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Action, Policy
from blocklist.release.formats import Release, chunks, header

_LIMITS = (
    "A hosts file blocks exact names only: names below a listed domain stay reachable, but for www.",
    "It holds addresses only: other records, HTTPS records among them, are still resolved.",
)


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The hosts file: each landing address with each name, and with `www.` before a domain."""
    addresses = _addresses(policy.action)
    yield header(release, policy, "#", _LIMITS)
    host = "".join(f"{address} {{}}\n" for address in addresses)
    domain = "".join(f"{address} {prefix}{{}}\n" for prefix in ("", "www.") for address in addresses)
    yield from chunks(measures.domain, domain)
    yield from chunks(measures.host, host)


def _addresses(action: Action) -> tuple[str, ...]:
    return ("0.0.0.0", "::") if action.kind == "nxdomain" else (*action.a, *action.aaaa)  # noqa: S104
