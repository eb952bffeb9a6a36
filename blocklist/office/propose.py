"""How names come onto a list: an agent proposes them, and another officer has to approve."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, plural, preferred
from blocklist.names.domain_name import Name, NameRefused, Names, Scope, normalise, within
from blocklist.names.guards import Finding
from blocklist.office.session import Said, Session, one_act, parts
from blocklist.register import acts, decoders
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Ref
from blocklist.register.lifecycle import RuleError
from blocklist.register.policy import PROOF, lacking, unnamed
from blocklist.store.store import Dossier


@dataclass(frozen=True, slots=True)
class Model:
    """A former proposal that a new one takes over from: its act `add`, its names, and the evidence that it keeps."""

    act: int
    names: tuple[Name, ...]
    evidence: tuple[Mapping[str, object], ...] = ()

    def scope_of(self, text: str) -> Scope | None:
        """The scope that a name takes over: its own there, or that of the one name there was."""
        scopes = {name.text: name.scope for name in self.names}
        return scopes.get(text) or (self.names[0].scope if len(self.names) == 1 else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What an `add` says beside its names.

    Attributes:
        ground: An id of the policy's grounds.
        basis: `not-removed` or `no-identification` (LCEN art. 6-1 al. 2).
        reference: The office's file.
        review_by: None means the whole review period.
        says: The answers to what the ground asks, by id.
        requests: Numbers of the removal requests that were not followed; found by name when none is given.
        evidence: Files to keep.
        like: The former measure that this one continues.
    """

    ground: str
    basis: str
    reference: str
    review_by: datetime | None = None
    note: str = ""
    says: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[int, ...] = ()
    evidence: tuple[Path, ...] = ()
    like: Model | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A line of an imported file that cannot be added."""

    line: int
    name: str
    reason: str


class GuardError(RefusedError):
    """Names that a guard refuses; `findings` has them all."""

    def __init__(self, findings: Sequence[Finding], hint: str) -> None:
        names = len({finding.name for finding in findings})
        message = plural("{count} name is refused by the guards", "{count} names are refused by the guards", names)
        super().__init__(message, hint)
        self.findings = tuple(findings)


def propose(session: Session, names: Sequence[Name], proposal: Proposal) -> list[SignedAct]:
    """Propose names, in as many acts as it takes; they wait for another officer's approval.

    Raises:
        GuardError: A guard refuses a name.
        UsageError: The ground's questions are not answered, or no removal request can be cited.
        RuleError: The register refuses an act. In every case nothing was appended.
    """
    session.require_officer()
    copied = proposal.like.evidence if proposal.like else ()
    _require_complete(session, proposal, [*copied, *proposal.evidence])
    with session.keeping_evidence(proposal.evidence) as keep:

        def build() -> Iterator[Said]:
            require_clean(session, names)
            cited = _cited(session, names, proposal)
            for part in parts(names):
                yield _proposed(session, part, proposal, cited, [*copied, *keep()])

        return session.commit(build)


def _proposed(
    session: Session, names: Names, proposal: Proposal, cited: tuple[Ref, ...] | None, evidence: Sequence[object]
) -> Said:
    salt, like = secrets.token_hex(32), proposal.like
    body = acts.Add(
        commitment=names.commitment(salt),
        count=len(names),
        ground=proposal.ground,
        basis=proposal.basis,
        review_by=proposal.review_by or session.review_until(),
        requests=cited,
    )
    optional = {
        "note": proposal.note,
        "says": dict(proposal.says),
        "evidence": list(evidence),
        "like": like and {"act": like.act, "names": one_act(like.names).to_json()},
    }
    members = {"names": names.to_json(), "salt": salt, "reference": proposal.reference}
    return body, Dossier.of(members | {key: value for key, value in optional.items() if value})


def _require_complete(session: Session, proposal: Proposal, evidence: Sequence[object]) -> None:
    """The dossier of an addition answers what its ground asks, and proves what its basis says."""
    policy = session.register.policy
    asked = {ask.id: ask.texts for ask in policy.grounds[proposal.ground].asks} if _knows(session, proposal) else {}
    unknown = sorted(proposal.says.keys() - asked.keys()) if _knows(session, proposal) else []
    if unknown:
        raise UsageError(
            _("the ground {ground} does not ask {answer}", ground=proposal.ground, answer=unknown[0]),
            _("it asks {asked}", asked=", ".join(asked) or "-"),
        )
    held = {"says": proposal.says, "evidence": evidence}
    missing = lacking(policy, proposal.ground, proposal.basis, held)
    unanswered = [ask_id for ask_id in missing if ask_id != PROOF]
    if unanswered:
        raise UsageError(
            plural(
                "the dossier lacks {count} answer that the ground {ground} asks for",
                "the dossier lacks {count} answers that the ground {ground} asks for",
                len(unanswered),
                ground=proposal.ground,
            ),
            "\n".join(f"--say {ask_id}=…  {asked[ask_id][preferred()]}" for ask_id in unanswered),
        )
    if missing:
        raise RuleError(
            _("basis no-identification needs its proof in the dossier"),
            _("--evidence FILE: what shows that the site does not say who publishes it"),
            policy.article("identification"),
        )


def _knows(session: Session, proposal: Proposal) -> bool:
    """Whether the policy has that ground; else the register refuses it, and says which grounds there are."""
    return proposal.ground in session.register.policy.grounds


def _cited(session: Session, names: Sequence[Name], proposal: Proposal) -> tuple[Ref, ...] | None:
    """The removal requests that an addition cites; those whose notice is over, if there is one."""
    if proposal.basis == "no-identification":
        if proposal.requests:
            raise UsageError(
                _("basis no-identification cites no removal request"), _("use --basis not-removed, or no --request")
            )
        return None
    if proposal.requests:
        refs = tuple(session.open_request(seq) for seq in sorted(set(proposal.requests)))
        others = [] if proposal.like else unnamed(names, refs, session.register.requests)
        if others:
            raise RuleError(
                _("no cited request named {name}", name=others[0].text),
                _("ask its host or publisher first; a site that moved is added with --like"),
                session.register.policy.article("notice"),
            )
        return refs
    notice = timedelta(seconds=session.register.policy.notice)
    named = [entry for entry in session.register.requests.values() if entry.names and not entry.is_closed]
    cited: dict[int, Ref] = {}
    for name in names:
        found = [entry for entry in named if entry.names and within(name.text, set(_texts(entry.names)))]
        if not found:
            raise RuleError(
                _("no open removal request names {name}", name=name.text),
                _("make one with 'blocklist request'; a site that moved is added with --like"),
                session.register.policy.article("notice"),
            )
        over = [entry for entry in found if session.now >= entry.clock + notice]
        cited |= {entry.ref.seq: entry.ref for entry in over or found}
    return tuple(cited[seq] for seq in sorted(cited))


def former_proposal(session: Session, text: str) -> Proposal:
    """A former proposal, to be made again or for a site that moved.

    Args:
        session: The register.
        text: A name that was listed once, or the number of the act that proposed it.

    Raises:
        UsageError: The name was never listed, the act is no proposal, or its dossier was destroyed.
    """
    name = None if text.isdecimal() else session.known_name(text)
    measure = session.register.measures().get(name) if name else None
    seq = measure.added if measure else int(text)
    body, members = session.act(seq).act.body, session.dossier_of(seq)
    if not isinstance(body, acts.Add):
        raise UsageError(_("act {seq} proposes no names", seq=seq), _("see 'blocklist log' for the numbers of acts"))
    if not members:
        raise UsageError(
            _("the dossier of act {seq} is not here any more", seq=seq),
            _("add the name without --like, with all that belongs to it"),
        )
    names = (name,) if name else tuple(decoders.read_names(members.get("names")).each())
    says, evidence = members.get("says", {}), members.get("evidence", ())
    return Proposal(
        ground=body.ground,
        basis=body.basis,
        reference=str(members.get("reference", "")),
        note=str(members.get("note", "")),
        says=says if isinstance(says, dict) else {},
        requests=tuple(ref.seq for ref in body.requests or () if not session.is_closed(ref.seq)),
        like=Model(seq, names, tuple(evidence) if isinstance(evidence, list) else ()),
    )


def sift(session: Session, entries: Sequence[tuple[int, str]]) -> tuple[list[Name], list[Refused]]:
    """Tell the good names of a file, `(line, text)`, from the lines that are refused, with the reason of each."""
    suffixes, refused = session.suffixes(), []
    lines: dict[Name, int] = {}
    with session.progress(_("reading names"), len(entries)) as advance:
        for line, text in entries:
            try:
                canonical = normalise(text)
            except NameRefused as refusal:
                refused.append(Refused(line, text, refusal.message))
            else:
                lines.setdefault(Name(canonical, suffixes.default_scope(canonical)), line)
            advance(1)
    by_text = {name.text: line for name, line in lines.items()}
    bad: dict[str, Finding] = {}
    for finding in findings(session, list(lines)):
        bad.setdefault(finding.name, finding)
    refused += [Refused(by_text[text], text, finding.message) for text, finding in bad.items()]
    return [name for name in lines if name.text not in bad], sorted(refused, key=lambda entry: entry.line)


def _texts(names: Names) -> tuple[str, ...]:
    return (*names.domain, *names.host)


# What the guards say


def require_clean(session: Session, names: Sequence[Name]) -> None:
    """Refuse names that somebody wants to propose now.

    Raises:
        GuardError: A guard refuses one of them, or it waits in another proposal; it holds all findings.
    """
    found = findings(session, names) + _proposed_already(session, names)
    if found:
        raise GuardError(found, _("nothing was signed; leave these names out, or correct them"))


def findings(session: Session, names: Sequence[Name]) -> list[Finding]:
    """What the guards say about names that somebody wants to list now."""
    listed = session.register.in_force(session.now)
    again = [
        Finding(
            "covered",
            name.text,
            _("{name} is listed already", name=name.text),
            _("to move its date use 'blocklist review'"),
        )
        for name in names
        if listed.get(name) is not None and name.scope is Scope.HOST
    ]
    return again + session.guards().check(names, listed.domain.keys())


def _proposed_already(session: Session, names: Sequence[Name]) -> list[Finding]:
    waiting = {name: entry.ref.seq for entry, proposed in session.waiting_names() for name in proposed}
    return [
        Finding(
            "covered",
            name.text,
            _("{name} waits for an approval already, in act {seq}", name=name.text, seq=waiting[name]),
            _("another officer approves or rejects that act"),
        )
        for name in names
        if name in waiting
    ]
