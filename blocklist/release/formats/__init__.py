"""Export formats: each is a pure function `(measures, policy, release) -> chunks of bytes`, in one small file.

Adding a format is adding its file, and its entry in `FORMATS` here and in `policy`. A format sees only what is
rendered: names, scopes and dates; no entry carries a ground, an URL, a reference or a person (promise 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import import_module
from itertools import islice

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, later
from blocklist.base.instants import folder_name, format_instant
from blocklist.names.domain_name import is_host_name
from blocklist.register.decoders import Ref
from blocklist.register.measures import Rendered
from blocklist.register.policy import ACTIONS, Policy

CHUNK = 512
"""Names to a chunk: enough to join fast, and so few that what is made of them stays in a processor's cache and below
the 128 KiB from which on memory is asked from the system and given back each time."""

_LINE = 400
"""Characters to a line of the header. After 1,024 octets dnsmasq takes what is left of a comment for an option."""

Render = Callable[[Rendered, Policy, "Release"], Iterator[bytes]]


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
        render: Render = import_module(f"{__name__}.{self.id}").render
        return render(measures, policy, release)


_NO_CNAME = tuple(kind for kind in ACTIONS if kind != "cname")

FORMATS: Mapping[str, Format] = {
    entry.id: entry
    for entry in (
        Format(
            id="rpz",
            file="rpz.zone",
            servers="BIND, Unbound, PowerDNS Recursor, Knot Resolver 5",
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later(
                "an address for a name with an underscore: it gets no address; a landing CNAME on Knot Resolver 5"
            ),
        ),
        Format(
            id="hosts",
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
            file="unbound.conf",
            servers="Unbound",
            actions=_NO_CNAME,
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later("nxdomain for a host: it gets no data; names behind a CNAME, which rpz follows by one hop"),
        ),
        Format(
            id="knot",
            file="knot.yaml",
            servers="Knot Resolver 6",
            actions=_NO_CNAME,
            verified=False,
            can=later("domains with everything below, hosts alone, every type of record, the TTL"),
            cannot=later("names below a domain that has an underscore; nxdomain for a host: it gets no data"),
        ),
        Format(
            id="csv",
            file="names.csv",
            servers=later("a provider's own tools"),
            can=later("the names as A-labels and U-labels, their scope, since when and until when they are in force"),
            cannot=later("which release it is (SHA256SUMS says it); the answer"),
        ),
        Format(
            id="json",
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
