"""`verify DIR`: a downloaded release, without a subscription."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from kit.fixed import DAY, HOUR, LIST, names
from kit.hostile import Thief, key_of, next_line
from kit.site import Site

from blocklist.base.errors import BlocklistError, StaleError, UsageError, VerificationError
from blocklist.client.verify import Verified, verify
from blocklist.names.domain_name import Name, Scope
from blocklist.register import acts
from blocklist.release import formats
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS
from blocklist.seal import cms
from blocklist.seal.ca import new_revocation_list

EXPORTS = tuple(sorted(entry.file for entry in formats.FORMATS.values()))
LISTED = tuple(sorted((ACTS, ANNOUNCED, CHANGES, *EXPORTS)))
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Release:
    """One release on disk, and how it is checked."""

    site: Site
    path: Path
    at: datetime

    def verify(self, folder: Path, register: str | None = "", now: datetime | None = None) -> Verified:
        """Against the right register, unless another one or None is given."""
        wanted = self.site.founded.register if register == "" else register
        return verify(folder, self.site.exports / "seal.pem", wanted, now or self.at)

    def forged(self, folder: Path, **offer: object) -> Path:
        """A release that a thief with the publisher's keys made, the seal's among them."""
        thief = Thief(self.site, folder / "stolen")
        thief.offer(**offer)
        return thief.folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    site = Site(tmp_path_factory.mktemp("verify"), datetime.now(UTC))
    site.block("one.example", "two.example", hosts=["www.three.example"])
    return Release(site, site.publish().path, site.now)


@pytest.fixture
def folder(release: Release, tmp_path: Path) -> Path:
    return shutil.copytree(release.path, tmp_path / "release")


def refused(call: Callable[[], object], kind: type[BlocklistError], match: str) -> BlocklistError:
    with pytest.raises(kind, match=match) as caught:
        call()
    return caught.value


def test_good(release: Release, folder: Path) -> None:
    found = release.verify(folder)
    assert found.instant == release.at
    assert found.valid_until == release.at + 12 * HOUR
    assert found.sealed_by == "CN=blocklist seal\\, test"
    assert found.files == LISTED
    assert found.missing == ()
    assert found.names == 3


def test_a_format_of_a_newer_program_is_passed_over(
    release: Release, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that does not know `knot` yet: all else is replayed, and it says what was not."""
    forged = release.forged(tmp_path, edits={"rpz.zone": lambda zone: zone + b"evil.example A 192.0.2.1\n"})
    others = {name: entry for name, entry in formats.FORMATS.items() if name != "knot"}
    monkeypatch.setattr(formats, "FORMATS", others)
    found = release.verify(folder)
    assert (found.unknown, found.names, found.files) == (("knot",), 3, LISTED)
    assert release.verify(folder, None).unknown == ()
    refused(lambda: release.verify(forged, now=release.at + HOUR), VerificationError, "rpz.zone is not what two")
    (folder / "knot.yaml").write_text("local-data: {}\n")
    refused(lambda: release.verify(folder), VerificationError, "knot.yaml is not the file that was sealed")


def test_promise_3_without_a_register_it_is_the_seal_only(release: Release, folder: Path, tmp_path: Path) -> None:
    assert release.verify(folder, None).names is None
    forged = release.forged(tmp_path, add=[Name("evil.example", Scope.DOMAIN)])
    found = release.verify(forged, None, release.at + HOUR)
    assert found.names is None
    assert "evil.example" in (forged / "rpz.zone").read_text()


FORGERIES: dict[str, tuple[dict[str, object], str]] = {
    "a name": ({"add": [Name("evil.example", Scope.DOMAIN)]}, "is not what two officers signed for"),
    "a name left out": ({"drop": ["one.example"]}, "is not what two officers signed for"),
    "a name in one file": (
        {"edits": {"hosts.txt": lambda content: content + b"192.0.2.1 evil.example\n"}},
        "hosts.txt is not what two officers signed for",
    ),
    "an act dropped": ({"edits": {ACTS: lambda content: b"".join(content.splitlines(True)[:-1])}}, "is not what two"),
    "no acts": ({"edits": {ACTS: lambda _: b""}}, "holds no acts"),
    "acts that are none": ({"edits": {ACTS: lambda _: b"{}\n"}}, "act 1: .* not a DSSE envelope"),
    "a validity without end": (
        {"edits": {SUMS: lambda sums: sums.replace(b"valid until 20", b"valid until 21")}},
        "SHA256SUMS is not what",
    ),
    "sums that list a file twice": ({"edits": {SUMS: lambda sums: sums + sums.splitlines(True)[-1]}}, "no sum"),
    "sums with a path": ({"edits": {SUMS: lambda sums: sums + b"0" * 64 + b"  ../x\n"}}, "no sum"),
    "sums in another encoding": ({"edits": {SUMS: lambda sums: sums + b"\xff\n"}}, "no sum"),
    "sums without a date": ({"edits": {SUMS: lambda sums: sums.replace(b"# Made", b"# made")}}, "does not say when"),
    "sums with a date that is none": (
        {"edits": {SUMS: lambda sums: sums.replace(b"# Made 20", b"# Made 99")}},
        "is not an instant",
    ),
    "changes that never were": (
        {
            "edits": {
                CHANGES: lambda content: content.replace(b'"removed":{"domain":[', b'"removed":{"domain":["x.test"')
            }
        },
        "changes.json is not what",
    ),
    "changes that are none": ({"edits": {CHANGES: lambda _: b"[]\n"}}, "changes.json cannot be read"),
    "a request that never was": (
        {"edits": {ANNOUNCED: lambda content: content.replace(b"[\n", b'[{"to":"host"}\n')}},
        "announced.json is not what",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_promise_4_a_stolen_seal_is_not_enough(release: Release, tmp_path: Path, name: str) -> None:
    offer, match = FORGERIES[name]
    forged = release.forged(tmp_path, **offer)
    error = refused(lambda: release.verify(forged, now=release.at + HOUR), VerificationError, match)
    assert error.exit_code == 3


def test_promise_4_an_instant_before_the_last_act(release: Release, tmp_path: Path) -> None:
    thief = Thief(release.site, tmp_path / "stolen")
    body = acts.Remove(names=names("one.example"), reason="lawful")
    lines = thief.lines()
    lines += [next_line(lines, "agent-1", key_of(release.site, "agent-1"), body, release.at + HOUR)]
    thief.offer(lines, release.at + HOUR / 2)
    refused(
        lambda: release.verify(thief.folder, now=release.at + 2 * HOUR), VerificationError, "older than its last act"
    )


def test_an_honest_release_of_the_same_kit_is_good(release: Release, tmp_path: Path) -> None:
    forged = release.forged(tmp_path)
    assert release.verify(forged, now=release.at + HOUR).names == 3


def test_a_release_of_the_future(release: Release, folder: Path) -> None:
    refused(lambda: release.verify(folder, now=release.at - HOUR), VerificationError, "in the future")
    refused(lambda: release.verify(folder, None, release.at - HOUR), VerificationError, "in the future")


@pytest.mark.parametrize("name", [*LISTED, SUMS, SEAL])
@pytest.mark.parametrize("register", ["", None], ids=["replayed", "seal only"])
def test_each_file_altered(release: Release, folder: Path, name: str, register: str | None) -> None:
    for change in (lambda c: c[:-1], lambda c: c + b"\n", lambda c: c[:50] + bytes([c[50] ^ 1]) + c[51:]):
        content = (release.path / name).read_bytes()
        (folder / name).write_bytes(change(content))
        error = refused(lambda: release.verify(folder, register), VerificationError, ".")
        assert error.exit_code == 3
        (folder / name).write_bytes(content)
    assert release.verify(folder, register)


@pytest.mark.parametrize("name", [SUMS, SEAL])
def test_sums_or_seal_missing(release: Release, folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refused(lambda: release.verify(folder), UsageError, f"{name} cannot be read").exit_code == 2


@pytest.mark.parametrize("name", LISTED)
def test_a_file_missing(release: Release, folder: Path, name: str) -> None:
    """A provider that fetched one export can check that one; a replay takes them all."""
    (folder / name).unlink()
    found = release.verify(folder, None)
    assert found.missing == (name,)
    error = refused(lambda: release.verify(folder), UsageError, f"{name} is missing")
    assert error.exit_code == 2


def test_no_file_at_all(release: Release, folder: Path) -> None:
    for name in LISTED:
        (folder / name).unlink()
    refused(lambda: release.verify(folder, None), UsageError, "holds none of the files")


def test_files_that_are_not_listed_are_not_looked_at(release: Release, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert release.verify(folder).files == LISTED


def test_another_register(release: Release, folder: Path) -> None:
    error = refused(lambda: release.verify(folder, "0" * 64), VerificationError, "those of register .*, not 000")
    assert error.exit_code == 3


def test_stale(release: Release, folder: Path) -> None:
    end = release.at + 12 * HOUR
    assert release.verify(folder, now=end - SECOND).names == 3
    for register in ("", None):
        error = refused(lambda: release.verify(folder, register, end), StaleError, "its validity ended at")  # noqa: B023
        assert error.exit_code == 4


def test_a_stale_release_that_was_altered_is_not_merely_stale(release: Release, folder: Path) -> None:
    with (folder / "rpz.zone").open("ab") as zone:
        zone.write(b"evil.example A 192.0.2.1\n")
    refused(lambda: release.verify(folder, now=release.at + DAY), VerificationError, "rpz.zone is not the file")


def test_another_authority(release: Release, folder: Path, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", release.at).exports / "seal.pem"
    error = refused(
        lambda: verify(folder, other, release.site.founded.register, release.at), VerificationError, "seal authority"
    )
    assert error.exit_code == 3


def test_promise_10_the_seal_of_production_is_none_of_a_test(release: Release, folder: Path, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", release.at, "production").exports / "seal.pem"
    refused(lambda: verify(folder, other, None, release.at), VerificationError, "seal authority")


def authority_folder(release: Release, folder: Path, revoked: bool, days: int = 30) -> Path:
    """The authority with a revocation list beside it."""
    folder.mkdir()
    shutil.copy(release.site.exports / "seal.pem", folder)
    certificate = x509.load_pem_x509_certificate((release.site.workspace.lists / "trust/seal.crt").read_bytes())
    key = key_of(release.site, "seal-authority")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    serials = {certificate.serial_number: release.at} if revoked else {}
    pem = (folder / "seal.pem").read_bytes()
    (folder / "seal.crl").write_bytes(new_revocation_list(pem, key, serials, 9, release.at, days))
    return folder / "seal.pem"


def test_a_revoked_seal(release: Release, folder: Path, tmp_path: Path) -> None:
    register = release.site.founded.register
    good = authority_folder(release, tmp_path / "good", revoked=False)
    assert verify(folder, good, register, release.at).names == 3
    revoked = authority_folder(release, tmp_path / "revoked", revoked=True)
    error = refused(lambda: verify(folder, revoked, register, release.at), VerificationError, "was revoked on")
    assert error.exit_code == 3
    (tmp_path / "revoked/seal.crl").write_bytes(b"no list")
    refused(lambda: verify(folder, revoked, register, release.at), VerificationError, "revocation list")
    (tmp_path / "revoked/seal.crl").unlink()
    assert verify(folder, revoked, register, release.at).names == 3


def test_the_thief_cannot_seal_with_another_key(release: Release, folder: Path) -> None:
    sums = (folder / SUMS).read_bytes() + hashlib.sha256(b"").hexdigest().encode() + b"  more\n"
    stranger = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(UsageError, match="is for another key"):
        cms.seal(sums, stranger, (release.site.workspace.lists / "trust/seal.crt").read_bytes(), release.at)
    (folder / SUMS).write_bytes(sums)
    refused(lambda: release.verify(folder), VerificationError, "not what was sealed")


def test_files_at_the_published_address(release: Release) -> None:
    """The folder of the tree itself, and the address that `latest` names."""
    latest = (release.site.exports / LIST / "latest").read_text().strip()
    assert release.path.name == latest
    assert release.verify(release.site.exports / LIST / latest).names == 3
