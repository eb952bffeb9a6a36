"""Print the rooms of `blocklist/` as a Markdown table, for `docs/design.md`: `python tools/print_rooms.py`.

The rows are those of the layers contract in `pyproject.toml`, what a room answers is the first line of its docstring.
The table goes between the lines `<!-- rooms -->` and `<!-- /rooms -->`; a test compares it with what stands there.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- rooms -->", "<!-- /rooms -->"


def layers() -> list[list[str]]:
    """The rooms that are built, from the top row to the bottom one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rows,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    built = ([room for room in row.split(" | ") if not room.startswith("(")] for row in rows)
    return [row for row in built if row]


def answer(room: str) -> str:
    """The first line of a room's docstring."""
    package = ROOT / "blocklist" / room
    path = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text is not None, f"{path} says nothing of itself"
    return text.partition("\n")[0]


def table() -> str:
    """One line for each room; rooms in one row stand next to each other and have the same number."""
    lines = ["| row | room | what it answers |", "|---|---|---|"]
    for number, row in enumerate(layers(), 1):
        lines += [f"| {number} | `{room}` | {answer(room)} |" for room in row]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
