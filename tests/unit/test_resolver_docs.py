"""The lines of configurations and units that the guides show are lines of the files that the tests run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from kit.paths import ROOT

GUIDES = sorted((ROOT / "docs").rglob("*.md"))
SHOWN = re.compile(r"<!-- from: (\S+) -->\n+```\w*\n(.*?)^```$", re.M | re.S)
POLICY = re.compile(r"^[ \t]*(?://|#|--) policy:\n(.*?)^[ \t]*(?://|#|--) end of policy\n", re.M | re.S)
FOLDERS = {"tests/resolvers": "*.conf", "docs/nginx": "*", "docs/systemd": "*"}
NOT_FOR_PROVIDERS = {"tests/resolvers/upstream.conf"}
EXCERPTS = [(guide, *shown) for guide in GUIDES for shown in SHOWN.findall(guide.read_text(encoding="utf-8"))]


def stand_in_order(lines: list[str], text: list[str]) -> bool:
    """Whether each line is one of the text, after the one before it."""
    rest = iter(text)
    return all(line in rest for line in lines)


@pytest.mark.parametrize(("guide", "name", "shown"), EXCERPTS, ids=[name for _guide, name, _shown in EXCERPTS])
def test_a_guide_shows_lines_of_the_file_and_links_to_it(guide: Path, name: str, shown: str) -> None:
    assert shown
    assert stand_in_order(shown.splitlines(), (ROOT / name).read_text(encoding="utf-8").splitlines())
    assert f"]({os.path.relpath(ROOT / name, guide.parent)})" in guide.read_text(encoding="utf-8")


def test_a_line_of_another_file_would_be_found() -> None:
    assert stand_in_order(["a", "c"], ["a", "b", "c"])
    assert not stand_in_order(["c", "a"], ["a", "b", "c"])
    assert not stand_in_order(["d"], ["a", "b", "c"])


@pytest.mark.parametrize(("guide", "name", "shown"), EXCERPTS, ids=[name for _guide, name, _shown in EXCERPTS])
def test_what_a_provider_adds_is_shown_whole(guide: Path, name: str, shown: str) -> None:
    added = "".join(POLICY.findall((ROOT / name).read_text(encoding="utf-8")))
    assert stand_in_order(added.splitlines(), shown.splitlines())


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_nothing_is_marked_and_not_shown(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    assert len(re.findall(r"(?m)^<!-- f", text)) == len(SHOWN.findall(text))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_shown_once(folder: str) -> None:
    files = {f"{folder}/{path.name}" for path in (ROOT / folder).glob(FOLDERS[folder]) if path.is_file()}
    named = [name for _guide, name, _shown in EXCERPTS if name.startswith(f"{folder}/")]
    assert sorted(named) == sorted(files - NOT_FOR_PROVIDERS)
