"""Many agents at once on one register: real processes, real databases, the real commands."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fixed import LIST, SAYS
from kit.forked import Forked
from kit.postgres import Postgres
from kit.site import Site

from blocklist.office import appoint, propose
from blocklist.register import acts
from blocklist.register.replay import from_beginning
from blocklist.store.store import Store

AGENTS = {"sqlite": 8, "postgres": 16}
EACH = {"sqlite": 2, "postgres": 1}
"""How often. Whoever loses a race reads everything again, so the work grows with the square of both numbers."""


def start(site: Site, officer: str, *words: str) -> Forked:
    common = ("-C", str(site.workspace.path), "--as", officer, "--json")
    return Forked(*common, *words, env=os.environ | {"BLOCKLIST_KEYS": str(site.keys.path), "LANGUAGE": "en"})


def finish(running: list[Forked]) -> list[dict[str, object]]:
    """Every process ends well; what each one printed."""
    done = []
    for process in running:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        done.append(json.loads(output))
    return done


@pytest.fixture(params=sorted(AGENTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def agents(kind: str) -> list[str]:
    return [f"worker-{number}" for number in range(1, AGENTS[kind] + 1)]


@pytest.fixture
def site(tmp_path: Path, kind: str, agents: list[str], request: pytest.FixtureRequest) -> Site:
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("server")
        lists = tmp_path / "office" / "lists"
        lists.mkdir(parents=True)
        (lists / "register.url").write_text(server.url(server.database()))
    made = Site(tmp_path, datetime.now(UTC))
    for agent in agents:
        public = made.keys.create(agent, ed25519.Ed25519PrivateKey.generate(), encrypt=False)
        with made.office("head-1") as office:
            appoint.appoint(office, agent, "agent", public)
    (tmp_path / "imprint.txt").write_text("no name, no address\n")
    return made


def test_agents_at_once_lose_nothing_and_fork_nothing(site: Site, agents: list[str], kind: str) -> None:
    says = [word for ask, text in SAYS.items() for word in ("--say", f"{ask}={text}")]
    why = ["--ground", "apology", "--basis", "no-identification", "--ref", "2026", *says]
    proof = ["--evidence", str(site.folder / "imprint.txt")]
    proposed: dict[int, str] = {}
    for turn in range(EACH[kind]):
        added = finish([start(site, agent, "add", f"n{turn}.{agent}.example", *why, *proof) for agent in agents])
        proposed |= {int(str(entry["act"])): agent for agent, entry in zip(agents, added, strict=True)}
    assert len(proposed) == EACH[kind] * len(agents)  # every number was given out once

    # Each act is approved by the neighbour of its author, while others propose and approve.
    neighbour = dict(zip(agents, (*agents[1:], agents[0]), strict=True))
    numbers = sorted(proposed)
    for part in (numbers[: len(agents)], numbers[len(agents) :]):
        finish([start(site, neighbour[proposed[seq]], "approve", str(seq)) for seq in part])

    store = Store(site.workspace.lists)
    steps = list(from_beginning(store.lines(LIST), datetime.now(UTC)))
    store.close()
    register = steps[-1][1]
    kinds = Counter(signed.act.body.kind for signed, _ in steps)
    assert (kinds["add"], kinds["approve"]) == (len(proposed), len(proposed))
    in_force = register.in_force(datetime.now(UTC))
    assert len(in_force) == len(proposed)
    approved = {signed.act.body.act.seq for signed, _ in steps if isinstance(signed.act.body, acts.Approve)}
    assert approved == set(proposed)


def test_two_approvals_of_one_act_end_with_one_refusal_that_says_so(site: Site, agents: list[str]) -> None:
    site.now = datetime.now(UTC)
    with site.office("agent-1") as office:
        from blocklist.names.domain_name import Name, Scope

        (added,) = propose.propose(office, [Name("page.example", Scope.DOMAIN)], site.proposal())
    running = [start(site, agent, "approve", str(added.act.seq)) for agent in agents[:4]]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert sorted(code for _, code in ended) in ([0, 1, 1, 1], [0, 1, 1, 2], [0, 1, 2, 2], [0, 2, 2, 2])
    for (_, errors), code in ended:
        assert code == 0 or b"does not wait for an approval" in errors
