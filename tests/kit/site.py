"""An office on disk: a workspace with its officers, as the commands make it."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import LIST, LISTS, SAYS

from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Name, Scope
from blocklist.office import appoint, approve, propose, remove
from blocklist.office.init import init
from blocklist.office.propose import Proposal
from blocklist.office.session import Session
from blocklist.publisher.publish import Result, draft, publish
from blocklist.publisher.tree import Repository
from blocklist.register import acts
from blocklist.workspace import Workspace


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

    def moved(self, folder: Path) -> Site:
        """The same site, whose folder was copied to another place."""
        made = copy.copy(self)
        made.folder, made.keys = folder, KeyFolder(folder / "keys", no_passphrase)
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


def draft_checksum(site: Site) -> str:
    """The checksum of what a publish would do now."""
    return draft(site.workspace, site.now).plan.checksum


def copied(site: Site, folder: Path) -> Site:
    """The same site at another place, with its hard links."""
    subprocess.run(["cp", "-a", site.folder, folder], check=True)
    return site.moved(folder)


def adopt(site: Site, **changes: object) -> None:
    with site.office("head-1") as office:
        policy = office.register.policy.to_json() | changes
        office.state(acts.Adopt(policy=policy, files={"a.yaml": "0" * 64}, rules=1))
