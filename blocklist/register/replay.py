"""Replaying a register from its envelopes: from the first act, or from a state that was verified and kept in a file.

There are two kinds of file. The publisher and a provider keep a register with the digest of the very bytes of the acts
that it came from, which are compared each time (`kept`, `came_from`, `keep`). Each account of an office keeps one with
an index of its acts, bound to the head, in a file that nobody else can have written (`read_own`, `write_own`).

What is read there is trusted like the account that wrote it, and not verified again. Whatever is wrong with a file, it
is as if there were none, and every act is replayed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import chain, compress, count, pairwise, repeat
from operator import is_not
from pathlib import Path
from typing import NamedTuple

import msgspec

from blocklist import __version__
from blocklist.base import durable
from blocklist.base.durable import Written
from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey
from blocklist.names.domain_name import Names, Scope
from blocklist.register import acts
from blocklist.register.acts import Body, SignedAct
from blocklist.register.decoders import CLOCK_TOLERANCE, Ref
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measure, Measures, Officer, Pending, Recommendation, Request
from blocklist.register.policy import Policy, check_clock


def from_beginning(lines: Iterable[bytes], now: datetime) -> Iterator[tuple[SignedAct, Register]]:
    """Apply envelopes one by one, each checked in full; yields the act and the register after it.

    Raises:
        VerificationError: An act is not genuine, breaks a rule or is dated in the future; names its number.
    """
    register = Register()
    for signed in extend(register, lines, now):
        yield signed, register


def extend(register: Register, lines: Iterable[bytes], now: datetime) -> Iterator[SignedAct]:
    """Apply the envelopes that follow the head of `register`; yield each act once it is applied.

    Raises:
        VerificationError: See `from_beginning`.
    """
    for number, line in enumerate(lines, len(register.ids) + 1):
        try:
            signed = acts.read_line(line)
            check_clock(signed.act, now)
            register.apply(signed)
        except BlocklistError as fault:
            raise VerificationError(
                _("act {number}: {message}", number=number, message=fault.message), fault.hint
            ) from fault
        yield signed


KEEP_AFTER = 100
"""How many acts are replayed before it is worth to keep the state anew."""

_UNUSABLE = (
    OSError, BlocklistError, msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, RecursionError,
)  # fmt: skip
"""What reading a kept state can raise, whatever is in its file."""

_MAX_FILE, _MAX_OWN_FILE = 1 << 30, 1 << 28
"""Bytes of a publisher's or a provider's file, and of one account's."""

_FOLDER_MODE = 0o1777
"""Of `lists/cache`: every account that may enter `lists/` keeps a file there; none can remove another's (sticky)."""


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
        """Return the numbers of all acts about a name, in either scope, in order."""
        recent = (seq for seq, names in self.recent if _holds(names, text))
        return self.reached_from([*self.mentions.get(text, ()), *recent])

    def reached_from(self, seqs: Iterable[int]) -> list[int]:
        """Return these acts and all that belong to them, in order."""
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
    """Return which act the act number `seq` belongs to, or which ones belong to it, as pairs `(from, to)`."""
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
    """Tell whether the name is one of them, in either scope; both are sorted."""
    places = ((texts, bisect_left(texts, text)) for _scope, texts in names.by_scope())
    return any(place < len(texts) and texts[place] == text for texts, place in places)


@dataclass(frozen=True, slots=True)
class State:
    """A verified register at its head, with what is kept beside it.

    Attributes:
        register: The register.
        index: The index of its acts; empty where `seen` binds the register to them.
        seen: Digest and length of the acts that the register came from.
    """

    register: Register
    index: Index = field(default_factory=Index)
    seen: Written | None = None


# The register and the acts that it came from: the publisher's file, and a provider's


def kept(path: Path, oldest: int, now: datetime) -> State | None:
    """Return the register that was kept in a file, if a replay can begin with it.

    Args:
        path: Where a register may have been kept.
        oldest: The first act after which the register is wanted.
        now: The clock.
    """
    if path.exists():
        with suppress(*_UNUSABLE):
            state = decode(durable.read(path, "", _MAX_FILE))
            if state.seen is not None and 0 < len(state.register.ids) <= oldest and state.register.at <= now:
                return state
    return None


def came_from(state: State, content: Iterable[bytes]) -> bool:
    """Tell whether a kept register came from these very bytes.

    Args:
        state: See `kept`.
        content: The acts in chunks, as far as `state.seen` goes.
    """
    try:
        return durable.digest(content) == state.seen
    except (OSError, BlocklistError):
        return False


def keep(path: Path, register: Register, seen: Written) -> None:
    """Keep a register that came from these acts; worth it after `KEEP_AFTER` of them."""
    with suppress(OSError, BlocklistError):  # without the file the next replay takes longer
        durable.make_folder(path.parent, 0o700)
        for unfinished in path.parent.glob(f"{durable.TEMPORARY}{path.name}-*"):
            unfinished.unlink(missing_ok=True)  # of a process that was killed: whoever keeps a register holds a lock
        durable.note(path, encode(State(register, seen=seen)))


# The register and the index of its acts: the file of one account of the office


def read_own(path: Path, list_id: str, now: datetime) -> State | None:
    """Return the state that this account kept of `list_id`, unless the clock has gone back since."""
    with suppress(*_UNUSABLE):
        state = decode(_own_content(path))
        register = state.register
        if state.seen is None and register.list_id == list_id and register.at <= now + CLOCK_TOLERANCE:
            return state
    return None


def _own_content(path: Path) -> bytes:
    """Return the content of a file that nobody but this account can have written.

    Raises:
        OSError: It is not there, or not such a file.
    """
    # Without O_NONBLOCK, opening a pipe that somebody put there would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        private = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o600
        if not (private and stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_OWN_FILE):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stream.read()


def write_own(path: Path, state: State) -> None:
    """Keep a state for this account; where that is not possible, the next command replays again."""
    with suppress(OSError, BlocklistError):
        if not path.parent.is_dir():
            path.parent.mkdir()
            path.parent.chmod(_FOLDER_MODE)
        durable.replace(path, encode(state), 0o600)


# The content of both


class _Decided(NamedTuple):
    """A measure with its names: they go on sharing it."""

    measure: Measure
    domain: list[str]
    host: list[str]


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds, as JSON; public keys and acts are the texts that are signed."""

    seen: Written | None
    index: Index
    ids: list[str]
    at: datetime
    list_id: str
    environment: str
    policies: list[tuple[datetime, Policy]]
    officers: list[tuple[str, str, str, datetime, datetime | None]]
    pending: list[tuple[str, Ref, tuple[str, ...]]]
    requests: dict[int, Request]
    recommendations: dict[int, Recommendation]
    erased: set[int]
    annulled: set[str]
    holders: dict[str, str]
    parents: set[str]
    measures: list[_Decided]


def encode(state: State) -> bytes:
    """Return the content of a file."""
    state.index.settle()
    register = state.register
    content = _Content(
        seen=state.seen,
        index=state.index,
        ids=register.ids,
        at=register.at,
        list_id=register.list_id,
        environment=register.environment,
        policies=register.policies,
        officers=[(one.id, one.role, one.key.to_base64(), one.since, one.until) for one in register.officers.values()],
        pending=[(one.act.payload().decode(), one.ref, one.approvals) for one in register.pending.values()],
        requests=register.requests,
        recommendations=register.recommendations,
        erased=register.erased,
        annulled=register.annulled,
        holders={key.to_base64(): officer for key, officer in register._holders.items()},
        parents=register._parents,
        measures=_by_measure(register.measures()),
    )
    return seal(msgspec.json.encode(content))


def _by_measure(measures: Measures) -> list[_Decided]:
    """Return each measure once, with its names of both scopes."""
    decided: dict[int, _Decided] = {}
    for scope, names in measures.by_scope():
        texts, values = list(names), list(names.values())
        # Names that were decided together stand together: where the next measure begins is found without a loop.
        begins = compress(count(), map(is_not, values, chain((None,), values)))
        for start, end in pairwise((*begins, len(values))):
            entry = decided.setdefault(id(values[start]), _Decided(values[start], [], []))
            (entry.domain if scope is Scope.DOMAIN else entry.host).extend(texts[start:end])
    return list(decided.values())


def decode(content: bytes) -> State:
    """Return the state that `encode` wrote, equal in everything.

    Raises:
        ValueError: It was written by another version, for other rules or fields, or was damaged.
    """
    kept = msgspec.json.decode(unseal(content), type=_Content)
    register = Register()
    register.ids = kept.ids
    register.at = kept.at
    register.list_id = kept.list_id
    register.environment = kept.environment
    register.policies = kept.policies
    for name, role, key, since, until in kept.officers:
        register.officers[name] = Officer(name, role, PublicKey.from_base64(key), since, until)
    for payload, ref, approvals in kept.pending:
        register.pending[ref.seq] = Pending(acts.parse(payload.encode()), ref, approvals)
    register.requests = kept.requests
    register.recommendations = kept.recommendations
    register.erased = kept.erased
    register.annulled = kept.annulled
    register._holders = {PublicKey.from_base64(key): officer for key, officer in kept.holders.items()}
    register._parents = kept.parents
    for measure, domain, host in kept.measures:
        register._measures[Scope.DOMAIN].update(zip(domain, repeat(measure)))
        register._measures[Scope.HOST].update(zip(host, repeat(measure)))
    return State(register, kept.index, kept.seen)


def seal(content: bytes) -> bytes:
    """Return a line that says what follows, with its digest, and then the content."""
    return b"%b\n%b" % (_header(content), content)


def unseal(sealed: bytes) -> bytes:
    """Return what was sealed.

    Raises:
        ValueError: It was written by another version, for other rules or fields, or was damaged.
    """
    header, _, content = sealed.partition(b"\n")
    if header != _header(content):
        raise ValueError("not a kept state, or one of another version")
    return content


def _header(content: bytes) -> bytes:
    words = ("blocklist cache", __version__, acts.RULES, _layout(), hashlib.sha256(content).hexdigest())
    return " ".join(map(str, words)).encode()


@cache
def _layout() -> str:
    """Return the digest of all types and fields of a content."""
    return hashlib.sha256(msgspec.json.encode(msgspec.json.schema(_Content))).hexdigest()
