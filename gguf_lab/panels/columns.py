"""The columns of the tensor table and the rows that fill them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..file.text import printable
from .numbers import finite

if TYPE_CHECKING:
    from ..comparison import TensorComparison, TensorPair
    from ..model import Tensor

__all__ = [
    "FACTS",
    "FIGURES",
    "Column",
    "facts_of",
    "figures_of",
    "name_of",
    "or_none",
]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the tensor table.

    Attributes
    ----------
    id : str
        Key of the column: an attribute of the row.
    label, title : str
        Its heading, and the sentence shown when the pointer rests on it.
    form : str
        How a value is written: "text", "integer", "bytes", "bits", "percent", "decibel", "cosine"
        or "figure" (three significant digits).
    figure : int or None
        Position among the figures of a comparison; None for a fact.
    bar : bool
        Draw the value as a bar behind the number, as a share of the largest.
    """

    id: str
    label: str
    title: str
    form: str
    figure: int | None = None
    bar: bool = False

    def spec(self) -> dict[str, Any]:
        """Return the column as the browser takes it."""
        return asdict(self)


FACTS: Final = (
    Column("name", "name", "Name of the tensor in the GGUF file", "text"),
    Column("qtype", "type", "How the weights are stored", "text"),
    Column("layer", "layer", "Number of the layer (block) that it belongs to", "integer"),
    Column("kind", "kind", "What the tensor does in its layer", "text"),
    Column("shape", "shape", "Shape in NumPy order: the last dimension is stored in rows", "text"),
    Column("bits_per_weight", "bits/weight", "Stored bits per weight", "bits"),
    Column("nbytes", "size", "Stored bytes", "bytes", bar=True),
)

FIGURES: Final = (
    Column(
        "relative_rmse",
        "relative RMSE",
        "Weight-space error: root mean square of the error over that of the reference",
        "percent",
        0,
        bar=True,
    ),
    Column(
        "sqnr_db", "SQNR dB", "Signal to quantization noise ratio, 20 log10(1 / relative RMSE)",
        "decibel", 1,
    ),
    Column("cosine", "cosine", "Cosine between the weights and the reference", "cosine", 2),
    Column("max_abs_error", "max |error|", "Largest absolute error of a weight", "figure", 3),
)  # fmt: skip

STATE: Final = Column("state", "status", "Whether the tensor was compared; if not, why", "text")


def facts_of(row: Tensor | TensorComparison) -> dict[str, Any]:
    """Return the facts about a tensor: one value per column of `FACTS`."""
    return {
        "name": name_of(row),
        "layer": row.layer,
        "kind": printable(row.kind, 120),
        "qtype": printable(row.qtype or "", 40),
        "shape": " × ".join(str(n) for n in row.shape),
        "bits_per_weight": finite(row.bits_per_weight),
        "nbytes": row.nbytes,
        "n_elements": row.n_elements,
    }


def or_none(value: float | None, largest: float | None) -> float | None:
    """Return a figure of a tensor whose largest error is known; None where it is undefined.

    A ratio to weights that are all zero has no value; that is not the NaN of weights that are NaN.
    """
    undefined = value is not None and math.isnan(value) and finite(largest) is not None
    return None if undefined else value


def name_of(row: Tensor | TensorComparison | TensorPair) -> str:
    """Return the name of a row: the file's, or the reference's for what only that has."""
    return row.name if row.name is not None else row.reference_name or ""


def figures_of(row: TensorComparison | None) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the figures of a row: float64, NaN where there are none."""
    values = [None if row is None else getattr(row, c.id) for c in FIGURES]
    return np.array([np.nan if v is None else v for v in values], np.float64)
