"""Lines two GGUF files up: tensor by tensor, by equal names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..codec import can_decode
from ..errors import ComparisonError
from ..file.remote import Address, location
from ..file.text import printable, quoted
from ..model import Model, open_model
from .alignment import FITTING_MATRICES, Alignment, Pair, ReferenceOnly, align, same_shape
from .checkpoint import Checkpoint, open_checkpoint

if TYPE_CHECKING:
    import os
    from contextlib import ExitStack

    import numpy as np
    from numpy.typing import NDArray

    from ..model import Tensor

__all__ = ["align_files", "given_reference", "is_gguf", "line_up", "open_reference"]


def is_gguf(path: str | os.PathLike[str] | Address) -> bool:
    """Tell a GGUF file from a checkpoint: by its name, on this machine by its first bytes too."""
    place = location(path)
    if isinstance(place, Address) or not place.exists():
        return place.suffix == ".gguf"
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return place.suffix == ".gguf" or file.read(4) == b"GGUF"


def open_reference(path: str | os.PathLike[str] | Address) -> Checkpoint | Model:
    """Open what a model is compared with: a GGUF file, or a checkpoint.

    Raises
    ------
    GGUFError, CheckpointError
        If it is missing or malformed.
    RemoteError
        If it lies on a server and cannot be had from there.
    """
    return open_model(path) if is_gguf(path) else open_checkpoint(path)


def given_reference(
    given: str | os.PathLike[str] | Address | Checkpoint | Model, opened: ExitStack
) -> Checkpoint | Model:
    """Return the reference that was given; what is opened for it is closed with `opened`."""
    if isinstance(given, Checkpoint | Model):
        return given
    reference = open_reference(given)
    opened.callback(reference.close)
    return reference


def line_up(model: Model, reference: Checkpoint | Model) -> Alignment:
    """Line a model up with what `open_reference` opens; raises as `align` and `align_files` do."""
    if isinstance(reference, Checkpoint):
        return align(model, reference)
    return align_files(model, reference)


@dataclass(frozen=True, slots=True)
class _TensorRows:
    """A tensor of a file as rows."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def dtype(self) -> str:
        return self.tensor.qtype

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self.tensor.blocks(slice(start, stop))


def align_files(model: Model, reference: Model) -> Alignment:
    """Line two files up.

    Parameters
    ----------
    model, reference : Model

    Raises
    ------
    ComparisonError
        If they plainly aren't the same model: no tensor has a counterpart, or too few shapes agree.
    """
    _check_fit(model, reference)
    others = dict(reference.tensors)
    return Alignment(
        tuple(_pair(tensor, others.get(name)) for name, tensor in model.tensors.items()),
        tuple(
            ReferenceOnly(name, t.shape, t.qtype, f"the file has no {printable(name)}")
            for name, t in others.items()
            if name not in model.tensors
        ),
    )


def _pair(ours: Tensor, theirs: Tensor | None) -> Pair:
    if theirs is None:
        return Pair(
            ours.name, status="unmatched", reason="the reference has no tensor of this name"
        )
    pair = Pair(ours.name, (theirs.name,), status="unmatched", dtype=theirs.qtype)
    if not same_shape(ours.shape, theirs.shape):
        return replace(pair, reason=_shapes(ours, theirs))
    pair = replace(pair, status="unsupported")
    for tensor, where in ((ours, "file"), (theirs, "reference")):
        if tensor.status != "ok":
            return replace(pair, reason=f"the tensor in the {where} is {tensor.status}")
        if not can_decode(tensor.qtype):
            name = printable(tensor.qtype)
            return replace(pair, reason=f"type {name} of the {where} is not decoded")
    return replace(pair, status="matched", _rows=_TensorRows(theirs))


def _shapes(ours: Tensor, theirs: Tensor) -> str:
    return f"shape {ours.shape} in the file, {theirs.shape} in the reference"


def _check_fit(model: Model, reference: Model) -> None:
    """Raise one clear error for another model or size, instead of listing unmatched tensors."""
    ours, theirs = (
        [t for t in m.tensors.values() if len(t.shape) > 1] or list(m.tensors.values())
        for m in (model, reference)
    )
    both = [(t, reference.tensors[t.name]) for t in ours if t.name in reference.tensors]
    wrong = [(a, b) for a, b in both if not same_shape(a.shape, b.shape)]
    fewer = min(len(ours), len(theirs))
    if not fewer or len(both) - len(wrong) >= FITTING_MATRICES * fewer:
        return
    words = f", such as {quoted(wrong[0][0].name)}: {_shapes(*wrong[0])}" if wrong else ""
    raise ComparisonError(
        f"{model.path} (architecture {quoted(model.architecture or '')}) and {reference.path}"
        f" (architecture {quoted(reference.architecture or '')}) are not the same model: only"
        f" {len(both) - len(wrong)} of {fewer} matrices agree in name and shape{words}."
    )
