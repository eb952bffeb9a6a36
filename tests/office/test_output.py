"""What commands write: tables that fit, colour, questions, progress."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from blocklist.cli.terminal import table_lines, urgent

ROWS = [("www.a-long-label.and-another.example", "host", "listed", "2027-02-14 23:59:59+01:00")] * 2


def widths(lines: list[str]) -> int:
    return max(len(click.unstyle(line)) for line in lines)


def test_a_table_that_fits_is_one_line_a_row():
    assert list(table_lines(("NAME", "N"), [("b.example", 10), ("a.example", 2)], 80)) == [
        "NAME       N",
        "b.example  10",
        "a.example  2",
    ]


def test_the_widest_column_goes_on_in_the_next_line():
    assert list(table_lines(("NAME", "STATE"), [("one two three four", "listed")], 19)) == [
        "NAME         STATE",
        "one two      listed",
        "three four",
    ]


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_no_table_is_wider_than_it_may_be_and_nothing_is_cut(width):
    rows = [*ROWS, ("x" * 220 + ".example", "domain", "lapsed", "-")]
    lines = list(table_lines(("NAME", "SCOPE", "STATE", "REVIEW BY"), rows, width))
    assert widths(lines) <= width
    assert "".join(lines).count("x") == 220 + "example".count("x") * 3


def test_a_name_breaks_behind_a_dot():
    lines = list(table_lines(("NAME", "N"), [("www.first.second.example", 1)], 20))
    assert [line.split()[0] for line in lines[1:]] == ["www.first.second.", "example"]


def test_names_in_a_row_break_between_them():
    lines = list(table_lines(("ABOUT",), [("site-0.example, site-1.example and 18 more",)], 22))
    assert lines[1:] == ["site-0.example,", "site-1.example and 18", "more"]


def test_an_empty_table_is_its_header():
    assert list(table_lines(("NAME", "STATE"), [], 80)) == ["NAME  STATE"]


def test_a_row_has_as_many_cells_as_there_are_titles():
    with pytest.raises(ValueError, match="zip"):
        list(table_lines(("NAME", "STATE"), [("one",)], 80))


def test_wide_characters_take_two_places_and_marks_none():
    lines = list(table_lines(("NAME", "N"), [("例え.test", 1), ("e\u0301.test", 2)], 80))
    assert lines == ["NAME       N", "例え.test  1", "e\u0301.test     2"]


def test_each_line_of_a_coloured_cell_is_coloured():
    _header, *lines = table_lines(("STATE", "N"), [(urgent("overdue since yesterday"), 1)], 12)
    assert [click.unstyle(line).split("  ")[0] for line in lines] == ["overdue", "since", "yesterday"]
    assert all(line.startswith("\x1b[") and "\x1b[0m" in line for line in lines)


# On a real terminal

SCRIPT = """
import sys
from blocklist.cli.terminal import progress
with progress("counting", 3) as advance:
    for _ in range(3):
        advance(1)
sys.stdout.write("done")
"""


def run_on_a_terminal(*words: str, typed: str = "", **variables: str) -> str:
    """What a program writes to its terminal."""
    master, slave = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTHONPATH")}
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "xterm", **variables}
    )
    os.close(slave)
    os.write(master, typed.encode())
    written = b""
    try:
        while part := os.read(master, 4096):
            written += part
    except OSError:
        pass  # how Linux says that nobody writes to the terminal any more
    finally:
        os.close(master)
    process.wait()
    return written.decode()


def blocklist(*words: str, **rest: str) -> str:
    return run_on_a_terminal(sys.executable, "-m", "blocklist", *words, **rest)


def test_an_error_is_coloured_on_a_terminal():
    written = blocklist("pull", "--no-such-option")
    assert "\x1b[31m\x1b[1merror\x1b[0m" in written
    assert "blocklist: error: No such option" in click.unstyle(written)


@pytest.mark.parametrize("words, variables", [(["pull"], {"NO_COLOR": "1"}), (["pull", "--json"], {})])
def test_nothing_is_coloured_when_it_was_asked_so(words, variables):
    written = blocklist(*words, "--no-such-option", **variables)
    assert "\x1b" not in written
    assert "error: No such option" in written


def test_an_empty_no_color_means_nothing():
    assert "\x1b[31m" in blocklist("pull", "--no-such-option", NO_COLOR="")


def test_nothing_is_coloured_in_a_pipe(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "blocklist", "-C", str(tmp_path), "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "\x1b" not in done.stderr


def test_short_work_shows_no_progress():
    assert run_on_a_terminal(sys.executable, "-c", SCRIPT).strip() == "done"


def test_long_work_shows_how_far_it_is():
    script = SCRIPT.replace("import sys", "import sys\nimport blocklist.cli.terminal as o\no._PATIENCE = 0", 1)
    written = run_on_a_terminal(sys.executable, "-c", script)
    assert "counting" in written
    assert "100%" in written


def test_progress_is_nothing_where_there_is_no_terminal():
    script = SCRIPT.replace("import sys", "import sys\nimport blocklist.cli.terminal as o\no._PATIENCE = 0", 1)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done", "")


QUESTION = (
    "from blocklist.base import i18n; i18n.use('{}'); from blocklist.cli.terminal import agreed; print(agreed('Go?'))"
)


@pytest.mark.parametrize(
    "language, typed, answer",
    [("en", "y\n", True), ("en", "\n", False), ("en", "o\nNO\n", False), ("fr", "oui\n", True), ("fr", "Y\n", True),
     ("fr", "peut-être\nnon\n", False)],
)  # fmt: skip
def test_a_question_is_answered_in_the_language_it_is_asked_in(language, typed, answer):
    written = run_on_a_terminal(sys.executable, "-c", QUESTION.format(language), typed=typed)
    assert written.split()[-1] == str(answer)
    assert ("[o/N]" if language == "fr" else "[y/N]") in written
