"""The last head of each register that a key folder has seen: what shows that a database is an older copy, or a fork."""

from __future__ import annotations

import json
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _
from blocklist.register.decoders import Ref, encode
from blocklist.register.fold import Register


class HeadMemory:
    """The last head of each register that a key folder has seen: an old backup or a fork does not hold it."""

    def __init__(self, keys: Path) -> None:
        self._folder = keys / "seen"
        # Read before the register is: what another command appends in between is then no reason to be alarmed.
        self._seen = {
            path.stem: durable.read(path, _("the remembered head"), 4096) for path in self._folder.glob("*.json")
        }

    def check(self, register: Register) -> None:
        """Refuse a register that lost acts, and remember its head.

        Raises:
            VerificationError: The act seen last is not in it, or what was remembered is damaged.
        """
        if register.id in self._seen:
            seq, act = _remembered(self._seen[register.id], self._folder / f"{register.id}.json")
            if not 1 <= seq <= len(register.ids) or register.ids[seq - 1] != act:
                raise VerificationError(
                    _("the register lacks act {seq}, which these keys have seen", seq=seq),
                    _("this is an older copy or a fork: restore the newest backup, or the acts of the last release"),
                )
            if seq == len(register.ids):
                return
        self.remember(register.id, register.head)

    def remember(self, register_id: str, head: Ref) -> None:
        """Keep `head` as the last one seen; whoever only reads and has no key folder keeps nothing."""
        if not self._folder.parent.exists():
            return
        self._seen[register_id] = encode(head.to_json())
        durable.make_folder(self._folder, 0o700)
        durable.replace(self._folder / f"{register_id}.json", self._seen[register_id], 0o600)


def _remembered(content: bytes, path: Path) -> tuple[int, str]:
    try:
        seen = json.loads(content)
        return int(seen["seq"]), str(seen["id"])
    except (ValueError, KeyError, TypeError) as fault:
        raise VerificationError(
            _("the remembered head {path} is damaged", path=path),
            _("compare 'blocklist log' with the last release; if it is all there, delete this file"),
        ) from fault
