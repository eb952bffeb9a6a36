"""`blocklist`, and `python -m blocklist`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from blocklist.cli.commands import main


def run() -> NoReturn:
    """Run a command and exit with its code."""
    try:
        main(prog_name="blocklist")
    except SystemExit as ended:
        code = ended.code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        # An output is gone or full, which was reported already; the interpreter would complain of it once more.
        os._exit(code if isinstance(code, int) and code else 1)
    sys.exit(code)


if __name__ == "__main__":
    run()
