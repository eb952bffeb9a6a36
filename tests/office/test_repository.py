"""The published tree: its layout, other people's tools on it, and a disk that fails at any write."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.breaking import Breaking
from kit.faults_disk import HOWS, Machine, Resolvers
from kit.fixed import DAY, HOUR, LIST
from kit.site import Site, adopt, copied
from kit.tree import FILES, clean, current, verified, with_openssl, with_tuf
from tuf.api.metadata import Metadata

from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.names.domain_name import Name, Scope
from blocklist.office import remove
from blocklist.release.manifest import SEAL, SUMS


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
        fresh.tree.current(LIST)
    assert caught.value.exit_code == 3
    with pytest.raises(VerificationError):
        fresh.publish()
    assert {entry: entry.read_bytes() for entry in fresh.exports.rglob("*") if entry.is_file()} == before


@pytest.mark.parametrize("index", range(3))
def test_lost_metadata_are_made_anew_and_the_releases_stay(fresh: Site, tmp_path: Path, index: int) -> None:
    before = {path: path.read_bytes() for path in (fresh.exports / LIST).glob("2*Z/*")}
    verified(fresh, tmp_path / "client")
    lost = fresh.exports / "metadata" / metadata_files(fresh)[index]
    lost.unlink()
    assert fresh.tree.damaged(LIST, waiting=False) == [lost]
    assert fresh.publish().changed
    assert {path: path.read_bytes() for path in before} == before
    assert verified(fresh, tmp_path / "client") == int(fresh.now.timestamp())
    assert fresh.tree.damaged(LIST) == []


def test_where_only_the_timestamp_is_lost_the_next_release_goes_on_from_the_last_one(fresh: Site) -> None:
    (fresh.exports / "metadata/timestamp.json").unlink()
    plan = fresh.publish().draft.plan
    assert plan.since == int((fresh.now - HOUR).timestamp())
    assert len(plan.added) == 2
    assert clean(fresh)


def test_the_number_goes_up_even_if_the_snapshot_is_lost(fresh: Site) -> None:
    """A client that has seen the last one takes no lower one."""
    number = fresh.publish().number
    (fresh.exports / f"metadata/{number}.snapshot.json").unlink()
    assert fresh.publish().number == number + 1


def test_before_the_first_release(tmp_path: Path) -> None:
    made = Site(tmp_path, datetime.now(UTC))
    assert made.tree.current(LIST) is None
    assert made.tree.last_number() == 0


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


class Disk(Machine):
    """A disk that fails at one step of one file. Two threads write a release, so that a step has a name and no number.

    Args:
        stash: A folder for what a power cut brings back.
        row: What fails: the step as it is in `steps`, and how many like it come before.
        how: See `HOWS`.
    """

    def __init__(self, stash: Path, row: tuple[str, int] | None = None, how: str = "before") -> None:
        super().__init__(stash, Resolvers(), how=how)
        self._row = row
        self._lock = threading.RLock()

    def step(self, what: str, act: Callable[[], Any], torn: Callable[[], Any] = lambda: None) -> Any:
        with self._lock:
            name = re.sub("-[0-9a-f]{12}$", "", what)  # of a temporary file, which is random
            if (name, self.steps.count(name)) == self._row and not self.broke:
                self._number = len(self.steps) + 1
            return super().step(name, act, torn)

    @property
    def rows(self) -> dict[tuple[str, int], int]:
        """What can fail, with its place among all steps; of the many writes to one file the first and the last."""
        rows = {(step, self.steps[:place].count(step)): place for place, step in enumerate(self.steps)}
        last = {row[0]: row[1] for row in rows}
        return {row: rows[row] for row in rows if not row[0].startswith("write ") or row[1] in (0, last[row[0]])}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A publish with everything to do: a head to remember, a crash to clear, a release to prune, one to make."""
    made = Site(tmp_path_factory.mktemp("busy") / "site", datetime.now(UTC) - 30 * HOUR)
    adopt(made, formats=["rpz", "hosts"])
    for name in ("one.example", "two.example"):
        made.block(name)
        made.publish()
        made.now += 28 * HOUR if name == "one.example" else HOUR
    made.block("three.example")
    with Disk(made.folder, ("write .tmp-timestamp.json", 0), "dead"), pytest.raises(TargetError):
        made.publish()
    made.now += HOUR
    adopt(made, keep=int(DAY.total_seconds()))
    made.block("four.example")
    shutil.rmtree(made.keys.path / "seen")
    return made


STAGES = {
    # what a stage of a publish begins with                 before  after   dead    lost: which release readers see then
    "lock": (r"open publish\.lock",                         "old     old     old     old"),
    "folder of heads": (r"mkdir seen",                      "old     new     old     old"),
    "head": (r"fsync keys",                                 "old     old     old     old"),
    "clear": (r"unlink \.tmp-timestamp\.json",              "old     old     old     old"),
    "prune": (r"unlink {first}\.",                          "new     new     old     old"),
    "folders that are there": (rf"mkdir {LIST}",            "new     new     old     old"),
    "files": (r"mkdir \.tmp-{folder}",                      "old     old     old     old"),
    "links": (r"link ",                                     "old     old     old     old"),
    "role": (rf"open \.tmp-{{number}}\.{LIST}\.json",      "old     old     old     old"),
    "snapshot": (r"open \.tmp-{number}\.snapshot\.json",   "old     old     old     old"),
    "timestamp": (r"open \.tmp-timestamp\.json",            "old     old     old     old"),
    "commit": (r"replace \.tmp-timestamp\.json",            "old     new     old     old"),
    "commit, durable": (r"fsync metadata",                  "new     new     new     old"),
    "latest": (r"open \.tmp-latest",                        "new     new     new     new"),
}  # fmt: skip
"""The old release stays until the commit. What does not hold a release is told: a prune that fails, above all."""


def stages_of(steps: list[str], site: Site) -> list[str]:
    """The stage of each step."""
    first = int((site.now - 30 * HOUR).timestamp())
    number, folder = int(site.now.timestamp()), f"{site.now:%Y%m%dT%H%M%SZ}"
    waiting = [(name, begins.format(first=first, number=number, folder=folder)) for name, (begins, _) in STAGES.items()]
    stages: list[str] = []
    for step in steps:
        stages.append(waiting.pop(0)[0] if waiting and re.match(waiting[0][1], step) else stages[-1])
    assert waiting == []
    return stages


@pytest.mark.parametrize("how", HOWS)
def test_a_disk_that_fails_at_any_step(busy: Site, tmp_path: Path, how: str) -> None:
    """The tree shows the previous release or the new one, whole; the next publish starts anew and clears."""
    old, new = int((busy.now - 2 * HOUR).timestamp()), int(busy.now.timestamp())
    with Disk(tmp_path / "stash") as disk:
        assert copied(busy, tmp_path / "undisturbed").publish().failure is None
    wrong, stages = [], stages_of(disk.steps, busy)
    for row, place in disk.rows.items():
        stage = stages[place]
        shown = {"old": old, "new": new}[STAGES[stage][1].split()[HOWS.index(how)]]
        found = list(faults_of_publish(copied(busy, tmp_path / "site"), tmp_path, row, how, shown))
        wrong += [f"{stage}, {row}: {fault}" for fault in found]
        for folder in ("site", "client"):
            shutil.rmtree(tmp_path / folder)
    assert wrong == []


def faults_of_publish(site: Site, folder: Path, row: tuple[str, int], how: str, shown: int) -> Iterator[str]:
    """What is wrong after a publish on a disk that failed at one step, and after the next publish."""
    with Disk(folder / "stash", row, how) as disk:
        told = told_by(site)
    if not disk.broke:
        yield "nothing failed"
    if not isinstance(told, TargetError) and not row[0].startswith("mkdir"):
        yield f"told was {told}"
    names = [path.name for path in current(site).iterdir()]
    if (number := verified(site, folder / "client", names)) != shown:
        yield f"release {number} is shown"
    followed = current(site)
    committed = shown == int(site.now.timestamp())
    site.now += timedelta(minutes=1)
    if site.publish().changed is committed:
        yield "the next publish does not go on where that one ended"
    if left := list(site.exports.rglob(".tmp-*")):
        yield f"the next publish has left {left}"
    if not followed.exists() or with_openssl(followed, site.exports / "seal.pem"):
        yield "what 'latest' had led to is gone"
    if committed:  # what could not be pruned waits for the next release
        site.now += timedelta(hours=6)
        site.publish()
    verified(site, folder / "client", names)
    clean(site)


def told_by(site: Site) -> BlocklistError | None:
    """What a publish says that went wrong."""
    try:
        return site.publish().failure
    except BlocklistError as fault:
        return fault


@pytest.mark.parametrize("undone", [True, False], ids=["nothing to publish", "braked"])
def test_the_next_publish_clears_whether_or_not_it_makes_a_release(fresh: Site, tmp_path: Path, undone: bool) -> None:
    with Disk(tmp_path, ("write .tmp-timestamp.json", 0), "dead"), pytest.raises(TargetError):
        fresh.publish()
    with pytest.raises(AssertionError):
        clean(fresh)
    if undone:
        with fresh.office("agent-1") as office:
            remove.remove(
                office, [Name("three.example", Scope.DOMAIN), Name("www.four.example", Scope.HOST)], "error", ""
            )
        assert not fresh.publish().changed
    else:
        fresh.block(*(f"name-{number}.example" for number in range(21)))
        with pytest.raises(RefusedError, match="names are added"):
            fresh.publish()
    assert clean(fresh)
    assert verified(fresh, tmp_path / "client") == int((fresh.now - HOUR).timestamp())


def test_a_first_release_that_failed(tmp_path: Path) -> None:
    made = Site(tmp_path / "site", datetime.now(UTC))
    made.block("one.example")
    for number in range(1, 200, 4):
        with Breaking(number, "before") as breaking, contextlib.suppress(TargetError):
            made.publish()
        if not breaking.broke:
            break
        if (found := made.tree.current(LIST)) is not None:
            got = with_tuf(made.exports, tmp_path / "client", made.root.read_bytes())
            assert f"({found.number})".encode() in got["rpz.zone"]
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
