"""What converters do to image and sound encoders."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gguf_lab.errors import ComparisonError
from gguf_lab.reference.architectures.projectors.qwen import QWEN3VL
from gguf_lab.reference.facts import Facts
from gguf_lab.reference.transforms import (
    FoldedBatchNorm,
    HalvesAdded,
    Permute,
    Pick,
    Reshape,
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
    row = next(row for row in QWEN3VL.rows if row.layers)
    facts = Facts("clip", {"clip.vision.is_deepstack_layers": [False, True]}, {})
    assert row.name_for(facts, {"layer": "0"}) == "v.deepstack.1.norm.weight"
    assert row.name_for(facts, {"layer": "1"}) == "v.deepstack.?.norm.weight"
    assert row.name_for(replace(facts, metadata={}), {"layer": "0"}) == "v.deepstack.?.norm.weight"


@pytest.mark.parametrize(("qtype", "dtype"), [("F16", "float16"), ("F32", "float32")])
def test_batch_norms_are_folded(qtype: str, dtype: str) -> None:
    """The converter's formula, in its type, in any chunks."""
    weight, variance, bias, mean = np.array(
        [[0.7, -1.1, 0], [0.3, 2.5, 0], [0.11, 0.5, -3], [-0.9, 0.25, 7]], dtype
    )
    scale = (weight / np.sqrt((variance + np.float32(1e-5)).astype(dtype))).astype(dtype)
    shift = bias - (mean * scale).astype(dtype)
    sources = tuple(ArrayRows(array, qtype) for array in (weight, variance, bias, mean))
    for of, n, expected in (("weight", 2, scale), ("bias", 4, shift)):
        rows = Transformed(FoldedBatchNorm.of_all(of, n), sources[:n])
        assert (rows.shape, rows.dtype) == ((3,), qtype)
        assert rows.words.startswith(f"{of} of a batch norm")
        np.testing.assert_array_equal(rows.read(0, 1).view(dtype)[0], expected)
        assert rows.read(1, 1).shape == (0, 3 * expected.itemsize)


def test_batch_norms_need_all_their_parts() -> None:
    for of, shapes in (("weight", ((3,),)), ("bias", ((3,), (3,))), ("weight", ((3,), (4,)))):
        with pytest.raises(ComparisonError, match="are not those of weight, running_var"):
            FoldedBatchNorm(of).shape(*shapes)
