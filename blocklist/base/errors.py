"""One tree of errors: a sentence for the person, a hint what to do, an exit code for the script.

Every error that a user can cause or meet derives from `BlocklistError`. The command line prints it as two
lines and exits with `exit_code`; the library never prints and never exits.
"""

from __future__ import annotations


class BlocklistError(Exception):
    """Something that a user has to know, in one sentence.

    Args:
        message: What is wrong with which thing; no full stop at the end.
        hint: What to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RefusedError(BlocklistError):
    """A rule, a guard or a brake says no; nothing was changed."""


class UsageError(BlocklistError):
    """The input itself is wrong: an unknown officer, a bad date, a file that is not there."""

    exit_code = 2


class VerificationError(BlocklistError):
    """What was received or stored is not what was signed."""

    exit_code = 3


class StaleError(BlocklistError):
    """What was received was genuine once, and its validity has ended."""

    exit_code = 4


class UnreachableError(BlocklistError):
    """The other side did not answer, or not in a usable way."""

    exit_code = 5


class TargetError(BlocklistError):
    """A file could not be written, or what depends on it could not be reloaded."""

    exit_code = 6
