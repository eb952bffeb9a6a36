"""What `csv` and `json` say of each name: both its forms, its scope, since when it is in force, its review date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from blocklist.base.instants import format_instant
from blocklist.names.domain_name import Scope
from blocklist.register.measures import Measure, Rendered
from blocklist.release.formats import CHUNK

COLUMNS = ("name", "unicode", "scope", "in_force_since", "review_by")

# Ranges, not properties: those of a character change with the tables of a Python, and bytes must not (promise 5). Left
# out are ASCII that no label has, what separates, controls or is not seen, and what is for private use.
_SHOWN = re.compile(
    "[a-z0-9_\u00b7\u00df-\u02af\u0300-\u034e\u0350-\u061b\u061d-\u115e\u1161-\u167f\u1681-\u17b3\u17b6-\u180a"
    "\u1810-\u1fff\u2c00-\u2dff\u3005-\u3007\u3021-\u3163\u3165-\ud7ff\uf900-\ufdff\ufe20-\ufefe"
    "\U00010000-\U0001bc9f\U0001d200-\U0003ffff-]+"
)

Around = Callable[[str, str, str], tuple[str, str, str]]
"""Given scope, since and review date: what stands before, between and after the two forms of a name."""


def rows(rendered: Rendered, around: Around) -> Iterator[list[str]]:
    """Yield the lines of all names, in lists of `CHUNK`."""
    yield from _lines(rendered.domain, rendered.measures.domain, Scope.DOMAIN, around)
    yield from _lines(rendered.host, rendered.measures.host, Scope.HOST, around)


def _lines(texts: Sequence[str], measures: Mapping[str, Measure], scope: Scope, around: Around) -> Iterator[list[str]]:
    known: dict[int, tuple[str, str, str]] = {}
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        decisions = list(map(measures.__getitem__, chunk))
        if len(known) > CHUNK:
            known.clear()
        # Names that were decided together share one measure, and so what stands around them; a measure's hash is slow.
        for key, measure in dict(zip(map(id, decisions), decisions, strict=True)).items():
            if key not in known:
                known[key] = around(str(scope), format_instant(measure.since), format_instant(measure.review_by))
        parts = map(known.__getitem__, map(id, decisions))
        if "xn--" in "".join(chunk):
            yield [
                f"{before}{text}{between}{unicode(text)}{after}"
                for text, (before, between, after) in zip(chunk, parts, strict=True)
            ]
        else:
            yield list(map(str.join, chunk, parts))


def unicode(text: str) -> str:
    """Return the U-label form of a name by Punycode alone (RFC 3492), which no version of a library changes.

    A label that is not what its characters encode to, or holds one that is not shown, stays as it is.
    """
    if "xn--" not in text:
        return text
    return ".".join(_decoded(label) if label.startswith("xn--") else label for label in text.split("."))


def _decoded(label: str) -> str:
    try:
        decoded = label[4:].encode().decode("punycode")
        same = decoded.encode("punycode").decode() == label[4:]
    except (UnicodeError, OverflowError):
        return label
    return decoded if same and not decoded.isascii() and _SHOWN.fullmatch(decoded) else label
