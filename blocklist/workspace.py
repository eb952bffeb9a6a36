"""A workspace: the folders of an office, and how it is founded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist import acts, fields, files, policy
from blocklist.acts import Act, SignedAct
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

    def __init__(self, path: Path, keys: KeyFolder) -> None:
        self.path = path
        self.keys = keys
        self.lists = path / "lists"
        self.repository = Repository(path / "exports", self.lists / "trust")

    def policy_files(self, list_id: str) -> dict[str, bytes]:
        """The files of a list's policy as they stand in `lists/`.

        Raises:
            UsageError: One cannot be read.
        """
        name = f"{list_id}.yaml"
        hint = "write one, or choose a list that is shipped"
        content = files.read(self.lists / name, "the policy", MAX_FILE, hint)
        others = policy.file_names(content, list_id)[1:]
        return {name: content} | {
            other: files.read(self.lists / other, "the policy file", MAX_FILE) for other in others
        }

    def only_list(self) -> str:
        """The id of the list of this workspace.

        Raises:
            UsageError: There is none, or more than one.
        """
        store = Store(self.lists)
        try:
            lists = store.lists()
        finally:
            store.close()
        if len(lists) != 1:
            raise UsageError(
                _("{lists} has {count} registers", lists=self.lists, count=len(lists)), how_to_start(self.lists)
            )
        return lists[0]


@dataclass(frozen=True, slots=True)
class Founded:
    """What `init` found or made."""

    register: str
    list_id: str
    environment: str
    head: str
    created: bool


def init(
    workspace: Workspace, list_id: str, environment: str, head: str, shipped: Path, now: datetime, *, encrypt: bool
) -> Founded:
    """Make what is missing of a workspace: policy files, the head's key, register, seal and TUF root.

    Raises:
        UsageError: The list, the environment or the policy is not valid, or differs from what is there.
        TargetError: Something could not be written.
    """
    fields.parse_identifier(head)
    files.make_folder(workspace.lists)
    files.make_folder(workspace.path / "exports")
    copied = _copy_shipped(workspace.lists, shipped, list_id)
    contents = workspace.policy_files(list_id)
    valid = policy.load(contents, list_id)
    new_key = not workspace.keys.has(head)
    store = Store(workspace.lists, create=True)
    try:
        if store.lists() not in ([], [list_id]):
            raise UsageError(
                _("this workspace holds the list {lists}", lists=store.lists()[0]),
                _("use another folder for another list"),
            )
        if store.head(list_id) is None:
            if workspace.repository.is_founded():
                raise VerificationError(
                    _("the register of {lists} is gone", lists=workspace.lists), how_to_start(workspace.lists)
                )
            if not new_key and encrypt and not workspace.keys.is_encrypted(head):
                raise UsageError(
                    _("the key {head} in {path} has no passphrase", head=head, path=workspace.keys.path),
                    _("choose another --head or another key folder, or say --no-passphrase if it is meant"),
                )
            if new_key:
                workspace.keys.create(head, ed25519.Ed25519PrivateKey.generate(), encrypt=encrypt)
            _found(store, workspace, valid, policy.digests(contents), environment, head, now)
            founded = True
        else:
            founded = False
        register = verified(store, list_id, now)[0]
    finally:
        store.close()
    if register.environment != environment:
        raise UsageError(
            _("this workspace is of environment {environment}", environment=register.environment),
            _("use another folder; test is not production"),
        )
    pin = Pin(list_id, environment, register.id, fields.Ref(1, register.id))
    published = workspace.repository.create(pin, workspace.keys, now, encrypt=encrypt)
    return Founded(register.id, list_id, environment, register.heads()[0], bool(copied or founded or published))


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
