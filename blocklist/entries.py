"""What a register keeps beside measures: officers, acts that wait, removal requests, recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from blocklist.fields import Names, Ref
from blocklist.signing import PublicKey

if TYPE_CHECKING:
    from blocklist.acts import Act

PENDING_FOR = timedelta(days=7)
"""How long an act waits for its approval; after that it has to be made anew."""


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody who signs, under a pseudonym; `until` is None while in office."""

    id: str
    role: str
    key: PublicKey
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that waits for approvals, with the officers who gave theirs."""

    act: Act
    ref: Ref
    approvals: tuple[str, ...] = ()

    @property
    def until(self) -> datetime:
        """The last instant at which it can be approved."""
        return self.act.at + PENDING_FOR


@dataclass(frozen=True, slots=True)
class Request:
    """A removal request and what came back; `clock` is T0, or the last clarification, which restarts it."""

    ref: Ref
    to: str
    names: Names | None
    since: datetime
    clock: datetime
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the qualified person recommended, and the answer."""

    ref: Ref
    names: Names | None
    outcome: str | None = None
