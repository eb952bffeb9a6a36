"""`check`: does a live resolver do what was decided?"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklist.base.errors import UnreachableError, UsageError
from blocklist.base.i18n import _, later, plain, plural, shown
from blocklist.cli.commands import Settings, Verb, clock, workspace
from blocklist.cli.provider import SUBSCRIPTION, load
from blocklist.cli.terminal import finish, progress, say, table, urgent
from blocklist.client import resolver_check, subscription
from blocklist.client.resolver_check import Kind, Result, Verdict
from blocklist.client.resolver_query import Manner, Server, ask
from blocklist.client.verify_acts import accepted_edition, snapshot_at
from blocklist.names.domain_name import to_unicode
from blocklist.register.decoders import folder_name, format_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocklist.register.lifecycle import Measures
    from blocklist.release.contents import Snapshot

_KINDS = {
    Kind.PROBE: later("probe"),
    Kind.LISTED: later("listed"),
    Kind.BELOW: later("below a listed domain"),
    Kind.REMOVED: later("ended in the last 30 days"),
    Kind.CANARY: later("protected"),
}
_VERDICTS = {
    Verdict.AS_DECIDED: later("as decided"),
    Verdict.NOT_BLOCKED: later("not blocked"),
    Verdict.BLOCKED: later("blocked"),
    Verdict.UNCLEAR: later("gone, or blocked: the answers are the same"),
    Verdict.FAILED: later("failed"),
    Verdict.SILENT: later("no answer"),
}


@click.command("check", cls=Verb, short_help="Ask a live resolver whether it does what was decided.")
@click.option("--resolver", required=True, metavar="ADDR[:PORT]", help="The resolver to ask; an IPv6 one as [::1]:53.")
@click.option("-c", "config", type=click.Path(path_type=Path), metavar="FILE", help="The subscription it serves.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    metavar="N",
    help="How many listed names to ask for, others every day; 0 for all.",
)
@click.option("--tcp", is_flag=True, help="Ask over TCP only.")
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    metavar="N",
    help="Questions a second at most; 0 for as many as the resolver answers.",
)
@click.pass_obj
def check_command(settings: Settings, resolver: str, config: Path | None, sample: int, tcp: bool, rate: int) -> None:
    """Ask a live resolver for listed names, names below listed domains, ended names, the probe and protected names.

    What should be blocked is what the subscription accepted last; without one, what this workspace published last.

    \b
    Exit codes: 0 all as decided, 1 not all, 2 usage, 5 the resolver does not answer at all.
    """  # noqa: D301  (click's own mark)
    server = Server.read(resolver)
    now = clock()
    snapshot, decisions = _known(settings, config, now)
    asked = resolver_check.questions(snapshot, decisions, now.date(), sample)
    with progress(_("asking {server}", server=server), len(asked)) as advance:
        answers = ask(server, asked, Manner(rate, tcp), advance)
    pairs = zip(asked, answers, strict=True)
    results = [resolver_check.judge(question, answer, snapshot.policy) for question, answer in pairs]
    if all(result.verdict is Verdict.SILENT for result in results):
        raise UnreachableError(
            _("{server} does not answer", server=server),
            _("nothing is known about what it blocks; check the address, and who may ask it"),
        )
    finish(settings, _members(server, snapshot, results))
    if not settings.json:
        _show(snapshot, results, now)
    if any(result.is_wrong for result in results):
        sys.exit(1)


def _known(settings: Settings, config: Path | None, now: datetime) -> tuple[Snapshot, Measures]:
    """What the resolver should have: from a subscription, or from the workspace of the office."""
    if config is not None or (settings.folder / SUBSCRIPTION).exists():
        made = load(settings, config)
        return accepted_edition(made, subscription.require_list(made, settings.list_id), now, progress)
    from blocklist.publisher.tree import Repository

    here = workspace(settings)
    list_id = here.only_list()
    current = Repository.of(here).current(list_id)
    if current is None:
        raise UsageError(_("nothing was published yet"), _("run 'blocklist publish', or name a subscription with -c"))
    store = here.open_store()
    try:
        lines = itertools.islice(store.lines(list_id), current.head.seq)
        return snapshot_at(lines, current.head, datetime.fromtimestamp(current.number, UTC), now, progress)
    finally:
        store.close()


def _members(server: Server, snapshot: Snapshot, results: Sequence[Result]) -> dict[str, object]:
    return {
        "resolver": str(server),
        "release": snapshot.release().folder,
        "valid_until": format_instant(snapshot.release().valid_until),
        "as_decided": not any(result.is_wrong for result in results),
        "counts": {
            kind.value: dict(Counter(result.verdict.value for result in results if result.question.kind is kind))
            for kind in Kind
        },
        "findings": [
            {
                "kind": result.question.kind.value,
                "name": result.question.name,
                "unicode": to_unicode(result.question.name),
                "type": result.question.type,
                "verdict": result.verdict.value,
                "answer": result.answer,
                "wrong": result.is_wrong,
            }
            for result in results
            if result.verdict is not Verdict.AS_DECIDED
        ],
    }


def _show(snapshot: Snapshot, results: Sequence[Result], now: datetime) -> None:
    odd = [result for result in results if result.verdict is not Verdict.AS_DECIDED]
    if odd:
        table((_("NAME"), _("TYPE"), _("WHICH IS"), _("RESULT"), _("ANSWER")), map(_row, odd))
    for kind in Kind:
        counts = Counter(result.verdict for result in results if result.question.kind is kind)
        if counts:
            told = ", ".join(f"{counts[verdict]} {_(_VERDICTS[verdict])}" for verdict in Verdict if counts[verdict])
            say(f"{_(_KINDS[kind])}: {told}")
    release = snapshot.release()
    say(_("compared with release {name}", name=folder_name(release.instant)))
    if resolver_check.expires(snapshot, now):
        say(_("this release was valid until {instant}; fetch a newer one", instant=shown(release.valid_until)))
    wrong = sum(result.is_wrong for result in results)
    say(
        plural("{count} answer is not as decided", "{count} answers are not as decided", wrong)
        if wrong
        else _("nothing is against what was decided")
    )


def _row(result: Result) -> tuple[str, str, str, str, str]:
    question, verdict = result.question, _(_VERDICTS[result.verdict])
    name, unicode = question.name, to_unicode(question.name)
    return (
        name if unicode == name else f"{unicode} ({name})",
        question.type,
        _(_KINDS[question.kind]),
        urgent(verdict) if result.is_wrong else verdict,
        plain(result.answer),
    )
