"""Export formats: each action, each kind of name, read back by other programs."""

from __future__ import annotations

import csv
import inspect
import ipaddress
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dns.name
import dns.rdatatype
import dns.zone
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.chain import Chain
from kit.effort import EXAMPLES
from kit.fixed import LIST, START
from kit.rendered import (
    ACTIONS,
    DOMAINS,
    HOSTS,
    LONG_TITLE,
    MEASURE,
    ODD_LISTS,
    ZONE,
    measures,
    release_of,
    render,
    with_action,
)
from kit.shell import Shell

from blocklist.base.errors import RefusedError, UsageError
from blocklist.register import policy
from blocklist.register.decoders import folder_instant, folder_name
from blocklist.register.lifecycle import Measure, Measures
from blocklist.register.policy import Policy
from blocklist.register.policy_reader import PolicyError
from blocklist.release import formats, renderers
from blocklist.release.contents import Snapshot, exports
from blocklist.release.renderers import COLUMNS, unicode


def zone_of(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, origin=f"{ZONE}.", relativize=True)


def records(text: str) -> dict[str, set[str]]:
    """Owner -> its records, as dnspython reads them; the apex left out."""
    found: dict[str, set[str]] = {}
    for name, _, rdata in zone_of(text).iterate_rdatas():
        if name != dns.name.empty:
            found.setdefault(str(name), set()).add(f"{dns.rdatatype.to_text(rdata.rdtype)} {rdata.to_text()}")
    return found


# --- What a file says, read by another program ------------------------------------------------------------------------

COMMENTED = ("rpz", "hosts", "domains", "dnsmasq", "unbound", "knot")

Scopes = tuple[set[str], set[str]]
"""Domains and hosts."""


def read(format_id: str, text: str, valid: Policy) -> Scopes:
    """What a file blocks: domains and hosts; each entry must answer as the policy says."""
    return READERS[format_id](text, valid)


def plain_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def by_wildcard(text: str, _: Policy) -> Scopes:
    owners = set(records(text))
    domains = {owner for owner in owners if f"*.{owner}" in owners}
    return domains, {owner for owner in owners if not owner.startswith("*.")} - domains


def by_exact_name(text: str, _: Policy) -> Scopes:
    """A hosts file knows no scopes."""
    return set(), {line.split()[1] for line in plain_lines(text)}


def by_section(text: str, _: Policy) -> Scopes:
    domains, hosts = text.split("# Domains: ")[1].split("# Hosts: ")
    return set(domains.splitlines()[1:]), set(hosts.splitlines()[1:])


def by_dnsmasq_line(text: str, valid: Policy) -> Scopes:
    found: dict[str, set[str]] = {}
    for line in plain_lines(text):
        match = re.fullmatch(r"(address|local|server)=/(\*\.)?([^/]+)/(.*)", line)
        assert match, line
        kind, below, name, value = match.groups()
        assert (below is not None) == (kind == "server") == (value == "#"), line
        found.setdefault(name, set()).add(value or kind)
    return by_answer(found, {*valid.action.a, *valid.action.aaaa, "local"}, "#")


def by_answer(found: dict[str, set[str]], answer: set[str], host: str) -> Scopes:
    """Each name's entries are its answer, and for a host the mark of one."""
    assert all(said - {host} == answer for said in found.values())
    hosts = {name for name, said in found.items() if host in said}
    return found.keys() - hosts, hosts


def by_local_zone(text: str, valid: Policy) -> Scopes:
    first, *lines = plain_lines(text)
    assert first == "server:"
    zones: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for line in lines:
        match = re.fullmatch(r'local-zone: "([^"]+)" (\w+)|local-data: "(\S+) 300 ([^"]+)"', line)
        assert match, line
        if match[1]:
            assert match[1] not in zones
            zones[match[1]] = match[2]
        else:
            found.setdefault(match[3], set()).add(match[4])
    wanted = answers(valid)
    below = "redirect" if wanted else "always_nxdomain"
    assert set(zones.values()) <= {below, "transparent"}
    for name, kind in zones.items():
        assert found.pop(name, set()) == (wanted or ({r"TYPE65280 \# 0"} if kind == "transparent" else set())), name
    assert not found
    return {name for name in zones if zones[name] == below}, {name for name in zones if zones[name] == "transparent"}


def answers(valid: Policy) -> set[str]:
    return {f"A {address}" for address in valid.action.a} | {f"AAAA {address}" for address in valid.action.aaaa}


def by_rule(text: str, valid: Policy) -> Scopes:
    """A domain with an underscore has no rule for what is below it, and so looks like a host."""
    rules = yaml.safe_load(text)["local-data"]["rules"]
    zone = dns.zone.from_text(f"@ 300 SOA . . 1 1 1 1 1\n@ 300 NS .\n{rules[0].pop('records')}", origin=".")
    found: dict[str, set[str]] = {}
    for name, _, rdata in zone.iterate_rdatas():
        if name != dns.name.empty:
            kind = dns.rdatatype.to_text(rdata.rdtype)
            found.setdefault(name.to_text(omit_final_dot=True), set()).add(f"{kind} {rdata.to_text()}".strip())
    wanted = answers(valid)
    assert rules.pop(0) == {"nodata": True, "ttl": "300s"}
    assert all(said == (wanted or {r"TYPE65280 \# 0"}) for said in found.values())
    domains = set()
    for rule in rules:
        assert rule.keys() == {"subtree", "ttl", "name"}
        assert rule["subtree"] == ("redirect" if wanted else "nxdomain")
        domains |= set(rule["name"])
        assert len(domains) == len(rule["name"])
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in domains)
    assert not wanted or domains <= found.keys()
    return domains, found.keys() - domains


def by_row(text: str, _: Policy) -> Scopes:
    assert text.count("\r\n") == text.count("\n")
    assert not text.startswith("#")
    return by_scope(list(csv.DictReader(text.splitlines(keepends=True), strict=True)))


def by_entry(text: str, valid: Policy) -> Scopes:
    told = json.loads(text)
    assert list(told) == ["release", "title", "probe", "action", "names"]
    assert (told["title"], told["probe"]) == (valid.title, valid.probe)
    action = told["action"]
    said = {f"A {ip}" for ip in action.get("a", ())} | {f"AAAA {ip}" for ip in action.get("aaaa", ())}
    kind = (action["kind"], action["ttl"], action.get("target", ""))
    assert (said, *kind) == (answers(valid), valid.action.kind, 300, valid.action.target)
    return by_scope(told["names"])


def by_scope(rows: list[dict[str, str]]) -> Scopes:
    assert all(tuple(row) == COLUMNS for row in rows)
    found = [{row["name"] for row in rows if row["scope"] == scope} for scope in ("domain", "host")]
    assert len(found[0]) + len(found[1]) == len(rows)
    return found[0], found[1]


READERS = {
    "rpz": by_wildcard,
    "hosts": by_exact_name,
    "domains": by_section,
    "dnsmasq": by_dnsmasq_line,
    "unbound": by_local_zone,
    "knot": by_rule,
    "csv": by_row,
    "json": by_entry,
}


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


def test_hosts_says_what_it_cannot_do() -> None:
    head = [line for line in render("hosts", with_action("address")).splitlines() if line[0] == "#"]
    assert any("names below a listed domain stay reachable" in line for line in head)


# --- The others -------------------------------------------------------------------------------------------------------


def test_dnsmasq_leaves_what_is_below_a_host_to_the_usual_servers() -> None:
    lines = plain_lines(render("dnsmasq", with_action("address"), measures(["bad.test"], ["www.shop.test"])))
    addresses = [f"address=/NAME/{ip}" for ip in ("192.0.2.1", "192.0.2.2", "2001:db8::1")]
    domain = [line.replace("NAME", "bad.test") for line in (*addresses, "local=/NAME/")]
    host = [line.replace("NAME", "www.shop.test") for line in (*addresses, "local=/NAME/", "server=/*.NAME/#")]
    assert lines == [*domain, *host]
    lines = plain_lines(render("dnsmasq", with_action("nxdomain"), measures(["bad.test"], ["www.shop.test"])))
    assert lines == ["local=/bad.test/", "local=/www.shop.test/", "server=/*.www.shop.test/#"]


def test_unbound_never_lets_a_type_through() -> None:
    assert "typetransparent" not in render("unbound", with_action("address"))


def test_knot_says_that_nobody_ran_it() -> None:
    assert "NOT VERIFIED" in "\n".join(render("knot", with_action("address")).splitlines()[:8])


def test_knot_publishes_no_reverse_record_and_names_no_underscore() -> None:
    """An `address` in a rule would tell the list to whoever asks for the name of the landing page's address."""
    text = render("knot", with_action("address"))
    assert "address" not in text.split("local-data:")[1]
    rules = yaml.safe_load(text)["local-data"]["rules"]
    assert "a_b.test. A 192.0.2.1" in rules[0]["records"]
    assert "a_b.test" not in rules[1]["name"]
    records = yaml.safe_load(render("knot", with_action("nxdomain")))["local-data"]["rules"][0]["records"]
    names = {line.split(". ")[0] for line in records.splitlines()}
    assert names == {*HOSTS, "a_b.test", "_dmarc.under.test"}


@pytest.mark.parametrize("domains", [(), ("a_b.test",)])
def test_knot_has_no_rule_without_a_name(domains: tuple[str, ...]) -> None:
    for action in ("address", "nxdomain"):
        text = render("knot", with_action(action), measures(domains, ["probe.test"]))
        (rule,) = yaml.safe_load(text)["local-data"]["rules"]
        assert len(rule["records"].splitlines()) == (3 if action == "address" else 1) * (1 + len(domains))


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("address", "A 192.0.2.1, A 192.0.2.2, AAAA 2001:db8::1"),
        ("nxdomain", "NXDOMAIN"),
        ("cname", "CNAME blocked.office.test"),
    ],
)
def test_domains_tell_the_answer_to_set(action: str, said: str) -> None:
    assert f"It should be: {said}\n" in render("domains", with_action(action))


def test_rows_have_both_forms_and_both_dates() -> None:
    """Names of two decisions, so that none gets another's dates."""
    later = dict.fromkeys(["b.test"], MEASURE) | {
        "xn--bcher-kva.test": Measure(
            ground="g", basis="b", added=9, approved=10, since=START + timedelta(days=1), review_by=START + timedelta(7)
        )
    }
    shown = Measures(later, {"www.c.test": MEASURE})
    rows = list(csv.reader(render("csv", with_action("address"), shown).splitlines()))
    dates = ["2026-11-22T12:00:00Z", "2027-02-14T12:00:00Z"]
    assert rows == [
        list(COLUMNS),
        ["b.test", "b.test", "domain", *dates],
        ["xn--bcher-kva.test", "bücher.test", "domain", "2026-11-23T12:00:00Z", "2026-11-29T12:00:00Z"],
        ["www.c.test", "www.c.test", "host", *dates],
    ]
    told = json.loads(render("json", with_action("address"), shown))
    assert [list(entry.values()) for entry in told["names"]] == rows[1:]
    assert told["release"] == release_of(shown).facts()


def test_json_says_first_which_release_it_is() -> None:
    text = render("json", with_action("address"))
    assert text.startswith(
        '{"release":{"list":"apology-of-terrorism","environment":"test","release":"20261122T120000Z"'
    )
    lines = text.splitlines()
    start = lines.index('"names":[')
    assert start < 5
    assert all(json.loads(line.removesuffix(",")) for line in lines[start + 1 : -1])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.test", "a.test"),
        ("xn--mnchen-3ya.xn--bcher-kva.test", "münchen.bücher.test"),
        ("xn--fiqs8s.xn--4gbrim.test", "中国.موقع.test"),
        ("xn--.test", "xn--.test"),
        ("xn--abc.test", "xn--abc.test"),  # decodes to nothing
        ("xn--abc-.test", "xn--abc-.test"),  # all of it is ASCII
        ("xn--999999999.test", "xn--999999999.test"),  # beyond Unicode
        ("xn--a-ecp.test", "xn--a-ecp.test"),
    ],
)
def test_u_labels_are_what_punycode_says(name: str, shown: str) -> None:
    assert unicode(name) == shown


@given(st.text(st.characters(), min_size=1, max_size=12))
def test_no_u_label_needs_quotes_or_escapes(text: str) -> None:
    label = "xn--" + text.encode("utf-8", "surrogatepass").decode("utf-8", "ignore").encode("punycode").decode()
    found = unicode(label.lower())
    assert found == label.lower() or not set(found) & set(',"\\\r\n\u2028\u202e\u200b\ufeff')


@given(st.text(st.sampled_from("abcdefgxyz0123456789-"), min_size=1, max_size=20))
def test_any_label_decodes_or_stays(tail: str) -> None:
    found = unicode(f"xn--{tail}.test")
    assert found == f"xn--{tail}.test" or found.removesuffix(".test").encode("punycode").decode() == tail


# --- What every format shares -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_id", COMMENTED)
def test_the_header_is_understood_within_five_lines(format_id: str) -> None:
    sign, lines = ";" if format_id == "rpz" else "#", render(format_id, with_action("address")).splitlines()
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


@pytest.mark.parametrize("format_id", formats.FORMATS)
def test_a_list_of_nothing_is_a_file_with_the_probe(format_id: str) -> None:
    chain = Chain()
    shown = Snapshot.take(chain.register, chain.at)
    ((_, chunks),) = exports(shown, [format_id])
    text = b"".join(chunks).decode()
    assert read(format_id, text, shown.policy) == (set(), {"probe.blocklist.example"})


def test_names_are_sorted_so_that_files_compare() -> None:
    forwards = measures()
    backwards = measures(reversed(DOMAINS), reversed(HOSTS))
    for format_id in formats.FORMATS:
        assert render(format_id, with_action("address"), forwards) == render(
            format_id, with_action("address"), backwards
        )


@pytest.mark.parametrize("format_id", COMMENTED)
def test_no_line_is_too_long_for_anything(format_id: str) -> None:
    """What follows 1,024 octets of a comment dnsmasq takes for an option, so a long title goes on in the next line."""
    text = render(format_id, with_action("address", title=LONG_TITLE))
    assert max(len(line.encode()) for line in text.splitlines()) < 1000


@pytest.mark.parametrize("format_id", formats.FORMATS)
def test_many_names_come_in_many_chunks(format_id: str) -> None:
    """So memory grows neither with the list nor with the number of formats."""
    shown = measures((f"n{number}.test" for number in range(20_000)), [])
    made = formats.get(format_id).render(shown.rendered(), with_action("address"), release_of(shown))
    assert inspect.isgenerator(made)
    chunks = list(made)
    assert len(chunks) > 3
    most = max(len(template) for template in chunks[0].splitlines()) + 250
    assert max(map(len, chunks)) < renderers.CHUNK * most
    assert b"".join(chunks).count(b"n12345.test") == b"".join(chunks).count(b"n19999.test") > 0


def test_the_table_of_formats() -> None:
    assert tuple(formats.FORMATS) == policy.FORMATS
    assert len({entry.file for entry in formats.FORMATS.values()}) == len(policy.FORMATS)
    for entry in formats.FORMATS.values():
        assert set(entry.actions) == set(policy.ACTIONS) - set(policy.UNSAID.get(entry.id, ())), entry.id
    with pytest.raises(UsageError, match="the format bind is unknown") as caught:
        formats.get("bind")
    assert "hosts, json" in caught.value.hint


def test_the_command_tells_of_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, monkeypatch)
    lines = shell("formats").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:] if line[0] != " "] == list(formats.FORMATS)
    assert "verified)" in "\n".join(lines)
    told = shell.json("formats")["formats"]
    assert [entry["id"] for entry in told] == list(formats.FORMATS)
    assert {entry["id"] for entry in told if not entry["verified"]} == {"domains", "knot"}
    assert [entry["id"] for entry in told if "cname" not in entry["actions"]] == list(policy.UNSAID)
    assert all(entry["can"] and entry["cannot"] and entry["for"] and entry["file"] for entry in told)


def test_formats_of_a_newer_program() -> None:
    named = ("rpz", "later-one", "json")
    assert (formats.known(named), formats.unknown(named)) == (("rpz", "json"), ("later-one",))


@pytest.mark.parametrize("format_id", policy.UNSAID)
def test_an_action_that_a_format_cannot_express_is_refused(format_id: str) -> None:
    with pytest.raises(RefusedError, match=f"{format_id} cannot express the action cname"):
        render(format_id, with_action("cname"))
    with pytest.raises(PolicyError, match=f"no {format_id} with the action cname"):
        with_action("cname", formats=["rpz", format_id])


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


# --- All formats of a release describe the same set -------------------------------------------------------------------


def meant(format_id: str, shown: Measures) -> Scopes:
    """What a format should say: all, but for the limit that its entry in the table tells."""
    rendered = shown.rendered()
    domains, hosts = set(rendered.domain), set(rendered.host)
    if format_id == "knot":
        rest = {name for name in domains if "_" in name}
        return domains - rest, hosts | rest
    if format_id == "hosts":
        return set(), domains | {f"www.{name}" for name in domains} | hosts
    return domains, hosts


@settings(max_examples=60 * EXAMPLES, deadline=None)
@given(ODD_LISTS, ODD_LISTS, st.sampled_from(list(ACTIONS)))
def test_every_format_describes_the_same_set(domains: set[str], hosts: set[str], action: str) -> None:
    shown, valid = measures(sorted(domains), sorted(hosts | {"probe.example"})), with_action(action)
    texts = {format_id: render(format_id, valid, shown) for format_id in valid.formats}
    for format_id, text in texts.items():
        assert read(format_id, text, valid) == meant(format_id, shown), format_id
        assert text == render(format_id, valid, measures(sorted(domains, reverse=True), {"probe.example", *hosts}))


def names_in(format_id: str, text: str, valid: Policy) -> Iterator[str]:
    for scope in read(format_id, text, valid):
        yield from scope


@given(ODD_LISTS, ODD_LISTS, st.sampled_from(list(ACTIONS)))
@settings(deadline=None, max_examples=40 * EXAMPLES)
def test_no_format_renders_a_name_below_a_listed_domain(domains: set[str], hosts: set[str], action: str) -> None:
    shown, valid = measures(sorted(domains), sorted(hosts | {"probe.example"})), with_action(action)
    for format_id in valid.formats:
        for name in names_in(format_id, render(format_id, valid, shown), valid):
            # All that a hosts file can say of what is below a domain is `www.`.
            own = name.removeprefix("www.") if format_id == "hosts" else name
            assert own in domains or not any(name.endswith(f".{domain}") for domain in domains), (format_id, name)


# --- Promise 9: nothing but names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_id", formats.FORMATS)
def test_promise_9_nothing_of_a_dossier_or_an_officer_is_in_it(format_id: str) -> None:
    text = render(format_id, with_action("address"))
    for word in (MEASURE.ground + '"', f",{MEASURE.ground}", MEASURE.basis, "approved", "added"):
        assert word not in text


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
