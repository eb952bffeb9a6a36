"""Attacks that take more than one pull, and what is let in beside them; the others are rows of `test_attacks.py`."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.attacks import MANY, braked, extended, forked, lapsing, listed, proposal, removed, with_a_role_below
from kit.fixed import HOUR, LIST
from kit.hostile import (
    EVIL,
    MINUTE,
    Scene,
    Thief,
    branch_of,
    envelope,
    next_line,
    other_signature,
    payload_of,
    public_key,
    ref_of,
    signed_by_two,
    signed_twice,
    under_another_id,
)
from kit.memory import URL, Memory, MemoryStage, endless
from kit.provider import Provider
from kit.site import Site
from tuf.api.metadata import MetaFile

from blocklist.base.errors import BlocklistError, UsageError
from blocklist.base.i18n import quietly
from blocklist.client.rollback import rollback
from blocklist.keys.encoding import signer
from blocklist.names.domain_name import Name, Scope
from blocklist.register import acts
from blocklist.release.contents import BrakeError
from blocklist.release.manifest import ACTS


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, memory: Memory) -> MemoryStage:
    return MemoryStage(scene, tmp_path, memory)


def test_the_kit_itself_is_accepted_when_it_is_honest(stage: MemoryStage) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    assert "four.example" in stage.provider.installed()
    assert stage.provider.accepted()["release"] == int(stage.now.timestamp())


# --- Promise 4: a stolen publisher blocks nothing ---------------------------------------------------------------------


def test_promise_4_accepting_a_plan_does_not_let_a_forgery_in(stage: MemoryStage) -> None:
    stage.thief.offer(add=[EVIL])
    stage.refused("is not what the officers' acts say", accept="any")
    stage.refused("is not what the officers' acts say", accept="any", adopt=True)


def test_promise_4_neither_at_a_first_pull(stage: MemoryStage, tmp_path: Path) -> None:
    stage.thief.offer(add=[EVIL])
    stage.show()
    new = Provider(tmp_path / "new", URL, stage.scene.site.root.read_bytes())
    with pytest.raises(BlocklistError, match="is not what the officers' acts say") as caught:
        new.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert new.kept() == {}


# --- Promise 8: history is evident ------------------------------------------------------------------------------------


def test_promise_8_a_second_signature_is_the_same_act(stage: MemoryStage) -> None:
    """Anybody can compute the other ECDSA signature: it changes the bytes of the line and nothing that was stated."""
    number = next(index for index, line in enumerate(stage.acts) if b'"by":"agent-3"' in payload_of(line))
    lines = [*stage.acts[:number], other_signature(stage.acts[number]), *stage.acts[number + 1 :], *stage.scene.news]
    assert lines[number] != stage.acts[number]
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    assert stage.provider.accepted()["head"] == ref_of(lines).to_json()


def test_promise_8_unknown_rules_ask_for_an_upgrade(stage: MemoryStage) -> None:
    policy = json.loads(payload_of(stage.acts[0]))
    body = acts.Adopt(policy=policy["policy"], files=policy["files"], rules=1)
    line = next_line(stage.acts, "head-1", stage.scene.key("head-1"), body, stage.now)
    newer = envelope(payload_of(line).replace(b'"rules":1', b'"rules":2'), stage.scene.key("head-1"))
    stage.thief.offer([*stage.acts, newer], stage.now)
    assert stage.refused("follows rules 2, this program knows 1").hint == "upgrade blocklist"


def test_promise_8_a_fork_is_refused_until_the_heads_choose_another_branch(stage: MemoryStage) -> None:
    lines = forked(stage, 1, 3)
    old = ref_of(stage.acts)
    stage.thief.offer(lines, stage.now)
    stage.refused("history was rewritten")
    stage.heads.state(branch=branch_of(lines[:-1]))
    stage.thief.offer(lines, stage.now + MINUTE)
    stage.show()
    outcome = stage.provider.pull(stage.now + MINUTE)
    assert outcome.changed
    (note,) = outcome.notes
    assert str(old.seq) in note
    assert old.id in note
    assert ref_of(lines).id in note
    assert stage.provider.accepted()["head"] == ref_of(lines).to_json()
    # The branch that was left is refused from now on.
    stage.kept = stage.provider.kept()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now + 2 * MINUTE)
    stage.refused("not of the branch|history was rewritten", now=stage.now + 3 * MINUTE)


# --- Time: old news, future news, news that never ends ----------------------------------------------------------------


def test_promise_4_a_lapsed_measure_is_not_kept_by_showing_it_anyway(stage: MemoryStage) -> None:
    stage.thief.offer(at=stage.scene.at + 4 * HOUR, keep=lapsing(stage))
    stage.refused("is not what the officers' acts say", now=stage.scene.at + 4 * HOUR)


def test_promise_4_a_lapsed_measure_is_not_kept_by_a_past_instant(stage: MemoryStage) -> None:
    """The measure lapsed two hours before the pull: an instant before that is older than the acts, or stale."""
    lines = extended(stage, "agent-1", proposal(stage, "other.example"), at=stage.scene.at + 4 * HOUR)
    stage.thief.offer(lines, stage.scene.at + 2 * HOUR)
    stage.refused("older than its last act", now=stage.scene.at + 5 * HOUR)


@pytest.mark.parametrize("fresh", [True, False], ids=["a new release", "the accepted one"])
def test_promise_4_the_most_a_thief_can_do_is_withhold_until_the_validity_ends(stage: MemoryStage, fresh: bool) -> None:
    """Metadata that never expire do not keep an old list alive: the policy says how long a release is valid."""
    never = datetime(2199, 1, 1, tzinfo=UTC)
    if fresh:
        stage.thief.offer(expires=never)
    else:
        for role in (LIST, "snapshot", "timestamp"):
            stage.thief.resign(role, lambda signed: setattr(signed, "expires", never))
    end = stage.scene.at + 12 * HOUR + (MINUTE if fresh else timedelta())
    if fresh:
        stage.accepted(end - timedelta(seconds=1))
    else:
        stage.show()
        assert not stage.provider.pull(end - timedelta(seconds=1)).changed
    stage.refused("was valid until", 4, now=end)
    if fresh:
        new = Provider(stage.provider.folder / "new", URL, stage.scene.site.root.read_bytes())
        with pytest.raises(BlocklistError, match="was valid until") as caught:
            new.pull(end, accept="any")
        assert caught.value.exit_code == 4


def test_a_release_of_the_future(stage: MemoryStage) -> None:
    stage.thief.offer(at=stage.now + 5 * MINUTE + timedelta(seconds=1))
    stage.refused("in the future")
    stage.accepted(stage.now + timedelta(seconds=1))  # five minutes are what two honest clocks may differ


def test_an_older_release_is_refused_even_when_the_metadata_are_forgotten(stage: MemoryStage, tmp_path: Path) -> None:
    """TUF's own memory of versions is one line of defence, the record of what was accepted another one."""
    Thief(stage.scene.site, tmp_path / "old", stage.scene.first)
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    shutil.rmtree(stage.provider.state / "metadata")
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(stage.scene.first, stage.thief.exports)
    stage.refused("is older than .* the accepted one")


def test_a_fast_forward_stops_news_until_the_metadata_are_forgotten(stage: MemoryStage) -> None:
    """TUF remembers the highest version it saw: the list stays, the exit code says so, and there is a way out."""
    stage.thief.offer(number=4_000_000_000)
    stage.refused("in the future")
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(stage.scene.site.exports, stage.thief.exports)
    stage.refused("timestamp version", now=stage.scene.site.now)
    shutil.rmtree(stage.provider.state / "metadata")
    stage.recovers()


# --- TUF: the metadata themselves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["timestamp", "snapshot", LIST])
def test_a_member_twice_counts_as_what_was_signed(stage: MemoryStage, role: str) -> None:
    """JSON leaves open which of the two counts (RFC 8259, section 4): the one that the signature is about."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    genuine = stage.thief.path(role).read_bytes()
    forged = json.loads(genuine)["signed"] | {"version": 7, "expires": "2199-01-01T00:00:00Z"}
    twice = f'"signed":{json.dumps(forged)}'.encode()
    stage.thief.path(role).write_bytes(genuine[:-1] + b"," + twice + b"}")
    stage.refused("not genuine")
    stage.thief.path(role).write_bytes(b"{" + twice + b"," + genuine[1:])
    stage.accepted()
    assert stage.provider.accepted()["release"] == int(stage.now.timestamp())


# --- Roles below the list's, which the publisher's key can make -------------------------------------------------------


def test_a_role_below_signs_what_the_acts_say(stage: MemoryStage) -> None:
    with_a_role_below(stage, "below", None)
    stage.accepted()
    assert "four.example" in stage.provider.installed("hosts")


# --- What waits for the provider's word, and what ends all the same ---------------------------------------------------


def test_promise_6_while_additions_wait_a_name_ends_by_an_act_only(stage: MemoryStage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    braked(stage, lines, stage.now)
    stage.thief.offer(lines, stage.now + MINUTE, drop=["one.example"])
    stage.refused("is not what the officers' acts say", now=stage.now + MINUTE)
    lines = removed(stage, lines, stage.now + 2 * MINUTE, "one.example")
    braked(stage, lines, stage.now + 2 * MINUTE)
    assert "one.example" not in stage.provider.installed()
    assert "www.three.example" in stage.provider.installed()


def test_promise_6_while_additions_wait_a_host_does_not_become_its_domain(stage: MemoryStage) -> None:
    """The same name in another scope is another addition."""
    lines = removed(stage, stage.acts, stage.now, hosts=("www.three.example",))
    braked(stage, listed(stage, lines, "www.three.example", *MANY, at=stage.now), stage.now)
    assert "www.three.example" not in stage.provider.installed()


def test_promise_6_while_additions_wait_more_of_them_wait_too(stage: MemoryStage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    lines = removed(stage, lines, stage.now, "one.example")
    braked(stage, lines, stage.now)
    before = stage.provider.installed()
    lines = listed(stage, lines, "five.example", at=stage.now + MINUTE)
    braked(stage, lines, stage.now + MINUTE)
    assert stage.provider.installed() == before


def test_promise_6_what_ended_and_is_listed_again_waits_with_the_others(stage: MemoryStage) -> None:
    lines = listed(stage, stage.acts, *MANY, at=stage.now)
    lines = removed(stage, lines, stage.now, "one.example")
    braked(stage, lines, stage.now)
    lines = listed(stage, lines, "one.example", at=stage.now + MINUTE)
    braked(stage, lines, stage.now + MINUTE)
    assert "one.example" not in stage.provider.installed()


def test_promise_8_a_fork_does_not_get_past_a_brake(stage: MemoryStage) -> None:
    """The heads ended it, the brakes still hold: nothing moves before the provider's word."""
    lines = listed(stage, forked(stage, 1, 1), *MANY, at=stage.now)
    stage.heads.state(branch=branch_of(lines))
    stage.thief.offer(lines, stage.now)
    stage.refused("names are added, more than 20", 1)
    stage.refused("names are added, more than 20", 1, now=stage.now + MINUTE)


def test_promise_8_a_fork_while_the_list_is_held(stage: MemoryStage) -> None:
    """Not even a fork that the heads ended gets past the operator's word."""
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.accepted()
    rollback(stage.provider.subscription, LIST, None, stage.now, quietly)
    stage.kept = stage.provider.kept()
    lines = listed(stage, forked(stage, 1, 3), "five.example", at=stage.now)
    stage.heads.state(branch=branch_of(lines))
    stage.thief.offer(lines, stage.now + MINUTE)
    stage.refused("ended a fork, and the list is held", 1, now=stage.now + MINUTE)
    stage.accepted(stage.now + MINUTE, resume=True)
    assert "five.example" in stage.provider.installed()


@pytest.mark.parametrize("lines", [1, 2])
def test_promise_8_after_a_fork_what_was_accepted_has_to_be_known(stage: MemoryStage, lines: int) -> None:
    """With other acts here than the record speaks of, nobody can say which branch this provider was on."""
    record = json.loads(stage.provider.record_path.read_bytes())
    record["newest"]["acts_length"] -= sum(len(line) + 1 for line in stage.acts[-lines:])
    stage.provider.record_path.write_text(json.dumps(record))
    stage.kept = stage.provider.kept()
    fork = forked(stage, 1, 3)
    stage.heads.state(branch=branch_of(fork))
    stage.thief.offer(fork, stage.now)
    stage.refused("history was rewritten")


def test_promise_8_a_fork_while_additions_wait(stage: MemoryStage) -> None:
    braked(stage, removed(stage, listed(stage, stage.acts, *MANY, at=stage.now), stage.now, "one.example"), stage.now)
    lines = listed(stage, forked(stage, 1, 4), *MANY, at=stage.now)
    stage.thief.offer(lines, stage.now + MINUTE)
    stage.refused("history was rewritten", now=stage.now + MINUTE)
    stage.heads.state(branch=branch_of(lines))
    stage.thief.offer(lines, stage.now + 2 * MINUTE)
    stage.refused("names are added, more than 20", 1, now=stage.now + 2 * MINUTE)


# --- Promise 10, and files without any key ----------------------------------------------------------------------------


def test_promise_10_the_environment_is_inside_what_is_signed(stage: MemoryStage, tmp_path: Path) -> None:
    root = stage.scene.site.root.read_bytes()
    other = Provider(tmp_path / "other", URL, root, environment="production")
    with pytest.raises(BlocklistError, match=r"is apology-of-terrorism \(test\)") as caught:
        other.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert other.kept() == {}


def test_promise_10_the_acts_say_the_environment_too(stage: MemoryStage, tmp_path: Path) -> None:
    """Even if the heads' pin were wrong: the founding act holds the environment."""
    stage.heads.state(environment="production")
    stage.show()
    other = Provider(tmp_path / "other", URL, stage.scene.site.root.read_bytes(), environment="production")
    with pytest.raises(BlocklistError, match="the acts are those of another register") as caught:
        other.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3
    assert other.kept() == {}


@pytest.fixture(scope="module")
def production(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Another environment of the same list, with keys of its own."""
    site = Site(tmp_path_factory.mktemp("production"), scene.site.now - HOUR, "production")
    site.block("real.example.com")
    return site


def test_promise_10_another_environment_has_another_root(stage: MemoryStage, production: Site) -> None:
    shutil.copytree(production.exports / "metadata", stage.thief.exports / "metadata", dirs_exist_ok=True)
    stage.thief.sign(stage.thief.read("timestamp").signed)
    assert production.root.read_bytes() != stage.scene.site.root.read_bytes()
    provider = Provider(stage.provider.folder / "new", URL, production.root.read_bytes())
    stage.show()
    with pytest.raises(BlocklistError, match="was signed by 0/1 keys") as caught:
        provider.pull(stage.now, accept="any")
    assert caught.value.exit_code == 3


def test_promise_10_the_root_that_was_pinned_decides_not_the_one_on_the_server(
    stage: MemoryStage, tmp_path: Path
) -> None:
    """Another publisher, whole and consistent, of a list and an environment that are called the same."""
    other = Site(tmp_path / "other", stage.scene.at)
    other.block("evil.example")
    other.publish()
    shutil.rmtree(stage.thief.exports)
    shutil.copytree(other.exports, stage.thief.exports)
    for _ in range(2):
        stage.refused("was signed by 0/1 keys")
        shutil.rmtree(stage.provider.state / "metadata")  # and not because of what was seen before


def test_promise_10_seal_authorities_differ(production: Site, scene: Scene) -> None:
    assert (production.exports / "seal.pem").read_bytes() != (scene.site.exports / "seal.pem").read_bytes()


def test_the_pinned_root_is_the_only_one(stage: MemoryStage, production: Site) -> None:
    (stage.provider.state / "root.json").write_bytes(production.root.read_bytes())
    stage.refused("is not the root that .* pins")
    (stage.provider.state / "root.json").unlink()
    stage.refused("the pinned root .* cannot be read", 2)


def test_another_list(stage: MemoryStage, tmp_path: Path) -> None:
    targets, before = stage.provider.subscription.lists, stage.kept
    stage.provider.edit(lists={"anti-scam": targets[LIST]})
    stage.kept = stage.provider.kept()  # that list has no record yet
    stage.refused("publishes no anti-scam/acts.jsonl", 2)
    stage.kept = before
    stage.heads.state(list="anti-scam")
    stage.provider.edit(lists=targets)
    stage.refused("register is anti-scam")


def published_files(exports: Path) -> list[str]:
    return sorted(str(path.relative_to(exports)) for path in exports.rglob("*") if path.is_file())


def test_every_file_of_a_release_altered_without_a_key(scene: Scene, tmp_path: Path) -> None:
    """An intruder on the web server: nothing that was altered is ever installed."""
    genuine = Provider(tmp_path / "genuine", scene.first.as_uri(), scene.site.root.read_bytes())
    genuine.pull(scene.at, accept="any")
    wanted = genuine.installed(), genuine.installed("hosts")
    refused = set()
    for number, name in enumerate(published_files(scene.first)):
        tree = tmp_path / f"tree-{number}"
        shutil.copytree(scene.first, tree)
        content = bytearray((tree / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tree / name).write_bytes(content)
        provider = Provider(tmp_path / f"provider-{number}", tree.as_uri(), scene.site.root.read_bytes())
        try:
            provider.pull(scene.at, accept="any")
        except BlocklistError as fault:
            assert fault.exit_code == 3, (name, fault)
            assert provider.kept() == {}
            refused.add(Path(name).name.split(".", 1)[-1] if "." in Path(name).stem else Path(name).name)
        else:
            assert (provider.installed(), provider.installed("hosts")) == wanted
    assert {"acts.jsonl", f"{LIST}.json", "snapshot.json", "timestamp.json", "targets.json"} <= refused


# --- Promise 6: what would break the internet -------------------------------------------------------------------------


def test_promise_6_a_protected_name_that_two_agents_signed_is_not_rendered(stage: MemoryStage) -> None:
    protected = ["google.com", "mail.google.com", "gouv.fr", "fr"]
    lines = signed_by_two(stage.scene.site, stage.acts, "bad.example", *protected[:3], at=stage.now)
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    zone = stage.provider.installed()
    assert "bad.example A " in zone
    assert not [name for name in protected if f"{name} " in zone]
    stage.kept = stage.provider.kept()
    stage.thief.offer(lines, stage.now + MINUTE, add=[Name("google.com", Scope.DOMAIN)])
    stage.refused("is not what the officers' acts say", now=stage.now + MINUTE)


def test_promise_6_a_mass_addition_stops_at_the_provider_even_if_two_agents_signed_it(stage: MemoryStage) -> None:
    lines = signed_by_two(stage.scene.site, stage.acts, *(f"n{n}.example" for n in range(21)), at=stage.now)
    stage.thief.offer(lines, stage.now)
    stage.refused("21 names are added, more than 20", 1)
    stage.refused("21 names are added, more than 20", 1, accept="any")


# --- What is too long, too large, or counted twice --------------------------------------------------------------------


@pytest.mark.parametrize("role", ["snapshot", LIST])
def test_a_length_in_the_metadata_is_no_leave_to_send_so_much(stage: MemoryStage, role: str) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    meta = MetaFile(stage.thief.number, length=10**12)
    if role == "snapshot":
        stage.thief.resign("timestamp", lambda signed: setattr(signed, "snapshot_meta", meta))
    else:
        stage.thief.resign("snapshot", lambda signed: signed.meta.update({f"{LIST}.json": meta}))
    stage.memory.honest()
    stage.memory.answer(f"{stage.thief.number}.{role}.json", endless())
    stage.refused("sends more than")
    assert stage.memory.sent < 6_000_000


def test_a_length_of_acts_that_no_register_has(stage: MemoryStage) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: setattr(role.targets[f"{LIST}/{ACTS}"], "length", 10**15))
    stage.memory.honest()
    stage.memory.answer(ACTS, endless())
    stage.refused("more than")
    assert not stage.memory.paths(ACTS)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nblocklist: pulled", "\u202e", "\r", "\x85", "\u2028"])
def test_what_the_metadata_say_cannot_forge_a_line_of_the_journal(stage: MemoryStage, text: str) -> None:
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    stage.thief.resign(LIST, lambda role: role.targets[f"{LIST}/{ACTS}"].hashes.update({"sha256": text}))
    error = stage.refused("is not there", 5)
    assert error.message.isprintable()
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now + MINUTE)
    stage.thief.delegate(text, {f"{LIST}/hosts.txt": stage.thief.read(LIST).signed.targets[f"{LIST}/hosts.txt"]})
    stage.thief.resign("snapshot", lambda snapshot: snapshot.meta.pop(f"{text}.json"))
    error = stage.refused("is not part of snapshot|not genuine", now=stage.now + MINUTE)
    assert error.message.isprintable()


def test_no_root_on_the_way_counts_a_key_twice(stage: MemoryStage) -> None:
    """The heads were made to sign root 2; one stolen key under two ids then signs root 3, which looks as it should."""
    by, folder = signer(stage.heads.keys["root"]), stage.thief.exports / "metadata"
    twice = [by.public_key, under_another_id(by.public_key, 7)]
    root = stage.heads.root()
    root.version = 2
    root.add_key(twice[1], "root")
    root.roles["root"].threshold = 2
    (folder / "2.root.json").write_bytes(signed_twice(root, by, twice))
    root.version = 3
    root.revoke_key(twice[1].keyid, "root")
    root.roles["root"].threshold = 1
    (folder / "3.root.json").write_bytes(signed_twice(root, by, twice))
    stage.thief.offer([*stage.acts, *stage.scene.news], stage.now)
    for _ in range(2):
        stage.refused("one key under two ids")


def test_no_root_is_pinned_that_counts_a_key_twice(stage: MemoryStage, tmp_path: Path) -> None:
    own = public_key(stage.heads.keys["root"])
    path = stage.heads.change_root(lambda root: root.add_key(under_another_id(own, 7, str.upper), "root"))
    with pytest.raises(UsageError, match="one key under two ids"):
        Provider(tmp_path / "new", URL, path.read_bytes())
    assert not (tmp_path / "new/list.yaml").exists()


def test_promise_6_no_release_has_the_number_of_another_one(stage: MemoryStage) -> None:
    """Two releases of one instant: the second one would be let in as the first one was, past the brakes."""
    lines = listed(stage, stage.acts, "x.example", at=stage.now - MINUTE)
    stage.thief.offer(lines, stage.now)
    stage.accepted()
    more = removed(stage, listed(stage, lines, *MANY, at=stage.now), stage.now, "x.example")
    stage.back(stage.scene.first)
    stage.thief.offer(more, stage.now)
    again = MetaFile.from_data(stage.thief.number, stage.thief.path(LIST).read_bytes(), ["sha256"])
    stage.thief.refer({})
    stage.thief.resign("snapshot", lambda snapshot: snapshot.meta.update({f"{LIST}.json": again}))
    (stage.provider.folder / "installed.rpz").write_text("edited\n")
    stage.kept = stage.provider.kept()
    stage.refused("another release of the same instant", now=stage.now + MINUTE)


def test_promise_6_a_whole_list_that_ended_does_not_come_back_unasked(stage: MemoryStage) -> None:
    """Its names were let in once; by now they are additions, and too many."""
    now = stage.now
    names = [f"b{number:02}.example" for number in range(15)], [f"c{number:02}.example" for number in range(15)]
    lines = stage.acts
    for part in names:
        lines = listed(stage, lines, *part, at=now)
        stage.thief.offer(lines, now)
        stage.accepted(now)
        now += MINUTE
    lines = listed(stage, lines, *MANY, at=now)
    for part in names:
        lines = removed(stage, lines, now, *part)
    braked(stage, lines, now)
    now += MINUTE
    for part in names:
        lines = listed(stage, lines, *part, at=now)
    lines = removed(stage, lines, now, *MANY)
    stage.thief.offer(lines, now)
    stage.show()
    outcome = stage.provider.attempt(now)
    assert isinstance(outcome.error, BrakeError)
    assert "b01.example" not in stage.provider.installed()


def test_a_pin_without_a_digest_that_we_know(stage: MemoryStage, tmp_path: Path) -> None:
    pin = f"registers/{LIST}.json"
    content = stage.thief.target_path(stage.thief.read("targets").signed.targets[pin]).read_bytes()
    stage.heads.replace(content, "sha512")
    stage.show()
    new = Provider(tmp_path / "new", URL, stage.scene.site.root.read_bytes())
    assert new.pull(stage.now, accept="any").changed
