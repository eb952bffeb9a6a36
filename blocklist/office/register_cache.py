"""Opening a register without replaying thirty years of acts: verified state, kept beside the register.

An account replays the acts that follow the head at which it last kept its state, each checked in full, and keeps the
state again after every hundred or so. A state is bound to that head: a register that does not hold it is replayed from
its first act. So is every register in an audit and by the publisher, who never look here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.base.i18n import Progress, _, quietly
from blocklist.register import acts, replay
from blocklist.register.acts import SignedAct
from blocklist.register.fold import Register
from blocklist.register.replay import State, extend
from blocklist.store.store import Store

MAX_NAMES = 100_000
"""The state of a larger register is not kept: few acts list so many names, and reading them costs more."""


def open_state(store: Store, list_id: str, lists: Path, now: datetime, progress: Progress = quietly) -> State:
    """Read a register up to its head: the state kept in the folder `lists` and what follows, or from its first act.

    Raises:
        VerificationError: An act that was read is not genuine, breaks a rule or is dated in the future.
    """
    path = lists / "cache" / f"{list_id}.{os.geteuid()}.json"
    state = replay.read_own(path, list_id, now)
    if state is None or not _holds_head(store, state.register):
        state = State(Register())
    before = len(state.register.ids)
    head = store.head(list_id)
    with progress(_("replaying the register"), head.seq - before if head else 0) as advance:
        for signed in extend(state.register, store.lines(list_id, after=before), now):
            state.index.note(signed)
            advance(1)
    if len(state.register.ids) - before > replay.KEEP_AFTER and len(state.register.measures()) <= MAX_NAMES:
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
