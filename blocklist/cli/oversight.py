"""`recommend` and `respond`: the qualified person and the office (LCEN art. 6-1 al. 3)."""

from __future__ import annotations

import click

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, plural
from blocklist.cli.commands import Settings, Verb, describe, finish_names, signing_office, yes_option
from blocklist.cli.terminal import ask, finish, say
from blocklist.office.oversight import recommend, recommendation, respond
from blocklist.office.vocabulary import details_of, sentence

text_option = click.option("--text", required=True, metavar="TEXT", help="Kept in the confidential dossier.")


@click.command("recommend", cls=Verb, short_help="State that measures are irregular.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@text_option
@yes_option
@click.pass_obj
def recommend_command(settings: Settings, names: tuple[str, ...], text: str) -> None:
    """State that measures are irregular; without a name, make a general remark (the qualified person)."""
    with signing_office(settings) as opened:
        wanted = [opened.known_name(name) for name in names]
        if wanted:
            say(describe(opened, wanted))
        ask(settings, _("Recommend to end these measures?") if wanted else _("Make this general remark?"))
        signed = recommend(opened, wanted, text)
        what = _("act {seq}: general remark; the office answers with 'blocklist respond {seq}'", seq=signed.act.seq)
        if wanted:
            what = plural(
                "act {seq}: recommendation on {count} name; the office answers with 'blocklist respond {seq}'",
                "act {seq}: recommendation on {count} names; the office answers with 'blocklist respond {seq}'",
                len(set(wanted)),
                seq=signed.act.seq,
            )
        finish_names(settings, signed.act.seq, wanted, what)


@click.command("respond", cls=Verb, short_help="Answer a recommendation.")
@click.argument("number", type=int, metavar="SEQ")
@click.option("--accept", is_flag=True, help="Its measures end in the same act.")
@click.option("--refuse", is_flag=True, help="The qualified person may go to court.")
@text_option
@yes_option
@click.pass_obj
def respond_command(settings: Settings, number: int, accept: bool, refuse: bool, text: str) -> None:
    """Answer recommendation SEQ of the qualified person; accepting it ends its measures at once."""
    if accept is refuse:
        raise UsageError(_("say --accept or --refuse, one of them"), _("see 'blocklist respond --help'"))
    outcome = "accepted" if accept else "refused"
    with signing_office(settings) as opened:
        entry = recommendation(opened, number)
        recommended = opened.act(entry.ref.seq)
        say(_("{by}: {what}", by=recommended.act.by, what=sentence(recommended.act.body)))
        for line in details_of(opened.dossier_of(number), opened.register.policy, recommended.act.body):
            say(f"  {line}")
        before = len(opened.register.in_force(opened.now))
        ask(settings, _("Accept it, and end its measures?") if outcome == "accepted" else _("Refuse it?"))
        signed = respond(opened, number, outcome, text)
        ended = before - len(opened.register.in_force(opened.now))
        members: dict[str, object] = {
            "act": signed.act.seq,
            "recommendation": number,
            "outcome": outcome,
            "ended": ended,
        }
        if outcome == "refused":
            what = _("act {seq}: recommendation {number} refused", seq=signed.act.seq, number=number)
        else:
            what = plural(
                "act {seq}: recommendation {number} accepted; {count} measure ends with the next release",
                "act {seq}: recommendation {number} accepted; {count} measures end with the next release",
                ended,
                seq=signed.act.seq,
                number=number,
            )
        finish(settings, members, what)
