"""The Triton backend through its interpreter, and when it is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gguf_lab.codec import FORMATS, choose_backend, dispatch
from gguf_lab.codec.backends import numpy_
from gguf_lab.comparison.histogram import CENTRE
from gguf_lab.comparison.statistics import Statistics, measure
from gguf_lab.errors import GGUFLabError

from ..comparison.test_run import MODELS
from ..comparison.test_statistics import blocks_of, plain_way, same, sides
from . import interpreted
from .golden import TYPES, cases, same_bits

triton = pytest.importorskip("triton", reason="there is no Triton for this platform")

pytestmark = pytest.mark.slow  # every format through the interpreter

DTYPES = ("float32", "float16", "bfloat16")
# 4 rows of the quantized data, 40 random blocks: some fill a program's tile, some do not.
GOLDEN = {
    (name, i): (blocks[: 4 if i else 40], want[: 4 if i else 40])
    for name in TYPES
    for i, (blocks, want) in enumerate(cases(name)[:2])
}
PAIRS = {
    **{(x, r): sides(x, r, 30, 5) for x in ("Q4_0", "Q4_K", "IQ3_S") for r in ("BF16", "F32")},
    # both sides quantized
    **{
        (x, r): (blocks_of(x, 12, 5), blocks_of(r, 12, 6))
        for x, r in (("Q6_K", "Q4_0"), ("F16", "Q4_K"))
    },
    ("F32", "F16"): sides("F32", "F16", 701, 5),  # an odd number of rows, several programs
    ("tiny", "F32"): sides("F32", "F32", 50, 1, 1e-25),
    ("huge", "F32"): sides("F32", "F32", 50, 1, 1e18),
}
LLAMA = str(MODELS / "llama-256" / "llama-Q4_K_M.gguf"), str(MODELS / "llama-256" / "hf")
FAR = 2**26 + 5  # blocks of 32: beyond 2**31 weights


def random_blocks(name, n=400):
    """Random bytes hold NaN, infinities, denormals and both zeros where halves are read."""
    shape = (n, FORMATS[name].qtype.type_size)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def zeros(name):
    """Blocks whose weights are zeros of either sign: d is -1 or -0, the minimum 0 or -0."""
    blocks = np.zeros((4, FORMATS[name].qtype.type_size), np.uint8)
    blocks[:, 1], blocks[:, 3] = (0xBC, 0xBC, 0x80, 0x80), (0, 0x80, 0, 0x80)
    return blocks


def not_numbers():
    """Weights and references with NaN and infinities on either side, and on both."""
    x, r = np.random.default_rng(0).normal(0, 1, (2, 40, 64)).astype(np.float32)
    bad = np.array([np.nan, np.inf, -np.inf], np.float32)
    x[3, :3], r[7, :3], x[9, :3], r[9, :3] = bad, bad, bad, bad[[1, 1, 1]]
    return ("F32", x.view(np.uint8)), ("F32", r.view(np.uint8))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run everything that this module asks of the interpreter in one process."""
    jobs = {key: ("dequantize", key[0], blocks) for key, (blocks, _) in GOLDEN.items()}
    for name in FORMATS:
        for dtype in DTYPES:
            n = 3 if FORMATS[name].qtype.block_size > 1 else 37
            jobs[name, dtype] = ("dequantize", name, random_blocks(name, n), dtype)
    for dtype in DTYPES[1:]:
        jobs["rounded", dtype] = ("dequantize", "F32", random_blocks("F32"), dtype)
    jobs |= {("zeros", name): ("dequantize", name, zeros(name)) for name in ("Q4_1", "Q5_1")}
    jobs |= {key: ("measure", *pair) for key, pair in PAIRS.items()}
    jobs["not numbers"] = ("measure", *not_numbers())
    jobs["no histogram"] = ("measure", *PAIRS["Q4_0", "BF16"], False)
    jobs["public"] = ("public", "Q8_0", cases("Q8_0")[1][0][:4])
    jobs["nothing"] = ("public", "Q8_0", np.zeros((3, 0), np.uint8))
    jobs |= {("choice", backend): ("choose", "cpu", backend) for backend in (None, "triton")}
    jobs["compare"] = ("compare", *LLAMA, "blk.1.attn_[kv].weight")
    jobs["far"] = ("far", "Q8_0", random_blocks("Q8_0", 100) & 0xBF, FAR)  # it changes the module
    return interpreted.run(jobs, tmp_path_factory.mktemp("interpreted"))


@pytest.mark.parametrize("name", TYPES)
def test_values_are_those_of_ggml_bit_for_bit(name, results):
    for key in [key for key in GOLDEN if key[0] == name]:
        want = GOLDEN[key][1]
        assert same_bits(results[key].view(np.float32).reshape(want.shape), want)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_that_of_numpy_and_rounds_as_torch(name, results):
    n = 3 if FORMATS[name].qtype.block_size > 1 else 37
    want = torch.from_numpy(numpy_.dequantize(FORMATS[name], random_blocks(name, n)))
    for dtype in DTYPES:
        assert_rounded(results[name, dtype], want, dtype)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_ties_denormals_and_overflows_round_as_torch(dtype, results):
    want = torch.from_numpy(random_blocks("F32").view(np.float32).copy())
    assert_rounded(results["rounded", dtype], want, dtype)


def assert_rounded(bits, values, dtype):
    want = values.to(getattr(torch, dtype))
    same = torch.from_numpy(bits) == want.view({2: torch.int16, 4: torch.int32}[want.itemsize])
    got_nan = torch.from_numpy(bits).view(want.dtype).isnan()
    assert (same | (want.isnan() & got_nan)).all()


@pytest.mark.parametrize("name", ["Q4_1", "Q5_1"])
def test_a_zero_keeps_its_sign(name, results):
    want = numpy_.dequantize(FORMATS[name], zeros(name))
    assert len({*np.signbit(want).ravel()}) == 2
    assert same_bits(results["zeros", name].view(np.float32), want)


@pytest.mark.parametrize("key", PAIRS, ids="-".join)
def test_the_fused_comparison_equals_the_plain_path(key, results):
    same(Statistics(**results[key]), plain_way(*PAIRS[key]), 1e-6)


def test_what_is_no_number_is_counted_and_not_hidden(results):
    got, want = Statistics(**results["not numbers"]), plain_way(*not_numbers())
    assert (got.n_nan, got.n_inf) == (want.n_nan, want.n_inf) == (3, 6)
    same(got, want, 1e-12)


def test_without_a_histogram_the_sums_are_the_same(results):
    with_one, without = results["Q4_0", "BF16"], results["no histogram"]
    assert not without["counts"].any()
    for figure in ("n", "ee", "rr", "xx", "xr", "abs_e", "peak"):
        assert with_one[figure] == without[figure]


def test_beyond_2_to_the_31_weights(results):
    values, sums = results["far"]
    want = numpy_.dequantize(FORMATS["Q8_0"], random_blocks("Q8_0", 100) & 0xBF)
    assert same_bits(values, want)
    near = measure(want, want * np.float32(1.25))
    n = sums["n"] = 32 * (FAR + 100)
    assert n > 2**31
    near.counts[CENTRE] += n - near.n  # before them, all is zero
    near.n = n
    same(Statistics(**sums), near, 1e-6)


def test_the_public_function_and_what_is_chosen(results):
    assert same_bits(results["public"], cases("Q8_0")[1][1][:4])
    assert results["nothing"].shape == (3, 0)
    assert results["choice", None] == "numba"  # never by itself on the CPU
    assert results["choice", "triton"] == "triton"


def test_a_model_is_compared_as_on_the_cpu(results):
    import gguf_lab as gl

    backend, rows = results["compare"]
    want = gl.compare(*LLAMA, tensors="blk.1.attn_[kv].weight", device="cpu", progress=False)
    assert backend == "triton"
    assert [row[0] for row in rows] == [row.name for row in want.compared]
    for (_, rmse, cosine, counts), row in zip(rows, want.compared, strict=True):
        assert (rmse, cosine) == pytest.approx((row.rmse, row.cosine), rel=1e-6)
        assert (counts == row.histogram.counts).all()


def test_on_the_cpu_it_is_refused_unless_interpreted():
    with pytest.raises(GGUFLabError, match="TRITON_INTERPRET=1"):
        choose_backend("cpu", "triton")


@pytest.fixture
def any_device(monkeypatch):
    """Torch can use every device."""
    monkeypatch.setattr(dispatch, "_require_torch", lambda device: None)


@pytest.mark.usefixtures("any_device")
def test_without_triton_torch_serves(monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    dispatch._triton_trouble.cache_clear()
    assert choose_backend("cuda") == "torch"
    with pytest.raises(GGUFLabError, match="not installed"):
        choose_backend("cuda", "triton")
    dispatch._triton_trouble.cache_clear()


@pytest.mark.usefixtures("any_device")
def test_a_device_on_which_it_fails_gets_torch(monkeypatch):
    from gguf_lab.codec.backends import triton_

    def fail(*arguments):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(triton_, "dequantize", fail)
    monkeypatch.setattr(dispatch, "to_tensor", lambda array: torch.empty(array.shape).to("meta"))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *arguments: tensor)
    dispatch._triton_trouble.cache_clear()
    assert choose_backend("cuda:7") == "torch"
    with pytest.raises(GGUFLabError, match="C compiler"):
        choose_backend("cuda:7", "triton")
    dispatch._triton_trouble.cache_clear()
    monkeypatch.setattr(triton_, "dequantize", lambda *arguments: torch.zeros(1))
    assert choose_backend("cuda:7") == "triton"
    dispatch._triton_trouble.cache_clear()
