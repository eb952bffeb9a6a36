"""`pull`: from a published tree to the files that resolvers read, in the eight steps of DESIGN.md section 10.

Whatever step fails, the files that are installed stay as they are, and so does the record of what was accepted. A
publisher that lost its keys to a thief cannot get a name past step 4: the officers' acts are replayed here and the
exports are rebuilt here, byte for byte.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist import files, formats
from blocklist.client import install
from blocklist.client.fetch import Publisher
from blocklist.client.install import Staged
from blocklist.client.record import MALFORMED, MAX_STATE, Accepted, Offer
from blocklist.errors import BlocklistError, RefusedError, StaleError, TargetError, UsageError, VerificationError
from blocklist.fields import Names, Ref, format_instant
from blocklist.files import Written
from blocklist.formats import folder_name
from blocklist.messages import Progress, _, later, quietly
from blocklist.names import above, within
from blocklist.notices import Notice, compare
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
)
from blocklist.replay import CLOCK_TOLERANCE, read_lines, replay

if TYPE_CHECKING:
    from blocklist.client.subscription import Subscription

ANY_CHANGE = "any"
"""What `--accept` without a checksum stands for; it is enough for a first pull only."""

_MAX_PIN = 64 * 1024
_MANY = 10**9
"""Acts, where the publisher says how many there are and nobody has counted yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pull did."""

    release: int
    changed: bool
    installed: tuple[str, ...]
    plan: Plan | None = None
    notice: Notice | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[BlocklistError, ...] = ()


@dataclass(slots=True)
class Replayed:
    """Step 4's result: the register at the release's instant, and what it was when we accepted last."""

    register: Register
    now: Snapshot
    before: Snapshot | None
    since: Snapshot | None
    notes: list[str] = field(default_factory=list)


def pull(
    subscription: Subscription,
    now: datetime,
    *,
    accept: str | None = None,
    adopt: bool = False,
    confirm: Callable[[Plan], bool] = lambda _: False,
    progress: Progress = quietly,
) -> Outcome:
    """Bring the targets of a subscription up to date.

    Args:
        subscription: What the provider wrote down.
        now: The clock.
        accept: `ANY_CHANGE` lets a first pull in; a plan's checksum lets exactly that plan through the brakes.
        adopt: Replace files at the targets' paths that this program did not write.
        confirm: Asked at a first pull without `accept`.
        progress: Told about long work.

    Raises:
        BlocklistError: By exit code: 1 a brake or check, 3 not genuine, 4 stale, 5 unreachable. Nothing was changed.
    """
    files.make_folder(subscription.state, 0o700)
    with files.locked(subscription.state / "lock", _("pull of {path}", path=subscription.path)):
        for unfinished in subscription.state.glob(f"{files.TEMPORARY}*"):
            _remove(unfinished)
        accepted = Accepted.load(subscription.state / "accepted.json")
        return _Pull(subscription, now, accepted, accept, adopt, confirm, progress).run()


@dataclass(frozen=True, slots=True)
class _Pull:
    subscription: Subscription
    now: datetime
    accepted: Accepted | None
    accept: str | None
    adopt: bool
    confirm: Callable[[Plan], bool]
    progress: Progress

    def run(self) -> Outcome:
        """All eight steps."""
        with ExitStack() as cleanup:
            publisher = Publisher(self.subscription, self._pinned_root())
            cleanup.callback(publisher.close)
            offer = self._refresh(publisher)  # 1
            self._check_offer(offer)  # 2
            if self.accepted is not None and self._is_unchanged(offer, self.accepted):
                self._check_fresh(self.accepted.valid_until)
                return Outcome(offer.number, False, tuple(str(target.path) for target in self.subscription.targets))
            staging = self.subscription.state / f"{files.TEMPORARY}{ACTS}"
            cleanup.callback(_remove, staging)
            self._fetch(publisher, offer, staging)  # 3
            replayed = self._replay(offer, staging)  # 4
            staged, unstaged = self._render(publisher, replayed, cleanup)  # 4, the exports
            plan, notice = self._news(replayed)
            self._brake(plan)  # 5
            installed, failures = self._install(staged)  # 6 and 7
            self._record(offer, replayed.now, staging, installed)  # 8
        done = tuple(path for path, digest in installed.items() if digest)
        return Outcome(offer.number, bool(done), done, plan, notice, tuple(replayed.notes), (*unstaged, *failures))

    def _pinned_root(self) -> bytes:
        path = self.subscription.state / "root.json"
        hint = _("run 'blocklist subscribe' again with the root's file")
        root = files.read(path, _("the pinned root"), MAX_STATE, hint)
        if hashlib.sha256(root).hexdigest() != self.subscription.root:
            raise VerificationError(
                _("{path} is not the root that {subscription} pins", path=path, subscription=self.subscription.path),
                _("restore the file"),
            )
        return root

    # Step 1: TUF metadata, bounded, never older than what was seen

    def _refresh(self, publisher: Publisher) -> Offer:
        list_id = self.subscription.list_id
        try:
            publisher.refresh()
            acts = publisher.target(f"{list_id}/{ACTS}")
            changed = publisher.target(f"{list_id}/{CHANGES}")
        except StaleError as stale:
            raise StaleError(f"{stale.message}{self._what_stays()}", stale.hint) from stale
        pin = publisher.content(publisher.target(f"registers/{list_id}.json"), _MAX_PIN)
        try:
            offer = Offer.read(publisher.release_number(list_id), acts, changed, pin)
        except MALFORMED as fault:
            raise VerificationError(_("the metadata describe no release that this program knows"), _(_TELL)) from fault
        if (offer.environment, offer.list_id) != (self.subscription.environment, list_id):
            raise VerificationError(
                _(
                    "the publisher's register is {list_id} ({environment}), the subscription is for "
                    "{wanted} ({wanted_environment})",
                    list_id=offer.list_id,
                    environment=offer.environment,
                    wanted=list_id,
                    wanted_environment=self.subscription.environment,
                ),
                _("subscribe to the right address; test is not production"),
            )
        return offer

    # Step 2: pins and clocks

    def _check_offer(self, offer: Offer) -> None:
        accepted = self.accepted
        if offer.instant > self.now + CLOCK_TOLERANCE:
            raise VerificationError(
                _("the release is dated {instant}, in the future", instant=format_instant(offer.instant)),
                _("check this machine's clock"),
            )
        if accepted is None:
            return
        if offer.register != accepted.register:
            raise VerificationError(
                _("the publisher offers another register than the one accepted"), _("call the office")
            )
        if offer.number < accepted.release:
            raise VerificationError(
                _(
                    "release {instant} is older than {accepted}, the accepted one",
                    instant=folder_name(offer.instant),
                    accepted=folder_name(accepted.instant),
                ),
                _("an old release is offered again; tell the office"),
            )
        if offer.head.seq < accepted.head.seq and offer.checkpoint == accepted.checkpoint:
            raise VerificationError(_("the register is shorter than it was: acts were dropped"), _("tell the office"))

    def _is_unchanged(self, offer: Offer, accepted: Accepted) -> bool:
        """Whether this is the accepted release and every target still holds what was installed."""
        if offer.number != accepted.release:
            return False
        wanted = {str(target.path) for target in self.subscription.targets}
        return wanted == accepted.installed.keys() and all(
            files.digest_of(Path(path)) == digest for path, digest in accepted.installed.items()
        )

    # Step 3: the acts, of which only the new ones travel

    def _fetch(self, publisher: Publisher, offer: Offer, staging: Path) -> None:
        known = self.subscription.state / ACTS
        length = self.accepted.acts_length if self.accepted and known.exists() else 0
        publisher.download(offer.acts, staging, known, length)

    # Step 4: replay what the officers signed, and rebuild the exports from it

    def _replay(self, offer: Offer, staging: Path) -> Replayed:
        marks = {(offer.head, offer.instant)}
        if offer.since is not None:
            marks.add(offer.since)
        if self.accepted is not None:
            marks.add((self.accepted.head, self.accepted.instant))
        taken: dict[tuple[Ref, datetime], Snapshot] = {}
        register = Register()
        length = min(offer.head.seq, _MANY)
        with staging.open("rb") as stream, self.progress(_("replaying the acts"), length) as advance:
            for signed, register in replay(read_lines(stream), self.now):
                self._check_not_backdated(register, signed.act.seq)
                for ref, instant in marks:
                    if ref == signed.ref:
                        taken[ref, instant] = Snapshot.take(register, instant)
                advance(1)
        now = taken.get((offer.head, offer.instant))
        if now is None or register.head != offer.head:
            raise VerificationError(_("the acts do not end at the head that the release names"), _(_TELL))
        self._check_register(offer, register)
        self._check_fresh(now.release().valid_until)
        replayed = Replayed(register, now, None, None)
        if offer.since is not None:
            replayed.since = taken.get(offer.since)
            if replayed.since is None or replayed.since.instant >= now.instant:
                raise VerificationError(_("the release compares itself with one that never was"), _(_TELL))
        if self.accepted is not None:
            replayed.before = taken.get((self.accepted.head, self.accepted.instant))
            if replayed.before is None:
                self._move_over(offer, self.accepted, replayed)
        return replayed

    def _check_register(self, offer: Offer, register: Register) -> None:
        if (register.id, register.list_id, register.environment) != (
            offer.register,
            self.subscription.list_id,
            self.subscription.environment,
        ):
            raise VerificationError(_("the acts are those of another register"), _(_TELL))
        if offer.instant < register.at:
            raise VerificationError(
                _("the release is older than its last act, so something is left out of it"), _(_TELL)
            )
        if offer.checkpoint.seq > offer.head.seq or register.ids[offer.checkpoint.seq - 1] != offer.checkpoint.id:
            raise VerificationError(_("the acts do not hold the checkpoint that the heads signed"), _(_TELL))

    def _check_fresh(self, valid_until: datetime) -> None:
        """The validity that the heads adopted, whatever expiry the publisher wrote: no old instant keeps a lapsed name.

        Raises:
            StaleError: It has ended.
        """
        if self.now >= valid_until:
            raise StaleError(
                _(
                    "the newest release was valid until {valid_until}{what_stays}",
                    valid_until=format_instant(valid_until),
                    what_stays=self._what_stays(),
                ),
                _("the list that is installed stays; tell the office if this goes on"),
            )

    def _what_stays(self) -> str:
        if self.accepted is None:
            return ""
        return _("; release {release} stays installed", release=folder_name(self.accepted.instant))

    def _check_not_backdated(self, register: Register, seq: int) -> None:
        """What was signed after the release that we accepted cannot be dated before it (promise 8)."""
        accepted = self.accepted
        if accepted is None or seq <= accepted.head.seq or register.ids[accepted.head.seq - 1] != accepted.head.id:
            return
        if register.at < accepted.instant - CLOCK_TOLERANCE:
            raise VerificationError(
                _("act {seq} is dated before the release that was accepted without it", seq=seq), _(_TELL)
            )

    def _move_over(self, offer: Offer, accepted: Accepted, replayed: Replayed) -> None:
        """The head that we accepted is not in this chain: follow only if the heads signed a newer checkpoint.

        Raises:
            VerificationError: The history was rewritten, and no checkpoint says that this is right.
        """
        old, position = self._known_register(accepted), offer.checkpoint.seq - 1
        known = position < len(old.ids) and old.ids[position] == offer.checkpoint.id
        if known or not old.ids or old.head != accepted.head:
            raise VerificationError(
                _(
                    "act {seq} that was accepted is not in the register any more: history was rewritten",
                    seq=accepted.head.seq,
                ),
                _(_TELL),
            )
        replayed.before = Snapshot.take(old, accepted.instant)
        replayed.notes.append(
            _(
                "the heads ended a fork: from act {old}, id {old_id}, to act {new}, id {new_id}",
                old=accepted.head.seq,
                old_id=accepted.head.id,
                new=offer.head.seq,
                new_id=offer.head.id,
            )
        )

    def _known_register(self, accepted: Accepted) -> Register:
        """The register that was accepted, from the acts kept here; empty if they are gone."""
        register, path = Register(), self.subscription.state / ACTS
        if path.exists():
            with path.open("rb") as stream:
                for _, register in itertools.islice(replay(read_lines(stream), self.now), accepted.head.seq):  # noqa: B007
                    pass
        return register

    def _render(
        self, publisher: Publisher, replayed: Replayed, cleanup: ExitStack
    ) -> tuple[list[Staged], list[BlocklistError]]:
        """Rebuild the exports beside their targets, and compare each with what the publisher signed."""
        now, staged = replayed.now, []
        failures: list[BlocklistError] = []
        plan = make_plan(replayed.since, now, replayed.register.measures())
        self._compare(publisher, CHANGES, files.digest(changes(replayed.since, now, plan)))
        self._compare(publisher, ANNOUNCED, files.digest(announced(now)))
        if unknown := formats.unknown(now.policy.formats):
            replayed.notes.append(
                _(
                    "the list is also published as {formats}, which this program does not know",
                    formats=", ".join(unknown),
                )
            )
        for target in self.subscription.targets:
            if target.format not in now.policy.formats:
                listed = ", ".join(now.policy.formats)
                failures.append(
                    UsageError(
                        _(
                            "the list is not published as {format}: {path} stays",
                            format=target.format,
                            path=target.path,
                        ),
                        _("choose from {listed}", listed=listed),
                    )
                )
                continue
            ((name, chunks),) = exports(now, [target.format])
            try:
                candidate = install.stage(target, chunks)
            except TargetError as failure:
                failures.append(failure)
                continue
            cleanup.callback(candidate.discard)
            self._compare(publisher, name, candidate.content)
            staged.append(candidate)
        return staged, failures

    def _compare(self, publisher: Publisher, name: str, content: Written) -> None:
        signed = publisher.find(f"{self.subscription.list_id}/{name}")
        if signed is None or content != (signed.hashes.get("sha256"), signed.length):
            raise VerificationError(_("{name} is not what the officers' acts say", name=name), _(_TELL))

    @staticmethod
    def _news(replayed: Replayed) -> tuple[Plan, Notice]:
        """What changes at this provider since the release that it accepted, and what it is told of it."""
        before, since, decisions = replayed.before, replayed.since, replayed.register.measures()
        plan = make_plan(before, replayed.now, decisions)
        number = int(since.instant.timestamp()) if since else None
        first = before is None and since is not None
        return plan, compare(before, replayed.now, plan, decisions, number, first=first)

    # Step 5: the provider's own brakes; an ending that the replay explained is never braked (promise 6)

    def _brake(self, plan: Plan) -> None:
        if self.accept == plan.checksum:
            return
        first = self.accepted is None
        reasons = [] if first else brakes(replace(plan, removed=Names()), self.subscription.brakes)
        never = self._never(plan)
        if never:
            reasons.append(_("{names} must never be blocked here", names=", ".join(never[:5])))
        if reasons:
            raise BrakeError(
                "; ".join(reasons),
                _("if this is meant: blocklist pull --accept {checksum}", checksum=plan.checksum),
                plan,
            )
        if first and self.accept != ANY_CHANGE and not self.confirm(plan):
            raise BrakeError(
                _("a first pull needs your word; names to install: {count}", count=len(plan.added)),
                _(
                    "look at the plan, then run 'blocklist pull --accept' or '--accept {checksum}'",
                    checksum=plan.checksum,
                ),
                plan,
            )

    def _never(self, plan: Plan) -> list[str]:
        """The additions that block a never-block name: below it, the name itself, or a domain above it."""
        never = self.subscription.never_block
        parents = above(never)
        below = [text for text in (*plan.added.domain, *plan.added.host) if within(text, never)]
        return [*(text for text in plan.added.domain if text in parents), *below]

    # Steps 6 and 7: check, install and reload each target on its own

    def _install(self, staged: list[Staged]) -> tuple[dict[str, str], list[BlocklistError]]:
        """Install every candidate; returns what `Accepted.installed` says, and what failed."""
        old = self.accepted.installed if self.accepted else {}
        wanted = {str(target.path) for target in self.subscription.targets}
        # Until it is changed a target counts as failed, so that the next pull tries again.
        installed = {path: "" for path in old if path in wanted}
        failures: list[BlocklistError] = []
        for candidate in staged:
            path = str(candidate.target.path)
            try:
                self._install_one(candidate, old.get(path))
            except BlocklistError as failure:
                failures.append(failure)
            else:
                installed[path] = candidate.content.sha256
        return installed, failures

    def _install_one(self, candidate: Staged, recorded: str | None) -> None:
        present = files.digest_of(candidate.target.path)
        if present == candidate.content.sha256:
            if recorded != present:  # a pull ended between rename and record: nobody knows whether it reloaded
                install.reload(candidate.target)
            return
        if present is not None and recorded is None and not self.adopt:
            raise RefusedError(
                _("{path} exists and was not written by this program", path=candidate.target.path),
                _("move it away, or let it be replaced with --adopt; it is kept as .previous"),
            )
        install.check(candidate)  # 6
        install.install(candidate)  # 7

    # Step 8: what was accepted, and the receipt

    def _record(self, offer: Offer, now: Snapshot, staging: Path, installed: Mapping[str, str]) -> None:
        state = self.subscription.state
        record = Accepted(
            offer.register,
            offer.number,
            now.release().valid_until,
            offer.head,
            offer.acts.length,
            offer.checkpoint,
            installed,
        )
        receipt = {
            "list": self.subscription.list_id,
            "environment": self.subscription.environment,
            "register": offer.register,
            "release": folder_name(offer.instant),
            "head": offer.head.to_json(),
            "received": format_instant(self.now),
            "names": len(now.measures),
            "installed": {path: digest for path, digest in installed.items() if digest},
        }
        with files.written(state):
            staging.replace(state / ACTS)
            files.sync_folder(state)
        files.replace(state / "accepted.json", record.to_bytes(), 0o600)
        files.replace(state / "receipt.json", json.dumps(receipt, indent=1).encode() + b"\n", 0o600)


def _remove(path: Path) -> None:
    with suppress(OSError):  # the next pull overwrites it
        path.unlink(missing_ok=True)


_TELL = later("the installed list stays; tell the office")
