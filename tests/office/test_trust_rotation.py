"""Keys are exchanged and stolen, and everybody goes on: python-tuf's own client, our subscriber, and `openssl`."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from kit.breaking import Breaking
from kit.fixed import HOUR, LIST, SALT, names
from kit.heads import HUGE, MINUTE, Watchers, ceremony, fingerprint, release, rotate, shown, sign, steal
from kit.hostile import Thief, key_of, next_line, ref_of
from kit.provider import Provider
from kit.shell import Shell
from kit.site import Site, copied, draft_checksum
from kit.tree import Plain, current, with_openssl, with_tuf
from tuf.api.exceptions import BadVersionNumberError, RepositoryError
from tuf.ngclient import Updater

from blocklist.base.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.register import acts
from blocklist.register.decoders import Branch
from blocklist.trust.ceremony import choose_branch
from blocklist.trust.seal_certificates import renew, revoke


@pytest.fixture
def site(founded: Site, tmp_path: Path) -> Site:
    return copied(founded, tmp_path / "site")


# --- The whole story --------------------------------------------------------------------------------------------------


def test_ten_releases_two_root_rotations_a_targets_rotation_and_a_theft(site: Site, tmp_path: Path) -> None:
    watchers = Watchers(site, tmp_path / "w")
    sleeper = Provider(tmp_path / "sleeper", site.exports.as_uri(), watchers.root)
    sleeper.pull(site.now, accept="any")
    watchers.look()
    for number, step in enumerate(
        (None, "root", None, "targets", "publisher", "theft", "root", None, "timestamp", None)
    ):
        if step == "theft":
            steal(site, tmp_path / "thief")
            with_tuf(site.exports, tmp_path / "w/tuf", watchers.root)  # python-tuf believes the version
            with pytest.raises(VerificationError, match="in the future"):
                watchers.provider.pull(site.now)
        if step is not None:
            rotate(site, step if step != "theft" else "publisher", stolen=step == "theft")
        release(site, f"name-{number}.example")
        watchers.look()
    assert sorted(path.name for path in (site.workspace.lists / "trust").glob("*.root.json")) == [
        f"{version}.root.json" for version in range(1, 8)
    ]
    outcome = sleeper.pull(site.now)
    assert "name-9.example" in sleeper.installed()
    assert outcome.changed


# --- Rotations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", LIST, "publisher"])
def test_nobody_has_to_do_anything_when_a_key_is_exchanged(site: Site, tmp_path: Path, role: str) -> None:
    watchers = Watchers(site, tmp_path / "w")
    watchers.look()
    proposal = rotate(site, role)
    # What is in force, and not shown yet, disturbs nobody.
    assert with_tuf(site.exports, tmp_path / "w/tuf", watchers.root)
    release(site, "zero.example")
    watchers.look()
    for name in proposal.documents:
        assert shown(site, f"2.{name}.json").version == 2
    # The old keys say nothing any more.
    for path in site.keys.path.glob("*.pem"):
        old = {key.keyid for _role, _id, key in proposal.base.every_key()}
        new = {key.keyid for _role, _id, key in proposal.after.every_key()}
        if any(path.stem.endswith(f"-{keyid[:16]}") for keyid in old - new):
            path.unlink()
    release(site, "two.example")
    watchers.look()


def test_what_only_the_publisher_has_to_see_is_published_at_once(site: Site) -> None:
    site.now += MINUTE
    assert not site.publish().changed
    rotate(site, "timestamp")
    site.now += MINUTE
    assert site.publish().changed
    site.now += MINUTE
    assert not site.publish().changed


def test_the_tree_is_as_it_was_until_the_publisher_signed_with_the_new_keys(site: Site) -> None:
    rotate(site, "timestamp")
    assert not (site.exports / "metadata/2.root.json").exists()
    waiting = site.exports / "metadata/2.root.json"
    assert site.tree.damaged(LIST) == [waiting]
    assert site.tree.damaged(LIST, waiting=False) == []
    release(site)
    assert waiting.exists()
    assert site.tree.damaged(LIST) == []


def test_a_root_that_changes_nothing_for_the_publisher_is_shown_at_once(site: Site) -> None:
    rotate(site, "root")
    assert (site.exports / "metadata/2.root.json").exists()
    assert site.tree.damaged(LIST) == []


@pytest.mark.parametrize(("how", "step"), [("before", 3), ("dead", 3)])
def test_a_disk_that_fails_while_keys_change(site: Site, tmp_path: Path, how: str, step: int) -> None:
    """At every moment the tree can be read: by who knows the first root alone, and by who looks for the first time."""
    root = site.root.read_bytes()
    with_tuf(site.exports, tmp_path / "old", root)
    rotate(site, "publisher")
    site.now += MINUTE
    number, done, seen = 0, False, set()
    while not done:
        number += step
        tried = copied(site, tmp_path / f"{number}")
        with Breaking(number, how) as breaking:
            try:
                tried.publish()
                done = not breaking.broke
            except BlocklistError as fault:
                assert fault.exit_code == 6
        shutil.copytree(tmp_path / "old", tmp_path / f"old-{number}")
        with_tuf(tried.exports, tmp_path / f"old-{number}", root)
        with_tuf(tried.exports, tmp_path / f"new-{number}", root)
        seen.add(shown(tried).version)
        tried.now += 7 * HOUR
        assert tried.publish().changed
        assert (tried.exports / "metadata/2.root.json").exists()
        with_tuf(tried.exports, tmp_path / f"old-{number}", root)
        shutil.rmtree(tried.folder)
    assert len(seen) == 2
    assert number > 40


def test_the_publisher_goes_on_with_the_root_before_while_the_heads_machine_stops(site: Site, tmp_path: Path) -> None:
    """Whatever is written of a proposal, and in whatever state it stays, the publisher publishes; the rest follows."""
    root = site.root.read_bytes()
    ceremony(site).rotate(["targets", "publisher"], None, None, stolen=False, encrypt=False)
    number, done = 0, False
    while not done:
        number += 2
        tried = copied(site, tmp_path / f"{number}")
        with Breaking(number, "dead") as breaking:
            try:
                sign(tried)
                done = not breaking.broke
            except BlocklistError as fault:
                assert fault.exit_code == 6
        tried.now += MINUTE
        tried.publish()
        with_tuf(tried.exports, tmp_path / f"client-{number}", root)
        if ceremony(tried).path.exists():
            assert sign(tried).published
        assert ceremony(tried).heads.trust().root.signed.version == 2
        release(tried, "two.example")
        with_tuf(tried.exports, tmp_path / f"client-{number}", root)
        shutil.rmtree(tried.folder)
    assert number > 8


def test_a_missing_new_key_stops_the_publisher_and_the_tree_stays(site: Site, tmp_path: Path) -> None:
    rotate(site, "timestamp")
    keyid = ceremony(site).heads.root().roles["timestamp"].keyids[0]
    (site.keys.path / f"timestamp-{keyid[:16]}.pem").unlink()
    site.now += MINUTE
    with pytest.raises(UsageError, match=f"there is no key timestamp-{keyid[:16]}"):
        site.publish()
    assert with_tuf(site.exports, tmp_path / "client", site.root.read_bytes())


def test_more_keys_than_it_takes_and_some_of_them_elsewhere(site: Site, tmp_path: Path) -> None:
    """A role of the publisher with two keys, of which one signs."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    from blocklist.keys.encoding import PublicKey

    heads = ceremony(site)
    other = PublicKey.wrap(ed25519.Ed25519PrivateKey.generate().public_key())
    heads.propose(heads.begin().add_key("snapshot", other, site.now))
    sign(site)
    release(site, "two.example")
    assert with_tuf(site.exports, tmp_path / "client", site.root.read_bytes())


# --- Theft ------------------------------------------------------------------------------------------------------------


def poisoned(site: Site, tmp_path: Path) -> tuple[Path, Provider, bytes]:
    """A python-tuf client and a provider who have seen what a thief signed with the highest versions."""
    root = site.root.read_bytes()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), root)
    provider.pull(site.now, accept="any")
    steal(site, tmp_path / "thief")
    with_tuf(site.exports, tmp_path / "tuf", root)
    with pytest.raises(VerificationError, match="in the future"):
        provider.pull(site.now)
    return tmp_path / "tuf", provider, root


def test_a_theft_with_the_highest_versions_needs_no_provider(site: Site, tmp_path: Path) -> None:
    tuf, provider, root = poisoned(site, tmp_path)
    rotate(site, "publisher", stolen=True)
    revoke(site.tree.heads, site.keys, fingerprint(site, "seal"), site.now)
    renew(site.tree.heads, site.keys, site.now)
    release(site, "two.example")
    assert shown(site).version == int(site.now.timestamp())
    assert with_tuf(site.exports, tuf, root)
    assert provider.pull(site.now).changed
    assert "two.example" in provider.installed()
    assert not list((site.exports / "metadata").glob(f"{HUGE}.*"))


def test_a_theft_without_keys_of_the_tree_is_believed_until_the_heads_say_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An honest exchange continues what the old keys signed; of a tree in the future that is refused."""
    poisoned(site, tmp_path)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(site.keys.path))
    shell = Shell(site.folder, monkeypatch)
    shell.at(site.now)
    try:
        for roles in (["publisher"], ["timestamp", "root"]):
            refused = shell.refused("trust", "rotate", *roles, code=1, message="dated in the future")
            assert "--stolen" in refused.stderr
    finally:
        shell.forget()
    assert ceremony(site).waiting() is None


@pytest.mark.parametrize("roles", [[LIST], ["snapshot"], ["timestamp"], [LIST, "timestamp"]])
def test_half_a_recovery_is_refused(site: Site, tmp_path: Path, roles: list[str]) -> None:
    poisoned(site, tmp_path)
    with pytest.raises(RefusedError, match="replace snapshot and timestamp together") as caught:
        ceremony(site).rotate(roles, None, None, stolen=True, encrypt=False)
    assert "trust rotate publisher --stolen" in caught.value.hint


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_theft_is_the_publishers(site: Site, role: str) -> None:
    with pytest.raises(UsageError, match="about the publisher's keys"):
        ceremony(site).rotate([role, "publisher"], None, None, stolen=True, encrypt=False)


def test_a_new_key_of_the_list_alone_would_not_have_been_enough(site: Site, tmp_path: Path) -> None:
    """The version of the list's role is remembered in the snapshot: until its key and the timestamp's are replaced."""
    tuf, _provider, root = poisoned(site, tmp_path)
    heads = ceremony(site)
    proposal = heads.begin()
    key = key_of(site, "head-1")  # any new key
    from blocklist.keys.encoding import PublicKey

    new = PublicKey.wrap(key.public_key())
    heads.propose(proposal.exchange(LIST, new, proposal.after.keys(LIST), site.now))
    sign(site)
    # The publisher, by hand: an older version of the role under the old snapshot and timestamp keys.
    thief = Thief(site, tmp_path / "hand")
    role = thief.read(LIST).signed
    role.version = int(site.now.timestamp())
    thief.keys[LIST] = key
    shutil.copy(site.workspace.lists / "trust/2.targets.json", thief.exports / "metadata")
    thief.commit(role, meta={"targets.json": 2})
    with pytest.raises((BadVersionNumberError, RepositoryError)):
        with_tuf(thief.exports, tuf, root)
    # While snapshot and timestamp of the proposal that is asked for do it.
    rotate(site, "publisher", stolen=True)
    release(site)
    assert with_tuf(site.exports, tuf, root)


def test_what_the_thief_signed_for_the_next_minutes_delays_news_that_long(site: Site, tmp_path: Path) -> None:
    """A release that says what the acts say is taken up to five minutes ahead; the next one has to be later."""
    root = site.root.read_bytes()
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), root)
    provider.pull(site.now, accept="any")
    thief = Thief(site, tmp_path / "thief")
    thief.offer(at=site.now + 4 * MINUTE)
    shutil.rmtree(site.exports)
    shutil.copytree(thief.exports, site.exports)
    provider.pull(site.now)
    rotate(site, "publisher", stolen=True)
    release(site, "two.example")
    with pytest.raises(VerificationError, match="is older than"):
        provider.pull(site.now)
    release(site, "three.example", 5 * MINUTE)
    assert provider.pull(site.now).changed


def test_stolen_keys_never_come_back(site: Site) -> None:
    from blocklist.keys.encoding import PublicKey

    old = PublicKey.wrap(key_of(site, "timestamp").public_key())
    rotate(site, "publisher", stolen=True)
    heads = ceremony(site)
    with pytest.raises(RefusedError, match="was stolen"):
        heads.begin().add_key("timestamp", old, site.now)
    with pytest.raises(RefusedError, match="was stolen"):
        heads.rotate(["snapshot"], old, None, stolen=False)


def test_earlier_releases_stay_after_a_theft(site: Site, tmp_path: Path) -> None:
    before = current(site)
    steal(site, tmp_path / "thief")
    rotate(site, "publisher", stolen=True)
    release(site)
    assert before.is_dir()
    assert with_openssl(before, site.exports / "seal.pem") == ""


def test_a_large_list_after_a_theft_takes_a_persons_word_once(site: Site, tmp_path: Path) -> None:
    """What the stolen keys signed is no release to compare with, so every name is new to the plan."""
    site.now += MINUTE
    site.block(*(f"more-{number}.example" for number in range(15)))
    site.block(*(f"even-{number}.example" for number in range(15)))
    site.publish(draft_checksum(site))
    poisoned(site, tmp_path)
    rotate(site, "publisher", stolen=True)
    site.now += MINUTE
    with pytest.raises(RefusedError, match="31 names are added"):
        site.publish()
    assert site.publish(draft_checksum(site)).changed


# --- A fork -----------------------------------------------------------------------------------------------------------


def test_subscribers_of_both_branches_end_on_the_right_one(site: Site, tmp_path: Path) -> None:
    """Publisher and two agents were broken into. The heads choose a branch; nobody phones anybody."""
    root = site.root.read_bytes()
    ours, theirs = (Provider(tmp_path / name, site.exports.as_uri(), root) for name in ("ours", "theirs"))
    for provider in (ours, theirs):
        provider.pull(site.now, accept="any")
    # The office goes on, and one provider sees it.
    site.now += 10 * MINUTE
    fork_at = site.now
    good = copied(site, tmp_path / "good")
    good.block("two.example")
    good.publish()
    ours.edit(url=good.exports.as_uri())
    assert ours.pull(good.now).changed
    # The thief continues the register in its own way, with the keys of two agents, and the other provider sees that.
    thief = Thief(site, tmp_path / "thief")
    lines = thief.lines()
    evil = names("evil.example")
    body = acts.Add(
        commitment=evil.commitment(SALT), count=1, ground="apology", basis="no-identification",
        review_by=fork_at + timedelta(weeks=12),
    )  # fmt: skip
    lines.append(next_line(lines, "agent-1", key_of(site, "agent-1"), body, fork_at))
    approve = acts.Approve(act=ref_of(lines), names=evil, salt=SALT)
    lines.append(next_line(lines, "agent-2", key_of(site, "agent-2"), approve, fork_at))
    thief.offer(lines, fork_at + MINUTE)
    theirs.edit(url=thief.url)
    assert theirs.pull(fork_at + MINUTE).changed
    assert "evil.example" in theirs.installed()
    # It also shows that in the office's own tree.
    shutil.rmtree(good.exports)
    shutil.copytree(thief.exports, good.exports)
    good.now += 2 * MINUTE
    with pytest.raises(VerificationError, match="is not in the register"):
        good.publish()
    # The heads: new keys for the publisher, and the branch that is right, in one proposal.
    heads = ceremony(good)
    heads.rotate(["publisher"], None, None, stolen=True, encrypt=False)
    with good.office() as office:
        head = office.register.head
        choose_branch(heads, office.register, head)
    assert sign(good).published
    good.now += MINUTE
    assert good.publish().changed
    for provider in (ours, theirs):
        provider.edit(url=good.exports.as_uri())
        outcome = provider.pull(good.now)
        assert provider.accepted()["head"] == head.to_json()
        assert "evil.example" not in provider.installed()
        assert "two.example" in provider.installed()
        assert any("ended a fork" in note for note in outcome.notes) == (provider is theirs)
    # What the thief signs now is taken by nobody.
    thief.offer(lines, good.now + MINUTE)
    theirs.edit(url=thief.url)
    with pytest.raises(VerificationError):
        theirs.pull(good.now + MINUTE)


def test_a_branch_is_published_although_nothing_else_changed(site: Site, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "provider", site.exports.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    with site.office() as office:
        head = office.register.head
        choose_branch(ceremony(site), office.register, head)
    sign(site)
    site.now += MINUTE
    assert site.publish().changed
    provider.pull(site.now)
    assert provider.accepted()["branch"] == Branch(2, head).to_json()


# --- Several lists ----------------------------------------------------------------------------------------------------


def test_one_publish_signs_what_the_other_list_published_last(site: Site, tmp_path: Path) -> None:
    from kit.fixed import LISTS

    from blocklist.office.init import init
    from blocklist.publisher.publish import publish
    from blocklist.workspace import Workspace

    second = "mirror-sites"
    other = Workspace(site.workspace.path, site.keys, second)
    site.workspace = Workspace(site.workspace.path, site.keys, LIST)
    init(other, second, "test", "head-2", LISTS, site.now, encrypt=False)
    root = site.root.read_bytes()
    site.now += MINUTE
    publish(other, site.now)
    with_tuf(site.exports, tmp_path / "tuf", root)
    rotate(site, "publisher")
    release(site, "two.example")

    def client(folder: Path) -> Updater:
        (folder / "metadata").mkdir(parents=True, exist_ok=True)
        url = site.exports.as_uri()
        made = Updater(str(folder / "metadata"), f"{url}/metadata", fetcher=Plain(), bootstrap=root)
        made.refresh()
        return made

    for folder in (tmp_path / "tuf", tmp_path / "new"):
        assert client(folder).get_targetinfo(f"{second}/acts.jsonl") is not None
        assert client(folder).get_targetinfo(f"{LIST}/acts.jsonl") is not None
    # Its key has to be here, or nobody could read that list any more.
    rotate(site, second)
    keyid = ceremony(site).heads.trust().role(second).keyids[0]
    hidden = site.keys.path / f"{second}-{keyid[:16]}.pem"
    hidden.rename(tmp_path / "elsewhere")
    site.now += MINUTE
    with pytest.raises(UsageError, match=f"there is no key {second}"):
        site.publish()
    assert client(tmp_path / "tuf").get_targetinfo(f"{second}/acts.jsonl") is not None


def test_the_pin_that_is_published_is_the_heads(site: Site) -> None:
    pinned = json.loads((site.workspace.lists / f"trust/{LIST}.register.json").read_bytes())
    assert pinned["register"] == site.founded.register
