"""`lint`: what would a resolver choke on?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, plural
from blocklist.cli.commands import Settings, Verb, refuse_store
from blocklist.cli.terminal import finish, progress, say, table, urgent
from blocklist.lint import ZONE_SUFFIX, TextLinter, shown_owner
from blocklist.lint.rules import RULES, Severity, affected, described
from blocklist.lint.zone import ZoneLinter
from blocklist.release.formats import FORMATS

if TYPE_CHECKING:
    from blocklist.lint.rules import Finding, Findings

_CHUNK = 1024 * 1024
_SHOWN = 3
_SEVERITIES: tuple[Severity, ...] = ("error", "warning")
_ZONE = FORMATS["rpz"].file
_NOT_LINTED = (".p7s",)


@click.command("lint", cls=Verb, short_help="Say what resolvers would choke on in a zone or a release.")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|RELEASE")
@click.option("--zone", default="", metavar="NAME", help="The name under which the zone is loaded.")
@click.option("--after", type=click.Path(path_type=Path), metavar="FILE|RELEASE", help="What was served before.")
@click.pass_obj
def lint_command(settings: Settings, path: Path, zone: str, after: Path | None) -> None:
    """Say what resolvers would choke on in a policy zone, ours or not, or in the folder of a release.

    An error is what makes a server refuse the file or block wrongly; a warning is what some servers do otherwise.

    \b
    Exit codes: 0 no errors, 1 errors, 2 usage.
    """  # noqa: D301  (click's own mark)
    refuse_store(settings)
    _check_zone(zone)
    serial = None if after is None else _serial(after)
    found = [(name, _lint(name, zone, serial)) for name in _files(path)]
    finish(settings, _members(found))
    errors = sum(linter.findings.of("error") for _name, linter in found)
    if not settings.json:
        _show(path, found)
    if errors:
        sys.exit(1)


def _check_zone(zone: str) -> None:
    from blocklist.lint.zone_reader import EntryError, name, wire_length

    try:
        if zone and wire_length(name(zone).rstrip(".")) <= 200:
            return
    except EntryError:
        pass
    if zone:
        raise UsageError(_("{zone!r} is no name of a zone", zone=zone[:80]), _("for example --zone rpz.example"))


def _files(path: Path) -> list[Path]:
    """The file itself, or those of a release.

    Raises:
        UsageError: There is nothing to read.
    """
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.iterdir()) if file.is_file() and file.suffix not in _NOT_LINTED]
    if not any(file.name == _ZONE for file in found):
        raise UsageError(
            _("{path} holds no {file}", path=path, file=_ZONE), _("give a zone, or the folder of one release")
        )
    return found


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        if not durable.is_plain(path.resolve()):
            raise UsageError(_("{path} is no plain file", path=path), _("give a zone, or the folder of one release"))
        with path.open("rb") as stream, progress(_("reading"), path.stat().st_size) as advance:
            while chunk := stream.read(_CHUNK):
                yield chunk
                advance(len(chunk))
    except OSError as fault:
        raise UsageError(
            _("{path} cannot be read: {fault}", path=path, fault=fault.strerror or fault),
            _("give a zone, or the folder of one release"),
        ) from fault


def _is_zone(path: Path) -> bool:
    """Whatever is no other file of a release is taken for a zone, since zones have all kinds of names."""
    others = {entry.file for entry in FORMATS.values() if not entry.file.endswith(ZONE_SUFFIX)}
    return path.name not in others | {"SHA256SUMS"} and path.suffix not in (".json", ".jsonl")


def _lint(path: Path, zone: str, after: int | None) -> ZoneLinter | TextLinter:
    linter = ZoneLinter(zone, after) if _is_zone(path) else TextLinter(path.name)
    for chunk in _chunks(path):
        linter.feed(chunk)
    linter.close()
    return linter


def _serial(path: Path) -> int:
    """The serial of an earlier zone or release.

    Raises:
        UsageError: It has none.
    """
    path = path / _ZONE if path.is_dir() else path
    linter = ZoneLinter()
    for chunk in _chunks(path):
        linter.feed(chunk)
        if linter.serial is not None:
            return linter.serial
    linter.close()
    if linter.serial is None:
        raise UsageError(_("{path} has no serial", path=path), _("give an earlier zone, or the folder of a release"))
    return linter.serial


def _members(found: list[tuple[Path, ZoneLinter | TextLinter]]) -> dict[str, object]:
    """Everything as JSON; of each rule at most the first hundred findings are listed, and all are counted."""
    return {
        "errors": sum(linter.findings.of("error") for _path, linter in found),
        "warnings": sum(linter.findings.of("warning") for _path, linter in found),
        "files": [
            {
                "file": str(path),
                "counts": linter.findings.counts,
                "findings": [
                    {**finding.to_json(), "servers": list(RULES[rule].effects)}
                    for rule in linter.findings.rules
                    for finding in linter.findings.examples[rule]
                ],
            }
            for path, linter in found
        ],
    }


def _show(path: Path, found: list[tuple[Path, ZoneLinter | TextLinter]]) -> None:
    rows = [row for file, linter in found for row in _rows(file.name, linter.findings)]
    if rows:
        table((_("WHERE"), _("NAME"), _("WHAT")), rows)
    errors, warnings = (sum(linter.findings.of(severity) for _path, linter in found) for severity in _SEVERITIES)
    where = str(path) if len(found) == 1 else plural("{count} file", "{count} files", len(found))
    say(
        _(
            "{where}: {errors}, {warnings}",
            where=where,
            errors=plural("{count} error", "{count} errors", errors),
            warnings=plural("{count} warning", "{count} warnings", warnings),
        )
    )


def _rows(file: str, findings: Findings) -> Iterator[tuple[str, str, str]]:
    for rule in findings.rules:
        shown = findings.examples[rule][:_SHOWN]
        for finding in shown:
            yield _row(file, finding, first=finding is shown[0])
        more = findings.counts[rule] - len(shown)
        if more > 0:
            yield "", "", plural("… and {count} more", "… and {count} more", more)


def _row(file: str, finding: Finding, *, first: bool) -> tuple[str, str, str]:
    """One line of the table; what the rule says is told once."""
    where, owner = f"{file}:{finding.line}", shown_owner(finding)
    if not first:
        return where, owner, finding.rule
    rule = RULES[finding.rule]
    severity = urgent(_("error")) if rule.severity == "error" else _("warning")
    effects = "; ".join(f"{server}: {effect}" for server, effect in affected(finding.rule))
    what = f"{severity} {finding.rule}: {described(finding.rule)}"
    advice = _("to do: {hint}", hint=_(rule.hint))
    return where, owner, "; ".join(filter(None, (what, effects, advice)))
