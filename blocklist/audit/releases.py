"""Every release of the published tree, held against the acts: sealed, whole, and what the acts say at its instant.

A release is judged at its own head while the register is replayed, so one replay does for all of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blocklist.audit.inspection import Fault
from blocklist.base import durable
from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.base.i18n import _, shown
from blocklist.register import acts
from blocklist.register.acts import SignedAct, read_lines
from blocklist.register.decoders import CLOCK_TOLERANCE, Ref, folder_instant
from blocklist.register.fold import Register
from blocklist.release.contents import Snapshot, differing
from blocklist.release.contents import sums as release_sums
from blocklist.release.manifest import (
    ACTS,
    CHANGES,
    MAX_SUMS,
    SEAL,
    SUMS,
    Header,
    read_header,
    read_revocations,
    read_since,
    read_sums,
)
from blocklist.seal import cms

_Since = tuple[Ref, datetime]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A release whose seal is genuine; `since` is None for the first, and where `changes.json` cannot tell."""

    folder: Path
    header: Header
    sums: bytes
    listed: dict[str, str]
    since: _Since | None
    known: bool


class Releases:
    """The releases of one list, to be followed through a replay by `step`, and then asked for `faults`.

    Args:
        folders: The folder of each release.
        authority: The certificate of the seal authority, with its revocation list beside it.
        now: The clock.
    """

    def __init__(self, folders: Sequence[Path], authority: Path, now: datetime) -> None:
        self.faults: list[Fault] = []
        self.count = len(folders)
        self.pruned = 0
        self._authority = authority
        self._now = now
        self._by_head: dict[Ref, list[_Sealed]] = {}
        self._users: Counter[_Since] = Counter()
        self._wanted: dict[Ref, set[_Since]] = {}
        self._snapshots: dict[_Since, Snapshot] = {}
        self._acts = hashlib.sha256()
        self._latest: _Sealed | None = None
        for folder in sorted(folders):
            try:
                self._take(self._read(folder))
            except BlocklistError as fault:
                self._note(None, folder, fault.message)

    def _note(self, act: int | None, folder: Path, message: str) -> None:
        self.faults.append(Fault(act, _("release {folder}: {message}", folder=folder.name, message=message)))

    # Reading

    def _read(self, folder: Path) -> _Sealed:
        """Check the seal of a release, and read what it says of itself."""
        sums = durable.read(folder / SUMS, _("the sums"), MAX_SUMS)
        header = read_header(sums)
        cms.verify(
            sums,
            durable.read(folder / SEAL, _("the seal"), MAX_SUMS),
            durable.read(self._authority, _("the seal authority"), MAX_SUMS),
            header.instant,
            read_revocations(self._authority),
        )
        if folder_instant(folder.name) != header.instant:
            raise VerificationError(_("it was made at {instant}", instant=shown(header.instant)))
        if header.instant > self._now + CLOCK_TOLERANCE:
            raise VerificationError(_("it is dated {instant}, in the future", instant=shown(header.instant)))
        listed = read_sums(sums)
        whole = self._check_files(folder, listed, header.head)
        since = read_since(folder / CHANGES) if CHANGES in whole else None
        return _Sealed(folder, header, sums, listed, since, CHANGES in whole)

    def _check_files(self, folder: Path, listed: dict[str, str], head: Ref) -> set[str]:
        """Note the files that are lost or altered; returns those that are whole."""
        found = {name: durable.digest_of(folder / name) for name in listed}
        if not any(found.values()):
            self.pruned += 1  # its sums and its seal are all that is kept of an old release
            return set()
        for name, digest in found.items():
            if digest is None:
                self._note(head.seq, folder, _("{name} is not there", name=name))
            elif digest != listed[name]:
                self._note(head.seq, folder, _("{name} is not the file that was sealed", name=name))
        return {name for name, digest in found.items() if digest == listed[name]}

    def _take(self, sealed: _Sealed) -> None:
        self._by_head.setdefault(sealed.header.head, []).append(sealed)
        if sealed.since is not None:
            self._users[sealed.since] += 1
            self._wanted.setdefault(sealed.since[0], set()).add(sealed.since)

    # Following the replay

    def step(self, line: bytes, signed: SignedAct | None, register: Register) -> None:
        """Take in the next envelope, which `register` holds already if it is genuine."""
        self._acts.update(line + b"\n")
        if signed is None or not register.ids or register.ids[-1] != signed.id:
            return
        if self._latest is not None and signed.act.at < self._latest.header.instant - CLOCK_TOLERANCE:
            message = _("it is dated before release {folder}, which lacks it", folder=self._latest.folder.name)
            self.faults.append(Fault(signed.act.seq, message))
        if not (self._wanted or self._by_head):
            return
        for since in self._wanted.pop(signed.ref, ()):
            self._snapshots[since] = Snapshot.take(register, since[1])
        for sealed in self._by_head.pop(signed.ref, ()):
            for message in self._judge(sealed, signed, register):
                self._note(sealed.header.head.seq, sealed.folder, message)
            if self._latest is None or sealed.header.instant > self._latest.header.instant:
                self._latest = sealed

    def _judge(self, sealed: _Sealed, signed: SignedAct, register: Register) -> Iterator[str]:
        """What a release says that the acts up to its head do not say."""
        if sealed.header.register != register.id:
            yield _("it is of another register: {register}", register=sealed.header.register)
            return
        if signed.act.at > sealed.header.instant:
            yield _("it is dated before its last act")
        if not self._holds_these_acts(sealed, register):
            yield _("{name} holds other acts than the register", name=ACTS)
        snapshot = Snapshot.take(register, sealed.header.instant)
        before = self._before(sealed)
        for name in differing(before, snapshot, register.measures(), sealed.listed):
            if sealed.known or name != CHANGES:
                yield _("{name} is not what the acts say", name=name)
        if release_sums(snapshot, sealed.listed) != sealed.sums:
            yield _("{name} is not what the acts say", name=SUMS)

    def _before(self, sealed: _Sealed) -> Snapshot | None:
        if sealed.since is None:
            return None
        self._users[sealed.since] -= 1
        before = self._snapshots.get(sealed.since)
        if self._users[sealed.since] == 0:
            self._snapshots.pop(sealed.since, None)
        return before

    def _holds_these_acts(self, sealed: _Sealed, register: Register) -> bool:
        """The very same octets, or the same acts: what re-encodes a signature changes no act."""
        if sealed.listed.get(ACTS) == self._acts.hexdigest():
            return True
        try:
            with (sealed.folder / ACTS).open("rb") as stream:
                return [acts.read_line(line).id for line in read_lines(stream)] == register.ids
        except (OSError, BlocklistError):
            return False

    def finish(self) -> None:
        """Note the releases whose head the register does not hold."""
        for head, found in self._by_head.items():
            for sealed in found:
                self._note(head.seq, sealed.folder, _("the register does not hold its head, {id}", id=head.id))
