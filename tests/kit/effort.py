"""How much tests try that could try for ever: little in a push, more in `tests/full`, and a lot in `tests/soak`."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("KILLS", "20"))
"""How often tests of SIGKILL kill."""

MANY_KILLS = 100
"""From so many kills on, chance has found every moment that matters."""

EXAMPLES = int(os.environ.get("EXAMPLES", "1"))
"""How many times the examples of a push hypothesis makes."""
