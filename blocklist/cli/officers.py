"""`key` and `officer`: who may sign, and with what."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist import files
from blocklist.cli.common import (
    Settings,
    Verb,
    VerbGroup,
    ask,
    finish,
    keys_path,
    new_passphrase,
    office,
    read_id,
    signing_office,
    table,
    yes_option,
)
from blocklist.messages import _, later, shown
from blocklist.signing import KeyFolder, PublicKey


@click.group("key", cls=VerbGroup)
def key_command() -> None:
    """Make keys."""


@key_command.command("new", cls=Verb)
@click.argument("officer_id", callback=read_id, metavar="ID")
@click.option("--no-passphrase", is_flag=True, help="Keep the key unencrypted (for tests).")
@click.pass_obj
def key_new(settings: Settings, officer_id: str, no_passphrase: bool) -> None:
    """Make the key of an officer; hand ID.pub to a head of office."""
    folder = KeyFolder(keys_path(), new_passphrase)
    public = folder.create(officer_id, ed25519.Ed25519PrivateKey.generate(), encrypt=not no_passphrase)
    path = folder.path / f"{officer_id}.pub"
    members: dict[str, object] = {"id": officer_id, "public": str(path), "fingerprint": public.fingerprint}
    finish(
        settings,
        members,
        _(
            "key of {officer} made, fingerprint {fingerprint}; give {path} to a head",
            officer=officer_id,
            fingerprint=public.fingerprint,
            path=path,
        ),
    )


@click.group("officer", cls=VerbGroup)
def officer_command() -> None:
    """Appoint and revoke officers."""


@officer_command.command("appoint", cls=Verb)
@click.argument("officer_id", callback=read_id, metavar="ID")
@click.option("--role", type=click.Choice(["agent", "head", "qualified-person"]), required=True)
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, metavar="FILE.pub")
@click.option("--identity", default="", metavar="TEXT", help="Who it is; kept in the confidential dossier.")
@yes_option
@click.pass_obj
def officer_appoint(settings: Settings, officer_id: str, role: str, key_file: Path, identity: str) -> None:
    """Appoint an officer (décret 2015-125 art. 1)."""
    key = PublicKey.from_pem(files.read(key_file, _("the public key"), 65536), str(key_file))
    with signing_office(settings) as opened:
        ask(
            settings,
            _(
                "Appoint {officer} as {role}, key {fingerprint}?",
                officer=officer_id,
                role=role,
                fingerprint=key.fingerprint,
            ),
        )
        signed = opened.appoint(officer_id, role, key, identity)
        waits = signed.act.seq in opened.register.pending
        members: dict[str, object] = {"act": signed.act.seq, "officer": officer_id, "role": role, "waits": waits}
        if waits:
            template = later("act {seq}: waits for another head's approval, key {fingerprint}")
        else:
            template = later("act {seq}: {officer} is {role}, key {fingerprint}")
        values = {"seq": signed.act.seq, "officer": officer_id, "role": role, "fingerprint": key.fingerprint}
        finish(settings, members, _(template, **values))


@officer_command.command("revoke", cls=Verb)
@click.argument("officer_id", callback=read_id, metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the confidential dossier.")
@yes_option
@click.pass_obj
def officer_revoke(settings: Settings, officer_id: str, reason: str) -> None:
    """End an officer's appointment; what was signed before stays valid."""
    with signing_office(settings) as opened:
        ask(settings, _("Revoke {officer}?", officer=officer_id))
        dying = [entry.ref.seq for entry in opened.register.waiting(opened.now) if entry.act.by == officer_id]
        signed = opened.revoke(officer_id, reason)
        waits = signed.act.seq in opened.register.pending
        members: dict[str, object] = {"act": signed.act.seq, "officer": officer_id, "waits": waits}
        if waits:
            text = _("act {seq}: waits for another head's approval", seq=signed.act.seq)
        else:
            text = _("act {seq}: {officer} is revoked", seq=signed.act.seq, officer=officer_id)
            for seq in dying:
                text += "\n" + _(
                    "act {seq}, which {officer} proposed, cannot be approved any more", seq=seq, officer=officer_id
                )
        finish(settings, members, text)


@officer_command.command("list", cls=Verb)
@click.pass_obj
def officer_list(settings: Settings) -> None:
    """List officers, past and present."""
    with office(settings) as opened:
        officers = list(opened.register.officers.values())
    if settings.json:
        finish(
            settings,
            {
                "officers": [
                    {
                        "id": officer.id,
                        "role": officer.role,
                        "since": officer.since.isoformat(),
                        "until": officer.until and officer.until.isoformat(),
                        "fingerprint": officer.key.fingerprint,
                    }
                    for officer in officers
                ]
            },
        )
        return
    rows = [
        (entry.id, entry.role, shown(entry.since), shown(entry.until) if entry.until else "", entry.key.fingerprint)
        for entry in officers
    ]
    table((_("OFFICER"), _("ROLE"), _("SINCE"), _("UNTIL"), _("KEY")), rows)
