"""The whole main job on a file of real names, in a test environment, ending at a real `named`.

Usage: python tools/real_names.py FILE

Imports the names with --skip-refused, approves, publishes, lets a provider pull and install, starts BIND with the
installed zone, and asks it for a sample of listed names (the landing page must answer) and of names that are not
listed (the upstream must answer). Needs `named` and `openssl`; touches nothing outside a temporary folder.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rrset

LIST = "apology-of-terrorism"
ASKED = ("terrorist-act", "favourable", "public", "context")
"""What its ground asks."""
LANDING = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
ELSEWHERE = {"A": "203.0.113.7", "AAAA": "2001:db8::7"}
PROBE = "probe.blocklist.example"
SAMPLE = 200

NAMED = """\
options {{
  directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion yes; dnssec-validation no; forward only; forwarders {{ 127.0.0.1 port {upstream}; }};
  response-policy {{ zone "rpz.test"; }} qname-wait-recurse no break-dnssec yes min-update-interval 1;
}};
controls {{ }};
zone "rpz.test" {{ type primary; file "{zone}"; allow-query {{ none; }}; allow-transfer {{ none; }}; }};
"""


class _Answer(socketserver.BaseRequestHandler):
    """An upstream that knows every name: the answers without us."""

    def handle(self) -> None:
        wire, answering = self.request
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        if kind in ELSEWHERE:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, ELSEWHERE[kind]))
        answering.sendto(response.to_wire(), self.client_address)


@contextmanager
def upstream() -> Iterator[int]:
    """Run the upstream on loopback; gives its port."""
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        port: int = udp.getsockname()[1]
        tcp.bind(("127.0.0.1", port))
        return port


@contextmanager
def named(folder: Path, zone: Path) -> Iterator[Callable[[str, str], list[str]]]:
    """Run BIND with the policy zone; gives a function `(name, type) -> addresses`."""
    folder.mkdir()
    with upstream() as above:
        port = free_port()
        config = folder / "named.conf"
        config.write_text(NAMED.format(folder=folder, port=port, upstream=above, zone=zone))
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(["named", "-g", "-c", config], stdout=log, stderr=log)
        try:
            wait_for(lambda: server.poll() is not None or lookup(port, PROBE, "A") == [LANDING["A"]], "named to load")
            if server.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            yield lambda name, kind: lookup(port, name, kind)
        finally:
            server.terminate()
            server.wait()


def lookup(port: int, name: str, kind: str) -> list[str]:
    """The addresses that a resolver on loopback answers; a lost packet is asked again."""
    query = dns.message.make_query(name, kind)
    for _ in range(5):
        try:
            response = dns.query.udp(query, "127.0.0.1", port=port, timeout=2)
        except (dns.exception.Timeout, OSError):
            continue
        return [record.to_text() for rrset in response.answer for record in rrset]
    return []


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds} seconds for {what}")
        time.sleep(0.05)


class Run:
    """The commands of office and provider, each a real process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BLOCKLIST_")},
            "BLOCKLIST_KEYS": str(folder / "keys"),
        }

    def blocklist(self, *words: object) -> dict[str, Any]:
        command = [sys.executable, "-m", "blocklist", "--json", "-C", str(self.folder / "office"), *map(str, words)]
        started = time.perf_counter()
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        shown = " ".join(map(str, words[:6]))
        print(f"{time.perf_counter() - started:6.1f} s  exit {done.returncode}  blocklist {shown}", flush=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr[-2000:])
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def office(self) -> str:
        """Found a test register with two agents; gives its id."""
        founded = self.blocklist("init", "--no-passphrase")
        for agent in ("agent-1", "agent-2"):
            self.blocklist("key", "new", agent, "--no-passphrase")
            key = self.folder / "keys" / f"{agent}.pub"
            self.blocklist("--as", "head-1", "officer", "appoint", agent, "--role", "agent", "--key", key)
        register: str = founded["register"]
        return register

    def curate(self, names: Path) -> tuple[int, list[dict[str, Any]]]:
        """Import, approve, publish; gives how many names are listed, and the refused lines."""
        proof = self.folder / "proof.txt"
        proof.write_text("technical test\n")
        terms = ("--ground", "apology", "--basis", "no-identification", "--ref", "technical test", "--evidence", proof)
        terms += tuple(word for ask in ASKED for word in ("--say", f"{ask}=technical test"))
        imported = self.blocklist("--as", "agent-1", "import", names, "--skip-refused", *terms)
        self.blocklist("--as", "agent-2", "approve", *imported["acts"])
        plan = self.blocklist("plan")
        self.blocklist("publish", "--accept", plan["checksum"])
        return len(plan["added"]), imported["refused"]

    def provider(self) -> Path:
        """Subscribe and pull; gives the installed zone."""
        zone, config = self.folder / "rpz.zone", self.folder / "subscription.yaml"
        exports = self.folder / "office/exports"
        pin = ("--list", LIST, "--root", exports / "metadata/1.root.json", "--environment", "test")
        self.blocklist("subscribe", exports.as_uri(), *pin, "--to", f"rpz={zone}", "-o", config)
        self.blocklist("pull", "-c", config, "--accept")
        return zone


def listed_owners(zone: Path) -> list[str]:
    """The owners of the zone's address records, without wildcards."""
    lines = (line.split() for line in zone.read_text().splitlines() if " A " in line)
    return [words[0] for words in lines if not words[0].startswith((";", "*.")) and words[0] != PROBE]


def sample(names: Sequence[str], count: int = SAMPLE) -> list[str]:
    return random.Random(20261122).sample(list(names), min(count, len(names)))


def check_answers(ask: Callable[[str, str], list[str]], listed: Sequence[str]) -> None:
    """Listed names, and names below them, answer the landing page; their neighbours answer as without us."""
    for name in listed:
        for kind, landing in LANDING.items():
            answer = ask(name, kind)
            if answer != [landing]:
                raise SystemExit(f"{name} {kind} answers {answer}, not the landing page")
    for name in listed:
        neighbour = f"not-{name}" if len(name) < 50 else f"not-listed.{name[-20:]}.test"
        answer = ask(neighbour, "A")
        if answer != [ELSEWHERE["A"]]:
            raise SystemExit(f"{neighbour} is not listed and answers {answer}")


def main(names: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="blocklist-real-"))
    try:
        run = Run(folder)
        register = run.office()
        count, refused = run.curate(names)
        print(f"{count} names listed, {len(refused)} lines refused, such as")
        for entry in refused[:5]:
            print(f"    line {entry['line']}: {entry['reason']}")
        zone = run.provider()
        listed = sample(listed_owners(zone))
        with named(folder / "named", zone) as ask:
            check_answers(ask, listed)
        print(f"named answers the landing page for {len(listed)} listed names, and for their neighbours as without us")
        audited = run.blocklist("audit")
        if audited["faults"] or audited["register"] != register:
            raise SystemExit(f"audit: {audited}")
        print(f"audit: {audited['acts']} acts, no fault")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
