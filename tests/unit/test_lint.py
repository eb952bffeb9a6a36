"""What `lint` finds in zones of all kinds, that real servers choke on the same, and that no bytes make it fail."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.lint_cases import CASES, RULE_OF
from kit.zones import FIRST, HEAD, HOSTILE, body

from blocklist.lint import TextLinter
from blocklist.lint.rules import EXAMPLES, RULES, SERVERS, affected
from blocklist.lint.zone import ZoneLinter, lint_zone
from blocklist.lint.zone_reader import MAX_LINE, EntryError, record, ttl
from blocklist.release import formats


def found(content: bytes, **options: str | int) -> dict[str, int]:
    return lint_zone([content], **options).findings.counts  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_zone_breaks_its_rule(case: str) -> None:
    rule = RULE_OF[case]
    assert rule in found(CASES[case][0])
    kept = lint_zone([CASES[case][0]]).findings.examples[rule]
    assert all(finding.line >= 1 for finding in kept)


def test_every_rule_has_a_hostile_zone() -> None:
    elsewhere = {"serial", "too-many", "line-twice"}
    assert set(RULE_OF.values()) | elsewhere == set(RULES)


def test_a_clean_zone_has_no_findings() -> None:
    assert found(body(b"")) == {}
    assert found((HOSTILE / "clean.zone").read_bytes()).keys() <= {"name-only", "subtree"}


# What is no fault


@pytest.mark.parametrize(
    "lines",
    [
        b"bad.example A 192.0.2.1\nbad.example A 192.0.2.2\nbad.example AAAA 2001:db8::1\n",
        b"bad.example\t300\tIN\tCNAME\t.\nBAD2.example IN 1h30m CNAME .\n",
        b"bad.example ( CNAME\n  . ; a comment\n )\n  TXT \"a ; b\" ; one more\n".replace(b"  TXT", b";"),
        b"bad.example TXT \"quoted ( text\"\n  TXT other\n",
        b"bad.example TYPE65 \\# 3 000100\nbad2.example HTTPS 1 . alpn=h2\n",
        b"ok.before.example CNAME rpz-passthru.\n",
        b"www.before.example CNAME .\n*.www.before.example CNAME .\n",
        b"\\066ad.example CNAME .\n; comment\n\n   ; another\n",
    ],
    ids=["addresses", "fields", "several lines", "inherited", "numbers", "exception", "redundant", "escape"],
)  # fmt: skip
def test_what_is_right_is_no_error(lines: bytes) -> None:
    assert lint_zone([body(lines)]).findings.of("error") == 0, found(body(lines))


def test_an_escape_is_the_character_that_it_stands_for() -> None:
    assert found(body(b"\\098efore.example CNAME .\n")) == {"duplicate": 1}


def test_absolute_owners_fit_the_zone_that_they_name() -> None:
    content = body(b"bad.example.rpz.example. CNAME .\n*.bad.example.rpz.example. CNAME .\n")
    assert found(content, zone="rpz.example") == {}
    assert found(content, zone="other.example") == {"absolute-owner": 2}
    assert found(b"$ORIGIN rpz.example.\n" + content, zone="RPZ.example.") == {}
    assert found(b"$ORIGIN rpz.example.\n" + content) == {"origin": 1}


def test_an_origin_inside_the_zone_goes_before_relative_owners() -> None:
    content = body(b"$ORIGIN before.example.rpz.example.\n@ CNAME .\nwww.sub CNAME .\n$ORIGIN rpz.example.\n")
    assert found(content, zone="rpz.example").keys() >= {"duplicate", "below-wildcard"}


def test_the_longest_owner_depends_on_the_zone() -> None:
    text = b".".join([b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 28])
    lines = text + b" CNAME .\n*." + text + b" CNAME .\n"
    assert found(body(lines)) == {}
    assert found(body(lines), zone="a" * 30) == {}
    assert found(body(lines), zone="a" * 31) == {"too-long": 1}
    assert found(body(lines), zone="blocked") == {}


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        (1795348799, False),
        (1795348800, True),
        (1795348801, True),
        (0, False),
        (4294967295, False),
        (2**31 + 1795348801, False),
    ],
)
def test_serials_are_compared_as_secondaries_do(after: int, wrong: bool) -> None:
    assert ("serial" in found(body(b""), after=after)) is wrong


def test_a_name_server_in_the_zone_may_have_its_address() -> None:
    assert "ns-in-zone" not in found(body(b"ns A 192.0.2.1\n").replace(b"NS localhost.", b"NS ns"))


def test_records_of_one_name_are_bounded() -> None:
    lines = b"".join(b"bad.example A 192.0.2.%d\n" % number for number in range(EXAMPLES + 5))
    assert found(body(lines))["too-many"] == 5


# Long zones


def uniform(count: int, templates: tuple[str, ...]) -> bytes:
    names = (f"name{number}.test" for number in range(count))
    return HEAD + "".join(line.replace("{}", name) + "\n" for name in names for line in templates).encode()


TEMPLATES = {
    "nxdomain": ("{} CNAME .", "*.{} CNAME ."),
    "addresses": ("{} A 192.0.2.1", "{} AAAA 2001:db8::1", "*.{} A 192.0.2.1", "*.{} AAAA 2001:db8::1"),
    "hosts": ("{} CNAME *.",),
    "backwards": ("*.{}\tIN\tCNAME\t.", "{}   60 CNAME ."),
}


@pytest.mark.parametrize("templates", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"name7.test CNAME .", "duplicate two-actions"),
        (b"a.b.name500.test CNAME .", "below-wildcard name-only"),
        (b"a_b.test A 192.0.2.1", "host-name"),
        (b"a..test CNAME .", "label"),
        (b"x.rpz-nsip CNAME .", "trigger"),
        (b"outside.test. CNAME .", "absolute-owner"),
        (b"A" * 64 + b".test CNAME .", "label"),
        (b"-a.test A 192.0.2.1", "host-name"),
        (b"\xe9.test CNAME .", "character"),
        (b"lone.test CNAME ..", "data"),
    ],
)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_fault_is_found_anywhere_in_a_long_zone(
    templates: tuple[str, ...], line: bytes, rule: str, place: float
) -> None:
    lines = uniform(2000, templates).split(b"\n")[:-1]
    number = 3 + int((len(lines) - 3) * place)
    lines.insert(number, line)
    content = b"\n".join([*lines, b""])
    clean = found(uniform(2000, templates))
    whole = lint_zone([content])
    changed = {key for key, count in whole.findings.counts.items() if count != clean.get(key)}
    assert changed & set(rule.split()), whole.findings.counts
    # However the bytes come, and however they are looked at, the same is found at the same line.
    pieces = lint_zone(content[start : start + 777] for start in range(0, len(content), 777))
    assert (pieces.findings, pieces.records, len(pieces)) == (whole.findings, whole.records, len(whole))
    kept = [finding for key in changed & set(rule.split()) for finding in whole.findings.examples[key]]
    if rule in ("label", "trigger", "host-name", "absolute-owner", "character", "data"):
        assert number + 1 in {finding.line for finding in kept}


def test_a_long_zone_is_counted_exactly() -> None:
    linter = lint_zone([uniform(3000, TEMPLATES["addresses"])])
    assert (linter.records, len(linter), linter.serial) == (12_002, 3000, 1795348800)
    assert linter.findings.counts == {"wildcard-address": 3000}
    kept = linter.findings.examples["wildcard-address"]
    assert len(kept) == EXAMPLES
    assert (kept[99].line, kept[99].owner) == (4 + 99 * 4, "*.name99.test")


def test_an_owner_is_inherited_from_a_long_run_of_names() -> None:
    content = uniform(500, TEMPLATES["hosts"])
    assert "no-owner" not in found(content + b"  TXT x\n")
    assert found(content + b"  TXT x\n")["two-actions"] == 1


def test_a_file_without_lines_does_not_fill_the_memory() -> None:
    linter = ZoneLinter()
    tracemalloc.start()
    for _ in range(500):
        linter.feed(b"x" * MAX_LINE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert linter.close().counts["line-limit"] == 1
    assert peak < 20 * MAX_LINE


# Hostile bytes

MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(body(b"")) - 1), st.binary(max_size=4), st.integers(0, 6)), max_size=8
)
WORDS = st.sampled_from([
    b"bad.example", b"*.bad.example", b"*", b"@", b".", b"A", b"AAAA", b"CNAME", b"SOA", b"NS", b"TXT", b"IN",
    b"CH", b"60", b"1h", b"192.0.2.1", b"::", b"(", b")", b'"', b"\\", b"\\255", b"\\999", b";", b"\n", b"\n ",
    b"\r\n", b"\t", b"$ORIGIN", b"$TTL", b"$", b"x.rpz-ip", b"\\#", b"TYPE65536", b"CLASS9", b"rpz-passthru.",
    b"\x00", b"\xff", b"localhost.", b"1 2 3 4 5",
])  # fmt: skip


@given(st.binary(max_size=300))
def test_random_bytes_never_raise(content: bytes) -> None:
    lint_zone([content])
    lint_zone([HEAD, content], "rpz.example", 1)
    linter = TextLinter("hosts.txt")
    linter.feed(content)
    linter.close()


@given(MUTATIONS)
def test_mutated_zones_never_raise(mutations: list[tuple[int, bytes, int]]) -> None:
    content = body(b"bad.example A 192.0.2.1\n")
    for place, more, less in mutations:
        content = content[:place] + more + content[place + less :]
    lint_zone([content])


@given(st.lists(WORDS, max_size=40), st.integers(1, 50))
def test_words_in_any_order_never_raise_and_portions_do_not_matter(words: list[bytes], size: int) -> None:
    content = HEAD + b" ".join(words)
    whole = lint_zone([content])
    pieces = lint_zone(content[start : start + size] for start in range(0, len(content), size))
    assert pieces.findings == whole.findings


LINES = st.sampled_from([
    b"%s CNAME .", b"*.%s CNAME .", b"%s A 192.0.2.1", b"%s\tIN CNAME .", b"%s CNAME . ", b"%s  CNAME .",
    b"%s CNAME .;", b"  TXT x", b"$ORIGIN sub", b"%s CNAME (", b")", b"%s\x0cCNAME .", b"%s CNAME .\r",
    b"!%s CNAME .", b"%s", b"", b"; %s",
])  # fmt: skip
NAMES = st.sampled_from([
    b"a.test", b"b.test", b"a.b.test", b"a_.test", b"A.test", b"-.test", b"test", b"x.rpz-ip", b".a",
])  # fmt: skip
BLOCKS = st.lists(st.tuples(st.lists(LINES, max_size=4), st.lists(NAMES, max_size=4)), max_size=6)


@given(BLOCKS)
def test_taking_known_lines_finds_what_looking_closely_finds(blocks: list[tuple[list[bytes], list[bytes]]]) -> None:
    lines = [line.replace(b"%s", name) for templates, names in blocks for name in names for line in templates]
    content = body(b"".join(line + b"\n" for line in lines))

    assert seen(lint_zone([content])) == seen(line_by_line(content))


def line_by_line(content: bytes) -> ZoneLinter:
    """Every line is looked at closely, as if none was like another."""
    slow = ZoneLinter()
    slow._owners.take = lambda lines, start, number: 0
    slow.feed(content)
    slow.close()
    return slow


def seen(linter: ZoneLinter) -> tuple[object, ...]:
    return linter.findings, linter.records, len(linter), [(owner, line) for owner, _, line in linter._owners.each()]


def both(*numbers: int) -> bytes:
    return b"".join(b"n%04d.test CNAME .\n*.n%04d.test CNAME .\n" % (number, number) for number in numbers)


def alone(*numbers: int) -> bytes:
    return b"".join(b"n%04d.test CNAME *.\n" % number for number in numbers)


IN_ORDER = both(*range(0, 4000, 2))
ORDERS = {
    "in order": IN_ORDER,
    "few more, in between": IN_ORDER + alone(1, 3, 5),
    "many more, in between": IN_ORDER + alone(*range(1, 4000, 2)),
    "few twice": IN_ORDER + alone(0, 3, 3998),
    "many twice": IN_ORDER + alone(*range(1, 4000, 3)),
    "one in its own section twice": IN_ORDER + both(5000, 5002, 5002, 5004),
    "backwards": both(*range(2000, 0, -1)),
    "a record more for a name in the middle": IN_ORDER + b"n0100.test CNAME .\n" + both(5000),
    "a record more for the last name": IN_ORDER + b"n3998.test CNAME .\n" + both(5000),
    "a record more for the last name after another": IN_ORDER + alone(1) + b"n3998.test CNAME .\n" + both(5000),
    "another record for the last name after another": IN_ORDER + alone(1) + b"n3998.test TXT x\n" + both(5000, 5001),
    "half of the last name after another": both(0, 2) + b"n0004.test CNAME .\n" + alone(1) + b"*.n0004.test CNAME .\n",
    "sections in turn": both(*range(1000, 1200))
    + alone(*range(100))
    + both(*range(2000, 2200))
    + alone(*range(200, 300))
    + both(*range(3000, 3200))
    + alone(*range(150, 250)),
    "covered in order": IN_ORDER + alone(*range(5000, 5100)) + b"below.n0100.test CNAME .\n",
    "covered from later on": b"below.n3998.test CNAME .\n" + IN_ORDER,
    "all covered by their top-level domain": b"test CNAME .\n*.test CNAME .\n" + IN_ORDER + alone(*range(5000, 7000)),
    "some covered by their top-level domain": IN_ORDER
    + alone(*range(5000, 7000)).replace(b"8.test", b"8.other")
    + b"*.other CNAME .\n",
    "their top-level domain alone": IN_ORDER + b"test CNAME .\n",
    "all covered, and deeper": IN_ORDER.replace(b".test", b".of.n0100.example") + both(5000) + b"*.example CNAME .\n",
    "other records in between": both(1, 3) + b"; a comment\n" + both(5, 7) + b"n0008.test TXT x\n" + both(9, 11),
}


@pytest.mark.parametrize("portion", [1, 33, 4096, 1 << 20])
@pytest.mark.parametrize("lines", ORDERS.values(), ids=ORDERS)
def test_names_in_any_order_in_any_portions(lines: bytes, portion: int) -> None:
    content = body(lines)
    linter = lint_zone(content[start : start + portion] for start in range(0, len(content), portion))
    assert seen(linter) == seen(line_by_line(content))


@pytest.mark.parametrize(
    "data",
    [
        b"a\x85b. h. 1 300 60 900 60",
        b'"a b." h. 1 300 60 900 60',
        b"a. h. \xb2 300 60 900 60",
        b"\\# 2 abcd",
        b"\\# 0",
        b"a. h. " + b"1" * 5000 + b" 300 60 900 60",
        b"\\# 4 " + b"1" * 5000 + b" 1 2 3 4",
    ],
)
def test_a_strange_soa_is_no_failure(data: bytes) -> None:
    assert lint_zone([b"$TTL 300\n@ SOA " + data + b"\n@ NS localhost.\n" + FIRST], after=5).records


# Words of zone files


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300", 300), ("1h30m", 5400), ("1h30", 3630), ("00000000000300", 300),
     ("2W", 1209600), ("h", None), ("", None), ("1" * 5000, None),
     ("1" * 60 + "x", None), ("1h" * 5000 + "x", None)],
)  # fmt: skip
def test_times(text: str, seconds: int | None) -> None:
    assert ttl(text) == seconds


@pytest.mark.parametrize("words", [[], ["300"], ["IN"], ["300", "IN"], ["IN", "IN", "A", "192.0.2.1"], ["FOO"]])
def test_what_is_no_record_is_refused(words: list[str]) -> None:
    with pytest.raises(EntryError):
        record(words)


# Other exports


@pytest.mark.parametrize(
    ("file", "content", "rules"),
    [
        ("hosts.txt", b"# a\n# a\n\n\n192.0.2.1 bad.example\n", {}),
        ("hosts.txt", b"192.0.2.1 bad.example\n192.0.2.1 bad.example\n", {"line-twice": 1}),
        ("hosts.txt", b"192.0.2.1 bad.example", {"final-newline": 1}),
        ("hosts.txt", b"192.0.2.1 bad.example\r\n", {"crlf": 1}),
        ("names.csv", b"name,scope\r\nbad.example,domain\r\n", {}),
        ("names.json", b"{\n{\n", {}),
        ("hosts.txt", b"a\0b\n", {"control": 1}),
        ("hosts.txt", b"", {"empty": 1}),
        ("hosts.txt", b"x" * 2_000_000, {"line-limit": 1, "empty": 1}),
    ],
)
def test_text_exports(file: str, content: bytes, rules: dict[str, int]) -> None:
    linter = TextLinter(file)
    linter.feed(content)
    assert linter.close().counts == rules


def test_a_line_that_comes_again_later_is_found() -> None:
    linter = TextLinter("domains.txt")
    for chunk in (b"a.example\nb.exa", b"mple\n", b"a.example\n"):
        linter.feed(chunk)
    findings = linter.close()
    assert [(finding.line, finding.owner) for finding in findings.examples["line-twice"]] == [(3, "a.example")]


def test_the_table_of_rules_names_servers_that_there_are() -> None:
    for rule in RULES:
        assert all(server in SERVERS and effect for server, effect in affected(rule))
    assert formats.FORMATS["rpz"].file.endswith(".zone")
