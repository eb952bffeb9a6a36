"""Keys on PKCS#11 tokens, with SoftHSM: they sign what a key file signs, never leave, and refuse in one sentence."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kit.chain import Chain
from kit.fixed import LIST, NONCE, START
from kit.fixed import key as key_file
from kit.provider import Provider
from kit.seal import CONTENT, NOW, openssl_verifies
from kit.seal import Office as SealOffice
from kit.seal import write as write_sealed
from kit.shell import WHY, Shell
from kit.site import Site
from kit.softhsm import MODULE, PIN, Hsm, Token, instead_of, right_pin
from pkcs11 import Attribute, ObjectClass
from tuf.api.metadata import Metadata, Root, Targets, Timestamp

from blocklist.base.errors import RefusedError, TargetError, UsageError
from blocklist.keys import tokens
from blocklist.keys.encoding import PublicKey, signer
from blocklist.keys.folder import KeyFolder
from blocklist.keys.tokens import Choice, Place, TokenKey
from blocklist.register import acts
from blocklist.register.acts import Act
from blocklist.register.replay import from_beginning
from blocklist.seal import cms
from blocklist.seal.ca import issue_certificate, new_authority, new_revocation_list
from blocklist.trust.folder import signed_bytes
from blocklist.workspace import Workspace

LOCKED, FINAL_TRY, KEY_PAD = 0x40000, 0x20000, 0x100
CURVES = ("p256", "p384")
HASHES = {"p256": hashes.SHA256(), "p384": hashes.SHA384()}


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hsm]:
    tokens.forget()
    yield Hsm.at(tmp_path / "hsm", monkeypatch)
    tokens.forget()


@pytest.fixture
def token(hsm: Hsm) -> Token:
    return hsm.token("safe-1")


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys", never, pin=right_pin)


def never(what: str, last: bool = False) -> bytes:
    raise AssertionError(what)


def made(folder: KeyFolder, hsm: Hsm, name: str = "agent-1", curve: str = "p384", label: str | None = None) -> TokenKey:
    folder.create_on_token(name, hsm.choice(label), curve)
    key = folder.private(name)
    assert isinstance(key, TokenKey)
    return key


@contextmanager
def bare(label: str) -> Iterator[Any]:
    """A session on a token without our code, as anybody with the PIN has it."""
    tokens.forget()
    module = pkcs11.lib(str(MODULE))
    try:
        yield next(module.get_tokens(token_label=label)).open(rw=True, user_pin=PIN)
    finally:
        module.finalize()


# --- A key that is made on a token -------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_a_key_is_made_on_the_token_and_stays_there(hsm: Hsm, token: Token, folder: KeyFolder, curve: str) -> None:
    mask = os.umask(0)
    try:
        name, public = folder.create_on_token("agent-1", hsm.choice(), curve)
    finally:
        os.umask(mask)
    assert (name, folder.public("agent-1")) == ("agent-1", public)
    assert sorted(path.name for path in folder.path.iterdir()) == ["agent-1.pub", "agent-1.token"]
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder.path / "agent-1.token").stat().st_mode) == 0o600
    assert PIN not in (folder.path / "agent-1.token").read_text()
    with bare("safe-1") as session:
        (private,) = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        allowed = (Attribute.SENSITIVE, Attribute.PRIVATE, Attribute.LOCAL, Attribute.SIGN, Attribute.NEVER_EXTRACTABLE)
        refused = (Attribute.EXTRACTABLE, Attribute.DERIVE, Attribute.DECRYPT, Attribute.UNWRAP)
        assert {attribute: private[attribute] for attribute in allowed} == dict.fromkeys(allowed, True)
        assert {attribute: private[attribute] for attribute in refused} == dict.fromkeys(refused, False)
        assert private[Attribute.LABEL] == "agent-1"
        with pytest.raises(pkcs11.AttributeSensitive):
            private[Attribute.VALUE]


def test_a_key_on_a_token_gives_its_secret_to_nobody(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    key = made(folder, hsm)
    for use in (
        lambda: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.private_numbers,
        lambda: key.exchange(ec.ECDH(), key.public_key()),
        lambda: folder.create("agent-2", key, encrypt=False),
    ):
        with pytest.raises(RefusedError, match="the key on the token safe-1 cannot leave it"):
            use()
    assert not folder.has("agent-2")
    assert PIN not in repr(vars(key)) or key._pin is None
    assert PIN not in repr(tokens._logins)
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert (key.key_size, key.curve.name) == (384, "secp384r1")


@pytest.mark.parametrize("curve", CURVES)
def test_a_token_signs_what_the_curve_s_hash_says(hsm: Hsm, token: Token, folder: KeyFolder, curve: str) -> None:
    key = made(folder, hsm, curve=curve)
    public = folder.public("agent-1")
    for content in (b"", b"content", bytes(100_000)):
        signature = key.sign(content, ec.ECDSA(HASHES[curve]))
        public.verify(signature, content)
        assert len(signature) <= 104
    digest = hashes.Hash(HASHES[curve])
    digest.update(b"content")
    prehashed = key.sign(digest.finalize(), ec.ECDSA(Prehashed(HASHES[curve])))
    public.verify(prehashed, b"content")
    with pytest.raises(InvalidSignature):
        key.public_key().verify(prehashed, b"Content", ec.ECDSA(HASHES[curve]))


@pytest.mark.parametrize("curve", CURVES)
def test_a_token_signs_acts_metadata_seals_and_certificates(
    hsm: Hsm, token: Token, folder: KeyFolder, curve: str, tmp_path: Path
) -> None:
    """The seam: `cryptography` and `securesystemslib` take our subclass. No interface promises it, so it is tested."""
    key = made(folder, hsm, curve=curve)
    public = folder.public("agent-1")

    chain = Chain(officers=())
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=public.to_base64()))
    request = Act(
        seq=3, at=START.replace(hour=13), by="agent-1", body=acts.Request(to="platform"),
        nonce=NONCE, register=chain.register.id, prev=chain.head.id,
    )  # fmt: skip
    *_, (_last, register) = from_beginning([*chain.lines, acts.sign(request, signer(key)).line()], request.at)
    assert register.head.seq == 3

    metadata = Metadata[Timestamp].from_bytes(signed_bytes(Timestamp(expires=NOW + timedelta(days=1)), [key]))
    signer(key).public_key.verify_signature(metadata.signatures[public.keyid], metadata.signed_bytes)

    authority_key = made(folder, hsm, "seal-authority", "p384")
    authority = new_authority("authority, on a token", authority_key, NOW)
    certificate = issue_certificate(authority, authority_key, key.public_key(), "seal, on a token", NOW)
    revoked = new_revocation_list(authority, authority_key, {}, 1, NOW, 30)
    sealed = cms.seal(CONTENT, key, certificate, NOW)
    cms.verify(CONTENT, sealed, authority, NOW, revoked)
    write_sealed(tmp_path, SealOffice(authority_key, key, authority, certificate, revoked, sealed))
    assert openssl_verifies(tmp_path)
    (tmp_path / "both.pem").write_bytes(authority + revoked)
    assert openssl_verifies(tmp_path, "-crl_check", authority="both.pem")
    assert not openssl_verifies(tmp_path, at=NOW - timedelta(days=1))

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "seal, to be qualified")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, HASHES[curve])
    (tmp_path / "seal.csr").write_bytes(asked.public_bytes(Encoding.PEM))
    checked = subprocess.run(["openssl", "req", "-verify", "-noout", "-in", tmp_path / "seal.csr"], check=False)
    assert checked.returncode == 0


def test_the_pin_is_asked_once_for_all_keys_of_a_token(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    for name in ("snapshot", "timestamp", "seal"):
        folder.create_on_token(name, hsm.choice(), "p256", role=True)
    tokens.forget()
    asked: list[tuple[str, bool]] = []

    def pin(what: str, last: bool) -> bytes:
        asked.append((what, last))
        return PIN.encode()

    reader = KeyFolder(folder.path, never, pin=pin)
    for kept in reader.kept():
        assert isinstance(reader.private(kept.name), TokenKey)
    assert asked == [("the token safe-1", False)]


def test_a_role_s_key_is_named_after_it(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    name, public = folder.create_on_token("timestamp", hsm.choice(), "p256", role=True)
    assert name == f"timestamp-{public.keyid[:16]}"
    assert folder.is_encrypted(name)
    assert PublicKey.wrap(folder.private(name).public_key()) == public


def test_a_key_is_never_overwritten(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    count = held("safe-1")
    with pytest.raises(RefusedError, match="the key agent-1 exists"):
        folder.create_on_token("agent-1", hsm.choice(), "p384")
    with pytest.raises(RefusedError, match="the key agent-1 exists"):
        folder.create("agent-1", ec.generate_private_key(ec.SECP256R1()), encrypt=False)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    assert held("safe-1") == count == 2


def held(label: str) -> int:
    """How many halves of keys a token holds."""
    with bare(label) as session:
        return len(list(session.get_objects()))


def test_a_key_that_cannot_be_recorded_is_taken_off_again(hsm: Hsm, token: Token, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError):
        KeyFolder(tmp_path / "file", never, pin=right_pin).create_on_token("agent-1", hsm.choice(), "p384")
    assert held("safe-1") == 0


# --- A key that was there before ---------------------------------------------------------------------------------


def openssl_made(hsm: Hsm, folder: Path, curve: str, key_id: str, label: str) -> PublicKey:
    """A key that the token's own program put there."""
    path = folder / f"{key_id}.pem"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    command = ["softhsm2-util", "--import", path, "--token", label, "--label", "theirs", "--id", key_id, "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], check=True, capture_output=True).stdout
    return PublicKey.from_pem(public, "it")


def test_a_key_that_another_program_made_is_used(hsm: Hsm, token: Token, folder: KeyFolder, tmp_path: Path) -> None:
    theirs = openssl_made(hsm, tmp_path, "P-384", "02", "safe-1")
    assert folder.attach("agent-1", hsm.choice()) == ("agent-1", theirs)
    assert PublicKey.wrap(folder.private("agent-1").public_key()) == theirs
    assert "id=%02;" in (folder.path / "agent-1.token").read_text()
    other = openssl_made(hsm, tmp_path, "P-256", "03", "safe-1")
    tokens.forget()
    with pytest.raises(UsageError, match="holds several keys that fit") as caught:
        folder.attach("agent-2", hsm.choice())
    assert "02" in caught.value.hint
    assert "03" in caught.value.hint
    assert not folder.has("agent-2")
    assert folder.attach("timestamp", hsm.choice(), b"\x03", role=True) == (f"timestamp-{other.keyid[:16]}", other)
    with pytest.raises(UsageError, match="does not hold the key"):
        folder.attach("agent-2", hsm.choice(), b"\x04")


def test_a_link_is_made_anew_for_the_same_key_only(hsm: Hsm, token: Token, folder: KeyFolder, tmp_path: Path) -> None:
    made(folder, hsm)
    (folder.path / "agent-1.token").unlink()
    with pytest.raises(UsageError, match="there is no key agent-1"):
        folder.private("agent-1")
    folder.attach("agent-1", hsm.choice())
    folder.private("agent-1")
    folder.attach("agent-1", hsm.choice())  # the same once more harms nobody
    openssl_made(hsm, tmp_path, "P-384", "02", "safe-1")
    tokens.forget()
    before = (folder.path / "agent-1.token").read_bytes()
    with pytest.raises(RefusedError, match=r"agent-1\.pub is not the key on the token"):
        folder.attach("agent-1", hsm.choice(), b"\x02")
    folder.create("agent-2", ec.generate_private_key(ec.SECP256R1()), encrypt=False)
    with pytest.raises(RefusedError, match="the key agent-2 exists"):
        folder.attach("agent-2", hsm.choice(), b"\x02")
    assert (folder.path / "agent-1.token").read_bytes() == before


@pytest.mark.parametrize("curve", ["P-521", "secp256k1"])
def test_a_key_on_another_curve_is_refused(
    hsm: Hsm, token: Token, folder: KeyFolder, tmp_path: Path, curve: str
) -> None:
    path = tmp_path / "other.pem"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    command = ["softhsm2-util", "--import", path, "--token", "safe-1", "--label", "x", "--id", "05", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(UsageError, match="no public key on P-256 or P-384"):
        folder.attach("agent-1", hsm.choice())
    assert not folder.has("agent-1")


def test_a_token_that_shows_no_public_key_has_to_sign_first(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    made(folder, hsm, "agent-2")
    with bare("safe-1") as session:
        for public in list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})):
            public.destroy()
    assert isinstance(folder.private("agent-1"), TokenKey)
    (folder.path / "agent-1.token").write_bytes((folder.path / "agent-2.token").read_bytes())
    with pytest.raises(UsageError, match=r"the key on the token safe-1 is not the one of the \.pub file"):
        folder.private("agent-1")
    with pytest.raises(UsageError, match="holds several keys that fit"):
        folder.attach("agent-3", hsm.choice())


# --- What hardware does, and SoftHSM only when it is made to -----------------------------------------------------

LOGIN = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong)
GENERATE = (*(ctypes.c_ulong, ctypes.c_void_p), *(ctypes.c_void_p, ctypes.c_ulong) * 2, *(ctypes.c_void_p,) * 2)
SIGN = (ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (0xA0, "the PIN does not open the token safe-1"),  # CKR_PIN_INCORRECT
        (0xA1, "the PIN does not open the token safe-1"),  # CKR_PIN_INVALID
        (0xA2, "the PIN does not open the token safe-1"),  # CKR_PIN_LEN_RANGE
        (0xA3, "the token safe-1 has no PIN that can be used"),  # CKR_PIN_EXPIRED
        (0xA4, "the PIN of the token safe-1 is locked"),  # CKR_PIN_LOCKED
        (0x102, "the token safe-1 has no PIN that can be used"),  # CKR_USER_PIN_NOT_INITIALIZED
        (0x30, "the token safe-1 was taken away or does not answer"),  # CKR_DEVICE_ERROR
        (0x32, "the token safe-1 was taken away or does not answer"),  # CKR_DEVICE_REMOVED
        (0xE0, "the token safe-1 was taken away or does not answer"),  # CKR_TOKEN_NOT_PRESENT
        (0x05, "the token safe-1 refuses: GeneralError"),  # CKR_GENERAL_ERROR
        (0x80000042, "the token safe-1 refuses: "),  # one of a vendor's own
    ],
)
def test_whatever_a_token_answers_to_a_login_is_one_sentence(
    hsm: Hsm, token: Token, folder: KeyFolder, answer: int, sentence: str
) -> None:
    made(folder, hsm)
    tokens.forget()
    with instead_of("C_Login", lambda *_: answer, *LOGIN), pytest.raises(UsageError, match=sentence) as caught:
        folder.private("agent-1")
    assert caught.value.hint
    assert PIN not in caught.value.message + caught.value.hint
    assert isinstance(folder.private("agent-1"), TokenKey)  # nothing of the refusal was kept


@pytest.mark.parametrize(("answer", "sentence"), [(0x70, "makes no such keys"), (0xE2, "makes no such keys")])
def test_a_token_that_makes_no_keys_is_told_from_one_that_is_broken(
    hsm: Hsm, token: Token, folder: KeyFolder, answer: int, sentence: str
) -> None:
    """CKR_MECHANISM_INVALID and CKR_TOKEN_WRITE_PROTECTED: its own program may still make one."""
    with (
        instead_of("C_GenerateKeyPair", lambda *_: answer, *GENERATE),
        pytest.raises(UsageError, match=sentence) as caught,
    ):
        folder.create_on_token("agent-1", hsm.choice(), "p384")
    assert "key attach" in caught.value.hint
    assert not folder.path.exists()


def test_a_token_that_is_pulled_out_while_it_signs_is_one_sentence(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    key = made(folder, hsm)
    with instead_of("C_Sign", lambda *_: 0x32, *SIGN), pytest.raises(UsageError, match="was taken away"):
        signer(key).sign(b"content")


def test_a_token_with_a_key_pad_takes_the_pin_itself(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    token.flag(KEY_PAD)
    given: list[object] = []

    def login(session: int, user: int, pin: int | None, length: int) -> int:
        given.append(pin)
        return int(real(session, user, ctypes.cast(PIN.encode(), ctypes.c_void_p).value, len(PIN)))

    with instead_of("C_Login", login, *LOGIN) as real:
        key = KeyFolder(folder.path, never, pin=never).private("agent-1")
        signer(key).sign(b"content")
    assert given == [None]


def test_a_key_that_wants_the_pin_for_every_signature_gets_it(
    hsm: Hsm, token: Token, folder: KeyFolder, tmp_path: Path
) -> None:
    """As the signature slot of a PIV card: CKA_ALWAYS_AUTHENTICATE."""
    with bare("safe-1") as session:
        parameters = {Attribute.EC_PARAMS: bytes.fromhex("06052b81040022")}
        session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True).generate_keypair(
            id=b"\x02", store=True, private_template={Attribute.ALWAYS_AUTHENTICATE: True}
        )
    folder.attach("agent-1", hsm.choice())
    key, public = folder.private("agent-1"), folder.public("agent-1")
    assert isinstance(key, TokenKey)
    for content in (b"one", b"two"):
        public.verify(key.sign(content, ec.ECDSA(hashes.SHA384())), content)
    with pytest.raises(UsageError, match="refuses: UserNotLoggedIn"):
        TokenKey(key._key, key.public_key(), "the token", None).sign(b"one", ec.ECDSA(hashes.SHA384()))


# --- Refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [b"0000", b"", b"1" * 300, b"\xff\xfe", PIN.encode() + b"\n"])
def test_a_wrong_pin_opens_nothing(hsm: Hsm, token: Token, folder: KeyFolder, wrong: bytes) -> None:
    made(folder, hsm)
    tokens.forget()
    for _attempt in range(2):
        with pytest.raises(UsageError, match="the PIN does not open the token safe-1") as caught:
            KeyFolder(folder.path, never, pin=lambda what, last: wrong).private("agent-1")
        assert "BLOCKLIST_PIN_FILE" in caught.value.hint
        assert wrong.decode("utf-8", "replace") not in caught.value.message or not wrong
    assert isinstance(folder.private("agent-1"), TokenKey)


def test_a_locked_pin_is_not_asked_for(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    token.flag(LOCKED)
    with pytest.raises(UsageError, match="the PIN of the token safe-1 is locked") as caught:
        KeyFolder(folder.path, never, pin=never).private("agent-1")
    assert "PUK" in caught.value.hint


def test_the_last_try_is_said(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    token.flag(FINAL_TRY)
    asked: list[bool] = []

    def pin(what: str, last: bool) -> bytes:
        asked.append(last)
        return PIN.encode()

    KeyFolder(folder.path, never, pin=pin).private("agent-1")
    assert asked == [True]


def test_a_token_that_is_taken_away_is_one_sentence(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    key = made(folder, hsm)
    token.take_away()
    with pytest.raises(UsageError, match=f"the token safe-1 of serial {token.serial} is not there") as caught:
        folder.private("agent-1")
    assert caught.value.hint == "plug it in; there is no token at all"
    with pytest.raises(UsageError, match="the token safe-1 was taken away or does not answer"):
        key.sign(b"content", ec.ECDSA(hashes.SHA384()))
    other = hsm.token("safe-2")
    with pytest.raises(UsageError) as caught:
        folder.private("agent-1")
    assert caught.value.hint == f"plug it in; there are: the token safe-2 --serial {other.serial}"
    token.put_back()
    folder.private("agent-1")


def test_of_two_tokens_with_one_label_each_key_finds_its_own(hsm: Hsm, folder: KeyFolder) -> None:
    first, second = hsm.token("safe"), hsm.token("safe")
    for choice in (hsm.choice(), hsm.choice("safe")):
        with pytest.raises(UsageError, match="2 tokens fit, and only one can be meant") as caught:
            folder.create_on_token("agent-1", choice, "p384")
        assert first.serial in caught.value.hint
        assert second.serial in caught.value.hint
    assert not folder.has("agent-1")
    folder.create_on_token("agent-1", hsm.choice(serial=second.serial), "p384")
    folder.create_on_token("agent-2", hsm.choice("safe", first.serial), "p384")
    for name in ("agent-1", "agent-2"):
        assert PublicKey.wrap(folder.private(name).public_key()) == folder.public(name)
    first.take_away()
    folder.private("agent-1")
    with pytest.raises(UsageError, match=first.serial):
        folder.private("agent-2")


@pytest.mark.parametrize(("label", "serial"), [("other", None), (None, "0123456789abcdef"), ("safe-1", "0")])
def test_a_token_of_another_name_is_not_taken(
    hsm: Hsm, token: Token, folder: KeyFolder, label: str | None, serial: str | None
) -> None:
    with pytest.raises(UsageError, match="is not there"):
        folder.create_on_token("agent-1", hsm.choice(label, serial), "p384")
    assert not folder.has("agent-1")


def test_the_key_of_another_officer_is_refused(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    made(folder, hsm, "agent-2")
    (folder.path / "agent-1.token").write_bytes((folder.path / "agent-2.token").read_bytes())
    with pytest.raises(UsageError, match=r"the key on the token safe-1 is not the one of the \.pub file"):
        folder.private("agent-1")
    (folder.path / "agent-1.pub").unlink()
    with pytest.raises(UsageError, match=r"the public key .* cannot be read"):
        folder.private("agent-1")


def test_a_key_that_was_deleted_on_the_token_is_one_sentence(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    place = Place.from_uri((folder.path / "agent-1.token").read_text(), "it")
    tokens.destroy(place, right_pin)
    with pytest.raises(UsageError, match="the token safe-1 does not hold the key"):
        folder.private("agent-1")


def test_a_faulty_token_signs_nothing_that_leaves_it(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    key, other = made(folder, hsm), made(folder, hsm, "agent-2")
    swapped = TokenKey(other._key, key.public_key(), "the token safe-1", None)
    with pytest.raises(UsageError, match="is not the one"):
        signer(swapped).sign(b"content")


def test_without_a_way_to_ask_for_the_pin_nothing_is_asked(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    tokens.forget()
    with pytest.raises(UsageError, match="the token safe-1 asks for a PIN, which cannot be asked for here"):
        KeyFolder(folder.path, never).private("agent-1")


def test_without_the_library_the_extra_is_named(
    hsm: Hsm, token: Token, folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder, hsm)
    tokens.forget()
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(UsageError, match="need the package python-pkcs11") as caught:
        folder.private("agent-1")
    assert caught.value.hint == "pip install 'blocklist[hsm]'"
    monkeypatch.undo()


@pytest.mark.parametrize("module", ["/nowhere/module.so", "relative.so", "/etc/passwd", "/usr/lib"])
def test_a_module_that_is_none_is_one_sentence(hsm: Hsm, folder: KeyFolder, module: str) -> None:
    with pytest.raises(UsageError, match=r"there is no PKCS#11 module|the PKCS#11 module .* does not start"):
        folder.create_on_token("agent-1", Choice(Path(module)), "p384")
    assert not folder.path.exists()


def test_a_module_that_does_not_start_is_one_sentence(
    hsm: Hsm, token: Token, folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder, hsm)
    tokens.forget()
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.folder / "nowhere"))
    with pytest.raises(UsageError, match=r"does not start|is not there"):
        folder.private("agent-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkcs11:",
        "file:token=a;serial=b;id=%01;type=private?module-path=/m",
        "pkcs11:token=a;serial=b;id=;type=private?module-path=/m",
        "pkcs11:token=a;serial=b;id=%01;type=private",
        "pkcs11:token=a;serial=b;id=%01;type=private?module-path=/m&pin-value=1234",
        "pkcs11:token=a;token=c;serial=b;id=%01;type=private?module-path=/m",
        "pkcs11:token=a;serial=b;object=x;id=%01;type=private?module-path=/m",
    ],
)
def test_a_damaged_link_is_one_sentence(folder: KeyFolder, text: str) -> None:
    folder.path.mkdir()
    (folder.path / "agent-1.token").write_text(text)
    (folder.path / "agent-1.token").chmod(0o600)
    key = ec.generate_private_key(ec.SECP384R1())
    (folder.path / "agent-1.pub").write_bytes(PublicKey.wrap(key.public_key()).to_pem())
    with pytest.raises(UsageError, match="does not say where a key is"):
        folder.private("agent-1")


@pytest.mark.parametrize(
    "place",
    [
        Place(Path("/usr/lib/m.so"), "heads", "0123456789abcdef", b"\x02"),
        Place(Path("/opt/über mich/a?b&c;d=e%.so"), "a;b=c é%", "", bytes(range(256))),
    ],
)
def test_a_link_says_the_place_whatever_its_names(place: Place) -> None:
    assert place.to_uri().isascii()
    assert Place.from_uri(place.to_uri() + "\n", "it") == place


def test_a_module_that_has_two_names_is_started_once(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    """As after an upgrade that left a link at the old place."""
    link = hsm.folder / "old-place.so"
    link.symlink_to(MODULE)
    made(folder, hsm)
    folder.create_on_token("agent-2", Choice(link), "p384")
    for name in ("agent-1", "agent-2"):
        assert isinstance(folder.private(name), TokenKey)


def test_a_token_s_name_does_nothing_to_a_terminal(hsm: Hsm, folder: KeyFolder) -> None:
    hsm.token("a\x1b[31mb")
    with pytest.raises(UsageError, match=r"the PIN does not open the token a\?\[31mb"):
        KeyFolder(folder.path, never, pin=lambda what, last: b"0000").create_on_token("agent-1", hsm.choice(), "p384")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_link_that_others_can_change_is_not_followed(hsm: Hsm, token: Token, folder: KeyFolder, mode: int) -> None:
    made(folder, hsm)
    (folder.path / "agent-1.token").chmod(mode)
    with pytest.raises(UsageError, match="can be changed by others"):
        folder.private("agent-1")
    (folder.path / "agent-1.token").chmod(0o644)  # what it says is no secret
    folder.private("agent-1")


def test_a_link_beside_an_ed25519_key_is_refused(hsm: Hsm, token: Token, folder: KeyFolder) -> None:
    made(folder, hsm)
    (folder.path / "agent-1.pub").write_bytes(PublicKey.wrap(key_file("agent-1").public_key()).to_pem())
    with pytest.raises(UsageError, match="not an ECDSA key"):
        folder.private("agent-1")


# --- The command line --------------------------------------------------------------------------------------------


@pytest.fixture
def desk(hsm: Hsm, shell: Shell) -> Shell:
    """A workspace, and a machine with SoftHSM."""
    return shell


def program(shell: Shell, *words: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """The program itself, in a process of its own: nobody is logged in to any token."""
    command = [sys.executable, "-m", "blocklist", "-C", str(shell.office), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=shell.folder, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr
    assert done.returncode == expect, done.stderr
    return done


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith(("blocklist: error: ", "blocklist: hint: "))]


def test_an_officer_with_a_token_adds_and_another_approves(desk: Shell, hsm: Hsm) -> None:
    hsm.token("of-agent-7")
    hsm.token("of-agent-8")
    for officer in ("agent-7", "agent-8"):
        done = program(desk, "--json", "key", "new", officer, "--token", "--label", f"of-{officer}")
        key = json.loads(done.stdout)
        assert re.fullmatch(r"([0-9a-f]{4}-){4}[0-9a-f]{4}", key["fingerprint"])
        appoint = ("officer", "appoint", officer, "--role", "agent", "--key", key["public"])
        assert key["fingerprint"] in program(desk, "--as", "head-1", *appoint).stderr
    program(desk, "--as", "agent-7", "add", "bad.example", *WHY)
    same = program(desk, "--as", "agent-7", "approve", "6", expect=1)
    assert "agent-7 made act 6 and cannot approve it" in same.stderr
    program(desk, "--as", "agent-8", "approve", "6")
    acts_made = json.loads(program(desk, "--json", "log").stdout)["acts"]
    assert [act["by"] for act in acts_made[-2:]] == ["agent-7", "agent-8"]
    program(desk, "audit")
    program(desk, "publish")
    assert "bad.example" in (desk.release / "rpz.zone").read_text()


def test_what_can_go_wrong_with_an_officer_s_token_is_one_sentence(
    desk: Shell, hsm: Hsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hsm.token("safe")
    public = json.loads(program(desk, "--json", "key", "new", "agent-7", "--token").stdout)["public"]
    program(desk, "--as", "head-1", "officer", "appoint", "agent-7", "--role", "agent", "--key", public)
    before = desk.acts()
    request = ("--as", "agent-7", "add", "bad.example", *WHY)

    def refused(message: str, hint: str) -> None:
        (error, advice) = errors(program(desk, *request, expect=2))
        assert re.search(message, error), error
        assert re.search(hint, advice), advice
        assert desk.acts() == before

    monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.pin_file("000000")))
    refused("the PIN does not open the token safe$", "a few wrong ones lock it")
    monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.folder / "nothing"))
    assert "the PIN file " in program(desk, *request, expect=2).stderr
    monkeypatch.delenv("BLOCKLIST_PIN_FILE")
    refused("the PIN for the token safe cannot be asked for: there is no terminal", "BLOCKLIST_PIN_FILE names a file")
    monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.pin_file(PIN)))
    token.take_away()
    refused("the token safe of serial .* is not there", "plug it in")
    token.put_back()
    link = desk.keys / "agent-7.token"
    said = link.read_text()
    link.write_text(said.replace(str(MODULE), "/usr/lib/nowhere.so"))
    refused("there is no PKCS#11 module /usr/lib/nowhere.so", "the token's vendor says")
    link.write_text(said)
    token.flag(LOCKED)
    refused("the PIN of the token safe is locked", "PUK")


def test_a_pin_from_a_file_never_takes_the_last_try(desk: Shell, hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer with a wrong PIN would lock the token for good."""
    token = hsm.token("safe")
    desk("key", "new", "agent-7", "--token")
    token.flag(FINAL_TRY)
    done = program(desk, "key", "new", "agent-8", "--token", expect=1)
    assert "one more wrong PIN locks the token safe, so the one in the file is not tried" in done.stderr
    monkeypatch.delenv("BLOCKLIST_PIN_FILE")
    desk.terminal()
    shown = desk("key", "new", "agent-8", "--token", input=f"{PIN}\n").stderr
    assert "PIN for the token safe, the last try:" in shown
    assert PIN not in shown


def test_a_pin_is_typed_once_and_never_shown(desk: Shell, hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    hsm.token("safe")
    monkeypatch.delenv("BLOCKLIST_PIN_FILE")
    desk.terminal()
    shown = desk("key", "new", "agent-7", "--token", input=f"{PIN}\n").output
    assert shown.count("PIN for the token safe:") == 1
    assert PIN not in shown
    tokens.forget()
    desk.refused("key", "new", "agent-8", "--token", code=2, message="the PIN does not open", input="000000\n")
    desk.refused("key", "attach", "agent-8", code=130, message="stopped", input="\n")
    assert not (desk.keys / "agent-8.token").exists()


def test_keys_are_listed_with_where_they_are(desk: Shell, hsm: Hsm) -> None:
    token = hsm.token("safe")
    made_now = desk.json("key", "new", "agent-7", "--token")
    role = desk.json("key", "new", "timestamp", "--role", "--token", "--curve", "p256")
    listed = {key["name"]: key for key in desk.json("key", "list")["keys"]}
    assert listed["agent-7"]["fingerprint"] == made_now["fingerprint"]
    assert listed["agent-7"]["token"]["serial"] == token.serial
    assert listed["agent-7"]["token"]["label"] == "safe"
    assert listed["head-1"]["token"] is None
    assert listed["head-1"]["encrypted"] is False
    assert role["id"] in listed
    assert role["id"].startswith("timestamp-")
    shown = " ".join(desk("key", "list").stdout.split())
    assert f"agent-7 {made_now['fingerprint']} token safe, serial {token.serial}" in shown
    token.take_away()
    assert desk.json("key", "list")["keys"] == list(listed.values())  # it asks no token, and no PIN


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("key", "new", "agent-7", "--token", "--no-passphrase"), "a key on a token has a PIN"),
        (("key", "new", "agent-7", "--label", "safe"), "--label, --serial and --role are for a key on a token"),
        (("key", "new", "timestamp", "--token"), "is not an id"),
        (("key", "new", "latest", "--role", "--token"), "is not an id"),
        (("key", "new", "../agent", "--token"), "is not an id"),
        (("key", "attach", "agent-7", "--key-id", "xyz"), "hexadecimal"),
        (("key", "attach", "agent-7"), "does not hold the key"),
        (("key", "new", "agent-7", "--token", "--module", "nowhere.so"), r"there is no PKCS#11 module /.*/nowhere\.so"),
    ],
)
def test_a_token_command_that_cannot_be_meant_is_refused(
    desk: Shell, hsm: Hsm, words: tuple[str, ...], message: str
) -> None:
    hsm.token("safe")
    desk.refused(*words, code=2, message=message)
    assert not list(desk.keys.glob("*.token"))


def test_the_passphrase_of_a_token_is_not_ours_to_change(desk: Shell, hsm: Hsm) -> None:
    hsm.token("safe")
    desk("key", "new", "agent-7", "--token")
    before = tree(desk.keys)
    refused = desk.refused("key", "change-passphrase", "agent-7", code=1, message="the key agent-7 is on a token")
    assert "change its PIN with the token's own program" in refused.stderr
    assert tree(desk.keys) == before


def test_a_key_that_is_there_is_attached_by_command(desk: Shell, hsm: Hsm) -> None:
    hsm.token("safe")
    made_now = desk.json("key", "new", "agent-7", "--token")
    (desk.keys / "agent-7.token").unlink()
    attached = desk("key", "attach", "agent-7").stderr
    assert f"key of agent-7 is on the token, fingerprint {made_now['fingerprint']}" in attached
    assert (desk.keys / "agent-7.token").exists()


def test_a_link_that_is_damaged_is_listed_as_such(desk: Shell, hsm: Hsm) -> None:
    hsm.token("safe")
    desk("key", "new", "agent-7", "--token")
    (desk.keys / "agent-7.token").write_text("nowhere")
    listed = {key["name"]: key for key in desk.json("key", "list")["keys"]}
    assert "does not say where a key is" in listed["agent-7"]["fault"]
    assert listed["agent-1"]["fault"] is None
    assert "does not say where a key" in " ".join(desk("key", "list").stdout.split())


def test_without_a_module_the_variable_is_named(desk: Shell, hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLOCKLIST_PKCS11_MODULE")
    desk.refused("key", "new", "agent-7", "--token", code=2, message="BLOCKLIST_PKCS11_MODULE")


def test_a_register_is_founded_by_a_head_with_a_token(hsm: Hsm, empty: Shell) -> None:
    hsm.token("of-head-1")
    key = json.loads(program(empty, "--json", "key", "new", "head-1", "--token").stdout)
    passphrase = empty.folder / "passphrase"
    passphrase.write_text("correct horse\n")
    os.environ["BLOCKLIST_PASSPHRASE_FILE"] = str(passphrase)
    try:
        program(empty, "init")
    finally:
        del os.environ["BLOCKLIST_PASSPHRASE_FILE"]
    listed = json.loads(program(empty, "--json", "officer", "list").stdout)["officers"]
    assert [officer["fingerprint"] for officer in listed] == [key["fingerprint"]]
    kept = {entry["name"]: entry for entry in empty.json("key", "list")["keys"]}
    assert kept["head-1"]["token"]["label"] == "of-head-1"
    assert sum(1 for entry in kept.values() if entry["encrypted"]) == 3  # root, targets, the seal's authority


# --- A publisher with all its keys on a token --------------------------------------------------------------------


def moved_to_tokens(site: Site, hsm: Hsm) -> None:
    """Heads and publisher go over to tokens: root and targets of version 2, another seal; the old files are gone."""
    keys = site.keys = KeyFolder(site.keys.path, never, pin=right_pin)
    site.workspace = Workspace(site.workspace.path, keys)
    trust = site.workspace.lists / "trust"
    old = {path.stem.rsplit("-", 1)[0]: keys.private(path.stem) for path in keys.path.glob("*-????????????????.pem")}
    heads, publisher = hsm.choice("heads"), hsm.choice("publisher")
    where = dict.fromkeys(("root", "targets"), heads) | dict.fromkeys(
        (LIST, "snapshot", "timestamp", "seal"), publisher
    )
    new = {role: keys.private(keys.create_on_token(role, token, "p384", role=True)[0]) for role, token in where.items()}

    root = Metadata[Root].from_file(str(trust / "1.root.json")).signed
    targets = Metadata[Targets].from_file(str(trust / "1.targets.json")).signed
    for role in ("root", "targets", "snapshot", "timestamp"):
        (before,) = root.roles[role].keyids
        root.revoke_key(before, role)
        root.add_key(signer(new[role]).public_key, role)
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    (before,) = targets.delegations.roles[LIST].keyids
    targets.revoke_key(before, LIST)
    targets.add_key(signer(new[LIST]).public_key, LIST)
    root.version = targets.version = 2
    (trust / "2.targets.json").write_bytes(signed_bytes(targets, [new["targets"]]))
    (trust / "2.root.json").write_bytes(signed_bytes(root, [old["root"], new["root"]]))
    authority, authority_key = (trust / "seal.pem").read_bytes(), old["seal-authority"]
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    public = new["seal"].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    (trust / "seal.crt").write_bytes(issue_certificate(authority, authority_key, public, "seal on a token", site.now))
    for path in keys.path.glob("*-????????????????.pem"):
        path.unlink()


@pytest.fixture
def site(hsm: Hsm, tmp_path: Path) -> Site:
    hsm.token("heads")
    hsm.token("publisher")
    site = Site(tmp_path, datetime.now(UTC))
    site.block("bad.example")
    return site


def require_genuine(site: Site, at: datetime) -> None:
    """What anybody checks without our program."""
    release = site.exports / LIST / (site.exports / LIST / "latest").read_text().strip()
    assert openssl_verifies(release, at=at, authority=str(site.exports / "seal.pem"))
    summed = subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=release, check=False)
    assert summed.returncode == 0


def test_a_publisher_with_all_its_keys_on_a_token_publishes(site: Site, hsm: Hsm, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes())
    site.publish()
    provider.pull(site.now + timedelta(seconds=5), accept="any")
    moved_to_tokens(site, hsm)
    assert not list(site.keys.path.glob("timestamp-*.pem"))
    for name in ("worse.example", "worst.example"):
        site.now += timedelta(minutes=10)
        site.block(name)
        site.publish()
        tokens.forget()
        outcome = provider.pull(site.now + timedelta(seconds=5))
        assert outcome.changed
        assert name in provider.installed()
        require_genuine(site, site.now + timedelta(seconds=5))
    timestamp = Metadata[Timestamp].from_file(str(site.exports / "metadata/timestamp.json"))
    (keyid,) = timestamp.signatures
    assert (site.keys.path / f"timestamp-{keyid[:16]}.token").exists()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_publisher_without_its_token_leaves_the_last_release(
    site: Site, hsm: Hsm, empty: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved_to_tokens(site, hsm)
    site.publish()
    site.block("worse.example")
    before = tree(site.exports)
    monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.pin_file("000000")))
    assert "the PIN does not open the token publisher" in program(empty, "publish", expect=2).stderr
    assert tree(site.exports) == before
    monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.pin_file(PIN)))
    program(empty, "publish")
    assert "worse.example" in (empty.release / "rpz.zone").read_text()
    require_genuine(site, datetime.now(UTC))


def test_heads_and_publisher_go_over_to_tokens_by_command(site: Site, hsm: Hsm, empty: Shell, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes())
    empty("publish")
    provider.pull(datetime.now(UTC) + timedelta(seconds=5), accept="any")

    def on_token(role: str, label: str) -> str:
        return str(empty.json("key", "new", role, "--role", "--token", "--label", label)["public"])

    for role, label in (("root", "heads"), ("targets", "heads"), ("snapshot", "publisher"), ("timestamp", "publisher")):
        empty("trust", "rotate", role, "--key", on_token(role, label))
    empty("trust", "rotate", LIST, "--key", on_token(LIST, "publisher"))
    tokens.forget()
    empty("trust", "sign", "--yes")
    empty("trust", "seal", "renew", "--yes", "--key", on_token("seal", "publisher"))
    for path in empty.keys.glob("*-????????????????.pem"):
        path.unlink()
    tokens.forget()
    site.block("worse.example")
    empty("publish")
    shown = empty("trust", "show").output
    for kept in empty.json("key", "list")["keys"]:
        assert (kept["token"] is None) == (kept["name"] in {"head-1", "agent-1", "agent-2"})
        assert kept["token"] is None or kept["name"].startswith("seal-") or kept["fingerprint"] in shown
    provider.pull(datetime.now(UTC) + timedelta(seconds=5))
    assert "worse.example" in provider.installed()
    require_genuine(site, datetime.now(UTC))
