"""`list`, `show`, `log`, `status`: commands that only read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later, plural, preferred, shown
from blocklist.cli.commands import Settings, Verb, office
from blocklist.cli.provider import load, metrics_option
from blocklist.cli.provider_status import show_standings
from blocklist.cli.terminal import counted, finish, say, table
from blocklist.names.domain_name import Name, Names, to_unicode
from blocklist.office.history import timeline
from blocklist.office.queries import STATES, about, history, listed, status
from blocklist.office.vocabulary import said
from blocklist.register import acts, decoders
from blocklist.register.decoders import format_instant

if TYPE_CHECKING:
    from blocklist.office.history import Event
    from blocklist.office.queries import Listed
    from blocklist.office.session import Session
    from blocklist.register.acts import SignedAct

_STATES = {
    "pending": later("pending"),
    "listed": later("listed"),
    "lapsed": later("lapsed"),
    "removed": later("removed"),
}
_WIDTH = 80


@click.command("list", cls=Verb)
@click.option("--state", type=click.Choice(STATES), help="By default all.")
@click.pass_obj
def list_command(settings: Settings, state: str | None) -> None:
    """List measures with their states and dates."""
    with office(settings) as opened:
        rows = [entry for entry in listed(opened) if state in (None, entry.state)]
    if settings.json:
        finish(settings, {"measures": [_measure(entry) for entry in rows]})
    elif rows:
        table(
            (_("NAME"), _("SCOPE"), _("STATE"), _("REVIEW BY"), ""),
            ((e.name.text, e.name.scope, _state(e), shown(e.review_by), _unicode(e.name)) for e in rows),
        )
    else:
        say(_("no measures") if state is None else _("no measure is {state}", state=_(_STATES[state])))


def _state(entry: Listed) -> str:
    return _("annulled") if entry.reason == "annulled" else _(_STATES[entry.state])


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


@click.command("show", cls=Verb, short_help="Show all about one name: every act, every deadline.")
@click.argument("name")
@click.pass_obj
def show_command(settings: Settings, name: str) -> None:
    """Show everything about one name: its state, every act about it, and what providers had to do by when."""
    with office(settings) as opened:
        entries, acts_about = about(opened, name), history(opened, name)
        if not acts_about:
            raise UsageError(
                _("{name} was never asked about, proposed or listed", name=name), _("see 'blocklist list' for what is")
            )
        events = timeline(opened, opened.typed(name), acts_about)
        if settings.json:
            members: dict[str, object] = {"measures": [_measure(entry) for entry in entries]}
            members |= {"acts": [_act(signed) for signed in acts_about]}
            finish(settings, members | {"events": [happened.to_json() for happened in events]})
            return
        for entry in entries:
            _print_measure(opened, entry)
        if not entries:
            click.echo(_("{name}: not listed, and waits nowhere", name=opened.typed(name)))
        for happened in events:
            _print_event(happened)


def _print_measure(opened: Session, entry: Listed) -> None:
    ground = opened.register.policy.grounds.get(entry.ground)
    rows = [
        (_("blocks"), opened.suffixes().describe(entry.name)),
        (_("state"), _(_STATES[entry.state]) + (f" ({said(entry.reason)})" if entry.reason else "")),
        (
            _("ground"),
            _in_words(entry.ground, f"{ground.texts[preferred()]}, {ground.article}") if ground else entry.ground,
        ),
        (_("basis"), _in_words(entry.basis, said(entry.basis))),
        (_("listed"), shown(entry.since) if entry.since else ""),
        (_("review by"), shown(entry.review_by)),
    ]
    unicode = _unicode(entry.name)
    click.echo(f"{entry.name.text}{f' [{unicode}]' if unicode else ''}")
    _print_rows((title, text) for title, text in rows if text)


def _print_rows(rows: Iterable[tuple[str, str]]) -> None:
    for title, text in rows:
        _print_wrapped(f"  {title:<10} ", text)


def _print_wrapped(lead: str, text: str) -> None:
    """A text in 80 columns, its later lines under its first; names and digests are never broken."""
    blank = " " * len(lead)
    for line in textwrap.wrap(
        text, _WIDTH, initial_indent=lead, subsequent_indent=blank, break_long_words=False, break_on_hyphens=False
    ):
        click.echo(line)


def _in_words(code: str, text: str) -> str:
    return _("{code}: {text}", code=code, text=text)


def _print_event(happened: Event) -> None:
    number = _("act {seq}", seq=happened.seq) if happened.seq else "-"
    click.echo(f"{number:<9}{shown(happened.at)}  {happened.by}".rstrip())
    for line in (happened.what, *happened.details):
        _print_wrapped(" " * 9, line)


@click.command("log", cls=Verb)
@click.argument("name", required=False)
@click.pass_obj
def log_command(settings: Settings, name: str | None) -> None:
    """List acts: all of them, or those about one name."""
    with office(settings) as opened:
        signed = opened.acts() if name is None else iter(history(opened, name))
        if settings.json:
            finish(settings, {"acts": [_act(entry) for entry in signed]})
            return
        rows = [_row(entry) for entry in signed]
        if rows:
            table((_("ACT"), _("AT"), _("BY"), _("KIND"), _("ABOUT")), rows)
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


def _row(signed: SignedAct) -> tuple[object, ...]:
    act = signed.act
    return act.seq, shown(act.at), act.by, act.body.kind, " ".join(_about(act.body))


def _about(body: acts.Body) -> Iterator[str]:
    """The codes of an act in a few words; names are counted beyond three."""
    for field in ("list", "officer", "role", "ground", "basis", "outcome", "reason", "to"):
        value = getattr(body, field, None)
        if isinstance(value, str):
            yield value
    for field in ("act", "request", "recommendation"):
        ref = getattr(body, field, None)
        if isinstance(ref, decoders.Ref):
            yield _("act {seq}", seq=ref.seq)
    names = getattr(body, "names", None)
    if isinstance(names, Names):
        texts = [*names.domain, *names.host]
        yield ", ".join(texts[:3])
        if len(texts) > 3:
            yield _("and {count} more", count=len(texts) - 3)
    if isinstance(body, acts.Add):
        yield plural("{count} name", "{count} names", body.count)
    review_by = getattr(body, "review_by", None)
    if review_by is not None:
        yield _("until {until}", until=shown(review_by))


@click.command("status", cls=Verb, short_help="Say how things stand, and what waits for whom.")
@click.option("-c", "config", type=click.Path(path_type=Path), metavar="FILE", help="At a provider: the subscription.")
@metrics_option
@click.pass_obj
def status_command(settings: Settings, config: Path | None, metrics: Path | None) -> None:
    """Say how things stand: at the office what waits for whom, at a provider (-c) what is installed.

    At a provider the exit code is 4 when no accepted release is valid, else 0.
    """
    if config is not None:
        show_standings(settings, load(settings, config), metrics)
        return
    if metrics is not None:
        raise UsageError(_("--metrics is for a provider"), _("name its subscription with -c"))
    with office(settings) as opened:
        now = status(opened)
    if settings.json:
        finish(settings, now.to_json())
        return
    click.echo(
        _(
            "list {list_id}, environment {environment}, {acts}",
            list_id=now.list_id,
            environment=now.environment,
            acts=counted(now.acts, "act"),
        )
    )
    click.echo(_("register {register}", register=now.register))
    click.echo(_("{names} listed, {soon} to be reviewed soon", names=counted(now.listed), soon=len(now.lapsing)))
    for name, until in now.lapsing:
        click.echo(
            _("  {name} lapses {until}: blocklist review {name} --outcome …", name=name.text, until=shown(until))
        )
    for entry in now.waiting:
        waits = _(
            "act {seq} ({kind} by {by}) waits until {until}",
            seq=entry.seq,
            kind=entry.kind,
            by=entry.by,
            until=shown(entry.until),
        )
        click.echo(waits + (f"  blocklist approve {entry.seq}" if entry.mine else ""))
    release = now.release
    click.echo(
        _("no release yet")
        if release is None
        else _("release {folder}, {path}", folder=release.folder, path=release.path)
    )
    for warning in now.warnings:
        click.echo(_("warning: {warning}", warning=warning))
