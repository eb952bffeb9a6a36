"""The statuses of answers over HTTPS, and nothing else of them: whether a file is there, and whether it has changed.

Asking with a library takes several times as long as the question: most of it loads the library. So the few octets of a
request are written here, and of an answer the first line is read. Whatever is not as plain as that is an error, upon
which everything is asked again with `requests` (`blocklist.client.transport`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from blocklist import __version__

if TYPE_CHECKING:
    from socket import socket

PATIENCE = 10.0
"""Seconds until an address has let us in, and for everything that follows."""

_MAX_HEAD = 16 * 1024
_END = b"\r\n\r\n"


def conditions(marks: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request for a file that has changed (RFC 9110, section 13.1)."""
    names = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
    return {names[name]: value for name, value in marks.items() if name in names}


def statuses(
    questions: Sequence[tuple[str, Mapping[str, str]]], *, ca: str, certificate: str, key: str, proxy: str
) -> Iterator[int]:
    """The status of each answer; after one with content (any but 304) the next cannot be had.

    Args:
        questions: URLs of one server, each with the marks of the answer that is known.
        ca: A file of authorities; "" is what `requests` trusts.
        certificate: Ours, or "".
        key: That of our certificate.
        proxy: The URL of a proxy, or "".

    Raises:
        OSError: There is no answer in time, or none over TLS that can be trusted.
        ValueError: It is none of HTTP/1, or a question cannot be asked like this.
    """
    import socket
    import ssl

    server, before = urlsplit(questions[0][0]), urlsplit(proxy)
    # As bytes: for text, even ASCII, Python would load what encodes international names.
    name, port = str(server.hostname).encode("ascii"), server.port or 443
    if before.scheme not in ("", "http"):
        raise ValueError("a proxy that is spoken to in TLS")
    with ExitStack() as opened:
        first = (str(before.hostname).encode("ascii"), before.port or 80) if proxy else (name, port)
        plain = opened.enter_context(socket.create_connection(first, PATIENCE))  # type: ignore[arg-type]
        deadline = time.monotonic() + PATIENCE
        if proxy:
            at = f"[{server.hostname}]:{port}" if b":" in name else f"{server.hostname}:{port}"
            if _asked(plain, f"CONNECT {at}", {"Host": at}, deadline) != 200:
                raise ValueError("the proxy does not lead there")
        context = ssl.create_default_context(cafile=ca or _authorities())
        if certificate:
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        plain.settimeout(_left(deadline))
        connection = opened.enter_context(context.wrap_socket(plain, server_hostname=name))
        for url, marks in questions:
            parts = urlsplit(url)
            yield _asked(connection, f"GET {parts.path}", {"Host": parts.netloc, **conditions(marks)}, deadline)


def _left(deadline: float) -> float:
    """Seconds; a time-out of 0 would mean none at all."""
    return max(deadline - time.monotonic(), 0.001)


def _no_passphrase() -> str:
    """For an encrypted key: OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _authorities() -> str:
    """What `requests` trusts too."""
    import certifi

    return certifi.where()


def _asked(connection: socket, what: str, headers: Mapping[str, str], deadline: float) -> int:
    lines = [f"{name}: {value}" for name, value in {**headers, "User-Agent": f"blocklist/{__version__}"}.items()]
    head = [f"{what} HTTP/1.1", *lines]
    if not all(line.isascii() and line.isprintable() for line in head):
        raise ValueError("not text that can be sent")
    connection.sendall("\r\n".join(head).encode() + _END)
    answer = b""
    while _END not in answer:
        connection.settimeout(_left(deadline))
        chunk = connection.recv(_MAX_HEAD)
        answer += chunk
        if not chunk or len(answer) > _MAX_HEAD:
            raise ValueError("an answer without an end")
    version, status = answer[:12].split(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not status.isdigit():
        raise ValueError("not HTTP/1")
    return int(status)
