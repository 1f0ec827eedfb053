"""Transforms for linear attention and mamba2: the converter's formulas, in NumPy, in any chunks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import ComparisonError
from gguf_lab.reference.facts import Facts
from gguf_lab.reference.transforms import (
    Cut,
    GroupParts,
    Tiled,
    TiledColumns,
    Transform,
    Transformed,
)

from .support import ArrayRows

FEW = st.integers(1, 4)


def numbers(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def tile(values: np.ndarray, groups: int, members: int, size: int) -> np.ndarray:
    """The formula of the converter's ``_reorder_v_heads`` along the first dimension."""
    rest = values.shape[1:]
    return values.reshape(groups, members, size, *rest).swapaxes(0, 1).reshape(-1, *rest)


def check(transform: Transform, source: np.ndarray, expected: np.ndarray, cut: int) -> None:
    rows = Transformed(transform, (ArrayRows(source),))
    assert rows.shape == expected.shape
    n = math.prod(expected.shape[:-1])
    cut = min(cut, n)
    parts = np.concatenate([rows.read(0, cut), rows.read(cut, n)])
    assert parts.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert len(rows.read(cut, cut)) == 0


@given(FEW, FEW, FEW, FEW, FEW, st.integers(0, 9))
def test_parts_of_groups(groups: int, key: int, value: int, columns: int, n: int, cut: int) -> None:
    sizes = (key, key, n * value, n * value)
    source = numbers(groups * sum(sizes), columns)
    grouped = source.reshape(groups, sum(sizes), columns)
    q, k, v, z = np.split(grouped, np.cumsum(sizes)[:-1], axis=1)
    apart = np.concatenate([part.reshape(-1, columns) for part in (q, k, v)])
    check(GroupParts(groups, sizes, 0, 3, "q, k, v"), source, apart, cut)
    check(GroupParts(groups, sizes, 3, 4, "z"), source, z.reshape(-1, columns), cut)


@given(FEW, FEW, FEW, st.integers(0, 5), FEW, st.integers(0, 9))
def test_tiles(groups: int, members: int, size: int, fixed: int, columns: int, cut: int) -> None:
    moved = groups * members * size
    matrix, vector = numbers(fixed + moved, columns), numbers(fixed + moved)
    tiled = Tiled(groups, members, size, fixed)
    for source in (matrix, vector):
        expected = np.concatenate([source[:fixed], tile(source[fixed:], groups, members, size)])
        check(tiled, source, expected, cut)
    turned = numbers(columns, moved)
    expected = tile(turned.T, groups, members, size).T
    check(TiledColumns(Tiled(groups, members, size)), turned, expected, cut)


@given(FEW, FEW, st.integers(0, 9))
def test_vectors_cut_into_rows(rows: int, size: int, cut: int) -> None:
    source = numbers(rows * size)
    check(Cut(size), source, source.reshape(rows, size), cut)


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (Cut(3), (4,)),
        (Cut(0), (4,)),
        (Cut(1), (4, 1)),
        (GroupParts(2, (1, 2), 0, 1, ""), (7, 3)),
        (GroupParts(2, (1, 2), 0, 1, ""), (6,)),
        (GroupParts(0, (1, 2), 0, 1, ""), (0, 3)),
        (Tiled(2, 3, 4), (23,)),
        (Tiled(2, 3, 4, 1), (24, 2)),
        (TiledColumns(Tiled(2, 3, 4)), (24, 23)),
    ],
)
def test_shapes_that_do_not_suit(transform: Transform, shape: tuple[int, ...]) -> None:
    with pytest.raises(ComparisonError):
        transform.shape(shape)


@pytest.mark.parametrize(
    ("metadata", "config", "layer", "contradicts"),
    [
        # llama.cpp's file counts the layer that predicts, config.json says so or doesn't
        ({"x.block_count": 5, "x.nextn_predict_layers": 1}, {"num_hidden_layers": 4}, 4, False),
        ({"x.block_count": 5}, {"num_hidden_layers": 4, "mtp_num_hidden_layers": 1}, 4, False),
        ({"x.block_count": 4}, {"num_hidden_layers": 4, "mtp_num_hidden_layers": 1}, 4, False),
        ({"x.block_count": 5, "x.nextn_predict_layers": 1}, {}, 4, False),
        ({"x.block_count": 5}, {"num_hidden_layers": 4}, 4, True),
        ({"x.block_count": 6, "x.nextn_predict_layers": 1}, {"num_hidden_layers": 4}, 4, True),
        ({}, {}, None, False),
    ],
)
def test_layers_that_predict_further_tokens(
    metadata: dict[str, object], config: dict[str, object], layer: int | None, contradicts: bool
) -> None:
    facts = Facts.of("x", metadata, config)
    assert facts.next_layer() == layer
    assert bool(facts.disagreements()) == contradicts
