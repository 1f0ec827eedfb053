"""What each bit buys: bits per weight against the error that is left, for one tensor."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec.quantizers.driver import EFFORTS
from ..errors import GGUFLabError
from ..file import QTYPES, printable
from ..markup import card, grid, more
from .measuring import Chunk, chunks_of, matrix_of, squared_error
from .methods import Method, baselines, default_types, ggml_methods
from .others import other_methods

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from matplotlib.figure import Figure


__all__ = ["COLUMNS", "DB_PER_BIT", "Rate", "RateDistortion", "rate_distortion"]

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
    effort : str
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

    @property
    def frame(self) -> pd.DataFrame:
        """One row per method. `on_front`: by the weighted error, if an importance was given."""
        import pandas as pd

        front = self.on_front(weighted=self.weighted)
        return pd.DataFrame(
            [
                [r.method in front if c == "on_front" else getattr(r, c) for c in COLUMNS]
                for r in self.rates
            ],
            columns=list(COLUMNS),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return `frame`."""
        return self.frame

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
        frame = self.frame
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


@dataclass(slots=True)
class _Facts:
    """What is known of the weights as they are."""

    n: int = 0
    total: float = 0.0
    rr: float = 0.0
    wrr: float = 0.0
    peak: float = 0.0

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> _Facts:
        facts = cls()
        for chunk in chunks:
            rr, wrr = squared_error(chunk.weights, 0.0, chunk.importance)
            facts.n += chunk.weights.size
            facts.total += float(chunk.weights.sum(dtype=np.float64))
            facts.rr, facts.wrr = facts.rr + rr, facts.wrr + wrr
            facts.peak = max(facts.peak, float(np.abs(chunk.weights).max()))
        return facts

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def variance(self) -> float:
        return max(0.0, self.rr / self.n - self.mean**2)


@dataclass(slots=True)
class _Sums:
    """What is summed up of a method."""

    bits: float = 0.0
    ee: float = 0.0
    wee: float = 0.0
    problem: str = field(default="")

    def rate(self, method: Method, facts: _Facts) -> Rate:
        if self.problem:
            return Rate(method.name, method.family, method.qtype, status=self.problem)
        bits = (self.bits + method.bits_per_tensor) / facts.n
        gap = math.nan
        if facts.variance:
            noise = self.ee / facts.n / facts.variance
            gap = (10 * math.log10(noise) if noise else -math.inf) + DB_PER_BIT * bits
        return Rate(
            method.name,
            method.family,
            method.qtype,
            bits,
            math.sqrt(self.ee / facts.rr) if facts.rr else math.nan,
            math.sqrt(self.wee / facts.wrr) if facts.wrr else math.nan,
            gap,
        )


def rate_distortion(
    values: Any,
    qtypes: Iterable[str] | None = None,
    importance: Any = None,
    *,
    effort: str = "ggml",
    others: bool = True,
    rows: int | None = None,
) -> RateDistortion:
    """Measure what is left of a tensor's weights at how many bits, for many methods.

    Parameters
    ----------
    values : Tensor, float array or torch tensor
        The weights: a tensor of a model, or rows of numbers.
    qtypes : iterable of str, optional
        ggml's types; default: all of at most 16 bits that can be written.
    importance : float array (columns,) or (experts, columns), optional
        What a squared error in each column counts, as from an importance matrix. ggml's types are
        then encoded for the weighted error.
    effort : {"ggml", "best"}, optional
        How ggml's types are encoded, see :func:`gguf_lab.quantize`.
    others : bool, optional
        Measure plain int8 and int4 too, and what bitsandbytes, HQQ, torchao and quanto make of the
        same weights. Those that are not installed are listed as that.
    rows : int, optional
        Measure a sample of so many rows, evenly spaced. Default: all rows.

    Returns
    -------
    RateDistortion
        ``.frame`` has the figures, ``.plot()`` the picture.

    Raises
    ------
    GGUFLabError
        If there is nothing to measure, or a type or the effort is unknown.
    QuantizationError
        If a weight is NaN or infinite, or the importance is of another size.

    Notes
    -----
    A method that fails is listed with its reason. The bound is Shannon's for independent Gaussian
    weights: no code of R bits per weight has a mean squared error below ``variance * 2**(-2 R)``.
    Real weights are not quite that, and where their scale differs from block to block, a format
    with many scales can lie beyond it. Rows are read in chunks, and each chunk is encoded by
    itself: only a nested scale (NF4 nested) can depend on where chunks begin.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).standard_normal((64, 256))
    >>> result = rate_distortion(weights, ["Q8_0"], others=False)
    >>> [(rate.method, rate.bits_per_weight) for rate in result.rates]
    [('Q8_0', 8.5)]
    """
    if effort not in EFFORTS:
        raise GGUFLabError(f"effort {effort!r} is unknown: choose one of {', '.join(EFFORTS)}")
    matrix = matrix_of(values)
    sample = matrix.sample(rows)
    facts = _Facts.of(chunks_of(matrix, importance, sample))
    types = default_types(effort) if qtypes is None else tuple(qtypes)
    methods = ggml_methods(types, matrix.columns, effort)
    if others:
        methods += [*baselines(facts.peak), *other_methods()]
    sums = _measure(methods, chunks_of(matrix, importance, sample))
    rates = [sums[method.name].rate(method, facts) for method in methods]
    rates.sort(key=lambda r: (r.status != "measured", r.bits_per_weight, r.method))
    return RateDistortion(
        matrix.name,
        matrix.shape,
        matrix.qtype,
        len(sample),
        facts.mean,
        facts.variance,
        importance is not None,
        effort,
        tuple(rates),
    )


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text if isinstance(error, GGUFLabError) else f"{type(error).__name__}: {text}"


def _measure(methods: Sequence[Method], chunks: Iterable[Chunk]) -> dict[str, _Sums]:
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for method in methods:
        sums[method.name].problem = method.why_not
    for chunk in chunks:
        for method in methods:
            _add(sums[method.name], method, chunk)
    return sums


def _add(sums: _Sums, method: Method, chunk: Chunk) -> None:
    if sums.problem or method.encode is None:
        return
    try:
        values, bits = method.encode(chunk)
    except Exception as error:  # noqa: BLE001 - of whatever package; the row says what it was
        sums.problem = f"failed: {_reason(error)}"
        return
    ee, wee = squared_error(chunk.weights, values, chunk.importance)
    if not math.isfinite(ee):
        sums.problem = "failed: values that are not finite came back"
    sums.bits, sums.ee, sums.wee = sums.bits + bits, sums.ee + ee, sums.wee + wee
