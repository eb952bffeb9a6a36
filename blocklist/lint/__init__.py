"""What would a resolver choke on? Checks of policy zones and of other exports: bytes in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _, plain, plural
from blocklist.lint.rules import Finding, Findings, described
from blocklist.lint.text import TextLinter
from blocklist.lint.zone import ZoneLinter

ZONE_SUFFIX = ".zone"


def linted(file: str, chunks: Iterable[bytes], after: int | None = None) -> Iterator[bytes]:
    """Hand on the bytes of an export of ours, and refuse it at its end if a resolver would.

    Args:
        file: Its name in the release.
        chunks: Its bytes.
        after: The number of the release before.

    Raises:
        RefusedError: There is an error in it.
    """
    linter = ZoneLinter(after=after) if file.endswith(ZONE_SUFFIX) else TextLinter(file, entries=False)
    for chunk in chunks:
        linter.feed(chunk)
        yield chunk
    _refuse_errors(file, linter.close(warnings=False))


def _refuse_errors(file: str, findings: Findings) -> None:
    first = findings.first_error()
    if first is None:
        return
    raise RefusedError(
        plural(
            "{file} has {count} error that a resolver would choke on: line {line}, {owner}: {what}",
            "{file} has {count} errors that a resolver would choke on; the first: line {line}, {owner}: {what}",
            findings.of("error"),
            file=file,
            line=first.line,
            owner=shown_owner(first),
            what=described(first.rule),
        ),
        _("nothing was published; the last release stays; tell the authors of this program"),
    )


def shown_owner(finding: Finding) -> str:
    """The name of a finding for people, on one line and not longer than a name."""
    return plain(finding.owner) or "-"
