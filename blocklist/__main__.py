"""`blocklist`, and `python -m blocklist`."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from blocklist.cli import main


def run() -> NoReturn:
    """Run a command and leave at once: to give a million names back one by one takes as long as to hash them."""
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
        code = code or 1  # an output is gone or full, and the command has said so if it knew
    os._exit(code)


if __name__ == "__main__":
    run()
