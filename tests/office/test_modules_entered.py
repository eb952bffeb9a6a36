"""How many of our modules a reader has to follow for one `add`, one `publish` and one `pull` of one change."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from kit.fixed import LIST
from kit.shell import WHY
from kit.site import Site

PROBE = """
import sys
entered, importing = set(), 0
def profile(frame, event, _argument):
    global importing
    module = frame.f_code.co_name == "<module>"
    importing += module * ((event == "call") - (event == "return"))
    if event == "call" and not importing:
        entered.add(frame.f_globals.get("__name__", ""))
sys.setprofile(profile)
from blocklist.cli.commands import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
sys.setprofile(None)
print(*sorted(name for name in entered if name.startswith("blocklist.")), file=sys.stderr)
"""
"""What a module does while it is imported is no step of the command."""


def entered(site: Site, *words: str | Path) -> list[str]:
    """The modules of ours in which a function runs during one command."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, words)],
        env={**os.environ, "BLOCKLIST_KEYS": str(site.keys.path)},
        cwd=site.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


def test_one_change_passes_through_few_modules(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example")
    site.publish()
    (site.folder / "imprint.txt").write_text("no name, no address\n")
    office, subscription = ("-C", "office"), tmp_path / "subscription.yaml"
    entered(
        site, "subscribe", site.exports.as_uri(), "--list", LIST, "--environment", "test", "--root", site.root,
        "-o", subscription, "--to", f"rpz={tmp_path}/rpz.zone",
    )  # fmt: skip
    entered(site, "pull", "-c", subscription, "--accept")
    assert len(entered(site, *office, "--as", "agent-1", "add", "bad.example", *WHY)) <= 22
    entered(site, *office, "--as", "agent-2", "approve", "6")
    assert len(entered(site, *office, "publish")) <= 38
    assert len(entered(site, "pull", "-c", subscription)) <= 28
