"""An intruder on the way, or on the web server: request by request it answers what it likes, without any key.

Most of it happens in memory, where a test sees every request; what only a socket can do is at the end, on loopback.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from kit.fixed import HOUR, LIST
from kit.hostile import Scene
from kit.memory import (
    URL,
    Asked,
    Memory,
    MemoryStage,
    Reply,
    body,
    broken_off,
    drip,
    endless,
    honest,
    status,
    tag,
    tuf_clock,
)
from kit.provider import Provider

from blocklist.base.errors import BlocklistError, StaleError, UnreachableError
from blocklist.client import transport
from blocklist.client.transport import Answer, Deadline, HttpsTransport, TransportError
from blocklist.release.manifest import ACTS

MINUTE = timedelta(minutes=1)
PIN = f".{LIST}.json"


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, memory: Memory) -> MemoryStage:
    made = MemoryStage(scene, tmp_path, memory)
    memory.honest()
    return made


@pytest.fixture
def news(stage: MemoryStage) -> MemoryStage:
    """The publisher shows the second release, which the provider has not seen yet."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.show()
    return stage


def unchanged(stage: MemoryStage, now: datetime | None = None) -> None:
    """The pull ends well and finds nothing to do."""
    outcome = stage.provider.pull(now or stage.now)
    assert not outcome.changed
    stage.untouched()


def takes_news(stage: MemoryStage) -> None:
    """A good server answers again, and whatever was shown before, the second release is taken."""
    stage.memory.honest()
    stage.accepted(stage.now + MINUTE)
    assert "four.example" in stage.provider.installed()


# --- "Nothing new" ----------------------------------------------------------------------------------------------------

NOT_MODIFIED = status(304)


def test_nothing_new_costs_two_requests(stage: MemoryStage) -> None:
    unchanged(stage)
    assert stage.memory.paths() == ["metadata/timestamp.json", "metadata/2.root.json"]
    assert stage.memory.sent == 0  # the server says so by its statuses


@pytest.mark.parametrize("lie", [NOT_MODIFIED, honest], ids=["304", "the old timestamp"])
def test_nothing_new_is_believed_until_the_validity_ends(stage: MemoryStage, lie: Reply) -> None:
    """Whoever holds the server can hide news for so long, and no longer."""
    end = stage.scene.at + 12 * HOUR
    stage.memory.answer("timestamp.json", lie)
    unchanged(stage, end - timedelta(seconds=1))
    stage.memory.asked.clear()
    error = stage.refused("valid until", 4, now=end)
    assert isinstance(error, StaleError)
    assert "stays installed" in error.message


def test_nothing_new_is_believed_no_longer_with_metadata_that_never_expire(stage: MemoryStage) -> None:
    """The same with every key of the publisher's machine."""
    never = datetime(2199, 1, 1, tzinfo=UTC)
    for role in (LIST, "snapshot", "timestamp"):
        stage.thief.resign(role, lambda signed: setattr(signed, "expires", never))
    stage.thief.resign("timestamp", lambda signed: setattr(signed, "version", signed.version + 1))
    stage.show()
    unchanged(stage)
    stage.memory.answer("timestamp.json", NOT_MODIFIED)
    end = stage.scene.at + 12 * HOUR
    unchanged(stage, end - timedelta(seconds=1))
    stage.refused("valid until", 4, now=end)


@pytest.mark.parametrize("lie", [NOT_MODIFIED, honest], ids=["304", "the old timestamp"])
def test_nothing_new_is_believed_until_the_metadata_expire(stage: MemoryStage, lie: Reply) -> None:
    """They may do so before the release's validity ends; the quick look knows when, as python-tuf does."""
    end = stage.now + HOUR
    stage.thief.offer(at=stage.now, expires=end)
    stage.accepted()
    stage.memory.answer("timestamp.json", lie)
    unchanged(stage, end - timedelta(seconds=1))
    stage.memory.honest()
    with tuf_clock(end):
        error = stage.refused("no longer valid", 4, now=end)
    assert "stays installed" in error.message
    assert len(stage.memory.asked) > 2


def test_not_modified_says_nothing_to_who_knows_nothing(scene: Scene, tmp_path: Path, memory: Memory) -> None:
    memory.load(scene.first)
    memory.answer("timestamp.json", NOT_MODIFIED)
    new = Provider(tmp_path / "new", URL, scene.site.root.read_bytes())
    with pytest.raises(UnreachableError, match="answered 304"):
        new.pull(scene.at, accept="any")
    assert new.kept() == {}


@pytest.mark.parametrize("word", [f".{LIST}.json", "snapshot.json", ACTS])
@pytest.mark.parametrize("lie", [NOT_MODIFIED, honest], ids=["304", "the old timestamp"])
def test_what_was_seen_of_news_is_not_forgotten(news: MemoryStage, word: str, lie: Reply) -> None:
    """The newer timestamp came through and the rest of it did not: from then on the old one is a lie."""
    news.memory.answer(word, status(404))
    news.refused("does not answer", 5)
    news.memory.honest()
    news.memory.answer("timestamp.json", lie)
    news.back(news.scene.first)
    for _ in range(2):
        news.refused("timestamp version|answered 304", 3 if lie is honest else 5)
    news.thief.offer([*news.acts, *news.scene.news], news.now + MINUTE)
    takes_news(news)


def test_after_an_attack_there_is_nothing_that_is_nothing_new(stage: MemoryStage) -> None:
    """A pull that was refused is followed by one in full, whatever the server says then."""
    unchanged(stage)
    stage.memory.answer("timestamp.json", body(b"{}"), NOT_MODIFIED)
    stage.refused("not genuine|answered 304", 5)  # the quick look sees the first answer, python-tuf the second
    assert not (stage.provider.state / "verified.json").exists()
    stage.refused("answered 304", 5)
    stage.memory.honest()
    unchanged(stage)


@pytest.mark.parametrize("lie", [status(200), status(302), status(500), status(304), body(b"{}"), endless()])
def test_a_next_root_is_not_there_or_it_is_a_root(stage: MemoryStage, lie: Reply) -> None:
    unchanged(stage)
    stage.memory.answer("2.root.json", lie)
    with pytest.raises(BlocklistError) as caught:
        stage.provider.pull(stage.now)
    assert caught.value.exit_code in (3, 5)
    stage.untouched()
    stage.memory.honest()
    unchanged(stage)


def test_a_next_root_is_not_overlooked(stage: MemoryStage) -> None:
    unchanged(stage)
    stage.heads.change_root(lambda _: None)
    stage.show()
    unchanged(stage)
    assert stage.trusted_root == 2
    stage.memory.honest()
    unchanged(stage)
    assert stage.memory.paths() == ["metadata/timestamp.json", "metadata/3.root.json"]


@pytest.mark.parametrize("known", ["root", "timestamp", "expires", "of", "marks"])
@pytest.mark.parametrize("value", [None, -1, "x", [], {}, 1e300, "9" * 5000])
def test_a_damaged_note_of_what_was_verified_costs_a_full_pull(stage: MemoryStage, known: str, value: object) -> None:
    path = stage.provider.state / "verified.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {known: value}))
    unchanged(stage)
    stage.memory.honest()
    unchanged(stage)
    assert len(stage.memory.asked) == 2


@pytest.mark.parametrize(
    "mark", ["", "x" * 100_000, "a\r\nX-Evil: 1", "a\nb", "\x00", "\u0100", " ", "W/", '"' * 1000, "\ud800"]
)
def test_a_mark_that_makes_no_sense(stage: MemoryStage, mark: str) -> None:
    """The server chooses it; it comes back in a request and is kept in a file until then."""
    good = stage.memory.files["metadata/timestamp.json"]
    stage.memory.answer("timestamp.json", body(good, ETag=mark))
    for _ in range(3):
        unchanged(stage)
    stage.memory.honest()
    unchanged(stage)


@pytest.mark.parametrize("change", [{"url": f"{URL}/elsewhere"}, {"environment": "production"}])
def test_what_was_verified_holds_for_the_place_where_it_was(stage: MemoryStage, change: dict[str, str]) -> None:
    """The operator points the subscription elsewhere; what is said there by a status is no news of ours."""
    stage.provider.edit(**change)
    stage.memory.answer("timestamp.json", NOT_MODIFIED)
    assert pull_refused(stage).exit_code == 5


@pytest.mark.parametrize("number", [201, 203, 206, 302, 404, 503])
def test_the_old_timestamp_under_another_status_says_nothing(stage: MemoryStage, number: int) -> None:
    unchanged(stage)
    stage.memory.answer("timestamp.json", body(stage.memory.files["metadata/timestamp.json"], number))
    assert pull_refused(stage).exit_code == 5


def test_a_quick_look_does_not_read_without_end(stage: MemoryStage) -> None:
    unchanged(stage)
    stage.memory.answer("timestamp.json", endless(most=100), honest)
    unchanged(stage)
    assert stage.memory.sent < 200_000


def test_other_marks_of_the_same_timestamp(stage: MemoryStage) -> None:
    good = stage.memory.files["metadata/timestamp.json"]
    for number in range(3):
        stage.memory.answer("timestamp.json", body(good, ETag=f'"{number}"', Server="evil"))
        stage.memory.asked.clear()
        unchanged(stage)
        assert stage.memory.asked[0].marks["ETag"] == (f'"{number - 1}"' if number else tag(good)["ETag"])
        assert len(stage.memory.asked) > 2


# --- One release while it is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["2.root.json", "timestamp.json", "snapshot.json", f".{LIST}.json", ACTS])
def test_the_next_release_comes_in_the_middle(stage: MemoryStage, word: str) -> None:
    """The publisher's own way: what was there is still there. The pull ends with the one release or the other."""
    stage.thief.offer(stage.acts, stage.now - MINUTE)
    stage.show()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.memory.before(word, stage.show)
    outcome = stage.provider.pull(stage.now)
    assert outcome.changed
    assert outcome.release in (int((stage.now - MINUTE).timestamp()), int(stage.now.timestamp()))
    assert ("four.example" in stage.provider.installed()) == (outcome.release == int(stage.now.timestamp()))
    if outcome.release != int(stage.now.timestamp()):
        stage.accepted()


@pytest.mark.parametrize("word", ["snapshot.json", f".{LIST}.json", ACTS])
def test_everything_is_gone_in_the_middle(news: MemoryStage, word: str) -> None:
    news.memory.before(word, news.memory.files.clear)
    error = pull_refused(news)
    assert error.exit_code == 5
    takes_news(news)


@pytest.mark.parametrize("word", ["timestamp.json", "snapshot.json", f".{LIST}.json", ACTS])
def test_the_old_release_comes_back_in_the_middle(news: MemoryStage, word: str) -> None:
    """What a copy on the way does that is updated file by file, and what a thief does on purpose."""
    news.memory.before(word, partial(news.memory.load, news.scene.first))
    try:
        outcome = news.provider.pull(news.now)
    except BlocklistError as fault:
        assert fault.exit_code in (3, 5)
    else:
        assert not outcome.changed
    news.untouched()
    takes_news(news)


def pull_refused(stage: MemoryStage) -> BlocklistError:
    """Like `Stage.refused`, with the tree as the memory has it."""
    with pytest.raises(BlocklistError) as caught:
        stage.provider.pull(stage.now)
    stage.untouched()
    return caught.value


# --- Answers that are none --------------------------------------------------------------------------------------------


EVERY_FILE = ["timestamp.json", "snapshot.json", f".{LIST}.json", ACTS]


def test_octet_by_octet(news: MemoryStage) -> None:
    """However an answer is cut into pieces, it is the same."""
    for word in EVERY_FILE:
        news.memory.answer(word, drip)
    news.accepted()
    assert "four.example" in news.provider.installed()


def test_a_refused_pull_asks_for_nothing_again_and_again(news: MemoryStage) -> None:
    for word in EVERY_FILE:
        news.memory.honest()
        news.memory.answer(word, status(503))
        pull_refused(news)
        assert len(news.memory.asked) <= 9
        assert max(map(news.memory.paths().count, news.memory.paths())) <= 2


def test_the_pin_is_the_one_that_the_heads_signed(scene: Scene, tmp_path: Path, memory: Memory) -> None:
    memory.load(scene.first)
    path = next(path for path in memory.files if path.startswith("targets/registers/"))
    good = memory.files[path]
    for number, reply in enumerate([body(good[::-1]), body(good[:-1]), body(b""), endless(), body(good + b" ")]):
        memory.answer(path, reply)
        new = Provider(tmp_path / f"new-{number}", URL, scene.site.root.read_bytes())
        with pytest.raises(BlocklistError) as caught:
            new.pull(scene.at, accept="any")
        assert caught.value.exit_code == 3
        assert new.kept() == {}


# --- The tail of the acts ---------------------------------------------------------------------------------------------


def tail(content: Callable[[bytes], bytes], number: int = 206) -> Reply:
    """A lie about what follows what is known, and the truth about the whole."""

    def reply(memory: Memory, asked: Asked) -> Answer:
        made = honest(memory, asked)
        if made.status != 206:
            return made
        return Answer(number, made.marks, iter([content(b"".join(made.chunks))]))

    return reply


TAILS: dict[str, Reply] = {
    "other octets": tail(lambda rest: rest[::-1]),
    "nothing": tail(lambda _: b""),
    "one octet less": tail(lambda rest: rest[:-1]),
    "one octet more": tail(lambda rest: rest + b"x"),
    "twice": tail(lambda rest: rest * 2),
    "the wrong half": tail(lambda rest: rest[len(rest) // 2 :]),
    "as if it were the whole": tail(lambda rest: rest, 200),
    "not modified": tail(lambda _: b"", 304),
    "not there": tail(lambda _: b"", 404),
    "past the end": tail(lambda _: b"", 416),
    "a page": tail(lambda _: b"<html>"),
}


@pytest.mark.parametrize("name", TAILS)
def test_a_lie_about_the_tail_costs_the_whole(news: MemoryStage, name: str) -> None:
    known = news.provider.accepted()["acts_length"]
    news.memory.answer(ACTS, TAILS[name])
    assert news.provider.pull(news.now).changed
    assert [asked.offset for asked in news.memory.asked if asked.path.endswith(ACTS)] == [known, 0]
    assert_acts(news)


@pytest.mark.parametrize("tail_reply", [broken_off(number=206), endless(number=206)])
def test_a_tail_without_an_end(news: MemoryStage, tail_reply: Reply) -> None:
    news.memory.answer(ACTS, tail_reply, honest)
    assert news.provider.pull(news.now).changed
    assert_acts(news)


def test_two_lies_about_the_acts(news: MemoryStage) -> None:
    news.memory.answer(ACTS, tail(lambda rest: rest[::-1]), body(b"x" * 40_000))
    assert pull_refused(news).exit_code == 3
    takes_news(news)


def assert_acts(stage: MemoryStage) -> None:
    """What is kept of the acts is what the publisher signed, to the octet."""
    target = stage.thief.read(LIST).signed.targets[f"{LIST}/{ACTS}"]
    assert stage.provider.acts_path.read_bytes() == stage.thief.target_path(target).read_bytes()
    assert stage.provider.accepted()["acts_length"] == target.length


def test_acts_of_a_refused_release_are_not_kept(news: MemoryStage) -> None:
    """They are genuine and new; the release is not, so the next pull asks for them again."""
    known = news.provider.accepted()["acts_length"]
    news.thief.offer([*news.acts, *news.scene.news], news.now + MINUTE, edits={"rpz.zone": lambda _: b""})
    news.refused("rpz.zone is not what", now=news.now + MINUTE)
    assert news.provider.acts_path.stat().st_size == known
    news.thief.offer([*news.acts, *news.scene.news], news.now + 2 * MINUTE)
    news.memory.honest()
    news.accepted(news.now + 2 * MINUTE)
    assert [asked.offset for asked in news.memory.asked if asked.path.endswith(ACTS)] == [known]
    assert_acts(news)


@pytest.mark.parametrize("more", [b"x", b"\n" * 10_000, b'{"payload":"'])
def test_what_lies_behind_the_acts_counts_for_nothing(news: MemoryStage, more: bytes) -> None:
    """A pull that died left it there, or somebody else did: nobody reads further than the record says."""
    path = news.provider.acts_path
    path.write_bytes(path.read_bytes() + more)
    assert news.provider.pull(news.now).changed
    assert_acts(news)


def test_genuine_acts_behind_the_known_ones_count_for_nothing(news: MemoryStage) -> None:
    """Those of the next release are there already: they are read when a release says so."""
    path = news.provider.acts_path
    path.write_bytes(path.read_bytes() + b"".join(line + b"\n" for line in news.scene.news))
    (news.provider.folder / "installed.rpz").write_text("edited\n")
    news.memory.load(news.scene.first)
    with pytest.raises(BlocklistError):
        news.memory.answer("timestamp.json", status(503))
        news.provider.pull(news.now)
    news.memory.honest()
    assert news.provider.pull(news.now).changed
    assert "four.example" not in news.provider.installed()
    news.accepted()
    assert_acts(news)


# --- On a socket ------------------------------------------------------------------------------------------------------

Script = Callable[[], Iterable[bytes]]


class Wire:
    """A server on loopback that says what a script says, to whoever connects, and hears nothing."""

    MOST = 256 * 1024 * 1024
    """Octets after which a client that still reads is one that never stops."""

    def __init__(self, script: Script) -> None:
        self.sent = 0
        self.connections = 0
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/file"

    def close(self) -> None:
        self._over.set()
        self._listening.close()

    def wait(self) -> None:
        """Send nothing until the test is over."""
        self._over.wait(60)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            connection.recv(65536)
            for part in self._script():
                if self.sent > self.MOST or self._over.is_set():
                    return
                connection.sendall(part)
                self.sent += len(part)


@pytest.fixture
def way(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsTransport]:
    """The transport of a provider, without TLS: what is looked at here comes after it."""
    monkeypatch.setattr(transport, "BACK_OFF", 0)
    monkeypatch.setattr(transport, "PATIENCE", 0.5)
    provider = Provider(tmp_path / "provider", URL, scene.site.root.read_bytes())
    made = HttpsTransport(provider.subscription, Deadline(60))
    made._session.mount("http://", made._session.adapters["https://"])
    with closing(made):
        yield made


def forever(part: bytes) -> Iterator[bytes]:
    while True:
        yield part


def said(*parts: bytes, then: bytes = b"") -> Script:
    """These parts, and then one again and again."""

    def script() -> Iterator[bytes]:
        yield from parts
        if then:
            yield from forever(then)

    return script


def slowly(*parts: bytes, then: bytes) -> Script:
    """These parts, and then one octet after another, each in time for a socket's own time-out."""
    pause = threading.Event()

    def script() -> Iterator[bytes]:
        yield from parts
        for octet in then:
            pause.wait(0.02)
            yield bytes([octet])

    return script


OK = b"HTTP/1.1 200 OK\r\n"

RAW: dict[str, Script] = {
    "a hundred headers and more": said(OK, then=b"A: b\r\n" * 100),
    "a header without an end": said(OK, b"A: ", then=b"b" * 4096),
    "the first line without an end": said(b"HTTP/1.1 200 ", then=b"O" * 4096),
    "no HTTP": said(b"220 mail.example ESMTP\r\n"),
    "nothing at all": said(),
    "only preliminary answers": said(then=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a length that is none": said(OK, b"Transfer-Encoding: chunked\r\n\r\n", b"-5\r\nhello\r\n"),
    "a length that is too long": said(OK, b"Transfer-Encoding: chunked\r\n\r\n", b"f" * 100 + b"\r\n"),
    "one encoding in another": said(OK, b"Content-Encoding: " + b", ".join([b"gzip"] * 50) + b"\r\n\r\n", b"x"),
    "an encoding that is not what it says": said(OK, b"Content-Encoding: gzip\r\n\r\n", b"plain"),
    "half of it": said(OK, b"Content-Length: 100\r\n\r\n", b"half"),
    "a slow body": slowly(OK, b"\r\n", then=b"b" * 1000),
    "a slow compressed body": slowly(OK, b"Content-Encoding: gzip\r\n\r\n", then=gzip.compress(bytes(range(256)) * 4)),
}


def read(way: HttpsTransport, wire: Wire, most: int = 1_000_000, offset: int = 0) -> tuple[int, bytes]:
    """What comes, as far as a reader with a limit reads."""
    answer, content = way.get(wire.url, offset), b""
    for chunk in answer.chunks:
        content += chunk
        if len(content) > most:
            break
    return answer.status, content


@pytest.mark.parametrize("name", RAW)
def test_bytes_that_are_no_answer(way: HttpsTransport, name: str) -> None:
    with closing(Wire(RAW[name])) as wire:
        with pytest.raises(TransportError, match="does not answer as a publisher") as caught:
            read(way, wire)
        assert caught.value.exit_code == 5
        assert wire.sent < wire.MOST


def test_what_a_server_says_cannot_forge_a_line_of_the_journal(way: HttpsTransport) -> None:
    with closing(Wire(said(b"\x1b[2J\x1b[1;1Hinstalled\r\x0b\x0c\x85 release\r\n\r\n"))) as wire:
        with pytest.raises(TransportError) as caught:
            read(way, wire)
        assert caught.value.message.isprintable()


@pytest.mark.parametrize("encoding", [b"", b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_without_an_end_is_read_as_far_as_its_reader_wants(way: HttpsTransport, encoding: bytes) -> None:
    part = b"4000\r\n" + b" " * 0x4000 + b"\r\n" if b"chunked" in encoding else b" " * 65536
    script = said(OK, encoding, b"\r\n", gzip.compress(b" " * 50_000_000) if b"gzip" in encoding else part, then=part)
    with closing(Wire(script)) as wire:
        _, content = read(way, wire)
        way.close()
    assert 1_000_000 < len(content) < 2_000_000
    assert wire.sent < 16_000_000


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_a_redirection_leads_nowhere(way: HttpsTransport, number: int) -> None:
    with closing(Wire(said(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))) as other:
        moved = f"HTTP/1.1 {number} Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with closing(Wire(said(moved))) as wire:
            assert read(way, wire) == (number, b"")
        assert other.connections == 0


@pytest.mark.parametrize(
    ("stated", "good"),
    [
        (b"bytes 5-9/10", True),
        (b"bytes 5-9/99", True),  # how long the whole is, the metadata say
        (b"bytes 4-9/10", False),
        (b"bytes 6-9/10", False),
        (b"bytes */10", False),
        (b"bytes 5-9/*", False),
        (b"octets 5-9/10", False),
        (b"bytes 5-9/10, bytes 5-9/10", False),
        (b"bytes +5-9/10", False),
        (b"bytes 5-9", False),
        (b"", False),
    ],
)
def test_the_range_is_the_one_that_was_asked_for(way: HttpsTransport, stated: bytes, good: bool) -> None:
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: %b\r\n\r\n56789" % stated
    with closing(Wire(said(answer))) as wire:
        if good:
            assert read(way, wire, offset=5) == (206, b"56789")
        else:
            with pytest.raises(TransportError, match="another range"):
                read(way, wire, offset=5)


def test_a_server_that_is_broken_is_asked_a_few_times(way: HttpsTransport) -> None:
    with closing(
        Wire(said(b"HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    ) as wire:
        assert read(way, wire) == (503, b"")
        assert wire.connections == transport.TRIES + 1


def test_a_cookie_is_not_brought_back(way: HttpsTransport) -> None:
    """Nothing that a server says about one file is told to it with the next."""
    heard: list[bytes] = []

    class Hearing(Wire):
        def _talk(self, connection: socket.socket) -> None:
            with suppress(OSError), closing(connection):
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    with closing(Hearing(said())) as wire:
        for _ in range(2):
            assert read(way, wire) == (200, b"")
    assert len(heard) == 2


GZIP = b"Content-Encoding: gzip\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_the_body_of_a_redirection_is_not_read(way: HttpsTransport, number: int) -> None:
    moved = f"HTTP/1.1 {number} Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n".encode()
    with closing(Wire(said(moved, then=b" " * 65536))) as wire:
        assert way.get(wire.url).status == number
        way.close()
        assert wire.sent < 16_000_000


def test_the_body_of_a_broken_server_is_not_read(way: HttpsTransport) -> None:
    with closing(Wire(said(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n", then=b" " * 65536))) as wire:
        assert way.get(wire.url).status == 503
        way.close()
        assert wire.sent < 64_000_000


NEVER_DONE = {
    "trailers without an end": said(OK, CHUNKED, b"5\r\nhello\r\n0\r\n", then=b"A: b\r\n" * 1000),
    "nothing, compressed": said(OK, GZIP, gzip.compress(b"")[:10], then=EMPTY_BLOCK * 20),
    "nothing, compressed again and again": said(OK, GZIP, then=gzip.compress(b"") * 500),
    "a slow length": slowly(OK, CHUNKED, b"1;", then=b"a" * 1000),
}


@pytest.mark.parametrize("name", NEVER_DONE)
def test_an_answer_of_which_nothing_comes(way: HttpsTransport, name: str) -> None:
    with closing(Wire(NEVER_DONE[name])) as wire:
        with pytest.raises(TransportError, match="too slowly"):
            read(way, wire)
        assert wire.sent < wire.MOST


def test_a_range_of_too_many_digits(way: HttpsTransport) -> None:
    stated = b"bytes " + b"5" * 5000 + b"-9/10"
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: %b\r\n\r\n56789" % stated
    with closing(Wire(said(answer))) as wire, pytest.raises(TransportError, match="another range"):
        read(way, wire, offset=5)


def test_all_answers_together_have_a_deadline(way: HttpsTransport, scene: Scene, tmp_path: Path) -> None:
    """Each comes in time for itself; a server that makes us wait for every file is left all the same."""
    with closing(Wire(said(OK + b"Content-Length: 9\r\n\r\n123456789"))) as wire:
        assert read(way, wire) == (200, b"123456789")
        way._deadline.at = 0
        asked = wire.connections
        with pytest.raises(TransportError, match="was not done after 60 seconds") as caught:
            read(way, wire)
        assert "'deadline' in the subscription" in caught.value.hint
        assert wire.connections == asked


def test_the_deadline_ends_a_replay_that_takes_too_long(news: MemoryStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocklist.client.pull.Deadline", lambda _seconds: Deadline(0))
    assert news.refused("was not done after 0 seconds", 5).hint
    monkeypatch.undo()
