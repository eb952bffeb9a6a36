"""The lifecycle table in the documents is the one that the register runs by."""

from __future__ import annotations

from kit.paths import ROOT
from print_lifecycle import BEGIN, END, table

from blocklist.register.lifecycle import LIFECYCLE, Stage, State

DESIGN = ROOT / "docs/design.md"


def test_the_documents_hold_the_lifecycle_table() -> None:
    text = DESIGN.read_text()
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), "run 'python tools/print_lifecycle.py' and paste what it prints between the two marks"


def test_the_table_shows_every_transition_and_no_other() -> None:
    _, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table().splitlines()]
    assert len(rows) == len(LIFECYCLE)
    assert {(known(before), act): known(after) for before, act, after in rows} == dict(LIFECYCLE)


def known(text: str) -> State | Stage:
    return State(text) if text in list(State) else Stage(text)
