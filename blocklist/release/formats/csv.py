"""Comma-separated values (RFC 4180), for a provider's own tools: a header row, then a row for each name."""

from __future__ import annotations

from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Policy
from blocklist.release.formats import Release
from blocklist.release.formats.rows import COLUMNS, rows


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The rows; no value of ours ever needs quotes."""
    yield (",".join(COLUMNS) + "\r\n").encode()
    for lines in rows(measures, _around):
        yield "".join(lines).encode()


def _around(scope: str, since: str, review_by: str) -> tuple[str, str, str]:
    return "", ",", f",{scope},{since},{review_by}\r\n"
