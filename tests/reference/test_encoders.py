"""What converters do to image and sound encoders."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import ComparisonError
from gguf_lab.reference.architectures.projectors.qwen import QWEN3VL
from gguf_lab.reference.facts import Facts
from gguf_lab.reference.transforms import (
    FoldedNorm,
    HalvesAdded,
    Permute,
    Pick,
    Reshape,
    Softplus,
    Third,
    Transformed,
)

from .support import ArrayRows


@pytest.mark.parametrize("size", [1, 2, 4])
def test_what_converters_do_to_encoders(size: int) -> None:
    """The same as NumPy does, in any chunks."""
    array = np.arange(6 * 3 * 2 * 4 * 5).astype(f"u{size}").reshape(6, 3, 2, 4, 5)
    vector = array.reshape(-1)[:12]
    cases: list[tuple[Any, np.ndarray, np.ndarray]] = [
        (Pick(2, 0, "frame 0"), array, array[:, :, 0]),
        (Pick(2, 1, "frame 1"), array, array[:, :, 1]),
        (Pick(0, 5, "the last"), array, array[5]),
        (Reshape((-1, 1), "a column"), vector, vector[:, None]),
        (Reshape((-1, 1, 1), "a column"), vector, vector[:, None, None]),
        (Reshape((0, -1), "flat"), array, array.reshape(6, -1)),
        (Reshape((-1,), "one row"), array, array.reshape(-1)),
        (Reshape((0, 1, 1, -1), "longer"), array[0, 0, 0], array[0, 0, 0][:, None, None]),
        (Reshape((0, 3, 5, 8), "moved"), array, array.reshape(6, 3, 5, 8)),
        (Reshape((18, -1, 5), "joined"), array, array.reshape(18, 8, 5)),
        (Permute((4, 0, 3, 2, 1), "permuted"), array, array.transpose(4, 0, 3, 2, 1)),
        *((Third(k), array, array[2 * k : 2 * k + 2]) for k in range(3)),
        *((Third(k), vector, vector[4 * k : 4 * k + 4]) for k in range(3)),
    ]
    for transform, source, expected in cases:
        rows = Transformed(transform, (ArrayRows(source),))
        assert rows.shape == expected.shape
        count = math.prod(expected.shape[:-1])
        whole = np.ascontiguousarray(expected).view(np.uint8).reshape(count, -1)
        for step in (1, 3, 7, count):
            parts = [rows.read(a, min(a + step, count)) for a in range(0, count, step)]
            assert np.array_equal(np.concatenate(parts), whole), (transform, step)
            assert rows.read(count, count).shape[0] == 0


@pytest.mark.parametrize(("dtype", "kind"), [("float16", "F16"), ("float32", "F32")])
def test_halves_are_added_in_their_own_format(dtype: str, kind: str) -> None:
    array = (np.arange(40) * 0.37).astype(dtype).reshape(5, 8)
    rows = Transformed(HalvesAdded("added"), (ArrayRows(array, kind),))
    assert (rows.shape, rows.dtype) == ((5, 4), kind)
    assert np.array_equal(rows.read(1, 4).view(dtype), array[1:4, :4] + array[1:4, 4:])


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (HalvesAdded(""), (4, 3)),
        (HalvesAdded(""), ()),
        (Pick(2, 1, ""), (4, 3, 1, 5)),
        (Pick(1, 0, ""), (4, 3)),
        (Reshape((0, 7), "cut"), (4, 3)),
        (Reshape((-1, 0), "cut"), (4,)),
        (Reshape((0, -1), "cut"), (0, 3)),
        (Permute((1, 0), ""), (4, 3, 2)),
        (Third(0), (4, 3)),
        (Third(0), ()),
    ],
)
def test_encoders_of_other_shapes(transform: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ComparisonError, match="shape"):
        transform.shape(shape)


def test_a_deepstack_layer_that_the_file_does_not_mark_has_no_name() -> None:
    row = next(row for row in QWEN3VL.rows if row.number)
    facts = Facts("clip", {"clip.vision.is_deepstack_layers": [False, True]}, {})
    assert row.name_for(facts, {"layer": "0"}) == "v.deepstack.1.norm.weight"
    assert row.name_for(facts, {"layer": "1"}) == "v.deepstack.?.norm.weight"
    assert row.name_for(replace(facts, metadata={}), {"layer": "0"}) == "v.deepstack.?.norm.weight"


@given(values=st.lists(st.floats(-80, 80, width=32), min_size=4, max_size=4))
def test_softplus_is_that_of_torch_and_can_be_undone(values: list[float]) -> None:
    weights = np.array(values, np.float32)
    rows = Transformed(Softplus(), (ArrayRows(weights),))
    result = rows.read(0, 1).view("f4")[0]
    torch = np.log1p(np.exp(weights.astype(np.float64)))
    np.testing.assert_array_max_ulp(result, torch.astype(np.float32), maxulp=1)
    back = Softplus().undo(result)
    np.testing.assert_allclose(back, weights, rtol=1e-6, atol=1e-6)
    assert np.isnan(Softplus().undo(np.float32([-1.0])))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_folded_norm_is_the_norm(dtype: str) -> None:
    """It does to any numbers what a batch norm does, but for rounding."""
    rng = np.random.default_rng(2)
    bias, mean, weight, variance = rng.uniform(0.1, 2, (4, 6)).astype(dtype)
    name = {"float16": "F16", "float32": "F32"}[dtype]
    rows = [ArrayRows(values, name) for values in (bias, mean, weight, variance)]
    factor = Transformed(FoldedNorm("factor"), (rows[2], rows[3]))
    summand = Transformed(FoldedNorm("summand"), tuple(rows))
    assert (factor.dtype, factor.shape, summand.shape) == (name, (6,), (6,))
    x = rng.normal(size=6)
    expected = (x - mean) / np.sqrt(variance.astype(np.float64) + 1e-5) * weight + bias
    got = x * factor.read(0, 1).view(dtype)[0] + summand.read(0, 1).view(dtype)[0]
    np.testing.assert_allclose(got, expected, atol={"F16": 1e-2, "F32": 1e-6}[name])
    with pytest.raises(ComparisonError, match="make no batch norm"):
        FoldedNorm("factor").shape((6,), (5,))
