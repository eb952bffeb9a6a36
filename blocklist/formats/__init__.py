"""Export formats: each is a pure function `(measures, policy, release) -> chunks of bytes`, in one small file.

Adding a format is adding its file and one line to `FORMATS`. A format sees only what is rendered: names, scopes and
dates; no entry carries a ground, an URL, a reference or a person (promise 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import import_module
from itertools import islice

from blocklist.errors import UsageError
from blocklist.fields import Ref, format_instant
from blocklist.measures import Measures
from blocklist.messages import _
from blocklist.names import is_host_name
from blocklist.policy import Policy

CHUNK = 8192
"""Names to a chunk: large enough to join fast, small enough that memory does not grow with the list."""

Render = Callable[[Measures, Policy, "Release"], Iterator[bytes]]


_FOLDER = "%Y%m%dT%H%M%SZ"


def folder_name(instant: datetime) -> str:
    """The name of the folder of the release of that instant, `20261122T120000Z`."""
    return instant.strftime(_FOLDER)


def folder_instant(name: str) -> datetime:
    """The instant of the release whose folder has that name.

    Raises:
        ValueError: It is no such name.
    """
    return datetime.strptime(name, _FOLDER).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Release:
    """What identifies one release: `number` is its instant in Unix seconds (DESIGN.md section 3)."""

    list_id: str
    environment: str
    register: str
    number: int
    freshness: int
    head: Ref
    count: int

    @cached_property
    def instant(self) -> datetime:
        """The instant at which the register was rendered."""
        return datetime.fromtimestamp(self.number, UTC)

    @cached_property
    def valid_until(self) -> datetime:
        """From this instant on the release is stale."""
        return self.instant + timedelta(seconds=self.freshness)

    @cached_property
    def folder(self) -> str:
        """The instant as a folder name, `20261122T120000Z`."""
        return folder_name(self.instant)

    def facts(self) -> dict[str, object]:
        """What every file of the release says of itself."""
        return {
            "list": self.list_id,
            "environment": self.environment,
            "release": self.folder,
            "number": self.number,
            "instant": format_instant(self.instant),
            "valid_until": format_instant(self.valid_until),
            "register": self.register,
            "head": self.head.to_json(),
            "names": self.count,
        }


def header(release: Release, policy: Policy, sign: str, remarks: Sequence[str] = ()) -> bytes:
    """The comment lines at the top of a file; `sign` is what starts a comment in its format."""
    lines = [
        f"{policy.title['en']} - {policy.title['fr']}",
        f"List {release.list_id}, environment {release.environment}, release {release.folder} ({release.number})",
        f"Made {format_instant(release.instant)}, valid until {format_instant(release.valid_until)}",
        f"{release.count} {'name' if release.count == 1 else 'names'} and a probe, {policy.probe}",
        "Verify: openssl cms -verify -cades -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS"
        " -CAfile seal.pem -no-CApath -no-CAstore -out /dev/null && sha256sum --strict --ignore-missing -c SHA256SUMS",
        f"Register {release.register}, head: act {release.head.seq}, {release.head.id}",
        *remarks,
    ]
    return "".join(f"{sign} {line}\n" for line in lines).encode()


def chunks(names: Iterable[str], template: str, underscored: str | None = None) -> Iterator[bytes]:
    """The lines of all names, joined in chunks.

    Args:
        names: In the order in which they are written.
        template: The lines of one name, with `{}` where the name stands.
        underscored: The lines of a name that no host can have, when these differ.
    """
    # A name joins the parts around it five times as fast as any way of formatting fills them in.
    parts = template.split("{}")
    others = parts if underscored is None else underscored.split("{}")
    left = iter(names)
    while chunk := list(islice(left, CHUNK)):
        yield "".join([name.join(parts if is_host_name(name) else others) for name in chunk]).encode()


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its id, the name of its file in a release, and the module that renders it."""

    id: str
    file: str

    def render(self, measures: Measures, policy: Policy, release: Release) -> Iterator[bytes]:
        """The file's content; `measures` must come from `Measures.rendered`."""
        render: Render = import_module(f"{__name__}.{self.id}").render
        return render(measures, policy, release)


FORMATS: Mapping[str, Format] = {
    entry.id: entry
    for entry in (
        Format("rpz", "rpz.zone"),
        Format("hosts", "hosts.txt"),
    )
}


def get(format_id: str) -> Format:
    """The format of that id.

    Raises:
        UsageError: There is none.
    """
    try:
        return FORMATS[format_id]
    except KeyError as fault:
        raise UsageError(
            _("the format {format_id} is unknown", format_id=format_id),
            _("choose from {choices}", choices=", ".join(sorted(FORMATS))),
        ) from fault
