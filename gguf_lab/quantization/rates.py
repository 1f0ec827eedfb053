"""Bits per weight and error of many methods on the same weights: figures, table, picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from ..file import QTYPES, printable
from ..markup import card, grid, more

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "DB_PER_BIT", "Rate", "RateDistortion"]

DB_PER_BIT = 20 * math.log10(2)
"""6.02 dB: what one more bit can gain at best with Gaussian weights."""

COLUMNS = (
    *("method", "family", "qtype", "bits_per_weight", "relative_rmse", "sqnr_db"),
    *("weighted_relative_rmse", "weighted_sqnr_db", "gap_db", "gap_bits", "on_front", "status"),
)
_SHOWN = 50
_QUANTIZED = {t.name for t in QTYPES.values() if t.block_size > 1}


@dataclass(frozen=True, slots=True)
class Rate:
    """What one method does to the tensor. Figures are NaN unless `status` is "measured".

    Attributes
    ----------
    method, family, qtype : str
        See `Method`.
    bits_per_weight : float
        With all scales.
    relative_rmse, weighted_relative_rmse : float
        ``sqrt(sum e*e / sum r*r)``; weighted: each square times the importance of its column.
    gap_db : float
        How much worse, in dB, than the bound for Gaussian weights of the same variance; negative
        if better (weights need not be Gaussian). Minus infinity if there is no error.
    status : str
        "measured", or why not.
    """

    method: str
    family: str
    qtype: str
    bits_per_weight: float = math.nan
    relative_rmse: float = math.nan
    weighted_relative_rmse: float = math.nan
    gap_db: float = math.nan
    status: str = "measured"

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise ratio in dB; infinite if there is no error."""
        return _decibels(self.relative_rmse)

    @property
    def weighted_sqnr_db(self) -> float:
        """The same of the weighted error."""
        return _decibels(self.weighted_relative_rmse)

    @property
    def gap_bits(self) -> float:
        """The gap in bits: `gap_db` / 6.02."""
        return self.gap_db / DB_PER_BIT


def _decibels(relative: float) -> float:
    return -20 * math.log10(relative) if relative else math.inf


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RateDistortion:
    """Bits per weight and error of many methods on the same weights.

    Attributes
    ----------
    name : str
        The tensor.
    shape : tuple of int
        In NumPy's order.
    source_qtype : str
        The type that it is stored as; if that is not a float, its values are quantized already.
    n_rows : int
        Rows that were measured.
    mean, variance : float
        Of the weights that were measured.
    weighted : bool
        Whether an importance was given: ggml's types are then encoded for the weighted error.
    effort : {"ggml", "best"}
        How the types of ggml were quantized.
    rates : tuple of Rate
        By bits per weight; methods that were not measured last.
    """

    name: str
    shape: tuple[int, ...]
    source_qtype: str
    n_rows: int
    mean: float
    variance: float
    weighted: bool
    effort: str
    rates: tuple[Rate, ...]

    @property
    def sampled(self) -> bool:
        """Whether a sample of the rows was measured, not all."""
        return self.n_rows < math.prod(self.shape[:-1])

    @property
    def bound_at_0_bits(self) -> float:
        """SQNR of the Gaussian bound at 0 bits, in dB: 0 if the mean is 0."""
        power = self.variance + self.mean**2
        return 10 * math.log10(power / self.variance) if self.variance else math.nan

    def on_front(self, *, weighted: bool = False) -> set[str]:
        """Return the methods to which no other is equal or better in both bits and error."""
        which = "weighted_relative_rmse" if weighted else "relative_rmse"
        found: set[str] = set()
        least = math.inf
        figures = [r for r in self.rates if not math.isnan(getattr(r, which))]
        for rate in sorted(figures, key=lambda r: (r.bits_per_weight, getattr(r, which))):
            if getattr(rate, which) < least:
                least = getattr(rate, which)
                found.add(rate.method)
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return one row per method; `on_front`: by the weighted error, if there is one."""
        import pandas as pd

        front = self.on_front(weighted=self.weighted)
        return pd.DataFrame(
            [
                [r.method in front if c == "on_front" else getattr(r, c) for c in COLUMNS]
                for r in self.rates
            ],
            columns=list(COLUMNS),
        )

    def plot(self, *, weighted: bool = False) -> Figure:
        """Draw bits per weight against SQNR, with the front and the Gaussian bound.

        Parameters
        ----------
        weighted : bool, optional
            Draw the weighted error; there is no bound in that picture.

        Raises
        ------
        GGUFLabError
            If there is nothing to draw.
        """
        from ..plots.rates import plot_rate_distortion

        if weighted and not self.weighted:
            raise GGUFLabError("there is no weighted error: pass importance=... to rate_distortion")
        frame = self.to_frame()
        column = "weighted_sqnr_db" if weighted else "sqnr_db"
        front = self.on_front(weighted=weighted)
        drawn = frame.assign(sqnr_db=frame[column], on_front=frame["method"].isin(front))
        bound = math.nan if weighted else self.bound_at_0_bits
        return plot_rate_distortion(drawn, bound_db=bound, title=self.words, weighted=weighted)

    @property
    def warning(self) -> str:
        """What is wrong with weights that were quantized before; empty if they were not."""
        if self.source_qtype not in _QUANTIZED:
            return ""
        return (
            f"the weights were quantized to {self.source_qtype} before. Only the error against "
            "these is measured, and formats with similar blocks look better than they are."
        )

    @property
    def words(self) -> str:
        """What was measured, in one line."""
        rows = math.prod(self.shape[:-1])
        of = f"{self.n_rows:,} of its {rows:,} rows, evenly spaced" if self.sampled else "all rows"
        shape = " × ".join(f"{n:,}" for n in self.shape)
        return f"{printable(self.name)} ({shape}, {self.source_qtype}; {of})"

    def __repr__(self) -> str:
        measured = sum(rate.status == "measured" for rate in self.rates)
        warning = f"; warning: {self.warning}" if self.warning else ""
        of = f"{measured} of {len(self.rates)} methods"
        return f"<rate and distortion of {self.words}: {of}{warning}>"

    def _repr_html_(self) -> str:
        front = self.on_front(weighted=self.weighted)
        rows = [
            [
                ("▸ " if r.method in front else "") + r.method,
                *(
                    "" if math.isnan(value) else text.format(value)
                    for text, value in (
                        ("{:.4g}", r.bits_per_weight),
                        ("{:.4g}", r.relative_rmse),
                        ("{:.2f}", r.sqnr_db),
                        ("{:.2f}", r.weighted_sqnr_db),
                        ("{:.2f}", r.gap_bits),
                    )
                ),
                "" if r.status == "measured" else r.status,
            ]
            for r in self.rates[:_SHOWN]
        ]
        headers = ["method", "bits per weight", "relative RMSE", "SQNR (dB)"]
        headers += ["weighted SQNR (dB)", "gap to the bound (bits)", ""]
        table = grid(headers, rows, numeric=range(1, 6))
        return card(
            "Rate and distortion",
            table,
            more(len(self.rates), _SHOWN, "methods"),
            warnings=[self.warning] if self.warning else [],
            note=f"{self.words}. ▸: no other has fewer bits and less error. The bound is that of "
            "Gaussian weights of the same variance: 6.02 dB per bit.",
        )
