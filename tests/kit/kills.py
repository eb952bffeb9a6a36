"""How often tests of SIGKILL kill."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("KILLS", "20"))
"""How often tests of SIGKILL kill; `tests/soak` asks for more."""

MANY_KILLS = 100
"""From so many kills on, chance has found every moment that matters."""
