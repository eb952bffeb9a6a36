"""Replaying a register from its envelopes: strictly, as everybody does, or going on after faults, as an audit does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.base.i18n import _
from blocklist.base.instants import CLOCK_TOLERANCE, format_instant
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import ActError
from blocklist.register.fold import Register

if TYPE_CHECKING:
    from blocklist.register.acts import Act


def check_clock(act: Act, now: datetime) -> None:
    """Refuse an act from the future.

    Raises:
        VerificationError: It is dated more than five minutes after `now`.
    """
    if act.at > now + CLOCK_TOLERANCE:
        raise VerificationError(
            _("it is dated {at}, which is in the future", at=format_instant(act.at)), _("check this machine's clock")
        )


def read_lines(stream: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """The envelopes of an `acts.jsonl`, of its first `length` octets if that is given.

    Raises:
        ActError: A line has no end, or no bounds.
    """
    left = length
    while left != 0 and (line := stream.readline(acts.MAX_LINE + 2)):
        left = None if left is None else left - len(line)
        if not line.endswith(b"\n") or (left is not None and left < 0):
            raise ActError(_("a line of acts.jsonl is too long or was cut off"), _("fetch it again"))
        yield line[:-1]


def replay(lines: Iterable[bytes], now: datetime) -> Iterator[tuple[SignedAct, Register]]:
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
        VerificationError: See `replay`.
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


def fold(signed: Iterable[SignedAct], at: datetime) -> Register:
    """The register at the instant `at`: a pure function of the acts (those after `at` are not looked at).

    Raises:
        VerificationError, RuleError: See `Register.apply`.
    """
    register = Register()
    for act in signed:
        if act.act.at > at:
            break
        register.apply(act)
    return register


@dataclass(frozen=True, slots=True)
class Fault:
    """What an audit found wrong, with the number of the act it is about; None when it is about none."""

    act: int | None
    message: str


def audit(lines: Iterable[bytes], now: datetime) -> tuple[Register, list[Fault]]:
    """Check every act of a register and go on after a fault, so that all faults are reported at once."""
    register, faults = Register(), []
    for _signed, fault in inspect(register, lines, now):
        if fault is not None:
            faults.append(fault)
    return register, faults


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
