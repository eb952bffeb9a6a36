"""What a proposal has to be, when it is made and again when it is approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _, shown
from blocklist.base.instants import CLOCK_TOLERANCE, format_instant
from blocklist.keys.encoding import PublicKey
from blocklist.names.domain_name import Name, below_or_same
from blocklist.register import acts
from blocklist.register.acts import Act
from blocklist.register.decoders import Ref
from blocklist.register.lifecycle import Officer, Request, RuleError, refuse_act
from blocklist.register.policy import Policy, PolicyError, from_json

PROOF = "evidence"
"""What `lacking` calls the proof that the publisher cannot be identified."""


def check_add(body: acts.Add, policy: Policy, at: datetime) -> None:
    """Check ground and review date of a proposed addition.

    Raises:
        RuleError: The policy does not know the ground, or does not allow the date at the instant `at`.
    """
    if body.ground not in policy.grounds:
        refuse_act(
            _("{ground} is not a ground of this list", ground=body.ground),
            _("choose from {grounds}", grounds=", ".join(sorted(policy.grounds))),
        )
    check_review_date(body.review_by, policy, at)


def check_request(request: Request, policy: Policy, at: datetime) -> None:
    """Check that an addition can cite a removal request (LCEN art. 6-1 al. 2).

    Raises:
        RuleError: It went to a platform, or its notice period has not passed at the instant `at`.
    """
    if request.to == "platform":
        refuse_act(
            _("request {seq} went to a platform", seq=request.ref.seq),
            _("cite a request to the host or the publisher"),
            policy.article("notice"),
        )
    check_notice(request, policy, at)


def check_notice(request: Request, policy: Policy, at: datetime) -> None:
    """Check that the recipient of a removal request has had its time.

    Raises:
        RuleError: The notice period has not passed at the instant `at`.
    """
    seq, until = request.ref.seq, request.clock + timedelta(seconds=policy.notice)
    if at < until:
        refuse_act(
            _("the notice of request {seq} ends at {until}", seq=seq, until=shown(until)),
            _("host and publisher have {hours} hours to remove the content", hours=policy.notice // 3600),
            policy.article("notice"),
        )


def check_review_date(review_by: datetime, policy: Policy, at: datetime) -> None:
    """Check that a measure ends within the review period (décret 2015-125 art. 4).

    Raises:
        RuleError: The date has passed, or is too far away.
    """
    latest = at + timedelta(seconds=policy.review)
    if not at < review_by <= latest:
        refuse_act(
            _("the review date {review_by} is not within the review period", review_by=shown(review_by)),
            _("it can be {latest} at the latest", latest=shown(latest)),
            policy.article("review"),
        )


def check_opening(proposal: acts.Add, approval: acts.Approve) -> None:
    """Check that an approval opens the commitment: it approves exactly what was proposed (promise 1).

    Raises:
        RuleError: It is for other names, or for none.
    """
    if approval.names is None or approval.salt is None:
        refuse_act(_("the approval does not say which names it approves"), _("approve what 'blocklist status' shows"))
    if len(approval.names) != proposal.count or approval.names.commitment(approval.salt) != proposal.commitment:
        refuse_act(_("the approval is for other names than were proposed"), _("approve what 'blocklist status' shows"))


def lacking(policy: Policy, ground_id: str, basis: str, members: Mapping[str, Any]) -> list[str]:
    """What the dossier of an addition has to hold and does not: the ids of questions, and `evidence` for the proof."""
    ground, says = policy.grounds.get(ground_id), members.get("says")
    answers = says if isinstance(says, Mapping) else {}
    missing = [ask.id for ask in ground.asks if not str(answers.get(ask.id, "")).strip()] if ground else []
    evidence = members.get("evidence")
    proven = basis != "no-identification" or (isinstance(evidence, list) and evidence)
    return missing if proven else [*missing, PROOF]


def unnamed(names: Sequence[Name], refs: Sequence[Ref], requests: Mapping[int, Request]) -> list[Name]:
    """The names that none of these removal requests named: neither them nor what is above or below them."""
    asked = [entry.names for ref in refs if (entry := requests.get(ref.seq)) is not None]
    texts = [text for some in asked if some for text in (*some.domain, *some.host)]
    return [
        name
        for name in names
        if not any(below_or_same(name.text, text) or below_or_same(text, name.text) for text in texts)
    ]


def check_appoint(body: acts.Appoint, officer: Officer | None, holders: Mapping[PublicKey, str]) -> None:
    """Check that an appointment gives a new id, or one that is free again, a key of its own.

    Raises:
        RuleError: The id is in office (`officer`), or the key is somebody else's.
    """
    if officer is not None:
        refuse_act(
            _("{officer} is in office already", officer=body.officer),
            _("revoke the officer first, or choose another id"),
        )
    holder = holders.get(PublicKey.from_base64(body.key), body.officer)
    if holder != body.officer:
        refuse_act(
            _("the key of {officer} belongs to {holder}", officer=body.officer, holder=holder),
            _("one key belongs to one officer only, for ever"),
        )


def check_revoke(body: acts.Revoke, officer: Officer | None, heads: Sequence[str]) -> None:
    """Check that a revocation is of somebody in office, and leaves a head.

    Raises:
        RuleError: Nobody of that id is in office, or nobody could appoint officers any more.
    """
    if officer is None:
        refuse_act(_("{officer} is not an officer in office", officer=body.officer), _("see 'blocklist officer list'"))
    if list(heads) == [body.officer]:
        refuse_act(_("{officer} is the only head", officer=body.officer), _("appoint another head first"))


def read_policy(value: Mapping[str, object], list_id: str) -> Policy:
    """The policy that an act holds.

    Raises:
        RuleError: It is not valid, or another list's.
    """
    try:
        policy = from_json(value)
    except PolicyError as fault:
        raise RuleError(_("its policy is not valid: {message}", message=fault.message), fault.hint) from fault
    if policy.id != list_id:
        raise RuleError(_("its policy is for the list {other}, not for {list_id}", other=policy.id, list_id=list_id))
    return policy


def check_adopted(policy: Policy, before: Policy) -> None:
    """Check that a new policy stands under the law that the register was founded under.

    Raises:
        RuleError: It would take the list out of the limits of that law.
    """
    if policy.regime != before.regime:
        refuse_act(
            _(
                "its policy is under the regime {regime}, the list is under {before}",
                regime=policy.regime,
                before=before.regime,
            ),
            _("a list keeps its legal basis: found another list for another one"),
        )


def check_clock(act: Act, now: datetime) -> None:
    """Refuse an act from the future.

    Raises:
        VerificationError: It is dated more than five minutes after `now`.
    """
    if act.at > now + CLOCK_TOLERANCE:
        raise VerificationError(
            _("it is dated {at}, which is in the future", at=format_instant(act.at)), _("check this machine's clock")
        )
