"""Steps 6 to 8 of a pull: check, install and reload each target on its own, and write down what came of it.

The record says that an installation has begun before the first target is touched, and how it ended after the last one.
So whatever interrupts it, the next pull knows, and does the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blocklist import files
from blocklist.client import install
from blocklist.client.install import Staged
from blocklist.client.record import Installed, Record
from blocklist.errors import BlocklistError, RefusedError, TargetError, UsageError
from blocklist.messages import _
from blocklist.release import exports

if TYPE_CHECKING:
    from blocklist.client.edition import Edition
    from blocklist.client.fetch import Acts
    from blocklist.client.state import ListState
    from blocklist.client.subscription import Target
    from blocklist.fields import Ref
    from blocklist.release import Snapshot


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the targets: `installed` are the paths that hold the edition, `failures` says why others do not.

    `changed` says whether any of them was touched.
    """

    record: Record
    installed: tuple[str, ...]
    changed: bool
    failures: tuple[BlocklistError, ...]


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
            candidate = install.stage(target, chunks)
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
        with files.written(acts.known):
            _append(acts.known, acts.known_length, acts.news)
        return record.acts
    name = state.acts_name(head)
    with files.written(state.folder / name):
        acts.news.replace(state.folder / name)
        files.sync_folder(state.folder)
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
    state: ListState,
    before: Record | None,
    after: Record,
    edition: Edition,
    candidates: Candidates,
    targets: Sequence[Target],
    receipt: Callable[[Applied], None],
    *,
    adopt: bool,
) -> Applied:
    """Bring the targets to an edition, and keep the record of it.

    Args:
        state: Where the record is kept.
        before: The record of what is installed now.
        after: What is accepted from now on; its targets are filled in here.
        edition: What is installed.
        candidates: It, rendered beside the targets.
        targets: All targets of the list.
        receipt: Writes down for the office what was installed; if the disk fails then, the next pull does it.
        adopt: Replace files that this program did not write.

    Raises:
        TargetError: The record could not be kept; if that is so before the installation, no target was touched.
    """
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
        receipt(applied)
    except BlocklistError as failure:  # the list is installed all the same
        after = replace(after, installing=isinstance(failure, TargetError))
        applied = replace(applied, record=after, failures=(*applied.failures, failure))
    state.save(after)
    return applied


def _is_foreign(candidate: Staged, old: Mapping[str, Installed]) -> bool:
    """Whether somebody else wrote what is at the target's path."""
    path = candidate.target.path
    return str(path) not in old and files.digest_of(path) not in (None, candidate.content.sha256)


def _install_one(candidate: Staged, old: Mapping[str, Installed], *, adopt: bool) -> bool:
    """Whether the target had to be touched."""
    target, recorded = candidate.target, old.get(str(candidate.target.path))
    untouched = recorded is not None and recorded.stamp and recorded.stamp == files.stamp(target.path)
    present = recorded.sha256 if recorded is not None and untouched else files.digest_of(target.path)
    if present == candidate.content.sha256:
        if recorded is None or recorded.sha256 != present:  # nobody knows whether it was reloaded
            install.reload(target)
            return True
        return False
    if not adopt and _is_foreign(candidate, old):
        raise RefusedError(
            _("{path} exists and was not written by this program", path=target.path),
            _("move it away, or let it be replaced with --adopt; it is kept as .previous"),
        )
    install.check(candidate)  # 6
    install.install(candidate)  # 7
    return True
