"""The comparison on any torch device, in chunks: what a GPU runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..codec import dequantize, has_float64
from ..errors import ComparisonError
from .histogram import BITS, PATTERNS, bin_patterns
from .staging import Stager
from .statistics import Statistics

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure_on_device"]


def measure_on_device(
    weights: tuple[str, np.ndarray],
    reference: tuple[str, np.ndarray],
    device: str,
    *,
    backend: str = "torch",
    stager: Stager | None = None,
) -> Statistics:
    """Dequantize both sides on the device and sum them up there.

    Parameters
    ----------
    weights, reference : (str, uint8 array (n_rows, row_bytes))
        Type and little-endian rows of either side, which have the same number of weights.
    device : str
        A torch device.
    backend : {"torch", "triton"}, optional
        What computes: torch, one array operation after the other, or the fused Triton kernel.
    stager : Stager, optional
        Brings the bytes to the device; for more than one chunk.

    Returns
    -------
    Statistics

    Raises
    ------
    ComparisonError
        If the device has not enough memory left.
    """
    (name, blocks), (reference_name, rows) = weights, reference
    try:
        with (stager or Stager(device, 1)).stage(blocks, rows) as (x, r):
            if backend == "triton":
                from .triton_kernels import measure_with_triton

                return measure_with_triton((name, x), (reference_name, r))
            return _measure_with_torch((name, x), (reference_name, r))
    except torch.OutOfMemoryError as error:
        raise ComparisonError(
            f"device {device!r} has not enough memory left to compare {blocks.nbytes} bytes of"
            f" {name}: {error}. Compare with device='cpu'."
        ) from error


def _measure_with_torch(
    weights: tuple[str, torch.Tensor], reference: tuple[str, torch.Tensor]
) -> Statistics:
    """Sum up in the widest type that the device has."""
    device = weights[1].device
    x, r = (
        dequantize(rows, qtype, device=device, backend="torch")
        for qtype, rows in (weights, reference)
    )
    x, r = x.reshape(-1), r.reshape(-1)
    e = x - r
    wide = torch.float64 if has_float64(str(device)) else torch.float32
    x8, r8, e8 = x.to(wide), r.to(wide), e.to(wide)
    nan = torch.isnan(x) | torch.isnan(r)
    bits = e.view(torch.int32)
    patterns = ((bits >> BITS) & (PATTERNS - 1))[~torch.isnan(e)]
    sums: list[Any] = [(a * b).sum() for a, b in ((e8, e8), (r8, r8), (x8, x8), (x8, r8))]
    sums += [e8.abs().sum(), e8.abs().max() if e.numel() else e8.sum()]
    ee, rr, xx, xr, abs_e, peak = torch.stack(sums).cpu().tolist()
    return Statistics(
        n=x.numel(),
        ee=ee,
        rr=rr,
        xx=xx,
        xr=xr,
        abs_e=abs_e,
        peak=peak,
        n_nan=int(nan.sum()),
        n_inf=int(((torch.isinf(x) | torch.isinf(r)) & ~nan).sum()),
        counts=bin_patterns(torch.bincount(patterns, minlength=PATTERNS).cpu().numpy()),
    )
