"""What Triton compiles of the kernels for NVIDIA GPUs, without one: run on NumPy, and looked at."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gguf_lab.codec import FORMATS
from gguf_lab.comparison.statistics import Statistics

from ..comparison.test_statistics import plain_way, same
from ..scripts import load
from . import interpreted
from .golden import TYPES, same_bits
from .test_triton import GOLDEN, PAIRS, not_numbers, random_blocks, zeros

triton = pytest.importorskip("triton", reason="there is no Triton for this platform")

from .compiled import on_the_cpu  # noqa: E402

pytestmark = pytest.mark.slow  # compiled anew for every format: a minute in all


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


def dequantize(name, blocks):
    return interpreted.dequantize(name, blocks).view(np.float32)


def measure(*sides):
    return Statistics(**interpreted.measure(*sides))


# --- run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_values_are_those_of_ggml_bit_for_bit(name):
    for key in [key for key in GOLDEN if key[0] == name]:
        blocks, want = GOLDEN[key]
        with on_the_cpu():
            assert same_bits(dequantize(name, blocks).reshape(want.shape), want)


@pytest.mark.parametrize("name", ["Q4_1", "Q5_1"])
def test_a_zero_keeps_its_sign(name):
    from gguf_lab.codec.backends import numpy_

    with on_the_cpu():
        assert same_bits(
            dequantize(name, zeros(name)), numpy_.dequantize(FORMATS[name], zeros(name))
        )


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_check_for_gpus_finds_nothing_wrong(name):
    """Every format, to every type, and the comparison of sane and of random blocks."""
    script = load("benchmarks/gpu_check.py")
    with on_the_cpu():
        row = script.check(name, "cpu", ("triton",), np.random.default_rng(0), 5000)
    assert (row["error"], row["wrong"]) == (None, [])


@pytest.mark.parametrize("capability", [75, 80, 120])
@pytest.mark.parametrize("name", ["Q4_0", "IQ3_S"])
def test_for_other_gpus_too(name, capability):
    script = load("benchmarks/gpu_check.py")
    with on_the_cpu(capability):
        row = script.check(name, "cpu", ("triton",), np.random.default_rng(0), 5000)
    assert (row["error"], row["wrong"]) == (None, [])


@pytest.mark.parametrize("last_warp_first", [False, True])
@pytest.mark.parametrize("key", PAIRS, ids="-".join)
def test_the_fused_comparison_equals_the_plain_path(key, last_warp_first):
    with on_the_cpu(last_warp_first=last_warp_first):
        same(measure(*PAIRS[key]), plain_way(*PAIRS[key]), 1e-6)


def test_what_is_no_number_is_counted_and_not_hidden():
    with on_the_cpu():
        same(measure(*not_numbers()), plain_way(*not_numbers()), 1e-12)


def test_both_ends_of_a_large_tensor():
    with on_the_cpu():
        found = load("benchmarks/gpu_check.py").check_huge("cpu", 32 * 3000)
    assert (found["weights"], found["wrong"]) == (96_000, [])


def test_without_a_histogram_the_sums_are_the_same():
    with on_the_cpu():
        one, other = (measure(*PAIRS["Q4_0", "BF16"], count) for count in (True, False))
    assert not other.counts.any()
    assert [one.ee, one.rr, one.xx, one.xr] == [other.ee, other.rr, other.xx, other.xr]


@pytest.mark.parametrize("name", ["BF16", "F64", "Q4_K", "Q8_0"])
@pytest.mark.parametrize("start", [1, 2, 4, 8])
def test_blocks_may_begin_anywhere(name, start):
    """A GPU does not read 4 bytes at an address that is no multiple of 4."""
    from gguf_lab.codec.backends import numpy_

    blocks = random_blocks(name, 40)
    room = np.zeros(blocks.size + 64, np.uint8)
    skip = -room.ctypes.data % 16 + start
    moved = room[skip : skip + blocks.size].reshape(blocks.shape)
    moved[:] = blocks
    with on_the_cpu():
        assert same_bits(dequantize(name, moved), numpy_.dequantize(FORMATS[name], blocks))


# --- looked at ------------------------------------------------------------------------------------


@pytest.fixture
def compiler():
    return load("benchmarks/gpu_compiled.py")


FEW = ("BF16", "F64", "IQ2_XXS", "MXFP4", "Q4_K")


@pytest.mark.parametrize("name", FEW)
def test_decoding_rounds_as_ggml_does(name, compiler):
    ptx = compiler.compile_decoding(name).asm["ptx"]
    # Products and sums are rounded one by one, and denormals are kept: ggml's bits.
    assert not re.findall(r"\bfma\.|\.ftz\b", ptx)
    assert "st.global" in ptx


def test_no_two_formats_are_the_same_to_a_launch(compiler):
    """Triton 3.3 knows a function by its module and name alone."""
    from gguf_lab.codec.backends import triton_

    bound = [f for name in FORMATS for f in triton_._functions(name)]
    assert len({(f.__module__, f.__name__) for f in bound}) == len(bound)


def test_bfloat16_is_rounded_by_the_gpu(compiler):
    ptx = compiler.compile_decoding("Q8_0", "bf16").asm["ptx"]
    assert ptx.count("cvt.rn.bf16x2.f32") == 8  # two of a thread's sixteen weights at a time


@pytest.mark.parametrize("wide", [False, True])
def test_the_comparison_compiles_for_a_gpu(wide, compiler):
    made = compiler.compile_comparison("Q4_K", wide=wide)
    assert len(made.asm["cubin"]) > 1000
    ptx = made.asm["ptx"]
    assert ".ftz" not in ptx
    assert ("fma.rn.f64" if wide else "fma.rn.f32") in ptx
    assert 32 < compiler.registers(made) < 256


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K", "Q6_K", "MXFP4"])
def test_threads_do_not_wait_for_each_other_at_every_tile(name, compiler):
    assert not [line for line in compiler.body(compiler.compile_comparison(name)) if "BAR" in line]


def test_errors_are_counted_in_shared_memory(compiler):
    code = compiler.body(compiler.compile_comparison("Q8_0"))
    added = [line.split()[0] for line in code if line.startswith(("ATOM", "RED"))]
    assert added == ["ATOMS.POPC.INC.32"] * 8  # weights to a thread


@pytest.mark.parametrize(("name", "loads"), [("BF16", 2), ("F32", 4)])
def test_plain_numbers_are_read_16_bytes_at_a_time(name, loads, compiler):
    code = compiler.body(compiler.compile_decoding(name))
    found = [line.split()[0] for line in code if line.startswith("LDG")]
    assert found == ["LDG.E.128"] * loads  # of 16 weights to a thread


def test_the_comparison_decodes_each_side_once(compiler):
    """Sums in different layouts of threads would each decode for themselves."""
    code = compiler.body(compiler.compile_comparison("Q4_0", count=False))
    conversions = [line for line in code if line.startswith("I2F")]
    assert len(conversions) == 8  # weights to a thread
    assert len([line for line in code if line.startswith("LDG.E.128")]) == 1
