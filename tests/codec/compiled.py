"""Launches Triton's kernels as compiled for an NVIDIA GPU, on arrays in the CPU's memory."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from unittest.mock import patch

import torch
from triton.runtime.jit import mangle_type

from ..scripts import load
from . import ptx


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
                continue
            types[parameter.name] = mangle_type(value)
            is_pointer = isinstance(value, torch.Tensor)
            values.append(value.data_ptr() if is_pointer else value)
            if is_pointer and values[-1] % 16 == 0:
                aligned.append(parameter.name)
        lists = (tuple(x.items()) for x in (types, constants))
        compiled = _compile(kernel, *lists, tuple(aligned), capability)
        memory = ptx.Memory(*(x.numpy() for x in arguments if isinstance(x, torch.Tensor)))
        # Triton's own two come last: scratch memory, which these kernels don't have.
        compiled.run(programs, [*values, 0, 0], memory, last_warp_first)

    with ExitStack() as stack:
        stack.callback(dispatch._triton_trouble.cache_clear)
        for module in (triton_, triton_kernels):
            stack.enter_context(patch.object(module, "launch", launch))
        stack.enter_context(patch.object(triton_, "INTERPRETED", True))
        dispatch._triton_trouble.cache_clear()
        yield


@cache
def _compile(kernel, types, constants, aligned, capability):
    compiler = load("benchmarks/gpu_compiled.py")
    made = compiler.compile_kernel(kernel, dict(types), dict(constants), aligned, capability)
    return ptx.Kernel(made.asm["ptx"], made.metadata.shared)
