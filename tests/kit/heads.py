"""What heads of office do with their keys, a thief's own tree, and all who follow a published one."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from kit.hostile import Thief, key_of
from kit.provider import Provider
from kit.site import Site
from kit.tree import FILES, current, with_openssl, with_tuf
from tuf.api.metadata import Metadata

from blocklist.trust.ceremony import Ceremony, Signed
from blocklist.trust.proposal import Proposal

HUGE = 4_000_000_000
MINUTE = timedelta(minutes=1)


def ceremony(site: Site) -> Ceremony:
    return Ceremony(site.tree.heads, site.keys, site.now)


def sign(site: Site) -> Signed:
    """Sign what waits with all keys, which puts it in force."""
    heads = ceremony(site)
    waiting = heads.waiting()
    assert waiting is not None
    signed = heads.sign(waiting, heads.path)
    assert signed.published
    site.tree.mend()
    return signed


def rotate(site: Site, *roles: str, stolen: bool = False) -> Proposal:
    ceremony(site).rotate(roles, None, None, stolen=stolen, encrypt=False)
    return sign(site).proposal


def shown(site: Site, name: str = "timestamp.json") -> Any:
    return Metadata.from_file(str(site.exports / "metadata" / name)).signed


class Watchers:
    """All who follow one published tree from its first root on."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.root = site.root.read_bytes()
        self.provider = Provider(folder / "provider", site.exports.as_uri(), self.root)
        self.newcomers = 0

    def look(self) -> None:
        """Everybody sees the current release: who looks every time, who looks for the first time, who has openssl."""
        site = self.site
        here = {name: (current(site) / name).read_bytes() for name in FILES}
        assert with_tuf(site.exports, self.folder / "tuf", self.root) == here
        self.newcomers += 1
        assert with_tuf(site.exports, self.folder / f"tuf-{self.newcomers}", self.root) == here
        assert with_openssl(current(site), site.exports / "seal.pem") == ""
        outcome = self.provider.pull(site.now, accept="any")
        assert not outcome.failures
        assert outcome.release == int(site.now.timestamp())
        assert f"({outcome.release})" in self.provider.installed()


def release(site: Site, name: str = "", after: timedelta = MINUTE) -> None:
    """The next release, of one more name; the publisher needs nobody for it."""
    site.now += after
    if name:
        site.block(name)
    assert site.publish().changed


def steal(site: Site, folder: Path, number: int = HUGE) -> Thief:
    """A thief with every key of the publisher overwrites the office's own tree with versions as high as it likes."""
    in_use = {keyid[:16] for _role, keyid, _key in ceremony(site).heads.trust().every_key()}
    for path in site.keys.path.glob("*-????????????????.pem"):
        if path.stem[-16:] not in in_use and not path.stem.startswith("seal"):
            path.unlink()  # keys of before a rotation, which the office destroyed
    thief = Thief(site, folder)
    thief.offer(number=number)
    shutil.rmtree(site.exports)
    shutil.copytree(thief.exports, site.exports)
    return thief


def fingerprint(site: Site, role: str) -> str:
    from blocklist.keys.encoding import PublicKey

    return PublicKey.wrap(key_of(site, role).public_key()).fingerprint
