"""`pull`: the eight steps, for each list of a subscription (docs/design.md).

Whatever step fails, the files that are installed stay as they are, and so does the record of what was accepted. A
publisher that lost its keys to a thief cannot get a name past step 4: the officers' acts are replayed here and the
exports are rebuilt here, byte for byte. One list never holds another, nor one target another.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from blocklist.base import durable
from blocklist.base.durable import Written
from blocklist.base.errors import (
    BlocklistError,
    RefusedError,
    StaleError,
    TargetError,
    UnreachableError,
    VerificationError,
)
from blocklist.base.i18n import _, plural
from blocklist.client import install
from blocklist.client.fetch import Acts, Publisher, first_octets
from blocklist.client.install import Candidates, Outcome, clear
from blocklist.client.state import (
    MAX_STATE,
    Accepted,
    Last,
    ListState,
    Record,
    forget,
    locked,
    nothing_new,
    remember,
    targets_hold,
)
from blocklist.client.subscription import ANY_CHANGE, Options, Subscription, Target, load
from blocklist.client.transport import Deadline, Transport, transport
from blocklist.client.verify_acts import (
    TELL,
    Edition,
    Offer,
    Replayed,
    edition,
    installation,
    installed_edition,
    replay_offer,
)
from blocklist.names.domain_name import Names, above, within
from blocklist.names.guards import wide
from blocklist.register import replay
from blocklist.register.decoders import folder_name, format_instant
from blocklist.release import formats
from blocklist.release.contents import BrakeError, Plan, announced, brakes, changes, exports, make_plan
from blocklist.release.manifest import ANNOUNCED, CHANGES
from blocklist.release.notices import compare


def pull(config: Path, now: datetime, options: Options) -> list[Outcome]:
    """Bring the targets of every list of a subscription up to date.

    Args:
        config: Where the subscription is.
        now: The clock.
        options: What the operator said.

    Returns:
        What happened, for each list; what went wrong is in there too.

    Raises:
        BlocklistError: The pull could not begin: the subscription is not valid, another pull runs, or the state folder
            cannot be used.
    """
    subscription = load(config.absolute())
    deadline = Deadline(subscription.deadline)
    with locked(subscription.path), closing(transport(subscription, deadline)) as way:
        if not (options.adopt or options.resume):
            found = nothing_new(subscription, way, now, prune_lapsed=options.prune_lapsed)
            if found is not None:
                return [Outcome(list_id, release, installed=paths) for list_id, (release, paths) in found.items()]
        for target in itertools.chain(*subscription.lists.values()):
            with suppress(OSError):
                clear(target.path)
        outcomes = _take_steps(subscription, now, options, way, deadline)
        for outcome in outcomes:
            with suppress(BlocklistError):  # a full disk is told by the targets, and must not hide what they did
                _note(ListState.of(subscription, outcome.list_id), outcome, now)
        return outcomes


def _note(state: ListState, outcome: Outcome, now: datetime) -> None:
    before = Last.load(state.folder)
    message = outcome.errors[0].message if outcome.errors else ""
    success = now if outcome.exit_code == 0 else (before.success if before else None)
    state.make()
    Last(now, outcome.exit_code, message, success).save(state.folder)


def _take_steps(
    subscription: Subscription, now: datetime, options: Options, way: Transport, deadline: Deadline
) -> list[Outcome]:
    forget(subscription.path)
    lists = [_ListPull(subscription, list_id, now, options, deadline) for list_id in subscription.lists]
    for entry in lists:
        entry.guarded(entry.finish)
    publisher: Publisher | None = None
    try:
        publisher = Publisher(subscription, _pinned_root(subscription), way)
        publisher.refresh()  # 1
    except BlocklistError as fault:
        for entry in lists:
            entry.fails(fault)
    else:
        for entry in lists:
            entry.guarded(entry.run, publisher)
    for entry in lists:
        entry.guarded(entry.prune)
    settled = {entry.outcome.list_id: record for entry in lists if (record := entry.settled)}
    if publisher is not None and len(settled) == len(lists):
        remember(subscription, publisher, settled)
    return [entry.outcome for entry in lists]


def _pinned_root(subscription: Subscription) -> bytes:
    path = subscription.state / "root.json"
    hint = _("run 'blocklist subscribe' again with the root's file")
    root = durable.read(path, _("the pinned root"), MAX_STATE, hint)
    if hashlib.sha256(root).hexdigest() != subscription.root:
        raise VerificationError(
            _("{path} is not the root that {subscription} pins", path=path, subscription=subscription.path),
            _("restore the file"),
        )
    return root


class _ListPull:
    """The pull of one list; `outcome` says how far it came."""

    def __init__(
        self, subscription: Subscription, list_id: str, now: datetime, options: Options, deadline: Deadline
    ) -> None:
        self.outcome = Outcome(list_id)
        self._subscription = subscription
        self._list_id = list_id
        self._now = now
        self._options = options
        self._deadline = deadline
        self._state = ListState.of(subscription, list_id)
        self._record: Record | None = None

    @property
    def _targets(self) -> tuple[Target, ...]:
        return self._subscription.lists[self._list_id]

    @property
    def settled(self) -> Record | None:
        """The record, if nothing is left to do until the publisher shows something new."""
        record = self._record
        return None if record is None or self.outcome.errors or record.held or record.waits else record

    def guarded(self, step: Callable[..., None], *arguments: object) -> None:
        """Take a step, and keep what goes wrong for the outcome."""
        if self.outcome.error is None or step == self.prune:
            try:
                step(*arguments)
            except BlocklistError as fault:
                self.fails(fault)
            except OSError as fault:  # what was kept here cannot be read
                problem = _("{path}: {fault}", path=fault.filename or "-", fault=fault.strerror or fault)
                self.fails(TargetError(problem, _("the list that is installed stays; look at this machine's disk")))

    def fails(self, fault: BlocklistError) -> None:
        """Note why the list is not brought up to date, and what that means for what is installed."""
        newest = self._record.newest if self._record else None
        if newest is not None and isinstance(fault, UnreachableError) and self._now >= newest.valid_until:
            fault = StaleError(fault.message, fault.hint)
        if newest is not None and isinstance(fault, StaleError):
            stays = _(
                "{fault}; release {release}, valid until {valid_until}, stays installed",
                fault=fault.message,
                release=folder_name(newest.instant),
                valid_until=format_instant(newest.valid_until),
            )
            fault = StaleError(stays, fault.hint)
        if self.outcome.error is None:
            self.outcome.error = fault
        else:
            self.outcome.failures += (fault,)

    # Before the network: what an interrupted pull left

    def finish(self) -> None:
        """Read what was accepted; if the machine died during an installation, do the rest of it."""
        self._state.make()
        record = self._record = self._state.record()
        self._state.clear(record)
        if record is None:
            return
        self.outcome.release = record.newest.release
        if record.installing:
            with suppress(VerificationError):  # the acts that are kept were damaged: step 3 fetches them anew
                self._finish(record)

    def _finish(self, record: Record) -> None:
        known = installation(self._state, record, self._now, self._options.progress)
        chosen = known.edition(record, self._now)
        self._install_anew(chosen, record)
        self.outcome.notes.append(_("the last pull was interrupted while it installed; it is finished now"))

    def run(self, publisher: Publisher) -> None:
        """Take the steps that follow the refresh of the metadata.

        Raises:
            BlocklistError: A step failed, or a brake stops additions; what is installed is untouched or complete.
        """
        offer = Offer.read(publisher, self._list_id, self._state.pin_path)  # 1: what the heads and the publisher signed
        publisher.keep()
        offer.check(self._list_id, self._subscription.environment, self._record, self._now)  # 2: it follows
        if self._record is not None and self._is_unchanged(offer, self._record):
            self._check_fresh(self._record.newest.valid_until)
            self.outcome.installed = tuple(self._record.installed)
            self._say_held(self._record)
            return
        try:
            acts = self._fetch(publisher, offer)  # 3: the acts, as they were signed
            replayed = self._replay(offer, acts)  # 4: what they say
            made, plan = self._plans(replayed)
            braked = self._braked(plan, replayed)  # 5: the provider's own brakes
            chosen = self._chosen(replayed, braked)
            with install.render(self._targets, chosen.shown) if chosen else Candidates() as candidates:
                published = candidates if chosen and not chosen.shown.changed else Candidates()
                self._check_exports(publisher, replayed, made, published)  # 4: what was published is what they say
                self.outcome.notes += replayed.notes
                if chosen is not None:
                    after = self._keep_acts(offer, acts, self._after(offer, chosen, plan, replayed))
                    self._apply(chosen, after, candidates, plan)  # 6, 7 and 8: check, install and reload, write down
                    self._tell(replayed, plan)
                    self._keep_register(replayed, after)
            if braked is not None:
                raise braked
        finally:
            self._state.clear(self._record)

    # Step 2: is there anything to do

    def _is_unchanged(self, offer: Offer, record: Record) -> bool:
        """Whether this is the accepted release, nothing of it waits, and every target holds what was installed."""
        waits = record.waits and (record.held is None or self._options.resume)
        if offer.number != record.newest.release or waits or (record.held and self._options.resume):
            return False
        return (
            self._state.holds_acts(record)
            and not record.left_out_early(self._now)
            and targets_hold(record, self._targets)
        )

    def _check_fresh(self, valid_until: datetime) -> None:
        """The validity that the heads adopted, whatever expiry the publisher wrote: no old instant keeps a lapsed name.

        Raises:
            StaleError: It has ended.
        """
        if self._now >= valid_until:
            raise StaleError(
                _("the newest release was valid until {valid_until}", valid_until=format_instant(valid_until)),
                _("the list that is installed stays; tell the office if this goes on"),
            )

    # Steps 3 and 4: the acts, and what they say

    def _fetch(self, publisher: Publisher, offer: Offer) -> Acts:
        """Fetch the acts that follow those that are kept."""
        known = self._state.acts_path(self._record) if self._record else self._state.folder / "none"
        length = self._record.newest.acts_length if self._record else 0
        return publisher.download(offer.acts, self._state.news_path, known, length)

    def _replay(self, offer: Offer, acts: Acts) -> Replayed:
        of = (self._list_id, self._subscription.environment)
        replayed = replay_offer(
            offer, acts, self._state, self._record, of, self._now, self._options.progress, self._deadline
        )
        self._check_fresh(replayed.now.release().valid_until)
        return replayed

    @staticmethod
    def _plans(replayed: Replayed) -> tuple[Plan, Plan]:
        """Return what the release changes against what is installed, and that plan with what counts as added here.

        What was let in once and has ended since is not there any more: listed anew, it is an addition.
        """
        decisions = replayed.register.measures()
        made = make_plan(replayed.base, replayed.now, decisions)
        if replayed.base is None or replayed.seen is None or replayed.seen is replayed.base:
            return made, made
        left = replayed.seen.measures.let_in(replayed.base.measures, replayed.base.head.seq)
        added = make_plan(replace(replayed.base, measures=left), replayed.now, decisions).added
        return made, replace(made, added=added)

    def _check_exports(self, publisher: Publisher, replayed: Replayed, plan: Plan, candidates: Candidates) -> None:
        """Step 4: what the publisher signed is what the acts say, byte for byte; `candidates` are rendered already."""
        now = replayed.now
        if replayed.since is not replayed.base:
            plan = make_plan(replayed.since, now, replayed.register.measures())
        self._compare(publisher, CHANGES, durable.digest(changes(replayed.since, now, plan)))
        self._compare(publisher, ANNOUNCED, durable.digest(announced(now)))
        if unknown := formats.unknown(now.policy.formats):
            listed = ", ".join(unknown)
            replayed.notes.append(
                _("the list is also published as {formats}, which this program does not know", formats=listed)
            )
        rendered = {candidate.target.format: candidate.content for candidate in candidates.staged}
        for format_id in {target.format for target in self._targets} & set(now.policy.formats):
            content = rendered.get(format_id)
            if content is None:
                ((_name, chunks),) = exports(now, [format_id])
                content = durable.digest(chunks)
            self._compare(publisher, formats.get(format_id).file, content)

    def _compare(self, publisher: Publisher, name: str, content: Written) -> None:
        signed = publisher.find(f"{self._list_id}/{name}")
        if signed is None or content != (signed.hashes.get("sha256"), signed.length):
            raise VerificationError(_("{name} is not what the officers' acts say", name=name), _(TELL))

    # Step 5: the provider's own brakes; an ending that the replay explained is never braked (promise 6)

    def _braked(self, plan: Plan, replayed: Replayed) -> BlocklistError | None:
        """Why the additions of a release have to wait, if they have to."""
        record, accept = self._record, self._options.accept
        if record is not None and record.held and not self._options.resume:
            if not replayed.moved:
                return None  # the operator holds the list, and knows it
            return RefusedError(
                _("the heads ended a fork, and the list is held"), _("let the newest in: blocklist pull --resume")
            )
        if accept == plan.checksum:
            return None
        reasons = [] if record is None else brakes(replace(plan, removed=Names()), self._subscription.brakes)
        parents = replayed.register.measures().all_parents()
        reasons += wide(plan.added, parents, test=self._subscription.environment == "test")
        if never := self._never(plan):
            reasons.append(_("{names} must never be blocked here", names=", ".join(never[:5])))
        if reasons:
            hint = _("if this is meant: blocklist pull --accept {checksum}", checksum=plan.checksum)
            return BrakeError("; ".join(reasons), hint, plan)
        if record is None and accept != ANY_CHANGE and not self._options.confirm(plan):
            return BrakeError(
                _("a first pull needs your word; names to install: {count}", count=len(plan.added)),
                _(
                    "look at the plan, then run 'blocklist pull --accept' or '--accept {checksum}'",
                    checksum=plan.checksum,
                ),
                plan,
            )
        return None

    def _never(self, plan: Plan) -> list[str]:
        """The additions that block a never-block name: below it, the name itself, or a domain above it."""
        never = self._subscription.never_block
        if not never:
            return []
        parents = above(never)
        below = [text for text in (*plan.added.domain, *plan.added.host) if within(text, never)]
        return [*(text for text in plan.added.domain if text in parents), *below]

    def _chosen(self, replayed: Replayed, braked: BlocklistError | None) -> Edition | None:
        """What is installed of the release; None when nothing of it may be, or need be."""
        record, base, now = self._record, replayed.base, self._now
        # Past its review date nothing is shown again that was left out, and nothing at all where parts are left out.
        lapsed_at = now if self._options.prune_lapsed else None
        if record is None or base is None:
            return None if braked else edition(replayed.now, record, now, lapsed_at=lapsed_at)
        if record.held and not self._options.resume and braked is None:
            return edition(replayed.now, record, now, base=base, lapsed_at=now, held=True)
        if braked is None:
            if lapsed_at is None and replayed.now is replayed.seen and record.lapsed_at is not None:
                lapsed_at = min(record.lapsed_at, now)
            return edition(replayed.now, record, now, lapsed_at=lapsed_at)
        if replayed.moved or replayed.seen is None:
            return None
        # Additions wait. What has ended comes back all the same.
        there = installed_edition(replayed.seen, base, record, now).shown.measures
        wanted = edition(replayed.now, record, now, base=base, lapsed_at=now, held=record.held is not None)
        holds = targets_hold(record, self._targets)
        return None if holds and there.same_names(wanted.shown.measures) else wanted

    def _after(self, offer: Offer, chosen: Edition, plan: Plan, replayed: Replayed) -> Record:
        """The record once this edition is installed."""
        record, accepted = self._record, _accepted(offer, replayed)
        if record is None or replayed.moved:
            fresh = Record(replayed.register.id, "", accepted, (accepted,), accepted.release)
            return replace(fresh, serial=record.serial, installed=record.installed) if record else fresh
        if chosen.let_in != accepted.release:
            return replace(record, newest=accepted)
        other_names = bool(len(plan.added) + len(plan.removed) + len(plan.lapsed))
        if record.kept[0].release != record.let_in:  # after a rollback
            other_names = replayed.last is None or not replayed.last.measures.same_names(replayed.now.measures)
        return record.let_all_in(accepted, other_names=other_names)

    # Steps 6 to 8

    def _keep_acts(self, offer: Offer, acts: Acts, after: Record) -> Record:
        """Keep the acts with those of the releases before; return the record that says where they are."""
        name = install.commit_acts(self._state, acts, self._record, offer.head)
        return replace(after, acts=name, acts_stamp=durable.stamp(self._state.folder / name))

    def _keep_register(self, replayed: Replayed, after: Record) -> None:
        """Keep the verified register, so that the next replay begins there."""
        if replayed.count > replay.KEEP_AFTER and replayed.register.head == after.newest.head:
            octets = first_octets(self._state.acts_path(after), after.newest.acts_length)
            replay.keep(self._state.verified_path, replayed.register, durable.digest(octets))

    def _apply(self, chosen: Edition, after: Record, candidates: Candidates, plan: Plan | None) -> None:
        applied = install.apply(
            self._subscription, self._record, after, chosen, candidates, plan, self._now, adopt=self._options.adopt
        )
        self._record = applied.record
        outcome = self.outcome
        outcome.release, outcome.changed = applied.record.newest.release, applied.changed
        outcome.installed, outcome.failures = applied.installed, applied.failures
        outcome.plan = plan
        self._say_held(applied.record)

    def _install_anew(self, chosen: Edition, record: Record) -> None:
        """Install another edition of what is accepted already."""
        with install.render(self._targets, chosen.shown) as candidates:
            self._apply(chosen, record, candidates, self.outcome.plan)

    def _tell(self, replayed: Replayed, plan: Plan) -> None:
        """What the provider is told: what changed since the release that it accepted last."""
        before, since, decisions = replayed.seen, replayed.since, replayed.register.measures()
        if before is not replayed.base:
            plan = make_plan(before, replayed.now, decisions)
        number = int(since.instant.timestamp()) if since else None
        first = before is None and since is not None
        self.outcome.notice = compare(before, replayed.now, plan, decisions, number, first=first)

    def _say_held(self, record: Record) -> None:
        if record.held:
            self.outcome.notes.append(
                _(
                    "held at release {release} since {instant}; 'blocklist pull --resume' lets the newest in",
                    release=folder_name(record.base.instant),
                    instant=format_instant(record.held),
                )
            )

    # Whatever the publisher does: no name stays beyond its review date, if the provider wants that

    def prune(self) -> None:
        """Leave out what has lapsed since, with `--prune-lapsed`: a part of what was signed, by the signed dates."""
        record = self._record
        if not self._options.prune_lapsed or record is None or record.lapses is None or self._now < record.lapses:
            return
        known = installation(self._state, record, self._now, self._options.progress)
        held = record.held is not None
        base = known.base if record.waits or held else None
        chosen = edition(known.newest, record, self._now, base=base, lapsed_at=self._now, held=held)
        failures = self.outcome.failures
        self._install_anew(chosen, record)
        self.outcome.failures = (*failures, *self.outcome.failures)
        self.outcome.notes.append(
            plural(
                "{count} name is left out: its review date has passed, and no newer release has come",
                "{count} names are left out: their review dates have passed, and no newer release has come",
                chosen.lapsed,
            )
        )


def _accepted(offer: Offer, replayed: Replayed) -> Accepted:
    shown = replayed.now
    return Accepted(
        offer.number, shown.release().valid_until, offer.head, offer.acts.length, offer.branch, len(shown.measures)
    )
