"""Launches Triton's kernels as compiled for an NVIDIA GPU, on arrays in the CPU's memory."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from unittest.mock import patch

import torch

from ..scripts import load
from . import ptx

KINDS = {
    torch.uint8: "u8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.float16: "fp16",
    torch.float32: "fp32",
    torch.float64: "fp64",
}


@contextmanager
def on_the_cpu(capability=90, last_warp_first=False):
    """Let the Triton backend serve the CPU: ``with on_the_cpu(): ...``."""
    from gguf_lab.codec import dispatch
    from gguf_lab.codec.backends import triton_
    from gguf_lab.comparison import triton_kernels

    def launch(kernel, programs, *arguments, device):
        types, constants, aligned, values = {}, {}, [], []
        for parameter, value in zip(kernel.params, arguments, strict=True):
            if parameter.is_constexpr:
                constants[parameter.name] = value
            elif isinstance(value, torch.Tensor):
                types[parameter.name] = f"*{KINDS[value.dtype]}"
                if value.data_ptr() % 16 == 0:
                    aligned.append(parameter.name)
                values.append(value.data_ptr())
            else:
                types[parameter.name] = "i32" if value < 2**31 else "i64"
                values.append(value)
        lists = (tuple(x.items()) for x in (types, constants))
        compiled = _compile(kernel, *lists, tuple(aligned), capability)
        memory = ptx.Memory(*(x.numpy() for x in arguments if isinstance(x, torch.Tensor)))
        # Triton's own two come last: scratch memory, which these kernels don't have.
        compiled.run(programs, [*values, 0, 0], memory, last_warp_first)

    with ExitStack() as stack:
        for module in (triton_, triton_kernels):
            stack.enter_context(patch.object(module, "launch", launch))
        stack.enter_context(patch.object(triton_, "INTERPRETED", True))
        dispatch._triton_trouble.cache_clear()
        yield
    dispatch._triton_trouble.cache_clear()


@cache
def _compile(kernel, types, constants, aligned, capability):
    compiler = load("benchmarks/gpu_compiled.py")
    made = compiler.compile_kernel(kernel, dict(types), dict(constants), aligned, capability)
    return ptx.Kernel(made.asm["ptx"], made.metadata.shared)
