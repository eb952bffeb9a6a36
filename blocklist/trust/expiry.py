"""What ends soon of root, targets and seal: for `status`, `trust show` and whoever has to bring the keys in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from blocklist.trust.describe import ends
from blocklist.trust.folder import TrustFolder
from blocklist.trust.roles import ROOT, TARGETS
from blocklist.trust.seal_certificates import seal_warnings


def trust_warnings(heads: TrustFolder, now: datetime) -> Iterator[str]:
    """Yield a sentence for each thing that ends within 60 days or has ended; without it providers refuse releases.

    Raises:
        UsageError: The trust folder is not whole.
        VerificationError: It holds something else than the heads signed.
    """
    for role, until in ((ROOT, heads.root().expires), (TARGETS, heads.targets().expires)):
        warning = ends(role, until, now)
        if warning:
            yield warning + ": blocklist trust renew"
    yield from filter(None, seal_warnings(heads, now))
