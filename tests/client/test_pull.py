"""`pull`, end to end: from a published tree to installed files, and never worse after it (promise 7)."""

from __future__ import annotations

import json
import re
import shutil
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.breaking import Breaking
from kit.fixed import DAY, HOUR, LIST
from kit.provider import Provider
from kit.site import Site

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, StaleError, TargetError, UsageError, VerificationError
from blocklist.client import subscription
from blocklist.client.install import Outcome
from blocklist.client.subscription import ANY_CHANGE
from blocklist.register import acts
from blocklist.register.policy import Brakes
from blocklist.release import formats, receipts
from blocklist.release.contents import BrakeError

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Story:
    """A site at four instants, with its tree at each: two names; one more; one removed; one lapsed."""

    site: Site
    folder: Path
    at: dict[str, datetime]

    def tree(self, name: str) -> Path:
        return self.folder / name

    def provider(self, folder: Path, name: str = "first", **options: Any) -> Provider:
        """A provider that reads a copy of the tree of that moment, and has accepted it."""
        self.show(folder, name)
        made = Provider(folder / "provider", (folder / "tree").as_uri(), self.site.root.read_bytes(), **options)
        made.pull(self.at[name], accept="any")
        return made

    def show(self, folder: Path, name: str) -> None:
        shutil.rmtree(folder / "tree", ignore_errors=True)
        shutil.copytree(self.tree(name), folder / "tree")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    site = Site(folder / "site", datetime.now(UTC))
    at: dict[str, datetime] = {}

    def publish(name: str, accept: str | None = None) -> None:
        site.publish(accept)
        at[name] = site.now
        shutil.copytree(site.exports, folder / name)
        site.now += HOUR

    site.block("one.example", "two.example")
    site.block("brief.example", review_by=site.now + 3 * HOUR)
    publish("first")
    site.block("four.example", hosts=["www.five.example"])
    publish("more")
    site.remove("two.example")
    publish("removed")
    site.now += SECOND
    publish("lapsed")
    site.now += 6 * HOUR
    publish("renewed")
    return Story(site, folder, at)


@pytest.fixture
def provider(story: Story, tmp_path: Path) -> Provider:
    return story.provider(tmp_path)


def refused(provider: Provider, now: datetime, kind: type[BlocklistError], match: str, **options: object) -> Any:
    kept = provider.kept()
    with pytest.raises(kind, match=match) as caught:
        provider.pull(now, **options)
    assert provider.kept() == kept
    assert leftovers(provider) == []
    return caught.value


def leftovers(provider: Provider) -> list[str]:
    return [path.name for path in provider.folder.rglob(".tmp-*")]


def blocked(provider: Provider) -> set[str]:
    return {line.split()[0] for line in provider.installed().splitlines() if " A " in line} - {
        "probe.blocklist.example"
    }


FIRST = {"one.example", "*.one.example", "two.example", "*.two.example", "brief.example", "*.brief.example"}
MORE = FIRST | {"four.example", "*.four.example", "www.five.example"}

# --- The life of a list -----------------------------------------------------------------------------------------------


def test_a_first_pull_asks(story: Story, tmp_path: Path) -> None:
    asked = []
    new = Provider(tmp_path, story.tree("first").as_uri(), story.site.root.read_bytes())
    error = refused(new, story.at["first"], RefusedError, "a first pull needs your word; names to install: 3")
    assert error.exit_code == 1
    assert new.kept() == {}
    refused(new, story.at["first"], RefusedError, "install: 3", confirm=lambda plan: bool(asked.append(plan)))
    assert [len(plan.added) for plan in asked] == [3]
    assert new.pull(story.at["first"], confirm=lambda _: True).changed
    assert blocked(new) == FIRST


def test_a_first_pull_takes_the_checksum_that_the_refusal_names(story: Story, tmp_path: Path) -> None:
    new = Provider(tmp_path, story.tree("first").as_uri(), story.site.root.read_bytes())
    error = refused(new, story.at["first"], RefusedError, "a first pull", accept="0" * 32)
    checksum = error.hint.split("--accept ")[-1].rstrip("'")
    assert new.pull(story.at["first"], accept=checksum).changed


def test_both_targets_are_what_was_published(provider: Provider, story: Story) -> None:
    released = next((story.tree("first") / LIST).glob("2*Z"))
    assert provider.installed("rpz") == (released / "rpz.zone").read_text()
    assert provider.installed("hosts") == (released / "hosts.txt").read_text()


def test_every_format_is_installed(story: Story, tmp_path: Path) -> None:
    provider = story.provider(tmp_path, formats=tuple(formats.FORMATS))
    released = next((story.tree("first") / LIST).glob("2*Z"))
    for entry in formats.FORMATS.values():
        # As bytes: CSV has another end of line.
        assert (provider.folder / f"installed.{entry.id}").read_bytes() == (released / entry.file).read_bytes()


def test_a_format_of_a_newer_program_is_passed_over(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy that was adopted names a format that this client does not know: its own targets go on."""
    others = {name: entry for name, entry in formats.FORMATS.items() if name != "knot"}
    monkeypatch.setattr(formats, "FORMATS", others)
    monkeypatch.setattr(subscription, "FORMATS", tuple(others))
    provider = story.provider(tmp_path)
    assert blocked(provider) == FIRST
    story.show(tmp_path, "more")
    outcome = provider.pull(story.at["more"])
    assert outcome.notes == ["the list is also published as knot, which this program does not know"]
    assert blocked(provider) == MORE
    with pytest.raises(UsageError, match="knot"):
        Provider(tmp_path / "other", story.tree("first").as_uri(), story.site.root.read_bytes(), formats=["knot"])


def test_nothing_new(provider: Provider, story: Story) -> None:
    kept = provider.kept()
    watch = {"metadata", "last.json", "verified.json"}  # what a pull saw, and that there was one
    stamps = {
        path: path.stat().st_mtime_ns
        for path in provider.folder.rglob("*")
        if path.is_file() and not watch & set(path.parts)
    }
    outcome = provider.pull(story.at["first"] + HOUR)
    assert not outcome.changed
    assert outcome.plan is None
    assert set(outcome.installed) == {str(target.path) for target in provider.targets}
    assert provider.kept() == kept
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_additions_removals_and_lapses(provider: Provider, story: Story, tmp_path: Path) -> None:
    told: list[Outcome] = []
    for name in ("more", "removed", "lapsed"):
        story.show(tmp_path, name)
        told.append(provider.pull(story.at[name]))
        assert leftovers(provider) == []
    plans = [outcome.plan for outcome in told if outcome.plan]
    assert [(len(p.added), len(p.removed), len(p.lapsed)) for p in plans] == [(2, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert blocked(provider) == MORE - {"two.example", "*.two.example", "brief.example", "*.brief.example"}


def test_releases_may_be_missed(provider: Provider, story: Story, tmp_path: Path) -> None:
    story.show(tmp_path, "lapsed")
    plan = provider.pull(story.at["lapsed"]).plan
    assert plan is not None
    assert (len(plan.added), len(plan.removed), len(plan.lapsed)) == (2, 1, 1)


def test_a_release_without_news_moves_the_validity(provider: Provider, story: Story, tmp_path: Path) -> None:
    story.show(tmp_path, "lapsed")
    provider.pull(story.at["lapsed"])
    before = provider.accepted()
    story.show(tmp_path, "renewed")
    assert provider.pull(story.at["renewed"]).changed
    after = provider.accepted()
    assert after["head"] == before["head"]
    assert after["release"] > before["release"]


def test_the_record(provider: Provider, story: Story) -> None:
    accepted = provider.accepted()
    expected = {str(target.path): durable.digest([target.path.read_bytes()]).sha256 for target in provider.targets}
    assert accepted["register"] == story.site.founded.register
    assert accepted["release"] == accepted["let_in"] == accepted["serial"] == int(story.at["first"].timestamp())
    assert accepted["valid_until"] == (story.at["first"] + 12 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert accepted["head"]["seq"] == 7
    assert accepted["acts_length"] == provider.acts_path.stat().st_size
    assert accepted["installed"] == expected
    assert accepted["names"] == 3
    assert (accepted["held"], accepted["installing"]) == (None, False)
    for path in (provider.record_path, provider.list_state.receipt_path, provider.acts_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- What somebody did to the files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", ["", "; edited\n", None], ids=["emptied", "edited", "deleted"])
def test_an_installed_file_that_was_changed_is_repaired(provider: Provider, story: Story, edit: str | None) -> None:
    wanted = provider.installed()
    path = provider.folder / "installed.rpz"
    path.unlink() if edit is None else path.write_text(edit)
    outcome = provider.pull(story.at["first"] + HOUR)
    assert outcome.changed
    assert not outcome.failures
    assert provider.installed() == wanted


def test_a_file_that_we_did_not_write(story: Story, tmp_path: Path) -> None:
    new = Provider(tmp_path / "provider", story.tree("first").as_uri(), story.site.root.read_bytes())
    mine = tmp_path / "provider/installed.hosts"
    mine.write_text("127.0.0.1 localhost\n")
    for _ in range(2):  # and it stays so
        outcome = new.pull(story.at["first"], accept="any")
        (failure,) = outcome.failures
        assert (failure.exit_code, str(mine) in failure.message) == (1, True)
        assert mine.read_text() == "127.0.0.1 localhost\n"
        assert blocked(new) == FIRST
    outcome = new.pull(story.at["first"], adopt=True)
    assert not outcome.failures
    assert "one.example" in mine.read_text()
    assert mine.with_name("installed.hosts.previous").read_text() == "127.0.0.1 localhost\n"
    assert not new.pull(story.at["first"]).changed


def test_a_target_that_is_added_later(provider: Provider, story: Story) -> None:
    more = replace(provider.targets[0], path=provider.folder / "more.zone")
    provider.aim(*provider.targets, more)
    assert provider.pull(story.at["first"]).changed
    assert more.path.read_text() == provider.installed()


def test_a_target_that_is_taken_away_is_left_alone(provider: Provider, story: Story) -> None:
    provider.aim(*provider.targets[:1])
    assert not provider.pull(story.at["first"]).changed
    assert "one.example" in provider.installed("hosts")
    assert list(provider.accepted()["installed"]) == [str(provider.targets[0].path)]


def test_the_state_was_deleted(provider: Provider, story: Story) -> None:
    """Without the pinned root nothing is trusted; with it, the provider starts as new and adopts its own files."""
    shutil.rmtree(provider.state)
    error = refused(provider, story.at["first"], UsageError, "the pinned root .* cannot be read")
    assert "blocklist subscribe" in error.hint
    (provider.state / "root.json").write_bytes(story.site.root.read_bytes())
    refused(provider, story.at["first"], RefusedError, "a first pull")
    outcome = provider.pull(story.at["first"], accept="any")
    assert not outcome.failures  # what is in place is what would be written
    assert not provider.pull(story.at["first"]).changed


def test_a_damaged_record(provider: Provider, story: Story) -> None:
    path = provider.record_path
    good = json.loads(path.read_bytes())
    for damaged in (
        b"",
        b"{}",
        b"[]",
        b"\xff",
        json.dumps(good | {"newest": good["newest"] | {"release": 10**30}}).encode(),
        b"[" * 100_000,
    ):
        path.write_bytes(damaged)
        error = refused(provider, story.at["first"], UsageError, "is damaged")
        assert "remove it" in error.hint


# --- Brakes -----------------------------------------------------------------------------------------------------------


def test_a_brake_and_exactly_that_plan(provider: Provider, story: Story, tmp_path: Path) -> None:
    provider.edit(brakes=Brakes(1, 100, 0))
    story.show(tmp_path, "more")
    error = refused(provider, story.at["more"], RefusedError, "2 names are added, more than 1")
    assert error.exit_code == 1
    checksum = error.hint.split("--accept ")[-1]
    refused(provider, story.at["more"], RefusedError, "2 names are added", accept="any")
    refused(provider, story.at["more"], RefusedError, "2 names are added", accept="0" * 32)
    assert blocked(provider) == FIRST
    assert provider.pull(story.at["more"], accept=checksum).changed
    assert blocked(provider) == MORE


def test_a_checksum_is_good_for_one_plan(provider: Provider, story: Story, tmp_path: Path) -> None:
    provider.edit(brakes=Brakes(1, 100, 0))
    story.show(tmp_path, "more")
    checksum = refused(provider, story.at["more"], RefusedError, "2 names").hint.split("--accept ")[-1]
    story.show(tmp_path, "lapsed")  # two names more, and two less
    outcome = provider.attempt(story.at["lapsed"], accept=checksum)
    assert isinstance(outcome.error, BrakeError)
    assert outcome.error.plan.checksum != checksum
    assert not blocked(provider) & {"four.example", "www.five.example"}


def test_a_checksum_lets_its_change_in_whichever_release_carries_it(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example")
    site.publish()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    provider.edit(brakes=Brakes(1, 100, 0))
    site.now += HOUR
    site.block("two.example", "three.example")
    site.publish()
    checksum = refused(provider, site.now, BrakeError, "2 names").plan.checksum
    site.now += 7 * HOUR
    assert site.publish().changed  # nothing but a later release of the same
    assert refused(provider, site.now, BrakeError, "2 names").plan.checksum == checksum
    assert provider.pull(site.now, accept=checksum).changed
    assert {"two.example", "three.example"} <= blocked(provider)


def test_promise_6_what_ended_comes_back_while_additions_wait(provider: Provider, story: Story, tmp_path: Path) -> None:
    """The brake holds the additions of a release and never its endings; the header says what was left out."""
    provider.edit(brakes=Brakes(1, 100, 0))
    story.show(tmp_path, "lapsed")
    outcome = provider.attempt(story.at["lapsed"])
    assert isinstance(outcome.error, BrakeError)
    assert outcome.changed
    assert blocked(provider) == {"one.example", "*.one.example"}
    zone = provider.installed()
    assert "; Waiting for the provider's word since release" in zone
    assert f"{int(story.at['lapsed'].timestamp())} 300 60" not in zone  # its names are not those of that serial
    again = provider.attempt(story.at["lapsed"] + SECOND)
    assert (again.exit_code, again.changed, provider.installed()) == (1, False, zone)
    assert provider.pull(story.at["lapsed"] + 2 * SECOND, accept=outcome.error.plan.checksum).changed
    assert blocked(provider) == (MORE - FIRST) | {"one.example", "*.one.example"}
    assert serial(provider) > int(re.findall(r"localhost\. (\d+) 300", zone)[0])


def serial(provider: Provider) -> int:
    return int(re.findall(r"hostmaster\.localhost\. (\d+) 300", provider.installed())[0])


@pytest.mark.parametrize(
    ("never", "stops"),
    [
        ("four.example", True),
        ("five.example", True),  # the host below it
        ("www.five.example", True),
        ("shop.four.example", True),  # the domain above it blocks it
        ("other.www.five.example", False),  # a host blocks nothing below it
        ("our.example", False),
        ("ur.example", False),  # the end of a name, but not below it
    ],
)
def test_never_block(provider: Provider, story: Story, tmp_path: Path, never: str, stops: bool) -> None:
    provider.edit(never_block=frozenset({never}))
    story.show(tmp_path, "more")
    if stops:
        error = refused(provider, story.at["more"], RefusedError, "must never be blocked here")
        assert provider.pull(story.at["more"], accept=error.hint.split("--accept ")[-1]).changed
    else:
        assert provider.pull(story.at["more"]).changed


def test_never_block_holds_at_a_first_pull_too(story: Story, tmp_path: Path) -> None:
    new = Provider(tmp_path, story.tree("first").as_uri(), story.site.root.read_bytes())
    new.edit(never_block=frozenset({"www.one.example"}))
    refused(new, story.at["first"], RefusedError, "one.example must never be blocked here", accept="any")
    refused(new, story.at["first"], RefusedError, "must never be blocked here", confirm=lambda _: True)


def test_promise_6_nothing_brakes_an_ending(provider: Provider, story: Story, tmp_path: Path) -> None:
    story.show(tmp_path, "more")
    provider.pull(story.at["more"])
    provider.edit(brakes=Brakes(0, 0, 0), never_block=frozenset({"two.example", "brief.example"}))
    story.show(tmp_path, "lapsed")
    outcome = provider.pull(story.at["lapsed"])
    assert outcome.changed
    assert "two.example" not in provider.installed()
    assert "brief.example" not in provider.installed()


def test_promise_6_nothing_brakes_the_end_of_a_whole_list(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example", "two.example", "three.example")
    site.publish()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    provider.edit(brakes=Brakes(0, 0, 0))
    site.now += HOUR
    site.remove("one.example", "two.example", "three.example")
    site.publish()
    assert provider.pull(site.now).changed
    assert blocked(provider) == set()


# --- Stale, and old ---------------------------------------------------------------------------------------------------


def test_past_the_validity_the_list_stays_and_the_exit_code_says_so(tmp_path: Path) -> None:
    """The metadata expired by the real clock: python-tuf looks at no other."""
    site = Site(tmp_path / "site", datetime.now(UTC) - DAY)
    site.block("one.example")
    site.publish()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    error = refused(provider, site.now, StaleError, "no longer valid", accept="any")
    assert error.exit_code == 4


@pytest.mark.parametrize("name", ["first", "more"])
def test_promise_7_a_stale_release_changes_nothing(provider: Provider, story: Story, tmp_path: Path, name: str) -> None:
    story.show(tmp_path, name)
    error = refused(provider, story.at[name] + 12 * HOUR, StaleError, "was valid until .* stays installed")
    assert error.exit_code == 4
    assert blocked(provider) == FIRST


def test_an_older_release_is_offered_again(provider: Provider, story: Story, tmp_path: Path) -> None:
    story.show(tmp_path, "more")
    provider.pull(story.at["more"])
    story.show(tmp_path, "first")
    assert refused(provider, story.at["more"], VerificationError, "not genuine").exit_code == 3
    assert blocked(provider) == MORE


def test_two_pulls_at_once(provider: Provider, story: Story) -> None:
    with durable.locked(provider.state / "lock", "pull"):
        error = refused(provider, story.at["first"], RefusedError, "another pull of .* is running")
    assert error.exit_code == 1
    assert not provider.pull(story.at["first"]).changed


# --- One target's failure ---------------------------------------------------------------------------------------------


def failing(provider: Provider, number: int, **commands: str) -> None:
    targets = list(provider.targets)
    targets[number] = replace(targets[number], **commands)
    provider.aim(*targets)


@pytest.mark.parametrize("number", [0, 1])
def test_promise_7_a_failed_reload_holds_no_other_target_and_is_tried_again(
    provider: Provider, story: Story, tmp_path: Path, number: int
) -> None:
    failing(provider, number, reload="false")
    before = [target.path.read_bytes() for target in provider.targets]
    story.show(tmp_path, "more")
    for _ in range(2):  # until it succeeds: the second pull does not find "nothing new"
        outcome = provider.pull(story.at["more"])
        (failure,) = outcome.failures
        assert isinstance(failure, TargetError)
        assert failure.exit_code == 6
        assert str(provider.targets[number].path) in failure.message
        assert outcome.installed == (str(provider.targets[1 - number].path),)
        assert provider.targets[number].path.read_bytes() == before[number]
        assert b"four.example" in provider.targets[1 - number].path.read_bytes()
        assert leftovers(provider) == []
    receipt = receipts.read(provider.list_state.receipt_path.read_bytes()).receipt
    assert [entry for entry, _ in receipt.installed] == [provider.targets[1 - number].format]
    assert receipt.failed == (provider.targets[number].format,)
    failing(provider, number, reload="true")
    outcome = provider.pull(story.at["more"])
    assert not outcome.failures
    assert b"four.example" in provider.targets[number].path.read_bytes()
    assert not provider.pull(story.at["more"]).changed


def test_promise_7_a_check_that_says_no(provider: Provider, story: Story, tmp_path: Path) -> None:
    failing(provider, 0, check="sh -c 'echo no good >&2; exit 1' {file}")
    story.show(tmp_path, "more")
    outcome = provider.pull(story.at["more"])
    (failure,) = outcome.failures
    assert failure.exit_code == 1
    assert "no good" in failure.message
    assert blocked(provider) == FIRST
    assert "four.example" in provider.installed("hosts")
    assert leftovers(provider) == []


def test_promise_7_a_folder_that_is_gone(provider: Provider, story: Story, tmp_path: Path) -> None:
    provider.aim(replace(provider.targets[0], path=tmp_path / "gone/list.zone"), provider.targets[1])
    story.show(tmp_path, "more")
    for _ in range(2):
        (failure,) = provider.pull(story.at["more"]).failures
        assert failure.exit_code == 6
        assert "gone/list.zone could not be written" in failure.message
        assert "four.example" in provider.installed("hosts")
    (tmp_path / "gone").mkdir()
    assert not provider.pull(story.at["more"]).failures
    assert "four.example" in (tmp_path / "gone/list.zone").read_text()


def test_a_pull_that_died_between_rename_and_record_is_reloaded(
    provider: Provider, story: Story, tmp_path: Path
) -> None:
    log = tmp_path / "reloads"
    provider.aim(*(replace(target, reload=f"sh -c 'echo x >> {log}'") for target in provider.targets))
    record = (provider.record_path).read_bytes()
    story.show(tmp_path, "more")
    provider.pull(story.at["more"])
    assert log.read_text() == "x\n" * 2
    (provider.record_path).write_bytes(record)  # the machine died before this was written
    assert not provider.pull(story.at["more"]).failures
    assert log.read_text() == "x\n" * 4
    assert not provider.pull(story.at["more"]).changed
    assert log.read_text() == "x\n" * 4


# --- Promise 7: never worse after a pull ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["before", "after", "dead"])
def test_promise_7_never_worse_after_a_pull(story: Story, tmp_path: Path, how: str) -> None:
    """Whichever write fails, both files are whole, old or new; the next pull brings them up to date."""
    origin = story.provider(tmp_path / "origin")
    old = {target.format: target.path.read_bytes() for target in origin.targets}
    new = {name: next_file(story, name) for name in ("rpz.zone", "hosts.txt")}
    good = {"rpz": {old["rpz"], new["rpz.zone"]}, "hosts": {old["hosts"], new["hosts.txt"]}}
    story.show(tmp_path / "origin", "more")
    codes, number, succeeded = set(), 0, False
    while not succeeded:
        number += 1
        provider = copied(origin)
        with Breaking(number, how) as breaking:
            try:
                outcome = provider.pull(story.at["more"])
                codes |= {failure.exit_code for failure in outcome.failures}
                succeeded = not breaking.broke
            except BlocklistError as fault:
                codes.add(fault.exit_code)
                assert breaking.broke
        for target in provider.targets:
            assert target.path.read_bytes() in good[target.format], breaking.calls
        after = provider.pull(story.at["more"])
        assert not after.failures
        assert blocked(provider) == MORE
        assert leftovers(provider) == []
    assert codes <= {6}
    assert number > 30


def next_file(story: Story, name: str) -> bytes:
    latest = (story.tree("more") / LIST / "latest").read_text().strip()
    return (story.tree("more") / LIST / latest / name).read_bytes()


def copied(origin: Provider) -> Provider:
    """The same provider again as it was: its folder is put back."""
    kept = origin.folder.with_name("kept")
    if not kept.exists():
        shutil.copytree(origin.folder, kept, symlinks=True)
    shutil.rmtree(origin.folder)
    shutil.copytree(kept, origin.folder, symlinks=True)
    return origin


def test_a_format_that_is_published_no_more_holds_no_other_target(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))  # python-tuf looks at the real clock
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes(), formats=("rpz", "hosts"))
    site.block("bad.example")
    site.publish()
    provider.pull(site.now, accept=ANY_CHANGE)
    before = provider.installed("hosts")
    site.now += HOUR
    with site.office("head-1") as office:
        valid = office.register.policy.to_json() | {"formats": ["rpz"]}
        office.state(acts.Adopt(policy=valid, files={"a.yaml": "0" * 64}, rules=1))
    site.block("worse.example")
    site.publish()
    outcome = provider.pull(site.now)
    assert "worse.example" in provider.installed("rpz")
    assert provider.installed("hosts") == before
    assert [failure.message for failure in outcome.failures] == [
        f"the list is not published as hosts: {provider.folder}/installed.hosts stays"
    ]
