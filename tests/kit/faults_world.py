"""An office that publishes and a provider that pulls, both on disk, and what the provider may have installed then.

What was published is remembered name by name, so that a test can say which names are signed and in force.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.provider import Provider
from kit.site import Site

from blocklist.base.i18n import quietly
from blocklist.client.outcome import Outcome
from blocklist.client.rollback import RolledBack, rollback
from blocklist.client.state import ListState, Record, locked
from blocklist.client.subscription import Subscription
from blocklist.names.domain_name import Name, Scope
from blocklist.office import review
from blocklist.register.decoders import folder_name, parse_instant
from blocklist.release import formats

FORMATS = ("rpz", "hosts", "json")
PROBE = "probe.blocklist.example"


@dataclass(frozen=True)
class Release:
    """One published release: its names, each with its review date, and the bytes of the export of every format."""

    number: int
    path: Path
    names: dict[str, datetime]

    @property
    def folder(self) -> str:
        return self.path.name

    def file(self, format_id: str) -> bytes:
        return (self.path / formats.FORMATS[format_id].file).read_bytes()


class World:
    """A site and a provider that reads its tree; both have the clock of the site."""

    def __init__(self, site: Site, folder: Path, formats: Iterable[str] = FORMATS) -> None:
        self.site = site
        self.releases: dict[int, Release] = {}
        self.list_id = site.workspace.only_list()
        if not (site.exports / self.list_id).exists():
            self.publish()
        self.provider = Provider(folder, site.exports.as_uri(), site.root.read_bytes(), formats=formats)

    # The office

    def block(self, *names: str, review_by: datetime | None = None) -> None:
        self.site.block(*names, review_by=review_by)

    def renew(self, *names: str) -> None:
        """State that these are still unlawful; each stays until the longest date that the policy allows."""
        with self.site.office("agent-1") as office:
            listed = [Name(name, Scope.DOMAIN) for name in names]
            review.review(office, listed, "still-unlawful", None, "seen", [self.site.folder / "imprint.txt"])

    def publish(self) -> Release:
        """The release that is current after a publish."""
        done = self.site.publish()
        names = {
            name.text: measure.review_by
            for name in done.draft.now.measures.names()
            if (measure := done.draft.now.measures.get(name)) is not None
        }
        if done.changed:
            self.releases[done.number] = Release(done.number, done.path, names)
        return self.releases[done.number]

    def release(self, *names: str, review_by: datetime | None = None) -> Release:
        """Block names and publish that."""
        self.block(*names, review_by=review_by)
        return self.publish()

    # The provider

    def pull(self, **options: Any) -> Outcome:
        return self.provider.attempt(self.site.now, **options)

    def rollback(self, release: str | None = None) -> RolledBack:
        with locked(self.subscription.path):
            return rollback(self.subscription, self.list_id, release, self.site.now, quietly)

    @property
    def subscription(self) -> Subscription:
        return self.provider.subscription

    @property
    def state(self) -> ListState:
        return self.provider.list_state

    @property
    def record(self) -> Record:
        record = self.state.record()
        assert record is not None
        return record

    @property
    def kept(self) -> list[str]:
        """The folder names of the releases that can be returned to, newest first."""
        return [folder_name(accepted.instant) for accepted in self.record.kept]

    @property
    def names(self) -> set[str]:
        """The domains that are installed; every file says the same."""
        return installed_names({target.format: target.path for target in self.provider.targets})

    @property
    def serial(self) -> int:
        return serial_of(self.provider.installed())

    @property
    def files(self) -> dict[str, bytes]:
        return {target.format: target.path.read_bytes() for target in self.provider.targets}

    @property
    def marks(self) -> dict[str, tuple[int, int]]:
        """What tells whether somebody has touched an installed file."""
        marks = {}
        for target in self.provider.targets:
            status = target.path.stat()
            marks[target.format] = (status.st_ino, status.st_mtime_ns)
        return marks


def serial_of(zone: str) -> int:
    (serial,) = re.findall(r"^@ SOA localhost\. hostmaster\.localhost\. (\d+) 300 ", zone, re.M)
    return int(serial)


def remarks_of(text: str, sign: str = ";") -> list[str]:
    """What the header says of what the provider changed: what stands behind the line of the register."""
    lines = [line.removeprefix(f"{sign} ") for line in text.splitlines() if line.startswith(f"{sign} ")]
    (at,) = [number for number, line in enumerate(lines) if line.startswith("Register ")]
    own = {"Give the zone a name", "A hosts file blocks", "It holds addresses"}
    return [line for line in lines[at + 1 :] if not any(line.startswith(start) for start in own)]


def installed_names(paths: dict[str, Path]) -> set[str]:
    """The domains of the installed files, which have to agree with each other and with their headers."""
    text = {format_id: path.read_text() for format_id, path in paths.items()}
    found = {format_id: _READERS[format_id](content) for format_id, content in text.items()}
    (names,) = {frozenset(each) for each in found.values()}
    for format_id in {"rpz", "hosts"} & text.keys():
        (count,) = re.findall(r"^. (\d+) names? and a probe", text[format_id], re.M)
        assert int(count) == len(names), format_id
    if "json" in text and "rpz" in text:
        facts = json.loads(text["json"])["release"]
        assert facts["names"] == len(names)
        assert facts.get("changed", facts).get("serial", facts["number"]) == serial_of(text["rpz"])
        assert facts.get("changed", {}).get("remarks", []) == remarks_of(text["rpz"])
    return set(names)


def _in_zone(text: str) -> set[str]:
    owners = {line.split()[0] for line in text.splitlines() if re.match(r"\S+ A ", line)} - {PROBE}
    domains = {owner for owner in owners if not owner.startswith("*.")}
    assert owners - domains == {f"*.{name}" for name in domains}
    return domains


def _in_hosts(text: str) -> set[str]:
    names = {line.split()[1] for line in text.splitlines() if line[:1].isdigit()} - {PROBE}
    return {name for name in names if not name.startswith("www.")}


def _in_json(text: str) -> set[str]:
    rows = json.loads(text)["names"]
    assert all(parse_instant(row["review_by"]) for row in rows)
    return {row["name"] for row in rows} - {PROBE}


_READERS = {"rpz": _in_zone, "hosts": _in_hosts, "json": _in_json}
