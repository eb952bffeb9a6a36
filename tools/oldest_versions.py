"""Print the lowest version that pyproject.toml allows of each package the program needs, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    for line in (*project["dependencies"], *optional["hsm"], *optional["postgres"]):
        name, lowest = re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z]+\])?>=([0-9.]+)(?:,<[0-9.]+)?", line).groups()
        print(f"{name}=={lowest}")


if __name__ == "__main__":
    main()
