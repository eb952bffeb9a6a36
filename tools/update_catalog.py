"""Bring the French catalog up to date: `python tools/update_catalog.py`.

It takes every text from the code, from the helps of the commands and from click, keeps what is translated already,
drops what is no longer said, compiles, and prints what still has to be translated. Translate in `blocklist.po`, then
run it again.
"""

from __future__ import annotations

import ast
import inspect
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from blocklist.base.i18n import CATALOGS
from blocklist.cli.commands import main

PACKAGE = CATALOGS.parent
FRENCH = CATALOGS / "fr" / "LC_MESSAGES" / "blocklist.po"
MARKS = {"_": 1, "later": 1, "plural": 2}
"""What marks a text in the code, and how many of its arguments are the text."""
CLICK_MARKS = {"_": 1, "ngettext": 2}
UNSAID = (b'"Project-Id', b'"Report-', b'"POT-', b'"PO-', b'"Last-', b'"Language-Team', b'"Generated-By')
"""Lines of the header that say nothing, or another thing every time."""
SHOWN_BY_CLICK = frozenset(
    {
        "Usage:", "Options", "Commands", "Show this message and exit.", "Show the version and exit.",
        "default: {default}", "required",
        "Missing argument", "Missing option", "Missing command.",
        "No such option {name!r}.", "No such command {name!r}.", "Did you mean {possibility}?",
        "Invalid value: {message}", "Invalid value for {param_hint}: {message}",
        "{value!r} is not {choice}.", "{value!r} is not a valid {number_type}.", "{value} is not in the range {range}.",
        "Choose from:\n\t{choices}",
        "Got unexpected extra argument ({args})",
        "Option {name!r} requires an argument.", "Option {name!r} does not take a value.",
        "Aborted!", "Do you want to continue?", "Repeat for confirmation",
        "Error: {message}", "Error: invalid input", "Error: The two entered values do not match.",
    }
)  # fmt: skip
"""What our helps, questions and usual usage errors show of click's texts: these have to be there, whatever its version.

A newer click may say more, which stays English until somebody translates it.
"""
PLURALS = "nplurals=2; plural=(n > 1);"
"""Newer tables of babel have a third form, for whole millions, which no text of ours needs."""
HEADER = "# The words of blocklist in French. Update with: python tools/update_catalog.py"

Text = str | tuple[str, str]


def marked(path: Path, marks: Mapping[str, int]) -> Iterator[ast.Call]:
    """Every call in a file that marks a text. Babel's own reader does not see one within another."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in marks:
            yield node


def _texts(path: Path, marks: Mapping[str, int]) -> Iterator[Text]:
    for call in marked(path, marks):
        assert isinstance(call.func, ast.Name)
        parts = [node.value for node in call.args[: marks[call.func.id]] if isinstance(node, ast.Constant)]
        if len(parts) == marks[call.func.id] and all(parts):
            yield (parts[0], parts[1]) if len(parts) == 2 else parts[0]


def texts_of_code() -> Iterator[tuple[Text, str]]:
    """Every marked text of the package, and the file it is in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield from ((text, path.relative_to(PACKAGE.parent).as_posix()) for text in _texts(path, MARKS))


def texts_of_click() -> Iterator[tuple[Text, str]]:
    """What click itself says."""
    for path in sorted(Path(inspect.getfile(click)).parent.rglob("*.py")):
        yield from ((text, "click") for text in _texts(path, CLICK_MARKS))
    yield "required", "click"  # the one word that click looks up by a variable


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it; groups too."""

    def walk(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from walk(f"{words} {name}", below)

    return walk("blocklist", main)


def texts_of_helps() -> Iterator[tuple[Text, str]]:
    """The helps of all commands and options, as the command line looks them up."""
    for words, command in commands():
        for text in (command.help, command.short_help):
            if text:
                yield inspect.cleandoc(text), words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                if parameter.help:
                    yield parameter.help, words
                if isinstance(parameter.show_default, str) and " " in parameter.show_default:  # else it is a value
                    yield parameter.show_default, words


def template() -> Catalog:
    """The texts that have to be in a catalog."""
    catalog = Catalog(domain="blocklist")
    for source in (texts_of_code, texts_of_helps, texts_of_click):
        for text, place in source():
            catalog.add(text, locations=[(place, None)])
    return catalog


def read(path: Path = FRENCH) -> Catalog:
    """A catalog as it is."""
    with path.open("rb") as stream:
        return read_po(stream, "fr")


def first_id(message: Message) -> str:
    """The text of a message, and the one for the number one if it has two."""
    return message.id if isinstance(message.id, str) else message.id[0]


def is_ours(message: Message) -> bool:
    """Whether the program says it itself, and not click alone."""
    return any(place != "click" for place, _line in message.locations)


def required(messages: Iterable[Message]) -> set[str]:
    """What must not stay English: our own texts, and what is shown of click's."""
    return {text for entry in messages if (text := first_id(entry)) and (is_ours(entry) or text in SHOWN_BY_CLICK)}


def untranslated(catalog: Catalog) -> list[Message]:
    """The messages that lack a text, or one of its plural forms, or were only guessed."""
    return [message for message in catalog if message.id and (message.fuzzy or not all(_forms(message, catalog)))]


def _forms(message: Message, catalog: Catalog) -> tuple[str, ...]:
    if not message.pluralizable:
        return (str(message.string),) if message.string else ("",)
    return (*message.string, *[""] * (catalog.num_plurals - len(message.string)))


def merged(old: Catalog) -> Catalog:
    """The texts that are said now, with the translations that there are; nothing is guessed."""
    new = template()
    catalog = Catalog("fr", domain="blocklist", header_comment=HEADER, fuzzy=False)
    catalog.mime_headers = [("Plural-Forms", PLURALS)]
    for message in sorted(new, key=lambda entry: str(entry.id)):
        if message.id:
            known = old.get(message.id)
            string = known.string if known and known.pluralizable == message.pluralizable else ""
            # No line numbers: they would change with every edit of the code.
            places = sorted({(place, None) for place, _line in message.locations})
            catalog.add(message.id, string or message.string, locations=places)
    return catalog


def write(catalog: Catalog, path: Path = FRENCH) -> None:
    """Write a catalog, and compile it."""
    written = io.BytesIO()
    write_po(written, catalog, width=120, include_lineno=False)
    path.write_bytes(b"".join(line for line in written.getvalue().splitlines(True) if not line.startswith(UNSAID)))
    with path.with_suffix(".mo").open("wb") as stream:
        write_mo(stream, catalog)


if __name__ == "__main__":
    result = merged(read() if FRENCH.exists() else Catalog("fr"))
    write(result)
    left = untranslated(result)
    for message in left:
        sys.stdout.write(f"{message.id!r}\n")
    sys.stdout.write(f"{len(left)} of {len(result)} messages are not translated\n")
