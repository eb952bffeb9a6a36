"""Replaying a register as an audit does: it goes on after a fault, so that all of them are found at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import ActError
from blocklist.register.fold import Register
from blocklist.register.policy import check_clock


@dataclass(frozen=True, slots=True)
class Fault:
    """What an audit found wrong, with the number of the act it is about; None when it is about none."""

    act: int | None
    message: str


def inspect(
    register: Register, lines: Iterable[bytes], now: datetime
) -> Iterator[tuple[SignedAct | None, Fault | None]]:
    """Apply envelopes one by one, as an audit does; yields each act, if it can be read at all, and its fault.

    Only an act that is genuine takes a place in the chain; what is altered, unreadable or foreign leaves its place
    open, and the next genuine act shows by its number which acts are missing.

    Args:
        register: An empty one; what the acts say up to there, after each step.
        lines: All envelopes.
        now: The clock.
    """
    missed = 0
    for line in lines:
        number = len(register.ids) + missed + 1
        try:
            signed = acts.read_line(line)
        except ActError as fault:
            yield None, Fault(number, fault.message)
            missed += 1
            continue
        try:
            check_clock(signed.act, now)
            register.apply(signed)
        except BlocklistError as fault:
            genuine = bool(register.ids) and _resumed(register, signed, now)
            yield signed, Fault(signed.act.seq if genuine else number, fault.message)
            if not register.ids:
                return  # without a founding act nothing else can be judged
            missed = 0 if genuine else missed + 1
        else:
            missed = 0
            yield signed, None


def _resumed(register: Register, signed: SignedAct, now: datetime) -> bool:
    try:
        register.check_genuine(signed)
    except VerificationError:
        return False
    register.resume(signed, now)
    return True
