"""Words for people, in English and French, and instants as people read them.

The English text is the message's id (gettext). What is signed, sealed or exported never passes through here: it is the
same in every language.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

LANGUAGES = ("en", "fr")
CATALOGS = Path(__file__).parent.parent / "locale"
_DOMAIN = "blocklist"
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def preferred() -> str:
    """The language of the user's locale; English when it is none of ours."""
    locale = next((value for name in _VARIABLES if (value := os.environ.get(name))), "")
    return "fr" if locale.lower().startswith("fr") else "en"


def use(language: str) -> None:
    """Speak `language` from now on, and let commands that we start know it."""
    # The variable is what gettext itself looks at, so click's own words follow too.
    os.environ["LANGUAGE"] = language
    gettext.bindtextdomain(_DOMAIN, str(CATALOGS))
    gettext.textdomain(_DOMAIN)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak `language` for a while."""
    before = os.environ.get("LANGUAGE")
    use(language)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LANGUAGE"]
        else:
            os.environ["LANGUAGE"] = before


def _(msgid: str, /, **values: object) -> str:
    """The message in the language that is spoken, with its values filled in."""
    return gettext.gettext(msgid).format_map(values)


def plural(one: str, many: str, count: int, /, **values: object) -> str:
    """The message for a number, which is the value `count`."""
    return gettext.ngettext(one, many, count).format_map({"count": count, **values})


def later(msgid: str) -> str:
    """Mark a text that is translated where it is shown."""
    return msgid


def plain(text: str) -> str:
    """What somebody wrote, as one line that a terminal only shows: no control character, no change of direction."""
    return "".join(c if c.isprintable() or c in _SPACES else " " if c in "\n\t" else ascii(c)[1:-1] for c in text)


_SPACES = "\u00a0\u202f"  # French puts them before its punctuation; Python calls them not printable


Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Given what is done and its length, a context in which to say how many steps more are done."""


@contextmanager
def quietly(_label: str, _length: int) -> Iterator[Callable[[int], object]]:
    """The `Progress` that nobody watches."""
    yield lambda _done: None


@cache
def paris() -> ZoneInfo:
    """The time zone in which dates are meant and shown."""
    return ZoneInfo("Europe/Paris")


def shown(instant: datetime) -> str:
    """An instant for people: Paris time with its offset."""
    return instant.astimezone(paris()).isoformat(" ", "minutes" if instant.second == 0 else "seconds")
