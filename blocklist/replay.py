"""Replaying a register from its envelopes: strictly, as everybody does, or going on after faults, as an audit does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from blocklist import acts
from blocklist.acts import SignedAct
from blocklist.errors import BlocklistError, VerificationError
from blocklist.fields import ActError
from blocklist.instants import CLOCK_TOLERANCE, format_instant
from blocklist.messages import _
from blocklist.register import Register

if TYPE_CHECKING:
    from blocklist.acts import Act
    from blocklist.signing import PublicKey

_BATCH, _OCTETS = 256, 1024 * 1024
"""How far is read ahead: acts, and octets of their envelopes."""

_THREADS = 4
_FEW = 16
"""Signatures that are not worth a thread."""


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


Read = SignedAct | ActError
"""What a line holds, or why it holds no act."""

Reader = Callable[[Iterable[bytes]], Iterator[list[Read]]]


def read_all(lines: Iterable[bytes]) -> Iterator[list[Read]]:
    """What each line holds, in lists of some hundred.

    Raises:
        BlocklistError, OSError: What the lines raised, after all lines before.
    """
    return ([_read(line) for line in batch] for batch in batches(lines))


def replay(lines: Iterable[bytes], now: datetime) -> Iterator[tuple[SignedAct, Register]]:
    """Apply envelopes one by one, each checked in full; yields the act and the register after it.

    Raises:
        VerificationError: An act is not genuine, breaks a rule or is dated in the future; names its number.
    """
    register = Register()
    for signed in extend(register, lines, now):
        yield signed, register


def extend(register: Register, lines: Iterable[bytes], now: datetime, reader: Reader = read_all) -> Iterator[SignedAct]:
    """The same for the envelopes that follow the head of a register.

    Args:
        register: It.
        lines: The envelopes.
        now: The clock.
        reader: Reads them, in this process or elsewhere.

    Raises:
        VerificationError: See `replay`.
    """
    for number, (signed, checked) in enumerate(_checked(register, reader(lines)), len(register.ids) + 1):
        try:
            if isinstance(signed, ActError):
                raise signed
            check_clock(signed.act, now)
            register.apply(signed, checked)
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
    for signed, checked in _checked(register, read_all(lines)):
        number = len(register.ids) + missed + 1
        if isinstance(signed, ActError):
            yield None, Fault(number, signed.message)
            missed += 1
            continue
        try:
            check_clock(signed.act, now)
            register.apply(signed, checked)
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


# Nearly all of a replay is the verification of signatures, during which other threads can run. So acts are read ahead,
# and the signatures of some hundred are verified at once, by the keys that their authors have before the first of them.
# That is no judgement: the register refuses an act in its turn, and verifies what was not found good here.


def _checked(register: Register, lists: Iterable[list[Read]]) -> Iterator[tuple[Read, PublicKey | None]]:
    """What each line holds, and the key by which its signature was found good, if it was."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for read in lists:
            yield from zip(read, _keys(register, read, pool), strict=True)


def batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines in lists of some hundred, or of some octets.

    Raises:
        BlocklistError, OSError: What the lines raised, after all lines before.
    """
    batch: list[bytes] = []
    octets, failure = 0, None
    try:
        for line in lines:
            batch.append(line)
            octets += len(line)
            if len(batch) == _BATCH or octets >= _OCTETS:
                yield batch
                batch, octets = [], 0
    except (BlocklistError, OSError) as fault:
        failure = fault  # whatever is wrong with the acts before it is said first
    if batch:
        yield batch
    if failure is not None:
        raise failure


def _read(line: bytes) -> Read:
    try:
        return acts.read_line(line)
    except ActError as fault:
        return fault


def _keys(register: Register, read: Sequence[Read], pool: ThreadPoolExecutor) -> list[PublicKey | None]:
    found: list[PublicKey | None] = [None] * len(read)
    if len(read) > _FEW:
        jobs = [_job(register, signed) for signed in read]
        for start, keys in enumerate(pool.map(_good, (jobs[start::_THREADS] for start in range(_THREADS)))):
            found[start::_THREADS] = keys
    return found


def _job(register: Register, signed: Read) -> tuple[SignedAct, PublicKey] | None:
    """An act with the key of its author, if that one is appointed by now."""
    if isinstance(signed, ActError) or (officer := register.officers.get(signed.act.by)) is None:
        return None
    return signed, officer.key


def _good(jobs: Iterable[tuple[SignedAct, PublicKey] | None]) -> list[PublicKey | None]:
    return [job[1] if job is not None and _is_good(*job) else None for job in jobs]


def _is_good(signed: SignedAct, key: PublicKey) -> bool:
    try:
        Register.check_signature(signed, key)
    except VerificationError:
        return False
    return True
