"""The trust folder `lists/trust/`: every version of `root` and `targets` that was ever signed, the seal's certificates.

It is written by the heads alone, and the publisher believes it; the published tree could have been emptied or altered.
TUF metadata are read as files, verified by the role that delegates, and signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from blocklist.base import durable
from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import SigningKey, signer
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.trust.roles import ROOT, TARGETS, Pin, Trust, signed_by

MAX_METADATA = 5_000_000
S = TypeVar("S", Root, Targets, Snapshot, Timestamp)


def verified(path: Path, cls: type[S], delegator: Root | Targets, role: str) -> S:
    """The metadata in a file, signed by `role` as `delegator` demands.

    Raises:
        VerificationError: They are not.
        UsageError: The file cannot be read.
    """
    metadata = read(path, cls)
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as fault:
        raise not_signed(path) from fault
    return metadata.signed


def not_signed(path: Path) -> VerificationError:
    """The error for metadata that are not what their role signed under this name."""
    return VerificationError(
        _("{path} is not signed by its role", path=path),
        _("restore {folder} from a backup; somebody changed it", folder=path.parent),
    )


def read(path: Path, cls: type[S]) -> Metadata[S]:
    """The metadata in a file, whoever signed them.

    Raises:
        VerificationError: They are none, or of another type.
        UsageError: The file cannot be read.
    """
    content = durable.read(path, _("the metadata"), MAX_METADATA)
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(content)
    except (RepositoryError, ValueError) as fault:
        raise VerificationError(
            _("the published metadata cannot be read"), _("restore exports/ from a backup")
        ) from fault
    if not isinstance(metadata.signed, cls):
        raise VerificationError(_("the published metadata are of another role"), _("restore exports/ from a backup"))
    return metadata


def signed_bytes(signed: Root | Targets | Snapshot | Timestamp, keys: Iterable[SigningKey]) -> bytes:
    """The metadata with a signature by each key, as they are stored."""
    metadata: Metadata[Any] = Metadata(signed)
    for key in keys:
        metadata.sign(signer(key), append=True)
    return metadata.to_bytes(JSONSerializer(compact=False))


def add_signatures(metadata: Metadata[S], keys: Iterable[SigningKey]) -> bytes:
    """The same metadata with one more signature by each key, as they are stored."""
    for key in keys:
        metadata.sign(signer(key), append=True)
    return metadata.to_bytes(JSONSerializer(compact=False))


PIN = ".register.json"
SEAL, AUTHORITY, REVOCATIONS = "seal.crt", "seal.pem", "seal.crl"
QUALIFIED, QUALIFIED_CHAIN = "qualified.crt", "qualified.pem"
"""Another seal beside the first: its certificate, and those above it."""
_STOLEN = "stolen-keys"
_VERSION = re.compile(r"([1-9][0-9]*)\.(root|targets)\.json")


class TrustFolder:
    """What the heads keep in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def versions(self, role: str) -> list[int]:
        """The versions of `root` or `targets` that are there, the newest first."""
        found = (_VERSION.fullmatch(path.name) for path in self.path.glob("*.json"))
        return sorted((int(match[1]) for match in found if match and match[2] == role), reverse=True)

    def every(self, role: str, cls: type[S]) -> Iterator[Metadata[S]]:
        """All versions of `root` or `targets`, the newest first, each as the heads signed it.

        What they did not sign every subscriber would refuse: nobody must be shown it.

        Raises:
            UsageError: There is none.
            VerificationError: One cannot be read, or was not signed by the heads.
        """
        versions = self.versions(role)
        if not versions:
            raise UsageError(
                _("there is no {role} metadata in {trust}", role=role, trust=self.path),
                _("restore it from a backup; if 'blocklist init' was cut off, run it again"),
            )
        roots = [root.signed for root in self.every(ROOT, Root)] if role == TARGETS else []
        return (self._genuine(version, role, cls, roots) for version in versions)

    def _genuine(self, version: int, role: str, cls: type[S], roots: Sequence[Root]) -> Metadata[S]:
        """One version: a root signed by its own keys and those of the one before, `targets` as some root wants it."""
        path = self.path / f"{version}.{role}.json"
        metadata = read(path, cls)
        if role == ROOT:
            first = self.versions(ROOT)[-1]
            numbers = {max(version - 1, first), version}
            speaking = [read(self.path / f"{number}.{ROOT}.json", Root).signed for number in numbers]
        else:
            # A root may be in force before the `targets` that it wants are there.
            speaking = [next((root for root in roots if signed_by(metadata, root, role)), roots[0])]
        for root in speaking:
            verified(path, cls, root, role)
        if metadata.signed.version != version:
            raise not_signed(path)
        return metadata

    def root(self) -> Root:
        """The newest root."""
        return next(self.every(ROOT, Root)).signed

    def targets(self) -> Targets:
        """The newest top-level targets."""
        return next(self.every(TARGETS, Targets)).signed

    def signed_targets(self) -> Targets:
        """The same, and that the heads signed them.

        Raises:
            VerificationError: They did not.
        """
        version = self.versions(TARGETS)[0] if self.versions(TARGETS) else 1
        return verified(self.path / f"{version}.{TARGETS}.json", Targets, self.root(), TARGETS)

    def trust(self) -> Trust:
        """The newest versions, with what they state of each list.

        Raises:
            VerificationError: They were not signed as they demand of themselves.
        """
        root: Metadata[Any] = next(self.every(ROOT, Root))
        verified(self.path / f"{root.signed.version}.{ROOT}.json", Root, root.signed, ROOT)
        self.signed_targets()
        targets = next(self.every(TARGETS, Targets))
        pins = (Pin.from_bytes(content) for _path, content in self.pins())
        # A machine that stopped while it let a list in leaves a pin that no `targets` state yet.
        return Trust(root, targets, {pin.list_id: pin for pin in pins if pin.target in targets.signed.targets})

    def pins(self) -> Iterator[tuple[Path, bytes]]:
        """What the heads stated of each register: file and content."""
        for path in sorted(self.path.glob(f"*{PIN}")):
            yield path, durable.read(path, _("the kept file"), MAX_METADATA)

    def stolen(self) -> frozenset[str]:
        """The ids of keys that the heads know to be stolen: what they signed says nothing."""
        try:
            return frozenset((self.path / _STOLEN).read_text().split())
        except FileNotFoundError:
            return frozenset()

    def write(self, name: str, content: bytes) -> None:
        """Keep a file.

        Raises:
            TargetError: It could not be written.
        """
        durable.make_folder(self.path)
        durable.replace(self.path / name, content)

    def write_stolen(self, keyids: frozenset[str]) -> None:
        """Keep the ids of stolen keys."""
        if keyids - self.stolen():
            lines = sorted(keyids | self.stolen())
            self.write(_STOLEN, "".join(f"{keyid}\n" for keyid in lines).encode())

    # The seal

    def certificates(self) -> list[bytes]:
        """The certificates of the seal, the one to use first; the others are of the time before."""
        newest = durable.read(self.path / SEAL, _("the seal certificate"), MAX_METADATA)
        others = [durable.read(path, _("the seal certificate"), MAX_METADATA) for path in self.path.glob("seal-*.crt")]
        others.sort(key=lambda pem: x509.load_pem_x509_certificate(pem).not_valid_before_utc, reverse=True)
        return [newest, *(pem for pem in others if pem != newest)]

    def revoked(self) -> x509.CertificateRevocationList:
        """The authority's revocation list."""
        return x509.load_pem_x509_crl(durable.read(self.path / REVOCATIONS, _("the revocation list"), MAX_METADATA))

    def is_revoked(self, certificate_pem: bytes) -> bool:
        """Whether the authority took a certificate back."""
        serial = x509.load_pem_x509_certificate(certificate_pem).serial_number
        return self.revoked().get_revoked_certificate_by_serial_number(serial) is not None


def key_name(keys: KeyFolder, role: str, keyid: str) -> str | None:
    """The name under which a key folder holds the private key of that id, None when it does not."""
    name = role_key_name(role, keyid)
    if keys.has(name):
        return name
    for path in sorted(keys.path.glob("*.pub")):
        try:
            if keys.public(path.stem).keyid == keyid and keys.has(path.stem):
                return path.stem
        except UsageError:  # a file that is no key of ours
            continue
    return None
