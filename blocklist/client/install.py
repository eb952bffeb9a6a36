"""Steps 6 to 8 of a pull: check, install and reload each target on its own, and write down what came of it.

The record says that an installation has begun before the first target is touched, and how it ended after the last one.
So whatever interrupts it, the next pull knows, and does the rest. A file is put where a resolver reads it aside,
checked, renamed, reloaded, and taken back if that fails.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist.base import durable, subprocesses
from blocklist.base.durable import Written
from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError
from blocklist.base.i18n import _
from blocklist.client.state import Accepted, Installed, ListState, Record
from blocklist.client.subscription import Subscription, Target
from blocklist.keys.encoding import SigningKey
from blocklist.keys.folder import KeyFolder
from blocklist.release import receipts
from blocklist.release.contents import exports
from blocklist.release.receipts import Receipt

if TYPE_CHECKING:
    from blocklist.client.fetch import Acts
    from blocklist.client.verify_acts import Edition
    from blocklist.register.decoders import Ref
    from blocklist.release.contents import Plan, Snapshot
    from blocklist.release.notices import Notice

COMMAND_TIMEOUT = 120
"""Seconds that a check or reload command may take."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A candidate beside its target, on the same file system."""

    target: Target
    path: Path
    content: Written

    def discard(self) -> None:
        """Remove the candidate, if it was not installed; what a failing disk keeps of it is cleared by the next one."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def stage(target: Target, chunks: Iterable[bytes]) -> Staged:
    """Write the candidate beside its target.

    Raises:
        TargetError: The disk is full, or the folder cannot be written.
    """
    path = durable.beside(target.path)
    if os.path.lexists(target.path) and not durable.is_plain(target.path):
        raise TargetError(
            _("{path} is a link, a folder or a device, and no plain file", path=target.path),
            _("give the path of the file itself"),
        )
    with durable.written(target.path):
        clear(target.path)
        return Staged(target, path, durable.write_chunks(path, chunks))


def clear(path: Path) -> None:
    """Remove what a pull that was killed left beside its target."""
    ours = re.compile(rf"{re.escape(durable.TEMPORARY + path.name)}(\.previous)?-[0-9a-f]+").fullmatch
    for entry in path.parent.iterdir():
        if ours(entry.name):
            entry.unlink(missing_ok=True)


def check(staged: Staged) -> None:
    """Run the operator's own check command on the candidate.

    Raises:
        RefusedError: The command says no.
    """
    command = [word.replace("{file}", str(staged.path)) for word in shlex.split(staged.target.check)]
    if command:
        problem = run(command)
        if problem:
            raise RefusedError(
                _("the check of {path} failed: {problem}", path=staged.target.path, problem=problem),
                _("the installed file stays"),
            )


def install(staged: Staged) -> None:
    """Put the candidate in place and reload; when that fails, put the previous file back and reload that.

    Raises:
        TargetError: The previous file is in place again.
    """
    target, path = staged.target, staged.target.path
    previous = path.with_name(f"{path.name}.previous")
    with durable.written(path):
        existed = path.exists()
        if existed:
            _keep_owner(path, staged.path)
            _link_over(path, previous)
        staged.path.replace(path)
        durable.sync_folder(path.parent)
    problem = _reload(target)
    if problem:
        _put_back(path, previous if existed else None)
        again = _reload(target)
        if existed:
            state = _("the previous file is in place again")
        else:
            state = _("there was no file before, and there is none now")
        message = _("the reload for {path} failed: {problem}", path=path, problem=problem)
        if again:
            message = _("{failure}; reloading the previous file failed too: {problem}", failure=message, problem=again)
        raise TargetError(message, state)


def reload(target: Target) -> None:
    """Reload a file that is in place already.

    Raises:
        TargetError: The command says no; the file stays.
    """
    problem = _reload(target)
    if problem:
        raise TargetError(
            _("the reload for {path} failed: {problem}", path=target.path, problem=problem),
            _("the next pull tries again"),
        )


def _reload(target: Target) -> str:
    return run(shlex.split(target.reload)) if target.reload else ""


def run(command: list[str]) -> str:
    """Run a command of the operator, without a shell; returns what went wrong, or nothing."""
    return subprocesses.run(command, COMMAND_TIMEOUT).problem


def _keep_owner(old: Path, new: Path) -> None:
    status = old.stat()
    with suppress(PermissionError):  # only root can give files away; the mode is kept in any case
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(status.st_mode & 0o7777)


def _link_over(path: Path, name: Path) -> None:
    """Give the file a second name, replacing what had that name."""
    temporary = durable.beside(name)
    os.link(path, temporary)
    try:
        temporary.replace(name)
    finally:
        # Renaming one name of a file to another name of the same file does nothing (POSIX, rename).
        temporary.unlink(missing_ok=True)


def _put_back(path: Path, previous: Path | None) -> None:
    with durable.written(path):
        if previous is None:
            path.unlink(missing_ok=True)
        else:
            _link_over(previous, path)
        durable.sync_folder(path.parent)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the targets: `installed` are the paths that hold the edition, `failures` says why others do not.

    `changed` says whether any of them was touched.
    """

    record: Record
    installed: tuple[str, ...]
    changed: bool
    failures: tuple[BlocklistError, ...]


@dataclass
class Outcome:
    """What a pull did about one list. `release` is the number of the one that is accepted, 0 if none is.

    `failures` are targets that could not be changed; `error` is why the list was not brought up to date.
    """

    list_id: str
    release: int = 0
    changed: bool = False
    installed: tuple[str, ...] = ()
    plan: Plan | None = None
    notice: Notice | None = None
    notes: list[str] = field(default_factory=list)
    failures: tuple[BlocklistError, ...] = ()
    error: BlocklistError | None = None

    @property
    def errors(self) -> tuple[BlocklistError, ...]:
        """All that went wrong, the worst first."""
        every = self.failures if self.error is None else (self.error, *self.failures)
        return tuple(sorted(every, key=lambda fault: _SEVERITY.index(fault.exit_code)))

    @property
    def exit_code(self) -> int:
        """That of the worst error, or 0."""
        return next((fault.exit_code for fault in self.errors), 0)


_SEVERITY = (3, 4, 1, 6, 5, 2)
"""Exit codes, the worst first: what is not genuine, what is stale, what waits for a person, and the rest."""


def worst(outcomes: Iterable[Outcome]) -> int:
    """The exit code of a pull of several lists."""
    codes = [outcome.exit_code for outcome in outcomes if outcome.exit_code]
    return min(codes, key=_SEVERITY.index, default=0)


@dataclass(slots=True)
class Candidates:
    """What was rendered beside the targets, to be used as a context: what is not installed then goes away."""

    staged: list[Staged] = field(default_factory=list)
    failures: list[BlocklistError] = field(default_factory=list)
    _cleanup: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Candidates:
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()


def render(targets: Iterable[Target], shown: Snapshot) -> Candidates:
    """Render the export of each target beside it. What fails there holds no other target."""
    made = Candidates()
    for target in targets:
        if target.format not in shown.policy.formats:
            made.failures.append(_not_published(target, shown.policy.formats))
            continue
        ((_name, chunks),) = exports(shown, [target.format])
        try:
            candidate = stage(target, chunks)
        except TargetError as failure:
            made.failures.append(failure)
        except BaseException:
            made._cleanup.close()
            raise
        else:
            made._cleanup.callback(candidate.discard)
            made.staged.append(candidate)
    return made


def _not_published(target: Target, published: Iterable[str]) -> UsageError:
    return UsageError(
        _("the list is not published as {format}: {path} stays", format=target.format, path=target.path),
        _("choose from {listed}", listed=", ".join(published)),
    )


def commit_acts(state: ListState, acts: Acts, record: Record | None, head: Ref) -> str:
    """Add to the acts that are kept what was fetched of them; gives the name of their file.

    Until a record says so, nobody reads further than before.

    Raises:
        TargetError: They could not be written.
    """
    if record is not None and acts.known_length:
        with durable.written(acts.known):
            _append(acts.known, acts.known_length, acts.news)
        return record.acts
    name = state.acts_name(head)
    with durable.written(state.folder / name):
        acts.news.replace(state.folder / name)
        durable.sync_folder(state.folder)
    return name


def _append(path: Path, length: int, news: Path) -> None:
    """Write `news` behind the first `length` octets: what else is there was left by a crash."""
    with path.open("r+b") as stream, news.open("rb") as more:
        stream.truncate(length)
        stream.seek(length)
        while chunk := more.read(1 << 20):
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def apply(
    subscription: Subscription,
    before: Record | None,
    after: Record,
    edition: Edition,
    candidates: Candidates,
    plan: Plan | None,
    now: datetime,
    *,
    adopt: bool = False,
) -> Applied:
    """Bring the targets to an edition, and keep the record of it.

    Args:
        subscription: What the provider wrote down.
        before: The record of what is installed now.
        after: What is accepted from now on; its targets are filled in here.
        edition: What is installed.
        candidates: It, rendered beside the targets.
        plan: What the newest release changes, if that was made out.
        now: The clock.
        adopt: Replace files that this program did not write.

    Raises:
        TargetError: The record could not be kept; if that is so before the installation, no target was touched.
    """
    state, targets = ListState.of(subscription, edition.shown.list_id), subscription.lists[edition.shown.list_id]
    old, shown = before.installed if before else {}, edition.shown
    ours = [candidate.target.path for candidate in candidates.staged if adopt or not _is_foreign(candidate, old)]
    # Until it is changed a target counts as failed, so that the next pull tries again.
    pending = {str(path): Installed("", "") for path in {*ours, *(t.path for t in targets if str(t.path) in old)}}
    after = replace(
        after,
        let_in=edition.let_in,
        serial=max(after.serial, shown.release().serial),
        names=len(shown.measures),
        lapses=shown.measures.next_lapse(),
        lapsed_at=edition.lapsed_at,
        installing=True,
        installed=pending,
    )
    state.save(after)
    installed, failures, touched = dict(pending), list(candidates.failures), False
    for candidate in candidates.staged:
        path = candidate.target.path
        try:
            touched |= _install_one(candidate, old, adopt=adopt)  # 6 and 7
        except BlocklistError as failure:
            failures.append(failure)
        else:
            installed[str(path)] = Installed.at(path, candidate.content.sha256)
    after = replace(after, installing=False, installed=installed)
    applied = Applied(after, tuple(path for path, on in installed.items() if on.sha256), touched, tuple(failures))
    try:
        write_receipt(subscription, state, edition, applied, plan, now)
    except BlocklistError as failure:  # the list is installed all the same
        after = replace(after, installing=isinstance(failure, TargetError))
        applied = replace(applied, record=after, failures=(*applied.failures, failure))
    state.save(after)
    return applied


def _is_foreign(candidate: Staged, old: Mapping[str, Installed]) -> bool:
    """Whether somebody else wrote what is at the target's path."""
    path = candidate.target.path
    return str(path) not in old and durable.digest_of(path) not in (None, candidate.content.sha256)


def _install_one(candidate: Staged, old: Mapping[str, Installed], *, adopt: bool) -> bool:
    """Whether the target had to be touched."""
    target, recorded = candidate.target, old.get(str(candidate.target.path))
    untouched = recorded is not None and recorded.stamp and recorded.stamp == durable.stamp(target.path)
    present = recorded.sha256 if recorded is not None and untouched else durable.digest_of(target.path)
    if present == candidate.content.sha256:
        if recorded is None or recorded.sha256 != present:  # nobody knows whether it was reloaded
            reload(target)
            return True
        return False
    if not adopt and _is_foreign(candidate, old):
        raise RefusedError(
            _("{path} exists and was not written by this program", path=target.path),
            _("move it away, or let it be replaced with --adopt; it is kept as .previous"),
        )
    check(candidate)  # 6
    install(candidate)  # 7
    return True


def write_receipt(
    subscription: Subscription,
    state: ListState,
    edition: Edition,
    applied: Applied,
    plan: Plan | None,
    now: datetime,
) -> None:
    """Write down for the office what was installed; it takes the place of the receipt before.

    Raises:
        UsageError: The key cannot be used.
        TargetError: It could not be written.
    """
    shown, record = edition.shown, applied.record
    by_path = {str(target.path): target.format for target in subscription.lists[shown.list_id]}
    installed = {by_path[path]: on.sha256 for path, on in record.installed.items() if on.sha256 and path in by_path}
    receipt = Receipt(
        list=shown.list_id,
        environment=shown.environment,
        register=shown.register,
        provider=subscription.provider,
        shown=_reference(record.newest),
        let_in=_reference(record.base),
        applied=now,
        names=len(shown.measures),
        added=len(plan.added) - edition.waiting if plan else 0,
        ended=len(plan.removed) + len(plan.lapsed) if plan else 0,
        waiting=edition.waiting,
        installed=tuple(sorted(installed.items())),
        failed=tuple(sorted({by_path[path] for path in by_path if path not in applied.installed})),
    )
    key = _key(subscription.receipt_key) if subscription.receipt_key else None
    durable.replace(state.receipt_path, receipts.write(receipt, key), 0o600)


def _reference(accepted: Accepted) -> receipts.Applied:
    return receipts.Applied(accepted.release, accepted.head)


def _key(path: Path) -> SigningKey:
    def refuse(what: str) -> bytes:
        raise UsageError(
            _("{what} has a passphrase, which nobody can type at a timer", what=what),
            _("make one for receipts with 'blocklist key new NAME --no-passphrase', and keep its mode 0600"),
        )

    return KeyFolder(path.parent, refuse).private(path.stem)
