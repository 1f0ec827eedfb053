"""What lining up gives: each tensor of a file and what it is compared with, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ComparisonError
from ..file.text import quoted
from .transforms import Transformed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .transforms import Rows

__all__ = ["Alignment", "Pair", "ReferenceOnly"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A tensor of the file and what it was made from, or is compared with.

    Attributes
    ----------
    name : str
        In the file.
    reference_names : tuple of str
        In the reference; several if they were joined, none if there are none.
    transform : str
        What the converter did to them, in words, and with what the file's weights are multiplied;
        empty if they are stored as they are.
    status : {"matched", "unverified", "scale", "unmatched", "unsupported"}
        Unverified: there is no table for the architecture; name and shape agree, and no more is
        known. Such a pair can be read like a matched one. Scale: a scale of a quantization, no
        tensor of the model.
    reason : str
        Why it isn't matched; empty if it is.
    dtype : str
        The codec's name of the values that `read` gives; empty if it isn't known.
    scale : str
        The tensor of the file that the stored weights are multiplied with; empty if there is none.
    """

    name: str
    reference_names: tuple[str, ...] = ()
    transform: str = ""
    status: str = "matched"
    reason: str = ""
    dtype: str = ""
    scale: str = ""
    _rows: Rows | None = field(default=None, repr=False, compare=False)
    _stored: Rows | None = field(default=None, repr=False, compare=False)

    @property
    def rows_per_read(self) -> int:
        """How many rows are best read at once: those that take the same bytes of the reference."""
        return self._rows.rows_per_read if isinstance(self._rows, Transformed) else 1

    @property
    def readable(self) -> bool:
        """Whether there is a reference to read."""
        return self._rows is not None

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read reference rows as the converter would write them.

        Parameters
        ----------
        start, stop : int
            Rows of the file's tensor, flattened over all dimensions but the last.

        Returns
        -------
        numpy.ndarray
            uint8 ``(stop - start, row_bytes)``, little endian.

        Raises
        ------
        ComparisonError
            If the pair is neither matched nor unverified.
        """
        return self._side(self._rows).read(start, stop)

    @property
    def stored_dtype(self) -> str:
        """The codec's name of the values that `read_stored` gives."""
        return self._side(self._stored).dtype

    def read_stored(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows of the file, times the scale beside them if there is one; as `read` does."""
        return self._side(self._stored).read(start, stop)

    def _side(self, rows: Rows | None) -> Rows:
        if rows is None:
            raise ComparisonError(
                f"{quoted(self.name)} has no reference to read: {self.reason or self.status}."
            )
        return rows


@dataclass(frozen=True, slots=True)
class ReferenceOnly:
    """A tensor that the reference has and the file has not.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        As in the reference.
    reason : str
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a file and a reference line up.

    Attributes
    ----------
    pairs : tuple of Pair
        One for each tensor of the file, in its order.
    reference_only : tuple of ReferenceOnly
        What is left of the reference, in its order.
    """

    pairs: tuple[Pair, ...]
    reference_only: tuple[ReferenceOnly, ...]
