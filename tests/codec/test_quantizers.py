"""Every quantizer against ggml, bit for bit; packing against the definitions; refused input.

`tests/data/quantized` holds rows of many kinds and what ggml 0.25.3 made of them, with and without
an importance. The types on a grid have more tests of their own in `test_grid_quantizers.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.codec import FORMATS, REQUIRES_IMPORTANCE, can_quantize
from gguf_lab.codec.quantizers import k_quants, legacy, symmetric_k, ternary
from gguf_lab.codec.quantizers.arithmetic import mean_square
from gguf_lab.errors import QuantizationError, UnsupportedError

from .ggml import ggml_quantize

DATA = Path(__file__).parents[1] / "data" / "quantized"
GOLDEN = sorted(path.stem for path in DATA.glob("*.npz") if path.stem != "source")
PLAIN = ["F32", "F16", "BF16"]
OFF_GRID = [name for name in GOLDEN if not name.startswith(("IQ1", "IQ2", "IQ3"))]
N = 512


def rows(seed=0, *shape):
    shape = shape or (4, N)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def importance(n=N):
    return np.random.default_rng(1).gamma(1, 1, n).astype(np.float32)


def error(values, blocks, name, weights=None):
    read = gl.dequantize(blocks, name).astype(np.float64)
    weights = np.ones(values.shape[1]) if weights is None else weights.astype(np.float64)
    return float((weights * (values - read) ** 2).sum())


# --- ggml -----------------------------------------------------------------------------------------


def test_every_type_of_the_golden_data_and_every_plain_one_has_a_quantizer():
    able = {name for name in FORMATS if can_quantize(name)}
    assert able == {*GOLDEN, *PLAIN}
    assert len(GOLDEN) == 25


def test_the_table_of_bits(capsys):
    """Type by type: the bits of ggml, without an importance and with one, and the error's ratio."""
    with np.load(DATA / "source.npz") as data:
        source, imatrix = data["source"], data["imatrix"]
    lines, all_same = [], True
    for name in GOLDEN:
        cells, ratios = [], []
        with np.load(DATA / f"{name}.npz") as golden:
            for key, weights in (("quantized", None), ("quantized_imatrix", imatrix)):
                if key not in golden:
                    cells.append("refused")
                    continue
                ours, theirs = gl.quantize(source, name, importance=weights), golden[key]
                size = FORMATS[name].qtype.type_size
                different = (ours != theirs).reshape(-1, size).any(1)
                cells.append("yes" if not different.any() else f"all but {different.sum()}")
                all_same &= not different.any()
                ratios.append(
                    error(source, ours, name, weights) / error(source, theirs, name, weights)
                )
        lines.append(f"{name:<8} | {cells[0]:<13} | {cells[1]:<30} | {max(ratios):.6f}")
    head = "type     | bit-identical | bit-identical with importance  | error relative to ggml"
    with capsys.disabled():
        print("", head, *lines, sep="\n")
    assert all_same


@pytest.mark.parametrize("name", PLAIN)
def test_plain_numbers_are_rounded_as_torch_rounds_them(name):
    values = rows(3) * np.float32(10.0) ** np.random.default_rng(4).integers(-12, 4, (4, N))
    values = np.clip(values, -6e4, 6e4).astype(np.float32)
    edges = [0, -0.0, 2**-24, 2**-25, 1.5 * 2**-25, 2**-14, 2**-14 - 2**-25, 65504, 65519, 1e-45]
    values[0, : len(edges)] = edges
    values[1] = (np.arange(N) + 0.5) * 2.0**-24  # ties between denormal halves
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[name]
    want = torch.from_numpy(values).to(dtype).view(torch.uint8).numpy()
    assert np.array_equal(gl.quantize(values, name), want)


def distributions():
    """Rows that a quantizer may stumble over, by name."""
    rng, shape = np.random.default_rng(5), (24, N)
    normal = rng.standard_normal
    yield "normal", normal(shape)
    yield "heavy", rng.standard_t(2, shape)
    yield "positive", rng.exponential(size=shape)
    yield "negative", -rng.exponential(size=shape) - 0.1
    yield "integers", rng.integers(-8, 9, shape)  # many ties
    yield "ternary", rng.integers(-1, 2, shape)
    yield "sparse", np.where(rng.random(shape) < 0.95, 0, normal(shape))
    yield "scales", normal(shape) * 10 ** rng.uniform(-12, 3, (24, N // 32)).repeat(32, 1)
    yield "tiny rows", normal(shape) * 10 ** rng.uniform(-45, -3, (24, 1))  # with denormals
    yield "tiny blocks", normal(shape) * 10 ** rng.uniform(-45, -3, (24, N // 32)).repeat(32, 1)
    yield "constant", normal((24, N // 32)).repeat(32, 1)
    yield "zeros", np.where(rng.random(shape) < 0.5, 0.0, -0.0)
    yield "outliers", normal(shape) * np.where(rng.random(shape) < 0.003, 100, 1)


def weightings():
    rng = np.random.default_rng(6)
    yield "none", None
    yield "gamma", rng.gamma(0.5, 1, N).astype(np.float32)
    yield "sparse", (rng.gamma(1, 1, N) * (rng.random(N) < 0.1)).astype(np.float32)
    yield "wide", (10 ** rng.uniform(-20, 10, N)).astype(np.float32)
    # With tiny rows: what is a denormal on the way counts.
    yield "huge", (rng.exponential(size=N) * 1e20).astype(np.float32)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["F16", "BF16", *OFF_GRID])
def test_bits_are_those_of_ggml_on_many_distributions(name):
    for kind, numbers in distributions():
        values = numbers.astype(np.float32)
        for weighting, weights in weightings():
            same = gl.quantize(values, name, importance=weights) == ggml_quantize(
                name, values, weights
            )
            assert same.all(), (kind, weighting, int((~same.all(1)).sum()))


@pytest.mark.oracle
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(OFF_GRID), weighted=st.booleans())
def test_bits_are_those_of_ggml_on_random_rows(seed, name, weighted):
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0, 3)
    values = rng.standard_normal((8, 256)) * np.exp(spread * rng.standard_normal((8, 256)))
    values = np.clip(values, -1e4, 1e4).astype(np.float32)
    weights = rng.gamma(0.5, 1, 256).astype(np.float32) if weighted else None
    ours = gl.quantize(values, name, importance=weights)
    assert np.array_equal(ours, ggml_quantize(name, values, weights))


def test_a_mean_of_squares_is_rounded_once_as_ggml_does():
    """ggml's ``2*sum/QK_K``: halving a denormal, then doubling it, would be another number."""
    others = 0
    for size in np.linspace(1e-20, 3e-20, 50, dtype=np.float32):
        x, total = np.full(256, size), np.float32(0)
        for number in x:
            total += number * number
        once = np.float32(2) * total / np.float32(256)
        assert mean_square(x, 2) == once
        others += total / np.float32(256) * np.float32(2) != once
    assert others


# --- packing is the inverse of the definitions ----------------------------------------------------


def codes_of(name, block, offset):
    """Read the codes of a block with its definition, one by one; `offset` makes them start at 0."""
    fmt = FORMATS[name]
    groups = range(fmt.qtype.block_size // fmt.group)
    read = [
        int(fmt.quant(block, fmt.table(), g, j)) + offset for g in groups for j in range(fmt.group)
    ]
    return np.array(read, np.uint8)


def pack_q4_0(codes, block):
    legacy.pack(codes.astype(np.float32), False, block[2:])


def pack_q5_1(codes, block):
    legacy.pack(codes.astype(np.float32), True, block[4:])


PACKERS = {
    "Q4_0": (pack_q4_0, 16, 8),
    "Q5_1": (pack_q5_1, 32, 0),
    "Q2_K": (lambda c, b: k_quants.pack_q2(c, b[16:80]), 4, 0),
    "Q3_K": (lambda c, b: symmetric_k.pack_q3(c, b[:32], b[32:96]), 8, 4),
    "Q4_K": (lambda c, b: k_quants.pack_q4(c, b[16:]), 16, 0),
    "Q5_K": (lambda c, b: k_quants.pack_q5(c, b[16:48], b[48:]), 32, 0),
    "Q6_K": (lambda c, b: symmetric_k.pack_q6(c, b[:128], b[128:192]), 64, 32),
    "TQ1_0": (ternary.pack_tq1, 3, 1),
    "TQ2_0": (ternary.pack_tq2, 3, 1),
}


@pytest.mark.parametrize("name", PACKERS)
def test_packed_codes_are_read_by_the_definition(name):
    pack, levels, offset = PACKERS[name]
    qtype = FORMATS[name].qtype
    codes = np.random.default_rng(7).integers(0, levels, qtype.block_size, dtype=np.uint8)
    block = np.full(qtype.type_size, 0xA5, np.uint8)
    pack(codes, block)
    assert np.array_equal(codes_of(name, block, offset), codes)


def test_packed_scales_are_read_by_the_definition():
    rng = np.random.default_rng(8)
    sub = rng.integers(0, 64, (2, 8), dtype=np.int32)
    block = np.zeros(144, np.uint8)
    block[:4] = np.array([1, 1], np.float16).view(np.uint8)
    k_quants.pack_scales_and_minima(sub, block[4:16])
    read = [FORMATS["Q4_K"].scale(block, None, g) for g in range(8)]
    assert np.array_equal(np.array(read).T, sub)
    sub = rng.integers(-32, 32, 16, dtype=np.int32)
    block = np.zeros(110, np.uint8)
    block[108:] = np.array([1], np.float16).view(np.uint8)
    symmetric_k.pack_scales(sub, block[96:108])
    assert [FORMATS["Q3_K"].scale(block, None, g)[0] for g in range(16)] == [*sub]


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_no_other_code_is_nearer(name):
    """The codes are the best for the scales that are stored, up to rounding."""
    fmt, values = FORMATS[name], rows(9, 2, 256)
    levels = {"Q2_K": (0, 3), "Q3_K": (-4, 3), "Q4_K": (0, 15), "Q5_K": (0, 31), "Q6_K": (-32, 31)}
    for block, x in zip(gl.quantize(values, name), values, strict=True):
        for g in range(256 // fmt.group):
            d, m = fmt.scale(block, fmt.table(), g)
            d, m = float(d), float(m)
            all_levels = d * np.arange(levels[name][0], levels[name][1] + 1) - m
            for j in range(fmt.group):
                weight = float(x[g * fmt.group + j])
                chosen = d * int(fmt.quant(block, fmt.table(), g, j)) - m
                nearest = np.abs(all_levels - weight).min()
                assert abs(chosen - weight) <= nearest + 1e-5 * abs(d)


# --- what holds for any quantizer -----------------------------------------------------------------


def test_the_importance_lowers_the_error_where_it_lies():
    values, weights = rows(10, 16, N), np.where(np.arange(N) % 2, 100, 1).astype(np.float32)
    for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"):
        without, given_ = gl.quantize(values, name), gl.quantize(values, name, importance=weights)
        assert error(values, given_, name, weights) < error(values, without, name, weights)


@pytest.mark.parametrize("name", OFF_GRID)
def test_zero_rows_give_zeros(name):
    values = np.zeros((3, N), np.float32)
    values[1] = -0.0
    for weights in (None, importance()):
        assert not gl.dequantize(gl.quantize(values, name, importance=weights), name).any()


@pytest.mark.parametrize("name", OFF_GRID)
def test_denormals_give_next_to_nothing(name):
    values = rows(11) * np.float32(1e-41)
    read = gl.dequantize(gl.quantize(values, name), name)
    assert np.abs(read).max() < 1e-9


@pytest.mark.parametrize("name", ["Q8_0", "Q4_K", "IQ4_NL"])
def test_the_result_does_not_depend_on_threads(name):
    values = rows(12, 700, N)  # several tasks
    one = gl.quantize(values, name, importance=importance(), threads=1)
    assert np.array_equal(one, gl.quantize(values, name, importance=importance(), threads=2))
    assert np.array_equal(one[300:303], gl.quantize(values[300:303], name, importance=importance()))


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"])
def test_rows_of_any_number_of_blocks(name):
    """Eight blocks are searched at a time: the last ones of a row may be fewer."""
    for n in (1, 7, 9):
        values, weights = rows(13, 2, 32 * n), importance(32 * n)
        blocks = gl.quantize(values, name, importance=weights)
        assert blocks.shape == (2, n * FORMATS[name].qtype.type_size)
        assert error(values, blocks, name) < 0.02 * (values**2).sum()


def test_arrays_and_tensors_of_any_float_and_shape():
    values = rows(14, 2, 3, 64).astype(np.float16)
    want = gl.quantize(values.astype(np.float32).reshape(6, 64), "Q8_0")
    assert want.shape == (6, 68)
    for same in (values, values.astype(np.float64), torch.from_numpy(values), values.tolist()):
        assert np.array_equal(gl.quantize(same, "Q8_0"), want)
    parameter = torch.nn.Parameter(torch.from_numpy(values).bfloat16())
    rounded = parameter.detach().float().numpy()
    assert np.array_equal(gl.quantize(parameter, 8), gl.quantize(rounded, "Q8_0"))
    assert np.array_equal(
        gl.quantize(values[:, :, ::2], "Q4_0"), gl.quantize(values[:, :, ::2].copy(), "Q4_0")
    )
    assert gl.quantize(np.empty((0, 64), np.float32), "Q8_0").shape == (0, 68)
    assert gl.quantize(rows(15, 64), "Q8_0").shape == (1, 68)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["F16", "Q8_0", "Q4_K"])
def test_what_is_not_finite_is_named(name, bad):
    values = rows(16, 600, N)
    values[413, 77] = bad
    with pytest.raises(QuantizationError, match=f"row 413, column 77 is {bad}"):
        gl.quantize(values, name)


@pytest.mark.parametrize(
    ("name", "size"), [("F16", 1e5), ("BF16", 3.4e38), ("Q8_0", 1e9), ("Q4_K", 1e9)]
)
def test_what_overflows_half_precision_is_named(name, size):
    values = rows(17)
    values[2, 300] = size
    first = {"F16": 300, "BF16": 300, "Q8_0": 288, "Q4_K": 256}[name]
    with pytest.raises(QuantizationError, match=f"row 2, from column {first} on"):
        gl.quantize(values, name)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(N - 1), r"shape \(512,\); got \(511,\)"),
        (np.ones((1, N)), r"got \(1, 512\)"),
        (np.zeros(N), "zero for every column"),
        (np.where(np.arange(N) == 5, -1, 1), "column 5 is -1"),
        (np.where(np.arange(N) == 6, np.nan, 1), "column 6 is nan"),
        (np.where(np.arange(N) == 7, 1e60, 1), "column 7 is inf"),
        (np.ones(N, complex), "must be real numbers; got complex128"),
        (["heavy"] * N, "must be real numbers; got <U5"),
        ([[1], [1, 2]], "no array can be made"),
    ],
)
def test_malformed_importance_is_refused(weights, message):
    with pytest.raises(QuantizationError, match=message):
        gl.quantize(rows(), "Q4_K", importance=weights)


def test_other_bad_input_is_refused():
    with pytest.raises(QuantizationError, match=r"blocks of 256 weights.*shape \(4, 480\)"):
        gl.quantize(rows(18, 4, 480), "Q4_K")
    with pytest.raises(QuantizationError, match="must be floats; got int64"):
        gl.quantize(np.ones((1, 32), np.int64), "Q8_0")
    with pytest.raises(QuantizationError, match=r"must be floats; got torch\.int64"):
        gl.quantize(torch.ones((1, 32), dtype=torch.int64), "Q8_0")
    with pytest.raises(QuantizationError, match="no array can be made of the numbers"):
        gl.quantize([[1.0], [1.0, 2.0]], "Q8_0")
    with pytest.raises(QuantizationError, match=r"dense tensors.*; got a torch.sparse_coo tensor"):
        gl.quantize(torch.ones((1, 32)).to_sparse(), "Q8_0")
    with pytest.raises(UnsupportedError, match="'Q9_9' is not known"):
        gl.quantize(rows(), "Q9_9")
    with pytest.raises(UnsupportedError, match=r"'q4_k_m' .* mix of types, for a whole model"):
        gl.quantize(rows(), "q4_k_m")
    assert not can_quantize("Q9_9")
    with pytest.raises(QuantizationError, match="row 0, column 0 is inf in float32"):
        gl.quantize(np.full((1, 32), 1e300), "Q8_0")
    with pytest.raises(UnsupportedError, match="no quantizer for type I8"):
        gl.quantize(rows(), "I8")
    with pytest.raises(gl.GGUFLabError, match="effort 'more' is unknown"):
        gl.quantize(rows(), "Q8_0", effort="more")
    for name in REQUIRES_IMPORTANCE:
        with pytest.raises(QuantizationError, match="needs an importance"):
            gl.quantize(rows(), name)
