"""The tensors of a file as rows: as they are stored, or times the scale that stands beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..codec import can_decode
from ..errors import ComparisonError
from ..file.text import printable
from .transforms import Scaled, Transformed

if TYPE_CHECKING:
    from collections.abc import Container

    import numpy as np
    from numpy.typing import NDArray

    from ..model import Model, Tensor
    from .transforms import Rows

__all__ = [
    "in_words",
    "role_of_scale",
    "scale_of",
    "second_scale_of",
    "stored_rows",
    "why_unreadable",
]

# ends of names
_WEIGHT, _SCALE, _INPUT_SCALE = ".weight", ".scale", ".input_scale"


@dataclass(frozen=True, slots=True)
class _TensorRows:
    """A tensor of a file as rows."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """As in the file."""
        return self.tensor.shape

    @property
    def dtype(self) -> str:
        """The name of its type."""
        return self.tensor.qtype

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read its blocks."""
        return self.tensor.blocks(slice(start, stop))


def scale_of(model: Model, tensor: Tensor, own: Container[str] = ()) -> Tensor | None:
    """Return what llama.cpp multiplies all that a matrix gives with, None if there is nothing.

    That is a tensor of one number, or of one for each expert, which any matrix may have beside it
    (``load_tensors``). NVFP4 needs it: its own scales have too few bits for the range of weights.

    Parameters
    ----------
    model : Model
    tensor : Tensor
    own : container of str
        Tensors that the original has too: these are no scales of a quantization.
    """
    name = _beside(model, tensor, _SCALE)
    if not name or name in own:
        return None
    scale = model.tensors[name]
    # gemma4's router: of what goes in, column by column
    of_columns = len(tensor.shape) < 3 and scale.n_elements == tensor.row_values > 1
    return None if of_columns else scale


def second_scale_of(model: Model, tensor: Tensor) -> Tensor | None:
    """Return the scale beside a tensor if it is of its quantization, not of the model itself.

    Of NVFP4 it is, and stays so when the tensor is quantized again. Converters write an
    ``input_scale`` with it, which is for what a layer calculates in few bits.
    """
    quantized = tensor.qtype == "NVFP4" or _beside(model, tensor, _INPUT_SCALE)
    return scale_of(model, tensor) if quantized else None


def _beside(model: Model, tensor: Tensor, end: str) -> str:
    """Name the tensor beside a weight; some writers add the end instead of replacing it."""
    whole = tensor.name
    names = (whole.removesuffix(_WEIGHT) + end, whole + end) if whole.endswith(_WEIGHT) else ()
    return next((name for name in names if name in model.tensors), "")


def stored_rows(tensor: Tensor, scale: Tensor | None = None) -> Rows:
    """See a tensor as rows; times its scale in float32, if one is given."""
    rows = _TensorRows(tensor)
    return rows if scale is None else Transformed(Scaled(), (rows, _TensorRows(scale)))


def why_unreadable(tensor: Tensor, scale: Tensor | None, where: str) -> str:
    """Say why a tensor, or the scale beside it, cannot be read as numbers; empty if they can."""
    for one in (tensor, *([] if scale is None else [scale])):
        if one.status != "ok":
            return f"the tensor in the {where} is {one.status}"
        if not can_decode(one.qtype):
            return f"type {printable(one.qtype)} of the {where} is not decoded"
    try:
        _ = stored_rows(tensor, scale).shape
    except ComparisonError as error:
        return f"{error} in the {where}"
    return ""


def in_words(transform: str, scale: Tensor | None, where: str = "file") -> str:
    """Add to what was done to the reference with what stored weights are multiplied."""
    times = "" if scale is None else f"the {where}'s weights times {printable(scale.name)}"
    return "; ".join(words for words in (transform, times) if words)


def role_of_scale(model: Model, tensor: Tensor) -> str:
    """Say what a scale of a quantization is for; empty if the tensor is none."""
    for end, words in (
        (_SCALE, "the weights beside it are multiplied with it"),
        (_INPUT_SCALE, "for what a layer calculates, not for weights"),
    ):
        stem = tensor.name.removesuffix(end)
        for weight in (stem, stem + _WEIGHT) if tensor.name.endswith(end) else ():
            if weight in model.tensors and second_scale_of(model, model.tensors[weight]):
                return words
    return ""
