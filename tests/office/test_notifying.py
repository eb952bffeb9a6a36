"""`publish --notify` and what `pull` tells: the same words to everybody, and no news is ever lost."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kit.fixed import HOUR, LIST, names
from kit.hostile import key_of, later, next_line
from kit.paths import ROOT
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.site import Site, draft_checksum

from blocklist.base.errors import RefusedError, TargetError, UsageError, VerificationError
from blocklist.base.i18n import shown, speaking
from blocklist.cli.commands import main
from blocklist.publisher import outbox
from blocklist.publisher.publish import publish
from blocklist.register import acts
from blocklist.register.acts import read_line
from blocklist.release.contents import DELAY
from blocklist.release.manifest import ANNOUNCED, CHANGES
from blocklist.release.notices import both
from blocklist.store.store import Store

# --- The command of the office ----------------------------------------------------------------------------------------


class Post:
    """A mailbox, and the command that puts what it reads there: each notice in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "post"
        self.folder.mkdir()
        self.command = self.script('cat > "$1/$(ls "$1" | wc -l)"', self.folder)

    def script(self, body: str, *arguments: Path) -> str:
        """A command line that runs these lines of shell."""
        path = self.folder.parent / f"script {abs(hash(body))}.sh"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return shlex.join([str(path), *map(str, arguments)])

    @property
    def notices(self) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.iterdir(), key=lambda path: int(path.name))]


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with speaking("en"):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One name, published an hour ago."""
    return ready_made(tmp_path / "site", datetime.now(UTC), _one_release)


def _one_release(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("one.example")
    made.publish()
    later(made, HOUR)
    return made


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def record(site: Site) -> dict[str, Any]:
    return json.loads((site.workspace.lists / f"{LIST}.notified.json").read_bytes())


def sign(site: Site, officer: str, body: acts.Body) -> None:
    """An act put into the register by its officer."""
    store = Store(site.workspace.lists)
    line = next_line(list(store.lines(LIST)), officer, key_of(site, officer), body, site.now)
    store.append(LIST, [read_line(line)], [None])
    store.close()


def test_what_is_new_is_handed_over(site: Site, post: Post) -> None:
    site.block("two.example")
    result = publish(site.workspace, site.now, notify=post.command)
    assert (result.changed, result.notified, result.failure) == (True, True, None)
    (notice,) = post.notices
    assert "+ two.example (domain)" in notice
    assert "one.example" not in notice  # who starts to be told is told what comes
    assert record(site)["release"] == result.number
    assert not publish(site.workspace, site.now, notify=post.command).notified
    assert len(post.notices) == 1


def test_a_first_release_is_told_whole(tmp_path: Path, post: Post) -> None:
    new = Site(tmp_path / "new", datetime.now(UTC))
    new.block("one.example", "two.example")
    assert publish(new.workspace, new.now, notify=post.command).notified
    (notice,) = post.notices
    assert "+ one.example (domain)" in notice
    assert f"before {shown(new.now + DELAY)}" in notice


def test_a_lapse_without_any_act_is_handed_over(site: Site, post: Post) -> None:
    site.block("brief.example", review_by=site.now + 2 * HOUR)
    publish(site.workspace, site.now, notify=post.command)
    later(site, 2 * HOUR)
    result = publish(site.workspace, site.now, notify=post.command)
    assert result.notified
    assert "- brief.example (domain)" in post.notices[1]
    assert "lapsed without a review" in post.notices[1]
    changes = json.loads((result.path / CHANGES).read_bytes())
    assert changes["lapsed"] == {"domain": ["brief.example"], "host": []}
    assert changes["restore_before"] == (result.draft.now.instant + DELAY).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_annulment_is_handed_over(site: Site, post: Post) -> None:
    site.remove("one.example", reason="annulled")
    publish(site.workspace, site.now, notify=post.command)
    assert re.search(r"Restore access to 1 name .*; the measure was annulled:\n  - one\.example", post.notices[0])


def test_a_request_and_its_answer_make_releases_that_say_so(site: Site, post: Post) -> None:
    sign(site, "agent-1", acts.Request(to="host", names=names("asked.example")))
    first = publish(site.workspace, site.now, notify=post.command)
    assert json.loads((first.path / ANNOUNCED).read_bytes())["requests"][0]["state"] == "waiting"
    seq = first.draft.now.head.seq
    sign(site, "agent-1", acts.Answer(request=first.draft.now.head, outcome="removed"))
    second = publish(site.workspace, site.now, notify=post.command)
    assert json.loads((second.path / ANNOUNCED).read_bytes())["requests"][0]["state"] == "removed"
    assert second.notified
    assert f"Act {seq}: removal was asked of the host" in post.notices[0]
    assert f"Act {seq}: the host has removed the content" in post.notices[1]


def test_a_release_that_only_moves_the_clock_is_no_news(site: Site, post: Post) -> None:
    publish(site.workspace, site.now, notify=post.command)
    later(site, 6 * HOUR)
    result = publish(site.workspace, site.now, notify=post.command)
    assert (result.changed, result.notified) == (True, False)
    assert post.notices == []
    assert record(site)["release"] == result.number
    later(site, HOUR)
    site.block("two.example")
    result = publish(site.workspace, site.now, notify=post.command)
    assert f"before {shown(site.now + DELAY)} (" in post.notices[0]  # nothing was missed: the time is exact


def test_a_command_that_fails_is_given_everything_later(site: Site, post: Post) -> None:
    broken = post.script("cat > /dev/null; echo started; echo the queue is full >&2; exit 75")
    site.block("two.example")
    result = publish(site.workspace, site.now, notify=broken)
    assert result.changed
    assert not result.notified
    assert isinstance(result.failure, outbox.NotifyError)
    assert re.search(r"^the notice of release \S+ could not be handed to .*: .* exited with 75: the queue is full$",
                     result.failure.message)  # fmt: skip
    assert result.failure.output == "started\nthe queue is full"
    assert (result.failure.exit_code, result.failure.hint) == (
        6,
        "it is handed over again by the next 'publish --notify'",
    )
    assert "two.example" in (result.path / "rpz.zone").read_text()  # it stays published
    published = site.now
    later(site, HOUR)
    again = publish(site.workspace, site.now, notify=post.command)
    assert (again.changed, again.notified) == (False, True)
    # The same words as at first: the time runs from the release, not from its notice.
    assert f"Block 1 name before {shown(published + DELAY)} (" in post.notices[0]
    assert not publish(site.workspace, site.now, notify=post.command).notified


def test_two_releases_missed_are_told_together(site: Site, post: Post) -> None:
    publish(site.workspace, site.now, notify=post.command)
    first = site.now
    site.block("two.example")
    assert publish(site.workspace, site.now, notify="false").failure
    later(site, HOUR)
    site.block("three.example")
    site.remove("one.example")
    site.publish()  # somebody without --notify
    later(site, HOUR)
    site.block("four.example")
    assert publish(site.workspace, site.now, notify=post.command).notified
    (notice,) = post.notices
    for name in ("two", "three", "four"):
        assert notice.count(f"+ {name}.example (domain)") == 2
    assert notice.count("- one.example (domain)") == 2
    assert f"Block 1 name before {shown(first + DELAY)} at the latest" in notice
    assert f"Block 1 name before {shown(site.now + DELAY)} at the latest" in notice


def test_the_first_releases_missed_are_told_with_their_names(tmp_path: Path, post: Post) -> None:
    new = Site(tmp_path / "new", datetime.now(UTC))
    for name in ("one.example", "two.example"):
        new.block(name)
        assert publish(new.workspace, new.now, notify="false").failure
        later(new, HOUR)
    assert record(new) == {"release": None, "head": None}
    assert publish(new.workspace, new.now, notify=post.command).notified
    assert all(f"+ {name}.example (domain)" in post.notices[0] for name in ("one", "two"))


def test_what_came_and_went_unseen_is_no_news(site: Site, post: Post) -> None:
    publish(site.workspace, site.now, notify=post.command)
    site.block("two.example")
    assert publish(site.workspace, site.now, notify="false").failure
    later(site, HOUR)
    site.remove("two.example")
    result = publish(site.workspace, site.now, notify=post.command)
    assert (result.changed, result.notified) == (True, False)
    assert record(site)["release"] == result.number


def test_a_braked_release_holds_no_older_news(site: Site, post: Post) -> None:
    site.block("two.example")
    assert publish(site.workspace, site.now, notify="false").failure
    site.block(*[f"n{number}.example" for number in range(21)])
    with pytest.raises(RefusedError, match="21 names are added") as caught:
        publish(site.workspace, site.now, notify="false")
    assert re.search("publish --accept [0-9a-f]{32}\nthe notice of release .* could not be handed", caught.value.hint)
    with pytest.raises(RefusedError, match="21 names are added"):
        publish(site.workspace, site.now, notify=post.command)
    assert len(post.notices) == 1
    assert "+ two.example (domain)" in post.notices[0]
    assert "n1.example" not in post.notices[0]
    assert publish(site.workspace, site.now, draft_checksum(site), post.command).notified
    assert "+ n1.example (domain)" in post.notices[1]
    assert "two.example" not in post.notices[1]


def test_a_machine_that_dies_between_a_release_and_its_notice(tmp_path: Path, post: Post) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example")
    site.publish()
    site.block("two.example")
    before = (site.exports / LIST / "latest").read_text()
    command = [sys.executable, "-m", "blocklist", "-C", str(site.workspace.path), "publish", "--notify"]
    environment = {"BLOCKLIST_KEYS": str(site.keys.path), "PATH": "/usr/bin:/bin"}
    dead = subprocess.run([*command, post.script("kill -9 $PPID")], env=environment, check=False, capture_output=True)
    assert dead.returncode == -9
    assert (site.exports / LIST / "latest").read_text() != before
    assert f"{record(site)['release']}" != f"{site.tree.last_number()}"
    done = subprocess.run([*command, post.command], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nothing is to be published" in done.stderr
    assert "+ two.example (domain)" in post.notices[0]


def test_the_command_can_be_slow_to_a_limit(site: Site, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TIMEOUT", 0.05)
    site.block("two.example")
    failure = publish(site.workspace, site.now, notify=post.script("exec sleep 60")).failure
    assert failure is not None
    assert "did not end within 0.05 seconds" in failure.message


def test_a_command_that_is_not_there(site: Site) -> None:
    site.block("two.example")
    failure = publish(site.workspace, site.now, notify="/nowhere/notify --to all").failure
    assert isinstance(failure, TargetError)
    assert "/nowhere/notify: No such file or directory" in failure.message


@pytest.mark.parametrize("command", ["", "  ", "mail 'unclosed"])
def test_no_command_line(site: Site, command: str) -> None:
    site.block("two.example")
    with pytest.raises(UsageError, match="is not a command line"):
        publish(site.workspace, site.now, notify=command)
    assert not site.publish().draft.current or site.publish().changed is False


def test_no_shell_reads_the_command(site: Site, post: Post) -> None:
    site.block("two.example")
    target = post.folder.parent / "made by a shell"
    publish(site.workspace, site.now, notify=f"{post.command} ; touch '{target}' $(touch '{target}')")
    assert not target.exists()


def test_a_record_of_a_release_that_the_register_does_not_know(site: Site, post: Post) -> None:
    publish(site.workspace, site.now, notify=post.command)
    path = site.workspace.lists / f"{LIST}.notified.json"
    path.write_text(json.dumps(record(site) | {"head": {"seq": 3, "id": "0" * 64}}))
    site.block("two.example")
    with pytest.raises(VerificationError, match="act 3 of the last notice is not in the register") as caught:
        publish(site.workspace, site.now, notify=post.command)
    assert str(path) in caught.value.hint
    assert site.publish().changed  # without a notice nothing is missing


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"release": 1, "head": {"seq": "x"}}', '{"release": 1}'])
def test_a_damaged_record(site: Site, post: Post, content: str) -> None:
    (site.workspace.lists / f"{LIST}.notified.json").write_text(content)
    with pytest.raises(VerificationError, match=r"notified\.json is damaged"):
        publish(site.workspace, site.now, notify=post.command)


def test_the_script_of_the_guide(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (ROOT / "docs/notify.sh").read_text()
    for name, body in (("notify", script), ("sendmail", f"#!/bin/sh\n(echo \"$@\"; cat) > '{tmp_path}/mail'\n")):
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    site.block("two.example")
    assert publish(site.workspace, site.now, notify=f"'{tmp_path}/notify' a@provider.example").notified
    recipients, subject, *rest = (tmp_path / "mail").read_text().splitlines()
    assert recipients == "-oi -- a@provider.example"
    assert re.fullmatch(rf"Subject: \[blocklist\] TEST {LIST} \S+: \+1 -0", subject)
    body = rest[rest.index("") :]
    assert body[1].startswith("*** TEST ***")
    assert "  + two.example (domain)" in body


# --- The same words at the provider -----------------------------------------------------------------------------------


def test_a_provider_reads_what_the_office_sent(site: Site, post: Post, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    site.block("brief.example", review_by=site.now + 2 * HOUR)
    publish(site.workspace, site.now, notify=post.command)
    first = provider.pull(site.now, accept="any")
    assert first.notice is not None
    assert first.notice.lines() == ["2 names are on the list"]
    later(site, 2 * HOUR)
    site.block("two.example")
    site.remove("one.example")
    sign(site, "agent-1", acts.Request(to="publisher", names=names("asked.example")))
    publish(site.workspace, site.now, notify=post.command)
    notice = provider.pull(site.now).notice
    assert notice is not None
    for language in ("en", "fr"):
        with speaking(language):
            assert "\n".join(["", *notice.lines(), ""]) in post.notices[1]
    assert len(notice.lines()) == 8
    assert both(notice) == post.notices[1]


def test_a_provider_that_missed_a_release_is_given_the_earlier_time(site: Site, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    site.block("two.example")
    missed = site.publish()
    later(site, 5 * HOUR)
    site.remove("one.example")
    site.publish()
    notice = provider.pull(site.now).notice
    assert notice is not None
    assert notice.missed
    assert notice.block_before is not None
    assert notice.block_before <= missed.draft.now.instant + DELAY
    assert f"Block 1 name before {shown(missed.draft.now.instant + DELAY)} at the latest" in notice.lines()[0]
    assert provider.pull(site.now).notice is None  # told once


# --- Confidential stays inside ----------------------------------------------------------------------------------------


def test_what_is_announced_is_in_no_export(site: Site, post: Post) -> None:
    sign(site, "agent-1", acts.Request(to="host", names=names("asked.example")))
    sign(site, "agent-1", acts.Request(to="platform"))
    result = publish(site.workspace, site.now, notify=post.command)
    for path in result.path.iterdir():
        if path.name not in ("acts.jsonl", ANNOUNCED):
            assert b"asked.example" not in path.read_bytes(), path.name
    _host, platform = json.loads((result.path / ANNOUNCED).read_bytes())["requests"]
    assert platform.keys() == {"act", "to", "requested", "state"}
    changes = json.loads((result.path / CHANGES).read_bytes())
    assert [changes[key] for key in ("added", "removed", "lapsed")] == [{"domain": [], "host": []}] * 3


# --- The command line -------------------------------------------------------------------------------------------------


def run(site: Site, monkeypatch: pytest.MonkeyPatch, *words: str, expect: int = 0) -> Result:
    monkeypatch.setenv("BLOCKLIST_KEYS", str(site.keys.path))
    result = CliRunner().invoke(main, ["-C", str(site.workspace.path), *words])
    assert result.exit_code == expect, result.output
    return result


@pytest.fixture
def present(tmp_path: Path) -> Site:
    """The clock is the real one: one name published, one more approved."""
    return ready_made(tmp_path / "site", datetime.now(UTC), _one_more)


def _one_more(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("one.example")
    made.publish()
    made.block("two.example")
    return made


def test_publish_notify(present: Site, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(present, monkeypatch, "publish", "--notify", post.command)
    assert "what is new was handed to " in result.stderr
    assert "+ two.example (domain)" in post.notices[0]
    result = run(present, monkeypatch, "--json", "publish", "--notify", post.command)
    assert json.loads(result.stdout)["notified"] is False
    assert len(post.notices) == 1


def test_publish_notify_fails_and_succeeds(present: Site, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = post.script("echo first line; echo no route to mail >&2; exit 1")
    result = run(present, monkeypatch, "--json", "publish", "--notify", broken, expect=6)
    members = json.loads(result.stdout)
    assert (members["changed"], members["notified"], members["added"]) == (True, False, ["two.example"])
    assert re.search("first line\nno route to mail\nblocklist: error: the notice of release .*\nblocklist: hint: .*"
                     "handed over again", result.stderr)  # fmt: skip
    members = json.loads(run(present, monkeypatch, "--json", "publish", "--notify", post.command).stdout)
    assert (members["changed"], members["notified"]) == (False, True)
    assert "+ two.example (domain)" in post.notices[0]


def test_plan_shows_what_would_be_announced(present: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sign(present, "agent-1", acts.Request(to="host", names=names("asked.example")))
    shown_plan = run(present, monkeypatch, "plan").stdout
    assert re.search(r"\+  two\.example +domain +act \d+: ground apology", shown_plan)
    assert "removal was asked of the host" in shown_plan
    assert "  ? asked.example (domain)" in shown_plan
    (entry,) = json.loads(run(present, monkeypatch, "--json", "plan").stdout)["announced"]
    assert entry["names"] == {"domain": ["asked.example"], "host": []}


def test_pull_prints_what_is_new(present: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(tmp_path / "provider", present.exports.as_uri(), present.root.read_bytes())
    config = str(provider.subscription.path)
    first = run(present, monkeypatch, "pull", "-c", config, "--accept")
    assert "+ one.example (domain)" in first.stderr
    sign(present, "agent-1", acts.Request(to="platform"))
    present.remove("one.example")
    run(present, monkeypatch, "publish")
    result = run(present, monkeypatch, "--json", "pull", "-c", config)
    assert result.stderr == ""
    (members,) = json.loads(result.stdout)["lists"]
    (entry,) = members["announced"]
    assert (entry["to"], entry["state"]) == ("platform", "waiting")
    assert "names" not in entry
    until = datetime.fromtimestamp(members["release"], UTC) + DELAY
    assert members["block_before"] == members["restore_before"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")
    present.block("three.example")
    run(present, monkeypatch, "publish")
    told = run(present, monkeypatch, "pull", "-c", config).stderr
    assert re.search(r"release \S+ installed: 1 added.*\n.*\nBlock 1 name before .*\n  \+ three\.example", told)
    (members,) = json.loads(run(present, monkeypatch, "--json", "pull", "-c", config).stdout)["lists"]
    assert (members["announced"], members["block_before"], members["restore_before"]) == ([], None, None)
