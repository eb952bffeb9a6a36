"""The configurations and units that the guides show are the files that the tests run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = ("operators.md", "providers.md")
SHOWN = re.compile(r"<!-- file: (\S+) -->\n+```\w*\n(.*?)^```$", re.M | re.S)
FOLDERS = {"tests/resolvers": "*.conf", "docs/nginx": "*", "docs/systemd": "*"}
NOT_FOR_PROVIDERS = {"tests/resolvers/upstream.conf"}


def shown(guide: str) -> list[tuple[str, str]]:
    return SHOWN.findall((ROOT / "docs" / guide).read_text(encoding="utf-8"))


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_shows_files_as_they_are(guide: str) -> None:
    assert shown(guide)
    for name, text in shown(guide):
        assert text == (ROOT / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("guide", GUIDES)
def test_nothing_is_marked_and_not_shown(guide: str) -> None:
    marks = (ROOT / "docs" / guide).read_text(encoding="utf-8").count("<!-- file:")
    assert marks == len(shown(guide))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_shown_once(folder: str) -> None:
    files = {f"{folder}/{path.name}" for path in (ROOT / folder).glob(FOLDERS[folder]) if path.is_file()}
    named = [name for guide in GUIDES for name, _ in shown(guide) if name.startswith(f"{folder}/")]
    assert sorted(named) == sorted(files - NOT_FOR_PROVIDERS)
