"""What `lint` finds, real servers choke on: each case of the linter's tests, loaded into the server that shows it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from kit.lint_cases import CASES, CHECKZONE, RESOLVES, RULE_OF, UNREADY
from kit.servers import Kresd, Named, Recursor, Server, Unbound, until
from kit.upstream import Upstream
from kit.zones import body

KEPT = {"directive", "character", "below-wildcard", "half", "name-only", "landing-cname", "dname", "relative-target"}
"""Faults that leave what comes before them in force, so that one can wait for that."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with Upstream(tmp_path_factory.mktemp("servers") / "upstream") as running:
        yield running


CONFIGURATIONS: dict[type[Server], str] = {
    Named: "bind-rpz.conf", Unbound: "unbound-rpz.conf", Kresd: "kresd-rpz.conf", Recursor: "recursor.conf",
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case, (_, confirm) in CASES.items() if confirm and confirm[0] == CHECKZONE])
def test_bind_says_the_same(case: str, tmp_path: Path) -> None:
    content, (_program, *words) = CASES[case]
    path = tmp_path / "case.zone"
    path.write_bytes(content)
    done = subprocess.run([CHECKZONE, "blocked", path], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if words else 1), done.stdout
    assert all(word in done.stdout + done.stderr for word in words)


@pytest.mark.parametrize("case", [case for case, (_, confirm) in CASES.items() if confirm and confirm[0] != CHECKZONE])
def test_a_server_shows_it(case: str, tmp_path: Path, upstream: Upstream) -> None:
    content, (server, seen, *names) = CASES[case]
    path = tmp_path / "case.zone"
    path.write_bytes(content)
    running = server(tmp_path / "server", CONFIGURATIONS[server], upstream.port, path, upstream.anchor)
    try:
        if seen == UNREADY:
            with pytest.raises(AssertionError, match="has ended"):
                running.start()
            return
        running.start()
        if RULE_OF[case] in KEPT:
            until(lambda: running.ask("before.example").rcode() == dns.rcode.NXDOMAIN, "the policy", running.log)
        name, _, kind = names[0].partition(" ")
        with_us = running.ask(name, kind or "A")
        without_us = upstream.ask(name, kind or "A")
        assert (answers(with_us) == answers(without_us)) is (seen == RESOLVES)
    finally:
        running.stop()


@pytest.mark.parametrize("server", CONFIGURATIONS)
def test_a_server_blocks_what_is_right(server: type[Server], tmp_path: Path, upstream: Upstream) -> None:
    """The other half of the proof: without the fault, the same server does as it should."""
    path = tmp_path / "clean.zone"
    path.write_bytes(body(b""))
    with server(tmp_path / "server", CONFIGURATIONS[server], upstream.port, path, upstream.anchor) as running:
        for name in ("before.example", "www.before.example", "after.example"):
            until(
                lambda name=name: running.ask(name).rcode() == dns.rcode.NXDOMAIN, f"{name} to be blocked", running.log
            )
        assert running.ask("elsewhere.test").answer


def answers(response: dns.message.Message) -> tuple[int, frozenset[str]]:
    return response.rcode(), frozenset(
        rdata.to_text() for rrset in response.answer for rdata in rrset if rdata.rdtype != 46
    )
