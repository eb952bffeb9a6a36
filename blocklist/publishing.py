"""`plan` and `publish`: what the publisher does from a timer, with its own keys and without any officer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blocklist import files
from blocklist.errors import RefusedError, VerificationError
from blocklist.messages import _
from blocklist.register import Register
from blocklist.release import (
    ACTS,
    ANNOUNCED,
    CHANGES,
    BrakeError,
    Plan,
    Snapshot,
    announced,
    brakes,
    changes,
    exports,
    make_plan,
    require_publishable,
    sums,
)
from blocklist.replay import replay
from blocklist.repository import Published
from blocklist.store import HeadMemory, Store
from blocklist.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Draft:
    """What a publish would do at this moment; `braked` says why it needs a person's word."""

    list_id: str
    current: Published | None
    before: Snapshot | None
    now: Snapshot
    plan: Plan
    braked: tuple[str, ...]

    @property
    def due(self) -> bool:
        """Whether there is anything to publish: other content, or half of the last release's validity gone."""
        if self.before is None or self.plan.content_changed:
            return True
        return self.now.instant - self.before.instant >= timedelta(seconds=self.now.policy.freshness) / 2


@dataclass(frozen=True, slots=True)
class Result:
    """The release that is current now, and whether this publish made it."""

    draft: Draft
    number: int
    path: Path
    changed: bool


def draft(workspace: Workspace, now: datetime) -> Draft:
    """What a publish would change, and why.

    Raises:
        VerificationError: The register or the tree is not what was signed.
    """
    list_id = workspace.only_list()
    store = Store(workspace.lists)
    try:
        return _draft(workspace, store, list_id, now)
    finally:
        store.close()


def _draft(workspace: Workspace, store: Store, list_id: str, now: datetime) -> Draft:
    memory = HeadMemory(workspace.keys.path)
    current = workspace.repository.current(list_id)
    before: Snapshot | None = None
    register = Register()
    for signed, register in replay(store.lines(list_id), now):
        if current is not None and signed.ref == current.head:
            before = Snapshot.take(register, datetime.fromtimestamp(current.number, UTC))
    memory.check(register)
    if current is not None and before is None:
        raise VerificationError(
            _("act {seq} of the last release is not in the register", seq=current.head.seq),
            _("this is an older copy or a fork of the register: restore the newest"),
        )
    earliest = datetime.fromtimestamp(workspace.repository.last_number() + 1, UTC)
    snapshot = Snapshot.take(register, max(now.replace(microsecond=0), register.at, earliest))
    plan = make_plan(before, snapshot, register.measures())
    return Draft(list_id, current, before, snapshot, plan, tuple(brakes(plan, snapshot.policy.brakes)))


def publish(workspace: Workspace, now: datetime, accept: str | None = None) -> Result:
    """Publish what was decided, if anything is to be published.

    Args:
        workspace: Whose register; its key folder holds the publisher's keys.
        now: The clock.
        accept: The checksum of the plan that may pass the brakes.

    Raises:
        RefusedError: A brake stops the plan, or another plan was accepted.
        VerificationError: The register or the tree is not what was signed.
        TargetError: The tree could not be written; the last release is still the current one.
    """
    with files.locked(workspace.lists / "publish.lock", "publish"):
        list_id = workspace.only_list()
        store = Store(workspace.lists)
        try:
            workspace.repository.mend()
            made = _draft(workspace, store, list_id, now)
            if accept is not None and accept != made.plan.checksum:
                raise RefusedError(
                    _("the plan is {checksum}, not {accept}", checksum=made.plan.checksum, accept=accept),
                    _("look at 'blocklist plan': something changed"),
                )
            if not made.due and made.current is not None and not workspace.repository.damaged(list_id):
                return Result(made, made.current.number, made.current.path, False)
            if made.braked and accept is None:
                hint = f"look at 'blocklist plan'; if it is meant: blocklist publish --accept {made.plan.checksum}"
                raise BrakeError("; ".join(made.braked), hint, made.plan)
            require_publishable(made.now)
            return _write(workspace, store, made)
        finally:
            store.close()


def _write(workspace: Workspace, store: Store, made: Draft) -> Result:
    release = made.now.release()
    since = None if made.before is None else {"number": made.plan.since, "head": made.before.head.to_json()}
    lines = itertools.islice(store.lines(made.list_id), made.now.head.seq)
    contents: Iterator[tuple[str, Iterator[bytes]]] = itertools.chain(
        [
            (ACTS, (line + b"\n" for line in lines)),
            (CHANGES, changes(made.before, made.now, made.plan)),
            (ANNOUNCED, announced(made.now)),
        ],
        exports(made.now, made.now.policy.formats),
    )
    path = workspace.repository.publish(
        release, since, contents, lambda digests: sums(made.now, digests), workspace.keys
    )
    return Result(made, release.number, path, True)
