"""A provider without this program: the commands of the guide, as they are printed, against a real nginx.

What differs from a provider's machine stands where curl itself looks for it, in `.curlrc`: where the name of the
publisher leads to, and which certificates are used. Not a character of the commands is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from kit.fixed import LIST
from kit.hostile import key_of
from kit.nginx import DOCS, Clients, Publisher, certificates
from kit.pki import Authority
from kit.site import Site

from blocklist.seal.ca import new_revocation_list

GUIDE = (DOCS / "verify.md").read_text(encoding="utf-8")
SECTION = GUIDE.split("## Verifying without this program\n")[1]
BY_HAND, WITH_REVOKED = re.findall(r"(?ms)^```sh\n(.*?)^```$", SECTION)[:2]
(CURLRC,) = re.findall(r"(?ms)^```text\n# ~/.curlrc\n(.*?)^```$", SECTION)


@dataclass(frozen=True)
class Hand:
    """A folder with the authority that a provider was given, and a shell in it; `tree` is what is published."""

    folder: Path
    home: Path
    tree: Path
    site: Site

    @property
    def release(self) -> Path:
        return self.tree / LIST / (self.tree / LIST / "latest").read_text().strip()

    def __call__(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(self.home), "HOME": str(self.home)}
        words = ["bash", "-c", script]
        return subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def refuses(self, program: str, message: str) -> None:
        """The commands fail at one program, and do not go on."""
        done = self(BY_HAND)
        assert done.returncode != 0, done.stdout
        assert re.search(message, done.stderr), done.stderr
        assert program == "grep" or "# Made" not in done.stdout


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("pki") / "ca", "blocklist providers")


@pytest.fixture(scope="module")
def clients(pki: Authority, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return Clients.of(pki, tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("office") / "site", datetime.now(UTC))
    site.block("one.example", hosts=["www.two.example"])
    site.publish()
    return site


@pytest.fixture(scope="module")
def publisher(pki: Authority, clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    folder = tmp_path_factory.mktemp("publisher")
    with Publisher(folder, folder / "exports", certificates(folder, pki, clients), clients.good, pki.certificate) as it:
        yield it


@pytest.fixture
def hand(publisher: Publisher, published: Site, pki: Authority, clients: Clients, tmp_path: Path) -> Hand:
    made = Hand(tmp_path / "by-hand", tmp_path / "home", tmp_path / "tree", published)
    made.folder.mkdir()
    made.home.mkdir()
    shutil.copytree(published.exports, made.tree)
    shutil.copy(published.exports / "seal.pem", made.folder)
    publisher.serve(made.tree)
    write_curlrc(made, publisher, pki, clients.good)
    return made


def write_curlrc(hand: Hand, publisher: Publisher, pki: Authority, client: tuple[Path, Path]) -> None:
    """The lines of the guide, with the files of the tests; and where the publisher is."""
    files = {"publisher-ca.pem": pki.certificate, "provider.pem": client[0], "provider.key": client[1]}
    text = re.sub(r"/etc/blocklist/([\w.-]+)", lambda path: str(files[path[1]]), CURLRC)
    leads = f"connect-to = exports.blocklist.example:443:127.0.0.1:{publisher.port}\n"
    (hand.home / ".curlrc").write_text(text + leads)


# --- The commands -----------------------------------------------------------------------------------------------------


def test_they_are_five() -> None:
    commands = re.split(r"&&|\n", BY_HAND.replace("\\\n", " ").strip())
    programs = [command.split("$(")[-1].split()[0] for command in commands if command.strip()]
    assert programs == ["curl", "curl", "openssl", "sha256sum", "grep"]


def test_they_verify_a_release(hand: Hand) -> None:
    done = hand(BY_HAND)
    assert done.returncode == 0, done.stderr
    assert "CAdES Verification successful" in done.stderr
    assert "rpz.zone: OK" in done.stdout
    assert (hand.folder / "rpz.zone").read_bytes() == (hand.release / "rpz.zone").read_bytes()
    assert f"# List {LIST}, environment test, release {hand.release.name}" in done.stdout
    assert re.search(r"(?m)^# Made \S+Z, valid until \S+Z$", done.stdout)


def test_they_verify_the_next_one_in_the_same_folder(hand: Hand) -> None:
    for _ in range(2):
        assert hand(BY_HAND).returncode == 0


def test_with_the_revocation_list(hand: Hand) -> None:
    assert hand(BY_HAND).returncode == 0
    done = hand(WITH_REVOKED)
    assert done.returncode == 0, done.stderr


# --- What they refuse -------------------------------------------------------------------------------------------------


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a published file; it is a file of its own by then, and no link to another."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


TAMPERED = {
    "another name": ("rpz.zone", lambda old: old.replace(b"one.example", b"own.example"), "sha256sum", "did NOT match"),
    "a name more": ("rpz.zone", lambda old: old + b"evil.example CNAME .\n", "sha256sum", "did NOT match"),
    "cut": ("rpz.zone", lambda old: old[: len(old) // 2], "sha256sum", "did NOT match"),
    "a sum": ("SHA256SUMS", lambda old: old.replace(b"0", b"1"), "openssl", "(?i)verification failure"),
    "a later date": ("SHA256SUMS", lambda old: old.replace(b"until 2", b"until 3"), "openssl", "(?i)verification fail"),
    "line ends": ("SHA256SUMS", lambda old: old.replace(b"\n", b"\r\n"), "openssl", "(?i)verification failure"),
    "no seal": ("SHA256SUMS.p7s", lambda _: b"", "openssl", "."),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_file_that_was_tampered_with(hand: Hand, what: str) -> None:
    name, change, program, message = TAMPERED[what]
    changed(hand.release / name, change)
    hand.refuses(program, message)


def test_the_seal_of_another_authority(hand: Hand, tmp_path: Path) -> None:
    """All of it is genuine, and sealed by an office of that name which nobody trusts."""
    other = Site(tmp_path / "other", datetime.now(UTC))
    other.block("evil.example")
    other.publish()
    shutil.rmtree(hand.tree)
    shutil.copytree(other.exports, hand.tree)
    hand.refuses("openssl", "(?i)certificate verify error|self.signed|unable to get")


def test_an_authority_of_another_environment(hand: Hand, tmp_path: Path) -> None:
    other = Site(tmp_path / "production", datetime.now(UTC), "production")
    shutil.copy(other.exports / "seal.pem", hand.folder)
    hand.refuses("openssl", "(?i)certificate verify error|unable to get")


def test_an_authority_of_the_system_seals_nothing(hand: Hand, tmp_path: Path) -> None:
    """One that openssl trusts without being asked to, as `SSL_CERT_DIR` says; only the options keep it out."""
    other = Site(tmp_path / "other", datetime.now(UTC), "production")
    system = tmp_path / "system"
    system.mkdir()
    (hand.folder / "seal.pem").rename(system / "seal.pem")
    shutil.copy(other.exports / "seal.pem", hand.folder)
    trusting = f"export SSL_CERT_DIR={system}\nopenssl rehash {system}\n"
    done = hand(trusting + BY_HAND)
    assert done.returncode != 0
    assert "# Made" not in done.stdout
    lax = BY_HAND.replace(" -no-CApath -no-CAstore", "")
    assert lax != BY_HAND
    assert hand(trusting + lax).returncode == 0


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.p7s", "rpz.zone"])
def test_a_file_that_is_missing(hand: Hand, name: str) -> None:
    """One from yesterday in the folder does not stand in for it."""
    assert hand(BY_HAND).returncode == 0
    (hand.release / name).unlink()
    hand.refuses("curl", "error: 404")


def test_nothing_is_published(hand: Hand) -> None:
    (hand.tree / LIST / "latest").unlink()
    hand.refuses("curl", "error: 404")


HOSTILE = [
    "own/seal.pem?",
    "own/seal.pem#",
    "own -o seal.pem https://exports.blocklist.example/own/seal.pem",
    "{own/seal.pem?,own}",
    "../own/seal.pem?",
    "$(cp own seal.pem)",
    "own\n-o seal.pem",
]


@pytest.mark.parametrize("latest", HOSTILE)
def test_a_hostile_name_of_the_release_touches_nothing(hand: Hand, tmp_path: Path, latest: str) -> None:
    """Whoever has the web server names the release. That must not put another authority into the folder."""
    other = Site(tmp_path / "other", datetime.now(UTC))
    for folder in (hand.tree / "own", hand.tree / LIST / "own"):
        shutil.copytree(other.exports, folder)
    (hand.tree / LIST / "latest").unlink()
    (hand.tree / LIST / "latest").write_text(f"{latest}\n")
    given = (hand.folder / "seal.pem").read_bytes()
    done = hand(BY_HAND)
    assert done.returncode != 0
    assert "# Made" not in done.stdout
    assert (hand.folder / "seal.pem").read_bytes() == given
    assert {path.name for path in hand.folder.iterdir()} <= {"seal.pem", "SHA256SUMS", "SHA256SUMS.p7s", "rpz.zone"}


def test_a_revoked_seal(hand: Hand) -> None:
    certificate = x509.load_pem_x509_certificate((hand.site.workspace.lists / "trust/seal.crt").read_bytes())
    key = key_of(hand.site, "seal-authority")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    revoked = {certificate.serial_number: datetime.now(UTC)}
    pem = (hand.tree / "seal.pem").read_bytes()
    list_of_revoked = new_revocation_list(pem, key, revoked, 9, datetime.now(UTC), 30)
    changed(hand.tree / "seal.crl", lambda _: list_of_revoked)
    assert hand(BY_HAND).returncode == 0
    done = hand(WITH_REVOKED)
    assert done.returncode != 0
    assert "certificate revoked" in done.stderr


@pytest.mark.parametrize("who", ["revoked", "strange"])
def test_who_is_not_let_in_gets_nothing(
    hand: Hand, publisher: Publisher, pki: Authority, clients: Clients, who: str
) -> None:
    write_curlrc(hand, publisher, pki, getattr(clients, who))
    hand.refuses("curl", "error: 400")
    assert [path.name for path in hand.folder.iterdir()] == ["seal.pem"]


def test_a_server_of_another_authority(hand: Hand, publisher: Publisher, clients: Clients, tmp_path: Path) -> None:
    write_curlrc(hand, publisher, Authority.make(tmp_path / "ca", "blocklist providers"), clients.good)
    hand.refuses("curl", "certificate")
    assert [path.name for path in hand.folder.iterdir()] == ["seal.pem"]
