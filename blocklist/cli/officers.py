"""`key` and `officer`: who may sign, and with what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later, shown
from blocklist.cli.commands import Settings, Verb, VerbGroup, keys_path, office, read_id, signing_office, yes_option
from blocklist.cli.terminal import ask, changed_passphrase, finish, new_passphrase, passphrase, pin, table, urgent
from blocklist.keys.encoding import PublicKey
from blocklist.keys.folder import Kept, KeyFolder
from blocklist.office.appoint import appoint, revoke
from blocklist.register.decoders import is_identifier

if TYPE_CHECKING:
    from blocklist.keys.tokens import Choice

_Command = TypeVar("_Command", bound=Callable[..., Any])


_ROLES = {"root", "targets", "snapshot", "timestamp"}


@click.group("key", cls=VerbGroup)
def key_command() -> None:
    """Make and keep keys."""


def _read_hex(_context: click.Context, _parameter: click.Parameter, text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError as fault:
        raise click.BadParameter(_("a key's id on a token is hexadecimal, such as 02")) from fault


def _token_options(command: _Command) -> _Command:
    """How a token is named: the only one of the module needs no more."""
    for option in (
        click.option("--serial", metavar="NUMBER", help="The token of this serial number."),
        click.option("--label", metavar="TEXT", help="The token of this label."),
        click.option(
            "--module",
            type=click.Path(path_type=Path),
            envvar="BLOCKLIST_PKCS11_MODULE",
            metavar="FILE",
            help="The token's PKCS#11 module; or set BLOCKLIST_PKCS11_MODULE.",
        ),
        click.option("--role", is_flag=True, help="NAME is a role (root, targets, timestamp, seal, …) or a list."),
    ):
        command = option(command)
    return command


def _choice(module: Path | None, label: str | None, serial: str | None) -> Choice:
    from blocklist.keys.tokens import Choice

    if module is None:
        raise UsageError(
            _("it is not known which PKCS#11 module drives the token"),
            _("give it with --module or BLOCKLIST_PKCS11_MODULE; OpenSC's is opensc-pkcs11.so"),
        )
    return Choice(module.absolute(), label, serial)


def _require_name(name: str, role: bool) -> None:
    if not (role and name in _ROLES) and not is_identifier(name):
        raise UsageError(
            _("{text!r} is not an id: a letter, then up to 31 letters, digits or hyphens", text=name[:80]),
            _("roles of the published tree take --role") if name in _ROLES else "",
        )


def _made(settings: Settings, folder: KeyFolder, name: str, public: PublicKey, role: bool, template: str) -> None:
    path = folder.path / f"{name}.pub"
    members: dict[str, object] = {"id": name, "public": str(path), "fingerprint": public.fingerprint}
    text = _(template, name=name, fingerprint=public.fingerprint)
    finish(settings, members, text if role else _("{text}; give {path} to a head", text=text, path=path))


@key_command.command("new", cls=Verb)
@click.argument("key_name", metavar="NAME")
@click.option("--no-passphrase", is_flag=True, help="Keep the key unencrypted (for tests).")
@click.option("--token", is_flag=True, help="Make it on a PKCS#11 token, which it never leaves.")
@click.option("--curve", type=click.Choice(["p384", "p256"]), default="p384", show_default=True, help="On a token.")
@_token_options
@click.pass_obj
def key_new(
    settings: Settings,
    key_name: str,
    no_passphrase: bool,
    token: bool,
    curve: str,
    role: bool,
    module: Path | None,
    label: str | None,
    serial: str | None,
) -> None:
    """Make the key of an officer, or on a token that of a role; hand NAME.pub to a head of office."""
    _require_name(key_name, role)
    folder = KeyFolder(keys_path(), new_passphrase, pin=pin)
    if token:
        if no_passphrase:
            raise UsageError(_("a key on a token has a PIN"), _("leave out --no-passphrase"))
        kept, public = folder.create_on_token(key_name, _choice(module, label, serial), curve, role=role)
        _made(settings, folder, kept, public, role, later("key of {name} made on the token, fingerprint {fingerprint}"))
        return
    if label or serial or role:
        raise UsageError(
            _("--label, --serial and --role are for a key on a token"),
            _("add --token; 'blocklist trust key new ROLE' makes the key of a role in a file"),
        )
    public = folder.create(key_name, ed25519.Ed25519PrivateKey.generate(), encrypt=not no_passphrase)
    _made(settings, folder, key_name, public, role, later("key of {name} made, fingerprint {fingerprint}"))


@key_command.command("attach", cls=Verb)
@click.argument("key_name", metavar="NAME")
@click.option("--key-id", callback=_read_hex, metavar="HEX", help="The key's id on the token, where it has several.")
@_token_options
@click.pass_obj
def key_attach(
    settings: Settings,
    key_name: str,
    key_id: bytes | None,
    role: bool,
    module: Path | None,
    label: str | None,
    serial: str | None,
) -> None:
    """Use a key that is on a PKCS#11 token already: made by the token's own program, or on another machine."""
    _require_name(key_name, role)
    folder = KeyFolder(keys_path(), new_passphrase, pin=pin)
    kept, public = folder.attach(key_name, _choice(module, label, serial), key_id, role=role)
    _made(settings, folder, kept, public, role, later("key of {name} is on the token, fingerprint {fingerprint}"))


@key_command.command("change-passphrase", cls=Verb)
@click.argument("key_name", metavar="NAME")
@click.pass_obj
def key_change_passphrase(settings: Settings, key_name: str) -> None:
    """Give a key another passphrase, or its first one.

    The old one is asked for once, or read from the file that BLOCKLIST_PASSPHRASE_FILE names; the new one twice, or
    from the file that BLOCKLIST_NEW_PASSPHRASE_FILE names.
    """
    folder = KeyFolder(keys_path(), passphrase, changed_passphrase)
    public = folder.change_passphrase(key_name)
    members: dict[str, object] = {"id": key_name, "fingerprint": public.fingerprint}
    text = _(
        "key {name}, fingerprint {fingerprint}, has a new passphrase", name=key_name, fingerprint=public.fingerprint
    )
    finish(settings, members, text)


@key_command.command("list", cls=Verb)
@click.pass_obj
def key_list(settings: Settings) -> None:
    """List your keys: fingerprints to be read out loud, and what protects each."""
    kept = KeyFolder(keys_path(), passphrase).kept()
    if settings.json:
        finish(settings, {"folder": str(keys_path()), "keys": [_entry(key) for key in kept]})
        return
    rows = [(key.name, key.public.fingerprint if key.public else "", _protected(key)) for key in kept]
    table((_("key"), _("fingerprint"), _("protected by")), rows)


def _entry(key: Kept) -> dict[str, object]:
    place, protection = key.place, key.protection
    return {
        "name": key.name,
        "fingerprint": key.public.fingerprint if key.public else None,
        "keyid": key.public.keyid if key.public else None,
        "file": str(key.path),
        "encrypted": protection.encrypted if protection else None,
        "weak": protection.weak if protection else None,
        "token": {"label": place.label, "serial": place.serial, "key_id": place.key_id.hex()} if place else None,
        "fault": key.fault or None,
    }


def _protected(key: Kept) -> str:
    if key.fault:
        return urgent(key.fault)
    if key.place is not None:
        return _("token {label}, serial {serial}", label=key.place.label, serial=key.place.serial)
    if key.protection is None or not key.protection.encrypted:
        return _("nothing")
    return urgent(_("a weak passphrase: change-passphrase")) if key.protection.weak else _("passphrase")


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
    key = PublicKey.from_pem(durable.read(key_file, _("the public key"), 65536), str(key_file))
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
        signed = appoint(opened, officer_id, role, key, identity)
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
        signed = revoke(opened, officer_id, reason)
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
