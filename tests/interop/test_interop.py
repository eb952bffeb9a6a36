"""Other people's programs follow one history of the published tree: two TUF clients, `openssl` and `sha256sum`.

The clients are python-tuf's own and tuf-js, over HTTP, as their guides say and with nothing of ours. That an act's
signature can be verified with `openssl` alone is in test_docs.py and test_acts.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from kit.fixed import LIST
from kit.heads import HUGE, ceremony, fingerprint, release, rotate, shown, sign, steal
from kit.hostile import Thief
from kit.paths import ROOT
from kit.site import Site, copied
from kit.tree import FILES, OPENSSL
from tuf.api.exceptions import RepositoryError
from tuf.ngclient import Updater

from blocklist.keys.encoding import PublicKey
from blocklist.trust.genesis import keep_key
from blocklist.trust.seal_certificates import renew, revoke

SCRIPT = Path(__file__).parent / "update.cjs"
MODULES = ROOT / "build/interop/node_modules"

# --- The history ------------------------------------------------------------------------------------------------------

BEFORE_RELEASE = ("", "", "root", "targets", "publisher", "theft", "root on P-256", "timestamp", "", "")
"""What happens to keys before each of the ten releases."""


@dataclass(frozen=True)
class History:
    """The tree at every moment in which it changed, each in a folder below `folder`; the last has ten releases.

    Attributes:
        site: The office, as it is after the last release.
        trees: The copies, in order.
        altered: The last tree, with one octet of the policy zone changed.
        stolen: The last tree, continued by the thief with the keys from before the recovery.
    """

    folder: Path
    site: Site
    trees: tuple[Path, ...]
    altered: Path
    stolen: Path


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("interop")
    site = Site(folder / "site", datetime.now(UTC))
    trees: list[Path] = []

    def show(what: str) -> None:
        trees.append(shutil.copytree(site.exports, folder / f"{len(trees)}-{what.replace(' ', '-')}"))

    thief: Thief | None = None
    for number, step in enumerate(BEFORE_RELEASE, 1):
        match step:
            case "theft":
                thief = steal(site, folder / "thief")
                assert shown(site).version == HUGE
                show("theft")
                recover(site)
            case "root on P-256":
                rotate_to(site, "root", ec.SECP256R1())
            case role if role:
                rotate(site, role)
        if step:
            show(f"{step}-signed")
        release(site, f"name-{number}.example")
        show(f"release-{number}")
    assert thief is not None
    return History(folder, site, tuple(trees), altered(trees[-1], folder), continued(thief, trees[-1]))


def recover(site: Site) -> None:
    """What the guide says after a theft: new keys for all of the publisher's roles, and another seal."""
    rotate(site, "publisher", stolen=True)
    revoke(site.tree.heads, site.keys, fingerprint(site, "seal"), site.now)
    renew(site.tree.heads, site.keys, site.now)


def rotate_to(site: Site, role: str, curve: ec.EllipticCurve) -> None:
    """Exchange a role's key for one as tokens make them."""
    private = ec.generate_private_key(curve)
    keep_key(site.keys, role, private, encrypt=False)
    ceremony(site).rotate([role], PublicKey.wrap(private.public_key()), None, stolen=False, encrypt=False)
    sign(site)


def altered(tree: Path, folder: Path) -> Path:
    made = shutil.copytree(tree, folder / "altered")
    (path,) = (made / "targets" / LIST).glob(f"{published(tree)[f'{LIST}/rpz.zone']}.*")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    return made


def continued(thief: Thief, tree: Path) -> Path:
    shutil.rmtree(thief.exports)
    shutil.copytree(tree, thief.exports)
    thief.offer(number=HUGE + 1)
    return thief.exports


def published(tree: Path) -> dict[str, str]:
    """The SHA-256 of each target as people see them: the list's under their plain names, and the heads' pin."""
    release_folder = tree / LIST / (tree / LIST / "latest").read_text().strip()
    (pin,) = (tree / "targets/registers").glob(f"*.{LIST}.json")
    paths = {f"{LIST}/{name}": release_folder / name for name in FILES} | {f"registers/{LIST}.json": pin}
    return {target: sha256(path) for target, path in paths.items()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- The clients ------------------------------------------------------------------------------------------------------


class RefusalError(Exception):
    """A client does not believe what it was shown."""


class Client:
    """A program with a folder of its own, whose `metadata` hold the first root in the beginning."""

    def __init__(self, folder: Path, site: str, root: Path) -> None:
        self.folder, self.site = folder, site
        for name in ("metadata", "targets"):
            (folder / name).mkdir(parents=True)
        shutil.copy(root, folder / "metadata/root.json")

    def get(self, url: str, targets: list[str]) -> None:
        """Update from this tree and download the targets; to be written for each program."""
        raise NotImplementedError

    def update(self, tree: Path) -> None:
        shutil.rmtree(self.folder / "targets")
        (self.folder / "targets").mkdir()
        self.get(f"{self.site}/{tree.name}", list(published(tree)))

    @property
    def downloaded(self) -> dict[str, str]:
        return {unquote(path.name): sha256(path) for path in (self.folder / "targets").iterdir()}

    @property
    def trusted(self) -> dict[str, bytes]:
        folder = self.folder / "metadata"
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def follows(self, tree: Path) -> None:
        """It gets every target as it was published, and trusts the newest root."""
        self.update(tree)
        assert self.downloaded == published(tree)
        newest = max(version(path) for path in (tree / "metadata").glob("*.root.json"))
        assert version(self.folder / "metadata/root.json") == newest
        assert self.trusted["timestamp.json"] == (tree / "metadata/timestamp.json").read_bytes()

    def refuses(self, tree: Path, match: str) -> None:
        """It says why, trusts what it trusted, and keeps nothing that was not published."""
        before = self.trusted
        with pytest.raises(RefusalError, match=match):
            self.update(tree)
        assert self.trusted == before
        assert self.downloaded.items() <= published(tree).items()


class PythonTuf(Client):
    def get(self, url: str, targets: list[str]) -> None:
        folders = str(self.folder / "metadata"), f"{url}/metadata", str(self.folder / "targets"), f"{url}/targets"
        updater = Updater(*folders, bootstrap=None)
        try:
            updater.refresh()
            for path in targets:
                target = updater.get_targetinfo(path)
                assert target is not None, path
                updater.download_target(target)
        except RepositoryError as error:
            raise RefusalError(str(error)) from error


class TufJs(Client):
    def get(self, url: str, targets: list[str]) -> None:
        environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(MODULES)}  # without proxies
        command = ["node", SCRIPT, self.folder, url, *targets]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RefusalError(done.stderr)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url(history: History) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=history.folder)) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=[PythonTuf, TufJs])
def client(request: pytest.FixtureRequest, history: History, url: str, tmp_path: Path) -> Client:
    if request.param is TufJs and not MODULES.is_dir():
        pytest.fail("tuf-js is not installed: run tests/run once, which installs it", pytrace=False)
    made: Client = request.param(tmp_path / "client", url, history.trees[0] / "metadata/1.root.json")
    return made


def version(path: Path) -> int:
    return int(json.loads(path.read_bytes())["signed"]["version"])


# --- What they say ----------------------------------------------------------------------------------------------------


def test_a_client_follows_ten_releases_rotations_and_a_theft(history: History, client: Client) -> None:
    """Whoever saw the thief's highest versions goes on by itself, and nobody is shown a tree that cannot be read."""
    for tree in history.trees:
        client.follows(tree)
    assert version(client.folder / "metadata/root.json") == 1 + sum(map(bool, BEFORE_RELEASE))


def test_a_client_that_slept_from_the_first_release_to_the_last(history: History, client: Client) -> None:
    client.follows(history.trees[0])
    client.follows(history.trees[-1])


def test_an_altered_target_is_refused(history: History, client: Client) -> None:
    client.follows(history.trees[-1])
    client.refuses(history.altered, "(?i)hash")
    assert f"{LIST}/rpz.zone" not in client.downloaded
    client.follows(history.trees[-1])


def test_every_older_tree_is_refused(history: History, client: Client) -> None:
    """By its version under the same keys; by its signature where they were exchanged since, the thief's tree too."""
    *older, before, last = history.trees
    client.follows(last)
    client.refuses(before, "timestamp version")
    for tree in older:
        client.refuses(tree, "timestamp version|timestamp was signed by 0/1 keys")
    client.follows(last)


def test_stolen_keys_are_refused_after_the_recovery(history: History, client: Client) -> None:
    client.follows(history.trees[-1])
    client.refuses(history.stolen, "timestamp was signed by 0/1 keys")
    client.follows(history.trees[-1])


def test_a_root_key_on_p384(history: History, client: Client, tmp_path: Path) -> None:
    """This tuf-js verifies it with SHA-256 instead of SHA-384; where such clients are, it is for P-256 or Ed25519."""
    site = copied(history.site, tmp_path / "site")
    rotate_to(site, "root", ec.SECP384R1())
    release(site, "more.example")
    tree = shutil.copytree(site.exports, history.folder / f"p384-{type(client).__name__}")
    client.follows(history.trees[-1])
    if isinstance(client, TufJs):
        client.refuses(tree, "root was signed by 0/1 keys")
    else:
        client.follows(tree)


def test_openssl_and_sha256sum_accept_every_release(history: History) -> None:
    seal = ["openssl", *OPENSSL.split(), "-CAfile", history.trees[-1] / "seal.pem", "-out", os.devnull]
    releases = sorted((history.trees[-1] / LIST).glob("2*Z"))
    assert len(releases) == len(BEFORE_RELEASE)
    for folder in releases:
        for command in (seal, ["sha256sum", "--strict", "-c", "SHA256SUMS"]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
