"""A resolver that answers whatever a test says."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from blocklist.client.resolver_query import Server

Handler = Callable[[dns.message.Message, bool], list[bytes]]


def pair(host: str, family: socket.AddressFamily) -> tuple[socket.socket, socket.socket]:
    """Two sockets on one port, for UDP and for TCP; another program may have one of the two."""
    while True:
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((host, 0))
        try:
            return udp, socket.create_server((host, udp.getsockname()[1]), family=family)
        except OSError:
            udp.close()


class Fake:
    """A resolver that answers as `handler` says: messages for one question, over UDP or TCP."""

    def __init__(self, handler: Handler, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.handler = handler
        self.seen: list[tuple[str, bool]] = []
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self._udp, self._tcp = pair(host, family)
        self.server = Server(host, self._udp.getsockname()[1])
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.send(b".")
        self._thread.join()
        for sock in (self._udp, self._tcp, self._stop, self._stopped):
            sock.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._stopped):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        return
                    self._one_udp() if key.fileobj is self._udp else self._one_tcp()

    def _one_udp(self) -> None:
        wire, address = self._udp.recvfrom(4096)
        for answer in self._answers(wire, False):
            self._udp.sendto(answer, address)

    def _one_tcp(self) -> None:
        peer, _ = self._tcp.accept()
        with peer:
            wire = peer.recv(4096)
            for answer in self._answers(wire[2:], True):
                peer.sendall(len(answer).to_bytes(2) + answer)

    def _answers(self, wire: bytes, tcp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        self.seen.append((query.question[0].name.to_text(True), tcp))
        return self.handler(query, tcp)


def landing(query: dns.message.Message, address: str = "192.0.2.1") -> dns.message.Message:
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return response
