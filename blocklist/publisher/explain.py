"""Why a plan changes what it changes: the act or the date behind every name, and what the guards say of the list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from blocklist.names.domain_name import Name
from blocklist.register.decoders import format_instant

if TYPE_CHECKING:
    from blocklist.publisher.publish import Draft


@dataclass(frozen=True, slots=True)
class Change:
    """One name that a release adds or ends.

    Attributes:
        name: The name.
        what: `added`, `removed` (by an act) or `lapsed` (by its date).
        act: The number of the act behind it; for a lapse that of the approval.
        code: The ground of an addition, the reason of an ending; empty when the policy protects the name now.
        review_by: Until when the measure is, or was, in force unless it is reviewed.
    """

    name: Name
    what: str
    act: int | None
    code: str
    review_by: datetime | None

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "name": self.name.text,
            "scope": str(self.name.scope),
            "change": self.what,
            "act": self.act,
            "why": self.code,
            "review_by": self.review_by and format_instant(self.review_by),
        }


def changes_of(draft: Draft) -> Iterator[Change]:
    """Every change of a draft, additions first."""
    plan, decisions = draft.plan, draft.decisions
    for name in plan.added.each():
        measure = draft.now.measures.get(name)
        assert measure is not None  # noqa: S101  (it is there, or it would not be added)
        yield Change(name, "added", measure.approved, measure.ground, measure.review_by)
    for name in plan.removed.each():
        last = decisions.get(name)
        ended = last is not None and last.ended is not None
        act, reason = (last.ended_by, last.reason or "") if last is not None and ended else (None, "protected")
        yield Change(name, "removed", act, reason, last.review_by if last else None)
    for name in plan.lapsed.each():
        last = decisions.get(name)
        yield Change(name, "lapsed", last.approved if last else None, "", last.review_by if last else None)
