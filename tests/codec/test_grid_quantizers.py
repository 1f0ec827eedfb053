"""The quantizers of the grid types: the bits of ggml, and what holds for any quantizer.

`tests/data/quantized` holds rows (Gaussian, Laplace, Student's t, mixed scales, zeros, constants,
1e-8, 1e3, outliers, one sign) and what ggml 0.25.3 made of them, with an importance and without.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import FORMATS, quantize
from gguf_lab.codec.quantizers import REQUIRES_IMPORTANCE
from gguf_lab.codec.quantizers.grids import grid_table, levels
from gguf_lab.errors import QuantizationError

from .ggml import ggml_quantize

DATA = Path(__file__).parents[1] / "data" / "quantized"
TYPES = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]
GRIDS = [name for name in TYPES if name != "IQ1_M"]
N = 512


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def importance(seed=1):
    return np.random.default_rng(seed).random(N).astype(np.float32) + np.float32(0.1)


# --- ggml -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_bits_are_those_of_ggml(name, source):
    rows, weights = source
    with np.load(DATA / f"{name}.npz") as golden:
        assert ("quantized" in golden) == (name not in REQUIRES_IMPORTANCE)
        for key, how in (("quantized", None), ("quantized_imatrix", weights)):
            if key in golden:
                assert np.array_equal(quantize(rows, name, importance=how), golden[key])


def distributions():
    """Rows that a quantizer may stumble over, by name."""
    rng = np.random.default_rng(5)
    yield "normal", normal(6, 32, N)
    yield "laplace", rng.laplace(size=(32, N))
    yield "heavy", rng.standard_t(2, size=(32, N))
    yield "spread", np.clip(normal(7, 32, N) * np.exp(5 * normal(8, 32, N)), -3e4, 3e4)
    yield "positive", rng.random((32, N))
    yield "integers", rng.integers(-3, 4, (32, N))  # many ties
    yield "ternary", rng.integers(-1, 2, (32, N))
    yield "constant", np.repeat(np.linspace(-2, 2, 8)[:, None], N, 1)
    yield "zero", np.zeros((2, N))
    for exponent in (-40, -20, -15, -12, -8, -7, 4):
        yield f"1e{exponent}", normal(exponent + 99, 8, N) * 10.0**exponent
    yield "sparse", np.where(rng.random((32, N)) < 0.9, 0, normal(9, 32, N))
    yield "zero blocks", np.where(rng.random((32 * N // 256, 1)) < 0.3, 0, normal(10, N // 8, 256))
    outliers = normal(11, 32, N)
    outliers[:, ::64] *= 1000
    yield "outliers", outliers


def weightings():
    rng = np.random.default_rng(12)
    yield "none", None
    yield "uniform", rng.random(N)
    yield "heavy", np.exp(3 * rng.standard_normal(N))
    yield "half zero", rng.random(N) * (rng.random(N) < 0.5)
    yield (
        "blocks of zero",
        np.where((np.arange(N) < 256) | (np.arange(N) % 96 < 40), 0, rng.random(N)),
    )
    yield "tiny", rng.random(N) * 1e-30
    yield "one", np.arange(N) == 300


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_bits_are_those_of_ggml_on_many_distributions(name):
    for rows_name, drawn in distributions():
        rows = drawn.reshape(-1, N).astype(np.float32)
        rows = without_zero_parts(rows) if name == "IQ3_S" else rows
        for weights_name, drawn_weights in weightings():
            if drawn_weights is None and name in REQUIRES_IMPORTANCE:
                continue
            weights = None if drawn_weights is None else drawn_weights.astype(np.float32)
            same = quantize(rows, name, importance=weights) == ggml_quantize(name, rows, weights)
            assert same.all(), (rows_name, weights_name, int((~same.all(1)).sum()))


def without_zero_parts(rows):
    """Put something into 32 zeros in a block that is not all zero: see the next test."""
    parts = rows.reshape(-1, 8, 32).copy()
    zero = (parts == 0).all(2) & (parts != 0).any((1, 2))[:, None]
    parts[zero, 7] = 1e-3
    return parts.reshape(rows.shape)


@pytest.mark.oracle
def test_ggml_shifts_parts_of_an_iq3_s_block_over_zeros_and_we_do_not():
    rows = normal(13, 64, 256)
    parts = rows.reshape(64, 8, 32)
    zero = np.random.default_rng(14).random((64, 8)) < 0.3
    zero[:, 0] = False  # of each block something is left
    parts[zero] = 0
    ours, theirs = quantize(rows, "IQ3_S"), ggml_quantize("IQ3_S", rows)
    shifted = ours.copy()
    for block, skip in zip(shifted, zero, strict=True):
        for start, width in ((2, 8), (74, 4)):  # low bytes of the indices, signs
            field = block[start : start + 8 * width].reshape(8, width)
            kept = field[~skip]
            field[:] = 0
            field[: len(kept)] = kept
    assert np.array_equal(shifted, theirs)
    assert relative_error(rows, ours, "IQ3_S") < 0.04
    assert relative_error(rows, theirs, "IQ3_S") > 0.5


# --- what holds for any quantizer -----------------------------------------------------------------

# sum((x - y)^2) / sum(x^2) of Gaussian weights, as measured; another seed is within 5 %.
ERRORS = {
    "IQ1_S": 0.234,
    "IQ1_M": 0.202,
    "IQ2_XXS": 0.117,
    "IQ2_XS": 0.0885,
    "IQ2_S": 0.0609,
    "IQ3_XXS": 0.0326,
    "IQ3_S": 0.0186,
}


def relative_error(rows, blocks, name):
    read = gl.dequantize(blocks, name).reshape(rows.shape)
    return float(((rows - read) ** 2).sum() / (rows**2).sum())


@pytest.mark.parametrize("name", TYPES)
def test_the_error_is_that_of_so_many_bits(name):
    rows = normal(15, 64, N)
    blocks = quantize(rows, name, importance=np.ones(N, np.float32))
    assert relative_error(rows, blocks, name) == pytest.approx(ERRORS[name], rel=0.05)


@pytest.mark.parametrize("name", TYPES)
def test_zero_rows_give_zeros(name):
    rows = np.zeros((3, N), np.float32)
    rows[1] = -0.0
    read = gl.dequantize(quantize(rows, name, importance=importance()), name)
    assert not read.any()


@pytest.mark.parametrize("name", TYPES)
def test_the_result_does_not_depend_on_threads(name):
    rows = normal(16, 600, N)  # several tasks
    one = quantize(rows, name, importance=importance(), threads=1)
    assert np.array_equal(one, quantize(rows, name, importance=importance(), threads=2))
    assert np.array_equal(one[300:303], quantize(rows[300:303], name, importance=importance()))


@pytest.mark.parametrize("name", TYPES)
def test_a_power_of_two_is_a_factor(name):
    # All decisions are between quotients, so that the scale alone changes: by an exact factor.
    rows = normal(17, 8, N)
    read, read8 = (
        gl.dequantize(quantize(x, name, importance=importance()), name) for x in (rows, rows * 8)
    )
    assert np.array_equal(read * 8, read8)


@pytest.mark.parametrize("name", TYPES[2:])  # in IQ1, the shifts are tried in an order
def test_an_opposite_sign_gives_opposite_weights(name):
    rows = normal(18, 8, N)
    read, opposite = (
        gl.dequantize(quantize(x, name, importance=importance()), name) for x in (rows, -rows)
    )
    assert np.array_equal(read, -opposite)


@pytest.mark.parametrize("name", sorted(REQUIRES_IMPORTANCE))
def test_without_an_importance_the_smallest_types_are_refused(name):
    with pytest.raises(QuantizationError, match="needs an importance"):
        quantize(normal(19, 1, N), name)


@pytest.mark.parametrize("magnitude", [1e9, 1e25])
@pytest.mark.parametrize("name", TYPES)
def test_what_overflows_is_refused(name, magnitude):
    with pytest.raises(QuantizationError, match="overflow"):
        quantize(normal(20, 1, N) * np.float32(magnitude), name, importance=importance())


# --- effort="best" --------------------------------------------------------------------------------

# The error of a block over ggml's, the median of the golden blocks, at most: without an importance,
# with one. Of the larger gains a part is in what ggml minimizes instead: a sum in which large
# weights count more.
GAINS = {
    "IQ1_S": (None, 0.82),
    "IQ1_M": (0.57, 0.83),
    "IQ2_XXS": (None, 0.82),
    "IQ2_XS": (None, 0.81),
    "IQ2_S": (0.78, 0.84),
    "IQ3_XXS": (0.71, 0.85),
    "IQ3_S": (0.64, 0.83),
}


def block_errors(rows, blocks, name, weights):
    read = gl.dequantize(blocks, name).astype(np.float64)
    weights = np.ones(rows.shape[1]) if weights is None else weights.astype(np.float64)
    return (weights * (rows - read) ** 2).reshape(-1, 256).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_best_is_never_worse_than_ggml_and_better_by_so_much(name, source, capsys):
    rows, imatrix = source
    for how, gain in zip((None, imatrix), GAINS[name], strict=True):
        if gain is None:
            continue
        ggml, best = (
            block_errors(rows, quantize(rows, name, importance=how, effort=effort), name, how)
            for effort in ("ggml", "best")
        )
        assert (best <= ggml).all()
        ratio = np.median(best[ggml > 0] / ggml[ggml > 0])
        with capsys.disabled():
            kind = "without" if how is None else "with"
            print(f"\n{name:<8} {kind:>7} importance: error {ratio:.3f} of ggml's", end="")
        assert ratio < gain


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_best_is_never_worse_on_any_kind_of_rows(name):
    for rows_name, drawn in distributions():
        rows = drawn.reshape(-1, N).astype(np.float32)
        for weights_name, drawn_weights in weightings():
            if drawn_weights is None and name in REQUIRES_IMPORTANCE:
                continue
            weights = None if drawn_weights is None else drawn_weights.astype(np.float32)
            ggml, best = (
                block_errors(
                    rows, quantize(rows, name, importance=weights, effort=how), name, weights
                )
                for how in ("ggml", "best")
            )
            assert (best <= ggml * (1 + 1e-12)).all(), (rows_name, weights_name)


@pytest.mark.parametrize("name", TYPES)
def test_best_does_not_depend_on_threads(name):
    rows = normal(22, 130, N)
    one, two = (
        quantize(rows, name, importance=importance(), effort="best", threads=n) for n in (1, 2)
    )
    assert np.array_equal(one, two)


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_as_levels_is_that_of_the_decoder(name):
    points = levels(name)
    assert points.max() == (7 if name.startswith("IQ3") else 2)
    assert len(np.unique(points, axis=0)) == len(points)
    fmt = FORMATS[name]
    values = np.unique(fmt.table().view(np.int8)[: points.size])
    assert np.array_equal(values[points].ravel(), fmt.table().view(np.int8)[: points.size])


@pytest.mark.parametrize("name", GRIDS)
def test_lists_hold_the_points_of_the_least_distances(name):
    points, table = levels(name).astype(int), grid_table(name)()
    wanted = {"IQ1_S": 3, "IQ2_S": 1, "IQ3_S": 3}.get(name, 2)
    bits, dims = (3, 4) if points.shape[1] == 4 else (2, 8)
    codes = points @ (1 << bits * np.arange(dims))
    assert np.array_equal(table[codes], codes | np.arange(len(codes)) << 16)
    for code in np.random.default_rng(21).choice(1 << dims * bits, 300, replace=False):
        place = (code >> bits * np.arange(dims)) & ((1 << bits) - 1)
        if table[code] >= 0 or place.max() > points.max():
            continue
        distance = ((points - place) ** 2).sum(1)
        farthest = np.unique(distance)[wanted - 1]
        want = [
            i for i in np.lexsort((np.arange(len(points)), distance)) if distance[i] <= farthest
        ]
        head = ~int(table[code])
        found = table[(head >> 6) * 8 :][: (head & 63) * 8]
        assert np.array_equal(found[: len(want)] >> 16, want)
        assert np.array_equal(found & 0xFFFF, codes[found >> 16])
        assert (found[len(want) :] == found[0]).all()
        assert len(found) - len(want) < 8
