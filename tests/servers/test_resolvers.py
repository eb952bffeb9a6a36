"""A release, from the office to the answers of every resolver that reads one of its files (issue 4).

The whole path runs: names are decided and published, the real client pulls the file of each resolver and reloads it,
and the resolver is asked. What it answers is compared with the landing page, or with what the same server answers
without us.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from kit.fixed import HOUR
from kit.load import RATE, Load
from kit.provider import Provider
from kit.servers import Dnsmasq, DnsmasqRestarted, Kresd, Named, Recursor, Server, Unbound, UnboundLocal, until
from kit.site import Site
from kit.upstream import ADDRESSES, CHAINS, DOWN, LONGEST, Upstream

LANDING = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
KINDS = ("A", "AAAA", "MX", "TXT", "HTTPS", "ANY")
IDN = "xn--bcher-kva.example"  # bücher.example
DOMAINS = ("bad.example", IDN, "a_b.example", "mixed.example", DOWN, "removed.example", LONGEST)
HOSTS = ("www.shop.example", "_srv.shop.example")
COVERED = "cdn.mixed.example"
"""A host that was listed before the domain above it."""

LISTED = ("bad.example", "www.shop.example", IDN, LONGEST, "mixed.example", DOWN, "probe.blocklist.example")
BELOW = (
    *("www.bad.example", "a.www.bad.example", "x.a.www.bad.example", f"www.{IDN}", f"x.{LONGEST}", f"www.{DOWN}"),
    *(COVERED, f"x.{COVERED}", "other.mixed.example"),
)
MIXED_CASE = ("BaD.eXaMpLe", "x.A.wWw.bAd.ExAmPlE")
UNDERSCORED = {"a_b.example": "NXDOMAIN", "x.a_b.example": "NXDOMAIN", "_srv.shop.example": "NOERROR"}
"""What a policy zone says of them: addresses would keep BIND from loading it."""

UNLISTED = (
    *("shop.example", "below.www.shop.example", "a.below.www.shop.example", "x._srv.shop.example", "sShop.Example"),
    *("notbad.example", "www.notbad.example", "bad.example.other.test", "mixed.example.other.test"),
    *("example", "nowhere.test", "added.example", "to-neighbour.chains.test"),
)


@dataclass(frozen=True)
class Setup:
    """One resolver, with the export and the configuration that it reads.

    Attributes:
        subtrees: Whether it blocks what is below a domain, and every type of record.
        underscored: Whether names with an underscore get the landing page.
        aliases: The aliases of listed names that it blocks, whoever has asked before.
        codes: The extended errors (RFC 8914) that come with a landing page, and with a name that does not exist.
        any_code: What it says to questions for ANY: not all answer them.
        validates: Whether it validates (RFC 4035); dnsmasq does not without a cache.
        restarts: Whether a reload is a restart, so that packets are lost and have to be sent again.
    """

    id: str
    server: type[Server]
    configuration: str
    format: str
    subtrees: bool = True
    underscored: bool = False
    aliases: bool = False
    codes: tuple[int | None, int | None] = (None, None)
    any_code: str = "NOERROR"
    restarts: bool = False
    validates: bool = True


SETUPS = (
    Setup("bind-rpz", Named, "bind-rpz.conf", "rpz", aliases=True),
    Setup("unbound-rpz", Unbound, "unbound-rpz.conf", "rpz"),
    Setup("kresd-rpz", Kresd, "kresd-rpz.conf", "rpz", codes=(4, 15), any_code="SERVFAIL"),
    Setup("recursor-rpz", Recursor, "recursor.conf", "rpz", aliases=True, codes=(16, 16)),
    Setup("unbound-local", UnboundLocal, "unbound-local.conf", "unbound", underscored=True),
    Setup("dnsmasq", DnsmasqRestarted, "dnsmasq.conf", "dnsmasq", underscored=True, restarts=True, validates=False),
    Setup("dnsmasq-hosts", Dnsmasq, "dnsmasq-hosts.conf", "hosts", subtrees=False, underscored=True),
)


@dataclass(frozen=True)
class Office:
    """Two releases of one register, each a published tree, and the time of each."""

    site: Site
    first: Path
    second: Path
    at: tuple[datetime, datetime]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    site = Site(folder / "site", datetime.now(UTC) - HOUR)
    site.block(hosts=[COVERED])
    site.block(*DOMAINS, hosts=HOSTS)
    site.publish()
    shutil.copytree(site.exports, folder / "first")
    first, site.now = site.now, site.now + HOUR
    site.block("added.example", hosts=["www.elsewhere.test"])
    site.remove("removed.example")
    site.publish()
    return Office(site, folder / "first", site.exports, (first, site.now))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with Upstream(tmp_path_factory.mktemp("upstream") / "named") as server:
        yield server


@dataclass(frozen=True)
class Running:
    """A resolver with the first release, the same one without us, and the subscription that feeds it."""

    setup: Setup
    server: Server
    plain: Server
    provider: Provider

    def ask(self, name: str, kind: str = "A", **how: bool) -> Answer:
        return Answer(self.server.ask(name, kind, **how))

    def without_us(self, name: str, kind: str = "A", **how: bool) -> Answer:
        return Answer(self.plain.ask(name, kind, **how))


@dataclass(frozen=True, eq=False)
class Answer:
    """A response, as tests compare it."""

    message: dns.message.Message

    @property
    def code(self) -> str:
        return dns.rcode.to_text(self.message.rcode())

    @property
    def records(self) -> set[tuple[str, str, str]]:
        """Owner, type and text of what is in the answer, without TTL and order."""
        return {
            (rrset.name.to_text().lower(), dns.rdatatype.to_text(rrset.rdtype), record.to_text())
            for rrset in self.message.answer
            for record in rrset
        }

    @property
    def texts(self) -> set[str]:
        return {text for _, _, text in self.records}

    @property
    def authentic(self) -> bool:
        return bool(self.message.flags & dns.flags.AD)

    @property
    def ttl(self) -> int:
        return max(rrset.ttl for rrset in self.message.answer)

    @property
    def extended_error(self) -> int | None:
        return next((int(option.code) for option in self.message.options if option.otype == 15), None)

    def seen(self) -> tuple[object, ...]:
        return (self.code, self.authentic, self.records)


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: setup.id)
def running(
    request: pytest.FixtureRequest, office: Office, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    setup: Setup = request.param
    folder = tmp_path_factory.mktemp(setup.id)
    provider = Provider(
        folder / "provider", office.first.as_uri(), office.site.root.read_bytes(), formats=[setup.format]
    )
    provider.pull(office.at[0], accept="any")
    zone = provider.folder / f"installed.{setup.format}"
    server = setup.server(folder / "server", setup.configuration, upstream.port, zone, upstream.anchor)
    plain = setup.server(folder / "plain", setup.configuration, upstream.port, None, upstream.anchor)
    with server, plain:
        until(lambda: is_landing(server.ask("probe.blocklist.example")), "the policy to be read", server.log)
        yield Running(setup, server, plain, provider)


def is_landing(message: dns.message.Message) -> bool:
    return LANDING["A"] in Answer(message).texts


def ways() -> Iterator[dict[str, bool]]:
    for dnssec in (False, True):
        for tcp in (False, True):
            yield {"dnssec": dnssec, "tcp": tcp}


def assert_blocked(answer: Answer, kind: str, expected: str, shown: object) -> None:
    """The landing page, or nothing; never a record of the site, and never marked as validated."""
    assert answer.code == expected, shown
    assert answer.texts == ({LANDING[kind]} if kind in LANDING and expected == "NOERROR" else set()), shown
    assert not answer.authentic, shown
    assert not any(rrset.rdtype == dns.rdatatype.HTTPS for rrset in answer.message.additional), shown


def test_the_servers_of_a_listed_site_are_down(running: Running) -> None:
    """Asked first: later on PowerDNS may conclude from what else it knows of the root that the name does not exist."""
    assert running.without_us(DOWN).code == "SERVFAIL"
    assert running.ask(DOWN).texts == {LANDING["A"]}


def test_what_is_listed_answers_the_landing_page(running: Running) -> None:
    names = LISTED + (BELOW if running.setup.subtrees else ()) + MIXED_CASE[: None if running.setup.subtrees else 1]
    if running.setup.underscored:
        names += ("a_b.example", "_srv.shop.example")
    for name in (*names, *(("www.bad.example", f"www.{IDN}") if not running.setup.subtrees else ())):
        for kind in KINDS if running.setup.subtrees else LANDING:
            for how in ways():
                answer, shown = running.ask(name, kind, **how), f"{name} {kind} {how}"
                if kind == "ANY":
                    assert answer.code == running.setup.any_code, shown
                    assert answer.texts <= set(LANDING.values()), shown
                else:
                    assert_blocked(answer, kind, "NOERROR", shown)


def test_a_name_with_an_underscore_has_no_address_in_a_policy_zone(running: Running) -> None:
    if running.setup.format != "rpz":
        assert running.ask("a_b.example").texts == {LANDING["A"]}
        return
    for name, code in UNDERSCORED.items():
        for kind in KINDS[:-1]:
            for how in ways():
                assert_blocked_nothing(running.ask(name, kind, **how), code, f"{name} {kind} {how}")


def assert_blocked_nothing(answer: Answer, code: str, shown: str) -> None:
    assert (answer.code, answer.texts, answer.authentic) == (code, set(), False), shown


def test_what_is_not_listed_answers_as_without_us(running: Running) -> None:
    for name in UNLISTED:
        for kind in KINDS:
            for how in ways():
                ours, theirs = running.ask(name, kind, **how), running.without_us(name, kind, **how)
                if kind == "ANY":  # a server answers it from what it happens to have in its cache
                    assert ours.code == theirs.code, f"{name} {how}"
                    assert not ours.texts & set(LANDING.values()), f"{name} {how}"
                else:
                    assert ours.seen() == theirs.seen(), f"{name} {kind} {how}"


def test_unlisted_names_are_validated(running: Running) -> None:
    for name in ("notbad.example", "below.www.shop.example", "nowhere.test"):
        answer = running.ask(name, dnssec=True)
        assert answer.authentic is running.setup.validates, name
        assert (ADDRESSES["A"] in answer.texts) is (name != "nowhere.test")
    assert running.ask(".", "DNSKEY", dnssec=True).seen() == running.without_us(".", "DNSKEY", dnssec=True).seen()


def test_hosts_files_leak_all_but_addresses_and_what_is_below(running: Running) -> None:
    """What the file's header says of itself, and why the other formats exist."""
    if running.setup.subtrees:
        return
    for name, kind in (("bad.example", "HTTPS"), ("bad.example", "MX"), ("x.bad.example", "A"), (COVERED, "AAAA")):
        answer = running.ask(name, kind, dnssec=True)
        assert answer.seen() == running.without_us(name, kind, dnssec=True).seen()
        assert answer.authentic


def test_an_alias_of_a_listed_name(running: Running) -> None:
    """An alias is not on the list. BIND and PowerDNS look at every hop of its chain.

    Unbound 1.17 does so once, for an alias that points to a listed name: whoever asks next gets the site from the
    cache. It is not counted as blocked.
    """
    for alias in CHAINS:
        if alias == "to-neighbour.chains.test":
            continue
        if running.setup.id == "unbound-rpz":
            running.ask(alias)
        answers = [running.ask(alias, dnssec=dnssec) for dnssec in (False, True)]
        for answer in answers:
            assert (LANDING["A"] in answer.texts) is running.setup.aliases, alias
            assert (ADDRESSES["A"] in answer.texts) is not running.setup.aliases, alias


def test_unbound_blocks_an_alias_until_it_is_in_the_cache(running: Running) -> None:
    if running.setup.id != "unbound-rpz":
        return
    running.server.control(
        "unbound-control", "-q", "-c", str(running.server.configuration), "flush_zone", "chains.test"
    )
    first = {alias: running.ask(alias) for alias in CHAINS}
    second = {alias: running.ask(alias) for alias in CHAINS}
    assert {alias for alias, answer in first.items() if ADDRESSES["A"] not in answer.texts} == {
        "one-to-name.chains.test",
        "one-to-host.chains.test",
        "one-to-below.chains.test",
    }
    assert LANDING["A"] in first["one-to-name.chains.test"].texts
    assert first["one-to-below.chains.test"].texts == {"www.bad.example."}
    assert all(ADDRESSES["A"] in answer.texts for answer in second.values())


def test_how_long_an_answer_lives_and_why_it_is_given(running: Running) -> None:
    landing, code = running.ask("bad.example"), UNDERSCORED["a_b.example"]
    assert 290 < landing.ttl <= 300  # some servers keep it in a cache
    nothing = running.ask("a_b.example")
    errors = (landing.extended_error, nothing.extended_error if nothing.code == code else None)
    assert errors == running.setup.codes
    assert running.ask("notbad.example").extended_error is None


def test_nobody_who_asks_is_logged(running: Running) -> None:
    for name in ("visitor.bad.example", "visitor.shop.example", "visitor.a_b.example"):
        running.ask(name)
    assert "visitor" not in running.server.log()


STEADY, CHANGING = ("bad.example", "notbad.example"), ("added.example", "removed.example", "www.elsewhere.test")
MEANINGS = {socket.inet_aton(LANDING["A"]): "blocked", socket.inet_aton(ADDRESSES["A"]): "resolves"}


def test_reload_under_load(running: Running, office: Office) -> None:
    """A client asks for all of these all the time, while the second release is pulled and reloaded."""
    running.provider.edit(url=office.second.as_uri())
    running.provider.reload_with(running.server.reload_command)
    with Load(running.server.port, STEADY + CHANGING, MEANINGS) as load:
        until(lambda: load.last == AS_BEFORE, "the first release", lambda: f"{load.last}\n{running.server.log()}")
        assert running.provider.pull(office.at[1]).changed
        until(lambda: load.last == AS_AFTER, "the second release", lambda: f"{load.last}\n{running.server.log()}")
        enough = load.asked + RATE
        until(lambda: load.asked > enough, "another second of questions")
    print(f"{running.setup.id}: {load.asked} asked, {load.again} sent again, {load.lost} lost")
    assert load.lost == 0
    assert load.again <= load.asked / (4 if running.setup.restarts else 20)  # packets may be lost on a busy machine
    for name in STEADY:
        assert {meaning for asked, meaning in load.seen if asked == name} == {AS_BEFORE[name]}
    for name in CHANGING:
        assert {meaning for asked, meaning in load.seen if asked == name} == {"blocked", "resolves"}


AS_BEFORE = dict(zip(STEADY + CHANGING, ("blocked", "resolves", "resolves", "blocked", "resolves"), strict=True))
AS_AFTER = AS_BEFORE | dict(zip(CHANGING, ("blocked", "resolves", "blocked"), strict=True))
