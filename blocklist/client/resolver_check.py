"""What to ask a resolver that should block a list, and what its answers say; `resolver_query` asks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from blocklist.names.domain_name import Scope, is_host_name, within
from blocklist.register.lifecycle import Measures

if TYPE_CHECKING:
    from dns.message import Message

    from blocklist.register.policy import Policy
    from blocklist.release.contents import Snapshot

RECENT = timedelta(days=30)
"""For how long after its end a name is asked for: what is still blocked then was forgotten."""

CANARIES = 20
"""Protected names that one check asks for."""

TYPES = ("A", "AAAA")
_NOWHERE = frozenset(("0.0.0.0", "::"))  # noqa: S104  (what a hosts file answers where a name does not exist)
_BLOCKED_CODES = (15, 16, 17)
"""Extended errors "blocked", "censored" and "filtered" (RFC 8914, section 4)."""


class Kind(StrEnum):
    """Why a name is asked for."""

    PROBE = "probe"
    LISTED = "listed"
    BELOW = "below"
    REMOVED = "removed"
    CANARY = "canary"

    @property
    def is_blocked(self) -> bool:
        """Whether the list says that such a name is blocked."""
        return self in (Kind.PROBE, Kind.LISTED, Kind.BELOW)


class Verdict(StrEnum):
    """What an answer says. Only the first three are about blocking."""

    AS_DECIDED = "as-decided"
    NOT_BLOCKED = "not-blocked"
    BLOCKED = "blocked"
    UNCLEAR = "unclear"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `name` is an A-label name, `type` A or AAAA."""

    kind: Kind
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Result:
    """One question with what came back: `answer` is it in short, for people."""

    question: Question
    verdict: Verdict
    answer: str

    @property
    def is_wrong(self) -> bool:
        """Whether the resolver does not do what was decided, or does not show that it does.

        A name that need not be blocked may well fail: its site may be gone.
        """
        if self.verdict in (Verdict.NOT_BLOCKED, Verdict.BLOCKED):
            return True
        return self.question.kind.is_blocked and self.verdict in (Verdict.FAILED, Verdict.SILENT)


def questions(now: Snapshot, decisions: Measures, day: date, sample: int) -> list[Question]:
    """What to ask: the same names all day, so that a run can be repeated; other names tomorrow.

    Args:
        now: What the release says that the resolver should have.
        decisions: The last decision on every name.
        day: Today.
        sample: How many listed names, and how many removed ones; 0 for all.
    """
    made = [(Kind.PROBE, now.policy.probe)]
    listed = [(text, scope) for scope, names in now.measures.by_scope() for text in names]
    for text, scope in _sampled(listed, day, sample):
        made.append((Kind.LISTED, text))
        if scope is Scope.DOMAIN:
            # A label that nobody asked for, so that no cache answers.
            made.append((Kind.BELOW, f"b{secrets.token_hex(6)}.{text}"))
    made += [(Kind.REMOVED, text) for text, _ in _sampled(list(_ended(now, decisions)), day, sample)]
    canaries = [(text, Scope.DOMAIN) for text in now.policy.protected]
    made += [(Kind.CANARY, text) for text, _ in _sampled(canaries, day, CANARIES)]
    return [Question(kind, text, type_) for kind, text in made if len(text) <= _LONGEST for type_ in TYPES]


_LONGEST = 253


def _sampled(names: Sequence[tuple[str, Scope]], day: date, count: int) -> list[tuple[str, Scope]]:
    if not count or len(names) <= count:
        return sorted(names)
    return sorted(names, key=lambda entry: hashlib.sha256(f"{day} {entry[0]}".encode()).digest())[:count]


def _ended(now: Snapshot, decisions: Measures) -> Iterator[tuple[str, Scope]]:
    """Names whose measure ended lately, and that nothing else blocks."""
    listed = now.measures
    for scope, names in decisions.by_scope():
        for text, measure in names.items():
            end = min(measure.ended or measure.review_by, measure.review_by)
            blocked = text in listed.host or within(text, listed.domain.keys())
            if now.instant - RECENT <= end <= now.instant and not blocked and text != now.policy.probe:
                yield text, scope


def judge(question: Question, response: Message | None, policy: Policy) -> Result:
    """What an answer says; None is no answer at all, and no verdict."""
    import dns.rcode

    if response is None:
        return Result(question, Verdict.SILENT, "")
    rcode, answer = response.rcode(), _answer(response)
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Result(question, Verdict.FAILED, dns.rcode.to_text(rcode))
    shown = " ".join(sorted(answer)) or dns.rcode.to_text(rcode)
    missing = rcode == dns.rcode.NXDOMAIN
    return Result(question, _verdict(question, answer, missing, _says_blocked(response), policy), shown[:200])


def _verdict(question: Question, answer: frozenset[str], missing: bool, says: bool, policy: Policy) -> Verdict:
    if question.kind.is_blocked:
        if not is_host_name(question.name) and not answer and not says:
            # No address record can have such an owner, so its rule is one for no data, or for no name: a resolver
            # that blocks nothing may say the same.
            return Verdict.UNCLEAR
        right = _is_as_decided(question, answer, missing, policy)
        return Verdict.AS_DECIDED if right else Verdict.NOT_BLOCKED
    landing = _landing(policy)
    if answer & landing or (says and not answer):
        return Verdict.BLOCKED
    if policy.action.kind == "nxdomain" and missing:
        # A protected name exists. One that was removed may be gone for good, and looks the same.
        return Verdict.BLOCKED if question.kind is Kind.CANARY else Verdict.UNCLEAR
    return Verdict.AS_DECIDED


def _is_as_decided(question: Question, answer: frozenset[str], missing: bool, policy: Policy) -> bool:
    action = policy.action
    if not is_host_name(question.name) and not answer:
        return True
    if action.kind == "nxdomain":
        # For a host alone it is no data, since some resolvers take a missing name for a whole subtree.
        return not answer or answer <= _NOWHERE
    if action.kind == "cname":
        return action.target in answer
    wanted = frozenset(action.a if question.type == "A" else action.aaaa)
    if not wanted:
        return not answer and not missing
    return bool(answer) and answer <= _canonical(wanted)


def _landing(policy: Policy) -> frozenset[str]:
    action = policy.action
    nowhere = _NOWHERE if action.kind == "nxdomain" else frozenset()
    return _canonical((*action.a, *action.aaaa)) | {action.target} - {""} | nowhere


def _canonical(addresses: Iterable[str]) -> frozenset[str]:
    import ipaddress

    return frozenset(str(ipaddress.ip_address(address)) for address in addresses)


def _answer(response: Message) -> frozenset[str]:
    """The addresses of an answer; of one that has none, the targets of its CNAME records."""
    import dns.rdatatype

    found: dict[str, set[str]] = {"address": set(), "target": set()}
    for rrset in response.answer:
        for rdata in rrset:
            if rdata.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                found["address"].update(_canonical([rdata.to_text()]))
            elif rdata.rdtype == dns.rdatatype.CNAME:
                found["target"].add(rdata.to_text().rstrip(".").lower())
    return frozenset(found["address"] | found["target"])


def _says_blocked(response: Message) -> bool:
    """Whether the resolver itself says that it blocked the name (RFC 8914)."""
    return any(getattr(option, "code", None) in _BLOCKED_CODES for option in response.options)


def expires(now: Snapshot, at: datetime) -> bool:
    """Whether the release that the resolver is compared with has ended."""
    return at >= now.release().valid_until
