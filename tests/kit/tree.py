"""A published tree as others read it: where things lie, python-tuf's own client, `openssl` and `sha256sum`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from kit.fixed import LIST
from kit.site import Site
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from blocklist.client.verify import verify
from blocklist.keys.encoding import PublicKey
from blocklist.release import formats
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS

FILES = (*sorted((ACTS, ANNOUNCED, CHANGES, *(entry.file for entry in formats.FORMATS.values()))), SUMS, SEAL)
OPENSSL = "cms -verify -cades -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS -no-CApath -no-CAstore"


class Plain(FetcherInterface):
    """The whole of what python-tuf needs to read a tree on a disk."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(urlsplit(url).path)
        if not path.exists():
            raise DownloadHTTPError(f"{path} is not there", 404)
        return iter([path.read_bytes()])


def with_tuf(exports: Path, folder: Path, root: bytes, names: Sequence[str] = FILES) -> dict[str, bytes]:
    """Every file of the current release, as python-tuf's own client gets it."""
    folder.mkdir(exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    url = exports.as_uri()
    client = Updater(
        str(folder / "metadata"), f"{url}/metadata", str(folder), f"{url}/targets", fetcher=Plain(), bootstrap=root
    )
    client.refresh()
    got = {}
    for name in names:
        target = client.get_targetinfo(f"{LIST}/{name}")
        assert target is not None, name
        got[name] = Path(client.download_target(target)).read_bytes()
    assert client.get_targetinfo(f"registers/{LIST}.json") is not None
    return got


def with_openssl(folder: Path, authority: Path) -> str:
    """What the header of every export tells people to run; returns what went wrong, or nothing."""
    seal = ["openssl", *OPENSSL.split(), "-CAfile", str(authority), "-out", "/dev/null"]
    for command in (seal, ["sha256sum", "--strict", "--ignore-missing", "-c", "SHA256SUMS"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout + done.stderr
    return ""


def current(site: Site) -> Path:
    return site.exports / LIST / (site.exports / LIST / "latest").read_text().strip()


def clean(site: Site) -> bool:
    """Nothing unfinished, and nothing that no committed release refers to."""
    exports = site.exports
    unfinished = [path.name for path in exports.rglob(".tmp-*")]
    roles = {int(path.name.split(".")[0]): path for path in (exports / "metadata").glob(f"*.{LIST}.json")}
    snapshots = {int(path.name.split(".")[0]) for path in (exports / "metadata").glob("*.snapshot.json")}
    folders = {
        int(datetime.strptime(path.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
        for path in (exports / LIST).glob("2*Z")
        if {entry.name for entry in path.iterdir()} != {SUMS, SEAL}  # what a prune leaves
    }
    wanted = {
        target.get_prefixed_paths()[0]
        for path in roles.values()
        for target in Metadata.from_file(str(path)).signed.targets.values()
    }
    there = {f"{LIST}/{path.name}" for path in (exports / "targets" / LIST).iterdir()}
    assert unfinished == []
    assert snapshots == set(roles) == folders
    assert there == wanted
    return True


def verified(site: Site, folder: Path, names: Sequence[str] = FILES) -> int:
    """The release that TUF shows, every file of it downloaded; and the one that `latest` names is a sealed one."""
    got = with_tuf(site.exports, folder, site.root.read_bytes(), names)
    latest = verify(current(site), site.exports / "seal.pem", site.founded.register, site.now)
    assert latest.missing == ()
    number = int(Metadata.from_file(str(site.exports / "metadata/timestamp.json")).signed.version)
    assert f"({number})".encode() in got["rpz.zone"]
    return number


def signer_of(folder: Path) -> str:
    """The fingerprint of the key that sealed a release."""
    got = subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "SHA256SUMS.p7s", "-content", "SHA256SUMS",
         "-noverify", "-signer", "/dev/stdout", "-out", "/dev/null"],
        cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    return PublicKey.wrap(x509.load_pem_x509_certificate(got.stdout).public_key()).fingerprint


def with_revocations(folder: Path, exports: Path, at: datetime | None = None) -> str:
    """The command of the providers' guide that looks at the revocation list, too; returns what went wrong."""
    both = folder.parent / "seal-and-crl.pem"
    both.write_bytes((exports / "seal.pem").read_bytes() + (exports / "seal.crl").read_bytes())
    when = ["-attime", str(int(at.timestamp()))] if at else []
    command = ["openssl", *OPENSSL.split(), "-CAfile", str(both), "-crl_check", *when, "-out", "/dev/null"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    both.unlink()
    return done.stderr if done.returncode else ""
