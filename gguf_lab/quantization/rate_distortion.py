"""What each bit buys: bits per weight against the error that is left, for one tensor."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import check_effort
from ..errors import GGUFLabError
from ..progress import counted
from .measuring import Chunk, chunks_of, matrix_of, squared_error
from .methods import Method, baselines, default_types, ggml_methods
from .others import other_methods
from .rates import DB_PER_BIT, Rate, RateDistortion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["rate_distortion"]


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
    problem: str = ""

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
    progress: bool | Callable[[int, int], object] = True,
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
    progress : bool or callable, optional
        Show a progress bar if it takes more than half a second; or call a function with the weights
        that were tried and all of them. What it raises stops the work.

    Returns
    -------
    RateDistortion
        ``.to_frame()`` has the figures, ``.plot()`` the picture.

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
    check_effort(effort)
    matrix = matrix_of(values)
    sample = matrix.sample(rows)
    facts = _Facts.of(chunks_of(matrix, importance, sample))
    types = default_types() if qtypes is None else qtypes
    methods = ggml_methods(types, matrix.row_values, effort, weighted=importance is not None)
    if others:
        methods += [*baselines(facts.peak), *other_methods()]
    if not methods:
        raise GGUFLabError("qtypes is empty, and others is not asked for: nothing is measured")
    with counted(progress, facts.n * len(methods), "rate and distortion") as count:
        sums = _measure(methods, chunks_of(matrix, importance, sample), count)
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


def _measure(
    methods: Sequence[Method], chunks: Iterable[Chunk], count: Callable[[int], object]
) -> dict[str, _Sums]:
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for method in methods:
        sums[method.name].problem = method.why_not
    for chunk in chunks:
        for method in methods:
            _add(sums[method.name], method, chunk)
            count(chunk.weights.size)
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
