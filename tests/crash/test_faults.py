"""Whatever fails on the provider's machine, resolvers keep a list that was accepted, and the next pull mends the rest.

A disk or a command that fails at any step of a pull, power that is cut there, SIGKILL at any moment, a disk that is
full, a clock that is a year off (promise 7).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.effort import KILLS, MANY_KILLS
from kit.faults_disk import HOWS, Machine, Resolvers
from kit.faults_world import World, serial_of
from kit.fixed import HOUR, LIST
from kit.forked import OURS, Forked, run_forked
from kit.provider import Provider
from kit.site import Site, draft_checksum

from blocklist.base import durable
from blocklist.base.errors import BlocklistError
from blocklist.base.i18n import quietly
from blocklist.client import subscribe
from blocklist.client.install import Outcome
from blocklist.client.rollback import RolledBack, rollback
from blocklist.client.state import Installed, Record
from blocklist.register.policy import Brakes
from blocklist.release import receipts

FORMATS = ("rpz", "hosts")
MINUTE = timedelta(minutes=1)

# --- Each step of a pull ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trees:
    """The published tree after each of three releases: two names; a third; one less, and another one."""

    site: Site
    folder: Path
    at: dict[str, datetime]

    @classmethod
    def make(cls, folder: Path, more: Sequence[str] = ()) -> Trees:
        """With `more` names in each release."""
        site, at = Site(folder / "site", datetime.now(UTC)), {}

        def publish(name: str, *listed: str) -> None:
            site.block(*listed)
            site.publish(draft_checksum(site))
            at[name] = site.now
            shutil.copytree(site.exports, folder / name)
            site.now += HOUR

        publish("first", "one.example", "two.example", *more)
        publish("second", "three.example")
        site.remove("two.example")
        publish("third", "four.example")
        return cls(site, folder, at)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return Trees.make(tmp_path_factory.mktemp("trees"))


class Isp:
    """A provider with two targets, each with its check and its reload, that can be put back as it was."""

    def __init__(self, trees: Trees, folder: Path, aside: Path | None = None) -> None:
        self.trees = trees
        self._aside = aside or folder
        self.now = trees.at["first"]
        self.resolvers = Resolvers()
        self.provider = Provider(folder / "isp", trees.folder.as_uri(), trees.site.root.read_bytes(), formats=FORMATS)
        self.provider.aim(
            *(replace(it, check="check {file}", reload=f"load {it.path}") for it in self.provider.targets)
        )

    def show(self, name: str) -> None:
        """The publisher shows that release, at that time; or it is gone."""
        self.provider.edit(url=(self.trees.folder / name).as_uri())
        self.now = self.trees.at.get(name, self.now)

    def pull(self, **options: object) -> Outcome:
        return self.provider.attempt(self.now, **options)

    def pulled(self, name: str, **options: object) -> None:
        self.show(name)
        assert self.pull(**options).exit_code == 0

    def rollback(self) -> RolledBack:
        return rollback(self.provider.subscription, LIST, None, self.now, quietly)

    def machine(self, number: int = 0, how: str = "before") -> Machine:
        return Machine(self._aside / "stash", self.resolvers, number, how)

    def mark(self) -> None:
        """This is the state that `again` returns to."""
        shutil.copytree(self.provider.folder, self._aside / "kept", symlinks=True)
        self._loaded = dict(self.resolvers.loaded)

    def again(self) -> None:
        shutil.rmtree(self.provider.folder)
        shutil.copytree(self._aside / "kept", self.provider.folder, symlinks=True)
        self.resolvers.loaded = dict(self._loaded)
        self.provider.edit()  # what the publisher shows stays
        if record := self.record:  # a copy is another file, and the record would say that somebody touched it
            state = self.provider.list_state
            installed = {path: Installed.at(Path(path), on.sha256) for path, on in record.installed.items()}
            state.save(replace(record, installed=installed, acts_stamp=durable.stamp(state.acts_path(record))))

    @property
    def files(self) -> dict[Path, bytes | None]:
        paths = [target.path for target in self.provider.targets]
        return {path: path.read_bytes() if path.exists() else None for path in paths}

    @property
    def record(self) -> Record | None:
        return self.provider.list_state.record()


@dataclass(frozen=True)
class Scenario:
    """What the provider did before, what it does while its machine fails, and how that ends otherwise.

    `retry` is the pull that follows; `shows` is what the publisher shows meanwhile.
    """

    before: Callable[[Isp], object]
    shows: str
    act: Callable[[Isp], Outcome | RolledBack]
    retry: Callable[[Isp], Outcome]
    code: int = 0


def _first(isp: Isp) -> None:
    """Nothing was pulled yet."""


def _updated(isp: Isp) -> None:
    isp.pulled("first", accept="any")
    isp.pulled("second")


def _braked(isp: Isp) -> None:
    _updated(isp)
    isp.provider.edit(brakes=Brakes(0, 0, 0))


def _held(isp: Isp) -> None:
    _updated(isp)
    isp.rollback()


SCENARIOS = {
    "first pull": Scenario(_first, "first", lambda isp: isp.pull(accept="any"), lambda isp: isp.pull(accept="any")),
    "update": Scenario(lambda isp: isp.pulled("first", accept="any"), "second", Isp.pull, Isp.pull),
    "endings of a braked release": Scenario(_braked, "third", Isp.pull, Isp.pull, code=1),
    "rollback": Scenario(_updated, "second", Isp.rollback, Isp.pull),
    "resume": Scenario(_held, "third", lambda isp: isp.pull(resume=True), lambda isp: isp.pull(resume=True)),
}


def codes_of(act: Callable[[], Outcome | RolledBack]) -> set[int]:
    """The exit codes of all that went wrong."""
    try:
        done = act()
    except BlocklistError as fault:
        return {fault.exit_code}
    errors = done.errors if isinstance(done, Outcome) else done.applied.failures
    return {fault.exit_code for fault in errors}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.mark.parametrize("how", HOWS)
def test_promise_7_whatever_step_fails(trees: Trees, tmp_path: Path, scenario: Scenario, how: str) -> None:
    isp = Isp(trees, tmp_path)
    with isp.machine():
        scenario.before(isp)
    isp.show(scenario.shows)
    isp.mark()
    old = isp.files
    with isp.machine() as machine:
        assert codes_of(lambda: scenario.act(isp)) == {scenario.code} - {0}
    new, steps = isp.files, len(machine.steps)
    assert all(old[path] != new[path] is not None for path in new)
    wrong = []
    for number in range(1, steps + 1):
        isp.again()
        isp.show(scenario.shows)
        with isp.machine(number, how) as machine:
            codes = codes_of(lambda: scenario.act(isp))
        checked = any(step.startswith("check ") for step in machine.steps[number - 1 :])
        found = [] if codes <= {0, 6, scenario.code, int(checked)} else [f"exit code {codes}"]
        found += faults_of_files(isp, old, new)
        with isp.machine():
            if how in ("dead", "lost"):
                found += faults_of_next_start(isp, old, new)
            isp.show(scenario.shows)
            found += faults_after_retry(isp, scenario, old, new)
        at = machine.steps[number - 1] if machine.broke else "?"
        wrong += [f"{number}, {at}: {fault}" for fault in found]
    assert wrong == []


Files = dict[Path, bytes | None]


def faults_of_files(isp: Isp, old: Files, new: Files) -> Iterator[str]:
    """Each target is the file of one release, whole, and none has changed without being on record."""
    there, record = isp.files, isp.record
    for path, content in there.items():
        if content not in (old[path], new[path]):
            yield f"{path.name} is neither the old file nor the new one"
        elif content != old[path] and (record is None or str(path) not in record.installed):
            yield f"{path.name} was changed, and is not on record"


def faults_of_next_start(isp: Isp, old: Files, new: Files) -> Iterator[str]:
    """The power is back and the publisher is not: all targets are brought to one edition, and are loaded."""
    isp.show("gone")
    if (codes := codes_of(isp.pull)) != {5}:
        yield f"at the next start: exit code {codes}"
    if isp.files not in (old, new):
        yield "at the next start: half of it is installed"
    if isp.record is not None and isp.record.installing:
        yield "at the next start: the installation is not finished"
    if isp.files == new != isp.resolvers.loaded:
        yield "at the next start: not all is loaded"


def faults_after_retry(isp: Isp, scenario: Scenario, old: Files, new: Files) -> Iterator[str]:
    """The next pull does the rest, and leaves nothing behind; the one after it finds nothing to do."""
    first, second = scenario.retry(isp), scenario.retry(isp)
    for outcome in (first, second):
        if (outcome.exit_code, outcome.failures) != (scenario.code, ()):
            yield f"the next pull: {[error.message for error in outcome.errors]}"
    if second.changed:
        yield "the pull after the next finds something to do"
    record = isp.record
    if record is None:
        yield "after the next pull: no record"
        return
    undone = scenario.act is Isp.rollback and record.held is None  # it failed before it began
    if isp.files != (old if undone else new):
        yield "after the next pull: not the right files"
    if isp.resolvers.loaded != isp.files:
        yield "after the next pull: not all is loaded"
    yield from untidy(isp.provider, record)


def untidy(provider: Provider, record: Record) -> Iterator[str]:
    """What of record and receipt does not speak of the files that are there, and what else is left."""
    digests = {str(target.path): durable.digest_of(target.path) for target in provider.targets}
    if record.installing or {path: on.sha256 for path, on in record.installed.items()} != digests:
        yield "the record is not that of the files"
    path = provider.list_state.receipt_path
    receipt = receipts.read(path.read_bytes()).receipt if path.exists() else None
    if receipt is None or dict(receipt.installed) != {it.format: digests[str(it.path)] for it in provider.targets}:
        yield "the receipt is not that of the files"
    folder, own = provider.list_state.folder, [target.path.name for target in provider.targets]
    state = {"accepted.json", "last.json", "receipt.json", "register.json", "state.json", record.acts}
    metadata = {"root.json", "timestamp.json", "snapshot.json", "targets.json", f"{LIST}.json", "root_history"}
    for place, known in (
        (folder, state),
        (provider.state, {"root.json", "metadata", "lists", "lock", "verified.json"}),
        (provider.state / "metadata", metadata),
        (provider.folder, {"list.yaml", "list.state", *own, *(f"{name}.previous" for name in own)}),
    ):
        if left := {path.name for path in place.iterdir()} - known:
            yield f"left in {place.name}: {', '.join(re.sub('[0-9a-z_]{8,12}$', '...', name) for name in left)}"


# A target that failed is tried again, whatever else waits.


@pytest.fixture
def braked(trees: Trees, tmp_path: Path) -> Isp:
    """A provider whose brakes hold what the third release adds; two.example ends with it."""
    isp = Isp(trees, tmp_path)
    with isp.machine():
        _braked(isp)
    isp.show("third")
    return isp


def names_in(isp: Isp) -> list[set[str]]:
    """Of the names of the releases, those that each target holds."""
    every = ("one.example", "two.example", "three.example", "four.example")
    return [{name for name in every if name.encode() in (content or b"")} for content in isp.files.values()]


STAYS, ENDED = {"one.example", "two.example", "three.example"}, {"one.example", "three.example"}


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("command", ["check", "reload"])
def test_promise_6_an_ending_is_installed_later_where_a_command_failed_while_additions_wait(
    braked: Isp, failing: int, command: str
) -> None:
    good = braked.provider.subscription.lists[LIST]
    bad = [replace(it, **{command: "check /nowhere"}) if n == failing else it for n, it in enumerate(good)]
    braked.provider.aim(*bad)
    for _ in range(2):  # the second pull does not forget that there is something to do
        with braked.machine():
            outcome = braked.pull()
        assert sorted(error.exit_code for error in outcome.errors) == [1, 1 if command == "check" else 6]
        assert names_in(braked)[failing] == STAYS
        assert names_in(braked)[1 - failing] == ENDED
    braked.provider.aim(*good)
    with braked.machine():
        outcome = braked.pull()
    assert (outcome.exit_code, outcome.failures) == (1, ())
    assert names_in(braked) == [ENDED, ENDED]
    assert braked.resolvers.loaded == braked.files


@pytest.mark.parametrize("edit", [b"", b"mine\n", None], ids=["emptied", "edited", "deleted"])
def test_a_target_that_somebody_changed_is_repaired_while_additions_wait(braked: Isp, edit: bytes | None) -> None:
    with braked.machine():
        assert braked.pull().exit_code == 1
        wanted = braked.files
        path = braked.provider.targets[0].path
        path.unlink() if edit is None else path.write_bytes(edit)
        outcome = braked.pull()
    assert outcome.exit_code == 1
    assert braked.files == wanted


# --- SIGKILL at any moment --------------------------------------------------------------------------------------------


class Killed:
    """An office that goes on publishing and a provider whose pulls are killed; its reloads note what they saw."""

    def __init__(self, folder: Path) -> None:
        site = Site(folder / "site", datetime.now(UTC) - 3 * HOUR)  # real processes have the real clock
        site.block("first.example")
        self.world = World(site, folder / "isp", FORMATS)
        self.seen = folder / "seen"
        self.seen.mkdir()
        script = folder / "reload"
        script.write_text(f'cp "$1" "{self.seen}/$2.new" && mv "{self.seen}/$2.new" "{self.seen}/$2"\n')
        targets = [replace(it, reload=f"sh {script} {it.path} {it.format}") for it in self.world.provider.targets]
        self.world.provider.aim(*targets)
        config = self.world.subscription.path
        config.unlink()
        root = site.root.read_bytes()
        subscribe.write(config, site.exports.as_uri(), "test", root, [(LIST, targets)])
        self.command = ("pull", "-c", str(config), "--accept")
        self.published = [self.world.publish()]
        self.usual = 0.0
        self.serial = 0

    def pull(self) -> None:
        """A pull that nobody disturbs: everything is as published, on record, and loaded."""
        started = time.monotonic()
        running = Forked(*self.command)
        _, errors = running.communicate()
        self.usual = time.monotonic() - started
        assert running.returncode == 0, errors.decode()
        newest = self.published[-1]
        for target in self.world.provider.targets:
            assert target.path.read_bytes() == newest.file(target.format)
            assert (self.seen / target.format).read_bytes() == newest.file(target.format)
        assert self.world.record.newest.release == newest.number
        assert not self.world.record.installing

    def pull_killed(self, after: float) -> bool:
        """A pull that is killed with all that it started; False if it was faster than that."""
        running = Forked(*self.command)
        if not running.ends_within(after):
            running.kill_all()
        _, errors = running.communicate()
        if running.returncode == -signal.SIGKILL:
            return True
        assert running.returncode == 0, errors.decode()
        self.usual = min(self.usual, after)
        return False

    def go_on(self) -> None:
        """The next release: one name more, and one less now and then."""
        site, number = self.world.site, len(self.published)
        site.now += timedelta(seconds=5)
        site.block(f"name-{number}.example")
        if number % 3 == 0:
            site.remove(f"name-{number - 2}.example")
        self.published.append(self.world.publish())

    def check(self) -> bool:
        """Each file is that of one release, and the record can be read; whether it says that something is half done."""
        record = self.world.state.record()
        for target in self.world.provider.targets:
            if not target.path.exists():
                assert len(self.published) == 1
                continue
            content = target.path.read_bytes()
            assert content in [release.file(target.format) for release in self.published[-3:]], target.format
        if record is None:
            assert len(self.published) == 1
            return False
        zone = self.world.provider.targets[0].path
        if zone.exists():
            assert serial_of(zone.read_text()) >= self.serial
            self.serial = serial_of(zone.read_text())
        return record.installing

    @property
    def is_done(self) -> bool:
        """Whether the newest release is on record as installed."""
        record = self.world.state.record()
        return record is not None and record.newest.release == self.published[-1].number and not record.installing


def test_promise_7_killed_at_any_moment(tmp_path: Path) -> None:
    chance, it = random.Random(20261124), Killed(tmp_path)
    it.pull()
    it.go_on()
    it.pull()
    kills = halves = runs = 0
    while kills < KILLS:
        runs += 1
        assert runs < 3 * KILLS
        if it.is_done:
            it.go_on()
        kills += it.pull_killed(chance.random() * it.usual)
        halves += it.check()
        if runs % 10 == 0:
            it.pull()
            it.go_on()
    it.pull()
    assert list(untidy(it.world.provider, it.world.record)) == []
    print(f"{kills} of {runs} killed, {len(it.published)} releases, {halves} times in the middle of an installation")
    assert halves > 0 or KILLS < MANY_KILLS


# --- A disk that is full ----------------------------------------------------------------------------------------------

PAGE = 4096
ROOM = 256 * PAGE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, seen through the process that has mounted it: nothing has to be unmounted.

    Root may mount; others may within a user namespace of their own (unshare -r).
    """
    at = tmp_path / "disk"
    at.mkdir()
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    mount = f"mount -t tmpfs -o size={ROOM},mode=0755 tmpfs {at} && echo mounted && exec cat"
    with subprocess.Popen([*own, "sh", "-c", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"mounted\n"
        yield Path(f"/proc/{process.pid}/root{at}")
        process.stdin.close()


def fill(disk: Path, free: int) -> None:
    """Take all room but so many pages."""
    with (disk / "filler").open("wb", buffering=0) as stream:
        status = os.statvfs(disk)
        stream.write(bytes(status.f_bavail * status.f_frsize - free * PAGE))
    status = os.statvfs(disk)
    assert status.f_bavail * status.f_frsize == free * PAGE


def test_promise_7_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """With a page more each time until there is enough: exit code 6, whole files, and room is all that it takes."""
    trees = Trees.make(tmp_path, [f"filler-{number:03}.example" for number in range(200)])
    isp, codes = Isp(trees, small_disk, aside=tmp_path), []
    with isp.machine():
        isp.pulled("first", accept="any")
    isp.mark()
    isp.show("second")
    old = isp.files
    with isp.machine():
        assert isp.pull().exit_code == 0
        new = isp.files
        while not codes or codes[-1] == 6:
            isp.again()
            fill(small_disk, free=len(codes))
            codes.append(isp.pull().exit_code)
            assert list(faults_of_files(isp, old, new)) == []
            (small_disk / "filler").unlink()
            assert list(faults_after_retry(isp, SCENARIOS["update"], old, new)) == []
    assert codes[-1] == 0
    assert len(codes) > 10


def test_promise_7_a_full_disk_by_command(small_disk: Path, tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block("one.example")
    world = World(site, small_disk / "isp", FORMATS)
    assert blocklist(world, "pull", "--accept").returncode == 0
    old = world.files
    site.now += MINUTE
    newest = world.release("two.example")
    fill(small_disk, free=2)
    done = blocklist(world, "pull")
    assert done.returncode == 6
    assert "No space left on device" in done.stderr
    assert world.files == old
    (small_disk / "filler").unlink()
    assert blocklist(world, "pull").returncode == 0
    assert world.files == {name: newest.file(name) for name in FORMATS}


# --- A clock that is a year off ---------------------------------------------------------------------------------------


def blocklist(world: World, *words: str, clock: str = "") -> subprocess.CompletedProcess[str]:
    """The real command, at the real time or at another one."""
    command = [*OURS, words[0], "-c", str(world.subscription.path), *words[1:]]
    if not clock:
        return run_forked(command)
    return subprocess.run(["faketime", "-f", clock, *command], check=False, capture_output=True, text=True)


AHEAD, BEHIND = "+365d", "-365d"


@pytest.fixture
def punctual(tmp_path: Path) -> World:
    """A provider that has pulled two releases by the right clock."""
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block("one.example")
    world = World(site, tmp_path / "isp")
    assert blocklist(world, "pull", "--accept").returncode == 0
    site.now += MINUTE
    world.release("two.example")
    assert blocklist(world, "pull").returncode == 0
    return world


@pytest.mark.parametrize("news", [False, True], ids=["nothing new", "something new"])
@pytest.mark.parametrize(("clock", "code"), [(AHEAD, 4), (BEHIND, 3)])
def test_promise_7_a_clock_that_is_a_year_off(punctual: World, clock: str, code: int, news: bool) -> None:
    if news:
        punctual.site.now += MINUTE
        punctual.release("three.example")
    kept, marks = punctual.provider.kept(), punctual.marks
    for _ in range(2):
        done = blocklist(punctual, "pull", clock=clock)
        assert done.returncode == code, done.stderr
        assert ("stays" if clock == AHEAD else "check this machine's clock") in done.stderr
        assert (punctual.provider.kept(), punctual.marks) == (kept, marks)
    assert blocklist(punctual, "pull").returncode == 0
    newest = punctual.releases[max(punctual.releases)]
    assert punctual.files == {name: newest.file(name) for name in punctual.files}
    assert (punctual.marks != marks) is news


@pytest.mark.parametrize(("clock", "code"), [(AHEAD, 4), (BEHIND, 3)])
def test_promise_7_a_first_pull_with_a_clock_that_is_a_year_off(tmp_path: Path, clock: str, code: int) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block("one.example")
    world = World(site, tmp_path / "isp")
    assert blocklist(world, "pull", "--accept", clock=clock).returncode == code
    assert world.provider.kept() == {}
    assert blocklist(world, "pull", "--accept").returncode == 0
    assert world.names == {"one.example"}


def test_a_rollback_with_a_clock_a_year_behind_is_refused(punctual: World) -> None:
    kept, marks = punctual.provider.kept(), punctual.marks
    done = blocklist(punctual, "rollback", clock=BEHIND)
    assert done.returncode == 3
    assert "check this machine's clock" in done.stderr
    assert (punctual.provider.kept(), punctual.marks) == (kept, marks)


def test_a_serial_from_a_clock_a_year_ahead_is_never_gone_below(punctual: World) -> None:
    """With that clock every measure has lapsed; once it is right again, `--resume` brings all of them back."""
    assert blocklist(punctual, "rollback", clock=AHEAD).returncode == 0
    ahead = punctual.serial
    assert ahead > int(datetime.now(UTC).timestamp()) + 300 * 24 * 3600
    assert blocklist(punctual, "pull", "--resume").returncode == 0
    assert punctual.names == {"one.example", "two.example"}
    resumed = punctual.serial
    punctual.site.now += MINUTE
    punctual.release("three.example")
    assert blocklist(punctual, "pull").returncode == 0
    assert punctual.names == {"one.example", "two.example", "three.example"}
    assert punctual.serial > resumed > ahead


def test_what_a_clock_a_year_ahead_pruned_comes_back_with_the_right_clock(punctual: World) -> None:
    assert blocklist(punctual, "pull", "--prune-lapsed", clock=AHEAD).returncode == 4
    assert punctual.names == set()
    assert blocklist(punctual, "pull", "--prune-lapsed").returncode == 0
    assert punctual.names == {"one.example", "two.example"}
