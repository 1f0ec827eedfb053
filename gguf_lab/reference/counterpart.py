"""Lines two GGUF files up: tensor by tensor, by equal names, or by what was fused or stacked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ComparisonError
from ..file.remote import Address, location
from ..file.text import printable, quoted
from ..model import Model, open_model
from .alignment import FITTING_MATRICES, align, same_shape
from .architectures.grouping import UP, Origin, gated, regrouped
from .checkpoint import Checkpoint, open_checkpoint
from .pairs import Alignment, Pair, ReferenceOnly
from .rotary import Arrangement
from .stored import (
    in_words,
    role_of_scale,
    scale_of,
    second_scale_of,
    stored_rows,
    why_unreadable,
)
from .transforms import AsStored, Transformed

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from contextlib import ExitStack

    from ..model import Tensor

__all__ = ["align_files", "given_reference", "is_gguf", "line_up", "open_reference"]


def is_gguf(path: str | os.PathLike[str] | Address) -> bool:
    """Tell a GGUF file from a checkpoint: by its name, on this machine by its first bytes too."""
    place = location(path)
    named = place.suffix == ".gguf"
    if isinstance(place, Address):
        return named
    try:
        if place.is_file():
            with place.open("rb") as file:
                return named or file.read(4) == b"GGUF"
        return named and not place.is_dir()
    except OSError:  # who opens it says what is wrong
        return named


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
    arrangement = Arrangement.of(model, reference)
    elsewhere = _elsewhere(model, reference, arrangement)
    _check_fit(model, reference, elsewhere)
    used = {*model.tensors, *(n for origin in elsewhere.values() for n in origin.names)}
    return Alignment(
        tuple(
            _doubted(
                _pair(model, tensor, reference, elsewhere.get(tensor.name), arrangement),
                arrangement,
            )
            for tensor in model.tensors.values()
        ),
        tuple(
            ReferenceOnly(name, t.shape, t.qtype, f"the file has no {printable(name)}")
            for name, t in reference.tensors.items()
            if name not in used
        ),
    )


def _elsewhere(model: Model, reference: Model, arrangement: Arrangement) -> dict[str, Origin]:
    """Find weights that the reference has in other tensors: fused or apart, stacked or not."""
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    theirs = reference.tensors
    missing = [
        name
        for name, shape in shapes.items()
        # phi3 has both halves of a gated layer in what others call the second
        if name not in theirs or (UP in name and not same_shape(shape, theirs[name].shape))
    ]
    if not missing:
        return {}
    origins = {name: _origin(reference, tensor, arrangement) for name, tensor in theirs.items()}
    found = (
        (name, gated(name, shapes, origins) or regrouped(name, shapes, origins)) for name in missing
    )
    return {name: origin for name, origin in found if origin}


def _origin(reference: Model, tensor: Tensor, arrangement: Arrangement) -> Origin:
    rows = stored_rows(tensor, second_scale_of(reference, tensor))
    try:
        arranged = Transformed(AsStored(), (arrangement.arranged(tensor.name, rows),))
    except ComparisonError as error:
        return Origin((tensor.name,), None, str(error))
    return Origin((tensor.name,), arranged)


def _doubted(pair: Pair, arrangement: Arrangement) -> Pair:
    """Say of a pair what it is worth where nobody knows how two architectures differ."""
    if pair.status == "matched" and arrangement.doubted:
        return replace(pair, status="unverified", reason=arrangement.words)
    return pair


def _regrouped(model: Model, ours: Tensor, reference: Model, origin: Origin) -> Pair:
    """Compare a tensor with several others, or with a part of one."""
    assert origin.rows is not None
    rows, scale = origin.rows, second_scale_of(model, ours)
    pair = Pair(ours.name, origin.names, in_words(rows.words, scale), "unsupported")
    for name in origin.names:
        theirs = reference.tensors[name]
        if reason := why_unreadable(theirs, second_scale_of(reference, theirs), "reference"):
            return replace(pair, reason=reason)
    if reason := why_unreadable(ours, scale, "file"):
        return replace(pair, reason=reason)
    try:
        shape, dtype = rows.shape, rows.dtype
    except ComparisonError as error:
        return replace(pair, status="unmatched", reason=str(error))
    if not same_shape(ours.shape, shape):
        return replace(pair, status="unmatched", reason=_shapes(ours.shape, shape))
    stored = stored_rows(ours, scale)
    pair = replace(pair, status="matched", dtype=dtype, _rows=rows, _stored=stored)
    return replace(pair, scale=scale.name if scale else "")


def _pair(
    model: Model,
    ours: Tensor,
    reference: Model,
    elsewhere: Origin | None,
    arrangement: Arrangement,
) -> Pair:
    if role := role_of_scale(model, ours):
        return Pair(ours.name, status="scale", reason=role)
    if elsewhere:
        return _regrouped(model, ours, reference, elsewhere)
    pair = Pair(ours.name, status="unmatched")
    if ours.name not in reference.tensors:
        return replace(pair, reason="the reference has no tensor of this name")
    theirs = reference.tensors[ours.name]
    pair = replace(pair, reference_names=(theirs.name,), dtype=theirs.qtype)
    if not same_shape(ours.shape, theirs.shape):
        return replace(pair, reason=_shapes(ours.shape, theirs.shape))
    sides = (model, ours, "file"), (reference, theirs, "reference")
    scales = [scale_of(side, tensor) for side, tensor, _ in sides]
    if None not in scales and not any(second_scale_of(side, tensor) for side, tensor, _ in sides):
        scales = [None, None]  # tensors of the model, compared for themselves
    read = []
    for scale, (_, tensor, where) in zip(scales, sides, strict=True):
        pair = replace(pair, transform=in_words(pair.transform, scale, where))
        if reason := why_unreadable(tensor, scale, where):
            return replace(pair, status="unsupported", reason=reason)
        read.append(stored_rows(tensor, scale))
    stored, rows = read
    pair = replace(pair, scale=scales[0].name if scales[0] else "", dtype=rows.dtype)
    try:
        turned = arrangement.arranged(theirs.name, rows)
        if isinstance(turned, Transformed) and turned is not rows and turned.shape:
            words = "; ".join(filter(None, (turned.transform.words, pair.transform)))
            pair = replace(pair, transform=words)
        return replace(pair, status="matched", _rows=turned, _stored=stored)
    except ComparisonError as error:
        doubt = replace(pair, status="unverified", reason=str(error))
        return replace(doubt, _rows=rows, _stored=stored)


def _shapes(ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    return f"shape {ours} in the file, {theirs} in the reference"


def _check_fit(model: Model, reference: Model, elsewhere: Mapping[str, Origin]) -> None:
    """Raise one clear error for another model or size, instead of listing unmatched tensors."""
    ours, theirs = (
        [t for t in m.tensors.values() if len(t.shape) > 1] or list(m.tensors.values())
        for m in (model, reference)
    )
    both = [(t, reference.tensors[t.name]) for t in ours if t.name in reference.tensors]
    wrong = [(a, b) for a, b in both if not same_shape(a.shape, b.shape)]
    fitting = len(both) - len(wrong) + sum(t.name in elsewhere for t in ours)
    fewer = min(len(ours), len(theirs))
    if not fewer or fitting >= FITTING_MATRICES * fewer:
        return
    shapes = [(quoted(a.name), _shapes(a.shape, b.shape)) for a, b in wrong[:1]]
    words = "".join(f", such as {name}: {differ}" for name, differ in shapes)
    raise ComparisonError(
        f"{model.path} (architecture {quoted(model.architecture or '')}) and {reference.path}"
        f" (architecture {quoted(reference.architecture or '')}) are not the same model: only"
        f" {fitting} of {fewer} matrices agree in name and shape{words}."
    )
