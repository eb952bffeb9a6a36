"""A real PostgreSQL of the tests' own: in a folder in the temporary directory, on a unix socket, with no network.

One may also listen on loopback (`Postgres.listen`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit.servers import free_port
from kit.site import Site

from blocklist.store.postgres import SCHEMA

OWNER = "owner"
ROLES = {
    "anna": "blocklist_agent",
    "hugo": "blocklist_head",
    "paul": "blocklist_publisher",
    "aude": "blocklist_auditor",
}
"""Accounts of the office, each in its role; `zoe` has none."""
_TEMPLATE = "office_template"
_ATTEMPTS = 50


def program(name: str) -> str:
    """A program of the newest PostgreSQL; Debian keeps the server's out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else name


class Postgres:
    """One server, started when it is made; every database it makes has the shipped tables and roles."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="blocklist-pg-"))
        self._demote = self._unprivileged()
        self._names = itertools.count(1)
        self.port = 5432
        self._run("initdb", "-D", self.data, "-U", OWNER, "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nmax_connections = 60\n")
            settings.write("log_min_messages = fatal\n")
        self.start()
        self._make_template()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def _unprivileged(self) -> list[str]:
        """The server refuses to run as root."""
        if os.geteuid() != 0:
            return []
        account = pwd.getpwnam("postgres")
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._demote, program(name), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Start it; after a kill its last processes may still be on their way out."""
        log = str(self.folder / "log")
        for attempt in range(_ATTEMPTS):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._run("pg_ctl", "-D", self.data, "-l", log, "-w", "start")
                return
            assert attempt < _ATTEMPTS - 1, Path(log).read_text()

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """Kill the server and all its processes, as a power cut or the kernel would."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        handles = []
        for process in (postmaster, *_children(postmaster)):
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(process))
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        for handle in handles:
            select.select([handle], [], [])  # readable when the process has ended
            os.close(handle)

    def listen(self, settings: str, rules: str, files: Mapping[str, Path]) -> None:
        """Listen on a port of its own, too, with these lines in `postgresql.conf` and this `pg_hba.conf`.

        The files are copied to `folder` under the names that they have here, for the server alone.
        """
        self.stop("fast")
        self.port = free_port()
        account = self.folder.stat()
        for name, source in files.items():
            path = self.folder / name
            path.write_bytes(source.read_bytes())
            path.chmod(0o600)
            os.chown(path, account.st_uid, account.st_gid)
        with (self.folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(f"port = {self.port}\n{settings}")
        (self.folder / "data" / "pg_hba.conf").write_text(rules)
        self.start()

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder)

    def _make_template(self) -> None:
        self.psql("postgres", f"CREATE DATABASE {_TEMPLATE}")
        self.psql(_TEMPLATE, SCHEMA.read_text())
        for account, role in ROLES.items():
            self.psql("postgres", f"CREATE ROLE {account} LOGIN IN ROLE {role}")
        self.psql("postgres", "CREATE ROLE zoe LOGIN")

    def psql(self, database: str, statement: str, account: str = OWNER) -> str:
        """Run SQL as somebody; returns what it printed.

        Raises:
            subprocess.CalledProcessError: It was refused; `stderr` says why.
        """
        command = [
            program("psql"),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.conninfo(database, account),
        ]
        return subprocess.run(command, input=statement, check=True, capture_output=True, text=True).stdout

    def conninfo(self, database: str, account: str = OWNER) -> str:
        return f"host={self.folder} port={self.port} dbname={database} user={account}"

    def database(self, *, bare: bool = False, template: str = _TEMPLATE) -> str:
        """A new database with the shipped tables, or with those of another one, or with none; its name."""
        name = f"office_{next(self._names)}"
        self.psql("postgres", f"CREATE DATABASE {name}" + ("" if bare else f" TEMPLATE {template}"))
        return name

    def again(self, lists: Path) -> str:
        """Give a workspace that was copied a database of its own, with all that is in the first one's; its name."""
        place = lists / "register.url"
        name = self.database(template=urlsplit(place.read_text()).path[1:])
        place.write_text(self.url(name))
        return name

    def url(self, database: str, account: str = "hugo") -> str:
        """The URL of a database for somebody."""
        return f"postgresql://{account}@/{database}?host={self.folder}"


@dataclass(frozen=True)
class OnServer:
    """Makes a site whose register is in a new database of the server; see `ready_made`."""

    server: Postgres
    make: Callable[[Path, datetime], Site]

    def __call__(self, folder: Path, now: datetime) -> Site:
        lists = folder / "office/lists"
        lists.mkdir(parents=True)
        (lists / "register.url").write_text(self.server.url(self.server.database()))
        return self.make(folder, now)


def _children(parent: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(path.parent.name)


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server that is gone afterwards."""
    server = Postgres()
    try:
        yield server
    finally:
        server.remove()


only_sqlite = pytest.mark.parametrize("kind", ["sqlite"])
"""For what SQLite alone does; every other test with a `kind` is run on a real PostgreSQL as well."""
