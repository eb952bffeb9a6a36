"""Print the lifecycle of a measure as a Markdown table, for `docs/design.md`: `python tools/print_lifecycle.py`.

It goes between the lines `<!-- lifecycle -->` and `<!-- /lifecycle -->`; a test compares it with what stands there.
"""

from __future__ import annotations

from blocklist.register.lifecycle import LIFECYCLE

BEGIN, END = "<!-- lifecycle -->", "<!-- /lifecycle -->"


def table() -> str:
    """One row for each step: the state before it, the act, the state after it; what is not there is refused."""
    rows = ["| state | act | becomes |", "|---|---|---|"]
    for before in dict.fromkeys(state for state, _ in LIFECYCLE):
        rows += [f"| {before} | `{act}` | {after} |" for (state, act), after in LIFECYCLE.items() if state is before]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
