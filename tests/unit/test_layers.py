"""What import-linter (`pyproject.toml`) cannot say of the rooms: what judges does no I/O, and start-up loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.paths import ROOT
from print_rooms import BEGIN, END, layers, table

PACKAGE = ROOT / "blocklist"
DESIGN = ROOT / "docs/design.md"

PURE = (
    "names", "keys/encoding", "seal", "register", "release", "lint",
)  # fmt: skip
"""Rooms and modules for which what they are given is all they know: no clock, no file, no network, no environment."""

IMPURE = {
    "os", "pathlib", "shutil", "tempfile", "subprocess", "socket", "time", "sqlalchemy", "sqlite3", "requests",
    "urllib", "http", "tuf", "fcntl", "glob", "platform", "getpass", "locale", "threading", "multiprocessing",
    "concurrent", "random", "secrets", "uuid", "durable",
}  # fmt: skip
CALLS = {"now", "today", "utcnow", "open", "print", "input", "eval", "exec"}
ALLOWED = {
    "names/guards.py": {"pathlib"},  # the suffix list is a file of a package; no replay asks for it
    "register/replay.py": {"os", "pathlib", "durable", "open"},  # a file is what it is about
    "release/manifest.py": {"pathlib", "durable", "open"},  # what a release's folder says of itself
}
FLAT = 6
"""Modules that may lie beside the rooms."""


def modules(part: str = "") -> list[Path]:
    """The files of a room or a module; of the whole program without one."""
    path = PACKAGE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def pure() -> Iterator[Path]:
    for part in PURE:
        yield from modules(part)


def names_imported(tree: ast.AST) -> set[str]:
    """The parts of every dotted name that a module imports, wherever it does so."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import by dots"
            assert node.module
            ours = node.module.startswith("blocklist")
            found |= {*node.module.split(".")[1:], *(alias.name for alias in node.names)} if ours else set()
            found |= set() if ours else {node.module.partition(".")[0]}
    return found


def names_called(tree: ast.AST) -> set[str]:
    """The last part of every name that is called."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in called}


def impurities(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(), str(path))
    return names_imported(tree) & IMPURE | names_called(tree) & CALLS


@pytest.mark.parametrize("path", list(pure()), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_judges_does_no_input_or_output(path: Path) -> None:
    assert not impurities(path) - ALLOWED.get(str(path.relative_to(PACKAGE)), set())


def test_what_is_allowed_is_needed() -> None:
    for name, allowed in ALLOWED.items():
        assert allowed <= impurities(PACKAGE / name), name


def test_an_impurity_is_seen(tmp_path: Path) -> None:
    """The test itself: an import inside a function, or for types only, is an import."""
    source = (
        "import os.path\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pathlib import Path\n"
        "def f(clock):\n    from blocklist.base import durable\n    return clock.now()\n"
    )
    path = tmp_path / "bad.py"
    path.write_text(source)
    assert impurities(path) == {"os", "pathlib", "durable", "now"}


def test_few_modules_lie_beside_the_rooms() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= FLAT


def test_the_documents_hold_the_table_of_rooms() -> None:
    text = DESIGN.read_text()
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), "run 'python tools/print_rooms.py' and paste what it prints between the two marks"


def test_the_table_has_every_room() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= {room for row in layers() for room in row}


HEAVY = {"cryptography", "sqlalchemy", "tuf", "securesystemslib", "requests", "yaml", "dns", "idna", "asn1crypto"}


@pytest.mark.parametrize("words", [["--version"], ["no-such-command"], ["lint", "--help"]], ids=" ".join)
def test_start_up_loads_nothing_that_it_does_not_need(words: list[str]) -> None:
    """What only some commands need is loaded when one of them runs."""
    code = (
        "import sys\nfrom blocklist.cli.commands import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"
