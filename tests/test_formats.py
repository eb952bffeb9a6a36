"""Export formats: each action, each kind of name, read back by other programs."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.name
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import LIST, START, shipped_policy

from blocklist import formats, policy, release
from blocklist.errors import RefusedError, UsageError
from blocklist.fields import Ref
from blocklist.formats import Release, folder_instant, folder_name
from blocklist.measures import Measure, Measures
from blocklist.names import MAX_LENGTH
from blocklist.policy import Policy

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


def with_action(name: str, **changes: Any) -> Policy:
    action = ACTIONS[name]
    kept = ["rpz"] if action["kind"] == "cname" else ["rpz", "hosts"]
    return policy.from_json(shipped_policy().to_json() | {"action": action, "formats": kept} | changes)


def measures(domains: Iterable[str] = DOMAINS, hosts: Iterable[str] = HOSTS) -> Measures:
    return Measures(dict.fromkeys(domains, MEASURE), dict.fromkeys(hosts, MEASURE))


def release_of(shown: Measures) -> Release:
    return Release(LIST, "test", "5" * 64, int(START.timestamp()), 43200, Ref(17, "7" * 64), len(shown))


def render(format_id: str, valid: Policy, shown: Measures | None = None) -> str:
    shown = measures() if shown is None else shown
    chunks = formats.get(format_id).render(shown.rendered(), valid, release_of(shown))
    return b"".join(chunks).decode()


def zone_of(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, origin=f"{ZONE}.", relativize=True)


def records(text: str) -> dict[str, set[str]]:
    """Owner -> its records, as dnspython reads them; the apex left out."""
    found: dict[str, set[str]] = {}
    for name, _, rdata in zone_of(text).iterate_rdatas():
        if name != dns.name.empty:
            found.setdefault(str(name), set()).add(f"{dns.rdatatype.to_text(rdata.rdtype)} {rdata.to_text()}")
    return found


def checked(text: str, folder: Path, zone: str = ZONE) -> str:
    """What `named-checkzone` says, as strict about names as `named` is for a primary zone: it must accept the file."""
    path = folder / "rpz.zone"
    path.write_text(text)
    done = subprocess.run(["named-checkzone", "-k", "fail", zone, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


# --- RPZ --------------------------------------------------------------------------------------------------------------

ANSWERS = {
    "address": {"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1"},
    "one address": {"A 192.0.2.1"},
    "nxdomain": {"CNAME ."},
    "cname": {"CNAME blocked.office.test."},
}


@pytest.mark.parametrize("action", ACTIONS)
def test_rpz_says_for_each_name_what_the_policy_says(action: str) -> None:
    """A name with an underscore can have no address; a CNAME it can."""
    found, cname = records(render("rpz", with_action(action))), action == "cname"
    for name in DOMAINS:
        wanted = {"CNAME ."} if "_" in name and not cname else ANSWERS[action]
        assert found.pop(name) == wanted, name
        assert found.pop(f"*.{name}") == wanted, name
    for name in HOSTS:
        exact = {"CNAME *."} if ("_" in name and not cname) or action == "nxdomain" else ANSWERS[action]
        assert found.pop(name) == exact, name
    assert found == {}


@pytest.mark.parametrize("action", ACTIONS)
def test_rpz_is_accepted_by_bind(action: str, tmp_path: Path) -> None:
    text = render("rpz", with_action(action))
    assert f"loaded serial {int(START.timestamp())}" in checked(text, tmp_path)
    assert "$ORIGIN" not in text


def test_rpz_takes_any_name_for_its_zone(tmp_path: Path) -> None:
    text = render("rpz", with_action("address"))
    for zone in ("rpz", "a.test", ZONE):
        checked(text, tmp_path, zone)


def test_bind_refuses_what_the_format_avoids(tmp_path: Path) -> None:
    """The two traps are real: an address at a name with an underscore, and a name that is too long."""
    text = render("rpz", with_action("address"))
    with pytest.raises(AssertionError, match="bad owner name"):
        checked(f"{text}a_b.example A 192.0.2.1\n", tmp_path)
    with pytest.raises(AssertionError, match=r"ran out of space|too long"):
        checked(f"{text}*.{'e' * 60}.{LONGEST} A 192.0.2.1\n", tmp_path)


@pytest.mark.parametrize("action", ACTIONS)
def test_rpz_has_each_owner_once_with_one_action(action: str) -> None:
    text = render("rpz", with_action(action))
    lines = [line for line in text.splitlines() if line and line[0] not in ";$@"]
    assert len(lines) == len(set(lines))
    for found in records(text).values():
        assert len({record.startswith("CNAME") for record in found}) == 1
        assert len(found) == 1 or not any(record.startswith("CNAME") for record in found)


def test_rpz_has_the_serial_of_the_release_and_long_expiry() -> None:
    zone = zone_of(render("rpz", with_action("address")))
    soa = zone.get_soa()
    assert soa.serial == int(START.timestamp())
    assert (soa.refresh, soa.retry, soa.expire, soa.minimum) == (300, 60, 4 * 7 * 86400, 60)
    assert (str(soa.mname), str(soa.rname)) == ("localhost.", "hostmaster.localhost.")
    assert [str(ns.target) for ns in zone.find_rdataset("@", "NS")] == ["localhost."]
    assert zone.find_rdataset("bad.test", "A").ttl == 300


def test_rpz_ttl_is_the_policys() -> None:
    zone = zone_of(render("rpz", with_action("address", ttl=77)))
    assert zone.find_rdataset("bad.test", "A").ttl == 77


# --- hosts ------------------------------------------------------------------------------------------------------------

HOSTS_ANSWERS = {
    "address": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "one address": ["192.0.2.1"],
    "nxdomain": ["0.0.0.0", "::"],  # noqa: S104
}


@pytest.mark.parametrize("action", HOSTS_ANSWERS)
def test_hosts_says_for_each_name_what_the_policy_says(action: str) -> None:
    entries = [line.split() for line in render("hosts", with_action(action)).splitlines() if line[0] != "#"]
    found: dict[str, list[str]] = {}
    for address, name in entries:
        assert str(ipaddress.ip_address(address)) == address
        found.setdefault(name, []).append(address)
    wanted = [*DOMAINS, *(f"www.{name}" for name in DOMAINS), *HOSTS]
    assert found == dict.fromkeys(wanted, HOSTS_ANSWERS[action])


def test_hosts_cannot_redirect_to_a_name() -> None:
    with pytest.raises(RefusedError, match="cannot redirect to a name"):
        render("hosts", with_action("cname"))


def test_hosts_says_what_it_cannot_do() -> None:
    head = [line for line in render("hosts", with_action("address")).splitlines() if line[0] == "#"]
    assert any("names below a listed domain stay reachable" in line for line in head)


# --- What every format shares -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format_id", "sign"), [("rpz", ";"), ("hosts", "#")])
def test_the_header_is_understood_within_five_lines(format_id: str, sign: str) -> None:
    lines = render(format_id, with_action("address")).splitlines()
    head = "\n".join(lines[:5])
    assert all(line.startswith(f"{sign} ") for line in lines[:5])
    assert "Sites blocked for direct provocation" in head  # what it is
    assert "Sites bloqués" in head
    assert f"List {LIST}, environment test, release 20261122T120000Z (1795348800)" in head  # which one
    assert "Made 2026-11-22T12:00:00Z, valid until 2026-11-23T00:00:00Z" in head  # how long it is good
    assert f"{len(DOMAINS) + len(HOSTS)} names and a probe, probe.blocklist.example" in head
    assert "openssl cms -verify" in head  # how to check it
    assert "sha256sum" in head
    assert f"Register {'5' * 64}, head: act 17, {'7' * 64}" in lines[5]


@pytest.mark.parametrize("format_id", ["rpz", "hosts"])
def test_a_list_of_nothing_is_a_file_with_the_probe(format_id: str, tmp_path: Path) -> None:
    from kit import Chain

    chain = Chain()
    shown = release.Snapshot.take(chain.register, chain.at)
    ((_, chunks),) = release.exports(shown, [format_id])
    text = b"".join(chunks).decode()
    entries = [line for line in text.splitlines() if line[0] not in ";#$@"]
    assert entries
    assert all("probe.blocklist.example" in line for line in entries)
    if format_id == "rpz":
        checked(text, tmp_path)


def test_names_are_sorted_so_that_files_compare() -> None:
    forwards = measures()
    backwards = measures(reversed(DOMAINS), reversed(HOSTS))
    for format_id in ("rpz", "hosts"):
        assert render(format_id, with_action("address"), forwards) == render(
            format_id, with_action("address"), backwards
        )


def test_no_line_is_too_long_for_anything() -> None:
    for format_id in ("rpz", "hosts"):
        assert max(map(len, render(format_id, with_action("address")).splitlines())) < 400


def test_many_names_come_in_many_chunks() -> None:
    shown = measures((f"n{number}.test" for number in range(20_000)), [])
    chunks = list(formats.get("rpz").render(shown.rendered(), with_action("address"), release_of(shown)))
    assert len(chunks) > 3
    assert b"".join(chunks).count(b"\n*.n") == 60_000


def test_the_table_of_formats() -> None:
    assert {entry.id: entry.file for entry in formats.FORMATS.values()} == {"rpz": "rpz.zone", "hosts": "hosts.txt"}
    assert set(formats.FORMATS) <= set(policy.FORMATS)
    with pytest.raises(UsageError, match="the format bind is unknown") as caught:
        formats.get("bind")
    assert "hosts, rpz" in caught.value.hint


def test_folder_names_are_instants() -> None:
    assert folder_name(START) == "20261122T120000Z"
    assert folder_instant("20261122T120000Z") == START
    for name in ("20261122", "latest", "20261122T120000", "20261322T120000Z"):
        with pytest.raises(ValueError, match=r"."):
            folder_instant(name)


# --- Covered names: a more specific owner unblocks its neighbours -----------------------------------------------------


def answer(owners: set[str], name: str) -> bool:
    """Whether a zone blocks `name`: the name itself, or the wildcard at its closest encloser (RFC 4592, 3.3.1)."""
    if name in owners:
        return True
    existing = {owner[i:] for owner in owners for i in range(len(owner)) if i == 0 or owner[i - 1] == "."}
    labels = name.split(".")
    for start in range(1, len(labels) + 1):
        encloser = ".".join(labels[start:])
        if encloser in existing or not encloser:
            return f"*.{encloser}" in owners
    return False


def test_the_model_knows_the_trap() -> None:
    owners = {"bad.test", "*.bad.test", "www.sub.bad.test"}
    assert answer(owners, "other.bad.test")
    assert not answer(owners, "x.sub.bad.test")  # what BIND does, measured
    assert not answer(owners, "y.www.sub.bad.test")


def test_a_host_listed_before_its_domain_is_not_rendered() -> None:
    shown = measures(["bad.test", "deep.sub.bad.test"], ["www.sub.bad.test", "bad.test", "notbad.test"])
    owners = set(records(render("rpz", with_action("address"), shown)))
    assert owners == {"bad.test", "*.bad.test", "notbad.test"}
    hosts = render("hosts", with_action("address"), shown)
    assert "sub.bad.test" not in hosts
    assert hosts.count(" bad.test\n") == 3


LABELS = st.sampled_from(["a", "b", "www", "test"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "test"]))


@given(st.sets(NAMES, max_size=8), st.sets(NAMES, max_size=8), st.lists(NAMES, max_size=6))
def test_every_measure_blocks_and_nothing_else_does(domains: set[str], hosts: set[str], others: list[str]) -> None:
    owners = set(records(render("rpz", with_action("one address"), measures(sorted(domains), sorted(hosts)))))

    def meant(name: str) -> bool:
        return name in hosts or any(name == domain or name.endswith(f".{domain}") for domain in domains)

    for name in [*domains, *hosts, *others, *(f"x.y.{name}" for name in (*domains, *hosts))]:
        assert answer(owners, name) == meant(name), (owners, name)


# --- Promise 9: nothing but names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_id", ["rpz", "hosts"])
def test_promise_9_entries_hold_names_and_addresses_only(format_id: str) -> None:
    text = render(format_id, with_action("address"))
    entries = [line for line in text.splitlines() if line[0] not in ";#$@"]
    name = r"(\*\.)?[a-z0-9_.-]+"
    record = r"(A 192\.0\.2\.[12]|AAAA 2001:db8::1|CNAME (\.|\*\.))"
    entry = rf"{name} {record}" if format_id == "rpz" else rf"(192\.0\.2\.[12]|2001:db8::1) {name}"
    assert all(re.fullmatch(entry, line) for line in entries)
    assert "apology" not in "".join(entries)
    assert "identification" not in text
