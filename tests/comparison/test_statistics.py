from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_lab.codec import FORMATS
from gguf_lab.comparison import Statistics
from gguf_lab.comparison.kernels import measure_fused
from gguf_lab.comparison.on_device import measure_on_device
from gguf_lab.comparison.statistics import measure
from gguf_lab.errors import ComparisonError

FIGURES = ("ee", "rr", "xx", "xr", "abs_e", "peak")


def same(a: Statistics, b: Statistics, relative: float) -> None:
    assert (a.n, a.n_nan, a.n_inf) == (b.n, b.n_nan, b.n_inf)
    assert (a.counts == b.counts).all()
    scale = {"xr": math.sqrt(b.xx) * math.sqrt(b.rr)}
    for name in FIGURES:
        got, want = getattr(a, name), getattr(b, name)
        if math.isnan(want) or math.isinf(want):
            assert got == want or (math.isnan(got) and math.isnan(want)), name
        else:
            assert abs(got - want) <= relative * scale.get(name, abs(want)), name


def sides(qtype: str, dtype: str, n_rows: int, seed: int, scale: float = 1.0):
    """Random blocks (sane scales) of a type, and a reference not far from their values."""
    from gguf_lab import dequantize

    rng = np.random.default_rng(seed)
    fmt, plain = FORMATS[qtype], FORMATS[dtype]
    if fmt.plain():
        x = (rng.standard_t(4, (n_rows, 96)) * scale).astype(np.float32)
        blocks = encode(x, qtype)
    else:
        blocks = rng.integers(0, 256, (n_rows, 3 * fmt.qtype.type_size), dtype=np.uint8)
        whole = blocks.reshape(-1, fmt.qtype.type_size)
        for field in fmt.fields:  # halves between 2**-7 and 2**-3
            if field.kind == "f16":
                whole[:, field.offset + 1] = 0x20 | (whole[:, field.offset + 1] & 0x0F)
    x = dequantize(blocks, qtype, backend="numpy")
    r = (x * (1 + rng.normal(0, 0.05, x.shape)) + rng.normal(0, 0.01 * scale, x.shape)).astype("f4")
    rows = encode(r, dtype)
    assert rows.shape[1] == x.shape[1] * plain.qtype.type_size
    return (qtype, blocks), (dtype, rows)


def encode(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (np.ascontiguousarray(x).view(np.uint32) >> 16).astype("<u2").view(np.uint8)
    return x.astype({"F32": "<f4", "F16": "<f2"}[dtype]).view(np.uint8)


def plain_way(weights, reference) -> Statistics:
    from gguf_lab import dequantize

    return measure(
        *(dequantize(rows, qtype, backend="numpy") for qtype, rows in (weights, reference))
    )


@settings(max_examples=25)
@given(
    qtype=st.sampled_from(["Q4_0", "Q8_0", "Q4_K", "Q6_K", "F32", "BF16"]),
    dtype=st.sampled_from(["F32", "BF16"]),
    n_rows=st.integers(1, 700),
    seed=st.integers(0, 1000),
)
def test_the_fused_kernel_equals_the_plain_path(qtype, dtype, n_rows, seed):
    pair = sides(qtype, dtype, n_rows, seed)
    same(measure_fused(*pair), plain_way(*pair), 1e-6)


def blocks_of(qtype: str, n_rows: int, seed: int) -> tuple[str, np.ndarray]:
    """Random blocks of 768 weights to a row."""
    rng, fmt = np.random.default_rng(seed), FORMATS[qtype]
    if fmt.plain():
        return qtype, encode(rng.normal(0, 0.1, (n_rows, 768)).astype("f4"), qtype)
    blocks = 768 // fmt.qtype.block_size
    rows = rng.integers(0, 256, (n_rows, blocks * fmt.qtype.type_size), np.uint8)
    whole = rows.reshape(-1, fmt.qtype.type_size)
    for field in fmt.fields:
        if field.kind == "f16":
            whole[:, field.offset + 1] = 0x20 | (whole[:, field.offset + 1] & 0x0F)
    return qtype, rows


@settings(max_examples=25)
@given(
    qtypes=st.tuples(*[st.sampled_from(["Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16", "F32"])] * 2),
    n_rows=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_both_sides_may_be_quantized(qtypes, n_rows, seed):
    """Blocks of one side may lie across those of the other."""
    pair = [blocks_of(qtype, n_rows, seed + i) for i, qtype in enumerate(qtypes)]
    same(measure_fused(*pair), plain_way(*pair), 1e-6)


def test_what_is_small_beside_the_first_weights_of_each_lane_is_not_lost():
    """Each step adds less than half a unit in the last place of what is there."""
    large, small = np.full(1 << 10, 0.5, "f4"), np.full(63 << 10, 0.99 * 2.0**-13, "f4")
    weights = np.concatenate([large, small]).reshape(64, -1)
    pair = [("F32", encode(values, "F32")) for values in (weights, -weights)]
    for sides in (pair, pair[::-1]):
        same(measure_fused(*sides), plain_way(*sides), 1e-6)


@pytest.mark.parametrize("qtype", ["Q4_0", "Q6_K"])
def test_a_quantized_tensor_is_itself_exactly(qtype):
    pair = [blocks_of(qtype, 30, 1)] * 2
    for statistics in (measure_fused(*pair), measure_on_device(*pair, "cpu")):
        assert statistics.ee == statistics.peak == statistics.abs_e == 0
        assert statistics.rr > 0


def test_a_torch_device_takes_a_quantized_reference():
    pair = blocks_of("F16", 30, 3), blocks_of("Q4_K", 30, 4)
    same(measure_on_device(*pair, "cpu"), plain_way(*pair), 1e-12)


@pytest.mark.parametrize("qtype", ["Q4_0", "Q4_K", "F16"])
def test_a_torch_device_equals_the_plain_path(qtype):
    pair = sides(qtype, "F16", 300, 3)
    same(measure_on_device(*pair, "cpu"), plain_way(*pair), 1e-12)


@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e18, 1e25])
def test_tiny_and_huge_weights_keep_their_precision(scale):
    """float32 squares would underflow or overflow: those parts are summed in float64."""
    pair = sides("F32", "F32", 50, 1, scale)
    result = measure_fused(*pair)
    same(result, plain_way(*pair), 1e-6)
    assert 0 < result.relative_rmse < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_one_weight_that_is_no_number_is_counted_and_not_hidden(bad, side):
    values = np.random.default_rng(0).normal(0, 1, (2, 40, 64)).astype(np.float32)
    values[side, 17, 5] = bad
    pair = [("F32", v.view(np.uint8)) for v in values]
    for statistics in (measure_fused(*pair), measure_on_device(*pair, "cpu")):
        assert (statistics.n_nan, statistics.n_inf) == ((1, 0) if np.isnan(bad) else (0, 1))
        assert not math.isfinite(statistics.rmse)
        assert statistics.counts.sum() == 40 * 64 - statistics.n_nan
        same(statistics, plain_way(*pair), 1e-12)


def test_exact_equality_is_exact():
    rows = np.random.default_rng(0).normal(0, 1, (9, 96)).astype(np.float32).view(np.uint8)
    result = measure_fused(("F32", rows), ("F32", rows))
    assert result.ee == result.peak == result.abs_e == 0
    assert result.sqnr_db == math.inf
    assert result.relative_rmse == 0
    assert result.cosine == pytest.approx(1, abs=1e-7)
    assert result.counts[len(result.counts) // 2] == 9 * 96


def test_an_all_zero_reference_has_no_relative_figures():
    zero = np.zeros((4, 128), np.uint8)
    result = measure_fused(("F32", zero), ("F32", zero))
    assert result.rmse == 0
    assert math.isnan(result.relative_rmse)
    assert math.isnan(result.sqnr_db)
    assert math.isnan(result.cosine)


def test_infinities_of_both_signs_warn_of_nothing():
    """In lanes of their own, so that only the sum over these meets both."""
    rows = np.ones((1, 512), np.float32)
    rows[0, 1], rows[0, 2] = np.inf, -np.inf
    pair = ("F32", rows.view(np.uint8)), ("F32", np.ones((1, 512), np.float32).view(np.uint8))
    found = measure_fused(*pair)
    same(found, plain_way(*pair), 1e-6)
    assert found.n_inf == 2


@pytest.mark.parametrize("x", [1.0, np.inf, -np.inf])
def test_a_reference_that_is_infinite_has_no_relative_figures(x):
    """An infinite error is no share of an infinite reference: neither all of it nor none."""
    r = np.array([np.inf, 1], np.float32)
    result = measure(np.array([x, 1], np.float32), r)
    assert math.isnan(result.relative_rmse)
    assert math.isnan(result.sqnr_db)
    assert not result.exact


def test_squares_beyond_float64_make_no_error_vanish():
    """Weights in F64 can be so large that the sum of their squares is not finite."""
    r = np.array([1e200, 1.0])
    result = measure(r + np.array([0.0, 0.5]), r)
    assert (result.rmse, result.exact) == (pytest.approx(math.sqrt(0.125)), False)
    assert math.isnan(result.relative_rmse)
    assert math.isnan(result.sqnr_db)
    same = measure(r, r)
    assert (same.relative_rmse, same.sqnr_db, same.exact) == (0, math.inf, True)


def test_exact_is_what_has_no_error_and_nothing_else():
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert measure(zero, zero).exact
    assert measure(one, one).exact
    assert not measure(one, zero).exact
    assert not measure(zero * np.nan, zero * np.nan).exact


def test_figures_by_hand():
    x, r = np.array([1, 2, 2], np.float32), np.array([1, 1, 3], np.float32)
    result = measure(x, r)
    assert result.rmse == math.sqrt(2 / 3)
    assert result.relative_rmse == math.sqrt(2 / 11)
    assert result.sqnr_db == pytest.approx(10 * math.log10(11 / 2))
    assert result.cosine == pytest.approx(9 / math.sqrt(9 * 11))
    assert result.peak == 1
    assert result.mean_abs_error == pytest.approx(2 / 3)
    assert result.reference_rms == pytest.approx(math.sqrt(11 / 3))


def test_nothing_has_no_figures():
    empty = np.zeros((0, 128), np.uint8)
    result = measure_fused(("F32", empty), ("F32", empty))
    assert result.n == 0
    assert math.isnan(result.rmse)


def test_merging_parts_equals_the_whole_and_keeps_nan():
    pair = sides("Q8_0", "F32", 64, 5)
    whole, merged = plain_way(*pair), Statistics()
    for start in range(0, 64, 10):
        (q, blocks), (d, rows) = pair
        merged.add(plain_way((q, blocks[start : start + 10]), (d, rows[start : start + 10])))
    same(merged, whole, 1e-12)
    for order in ([math.nan, 1.0], [1.0, math.nan]):
        merged = Statistics()
        for peak in order:
            merged.add(Statistics(peak=peak))
        assert math.isnan(merged.peak)


def test_sides_of_different_size_are_refused():
    (q, blocks), (d, rows) = sides("Q4_0", "F32", 4, 0)
    with pytest.raises(ComparisonError, match="384 weights of Q4_0 against 288 of F32"):
        measure_fused((q, blocks), (d, rows[:3]))
