"""Receipts: their one form, how the office takes them in, and what `show` then says of each provider."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from kit.breaking import Breaking
from kit.fixed import DAY, HOUR, LIST, WEEK, key
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.shell import Shell
from kit.site import Site, no_passphrase
from securesystemslib.dsse import Envelope

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import quietly, shown
from blocklist.cli.commands import main
from blocklist.client.rollback import rollback
from blocklist.keys.encoding import PublicKey, SigningKey, signer
from blocklist.keys.folder import KeyFolder
from blocklist.register import acts
from blocklist.register.decoders import Ref, encode, folder_name, format_instant
from blocklist.register.policy import FORMATS
from blocklist.release import receipts
from blocklist.release.contents import BrakeError
from blocklist.release.receipts import Applied, Receipt, Received

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RELEASED = datetime.now(UTC).replace(second=0, microsecond=0) + HOUR
"""When the first release is made: python-tuf looks at the real clock, for which what is to come is valid."""

APPLIED = RELEASED + MINUTE
FOLDER = folder_name(RELEASED)
FILE = f"{FOLDER}-{folder_name(APPLIED)}.json"
FIRST, LATER = Applied(1795348800, Ref(4, "4" * 64)), Applied(1795352400, Ref(9, "9" * 64))
RECEIPT = Receipt(
    list=LIST,
    environment="test",
    register="a" * 64,
    provider="isp-one",
    shown=LATER,
    let_in=FIRST,
    applied=APPLIED,
    names=7,
    added=2,
    ended=1,
    waiting=3,
    installed=(("hosts", "b" * 64), ("rpz", "c" * 64)),
    failed=("unbound",),
)

# --- The form ---------------------------------------------------------------------------------------------------------

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(0, 2**53 - 1)


@st.composite
def any_receipt(draw: st.DrawFn) -> Receipt:
    shown = Applied(draw(st.integers(2, 2**32 - 1)), Ref(draw(st.integers(1, 2**53 - 1)), draw(digests)))
    older = Applied(draw(st.integers(1, shown.release - 1)), Ref(draw(st.integers(1, shown.head.seq)), draw(digests)))
    return Receipt(
        list=LIST,
        environment=draw(st.sampled_from(acts.ENVIRONMENTS)),
        register=draw(digests),
        provider=draw(st.sampled_from(["", "isp-one", "a"])),
        shown=shown,
        let_in=draw(st.sampled_from([shown, older])),
        applied=draw(st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31))).replace(microsecond=0, tzinfo=UTC),  # noqa: DTZ001
        **{name: draw(counts) for name in ("names", "added", "ended", "waiting")},
        installed=tuple(sorted(draw(st.dictionaries(st.sampled_from(FORMATS), digests)).items())),
        failed=tuple(sorted(draw(st.sets(st.sampled_from(FORMATS))))),
    )


@given(any_receipt(), st.sampled_from([None, "isp-one"]))
def test_a_receipt_has_one_form_and_that_is_read_as_it_was_written(receipt: Receipt, by: str | None) -> None:
    content = receipts.write(receipt, key(by) if by else None)
    read = receipts.read(content)
    assert read.receipt == receipt
    assert read.payload == receipt.payload() == encode(json.loads(read.payload))
    assert (read.signature is None) == (by is None)
    assert receipts.write(read.receipt, key(by) if by else None) == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def refused(content: bytes) -> None:
    with pytest.raises(VerificationError, match="no receipt of this program"):
        receipts.read(content)


@given(st.binary(max_size=60))
def test_other_bytes_are_no_receipt(content: bytes) -> None:
    refused(content)


@given(st.sampled_from(sorted(json.loads(RECEIPT.payload()))), json_values)
def test_whatever_a_member_holds_is_read_in_one_form_or_refused(name: str, value: object) -> None:
    content = encode({**json.loads(RECEIPT.payload()), name: value})
    try:
        read = receipts.read(content)
    except VerificationError:
        return
    assert read.receipt.payload() == content


def changed(**members: object) -> bytes:
    """The payload with other members; None takes one out."""
    return encode({k: v for k, v in {**json.loads(RECEIPT.payload()), **members}.items() if v is not None})


ONE = {"format": "rpz", "sha256": "c" * 64}


@pytest.mark.parametrize(
    "payload",
    [
        changed(more=1),
        changed(names=None),
        changed(list="No List"),
        changed(environment="staging"),
        changed(register="A" * 64),
        changed(provider=[]),
        changed(provider="ISP"),
        changed(release=0),
        changed(release=2**32),
        changed(release=True),
        changed(release="1795352400"),
        changed(head={"id": "9" * 64, "seq": 0}),
        changed(head={"id": "9" * 64, "seq": 9, "more": 1}),
        changed(head={"id": "9" * 63, "seq": 9}),
        changed(let_in={**FIRST.to_json(), "more": 1}),
        changed(let_in={**LATER.to_json(), "release": LATER.release + 1}),
        changed(let_in=Applied(FIRST.release, Ref(10, "9" * 64)).to_json()),
        changed(let_in=Applied(LATER.release, FIRST.head).to_json()),
        changed(applied="2026-11-22 12:00:00Z"),
        changed(names=-1),
        changed(names=1.0),
        changed(added=2**53),
        changed(waiting=False),
        changed(installed={}),
        changed(installed=[ONE, ONE]),
        changed(installed=[{**ONE, "path": "/etc/named/rpz.zone"}]),
        changed(installed=[{**ONE, "format": "zone"}]),
        changed(installed=[ONE, {"format": "hosts", "sha256": "b" * 64}]),
        changed(failed="rpz"),
        changed(failed=["unbound", "rpz"]),
        changed(failed=["rpz", "rpz"]),
        changed(failed=[["rpz"]]),
        RECEIPT.payload().replace(b'"added":2', b'"added":2,"added":2'),
        RECEIPT.payload().replace(b":", b": "),
        RECEIPT.payload() + b"\n\n",
        RECEIPT.payload().decode().encode("utf-16"),
        b"[" * 100_000,
    ],
    ids=lambda payload: str(payload[-60:]),
)
def test_another_form_is_refused(payload: bytes) -> None:
    refused(payload)


def test_a_receipt_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(VerificationError, match="too large"):
        receipts.read(b" " * (receipts.MAX_RECEIPT + 1))


# --- Signatures -------------------------------------------------------------------------------------------------------

SIGNED = receipts.write(RECEIPT, key("isp-one"))


def public(name: str) -> PublicKey:
    return PublicKey.wrap(key(name).public_key())


@pytest.mark.parametrize(
    "made",
    [key("isp-one"), ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())],
    ids=["ed25519", "p256", "p384"],
)
def test_every_kind_of_key_signs(made: SigningKey) -> None:
    received = receipts.read(receipts.write(RECEIPT, made))
    received.verify(PublicKey.wrap(made.public_key()), "isp-one")
    with pytest.raises(VerificationError, match="not signed with the key of isp-one"):
        received.verify(public("isp-two"), "isp-one")
    with pytest.raises(VerificationError, match="not signed with the key of isp-one"):
        replace(received, payload=replace(RECEIPT, names=8).payload()).verify(
            PublicKey.wrap(made.public_key()), "isp-one"
        )


def test_another_program_for_dsse_verifies_it() -> None:
    envelope = Envelope.from_dict(json.loads(SIGNED))
    assert envelope.payload == RECEIPT.payload()
    envelope.verify([signer(key("isp-one")).public_key], 1)


def test_what_is_not_signed_is_not_verified() -> None:
    with pytest.raises(VerificationError, match="the receipt is not signed, and isp-one has a key"):
        receipts.read(receipts.write(RECEIPT, None)).verify(public("isp-one"), "isp-one")


def test_a_signature_of_an_act_is_none_of_a_receipt() -> None:
    signature = key("isp-one").sign(acts.authenticated_bytes(RECEIPT.payload()))
    with pytest.raises(VerificationError, match="not signed with the key"):
        Received(RECEIPT, RECEIPT.payload(), signature).verify(public("isp-one"), "isp-one")


def enveloped(**members: object) -> bytes:
    return encode({**json.loads(SIGNED), **members})


SIGNATURE = json.loads(SIGNED)["signatures"][0]


@pytest.mark.parametrize(
    "content",
    [
        enveloped(more=1),
        enveloped(payloadType=acts.PAYLOAD_TYPE),
        enveloped(payload=5),
        enveloped(payload=base64.b64encode(b"{}").decode()),
        enveloped(payload=json.loads(SIGNED)["payload"] + "\n"),
        enveloped(signatures=[]),
        enveloped(signatures=[SIGNATURE, SIGNATURE]),
        enveloped(signatures=[{**SIGNATURE, "more": 1}]),
        enveloped(signatures=[{**SIGNATURE, "keyid": "isp-one"}]),
        enveloped(signatures=[{**SIGNATURE, "sig": "*"}]),
        enveloped(signatures=SIGNATURE),
        SIGNED.replace(b",", b", "),
        b'"payloadType"',
    ],
    ids=lambda content: str(content[-60:]),
)
def test_another_form_of_an_envelope_is_refused(content: bytes) -> None:
    refused(content)


# --- An office with providers -----------------------------------------------------------------------------------------


class World:
    """An office, its commands, and providers that really pull; the clock is that of the site."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.site = ready_made(shell.folder, RELEASED - HOUR, _listed)
        self.providers: dict[str, Provider] = {}
        self.keys = KeyFolder(shell.folder / "provider-keys", no_passphrase)
        shell.at(self.site.now)

    @property
    def now(self) -> datetime:
        return self.site.now

    @property
    def lists(self) -> Path:
        return self.site.workspace.lists

    def wait(self, later: timedelta) -> None:
        self.site.now += later
        self.shell.at(self.site.now)

    def subscribe(self, name: str, *, signs: bool = True, says: str | None = None) -> None:
        """A provider that has pulled once, and whose key the office knows, if it signs."""
        provider = Provider(self.shell.folder / name, self.site.exports.as_uri(), self.site.root.read_bytes())
        provider.edit(provider=name if says is None else says)
        if signs:
            self.keys.create(name, key(name), encrypt=False)
            self.know(name)
            provider.edit(receipt_key=self.keys.path / f"{name}.pem")
        self.providers[name] = provider
        provider.pull(self.now, accept="any")

    def know(self, name: str) -> None:
        (self.lists / "providers").mkdir(exist_ok=True)
        (self.lists / "providers" / f"{name}.pub").write_bytes((self.keys.path / f"{name}.pub").read_bytes())

    def receipt(self, name: str) -> Path:
        return self.providers[name].list_state.receipt_path

    def pull(self, name: str, **options: Any) -> Path:
        """A pull, and the receipt that it wrote; a brake may hold additions."""
        error = self.providers[name].attempt(self.now, **options).error
        assert error is None or isinstance(error, BrakeError), error
        return self.receipt(name)

    def hand_in(self, *paths: str | Path, **rest: Any) -> Any:
        return self.shell("receipt", "add", *paths, **rest)

    def report(self, name: str, **options: Any) -> None:
        """A pull whose receipt reaches the office at once."""
        self.hand_in(self.pull(name, **options))

    def altered(self, name: str, change: Callable[[Receipt], Receipt], by: str | None = "") -> Path:
        """The receipt of a provider, changed, and signed with its own key or as `by` says."""
        made = change(receipts.read(self.receipt(name).read_bytes()).receipt)
        path = self.shell.folder / "altered.json"
        signs = name if by == "" else by
        path.write_bytes(receipts.write(made, key(signs) if signs else None))
        return path

    def kept(self) -> dict[str, bytes]:
        folder = self.lists / "receipts"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def refused(self, path: Path, *more: str, code: int, message: str) -> None:
        """The command refuses the file in one sentence with a hint, and keeps nothing."""
        before = self.kept()
        said = self.shell.refused("receipt", "add", path, *more, code=code, message=message).stderr
        assert str(path) in said
        assert "blocklist: hint: " in said
        assert self.kept() == before

    def told(self, name: str, what: str) -> list[str]:
        """What `show` says that providers did about the one event whose sentence begins so."""
        (event,) = [event for event in self.shell.json("show", name)["events"] if event["what"].startswith(what)]
        return list(event["details"])

    def stated(self, name: str, what: str) -> list[dict[str, Any]]:
        (event,) = [event for event in self.shell.json("show", name)["events"] if event["what"].startswith(what)]
        return list(event["providers"])


def applied(provider: str, at: datetime, remarks: str) -> str:
    return f"{provider} applied this release or a later one by {shown(at)}: {remarks}"


def restored(provider: str, at: datetime, remarks: str) -> str:
    return f"{provider} restored it by {shown(at)}: {remarks}"


CARRIES, WITHOUT = "first release that carries it", "first release without it"


def _listed(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.now += HOUR
    made.block("bad.example")
    made.publish()
    return made


@pytest.fixture
def world(empty: Shell) -> World:
    """bad.example is listed and published; isp-one has it, and wrote a receipt."""
    made = World(empty)
    made.wait(MINUTE)
    made.subscribe("isp-one")
    return made


# --- Taking in --------------------------------------------------------------------------------------------------------


def test_a_signed_receipt_is_taken_in_as_it_came(world: World) -> None:
    said = world.hand_in(world.receipt("isp-one")).stderr
    assert said == f"isp-one, release {FOLDER} applied {shown(APPLIED)}, signed: taken in\n"
    content = world.receipt("isp-one").read_bytes()
    assert world.kept() == {f"{LIST}/isp-one/{FILE}": content}
    assert receipts.read(content).signature is not None


def test_the_same_receipt_twice_changes_nothing(world: World) -> None:
    path = world.receipt("isp-one")
    world.hand_in(path)
    kept = world.lists / "receipts" / LIST / "isp-one" / FILE
    before = kept.stat()
    assert "was here already, nothing changed" in world.hand_in(path).stderr
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_json_says_the_same(world: World) -> None:
    path = world.receipt("isp-one")
    (first,) = world.shell.json("receipt", "add", path)["receipts"]
    assert first == {
        "file": str(path),
        "path": str(world.lists / "receipts" / LIST / "isp-one" / FILE),
        "provider": "isp-one",
        "list": LIST,
        "release": int(RELEASED.timestamp()),
        "let_in": int(RELEASED.timestamp()),
        "applied": format_instant(APPLIED),
        "waiting": 0,
        "failed": [],
        "signed": True,
        "new": True,
    }
    assert world.shell.json("receipt", "add", path) == {"receipts": [{**first, "new": False}], "errors": []}


def test_no_officer_and_no_key_is_needed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKLIST_KEYS", str(world.shell.folder / "nobody"))
    world.hand_in(world.receipt("isp-one"))
    assert world.told("bad.example", CARRIES)
    assert not (world.shell.folder / "nobody").exists()


def test_a_receipt_without_a_key_is_taken_as_stated(world: World) -> None:
    world.subscribe("isp-two", signs=False)
    assert f"isp-two, release {FOLDER} applied {shown(APPLIED)}, not signed: taken in" in (
        world.hand_in(world.pull("isp-two")).stderr
    )
    (again,) = world.shell.json("receipt", "add", world.receipt("isp-two"))["receipts"]
    assert again["signed"] is False
    assert world.told("bad.example", CARRIES) == [applied("isp-two", APPLIED, "not signed")]


def test_a_signature_counts_when_the_office_has_the_key(world: World) -> None:
    (world.lists / "providers/isp-one.pub").unlink()
    assert "not signed: taken in" in world.hand_in(world.receipt("isp-one")).stderr
    assert world.told("bad.example", CARRIES)[0].endswith(": not signed")
    world.know("isp-one")
    assert world.told("bad.example", CARRIES)[0].endswith(": signed")
    assert "signed: was here already" in world.hand_in(world.receipt("isp-one")).stderr
    (world.lists / "providers/isp-one.pub").write_bytes(public("isp-two").to_pem())
    assert world.told("bad.example", CARRIES)[0].endswith(": not signed")


def test_a_provider_that_says_nothing_of_itself_is_named_by_the_office(world: World) -> None:
    world.subscribe("isp-two", signs=False, says="")
    path = world.receipt("isp-two")
    world.refused(path, code=2, message="does not say whose it is")
    world.hand_in(path, "--provider", "isp-two")
    assert [*world.kept()] == [f"{LIST}/isp-two/{FILE}"]
    assert world.told("bad.example", CARRIES)[0].startswith("isp-two applied")
    world.refused(path, "--provider", "isp-one", code=3, message="not signed, and isp-one has a key")


def test_two_words_on_whose_it_is_have_to_agree(world: World) -> None:
    world.refused(world.receipt("isp-one"), "--provider", "isp-two", code=2, message="is of isp-one, not of isp-two")
    world.hand_in(world.receipt("isp-one"), "--provider", "isp-one")


def test_the_id_of_a_provider_is_no_path(world: World) -> None:
    world.shell.refused(
        "receipt", "add", world.receipt("isp-one"), "--provider", "../x", code=2, message="is not an id"
    )
    assert world.kept() == {}


def at(**members: Any) -> Callable[[Receipt], Receipt]:
    return lambda receipt: replace(receipt, **members)


def both(change: Callable[[Applied], Applied]) -> Callable[[Receipt], Receipt]:
    return lambda receipt: replace(receipt, shown=change(receipt.shown), let_in=change(receipt.let_in))


def other_release(seconds: int) -> Callable[[Receipt], Receipt]:
    return both(lambda of: replace(of, release=of.release + seconds))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(environment="production"), r"is for .* \(production\), this register is .* \(test\)"),
        (at(register="a" * 64), "is for another register of"),
        (at(list="mirror-sites"), f"is for the list mirror-sites, not {LIST}"),
        (both(lambda of: replace(of, head=Ref(5, "a" * 64))), "shows an act 5 that this register does not"),
        (both(lambda of: replace(of, head=Ref(99, of.head.id))), "shows an act 99 that this register"),
        (at(let_in=Applied(1, Ref(1, "a" * 64))), "shows an act 1 that this register does not have"),
        (other_release(1), f"no release {folder_name(RELEASED + SECOND)} with head 5"),
        (other_release(-3601), f"no release {folder_name(RELEASED - HOUR - SECOND)} with head 5"),
        (
            lambda receipt: replace(receipt, let_in=Applied(receipt.shown.release - 1, receipt.shown.head)),
            f"no release {folder_name(RELEASED - SECOND)} with head 5",
        ),
        (
            at(applied=RELEASED - 5 * MINUTE - SECOND),
            f"at {re.escape(shown(RELEASED - 5 * MINUTE - SECOND))}, before it was made",
        ),
        (
            at(applied=RELEASED + 6 * MINUTE + SECOND),
            f"at {re.escape(shown(RELEASED + 6 * MINUTE + SECOND))}, which is in the future",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_whoever_signed_it(
    world: World, change: Callable[[Receipt], Receipt], message: str
) -> None:
    world.refused(world.altered("isp-one", change), code=3, message=message)


def test_a_release_that_is_there_has_another_head(world: World) -> None:
    older = world.shell.json("log")["acts"][3]
    other = both(lambda of: replace(of, head=Ref(older["act"], older["id"])))
    world.refused(world.altered("isp-one", other), code=3, message=f"no release {FOLDER} with head 4")


def test_no_release_shows_an_act_that_was_made_after_it(world: World) -> None:
    world.site.block("worse.example")
    head = world.shell.json("log")["acts"][-1]
    newer = both(lambda of: replace(of, head=Ref(head["act"], head["id"])))
    world.refused(world.altered("isp-one", newer), code=3, message=f"no release {FOLDER} with head 7")


def test_a_release_between_two_that_are_there_is_refused(world: World) -> None:
    world.wait(7 * HOUR)
    world.site.publish()
    changed = world.altered("isp-one", lambda receipt: replace(other_release(60)(receipt), applied=world.now))
    world.refused(changed, code=3, message=f"no release {folder_name(RELEASED + MINUTE)} with head 5")


def test_a_release_of_which_nothing_is_known_any_more_is_let_pass(world: World) -> None:
    world.wait(7 * HOUR)
    new = world.site.publish().path
    for folder in (world.site.exports / LIST).glob("2*Z"):
        if folder != new:
            folder.rename(world.shell.folder / folder.name)
    world.hand_in(world.receipt("isp-one"))
    assert len(world.kept()) == 1


@pytest.mark.parametrize("applied", [RELEASED - 5 * MINUTE, RELEASED + 6 * MINUTE])
def test_clocks_may_differ_by_five_minutes(world: World, applied: datetime) -> None:
    """`pull` itself takes a release that is up to five minutes ahead of the provider's clock."""
    world.hand_in(world.altered("isp-one", at(applied=applied)))
    assert len(world.kept()) == 1


@pytest.mark.parametrize(
    ("by", "message"),
    [("isp-two", "is not signed with the key of isp-one"), (None, "the receipt is not signed, and isp-one has a key")],
)
def test_a_provider_with_a_key_has_to_sign_with_it(world: World, by: str | None, message: str) -> None:
    world.refused(world.altered("isp-one", lambda receipt: receipt, by), code=3, message=message)


def test_a_signature_is_of_these_bytes(world: World) -> None:
    members = json.loads(world.receipt("isp-one").read_bytes())
    payload = base64.b64decode(members["payload"]).replace(b'"names":1', b'"names":2')
    path = world.shell.folder / "forged.json"
    path.write_bytes(encode({**members, "payload": base64.b64encode(payload).decode()}))
    assert receipts.read(path.read_bytes()).receipt.names == 2
    world.refused(path, code=3, message="is not signed with the key of isp-one")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 10, b'{"payloadType":"x"}', b"[]"])
def test_what_is_no_receipt_is_refused(world: World, content: bytes) -> None:
    path = world.shell.folder / "other.json"
    path.write_bytes(content)
    world.refused(path, code=3, message="that is no receipt of this program")


def test_the_record_beside_the_receipt_is_none(world: World) -> None:
    world.refused(world.providers["isp-one"].record_path, code=3, message="that is no receipt of this program")


def test_a_file_that_is_missing_or_too_large_is_refused(world: World) -> None:
    path = world.shell.folder / "none.json"
    said = world.shell.refused("receipt", "add", path, code=2, message="the receipt .* cannot be read: No such file")
    assert said.stderr.count("none.json") == 1
    path.write_bytes(b" " * (receipts.MAX_RECEIPT + 1))
    world.refused(path, code=2, message="is larger than")


def test_a_key_that_is_none_is_said(world: World) -> None:
    (world.lists / "providers/isp-one.pub").write_text("isp-one's key\n")
    world.refused(world.receipt("isp-one"), code=2, message=r"isp-one.pub holds no public key(.|\n)*put the .pub file")


def test_two_statements_for_one_instant_contradict_each_other(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    other = world.altered("isp-one", at(names=0))
    world.refused(
        other, code=1, message="isp-one stated something else for this release and instant(.|\n)*ask the prov"
    )


def test_another_office_refuses_it(world: World, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", RELEASED - HOUR, environment="test")
    where = ["-C", str(other.workspace.path), "receipt", "add", str(world.receipt("isp-one"))]
    done = CliRunner().invoke(main, where)
    assert done.exit_code == 3
    assert "is for another register of" in done.stderr
    assert not (other.workspace.lists / "receipts").exists()


def test_a_folder_without_a_register_says_so(world: World, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["-C", str(tmp_path / "nothing"), "receipt", "add", str(world.receipt("isp-one"))])
    assert done.exit_code == 2
    assert "error: " in done.stderr


def test_one_that_is_refused_holds_no_other(world: World) -> None:
    bad = world.shell.folder / "bad.json"
    bad.write_bytes(b"{}")
    world.subscribe("isp-two", signs=False)
    good = [world.receipt("isp-one"), world.pull("isp-two")]
    said = world.hand_in(good[0], bad, good[1], expect=3).stderr
    assert said.count("taken in") == 2
    assert said.count("blocklist: error: ") == 1
    assert f"{bad}: that is no receipt of this program" in said
    assert len(world.kept()) == 2
    answer = world.shell.json("receipt", "add", bad, *good, expect=3)
    assert [entry["new"] for entry in answer["receipts"]] == [False, False]
    assert answer["errors"] == [f"{bad}: that is no receipt of this program"]


def test_each_receipt_goes_to_its_own_list(world: World) -> None:
    world.shell("init", "--list", "mirror-sites", "--head", "head-x", "--no-passphrase")
    world.hand_in(world.receipt("isp-one"))
    assert [*world.kept()] == [f"{LIST}/isp-one/{FILE}"]
    world.shell.refused(
        *("--list", "mirror-sites", "receipt", "add", world.receipt("isp-one")),
        code=3,
        message=f"is for the list {LIST}, not mirror-sites",
    )
    assert len(world.kept()) == 1


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_every_account_of_the_office_can_add_and_read(world: World, umask: int) -> None:
    before = os.umask(umask)
    try:
        world.hand_in(world.receipt("isp-one"))
    finally:
        os.umask(before)
    folder = world.lists / "receipts"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*")) if path.is_dir()}
    assert modes == {0o3775}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.json")} == {0o644}


def test_nothing_confidential_is_kept(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    (content,) = world.kept().values()
    payload = receipts.read(content).payload
    for secret in (b"bad.example", b"installed.rpz", str(world.shell.folder).encode()):
        assert secret not in payload


@pytest.mark.parametrize("how", ["before", "after", "dead"])
def test_whatever_fails_a_receipt_is_kept_whole_or_not_at_all(world: World, how: str) -> None:
    path = world.receipt("isp-one")
    content, folder = path.read_bytes(), world.lists / "receipts"
    codes, number, broke = set(), 0, True
    while broke:
        number += 1
        with Breaking(number, how) as disk:
            code = CliRunner().invoke(main, ["-C", str(world.shell.office), "receipt", "add", str(path)]).exit_code
        broke = disk.broke
        codes.add(code)
        kept = [path.read_bytes() for path in folder.rglob("2*Z.json")]
        assert kept in ([], [content])
        assert code == 6 or (code == 0 and kept == [content]), (number, disk.calls)
        world.hand_in(path)
        assert world.told("bad.example", CARRIES)[0].endswith(": signed")
        for made in sorted(folder.rglob("*"), reverse=True):
            made.rmdir() if made.is_dir() else made.unlink()
        folder.rmdir()
    assert codes == {0, 6}
    assert number > 8


def test_a_damaged_receipt_is_replaced_by_the_same_one(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    ((name, content),) = world.kept().items()
    path = world.lists / "receipts" / name
    path.write_bytes(content[:100])
    told = world.told("bad.example", CARRIES)
    assert told == [f"{path} is no receipt of this register any more, and does not count"]
    assert "signed: taken in" in world.hand_in(world.receipt("isp-one")).stderr
    assert world.kept() == {name: content}


def test_a_damaged_receipt_matters_for_what_it_could_tell_and_for_nothing_else(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    ((first, _),) = world.kept().items()
    world.wait(HOUR)
    world.site.block("worse.example")
    world.site.publish()
    world.report("isp-one")
    said = applied("isp-one", world.now, "signed")
    assert world.told("bad.example", CARRIES) == [applied("isp-one", APPLIED, "signed")]
    (last,) = world.kept().keys() - {first}
    (world.lists / "receipts" / first).write_bytes(b"")
    assert world.told("worse.example", CARRIES) == [said]
    assert [line.split("/")[-1].split()[0] for line in world.told("bad.example", CARRIES)] == ["isp-one", FILE]
    (world.lists / "receipts" / last).write_bytes(b"")
    (stated,) = world.stated("worse.example", CARRIES)
    assert (stated["applied"], stated["damaged"]) == (None, [str(world.lists / "receipts" / last)])


def test_a_damaged_receipt_after_the_one_that_counts_says_nothing(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    (world.lists / "receipts" / LIST / "isp-one" / f"{FOLDER}-{folder_name(world.now + HOUR)}.json").write_bytes(b"")
    assert world.told("bad.example", CARRIES) == [applied("isp-one", APPLIED, "signed")]


def test_a_damaged_key_proves_nothing_and_stops_nobody(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    (world.lists / "providers/isp-one.pub").write_bytes(b"")
    assert world.told("bad.example", CARRIES) == [applied("isp-one", APPLIED, "not signed")]


def test_a_signature_takes_the_place_of_the_same_without(world: World) -> None:
    (world.lists / "providers/isp-one.pub").unlink()
    world.hand_in(world.altered("isp-one", lambda receipt: receipt, None))
    world.know("isp-one")
    assert world.told("bad.example", CARRIES)[0].endswith(": not signed")
    assert "signed: taken in" in world.hand_in(world.receipt("isp-one")).stderr
    assert world.told("bad.example", CARRIES)[0].endswith(": signed")
    assert len(world.kept()) == 1


# --- What `show` says -------------------------------------------------------------------------------------------------


def test_show_says_who_applied_and_restored_it_in_time(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    world.wait(DAY)
    world.site.remove("bad.example")
    world.site.publish()
    world.wait(2 * HOUR)
    world.report("isp-one")
    assert world.told("bad.example", CARRIES) == [applied("isp-one", APPLIED, "signed")]
    assert world.told("bad.example", WITHOUT) == [restored("isp-one", world.now, "signed")]
    assert world.stated("bad.example", WITHOUT) == [
        {
            "provider": "isp-one",
            "applied": format_instant(world.now),
            "signed": True,
            "late": False,
            "first": False,
            "back": None,
            "damaged": [],
        }
    ]
    text = " ".join(world.shell("show", "bad.example").stdout.split())
    before = shown(world.now - 2 * HOUR + DAY)
    assert f"providers restore before {before} {restored('isp-one', world.now, 'signed')}" in text


def test_the_earliest_receipt_counts_in_whatever_order_they_come(world: World) -> None:
    paths = []
    for number in range(3):
        path = world.shell.folder / f"receipt-{number}.json"
        path.write_bytes(world.receipt("isp-one").read_bytes())
        paths.append(path)
        world.wait(7 * HOUR)
        world.site.publish()
        world.pull("isp-one")
    world.hand_in(paths[2], paths[0], paths[1])
    assert len(world.kept()) == 3
    assert world.told("bad.example", CARRIES) == [applied("isp-one", APPLIED, "signed")]


def test_the_earliest_is_the_one_that_was_applied_first_whatever_release_it_shows(world: World) -> None:
    older = world.altered("isp-one", at(applied=RELEASED + 8 * HOUR))
    world.wait(7 * HOUR)
    world.site.publish()
    world.report("isp-one")
    said = applied("isp-one", world.now, "signed")
    world.wait(HOUR)
    world.hand_in(older)
    assert len(world.kept()) == 2
    assert world.told("bad.example", CARRIES) == [said]


def test_the_deadline_itself_is_in_time_and_the_next_second_is_late(world: World) -> None:
    for provider, later in (("isp-two", DAY - MINUTE), ("isp-three", SECOND)):
        world.wait(later)
        world.site.publish()
        world.subscribe(provider, signs=False)
        world.hand_in(world.receipt(provider))
    assert world.told("bad.example", CARRIES) == [
        applied("isp-three", RELEASED + DAY + SECOND, "not signed, LATE (its first receipt)"),
        applied("isp-two", RELEASED + DAY, "not signed"),
    ]
    assert [(entry["provider"], entry["late"]) for entry in world.stated("bad.example", CARRIES)] == [
        ("isp-three", True),
        ("isp-two", False),
    ]


def test_a_provider_that_reported_before_is_late_without_excuse(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    world.site.remove("bad.example")
    world.site.publish()
    world.wait(DAY + MINUTE)
    world.site.publish()
    world.report("isp-one")
    assert world.told("bad.example", WITHOUT) == [restored("isp-one", world.now, "signed, LATE")]


def test_who_has_not_reported_is_named_once_the_time_is_over(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    world.wait(HOUR)
    world.site.block("worse.example")
    world.site.remove("bad.example")
    world.site.publish()
    world.wait(DAY)
    assert world.told("worse.example", CARRIES) == []
    assert world.stated("bad.example", WITHOUT) == []
    world.wait(SECOND)
    assert world.told("worse.example", CARRIES) == [
        "isp-one has not reported that it applied this release or a later one; the time is over"
    ]
    assert world.told("bad.example", WITHOUT) == ["isp-one has not reported that it restored it; the time is over"]
    (stated,) = world.stated("bad.example", WITHOUT)
    assert (stated["provider"], stated["applied"], stated["late"]) == ("isp-one", None, True)


def test_who_never_sent_a_receipt_is_not_named(world: World) -> None:
    world.wait(WEEK)
    assert world.told("bad.example", CARRIES) == []
    assert "providers" in world.shell.json("show", "bad.example")["events"][0]


def test_additions_that_wait_are_not_applied_and_endings_are_restored(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    world.providers["isp-one"].edit(never_block=frozenset({"worse.example"}))
    world.wait(HOUR)
    world.site.block("worse.example")
    world.site.remove("bad.example")
    world.site.publish()
    world.wait(MINUTE)
    said = world.hand_in(world.pull("isp-one")).stderr
    assert f"1 name that was added after release {FOLDER} waits there" in said
    assert world.told("bad.example", WITHOUT) == [restored("isp-one", world.now, "signed")]
    assert world.told("worse.example", CARRIES) == []
    world.wait(DAY)
    assert "isp-one has not reported that it applied this" in world.told("worse.example", CARRIES)[0]
    world.providers["isp-one"].edit(never_block=frozenset())
    world.site.publish()
    world.report("isp-one")
    assert world.told("worse.example", CARRIES) == [applied("isp-one", world.now, "signed, LATE")]


def test_what_could_not_be_put_in_place_does_not_count(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    provider = world.providers["isp-one"]
    world.wait(HOUR)
    world.site.block("worse.example")
    world.site.publish()
    provider.aim(*(replace(target, reload="false" if target.format == "rpz" else "") for target in provider.targets))
    said = world.hand_in(world.pull("isp-one")).stderr
    assert "could not be put in place there: rpz" in said
    assert world.told("worse.example", CARRIES) == []
    world.wait(2 * HOUR)
    provider.reload_with("true")
    world.report("isp-one")
    assert world.told("worse.example", CARRIES) == [applied("isp-one", world.now, "signed")]


def test_a_provider_that_went_back_is_shown_so_until_it_resumes(world: World) -> None:
    world.wait(HOUR)
    world.site.block("worse.example")
    world.site.publish()
    world.hand_in(world.receipt("isp-one"))
    world.report("isp-one")
    said = applied("isp-one", world.now, "signed")
    world.wait(HOUR)
    provider = world.providers["isp-one"]
    rollback(provider.subscription, LIST, None, world.now, quietly)
    assert "1 name that was added after" in world.hand_in(world.receipt("isp-one")).stderr
    assert world.told("worse.example", CARRIES) == [f"{said}, went back to an older release by {shown(world.now)}"]
    assert world.stated("worse.example", CARRIES)[0]["back"] == format_instant(world.now)
    assert world.told("bad.example", CARRIES)[0].endswith(": signed")
    world.wait(HOUR)
    world.report("isp-one", resume=True)
    assert world.told("worse.example", CARRIES) == [said]


def test_a_lapse_is_restored_too(world: World) -> None:
    world.wait(HOUR)
    world.site.block("brief.example", review_by=world.now + 2 * DAY)
    world.site.publish()
    world.report("isp-one")
    said = applied("isp-one", world.now, "signed")
    world.wait(2 * DAY)
    world.site.publish()
    world.wait(MINUTE)
    world.report("isp-one")
    assert world.told("brief.example", CARRIES) == [said]
    assert world.told("brief.example", WITHOUT) == [restored("isp-one", world.now, "signed")]


def test_a_receipt_under_another_name_or_of_another_does_not_count(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    ((name, content),) = world.kept().items()
    folder = world.lists / "receipts" / LIST
    (folder / "isp-two").mkdir()
    (folder / "isp-two" / Path(name).name).write_bytes(content)
    moved = folder / "isp-one" / f"{FOLDER}-{FOLDER}.json"
    moved.write_bytes(content)
    told = world.told("bad.example", CARRIES)
    assert [line.split("/")[-1] for line in told[1:]] == [
        f"{FOLDER}-{FOLDER}.json is no receipt of this register any more, and does not count",
        f"{FILE} is no receipt of this register any more, and does not count",
    ]
    assert told[0].startswith("isp-one applied")


def test_a_receipt_of_acts_that_an_older_copy_lacks_does_not_count(world: World) -> None:
    """As after a fork, or with yesterday's backup: what a receipt says is held against the acts each time."""
    world.hand_in(world.receipt("isp-one"))
    ((name, _),) = world.kept().items()
    forked = at(
        shown=Applied(receipts.read(world.receipt("isp-one").read_bytes()).receipt.shown.release, Ref(5, "f" * 64))
    )
    path = world.altered("isp-one", lambda receipt: replace(forked(receipt), let_in=forked(receipt).shown))
    (world.lists / "receipts" / name).write_bytes(path.read_bytes())
    assert "is no receipt of this register any more" in world.told("bad.example", CARRIES)[0]


def test_other_files_in_the_folder_are_passed_over(world: World) -> None:
    world.hand_in(world.receipt("isp-one"))
    folder = world.lists / "receipts" / LIST
    (folder / "README").write_text("receipts\n")
    (folder / "Not An Id").mkdir()
    (folder / "isp-nine").mkdir()
    (folder / f"isp-one/.tmp-{FOLDER}-{FOLDER}.json-00").write_text("{")
    world.wait(WEEK)
    assert len(world.told("bad.example", CARRIES)) == 1
