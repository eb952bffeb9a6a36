"""The first `root`, `targets` and seal of a workspace."""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tuf.api.metadata import Key, Root, Targets

from blocklist.keys.encoding import SigningKey, signer
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.seal.ca import issue_certificate, new_authority, new_revocation_list
from blocklist.trust.folder import AUTHORITY, PIN, REVOCATIONS, SEAL, TrustFolder, signed_bytes
from blocklist.trust.roles import OFFLINE, OFFLINE_FOR, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Pin, let_in

SEAL_AUTHORITY, SEAL_ROLE = "seal-authority", "seal"
REVOCATION_DAYS = OFFLINE_FOR.days + 30
"""Days for which a revocation list is good: a little more than a certificate, with which the next list is made."""


def create_seal(heads: TrustFolder, environment: str, keys: KeyFolder, now: datetime, *, encrypt: bool) -> None:
    """Make the seal authority, its first certificate and its revocation list."""
    authority_key, seal_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    authority = new_authority(f"blocklist seal authority, {environment}", authority_key, now)
    certificate = issue_certificate(authority, authority_key, seal_key.public_key(), seal_subject(environment), now)
    keep_key(keys, SEAL_AUTHORITY, authority_key, encrypt=encrypt)
    keep_key(keys, SEAL_ROLE, seal_key, encrypt=False)
    heads.write(SEAL, certificate)
    heads.write(REVOCATIONS, new_revocation_list(authority, authority_key, {}, 1, now, REVOCATION_DAYS))
    heads.write(AUTHORITY, authority)


def seal_subject(environment: str) -> str:
    """What people read in a certificate of the seal."""
    return f"blocklist seal, {environment}"


def create_metadata(heads: TrustFolder, pin: Pin, keys: KeyFolder, now: datetime, *, encrypt: bool) -> None:
    """Make the keys of all roles and sign the first `root` and `targets`.

    The keys of `root` and `targets` are the heads' and are encrypted; the others are the publisher's, a machine, and
    are not.
    """
    names = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, pin.list_id)
    made = {name: ed25519.Ed25519PrivateKey.generate() for name in names}
    public = {name: keep_key(keys, name, key, encrypt=encrypt and name in OFFLINE) for name, key in made.items()}
    expires = (now + OFFLINE_FOR).replace(microsecond=0)
    root = Root(version=1, expires=expires, consistent_snapshot=True)
    for name in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
        root.add_key(public[name], name)
    targets = Targets(version=1, expires=expires)
    let_in(targets, pin, public[pin.list_id])
    heads.write(f"{pin.list_id}{PIN}", pin.to_bytes())
    heads.write("1.targets.json", signed_bytes(targets, [made[TARGETS]]))
    heads.write("1.root.json", signed_bytes(root, [made[ROOT]]))


def keep_key(keys: KeyFolder, role: str, key: SigningKey, *, encrypt: bool) -> Key:
    """Keep a new key of a role under the name that says which one it is."""
    public = signer(key).public_key
    keys.create(role_key_name(role, public.keyid), key, encrypt=encrypt)
    return public
