"""``gguf-lab compare --imatrix``: errors weighted by an importance matrix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab import cli

from ..checks.variants import MODELS, Q4_K_M

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = str(MODELS / "llama-256" / "hf")
NAMES = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight")
FIGURE = "weighted_relative_rmse"


@pytest.fixture
def imatrix(tmp_path: Path) -> Path:
    path, rng = tmp_path / "imatrix.gguf", np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    with gl.open(Q4_K_M) as model:
        for name in NAMES:
            sums = rng.gamma(1, 1, model.tensor(name).row_values).astype(np.float32)
            writer.add_tensor(f"{name}.in_sum2", sums)
            writer.add_tensor(f"{name}.counts", np.ones(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_weighted_error_is_a_column_more(
    imatrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = gl.compare(Q4_K_M, REFERENCE, importance=imatrix, progress=False)
    arguments = ["compare", str(Q4_K_M), REFERENCE, "--imatrix", str(imatrix)]
    assert cli.main([*arguments, "--json", "--sort", FIGURE]) == 0
    rows = json.loads(capsys.readouterr().out)["tensors"]
    known = [row["name"] for row in rows if row[FIGURE] is not None]
    assert sorted(known) == sorted(NAMES)
    assert [row["name"] for row in rows[:2]] == known  # the others have none and come last
    assert rows[0][FIGURE] > rows[1][FIGURE]
    for row in rows:
        assert row[FIGURE] == expected[row["name"]].weighted_relative_rmse
    assert cli.main(arguments) == 0
    assert FIGURE in capsys.readouterr().out.splitlines()[0]


def test_a_limit_holds_for_what_the_matrix_has(
    imatrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(Q4_K_M), REFERENCE, "--imatrix", str(imatrix), "--json"]
    assert cli.main([*arguments, "--fail-above", f"{FIGURE}=1e-6"]) == 1
    failures = json.loads(capsys.readouterr().out)["failures"]
    assert {failure["name"] for failure in failures} == set(NAMES)
    assert cli.main([*arguments, "--fail-above", f"{FIGURE}=1"]) == 0


@pytest.mark.parametrize("option", [["--sort", FIGURE], ["--fail-above", f"{FIGURE}=0.1"]])
def test_it_is_not_asked_without_a_matrix(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(Q4_K_M), REFERENCE, *option]) == 2
    assert "give --imatrix FILE" in capsys.readouterr().err
    assert cli.main(["compare", str(Q4_K_M), REFERENCE]) == 0
    assert FIGURE not in capsys.readouterr().out
