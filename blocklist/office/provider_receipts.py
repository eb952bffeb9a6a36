"""Providers' receipts: taking them in, and who applied or restored something by when.

A receipt is what a provider states. It limits nothing and starts nothing, so no officer signs for it: each is held
against the register and the releases, then kept as it came.

They are files under `lists/receipts/<list>/<provider>/`, as they came. A provider's key is in
`lists/providers/<provider>.pub`; what it signed is verified each time that somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.base.i18n import Progress, _, quietly, shown
from blocklist.keys.encoding import PublicKey
from blocklist.office.session import Session
from blocklist.publisher.release_folders import Releases
from blocklist.register.decoders import CLOCK_TOLERANCE, folder_name, format_instant, is_identifier
from blocklist.register.fold import Register
from blocklist.release import receipts
from blocklist.release.contents import DELAY
from blocklist.release.receipts import MAX_RECEIPT, Applied, Receipt, Received
from blocklist.workspace import Workspace

_FOLDER_MODE = 0o3775
"""Every account of the office adds receipts (setgid: to its group), and removes no other account's (sticky)."""

_MAX_KEY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """What the receipts of one provider say about one change of the list.

    Attributes:
        provider: Who.
        applied: When it was in place at the latest; None when no receipt says that it is.
        signed: Whether the provider's key signed that.
        late: Whether that is after the deadline, or the deadline has passed without it.
        first: Whether no receipt of this provider was taken in that is older.
        back: When the provider went back to an older release, if its last receipt says so.
        damaged: The files that are none of this register any more, and do not count.
    """

    provider: str
    applied: datetime | None = None
    signed: bool = False
    late: bool = False
    first: bool = False
    back: datetime | None = None
    damaged: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "provider": self.provider,
            "applied": self.applied and format_instant(self.applied),
            "signed": self.signed,
            "late": self.late,
            "first": self.first,
            "back": self.back and format_instant(self.back),
            "damaged": [str(path) for path in self.damaged],
        }


class Reported:
    """The receipts of one list.

    Args:
        lists: The folder `lists` of the workspace.
        register: The register of the list.
    """

    def __init__(self, lists: Path, register: Register) -> None:
        self._lists = lists
        self._register = register

    # Files

    def _folder(self, provider: str) -> Path:
        return self._lists / "receipts" / self._register.list_id / provider

    def path(self, provider: str, receipt: Receipt) -> Path:
        """Where a receipt is kept: the release that was accepted, and when it was applied."""
        name = f"{folder_name(receipt.shown.instant)}-{folder_name(receipt.applied)}.json"
        return self._folder(provider) / name

    def keep(self, path: Path, content: bytes) -> None:
        """Write a receipt, durably, to the `path` where it is kept.

        Raises:
            TargetError: It could not be written.
        """
        with durable.written(path):
            for folder in reversed(path.relative_to(self._lists).parents[:-1]):
                _make_folder(self._lists / folder)
        durable.replace(path, content)

    def providers(self) -> list[str]:
        """The providers of which there is a receipt."""
        folder = self._folder("")
        return sorted(path.name for path in folder.glob("*") if is_identifier(path.name) and self._kept(path.name))

    def _kept(self, provider: str) -> list[Path]:
        """The files of one provider, in the order in which the provider applied releases."""
        paths = self._folder(provider).glob("2*Z-2*Z.json")
        return sorted(paths, key=lambda path: path.stem.split("-")[::-1])

    def read(self, path: Path) -> Received:
        """A receipt that was taken in.

        Raises:
            BlocklistError: It cannot be read, or is none of this register.
        """
        received = receipts.read(durable.read(path, _("the receipt"), MAX_RECEIPT))
        self.check(received.receipt)
        provider = path.parent.name
        if received.receipt.provider not in ("", provider) or self.path(provider, received.receipt) != path:
            raise VerificationError(_("{path} is another receipt than its name says", path=path))
        return received

    # Checks

    def check(self, receipt: Receipt) -> None:
        """Refuse a receipt of something else, or of acts that this register does not have.

        Raises:
            VerificationError: It is one.
        """
        register = self._register
        own = (register.list_id, register.environment)
        if (receipt.list, receipt.environment) != own:
            raise VerificationError(
                _(
                    "the receipt is for {list_id} ({environment}), this register is {own} ({own_environment})",
                    list_id=receipt.list,
                    environment=receipt.environment,
                    own=own[0],
                    own_environment=own[1],
                ),
                _("take it in where that list is kept; test is not production"),
            )
        if receipt.register != register.id:
            raise VerificationError(
                _("the receipt is for another register of {list_id}", list_id=receipt.list),
                _("the provider subscribed to another one; compare the register's id with the provider"),
            )
        for ref in (receipt.let_in.head, receipt.shown.head):
            if register.ids[ref.seq - 1 : ref.seq] != [ref.id]:
                raise VerificationError(
                    _("the receipt shows an act {seq} that this register does not have", seq=ref.seq),
                    _("the provider follows a fork, or this is an older copy of the register: run 'blocklist audit'"),
                )

    def key(self, provider: str) -> PublicKey | None:
        """The key that the office has of a provider.

        Raises:
            UsageError: The file is no public key.
        """
        path = self._lists / "providers" / f"{provider}.pub"
        if not path.exists():
            return None
        try:
            return PublicKey.from_pem(durable.read(path, _("the public key"), _MAX_KEY), str(path))
        except UsageError as fault:
            raise UsageError(
                fault.message, _("put the .pub file there that belongs to the provider's key of receipts")
            ) from fault

    def is_signed(self, provider: str, received: Received) -> bool:
        """Whether a receipt that was taken in is signed with the key that the office has now."""
        try:
            key = self.key(provider)
            if key is not None:
                received.verify(key, provider)
        except BlocklistError:
            return False
        return key is not None

    # Questions

    def reports(
        self, since: datetime, published: datetime, holds: Callable[[Receipt], bool], now: datetime
    ) -> Iterator[Report]:
        """What each provider says about one change; who has still time and has not reported is left out.

        Args:
            since: No release before this instant can have the change.
            published: The first release that has it.
            holds: Whether a release that a receipt shows has it.
            now: The clock.
        """
        for provider in self.providers():
            report = self._report(provider, since, published + DELAY, holds, now)
            if report.applied or report.late or report.damaged:
                yield report

    def _report(
        self, provider: str, since: datetime, deadline: datetime, holds: Callable[[Receipt], bool], now: datetime
    ) -> Report:
        kept, damaged = self._kept(provider), []
        for path in (path for path in kept if path.name >= folder_name(since)):
            try:
                received = self.read(path)
            except BlocklistError:
                damaged.append(path)
                continue
            receipt = received.receipt
            if holds(receipt) and not receipt.failed:
                return Report(
                    provider,
                    receipt.applied,
                    self.is_signed(provider, received),
                    receipt.applied > deadline,
                    path == kept[0],
                    self._back(kept[-1], holds),
                    tuple(damaged),
                )
        return Report(provider, late=now > deadline, damaged=tuple(damaged))

    def _back(self, last: Path, holds: Callable[[Receipt], bool]) -> datetime | None:
        try:
            receipt = self.read(last).receipt
        except BlocklistError:
            return None
        return None if holds(receipt) else receipt.applied


def _make_folder(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(0o700)
        path.chmod(_FOLDER_MODE)  # a mode that mkdir is given loses the setgid bit, and to the umask
        durable.sync_folder(path.parent)


# Taking in


@dataclass(frozen=True, slots=True)
class Taken:
    """A receipt that came from `source` and is kept at `path`; not `new` if it was before."""

    source: Path
    path: Path
    provider: str
    receipt: Receipt
    signed: bool
    new: bool


@dataclass(slots=True)
class TakenIn:
    """What became of several files; each refusal names its file."""

    taken: list[Taken] = field(default_factory=list)
    refused: list[BlocklistError] = field(default_factory=list)


def take_in(
    workspace: Workspace,
    clock: Callable[[], datetime],
    sources: Iterable[Path],
    provider: str | None,
    progress: Progress = quietly,
) -> TakenIn:
    """Take in files of receipts, each for itself: one that is refused holds no other.

    Args:
        workspace: Where they are kept; each goes to the list that it names.
        clock: Tells the time.
        sources: The files.
        provider: Whose they are, if they do not say.
        progress: Told about long work.

    Raises:
        UsageError: The workspace has no list, or not the one that was named.
    """
    done, lists, counters = TakenIn(), _lists(workspace), dict[str, _Counter]()
    with ExitStack() as stack:
        for source in sources:
            try:
                content = durable.read(source, _("the receipt"), MAX_RECEIPT)
                received = receipts.read(content)
                list_id = _known(received.receipt, lists)
                if list_id not in counters:
                    of_list = Workspace(workspace.path, workspace.keys, list_id, workspace.database)
                    counters[list_id] = _Counter(stack.enter_context(Session(of_list, clock, progress=progress)))
                done.taken.append(counters[list_id].take(source, content, received, provider))
            except BlocklistError as fault:
                done.refused.append(_naming(source, fault))
    return done


def _naming(source: Path, fault: BlocklistError) -> BlocklistError:
    if str(source) not in fault.message:
        fault.message = _("{path}: {message}", path=source, message=fault.message)
    return fault


def _lists(workspace: Workspace) -> list[str]:
    """The list that was named, or all of them."""
    store = workspace.open_store()
    try:
        lists = list(store.lists())
    finally:
        store.close()
    return lists if lists and workspace.list_id is None else [workspace.chosen(lists)]


def _known(receipt: Receipt, lists: list[str]) -> str:
    if receipt.list not in lists:
        raise VerificationError(
            _("the receipt is for the list {list_id}, not {lists}", list_id=receipt.list, lists=", ".join(lists)),
            _("take it in where that list is kept"),
        )
    return receipt.list


class _Counter:
    """Where the receipts of one list are handed in."""

    def __init__(self, opened: Session) -> None:
        self._opened = opened
        self._reported = Reported(opened.workspace.lists, opened.register)
        self._releases = Releases(opened.workspace.exports / opened.list_id)

    def take(self, source: Path, content: bytes, received: Received, provider: str | None) -> Taken:
        """Keep a receipt, unless it is kept already.

        Raises:
            UsageError: Nobody says whose it is, or the key of the provider cannot be read.
            VerificationError: It is not signed as it should be, or states what cannot be.
            RefusedError: The provider stated something else for the same release and instant.
            TargetError: It could not be written.
        """
        receipt, provider = received.receipt, _whose(received.receipt, provider)
        key = self._reported.key(provider)
        if key is not None:
            received.verify(key, provider)
        self._reported.check(receipt)
        self._check_release(receipt.let_in)
        self._check_release(receipt.shown)
        self._check_applied(receipt)
        path = self._reported.path(provider, receipt)
        new = not self._is_kept(path, provider, received)
        if new:
            self._reported.keep(path, content)
        return Taken(source, path, provider, receipt, key is not None, new)

    def _check_release(self, applied: Applied) -> None:
        """Refuse a release that never was, as far as the acts and the releases that are kept here can tell."""
        made = self._opened.act(applied.head.seq).act.at
        if applied.instant < made or self._releases.contradict(applied.instant, applied.head.seq):
            raise VerificationError(
                _(
                    "there was no release {folder} with head {seq}",
                    folder=folder_name(applied.instant),
                    seq=applied.head.seq,
                ),
                _("ask the provider what was installed; if exports/ lost a release, restore it first"),
            )

    def _check_applied(self, receipt: Receipt) -> None:
        # A provider's clock may be as slow as `pull` lets it be, which takes releases that are so far ahead.
        if receipt.applied < receipt.shown.instant - CLOCK_TOLERANCE:
            raise VerificationError(
                _(
                    "the receipt says that the release was applied at {at}, before it was made",
                    at=shown(receipt.applied),
                ),
                _("the clock of the provider's machine is wrong: tell the provider"),
            )
        if receipt.applied > self._opened.now + CLOCK_TOLERANCE:
            raise VerificationError(
                _(
                    "the receipt says that the release was applied at {at}, which is in the future",
                    at=shown(receipt.applied),
                ),
                _("check this machine's clock; if it is right, tell the provider"),
            )

    def _is_kept(self, path: Path, provider: str, received: Received) -> bool:
        """Whether this very receipt is there, and its signature is worth as much.

        Raises:
            RefusedError: Another one is there.
        """
        try:
            kept = self._reported.read(path)
        except BlocklistError:
            return False  # nothing is there, or what is damaged
        if kept.payload != received.payload:
            raise RefusedError(
                _("{provider} stated something else for this release and instant", provider=provider),
                _("it is in {path}; ask the provider which of the two is right", path=path),
            )
        return self._reported.is_signed(provider, kept) or not self._reported.is_signed(provider, received)


def _whose(receipt: Receipt, provider: str | None) -> str:
    if not receipt.provider and provider is None:
        raise UsageError(_("the receipt does not say whose it is"), _("say it with --provider ID"))
    if receipt.provider and provider not in (None, receipt.provider):
        raise UsageError(
            _("the receipt is of {stated}, not of {provider}", stated=receipt.provider, provider=provider),
            _("leave out --provider, or correct it"),
        )
    return receipt.provider or str(provider)
