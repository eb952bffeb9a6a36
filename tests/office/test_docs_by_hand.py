"""What the documents tell to type, typed; and the files that they say a pull leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from kit.docs import TEXT, blocks, rows, section, section_below, ticked
from kit.fixed import LIST
from kit.provider import Provider
from kit.site import Site

from blocklist.register import acts


def test_every_file_of_the_state_folder_is_explained(tmp_path: Path) -> None:
    """After a pull and one that found nothing new there is no other; of a short register no state is kept."""
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("bad.example")
    site.publish()
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes())
    for _ in range(2):
        provider.pull(site.now, accept="any")
    state = provider.state
    found = {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()}
    found = {re.sub(r"acts-.*\.jsonl", "acts-….jsonl", name).replace(LIST, "<list>", 1) for name in found}
    found = {"metadata/" if name.startswith("metadata/") else name for name in found}
    written = {name for row in rows(section("providers.md", "The state folder")) for name in ticked(row[0])}
    assert written == found | {"lists/<list>/state.json"}


def _stock_command() -> str:
    (command,) = [code for code in blocks(TEXT["verify.md"], "sh") if "release=$(curl" in code]
    return re.sub(r" +", " ", command[command.index("openssl") : command.index(" &&\ngrep")])


def test_the_stock_verification_is_the_one_in_the_headers(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    site.block("bad.example")
    release = site.publish().path
    head = (release / "SHA256SUMS").read_text()
    assert f"Verify: {_stock_command()}\n" in head
    shutil.copy(site.exports / "seal.pem", release)
    _bash(_stock_command(), release)


def test_one_act_can_be_verified_by_hand(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    site.block("bad.example", hosts=["www.worse.example"])
    release = site.publish().path
    script = "\n".join(blocks(section_below("design.md", "Verifying one act by hand"), "sh"))
    shown = _bash(f"set -e\n{script}", release).splitlines()
    assert "Signature Verified Successfully" in shown
    assert re.fullmatch("[0-9a-f]{64}", shown[-1])
    assert shown[-1] == shown[-2]
    line = (release / "acts.jsonl").read_bytes().splitlines()[4]
    assert shown[0] == f"{acts.read_line(line).id}  payload"


def _bash(script: str, folder: Path) -> str:
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
