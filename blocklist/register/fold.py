"""The register of one list: what the chain of acts says at an instant (docs/design.md).

`Register.apply` takes one signed act, checks every rule, and only then changes the state; an act that breaks a rule
changes nothing. Nothing here reads a clock or a file: the office, the publisher, an auditor and every subscriber
replay the same acts to the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocklist.base.errors import BlocklistError, VerificationError
from blocklist.base.i18n import _, later
from blocklist.keys.encoding import PublicKey
from blocklist.names.domain_name import Scope, below_or_same
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.lifecycle import (
    MAY_SIGN,
    Measure,
    Measures,
    Officer,
    Pending,
    Recommendation,
    Request,
    RuleError,
    State,
    check_transition,
    cited,
    parents_of,
    refuse_act,
    refuse_step,
)
from blocklist.register.policy import (
    Policy,
    check_add,
    check_adopted,
    check_appoint,
    check_notice,
    check_observed,
    check_opening,
    check_request,
    check_review_date,
    check_revoke,
)
from blocklist.register.policy_reader import read_policy

if TYPE_CHECKING:
    from blocklist.names.domain_name import Names
    from blocklist.register.acts import Body

_MAX_GAP = 10_000


class Register:
    """The state of one register after the acts applied so far. Read its attributes; change them only by `apply`."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.at = datetime.min.replace(tzinfo=UTC)
        self.list_id = ""
        self.environment = ""
        self.policies: list[tuple[datetime, Policy]] = []
        self.officers: dict[str, Officer] = {}
        self.pending: dict[int, Pending] = {}
        self.requests: dict[int, Request] = {}
        self.recommendations: dict[int, Recommendation] = {}
        self.erased: set[int] = set()
        self.annulled: set[str] = set()
        self._measures: dict[Scope, dict[str, Measure]] = {scope: {} for scope in Scope}
        self._parents: set[str] = set()
        self._holders: dict[PublicKey, str] = {}

    @property
    def id(self) -> str:
        """The id of the founding act, which names the register."""
        return self.ids[0]

    @property
    def head(self) -> Ref:
        """The last act."""
        return Ref(len(self.ids), self.ids[-1])

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.policies[-1][1]

    def measures(self) -> Measures:
        """The last decision on every name that was ever listed, whatever its state."""
        return Measures(self._measures[Scope.DOMAIN], self._measures[Scope.HOST], self._parents)

    def in_force(self, at: datetime) -> Measures:
        """The measures that are in force at `at`, without those that meet a protected name."""
        return self.measures().in_force(at, self.policy.protected)

    def in_office(self, officer_id: str) -> Officer | None:
        """The officer of that id, if appointed and not revoked."""
        officer = self.officers.get(officer_id)
        return officer if officer is not None and officer.until is None else None

    def heads(self) -> list[str]:
        """The ids of the heads in office."""
        return [officer.id for officer in self.officers.values() if officer.role == "head" and officer.until is None]

    def waiting(self, at: datetime) -> list[Pending]:
        """The acts that can still be approved at `at`, oldest first."""
        return [pending for pending in self.pending.values() if at <= pending.until]

    def may_approve(self, pending: Pending, officer_id: str) -> bool:
        """Whether that officer could approve it: another person, of a role that may, who has not done so."""
        officer = self.in_office(officer_id)
        roles = MAY_SIGN["approve"] if pending.act.body.kind == "add" else MAY_SIGN[pending.act.body.kind]
        done = (pending.act.by, *pending.approvals)
        return officer is not None and officer.role in roles and officer_id not in done

    # Applying acts

    def apply(self, signed: SignedAct) -> None:
        """Add one act.

        Raises:
            VerificationError: It does not continue the chain, or its signature is not its author's.
            RuleError: The register's rules forbid it. In both cases nothing has changed.
        """
        act = signed.act
        if isinstance(act.body, acts.Found):
            self._found(signed, act.body)
        else:
            self._check_chain(signed)
            self._judge(signed)
        self.ids.append(signed.id)
        self.at = act.at

    def check_genuine(self, signed: SignedAct) -> None:
        """Check that somebody who is or was an officer signed this for this register, wherever it stands.

        Raises:
            VerificationError: Nobody did.
        """
        officer = self.officers.get(signed.act.by)
        if officer is None or signed.act.register != self.id:
            raise VerificationError(_("it is not of this register"))
        self.check_signature(signed, officer.key)

    def resume(self, signed: SignedAct, now: datetime) -> None:
        """Go on at a genuine act in which `apply` found a fault, as an audit does: it takes the place that it claims.

        What it says counts if the rules allow it; so one fault does not make a fault of every act that builds on it.
        """
        gap = signed.act.seq - 1 - len(self.ids)
        if gap < 0:
            return  # its place is taken: it is there twice, or too late
        self.ids += [""] * min(gap, _MAX_GAP)
        with suppress(BlocklistError):
            self._judge(signed)
        self.ids.append(signed.id)
        self.at = max(self.at, min(signed.act.at, now))

    def _judge(self, signed: SignedAct) -> None:
        self._check_author(signed)
        self._rules[signed.act.body.kind](self, signed, signed.act.body)

    def _check_chain(self, signed: SignedAct) -> None:
        act = signed.act
        if not self.ids:
            raise VerificationError(
                _("the first act does not found a register"), _("the beginning of the register is missing")
            )
        if act.register != self.id:
            raise VerificationError(_("it belongs to another register"), _("this register is {id}", id=self.id))
        if act.seq != len(self.ids) + 1 or act.prev != self.ids[-1]:
            raise VerificationError(
                _("it does not follow act {count}", count=len(self.ids)), _("an act is missing, added or out of order")
            )
        if act.at < self.at:
            raise VerificationError(_("it is dated before the act that it follows"), _("an act cannot be backdated"))

    def _check_author(self, signed: SignedAct) -> None:
        act = signed.act
        officer = self.in_office(act.by)
        if officer is None:
            raise RuleError(
                _("{by} is not an officer in office", by=act.by),
                _("a head appoints officers with 'blocklist officer appoint'"),
            )
        self.check_signature(signed, officer.key)
        if officer.role not in MAY_SIGN[act.body.kind]:
            raise RuleError(
                _(
                    "{by} is {role}; an act {kind} is for {roles}",
                    by=act.by,
                    role=officer.role,
                    kind=act.body.kind,
                    roles=", ".join(sorted(MAY_SIGN[act.body.kind])),
                ),
                _("each role has its acts"),
                self.policy.article("oversight" if act.body.kind == "recommend" else "officers"),
            )

    @staticmethod
    def check_signature(signed: SignedAct, key: PublicKey) -> None:
        """Check that an act was signed with this key.

        Raises:
            VerificationError: It was not.
        """
        if signed.keyid != key.keyid:
            raise VerificationError(
                _("it is not signed with the key of {by}", by=signed.act.by),
                _("the officer's key is in 'officer list'"),
            )
        key.verify(signed.signature, acts.authenticated_bytes(signed.payload))

    def _found(self, signed: SignedAct, body: acts.Found) -> None:
        if self.ids:
            raise VerificationError(_("it founds a register in the middle of another one"))
        heads = {
            head.id: Officer(head.id, "head", PublicKey.from_base64(head.key), signed.act.at) for head in body.heads
        }
        holders = {officer.key: officer.id for officer in heads.values()}
        if len(holders) != len(heads):
            raise RuleError(_("two heads have the same key"), _("one key belongs to one officer only"))
        if signed.act.by not in heads:
            raise RuleError(_("the founding act is not signed by one of its heads"))
        self.check_signature(signed, heads[signed.act.by].key)
        policy = read_policy(body.policy, body.list)
        self.list_id, self.environment = body.list, body.environment
        self.policies.append((signed.act.at, policy))
        self.officers, self._holders = heads, holders

    # Acts that others may have to approve. A proposal is checked when it is made and again when it is approved.

    def _propose(self, signed: SignedAct, body: Body) -> None:
        self.check_proposal(body, signed.act.at)
        self._settle(Pending(signed.act, signed.ref), signed.act.at, None, signed.act.seq)

    def _approve(self, signed: SignedAct, body: acts.Approve) -> None:
        act = signed.act
        pending = self.waiting_act(body.act, "approve", act.at)
        proposal = pending.act.body
        self.check_approver(pending, act.by)
        if isinstance(proposal, acts.Add):
            check_opening(proposal, body)
        elif body.names is not None:
            refuse_act(
                _("act {seq} has no names to approve", seq=pending.ref.seq), _("only an act add has names to open")
            )
        self.check_proposal(proposal, act.at)
        approved = Pending(pending.act, pending.ref, (*pending.approvals, act.by))
        self._settle(approved, act.at, body.names, act.seq)

    def check_approver(self, pending: Pending, officer_id: str) -> None:
        """Say why that officer cannot approve that act.

        Raises:
            RuleError: The officer cannot.
        """
        seq = pending.ref.seq
        if officer_id == pending.act.by:
            refuse_act(
                _("{officer_id} made act {seq} and cannot approve it", officer_id=officer_id, seq=seq),
                _("another officer has to (two people)"),
            )
        if not self.may_approve(pending, officer_id):
            refuse_act(
                _("{officer_id} cannot approve act {seq}", officer_id=officer_id, seq=seq),
                _("heads approve acts of heads, each officer once"),
            )

    def _reject(self, signed: SignedAct, body: acts.Reject) -> None:
        pending = self.waiting_act(body.act, "reject", signed.act.at)
        if signed.act.by != pending.act.by and not self.may_approve(pending, signed.act.by):
            refuse_act(
                _("{by} cannot reject act {seq}", by=signed.act.by, seq=pending.ref.seq),
                _("those who could approve it can, and its author"),
            )
        del self.pending[pending.ref.seq]

    def waiting_act(self, ref: Ref, event: str, at: datetime) -> Pending:
        """Return the act that waits, for the event `approve` or `reject`.

        Raises:
            RuleError: It does not wait, or has waited too long.
        """
        pending = self.pending.get(ref.seq)
        if pending is None or pending.ref.id != ref.id:
            raise RuleError(
                _("act {seq} does not wait for an approval", seq=ref.seq), _("see 'blocklist status' for what waits")
            )
        check_transition(ref.seq, pending.stage(at), event)
        return pending

    def _settle(self, pending: Pending, at: datetime, names: Names | None, seq: int) -> None:
        """Let a proposal take effect when it has all its approvals; else it waits."""
        body = pending.act.body
        if len(pending.approvals) < self.approvals_needed(body):
            self.pending[pending.ref.seq] = pending
            return
        if isinstance(body, acts.Add) and names is not None:
            self._list(pending, body, names, at, seq)
        elif isinstance(body, acts.Appoint):
            key = PublicKey.from_base64(body.key)
            self.officers[body.officer] = Officer(body.officer, body.role, key, at)
            self._holders[key] = body.officer
        elif isinstance(body, acts.Adopt):
            self.policies.append((at, read_policy(body.policy, self.list_id)))
        elif isinstance(body, acts.Revoke):
            self.officers[body.officer] = replace(self.officers[body.officer], until=at)
            # What a revoked officer proposed is void, and what that officer approved goes on waiting for another.
            self.pending = {
                seq: other.without(body.officer) for seq, other in self.pending.items() if other.act.by != body.officer
            }
        self.pending.pop(pending.ref.seq, None)

    def approvals_needed(self, body: Body) -> int:
        """How many other officers have to approve an act of this content before it takes effect."""
        if isinstance(body, acts.Add):
            return max(1, self.policy.approvals.get("add", 1))  # promise 1: no policy can lower it
        if isinstance(body, acts.Revoke):
            officer = self.in_office(body.officer)
            if officer is not None and officer.role == "agent":
                return 0  # taking an agent's power away never waits
        wanted = self.policy.approvals.get(body.kind, 0)
        if self.environment == "production":
            wanted = max(1, wanted)
        return min(wanted, len(self.heads()) - 1)

    def check_proposal(self, body: Body, at: datetime) -> None:
        """Check what a proposal says: when it is made, and again when it is approved.

        Raises:
            RuleError: The rules do not allow it at the instant `at`.
        """
        if isinstance(body, acts.Add):
            for ref in body.requests or ():
                request = self._cited_request(ref)
                check_transition(ref.seq, request.stage, "add not-removed", self.policy.article("notice"))
                check_request(request, self.policy, at)
            check_add(body, self.policy, at)
        elif isinstance(body, acts.Appoint):
            check_appoint(body, self.in_office(body.officer), self._holders.get(PublicKey.from_base64(body.key)))
        elif isinstance(body, acts.Revoke):
            check_revoke(body, self.in_office(body.officer), self.heads())
        elif isinstance(body, acts.Adopt):
            check_adopted(read_policy(body.policy, self.list_id), self.policy)

    # Removal requests and their answers (LCEN art. 6-1 al. 1 and 2)

    def _request(self, signed: SignedAct, body: acts.Request) -> None:
        at = signed.act.at
        self.requests[signed.act.seq] = Request(signed.ref, body.to, body.names, at, at, at)

    def _answer(self, signed: SignedAct, body: acts.Answer) -> None:
        request = self._cited_request(body.request)
        check_transition(request.ref.seq, request.stage, f"answer {body.outcome}")
        if body.outcome == "silent":
            check_notice(request, self.policy, signed.act.at)
        if body.observed is not None:
            check_observed(body.observed, request, signed.act.at)
        clock = signed.act.at if body.outcome == "clarification" else request.clock
        self.requests[request.ref.seq] = replace(
            request, outcome=body.outcome, clock=clock, changed=signed.act.at, observed=body.observed
        )

    def _cited_request(self, ref: Ref) -> Request:
        return cited(self.requests, ref, later("act {seq} is not a removal request of this register"))

    # Measures

    def _list(self, pending: Pending, body: acts.Add, names: Names, at: datetime, seq: int) -> None:
        by_head = self._is_by_head(pending.approvals)
        measure = Measure(
            ground=body.ground,
            basis=body.basis,
            added=pending.ref.seq,
            approved=seq,
            since=at,
            review_by=body.review_by,
        )
        self.check_not_annulled(names, pending.approvals)
        self._decide(names, "approve by a head" if by_head else "approve", at, lambda _: measure)
        if self.annulled:
            self.annulled.difference_update(names.domain, names.host)

    def _is_by_head(self, approvers: Iterable[str]) -> bool:
        return any(self.officers[officer].role == "head" for officer in approvers)

    def check_not_annulled(self, names: Names, approvers: Iterable[str]) -> None:
        """A court's word on a name holds for it in either scope, for what is below it and for what is above it.

        Raises:
            RuleError: One of the names meets an annulled one, and no head is among the approvers.
        """
        if not self.annulled or self._is_by_head(approvers):
            return
        for name in names.each():
            met = self.annulled_near(name.text)
            if name.text in met:
                refuse_step(name.text, State.ANNULLED)
            if met:
                refuse_act(
                    _("{name} meets {annulled}, which was annulled", name=name.text, annulled=met[0]),
                    _("only an approval by a head lists it"),
                )

    def annulled_near(self, text: str) -> list[str]:
        """The annulled names that a name is, is below or is above."""
        return sorted(other for other in self.annulled if below_or_same(text, other) or below_or_same(other, text))

    def _review(self, signed: SignedAct, body: acts.Review) -> None:
        at, seq = signed.act.at, signed.act.seq
        event = f"review {body.outcome}"
        if body.review_by is None:
            self._decide(body.names, event, at, _ending(at, seq, body.outcome))
            return
        review_by = body.review_by
        check_review_date(review_by, self.policy, at)
        self._decide(body.names, event, at, lambda old: replace(old, review_by=review_by))

    def _remove(self, signed: SignedAct, body: acts.Remove) -> None:
        end = _ending(signed.act.at, signed.act.seq, body.reason)
        self._decide(body.names, f"remove {body.reason}", signed.act.at, end)
        if body.reason == "annulled":
            self.annulled.update(body.names.domain, body.names.host)

    def _decide(self, names: Names, event: str, at: datetime, change: Callable[[Any], Measure]) -> None:
        """Move every name through the lifecycle table, or none of them.

        Names that shared a measure share the next one too, so the table is looked up once for all of them.
        """
        updates: list[tuple[Scope, dict[str, Measure]]] = []
        for scope, texts in names.by_scope():
            known, changed, decided = self._measures[scope], {}, {}
            if texts and known.keys().isdisjoint(texts):  # new names, all alike: the common case, and the large one
                check_transition(texts[0], State.UNLISTED, event)
                changed, texts = dict.fromkeys(texts, change(None)), ()
            for text in texts:
                old = known.get(text)
                if id(old) not in decided:
                    check_transition(text, State.UNLISTED if old is None else old.state(at), event)
                    decided[id(old)] = change(old)
                changed[text] = decided[id(old)]
            updates.append((scope, changed))
        for scope, changed in updates:
            self._measures[scope].update(changed)
            self._parents |= parents_of(changed)

    # Oversight (LCEN art. 6-1 al. 3)

    def _recommend(self, signed: SignedAct, body: acts.Recommend) -> None:
        if body.names is not None:
            self._decide(body.names, "recommend", signed.act.at, lambda old: old)
        self.recommendations[signed.act.seq] = Recommendation(signed.ref, body.names)

    def _respond(self, signed: SignedAct, body: acts.Respond) -> None:
        at, seq = signed.act.at, signed.act.seq
        number = body.recommendation.seq
        recommendation = cited(
            self.recommendations,
            body.recommendation,
            later("act {seq} is not a recommendation of this register"),
        )
        check_transition(number, recommendation.stage, f"respond {body.outcome}")
        if body.outcome == "accepted" and recommendation.names is not None:
            # What two officers listed anew since then is another measure, and not what was found irregular.
            end, seen = _ending(at, seq, "recommendation"), recommendation.ref.seq
            self._decide(
                recommendation.names,
                "respond accepted",
                at,
                lambda old: end(old) if old.state(at) is State.LISTED and old.approved < seen else old,
            )
        self.recommendations[recommendation.ref.seq] = replace(recommendation, outcome=body.outcome)

    def _erase(self, signed: SignedAct, body: acts.Erase) -> None:
        seq = body.act.seq
        if not 1 <= seq < signed.act.seq or self.ids[seq - 1] != body.act.id:
            refuse_act(_("act {seq} is not an act of this register", seq=seq))
        if seq in self.erased:
            refuse_act(_("the dossier of act {seq} was erased already", seq=seq))
        self.erased.add(seq)

    _rules: Mapping[str, Callable[[Register, SignedAct, Any], None]] = {
        **dict.fromkeys(("appoint", "revoke", "adopt", "add"), _propose),
        "approve": _approve,
        "reject": _reject,
        "request": _request,
        "answer": _answer,
        "review": _review,
        "remove": _remove,
        "recommend": _recommend,
        "respond": _respond,
        "erase": _erase,
    }


def _ending(at: datetime, seq: int, reason: str) -> Callable[[Measure], Measure]:
    """A later annulment keeps the instant at which the measure really ended."""

    def end(old: Measure) -> Measure:
        ended = old.ended or min(at, old.review_by)
        return replace(old, ended=ended, ended_by=seq, reason=reason)

    return end
