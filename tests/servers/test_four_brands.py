"""One subscription that feeds four brands of resolver at once, each with its own file, check and reload (promise 7).

The servers are real and run all the time; each test publishes the next release and pulls it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.fixed import HOUR
from kit.provider import Provider
from kit.servers import Kresd, Named, Recursor, Server, Unbound, until
from kit.site import Site
from kit.upstream import ADDRESSES, Upstream

from blocklist.base.errors import RefusedError, TargetError
from blocklist.client.install import Outcome
from blocklist.client.subscription import Target

LANDING = "192.0.2.1"
PROBE = "probe.blocklist.example"
MINUTE = timedelta(minutes=1)
ZONE_CHECK = "named-checkzone -q -k fail blocked {file}"
LINT = f"{sys.executable} -m blocklist lint --zone blocked {{file}}"
BRANDS: dict[str, tuple[type[Server], str, str]] = {
    "bind": (Named, "bind-rpz.conf", ZONE_CHECK),
    "unbound": (Unbound, "unbound-rpz.conf", ZONE_CHECK),
    "kresd": (Kresd, "kresd-rpz.conf", LINT),
    "recursor": (Recursor, "recursor.conf", LINT),
}
"""Knot Resolver reads the file by itself when it is renamed into place, so it has no reload that could fail."""


class Fleet:
    """The office, the provider and its resolvers; `listed` and `ended` are what the last release added and ended."""

    def __init__(self, folder: Path, upstream: Upstream, running: ExitStack) -> None:
        self.site = Site(folder / "site", datetime.now(UTC) - HOUR)
        self.names = (f"name-{number}.outside.example" for number in itertools.count())
        self.listed, self.ended = next(self.names), ""
        self.site.block("bad.example", self.listed)
        self.site.publish()
        self.provider = Provider(folder / "isp", self.site.exports.as_uri(), self.site.root.read_bytes())
        paths = {brand: self.provider.folder / f"{brand}.zone" for brand in BRANDS}
        self.provider.aim(*(Target("rpz", path) for path in paths.values()))
        assert self.pull(accept="any").exit_code == 0  # once without reload: no server can reload what it does not know
        self.servers = {
            brand: kind(folder / brand, configuration, upstream.port, paths[brand], upstream.anchor)
            for brand, (kind, configuration, _) in BRANDS.items()
        }
        self.targets = {
            brand: Target("rpz", paths[brand], check, self.servers[brand].reload_command)
            for brand, (_, _, check) in BRANDS.items()
        }
        self.provider.aim(*self.targets.values())
        for server in self.servers.values():
            running.enter_context(server)
        for brand in BRANDS:
            self.wait_for(brand, PROBE, LANDING)

    def release(self) -> None:
        """The next release: a name more, and a name less."""
        self.site.now += MINUTE
        self.ended, self.listed = self.listed, next(self.names)
        self.site.remove(self.ended)
        self.site.block(self.listed)
        self.site.publish()

    def pull(self, **options: str) -> Outcome:
        return self.provider.attempt(self.site.now, **options)

    def addresses(self, brand: str, name: str) -> set[str]:
        """What a resolver answers."""
        answer = self.servers[brand].ask(name).answer
        return {record.to_text() for rrset in answer for record in rrset}

    def wait_for(self, brand: str, name: str, address: str) -> None:
        """A resolver loads the file on its own time, and may have old answers in a cache for some seconds."""
        until(
            lambda: self.addresses(brand, name) == {address},
            f"{brand} to answer {address} for {name}",
            self.servers[brand].log,
        )

    def assert_newest(self, brand: str) -> None:
        """It blocks what the last release added, and resolves what that ended."""
        self.wait_for(brand, self.listed, LANDING)
        self.wait_for(brand, self.ended, ADDRESSES["A"])
        self.assert_steady(brand)

    def assert_before(self, brand: str) -> None:
        """It has not heard of the last release."""
        self.wait_for(brand, self.listed, ADDRESSES["A"])
        self.wait_for(brand, self.ended, LANDING)
        self.assert_steady(brand)

    def assert_steady(self, brand: str) -> None:
        assert self.addresses(brand, "bad.example") == {LANDING}
        assert self.addresses(brand, "notbad.example") == {ADDRESSES["A"]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as running:
        upstream = running.enter_context(Upstream(folder / "upstream"))
        yield Fleet(folder, upstream, running)


@pytest.fixture
def whole(fleet: Fleet) -> Fleet:
    """All four have the same list, whatever the test before left."""
    fleet.provider.aim(*fleet.targets.values())
    assert fleet.pull().exit_code == 0
    return fleet


def test_one_pull_changes_all_four(whole: Fleet) -> None:
    whole.release()
    outcome = whole.pull()
    assert (outcome.exit_code, outcome.changed) == (0, True)
    assert set(outcome.installed) == {str(target.path) for target in whole.targets.values()}
    assert len({target.path.read_bytes() for target in whole.targets.values()}) == 1
    for brand in BRANDS:
        whole.assert_newest(brand)


@pytest.mark.parametrize("stopped", [brand for brand, (server, _, _) in BRANDS.items() if server.reload])
def test_promise_7_one_that_is_down_holds_none_of_the_others(whole: Fleet, stopped: str) -> None:
    path = whole.targets[stopped].path
    before = path.read_bytes()
    whole.servers[stopped].stop()
    try:
        whole.release()
        for _ in range(2):  # until it is up again
            outcome = whole.pull()
            (failure,) = outcome.errors
            assert isinstance(failure, TargetError)
            assert outcome.exit_code == 6
            assert f"the reload for {path} failed" in failure.message
            assert set(outcome.installed) == {str(t.path) for brand, t in whole.targets.items() if brand != stopped}
            assert path.read_bytes() == before
        for brand in BRANDS.keys() - {stopped}:
            whole.assert_newest(brand)
    finally:
        whole.servers[stopped].start()
    whole.assert_before(stopped)  # it started with a whole list, the previous one
    outcome = whole.pull()
    assert (outcome.exit_code, outcome.changed) == (0, True)
    assert path.read_bytes() != before
    for brand in BRANDS:
        whole.assert_newest(brand)


@pytest.mark.parametrize("refusing", BRANDS)
def test_promise_7_one_whose_check_says_no_holds_none_of_the_others(whole: Fleet, refusing: str) -> None:
    target = whole.targets[refusing]
    whole.provider.aim(*{**whole.targets, refusing: replace(target, check="false {file}")}.values())
    before = target.path.read_bytes()
    whole.release()
    outcome = whole.pull()
    (failure,) = outcome.errors
    assert isinstance(failure, RefusedError)
    assert f"the check of {target.path} failed" in failure.message
    assert target.path.read_bytes() == before
    for brand in BRANDS.keys() - {refusing}:
        whole.assert_newest(brand)
    whole.assert_before(refusing)
