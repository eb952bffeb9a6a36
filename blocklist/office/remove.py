"""How names are taken back: measures end at once, names that wait are struck from their proposal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _
from blocklist.names.domain_name import Name, Names, normalise
from blocklist.office.session import Said, Session, dossier_with, one_act
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.lifecycle import Pending
from blocklist.store.store import Dossier


def removable(session: Session, text: str) -> Name:
    """A name that can be ended or struck: listed once, or waiting in a proposal.

    Raises:
        NameRefused: It is no name.
        UsageError: It was never listed, and waits nowhere.
    """
    try:
        return session.known_name(text)
    except UsageError:
        canonical = normalise(text, allow_mixed=True)
        for _entry, proposed in session.waiting_names():
            for name in proposed:
                if name.text == canonical:
                    return name
        raise


def remove(session: Session, names: Sequence[Name], reason: str, reference: str) -> list[SignedAct]:
    """End measures at once; a name that still waits is struck from its proposal.

    A payload with a struck name would tell every provider a name that was never listed. So the proposal is
    rejected, and what is left of it is proposed anew.
    """
    session.require_officer()

    def build() -> Iterator[Said]:
        listed = session.register.measures()
        waiting = [name for name in names if listed.get(name) is None]
        ending = [name for name in names if name not in waiting]
        if ending:
            yield acts.Remove(names=one_act(ending), reason=reason), dossier_with({"reference": reference})
        yield from _strike(session, set(waiting), reason, reference)

    return session.commit(build)


def _strike(session: Session, names: set[Name], reason: str, reference: str) -> Iterator[Said]:
    for entry, proposed in session.waiting_names():
        struck, left = names.intersection(proposed), [name for name in proposed if name not in names]
        if not struck:
            continue
        why = {"reason": reason, "reference": reference, "names": one_act(sorted(struck)).to_json()}
        yield acts.Reject(act=entry.ref), dossier_with(why)
        if left:
            _require_agent(session)
            yield _proposed_anew(session, entry, one_act(left))


def _require_agent(session: Session) -> None:
    officer = session.register.in_office(session.require_officer())
    if officer is None or officer.role != "agent":
        raise RefusedError(
            _("only an agent strikes one name of several, since the others are proposed anew"),
            _("ask an agent, or reject the whole act with 'blocklist reject'"),
        )


def _proposed_anew(session: Session, entry: Pending, names: Names) -> Said:
    """A proposal with other names; all else as its author said it."""
    body, salt = entry.act.body, secrets.token_hex(32)
    assert isinstance(body, acts.Add)  # noqa: S101  (only proposals have names to strike)
    members = session.dossier_of(entry.ref.seq) | {"names": names.to_json(), "salt": salt, "replaces": entry.ref.seq}
    return replace(body, commitment=names.commitment(salt), count=len(names)), Dossier.of(members)
