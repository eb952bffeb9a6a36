"""A client that asks a resolver steadily, while something else happens to the resolver."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dns.message

RATE = 500
"""Questions a second."""
AGAIN_AFTER, TRIES = 0.5, 6
"""Seconds until a question without an answer is asked again, and how often it is asked at most."""


@dataclass(slots=True)
class _Asked:
    name: str
    wire: bytes
    at: float
    tries: int = 1


class Load:
    """Asks for each name in turn while it is used as a context, and takes what is in an answer for its meaning.

    Attributes:
        seen: How often each name had each meaning; "" is an answer that means nothing that was expected.
        last: The latest meaning of each name.
        asked: Questions, each counted once.
        again: Packets that were sent again.
        lost: Questions that had no answer in the end.
    """

    def __init__(self, port: int, names: Sequence[str], meanings: Mapping[bytes, str]) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.last: dict[str, str] = {}
        self.asked = self.again = self.lost = 0
        self._meanings = meanings
        self._queries = [(name, dns.message.make_query(name, "A").to_wire()) for name in names]
        self._open: dict[int, _Asked] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more, and wait for the answers that are due."""
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        due = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while self._open or not self._ending.is_set():
                now = time.monotonic()
                while now >= due and not self._ending.is_set():
                    due += 1 / RATE
                    self._ask(now)
                self._ask_again(now)
                if selector.select(max(due - time.monotonic(), 0) if not self._ending.is_set() else 0.05):
                    self._receive()

    def _ask(self, now: float) -> None:
        name, wire = self._queries[self.asked % len(self._queries)]
        number = self.asked % 65536
        self.asked += 1
        self._open[number] = _Asked(name, number.to_bytes(2, "big") + wire[2:], now)
        self._send(self._open[number].wire)

    def _ask_again(self, now: float) -> None:
        for number, asked in list(self._open.items()):
            if now < asked.at + AGAIN_AFTER:
                return  # the others were asked later
            del self._open[number]
            if asked.tries == TRIES:
                self.lost += 1
                continue
            self.again += 1
            asked.at, asked.tries = now, asked.tries + 1
            self._open[number] = asked
            self._send(asked.wire)

    def _send(self, wire: bytes) -> None:
        try:
            self._socket.send(wire)
        except OSError:  # nobody listens at this moment; it is asked again
            return

    def _receive(self) -> None:
        while True:
            try:
                wire = self._socket.recv(4096)
            except OSError:  # nothing more, or nobody listened
                return
            asked = self._open.pop(int.from_bytes(wire[:2], "big"), None)
            if asked is not None:
                meaning = next((meaning for mark, meaning in self._meanings.items() if mark in wire), "")
                self.seen[asked.name, meaning] += 1
                self.last[asked.name] = meaning
