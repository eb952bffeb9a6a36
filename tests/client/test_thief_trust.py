"""What a thief of `root`, `targets` or the seal can do; see `test_thief`. The comments are the columns of the table."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from kit.hostile import EVIL, branch_of, key_of, public_key, published_acts, ref_of, signed_by_two
from kit.ready_made import ready_made
from kit.seal import openssl_verifies
from kit.site import Site
from kit.thief import MINUTE, Theft, stolen
from kit.tree import signer_of, with_openssl, with_revocations
from tuf.api.metadata import Metadata, Root

from blocklist.keys.encoding import PublicKey, signer
from blocklist.release.manifest import SEAL
from blocklist.seal import cms
from blocklist.seal.ca import issue_certificate, new_revocation_list

# --- The heads' offline keys ------------------------------------------------------------------------------------------


@pytest.fixture
def evil(theft: Theft, tmp_path: Path) -> Site:
    """A register of the thief's own, for the same list and environment, published with keys of its own."""
    return ready_made(tmp_path / "evil", theft.scene.at, _evil)


def _evil(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("evil.example")
    made.publish()
    return made


def show_taken_over(theft: Theft, evil: Site, version: int = 2) -> None:
    """The thief's own tree, below a root that the stolen key signed: every other key is the thief's."""
    root = Metadata[Root].from_file(str(evil.root)).signed
    root.version = version
    metadata = Metadata(root)
    for key in (theft.heads.keys["root"], key_of(evil, "root")):
        metadata.sign(signer(key), append=True)
    roots = {path.name: path.read_bytes() for path in (theft.thief.exports / "metadata").glob("*.root.json")}
    theft.back(evil.exports)
    for name, content in (roots | {f"{version}.root.json": metadata.to_bytes()}).items():
        (theft.thief.exports / "metadata" / name).write_bytes(content)


def kept_root(theft: Theft) -> int:
    """The version of the root that the office knows."""
    return theft.site.tree.heads.versions("root")[0]


@stolen("TUF root key")
def test_a_root_key_when_one_is_enough(theft: Theft, evil: Site) -> None:
    # Can: replace every other key, and the register of whoever subscribes now.
    show_taken_over(theft, evil)
    newcomer = theft.newcomer()
    newcomer.pull(theft.now, accept="any")
    assert "evil.example A " in newcomer.installed()
    # Cannot: do that to who has accepted a register. Who sees it: that subscriber; whoever compares the root's version.
    theft.refused("another register than the one accepted")
    assert theft.trusted_root > kept_root(theft)
    # Recovery: new roots handed out, since who has seen the thief's root takes none of the office's.
    theft.wait()
    theft.shell("trust", "rotate", "root", "--no-passphrase")
    theft.shell("trust", "sign")
    theft.published()
    theft.refused("not genuine", now=theft.site.now)
    root = theft.site.exports / f"metadata/{kept_root(theft)}.root.json"
    theft.pin(root.read_bytes())
    theft.accepted(theft.site.now)
    theft.goes_on()


@stolen("TUF root key", "can", "cannot")
def test_a_root_key_forges_no_act(theft: Theft) -> None:
    """It makes its holder the publisher, and no officer."""
    thief = theft.thief
    thief.keys |= {role: ed25519.Ed25519PrivateKey.generate() for role in ("snapshot", "timestamp")}

    def exchange(root: Root) -> None:
        for role in ("snapshot", "timestamp"):
            root.revoke_key(root.roles[role].keyids[0], role)
            root.add_key(public_key(thief.keys[role]), role)

    theft.heads.change_root(exchange)
    thief.offer(add=[EVIL])
    theft.refused("is not what the officers' acts say")
    thief.offer(at=theft.now + MINUTE)
    theft.accepted(theft.now + MINUTE)


@stolen("TUF root key", "cannot", "recovery")
def test_a_root_key_of_three_when_two_have_to_sign(theft: Theft, evil: Site) -> None:
    shell = theft.shell
    stolen_key = PublicKey.wrap(theft.heads.keys["root"].public_key()).fingerprint
    for _ in range(2):
        made = shell.json("trust", "key", "new", "root", "--no-passphrase")
        shell("trust", "key", "add", "root", "--key", made["public"])
    shell("trust", "threshold", "root", "2")
    shell("trust", "sign")
    theft.goes_on("six.example")
    # Cannot: sign a root alone.
    show_taken_over(theft, evil, 3)
    theft.refused("root was signed by 1/2 keys", now=theft.site.now)
    assert theft.newcomer().attempt(theft.site.now, accept="any").exit_code == 3
    # Recovery: the other keys replace it, and nobody has to be told.
    shell("trust", "rotate", "root", "--replace", stolen_key, "--no-passphrase")
    shell("trust", "sign")
    theft.goes_on()
    assert theft.trusted_root == kept_root(theft) == 3


@stolen("`targets` key")
def test_a_targets_key(theft: Theft, evil: Site) -> None:
    """Together with the publisher's keys, for nobody else delivers what it signs."""
    thief, other = theft.thief, published_acts(evil.exports)
    # Can: state another register to whoever subscribes now.
    genuine = theft.site.founded.register
    theft.heads.state(register=evil.founded.register, branch=branch_of(other[:1]))
    thief.offer(other, theft.now, since=None)
    newcomer = theft.newcomer()
    newcomer.pull(theft.now, accept="any")
    assert "evil.example A " in newcomer.installed()
    # Cannot: change that of who has accepted one. Who sees it: that subscriber.
    theft.refused("another register than the one accepted")
    # Can: with officers' keys, move subscribers to a fork. Who sees it: they do, and report both heads.
    fork = signed_by_two(theft.site, theft.acts[:-1], "evil.example", at=theft.now)
    theft.heads.state(register=genuine, branch=branch_of(fork))
    thief.offer(fork, theft.now + MINUTE, since=None)
    outcome = theft.provider.pull(theft.now + MINUTE)
    assert "evil.example A " in theft.provider.installed()
    assert all(ref.id in outcome.notes[0] for ref in (ref_of(theft.acts), ref_of(fork)))
    # Recovery: the root's keys give another `targets` key, the publisher new ones, and the heads choose a branch.
    theft.wait(2 * MINUTE)
    for words in (("rotate", "targets", "--no-passphrase"), ("rotate", "publisher", "--stolen"), ("branch",)):
        theft.shell("trust", *words)
    theft.shell("trust", "sign")
    theft.goes_on()
    assert theft.known() == theft.log()
    # Whoever subscribed to the thief's register subscribes anew.
    assert newcomer.attempt(theft.site.now).exit_code == 3
    assert theft.newcomer().pull(theft.site.now, accept="any").changed


# --- The seal ---------------------------------------------------------------------------------------------------------


@stolen("seal key")
def test_a_seal_key(theft: Theft) -> None:
    shell, exports = theft.shell, theft.site.exports
    # Can: seal files for whoever uses stock tools, or `verify` without a register.
    theft.thief.offer(add=[EVIL])
    forged = Path(shutil.copytree(theft.thief.folder, theft.lists.parent / "forged"))
    assert with_openssl(forged, exports / "seal.pem") == ""
    shell("verify", forged, "--cert", exports / "seal.pem")
    # Who sees it: whoever names the register.
    words = ("verify", forged, "--cert", exports / "seal.pem", "--register", theft.site.founded.register)
    shell.refused(*words, code=3, message="is not what two officers signed for")
    # Cannot: anything at `pull`, for which any other file could be the seal.
    theft.back(exports)
    for path in theft.thief.exports.rglob(f"*{SEAL}"):
        path.write_bytes(b"no seal")
    theft.accepted(theft.site.now)
    assert "evil" not in theft.provider.installed()
    # Recovery: for those who look at the revocation list.
    theft.wait()
    sealed = signer_of(forged)
    shell("trust", "seal", "revoke", sealed)
    shell("trust", "seal", "renew")
    theft.goes_on()
    assert with_revocations(theft.thief.folder, exports, theft.site.now) == ""
    assert "revoked" in with_revocations(forged, exports, theft.site.now)
    shell.refused("verify", forged, "--cert", exports / "seal.pem", code=3, message="was revoked")
    assert with_openssl(forged, exports / "seal.pem") == ""


@stolen("seal authority")
def test_a_seal_authority(theft: Theft, tmp_path: Path) -> None:
    shell, exports, at = theft.shell, theft.site.exports, theft.site.now + timedelta(weeks=9 * 52)
    # Can: the same under a certificate of its own, which nobody at the office knows, years from now.
    authority, key = key_of(theft.site, "seal-authority"), ec.generate_private_key(ec.SECP384R1())
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    old = shutil.copy(exports / "seal.pem", tmp_path / "old.pem")
    theft.thief.offer(add=[EVIL])
    forged = Path(shutil.copytree(theft.thief.folder, tmp_path / "forged"))
    pem = issue_certificate(old.read_bytes(), authority, key.public_key(), "seal", at)
    (forged / SEAL).write_bytes(cms.seal((forged / "SHA256SUMS").read_bytes(), key, pem, at))
    assert openssl_verifies(forged, at=at, authority=str(old))
    # Can: take back the office's own certificate, for whoever looks at the revocation list.
    ours = x509.load_pem_x509_certificate((theft.lists / "trust/seal.crt").read_bytes()).serial_number
    (tmp_path / "tree").mkdir()
    crl = new_revocation_list(old.read_bytes(), authority, {ours: theft.site.now}, 9, theft.site.now, 30)
    (tmp_path / "tree/seal.pem").write_bytes(old.read_bytes())
    (tmp_path / "tree/seal.crl").write_bytes(crl)
    assert "revoked" in with_revocations(theft.thief.folder, tmp_path / "tree", theft.site.now)
    # Cannot: anything at `pull`. Who sees it: whoever names the register.
    theft.refused("is not what the officers' acts say")
    pem = issue_certificate(old.read_bytes(), authority, key.public_key(), "seal", theft.site.now)
    (forged / SEAL).write_bytes(cms.seal((forged / "SHA256SUMS").read_bytes(), key, pem, theft.site.now))
    words = ("verify", forged, "--cert", old, "--register", theft.site.founded.register)
    shell.refused(*words, code=3, message="is not what two officers signed for")
    # Recovery: another authority; whoever has its certificate refuses the thief's, and `pull` needs nothing.
    theft.wait()
    for path in (theft.lists / "trust").glob("seal*"):
        path.unlink()
    shell("init", "--no-passphrase")
    theft.goes_on()
    new, now = str(exports / "seal.pem"), theft.wait()
    assert openssl_verifies(theft.thief.folder, at=now, authority=new)
    assert openssl_verifies(forged, at=now, authority=str(old))
    assert not openssl_verifies(forged, at=now, authority=new)
