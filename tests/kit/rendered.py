"""Measures with every kind of name, rendered with every action: what tests of formats and of servers share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st
from kit.fixed import LIST, START, shipped_policy

from blocklist.names.domain_name import MAX_LENGTH
from blocklist.register import policy_reader
from blocklist.register.decoders import Ref
from blocklist.register.lifecycle import Measure, Measures
from blocklist.register.policy import Policy
from blocklist.release import formats
from blocklist.release.renderers import Release

ZONE = "policy-zone.provider.test.rpz0"
assert len(ZONE) == 30

MEASURE = Measure(
    ground="apology",
    basis="no-identification",
    added=3,
    approved=4,
    since=START,
    review_by=START + timedelta(weeks=12),
)

ACTIONS: dict[str, dict[str, Any]] = {
    "address": {"kind": "address", "a": ["192.0.2.1", "192.0.2.2"], "aaaa": ["2001:db8::1"]},
    "one address": {"kind": "address", "a": ["192.0.2.1"]},
    "nxdomain": {"kind": "nxdomain"},
    "cname": {"kind": "cname", "target": "blocked.office.test"},
}

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 23, "test"])
assert len(LONGEST) == MAX_LENGTH == 220

DOMAINS = ("bad.test", "xn--bcher-kva.test", "a_b.test", "_dmarc.under.test", LONGEST, "1.2.example", "x--y.example")
HOSTS = ("www.shop.test", "a_b.host.test", "xn--mnchen-3ya.host.test", "0.example")


@cache
def signed() -> dict[str, Any]:
    return shipped_policy().to_json() | {"protected": [], "platforms": {}}


@cache
def unchanged(name: str) -> Policy:
    return with_action(name, ttl=300)


def with_action(name: str, **changes: Any) -> Policy:
    if not changes:
        return unchanged(name)
    action = ACTIONS[name]
    kept = [entry.id for entry in formats.FORMATS.values() if action["kind"] in entry.actions]
    return policy_reader.from_json(signed() | {"action": action, "formats": kept} | changes)


def measures(domains: Iterable[str] = DOMAINS, hosts: Iterable[str] = HOSTS) -> Measures:
    return Measures(dict.fromkeys(domains, MEASURE), dict.fromkeys(hosts, MEASURE))


def release_of(shown: Measures) -> Release:
    return Release(LIST, "test", "5" * 64, int(START.timestamp()), 43200, Ref(17, "7" * 64), len(shown))


def render(format_id: str, valid: Policy, shown: Measures | None = None) -> str:
    shown = measures() if shown is None else shown
    chunks = formats.get(format_id).render(shown.rendered(), valid, release_of(shown))
    return b"".join(chunks).decode()


ODD = st.sampled_from(["a", "b", "www", "_x", "a_b", "0", "0x1", "xn--bcher-kva", "xn--abc", "x--y", "a-b", "n" * 63])
ODD_NAMES = st.lists(ODD, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "test"]))
ODD_LISTS = st.sets(st.one_of(ODD_NAMES, st.just(LONGEST)), max_size=8)

LONG_TITLE = {"en": "e " * 999 + "e", "fr": "é " * 999 + "é"}
