"""Transforms: formulas of the converter, read in any chunks, reading no more than needed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_lab.errors import ComparisonError
from gguf_lab.reference.transforms import (
    AsStored,
    Part,
    Stack,
    Transform,
    Transformed,
    UnpermuteRotary,
)

from .support import ArrayRows


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape).astype(dtype)


def permute(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """The formula of llama.cpp's LlamaModel.permute, in numpy."""
    shape = (n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)


def whole(rows: Transformed) -> np.ndarray:
    return rows.read(0, math.prod(rows.shape[:-1]))


def equal(rows: np.ndarray, expected: np.ndarray) -> bool:
    return rows.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_rotary_by_hand() -> None:
    # one head of four rows: halves (0, 1), (2, 3) become pairs (0, 2), (1, 3)
    rows = Transformed(UnpermuteRotary(1), (ArrayRows(array(4, 1)),))
    assert whole(rows).view("f4").ravel().tolist() == [0, 2, 1, 3]


def test_rotary_bias_by_hand() -> None:
    # two heads of four elements
    rows = Transformed(UnpermuteRotary(2), (ArrayRows(array(8)),))
    assert rows.read(0, 1).view("f4").tolist() == [[0, 2, 1, 3, 4, 6, 5, 7]]
    assert rows.read(1, 1).shape == (0, 32)


@given(
    heads=st.integers(1, 5),
    half=st.integers(1, 4),
    rest=st.sampled_from([(), (1,), (3,), (2, 3)]),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
)
def test_rotary_is_the_converters_formula(
    heads: int, half: int, rest: tuple[int, ...], dtype: str
) -> None:
    weights = array(heads * 2 * half, *rest, dtype=dtype)
    rows = Transformed(UnpermuteRotary(heads), (ArrayRows(weights),))
    assert rows.shape == weights.shape
    assert equal(whole(rows), permute(weights, heads))


def test_rotary_reads_only_the_heads_it_needs() -> None:
    source = ArrayRows(array(40, 3))  # five heads of eight rows
    rows = Transformed(UnpermuteRotary(5), (source,))
    part = rows.read(17, 23)
    assert equal(part, permute(source.array, 5)[17:23])
    assert source.asked == [(16, 24)]


@pytest.mark.parametrize(("shape", "heads"), [((6, 2), 4), ((9,), 3), ((), 1), ((4, 4), 0)])
def test_rotary_refuses_heads_that_do_not_divide(shape: tuple[int, ...], heads: int) -> None:
    with pytest.raises(ComparisonError, match="rotary halves"):
        UnpermuteRotary(heads).shape(shape)


def test_rotary_of_nothing() -> None:
    rows = Transformed(UnpermuteRotary(2), (ArrayRows(array(0, 3)),))
    assert whole(rows).shape == (0, 12)


@given(experts=st.integers(1, 4), shape=st.sampled_from([(3,), (2, 3), (2, 2, 3)]))
def test_stack_is_numpys(experts: int, shape: tuple[int, ...]) -> None:
    arrays = [array(*shape) + 100 * i for i in range(experts)]
    rows = Transformed(Stack(experts), tuple(map(ArrayRows, arrays)))
    assert rows.shape == (experts, *shape)
    assert equal(whole(rows), np.stack(arrays))


def test_stack_reads_only_the_experts_it_needs() -> None:
    sources = tuple(ArrayRows(array(4, 3)) for _ in range(3))
    Transformed(Stack(3), sources).read(6, 8)
    assert [s.asked for s in sources] == [[], [(2, 4)], []]


def test_stack_refuses_different_shapes_and_types() -> None:
    with pytest.raises(ComparisonError, match="different shapes"):
        Stack(2).shape((2, 3), (3, 2))
    with pytest.raises(ComparisonError, match="different types"):
        Stack(2).dtype("F16", "BF16")


def test_part_is_a_slice() -> None:
    source = ArrayRows(array(6, 2))
    rows = Transformed(Part(2, None, "rows from 2 on"), (source,))
    assert rows.shape == (4, 2)
    assert equal(rows.read(1, 3), source.array[3:5])


@pytest.mark.parametrize("part", [Part(7, None, ""), Part(0, 7, ""), Part(4, 3, "")])
def test_part_refuses_rows_that_are_not_there(part: Part) -> None:
    with pytest.raises(ComparisonError, match="has no rows"):
        part.shape((6, 2))


def test_contiguous_rows_stay_views() -> None:
    source = ArrayRows(array(6, 2))
    base = source.array.view(np.uint8)
    for transform in (AsStored(), Part(1, None, "")):
        assert np.shares_memory(Transformed(transform, (source,)).read(1, 4), base)
    assert np.shares_memory(Transformed(Stack(2), (source, source)).read(1, 4), base)


def test_words_of_nested_transforms() -> None:
    inner = tuple(Transformed(UnpermuteRotary(2), (ArrayRows(array(8, 2)),)) for _ in range(3))
    rows = Transformed(Stack(3), inner)
    assert rows.words == "rows un-permuted for rotary halves, 2 heads; experts 0-2 stacked"
    assert Transformed(AsStored(), (ArrayRows(array(1)),)).words == ""


@settings(deadline=None)
@given(
    case=st.sampled_from(
        [
            (AsStored(), [array(12, 3)]),
            (UnpermuteRotary(3), [array(12, 3)]),
            (UnpermuteRotary(2), [array(8, 3, 2)]),
            (Stack(3), [array(4, 3), array(4, 3) + 50, array(4, 3) + 90]),
            (Part(2, 11, ""), [array(12, 3)]),
        ]
    ),
    cuts=st.lists(st.integers(0, 24), max_size=5),
)
def test_chunks_make_the_whole(case: tuple[Transform, list[np.ndarray]], cuts: list[int]) -> None:
    transform, arrays = case
    rows = Transformed(transform, tuple(map(ArrayRows, arrays)))
    n_rows = math.prod(rows.shape[:-1])
    marks = sorted({0, n_rows, *(min(c, n_rows) for c in cuts)})
    parts = [rows.read(a, b) for a, b in itertools.pairwise(marks)]
    assert all(p.dtype == np.uint8 for p in parts)
    assert np.array_equal(np.concatenate(parts), whole(rows))
