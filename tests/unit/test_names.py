"""Names: what is accepted, what is refused and why, and the bulk forms that must agree with the single ones."""

from __future__ import annotations

import idna
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from kit.paths import TESTS

from blocklist.base.errors import UsageError
from blocklist.names import domain_name
from blocklist.names.domain_name import MAX_LENGTH, NameRefused, is_canonical, normalise, require_canonical

VECTORS = yaml.safe_load((TESTS / "vectors/names.yaml").read_text("utf-8"))

REASONS = {
    "a-label", "address", "character", "empty", "hyphen", "invisible", "label", "length", "mixed-script", "space",
    "url", "wildcard",
}  # fmt: skip

# Text that comes near the rules: letters of several scripts, look-alike dots and slashes, blanks, prefixes.
NEAR = st.lists(
    st.sampled_from(
        [*"abzXN019-_.", "xn--", "0x", "ß", "ü", "u\u0308", "а", "α", "ж", "日", "カ", "한", "א", "ا", "\u200c",
         "\u200d", "\u00ad", "\u3002", "\uff0e", "\uff61", "\u2024", "\u2100", "\uff0f", "\uff0a", "\uff21", "\uff11",
         "①", "⒈", "İ", "\u212a", "\u0345", "·", "ー", "々", " ", "\n", "/", ":", "@", "*", "[", "]", "%", "\ud800",
         "\U000e0100", "😀", "com"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True)
PLAIN = st.lists(LABELS, min_size=2, max_size=6).map(".".join)


def refusal(text: str, **options: bool) -> NameRefused:
    with pytest.raises(NameRefused) as caught:
        normalise(text, **options)
    return caught.value


@pytest.mark.parametrize("vector", [v for v in VECTORS if "name" in v], ids=lambda v: ascii(v["in"]))
def test_vectors_accepted(vector):
    assert normalise(vector["in"]) == vector["name"]


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.get("refused") not in (None, "protected")], ids=lambda v: ascii(v["in"])
)
def test_vectors_refused_by_form(vector):
    if vector["refused"] == "suffix" and "." in vector["in"]:
        assert is_canonical(normalise(vector["in"]))  # well formed: refusing it is a guard's work
        return
    error = refusal(vector["in"])
    assert vector["refused"].lower() in f"{error.reason} {error.message}".lower()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\tEXAMPLE.com\r\n", "example.com"),
        ("XN--BCHER-KVA.EXAMPLE.", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("ｂａｄ．example", "bad.example"),
        ("bad\u3002example\uff61com", "bad.example.com"),
        ("bad.example\u3002", "bad.example"),
        ("_dmarc.bad.example", "_dmarc.bad.example"),
        ("r3---sn-ab.example", "r3---sn-ab.example"),  # hyphens in the third place are in use; only xn-- is special
        ("bad.xn--p1ai", "bad.xn--p1ai"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("0x7f.1.example", "0x7f.1.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("a.0xg", "a.0xg"),
        ("βόλος.example", "xn--nxasmm1c.example"),  # the final sigma stays: non-transitional
    ],
)
def test_accepts(text, name):
    assert normalise(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("   ", "empty"),
        ("..", "label"),
        (".example.com", "label"),
        ("example.com..", "label"),
        ("example", "label"),
        ("münchen", "label"),
        ("//example.com", "url"),
        ("example.com?x", "url"),
        ("example.com#x", "url"),
        ("example.com\\x", "url"),
        ("mailto:a@example.com", "url"),
        ("a\u2100b.example", "url"),  # maps to a/c
        ("example.com\uff0fpage", "url"),
        ("\uff0a.example.com", "wildcard"),
        ("*", "wildcard"),
        ("foo*.example.com", "wildcard"),
        ("1.2.3.4.", "address"),
        ("0177.0.0.1", "address"),
        ("0x7f.1", "address"),
        ("1.2.3.0X4", "address"),
        ("example.0x", "address"),  # browsers read 0x as zero
        ("example.123", "address"),
        ("１２７.１", "address"),
        ("①②⑦.①", "address"),
        ("192.0.2.0/24", "address"),
        ("[2001:db8::1]", "address"),
        ("::", "address"),
        ("::ffff:192.0.2.1", "address"),
        ("fe80::1%eth0", "address"),
        ("2001:db8::/32", "address"),
        ("0.0.0.0 example.com", "space"),
        ("a\u00a0b.example", "space"),
        ("a\u2028b.example", "space"),
        ("a\u202eb.example", "invisible"),
        ("\ufeffbad.example", "invisible"),
        ("bad\ufe0f.example", "invisible"),
        ("bad\u034f.example", "invisible"),
        ("bad\u3164.example", "invisible"),
        ("bad\U000e0041.example", "invisible"),
        ("bad\ue000.example", "invisible"),
        ("bad\ud800.example", "invisible"),
        ("bad\x00.example", "invisible"),
        ("نامه\u200cای.example", "invisible"),  # a legal joiner, which nobody sees: the A-label says it
        ("ü-.example", "hyphen"),
        ("ab--ü.example", "hyphen"),
        ("xn--ü.example", "hyphen"),
        ("xn--.example", "hyphen"),
        ("a_ü.example", "character"),
        ("❤.example", "character"),
        ("\u0301a.example", "character"),
        ("אa.example", "character"),
        ("exam\u2024ple.com", "character"),
        ("example⒈com", "character"),
        ('"example.com"', "character"),
        ("example.com,example.org", "character"),
        ("||example.com^", "character"),
        ("xn--strasse-.de", "hyphen"),
        ("xn--abc.example", "a-label"),
        ("xn--i-7iq.example", "a-label"),  # an emoji: no IDNA 2008 label
        ("xn---bbk.example", "a-label"),  # decodes as xn--bbk does
        ("ｘｎ－－ａ.com", "a-label"),
        ("xn--99999999.example", "a-label"),
        ("ü" * 60 + ".example", "length"),
        (".".join(["a" * 50] * 6), "length"),
        ("é" * 1001 + ".example", "length"),
        ("pаypal.example", "mixed-script"),
        ("xn--pypal-4ve.example", "mixed-script"),
        ("αlpha.example", "mixed-script"),
    ],
)
def test_refuses(text, reason):
    error = refusal(text)
    assert (error.reason, error.exit_code) == (reason, 2)
    assert isinstance(error, UsageError)
    assert "\n" not in error.message + error.hint
    assert (error.message + error.hint).isprintable()


def test_a_mapping_that_makes_a_dot_makes_no_label(monkeypatch):
    """Tables before Unicode 15.1 mapped U+2024 to a full stop."""
    monkeypatch.setattr(idna, "uts46_remap", lambda label, **_: label.replace("\u2024", "."))
    assert "looks like a dot" in refusal("exam\u2024ple.com").message


def test_a_labels_are_compared_whatever_idna_does(monkeypatch):
    monkeypatch.setattr(idna, "alabel", lambda _: b"xn--other")
    assert refusal("xn--bcher-kva.example").reason == "a-label"


def test_refusal_of_a_url_names_it_and_never_offers_a_cut_name():
    error = refusal("https://example.com/page")
    assert error.message == "'https://example.com/page' holds ':': it is a URL, a port or a mailbox, not a name"
    assert error.hint == "give the host name alone, if the whole site is meant"


def test_long_input_is_quoted_in_part():
    assert len(refusal("a/" * 100_000).message) < 200


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pаypal.example", "xn--pypal-4ve.example"),
        ("xn--pypal-4ve.example", "xn--pypal-4ve.example"),
    ],
)
def test_mixed_scripts_pass_when_confirmed(text, name):
    assert "cyrillic, latin" in refusal(text).message.lower()
    assert "listed as xn--pypal-4ve:" in refusal(text).hint
    assert normalise(text, allow_mixed=True) == name


@pytest.mark.parametrize(
    "text",
    [
        "日本カナひらがな.example", "東京ラーメン々ー.example", "abcショップ.example", "한국韓國.example",
        "ㄅ北.example", "пример7-2.example", "münchen-2.example", "ja\u0142o\u017c.example",
    ],
)  # fmt: skip
def test_writing_systems_are_not_mixed(text):
    assert domain_name.to_unicode(normalise(text)) == text


def test_a_script_beside_another_label_is_not_mixed():
    assert normalise("пример.example.com") == "xn--e1afmkfd.example.com"


def test_length_leaves_room_in_a_policy_zone():
    """`*.` + name + a policy zone of 32 octets is exactly 255 octets."""
    name = ".".join(["a" * 54] * 4) + "a"
    assert len(name) == MAX_LENGTH
    assert normalise(name.upper()) == name
    wire = sum(len(label) + 1 for label in ["*", *name.split(".")]) + 32
    assert wire == 255
    assert "policy zone" in refusal("a" + name).message
    assert "253" in refusal(".".join(["a" * 54] * 5)).message


@given(st.one_of(st.text(), NEAR, NEAR.map("{}.example".format)), st.booleans())
@example("xn--a.com", False)
@example("xn--\u200d.com", True)
def test_normalise_refuses_or_is_canonical_and_idempotent(text, allow_mixed):
    try:
        name = normalise(text, allow_mixed=allow_mixed)
    except NameRefused as refused:
        assert refused.reason in REASONS
        return
    assert is_canonical(name)
    assert normalise(name, allow_mixed=allow_mixed) == name
    assert normalise(f" {name.upper()}. ", allow_mixed=allow_mixed) == name
    shown = domain_name.to_unicode(name)
    assert normalise(shown, allow_mixed=allow_mixed) == name
    require_canonical([name])


@given(PLAIN)
def test_a_canonical_name_is_only_refused_for_its_a_labels(name):
    assert domain_name.to_unicode(name)
    if is_canonical(name) and "xn--" not in name:
        assert normalise(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a", "Example.com", "example.com.", "a..b", "-a.b", "a-.b", "a.-b", "a.b-", "a.1", "a.0x", "a.0x1f",
        "ü.b", "a.b\n", "a b.c", f"{'a' * 64}.b", f"a.{'b' * 64}", "a/b.c", "*.a", "a.b" * 80, "é.b", "K.example",
    ],
)  # fmt: skip
def test_not_canonical(text):
    assert not is_canonical(text)
    with pytest.raises(NameRefused, match="not a canonical"):
        require_canonical([text])


@pytest.mark.parametrize("text", ["a.b", "_a._b", "a--b.c", "xn--a.b", "1.b", "a.1b", f"{'a' * 63}.b", "a.rpz-ip"])
def test_canonical_is_syntax_alone(text):
    assert is_canonical(text)


@given(st.lists(st.one_of(PLAIN, NEAR, st.just("a.b\nc.d")), max_size=5))
def test_bulk_agrees_with_single(texts):
    wanted = all(map(is_canonical, texts)) and texts == sorted(set(texts))
    try:
        require_canonical(texts)
    except NameRefused:
        assert not wanted
    else:
        assert wanted


@pytest.mark.parametrize("texts", [["b.example", "a.example"], ["a.example", "a.example"]])
def test_bulk_refuses_disorder(texts):
    with pytest.raises(NameRefused, match="sorted and unique") as caught:
        require_canonical(texts)
    assert caught.value.reason == "order"
    assert repr(texts[1]) in caught.value.message


@pytest.mark.parametrize(("text", "reason"), [("192.0.2.1", "address"), ("Bad.example", "character")])
def test_bulk_names_the_wrong_one_and_its_reason(text, reason):
    with pytest.raises(NameRefused) as caught:
        require_canonical(["a.example", text])
    assert caught.value.reason == reason
    assert repr(text) in caught.value.message


def test_bulk_of_none_and_of_any_sequence():
    require_canonical([])
    require_canonical(("a.example", "b.example"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("example.com", "example.com"),
        ("xn--bcher-kva.xn--p1ai", "bücher.рф"),
        ("xn--a.xn--bcher-kva.example", "xn--a.bücher.example"),
        ("xn--i-7iq.example", "xn--i-7iq.example"),
        ("xn--strae-oqa.de", "straße.de"),
    ],
)
def test_to_unicode(text, shown):
    assert domain_name.to_unicode(text) == shown


def test_to_unicode_never_shows_what_cannot_be_seen():
    joined = "نامه\u200cای".encode("punycode").decode()
    text = f"xn--{joined}.example"
    assert normalise(text) == text  # a legal label of IDNA 2008
    assert domain_name.to_unicode(text) == text


def test_host_names_have_no_underscore():
    assert domain_name.is_host_name("www.example.com")
    assert not domain_name.is_host_name("a_b.example.com")


def test_ancestors():
    assert list(domain_name.ancestors("a.b.c")) == ["b.c", "c"]
    assert list(domain_name.ancestors("c")) == []


def test_subtrees():
    subtrees = {"example.com", "b.example.org"}
    assert domain_name.within("example.com", subtrees)
    assert domain_name.within("a.b.example.com", subtrees)
    assert not domain_name.below("example.com", subtrees)
    assert domain_name.below("a.example.com", subtrees)
    assert not domain_name.within("notexample.com", subtrees)
    assert not domain_name.within("example.org", subtrees)
    assert domain_name.nearest("x.a.example.com", {"example.com", "a.example.com"}) == "a.example.com"
    assert domain_name.nearest("com", subtrees) is None
    assert domain_name.above(subtrees) == {"com", "org", "example.org"}


@given(PLAIN, st.frozensets(PLAIN, max_size=4))
def test_subtree_helpers_agree(name, subtrees):
    subtrees = subtrees | {parent for parent in domain_name.ancestors(name) if len(parent) % 2}
    strictly = any(parent in subtrees for parent in domain_name.ancestors(name))
    assert domain_name.below(name, subtrees) is strictly
    assert domain_name.within(name, subtrees) is (strictly or name in subtrees)
    assert (domain_name.nearest(name, subtrees) is not None) is domain_name.within(name, subtrees)
    assert (name in domain_name.above(subtrees)) is any(other.endswith(f".{name}") for other in subtrees)
