"""`list`, `show`, `log`, `status`, `audit`: commands that only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from blocklist import acts, fields
from blocklist.cli.common import Settings, Verb, clock, counted, finish, office, say, shown, table, workspace
from blocklist.errors import UsageError, VerificationError
from blocklist.fields import format_instant
from blocklist.messages import _
from blocklist.names import Name, to_unicode
from blocklist.survey import about, audit_workspace, history, listed, status

if TYPE_CHECKING:
    from blocklist.acts import SignedAct
    from blocklist.survey import Listed

_STATES = ("pending", "listed", "lapsed", "removed")


@click.command("list", cls=Verb)
@click.option("--state", type=click.Choice(_STATES), help="By default all.")
@click.pass_obj
def list_command(settings: Settings, state: str | None) -> None:
    """List measures with their states and dates."""
    with office(settings) as opened:
        rows = [entry for entry in listed(opened) if state in (None, entry.state)]
    if settings.json:
        finish(settings, {"measures": [_measure(entry) for entry in rows]})
    elif rows:
        table(
            ("NAME", "SCOPE", "STATE", "REVIEW BY", ""),
            ((e.name.text, e.name.scope, e.state, shown(e.review_by), _unicode(e.name)) for e in rows),
        )
    else:
        say(_("no measures") if state is None else _("no measure is {state}", state=state))


def _unicode(name: Name) -> str:
    unicode = to_unicode(name.text)
    return unicode if unicode != name.text else ""


def _measure(entry: Listed) -> dict[str, object]:
    return {
        "name": entry.name.text,
        "unicode": to_unicode(entry.name.text),
        "scope": str(entry.name.scope),
        "state": entry.state,
        "ground": entry.ground,
        "basis": entry.basis,
        "since": entry.since and format_instant(entry.since),
        "review_by": format_instant(entry.review_by),
        "reason": entry.reason,
        "acts": list(entry.acts),
    }


@click.command("show", cls=Verb)
@click.argument("name")
@click.pass_obj
def show_command(settings: Settings, name: str) -> None:
    """Show everything about one name: its state and every act."""
    with office(settings) as opened:
        entries = about(opened, name)
        if not entries:
            raise UsageError(_("{name} was never proposed or listed", name=name), _("see 'blocklist list' for what is"))
        acts_about = history(opened, entries[0].name.text)
        if settings.json:
            members: dict[str, object] = {"measures": [_measure(entry) for entry in entries]}
            finish(settings, members | {"acts": [_act(signed) for signed in acts_about]})
            return
        for entry in entries:
            unicode = _unicode(entry.name)
            click.echo(f"{entry.name.text}{f' [{unicode}]' if unicode else ''}")
            click.echo(f"  scope      {opened.guards().suffixes.describe(entry.name)}")
            click.echo(f"  state      {entry.state}{f' ({entry.reason})' if entry.reason else ''}")
            click.echo(f"  ground     {entry.ground}, basis {entry.basis}")
            if entry.since:
                click.echo(f"  listed     {shown(entry.since)}")
            click.echo(f"  review by  {shown(entry.review_by)}")
        _print_acts(acts_about)


@click.command("log", cls=Verb)
@click.argument("name", required=False)
@click.pass_obj
def log_command(settings: Settings, name: str | None) -> None:
    """List acts: all of them, or those about one name."""
    with office(settings) as opened:
        signed = opened.acts if name is None else history(opened, opened.typed(name))
        if settings.json:
            finish(settings, {"acts": [_act(entry) for entry in signed]})
        elif signed:
            _print_acts(signed)
        else:
            say(_("no act is about {name}", name=name))


def _act(signed: SignedAct) -> dict[str, object]:
    return {
        "act": signed.act.seq,
        "id": signed.id,
        "at": format_instant(signed.act.at),
        "by": signed.act.by,
        "kind": signed.act.body.kind,
        "about": " ".join(_about(signed.act.body)),
    }


def _print_acts(signed: list[SignedAct]) -> None:
    table(
        ("ACT", "AT", "BY", "KIND", "ABOUT"),
        ((e.act.seq, shown(e.act.at), e.act.by, e.act.body.kind, " ".join(_about(e.act.body))) for e in signed),
    )


def _about(body: acts.Body) -> Iterator[str]:
    """The codes of an act in a few words; names are counted beyond three."""
    for field in ("list", "officer", "role", "ground", "basis", "outcome", "reason", "to"):
        value = getattr(body, field, None)
        if isinstance(value, str):
            yield value
    for field in ("act", "request", "recommendation"):
        ref = getattr(body, field, None)
        if isinstance(ref, fields.Ref):
            yield f"act {ref.seq}"
    names = getattr(body, "names", None)
    if isinstance(names, fields.Names):
        texts = [*names.domain, *names.host]
        yield ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
    if isinstance(body, acts.Add):
        yield counted(body.count)
    review_by = getattr(body, "review_by", None)
    if review_by is not None:
        yield f"until {shown(review_by)}"


@click.command("status", cls=Verb)
@click.pass_obj
def status_command(settings: Settings) -> None:
    """Say how things stand, and what waits for whom."""
    with office(settings) as opened:
        now = status(opened)
    if settings.json:
        finish(settings, now.to_json())
        return
    click.echo(f"list {now.list_id}, environment {now.environment}, {now.acts} acts, register {now.register}")
    click.echo(f"{counted(now.listed)} listed, {len(now.lapsing)} to be reviewed soon")
    for name, until in now.lapsing:
        click.echo(f"  {name.text} lapses {shown(until)}: blocklist review {name.text} --outcome …")
    for pending in now.waiting:
        mine = f"  blocklist approve {pending.seq}" if pending.mine else ""
        click.echo(f"act {pending.seq} ({pending.kind} by {pending.by}) waits until {shown(pending.until)}{mine}")
    release = now.release
    click.echo("no release yet" if release is None else f"release {release.folder}, {release.path}")
    for warning in now.warnings:
        click.echo(f"warning: {warning}")


@click.command("audit", cls=Verb, short_help="Check the whole register, from its first act.")
@click.pass_obj
def audit_command(settings: Settings) -> None:
    """Check the whole register: chain, signatures, appointments, every rule, and the published head.

    Exit code 3 when anything is wrong.
    """
    result = audit_workspace(workspace(settings), clock())
    members: dict[str, object] = {
        "acts": result.acts,
        "head": result.head,
        "register": result.register,
        "faults": [{"act": fault.act, "message": fault.message} for fault in result.faults],
    }
    finish(settings, members)
    if not settings.json:
        click.echo(
            f"{counted(result.acts, 'act')} checked: chain, signatures, appointments, rules, dossiers, published head"
        )
        for fault in result.faults:
            click.echo(f"act {fault.act}: {fault.message}")
    if result.faults:
        count = len(result.faults)
        raise VerificationError(
            _("{count} in the register", count=counted(count, "fault")), _("do not publish; see above")
        )
    say(_("no fault; head {head}", head=result.head))
