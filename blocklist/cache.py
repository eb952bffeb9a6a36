"""Opening a register without replaying thirty years of acts: verified state, kept beside the register.

An account replays the acts that follow the head at which it last kept its state, each checked in full, and keeps the
state again after every hundred or so. The cache is bound to that head: a register that does not hold it is replayed
from its first act. So is every register in an audit and by the publisher, who never look here.

A cache is trusted like the account that wrote it, whose programs could as well show it another register. It can be
believed by nobody else: each account reads only the file that it owns and that nobody else may write. Whatever is
wrong with a file, it is as if there were none.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from blocklist import acts, files, states
from blocklist.acts import Body, SignedAct
from blocklist.errors import BlocklistError, VerificationError
from blocklist.fields import Names
from blocklist.instants import CLOCK_TOLERANCE
from blocklist.messages import Progress, _, quietly
from blocklist.register import Register
from blocklist.replay import extend
from blocklist.store import Store

MAX_NAMES = 100_000
"""The state of a larger register is not kept: few acts list so many names, and reading them costs more."""

_MAX_FILE = 256 * 1024 * 1024
_FOLDER_MODE = 0o1777
"""Every account that may enter `lists/` keeps a file here, the publisher's too; none can remove another's (sticky)."""


@dataclass(slots=True)
class Index:
    """Which acts are about a name, for `show` and `log`.

    `mentions` has the numbers of the acts that name a name, `leads` those of the acts that belong to an act: to an
    approval what it approves, to an addition the requests that it cites, to a request its answers, to a
    recommendation the response, to any act its rejection and its erasure.
    """

    mentions: dict[str, list[int]] = field(default_factory=dict)
    leads: dict[int, list[int]] = field(default_factory=dict)
    recent: list[tuple[int, Names]] = field(default_factory=list)
    """Names of acts that `mentions` does not hold yet: a dictionary of a million names is made for no command."""

    def note(self, signed: SignedAct) -> None:
        """Take in the act that follows."""
        seq, body = signed.act.seq, signed.act.body
        names = getattr(body, "names", None)
        if names is not None:
            self.recent.append((seq, names))
        for source, target in _belonging(seq, body):
            self.leads.setdefault(source, []).append(target)

    def about(self, text: str) -> list[int]:
        """The numbers of all acts about a name, in either scope, in order."""
        recent = (seq for seq, names in self.recent if _holds(names, text))
        return self.reached_from([*self.mentions.get(text, ()), *recent])

    def reached_from(self, seqs: Iterable[int]) -> list[int]:
        """These acts and all that belong to them, in order."""
        reached, found = list(seqs), set[int]()
        while reached:
            seq = reached.pop()
            if seq not in found:
                found.add(seq)
                reached += self.leads.get(seq, ())
        return sorted(found)

    def settle(self) -> None:
        """Move what is recent to `mentions`."""
        for seq, names in self.recent:
            for text in {*names.domain, *names.host}:
                self.mentions.setdefault(text, []).append(seq)
        self.recent.clear()


def _belonging(seq: int, body: Body) -> list[tuple[int, int]]:
    """Which act the act of that number belongs to, or which ones belong to it, as pairs `(from, to)`."""
    if isinstance(body, acts.Approve):
        return [(seq, body.act.seq)]
    if isinstance(body, acts.Add):
        return [(seq, ref.seq) for ref in body.requests or ()]
    if isinstance(body, acts.Answer):
        return [(body.request.seq, seq)]
    if isinstance(body, acts.Respond):
        return [(body.recommendation.seq, seq)]
    return [(body.act.seq, seq)] if isinstance(body, acts.Reject | acts.Erase) else []


def _holds(names: Names, text: str) -> bool:
    """Whether the name is one of them, in either scope; both are sorted."""
    places = ((texts, bisect_left(texts, text)) for _scope, texts in names.by_scope())
    return any(place < len(texts) and texts[place] == text for texts, place in places)


@dataclass(frozen=True, slots=True)
class State:
    """A register at its head, verified, with the index of its acts."""

    register: Register
    index: Index


def open_state(store: Store, list_id: str, lists: Path, now: datetime, progress: Progress = quietly) -> State:
    """Read a register up to its head: from the cache in the folder `lists` and what follows, or from its first act.

    Raises:
        VerificationError: An act that was read is not genuine, breaks a rule or is dated in the future.
    """
    path = lists / "cache" / f"{list_id}.{os.geteuid()}.json"
    state = _kept(path, store, list_id, now) or State(Register(), Index())
    before = len(state.register.ids)
    head = store.head(list_id)
    with progress(_("replaying the register"), head.seq - before if head else 0) as advance:
        for signed in extend(state.register, store.lines(list_id, after=before), now):
            state.index.note(signed)
            advance(1)
    if len(state.register.ids) - before > states.KEEP_AFTER and len(state.register.measures()) <= MAX_NAMES:
        _keep(path, state)
    return state


def act(store: Store, register: Register, seq: int) -> SignedAct:
    """One act of a verified register, read from the store again.

    Raises:
        VerificationError: The store has something else in its place, or nothing.
    """
    return _verified(store.line(register.list_id, seq), register.ids[seq - 1], seq)


def every_act(store: Store, register: Register) -> Iterator[SignedAct]:
    """All acts of a verified register, read from the store again.

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


# The file


def _kept(path: Path, store: Store, list_id: str, now: datetime) -> State | None:
    """What was kept, if it is this account's own and of this register, and the clock has not gone back since."""
    try:
        state = from_cache(_own_file(path))
        if state.register.list_id == list_id and state.register.at <= now + CLOCK_TOLERANCE:
            act(store, state.register, state.register.head.seq)
            return state
    except states.UNUSABLE:
        pass  # replaying from the first act finds out what is wrong, if anything is
    return None


def _own_file(path: Path) -> bytes:
    """The content of a file that nobody but this account can have written.

    Raises:
        OSError: It is not there, or not such a file.
    """
    # Without O_NONBLOCK, opening a pipe that somebody put there would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        private = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o600
        if not (private and stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_FILE):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stream.read()


def _keep(path: Path, state: State) -> None:
    """Write the cache; where that is not possible, the next command replays again."""
    with suppress(OSError, BlocklistError):
        if not path.parent.is_dir():
            path.parent.mkdir()
            path.parent.chmod(_FOLDER_MODE)
        files.replace(path, to_cache(state), 0o600)


def to_cache(state: State) -> bytes:
    """The content of a cache."""
    state.index.settle()
    index = {"mentions": state.index.mentions, "leads": list(state.index.leads.items())}
    return states.seal(None, states.write(state.register, index))


def from_cache(content: bytes) -> State:
    """The state that `to_cache` wrote, equal in everything.

    Raises:
        ValueError: It is not the content of a cache, or one of another version.
    """
    register, members = states.read(states.unseal(content)[1])
    return State(register, Index(members["mentions"], dict(members["leads"])))
