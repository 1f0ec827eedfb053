from __future__ import annotations

import ast
import inspect
import os
import platform
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import gguf_lab as gl
from gguf_lab.codec import BACKENDS, FORMATS, dispatch, has_float64, to_little_endian
from gguf_lab.codec.backends import numpy_, torch_
from gguf_lab.codec.bind import bind, digest

from .golden import TYPES, cases, same_bits

# Triton runs on the CPU interpreted only, in a process of its own: test_triton.py.
ON_CPU = [backend for backend in BACKENDS if backend != "triton"]

PLAIN = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "I8": "<i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("name", TYPES)
def test_values_are_those_of_ggml_bit_for_bit(name, backend):
    for blocks, want in cases(name):
        assert same_bits(gl.dequantize(blocks, name, backend=backend), want)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_plain_numbers_are_those_of_numpy(name, backend):
    dtype = np.dtype(PLAIN[name])
    raw = np.random.default_rng(0).integers(0, 256, (7, 40 * dtype.itemsize), dtype=np.uint8)
    edges = np.array([0, -1, 1, 127, -128], dtype).view(np.uint8)
    raw[0, : edges.size] = edges
    with np.errstate(all="ignore"):
        want = raw.view(dtype).astype(np.float32)
    assert same_bits(gl.dequantize(raw, name, backend=backend), want)


@pytest.mark.parametrize("name", ["Q8_1", "Q8_K"])
def test_intermediate_types_agree_on_all_backends(name):
    size = FORMATS[name].qtype.type_size
    blocks = np.random.default_rng(0).integers(0, 256, (50, size), dtype=np.uint8)
    want = gl.dequantize(blocks, name, backend="numpy")
    for backend in ON_CPU:
        assert same_bits(gl.dequantize(blocks, name, backend=backend), want)


@pytest.mark.parametrize("backend", ON_CPU)
def test_tensors_come_back_as_tensors_and_arrays_as_arrays(backend):
    blocks, want = cases("Q4_0")[1]
    tensor = gl.dequantize(torch.from_numpy(blocks), "Q4_0", backend=backend)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float32
    assert same_bits(tensor.numpy(), want)
    assert isinstance(gl.dequantize(blocks, 2, backend=backend), np.ndarray)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "BF16"])
def test_values_are_written_where_they_are_wanted(name, backend):
    blocks, want = cases(name)[0]
    room = np.full((len(want) + 2, want.shape[1]), np.nan, np.float32)
    out = room[1:-1]
    assert gl.dequantize(blocks, name, backend=backend, out=out) is out
    assert same_bits(out, want)
    assert np.isnan(room[[0, -1]]).all()
    frozen = want.copy()
    frozen.flags.writeable = False
    with pytest.raises(gl.GGUFLabError, match=r"float32 of shape .*, read-only$"):
        gl.dequantize(blocks, name, backend=backend, out=frozen)
    with pytest.raises(gl.GGUFLabError, match=r"got list$"):
        gl.dequantize(blocks, name, backend=backend, out=[])
    both = np.zeros(want.nbytes, np.uint8)
    overlapping, inside = both.view(np.float32).reshape(want.shape), both[: blocks.size]
    with pytest.raises(gl.GGUFLabError, match="out overlaps the blocks"):
        gl.dequantize(inside.reshape(blocks.shape), name, backend=backend, out=overlapping)
    rows, columns = want.shape
    others = np.zeros((rows, columns - 1), np.float32), np.zeros(want.shape)
    for wrong in (*others, np.zeros((rows, 2 * columns), np.float32)[:, ::2], frozen):
        with pytest.raises(gl.GGUFLabError, match=r"out must be a writeable, C-contiguous float32"):
            gl.dequantize(blocks, name, backend=backend, out=wrong)
    with pytest.raises(gl.GGUFLabError, match="out is for blocks in an array"):
        gl.dequantize(torch.from_numpy(blocks), name, backend=backend, out=out)


@pytest.mark.parametrize("backend", ON_CPU)
def test_leading_dimensions_are_kept_and_may_be_empty(backend):
    blocks, want = cases("Q8_0")[1]
    shaped = blocks.reshape(2, 4, -1)
    assert same_bits(gl.dequantize(shaped, "Q8_0", backend=backend), want.reshape(2, 4, -1))
    assert gl.dequantize(blocks[0], "Q8_0", backend=backend).shape == want[0].shape
    assert gl.dequantize(blocks[:0], "Q8_0", backend=backend).shape == (0, want.shape[1])
    assert gl.dequantize(blocks[:, :0], "Q8_0", backend=backend).shape == (len(blocks), 0)


@pytest.mark.parametrize("backend", ON_CPU)
def test_read_only_and_strided_input(backend):
    blocks, want = cases("Q6_K")[1]
    blocks.flags.writeable = False
    assert same_bits(gl.dequantize(blocks[::2], "Q6_K", backend=backend), want[::2])
    for turned in (blocks[::-1], blocks.copy()[::-1]):  # torch takes no negative strides
        backwards = gl.dequantize(turned, "Q6_K", backend=backend)
        assert same_bits(np.ascontiguousarray(backwards), np.ascontiguousarray(want[::-1]))


@settings(max_examples=30)
@given(name=st.sampled_from(sorted(FORMATS)), n=st.integers(1, 700), seed=st.integers(0, 2**32 - 1))
def test_backends_agree_on_random_bytes_across_chunk_borders(name, n, seed):
    fmt = FORMATS[name]
    n = max(1, n * 256 // fmt.qtype.block_size)
    shape = (n, fmt.qtype.type_size)
    blocks = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    want = numpy_.dequantize(fmt, blocks)
    assert same_bits(gl.dequantize(blocks, name, backend="numba"), want)
    assert same_bits(torch_.dequantize(fmt, torch.from_numpy(blocks)).numpy(), want)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"F64"}))
def test_torch_asks_for_no_numbers_that_a_device_may_lack(name):
    """MPS has neither float64 nor unsigned words; F64 itself is for other devices."""
    made = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            made.update(x.dtype for x in tree_leaves(result) if isinstance(x, torch.Tensor))
            return result

    blocks = torch.zeros((2, FORMATS[name].qtype.type_size), dtype=torch.uint8)
    with Watch():
        gl.dequantize(blocks, name, backend="torch")
    assert torch.float32 in made
    assert not made & {torch.float64, torch.uint16, torch.uint32, torch.uint64}


def test_f64_is_refused_on_a_device_that_lacks_it(monkeypatch):
    def narrow(*_, **__):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    def full(*_, **__):
        raise torch.OutOfMemoryError

    assert has_float64("cpu")
    with monkeypatch.context() as changed:
        changed.setattr(torch, "zeros", narrow)
        assert not has_float64.__wrapped__("cpu")
    with monkeypatch.context() as changed:
        changed.setattr(torch, "zeros", full)
        with pytest.raises(torch.OutOfMemoryError):
            has_float64.__wrapped__("cpu")
    monkeypatch.setattr(dispatch, "has_float64", lambda _: False)
    with pytest.raises(gl.UnsupportedError, match="'cpu' has no numbers of F64: decode"):
        gl.dequantize(np.zeros((2, 8), np.uint8), "F64", backend="torch")
    assert gl.dequantize(np.zeros((2, 4), np.uint8), "F32", backend="torch").shape == (2, 1)


def test_threads_change_nothing():
    from gguf_lab.codec.backends import numba_

    blocks = np.random.default_rng(1).integers(0, 256, (200_000, 18), dtype=np.uint8)
    one = numba_.dequantize(FORMATS["Q4_0"], blocks, threads=1)
    assert same_bits(numba_.dequantize(FORMATS["Q4_0"], blocks, threads=3), one)


@pytest.mark.parametrize("name", TYPES)
def test_a_definition_wrong_in_one_bit_fails_against_the_golden_data(name):
    """The golden data sees every bit of a block: flip any one, and some weight changes.

    So a definition that ignored or misread a bit could not pass the tests above.
    """
    blocks, _ = cases(name)[-1]
    blocks = np.unique(blocks.reshape(-1, FORMATS[name].qtype.type_size), axis=0)[-48:]
    want = numpy_.dequantize(FORMATS[name], blocks)
    # The sign table has even parity and Q3_K to Q6_K leave no bit unused; known unused bits:
    unused = {"NVFP4": {byte * 8 + 7 for byte in range(4)}}.get(name, set())
    for bit in range(8 * FORMATS[name].qtype.type_size):
        flipped = blocks.copy()
        flipped[:, bit // 8] ^= 1 << bit % 8
        seen = not same_bits(numpy_.dequantize(FORMATS[name], flipped), want)
        assert seen or bit in unused, f"no weight depends on bit {bit % 8} of byte {bit // 8}"


@pytest.mark.parametrize("name", [name for name in TYPES if FORMATS[name].table().size > 16])
def test_a_grid_with_one_wrong_entry_fails(name):
    """Each entry is read, in blocks as many as that takes, and gives gguf-py's value."""
    fmt, seen = FORMATS[name], np.zeros(FORMATS[name].table().size, bool)
    shape = (1500, fmt.qtype.type_size)
    blocks = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    with np.errstate(all="ignore"):
        want = quants.dequantize(blocks, GGMLQuantizationType[name])
    assert same_bits(numpy_.dequantize(fmt, blocks), want)

    def at(table, i):
        seen[i] = True
        return numpy_.PRIMITIVES["at"](table, i)

    g, j = np.arange(fmt.qtype.block_size // fmt.group)[:, None], np.arange(fmt.group)
    bind(fmt.quant, {**numpy_.PRIMITIVES, "at": at})(blocks, fmt.table(), g, j)
    assert seen.all()


def mutants(fn):
    """Yield copies of a definition's function, each with one number of its source off by one.

    The source, because Python 3.14 keeps small numbers in the instructions, not the constants.
    """
    source = textwrap.dedent(inspect.getsource(fn))
    for i in range(len(numbers(ast.parse(source)))):
        tree = ast.parse(source)
        number = numbers(tree)[i]
        number.value += 1
        made = {}
        exec(compile(tree, fn.__name__, "exec"), fn.__globals__, made)
        statement = next(line for line in tree.body[0].body if number in ast.walk(line))
        yield ast.unparse(statement), inspect.unwrap(made[fn.__name__])


def numbers(tree):
    """The integers in the body of the one function in `tree`."""
    nodes = (node for statement in tree.body[0].body for node in ast.walk(statement))
    return [node for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int]


# Changes that change nothing: of a value that `where` throws away.
EQUIVALENT = {
    "return (bits(where(e < 2, 2097152 << (e & 1), where(e < 2, 1, e - 1) << 23)), 0.0)",
    "normal = bits(where(e == 0, 2, e) + 119 << 23 | m << 20)",
    "normal = bits(where(e == 1, 1, e) + 119 << 23 | m << 20)",
}


@pytest.mark.parametrize("name", TYPES)
def test_a_definition_with_one_number_off_by_one_fails(name):
    fmt, survivors = FORMATS[name], []
    for part in ("scale", "quant"):
        for statement, mutant in mutants(getattr(fmt, part)):
            functions = {"scale": fmt.scale, "quant": fmt.quant, part: mutant}

            class Mutated:
                qtype, group, table, plain = fmt.qtype, fmt.group, fmt.table, fmt.plain
                scale, quant = map(staticmethod, functions.values())

            try:
                right = all(
                    same_bits(
                        numpy_.dequantize(Mutated, blocks.reshape(-1, fmt.qtype.type_size)).reshape(
                            want.shape
                        ),
                        want,
                    )
                    for blocks, want in cases(name)
                )
            except (IndexError, ValueError, TypeError):
                continue  # read beyond the block
            if right and statement not in EQUIVALENT:
                survivors.append(statement)
    assert not survivors


def test_big_endian_blocks_are_turned_field_by_field():
    # A Q4_K block starts with two halves; the rest are bytes and stay where they are.
    block = np.arange(144, dtype=np.uint8)
    turned = to_little_endian(block, "Q4_K")
    assert turned[:4].tolist() == [1, 0, 3, 2]
    assert (turned[4:] == block[4:]).all()
    numbers = np.array([1.5, -2.25], ">f4").view(np.uint8)
    assert gl.dequantize(to_little_endian(numbers, "F32"), "F32").tolist() == [1.5, -2.25]
    assert (block == np.arange(144)).all()
    for shape in [(0, 144), (3, 0)]:
        assert to_little_endian(np.zeros(shape, np.uint8), "Q4_K").shape == shape
    for wrong in (block[:143], block.astype(float), block.reshape(16, 9), [0] * 144):
        with pytest.raises(gl.GGUFLabError, match="a multiple of 144 bytes; got"):
            to_little_endian(wrong, "Q4_K")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_turning_twice_is_the_identity(name):
    shape = (3, 5 * FORMATS[name].qtype.type_size)
    blocks = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    assert (to_little_endian(to_little_endian(blocks, name), name) == blocks).all()


def test_clear_errors():
    block = np.zeros(18, np.uint8)
    with pytest.raises(gl.UnsupportedError, match=r"'Q9_9'.*Q4_0"):
        gl.dequantize(block, "Q9_9")
    with pytest.raises(gl.UnsupportedError, match="99"):
        gl.dequantize(block, 99)
    with pytest.raises(gl.GGUFLabError, match="multiple of 18 bytes"):
        gl.dequantize(block[:17], "Q4_0")
    with pytest.raises(gl.GGUFLabError, match="uint8"):
        gl.dequantize(block.astype(np.float32), "Q4_0")
    with pytest.raises(gl.GGUFLabError, match="'cython' is unknown"):
        gl.dequantize(block, "Q4_0", backend="cython")
    with pytest.raises(gl.GGUFLabError, match="needs 'torch'"):
        gl.dequantize(block, "Q4_0", device="cuda", backend="numba")
    with pytest.raises(gl.GGUFLabError, match=r"an array of uint8 .*; got list with shape \(\)"):
        gl.dequantize([0] * 18, "Q4_0")
    with pytest.raises(gl.GGUFLabError, match=r"an array of uint8 .*; got Series with shape \(\)"):
        gl.dequantize(pd.Series(block), "Q4_0")


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(
    "change", [lambda t: t.to("meta"), torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr]
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_tensor_without_data_or_not_dense_is_refused(change, backend):
    blocks = change(torch.ones(2, 18, dtype=torch.uint8))
    with pytest.raises(
        gl.GGUFLabError, match=r"dense tensor with data; got a torch\.\w+ tensor on"
    ):
        gl.dequantize(blocks, "Q4_0", backend=backend)


@pytest.mark.parametrize("which", ["q4_0", "Q4_0", 2, np.int64(2), GGMLQuantizationType.Q4_0])
def test_a_type_is_asked_for_by_name_in_any_letters_or_by_number(which):
    block = gl.quantize(np.linspace(-1, 1, 32), which)
    assert gl.dequantize(block, which).shape == (1, 32)
    assert gl.dissect(block[0], which).qtype.name == "Q4_0"
    with pytest.raises(gl.UnsupportedError, match="True"):  # not F16, the type number 1
        gl.dequantize(block, True)


@pytest.mark.parametrize("device", ["banana", "cpufoo", "CPU", "meta", "cuda:77", "auto"])
def test_a_device_that_is_none_is_refused(device):
    said = f"device '{device}' cannot be used with torch here"
    with pytest.raises(gl.GGUFLabError, match=said) as refused:
        gl.dequantize(np.zeros(18, np.uint8), "Q4_0", device=device)
    assert repr(device) not in str(refused.value).rpartition("Expected")[2]


def test_without_torch_its_backend_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    dispatch._require_torch.cache_clear()
    with pytest.raises(gl.GGUFLabError, match="with torch here: ModuleNotFoundError"):
        dispatch.choose_backend("cpu", "torch")


def test_a_number_or_a_default_that_a_definition_names_makes_it_another():
    """The compiled kernel of another definition is kept on disk under the digest."""

    def definition(zero, default):
        scope: dict = {"ZERO": zero}
        exec(f"def quant(b, t, g, j, k={default}):\n    return u8(b, j) - ZERO + k", scope)
        return scope["quant"]

    seen = {digest(definition(*numbers), primitives={}) for numbers in [(8, 0), (7, 0), (8, 1)]}
    assert len(seen) == 3
    assert digest(definition(8, 0), primitives={}) in seen


def test_without_numba_numpy_serves(monkeypatch):
    monkeypatch.setattr(dispatch, "_numba_works", lambda: False)
    assert dispatch.choose_backend() == "numpy"
    with pytest.raises(gl.GGUFLabError, match="numba"):
        dispatch.choose_backend(backend="numba")
    blocks, want = cases("Q4_1")[1]
    assert same_bits(gl.dequantize(blocks, "Q4_1"), want)


def test_a_broken_numba_is_not_chosen(monkeypatch):
    dispatch._numba_works.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)  # import raises ImportError
    monkeypatch.setattr(dispatch, "find_spec", lambda name: object())
    assert dispatch.choose_backend() == "numpy"
    dispatch._numba_works.cache_clear()


def test_numba_that_compiles_nothing_is_not_chosen(monkeypatch):
    dispatch._numba_works.cache_clear()
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert dispatch.choose_backend() == "numpy"
    with pytest.raises(gl.GGUFLabError, match="NUMBA_DISABLE_JIT"):
        gl.quantize(np.zeros((1, 32), np.float32), "Q8_0")
    dispatch._numba_works.cache_clear()


def test_names_added_to_builtins_meanwhile_do_not_stop_the_compiler():
    """numba walks over `builtins` when it starts; a notebook's main thread adds to it."""
    code = (
        "from numba.core import base\n"
        "load, calls = base._load_global_helpers, []\n"
        "def fail_first():\n"
        "    calls.append(1)\n"
        "    if len(calls) < 4:\n"
        "        raise RuntimeError('dictionary changed size during iteration')\n"
        "    load()\n"
        "base._load_global_helpers = fail_first\n"
        "import numpy as np, gguf_lab\n"
        "gguf_lab.dequantize(np.zeros(34, np.uint8), 'Q8_0', backend='numba')\n"
        "assert len(calls) >= 4\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ALL_HALVES = """
import numpy as np
from gguf_lab import dequantize
from gguf_lab.codec.backends.numba_ import _converts_halves
raw = np.arange(1 << 16, dtype=np.uint16).reshape(16, -1).view(np.uint8)
ours, theirs = (dequantize(raw, "F16", backend=b).view(np.uint32) for b in ("numba", "numpy"))
nan = (theirs & 0x7FFFFFFF) > 0x7F800000
assert ((ours == theirs) | nan).all() and np.isnan(ours.view(np.float32)[nan]).all()
print(_converts_halves())
"""


EVERY_ARM_DOES = f"{platform.machine() not in {'x86_64', 'AMD64'}}\n"


@pytest.mark.parametrize(
    ("cpu", "converts"),
    [({}, None), ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, EVERY_ARM_DOES)],
    ids=["this one", "any"],
)
def test_halves_are_converted_with_and_without_an_instruction_for_it(cpu, converts, tmp_path):
    environment = {**os.environ, **cpu, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ALL_HALVES]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert converts in {None, answer.stdout}
