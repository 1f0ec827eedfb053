"""What the panels show of two files: words, forms and strengths of a pair of tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..comparison.beside import STATISTICS
from ..file.text import printable
from ..model.words import bytes_in_words
from ..quantization.rates import DB_PER_BIT
from .columns import STATE, Column, name_of, or_none
from .numbers import number

if TYPE_CHECKING:
    from ..comparison import TensorPair

__all__ = [
    "LABELS",
    "columns_of",
    "facts_of",
    "figures_of",
    "known_figures",
    "not_finite_in",
    "sentence",
    "strength",
    "written",
    "written_change",
]

LABELS: Final = {
    "relative_rmse": "relative RMSE",
    "rmse": "RMSE",
    "sqnr_db": "SQNR dB",
    "cosine": "cosine",
    "max_abs_error": "max |error|",
    "mean_abs_error": "mean |error|",
}
_FORMS: Final = {"relative_rmse": "percent", "sqnr_db": "decibel", "cosine": "cosine"}
_CHANGES: Final = {"relative_rmse": "change_percent", "sqnr_db": "change_decibel"}


def columns_of(statistic: str, *, direct: bool) -> list[Column]:
    """Return the columns of the table for a statistic.

    Parameters
    ----------
    statistic : str
        One of `STATISTICS`.
    direct : bool
        A is compared with B itself: there is one figure.
    """
    label, form = LABELS[statistic], _FORMS.get(statistic, "figure")
    name = Column("name", "name", "Name of the tensor", "text")
    if direct:
        title = f"{label} of A's weights against B's"
        figures = [Column("a", label, title, form, 0, bar=form == "percent")]
    else:
        change = _CHANGES.get(statistic, "change")
        points = ", in percentage points (pp)" if form == "percent" else ""
        more = "more is better" if STATISTICS[statistic] else "less is better"
        figures = [
            Column("better", "nearer", "Which file is nearer to the reference", "text"),
            Column("a", f"{label} A", f"{label} of A against the reference; {more}", form, 0),
            Column("b", f"{label} B", f"{label} of B against the reference; {more}", form, 1),
            Column("change", "B \u2212 A", f"{label} of B less that of A{points}", change, 2),
        ]
    return [
        name,
        *figures,
        Column("qtype_a", "type A", "How A stores the weights", "text"),
        Column("qtype_b", "type B", "How B stores the weights", "text"),
        Column("nbytes_a", "size A", "Stored bytes in A", "bytes"),
        Column("nbytes_b", "size B", "Stored bytes in B", "bytes"),
        Column("nbytes_change", "size B \u2212 A", "Bytes of B less those of A", "change_bytes"),
        Column("layer", "layer", "Number of the layer (block) that it belongs to", "integer"),
        Column("kind", "kind", "What the tensor does in its layer", "text"),
        Column("shape", "shape", "Shape in NumPy order", "text"),
        STATE,
    ]


def facts_of(pair: TensorPair, statistic: str) -> dict[str, Any]:
    """Return the facts of a pair: one value per column, and what the filters choose by."""
    a, b = pair.nbytes_a, pair.nbytes_b
    types = (printable(pair.qtype_a or "\u2013", 40), printable(pair.qtype_b or "\u2013", 40))
    return {
        "name": name_of(pair),
        "better": "" if not_finite_in(pair) else pair.better(statistic) or "",
        "qtype_a": types[0],
        "qtype_b": types[1],
        "types": " \u2192 ".join(types),
        "nbytes_a": a,
        "nbytes_b": b,
        "nbytes_change": None if a is None or b is None else b - a,
        "layer": pair.layer,
        "kind": printable(pair.kind, 120),
        "shape": " \u00d7 ".join(str(n) for n in pair.shape),
        "n_elements": pair.n_elements,
    }


def figures_of(
    pair: TensorPair, statistic: str, *, direct: bool
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the figures of a pair: of A, of B and their difference; NaN where there is none."""
    values = [*pair.figures(statistic), pair.difference(statistic)][: 1 if direct else 3]
    return np.array([math.nan if v is None else v for v in values], np.float64)


def strength(pair: TensorPair, statistic: str) -> float | None:
    """Return how much nearer the better one is, in halvings of the error (bits).

    One means half the error, or 6 dB; infinite if it is exact; None if that is not known.
    """
    if pair.better(statistic) is None:
        return None
    a, b = pair.figures(statistic)
    assert a is not None
    assert b is not None
    if a == b:
        return 0.0
    if statistic == "sqnr_db":
        return abs(b - a) / DB_PER_BIT
    if statistic == "cosine":
        a, b = 1 - a, 1 - b
    low, high = sorted((abs(a), abs(b)))
    return math.log2(high / low) if low else math.inf


def known_figures(pair: TensorPair, statistic: str) -> list[float | None]:
    """Return the figures of A and of B; None where they were not measured or are undefined."""
    sides = zip(pair.figures(statistic), (pair.a, pair.b), strict=True)
    return [or_none(value, None if s is None else s.max_abs_error) for value, s in sides]


def not_finite_in(pair: TensorPair) -> str:
    """Return which files have weights that are not finite: "A", "B", "A and B" or "".

    Those of the reference count for both.
    """
    sides = (("A", pair.a), ("B", pair.b))
    return " and ".join(s for s, sums in sides if sums is not None and (sums.n_nan or sums.n_inf))


def written(statistic: str, value: float | None) -> str:
    """Write a figure with its unit."""
    if value is None:
        return "\u2013"
    if statistic == "relative_rmse":
        return number(100 * value, "%")
    return number(value, "dB" if statistic == "sqnr_db" else "")


def written_change(statistic: str, value: float | None) -> str:
    """Write a difference of figures: of two percentages it is in points."""
    if value is None or statistic != "relative_rmse":
        return written(statistic, value)
    return number(100 * value, "pp")


def sentence(pair: TensorPair, statistic: str, *, direct: bool) -> str:
    """Say in words how a tensor fares in both files."""
    a, b = (written(statistic, value) for value in known_figures(pair, statistic))
    sizes = ["\u2013" if n is None else bytes_in_words(n) for n in (pair.nbytes_a, pair.nbytes_b)]
    types = [printable(qtype or "\u2013", 40) for qtype in (pair.qtype_a, pair.qtype_b)]
    name = printable(name_of(pair), 120)
    if pair.status not in {"compared", "unverified"}:
        return f"{name}: {pair.status}, {printable(pair.reason, 300)}"
    if direct:
        sides = [f"{s} {t}, {n}" for s, t, n in zip("AB", types, sizes, strict=True)]
        odd = ["weights are not finite"] if not_finite_in(pair) else []
        return " \u00b7 ".join([f"{name}: {LABELS[statistic]} {a}", *sides, *odd])
    sides = [f"{s} {t}, {f}, {n}" for s, t, f, n in zip("AB", types, (a, b), sizes, strict=True)]
    return " \u00b7 ".join([f"{name}: {sides[0]}", sides[1], _verdict(pair, statistic)])


def _verdict(pair: TensorPair, statistic: str) -> str:
    odd = not_finite_in(pair)
    if odd:
        return f"{odd} {'have' if ' ' in odd else 'has'} weights that are not finite"
    better, bits = pair.better(statistic), strength(pair, statistic)
    if better is None or bits is None:
        return "not known which is nearer"
    if better == "equal":
        return "equally near"
    times = "the other is not exact" if math.isinf(bits) else f"{2**bits:.3g} times"
    doubt = "" if pair.status == "compared" else f" ({pair.status})"
    return f"{better} is nearer, {times}{doubt}"
