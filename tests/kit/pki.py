"""A private certificate authority for HTTPS: certificates of servers and clients, and the list of revoked ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority for servers and clients, in files."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        folder.mkdir()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = cls(folder, ec.generate_private_key(ec.SECP256R1()), subject)
        made._write("ca", made.key, subject, x509.BasicConstraints(ca=True, path_length=0), "cert")
        return made

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Certificate and key files, good for 127.0.0.1 and for `hosts`."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, subject, x509.BasicConstraints(ca=False, path_length=None), "end", hosts)

    def revocation_list(self, *revoked: Path, days: int = 30, name: str = "crl") -> Path:
        """The list of the certificates that are revoked; it is good for so many days, or has been over for so many."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder(self.name)
            .last_update(now - 365 * DAY)
            .next_update(now + days * DAY)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for path in revoked:
            number = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        made = self.folder / f"{name}.pem"
        made.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return made

    def _write(
        self,
        stem: str,
        key: Any,
        subject: x509.Name,
        limits: x509.BasicConstraints,
        use: str,
        hosts: Iterable[str] = (),
    ) -> tuple[Path, Path]:
        now, ca = datetime.now(UTC), use == "cert"
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        also = [x509.IPAddress(IPv4Address("127.0.0.1")), *map(x509.DNSName, hosts)]
        certificate = (
            x509.CertificateBuilder(self.name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(limits, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectAlternativeName(also), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        paths = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths
