"""The documents as text: their sections, tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kit.paths import ROOT

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {path.name: path.read_text() for path in DOCS}


def blocks(text: str, *languages: str) -> Iterator[str]:
    """The code blocks of these languages, continued lines joined."""
    for language, code in re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", text):
        if language in languages:
            yield code.replace("\\\n", " ")


def rows(text: str) -> list[list[str]]:
    """The rows of the one table in `text`, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def section(name: str, title: str) -> str:
    return re.split(r"(?m)^#", TEXT[name].split(f"# {title}\n")[1])[0]


def section_below(name: str, title: str) -> str:
    return TEXT[name].split(f"### {title}\n")[1].split("\n### ")[0]


def ticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)
