"""What a plan is made for: a GGUF file, or a checkpoint as the file that it would become."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..bridge.drafting import draft_export
from ..bridge.exporting import export
from ..bridge.requirement import require_transformers
from ..bridge.sources import open_source
from ..codec import find_format
from ..model import Model, open_model
from ..quantization import ALIASES, MIXES, Facts, choose_types, requantize
from ..quantization.measuring import Matrix, matrix_of_tensor
from ..reference import Checkpoint, is_gguf
from ..reference.stored import second_scale_of, stored_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..model import Tensor
    from ..quantization import Choice

__all__ = ["Candidate", "Subject", "open_subject"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tensor of the file that is planned.

    Attributes
    ----------
    matrix : Matrix
        Its numbers, and the type that they are stored as now.
    fixed : str
        The type that it has in any case; empty if it can be chosen.
    reason : str
        Why it is fixed.
    """

    matrix: Matrix
    fixed: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to plan for, open.

    Attributes
    ----------
    words : str
        What it is called.
    candidates : tuple of Candidate
    facts : Facts
        What the named mixes ask about it.
    write : callable
        Given a path, the type for each tensor and options, writes the file; works when the subject
        is closed.
    """

    words: str
    candidates: tuple[Candidate, ...]
    facts: Facts
    write: Callable[..., Any]
    _close: Callable[[], None] = field(repr=False)

    def choices(self, mix: str, *, has_imatrix: bool) -> dict[str, Choice]:
        """Choose types as llama-quantize does for a named mix."""
        tensors = [(c.matrix.name, c.matrix.shape, _stored(c)) for c in self.candidates]
        return choose_types(mix, tensors, self.facts, has_imatrix=has_imatrix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _stored(candidate: Candidate) -> str:
    return candidate.fixed or candidate.matrix.qtype


def open_subject(reference: Any) -> Subject:
    """Open a GGUF file, a checkpoint, or a model of Transformers in memory.

    Raises
    ------
    GGUFLabError
        If it is malformed, or of no family that can be written.
    """
    if isinstance(reference, Model):
        return _of_model(reference, reference, lambda: None)
    if isinstance(reference, Checkpoint) or hasattr(reference, "state_dict"):
        return _of_checkpoint(reference)
    if is_gguf(reference):
        model = open_model(reference)
        try:
            return _of_model(model, reference, model.close)
        except BaseException:
            model.close()
            raise
    return _of_checkpoint(reference)


def _of_model(model: Model, reference: Any, close: Callable[[], None]) -> Subject:
    tensors = list(model.tensors.values())
    facts = Facts.of(model.metadata)
    found = [(t.name, t.shape, t.qtype) for t in tensors]
    free = choose_types("F16", found, facts)
    candidates = []
    for tensor in tensors:
        tensor.blocks(slice(0, 0))  # truncated, or of an unknown type
        choice = free[tensor.name]
        if choice.quantized:
            find_format(tensor.qtype)
        fixed = "" if choice.quantized else tensor.qtype
        reason = choice.reason if fixed else ""
        candidates.append(Candidate(_matrix(model, tensor), fixed, reason))

    write = _Requantizing(reference, {c.matrix.name: c.matrix.n_elements for c in candidates})
    return Subject(model.path.name, tuple(candidates), facts, write, close)


@dataclass(frozen=True, slots=True)
class _Requantizing:
    """How a plan for a GGUF file is written; n_elements: the weights of each tensor."""

    reference: Any
    n_elements: Mapping[str, int]

    def __call__(self, path: Any, types: Mapping[str, str], **options: Any) -> Any:
        exactly = {f"^{re.escape(name)}$": qtype for name, qtype in types.items()}
        mix = _mix_for(types, self.n_elements)
        return requantize(self.reference, path, mix, overrides=exactly, **options)


def _matrix(model: Model, tensor: Tensor) -> Matrix:
    """See a tensor as a matrix, times the scale beside it: errors of tensors are added up."""
    matrix, scale = matrix_of_tensor(tensor), second_scale_of(model, tensor)
    if scale is None:
        return matrix
    rows = stored_rows(tensor, scale)
    return replace(matrix, read=lambda start, stop: rows.read(start, stop).view(np.float32))


def _mix_for(types: Mapping[str, str], n_elements: Mapping[str, int]) -> str:
    """Name the mix that the file says it is of: by the type that most of its weights have."""
    weights: dict[str, int] = {}
    for tensor, number in n_elements.items():
        kind = types.get(tensor, "")
        name = {"MXFP4": "MXFP4_MOE"}.get(kind, ALIASES.get(kind, kind))
        if name in MIXES:
            weights[name] = weights.get(name, 0) + number
    return max(weights, key=lambda name: weights[name]) if weights else "F16"


def _of_checkpoint(reference: Any) -> Subject:
    require_transformers("a plan for a checkpoint")
    source = open_source(reference)
    try:
        draft = draft_export(source, tokenizer=False, qtype="F16")
        found = [(t.name, t.shape, t.qtype.name) for t in draft.tensors]
        facts = Facts.of(draft.metadata)
        free = choose_types("F16", found, facts)
        candidates = []
        for tensor in draft.tensors:
            choice, stored = free[tensor.name], tensor.stored
            fixed, reason = (tensor.qtype.name, stored.reason) if stored.reason else ("", "")
            if not fixed and not choice.quantized:
                fixed, reason = choice.qtype, choice.reason
            matrix = Matrix(tensor.name, tensor.shape, tensor.source_qtype, tensor.numbers)
            candidates.append(Candidate(matrix, fixed, reason))
    except BaseException:
        source.close()
        raise

    name = source.name or source.words
    return Subject(name, tuple(candidates), facts, _Exporting(reference), source.close)


@dataclass(frozen=True, slots=True)
class _Exporting:
    """How a plan for a checkpoint is written."""

    reference: Any

    def __call__(self, path: Any, types: Mapping[str, str], **options: Any) -> Any:
        def choose(name: str, _shape: tuple[int, ...]) -> str:
            return types.get(name, "F16")

        return export(self.reference, path, qtype=choose, **options)
