"""What tests build with: officers with fixed keys, chains of acts in memory, workspaces on disk."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from blocklist.client import subscribe
from blocklist.client.outcome import Options, Outcome
from blocklist.client.pull import pull
from blocklist.client.state import ListState
from blocklist.client.subscription import Subscription, Target, load
from blocklist.keys.encoding import PublicKey, signer
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Names, Scope
from blocklist.office import appoint, approve, propose, remove
from blocklist.office.init import init
from blocklist.office.propose import Proposal
from blocklist.office.session import Session
from blocklist.publisher.publish import Result, draft, publish
from blocklist.publisher.tree import Repository
from blocklist.register import acts, documents, policy_reader
from blocklist.register.acts import Act, Body, SignedAct
from blocklist.register.decoders import Head, Ref
from blocklist.register.fold import Register, RuleError
from blocklist.register.policy import Policy
from blocklist.workspace import Workspace

LIST = "apology-of-terrorism"
LISTS = Path(__file__).parent.parent / "lists"
START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
SALT = "5a" * 32
SAYS = dict.fromkeys(("terrorist-act", "favourable", "public", "context"), "tested")
"""Answers to what the ground `apology` asks."""


@cache
def shipped_files() -> dict[str, bytes]:
    return {name: (LISTS / name).read_bytes() for name in (f"{LIST}.yaml", "protected.yaml", "platforms.yaml")}


@cache
def shipped_policy() -> Policy:
    return documents.load(shipped_files(), LIST)


@cache
def key(name: str) -> ed25519.Ed25519PrivateKey:
    """The same key for the same name, in every run."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"test key of {name}".encode()).digest())


KILLS = int(os.environ.get("KILLS", "20"))
"""How often tests of SIGKILL kill; `tests/soak` asks for more."""

MANY_KILLS = 100
"""From so many kills on, chance has found every moment that matters."""


def key_text(name: str) -> str:
    return PublicKey.wrap(key(name).public_key()).to_base64()


def names(*domains: str, hosts: Iterable[str] = ()) -> Names:
    return Names(tuple(sorted(domains)), tuple(sorted(hosts)))


class Chain:
    """A register in memory, grown act by act; every act is signed for real.

    Founded by `head-1`, with `agent-1` and `agent-2` appointed unless `officers` is given.
    """

    def __init__(
        self,
        *,
        environment: str = "test",
        heads: tuple[str, ...] = ("head-1",),
        officers: Iterable[tuple[str, str]] = (("agent-1", "agent"), ("agent-2", "agent")),
        at: datetime = START,
        change: dict[str, Any] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        self.register = Register()
        self.signed: list[SignedAct] = []
        self.at = at
        self.policy = policy_reader.from_json(shipped_policy().to_json() | (change or {}))
        self.add_act(
            heads[0],
            acts.Found(
                list=LIST,
                environment=environment,
                heads=tuple(Head(name, key_text(name)) for name in sorted(heads)),
                policy=self.policy.to_json(),
                files=files or documents.digests(shipped_files()),
                rules=acts.RULES,
            ),
        )
        for officer, role in officers:
            self.appoint(officer, role)

    @property
    def lines(self) -> list[bytes]:
        return [signed.line() for signed in self.signed]

    @property
    def head(self) -> Ref:
        return self.register.head

    def tick(self, later: timedelta = timedelta(seconds=1)) -> datetime:
        self.at += later
        return self.at

    def make(self, by: str, body: Body, *, signed_by: str | None = None, **header: Any) -> SignedAct:
        """An act that would follow the head, signed but not applied; `header` overrides any field."""
        first = isinstance(body, acts.Found)
        act = Act(
            seq=len(self.signed) + 1,
            at=self.at,
            by=by,
            body=body,
            register=None if first else self.register.id,
            prev=None if first else self.head.id,
        )
        return acts.sign(replace(act, **header), signer(key(signed_by or by)))

    def add_act(self, by: str, body: Body, later: timedelta = timedelta(seconds=1), **header: Any) -> SignedAct:
        """Make an act, a second later than the last, and apply it."""
        self.tick(later)
        signed = self.make(by, body, **header)
        self.register.apply(signed)
        self.signed.append(signed)
        return signed

    def appoint(self, officer: str, role: str = "agent", by: str = "head-1") -> SignedAct:
        return self.add_act(by, acts.Appoint(officer=officer, role=role, key=key_text(officer)))

    def proposal(self, proposed: Names, **fields: Any) -> acts.Add:
        """The body of an `add` of these names, under the fixed salt."""
        review_by = fields.pop("review_by", None) or self.at + timedelta(seconds=1) + 12 * WEEK
        return acts.Add(
            commitment=proposed.commitment(SALT),
            count=len(proposed),
            **{"ground": "apology", "basis": "no-identification", "review_by": review_by} | fields,
        )

    def propose(self, *domains: str, hosts: Iterable[str] = (), by: str = "agent-1", **fields: Any) -> SignedAct:
        return self.add_act(by, self.proposal(names(*domains, hosts=hosts), **fields))

    def approve(self, proposed: SignedAct, *domains: str, hosts: Iterable[str] = (), by: str = "agent-2") -> SignedAct:
        opened = names(*domains, hosts=hosts)
        return self.add_act(by, acts.Approve(act=proposed.ref, names=opened, salt=SALT))

    def block(self, *domains: str, hosts: Iterable[str] = (), **fields: Any) -> SignedAct:
        """List names: proposed by agent-1, approved by agent-2."""
        return self.approve(self.propose(*domains, hosts=hosts, **fields), *domains, hosts=hosts)

    def remove(
        self, *domains: str, hosts: Iterable[str] = (), reason: str = "lawful", by: str = "agent-1"
    ) -> SignedAct:
        return self.add_act(by, acts.Remove(names=names(*domains, hosts=hosts), reason=reason))

    def review(self, *domains: str, until: datetime, by: str = "agent-1") -> SignedAct:
        return self.add_act(by, acts.Review(names=names(*domains), outcome="still-unlawful", review_by=until))


def no_passphrase(what: str) -> bytes:
    raise AssertionError(f"nobody should be asked for a passphrase, for {what}")


class Site:
    """A workspace on disk, with two agents, as `blocklist init` and `officer appoint` make it."""

    def __init__(self, folder: Path, now: datetime, environment: str = "test", lists: Path = LISTS) -> None:
        self.now = now.replace(microsecond=0)
        self.folder = folder
        self.keys = KeyFolder(folder / "keys", no_passphrase)
        self.workspace = Workspace(folder / "office", self.keys)
        self.founded = init(self.workspace, LIST, environment, "head-1", lists, self.now, encrypt=False)
        for agent in ("agent-1", "agent-2"):
            public = self.keys.create(agent, ed25519.Ed25519PrivateKey.generate(), encrypt=False)
            with self.office("head-1") as office:
                appoint.appoint(office, agent, "agent", public)

    @property
    def exports(self) -> Path:
        return self.workspace.exports

    @property
    def tree(self) -> Repository:
        return Repository.of(self.workspace)

    @property
    def root(self) -> Path:
        return self.exports / "metadata/1.root.json"

    @classmethod
    def at(cls, folder: Path, now: datetime) -> Site:
        """One that is there already."""
        made = cls.__new__(cls)
        made.now, made.folder, made.keys = now, folder, KeyFolder(folder / "keys", no_passphrase)
        made.workspace = Workspace(folder / "office", made.keys)
        return made

    def office(self, officer: str | None = None) -> Session:
        return Session(self.workspace, lambda: self.now, officer)

    def proposal(self, **changes: Any) -> Proposal:
        """What an addition says that nobody objects to."""
        proof = self.folder / "imprint.txt"
        if not proof.exists():
            proof.write_text("no name, no address\n")
        said = {"ground": "apology", "basis": "no-identification", "reference": "test", "says": SAYS}
        return Proposal(**{**said, "evidence": (proof,), **changes})

    def block(self, *domains: str, hosts: Iterable[str] = (), review_by: datetime | None = None) -> int:
        """List names; returns the number of the approval."""
        wanted = [*(Name(text, Scope.DOMAIN) for text in domains), *(Name(text, Scope.HOST) for text in hosts)]
        with self.office("agent-1") as office:
            (proposed,) = propose.propose(office, wanted, self.proposal(review_by=review_by))
        with self.office("agent-2") as office:
            return approve.approve(office, proposed.act.seq)[0].act.seq

    def remove(self, *domains: str, reason: str = "lawful") -> None:
        with self.office("agent-1") as office:
            remove.remove(office, [Name(text, Scope.DOMAIN) for text in domains], reason, "")

    def publish(self, accept: str | None = None) -> Result:
        return publish(self.workspace, self.now, accept)


def forged_line(line: bytes, **changes: Any) -> bytes:
    """An envelope whose payload was changed, with the old signature."""
    envelope = json.loads(line)
    payload = json.loads(base64.b64decode(envelope["payload"])) | changes
    envelope["payload"] = base64.b64encode(
        json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    ).decode()
    return json.dumps(envelope, separators=(",", ":")).encode()


def draft_checksum(site: Site) -> str:
    """The checksum of what a publish would do now."""
    return draft(site.workspace, site.now).plan.checksum


def _yaml(subscription: Subscription) -> str:
    """The file of a subscription; JSON is YAML too."""
    members: dict[str, object] = {
        "url": subscription.url,
        "environment": subscription.environment,
        "root": subscription.root,
        "lists": {
            list_id: [{key: str(value) for key, value in asdict(target).items() if value} for target in targets]
            for list_id, targets in subscription.lists.items()
        },
        "brakes": {"added": subscription.brakes.added, "added_percent": subscription.brakes.added_percent},
        "never_block": sorted(subscription.never_block),
    }
    for key in ("ca", "client_certificate", "client_key", "proxy", "provider", "receipt_key"):
        if value := getattr(subscription, key):
            members[key] = str(value)
    return json.dumps(members, indent=1)


class Provider:
    """A subscriber on disk, with a target for each format, as `blocklist subscribe` makes it."""

    def __init__(
        self,
        folder: Path,
        url: str,
        root: bytes,
        *,
        environment: str = "test",
        formats: Iterable[str] = ("rpz", "hosts"),
        check: str = "",
        reload: str = "",
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.targets = [Target(entry, folder / f"installed.{entry}", check, reload) for entry in formats]
        self.subscription = subscribe.write(folder / "list.yaml", url, environment, root, [(LIST, self.targets)])

    @property
    def state(self) -> Path:
        """What is kept for the whole subscription."""
        return self.subscription.state

    @property
    def list_state(self) -> ListState:
        """What is kept for its one list."""
        (list_id,) = self.subscription.lists
        return ListState.of(self.subscription, list_id)

    @property
    def record_path(self) -> Path:
        return self.list_state.record_path

    @property
    def acts_path(self) -> Path:
        record = self.list_state.record()
        assert record is not None
        return self.list_state.acts_path(record)

    def edit(self, **changes: Any) -> None:
        """Change fields of the subscription, as if the operator had edited the file."""
        changed = replace(self.subscription, **changes)
        changed.path.write_text(_yaml(changed), encoding="utf-8")
        self.subscription = load(changed.path)

    def reload_with(self, command: str) -> None:
        """Give its targets a reload command, as an operator does once the resolver runs."""
        self.aim(*(replace(target, reload=command) for target in self.subscription.lists[LIST]))

    def aim(self, *targets: Target) -> None:
        """Have other targets, as if the operator had edited the file."""
        self.edit(lists={LIST: targets})

    def attempt(self, now: datetime, **options: Any) -> Outcome:
        """A pull; what goes wrong is in the outcome."""
        (outcome,) = pull(self.subscription.path, now, Options(**options))
        return outcome

    def pull(self, now: datetime, **options: Any) -> Outcome:
        """A pull of which only targets may fail."""
        outcome = self.attempt(now, **options)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def installed(self, format_id: str = "rpz") -> str:
        return (self.folder / f"installed.{format_id}").read_text()

    def accepted(self) -> dict[str, Any]:
        """The record; what it says of the newest release is lifted out."""
        record = json.loads(self.record_path.read_bytes())
        return {**record, **record["newest"], "installed": {p: on["sha256"] for p, on in record["installed"].items()}}

    def kept(self) -> dict[str, bytes]:
        """What a refused pull may not change: every installed file, the record, and the acts known so far."""
        state = [*self.list_state.folder.glob("acts-*"), self.record_path, self.list_state.receipt_path]
        paths = [path for path in (*self.folder.glob("*installed*"), *state) if path.is_file()]
        return {path.name: path.read_bytes() for path in paths}


# Hostile material: what an honest program would never write. Acts here are signed for real, with the keys of `key`.


def members(signed: SignedAct) -> dict[str, Any]:
    """The payload of an act as JSON, free to be changed."""
    return dict(json.loads(signed.payload))


def canonical(value: object) -> bytes:
    """Compact JSON with sorted keys, whatever it holds."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def envelope(payload: bytes, by: str, **changes: str) -> bytes:
    """An envelope line around any bytes, signed with the key of `by`; `changes` replaces `keyid` or `sig`."""
    signature = {
        "keyid": PublicKey.wrap(key(by).public_key()).keyid,
        "sig": base64.b64encode(key(by).sign(acts.authenticated_bytes(payload))).decode(),
    } | changes
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": acts.PAYLOAD_TYPE,
            "signatures": [signature],
        }
    )


def resigned(signed: SignedAct, signer_id: str | None = None, /, **changes: Any) -> bytes:
    """The act with other fields (None takes one out), signed anew by its first author or by another officer."""
    changed = {name: value for name, value in (members(signed) | changes).items() if value is not None}
    return envelope(canonical(changed), signer_id or signed.act.by)


def snapshot(register: Register) -> str:
    """All of a register's state, for comparing before and after."""
    return repr(vars(register))


def refused(
    chain: Chain,
    by: str,
    body: Body,
    match: str,
    error: type[Exception] = RuleError,
    later: timedelta = timedelta(seconds=1),
    **header: Any,
) -> None:
    """Assert that the act, `later` than the head, is refused for the reason `match`, and that nothing has changed."""
    before, at = snapshot(chain.register), chain.at
    chain.tick(later)
    signed = chain.make(by, body, **header)
    chain.at = at
    with pytest.raises(error, match=match):
        chain.register.apply(signed)
    assert snapshot(chain.register) == before


class Breaking:
    """A disk that fails at the n-th write: in a `with` block, every call that changes a disk is counted.

    `how`: `before` the call did anything, `after` it did everything, or `dead`: before, and every call from then on.
    """

    CALLS = ("open", "fsync", "link", "replace", "rename", "mkdir", "unlink", "rmdir", "chmod", "fchmod")

    def __init__(self, number: int, how: str) -> None:
        self.number = number
        self.how = how
        self.calls: list[str] = []
        self._real = {name: getattr(os, name) for name in self.CALLS}

    def __enter__(self) -> Breaking:
        for name in self.CALLS:
            setattr(os, name, self._breaking(name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    @property
    def broke(self) -> bool:
        return len(self.calls) >= self.number

    def _breaking(self, name: str) -> Any:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return real(*args, **kwargs)
            self.calls.append(f"{name} {args[0] if isinstance(args[0], str | Path) else ''}")
            due = len(self.calls) == self.number or (self.how == "dead" and self.broke)
            if due and (self.how != "after" or name == "open"):
                raise OSError(errno.EIO, "Input/output error")
            done = real(*args, **kwargs)
            if due:
                raise OSError(errno.EIO, "Input/output error")
            return done

        return call
