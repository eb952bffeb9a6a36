"""`status` at a provider: how each list stands, from the state folder alone, and the same as metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base import durable
from blocklist.client.state import Last, ListState
from blocklist.register.decoders import folder_name, format_instant

if TYPE_CHECKING:
    from blocklist.client.state import Record
    from blocklist.client.subscription import Subscription, Target


@dataclass(frozen=True, slots=True)
class Standing:
    """How one list stands; `record` is None before the first pull, `last` when no pull has ended yet."""

    list_id: str
    targets: tuple[Target, ...]
    record: Record | None
    last: Last | None
    now: datetime

    @property
    def is_stale(self) -> bool:
        """Whether no release is accepted that is still valid."""
        return self.record is None or self.now >= self.record.newest.valid_until

    def state_of(self, target: Target) -> str:
        """`installed`, `changed` (by somebody else), `missing`, or `failed` (it could not be installed)."""
        installed = self.record and self.record.installed.get(str(target.path))
        if not installed or not installed.sha256:
            return "failed"
        if not durable.stamp(target.path):
            return "missing"
        return "installed" if installed.holds(target.path) else "changed"

    def to_json(self) -> dict[str, object]:
        """For `--json`; an instant that is not known is null."""
        record, last = self.record, self.last
        targets = [
            {"format": target.format, "path": str(target.path), "state": self.state_of(target)}
            for target in self.targets
        ]
        members: dict[str, object] = {
            "list": self.list_id,
            "stale": self.is_stale,
            "targets": targets,
            "last_pull": last and format_instant(last.at),
            "last_exit_code": last and last.exit_code,
            "last_error": last and last.message,
            "last_success": last and last.success and format_instant(last.success),
        }
        if record is None:
            return members
        newest, base = record.newest, record.base
        return members | {
            "release": folder_name(newest.instant),
            "valid_until": format_instant(newest.valid_until),
            "head": newest.head.to_json(),
            "names": record.names,
            "let_in": folder_name(base.instant),
            "held": record.held and format_instant(record.held),
            "waiting": record.waits and record.held is None,
            "kept": [folder_name(accepted.instant) for accepted in record.kept],
        }


def standings(subscription: Subscription, now: datetime) -> list[Standing]:
    """How every list of a subscription stands.

    Raises:
        UsageError: A record is damaged.
    """
    states = {list_id: ListState.of(subscription, list_id) for list_id in subscription.lists}
    return [
        Standing(list_id, subscription.lists[list_id], state.record(), Last.load(state.folder), now)
        for list_id, state in states.items()
    ]


def write_metrics(path: Path, every: Iterable[Standing]) -> None:
    """Write the metrics of a subscription for the textfile collector of Prometheus' node exporter.

    Raises:
        TargetError: The file could not be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    gauges = {name: Gauge(f"blocklist_{name}", text, ["list"], registry=registry) for name, text in _METRICS.items()}
    for standing in every:
        for name, value in _values(standing).items():
            gauges[name].labels(standing.list_id).set(value)
    durable.replace(path, generate_latest(registry))


_METRICS = {
    "release_timestamp_seconds": "Instant of the accepted release, which is its number.",
    "release_age_seconds": "Age of the accepted release when this was written.",
    "valid_until_timestamp_seconds": "When the accepted release stops being valid.",
    "head": "Number of the last act of the accepted release.",
    "entries": "Names that are installed.",
    "last_pull_timestamp_seconds": "When the last pull ended.",
    "last_success_timestamp_seconds": "When a pull ended with exit code 0 last.",
    "last_exit_code": "Exit code of the last pull.",
    "stale": "1 if no accepted release is valid.",
    "held": "1 if the list is held by a rollback.",
    "waiting": "1 if additions wait for the operator's word.",
    "targets_failed": "Targets that do not hold what was accepted.",
}


def _values(standing: Standing) -> dict[str, float]:
    record, last, now = standing.record, standing.last, standing.now
    values: dict[str, float] = {
        "stale": standing.is_stale,
        "targets_failed": sum(standing.state_of(target) != "installed" for target in standing.targets),
    }
    if record is not None:
        values |= {
            "release_timestamp_seconds": record.newest.release,
            "release_age_seconds": (now - record.newest.instant).total_seconds(),
            "valid_until_timestamp_seconds": record.newest.valid_until.timestamp(),
            "head": record.newest.head.seq,
            "entries": record.names,
            "held": record.held is not None,
            "waiting": record.waits and record.held is None,
        }
    if last is not None:
        values |= {"last_pull_timestamp_seconds": last.at.timestamp(), "last_exit_code": last.exit_code}
        if last.success is not None:
            values["last_success_timestamp_seconds"] = last.success.timestamp()
    return values
