"""A workspace with two lists, each with its own officers."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import LIST, LISTS
from kit.provider import Provider
from kit.site import Site
from kit.tree import FILES, Plain
from tuf.ngclient import Updater

from blocklist.names.domain_name import Name, Scope
from blocklist.office import appoint, approve, propose
from blocklist.office.init import Founded, init
from blocklist.workspace import Workspace

OTHER = "mirror-sites"
OFFICERS = ("head-x", "agent-x", "agent-y")
SAYS = {"judgment": "tested", "same-content": "tested"}


def found(site: Site, environment: str = "test", list_id: str = OTHER) -> Founded:
    return init(site.workspace, list_id, environment, "head-x", LISTS, site.now, encrypt=False)


def other_of(site: Site) -> Site:
    """The same workspace and keys, for somebody who means the other list."""
    other = copy.copy(site)
    other.workspace = Workspace(site.workspace.path, site.keys, OTHER)
    return other


class Both:
    """A workspace with two lists, each with its own officers; `first` and `second` say which one is meant."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.first = Site(folder, now)
        self.first.block("one.example")
        self.first.publish()
        self.founded = found(self.first)
        self.first.workspace = Workspace(self.first.workspace.path, self.first.keys, LIST)
        self.second = other_of(self.first)
        for officer in OFFICERS[1:]:
            public = self.first.keys.create(officer, ed25519.Ed25519PrivateKey.generate(), encrypt=False)
            with self.second.office("head-x") as office:
                appoint.appoint(office, officer, "agent", public)

    def mirror(self, *domains: str) -> None:
        """List names on the second list, whose policy asks for two approvals."""
        wanted = [Name(text, Scope.DOMAIN) for text in domains]
        with self.second.office("agent-x") as office:
            (proposed,) = propose.propose(office, wanted, self.second.proposal(ground="mirror", says=SAYS))
        for officer in ("agent-y", "head-x"):
            with self.second.office(officer) as office:
                approve.approve(office, proposed.act.seq)

    def later(self, by: timedelta) -> None:
        self.first.now += by
        self.second.now += by

    def provider(self, folder: Path, list_id: str) -> Provider:
        made = Provider(folder, self.first.exports.as_uri(), self.first.root.read_bytes())
        if list_id != LIST:
            made.edit(lists={list_id: tuple(made.targets)}, path=folder / "other.yaml")
            (folder / "other.state").mkdir()
            (folder / "other.state/root.json").write_bytes(self.first.root.read_bytes())
        return made


def with_tuf(site: Site, folder: Path, list_id: str) -> dict[str, bytes]:
    """Every file of a list's release, as python-tuf's own client gets it; the folder is kept between calls."""
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    url = site.exports.as_uri()
    client = Updater(
        *(str(folder / "metadata"), f"{url}/metadata", str(folder), f"{url}/targets"),
        fetcher=Plain(),
        bootstrap=site.root.read_bytes(),
    )
    client.refresh()
    got = {}
    for name in (*(f"{list_id}/{name}" for name in FILES), f"registers/{list_id}.json"):
        target = client.get_targetinfo(name)
        assert target is not None, name
        got[name] = Path(client.download_target(target)).read_bytes()
    return got
