"""The office: one method for each officer's verb.

A verb checks what it is about to state, signs it, lets the register judge it, and only then appends it. Whatever is
refused on the way has changed nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.keys.folder import PublicKey
from blocklist.names.domain_name import Name
from blocklist.names.guards import Finding
from blocklist.office.propose import Additions, one_act
from blocklist.office.session import GuardError, Said, dossier_with, numbered
from blocklist.register import acts, decoders
from blocklist.register.acts import SignedAct
from blocklist.register.lifecycle import Pending, Recommendation, RuleError
from blocklist.register.rules import lacking

_MAX_TEXT = 20_000


class Office(Additions):
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
        asked = one_act(names)
        if not contact.strip():
            raise UsageError(
                _("the request says nobody who was asked"), _("--contact TEXT: address, form or telephone")
            )
        for url in urls:
            _require_url(url)
        hidden = asked if to == "platform" else None
        body = acts.Request(to=to, names=None if hidden else asked)
        told = {
            "contact": contact.strip(),
            "urls": list(urls),
            "names": hidden and hidden.to_json(),
            "note": note,
        }
        return self._with_evidence(body, told, evidence)

    def answer(self, seq: int, outcome: str, note: str, evidence: Sequence[Path]) -> SignedAct:
        """State what came back to a removal request.

        Raises:
            UsageError: There is no such request.
            RuleError: It is closed.
        """
        self.require_officer()
        body = acts.Answer(request=self.open_request(seq), outcome=outcome)
        return self._with_evidence(body, {"note": note}, evidence)

    # Approvals

    def waiting_for_me(self) -> list[Pending]:
        """The acts that this officer can approve."""
        officer = self.require_officer()
        return [entry for entry in self.register.waiting(self.now) if self.register.may_approve(entry, officer)]

    def approve(self, *seqs: int, unless_gone: bool = False) -> list[SignedAct]:
        """Approve acts of other officers, all or none; guards run again, over all their names together.

        Args:
            seqs: Their numbers.
            unless_gone: Leave out those that do not wait any more: somebody else was faster.

        Raises:
            GuardError: A guard refuses a name now, or two of the acts hold it.
            RuleError: The register refuses an approval. In every case nothing was appended.
        """
        self.require_officer()

        def build() -> list[Said]:
            bodies: list[Said] = []
            wanted: list[Name] = []
            gone = {seq for seq in seqs if seq not in self.register.pending} if unless_gone else set()
            for entry in map(self.pending, dict.fromkeys(seq for seq in seqs if seq not in gone)):
                self.require_approvable(entry)
                names, salt = self.proposed_names(entry) or (None, None)
                bodies.append((acts.Approve(act=entry.ref, names=names, salt=salt), None))
                wanted += names.each() if names is not None else []
            self._require_free(wanted)
            return bodies

        return self.commit(build)

    def require_approvable(self, entry: Pending) -> None:
        """Refuse an act that this officer cannot approve, before anything is shown or asked.

        Raises:
            RuleError: Another officer has to, it has expired, a court annulled a name, or its dossier is incomplete.
        """
        body, officer = entry.act.body, self.require_officer()
        self.register.check_approver(entry, officer)
        self.register.check_waiting(entry.ref, self.now)
        self.register.check_proposal(body, self.now)
        if not isinstance(body, acts.Add):
            return
        proposed = self.proposed_names(entry)
        if proposed is not None:
            self.register.check_not_annulled(proposed[0], [*entry.approvals, officer])
        missing = lacking(self.register.policy, body.ground, body.basis, self.dossier_of(entry.ref.seq))
        if missing:
            raise RuleError(
                _("the dossier of act {seq} lacks {missing}", seq=entry.ref.seq, missing=", ".join(missing)),
                _("reject it; its author adds the names again, with all that is asked"),
            )

    def _require_free(self, names: Sequence[Name]) -> None:
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
        reviewed = one_act(names)
        with self.keeping_evidence(evidence) as keep:

            def build() -> list[Said]:
                until = (review_by or self.review_until()) if still else None
                body = acts.Review(names=reviewed, outcome=outcome, review_by=until)
                return [(body, dossier_with({"note": note, "evidence": keep()}))]

            return self.commit(build)[0]

    def _with_evidence(self, body: acts.Body, members: Mapping[str, object], evidence: Sequence[Path]) -> SignedAct:
        with self.keeping_evidence(evidence) as keep:
            return self.commit(lambda: [(body, dossier_with({**members, "evidence": keep()}))])[0]

    # Oversight (LCEN art. 6-1 al. 3)

    def recommend(self, names: Sequence[Name], text: str) -> SignedAct:
        """State that measures are irregular; without names, a general remark."""
        self.require_officer()
        _require_text(text)
        return self.state(acts.Recommend(names=one_act(names) if names else None), text=text.strip())

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
        message = _("act {seq} is not a recommendation", seq=seq)
        return numbered(self.register.recommendations, seq, message, _("'blocklist due' lists those that are open"))

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
        body = acts.Appoint(officer=decoders.parse_identifier(officer), role=role, key=key.to_base64())
        return self.state(body, identity=identity.strip())

    def revoke(self, officer: str, reason: str) -> SignedAct:
        """End an officer's appointment; an agent's ends at once."""
        self.require_officer()
        return self.state(acts.Revoke(officer=decoders.parse_identifier(officer)), reason=reason)


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
