"""The measurements behind `tests/bench`: each line is our program, a yardstick, and the ratio of the two."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import kit

from blocklist.office import Proposal

BIN = Path(sys.executable).parent
MIB = 1024 * 1024


class Cost(NamedTuple):
    seconds: float
    peak: int
    """Resident octets at most."""


def run(command: Sequence[object], **environment: str) -> Cost:
    """Run a command to its end, and say what it cost."""
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen([str(word) for word in command], stdout=quiet, stderr=quiet, env=os.environ | environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command} failed with {child.returncode}")
    return Cost(time.perf_counter() - started, usage.ru_maxrss * 1024)


def median(command: Sequence[object], times: int = 15) -> float:
    return statistics.median(run(command).seconds for _ in range(times))


def report(what: str, ours: float, theirs: float, limit: float, peak: int = 0, most: int = 0) -> None:
    memory = f"; peak {peak / MIB:,.0f} of {most / MIB:,.0f} MiB" if peak else ""
    print(f"{what}: {ours:.2f} s to {theirs:.2f} s, ratio {ours / theirs:.2f} (at most {limit}){memory}", flush=True)


def grow(folder: Path, count: int) -> str:
    """Make a workspace whose register lists `count` generated names; gives the checksum of the plan to publish it."""
    site = kit.Site(folder, datetime.now(UTC))
    entries = [(line, f"name{line:07d}.test") for line in range(1, count + 1)]
    with site.office("agent-1") as office:
        names, refused = office.sift(entries)
        signed = office.add(names, Proposal("apology", "no-identification", "bench"))
    if refused:
        raise SystemExit(f"refused: {refused[:3]}")
    with site.office("agent-2") as office:
        for proposed in signed:
            office.approve(proposed.act.seq)
    return kit.draft_checksum(site)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    blocklist = BIN / "blocklist"
    report(
        "start-up, blocklist --version to python -c 'import click'",
        median([blocklist, "--version"]),
        median([sys.executable, "-c", "import click"]),
        2,
    )
    folder = Path(tempfile.mkdtemp(prefix="blocklist-bench-"))
    try:
        measure_list(folder, blocklist, count)
    finally:
        shutil.rmtree(folder)


def measure_list(folder: Path, blocklist: Path, count: int) -> None:
    # In a process of its own: what a parent holds counts as its children's peak.
    with ProcessPoolExecutor(1) as pool:
        checksum = pool.submit(grow, folder, count).result()
    plain = folder / "names.txt"
    plain.write_text("".join(f"name{line:07d}.test\n" for line in range(1, count + 1)))
    theirs = run([BIN / "rpzgen", "-i", plain, "-o", folder / "rpzgen.zone"])
    office = [blocklist, "-C", folder / "office"]
    ours = run([*office, "publish", "--accept", checksum], BLOCKLIST_KEYS=str(folder / "keys"))
    report(f"cold publish of {count:,} names to rpzgen", ours.seconds, theirs.seconds, 1.5, ours.peak, 1536 * MIB)
    zone, provider, exports = folder / "rpz.zone", folder / "subscription.yaml", folder / "office/exports"
    pin = ["--list", kit.LIST, "--root", exports / "metadata/1.root.json", "--environment", "test"]
    run([blocklist, "subscribe", exports.as_uri(), *pin, "--to", f"rpz={zone}", "-o", provider])
    pulled = run([blocklist, "pull", "-c", provider, "--accept"])
    checked = run(["named-checkzone", "rpz.test", zone])
    report(f"pull of {count:,} names to named-checkzone", pulled.seconds, checked.seconds, 0.5, pulled.peak, 1024 * MIB)


if __name__ == "__main__":
    main()
