"""Guards: each refuses what its row of the table says, names the rule, and lets the neighbours pass."""

from __future__ import annotations

from pathlib import Path

import publicsuffixlist
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kit.paths import TESTS
from publicsuffixlist import PublicSuffixList

from blocklist.names.domain_name import Name, NameRefused, Names, Scope, normalise
from blocklist.names.guards import SPECIAL_USE, TEST_DOMAINS, Finding, Guards, Suffixes, Surroundings, wide
from blocklist.register.lifecycle import parents_of

VECTORS = yaml.safe_load((TESTS / "vectors/names.yaml").read_text("utf-8"))

TEST = Suffixes(test=True)
PRODUCTION = Suffixes(test=False)
PACKAGE = PublicSuffixList(accept_unknown=False)
SURROUNDINGS = Surroundings(
    protected=frozenset({"google.com", "wikipedia.org", "portal.state.example"}),
    platforms={"hosted.example": "host", "video.example": "path", "blogs.media.example": "host"},
    own=frozenset({"landing.office.example", "probe.example"}),
    test=True,
)
GUARDS = Guards(SURROUNDINGS, TEST)
NOTHING = Surroundings(protected=frozenset(), platforms={}, own=frozenset(), test=False)


def domains(*texts: str) -> list[Name]:
    return [Name(text, Scope.DOMAIN) for text in texts]


def hosts(*texts: str) -> list[Name]:
    return [Name(text, Scope.HOST) for text in texts]


def ids(names: list[Name], listed: frozenset[str] = frozenset(), guards: Guards = GUARDS) -> list[str]:
    return [finding.guard for finding in guards.check(names, listed)]


def only(name: Name, listed: frozenset[str] = frozenset(), guards: Guards = GUARDS) -> Finding:
    (finding,) = guards.check([name], listed)
    assert finding.name == name.text
    assert finding.message.startswith(name.text)
    return finding


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: ascii(v["in"]))
def test_vectors(vector):
    try:
        text = normalise(vector["in"])
    except NameRefused as refused:
        found = f"{refused.reason} {refused.message}"
    else:
        name = Name(text, TEST.default_scope(text))
        findings = GUARDS.check([name], frozenset())
        found = " ".join(f"{finding.guard} {finding.message}" for finding in findings)
        if "name" in vector:
            assert (name, findings) == (Name(vector["name"], Scope(vector["scope"])), [])
    if "refused" in vector:
        assert vector["refused"].lower() in found.lower()


# Suffixes


@pytest.mark.parametrize(
    ("text", "suffix", "registrable"),
    [
        ("example.com", "com", "example.com"),
        ("a.b.example.com", "com", "example.com"),
        ("co.uk", "co.uk", None),
        ("site.co.uk", "co.uk", "site.co.uk"),
        ("a.site.co.uk", "co.uk", "site.co.uk"),
        ("a.propagande.blogspot.com", "blogspot.com", "propagande.blogspot.com"),
        ("a.ck", "a.ck", None),  # rule *.ck
        ("site.a.ck", "a.ck", "site.a.ck"),
        ("www.ck", "ck", "www.ck"),  # rule !www.ck
        ("a.www.ck", "ck", "www.ck"),
        ("kobe.jp", "kobe.jp", None),
        ("city.kobe.jp", "kobe.jp", "city.kobe.jp"),
        ("site.xn--p1ai", "xn--p1ai", "site.xn--p1ai"),
        ("site.xn--55qx5d.cn", "xn--55qx5d.cn", "site.xn--55qx5d.cn"),  # an IDN rule, given as A-label
        ("exemple.con", None, None),
        ("a.onion", None, None),
        ("1.in-addr.arpa", None, None),
        ("a.b.example", "example", "b.example"),
        ("b.test", "test", "b.test"),
    ],
)
def test_suffixes(text, suffix, registrable):
    assert TEST.suffix(text) == suffix
    assert TEST.registrable(text) == registrable
    assert TEST.known(text) is (suffix is not None)


def test_icann_and_private_suffixes_are_told_apart():
    for text in ("com", "co.uk", "a.ck", "kobe.jp", "gouv.fr", "xn--p1ai", "example", "test"):
        assert TEST.is_icann_suffix(text)
        assert not TEST.is_private_suffix(text)
    for text in ("github.io", "blogspot.com", "x.compute.amazonaws.com"):
        assert TEST.is_private_suffix(text)
        assert not TEST.is_icann_suffix(text)
    for text in ("example.com", "www.ck", "site.co.uk", "amazonaws.com", "nowhere.con"):
        assert not TEST.is_icann_suffix(text)
        assert not TEST.is_private_suffix(text)


def test_production_knows_no_test_domains():
    for text in ("bad.example", "bad.test"):
        assert (TEST.known(text), PRODUCTION.known(text)) == (True, False)
        assert PRODUCTION.registrable(text) is None
    assert not PRODUCTION.is_icann_suffix("example")
    assert PRODUCTION.registrable("www.example.com") == "example.com"


@given(
    st.lists(
        st.sampled_from(["a", "www", "com", "co", "uk", "ck", "jp", "kobe", "city", "github", "io", "no"]), min_size=1
    )
)
def test_suffixes_agree_with_the_package(labels):
    text = ".".join(labels)
    assert PRODUCTION.suffix(text) == PACKAGE.publicsuffix(text)
    assert PRODUCTION.registrable(text) == PACKAGE.privatesuffix(text)


# Default scope and description


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("example.com", Scope.DOMAIN),
        ("www.example.com", Scope.HOST),
        ("propagande.blogspot.com", Scope.DOMAIN),
        ("www.propagande.blogspot.com", Scope.HOST),
        ("co.uk", Scope.HOST),
        ("exemple.con", Scope.HOST),
    ],
)
def test_default_scope(text, scope):
    assert TEST.default_scope(text) is scope


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (Name("example.com", Scope.DOMAIN), "example.com and every name below it"),
        (
            Name("xn--bcher-kva.example", Scope.DOMAIN),
            "xn--bcher-kva.example (bücher.example) and every name below it",
        ),
        (Name("a.b.example.com", Scope.DOMAIN), "a.b.example.com and every name below it"),
        (Name("example.com", Scope.HOST), "example.com only; the names below it stay reachable"),
        (Name("exemple.con", Scope.HOST), "exemple.con only; the names below it stay reachable"),
        (
            Name("a.example.com", Scope.HOST),
            "a.example.com only; example.com and other names below it stay reachable",
        ),
        (
            Name("www.example.com", Scope.HOST),
            "www.example.com only; example.com and other names below it stay reachable; "
            "to block the site, add example.com, which blocks everything below it",
        ),
        (
            Name("www.a.example.com", Scope.HOST),
            "www.a.example.com only; example.com and other names below it stay reachable",
        ),
    ],
)
def test_describe(name, sentence):
    assert TEST.describe(name) == sentence


# Guards


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("text", ["exemple.con", "a.rpz-ip", "32.1.2.0.192.rpz-ip", "bad.rpz-passthru"])
def test_unknown_suffix(text, scope):
    assert only(Name(text, scope)).guard == "unknown-suffix"


@pytest.mark.parametrize("top", sorted(SPECIAL_USE))
def test_special_use_names_have_messages_of_their_own(top):
    finding = only(Name(f"bad.{top}", Scope.DOMAIN))
    assert finding.guard == "unknown-suffix"
    assert finding.message == SPECIAL_USE[top].format(name=f"bad.{top}")
    assert finding.message.startswith(f"bad.{top} cannot be listed: .{top} ")


def test_suffixes_under_a_special_use_name_are_reported_once():
    assert ids(domains("in-addr.arpa")) == ["unknown-suffix"]


def test_rpz_trigger_is_called_so():
    assert "rule about something else" in only(Name("32.1.2.0.192.rpz-ip", Scope.HOST)).message
    assert ids(domains("rpz-ip.example.com")) == []


@pytest.mark.parametrize("top", sorted(TEST_DOMAINS))
def test_test_domains_pass_in_a_test_environment_only(top):
    production = Guards(NOTHING, PRODUCTION)
    assert ids(domains(f"bad.{top}")) == []
    assert "test environment only" in only(Name(f"bad.{top}", Scope.DOMAIN), guards=production).message
    assert ids(domains("example.com", "example.net", "example.org"), guards=production) == []


def test_environments_are_not_mixed():
    with pytest.raises(ValueError, match="same environment"):
        Guards(NOTHING, TEST)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("text", ["co.uk", "gouv.fr", "a.ck", "kobe.jp", "xn--55qx5d.cn"])
def test_public_suffix(text, scope):
    assert only(Name(text, scope)).guard == "public-suffix"


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("text", ["github.io", "blogspot.com", "x.compute.amazonaws.com"])
def test_private_suffix(text, scope):
    finding = only(Name(text, scope))
    assert finding.guard == "private-suffix"
    assert "tenants can be added" in finding.message
    assert finding.hint == f"add the tenant: NAME.{text}"
    assert ids(domains(f"tenant.{text}")) == []


def test_a_domain_above_suffixes_blocks_their_tenants_too():
    finding = only(Name("amazonaws.com", Scope.DOMAIN))
    assert finding.guard == "private-suffix"
    assert "lies above the private suffix" in finding.message
    assert ids(hosts("amazonaws.com")) == []
    assert only(Name("nordland.no", Scope.DOMAIN)).guard == "public-suffix"
    assert only(Name("xn--mre-og-romsdal-qqb.no", Scope.DOMAIN)).guard == "public-suffix"


def test_what_the_brakes_look_for_is_what_these_guards_refuse():
    """Every rule of several labels, what is above it and what is below it, in one go and one by one."""
    rules = [line.split(" ")[0] for line in Path(publicsuffixlist.PSLFILE).read_text("utf-8").splitlines()]
    plain = {rule.removeprefix("*.").removeprefix("!") for rule in rules if rule and not rule.startswith("//")}
    texts = {normalise(text, allow_mixed=True) for text in plain if "." in text}
    texts |= {name for text in texts for name in (f"x.{text}", f"y.x.{text}", text.partition(".")[2]) if "." in name}
    guards = Guards(SURROUNDINGS, Suffixes(test=True))
    for scope in Scope:
        found = {name: [finding.guard for finding in guards._suffix(Name(name, scope))] for name in sorted(texts)}
        refused = [name for name, ids in found.items() if ids and ids != ["unknown-suffix"]]
        listed = (tuple(sorted(texts)), ())
        names = Names(*(listed if scope is Scope.DOMAIN else listed[::-1]))
        assert Suffixes(test=True).wide(names, parents_of(texts)) == refused
    assert len(texts) > 20_000


@pytest.mark.parametrize("names", [Names(), Names(("a.example", "b.co.uk"), ("amazonaws.com",))])
def test_what_hits_one_site_needs_no_word(names):
    assert wide(names, parents_of([*names.domain, *names.host]), test=True) == []


def test_platform_whose_tenants_are_hosts():
    for name in (*domains("hosted.example"), *hosts("hosted.example", "www.hosted.example")):
        finding = only(name)
        assert finding.guard == "shared-platform"
        assert finding.hint == "add the tenant: NAME.hosted.example"
    assert ids(domains("tenant.hosted.example") + hosts("www.tenant2.hosted.example")) == []


def test_platform_whose_tenants_are_paths():
    for name in (*domains("video.example"), *hosts("www.video.example", "m.video.example")):
        finding = only(name)
        assert finding.guard == "shared-platform"
        assert finding.hint.startswith("ask the platform")


def test_a_domain_above_a_platform_blocks_all_its_tenants():
    finding = only(Name("media.example", Scope.DOMAIN))
    assert finding.guard == "shared-platform"
    assert "above the shared platform blogs.media.example" in finding.message
    assert ids(hosts("media.example")) == []


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("google.com", "is protected"),
        ("drive.usercontent.google.com", "lies below google.com, which is protected"),
        ("portal.state.example", "is protected"),
        ("state.example", "lies above portal.state.example, which is protected"),
    ],
)
@pytest.mark.parametrize("scope", Scope)
def test_protected(text, met, scope):
    finding = only(Name(text, scope))
    assert finding.guard == "protected"
    assert finding.message == f"{text} {met}"


def test_neighbours_of_protected_names_pass():
    assert ids(domains("notgoogle.com", "google.com.example") + hosts("tax.state.example")) == []


@pytest.mark.parametrize("scope", Scope)
def test_own_infrastructure(scope):
    for text in ("landing.office.example", "office.example", "probe.example"):
        assert only(Name(text, scope)).guard == "own-infrastructure"
    assert "lies above landing.office.example" in only(Name("office.example", scope)).message
    assert ids([Name("other.office.example", scope), Name("a.probe.example", scope)]) == []


def test_covered_by_what_is_listed():
    listed = frozenset({"bad.example"})
    for name in (*domains("bad.example", "a.bad.example"), *hosts("bad.example", "www.bad.example")):
        finding = only(name, listed)
        assert finding.guard == "covered"
        assert finding.hint
    assert "is listed already" in only(Name("bad.example", Scope.DOMAIN), listed).message
    assert "covered by bad.example, which is listed" in only(Name("a.bad.example", Scope.HOST), listed).message
    assert ids(domains("notbad.example"), listed) == []


def test_covered_in_the_same_act():
    names = hosts("www.bad.example") + domains("bad.example", "a.b.bad.example") + hosts("bad.example")
    findings = GUARDS.check(names, frozenset())
    assert [(f.guard, f.name) for f in findings] == [
        ("covered", "www.bad.example"),
        ("covered", "a.b.bad.example"),
        ("covered", "bad.example"),
    ]
    assert all("by bad.example in the same act" in f.message for f in findings)


def test_a_domain_above_listed_hosts_is_allowed():
    assert (
        ids(domains("bad.example") + hosts("other.example", "www.other2.example"), frozenset({"a.bad.example"})) == []
    )


def test_the_same_name_twice_is_one_name():
    assert ids(domains("bad.example", "bad.example")) == []


def test_all_findings_at_once_in_input_order_then_table_order():
    surroundings = Surroundings(
        protected=frozenset({"blogspot.com"}),
        platforms={"blogspot.com": "host"},
        own=frozenset({"a.blogspot.com"}),
        test=True,
    )
    guards = Guards(surroundings, TEST)
    names = domains("exemple.con", "fine.example", "blogspot.com") + hosts("a.bad.example")
    findings = guards.check(names, frozenset({"bad.example", "blogspot.com"}))
    assert [(f.name, f.guard) for f in findings] == [
        ("exemple.con", "unknown-suffix"),
        ("blogspot.com", "private-suffix"),
        ("blogspot.com", "shared-platform"),
        ("blogspot.com", "protected"),
        ("blogspot.com", "own-infrastructure"),
        ("blogspot.com", "covered"),
        ("a.bad.example", "covered"),
    ]


def test_nothing_to_check():
    assert ids([]) == []
