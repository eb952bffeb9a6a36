"""`add`, `import`, `approve`, `reject`, `review`, `remove`: the acts of agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blocklist import acts, files, intake
from blocklist.cli.common import (
    Settings,
    Verb,
    ask,
    can_ask,
    confirmed,
    counted,
    finish,
    read_date,
    say,
    shown,
    signing_office,
    yes_option,
)
from blocklist.errors import RefusedError, UsageError
from blocklist.messages import _
from blocklist.names import Name, NameRefused, Scope
from blocklist.office import GuardError, Proposal, Refused
from blocklist.signing import PublicKey

if TYPE_CHECKING:
    from blocklist.entries import Pending
    from blocklist.office import Office

_F = TypeVar("_F", bound=Callable[..., Any])
_SHOWN = 30
_MAX_IMPORT = 64 * 1024 * 1024

name_arguments = click.argument("names", nargs=-1, required=True, metavar="NAME...")
date_option = click.option(
    "--review-by", callback=read_date, metavar="DATE", help="A day (its end in Paris) or an instant in UTC."
)
evidence_option = click.option(
    "--evidence", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Kept with the dossier."
)
note_option = click.option("--note", default="", metavar="TEXT", help="Kept in the confidential dossier.")


def proposal_options(command: _F) -> _F:
    """What `add` and `import` say beside the names."""
    for option in (
        evidence_option,
        note_option,
        date_option,
        click.option("--ref", "reference", required=True, metavar="TEXT", help="The office's file reference."),
        click.option("--basis", type=click.Choice(acts.BASES), required=True, help="LCEN art. 6-1 al. 2."),
        click.option("--ground", required=True, metavar="G", help="An id of the policy's grounds."),
    ):
        command = option(command)
    return command


def _refuse_not_removed(basis: str) -> None:
    if basis == "not-removed":
        raise RefusedError(
            _("basis not-removed cites removal requests, and this register has no way to make them yet"),
            _("LCEN art. 6-1 al. 2; with no identified publisher use --basis no-identification"),
        )


def _say_findings(error: GuardError) -> None:
    for finding in error.findings:
        say(f"{finding.guard}: {finding.message}")
        if finding.hint:
            say(f"    {finding.hint}")


def describe(opened: Office, names: Sequence[Name]) -> str:
    """What exactly is blocked, a line a name; a name that is not plain ASCII in both forms."""
    suffixes = opened.guards().suffixes
    lines = [f"  {suffixes.describe(name)}" for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        lines.append(f"  … and {counted(len(names) - _SHOWN, 'more name')}")
    return "\n".join(lines)


def _scopes(names: Sequence[Name]) -> dict[str, str]:
    return {name.text: str(name.scope) for name in names}


@click.command("add", cls=Verb)
@name_arguments
@proposal_options
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), help="For all names; by default by name.")
@yes_option
@click.pass_obj
def add_command(settings: Settings, /, names: tuple[str, ...], scope: str | None, **proposed: Any) -> None:  # noqa: ANN401
    """Propose to block names; another officer approves."""
    _refuse_not_removed(proposed["basis"])
    with signing_office(settings) as opened:
        wanted = [_read_name(settings, opened, text, Scope(scope) if scope else None) for text in names]
        try:
            opened.require_clean(wanted)
            say(describe(opened, wanted))
            ask(settings, _("Propose {count}?", count=counted(len(set(wanted)))))
            signed = opened.add(wanted, Proposal(**proposed))[0]
        except GuardError as error:
            _say_findings(error)
            raise
        _finish_names(
            settings, signed.act.seq, wanted, f"proposed, ground {proposed['ground']}; another officer approves"
        )


def _read_name(settings: Settings, opened: Office, text: str, scope: Scope | None) -> Name:
    """A name as typed; one of mixed scripts only when the officer confirms that it is meant."""
    try:
        return opened.read_name(text, scope)
    except NameRefused as refusal:
        if refusal.reason != "mixed-script" or not can_ask(settings):
            raise
        say(f"{refusal.message}\n    {refusal.hint}")
        ask(settings, _("Is this name meant as it stands?"))
        return opened.read_name(text, scope, allow_mixed=True)


def _finish_names(settings: Settings, seq: int, names: Sequence[Name], what: str) -> None:
    unique = sorted(set(names))
    members: dict[str, object] = {"act": seq, "names": [name.text for name in unique], "scopes": _scopes(unique)}
    finish(settings, members, f"act {seq}: {counted(len(unique))} {what}")


@click.command("import", cls=Verb, short_help="Propose the names of a file.")
@click.argument("file", type=click.Path(path_type=Path))
@proposal_options
@click.option("--format", "format_id", type=click.Choice(intake.FORMATS), help="By default told by the content.")
@click.option("--skip-refused", is_flag=True, help="Add the good names and list the refused ones.")
@yes_option
@click.pass_obj
def import_command(
    settings: Settings,
    /,
    file: Path,
    format_id: str | None,
    skip_refused: bool,
    **proposed: Any,  # noqa: ANN401
) -> None:
    """Propose the names of a FILE: one a line, hosts format, CSV with a header, or YAML."""
    _refuse_not_removed(proposed["basis"])
    entries = intake.read(files.read(file, "the file", _MAX_IMPORT), format_id)
    if not entries:
        raise UsageError(
            _("{file} holds no names", file=file), _("one name a line, hosts format, CSV with a header, or YAML")
        )
    with signing_office(settings) as opened:
        names, refused = opened.sift(entries)
        for entry in refused if not settings.json else ():
            say(_("line {line}: {reason}", line=entry.line, reason=entry.reason))
        members: dict[str, object] = {"acts": [], "refused": [_refused(entry) for entry in refused]}
        if not names or (refused and not skip_refused):
            if settings.json:
                finish(settings, members)
            raise RefusedError(
                _(
                    "{count} of {names} in {file} are refused, nothing was signed",
                    count=len(refused),
                    names=counted(len(entries)),
                    file=file,
                ),
                _("correct the file, or add the good names with --skip-refused"),
            )
        say(describe(opened, names))
        ask(
            settings,
            _(
                "Propose {count}, and leave out {lines}?",
                count=counted(len(names)),
                lines=counted(len(refused), "line"),
            ),
        )
        signed = opened.add(names, Proposal(**proposed))
    numbers = [entry.act.seq for entry in signed]
    what = f"act {numbers[0]}" if len(numbers) == 1 else f"acts {numbers[0]} to {numbers[-1]}"
    text = f"{what}: {counted(len(names))} proposed, {counted(len(refused), 'line')} refused"
    finish(settings, members | {"acts": numbers}, text)


def _refused(entry: Refused) -> dict[str, object]:
    return {"line": entry.line, "name": entry.name, "reason": entry.reason}


@click.command("approve", cls=Verb, short_help="Approve what other officers proposed.")
@click.argument("numbers", nargs=-1, type=int, metavar="[SEQ...]")
@yes_option
@click.pass_obj
def approve_command(settings: Settings, numbers: tuple[int, ...]) -> None:
    """Approve acts of other officers; without a number, go through what waits for you."""
    with signing_office(settings) as opened:
        waiting = [opened.pending(seq) for seq in numbers] if numbers else opened.waiting_for_me()
        if not numbers and waiting and not can_ask(settings):
            numbered = " and ".join(f"act {entry.ref.seq}" for entry in waiting)
            raise UsageError(
                _("no terminal to ask about what waits for you: {numbered}", numbered=numbered),
                _("name the acts to approve"),
            )
        wanted = [entry.ref.seq for entry in waiting if _confirmed(settings, opened, entry)]
        try:
            signed = opened.approve(*wanted) if wanted else []
        except GuardError as error:
            _say_findings(error)
            raise
        names: list[Name] = []
        for approved in signed:
            body = approved.act.body
            if isinstance(body, acts.Approve):
                names += body.names.each() if body.names is not None else []
                say(
                    _(
                        "act {seq}: act {approved} approved; {effect}",
                        seq=approved.act.seq,
                        approved=body.act.seq,
                        effect=_effect(opened, body.act.seq),
                    )
                )
        members: dict[str, object] = {
            "act": signed[-1].act.seq if signed else None,
            "acts": [entry.act.seq for entry in signed],
            "names": [name.text for name in names],
            "scopes": _scopes(names),
        }
        finish(settings, members, "" if signed else "nothing was approved" if waiting else "nothing waits for you")


def _effect(opened: Office, seq: int) -> str:
    if seq in opened.register.pending:
        return "waits for more approvals"
    return "in force with the next release" if isinstance(opened.acts[seq - 1].act.body, acts.Add) else "in effect now"


def _confirmed(settings: Settings, opened: Office, entry: Pending) -> bool:
    """Show in full what would be signed, and ask; nothing is signed before the last answer."""
    body, seq = entry.act.body, entry.ref.seq
    opened.register.check_approver(entry, opened.require_officer())
    opened_names = opened.proposed_names(entry)
    if isinstance(body, acts.Add) and opened_names is not None:
        names = opened_names[0].each()
        say(
            _(
                "act {seq} by {by}: add, ground {ground}, basis {basis}, until {review_by}",
                seq=seq,
                by=entry.act.by,
                ground=body.ground,
                basis=body.basis,
                review_by=shown(body.review_by),
            )
        )
        say(describe(opened, names))
    else:
        say(_("act {seq} by {by}: {kind}, {body}", seq=seq, by=entry.act.by, kind=body.kind, body=_of_heads(body)))
    return confirmed(settings, _("Approve act {seq}?", seq=seq))


def _of_heads(body: acts.Body) -> str:
    """What an act of a head says, in full: this is all that the second head sees of it."""
    if isinstance(body, acts.Appoint):
        return f"{body.officer} as {body.role}, key {PublicKey.from_base64(body.key).fingerprint}"
    if isinstance(body, acts.Adopt):
        return ", ".join(f"{name} with SHA-256 {digest}" for name, digest in sorted(body.files.items()))
    return body.officer if isinstance(body, acts.Revoke) else ""


@click.command("reject", cls=Verb)
@click.argument("number", type=int, metavar="SEQ")
@click.option("--note", required=True, metavar="TEXT", help="Kept in the confidential dossier.")
@yes_option
@click.pass_obj
def reject_command(settings: Settings, number: int, note: str) -> None:
    """Reject a pending act, or withdraw your own."""
    with signing_office(settings) as opened:
        entry = opened.pending(number)
        ask(
            settings,
            _("Reject act {number} ({kind} by {by})?", number=number, kind=entry.act.body.kind, by=entry.act.by),
        )
        signed = opened.reject(number, note)
        finish(settings, {"act": signed.act.seq, "rejected": number}, f"act {signed.act.seq}: act {number} rejected")


@click.command("review", cls=Verb, short_help="State that sites were verified again.")
@name_arguments
@click.option("--outcome", type=click.Choice(acts.OUTCOMES), required=True, help="Décret 2015-125 art. 4.")
@date_option
@note_option
@evidence_option
@yes_option
@click.pass_obj
def review_command(
    settings: Settings,
    names: tuple[str, ...],
    outcome: str,
    review_by: datetime | None,
    note: str,
    evidence: tuple[Path, ...],
) -> None:
    """State that sites were verified again: a later review date, or the end of their measures."""
    with signing_office(settings) as opened:
        wanted = [opened.known_name(text) for text in names]
        ask(settings, _("Review {count} as {outcome}?", count=counted(len(wanted)), outcome=outcome))
        signed = opened.review(wanted, outcome, review_by, note, evidence)
        body = signed.act.body
        until = body.review_by if isinstance(body, acts.Review) else None
        what = f"reviewed, {outcome}" + (f", until {shown(until)}" if until else "; gone with the next release")
        _finish_names(settings, signed.act.seq, wanted, what)


@click.command("remove", cls=Verb)
@name_arguments
@click.option("--reason", type=click.Choice(acts.REASONS), required=True)
@click.option("--ref", "reference", default="", metavar="TEXT", help="Judgment or file; kept in the dossier.")
@yes_option
@click.pass_obj
def remove_command(settings: Settings, names: tuple[str, ...], reason: str, reference: str) -> None:
    """End measures at once; one signature is enough."""
    with signing_office(settings) as opened:
        wanted = [opened.known_name(text) for text in names]
        ask(settings, _("Remove {count} as {reason}?", count=counted(len(wanted)), reason=reason))
        signed = opened.remove(wanted, reason, reference)
        _finish_names(settings, signed.act.seq, wanted, f"removed, {reason}; gone with the next release")
