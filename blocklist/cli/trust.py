"""`trust`: what the heads sign with their offline keys, and the publisher's keys and seal from year to year."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from blocklist.base import durable
from blocklist.base.errors import RefusedError, TargetError, UsageError
from blocklist.base.i18n import _, later, shown
from blocklist.cli.commands import Settings, Verb, VerbGroup, clock, keys_path, office, workspace, yes_option
from blocklist.cli.terminal import ask, finish, new_passphrase, passphrase, pin, say
from blocklist.cli.trust_text import proposal_members, say_proposal, show_trust, trust_members
from blocklist.keys.encoding import PublicKey
from blocklist.keys.folder import KeyFolder
from blocklist.publisher.tree import Repository
from blocklist.register.decoders import Ref
from blocklist.trust.ceremony import Ceremony, choose_branch
from blocklist.trust.describe import lacks
from blocklist.trust.expiry import trust_warnings
from blocklist.trust.folder import TrustFolder
from blocklist.trust.genesis import SEAL_ROLE, keep_key
from blocklist.trust.proposal import Proposal
from blocklist.trust.roles import OFFLINE, ROOT, TARGETS

if TYPE_CHECKING:
    from blocklist.trust.seal_certificates import Certificate

_MAX_KEY = 64 * 1024
key_option = click.option(
    "--key", "key_file", type=click.Path(path_type=Path), metavar="FILE.pub", help="A key that was made elsewhere."
)


@click.group("trust", cls=VerbGroup)
def trust_command() -> None:
    """Keys, thresholds and dates of what is published; the seal."""


def _keys() -> KeyFolder:
    return KeyFolder(keys_path(), passphrase, new_passphrase, pin)


def _ceremony(settings: Settings) -> Ceremony:
    return Ceremony(TrustFolder(workspace(settings).trust), _keys(), clock())


def _show_in_tree(settings: Settings) -> None:
    """Bring what the heads signed into the published tree; where it is closed to this account, `publish` does."""
    with suppress(TargetError):
        Repository.of(workspace(settings)).mend()


def _public(path: Path) -> PublicKey:
    return PublicKey.from_pem(durable.read(path, _("the public key"), _MAX_KEY), str(path))


@trust_command.command("show", cls=Verb)
@click.pass_obj
def trust_show(settings: Settings) -> None:
    """Show roles, keys, thresholds and dates, who can do what, and what ends soon."""
    ceremony = _ceremony(settings)
    tree = Repository.of(workspace(settings))
    warnings = (*trust_warnings(ceremony.heads, ceremony.now), *tree.warnings(ceremony.now))
    if settings.json:
        finish(settings, trust_members(ceremony, warnings))
    else:
        show_trust(ceremony, warnings)


# Proposals


def _proposed(settings: Settings, ceremony: Ceremony, proposal: Proposal) -> None:
    """The result of a command that proposes."""
    say_proposal(settings, ceremony, proposal)
    text = _(
        "proposed, in {path}: sign it with 'blocklist trust sign', here and where the other keys are",
        path=ceremony.path,
    )
    finish(settings, {"path": str(ceremony.path), **proposal_members(ceremony, proposal)}, text)


@trust_command.group("key", cls=VerbGroup)
def trust_key() -> None:
    """Make, add and remove keys of roles."""


@trust_key.command("new", cls=Verb)
@click.argument("role")
@click.option("--no-passphrase", is_flag=True, help="Keep a head's key unencrypted (for tests).")
@click.pass_obj
def trust_key_new(settings: Settings, role: str, no_passphrase: bool) -> None:
    """Make a key for a role here; hand its .pub file to a head.

    Keys of root and targets get a passphrase, those of the publisher's machine none.
    """
    keys = _keys()
    seal = role == SEAL_ROLE  # openssl makes and reads CMS with ECDSA
    private = ec.generate_private_key(ec.SECP384R1()) if seal else ed25519.Ed25519PrivateKey.generate()
    public = PublicKey.wrap(private.public_key())
    kept = keep_key(keys, role, private, encrypt=role in OFFLINE and not no_passphrase)
    path = keys.path / f"{role}-{kept.keyid[:16]}.pub"
    text = _(
        "key for {role} made, fingerprint {fingerprint}: {path}", role=role, fingerprint=public.fingerprint, path=path
    )
    finish(settings, {"role": role, "public": str(path), "fingerprint": public.fingerprint}, text)


@trust_key.command("add", cls=Verb)
@click.argument("role")
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, metavar="FILE.pub")
@click.pass_obj
def trust_key_add(settings: Settings, role: str, key_file: Path) -> None:
    """Propose one more key for a role."""
    ceremony = _ceremony(settings)
    proposal = ceremony.begin().add_key(role, _public(key_file), ceremony.now)
    _proposed(settings, ceremony, ceremony.propose(proposal))


@trust_key.command("remove", cls=Verb)
@click.argument("role")
@click.argument("fingerprint")
@click.pass_obj
def trust_key_remove(settings: Settings, role: str, fingerprint: str) -> None:
    """Propose one key less for a role."""
    ceremony = _ceremony(settings)
    proposal = ceremony.begin().remove_key(role, fingerprint, ceremony.now)
    _proposed(settings, ceremony, ceremony.propose(proposal))


@trust_command.command("threshold", cls=Verb)
@click.argument("role")
@click.argument("number", type=click.IntRange(1))
@click.pass_obj
def trust_threshold(settings: Settings, role: str, number: int) -> None:
    """Propose how many keys of a role have to sign."""
    ceremony = _ceremony(settings)
    proposal = ceremony.begin().threshold(role, number, ceremony.now)
    _proposed(settings, ceremony, ceremony.propose(proposal))


@trust_command.command("rotate", cls=Verb)
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@key_option
@click.option("--replace", "fingerprint", metavar="FINGERPRINT", help="Which key, where a role has several.")
@click.option("--stolen", is_flag=True, help="What the old keys signed counts for nothing.")
@click.option("--no-passphrase", is_flag=True, help="Keep a head's new key unencrypted (for tests).")
@click.pass_obj
def trust_rotate(
    settings: Settings,
    roles: tuple[str, ...],
    key_file: Path | None,
    fingerprint: str | None,
    stolen: bool,
    no_passphrase: bool,
) -> None:
    """Propose a new key for each role instead of the old one.

    It is made here, unless --key names one. 'publisher' stands for all roles of the publisher.
    """
    ceremony = _ceremony(settings)
    if not stolen and set(roles) - set(OFFLINE):
        Repository.of(workspace(settings)).require_not_ahead(
            ceremony.now, _("so that it counts for nothing: blocklist trust rotate publisher --stolen")
        )
    key = _public(key_file) if key_file else None
    proposal = ceremony.rotate(roles, key, fingerprint, stolen=stolen, encrypt=not no_passphrase)
    _proposed(settings, ceremony, proposal)


@trust_command.command("renew", cls=Verb)
@click.argument("roles", nargs=-1, type=click.Choice(OFFLINE), metavar="[root|targets]...")
@click.pass_obj
def trust_renew(settings: Settings, roles: tuple[str, ...]) -> None:
    """Propose the same once more, valid for a year from now; by default root and targets."""
    ceremony = _ceremony(settings)
    proposal = ceremony.begin()
    for role in roles or (ROOT, TARGETS):
        proposal = proposal.renew(role, ceremony.now)
    _proposed(settings, ceremony, ceremony.propose(proposal))


@trust_command.command("branch", cls=Verb)
@click.argument("seq", type=click.IntRange(1), required=False)
@click.pass_obj
def trust_branch(settings: Settings, seq: int | None) -> None:
    """Propose that the branch which holds act SEQ, by default the last, is the right one.

    After a fork that was made with stolen keys, subscribers of the other branch move over to this one.
    """
    with office(settings) as opened:
        register = opened.register
        if seq is not None and seq > len(register.ids):
            raise UsageError(
                _("the register has no act {seq}", seq=seq), _("its last act is {last}", last=len(register.ids))
            )
        ref = register.head if seq is None else Ref(seq, register.ids[seq - 1])
    ceremony = _ceremony(settings)
    _proposed(settings, ceremony, choose_branch(ceremony, register, ref))


@trust_command.command("sign", cls=Verb)
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@yes_option
@click.pass_obj
def trust_sign(settings: Settings, path: Path | None) -> None:
    """Show what a proposal changes, sign it with the keys that are here, and put it in force if that is enough.

    FILE is a proposal that was made elsewhere; it keeps the signatures. Without it, the one that waits here.
    """
    ceremony = _ceremony(settings)
    path = path or ceremony.path
    if not path.exists():
        raise UsageError(
            _("no proposal waits at {path}", path=path), _("'blocklist trust --help' lists what proposes one")
        )
    proposal = ceremony.load(path)
    if ceremony.keeps_trust():
        ceremony.require_follows(proposal)
    say_proposal(settings, ceremony, proposal)
    for document, key, _name in ceremony.able(proposal):
        say(_("the key {fingerprint} of {role} is here", fingerprint=key.fingerprint, role=document))
    ask(settings, _("Sign this?"))
    signed = ceremony.sign(proposal, path)
    lines = [_("signed with {fingerprint}", fingerprint=key.fingerprint) for key in signed.keys]
    if signed.published:
        _show_in_tree(settings)
        lines.append(
            _("in force: every version is kept in {trust}; the next 'publish' shows it", trust=ceremony.heads.path)
        )
    elif not signed.proposal.missing():
        lines.append(_("complete: carry {path} back and run 'blocklist trust sign' on it there", path=path))
    members = {"signed": [key.fingerprint for key in signed.keys], "published": signed.published, "path": str(path)}
    lines += map(lacks, signed.proposal.missing())
    finish(settings, {**members, **proposal_members(ceremony, signed.proposal)}, "\n".join(lines))


@trust_command.command("discard", cls=Verb)
@yes_option
@click.pass_obj
def trust_discard(settings: Settings) -> None:
    """Drop the proposal that waits here; what is in force stays."""
    ceremony = _ceremony(settings)
    ask(settings, _("Drop the proposal in {path}?", path=ceremony.path))
    dropped = ceremony.discard()
    finish(settings, {"discarded": dropped}, _("dropped") if dropped else _("no proposal waits here"))


# The seal


@trust_command.group("seal", cls=VerbGroup)
def trust_seal() -> None:
    """Renew and revoke the seal's certificates."""


@trust_seal.command("renew", cls=Verb)
@key_option
@yes_option
@click.pass_obj
def trust_seal_renew(settings: Settings, key_file: Path | None) -> None:
    """Issue a certificate for another year with the authority's key, and the revocation list anew.

    The certificate before stays good until its end. The key is made here, unless --key names one.
    """
    from blocklist.trust.seal_certificates import renew

    ceremony = _ceremony(settings)
    ask(settings, _("Issue a certificate of the seal for another year?"))
    made = renew(ceremony.heads, ceremony.keys, ceremony.now, _public(key_file) if key_file else None)
    text = later("certificate issued, key {fingerprint}, valid until {until}; the publisher needs that key")
    _finish_certificate(settings, made, text)


@trust_seal.command("revoke", cls=Verb)
@click.argument("fingerprint")
@yes_option
@click.pass_obj
def trust_seal_revoke(settings: Settings, fingerprint: str) -> None:
    """Take a certificate of the seal back, by its key's fingerprint, with the authority's key.

    Whoever uses seal.crl then refuses every release that it sealed, the old ones too.
    """
    from blocklist.trust.seal_certificates import revoke

    ceremony = _ceremony(settings)
    ask(settings, _("Revoke the seal's certificate of {fingerprint}?", fingerprint=fingerprint))
    revoked = revoke(ceremony.heads, ceremony.keys, fingerprint, ceremony.now)
    _finish_certificate(settings, revoked, later("certificate of {fingerprint} revoked: {subject}"))


@trust_seal.command("request", cls=Verb)
@click.option("--common-name", required=True, metavar="TEXT", help="The common name.")
@click.option("--organization", default="", metavar="TEXT", help="The organization.")
@click.option("--country", default="", metavar="XX", help="Two letters.")
@click.option(
    "-o", "path", type=click.Path(path_type=Path), required=True, metavar="FILE.csr", help="Where to write it."
)
@click.pass_obj
def trust_seal_request(settings: Settings, common_name: str, organization: str, country: str, path: Path) -> None:
    """Make a key of a seal here, and a request for its certificate."""
    from blocklist.trust.seal_certificates import request

    if path.exists():
        raise RefusedError(_("{path} is there already", path=path), _("choose another name"))
    keys = _keys()
    content, key = request(keys, common_name, organization, country)
    durable.replace(path, content)
    text = _(
        "request written to {path}, key {fingerprint} in {keys}", path=path, fingerprint=key.fingerprint, keys=keys.path
    )
    finish(settings, {"path": str(path), "fingerprint": key.fingerprint}, text)


@trust_seal.command("install", cls=Verb)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@key_option
@yes_option
@click.pass_obj
def trust_seal_install(settings: Settings, path: Path, key_file: Path | None) -> None:
    """Take in the certificate that was issued for a request; its chain and its key are checked.

    FILE holds it, and all certificates above it if another authority issued it: that makes a second seal beside the
    first, SHA256SUMS.qualified.p7s. What providers pinned stays.
    """
    from blocklist.trust.seal_certificates import MAX_CERTIFICATES, install

    ceremony = _ceremony(settings)
    content = durable.read(path, _("the certificate"), MAX_CERTIFICATES)
    ask(settings, _("Seal with the certificate in {path}?", path=path))
    made = install(ceremony.heads, ceremony.keys, content, ceremony.now, _public(key_file) if key_file else None)
    text = later("installed: {subject}, key {fingerprint}, valid until {until}")
    _finish_certificate(settings, made, text)


def _finish_certificate(settings: Settings, certificate: Certificate, text: str) -> None:
    _show_in_tree(settings)
    values = {"fingerprint": certificate.fingerprint, "until": shown(certificate.until), "subject": certificate.subject}
    finish(settings, certificate.to_json(), _(text, **values))
