"""Import files: every format, its detection, exact lines, and nothing that could be a name lost without a word."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blocklist.base.errors import UsageError
from blocklist.names import domain_name, imports
from blocklist.names.imports import FORMATS, LOCAL_NAMES, Entry, detect, read


def entries(content: str | bytes, format_id: str | None = None) -> list[tuple[int, str]]:
    return [(line, text) for line, text in read(content.encode() if isinstance(content, str) else content, format_id)]


def refusal(content: str | bytes, format_id: str | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        entries(content, format_id)
    assert caught.value.hint
    assert not caught.value.message.endswith(".")
    return caught.value


# --- Detection ---------------------------------------------------------------------------------------------------

DETECTED = {
    "names": [
        "", "\n \n", "# only a comment\n", "a.example", "# list\n\na.example\n", "https://a.example/x", "192.0.2.1",
        "192.0.2.1 # of a.example", "192.0.2.300 a.example", "[Adblock Plus 2.0]", "||a.example^", "; zone", "! note",
        "-a.example", "a.example,b.example", "title: x", "#name;date\na.example", "names.example", "nickname,date",
        "#\u2028- a.example", "name" + "x" * 200_000,
    ],
    "hosts": [
        "0.0.0.0 a.example", "::1\tlocalhost", "# head\r\n\r\n  127.0.0.1   localhost", "fe80::1%lo0 localhost",
        "0.0.0.0 0.0.0.0", "255.255.255.255\tbroadcasthost",
    ],
    "csv": [
        "name", "domain\na.example", "date;Domain;note", "id\tHOSTNAME", '"host","date"', " name , date",
        "\n# x\nname,a",
    ],
    "yaml": [
        "- a.example", "  - a.example", "-\n  a.example", "names:\n- a", "domains:", "names: [a.example]", "---\n- a",
        "# list\n- a", '{"names": []}', '["a.example"]', "['a.example']", "[\n'a.example']",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("format_id", "content"), [(f, c) for f, contents in DETECTED.items() for c in contents])
def test_detected(format_id: str, content: str) -> None:
    assert detect(content) == format_id


def test_every_format_is_named_once() -> None:
    assert FORMATS == ("names", "hosts", "csv", "yaml")
    assert set(DETECTED) == set(FORMATS)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a.example\nb.example", [(1, "a.example"), (2, "b.example")]),
        ("# x\n192.0.2.1 a.example", [(2, "a.example")]),
        ("date;name\n2026;a.example", [(2, "a.example")]),
        ("names:\n- a.example", [(2, "a.example")]),
    ],
)
def test_reads_what_it_detects(content: str, found: list[tuple[int, str]]) -> None:
    assert entries(content) == found


def test_format_given_goes_before_detection() -> None:
    assert entries("- a.example\n", "names") == [(1, "- a.example")]
    assert entries("name\n", "names") == [(1, "name")]


# --- The bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["# x", "a.example", "", "b.example"], [(2, "a.example"), (4, "b.example")]),
        (["127.0.0.1 localhost", "", "192.0.2.1 a.example"], [(3, "a.example")]),
        (["name,date", "", "a.example,1", "b.example,2"], [(3, "a.example"), (4, "b.example")]),
        (["- a.example", "", "# x", "- b.example"], [(1, "a.example"), (4, "b.example")]),
    ],
)
def test_any_line_end_mark_and_last_line(
    lines: list[str], found: list[tuple[int, str]], end: str, mark: str, last: bool
) -> None:
    assert entries(mark + end.join(lines) + end * last) == found


@pytest.mark.parametrize("format_id", [None, *FORMATS])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_not_utf8_names_the_line(format_id: str | None, end: bytes) -> None:
    error = refusal(end.join([b"\xef\xbb\xbfa.example", b"b.example", b"caf\xe9.example", b"\xff"]), format_id)
    assert "line 3 " in error.message
    assert "UTF-8" in error.hint


def test_surrogates_and_utf16_are_no_utf8() -> None:
    assert "line 2 " in refusal(b"a.example\n\xed\xa0\x80.example").message
    assert "line 1 " in refusal("a.example\n".encode("utf-16")).message


def test_utf16_without_mark_is_refused_as_names() -> None:
    for entry in read("a.example\nb.example".encode("utf-16-le")):
        with pytest.raises(domain_name.NameRefused):
            domain_name.normalise(entry.text)


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "64 MiB" in refusal(b"a" * (imports.MAX_BYTES + 1)).message
    monkeypatch.setattr(imports, "MAX_BYTES", 9)
    assert entries(b"a.example") == [(1, "a.example")]


def test_unknown_format() -> None:
    error = refusal("a.example", "xlsx")
    assert "xlsx" in error.message
    assert all(format_id in error.hint for format_id in FORMATS)


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x0b", "\u2028", "\x85", "\u202e", "\ufeff", "\xa0"])
@pytest.mark.parametrize("before", ["c.example\n", "192.0.2.1 c.example\n192.0.2.1 ", "date,name\n1,c.example\n2,"])
def test_control_characters_stay_for_the_refusal(character: str, before: str) -> None:
    """In YAML they refuse the file, see `test_yaml_refuses_the_file`."""
    name = f"a{character}b.example"
    last = read(f"{before}{name}\n".encode())[-1]
    assert last == Entry(before.count("\n") + 1, name)
    with pytest.raises(domain_name.NameRefused):
        domain_name.normalise(last.text)


# --- One name a line ---------------------------------------------------------------------------------------------

NO_NAMES = [
    "https://a.example/page#part", "http://a.example", "*.a.example", "||a.example^", "@@||a.example^", "! a comment",
    "; a comment", "// a comment", "a.example b.example", "a.example, b.example", "192.0.2.1", "2001:db8::1",
    "192.0.2.1 a.example", "address=/a.example/192.0.2.1", "=HYPERLINK(\"https://a.example\")", "a.example#note",
    "-- a", "a@b.example", "a.example CNAME .", "[a.example]", '"a.example"', "\0", "\u2028",
    "a.example\u2028b.example",
]  # fmt: skip


@pytest.mark.parametrize("rubbish", NO_NAMES)
@pytest.mark.parametrize("comment", ["", " # why", "\t#"])
def test_rubbish_stays_whole_with_its_line(rubbish: str, comment: str) -> None:
    content = f"a.example\n# x\n{rubbish}{comment}\nb.example\n"
    assert entries(content) == [(1, "a.example"), (3, rubbish), (4, "b.example")]
    with pytest.raises(domain_name.NameRefused):
        domain_name.normalise(rubbish)


def test_names_comments_and_blanks() -> None:
    content = "# one\n  a.example \t# two # three\n\t#four\n \t \nbücher.example#\n#b.example\nA.Example\na.example"
    assert entries(content) == [(2, "a.example"), (5, "bücher.example#"), (7, "A.Example"), (8, "a.example")]


@pytest.mark.parametrize("line_break", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_comment_that_may_show_as_two_lines_is_none(line_break: str) -> None:
    hidden = f"# x{line_break}b.example"
    assert entries(f"a.example\n{hidden}\na.example {hidden}") == [
        (1, "a.example"),
        (2, hidden),
        (3, f"a.example {hidden}"),
    ]


# --- Hosts -------------------------------------------------------------------------------------------------------


def test_hosts_names_and_aliases() -> None:
    content = "# head\n192.0.2.1  a.example\twww.a.example # note\n\n2001:db8::1 b.example\n0.0.0.0 a.example"
    found = [(2, "a.example"), (2, "www.a.example"), (4, "b.example"), (5, "a.example")]
    assert entries(content) == found


def test_hosts_local_names_are_skipped() -> None:
    content = "127.0.0.1 localhost localhost.localdomain a.example\n0.0.0.0 0.0.0.0\n::1 LocalHost\n"
    content += "\n".join(f"ff02::1 {name}" for name in sorted(LOCAL_NAMES)) + "\n127.0.1.1 desk\n"
    assert entries(content) == [(1, "a.example"), (len(LOCAL_NAMES) + 4, "desk")]
    zero = "0.0.0.0"  # noqa: S104
    assert entries(f"192.0.2.1 {zero}\n{zero} {zero} a.example") == [(1, zero), (2, zero), (2, "a.example")]
    assert entries("localhost", "names") == [(1, "localhost")]


@pytest.mark.parametrize(
    "line",
    [
        "a.example", "a.example b.example", "192.0.2.1", "https://a.example/ x", "192.0.2.256 a.example",
        "127.000.000.001 a.example", "192.0.2.1\u00a0a.example", "192.0.2.1,a.example", "; x", "0 a.example",
    ],
)  # fmt: skip
def test_hosts_line_that_is_none_stays_whole(line: str) -> None:
    assert entries(f"127.0.0.1 localhost\n{line}\n192.0.2.1 b.example") == [(2, line), (3, "b.example")]


# --- CSV ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("title", ["name", "Domain", "HOST", " hostname ", '"name"'])
def test_csv_columns_and_delimiters(delimiter: str, title: str) -> None:
    rows = [["date", title, "note"], ["1", "a.example", "b.example"], ["2", '"c.example"', '"d, e; f"']]
    content = "\n".join(delimiter.join(row) for row in rows)
    assert detect(content) == "csv"
    assert entries(content) == [(2, "a.example"), (3, "c.example")]


def test_csv_lines_with_quoted_newlines() -> None:
    content = '# export\n\nnote,name\n"one\r\ntwo\r\n",a.example\n\n"x ""y""\n",b.example\nz,c.example'
    assert entries(content) == [(4, "a.example"), (8, "b.example"), (10, "c.example")]


def test_csv_empty_cells_are_entries() -> None:
    content = "id,name,note\n1,,x\n,,\n3\n\n4,a.example\n5, ,\n"
    assert entries(content) == [(2, ""), (3, ""), (4, ""), (6, "a.example"), (7, " ")]


def test_csv_row_wider_than_its_header_is_no_name() -> None:
    content = "name\na.example,b.example\nc.example,,\n,b.example\n"
    assert entries(content) == [(2, "a.example | b.example"), (3, "c.example"), (4, " | b.example")]
    for delimiter in ",;\t":
        for entry in read(f"name{delimiter}date\n{delimiter * 2}b.example".encode()):
            with pytest.raises(domain_name.NameRefused):
                domain_name.normalise(entry.text)


def test_csv_wrong_delimiter_stays_in_the_cell() -> None:
    assert entries("name;date\na.example,1\n") == [(2, "a.example,1")]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+a.example", "-a.example", "@a.example", "=cmd|' /C calc'!A0", "# a.example"]
)
def test_csv_injection_is_text_and_no_name(cell: str) -> None:
    assert entries(f"name;x\n{cell};y") == [(2, cell)]
    with pytest.raises(domain_name.NameRefused):
        domain_name.normalise(cell)


@pytest.mark.parametrize("content", ["", "# x", "a.example\nb.example", "site,date\na.example,1", 'x,"name\ny"\n1,2'])
def test_csv_without_a_name_column(content: str) -> None:
    error = refusal(content, "csv")
    assert "column" in error.message
    assert "hostname" in error.hint


def test_csv_with_two_name_columns() -> None:
    assert "name, Domain" in refusal("name,date,Domain\na.example,1,b.example").message


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('name,note\na.example,"oops\nb.example,x\n', 2),
        ('name,note\na.example,x\n"b.example"x,y\nc.example,z', 3),
        ('name,note\n"a\n",x\nb.example,"y" "z"', 4),
        ("name\na.example\n" + "b" * 200_000, 3),
        ('\nname,"x', 2),
    ],
)
def test_csv_quotation_marks_take_no_rows_away(content: str, line: int) -> None:
    assert f"line {line} " in refusal(content).message


# --- YAML --------------------------------------------------------------------------------------------------------


def test_yaml_items_are_the_text_that_stands_there() -> None:
    items = ["no", "Yes", "1.2.3.4", "12:30:45", "010", "1e3", "2026-01-01", "null", "~", "0x1F", ".inf", "<<", "="]
    content = "# head\n---\n" + "".join(f"- {item}\n" for item in items)
    assert entries(content) == list(enumerate(items, 3))


def test_yaml_styles_and_lines() -> None:
    content = (
        "- a.example # x\n-\n- 'b.example'\n- \"c\\u002eexample\"\n- d\n  e\n- |\n  f\n\n-   g.example\n- a.example"
    )
    found = [
        (1, "a.example"), (2, ""), (3, "b.example"), (4, "c.example"), (5, "d e"), (7, "f\n"), (10, "g.example"),
        (11, "a.example"),
    ]  # fmt: skip
    assert entries(content) == found


@pytest.mark.parametrize(
    "content",
    [
        "- a.example\n- b.example", "names:\n- a.example\n- b.example", "domains:\n  - a.example\n  - b.example\n...\n",
        "{names: [a.example, b.example]}", '["a.example",\n"b.example"]\n', '{"domains": [\n"a.example", "b.example"]}',
    ],
)  # fmt: skip
def test_yaml_list_shapes(content: str) -> None:
    assert [entry.text for entry in read(content.encode())] == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", 1), ("# x", 1), ("a.example", 1), ("title: x\nnames: [a]", 1), ("names: a.example", 1), ("names:", 1),
        ("names:\n- a\ndomains:\n- b", 3), ("names:\n- a\ntitle: x", 3), ("names:\n  a: b", 2), ("? [names]\n: [a]", 1),
        ("- a\n- - b", 2), ("- a\n- b: c", 2), ("- a\n- [b]", 2), ("- a\n- {}", 2), ("- a\n- https://b.example: c", 2),
        ("- a\n- &x b", 2), ("- a\n- *x", 2), ("&x\n- a", 1), ("names: &x [a]", 1), ("&x names: [a]", 1),
        ("- a\n- !!str b", 2), ("- a\n- ! b", 2), ("- a\n- !!python/name:os.system b", 2), ("names: !!set [a]", 1),
        ("%YAML 1.1\n---\n- a", 1), ("%TAG ! tag:example,2026:\n---\n- a", 1), ("- a\n---\n- b", 3),
        ("- a\n...\n- b", 3), ("- a\nb", 2), ("- a\n- 'b", 2), ("[a,\nb", 2), ("- a\n- @b", 2), ("- a\n-\tb", 2),
        ("- a\n- \0", 2), ("- a\n- \x07b", 2), ("- a\n- b\u2028- c", 2), ("- a\n- b\x85- c", 2), ("- a\n# \ufeff", 2),
        ("- a\n- \"\\ud800\"", 2), ("- a\n- {{}}", 2), ("- a\n- `b`", 2), ("<<: [a]", 1),
    ],
)  # fmt: skip
def test_yaml_refuses_the_file(content: str, line: int) -> None:
    assert f"line {line} " in refusal(content, "yaml").message


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? ", "- [", "names: [["])
def test_yaml_nesting_without_end(opening: str) -> None:
    assert "line 1 " in refusal(opening * 200_000, "yaml").message


def test_yaml_expansion_is_refused_before_it_expands() -> None:
    bomb = "- &a [x, x]\n" + "".join(f"- &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))
    assert "line 1 has an anchor" in refusal(bomb).message


# --- Anything at all ---------------------------------------------------------------------------------------------

PIECES = st.lists(
    st.sampled_from(
        [*"\n\r\t #,;\"'-[]{}:&*!%|>?@\\~=", "\r\n", "- ", "---", "...", "name", "names:", "domain;", "host\t",
         "192.0.2.1 ", "::1 ", "localhost", "a.example", "é", "\0", "\x1c", "\x85", "\u2028", "\ufeff", "\U0001f600"]
    ),
    max_size=60,
).map("".join)  # fmt: skip


@given(st.binary(max_size=1024), st.sampled_from([None, *FORMATS]))
@example(b"\xef\xbb\xbf\xef\xbb\xbf# x", None)
def test_random_bytes_are_read_or_refused(content: bytes, format_id: str | None) -> None:
    try:
        read(content, format_id)
    except UsageError as error:
        assert error.message


@given(PIECES, st.sampled_from([None, *FORMATS]))
def test_near_files_are_read_or_refused_with_lines_that_exist(content: str, format_id: str | None) -> None:
    last = content.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    try:
        found = read(content.encode(), format_id)
    except UsageError as error:
        found = [Entry(int(number), "") for number in re.findall(r"line (\d+) ", error.message)]
    assert all(1 <= entry.line <= last for entry in found)
    assert [entry.line for entry in found] == sorted(entry.line for entry in found)


@given(PIECES.filter(lambda content: not content.startswith("\ufeff")))
def test_names_lose_no_line(content: str) -> None:
    """Each line is there under its number, unless it is blank or starts with `#` and is one line in any program."""
    found = dict(read(content.encode(), "names"))
    for number, line in enumerate(content.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        text = line.strip(" \t")
        if not text or (text.startswith("#") and len(text.splitlines()) < 2):
            assert number not in found
        else:
            assert text.startswith(found[number])
            assert found[number] == text or text.removeprefix(found[number]).lstrip(" \t").startswith("#")


@given(st.lists(st.text(st.characters(exclude_characters="\r", codec="utf-8"), min_size=1), min_size=1))
def test_csv_gives_back_every_quoted_cell_in_its_line(texts: list[str]) -> None:
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    line, expected = 2, []
    for text in texts:
        expected.append((line, text))
        line += text.count("\n") + 1
    assert entries("name;note\n" + "".join(f"{cell};x\n" for cell in quoted)) == expected


@pytest.mark.parametrize("header", ["name,scope", "Scope;domain", "host\tsince\t SCOPE "])
def test_a_column_of_scopes_is_not_passed_over(header: str) -> None:
    with pytest.raises(UsageError, match="column of scopes"):
        read(f"{header}\nwww.bad.example,host\n".encode(), "csv")
