"""Keys: three kinds in one encoding each, and private keys that only their owner can read."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
from pathlib import Path

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
from hypothesis import given
from hypothesis import strategies as st
from kit import START, Chain, key_text, names

from blocklist import acts
from blocklist.acts import Act, SignedAct
from blocklist.errors import BlocklistError, RefusedError, TargetError, UsageError, VerificationError
from blocklist.register import Register
from blocklist.replay import replay
from blocklist.signing import KDF_ROUNDS, KeyFolder, PublicKey, role_key_name, signer

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
        register=chain.register.id, prev=chain.head.id,
    )  # fmt: skip
    signed = acts.sign(act, signer(GOOD[kind]))
    r, s = decode_dss_signature(signed.signature)
    other = SignedAct(signed.act, signed.payload, signed.keyid, encode_dss_signature(r, order - s))
    assert other.signature != signed.signature
    assert other.id == signed.id
    heads = []
    for envelope in (signed, other):
        *_, (_, register) = replay([*chain.lines, envelope.line()], act.at)
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
        register=chain.register.id, prev=chain.head.id,
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
    with pytest.raises(UsageError, match="no private key in PEM form"):
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


def test_the_name_of_a_role_s_key_tells_the_key() -> None:
    assert role_key_name("timestamp", "3fa9c2d1" * 8) == "timestamp-3fa9c2d13fa9c2d1"


def test_the_kit_s_keys_are_the_same_in_every_run() -> None:
    assert key_text("agent-1") == "MCowBQYDK2VwAyEAFeX2fkgafW6OQxg/t38G8wWjH5CNjCWpsYHKY1LzDl8="
