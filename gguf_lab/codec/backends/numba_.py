"""The numba backend: CPU kernels as fast as ggml's own C, compiled from the definitions.

What makes them fast, each measured: the inner loop has a trip count known only at run time (a
constant one is unrolled before LLVM vectorizes, and numba ships without the SLP vectorizer), but
bounded; integers are of 32 bits (:mod:`.words`); loads are marked invariant and apart from stores,
so that they may be hoisted over them; half to float is one instruction, or integer arithmetic where
the CPU has none; no fastmath, so that the bits are ggml's.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target
from numba.extending import intrinsic, typeof_impl

from ..bind import bind, digest
from ..formats import FORMATS
from ..threads import run_chunks
from .compiling import compile_once
from .words import WORD, as_float, narrow, select, widen

if TYPE_CHECKING:
    from ..formats import Format

__all__ = [
    "BYTES",
    "FUNCTION",
    "as_blocks",
    "as_function",
    "bitcast",
    "bitcast_f32",
    "bitcast_u32",
    "compile_kernel",
    "dequantize",
    "dequantizer",
    "select",
]


def _start_compiler() -> None:
    """Set numba's compiler up, before the first decorator below does.

    It walks over the names of `builtins`, which fails if another thread adds one meanwhile;
    IPython does that at the end of a cell, while a comparison starts in the background.
    """
    for _ in range(50):
        try:
            cpu_target.target_context  # noqa: B018
        except RuntimeError:  # dictionary changed size during iteration
            time.sleep(0.01)
        else:
            return
    cpu_target.target_context  # noqa: B018


_start_compiler()


# --- primitives -----------------------------------------------------------------------------------


def _mark(instruction: Any, module: Any, own: str, other: str) -> None:
    """Say whether an instruction touches a "block" or "weights", which lie apart.

    LLVM would check that for every group of weights.
    """
    domain = module.add_metadata(["gguf_lab"])
    for kind, place in (("alias.scope", own), ("noalias", other)):
        instruction.set_metadata(kind, module.add_metadata([module.add_metadata([place, domain])]))


def _loader(bits: int, number: Any = WORD, *, block: bool = True) -> Any:
    """Make an intrinsic: read a `number` of so many bits at a byte offset, where nobody writes.

    block: it is one of blocks, not a table. Of tables LLVM shall not know so much: it would gather
    from them with instructions that are slower than plain reads.
    """

    @intrinsic
    def load(typing_context: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            pointer = builder.gep(data, [widen(builder, args[1])])
            width = ir.IntType(bits)
            value = builder.load(builder.bitcast(pointer, width.as_pointer()), align=1)
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
            if block:
                _mark(value, builder.module, "block", "weights")
            return builder.zext(value, ir.IntType(32)) if bits < 32 else value

        return number(array, offset), generate

    return load


_IN_REGISTERS = 16
"""Bytes of a table that is chosen from, not read: quicker in vectors than one byte at a time."""


def _chooser(table: np.ndarray) -> Any:
    """Make an intrinsic: ``at`` of a table of sixteen bytes, which becomes part of the code."""

    @intrinsic
    def pick(typing_context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            i, word = narrow(builder, args[1]), ir.IntType(32)
            quarters = [word(int(four)) for four in table.view("<u4")]
            above = [builder.icmp_unsigned(">", i, word(last)) for last in (3, 7, 11)]
            low = builder.select(above[0], quarters[1], quarters[0])
            high = builder.select(above[2], quarters[3], quarters[2])
            four = builder.select(above[1], high, low)
            place = builder.shl(builder.and_(i, word(3)), word(3))
            return builder.and_(builder.lshr(four, place), word(255))

        return WORD(array, index), generate

    return pick


def bitcast(source: Any, target: Any, width: Any) -> Any:
    """Make an intrinsic: the same bits as another type."""

    @intrinsic
    def cast(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], width)

        return target(source), generate

    return cast


@intrinsic
def _store(typing_context: Any, weights: Any, index: Any, weight: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        instruction = builder.store(args[2], builder.gep(data, [args[1]]), align=4)
        _mark(instruction, builder.module, "weights", "block")
        return context.get_dummy_value()

    return types.void(weights, types.intp, types.float32), generate


_put: Any = _store  # mypy does not see through the decorator
bitcast_f32 = bitcast(types.uint32, types.float32, ir.FloatType())
bitcast_u32 = bitcast(types.float32, types.uint32, ir.IntType(32))
_bitcast_f64 = bitcast(types.int64, types.float64, ir.DoubleType())

_inline = njit(inline="always")


@intrinsic
def _half_by_hardware(typing_context: Any, h: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = narrow(builder, args[0], 16)
        return builder.fpext(builder.bitcast(bits, ir.HalfType()), ir.FloatType())

    return types.float32(h), generate


def _converts_halves() -> bool:
    """Whether kernels are compiled for a CPU that does; LLVM would call a missing function else."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.startswith(("aarch64", "arm64")) or "+f16c" in features.split(",")


@intrinsic
def _low_bits(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return narrow(builder, args[0])

    return types.uint32(x), generate


_as_u32: Any = _low_bits


@_inline
def _half(h: Any) -> Any:
    h = _as_u32(h)
    e, m = h & np.uint32(0x7C00), h & np.uint32(0x3FF)
    exponent = select(
        e == np.uint32(0x7C00),
        np.uint32(0x7F800000),
        (e << np.uint32(13)) + np.uint32(112 << 23),
    )
    normal = bitcast_f32(exponent | (m << np.uint32(13)))
    x = select(e == np.uint32(0), np.float32(m) * np.float32(2.0**-24), normal)
    return select(h > np.uint32(0x7FFF), -x, x)


PRIMITIVES: dict[str, Any] = {
    "u8": _loader(8),
    "u16": _loader(16),
    "u32": _loader(32),
    "i64": _loader(64, types.int64),
    "at": _loader(8, block=False),
    "f32": as_float,
    "half": _half_by_hardware if _converts_halves() else _half,
    "bits": _inline(lambda u: bitcast_f32(_as_u32(u))),
    "bits64": _bitcast_f64,
    "where": select,
}


# --- kernels --------------------------------------------------------------------------------------


@cache
def _source_digest() -> str:
    here = Path(__file__)
    source = here.read_bytes() + here.with_name("words.py").read_bytes()
    return hashlib.blake2b(source, digest_size=4).hexdigest()


BYTES = types.Array(types.uint8, 1, "C", readonly=True)
BLOCKS = types.Array(types.uint8, 2, "C", readonly=True)
DEQUANTIZE = types.void(BLOCKS, BYTES, types.float32[:, :, ::1])
FUNCTION = types.FunctionType(DEQUANTIZE)


@cache  # one line for all kernels
def _tell_of_cache(reason: str) -> None:
    warnings.warn(
        f"numba's cache could not be used ({reason}): kernels are compiled for this process alone. "
        "If this comes again, set NUMBA_CACHE_DIR to a folder that can be written to and has room.",
        stacklevel=3,
    )


def compile_kernel(kernel: Any, name: str, environment: dict[str, Any], signature: Any) -> Any:
    """Compile a kernel over an environment, cached on disk.

    The signature is explicit, so that read-only and ordinary arrays share one compilation.
    numba's cache watches the time stamp of the kernel's own file; whatever else the kernel is made
    of must be in its name, or a stale one would run: the primitives are put there, a digest of the
    definitions (see :func:`gguf_lab.codec.bind.digest`) is the caller's to give.

    Warns
    -----
    UserWarning
        If the cache is of no use: there is no folder to write to, the disk is full, or a file in it
        was cut off. The latter would fail for ever; so the kernel's place in it is emptied.
    """
    name = f"{name}_{_source_digest()}"
    fn = FunctionType(kernel.__code__, {**kernel.__globals__, **environment}, name)
    fn.__qualname__ = name
    fn.__module__ = kernel.__module__
    compiled = partial(njit, signature, nogil=True, error_model="numpy")
    try:
        return compiled(cache=True)(fn)
    except Exception as problem:  # noqa: BLE001 -- numba lets through whatever its cache meets
        kernel = compiled()(fn)  # what is wrong with the kernel itself is raised here
        with suppress(Exception):
            FunctionCache(fn).flush()  # type: ignore[no-untyped-call]
        _tell_of_cache(getattr(problem, "strerror", None) or type(problem).__name__)
        return kernel


def _dequantize(src: Any, table: Any, out: Any) -> None:
    # src: (blocks, bytes), out: (blocks, groups, weights of a group)
    for i in range(out.shape[0]):
        b = src[i]
        for g in range(out.shape[1]):
            d, m = scale(b, table, g)  # type: ignore[name-defined]  # noqa: F821
            o = out[i, g]
            for j in range(min(o.size, LONGEST)):  # type: ignore[name-defined]  # noqa: F821
                q = as_float(quant(b, table, g, j))  # type: ignore[name-defined]  # noqa: F821
                _put(o, j, as_float(d) * q - as_float(m))


def dequantizer(fmt: type[Format]) -> Any:
    """Return a format's compiled kernel: ``kernel(src, table, out)``, see :func:`as_blocks`."""
    return _kernel(fmt.name)


class _Function(types.WrapperAddressProtocol):
    """A compiled kernel as an argument of another one: its address, looked up once.

    numba would take the kernel itself, but then looks into its compiler's tables at every call,
    which is not safe while another thread compiles.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        compiled = kernel.get_compile_result(DEQUANTIZE)
        name = compiled.fndesc.llvm_cfunc_wrapper_name
        self._address: int = compiled.library.get_pointer_to_function(name)

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        return DEQUANTIZE


@typeof_impl.register(_Function)
def _typeof_function(function: _Function, context: Any) -> Any:
    return FUNCTION  # numba would make the same one anew at every call: 10 us


@compile_once
def as_function(name: str) -> Any:
    """Return the kernel of a format, by name, as an argument of type `FUNCTION`."""
    return _Function(_kernel(name))


@compile_once
def _kernel(name: str) -> Any:
    fmt, primitives = FORMATS[name], PRIMITIVES
    hash_ = digest(fmt.scale, fmt.quant, primitives=PRIMITIVES)
    if fmt.table().size == _IN_REGISTERS:
        primitives = PRIMITIVES | {"at": _chooser(fmt.table())}
        hash_ += hashlib.blake2b(fmt.table().tobytes(), digest_size=4).hexdigest()
    environment = {
        "LONGEST": _longest(fmt),
        "scale": bind(fmt.scale, primitives, _inline),
        "quant": bind(fmt.quant, primitives, _inline),
    }
    name = f"dequantize_{fmt.name}_{hash_}_{fmt.group}"
    return compile_kernel(_dequantize, name, environment, DEQUANTIZE)


def _longest(fmt: type[Format]) -> int:
    """Return the bound of the inner loop: LLVM would do more weights at a time than a group has.

    For a bound of eight it would take them one by one, without a loop. Where there are only four,
    that is best.
    """
    if fmt.plain():
        return 1 << 60
    return 16 if fmt.group == 8 else fmt.group


def as_blocks(
    fmt: type[Format], blocks: np.ndarray, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shape bytes (blocks, bytes) and values (blocks, groups, weights of a group) for a kernel.

    A run of plain numbers is one block of one group.
    """
    if fmt.plain():
        return blocks.reshape(1, -1), out.reshape(1, 1, -1)
    size, group = fmt.qtype.block_size, fmt.group
    return blocks.reshape(-1, fmt.qtype.type_size), out.reshape(-1, size // group, group)


def dequantize(
    fmt: type[Format],
    blocks: np.ndarray,
    threads: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Decode blocks.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    blocks : uint8 array (n_blocks, type_size)
        Little endian.
    threads : int, optional
        Default: the CPUs that this process may use.
    out : float32 array (n_blocks, block_size), optional
        Where to write; C-contiguous.

    Returns
    -------
    float32 array (n_blocks, block_size)
    """
    blocks = np.ascontiguousarray(blocks)
    if out is None:
        out = np.empty((len(blocks), fmt.qtype.block_size), np.float32)
    kernel, table = dequantizer(fmt), fmt.table()

    def work(start: int, stop: int) -> None:
        src, target = as_blocks(fmt, blocks[start:stop], out[start:stop])
        kernel(src, table, target)

    run_chunks(work, len(blocks), fmt.qtype.block_size, threads)
    return out
