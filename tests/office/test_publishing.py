"""`plan` and `publish` on a workspace: what is due, what is braked, what never stops, and what stays inside."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.fixed import DAY, HOUR, LIST, LISTS, WEEK, names
from kit.forked import Forked
from kit.hostile import key_of, later, next_line
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.shell import Shell
from kit.site import Site, no_passphrase
from kit.tree import clean, verified

from blocklist.base import durable
from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Scope
from blocklist.office import approve, propose, removal_requests, remove, review
from blocklist.office.init import init
from blocklist.publisher.publish import draft, publish
from blocklist.register import acts, documents
from blocklist.register.acts import read_line
from blocklist.release.manifest import ACTS
from blocklist.store.store import Store
from blocklist.workspace import Workspace

SECOND = timedelta(seconds=1)


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


def everything(folder: Path) -> dict[Path, tuple[bytes, int]]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def zone(site: Site) -> str:
    latest = (site.exports / LIST / "latest").read_text().strip()
    return (site.exports / LIST / latest / "rpz.zone").read_text()


def append(site: Site, officer: str, body: acts.Body) -> None:
    """An act signed with an officer's key and put into the register without our program's guards."""
    store = Store(site.workspace.lists)
    line = next_line(list(store.lines(LIST)), officer, key_of(site, officer), body, site.now)
    store.append(LIST, [read_line(line)], [None])
    store.close()


def adopt(site: Site, **changes: Any) -> None:
    """Another policy, adopted by the head."""
    with site.office() as office:
        value = office.register.policy.to_json() | changes
    append(site, "head-1", acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1))


# --- What is due ------------------------------------------------------------------------------------------------------


def test_nothing_to_do_touches_nothing(site: Site) -> None:
    before = everything(site.exports)
    result = site.publish()
    assert not result.changed
    assert result.number == int((site.now - HOUR).timestamp())
    assert result.path.name == (site.exports / LIST / "latest").read_text().strip()
    assert everything(site.exports) == before


def test_acts_that_change_no_content_wait_for_the_next_release(site: Site) -> None:
    with site.office("agent-1") as office:
        propose.propose(office, [Name("pending.example", Scope.DOMAIN)], site.proposal())
    assert not site.publish().changed


def test_half_of_the_validity_gone(site: Site) -> None:
    later(site, 5 * HOUR - SECOND)
    assert not site.publish().changed
    later(site, SECOND)
    result = site.publish()
    assert result.changed
    assert len(result.draft.plan.added) == 0
    assert f"valid until {(site.now + 12 * HOUR):%Y-%m-%dT%H:%M:%SZ}" in zone(site)


@pytest.mark.parametrize("change", ["added", "removed", "renewed", "announced", "policy"])
def test_what_changes_the_content_is_due_at_once(site: Site, change: str) -> None:
    name = Name("one.example", Scope.DOMAIN)
    if change == "added":
        site.block("two.example")
    elif change == "removed":
        site.remove("one.example")
    elif change == "renewed":
        with site.office("agent-1") as office:
            review.review(office, [name], "still-unlawful", None, "", [])
    elif change == "announced":
        append(site, "agent-1", acts.Request(to="host", names=names("asked.example")))
    else:
        adopt(site, ttl=60)
    assert site.publish().changed
    assert not site.publish().changed


def test_promise_2_a_measure_lapses_by_itself(site: Site) -> None:
    site.block("brief.example", review_by=site.now + 2 * HOUR)
    site.publish()
    assert "\nbrief.example A " in zone(site)
    later(site, 2 * HOUR - SECOND)
    assert not site.publish().changed
    later(site, SECOND)
    result = site.publish()
    assert result.draft.plan.lapsed == names("brief.example")
    assert "brief.example" not in zone(site)


def test_a_name_that_left_can_come_back(site: Site) -> None:
    site.remove("one.example")
    site.publish()
    assert "one.example" not in zone(site)
    later(site, HOUR)
    site.block("one.example")
    assert site.publish().draft.plan.added == names("one.example")


# --- Numbers ----------------------------------------------------------------------------------------------------------


def test_instants_strictly_increase(site: Site) -> None:
    """Also within one second, and when the clock was set back after an act or a release."""
    numbers = [site.publish().number]  # nothing to do: the release of an hour ago
    for step in range(3):
        site.block(f"more-{step}.example")
        numbers.append(site.publish().number)
    later(site, timedelta(minutes=-4))
    site.remove("one.example")
    numbers.append(site.publish().number)
    start = int((site.now + timedelta(minutes=4)).timestamp())
    assert numbers == [start - 3600, start, start + 1, start + 2, start + 3]


def test_a_release_is_not_older_than_its_last_act(site: Site) -> None:
    site.block("two.example")
    later(site, timedelta(minutes=-4))  # the publisher's clock is behind, as far as honest clocks may be
    result = site.publish()
    assert result.number == int((site.now + timedelta(minutes=4)).timestamp())


def test_an_act_of_the_future_waits_until_it_is_past(site: Site) -> None:
    """Whose clock is wrong nobody knows: it counts for nothing yet, and is told."""
    site.block("two.example")
    later(site, timedelta(minutes=-6))
    made = site.publish()
    assert not made.changed
    assert made.draft.bad is not None
    assert "in the future" in made.draft.bad.message
    later(site, timedelta(minutes=6))
    made = site.publish()
    assert made.changed
    assert made.draft.bad is None
    assert "two.example " in zone(site)


# --- Brakes -----------------------------------------------------------------------------------------------------------


def many(count: int, prefix: str = "n") -> list[str]:
    return [f"{prefix}{number}.example" for number in range(count)]


def test_a_large_addition_waits_for_exactly_that_plan(site: Site) -> None:
    site.block(*many(21))
    before = everything(site.exports)
    with pytest.raises(RefusedError, match="21 names are added, more than 20") as caught:
        site.publish()
    assert caught.value.exit_code == 1
    checksum = draft(site.workspace, site.now).plan.checksum
    assert f"--accept {checksum}" in caught.value.hint
    later(site, HOUR)  # no clock in it
    assert draft(site.workspace, site.now).plan.checksum == checksum
    with pytest.raises(RefusedError, match=f"the plan is {checksum}, not 0000"):
        site.publish("0" * 32)
    with pytest.raises(RefusedError, match="not any"):
        site.publish("any")
    assert everything(site.exports) == before
    site.block("one-more.example")
    with pytest.raises(RefusedError, match="the plan is"):
        site.publish(checksum)
    site.remove("one-more.example")
    assert draft(site.workspace, site.now).plan.checksum == checksum  # the same change again
    assert site.publish(checksum).changed
    with pytest.raises(RefusedError, match="the plan is"):
        site.publish(checksum)


def test_a_first_list_that_is_large(tmp_path: Path) -> None:
    made = Site(tmp_path, datetime.now(UTC))
    made.block(*many(30))
    with pytest.raises(RefusedError, match="30 names are added"):
        made.publish()
    assert not (made.exports / LIST).exists()
    assert made.publish(draft(made.workspace, made.now).plan.checksum).changed


def test_a_large_removal_by_acts(site: Site) -> None:
    site.block(*many(21))
    site.publish(draft(site.workspace, site.now).plan.checksum)
    later(site, HOUR)
    site.remove(*many(21))
    with pytest.raises(RefusedError, match="21 of 22 names are removed by acts"):
        site.publish()
    assert site.publish(draft(site.workspace, site.now).plan.checksum).changed


def test_promise_6_nothing_brakes_a_lapse_or_an_annulment(site: Site) -> None:
    site.block(*many(30), review_by=site.now + 2 * HOUR)
    site.block(*many(30, "a"))
    site.publish(draft(site.workspace, site.now).plan.checksum)
    adopt(site, brakes={"added": 0, "added_percent": 0, "removed": 0})
    later(site, 3 * HOUR)
    site.remove(*many(30, "a"), reason="annulled")
    result = site.publish()
    assert (len(result.draft.plan.lapsed), result.draft.plan.annulled) == (30, 30)
    assert "n0.example" not in zone(site)
    assert "a0.example" not in zone(site)


def test_guards_do_not_stop_what_is_published(site: Site) -> None:
    """The head puts a listed name on the list of platforms: it stays published, and can be renewed and removed."""
    adopt(site, platforms={"one.example": "host"})
    assert site.publish().changed
    assert "\none.example A " in zone(site)
    later(site, 7 * HOUR)
    site.block("two.example")
    assert site.publish().changed
    assert "\none.example A " in zone(site)


def test_promise_6_a_name_that_becomes_protected_leaves(site: Site) -> None:
    with site.office() as office:
        protected = sorted({*office.register.policy.protected, "one.example"})
    adopt(site, protected=protected)
    assert site.publish().draft.plan.removed == names("one.example")
    assert "one.example" not in zone(site)


# --- Production -------------------------------------------------------------------------------------------------------


def test_production_does_not_lead_people_to_documentation_addresses(tmp_path: Path) -> None:
    made = Site(tmp_path, datetime.now(UTC), "production")
    made.block("bad.example.com")
    with pytest.raises(RefusedError, match=r"192\.0\.2\.1 cannot be reached"):
        made.publish()
    assert not (made.exports / LIST).exists()
    adopt(made, action={"kind": "address", "a": ["9.9.9.9"]})
    assert made.publish().changed
    assert "\nbad.example.com A 9.9.9.9\n" in zone(made)


def test_a_draft_can_be_looked_at_even_then(tmp_path: Path) -> None:
    made = Site(tmp_path, datetime.now(UTC), "production")
    made.block("bad.example.com")
    assert draft(made.workspace, made.now).plan.added == names("bad.example.com")


# --- Who publishes ----------------------------------------------------------------------------------------------------


def test_two_publishers_at_once(site: Site) -> None:
    site.block("two.example")
    before = everything(site.exports)
    with durable.locked(site.workspace.lists / "publish.lock", "publish"):
        with pytest.raises(RefusedError, match="another publish is running") as caught:
            site.publish()
        assert caught.value.exit_code == 1
        assert everything(site.exports) == before
        assert draft(site.workspace, site.now).plan.added  # looking is free
    assert site.publish().changed


def publisher(site: Site) -> Forked:
    """The command as a timer starts it."""
    keys = {"BLOCKLIST_KEYS": str(site.keys.path)}
    return Forked("-C", str(site.workspace.path), "publish", env=os.environ | keys)


def ended(running: Forked) -> int:
    """Its exit code; the only thing that may have gone wrong is that another one was at work."""
    _, errors = running.communicate()
    refused = b"blocklist: error: another publish is running\n" in errors
    assert running.returncode == (1 if refused else 0), errors.decode()
    return running.returncode


def stopped_while_it_writes(site: Site, running: Forked) -> bool:
    """Stop a publisher that has begun a release; False if it was faster."""
    unfinished = f"{durable.TEMPORARY}2*"
    while running.poll() is None:
        if any((site.exports / LIST).glob(unfinished)):
            running.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            return any((site.exports / LIST).glob(unfinished))
    return False


def test_two_processes_publish_at_once(tmp_path: Path) -> None:
    """While one is in the middle of writing, another says so and touches nothing; then four begin at a time."""
    site = Site(tmp_path / "site", datetime.now(UTC) - HOUR)
    site.block("one.example")
    site.publish()
    site.now += HOUR  # processes have the real clock
    stopped = False
    for number in range(20):
        before = verified(site, tmp_path / "client")
        site.block(f"name-{number}.example")
        running = publisher(site)
        try:
            if stopped := stopped_while_it_writes(site, running):
                there = everything(site.exports)
                assert ended(publisher(site)) == 1
                assert everything(site.exports) == there
                assert verified(site, tmp_path / "client") == before
        finally:
            running.send_signal(signal.SIGCONT)
        assert ended(running) == 0
        assert verified(site, tmp_path / "client") > before
        assert clean(site)
        if stopped:
            break
    assert stopped
    for number in range(5):
        site.block(f"more-{number}.example")
        assert 0 in [ended(each) for each in [publisher(site) for _ in range(4)]]
        assert f"\nmore-{number}.example A " in zone(site)
        verified(site, tmp_path / "client")
        assert clean(site)


def test_the_publisher_needs_no_officers_key_and_no_dossier(site: Site, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    machine.mkdir(mode=0o700)
    for role in (LIST, "snapshot", "timestamp", "seal"):
        for path in site.keys.path.glob(f"{role}-{'[0-9a-f]' * 16}.p*"):
            shutil.copy(path, machine)
    site.block("two.example")
    site.workspace = Workspace(site.workspace.path, KeyFolder(machine, no_passphrase))
    (site.workspace.lists / "dossiers.db").rename(tmp_path / "dossiers.db")
    assert site.publish().changed
    assert not (site.workspace.lists / "dossiers.db").exists()


def test_a_register_that_lost_acts_is_not_published(site: Site, tmp_path: Path) -> None:
    """An old backup was restored: the last release, or these keys, have seen more."""
    backup = shutil.copytree(site.workspace.lists, tmp_path / "backup")
    site.block("two.example")
    site.publish()
    shutil.rmtree(site.workspace.lists)
    shutil.copytree(backup, site.workspace.lists)
    later(site, HOUR)
    with pytest.raises(VerificationError, match="lacks act 7, which these keys have seen") as caught:
        site.publish()
    assert caught.value.exit_code == 3
    shutil.rmtree(site.keys.path / "seen")
    with pytest.raises(VerificationError, match="act 7 of the last release is not in the register"):
        site.publish()


def forge(site: Site) -> None:
    """Whoever writes into the database cannot sign."""
    store = Store(site.workspace.lists)
    body = acts.Remove(names=names("one.example"), reason="error")
    line = next_line(list(store.lines(LIST)), "agent-1", key_of(site, "timestamp"), body, site.now)
    store.append(LIST, [read_line(line)], [None])
    store.close()


def test_another_act_in_the_database_counts_for_nothing(site: Site) -> None:
    before = everything(site.exports)
    forge(site)
    made = site.publish()
    assert not made.changed
    assert made.draft.bad is not None
    assert made.draft.bad.message == "act 6: it is not signed with the key of agent-1"
    assert everything(site.exports) == before


def test_promise_2_a_bad_tail_stops_no_ending(site: Site) -> None:
    """What the valid acts say goes on at each new instant: what was removed is out, lapses and freshness go on."""
    site.block("two.example", review_by=site.now + 2 * HOUR)
    site.publish()
    site.remove("one.example")
    forge(site)
    later(site, HOUR)
    made = site.publish()
    assert made.changed
    assert made.draft.bad is not None
    assert "one.example " not in zone(site)
    assert "two.example " in zone(site)
    release = (site.exports / LIST / "latest").read_text().strip()
    shipped = (site.exports / LIST / release / ACTS).read_bytes().splitlines()
    assert len(shipped) == made.draft.now.head.seq == 8
    later(site, HOUR)
    assert site.publish().changed
    assert "two.example " not in zone(site)
    later(site, 7 * HOUR)
    assert site.publish().changed  # and a provider sees that nothing is withheld
    provider = Provider(site.folder / "provider", site.exports.as_uri(), site.root.read_bytes())
    assert provider.pull(site.now, accept="any").changed


def test_a_register_of_which_what_was_published_is_bad_is_not_published(site: Site) -> None:
    with closing(sqlite3.connect(site.workspace.lists / "register.db")) as database, database:
        database.execute("DROP TRIGGER acts_update")
        database.execute("UPDATE acts SET envelope = x'7b7d' WHERE seq = 5")
    later(site, HOUR)
    before = everything(site.exports)
    with pytest.raises(VerificationError, match="act 5: "):
        site.publish()
    assert everything(site.exports) == before


def test_the_command_publishes_and_names_the_bad_act(listed: Shell) -> None:
    site = Site.at(listed.folder, datetime.now(UTC).replace(microsecond=0))
    listed("--as", "agent-1", "remove", "bad.example", "--reason", "lawful")
    forge(site)
    shown = listed("plan", expect=3)
    assert re.search(r"- +bad\.example +domain +act 6: ", shown.stdout)
    assert "blocklist: error: act 7: it is not signed with the key of agent-1" in shown.stderr
    done = listed("publish", expect=3)
    assert "published: 0 names" in done.stderr
    assert "blocklist: error: act 7: it is not signed with the key of agent-1" in done.stderr
    assert listed.json("plan", expect=3)["due"] is False


def test_a_workspace_founded_twice_is_the_same(site: Site) -> None:
    again = init(site.workspace, LIST, "test", "head-1", LISTS, site.now, encrypt=False)
    assert not again.created
    assert again.register == site.founded.register
    assert not site.publish().changed


# --- Promise 9: confidential stays inside -----------------------------------------------------------------------------

SECRETS = {
    "reference": "REF-7f3a-secret-reference",
    "note": "NOTE-91cc-secret-note",
    "evidence": "EVIDENCE-55d0-secret-content",
    "evidence name": "evidence-name-33b1",
    "rejection": "REASON-88aa-secret-reason",
    "review note": "NOTE-5511-secret-review",
    "court reference": "COURT-1d2e-secret-reference",
    "pending name": "pending-2c6b.example",
    "rejected name": "rejected-4e8f.example",
    "withdrawn name": "withdrawn-6a0d.example",
    "lapsed proposal": "forgotten-9b7c.example",
    "refused name": "refused-1f1f",
    "url": "https://hidden-url-77d.example/page",
    "platform's name": "tenant-5c3a.example",
    "contact": "CONTACT-20be-abuse-desk",
    "requested url": "https://asked.example/requested-page-08f4",
    "answer": "ANSWER-71d9-secret-answer",
}


def live_a_little(site: Site, folder: Path) -> None:
    """Every verb that takes something confidential, each with a text of its own."""
    evidence = folder / f"{SECRETS['evidence name']}.txt"
    evidence.write_text(SECRETS["evidence"])
    proposal = site.proposal(
        reference=f"{SECRETS['reference']} {SECRETS['url']}", note=SECRETS["note"], evidence=(evidence,)
    )

    def add(*texts: str) -> int:
        with site.office("agent-1") as office:
            return propose.propose(office, [Name(text, Scope.DOMAIN) for text in texts], proposal)[0].act.seq

    def accept(seq: int) -> None:
        with site.office("agent-2") as office:
            approve.approve(office, seq)

    add(SECRETS["lapsed proposal"])
    later(site, 8 * DAY)
    accept(add("listed.example", "removed.example", "annulled.example"))
    rejected = add(SECRETS["rejected name"])
    with site.office("agent-2") as office:
        approve.reject(office, rejected, SECRETS["rejection"])
    withdrawn = add(SECRETS["withdrawn name"])
    with site.office("agent-1") as office:
        approve.reject(office, withdrawn, SECRETS["rejection"])
    with site.office("agent-2") as office:
        review.review(
            office, [Name("listed.example", Scope.DOMAIN)], "still-unlawful", None, SECRETS["review note"], [evidence]
        )
        remove.remove(office, [Name("removed.example", Scope.DOMAIN)], "lawful", SECRETS["court reference"])
        remove.remove(office, [Name("annulled.example", Scope.DOMAIN)], "annulled", SECRETS["court reference"])
        entries = [(1, "mixed-7.example"), (2, f"https://{SECRETS['refused name']}.example/x")]
        propose.propose(office, propose.sift(office, entries)[0], proposal)
        removal_requests.request(
            office, [Name(SECRETS["platform's name"], Scope.HOST)], "platform", SECRETS["contact"], [], "", [evidence]
        )
        asked = removal_requests.request(
            office,
            [Name("asked.example", Scope.DOMAIN)],
            "host",
            SECRETS["contact"],
            [SECRETS["requested url"]],
            SECRETS["note"],
            [],
        )
        removal_requests.answer(office, asked.act.seq, "refused", SECRETS["answer"], [])
    add(SECRETS["pending name"])


def test_promise_9_confidential_stays_inside(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", datetime.now(UTC) - 8 * DAY)
    site.block("one.example")
    site.publish()
    live_a_little(site, tmp_path)
    mailbox = tmp_path / "notice"
    assert publish(site.workspace, site.now, notify=f"cp /dev/stdin '{mailbox}'").notified
    later(site, HOUR)
    site.block("two.example")
    site.publish()
    published = {path: path.read_bytes() for path in site.exports.rglob("*") if path.is_file()}
    assert len(published) > 30
    decoded = [payload for path in published if path.name.endswith(ACTS) for payload in payloads(path)]
    told = [*published.values(), *decoded, *(str(path).encode() for path in published), mailbox.read_bytes()]
    for what, secret in SECRETS.items():
        spellings = {secret, secret.encode().hex(), secret.rsplit("/", 1)[-1] if "/" in secret else secret}
        for spelling in spellings - {"page"}:
            assert not [text[:80] for text in told if spelling.encode() in text], what
    # The test looks in the right place: what is listed is there, and the office still has its secrets.
    assert any(b"listed.example" in text for text in decoded)
    assert b"? asked.example (domain)" in mailbox.read_bytes()
    vault = b"".join(path.read_bytes() for path in site.workspace.lists.glob("dossiers.db*"))
    for what in ("reference", "note", "rejection", "court reference", "pending name", "rejected name", "contact"):
        assert SECRETS[what].encode() in vault, what
    # And providers keep nothing of it either.
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    kept = b"".join(path.read_bytes() for path in provider.folder.rglob("*") if path.is_file())
    assert not [what for what, secret in SECRETS.items() if secret.encode() in kept]


def payloads(path: Path) -> list[bytes]:
    return [read_line(line).payload for line in path.read_bytes().splitlines()]


def test_promise_9_a_commitment_tells_nothing(tmp_path: Path) -> None:
    """The same name proposed twice looks like two names: nobody can guess what is pending by trying."""
    site = Site(tmp_path, datetime.now(UTC))
    with site.office("agent-1") as office:
        for _ in range(2):
            (made,) = propose.propose(office, [Name("pending.example", Scope.DOMAIN)], site.proposal())
            approve.reject(office, made.act.seq, "withdrawn")
        proposed = [entry.act for entry in office.acts() if isinstance(entry.act.body, acts.Add)]
    assert len({act.body.commitment for act in proposed}) == 2
    assert len({act.dossier for act in proposed if act.dossier}) == 2


def test_promise_9_nobody_is_named_but_under_a_pseudonym(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    site.block("one.example")
    site.publish()
    latest = site.exports / LIST / (site.exports / LIST / "latest").read_text().strip()
    for path in latest.iterdir():
        if path.name != ACTS:
            assert b"agent-" not in path.read_bytes(), path.name
            assert b"head-1" not in path.read_bytes(), path.name
    entries = [json.loads(payload) for payload in payloads(latest / ACTS)]
    assert {entry["by"] for entry in entries} == {"head-1", "agent-1", "agent-2"}


def test_the_shipped_policy_is_what_is_signed(site: Site) -> None:
    contents = site.workspace.policy_files(LIST)
    assert documents.load(contents, LIST).review == 12 * WEEK.total_seconds()


# --- Another program --------------------------------------------------------------------------------------------------


def test_a_publisher_that_does_not_know_a_format_publishes_nothing(site: Site) -> None:
    """A head adopted it with a newer program: a release without it would be another than the policy says."""
    before = everything(site.exports)
    adopt(site, formats=["rpz", "newer-format"])
    with pytest.raises(UsageError, match="the format newer-format is unknown") as caught:
        site.publish()
    assert "upgrade this program" in caught.value.hint
    assert everything(site.exports) == before


# Why


def test_a_plan_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change with the act or the date behind it; what the guards refuse by now is named, and stays published."""
    shell = Shell(tmp_path, monkeypatch)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(tmp_path / "keys"))
    site = Site(tmp_path, datetime.now(UTC) - HOUR)
    site.block("gone.example", "guarded.example")
    site.block("brief.example", review_by=site.now + timedelta(minutes=30))
    site.publish()
    site.now += timedelta(minutes=45)
    site.remove("gone.example", reason="error")
    seq = site.block("new.example")
    with site.office("head-1") as office:
        other = office.register.policy.to_json()
        other["own"] = [*other["own"], "www.guarded.example"]
        office.state(acts.Adopt(policy=other, files={"a.yaml": "0" * 64}, rules=1))
    shown = shell("plan")
    assert re.search(rf"\+  new\.example +domain +act {seq}: ground apology, until \d{{4}}", shown.stdout)
    assert re.search(r"-  gone\.example +domain +act 8: listed by error", shown.stdout)
    assert re.search(r"-  brief\.example +domain +lapsed \d{4}-\S+ \S+: nobody", shown.stdout)
    assert "warning: listed against a guard: " in shown.stderr
    assert "guarded.example" in shown.stderr
    told = shell.json("plan")
    changes = {entry["name"]: (entry["change"], entry["act"], entry["why"]) for entry in told["changes"]}
    assert changes == {
        "new.example": ("added", seq, "apology"),
        "gone.example": ("removed", 8, "error"),
        "brief.example": ("lapsed", 7, ""),
    }
    assert len(told["warnings"]) == 1
    shell("publish")
    assert "guarded.example" in (shell.release / "rpz.zone").read_text()


def test_a_plan_says_that_a_name_is_protected_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, monkeypatch)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(tmp_path / "keys"))
    site = Site(tmp_path, datetime.now(UTC) - HOUR)
    site.block("one.example")
    site.publish()
    site.now += timedelta(minutes=5)
    with site.office("head-1") as office:
        other = office.register.policy.to_json()
        protected = sorted([*other["protected"], "one.example"])
        office.state(acts.Adopt(policy=other | {"protected": protected}, files={"a.yaml": "0" * 64}, rules=1))
    assert re.search(r"-  one\.example +domain +the policy protects it", shell("plan").stdout)
