"""An act's signature and commitment, checked by openssl alone."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import print_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from kit.fixed import names
from kit.forged import pae
from kit.paths import TESTS

from blocklist.keys.encoding import PublicKey, signer
from blocklist.register import acts
from blocklist.register.acts import KINDS


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_verifies_an_ed25519_signature(kind: str, tmp_path: Path) -> None:
    vector = json.loads((TESTS / "vectors/acts" / f"{kind}.json").read_text())
    line = json.loads(vector["line"])
    (tmp_path / "key.der").write_bytes(base64.b64decode(vector["signer"]["key"]))
    (tmp_path / "signature").write_bytes(base64.b64decode(line["signatures"][0]["sig"]))
    payload = base64.b64decode(line["payload"])
    for content, verified in ((pae(payload), True), (pae(payload + b" "), False), (payload, False)):
        (tmp_path / "content").write_bytes(content)
        arguments = ("-pubin", "-keyform", "DER", "-inkey", tmp_path / "key.der", "-in", tmp_path / "content")
        result = openssl("pkeyutl", "-verify", "-rawin", *arguments, "-sigfile", tmp_path / "signature")
        assert (result.returncode == 0) is verified, result.stderr


@pytest.mark.parametrize(("curve", "hashed"), [(ec.SECP384R1(), "-sha384"), (ec.SECP256R1(), "-sha256")])
def test_openssl_verifies_an_ecdsa_signature(curve: ec.EllipticCurve, hashed: str, tmp_path: Path) -> None:
    private = ec.generate_private_key(curve)
    signed = acts.sign(print_vectors.signed("request").act, signer(private))
    (tmp_path / "key.pem").write_bytes(PublicKey.wrap(private.public_key()).to_pem())
    (tmp_path / "signature").write_bytes(signed.signature)
    for content, verified in ((pae(signed.payload), True), (pae(signed.payload) + b" ", False)):
        (tmp_path / "content").write_bytes(content)
        arguments = ("-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature", tmp_path / "content")
        result = openssl("dgst", hashed, *arguments)
        assert (result.returncode == 0) is verified, result.stderr


def test_openssl_computes_a_commitment() -> None:
    salt = "01" * 32
    by_hand = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{salt}"],
        input=b'{"domain":["a.example"],"host":[]}',
        capture_output=True,
        check=True,
    )
    assert by_hand.stdout.split()[-1].decode() == names("a.example").commitment(salt)
