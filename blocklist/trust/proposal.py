"""Proposals to change what the heads sign: files that travel from key to key, in the manner of a signing event.

A proposal holds the next version of `root` or `targets` or both, with the signatures that it has so far, and the
versions that it follows. Nothing here reads a file or a clock: metadata and times go in, a proposal or an exception
comes out.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tuf.api.metadata import Metadata, Role, Root, Targets

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey
from blocklist.register.decoders import Branch, Ref, is_identifier
from blocklist.trust.roles import (
    MALFORMED,
    OFFLINE_FOR,
    ROOT,
    TARGETS,
    Pin,
    Trust,
    let_in,
    public_key,
    require_thresholds,
    tuf_key,
)

MAX_PROPOSAL = 10_000_000
"""Octets."""

_FORM = "blocklist trust proposal, form 1"
_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Missing:
    """Whose signatures a proposal still needs: `count` more of these keys."""

    document: str
    count: int
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The next version of `root` or `targets` or both. What is signed already is dropped when it is changed again.

    `stolen` are ids of keys whose signatures on earlier releases count for nothing.
    """

    base: Trust
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    pins: Mapping[str, Pin] = field(default_factory=dict)
    stolen: frozenset[str] = frozenset()

    @property
    def after(self) -> Trust:
        """How things are once it is in force."""
        return Trust(self.root or self.base.root, self.targets or self.base.targets, {**self.base.pins, **self.pins})

    @property
    def documents(self) -> dict[str, Metadata[Root] | Metadata[Targets]]:
        """What it changes."""
        both: dict[str, Metadata[Root] | Metadata[Targets] | None] = {ROOT: self.root, TARGETS: self.targets}
        return {name: metadata for name, metadata in both.items() if metadata is not None}

    @property
    def fingerprint(self) -> str:
        """80 bits over what is signed, to be compared by those who sign it at different places."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(m.signed_bytes).digest() for m in self.documents.values()))
        text = digest.hexdigest()
        return "-".join(text[start : start + 4] for start in range(0, 20, 4))

    # Edits; each gives another proposal

    def renew(self, name: str, now: datetime) -> Proposal:
        """The next version of `root` or `targets`, valid for a year from now, not signed by anybody."""
        expires = now.replace(microsecond=0) + OFFLINE_FOR
        metadata: Metadata[Any] = self.after.root if name == ROOT else self.after.targets
        signed = copy.deepcopy(metadata.signed)
        before = self.base.root if name == ROOT else self.base.targets
        signed.version, signed.expires = before.signed.version + 1, expires
        unsigned: Metadata[Any] = Metadata(signed)
        return replace(self, root=unsigned) if name == ROOT else replace(self, targets=unsigned)

    def _edit(self, name: str, now: datetime) -> Proposal:
        """With a new version of what speaks about a role, and of `targets` when its own keys change."""
        self.after.role(name)
        edited = self.renew(ROOT if name in self.base.root.signed.roles else TARGETS, now)
        return edited.renew(TARGETS, now) if name == TARGETS else edited

    def add_key(self, name: str, key: PublicKey, now: datetime) -> Proposal:
        """One more key for a role.

        Raises:
            UsageError: There is no such role.
            RefusedError: A role has this key already, or it was stolen.
        """
        if key.keyid in self.stolen:
            raise RefusedError(
                _("the key {fingerprint} was stolen", fingerprint=key.fingerprint), _("make another one")
            )
        edited = self._edit(name, now)
        edited.after.delegator(name).add_key(tuf_key(key), name) if key.keyid not in self._ids() else _twice(self, key)
        return edited

    def _ids(self) -> set[str]:
        return {key.keyid for _name, _keyid, key in self.after.every_key()}

    def remove_key(self, name: str, fingerprint: str, now: datetime) -> Proposal:
        """One key less for a role.

        Raises:
            UsageError: There is no such role, or no such key.
            RefusedError: Too few would be left.
        """
        keyid = self.after.find(name, fingerprint)
        edited = self._edit(name, now)
        edited.after.delegator(name).revoke_key(keyid, name)
        require_thresholds(edited.after)
        return edited

    def threshold(self, name: str, number: int, now: datetime) -> Proposal:
        """How many keys of a role have to sign.

        Raises:
            UsageError: There is no such role.
            RefusedError: It has fewer keys.
        """
        edited = self._edit(name, now)
        edited.after.role(name).threshold = number
        require_thresholds(edited.after)
        return edited

    def exchange(self, name: str, key: PublicKey, old: Mapping[str, PublicKey], now: datetime) -> Proposal:
        """A new key for a role instead of old ones of it.

        Raises:
            UsageError: There is no such role.
            RefusedError: See `add_key` and `remove_key`.
        """
        edited = self.add_key(name, key, now)
        for keyid in old:
            edited.after.delegator(name).revoke_key(keyid, name)
        require_thresholds(edited.after)
        return edited

    def state(self, pin: Pin, now: datetime) -> Proposal:
        """The next branch of a list's register.

        Raises:
            UsageError: There is no such list.
            RefusedError: It is of another register, or not the next one.
        """
        before = self.base.pins.get(pin.list_id)
        if before is None:
            raise UsageError(_("the heads state nothing of a list {list_id} yet", list_id=pin.list_id))
        _require_forward(before, pin)
        edited = self.renew(TARGETS, now)
        edited.after.targets.signed.targets[pin.target] = pin.file()
        return replace(edited, pins={**self.pins, pin.list_id: pin})

    def let_in(self, pin: Pin, key: PublicKey, now: datetime) -> Proposal:
        """Another list, and the key that speaks for it."""
        edited = self.renew(TARGETS, now)
        let_in(edited.after.targets.signed, pin, tuf_key(key))
        return replace(edited, pins={**self.pins, pin.list_id: pin})

    # Signatures

    def missing(self) -> list[Missing]:
        """Whose signatures lack: on `root` of the old and of the new root, on `targets` of those that root names."""
        wanted: list[tuple[str, Trust, str]] = []
        if self.root is not None:
            wanted += [(ROOT, self.base, ROOT), (ROOT, self.after, ROOT)]
        if self.targets is not None:
            wanted.append((TARGETS, self.after, TARGETS))
        found: dict[tuple[str, tuple[PublicKey, ...]], Missing] = {}
        for document, trust, role in wanted:
            metadata = self.documents[document]
            result = trust.root.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
            if not result:
                keys = tuple(public_key(key) for key in result.unsigned.values())
                one = Missing(document, result.threshold - len(result.signed), keys)
                found[document, keys] = max(found.get((document, keys), one), one, key=lambda entry: entry.count)
        return list(found.values())

    def signers(self, document: str) -> dict[str, PublicKey]:
        """The keys whose signature counts for a document: those of the role before and after."""
        return {**self.base.keys(document), **self.after.keys(document)}

    def has_signed(self, document: str, keyid: str) -> bool:
        """Whether a genuine signature by that key is there."""
        metadata = self.documents[document]
        signature = metadata.signatures.get(keyid)
        if signature is None:
            return False
        one = copy.deepcopy(self.after.root.signed)
        one.roles[ROOT] = Role([keyid], 1)
        one.keys = {keyid: tuf_key(self.signers(document)[keyid])}
        return bool(one.get_verification_result(ROOT, metadata.signed_bytes, metadata.signatures))

    def adopt_signatures(self, other: Proposal) -> Proposal:
        """Take over what was signed of the very same versions elsewhere."""
        mine = copy.deepcopy(self)
        for name, metadata in mine.documents.items():
            theirs = other.documents[name]
            metadata.signatures.update(
                {keyid: made for keyid, made in theirs.signatures.items() if keyid not in metadata.signatures}
            )
        return mine

    def same_as(self, other: Proposal) -> bool:
        """Whether both propose the very same, whoever signed."""
        mine, theirs = self.documents, other.documents
        return mine.keys() == theirs.keys() and all(
            metadata.signed_bytes == theirs[name].signed_bytes for name, metadata in mine.items()
        )

    # Whether it may be signed

    def require_sound(self, now: datetime) -> None:
        """Refuse what no command of this program proposes, whoever wrote the file.

        Raises:
            RefusedError: It would leave a role without enough keys, count a key twice, or change what must stay.
            VerificationError: It does not follow the versions that it says it follows.
        """
        self.base.require_sound()
        self.after.require_sound()
        for name, metadata in self.documents.items():
            before = self.base.root if name == ROOT else self.base.targets
            if metadata.signed.version != before.signed.version + 1:
                raise VerificationError(
                    _("the proposal does not follow version {version}", version=before.signed.version)
                )
            if not now < metadata.signed.expires <= now + OFFLINE_FOR + timedelta(days=1):
                raise RefusedError(
                    _("{role} would be valid until {until}", role=name, until=metadata.signed.expires),
                    _("a year is the longest; make the proposal again, and check this machine's clock"),
                )
        if self.root is not None and _frame(self.root) != _frame(self.base.root):
            raise _beyond()
        if self.targets is not None and _frame(self.targets) != _frame(self._with_new_lists()):
            raise _beyond()
        for list_id, pin in self.pins.items():
            stated = self.base.pins.get(list_id)
            if stated is None:
                _require_new(self.base, pin)
            elif pin != stated:
                _require_forward(stated, pin)
        if self.stolen & self._ids():
            raise RefusedError(_("a key that was stolen would still be in use"), _("rotate it in the same proposal"))

    def _with_new_lists(self) -> Metadata[Targets]:
        """The `targets` that it follows, with the lists that it lets in as this program does that."""
        expected = copy.deepcopy(self.base.targets)
        for list_id in self.after.lists():
            if list_id not in self.base.lists() and list_id in self.pins:
                let_in(expected.signed, self.pins[list_id], tuf_key(next(iter(self.after.keys(list_id).values()))))
        return expected

    def to_bytes(self) -> bytes:
        """The file that travels."""
        after = {name: metadata.to_dict() for name, metadata in self.documents.items()}
        after["pins"] = {list_id: pin.to_bytes().decode() for list_id, pin in self.pins.items()}
        members = {"form": _FORM, "base": self.base.to_json(), "next": after, "stolen": sorted(self.stolen)}
        return json.dumps(members, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes, what: str) -> Proposal:
        """Read a file that travelled; `what` names it in an error. See `require_sound`.

        Raises:
            VerificationError: It is no proposal.
        """
        try:
            members = json.loads(content)
            if members["form"] != _FORM:
                raise ValueError
            base, after = members["base"], members["next"]
            trust = Trust(_metadata(base["root"], Root), _metadata(base["targets"], Targets), _pins(base["pins"]))
            return cls(
                trust,
                _metadata(after["root"], Root) if "root" in after else None,
                _metadata(after["targets"], Targets) if "targets" in after else None,
                _pins(after["pins"]),
                frozenset(map(str, members["stolen"])),
            )
        except MALFORMED as fault:
            raise VerificationError(
                _("{what} is no trust proposal that this program knows", what=what),
                _("copy it again, or upgrade blocklist"),
            ) from fault


def _metadata(members: dict[str, Any], cls: type[Any]) -> Metadata[Any]:
    metadata: Metadata[Any] = Metadata.from_dict(members)
    if not isinstance(metadata.signed, cls):
        raise TypeError
    return metadata


def _pins(members: Mapping[str, str]) -> dict[str, Pin]:
    pins = {str(list_id): Pin.from_bytes(text.encode()) for list_id, text in members.items()}
    if any(pin.list_id != list_id for list_id, pin in pins.items()):
        raise ValueError
    return pins


def _twice(proposal: Proposal, key: PublicKey) -> None:
    role = next(name for name, _keyid, there in proposal.after.every_key() if there == key)
    raise RefusedError(
        _("the key {fingerprint} is there already, for {role}", fingerprint=key.fingerprint, role=role),
        _("the same key twice would count as two people; make another one"),
    )


def _require_forward(before: Pin, after: Pin) -> None:
    same = (before.list_id, before.environment, before.register) == (after.list_id, after.environment, after.register)
    if not same:
        raise RefusedError(
            _("the register of {list_id} would become another one", list_id=before.list_id),
            _("every provider pinned the first; do not sign this"),
        )
    old, new = before.branch, after.branch
    if new.number != old.number + 1 or new.act.seq <= old.act.seq:
        raise RefusedError(
            _(
                "branch {number} of {list_id} begins with act {seq} already",
                number=old.number,
                list_id=before.list_id,
                seq=old.act.seq,
            ),
            _("the next one has the next number, and is chosen by a later act"),
        )


def _require_new(base: Trust, pin: Pin) -> None:
    """Refuse a list that no `init` founded in the workspace of the others."""
    is_founding = pin.branch == Branch(1, Ref(1, pin.register)) and _ID.fullmatch(pin.register)
    if not (is_identifier(pin.list_id) and is_founding):
        raise _beyond()
    if pin.environment not in {other.environment for other in base.pins.values()}:
        raise RefusedError(
            _("the list {list_id} is of another environment than the others", list_id=pin.list_id),
            _("test is not production; do not sign this"),
        )


def _frame(metadata: Metadata[Any]) -> str:
    """What of the metadata no proposal changes, as text: all but version, expiry, keys, thresholds and branches."""
    members = metadata.signed.to_dict()
    delegations = members.get("delegations") or {}
    for part in (members, delegations):
        part["keys"] = None
    roles = members.get("roles", {})
    for role in (*roles.values(), *delegations.get("roles", ())):
        role["keyids"] = role["threshold"] = None
    for path, target in members.get("targets", {}).items():
        if path.startswith("registers/"):
            target["hashes"] = target["length"] = None
    members["version"] = members["expires"] = None
    return json.dumps(members, sort_keys=True)


def _beyond() -> RefusedError:
    return RefusedError(
        _("the proposal changes more than keys, thresholds, lists, branches and dates"),
        _("do not sign it; ask who made it"),
    )
