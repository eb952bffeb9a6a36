"""Bytes from a publisher: over HTTPS, or from a published tree on this machine. Nothing here knows what they mean.

Everything is bounded: the time until an answer begins, the speed at which it goes on, the tries, and all of that
together. How many bytes an answer may have is up to whoever reads it, since only that one knows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from urllib.parse import unquote, urlsplit

from blocklist import __version__
from blocklist.base.errors import BlocklistError, UnreachableError
from blocklist.base.i18n import _, later, plain

if TYPE_CHECKING:
    import requests

    from blocklist.client.subscription import Subscription

TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for the next bytes."""

PATIENCE = 60.0
"""Seconds until an answer has begun, tries and all; and what a slow one gets beside the time that its bytes take."""

SLOWEST = 10_000
"""Octets a second; who sends less for longer than `PATIENCE` does not want to be read to the end."""

TRIES = 3
BACK_OFF = 0.5
"""How often a failed connection or an answer 5xx is tried again; and seconds between the tries, doubled each time."""

T = TypeVar("T")
CHUNK = 256 * 1024
_CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""The header that asks whether a file has changed, by the mark that is known of it (RFC 9110, section 13.1)."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/\d{1,18}", re.ASCII)
KEEP = later("the list that is installed stays; tell the office if this goes on")


class TransportError(UnreachableError):
    """No usable answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not the fault of the network: its status, what identifies its content, and its content."""

    status: int
    marks: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))


class Deadline:
    """When a pull gives up on what it fetches and verifies, whatever a server or the acts make of it.

    Args:
        seconds: From now on.
    """

    def __init__(self, seconds: int) -> None:
        self.at = time.monotonic() + seconds
        self._seconds = seconds

    def require(self) -> None:
        """Go on, unless it has passed.

        Raises:
            TransportError: It has.
        """
        if time.monotonic() >= self.at:
            raise TransportError(
                _("the pull was not done after {seconds} seconds", seconds=self._seconds),
                _("the list that is installed stays; on a slow line, give 'deadline' in the subscription more time"),
            )


class Transport(Protocol):
    """A way to one publisher."""

    def get(self, url: str, offset: int = 0, marks: Mapping[str, str] | None = None) -> Answer:
        """The file at `url`.

        Args:
            url: Below the publisher's address.
            offset: Ask for what follows so many octets; the answer has status 206, or is the whole.
            marks: Those of the answer that is known; the status is 304 when the file is still that one.

        Raises:
            TransportError: There is no answer; reading its chunks raises it too.
        """

    def close(self) -> None:
        """Leave nothing open."""


def transport(subscription: Subscription, deadline: Deadline) -> Transport:
    """The way to the publisher of a subscription, on which nothing is waited for after the deadline."""
    return HttpsTransport(subscription, deadline) if subscription.url.startswith("https://") else FileTransport()


class HttpsTransport:
    """HTTPS through `requests`; the environment is not consulted, so no variable can replace the trusted CA."""

    def __init__(self, subscription: Subscription, deadline: Deadline) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        class Session(requests.Session):
            def get_redirect_target(self, _answer: requests.Response) -> None:
                """Nowhere; `requests` would read the whole body of a redirection, even of one that is not followed."""

        # What was asked may have been done, and what was half read is not started anew. An answer 5xx is tried again
        # in `_begun`: urllib3 would read it to its end first.
        again = Retry(total=None, connect=TRIES, read=0, status=0, redirect=0, other=0, backoff_factor=BACK_OFF)
        self._session = Session()
        self._session.trust_env = False
        self._session.mount("https://", HTTPAdapter(max_retries=again))
        self._session.verify = str(subscription.ca) if subscription.ca else True
        if subscription.client_certificate and subscription.client_key:
            self._session.cert = (str(subscription.client_certificate), str(subscription.client_key))
        if subscription.proxy:
            self._session.proxies = {"https": subscription.proxy}
        self._session.headers["User-Agent"] = f"blocklist/{__version__}"
        self._response: requests.Response | None = None
        self._deadline = deadline

    def close(self) -> None:
        """Close every connection, also that of an answer which nobody wanted to read to its end."""
        self._drop()
        self._session.close()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def get(self, url: str, offset: int = 0, marks: Mapping[str, str] | None = None) -> Answer:
        """See `Transport`."""
        self._drop()
        self._deadline.require()
        headers = {_CONDITIONS[name]: value for name, value in (marks or {}).items() if name in _CONDITIONS}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
        started = time.monotonic()
        response = self._begun(url, headers, started)
        if response.status_code == 206 and not _starts_at(response.headers.get("Content-Range", ""), offset):
            raise TransportError(_("{url} answered with another range", url=url), _(KEEP))
        known = {name: value for name in ("ETag", "Last-Modified") if (value := response.headers.get(name))}
        chunks = self._body(response, started)
        if response.status_code not in (200, 206):
            # Nobody reads what a refusal says; read to its end, the connection serves the next request.
            next(chunks, b"")
            next(chunks, b"")
        return Answer(response.status_code, known, chunks)

    def _begun(self, url: str, headers: Mapping[str, str], started: float) -> requests.Response:
        """The answer up to its headers; one of a server that is broken is asked for again."""
        for turn in range(TRIES + 1):
            if turn > 1:  # the first time at once, as for a connection that failed
                time.sleep(BACK_OFF * 2 ** (turn - 1))
            self._drop()
            self._deadline.require()
            late = TimeoutError(_("no answer within {seconds} seconds", seconds=PATIENCE))
            response = self._response = _within(
                min(started + PATIENCE, self._deadline.at),
                late,
                url,
                partial(self._ask, url, headers),
                lambda answer: answer.close(),
            )
            if response.status_code < 500:
                break
        return response

    def _ask(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        return self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)

    def _body(self, response: requests.Response, started: float) -> Iterator[bytes]:
        received, read, slow = 0, _reader(response), TimeoutError(_("it sends too slowly"))
        # Not iter_content: it waits until a chunk is full, however slowly that fills. And not in this thread: there is
        # much that a server can send without end of which no octet ever comes out.
        while chunk := _within(
            min(started + PATIENCE + received / SLOWEST, self._deadline.at), slow, response.url, read
        ):
            received += len(chunk)
            self._deadline.require()
            yield chunk


def _within(
    deadline: float, late: Exception, url: str, call: Callable[[], T], undo: Callable[[T], object] = lambda _: None
) -> T:
    """What a call gives by the deadline; what it gives later is undone.

    Raises:
        TransportError: It gives nothing by then, or fails.
    """
    import threading
    from queue import Empty, SimpleQueue

    done: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()
    given_up = threading.Event()

    def run() -> None:
        try:
            made = call()
        except Exception as fault:  # what two libraries and ssl raise here has no common name
            done.put((None, fault))
        else:
            done.put((made, None))
            if given_up.is_set():
                undo(made)

    threading.Thread(target=run, daemon=True).start()
    try:
        made, failure = done.get(timeout=max(deadline - time.monotonic(), 0))
    except Empty as fault:
        given_up.set()
        raise _failed(url, late) from fault
    if failure is not None:
        raise _failed(url, failure) from failure
    return cast(T, made)


def _reader(response: requests.Response) -> Callable[[], bytes]:
    return lambda: bytes(response.raw.read1(CHUNK, decode_content=True))


def _starts_at(content_range: str, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(content_range)
    return match is not None and int(match[1]) == offset


class FileTransport:
    """A published tree on a file system of this machine."""

    def close(self) -> None:
        """Nothing is open between two files."""

    def get(self, url: str, offset: int = 0, marks: Mapping[str, str] | None = None) -> Answer:
        """See `Transport`."""
        path = Path(unquote(urlsplit(url).path))
        try:
            if not path.is_file():
                return Answer(404)
        except OSError as fault:
            raise _failed(url, fault) from fault
        status = path.stat()
        known = {"ETag": f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"}
        if marks == known:
            return Answer(304)
        return Answer(206 if offset else 200, known, _read(path, offset))


def _read(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as fault:
        raise _failed(str(path), fault) from fault


def status_text(url: str, status: int) -> str:
    """What is wrong with an answer of another status than was hoped for."""
    url = plain(url)
    if status == 404:
        return _("{url} is not there", url=url)
    return _("{url} answered {status}", url=url, status=status)


def unusable(base: str, url: str, status: int) -> TransportError:
    """The same as an error of the publisher at `base`."""
    fault = status_text(url, status)
    return TransportError(_("{url} does not answer as a publisher: {fault}", url=base, fault=fault), _(KEEP))


def _failed(url: str, fault: BaseException) -> BlocklistError:
    return TransportError(
        _("{url} does not answer as a publisher: {fault}", url=plain(url), fault=plain(_innermost(fault))), _(KEEP)
    )


def _innermost(fault: BaseException) -> str:
    """What happened at last, in the words of the system: libraries wrap it many times."""
    proxy = type(fault).__name__ == "ProxyError"
    while True:
        wrapped = [fault.__cause__, getattr(fault, "reason", None), *fault.args[:1], fault.__context__]
        inner = next((entry for entry in wrapped if isinstance(entry, BaseException)), None)
        if inner is None:
            words = (getattr(fault, "strerror", None) or str(fault) or type(fault).__name__)[:200]
            return _("at the proxy: {fault}", fault=words) if proxy else words
        fault = inner
