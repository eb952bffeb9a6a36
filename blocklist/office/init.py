"""`init`: found a workspace, or another list in it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist.base import durable
from blocklist.base.errors import TargetError, UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.keys.encoding import PublicKey, signer
from blocklist.keys.folder import KeyFolder
from blocklist.publisher.tree import Repository
from blocklist.register import acts, decoders, documents
from blocklist.register.acts import Act
from blocklist.register.fold import Register
from blocklist.register.policy import Policy
from blocklist.register.replay import extend, from_beginning
from blocklist.store.store import HeadMemory, Store, how_to_start
from blocklist.trust.ceremony import Ceremony
from blocklist.trust.roles import Pin
from blocklist.workspace import Workspace

SHIPPED = ("protected.yaml", "platforms.yaml")


@dataclass(frozen=True, slots=True)
class Founded:
    """What `init` found or made.

    `several` says that the workspace holds other lists too, `proposal` where the list waits for the heads' signatures.
    """

    register: str
    list_id: str
    environment: str
    head: str
    created: bool
    several: bool
    proposal: Path | None


def init(
    workspace: Workspace, list_id: str, environment: str, head: str, shipped: Path, now: datetime, *, encrypt: bool
) -> Founded:
    """Make what is missing of a workspace and of one list: policy files, the head's key, register, seal, TUF tree.

    Raises:
        UsageError: The list, the environment or the policy is not valid, or differs from what is there; or none of the
            heads' `targets` keys, which let another list into the tree, is here.
        VerificationError: The list had a register, and it is gone.
        TargetError: Something could not be written.
    """
    decoders.parse_identifier(head)
    durable.make_folder(workspace.lists)
    durable.make_folder(workspace.exports)
    copied = _copy_shipped(workspace.lists, shipped, list_id)
    contents = workspace.policy_files(list_id)
    valid = documents.load(contents, list_id)
    tree = Repository.of(workspace)
    ceremony = Ceremony(tree.heads, workspace.keys, now)
    store = workspace.open_store(create=True)
    try:
        _require_environment(store, environment, now)
        founded = store.head(list_id) is None
        if founded:
            _require_none_lost(workspace, tree, store)
        heads = ceremony.delegating_keys(list_id) if tree.lacks(list_id) else []
        if founded:
            _require_key(workspace.keys, head, encrypt=encrypt)
            _found(store, workspace, valid, documents.digests(contents), environment, head, now)
        register = Register()
        for _signed in extend(register, store.lines(list_id), now):
            pass  # the database is not trusted
        several = len(store.lists()) > 1
    finally:
        store.close()
    pin = Pin(list_id, environment, register.id, decoders.Branch(1, decoders.Ref(1, register.id)))
    if tree.lacks(list_id):
        published, waits = bool(heads), not ceremony.let_in(pin, heads)
        with suppress(TargetError):  # the tree may be closed to this account: `publish` mends it then
            tree.mend()
    else:
        published, waits = tree.create(pin, workspace.keys, now, encrypt=encrypt), False
    created, proposal = bool(copied or founded or published), ceremony.path if waits else None
    return Founded(register.id, list_id, environment, register.heads()[0], created, several, proposal)


def _require_environment(store: Store, environment: str, now: datetime) -> None:
    """A workspace has one environment: that of the registers it holds (promise 10)."""
    for list_id in store.lists():
        register = next(from_beginning(store.lines(list_id), now))[1]
        if register.environment != environment:
            raise UsageError(
                _("this workspace is of environment {environment}", environment=register.environment),
                _("use another folder; test is not production"),
            )


def _require_none_lost(workspace: Workspace, tree: Repository, store: Store) -> None:
    """Never found a second register for a list: every provider pins the first."""
    there = set(store.lists())
    if tree.is_founded() and (not there or tree.lists() - there):
        raise VerificationError(
            _("the register of {lists} is gone", lists=workspace.lists), how_to_start(workspace.lists)
        )


def _require_key(keys: KeyFolder, head: str, *, encrypt: bool) -> None:
    """Make the key of the head, or take the one that is there if it is as safe as was asked for."""
    if not keys.has(head):
        keys.create(head, ed25519.Ed25519PrivateKey.generate(), encrypt=encrypt)
    elif encrypt and not keys.is_encrypted(head):
        raise UsageError(
            _("the key {head} in {path} has no passphrase", head=head, path=keys.path),
            _("choose another --head or another key folder, or say --no-passphrase if it is meant"),
        )


def _copy_shipped(lists: Path, shipped: Path, list_id: str) -> bool:
    copied = False
    for name in (f"{list_id}.yaml", *SHIPPED):
        if not (lists / name).exists() and (shipped / name).exists():
            durable.replace(lists / name, (shipped / name).read_bytes())
            copied = True
    return copied


def _found(
    store: Store,
    workspace: Workspace,
    valid: Policy,
    digests: dict[str, str],
    environment: str,
    head: str,
    now: datetime,
) -> None:
    key = workspace.keys.private(head)
    body = acts.Found(
        list=valid.id,
        environment=environment,
        heads=(decoders.Head(head, PublicKey.wrap(key.public_key()).to_base64()),),
        policy=valid.to_json(),
        files=digests,
        rules=acts.RULES,
    )
    act = Act(seq=1, at=now.replace(microsecond=0), by=head, body=body, nonce=secrets.token_hex(16))
    signed = acts.sign(act, signer(key))
    Register().apply(signed)
    store.append(valid.id, [signed], [None])
    HeadMemory(workspace.keys.path).remember(signed.id, signed.ref)
