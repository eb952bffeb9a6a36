"""`plan` and `publish`: what the publisher does from a timer, with its own keys and without any officer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, TargetError, VerificationError
from blocklist.base.i18n import Progress, _, quietly
from blocklist.lint import linted
from blocklist.names.guards import wide
from blocklist.publisher.outbox import Outbox
from blocklist.publisher.release_folders import clear, prune
from blocklist.publisher.tree import QUALIFIED_SEAL, Published, Repository
from blocklist.publisher.tree_writer import commit, release_keys, staged
from blocklist.register import replay
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measures
from blocklist.register.replay import extend
from blocklist.release.contents import (
    BrakeError,
    Mark,
    Plan,
    Snapshot,
    announced,
    brakes,
    changes,
    exports,
    make_plan,
    require_publishable,
    sums,
    take_marked,
)
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS
from blocklist.release.notices import Notice, compare
from blocklist.store.store import HeadMemory, Store
from blocklist.trust.online_keys import also_sealed, sealed
from blocklist.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Draft:
    """What a publish would do at this moment; `braked` says why it needs a person's word.

    `told` is the release that the office's command was told of last, if one is to be told. `replayed` is how many acts
    were replayed, the others having been verified before. `bad` says why the last acts do not count: nothing that ends
    waits for their repair.
    """

    list_id: str
    current: Published | None
    before: Snapshot | None
    now: Snapshot
    register: Register
    replayed: int
    plan: Plan
    braked: tuple[str, ...]
    told: Snapshot | None = None
    bad: VerificationError | None = None

    @property
    def decisions(self) -> Measures:
        """The last decision on every name."""
        return self.register.measures()

    @property
    def due(self) -> bool:
        """Whether there is anything to publish: other content, or half of the last release's validity gone."""
        if self.before is None or self.plan.content_changed:
            return True
        return self.now.instant - self.before.instant >= timedelta(seconds=self.now.policy.freshness) / 2

    def notice(self) -> Notice:
        """What the release that it would make tells those who know the current one."""
        return compare(self.before, self.now, self.plan, self.decisions, self.plan.since)

    def outstanding(self, *, published: bool) -> Notice | None:
        """What the office's command was not told yet, with or without the release that this draft makes."""
        now = self.now if published else self.before
        if now is None:
            return None
        since = self.plan.since if published or self.current is None else self.current.since
        return compare(self.told, now, make_plan(self.told, now, self.decisions), self.decisions, since)


@dataclass(frozen=True, slots=True)
class Result:
    """The release that is current now, and whether this publish made it.

    `notified` says that the office's command took a notice; `failure` why it did not, or why old releases stay. The
    draft tells of acts that do not count.
    """

    draft: Draft
    number: int
    path: Path
    changed: bool
    notified: bool = False
    failure: TargetError | None = None


def draft(workspace: Workspace, now: datetime, progress: Progress = quietly) -> Draft:
    """What a publish would change, and why.

    Raises:
        VerificationError: The register, as far as it was published, or the tree is not what was signed.
    """
    with closing(workspace.open_store()) as store:
        list_id = workspace.chosen(store.lists())
        return _draft(workspace, Repository.of(workspace), store, list_id, now, progress)


def _draft(
    workspace: Workspace,
    tree: Repository,
    store: Store,
    list_id: str,
    now: datetime,
    progress: Progress,
    outbox: Outbox | None = None,
) -> Draft:
    """Replay the register, and compare what it says now with the release that is current."""
    memory = HeadMemory(workspace.keys.path)
    tree.require_not_ahead(
        now, _("check this machine's clock; else the heads run: blocklist trust rotate publisher --stolen")
    )
    current = tree.current(list_id)
    known = outbox.told(current) if outbox else None
    marks: list[Mark] = [(release.head, release.instant) for release in (current, known) if release is not None]
    register, taken = _begun(workspace, store, list_id, marks, now), dict[Mark, Snapshot]()
    begun, head = len(register.ids), store.head(list_id)
    new = head.seq - begun if head else 0
    if begun:
        take_marked(register, marks, taken)
    bad: VerificationError | None = None
    with progress(_("replaying the register"), new) as advance:
        try:
            for _signed in extend(register, store.lines(list_id, begun), now):
                take_marked(register, marks, taken)
                advance(1)
        except VerificationError as fault:
            bad = fault
    before = taken.get((current.head, current.instant)) if current else None
    if bad is None:
        memory.check(register)
    elif before is None:
        raise bad  # nothing was published yet, or something that is not here any more
    told = taken.get((known.head, known.instant)) if known else None
    if current is not None and before is None:
        raise VerificationError(
            _("act {seq} of the last release is not in the register", seq=current.head.seq),
            _("this is an older copy or a fork of the register: restore the newest"),
        )
    if outbox is not None and known is not None and told is None:
        raise outbox.lost(known)
    earliest = datetime.fromtimestamp(tree.last_number() + 1, UTC)
    snapshot = Snapshot.take(register, max(now.replace(microsecond=0), register.at, earliest))
    decisions = register.measures()
    plan = make_plan(before, snapshot, decisions)
    test, parents = snapshot.environment == "test", decisions.all_parents()
    braked = (*brakes(plan, snapshot.policy.brakes), *wide(plan.added, parents, test=test))
    return Draft(list_id, current, before, snapshot, register, len(register.ids) - begun, plan, braked, told, bad)


# The register as this publisher published it last: its own account's, in the folder of its keys. To begin there is
# safe because every envelope is compared with what was verified then; who could change both has the keys as well.


def _verified_path(workspace: Workspace, list_id: str) -> Path:
    return workspace.keys.path / "verified" / f"{list_id}.json"


def _begun(workspace: Workspace, store: Store, list_id: str, marks: Iterable[Mark], now: datetime) -> Register:
    """Return the register to begin with, no later than at any of the marks."""
    oldest = min((head.seq for head, _instant in marks), default=0)
    state = replay.kept(_verified_path(workspace, list_id), oldest, now)
    if state is not None and replay.came_from(state, store.acts(list_id, len(state.register.ids))):
        return state.register
    return Register()


def publish(
    workspace: Workspace,
    now: datetime,
    accept: str | None = None,
    notify: str | None = None,
    progress: Progress = quietly,
) -> Result:
    """Publish what was decided, if anything is to be published, and tell the office's command what is new.

    Args:
        workspace: Whose register; its key folder holds the publisher's keys.
        now: The clock.
        accept: The checksum of the plan that may pass the brakes.
        notify: A command line that reads notices from standard input.
        progress: Told about long work.

    Raises:
        RefusedError: A brake stops the plan, or another plan was accepted.
        UsageError: `notify` is no command line.
        VerificationError: The register, as far as it was published, or the tree is not what was signed, or the record
            of notices does not fit them.
        TargetError: The tree could not be written; the last release is still the current one.
    """
    with durable.locked(workspace.lists / "publish.lock", "publish"), closing(workspace.open_store()) as store:
        list_id, tree = workspace.chosen(store.lists()), Repository.of(workspace)
        outbox = Outbox(workspace.lists, list_id, notify) if notify is not None else None
        tree.mend()
        made = _draft(workspace, tree, store, list_id, now, progress, outbox)  # replay, snapshot, compare
        try:
            if accept not in (None, made.plan.checksum):
                raise RefusedError(
                    _("the plan is {checksum}, not {accept}", checksum=made.plan.checksum, accept=accept),
                    _("look at 'blocklist plan': something changed"),
                )
            clear(tree, list_id, made.now.release().number)
            if made.current is not None and not made.due and not tree.damaged(list_id):
                result = Result(made, made.current.number, made.current.path, False)
            else:
                _require_unbraked(made, accept)
                require_publishable(made.now)
                failure = _prune(tree, made)
                result = replace(_release(workspace, tree, store, made), failure=failure)
        except BlocklistError as fault:
            # A brake may wait for days; the news of what was published before does not.
            failure = _tell(outbox, made, published=False)[1]
            fault.hint = "\n".join([fault.hint, *(more.message for more in (made.bad, failure) if more is not None)])
            raise
        notified, failure = _tell(outbox, made, published=result.changed)
        return replace(result, notified=notified, failure=failure or result.failure)


def _require_unbraked(made: Draft, accept: str | None) -> None:
    if made.braked and accept is None:
        hint = _(
            "look at 'blocklist plan'; if it is meant: blocklist publish --accept {checksum}",
            checksum=made.plan.checksum,
        )
        raise BrakeError("; ".join(made.braked), hint, made.plan)


def _prune(tree: Repository, made: Draft) -> TargetError | None:
    """Make room first; an old file that cannot be removed holds no news, and is told."""
    if made.current is None:
        return None
    keep = timedelta(seconds=made.now.policy.keep)
    try:
        prune(tree.path, made.list_id, made.current, keep, made.now.instant)
    except TargetError as failure:
        return failure
    return None


def _release(workspace: Workspace, tree: Repository, store: Store, made: Draft) -> Result:
    """Render, lint, seal, sign and commit the release of a draft."""
    release, keys = made.now.release(), workspace.keys
    signing = release_keys(tree, made.list_id, keys)
    since = None if made.before is None else {"number": made.plan.since, "head": made.before.head.to_json()}
    with staged(tree, release) as folder:
        written = {name: durable.write_chunks(folder / name, chunks) for name, chunks in _contents(store, made)}
        content = sums(made.now, {name: entry.sha256 for name, entry in written.items()})
        written[SUMS] = durable.write_chunks(folder / SUMS, [content])
        written[SEAL] = durable.write_chunks(folder / SEAL, [sealed(tree.heads, content, release.instant, keys)])
        for second in also_sealed(tree.heads, content, release.instant, keys):
            written[QUALIFIED_SEAL] = durable.write_chunks(folder / QUALIFIED_SEAL, [second])
    path = commit(tree, release, written, since, signing)
    if made.replayed > replay.KEEP_AFTER:
        replay.keep(_verified_path(workspace, made.list_id), made.register, written[ACTS])
    return Result(made, release.number, path, True)


def _tell(outbox: Outbox | None, made: Draft, *, published: bool) -> tuple[bool, TargetError | None]:
    """Hand over what is outstanding; whatever comes of it, what is published stays published."""
    notice = made.outstanding(published=published) if outbox else None
    if outbox is None or notice is None:
        return False, None
    try:
        return outbox.hand_over(notice), None
    except TargetError as failure:
        return False, failure


def _contents(store: Store, made: Draft) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The name and the content of each file; what a resolver would refuse is an error, so it is never sealed."""
    for name, chunks in exports(made.now, made.now.policy.formats):
        yield name, linted(name, chunks, made.plan.since)
    yield ACTS, store.acts(made.list_id, made.now.head.seq)
    yield CHANGES, changes(made.before, made.now, made.plan)
    yield ANNOUNCED, announced(made.now)
