"""Receipts: what a provider states of a release that it installed, for the office (décret 2015-125 art. 3 and 4).

A receipt is compact JSON, and if the provider has a key, a DSSE envelope around it. It holds numbers and digests, and
neither names of sites nor paths of the provider's machine.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocklist.base.errors import VerificationError
from blocklist.base.i18n import _, later
from blocklist.register.acts import ENVIRONMENTS, authenticated_bytes
from blocklist.register.decoders import (
    ActError,
    Ref,
    encode,
    format_instant,
    load_canonical,
    parse_identifier,
    parse_instant,
    read_ref,
)
from blocklist.register.policy import FORMATS

if TYPE_CHECKING:
    from blocklist.keys.encoding import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.blocklist.receipt+json"
MAX_RECEIPT = 256 * 1024
_KEYS = frozenset(
    ("list", "environment", "register", "provider", "release", "head", "let_in", "applied", "names", "added", "ended",
     "waiting", "installed", "failed")
)  # fmt: skip
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = later("ask the provider for receipt.json of its state folder, as it is")


@dataclass(frozen=True, slots=True)
class Applied:
    """A release, by its number and the head that it shows."""

    release: int
    head: Ref

    @property
    def instant(self) -> datetime:
        """The instant of the release."""
        return datetime.fromtimestamp(self.release, UTC)

    def precedes(self, other: Applied) -> bool:
        """Whether it is the other one, or can be older than it: neither its instant nor its head is later."""
        if self.release == other.release:
            return self == other
        return self.release < other.release and self.head.seq <= other.head.seq

    def to_json(self) -> dict[str, object]:
        """The form inside a receipt."""
        return {"release": self.release, "head": self.head.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one provider installed of one list, and when.

    Attributes:
        list: The list's id.
        environment: Test or production.
        register: The founding id.
        provider: The id under which the office knows the provider; empty if it gave none.
        shown: The release that was accepted: what it ended is restored.
        let_in: The release whose additions are installed; an older one while additions wait for the provider's word.
        applied: When the last target was in place and reloaded.
        names: How many names are installed.
        added: How many of them are new.
        ended: How many names are not installed any more.
        waiting: How many additions wait.
        installed: The formats that are in place, each with the SHA-256 of its file.
        failed: The formats that could not be put in place.
    """

    list: str
    environment: str
    register: str
    provider: str
    shown: Applied
    let_in: Applied
    applied: datetime
    names: int
    added: int
    ended: int
    waiting: int
    installed: tuple[tuple[str, str], ...]
    failed: tuple[str, ...]

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return encode(
            {
                "list": self.list,
                "environment": self.environment,
                "register": self.register,
                "provider": self.provider,
                "release": self.shown.release,
                "head": self.shown.head.to_json(),
                "let_in": self.let_in.to_json(),
                "applied": format_instant(self.applied),
                "names": self.names,
                "added": self.added,
                "ended": self.ended,
                "waiting": self.waiting,
                "installed": [{"format": format_id, "sha256": digest} for format_id, digest in self.installed],
                "failed": [*self.failed],
            }
        )


@dataclass(frozen=True, slots=True)
class Received:
    """A receipt as it came; without a signature it is what whoever brings it says."""

    receipt: Receipt
    payload: bytes
    signature: bytes | None = None

    def verify(self, key: PublicKey, provider: str) -> None:
        """Check that a provider signed it, with the key that the office has of that provider.

        Raises:
            VerificationError: It is not signed, or by another key.
        """
        if self.signature is None:
            raise VerificationError(
                _("the receipt is not signed, and {provider} has a key", provider=provider), _(_HINT)
            )
        try:
            key.verify(self.signature, authenticated_bytes(self.payload, PAYLOAD_TYPE))
        except VerificationError as fault:
            raise VerificationError(
                _("the receipt is not signed with the key of {provider}", provider=provider),
                _("if the provider has another key now, its file belongs in lists/providers; else tell the provider"),
            ) from fault


def write(receipt: Receipt, key: SigningKey | None) -> bytes:
    """The file of a receipt, signed if there is a key."""
    payload = receipt.payload()
    if key is None:
        return payload + b"\n"
    from securesystemslib.dsse import Envelope

    from blocklist.keys.encoding import signer

    signature = Envelope(payload, PAYLOAD_TYPE, {}).sign(signer(key))
    return encode(_envelope(payload, signature.keyid, bytes.fromhex(signature.signature))) + b"\n"


def read(content: bytes) -> Received:
    """Read the file of a receipt; its signature is not checked here.

    Raises:
        VerificationError: It is none.
    """
    if len(content) > MAX_RECEIPT:
        raise VerificationError(_("the receipt is too large"), _(_HINT))
    try:
        payload, signature = _opened(content.removesuffix(b"\n"))
        receipt = _read(load_canonical(payload))
        if receipt.payload() != payload:  # members that nobody reads, formats out of order
            raise ValueError("not the one form of a receipt")
        return Received(receipt, payload, signature)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, ActError) as fault:
        raise VerificationError(_("that is no receipt of this program"), _(_HINT)) from fault


def _opened(content: bytes) -> tuple[bytes, bytes | None]:
    """Payload and signature of an envelope, or what is no envelope as it is."""
    members = json.loads(content)
    if "payloadType" not in members:
        return content, None
    (entry,) = members["signatures"]
    payload, signature = (base64.b64decode(text, validate=True) for text in (members["payload"], entry["sig"]))
    if content != encode(_envelope(payload, _digest(entry["keyid"]), signature)):
        raise ValueError("not an envelope in its one form")
    return payload, signature


def _envelope(payload: bytes, keyid: str, signature: bytes) -> dict[str, object]:
    entry = {"keyid": keyid, "sig": base64.b64encode(signature).decode()}
    return {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [entry]}


def _read(members: Mapping[str, Any]) -> Receipt:
    if members.keys() != _KEYS or members["environment"] not in ENVIRONMENTS:
        raise ValueError("not the members of a receipt")
    receipt = Receipt(
        list=parse_identifier(members["list"]),
        environment=members["environment"],
        register=_digest(members["register"]),
        provider=parse_identifier(members["provider"]) if members["provider"] else "",
        shown=_applied(members),
        let_in=_applied(members["let_in"]),
        applied=parse_instant(members["applied"]),
        **{key: _number(members[key]) for key in ("names", "added", "ended", "waiting")},
        installed=tuple(sorted({_format(on["format"]): _digest(on["sha256"]) for on in members["installed"]}.items())),
        failed=tuple(sorted(set(map(_format, members["failed"])))),
    )
    if not receipt.let_in.precedes(receipt.shown):
        raise ValueError("additions of a later release than the one that was accepted")
    return receipt


def _applied(members: Mapping[str, Any]) -> Applied:
    return Applied(_number(members["release"], 1, 2**32), read_ref(members["head"]))


def _number(value: object, least: int = 0, end: int = 2**53) -> int:
    if type(value) is not int or not least <= value < end:
        raise ValueError(f"{value} is no such number")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("not a digest")
    return value


def _format(value: object) -> str:
    if value not in FORMATS:
        raise ValueError("not a format")
    return str(value)
