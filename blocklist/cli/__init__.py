"""The command line: parse, call one function of the office or the client, print. Nothing is decided here.

A command's module is imported when the command runs, so that starting up costs little more than importing click.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from blocklist import __version__
from blocklist.base.errors import BlocklistError, TargetError, UsageError
from blocklist.base.i18n import _, later, speaking
from blocklist.cli.context import VerbGroup, fail, language
from blocklist.cli.output import colour, prepare_output
from blocklist.cli.settings import Settings, common_options

GROUPS = {
    later("Start"): {"init": "start", "demo": "demo"},
    later("Curate"): {
        "request": "requests",
        "answer": "requests",
        "add": "propose",
        "import": "propose",
        "approve": "approvals",
        "reject": "approvals",
        "remove": "propose",
    },
    later("Review"): {"due": "reviews", "review": "reviews"},
    later("Look"): {"list": "inspect", "show": "inspect", "log": "inspect", "status": "inspect", "formats": "formats"},
    later("Oversight"): {
        "recommend": "oversight",
        "respond": "oversight",
        "audit": "dossiers",
        "dossier": "dossiers",
    },
    later("Publish"): {
        "plan": "publish",
        "publish": "publish",
        "lint": "lint",
        "trust": "trust",
        "receipt": "receipts",
    },
    later("Office"): {"key": "officers", "officer": "officers", "policy": "policies", "store": "store"},
    later("Provider"): {
        "subscribe": "subscribe",
        "pull": "provider",
        "rollback": "provider",
        "verify": "verify",
        "check": "check",
    },
}
"""The help's groups, by who uses them: each command and the module that holds it."""

MODULES = {name: module for commands in GROUPS.values() for name, module in commands.items()}


class Commands(VerbGroup):
    """Loads a command's module when the command is asked for, and turns every error into two lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in MODULES:
            return None
        module = import_module(f"blocklist.cli.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each group."""
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(_(title)):
                formatter.write_dl([(name, command.get_short_help_str(100)) for name, command in commands if command])

    def main(self, args: Sequence[str] | None = None, **kwargs: Any) -> NoReturn:  # type: ignore[override]  # noqa: ANN401
        """Run in the language of the command line, and exit with the code of what happened."""
        words = list(sys.argv[1:] if args is None else args)
        prepare_output()
        with speaking(language(words)):
            self._run(words, colour(words), **kwargs)

    def _run(self, words: list[str], color: bool | None, **kwargs: Any) -> NoReturn:  # noqa: ANN401  (click's own)
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(words, color=color, **kwargs) or 0)
        except BlocklistError as error:
            fail(error, color)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else _("blocklist COMMAND")
            message = error.format_message().rstrip(".")
            fail(UsageError(message, _("see '{command} --help'", command=command)), color)
        except click.Abort:
            fail(Stopped(_("stopped; nothing was changed")), color)
        except PermissionError as error:
            message = _("{path} is closed to this account", path=error.filename or "-")
            fail(UsageError(message, _("the office's guide says which account may do what")), color)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has left, and would not read a complaint either
            sys.exit(1)
        except OSError as error:
            if error.filename is not None or error.errno not in _NO_ROOM:
                raise
            message = _("the output cannot be written: {fault}", fault=error.strerror)
            fail(TargetError(message, _("what the command had done before it spoke stays done")), color)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Stopped(BlocklistError):  # noqa: N818  (no fault: somebody chose so)
    """The person at the terminal stopped, or answered no."""

    exit_code = 130


@click.group(
    cls=Commands, params=common_options("BLOCKLIST_AS"), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="blocklist")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep and publish a signed register of blocked sites, in which every measure ends unless it is reviewed."""
    ctx.ensure_object(Settings)
