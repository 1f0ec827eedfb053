"""One tensor of a model, and the numbers in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import GGUFLabError
from ..file import Bytes, GGUFFile, TensorInfo, preview, printable
from .names import split_name

if TYPE_CHECKING:
    import torch

__all__ = ["Tensor"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tensor:
    """A tensor of an open model: what the file says about it, its bytes, its values.

    Nothing is read before it is asked for, and nothing is kept.

    Attributes
    ----------
    info : TensorInfo
        What the file says.
    """

    info: TensorInfo
    _file: GGUFFile

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.info.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in NumPy's order."""
        return self.info.shape

    @property
    def qtype(self) -> str:
        """The name of its type: "Q4_K"."""
        return self.info.qtype.name

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        return self.info.n_elements

    @property
    def nbytes(self) -> int | None:
        """Bytes in the file; None if the type is unknown."""
        return self.info.nbytes

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, scales included; NaN if the type is unknown or there is no weight."""
        if self.nbytes is None or not self.n_elements:
            return math.nan
        return 8 * self.nbytes / self.n_elements

    @property
    def layer(self) -> int | None:
        """The layer it belongs to, None outside of the layers."""
        return split_name(self.name)[0]

    @property
    def kind(self) -> str:
        """What it is in its layer: "attn_q"."""
        return split_name(self.name)[1]

    @property
    def status(self) -> str:
        """Its state: "ok", "truncated" (the file ends too early) or "opaque" (unknown type)."""
        return self.info.status

    @property
    def n_rows(self) -> int:
        """Product of all dimensions but the last."""
        return self.info.n_rows

    @property
    def row_values(self) -> int:
        """Weights per row: the last dimension."""
        return self.info.row_values

    @property
    def row_bytes(self) -> int | None:
        """Bytes per row; None if the type is unknown."""
        return self.info.row_bytes

    def blocks(self, rows: slice | None = None) -> Bytes:
        """Return the blocks of some rows.

        Parameters
        ----------
        rows : slice, optional
            Rows of the tensor seen as (n_rows, row_values), without step; all if not given.

        Returns
        -------
        numpy.ndarray of uint8, shape (n, row_bytes)
            Little-endian blocks, swapped if the file is big-endian.

        Raises
        ------
        GGUFError
            If the tensor is truncated or the model closed.
        UnsupportedError
            If its type is unknown, or no definition says how to swap its bytes.
        """
        raw = self._file.raw(self.info, *self._span(rows))
        if self._file.byteorder == "little" or not raw.size:
            return raw
        from ..codec import to_little_endian

        swapped: Bytes = to_little_endian(raw, self.qtype)
        return swapped

    def dequantize(
        self, rows: slice | None = None, *, device: Any = "cpu", backend: str | None = None
    ) -> torch.Tensor:
        """Return the values, or those of some rows, bit for bit as llama.cpp decodes them.

        Of NVFP4 a scale may stand beside it, in a tensor of its own: it is not multiplied here.

        Parameters
        ----------
        rows : slice, optional
            Rows of the tensor seen as (n_rows, row_values), without step.
        device : str or torch.device
            Where the result is wanted.
        backend : str, optional
            "numpy", "numba", "torch" or "triton"; chosen by itself if not given.

        Returns
        -------
        torch.Tensor of float32
            Of the tensor's shape; (n, row_values) if `rows` is given.

        Raises
        ------
        GGUFError
            If the tensor is truncated or the model closed.
        UnsupportedError
            If its type cannot be decoded.
        GGUFLabError
            If the backend or the device cannot be used here.
        """
        from ..codec import choose_backend, dequantize, to_tensor

        blocks = self._decodable_blocks(rows)
        shape = self._shape(rows)
        chosen = choose_backend(str(device), backend)
        if not math.prod(shape):
            import torch

            return torch.zeros(shape, dtype=torch.float32, device=device)
        if chosen in {"torch", "triton"}:
            values = dequantize(to_tensor(blocks), self.qtype, device=device, backend=backend)
        else:
            values = to_tensor(dequantize(blocks, self.qtype, device=device, backend=backend))
        return values.reshape(shape)

    def to_numpy(
        self, rows: slice | None = None, *, out: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the values as `dequantize` does, as an array; torch is not needed.

        Parameters
        ----------
        rows : slice, optional
            Rows of the tensor seen as (n_rows, row_values), without step.
        out : numpy.ndarray of float32, optional
            Where to write them: C-contiguous, of the shape of what is returned.

        Returns
        -------
        numpy.ndarray of float32
            Of the tensor's shape; (n, row_values) if `rows` is given; `out` if it is given.

        Raises
        ------
        GGUFError
            If the tensor is truncated or the model closed.
        UnsupportedError
            If its type cannot be decoded.
        GGUFLabError
            If `out` does not fit.
        """
        from ..codec import check_out, dequantize

        blocks = self._decodable_blocks(rows)
        shape = self._shape(rows)
        if out is not None:
            check_out(out, shape)
        if not math.prod(shape):
            return np.zeros(shape, np.float32) if out is None else out
        target = None if out is None else out.reshape(len(blocks), -1)
        values: npt.NDArray[np.float32] = dequantize(blocks, self.qtype, out=target)
        return values.reshape(shape) if out is None else out

    def _decodable_blocks(self, rows: slice | None) -> Bytes:
        blocks = self.blocks(rows)  # refuses what is truncated or opaque
        from ..codec import find_format

        find_format(self.qtype)  # a type without definition is refused even where it is empty
        return blocks

    def _span(self, rows: slice | None) -> tuple[int, int]:
        if rows is None:
            return 0, self.n_rows
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise GGUFLabError(
                f"rows of tensor '{printable(self.name)}' are asked by {preview(rows)}. Expected a "
                "slice without step, such as slice(0, 64)."
            )
        start, stop, _ = rows.indices(self.n_rows)
        return start, max(start, stop)

    def _shape(self, rows: slice | None) -> tuple[int, ...]:
        if rows is None:
            return self.shape
        start, stop = self._span(rows)
        return stop - start, self.row_values

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.shape)) or "scalar"
        size = "size unknown" if self.nbytes is None else f"{self.nbytes:,} bytes"
        status = "" if self.status == "ok" else f", {self.status}"
        return f"<Tensor '{printable(self.name)}': {shape}, {self.qtype}, {size}{status}>"
