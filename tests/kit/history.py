"""Years of a list in memory: what two agents do in about seventy cases a year, each act signed for real."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from itertools import count

from kit.chain import Chain
from kit.fixed import DAY, SALT, WEEK, names

from blocklist.register import acts
from blocklist.register.acts import Body, SignedAct
from blocklist.store.store import Dossier

STEP = timedelta(hours=11)
"""From one act to the next: twenty thousand take twenty-five years."""


class History:
    """A chain of `size` acts whose last one is made at the instant `end`, with the dossiers of all acts.

    Each case begins with a removal request; after the notice the name is listed, unless the content was removed. A
    measure is reviewed each quarter; in the end it is removed, or lapses. Now and then the qualified person finds one
    irregular, a proposal is rejected, and a dossier is erased.
    """

    def __init__(self, size: int, end: datetime) -> None:
        self.chain = Chain(at=end.replace(microsecond=0) - (size - 3) * STEP)
        self.chain.appoint("qualified-1", "qualified-person")
        self.dossiers: list[Dossier | None] = [None] * len(self.chain.signed)
        self._size = size
        self._numbers = count(1)
        self._asked: deque[tuple[datetime, str, SignedAct]] = deque()
        self._listed: deque[tuple[datetime, str]] = deque()
        while not self.finished:
            self._next()

    @property
    def finished(self) -> bool:
        return len(self.chain.signed) >= self._size

    def _say(self, by: str, body: Body, **confidential: object) -> SignedAct:
        kept = Dossier.of(confidential) if confidential else None
        self.dossiers.append(kept)
        return self.chain.add_act(by, body, STEP, dossier=kept.commitment if kept else None)

    def _next(self) -> None:
        at = self.chain.at
        if self._listed and at > self._listed[0][0] - WEEK:
            self._end_or_review(self._listed.popleft()[1])
        elif self._asked and at > self._asked[0][0] + 2 * DAY:
            self._list(*self._asked.popleft()[1:])
        else:
            self._ask(f"case{next(self._numbers):05d}.test")

    def _ask(self, text: str) -> None:
        request = self._say("agent-1", acts.Request(to="host", names=names(text)), contact="abuse@host.example")
        self._asked.append((self.chain.at, text, request))

    def _list(self, text: str, request: SignedAct) -> None:
        outcome = "removed" if text.endswith("7.test") else "silent"
        if not self.finished:
            self._say("agent-1", acts.Answer(request=request.ref, outcome=outcome))
        if self.finished or outcome == "removed":
            return
        proposed = names(text)
        body = self.chain.proposal(proposed, basis="not-removed", requests=(request.ref,))
        members = {"names": proposed.to_json(), "salt": SALT, "reference": f"file {text}"}
        added = self._say("agent-1", body, **members)
        if self.finished:
            return
        if text.endswith("13.test"):
            self._say("agent-2", acts.Reject(act=added.ref), note="another file has it")
            return
        self._say("agent-2", acts.Approve(act=added.ref, names=proposed, salt=SALT))
        self._listed.append((body.review_by, text))
        if text.endswith("99.test") and not self.finished:
            self._say("qualified-1", acts.Recommend(names=proposed), text="irregular")

    def _end_or_review(self, text: str) -> None:
        turn = len(self.chain.signed) % 20
        if turn == 0:
            return  # forgotten: it lapses
        if turn < 3:
            outcome = "disappeared" if turn == 1 else "lawful"
            self._say("agent-2", acts.Review(names=names(text), outcome=outcome), note="verified")
            return
        until = self.chain.at + STEP + 12 * WEEK
        self._say("agent-2", acts.Review(names=names(text), outcome="still-unlawful", review_by=until), note="verified")
        self._listed.append((until, text))
