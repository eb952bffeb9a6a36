"""The measurements behind `tests/bench`: each line is our program, a yardstick, and the ratio of the two."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from blocklist.audit.audit import audit_workspace
from blocklist.base import durable
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Scope
from blocklist.office import approve, propose, review
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.register.lifecycle import Measure, Measures
from blocklist.release.contents import Snapshot, exports
from blocklist.store.store import Store
from blocklist.workspace import Workspace

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from kit import fixed
from kit.chain import Chain
from kit.history import History
from kit.nginx import Publisher
from kit.pki import Authority
from kit.site import Site, draft_checksum, no_passphrase

IMPORTS = "import click, cryptography.hazmat.primitives.asymmetric.ed25519, sqlalchemy, tuf.api.metadata, requests"
"""What every command of an office and of a provider loads beside the program itself: the yardstick of everyday work."""

LISTED, DECIDED = 300, 2_000
"""Names in force and acts of an everyday register."""

YOUNG, OLD = 200, 20_000
"""Acts of the two registers that commands are compared on: some months, and a generation."""

BIN = Path(sys.executable).parent
MIB = 1024 * 1024


class Cost(NamedTuple):
    seconds: float
    peak: int
    """Resident octets at most."""


def run(command: Sequence[object], good: Container[int] = (0,), **environment: str) -> Cost:
    """Run a command to its end, and say what it cost; its exit status has to be a good one."""
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen([str(word) for word in command], stdout=quiet, stderr=quiet, env=os.environ | environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in good:
        raise SystemExit(f"{command} failed with {child.returncode}")
    return Cost(time.perf_counter() - started, usage.ru_maxrss * 1024)


def alone(command: Sequence[object], **environment: str) -> Cost:
    """The same for a command that writes much: it shall not wait for what was written before."""
    os.sync()
    return run(command, **environment)


def median(command: Sequence[object], times: int = 15) -> float:
    return statistics.median(run(command).seconds for _ in range(times))


def report(what: str, ours: float, theirs: float, limit: float, peak: int = 0, most: int = 0) -> None:
    memory = f"; peak {peak / MIB:,.0f} of {most / MIB:,.0f} MiB" if peak else ""
    print(f"{what}: {ours:.2f} s to {theirs:.2f} s, ratio {ours / theirs:.2f} (at most {limit}){memory}", flush=True)


def two_formats(folder: Path) -> Path:
    """The shipped policy with the formats that the yardstick has: a zone and a hosts file."""
    folder.mkdir(parents=True)
    for name, content in fixed.shipped_files().items():
        text = re.sub(r"(?m)^formats: .*$", "formats: [rpz, hosts]", content.decode())
        (folder / name).write_text(text)
    return folder


def grow(folder: Path, count: int) -> str:
    """Make a workspace whose register lists `count` generated names; gives the checksum of the plan to publish it."""
    site = Site(folder, datetime.now(UTC), lists=two_formats(folder / "shipped"))
    entries = [(line, f"name{line:07d}.test") for line in range(1, count + 1)]
    with site.office("agent-1") as office:
        names, refused = propose.sift(office, entries)
        signed = propose.propose(office, names, site.proposal())
    if refused:
        raise SystemExit(f"refused: {refused[:3]}")
    with site.office("agent-2") as office:
        for proposed in signed:
            approve.approve(office, proposed.act.seq)
    return draft_checksum(site)


def grow_old(folder: Path, size: int) -> None:
    """Make a register of `size` acts that ends now, with the keys of its agents."""
    history = History(size, datetime.now(UTC))
    store = Store(folder / "lists", create=True)
    store.append(fixed.LIST, history.chain.signed, history.dossiers)
    store.close()
    (folder / "proof.txt").write_text("no imprint, no answer from the registrar")
    keys = KeyFolder(folder / "keys", no_passphrase)
    for agent in ("agent-1", "agent-2"):
        keys.create(agent, fixed.key(agent), encrypt=False)


def daily_work(folder: Path, blocklist: Path, size: int, turn: int) -> dict[str, float]:
    """Seconds that each command of an agent's day takes, in its `turn`, which adds and approves one name."""
    says = [word for ask in fixed.shipped_policy().grounds["apology"].asks for word in ("--say", f"{ask.id}=yes")]
    why = ["--ground", "apology", "--basis", "no-identification", "--ref", "bench", *says]
    proof = ["--evidence", folder / "proof.txt"]
    commands: dict[str, list[object]] = {
        "add": ["agent-1", "add", f"new{turn}.test", *why, *proof, "--yes"],
        "approve": ["agent-2", "approve", size + 2 * turn + 1, "--yes"],
        "show": ["agent-1", "show", "case00001.test"],
        "due": ["agent-1", "due"],
    }
    keys = str(folder / "keys")
    return {
        verb: run(
            [blocklist, "-C", folder, "--as", *words], good=(0, 1) if verb == "due" else (0,), BLOCKLIST_KEYS=keys
        ).seconds
        for verb, words in commands.items()
    }


def measure_age(folder: Path, blocklist: Path, turns: int = 9) -> None:
    """What an agent's commands take on an old register and on a young one; the first turn makes the caches."""
    taken: dict[int, list[dict[str, float]]] = {}
    for size in (YOUNG, OLD):
        grow_old(folder / str(size), size)
    for turn in range(turns + 1):
        for size in (YOUNG, OLD):
            seconds = daily_work(folder / str(size), blocklist, size, turn)
            if turn:
                taken.setdefault(size, []).append(seconds)
    for verb in taken[OLD][0]:
        young, old = (statistics.median(seconds[verb] for seconds in taken[size]) for size in (YOUNG, OLD))
        report(f"{verb} on a register of {OLD:,} acts to one of {YOUNG}", old, young, 1.5)


def grow_everyday(folder: Path) -> None:
    """Make a workspace of `LISTED` names in force and `DECIDED` acts; most of them are reviews, as in any office."""
    now = datetime.now(UTC)
    site = Site(folder, now - timedelta(days=1), lists=two_formats(folder / "shipped"))
    each = [Name(f"site{number:03d}.test", Scope.DOMAIN) for number in range(LISTED)]
    with site.office("agent-1") as office:
        signed = [propose.propose(office, [name], site.proposal())[0] for name in each]
    with site.office("agent-2") as office:
        for proposed in signed:
            approve.approve(office, proposed.act.seq)
        for number in range(DECIDED - len(office.register.ids)):
            site.now = now - timedelta(days=1) + timedelta(seconds=number)
            review.review(office, [each[number % LISTED]], "still-unlawful", None, "", ())
    site.now = now
    site.publish(draft_checksum(site))


def measure_everyday(folder: Path, blocklist: Path, turns: int = 9) -> None:
    """What an agent, the publisher and a provider wait for each day, to the time that loading the libraries takes."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(grow_everyday, folder).result()
    keys = str(folder / "keys")
    says = [word for ask in fixed.shipped_policy().grounds["apology"].asks for word in ("--say", f"{ask.id}=yes")]
    why = ["--ground", "apology", "--basis", "no-identification", "--ref", "bench", *says]
    proof = ["--evidence", folder / "imprint.txt"]
    exports = folder / "office/exports"
    pki = Authority.make(folder / "pki", "bench")
    client = pki.issue("provider")
    taken: dict[str, list[float]] = {}
    with Publisher(folder / "nginx", exports, server_files(folder, pki), client, pki.certificate) as nginx:
        provider = folder / "subscription.yaml"
        pin = ["--list", fixed.LIST, "--root", exports / "metadata/1.root.json", "--environment", "test"]
        tls = ["--ca", pki.certificate, "--client-certificate", client[0], "--client-key", client[1]]
        run([blocklist, "subscribe", nginx.url, *pin, *tls, "--to", f"rpz={folder}/rpz.zone", "-o", provider])
        pull = [blocklist, "pull", "-c", provider]
        run([*pull, "--accept"])
        for turn in range(turns + 1):
            office = [blocklist, "-C", folder / "office"]
            commands: dict[str, list[object]] = {
                "add": [*office, "--as", "agent-1", "add", f"new{turn}.test", *why, *proof, "--yes"],
                "approve": [*office, "--as", "agent-2", "approve", DECIDED + 2 * turn + 1, "--yes"],
                "publish of one change": [*office, "publish"],
                "pull of one change": pull,
                "unchanged pull": pull,
            }
            for what, command in commands.items():
                seconds = run(command, BLOCKLIST_KEYS=keys).seconds
                if turn:  # the first one makes the caches
                    taken.setdefault(what, []).append(seconds)
    theirs = median([sys.executable, "-c", IMPORTS])
    for what, seconds in taken.items():
        report(
            f"everyday ({LISTED} names, {DECIDED:,} acts): {what} to the libraries' imports",
            statistics.median(seconds),
            theirs,
            1.8,
        )


def measure_formats(folder: Path, count: int) -> None:
    """Rendering and hashing, from the measures on, as often as needed for a median."""
    decided = [
        Measure(
            ground="g", basis="b", added=act, approved=act, since=fixed.START, review_by=fixed.START + 12 * fixed.WEEK
        )
        for act in range(100)
    ]
    names = {f"name{line:07d}.test": decided[line % len(decided)] for line in range(count)}
    policy, head = fixed.shipped_policy(), Ref(1, "0" * 64)
    shown = Snapshot("0" * 64, fixed.LIST, "test", head, fixed.START, policy, Measures(names), ())

    def seconds(*format_ids: str) -> float:
        started = time.perf_counter()
        for _, chunks in exports(shown, format_ids):
            durable.digest(chunks)
        return time.perf_counter() - started

    folder.mkdir()
    zone = folder / "rpz.zone"
    with zone.open("wb") as stream:
        ((_, chunks),) = exports(shown, ["rpz"])
        stream.writelines(chunks)
    alone, together = (statistics.median(seconds(*ids) for _ in range(5)) for ids in (("rpz",), policy.formats))
    report(f"rpz of {count:,} names, rendered and hashed, to sha256sum", alone, median(["sha256sum", zone], 5), 4)
    report(f"all formats of {count:,} names to rpz alone", together, alone, 3)


def measure_audit(folder: Path, count: int) -> None:
    """An audit of acts that hold one name each, to the bare verification of as many signatures in this process."""
    chain = Chain(at=datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=count + 60))
    for number in range(count // 2):
        listed = fixed.names(f"name{number:07d}.test")
        proposed = chain.add_act("agent-1", chain.proposal(listed), dossier="0" * 64)
        chain.add_act("agent-2", acts.Approve(act=proposed.ref, names=listed, salt=fixed.SALT))
    store = Store(folder / "lists", create=True)
    store.append(fixed.LIST, chain.signed, [None] * len(chain.signed))
    store.close()
    keys = {signed.keyid: fixed.key(signed.act.by).public_key() for signed in chain.signed[:5]}
    jobs = [(keys[signed.keyid], signed.signature, acts.authenticated_bytes(signed.payload)) for signed in chain.signed]
    workspace = Workspace(folder, KeyFolder(folder / "keys", no_passphrase))
    ours, bare = [], []
    for _ in range(3):
        started = time.perf_counter()
        audit = audit_workspace(workspace, datetime.now(UTC))
        ours.append(time.perf_counter() - started)
        if audit.faults or audit.acts != len(jobs):
            raise SystemExit(f"the audit says: {audit.faults[:3]}")
        started = time.perf_counter()
        for key, signature, content in jobs:
            key.verify(signature, content)
        bare.append(time.perf_counter() - started)
    report(
        f"audit of {len(jobs):,} single-name acts to bare Ed25519",
        statistics.median(ours),
        statistics.median(bare),
        1.8,
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    blocklist = BIN / "blocklist"
    report(
        "start-up, blocklist --version to python -c 'import click'",
        median([blocklist, "--version"]),
        median([sys.executable, "-c", "import click"]),
        1.5,
    )
    folder = Path(tempfile.mkdtemp(prefix="blocklist-bench-"))
    try:
        measure_everyday(folder / "everyday", blocklist)
        measure_age(folder / "age", blocklist)
        # In processes of their own: what a parent holds counts as its children's peak.
        with ProcessPoolExecutor(1) as pool:
            pool.submit(measure_formats, folder / "formats", count).result()
            pool.submit(measure_audit, folder / "audit", min(count, 100_000)).result()
        measure_list(folder, blocklist, count)
    finally:
        shutil.rmtree(folder)


def measure_list(folder: Path, blocklist: Path, count: int) -> None:
    with ProcessPoolExecutor(1) as pool:
        checksum = pool.submit(grow, folder, count).result()
    plain = folder / "names.txt"
    plain.write_text("".join(f"name{line:07d}.test\n" for line in range(1, count + 1)))
    office = [blocklist, "-C", folder / "office"]
    theirs = alone([BIN / "rpzgen", "-i", plain, "-o", folder / "rpzgen.zone"])
    ours = alone([*office, "publish", "--accept", checksum], BLOCKLIST_KEYS=str(folder / "keys"))
    report(f"cold publish of {count:,} names to rpzgen", ours.seconds, theirs.seconds, 1.4, ours.peak, 600 * MIB)
    exports = folder / "office/exports"
    first, link = folder / "first", folder / "tree"
    shutil.copytree(exports, first, copy_function=os.link)
    link.symlink_to(first)
    pki = Authority.make(folder / "pki", "bench")
    client = pki.issue("provider")
    with Publisher(folder / "nginx", link, server_files(folder, pki), client, pki.certificate) as nginx:
        zone, provider = folder / "rpz.zone", folder / "subscription.yaml"
        pin = ["--list", fixed.LIST, "--root", exports / "metadata/1.root.json", "--environment", "test"]
        tls = ["--ca", pki.certificate, "--client-certificate", client[0], "--client-key", client[1]]
        run([blocklist, "subscribe", nginx.url, *pin, *tls, "--to", f"rpz={zone}", "-o", provider])
        pull = [blocklist, "pull", "-c", provider]
        full = alone([*pull, "--accept"])
        whole = octets(nginx)
        checked = run(["named-checkzone", "rpz.test", zone])
        linted = run([blocklist, "lint", zone])
        report(
            f"lint of {count:,} names to named-checkzone", linted.seconds, checked.seconds, 1, linted.peak, 1024 * MIB
        )
        report(
            f"full pull of {count:,} names to named-checkzone",
            full.seconds,
            checked.seconds,
            0.35,
            full.peak,
            600 * MIB,
        )
        octets(nginx)
        with ProcessPoolExecutor(1) as pool:
            pool.submit(add_one, folder).result()
        one = alone([*office, "publish"], BLOCKLIST_KEYS=str(folder / "keys"))
        report("publish of one added name to a cold publish", one.seconds, ours.seconds, 0.6, one.peak, 600 * MIB)
        link.unlink()
        link.symlink_to(exports)
        more = alone(pull)
        report("pull after one added name to a full pull", more.seconds, full.seconds, 0.5, more.peak, 600 * MIB)
        part = octets(nginx)
        print(
            f"octets of a pull after one added name: {part:,} of {whole:,}, {part / whole:.3%} (at most 1%)", flush=True
        )


def add_one(folder: Path) -> None:
    """List one name more."""
    site = Site.at(folder, datetime.now(UTC).replace(microsecond=0))
    site.block("one-more.test")


def octets(nginx: Publisher) -> int:
    """What nginx has sent since the last call."""
    return sum(request.sent for request in nginx.requests())


def server_files(folder: Path, pki: Authority) -> Path:
    """What the configuration of nginx names."""
    tls = folder / "tls"
    tls.mkdir()
    certificate, key = pki.issue("exports", "exports.blocklist.example")
    shutil.copy(certificate, tls / "exports.pem")
    shutil.copy(key, tls / "exports.key")
    shutil.copy(pki.certificate, tls / "providers-ca.pem")
    shutil.copy(pki.revocation_list(), tls / "providers-crl.pem")
    return tls


if __name__ == "__main__":
    main()
