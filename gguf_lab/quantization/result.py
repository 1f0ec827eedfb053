"""What a quantization has done to each tensor, and why."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..file import printable, qtype
from ..file.text import few

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from .choices import Choice

__all__ = ["COLUMNS", "QuantizedTensor", "Requantization"]

COLUMNS = (
    *("name", "shape", "source_qtype", "qtype", "reason", "importance"),
    *("fallback", "requantized", "n_elements", "nbytes", "bits_per_weight"),
)


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """One tensor.

    Attributes
    ----------
    name : str
        Its name.
    shape : tuple of int
        In NumPy's order.
    source_qtype : str
        The type that it had.
    choice : Choice
        The type that it has got, and why.
    importance : str
        "" without importance matrix; else "used", "not needed" or why there was none for it.
    """

    name: str
    shape: tuple[int, ...]
    source_qtype: str
    choice: Choice
    importance: str = ""

    @property
    def qtype(self) -> str:
        """The type that it has got."""
        return self.choice.qtype

    @property
    def reason(self) -> str:
        """Why it has got this type."""
        return self.choice.reason

    @property
    def fallback(self) -> bool:
        """Whether its rows did not fit the type that was wanted."""
        return self.choice.fallback

    @property
    def changed(self) -> bool:
        """Whether it was encoded anew; else its bytes are those that it had."""
        return self.qtype != self.source_qtype

    @property
    def requantized(self) -> bool:
        """Whether it was quantized before and again: its errors are those of both."""
        return self.changed and qtype(self.source_qtype).block_size > 1

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now."""
        return qtype(self.qtype).row_bytes(self.n_elements)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight that it takes now."""
        return qtype(self.qtype).bits_per_weight


@dataclass(frozen=True, slots=True)
class Requantization:
    """What was written.

    Attributes
    ----------
    paths : tuple of pathlib.Path
        The files: one, or a set of shards.
    source : str
        What was read.
    mix : str
        Name of the mix.
    tensors : tuple of QuantizedTensor
        In the order of the new file.
    seconds : float
        Time taken.
    """

    paths: tuple[Path, ...]
    source: str
    mix: str
    tensors: tuple[QuantizedTensor, ...]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight over all tensors; NaN if there are none."""
        n = sum(tensor.n_elements for tensor in self.tensors)
        return 8 * self.nbytes / n if n else math.nan

    @property
    def summary(self) -> str:
        """What was done, in one sentence, with whatever one might not expect."""
        n, changed = len(self.tensors), [t for t in self.tensors if t.changed]
        types = Counter(tensor.qtype for tensor in changed)
        parts = [f"{len(changed)} of {n} tensors to {self.mix}"]
        if types:
            parts[0] += f" ({', '.join(f'{count} {name}' for name, count in types.most_common())})"
        bits = self.bits_per_weight
        parts += [] if math.isnan(bits) else [f"{bits:.2f} bits per weight"]
        again = sum(tensor.requantized for tensor in self.tensors)
        parts += [f"{again} had been quantized before"] if again else []
        fallbacks = sum(tensor.fallback for tensor in self.tensors)
        parts += [f"{fallbacks} with rows that did not fit, in another type"] if fallbacks else []
        lacking = sum(tensor.importance.startswith("none") for tensor in self.tensors)
        parts += [f"{lacking} without entry in the importance matrix"] if lacking else []
        return ", ".join(parts)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per tensor."""
        import pandas as pd

        return pd.DataFrame(
            [[getattr(tensor, column) for column in COLUMNS] for tensor in self.tensors],
            columns=list(COLUMNS),
        )

    def __repr__(self) -> str:
        names = few(printable(path.name) for path in self.paths)
        return f"<{names}: {self.summary} ({self.seconds:.1f} s)>"
