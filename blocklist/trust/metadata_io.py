"""TUF metadata as files: read, verified by the role that delegates, and signed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from blocklist.base import durable
from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encryption import SigningKey
from blocklist.keys.public import signer

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
