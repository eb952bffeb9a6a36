"""The quick question of an unchanged pull: whatever is not a plain answer is an error, and costs a pull in full."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from nginx import Proxy
from pki import Authority

from blocklist.client import knock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SAME = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"


class Server:
    """Lets in who has a certificate of its authority, and answers each request with the next of its answers."""

    def __init__(self, pki: Authority, *answers: bytes | Callable[[ssl.SSLSocket], object]) -> None:
        self.asked: list[bytes] = []
        self._answers = answers
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pki.issue("server"))
        self._context.load_verify_locations(pki.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            plain, _ = self._listening.accept()
            with self._context.wrap_socket(plain, server_side=True) as connection:
                for answer in self._answers:
                    self.asked.append(connection.recv(65536))
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        answer(connection)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("pki") / "ca", "providers")


@pytest.fixture(scope="module")
def way(pki: Authority) -> dict[str, str]:
    certificate, key = pki.issue("isp-one")
    return {"ca": str(pki.certificate), "certificate": str(certificate), "key": str(key), "proxy": ""}


def ask(
    port: int, way: dict[str, str], marks: Mapping[str, str] | None = None, host: str = "127.0.0.1", path: str = "/a"
) -> Iterator[int]:
    url = f"https://{host}:{port}"
    return knock.statuses([(url + path, marks or {"ETag": '"1"'}), (url + "/b", {})], **way)


def test_two_questions_over_one_connection(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME, GONE)) as server:
        marks = {"ETag": 'W/"1"', "Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT", "X": "y"}
        assert list(ask(server.port, way, marks)) == [304, 404]
    first, second = (request.decode().split("\r\n") for request in server.asked)
    assert (first[0], second[0]) == ("GET /a HTTP/1.1", "GET /b HTTP/1.1")
    assert f"Host: 127.0.0.1:{server.port}" in first
    assert {'If-None-Match: W/"1"', "If-Modified-Since: Tue, 24 Nov 2026 12:00:00 GMT"} < set(first)
    assert not [line for line in (*first, *second) if "X:" in line]
    assert not [line for line in second if line.startswith("If-")]


def test_an_answer_octet_by_octet(pki: Authority, way: dict[str, str]) -> None:
    def drip(connection: ssl.SSLSocket) -> None:
        for octet in SAME:
            connection.sendall(bytes([octet]))

    with closing(Server(pki, drip, GONE)) as server:
        assert list(ask(server.port, way)) == [304, 404]


NO_ANSWER = {
    "nothing": b"",
    "not HTTP": b"+OK ready\r\n\r\n",
    "HTTP/2": b"HTTP/2 304 Not Modified\r\n\r\n",
    "no status": b"HTTP/1.1 Not Modified\r\n\r\n",
    "a status of letters": b"HTTP/1.1 3o4 Not Modified\r\n\r\n",
    "a negative status": b"HTTP/1.1 -30 Not Modified\r\n\r\n",
    "a status in another script": "HTTP/1.1 ٣٠٤ \r\n\r\n".encode(),
    "half": SAME[:-3],
    "a long head": SAME[:-2] + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_what_is_no_answer(pki: Authority, way: dict[str, str], name: str) -> None:
    with closing(Server(pki, NO_ANSWER[name])) as server, pytest.raises((ValueError, OSError)):
        next(ask(server.port, way))


def test_after_content_there_is_no_second_answer(pki: Authority, way: dict[str, str]) -> None:
    """Its content is in the way: an answer that was hidden in it is not taken for the second one."""
    long = OK.replace(b"2\r\n\r\n{}", b"60\r\n\r\n")
    hidden = [lambda connection: connection.sendall(long), GONE[:24] + GONE]
    with closing(Server(pki, *hidden)) as server:
        answers = ask(server.port, way)
        assert next(answers) == 200


@pytest.mark.parametrize("how", ["silent", "drip"])
def test_who_does_not_answer_in_time_is_left(
    pki: Authority, way: dict[str, str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(knock, "PATIENCE", 0.5)
    over = threading.Event()

    def slow(connection: ssl.SSLSocket) -> None:
        while not over.wait(0.05):
            if how == "drip":
                connection.sendall(b"x")

    with closing(Server(pki, slow)) as server:
        with pytest.raises(OSError, match="timed out"):
            next(ask(server.port, way))
        over.set()


def test_a_server_of_another_authority(pki: Authority, way: dict[str, str], tmp_path: Path) -> None:
    other = Authority.make(tmp_path / "ca", "providers")
    with closing(Server(pki, SAME)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            next(ask(server.port, way | {"ca": str(other.certificate)}))
        assert server.asked == []


def test_a_server_of_another_name(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME)) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            next(ask(server.port, way, host="localhost"))
        assert server.asked == []


def test_no_authority_is_what_requests_trusts(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME)) as server, pytest.raises(ssl.SSLCertVerificationError):
        next(ask(server.port, way | {"ca": ""}))


def test_nobody_is_asked_for_the_passphrase_of_a_key(pki: Authority, way: dict[str, str], tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(way["key"]).read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = tmp_path / "locked.key"
    locked.write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    with closing(Server(pki, SAME)) as server, pytest.raises(ValueError, match="encrypted"):
        next(ask(server.port, way | {"key": str(locked)}))


@pytest.mark.parametrize(
    "marks", [{"ETag": "a\r\nX-Evil: 1"}, {"ETag": "\x00"}, {"Last-Modified": "é"}, {"ETag": "\ud800"}]
)
def test_a_mark_that_is_no_header(pki: Authority, way: dict[str, str], marks: dict[str, str]) -> None:
    with closing(Server(pki, SAME)) as server:
        with pytest.raises(ValueError, match="not text"):
            next(ask(server.port, way, marks))
        assert not any(server.asked)


@pytest.mark.parametrize("path", ["/a b\r\nX: 1", "/é"])
def test_a_path_that_is_none(pki: Authority, way: dict[str, str], path: str) -> None:
    with closing(Server(pki, SAME, GONE)) as server, suppress(ValueError):
        next(ask(server.port, way, path=path))
    assert not [request for request in server.asked if b"\nX: 1" in request]


def test_through_a_proxy(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME, GONE)) as server, Proxy(server.port) as proxy:
        assert list(ask(server.port, way | {"proxy": proxy.url})) == [304, 404]
        assert proxy.asked == [f"127.0.0.1:{server.port}"]


def test_a_proxy_that_does_not_lead_there(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME)) as server, Proxy(server.port) as proxy:
        proxy.refuse = 403
        with pytest.raises(ValueError, match="proxy"):
            next(ask(server.port, way | {"proxy": proxy.url}))
        assert server.asked == []


def test_a_proxy_in_tls_is_left_to_requests(pki: Authority, way: dict[str, str]) -> None:
    with closing(Server(pki, SAME)) as server, pytest.raises(ValueError, match="TLS"):
        next(ask(server.port, way | {"proxy": f"https://127.0.0.1:{server.port}"}))


def test_nobody_is_there(way: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            next(ask(free.getsockname()[1], way))
