"""The whole legal life of a measure, by the real commands: what a commission of inquiry would ask of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from kit.fixed import DAY, HOUR, SALT, WEEK, names
from kit.shell import NO_PROOF, SAYS, WHY, Shell
from kit.site import Site

from blocklist.cli.commands import main
from blocklist.register import acts

SITE = "page.example"
SAYS_BY_ID = dict.fromkeys(("terrorist-act", "favourable", "public", "context"), "as seen")
T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CASE = ("--ground", "apology", "--basis", "not-removed", "--ref", "2026-17", *SAYS)


class Office:
    """The commands of three agents, a head and the qualified person, at times that the test says."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.now = T0
        shell.at(T0)
        Site(shell.folder, T0)
        for officer, role in (("agent-3", "agent"), ("person-1", "qualified-person")):
            shell("key", "new", officer, "--no-passphrase")
            shell("--as", "head-1", "officer", "appoint", officer, "--role", role, "--key", f"keys/{officer}.pub")

    def wait(self, later: timedelta) -> None:
        self.now += later
        self.shell.at(self.now)

    def run(self, officer: str, *words: str, expect: int = 0) -> str:
        return self.shell("--as", officer, *words, expect=expect).stderr

    def refused(self, officer: str, *words: str, message: str) -> None:
        before = self.shell.acts()
        self.shell.refused("--as", officer, *words, code=1, message=message)
        assert self.shell.acts() == before

    def publish(self) -> str:
        return self.shell("publish").stderr

    def overdue(self) -> bool:
        return bool(self.tasks()["overdue"])

    def todo(self) -> dict[str, str]:
        """Each command that is due, with the words that say why."""
        return {str(task["command"]): str(task["what"]) for task in self.tasks()["tasks"]}

    def tasks(self) -> dict[str, Any]:
        """What `due` says; its exit code is 1 when something is overdue, and 0 else."""
        where = ["-C", str(self.shell.office)]
        done = CliRunner().invoke(main, [*where, "--json", "due"])
        found: dict[str, Any] = json.loads(done.stdout.replace(f"blocklist {' '.join(where)} ", "blocklist "))
        assert done.exit_code == (1 if found["overdue"] else 0)
        return found


@pytest.fixture
def office(empty: Shell) -> Office:
    return Office(empty)


def test_a_commission_of_inquiry_asks_about_one_site(office: Office) -> None:
    shell = office.shell
    (shell.folder / "capture.png").write_bytes(b"what was seen")
    asked = ("--to", "host", "--contact", "abuse@host.example", "--url", f"https://{SITE}/1")
    said = office.run("agent-1", "request", SITE, *asked, "--evidence", "capture.png")
    assert "act 6: the host was asked about 1 name; the notice ends 2026-01-06 10:00+01:00" in said
    office.publish()
    office.refused(
        "agent-1", "add", SITE, *CASE, message=r"the notice of request 6 ends.*\n.*24 hours.*LCEN art. 6-1 al. 2"
    )
    office.wait(5 * HOUR)
    office.run("agent-1", "answer", "6", "--outcome", "refused", "--note", "says that it is satire")
    office.wait(19 * HOUR - SECOND)
    office.refused("agent-1", "add", SITE, *CASE, message="the notice of request 6 ends")
    office.wait(SECOND)
    assert any("add page.example --basis not-removed" in command for command in office.todo())
    office.run("agent-1", "add", SITE, *CASE)
    office.wait(HOUR)
    shown = office.run("agent-2", "approve", "8")
    for part in (
        "asked the host to remove content",
        "satire",
        "as seen",
        "reference: 2026-17",
        f"{SITE} and every name",
    ):
        assert part in shown
    office.publish()

    office.wait(11 * WEEK)
    assert f"blocklist review {SITE} --outcome OUTCOME" in office.todo()
    office.run("agent-2", "review", SITE, "--outcome", "still-unlawful", "--note", "unchanged since January")
    office.wait(11 * WEEK)
    office.run("person-1", "recommend", SITE, "--text", "the page is satire")
    assert "blocklist respond 11 --ANSWER --text TEXT" in office.todo()
    office.wait(DAY)
    said = office.run("agent-3", "respond", "11", "--accept", "--text", "on second thoughts, yes")
    assert "act 12: recommendation 11 accepted; 1 measure ends with the next release" in said
    office.publish()

    assert "state      removed (irregular, as the qualified person found)" in shell("show", SITE).stdout
    events = shell.json("show", SITE)["events"]
    told = [(event["act"], event["by"], event["what"], " ".join(event["details"])) for event in events]
    wanted = [
        (6, "agent-1", f"asked the host to remove content: {SITE}", "abuse@host.example.*https://.*capture.png"),
        (7, "agent-1", "answer to request 6: refused", "satire"),
        (8, "agent-1", r"proposed 1 name: ground apology, basis not-removed \(requests 6\)", "2026-17.*as seen"),
        (9, "agent-2", f"approved act 8: {SITE}", ""),
        (None, "", "first release that carries it: providers block before 2026-01-07 11:00", ""),
        (10, "agent-2", "verified page.example again: still unlawful, until", "unchanged since January"),
        (11, "person-1", "found irregular, and recommended to end: page.example", "satire"),
        (12, "agent-3", "answer to recommendation 11: accepted", "on second thoughts"),
        (None, "", "first release without it: providers restore before 2026-06", ""),
    ]
    assert len(told) == len(wanted)
    for (act, by, what, details), (seq, officer, sentence, inside) in zip(told, wanted, strict=True):
        assert (act, by) == (seq, officer)
        assert re.match(sentence, what), what
        assert re.search(inside, details), details
    assert [entry["act"] for entry in shell.json("log", SITE)["acts"]] == [6, 7, 8, 9, 10, 11, 12]
    shell("audit")


# Removal requests


def test_a_clarification_lets_the_notice_begin_anew(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "publisher", "--contact", "by post")
    office.wait(23 * HOUR)
    office.run("agent-2", "answer", "6", "--outcome", "clarification", "--note", "which page?")
    office.wait(24 * HOUR - SECOND)
    office.refused("agent-1", "add", SITE, *CASE, message="the notice of request 6 ends")
    office.wait(SECOND)
    office.run("agent-1", "add", SITE, *CASE)


def test_content_that_was_removed_is_not_blocked(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(2 * DAY)
    office.run("agent-1", "add", SITE, *CASE)
    office.run("agent-1", "answer", "6", "--outcome", "removed")
    office.refused("agent-2", "approve", "7", message="request 6 is closed: the content was removed")
    office.refused("agent-1", "answer", "6", "--outcome", "silent", message="request 6 is closed")
    office.run("agent-1", "reject", "7", "--reason", "the host removed it")
    office.refused("agent-1", "add", SITE, *CASE, message=f"no open removal request names {SITE}")
    office.refused("agent-1", "add", SITE, *CASE, "--request", "6", message="request 6 is closed")


def test_a_site_whose_content_is_removed_after_all_is_due_for_review(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(2 * DAY)
    office.run("agent-1", "answer", "6", "--outcome", "silent")
    office.run("agent-1", "add", SITE, *CASE)
    office.run("agent-2", "approve", "8")
    office.publish()
    office.run("agent-1", "answer", "6", "--outcome", "removed")
    assert f"blocklist review {SITE} --outcome OUTCOME" in office.todo()


def test_a_request_that_came_back_is_no_request(office: Office) -> None:
    """The next contact is another request, with a notice of its own."""
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@hots.example")
    office.wait(2 * DAY)
    office.run("agent-1", "add", SITE, *CASE)
    assert "it could not be delivered" in office.run("agent-1", "answer", "6", "--outcome", "undelivered")
    office.refused("agent-2", "approve", "7", message="request 6 is closed: it was never delivered\n.*a new request")
    assert "reject 7 --reason 'request 6'" in "\n".join(office.todo())
    office.run("agent-1", "reject", "7", "--reason", "the address was wrong")
    office.refused("agent-1", "add", SITE, *CASE, message=f"no open removal request names {SITE}")
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.refused("agent-1", "add", SITE, *CASE, message="the notice of request 10 ends")
    office.wait(DAY)
    office.run("agent-1", "add", SITE, *CASE)
    office.refused("agent-1", "answer", "6", "--outcome", "removed", message="request 6 is closed")


def test_what_was_taken_for_silence_had_come_back(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(2 * DAY)
    office.run("agent-1", "answer", "6", "--outcome", "silent")
    office.run("agent-1", "add", SITE, *CASE)
    office.run("agent-2", "approve", "8")
    office.publish()
    office.run("agent-1", "answer", "6", "--outcome", "undelivered")
    assert "was never delivered" in office.todo()[f"blocklist review {SITE} --outcome OUTCOME"]


def test_when_content_was_seen_to_be_gone(office: Office) -> None:
    """In Paris unless it says otherwise; between the request, at 10:00, and now."""
    shell = office.shell
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(5 * HOUR)
    for time in ("2026-01-05 09:59", "2026-01-05T15:00:01+01:00", "2026-01-05T08:59:59Z"):
        words = ("answer", "6", "--outcome", "removed", "--observed", time)
        office.refused("agent-1", *words, message="is not between request 6 and now\n.*was made 2026-01-05 10:00")
    for outcome, time, message in (
        ("silent", "2026-01-05 12:00", "goes with --outcome removed"),
        ("removed", "noon", "a time is 2027-02-14 13:00, in Paris"),
        ("removed", "9" * 400, "a time is 2027-02-14 13:00, in Paris"),
    ):
        shell.refused(
            "--as", "agent-1", "answer", "6", "--outcome", outcome, "--observed", time, code=2, message=message
        )
    office.run("agent-1", "answer", "6", "--outcome", "removed", "--observed", "2026-01-05 12:34:56")
    told = " ".join(shell("show", SITE).stdout.split())
    assert "the content was removed, seen gone 2026-01-05 12:34:56+01:00" in told


def test_a_platform_can_be_asked_and_its_names_stay_inside(office: Office) -> None:
    office.run(
        "agent-1",
        "request",
        "videos.example",
        "--to",
        "platform",
        "--contact",
        "form",
        "--url",
        "https://videos.example/v/1",
    )
    office.wait(2 * DAY)
    office.refused("agent-1", "add", "videos.example", *CASE, message="no open removal request names videos.example")
    office.refused(
        "agent-1", "add", "videos.example", *CASE, "--request", "6", message="no cited request named videos.example"
    )
    office.publish()
    for path in (office.shell.office / "exports").rglob("*"):
        assert not path.is_file() or b"videos" not in path.read_bytes(), path
    assert "names: videos.example" in office.shell("show", "videos.example").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("request", SITE, "--to", "host", "--contact", " "), "says nobody who was asked"),
        (("request", SITE, "--to", "host", "--contact", "x", "--url", "page.example/1"), "is not the URL of a page"),
        (("request", SITE, "--to", "host", "--contact", "x", "--url", "ftp://page.example/1"), "is not the URL"),
        (("request", f"https://{SITE}/", "--to", "host", "--contact", "x"), "URL"),
        (("answer", "2", "--outcome", "removed"), "act 2 is not a removal request"),
        (("respond", "2", "--accept", "--text", "x"), "act 2 is not a recommendation"),
        (("respond", "2", "--text", "x"), "say --accept or --refuse, one of them"),
        (("respond", "2", "--accept", "--refuse", "--text", "x"), "say --accept or --refuse, one of them"),
        (("add", SITE, *CASE, "--request", "2"), "act 2 is not a removal request"),
        (("add", SITE, *WHY, "--request", "2"), "cites no removal request"),
        (("add", SITE, "--like", "never.example"), "never.example was never listed"),
        (("add", SITE, "--like", "2"), "act 2 proposes no names"),
        (("add", SITE, *WHY, "--say", "colour=red"), "does not ask colour"),
        (("add", SITE, *WHY, "--say", "context="), "is not ID=TEXT"),
        (("add", SITE, *WHY[:-10], "--evidence", "imprint.txt"), "the dossier lacks . answers?"),
        (("add", SITE, "--ground", "apology"), "--basis is missing"),
        (("due", "--within", "soon"), "is not a time such as"),
    ],
)
def test_input_that_is_wrong(words: tuple[str, ...], message: str, office: Office) -> None:
    before = office.shell.acts()
    office.shell.refused("--as", "agent-1", *words, code=2, message=message)
    assert office.shell.acts() == before


def test_no_identification_needs_its_proof(office: Office) -> None:
    office.refused("agent-1", "add", SITE, *NO_PROOF, message=r"needs its proof in the dossier\n.*LCEN art. 6-1 al. 2")
    office.run("agent-1", "add", SITE, *WHY)


# Lapses, and what is like something else


def test_a_lapse_is_told_and_the_same_case_is_made_again(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(DAY)
    office.run("agent-1", "answer", "6", "--outcome", "silent")
    office.run("agent-1", "add", SITE, *CASE)
    office.run("agent-2", "approve", "8")
    office.publish()
    office.wait(12 * WEEK)
    office.publish()
    assert office.todo()[f"blocklist add {SITE} --like {SITE}"].startswith(f"{SITE} lapsed and is not blocked any more")
    assert office.overdue()
    office.run("agent-1", "add", SITE, "--like", SITE)
    assert not office.overdue()
    shown = office.run("agent-2", "approve", "10")
    assert "continues the measure on page.example, proposed by act 8" in shown
    assert "as seen" in shown
    events = office.shell.json("show", SITE)["events"]
    assert [event["act"] for event in events] == [6, 7, 8, 9, None, None, None, 10, 11]
    assert "lapsed: nobody verified it again" in events[5]["what"]


def test_a_site_that_moved_is_linked_with_its_former_name(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    office.run("agent-2", "approve", "6")
    office.run("agent-1", "add", "moved.example", "--like", SITE, "--ref", "2026-18")
    office.run("agent-2", "approve", "8")
    assert "proposed by act 6" in office.shell("show", "moved.example").stdout
    office.wait(8 * DAY)
    events = office.shell.json("show", SITE)["events"]
    assert 8 in [event["act"] for event in events]
    assert not [event for event in events if "not approved" in event["what"]]  # it was, under the other name
    dossier = office.shell.json("dossier", "show", "8")
    assert "imprint.txt" in str(dossier)
    assert "2026-18" in str(dossier)


def test_an_expired_proposal_is_made_again_by_its_number(office: Office) -> None:
    office.run("agent-1", "add", SITE, "www.other.example", *WHY)
    office.wait(7 * DAY + SECOND)
    office.refused("agent-2", "approve", "6", message="act 6 waited more than seven days and has lapsed")
    command = f"blocklist add {SITE} www.other.example --like 6"
    assert "has lapsed: make it anew" in office.todo()[command]
    office.run("agent-1", *command.split()[1:])
    office.run("agent-2", "approve", "7")
    listed = {entry["name"]: entry["scope"] for entry in office.shell.json("list", "--state", "listed")["measures"]}
    assert listed == {SITE: "domain", "www.other.example": "host"}


def test_a_recommendation_that_is_refused_changes_nothing(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    office.run("agent-2", "approve", "6")
    office.run("person-1", "recommend", SITE, "--text", "not public")
    office.run("agent-2", "respond", "8", "--refuse", "--text", "it is")
    office.refused("agent-2", "respond", "8", "--accept", "--text", "or not", message="was answered already: refused")
    assert [entry["name"] for entry in office.shell.json("list", "--state", "listed")["measures"]] == [SITE]
    office.refused("agent-1", "recommend", SITE, "--text", "x", message="agent-1 is agent")
    office.run("person-1", "recommend", "--text", "a general remark")
    assert office.shell.json("log")["acts"][-1]["kind"] == "recommend"


# Names struck from what waits


def test_a_mistyped_name_is_struck_and_no_act_names_it(office: Office) -> None:
    office.run("agent-1", "add", SITE, "mistyped.example", *WHY)
    said = office.run("agent-1", "remove", "mistyped.example", "--reason", "error")
    assert "act 7: act 6, which still waited, is rejected" in said
    assert "act 8: proposes its other name anew" in said
    office.run("agent-2", "approve", "8")
    office.publish()
    for path in (office.shell.office / "exports").rglob("*"):
        assert not path.is_file() or b"mistyped" not in path.read_bytes(), path
    assert [entry["name"] for entry in office.shell.json("list")["measures"]] == [SITE]
    assert "names: mistyped.example" in office.shell("show", "mistyped.example").stdout


def test_the_last_name_that_is_struck_takes_its_proposal_along(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    said = office.run("agent-2", "remove", SITE, "--reason", "error")
    assert "act 7: act 6, which still waited, is rejected" in said
    assert office.shell.json("status")["waiting"] == []


def test_a_name_waits_once(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    office.refused("agent-2", "add", SITE, *WHY, message="waits for an approval already, in act 6")


# Annulment


def test_only_a_head_lists_an_annulled_name_again_and_is_shown_the_judgment(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    office.run("agent-2", "approve", "6")
    office.run("agent-1", "remove", SITE, "--reason", "annulled", "--ref", "TA Cergy 2600123")
    office.run("agent-1", "add", SITE, "--like", SITE)
    office.refused("agent-2", "approve", "9", message="only an approval by a head")
    shown = office.run("head-1", "approve", "9")
    assert "ANNULLED: act 8" in shown
    assert "TA Cergy 2600123" in shown


# What somebody wrote is shown, and does nothing


def test_what_somebody_wrote_cannot_play_with_a_terminal(office: Office) -> None:
    note = "seen\x1b[2J\x1b[31m red\r\u202eover\nnext line"
    office.run("agent-1", "add", SITE, *WHY, "--note", note)
    shown = office.run("agent-2", "approve", "6")
    for said in (shown, office.shell("show", SITE).stdout, office.shell("dossier", "show", "6").stdout):
        assert not {"\x1b", "\r", "\u202e"} & set(said)
    assert r"note: seen\x1b[2J\x1b[31m red\r\u202eover next line" in shown


@pytest.mark.parametrize(
    "members",
    [{"names": 7}, {"evidence": 7}, {"evidence": [{}]}, {"like": {"names": 1}}, {"says": [1]}, {"evidence": []}],
)
def test_a_dossier_of_another_form_stops_nobody_else(office: Office, members: dict[str, Any]) -> None:
    """An agent with a program of his own signs what he likes; the others go on, and are told."""
    some = names(SITE)
    with Site.at(office.shell.folder, office.now).office("agent-1") as desk:
        until = desk.review_until()
        body = acts.Add(
            commitment=some.commitment(SALT),
            count=1,
            ground="apology",
            basis="no-identification",
            review_by=until,
        )
        told = {"names": some.to_json(), "salt": SALT, "says": SAYS_BY_ID, "evidence": [{"sha256": "0" * 64}]}
        desk.state(body, **told | members)
    office.shell("list")
    office.shell("due")
    office.run("agent-2", "add", "other.example", *WHY)
    refused = 3 if "names" in members else int("says" in members or members.get("evidence") in ([], 7))
    office.shell("dossier", "show", "6", expect=3 if refused == 3 else 0)
    office.shell("--as", "agent-2", "approve", "6", expect=refused)
    office.shell("audit", expect=3)


def test_a_request_counts_for_the_sites_that_it_named(office: Office) -> None:
    office.run("agent-1", "request", "www.page.example", "--to", "host", "--contact", "abuse@host.example")
    office.wait(DAY)
    office.refused(
        "agent-1", "add", "evil.example", *CASE, "--request", "6", message="no cited request named evil.example"
    )
    office.run("agent-1", "add", SITE, *CASE, "--request", "6")
    assert "NOT NAMED" not in office.run("agent-2", "approve", "7")
    office.run("agent-1", "add", "moved.example", "--like", SITE)
    assert "NOT NAMED by these requests: moved.example" in office.run("agent-2", "approve", "9")
    office.run("agent-1", "answer", "6", "--outcome", "removed")
    commands = office.todo()
    assert f"blocklist review {SITE} --outcome OUTCOME" in commands  # though the request named another name
    assert "blocklist review moved.example --outcome OUTCOME" in commands


def test_nobody_is_silent_before_the_notice_is_over(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(DAY - SECOND)
    office.refused("agent-1", "answer", "6", "--outcome", "silent", message="the notice of request 6 ends")
    office.wait(SECOND)
    office.run("agent-1", "answer", "6", "--outcome", "silent")


def test_show_says_how_a_proposal_ended(office: Office) -> None:
    office.run("agent-1", "add", SITE, *WHY)
    office.run("agent-3", "add", "other.example", *WHY)
    said = office.run("head-1", "officer", "revoke", "agent-3", "--reason", "left")
    assert "act 7, which agent-3 proposed, cannot be approved any more" in said
    assert "act 7 cannot be approved any more: agent-3 is revoked" in office.shell("show", "other.example").stdout
    office.wait(7 * DAY + SECOND)
    shown = office.shell("show", SITE).stdout
    assert shown.startswith(f"{SITE}: not listed, and waits nowhere")
    assert "act 6 was not approved within seven days, and has lapsed" in shown


def test_what_cannot_be_approved_is_not_offered(office: Office) -> None:
    office.run("agent-1", "request", SITE, "--to", "host", "--contact", "abuse@host.example")
    office.wait(DAY)
    office.run("agent-1", "add", SITE, *CASE)
    office.run("agent-1", "answer", "6", "--outcome", "removed")
    assert "blocklist reject 7 --reason 'request 6'" in office.todo()
    office.run("agent-1", "add", "other.example", *WHY)
    office.run("agent-1", "add", "third.example", *WHY)
    office.run("agent-2", "remove", "third.example", "--reason", "error")
    said = office.run("agent-2", "approve", "--yes")
    assert "act 7 is left out: request 6 is closed" in said
    assert "act 9 approved" in said


def test_refused_evidence_is_not_kept(office: Office) -> None:
    (office.shell.folder / "capture.png").write_bytes(b"what was seen")
    both = ("--evidence", "capture.png", "--evidence", "absent.png")
    office.shell.refused(
        "--as", "agent-1", "request", SITE, "--to", "host", "--contact", "x", *both, code=2, message="absent"
    )
    office.run("agent-1", "add", SITE, *WHY)
    office.run("agent-2", "approve", "6")
    office.refused("agent-1", "add", SITE, *WHY, "--evidence", "capture.png", message="refused by the guards")
    kept = list((office.shell.office / "lists/evidence").iterdir())
    assert [path.read_text() for path in kept] == ["no name, no address\n"]


def test_a_head_is_told_that_an_agent_strikes_one_name_of_several(office: Office) -> None:
    office.run("agent-1", "add", SITE, "other.example", *WHY)
    office.refused("head-1", "remove", SITE, "--reason", "error", message="only an agent strikes one name of several")
