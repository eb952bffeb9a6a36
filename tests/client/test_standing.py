"""`status` and metrics at a provider, notes for the journal, and several lists in one subscription."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.fixed import HOUR, LIST
from kit.provider import Provider
from kit.shell import WHY, Shell
from kit.two_lists import OTHER, Both, other_of  # noqa: F401  (its fixtures)
from prometheus_client.parser import text_string_to_metric_families


def stand(shell: Shell, config: Path, expect: int = 0) -> dict[str, Any]:
    """What `status --json` says of the one list."""
    (standing,) = json.loads(shell("--json", "status", "-c", config, expect=expect).stdout)["lists"]
    return dict(standing)


def metrics(path: Path) -> dict[str, float]:
    """The samples of a metrics file, as Prometheus reads it."""
    families = text_string_to_metric_families(path.read_text())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_before_the_first_pull(listed: Shell) -> None:
    config = listed.subscribe()
    said = listed("status", "-c", config, expect=4).stdout
    assert f"list {LIST}: nothing is installed yet" in said
    assert "no pull has ended yet" in said
    assert stand(listed, config, expect=4)["stale"] is True


def test_after_a_pull(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    said = listed("status", "-c", config).stdout
    release = listed.release.name
    assert f"list {LIST}: release {release}, 1 name, head act 5" in said
    assert re.search(r"valid until \d{4}-", said)
    assert f"  rpz      {listed.folder}/isp/rpz.zone  installed" in said
    assert f"kept for rollback: {release}" in said
    assert re.search(r"last pull \S+ \S+, exit code 0\n", said)
    members = stand(listed, config)
    assert (members["release"], members["names"], members["let_in"]) == (release, 1, release)
    assert (members["held"], members["waiting"], members["stale"]) == (None, False, False)
    assert (members["last_exit_code"], members["last_error"]) == (0, "")
    assert members["last_success"] == members["last_pull"]
    assert members["targets"] == [{"format": "rpz", "path": f"{listed.folder}/isp/rpz.zone", "state": "installed"}]


def test_what_somebody_did_to_a_target(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    zone = listed.folder / "isp/rpz.zone"
    zone.write_text("; mine\n")
    assert stand(listed, config)["targets"][0]["state"] == "changed"
    assert "changed by somebody else" in listed("status", "-c", config).stdout
    zone.unlink()
    assert stand(listed, config)["targets"][0]["state"] == "missing"


def test_a_failed_pull_is_seen_until_one_succeeds(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    success = stand(listed, config)["last_success"]
    tree = listed.office / "exports"
    tree.rename(tree.with_name("gone"))
    listed("pull", "-c", config, expect=5)
    members = stand(listed, config)
    assert members["last_exit_code"] == 5
    assert "is not there" in members["last_error"]
    assert (members["last_success"], members["stale"]) == (success, False)
    said = listed("status", "-c", config).stdout
    assert "exit code 5" in said
    assert "last success" in said
    tree.with_name("gone").rename(tree)
    listed("pull", "-c", config)
    assert stand(listed, config)["last_exit_code"] == 0


def test_a_list_that_is_stale(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    listed.at(datetime.now(UTC) + timedelta(hours=13))
    assert "stale since" in listed("status", "-c", config, expect=4).stdout
    assert stand(listed, config, expect=4)["stale"] is True


def test_additions_that_wait(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    config.write_text(config.read_text().replace("added: 20", "added: 0"))
    listed("--as", "agent-1", "add", "more.example", *WHY)
    listed("--as", "agent-2", "approve", "6")
    listed("--as", "agent-1", "remove", "bad.example", "--reason", "lawful")
    listed("publish")
    listed("pull", "-c", config, expect=1)
    members = stand(listed, config)
    assert (members["waiting"], members["names"], members["held"]) == (True, 0, None)
    assert "wait for your word" in listed("status", "-c", config).stdout


def test_metrics(listed: Shell) -> None:
    config, path = listed.subscribe(), listed.folder / "blocklist.prom"
    listed("pull", "-c", config, "--metrics", path, expect=1)  # a first pull needs a word, and monitoring sees that
    first = metrics(path)
    assert (first["blocklist_last_exit_code"], first["blocklist_stale"]) == (1, 1)
    assert "blocklist_release_timestamp_seconds" not in first
    started = datetime.now(UTC).timestamp() - 1
    listed("pull", "-c", config, "--accept", "--metrics", path)
    now = metrics(path)
    assert now["blocklist_release_timestamp_seconds"] == stand_number(listed, config)
    assert (now["blocklist_head"], now["blocklist_entries"]) == (5, 1)
    assert now["blocklist_release_age_seconds"] >= 0
    assert now["blocklist_last_success_timestamp_seconds"] >= started
    assert now["blocklist_last_success_timestamp_seconds"] == now["blocklist_last_pull_timestamp_seconds"]
    zero = ("last_exit_code", "stale", "held", "waiting", "targets_failed")
    assert {now[f"blocklist_{name}"] for name in zero} == {0}
    assert f'blocklist_head{{list="{LIST}"}} 5.0' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # the exporter is another account
    listed("pull", "-c", config, "--metrics", path)
    assert metrics(path)["blocklist_last_pull_timestamp_seconds"] >= now["blocklist_last_pull_timestamp_seconds"]
    (listed.folder / "isp/rpz.zone").unlink()
    listed("status", "-c", config, "--metrics", path)
    assert metrics(path)["blocklist_targets_failed"] == 1


def stand_number(shell: Shell, config: Path) -> float:
    name = stand(shell, config)["release"]
    return datetime.strptime(name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def test_metrics_that_cannot_be_written(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept", "--metrics", listed.folder / "none/x.prom", expect=6)
    assert stand(listed, config)["last_exit_code"] == 0  # the list is installed all the same


def test_metrics_are_for_a_provider(listed: Shell) -> None:
    listed.refused("status", "--metrics", "x.prom", code=2, message="--metrics is for a provider")


# The journal


def journal(config: Path, folder: Path, *words: str) -> list[str]:
    """The lines that a pull writes to a stream that it takes for the journal's."""
    log = folder / "journal"
    with log.open("w") as stream:
        status = os.fstat(stream.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        command = [sys.executable, "-m", "blocklist", "pull", "-c", str(config), *words]
        subprocess.run(command, stderr=stream, stdout=subprocess.DEVNULL, env=environment, check=False)
    return log.read_text().splitlines()


def test_every_line_for_the_journal_has_its_level(listed: Shell) -> None:
    config = listed.subscribe()
    lines = journal(config, listed.folder, "--accept")
    assert lines[0].startswith("<6>release ")
    assert all(re.match("<[3-6]>", line) for line in lines)
    assert any(line.startswith("<5>") and "bad.example" in line for line in lines)
    (listed.office / "exports").rename(listed.office / "gone")
    assert re.match(r"<3>blocklist: error: file://\S+ does not answer", journal(config, listed.folder)[0])


def test_without_a_journal_there_are_no_levels(listed: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    config = listed.subscribe()
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert "<6>" not in listed("pull", "-c", config, "--accept").stderr


# Several lists


def provider_of_both(both: Both, folder: Path) -> Provider:
    site = both.first
    provider = Provider(folder, site.exports.as_uri(), site.root.read_bytes())
    provider.edit(lists={LIST: tuple(provider.targets), OTHER: (provider.targets[0].__class__("rpz", folder / "m"),)})
    return provider


def test_two_lists_in_one_subscription(both: Both, tmp_path: Path) -> None:
    from blocklist.client.install import worst
    from blocklist.client.pull import pull
    from blocklist.client.subscription import ANY_CHANGE, Options

    both.mirror("copy.example")
    both.second.publish()
    provider = provider_of_both(both, tmp_path)
    outcomes = pull(provider.subscription.path, both.first.now, Options(accept=ANY_CHANGE))
    assert [(outcome.list_id, outcome.exit_code) for outcome in outcomes] == [(LIST, 0), (OTHER, 0)]
    assert "copy.example CNAME" in (tmp_path / "m").read_text()
    assert "one.example A" in provider.installed()
    # One list that cannot be verified holds the other by nothing.
    both.later(HOUR)
    both.first.block("two.example")
    both.first.publish()
    record = provider.state / "lists" / OTHER / "accepted.json"
    record.write_bytes(b"{}")
    outcomes = pull(provider.subscription.path, both.first.now, Options())
    assert [outcome.exit_code for outcome in outcomes] == [0, 2]
    assert worst(outcomes) == 2
    assert "two.example A" in provider.installed()


def test_the_worst_of_several_counts() -> None:
    from blocklist.base.errors import (
        RefusedError,
        StaleError,
        TargetError,
        UnreachableError,
        UsageError,
        VerificationError,
    )
    from blocklist.client.install import Outcome, worst

    faults = [UsageError("u"), UnreachableError("n"), TargetError("t"), RefusedError("r"), StaleError("s")]
    faults.append(VerificationError("v"))
    codes = []
    while faults:
        codes.append(worst(Outcome(f"list-{place}", error=fault) for place, fault in enumerate(faults)))
        faults.pop()
    assert codes == [3, 4, 1, 6, 5, 2]
    assert worst([Outcome("fine")]) == 0
    outcome = Outcome("list", error=UsageError("u"), failures=(TargetError("t"), VerificationError("v")))
    assert [fault.exit_code for fault in outcome.errors] == [3, 6, 2]
