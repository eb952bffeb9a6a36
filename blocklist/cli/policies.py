"""`policy`: what a list's rules are, what others would change, and their adoption by a head of office."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import Settings, Verb, VerbGroup, office, read_date, signing_office, yes_option
from blocklist.cli.terminal import ask, finish, say
from blocklist.office.adopt import InForce, adopt, in_force, read, require_head
from blocklist.register import documents, policy
from blocklist.register.decoders import format_instant
from blocklist.register.policy import Policy
from blocklist.register.policy_diff import Amendment, amend, written, written_duration

_file = click.argument("file", type=click.Path(path_type=Path), metavar="FILE")


@click.group("policy", cls=VerbGroup)
def policy_command() -> None:
    """Check, show, compare and adopt the rules of a list."""


@policy_command.command("check", cls=Verb)
@_file
@click.pass_obj
def policy_check(settings: Settings, file: Path) -> None:
    """Check a policy file and the files it names; every fault at once."""
    valid, contents = read(file)
    unchecked = [basis.reference for basis in valid.legal_basis if not basis.checked]
    addresses = policy.documentation_addresses(valid)
    members: dict[str, object] = {
        "list": valid.id,
        "regime": valid.regime,
        **{key: getattr(valid, key) for key in ("notice", "review", "freshness")},
        "grounds": list(valid.grounds),
        "unchecked": unchecked,
        "documentation_addresses": addresses,
        "files": documents.digests(contents),
    }
    finish(settings, members, "\n".join((*_summary(valid), *_warnings(unchecked, addresses))))


def _summary(valid: Policy) -> Iterator[str]:
    yield _("{list} is a valid policy, regime {regime}", list=valid.id, regime=valid.regime)
    values = {key: written_duration(getattr(valid, key)) for key in ("review", "notice", "freshness")}
    yield _("  review period {review}, notice {notice}, a release is valid for {freshness}", **values)
    yield _("  grounds: {grounds}", grounds=", ".join(valid.grounds))
    yield _(
        "  protected names: {protected}; platforms: {platforms}",
        protected=len(valid.protected),
        platforms=len(valid.platforms),
    )


def _warnings(unchecked: list[str], addresses: tuple[str, ...]) -> Iterator[str]:
    if unchecked:
        yield plural(
            "warning: {count} text of law is not checked; read it before production:",
            "warning: {count} texts of law are not checked; read them before production:",
            len(unchecked),
        )
        yield from (f"  {reference}" for reference in unchecked)
    for address in addresses:
        yield _("warning: {address} cannot be reached; 'publish' refuses it in production", address=address)


@policy_command.command("show", cls=Verb)
@click.option("--at", callback=read_date, metavar="DATE", help="The policy in force then; by default now.")
@click.pass_obj
def policy_show(settings: Settings, at: datetime | None) -> None:
    """Show the policy in force, as it was signed, and who adopted it when."""
    with office(settings) as opened:
        found = in_force(opened, at or opened.now)
    if settings.json:
        finish(settings, _members(found))
        return
    click.echo(
        _(
            "# in force since {since}, by act {act} of {by}",
            since=shown(found.since),
            act=found.act,
            by=found.by,
        )
    )
    click.echo(_yaml(found.policy), nl=False)


def _members(found: InForce) -> dict[str, object]:
    return {
        "act": found.act,
        "by": found.by,
        "since": format_instant(found.since),
        "policy": found.policy.to_json(),
    }


def _yaml(valid: Policy) -> str:
    import yaml

    text: str = yaml.safe_dump(written(valid), sort_keys=False, allow_unicode=True, width=100)
    return text


@policy_command.command("diff", cls=Verb)
@_file
@click.pass_obj
def policy_diff(settings: Settings, file: Path) -> None:
    """Show what a policy would change, and which listed names it would withhold."""
    valid, _contents = read(file)
    with office(settings) as opened:
        amendment = amend(opened.register, valid, opened.now)
    if settings.json:
        finish(settings, _differences(amendment))
        return
    for line in amendment.lines():
        click.echo(line)
    if not amendment.changes:
        say(_("no difference from the policy in force"))


def _differences(amendment: Amendment) -> dict[str, object]:
    return {
        "changes": [{"key": change.key, "old": change.old, "new": change.new} for change in amendment.changes],
        "withheld": [name.text for name in amendment.withheld],
        "released": [name.text for name in amendment.released],
        "stuck": [{"act": seq, "why": why} for seq, why in amendment.stuck],
    }


@policy_command.command("adopt", cls=Verb)
@_file
@yes_option
@click.pass_obj
def policy_adopt(settings: Settings, file: Path) -> None:
    """Make a policy the list's; a head of office does, and another head approves in production."""
    valid, contents = read(file)
    with signing_office(settings) as opened:
        require_head(opened)
        amendment = amend(opened.register, valid, opened.now)
        if not amendment.changes:
            finish(
                settings,
                {"act": None, "waits": False, **_differences(amendment)},
                _("no difference from the policy in force; nothing was signed"),
            )
            return
        for line in amendment.lines():
            say(line)
        ask(settings, _("Adopt this policy?"))
        seq = adopt(opened, contents).act.seq
        waits = seq in opened.register.pending
        text = _("act {seq}: waits for another head's approval", seq=seq)
        if not waits:
            text = _("act {seq}: the policy is adopted; the next release follows it", seq=seq)
        finish(settings, {"act": seq, "waits": waits, **_differences(amendment)}, text)
