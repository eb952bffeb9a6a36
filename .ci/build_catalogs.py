"""Build hook: the translations that people write (.po) become what gettext reads (.mo), also for editable installs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CatalogBuildHook(BuildHookInterface):
    """Compiles every catalog beside its source, where the package and the wheel have it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are gathered."""
        for source in sorted(Path(self.root, "blocklist", "locale").rglob("*.po")):
            with source.open("rb") as stream:
                catalog = read_po(stream)
            with source.with_suffix(".mo").open("wb") as stream:
                write_mo(stream, catalog)
