"""Tensors without a weight, in up to 2**60 rows: nothing loops over those or makes room."""

from __future__ import annotations

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.quantization.imatrix import portions

from .file.builders import F32, small

ROWS = 1 << 59


@pytest.fixture
def empty(tmp_path):
    builder = small().key("llama.block_count", "uint32", 1)
    return builder.tensor("blk.0.attn_q.weight", [0, ROWS], F32).write(tmp_path / "empty.gguf")


def test_they_are_read_compared_and_checked(empty):
    with gl.open(empty) as model:
        tensor = model.tensor("blk.0.attn_q.weight")
        assert tensor.to_numpy().shape == (ROWS, 0)
        assert tensor.dequantize(slice(0, 3)).shape == (3, 0)
        result = gl.compare(model, model, progress=False)
        assert [row.status for row in result.rows] == ["compared"] * 3
        assert [row.n_elements for row in result.rows] == [4, 16, 0]
        gl.check(model, model, progress=False)


@pytest.mark.parametrize("qtype", ["F32", "F16", "Q8_0"])
def test_they_are_written(empty, qtype, tmp_path):
    gl.requantize(empty, tmp_path / "new.gguf", qtype, progress=False)
    with gl.open(tmp_path / "new.gguf") as model:
        assert model.tensor("blk.0.attn_q.weight").shape == (ROWS, 0)


def test_they_are_planned_and_rated(empty):
    plan = gl.plan(empty, target_bits_per_weight=32, progress=False)
    assert plan.to_frame()["name"].tolist() == ["a", "b", "blk.0.attn_q.weight"]


def test_they_are_exported_in_no_portion():
    assert not list(portions((ROWS, 0), None))
    assert not list(portions((4, ROWS, 0), np.ones((4, 0), np.float32)))
