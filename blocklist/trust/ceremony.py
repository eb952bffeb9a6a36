"""Offline co-signing: one proposal at a time is made here, travels as a file, and is put in force once it is signed.

In the manner of a signing event: whoever signs sees what would change against the versions that this machine keeps.
Every signed version stays in `lists/trust/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.metadata import Metadata, Root, Targets

from blocklist.base import durable
from blocklist.base.errors import BlocklistError, RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey, SigningKey, signer
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.register.decoders import Branch, Ref
from blocklist.register.fold import Register
from blocklist.trust.folder import PIN, TrustFolder, add_signatures, key_name, read
from blocklist.trust.genesis import keep_key
from blocklist.trust.proposal import MAX_PROPOSAL, Proposal
from blocklist.trust.roles import OFFLINE, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Pin

PUBLISHER = "publisher"
"""Stands for all roles whose keys the publisher holds."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A proposal after a signing: with which keys, and whether it is in force now."""

    proposal: Proposal
    keys: tuple[PublicKey, ...]
    published: bool


class Ceremony:
    """The proposals of one workspace, as seen from one key folder."""

    def __init__(self, heads: TrustFolder, keys: KeyFolder, now: datetime) -> None:
        self.heads = heads
        self.keys = keys
        self.now = now.replace(microsecond=0)
        self.path = heads.path / "proposed" / "proposal.json"

    # Proposing

    def waiting(self) -> Proposal | None:
        """The proposal that waits here for signatures, if there is one.

        Raises:
            VerificationError: It is not one that may be signed.
        """
        return self.load(self.path) if self.path.exists() else None

    def begin(self) -> Proposal:
        """The proposal that waits here, to be amended, or an empty one that follows what is in force.

        Raises:
            RefusedError: The one that waits follows another version.
        """
        proposal = self.waiting()
        if proposal is None:
            return Proposal(self.heads.trust(), stolen=self.heads.stolen())
        if self._in_force(proposal):
            self.discard()
            return self.begin()
        self.require_follows(proposal)
        return proposal

    def propose(self, proposal: Proposal) -> Proposal:
        """Let a proposal wait for signatures.

        Raises:
            RefusedError: It may not be signed.
            TargetError: It could not be written.
        """
        proposal.require_sound(self.now)
        self._write(self.path, proposal)
        return proposal

    @staticmethod
    def _write(path: Path, proposal: Proposal) -> None:
        durable.make_folder(path.parent)
        durable.replace(path, proposal.to_bytes())

    def discard(self) -> bool:
        """Drop the proposal that waits here; returns whether there was one.

        Raises:
            RefusedError: A part of it is in force already.
        """
        if not self.path.exists():
            return False
        parts: list[bool] = []
        with suppress(BlocklistError):  # what cannot be read, or may not be signed, is dropped all the more
            documents = self.load(self.path).documents.items()
            parts = [self._kept_bytes(name, entry.signed.version) == entry.signed_bytes for name, entry in documents]
        if any(parts) and not all(parts):
            raise RefusedError(
                _("a part of the proposal is in force already"), _("put the rest in force: blocklist trust sign")
            )
        with durable.written(self.path):
            self.path.unlink()
            durable.sync_folder(self.path.parent)
        return True

    def rotate(
        self,
        roles: Sequence[str],
        key: PublicKey | None,
        fingerprint: str | None,
        *,
        stolen: bool,
        encrypt: bool = True,
    ) -> Proposal:
        """Propose a new key for each role instead of its old one; it is made here unless `key` is it.

        Args:
            roles: The roles; `publisher` stands for all of the publisher's.
            key: A key that was made elsewhere; for one role only.
            fingerprint: The key to replace, where an offline role has several.
            stolen: Whether what the old keys signed counts for nothing.
            encrypt: Whether a new key of an offline role gets a passphrase.

        Raises:
            UsageError: There is no such role, or it is not clear which key to replace.
            RefusedError: The key is there already, or the recovery from a theft would not reach subscribers.
        """
        proposal = self.begin()
        names = list(dict.fromkeys(_expanded(roles, proposal)))
        if key is not None and len(names) != 1:
            raise UsageError(_("one key is for one role"), _("run the command once for each role"))
        if stolen:
            _require_recovery(names)
        made: dict[str, SigningKey] = {}
        for name in names:
            old = self._replaced(proposal, name, fingerprint)
            if stolen:
                proposal = replace(proposal, stolen=proposal.stolen | old.keys())
            if key is None:
                made[name] = ed25519.Ed25519PrivateKey.generate()
            new = key or PublicKey.wrap(made[name].public_key())
            proposal = proposal.exchange(name, new, old, self.now)
        proposal.require_sound(self.now)
        for name, private in made.items():
            keep_key(self.keys, name, private, encrypt=encrypt and name in OFFLINE)
        return self.propose(proposal)

    def delegating_keys(self, list_id: str) -> list[SigningKey]:
        """Return the heads' `targets` keys that are here, opened; none if the proposal that waits lets the list in.

        Raises:
            UsageError: None is here, or the passphrase is wrong.
            RefusedError: The proposal that waits here cannot be amended.
        """
        if list_id in self.begin().after.lists():
            return []
        wanted = self.heads.root().roles[TARGETS].keyids
        found = [name for keyid in wanted if (name := key_name(self.keys, TARGETS, keyid))]
        if not found:
            names, path = ", ".join(role_key_name(TARGETS, keyid) for keyid in wanted), self.keys.path
            raise UsageError(
                _("another list takes a key of the heads, and none is in {path}: {names}", path=path, names=names),
                _("copy it from its offline medium, run the command again, then take it away"),
            )
        return [self.keys.private(name) for name in found]

    def let_in(self, pin: Pin, heads: Sequence[SigningKey]) -> bool:
        """Let a list into the tree, or propose it if that takes more than these keys; its own key is made here.

        Args:
            pin: What the heads state about the list.
            heads: What `delegating_keys` returned for it.

        Returns:
            Whether it is in force; else it waits for signatures.

        Raises:
            TargetError: A file could not be written.
        """
        begun = self.begin()
        if pin.list_id in begun.after.lists():
            return False
        key = ed25519.Ed25519PrivateKey.generate()
        proposal = begun.let_in(pin, PublicKey.wrap(key.public_key()), self.now)
        proposal.require_sound(self.now)
        keep_key(self.keys, pin.list_id, key, encrypt=False)
        # What waited already is signed by nobody who has not seen it.
        for head in heads if not begun.documents else ():
            proposal.documents[TARGETS].sign(signer(head), append=True)
        if proposal.missing():
            self.propose(proposal)
            return False
        self._publish(proposal)
        return True

    def _replaced(self, proposal: Proposal, name: str, fingerprint: str | None) -> Mapping[str, PublicKey]:
        keys = proposal.after.keys(name)
        if fingerprint is not None:
            keyid = proposal.after.find(name, fingerprint)
            return {keyid: keys[keyid]}
        if name not in OFFLINE or len(keys) == 1:
            return keys
        here = {keyid: key for keyid, key in keys.items() if key_name(self.keys, name, keyid)}
        if len(here) != 1:
            there = ", ".join(key.fingerprint for key in keys.values())
            raise UsageError(
                _("{role} has several keys: say which one to replace", role=name),
                _("--replace with one of {keys}", keys=there),
            )
        return here

    # Reading

    def load(self, path: Path) -> Proposal:
        """A proposal's file, wherever it came from.

        Raises:
            UsageError: It cannot be read.
            VerificationError: It is none, or does not follow the versions that it names.
            RefusedError: It may not be signed.
        """
        proposal = Proposal.from_bytes(durable.read(path, _("the proposal"), MAX_PROPOSAL), str(path))
        proposal.require_sound(self.now)
        return proposal

    def keeps_trust(self) -> bool:
        """Whether this machine has versions of its own to compare with."""
        return bool(self.heads.versions(ROOT))

    def require_follows(self, proposal: Proposal) -> None:
        """Refuse what does not follow the versions that this machine keeps.

        What is half in force, because the machine stopped in between, follows.

        Raises:
            RefusedError: Something else came into force meanwhile.
            VerificationError: The file shows other versions than those that are in force.
        """
        for name, base in ((ROOT, proposal.base.root), (TARGETS, proposal.base.targets)):
            metadata: Metadata[Any] = base
            version = metadata.signed.version
            if self._kept_bytes(name, version) != metadata.signed_bytes:
                raise VerificationError(
                    _(
                        "the proposal does not follow version {version} of {role} that is kept here",
                        version=version,
                        role=name,
                    ),
                    _("it was made in another workspace, or this one is an older copy; do not sign it"),
                )
            latest = self.heads.versions(name)[0]
            proposed = proposal.documents.get(name)
            if latest > version and (proposed is None or self._kept_bytes(name, latest) != proposed.signed_bytes):
                raise RefusedError(
                    _(
                        "{role} is at version {latest} by now, the proposal follows {version}",
                        role=name,
                        latest=latest,
                        version=version,
                    ),
                    _("make it anew: 'blocklist trust discard', then the command that proposed it"),
                )

    def _kept_bytes(self, name: str, version: int) -> bytes | None:
        path = self.heads.path / f"{version}.{name}.json"
        cls: Any = Root if name == ROOT else Targets
        return read(path, cls).signed_bytes if path.exists() else None

    def _in_force(self, proposal: Proposal) -> bool:
        """Whether everything of it is kept here as signed already."""
        kept = {name: self._kept_bytes(name, entry.signed.version) for name, entry in proposal.documents.items()}
        return all(kept[name] == entry.signed_bytes for name, entry in proposal.documents.items())

    def able(self, proposal: Proposal) -> list[tuple[str, PublicKey, str]]:
        """Document, key and name of the key, for each key that is here and has not signed yet."""
        found = []
        for document in proposal.documents:
            for keyid, key in proposal.signers(document).items():
                name = key_name(self.keys, document, keyid)
                if name is not None and not proposal.has_signed(document, keyid):
                    found.append((document, key, name))
        return found

    # Signing

    def sign(self, proposal: Proposal, path: Path) -> Signed:
        """Add the signatures of the keys that are here, keep them in the file, and put it in force if they are enough.

        Raises:
            RefusedError: Something else came into force meanwhile.
            UsageError: A passphrase is wrong.
            TargetError: A file could not be written.
        """
        if self.keeps_trust():
            self.require_follows(proposal)
        waiting = self.waiting() if path != self.path else None
        if waiting is not None and waiting.same_as(proposal):
            proposal = proposal.adopt_signatures(waiting)
        signed = []
        for document, key, name in self.able(proposal):
            metadata: Metadata[Any] = proposal.documents[document]
            metadata.sign(signer(self.keys.private(name)), append=True)
            signed.append(key)
        done = not proposal.missing() and self.keeps_trust()
        if done:
            self._publish(proposal)
        if path != self.path or not done:
            self._write(path, proposal)
        if done and (path == self.path or (waiting is not None and waiting.same_as(proposal))):
            self.discard()
        return Signed(proposal, tuple(signed), done)

    def _publish(self, proposal: Proposal) -> None:
        """Root first: until the `targets` that it wants are there, the publisher goes on with the root before it."""
        self.heads.write_stolen(proposal.stolen)
        for name in (ROOT, TARGETS):
            if name == TARGETS:
                for list_id, pin in proposal.pins.items():
                    self.heads.write(f"{list_id}{PIN}", pin.to_bytes())
            if name in proposal.documents:
                metadata: Metadata[Any] = proposal.documents[name]
                self.heads.write(f"{metadata.signed.version}.{name}.json", add_signatures(metadata, []))


def _expanded(roles: Sequence[str], proposal: Proposal) -> list[str]:
    names = []
    for role in roles:
        names += proposal.base.online() if role == PUBLISHER else [role]
    return names


def _require_recovery(names: Sequence[str]) -> None:
    """Subscribers remember the highest versions that snapshot and timestamp had, until the keys of both are replaced.

    Raises:
        UsageError: A role of the heads is named: that is no theft from the publisher.
        RefusedError: One of the two is not.
    """
    if set(names) & set(OFFLINE):
        raise UsageError(
            _("--stolen is about the publisher's keys"),
            _("a stolen key of the heads is removed: blocklist trust rotate {role} --replace FINGERPRINT", role=ROOT),
        )
    if not {SNAPSHOT, TIMESTAMP} <= set(names):
        raise RefusedError(
            _("after a theft replace snapshot and timestamp together: subscribers remember what the old ones signed"),
            _("replace all of the publisher's keys: blocklist trust rotate publisher --stolen"),
        )


def choose_branch(ceremony: Ceremony, register: Register, act: Ref) -> Proposal:
    """Propose that the branch of a register that holds this act is the right one.

    Raises:
        UsageError: The heads state nothing of that list.
        RefusedError: The act is no later than that of the branch chosen last, or the register is another one.
    """
    before = ceremony.heads.trust().pins.get(register.list_id)
    number = before.branch.number + 1 if before else 1
    pin = Pin(register.list_id, register.environment, register.id, Branch(number, act))
    return ceremony.propose(ceremony.begin().state(pin, ceremony.now))
