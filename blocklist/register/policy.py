"""The policy of a list, the law that it stands under, and what both demand of a proposal.

Every replay of a register, for ever, applies these rules. So nothing here may depend on the clock, on a suffix list, on
IDNA tables or on the version of a library; and a limit that was released never changes: when the law does, the new
limits are a new regime.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _, later, shown
from blocklist.names.domain_name import Name, below_or_same
from blocklist.register import acts
from blocklist.register.acts import Act
from blocklist.register.decoders import CLOCK_TOLERANCE, Ref, format_instant
from blocklist.register.lifecycle import Officer, Request, refuse_act

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

FORMATS: Final = ("rpz", "hosts", "domains", "dnsmasq", "unbound", "knot", "csv", "json")
ACTIONS: Final = ("address", "nxdomain", "cname")
UNSAID: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(("hosts", "dnsmasq", "unbound", "knot"), ("cname",))
"""Actions that a format cannot express."""
MAX_FORMATS: Final = 32
TENANTS: Final = ("host", "path")
APPROVALS: Final = ("add", "appoint", "revoke", "adopt")
MAX_GROUNDS: Final = 20
MAX_NAMES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Range:
    """Least and most, both allowed, and the phrase (`later`) that says so, with its article of law if there is one."""

    least: int
    most: int
    allowed: str


ARTICLES: Final = ("request", "notice", "identification", "oversight", "officers", "block", "review", "remove")
"""What a regime cites an article for."""


@dataclass(frozen=True, slots=True)
class Regime:
    """What a law allows a policy to choose, durations in seconds; and the articles that its rules come from."""

    notice: Range
    review: Range
    freshness: Range
    articles: Mapping[str, str]


# Three calendar months are 89 days at least (1 February to 1 May), and an hour less than that in Paris, where clocks go
# forward in March: 88 days are under a quarter whenever they begin.
REGIMES: Final[Mapping[str, Regime]] = {
    "lcen-6-1": Regime(
        notice=Range(DAY, 30 * DAY, later("24h to 30d (LCEN art. 6-1 al. 2: the host has 24 hours to remove)")),
        review=Range(HOUR, 88 * DAY, later("1h to 88d (décret 2015-125 art. 4: a check at least each quarter)")),
        freshness=Range(
            1, DAY - 1, later("more than 0 and under 24h (décret 2015-125 art. 3: providers have 24 hours)")
        ),
        articles={
            "request": "LCEN art. 6-1 al. 1",
            "notice": "LCEN art. 6-1 al. 2",
            "identification": "LCEN art. 6-1 al. 2",
            "oversight": "LCEN art. 6-1 al. 3",
            "officers": "décret 2015-125 art. 1",
            "block": "décret 2015-125 art. 3",
            "review": "décret 2015-125 art. 4",
            "remove": "décret 2015-125 art. 4",
        },
    ),
    "other": Regime(
        notice=Range(0, 366 * DAY, later("0h to 366d")),
        review=Range(HOUR, 1830 * DAY, later("1h to 1830d")),
        freshness=Range(1, 7 * DAY, later("more than 0 and at most 7d")),
        articles=dict.fromkeys(ARTICLES, ""),
    ),
}


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """One text of law; `checked` says that somebody read it in `source`."""

    reference: str
    summary: Mapping[str, str]
    checked: bool
    source: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One question that the dossier of an addition answers."""

    id: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a name may be listed."""

    article: str
    texts: Mapping[str, str]
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What a resolver answers: `kind` address (`a`, `aaaa`), cname (`target`) or nxdomain."""

    kind: str
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Brakes:
    """What one release may change unasked; the percentage counts above 100 names."""

    added: int
    added_percent: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A valid policy, made by `load` or `from_json` only.

    Durations are seconds; names are A-labels; texts are by language, `fr` and `en`.
    """

    id: str
    regime: str
    title: Mapping[str, str]
    authority: str
    legal_basis: tuple[LegalBasis, ...]
    grounds: Mapping[str, Ground]
    remedies: Mapping[str, str]
    notice: int
    review: int
    warn: int
    approvals: Mapping[str, int]
    action: Action
    ttl: int
    formats: tuple[str, ...]
    brakes: Brakes
    freshness: int
    keep: int
    probe: str
    own: tuple[str, ...] = ()
    protected: frozenset[str]
    platforms: Mapping[str, str]

    def article(self, key: str) -> str:
        """The article that a rule comes from, "" where the regime names none; `key` is one of `ARTICLES`."""
        return REGIMES[self.regime].articles[key]

    def to_json(self) -> dict[str, object]:
        """The form that is signed; the keys are those of the file, names are sorted, durations are seconds."""
        return _plain_fields(self)


def documentation_addresses(policy: Policy) -> tuple[str, ...]:
    """Landing addresses that no visitor can reach: documentation, private, loopback and the like.

    Asks the tables of this Python, so it is for `publish`, never for a replay.
    """
    addresses = map(ipaddress.ip_address, (*policy.action.a, *policy.action.aaaa))
    # RFC 9637; Python 3.11 does not know it yet.
    late = ipaddress.IPv6Network("3fff::/20")
    return tuple(str(ip) for ip in addresses if not ip.is_global or ip.is_multicast or (ip.version == 6 and ip in late))


def own_names(policy: Policy) -> frozenset[str]:
    """Names of the office itself: the probe, `own`, and the target of a cname action."""
    return frozenset(filter(None, (policy.probe, *policy.own, policy.action.target)))


def _plain(value: object) -> object:
    if is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _plain_fields(value: object) -> dict[str, object]:
    """A dataclass by field names; a field that has its default is left out."""
    assert is_dataclass(value)  # noqa: S101 - narrows the type, both callers know it
    pairs = ((field, getattr(value, field.name)) for field in fields(value))
    return {f.name: _plain(v) for f, v in pairs if f.default is MISSING or v != f.default}


# What a proposal has to be, when it is made and again when it is approved

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


def check_observed(observed: datetime, request: Request, at: datetime) -> None:
    """Check that content was seen to be gone after it was asked about, and not in the future.

    Raises:
        RuleError: It was not.
    """
    if not request.since <= observed <= at:
        refuse_act(
            _("{observed} is not between request {seq} and now", observed=shown(observed), seq=request.ref.seq),
            _("request {seq} was made {since}", seq=request.ref.seq, since=shown(request.since)),
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


def check_appoint(body: acts.Appoint, officer: Officer | None, holder: str | None) -> None:
    """Check that an appointment gives a new id, or one that is free again, a key of its own.

    Args:
        body: The appointment.
        officer: Who is in office under its id.
        holder: The id of whoever has, or had, its key.

    Raises:
        RuleError: The id is in office, or the key is somebody else's.
    """
    if officer is not None:
        refuse_act(
            _("{officer} is in office already", officer=body.officer),
            _("revoke the officer first, or choose another id"),
        )
    if holder not in (None, body.officer):
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
