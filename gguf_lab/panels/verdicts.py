"""Which layer suffers most and why, in words: from the figures of a comparison alone."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from ..file.text import few, printable
from .numbers import percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..comparison import TensorComparison

__all__ = ["suffering"]


def suffering(rows: Iterable[TensorComparison]) -> str:
    """Say which layer has the largest relative error, and which tensor it comes from.

    Errors of a layer are pooled: the root of the sum of squared errors over the sum of squared
    reference weights. Tensors with weights that are not finite have no such sums: they are told
    first, and left out.
    """
    rows = list(rows)
    rest = _suffering(rows)
    return " ".join(filter(None, (_broken(rows, alone=not rest), rest)))


def _broken(rows: list[TensorComparison], *, alone: bool) -> str:
    """Say which tensors have weights that are not finite, in the file or in its reference."""
    found = [row for row in rows if row.measured and (row.n_nan or row.n_inf)]
    if not found:
        return ""
    what = "1 tensor has" if len(found) == 1 else f"{len(found):,} tensors have"
    names = few(printable(row.name or "", 80) for row in found)
    left = "" if alone else ", left out of what follows"
    return f"\u26a0 {what} weights that are not finite{left}: {names}."


def _suffering(rows: list[TensorComparison]) -> str:
    layers: dict[int, list[TensorComparison]] = defaultdict(list)
    kinds: dict[str, list[TensorComparison]] = defaultdict(list)
    for row in rows:
        if row.layer is not None and row.status == "compared" and _squares(row) is not None:
            layers[row.layer].append(row)
            kinds[row.kind].append(row)
    pooled = {layer: _pooled(members) for layer, members in layers.items()}
    pooled = {layer: ratio for layer, ratio in pooled.items() if ratio > 0}
    if not pooled:
        sound = not any(row.n_nan or row.n_inf for row in rows)
        return "No compared layer has an error." if layers and sound else ""
    worst = max(pooled, key=lambda layer: pooled[layer])
    words = f"Layer {worst} suffers most: relative RMSE {percent(pooled[worst])} over its weights"
    if len(pooled) > 1:
        words += f" (median of the {len(pooled)} layers: {percent(median(pooled.values()))})"
    members = layers[worst]
    total = sum(_error(row) for row in members)
    source = max(members, key=_error)
    share = 100 * _error(source) / total
    kind = printable(source.kind, 60)
    words += f". {share:.0f} % of its squared error is in {kind}, {_of(source)}"
    others = [row.relative_rmse for row in kinds[source.kind] if row is not source]
    finite = [ratio for ratio in others if ratio is not None and math.isfinite(ratio)]
    if finite:
        words += f" (median of this kind in other layers: {percent(median(finite))})"
    return f"{words}.{_finer(source, members)}"


def _of(row: TensorComparison) -> str:
    bits = "" if row.bits_per_weight is None else f" ({row.bits_per_weight:.2f} bits)"
    ratio = row.relative_rmse
    error = "" if ratio is None or not math.isfinite(ratio) else f" with {percent(ratio)}"
    return f"stored as {printable(row.qtype or '?', 20)}{bits}{error}"


def _finer(source: TensorComparison, members: list[TensorComparison]) -> str:
    """Say whether other matrices of the layer have more bits."""
    bits = source.bits_per_weight
    finer = [
        row
        for row in members
        if bits is not None
        and row.bits_per_weight is not None
        and len(row.shape) > 1
        and row.bits_per_weight > bits + 0.01
    ]
    if not finer:
        return ""
    best = min(finer, key=lambda row: row.relative_rmse or 0.0)
    return f" In the same layer {printable(best.kind, 60)} is {_of(best)}."


def _squares(row: TensorComparison) -> tuple[float, float] | None:
    """Return the sums of squared errors and of squared reference weights."""
    if row.rmse is None or row.reference_rms is None:
        return None
    found = row.rmse**2 * row.n_elements, row.reference_rms**2 * row.n_elements
    return found if math.isfinite(sum(found)) else None


def _error(row: TensorComparison) -> float:
    squares = _squares(row)
    return 0.0 if squares is None else squares[0]


def _pooled(rows: list[TensorComparison]) -> float:
    sums = [squares for row in rows if (squares := _squares(row)) is not None]
    reference = sum(r for _, r in sums)
    return math.sqrt(sum(e for e, _ in sums) / reference) if reference else 0.0
