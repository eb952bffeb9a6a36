"""`verify`: check one downloaded release without a subscription."""

from __future__ import annotations

from pathlib import Path

import click

from blocklist.base.i18n import _, plural, shown
from blocklist.cli.commands import Settings, Verb, clock, refuse_store
from blocklist.cli.terminal import finish
from blocklist.client.verify import verify
from blocklist.register.decoders import format_instant


@click.command("verify", cls=Verb, short_help="Check a downloaded release.")
@click.argument("release", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--cert", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The authority, seal.pem.")
@click.option("--register", metavar="ID", help="The founding id: replay what two officers signed.")
@click.pass_obj
def verify_command(settings: Settings, release: Path, cert: Path, register: str | None) -> None:
    """Check a downloaded release: its seal, its sums and, with --register, every act behind it."""
    refuse_store(settings)
    result = verify(release, cert, register, clock())
    members: dict[str, object] = {
        "instant": format_instant(result.instant),
        "valid_until": format_instant(result.valid_until),
        "sealed_by": result.sealed_by,
        "files": list(result.files),
        "missing": list(result.missing),
        "names": result.names,
        "unknown_formats": list(result.unknown),
    }
    lines = [
        _(
            "sealed by {authority}, made {instant}, valid until {end}",
            authority=result.sealed_by,
            instant=shown(result.instant),
            end=shown(result.valid_until),
        )
    ]
    if result.missing:
        lines.append(_("not here, so not checked: {names}", names=", ".join(result.missing)))
    if result.names is None:
        lines.append(_("seal only: this does not show that two officers signed for each name (give --register ID)"))
    else:
        lines.append(
            plural(
                "{count} name, two officers signed for it; the exports are what they signed",
                "{count} names, two officers signed for each; the exports are what they signed",
                result.names,
            )
        )
    if result.unknown:
        lines.append(
            _("only sealed, in a format that this program does not know: {formats}", formats=", ".join(result.unknown))
        )
    finish(settings, members, "\n".join(lines))
