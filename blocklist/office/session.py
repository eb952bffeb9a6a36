"""A session of one officer: a register that was opened and verified, and the way to append acts to it.

Signing and appending is a compare-and-swap. Whoever lost the race takes up the acts that came in between, has
everything checked again on top of them, and signs anew what the person was shown.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from blocklist.base.errors import BlocklistError, UsageError, VerificationError
from blocklist.base.i18n import Progress, _, quietly
from blocklist.keys.encoding import signer
from blocklist.names.domain_name import Name, Names, Scope, normalise
from blocklist.names.guards import Guards, Suffixes, Surroundings
from blocklist.register import acts, decoders, policy, replay
from blocklist.register.acts import Act, Body, SignedAct
from blocklist.register.decoders import MAX_NAMES, Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Pending, State
from blocklist.register.replay import extend
from blocklist.store.database import ConflictError
from blocklist.store.evidence import Evidence
from blocklist.store.store import Dossier, HeadMemory, Store
from blocklist.workspace import Workspace

Said = tuple[Body, Dossier | None]
"""What one act will say: its body, and its dossier if it has one."""

_E = TypeVar("_E")
_ATTEMPTS = 50
"""How often a writer that lost the race tries again; each time somebody else got an act in."""


class Session:
    """A register that was opened and verified, for the officer who acts; use it as a context manager.

    Args:
        workspace: Where it is, and which of its lists is meant.
        clock: Tells the time, in UTC; asked again for every act, since a person may take long to answer.
        officer: Who signs; None for commands that only read.
        progress: Told about long work.

    Raises:
        UsageError: There is no register.
        VerificationError: The register is not what was signed, or lacks what this key folder has seen.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: Callable[[], datetime],
        officer: str | None = None,
        progress: Progress = quietly,
    ) -> None:
        self.workspace = workspace
        self.officer = officer
        self.evidence = Evidence(workspace.lists / "evidence")
        self.store = workspace.open_store()
        self.progress = progress
        self._clock = clock
        self._memory = HeadMemory(workspace.keys.path)
        self._signer: Any = None
        try:
            self.list_id = workspace.chosen(self.store.lists())
            self._open()
            self._memory.check(self.register)
        except BaseException:
            self.store.close()
            raise

    def _open(self) -> None:
        self.now = self._clock().replace(microsecond=0)
        try:
            state = open_state(self.store, self.list_id, self.workspace.lists, self.now, self.progress)
        except VerificationError as fault:
            mend = _("to go on without the acts that do not verify, see 'blocklist store repair'")
            fault.hint = f"{fault.hint}\n{mend}" if fault.hint else mend
            raise
        self.register, self.index = state.register, state.index

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the register."""
        self.store.close()

    # Reading acts and dossiers

    def act(self, seq: int) -> SignedAct:
        """The act of that number, which is the one that was verified.

        Raises:
            UsageError: There is none.
            VerificationError: The database holds another one now.
        """
        if not 1 <= seq <= len(self.register.ids):
            raise UsageError(_("there is no act {seq}", seq=seq), _("see 'blocklist log' for the numbers of acts"))
        return act(self.store, self.register, seq)

    def acts(self) -> Iterator[SignedAct]:
        """All acts, in order.

        Raises:
            VerificationError: The database holds other ones now.
        """
        return every_act(self.store, self.register)

    def dossier_of(self, seq: int) -> dict[str, Any]:
        """What is confidential about an act; empty when it has no dossier, or one that was destroyed.

        Raises:
            UsageError: This account may not read dossiers.
            VerificationError: It is not the one that the act commits to.
        """
        dossier = self.store.dossier(self.act(seq))
        try:
            return {} if dossier is None else dossier.members()
        except (ValueError, TypeError, RecursionError) as fault:
            raise VerificationError(
                _("the dossier of act {seq} is no JSON object", seq=seq), _("ask its author what was meant")
            ) from fault

    # Signing

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

    def commit(self, build: Callable[[], Iterable[Said]]) -> list[SignedAct]:
        """Sign and append acts, all or none.

        Args:
            build: Checks what is to be said against the register as it stands, and says it. Called again when
                somebody else was faster, so it must depend on nothing but the register and what a person was shown.

        Raises:
            ConflictError: Others were faster each time.
            RuleError: The register refuses an act. In both cases nothing was appended.
        """
        self.require_officer()
        for attempt in range(_ATTEMPTS):
            self.now = self._clock().replace(microsecond=0)
            said = list(build())
            if not said:
                return []
            signed = [self._sign(body, dossier) for body, dossier in said]
            try:
                self.store.append(self.list_id, signed, [dossier for _body, dossier in said])
            except ConflictError:
                self._open()
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                self._memory.remember(self.register.id, signed[-1].ref)
                return signed
        raise AssertionError("the last attempt returns or raises")

    def state(self, body: Body, **confidential: object) -> SignedAct:
        """Append one act, with a dossier if there is anything confidential to keep.

        Raises:
            RuleError: The register refuses it; nothing was appended.
        """
        return self.commit(lambda: [(body, dossier_with(confidential))])[0]

    @contextmanager
    def keeping_evidence(self, paths: Sequence[Path]) -> Iterator[Callable[[], list[dict[str, object]]]]:
        """Keep files for an act: once, however often it is built, and not at all if it is refused."""
        before = len(self.evidence.added)
        try:
            yield cache(lambda: [self._keep(path) for path in paths])
        except BaseException:
            for digest in self.evidence.added[before:]:
                if not self.store.mentioning(digest):
                    self.evidence.remove(digest)
            raise

    def _keep(self, path: Path) -> dict[str, object]:
        size = path.stat().st_size if path.is_file() else 0
        with self.progress(_("keeping {path}", path=path), size) as advance:
            return self.evidence.keep(path, self.now, advance)

    def state_with_evidence(self, body: Body, members: Mapping[str, object], evidence: Sequence[Path]) -> SignedAct:
        """Append one act with a dossier that names files of evidence, which are kept."""
        with self.keeping_evidence(evidence) as keep:
            return self.commit(lambda: [(body, dossier_with({**members, "evidence": keep()}))])[0]

    def _sign(self, body: Body, dossier: Dossier | None) -> SignedAct:
        """Sign one act on top of the register, and let the register judge it."""
        officer = self.require_officer()
        if self._signer is None:
            self._signer = signer(self.workspace.keys.private(officer))
        signed = acts.sign(
            Act(
                seq=self.register.head.seq + 1,
                at=max(self.now, self.register.at),
                by=officer,
                body=body,
                nonce=secrets.token_hex(16),
                register=self.register.id,
                prev=self.register.head.id,
                dossier=dossier.commitment if dossier else None,
            ),
            self._signer,
        )
        self.register.apply(signed)
        self.index.note(signed)
        return signed

    # Names and guards

    def guards(self) -> Guards:
        """The guards of the policy in force."""
        valid = self.register.policy
        surroundings = Surroundings(
            protected=valid.protected,
            platforms=valid.platforms,
            own=policy.own_names(valid),
            test=self.register.environment == "test",
        )
        return Guards(surroundings, self.suffixes())

    def suffixes(self) -> Suffixes:
        """The suffix list, as this environment knows it."""
        return Suffixes(test=self.register.environment == "test")

    def read_name(self, text: str, scope: Scope | None, *, allow_mixed: bool = False) -> Name:
        """What a person typed, with the scope that it has if none was said.

        Raises:
            NameRefused: It is not a name that can be listed.
        """
        canonical = normalise(text, allow_mixed=allow_mixed)
        return Name(canonical, scope or self.suffixes().default_scope(canonical))

    # What waits

    def waiting_names(self) -> Iterator[tuple[Pending, list[Name]]]:
        """Every proposal that waits and whose dossier can be read here, with its names."""
        for entry in self.register.waiting(self.now):
            try:
                proposed = self.proposed_names(entry)
            except BlocklistError:
                continue  # nothing can be said of its names; whoever approves it, or audits, is told why
            if proposed is not None:
                yield entry, proposed[0].each()

    def pending(self, seq: int) -> Pending:
        """The act of that number, if it waits for an approval.

        Raises:
            UsageError: It does not.
        """
        message = _("act {seq} does not wait for an approval", seq=seq)
        return numbered(self.register.pending, seq, message, _("see 'blocklist status' for what waits"))

    def open_request(self, seq: int) -> Ref:
        """The removal request of that number.

        Raises:
            UsageError: There is none.
        """
        message = _("act {seq} is not a removal request", seq=seq)
        return numbered(self.register.requests, seq, message, _("'blocklist due' lists those that are open")).ref

    def is_closed(self, seq: int) -> bool:
        """Whether the removal request of that number is closed: the content was removed, or nobody was reached."""
        request = self.register.requests.get(seq)
        return request is not None and request.is_closed

    def proposed_names(self, entry: Pending) -> tuple[Names, str] | None:
        """The names and salt that a pending `add` commits to, from its dossier; None for other acts.

        Raises:
            UsageError: The dossier is not there.
            VerificationError: The dossier is not the one that was signed.
        """
        body, seq = entry.act.body, entry.ref.seq
        if not isinstance(body, acts.Add):
            return None
        members = self.dossier_of(seq)
        if not members:
            raise UsageError(
                _("the dossier of act {seq} is not here", seq=seq), _("its author rejects it and adds anew")
            )
        names, salt = decoders.read_names(members.get("names")), decoders.read_salt(members.get("salt"))
        if names.commitment(salt) != body.commitment:
            raise VerificationError(
                _("the dossier of act {seq} holds other names than were signed", seq=seq),
                _("restore it from a backup, or reject the act"),
            )
        return names, salt

    # What is known of a name

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
            raise UsageError(_("{name} was never listed", name=canonical), _("see 'blocklist list' for what is"))
        return (listed or known)[0]

    def typed(self, text: str) -> str:
        """The canonical form of a name that a person typed to look something up.

        Raises:
            NameRefused: It is no name.
        """
        return normalise(text, allow_mixed=True)

    def state_of(self, name: Name) -> State:
        """What the acts say of a name now."""
        measure = self.register.measures().get(name)
        return State.UNLISTED if measure is None else measure.state(self.now)

    def review_until(self) -> datetime:
        """The latest review date that can be given now."""
        return self.now + timedelta(seconds=self.register.policy.review)


def numbered(entries: Mapping[int, _E], seq: int, message: str, hint: str) -> _E:
    """What has that number among `entries`.

    Raises:
        UsageError: Nothing has.
    """
    if seq not in entries:
        raise UsageError(message, hint)
    return entries[seq]


def dossier_with(members: Mapping[str, object]) -> Dossier | None:
    """A dossier of what there is to keep, or none."""
    kept = {key: value for key, value in members.items() if value}
    return Dossier.of(kept) if kept else None


def one_act(names: Sequence[Name]) -> Names:
    """The names as one act holds them.

    Raises:
        UsageError: There are none, or too many.
    """
    split = parts(names)
    if len(split) != 1:
        raise UsageError(_("an act holds 1 to {most} names", most=MAX_NAMES), _("split them over several commands"))
    return split[0]


def parts(names: Sequence[Name]) -> list[Names]:
    """Return the names in as many sorted sets as acts are needed."""
    ordered = sorted(set(names))
    return [
        Names(
            tuple(name.text for name in part if name.scope is Scope.DOMAIN),
            tuple(name.text for name in part if name.scope is Scope.HOST),
        )
        for part in (ordered[start : start + MAX_NAMES] for start in range(0, len(ordered), MAX_NAMES))
    ]


# Opening a register without replaying thirty years of acts: verified state, kept beside the register

MAX_KEPT = 100_000
"""The state of a larger register is not kept: few acts list so many names, and reading them costs more."""


def open_state(store: Store, list_id: str, lists: Path, now: datetime, progress: Progress = quietly) -> replay.State:
    """Read a register up to its head: the state kept in the folder `lists` and what follows, or from its first act.

    Raises:
        VerificationError: An act that was read is not genuine, breaks a rule or is dated in the future.
    """
    path = lists / "cache" / f"{list_id}.{os.geteuid()}.json"
    state = replay.read_own(path, list_id, now)
    if state is None or not _holds_head(store, state.register):
        state = replay.State(Register())
    before = len(state.register.ids)
    head = store.head(list_id)
    with progress(_("replaying the register"), head.seq - before if head else 0) as advance:
        for signed in extend(state.register, store.lines(list_id, after=before), now):
            state.index.note(signed)
            advance(1)
    if len(state.register.ids) - before > replay.KEEP_AFTER and len(state.register.measures()) <= MAX_KEPT:
        replay.write_own(path, state)
    return state


def _holds_head(store: Store, register: Register) -> bool:
    try:
        act(store, register, register.head.seq)
    except BlocklistError:
        return False  # replaying from the first act finds out what is wrong, if anything is
    return True


def act(store: Store, register: Register, seq: int) -> SignedAct:
    """Return one act of a verified register, read from the store again.

    Raises:
        VerificationError: The store has something else in its place, or nothing.
    """
    return _verified(store.line(register.list_id, seq), register.ids[seq - 1], seq)


def every_act(store: Store, register: Register) -> Iterator[SignedAct]:
    """Yield all acts of a verified register, read from the store again.

    Raises:
        VerificationError: The store has something else in the place of one, or nothing.
    """
    lines = store.lines(register.list_id)
    for seq, act_id in enumerate(register.ids, 1):
        yield _verified(next(lines, None), act_id, seq)


def _verified(line: bytes | None, act_id: str, seq: int) -> SignedAct:
    """An act is known by its id, which the register got from the bytes that were verified."""
    if line is not None:
        signed = acts.read_line(line)
        if signed.id == act_id:
            return signed
    raise VerificationError(
        _("act {seq} is not the one that was verified", seq=seq), _("'blocklist audit' checks every act")
    )
