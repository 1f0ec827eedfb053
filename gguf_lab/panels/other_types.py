"""What another type would change: rows of the original quantized anew, and the error measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..codec import REQUIRES_IMPORTANCE, can_quantize, dequantize, quantize
from ..errors import GGUFLabError
from ..file import qtype
from ..file.text import printable
from ..markup import card, grid
from ..model.words import bytes_in_words
from .assets import script, style
from .inquiry import Inquiry
from .numbers import percent, signed
from .sides import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


__all__ = ["OtherTypes"]

_LADDER: Final = (
    *("Q2_K", "Q3_K", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_K", "Q4_1", "Q5_0", "Q5_K", "Q5_1"),
    *("Q6_K", "Q8_0", "F16"),
)
_MOST: Final = 1 << 18  # weights that are quantized; of larger tensors a sample of the rows
_ERROR: Final = "relative RMSE"
_UNDER_WAY: Final = (
    "Quantizing. What this machine has not quantized to before is compiled first: that takes some "
    "seconds, and makes other panels slow."
)
_RUN: Final = 8  # rows of the sample that lie together
_PIECE: Final = 1 << 16  # weights between two looks at whether anyone still waits


@dataclass(frozen=True, slots=True)
class Change:
    """A type and what it does to the rows that were measured.

    Attributes
    ----------
    qtype : str
    role : str
        "stored", "smaller", "as large" or "larger"; "anew": the stored type, quantized again.
    bits_per_weight : float
    nbytes : int
        Of the whole tensor.
    relative_rmse : float
        Weight-space error over the RMS of the original.
    """

    qtype: str
    role: str
    bits_per_weight: float
    nbytes: int
    relative_rmse: float


def neighbours(stored: str, columns: int) -> list[tuple[str, str]]:
    """Return the types around a stored one for rows of so many weights, with their roles.

    Those with the next fewer bits, with as many, and with the next two larger numbers of bits;
    only types that can be written and whose blocks divide the rows.
    """
    fits = [
        name
        for name in _LADDER
        if not columns % qtype(name).block_size
        and name not in REQUIRES_IMPORTANCE
        and can_quantize(name)
    ]
    bits = qtype(stored).bits_per_weight
    sizes = sorted({qtype(name).bits_per_weight for name in fits})
    smaller = [size for size in sizes if size < bits][-1:]
    larger = [size for size in sizes if size > bits][:2]
    roles = dict.fromkeys(smaller, "smaller") | {bits: "as large"} | dict.fromkeys(larger, "larger")
    return [
        (name, "anew" if name == stored else roles[size])
        for name in sorted(fits, key=lambda name: qtype(name).bits_per_weight)
        if (size := qtype(name).bits_per_weight) in roles
    ]


class OtherTypes(Inquiry):
    """What the selected tensor would be in the next smaller and larger types.

    Rows of the original are quantized as llama.cpp does it and the error is measured, beside that
    of the stored weights on the same rows. Of a large tensor a sample of the rows is taken, evenly
    spread, and the panel says so.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    name : str, optional
        The tensor to begin with; default the first matrix.
    reference : Checkpoint, Model, path or Address, optional
        The original weights; without them the panel says that there is nothing to measure.
    importance : mapping of str to array, optional
        An open importance matrix, which the quantizers heed.
    selection : Place, optional
        A panel with which tensor and weight are shared.
    height : int
        Height in CSS pixels.

    Attributes
    ----------
    changes : list of Change
        What was measured so far, by bits.
    """

    _esm = script("places", "other_types")
    _css = style("places", "worst_places", "other_types")

    _label = "Another type"
    _tall = 300
    _no_original = (
        "There is no original to quantize: {}. What is lost already does not come back in a larger"
        " type."
    )
    _busy = "Quantizing"

    changes: Sequence[Change] = ()
    rows = traitlets.List(
        traitlets.List(), help="[role, type, bits, size, change, error, ...]"
    ).tag(sync=True)
    error_head = traitlets.Unicode(_ERROR, help="What the column of errors says").tag(sync=True)

    def _clear(self) -> None:
        self.changes, self.rows = [], []

    def _ask(self, name: str) -> Iterator[float]:
        tensor = self._sides.tensor(name)
        spans, weights, sample = self._sample(name)
        found = read(
            self._sides.readers(name, ("quantized", "original")), spans, 0, tensor.row_values
        )
        original = np.ascontiguousarray(found["original"])
        if not np.isfinite(original).all():
            raise GGUFLabError(
                f"{printable(name, 120)}: the {self.facts['called']} has values that are not "
                "finite, which cannot be quantized"
            )
        power = float(np.square(original, dtype=np.float64).sum())
        stored = _relative(_squared(found["quantized"], original), power)
        nbytes = tensor.nbytes or 0
        changes = [Change(tensor.qtype, "stored", tensor.bits_per_weight, nbytes, stored)]
        del found
        types = neighbours(tensor.qtype, tensor.row_values)
        with self._publishing(name):
            whole = len(original) == tensor.n_rows
            self.error_head = _ERROR if whole else f"{_ERROR} of the sample"
        self._publish(name, changes, sample)
        yield 0.02
        for k, (kind, role) in enumerate(types):
            squared = 0.0
            step = max(1, _PIECE // tensor.row_values)
            for a in range(0, len(original), step):
                rows = original[a : a + step]
                blocks = quantize(rows, kind, importance=weights)
                squared += _squared(dequantize(blocks, kind).reshape(rows.shape), rows)
                yield (k + min(1.0, (a + step) / len(original))) / len(types)
            size = qtype(kind).row_bytes(tensor.n_elements)
            relative = _relative(squared, power)
            change = Change(kind, role, qtype(kind).bits_per_weight, size, relative)
            changes = sorted([*changes, change], key=lambda c: c.bits_per_weight)
            self._publish(name, changes, sample)
        self._publish(name, changes, sample, done=True)

    def _sample(self, name: str) -> tuple[list[tuple[int, int]], Any, str]:
        """Return the rows to measure, their importance, and the words about them."""
        tensor = self._sides.tensor(name)
        n, wide = tensor.n_rows, tensor.row_values
        parts, weights = self._weights(name), None
        if parts is not None:  # by expert: those of the first are taken
            weights, n = parts[0].astype(np.float32), n // len(parts)
        rows = f"{n:,} rows" + " of the first expert" * (n < tensor.n_rows)
        if n * wide <= _MOST:
            return [(0, n)], weights, f"Measured on all {rows}."
        runs = max(1, _MOST // (_RUN * wide))
        size = min(_RUN, max(1, _MOST // wide))
        starts = [(2 * k + 1) * n // (2 * runs) for k in range(runs)]
        spans = [(a, min(a + size, n)) for a in dict.fromkeys(min(a, n - size) for a in starts)]
        count = sum(b - a for a, b in spans)
        words = f"Measured on a sample: {count:,} of {rows}, evenly spread."
        return spans, weights, words

    def _publish(
        self, name: str, changes: Sequence[Change], sample: str, *, done: bool = False
    ) -> None:
        stored = next(change for change in changes if change.role == "stored")
        errors = [change.relative_rmse for change in changes]
        worst = max(filter(math.isfinite, errors), default=0.0) or 1.0
        with self._publishing(name):
            self.changes = changes
            self.rows = [_told(change, stored, worst) for change in changes]
            words = _in_words(changes, stored) if done else _UNDER_WAY
            self.verdict = f"{words} {sample}"

    def __repr__(self) -> str:
        return f"<OtherTypes: {printable(self.name or 'no tensor', 80)}, {len(self.changes)} types>"

    def _static(self, limit: int | None) -> str:
        del limit
        columns = ("", "type", "bits", "size", "change", self.error_head, "change in dB")
        title = f"Another type for {self.facts.get('label') or 'no tensor'}"
        table = [grid(columns, [row[:7] for row in self.rows], range(2, 7))] if self.rows else []
        return card(title, *table, note=self.verdict)


def _squared(values: np.ndarray, original: np.ndarray) -> float:
    error = values - original  # in float32, as the comparison has it
    return float(np.square(error, dtype=np.float64).sum())


def _relative(squared: float, power: float) -> float:
    return math.sqrt(squared / power) if power else 0.0


def _decibels(change: Change, stored: Change) -> float:
    """Return how much the signal to noise ratio gains."""
    if not change.relative_rmse or not stored.relative_rmse or math.isinf(stored.relative_rmse):
        return math.nan
    return 20 * math.log10(stored.relative_rmse / change.relative_rmse)


def _told(change: Change, stored: Change, worst: float) -> list[Any]:
    gain = _decibels(change, stored)
    difference = change.nbytes - stored.nbytes
    sign = "+" if difference > 0 else "−"
    size = f"{sign}{bytes_in_words(abs(difference))}" if difference else "0"
    known = math.isfinite(change.relative_rmse)
    return [
        change.role,
        change.qtype,
        f"{change.bits_per_weight:.2f}",
        bytes_in_words(change.nbytes),
        size,
        percent(change.relative_rmse) if known else "not finite",
        "" if change is stored or math.isnan(gain) else signed(gain, 1),
        change.relative_rmse / worst if known else 0.0,
    ]


def _in_words(changes: Sequence[Change], stored: Change) -> str:
    """Say what the next larger types would change."""
    if not math.isfinite(stored.relative_rmse):
        anew = [percent(change.relative_rmse) for change in changes if change.role == "anew"]
        again = f" Quantized anew, {stored.qtype} has a relative RMSE of {anew[0]}." if anew else ""
        return f"Stored weights are not finite, so that there is no error to improve on.{again}"
    larger = [change for change in changes if change.role == "larger"]
    if not larger:
        return f"There is no larger type than {stored.qtype} to go to."
    bits = min(change.bits_per_weight for change in larger)
    nearest = [change for change in larger if change.bits_per_weight == bits]
    best = min(nearest, key=lambda change: change.relative_rmse)
    return (
        f"The next larger type, {best.qtype} with {best.bits_per_weight:.2f} instead of "
        f"{stored.bits_per_weight:.2f} bits, would change the relative RMSE from "
        f"{percent(stored.relative_rmse)} to {percent(best.relative_rmse)} and the tensor from "
        f"{bytes_in_words(stored.nbytes)} to {bytes_in_words(best.nbytes)}."
    )
