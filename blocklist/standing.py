"""What ends soon of root, targets and seal: for `status`, `trust show` and whoever has to bring the keys in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from blocklist.messages import _
from blocklist.repository import Repository
from blocklist.sealing import seal_warnings
from blocklist.trust import ROOT, TARGETS
from blocklist.trustwords import ends


def trust_warnings(repository: Repository, now: datetime) -> Iterator[str]:
    """One sentence for each thing that ends within 60 days or has ended; with it, providers would refuse releases.

    Raises:
        UsageError: The trust folder is not whole.
        VerificationError: It holds something else than the heads signed.
    """
    heads = repository.heads
    for role, until in ((ROOT, heads.root().expires), (TARGETS, heads.targets().expires)):
        warning = ends(role, until, now)
        if warning:
            yield warning + ": blocklist trust renew"
    if repository.is_ahead(now):
        yield _(
            "the published tree is dated in the future: somebody else signed it, or a clock was wrong: "
            "blocklist trust rotate publisher --stolen"
        )
    yield from filter(None, seal_warnings(heads, now))
