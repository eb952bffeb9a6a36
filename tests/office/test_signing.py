"""Keys: three kinds in one encoding each, and private keys that only their owner can read."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st
from kit.chain import Chain
from kit.fixed import NONCE, START, key_text, names
from kit.shell import Shell

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.keys import encoding
from blocklist.keys.encoding import KDF_ROUNDS, PublicKey, signer
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.register import acts
from blocklist.register.acts import Act, SignedAct
from blocklist.register.fold import Register
from blocklist.register.replay import from_beginning

PASSPHRASE = b"correct horse"
SMALL = {"protected": ["protected.example"], "platforms": {}}
GOOD = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
BAD = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "brainpool": ec.generate_private_key(ec.BrainpoolP256R1()),
    "p224": ec.generate_private_key(ec.SECP224R1()),
    "dsa": dsa.generate_private_key(2048),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "x25519": x25519.X25519PrivateKey.generate(),
}
CURVES = {"p256": (ec.SECP256R1(), hashes.SHA256()), "p384": (ec.SECP384R1(), hashes.SHA384())}


def der(key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


# --- Public keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOOD)
def test_three_kinds_of_keys_are_read(kind: str) -> None:
    public = PublicKey.from_base64(text(der(GOOD[kind])))
    assert public == PublicKey.wrap(GOOD[kind].public_key()) == PublicKey.from_pem(pem(GOOD[kind]), "it")
    assert (public.der, public.to_base64(), public.to_pem()) == (
        der(GOOD[kind]),
        text(der(GOOD[kind])),
        pem(GOOD[kind]),
    )
    by_hand = subprocess.run(["openssl", "dgst", "-sha256"], input=public.der, capture_output=True, check=True)
    assert by_hand.stdout.decode().split()[-1] == public.keyid
    assert re.fullmatch(r"([0-9a-f]{4}-){4}[0-9a-f]{4}", public.fingerprint)
    assert public.keyid.startswith(public.fingerprint.replace("-", ""))
    assert len({PublicKey.wrap(key.public_key()) for key in (*GOOD.values(), GOOD[kind])}) == len(GOOD)


@pytest.mark.parametrize("kind", BAD)
def test_other_keys_are_refused(kind: str) -> None:
    with pytest.raises(VerificationError, match="a public key is not"):
        PublicKey.from_base64(text(der(BAD[kind])))
    with pytest.raises(UsageError, match="not Ed25519"):
        PublicKey.from_pem(pem(BAD[kind]), "it")
    with pytest.raises(UsageError, match="not Ed25519"):
        PublicKey.wrap(BAD[kind].public_key())
    with pytest.raises(UsageError, match="not Ed25519"):
        signer(BAD[kind])


def explicit_parameters(kind: str, folder: Path) -> bytes:
    """The same key with its curve written out (RFC 3279), as `openssl` writes it when asked."""
    command = ["openssl", "ec", "-pubin", "-param_enc", "explicit", "-outform", "DER"]
    return subprocess.run(command, input=pem(GOOD[kind]), capture_output=True, check=True).stdout


def compressed(kind: str) -> bytes:
    command = ["openssl", "ec", "-pubin", "-conv_form", "compressed", "-outform", "DER"]
    return subprocess.run(command, input=pem(GOOD[kind]), capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["p256", "p384"])
def test_a_compressed_point_is_the_same_key_in_another_encoding(kind: str, tmp_path: Path) -> None:
    other = compressed(kind)
    assert len(other) < len(der(GOOD[kind]))
    with pytest.raises(VerificationError, match="not in its one encoding"):
        PublicKey.from_base64(text(other))
    with pytest.raises(VerificationError):
        PublicKey.from_base64(text(explicit_parameters(kind, tmp_path)))


def longer_length(content: bytes) -> bytes:
    """BER: the outer length in the long form, which DER allows above 127 only."""
    assert content[1] < 0x80
    return content[:1] + b"\x81" + content[1:]


@pytest.mark.parametrize("kind", GOOD)
def test_a_key_that_is_encoded_otherwise_is_refused(kind: str) -> None:
    good = der(GOOD[kind])
    for content in (longer_length(good), good + b"\x00", good[:-1], b"", b"\x00" * 60, good + good):
        with pytest.raises(VerificationError):
            PublicKey.from_base64(text(content))
    for spelling in (
        text(good) + "\n",
        " " + text(good),
        text(good).replace("=", ""),
        text(good)[:8] + "\n" + text(good)[8:],
    ):
        if spelling != text(good):
            with pytest.raises(VerificationError):
                PublicKey.from_base64(spelling)


P = 2**255 - 19
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
LOW_ORDER = (0, 1, P - 1, ORDER_8, P - ORDER_8)


def test_the_points_of_low_order_are_those_of_the_curve() -> None:
    """Doubling -x² + y² = 1 + dx²y² gives the second coordinate 0, of order 4, where dy⁴ + 2y² = 1."""
    d = -121665 * pow(121666, -1, P) % P
    assert [y for y in LOW_ORDER if (d * y**4 + 2 * y**2 - 1) % P == 0] == [ORDER_8, P - ORDER_8]


@pytest.mark.parametrize("y", [*LOW_ORDER, P, P + 1, P + 18])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_that_anybody_can_sign_with_is_refused(y: int, sign: int) -> None:
    """Else a second officer could be a key to which no secret belongs, and one person would be two (promise 1)."""
    public = ed25519.Ed25519PublicKey.from_public_bytes((y | sign << 255).to_bytes(32, "little"))
    with pytest.raises(UsageError, match="anybody can sign"):
        PublicKey.wrap(public)
    with pytest.raises(VerificationError):
        PublicKey.from_base64(text(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)))


def test_openssl_verifies_what_anybody_made_for_such_a_key() -> None:
    """The reason for the test above, and what to look at when it is asked whether it is still needed."""
    identity = bytes([1]) + bytes(31)
    ed25519.Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"whatever")


def test_an_appointment_with_a_compressed_key_is_refused() -> None:
    """Else one key could belong to two officers, in two encodings."""
    chain = Chain(officers=(), change=SMALL)
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=text(der(GOOD["p256"]))))
    second = chain.make("head-1", acts.Appoint(officer="agent-2", role="agent", key=text(compressed("p256"))))
    with pytest.raises(VerificationError, match="not in its one encoding"):
        chain.register.apply(second)


@given(st.binary(max_size=130))
def test_no_bytes_are_more_than_refused(content: bytes) -> None:
    with pytest.raises(VerificationError):
        PublicKey.from_base64(text(content))


@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(content: str) -> None:
    with pytest.raises(VerificationError):
        PublicKey.from_base64(content)
    with pytest.raises(UsageError):
        PublicKey.from_pem(content.encode("utf-8", "replace"), "it")


# --- Signatures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOOD)
def test_a_signature_is_by_this_key_over_these_bytes(kind: str) -> None:
    public = PublicKey.wrap(GOOD[kind].public_key())
    signature = bytes.fromhex(signer(GOOD[kind]).sign(b"content").signature)
    public.verify(signature, b"content")
    stranger = type(public).wrap(new_like(kind).public_key())
    for key, made, content in (
        (public, signature, b"Content"),
        (public, signature[:-1], b"content"),
        (public, signature + b"\x00", b"content"),
        (public, b"", b"content"),
        (public, b"\x00" * 64, b"content"),
        (stranger, signature, b"content"),
    ):
        with pytest.raises(VerificationError):
            key.verify(made, content)


def new_like(kind: str):
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(CURVES[kind][0])


@pytest.mark.parametrize("kind", GOOD)
def test_a_signer_s_key_id_is_that_of_the_key(kind: str) -> None:
    found = signer(GOOD[kind])
    assert found.public_key.keyid == found.sign(b"x").keyid == PublicKey.wrap(GOOD[kind].public_key()).keyid


@pytest.mark.parametrize(("kind", "bits"), [("p256", 256), ("p384", 384)])
def test_a_malleable_signature_changes_no_id(kind: str, bits: int) -> None:
    """Anybody can turn an ECDSA signature (r, s) into (r, n - s); the act stays the same act in the same chain."""
    order = {
        256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    }[bits]
    chain = Chain(officers=(), change=SMALL)
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=text(der(GOOD[kind]))))
    act = Act(
        seq=3, at=START.replace(hour=13), by="agent-1", body=acts.Request(to="platform"),
        nonce=NONCE, register=chain.register.id, prev=chain.head.id,
    )  # fmt: skip
    signed = acts.sign(act, signer(GOOD[kind]))
    r, s = decode_dss_signature(signed.signature)
    other = SignedAct(signed.act, signed.payload, signed.keyid, encode_dss_signature(r, order - s))
    assert other.signature != signed.signature
    assert other.id == signed.id
    heads = []
    for envelope in (signed, other):
        *_, (_, register) = from_beginning([*chain.lines, envelope.line()], act.at)
        heads.append(register.head)
    assert heads[0] == heads[1]


def test_an_ecdsa_signature_is_over_the_hash_of_its_curve() -> None:
    for kind, (_, wanted) in CURVES.items():
        public = PublicKey.wrap(GOOD[kind].public_key())
        for hashed in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
            signature = GOOD[kind].sign(b"content", ec.ECDSA(hashed))
            if hashed.name == wanted.name:
                public.verify(signature, b"content")
            else:
                with pytest.raises(VerificationError):
                    public.verify(signature, b"content")


@pytest.mark.parametrize("kind", GOOD)
def test_officers_may_have_any_of_the_three(kind: str) -> None:
    chain = Chain(officers=(), change=SMALL)
    chain.add_act("head-1", acts.Appoint(officer="agent-1", role="agent", key=text(der(GOOD[kind]))))
    act = Act(
        seq=3, at=chain.at, by="agent-1", body=acts.Request(to="host", names=names("a.example")),
        nonce=NONCE, register=chain.register.id, prev=chain.head.id,
    )  # fmt: skip
    register = Register()
    for signed in (*chain.signed, acts.sign(act, signer(GOOD[kind]))):
        register.apply(acts.read_line(signed.line()))
    assert register.head.seq == 3


# --- Private keys ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys", lambda what: PASSPHRASE)


def never(what: str) -> bytes:
    raise AssertionError(what)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("encrypt", [True, False])
def test_a_key_is_kept_for_its_owner_alone(folder: KeyFolder, kind: str, encrypt: bool) -> None:
    mask = os.umask(0)  # the most generous of accounts
    try:
        public = folder.create("agent-1", GOOD[kind], encrypt=encrypt)
    finally:
        os.umask(mask)
    private = folder.path / ("agent-1.p12" if encrypt else "agent-1.pem")
    assert mode(folder.path) == 0o700
    assert mode(private) == 0o600
    assert sorted(path.name for path in folder.path.iterdir()) == sorted([private.name, "agent-1.pub"])
    assert folder.has("agent-1")
    assert folder.public("agent-1") == public
    opened = KeyFolder(folder.path, folder._passphrase if encrypt else never).private("agent-1")
    assert PublicKey.wrap(opened.public_key()) == public


def test_a_key_file_is_as_slow_to_guess_as_it_says(folder: KeyFolder) -> None:
    folder.create("agent-1", GOOD["p384"], encrypt=True)
    path = folder.path / "agent-1.p12"
    shown = subprocess.run(
        ["openssl", "pkcs12", "-info", "-noout", "-in", path, "-passin", "pass:" + PASSPHRASE.decode()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert KDF_ROUNDS == 1_000_000
    assert "PBES2, PBKDF2, AES-256-CBC, Iteration 1000000, PRF hmacWithSHA256" in shown.stderr
    # Nothing else in the file is made from the passphrase: a MAC would be, at 2,048 rounds.
    assert re.findall(r"Iteration[: ]+(\d+)", shown.stderr) == ["1000000"], shown.stderr
    assert "MAC is absent" in shown.stderr
    content = path.read_bytes()
    secret = GOOD["p384"].private_numbers().private_value.to_bytes(48, "big")
    assert secret not in content


def test_a_wrong_passphrase_opens_nothing(folder: KeyFolder) -> None:
    folder.create("agent-1", GOOD["ed25519"], encrypt=True)
    for guess in (b"wrong", b"", PASSPHRASE + b"\n", PASSPHRASE.upper()):
        with pytest.raises(UsageError, match="the passphrase does not open the key agent-1"):
            KeyFolder(folder.path, lambda what, guess=guess: guess).private("agent-1")


def test_who_is_asked_for_a_passphrase_knows_for_what(tmp_path: Path) -> None:
    asked: list[str] = []

    def passphrase(what: str) -> bytes:
        asked.append(what)
        return PASSPHRASE

    folder = KeyFolder(tmp_path / "keys", passphrase)
    folder.create("agent-1", GOOD["ed25519"], encrypt=True)
    folder.private("agent-1")
    assert asked == ["the new key agent-1", "the key agent-1"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_key_is_never_overwritten(folder: KeyFolder, first: bool, second: bool) -> None:
    folder.create("agent-1", GOOD["ed25519"], encrypt=first)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RefusedError, match="the key agent-1 exists"):
        folder.create("agent-1", GOOD["p256"], encrypt=second)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601])
def test_a_key_that_others_can_read_is_not_used(folder: KeyFolder, wrong: int) -> None:
    folder.create("agent-1", GOOD["ed25519"], encrypt=False)
    (folder.path / "agent-1.pem").chmod(wrong)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        folder.private("agent-1")
    assert "chmod 600" in caught.value.hint
    (folder.path / "agent-1.pem").chmod(0o400)
    folder.private("agent-1")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../agent-1", "a/b", "Agent", "a b", "1a", "a" * 129, "a\n", "é", "a.p12"]
)
def test_a_name_cannot_lead_out_of_the_folder(folder: KeyFolder, name: str) -> None:
    for use in (folder.has, folder.private, lambda text: folder.create(text, GOOD["ed25519"], encrypt=False)):
        with pytest.raises(UsageError, match="cannot be the name of a key"):
            use(name)
    assert not folder.path.exists()


def test_a_key_that_is_not_there_is_one_sentence(folder: KeyFolder) -> None:
    assert not folder.has("agent-1")
    with pytest.raises(UsageError, match="there is no key agent-1"):
        folder.private("agent-1")
    with pytest.raises(UsageError, match="cannot be read"):
        folder.public("agent-1")


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x30\x80", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
@pytest.mark.parametrize("suffix", [".p12", ".pem", ".pub"])
def test_a_damaged_key_is_one_sentence(folder: KeyFolder, suffix: str, content: bytes) -> None:
    folder.path.mkdir()
    path = folder.path / f"agent-1{suffix}"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError):
        (folder.public if suffix == ".pub" else folder.private)("agent-1")


def test_a_key_that_cannot_sign_acts_is_refused(folder: KeyFolder) -> None:
    folder.path.mkdir()
    path = folder.path / "agent-1.pem"
    for kind in BAD:
        path.write_bytes(BAD[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
        with pytest.raises(UsageError, match=r"no key that can sign|not Ed25519"):
            signer(folder.private("agent-1"))
    sealed = GOOD["p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    path.write_bytes(sealed)
    with pytest.raises(
        UsageError, match="the key agent-1 is closed with too few rounds of key derivation: 2048, not 1000000"
    ):
        folder.private("agent-1")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError):
        KeyFolder(tmp_path / "file", never).create("agent-1", GOOD["ed25519"], encrypt=False)


def test_a_passphrase_that_is_not_given_leaves_no_key(tmp_path: Path) -> None:
    def interrupted(what: str) -> bytes:
        raise KeyboardInterrupt

    folder = KeyFolder(tmp_path / "keys", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.create("agent-1", GOOD["ed25519"], encrypt=True)
    assert not folder.has("agent-1")
    assert list(folder.path.glob("*")) == []


def test_an_empty_passphrase_protects_nothing(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys", lambda what: b"")
    with pytest.raises(BlocklistError):
        folder.create("agent-1", GOOD["ed25519"], encrypt=True)
    assert not folder.has("agent-1")


# --- Keys that openssl encrypted ---------------------------------------------------------------------------------

STRONG = ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "1000000")


def put(folder: KeyFolder, kind: str, suffix: str, *command: str) -> Path:
    """A key file as openssl writes it, with its public key beside it."""
    folder.path.mkdir(exist_ok=True)
    source, made = folder.path / "plain", folder.path / f"agent-1{suffix}"
    source.write_bytes(GOOD[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    words = ["openssl", *command, "-out", made]
    words += ["-inkey" if command[0] == "pkcs12" else "-in", source, "-passout", "pass:" + PASSPHRASE.decode()]
    subprocess.run(words, capture_output=True, check=True)
    source.unlink()
    made.chmod(0o600)
    (folder.path / "agent-1.pub").write_bytes(pem(GOOD[kind]))
    return made


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("options", [STRONG, ("-v2", "aes128", "-iter", "1200000")], ids=["documented", "other"])
def test_an_encrypted_pkcs8_file_of_the_same_strength_is_read(
    folder: KeyFolder, kind: str, options: tuple[str, ...]
) -> None:
    put(folder, kind, ".pem", "pkcs8", "-topk8", *options)
    assert folder.is_encrypted("agent-1")
    assert PublicKey.wrap(folder.private("agent-1").public_key()) == PublicKey.wrap(GOOD[kind].public_key())
    with pytest.raises(UsageError, match="the passphrase does not open the key agent-1"):
        KeyFolder(folder.path, lambda what: b"wrong").private("agent-1")


P12 = ("pkcs12", "-export", "-nocerts")
OLD = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-iter", "2000000", "-nomac")


@pytest.mark.parametrize(
    ("suffix", "command", "message"),
    [
        (".pem", ("pkcs8", "-topk8"), "too few rounds of key derivation: 2048, not 1000000"),
        (".pem", ("pkcs8", "-topk8", "-iter", "999999"), "too few rounds .*: 999999"),
        (".pem", ("pkcs8", "-topk8", "-scrypt"), "a scheme that is out of date or unknown"),
        (".pem", ("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-iter", "2000000"), "out of date or unknown"),
        (".pem", ("ec", "-aes256"), "out of date or unknown"),
        (".p12", P12, "too few rounds .*: 2048"),
        (".p12", (*P12, "-iter", "1000000", "-nomaciter"), "too few rounds of key derivation: 1, not"),  # the MAC's
        (".p12", (*P12, "-iter", "2048", "-nomac"), "too few rounds .*: 2048"),
        (".p12", (*P12, "-keypbe", "NONE", "-nomac"), "out of date or unknown"),
        (".p12", (*P12, *OLD), "out of date or unknown"),
    ],
)
def test_a_passphrase_that_is_cheap_to_guess_is_refused_until_it_is_changed(
    folder: KeyFolder, suffix: str, command: tuple[str, ...], message: str
) -> None:
    before = put(folder, "p384", suffix, *command).read_bytes()
    with pytest.raises(UsageError, match=message) as caught:
        KeyFolder(folder.path, never).private("agent-1")  # refused before anybody types a passphrase
    assert "key change-passphrase" in caught.value.hint
    (kept,) = folder.kept()
    assert kept.protection is not None
    assert kept.protection.weak
    assert (folder.path / f"agent-1{suffix}").read_bytes() == before
    folder.change_passphrase("agent-1")  # the same passphrase, derived as it should be
    assert sorted(path.name for path in folder.path.iterdir()) == ["agent-1.p12", "agent-1.pub"]
    assert PublicKey.wrap(folder.private("agent-1").public_key()) == PublicKey.wrap(GOOD["p384"].public_key())


def test_a_strong_pkcs12_file_of_openssl_is_read(folder: KeyFolder) -> None:
    put(folder, "p256", ".p12", *P12, "-iter", "1000000", "-nomac")
    assert PublicKey.wrap(folder.private("agent-1").public_key()) == PublicKey.wrap(GOOD["p256"].public_key())


@given(st.binary(max_size=200))
@example(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
@example(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
@example(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
@example(b"\x30\x00")
@example(b"\x30\x03\x02\x01\x03")
def test_no_key_file_is_more_than_refused(content: bytes) -> None:
    try:
        found = encoding.protection(content, "it")
    except UsageError as fault:
        assert "holds no private key" in fault.message
        return
    with pytest.raises(UsageError):
        encoding.require_strong(found, "it")
        encoding.opened(content, None, "it")


# --- Another passphrase ------------------------------------------------------------------------------------------

NEW = b"battery staple"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rounds, where a test is about something else."""
    monkeypatch.setattr("blocklist.keys.encoding.KDF_ROUNDS", 2000)


def changing(folder: KeyFolder) -> KeyFolder:
    return KeyFolder(folder.path, lambda what: PASSPHRASE, lambda what: NEW)


@pytest.mark.parametrize(("kind", "encrypted"), [("ed25519", True), ("p256", False), ("p384", True)])
def test_a_key_gets_another_passphrase(folder: KeyFolder, kind: str, encrypted: bool) -> None:
    public = folder.create("agent-1", GOOD[kind], encrypt=encrypted)
    changer = KeyFolder(folder.path, folder._passphrase if encrypted else never, lambda what: NEW)
    mask = os.umask(0)
    try:
        assert changer.change_passphrase("agent-1") == public
    finally:
        os.umask(mask)
    assert sorted(path.name for path in folder.path.iterdir()) == ["agent-1.p12", "agent-1.pub"]
    assert mode(folder.path / "agent-1.p12") == 0o600
    assert PublicKey.wrap(KeyFolder(folder.path, lambda what: NEW).private("agent-1").public_key()) == public
    with pytest.raises(UsageError, match="does not open"):
        folder.private("agent-1")


def test_no_copy_without_a_passphrase_is_written(
    quick: None, folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.create("agent-1", GOOD["p256"], encrypt=True)
    written: dict[str, bytes] = {}
    real = durable.write_chunks

    def watched(path: Path, chunks: Iterable[bytes], mode: int = 0o644) -> durable.Written:
        written[path.name] = b"".join(chunks)
        return real(path, [written[path.name]], mode)

    monkeypatch.setattr(durable, "write_chunks", watched)
    changing(folder).change_passphrase("agent-1")
    assert len(written) == 2  # the public key and the closed one
    secret = GOOD["p256"].private_numbers().private_value.to_bytes(32, "big")
    for name, content in written.items():
        assert secret not in content
        assert b"PRIVATE" not in content
        assert base64.b64encode(secret)[:20] not in content
        assert name.startswith(".tmp-agent-1.")


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("step", range(4))
def test_a_change_that_is_cut_off_leaves_a_key_that_opens(
    quick: None, folder: KeyFolder, monkeypatch: pytest.MonkeyPatch, encrypted: bool, step: int
) -> None:
    """Disk full, or power gone, at each of its writes: the key opens with the old passphrase or with the new one."""
    public = folder.create("agent-1", GOOD["p256"], encrypt=encrypted)
    names = [(durable, "write_chunks"), (Path, "replace"), (durable, "sync_folder"), (Path, "unlink")]
    owner, name = names[step]
    real, calls = getattr(owner, name), 0

    def broken(*args: Any, **rest: Any) -> Any:
        nonlocal calls
        calls += 1
        # The public key is written first; what is broken is what concerns the private one.
        if calls < 2 and name != "unlink":
            return real(*args, **rest)
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched, pytest.raises(TargetError):
        patched.setattr(owner, name, broken)
        changing(folder).change_passphrase("agent-1")
    assert not list(folder.path.glob(".tmp-*"))
    opened = []
    for passphrase in (PASSPHRASE, NEW):
        with contextlib.suppress(UsageError):
            key = KeyFolder(folder.path, lambda what, said=passphrase: said).private("agent-1")
            assert PublicKey.wrap(key.public_key()) == public
            opened.append(passphrase)
    assert opened
    # And another run ends with one closed file.
    again = KeyFolder(folder.path, lambda what: opened[0], lambda what: b"third")
    again.change_passphrase("agent-1")
    assert sorted(path.name for path in folder.path.iterdir()) == ["agent-1.p12", "agent-1.pub"]


@pytest.mark.parametrize("fault", ["wrong old", "empty new", "same", "stopped", "other pub", "no key", "open mode"])
def test_a_passphrase_that_is_not_changed_leaves_everything(quick: None, folder: KeyFolder, fault: str) -> None:
    folder.create("agent-1", GOOD["p256"], encrypt=True)
    if fault == "other pub":
        (folder.path / "agent-1.pub").write_bytes(pem(GOOD["p384"]))
    if fault == "open mode":
        (folder.path / "agent-1.p12").chmod(0o644)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}

    def stopped(what: str) -> bytes:
        raise KeyboardInterrupt

    old = (lambda what: b"wrong") if fault == "wrong old" else folder._passphrase
    new = {"empty new": lambda what: b"", "same": folder._passphrase, "stopped": stopped}.get(fault, lambda what: NEW)
    with pytest.raises((BlocklistError, KeyboardInterrupt)):
        KeyFolder(folder.path, old, new).change_passphrase("agent-2" if fault == "no key" else "agent-1")
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_folder_tells_its_keys_without_opening_them(folder: KeyFolder) -> None:
    assert KeyFolder(folder.path, never).kept() == []
    folder.create("agent-2", GOOD["ed25519"], encrypt=True)
    folder.create("agent-1", GOOD["p256"], encrypt=False)
    folder.create("root-0123456789abcdef", GOOD["p384"], encrypt=False)
    (folder.path / "root-0123456789abcdef.pub").unlink()
    (folder.path / "agent-9.pub").write_bytes(pem(GOOD["p256"]))  # somebody else's
    (folder.path / "Not a key.pem").write_text("x")
    folder.create("agent-3", new_like("p256"), encrypt=False)
    (folder.path / "agent-3.pem").chmod(0o644)
    (folder.path / "agent-4.p12").write_text("x")
    (folder.path / "agent-4.p12").chmod(0o600)
    told = [
        (key.name, key.public and key.public.keyid, key.protection and (key.protection.encrypted, key.protection.weak))
        for key in KeyFolder(folder.path, never).kept()
        if not key.fault
    ]
    faults = {key.name: key.fault for key in KeyFolder(folder.path, never).kept() if key.fault}
    assert faults.keys() == {"agent-3", "agent-4"}
    assert "can be read by others" in faults["agent-3"]
    assert "holds no private key" in faults["agent-4"]
    assert told == [
        ("agent-1", PublicKey.wrap(GOOD["p256"].public_key()).keyid, (False, False)),
        ("agent-2", PublicKey.wrap(GOOD["ed25519"].public_key()).keyid, (True, False)),
        ("root-0123456789abcdef", None, (False, False)),
    ]


# --- The command line --------------------------------------------------------------------------------------------


def secret_file(folder: Path, secret: str) -> str:
    path = folder / f"secret of {len(secret)}"
    path.write_text(f"{secret}\n")
    return str(path)


def test_a_passphrase_is_changed_on_a_terminal(quick: None, empty: Shell) -> None:
    empty.terminal()
    made = empty("key", "new", "agent-1", input="old\nold\n").output
    assert re.search(r"fingerprint ([0-9a-f]{4}-){4}[0-9a-f]{4}", made)
    shown = empty("key", "change-passphrase", "agent-1", input="old\nnew one\nnew one\n").output
    prompts = re.findall(r"Passphrase for (.*?):", shown)
    assert prompts == ["the key agent-1", "the key agent-1 from now on", "the key agent-1 from now on, again"]
    assert "old" not in shown
    assert "new one" not in shown
    change = ("key", "change-passphrase", "agent-1")
    empty.refused(*change, code=2, message="the passphrase does not open the key agent-1", input="old\n")
    empty.refused(*change, code=2, message="the two passphrases differ", input="new one\na\nb\n")
    empty.refused(*change, code=2, message="the new passphrase is the old one", input="new one\n" * 3)
    empty(*change, input="new one\nthird\nthird\n")


def test_a_passphrase_is_changed_from_files(quick: None, empty: Shell) -> None:
    old, new = (secret_file(empty.folder, text) for text in ("old", "newer"))
    env = {"BLOCKLIST_PASSPHRASE_FILE": old, "BLOCKLIST_NEW_PASSPHRASE_FILE": new}
    empty("key", "new", "agent-1", env=env)
    change = ("key", "change-passphrase", "agent-1")
    without = env | {"BLOCKLIST_NEW_PASSPHRASE_FILE": ""}
    refused = empty.refused(*change, code=2, message="there is no terminal", env=without)
    assert "BLOCKLIST_NEW_PASSPHRASE_FILE names a file with it" in refused.stderr
    empty(*change, env=env)
    empty.refused(*change, code=2, message="does not open", env=env)
    (listed,) = empty.json("key", "list")["keys"]
    assert (listed["encrypted"], listed["weak"], listed["file"][-12:]) == (True, False, "/agent-1.p12")


def test_a_key_without_a_passphrase_gets_its_first(empty: Shell) -> None:
    made = empty.json("key", "new", "agent-1", "--no-passphrase")
    env = {"BLOCKLIST_NEW_PASSPHRASE_FILE": secret_file(empty.folder, "newer")}
    changed = empty("--json", "key", "change-passphrase", "agent-1", env=env)
    assert json.loads(changed.stdout) == {"id": "agent-1", "fingerprint": made["fingerprint"]}
    assert sorted(path.name for path in empty.keys.iterdir()) == ["agent-1.p12", "agent-1.pub"]
    shown = " ".join(empty("key", "list").stdout.split())
    assert shown == f"key fingerprint protected by agent-1 {made['fingerprint']} passphrase"


def test_a_role_s_key_in_a_file_is_made_by_trust(empty: Shell) -> None:
    refused = empty.refused("key", "new", "timestamp", "--role", code=2, message="--role are for a key on a token")
    assert "blocklist trust key new ROLE" in refused.stderr
    assert not empty.keys.exists()


def test_the_name_of_a_role_s_key_tells_the_key() -> None:
    assert role_key_name("timestamp", "3fa9c2d1" * 8) == "timestamp-3fa9c2d13fa9c2d1"


def test_the_kit_s_keys_are_the_same_in_every_run() -> None:
    assert key_text("agent-1") == "MCowBQYDK2VwAyEAFeX2fkgafW6OQxg/t38G8wWjH5CNjCWpsYHKY1LzDl8="
