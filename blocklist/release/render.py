"""The bytes of a release's files.

Everything here is a function of the register at two instants, so a subscriber renders the same bytes from the same acts
(promises 4 and 5).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from blocklist.base import digests
from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _
from blocklist.base.instants import format_instant
from blocklist.names.name_set import Names
from blocklist.register.decoders import encode
from blocklist.register.lifecycle import Request
from blocklist.register.measures import Measure, Measures
from blocklist.register.policy import documentation_addresses
from blocklist.release import formats
from blocklist.release.formats import CHUNK, header
from blocklist.release.manifest import ANNOUNCED, CHANGES
from blocklist.release.plan import DELAY, Plan, make_plan
from blocklist.release.snapshot import Snapshot


def require_publishable(now: Snapshot) -> None:
    """Refuse what this program cannot render, and to lead the public to an address that belongs to nobody.

    Raises:
        UsageError: A newer program's format is in the policy.
        RefusedError: A production policy has landing addresses that are reserved for documentation or private use.
    """
    for format_id in now.policy.formats:
        formats.get(format_id)
    reserved = documentation_addresses(now.policy)
    if now.environment == "production" and reserved:
        raise RefusedError(
            _("the landing address {reserved} cannot be reached from the internet", reserved=reserved[0]),
            _("a head adopts a policy with the office's own addresses in lists/{list_id}.yaml", list_id=now.list_id),
        )


def exports(now: Snapshot, format_ids: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """File name and content of each export; the probe is always in, so no export is ever empty."""
    release, rendered = now.release(), with_probe(now).rendered()
    for format_id in format_ids:
        entry = formats.get(format_id)
        yield entry.file, entry.render(rendered, now.policy, release)


def with_probe(now: Snapshot) -> Measures:
    """The measures and the probe, a name of the office itself that monitoring expects to be blocked."""
    probe = Measure(
        ground="probe", basis="probe", added=0, approved=0, since=now.instant, review_by=now.instant + DELAY
    )
    return replace(now.measures, host={**now.measures.host, now.policy.probe: probe})


def changes(before: Snapshot | None, now: Snapshot, plan: Plan) -> Iterator[bytes]:
    """The file `changes.json`: what was added and what ended since the release before, and by when to act."""
    since = None if before is None else {"number": plan.since, "head": before.head.to_json()}
    deadline = format_instant(now.instant + DELAY)
    yield _opening({"release": now.release().facts(), "since": since, "block_before": deadline})
    yield f',"restore_before":"{deadline}"'.encode()
    for key, names in (("added", plan.added), ("removed", plan.removed), ("lapsed", plan.lapsed)):
        yield f',\n"{key}":'.encode()
        yield from _name_lists(names)
    yield b"}\n"


def announced(now: Snapshot) -> Iterator[bytes]:
    """The file `announced.json`: removal requests, of which providers are informed at once (LCEN art. 6-1 al. 1)."""
    requests = [announcement(request) for request in now.requests]
    yield _opening({"release": now.release().facts()}) + b',\n"requests":[\n'
    yield b",\n".join(encode(request) for request in requests) + b"]}\n"


def announcement(request: Request) -> dict[str, object]:
    """What providers are told of one request; one to a platform has no names (it is about pages, not sites)."""
    entry: dict[str, object] = {
        "act": request.ref.seq,
        "to": request.to,
        "requested": format_instant(request.since),
        "state": request.outcome or "waiting",
    }
    if request.names is not None:
        entry["names"] = request.names.to_json()
    return entry


def _opening(members: Mapping[str, object]) -> bytes:
    """A JSON object without its closing brace, in the order given: `release` comes first."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()[:-1]


def _name_lists(names: Names) -> Iterator[bytes]:
    for opening, texts in ((b'{"domain":[', names.domain), (b'],"host":[', names.host)):
        yield opening
        for start in range(0, len(texts), CHUNK):
            # A canonical name needs no escape, so it is its own JSON.
            lines = '",\n"'.join(texts[start : start + CHUNK])
            yield f'{"," if start else ""}\n"{lines}"'.encode()
    yield b"]}"


def sums(now: Snapshot, digests: Mapping[str, str]) -> bytes:
    """The file `SHA256SUMS`: the same header as the exports, then one line a file."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return header(now.release(), now.policy, "#") + lines.encode()


def differing(
    before: Snapshot | None, snapshot: Snapshot, decisions: Measures, listed: Mapping[str, str]
) -> Iterator[str]:
    """Render every file of a release anew, but for the acts, and name those whose SHA-256 is another than `listed`.

    Formats that this program does not know are passed over (`formats.unknown`).

    Args:
        before: The release that it compares with.
        snapshot: What it shows.
        decisions: The last decision on every name.
        listed: The files with their SHA-256, as they were sealed.
    """
    others = [
        (CHANGES, changes(before, snapshot, make_plan(before, snapshot, decisions))),
        (ANNOUNCED, announced(snapshot)),
    ]
    for name, chunks in itertools.chain(exports(snapshot, formats.known(snapshot.policy.formats)), others):
        if digests.digest(chunks).sha256 != listed.get(name):
            yield name
