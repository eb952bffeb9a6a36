"""Which module may import which: a provider can read `client` alone, and what judges does no input or output."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "blocklist"

ORDER = (
    "errors messages instants",
    "names listing files commands copying keyfiles tokens aside",
    "documents",
    "fields",
    "certificates",
    "acts policy guards signing measures intake seal",
    "authority entries compact receipts trust",
    "proposals trustproposal",
    "register trustwords",
    "replay policydiff states",
    "verified reading",
    "formats",
    "release lint",
    "linting",
    "metadata remembered databases",
    "sqlite postgres trustfolder",
    "founding",
    "publisherkeys",
    "store repository notices evidence",
    "client ceremony",
    "workspace notifying cache tree reported sealing",
    "desk sources mending moving standing",
    "additions timeline auditing",
    "office receiving pruning",
    "survey due publishing adopting erasing",
    "export planning",
    "cli",
    "__main__",
)
"""From the lowest layer to the highest; a module imports from lower layers only, a package also from itself."""

LAYER = {name: layer for layer, names in enumerate(ORDER) for name in names.split()}
PROVIDER = {"client"}
OFFICE = {
    "trust", "trustproposal", "trustwords", "trustfolder", "founding", "publisherkeys", "ceremony", "sealing",
    "standing", "remembered", "databases", "sqlite", "postgres", "mending", "moving", "metadata", "store", "cache",
    "repository", "workspace", "office", "survey", "publishing", "notifying", "adopting", "planning", "pruning",
    "additions", "desk", "timeline", "due", "evidence", "tree", "sources", "auditing", "erasing", "export",
    "reported", "receiving",
}  # fmt: skip
PURE = (
    "names", "listing", "instants", "documents", "fields", "keyfiles", "acts", "policy", "guards", "measures", "intake",
    "entries", "compact", "proposals", "register", "replay", "policydiff", "formats", "release", "lint",
    "notices", "receipts",
)  # fmt: skip
"""What they are given is all they know: no clock, no file, no network, no environment."""
IMPURE = {
    "os", "pathlib", "shutil", "tempfile", "subprocess", "socket", "time", "sqlalchemy", "sqlite3", "requests",
    "urllib", "http", "tuf", "fcntl", "glob", "platform", "getpass", "locale", "threading", "multiprocessing",
    "random", "secrets", "uuid",
}  # fmt: skip
ALLOWED = {"guards": {"pathlib"}}
"""The suffix list is a file of a package; it is for guards and brakes, and no part of a replay."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The module or package of the table that a file belongs to; the package's own file is none."""
    relative = path.relative_to(PACKAGE)
    return "" if relative.name == "__init__.py" and len(relative.parts) == 1 else relative.parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Everything that a file imports, wherever it does so, with dots."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_imported(path: Path) -> set[str]:
    found = {name.split(".")[1] for name in imported(path) if name.startswith("blocklist.")}
    return {name for name in found if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_layers(path: Path) -> None:
    own = part_of(path)
    if not own:
        assert not parts_imported(path)
        return
    assert own in LAYER, f"{own} is new: give it a place in ORDER"
    higher = {name for name in parts_imported(path) if name != own and LAYER[name] >= LAYER[own]}
    assert not higher, f"{own} imports {sorted(higher)}, which are no lower layer"


def test_every_module_of_the_order_is_there() -> None:
    assert LAYER.keys() == {part for path in modules() if (part := part_of(path))}


def test_a_provider_needs_nothing_of_the_office() -> None:
    for path in modules():
        if part_of(path) in PROVIDER:
            assert not parts_imported(path) & OFFICE, path.name


def test_only_the_desk_believes_the_cache() -> None:
    assert {part_of(path) for path in modules() if "cache" in parts_imported(path)} <= {"desk"}


def test_an_audit_replays_every_act() -> None:
    """A publisher and a subscriber go on from what they verified last; nobody else does."""
    assert {part_of(path) for path in modules() if "verified" in parts_imported(path)} <= {"publishing", "client"}


def test_formats_know_nothing_of_acts_or_registers() -> None:
    for path in modules():
        if part_of(path) == "formats":
            assert not parts_imported(path) & {"register", "replay", "acts", "signing", "store"}, path.name


def test_only_the_command_line_knows_click() -> None:
    for path in modules():
        roots = {name.partition(".")[0] for name in imported(path)}
        assert part_of(path) in ("cli", "__main__") or not roots & {"click", "rich", "argparse", "getpass"}, path.name


@pytest.mark.parametrize("part", PURE)
def test_a_pure_module_does_no_input_or_output(part: str) -> None:
    for path in modules():
        if part_of(path) == part:
            roots = {name.partition(".")[0] for name in imported(path)}
            wrong = roots & IMPURE - ALLOWED.get(part, set())
            assert not wrong, f"{path.name} imports {sorted(wrong)}"
            assert "files" not in parts_imported(path), path.name


@pytest.mark.parametrize("part", PURE)
def test_a_pure_module_reads_no_clock_and_opens_no_file(part: str) -> None:
    for path in modules():
        if part_of(path) == part:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = node.func
                    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                    assert name not in {"now", "today", "utcnow", "open", "print", "input", "eval", "exec"}, path.name


def test_a_violation_is_seen(tmp_path: Path) -> None:
    """The test itself: an import inside a function, or for types only, is an import."""
    source = (
        "import os.path\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from blocklist.store import Store\n"
        "def f():\n    from blocklist import office\n"
    )
    path = tmp_path / "bad.py"
    path.write_text(source)
    assert parts_imported(path) == {"store", "office"}
    assert "os.path" in set(imported(path))
