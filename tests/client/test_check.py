"""`check` against real resolvers with our zone, and against one that drops, cuts, delays and forges its answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from kit.chain import Chain
from kit.fake_resolver import Fake, Handler, landing
from kit.fixed import DAY, LIST, START, shipped_policy
from kit.servers import Named, Unbound
from kit.shell import Shell
from kit.upstream import Upstream

from blocklist.base.errors import UsageError
from blocklist.client import resolver_check, resolver_query
from blocklist.client.resolver_check import CANARIES, Kind, Question, Verdict, judge, questions
from blocklist.client.resolver_query import Manner, Server
from blocklist.register.policy import Action
from blocklist.release.contents import Snapshot

QUICK = Manner(rate=0, timeout=0.2)
PATIENT = Manner(rate=0, timeout=20)
"""For answers that do come: a busy machine may take its time."""


ONE = [Question(Kind.LISTED, "bad.example", "A")]


def asked(
    handler: Handler, manner: Manner = PATIENT, what: list[Question] = ONE, **rest: Any
) -> tuple[list[Any], Fake]:
    with closing(Fake(handler, **rest)) as fake:
        return resolver_query.ask(fake.server, what, manner, lambda _: None), fake


# Asking


def test_a_lost_packet_is_asked_again() -> None:
    drops = iter([True, True, False])
    (answer,), fake = asked(
        lambda query, _: [] if next(drops) else [landing(query).to_wire()], replace(PATIENT, timeout=0.5)
    )
    assert answer is not None
    assert len(fake.seen) == 3


def test_no_answer_is_none_and_no_verdict() -> None:
    (answer,), fake = asked(lambda *_: [], Manner(rate=0, timeout=0.01))
    assert answer is None
    assert len(fake.seen) == resolver_query.TRIES
    assert judge(ONE[0], answer, shipped_policy()).verdict is Verdict.SILENT


def test_a_cut_answer_is_asked_for_over_tcp() -> None:
    def cut(query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = landing(query)
        if not tcp:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        return [response.to_wire()]

    (answer,), fake = asked(cut)
    assert answer.answer
    assert [tcp for _, tcp in fake.seen] == [False, True]


def test_tcp_only() -> None:
    (answer,), fake = asked(lambda query, _: [landing(query).to_wire()], replace(PATIENT, tcp=True))
    assert answer.answer
    assert fake.seen == [("bad.example", True)]


def test_a_cut_answer_that_tcp_does_not_complete_is_no_answer() -> None:
    def cut(query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.TC
        return [] if tcp else [response.to_wire()]

    assert asked(cut)[0] == [None]


def forged(query: dns.message.Message, how: str) -> bytes:
    response = dns.message.from_wire(landing(query, "203.0.113.66").to_wire())  # or it would share the question
    match how:
        case "id":
            response.id ^= 1
        case "name":
            response.question[0].name = dns.name.from_text("other.example")
        case "type":
            response.question[0].rdtype = dns.rdatatype.MX
        case "a query":
            return query.to_wire()
        case "cut off":
            return response.to_wire()[:-3]
        case "noise":
            return query.id.to_bytes(2) + b"\xff" * 40
        case "short":
            return query.id.to_bytes(2)
        case "nothing":
            return b""
    return response.to_wire()


@pytest.mark.parametrize("how", ["id", "name", "type", "a query", "cut off", "noise", "short", "nothing"])
def test_what_is_no_answer_to_the_question_is_not_believed(how: str) -> None:
    (answer,), _ = asked(lambda query, _: [forged(query, how), landing(query).to_wire()])
    assert [rdata.to_text() for rdata in answer.answer[0]] == ["192.0.2.1"]
    assert asked(lambda query, _: [forged(query, how)], Manner(rate=0, timeout=0.01))[0] == [None]


def test_garbage_over_tcp_is_no_answer() -> None:
    for how in ("id", "noise", "short", "cut off"):
        assert asked(lambda query, _, how=how: [forged(query, how)], replace(QUICK, tcp=True))[0] == [None]


def test_answers_come_in_the_order_of_the_questions() -> None:
    many = [Question(Kind.LISTED, f"name{number}.example", "A") for number in range(300)]
    answers, fake = asked(lambda query, _: [landing(query).to_wire()], what=many)
    assert [answer.question[0].name.to_text(True) for answer in answers] == [question.name for question in many]
    assert len(fake.seen) >= 300


def test_ipv6() -> None:
    (answer,), fake = asked(lambda query, _: [landing(query).to_wire()], family=socket.AF_INET6)
    assert answer is not None
    assert str(fake.server) == f"[::1]:{fake.server.port}"


def test_a_closed_port_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert resolver_query.ask(Server("127.0.0.1", port), ONE, QUICK, lambda _: None) == [None]
    assert resolver_query.ask(Server("127.0.0.1", port), ONE, replace(QUICK, tcp=True), lambda _: None) == [None]


def test_the_rate_is_kept() -> None:
    pace = resolver_query.Pace(100)
    assert [pace.claim(5.0) for _ in range(3)] == pytest.approx([0.0, 0.01, 0.02])
    late = [pace.claim(9.0) for _ in range(7)]
    assert late == pytest.approx([0.0] * 6 + [0.01])  # what was missed in the last 50 ms, and no more
    assert [resolver_query.Pace(0).claim(5.0) for _ in range(2)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("::1", "::1", 53),
        ("[::1]", "::1", 53),
        ("[2001:DB8::1]:853", "2001:db8::1", 853),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Server.read(text) == Server(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "[::1", "[::1]:", "[::1]x53", "1.2.3", ":53", "::1]:5"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="no address of a resolver"):
        Server.read(text)


# Judging


def response(answer: list[tuple[str, str]], rcode: int = 0, code: int | None = None) -> dns.message.Message:
    made = dns.message.make_response(dns.message.make_query("bad.example", "A", use_edns=0))
    made.set_rcode(dns.rcode.Rcode(rcode))
    for kind, text in answer:
        made.answer.append(dns.rrset.from_text("bad.example.", 60, "IN", kind, text))
    if code is not None:
        made.use_edns(0, options=[dns.edns.EDEOption(code)])
    return made


ADDRESS = Action("address", ("192.0.2.1",), ("2001:db8::1",))
ONLY_4 = Action("address", ("192.0.2.1",))
NXDOMAIN, CNAME = Action("nxdomain"), Action("cname", target="landing.example")
GOOD, BAD = Verdict.AS_DECIDED, Verdict.NOT_BLOCKED


@pytest.mark.parametrize(
    ("action", "kind", "name", "type_", "answer", "rcode", "verdict"),
    [
        (ADDRESS, Kind.LISTED, "bad.example", "A", [("A", "192.0.2.1")], 0, GOOD),
        (ADDRESS, Kind.LISTED, "bad.example", "AAAA", [("AAAA", "2001:DB8:0::1")], 0, GOOD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [("CNAME", "x.example."), ("A", "192.0.2.1")], 0, BAD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [("A", "203.0.113.1")], 0, BAD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [("A", "192.0.2.1"), ("A", "203.0.113.1")], 0, BAD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [], 0, BAD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [], 3, BAD),
        (ADDRESS, Kind.LISTED, "a_b.example", "A", [], 3, Verdict.UNCLEAR),
        (ADDRESS, Kind.LISTED, "a_b.example", "A", [("A", "203.0.113.1")], 0, BAD),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [], 2, Verdict.FAILED),
        (ADDRESS, Kind.LISTED, "bad.example", "A", [], 5, Verdict.FAILED),
        (ONLY_4, Kind.LISTED, "bad.example", "AAAA", [], 0, GOOD),
        (ONLY_4, Kind.LISTED, "bad.example", "AAAA", [("AAAA", "2001:db8::7")], 0, BAD),
        (NXDOMAIN, Kind.LISTED, "bad.example", "A", [], 3, GOOD),
        (NXDOMAIN, Kind.LISTED, "bad.example", "A", [], 0, GOOD),
        (NXDOMAIN, Kind.LISTED, "bad.example", "A", [("A", "0.0.0.0")], 0, GOOD),  # noqa: S104
        (NXDOMAIN, Kind.LISTED, "bad.example", "A", [("A", "203.0.113.1")], 0, BAD),
        (CNAME, Kind.LISTED, "bad.example", "A", [("CNAME", "LANDING.example.")], 0, GOOD),
        (CNAME, Kind.LISTED, "bad.example", "A", [("CNAME", "other.example.")], 0, BAD),
        (ADDRESS, Kind.REMOVED, "old.example", "A", [("A", "203.0.113.1")], 0, GOOD),
        (ADDRESS, Kind.REMOVED, "old.example", "A", [], 3, GOOD),
        (ADDRESS, Kind.REMOVED, "old.example", "A", [("A", "192.0.2.1")], 0, Verdict.BLOCKED),
        (NXDOMAIN, Kind.REMOVED, "old.example", "A", [], 3, Verdict.UNCLEAR),
        (NXDOMAIN, Kind.CANARY, "big.example", "A", [], 3, Verdict.BLOCKED),
        (NXDOMAIN, Kind.CANARY, "big.example", "AAAA", [("AAAA", "::")], 0, Verdict.BLOCKED),
        (CNAME, Kind.CANARY, "big.example", "A", [("CNAME", "landing.example.")], 0, Verdict.BLOCKED),
        (CNAME, Kind.CANARY, "big.example", "A", [("CNAME", "cdn.example.")], 0, GOOD),
    ],
)
def test_judging(
    action: Action, kind: Kind, name: str, type_: str, answer: list[tuple[str, str]], rcode: int, verdict: Verdict
) -> None:
    policy = replace(shipped_policy(), action=action)
    assert judge(Question(kind, name, type_), response(answer, rcode), policy).verdict is verdict


@pytest.mark.parametrize("code", [15, 16, 17])
def test_a_resolver_that_says_that_it_blocks_is_believed(code: int) -> None:
    policy = replace(shipped_policy(), action=NXDOMAIN)
    removed = Question(Kind.REMOVED, "old.example", "A")
    assert judge(removed, response([], 3, code), policy).verdict is Verdict.BLOCKED
    assert judge(removed, response([], 3, 22), policy).verdict is Verdict.UNCLEAR


def test_only_what_must_be_blocked_is_wrong_without_an_answer() -> None:
    for kind in Kind:
        for verdict in (Verdict.FAILED, Verdict.SILENT):
            assert resolver_check.Result(Question(kind, "a.example", "A"), verdict, "").is_wrong is kind.is_blocked


# What is asked


def by_kind(chain: Chain, sample: int, day: date, later: int = 1) -> dict[Kind, list[str]]:
    instant = chain.at + later * DAY
    made = questions(Snapshot.take(chain.register, instant), chain.register.measures(), day, sample)
    return {kind: [entry.name for entry in made if entry.kind is kind and entry.type == "A"] for kind in Kind}


def test_names_of_every_kind_are_asked_for() -> None:
    chain = Chain()
    chain.block(
        "bad.example", "old.example", "again.example", "above.example", hosts=["host.other.example", "x.above.example"]
    )
    chain.remove("old.example")
    chain.remove("again.example")
    chain.block("again.example", review_by=chain.at + 3 * DAY)
    chain.remove(hosts=["x.above.example"])
    made = by_kind(chain, 0, START.date())
    assert made[Kind.PROBE] == [chain.policy.probe]
    assert made[Kind.LISTED] == ["above.example", "again.example", "bad.example", "host.other.example"]
    assert [name.partition(".")[2] for name in made[Kind.BELOW]] == ["above.example", "again.example", "bad.example"]
    assert made[Kind.REMOVED] == ["old.example"]  # and not what is blocked again, or as part of another
    assert len(made[Kind.CANARY]) == CANARIES
    assert set(made[Kind.CANARY]) <= chain.policy.protected
    lapsed = by_kind(chain, 0, START.date(), later=4)
    assert "again.example" in lapsed[Kind.REMOVED]
    assert by_kind(chain, 0, START.date(), later=31)[Kind.REMOVED] == ["again.example"]


def test_a_sample_is_the_same_all_day_and_another_tomorrow() -> None:
    chain = Chain()
    chain.block(*(f"name{number}.example" for number in range(15)))
    today, again = (by_kind(chain, 5, START.date()) for _ in range(2))
    tomorrow = by_kind(chain, 5, (START + DAY).date())
    assert len(today[Kind.LISTED]) == 5
    assert today[Kind.LISTED] == again[Kind.LISTED] != tomorrow[Kind.LISTED]
    assert today[Kind.CANARY] == again[Kind.CANARY] != tomorrow[Kind.CANARY]


# The command, with real servers


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with Upstream(tmp_path_factory.mktemp("servers") / "upstream") as running:
        yield running


def test_a_resolver_with_our_zone_does_as_decided(listed: Shell, tmp_path: Path, upstream: Upstream) -> None:
    zone = listed.release / "rpz.zone"
    for server, configuration in ((Named, "bind-rpz.conf"), (Unbound, "unbound-rpz.conf")):
        with server(tmp_path / server.__name__, configuration, upstream.port, zone, upstream.anchor) as running:
            address = f"127.0.0.1:{running.port}"
            for more in ([], ["--tcp"]):
                made = listed.json("check", "--resolver", address, "--rate", "0", *more)
                assert made["as_decided"] is True
                assert made["counts"]["listed"] == {"as-decided": 2}
                assert made["counts"]["below"] == {"as-decided": 2}
                assert made["counts"]["probe"] == {"as-decided": 2}
                assert sum(made["counts"]["canary"].values()) == 2 * CANARIES
            said = listed("check", "--resolver", address, "--rate", "0").stderr
            assert "nothing is against what was decided" in said


def test_a_resolver_without_our_zone_is_found_out(listed: Shell, upstream: Upstream) -> None:
    made = listed.json("check", "--resolver", f"127.0.0.1:{upstream.port}", "--rate", "0", expect=1)
    assert made["as_decided"] is False
    wrong = {(entry["kind"], entry["name"], entry["verdict"]) for entry in made["findings"] if entry["wrong"]}
    assert ("listed", "bad.example", "not-blocked") in wrong
    assert "not-blocked" in made["counts"]["probe"]
    result = listed("check", "--resolver", f"127.0.0.1:{upstream.port}", expect=1)
    assert "203.0.113.7" in result.stdout
    assert "not as decided" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80


def fake_answers(answer: Callable[[dns.message.Message], dns.message.Message]) -> Handler:
    return lambda query, _: [answer(query).to_wire()]


@pytest.mark.parametrize(("rcode", "word"), [(dns.rcode.SERVFAIL, "SERVFAIL"), (dns.rcode.REFUSED, "REFUSED")])
def test_a_failing_resolver_is_reported_as_that(listed: Shell, rcode: dns.rcode.Rcode, word: str) -> None:
    def fail(query: dns.message.Message) -> dns.message.Message:
        made = dns.message.make_response(query)
        made.set_rcode(rcode)
        return made

    with closing(Fake(fake_answers(fail))) as fake:
        made = listed.json("check", "--resolver", str(fake.server), "--rate", "0", expect=1)
        assert {entry["verdict"] for entry in made["findings"]} == {"failed"}
        assert {entry["answer"] for entry in made["findings"]} == {word}
        assert "not blocked" not in listed("check", "--resolver", str(fake.server), "--rate", "0", expect=1).output


def test_everything_blocked_is_found_out(listed: Shell) -> None:
    policy = shipped_policy()

    def block(query: dns.message.Message) -> dns.message.Message:
        made = dns.message.make_response(query)
        question = query.question[0]
        address = policy.action.a[0] if question.rdtype == dns.rdatatype.A else policy.action.aaaa[0]
        made.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, address))
        return made

    with closing(Fake(fake_answers(block))) as fake:
        made = listed.json("check", "--resolver", str(fake.server), "--rate", "0", expect=1)
    assert {(entry["kind"], entry["verdict"]) for entry in made["findings"]} == {("canary", "blocked")}


def test_a_silent_resolver_is_unreachable(listed: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocklist.client.resolver_query.TIMEOUT", 0.01)
    with closing(Fake(lambda *_: [])) as fake:
        listed.refused("check", "--resolver", str(fake.server), "--rate", "0", code=5, message="does not answer")


def test_a_subscriber_checks_what_it_accepted(listed: Shell, tmp_path: Path, upstream: Upstream) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    zone = config.parent / "rpz.zone"
    with Named(tmp_path / "named", "bind-rpz.conf", upstream.port, zone, upstream.anchor) as running:
        words = ("check", "--resolver", f"127.0.0.1:{running.port}", "--rate", "0")
        assert listed.json(*words, "-c", config)["as_decided"] is True
        assert listed.json("-C", config.parent, *words)["as_decided"] is True


def test_without_a_release_there_is_nothing_to_compare_with(shell: Shell) -> None:
    shell.refused("check", "--resolver", "127.0.0.1", code=2, message="nothing was published")
    shell("publish")
    config = shell.subscribe()
    shell.refused("check", "--resolver", "127.0.0.1", "-c", config, code=2, message="accepted no release")


def test_acts_that_are_not_those_of_the_release_are_refused(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    path = config.with_suffix(".state") / "lists" / LIST / "accepted.json"
    record = json.loads(path.read_bytes())
    record["newest"]["head"]["id"] = "0" * 64
    path.write_text(json.dumps(record))
    listed.refused("check", "--resolver", "127.0.0.1", "-c", config, code=3, message="do not end at the head")
