"""The seal from year to year: what `openssl` says of every release with what providers pinned on the first day."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from kit.fixed import DAY, HOUR, LIST
from kit.hostile import key_of
from kit.seal import new_key, new_office, pem_key
from kit.shell import Shell
from kit.site import Site, copied
from kit.tree import FILES, OPENSSL, current, signer_of, with_openssl, with_revocations, with_tuf

from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.client.verify import verify
from blocklist.keys.encoding import PublicKey
from blocklist.publisher.tree import QUALIFIED_SEAL
from blocklist.seal.ca import issue_certificate
from blocklist.trust import seal_certificates
from blocklist.trust.folder import TrustFolder
from blocklist.trust.seal_certificates import Certificate, seal_warnings


@pytest.fixture
def site(founded: Site, tmp_path: Path) -> Site:
    return copied(founded, tmp_path / "site")


def heads(site: Site) -> TrustFolder:
    return site.tree.heads


def renew(site: Site, **more: Any) -> Certificate:
    return seal_certificates.renew(heads(site), site.keys, site.now, **more)


def release(site: Site) -> Path:
    site.now += 7 * HOUR
    assert site.publish().changed
    return current(site)


# --- Renewing ---------------------------------------------------------------------------------------------------------


def test_a_new_certificate_overlaps_the_old_one(site: Site) -> None:
    pinned, old = (site.exports / "seal.pem").read_bytes(), current(site)
    made = renew(site)
    new = release(site)
    assert signer_of(new) == made.fingerprint != signer_of(old)
    for folder in (old, new):
        assert with_openssl(folder, site.exports / "seal.pem") == ""
        assert with_revocations(folder, site.exports) == ""
    assert (site.exports / "seal.pem").read_bytes() == pinned
    assert [entry.kind for entry in seal_certificates.certificates(heads(site), site.keys)] == [
        "seal",
        "former",
        "authority",
    ]


def test_ten_years_of_renewals_need_no_provider(site: Site) -> None:
    """One seal.pem and nine certificates; nothing between two of them is without a seal in force."""
    pinned = site.folder / "pinned.pem"
    shutil.copy(site.exports / "seal.pem", pinned)
    start = site.now
    for year in range(1, 10):
        site.now = start + timedelta(days=year * 330)
        assert any(seal_warnings(heads(site), site.now))
        renew(site)
        assert not any(seal_warnings(heads(site), site.now))
        folder = release(site)
        verify(folder, pinned, site.founded.register, site.now)
        assert with_revocations(folder, site.exports, site.now) == ""


def test_the_publisher_goes_on_with_the_old_one_until_it_has_the_new_key(site: Site, tmp_path: Path) -> None:
    old = signer_of(current(site))
    made = renew(site)
    (key,) = site.keys.path.glob(f"seal-{made.fingerprint.replace('-', '')[:16]}.pem")
    moved = Path(shutil.move(key, tmp_path))
    assert signer_of(release(site)) == old
    shutil.move(moved, site.keys.path)
    assert signer_of(release(site)) == made.fingerprint


def test_a_key_that_was_made_on_the_publishers_machine(site: Site) -> None:
    key = new_key()
    public = site.keys.create("publisher-seal", key, encrypt=False)
    made = renew(site, public=public)
    assert made.here
    assert signer_of(release(site)) == public.fingerprint


def test_a_certificate_needs_the_authoritys_key(site: Site) -> None:
    before = (site.workspace.lists / "trust/seal.crt").read_bytes()
    next(site.keys.path.glob("seal-authority-*.pem")).unlink()
    with pytest.raises(UsageError, match="there is no key seal-authority"):
        renew(site)
    with pytest.raises(UsageError, match="there is no key seal-authority"):
        seal_certificates.revoke(heads(site), site.keys, signer_of(current(site)), site.now)
    assert (site.workspace.lists / "trust/seal.crt").read_bytes() == before
    assert len(list(site.keys.path.glob("seal-*.pem"))) == 1


def test_a_key_that_cannot_seal(site: Site) -> None:
    public = PublicKey.wrap(key_of(site, "head-1").public_key())
    with pytest.raises(UsageError, match="not an ECDSA key"):
        renew(site, public=public)
    authority = PublicKey.wrap(key_of(site, "seal-authority").public_key())
    with pytest.raises(RefusedError, match="cannot seal releases with its own key"):
        renew(site, public=authority)


def test_a_stolen_authority_is_replaced_by_hand(site: Site) -> None:
    """Providers who use stock tools get a new `seal.pem`; root, register and subscriptions stay."""
    from kit.fixed import LISTS

    from blocklist.office.init import init

    old = (site.exports / "seal.pem").read_bytes()
    for path in heads(site).path.glob("seal*"):
        path.unlink()
    again = init(site.workspace, LIST, "test", "head-1", LISTS, site.now, encrypt=False)
    assert again.register == site.founded.register
    assert (site.exports / "seal.pem").read_bytes() != old
    assert with_openssl(release(site), site.exports / "seal.pem") == ""
    assert heads(site).versions("root") == [1]


# --- Revoking ---------------------------------------------------------------------------------------------------------


def test_a_revoked_certificate_seals_nothing_more(site: Site) -> None:
    old = current(site)
    stolen = signer_of(old)
    seal_certificates.revoke(heads(site), site.keys, stolen[:9], site.now)
    site.now += 7 * HOUR
    with pytest.raises(RefusedError, match="was revoked") as caught:
        site.publish()
    assert "trust seal renew" in caught.value.hint
    assert "revoked, and no other was issued" in "\n".join(seal_warnings(heads(site), site.now))
    renew(site)
    new = release(site)
    assert with_revocations(new, site.exports, site.now) == ""
    # The thief's releases, and the office's own of before: providers who look at the list refuse both.
    assert "revoked" in with_revocations(old, site.exports, site.now)
    assert with_openssl(old, site.exports / "seal.pem") == ""
    with pytest.raises(VerificationError, match="was revoked"):
        verify(old, site.exports / "seal.pem", site.founded.register, site.now)


def test_revocations_are_kept_by_every_later_list(site: Site) -> None:
    first = signer_of(current(site))
    numbers = []
    renew(site)
    for step in (
        lambda: seal_certificates.revoke(heads(site), site.keys, first, site.now),
        lambda: renew(site),
        lambda: renew(site),
    ):
        step()
        revocations = heads(site).revoked()
        numbers.append(revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert len(list(revocations)) == 1
    assert numbers == [3, 4, 5]
    with pytest.raises(RefusedError, match="revoked already"):
        seal_certificates.revoke(heads(site), site.keys, first, site.now)


@pytest.mark.parametrize("text", ["", "0000", "0000-0000-0000-0000-0000"])
def test_revoking_what_is_not_there(site: Site, text: str) -> None:
    with pytest.raises(UsageError, match="is no certificate of the seal") as caught:
        seal_certificates.revoke(heads(site), site.keys, text, site.now)
    assert signer_of(current(site)) in caught.value.hint


# --- A certificate that somebody else issues --------------------------------------------------------------------------


class Provider:
    """A trust service: an RSA root, an RSA authority below it, certificates by plain `openssl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        ca = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        (folder / "ca.ext").write_text(ca)
        self.run("req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj /CN=Root"
                 " -addext keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        self.run("req -newkey rsa:2048 -nodes -keyout sub.key -out sub.csr -subj /CN=Sub")
        self.run(
            "x509 -req -in sub.csr -CA root.pem -CAkey root.key -CAcreateserial -days 20 -extfile ca.ext -out sub.pem"
        )

    def run(self, command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=self.folder, capture_output=True, check=True)

    def issue(
        self, request: bytes, usage: str = "critical,digitalSignature,nonRepudiation", more: str = "", days: int = 10
    ) -> bytes:
        (self.folder / "leaf.csr").write_bytes(request)
        (self.folder / "leaf.ext").write_text(f"basicConstraints=CA:FALSE\nkeyUsage={usage}\n{more}")
        self.run(
            f"x509 -req -in leaf.csr -CA sub.pem -CAkey sub.key -CAcreateserial -days {days} -extfile leaf.ext "
            "-out leaf.pem"
        )
        return (self.folder / "leaf.pem").read_bytes()

    def pem(self, name: str) -> bytes:
        return (self.folder / f"{name}.pem").read_bytes()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return Provider(tmp_path_factory.mktemp("service") / "ca")


def request(site: Site) -> bytes:
    return seal_certificates.request(site.keys, "Office of tests", "Ministry of tests", "FR")[0]


def test_the_request_is_one(site: Site, tmp_path: Path) -> None:
    content, public = seal_certificates.request(site.keys, "Office of tests", "Ministry of tests", "FR")
    (tmp_path / "seal.csr").write_bytes(content)
    command = ["openssl", "req", "-verify", "-noout", "-subject", "-in", "seal.csr"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "C = FR, O = Ministry of tests, CN = Office of tests" in done.stdout
    key = x509.load_pem_x509_csr(content).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"
    assert site.keys.has(f"seal-{public.keyid[:16]}")


@pytest.mark.parametrize("names", [("", "", ""), ("x" * 65, "", ""), ("x", "", "FRA"), ("x", "", "1")])
def test_a_name_that_cannot_be_certified(site: Site, names: tuple[str, str, str]) -> None:
    before = sorted(site.keys.path.iterdir())
    with pytest.raises(UsageError, match="a common name has 1 to 64 characters"):
        seal_certificates.request(site.keys, *names)
    assert sorted(site.keys.path.iterdir()) == before


def test_a_qualified_seal_stands_beside_the_first(site: Site, service: Provider, tmp_path: Path) -> None:
    pinned = (site.exports / "seal.pem").read_bytes()
    leaf = service.issue(request(site))
    made = seal_certificates.install(
        heads(site), site.keys, service.pem("sub") + leaf + service.pem("root"), site.now + HOUR
    )
    assert made.kind == "qualified"
    site.now += HOUR
    site.block("two.example")
    site.publish()
    folder = current(site)
    assert (site.exports / "seal.pem").read_bytes() == pinned
    assert with_openssl(folder, site.exports / "seal.pem") == ""
    command = OPENSSL.replace("SHA256SUMS.p7s", QUALIFIED_SEAL).split()
    with_chain = ["openssl", *command, "-CAfile", str(site.exports / "qualified.pem"), "-out", "/dev/null"]
    done = subprocess.run(with_chain, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    altered = shutil.copytree(folder, tmp_path / "altered")
    with (altered / "SHA256SUMS").open("ab") as stream:
        stream.write(b"\n")
    assert subprocess.run(with_chain, cwd=altered, capture_output=True, check=False).returncode != 0
    # Any TUF client goes on, and gets it.
    got = with_tuf(site.exports, tmp_path / "tuf", site.root.read_bytes())
    assert set(got) == set(FILES)
    # The next release has it too, and no release waits for one that has expired.
    assert any("qualified" in line for line in seal_warnings(heads(site), site.now))  # ten days are fewer than sixty
    release(site)
    assert (current(site) / QUALIFIED_SEAL).exists()
    site.now += 11 * DAY
    assert not (release(site) / QUALIFIED_SEAL).exists()


def test_a_certificate_by_our_own_authority_seals_at_once(site: Site) -> None:
    """The authority's key may be on a token that other software uses: its certificate is as good."""
    content = request(site)
    public = x509.load_pem_x509_csr(content).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    authority, key = heads(site).path.joinpath("seal.pem").read_bytes(), key_of(site, "seal-authority")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pem = issue_certificate(authority, key, public, "by hand", site.now)
    made = seal_certificates.install(heads(site), site.keys, pem, site.now)
    assert made.kind == "seal"
    folder = release(site)
    assert signer_of(folder) == made.fingerprint
    assert with_openssl(folder, site.exports / "seal.pem") == ""
    assert not (folder / QUALIFIED_SEAL).exists()


def other_key(site: Site, service: Provider) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.hazmat.primitives.serialization import Encoding

    content = builder.sign(new_key(), SHA384()).public_bytes(Encoding.PEM)
    return service.issue(content) + service.pem("sub") + service.pem("root")


def rsa_key(site: Site, service: Provider) -> bytes:
    service.run("req -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.csr -subj /CN=RSA")
    return service.issue((service.folder / "rsa.csr").read_bytes()) + service.pem("sub") + service.pem("root")


def no_root(site: Site, service: Provider) -> bytes:
    return service.issue(request(site)) + service.pem("sub")


def no_middle(site: Site, service: Provider) -> bytes:
    return service.issue(request(site)) + service.pem("root")


def another_root(site: Site, service: Provider) -> bytes:
    return service.issue(request(site)) + new_office().authority


def for_servers(site: Site, service: Provider) -> bytes:
    leaf = service.issue(request(site), more="extendedKeyUsage=serverAuth\n")
    return leaf + service.pem("sub") + service.pem("root")


def for_encryption(site: Site, service: Provider) -> bytes:
    return service.issue(request(site), usage="critical,keyAgreement") + service.pem("sub") + service.pem("root")


def only_authorities(site: Site, service: Provider) -> bytes:
    return service.pem("sub") + service.pem("root")


def a_private_key(site: Site, service: Provider) -> bytes:
    return pem_key(new_key())


WRONG = {
    other_key: "which is not here",
    rsa_key: "is for another key",
    no_root: "does not lead from CN=Sub",
    no_middle: "does not lead from",
    another_root: "does not lead from",
    for_servers: "is for another use",
    for_encryption: "is not for signing",
    only_authorities: "holds no certificates",
    a_private_key: "holds no certificates",
}


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__)
def test_a_certificate_that_is_not_ours_or_cannot_seal(site: Site, service: Provider, make: Any) -> None:
    content = make(site, service)
    before = {path: path.read_bytes() for path in heads(site).path.iterdir() if path.is_file()}
    with pytest.raises((UsageError, VerificationError), match=WRONG[make]):
        seal_certificates.install(heads(site), site.keys, content, site.now + HOUR)
    assert {path: path.read_bytes() for path in heads(site).path.iterdir() if path.is_file()} == before


def test_a_chain_that_has_expired(site: Site, service: Provider) -> None:
    content = service.issue(request(site)) + service.pem("sub") + service.pem("root")
    with pytest.raises(VerificationError, match="is not in force"):
        seal_certificates.install(heads(site), site.keys, content, site.now + 15 * DAY)


def test_a_certificate_that_only_names_our_authority_is_refused(site: Site) -> None:
    """Another authority of the same name."""
    name = x509.load_pem_x509_certificate((heads(site).path / "seal.pem").read_bytes()).subject
    common = str(name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    office = new_office(site.now, common)
    public = x509.load_pem_x509_csr(request(site)).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    pem = issue_certificate(office.authority, office.authority_key, public, "false", site.now)
    with pytest.raises(VerificationError, match="was not issued by the seal authority"):
        seal_certificates.install(heads(site), site.keys, pem, site.now)


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_commands_of_the_seal(listed: Shell, service: Provider) -> None:
    before = listed.json("trust", "show")["seal"][0]["fingerprint"]
    made = listed.json("trust", "seal", "renew")
    assert made["fingerprint"] != before
    listed("trust", "seal", "revoke", before)
    listed.refused("trust", "seal", "revoke", before, code=1, message="revoked already")
    stated = listed.json("trust", "show")["seal"]
    assert [(entry["kind"], entry["revoked"]) for entry in stated] == [
        ("seal", False),
        ("former", True),
        ("authority", False),
    ]
    assert "REVOKED" in listed("trust", "show").stdout
    path = listed.folder / "seal.csr"
    asked = listed.json("trust", "seal", "request", "--common-name", "Office", "-o", path)
    listed.refused(
        "trust", "seal", "request", "--common-name", "Office", "-o", path, code=1, message="is there already"
    )
    chain = listed.folder / "chain.pem"
    chain.write_bytes(service.issue(path.read_bytes()) + service.pem("sub") + service.pem("root"))
    installed = listed.json("trust", "seal", "install", chain)
    assert (installed["kind"], installed["fingerprint"]) == ("qualified", asked["fingerprint"])
    listed.refused("trust", "seal", "install", listed.folder / "none", code=2, message="cannot be read")
    assert (listed.office / "exports/qualified.pem").exists()
    # The key is on another machine: the head names it.
    (key,) = listed.keys.glob(f"seal-{asked['fingerprint'].replace('-', '')[:16]}.*pub")
    public = Path(shutil.copy(key, listed.folder / "seal.pub"))
    for part in listed.keys.glob(f"{key.stem}.*"):
        part.unlink()
    listed.refused("trust", "seal", "install", chain, code=2, message="which is not here")
    assert not listed.json("trust", "seal", "install", chain, "--key", public)["here"]
    assert LIST in {entry["role"] for entry in listed.json("trust", "show")["roles"]}
