"""The office: one method for each officer's verb.

A verb checks what it is about to state, signs it, lets the register judge it, and only then appends it. Whatever is
refused on the way has changed nothing.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from blocklist import acts, fields
from blocklist.acts import SignedAct
from blocklist.desk import Desk, GuardError, Said, dossier_with
from blocklist.entries import Pending, Recommendation, RuleError, Stage
from blocklist.errors import UsageError
from blocklist.fields import Names, Ref
from blocklist.guards import Finding
from blocklist.messages import _, plural, preferred
from blocklist.names import Name, NameRefused, Scope, normalise, within
from blocklist.signing import PublicKey
from blocklist.store import Dossier

_MAX_TEXT = 20_000


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


class Office(Desk):
    """The verbs of officers, over an opened register."""

    def __enter__(self) -> Office:
        return self

    # Removal requests (LCEN art. 6-1 al. 1)

    def request(
        self, names: Sequence[Name], to: str, contact: str, urls: Sequence[str], note: str, evidence: Sequence[Path]
    ) -> SignedAct:
        """State that a recipient was asked to remove content; the notice period begins.

        A platform's names stay in the dossier: what it is asked about is a page, and no site that could be blocked.

        Raises:
            UsageError: No contact, no names, or an address that is no URL.
        """
        self.require_officer()
        asked = _one_act(names)
        if not contact.strip():
            raise UsageError(
                _("the request says nobody who was asked"), _("--contact TEXT: address, form or telephone")
            )
        for url in urls:
            _require_url(url)
        keep = self._keeper(evidence)
        hidden = asked if to == "platform" else None
        body = acts.Request(to=to, names=None if hidden else asked)
        return self._keeping(
            body,
            lambda: {
                "contact": contact.strip(),
                "urls": list(urls),
                "names": hidden and hidden.to_json(),
                "note": note,
                "evidence": keep(),
            },
        )

    def answer(self, seq: int, outcome: str, note: str, evidence: Sequence[Path]) -> SignedAct:
        """State what came back to a removal request.

        Raises:
            UsageError: There is no such request.
            RuleError: It is closed.
        """
        self.require_officer()
        keep = self._keeper(evidence)
        body = acts.Answer(request=self.open_request(seq), outcome=outcome)
        return self._keeping(body, lambda: {"note": note, "evidence": keep()})

    def open_request(self, seq: int) -> Ref:
        """The removal request of that number.

        Raises:
            UsageError: There is none.
        """
        entry = self.register.requests.get(seq)
        if entry is None:
            raise UsageError(
                _("act {seq} is not a removal request", seq=seq), _("'blocklist due' lists those that are open")
            )
        return entry.ref

    # Proposals

    def add(self, names: Sequence[Name], proposal: Proposal) -> list[SignedAct]:
        """Propose names, in as many acts as it takes; they wait for another officer's approval.

        Raises:
            GuardError: A guard refuses a name.
            UsageError: The ground's questions are not answered, or no removal request can be cited.
            RuleError: The register refuses an act. In every case nothing was appended.
        """
        self.require_officer()
        self._require_answers(proposal)
        self._require_proof(proposal)
        keep = self._keeper(proposal.evidence)

        def build() -> Iterator[Said]:
            self.require_clean(names)
            cited = self._cited(names, proposal)
            evidence = [*(proposal.like.evidence if proposal.like else ()), *keep()]
            for part in _parts(names):
                yield self._proposed(part, proposal, cited, evidence)

        return self.commit(build)

    def _proposed(
        self, names: Names, proposal: Proposal, cited: tuple[Ref, ...] | None, evidence: Sequence[object]
    ) -> Said:
        salt, like = secrets.token_hex(32), proposal.like
        body = acts.Add(
            commitment=names.commitment(salt),
            count=len(names),
            ground=proposal.ground,
            basis=proposal.basis,
            review_by=proposal.review_by or self.review_until(),
            requests=cited,
        )
        optional = {
            "note": proposal.note,
            "says": dict(proposal.says),
            "evidence": list(evidence),
            "like": like and {"act": like.act, "names": _one_act(like.names).to_json()},
        }
        members = {"names": names.to_json(), "salt": salt, "reference": proposal.reference}
        return body, Dossier.of(members | {key: value for key, value in optional.items() if value})

    def _require_answers(self, proposal: Proposal) -> None:
        """The dossier of an addition answers what its ground asks."""
        ground = self.register.policy.grounds.get(proposal.ground)
        if ground is None:
            return  # the register refuses it, and says which grounds there are
        asked = {ask.id: ask for ask in ground.asks}
        unknown = sorted(proposal.says.keys() - asked.keys())
        if unknown:
            raise UsageError(
                _("the ground {ground} does not ask {answer}", ground=proposal.ground, answer=unknown[0]),
                _("it asks {asked}", asked=", ".join(asked) or "-"),
            )
        missing = [entry for entry in ground.asks if not proposal.says.get(entry.id, "").strip()]
        if missing:
            hints = [f"--say {entry.id}=…  {entry.texts[preferred()]}" for entry in missing]
            raise UsageError(
                plural(
                    "the dossier lacks {count} answer that the ground {ground} asks for",
                    "the dossier lacks {count} answers that the ground {ground} asks for",
                    len(missing),
                    ground=proposal.ground,
                ),
                "\n".join(hints),
            )

    def _require_proof(self, proposal: Proposal) -> None:
        """Without a request to the host, the dossier proves that the publisher cannot be identified."""
        copied = proposal.like is not None and proposal.like.evidence
        if proposal.basis == "no-identification" and not proposal.evidence and not copied:
            raise RuleError(
                _("basis no-identification needs its proof in the dossier"),
                _("--evidence FILE: what shows that the site does not say who publishes it"),
                self.register.policy.article("identification"),
            )

    def _cited(self, names: Sequence[Name], proposal: Proposal) -> tuple[Ref, ...] | None:
        """The removal requests that an addition cites; those whose notice is over, if there is one."""
        if proposal.basis == "no-identification":
            if proposal.requests:
                raise UsageError(
                    _("basis no-identification cites no removal request"), _("use --basis not-removed, or no --request")
                )
            return None
        if proposal.requests:
            return tuple(self.open_request(seq) for seq in sorted(set(proposal.requests)))
        notice = timedelta(seconds=self.register.policy.notice)
        named = [
            entry for entry in self.register.requests.values() if entry.names and entry.stage is not Stage.FOLLOWED
        ]
        cited: dict[int, Ref] = {}
        for name in names:
            found = [entry for entry in named if entry.names and within(name.text, set(_texts(entry.names)))]
            if not found:
                raise RuleError(
                    _("no open removal request names {name}", name=name.text),
                    _("make one with 'blocklist request', or cite one with --request SEQ"),
                    self.register.policy.article("notice"),
                )
            over = [entry for entry in found if self.now >= entry.clock + notice]
            cited |= {entry.ref.seq: entry.ref for entry in over or found}
        return tuple(cited[seq] for seq in sorted(cited))

    def like(self, text: str) -> Proposal:
        """A former proposal, to be made again or for a site that moved.

        Args:
            text: A name that was listed once, or the number of the act that proposed it.

        Raises:
            UsageError: The name was never listed, the act is no proposal, or its dossier was destroyed.
        """
        name = None if text.isdecimal() else self.known_name(text)
        measure = self.register.measures().get(name) if name else None
        seq = measure.added if measure else int(text)
        body, members = self.act(seq).act.body, self.dossier_of(seq)
        if not isinstance(body, acts.Add):
            raise UsageError(
                _("act {seq} proposes no names", seq=seq), _("see 'blocklist log' for the numbers of acts")
            )
        if not members:
            raise UsageError(
                _("the dossier of act {seq} is not here any more", seq=seq),
                _("add the name without --like, with all that belongs to it"),
            )
        names = (name,) if name else tuple(fields.read_names(members["names"]).each())
        return Proposal(
            ground=body.ground,
            basis=body.basis,
            reference=str(members.get("reference", "")),
            note=str(members.get("note", "")),
            says=dict(members.get("says", {})),
            requests=tuple(ref.seq for ref in body.requests or ()),
            like=Model(seq, names, tuple(members.get("evidence", ()))),
        )

    def sift(self, entries: Sequence[tuple[int, str]]) -> tuple[list[Name], list[Refused]]:
        """Tell the good names of a file, `(line, text)`, from the lines that are refused, with the reason of each."""
        suffixes, refused = self.suffixes(), []
        lines: dict[Name, int] = {}
        for line, text in entries:
            try:
                canonical = normalise(text)
            except NameRefused as refusal:
                refused.append(Refused(line, text, refusal.message))
            else:
                lines.setdefault(Name(canonical, suffixes.default_scope(canonical)), line)
        by_text = {name.text: line for name, line in lines.items()}
        bad: dict[str, Finding] = {}
        for finding in self.findings(list(lines)):
            bad.setdefault(finding.name, finding)
        refused += [Refused(by_text[text], text, finding.message) for text, finding in bad.items()]
        return [name for name in lines if name.text not in bad], sorted(refused, key=lambda entry: entry.line)

    # Approvals

    def waiting_for_me(self) -> list[Pending]:
        """The acts that this officer can approve."""
        officer = self.require_officer()
        return [entry for entry in self.register.waiting(self.now) if self.register.may_approve(entry, officer)]

    def approve(self, *seqs: int) -> list[SignedAct]:
        """Approve acts of other officers, all or none; guards run again, over all their names together.

        Raises:
            GuardError: A guard refuses a name now, or two of the acts hold it.
            RuleError: The register refuses an approval. In every case nothing was appended.
        """
        officer = self.require_officer()

        def build() -> list[Said]:
            bodies: list[Said] = []
            wanted: list[Name] = []
            for entry in map(self.pending, dict.fromkeys(seqs)):
                self.register.check_approver(entry, officer)
                names, salt = self.proposed_names(entry) or (None, None)
                bodies.append((acts.Approve(act=entry.ref, names=names, salt=salt), None))
                wanted += names.each() if names is not None else []
            self._require_approvable(wanted)
            return bodies

        return self.commit(build)

    def _require_approvable(self, names: Sequence[Name]) -> None:
        again = [name.text for name, count in Counter(names).items() if count > 1]
        twice = [
            Finding("covered", text, _("{name} is in two of these acts", name=text), _("approve one of them"))
            for text in again
        ]
        found = twice + self.findings(names)
        if found:
            raise GuardError(
                found, _("nothing was signed; 'blocklist reject' the act, or approve the others without it")
            )

    def reject(self, seq: int, reason: str) -> SignedAct:
        """Reject a pending act, or withdraw one's own."""
        self.require_officer()
        return self.state(acts.Reject(act=self.pending(seq).ref), reason=reason)

    # Measures

    def review(
        self, names: Sequence[Name], outcome: str, review_by: datetime | None, note: str, evidence: Sequence[Path]
    ) -> SignedAct:
        """State that names were verified again (décret 2015-125 art. 4)."""
        self.require_officer()
        still = outcome == "still-unlawful"
        if not still and review_by is not None:
            raise UsageError(
                _("outcome {outcome} ends the measure and has no review date", outcome=outcome),
                _("leave out --review-by"),
            )
        reviewed, keep = _one_act(names), self._keeper(evidence)

        def build() -> list[Said]:
            until = (review_by or self.review_until()) if still else None
            body = acts.Review(names=reviewed, outcome=outcome, review_by=until)
            return [(body, dossier_with({"note": note, "evidence": keep()}))]

        return self.commit(build)[0]

    def removable(self, text: str) -> Name:
        """A name that can be ended or struck: listed once, or waiting in a proposal.

        Raises:
            NameRefused: It is no name.
            UsageError: It was never listed, and waits nowhere.
        """
        try:
            return self.known_name(text)
        except UsageError:
            canonical = normalise(text, allow_mixed=True)
            for _entry, proposed in self.waiting_names():
                for name in proposed:
                    if name.text == canonical:
                        return name
            raise

    def remove(self, names: Sequence[Name], reason: str, reference: str) -> list[SignedAct]:
        """End measures at once; a name that still waits is struck from its proposal.

        A payload with a struck name would tell every provider a name that was never listed. So the proposal is
        rejected, and what is left of it is proposed anew.
        """
        self.require_officer()

        def build() -> Iterator[Said]:
            listed = self.register.measures()
            waiting = [name for name in names if listed.get(name) is None]
            ending = [name for name in names if name not in waiting]
            if ending:
                yield acts.Remove(names=_one_act(ending), reason=reason), dossier_with({"reference": reference})
            yield from self._strike(set(waiting), reason, reference)

        return self.commit(build)

    def _strike(self, names: set[Name], reason: str, reference: str) -> Iterator[Said]:
        for entry, proposed in self.waiting_names():
            struck, left = names.intersection(proposed), [name for name in proposed if name not in names]
            if not struck:
                continue
            why = {"reason": reason, "reference": reference, "names": _one_act(sorted(struck)).to_json()}
            yield acts.Reject(act=entry.ref), dossier_with(why)
            if left:
                yield self._proposed_anew(entry, _one_act(left))

    def _proposed_anew(self, entry: Pending, names: Names) -> Said:
        """A proposal with other names; all else as its author said it."""
        body, salt = entry.act.body, secrets.token_hex(32)
        assert isinstance(body, acts.Add)  # noqa: S101  (only proposals have names to strike)
        members = self.dossier_of(entry.ref.seq) | {"names": names.to_json(), "salt": salt, "replaces": entry.ref.seq}
        return replace(body, commitment=names.commitment(salt), count=len(names)), Dossier.of(members)

    # Oversight (LCEN art. 6-1 al. 3)

    def recommend(self, names: Sequence[Name], text: str) -> SignedAct:
        """State that measures are irregular; without names, a general remark."""
        self.require_officer()
        _require_text(text)
        return self.state(acts.Recommend(names=_one_act(names) if names else None), text=text.strip())

    def respond(self, seq: int, outcome: str, text: str) -> SignedAct:
        """Answer a recommendation; accepting it ends its measures in the same act.

        Raises:
            UsageError: There is no such recommendation.
            RuleError: It was answered already.
        """
        self.require_officer()
        _require_text(text)
        body = acts.Respond(recommendation=self.recommendation(seq).ref, outcome=outcome)
        return self.state(body, text=text.strip())

    def recommendation(self, seq: int) -> Recommendation:
        """The recommendation of that number.

        Raises:
            UsageError: There is none.
        """
        entry = self.register.recommendations.get(seq)
        if entry is None:
            raise UsageError(
                _("act {seq} is not a recommendation", seq=seq), _("'blocklist due' lists those that are open")
            )
        return entry

    # Officers

    def appoint(self, officer: str, role: str, key: PublicKey, identity: str = "") -> SignedAct:
        """Appoint an officer; in production another head approves it, when there is one.

        Args:
            officer: The officer's pseudonym.
            role: One of `acts.ROLES`.
            key: The officer's own.
            identity: Who it is (décret 2015-125 art. 1: individually designated); kept in the dossier.
        """
        self.require_officer()
        body = acts.Appoint(officer=fields.parse_identifier(officer), role=role, key=key.to_base64())
        return self.state(body, identity=identity.strip())

    def revoke(self, officer: str, reason: str) -> SignedAct:
        """End an officer's appointment; an agent's ends at once."""
        self.require_officer()
        return self.state(acts.Revoke(officer=fields.parse_identifier(officer)), reason=reason)

    # What goes into dossiers

    def _keeper(self, paths: Sequence[Path]) -> Callable[[], list[dict[str, object]]]:
        """Keeps evidence once, however often an act is built."""
        return cache(lambda: [self.evidence.keep(path, self.now) for path in paths])

    def _keeping(self, body: acts.Body, members: Callable[[], dict[str, object]]) -> SignedAct:
        return self.commit(lambda: [(body, dossier_with(members()))])[0]


def _require_url(text: str) -> None:
    """Refuse what is no address of a page."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or len(text) > 2000 or not text.isprintable():
        raise UsageError(
            _("{url!r} is not the URL of a page", url=text[:80]), _("such as https://www.example.com/page")
        )


def _require_text(text: str) -> None:
    if not text.strip() or len(text) > _MAX_TEXT:
        raise UsageError(
            _("the text is empty, or longer than {most} characters", most=_MAX_TEXT), _("say it with --text TEXT")
        )


def _texts(names: Names) -> tuple[str, ...]:
    return (*names.domain, *names.host)


def _one_act(names: Sequence[Name]) -> Names:
    parts = _parts(names)
    if len(parts) != 1:
        raise UsageError(
            _("an act holds 1 to {most} names", most=fields.MAX_NAMES), _("split them over several commands")
        )
    return parts[0]


def _parts(names: Sequence[Name]) -> list[Names]:
    """The names in as many sorted sets as acts are needed."""
    ordered = sorted(set(names))
    return [
        Names(
            tuple(name.text for name in part if name.scope is Scope.DOMAIN),
            tuple(name.text for name in part if name.scope is Scope.HOST),
        )
        for part in (ordered[start : start + fields.MAX_NAMES] for start in range(0, len(ordered), fields.MAX_NAMES))
    ]
