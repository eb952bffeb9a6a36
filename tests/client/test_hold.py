"""`rollback`, the hold until `pull --resume`, and a publisher that is silent: stale, unreachable, `--prune-lapsed`."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kit.effort import EXAMPLES
from kit.faults_world import Release, World, remarks_of, serial_of
from kit.fixed import DAY, HOUR, LIST, SALT, WEEK, names
from kit.hostile import Heads, Thief, branch_of, key_of, next_line, published_acts, ref_of
from kit.ready_made import copy_tree, ready_made
from kit.shell import WHY, Shell
from kit.site import Site

from blocklist.base import durable
from blocklist.base.errors import (
    BlocklistError,
    RefusedError,
    StaleError,
    TargetError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from blocklist.client.install import Outcome
from blocklist.register import acts
from blocklist.register.decoders import folder_name
from blocklist.register.policy import Brakes
from blocklist.release import formats, receipts
from blocklist.release.contents import BrakeError

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
STAYS = "the installed list stays"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Releases of one name, of two, and of three, an hour apart, each pulled; the clock is at the last one."""
    past = ready_made(tmp_path / "office", datetime.now(UTC), Past.make)
    made = World(past.site, tmp_path / "isp")
    made.releases = past.releases
    for number, tree in zip(sorted(past.releases), past.trees, strict=True):
        shutil.rmtree(past.site.exports)
        tree.rename(past.site.exports)
        past.site.now = datetime.fromtimestamp(number, UTC)
        pulled(made, accept="any" if number == min(past.releases) else None)
    return made


@dataclass(frozen=True)
class Past:
    """A site with releases of one name, of two, and of three, an hour apart, and its tree after each of them."""

    site: Site
    releases: dict[int, Release]
    trees: tuple[Path, ...]

    @classmethod
    def make(cls, folder: Path, now: datetime) -> Past:
        site = Site(folder / "site", now)
        site.block("one.example")
        made, trees = World(site, folder / "nobody"), [folder / "one.example"]
        copy_tree(site.exports, trees[0])
        for name in ("two.example", "three.example"):
            site.now += HOUR
            made.release(name)
            trees.append(folder / name)
            copy_tree(site.exports, trees[-1])
        return cls(site, made.releases, tuple(trees))

    def moved(self, folder: Path) -> Past:
        """The same past, whose folder was copied to another place."""
        site = self.site.moved(folder / "site")
        releases = {
            number: replace(release, path=site.exports / release.path.relative_to(self.site.exports))
            for number, release in self.releases.items()
        }
        return Past(site, releases, tuple(folder / tree.name for tree in self.trees))


def pulled(world: World, **options: object) -> Outcome:
    outcome = world.pull(**options)
    assert outcome.exit_code == 0, [error.message for error in outcome.errors]
    return outcome


def folders(world: World) -> list[str]:
    """The releases so far, newest first, as `rollback` calls them."""
    return [release.folder for _, release in sorted(world.releases.items(), reverse=True)]


def unchanged(world: World, act: Callable[[], object], kind: type[BlocklistError], match: str) -> BlocklistError:
    """Assert that something is refused and changes neither files nor record."""
    kept, marks = world.provider.kept(), world.marks
    with pytest.raises(kind, match=match) as caught:
        act()
    assert (world.provider.kept(), world.marks) == (kept, marks)
    return caught.value


# --- Back ------------------------------------------------------------------------------------------------------------


def test_back_to_the_release_before(world: World) -> None:
    serial = world.serial
    done = world.rollback()
    assert world.names == {"one.example", "two.example"}
    assert folder_name(done.to.instant) == folders(world)[1]
    assert (done.waiting, done.ended, done.applied.changed, done.applied.failures) == (1, 0, True, ())
    assert set(done.applied.installed) == {str(target.path) for target in world.provider.targets}
    assert world.serial > serial
    assert world.record.held == world.site.now


def test_every_format_says_so_in_its_header(world: World) -> None:
    world.rollback()
    said = [
        f"Changed by the provider, serial {world.serial}: the seal is that of the file as it was published.",
        f"Held release {folders(world)[1]}: 1 added after it left out.",
    ]
    files_of = {name: content.decode() for name, content in world.files.items()}
    assert remarks_of(files_of["rpz"]) == said
    assert remarks_of(files_of["hosts"], "#") == said
    facts = json.loads(files_of["json"])["release"]
    assert facts["changed"] == {"serial": world.serial, "remarks": said}
    # Whose acts those are is not hidden: the release and the head are those of the newest that is accepted.
    assert facts["release"] == folders(world)[0]


def test_back_to_a_release_by_name_and_forward_again(world: World) -> None:
    newest, middle, oldest = folders(world)
    serials = [world.serial]
    for release, expected in ((oldest, 1), (middle, 2), (oldest, 1), (newest, 3)):
        world.rollback(release)
        assert len(world.names) == expected
        assert world.record.let_in == next(n for n, r in world.releases.items() if r.folder == release)
        serials.append(world.serial)
    assert serials == sorted(set(serials))


def test_each_time_one_release_further_back(world: World) -> None:
    world.rollback()
    world.rollback()
    assert world.names == {"one.example"}
    error = unchanged(world, world.rollback, UsageError, "no release is kept from before the one that is installed")
    assert error.hint == "kept are " + ", ".join(folders(world))


@pytest.mark.parametrize("release", ["20200101T000000Z", "", "one", "../../etc", "latest"])
def test_an_unknown_release(world: World, release: str) -> None:
    error = unchanged(world, lambda: world.rollback(release), UsageError, "is not kept here")
    assert error.hint == "kept are " + ", ".join(folders(world))


def test_a_release_that_was_never_let_in_is_not_kept(world: World) -> None:
    world.rollback()
    world.site.now += HOUR
    later = world.release("four.example")
    pulled(world)
    unchanged(world, lambda: world.rollback(later.folder), UsageError, "is not kept here")


def test_before_a_first_pull(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    world = World(site, tmp_path / "isp")
    with pytest.raises(UsageError, match="has accepted no release yet") as caught:
        world.rollback()
    assert caught.value.hint == "run 'blocklist pull' first"
    assert world.provider.kept() == {}
    assert world.state.record() is None


def test_after_one_pull_there_is_nothing_before(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    world = World(site, tmp_path / "isp")
    pulled(world, accept="any")
    unchanged(world, world.rollback, UsageError, "no release is kept from before")


# --- Which releases are kept ------------------------------------------------------------------------------------------


def test_the_last_three_are_kept(world: World) -> None:
    for name in ("four.example", "five.example"):
        world.site.now += HOUR
        world.release(name)
        pulled(world)
    assert world.kept == folders(world)[:3]


def test_a_release_of_the_same_names_takes_no_place(world: World) -> None:
    """Twice a day one comes for the validity alone, and every quarter every measure is renewed."""
    for renew in (False, True, False, True):
        world.site.now += 7 * HOUR
        if renew:
            world.renew("one.example")
        world.publish()
        pulled(world)
    newest, *_, second, first = folders(world)
    assert world.kept == [newest, second, first]
    world.rollback()
    assert world.names == {"one.example", "two.example"}


def test_a_release_of_the_same_names_takes_no_place_after_a_hold_either(world: World) -> None:
    held_from = folders(world)[0]
    world.rollback()
    world.site.now += 7 * HOUR
    world.renew("one.example")
    newest = world.publish().folder
    pulled(world, resume=True)
    assert world.names == {"one.example", "two.example", "three.example"}
    assert held_from not in world.kept  # it has the names of the newest
    assert world.kept[0] == newest
    world.rollback()
    assert world.names == {"one.example", "two.example"}


def test_removals_and_lapses_make_other_names_too(world: World) -> None:
    world.site.now += HOUR
    world.site.remove("three.example")
    world.publish()
    pulled(world)
    assert world.kept == folders(world)[:3]


# --- What has ended ---------------------------------------------------------------------------------------------------


def test_what_was_removed_since_stays_out(world: World) -> None:
    world.site.now += HOUR
    world.site.remove("two.example")
    world.publish()
    pulled(world)
    done = world.rollback()  # to the release that listed all three
    assert world.names == {"one.example", "three.example"}
    assert (done.waiting, done.ended) == (0, 1)


@pytest.mark.parametrize("released", [False, True], ids=["the publisher is silent", "a release ends it"])
def test_what_has_lapsed_since_stays_out(world: World, released: bool) -> None:
    end = world.site.now + 3 * HOUR
    world.release("brief.example", review_by=end)
    pulled(world)
    world.site.now += HOUR
    world.release("four.example")
    pulled(world)
    world.site.now = end
    if released:
        world.publish()
        pulled(world)
    done = world.rollback(folders(world)[2 if released else 1])
    assert world.names == {"one.example", "two.example", "three.example"}
    assert done.ended == 1
    assert world.record.names == 3


def test_a_renewed_measure_is_not_ended(world: World) -> None:
    end = world.site.now + 3 * HOUR
    world.release("brief.example", review_by=end)
    pulled(world)
    world.site.now += HOUR
    world.renew("brief.example")
    world.release("four.example")
    pulled(world)
    world.site.now = end + SECOND
    world.rollback()
    assert "brief.example" in world.names


# --- Held -------------------------------------------------------------------------------------------------------------


def test_held_a_pull_adds_nothing_and_applies_endings(world: World) -> None:
    world.rollback()
    held = world.record.held
    world.site.now += HOUR
    world.release("four.example")
    outcome = pulled(world)
    assert world.names == {"one.example", "two.example"}
    assert any(note.startswith(f"held at release {folders(world)[2]} since ") for note in outcome.notes)
    world.site.now += HOUR
    world.site.remove("one.example")
    world.publish()
    outcome = pulled(world)
    assert outcome.changed
    assert world.names == {"two.example"}
    assert any("'blocklist pull --resume'" in note for note in outcome.notes)
    assert (world.record.held, world.record.newest.release) == (held, max(world.releases))


def test_held_and_nothing_new(world: World) -> None:
    world.rollback()
    kept, marks = world.provider.kept(), world.marks
    for _ in range(2):
        world.site.now += MINUTE
        outcome = pulled(world)
        assert not outcome.changed
        assert any(note.startswith("held at release") for note in outcome.notes)
    assert (world.provider.kept(), world.marks) == (kept, marks)


def test_held_no_brake_is_asked(world: World) -> None:
    """What waits is not refused: nobody has to be woken for it."""
    world.provider.edit(brakes=Brakes(0, 0, 0), never_block=frozenset({"four.example"}))
    world.rollback()
    world.site.now += HOUR
    world.release("four.example")
    pulled(world)
    assert world.names == {"one.example", "two.example"}


def test_held_what_was_removed_and_is_listed_again_is_an_addition(world: World) -> None:
    world.rollback()
    world.site.now += HOUR
    world.site.remove("two.example")
    world.publish()
    pulled(world)
    assert world.names == {"one.example"}
    world.site.now += HOUR
    world.release("two.example")
    pulled(world)
    assert world.names == {"one.example"}
    pulled(world, resume=True)
    assert world.names == {"one.example", "two.example", "three.example"}


def test_held_what_has_lapsed_does_not_come_back_with_a_release_from_before(world: World) -> None:
    """The publisher signed it in time, and the provider sees it late."""
    end = world.site.now + 2 * HOUR
    world.release("brief.example", review_by=end)
    pulled(world)
    world.site.now += HOUR
    world.release("four.example")
    pulled(world)
    late = world.site.now + MINUTE
    world.site.now = end + MINUTE
    world.rollback()
    assert "brief.example" not in world.names
    world.site.now = late
    world.release("five.example")
    world.site.now = end + 2 * MINUTE
    pulled(world)
    assert world.names == {"one.example", "two.example", "three.example"}


def test_held_a_target_that_somebody_changed_is_repaired(world: World) -> None:
    world.rollback()
    wanted = world.files
    world.provider.targets[0].path.write_text("mine\n")
    world.site.now += MINUTE
    assert pulled(world).changed
    assert world.files == wanted


# --- On again ---------------------------------------------------------------------------------------------------------


def test_resume_lets_the_newest_in(world: World) -> None:
    world.rollback(folders(world)[2])
    serial = world.serial
    world.site.now += HOUR
    newest = world.release("four.example")
    pulled(world)
    outcome = pulled(world, resume=True)
    assert outcome.changed
    assert world.names == set(newest.names)
    assert world.record.held is None
    assert world.serial > serial
    assert not any(note.startswith("held") for note in outcome.notes)
    assert not pulled(world).changed


def test_resume_before_the_publisher_has_anything_new(world: World) -> None:
    """Then the number of the release is lower than the serial that the hold wrote: the header explains another one."""
    before, number = world.serial, max(world.releases)
    world.rollback()
    held = world.serial
    pulled(world, resume=True)
    assert world.names == {"one.example", "two.example", "three.example"}
    assert world.serial > held > before == number
    assert remarks_of(world.provider.installed())[0].startswith(f"Changed by the provider, serial {world.serial}:")
    marks = world.marks
    assert not pulled(world).changed
    assert not pulled(world, resume=True).changed
    assert world.marks == marks
    world.site.now += HOUR
    newest = world.release("four.example")
    pulled(world)
    assert world.files == {name: newest.file(name) for name in world.files}


def test_resume_goes_through_the_brakes(world: World) -> None:
    world.rollback(folders(world)[2])
    world.provider.edit(brakes=Brakes(1, 100, 0))
    error = world.pull(resume=True).error
    assert isinstance(error, BrakeError)
    assert error.exit_code == 1
    assert [*error.plan.added.domain] == ["three.example", "two.example"]
    assert (world.names, world.record.held is None) == ({"one.example"}, False)
    assert isinstance(world.pull(resume=True, accept="0" * 32).error, BrakeError)
    assert isinstance(world.pull(resume=True, accept="any").error, BrakeError)
    assert pulled(world, accept=error.plan.checksum).changed is False  # without --resume the list stays held
    assert world.record.held is not None
    assert pulled(world, resume=True, accept=error.plan.checksum).changed
    assert world.names == {"one.example", "two.example", "three.example"}
    assert world.record.held is None


def test_resume_that_is_braked_applies_endings_and_stays_held(world: World) -> None:
    world.rollback()
    world.provider.edit(brakes=Brakes(0, 100, 0))
    world.site.now += HOUR
    world.site.remove("one.example")
    world.publish()
    outcome = world.pull(resume=True)
    assert isinstance(outcome.error, BrakeError)
    assert world.names == {"two.example"}
    assert world.record.held is not None
    outcome = pulled(world)  # the timer goes on, and alarms nobody
    assert any(note.startswith("held") for note in outcome.notes)


def test_resume_asks_for_names_that_are_never_blocked(world: World) -> None:
    world.rollback()
    world.provider.edit(never_block=frozenset({"three.example"}))
    error = world.pull(resume=True).error
    assert isinstance(error, BrakeError)
    assert "three.example must never be blocked here" in error.message
    pulled(world, resume=True, accept=error.plan.checksum)
    assert "three.example" in world.names


def test_resume_without_a_hold_changes_nothing(world: World) -> None:
    kept, marks = world.provider.kept(), world.marks
    assert not pulled(world, resume=True).changed
    assert (world.provider.kept(), world.marks) == (kept, marks)


# --- What goes wrong meanwhile ----------------------------------------------------------------------------------------


def test_a_reload_that_fails_leaves_that_target_as_it_was(world: World) -> None:
    """The hold is kept all the same, and the next pull brings the target there."""
    before = world.files
    rpz, *others = world.provider.targets
    world.provider.aim(replace(rpz, reload="false"), *others)
    done = world.rollback()
    (failure,) = done.applied.failures
    assert isinstance(failure, TargetError)
    assert str(rpz.path) in failure.message
    assert set(done.applied.installed) == {str(target.path) for target in others}
    assert world.files["rpz"] == before["rpz"]
    assert b"three.example" not in world.files["hosts"]
    outcome = world.pull()
    assert (outcome.exit_code, world.files["rpz"]) == (6, before["rpz"])
    serial = json.loads(world.files["json"])["release"]["changed"]["serial"]
    world.provider.aim(rpz, *others)
    pulled(world)
    assert world.names == {"one.example", "two.example"}
    assert world.serial == serial


def test_a_check_that_says_no_to_a_rollback(world: World) -> None:
    before = world.files
    rpz, *others = world.provider.targets
    world.provider.aim(replace(rpz, check="false {file}"), *others)
    (failure,) = world.rollback().applied.failures
    assert isinstance(failure, RefusedError)
    assert world.files["rpz"] == before["rpz"]
    assert b"three.example" not in world.files["hosts"]


def test_the_acts_that_are_kept_were_damaged(world: World) -> None:
    """Nothing comes from what nobody signed; and the next pull fetches them again, as the hint says."""
    path = world.provider.acts_path
    path.write_bytes(path.read_bytes()[:-200])
    error = unchanged(world, world.rollback, VerificationError, "act|acts")
    assert "pull" in error.hint or "again" in error.hint
    pulled(world)
    world.rollback()
    assert world.names == {"one.example", "two.example"}


def test_a_fork_that_the_heads_ended_waits_until_the_hold_ends(world: World, tmp_path: Path) -> None:
    site = world.site
    thief = Thief(site, tmp_path / "tree")
    world.provider.edit(url=thief.url)
    world.rollback()
    at = site.now + MINUTE
    lines = forked(published_acts(site.exports), site, at)
    Heads(site, thief).state(branch=branch_of(lines[:-1]))
    thief.offer(lines, at)
    site.now = at + MINUTE
    kept, marks = world.provider.kept(), world.marks
    for _ in range(2):
        outcome = world.pull()
        assert isinstance(outcome.error, RefusedError)
        assert outcome.error.message == "the heads ended a fork, and the list is held"
        assert "pull --resume" in outcome.error.hint
        assert (world.provider.kept(), world.marks) == (kept, marks)
    serial = world.serial
    outcome = pulled(world, resume=True)
    assert any(note.startswith("the heads ended a fork") for note in outcome.notes)
    assert world.names == {"one.example", "two.example", "branch.example"}
    assert world.serial > serial
    assert world.record.held is None
    assert len(world.kept) == 1  # nobody goes back to a branch that the heads left
    unchanged(world, world.rollback, UsageError, "no release is kept from before")


def forked(lines: list[bytes], site: Site, at: datetime) -> list[bytes]:
    """Another end of the history: instead of `three.example` the same agents listed `branch.example`."""
    lines, wanted = lines[:-2], names("branch.example")
    body = acts.Add(
        commitment=wanted.commitment(SALT),
        count=1,
        ground="apology",
        basis="no-identification",
        review_by=at + WEEK,
    )
    lines = [*lines, next_line(lines, "agent-1", key_of(site, "agent-1"), body, at - SECOND)]
    approval = acts.Approve(act=ref_of(lines), names=wanted, salt=SALT)
    return [*lines, next_line(lines, "agent-2", key_of(site, "agent-2"), approval, at - SECOND)]


def test_the_receipt_says_what_is_let_in(world: World) -> None:
    world.rollback()
    receipt = receipts.read(world.state.receipt_path.read_bytes()).receipt
    number = next(number for number, release in world.releases.items() if release.folder == folders(world)[1])
    assert (receipt.shown.release, receipt.let_in.release) == (max(world.releases), number)
    assert (receipt.names, receipt.waiting) == (2, 1)
    expected = {name: durable.digest([content]).sha256 for name, content in world.files.items()}
    assert dict(receipt.installed) == expected
    assert receipt.failed == ()


# --- By command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(listed: Shell) -> Iterator[tuple[Shell, Path]]:
    """bad.example, then worse.example too, both pulled; and rolled back."""
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    listed.at(datetime.now(UTC) + HOUR)
    listed("--as", "agent-1", "add", "worse.example", *WHY)
    listed("--as", "agent-2", "approve", "6")
    listed("publish")
    listed("pull", "-c", config)
    yield listed, config


def zone_of(config: Path) -> str:
    return config.with_name("rpz.zone").read_text()


def test_command_rollback_and_resume(held: tuple[Shell, Path]) -> None:
    shell, config = held
    first, second = sorted(path.name for path in (shell.office / "exports" / LIST).glob("2*Z"))
    done = shell("rollback", "-c", config)
    assert done.stderr.splitlines()[0] == f"held at release {first}: 1 name is installed"
    assert "  1 that a later release added is out" in done.stderr
    assert f"next: blocklist pull -c {config} --resume" in done.stderr
    assert "worse.example" not in zone_of(config)
    status = shell("status", "-c", config).stdout
    assert f"hold: at release {first} since " in status
    assert shell.json("status", "-c", config)["lists"][0]["held"]
    pull = shell("pull", "-c", config)
    assert f"held at release {first} since " in pull.stderr
    assert "'blocklist pull --resume' lets the newest in" in pull.stderr
    shell("pull", "-c", config, "--resume")
    assert "worse.example" in zone_of(config)
    assert "hold" not in shell("status", "-c", config).stdout
    assert f"kept for rollback: {second}, {first}" in shell("status", "-c", config).stdout


def test_command_rollback_as_json(held: tuple[Shell, Path]) -> None:
    shell, config = held
    first, second = sorted(path.name for path in (shell.office / "exports" / LIST).glob("2*Z"))
    serial = serial_of(zone_of(config))
    done = shell.json("rollback", first, "-c", config)
    assert (done["list"], done["release"], done["names"]) == (LIST, first, 1)
    assert (done["waiting"], done["ended"], done["errors"]) == (1, 0, [])
    assert done["serial"] == serial_of(zone_of(config)) > serial
    again = shell.json("rollback", second, "-c", config)
    assert (again["names"], again["waiting"], again["serial"] > done["serial"]) == (2, 0, True)


def test_command_rollback_refused(held: tuple[Shell, Path]) -> None:
    shell, config = held
    before = zone_of(config)
    shell.refused("rollback", "20200101T000000Z", "-c", config, code=2, message="20200101T000000Z is not kept here")
    new = shell.subscribe("--to", f"rpz={shell.folder}/isp/other.zone", name="other.yaml")
    shell.refused("rollback", "-c", new, code=2, message="has accepted no release yet")
    with durable.locked(config.with_name("subscription.state") / "lock", "pull"):
        shell.refused("rollback", "-c", config, code=1, message="another pull of .* is running")
    assert zone_of(config) == before


def test_command_rollback_with_a_failing_reload(held: tuple[Shell, Path]) -> None:
    shell, config = held
    before = zone_of(config)
    config.write_text(config.read_text().replace("rpz.zone", 'rpz.zone"\n      reload: "false', 1))
    done = shell("rollback", "-c", config, expect=6)
    assert f"the reload for {config.with_name('rpz.zone')} failed" in done.stderr
    assert zone_of(config) == before


# --- A publisher that is silent ---------------------------------------------------------------------------------------


def silent(world: World) -> None:
    """From now on the publisher is not there."""
    world.provider.edit(url=(world.site.folder / "gone").as_uri())


def says_since_when(message: str, world: World) -> None:
    """That the list stays, which one, and until when it was valid."""
    newest = world.record.newest
    assert f"valid until {newest.valid_until:%Y-%m-%dT%H:%M:%SZ}" in message
    assert f"release {folder_name(newest.instant)}" in message
    assert "stays installed" in message


def test_unreachable_is_not_stale_until_the_validity_ends(world: World) -> None:
    silent(world)
    kept, marks = world.provider.kept(), world.marks
    until = world.record.newest.valid_until
    for now, kind, code in (
        (until - SECOND, UnreachableError, 5),
        (until, StaleError, 4),
        (until + 30 * DAY, StaleError, 4),
    ):
        world.site.now = now
        outcome = world.pull()
        assert isinstance(outcome.error, kind)
        assert outcome.exit_code == code
        if code == 4:
            says_since_when(outcome.error.message, world)
        assert (world.provider.kept(), world.marks) == (kept, marks)


def test_expired_metadata_say_since_when(tmp_path: Path) -> None:
    """By the real clock, the only one that python-tuf looks at: the first pull was made yesterday."""
    site = Site(tmp_path / "site", datetime.now(UTC) - DAY)
    site.block("one.example")
    world = World(site, tmp_path / "isp", formats=["rpz"])
    config = world.subscription.path
    pull = [sys.executable, "-m", "blocklist", "pull", "-c", str(config)]
    subprocess.run(["faketime", "-f", "-86398", *pull, "--accept"], check=True, capture_output=True)
    installed, marks = world.files, world.marks
    done = subprocess.run(pull, check=False, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    says_since_when(done.stderr, world)
    assert (world.files, world.marks) == (installed, marks)


def test_a_stale_offer_says_since_when_too(world: World) -> None:
    world.site.now = world.record.newest.valid_until + HOUR
    outcome = world.pull()
    assert outcome.exit_code == 4
    assert outcome.error is not None
    says_since_when(outcome.error.message, world)


# --- Without what has lapsed ------------------------------------------------------------------------------------------


@pytest.fixture
def brief(world: World) -> World:
    """Five names of which brief.example is due in three hours and soon.example in five; the publisher goes silent."""
    now = world.site.now
    world.block("soon.example", review_by=now + 5 * HOUR)
    world.release("brief.example", review_by=now + 3 * HOUR)
    pulled(world)
    silent(world)
    return world


LASTING = {"one.example", "two.example", "three.example"}


def test_prune_is_off_by_default(brief: World) -> None:
    marks = brief.marks
    brief.site.now += 6 * HOUR
    assert brief.pull().exit_code == 5
    assert brief.names == LASTING | {"brief.example", "soon.example"}
    assert brief.marks == marks


def test_prune_leaves_out_what_is_due(brief: World) -> None:
    serial, marks = brief.serial, brief.marks
    brief.site.now += 3 * HOUR - SECOND
    brief.pull(prune_lapsed=True)
    assert brief.marks == marks
    brief.site.now += SECOND
    outcome = brief.pull(prune_lapsed=True)
    assert outcome.exit_code == 5  # the publisher is still not there
    assert outcome.changed
    assert outcome.notes == ["1 name is left out: its review date has passed, and no newer release has come"]
    assert brief.names == LASTING | {"soon.example"}
    assert brief.serial > serial
    said = [
        f"Changed by the provider, serial {brief.serial}: the seal is that of the file as it was published.",
        "Without 1 whose review date has passed and no newer release has come.",
    ]
    assert remarks_of(brief.files["rpz"].decode()) == said
    assert remarks_of(brief.files["hosts"].decode(), "#") == said
    assert json.loads(brief.files["json"])["release"]["changed"]["remarks"] == said


def test_what_is_pruned_is_a_part_of_what_was_signed(brief: World) -> None:
    """Every line that is not the header's is a line of the published file."""
    brief.site.now += 4 * HOUR
    brief.pull(prune_lapsed=True)
    published = brief.releases[max(brief.releases)]
    for name, sign in (("rpz", ";"), ("hosts", "#")):
        lines, signed = (content.decode().splitlines() for content in (brief.files[name], published.file(name)))
        ours = [line for line in lines if not line.startswith(sign) and " SOA " not in line]
        theirs = [line for line in signed if not line.startswith(sign) and " SOA " not in line]
        assert [line for line in theirs if "brief.example" not in line] == ours


def test_prune_again_leaves_the_files_untouched_until_the_next_is_due(brief: World) -> None:
    brief.site.now += 3 * HOUR
    brief.pull(prune_lapsed=True)
    serial, marks, kept = brief.serial, brief.marks, brief.provider.kept()
    for options in ({"prune_lapsed": True}, {}):
        brief.site.now += MINUTE
        assert not brief.pull(**options).changed
        assert (brief.marks, brief.provider.kept()) == (marks, kept)
    brief.site.now += 2 * HOUR
    assert brief.pull(prune_lapsed=True).changed
    assert brief.names == LASTING
    assert brief.serial > serial


def test_prune_with_a_publisher_that_answers_and_has_nothing_new(brief: World) -> None:
    brief.provider.edit(url=brief.site.exports.as_uri())
    brief.site.now += 3 * HOUR
    assert not pulled(brief).changed
    assert pulled(brief, prune_lapsed=True).changed
    assert brief.names == LASTING | {"soon.example"}
    marks = brief.marks
    for _ in range(2):
        assert not pulled(brief, prune_lapsed=True).changed
    assert brief.marks == marks


def test_prune_past_the_validity_is_stale_all_the_same(brief: World) -> None:
    brief.site.now = brief.record.newest.valid_until + HOUR
    outcome = brief.pull(prune_lapsed=True)
    assert outcome.exit_code == 4
    assert brief.names == LASTING


def test_a_newer_release_after_a_prune_is_installed_as_published(brief: World) -> None:
    brief.site.now += 4 * HOUR
    brief.pull(prune_lapsed=True)
    serial = brief.serial
    brief.provider.edit(url=brief.site.exports.as_uri())
    brief.site.now += MINUTE
    newest = brief.publish()
    pulled(brief, prune_lapsed=True)
    assert brief.files == {name: newest.file(name) for name in brief.files}
    assert brief.serial == newest.number > serial


def test_a_release_from_before_the_prune_gets_a_higher_serial(brief: World) -> None:
    late = brief.site.now + MINUTE
    brief.site.now += 4 * HOUR
    brief.pull(prune_lapsed=True)
    serial = brief.serial
    brief.provider.edit(url=brief.site.exports.as_uri())
    brief.site.now = late
    newest = brief.release("four.example")
    assert newest.number < serial
    brief.site.now += 4 * HOUR
    outcome = pulled(brief, prune_lapsed=True)
    assert outcome.changed
    assert brief.names == LASTING | {"soon.example", "four.example"}
    assert brief.serial > serial
    marks = brief.marks
    assert not pulled(brief, prune_lapsed=True).changed
    assert brief.marks == marks


def test_prune_never_shows_a_lapsed_name_again_when_it_repairs_a_target(brief: World, tmp_path: Path) -> None:
    """Somebody deleted a pruned file: no resolver may read the lapsed name in between, nor afterwards."""
    brief.site.now += 3 * HOUR
    brief.pull(prune_lapsed=True)
    brief.provider.edit(url=brief.site.exports.as_uri())
    rpz, *others = brief.provider.targets
    seen = tmp_path / "seen"
    brief.provider.aim(replace(rpz, reload=f"sh -c 'cat {rpz.path} >> {seen}'"), *others)
    for options in ({"prune_lapsed": True}, {}):
        rpz.path.unlink()
        pulled(brief, **options)
        assert "brief.example" not in seen.read_text()
        assert brief.names == LASTING | {"soon.example"}


def test_prune_while_held(brief: World) -> None:
    brief.provider.edit(url=brief.site.exports.as_uri())
    brief.site.now += HOUR
    brief.release("four.example")
    pulled(brief)
    brief.rollback()
    assert brief.names == LASTING | {"brief.example", "soon.example"}
    serial, base = brief.serial, folders(brief)[1]
    silent(brief)
    brief.site.now += 2 * HOUR
    outcome = brief.pull(prune_lapsed=True)
    assert outcome.changed
    assert brief.names == LASTING | {"soon.example"}
    assert brief.serial > serial
    assert [remark.split(":")[0] for remark in remarks_of(brief.provider.installed())[1:]] == [
        f"Held release {base}",
        "Without 1 whose review date has passed and no newer release has come.",
    ]
    assert brief.record.held is not None
    marks = brief.marks
    brief.pull(prune_lapsed=True)
    assert brief.marks == marks


def test_prune_while_held_at_the_newest(brief: World) -> None:
    """Who holds the list without going back is told so by every header too, and a serial has one content."""
    brief.rollback(brief.kept[0])
    contents = {brief.serial: brief.files}
    brief.site.now += 3 * HOUR
    for act in (lambda: brief.pull(prune_lapsed=True), lambda: brief.rollback(brief.kept[0])):
        act()
        assert remarks_of(brief.provider.installed())[1].startswith(f"Held release {brief.kept[0]}: 0 added")
        assert contents.setdefault(brief.serial, brief.files) == brief.files
    assert brief.names == LASTING | {"soon.example"}


def test_prune_while_additions_wait(brief: World) -> None:
    brief.provider.edit(url=brief.site.exports.as_uri(), brakes=Brakes(0, 0, 0))
    brief.site.now += HOUR
    brief.site.remove("one.example")
    brief.release("four.example")
    checksum = brake_of(brief.pull()).plan.checksum
    assert brief.names == (LASTING | {"brief.example", "soon.example"}) - {"one.example"}
    brief.site.now += 2 * HOUR
    outcome = brief.pull(prune_lapsed=True)
    assert isinstance(outcome.error, BrakeError)
    assert outcome.changed
    assert brief.names == {"two.example", "three.example", "soon.example"}
    marks = brief.marks
    assert brief.pull(prune_lapsed=True).exit_code == 1
    assert brief.marks == marks
    pulled(brief, prune_lapsed=True, accept=checksum)
    assert brief.names == {"two.example", "three.example", "soon.example", "four.example"}


def brake_of(outcome: Outcome) -> BrakeError:
    assert isinstance(outcome.error, BrakeError)
    return outcome.error


def test_prune_of_every_name_leaves_the_probe(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example", "two.example", review_by=site.now + 2 * HOUR)
    world = World(site, tmp_path / "isp", formats=tuple(formats.FORMATS))
    pulled(world, accept="any")
    serial = serial_of(world.provider.installed())
    silent(world)
    site.now += 2 * HOUR
    assert world.pull(prune_lapsed=True).changed
    for target in world.provider.targets:
        text = target.path.read_text()
        assert "probe.blocklist.example" in text, target.format
        assert "one.example" not in text, target.format
    assert serial_of(world.provider.installed()) > serial
    assert (world.record.names, world.record.lapses) == (0, None)
    site.now += DAY
    assert not world.pull(prune_lapsed=True).changed


def test_a_rollback_after_a_prune_brings_nothing_back(brief: World) -> None:
    brief.site.now += 4 * HOUR
    brief.pull(prune_lapsed=True)
    serial = brief.serial
    brief.rollback(brief.kept[0])
    assert brief.names == LASTING | {"soon.example"}
    assert brief.serial > serial


def test_command_prune(listed: Shell) -> None:
    config = listed.subscribe()
    now = datetime.now(UTC)
    soon = (now + 3 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed("--as", "agent-1", "add", "brief.example", "--review-by", soon, *WHY)
    listed("--as", "agent-2", "approve", "6")
    listed("publish")
    listed("pull", "-c", config, "--accept")
    listed.at(now + 4 * HOUR)
    assert "brief.example" in zone_of(config)
    done = listed("pull", "-c", config, "--prune-lapsed")
    assert "1 name is left out: its review date has passed, and no newer release has come" in done.stderr
    assert "nothing was changed" not in done.output
    assert "brief.example" not in zone_of(config)
    assert listed.json("status", "-c", config)["lists"][0]["names"] == 1


# --- Whatever the order -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with one release; every example starts with a copy of it."""
    site = Site(tmp_path_factory.mktemp("beginning") / "site", datetime.now(UTC))
    site.block("first.example", "second.example")
    return site


STEPS: tuple[tuple[str, int], ...] = (
    *(("add", hours) for hours in (0, 0, 2, 2, 3, 5)),
    *(("remove", number) for number in (0, 1)),
    *(("renew", number) for number in (0, 2)),
    *(("wait", hours) for hours in (1, 1, 2, 2, 3, 4)),
    *(("brake", most) for most in (0, 0, 20)),
    *(("pull", 0), ("pull", 0), ("pull", 0), ("prune", 0), ("prune", 0), ("prune", 0)),
    *(("accept", 0), ("accept", 1), ("resume", 0), ("resume", 1), ("publish", 0), ("silence", 1), ("silence", 0)),
    *(("rollback", which) for which in (-1, 0, 1)),
)
"""What may come next, each as likely as it stands here. An act is published at once."""

_NUMBERS = itertools.count()


@settings(
    max_examples=40 * EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making a failing sequence shorter takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=40))
def test_whatever_the_order_never_more_than_was_signed_and_is_in_force(
    beginning: Site, tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path / str(next(_NUMBERS))
    shutil.copytree(beginning.folder, folder / "site")
    life = Life(World(Site.at(folder / "site", beginning.now), folder / "isp"))
    for step, argument in steps:
        getattr(life, f"do_{step}")(argument)
    shutil.rmtree(folder)


class Life:
    """A provider through anything that can happen in any order, checked after every step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.signed: set[str] = {"first.example", "second.example"}
        self.url = world.subscription.url
        self.highest = 0
        self.newest_serial = 0
        pulled(world, accept="any")
        self.content = world.files
        self.check()

    # What people and time do

    def do_add(self, hours: int) -> None:
        name = f"name-{len(self.signed)}.example"
        self.signed.add(name)
        self.world.block(name, review_by=self.world.site.now + hours * HOUR if hours else None)
        self.do_publish()

    def do_remove(self, number: int) -> None:
        if there := self._listed():
            self.world.site.remove(there[number % len(there)])
            self.do_publish()

    def do_renew(self, number: int) -> None:
        if there := self._listed():
            self.world.renew(there[number % len(there)])
            self.do_publish()

    def _listed(self) -> list[str]:
        with self.world.site.office("agent-1") as office:
            return sorted(office.register.in_force(self.world.site.now).domain)

    def do_wait(self, hours: int) -> None:
        self.world.site.now += hours * HOUR

    def do_publish(self, _: int = 0) -> None:
        self.world.site.now += SECOND
        self.world.publish()

    def do_silence(self, is_silent: int) -> None:
        silent(self.world) if is_silent else self.world.provider.edit(url=self.url)

    def do_brake(self, added: int) -> None:
        self.world.provider.edit(brakes=Brakes(added, 100, 0))

    # What the provider does

    def do_pull(self, _: int) -> None:
        self.pull()

    def do_prune(self, _: int) -> None:
        outcome = self.pull(prune_lapsed=True)
        newest = self.world.releases[self.world.record.newest.release].names
        assert all(newest[name] > self.world.site.now for name in self.world.names), outcome

    def do_resume(self, prune: int) -> None:
        if self.pull(resume=True, prune_lapsed=bool(prune)).exit_code == 0:
            assert self.world.record.held is None

    def do_accept(self, resume: int) -> None:
        error = self.pull(resume=bool(resume)).error
        if isinstance(error, BrakeError):
            assert self.pull(resume=bool(resume), accept=error.plan.checksum).exit_code == 0

    def do_rollback(self, which: int) -> None:
        world, kept = self.world, self.world.kept
        release = None if which < 0 else kept[which % len(kept)]
        try:
            done = world.rollback(release)
        except UsageError as error:
            assert release is None, error
            return
        listed = world.releases[done.to.release].names
        newest = world.releases[world.record.newest.release].names
        due = {name for name, end in newest.items() if end <= world.site.now}
        assert world.names == (listed.keys() & newest.keys()) - due
        assert (world.record.held, world.record.let_in) == (world.site.now, done.to.release)
        self.check()

    def pull(self, **options: bool | str) -> Outcome:
        """A pull, with everything that must hold after any; a second one at once finds nothing to do."""
        world = self.world
        before, held = world.names, world.record.held is not None and not options.get("resume")
        outcome = world.pull(**options)
        assert outcome.exit_code in ((0,) if held else (0, 1)) + (4, 5), outcome
        if held:
            assert world.names <= before
            assert outcome.exit_code in (4, 5) or any(note.startswith("held") for note in outcome.notes)
        if outcome.exit_code in (0, 1):  # the newest was seen: what it ended is out
            newest = world.releases[max(world.releases)].names
            assert world.names <= newest.keys()
            if outcome.exit_code == 0 and not held:
                self.complete(bool(options.get("prune_lapsed")))
        self.check()
        marks, kept = world.marks, world.provider.kept()
        again = world.pull(**options)
        assert (again.exit_code, again.changed) == (outcome.exit_code, False)
        assert (world.marks, world.provider.kept()) == (marks, kept)
        return outcome

    def complete(self, prune: bool) -> None:
        """Everything of the newest release is installed, as it was published where the serial allows that."""
        world = self.world
        newest = world.releases[max(world.releases)]
        due = {name for name, end in newest.names.items() if end <= world.site.now}
        assert newest.names.keys() - due <= world.names <= newest.names.keys()
        if prune:
            assert not world.names & due
        if newest.number > self.highest and world.names == newest.names.keys():
            assert world.files == {name: newest.file(name) for name in world.files}

    def check(self) -> None:
        """What holds at any time: a part of what was signed, and a serial that only goes up."""
        world, record = self.world, self.world.record
        assert world.names <= world.releases[record.newest.release].names.keys()
        assert record.names == len(world.names)
        assert record.base in record.kept
        assert len(record.kept) <= 3
        content = world.files
        if content != self.content:
            assert world.serial > self.highest
        self.content, self.highest = content, max(self.highest, world.serial)
        assert record.serial == self.highest
        kept = [frozenset(world.releases[accepted.release].names) for accepted in record.kept]
        assert all(one != other for one, other in itertools.pairwise(kept))
        assert not list(world.provider.folder.rglob(".tmp-*"))
