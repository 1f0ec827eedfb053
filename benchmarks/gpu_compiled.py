"""What Triton's compiler makes of the kernels for an NVIDIA GPU, which need not be there.

It tells no speed, but what stands in its way: instructions (a multiprocessor of compute capability
9.0 starts four of 32 lanes a clock), registers (65,536 for all programs that a multiprocessor runs
at a time) and how memory is read. Runs on Linux with triton, which brings NVIDIA's disassembler.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import triton
from options import one_of
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gguf_lab.codec import FORMATS
from gguf_lab.codec.backends.triton_ import OPTIONS, TILE, WARPS, Side, dequantize_kernel
from gguf_lab.comparison import triton_kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOL = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/ +(?:@!?U?P\w+ )?(.*?) *;")
# bfloat16 is stored as its bits
OUTPUTS = {"fp32": "*fp32", "fp16": "*fp16", "bf16": "*i16"}
KINDS = ("LDG", "STG", "LDS", "STS", "RED", "ATOM", "BAR")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "formats", nargs="*", type=one_of(FORMATS), metavar="FORMAT", help="default: all"
    )
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--memory", action="store_true", help="also how memory is accessed")
    arguments = parser.parse_args()
    print("instructions a weight, and registers of a thread, of")
    print(
        "          decoding to float32, float16, bfloat16, comparing with bfloat16, with histogram"
    )
    for name in arguments.formats or FORMATS:
        made = [
            *(compile_decoding(name, to, capability=arguments.capability) for to in OUTPUTS),
            compile_comparison(name, count=False, capability=arguments.capability),
            compile_comparison(name, capability=arguments.capability),
        ]
        threads = 32 * WARPS
        each = len(OUTPUTS) * [TILE // threads] + 2 * [triton_kernels.TILE // threads]
        inner = [body(one) for one in made]
        cells = (
            f"{len(code) / n:12.1f} {registers(one):5}"
            for code, n, one in zip(inner, each, made, strict=True)
        )
        print(f"{name:<8}", *cells, flush=True)
        if arguments.memory:
            for code, n in zip(inner, each, strict=True):
                found = Counter(line.split()[0] for line in code if line.startswith(KINDS))
                print("        ", n, "weights:", *(f"{k} x{v}" for k, v in sorted(found.items())))


def compile_decoding(name: str, to: str = "fp32", *, capability: int = 90) -> Any:
    """Compile the kernel that decodes a format, as its first launch on a GPU would."""
    side = _side(name)
    constants = {"scale": side.scale, "quant": side.quant, "BYTES": side.width, "G": side.groups}
    constants |= {"L": side.group, "R": side.blocks_in(TILE), "BFLOAT16": to == "bf16"}
    types = {"src": "*u8", "table": "*u8", "out": OUTPUTS[to]}
    return compile_kernel(dequantize_kernel, types | {"n": "i32"}, constants, types, capability)


def compile_comparison(
    name: str, *, wide: bool = False, count: bool = True, capability: int = 90
) -> Any:
    """Compile the kernel that compares a format with bfloat16."""
    x = _side(name)
    r = _side("BF16", run=x.groups * x.group)
    constants = {"x_scale": x.scale, "x_quant": x.quant, "r_scale": r.scale, "r_quant": r.quant}
    constants |= {"X_BYTES": x.width, "R_BYTES": r.width, "G": x.groups, "L": x.group}
    constants |= {"R": x.blocks_in(triton_kernels.TILE), "TILES": triton_kernels.TILES}
    constants |= {"WIDE": wide, "COUNT": count}
    types = dict.fromkeys(("xb", "xt", "rb", "rt"), "*u8")
    types |= {"sums": "*fp64", "hist": "*i32"}
    kernel = triton_kernels.compare_kernel
    return compile_kernel(kernel, types | {"n": "i32"}, constants, types, capability)


def _side(name: str, run: int | None = None) -> Side:
    fmt = FORMATS[name]
    return Side(fmt, torch.zeros(256 * fmt.qtype.type_size, dtype=torch.uint8), run)


def compile_kernel(
    kernel: Any,
    types: dict[str, str],
    constants: dict[str, Any],
    aligned: Iterable[str],
    capability: int = 90,
) -> Any:
    """Compile a kernel; what is aligned begins at a multiple of 16, as a launch finds out."""
    hints = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants, hints)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)


def _ask(made: Any, what: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(made.asm["cubin"])
        command = [str(TOOL), what, str(path)]
        return subprocess.check_output(command, text=True, stderr=subprocess.PIPE)


def registers(made: Any) -> int:
    """Return the registers of a thread."""
    return int(re.findall(r"REG:(\d+)", _ask(made, "-res-usage"))[0])


def body(made: Any) -> list[str]:
    """Return the machine code: all of it, or the shortest loop that computes."""
    lines = [(int(at, 16), code) for at, code in INSTRUCTION.findall(_ask(made, "-sass"))]
    lines = [(at, code) for at, code in lines if not code.startswith("NOP")]
    spans = [
        (int(target[1], 16), at)
        for at, code in lines
        if (target := re.match(r"BRA.* 0x([0-9a-f]+)", code)) and int(target[1], 16) < at
    ]
    loops = [[code for at, code in lines if first <= at <= last] for first, last in spans]
    loops = [loop for loop in loops if any(code.startswith("FFMA") for code in loop)]
    return min(loops, key=len, default=[code for _, code in lines])


if __name__ == "__main__":
    main()
