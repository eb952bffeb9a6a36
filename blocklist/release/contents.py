"""What a release holds: the register at one instant, what that changes, and the bytes of each file.

Everything here is a function of the register at two instants, so a subscriber makes the same plan and renders the same
bytes from the same acts (promises 4 and 5).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import _, plural
from blocklist.names.domain_name import Name, Names
from blocklist.register.decoders import Ref, encode, format_instant
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measure, Measures, Request, State, difference
from blocklist.register.policy import Brakes, Policy, documentation_addresses
from blocklist.release import formats
from blocklist.release.manifest import ANNOUNCED, CHANGES
from blocklist.release.renderers import CHUNK, Changed, Release, header


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The register at one instant, as far as a release shows it. `measures` includes covered names."""

    register: str
    list_id: str
    environment: str
    head: Ref
    instant: datetime
    policy: Policy
    measures: Measures
    requests: tuple[Request, ...]
    changed: Changed | None = None

    @classmethod
    def take(cls, register: Register, instant: datetime) -> Snapshot:
        """What `register` says at `instant`; announced are the requests of the last review period, or changed in it."""
        window = instant - timedelta(seconds=register.policy.review)
        return cls(
            register.id,
            register.list_id,
            register.environment,
            register.head,
            instant,
            register.policy,
            register.in_force(instant),
            tuple(request for request in register.requests.values() if request.changed >= window),
        )

    def release(self) -> Release:
        """The release that shows this snapshot."""
        return Release(
            self.list_id,
            self.environment,
            self.register,
            int(self.instant.timestamp()),
            self.policy.freshness,
            self.head,
            len(self.measures),
            self.changed,
        )


Mark = tuple[Ref, datetime]
"""Where a snapshot is wanted: at the head and the instant of a release."""


def take_marked(register: Register, marks: Iterable[Mark], taken: dict[Mark, Snapshot]) -> None:
    """Take the snapshots that are wanted where a replay stands now."""
    for head, instant in marks:
        if register.head == head:
            taken[head, instant] = Snapshot.take(register, instant)


# What a release changes against the one before

DELAY = timedelta(hours=24)
"""What providers have to block what a release adds and to restore what it ends (décret 2015-125 art. 3 and 4)."""

PERCENT_FROM = 100
"""The percentage brake looks only at lists of more names than this; below it every addition is a large share."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a release changes: names by scope, sorted. `renewed` names stay and carry other dates."""

    since: int | None
    added: Names
    removed: Names
    lapsed: Names
    renewed: Names
    annulled: int
    before: int
    announced: bool
    policy_changed: bool

    @property
    def content_changed(self) -> bool:
        """Whether anything but the head and the clock differs."""
        names = len(self.added) + len(self.removed) + len(self.lapsed) + len(self.renewed)
        return bool(self.since is None or names or self.announced or self.policy_changed)

    @property
    def checksum(self) -> str:
        """128 bits over the release before and the sorted additions and endings; no clock."""
        digest = hashlib.sha256(f"{self.since}\n".encode())
        for sign, names in (("+", self.added), ("-", _union(self.removed, self.lapsed))):
            for scope, texts in names.by_scope():
                digest.update("\n".join((f"{sign}{scope}", *texts, "")).encode())
        return digest.hexdigest()[:32]


def make_plan(before: Snapshot | None, now: Snapshot, decisions: Measures) -> Plan:
    """Compare two snapshots; `decisions` is the last decision on every name, which says why one ended."""
    old = before.measures if before else Measures()
    domain, host = difference(old.domain, now.measures.domain), difference(old.host, now.measures.host)
    added, renewed, ended = (Names(*map(tuple, texts)) for texts in zip(domain, host, strict=True))
    return Plan(
        since=int(before.instant.timestamp()) if before else None,
        added=added,
        removed=_select(ended, lambda name: not _has_lapsed(decisions.get(name), now.instant)),
        lapsed=_select(ended, lambda name: _has_lapsed(decisions.get(name), now.instant)),
        renewed=renewed,
        annulled=len(_select(ended, lambda name: _is_annulled(decisions.get(name)))),
        before=len(old),
        announced=bool(set(now.requests) - set(before.requests if before else ())),
        policy_changed=before is not None and before.policy != now.policy,
    )


def _has_lapsed(last: Measure | None, instant: datetime) -> bool:
    return last is not None and last.state(instant) is State.LAPSED


def _is_annulled(last: Measure | None) -> bool:
    return last is not None and last.reason == "annulled"


def _select(names: Names, wanted: Callable[[Name], bool]) -> Names:
    return Names(*(tuple(text for text in texts if wanted(Name(text, scope))) for scope, texts in names.by_scope()))


def _union(left: Names, right: Names) -> Names:
    return Names(tuple(sorted((*left.domain, *right.domain))), tuple(sorted((*left.host, *right.host))))


class BrakeError(RefusedError):
    """The brakes stop a plan until somebody accepts exactly that."""

    def __init__(self, message: str, hint: str, plan: Plan) -> None:
        super().__init__(message, hint)
        self.plan = plan


def brakes(plan: Plan, limits: Brakes) -> list[str]:
    """Why this plan needs a person's word, or nothing. Lapses and annulments are never counted (promise 6)."""
    reasons = []
    added = len(plan.added)
    if added > limits.added:
        reasons.append(
            plural(
                "{count} name is added, more than {limit}",
                "{count} names are added, more than {limit}",
                added,
                limit=limits.added,
            )
        )
    if plan.before > PERCENT_FROM and added * 100 > limits.added_percent * plan.before:
        reasons.append(
            plural(
                "{count} name is added to {before}, more than {percent} percent",
                "{count} names are added to {before}, more than {percent} percent",
                added,
                before=plan.before,
                percent=limits.added_percent,
            )
        )
    removed = len(plan.removed) - plan.annulled
    if removed > limits.removed and removed * 2 > plan.before:
        reasons.append(
            plural(
                "{count} of {before} names is removed by acts",
                "{count} of {before} names are removed by acts",
                removed,
                before=plan.before,
            )
        )
    return reasons


# The files


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
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        if digest.hexdigest() != listed.get(name):
            yield name
