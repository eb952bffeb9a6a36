"""The office: one function for each officer's verb, the only place where register, store, guards and keys meet.

A verb checks what it is about to state, signs it, lets the register judge it, and only then appends it. Whatever is
refused on the way has changed nothing.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from blocklist import acts, fields, files, policy
from blocklist.acts import Act, Body, SignedAct
from blocklist.entries import Pending
from blocklist.errors import RefusedError, UsageError, VerificationError
from blocklist.fields import Names
from blocklist.guards import Finding, Guards, Suffixes, Surroundings
from blocklist.measures import State
from blocklist.messages import _
from blocklist.names import Name, NameRefused, Scope, normalise
from blocklist.signing import PublicKey, signer
from blocklist.store import Dossier, HeadMemory, Store
from blocklist.workspace import Workspace, verified

_CHUNK = 1024 * 1024


class GuardError(RefusedError):
    """Names that a guard refuses; `findings` has them all."""

    def __init__(self, findings: Sequence[Finding], hint: str) -> None:
        names = len({finding.name for finding in findings})
        super().__init__(f"{names} {'name is' if names == 1 else 'names are'} refused by the guards", hint)
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an `add` says beside its names; `review_by` None means the whole review period."""

    ground: str
    basis: str
    reference: str
    review_by: datetime | None = None
    note: str = ""
    evidence: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A line of an imported file that cannot be added."""

    line: int
    name: str
    reason: str


class Office:
    """A register that was opened and verified, for the officer who acts; use it as a context manager.

    Args:
        workspace: Where it is.
        now: The clock; every act of one command has this instant.
        officer: Who signs; None for commands that only read.

    Raises:
        UsageError: There is no register, or the officer is unknown to it.
        VerificationError: The register is not what was signed, or lacks what this key folder has seen.
    """

    def __init__(self, workspace: Workspace, now: datetime, officer: str | None = None) -> None:
        self.workspace = workspace
        self.list_id = workspace.only_list()
        self.now = now.replace(microsecond=0)
        self.officer = officer
        self.store = Store(workspace.lists)
        self._memory = HeadMemory(workspace.keys.path)
        self._signer: Any = None
        try:
            self.register, self.acts = verified(self.store, self.list_id, now)
            self._memory.check(self.register)
        except BaseException:
            self.store.close()
            raise

    def __enter__(self) -> Office:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the register."""
        self.store.close()

    # Signing

    def _sign(self, body: Body, dossier: Dossier | None) -> SignedAct:
        """Sign one act on top of the register, and let the register judge it."""
        officer = self.require_officer()
        if self._signer is None:
            self._signer = signer(self.workspace.keys.private(officer))
        act = Act(
            seq=self.register.head.seq + 1,
            at=max(self.now, self.register.at),
            by=officer,
            body=body,
            register=self.register.id,
            prev=self.register.head.id,
            dossier=dossier.commitment if dossier else None,
        )
        signed = acts.sign(act, self._signer)
        self.register.apply(signed)
        self.acts.append(signed)
        return signed

    def require_officer(self) -> str:
        """The officer who signs.

        Raises:
            UsageError: None is named, or none of that id is in office.
        """
        if self.officer is None:
            raise UsageError(_("no officer is named"), _("say who signs with --as ID, or set BLOCKLIST_AS"))
        if self.register.in_office(self.officer) is None:
            raise UsageError(
                _("{officer} is not an officer of this register", officer=self.officer),
                _("see 'blocklist officer list'"),
            )
        return self.officer

    def _append(self, bodies: Iterable[tuple[Body, Dossier | None]]) -> list[SignedAct]:
        """Sign and append acts, all or none."""
        pairs = list(bodies)
        signed = [self._sign(body, dossier) for body, dossier in pairs]
        self.store.append(self.list_id, signed, [dossier for _, dossier in pairs])
        self._memory.remember(self.register.id, signed[-1].ref)
        return signed

    def _state(self, body: Body, **confidential: object) -> SignedAct:
        """Append one act, with a dossier if there is anything confidential to keep."""
        members = {key: value for key, value in confidential.items() if value}
        return self._append([(body, Dossier.of(members) if members else None)])[0]

    # Names and guards

    def guards(self) -> Guards:
        """The guards of the policy in force."""
        valid, suffixes = self.register.policy, self._suffixes()
        surroundings = Surroundings(
            protected=valid.protected,
            platforms=valid.platforms,
            own=policy.own_names(valid),
            test=self.register.environment == "test",
        )
        return Guards(surroundings, suffixes)

    def read_name(self, text: str, scope: Scope | None, *, allow_mixed: bool = False) -> Name:
        """What a person typed, with the scope that it has if none was said.

        Raises:
            NameRefused: It is not a name that can be listed.
        """
        canonical = normalise(text, allow_mixed=allow_mixed)
        return Name(canonical, scope or self._suffixes().default_scope(canonical))

    def _suffixes(self) -> Suffixes:
        return Suffixes(test=self.register.environment == "test")

    def findings(self, names: Sequence[Name]) -> list[Finding]:
        """What the guards say about names that somebody wants to list now."""
        listed = self.register.in_force(self.now)
        again = [
            Finding(
                "covered",
                name.text,
                _("{text} is listed already", text=name.text),
                _("to move its date use 'blocklist review'"),
            )
            for name in names
            if listed.get(name) is not None and name.scope is Scope.HOST
        ]
        return again + self.guards().check(names, listed.domain.keys())

    def require_clean(self, names: Sequence[Name]) -> None:
        """Refuse names that somebody wants to list now.

        Raises:
            GuardError: A guard refuses one of them; it holds all findings.
        """
        found = self.findings(names)
        if found:
            raise GuardError(found, _("nothing was signed; leave these names out, or correct them"))

    # Curation

    def add(self, names: Sequence[Name], proposal: Proposal) -> list[SignedAct]:
        """Propose names, in as many acts as it takes; they wait for another officer's approval.

        Raises:
            GuardError: A guard refuses a name.
            RuleError: The register refuses an act. In both cases nothing was appended.
        """
        self.require_officer()
        self.require_clean(names)
        return self._append(self._proposals(names, proposal))

    def _proposals(self, names: Sequence[Name], proposal: Proposal) -> list[tuple[Body, Dossier]]:
        review_by = proposal.review_by or self.now + timedelta(seconds=self.register.policy.review)
        evidence = [self._keep_evidence(path) for path in proposal.evidence]
        pairs: list[tuple[Body, Dossier]] = []
        for part in _parts(names):
            salt = secrets.token_hex(32)
            body = acts.Add(
                commitment=part.commitment(salt),
                count=len(part),
                ground=proposal.ground,
                basis=proposal.basis,
                review_by=review_by,
            )
            members: dict[str, object] = {"names": part.to_json(), "salt": salt, "reference": proposal.reference}
            members |= {key: value for key, value in (("note", proposal.note), ("evidence", evidence)) if value}
            pairs.append((body, Dossier.of(members)))
        return pairs

    def _keep_evidence(self, path: Path) -> dict[str, object]:
        """Copy a file under its SHA-256, so that what an officer saw can be shown later."""
        folder = self.workspace.lists / "evidence"
        files.make_folder(folder, 0o700)
        try:
            stream = path.open("rb")
        except OSError as fault:
            raise UsageError(
                _("the evidence {path} cannot be read: {strerror}", path=path, strerror=fault.strerror)
            ) from fault
        with stream, files.written(folder):
            temporary = files.beside(folder / path.name)
            copied = files.write_chunks(temporary, iter(lambda: stream.read(_CHUNK), b""), 0o600)
            temporary.replace(folder / copied.sha256)
            files.sync_folder(folder)
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kept = fields.format_instant(self.now)
        return {"sha256": copied.sha256, "size": copied.length, "name": path.name, "type": media_type, "kept": kept}

    def sift(self, entries: Sequence[tuple[int, str]]) -> tuple[list[Name], list[Refused]]:
        """Tell the good names of a file, `(line, text)`, from the lines that are refused, with the reason of each."""
        suffixes, refused = self._suffixes(), []
        lines: dict[Name, int] = {}
        for line, text in entries:
            try:
                canonical = normalise(text)
            except NameRefused as refusal:
                refused.append(Refused(line, text, refusal.message))
            else:
                lines.setdefault(Name(canonical, suffixes.default_scope(canonical)), line)
        by_text = {name.text: line for name, line in lines.items()}
        bad: dict[str, Finding] = {}
        for finding in self.findings(list(lines)):
            bad.setdefault(finding.name, finding)
        refused += [Refused(by_text[text], text, finding.message) for text, finding in bad.items()]
        return [name for name in lines if name.text not in bad], sorted(refused, key=lambda entry: entry.line)

    def waiting_for_me(self) -> list[Pending]:
        """The acts that this officer can approve."""
        officer = self.require_officer()
        return [entry for entry in self.register.waiting(self.now) if self.register.may_approve(entry, officer)]

    def pending(self, seq: int) -> Pending:
        """The act of that number, if it waits for an approval.

        Raises:
            UsageError: It does not.
        """
        entry = self.register.pending.get(seq)
        if entry is None:
            raise UsageError(
                _("act {seq} does not wait for an approval", seq=seq), _("see 'blocklist status' for what waits")
            )
        return entry

    def proposed_names(self, entry: Pending) -> tuple[Names, str] | None:
        """The names and salt that a pending `add` commits to, from its dossier; None for other acts.

        Raises:
            UsageError: The dossier is not there.
            VerificationError: The dossier is not the one that was signed.
        """
        if not isinstance(entry.act.body, acts.Add):
            return None
        dossier = self.store.dossier(self.acts[entry.ref.seq - 1])
        if dossier is None:
            raise UsageError(
                _("the dossier of act {seq} is not here", seq=entry.ref.seq), _("its author rejects it and adds anew")
            )
        members = dossier.members()
        names, salt = fields.read_names(members["names"]), str(members["salt"])
        if names.commitment(salt) != entry.act.body.commitment:
            raise VerificationError(_("the dossier of act {seq} holds other names than were signed", seq=entry.ref.seq))
        return names, salt

    def approve(self, *seqs: int) -> list[SignedAct]:
        """Approve acts of other officers, all or none; guards run again, over all their names together.

        Raises:
            GuardError: A guard refuses a name now, or two of the acts hold it.
            RuleError: The register refuses an approval. In every case nothing was appended.
        """
        officer = self.require_officer()
        bodies: list[tuple[Body, None]] = []
        wanted: list[Name] = []
        for entry in map(self.pending, dict.fromkeys(seqs)):
            self.register.check_approver(entry, officer)
            opened = self.proposed_names(entry)
            names, salt = opened or (None, None)
            bodies.append((acts.Approve(act=entry.ref, names=names, salt=salt), None))
            if names is not None:
                wanted += names.each()
        again = [name.text for name, count in Counter(wanted).items() if count > 1]
        twice = [
            Finding("covered", text, _("{text} is in two of these acts", text=text), _("approve one of them"))
            for text in again
        ]
        found = twice + self.findings(wanted)
        if found:
            raise GuardError(
                found, _("nothing was signed; 'blocklist reject' the act, or approve the others without it")
            )
        return self._append(bodies)

    def reject(self, seq: int, note: str) -> SignedAct:
        """Reject a pending act, or withdraw one's own."""
        self.require_officer()
        return self._state(acts.Reject(act=self.pending(seq).ref), note=note)

    def review(
        self, names: Sequence[Name], outcome: str, review_by: datetime | None, note: str, evidence: Sequence[Path]
    ) -> SignedAct:
        """State that names were verified again (décret 2015-125 art. 4)."""
        self.require_officer()
        if outcome == "still-unlawful":
            review_by = review_by or self.now + timedelta(seconds=self.register.policy.review)
        elif review_by is not None:
            raise UsageError(
                _("outcome {outcome} ends the measure and has no review date", outcome=outcome),
                _("leave out --review-by"),
            )
        kept = [self._keep_evidence(path) for path in evidence]
        body = acts.Review(names=_one_act(names), outcome=outcome, review_by=review_by)
        return self._state(body, note=note, evidence=kept)

    def remove(self, names: Sequence[Name], reason: str, reference: str) -> SignedAct:
        """End measures at once."""
        self.require_officer()
        return self._state(acts.Remove(names=_one_act(names), reason=reason), reference=reference)

    def known_name(self, text: str) -> Name:
        """A name of this register as a person typed it; its scope is the one it is listed with.

        Raises:
            NameRefused: It is no name.
            UsageError: It was never listed.
        """
        canonical = normalise(text, allow_mixed=True)
        known = [name for scope in Scope if self.register.measures().get(name := Name(canonical, scope)) is not None]
        listed = [name for name in known if self.state_of(name) is State.LISTED]
        if not known:
            raise UsageError(
                _("{canonical} was never listed", canonical=canonical), _("see 'blocklist list' for what is")
            )
        return (listed or known)[0]

    def state_of(self, name: Name) -> State:
        """What the acts say of a name now."""
        measure = self.register.measures().get(name)
        return State.UNLISTED if measure is None else measure.state(self.now)

    def typed(self, text: str) -> str:
        """The canonical form of a name that a person typed to look something up.

        Raises:
            NameRefused: It is no name.
        """
        return normalise(text, allow_mixed=True)

    # Officers

    def appoint(self, officer: str, role: str, key: PublicKey) -> SignedAct:
        """Appoint an officer; in production another head approves it, when there is one."""
        self.require_officer()
        return self._state(acts.Appoint(officer=fields.parse_identifier(officer), role=role, key=key.to_base64()))

    def revoke(self, officer: str, reason: str) -> SignedAct:
        """End an officer's appointment; an agent's ends at once."""
        self.require_officer()
        return self._state(acts.Revoke(officer=fields.parse_identifier(officer)), reason=reason)


def _one_act(names: Sequence[Name]) -> Names:
    parts = _parts(names)
    if len(parts) != 1:
        raise UsageError(
            _("an act holds 1 to {MAX_NAMES} names", MAX_NAMES=fields.MAX_NAMES), _("split them over several commands")
        )
    return parts[0]


def _parts(names: Sequence[Name]) -> list[Names]:
    """The names in as many sorted sets as acts are needed."""
    ordered = sorted(set(names))
    return [
        Names(
            tuple(name.text for name in part if name.scope is Scope.DOMAIN),
            tuple(name.text for name in part if name.scope is Scope.HOST),
        )
        for part in (ordered[start : start + fields.MAX_NAMES] for start in range(0, len(ordered), fields.MAX_NAMES))
    ]
