"""A plan: what a release changes against the one before, and why it may need a person's word.

It is a function of two snapshots, so a subscriber computes the same plan from the same acts (promises 4 and 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from blocklist.base.errors import RefusedError
from blocklist.base.i18n import plural
from blocklist.names.domain_name import Name
from blocklist.names.name_set import Names
from blocklist.register.measures import Measure, Measures, State, difference
from blocklist.register.policy import Brakes
from blocklist.release.snapshot import Snapshot

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
