"""`audit` and `dossier`: checking everything, and what is confidential about an act or a measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocklist.audit.audit import Audit, audit_workspace
from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import (
    Settings,
    Verb,
    VerbGroup,
    clock,
    describe,
    office,
    signing_office,
    workspace,
    yes_option,
)
from blocklist.cli.terminal import ask, finish, progress, say, urgent
from blocklist.office.erase import erase, require_erasable
from blocklist.office.vocabulary import details_of, sentence
from blocklist.register import acts, decoders
from blocklist.register.decoders import format_instant
from blocklist.store.evidence import entries_of

if TYPE_CHECKING:
    from blocklist.office.session import Session
    from blocklist.register.acts import SignedAct


@click.command("audit", cls=Verb, short_help="Check the whole register, from its first act.")
@click.pass_obj
def audit_command(settings: Settings) -> None:
    """Check everything: signatures, rules, dossiers, evidence, every release. Needs no key and changes nothing.

    DIR may be a workspace, a copy of one that cannot be written, a folder made by `dossier export`, or a release.
    Exit code 3 when anything is wrong.
    """
    result = audit_workspace(workspace(settings), clock(), progress)
    finish(settings, _members(result))
    if not settings.json:
        for line in _checked(result):
            click.echo(line)
        for remark in result.remarks:
            click.echo(_("remark: {text}", text=remark))
        for fault in result.faults:
            about = "" if fault.act is None else _("act {seq}: ", seq=fault.act)
            click.echo(urgent(f"{about}{fault.message}"))
    if result.faults:
        count = len(result.faults)
        raise VerificationError(
            plural("{count} fault in the register", "{count} faults in the register", count),
            _("do not publish; see above"),
        )
    say(_("no fault; head {head}", head=result.head))


def _members(result: Audit) -> dict[str, object]:
    return {
        "list": result.list_id,
        "environment": result.environment,
        "register": result.register,
        "head": result.head,
        "acts": result.acts,
        "dossiers": {"checked": result.dossiers, "erased": result.erased, "absent": result.absent},
        "evidence": result.evidence,
        "releases": result.releases,
        "remarks": list(result.remarks),
        "faults": [{"act": fault.act, "message": fault.message} for fault in result.faults],
    }


def _checked(result: Audit) -> Iterator[str]:
    """What was checked, a line each."""
    yield plural(
        "{count} act checked: chain, signatures, appointments, every rule, clock",
        "{count} acts checked: chain, signatures, appointments, every rule, clock",
        result.acts,
    )
    yield plural(
        "{count} dossier checked against its act; {erased} erased, {absent} not here",
        "{count} dossiers checked against their acts; {erased} erased, {absent} not here",
        result.dossiers,
        erased=result.erased,
        absent=result.absent,
    )
    yield plural(
        "{count} file of evidence checked against its dossier",
        "{count} files of evidence checked against their dossiers",
        result.evidence,
    )
    yield plural(
        "{count} release checked: seal, sums, and what the acts say at its instant",
        "{count} releases checked: seals, sums, and what the acts say at their instants",
        result.releases,
    )
    yield _(
        "list {list_id}, environment {environment}, register {register}",
        list_id=result.list_id or "-",
        environment=result.environment or "-",
        register=result.register or "-",
    )


@click.group("dossier", cls=VerbGroup)
def dossier_command() -> None:
    """Show, hand out and erase what is confidential."""


@dossier_command.command("show", cls=Verb)
@click.argument("number", type=int, metavar="SEQ")
@click.pass_obj
def dossier_show(settings: Settings, number: int) -> None:
    """Show what the dossier of act SEQ holds."""
    with office(settings) as opened:
        signed = opened.act(number)
        dossier = _held(opened, signed)
        if settings.json:
            finish(settings, _dossier_members(opened, signed, dossier))
            return
        click.echo(_heading(signed))
        for line in _dossier_lines(opened, signed, dossier):
            click.echo(line)


def _heading(signed: SignedAct) -> str:
    act = signed.act
    said_by = _("{by}: {what}", by=act.by, what=sentence(act.body))
    return f"{_('act {seq}', seq=act.seq)}  {shown(act.at)}  {said_by}"


def _held(opened: Session, signed: SignedAct) -> dict[str, Any]:
    """The dossier of an act.

    Raises:
        UsageError: It has none, or none that is here.
    """
    seq = signed.act.seq
    if signed.act.dossier is None:
        raise UsageError(_("act {seq} has no dossier", seq=seq), _("nothing about it is confidential"))
    if seq in opened.register.erased:
        raise UsageError(_("the dossier of act {seq} was erased", seq=seq), _("see 'blocklist log' for who did it"))
    members = opened.dossier_of(seq)
    if not members:
        raise UsageError(_("the dossier of act {seq} is not here", seq=seq), _("restore dossiers.db from a backup"))
    return members


def _dossier_members(opened: Session, signed: SignedAct, members: dict[str, Any]) -> dict[str, object]:
    """The dossier without its salts: who has them can test guesses of what was erased elsewhere."""
    plain = {key: value for key, value in members.items() if key != "salt"}
    if "evidence" in plain:
        plain["evidence"] = [
            {**entry, "path": _path(opened, entry), "fault": opened.evidence.fault(entry)}
            for entry in entries_of(members)
        ]
    header = {"act": signed.act.seq, "id": signed.id, "at": format_instant(signed.act.at), "by": signed.act.by}
    return {**header, "kind": signed.act.body.kind, "dossier": plain}


def _dossier_lines(opened: Session, signed: SignedAct, members: dict[str, Any]) -> Iterator[str]:
    if isinstance(signed.act.body, acts.Add):
        yield describe(opened, decoders.read_names(members["names"]).each(), None)
    for line in details_of(members, opened.register.policy, signed.act.body):
        yield f"  {line}"
    for entry in entries_of(members):
        fault = opened.evidence.fault(entry)
        yield f"  {_path(opened, entry)}" if fault is None else urgent(f"  {fault}")


def _path(opened: Session, entry: Any) -> str | None:  # noqa: ANN401  (JSON)
    try:
        return str(opened.evidence.path(str(entry.get("sha256"))))
    except UsageError:
        return None


@dossier_command.command("export", cls=Verb)
@click.argument("name")
@click.option("-o", "target", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder.")
@click.pass_obj
def dossier_export(settings: Settings, name: str, target: Path) -> None:
    """Write everything about a measure to a folder that `audit` verifies without the office."""
    from blocklist.audit.case_file import export_measure

    with office(settings) as opened:
        made = export_measure(opened, name, target.absolute(), progress)
    for entry in made.lost:
        say(_("lost: {text}", text=entry))
    members: dict[str, object] = {
        "name": made.name,
        "folder": str(made.folder),
        "acts": list(made.acts),
        "dossiers": made.dossiers,
        "evidence": made.evidence,
        "lost": list(made.lost),
    }
    text = _(
        "{name}: {acts} acts, {dossiers} dossiers, {evidence} files of evidence in {folder}; it is confidential",
        name=made.name,
        acts=len(made.acts),
        dossiers=made.dossiers,
        evidence=made.evidence,
        folder=made.folder,
    )
    finish(settings, members, text)


@dossier_command.command("erase", cls=Verb)
@click.argument("number", type=int, metavar="SEQ")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the dossier of the erasure.")
@yes_option
@click.pass_obj
def dossier_erase(settings: Settings, number: int, reason: str) -> None:
    """Destroy the dossier of act SEQ with its salt and evidence; the act itself stays (GDPR art. 17)."""
    with signing_office(settings) as opened:
        signed = require_erasable(opened, number)
        say(_heading(signed))
        ask(settings, _("Destroy its dossier and evidence for ever?"))
        done = erase(opened, number, reason)
    removed = plural("{count} file of evidence", "{count} files of evidence", done.evidence)
    members: dict[str, object] = {
        "act": done.act,
        "erased": done.dossier,
        "evidence": done.evidence,
        "shared": done.shared,
    }
    if done.act is None:
        text = _("the dossier of act {seq} was erased before; what was left of it is gone now", seq=number)
    else:
        text = _(
            "act {act}: the dossier of act {seq} is destroyed, with {removed}; backups may still hold it",
            act=done.act,
            seq=number,
            removed=removed,
        )
    finish(settings, members, text)
