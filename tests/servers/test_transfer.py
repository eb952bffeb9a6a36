"""Zone transfer: a provider pulls once, and its own primary feeds its resolvers (AXFR, IXFR, NOTIFY, TSIG).

A primary that is BIND, and one that is Knot DNS, each serve BIND, Unbound and PowerDNS Recursor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsigkeyring
import pytest
from kit.fixed import HOUR
from kit.provider import Provider
from kit.servers import Knotd, Named, RecursorSecondary, Server, Unbound, free_port, new_secret, until
from kit.site import Site
from kit.upstream import ADDRESSES, Upstream

LANDING = "192.0.2.1"
STRANGER, MEMBER = "127.0.0.9", "127.0.0.3"
"""A customer's address, and one that a primary takes signed questions from. Unbound's is 127.0.0.1."""


@dataclass(frozen=True)
class Fleet:
    """A provider with a primary and three resolvers that transfer the first release from it."""

    office: Site
    provider: Provider
    primary: Server
    resolvers: dict[str, Server]
    secret: str

    @property
    def keyring(self) -> dict[object, object]:
        return dict(dns.tsigkeyring.from_text({"transfer": self.secret}))

    def transfer(
        self, kind: str, serial: int = 0, source: str = MEMBER, keyring: object = None
    ) -> list[dns.rrset.RRset]:
        """The records of a transfer, in their order."""
        messages = dns.query.xfr(
            "127.0.0.1",
            "blocked",
            kind,
            port=self.primary.port,
            serial=serial,
            source=source,
            keyring=keyring,
            keyalgorithm="hmac-sha256",
            relativize=False,
            timeout=5,
        )
        return [
            dns.rrset.from_rdata(rrset.name, rrset.ttl, record)
            for message in messages
            for rrset in message.answer
            for record in rrset
        ]

    def until_all(self, name: str, expected: str) -> None:
        for brand, resolver in self.resolvers.items():
            until(lambda resolver=resolver: outcome(resolver, name) == expected, f"{name} at {brand}", resolver.log)


def outcome(server: Server, name: str) -> str:
    texts = [record.to_text() for rrset in server.ask(name).answer for record in rrset]
    return {LANDING: "blocked", ADDRESSES["A"]: "resolves"}.get(texts[-1] if texts else "", "nothing")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with Upstream(tmp_path_factory.mktemp("upstream") / "named") as server:
        yield server


@pytest.fixture(params=["bind", "knot"])
def fleet(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Iterator[Fleet]:
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block("bad.example", "removed.example")
    site.publish()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes(), formats=["rpz"])
    provider.pull(site.now, accept="any")
    zone, secret = provider.folder / "installed.rpz", new_secret()
    ports = {"BIND": free_port(), "UNBOUND": free_port(), "PRIMARY": free_port(), "SECRET": secret}
    kind, configuration = {"bind": (Named, "bind-primary.conf"), "knot": (Knotd, "knot-primary.conf")}[request.param]
    primary = kind(tmp_path / "primary", configuration, policy=zone, port=ports["PRIMARY"], **ports)
    rest = (upstream.port, zone, upstream.anchor)
    resolvers = {
        "bind": Named(tmp_path / "bind", "bind-secondary.conf", *rest, ports["BIND"], **ports),
        "unbound": Unbound(tmp_path / "unbound", "unbound-secondary.conf", *rest, ports["UNBOUND"], **ports),
        "recursor": RecursorSecondary(tmp_path / "recursor", "recursor.conf", *rest, **ports),
    }
    with ExitStack() as running:
        for server in (primary, *resolvers.values()):
            running.enter_context(server)
        made = Fleet(site, provider, primary, resolvers, secret)
        made.until_all("removed.example", "blocked")
        yield made


def test_a_release_reaches_a_fleet(fleet: Fleet) -> None:
    (before,) = {record.serial for record in fleet.transfer("AXFR", keyring=fleet.keyring)[0]}
    assert {outcome(resolver, "added.example") for resolver in fleet.resolvers.values()} == {"resolves"}
    second_release(fleet)
    fleet.until_all("added.example", "blocked")
    fleet.until_all("removed.example", "resolves")
    fleet.until_all("bad.example", "blocked")

    # The difference, and nothing else: RFC 1995, section 4.
    records = fleet.transfer("IXFR", before, keyring=fleet.keyring)
    kinds = [dns.rdatatype.to_text(rrset.rdtype) for rrset in records]
    assert kinds.count("SOA") == 4
    start, middle = [number for number, kind in enumerate(kinds) if kind == "SOA"][1:3]
    removed, added = records[start + 1 : middle], records[middle + 1 : -1]
    assert owners(removed) == {"removed.example.blocked.", "*.removed.example.blocked."}
    assert owners(added) == {"added.example.blocked.", "*.added.example.blocked."}
    assert len(records) == 4 + 2 * 4

    # And that is what the secondaries took.
    log = fleet.primary.log()
    assert len(re.findall(r"IXFR.*?started", log)) == 1 + len(fleet.resolvers), log
    refuses_strangers(fleet)
    takes_no_lower_serial(fleet)


def second_release(fleet: Fleet) -> None:
    fleet.office.now += HOUR
    fleet.office.block("added.example")
    fleet.office.remove("removed.example")
    fleet.office.publish()
    fleet.provider.reload_with(fleet.primary.reload_command)
    assert fleet.provider.pull(fleet.office.now).changed


def owners(records: list[dns.rrset.RRset]) -> set[str]:
    return {rrset.name.to_text() for rrset in records}


def refuses_strangers(fleet: Fleet) -> None:
    """The list is confidential: no transfer, and no question, without the key or from elsewhere."""
    for keyring in (None, dns.tsigkeyring.from_text({"transfer": new_secret()})):
        with pytest.raises((dns.exception.DNSException, OSError)):
            fleet.transfer("AXFR", source=STRANGER, keyring=keyring)
    question = dns.message.make_query("bad.example.blocked", "A")
    answer = dns.query.udp(question, "127.0.0.1", port=fleet.primary.port, timeout=5, source=STRANGER)
    assert answer.rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH)  # Knot DNS says the second
    assert not answer.answer
    for brand in ("bind", "recursor", "unbound"):
        resolver = fleet.resolvers[brand]
        message = resolver.ask("bad.example.blocked")
        assert LANDING not in str(message), brand
        with pytest.raises((dns.exception.DNSException, OSError)):
            list(dns.query.xfr("127.0.0.1", "blocked", port=resolver.port, timeout=5, source=STRANGER))


def takes_no_lower_serial(fleet: Fleet) -> None:
    """Both primaries refuse it and keep what they have: whoever puts an older zone back has to raise its serial."""
    (new,) = {record.serial for record in fleet.transfer("AXFR", keyring=fleet.keyring)[0]}
    zone = fleet.provider.folder / "installed.rpz"
    older = zone.read_text().replace(str(new), str(new - 1)).replace("added.example", "older.example")
    assert older != zone.read_text()
    zone.write_text(older)
    if isinstance(fleet.primary, Knotd):
        with pytest.raises(AssertionError, match="decreased SOA serial"):
            fleet.primary.read_again()
    else:
        fleet.primary.read_again()
        until(lambda: "out of range" in fleet.primary.log(), "BIND to refuse it", fleet.primary.log)
    assert {record.serial for record in fleet.transfer("AXFR", keyring=fleet.keyring)[0]} == {new}
    for resolver in fleet.resolvers.values():
        assert (outcome(resolver, "added.example"), outcome(resolver, "older.example")) == ("blocked", "nothing")
