"""What a thief of keys can do: each row of docs/design.md is played, with real keys, against one subscriber.

Here are the publisher's and the officers' keys; `test_thief_trust` and `test_thief_places` have the other rows. The
comments are the columns of the table.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import test_thief_places
import test_thief_trust
from kit.chain import Chain
from kit.fixed import HOUR, LIST, WEEK
from kit.hostile import EVIL, signed_by_two
from kit.shell import WHY, Shell
from kit.site import Site
from kit.thief import COLUMNS, MINUTE, PROVEN, TABLE, Theft, appoint, holding, propose, stolen
from kit.tree import signer_of, with_openssl, with_revocations

from blocklist.register import acts
from blocklist.register.decoders import format_instant

HUGE = 4_000_000_000


def test_every_row_of_the_table_is_played_in_every_column() -> None:
    assert test_thief_places.__name__, test_thief_trust.__name__  # their rows are in `PROVEN` too
    assert {what: set(COLUMNS) for what in TABLE} == PROVEN


def test_no_cell_of_the_table_is_empty() -> None:
    assert len(TABLE) >= 14
    for what, cells in TABLE.items():
        assert len(cells) == len(COLUMNS), what
        assert all(cells), what


# --- The publisher's keys ---------------------------------------------------------------------------------------------


@stolen("publisher's keys", "can", "sees")
def test_the_publishers_keys_withhold_news_for_as_long_as_the_tree_is_not_the_offices(theft: Theft) -> None:
    # Can: go on with fresh releases of an old head, in which a measure ends at its date all the same.
    thief, now = theft.thief, theft.wait(3 * HOUR)
    thief.offer(theft.acts, now)
    theft.accepted(now)
    zone = theft.provider.installed()
    assert "one.example A " in zone
    assert "four.example" not in zone
    assert "lapsing.example" not in zone
    # Who sees it: whoever compares the head of a receipt with the log.
    log, head = theft.log(), theft.receipt().shown.head
    assert head.seq == len(theft.acts) < len(log)
    assert log[head.seq - 1].id == head.id
    # Can: show nothing new. Who sees it: the subscriber, when the validity of the last release has ended.
    assert theft.provider.attempt(now + 12 * HOUR - MINUTE).exit_code == 0
    theft.refused("was valid until", 4, now=now + 12 * HOUR)


@stolen("publisher's keys", "can", "cannot", "sees")
def test_the_publishers_keys_cheat_those_who_look_at_the_seal_only(theft: Theft) -> None:
    # Can: seal any name.
    thief, authority = theft.thief, theft.site.exports / "seal.pem"
    thief.offer(add=[EVIL])
    assert with_openssl(thief.folder, authority) == ""
    assert "evil.example A " in (thief.folder / "rpz.zone").read_text()
    # Cannot: block or unblock anything, go back, or change an act, for who replays. Who sees it: they do, at once.
    register = theft.site.founded.register
    theft.shell.refused(
        "verify", thief.folder, "--cert", authority, "--register", register, code=3, message="is not what two"
    )
    theft.refused("is not what the officers' acts say")
    thief.offer(drop=["one.example"])
    theft.refused("is not what the officers' acts say")
    thief.offer(theft.acts[:-1])
    theft.refused("the register is shorter than it was")
    thief.offer([*theft.acts[:4], *theft.acts[5:], *theft.scene.news])
    theft.refused("act 5: it does not follow act 4")
    thief.offer(at=theft.scene.at - MINUTE)
    theft.refused("version")


@stolen("publisher's keys", "cannot")
def test_the_publishers_keys_read_no_dossier(theft: Theft) -> None:
    secret = "known to the office alone"
    theft.list_names("five.example", note=secret)
    theft.published()
    assert holding([theft.lists], secret)
    assert not holding([theft.site.exports, *theft.site.keys.path.glob("seal-*")], secret)


@stolen("publisher's keys", "can", "recovery")
def test_the_publishers_keys_are_replaced_without_any_subscriber(theft: Theft) -> None:
    # Can: sign numbers so high that subscribers take no other until the keys are replaced.
    theft.thief.offer(number=HUGE)
    theft.refused("in the future")
    theft.back(theft.site.exports)
    theft.refused("timestamp version", now=theft.site.now)
    # Recovery.
    theft.wait()
    sealed = signer_of(theft.thief.folder)
    theft.shell("trust", "rotate", "publisher", "--stolen")
    theft.shell("trust", "sign")
    theft.shell("trust", "seal", "renew")
    theft.shell("trust", "seal", "revoke", sealed)
    theft.published()
    theft.accepted(theft.site.now)
    assert "four.example A " in theft.provider.installed()
    theft.goes_on()
    theft.thief.offer(add=[EVIL])
    theft.refused("was signed by 0/1 keys", now=theft.wait())
    assert "revoked" in with_revocations(theft.thief.folder, theft.site.exports, theft.site.now)


@stolen("publisher's keys", "can", "sees", "recovery")
def test_the_publishers_keys_and_those_of_two_officers_make_a_fork(theft: Theft) -> None:
    # Can: go on with the register in another way, which the office's own log does not show.
    theft.thief.offer(signed_by_two(theft.site, theft.acts, "evil.example", at=theft.now), theft.now)
    theft.accepted()
    assert "evil.example A " in theft.provider.installed()
    theft.wait()
    theft.list_names("six.example")
    theft.published()
    theft.refused("history was rewritten", now=theft.site.now)
    assert theft.known() != theft.log()[: len(theft.known())]
    # Recovery: new keys, new officers, and the heads' word on which register is right.
    for agent in ("agent-1", "agent-2"):
        theft.shell("--as", "head-1", "officer", "revoke", agent, "--reason", "stolen")
    theft.shell("trust", "rotate", "publisher", "--stolen")
    theft.shell("trust", "branch")
    theft.shell("trust", "sign")
    appoint(theft.shell, "agent-4")
    theft.goes_on(by="agent-3", approved_by="agent-4")
    assert theft.known() == theft.log()


# --- Officers' keys ---------------------------------------------------------------------------------------------------


@stolen("one agent's key")
def test_one_agents_key(theft: Theft) -> None:
    shell, agent = theft.shell, ("--as", "agent-1")
    appoint(shell, "person-1", "qualified-person")
    found = str(shell.json("--as", "person-1", "recommend", "four.example", "--text", "x")["act"])
    good, other = propose(shell, "good.example", by="agent-2"), propose(shell, "other.example", by="agent-2")
    # Can: propose; approve or reject what another proposed; end measures; move review dates; answer what is asked.
    evil = propose(shell, "evil.example", by="agent-1")
    shell(*agent, "approve", str(good))
    shell(*agent, "reject", str(other), "--reason", "x")
    shell(*agent, "remove", "four.example", "--reason", "annulled")
    shell(*agent, "review", "lapsing.example", "--outcome", "still-unlawful")
    asked = str(shell.json(*agent, "request", "asked.example", "--to", "host", "--contact", "x")["act"])
    shell(*agent, "answer", asked, "--outcome", "removed")
    shell(*agent, "respond", found, "--refuse", "--text", "x")
    # Cannot: move a date further than twelve weeks, list a name alone, or touch a protected one.
    until = format_instant(theft.site.now + 12 * WEEK + MINUTE)
    further = ("review", "www.three.example", "--outcome", "still-unlawful", "--review-by", until)
    shell.refused(*agent, *further, code=1, message="not within the review period")
    shell.refused(*agent, "approve", str(evil), code=1, message=f"agent-1 made act {evil} and cannot approve it")
    shell.refused(*agent, "add", "google.com", *WHY, code=1, message="protected")
    # Who sees it: every officer in the log, and what waits in `status`; every subscriber, with the next release.
    done = [act.kind for act in theft.log()[-8:] if act.by == "agent-1"]
    assert done == ["add", "approve", "reject", "remove", "review", "request", "answer", "respond"]
    waiting = shell.json("--as", "agent-2", "status")["waiting"]
    assert {"act": evil, "kind": "add", "by": "agent-1", "mine": True} in waiting
    theft.wait()
    theft.published()
    theft.accepted(theft.site.now)
    assert theft.known() == theft.log()
    zone = theft.provider.installed()
    assert ("good.example A " in zone, "evil.example" in zone, "four.example" in zone) == (True, False, False)
    # Recovery: one head, at once; what waits of that agent is void, and what was ended is added again.
    shell("--as", "head-1", "officer", "revoke", "agent-1", "--reason", "stolen")
    shell.refused("--as", "agent-2", "approve", str(evil), code=2, message=f"act {evil} does not wait")
    shell.refused(*agent, "add", "evil.example", *WHY, code=2, message="agent-1 is not an officer")
    again = shell.json("--as", "agent-2", "add", "four.example", "--like", "four.example")["act"]
    shell.refused("--as", "agent-3", "approve", str(again), code=1, message="four.example was annulled")
    shell("--as", "head-1", "approve", str(again))
    theft.goes_on()
    assert "four.example A " in theft.provider.installed()


@stolen("one agent's key", "recovery")
def test_one_agents_revocation_never_waits() -> None:
    chain = Chain(environment="production", heads=("head-1", "head-2", "head-3"), officers=())
    chain.add_act("head-2", acts.Approve(act=chain.appoint("agent-1").ref))
    assert chain.register.in_office("agent-1")
    chain.add_act("head-3", acts.Revoke(officer="agent-1"))
    assert chain.register.in_office("agent-1") is None


@stolen("two officers' keys")
def test_two_officers_keys(theft: Theft) -> None:
    shell, many = theft.shell, [f"evil-{number:02}.example" for number in range(21)]
    theft.published()
    theft.accepted(theft.site.now)
    # Can: list names, as many with each release as the brakes let pass unasked.
    for some in (["evil.example"], many[:20]):
        theft.wait()
        theft.list_names(*some, by="agent-1", approved_by="agent-2")
        # Who sees it: `plan`, before the release.
        assert {change["name"] for change in shell.json("plan")["changes"]} == set(some)
        theft.published()
        theft.accepted(theft.site.now)
    assert "evil-19.example A " in theft.provider.installed()
    # Can, with a program of their own: sign what the guards refuse. Cannot: get a public suffix past the brakes, though
    # somebody at the office lets it through, nor touch what is protected.
    theft.wait()
    theft.list_without_guards("kobe.jp", "google.com", "mail.google.com", "gouv.fr")
    assert "warning: listed against a guard: kobe.jp is a public suffix" in shell("plan").output
    suffix = "kobe.jp would block the sites of unrelated people"
    assert suffix in shell("publish", expect=1).stderr
    theft.published("--accept", shell.json("plan")["checksum"])
    theft.refused(suffix, 1, now=theft.site.now)
    assert not re.search("kobe|google|gouv", theft.provider.installed())
    # Cannot: pass the brakes at a provider, though somebody at the office let them through.
    theft.wait()
    theft.list_without_guards(*(f"evil-2{name}" for name in many))
    shell("publish", expect=1)
    theft.published("--accept", shell.json("plan")["checksum"])
    theft.refused("22 names are added, more than 20", 1, now=theft.site.now)
    theft.refused("22 names are added, more than 20", 1, now=theft.site.now, accept="any")
    # Recovery: revoke both; one signature ends what they listed. That much at once is braked at the office alone.
    for agent in ("agent-1", "agent-2"):
        shell("--as", "head-1", "officer", "revoke", agent, "--reason", "stolen")
    listed = [entry["name"] for entry in shell.json("list", "--state", "listed")["measures"]]
    ends = [name for name in listed if re.match("evil|kobe", name)]
    shell("--as", "agent-3", "remove", *ends, "--reason", "error")
    theft.wait()
    shell("publish", expect=1)
    theft.published("--accept", shell.json("plan")["checksum"])
    theft.accepted(theft.site.now)
    assert "evil" not in theft.provider.installed()
    theft.goes_on(by="agent-3", approved_by="head-1")
    assert theft.known() == theft.log()


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Shell:
    """An office in production with three heads; the key of head-1 is the thief's as well."""
    Site(tmp_path, datetime.now(UTC), "production")
    made = Shell(tmp_path, monkeypatch)
    appoint(made, "head-2", "head")
    made("--as", "head-2", "approve", str(appoint(made, "head-3", "head")))
    assert in_office(made) == {"head-1", "head-2", "head-3", "agent-1", "agent-2"}
    return made


def in_office(shell: Shell) -> set[str]:
    return {officer["id"] for officer in shell.json("officer", "list")["officers"] if officer["until"] is None}


REVOKE_1 = ("officer", "revoke", "head-1", "--reason", "stolen")


@stolen("one head's key")
def test_one_heads_key_among_three(heads: Shell) -> None:
    shell, thief = heads, ("--as", "head-1")
    # Can: approve or reject what another proposed, destroy dossiers, revoke agents, propose what a head proposes.
    listed = propose(shell, "bad.example.com", by="agent-1")
    shell(*thief, "approve", str(listed))
    shell(*thief, "dossier", "erase", str(listed), "--reason", "x")
    shell(*thief, "reject", str(propose(shell, "worse.example.com", by="agent-1")), "--reason", "x")
    shell(*thief, "officer", "revoke", "agent-1", "--reason", "x")
    # Cannot: appoint, adopt or revoke a head alone, or approve that itself.
    waiting = [appoint(shell, "thief-1")]
    waiting.append(shell.json(*thief, "officer", "revoke", "head-2", "--reason", "x")["act"])
    (shell.office / "lists/protected.yaml").write_text("- gouv.fr\n")
    waiting.append(shell.json(*thief, "policy", "adopt", shell.office / f"lists/{LIST}.yaml")["act"])
    for seq in waiting:
        shell.refused(*thief, "approve", str(seq), code=1, message=f"head-1 made act {seq} and cannot approve it")
    assert in_office(shell) == {"head-1", "head-2", "head-3", "agent-2"}
    # Can: reject its own revocation, unless the approval is there first.
    again = shell.json("--as", "head-2", *REVOKE_1)["act"]
    shell(*thief, "reject", str(again), "--reason", "x")
    # Who sees it.
    status = shell.json("--as", "head-3", "status")["waiting"]
    assert [(entry["act"], entry["by"]) for entry in status] == [(seq, "head-1") for seq in waiting]
    assert shell.json("log")["acts"][-1]["by"] == "head-1"
    # Recovery: another head revokes it, and a third approves at once; what waits of it is void.
    shell("--as", "head-3", "approve", str(shell.json("--as", "head-2", *REVOKE_1)["act"]))
    assert in_office(shell) == {"head-2", "head-3", "agent-2"}
    assert shell.json("status")["waiting"] == []
    shell.refused(*thief, "officer", "revoke", "agent-2", "--reason", "x", code=2, message="head-1 is not an officer")
    shell("--as", "head-3", "approve", str(appoint(shell, "agent-3", by="head-2")))
    assert "agent-3" in in_office(shell)
    assert shell.json("audit")["faults"] == []


@stolen("one head's key", "can", "recovery")
def test_one_heads_key_of_two(heads: Shell) -> None:
    shell = heads
    gone = shell.json("--as", "head-2", "officer", "revoke", "head-3", "--reason", "left")["act"]
    shell("--as", "head-1", "approve", str(gone))
    # Can: hold up its own revocation and every appointment.
    for seq in (shell.json("--as", "head-2", *REVOKE_1)["act"], appoint(shell, "head-4", "head", by="head-2")):
        shell("--as", "head-1", "reject", str(seq), "--reason", "x")
    # Recovery: nobody but its owner can approve it, with that very key, before the thief rejects.
    again = str(shell.json("--as", "head-2", *REVOKE_1)["act"])
    shell.refused("--as", "agent-1", "approve", again, code=1, message="agent-1 cannot approve act")
    shell.refused("--as", "head-2", "approve", again, code=1, message="head-2 made act")
    shell("--as", "head-1", "approve", again)
    assert in_office(shell) == {"head-2", "agent-1", "agent-2"}


@stolen("one head's key", "can", "sees", "recovery")
def test_the_only_heads_key(theft: Theft) -> None:
    shell = theft.shell
    # Can: appoint officers and adopt another policy, hence list any name.
    protected = theft.lists / "protected.yaml"
    before = protected.read_text()
    protected.write_text(before.replace("- google.com\n", ""))
    shell("--as", "head-1", "policy", "adopt", theft.lists / f"{LIST}.yaml")
    for agent in ("thief-1", "thief-2"):
        appoint(shell, agent)
    theft.wait()
    theft.list_names("google.com", by="thief-1", approved_by="thief-2")
    theft.published()
    theft.accepted(theft.site.now)
    assert "google.com A " in theft.provider.installed()
    # Cannot: remove itself. Who sees it: everybody, in the acts.
    shell.refused("--as", "head-1", *REVOKE_1, code=1, message="head-1 is the only head")
    assert theft.known() == theft.log()
    # Recovery: its owner appoints another head, who revokes it and all that it appointed.
    appoint(shell, "head-2", "head")
    for officer in ("head-1", "thief-1", "thief-2"):
        shell("--as", "head-2", "officer", "revoke", officer, "--reason", "stolen")
    protected.write_text(before)
    shell("--as", "head-2", "policy", "adopt", theft.lists / f"{LIST}.yaml")
    theft.goes_on()
    assert "google.com" not in theft.provider.installed()


@stolen("one head's key", "recovery")
def test_the_only_heads_key_in_production() -> None:
    chain = Chain(environment="production", officers=())
    chain.appoint("head-2", "head")
    revocation = chain.add_act("head-2", acts.Revoke(officer="head-1"))
    assert chain.register.heads() == ["head-1", "head-2"]
    chain.add_act("head-1", acts.Approve(act=revocation.ref))
    assert chain.register.heads() == ["head-2"]


@stolen("one head's key", "recovery")
def test_the_only_heads_key_when_it_is_lost_as_well(theft: Theft, tmp_path: Path) -> None:
    """A new register, with a new root: every subscriber starts anew."""
    theft.site.keys.path.joinpath("head-1.pem").unlink()
    theft.shell.refused("--as", "head-1", "officer", "revoke", "agent-1", "--reason", "x", code=2, message="no key")
    other = Site(tmp_path / "new", theft.site.now)
    other.block("four.example")
    other.publish()
    theft.back(other.exports)
    theft.refused("was signed by 0/1 keys", now=other.now)
    newcomer = theft.newcomer(other.root.read_bytes())
    assert newcomer.pull(other.now, accept="any").changed
