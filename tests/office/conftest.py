"""What an office starts from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from kit.site import Site


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with one.example published, to be copied by each test that changes it."""
    made = Site(tmp_path_factory.mktemp("founded") / "site", datetime.now(UTC))
    made.block("one.example")
    made.publish()
    return made
