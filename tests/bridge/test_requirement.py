"""What is said without Transformers, or with one that is too old."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import gguf_lab as gl
from gguf_lab.bridge import requirement

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "models" / "llama"


def missing(_name: str) -> str:
    raise PackageNotFoundError


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (missing, r"needs the package transformers: pip install 'gguf-lab\[transformers\]'"),
        (lambda _: "4.57.6", r"needs transformers 5\.18 or newer, and 4\.57\.6 is installed"),
        (
            lambda _: "5.9.0.dev0",
            r"needs transformers 5\.18 or newer, and 5\.9\.0\.dev0 is installed: pip install",
        ),
    ],
)
def test_the_extra_is_named(found, words, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(requirement, "version", found)
    with pytest.raises(gl.GGUFLabError, match=f"to_transformers {words}"):
        gl.to_transformers(FOLDER / "llama-bf16.gguf")
    with pytest.raises(gl.GGUFLabError, match=f"export {words}"):
        gl.export(FOLDER / "hf", tmp_path / "a.gguf")
    with pytest.raises(gl.GGUFLabError, match=f"a plan for a checkpoint {words}"):
        gl.plan(FOLDER / "hf", target_bits_per_weight=4.5)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("found", ["5.18.0", "5.23.0", "6.0.0rc1"])
def test_newer_ones_are_taken(found, monkeypatch) -> None:
    monkeypatch.setattr(requirement, "version", lambda _: found)
    requirement.require_transformers("it")


def test_the_extra_asks_for_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = "transformers>=" + ".".join(map(str, requirement.OLDEST))
    assert wanted in project["optional-dependencies"]["transformers"]
    assert f"- {wanted}\n" in (ROOT / "binder" / "environment.yml").read_text("utf-8")
