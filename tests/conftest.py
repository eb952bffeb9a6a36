"""What pytest itself needs: settings of hypothesis that give the same run everywhere."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("blocklist", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("blocklist")
