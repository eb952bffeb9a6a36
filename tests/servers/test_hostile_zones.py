"""Policy zones with one defect each, and what every real resolver makes of them (RESOLVERS.md, section 1).

`blocklist lint` names these defects in the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.flags
import dns.rcode
import pytest
from kit.servers import CONFIGURATIONS, Dnsmasq, Kresd, Named, Recursor, Server, Unbound, until
from kit.upstream import ADDRESSES, Upstream

HOSTILE = CONFIGURATIONS / "hostile"
SERVERS: Mapping[str, tuple[type[Server], str]] = {
    "bind": (Named, "bind-rpz.conf"),
    "unbound": (Unbound, "unbound-rpz.conf"),
    "kresd": (Kresd, "kresd-rpz.conf"),
    "recursor": (Recursor, "recursor.conf"),
}

NOT_STARTED, NOTHING, CUT = "does not start", "blocks nothing", "loses what follows"
ROOT_DENIED, ROOT_FORGED = "denies the key of the root", "serves another key of the root"
ROOT = {"unbound": ROOT_DENIED, "kresd": ROOT_DENIED, "recursor": ROOT_DENIED}

DEFECTS: Mapping[str, Mapping[str, str]] = {
    "clean": {},
    "duplicate-line": {"recursor": NOTHING},
    "two-actions": {
        "bind": NOTHING,
        "unbound": "both.example NXDOMAIN",
        "kresd": "both.example 192.0.2.1",
        "recursor": "both.example NXDOMAIN",
    },
    "two-cnames": {
        "bind": NOTHING,
        "unbound": "both.example NXDOMAIN",
        "kresd": "both.example NOERROR",
        "recursor": NOTHING,
    },
    "owner-too-long": {"bind": NOTHING, "unbound": NOT_STARTED},
    "owner-over-255": {"bind": NOTHING, "unbound": NOT_STARTED, "kresd": CUT, "recursor": NOTHING},
    "underscore-address": {
        "bind": NOTHING,
        **dict.fromkeys(("unbound", "kresd", "recursor"), "a_b.example 192.0.2.1"),
    },
    "more-specific": {
        "bind": "sub.bad.example resolves, x.sub.bad.example resolves, y.www.sub.bad.example resolves",
        "unbound": "sub.bad.example NXDOMAIN, x.sub.bad.example NXDOMAIN, y.www.sub.bad.example resolves",
        **dict.fromkeys(
            ("kresd", "recursor"),
            "sub.bad.example NXDOMAIN, x.sub.bad.example NXDOMAIN, y.www.sub.bad.example NXDOMAIN",
        ),
    },
    "origin": {"bind": NOTHING, "unbound": NOT_STARTED},
    "address-trigger": {
        **dict.fromkeys(("bind", "unbound", "recursor"), "notbad.example NXDOMAIN"),
        "kresd": "notbad.example resolves",
    },
    "zonemd": ROOT,
    "apex-address": ROOT,
    "dnssec": {"recursor": ROOT_FORGED},
    "out-of-zone": {
        "bind": "outside.example resolves",
        "unbound": NOT_STARTED,
        **dict.fromkeys(("kresd", "recursor"), "outside.example NXDOMAIN"),
    },
    "crlf": {"kresd": NOTHING},
    "no-final-newline": {},
    "lower-serial": {},  # a defect in a secondary only: test_transfer.py
}
WATCHED: Mapping[str, tuple[str, ...]] = {
    "two-actions": ("both.example",),
    "two-cnames": ("both.example",),
    "underscore-address": ("a_b.example",),
    "more-specific": ("sub.bad.example", "x.sub.bad.example", "y.www.sub.bad.example"),
    "address-trigger": ("notbad.example",),
    "out-of-zone": ("outside.example",),
}
"""The names whose answers tell, where the zone is loaded."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with Upstream(tmp_path_factory.mktemp("upstream") / "named") as server:
        yield server


def test_every_hostile_zone_is_here() -> None:
    assert {path.stem for path in HOSTILE.iterdir()} == DEFECTS.keys()


@pytest.mark.parametrize("brand", SERVERS)
@pytest.mark.parametrize("zone", DEFECTS)
def test_what_a_defect_does(zone: str, brand: str, upstream: Upstream, tmp_path: Path) -> None:
    kind, configuration = SERVERS[brand]
    server = kind(tmp_path / "server", configuration, upstream.port, HOSTILE / f"{zone}.zone", upstream.anchor)
    expected = DEFECTS[zone].get(brand, "")
    server.launch()
    try:
        until(lambda: not server.alive() or server.answers(), "an answer, or the end", server.log)
        assert (NOT_STARTED if not server.alive() else observed(server, zone)) == expected
    finally:
        server.stop()


def observed(server: Server, zone: str) -> str:
    """What a started server does with the zone: a word for the defect, or what the watched names answer."""
    # BIND answers before it has read its policy, and says in its log when it will not; the others read it first.
    until(
        lambda: not isinstance(server, Named) or is_blocked(server) or "not loaded due to errors" in server.log(),
        "the policy to be read",
        server.log,
    )
    if not is_blocked(server):
        return NOTHING if not is_blocked(server, "after.example") else "loses what is before"
    if not is_blocked(server, "after.example"):
        return CUT
    key = server.ask(".", "DNSKEY", dnssec=True)
    if not key.answer:
        return ROOT_DENIED
    if not key.flags & dns.flags.AD:
        return ROOT_FORGED
    return ", ".join(f"{name} {outcome(server, name)}" for name in WATCHED.get(zone, ()))


def outcome(server: Server, name: str) -> str:
    message = server.ask(name)
    texts = [record.to_text() for rrset in message.answer for record in rrset]
    if ADDRESSES["A"] in texts:
        return "resolves"
    return " ".join(texts) or dns.rcode.to_text(message.rcode())


def is_blocked(server: Server, name: str = "before.example") -> bool:
    return outcome(server, name) != "resolves"


# Defaults of servers that undo a good zone. Each configuration of ours says otherwise; here it does not.


def started(
    kind: type[Server], configuration: str, upstream: Upstream, folder: Path, policy: str, *without: str
) -> Server:
    """A server with our configuration but for some words, and a policy file with that content."""
    folder.mkdir()
    path = folder / "policy"
    path.write_text(policy)
    server = kind(folder / "server", configuration, upstream.port, path, upstream.anchor)
    text = server.configuration.read_text()
    for words in without:
        assert words in text
        text = text.replace(words, "")
    server.configuration.write_text(text)
    return server


def policy_zone(*names: str, serial: int = 1) -> str:
    head = f"$TTL 300\n@ SOA localhost. hostmaster.localhost. {serial} 300 60 2419200 60\n@ NS localhost.\n"
    return head + "".join(f"{name} A 192.0.2.1\n" for name in names)


def test_bind_without_break_dnssec_gives_the_site_to_who_asks_for_dnssec(upstream: Upstream, tmp_path: Path) -> None:
    zone = policy_zone("bad.example")
    with started(Named, "bind-rpz.conf", upstream, tmp_path / "default", zone, "break-dnssec yes") as server:
        until(lambda: outcome(server, "bad.example") == "192.0.2.1", "the policy to be read", server.log)
        answer = server.ask("bad.example", dnssec=True)
        assert answer.flags & dns.flags.AD
        assert ADDRESSES["A"] in str(answer)


def test_bind_without_qname_wait_recurse_no_fails_when_the_site_is_down(upstream: Upstream, tmp_path: Path) -> None:
    zone = policy_zone("bad.example", "down.example")
    with started(Named, "bind-rpz.conf", upstream, tmp_path / "default", zone, "qname-wait-recurse no") as server:
        until(lambda: outcome(server, "bad.example") == "192.0.2.1", "the policy to be read", server.log)
        assert outcome(server, "down.example") == "SERVFAIL"


def test_bind_caps_answers_at_five_seconds(upstream: Upstream, tmp_path: Path) -> None:
    zone = policy_zone("bad.example")
    with started(Named, "bind-rpz.conf", upstream, tmp_path / "default", zone, "max-policy-ttl 300") as server:
        until(lambda: outcome(server, "bad.example") == "192.0.2.1", "the policy to be read", server.log)
        assert server.ask("bad.example").answer[0].ttl == 5


def test_unbound_without_respip_does_not_start(upstream: Upstream, tmp_path: Path) -> None:
    zone = policy_zone("bad.example")
    server = started(Unbound, "unbound-rpz.conf", upstream, tmp_path / "default", zone, "respip ")
    with pytest.raises(AssertionError, match="RPZ requires the respip module"), server:
        pass


def test_powerdns_answers_from_before_a_reload(upstream: Upstream, tmp_path: Path) -> None:
    """Its packet cache keeps whole answers, policy and all, until it is told otherwise."""
    zone = policy_zone("removed.example")
    with started(Recursor, "recursor.conf", upstream, tmp_path / "default", zone, "packetcache-ttl=5") as server:
        assert (outcome(server, "removed.example"), outcome(server, "added.example")) == ("192.0.2.1", "resolves")
        server.read_again(policy_zone("added.example", serial=2).encode())
        until(lambda: outcome(server, "x.added.example") == "resolves", "an answer")
        assert (outcome(server, "removed.example"), outcome(server, "added.example")) == ("192.0.2.1", "resolves")
        server.control("rec_control", f"--socket-dir={server.folder}", "wipe-cache", "$")
        assert (outcome(server, "removed.example"), outcome(server, "added.example")) == ("resolves", "192.0.2.1")


def test_dnsmasq_answers_from_its_cache_what_an_alias_brought_there(upstream: Upstream, tmp_path: Path) -> None:
    """`address=` comes after the cache: whoever asks for an alias of a listed name opens that name for everybody."""
    lines = "address=/bad.example/192.0.2.1\nlocal=/bad.example/\n"
    with started(Dnsmasq, "dnsmasq.conf", upstream, tmp_path / "default", lines, "cache-size=0") as server:
        assert outcome(server, "bad.example") == "192.0.2.1"
        server.ask("one-to-name.chains.test")
        assert outcome(server, "bad.example") == "resolves"
    with started(Dnsmasq, "dnsmasq.conf", upstream, tmp_path / "ours", lines) as server:
        server.ask("one-to-name.chains.test")
        assert outcome(server, "bad.example") == "192.0.2.1"


def test_dnsmasq_needs_local_beside_address(upstream: Upstream, tmp_path: Path) -> None:
    """Without it a domain's other types are forwarded, HTTPS records and their address hints among them."""
    lines = "address=/bad.example/192.0.2.1\n"
    with started(Dnsmasq, "dnsmasq.conf", upstream, tmp_path / "leaks", lines) as server:
        for kind in ("AAAA", "HTTPS"):
            assert ADDRESSES["AAAA"] in str(server.ask("www.bad.example", kind))
