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
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklist import files
from blocklist.client import install
from blocklist.client.fetch import Publisher
from blocklist.client.install import Staged
from blocklist.errors import BlocklistError, RefusedError, StaleError, TargetError, UsageError, VerificationError
from blocklist.fields import Names, Ref, format_instant
from blocklist.files import Written
from blocklist.formats import folder_name
from blocklist.names import within
from blocklist.register import Register
from blocklist.release import ACTS, ANNOUNCED, CHANGES, Plan, Snapshot, announced, brakes, changes, exports, make_plan
from blocklist.replay import CLOCK_TOLERANCE, read_lines, replay

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from blocklist.client.subscription import Subscription

ANY_CHANGE = "any"
"""What `--accept` without a checksum stands for; it is enough for a first pull only."""

_MAX_PIN = 64 * 1024
_MAX_STATE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record of the release that was accepted last (`accepted.json`)."""

    register: str
    release: int
    head: Ref
    acts_length: int
    checkpoint: Ref
    installed: Mapping[str, str]

    @property
    def instant(self) -> datetime:
        """The instant of the release."""
        return datetime.fromtimestamp(self.release, UTC)

    def to_bytes(self) -> bytes:
        """The record's file."""
        members = {
            "register": self.register,
            "release": self.release,
            "head": self.head.to_json(),
            "acts_length": self.acts_length,
            "checkpoint": self.checkpoint.to_json(),
            "installed": dict(self.installed),
        }
        return json.dumps(members, indent=1).encode() + b"\n"

    @classmethod
    def load(cls, path: Path) -> Accepted | None:
        """The record, or None before the first pull.

        Raises:
            UsageError: The file is not a record.
        """
        if not path.exists():
            return None
        content = files.read(path, "the record of the last pull", _MAX_STATE)
        try:
            members = json.loads(content)
            return cls(
                str(members["register"]),
                int(members["release"]),
                _ref(members["head"]),
                int(members["acts_length"]),
                _ref(members["checkpoint"]),
                {str(target): str(digest) for target, digest in members["installed"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            raise UsageError(f"{path} is damaged", "remove it; the next pull then asks as the first one did") from fault


@dataclass(frozen=True, slots=True)
class Offer:
    """What the metadata say is published: all of it signed, none of it believed before step 4."""

    number: int
    head: Ref
    acts: TargetFile
    since: tuple[Ref, datetime] | None
    register: str
    checkpoint: Ref

    @property
    def instant(self) -> datetime:
        """The release's instant."""
        return datetime.fromtimestamp(self.number, UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pull did."""

    release: int
    changed: bool
    installed: tuple[str, ...]
    plan: Plan | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[BlocklistError, ...] = ()


class BrakeError(RefusedError):
    """The provider's brakes stop a plan until somebody accepts exactly that."""

    def __init__(self, message: str, hint: str, plan: Plan) -> None:
        super().__init__(message, hint)
        self.plan = plan


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
) -> Outcome:
    """Bring the targets of a subscription up to date.

    Args:
        subscription: What the provider wrote down.
        now: The clock.
        accept: `ANY_CHANGE` lets a first pull in; a plan's checksum lets exactly that plan through the brakes.
        adopt: Replace files at the targets' paths that this program did not write.
        confirm: Asked at a first pull without `accept`.

    Raises:
        BlocklistError: By exit code: 1 a brake or check, 3 not genuine, 4 stale, 5 unreachable. Nothing was changed.
    """
    files.make_folder(subscription.state, 0o700)
    with files.locked(subscription.state / "lock", f"pull of {subscription.path}"):
        accepted = Accepted.load(subscription.state / "accepted.json")
        return _Pull(subscription, now, accepted, accept, adopt, confirm).run()


@dataclass(frozen=True, slots=True)
class _Pull:
    subscription: Subscription
    now: datetime
    accepted: Accepted | None
    accept: str | None
    adopt: bool
    confirm: Callable[[Plan], bool]

    def run(self) -> Outcome:
        """All eight steps."""
        publisher = Publisher(self.subscription, self._pinned_root())
        offer = self._refresh(publisher)  # 1
        self._check_offer(offer)  # 2
        if self._is_unchanged(offer):
            return Outcome(offer.number, False, tuple(str(target.path) for target in self.subscription.targets))
        with ExitStack() as cleanup:
            staging = self.subscription.state / f"{files.TEMPORARY}{ACTS}"
            cleanup.callback(staging.unlink, missing_ok=True)
            self._fetch(publisher, offer, staging)  # 3
            replayed = self._replay(offer, staging)  # 4
            staged, unstaged = self._render(publisher, replayed, cleanup)  # 4, the exports
            plan = make_plan(replayed.before, replayed.now, replayed.register.measures())
            self._brake(plan)  # 5
            installed, failures = self._install(staged)  # 6 and 7
            self._record(offer, staging, installed, len(replayed.now.measures))  # 8
        return Outcome(offer.number, True, tuple(installed), plan, tuple(replayed.notes), (*unstaged, *failures))

    def _pinned_root(self) -> bytes:
        path = self.subscription.state / "root.json"
        root = files.read(path, "the pinned root", _MAX_STATE, "run 'blocklist subscribe' again with the root's file")
        if hashlib.sha256(root).hexdigest() != self.subscription.root:
            raise VerificationError(f"{path} is not the root that {self.subscription.path} pins", "restore the file")
        return root

    # Step 1: TUF metadata, bounded, never older than what was seen

    def _refresh(self, publisher: Publisher) -> Offer:
        list_id = self.subscription.list_id
        try:
            publisher.refresh()
            acts = publisher.target(f"{list_id}/{ACTS}")
            changed = publisher.target(f"{list_id}/{CHANGES}")
        except StaleError as stale:
            since = f"; release {folder_name(self.accepted.instant)} stays installed" if self.accepted else ""
            raise StaleError(f"{stale.message}{since}", stale.hint) from stale
        pin = publisher.content(publisher.target(f"registers/{list_id}.json"), _MAX_PIN)
        try:
            stated = json.loads(pin)
            since = changed.custom["since"]
            offer = Offer(
                publisher.release_number(list_id),
                _ref(acts.custom["head"]),
                acts,
                None if since is None else (_ref(since["head"]), datetime.fromtimestamp(int(since["number"]), UTC)),
                str(stated["register"]),
                _ref(stated["checkpoint"]),
            )
            environment, stated_list = stated["environment"], stated["list"]
        except (ValueError, TypeError, KeyError) as fault:
            raise VerificationError("the metadata describe no release that this program knows", _TELL) from fault
        if (environment, stated_list) != (self.subscription.environment, list_id):
            raise VerificationError(
                f"the publisher's register is {stated_list} ({environment}), "
                f"the subscription is for {list_id} ({self.subscription.environment})",
                "subscribe to the right address; test is not production",
            )
        return offer

    # Step 2: pins and clocks

    def _check_offer(self, offer: Offer) -> None:
        accepted = self.accepted
        if offer.instant > self.now + CLOCK_TOLERANCE:
            raise VerificationError(
                f"the release is dated {format_instant(offer.instant)}, in the future", "check this machine's clock"
            )
        if accepted is None:
            return
        if offer.register != accepted.register:
            raise VerificationError("the publisher offers another register than the one accepted", "call the office")
        if offer.number < accepted.release:
            raise VerificationError(
                f"release {folder_name(offer.instant)} is older than {folder_name(accepted.instant)}, the accepted one",
                "an old release is offered again; tell the office",
            )
        if offer.head.seq < accepted.head.seq and offer.checkpoint == accepted.checkpoint:
            raise VerificationError("the register is shorter than it was: acts were dropped", "tell the office")

    def _is_unchanged(self, offer: Offer) -> bool:
        """Whether this is the accepted release and every target still holds what was installed."""
        accepted = self.accepted
        if accepted is None or offer.number != accepted.release:
            return False
        wanted = {str(target.path) for target in self.subscription.targets}
        return wanted == accepted.installed.keys() and all(
            install.digest_of(Path(path)) == digest for path, digest in accepted.installed.items()
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
        with staging.open("rb") as stream:
            for signed, register in replay(read_lines(stream), self.now):
                self._check_not_backdated(register, signed.act.seq)
                for ref, instant in marks:
                    if ref == signed.ref:
                        taken[ref, instant] = Snapshot.take(register, instant)
        now = taken.get((offer.head, offer.instant))
        if now is None or register.head != offer.head:
            raise VerificationError("the acts do not end at the head that the release names", _TELL)
        self._check_register(offer, register)
        replayed = Replayed(register, now, None, None)
        if offer.since is not None:
            replayed.since = taken.get(offer.since)
            if replayed.since is None or replayed.since.instant >= now.instant:
                raise VerificationError("the release compares itself with one that never was", _TELL)
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
            raise VerificationError("the acts are those of another register", _TELL)
        if offer.instant < register.at:
            raise VerificationError("the release is older than its last act, so something is left out of it", _TELL)
        if offer.checkpoint.seq > offer.head.seq or register.ids[offer.checkpoint.seq - 1] != offer.checkpoint.id:
            raise VerificationError("the acts do not hold the checkpoint that the heads signed", _TELL)

    def _check_not_backdated(self, register: Register, seq: int) -> None:
        """What was signed after the release that we accepted cannot be dated before it (promise 8)."""
        accepted = self.accepted
        if accepted is None or seq <= accepted.head.seq or register.ids[accepted.head.seq - 1] != accepted.head.id:
            return
        if register.at < accepted.instant - CLOCK_TOLERANCE:
            raise VerificationError(f"act {seq} is dated before the release that was accepted without it", _TELL)

    def _move_over(self, offer: Offer, accepted: Accepted, replayed: Replayed) -> None:
        """The head that we accepted is not in this chain: follow only if the heads signed a newer checkpoint.

        Raises:
            VerificationError: The history was rewritten, and no checkpoint says that this is right.
        """
        with (self.subscription.state / ACTS).open("rb") as stream:
            *_, (_, old) = itertools.islice(replay(read_lines(stream), self.now), accepted.head.seq)
        position = offer.checkpoint.seq - 1
        known = position < len(old.ids) and old.ids[position] == offer.checkpoint.id
        if known or old.head != accepted.head:
            raise VerificationError(
                f"act {accepted.head.seq} that was accepted is not in the register any more: history was rewritten",
                _TELL,
            )
        replayed.before = Snapshot.take(old, accepted.instant)
        replayed.notes.append(
            f"the heads ended a fork: from act {accepted.head.seq}, id {accepted.head.id}, "
            f"to act {offer.head.seq}, id {offer.head.id}"
        )

    def _render(
        self, publisher: Publisher, replayed: Replayed, cleanup: ExitStack
    ) -> tuple[list[Staged], list[BlocklistError]]:
        """Rebuild the exports beside their targets, and compare each with what the publisher signed."""
        now, staged = replayed.now, []
        failures: list[BlocklistError] = []
        plan = make_plan(replayed.since, now, replayed.register.measures())
        self._compare(publisher, CHANGES, files.digest(changes(replayed.since, now, plan)))
        self._compare(publisher, ANNOUNCED, files.digest(announced(now)))
        for target in self.subscription.targets:
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
        signed = publisher.target(f"{self.subscription.list_id}/{name}")
        if content != (signed.hashes.get("sha256"), signed.length):
            raise VerificationError(f"{name} is not what the officers' acts say", _TELL)

    # Step 5: the provider's own brakes; an ending that the replay explained is never braked (promise 6)

    def _brake(self, plan: Plan) -> None:
        if self.accept == plan.checksum:
            return
        if self.accepted is None:
            if self.accept == ANY_CHANGE or self.confirm(plan):
                return
            raise RefusedError(
                f"a first pull would install {len(plan.added)} names",
                f"look at the list, then run 'blocklist pull --accept' or '--accept {plan.checksum}'",
            )
        reasons = brakes(replace(plan, removed=Names()), self.subscription.brakes)
        added = (*plan.added.domain, *plan.added.host)
        never = [text for text in added if within(text, self.subscription.never_block)]
        if never:
            reasons.append(f"{', '.join(never[:5])} must never be blocked here")
        if reasons:
            raise BrakeError(
                "; ".join(reasons), f"if this is meant: blocklist pull --accept {plan.checksum}", plan=plan
            )

    # Steps 6 and 7: check, install and reload each target on its own

    def _install(self, staged: list[Staged]) -> tuple[dict[str, str], list[BlocklistError]]:
        """Install every candidate; returns the digest of each file that is in place now, and what failed."""
        old = self.accepted.installed if self.accepted else {}
        wanted = {str(target.path) for target in self.subscription.targets}
        installed = {path: digest for path, digest in old.items() if path in wanted}
        failures: list[BlocklistError] = []
        for candidate in staged:
            path = str(candidate.target.path)
            try:
                self._install_one(candidate, known=path in old)
            except BlocklistError as failure:
                failures.append(failure)
            else:
                installed[path] = candidate.content.sha256
        return installed, failures

    def _install_one(self, candidate: Staged, *, known: bool) -> None:
        present = install.digest_of(candidate.target.path)
        if present == candidate.content.sha256:
            return
        if present is not None and not known and not self.adopt:
            raise RefusedError(
                f"{candidate.target.path} exists and was not written by this program",
                "move it away, or let it be replaced with --adopt; it is kept as .previous",
            )
        install.check(candidate)  # 6
        install.install(candidate)  # 7

    # Step 8: what was accepted, and the receipt

    def _record(self, offer: Offer, staging: Path, installed: Mapping[str, str], names: int) -> None:
        state = self.subscription.state
        record = Accepted(offer.register, offer.number, offer.head, offer.acts.length, offer.checkpoint, installed)
        receipt = {
            "list": self.subscription.list_id,
            "environment": self.subscription.environment,
            "register": offer.register,
            "release": folder_name(offer.instant),
            "head": offer.head.to_json(),
            "received": format_instant(self.now),
            "names": names,
            "installed": dict(installed),
        }
        with files.written(state):
            staging.replace(state / ACTS)
            files.sync_folder(state)
        files.replace(state / "accepted.json", record.to_bytes(), 0o600)
        files.replace(state / "receipt.json", json.dumps(receipt, indent=1).encode() + b"\n", 0o600)


def _ref(members: Mapping[str, Any]) -> Ref:
    return Ref(int(members["seq"]), str(members["id"]))


_TELL = "the installed list stays; tell the office"
