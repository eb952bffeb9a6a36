"""`trust show`, and a proposal as people and scripts see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from blocklist.base.i18n import _, shown
from blocklist.cli.commands import Settings
from blocklist.cli.terminal import say, table, urgent
from blocklist.register.decoders import format_instant
from blocklist.trust.describe import advice, changes, does, lacks, together
from blocklist.trust.folder import key_name
from blocklist.trust.roles import ROOT
from blocklist.trust.seal_certificates import certificates

if TYPE_CHECKING:
    from blocklist.trust.ceremony import Ceremony
    from blocklist.trust.proposal import Proposal
    from blocklist.trust.roles import Trust
    from blocklist.trust.seal_certificates import Certificate


def trust_members(ceremony: Ceremony, warnings: Sequence[str]) -> dict[str, object]:
    """How trust stands, for `--json`."""
    trust, waiting = ceremony.heads.trust(), ceremony.waiting()
    members: dict[str, object] = {
        document: {"version": signed.version, "expires": format_instant(signed.expires)}
        for document, signed in trust.documents().items()
    }
    members["roles"] = [
        {
            "role": role,
            "threshold": trust.role(role).threshold,
            "keys": [
                {
                    "id": key.keyid,
                    "fingerprint": key.fingerprint,
                    "here": key_name(ceremony.keys, role, keyid) is not None,
                }
                for keyid, key in trust.keys(role).items()
            ],
        }
        for role in trust.names()
    ]
    members["branches"] = {list_id: pin.branch.to_json() for list_id, pin in trust.pins.items()}
    members["seal"] = [entry.to_json() for entry in certificates(ceremony.heads, ceremony.keys)]
    members["proposal"] = proposal_members(ceremony, waiting) if waiting else None
    members["warnings"] = list(warnings)
    members["advice"] = list(advice(trust))
    return members


def _role_members(ceremony: Ceremony, trust: Trust, role: str) -> dict[str, object]:
    here = {keyid for keyid in trust.keys(role) if key_name(ceremony.keys, role, keyid)}
    keys = [
        {"id": key.keyid, "fingerprint": key.fingerprint, "here": keyid in here}
        for keyid, key in trust.keys(role).items()
    ]
    return {"role": role, "threshold": trust.role(role).threshold, "keys": keys, "does": does(trust, role)}


def show_trust(ceremony: Ceremony, warnings: Sequence[str]) -> None:
    """How trust stands, for people."""
    trust, waiting = ceremony.heads.trust(), ceremony.waiting()
    for document, signed in trust.documents().items():
        version, until = signed.version, shown(signed.expires)
        click.echo(_("{role}: version {version}, valid until {until}", role=document, version=version, until=until))
    click.echo()
    table((_("ROLE"), _("NEEDS"), _("KEYS"), _("WHAT IT IS FOR")), _role_rows(ceremony))
    click.echo()
    for list_id, pin in trust.pins.items():
        click.echo(
            _(
                "{list_id}: branch {number}, which holds act {seq}, {id}",
                list_id=list_id,
                number=pin.branch.number,
                seq=pin.branch.act.seq,
                id=pin.branch.act.id,
            )
        )
    click.echo()
    seals = certificates(ceremony.heads, ceremony.keys)
    table((_("SEAL"), _("KEY"), _("UNTIL"), ""), map(_seal_row, seals))
    for line in warnings:
        say(_("{word}: {message}", word=urgent(_("warning")), message=line))
    for line in advice(trust):
        say(_("advice: {message}", message=line))
    if waiting is not None:
        say(_("a proposal waits in {path}: 'blocklist trust sign' shows it", path=ceremony.path))


def _role_rows(ceremony: Ceremony) -> list[tuple[str, ...]]:
    trust = ceremony.heads.trust()
    rows: list[tuple[str, ...]] = []
    for role in trust.names():
        about = [role, together(trust, role), "", does(trust, role)]
        for keyid, key in trust.keys(role).items():
            here = key_name(ceremony.keys, role, keyid) is not None
            about[2] = _("{fingerprint} (here)", fingerprint=key.fingerprint) if here else key.fingerprint
            rows.append(tuple(about))
            about = ["", "", "", ""]
    return rows


def _seal_row(entry: Certificate) -> tuple[str, ...]:
    kinds = {
        "seal": _("seals releases"),
        "former": _("sealed earlier ones"),
        "authority": _("issues the others"),
        "qualified": _("second seal"),
    }
    key = _("{fingerprint} (here)", fingerprint=entry.fingerprint) if entry.here else entry.fingerprint
    return kinds[entry.kind], key, shown(entry.until), _("REVOKED") if entry.revoked else ""


def proposal_members(ceremony: Ceremony, proposal: Proposal) -> dict[str, Any]:
    """A proposal, for `--json`."""
    return {
        "fingerprint": proposal.fingerprint,
        "changes": [line.strip() for line in changes(proposal)],
        "missing": [
            {"document": entry.document, "count": entry.count, "keys": [key.fingerprint for key in entry.keys]}
            for entry in proposal.missing()
        ],
        "advice": list(advice(proposal.after)),
    }


def say_proposal(settings: Settings, ceremony: Ceremony, proposal: Proposal) -> None:
    """What a proposal changes against what is in force, and what it lacks."""
    if settings.json:
        return
    if not ceremony.keeps_trust():
        root = proposal.base.root.signed
        keys = ", ".join(key.fingerprint for key in proposal.base.keys(ROOT).values())
        say(
            _(
                "this machine keeps no versions of its own: compared with root {version}, keys {keys}, in the file",
                version=root.version,
                keys=keys,
            )
        )
    for line in changes(proposal):
        say(line)
    say(_("all who sign this see the fingerprint {fingerprint}", fingerprint=proposal.fingerprint))
    for line in advice(proposal.after):
        say(_("advice: {message}", message=line))
    for entry in proposal.missing():
        say(lacks(entry))
