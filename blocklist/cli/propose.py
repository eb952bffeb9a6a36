"""`add`, `import`, `remove`: what agents put on a list and take off it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blocklist.base import durable
from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, plural, preferred
from blocklist.cli.commands import (
    Settings,
    Verb,
    date_option,
    describe,
    evidence_option,
    finish_names,
    name_arguments,
    note_option,
    read_name,
    say_findings,
    signing_office,
    yes_option,
)
from blocklist.cli.terminal import ask, counted, finish, say
from blocklist.names import imports
from blocklist.names.domain_name import Scope
from blocklist.office.propose import GuardError, Proposal, Refused, former_proposal, propose, require_clean, sift
from blocklist.office.remove import removable, remove
from blocklist.office.vocabulary import said
from blocklist.register import acts

if TYPE_CHECKING:
    from blocklist.office.session import Session

_F = TypeVar("_F", bound=Callable[..., Any])
_MAX_IMPORT = 64 * 1024 * 1024


def _read_says(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Answers to what the ground asks, `ID=TEXT`."""
    says: dict[str, str] = {}
    for value in values:
        ask_id, equals, text = value.partition("=")
        if not equals or not text.strip() or ask_id in says:
            raise click.BadParameter(_("{value!r} is not ID=TEXT, each ID once", value=value[:80]))
        says[ask_id] = text.strip()
    return says


def proposal_options(command: _F) -> _F:
    """What `add` and `import` say beside the names."""
    for option in (
        evidence_option,
        note_option,
        date_option,
        click.option(
            "--say", "says", multiple=True, callback=_read_says, metavar="ID=TEXT", help="Answers what the ground asks."
        ),
        click.option(
            "--request",
            "requests",
            multiple=True,
            type=int,
            metavar="SEQ",
            help="Cited; by default those of the names.",
        ),
        click.option("--ref", "reference", metavar="TEXT", help="The office's file reference."),
        click.option("--basis", type=click.Choice(acts.BASES), help="Why it may be listed (LCEN art. 6-1 al. 2)."),
        click.option("--ground", metavar="G", help="An id of the policy's grounds."),
    ):
        command = option(command)
    return command


def _proposal(opened: Session, given: Mapping[str, Any], like: str | None = None) -> Proposal:
    """What was said on the command line, over what a former measure said."""
    wanted = {name: value for name, value in given.items() if value}
    if like is None:
        missing = [option for option, name in _NEEDED.items() if name not in wanted]
        if missing:
            raise UsageError(
                _("{option} is missing", option=missing[0]),
                _("--ground, --basis and --ref say why; --like NAME takes them from a former measure"),
            )
        return Proposal(**wanted)
    model = former_proposal(opened, like)
    if wanted.get("ground", model.ground) != model.ground:
        model = replace(model, says={})  # another ground asks other questions
    if wanted.get("basis", model.basis) != model.basis:
        model = replace(model, requests=())
    says = {**model.says, **wanted.pop("says", {})}
    return replace(model, says=says, **wanted)


_NEEDED = {"--ground": "ground", "--basis": "basis", "--ref": "reference"}


def _answered(settings: Settings, opened: Session, proposal: Proposal) -> Proposal:
    """On a terminal, ask for the answers that are missing; elsewhere the office refuses."""
    ground = opened.register.policy.grounds.get(proposal.ground)
    says = dict(proposal.says)
    for entry in ground.asks if ground and can_prompt(settings) else ():
        if entry.id not in says:
            says[entry.id] = str(click.prompt(entry.texts[preferred()], err=True))
    return replace(proposal, says=says)


def can_prompt(settings: Settings) -> bool:
    """Whether somebody is there to type an answer."""
    return not settings.yes and sys.stdin.isatty()


@click.command("add", cls=Verb)
@name_arguments
@proposal_options
@click.option("--like", metavar="NAME|SEQ", help="Take all that is not said from a former measure, and link both.")
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), help="For all names; by default by name.")
@yes_option
@click.pass_obj
def add_command(
    settings: Settings,
    /,
    names: tuple[str, ...],
    like: str | None,
    scope: str | None,
    **given: Any,  # noqa: ANN401
) -> None:
    """Propose to block names; another officer approves."""
    with signing_office(settings) as opened:
        proposal = _proposal(opened, given, like)
        asked = Scope(scope) if scope else None
        wanted = [read_name(settings, opened, text, asked or _like_scope(opened, proposal, text)) for text in names]
        try:
            require_clean(opened, wanted)
            say(describe(opened, wanted))
            proposal = _answered(settings, opened, proposal)
            count = len(set(wanted))
            ask(settings, plural("Propose {count} name?", "Propose {count} names?", count))
            signed = propose(opened, wanted, proposal)[0]
        except GuardError as error:
            say_findings(error)
            raise
        text = plural(
            "act {seq}: {count} name proposed, ground {ground}; another officer approves",
            "act {seq}: {count} names proposed, ground {ground}; another officer approves",
            count,
            seq=signed.act.seq,
            ground=proposal.ground,
        )
        finish_names(settings, signed.act.seq, wanted, text)


def _like_scope(opened: Session, proposal: Proposal, text: str) -> Scope | None:
    """The scope that a name takes over from a former measure."""
    return proposal.like.scope_of(opened.typed(text)) if proposal.like else None


@click.command("import", cls=Verb, short_help="Propose the names of a file.")
@click.argument("file", type=click.Path(path_type=Path))
@proposal_options
@click.option("--format", "format_id", type=click.Choice(imports.FORMATS), help="By default told by the content.")
@click.option("--skip-refused", is_flag=True, help="Add the good names and list the refused ones.")
@yes_option
@click.pass_obj
def import_command(
    settings: Settings,
    /,
    file: Path,
    format_id: str | None,
    skip_refused: bool,
    **given: Any,  # noqa: ANN401
) -> None:
    """Propose the names of a FILE: one a line, hosts format, CSV with a header, or YAML."""
    entries = imports.read(durable.read(file, _("the file"), _MAX_IMPORT), format_id)
    if not entries:
        raise UsageError(
            _("{file} holds no names", file=file), _("one name a line, hosts format, CSV with a header, or YAML")
        )
    with signing_office(settings) as opened:
        proposal = _proposal(opened, given)
        names, refused = sift(opened, entries)
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
        proposal = _answered(settings, opened, proposal)
        ask(settings, _import_question(len(names), len(refused)))
        signed = propose(opened, names, proposal)
    numbers = [entry.act.seq for entry in signed]
    text = _(
        "{acts}: {names} proposed, {lines} refused",
        acts=_acts(numbers),
        names=counted(len(names)),
        lines=_lines(len(refused)),
    )
    finish(settings, members | {"acts": numbers}, text)


def _import_question(names: int, refused: int) -> str:
    return _("Propose {names}, and leave out {lines}?", names=counted(names), lines=_lines(refused))


def _lines(count: int) -> str:
    return plural("{count} line", "{count} lines", count)


def _acts(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return _("act {seq}", seq=numbers[0])
    return _("acts {first} to {last}", first=numbers[0], last=numbers[-1])


def _refused(entry: Refused) -> dict[str, object]:
    return {"line": entry.line, "name": entry.name, "reason": entry.reason}


@click.command("remove", cls=Verb, short_help="End measures at once, or strike names that wait.")
@name_arguments
@click.option("--reason", type=click.Choice(acts.REASONS), required=True)
@click.option("--ref", "reference", default="", metavar="TEXT", help="Judgment or file; kept in the dossier.")
@yes_option
@click.pass_obj
def remove_command(settings: Settings, names: tuple[str, ...], reason: str, reference: str) -> None:
    """End measures at once, or strike names from proposals that wait; one signature is enough."""
    with signing_office(settings) as opened:
        wanted = [removable(opened, text) for text in names]
        count = len(set(wanted))
        ask(settings, _removal_question(count, said(reason)))
        signed = remove(opened, wanted, reason, reference)
        text = "\n".join(_ended(entry.act.seq, entry.act.body) for entry in signed)
        finish_names(settings, signed[0].act.seq, wanted, text)


def _removal_question(count: int, reason: str) -> str:
    return plural("Remove {count} name: {reason}?", "Remove {count} names: {reason}?", count, reason=reason)


def _ended(seq: int, body: acts.Body) -> str:
    """What each act of a removal did."""
    if isinstance(body, acts.Remove):
        return plural(
            "act {seq}: {count} name removed, {reason}; gone with the next release",
            "act {seq}: {count} names removed, {reason}; gone with the next release",
            len(body.names),
            seq=seq,
            reason=said(body.reason),
        )
    if isinstance(body, acts.Reject):
        return _("act {seq}: act {rejected}, which still waited, is rejected", seq=seq, rejected=body.act.seq)
    assert isinstance(body, acts.Add)  # noqa: S101  (a removal makes no other acts)
    return plural(
        "act {seq}: proposes its other name anew; another officer approves",
        "act {seq}: proposes its {count} other names anew; another officer approves",
        body.count,
        seq=seq,
    )
