"""The audit: a whole register held against its signatures, rules, dossiers, evidence and releases, without any key."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blocklist.audit.inputs import Source, Where, open_source
from blocklist.audit.inspection import Fault, inspect
from blocklist.audit.releases import Releases
from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import Progress, _, plural, quietly
from blocklist.publisher.tree import Repository
from blocklist.register import acts, decoders
from blocklist.register.acts import SignedAct
from blocklist.register.fold import Register
from blocklist.register.policy import Policy, lacking, unnamed
from blocklist.store.database import NO_ACT, Row
from blocklist.store.evidence import entries_of
from blocklist.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit checked and found.

    `dossiers` were compared, `erased` are gone as an act says, `absent` are not here; `evidence` and `releases` are
    counts of files and releases. `remarks` are no faults.
    """

    list_id: str
    environment: str
    acts: int
    head: str
    register: str
    dossiers: int
    erased: int
    absent: int
    evidence: int
    releases: int
    remarks: tuple[str, ...]
    faults: tuple[Fault, ...]


def audit_workspace(workspace: Workspace, now: datetime, progress: Progress = quietly) -> Audit:
    """Check a workspace, a copy of its `lists/`, a folder made by `dossier export` or a release; changes nothing.

    Raises:
        UsageError: There is nothing to audit.
    """
    source = open_source(workspace)
    try:
        return _Auditor(source, now, progress).run()
    finally:
        source.close()


class _Auditor:
    """One audit: the faults and remarks of every part add up."""

    def __init__(self, source: Source, now: datetime, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._register = Register()
        self._releases = Releases(source.releases, source.authority, now)
        self._now = now
        self._faults: list[Fault] = []
        self._remarks: list[str] = []
        self._count = 0
        self._confidential: list[SignedAct] = []
        self._erasing: dict[int, int] = {}
        self._policies: dict[int, Policy] = {}
        self._checked = self._erased = self._absent = 0
        self._evidence: set[str] = set()

    def run(self) -> Audit:
        """Everything, in order."""
        self._replay()
        self._releases.finish()
        self._faults += self._releases.faults
        self._check_tree()
        self._check_dossiers()
        self._check_evidence()
        self._faults += [Fault(None, message) for message in self._source.check(self._register.ids)]
        register, ids = self._register, self._register.ids
        first, last = (ids[0], ids[-1]) if ids else ("", "")
        return Audit(
            register.list_id,
            register.environment,
            self._count,
            last,
            first,
            self._checked,
            self._erased,
            self._absent,
            len(self._evidence),
            self._releases.count,
            tuple(self._remarks),
            tuple(sorted(self._faults, key=_in_act_order)),
        )

    # Acts

    def _replay(self) -> None:
        ahead = deque[Row]()  # rows whose acts are read, and not judged yet

        def lines() -> Iterator[bytes]:
            for row in self._source.rows():
                ahead.append(row)
                yield row.envelope

        with self._progress(_("acts"), self._source.length()) as advance:
            for signed, fault in inspect(self._register, lines(), self._now):
                self._count += 1
                row = ahead.popleft()
                if fault is not None:
                    self._faults.append(fault)
                if signed is not None:
                    self._note(signed, row)
                self._releases.step(row.envelope, signed, self._register)
                advance(1)
        if not self._count:
            self._faults.append(Fault(None, _("there are no acts")))

    def _note(self, signed: SignedAct, row: Row) -> None:
        """Compare the columns that a query may go by, and remember whose dossier is to be checked."""
        act = signed.act
        if row.seq is not None and row[:3] != (act.seq, signed.id, act.prev or NO_ACT):
            self._faults.append(Fault(act.seq, _("its row in the database is not about this act")))
        if isinstance(act.body, acts.Add):
            self._policies[act.seq] = self._register.policy
            if act.dossier is None:
                self._faults.append(Fault(act.seq, _("it proposes names and commits to no dossier")))
        if act.dossier is not None:
            self._confidential.append(signed)
        if isinstance(act.body, acts.Erase):
            self._erasing.setdefault(act.body.act.seq, act.seq)

    # The published tree

    def _check_tree(self) -> None:
        source, ids = self._source, self._register.ids
        if source.repository is None and not source.releases:
            self._remarks.append(_("no published tree is here, so no release was checked"))
        if self._releases.pruned:
            self._remarks.append(
                plural(
                    "{count} release was pruned: its sums and its seal were checked",
                    "{count} releases were pruned: their sums and their seals were checked",
                    self._releases.pruned,
                )
            )
        if source.repository is not None and source.list_id is not None:
            told = {fault.act for fault in self._releases.faults}
            self._faults += _current_faults(source.repository, source.list_id, ids, told)

    # Dossiers and evidence

    def _check_dossiers(self) -> None:
        if self._source.dossiers is not Where.HERE:
            self._absent = sum(signed.act.seq not in self._register.erased for signed in self._confidential)
            self._remarks.append(
                _("no dossiers are here, so none was checked, nor any evidence")
                if self._source.dossiers is Where.ABSENT
                else _("the dossiers are closed to this account, so none was checked, nor any evidence")
            )
            return
        with self._progress(_("dossiers and evidence"), len(self._confidential)) as advance:
            for signed in self._confidential:
                self._faults += [Fault(signed.act.seq, message) for message in self._dossier_faults(signed)]
                advance(1)
        for stranger in self._source.strangers(self._register.ids):
            # What a command that died leaves: its dossier was written, its act was not.
            self._remarks.append(_("a dossier belongs to no act: {id}", id=stranger))

    def _dossier_faults(self, signed: SignedAct) -> Iterator[str]:
        seq = signed.act.seq
        try:
            dossier = self._source.dossier(signed)
            if seq in self._register.erased:
                yield from self._still_there(seq, dossier)
            elif dossier is not None:
                self._checked += 1
                yield from self._content_faults(signed, dossier.members())
            elif self._source.expected(signed):
                yield _("its dossier is not there")
            else:
                self._absent += 1
        except BlocklistError as fault:
            yield fault.message
        except (ValueError, TypeError, RecursionError):
            yield _("its dossier is no JSON object")

    def _still_there(self, seq: int, dossier: object) -> Iterator[str]:
        if dossier is None:
            self._erased += 1
        else:
            yield _(
                "its dossier is still there, though act {erasing} says that it was destroyed",
                erasing=self._erasing.get(seq, 0),
            )

    def _content_faults(self, signed: SignedAct, members: Mapping[str, Any]) -> Iterator[str]:
        body = signed.act.body
        if isinstance(body, acts.Add):
            yield from self._addition_faults(signed.act.seq, body, members)
        for entry in entries_of(members):
            self._evidence.add(str(entry.get("sha256")))
            fault = self._source.evidence.fault(entry)
            if fault is not None:
                yield fault

    def _addition_faults(self, seq: int, body: acts.Add, members: Mapping[str, Any]) -> Iterator[str]:
        """What the office asks of an addition, by the policy of its time."""
        if not _opens(body, members):
            yield _("its dossier holds other names than were signed")
            return
        missing = lacking(self._policies[seq], body.ground, body.basis, members)
        if missing:
            yield _("its dossier lacks {missing}", missing=", ".join(missing))
        names = decoders.read_names(members.get("names")).each()
        refs = body.requests if body.requests and not members.get("like") else ()
        for name in unnamed(names, refs, self._register.requests) if refs else ():
            yield _("no request that it cites named {name}", name=name.text)

    def _check_evidence(self) -> None:
        """Files that no dossier names harm nobody; what was erased may have left one, so it is said."""
        if self._source.dossiers is not Where.HERE:
            return
        try:
            kept = self._source.evidence.kept()
        except OSError as fault:
            self._remarks.append(_("the folder of evidence cannot be read: {reason}", reason=fault.strerror))
            return
        for name in sorted(kept - self._evidence):
            if not self._source.cited(name):
                self._remarks.append(_("a file of evidence is named by no dossier: {name}", name=name))


def _in_act_order(fault: Fault) -> tuple[bool, int]:
    return fault.act is None, fault.act or 0


def _current_faults(
    repository: Repository, list_id: str, ids: list[str], told: Collection[int | None]
) -> Iterator[Fault]:
    """What is wrong with the metadata of the tree, and with the files that they name now.

    Args:
        repository: The tree.
        list_id: Whose part of it.
        ids: The ids of the register's acts.
        told: The acts whose releases were found at fault already.
    """
    try:
        current = repository.current(list_id)
        damaged = repository.damaged(list_id, waiting=False)
    except BlocklistError as fault:
        yield Fault(None, fault.message)
        return
    number = current.head.seq if current else None
    for path in damaged:
        yield Fault(number, _("{path} is not what was published", path=path))
    if current is None or current.head.seq in told:
        return
    if ids[current.head.seq - 1 : current.head.seq] != [current.head.id]:
        yield Fault(current.head.seq, _("the last release names another act of this number"))


def _opens(body: acts.Add, members: Mapping[str, Any]) -> bool:
    """Whether the names in the dossier of a proposal are those that it commits to."""
    try:
        names = decoders.read_names(members.get("names"))
        return len(names) == body.count and names.commitment(str(members.get("salt"))) == body.commitment
    except (BlocklistError, ValueError):
        return False
