"""Finds the place of each row of a file in the parameters of a model.

The tables of the families say forward what a converter does; nothing is written a second time for
the way back. Transforms that only move numbers are given numbers to move: the rows (or elements)
of the parameters, counted through. What comes out where a row of the file lies is the number of
the row that it belongs to. Transforms that calculate know how to calculate back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ComparisonError
from ..reference.transforms import Arithmetic, Chain, Transformed, Transpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from numpy.typing import NDArray

    from ..reference.transforms import Rows

__all__ = ["Parameter", "Place", "find_place"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a model, which has no values yet: a leaf of the plan.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        A plan asks for it; nothing depends on it here.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "F32"

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Refuse: the values are what is being looked for."""
        raise ComparisonError(f"parameter {self.name} has no values: rows {start} to {stop}")


@dataclass(frozen=True, slots=True)
class _Counted:
    """A parameter whose rows, or elements, are their own numbers."""

    parameter: Parameter
    calculations: tuple[Arithmetic, ...]
    whole_rows: bool
    transposed: bool
    first: int

    dtype = "I64"

    @property
    def _seen(self) -> tuple[int, ...]:
        """The shape of the parameter as it is looked at."""
        shape = self.parameter.shape
        return (*shape[:-2], shape[-1], shape[-2]) if self.transposed else shape

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._seen[:-1], 1) if self.whole_rows else self._seen

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        width = self.shape[-1]
        numbers = np.arange(self.first + start * width, self.first + stop * width)
        return numbers.astype(np.int64, copy=False).reshape(-1, width).view(np.uint8)

    def put(self, numbers: NDArray[np.int64], values: torch.Tensor, into: torch.Tensor) -> None:
        """Write rows of values, or single ones, where their numbers say."""
        if not self.whole_rows:
            _put(into.view(-1), numbers - self.first, values)
            return
        # a transposed matrix has no rows in common with the next one: matrix by matrix
        into = into.view(-1, *self.parameter.shape[-2:]) if self.transposed else into
        matrices = into.mT if self.transposed else into.view(1, -1, self.parameter.shape[-1])
        each = matrices.shape[1]
        matrix, row = np.divmod(numbers - self.first, each)
        for at, of in _runs(matrix):
            _put(matrices[at], row[of], values[of])


def _put(target: torch.Tensor, index: NDArray[np.int64], values: torch.Tensor) -> None:
    """Write values at an index of the first dimension; as a slice where it is one."""
    import torch

    step = int(index[1] - index[0]) if len(index) > 1 else 1
    if step > 0 and (np.diff(index) == step).all():
        target[int(index[0]) : int(index[-1]) + 1 : step].copy_(values)
    else:
        where = torch.from_numpy(index).to(target.device)
        target.index_copy_(0, where, values.to(target.device, target.dtype))


def _runs(of: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
    """Tell apart what belongs to which: the value, and where it stands."""
    if len(of) and (of == of[0]).all():
        yield int(of[0]), slice(None)
        return
    for value in np.unique(of):
        yield int(value), np.flatnonzero(of == value)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of one tensor of a file belong.

    Attributes
    ----------
    numbers : Rows
        Of the shape of the tensor: numbers of elements; or with a last dimension of 1: of rows.
    whole_rows : bool
    parts : tuple
        The parameters that it is made of, counted through one after the other.
    """

    numbers: Rows
    whole_rows: bool
    parts: tuple[_Counted, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(part.parameter.name for part in self.parts)

    @property
    def exactly(self) -> bool:
        """Whether the values only move: nothing has to be calculated."""
        return not any(part.calculations for part in self.parts)

    def target(
        self, rows: slice, into: Mapping[str, torch.Tensor]
    ) -> tuple[str, torch.Tensor] | None:
        """Return where rows of the file can be decoded to at once, instead of with :meth:`put`.

        Parameters
        ----------
        rows : slice
            With a start and a stop.
        into : Mapping of str to torch.Tensor
            Contiguous parameters by name.

        Returns
        -------
        (str, float32 torch.Tensor (n, row_values)) or None
            The name of a parameter, and those rows of it. None if they lie apart, or the values are
            to be calculated, rounded, or brought to another device.
        """
        import torch

        if not (self.exactly and self.whole_rows):
            return None
        numbers = self.numbers.read(rows.start, rows.stop).view(np.int64).reshape(-1)
        if not len(numbers) or (np.diff(numbers) != 1).any():
            return None
        part = next(part for part in reversed(self.parts) if part.first <= numbers[0])
        name = part.parameter.name
        matrix = into[name].view(-1, part.parameter.shape[-1])
        found = matrix[int(numbers[0]) - part.first :][: len(numbers)]
        wrong = part.transposed or len(found) < len(numbers)  # they go on in another parameter
        if wrong or found.dtype != torch.float32 or found.device.type != "cpu":
            return None
        return name, found

    def put(
        self, start: int, values: torch.Tensor, into: Mapping[str, torch.Tensor]
    ) -> dict[str, int]:
        """Write rows of the file into the parameters.

        Parameters
        ----------
        start : int
            The first of the rows.
        values : torch.Tensor, (n, row_values)
            Decoded. Where something is to be calculated: float32, on the CPU.
        into : Mapping of str to torch.Tensor
            Contiguous parameters by name.

        Returns
        -------
        dict of str to int
            How many values each parameter has got.
        """
        import torch

        if not values.numel():
            return {}
        read = self.numbers.read(start, start + len(values))
        numbers = np.ascontiguousarray(read).view(np.int64).reshape(-1)
        values = values if self.whole_rows else values.reshape(-1)
        firsts = np.array([part.first for part in self.parts])
        counts: dict[str, int] = {}
        for number, of in _runs(np.searchsorted(firsts, numbers, side="right") - 1):
            part, chosen = self.parts[number], values[of]
            for calculation in part.calculations:
                chosen = torch.from_numpy(calculation.undo(chosen.numpy()))
            name = part.parameter.name
            part.put(numbers[of], chosen, into[name])
            counts[name] = counts.get(name, 0) + chosen.numel()
        return counts


def find_place(rows: Rows) -> Place:
    """Find where the rows of a tensor belong.

    Parameters
    ----------
    rows : Rows
        What the plan has made of parameters (`Parameter`).

    Raises
    ------
    ComparisonError
        If the shapes of the parameters don't suit the transforms.
    """
    shape = rows.shape
    try:
        # a transform that looks into rows notices that they have become rows of one element
        parts: list[_Counted] = []
        numbers = _count(rows, (), parts, whole_rows=True)
        if numbers.shape == (*shape[:-1], 1):
            return Place(numbers, True, tuple(parts))
    except ComparisonError:
        pass
    parts = []
    numbers = _count(rows, (), parts, whole_rows=False)
    return Place(numbers, False, tuple(parts))


def _count(
    rows: Rows, calculations: tuple[Arithmetic, ...], parts: list[_Counted], *, whole_rows: bool
) -> Rows:
    """Put numbers in the place of parameters; calculations are set aside, the last one first."""
    if isinstance(rows, Transformed):
        transform, sources = rows.transform, rows.sources
        if isinstance(transform, Chain):
            rows = Transformed(transform.second, (Transformed(transform.first, sources),))
            return _count(rows, calculations, parts, whole_rows=whole_rows)
        if isinstance(transform, Arithmetic):
            calculations = (*calculations, transform)
            return _count(sources[0], calculations, parts, whole_rows=whole_rows)
        if not (whole_rows and isinstance(transform, Transpose) and _is_parameter(sources[0])):
            return Transformed(
                transform,
                tuple(_count(s, calculations, parts, whole_rows=whole_rows) for s in sources),
            )
        # a transposed parameter is looked at the other way, instead of moving each element
        (rows,) = sources
        transposed = True
    else:
        transposed = False
    if not isinstance(rows, Parameter):
        raise ComparisonError(f"{rows!r} is no parameter of a model")
    last = parts[-1] if parts else None
    first = last.first + math.prod(last.shape) if last else 0
    parts.append(_Counted(rows, calculations, whole_rows, transposed, first))
    return parts[-1]


def _is_parameter(rows: Rows) -> bool:
    return isinstance(rows, Parameter) and len(rows.shape) > 1
