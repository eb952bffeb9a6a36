"""Several lists in one workspace: each with its own register, officers, policy and publisher's key; one environment."""

from __future__ import annotations

import copy
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kit.breaking import Breaking
from kit.fixed import HOUR, LIST, LISTS
from kit.shell import Shell
from kit.site import Site, no_passphrase
from kit.two_lists import OTHER, SAYS, Both, found, other_of, with_tuf
from tuf.api.metadata import Metadata

from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.client.subscription import ANY_CHANGE
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Scope
from blocklist.office import approve, propose
from blocklist.register import acts, documents
from blocklist.register.acts import read_line
from blocklist.register.fold import Register
from blocklist.store.store import Store
from blocklist.workspace import Workspace


def zone(site: Site, list_id: str) -> str:
    folder = site.exports / list_id
    return (folder / (folder / "latest").read_text().strip() / "rpz.zone").read_text()


# Founding the second list


def test_the_second_list_has_its_own_register_and_the_root_stays(both: Both) -> None:
    first, second = both.first.office(), both.second.office()
    with first, second:
        assert (first.list_id, second.list_id) == (LIST, OTHER)
        assert first.register.id != second.register.id == both.founded.register
        assert second.register.heads() == ["head-x"]
        assert set(first.register.officers).isdisjoint(second.register.officers)
        assert (second.register.policy.regime, second.register.policy.action.kind) == ("other", "nxdomain")
    trust = both.first.workspace.lists / "trust"
    assert sorted(path.name for path in trust.glob("*.json")) == [
        *("1.root.json", "1.targets.json", "2.targets.json"),
        *(f"{LIST}.register.json", f"{OTHER}.register.json"),
    ]
    targets = Metadata.from_file(str(trust / "2.targets.json")).signed
    old = Metadata.from_file(str(trust / "1.targets.json")).signed
    assert targets.version == 2
    assert {**targets.targets, f"registers/{OTHER}.json": None} == {**old.targets, f"registers/{OTHER}.json": None}
    roles, keys = targets.delegations.roles, targets.delegations.keys
    assert list(roles) == [LIST, OTHER]
    assert roles[LIST] == old.delegations.roles[LIST]
    assert (roles[OTHER].paths, roles[OTHER].terminating) == ([f"{OTHER}/*"], True)
    assert len(keys) == 2
    root = Metadata.from_file(str(both.first.root)).signed
    root.verify_delegate("targets", *_signed(trust / "2.targets.json"))


def _signed(path: Path) -> tuple[bytes, Any]:
    metadata = Metadata.from_file(str(path))
    return metadata.signed_bytes, metadata.signatures


def test_founding_it_again_changes_nothing(both: Both) -> None:
    both.first.publish()  # puts the new targets into the tree
    before = {path: path.read_bytes() for path in both.first.folder.rglob("*") if path.suffix in (".json", ".pem")}
    again = found(both.first)
    assert (again.created, again.several, again.register) == (False, True, both.founded.register)
    assert {path: path.read_bytes() for path in before} == before


def test_another_environment_is_refused_and_founds_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    with pytest.raises(UsageError, match="this workspace is of environment test"):
        found(site, "production")
    store = Store(site.workspace.lists)
    assert store.lists() == [LIST]
    store.close()
    assert not site.keys.has("head-x")


def test_it_takes_the_heads_targets_key(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    for key in site.keys.path.glob("targets-*"):
        key.rename(tmp_path / key.name)
    with pytest.raises(UsageError, match=r"takes a key of the heads, and none is in .*: targets-") as caught:
        found(site)
    assert "offline medium" in caught.value.hint
    store = Store(site.workspace.lists)
    assert store.lists() == [LIST]
    store.close()
    for key in tmp_path.glob("targets-*"):
        key.rename(site.keys.path / key.name)
    assert found(site).created


def test_targets_that_the_heads_did_not_sign_are_not_signed_again(tmp_path: Path) -> None:
    """Whoever writes into the trust folder gets no signature of the heads that way."""
    site = Site(tmp_path, datetime.now(UTC))
    path = site.workspace.lists / "trust/1.targets.json"
    metadata = Metadata.from_file(str(path))
    metadata.signed.delegations.roles[LIST].paths.append("*")
    metadata.to_file(str(path))
    with pytest.raises(VerificationError, match="is not signed by its role"):
        found(site)
    assert not (path.parent / "2.targets.json").exists()


def test_a_lost_register_is_never_founded_again_beside_another(both: Both) -> None:
    lists = both.first.workspace.lists
    store = Store(lists)
    lines = list(store.lines(LIST))
    store.close()
    for path in lists.glob("register.db*"):
        path.unlink()
    for list_id in (LIST, OTHER, "third-list"):
        shutil.copy(lists / f"{OTHER}.yaml", lists / "third-list.yaml")
        text = (lists / "third-list.yaml").read_text().replace(f"id: {OTHER}", "id: third-list")
        (lists / "third-list.yaml").write_text(text)
        with pytest.raises(VerificationError, match=r"the register of .* is gone"):
            found(both.first, list_id=list_id)
    store = Store(lists, create=True)
    store.append(LIST, [read_line(line) for line in lines], [None] * len(lines))
    store.close()
    with pytest.raises(VerificationError, match="is gone"):
        found(both.first)


@pytest.mark.parametrize("how", ["before", "after", "dead"])
def test_a_founding_that_was_cut_off_is_finished_by_the_next(tmp_path: Path, how: str) -> None:
    base = Site(tmp_path / "base", datetime.now(UTC))
    base.block("one.example")
    base.publish()
    number = 0
    while True:
        number += 3
        folder = shutil.copytree(base.folder, tmp_path / str(number))
        site = copy.copy(base)
        site.folder, site.keys = folder, KeyFolder(folder / "keys", no_passphrase)
        site.workspace = Workspace(folder / "office", site.keys)
        with Breaking(number, how) as breaking:
            try:
                found(site)
            except BlocklistError as fault:
                assert isinstance(fault, TargetError), fault
        if not breaking.broke:
            break
        founded = found(site)
        other = other_of(site)
        assert other.publish().changed
        assert with_tuf(site, folder / "client", OTHER)
        with other.office() as office:
            assert office.register.id == founded.register
        site.workspace = Workspace(folder / "office", site.keys, LIST)
        assert not site.publish().changed
        shutil.rmtree(folder)
    assert number > 20


def test_publishing_before_the_heads_signed(both: Both) -> None:
    """A founding that was cut off leaves a register that the tree does not know yet."""
    (both.first.workspace.lists / "trust/2.targets.json").unlink()
    with pytest.raises(UsageError, match=f"did not sign for the list {OTHER}") as caught:
        both.second.publish()
    assert f"blocklist init --list {OTHER}" in caught.value.hint
    both.first.block("two.example")
    assert both.first.publish().changed


# Where the heads' keys are with several people


@pytest.fixture
def shared(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A workspace whose `targets` take two of three keys: one is here, the others are at `second` and `third`."""
    for name in ("second", "third"):
        monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.folder / name))
        made = shell.json("trust", "key", "new", "targets", "--no-passphrase")
        monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.keys))
        shell("trust", "key", "add", "targets", "--key", made["public"])
    shell("trust", "threshold", "targets", "2")
    shell("trust", "sign")
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.folder / "second"))
    assert shell.json("trust", "sign")["published"]
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.keys))
    return shell


FOUND_OTHER = ("init", "--list", OTHER, "--head", "head-x", "--no-passphrase")


def test_a_list_that_takes_two_heads_travels_as_other_proposals_do(
    shared: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shared(*FOUND_OTHER).stderr
    assert "founded register" in shown
    assert "blocklist trust sign" in shown
    (waiting,) = shared.json("trust", "show")["proposal"]["missing"]
    assert (waiting["document"], waiting["count"], len(waiting["keys"])) == ("targets", 1, 2)
    for key in shared.keys.glob("targets-*"):  # back in its safe
        key.rename(shared.folder / key.name)
    again = shared.json(*FOUND_OTHER)
    assert again["created"] is False
    message = f"did not sign for the list {OTHER}.*\n.*blocklist trust sign"
    shared.refused("--list", OTHER, "publish", code=2, message=message)
    shared("--list", LIST, "publish")
    stick = shutil.copy(again["proposal"], shared.folder / "stick.json")
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shared.folder / "third"))
    there = shared("-C", shared.folder / "away", "trust", "sign", stick, where=False).stderr
    assert f"{OTHER}: a new list (test), register {again['register']}" in there
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shared.keys))
    assert shared.json("trust", "sign", stick)["published"]
    assert shared.json("--list", OTHER, "publish")["changed"]
    assert (shared.json(*FOUND_OTHER)["proposal"], shared.json("trust", "show")["proposal"]) == (None, None)
    site = Site.at(shared.folder, datetime.now(UTC))
    assert with_tuf(site, shared.folder / "client", OTHER)
    assert with_tuf(site, shared.folder / "client", LIST)


def test_a_list_that_nobody_signed_for_can_be_proposed_again(shared: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared.json(*FOUND_OTHER)
    shared("trust", "discard")
    again = shared.json(*FOUND_OTHER)
    assert (again["register"], again["created"]) == (first["register"], True)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shared.folder / "second"))
    assert shared.json("trust", "sign")["published"]


def test_what_waited_before_is_signed_by_nobody_who_has_not_seen_it(shell: Shell) -> None:
    """One key would be enough for the list; the proposal says more than that."""
    shell("trust", "rotate", "timestamp")
    assert shell.json(*FOUND_OTHER)["proposal"]
    waiting = shell.json("trust", "show")["proposal"]
    assert {entry["document"] for entry in waiting["missing"]} == {"root", "targets"}
    assert shell.json("trust", "sign")["published"]
    assert shell.json("--list", OTHER, "publish")["changed"]


# Naming the list


def test_the_list_has_to_be_named(both: Both) -> None:
    path, keys = both.first.workspace.path, both.first.keys
    with pytest.raises(UsageError, match=f"several lists: {LIST}, {OTHER}") as caught:
        Workspace(path, keys).only_list()
    assert "--list" in caught.value.hint
    with pytest.raises(UsageError, match=f"no list third; it has {LIST}, {OTHER}"):
        Workspace(path, keys, "third").only_list()
    assert Workspace(path, keys, OTHER).only_list() == OTHER


def test_the_only_list_need_not_be_named(tmp_path: Path) -> None:
    site = Site(tmp_path, datetime.now(UTC))
    assert Workspace(site.workspace.path, site.keys).only_list() == LIST
    assert Workspace(site.workspace.path, site.keys, LIST).only_list() == LIST


# Publishing


def test_each_list_is_published_and_pulled_by_itself(both: Both, tmp_path: Path) -> None:
    readers = {list_id: both.provider(tmp_path / list_id, list_id) for list_id in (LIST, OTHER)}
    readers[LIST].pull(both.first.now, accept=ANY_CHANGE)
    both.mirror("copy.example")
    both.second.publish()
    for list_id, provider in readers.items():
        assert not provider.pull(both.first.now, accept=ANY_CHANGE).failures
        with_tuf(both.first, tmp_path / f"tuf-{list_id}", list_id)
    assert "one.example" in readers[LIST].installed()
    assert "copy.example" not in readers[LIST].installed()
    assert "copy.example CNAME ." in readers[OTHER].installed()
    assert "one.example" not in readers[OTHER].installed()
    both.later(HOUR)
    both.first.block("two.example")
    both.first.publish()
    assert "two.example" in zone(both.first, LIST)
    for provider in readers.values():
        provider.pull(both.first.now)
    assert "two.example" in readers[LIST].installed()
    assert readers[OTHER].accepted()["release"] < readers[LIST].accepted()["release"]
    for list_id in readers:
        with_tuf(both.first, tmp_path / f"tuf-{list_id}", list_id)


def test_a_subscriber_of_the_first_list_sees_no_difference(both: Both, tmp_path: Path) -> None:
    """Before, between and after the steps that let another list in."""
    provider, client = both.provider(tmp_path / "provider", LIST), tmp_path / "client"
    for step in (
        lambda: None,
        both.first.tree.mend,
        both.second.publish,
        lambda: both.first.block("two.example"),
        both.first.publish,
    ):
        step()
        provider.pull(both.first.now, accept=ANY_CHANGE)
        with_tuf(both.first, client, LIST)
    assert "two.example" in provider.installed()
    assert Metadata.from_file(str(client / "metadata/targets.json")).signed.version == 2


def test_two_lists_in_one_second_have_two_numbers(both: Both) -> None:
    first, second = both.second.publish(), both.second
    both.first.block("two.example")
    assert both.first.publish().number == first.number + 1
    assert not second.publish().changed


def test_a_list_that_is_quiet_stays_valid_while_the_other_is_published(both: Both, tmp_path: Path) -> None:
    """The second is valid for two days, the first for twelve hours: neither shortens the other's time."""
    longest = datetime.fromtimestamp(both.second.publish().number, UTC) + 48 * HOUR
    both.later(HOUR)
    both.first.block("two.example")
    both.first.publish()
    number = int(both.first.now.timestamp())
    for name in ("timestamp.json", f"{number}.snapshot.json"):
        signed = Metadata.from_file(str(both.first.exports / "metadata" / name)).signed
        assert signed.expires == longest
    role = Metadata.from_file(str(both.first.exports / f"metadata/{number}.{LIST}.json")).signed
    assert role.expires == both.first.now + 12 * HOUR
    provider = both.provider(tmp_path / "other", OTHER)
    both.later(20 * HOUR)
    provider.pull(both.first.now, accept=ANY_CHANGE)
    with pytest.raises(BlocklistError, match="valid until"):
        both.provider(tmp_path / "first", LIST).pull(both.first.now, accept=ANY_CHANGE)


def test_a_brake_on_one_list_does_not_hold_the_other(both: Both) -> None:
    both.first.block(*(f"name-{number}.example" for number in range(30)))
    with pytest.raises(RefusedError, match="30 names are added"):
        both.first.publish()
    both.mirror("copy.example")
    assert both.second.publish().changed


def test_what_a_crash_left_of_one_list_is_cleared_without_the_other(both: Both) -> None:
    both.second.publish()
    whole = {path: path.read_bytes() for path in (both.first.exports / OTHER).rglob("*") if path.is_file()}
    both.later(HOUR)
    both.first.block("two.example")
    with Breaking(30, "dead"), pytest.raises(TargetError):
        both.first.publish()
    both.later(HOUR)
    assert both.first.publish().changed
    assert {path: path.read_bytes() for path in whole} == whole
    repository = both.first.tree
    assert repository.damaged(LIST) == repository.damaged(OTHER) == []


def test_each_role_has_a_key_of_its_own(both: Both) -> None:
    """The publisher of one list cannot publish the other."""
    for key in both.first.keys.path.glob(f"{OTHER}-*"):
        key.unlink()
    with pytest.raises(UsageError, match=f"there is no key {OTHER}-"):
        both.second.publish()
    both.first.block("two.example")
    assert both.first.publish().changed


def test_damage_is_mended_whichever_list_is_published(both: Both) -> None:
    both.second.publish()
    registers = both.first.exports / "targets/registers"
    assert len(list(registers.iterdir())) == 2
    shutil.rmtree(registers)
    (both.first.exports / "metadata/2.targets.json").unlink()
    both.first.publish()
    assert len(list(registers.iterdir())) == 2
    assert (both.first.exports / "metadata/2.targets.json").exists()


# Nothing crosses over


def test_acts_of_one_register_are_refused_in_the_other(both: Both) -> None:
    store = Store(both.first.workspace.lists)
    first, second = list(store.lines(LIST)), list(store.lines(OTHER))
    store.close()
    register = Register()
    for line in second:
        register.apply(read_line(line))
    for line in first[1:]:
        with pytest.raises(BlocklistError, match="another register"):
            register.apply(read_line(line))
    assert register.head.seq == len(second)


def test_officers_of_one_list_cannot_sign_on_the_other(both: Both) -> None:
    with both.second.office("agent-1") as office, pytest.raises(UsageError, match="agent-1 is not an officer"):
        propose.propose(office, [Name("copy.example", Scope.DOMAIN)], both.second.proposal(ground="mirror", says=SAYS))


def test_a_ground_of_one_list_is_none_of_the_other(both: Both) -> None:
    with both.second.office("agent-x") as office, pytest.raises(BlocklistError, match="apology is not a ground"):
        propose.propose(office, [Name("copy.example", Scope.DOMAIN)], both.second.proposal())


def test_two_approvals_where_the_policy_wants_two(both: Both) -> None:
    with both.second.office("agent-x") as office:
        (proposed,) = propose.propose(
            office, [Name("copy.example", Scope.DOMAIN)], both.second.proposal(ground="mirror", says=SAYS)
        )
    with both.second.office("agent-y") as office:
        approve.approve(office, proposed.act.seq)
        assert len(office.register.in_force(office.now)) == 0
    with both.second.office("head-x") as office:
        approve.approve(office, proposed.act.seq)
        assert len(office.register.in_force(office.now)) == 1


def test_the_example_has_rules_of_its_own() -> None:
    """Another regime, other grounds, another answer: nothing of the first list is built in."""
    files = {path.name: path.read_bytes() for path in LISTS.glob("*.yaml")}
    first, second = documents.load(files, LIST), documents.load(files, OTHER)
    for field in ("regime", "notice", "review", "warn", "action", "ttl", "brakes", "freshness", "keep", "probe"):
        assert getattr(first, field) != getattr(second, field), field
    assert set(first.grounds).isdisjoint(second.grounds)
    assert {basis.checked for basis in second.legal_basis} == {True, False}
    assert acts.RULES == 1
    assert "EXAMPLE" in files[f"{OTHER}.yaml"].decode().splitlines()[0]
