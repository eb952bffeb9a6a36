"""Asking a resolver many questions: over UDP with retries, over TCP where an answer is cut, and no faster than told.

A question without an answer stays without one; nothing here turns a lost packet into a verdict.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
from dns.message import Message, QueryMessage

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.client.resolver_check import Question

PORT = 53
TRIES = 3
TIMEOUT = 2.0
"""Seconds to wait for one answer."""

IN_FLIGHT = 128
_SOCKETS = 8
_CATCH_UP = 0.05
"""Seconds of questions that may follow at once after a delay of our own."""
_PAYLOAD = 1232
"""Octets of an answer over UDP that no network cuts into pieces (DNS flag day 2020)."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address and port of a resolver."""

    host: str
    port: int = PORT

    @classmethod
    def read(cls, text: str) -> Server:
        """Read `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`.

        Raises:
            UsageError: It is none of these.
        """
        host, colon, port = text, "", ""
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            colon, port = rest[:1], rest[1:]
            wrong = not bracket or colon not in ("", ":") or (bool(colon) and not port)
        elif text.count(":") == 1:
            host, colon, port = text.partition(":")
            wrong = not port
        else:
            wrong = False
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            wrong, address = True, ""
        if wrong or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
            raise UsageError(
                _("{text!r} is no address of a resolver", text=text[:80]),
                _("for example 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53"),
            )
        return cls(address, int(port) if port else PORT)

    def __str__(self) -> str:
        """The address as one writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask: `rate` questions a second at most (0: as fast as it goes)."""

    rate: int = 200
    tcp: bool = False
    timeout: float = field(default_factory=lambda: TIMEOUT)


def ask(
    server: Server, questions: Sequence[Question], manner: Manner, advance: Callable[[int], object]
) -> list[Message | None]:
    """Ask everything; the answers come in the order of the questions, None where there was none.

    Raises:
        UsageError: This machine has no way to that address.
    """
    try:
        return asyncio.run(_ask(server, questions, manner, advance))
    except OSError as fault:
        raise UsageError(
            _("{server} cannot be asked from here: {fault}", server=server, fault=fault.strerror or fault),
            _("check the address, and that this machine has that kind of network"),
        ) from fault


async def _ask(
    server: Server, questions: Sequence[Question], manner: Manner, advance: Callable[[int], object]
) -> list[Message | None]:
    loop = asyncio.get_running_loop()
    ports = [] if manner.tcp else [await _open(loop, server) for _ in range(_SOCKETS)]
    answers: list[Message | None] = [None] * len(questions)
    left = iter(enumerate(questions))
    pace = Pace(manner.rate)

    async def work(port: _Port | None) -> None:
        for index, question in left:
            answers[index] = await _one(server, port, question, manner, pace)
            advance(1)

    workers = min(IN_FLIGHT, len(questions))
    try:
        await asyncio.gather(*(work(ports[number % _SOCKETS] if ports else None) for number in range(workers)))
    finally:
        for port in ports:
            port.close()
    return answers


class Pace:
    """Lets one question through every 1/rate seconds; only what was missed just now is made up for."""

    def __init__(self, rate: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next: float | None = None

    def claim(self, now: float) -> float:
        """How many seconds after `now` the next question may go."""
        at = now if self._next is None else max(now - _CATCH_UP, self._next)
        self._next = at + self._gap
        return max(0.0, at - now)

    async def wait(self) -> None:
        """Wait for the next place."""
        seconds = self.claim(asyncio.get_running_loop().time())
        # The loop's clock is no finer than this; shorter waits would only cost time.
        if seconds > 0.001:
            await asyncio.sleep(seconds)


async def _one(server: Server, port: _Port | None, question: Question, manner: Manner, pace: Pace) -> Message | None:
    for _try in range(TRIES):
        await pace.wait()
        query = dns.message.make_query(question.name, question.type, use_edns=0, payload=_PAYLOAD)
        answer = await port.ask(query, manner.timeout) if port else None
        cut = answer is not None and bool(answer.flags & dns.flags.TC)
        if port is None or cut:
            answer = await _by_tcp(server, query, manner.timeout)
        if answer is not None:
            return answer
    return None


async def _by_tcp(server: Server, query: QueryMessage, timeout: float) -> Message | None:
    # What a hostile server sends makes dnspython raise errors of many kinds, and none of them is an answer.
    with suppress(dns.exception.DNSException, OSError, EOFError, ValueError, TimeoutError):
        return await dns.asyncquery.tcp(query, server.host, timeout, server.port)
    return None


class _Port(asyncio.DatagramProtocol):
    """One socket; it believes what comes from the server with the id and the question of something it asked."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[QueryMessage, asyncio.Future[Message | None]]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def ask(self, query: QueryMessage, timeout: float) -> Message | None:
        while query.id in self._waiting:
            query.id = secrets.randbelow(65536)
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._waiting[query.id] = (query, future)
        try:
            if self._transport is not None:
                self._transport.sendto(query.to_wire())
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return None
        finally:
            del self._waiting[query.id]

    def datagram_received(self, data: bytes, addr: object) -> None:
        query, future = self._waiting.get(int.from_bytes(data[:2]), (None, None))
        if query is None or future is None or future.done():
            return
        try:
            answer = dns.message.from_wire(data, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            # Somebody else's, or broken: the right answer may still come.
            return
        if query.is_response(answer):
            future.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        """Nothing listens there (ICMP): what is waiting need not wait longer, and is asked again."""
        for _query, future in self._waiting.values():
            if not future.done():
                future.set_result(None)


async def _open(loop: asyncio.AbstractEventLoop, server: Server) -> _Port:
    _transport, port = await loop.create_datagram_endpoint(_Port, remote_addr=(server.host, server.port))
    return port
