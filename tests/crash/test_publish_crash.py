"""An office that is killed at any moment, and a published tree that is gone or lacks a file: all can be verified.

A disk that fails at any step of a publish, or is full, is in `test_repository.py`; two publishers at once are in
`test_publishing.py`.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.crash_office import STEP, VERBS, Life, Office, Readers, Watch
from kit.effort import KILLS, MANY_KILLS
from kit.fixed import HOUR, LIST
from kit.heads import MINUTE, Watchers, release, rotate
from kit.ready_made import ready_made
from kit.site import Site, adopt, copied, draft_checksum
from kit.tree import current, verified
from kit.two_lists import OTHER, Both
from kit.two_lists import with_tuf as list_with_tuf
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets

from blocklist.audit.audit import audit_workspace
from blocklist.base.errors import RefusedError
from blocklist.register.decoders import folder_name
from blocklist.register.fold import Register
from blocklist.register.replay import extend
from blocklist.release.contents import Snapshot, exports
from blocklist.release.manifest import ACTS
from blocklist.store.store import Store

# --- SIGKILL at any moment --------------------------------------------------------------------------------------------

BUSY = 6
"""How many things an office has the time for, at most, before it is killed."""


class Killed:
    """An office and what is known of it: the acts that it acknowledged, its releases, and the files of its tree."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder / "site", datetime.now(UTC) - 5 * HOUR)
        self.site.block("one.example", "two.example", "three.example")
        self.acknowledged: set[str] = set()
        self.released: set[int] = set()
        self._lines: list[bytes] = []
        self._register, self._shown = Register(), Register()
        self._files = {*self.everything(), Path("metadata/timestamp.json"), Path(LIST, "latest")}
        self.publish()
        self._readers = Readers(self.site, folder / "readers")

    def everything(self) -> set[Path]:
        """Each file of the tree."""
        return {path.relative_to(self.site.exports) for path in self.site.exports.rglob("*") if not path.is_dir()}

    @property
    def left(self) -> set[Path]:
        """The files that belong to no release."""
        return self.everything() - self._files

    @property
    def acts(self) -> int:
        return len(self._lines)

    def check(self, life: Life) -> None:
        """What was acknowledged is there, whatever came after it; everybody can verify; nothing has gone back."""
        self.acknowledged.update(life.acts)
        self._read()
        assert self.acknowledged <= set(self._register.ids)
        shown = Metadata.from_file(str(self.site.exports / "metadata/timestamp.json")).signed.version
        assert shown >= max(self.released | set(life.releases))
        for number in {*life.releases, shown}:
            self._know(number)
        self._readers.look()
        assert self._readers.number == shown

    def publish(self) -> None:
        """The next publish, which nobody disturbs: nothing is left, and the tree shows what the acts say."""
        number = self.site.publish().number
        self._read()
        self._know(number)
        assert self.everything() == self._files
        folder, instant = current(self.site), datetime.fromtimestamp(number, UTC)
        assert folder.name == folder_name(instant)
        held = (folder / ACTS).read_bytes().splitlines()
        assert held == self._lines[: len(held)]
        for _ in extend(self._shown, held[len(self._shown.ids) :], self.site.now):
            pass
        now = Snapshot.take(self._shown, instant)
        for name, chunks in exports(now, now.policy.formats):
            assert (folder / name).read_bytes() == b"".join(chunks)
        self.site.now += STEP

    def _read(self) -> None:
        """Read the register: no act has changed, and what is new continues the chain."""
        with closing(Store(self.site.workspace.lists)) as store:
            lines = list(store.lines(LIST))
        assert lines[: len(self._lines)] == self._lines
        for _ in extend(self._register, lines[len(self._lines) :], self.site.now):
            pass
        self._lines = lines

    def _know(self, number: int) -> None:
        """The files of a release that was published belong to the tree."""
        if number in self.released:
            return
        metadata, folder = Path("metadata"), Path(LIST, folder_name(datetime.fromtimestamp(number, UTC)))
        role = metadata / f"{number}.{LIST}.json"
        for path, target in Metadata[Targets].from_file(str(self.site.exports / role)).signed.targets.items():
            self._files |= {folder / Path(path).name, Path("targets", target.get_prefixed_paths()[0])}
        self._files |= {role, metadata / f"{number}.snapshot.json"}
        self.released.add(number)


def test_promise_8_killed_at_any_moment(tmp_path: Path) -> None:
    """Whoever has python-tuf or openssl verifies after every kill, and others verify all the time."""
    chance, it = random.Random(20261126), Killed(tmp_path)
    at, left, lived, begun = Counter[str](), 0, 0.05, 1
    with Office(it.site) as office, Watch(it.site) as watch:
        for _ in range(KILLS):
            seconds = chance.random() * BUSY * lived / begun
            life = office.live(chance.getrandbits(32), seconds)
            lived, begun = lived + seconds, begun + len(life.begun)
            at[life.begun[-1] if life.begun else "nothing"] += 1
            left += bool(it.left)
            it.check(life)
            it.publish()
            watch.require_well()
        looks = watch.looks()
    assert not audit_workspace(it.site.workspace, it.site.now).faults
    print(f"{dict(at)}, {left} with something left, {it.acts} acts, {len(it.released)} releases, {looks} looks")
    assert looks > 0
    if KILLS >= MANY_KILLS:
        assert set(VERBS) <= set(at)
        assert left > 0


# --- A tree that is gone ----------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One release of few files."""
    return ready_made(tmp_path / "site", datetime.now(UTC) - HOUR, _few_files)


def _few_files(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    adopt(made, formats=["rpz", "hosts"])
    made.block("one.example")
    made.publish()
    made.now += MINUTE
    return made


@pytest.mark.parametrize("rotated", [False, True], ids=["first root", "third root"])
def test_exports_deleted_altogether(tmp_path: Path, rotated: bool) -> None:
    """Publisher and heads do nothing but publish; who followed the tree goes on with the root that it trusts."""
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    release(site, "one.example")
    watchers = Watchers(site, tmp_path / "watchers")
    watchers.look()
    if rotated:
        for role in ("root", "publisher"):
            rotate(site, role)
        release(site, "two.example")
        watchers.look()
    roots = {path.name: path.read_bytes() for path in (site.exports / "metadata").glob("*.root.json")}
    installed = watchers.provider.installed()
    shutil.rmtree(site.exports)
    site.now += MINUTE
    assert watchers.provider.attempt(site.now).exit_code == 5
    assert watchers.provider.installed() == installed
    assert site.publish().changed
    assert {path.name: path.read_bytes() for path in (site.exports / "metadata").glob("*.root.json")} == roots
    watchers.look()
    release(site, "three.example")
    watchers.look()
    assert "\nthree.example A " in watchers.provider.installed()
    assert not audit_workspace(site.workspace, site.now).faults


def test_a_large_list_waits_for_a_persons_word_as_its_first_release_did(tmp_path: Path) -> None:
    """Nothing says any more that all these names were published before."""
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block(*(f"name-{number}.example" for number in range(30)))
    site.publish(draft_checksum(site))
    watchers = Watchers(site, tmp_path / "watchers")
    watchers.look()
    shutil.rmtree(site.exports)
    site.now += MINUTE
    with pytest.raises(RefusedError, match="30 names are added"):
        site.publish()
    assert watchers.provider.attempt(site.now).exit_code == 5
    assert site.publish(draft_checksum(site)).changed
    watchers.look()


def test_two_lists_of_a_deleted_tree_are_back_when_both_are_published(tmp_path: Path) -> None:
    """Until then a client that knew both is told that one is gone, and keeps what it has."""
    both = Both(tmp_path / "site", datetime.now(UTC) - HOUR)
    both.second.publish()
    for list_id in (LIST, OTHER):
        list_with_tuf(both.first, tmp_path / f"client-{list_id}", list_id)
    shutil.rmtree(both.first.exports)
    both.later(MINUTE)
    assert both.first.publish().changed
    with pytest.raises(RepositoryError, match=rf"missing info for '{OTHER}.json'"):
        list_with_tuf(both.first, tmp_path / f"client-{LIST}", LIST)
    assert both.second.publish().changed
    for list_id in (LIST, OTHER):
        list_with_tuf(both.first, tmp_path / f"client-{list_id}", list_id)
        list_with_tuf(both.first, tmp_path / f"new-{list_id}", list_id)


def test_any_one_file_lost(site: Site, tmp_path: Path) -> None:
    """`audit` names it, the next publish makes it or a release that needs it not, and nothing else is lost by that."""
    names = [path.name for path in current(site).iterdir()]
    verified(site, tmp_path / "client", names)
    files = [path.relative_to(site.exports) for path in sorted(site.exports.rglob("*")) if path.is_file()]
    assert len(files) > 20
    for lost in files:
        tried = copied(site, tmp_path / "tried")
        client = shutil.copytree(tmp_path / "client", tmp_path / "old")
        (tried.exports / lost).unlink()
        before = {path: path.read_bytes() for path in (tried.exports / LIST).glob("2*Z/*")}
        assert f"{tried.exports / lost} is not what was published" in [
            fault.message for fault in audit_workspace(tried.workspace, tried.now).faults
        ]
        tried.publish()
        assert tried.tree.damaged(LIST) == []
        assert {path: path.read_bytes() for path in before} == before
        assert verified(tried, client, names) == verified(tried, tmp_path / "new", names)
        for folder in (tried.folder, client, tmp_path / "new"):
            shutil.rmtree(folder)


@pytest.mark.parametrize("lost", ["metadata", "targets", f"targets/{LIST}", LIST])
def test_a_folder_of_the_tree_lost(site: Site, tmp_path: Path, lost: str) -> None:
    """What is left of earlier releases stays, for `audit` to judge: sums and seals are the proof of what was shown."""
    names = [path.name for path in current(site).iterdir()]
    verified(site, tmp_path / "client", names)
    shutil.rmtree(site.exports / lost)
    before = {path: path.read_bytes() for path in (site.exports / LIST).glob("2*Z/*")}
    assert site.publish().changed
    assert {path: path.read_bytes() for path in before} == before
    assert verified(site, tmp_path / "client", names) == int(site.now.timestamp())
    assert not audit_workspace(site.workspace, site.now).faults
    site.now += MINUTE
    site.block("two.example")
    assert site.publish().draft.plan.since == int((site.now - MINUTE).timestamp())
