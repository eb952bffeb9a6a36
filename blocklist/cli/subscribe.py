"""`subscribe`: write a subscription, by options or by questions, and pin the publisher's root."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later
from blocklist.cli.commands import Settings, Verb, refuse_store
from blocklist.cli.provider import SUBSCRIPTION
from blocklist.cli.terminal import agreed, finish, say
from blocklist.client.subscribe import MAX_ROOT, compose, fetch_root, is_digest, write
from blocklist.client.subscription import ENVIRONMENTS, Target
from blocklist.register.policy import FORMATS


@dataclass(slots=True)
class _Answers:
    """What is needed for a subscription, from options or from the person at the terminal."""

    url: str
    environment: str
    root: str
    lists: dict[str, list[Target]]
    options: dict[str, str]


@click.command("subscribe", cls=Verb, short_help="Write a subscription and pin the publisher's root.")
@click.argument("url", required=False)
@click.option("--list", "list_ids", multiple=True, metavar="ID", help="A list; may be given again.")
@click.option("--root", metavar="FILE|SHA256", help="The publisher's TUF root, or its SHA-256.")
@click.option("--environment", type=click.Choice(ENVIRONMENTS), default="production", show_default=True)
@click.option(
    "--to",
    "targets",
    multiple=True,
    metavar="[LIST/]FORMAT=PATH",
    help="Which export goes where; may be given again.",
)
@click.option(
    "--check", "checks", multiple=True, metavar="[FORMAT=]COMMAND", help="Has to accept a candidate, {{file}}."
)
@click.option("--reload", "reloads", multiple=True, metavar="[FORMAT=]COMMAND", help="Run after a file is in place.")
@click.option("--ca", metavar="FILE", help="The authority of the publisher's certificate.")
@click.option("--client-certificate", metavar="FILE", help="Your certificate for HTTPS.")
@click.option("--client-key", metavar="FILE", help="Its key.")
@click.option("--proxy", metavar="URL", help="The proxy for HTTPS.")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    show_default=later("subscription.yaml in -C"),
    metavar="FILE",
    help="Where it is written.",
)
@click.pass_obj
def subscribe_command(
    settings: Settings,
    /,
    url: str | None,
    list_ids: tuple[str, ...],
    root: str | None,
    environment: str,
    targets: tuple[str, ...],
    checks: tuple[str, ...],
    reloads: tuple[str, ...],
    output: Path | None,
    **more: str | None,
) -> None:
    """Write a subscription and pin the publisher's root, which was given to you out of band.

    What is not said is asked for on a terminal. With the SHA-256 of the root, the root is fetched from the publisher.
    """
    refuse_store(settings)
    path = output or settings.folder / SUBSCRIPTION
    given = {key: value for key, value in more.items() if value}
    paths = {key: value if key == "proxy" else str(Path(value).absolute()) for key, value in given.items()}
    answers = _Answers(url or "", environment, root or "", {list_id: [] for list_id in list_ids}, paths)
    for text in targets:
        list_id, target = _target(text, list_ids, checks, reloads)
        answers.lists[list_id].append(target)
    if not (answers.url and answers.root and answers.lists and all(answers.lists.values())):
        _ask(answers)
    lists = list(answers.lists.items())
    made = write(path, answers.url, answers.environment, _root(path, answers), lists, list(answers.options.items()))
    members: dict[str, object] = {"subscription": str(made.path), "root": made.root}
    text = _("{path} written; root {root}\n  next: blocklist pull -c {path}", path=made.path, root=made.root)
    finish(settings, members, text)


def _root(path: Path, answers: _Answers) -> bytes:
    """The root that was given, or the one at the publisher with the digest that was given."""
    if not is_digest(answers.root):
        return durable.read(
            Path(answers.root), _("the root"), MAX_ROOT, _("the office hands out the file 1.root.json, or its SHA-256")
        )
    lists, options = list(answers.lists.items()), list(answers.options.items())
    return fetch_root(compose(path, answers.url, answers.environment, answers.root, lists, options)[0])


def _target(text: str, list_ids: Sequence[str], checks: Sequence[str], reloads: Sequence[str]) -> tuple[str, Target]:
    """A target and its list, from `--to`, `--check` and `--reload`."""
    name, equals, path = text.partition("=")
    list_id, slash, format_id = name.rpartition("/")
    if not slash and len(list_ids) == 1:
        list_id = list_ids[0]
    if not equals or not path or list_id not in list_ids:
        raise UsageError(
            _("{text!r} is not FORMAT=PATH, or LIST/FORMAT=PATH where there are several lists", text=text),
            _("for example --to rpz=/var/lib/bind/blocklist.zone"),
        )
    check, reload = (_command(commands, format_id) for commands in (checks, reloads))
    return list_id, Target(format_id, Path(path).absolute(), check, reload)


def _command(commands: Sequence[str], format_id: str) -> str:
    """The last command that was given for a format, or for all of them."""
    found = ""
    for text in commands:
        of, equals, command = text.partition("=")
        if not equals or of not in FORMATS:
            found = text
        elif of == format_id:
            found = command
    return found


# Questions


def _ask(answers: _Answers) -> None:
    """Ask for what was not said.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            _("address, --list, --root and --to are needed"), _("on a terminal 'blocklist subscribe' asks for them")
        )
    answers.url = answers.url or _answer(_("Address of the publisher (https://...)"))
    answers.root = answers.root or _answer(_("Its TUF root that you were given: a file, or its SHA-256"))
    if answers.url.startswith("https://") and not answers.options:
        answers.options = dict(_ask_transport())
    if not answers.lists:
        ids = _answer(_("Id of the list; several with blanks between them"))
        answers.lists = {list_id: [] for list_id in ids.split()}
    for list_id, targets in answers.lists.items():
        while not targets or agreed(_("Another file for {list_id}?", list_id=list_id)):
            targets.append(_ask_target(list_id))


def _ask_transport() -> Iterator[tuple[str, str]]:
    if certificate := _answer(_("Your client certificate, a file (empty: none)"), ""):
        yield "client_certificate", str(Path(certificate).absolute())
        yield "client_key", str(Path(_answer(_("Its key, a file"))).absolute())
    if authority := _answer(_("Authority of the publisher's certificate, a file (empty: the system's)"), ""):
        yield "ca", str(Path(authority).absolute())


def _ask_target(list_id: str) -> Target:
    say(_("A file that is kept up to date with {list_id}:", list_id=list_id))
    format_id = click.prompt(_("Format"), type=click.Choice(FORMATS), default="rpz", err=True)
    path = Path(_answer(_("Path of the file"))).absolute()
    check = _answer(_("Command that has to accept it, with {{file}} for the candidate (empty: none)"), "")
    reload = _answer(_("Command that makes the resolver read it again (empty: none)"), "")
    return Target(format_id, path, check, reload)


def _answer(question: str, default: str | None = None) -> str:
    return str(click.prompt(question, default=default, show_default=False, err=True)).strip()
