"""The configurations that docs/providers.md shows are the files that the tests run."""

import re
from pathlib import Path

from servers import CONFIGURATIONS

GUIDE = Path(__file__).parent.parent / "docs/providers.md"
SHOWN = re.compile(r"<!-- file: tests/resolvers/(\S+) -->\n+```\w*\n(.*?)^```$", re.M | re.S)


def test_the_guide_shows_every_configuration_as_it_is_run() -> None:
    shown = dict(SHOWN.findall(GUIDE.read_text(encoding="utf-8")))
    files = {path.name: path.read_text() for path in CONFIGURATIONS.glob("*.conf") if path.name != "upstream.conf"}
    assert shown == files
