"""A register from its acts in one call: strictly, or with every fault as an audit finds it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from blocklist.audit.inspection import Fault, inspect
from blocklist.register.acts import SignedAct
from blocklist.register.fold import Register


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


def audit(lines: Iterable[bytes], now: datetime) -> tuple[Register, list[Fault]]:
    """Check every act of a register and go on after a fault, so that all faults are reported at once."""
    register, faults = Register(), []
    for _signed, fault in inspect(register, lines, now):
        if fault is not None:
            faults.append(fault)
    return register, faults
