"""Every text for people is there in French, and says the same."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import update_catalog
from kit.chain import Chain
from update_catalog import MARKS, PACKAGE

from blocklist.base.i18n import _, paris, plain, plural, preferred, shown, speaking
from blocklist.release.contents import Snapshot, exports

FILES = sorted(PACKAGE.rglob("*.py"))
FIELD = re.compile(r"%(?:\(\w+\))?[sdr]")


def fields(text: str) -> list[str]:
    """The placeholders of a template, with their formats, in any order."""
    parts = string.Formatter().parse(text)
    braces = [f"{name}!{how}:{form}" for _text, name, form, how in parts if name is not None]
    return sorted(braces + FIELD.findall(text))


def forms(text: object) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


# The catalog


@pytest.fixture(scope="module")
def catalog():
    return update_catalog.read()


@pytest.fixture(scope="module")
def template():
    return update_catalog.template()


def ids(messages) -> set[str]:
    return {update_catalog.first_id(message) for message in messages if message.id}


def untranslated(catalog) -> set[str]:
    """What has to be in French and is not."""
    return update_catalog.required(update_catalog.untranslated(catalog))


def test_no_text_is_missing_in_the_catalog(catalog, template):
    missing = update_catalog.required(template) - ids(catalog)
    assert missing == set(), "run 'python tools/update_catalog.py', then translate"


def test_the_catalog_holds_nothing_that_is_not_said(catalog, template):
    unsaid = ids(filter(update_catalog.is_ours, catalog)) - ids(template)
    assert unsaid == set(), "run 'python tools/update_catalog.py'"


def test_every_text_is_translated(catalog):
    left = untranslated(catalog)
    assert left == set(), "translate them in blocklist.po, then run 'python tools/update_catalog.py'"


def test_an_invented_text_is_found(catalog):
    template = update_catalog.template()
    template.add("an invented text", locations=[("blocklist/names.py", None)])
    assert update_catalog.required(template) - ids(catalog) >= {"an invented text"}
    catalog = update_catalog.read()
    ours = [("blocklist/names.py", None)]
    catalog.add("an invented text", locations=ours)
    catalog.add(("{count} cat", "{count} cats"), ("{count} chat", ""), locations=ours)
    catalog.add("guessed", "deviné", flags=["fuzzy"], locations=ours)
    assert untranslated(catalog) >= {"an invented text", "{count} cat", "guessed"}
    assert {"an invented text", "guessed"} <= ids(filter(update_catalog.is_ours, catalog))


def test_what_a_newer_click_says_may_stay_english_unless_it_is_shown(catalog):
    template = update_catalog.template()
    template.add("a text of a newer click", locations=[("click", None)])
    assert "a text of a newer click" not in update_catalog.required(template)
    catalog = update_catalog.read()
    catalog.add("a text of a newer click", locations=[("click", None)])
    catalog["Missing option"].string = ""
    assert {"a text of a newer click", "Missing option"} & untranslated(catalog) == {"Missing option"}
    assert not ids(filter(update_catalog.is_ours, catalog)) & {"a text of a newer click", "Missing option"}


def test_translations_have_the_placeholders_of_their_texts(catalog):
    wrong = []
    for message in catalog:
        if message.id and all(forms(message.string)):
            allowed = [fields(text) for text in forms(message.id)]
            wrong += [message.id for text in forms(message.string) if fields(text) not in allowed]
    assert wrong == []


def test_french_has_its_spaces_and_quotation_marks(catalog):
    wrong = [
        text
        for message in catalog
        if message.id
        for text in forms(message.string)
        if re.search(r" [:;?!»](?:\s|$)|« ", text)
    ]
    assert wrong == []


# The code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_marked_text_is_a_literal_with_exactly_its_values(path):
    wrong = list(_wrong_calls(path)) if path.name != "messages.py" else []
    assert wrong == []


def _wrong_calls(path: Path) -> Iterator[str]:
    for call in update_catalog.marked(path, MARKS):
        name = ast.unparse(call.func)
        given = {keyword.arg for keyword in call.keywords}
        texts = call.args[: MARKS[name]]
        if all(isinstance(text, ast.Constant) and isinstance(text.value, str) for text in texts):
            if name == "later":
                continue
            wanted = {field.split("!")[0] for text in texts for field in fields(text.value)}  # type: ignore[attr-defined]
            wanted -= {"count"} if name == "plural" else set()
            if None not in given and wanted != given:
                yield f"line {call.lineno}: {wanted} in the text, {given} given"
        elif name != "_" or any(isinstance(text, ast.JoinedStr | ast.BinOp | ast.IfExp) for text in texts):
            yield f"line {call.lineno}: {ast.unparse(texts[0])} cannot be extracted"


SPEAKING = {"say", "ask", "confirmed", "agreed", "echo", "Finding", "prompt", "refuse", "BadParameter"}
"""Calls that show their texts, beside the constructors of errors."""
FREE = re.compile(r"[^a-z]*|[a-z.-]+|(?:\s*\{\}\S*\s*)*|\s*blocklist [a-z]+ \{\}")
"""What is no sentence: a code, a file's name, values in a row, a command to run."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_text_for_people_is_left_unmarked(path):
    assert [f"line {line}: {text}" for line, text in _unmarked(path)] == []


def _unmarked(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _speaks(ast.unparse(node.func).rpartition(".")[2]):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                for part in _parts(argument):
                    text = part.value if isinstance(part, ast.Constant) else _outline(part)
                    if isinstance(text, str) and not FREE.fullmatch(text):
                        yield part.lineno, text


def _speaks(name: str) -> bool:
    ours = name.endswith("Error") and name not in ("ValueError", "TypeError", "RuntimeError", "AssertionError")
    return name in SPEAKING or (ours and name[0].isupper())


def _parts(node: ast.expr) -> Iterator[ast.Constant | ast.JoinedStr]:
    if isinstance(node, ast.Constant | ast.JoinedStr):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from (*_parts(node.body), *_parts(node.orelse))
    elif isinstance(node, ast.BinOp):
        yield from (*_parts(node.left), *_parts(node.right))


def _outline(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


@pytest.mark.parametrize(
    "line, found",
    [
        ('say("nothing was changed")', True),
        ('raise UsageError(_("a text"), "what to do")', True),
        ('raise UsageError(f"the file {path} is damaged")', True),
        ('say(_("nothing was changed"))', False),
        ('say(f"  {name}: {state}")', False),
        ('raise ValueError("a fault of the program")', False),
    ],
)
def test_the_search_for_unmarked_texts_finds_them(tmp_path, line, found):
    path = tmp_path / "some.py"
    path.write_text(line)
    assert bool(list(_unmarked(path))) is found


# Speaking


def test_a_language_is_spoken_for_a_while():
    with speaking("fr"):
        assert _("the key {name} exists in {path}", name="a", path="b") == "la clé a existe déjà dans b"
        assert (plural("{count} name", "{count} names", 0), plural("{count} name", "{count} names", 2)) == (
            "0 nom",
            "2 noms",
        )
        with speaking("en"):
            assert plural("{count} name", "{count} names", 0) == "0 names"
        assert plural("{count} name", "{count} names", 1) == "1 nom"
    assert _("the key") == "the key"


@pytest.mark.parametrize(
    "variables, language",
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "fr_BE"}, "fr"),
        ({"LANG": "C", "LC_ALL": "C", "LANGUAGE": "fr:en"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": ""}, "fr"),
    ],
)
def test_the_language_is_that_of_the_locale(monkeypatch, variables, language):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert preferred() == language


def test_instants_are_shown_in_paris_with_their_offset():
    from datetime import UTC, datetime

    assert shown(datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) == "2026-11-22 13:00+01:00"
    assert shown(datetime(2026, 7, 22, 12, 0, 1, tzinfo=UTC)) == "2026-07-22 14:00:01+02:00"
    assert str(paris()) == "Europe/Paris"


def test_what_somebody_wrote_keeps_the_spaces_of_french_and_no_control_character():
    assert plain("note\u00a0: «\u202fvu\u202f»") == "note\u00a0: «\u202fvu\u202f»"
    assert plain("a\x1b[31mb\u202e\n") == "a\\x1b[31mb\\u202e "


def test_what_is_sealed_is_the_same_in_every_language():
    chain = Chain()
    chain.block("bad.example")
    state = chain.register

    def rendered(language: str) -> dict[str, bytes]:
        with speaking(language):
            snapshot = Snapshot.take(state, chain.at)
            return {name: b"".join(chunks) for name, chunks in exports(snapshot, state.policy.formats)}

    assert rendered("fr") == rendered("en")
