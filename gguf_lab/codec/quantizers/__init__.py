"""Numbers to bytes: one quantizer per block format, and the driver that runs them.

A quantizer is a function of a group of rows, compiled by numba on first use (see `registry`). Those
of ``effort="ggml"`` make the choices of ggml's reference quantizers, bit for bit; what
``effort="best"`` adds is in `best`, and for the grid types in the modules whose names end so.
"""

from __future__ import annotations

from .driver import REQUIRES_IMPORTANCE, can_quantize, check_effort, quantize

__all__ = ["REQUIRES_IMPORTANCE", "can_quantize", "check_effort", "quantize"]
