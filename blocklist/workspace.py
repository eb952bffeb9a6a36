"""A workspace: the folders of an office, and how it is founded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist import acts, fields, files, policy
from blocklist.acts import Act, SignedAct
from blocklist.ceremony import Ceremony
from blocklist.documents import MAX_FILE
from blocklist.errors import UsageError, VerificationError
from blocklist.messages import _
from blocklist.policy import Policy
from blocklist.register import Register
from blocklist.replay import replay
from blocklist.repository import Pin, Repository
from blocklist.signing import KeyFolder, PublicKey, signer
from blocklist.store import HeadMemory, Store, how_to_start

SHIPPED = ("protected.yaml", "platforms.yaml")
DEFAULT_LIST = "apology-of-terrorism"


class Workspace:
    """A folder with `lists/` and `exports/`, as one person or machine with a key folder sees it."""

    def __init__(self, path: Path, keys: KeyFolder, list_id: str | None = None) -> None:
        self.path = path
        self.keys = keys
        self.list_id = list_id
        self.lists = path / "lists"
        self.repository = Repository(path / "exports", self.lists / "trust")

    def policy_files(self, list_id: str) -> dict[str, bytes]:
        """See `read_policy_files`; the files are those in `lists/`."""
        return read_policy_files(self.lists, list_id)

    def only_list(self) -> str:
        """The id of the list that was named, or of the only one there is.

        Raises:
            UsageError: There is none, or there are several and none was named, or it is not here.
        """
        store = Store(self.lists)
        try:
            lists = store.lists()
        finally:
            store.close()
        return self.chosen(lists)

    def chosen(self, lists: Sequence[str]) -> str:
        """The one of these lists that was named, or the only one.

        Raises:
            UsageError: See `only_list`.
        """
        if not lists:
            raise UsageError(_("{lists} holds no register", lists=self.lists), how_to_start(self.lists))
        if self.list_id is None and len(lists) == 1:
            return lists[0]
        there = ", ".join(lists)
        if self.list_id is None:
            raise UsageError(_("this workspace has several lists: {lists}", lists=there), _("name one with --list"))
        if self.list_id not in lists:
            raise UsageError(
                _("this workspace has no list {list_id}; it has {lists}", list_id=self.list_id, lists=there),
                _("check --list; 'blocklist init --list {list_id}' founds it", list_id=self.list_id),
            )
        return self.list_id


def read_policy_files(folder: Path, list_id: str) -> dict[str, bytes]:
    """The files of a list's policy, by name: its own and those that it names, as far as they are there.

    Raises:
        UsageError: One cannot be read, or the policy's own file is not there.
    """
    name = f"{list_id}.yaml"
    hint = _("write one, or choose a list that is shipped")
    content = files.read(folder / name, _("the policy"), MAX_FILE, hint)
    others = [folder / other for other in policy.file_names(content, list_id)[1:]]
    return {name: content} | {
        path.name: files.read(path, _("the policy file"), MAX_FILE) for path in others if path.exists()
    }


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
    fields.parse_identifier(head)
    files.make_folder(workspace.lists)
    files.make_folder(workspace.path / "exports")
    copied = _copy_shipped(workspace.lists, shipped, list_id)
    contents = workspace.policy_files(list_id)
    valid = policy.load(contents, list_id)
    ceremony = Ceremony(workspace.repository, workspace.keys, now)
    store = Store(workspace.lists, create=True)
    try:
        _require_environment(store, environment, now)
        founded = store.head(list_id) is None
        if founded:
            _require_none_lost(workspace, store)
        heads = ceremony.delegating_keys(list_id)
        if founded:
            _require_key(workspace.keys, head, encrypt=encrypt)
            _found(store, workspace, valid, policy.digests(contents), environment, head, now)
        register = verified(store, list_id, now)[0]
        several = len(store.lists()) > 1
    finally:
        store.close()
    pin = Pin(list_id, environment, register.id, fields.Ref(1, register.id))
    if workspace.repository.lacks(list_id):
        published, waits = bool(heads), not ceremony.let_in(pin, heads)
    else:
        published, waits = workspace.repository.create(pin, workspace.keys, now, encrypt=encrypt), False
    created, proposal = bool(copied or founded or published), ceremony.path if waits else None
    return Founded(register.id, list_id, environment, register.heads()[0], created, several, proposal)


def _require_environment(store: Store, environment: str, now: datetime) -> None:
    """A workspace has one environment: that of the registers it holds (promise 10)."""
    for list_id in store.lists():
        register = next(replay(store.lines(list_id), now))[1]
        if register.environment != environment:
            raise UsageError(
                _("this workspace is of environment {environment}", environment=register.environment),
                _("use another folder; test is not production"),
            )


def _require_none_lost(workspace: Workspace, store: Store) -> None:
    """Never found a second register for a list: every provider pins the first."""
    there = set(store.lists())
    if workspace.repository.is_founded() and (not there or workspace.repository.lists() - there):
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
            files.replace(lists / name, (shipped / name).read_bytes())
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
        heads=(fields.Head(head, PublicKey.wrap(key.public_key()).to_base64()),),
        policy=valid.to_json(),
        files=digests,
        rules=acts.RULES,
    )
    signed = acts.sign(Act(seq=1, at=now.replace(microsecond=0), by=head, body=body), signer(key))
    Register().apply(signed)
    store.append(valid.id, [signed], [None])
    HeadMemory(workspace.keys.path).remember(signed.id, signed.ref)


def verified(store: Store, list_id: str, now: datetime) -> tuple[Register, list[SignedAct]]:
    """Replay the whole register: the database is not trusted."""
    steps = list(replay(store.lines(list_id), now))
    return steps[-1][1], [signed for signed, _ in steps]
