"""Acts for a store, and what a store holds, checked in full."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kit.fixed import LIST, NONCE, START, key

from blocklist.keys.encoding import signer
from blocklist.register import acts
from blocklist.register.acts import Act, SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.fold import Register
from blocklist.register.replay import from_beginning
from blocklist.store.store import Dossier, Store

SMALL = {"protected": ["protected.example"], "platforms": {}}


def next_act(head: Ref, register: str, dossier: Dossier | None = None, by: str = "agent-1", at=START) -> SignedAct:
    """A request on top of `head`; agents may make them at any time, so any number of them is a register."""
    act = Act(
        seq=head.seq + 1,
        at=at.replace(minute=59),
        by=by,
        body=acts.Request(to="platform"),
        nonce=NONCE,
        register=register,
        prev=head.id,
        dossier=dossier.commitment if dossier else None,
    )
    return acts.sign(act, signer(key(by)))


def folded(folder: Path) -> Register:
    """What the database holds, checked in full."""
    store = Store(folder)
    try:
        *_, (_, register) = from_beginning(store.lines(LIST), START.replace(hour=23))
    finally:
        store.close()
    return register


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work` in a process of its own, with the end of a pipe to write to; returns its id and the other end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            work(writing)
            code = 0
        except BaseException as fault:
            os.write(writing, f"FAILED {fault!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    return child, reading
