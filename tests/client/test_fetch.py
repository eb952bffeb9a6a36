"""Fetching over HTTPS from a real server on loopback: mutual TLS, and every way in which a server can misbehave."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kit.fixed import HOUR, LIST
from kit.pki import Authority
from kit.provider import Provider
from kit.site import Site

from blocklist.base.errors import BlocklistError
from blocklist.client import transport
from blocklist.release.manifest import ACTS

# --- The server -----------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves `tree` over TLS with a client certificate; `fault` misbehaves for paths that hold its word."""

    daemon_threads = True

    def __init__(self, pki: Authority) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tree = Path()
        self.fault: tuple[str, str] = ("", "")
        self.seen: list[tuple[str, str, int]] = []
        self.over = threading.Event()
        certificate, key = pki.issue("server")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(pki.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.server.tree / self.path.lstrip("/")
        wanted, fault = self.server.fault
        behave = getattr(self, f"_{fault}") if wanted and wanted in self.path else self._send
        if path.is_file():
            behave(path.read_bytes())
        else:
            self._answer(404)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, content: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)
        self.server.seen.append((self.path, self.headers.get("Range", ""), len(content)))

    def _start(self) -> int:
        asked = self.headers.get("Range", "")
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0

    def _send(self, content: bytes) -> None:
        if start := self._start():
            self._answer(206, content[start:], Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self._answer(200, content)

    def _ignores_range(self, content: bytes) -> None:
        self._answer(200, content)

    def _wrong_range(self, content: bytes) -> None:
        start = self._start()
        if not start:
            return self._answer(200, content)
        return self._answer(206, content[start - 1 :], Content_Range=f"bytes {start - 1}-{len(content)}/{len(content)}")

    def _lying_range(self, content: bytes) -> None:
        start = self._start()
        if not start:
            return self._answer(200, content)
        length = len(content) - start
        return self._answer(206, b"x" * length, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")

    def _nameless_range(self, content: bytes) -> None:
        start = self._start()
        self._answer(206 if start else 200, content[start:])

    def _no_range(self, content: bytes) -> None:
        self._answer(416) if self._start() else self._answer(200, content)

    def _long_range(self, content: bytes) -> None:
        start = self._start()
        more = content[start:] + b"x" * bool(start)
        self._answer(
            206 if start else 200, more, **({"Content_Range": f"bytes {start}-{start}/{start}"} if start else {})
        )

    def _redirect(self, content: bytes) -> None:
        self._answer(302, Location=f"{self.server.url}{self.path}?again")

    def _permanent(self, content: bytes) -> None:
        self._answer(308, Location="http://127.0.0.1:1/elsewhere")

    def _missing(self, content: bytes) -> None:
        self._answer(404, b"<html>not here</html>")

    def _forbidden(self, content: bytes) -> None:
        self._answer(403)

    def _broken(self, content: bytes) -> None:
        self._answer(500, b"<html>oh no</html>")

    def _empty(self, content: bytes) -> None:
        self._answer(200)

    def _no_content(self, content: bytes) -> None:
        self._answer(204)

    def _partial(self, content: bytes) -> None:
        self._answer(206, content[: len(content) // 2], Content_Range=f"bytes 0-1/{len(content)}")

    def _page(self, content: bytes) -> None:
        self._answer(200, b"<html>Please log in to the network of this hotel</html>")

    def _truncated(self, content: bytes) -> None:
        self._answer(200, content[: len(content) // 2], Content_Length=len(content))

    def _truncated_chunks(self, content: bytes) -> None:
        self.protocol_version = "HTTP/1.1"
        self._answer(200, b"%x\r\n%b" % (len(content), content[:5]), Content_Length=None, Transfer_Encoding="chunked")

    def _endless(self, content: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        while True:  # until the client hangs up
            self.wfile.write(content + b" " * 65536)

    def _longer(self, content: bytes) -> None:
        self._answer(200, content + b"x")

    def _oversized(self, content: bytes) -> None:
        self._answer(200, b" " * 6_000_000)

    def _silent(self, content: bytes) -> None:
        self.server.over.wait(60)

    def _slow_headers(self, content: bytes) -> None:
        self._drip(b"HTTP/1.0 200 OK\r\n" + b"X-Slow: 1\r\n" * 10_000 + b"\r\n" + content)

    def _slow_body(self, content: bytes) -> None:
        self._answer(200, Content_Length=len(content))
        self._drip(content)

    def _slow_gzip(self, content: bytes) -> None:
        compressed = gzip.compress(content)
        self._answer(200, Content_Length=len(compressed), Content_Encoding="gzip")
        self._drip(compressed)

    def _slow_range(self, content: bytes) -> None:
        start = self._start()
        if not start:
            return self._answer(200, content)
        rest = content[start:]
        self._answer(206, Content_Length=len(rest), Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
        return self._drip(rest)

    def _drip(self, content: bytes) -> None:
        """An octet at a time, each well within what a socket waits for."""
        for octet in content:
            if self.server.over.wait(0.01):
                return
            self.wfile.write(bytes([octet]))

    def _gzip(self, content: bytes) -> None:
        self._answer(200, gzip.compress(content), Content_Encoding="gzip")

    def _gzip_bomb(self, content: bytes) -> None:
        self._answer(200, gzip.compress(b" " * 30_000_000), Content_Encoding="gzip")

    def _no_gzip(self, content: bytes) -> None:
        self._answer(200, content, Content_Encoding="gzip")


# --- The scene --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("pki") / "ca", "provider test authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("pki") / "ca", "provider test authority")


@pytest.fixture(scope="module")
def running(pki: Authority) -> Iterator[Server]:
    server = Server(pki)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Trees:
    """A site, its tree after the first release and after the second."""

    site: Site
    first: Path
    second: Path
    at: datetime


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("trees")
    site = Site(folder / "site", datetime.now(UTC))
    at = site.now
    site.block("one.example")
    site.publish()
    shutil.copytree(site.exports, folder / "first")
    site.now += HOUR
    site.block("two.example")
    site.publish()
    return Trees(site, folder / "first", site.exports, at)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(transport, "BACK_OFF", 0)


@pytest.fixture
def server(running: Server, trees: Trees) -> Server:
    running.tree, running.fault = trees.first, ("", "")
    running.seen.clear()
    return running


@pytest.fixture
def provider(server: Server, trees: Trees, pki: Authority, tmp_path: Path) -> Provider:
    made = Provider(tmp_path / "provider", server.url, trees.site.root.read_bytes())
    certificate, key = pki.issue("client")
    made.edit(ca=pki.certificate, client_certificate=certificate, client_key=key)
    return made


def refused(provider: Provider, now: datetime, code: int, match: str = ".") -> BlocklistError:
    kept = provider.kept()
    with pytest.raises(BlocklistError, match=match) as caught:
        provider.pull(now, accept="any")
    assert caught.value.exit_code == code, caught.value
    assert provider.kept() == kept
    assert not list(provider.folder.rglob(".tmp-*"))
    return caught.value


# --- It works ---------------------------------------------------------------------------------------------------------


def test_pull_over_mutual_tls(provider: Provider, server: Server, trees: Trees) -> None:
    assert provider.pull(trees.at, accept="any").changed
    assert "one.example A " in provider.installed()
    assert not provider.pull(trees.at).changed
    server.tree = trees.second
    assert provider.pull(trees.site.now).changed
    assert "two.example A " in provider.installed()


def test_only_new_acts_travel(provider: Provider, server: Server, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    old = provider.accepted()["acts_length"]
    server.tree = trees.second
    server.seen.clear()
    provider.pull(trees.site.now)
    ((_, asked, sent),) = [entry for entry in server.seen if entry[0].endswith(ACTS)]
    assert asked == f"bytes={old}-"
    assert sent == provider.accepted()["acts_length"] - old > 0


def test_exports_do_not_travel_at_all(provider: Provider, server: Server, trees: Trees) -> None:
    """They are rebuilt from the acts, and compared with the digests in the metadata."""
    provider.pull(trees.at, accept="any")
    assert not [path for path, *_ in server.seen if "rpz" in path or "hosts" in path]


@pytest.mark.parametrize(
    "fault", ["ignores_range", "wrong_range", "lying_range", "nameless_range", "no_range", "long_range"]
)
def test_a_server_that_cannot_send_a_part_sends_the_whole(
    provider: Provider, server: Server, trees: Trees, fault: str
) -> None:
    provider.pull(trees.at, accept="any")
    server.tree, server.fault = trees.second, (ACTS, fault)
    server.seen.clear()
    assert provider.pull(trees.site.now).changed
    requests = [entry[1] for entry in server.seen if entry[0].endswith(ACTS)]
    assert len(requests) == 2
    assert requests[0]
    assert not requests[1]
    assert "two.example A " in provider.installed()


DAMAGES = {"cut": lambda old: old[:-10], "other": lambda old: b"x" * len(old), "empty": lambda _: b"", "gone": None}


@pytest.mark.parametrize("damage", DAMAGES)
def test_known_acts_that_were_damaged_are_fetched_again(
    provider: Provider, server: Server, trees: Trees, damage: str
) -> None:
    provider.pull(trees.at, accept="any")
    known, change = provider.acts_path, DAMAGES[damage]
    if change is None:
        known.unlink()
    else:
        known.write_bytes(change(known.read_bytes()))
    server.tree = trees.second
    assert provider.pull(trees.site.now).changed
    assert "two.example A " in provider.installed()
    assert provider.acts_path.stat().st_size == provider.accepted()["acts_length"]


@pytest.mark.parametrize("word", ["timestamp.json", "snapshot.json", "registers", ACTS])
def test_compressed_on_the_way(provider: Provider, server: Server, trees: Trees, word: str) -> None:
    server.fault = (word, "gzip")
    assert provider.pull(trees.at, accept="any").changed


def test_the_environment_has_no_say(
    provider: Provider, stranger: Authority, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`REQUESTS_CA_BUNDLE` silently replaces the trusted authority unless the session is told not to look."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(stranger.certificate))
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert provider.pull(trees.at, accept="any").changed


def test_the_environment_cannot_add_trust(
    provider: Provider, pki: Authority, stranger: Authority, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.certificate))
    provider.edit(ca=stranger.certificate)
    refused(provider, trees.at, 5, "CERTIFICATE_VERIFY_FAILED")


# --- It does not work -------------------------------------------------------------------------------------------------


def test_another_authority(provider: Provider, stranger: Authority, trees: Trees) -> None:
    provider.edit(ca=stranger.certificate)
    refused(provider, trees.at, 5, "CERTIFICATE_VERIFY_FAILED")


def test_the_public_authorities_do_not_know_a_private_one(provider: Provider, trees: Trees) -> None:
    provider.edit(ca=None)
    refused(provider, trees.at, 5, "CERTIFICATE_VERIFY_FAILED")


def test_no_client_certificate(provider: Provider, trees: Trees, server: Server) -> None:
    provider.edit(client_certificate=None, client_key=None)
    refused(provider, trees.at, 5, "does not answer as a publisher")
    assert server.seen == []


def test_a_client_certificate_of_somebody_else(provider: Provider, stranger: Authority, trees: Trees) -> None:
    certificate, key = stranger.issue("client")
    provider.edit(client_certificate=certificate, client_key=key)
    refused(provider, trees.at, 5, "does not answer as a publisher")


def test_another_host(provider: Provider, server: Server, trees: Trees) -> None:
    provider.edit(url=server.url.replace("127.0.0.1", "localhost"))
    refused(provider, trees.at, 5, "does not answer as a publisher")


def test_files_that_are_not_there(provider: Provider, trees: Trees, tmp_path: Path) -> None:
    provider.edit(ca=tmp_path / "missing.pem")
    refused(provider, trees.at, 5, "missing.pem")


def test_a_proxy_is_used_when_the_operator_names_one(provider: Provider, server: Server, trees: Trees) -> None:
    provider.edit(proxy="http://127.0.0.1:1")
    refused(provider, trees.at, 5, "[Pp]roxy")
    assert server.seen == []


def test_nobody_listens(provider: Provider, trees: Trees) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        provider.edit(url=f"https://127.0.0.1:{free.getsockname()[1]}")
        refused(provider, trees.at, 5, "does not answer as a publisher")


def test_nobody_answers(provider: Provider, server: Server, trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", (5, 0.05))
    server.fault = ("timestamp.json", "silent")
    refused(provider, trees.at, 5, "does not answer as a publisher")


@pytest.mark.parametrize("word", ["timestamp.json", f".{LIST}.json", "registers", ACTS])
@pytest.mark.parametrize(
    ("fault", "message"),
    [("slow_headers", "no answer within"), ("slow_body", "too slowly"), ("slow_gzip", "too slowly")],
)
def test_an_answer_that_drips(
    provider: Provider,
    server: Server,
    trees: Trees,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    message: str,
    word: str,
) -> None:
    """Each octet comes in time, and the answer never. Nobody waits for the end of it."""
    provider.pull(trees.at, accept="any")
    (provider.list_state.folder / "register.json").unlink()  # so that it is fetched again
    server.tree, server.fault = trees.second, (word, fault)
    with monkeypatch.context() as changed:
        changed.setattr(transport, "PATIENCE", 0.3)
        refused(provider, trees.site.now, 5, message)
    server.fault = ("", "")
    assert provider.pull(trees.site.now).changed


def test_new_acts_that_drip_are_fetched_as_a_whole(
    provider: Provider, server: Server, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.pull(trees.at, accept="any")
    server.tree, server.fault = trees.second, (ACTS, "slow_range")
    monkeypatch.setattr(transport, "PATIENCE", 0.3)
    assert provider.pull(trees.site.now).changed
    assert "two.example A " in provider.installed()


METADATA_FAULTS = {
    "redirect": 5,
    "permanent": 5,
    "missing": 5,
    "forbidden": 5,
    "broken": 5,
    "no_content": 5,
    "partial": 5,
    "truncated": 5,
    "truncated_chunks": 5,
    "no_gzip": 5,
    "empty": 3,
    "page": 3,
    "endless": 3,
    "oversized": 3,
    "gzip_bomb": 3,
}


@pytest.mark.parametrize("word", ["timestamp.json", "snapshot.json", f".{LIST}.json"])
@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_metadata_that_do_not_arrive(provider: Provider, server: Server, trees: Trees, fault: str, word: str) -> None:
    provider.pull(trees.at, accept="any")
    server.tree, server.fault = trees.second, (word, fault)
    refused(provider, trees.site.now, METADATA_FAULTS[fault])
    server.fault = ("", "")
    assert provider.pull(trees.site.now).changed  # and nothing of it stays


FILE_FAULTS = METADATA_FAULTS | {"longer": 3}


@pytest.mark.parametrize("word", ["registers", ACTS])
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_files_that_do_not_arrive(provider: Provider, server: Server, trees: Trees, fault: str, word: str) -> None:
    server.fault = (word, fault)
    refused(provider, trees.at, FILE_FAULTS[fault])
    server.fault = ("", "")
    assert provider.pull(trees.at, accept="any").changed


@pytest.mark.parametrize("fault", ["truncated", "endless", "broken", "page", "truncated_chunks"])
def test_new_acts_that_do_not_arrive(provider: Provider, server: Server, trees: Trees, fault: str) -> None:
    """The part fails, then the whole fails in the same way."""
    provider.pull(trees.at, accept="any")
    server.tree, server.fault = trees.second, (ACTS, fault)
    refused(provider, trees.site.now, FILE_FAULTS[fault])
    server.fault = ("", "")
    assert provider.pull(trees.site.now).changed


@pytest.mark.parametrize("fault", ["redirect", "permanent", "broken", "endless"])
def test_a_next_root_that_does_not_arrive(
    provider: Provider, server: Server, trees: Trees, fault: str, tmp_path: Path
) -> None:
    """Not found means that there is no newer root; anything else is not taken for that."""
    server.tree = tmp_path / "tree"
    shutil.copytree(trees.first, server.tree)
    (server.tree / "metadata/2.root.json").write_bytes(b"{}")
    server.fault = ("2.root.json", fault)
    refused(provider, trees.at, 3 if fault == "endless" else 5)


# --- A tree on this machine -------------------------------------------------------------------------------------------


def test_a_tree_with_any_path(trees: Trees, tmp_path: Path) -> None:
    tree = tmp_path / "a tree, 100% été"
    shutil.copytree(trees.first, tree)
    provider = Provider(tmp_path / "provider", tree.as_uri(), trees.site.root.read_bytes())
    assert provider.pull(trees.at, accept="any").changed


def test_no_tree(trees: Trees, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "provider", (tmp_path / "none").as_uri(), trees.site.root.read_bytes())
    refused(provider, trees.at, 5, "is not there")


def test_a_folder_where_a_file_is_expected(trees: Trees, tmp_path: Path) -> None:
    shutil.copytree(trees.first, tmp_path / "tree")
    (tmp_path / "tree/metadata/timestamp.json").unlink()
    (tmp_path / "tree/metadata/timestamp.json").mkdir()
    provider = Provider(tmp_path / "provider", (tmp_path / "tree").as_uri(), trees.site.root.read_bytes())
    refused(provider, trees.at, 5, "is not there")


def test_metadata_that_cannot_be_kept(trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(tmp_path / "provider", trees.first.as_uri(), trees.site.root.read_bytes())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuf.ngclient.updater.tempfile.NamedTemporaryFile", full)
    refused(provider, trees.at, 6, "No space left on device")
