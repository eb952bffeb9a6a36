"""Who is in office (décret 2015-125 art. 1: individually designated agents)."""

from __future__ import annotations

from blocklist.keys.encoding import PublicKey
from blocklist.office.session import Session
from blocklist.register import acts, decoders
from blocklist.register.acts import SignedAct


def appoint(session: Session, officer: str, role: str, key: PublicKey, identity: str = "") -> SignedAct:
    """Appoint an officer; in production another head approves it, when there is one.

    Args:
        session: The register, and the officer who signs.
        officer: The officer's pseudonym.
        role: One of `acts.ROLES`.
        key: The officer's own.
        identity: Who it is (décret 2015-125 art. 1: individually designated); kept in the dossier.
    """
    session.require_officer()
    body = acts.Appoint(officer=decoders.parse_identifier(officer), role=role, key=key.to_base64())
    return session.state(body, identity=identity.strip())


def revoke(session: Session, officer: str, reason: str) -> SignedAct:
    """End an officer's appointment; an agent's ends at once."""
    session.require_officer()
    return session.state(acts.Revoke(officer=decoders.parse_identifier(officer)), reason=reason)
