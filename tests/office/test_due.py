"""What has to be done, at the second: reviews, lapses, approvals, requests, recommendations, publications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import DAY, HOUR, WEEK
from kit.ready_made import ready_made
from kit.site import Site

from blocklist.base.i18n import shown
from blocklist.names.domain_name import Name, Scope
from blocklist.office import appoint, approve, oversight, propose, removal_requests
from blocklist.office.tasks import Task, tasks

SITE = Name("page.example", Scope.DOMAIN)
T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return ready_made(tmp_path, T0, Site)


def due(site: Site, within: timedelta | None = None) -> list[Task]:
    with site.office() as office:
        return tasks(office, within)


def commands(site: Site, within: timedelta | None = None) -> list[str]:
    return [task.command for task in due(site, within)]


def overdue(site: Site) -> list[str]:
    return [task.command for task in due(site) if task.overdue(site.now)]


def test_nothing_is_due_at_first(site: Site) -> None:
    assert due(site) == []


def test_a_review_is_announced_two_weeks_ahead_to_the_second(site: Site) -> None:
    site.block("page.example")
    site.publish()
    review = "review page.example --outcome OUTCOME"
    site.now = T0 + 10 * WEEK - SECOND
    site.publish()
    assert review not in commands(site)
    assert review in commands(site, within=2 * WEEK + SECOND)
    site.now += SECOND
    (task,) = (entry for entry in due(site) if entry.command == review)
    assert task.by == T0 + 12 * WEEK
    site.now = T0 + 12 * WEEK - SECOND
    site.publish()
    assert review in commands(site)
    assert overdue(site) == []
    site.now += SECOND
    assert review not in commands(site)
    assert "add page.example --like page.example" in overdue(site)


def test_a_lapse_is_overdue_until_it_is_proposed_again_or_no_news(site: Site) -> None:
    site.block("page.example", review_by=T0 + DAY)
    again = "add page.example --like page.example"
    site.now = T0 + DAY
    site.publish()
    assert overdue(site) == [again]
    with site.office("agent-1") as office:
        (added,) = propose.propose(office, [SITE], propose.former_proposal(office, "page.example"))
    assert again not in commands(site)
    with site.office("agent-2") as office:
        approve.reject(office, added.act.seq, "not any more")
    assert again in overdue(site)
    site.now = T0 + DAY + 2 * WEEK - SECOND
    assert again in overdue(site)
    site.now += SECOND
    assert again not in commands(site)


def test_names_of_one_decision_are_one_task_a_command_line_at_a_time(site: Site) -> None:
    names = [f"n{number:02}.example" for number in range(25)]
    site.block(*names, review_by=T0 + DAY)
    reviews = [command for command in commands(site) if command.startswith("review ")]
    assert [command.count(".example") for command in reviews] == [20, 5]


def test_an_approval_waits_seven_days(site: Site) -> None:
    with site.office("agent-1") as office:
        propose.propose(office, [SITE], site.proposal())
    assert commands(site) == ["approve 4"]
    site.now = T0 + 7 * DAY
    assert commands(site) == ["approve 4"]
    assert overdue(site) == ["approve 4"]  # this is its last second
    site.now += SECOND
    assert overdue(site) == ["add page.example --like 4"]


def test_a_request_is_answered_when_its_notice_ends(site: Site) -> None:
    with site.office("agent-1") as office:
        removal_requests.request(office, [SITE], "host", "abuse@host.example", [], "", [])
    site.publish()
    silent = "answer 4 --outcome OUTCOME"
    assert commands(site) == [silent]
    site.now = T0 + DAY - SECOND
    site.publish()
    assert overdue(site) == []
    site.now += SECOND
    assert overdue(site) == [silent]
    with site.office("agent-1") as office:
        removal_requests.answer(office, 4, "silent", "", [])
    site.publish()
    (task,) = due(site)
    assert task.command == "add page.example --basis not-removed --ground GROUND --ref REFERENCE"
    assert not task.overdue(site.now)  # the law allows it, and asks for nothing
    site.now = T0 + DAY + 2 * WEEK
    site.publish()
    assert commands(site) == []


def test_a_recommendation_is_answered_at_once(site: Site) -> None:
    public = site.keys.create("person-1", ed25519.Ed25519PrivateKey.generate(), encrypt=False)
    with site.office("head-1") as office:
        appoint.appoint(office, "person-1", "qualified-person", public)
    with site.office("person-1") as office:
        oversight.recommend(office, [], "look at the dossiers")
    assert overdue(site) == ["respond 5 --ANSWER --text TEXT"]
    with site.office("agent-1") as office:
        oversight.respond(office, 5, "refused", "we did")
    assert commands(site) == []


def test_what_is_decided_is_published_within_the_hour(site: Site) -> None:
    site.block("page.example")
    assert commands(site) == ["publish"]
    site.now += HOUR - SECOND
    assert overdue(site) == []
    site.now += SECOND
    assert overdue(site) == ["publish"]
    site.publish()
    assert commands(site) == []
    site.remove("page.example")
    assert commands(site) == ["publish"]


def test_a_release_that_is_not_renewed_is_told_before_it_ends(site: Site) -> None:
    site.block("page.example")
    site.publish()
    site.now += 7 * HOUR
    (task,) = due(site)
    assert (task.command, task.by) == ("publish", T0 + 12 * HOUR)
    site.now = T0 + 12 * HOUR
    assert overdue(site) == ["publish"]


def test_the_most_urgent_comes_first(site: Site) -> None:
    site.block("page.example", review_by=T0 + DAY)
    site.block("other.example", review_by=T0 + 5 * DAY)
    site.publish()
    site.now = T0 + 2 * DAY
    dates = [task.by for task in due(site)]
    assert dates == sorted(dates)
    assert due(site)[0].overdue(site.now)


# Summer time: everything is stored in UTC, and shown in Paris


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        ("2026-03-29T00:59:59", "2026-03-29 01:59:59+01:00"),
        ("2026-03-29T01:00:00", "2026-03-29 03:00+02:00"),
        ("2026-10-25T00:59:59", "2026-10-25 02:59:59+02:00"),
        ("2026-10-25T01:00:00", "2026-10-25 02:00+01:00"),
    ],
)
def test_both_changes_of_summer_time(instant: str, text: str) -> None:
    assert shown(datetime.fromisoformat(instant).replace(tzinfo=UTC)) == text


def test_twelve_weeks_over_the_change_are_twelve_weeks_of_seconds(site: Site) -> None:
    site.block("page.example")
    site.now = T0 + 12 * WEEK - SECOND
    with site.office() as office:
        assert len(office.register.in_force(site.now)) == 1
        assert len(office.register.in_force(site.now + SECOND)) == 0
    end = (T0 + 12 * WEEK).astimezone(ZoneInfo("Europe/Paris"))
    assert (end.weekday(), end.hour) == (T0.weekday(), 11)  # 10:00 in winter, the hour that summer time adds


@pytest.mark.parametrize("start", [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)])
def test_the_longest_period_is_under_three_calendar_months(start: datetime) -> None:
    """88 days, the most that a policy may say, never reach the same day three months later."""
    paris = ZoneInfo("Europe/Paris")
    local = start.astimezone(paris)
    month = (local.month + 2) % 12 + 1
    quarter = local.replace(month=month, year=local.year + (local.month + 2) // 12)
    assert start + timedelta(days=88) < quarter.astimezone(UTC)
