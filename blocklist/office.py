"""The office: one function for each officer's verb, the only place where register, store, guards and keys meet.

A verb checks what it is about to state, signs it, lets the register judge it, and only then appends it. Whatever is
refused on the way has changed nothing.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist import acts, files, policy
from blocklist.acts import Act, Body, Names, SignedAct
from blocklist.documents import MAX_FILE
from blocklist.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.guards import Finding, Guards, Suffixes, Surroundings
from blocklist.measures import Measure, Measures, State
from blocklist.names import Name, NameRefused, Scope, normalise
from blocklist.policy import Policy
from blocklist.register import Fault, Pending, Register, audit, replay
from blocklist.repository import Pin, Published, Repository
from blocklist.signing import KeyFolder, PublicKey, signer
from blocklist.store import Dossier, HeadMemory, Store

SHIPPED = ("protected.yaml", "platforms.yaml")
DEFAULT_LIST = "apology-of-terrorism"
MANY_HEADS = 3
_STATES = ("pending", "listed", "lapsed", "removed")
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


@dataclass(frozen=True, slots=True)
class Listed:
    """One measure for people: `state` is pending, listed, lapsed or removed; `acts` proposed, listed or ended it."""

    name: Name
    state: str
    ground: str
    basis: str
    since: datetime | None
    review_by: datetime
    reason: str | None
    acts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An act that waits for an approval; `mine` when the officer who asks can give it."""

    seq: int
    kind: str
    by: str
    until: datetime
    mine: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How a register stands."""

    list_id: str
    environment: str
    register: str
    acts: int
    listed: int
    lapsing: tuple[tuple[Name, datetime], ...]
    waiting: tuple[Waiting, ...]
    release: Published | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "list": self.list_id,
            "environment": self.environment,
            "register": self.register,
            "acts": self.acts,
            "listed": self.listed,
            "lapsing": [{"name": name.text, "review_by": acts.format_instant(until)} for name, until in self.lapsing],
            "waiting": [
                {"act": entry.seq, "kind": entry.kind, "by": entry.by, "mine": entry.mine} for entry in self.waiting
            ],
            "release": self.release.number if self.release else None,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit checked and found."""

    acts: int
    head: str
    register: str
    faults: tuple[Fault, ...]


class Workspace:
    """A folder with `lists/` and `exports/`, as one person or machine with a key folder sees it."""

    def __init__(self, path: Path, keys: KeyFolder) -> None:
        self.path = path
        self.keys = keys
        self.lists = path / "lists"
        self.repository = Repository(path / "exports", self.lists / "trust")

    def policy_files(self, list_id: str) -> dict[str, bytes]:
        """The files of a list's policy as they stand in `lists/`.

        Raises:
            UsageError: One cannot be read.
        """
        name = f"{list_id}.yaml"
        hint = "write one, or choose a list that is shipped"
        content = files.read(self.lists / name, "the policy", MAX_FILE, hint)
        others = policy.file_names(content, list_id)[1:]
        return {name: content} | {
            other: files.read(self.lists / other, "the policy file", MAX_FILE) for other in others
        }

    def only_list(self) -> str:
        """The id of the list of this workspace.

        Raises:
            UsageError: There is none, or more than one.
        """
        store = Store(self.lists)
        try:
            lists = store.lists()
        finally:
            store.close()
        if len(lists) != 1:
            raise UsageError(f"{self.lists} has {len(lists)} registers", "make one with 'blocklist init'")
        return lists[0]


@dataclass(frozen=True, slots=True)
class Founded:
    """What `init` found or made."""

    register: str
    list_id: str
    environment: str
    head: str
    created: bool


def init(
    workspace: Workspace, list_id: str, environment: str, head: str, shipped: Path, now: datetime, *, encrypt: bool
) -> Founded:
    """Make what is missing of a workspace: policy files, the head's key, register, seal and TUF root.

    Raises:
        UsageError: The list, the environment or the policy is not valid, or differs from what is there.
        TargetError: Something could not be written.
    """
    acts.parse_identifier(head)
    files.make_folder(workspace.lists)
    files.make_folder(workspace.path / "exports")
    copied = _copy_shipped(workspace.lists, shipped, list_id)
    contents = workspace.policy_files(list_id)
    valid = policy.load(contents, list_id)
    new_key = not workspace.keys.has(head)
    store = Store(workspace.lists, create=True)
    try:
        if store.head(list_id) is None:
            if new_key:
                workspace.keys.create(head, ed25519.Ed25519PrivateKey.generate(), encrypt=encrypt)
            _found(store, workspace, valid, policy.digests(contents), environment, head, now)
            founded = True
        else:
            founded = False
        register = _verified(store, list_id, now)[0]
    finally:
        store.close()
    if register.environment != environment:
        raise UsageError(
            f"this workspace is of environment {register.environment}", "use another folder; test is not production"
        )
    pin = Pin(list_id, environment, register.id, acts.Ref(1, register.id))
    published = workspace.repository.create(pin, workspace.keys, now, encrypt=encrypt)
    return Founded(register.id, list_id, environment, register.heads()[0], bool(copied or founded or published))


def _copy_shipped(lists: Path, shipped: Path, list_id: str) -> bool:
    copied = False
    for name in (f"{list_id}.yaml", *SHIPPED):
        if not (lists / name).exists() and (shipped / name).exists():
            files.replace(lists / name, (shipped / name).read_bytes())
            copied = True
    return copied


def _found(
    store: Store,
    workspace: Workspace,
    valid: Policy,
    digests: dict[str, str],
    environment: str,
    head: str,
    now: datetime,
) -> None:
    key = workspace.keys.private(head)
    body = acts.Found(
        list=valid.id,
        environment=environment,
        heads=(acts.Head(head, PublicKey.wrap(key.public_key()).to_base64()),),
        policy=valid.to_json(),
        files=digests,
        rules=acts.RULES,
    )
    signed = acts.sign(Act(seq=1, at=now.replace(microsecond=0), by=head, body=body), signer(key))
    Register().apply(signed)
    store.append(valid.id, [signed], [None])
    HeadMemory(workspace.keys.path).remember(signed.id, signed.ref)


def _verified(store: Store, list_id: str, now: datetime) -> tuple[Register, list[SignedAct]]:
    """Replay the whole register: the database is not trusted."""
    steps = list(replay(store.lines(list_id), now))
    return steps[-1][1], [signed for signed, _ in steps]


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
            self.register, self.acts = _verified(self.store, self.list_id, now)
            self._memory.check(self.register)
        except BaseException:
            self.store.close()
            raise

    def __enter__(self) -> Office:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    # Signing

    def _sign(self, body: Body, dossier: Dossier | None) -> SignedAct:
        """Sign one act on top of the register, and let the register judge it."""
        officer = self._require_officer()
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

    def _require_officer(self) -> str:
        if self.officer is None:
            raise UsageError("no officer is named", "say who signs with --as ID, or set BLOCKLIST_AS")
        if self.register.in_office(self.officer) is None:
            raise UsageError(f"{self.officer} is not an officer of this register", "see 'blocklist officer list'")
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
            Finding("covered", name.text, f"{name.text} is listed already", "to move its date use 'blocklist review'")
            for name in names
            if listed.get(name) is not None and name.scope is Scope.HOST
        ]
        return again + self.guards().check(names, listed.domain.keys())

    def _require_clean(self, names: Sequence[Name]) -> None:
        found = self.findings(names)
        if found:
            raise GuardError(found, "nothing was signed; leave these names out, or correct them")

    # Curation

    def add(self, names: Sequence[Name], proposal: Proposal) -> SignedAct:
        """Propose names; they wait for another officer's approval.

        Raises:
            GuardError: A guard refuses a name.
            RuleError: The register refuses the act.
        """
        self._require_officer()
        self._require_clean(names)
        return self._append(self._proposals(names, proposal))[0]

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
            raise UsageError(f"the evidence {path} cannot be read: {fault.strerror}") from fault
        with stream, files.written(folder):
            temporary = files.beside(folder / path.name)
            copied = files.write_chunks(temporary, iter(lambda: stream.read(_CHUNK), b""), 0o600)
            temporary.replace(folder / copied.sha256)
            files.sync_folder(folder)
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kept = acts.format_instant(self.now)
        return {"sha256": copied.sha256, "size": copied.length, "name": path.name, "type": media_type, "kept": kept}

    def import_names(
        self, entries: Sequence[tuple[int, str]], proposal: Proposal, *, skip_refused: bool
    ) -> tuple[list[SignedAct], list[Refused]]:
        """Propose every good name of a file, `(line, text)`, in as many acts as it takes.

        With `skip_refused` unset, one refused line means that nothing is signed.
        """
        self._require_officer()
        names, refused = self._sift(entries)
        if not names or (refused and not skip_refused):
            return [], refused
        return self._append(self._proposals(names, proposal)), refused

    def _sift(self, entries: Sequence[tuple[int, str]]) -> tuple[list[Name], list[Refused]]:
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
        officer = self._require_officer()
        return [entry for entry in self.register.waiting(self.now) if self.register.may_approve(entry, officer)]

    def pending(self, seq: int) -> Pending:
        """The act of that number, if it waits for an approval.

        Raises:
            UsageError: It does not.
        """
        entry = self.register.pending.get(seq)
        if entry is None:
            raise UsageError(f"act {seq} does not wait for an approval", "see 'blocklist status' for what waits")
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
            raise UsageError(f"the dossier of act {entry.ref.seq} is not here", "its author rejects it and adds anew")
        members = dossier.members()
        names, salt = acts.read_names(members["names"]), str(members["salt"])
        if names.commitment(salt) != entry.act.body.commitment:
            raise VerificationError(f"the dossier of act {entry.ref.seq} holds other names than were signed")
        return names, salt

    def approve(self, seq: int) -> SignedAct:
        """Approve exactly one act of another officer; guards run again.

        Raises:
            GuardError: A guard refuses a name now.
            RuleError: The register refuses the approval.
        """
        self._require_officer()
        entry = self.pending(seq)
        opened = self.proposed_names(entry)
        if opened is None:
            return self._state(acts.Approve(act=entry.ref))
        names, salt = opened
        self._require_clean([Name(text, scope) for scope, texts in names.by_scope() for text in texts])
        return self._state(acts.Approve(act=entry.ref, names=names, salt=salt))

    def reject(self, seq: int, note: str) -> SignedAct:
        """Reject a pending act, or withdraw one's own."""
        self._require_officer()
        return self._state(acts.Reject(act=self.pending(seq).ref), note=note)

    def review(
        self, names: Sequence[Name], outcome: str, review_by: datetime | None, note: str, evidence: Sequence[Path]
    ) -> SignedAct:
        """State that names were verified again (décret 2015-125 art. 4)."""
        self._require_officer()
        if outcome == "still-unlawful":
            review_by = review_by or self.now + timedelta(seconds=self.register.policy.review)
        elif review_by is not None:
            raise UsageError(f"outcome {outcome} ends the measure and has no review date", "leave out --review-by")
        kept = [self._keep_evidence(path) for path in evidence]
        body = acts.Review(names=_one_act(names), outcome=outcome, review_by=review_by)
        return self._state(body, note=note, evidence=kept)

    def remove(self, names: Sequence[Name], reason: str, reference: str) -> SignedAct:
        """End measures at once."""
        self._require_officer()
        return self._state(acts.Remove(names=_one_act(names), reason=reason), reference=reference)

    def known_name(self, text: str) -> Name:
        """A name of this register as a person typed it; its scope is the one it is listed with.

        Raises:
            NameRefused: It is no name.
            UsageError: It was never listed.
        """
        canonical = normalise(text, allow_mixed=True)
        known = [name for scope in Scope if self.register.measures().get(name := Name(canonical, scope)) is not None]
        listed = [name for name in known if self._state_of(name) is State.LISTED]
        if not known:
            raise UsageError(f"{canonical} was never listed", "see 'blocklist list' for what is")
        return (listed or known)[0]

    def _state_of(self, name: Name) -> State:
        measure = self.register.measures().get(name)
        return State.UNLISTED if measure is None else measure.state(self.now)

    # Looking

    def typed(self, text: str) -> str:
        """The canonical form of a name that a person typed to look something up.

        Raises:
            NameRefused: It is no name.
        """
        return normalise(text, allow_mixed=True)

    def listed(self) -> list[Listed]:
        """Every measure with its state: proposed names from the dossiers, the others from the acts."""
        entries = [entry for pending in self.register.waiting(self.now) for entry in self._proposed(pending)]
        for name in self.register.measures().names():
            measure = self.register.measures().get(name)
            if measure is not None:
                entries.append(_listed(name, measure, self.now))
        return sorted(entries, key=lambda entry: (_STATES.index(entry.state), entry.name))

    def _proposed(self, pending: Pending) -> Iterator[Listed]:
        body, opened = pending.act.body, self.proposed_names(pending)
        if isinstance(body, acts.Add) and opened is not None:
            for scope, texts in opened[0].by_scope():
                for text in texts:
                    yield Listed(
                        Name(text, scope),
                        "pending",
                        body.ground,
                        body.basis,
                        None,
                        body.review_by,
                        None,
                        (pending.ref.seq,),
                    )

    def about(self, text: str) -> list[Listed]:
        """What is known of one name, in either scope."""
        canonical = self.typed(text)
        return [entry for entry in self.listed() if entry.name.text == canonical]

    def history(self, text: str) -> list[SignedAct]:
        """The acts about a name, in order."""
        proposals = {seq for entry in self.about(text) for seq in entry.acts}
        return [
            signed
            for signed in self.acts
            if signed.act.seq in proposals
            or _names_it(signed.act.body, text)
            or _approved(signed.act.body) in proposals
        ]

    def status(self) -> Status:
        """How things stand."""
        register, current = self.register, self.workspace.repository.current(self.list_id)
        in_force = register.in_force(self.now)
        soon = self.now + timedelta(seconds=register.policy.warn)
        lapsing = sorted(
            (measure.review_by, name)
            for scope, names in in_force.by_scope()
            for name, measure in ((Name(text, scope), found) for text, found in names.items())
            if measure.review_by <= soon
        )
        return Status(
            self.list_id,
            register.environment,
            register.id,
            len(register.ids),
            len(in_force),
            tuple((name, until) for until, name in lapsing),
            tuple(self._waiting()),
            current,
            tuple(self._warnings(in_force, current)),
        )

    def _waiting(self) -> Iterator[Waiting]:
        for entry in self.register.waiting(self.now):
            mine = self.officer is not None and self.register.may_approve(entry, self.officer)
            yield Waiting(entry.ref.seq, entry.act.body.kind, entry.act.by, entry.until, mine)

    def _warnings(self, in_force: Measures, current: Published | None) -> Iterator[str]:
        register = self.register
        if register.environment == "production" and len(register.heads()) < MANY_HEADS:
            yield f"{len(register.heads())} heads in office; with fewer than three, one lost key can stop the office"
        names = list(in_force.names())
        for finding in self.guards().check(names, frozenset()):
            yield f"listed against a guard: {finding.message}"
        withheld = sum(1 for name in register.measures().names() if self._state_of(name) is State.LISTED) - len(names)
        if withheld:
            yield f"{withheld} listed names are withheld because they meet a protected name"
        if current is not None:
            valid_until = datetime.fromtimestamp(current.number, UTC) + timedelta(seconds=register.policy.freshness)
            if self.now >= valid_until:
                yield f"the last release is stale since {acts.format_instant(valid_until)}: run 'blocklist publish'"

    # Officers

    def appoint(self, officer: str, role: str, key: PublicKey) -> SignedAct:
        """Appoint an officer; in production another head approves it, when there is one."""
        self._require_officer()
        return self._state(acts.Appoint(officer=acts.parse_identifier(officer), role=role, key=key.to_base64()))

    def revoke(self, officer: str, reason: str) -> SignedAct:
        """End an officer's appointment; an agent's ends at once."""
        self._require_officer()
        return self._state(acts.Revoke(officer=acts.parse_identifier(officer)), reason=reason)


def audit_workspace(workspace: Workspace, now: datetime) -> Audit:
    """Check a register from its first act, its dossiers and the published head; needs no key.

    Raises:
        UsageError: There is no register.
    """
    list_id = workspace.only_list()
    store = Store(workspace.lists)
    try:
        lines = list(store.lines(list_id))
        register, faults = audit(lines, now)
        faults += _audit_dossiers(store, lines, register)
    finally:
        store.close()
    try:
        current = workspace.repository.current(list_id)
    except BlocklistError as fault:
        faults.append(Fault(len(lines), fault.message))
    else:
        if current is not None and register.ids[current.head.seq - 1 : current.head.seq] != [current.head.id]:
            faults.append(Fault(current.head.seq, "the last release names another act of this number"))
    first, last = (register.ids[0], register.ids[-1]) if register.ids else ("", "")
    return Audit(len(lines), last, first, tuple(faults))


def _audit_dossiers(store: Store, lines: Sequence[bytes], register: Register) -> list[Fault]:
    """Each dossier is the one that its act commits to, unless an act says that it was destroyed."""
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            signed = acts.read_line(line)
        except acts.ActError:
            continue  # the chain's own fault, already noted
        try:
            if signed.act.dossier and number not in register.erased and store.dossier(signed) is None:
                faults.append(Fault(number, "its dossier is not there"))
        except VerificationError as fault:
            faults.append(Fault(number, fault.message))
    return faults


def _listed(name: Name, measure: Measure, now: datetime) -> Listed:
    state = measure.state(now)
    numbers = [number for number in (measure.added, measure.approved, measure.ended_by) if number is not None]
    shown = State.REMOVED if state is State.ANNULLED else state
    return Listed(
        name,
        str(shown),
        measure.ground,
        measure.basis,
        measure.since,
        measure.review_by,
        measure.reason,
        tuple(numbers),
    )


def _names_it(body: Body, text: str) -> bool:
    names = getattr(body, "names", None)
    return isinstance(names, Names) and (text in names.domain or text in names.host)


def _approved(body: Body) -> int | None:
    return body.act.seq if isinstance(body, acts.Approve | acts.Reject) else None


def _one_act(names: Sequence[Name]) -> Names:
    parts = _parts(names)
    if len(parts) != 1:
        raise UsageError(f"an act holds 1 to {acts.MAX_NAMES} names", "split them over several commands")
    return parts[0]


def _parts(names: Sequence[Name]) -> list[Names]:
    """The names in as many sorted sets as acts are needed."""
    ordered = sorted(set(names))
    return [
        Names(
            tuple(name.text for name in part if name.scope is Scope.DOMAIN),
            tuple(name.text for name in part if name.scope is Scope.HOST),
        )
        for part in (ordered[start : start + acts.MAX_NAMES] for start in range(0, len(ordered), acts.MAX_NAMES))
    ]
