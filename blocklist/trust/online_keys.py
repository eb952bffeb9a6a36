"""The keys that the publisher signs a release with: those that the heads named last, and during a rotation the old too.

Whoever has not seen the newest root yet verifies with the old one. A release that both accept leaves no moment in
between at which somebody could not read the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api.metadata import Root, Targets

from blocklist.base.errors import RefusedError, UsageError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey, SigningKey
from blocklist.keys.folder import KeyFolder, role_key_name
from blocklist.seal import cms
from blocklist.trust.folder import QUALIFIED, TrustFolder, key_name
from blocklist.trust.genesis import SEAL_ROLE
from blocklist.trust.roles import delegated


def require_delegated(targets: Targets, list_id: str) -> None:
    """Refuse a list that the heads did not let into the tree.

    Raises:
        UsageError: They did not.
    """
    if list_id not in delegated(targets):
        raise UsageError(
            _("the heads did not sign for the list {list_id} in the published tree", list_id=list_id),
            _(
                "they sign the proposal with 'blocklist trust sign'; if none waits, the founding was cut off: run"
                " 'blocklist init --list {list_id}' again",
                list_id=list_id,
            ),
        )


def role_keys(role: str, delegators: Sequence[Root | Targets], keys: KeyFolder) -> list[SigningKey]:
    """The keys for a role that are here: enough for the first of the delegators, and what there is for the others.

    Raises:
        UsageError: There are not enough, or one cannot be opened.
    """
    newest, *before = (_keyids(delegator, role) for delegator in delegators)
    here = [name for keyid in newest if (name := key_name(keys, role, keyid))]
    if len(here) < delegators[0].get_delegated_role(role).threshold:
        missing = next(keyid for keyid in newest if not key_name(keys, role, keyid))
        keys.private(role_key_name(role, missing))  # says which one is not there
    former = [name for keyids in before for keyid in keyids if (name := key_name(keys, role, keyid))]
    return [keys.private(name) for name in dict.fromkeys((*here, *former))]


def _keyids(delegator: Root | Targets, role: str) -> list[str]:
    try:
        return list(delegator.get_delegated_role(role).keyids)
    except ValueError:  # an older version, of before the list was let in
        return []


def sealed(heads: TrustFolder, sums: bytes, at: datetime, keys: KeyFolder) -> bytes:
    """The seal of a release, by the newest certificate whose key is here: while it is renewed, the old one is good.

    Raises:
        RefusedError: The certificate has expired, or was revoked.
        UsageError: Its key is not here.
    """
    newest, *before = heads.certificates()
    usable = (pem for pem in (newest, *before) if _can_seal(heads, pem, at, keys))
    chosen = next(usable, newest)
    if heads.is_revoked(chosen):
        raise RefusedError(
            _("the seal's certificate was revoked"), _("a head issues another one: blocklist trust seal renew")
        )
    return _seal(chosen, sums, at, keys)


def _can_seal(heads: TrustFolder, pem: bytes, at: datetime, keys: KeyFolder) -> bool:
    certificate = x509.load_pem_x509_certificate(pem)
    in_force = certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc
    return in_force and not heads.is_revoked(pem) and key_name(keys, SEAL_ROLE, certified_key_id(pem)) is not None


def _seal(pem: bytes, sums: bytes, at: datetime, keys: KeyFolder) -> bytes:
    keyid = certified_key_id(pem)
    key = keys.private(key_name(keys, SEAL_ROLE, keyid) or role_key_name(SEAL_ROLE, keyid))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(_("the key of the seal is not an ECDSA key"), _("restore it from your backup"))
    return cms.seal(sums, key, pem, at)


def certified_key_id(certificate_pem: bytes) -> str:
    """The id of the key of a certificate."""
    return PublicKey.wrap(x509.load_pem_x509_certificate(certificate_pem).public_key()).keyid


def also_sealed(heads: TrustFolder, sums: bytes, at: datetime, keys: KeyFolder) -> Iterable[bytes]:
    """The qualified seal, if the office has one; news does not wait for one that has expired (`status` warns long ago).

    Raises:
        UsageError: Its key is not here.
    """
    path = heads.path / QUALIFIED
    if path.exists():
        pem = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        if certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc:
            yield _seal(pem, sums, at, keys)
