"""Replaying and auditing: the number of the act at fault, every fault of a register at once, and no fault twice."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest
from kit.chain import Chain, snapshot
from kit.fixed import DAY, HOUR, NONCE, SALT, START, WEEK, key_text, names
from kit.forged import envelope, forged_line, resigned
from kit.replaying import audit, fold

from blocklist.audit.inspection import Fault
from blocklist.base.errors import RefusedError, VerificationError
from blocklist.keys.encoding import PublicKey
from blocklist.register import acts
from blocklist.register.acts import read_lines
from blocklist.register.decoders import CLOCK_TOLERANCE, ActError, format_instant
from blocklist.register.fold import Register
from blocklist.register.policy import check_clock
from blocklist.register.replay import from_beginning

SECOND = timedelta(seconds=1)
SMALL = {"protected": ["protected.example"], "platforms": {}}


def new_history() -> Chain:
    """Twenty acts; what a fault in one of them must not spoil is in the others."""
    chain = Chain(officers=(("agent-1", "agent"), ("agent-2", "agent"), ("agent-3", "agent")), change=SMALL)
    for number in range(5):  # acts 5 to 14
        chain.block(f"n{number}.example")
    chain.remove("n0.example")  # 15
    chain.review("n1.example", until=chain.at + WEEK)  # 16
    chain.add_act("agent-3", acts.Request(to="platform"))  # 17
    chain.add_act("agent-3", acts.Request(to="platform"))  # 18
    chain.add_act("agent-3", acts.Request(to="platform"))  # 19
    chain.add_act("agent-3", acts.Request(to="platform"))  # 20
    return chain


HISTORY = new_history()
LINES = tuple(HISTORY.lines)
NOW = HISTORY.at
FREE = (17, 18, 19)  # acts that nothing builds on


def faults(lines: Sequence[bytes]) -> list[int]:
    return [fault.act for fault in audit(lines, NOW)[1]]


def spoilt(**changed: bytes | None) -> list[bytes]:
    """The lines with some replaced (`a17`), or taken out."""
    lines: dict[int, bytes | None] = dict(enumerate(LINES, 1)) | {int(name[1:]): new for name, new in changed.items()}
    return [line for line in lines.values() if line is not None]


def altered(number: int) -> bytes:
    return forged_line(LINES[number - 1], at=format_instant(HISTORY.signed[number - 1].act.at - SECOND))


# --- Replay ------------------------------------------------------------------------------------------------------


def test_a_replay_yields_the_register_after_every_act() -> None:
    for number, (signed, register) in enumerate(from_beginning(LINES, NOW), 1):
        assert signed.id == register.head.id == HISTORY.signed[number - 1].id
        assert register.head.seq == number
    assert snapshot(register) == snapshot(HISTORY.register)


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
@pytest.mark.parametrize("line", [b"", b"{}", b"\xff" * 100, LINES[0][:-1]])
def test_a_replay_names_the_act_that_cannot_be_read(number: int, line: bytes) -> None:
    with pytest.raises(VerificationError, match=rf"^act {number}: "):
        list(from_beginning((*LINES[: number - 1], line, *LINES[number:]), NOW))


def test_a_replay_says_what_rule_an_act_breaks() -> None:
    chain = new_history()
    body = acts.Remove(names=names("n0.example"), reason="lawful")
    line = chain.make("agent-1", body).line()
    with pytest.raises(VerificationError, match=r"^act 21: n0\.example was removed$") as caught:
        list(from_beginning((*chain.lines, line), chain.at))
    assert caught.value.exit_code == 3
    assert caught.value.hint == ("what has ended stays ended; to block it again use 'blocklist add'")


def test_every_signature_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    verify = PublicKey.verify

    def counted(self: PublicKey, signature: bytes, content: bytes) -> None:
        seen.append(signature)
        verify(self, signature, content)

    monkeypatch.setattr(PublicKey, "verify", counted)
    assert len(list(from_beginning(LINES, NOW))) == len(LINES)
    assert set(seen) == {signed.signature for signed in HISTORY.signed}
    assert len(seen) == len(LINES)


def test_an_agent_who_has_another_key() -> None:
    """What the old key signs after that is refused."""
    chain = Chain(officers=(("agent-1", "agent"), ("agent-2", "agent")))
    while len(chain.signed) < 8:
        chain.add_act("agent-2", acts.Request(to="platform"))
    chain.add_act("head-1", acts.Revoke(officer="agent-1"))
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=key_text("agent-9")))
    old = chain.make("agent-1", acts.Request(to="platform"))
    with pytest.raises(VerificationError, match=r"^act 11: it is not signed with the key of agent-1"):
        list(from_beginning([*chain.lines, old.line()], chain.at))
    chain.add_act("agent-1", acts.Request(to="platform"), signed_by="agent-9")
    assert len(list(from_beginning(chain.lines, chain.at))) == 11


def test_what_is_wrong_with_the_file_is_said_after_what_is_wrong_with_the_acts_before() -> None:
    def cut_off() -> Iterator[bytes]:
        yield from LINES[:9]
        yield altered(10)
        raise ActError("cut off")

    with pytest.raises(VerificationError, match=r"^act 10: "):
        list(from_beginning(cut_off(), NOW))


def test_a_replay_of_nothing_is_nothing() -> None:
    assert list(from_beginning((), NOW)) == []


@pytest.mark.parametrize("ahead", [timedelta(0), CLOCK_TOLERANCE])
def test_an_honest_clock_may_be_five_minutes_ahead(ahead: timedelta) -> None:
    assert timedelta(minutes=5) == CLOCK_TOLERANCE
    check_clock(HISTORY.signed[-1].act, NOW - ahead)
    with pytest.raises(VerificationError, match="it is dated 2026-11-22T12:00:20Z, which is in the future"):
        check_clock(HISTORY.signed[-1].act, NOW - CLOCK_TOLERANCE - SECOND)


# --- Lines -------------------------------------------------------------------------------------------------------


def test_lines_are_read_as_they_were_written() -> None:
    assert list(read_lines(io.BytesIO(b"".join(line + b"\n" for line in LINES)))) == list(LINES)
    assert list(read_lines(io.BytesIO(b""))) == []


@pytest.mark.parametrize("content", [LINES[0], LINES[0] + b"\n" + LINES[1], LINES[0] + b"\n" + b"x"])
def test_a_file_that_was_cut_off_is_not_read_as_shorter(content: bytes) -> None:
    with pytest.raises(ActError, match="cut off"):
        list(read_lines(io.BytesIO(content)))


def test_a_line_without_bounds_is_not_read_into_memory() -> None:
    class Endless(io.BytesIO):
        taken = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= acts.MAX_LINE + 2
            self.taken += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(ActError, match="too long"):
        list(read_lines(stream))
    assert stream.taken <= acts.MAX_LINE + 2


@pytest.mark.parametrize("content", [b"\n", b"\n\n", LINES[0] + b"\n\n", LINES[0] + b"\r\n"])
def test_a_blank_line_or_another_line_s_end_is_a_fault(content: bytes) -> None:
    with pytest.raises(VerificationError):
        list(from_beginning(read_lines(io.BytesIO(content)), NOW))


# --- Fold --------------------------------------------------------------------------------------------------------


def test_a_fold_is_what_the_acts_said_at_that_instant() -> None:
    for number, signed in enumerate(HISTORY.signed, 1):
        at = signed.act.at
        register = fold(HISTORY.signed, at)
        assert register.head == signed.ref
        assert snapshot(register) == snapshot(fold(HISTORY.signed[:number], at + DAY))
    assert snapshot(fold(HISTORY.signed, START)) == snapshot(Register())


def test_a_fold_ignores_what_is_later_even_if_it_is_false() -> None:
    """An act that comes after the instant is not looked at, genuine or not."""
    late = acts.read_line(altered(20))
    later = acts.SignedAct(late.act, late.payload, late.keyid, late.signature)
    object.__setattr__(later, "act", acts.Act(**{**vars_of(late.act), "at": NOW + HOUR}))
    assert fold((*HISTORY.signed[:19], later), NOW).head.seq == 19
    with pytest.raises(VerificationError):
        fold((*HISTORY.signed[:19], later), NOW + HOUR)


def vars_of(act: acts.Act) -> dict[str, object]:
    return {name: getattr(act, name) for name in ("seq", "at", "by", "body", "nonce", "register", "prev", "dossier")}


def test_a_fold_raises_what_the_register_raises() -> None:
    chain = new_history()
    bad = chain.make("agent-1", acts.Remove(names=names("never.example"), reason="lawful"))
    with pytest.raises(RefusedError, match="never listed"):
        fold((*chain.signed, bad), chain.at)


# --- Audit -------------------------------------------------------------------------------------------------------


def test_an_audit_of_an_honest_register_finds_nothing() -> None:
    register, found = audit(LINES, NOW)
    assert found == []
    assert snapshot(register) == snapshot(HISTORY.register)
    assert audit((), NOW)[1] == []


@pytest.mark.parametrize("number", FREE)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(altered, id="altered"),
        pytest.param(lambda number: b"{}", id="unreadable"),
        pytest.param(lambda number: LINES[number - 1][:-1], id="cut"),
        pytest.param(lambda number: resigned(HISTORY.signed[number - 1], "stranger"), id="signed by a stranger"),
        pytest.param(lambda number: resigned(HISTORY.signed[number - 1], register="1" * 64), id="another register's"),
        pytest.param(lambda number: resigned(HISTORY.signed[number - 1], seq=2**53), id="a number far away"),
        pytest.param(lambda number: LINES[0], id="founds again"),
    ],
)
def test_one_bad_act_is_one_fault_and_one_broken_link(number: int, spoil: Callable[[int], bytes]) -> None:
    found = faults(spoilt(**{f"a{number}": spoil(number)}))
    assert found[0] in (number, 2**53)
    assert found[1:] in ([], [number + 1]) or found[0] == 2**53


def test_an_act_that_its_officer_signed_anew_breaks_the_next_link_only() -> None:
    again = resigned(HISTORY.signed[16], dossier="d" * 64)
    register, found = audit(spoilt(a17=again), NOW)
    assert [fault.act for fault in found] == [18]
    assert register.ids[17:] == HISTORY.register.ids[17:]


def test_a_dropped_act_is_one_fault_at_the_act_after_it() -> None:
    register, found = audit(spoilt(a17=None), NOW)
    assert found == [Fault(18, "it does not follow act 16")]
    assert register.ids[17:] == HISTORY.register.ids[17:]
    assert register.ids[16] == ""
    assert faults(spoilt(a17=None, a18=None)) == [19]
    assert faults(spoilt(a20=None)) == []  # only somebody who saw the head can tell


def test_an_act_that_is_there_twice_is_one_fault() -> None:
    for number in range(2, len(LINES) + 1):
        assert faults((*LINES[:number], LINES[number - 1], *LINES[number:])) == [number]


def test_a_forged_act_put_in_between_is_one_fault() -> None:
    for number in range(2, len(LINES) + 1):
        forged = resigned(HISTORY.signed[number - 1], "stranger")
        assert faults((*LINES[: number - 1], forged, *LINES[number - 1 :])) == [number]


def test_two_acts_in_the_wrong_order_are_two_faults() -> None:
    assert faults((*LINES[:16], LINES[17], LINES[16], *LINES[18:])) == [18, 17]


def test_an_act_that_breaks_a_rule_is_one_fault() -> None:
    """The chain is whole; the act is genuine and says what nobody may say."""
    chain = new_history()
    bad = chain.make("agent-1", acts.Remove(names=names("never.example"), reason="lawful"))
    lines = [*chain.lines, bad.line()]
    last = acts.Act(
        seq=22,
        at=chain.at,
        by="agent-3",
        body=acts.Request(to="platform"),
        nonce=NONCE,
        register=chain.register.id,
        prev=bad.id,
    )
    lines.append(envelope(last.payload(), "agent-3"))
    register, found = audit(lines, chain.at)
    assert [fault.act for fault in found] == [21]
    assert "never listed" in found[0].message
    assert register.head.seq == 22


def test_an_act_of_a_revoked_officer_is_one_fault() -> None:
    chain = new_history()
    chain.add_act("head-1", acts.Revoke(officer="agent-3"))
    late = acts.Act(
        seq=22,
        at=chain.at,
        by="agent-3",
        body=acts.Request(to="platform"),
        nonce=NONCE,
        register=chain.register.id,
        prev=chain.head.id,
    )
    line = envelope(late.payload(), "agent-3")
    assert faults_of(chain, line) == [22]


def faults_of(chain: Chain, *more: bytes) -> list[int]:
    return [fault.act for fault in audit((*chain.lines, *more), chain.at)[1]]


def test_what_builds_on_a_good_act_after_a_bad_link_is_no_fault() -> None:
    """Act 17 is altered; 18 proposes, 19 approves and 20 removes: all of them are genuine and are heard."""
    chain = new_history()
    del chain.signed[17:]
    chain.register = fold(chain.signed, chain.at)
    chain.block("late.example")
    chain.remove("late.example")
    register, found = audit((*chain.lines[:16], altered(17), *chain.lines[17:]), chain.at)
    assert [fault.act for fault in found] == [17, 18]
    assert register.measures().domain["late.example"].reason == "lawful"


def test_what_builds_on_a_bad_act_is_a_fault() -> None:
    """The proposal was altered, so nothing waits for the approval, and nothing was listed that could be removed."""
    assert faults(spoilt(a5=altered(5))) == [5, 6, 15]


def test_an_act_from_the_future_is_one_fault() -> None:
    chain = new_history()
    now = chain.at
    chain.add_act("agent-1", acts.Request(to="platform"), later=HOUR)
    ahead = chain.signed[-1]
    back = acts.Act(
        seq=22,
        at=now,
        by="agent-3",
        body=acts.Request(to="platform"),
        nonce=NONCE,
        register=chain.register.id,
        prev=ahead.id,
    )
    lines = (*chain.lines, envelope(back.payload(), "agent-3"))
    assert [fault.act for fault in audit(lines, now)[1]] == [21]
    assert [fault.act for fault in audit(lines, now + HOUR)[1]] == [22]  # by then it is the other that lies


def test_all_faults_are_found_at_once() -> None:
    chain = new_history()
    for _ in range(20):
        chain.add_act("agent-3", acts.Request(to="platform"))
    lines = chain.lines  # 40 acts
    lines[21] = b"not an act"  # 22, and the link of 23
    lines[25] = forged_line(lines[25], dossier="d" * 64)  # 26, and the link of 27
    lines[30] = resigned(chain.signed[30], "stranger")  # 31, and the link of 32
    lines.insert(36, lines[35])  # 36, twice
    del lines[38]  # 38 is gone (36 is there twice), which 39 shows
    found = [fault.act for fault in audit(lines, chain.at)[1]]
    assert found == [22, 23, 26, 27, 31, 32, 36, 39]


def test_without_a_founding_act_nothing_can_be_judged() -> None:
    assert [fault.act for fault in audit(LINES[1:], NOW)[1]] == [1]
    assert [fault.act for fault in audit((b"{}", *LINES[1:]), NOW)[1]] == [1, 2]
    assert [fault.act for fault in audit((altered(1), *LINES[1:]), NOW)[1]] == [1]
    register, _ = audit((b"{}",), NOW)
    assert register.ids == []


def test_an_audit_never_lists_what_a_replay_would_refuse() -> None:
    """A forged approval lists nothing, however the audit goes on after it."""
    chain = new_history()
    proposed = chain.propose("forged.example")
    approval = acts.Act(
        seq=22,
        at=chain.at,
        by="agent-2",
        body=acts.Approve(act=proposed.ref, names=names("forged.example"), salt=SALT),
        nonce=NONCE,
        register=chain.register.id,
        prev=chain.head.id,
    )
    register, found = audit((*chain.lines, envelope(approval.payload(), "agent-1")), chain.at)
    assert [fault.act for fault in found] == [22]
    assert "forged.example" not in register.in_force(chain.at).domain


def test_an_appointment_that_was_altered_appoints_nobody() -> None:
    chain = Chain(officers=(), change=SMALL)
    chain.appoint("agent-1")
    lines = [chain.lines[0], forged_line(chain.lines[1], key=key_text("stranger"))]
    register, found = audit(lines, chain.at)
    assert [fault.act for fault in found] == [2]
    assert register.in_office("agent-1") is None
