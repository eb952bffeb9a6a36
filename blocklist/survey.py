"""Looking at a register: what is listed, what is known of one name, how things stand, and the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from blocklist import acts, fields
from blocklist.acts import Body, SignedAct
from blocklist.entries import Pending
from blocklist.errors import BlocklistError, UsageError, VerificationError
from blocklist.fields import Names
from blocklist.measures import Measure, Measures, State
from blocklist.messages import _
from blocklist.names import Name
from blocklist.office import Office
from blocklist.register import Register
from blocklist.replay import Fault, audit
from blocklist.repository import Published
from blocklist.store import Store
from blocklist.workspace import Workspace

MANY_HEADS = 3
_STATES = ("pending", "listed", "lapsed", "removed")


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
            "lapsing": [{"name": name.text, "review_by": fields.format_instant(until)} for name, until in self.lapsing],
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


def listed(opened: Office) -> list[Listed]:
    """Every measure with its state: proposed names from the dossiers, the others from the acts."""
    entries = [entry for pending in opened.register.waiting(opened.now) for entry in _proposed(opened, pending)]
    for name in opened.register.measures().names():
        measure = opened.register.measures().get(name)
        if measure is not None:
            entries.append(_listed(name, measure, opened.now))
    return sorted(entries, key=lambda entry: (_STATES.index(entry.state), entry.name))


def _proposed(opened: Office, pending: Pending) -> Iterator[Listed]:
    try:
        body, names = pending.act.body, opened.proposed_names(pending)
    except UsageError:
        return  # its dossier is not here, or not for this account: what is listed can be shown all the same
    if isinstance(body, acts.Add) and names is not None:
        for name in names[0].each():
            yield Listed(
                name,
                "pending",
                body.ground,
                body.basis,
                None,
                body.review_by,
                None,
                (pending.ref.seq,),
            )


def about(opened: Office, text: str) -> list[Listed]:
    """What is known of one name, in either scope."""
    canonical = opened.typed(text)
    return [entry for entry in listed(opened) if entry.name.text == canonical]


def history(opened: Office, text: str) -> list[SignedAct]:
    """The acts about a name, in order."""
    proposals = {seq for entry in about(opened, text) for seq in entry.acts}
    return [
        signed
        for signed in opened.acts
        if signed.act.seq in proposals or _names_it(signed.act.body, text) or _approved(signed.act.body) in proposals
    ]


def status(opened: Office) -> Status:
    """How things stand."""
    register, current = opened.register, opened.workspace.repository.current(opened.list_id)
    in_force = register.in_force(opened.now)
    soon = opened.now + timedelta(seconds=register.policy.warn)
    lapsing = sorted(
        (measure.review_by, name)
        for scope, names in in_force.by_scope()
        for name, measure in ((Name(text, scope), found) for text, found in names.items())
        if measure.review_by <= soon
    )
    return Status(
        opened.list_id,
        register.environment,
        register.id,
        len(register.ids),
        len(in_force),
        tuple((name, until) for until, name in lapsing),
        tuple(_waiting(opened)),
        current,
        tuple(_warnings(opened, in_force, current)),
    )


def _waiting(opened: Office) -> Iterator[Waiting]:
    for entry in opened.register.waiting(opened.now):
        mine = opened.officer is not None and opened.register.may_approve(entry, opened.officer)
        yield Waiting(entry.ref.seq, entry.act.body.kind, entry.act.by, entry.until, mine)


def _warnings(opened: Office, in_force: Measures, current: Published | None) -> Iterator[str]:
    register = opened.register
    if register.environment == "production" and len(register.heads()) < MANY_HEADS:
        yield f"heads in office: {len(register.heads())}; with fewer than three, one lost key can stop the office"
    names = list(in_force.names())
    for finding in opened.guards().check(names, frozenset()):
        yield f"listed against a guard: {finding.message}"
    withheld = sum(1 for name in register.measures().names() if opened.state_of(name) is State.LISTED) - len(names)
    if withheld:
        yield f"{withheld} listed names are withheld because they meet a protected name"
    if current is not None:
        valid_until = datetime.fromtimestamp(current.number, UTC) + timedelta(seconds=register.policy.freshness)
        if opened.now >= valid_until:
            yield f"the last release is stale since {fields.format_instant(valid_until)}: run 'blocklist publish'"


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
        faults += [
            Fault(len(lines), _("{path} is not what was published", path=path))
            for path in workspace.repository.damaged(list_id)
        ]
    except BlocklistError as fault:
        faults.append(Fault(len(lines), fault.message))
    else:
        if current is not None and register.ids[current.head.seq - 1 : current.head.seq] != [current.head.id]:
            faults.append(Fault(current.head.seq, _("the last release names another act of this number")))
    first, last = (register.ids[0], register.ids[-1]) if register.ids else ("", "")
    return Audit(len(lines), last, first, tuple(faults))


def _audit_dossiers(store: Store, lines: Sequence[bytes], register: Register) -> list[Fault]:
    """Each dossier is the one that its act commits to, unless an act says that it was destroyed."""
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            signed = acts.read_line(line)
        except fields.ActError:
            continue  # the chain's own fault, already noted
        try:
            if signed.act.dossier and number not in register.erased and store.dossier(signed) is None:
                faults.append(Fault(number, _("its dossier is not there")))
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
