"""Real name servers for the tests: started on loopback, each with a private folder and a free port, and stopped.

A configuration is a file in `resolvers/`, of which docs/resolvers shows lines; only its `@WORDS@` are filled in. What
stands in it between the comments `policy:` and `end of policy` can be left out, to see a server's answers without us.
A server is ready when it answers, and has stopped when its process is gone; whoever waits asks, with a deadline.
"""

from __future__ import annotations

import base64
import getpass
import itertools
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
from kit.paths import TESTS

CONFIGURATIONS = TESTS / "resolvers"
PATIENCE = 60.0
"""Seconds until waiting has failed. Nothing needs as long."""
TRIES, ANSWER_WITHIN = 4, 3.0

_POLICY = re.compile(r"^[ \t]*(?://|#|--) policy:\n.*?(?://|#|--) end of policy\n", re.M | re.S)


def free_port() -> int:
    """A port that is free for UDP and for TCP, and was not given out before.

    None that the kernel gives to whoever asks something: a server that is started again would find it taken.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


_given: set[int] = set()


def until(condition: Callable[[], bool], what: str, log: Callable[[], str] = str) -> None:
    """Wait for a condition that itself takes the time of a question, or of the shortest wait there is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} seconds for {what}\n{log()[-4000:]}")
        with selectors.DefaultSelector() as nothing:
            nothing.select(0.01)


_SHORT = tempfile.TemporaryDirectory(prefix="bl-")
"""Short names for the servers' folders: the path of a control socket has 107 octets at most."""
_NUMBERS = itertools.count()


class Server:
    """One server, running while it is used as a context.

    Attributes:
        command: Its words, with the places of a configuration.
        reload: What makes it read the policy file again, as the `reload` of a subscription; "" where it does so itself.
    """

    command: tuple[str, ...] = ()
    reload: str = ""

    def __init__(
        self,
        folder: Path,
        configuration: str,
        upstream: int = 0,
        policy: Path | None = None,
        anchor: str = "",
        port: int = 0,
        **places: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(_SHORT.name) / str(next(_NUMBERS))
        self.folder.symlink_to(folder)
        self.port = port or free_port()
        self.policy = policy
        self.process: subprocess.Popen[bytes] | None = None
        self.places: dict[str, object] = {
            "DIR": self.folder,
            "PORT": self.port,
            "UPSTREAM": upstream,
            "ZONE": policy,
            **places,
        }
        self.places["CONFIGURATION"] = self.configuration = self.write(configuration)
        (folder / "trust.ds").write_text(f"{anchor}\n")
        self.write_key(str(places.get("SECRET", "")))
        self.prepare(anchor)

    def prepare(self, anchor: str) -> None:
        """Write what else the configuration reads."""

    def write_key(self, secret: str) -> None:
        """Write the key of zone transfers, for BIND and for Knot DNS."""
        bind = f'key "transfer" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
        (self.folder / "transfer.key").write_text(bind)
        knot = f"key:\n  - id: transfer\n    algorithm: hmac-sha256\n    secret: {secret}\n"
        (self.folder / "transfer.yaml").write_text(knot)

    def write(self, configuration: str, name: str = "") -> Path:
        """Fill in a file of `resolvers/`."""
        text = (CONFIGURATIONS / configuration).read_text()
        path = self.folder / (name or configuration)
        path.write_text(self.fill(text if self.policy else _POLICY.sub("", text)))
        return path

    def fill(self, text: str) -> str:
        return re.sub("@([A-Z]+)@", lambda place: str(self.places[place[1]]), text)

    def words(self, text: str) -> list[str]:
        """A command line, filled in."""
        return [self.fill(word) for word in text.split()]

    @property
    def reload_command(self) -> str:
        return self.fill(self.reload)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        try:
            until(self.answers, f"{self.configuration.name} to answer", self.log)
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.fill(word) for word in self.command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group, to stop it as one
            )

    def answers(self) -> bool:
        """Whether it answers; that it has read the policy by then is not said."""
        if not self.alive():
            raise AssertionError(f"{self.configuration.name} has ended\n{self.log()[-4000:]}")
        try:
            self.ask("elsewhere.test", tries=1, within=0.05)
        except (dns.exception.DNSException, OSError):
            return False
        return True

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is None:
            return
        self.signal_all(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """Signal its process and those that it started."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def control(self, *words: str) -> str:
        """Run a program that belongs to it."""
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.log()[-4000:]}"
        return done.stdout

    def read_again(self, content: bytes | None = None) -> None:
        """Replace the policy file, as `pull` does, and have it read."""
        if content is not None:
            assert self.policy is not None
            replace_file(self.policy, content)
        if self.reload:
            self.control(*self.words(self.reload))

    def ask(
        self,
        name: str,
        kind: str = "A",
        *,
        dnssec: bool = False,
        tcp: bool = False,
        tries: int = TRIES,
        within: float = ANSWER_WITHIN,
    ) -> dns.message.Message:
        """Ask it; a lost packet is asked again, and silence is an error."""
        query = dns.message.make_query(name, kind, want_dnssec=dnssec, use_edns=0, payload=1232)
        for _ in range(tries):
            try:
                if tcp:
                    return dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=within)
                return dns.query.udp_with_fallback(query, "127.0.0.1", port=self.port, timeout=within)[0]
            except (dns.exception.Timeout, OSError) as fault:
                error = fault
        raise error


def replace_file(path: Path, content: bytes) -> None:
    """Write beside it and rename into place."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


class Named(Server):
    """BIND."""

    command = ("named", "-g", "-c", "@CONFIGURATION@")
    reload = "rndc -c @DIR@/rndc.conf reload blocked"

    def prepare(self, anchor: str) -> None:
        port, secret = free_port(), new_secret()
        key = f'key "control" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
        listens = f'controls {{ inet 127.0.0.1 port {port} allow {{ 127.0.0.1; }} keys {{ "control"; }}; }};\n'
        (self.folder / "control.conf").write_text(key + listens)
        options = f'options {{ default-server 127.0.0.1; default-port {port}; default-key "control"; }};\n'
        (self.folder / "rndc.conf").write_text(key + options)
        tag, algorithm, digest, text = anchor.split()[3:7] if anchor else ("",) * 4
        trust = f'trust-anchors {{ . static-ds {tag} {algorithm} {digest} "{text}"; }};\n' if anchor else ""
        (self.folder / "trust.conf").write_text(trust)


def new_secret() -> str:
    """A secret for TSIG."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


class Unbound(Server):
    """Unbound."""

    command = ("unbound", "-d", "-p", "-c", "@CONFIGURATION@")
    reload = "unbound-control -q -c @CONFIGURATION@ auth_zone_reload blocked"


class UnboundLocal(Unbound):
    """Unbound with local zones, which it reads with its configuration."""

    reload = "unbound-control -q -c @CONFIGURATION@ reload_keep_cache"


class Kresd(Server):
    """Knot Resolver 5. It watches the file itself."""

    command = ("kresd", "-n", "-c", "@CONFIGURATION@", "@DIR@")


class Recursor(Server):
    """PowerDNS Recursor. Its policy is in a second file, in Lua."""

    lua = "recursor.lua.conf"

    command = ("pdns_recursor", "--config-dir=@DIR@")
    reload = "rec_control --socket-dir=@DIR@ reload-lua-config"

    def prepare(self, anchor: str) -> None:
        self.write(self.lua, "recursor.lua")


class RecursorSecondary(Recursor):
    """PowerDNS Recursor that transfers its policy."""

    lua = "recursor-secondary.lua.conf"


class Knotd(Server):
    """Knot DNS, as a primary."""

    command = ("knotd", "-c", "@CONFIGURATION@")
    reload = "knotc -b -c @CONFIGURATION@ zone-reload blocked"


class Dnsmasq(Server):
    """dnsmasq, started again whenever it ends, as a service manager does; a signal makes it read the policy file again.

    SIGHUP is enough for hosts files. For its configuration it has to end.
    """

    command = ("sh", "-c", "while dnsmasq -k -u @USER@ -C @CONFIGURATION@; do :; done")
    with_signal = "HUP"
    reload = "sh @DIR@/reload"

    def prepare(self, anchor: str) -> None:
        self.places["USER"] = getpass.getuser()
        (self.folder / "reload").write_text(self.fill(f"kill -{self.with_signal} $(cat @DIR@/dnsmasq.pid)\n"))
        trust = ",".join(["trust-anchor=", *anchor.split()[3:]]).replace("=,", "=.,")
        (self.folder / "trust.conf").write_text(f"{trust}\n")


class DnsmasqRestarted(Dnsmasq):
    """dnsmasq with the list as a part of its configuration."""

    with_signal = "TERM"
