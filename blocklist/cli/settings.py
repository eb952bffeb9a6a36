"""The options that every command has, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from blocklist.base.i18n import LANGUAGES


@dataclass(slots=True)
class Settings:
    """The common options, wherever on the command line they stand."""

    folder: Path = Path()
    officer: str | None = None
    list_id: str | None = None
    store: str | None = None
    json: bool = False
    yes: bool = False


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401  (any option's value)
        if value not in (None, False):
            setattr(ctx.ensure_object(Settings), name, value)

    return callback


def common_options(officer_variable: str | None = None) -> list[click.Parameter]:
    """`-C`, `--as`, `--list`, `--store`, `--lang` and `--json`, accepted before and after the command.

    Only the options before the command read the variable: those after it would let it win over `--as` before it.
    """

    def option(names: list[str], field: str, **rest: Any) -> click.Option:  # noqa: ANN401  (click's own arguments)
        return click.Option(names, expose_value=False, callback=_set(field), **rest)

    # The language is in effect long before options are parsed (`language`), so its option sets nothing.
    lang = click.Option(["--lang"], expose_value=False, type=click.Choice(LANGUAGES), help="The language of messages.")

    # Their names are like no command's own: a parameter of the same name would take the value of the other.
    return [
        option(
            ["-C", "common_folder"], "folder", type=click.Path(path_type=Path), metavar="DIR", help="The workspace."
        ),
        option(
            ["--as", "common_officer"], "officer", envvar=officer_variable, metavar="ID", help="The officer who signs."
        ),
        option(["--list", "common_list"], "list_id", metavar="ID", help="The list, where there are several."),
        option(["--store", "common_store"], "store", metavar="URL", help="The register's database, on a server."),
        lang,
        option(["--json", "common_json"], "json", is_flag=True, help="Print one JSON object."),
    ]


yes_option = click.option("--yes", is_flag=True, expose_value=False, callback=_set("yes"), help="Answer yes.")
