"""The machine for PTX sees what goes wrong on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from .ptx import Kernel, Memory

THREADS = 64


def kernel(shared: str, body: str, stored: str) -> str:
    """Write a kernel in which %r1 is the number of the thread, and each stores a register."""
    return f"""
.visible .entry kernel(.param .u64 kernel_param_0)
.reqntid {THREADS}
{{
    .reg .b32 %r<12>;
    .reg .b64 %rd<4>;
    {shared}
    ld.param.b64 %rd1, [kernel_param_0];
    mov.u32 %r1, %tid.x;
    {body}
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    st.global.b32 [%rd3+0], {stored};
    ret;
}}
"""


# Every thread shares its number, and stores that of the thread 32 further on.
EXCHANGE = kernel(
    ".shared .align 4 .b32 numbers[64];",
    """
    mov.u32 %r2, numbers;
    shl.b32 %r3, %r1, 2;
    add.s32 %r4, %r2, %r3;
    st.shared.b32 [%r4], %r1;
    bar.sync 0;
    xor.b32 %r5, %r3, 128;
    add.s32 %r6, %r2, %r5;
    ld.shared.b32 %r7, [%r6+0];
    """,
    "%r7",
)
# Of bfloat16: 258 - 256 above, 260 - 1 below.
SUBTRACT = kernel(
    "",
    """
    mov.b32 %r2, 0x43814382;
    mov.b32 %r3, 0x43803f80;
    sub.rn.bf16x2 %r4, %r2, %r3;
    """,
    "%r4",
)
# Each warp stores a matrix of the numbers 0 to 63, row by row, and reads what lies there.
TRANSPOSE = kernel(
    ".shared .align 16 .b32 matrix[64];",
    """
    mov.u32 %r2, matrix;
    and.b32 %r3, %r1, 31;
    mul.lo.s32 %r4, %r3, 131074;
    add.s32 %r4, %r4, 65536;
    and.b32 %r5, %r1, 7;
    shl.b32 %r5, %r5, 4;
    and.b32 %r6, %r1, 32;
    shl.b32 %r6, %r6, 2;
    add.s32 %r7, %r2, %r5;
    add.s32 %r7, %r7, %r6;
    stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r7], {%r4};
    bar.sync 0;
    shl.b32 %r8, %r1, 2;
    add.s32 %r9, %r2, %r8;
    ld.shared.b32 %r10, [%r9+0];
    """,
    "%r10",
)


def run(ptx, last_warp_first=False, size=THREADS):
    out = np.zeros(size, np.uint32)
    Kernel(ptx).run(1, [out.ctypes.data], Memory(out), last_warp_first)
    return out


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_warp_stores_and_loads_a_matrix(transposed, again):
    ptx = TRANSPOSE.replace("x1.shared", "x1.trans.shared") if transposed else TRANSPOSE
    if again:  # turned back
        load = "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%r10}, [%r7];"
        ptx = ptx.replace("ld.shared.b32 %r10, [%r9+0];", load)
    matrix = np.arange(64).reshape(8, 8)
    matrix = matrix.T if transposed != again else matrix
    assert (run(ptx).view(np.uint16).reshape(2, 8, 8) == matrix).all()


def test_bfloat16_is_rounded():
    assert (run(SUBTRACT) == 0x40004382).all()  # 2, and 260: the even one beside 259


@pytest.mark.parametrize("last_warp_first", [False, True])
def test_threads_exchange_numbers(last_warp_first):
    assert (run(EXCHANGE, last_warp_first) == np.arange(THREADS) ^ 32).all()


@pytest.mark.parametrize("last_warp_first", [False, True])
def test_a_missing_barrier_shows(last_warp_first):
    found = run(EXCHANGE.replace("bar.sync 0;", ""), last_warp_first)
    assert (found != np.arange(THREADS) ^ 32).sum() == 32


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[%rd3+0]", "[%rd3+2]", "misaligned"),
        ("[%rd3+0]", "[%rd3+4]", "outside of the arguments"),
        ("[%r6+0]", "[%r6+256]", "outside of the program's shared memory"),
        ("bar.sync 0;", "setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 0;", "different barriers"),
        ("bar.sync 0;", "shfl.sync.bfly.b32 %r1, %r1, 1, 7, -1;", "shfl"),
        ("bar.sync 0;", "setp.lt.u32 %p1, %r1, 9; @%p1 redux.sync.add.s32 %r8, %r1, -1;", "a part"),
        ("bar.sync 0;", "ex2.approx.ftz.f32 %r1, %r1;", "not exact"),
        ("bar.sync 0;", "popc.b32 %r1, %r1;", "popc"),
    ],
)
def test_what_a_gpu_would_not_do_is_an_error(old, new, words):
    ptx = EXCHANGE.replace(".reg .b32", ".reg .pred %p<2>;\n    .reg .b32").replace(old, new)
    with pytest.raises((ValueError, NotImplementedError), match=words):
        run(ptx)


def test_what_was_not_written_is_no_zero():
    ptx = EXCHANGE.replace("st.shared.b32 [%r4], %r1;", "")
    assert (run(ptx) == 0xA5A5A5A5).all()
