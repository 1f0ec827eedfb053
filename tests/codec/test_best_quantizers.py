"""``effort="best"``: never worse than ggml on any block, and better by so much, type by type.

The errors are those of the values that the bytes read as, in float64, times the importance if there
is one. `tests/data/quantized` holds rows of many kinds and ggml's blocks. The types on a grid have
searches of their own, and tests in `test_grid_quantizers.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import gguf_lab as gl
from gguf_lab import demo
from gguf_lab.codec import FORMATS
from gguf_lab.codec.quantizers.best import SEARCHES
from gguf_lab.codec.quantizers.best.packing import pack
from gguf_lab.errors import QuantizationError

from .test_quantizers import DATA, OFF_GRID, distributions, weightings

N = 512
TYPES = list(SEARCHES)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def gamma(seed, n=N):
    return np.random.default_rng(seed).gamma(1, 1, n).astype(np.float32)


def block_errors(values, blocks, name, weights):
    """Return the weighted squared error of each block."""
    read = gl.dequantize(blocks, name).astype(np.float64).reshape(values.shape)
    weights = np.ones(values.shape[-1]) if weights is None else weights.astype(np.float64)
    squares = weights * (values.astype(np.float64) - read) ** 2
    return squares.reshape(-1, FORMATS[name].qtype.block_size).sum(1)


def both(values, name, weights):
    """Return the errors of ggml's blocks and of the best ones."""
    return (
        block_errors(
            values, gl.quantize(values, name, importance=weights, effort=effort), name, weights
        )
        for effort in ("ggml", "best")
    )


def test_every_type_off_the_grids_is_searched():
    assert set(TYPES) == set(OFF_GRID)


# --- less error -----------------------------------------------------------------------------------

# Of Gaussian weights, without an importance and with one: all error over ggml's, at most. ggml's
# Q1_0 is the best one possible without an importance.
GAINS = {
    "Q4_0": (0.90, 0.97),
    "Q4_1": (0.80, 0.96),
    "Q5_0": (0.89, 0.96),
    "Q5_1": (0.80, 0.97),
    "Q8_0": (0.77, 0.67),
    "Q1_0": (1.00, 0.997),
    "Q2_0": (0.26, 0.24),
    "Q2_K": (0.78, 0.90),
    "Q3_K": (0.92, 0.97),
    "Q4_K": (0.97, 0.96),
    "Q5_K": (0.93, 0.94),
    "Q6_K": (0.88, 0.86),
    "IQ4_NL": (0.95, 0.94),
    "IQ4_XS": (0.95, 0.94),
    "MXFP4": (0.95, 0.95),
    "NVFP4": (0.76, 0.64),
    "TQ1_0": (0.32, 0.31),
    "TQ2_0": (0.32, 0.31),
}


@pytest.mark.parametrize("name", TYPES)
def test_best_is_better_by_so_much(name):
    values = normal(1, 24, 1024)
    for weights, most in zip((None, gamma(2, 1024)), GAINS[name], strict=True):
        ggml, best = both(values, name, weights)
        assert (best <= ggml).all()
        assert best.sum() <= most * ggml.sum()


@pytest.mark.parametrize("name", TYPES)
def test_best_is_never_worse_on_any_kind_of_rows(name):
    for kind, numbers in distributions():
        values = numbers.astype(np.float32)[:8]
        for weighting, weights in weightings():
            ggml, best = both(values, name, weights)
            assert (best <= ggml).all(), (kind, weighting)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(TYPES), weighted=st.booleans())
def test_best_is_never_worse_on_random_rows(seed, name, weighted):
    rng = np.random.default_rng(seed)
    spread, exponent = rng.uniform(0, 3), rng.uniform(-30, 2)
    values = rng.standard_normal((4, 256)) * np.exp(spread * rng.standard_normal((4, 256)))
    values = np.clip(values, -1e4, 1e4) * 10**exponent
    # Half precision holds no more. (Near it, a weighted fit of ggml's may put a minimum beyond.)
    values = np.clip(values, -3e4, 3e4).astype(np.float32)
    weights = rng.gamma(0.5, 1, 256).astype(np.float32) if weighted else None
    ggml, best = both(values, name, weights)
    assert (best <= ggml).all()


def test_the_table_of_gains(source, capsys):
    """Type by type, on the golden rows: the errors of both efforts, and the bits of ``"ggml"``."""
    source, imatrix = source
    square = float((source.astype(np.float64) ** 2).sum())
    lines, worse = [], []
    for name in TYPES:
        cells = []
        with np.load(DATA / f"{name}.npz") as golden:
            for key, weights in (("quantized", None), ("quantized_imatrix", imatrix)):
                ours = gl.quantize(source, name, importance=weights)
                same = np.array_equal(ours, golden[key])
                ggml, best = both(source, name, weights)
                worse += [name] * bool((best > ggml).any())
                some = ggml > 0
                ratio = float(np.mean(best[some] / ggml[some]))
                cells += [f"{ggml.sum() / square:.3e}", f"{best.sum() / square:.3e}"]
                cells += [f"{1 - ratio:7.1%}", "yes" if same else "no "]
        lines.append(f"{name:<7} | " + " | ".join(cells))
    half = "ggml error | best error | gain a block | bits of ggml"
    with capsys.disabled():
        print("", f"type    | {half} | with importance: {half}", *lines, sep="\n")
    assert not worse
    assert not any("no " in line for line in lines)


MINILM = (
    "embeddings.word_embeddings.weight",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.5.output.dense.weight",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q8_0", "Q3_K", "Q4_K", "IQ4_XS", "NVFP4"])
def test_best_is_better_on_the_weights_of_a_model(name):
    """Some rows of three matrices of MiniLM, as many columns as make whole blocks."""
    with safe_open(demo.minilm() / "model.safetensors", framework="np") as model:
        matrices = [model.get_slice(tensor)[:48, :256] for tensor in MINILM]
    for values in matrices:
        ggml, best = both(values, name, None)
        assert (best <= ggml).all()
        assert best.sum() < 0.98 * ggml.sum()


# --- exactly --------------------------------------------------------------------------------------

LEVELS = {
    "Q4_0": np.arange(-8, 8),
    "Q2_0": np.arange(-1, 3),
    "Q1_0": np.array([-1, 1]),
    "IQ4_NL": FORMATS["IQ4_NL"].table().view(np.int8)[:16].astype(np.float64),
}


@pytest.mark.parametrize("name", LEVELS)
def test_one_scale_is_the_best_of_all_halves_or_nearly(name):
    """Against every half-precision scale there is: 0.1 % at most above, over all blocks."""
    size, levels = FORMATS[name].qtype.block_size, LEVELS[name]
    halves = np.arange(1, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = (levels[1:] + levels[:-1]) / 2
    values = 0.05 * normal(3, 8, size)
    found = block_errors(values, gl.quantize(values, name, effort="best"), name, None)
    exact = []
    for x in values.astype(np.float64):
        peak = np.abs(x).max()
        near = halves[(halves < 2.5 * peak) & (halves > peak / np.abs(levels).max() / 8)]
        d = np.concatenate([near, -near])[:, None]
        codes = levels[np.searchsorted(middles, x / d)]
        exact.append(((x - d * codes) ** 2).sum(1).min())
    assert (found >= np.array(exact) * (1 - 1e-6)).all()
    assert found.sum() <= 1.001 * np.sum(exact)


# --- what holds for any quantizer -----------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_the_result_does_not_depend_on_threads_or_chunks(name):
    values, weights = np.tile(normal(4, 40, N), (14, 1)), gamma(5)  # several tasks, odd parts
    one = gl.quantize(values, name, importance=weights, effort="best", threads=1)
    two = gl.quantize(values, name, importance=weights, effort="best", threads=2)
    assert np.array_equal(one, two)
    assert np.array_equal(one, np.tile(one[:40], (14, 1)))
    alone = gl.quantize(values[7:8], name, importance=weights, effort="best")
    assert np.array_equal(one[7:8], alone)


@pytest.mark.parametrize("name", TYPES)
def test_zeros_and_denormals_are_those_of_ggml(name):
    values = np.zeros((3, N), np.float32)
    values[1] = -0.0
    assert not gl.dequantize(gl.quantize(values, name, effort="best"), name).any()
    values = normal(6, 2, N) * np.float32(1e-41)
    ggml, best = both(values, name, None)
    assert (best <= ggml).all()


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q4_K", "Q3_K"])
def test_what_ggml_refuses_is_refused(name):
    values = normal(7, 2, N)
    values[1, 300] = np.nan
    with pytest.raises(QuantizationError, match="row 1, column 300 is nan"):
        gl.quantize(values, name, effort="best")
    values[1, 300] = 1e9
    with pytest.raises(QuantizationError, match="overflow"):
        gl.quantize(values, name, effort="best")


def test_plain_numbers_are_rounded_as_ever():
    values = normal(8, 2, N)
    for name in ("F32", "F16", "BF16"):
        assert np.array_equal(gl.quantize(values, name, effort="best"), gl.quantize(values, name))


def test_huge_values_where_no_half_is_in_the_way():
    """The squares overflow float32 inside the search: what comes out is no worse than ggml's."""
    ggml, best = both(normal(9, 2, 64) * np.float32(1e30), "MXFP4", None)
    assert np.isfinite(best).all()
    assert (best <= ggml).all()


# --- packing is the inverse of the definitions ----------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_packed_blocks_are_read_by_the_definition(name):
    """Random codes and scales, packed, read as level times scale, less the minimum."""
    how, rng, fmt = SEARCHES[name], np.random.default_rng(10), FORMATS[name]
    size, n = fmt.qtype.block_size, 5
    codes = rng.integers(0, how.levels.size, (n, size)).astype(np.uint8)
    read = how.levels[codes].astype(np.float64)
    d = rng.uniform(0.5, 2, (n, 2)).astype(np.float16)
    bits = d.view(np.uint16).astype(np.int32)
    if name in {"MXFP4", "NVFP4"}:
        scales = rng.integers(1, 120, (n, how.scales)).astype(np.int32)
        read *= how.allowed[scales].repeat(size // how.scales, 1)
    elif name in {"Q4_1", "Q5_1"}:
        scales = bits
        read = read * d[:, :1] + d[:, 1:]
    elif how.scales == 1:
        scales = bits[:, :1]
        read *= d[:, :1]
    elif name in {"Q3_K", "Q6_K", "IQ4_XS"}:
        low, high = how.allowed.astype(int)
        sub = rng.integers(low, high + 1, (n, how.scales - 1))
        scales = np.concatenate([bits[:, :1], sub], axis=1).astype(np.int32)
        read *= d[:, :1] * sub.repeat(size // sub.shape[1], 1)
    else:
        groups = (how.scales - 2) // 2
        sub = rng.integers(0, int(how.settings[5]) + 1, (n, 2 * groups))
        scales = np.concatenate([bits, sub], axis=1).astype(np.int32)
        scale, minimum = (sub[:, k : k + groups].repeat(size // groups, 1) for k in (0, groups))
        read = read * d[:, :1] * scale - d[:, 1:].astype(np.float64) * minimum
    got = gl.dequantize(pack(name, codes, scales), name, backend="numpy").reshape(n, size)
    assert np.allclose(got, read, rtol=1e-6, atol=0)
