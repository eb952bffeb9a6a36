"""The answers without us: a real, authoritative and DNSSEC-signed root for the tests' resolvers, on loopback.

One zone, the root, holds the names of the tests, each with five types of record, and everything below each of them.
What it lacks, `down.example`, is delegated to servers that are down.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from kit.servers import Named, free_port

ADDRESSES = {"A": "203.0.113.7", "AAAA": "2001:db8::7"}
RECORDS = {
    **ADDRESSES,
    "MX": "10 mail.elsewhere.test.",
    "TXT": '"as without us"',
    "HTTPS": f"1 . alpn=h2 ipv4hint={ADDRESSES['A']} ipv6hint={ADDRESSES['AAAA']}",
}
"""What every site answers."""

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 20, "example"])
"""As long as a listed name can be: 220 characters."""

SITES = (
    "bad.example",
    "notbad.example",
    "bad.example.other.test",
    "shop.example",
    "xn--bcher-kva.example",
    "a_b.example",
    "mixed.example",
    "mixed.example.other.test",
    "added.example",
    "removed.example",
    "before.example",
    "both.example",
    "outside.example",
    "later.example",
    "twice.example",
    "after.example",
    "elsewhere.test",
    LONGEST,
)
CHAINS = {
    "one-to-name.chains.test": "bad.example",
    "one-to-below.chains.test": "www.bad.example",
    "one-to-host.chains.test": "www.shop.example",
    "two-to-name.chains.test": "one-to-name.chains.test",
    "two-to-below.chains.test": "one-to-below.chains.test",
    "two-to-host.chains.test": "one-to-host.chains.test",
    "to-neighbour.chains.test": "notbad.example",
}
"""Aliases, and what each points to."""
DOWN = "down.example"

_HEAD = """\
$TTL 300
@ SOA ns.elsewhere.test. hostmaster.elsewhere.test. 1 300 60 2419200 60
@ NS ns.elsewhere.test.
ns.elsewhere.test A 127.0.0.1
"""


def zone() -> str:
    """The root's records."""
    lines = [
        f"{owner} {kind} {text}" for site in SITES for owner in (site, f"*.{site}") for kind, text in RECORDS.items()
    ]
    lines += [f"{alias} CNAME {target}." for alias, target in CHAINS.items()]
    return "\n".join([_HEAD.rstrip(), *lines, f"{DOWN} NS ns.{DOWN}.", f"ns.{DOWN} A 127.0.0.1", ""])


class Upstream(Named):
    """BIND as the root, answering for everything; `anchor` is its DS record."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.anchor = sign(folder)
        super().__init__(folder, "upstream.conf", upstream=free_port())


def sign(folder: Path) -> str:
    """Sign the root with a new key; gives the record of its trust anchor."""
    (folder / "root.zone").write_text(zone())
    key = _tool(folder, "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", ".").strip()
    # -z and one key: it signs everything, as in a zone with a combined signing key.
    _tool(folder, "dnssec-signzone", "-q", "-z", "-S", "-o", ".", "-f", "signed.zone", "root.zone")
    return _tool(folder, "dnssec-dsfromkey", "-2", f"{key}.key").strip()


def _tool(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
