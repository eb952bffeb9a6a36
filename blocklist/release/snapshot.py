"""A snapshot: what the register says at one instant, as far as a release shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Request
from blocklist.register.measures import Measures
from blocklist.register.policy import Policy
from blocklist.release.formats import Changed, Release


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
