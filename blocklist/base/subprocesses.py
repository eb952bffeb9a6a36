"""Starting a command that the operator wrote down: without a shell, within a time, with what it printed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from blocklist.base.i18n import _


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: what went wrong in one sentence, or nothing, and what it printed."""

    problem: str
    output: str = ""


def run(command: list[str], seconds: float, text: bytes = b"") -> Ran:
    """Run a command in the environment of this process.

    Args:
        command: Program and arguments.
        seconds: How long it may take.
        text: What it reads from standard input.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return Ran(_("{program} did not end within {seconds} seconds", program=command[0], seconds=seconds))
    except (OSError, ValueError) as fault:
        strerror = getattr(fault, "strerror", None)
        return Ran(_("{program}: {problem}", program=command[0], problem=strerror or fault))
    output = b"\n".join(filter(None, (done.stdout.strip(), done.stderr.strip()))).decode(errors="replace")
    if done.returncode == 0:
        return Ran("", output)
    last = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-1:]
    said = f": {last[0][:200]}" if last else ""
    return Ran(_("{program} exited with {code}{said}", program=command[0], code=done.returncode, said=said), output)
