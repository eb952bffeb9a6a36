"""What pytest itself needs: settings of hypothesis that give the same run everywhere."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["LANGUAGE"] = "en"  # what tests compare is English, whatever the machine speaks

settings.register_profile("blocklist", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("blocklist")
