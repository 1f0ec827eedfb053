"""Print constraints: the oldest versions that pyproject.toml allows (see `make test-oldest`)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
WANTED = ("transformers", "dask", "test")  # extras


def oldest(project: dict, pinned: str) -> dict[str, str]:
    """Versions by name; of what the constraints of the Makefile pin, theirs."""
    extras = project["optional-dependencies"]
    found: dict[str, str] = {}
    for line in [*project["dependencies"], *(line for name in WANTED for line in extras[name])]:
        if asked := re.match(r"([\w-]+)>=([\d.]+)", line):
            found[asked[1]] = max(found.get(asked[1], "0"), asked[2], key=_numbers)
    return found | dict(re.findall(r"^([\w-]+)==([\d.]+)", pinned, re.MULTILINE))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    for name, version in oldest(content["project"], pins).items():
        print(f"{name}=={version}")
