"""What people are told about a release: the words in both languages, and the time to act."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from kit.chain import Chain
from kit.fixed import DAY, HOUR, LIST, WEEK, names

from blocklist.base.i18n import shown, speaking
from blocklist.register import acts
from blocklist.register.decoders import Ref
from blocklist.release.contents import DELAY, Snapshot, make_plan
from blocklist.release.notices import _ANSWERS, _RECIPIENTS, _WHY, SHOWN, Notice, both, compare

SECOND = timedelta(seconds=1)
EARLIER = 7
"""The number of some release: a list that had one is not new."""


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with speaking("en"):
        yield


def taken(chain: Chain, at: datetime | None = None) -> Snapshot:
    return Snapshot.take(chain.register, at or chain.at)


def told(before: Snapshot | None, now: Snapshot, chain: Chain, since: int | None = None, **rest: bool) -> Notice:
    """The notice to somebody who knows `before`, which came directly before `now` unless `since` is given."""
    plan = make_plan(before, now, chain.register.measures())
    return compare(before, now, plan, chain.register.measures(), plan.since if since is None else since, **rest)


def request(chain: Chain, to: str, *domains: str) -> Ref:
    return chain.add_act("agent-1", acts.Request(to=to, names=names(*domains) if domains else None)).ref


def answer(chain: Chain, to: Ref, outcome: str) -> None:
    chain.add_act("agent-1", acts.Answer(request=to, outcome=outcome))


# --- The words --------------------------------------------------------------------------------------------------------


def test_additions_and_their_time() -> None:
    chain = Chain()
    before = taken(chain)
    chain.block("one.example", hosts=["www.two.example"])
    notice = told(before, taken(chain), chain)
    deadline = chain.at + DELAY
    assert notice.block_before == deadline
    assert notice.restore_before is None
    assert notice.lines() == [
        f"Block 2 names before {shown(deadline)} (décret 2015-125 art. 3):",
        "  + one.example (domain)",
        "  + www.two.example (host)",
    ]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("annulled", "the measure was annulled"),
        ("suspended", "the measure was suspended"),
        ("disappeared", "the content has disappeared"),
        ("lawful", "no longer unlawful"),
        ("error", "listed in error"),
    ],
)
def test_endings_say_why_and_cite_the_article(reason: str, words: str) -> None:
    chain = Chain()
    chain.block("one.example", "two.example")
    before = taken(chain)
    chain.remove("one.example", reason=reason)
    notice = told(before, taken(chain), chain)
    deadline = chain.at + DELAY
    assert notice.restore_before == deadline
    assert notice.lines() == [
        f"Restore access to 1 name before {shown(deadline)} (décret 2015-125 art. 4); {words}:",
        "  - one.example (domain)",
    ]


def test_a_lapse_is_never_silent() -> None:
    """No act is signed: time alone ends the measure, and the release says so."""
    chain = Chain()
    chain.block("brief.example", review_by=chain.at + HOUR)
    before, now = taken(chain), taken(chain, chain.at + HOUR)
    notice = told(before, now, chain)
    assert notice
    assert notice.lines() == [
        f"Restore access to 1 name before {shown(now.instant + DELAY)} (décret 2015-125 art. 4); "
        "lapsed without a review:",
        "  - brief.example (domain)",
    ]


def test_a_name_that_the_policy_protects_and_one_that_was_recommended() -> None:
    chain = Chain()
    chain.appoint("person-1", "qualified-person")
    chain.block("one.example", "two.example")
    before = taken(chain)
    asked = chain.add_act("person-1", acts.Recommend(names=names("one.example")))
    chain.add_act("agent-1", acts.Respond(recommendation=asked.ref, outcome="accepted"))
    value = chain.policy.to_json() | {"protected": sorted({*chain.policy.protected, "two.example"})}
    chain.add_act("head-1", acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1))
    notice = told(before, taken(chain), chain)
    assert {change.why: change.names for change in notice.ended} == {
        "recommendation": names("one.example"),
        "protected": names("two.example"),
    }
    assert "The policy of the list has changed" in notice.lines()


def test_an_ended_name_that_stays_blocked_is_not_to_be_restored() -> None:
    chain = Chain()
    chain.block(hosts=["www.one.example", "www.two.example"])
    before = taken(chain)
    chain.block("one.example")
    chain.add_act("agent-1", acts.Remove(names=names(hosts=["www.one.example", "www.two.example"]), reason="error"))
    lines = told(before, taken(chain), chain).lines()
    assert "  - www.one.example (host), which another measure still blocks" in lines
    assert "  - www.two.example (host)" in lines


def test_reviews_are_counted() -> None:
    chain = Chain()
    chain.block("one.example", "two.example")
    before = taken(chain)
    chain.review("one.example", "two.example", until=chain.at + 10 * WEEK)
    assert told(before, taken(chain), chain).lines() == ["2 names were reviewed and stay"]


def test_every_code_has_its_words() -> None:
    """What an act can say, a notice can tell."""
    ends = {outcome for outcome in acts.OUTCOMES if outcome != "still-unlawful"}
    assert _WHY.keys() == {*acts.REASONS, *ends, "recommendation", "protected", "lapsed"}
    assert set(_RECIPIENTS) == set(acts.RECIPIENTS)
    assert set(_ANSWERS) == set(acts.ANSWERS)


def test_the_clock_alone_is_no_news() -> None:
    chain = Chain()
    chain.block("one.example")
    before = taken(chain)
    chain.appoint("agent-3")
    chain.propose("pending.example")
    notice = told(before, taken(chain, chain.at + HOUR), chain)
    assert not notice
    assert notice.lines() == []


def test_a_long_list_is_counted_and_cut() -> None:
    chain = Chain()
    before = taken(chain)
    chain.block(*[f"n{number}.example" for number in range(SHOWN + 3)])
    lines = told(before, taken(chain), chain).lines()
    assert lines[0].startswith(f"Block {SHOWN + 3} names before ")
    assert len(lines) == SHOWN + 2
    assert lines[-1] == "  … and 3 more"


def test_another_regime_cites_no_article() -> None:
    chain = Chain(change={"regime": "other"})
    before = taken(chain)
    chain.block("one.example")
    request(chain, "host", "asked.example")
    lines = told(before, taken(chain), chain).lines()
    assert lines[0] == f"Block 1 name before {shown(chain.at + DELAY)}:"
    assert not [line for line in lines if "LCEN" in line or "décret" in line]


# --- Removal requests (LCEN art. 6-1 al. 1) ---------------------------------------------------------------------------


def test_a_request_is_announced_with_its_clock_and_its_names() -> None:
    chain = Chain()
    before = taken(chain)
    made = request(chain, "publisher", "asked.example")
    notice = told(before, taken(chain), chain)
    assert notice.lines() == [
        f"Act {made.seq}: removal was asked of the publisher, T0 {shown(chain.at)} (LCEN art. 6-1 al. 1); "
        "for information:",
        "  ? asked.example (domain)",
    ]
    assert (notice.block_before, notice.restore_before) == (None, None)


def test_the_names_of_a_platforms_request_are_withheld() -> None:
    chain = Chain()
    before = taken(chain)
    made = request(chain, "platform")
    (line,) = told(before, taken(chain), chain).lines()
    assert line == (
        f"Act {made.seq}: removal was asked of a platform, T0 {shown(chain.at)} (LCEN art. 6-1 al. 1); "
        "the names are withheld"
    )


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("removed", "the host has removed the content"),
        ("refused", "the host refused to remove the content"),
        ("silent", "the host has not answered"),
        ("clarification", "the request was clarified; the time to remove runs anew from {at}"),
    ],
)
def test_an_answer_is_told(outcome: str, words: str) -> None:
    chain = Chain()
    made = request(chain, "host", "asked.example")
    before = taken(chain)
    chain.tick(DAY)  # before that nobody is silent
    answer(chain, made, outcome)
    expected = f"Act {made.seq}: {words.format(at=shown(chain.at))}"
    assert told(before, taken(chain), chain).lines() == [expected]
    # Who learns of both at once reads both.
    assert told(taken(Chain()), taken(chain), chain).lines()[-1] == expected


# --- Readers who missed releases, and new ones ------------------------------------------------------------------------


def test_the_time_runs_from_the_release_that_was_missed() -> None:
    """Its instant is not in the acts; it is not earlier than the decision, so that deadline is always safe."""
    chain = Chain()
    chain.block("gone.example", "later.example")
    chain.block("brief.example", review_by=chain.at + 3 * HOUR)
    lapsed = chain.at - 2 * SECOND + 3 * HOUR
    before = taken(chain)
    chain.tick(HOUR)
    chain.block("one.example")
    added = chain.at
    chain.tick(HOUR)
    chain.remove("gone.example")
    removed = chain.at
    notice = told(before, taken(chain, chain.at + 5 * DAY), chain, since=EARLIER)
    assert notice.missed
    assert (notice.block_before, notice.restore_before) == (added + DELAY, removed + DELAY)
    lines = notice.lines()
    assert lines[0] == f"Block 1 name before {shown(added + DELAY)} at the latest (décret 2015-125 art. 3):"
    assert [change.deadline for change in notice.ended] == [removed + DELAY, lapsed + DELAY]


def test_the_time_never_runs_from_before_the_release_that_the_reader_knows() -> None:
    """A measure can be older than that release and not in it: its name was a protected one."""
    chain = Chain(change={"protected": ["one.example"]})
    chain.block("one.example")
    chain.tick(DAY)
    before = taken(chain)
    assert len(before.measures) == 0
    value = chain.policy.to_json() | {"protected": []}
    chain.add_act("head-1", acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1))
    notice = told(before, taken(chain, chain.at + DAY), chain, since=EARLIER)
    assert notice.block_before == before.instant + DELAY


def test_what_was_missed_is_told_by_urgency_and_cut_as_a_whole() -> None:
    chain = Chain()
    before = taken(chain)
    for number in range(SHOWN + 5):
        chain.block(f"n{number}.example")
    lines = told(before, taken(chain), chain, since=EARLIER).lines()
    assert lines[1] == "  + n0.example (domain)"
    assert sum("  + " in line for line in lines) == SHOWN


def test_a_new_reader_is_told_counts_and_what_is_open() -> None:
    chain = Chain()
    chain.block(*[f"n{number}.example" for number in range(200)])
    closed, open_ = request(chain, "host", "done.example"), request(chain, "host", "asked.example")
    answer(chain, closed, "removed")
    notice = told(None, taken(chain), chain, since=EARLIER, first=True)
    assert notice.lines()[0] == "200 names are on the list"
    assert [entry.ref for entry in notice.requests] == [open_]
    assert (notice.block_before, notice.missed) == (None, False)
    assert not [line for line in notice.lines() if "n1.example" in line or "done.example" in line]


# --- Both languages ---------------------------------------------------------------------------------------------------


def eventful(environment: str = "test") -> Notice:
    """A notice that says everything that one can say."""
    chain = Chain(environment=environment)
    chain.block("gone.example", "kept.example")
    chain.block("brief.example", review_by=chain.at + HOUR)
    asked = request(chain, "host", "asked.example")
    before = taken(chain)
    chain.block("new.example")
    chain.remove("gone.example", reason="annulled")
    chain.review("kept.example", until=chain.at + 10 * WEEK)
    answer(chain, asked, "refused")
    request(chain, "platform")
    return told(before, taken(chain, chain.at + HOUR), chain)


def test_french_comes_first_and_says_the_same() -> None:
    notice = eventful()
    subject, blank, *rest = both(notice).splitlines()
    assert (subject, blank) == (f"TEST {LIST} {notice.release.folder}: +1 -2, announced 2", "")
    french, english = rest[: len(rest) // 2], rest[len(rest) // 2 + 1 :]
    for language, block in (("fr", french), ("en", english)):
        with speaking(language):
            assert block == [*notice.heading(), "", *notice.lines()]
    assert len(french) == len(english)
    # Every line with words differs; the names, numbers and articles in it do not.
    for ours, theirs in zip(french, english, strict=True):
        assert (ours == theirs) == bool(re.fullmatch(r"|  [-+] \S+ \(\w+\)", ours)), ours
        for exact in (r"\S+\.example", r"[0-9a-f]{64}", r"20\S+ \d\d:\d\d\S*", r"\d{8}T\d{6}Z", r"6-1 al\. 1|art\. \d"):
            assert re.findall(exact, ours) == re.findall(exact, theirs)


def test_the_heading_says_which_list_and_how_to_compare_it() -> None:
    notice = eventful()
    text = "\n".join(notice.heading())
    made = notice.release
    for fact in (LIST, made.folder, made.register, made.head.id, f"act {made.head.seq}", shown(made.instant)):
        assert fact in text


def test_test_is_said_loudly_and_production_is_not() -> None:
    assert both(eventful()).count("*** TEST ***") == 2
    production = eventful("production")
    assert "TEST" not in both(production)
    assert "environment production" in both(production)
    assert both(production).startswith(f"{LIST} ")


def test_the_subject_is_fit_for_a_mail() -> None:
    for environment in ("test", "production"):
        subject = eventful(environment).subject()
        assert subject.isascii()
        assert subject.isprintable()


def test_nobody_is_named() -> None:
    text = both(eventful())
    assert not re.search(r"agent-|head-1|person-", text)


def test_two_readers_of_the_same_step_hold_equal_notices() -> None:
    assert eventful() == eventful()
