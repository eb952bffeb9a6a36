"""A real nginx for the tests, on loopback, with a folder of its own, and a proxy that counts what passes through it.

A configuration is a file in docs/nginx, of which the guides show lines; only its `@WORDS@` are filled in. Around it
stands what Debian's own nginx.conf says, so that the file has to be right by itself.
"""

from __future__ import annotations

import getpass
import grp
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from kit.paths import ROOT
from kit.pki import Authority
from kit.servers import free_port, until

DOCS = ROOT / "docs"
FILES = DOCS / "nginx"

_AROUND = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    # As in Debian's nginx.conf:
    sendfile on;
    tcp_nopush on;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    access_log {folder}/access.log;
    gzip on;
    include {configuration};
}}
"""

_LINE = re.compile(
    r'(?P<at>\S+) (?P<status>\d+) (?P<sent>\d+) "(?P<method>\S+) (?P<path>\S+)[^"]*" '
    r'"(?P<range>[^"]*)" "(?P<encoding>[^"]*)" "(?P<client>[^"]*)"'
)


@dataclass(frozen=True)
class Request:
    """What the log says of one request: `sent` octets were its answer, headers too."""

    method: str
    path: str
    status: int
    sent: int
    range: str
    encoding: str
    client: str


class Nginx:
    """nginx with one file of docs/nginx, or with a text, running while it is used as a context."""

    def __init__(self, folder: Path, configuration: str, **places: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.places = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "IPV4": f"127.0.0.1:{self.port}",
            "IPV6": f"[::1]:{self.port}",
            "LOG": folder / "blocklist.log",
            "DIR": folder,
            **places,
        }
        path = FILES / configuration
        self.configure(path.read_text(encoding="utf-8") if "\n" not in configuration else configuration)

    def configure(self, text: str) -> None:
        """Write its configuration; it takes effect at a start or reload."""
        own = self.folder / "blocklist.conf"
        own.write_text(re.sub("@([A-Z0-9]+)@", lambda place: str(self.places[place[1]]), text), encoding="utf-8")
        # The worker has to be able to read what only the user of the tests can.
        user = f"user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};" if os.geteuid() == 0 else ""
        around = _AROUND.format(user=user, folder=self.folder, configuration=own)
        (self.folder / "nginx.conf").write_text(around)

    @property
    def _command(self) -> list[str]:
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self._errors)]

    @property
    def _errors(self) -> Path:
        return self.folder / "error.log"

    def said(self) -> str:
        """What nginx itself says of its configuration: nothing but that it is right."""
        done = subprocess.run([*self._command, "-t", "-q"], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def __enter__(self) -> Nginx:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(self._listens, "nginx to listen", self._log)
        except BaseException:
            self.stop()
            raise

    def _listens(self) -> bool:
        """Whether it has its worker, which it makes once every address it was told is open, one after the other."""
        assert self.process is not None
        assert self.process.poll() is None, self._log()
        return bool(self._workers())

    def _log(self) -> str:
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def stop(self) -> None:
        """Stop it at once, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def restart(self) -> None:
        """Stop and start it; what was open to it is gone."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Let it read its configuration again, and wait until the old worker serves nobody any more."""
        assert self.process is not None
        old = self._workers()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: bool(self._workers()) and not self._workers() & old, "another worker", self._log)

    def _workers(self) -> set[str]:
        assert self.process is not None
        return set(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())


@dataclass(frozen=True)
class Clients:
    """Certificates with their keys: one that is good, one that was revoked, one of another authority of that name."""

    good: tuple[Path, Path]
    revoked: tuple[Path, Path]
    strange: tuple[Path, Path]

    @classmethod
    def of(cls, authority: Authority, folder: Path) -> Clients:
        """Some of an authority; `folder` is for the other one."""
        other = Authority.make(folder / "ca", authority.name.rfc4514_string().removeprefix("CN="))
        return cls(authority.issue("isp-one"), authority.issue("isp-two"), other.issue("isp-one"))


def certificates(folder: Path, pki: Authority, clients: Clients) -> Path:
    """The folder of certificates that the configuration names."""
    tls = folder / "tls"
    tls.mkdir()
    certificate, key = pki.issue("exports", "exports.blocklist.example")
    shutil.copy(certificate, tls / "exports.pem")
    shutil.copy(key, tls / "exports.key")
    shutil.copy(pki.certificate, tls / "providers-ca.pem")
    shutil.copy(pki.revocation_list(clients.revoked[0]), tls / "providers-crl.pem")
    return tls


class Publisher(Nginx):
    """The publisher's server of docs/nginx/publisher.conf, with the certificates in `tls`.

    Attributes:
        admitted: A client certificate and key that it lets in, for questions of the tests.
    """

    def __init__(self, folder: Path, exports: Path, tls: Path, admitted: tuple[Path, Path], ca: Path) -> None:
        super().__init__(folder, "publisher.conf", EXPORTS=exports, TLS=tls)
        self.admitted = admitted
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(*admitted)
        self._asked = 0
        self._read = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body of the answer to one request; nothing is unpacked."""
        with closing(HTTPSConnection("127.0.0.1", self.port, context=self._context, timeout=30)) as connection:
            lines = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={"Host": "exports.blocklist.example", **lines})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def serve(self, tree: Path) -> None:
        """Serve another tree from now on."""
        link = Path(str(self.places["EXPORTS"]))
        link.unlink(missing_ok=True)
        link.symlink_to(tree)

    def requests(self) -> list[Request]:
        """What was asked since the last call. nginx writes a line once an answer is sent, so ours comes after all."""
        self._asked += 1
        mark = f"/the-tests-asked-{self._asked}"
        self.get(mark)
        until(lambda: f" {mark} " in self._written(), "the log")
        lines = self._written().splitlines()
        new, self._read = lines[self._read :], len(lines)
        return [made for made in map(_request, new) if not made.path.startswith("/the-tests-asked-")]

    def _written(self) -> str:
        path = Path(str(self.places["LOG"]))
        return path.read_text() if path.exists() else ""


def _request(line: str) -> Request:
    match = _LINE.fullmatch(line)
    assert match, line
    fields = {**match.groupdict(), "status": int(match["status"]), "sent": int(match["sent"])}
    fields.pop("at")
    return Request(**{key: "" if value == "-" else value for key, value in fields.items()})


def read_answer(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, and body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


class Proxy(ThreadingTCPServer):
    """A proxy for HTTPS (RFC 9110, section 9.3.6) that leads every name to one port here, and counts octets.

    Attributes:
        asked: What clients asked for, each `HOST:PORT`.
        sent: Octets from clients and to clients, as they are on the wire: TLS and all.
        refuse: The status that it answers instead, if any.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port = port
        self.asked: list[str] = []
        self.sent = [0, 0]
        self.refuse = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def take(self) -> tuple[int, int]:
        """The octets since the last call: from clients, and to clients."""
        taken, self.sent = (self.sent[0], self.sent[1]), [0, 0]
        return taken


class _Tunnel(StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        method, host, _ = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(host)
        if method != "CONNECT" or self.server.refuse:
            self.wfile.write(f"HTTP/1.1 {self.server.refuse or 405} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        with socket.create_connection(("127.0.0.1", self.server.port)) as inside:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with suppress(OSError):
                for direction, chunk in _pumped(self.connection, inside):
                    self.server.sent[direction] += len(chunk)


def _pumped(client: socket.socket, inside: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Carry octets both ways until one side has ended; yields each piece and where it came from."""
    while True:
        for readable in select.select([client, inside], [], [])[0]:
            chunk = readable.recv(65536)
            if not chunk:
                return
            (inside if readable is client else client).sendall(chunk)
            yield (0 if readable is client else 1), chunk
