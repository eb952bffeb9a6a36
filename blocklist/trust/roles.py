"""What the heads sign with their offline keys: TUF `root` and top-level `targets`, and what both say together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey
from blocklist.register.decoders import ActError, Branch, encode, read_branch

OFFLINE_FOR = timedelta(days=365)
"""Life of `root` and top-level `targets`, which heads sign with keys that are kept offline."""

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = Root.type, Targets.type, Snapshot.type, Timestamp.type
OFFLINE = (ROOT, TARGETS)
_SHORTEST = 8
"""Hexadecimal digits of a fingerprint that are enough to mean a key."""

MALFORMED = (ActError, KeyError, TypeError, ValueError, AttributeError, RecursionError, RepositoryError)


@dataclass(frozen=True, slots=True)
class Pin:
    """What the heads state about one list, in the TUF target `registers/<list>.json`."""

    list_id: str
    environment: str
    register: str
    branch: Branch

    @property
    def target(self) -> str:
        """The TUF target path."""
        return f"registers/{self.list_id}.json"

    def to_bytes(self) -> bytes:
        """The target's content."""
        members = {
            "list": self.list_id,
            "environment": self.environment,
            "register": self.register,
            "branch": self.branch.to_json(),
        }
        return encode(members) + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Pin:
        """Read it back.

        Raises:
            VerificationError: It is not what `to_bytes` writes.
        """
        try:
            members = json.loads(content)
            branch = read_branch(members["branch"])
            pin = cls(str(members["list"]), str(members["environment"]), str(members["register"]), branch)
        except MALFORMED as fault:
            raise VerificationError(_("what the heads stated of a register cannot be read")) from fault
        if pin.to_bytes() != content:
            raise VerificationError(_("what the heads stated of a register is not in its one form"))
        return pin

    def file(self) -> TargetFile:
        """What `targets` says of it."""
        return TargetFile.from_data(self.target, self.to_bytes(), ["sha256"])


def tuf_key(public: PublicKey) -> Key:
    """A public key as TUF has it, under the id that it has everywhere in `blocklist`."""
    return SSlibKey.from_crypto(load_der_public_key(public.der), keyid=public.keyid)


def public_key(key: Key) -> PublicKey:
    """A key of the metadata, whatever id it has there.

    Raises:
        VerificationError: It is of none of the three types.
    """
    text = str(key.keyval.get("public"))
    try:
        if key.keytype == "ed25519":
            return PublicKey.wrap(ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
        return PublicKey.from_pem(text.encode(), key.keyid)
    except (ValueError, UnsupportedAlgorithm, UsageError) as fault:
        raise VerificationError(
            _("the metadata hold a key that is not Ed25519, ECDSA P-256 or P-384"),
            _("do not sign them; ask who made it"),
        ) from fault


def signed_by(metadata: Metadata[Any], delegator: Root | Targets, role: str) -> bool:
    """Whether enough keys of a role signed; for a choice between several delegators, never instead of a check."""
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):
        return False
    return True


def delegated(targets: Targets) -> dict[str, DelegatedRole]:
    """The roles that top-level `targets` let speak, by list."""
    return dict((targets.delegations and targets.delegations.roles) or {})


def let_in(targets: Targets, pin: Pin, key: Key) -> None:
    """Add a list to top-level `targets`: its pin, and the role that alone speaks for its files."""
    role = DelegatedRole(pin.list_id, [key.keyid], 1, terminating=True, paths=[f"{pin.list_id}/*"])
    keys = {**_delegated_keys(targets), key.keyid: key}
    targets.delegations = Delegations(keys, {**delegated(targets), pin.list_id: role})
    targets.targets[pin.target] = pin.file()


@dataclass(frozen=True, slots=True)
class Trust:
    """`root` and `targets` that belong together, and what they state of each list."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    pins: Mapping[str, Pin] = field(default_factory=dict)

    def documents(self) -> dict[str, Root | Targets]:
        """Both, by name."""
        return {ROOT: self.root.signed, TARGETS: self.targets.signed}

    def lists(self) -> list[str]:
        """The lists that `targets` lets into the tree."""
        return list(delegated(self.targets.signed))

    def names(self) -> list[str]:
        """Every role."""
        return [ROOT, TARGETS, SNAPSHOT, TIMESTAMP, *self.lists()]

    def online(self) -> list[str]:
        """The roles whose keys the publisher holds."""
        return [SNAPSHOT, TIMESTAMP, *self.lists()]

    def role(self, name: str) -> Role:
        """The keys and the threshold of one role.

        Raises:
            UsageError: There is none of that name.
        """
        if name not in self.names():
            known = ", ".join(self.names())
            raise UsageError(_("there is no role {name}", name=name), _("the roles are {known}", known=known))
        return self.delegator(name).get_delegated_role(name)

    def delegator(self, name: str) -> Root | Targets:
        """The metadata that say whose keys speak for a role."""
        return self.root.signed if name in self.root.signed.roles else self.targets.signed

    def keys(self, name: str) -> dict[str, PublicKey]:
        """The keys of a role, by the id that they have in the metadata."""
        delegator = self.delegator(name)
        return {keyid: public_key(delegator.get_key(keyid)) for keyid in self.role(name).keyids}

    def every_key(self) -> Iterator[tuple[str, str, PublicKey]]:
        """Role, id in the metadata, and key, for all roles."""
        for name in self.names():
            for keyid, key in self.keys(name).items():
                yield name, keyid, key

    def find(self, name: str, fingerprint: str) -> str:
        """The id of the one key of a role that a person means.

        Raises:
            UsageError: None is meant, or several are.
        """
        wanted = fingerprint.replace("-", "").replace(" ", "").lower()
        keys = self.keys(name)
        found = [keyid for keyid, key in keys.items() if key.keyid.startswith(wanted)]
        if len(wanted) < _SHORTEST or len(found) != 1:
            there = ", ".join(key.fingerprint for key in keys.values())
            raise UsageError(
                _("{fingerprint} means no single key of {role}", fingerprint=fingerprint[:80], role=name),
                _("its keys are {keys}", keys=there),
            )
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """For a proposal's file."""
        pins = {list_id: pin.to_bytes().decode() for list_id, pin in self.pins.items()}
        return {"root": self.root.to_dict(), "targets": self.targets.to_dict(), "pins": pins}

    def require_sound(self) -> None:
        """Refuse keys that are there twice, roles that nobody could sign, and pins that are not those of `targets`.

        Raises:
            RefusedError: They are not fit to be signed.
            VerificationError: They do not belong together.
        """
        require_thresholds(self)
        _require_single(self)
        stated = {path for path in self.targets.signed.targets if path.startswith("registers/")}
        if {pin.target for pin in self.pins.values()} != stated:
            raise VerificationError(_("the metadata state other registers than are here"))
        for pin in self.pins.values():
            if pin.file().hashes != self.targets.signed.targets[pin.target].hashes:
                raise VerificationError(_("the register of {list_id} is not what was signed", list_id=pin.list_id))


def require_thresholds(trust: Trust) -> None:
    """Refuse what would leave a role without enough keys.

    Raises:
        RefusedError: It would.
    """
    for name in trust.names():
        role = trust.role(name)
        if not 1 <= role.threshold <= len(role.keyids):
            raise RefusedError(
                _(
                    "{role} would need {threshold} signatures and has {count} keys: nobody could sign it any more",
                    role=name,
                    threshold=role.threshold,
                    count=len(role.keyids),
                ),
                _("add a key first, or lower the threshold first"),
            )


def _require_single(trust: Trust) -> None:
    """One key in two roles, or under two ids, would count twice or hold power that nobody sees."""
    seen: dict[str, str] = {}
    for name, keyid, key in trust.every_key():
        if keyid != key.keyid:
            raise RefusedError(
                _("the key {fingerprint} of {role} is listed under another id", fingerprint=key.fingerprint, role=name),
                _("it could be counted twice; do not sign this"),
            )
        if key.keyid in seen:
            raise RefusedError(
                _(
                    "the key {fingerprint} is there twice: for {first} and for {second}",
                    fingerprint=key.fingerprint,
                    first=seen[key.keyid],
                    second=name,
                ),
                _("each role needs keys of its own; make another one"),
            )
        seen[key.keyid] = name
    unused = {*trust.root.signed.keys, *_delegated_keys(trust.targets.signed)} - seen.keys()
    if unused:
        raise RefusedError(_("the metadata hold keys that no role uses"), _("do not sign this; ask who made it"))


def _delegated_keys(targets: Targets) -> Mapping[str, Key]:
    return targets.delegations.keys if targets.delegations else {}
