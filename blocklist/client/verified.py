"""The register as this subscriber verified it last, so that the next pull replays only the acts that are new.

It belongs to the very bytes of the acts that it came from, in a folder that nobody else can open. Whatever is wrong
with it, it is as if there were none, and every act is replayed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from blocklist import files, states
from blocklist.client.fetch import first_octets
from blocklist.client.folder import MALFORMED
from blocklist.errors import BlocklistError
from blocklist.register import Register

if TYPE_CHECKING:
    from datetime import datetime

    from blocklist.client.fetch import Acts
    from blocklist.client.record import Record
    from blocklist.client.state import ListState

_MAX_FILE = 1 << 30


class Verified(NamedTuple):
    """A register, and how many octets of the acts it has seen."""

    register: Register
    length: int


def start(state: ListState, acts: Acts, oldest: int, now: datetime) -> Verified:
    """Where a replay of these acts can begin: no later than at the act number `oldest`; else with none."""
    with suppress(OSError, LookupError, BlocklistError, *MALFORMED):
        members = states.unseal(files.read(state.verified_path, "", _MAX_FILE))
        length = int(members["acts"]["length"])
        if len(members["ids"]) <= oldest and 0 < length <= acts.known_length:
            digest = files.digest(first_octets(acts.known, length))
            if digest == (members["acts"]["sha256"], length):
                register = states.read_register(members)
                if register.at <= now:
                    return Verified(register, length)
    return Verified(Register(), 0)


def keep(state: ListState, record: Record, register: Register, replayed: int) -> None:
    """Keep a register that was replayed to the head of the newest accepted release, if that was much work."""
    if replayed <= states.KEEP_AFTER or register.head != record.newest.head:
        return
    with suppress(OSError, BlocklistError):  # without it the next pull takes longer
        digest = files.digest(first_octets(state.acts_path(record), record.newest.acts_length))
        about: dict[str, Any] = {"acts": {"length": digest.length, "sha256": digest.sha256}}
        files.replace(state.verified_path, states.seal(states.write_register(register) | about), 0o600)
