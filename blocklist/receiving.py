"""Taking in the receipts of providers: each is held against the register and the releases, then kept as it came.

A receipt is what a provider states. It limits nothing and starts nothing, so no officer signs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from blocklist import files, receipts
from blocklist.desk import Desk
from blocklist.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.instants import CLOCK_TOLERANCE, folder_name
from blocklist.messages import Progress, _, quietly, shown
from blocklist.receipts import MAX_RECEIPT, Applied, Receipt, Received
from blocklist.reported import Reported
from blocklist.store import Store
from blocklist.timeline import Releases
from blocklist.workspace import Workspace


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
                content = files.read(source, _("the receipt"), MAX_RECEIPT)
                received = receipts.read(content)
                list_id = _known(received.receipt, lists)
                if list_id not in counters:
                    of_list = Workspace(workspace.path, workspace.keys, list_id)
                    counters[list_id] = _Counter(stack.enter_context(Desk(of_list, clock, progress=progress)))
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
    store = Store(workspace.lists)
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

    def __init__(self, opened: Desk) -> None:
        self._opened = opened
        self._reported = Reported(opened.workspace.lists, opened.register)
        self._releases = Releases(opened.workspace.path / "exports" / opened.list_id)

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
