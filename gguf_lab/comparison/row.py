"""One tensor against its reference: a row of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..model import Tensor
    from ..reference import Pair, ReferenceOnly
    from .statistics import Statistics

__all__ = ["COLUMNS", "LOW_IS_BAD", "SETTLED", "TensorComparison", "worst_first"]

COLUMNS = (
    "name",
    "reference_name",
    "transform",
    "status",
    "reason",
    "layer",
    "kind",
    "qtype",
    "reference_qtype",
    "shape",
    "n_elements",
    "bits_per_weight",
    "rmse",
    "relative_rmse",
    "sqnr_db",
    "cosine",
    "max_abs_error",
    "mean_abs_error",
    "reference_rms",
    "n_nan",
    "n_inf",
)


LOW_IS_BAD: Final = frozenset(("sqnr_db", "cosine"))
"""The figures of which more is nearer to the reference; of all others less is."""
SETTLED: Final = frozenset(("compared", "scale"))
"""The states in which nothing is missing: compared, or part of what another tensor's row says."""


def _figure(name: str) -> Any:
    """Give a row the figure of its sums, or None if it was not compared."""
    return property(
        lambda row: None if row.statistics is None else getattr(row.statistics, name),
        doc=f"See ``Statistics.{name}``; None unless the tensor was measured.",
    )


@dataclass(frozen=True, slots=True)
class TensorComparison:
    """One tensor against its reference. The figures are None unless it was measured.

    Attributes
    ----------
    name : str or None
        In the GGUF file; None for what only the reference has.
    reference_name : str or None
        In the reference; several are joined by " + ".
    transform : str
        How the reference was laid out to line up, in words; empty: as stored.
    status : {"compared", "unverified", "scale", "unmatched", "unsupported"}
        Rows that are "compared" or "unverified" carry figures. Unverified: only name and shape say
        that the two belong together, so that no summary counts it. Scale: of the quantization of
        another tensor (NVFP4), which is compared with it multiplied.
    reason : str
        Why it isn't "compared", in words.
    layer : int or None
        Block number.
    kind : str
        The role of the tensor, the same in every layer ("attn_q").
    qtype : str or None
        ggml's type, or None for what only the reference has.
    shape : tuple of int
        In NumPy order.
    n_elements : int
        Weights.
    bits_per_weight : float or None
        Stored size; None where the type's is unknown, and for what only the reference has.
    statistics : Statistics or None
        The sums behind the figures.
    reference_qtype : str or None
        Type of the reference: ggml's in a GGUF file, that of safetensors in a checkpoint; F32 where
        a checkpoint has numbers and scales, of which `transform` tells.
    """

    name: str | None
    reference_name: str | None
    transform: str
    status: Literal["compared", "unverified", "scale", "unmatched", "unsupported"]
    reason: str
    layer: int | None
    kind: str
    qtype: str | None
    shape: tuple[int, ...]
    n_elements: int
    bits_per_weight: float | None
    statistics: Statistics | None = field(default=None, repr=False, hash=False)
    reference_qtype: str | None = None

    @classmethod
    def of(cls, tensor: Tensor, pair: Pair, statistics: Statistics | None) -> TensorComparison:
        """Join a tensor, its alignment and, if it was measured, its sums."""
        status: Any = "compared" if pair.status == "matched" else pair.status
        bits = tensor.bits_per_weight
        return cls(
            name=tensor.name,
            reference_name=" + ".join(pair.reference_names) or None,
            transform=pair.transform,
            status=status,
            reason=pair.reason,
            layer=tensor.layer,
            kind=tensor.kind,
            qtype=tensor.qtype,
            shape=tensor.shape,
            n_elements=tensor.n_elements,
            bits_per_weight=None if math.isnan(bits) else bits,
            statistics=statistics,
            reference_qtype=pair.dtype or None,
        )

    @classmethod
    def of_reference(cls, only: ReferenceOnly) -> TensorComparison:
        """Take a tensor that only the reference has."""
        return cls(
            name=None,
            reference_name=only.name,
            transform="",
            status="unmatched",
            reason=only.reason,
            layer=None,
            kind="",
            qtype=None,
            shape=only.shape,
            n_elements=math.prod(only.shape),
            bits_per_weight=None,
            reference_qtype=only.dtype,
        )

    @property
    def nbytes(self) -> int | None:
        """Stored bytes; None where the bits per weight are."""
        bits = self.bits_per_weight
        return None if bits is None else round(bits * self.n_elements / 8)

    @property
    def measured(self) -> bool:
        """Whether there are figures: the row is "compared" or "unverified"."""
        return self.statistics is not None

    exact = _figure("exact")
    rmse = _figure("rmse")
    relative_rmse = _figure("relative_rmse")
    weighted_relative_rmse = _figure("weighted_relative_rmse")
    sqnr_db = _figure("sqnr_db")
    cosine = _figure("cosine")
    max_abs_error = _figure("max_abs_error")
    mean_abs_error = _figure("mean_abs_error")
    reference_rms = _figure("reference_rms")
    n_nan = _figure("n_nan")
    n_inf = _figure("n_inf")
    histogram = _figure("histogram")


def worst_first(rows: Iterable[TensorComparison], figure: str) -> list[TensorComparison]:
    """Order rows by a figure; those without it come last.

    NaN is worse than any number, but not where the tensor is exactly its reference: zeros have no
    relative error.
    """
    sign = 1 if figure in LOW_IS_BAD else -1

    def place(row: TensorComparison) -> tuple[int, float]:
        value = getattr(row, figure)
        if value is None:
            return 3, 0.0
        if row.exact:
            return 2, 0.0
        return (0, 0.0) if math.isnan(value) else (1, sign * value)

    return sorted(rows, key=place)
