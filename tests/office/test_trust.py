"""`trust`: proposals that travel, who has to sign, what nobody should sign, and what people are told."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from kit.fixed import DAY, LIST, START
from kit.shell import Shell
from kit.site import Site, no_passphrase
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, TargetFile

from blocklist.base.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.keys.encoding import PublicKey, signer
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.register.decoders import Branch, Ref
from blocklist.trust.ceremony import Ceremony
from blocklist.trust.describe import advice, changes, ends
from blocklist.trust.folder import TrustFolder
from blocklist.trust.proposal import Proposal
from blocklist.trust.roles import Pin, public_key, tuf_key

NOW = START


def new_key() -> tuple[ed25519.Ed25519PrivateKey, PublicKey]:
    private = ed25519.Ed25519PrivateKey.generate()
    return private, PublicKey.wrap(private.public_key())


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust") / "site"
    Site(folder, NOW)
    return folder


@pytest.fixture
def site(founded: Path, tmp_path: Path) -> Site:
    return Site.at(Path(shutil.copytree(founded, tmp_path / "site")), NOW)


@pytest.fixture
def heads(site: Site) -> Ceremony:
    return Ceremony(site.tree.heads, site.keys, NOW)


def kept(heads: Ceremony) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in heads.heads.path.iterdir() if path.is_file()}


# --- Edits ------------------------------------------------------------------------------------------------------------


def test_each_command_makes_the_next_version_of_what_it_changes(heads: Ceremony) -> None:
    key = new_key()[1]
    begun = heads.begin()
    assert begun.documents == {}
    cases = {
        ("root",): begun.add_key("root", key, NOW),
        ("root", "targets"): begun.add_key("targets", key, NOW),  # what it names has to sign targets anew
        ("targets",): begun.add_key(LIST, key, NOW),
    }
    for documents, proposal in cases.items():
        assert tuple(proposal.documents) == documents
        for metadata in proposal.documents.values():
            assert (metadata.signed.version, metadata.signed.expires) == (2, NOW + timedelta(days=365))
            assert metadata.signatures == {}
    assert begun.base.root.signed.version == 1  # edits change no other proposal


def test_a_proposal_is_amended(heads: Ceremony) -> None:
    one, two = new_key()[1], new_key()[1]
    heads.propose(heads.begin().add_key("root", one, NOW))
    heads.propose(heads.begin().add_key("root", two, NOW))
    proposal = heads.propose(heads.begin().threshold("root", 2, NOW))
    assert proposal.after.root.signed.version == 2
    assert proposal.after.role("root").threshold == 2
    assert {one.keyid, two.keyid} < set(proposal.after.role("root").keyids)


def test_what_was_signed_is_void_when_it_is_amended(heads: Ceremony) -> None:
    heads.propose(heads.begin().add_key("root", new_key()[1], NOW))
    waiting = heads.waiting()
    assert waiting is not None
    heads.propose(heads.begin().threshold("root", 2, NOW))
    heads.sign(heads.load(heads.path), heads.path)  # the second key is elsewhere: this is not enough
    waiting = heads.waiting()
    assert waiting is not None
    assert waiting.root is not None
    assert len(waiting.root.signatures) == 1
    amended = heads.begin().add_key("root", new_key()[1], NOW)
    assert amended.root is not None
    assert amended.root.signatures == {}


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", LIST])
@pytest.mark.parametrize("of", ["root", "targets", "snapshot", "timestamp", LIST])
def test_the_same_key_twice_is_refused_everywhere(heads: Ceremony, role: str, of: str) -> None:
    begun = heads.begin()
    (there,) = begun.base.keys(of).values()
    before = kept(heads)
    with pytest.raises(RefusedError, match=f"is there already, for {of}"):
        begun.add_key(role, there, NOW)
    with pytest.raises(RefusedError, match=f"is there already, for {of}"):
        heads.rotate([role], there, None, stolen=False)
    assert kept(heads) == before
    assert heads.waiting() is None


def test_the_same_key_twice_within_one_proposal(heads: Ceremony) -> None:
    key = new_key()[1]
    with pytest.raises(RefusedError, match="is there already, for root"):
        heads.begin().add_key("root", key, NOW).add_key("targets", key, NOW)


@pytest.mark.parametrize("role", ["root", "targets", "timestamp", LIST])
def test_a_threshold_above_the_number_of_keys_is_refused(heads: Ceremony, role: str) -> None:
    with pytest.raises(RefusedError, match="would need 2 signatures and has 1 keys"):
        heads.begin().threshold(role, 2, NOW)
    two = heads.begin().add_key(role, new_key()[1], NOW)
    assert two.threshold(role, 2, NOW).after.role(role).threshold == 2
    with pytest.raises(RefusedError, match="would need 3"):
        two.threshold(role, 3, NOW)
    with pytest.raises(RefusedError, match="would need 0"):
        two.threshold(role, 0, NOW)


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_threshold_as_high_as_the_number_of_keys_is_advised_against(heads: Ceremony, role: str) -> None:
    two = heads.begin().add_key(role, new_key()[1], NOW).threshold(role, 2, NOW)
    assert f"{role}: all 2 keys have to sign" in "\n".join(advice(two.after))
    three = two.add_key(role, new_key()[1], NOW)
    assert role not in "\n".join(line for line in advice(three.after) if line.startswith(role))


def test_a_key_that_is_needed_cannot_be_removed(heads: Ceremony) -> None:
    begun = heads.begin()
    (there,) = begun.base.keys("root").values()
    with pytest.raises(RefusedError, match="would need 1 signatures and has 0 keys"):
        begun.remove_key("root", there.fingerprint, NOW)
    other = begun.add_key("root", new_key()[1], NOW).remove_key("root", there.fingerprint, NOW)
    assert there.keyid not in other.after.role("root").keyids
    assert there.keyid not in other.after.root.signed.keys


@pytest.mark.parametrize("text", ["", "0000-0000", "zz", "x" * 1000])
def test_a_key_that_nobody_has(heads: Ceremony, text: str) -> None:
    (there,) = heads.begin().base.keys("root").values()
    with pytest.raises(UsageError, match="means no single key of root") as caught:
        heads.begin().remove_key("root", text, NOW)
    assert there.fingerprint in caught.value.hint


def test_too_short_a_fingerprint_means_no_key(heads: Ceremony) -> None:
    (there,) = heads.begin().base.keys("root").values()
    with pytest.raises(UsageError, match="no single key"):
        heads.begin().remove_key("root", there.fingerprint[:4], NOW)
    two = heads.begin().add_key("root", new_key()[1], NOW)
    assert two.remove_key("root", there.fingerprint.replace("-", " ").upper(), NOW)


def test_a_role_that_is_not_there(heads: Ceremony) -> None:
    for edit in (
        lambda: heads.begin().add_key("seal", new_key()[1], NOW),
        lambda: heads.begin().remove_key("nobody", "00000000", NOW),
        lambda: heads.begin().threshold("nobody", 1, NOW),
        lambda: heads.rotate(["nobody"], None, None, stolen=False),
    ):
        with pytest.raises(UsageError, match="there is no role") as caught:
            edit()
        assert f"root, targets, snapshot, timestamp, {LIST}" in caught.value.hint


def test_which_of_several_keys_is_rotated(site: Site, heads: Ceremony) -> None:
    """An offline role with several keys: the one that is here, or the one that is named."""
    first = next(iter(heads.begin().base.keys("root").values()))
    private, other = new_key()
    heads.propose(heads.begin().add_key("root", other, NOW))
    heads.sign(heads.load(heads.path), heads.path)
    rotated = heads.rotate(["root"], None, None, stolen=False, encrypt=False)
    assert first.keyid not in rotated.after.role("root").keyids
    assert other.keyid in rotated.after.role("root").keyids
    heads.discard()
    site.keys.create(role_key_name("root", other.keyid), private, encrypt=False)
    with pytest.raises(UsageError, match="say which one to replace") as caught:
        heads.rotate(["root"], None, None, stolen=False, encrypt=False)
    assert other.fingerprint in caught.value.hint
    rotated = heads.rotate(["root"], None, other.fingerprint, stolen=False, encrypt=False)
    assert other.keyid not in rotated.after.role("root").keyids


def test_a_refused_rotation_makes_no_key(heads: Ceremony) -> None:
    before = sorted(heads.keys.path.iterdir())
    proposal = heads.begin().add_key("timestamp", new_key()[1], NOW).threshold("timestamp", 2, NOW)
    heads.propose(proposal)
    with pytest.raises(RefusedError, match="would need 2"):
        heads.rotate(["timestamp"], None, None, stolen=False)
    with pytest.raises(UsageError, match="one key is for one role"):
        heads.rotate(["snapshot", "timestamp"], new_key()[1], None, stolen=False)
    assert sorted(heads.keys.path.iterdir()) == before


# --- Branches ---------------------------------------------------------------------------------------------------------


def test_a_branch_goes_forward_only_and_stays_in_its_register(heads: Ceremony) -> None:
    pin, later = heads.begin().base.pins[LIST], Branch(2, Ref(3, "1" * 64))
    assert pin.branch == Branch(1, Ref(1, pin.register))
    for other, said in (
        (pin, "branch 1 of .* begins with act 1 already"),
        (replace(pin, branch=replace(later, number=1)), "begins with act 1 already"),
        (replace(pin, branch=replace(later, number=3)), "begins with act 1 already"),
        (replace(pin, branch=Branch(2, pin.branch.act)), "begins with act 1 already"),
        (replace(pin, register="0" * 64, branch=later), "would become another one"),
        (replace(pin, environment="production", branch=later), "would become another one"),
    ):
        with pytest.raises(RefusedError, match=said):
            heads.begin().state(other, heads.now)
    with pytest.raises(UsageError, match="nothing of a list nobody"):
        heads.begin().state(replace(pin, list_id="nobody"), heads.now)
    newer = heads.begin().state(replace(pin, branch=later), heads.now)
    assert list(newer.documents) == ["targets"]
    assert "branch 2, which holds act 3" in "\n".join(changes(newer))


# --- Files that travel ------------------------------------------------------------------------------------------------


class Machine:
    """A head's own machine: a key folder, and perhaps a copy of the trust folder."""

    def __init__(self, folder: Path, trust: Path | None = None) -> None:
        folder.mkdir()
        self.keys = KeyFolder(folder / "keys", no_passphrase)
        if trust is not None:
            shutil.copytree(trust, folder / "trust")
        self.heads = Ceremony(TrustFolder(folder / "trust"), self.keys, NOW)

    def make(self, role: str) -> PublicKey:
        private, public = new_key()
        self.keys.create(role_key_name(role, public.keyid), private, encrypt=False)
        return public


def test_two_of_three_on_three_machines(heads: Ceremony, tmp_path: Path) -> None:
    """The office proposes and signs; a machine with nothing but a key co-signs; the office puts it in force."""
    two, three = Machine(tmp_path / "two"), Machine(tmp_path / "three", heads.heads.path)
    proposal = heads.begin()
    for machine in (two, three):
        proposal = proposal.add_key("root", machine.make("root"), NOW)
    heads.propose(proposal.threshold("root", 2, NOW))
    before = kept(heads)
    signed = heads.sign(heads.load(heads.path), heads.path)
    assert not signed.published
    (missing,) = signed.proposal.missing()
    assert (missing.document, missing.count, len(missing.keys)) == ("root", 1, 2)
    assert kept(heads) == before
    # The file travels.
    stick = tmp_path / "proposal.json"
    shutil.copy(heads.path, stick)
    assert not two.heads.keeps_trust()
    there = two.heads.sign(two.heads.load(stick), stick)
    assert len(there.keys) == 1
    assert there.proposal.missing() == []
    assert not there.published
    assert not (tmp_path / "two/trust").exists()
    # And comes back.
    done = heads.sign(heads.load(stick), stick)
    assert done.published
    assert done.keys == ()
    assert heads.waiting() is None
    assert len(done.proposal.documents["root"].signatures) == 2
    assert heads.heads.trust().role("root").threshold == 2
    # The third machine, which has a copy of its own, follows.
    assert three.heads.sign(three.heads.load(stick), stick).published
    assert three.heads.heads.trust().root.signed.version == 2
    # Once more changes nothing.
    after = kept(heads)
    assert heads.sign(heads.load(stick), stick).published
    assert {**kept(heads), "2.root.json": b""} == {**after, "2.root.json": b""}


def test_signatures_from_two_copies_of_one_file_are_put_together(heads: Ceremony, tmp_path: Path) -> None:
    two, three = Machine(tmp_path / "two"), Machine(tmp_path / "three")
    proposal = heads.begin()
    for machine in (two, three):
        proposal = proposal.add_key("root", machine.make("root"), NOW)
    heads.propose(proposal.threshold("root", 3, NOW))
    for machine in (two, three):
        stick = tmp_path / f"{machine.keys.path.parent.name}.json"
        shutil.copy(heads.path, stick)
        machine.heads.sign(machine.heads.load(stick), stick)
    first, second = tmp_path / "two.json", tmp_path / "three.json"
    merged = heads.sign(heads.load(first), first)
    assert not merged.published
    heads.propose(merged.proposal)
    assert heads.sign(heads.load(second), second).published


def test_a_key_of_an_outsider_counts_for_nothing(heads: Ceremony, tmp_path: Path) -> None:
    outsider = Machine(tmp_path / "outsider")
    outsider.make("root")
    heads.propose(heads.begin().add_key("root", new_key()[1], NOW))
    stick = Path(shutil.copy(heads.path, tmp_path / "proposal.json"))
    signed = outsider.heads.sign(outsider.heads.load(stick), stick)
    assert signed.keys == ()
    assert signed.proposal.missing()
    # Nor does a signature that it writes in by itself, under the id of a key that counts.
    proposal = outsider.heads.load(stick)
    assert proposal.root is not None
    made = proposal.root.sign(signer(new_key()[0]), append=True)
    (keyid,) = proposal.base.keys("root")
    proposal.root.signatures[keyid] = type(made)(keyid, made.signature)
    stick.write_bytes(proposal.to_bytes())
    assert not heads.load(stick).has_signed("root", keyid)
    assert heads.load(stick).missing()
    assert heads.sign(heads.load(stick), stick).published  # with the true key, which replaces it


def test_new_keys_alone_do_not_make_a_root(heads: Ceremony, tmp_path: Path) -> None:
    """Root needs the threshold of the root before, and its own."""
    two = Machine(tmp_path / "two")
    old = next(iter(heads.begin().base.keys("root").values()))
    heads.propose(heads.begin().add_key("root", two.make("root"), NOW).remove_key("root", old.fingerprint, NOW))
    stick = Path(shutil.copy(heads.path, tmp_path / "proposal.json"))
    signed = two.heads.sign(two.heads.load(stick), stick)
    (missing,) = signed.proposal.missing()
    assert missing.keys == (old,)
    assert heads.sign(heads.load(stick), stick).published


def test_a_machine_that_stopped_between_two_files_is_finished_by_the_same_command(heads: Ceremony) -> None:
    heads.rotate(["targets"], None, None, stolen=False, encrypt=False)
    proposal = heads.load(heads.path)
    for document, _key, name in heads.able(proposal):
        metadata: Metadata[Any] = proposal.documents[document]
        metadata.sign(signer(heads.keys.private(name)), append=True)
    heads.path.write_bytes(proposal.to_bytes())
    heads.heads.write("2.root.json", proposal.documents["root"].to_bytes())
    with pytest.raises(VerificationError):
        heads.heads.trust()  # root 2 wants targets that are not there yet
    with pytest.raises(RefusedError, match="in force already"):
        heads.discard()
    assert heads.sign(heads.load(heads.path), heads.path).published
    assert heads.heads.trust().targets.signed.version == 2


def test_a_proposal_that_another_overtook(heads: Ceremony, tmp_path: Path) -> None:
    heads.propose(heads.begin().add_key("root", new_key()[1], NOW))
    old = Path(shutil.copy(heads.path, tmp_path / "old.json"))
    heads.discard()
    heads.propose(heads.begin().renew("root", NOW))
    assert heads.sign(heads.load(heads.path), heads.path).published
    with pytest.raises(RefusedError, match="root is at version 2 by now, the proposal follows 1") as caught:
        heads.sign(heads.load(old), old)
    assert "discard" in caught.value.hint


def test_a_proposal_of_another_workspace(heads: Ceremony, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", NOW)
    theirs = Ceremony(other.tree.heads, other.keys, NOW)
    theirs.propose(theirs.begin().renew("root", NOW))
    before = kept(heads)
    with pytest.raises(VerificationError, match="does not follow version 1 of root that is kept here"):
        heads.sign(heads.load(theirs.path), theirs.path)
    assert kept(heads) == before


# --- What nobody should sign ------------------------------------------------------------------------------------------

Change = Callable[[Proposal], Any]


def _targets(proposal: Proposal) -> Any:
    return proposal.renew("targets", NOW)


def other_id(proposal: Proposal) -> Proposal:
    """The one key of root once more, under another id: it would count twice."""
    edited = proposal.renew("root", NOW)
    key = next(iter(edited.after.root.signed.keys.values()))
    twin = SSlibKey("0" * 64, key.keytype, key.scheme, dict(key.keyval))
    edited.after.root.signed.add_key(twin, "root")
    edited.after.role("root").threshold = 2
    return edited


def another_spelling(proposal: Proposal) -> Proposal:
    """The same with its digits written otherwise, and under its own id."""
    edited = proposal.renew("root", NOW)
    (keyid,) = edited.after.role("root").keyids
    key = edited.after.root.signed.keys[keyid]
    key.keyval["public"] = key.keyval["public"].upper()
    edited.after.root.signed.roles["timestamp"].keyids.append(keyid)
    return edited


def more_paths(proposal: Proposal) -> Proposal:
    edited = _targets(proposal)
    edited.after.targets.signed.delegations.roles[LIST].paths.append("registers/*")
    return edited


def another_target(proposal: Proposal) -> Proposal:
    edited = _targets(proposal)
    edited.after.targets.signed.targets["other/file"] = TargetFile.from_data("other/file", b"x", ["sha256"])
    return edited


def another_register(proposal: Proposal) -> Proposal:
    pin = replace(proposal.base.pins[LIST], register="0" * 64, branch=Branch(2, Ref(9, "0" * 64)))
    edited = _targets(proposal)
    edited.after.targets.signed.targets[pin.target] = pin.file()
    return replace(edited, pins={LIST: pin})


def a_pin_that_is_not_shown(proposal: Proposal) -> Proposal:
    edited = _targets(proposal)
    edited.after.targets.signed.targets[f"registers/{LIST}.json"] = TargetFile.from_data("x", b"x", ["sha256"])
    return edited


def branch_back(proposal: Proposal) -> Proposal:
    pin = replace(proposal.base.pins[LIST], branch=Branch(2, Ref(1, "0" * 64)))
    edited = _targets(proposal)
    edited.after.targets.signed.targets[pin.target] = pin.file()
    return replace(edited, pins={LIST: pin})


def valid_for_ever(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.root.signed.expires += timedelta(days=3650)
    return edited


def expired(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.root.signed.expires = NOW
    return edited


def version_skipped(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.root.signed.version = 3
    return edited


def not_consistent(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.root.signed.consistent_snapshot = False
    return edited


def an_unknown_field(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.root.signed.unrecognized_fields["mirror"] = "https://evil.example"
    return edited


def a_key_without_a_role(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    key = tuf_key(new_key()[1])
    edited.after.root.signed.keys[key.keyid] = key
    return edited


def nobody_can_sign(proposal: Proposal) -> Proposal:
    edited = proposal.renew("root", NOW)
    edited.after.role("root").threshold = 5
    return edited


def stolen_and_still_used(proposal: Proposal) -> Proposal:
    return replace(proposal.renew("root", NOW), stolen=frozenset(proposal.base.role("timestamp").keyids))


FOUNDED = Pin("other-list", "test", "a" * 64, Branch(1, Ref(1, "a" * 64)))


def new_list(proposal: Proposal, pin: Pin = FOUNDED) -> Proposal:
    return proposal.let_in(pin, new_key()[1], NOW)


def new_list_with(**change: Any) -> Change:
    """A list that is let in by another statement than that of `init`."""

    def changed(proposal: Proposal) -> Proposal:
        return new_list(proposal, replace(FOUNDED, **change))

    changed.__name__ = f"new_list_with_{'_'.join(change)}"
    return changed


def new_list_for_another(proposal: Proposal) -> Proposal:
    """Its key would speak for what the other list publishes."""
    edited = new_list(proposal)
    edited.after.targets.signed.delegations.roles["other-list"].paths.append(f"{LIST}/*")
    return edited


def new_list_that_goes_on(proposal: Proposal) -> Proposal:
    edited = new_list(proposal)
    edited.after.targets.signed.delegations.roles["other-list"].terminating = False
    return edited


def new_list_without_a_register(proposal: Proposal) -> Proposal:
    edited = new_list(proposal)
    del edited.after.targets.signed.targets[FOUNDED.target]
    return replace(edited, pins={})


def new_register_without_a_key(proposal: Proposal) -> Proposal:
    edited = _targets(proposal)
    edited.after.targets.signed.targets[FOUNDED.target] = FOUNDED.file()
    return replace(edited, pins={"other-list": FOUNDED})


def new_list_with_another_file(proposal: Proposal) -> Proposal:
    edited = new_list(proposal)
    edited.after.targets.signed.targets[FOUNDED.target].unrecognized_fields["custom"] = {
        "mirror": "https://evil.example"
    }
    return edited


def one_list_instead_of_another(proposal: Proposal) -> Proposal:
    edited = new_list(proposal)
    targets = edited.after.targets.signed
    (keyid,) = targets.delegations.roles.pop(LIST).keyids
    del targets.delegations.keys[keyid], targets.targets[f"registers/{LIST}.json"]
    return edited


UNSOUND: dict[Change, str] = {
    other_id: "is listed under another id",
    another_spelling: "is there twice: for root and for timestamp",
    more_paths: "changes more than keys",
    another_target: "changes more than keys",
    another_register: "would become another one",
    a_pin_that_is_not_shown: "is not what was signed",
    branch_back: "begins with act 1 already",
    valid_for_ever: "would be valid until",
    expired: "would be valid until",
    version_skipped: "does not follow version 1",
    not_consistent: "changes more than keys",
    an_unknown_field: "changes more than keys",
    a_key_without_a_role: "keys that no role uses",
    nobody_can_sign: "would need 5 signatures",
    stolen_and_still_used: "would still be in use",
    new_list_with(environment="production"): "of another environment than the others",
    new_list_with(list_id="mirrors/x"): "changes more than keys",
    new_list_with(list_id="registers"): "changes more than keys",
    new_list_with(branch=Branch(1, Ref(2, "b" * 64))): "changes more than keys",
    new_list_with(register="\x1b[2J", branch=Branch(1, Ref(1, "\x1b[2J"))): "of a register cannot be read",
    new_list_for_another: "changes more than keys",
    new_list_that_goes_on: "changes more than keys",
    new_list_without_a_register: "changes more than keys",
    new_register_without_a_key: "changes more than keys",
    new_list_with_another_file: "changes more than keys",
    one_list_instead_of_another: "state other registers|changes more than keys",
}


@pytest.mark.parametrize("change", UNSOUND, ids=lambda change: change.__name__)
def test_what_nobody_should_sign(heads: Ceremony, tmp_path: Path, change: Change) -> None:
    """A file that no command of ours made is refused before anything is shown as harmless or signed."""
    stick, before = tmp_path / "proposal.json", kept(heads)
    stick.write_bytes(change(heads.begin()).to_bytes())
    content = stick.read_bytes()
    with pytest.raises(BlocklistError, match=UNSOUND[change]):
        heads.load(stick)
    shutil.copy(stick, tmp_path / "there.json")
    heads.path.parent.mkdir()
    shutil.copy(stick, heads.path)
    with pytest.raises(BlocklistError):
        heads.begin()
    assert stick.read_bytes() == content
    assert kept(heads) == before
    assert heads.discard()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"form":"blocklist trust proposal, form 1"}',
        b'{"form":2}',
    ],
)
def test_what_is_no_proposal(heads: Ceremony, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "proposal.json"
    path.write_bytes(content)
    with pytest.raises(VerificationError, match="is no trust proposal that this program knows"):
        heads.load(path)


@pytest.mark.parametrize("part", ["base", "next"])
@pytest.mark.parametrize("change", ["gone", "other type", "text", "pins"])
def test_a_damaged_proposal(heads: Ceremony, tmp_path: Path, part: str, change: str) -> None:
    members = json.loads(heads.begin().renew("root", NOW).renew("targets", NOW).to_bytes())
    if change == "gone":
        del members[part]
    elif change == "other type":
        members[part]["root"], members[part]["targets"] = members[part]["targets"], members[part]["root"]
    elif change == "text":
        members[part]["root"] = "x"
    else:
        members[part]["pins"] = {LIST: "{}"}
    path = tmp_path / "proposal.json"
    path.write_text(json.dumps(members))
    with pytest.raises(VerificationError):
        heads.load(path)


def test_a_key_that_is_none(heads: Ceremony) -> None:
    key = tuf_key(new_key()[1])
    for text in ("", "00", "zz", "-----BEGIN PUBLIC KEY-----"):
        bad = copy.deepcopy(key)
        bad.keyval["public"] = text
        with pytest.raises(VerificationError, match="hold a key that is not"):
            public_key(bad)


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
def test_keys_of_tokens_can_have_a_role(site: Site, heads: Ceremony, curve: type[ec.EllipticCurve]) -> None:
    """Keys of tokens are ECDSA, and bear whatever name the head gave them."""
    private = ec.generate_private_key(curve())
    public = site.keys.create("head-2-token", private, encrypt=False)
    heads.propose(heads.begin().add_key("root", public, NOW).threshold("root", 2, NOW))
    signed = heads.sign(heads.load(heads.path), heads.path)
    assert signed.published
    assert public in signed.keys


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "said"),
    [(61, ""), (60, "ends in 60 days"), (1, "ends in 1 day,"), (0, "has expired"), (-9, "has expired")],
)
def test_an_end_is_told_sixty_days_before(left: int, said: str) -> None:
    text = ends("root", NOW + left * DAY, NOW)
    assert (said in text) if said else (text == "")


# --- Commands ---------------------------------------------------------------------------------------------------------


def trust(shell: Shell, *words: str | Path, **rest: Any) -> Any:
    return shell("trust", *words, **rest)


def test_show(shell: Shell) -> None:
    text = trust(shell, "show").stdout
    for role in ("root", "targets", "snapshot", "timestamp", LIST):
        assert f"\n{role}" in text
    stated = shell.json("trust", "show")
    assert (stated["root"]["version"], stated["targets"]["version"]) == (1, 1)
    by_role = {entry["role"]: entry for entry in stated["roles"]}
    assert set(by_role) == {"root", "targets", "snapshot", "timestamp", LIST}
    for entry in by_role.values():
        (key,) = entry["keys"]
        assert key["here"]
        assert key["fingerprint"] in text
        assert key["fingerprint"].replace("-", "") == key["id"][:20]
    assert stated["warnings"] == []
    assert stated["proposal"] is None
    assert any(line.startswith("root: there is 1 key") for line in stated["advice"])
    next(shell.keys.glob("root-*.pem")).unlink()
    by_role = {entry["role"]: entry for entry in shell.json("trust", "show")["roles"]}
    assert not by_role["root"]["keys"][0]["here"]


def test_show_and_status_warn_ahead(shell: Shell) -> None:
    now = datetime.now(UTC)
    shell.at(now + timedelta(days=300))
    assert shell.json("trust", "show")["warnings"] == []
    shell.at(now + timedelta(days=310))
    warnings = shell.json("trust", "show")["warnings"]
    assert [line.split(" ends in")[0] for line in warnings] == ["root", "targets", "the seal's certificate"]
    assert all("trust renew" in line for line in warnings[:2])
    assert shell.json("status")["warnings"] == warnings
    assert "warning: root ends in" in trust(shell, "show").stderr
    shell.at(now + timedelta(days=400))
    expired = shell.json("trust", "show")["warnings"]
    assert sum("has expired" in line for line in expired) == 4  # and the revocation list


def test_status_is_shown_when_the_trust_folder_is_gone(shell: Shell) -> None:
    shutil.rmtree(shell.office / "lists/trust")
    shell.refused("trust", "show", code=2, message="there is no root metadata")


def test_renewing(shell: Shell) -> None:
    now = datetime.now(UTC)
    shell.at(now + timedelta(days=320))
    proposed = shell.json("trust", "renew")
    assert sorted(entry["document"] for entry in proposed["missing"]) == ["root", "targets"]
    assert shell.json("trust", "sign")["published"]
    stated = shell.json("trust", "show")
    assert stated["root"]["version"] == 2
    assert all("seal" in line for line in stated["warnings"])
    assert trust(shell, "renew", "root").exit_code == 0
    assert "root: version 3" in trust(shell, "sign").stderr


def test_co_signing_with_commands(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    second, away = shell.folder / "second-keys", shell.folder / "away"
    monkeypatch.setenv("BLOCKLIST_KEYS", str(second))
    made = shell.json("trust", "key", "new", "root", "--no-passphrase")
    assert Path(made["public"]).parent == second
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.keys))
    proposed = shell.json("trust", "key", "add", "root", "--key", made["public"])
    assert any(made["fingerprint"] in line for line in proposed["changes"])
    result = trust(shell, "threshold", "root", "2")
    assert "advice: root: all 2 keys have to sign" in result.stderr
    shell.refused("trust", "threshold", "root", "3", code=1, message="would need 3 signatures and has 2 keys")
    shell.refused(
        "trust", "key", "add", "targets", "--key", made["public"], code=1, message="is there already, for root"
    )
    first = shell.json("trust", "sign")
    assert (len(first["signed"]), first["published"]) == (1, False)
    (missing,) = first["missing"]
    assert missing["keys"] == [made["fingerprint"]]
    assert "1 more signature is needed, of " + made["fingerprint"] in trust(shell, "sign").stderr
    # Elsewhere: another key folder, and no workspace.
    stick = Path(shutil.copy(proposed["path"], shell.folder / "stick.json"))
    away.mkdir()
    monkeypatch.setenv("BLOCKLIST_KEYS", str(second))
    there = shell("-C", away, "trust", "sign", stick, where=False)
    assert "this machine keeps no versions of its own" in there.stderr
    assert "carry" in there.stderr
    assert proposed["fingerprint"] != first["fingerprint"]  # the threshold came later
    assert f"all who sign this see the fingerprint {first['fingerprint']}" in there.stderr
    # And back.
    monkeypatch.setenv("BLOCKLIST_KEYS", str(shell.keys))
    done = shell.json("trust", "sign", stick)
    assert done["published"]
    assert shell.json("trust", "show")["root"]["version"] == 2
    assert (shell.office / "exports/metadata/2.root.json").exists()
    shell.refused("trust", "sign", code=2, message="no proposal waits")
    assert not shell.json("trust", "discard")["discarded"]


def test_a_proposal_is_shown_and_asked_about_before_it_is_signed(shell: Shell) -> None:
    trust(shell, "rotate", "timestamp")
    assert "a proposal waits" in trust(shell, "show").stderr
    shell.terminal()
    result = trust(shell, "sign", input="n\n", expect=130)
    assert "timestamp: + key" in result.stderr
    assert "timestamp: - key" in result.stderr
    assert not (shell.office / "lists/trust/2.root.json").exists()
    assert trust(shell, "sign", input="y\n").exit_code == 0
    assert (shell.office / "lists/trust/2.root.json").exists()


def test_branch_command(listed: Shell) -> None:
    listed.refused("trust", "branch", "99", code=2, message="has no act 99")
    listed.refused("trust", "branch", "1", code=1, message="begins with act 1 already")
    proposed = listed.json("trust", "branch", "3")
    assert any("branch 2, which holds act 3" in line for line in proposed["changes"])
    assert any("branch 2, which holds act 5" in line for line in listed.json("trust", "branch")["changes"])
    assert listed.json("trust", "sign")["published"]
    chosen = listed.json("trust", "show")["branches"][LIST]
    assert (chosen["number"], chosen["act"]["seq"]) == (2, 5)
    assert "branch 2, which holds act 5" in listed("trust", "show").stdout
    path = listed.subscribe()
    listed("pull", "-c", path, "--accept", where=False)
    listed("publish")
    assert "installed" in listed("pull", "-c", path, where=False).stderr


def test_keys_that_the_command_makes(shell: Shell) -> None:
    for role, kind in (("timestamp", "ed25519"), ("seal", "P-384")):
        made = shell.json("trust", "key", "new", role)
        public = PublicKey.from_pem(Path(made["public"]).read_bytes(), "key")
        assert (len(public.der) > 100) == (kind == "P-384")
        assert Path(made["public"]).with_suffix(".pem").stat().st_mode & 0o777 == 0o600
    shell.refused("trust", "key", "new", "../x", code=2, message="cannot be the name of a key")
    shell.refused("trust", "key", "new", "root", code=2, message="passphrase")


def test_a_rotation_asks_for_a_passphrase_for_a_heads_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = shell.folder / "secret"
    secret.write_text("a passphrase\n")
    monkeypatch.setenv("BLOCKLIST_PASSPHRASE_FILE", str(secret))
    trust(shell, "rotate", "root")
    assert len(list(shell.keys.glob("root-*.p12"))) == 1
    assert shell.json("trust", "sign")["published"]


@pytest.mark.parametrize(
    "words", [("show",), ("renew",), ("rotate", "root"), ("threshold", "root", "1"), ("seal", "renew")]
)
def test_without_a_workspace(empty: Shell, words: tuple[str, ...]) -> None:
    empty.refused("trust", *words, code=2, message="there is no|cannot be read")


@pytest.mark.parametrize(
    "command", ["key new", "key add", "key remove", "seal renew", "seal revoke", "seal request", "seal install"]
)
def test_commands_within_groups_have_help(empty: Shell, command: str) -> None:
    text = empty("trust", *command.split(), "--help", where=False).stdout
    for option in ("-C DIR", "--list ID", "--json"):
        assert option in text


def test_the_pin_is_read_strictly() -> None:
    pin = Pin(LIST, "test", "0" * 64, Branch(1, Ref(1, "0" * 64)))
    assert Pin.from_bytes(pin.to_bytes()) == pin
    for content in (b"", b"[]", pin.to_bytes().strip(), pin.to_bytes().replace(b'":"', b'": "'), b'{"list":1}'):
        with pytest.raises(VerificationError):
            Pin.from_bytes(content)
