"""A subscriber on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.fixed import LIST

from blocklist.client import subscribe
from blocklist.client.install import Outcome
from blocklist.client.pull import pull
from blocklist.client.state import ListState
from blocklist.client.subscription import Options, Subscription, Target, load


def _yaml(subscription: Subscription) -> str:
    """The file of a subscription; JSON is YAML too."""
    members: dict[str, object] = {
        "url": subscription.url,
        "environment": subscription.environment,
        "root": subscription.root,
        "lists": {
            list_id: [{key: str(value) for key, value in asdict(target).items() if value} for target in targets]
            for list_id, targets in subscription.lists.items()
        },
        "brakes": {"added": subscription.brakes.added, "added_percent": subscription.brakes.added_percent},
        "never_block": sorted(subscription.never_block),
    }
    for key in ("ca", "client_certificate", "client_key", "proxy", "provider", "receipt_key"):
        if value := getattr(subscription, key):
            members[key] = str(value)
    return json.dumps(members, indent=1)


class Provider:
    """A subscriber on disk, with a target for each format, as `blocklist subscribe` makes it."""

    def __init__(
        self,
        folder: Path,
        url: str,
        root: bytes,
        *,
        environment: str = "test",
        formats: Iterable[str] = ("rpz", "hosts"),
        check: str = "",
        reload: str = "",
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.targets = [Target(entry, folder / f"installed.{entry}", check, reload) for entry in formats]
        self.subscription = subscribe.write(folder / "list.yaml", url, environment, root, [(LIST, self.targets)])

    @property
    def state(self) -> Path:
        """What is kept for the whole subscription."""
        return self.subscription.state

    @property
    def list_state(self) -> ListState:
        """What is kept for its one list."""
        (list_id,) = self.subscription.lists
        return ListState.of(self.subscription, list_id)

    @property
    def record_path(self) -> Path:
        return self.list_state.record_path

    @property
    def acts_path(self) -> Path:
        record = self.list_state.record()
        assert record is not None
        return self.list_state.acts_path(record)

    def edit(self, **changes: Any) -> None:
        """Change fields of the subscription, as if the operator had edited the file."""
        changed = replace(self.subscription, **changes)
        changed.path.write_text(_yaml(changed), encoding="utf-8")
        self.subscription = load(changed.path)

    def reload_with(self, command: str) -> None:
        """Give its targets a reload command, as an operator does once the resolver runs."""
        self.aim(*(replace(target, reload=command) for target in self.subscription.lists[LIST]))

    def aim(self, *targets: Target) -> None:
        """Have other targets, as if the operator had edited the file."""
        self.edit(lists={LIST: targets})

    def attempt(self, now: datetime, **options: Any) -> Outcome:
        """A pull; what goes wrong is in the outcome."""
        (outcome,) = pull(self.subscription.path, now, Options(**options))
        return outcome

    def pull(self, now: datetime, **options: Any) -> Outcome:
        """A pull of which only targets may fail."""
        outcome = self.attempt(now, **options)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def installed(self, format_id: str = "rpz") -> str:
        return (self.folder / f"installed.{format_id}").read_text()

    def accepted(self) -> dict[str, Any]:
        """The record; what it says of the newest release is lifted out."""
        record = json.loads(self.record_path.read_bytes())
        return {**record, **record["newest"], "installed": {p: on["sha256"] for p, on in record["installed"].items()}}

    def kept(self) -> dict[str, bytes]:
        """What a refused pull may not change: every installed file, the record, and the acts known so far."""
        state = [*self.list_state.folder.glob("acts-*"), self.record_path, self.list_state.receipt_path]
        paths = [path for path in (*self.folder.glob("*installed*"), *state) if path.is_file()]
        return {path.name: path.read_bytes() for path in paths}
