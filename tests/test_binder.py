"""Binder's files repeat what pyproject.toml says, because conda cannot read it. They must agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = (ROOT / "binder" / "environment.yml").read_text(encoding="utf-8")

# the name on PyPI -> the name on conda-forge, where they differ
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def stated():
    """The requirements of environment.yml, of conda and of pip alike."""
    return re.findall(r"^ +- ([a-z0-9-]+[=><.0-9]*)$", ENVIRONMENT, re.MULTILINE)


@pytest.mark.parametrize("requirement", project()["dependencies"])
def test_every_dependency_is_there_with_the_same_range(requirement):
    name, operator, version = requirement.partition(">=")
    assert f"{CONDA.get(name, name)}{operator}{version}" in stated()


def test_the_python_is_one_that_the_package_allows():
    (version,) = re.findall(r"- python=3\.(\d+)$", ENVIRONMENT, re.MULTILINE)
    assert project()["requires-python"] == ">=3.11"
    assert int(version) >= 11


def test_post_build_runs_and_installs_without_dependencies(tmp_path):
    """Run the script with a `python` that only tells what pip would have been asked to do."""
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\nif [ "$1" = - ]; then exec "$REAL_PYTHON" -; fi\necho "$@" >> "$CALLS"\n'
    )
    fake.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "REAL_PYTHON": sys.executable,
        "CALLS": str(calls),
    }
    subprocess.run([str(script)], cwd=ROOT, env=environment, check=True)
    assert calls.read_text().splitlines() == [
        "-m pip install --no-deps --no-build-isolation .",
        f"-m pip install --no-deps {' '.join(project()['optional-dependencies']['demo'])}",
    ]


def test_post_build_stops_at_the_first_error():
    lines = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
