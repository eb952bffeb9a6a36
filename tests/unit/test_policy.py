"""The policy: the shipped files, each rule on both sides of its boundary, and input that means harm."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.fixed import LISTS

from blocklist.base.errors import BlocklistError
from blocklist.names import domain_name
from blocklist.register.decoders import RESERVED_IDS
from blocklist.register.documents import MAX_FILE, digests, file_names, load
from blocklist.register.policy import FORMATS, MAX_NAMES, UNSAID, Policy, documentation_addresses, own_names
from blocklist.register.policy_reader import PolicyError, from_json

ID = "apology-of-terrorism"
MAIN = f"{ID}.yaml"
FILES = {name: (LISTS / name).read_bytes() for name in (MAIN, "protected.yaml", "platforms.yaml")}
DAY = 86_400


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return load(FILES, ID)


@pytest.fixture
def signed(shipped: Policy) -> dict[str, Any]:
    """The signed form, small and free to be changed."""
    value: dict[str, Any] = json.loads(json.dumps(shipped.to_json()))
    return value | {
        "protected": ["google.com", "wikipedia.org"],
        "platforms": {"blogspot.com": "host", "x.com": "path"},
    }


def edited(old: str, new: str, file: str = MAIN) -> dict[str, bytes]:
    text = FILES[file].decode()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
    return FILES | {file: text.replace(old, new).encode()}


def faults(call: Callable[[], object]) -> dict[str, str]:
    """Key and phrase of each fault."""
    with pytest.raises(PolicyError) as caught:
        call()
    error = caught.value
    assert isinstance(error, BlocklistError)
    assert error.exit_code == 2
    assert all(str(fault) in str(error) for fault in error.faults[:50])
    return {fault.key: fault.allowed for fault in error.faults}


def written_faults(old: str, new: str, file: str = MAIN) -> dict[str, str]:
    return faults(lambda: load(edited(old, new, file), ID))


def at(value: Any, path: str, new: object) -> Any:
    """A copy of the signed form with another value at a dotted path."""
    value = copy.deepcopy(value)
    *way, last = path.split("/")
    inner = value
    for step in way:
        inner = inner[int(step) if isinstance(inner, list) else step]
    inner[int(last) if isinstance(inner, list) else last] = new
    return value


# --- What is shipped ---------------------------------------------------------------------------------------------


def test_shipped_policy_is_what_the_law_asks(shipped: Policy) -> None:
    assert (shipped.id, shipped.regime) == (ID, "lcen-6-1")
    assert shipped.notice == DAY
    assert (shipped.review, shipped.warn) == (84 * DAY, 14 * DAY)
    assert (shipped.freshness, shipped.ttl) == (DAY // 2, 300)
    assert shipped.approvals == {"add": 1}
    assert set(shipped.grounds) == {"provocation", "apology"}
    assert all({"terrorist-act", "public"} <= {ask.id for ask in g.asks} for g in shipped.grounds.values())
    assert (shipped.brakes.added, shipped.brakes.added_percent, shipped.brakes.removed) == (20, 30, 20)
    assert shipped.formats == FORMATS
    assert {basis.checked for basis in shipped.legal_basis} == {True, False}
    assert all(basis.source for basis in shipped.legal_basis)
    assert "deux mois" in shipped.remedies["fr"]
    assert "two months" in shipped.remedies["en"]


def test_shipped_policy_survives_the_signed_form(shipped: Policy) -> None:
    wire = json.dumps(shipped.to_json(), ensure_ascii=False)
    assert from_json(json.loads(wire)) == shipped
    assert from_json(shipped.to_json()) == shipped
    assert json.dumps(from_json(json.loads(wire)).to_json(), ensure_ascii=False) == wire


def test_signed_form_has_plain_sorted_values(shipped: Policy) -> None:
    def plain(value: object) -> bool:
        if type(value) is dict:
            return all(type(key) is str and plain(item) for key, item in value.items())
        return all(map(plain, value)) if type(value) is list else type(value) in (str, int, bool)

    value = shipped.to_json()
    assert plain(value)
    assert value["protected"] == sorted(shipped.protected)
    assert list(value["platforms"]) == sorted(shipped.platforms)  # type: ignore[call-overload]
    # Signed for ever: a renamed key is a register that cannot be read.
    expected = "id regime title authority legal_basis grounds remedies notice review warn approvals action ttl formats"
    assert " ".join(value) == f"{expected} brakes freshness keep probe own protected platforms"
    assert value["action"] == {"kind": "address", "a": ["192.0.2.1"], "aaaa": ["2001:db8::1"]}


def test_shipped_names_protect_what_they_should(shipped: Policy) -> None:
    assert len(shipped.protected) >= 150
    for name in ("drive.usercontent.google.com", "fr.wikipedia.org", "impots.gouv.fr", "0.pool.ntp.org", "o.lencr.org"):
        assert domain_name.within(name, shipped.protected), name
    platforms = frozenset(shipped.platforms)
    for name in ("tenant.blogspot.com", "tenant.github.io", "tenant.wordpress.com", "tenant.free.fr"):
        assert not domain_name.within(name, shipped.protected), name
        assert domain_name.within(name, platforms), name
    assert {shipped.platforms[name] for name in ("facebook.com", "youtube.com", "t.me", "telegra.ph")} == {"path"}


def test_landing_addresses_of_the_sample_are_told(shipped: Policy, signed: dict[str, Any]) -> None:
    assert documentation_addresses(shipped) == ("192.0.2.1", "2001:db8::1")
    real = from_json(at(at(signed, "action/a", ["90.85.16.52"]), "action/aaaa", ["2a01:cb00::1"]))
    assert documentation_addresses(real) == ()
    for address in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1"):
        assert documentation_addresses(from_json(at(signed, "action/a", [address]))) == (address, "2001:db8::1")
    for address in ("fe80::1", "fc00::1", "3fff::1"):
        assert documentation_addresses(from_json(at(signed, "action/aaaa", [address]))) == ("192.0.2.1", address)


def test_own_names(shipped: Policy, signed: dict[str, Any]) -> None:
    assert own_names(shipped) == {"probe.blocklist.example", "exports.blocklist.example"}
    del signed["own"]
    cname = at(at(signed, "formats", ["rpz"]), "action", {"kind": "cname", "target": "page.example.net"})
    assert from_json(cname).own == ()
    assert own_names(from_json(cname)) == {"probe.blocklist.example", "page.example.net"}


def test_digests_and_file_names() -> None:
    assert digests({"b.yaml": b"", "a.yaml": b"x"}) == {
        "a.yaml": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "b.yaml": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
    assert file_names(FILES[MAIN], ID) == (MAIN, "protected.yaml", "platforms.yaml")
    assert file_names(b"protected: ../secret.yaml\n", ID) == (MAIN,)
    with pytest.raises(PolicyError):
        file_names(b"- a list\n", ID)
    with pytest.raises(PolicyError):
        file_names(b"&a x: y\n", ID)


def test_files_that_are_not_named_are_not_read(shipped: Policy) -> None:
    assert load(FILES | {"other.yaml": b"\xff"}, ID) == shipped


def test_replays_never_load_yaml_or_idna() -> None:
    code = "import sys, blocklist.register.policy; print({'yaml', 'idna', 'difflib', 'click'} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LISTS.parent)
    assert out.stdout.strip() == "set()"


# --- Faults ------------------------------------------------------------------------------------------------------


def test_every_fault_of_every_file_at_once() -> None:
    text = FILES[MAIN].decode()
    for old, new in (
        ("\nnotice: 24h", "\nnotice: 23h"),
        ("\n  added: 20", "\n  aded: 20"),
        ("\nttl: 300", "\nttl: 3601"),
        ("  add: 1\n", "  add: 0\n"),
        ("[rpz, hosts, ", "[rpz, bind, "),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    bad = FILES | {
        MAIN: text.encode(),
        "protected.yaml": FILES["protected.yaml"] + b"- Bad Name\n",
        "platforms.yaml": FILES["platforms.yaml"] + b"sites.google.com: path\nfoo.example.org: paths\n",
    }
    with pytest.raises(PolicyError) as caught:
        load(bad, ID)
    error = caught.value
    last = FILES["protected.yaml"].decode().count("\n- ")
    main = {"notice", "brakes.aded", "brakes.added", "ttl", "approvals.add", "formats.1"}
    others = {f"protected.{last}", "platforms.sites.google.com", "platforms.foo.example.org"}
    assert {fault.key for fault in error.faults} == main | others
    assert error.message == f"{MAIN} has 9 faults"
    assert len(error.hint.splitlines()) == 9
    assert "notice: '23h'; allowed: 24h to 30d (LCEN art. 6-1 al. 2" in error.hint
    assert "did you mean added?" in error.hint


def test_one_fault_is_counted_as_one_and_thousands_are_not_all_printed(signed: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=r"^the signed policy has 1 fault\n"):
        from_json(at(signed, "ttl", 0))
    with pytest.raises(PolicyError) as caught:
        from_json(at(signed, "protected", ["UPPER.example"] * 300))
    assert len(caught.value.faults) == 100  # nobody reads on
    assert caught.value.hint.splitlines()[-1] == "and 50 more"


@pytest.mark.parametrize(
    ("key", "most"), [("grounds", 20), ("platforms", 20_000), ("protected", 20_000), ("legal_basis", 100)]
)
def test_every_collection_has_a_bound(signed: dict[str, Any], key: str, most: int) -> None:
    """What is too long is not looked at, entry by entry."""
    entry, many = signed[key], range(most + 1)
    if isinstance(entry, dict):
        sample = next(iter(entry.values()))
        entry = {f"x{number}": sample for number in many}
    else:
        entry = [f"x{number}.example" for number in many]
    with pytest.raises(PolicyError) as caught:
        from_json(at(signed, key, entry))
    (fault,) = caught.value.faults
    assert fault.key == key
    assert f"{most}" in fault.allowed


def test_unknown_keys_without_end_are_not_read_on(signed: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        from_json(signed | {f"k{number}": 1 for number in range(390_000)})
    assert len(caught.value.faults) <= 100


def test_long_and_hostile_values_are_shown_short_and_escaped(signed: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        from_json(at(signed, "authority", "\x1b[2J" + "x" * 10_000) | {"\x1b[2J\n" + "k" * 10_000: 1})
    assert len(caught.value.faults) == 2
    assert "\x1b" not in str(caught.value)
    assert all(len(line) < 400 for line in str(caught.value).splitlines())


@pytest.mark.parametrize("value", [None, [], "policy", 1, {}, {1: 2}])
def test_anything_else_is_no_policy(value: object) -> None:
    assert faults(lambda: from_json(value))


def test_no_key_may_be_missing(signed: dict[str, Any]) -> None:
    for key in signed.keys() - {"own"}:
        rest = {other: value for other, value in signed.items() if other != key}
        assert faults(lambda rest=rest: from_json(rest)) == {key: "a value"}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("extra", "extra"),
        ("title/de", "title.de"),
        ("action/target", "action.target"),
        ("approvals/remove", "approvals.remove"),
        ("grounds/apology/asks/0/note", "grounds.apology.asks.0.note"),
        ("legal_basis/0/url", "legal_basis.0.url"),
    ],
)
def test_unknown_keys(signed: dict[str, Any], path: str, fault: str) -> None:
    assert list(faults(lambda: from_json(at(signed, path, "x")))) == [fault]


GOOD_OR_BAD: list[tuple[str, list[object], list[object]]] = [
    ("id", ["a", "anti-scam", "a" * 32], ["", "A", "1a", "a" * 33, "a_b", "é", "a\n", 1, *sorted(RESERVED_IDS)]),
    ("regime", ["lcen-6-1", "other"], ["lcen", "", None, ["other"]]),
    ("notice", [DAY, 30 * DAY], [DAY - 1, 30 * DAY + 1, 0, -1, True, "24h", 86400.0, None]),
    ("review", [84 * DAY, 88 * DAY], [88 * DAY + 1, 92 * DAY, 0, "12w"]),
    ("warn", [1, 84 * DAY - 1], [0, 84 * DAY, 85 * DAY]),
    ("freshness", [1, DAY - 1], [0, -1, DAY, DAY + 1]),
    ("keep", [DAY, 3660 * DAY], [DAY - 1, 3660 * DAY + 1]),
    ("ttl", [1, 3600], [0, 3601, True, "300", 1.0]),
    ("approvals/add", [1, 2, 10], [0, -1, 11, True, "1", None]),
    ("approvals", [{"add": 1, "appoint": 0, "revoke": 2, "adopt": 1}], [{}, {"adopt": 1}, {"add": 1, "adopt": -1}, []]),
    ("brakes/added", [0, 10_000], [-1, 10_001, "20"]),
    ("brakes/added_percent", [0, 100], [-1, 101]),
    ("brakes/removed", [0, 10_000], [-1, 10_001]),
    ("formats", [["rpz"], list(FORMATS), ["bind"]], [[], ["rpz", "rpz"], ["Bind"], "rpz", [1], [["rpz"]]]),
    ("title/fr", ["Été – « œuvre » à 5 €", "x" * 2000], ["", " x", "x ", "e\u0301te\u0301", "a\nb", "a\u202eb", 1]),
    ("title/en", ["x"], ["", "x" * 2001, "a\u00adb", "a\x00", "a\u2028b", "\ud800", "الله"]),
    ("authority", ["x"], ["", "x" * 301, None]),
    ("legal_basis", [], [[], {}, "LCEN"]),
    ("legal_basis/0/checked", [True, False], ["true", 1, None]),
    ("grounds", [], [{}, [], {"apology": None}]),
    ("grounds/apology/asks", [[]], [None, [{}], ["x"], [{"id": "a", "texts": {"fr": "x", "en": "x"}}] * 2]),
    ("probe", ["p.example.net"], ["P.example.net", "a b.example", "com", "", "192.0.2.1", "*.example.com", 1]),
    ("own", [[], ["a.example.net"]], ["a.example.net", ["a.example.net", "a.example.net"], ["A.example.net"], [1]]),
    ("protected", [[], ["a.fr", "ba.fr"]], [["a.fr", "a.fr"], ["a.fr", "b.a.fr"], ["é.fr"], {"a.fr": 1}, "a.fr"]),
    ("platforms", [{}, {"a.fr": "host"}], [{"a.fr": "dns"}, {"A.fr": "host"}, ["a.fr"], {"a.fr": True}]),
    ("platforms", [{"agoogle.com": "path"}], [{"google.com": "path"}, {"sites.google.com": "path"}]),
    (
        "action/a",
        [["198.51.100.7"], [f"192.0.2.{n}" for n in range(8)]],
        [[], ["192.0.2.1"] * 2, [f"192.0.2.{n}" for n in range(9)], ["192.0.2.01"], ["192.0.2"], ["1.2.3.256"], [0]],
    ),
    (
        "action/a",
        [["1.1.1.1"], ["223.255.255.255"]],
        [["0.0.0.0"], ["224.0.0.1"], ["255.255.255.255"], ["::1"], ["192.0.2.1 "], ["١92.0.2.1"], "192.0.2.1"],  # noqa: S104
    ),
    (
        "action/aaaa",
        [[], ["2001:db8::2"], ["2001:db8:1:2:3:4:5:6"]],
        [["2001:DB8::2"], ["2001:db8:0::2"], ["::"], ["::1"], ["::ffff:192.0.2.1"], ["::ffff:c000:201"], ["ff02::1"]],
    ),
    (
        "action/aaaa",
        [["2001:db8::2", "2001:db8::3"]],
        [["fe80::1%eth0"], ["2001:db8::1/64"], ["192.0.2.1"], ["2001:db8::1", "2001:db8::1"], ["1:2"], None],
    ),
    (
        "action",
        [{"kind": "nxdomain"}, {"kind": "address", "a": ["192.0.2.1"]}],
        [{}, {"kind": "drop"}, {"kind": "address"}, {"kind": "nxdomain", "a": ["192.0.2.1"]}, "nxdomain", {"kind": []}],
    ),
    (
        "action",
        [],
        [{"kind": "cname"}, {"kind": "cname", "target": "a b"}, {"kind": "cname", "target": "page.example.net"}],
    ),
]


@pytest.mark.parametrize(("path", "good", "bad"), GOOD_OR_BAD, ids=[row[0] for row in GOOD_OR_BAD])
def test_each_rule_on_both_sides(signed: dict[str, Any], path: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        policy = from_json(at(signed, path, value))
        assert from_json(policy.to_json()) == policy
    for value in bad:
        found = faults(lambda value=value: from_json(at(signed, path, value)))  # type: ignore[misc]
        top = path.split("/")[0]
        assert all(key.split(".")[0] in (top, "formats") for key in found), (value, found)
        assert len(found) <= 2, (value, found)


@pytest.mark.parametrize(
    ("probe", "change", "key"),
    [
        ("probe.google.com", {}, "probe"),
        ("x.com", {}, "probe"),
        ("probe.blogspot.com", {}, "probe"),
        ("example.net", {"protected": ["www.example.net"]}, "protected"),
        ("example.net", {"platforms": {"pages.example.net": "host"}}, "platforms"),
        ("example.net", {"own": ["exports.example.net"]}, "own"),
        ("example.net", {"own": ["example.net"]}, "own"),
        (
            "example.net",
            {"formats": ["rpz"], "action": {"kind": "cname", "target": "page.example.net"}},
            "action.target",
        ),
    ],
)
def test_the_probe_is_nobodys(signed: dict[str, Any], probe: str, change: dict[str, Any], key: str) -> None:
    assert list(faults(lambda: from_json(signed | {"probe": probe} | change))) == [key]


def test_ids_of_grounds_and_asks(signed: dict[str, Any]) -> None:
    ground = signed["grounds"]["apology"]
    assert list(faults(lambda: from_json(signed | {"grounds": {"Bad id": ground}}))) == ["grounds.'Bad id'"]
    bad_ask = at(signed, "grounds/apology/asks/0/id", "latest")
    assert list(faults(lambda: from_json(bad_ask))) == ["grounds.apology.asks.0.id"]


def test_names_are_counted(signed: dict[str, Any]) -> None:
    many = [f"n{number}.example" for number in range(MAX_NAMES + 1)]
    assert len(from_json(at(signed, "protected", many[1:])).protected) == MAX_NAMES
    assert list(faults(lambda: from_json(at(signed, "protected", many)))) == ["protected"]
    assert len(from_json(at(signed, "platforms", dict.fromkeys(many[1:], "host"))).platforms) == MAX_NAMES
    assert list(faults(lambda: from_json(at(signed, "platforms", dict.fromkeys(many, "host"))))) == ["platforms"]


def test_a_format_of_a_newer_program_is_read_where_it_was_signed_and_refused_where_people_write(
    signed: dict[str, Any],
) -> None:
    """What an older client does not know it skips; but a typing error is none of a newer program's formats."""
    newer = from_json(at(signed, "formats", ["rpz", "newer-format"]))
    assert newer.formats == ("rpz", "newer-format")
    assert from_json(newer.to_json()) == newer
    assert list(written_faults("[rpz, hosts, ", "[rpz, newer-format, ")) == ["formats.1"]
    many = [f"format-{number}" for number in range(33)]
    assert len(from_json(at(signed, "formats", many[1:])).formats) == 32
    assert list(faults(lambda: from_json(at(signed, "formats", many)))) == ["formats"]


@pytest.mark.parametrize("format_id", UNSAID)
def test_no_format_has_an_action_that_it_cannot_say(signed: dict[str, Any], format_id: str) -> None:
    said = at(signed, "formats", ["rpz", format_id])
    cname = at(said, "action", {"kind": "cname", "target": "page.example.net"})
    found = faults(lambda: from_json(cname))
    assert list(found) == ["formats"]
    assert format_id in found["formats"]
    assert from_json(at(said, "action", {"kind": "nxdomain"})).formats == ("rpz", format_id)


def test_another_regime_has_general_limits_only(signed: dict[str, Any]) -> None:
    free = {"regime": "other", "id": "other-law", "notice": 0, "review": 365 * DAY, "freshness": 2 * DAY}
    assert from_json(signed | free).review == 365 * DAY
    assert set(faults(lambda: from_json(signed | free | {"regime": "lcen-6-1"}))) == {"notice", "review", "freshness"}
    beyond = {"notice": 367 * DAY, "review": 1831 * DAY, "freshness": 7 * DAY + 1}
    assert set(faults(lambda: from_json(signed | free | beyond))) == {"notice", "review", "freshness"}


def test_promise_1_no_policy_takes_the_second_person_away(signed: dict[str, Any]) -> None:
    for regime in ("lcen-6-1", "other"):
        for approvals in ({"add": 0}, {"add": -1}, {"add": False}, {"adopt": 1}, {}):
            value = signed | {"regime": regime, "approvals": approvals}
            assert list(faults(lambda value=value: from_json(value))) == ["approvals.add"]  # type: ignore[misc]


def test_another_regime_as_a_file() -> None:
    text = FILES[MAIN].decode().replace("regime: lcen-6-1", "regime: other").replace(f"id: {ID}", "id: scam")
    text = text.replace("notice: 24h", "notice: 0h").replace("review: 12w", "review: 26w")
    assert text.count("scam") == 1
    policy = load(FILES | {"scam.yaml": text.encode()}, "scam")
    assert (policy.id, policy.notice, policy.review) == ("scam", 0, 182 * DAY)


@given(st.data())
def test_no_damage_to_the_signed_form_breaks_the_reader(data: st.DataObject) -> None:
    value: Any = json.loads(json.dumps(load_small()))
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
        max_leaves=4,
    )
    holder, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(junk)
    try:
        policy = from_json(value)
    except PolicyError as error:
        assert error.faults
    else:
        assert from_json(policy.to_json()) == policy


def load_small() -> dict[str, object]:
    small = FILES | {"protected.yaml": b"- google.com\n", "platforms.yaml": b"x.com: path\n"}
    return load(small, ID).to_json()


# --- The written form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "seconds"), [("86400s", DAY), ("1440m", DAY), ("24h", DAY), ("1d", DAY), ("1w", 7 * DAY)]
)
def test_durations(written: str, seconds: int) -> None:
    assert load(edited("\nnotice: 24h", f"\nnotice: {written}"), ID).notice == seconds


@pytest.mark.parametrize(
    "written", ["24", "86400", "24 h", "24H", "024h", "1.5d", "-24h", "1d12h", "''", "h", "24h0", "٢٤h", "2y", "[24h]"]
)
def test_durations_refused(written: str) -> None:
    assert written_faults("\nnotice: 24h", f"\nnotice: {written}").keys() == {"notice"}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("    checked: true\n    source: Légifrance\n", "    checked: yes\n    source: Légifrance\n", None),
        ("ttl: 300", "ttl: 0300", "ttl"),
        ("ttl: 300", "ttl: 0x12c", "ttl"),
        ("ttl: 300", "ttl: 3_00", "ttl"),
        ("ttl: 300", "ttl: 5:00", "ttl"),
        ("ttl: 300", "ttl: 3e2", "ttl"),
        ("ttl: 300", "ttl: 300.0", "ttl"),
        ("ttl: 300", "ttl: '300'", "ttl"),
        ("ttl: 300", "ttl:", "ttl"),
        ("ttl: 300", "ttl: ~", "ttl"),
        ("ttl: 300", f"ttl: {'9' * 5000}", "ttl"),
        ("  add: 1\n", "  add: true\n", "approvals.add"),
        ("  added: 20\n", "  added: 2024-01-01\n", "brakes.added"),
        ("probe: probe.blocklist.example", "probe: no", "probe"),
        ("[rpz, hosts, ", "[rpz, off, ", "formats.1"),
        ("- 2001:db8::1", "- 2001:1:2:3:4:5:6:7", "action.aaaa.0"),
        ("warn: 2w", "on: 2w", ""),
    ],
)
def test_yaml_does_not_guess(old: str, new: str, key: str | None) -> None:
    found = written_faults(old, new)
    if key is None:
        (key,) = found
        assert key.endswith(".checked")
    elif key:
        assert found.keys() == {key}
    else:  # a key that YAML takes for a truth value: the key itself, and what is missing now
        assert found.keys() == {MAIN, "warn"}


def test_quoted_words_are_words() -> None:
    assert load(edited("- 192.0.2.1", "- '192.0.2.1'"), ID) == load(FILES, ID)
    assert load(edited("authority: Office", 'authority: "no"\n#'), ID).authority == "no"


@pytest.mark.parametrize(
    ("old", "new", "key", "phrase"),
    [
        ("\nttl: 300", "\nttl: 300\nttl: 300", "ttl", "each key once"),
        ("\n  added: 20", "\n  added: 20\n  added: 30", "brakes.added", "each key once"),
        ("\nttl: 300", "\nttl: &t 300", MAIN, "no anchor"),
        ("\nttl: 300", "\nttl: *t", MAIN, "no anchor"),
        ("\nttl: 300", "\nttl: !!int '300'", MAIN, "without a tag"),
        ("\nttl: 300", "\nttl: !!python/object/apply:os.system [id]", MAIN, "without a tag"),
        ("\nttl: 300", "\n---\nttl: 300", MAIN, "one document"),
        ("\nttl: 300", "\nttl: 300\nbad", MAIN, "valid YAML"),
        ("\nttl: 300", "\nttl: [300", MAIN, "valid YAML"),
        ("\nttl: 300", "\nttl: 3\x0000", MAIN, "valid YAML"),
        ("\nttl: 300", "\nttl: " + "[" * 20 + "]" * 20, MAIN, "levels"),
        ("\nttl: 300", "\n? [a, b]\n: 300", MAIN, "keys that are words"),
        ("\nttl: 300", "\n<<: {ttl: 300}", MAIN, "plain whole number"),
        ("protected: protected.yaml", "protected: ../protected.yaml", "protected", "name of a file"),
        ("protected: protected.yaml", "protected: /etc/passwd", "protected", "name of a file"),
        ("protected: protected.yaml", "protected: [google.com]", "protected", "name of a file"),
        ("platforms: platforms.yaml", "platforms: other.yaml", "platforms", "that is there"),
        (f"\nid: {ID}", "\nid: apology", "id", "as the file is called"),
        ("\nwarn: 2w", "\nwarn: 12w", "warn", "shorter than review, which is 12w"),
        ("\nreview: 12w", "\nreview: 89d", "review", "décret 2015-125 art. 4"),
        ("\nreview: 12w", "\nreview: 3m", "review", "1h to 88d"),
        ("\nfreshness: 12h", "\nfreshness: 24h", "freshness", "under 24h"),
    ],
)
def test_written_faults(old: str, new: str, key: str, phrase: str) -> None:
    found = written_faults(old, new)
    assert phrase in found[key]


@pytest.mark.parametrize("name", [MAIN, "protected.yaml", "platforms.yaml"])
@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"#" * (MAX_FILE + 1), "at most 1 MiB"),
        (b"", "not empty"),
        (b"# only a comment\n", "not empty"),
        (b"a: \xff\n", "UTF-8"),
        ("a: b\n".encode("utf-16"), "UTF-8"),
        (b"%YAML 1.1\n---\na: b\n", "one document"),
        (b"&a [*a]\n", "no anchor"),
        (b"{" * 1000, "levels"),
        (b"a: b: c\n", "valid YAML"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, phrase: str) -> None:
    found = faults(lambda: load(FILES | {name: content}, ID))
    assert phrase in found[name.removesuffix(".yaml") if name != MAIN else MAIN]


def test_files_that_are_not_mentioned() -> None:
    assert written_faults("protected: protected.yaml\n", "") == {"protected": "a value"}


@pytest.mark.parametrize("name", [MAIN, "protected.yaml", "platforms.yaml"])
def test_files_that_are_missing(name: str) -> None:
    rest = {key: value for key, value in FILES.items() if key != name}
    assert "that is there" in faults(lambda: load(rest, ID))[name.removesuffix(".yaml") if name != MAIN else MAIN]


def test_a_file_of_exactly_the_most_is_read() -> None:
    padding = b"#" * (MAX_FILE - len(FILES[MAIN]))
    assert load(FILES | {MAIN: FILES[MAIN] + padding}, ID) == load(FILES, ID)


def test_a_byte_order_mark_does_no_harm(shipped: Policy) -> None:
    assert load(FILES | {MAIN: b"\xef\xbb\xbf" + FILES[MAIN]}, ID) == shipped


@pytest.mark.parametrize(
    "bomb",
    [
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121)),
        b"[" * MAX_FILE,
        b"{a: " * (MAX_FILE // 4),
        b"- " * (MAX_FILE // 2),
        b"? " * (MAX_FILE // 2),
    ],
    ids=["aliases", "lists", "maps", "dashes", "keys"],
)
def test_bombs_are_refused_at_once(bomb: bytes) -> None:
    started = time.monotonic()
    assert MAIN in faults(lambda: load(FILES | {MAIN: bomb}, ID))
    assert time.monotonic() - started < 5


def test_names_are_asked_for_in_the_form_that_is_signed() -> None:
    more = "- Bücher.example\n- https://example.com/\n"
    found = faults(lambda: load(FILES | {"protected.yaml": FILES["protected.yaml"] + more.encode()}, ID))
    assert len(found) == 2
    assert "the form xn--bcher-kva.example" in found.values()
