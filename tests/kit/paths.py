"""Where the project's own files are."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
