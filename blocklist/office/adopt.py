"""Policies as files, and their adoption by a head of office."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, shown
from blocklist.office.session import Said, Session
from blocklist.register import acts, documents
from blocklist.register.acts import SignedAct
from blocklist.register.policy import Policy
from blocklist.register.policy_diff import require_same_regime
from blocklist.register.replay import from_beginning
from blocklist.workspace import read_policy_files


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy in force at one instant: the act that adopted (or founded) it, who signed that, and since when."""

    policy: Policy
    act: int
    by: str
    since: datetime


def read(path: Path) -> tuple[Policy, dict[str, bytes]]:
    """A policy as people wrote it, and the contents of its files by name.

    Raises:
        UsageError: It cannot be read, or is not valid; then the error holds every fault.
    """
    if path.suffix != ".yaml":
        raise UsageError(
            _("{path} cannot be the policy of a list", path=path), _("the file is called as its list: <list>.yaml")
        )
    contents = read_policy_files(path.parent, path.stem)
    return documents.load(contents, path.stem), contents


def require_head(office: Session) -> None:
    """Say at once, and not after everything was shown, who may adopt a policy.

    Raises:
        UsageError: No officer is named, or the one who is named is no head.
    """
    officer = office.require_officer()
    if officer not in office.register.heads():
        raise UsageError(_("{officer} is not a head of office", officer=officer), _("a head adopts policies"))


def adopt(office: Session, contents: Mapping[str, bytes]) -> SignedAct:
    """State that this policy is the list's; in production another head approves it, when there is one.

    Raises:
        PolicyError: It is not valid.
        UsageError: It is the policy of another list, or of another regime.
        RefusedError: The officer is no head, or another policy was adopted since the register was opened.
    """
    valid, shown_against = documents.load(contents, office.list_id), office.register.policy
    body = acts.Adopt(policy=valid.to_json(), files=documents.digests(contents), rules=acts.RULES)

    def build() -> list[Said]:
        if office.register.policy != shown_against:
            raise RefusedError(
                _("another policy was adopted meanwhile"), _("look at 'blocklist policy diff', then adopt again")
            )
        require_same_regime(office.register, valid)
        return [(body, None)]

    return office.commit(build)[0]


def in_force(office: Session, at: datetime) -> InForce:
    """The policy in force at the instant `at`, and the act that made it so.

    Raises:
        UsageError: The register was founded later.
    """
    found: InForce | None = None
    for signed, register in from_beginning(office.store.lines(office.list_id), office.now):
        act = signed.act
        if act.at > at:
            break
        if found is None or register.policy is not found.policy:
            cited = office.act(act.body.act.seq) if isinstance(act.body, acts.Approve) else signed
            found = InForce(register.policy, cited.act.seq, cited.act.by, act.at)
    if found is None:
        raise UsageError(
            _("the register was founded later, on {since}", since=shown(office.act(1).act.at)),
            _("ask for a later instant"),
        )
    return found
