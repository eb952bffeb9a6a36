"""`blocklist`, and `python -m blocklist`."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from blocklist.cli import main

_MUCH = 200_000
"""Blocks of memory from which on it is worth not to give each of them back: a million names take 0.1 s."""


def run() -> NoReturn:
    """Run a command, and leave at once after a large one."""
    gc.set_threshold(250_000)  # a command ends before its garbage adds up, and a million names take long to look at
    try:
        main(prog_name="blocklist")
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        code = ended.code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        os._exit(code or 1)  # an output is gone or full, which the interpreter would complain of once more
    if sys.getallocatedblocks() > _MUCH:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
