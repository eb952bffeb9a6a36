"""Questions, passphrases and PINs: from a file that a variable names, or from the person at the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _, later
from blocklist.cli.settings import Settings

PASSPHRASE_FILE = "BLOCKLIST_PASSPHRASE_FILE"  # noqa: S105  (the name of a variable)
NEW_PASSPHRASE_FILE = "BLOCKLIST_NEW_PASSPHRASE_FILE"  # noqa: S105
PIN_FILE = "BLOCKLIST_PIN_FILE"


def ask(settings: Settings, question: str) -> None:
    """Ask on a terminal; without one, or with `--yes`, nothing is asked.

    Raises:
        click.Abort: The answer is no.
    """
    if not confirmed(settings, question):
        raise click.Abort


def confirmed(settings: Settings, question: str) -> bool:
    """The answer on a terminal; yes without one, or with `--yes`."""
    return settings.yes or not sys.stdin.isatty() or agreed(question)


def agreed(question: str) -> bool:
    """The answer of the person at the terminal, in English or in their language; an empty one is no."""
    # click.confirm knows y and n alone.
    yes, no = ({*english, *_(spoken).split()} for english, spoken in ((("y", "yes"), _YES), (("n", "no"), _NO)))
    while True:
        choices = _("y/N")
        answer = click.prompt(f"{question} [{choices}]", default="", show_default=False, err=True).strip().lower()
        if answer in yes:
            return True
        if answer in {"", *no}:
            return False


_YES = later("y yes")
_NO = later("n no")


def can_ask(settings: Settings) -> bool:
    """Whether there is somebody, or `--yes`, to answer a question that must not be skipped."""
    return settings.yes or sys.stdin.isatty()


def passphrase(what: str) -> bytes:
    """The passphrase for `what`, from the file that `BLOCKLIST_PASSPHRASE_FILE` names or from a prompt.

    Raises:
        UsageError: There is neither file nor terminal, or the passphrase is empty.
    """
    return _passphrase(what, PASSPHRASE_FILE)


def new_passphrase(what: str) -> bytes:
    """A passphrase for a new key: asked twice on a terminal."""
    return _twice(what, PASSPHRASE_FILE)


def changed_passphrase(what: str) -> bytes:
    """A passphrase in the place of another one: asked twice, or from a file of its own."""
    return _twice(what, NEW_PASSPHRASE_FILE)


def pin(what: str, last_try: bool) -> bytes:
    """The PIN of a token, from the file that `BLOCKLIST_PIN_FILE` names or from a prompt.

    Raises:
        UsageError: There is neither file nor terminal, or the PIN is empty.
        RefusedError: The next wrong one locks the token, and nobody is there to look at what is given.
    """
    if os.environ.get(PIN_FILE) and last_try:
        raise RefusedError(
            _("one more wrong PIN locks {what}, so the one in the file is not tried", what=what),
            _("correct the file; then run a command that signs without {variable} and type the PIN", variable=PIN_FILE),
        )
    secret = _secret(
        what, PIN_FILE, _("PIN for {what}, the last try", what=what) if last_try else _("PIN for {what}", what=what)
    )
    if not secret:
        raise UsageError(_("the PIN for {what} is empty", what=what))
    return secret


def _twice(what: str, variable: str) -> bytes:
    secret = _passphrase(what, variable)
    if not os.environ.get(variable) and _passphrase(_("{what}, again", what=what), variable) != secret:
        raise UsageError(_("the two passphrases differ"), _("nothing was made; try again"))
    return secret


def _passphrase(what: str, variable: str) -> bytes:
    secret = _secret(what, variable, _("Passphrase for {what}", what=what))
    if not secret:
        raise UsageError(_("the passphrase for {what} is empty", what=what), _("choose one, or use --no-passphrase"))
    try:
        secret.decode()
    except UnicodeDecodeError as fault:
        raise UsageError(
            _("the passphrase for {what} is not text in UTF-8", what=what), _("save its file as UTF-8")
        ) from fault
    return secret


def _secret(what: str, variable: str, prompt: str) -> bytes:
    """The first line of the file that a variable names, or what is typed."""
    from blocklist.base import durable

    path = os.environ.get(variable)
    if path:
        name = _("the PIN file") if variable == PIN_FILE else _("the passphrase file")
        return durable.read(Path(path), name, 4096).split(b"\n")[0].rstrip(b"\r")
    if not sys.stdin.isatty():
        if variable == PIN_FILE:
            message = _("the PIN for {what} cannot be asked for: there is no terminal", what=what)
        else:
            message = _("the passphrase for {what} cannot be asked for: there is no terminal", what=what)
        raise UsageError(message, _("{variable} names a file with it", variable=variable))
    return str(click.prompt(prompt, hide_input=True, err=True)).encode()
