"""``gguf-lab compare --fail-above``: limits for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab import cli
from gguf_lab.cli.compare import _is_worse

from ..checks.variants import LLAMA, MODELS, Q4_K_M, variant

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = str(MODELS / "llama-256" / "hf")


@pytest.fixture(scope="module")
def compared() -> Any:
    return gl.compare(Q4_K_M, REFERENCE, progress=False)


@pytest.mark.parametrize(
    ("figure", "limit", "worse"),
    [
        ("sqnr_db", 21.0, lambda value, limit: value < limit),
        ("cosine", 0.9955, lambda value, limit: value < limit),
        ("relative_rmse", 0.05, lambda value, limit: value > limit),
        ("max_abs_error", 0.02, lambda value, limit: value > limit),
    ],
)
def test_the_tensors_that_fail_are_named(
    figure: str, limit: float, worse: Any, compared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = [row for row in compared.compared if worse(getattr(row, figure), limit)]
    assert 0 < len(failing) < len(compared.compared)  # else nothing is tested
    arguments = ["compare", str(Q4_K_M), REFERENCE, "--fail-above", f"{figure}={limit}"]
    assert cli.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    side = "below" if figure in {"sqnr_db", "cosine"} else "above"
    assert [line.split(": ")[1] for line in lines] == [row.name for row in failing]
    for line, row in zip(lines, failing, strict=True):
        assert line.endswith(f": {figure} {getattr(row, figure):.6g} is {side} {limit:g}")


def test_limits_that_are_kept_are_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--fail-above", "sqnr_db=15", "--fail-above", "n_nan=0"]
    assert cli.main(["compare", str(Q4_K_M), REFERENCE, *limits]) == 0
    assert capsys.readouterr().err == ""


def test_one_of_several_limits_is_enough(compared: Any, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--fail-above", "relative_rmse=0.05", "--fail-above", "n_nan=0", "--json"]
    assert cli.main(["compare", str(Q4_K_M), REFERENCE, *limits]) == 1
    failures = json.loads(capsys.readouterr().out)["failures"]
    expected = [row for row in compared.compared if row.relative_rmse > 0.05]
    assert [f["name"] for f in failures] == [row.name for row in expected]
    assert failures[0] == {
        "name": expected[0].name,
        "figure": "relative_rmse",
        "value": expected[0].relative_rmse,
        "limit": 0.05,
    }


@pytest.mark.parametrize("figure", ["sqnr_db", "cosine", "relative_rmse", "rmse", "max_abs_error"])
def test_nan_is_worse_than_any_limit(figure: str) -> None:
    assert _is_worse(float("nan"), figure, float("-inf"))
    assert _is_worse(float("nan"), figure, float("inf"))
    assert not _is_worse(1.0, figure, 1.0)  # the limit itself is kept


def test_zeros_that_are_exact_keep_every_limit(tmp_path: Path, capsys: Any) -> None:
    """Their relative figures are undefined: nothing divided by nothing."""

    def zero(raw: Any) -> None:
        raw[:] = 0

    path = variant(LLAMA, tmp_path / "zeros.gguf", values={"blk.1.ffn_norm.weight": zero})
    limits = [f"--fail-above={figure}" for figure in ("relative_rmse=0", "sqnr_db=99", "cosine=1")]
    assert cli.main(["compare", str(path), str(path), *limits]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["compare", str(LLAMA), str(path), *limits]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert {line.split(": ")[1] for line in lines} == {"blk.1.ffn_norm.weight"}


@pytest.mark.parametrize("text", ["sqnr=20", "sqnr_db", "sqnr_db=", "sqnr_db=many", "cosine=nan"])
def test_a_limit_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["compare", "a.gguf", "b", "--fail-above", text])
    assert caught.value.code == 2
    assert f"{text} is not FIGURE=LIMIT" in capsys.readouterr().err


def test_help_says_which_direction_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "are: above it, but BELOW it for sqnr_db and cosine, where high is good" in words
