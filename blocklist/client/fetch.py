"""Getting bytes from the publisher: bounded, without redirects, over HTTPS or from a local tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import requests
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.ngclient import FetcherInterface, Updater

from blocklist import __version__, files
from blocklist.errors import StaleError, TargetError, UnreachableError, UsageError, VerificationError
from blocklist.messages import _, later

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from blocklist.client.subscription import Subscription

TIMEOUT = (10, 30)
"""Seconds to connect, and to wait for the next bytes."""

CHUNK = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/\d+")


class HttpsFetcher(FetcherInterface):
    """HTTPS through `requests`; the environment is not consulted, so no variable can replace the trusted CA."""

    def __init__(self, subscription: Subscription) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(subscription.ca) if subscription.ca else True
        if subscription.client_certificate and subscription.client_key:
            self._session.cert = (str(subscription.client_certificate), str(subscription.client_key))
        if subscription.proxy:
            self._session.proxies = {"https": subscription.proxy}
        self._session.headers["User-Agent"] = f"blocklist/{__version__}"
        self._response: requests.Response | None = None

    def close(self) -> None:
        """Close every connection, also that of an answer which nobody wanted to read to its end."""
        self._drop()
        self._session.close()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.fetch_from(url, 0)

    def fetch_from(self, url: str, offset: int) -> Iterator[bytes]:
        """The file from `offset` on.

        Raises:
            DownloadHTTPError: The answer is not the file, or not that part of it.
        """
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"} if offset else {}
        response = self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if response.status_code != (206 if offset else 200):
            response.close()
            raise DownloadHTTPError(
                _("{url} answered {status}", url=url, status=response.status_code), response.status_code
            )
        if offset and not _starts_at(response.headers.get("Content-Range", ""), offset):
            response.close()
            raise DownloadHTTPError(_("{url} answered with another range", url=url), response.status_code)
        self._drop()
        self._response = response
        return _body(response)


def _starts_at(content_range: str, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(content_range)
    return match is not None and int(match[1]) == offset


def _body(response: requests.Response) -> Iterator[bytes]:
    # What requests raises is an OSError too, and must not look like one of the disk that the bytes go to.
    try:
        with response:
            yield from response.iter_content(CHUNK)
    except requests.RequestException as fault:
        raise DownloadError(_("{url} broke off", url=response.url)) from fault


class FileFetcher(FetcherInterface):
    """A published tree on a file system of this machine."""

    def close(self) -> None:
        """Nothing is open between two files."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.fetch_from(url, 0)

    def fetch_from(self, url: str, offset: int) -> Iterator[bytes]:
        """The file from `offset` on.

        Raises:
            DownloadHTTPError: It is not there.
        """
        path = Path(unquote(urlsplit(url).path))
        if not path.is_file():
            raise DownloadHTTPError(_("{path} is not there", path=path), 404)
        return _read(path, offset)


def _read(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as fault:
        raise DownloadError(_("{path} cannot be read", path=path)) from fault


class Publisher:
    """The published tree of one subscription, read through TUF."""

    def __init__(self, subscription: Subscription, root: bytes) -> None:
        self._url = subscription.url.rstrip("/")
        https = self._url.startswith("https://")
        self._fetcher: HttpsFetcher | FileFetcher = HttpsFetcher(subscription) if https else FileFetcher()
        metadata = subscription.state / "metadata"
        files.make_folder(metadata, 0o700)
        with _translated(self._url):
            self._updater = Updater(str(metadata), f"{self._url}/metadata", fetcher=self._fetcher, bootstrap=root)

    def close(self) -> None:
        """Close what is open to the publisher."""
        self._fetcher.close()

    def refresh(self) -> None:
        """Update the TUF metadata.

        Raises:
            StaleError: The newest metadata have expired.
            UnreachableError: The publisher does not answer.
            VerificationError: The metadata are not genuine, or older than what was seen before.
        """
        with _translated(self._url):
            self._updater.refresh()

    def target(self, path: str) -> TargetFile:
        """What the metadata say about one file.

        Raises:
            UsageError: They do not name it.
        """
        target = self.find(path)
        if target is None:
            raise UsageError(
                _("{url} publishes no {path}", url=self._url, path=path),
                _("check the address and the list in the subscription"),
            )
        return target

    def find(self, path: str) -> TargetFile | None:
        """What the metadata say about one file, None when they do not name it."""
        with _translated(self._url):
            return self._updater.get_targetinfo(path)

    def release_number(self, list_id: str) -> int:
        """The version of the list's role, which is the release's number."""
        # ngclient has no public way to a delegated role's version; `target` has loaded and verified it.
        role = self._updater._trusted_set[list_id]
        return int(role.version)

    def content(self, target: TargetFile, limit: int) -> bytes:
        """A small file, verified.

        Raises:
            VerificationError: It is not the file that the metadata name.
            UnreachableError: It could not be fetched.
        """
        if target.length > limit:
            raise VerificationError(
                _("{path} has {length} bytes, more than {most}", path=target.path, length=target.length, most=limit)
            )
        with _translated(self._url):
            content = b"".join(self._bounded(self._fetcher.fetch(self._address(target)), target.length))
            target.verify_length_and_hashes(content)
        return content

    def download(self, target: TargetFile, path: Path, known: Path, known_length: int) -> None:
        """Fetch a file that only grows to `path`: what `known` holds already is not fetched again.

        Raises:
            VerificationError: It is not the file that the metadata name.
            UnreachableError: It could not be fetched.
            TargetError: It could not be written.
        """
        with _translated(self._url):
            if 0 < known_length <= target.length and self._continue(target, path, known, known_length):
                return
            written = self._write(path, self._bounded(self._fetcher.fetch(self._address(target)), target.length))
        if written != (target.hashes.get("sha256"), target.length):
            raise VerificationError(
                _("{path} at {url} is not the file that was signed", path=target.path, url=self._url), _(_KEEP)
            )

    def _continue(self, target: TargetFile, path: Path, known: Path, known_length: int) -> bool:
        """Append to what is known; any mismatch means that the whole has to be fetched."""
        rest = target.length - known_length
        try:
            news = self._fetcher.fetch_from(self._address(target), known_length) if rest else iter(())
            written = self._write(path, _joined(known, known_length, self._bounded(news, rest)))
        except (DownloadError, requests.RequestException):
            return False
        return written == (target.hashes.get("sha256"), target.length)

    @staticmethod
    def _write(path: Path, chunks: Iterator[bytes]) -> files.Written:
        with files.written(path):
            path.unlink(missing_ok=True)
            return files.write_chunks(path, chunks)

    def _address(self, target: TargetFile) -> str:
        return f"{self._url}/targets/{target.get_prefixed_paths()[0]}"

    @staticmethod
    def _bounded(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
        left = length
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise DownloadLengthMismatchError(_("the answer is longer than {length} bytes", length=length))
            yield chunk


def _joined(known: Path, length: int, news: Iterator[bytes]) -> Iterator[bytes]:
    with known.open("rb") as stream:
        left = length
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    yield from news


def _innermost(fault: BaseException) -> str:
    """What happened at last, in the words of the system: libraries wrap it many times."""
    proxy = isinstance(fault.__cause__, requests.exceptions.ProxyError)
    while True:
        wrapped = [fault.__cause__, getattr(fault, "reason", None), *fault.args[:1], fault.__context__]
        inner = next((entry for entry in wrapped if isinstance(entry, BaseException)), None)
        if inner is None:
            words = (getattr(fault, "strerror", None) or str(fault) or type(fault).__name__)[:200]
            return _("at the proxy: {fault}", fault=words) if proxy else words
        fault = inner


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what tuf and requests raise into the tree of errors whose exit codes operators know."""
    try:
        yield
    except ExpiredMetadataError as fault:
        raise StaleError(
            _("the newest release at {url} is no longer valid: {fault}", url=url, fault=fault), _(_KEEP)
        ) from fault
    except DownloadLengthMismatchError as fault:
        raise VerificationError(
            _("{url} sends more than was signed: {fault}", url=url, fault=fault), _(_KEEP)
        ) from fault
    except (DownloadError, requests.RequestException) as fault:
        raise UnreachableError(
            _("{url} does not answer as a publisher: {fault}", url=url, fault=_innermost(fault)), _(_KEEP)
        ) from fault
    except (RepositoryError, ValueError) as fault:
        raise VerificationError(
            _("{url} offers metadata that are not genuine: {fault}", url=url, fault=fault), _(_KEEP)
        ) from fault
    except OSError as fault:
        raise TargetError(
            _("the metadata could not be kept: {fault}", fault=fault.strerror or fault), _(_KEEP)
        ) from fault


_KEEP = later("the list that is installed stays; tell the office if this goes on")
