"""llama.cpp's own `llama_model_quantize`, called through ctypes: the oracle of this room."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from gguf_lab.file import FILE_TYPES, QTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NUMBER_OF = {name: number for number, name in FILE_TYPES.items()}
TYPE_NUMBER = {qtype.name: number for number, qtype in QTYPES.items()}
TYPE_OF = {qtype.name.lower(): qtype.name for qtype in QTYPES.values()}

# [   1/  12]  output.weight - [256, 512, 1, 1], type = f32, size = 0.50 MiB -> 0.10 MiB (q6_K)
LINE = re.compile(
    r"\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+), .*?size = [^\n]*?(?:\((\S+)\))?\n"
)


class Refused(Exception):
    """llama.cpp has refused; the message is its log."""


def quantize(
    source: Path,
    target: Path | None,
    mix: str,
    *,
    imatrix: Mapping[str, np.ndarray] | None = None,
    overrides: Mapping[str, str] | None = None,
    pure: bool = False,
) -> dict[str, str]:
    """Run llama-quantize; without a target a dry run, which returns the type of each tensor."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = NUMBER_OF[mix]
    parameters.nthread = 1
    parameters.allow_requantize = True
    parameters.dry_run = target is None
    parameters.pure = pure
    keep: list[Any] = []
    if imatrix is not None:
        entries = (llama_cpp.llama_model_imatrix_data * (len(imatrix) + 1))()
        for entry, (name, values) in zip(entries, imatrix.items(), strict=False):
            flat = np.ascontiguousarray(values, np.float32).ravel()
            keep.append(flat)
            entry.name = name.encode()
            entry.data = flat.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entry.size = flat.size
        parameters.imatrix = entries
    if overrides:
        options = (llama_cpp.llama_model_tensor_override * (len(overrides) + 1))()
        for option, (pattern, qtype) in zip(options, overrides.items(), strict=False):
            option.pattern, option.type = pattern.encode(), TYPE_NUMBER[qtype]
        parameters.tt_overrides = options

    log: list[str] = []

    @llama_cpp.llama_log_callback
    def collect(_level: int, text: bytes, _data: Any) -> None:
        log.append(text.decode())

    llama_cpp.llama_log_set(collect, ctypes.c_void_p(0))
    try:
        failed = llama_cpp.llama_model_quantize(
            str(source).encode(), str(target or "").encode(), ctypes.byref(parameters)
        )
    finally:
        silent = llama_cpp.llama_log_callback(lambda *_: None)
        keep_alive.append(silent)
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    if failed:
        raise Refused("".join(log))
    return {name: TYPE_OF[(new or old).lower()] for name, old, new in LINE.findall("".join(log))}


keep_alive: list[Any] = []
