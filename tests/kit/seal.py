"""What tests of the seal build with: an office that seals, and stock `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blocklist.seal import cms
from blocklist.seal.ca import issue_certificate, new_authority, new_revocation_list

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
CONTENT = b"# list: apology-of-terrorism\n" + b"0" * 64 + b"  rpz.zone\n"


@dataclass(frozen=True)
class Office:
    """A seal authority and one seal certificate, as `publish` has them."""

    authority_key: ec.EllipticCurvePrivateKey
    key: ec.EllipticCurvePrivateKey
    authority: bytes
    certificate: bytes
    crl: bytes
    sealed: bytes

    @property
    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate).serial_number

    def verify(self, sealed: bytes, **changes) -> x509.Certificate:
        asked = {"content": CONTENT, "authority_pem": self.authority, "at": NOW} | changes
        return cms.verify(signature=sealed, **asked)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def new_office(now: datetime = NOW, name: str = "blocklist seal authority, test") -> Office:
    authority_key, key = new_key(), new_key()
    authority = new_authority(name, authority_key, now)
    certificate = issue_certificate(authority, authority_key, key.public_key(), "seal, test", now)
    crl = new_revocation_list(authority, authority_key, {}, 1, now, 30)
    return Office(authority_key, key, authority, certificate, crl, cms.seal(CONTENT, key, certificate, now))


def revocation_list(office: Office, *revoked: int, now: datetime = NOW, days: int = 30) -> bytes:
    times = dict.fromkeys(revoked, now)
    return new_revocation_list(office.authority, office.authority_key, times, 7, now, days)


def key_usage(*uses: str) -> x509.KeyUsage:
    flags = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{flag: flag in uses for flag in flags.split()})


def write(folder: Path, office: Office, content: bytes = CONTENT, sealed: bytes | None = None) -> None:
    folder.joinpath("SHA256SUMS").write_bytes(content)
    folder.joinpath("SHA256SUMS.p7s").write_bytes(office.sealed if sealed is None else sealed)
    folder.joinpath("seal.pem").write_bytes(office.authority)
    folder.joinpath("seal.crl").write_bytes(office.crl)


def openssl(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], cwd=folder, env=env, capture_output=True, check=False)


# The command of the docs. Without the two `-no-` options openssl trusts the system's authorities too, beside -CAfile.
CMS_VERIFY = ["cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "SHA256SUMS.p7s"]
CMS_VERIFY += ["-content", "SHA256SUMS", "-out", "/dev/null"]
ONLY = ["-no-CApath", "-no-CAstore"]


def openssl_verifies(folder: Path, *more: str, at: datetime = NOW, authority: str = "seal.pem") -> bool:
    command = [*CMS_VERIFY, "-CAfile", authority, *ONLY, "-attime", str(int(at.timestamp())), *more]
    result = openssl(folder, *command)
    assert (result.returncode == 0) == (b"CAdES Verification successful" in result.stderr), result.stderr
    return result.returncode == 0


def openssl_signs(folder: Path, *options: str, key: str = "seal.key", certificate: str = "seal-1.pem") -> bytes:
    command = ["cms", "-sign", "-binary", "-outform", "DER", "-in", "SHA256SUMS", "-out", "made.p7s"]
    result = openssl(folder, *command, "-signer", certificate, "-inkey", key, *options)
    assert result.returncode == 0, result.stderr
    return folder.joinpath("made.p7s").read_bytes()


def pem_key(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
