"""The formats of exports: what each is for, what it can say and what not, and which renderer writes it.

Adding a format is adding its function in `renderers`, and its entry in `FORMATS` here and in `policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, later
from blocklist.register.lifecycle import Rendered
from blocklist.register.policy import ACTIONS, Policy
from blocklist.release import renderers
from blocklist.release.renderers import Release

Renderer = Callable[[Rendered, Policy, Release], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: the name of its file in a release, what it is for, and what it says of a measure in words.

    `actions` are those that a policy may have with this format. `can` and `cannot` are marked for translation;
    `verified` says that real servers showed both.
    """

    id: str
    file: str
    servers: str
    actions: tuple[str, ...] = ACTIONS
    verified: bool = True
    can: str
    cannot: str
    renderer: Renderer

    def render(self, measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
        """The file's content.

        Raises:
            RefusedError: The format cannot express the policy's action.
        """
        if policy.action.kind not in self.actions:
            raise RefusedError(
                _(
                    "the format {format_id} cannot express the action {action}",
                    format_id=self.id,
                    action=policy.action.kind,
                ),
                _("a head adopts a policy with another action, or without that format"),
            )
        return self.renderer(measures, policy, release)


_NO_CNAME = tuple(kind for kind in ACTIONS if kind != "cname")

FORMATS: Mapping[str, Format] = {
    entry.id: entry
    for entry in (
        Format(
            id="rpz",
            renderer=renderers.rpz,
            file="rpz.zone",
            servers="BIND, Unbound, PowerDNS Recursor, Knot Resolver 5",
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later(
                "an address for a name with an underscore: it gets no address; a landing CNAME on Knot Resolver 5"
            ),
        ),
        Format(
            id="hosts",
            renderer=renderers.hosts,
            file="hosts.txt",
            servers="hosts(5)",
            actions=_NO_CNAME,
            can=later("hosts and domains by their exact names, and www. of a domain"),
            cannot=later(
                "other names below a domain; HTTPS and other records, which leak; nxdomain but as 0.0.0.0 and ::"
            ),
        ),
        Format(
            id="domains",
            renderer=renderers.domains,
            file="domains.txt",
            servers="AdGuard Home, Pi-hole, Technitium, dnscrypt-proxy, blocky",
            verified=False,
            can=later("the names, domains and hosts in a part each"),
            cannot=later(
                "the scope: the tool blocks exact names or subtrees, all alike; the answer, which is set in the tool"
            ),
        ),
        Format(
            id="dnsmasq",
            renderer=renderers.dnsmasq,
            file="dnsmasq.conf",
            servers="dnsmasq 2.86 or newer",
            actions=_NO_CNAME,
            can=later("domains with everything below, hosts alone, every type of record"),
            cannot=later(
                "the TTL, which is the option local-ttl; another forwarder (server=/.../) for names below a host; "
                "a cache, into which an alias of a listed name brings its real addresses (set cache-size=0)"
            ),
        ),
        Format(
            id="unbound",
            renderer=renderers.unbound,
            file="unbound.conf",
            servers="Unbound",
            actions=_NO_CNAME,
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later("nxdomain for a host: it gets no data; names behind a CNAME, which rpz follows by one hop"),
        ),
        Format(
            id="knot",
            renderer=renderers.knot,
            file="knot.yaml",
            servers="Knot Resolver 6",
            actions=_NO_CNAME,
            verified=False,
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later("names below a domain that has an underscore; nxdomain for a host: it gets no data"),
        ),
        Format(
            id="csv",
            renderer=renderers.csv,
            file="names.csv",
            servers=later("a provider's own tools"),
            can=later("the names as A-labels and U-labels, their scope, since when and until when they are in force"),
            cannot=later("which release it is (SHA256SUMS says it); the answer"),
        ),
        Format(
            id="json",
            renderer=renderers.json,
            file="names.json",
            servers=later("a provider's own tools"),
            can=later("the same as csv, the release, the probe, the answer and its TTL"),
            cannot=later("nothing that a release holds; no server reads it as it is"),
        ),
    )
}


def get(format_id: str) -> Format:
    """The format of that id.

    Raises:
        UsageError: There is none.
    """
    try:
        return FORMATS[format_id]
    except KeyError as fault:
        raise UsageError(
            _("the format {format_id} is unknown", format_id=format_id),
            _("upgrade this program, or choose from {choices}", choices=", ".join(sorted(FORMATS))),
        ) from fault


def known(format_ids: Iterable[str]) -> tuple[str, ...]:
    """Those that this program can render."""
    return tuple(format_id for format_id in format_ids if format_id in FORMATS)


def unknown(format_ids: Iterable[str]) -> tuple[str, ...]:
    """Those that this program cannot render: a policy that was adopted with a newer program may name them."""
    return tuple(format_id for format_id in format_ids if format_id not in FORMATS)
