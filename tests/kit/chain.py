"""A register in memory, grown act by act."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from kit.fixed import LIST, NONCE, SALT, START, WEEK, key, key_text, names, shipped_files, shipped_policy

from blocklist.keys.encoding import signer
from blocklist.names.domain_name import Names
from blocklist.register import acts, documents, policy_reader
from blocklist.register.acts import Act, Body, SignedAct
from blocklist.register.decoders import Head, Ref
from blocklist.register.fold import Register, RuleError


class Chain:
    """A register in memory, grown act by act; every act is signed for real.

    Founded by `head-1`, with `agent-1` and `agent-2` appointed unless `officers` is given.
    """

    def __init__(
        self,
        *,
        environment: str = "test",
        heads: tuple[str, ...] = ("head-1",),
        officers: Iterable[tuple[str, str]] = (("agent-1", "agent"), ("agent-2", "agent")),
        at: datetime = START,
        change: dict[str, Any] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        self.register = Register()
        self.signed: list[SignedAct] = []
        self.at = at
        self.policy = policy_reader.from_json(shipped_policy().to_json() | (change or {}))
        self.add_act(
            heads[0],
            acts.Found(
                list=LIST,
                environment=environment,
                heads=tuple(Head(name, key_text(name)) for name in sorted(heads)),
                policy=self.policy.to_json(),
                files=files or documents.digests(shipped_files()),
                rules=acts.RULES,
            ),
        )
        for officer, role in officers:
            self.appoint(officer, role)

    @property
    def lines(self) -> list[bytes]:
        return [signed.line() for signed in self.signed]

    @property
    def head(self) -> Ref:
        return self.register.head

    def tick(self, later: timedelta = timedelta(seconds=1)) -> datetime:
        self.at += later
        return self.at

    def make(self, by: str, body: Body, *, signed_by: str | None = None, **header: Any) -> SignedAct:
        """An act that would follow the head, signed but not applied; `header` overrides any field."""
        first = isinstance(body, acts.Found)
        act = Act(
            seq=len(self.signed) + 1,
            at=self.at,
            by=by,
            body=body,
            nonce=NONCE,
            register=None if first else self.register.id,
            prev=None if first else self.head.id,
        )
        return acts.sign(replace(act, **header), signer(key(signed_by or by)))

    def add_act(self, by: str, body: Body, later: timedelta = timedelta(seconds=1), **header: Any) -> SignedAct:
        """Make an act, a second later than the last, and apply it."""
        self.tick(later)
        signed = self.make(by, body, **header)
        self.register.apply(signed)
        self.signed.append(signed)
        return signed

    def appoint(self, officer: str, role: str = "agent", by: str = "head-1") -> SignedAct:
        return self.add_act(by, acts.Appoint(officer=officer, role=role, key=key_text(officer)))

    def proposal(self, proposed: Names, **fields: Any) -> acts.Add:
        """The body of an `add` of these names, under the fixed salt."""
        review_by = fields.pop("review_by", None) or self.at + timedelta(seconds=1) + 12 * WEEK
        return acts.Add(
            commitment=proposed.commitment(SALT),
            count=len(proposed),
            **{"ground": "apology", "basis": "no-identification", "review_by": review_by} | fields,
        )

    def propose(self, *domains: str, hosts: Iterable[str] = (), by: str = "agent-1", **fields: Any) -> SignedAct:
        return self.add_act(by, self.proposal(names(*domains, hosts=hosts), **fields))

    def approve(self, proposed: SignedAct, *domains: str, hosts: Iterable[str] = (), by: str = "agent-2") -> SignedAct:
        opened = names(*domains, hosts=hosts)
        return self.add_act(by, acts.Approve(act=proposed.ref, names=opened, salt=SALT))

    def block(self, *domains: str, hosts: Iterable[str] = (), **fields: Any) -> SignedAct:
        """List names: proposed by agent-1, approved by agent-2."""
        return self.approve(self.propose(*domains, hosts=hosts, **fields), *domains, hosts=hosts)

    def remove(
        self, *domains: str, hosts: Iterable[str] = (), reason: str = "lawful", by: str = "agent-1"
    ) -> SignedAct:
        return self.add_act(by, acts.Remove(names=names(*domains, hosts=hosts), reason=reason))

    def review(self, *domains: str, until: datetime, by: str = "agent-1") -> SignedAct:
        return self.add_act(by, acts.Review(names=names(*domains), outcome="still-unlawful", review_by=until))


def snapshot(register: Register) -> str:
    """All of a register's state, for comparing before and after."""
    return repr(vars(register))


def refused(
    chain: Chain,
    by: str,
    body: Body,
    match: str,
    error: type[Exception] = RuleError,
    later: timedelta = timedelta(seconds=1),
    **header: Any,
) -> None:
    """Assert that the act, `later` than the head, is refused for the reason `match`, and that nothing has changed."""
    before, at = snapshot(chain.register), chain.at
    chain.tick(later)
    signed = chain.make(by, body, **header)
    chain.at = at
    with pytest.raises(error, match=match):
        chain.register.apply(signed)
    assert snapshot(chain.register) == before
