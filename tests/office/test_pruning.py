"""Old releases leave the tree by the policy's `keep`: never the current one, never a root, sums or seal."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.fixed import DAY, LIST
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.site import Site
from tuf.ngclient import Updater

from blocklist.audit.audit import audit_workspace
from blocklist.register import acts
from blocklist.release.manifest import SEAL, SUMS


def folders(site: Site) -> list[Path]:
    return sorted(path for path in (site.exports / LIST).iterdir() if path.is_dir())


def whole(folder: Path) -> bool:
    return (folder / "rpz.zone").exists()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Four releases in four days of a list whose releases stay for three days; it is the sixth day."""
    return ready_made(tmp_path / "site", datetime.now(UTC) - 5 * DAY, _four_releases)


def _four_releases(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    with made.office("head-1") as office:
        policy = office.register.policy.to_json() | {"keep": int((3 * DAY).total_seconds())}
        office.state(acts.Adopt(policy=policy, files={"a.yaml": "0" * 64}, rules=1))
    for day in range(4):
        made.block(f"day{day}.example")
        made.publish()
        made.now += DAY
    made.now += DAY
    return made


def names_of(site: Site) -> set[str]:
    return {path.name for path in (site.exports / "targets" / LIST).iterdir()}


def test_what_is_older_goes_and_what_proves_it_stays(site: Site, tmp_path: Path) -> None:
    assert [whole(folder) for folder in folders(site)] == [True, True, True, True]
    before = names_of(site)
    site.block("today.example")
    site.publish()
    assert [whole(folder) for folder in folders(site)] == [False, False, True, True, True]
    for folder in folders(site)[:2]:
        assert {path.name for path in folder.iterdir()} == {SUMS, SEAL}
    assert (site.exports / "metadata/1.root.json").exists()
    assert (site.exports / "metadata/1.targets.json").exists()
    assert len(before - names_of(site)) >= 2 * 8
    for folder in folders(site)[2:]:
        for path in folder.iterdir():
            twin = [name for name in names_of(site) if name.endswith(f".{path.name}")]
            assert any(path.samefile(site.exports / "targets" / LIST / name) for name in twin)
    versions = [path.name for path in (site.exports / "metadata").glob(f"*.{LIST}.json")]
    assert len(versions) == 3
    updater = Updater(
        str(tmp_path), f"{site.exports.as_uri()}/metadata", bootstrap=site.root.read_bytes(), fetcher=_files()
    )
    updater.refresh()
    assert updater.get_targetinfo(f"{LIST}/rpz.zone") is not None
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes())
    assert provider.pull(site.now, accept="any").changed


def _files() -> object:
    from blocklist.client.fetch import TransportFetcher
    from blocklist.client.transport import FileTransport

    return TransportFetcher(FileTransport())


def test_an_audit_knows_pruned_releases(site: Site) -> None:
    site.publish()
    assert not audit_workspace(site.workspace, site.now).faults


def test_the_current_release_stays_whatever_its_age(site: Site) -> None:
    site.now += 30 * DAY
    current = folders(site)[-1]
    site.publish()
    assert whole(current)
    assert [whole(folder) for folder in folders(site)] == [False, False, False, True, True]


@pytest.mark.parametrize("stays", [".zone", f".{LIST}.json", "acts.jsonl"])
def test_a_prune_that_breaks_holds_no_release_and_goes_on_the_next_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, stays: str
) -> None:
    site.block("today.example")
    real = os.unlink

    def unlink(path: object, *args: object, **rest: object) -> None:
        if str(path).endswith(stays):
            raise OSError(5, "Input/output error", str(path))
        real(path, *args, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", unlink)
    result = site.publish()
    assert result.changed
    assert result.failure is not None
    assert result.failure.exit_code == 6
    monkeypatch.undo()
    site.now += timedelta(minutes=5)
    site.block("later.example")
    assert site.publish().failure is None
    assert [whole(folder) for folder in folders(site)][:2] == [False, False]
    left = {name.partition(".")[2] for name in names_of(site)}
    assert left >= {"rpz.zone", "acts.jsonl"}
    assert len([name for name in names_of(site) if name.endswith("rpz.zone")]) == len(
        list(filter(whole, folders(site)))
    )
