"""PostgreSQL over a network: a real server with the guide's settings, whom it lets in, and which server is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from kit.paths import ROOT
from kit.pki import Authority
from kit.postgres import Postgres, running
from kit.shell import WHY, Shell
from kit.site import Site

GUIDE = (ROOT / "docs/administrators.md").read_text()
SERVER = "db.office.example"
FILES, AUTHORITY = "/etc/postgresql/tls", "/etc/blocklist/office-ca.pem"


def in_the_guide(start: str) -> str:
    """The one block of code that begins so."""
    (code,) = re.findall(rf"(?ms)^```text\n({re.escape(start)}.*?)^```$", GUIDE)
    return str(code)


@dataclass(frozen=True)
class Network:
    """A server as in the guide, under the office's authority, and another authority that nobody named."""

    server: Postgres
    ours: Authority
    others: Authority

    def url(self, database: str, account: str, **more: str) -> str:
        """The URL of the guide for an account; the office has no name server, so the address stands beside the name."""
        place = f"{account}@{SERVER}:{self.server.port}/{database}"
        url = in_the_guide("postgresql://").strip().replace(f"{SERVER}/office", place)
        parameters = {"hostaddr": "127.0.0.1", **more}
        return "&".join([url.replace(AUTHORITY, str(self.ours.certificate)), *map("=".join, parameters.items())])

    def certified(self, database: str, account: str, authority: Authority | None = None) -> str:
        """With a certificate of that account; libpq refuses a key that others can read."""
        certificate, key = (authority or self.ours).issue(account)
        key.chmod(0o600)
        return self.url(database, account, sslcert=str(certificate), sslkey=str(key))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("authorities")
    ours, others = Authority.make(folder / "ours", "office"), Authority.make(folder / "others", "another office")
    certificate, key = ours.issue("server", SERVER)
    settings, rules = in_the_guide("# postgresql.conf").split("# pg_hba.conf\n")
    with running() as server:
        settings = settings.replace(FILES, str(server.folder)).replace(SERVER, "127.0.0.1")
        rules = rules.replace("192.0.2.0/24", "127.0.0.1/32").replace("peer", "trust")  # the tests have one account
        files = {"server.pem": certificate, "server.key": key, "office-ca.pem": ours.certificate}
        server.listen(settings, rules, files)
        yield Network(server, ours, others)


@pytest.fixture
def database(network: Network) -> str:
    return network.server.database()


@pytest.fixture
def office(empty: Shell, network: Network, database: str) -> Shell:
    """A workspace whose register is on the server, with bad.example proposed in act 4."""
    lists = empty.office / "lists"
    lists.mkdir(parents=True)
    (lists / "register.url").write_text(network.certified(database, "hugo"))
    Site(empty.folder, datetime.now(UTC))
    empty("--as", "agent-1", "add", "bad.example", *WHY)
    return empty


def unanswered(office: Shell, url: str, message: str) -> None:
    """One sentence, as for any server that cannot be used."""
    office.refused("--store", url, "list", code=5, message=f"the database postgresql://.* does not answer: .*{message}")


def test_an_office_works_over_the_network(office: Shell, network: Network, database: str) -> None:
    office("--store", network.certified(database, "anna"), "--as", "agent-2", "approve", "4")
    office("--store", network.certified(database, "paul"), "publish")
    assert any(b"bad.example" in path.read_bytes() for path in office.release.glob("*hosts*"))
    assert office.acts() == 5


def test_a_server_under_another_authority_is_not_believed(office: Shell, network: Network, database: str) -> None:
    url = network.certified(database, "hugo").replace(str(network.ours.certificate), str(network.others.certificate))
    unanswered(office, url, "certificate verify failed")


def test_a_server_under_another_name_is_not_believed(office: Shell, network: Network, database: str) -> None:
    """Whoever has a certificate for one machine of the office is not its database for that."""
    url = network.certified(database, "hugo").replace(SERVER, "web.office.example")
    unanswered(office, url, 'does not match host name "web.office.example"')


def test_nothing_is_sent_in_the_clear(office: Shell, network: Network, database: str) -> None:
    """What does not say how it is protected goes nowhere; what says 'not at all' is for the server to refuse."""
    url = network.certified(database, "hugo")
    message = f"does not say how the connection to {SERVER} is protected\\n.*add sslmode=verify-full and sslrootcert="
    office.refused("--store", url.replace("sslmode=verify-full&", ""), "list", code=2, message=message)
    unanswered(office, url.replace("verify-full", "disable"), "no pg_hba.conf entry .* no encryption")


def test_an_account_is_let_in_by_its_own_certificate_alone(office: Shell, network: Network, database: str) -> None:
    unanswered(office, network.url(database, "anna"), "requires a valid client certificate")
    unanswered(office, network.certified(database, "anna", network.others), "unknown ca")
    hugos = network.certified(database, "hugo").replace("//hugo@", "//anna@")
    unanswered(office, hugos, 'failed for user "anna"')


def test_an_authority_that_is_not_there_is_named(office: Shell, network: Network, database: str) -> None:
    url = network.certified(database, "hugo").replace(str(network.ours.certificate), "/nowhere.pem")
    unanswered(office, url, '"/nowhere.pem" does not exist')
