"""A pull from a real nginx with the configuration of the guides: who is let in, what travels, what if it is gone."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kit.fixed import DAY, HOUR, LIST
from kit.nginx import DOCS, Clients, Nginx, Proxy, Publisher, Request, certificates, read_answer
from kit.pki import Authority
from kit.provider import Provider
from kit.shell import Shell
from kit.site import Site, draft_checksum

from blocklist.base.errors import BlocklistError
from blocklist.client import transport
from blocklist.client.transport import HttpsTransport
from blocklist.release.manifest import ACTS

TIMESTAMP = "/metadata/timestamp.json"
NAMES = 10_000


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("pki") / "ca", "blocklist providers")


@pytest.fixture(scope="module")
def clients(pki: Authority, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return Clients.of(pki, tmp_path_factory.mktemp("other"))


@dataclass(frozen=True)
class Trees:
    """A site, and its tree after each of two releases. `at` is the instant of the first."""

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
    publish(site)
    shutil.copytree(site.exports, folder / "first")
    site.now += HOUR
    site.block("two.example")
    publish(site)
    return Trees(site, folder / "first", site.exports, at)


def publish(site: Site) -> None:
    """Publish, as at the time that it is for the site: that is what nginx tells versions of a file by."""
    site.publish(draft_checksum(site))
    os.utime(site.exports / TIMESTAMP[1:], (site.now.timestamp(),) * 2)


@pytest.fixture(scope="module")
def running(pki: Authority, clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    folder = tmp_path_factory.mktemp("publisher")
    with Publisher(folder, folder / "exports", certificates(folder, pki, clients), clients.good, pki.certificate) as it:
        yield it


@pytest.fixture
def publisher(running: Publisher, trees: Trees) -> Publisher:
    running.serve(trees.first)
    running.requests()
    return running


@pytest.fixture
def provider(publisher: Publisher, trees: Trees, pki: Authority, clients: Clients, tmp_path: Path) -> Provider:
    return subscribed(tmp_path / "provider", publisher.url, trees.site, pki, clients.good)


def subscribed(folder: Path, url: str, site: Site, pki: Authority, client: tuple[Path, Path]) -> Provider:
    made = Provider(folder, url, site.root.read_bytes())
    made.edit(ca=pki.certificate, client_certificate=client[0], client_key=client[1])
    return made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(transport, "BACK_OFF", 0)


def refused(provider: Provider, now: datetime, code: int, match: str = ".") -> BlocklistError:
    kept = provider.kept()
    with pytest.raises(BlocklistError, match=match) as caught:
        provider.pull(now, accept="any")
    assert caught.value.exit_code == code, caught.value
    assert provider.kept() == kept
    assert not list(provider.folder.rglob(".tmp-*"))
    return caught.value


# --- The configurations are right by themselves -----------------------------------------------------------------------


def test_nginx_has_nothing_to_say(publisher: Publisher, landing: Nginx) -> None:
    assert publisher.said() == landing.said() == ""


def test_a_fault_would_be_said(publisher: Publisher, tmp_path: Path) -> None:
    assert "unknown directive" in Nginx(tmp_path / "nginx", "server {\n    ssl_protocol TLSv1.3;\n}\n").said()


# --- Who is let in ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_the_office_is_let_in(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    assert provider.pull(trees.at, accept="any").changed
    assert "one.example A " in provider.installed()
    assert {request.client for request in publisher.requests()} == {"CN=isp-one"}


@pytest.mark.parametrize("who", ["nobody", "revoked", "strange"])
def test_nobody_else_is_let_in(
    provider: Provider, publisher: Publisher, trees: Trees, clients: Clients, who: str
) -> None:
    certificate, key = getattr(clients, who, (None, None))
    provider.edit(client_certificate=certificate, client_key=key)
    refused(provider, trees.at, 5, "answered 400")
    asked = publisher.requests()
    assert {request.status for request in asked} == {400}
    assert {request.encoding for request in asked} == {""}


@pytest.mark.parametrize("who", ["nobody", "revoked", "strange"])
def test_who_is_let_in_no_more_keeps_the_list(
    provider: Provider, trees: Trees, publisher: Publisher, clients: Clients, who: str
) -> None:
    provider.pull(trees.at, accept="any")
    publisher.serve(trees.second)
    certificate, key = getattr(clients, who, (None, None))
    provider.edit(client_certificate=certificate, client_key=key)
    refused(provider, trees.site.now, 5, "answered 400")


def test_a_list_of_revoked_certificates_that_is_over_lets_nobody_in(
    trees: Trees, pki: Authority, clients: Clients, tmp_path: Path
) -> None:
    """The guide tells operators to renew it in time."""
    tls = certificates(tmp_path, pki, clients)
    shutil.copy(pki.revocation_list(days=-1, name="over"), tls / "providers-crl.pem")
    with Publisher(tmp_path / "nginx", tmp_path / "exports", tls, clients.good, pki.certificate) as server:
        server.serve(trees.first)
        provider = subscribed(tmp_path / "provider", server.url, trees.site, pki, clients.good)
        refused(provider, trees.at, 5, "answered 400")
        shutil.copy(pki.revocation_list(), tls / "providers-crl.pem")
        server.reload()
        assert provider.pull(trees.at, accept="any").changed


@pytest.mark.parametrize(
    ("version", "welcome"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)], ids=["1.2", "1.3"]
)
def test_tls_of_one_version(
    publisher: Publisher, pki: Authority, clients: Clients, version: ssl.TLSVersion, welcome: bool
) -> None:
    """Although Debian's own configuration around it allows older ones."""
    context = ssl.create_default_context(cafile=str(pki.certificate))
    context.load_cert_chain(*clients.good)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", publisher.port)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                assert secure.version() == "TLSv1.3"
        except ssl.SSLError as fault:
            assert not welcome, fault
        else:
            assert welcome


SHELL_OF_THE_AUTHORITY = 'openssl() {{ command openssl "$@" {} pass:secret; }}\n'


def test_the_office_admits_and_revokes_with_openssl(
    trees: Trees, pki: Authority, clients: Clients, tmp_path: Path
) -> None:
    """With the configuration that the guide shows, and its commands; openssl asks a person for the passphrase."""
    folder = tmp_path / "ca"
    folder.mkdir()
    text = (DOCS / "nginx/providers-ca.cnf").read_text().replace("@CA@", ".")
    (folder / "providers-ca.cnf").write_text(text)
    authority = SHELL_OF_THE_AUTHORITY.format("-passin")
    bash(folder, SHELL_OF_THE_AUTHORITY.format("-passout"), MAKE_AUTHORITY)
    bash(folder, "", MAKE_REQUEST)
    bash(folder, authority, ADMIT, LIST_REVOKED)
    tls = certificates(tmp_path, pki, clients)
    for name in ("providers-ca.pem", "providers-crl.pem"):
        shutil.copy(folder / name, tls)
    admitted = folder / "isp-one.pem", folder / "isp-one.key"
    with Publisher(tmp_path / "nginx", tmp_path / "exports", tls, admitted, pki.certificate) as server:
        server.serve(trees.first)
        provider = subscribed(tmp_path / "provider", server.url, trees.site, pki, admitted)
        assert provider.pull(trees.at, accept="any").changed
        bash(folder, authority, REVOKE, LIST_REVOKED)
        shutil.copy(folder / "providers-crl.pem", tls)
        server.reload()
        refused(provider, trees.at, 5, "answered 400")


MAKE_AUTHORITY = """\
mkdir issued
touch index.txt
echo 01 > serial
echo 01 > crlnumber
openssl req -x509 -config providers-ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-384 -days 3650 \\
    -subj "/CN=blocklist providers" -keyout providers-ca.key -out providers-ca.pem
"""
MAKE_REQUEST = """\
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=isp-one \\
    -keyout isp-one.key -out isp-one.csr
"""
ADMIT = "openssl ca -batch -notext -config providers-ca.cnf -in isp-one.csr -out isp-one.pem\n"
REVOKE = "openssl ca -config providers-ca.cnf -revoke isp-one.pem\n"
LIST_REVOKED = "openssl ca -config providers-ca.cnf -gencrl -out providers-crl.pem\n"


def bash(folder: Path, *script: str) -> None:
    done = subprocess.run(
        ["bash", "-c", "set -e\n" + "".join(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_guides_have_these_commands() -> None:
    office, provider = ((DOCS / name).read_text(encoding="utf-8") for name in ("administrators.md", "providers.md"))
    for commands in (MAKE_AUTHORITY, ADMIT + LIST_REVOKED, REVOKE + LIST_REVOKED):
        assert f"```shell\n{commands}```" in office
    assert f"```shell\n{MAKE_REQUEST.replace('isp-one.', 'provider.')}```" in provider


# --- What travels -----------------------------------------------------------------------------------------------------


def test_metadata_are_compressed_on_the_way(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    fetched = [request for request in publisher.requests() if request.status == 200]
    assert {request.encoding for request in fetched} == {"gzip"}
    assert TIMESTAMP in {request.path for request in fetched}
    status, headers, body = publisher.get(TIMESTAMP, Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == (trees.first / TIMESTAMP[1:]).read_bytes()


def test_what_has_not_changed_costs_two_small_requests(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    publisher.requests()
    kept = provider.kept()
    assert not provider.pull(trees.at).changed
    timestamp, root = publisher.requests()
    assert (root.path, root.status) == ("/metadata/2.root.json", 404)
    assert (timestamp.path, timestamp.status) == (TIMESTAMP, 304)
    assert root.sent + timestamp.sent < 800
    assert provider.kept() == kept


def test_after_a_change_the_timestamp_travels_again(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    for _ in range(3):
        provider.pull(trees.at, accept="any")
    publisher.serve(trees.second)
    assert provider.pull(trees.site.now).changed
    assert "two.example A " in provider.installed()


def test_of_the_acts_only_the_tail_travels(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    known = provider.accepted()["acts_length"]
    publisher.serve(trees.second)
    publisher.requests()
    provider.pull(trees.site.now)
    (acts,) = [request for request in publisher.requests() if request.path.endswith(ACTS)]
    tail = provider.accepted()["acts_length"] - known
    assert (acts.status, acts.range, acts.encoding) == (206, f"bytes={known}-", "")
    assert tail < acts.sent < tail + 600  # the headers
    status, headers, body = publisher.get(acts.path, Range=acts.range, Accept_Encoding="identity")
    assert (status, len(body)) == (206, tail)
    assert headers["content-range"] == f"bytes {known}-{known + tail - 1}/{known + tail}"


def test_exports_do_not_travel(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    asked = publisher.requests()
    assert len(asked) < 10
    assert [request.path for request in asked if "rpz" in request.path or "hosts" in request.path] == []


@pytest.fixture(scope="module")
def long_list(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("long") / "site", datetime.now(UTC))
    site.block(*(f"{hashlib.sha256(b'%d' % number).hexdigest()[:18]}.example" for number in range(NAMES)))
    publish(site)
    return site


def test_one_more_name_moves_a_few_percent(
    running: Publisher, long_list: Site, pki: Authority, clients: Clients, tmp_path: Path
) -> None:
    """Counted on the wire, with the handshakes of TLS; and what is counted at nginx, without them."""
    running.serve(long_list.exports)
    with Proxy(running.port) as proxy:
        provider = subscribed(tmp_path / "provider", "https://exports.blocklist.example", long_list, pki, clients.good)
        provider.edit(proxy=proxy.url)
        running.requests()
        provider.pull(long_list.now, accept="any")
        whole, whole_sent = sum(proxy.take()), answers(running.requests())
        for _ in range(2):
            provider.pull(long_list.now)
            unchanged, unchanged_sent = sum(proxy.take()), answers(running.requests())
        long_list.now += HOUR
        long_list.block("one-more.example")
        publish(long_list)
        assert provider.pull(long_list.now).changed
        more, more_sent = sum(proxy.take()), answers(running.requests())
    assert "one-more.example A " in provider.installed()
    assert more_sent < 0.05 * whole_sent
    assert unchanged_sent < 0.005 * whole_sent
    assert more < 0.08 * whole
    assert unchanged < 0.03 * whole


def test_a_pull_is_one_connection(
    publisher: Publisher, trees: Trees, pki: Authority, clients: Clients, tmp_path: Path
) -> None:
    """Also if what is not there is answered with a page, which nobody wants to read."""
    with Proxy(publisher.port) as proxy:
        provider = subscribed(tmp_path / "isp", "https://exports.blocklist.example", trees.site, pki, clients.good)
        provider.edit(proxy=proxy.url)
        provider.pull(trees.at, accept="any")
        assert len(proxy.asked) == 1
        provider.pull(trees.at)
        assert len(proxy.asked) == 2


def answers(requests: list[Request]) -> int:
    return sum(request.sent for request in requests)


# --- What is served, and how ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (TIMESTAMP, False),
        ("/metadata/2.root.json", False),  # it is not there yet
        (f"/{LIST}/latest", False),
        ("/seal.crl", False),
        ("/metadata/1.root.json", True),
        (f"/{LIST}/RELEASE/rpz.zone", True),
        ("TARGET", True),
    ],
)
def test_only_what_never_changes_is_kept(publisher: Publisher, trees: Trees, path: str, kept: bool) -> None:
    release = (trees.first / LIST / "latest").read_text().strip()
    target = next((trees.first / "targets" / LIST).glob("*.rpz.zone"))
    asked = path.replace("RELEASE", release).replace("TARGET", f"/targets/{LIST}/{target.name}")
    for method in ("GET", "HEAD"):
        status, headers, _ = publisher.get(asked, method)
        assert status == (404 if path.endswith("2.root.json") else 200)
        assert ("immutable" in headers["cache-control"], "no-cache" in headers["cache-control"]) == (kept, not kept)


@pytest.mark.parametrize("path", ["/metadata/.tmp-timestamp.json-1a2b", "/.tmp-x", "/.git/config"])
def test_what_is_being_written_is_not_served(publisher: Publisher, trees: Trees, path: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(trees.first, tree)
    (tree / path[1:]).parent.mkdir(exist_ok=True)
    (tree / path[1:]).write_text("half")
    publisher.serve(tree)
    assert publisher.get(path)[0] == 404


@pytest.mark.parametrize("path", ["/", "/metadata/", f"/{LIST}/", "/targets/"])
def test_no_folder_is_listed(publisher: Publisher, path: str) -> None:
    status, _, body = publisher.get(path)
    assert status == 403
    assert b"json" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(publisher: Publisher, method: str) -> None:
    assert publisher.get(TIMESTAMP, method, Content_Length="0")[0] == 405


# --- It is gone, or not itself ----------------------------------------------------------------------------------------


def test_while_it_is_down_the_list_stays(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    """Exit code 5, and once the accepted release is valid no more, 4. Afterwards all goes on as before."""
    provider.pull(trees.at, accept="any")
    publisher.stop()
    try:
        for later, code in ((HOUR, 5), (11 * HOUR, 5), (12 * HOUR, 4), (30 * DAY, 4)):
            refused(provider, trees.at + later, code, "Connection refused")
    finally:
        publisher.start()
    publisher.serve(trees.second)
    assert provider.pull(trees.site.now).changed


def test_before_the_first_pull_there_is_nothing_to_keep(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    publisher.stop()
    try:
        refused(provider, trees.at, 5, "Connection refused")
    finally:
        publisher.start()
    assert provider.pull(trees.at, accept="any").changed


HALF_WAY = ("snapshot.json", f".{LIST}.json", "registers", ACTS)


@pytest.mark.parametrize("word", HALF_WAY)
def test_restarted_half_way(
    provider: Provider, publisher: Publisher, trees: Trees, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The connection that a pull had is gone; it makes another one and goes on."""
    asked = before(monkeypatch, word, publisher.restart)
    assert provider.pull(trees.at, accept="any").changed
    assert asked == [word]


@pytest.mark.parametrize("word", HALF_WAY)
def test_gone_half_way(
    provider: Provider, publisher: Publisher, trees: Trees, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    provider.pull(trees.at, accept="any")
    shutil.rmtree(provider.state / "metadata")
    (provider.list_state.folder / "register.json").unlink()
    publisher.serve(trees.second)
    asked = before(monkeypatch, word, publisher.stop)
    try:
        refused(provider, trees.site.now, 5, "Connection refused|closed connection|Connection aborted|reset")
    finally:
        publisher.start()
    assert asked == [word]
    assert provider.pull(trees.site.now).changed


def before(monkeypatch: pytest.MonkeyPatch, word: str, act: Any) -> list[str]:
    """Do something once, just before a file with this word in its name is asked for; tells when it was done."""
    real, done = HttpsTransport.get, []

    def get(self: HttpsTransport, url: str, *rest: Any, **more: Any) -> Any:
        if word in url and not done:
            done.append(word)
            act()
        return real(self, url, *rest, **more)

    monkeypatch.setattr(HttpsTransport, "get", get)
    return done


MISBEHAVING = """\
log_format kept '$time_iso8601 $status $bytes_sent "$request" "" "" "-"';
server {
    listen @LISTEN@ ssl;
    ssl_certificate @TLS@/exports.pem;
    ssl_certificate_key @TLS@/exports.key;
    access_log @LOG@ kept;
    location /metadata/ {
        root @EXPORTS@;
        if (-f @DIR@/maintenance) { return 503; }
        if (-f @DIR@/moved) { return 301 https://127.0.0.1:@ELSEWHERE@$request_uri; }
    }
    location / { root @EXPORTS@; }
}
"""


@pytest.fixture
def misbehaving(
    tmp_path: Path, pki: Authority, clients: Clients, trees: Trees, publisher: Publisher
) -> Iterator[Publisher]:
    """Another nginx, which can be in maintenance, or say that the tree has moved to the good one."""
    folder = tmp_path / "misbehaving"
    folder.mkdir()
    tls = certificates(folder, pki, clients)
    made = Publisher(folder, folder / "exports", tls, clients.good, pki.certificate)
    made.places["ELSEWHERE"] = publisher.port
    made.configure(MISBEHAVING)
    with made:
        made.serve(trees.first)
        yield made


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited before each new try; nobody really waits."""
    slept: list[float] = []
    monkeypatch.setattr(transport, "BACK_OFF", 0.5)
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    return slept


def test_redirects_are_not_followed(
    provider: Provider, misbehaving: Publisher, publisher: Publisher, trees: Trees
) -> None:
    provider.pull(trees.at, accept="any")
    provider.edit(url=misbehaving.url)
    (misbehaving.folder / "moved").touch()
    publisher.requests()
    refused(provider, trees.at, 5, "answered 301")
    assert publisher.requests() == []


def test_maintenance_that_goes_on_is_given_up(
    provider: Provider, misbehaving: Publisher, trees: Trees, sleeps: list[float]
) -> None:
    provider.pull(trees.at, accept="any")
    provider.edit(url=misbehaving.url)
    (misbehaving.folder / "maintenance").touch()
    refused(provider, trees.at, 5, "answered 503")
    assert [request.status for request in misbehaving.requests()] == [503] * (transport.TRIES + 1)
    assert sleeps == [transport.BACK_OFF * 2**number for number in range(1, transport.TRIES)]


def test_maintenance_that_ends_meanwhile_is_waited_for(
    provider: Provider,
    misbehaving: Publisher,
    trees: Trees,
    sleeps: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider.edit(url=misbehaving.url)
    flag = misbehaving.folder / "maintenance"
    flag.touch()
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda _: flag.unlink(missing_ok=True))
    assert provider.pull(trees.at, accept="any").changed
    assert 503 in {request.status for request in misbehaving.requests()}


def test_not_found_is_not_asked_for_again(
    provider: Provider, publisher: Publisher, trees: Trees, sleeps: list[float], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    publisher.serve(empty)
    refused(provider, trees.at, 5, "is not there|404")
    assert sleeps == []


# --- A proxy ----------------------------------------------------------------------------------------------------------


def test_all_goes_through_the_proxy_that_the_operator_names(
    publisher: Publisher, trees: Trees, pki: Authority, clients: Clients, tmp_path: Path
) -> None:
    """The name of the publisher is not even looked up here."""
    with Proxy(publisher.port) as proxy:
        provider = subscribed(tmp_path / "isp", "https://exports.blocklist.example", trees.site, pki, clients.good)
        provider.edit(proxy=proxy.url)
        assert provider.pull(trees.at, accept="any").changed
        assert set(proxy.asked) == {"exports.blocklist.example:443"}
        assert proxy.take()[1] > answers(publisher.requests()) > 0


def test_a_proxy_that_says_no(provider: Provider, publisher: Publisher, trees: Trees) -> None:
    provider.pull(trees.at, accept="any")
    with Proxy(publisher.port) as proxy:
        proxy.refuse = 403
        provider.edit(proxy=proxy.url)
        publisher.requests()
        refused(provider, trees.at, 5, "at the proxy: .*403")
        assert proxy.asked
        assert publisher.requests() == []


# --- subscribe, by the command line -----------------------------------------------------------------------------------


@pytest.fixture
def words(publisher: Publisher, trees: Trees, pki: Authority, clients: Clients, tmp_path: Path) -> list[str | Path]:
    """`subscribe` with all that HTTPS needs, but for the client's certificate, its key and the root."""
    shown = ["subscribe", publisher.url, "--list", LIST, "--environment", "test", "--ca", pki.certificate]
    return [*shown, "--to", f"rpz={tmp_path}/isp/rpz.zone", "-o", tmp_path / "isp/subscription.yaml"]


def root_of(site: Site) -> str:
    return hashlib.sha256(site.root.read_bytes()).hexdigest()


def admitted(client: tuple[Path, Path]) -> list[str | Path]:
    return ["--client-certificate", client[0], "--client-key", client[1]]


def test_subscribe_by_the_digest_of_the_root(
    empty: Shell, words: list[str | Path], trees: Trees, clients: Clients, publisher: Publisher
) -> None:
    """The digest came on paper; the root comes from the server, and is believed because of the digest alone."""
    empty.at(trees.at)
    empty(*words, *admitted(clients.good), "--root", root_of(trees.site), where=False)
    config = words[-1]
    assert isinstance(config, Path)
    assert (config.with_name("subscription.state") / "root.json").read_bytes() == trees.site.root.read_bytes()
    empty("pull", "-c", config, "--accept", where=False)
    assert "one.example A " in config.with_name("rpz.zone").read_text()


def test_a_root_of_another_digest_is_not_pinned(
    empty: Shell, words: list[str | Path], clients: Clients, publisher: Publisher
) -> None:
    empty.refused(
        *words,
        *admitted(clients.good),
        "--root",
        "0" * 64,
        where=False,
        code=3,
        message="shows no root with the SHA-256",
    )
    assert not Path(words[-1]).exists()
    assert [request.status for request in publisher.requests()] == [200, 404]


@pytest.mark.parametrize("who", ["nobody", "revoked", "strange"])
def test_a_server_that_lets_nobody_in_is_no_forger(
    empty: Shell, words: list[str | Path], trees: Trees, clients: Clients, who: str
) -> None:
    certificate = admitted(getattr(clients, who)) if who != "nobody" else []
    empty.refused(*words, *certificate, "--root", root_of(trees.site), where=False, code=5, message="answered 400")
    assert not Path(words[-1]).exists()


# --- The landing page -------------------------------------------------------------------------------------------------


PAGE = "<!doctype html><meta charset=utf-8><title>Site bloqué</title><p>L’accès à ce site est bloqué.\n"


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Nginx]:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text(PAGE, encoding="utf-8")
    with Nginx(tmp_path / "landing", "landing-page.conf", PAGE=page) as running:
        yield running


def ask(
    landing: Nginx, sent: bytes, family: socket.AddressFamily = socket.AF_INET
) -> tuple[int, dict[str, str], bytes]:
    """What a browser gets; to HEAD only the headers, until the server hangs up."""
    with socket.socket(family) as client:
        client.settimeout(30)
        client.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", landing.port))
        client.sendall(sent)
        return read_answer(b"".join(iter(lambda: client.recv(65536), b"")))


def asked_for(path: str, host: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nCookie: who=visitor-17\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("path", ["/", "/index.html", "/some/page.php?id=17", "/a%20b", "/.well-known/x"])
@pytest.mark.parametrize("host", ["bad.example", "www.bad.example:80", "xn--bcher-kva.example", "192.0.2.1"])
def test_every_name_and_path_has_the_page(landing: Nginx, host: str, path: str, family: socket.AddressFamily) -> None:
    status, headers, body = ask(landing, asked_for(path, host), family)
    assert (status, body.decode()) == (451, PAGE)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS"])
def test_every_method_is_told_so(landing: Nginx, method: str) -> None:
    status, headers, body = ask(landing, asked_for("/", "bad.example", method))
    assert (status, headers["cache-control"]) == (451, "no-store")
    assert body.decode() == ("" if method == "HEAD" else PAGE)


STRANGE = {
    "no such version": b"GET /secret-17 HTTP/7.1\r\nHost: bad.example\r\n\r\n",
    "no host": b"GET /secret-17 HTTP/1.1\r\n\r\n",
    "half a host": b"GET /secret-17 HTTP/1.1\r\nHost: bad.example/secret-17\r\n\r\n",
    "a long path": b"GET /secret-17" + b"x" * 40000 + b" HTTP/1.1\r\nHost: bad.example\r\n\r\n",
    "a long header": b"GET /secret-17 HTTP/1.1\r\nHost: bad.example\r\nReferer: " + b"x" * 40000 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5secret-17\r\n\r\n",
    "climbing": b"GET /../secret-17 HTTP/1.0\r\nHost: bad.example\r\n\r\n",
}


def test_nobody_who_came_leaves_a_trace(landing: Nginx) -> None:
    """No log, nothing in the server's own messages, no file of what was sent."""
    before = {path for path in landing.folder.rglob("*") if path.is_file()}
    for family in (socket.AF_INET, socket.AF_INET6):
        assert ask(landing, asked_for("/secret-17", "bad.example"), family)[0] == 451
        body = (
            b"POST /secret-17 HTTP/1.1\r\nHost: bad.example\r\nContent-Length: 200000\r\n"
            + b"Connection: close\r\n\r\n"
        )
        ask(landing, body + b"secret-17" * 22222 + b"xx", family)
        for sent in STRANGE.values():
            assert ask(landing, sent, family)[0] in range(400, 600)
    landing.stop()
    after = {path for path in landing.folder.rglob("*") if path.is_file()}
    for path in after - {landing.folder / "blocklist.conf", landing.folder / "nginx.conf"}:
        left = path.read_text(errors="replace")
        assert [word for word in ("secret-17", "bad.example", "127.0.0.1", "::1", "visitor-17") if word in left] == []
    assert after - before == set()


def test_a_trace_would_be_found(tmp_path: Path) -> None:
    """The same requests with nginx as it is: both of its logs name who came."""
    (tmp_path / "page").mkdir()
    text = "server {\n    listen @IPV4@;\n    listen @IPV6@;\n    root @DIR@/page;\n}\n"
    with Nginx(tmp_path / "open", text) as server:
        ask(server, asked_for("/secret-17", "bad.example"))
        ask(server, STRANGE["half a host"])
        server.stop()
        assert "secret-17" in (server.folder / "access.log").read_text()
        assert "127.0.0.1" in (server.folder / "error.log").read_text()
