"""The Triton backend: NVIDIA GPUs, and through Triton's interpreter (TRITON_INTERPRET=1) the CPU.

The kernels are compiled with ``enable_fp_fusion=False``: a fused multiply-add rounds once where
ggml rounds twice, and the bits would differ. Blocks are addressed in 64 bits, for tensors of more
than 2**31 weights; only offsets within the share of one program are counted in 32.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import triton
import triton.language as tl

from ..bind import bind
from ..formats import FORMATS
from .torch_ import table_on

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..formats import Format

__all__ = ["INTERPRETED", "NVIDIA", "Side", "decode", "dequantize", "launch"]

# Weights that a program decodes at a time, and its warps: 16 weights to a thread.
TILE = 2048
WARPS = 4
OPTIONS = {"num_warps": WARPS, "num_stages": 1, "enable_fp_fusion": False}
"""How every kernel is compiled."""
# Plain numbers are taken in blocks too, of as many as divide their number, but not more than this.
_RUN = 256

# --- primitives: b is a tensor of pointers to the blocks, (blocks, 1, 1) --------------------------


@triton.jit
def _at(t, i):
    return tl.load(t + i).to(tl.int32)


INTERPRETED = not isinstance(_at, triton.JITFunction)
"""Whether this process runs the kernels on the CPU, through Triton's interpreter."""
NVIDIA = tl.constexpr(not INTERPRETED and torch.version.hip is None)
"""Whether PTX is understood."""


@triton.jit
def _u8(b, o):
    x = tl.load(b + o).to(tl.int32)
    if NVIDIA:
        # A copy hides that it was a byte. LLVM would go on in 8 bits, in twice the instructions.
        copy: tl.constexpr = "mov.b32 $0, $1;"
        x = tl.inline_asm_elementwise(copy, "=r,r", [x], dtype=tl.int32, is_pure=True, pack=1)
    return x


@triton.jit
def _i8(b, o):
    return tl.load(b.to(tl.pointer_type(tl.int8), bitcast=True) + o).to(tl.int32)


@triton.jit
def _u16(b, o):
    return tl.load((b + o).to(tl.pointer_type(tl.uint16), bitcast=True)).to(tl.int32)


@triton.jit
def _u32(b, o):
    # In 64 bits, so that it is never negative; some formats have it at an address of 2 modulo 4.
    return _u16(b, o).to(tl.int64) | (_u16(b, o + 2).to(tl.int64) << 16)


@triton.jit
def _i64(b, o):
    return _u32(b, o) | (_u32(b, o + 4) << 32)


@triton.jit
def _f32(x):
    return tl.cast(x, tl.float32)


@triton.jit
def _half(h):
    return h.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _bits(u):
    return u.to(tl.uint32).to(tl.float32, bitcast=True)


@triton.jit
def _bits64(i):
    return i.to(tl.float64, bitcast=True)


@triton.jit
def _where(c, x, y):
    return tl.where(c, x, y)


PRIMITIVES: dict[str, Any] = {
    "u8": _u8,
    "i8": _i8,  # a helper of the definitions, but one that a GPU can load
    "u16": _u16,
    "u32": _u32,
    "i64": _i64,
    "at": _at,
    "f32": _f32,
    "half": _half,
    "bits": _bits,
    "bits64": _bits64,
    "where": _where,
    # Not called: the interpreter looks for `tl` among a function's globals, and the compiler looks
    # up what the arguments are annotated with.
    "tl": tl,
    "Any": None,
}


# A GPU reads two bytes at once only at an even address.


@triton.jit
def _odd_u16(b, o):
    return _u8(b, o) | (_u8(b, o + 1) << 8)


@triton.jit
def _odd_u32(b, o):
    return _odd_u16(b, o).to(tl.int64) | (_odd_u16(b, o + 2).to(tl.int64) << 16)


@triton.jit
def _odd_i64(b, o):
    return _odd_u32(b, o) | (_odd_u32(b, o + 4) << 32)


ODD = PRIMITIVES | {"u16": _odd_u16, "u32": _odd_u32, "i64": _odd_i64}


# Plain numbers lie one behind the other. Said to the compiler, it loads 16 bytes at a time.


@triton.jit
def _run(b, o, number: tl.constexpr, WIDTH: tl.constexpr):
    L: tl.constexpr = o.shape[2]
    k = tl.multiple_of(tl.max_contiguous(o // WIDTH, [1, 1, L]), [1, 1, L])
    return tl.load(b.to(tl.pointer_type(number), bitcast=True) + k)


@triton.jit
def _run_u16(b, o):
    return _run(b, o, tl.uint16, 2).to(tl.int32)


@triton.jit
def _run_u32(b, o):
    return _run(b, o, tl.uint32, 4).to(tl.int64)


@triton.jit
def _run_i64(b, o):
    return _run(b, o, tl.int64, 8)


PLAIN = PRIMITIVES | {"u16": _run_u16, "u32": _run_u32, "i64": _run_i64}


# --- kernels --------------------------------------------------------------------------------------


@triton.jit
def indices(R: tl.constexpr, G: tl.constexpr, L: tl.constexpr):
    """Return the indices of R blocks, their G groups, a group's L weights, along three axes."""
    i, g, j = tl.arange(0, R), tl.arange(0, G), tl.arange(0, L)
    # Groups can share bytes. Each loads them, or threads would pass them on, and wait for that.
    j = tl.broadcast_to(j[None, None, :], [1, G, L])
    return i[:, None, None], g[None, :, None], j


@triton.jit
def decode(b, table, g, j, scale: tl.constexpr, quant: tl.constexpr):
    """Return the weights (g, j) of the blocks at the pointers `b`, as float32."""
    d, m = scale(b, table, g)
    return d * quant(b, table, g, j).to(tl.float32) - m


@triton.jit
def _to_bfloat16(x):
    """Round to nearest, ties to even, and return the bits: as torch does, any NaN becomes one."""
    if NVIDIA:
        return x.to(tl.bfloat16).to(tl.int16, bitcast=True)  # one instruction for two numbers
    u = x.to(tl.uint32, bitcast=True)
    rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16
    return tl.where(x == x, rounded, 0x7FC0).to(tl.int16)  # noqa: PLR0124


@triton.jit(do_not_specialize=["n"])
def dequantize_kernel(
    src,
    table,
    out,
    n,
    scale: tl.constexpr,
    quant: tl.constexpr,
    BYTES: tl.constexpr,
    G: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    BFLOAT16: tl.constexpr,
):
    """Decode R of the n blocks of BYTES bytes, each of G groups of L weights."""
    first = tl.program_id(0).to(tl.int64) * R
    i, g, j = indices(R, G, L)
    # Beyond the end the last block is decoded again, and not stored.
    left = tl.minimum(n - first, R).to(tl.int32)
    b = src + first * BYTES + tl.minimum(i, left - 1).to(tl.int64) * BYTES
    x = decode(b, table, g, j, scale, quant)
    if BFLOAT16:
        x = _to_bfloat16(x)
    at = (i * G + g) * L + j
    tl.store(out + first * (G * L) + at, x.to(out.dtype.element_ty), mask=i < left)


# --- from Python ----------------------------------------------------------------------------------

_LAUNCHING = threading.Lock()


def launch(kernel: Any, programs: int, *arguments: Any, device: torch.device) -> None:
    """Start a kernel on the device's current stream.

    One thread at a time: the first launch compiles, and the interpreter patches Triton's modules.
    """
    there: AbstractContextManager[Any] = nullcontext()
    if device.type == "cuda":
        there = torch.cuda.device(device)
    # The interpreter is made of NumPy: NaN, inf and overflow are data here.
    with there, _LAUNCHING, np.errstate(all="ignore"):
        kernel[(programs,)](*arguments, **OPTIONS)


def _is_odd(fmt: type[Format]) -> bool:
    """Whether a number of several bytes can be at an odd address."""
    wide = [field.offset for field in fmt.fields if field.width > 1]
    return bool(wide) and any(offset % 2 for offset in (*wide, fmt.qtype.type_size))


@cache
def _functions(name: str) -> tuple[Any, Any]:
    fmt = FORMATS[name]
    primitives = PLAIN if fmt.plain() else ODD if _is_odd(fmt) else PRIMITIVES

    def jit(function: Any) -> Any:
        # Before 3.4, Triton takes two kernels for the same if the functions that they are given
        # have the same module and name. The interpreter looks for the source's own name.
        if isinstance(_at, triton.JITFunction):
            function.__name__ = function.__qualname__ = f"{name}_{function.__name__}"
        return triton.jit(function)

    return bind(fmt.scale, primitives, jit), bind(fmt.quant, primitives, jit)


class Side:
    """Blocks on a device, as the kernels take them.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    blocks : uint8 tensor
        Little-endian blocks, of any shape.
    run : int, optional
        Plain numbers to take as one block; default: as many as divide their number, 256 at most.

    Attributes
    ----------
    blocks, table : uint8 tensors
        Contiguous; at an address that is a multiple of 8.
    scale, quant : triton functions
        The definition, bound.
    n, width, groups, group : int
        Number of blocks, and each one's bytes, groups, and weights of a group.
    """

    __slots__ = ("blocks", "group", "groups", "n", "quant", "scale", "table", "width")

    def __init__(self, fmt: type[Format], blocks: torch.Tensor, run: int | None = None) -> None:
        blocks = blocks.contiguous()
        self.blocks = blocks.clone() if blocks.data_ptr() % 8 else blocks
        self.table = table_on(fmt.name, blocks.device)
        self.scale, self.quant = _functions(fmt.name)
        self.width, self.group = fmt.qtype.type_size, fmt.group
        self.groups = fmt.qtype.block_size // fmt.group
        self.n = blocks.numel() // self.width
        if fmt.plain():
            self.group = run or min(self.n & -self.n, _RUN) or 1
            self.n //= self.group
            self.width *= self.group

    def blocks_in(self, weights: int) -> int:
        """Return how many blocks have so many weights, at least one."""
        return max(1, weights // (self.groups * self.group))


def dequantize(
    fmt: type[Format],
    blocks: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Decode blocks on their own device.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    blocks : uint8 tensor (n_blocks, type_size)
        Little endian.
    dtype : {torch.float32, torch.float16, torch.bfloat16}, optional
        Rounded from float32 as ``.to(dtype)`` does.
    out : tensor (n_blocks, block_size) of `dtype`, optional
        Contiguous: where to put the weights; default: a new tensor.

    Returns
    -------
    tensor (n_blocks, block_size) of `dtype`
    """
    if out is None:
        out = torch.empty((len(blocks), fmt.qtype.block_size), dtype=dtype, device=blocks.device)
    if not out.numel():
        return out
    side = Side(fmt, blocks)
    tile = side.blocks_in(TILE)
    is_bfloat16 = dtype == torch.bfloat16
    launch(
        dequantize_kernel,
        -(-side.n // tile),
        side.blocks,
        side.table,
        out.view(torch.int16) if is_bfloat16 else out,
        side.n,
        side.scale,
        side.quant,
        side.width,
        side.groups,
        side.group,
        tile,
        is_bfloat16,
        device=blocks.device,
    )
    return out
