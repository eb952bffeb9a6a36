"""Plans and brakes, and the golden release: the same acts, policy and instant give the same bytes (promise 5)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.chain import Chain
from kit.fixed import DAY, HOUR, START, WEEK, key, names, shipped_policy
from kit.paths import TESTS
from kit.site import no_passphrase
from tuf.api.metadata import Metadata

from blocklist.base import durable
from blocklist.base.errors import RefusedError
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Names
from blocklist.publisher.tree import Pin, Repository
from blocklist.publisher.tree_writer import commit, release_keys, staged
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Branch
from blocklist.register.policy import Brakes
from blocklist.register.replay import from_beginning
from blocklist.release import contents, formats, manifest
from blocklist.release.contents import Plan, Snapshot, brakes, make_plan, require_publishable
from blocklist.trust.online_keys import sealed

GOLDEN = TESTS / "golden"
NONE = Names()
LIMITS = Brakes(added=20, added_percent=30, removed=20)


def taken(chain: Chain, at: datetime | None = None) -> Snapshot:
    return Snapshot.take(chain.register, at or chain.at)


def plan_between(chain: Chain, before: Snapshot | None, at: datetime | None = None) -> Plan:
    return make_plan(before, taken(chain, at), chain.register.measures())


def many(count: int, prefix: str = "n") -> list[str]:
    return [f"{prefix}{number}.example" for number in range(count)]


# --- Plans ------------------------------------------------------------------------------------------------------------


def test_a_first_plan_adds_everything() -> None:
    chain = Chain()
    chain.block("one.example", hosts=["www.two.example"])
    plan = plan_between(chain, None)
    assert plan.added == names("one.example", hosts=["www.two.example"])
    assert (plan.since, plan.before, plan.content_changed) == (None, 0, True)
    assert len(plan.removed) == len(plan.lapsed) == len(plan.renewed) == 0


def test_even_an_empty_list_has_a_first_release() -> None:
    assert plan_between(Chain(), None).content_changed


def test_what_acts_and_dates_change() -> None:
    chain = Chain()
    chain.block("gone.example", "kept.example", "later.example")
    chain.block("brief.example", review_by=chain.at + HOUR)
    before = taken(chain)
    chain.block("new.example")
    chain.remove("gone.example")
    chain.review("later.example", until=chain.at + 10 * WEEK)
    plan = plan_between(chain, before, chain.at + HOUR)
    assert plan.added == names("new.example")
    assert plan.removed == names("gone.example")
    assert plan.lapsed == names("brief.example")
    assert plan.renewed == names("later.example")
    assert (plan.before, plan.annulled) == (4, 0)
    assert plan.content_changed


def test_a_measure_ends_at_its_date_not_a_second_later() -> None:
    chain = Chain()
    chain.block("brief.example", review_by=chain.at + HOUR)
    end = START + timedelta(seconds=3) + HOUR  # found and two appointments took three seconds
    assert chain.register.measures().domain["brief.example"].review_by == end
    before = taken(chain)
    assert not plan_between(chain, before, end - timedelta(seconds=1)).content_changed
    assert plan_between(chain, before, end).lapsed == names("brief.example")


def test_what_lapsed_and_was_then_annulled_is_not_counted_as_removed_by_an_act() -> None:
    chain = Chain()
    chain.block(*many(30))
    before = taken(chain)
    chain.remove(*many(30), reason="annulled")
    plan = plan_between(chain, before)
    assert (len(plan.removed), plan.annulled) == (30, 30)
    assert brakes(plan, LIMITS) == []


def test_the_head_alone_is_no_content() -> None:
    chain = Chain()
    chain.block("one.example")
    before = taken(chain)
    chain.appoint("agent-3")
    chain.propose("pending.example")
    plan = plan_between(chain, before)
    assert not plan.content_changed


def test_announcements_and_policies_are_content() -> None:
    chain = Chain()
    before = taken(chain)
    made = chain.add_act("agent-1", acts.Request(to="host", names=names("asked.example")))
    announced = plan_between(chain, before)
    assert (announced.announced, announced.content_changed) == (True, True)
    before = taken(chain)
    chain.add_act("agent-1", acts.Answer(request=made.ref, outcome="refused"))
    assert plan_between(chain, before).announced
    before = taken(chain)
    value = chain.policy.to_json() | {"ttl": 60}
    chain.add_act("head-1", acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1))
    changed = plan_between(chain, before)
    assert (changed.policy_changed, changed.announced, changed.content_changed) == (True, False, True)


def test_a_name_that_becomes_protected_is_removed() -> None:
    chain = Chain()
    chain.block("one.example", "two.example")
    before = taken(chain)
    protected = sorted({*chain.policy.protected, "two.example"})
    value = chain.policy.to_json() | {"protected": protected}
    chain.add_act("head-1", acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1))
    assert plan_between(chain, before).removed == names("two.example")


def test_the_checksum_names_the_change_and_not_the_clock() -> None:
    chain = Chain()
    chain.block("one.example", "two.example")
    before = taken(chain)
    chain.block("three.example")
    plan = plan_between(chain, before)
    assert re.fullmatch("[0-9a-f]{32}", plan.checksum)
    assert plan.checksum == plan_between(chain, before, chain.at + HOUR).checksum
    chain.appoint("agent-3")
    assert plan.checksum == plan_between(chain, before).checksum
    seen = {plan.checksum, plan_between(chain, None).checksum}
    chain.remove("two.example")
    seen.add(plan_between(chain, before).checksum)
    chain.block("four.example")
    seen.add(plan_between(chain, before).checksum)
    later = Snapshot.take(chain.register, chain.at)
    seen.add(make_plan(later, later, chain.register.measures()).checksum)
    assert len(seen) == 5


def test_the_checksum_tells_scopes_and_signs_apart() -> None:
    def checksum(added: Names = NONE, removed: Names = NONE, lapsed: Names = NONE) -> str:
        return Plan(7, added, removed, lapsed, NONE, 0, 9, False, False).checksum

    found = [
        checksum(),
        checksum(added=names("a.test")),
        checksum(added=names(hosts=["a.test"])),
        checksum(removed=names("a.test")),
        checksum(added=names("a.test", "b.test")),
        checksum(added=names("a.test"), removed=names("b.test")),
        checksum(added=names("b.test"), removed=names("a.test")),
    ]
    assert len(set(found)) == len(found)
    # How a name ends is not what a person accepts, that it ends is.
    assert checksum(removed=names("a.test"), lapsed=names("b.test")) == checksum(removed=names("a.test", "b.test"))


# --- Brakes -----------------------------------------------------------------------------------------------------------


def plan_of(
    added: int = 0, removed: int = 0, lapsed: int = 0, annulled: int = 0, before: int = 0, renewed: int = 0
) -> Plan:
    def some(count: int) -> Names:
        return names(*many(count)) if count else Names()

    return Plan(1, some(added), some(removed), some(lapsed), some(renewed), annulled, before, False, False)


@pytest.mark.parametrize(
    ("plan", "reasons"),
    [
        (plan_of(added=20), []),
        (plan_of(added=21), ["21 names are added, more than 20"]),
        (plan_of(added=20, before=10), []),  # 200 percent of a short list is nothing
        (plan_of(added=20, before=100), []),
        (plan_of(added=20, before=66), []),
        (
            plan_of(added=31, before=101),
            ["31 names are added, more", "31 names are added to 101, more than 30 percent"],
        ),
        (plan_of(added=30, before=101), ["30 names are added, more"]),
        (plan_of(removed=20, before=20), []),
        (plan_of(removed=21, before=21), ["21 of 21 names are removed by acts"]),
        (plan_of(removed=21, before=41), ["21 of 41 names are removed by acts"]),
        (plan_of(removed=21, before=42), []),  # not over half
        (plan_of(removed=41, annulled=21, before=41), []),  # twenty of them are an office's decision
        (plan_of(removed=500, annulled=500, before=500), []),
        (plan_of(lapsed=500, before=500), []),
        (plan_of(removed=20, lapsed=480, before=500), []),
        (plan_of(renewed=500, before=500), []),
        (plan_of(added=21, removed=21, before=30), ["21 names are added, more", "21 of 30 names are removed by acts"]),
    ],
)
def test_brakes(plan: Plan, reasons: list[str]) -> None:
    found = brakes(plan, LIMITS)
    assert len(found) == len(reasons)
    assert all(text.startswith(reason) for text, reason in zip(found, reasons, strict=True))


def test_the_percentage_brake_by_itself() -> None:
    assert brakes(plan_of(added=31, before=101), Brakes(1000, 30, 20)) == [
        "31 names are added to 101, more than 30 percent"
    ]
    assert brakes(plan_of(added=30, before=101), Brakes(1000, 30, 20)) == []
    assert brakes(plan_of(added=90, before=100), Brakes(1000, 30, 20)) == []


def test_promise_6_lapses_and_annulments_never_brake() -> None:
    """Real ones, of a whole list, under a policy whose brakes allow nothing."""
    chain = Chain()
    chain.block(*many(30), review_by=chain.at + DAY)
    chain.block(*many(30, "a"))
    before = taken(chain)
    chain.remove(*many(30, "a"), reason="annulled")
    plan = plan_between(chain, before, chain.at + 2 * DAY)
    assert (len(plan.lapsed), plan.annulled) == (30, 30)
    assert brakes(plan, Brakes(0, 0, 0)) == []


# --- What can be published --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "addresses", "refused"),
    [
        ("production", ["192.0.2.1"], True),
        ("production", ["10.0.0.1"], True),
        ("production", ["9.9.9.9"], False),
        ("test", ["192.0.2.1"], False),
    ],
)
def test_landing_addresses(environment: str, addresses: list[str], refused: bool) -> None:
    chain = Chain(environment=environment, change={"action": {"kind": "address", "a": addresses}})
    if refused:
        with pytest.raises(RefusedError, match=addresses[0]) as caught:
            require_publishable(taken(chain))
        assert "adopts a policy" in caught.value.hint
    else:
        require_publishable(taken(chain))


def test_changes_say_until_when_providers_have_to_act() -> None:
    chain = Chain()
    chain.block("one.example")
    before = taken(chain)
    chain.remove("one.example")
    chain.block("two.example", hosts=["www.three.example"])
    now = taken(chain)
    plan = plan_between(chain, before)
    told = json.loads(b"".join(contents.changes(before, now, plan)))
    assert told["release"] == now.release().facts()
    assert told["since"] == {"number": int(before.instant.timestamp()), "head": before.head.to_json()}
    assert told["block_before"] == told["restore_before"] == (chain.at + DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told["added"] == {"domain": ["two.example"], "host": ["www.three.example"]}
    assert told["removed"] == {"domain": ["one.example"], "host": []}
    assert told["lapsed"] == {"domain": [], "host": []}


def test_announcements_are_of_the_last_review_period() -> None:
    chain = Chain()
    made = chain.add_act("agent-1", acts.Request(to="host", names=names("asked.example")))
    chain.add_act("agent-1", acts.Request(to="platform"))
    told = json.loads(b"".join(contents.announced(taken(chain))))
    assert told["requests"] == [
        {
            "act": made.act.seq,
            "to": "host",
            "requested": made.act.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "state": "waiting",
            "names": {"domain": ["asked.example"], "host": []},
        },
        {
            "act": made.act.seq + 1,
            "to": "platform",
            "requested": chain.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "state": "waiting",
        },
    ]
    late = Snapshot.take(chain.register, chain.at + 12 * WEEK + timedelta(seconds=1))
    assert json.loads(b"".join(contents.announced(late)))["requests"] == []


# --- Promise 5: golden files ------------------------------------------------------------------------------------------
#
# To make them anew after a change of the rules (never after a release):
# PYTHONPATH=tests python tests/unit/test_release.py


def golden_policy() -> dict[str, Any]:
    """A policy of its own, so that an edit of the shipped one changes nothing here."""
    return dict(json.loads((GOLDEN / "policy.json").read_bytes()))


def golden_chain() -> Chain:
    """Every kind of name and of ending, at fixed instants, with fixed keys and salts."""
    digests = {"apology-of-terrorism.yaml": "a" * 64, "platforms.yaml": "b" * 64, "protected.yaml": "c" * 64}
    chain = Chain(change=golden_policy(), files=digests)
    chain.block("bad.example", "xn--bcher-kva.example", "a_b.example", hosts=["www.shop.example", "a_b.host.example"])
    chain.block("brief.example", review_by=chain.at + DAY)
    chain.block("removed.example", "annulled.example")
    asked = chain.add_act("agent-1", acts.Request(to="host", names=names("asked.example")))
    chain.add_act("agent-2", acts.Answer(request=asked.ref, outcome="refused"))
    chain.propose("rejected.example")
    chain.propose("pending.example", by="agent-2")
    return chain


def golden_end(chain: Chain) -> None:
    """What happened between the two golden releases."""
    chain.tick(DAY)
    chain.remove("removed.example", reason="lawful")
    chain.remove("annulled.example", reason="annulled")
    chain.block("new.example", "www.shop.example", hosts=["deep.below.bad.example"])
    chain.review("bad.example", until=chain.at + 80 * DAY)


def golden_release() -> tuple[Snapshot, Snapshot, Plan, list[SignedAct]]:
    chain = golden_chain()
    before = taken(chain, START + HOUR)
    golden_end(chain)
    now = taken(chain, START + 2 * DAY)
    return before, now, make_plan(before, now, chain.register.measures()), chain.signed


def golden_contents(before: Snapshot, now: Snapshot, plan: Plan, lines: Iterable[bytes]) -> dict[str, bytes]:
    files = {name: b"".join(chunks) for name, chunks in contents.exports(now, now.policy.formats)}
    files |= {
        manifest.ACTS: b"".join(line + b"\n" for line in lines),
        manifest.CHANGES: b"".join(contents.changes(before, now, plan)),
        manifest.ANNOUNCED: b"".join(contents.announced(now)),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return files | {manifest.SUMS: contents.sums(now, digests)}


EXPORTS = tuple(entry.file for entry in formats.FORMATS.values())
FILES = (*EXPORTS, manifest.CHANGES, manifest.ANNOUNCED, manifest.ACTS, manifest.SUMS)


@pytest.fixture(scope="module")
def golden() -> dict[str, bytes]:
    before, now, plan, signed = golden_release()
    return golden_contents(before, now, plan, (entry.line() for entry in signed))


@pytest.mark.parametrize("name", FILES)
def test_promise_5_the_same_acts_policy_and_instant_give_the_same_bytes(golden: dict[str, bytes], name: str) -> None:
    assert golden[name] == (GOLDEN / name).read_bytes()


def test_promise_5_whoever_has_only_the_acts_gets_the_same_bytes() -> None:
    """An auditor, in ten years, with a file and an instant: nothing else of this machine goes in."""
    lines = (GOLDEN / manifest.ACTS).read_bytes().splitlines()
    since = json.loads((GOLDEN / manifest.CHANGES).read_bytes())["since"]
    before: Snapshot | None = None
    for signed, register in from_beginning(lines, START + 3650 * DAY):
        if signed.ref.to_json() == since["head"]:
            before = Snapshot.take(register, datetime.fromtimestamp(since["number"], UTC))
    assert before is not None
    now = Snapshot.take(register, START + 2 * DAY)
    made = golden_contents(before, now, make_plan(before, now, register.measures()), lines)
    assert made == {name: (GOLDEN / name).read_bytes() for name in FILES}


def test_the_golden_release_shows_what_it_is_for(golden: dict[str, bytes]) -> None:
    zone, told = golden["rpz.zone"].decode(), json.loads(golden[manifest.CHANGES])
    assert "\na_b.example CNAME .\n" in zone
    assert "\na_b.host.example CNAME *.\n" in zone
    assert "below.bad.example" not in zone
    assert told["lapsed"]["domain"] == ["brief.example"]
    assert told["removed"]["domain"] == ["annulled.example", "removed.example"]
    for secret in (b"rejected.example", b"pending.example"):
        assert not [name for name, content in golden.items() if secret in content]


# The published tree of the golden release: its metadata too, but for what ECDSA signs.


def golden_tree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Founded and published with fixed keys: those that `create` generates are made from their order."""
    order = iter(("root", "targets", "snapshot", "timestamp", "list role"))
    monkeypatch.setattr(ed25519.Ed25519PrivateKey, "generate", staticmethod(lambda: key(next(order))))
    before, now, plan, signed = golden_release()
    keys = KeyFolder(folder / "keys", no_passphrase)
    tree = Repository(folder / "exports", folder / "trust")
    tree.create(Pin(now.list_id, "test", now.register, Branch(1, signed[0].ref)), keys, START, encrypt=False)
    monkeypatch.undo()
    files = golden_contents(before, now, plan, (entry.line() for entry in signed))
    sums = files.pop(manifest.SUMS)
    since = {"number": plan.since, "head": before.head.to_json()}
    files |= {manifest.SUMS: sums, manifest.SEAL: sealed(tree.heads, sums, now.instant, keys)}
    signing = release_keys(tree, now.list_id, keys)
    with staged(tree, now.release()) as staging:
        written = {name: durable.write_chunks(staging / name, [text]) for name, text in files.items()}
    commit(tree, now.release(), written, since, signing)
    return tree.path / "metadata"


def without_ecdsa(content: bytes) -> dict[str, Any]:
    """Metadata without what changes with the seal: its digest, and the signature over that."""
    metadata = json.loads(content)
    seal = metadata["signed"]["targets"].pop(f"apology-of-terrorism/{manifest.SEAL}")
    assert seal["length"] > 500
    metadata["signatures"] = [entry["keyid"] for entry in metadata["signatures"]]
    return dict(metadata)


def test_promise_5_the_metadata_are_the_same_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = golden_tree(tmp_path, monkeypatch)
    number = int((START + 2 * DAY).timestamp())
    for name in ("1.root.json", "1.targets.json", f"{number}.snapshot.json", "timestamp.json"):
        assert (made / name).read_bytes() == (GOLDEN / "metadata" / name).read_bytes(), name
    role = f"{number}.apology-of-terrorism.json"
    assert without_ecdsa((made / role).read_bytes()) == json.loads((GOLDEN / "metadata" / role).read_bytes())
    Metadata.from_file(str(made / role))


def write_golden() -> None:
    """Write every golden file; the diff is what a person reads before it is committed."""
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    if not (GOLDEN / "policy.json").exists():
        small = {"protected": ["gouv.example", "hopital.example"], "platforms": {"blog.example": "host"}}
        text = json.dumps(shipped_policy().to_json() | small, ensure_ascii=False, indent=1, sort_keys=True)
        (GOLDEN / "policy.json").write_text(text + "\n")
    before, now, plan, signed = golden_release()
    for name, content in golden_contents(before, now, plan, (entry.line() for entry in signed)).items():
        (GOLDEN / name).write_bytes(content)
    (GOLDEN / "metadata").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        for path in golden_tree(Path(folder), monkeypatch).iterdir():
            content = path.read_bytes()
            if path.name.endswith(".apology-of-terrorism.json"):
                content = json.dumps(without_ecdsa(content), indent=1).encode() + b"\n"
            (GOLDEN / "metadata" / path.name).write_bytes(content)


if __name__ == "__main__":
    write_golden()
