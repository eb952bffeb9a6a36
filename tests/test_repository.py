"""The published tree: its layout, other people's tools on it, and a disk that fails at any write."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit import HOUR, LIST, Breaking, Site, no_passphrase
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from blocklist import formats
from blocklist.client.verify import verify
from blocklist.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.release import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS
from blocklist.signing import KeyFolder
from blocklist.workspace import Workspace

FILES = (*sorted((ACTS, ANNOUNCED, CHANGES, *(entry.file for entry in formats.FORMATS.values()))), SUMS, SEAL)
OPENSSL = "cms -verify -cades -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS -no-CApath -no-CAstore"


class Plain(FetcherInterface):
    """The whole of what python-tuf needs to read a tree on a disk."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(urlsplit(url).path)
        if not path.exists():
            raise DownloadHTTPError(f"{path} is not there", 404)
        return iter([path.read_bytes()])


def with_tuf(exports: Path, folder: Path, root: bytes) -> dict[str, bytes]:
    """Every file of the current release, as python-tuf's own client gets it."""
    folder.mkdir(exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    url = exports.as_uri()
    client = Updater(
        str(folder / "metadata"), f"{url}/metadata", str(folder), f"{url}/targets", fetcher=Plain(), bootstrap=root
    )
    client.refresh()
    got = {}
    for name in FILES:
        target = client.get_targetinfo(f"{LIST}/{name}")
        assert target is not None, name
        got[name] = Path(client.download_target(target)).read_bytes()
    assert client.get_targetinfo(f"registers/{LIST}.json") is not None
    return got


def with_openssl(folder: Path, authority: Path) -> str:
    """What the header of every export tells people to run; returns what went wrong, or nothing."""
    seal = ["openssl", *OPENSSL.split(), "-CAfile", str(authority), "-out", "/dev/null"]
    for command in (seal, ["sha256sum", "--strict", "--ignore-missing", "-c", "SHA256SUMS"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout + done.stderr
    return ""


def current(site: Site) -> Path:
    return site.exports / LIST / (site.exports / LIST / "latest").read_text().strip()


def copied(site: Site, folder: Path) -> Site:
    """The same site at another place, with its hard links."""
    subprocess.run(["cp", "-a", site.folder, folder], check=True)
    other = copy.copy(site)
    other.folder, other.keys = folder, KeyFolder(folder / "keys", no_passphrase)
    other.workspace = Workspace(folder / "office", other.keys)
    return other


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One release, and a change that is not published yet."""
    made = Site(tmp_path_factory.mktemp("repository") / "site", datetime.now(UTC))
    made.block("one.example", "two.example")
    made.publish()
    made.now += HOUR
    made.block("three.example", hosts=["www.four.example"])
    return made


@pytest.fixture
def fresh(site: Site, tmp_path: Path) -> Site:
    return copied(site, tmp_path / "site")


# --- Layout -----------------------------------------------------------------------------------------------------------


def test_the_tree_is_as_documented(fresh: Site) -> None:
    first = int((fresh.now - HOUR).timestamp())
    fresh.publish()
    second, folder = int(fresh.now.timestamp()), fresh.exports
    assert {path.name for path in folder.iterdir()} == {"seal.pem", "seal.crl", "metadata", "targets", LIST}
    assert {path.name for path in (folder / "metadata").iterdir()} == {
        "1.root.json",
        "1.targets.json",
        f"{first}.{LIST}.json",
        f"{first}.snapshot.json",
        f"{second}.{LIST}.json",
        f"{second}.snapshot.json",
        "timestamp.json",
    }
    releases = {datetime.fromtimestamp(number, UTC).strftime("%Y%m%dT%H%M%SZ") for number in (first, second)}
    assert {path.name for path in (folder / LIST).iterdir()} == releases | {"latest"}
    assert (folder / LIST / "latest").read_text() == f"{max(releases)}\n"
    assert {path.name for path in (folder / LIST / max(releases)).iterdir()} == set(FILES)
    (pin,) = (folder / "targets/registers").iterdir()
    assert pin.name.endswith(f".{LIST}.json")
    assert b'"environment":"test"' in pin.read_bytes()


def test_tuf_names_are_hard_links_to_the_plain_files(fresh: Site) -> None:
    fresh.publish()
    role = Metadata.from_file(str(fresh.exports / f"metadata/{int(fresh.now.timestamp())}.{LIST}.json")).signed
    assert set(role.targets) == {f"{LIST}/{name}" for name in FILES}
    for path, target in role.targets.items():
        assert (fresh.exports / "targets" / target.get_prefixed_paths()[0]).samefile(
            current(fresh) / path.split("/")[1]
        )


def test_everybody_may_read_what_is_published_and_nobody_else_may_read_a_key(fresh: Site) -> None:
    fresh.publish()
    for path in fresh.exports.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o444 == 0o444, path
        assert not mode & 0o022, path
    for path in fresh.keys.path.glob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_publishers_roles_expire_with_the_release(fresh: Site) -> None:
    fresh.publish()
    number = int(fresh.now.timestamp())
    for name in ("timestamp.json", f"{number}.snapshot.json", f"{number}.{LIST}.json"):
        signed = Metadata.from_file(str(fresh.exports / "metadata" / name)).signed
        assert (signed.version, signed.expires) == (number, fresh.now + 12 * HOUR)


def test_delegation_and_thresholds(fresh: Site) -> None:
    targets = Metadata.from_file(str(fresh.exports / "metadata/1.targets.json")).signed
    assert targets.delegations is not None
    (role,) = targets.delegations.roles.values()
    assert (role.name, role.paths, role.terminating, role.threshold) == (LIST, [f"{LIST}/*"], True, 1)
    root = Metadata.from_file(str(fresh.root)).signed
    used = [keyid for entry in root.roles.values() for keyid in entry.keyids] + role.keyids
    assert len(set(used)) == len(used) == 5  # no role shares a key with another one
    for name in ("1.root.json", "1.targets.json"):
        assert (fresh.workspace.lists / "trust" / name).read_bytes() == (fresh.exports / "metadata" / name).read_bytes()


def test_founding_again_changes_nothing(fresh: Site) -> None:
    before = {path: path.read_bytes() for path in fresh.exports.rglob("*") if path.is_file()}
    Site.__init__.__globals__["init"](
        fresh.workspace, LIST, "test", "head-1", Path("/nonexistent"), fresh.now, encrypt=False
    )
    assert {path: path.read_bytes() for path in fresh.exports.rglob("*") if path.is_file()} == before


# --- Promise 3: anyone can verify -------------------------------------------------------------------------------------


def test_promise_3_any_tuf_client_accepts_every_release(fresh: Site, tmp_path: Path) -> None:
    root, client = fresh.root.read_bytes(), tmp_path / "client"
    for step in range(3):
        got = with_tuf(fresh.exports, client, root)
        assert got == {name: (current(fresh) / name).read_bytes() for name in FILES}
        assert got == with_tuf(fresh.exports, tmp_path / f"new-{step}", root)
        fresh.now += HOUR
        fresh.block(f"more-{step}.example")
        fresh.publish()


def test_promise_3_openssl_and_sha256sum_accept_every_release(fresh: Site, tmp_path: Path) -> None:
    fresh.publish()
    for folder in (fresh.exports / LIST).glob("2*Z"):
        assert with_openssl(folder, fresh.exports / "seal.pem") == ""
    # A provider that fetched only what it needs:
    for name in ("rpz.zone", SUMS, SEAL):
        shutil.copy(current(fresh) / name, tmp_path)
    assert with_openssl(tmp_path, fresh.exports / "seal.pem") == ""


@pytest.mark.parametrize("name", FILES)
def test_promise_3_they_refuse_a_release_that_was_altered(site: Site, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(current(site), tmp_path / "release")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 3] ^= 1
    (folder / name).write_bytes(content)
    assert with_openssl(folder, site.exports / "seal.pem")
    tree = shutil.copytree(site.exports, tmp_path / "tree")
    (target,) = (tree / "targets" / LIST).glob(f"*.{name}")
    target.write_bytes(content)
    with pytest.raises(Exception, match=r"hash|Hash"):
        with_tuf(tree, tmp_path / "client", site.root.read_bytes())


def test_promise_3_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", site.now)
    assert "verify error" in with_openssl(current(site), other.exports / "seal.pem")


def test_the_command_in_the_header_is_the_one_that_works(site: Site, tmp_path: Path) -> None:
    folder = shutil.copytree(current(site), tmp_path / "release")
    shutil.copy(site.exports / "seal.pem", folder)
    (line,) = [line for line in (folder / "rpz.zone").read_text().splitlines() if line.startswith("; Verify: ")]
    command = line.removeprefix("; Verify: ")
    assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=False).returncode == 0
    with (folder / "hosts.txt").open("a") as stream:
        stream.write("192.0.2.1 evil.example\n")
    assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=False).returncode != 0


# --- Somebody changed the tree ----------------------------------------------------------------------------------------


def metadata_files(site: Site) -> list[str]:
    number = int((site.now - HOUR).timestamp())
    return ["timestamp.json", f"{number}.snapshot.json", f"{number}.{LIST}.json"]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("how", ["signature", "content", "garbage", "empty", "other role", "deep"])
def test_altered_metadata_stop_the_publisher(fresh: Site, index: int, how: str) -> None:
    path = fresh.exports / "metadata" / metadata_files(fresh)[index]
    content = path.read_text()
    path.write_text(
        {
            "signature": content.replace('"sig": "', '"sig": "00', 1),
            "content": content.replace('"expires": "20', '"expires": "21', 1),
            "garbage": "<html>",
            "empty": "",
            "other role": fresh.root.read_text(),
            "deep": "[" * 100_000,
        }[how]
    )
    before = {entry: entry.read_bytes() for entry in fresh.exports.rglob("*") if entry.is_file()}
    with pytest.raises(VerificationError) as caught:
        fresh.workspace.repository.current(LIST)
    assert caught.value.exit_code == 3
    with pytest.raises(VerificationError):
        fresh.publish()
    assert {entry: entry.read_bytes() for entry in fresh.exports.rglob("*") if entry.is_file()} == before


@pytest.mark.parametrize("index", [1, 2])
def test_missing_metadata_stop_the_publisher(fresh: Site, index: int) -> None:
    (fresh.exports / "metadata" / metadata_files(fresh)[index]).unlink()
    with pytest.raises(BlocklistError):
        fresh.publish()


def test_before_the_first_release(tmp_path: Path) -> None:
    made = Site(tmp_path, datetime.now(UTC))
    assert made.workspace.repository.current(LIST) is None
    assert made.workspace.repository.last_number() == 0


def test_a_workspace_that_was_not_founded(fresh: Site) -> None:
    shutil.rmtree(fresh.workspace.lists / "trust")
    with pytest.raises(UsageError, match="there is no root metadata") as caught:
        fresh.publish()
    assert "blocklist init" in caught.value.hint


@pytest.mark.parametrize("role", [LIST, "snapshot", "timestamp", "seal"])
def test_a_key_of_the_publisher_is_missing(fresh: Site, role: str) -> None:
    (path,) = fresh.keys.path.glob(f"{role}-{'[0-9a-f]' * 16}.pem")
    path.unlink()
    with pytest.raises(UsageError, match="there is no key") as caught:
        fresh.publish()
    assert caught.value.exit_code == 2
    assert clean(fresh)
    assert with_tuf(fresh.exports, fresh.folder / "client", fresh.root.read_bytes())


# --- A disk that fails ------------------------------------------------------------------------------------------------


def clean(site: Site) -> bool:
    """Nothing unfinished, and nothing that no committed release refers to."""
    exports = site.exports
    unfinished = [path.name for path in exports.rglob(".tmp-*")]
    roles = {int(path.name.split(".")[0]): path for path in (exports / "metadata").glob(f"*.{LIST}.json")}
    snapshots = {int(path.name.split(".")[0]) for path in (exports / "metadata").glob("*.snapshot.json")}
    folders = {
        int(datetime.strptime(path.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
        for path in (exports / LIST).glob("2*Z")
    }
    wanted = {
        target.get_prefixed_paths()[0]
        for path in roles.values()
        for target in Metadata.from_file(str(path)).signed.targets.values()
    }
    there = {f"{LIST}/{path.name}" for path in (exports / "targets" / LIST).iterdir()}
    assert unfinished == []
    assert snapshots == set(roles) == folders
    assert there == wanted
    return True


def verified(site: Site, folder: Path) -> int:
    """The release that TUF shows, every file of it downloaded; and the one that `latest` names is a sealed one."""
    got = with_tuf(site.exports, folder, site.root.read_bytes())
    latest = verify(current(site), site.exports / "seal.pem", site.founded.register, site.now)
    assert latest.missing == ()
    number = int(Metadata.from_file(str(site.exports / "metadata/timestamp.json")).signed.version)
    assert f"({number})".encode() in got["rpz.zone"]
    return number


@pytest.mark.parametrize(("how", "step"), [("before", 1), ("after", 2), ("dead", 3)])
def test_a_disk_that_fails_at_any_write(site: Site, tmp_path: Path, how: str, step: int) -> None:
    """The tree shows the previous release or the new one, whole; the next publish starts anew and clears."""
    old, new = int((site.now - HOUR).timestamp()), int(site.now.timestamp())
    shown, number, done = set(), 0, False
    while not done:
        number += step
        tried = copied(site, tmp_path / f"{number}")
        with Breaking(number, how) as breaking:
            try:
                tried.publish()
                done = not breaking.broke
            except TargetError as fault:
                assert fault.exit_code == 6
                assert breaking.broke
        found = verified(tried, tmp_path / f"client-{number}")
        assert found in (old, new), breaking.calls
        shown.add(found)
        tried.now += timedelta(hours=7)  # past half of the validity: there is always something to publish
        assert tried.publish().changed
        assert clean(tried), breaking.calls
        shutil.rmtree(tried.folder)
    assert shown == {old, new}
    assert number > 40


def test_a_first_release_that_failed(tmp_path: Path) -> None:
    made = Site(tmp_path / "site", datetime.now(UTC))
    made.block("one.example")
    for number in range(1, 200, 4):
        with Breaking(number, "before") as breaking, contextlib.suppress(TargetError):
            made.publish()
        if not breaking.broke:
            break
        found = made.workspace.repository.current(LIST)
        assert found is None or verified(made, tmp_path / "client") == found.number
        made.now += timedelta(seconds=1)
    assert number > 30
    made.now += timedelta(hours=7)
    made.publish()
    assert clean(made)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(site: Site, tmp_path: Path, small_disk: Path) -> None:
    """Releases until the disk is full: an error, and the last one is whole and current."""
    made = copied(site, tmp_path / "site")
    shutil.move(str(made.exports), small_disk / "exports")
    made.exports.symlink_to(small_disk / "exports")
    published = []
    for number in range(40):
        made.now += HOUR
        made.block(f"more-{number}.example")
        try:
            published.append(made.publish().number)
        except TargetError as fault:
            assert fault.exit_code == 6
            assert "No space left on device" in fault.message
            break
    else:
        pytest.fail("the disk was never full")
    assert verified(made, tmp_path / "client") == published[-1]
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert made.publish().changed
    assert clean(made)
    assert verified(made, tmp_path / "client") == int(made.now.timestamp())


def test_a_tree_that_may_not_be_written(fresh: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(TargetError, match="Permission denied") as caught:
        fresh.publish()
    assert caught.value.exit_code == 6
    monkeypatch.undo()
    assert clean(fresh)


def test_an_expired_seal_certificate(fresh: Site) -> None:
    fresh.now += timedelta(days=366)
    with pytest.raises(RefusedError, match="expired"):
        fresh.publish()
    assert clean(fresh)
