"""Which type a tensor is stored as, and how its rows become bytes of that type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import can_decode, can_quantize, dequantize, quantize
from ..errors import GGUFLabError, QuantizationError, UnsupportedError
from ..file.file_types import FILE_TYPES
from ..file.qtypes import QTYPES, QType, find_qtype, known_qtype
from ..file.text import printable, quoted, suggest
from ..quantization import ALIASES, MIXES, Facts, choose_types, find_mix, fitting_type
from ..quantization.imatrix import importance_of, portions
from ..reference.architectures.family import pattern_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..reference.transforms import Rows

__all__ = [
    "Choose",
    "Stored",
    "chooser",
    "file_type_of",
    "mix_chooser",
    "mix_of",
    "read_as",
    "store",
]

Choose = Callable[[str, tuple[int, ...]], str]
"""Gives the type for a tensor of this name and shape (NumPy order)."""

ALWAYS_F32: tuple[tuple[str, str], ...] = (
    ("*_norm.weight", "a norm"),
    ("blk.{layer}.ffn_gate_inp.weight", "the choice of experts"),
    ("blk.{layer}.ffn_gate_inp_shexp.weight", "the share of the common expert"),
    ("position_embd.weight", "positions"),
    ("v.position_embd.weight", "positions"),
    ("a.position_embd.weight", "positions"),
    ("token_types.weight", "token types"),
    ("blk.{layer}.ssm_conv1d.weight", "a small convolution"),
    ("blk.{layer}.shortconv.conv.weight", "a small convolution"),
)
"""Matrices that llama.cpp's converter keeps in F32, and why.

Facts: ``ModelBase.prepare_tensors``, as far as it speaks of the families that can be exported. The
other tensors in F32 are those with one dimension and those whose name ends in anything but
``.weight`` (`_why_f32`). Exceptions of classes (``tensor_force_quant``) are `Projector.held`.
"""

_FILE_TYPES = {name: number for number, name in FILE_TYPES.items()} | {
    # llama.cpp numbers mixes; these are those of mostly the one type
    "Q3_K": 11,
    "Q4_K": 14,
    "Q5_K": 16,
    "MXFP4": 38,
}


@dataclass(frozen=True, slots=True)
class Stored:
    """How a tensor is stored.

    Attributes
    ----------
    qtype : QType
    reason : str
        Why it is not the type that was asked for; empty if it is.
    fallback : bool
        Whether the reason is that rows of this length can't have that type.
    """

    qtype: QType
    reason: str = ""
    fallback: bool = False


def chooser(qtype: str | Mapping[str, str] | Choose) -> Choose:
    """Make one function of a type, of patterns with types, or of a function.

    Raises
    ------
    UnsupportedError
        If a type is unknown, or there is no quantizer for it.
    """
    if isinstance(qtype, Mapping):
        patterns = {pattern: _known(name).name for pattern, name in qtype.items()}
        return lambda name, _shape: _first(patterns, name)
    if not callable(qtype):
        chosen = _known(qtype, MIXES).name
        return lambda _name, _shape: chosen
    return qtype


def mix_chooser(
    mix: str,
    tensors: Sequence[tuple[str, tuple[int, ...], str]],
    metadata: Mapping[str, object],
    imatrix: Mapping[str, Any] | None = None,
) -> Choose:
    """Make a function of one of llama-quantize's mixes: it looks at all tensors at once.

    Raises
    ------
    QuantizationError
        If the mix needs an importance matrix with an entry for a tensor.
    """
    choices = choose_types(mix, tensors, Facts.of(metadata), has_imatrix=imatrix is not None)
    shapes = {name: shape for name, shape, _ in tensors}
    for name, choice in choices.items():
        if choice.needs_importance and importance_of(imatrix, name, shapes[name]) is None:
            what = "an importance matrix" if imatrix is None else "an entry for it"
            raise QuantizationError(
                f"tensor {quoted(name)} would become {choice.qtype} ({choice.reason}), which is of"
                f" no use without {what}. Give an importance matrix (imatrix=..., --imatrix) that"
                " has one, or choose more bits."
            )
    return lambda name, _shape: choices[name].wanted or choices[name].qtype


def mix_of(qtype: object) -> str | None:
    """Return the full name of the mix that a text stands for, None if it stands for one type."""
    name = qtype.upper() if isinstance(qtype, str) else ""
    if name in {"F32", "F16", "BF16"} or name not in {**MIXES, **ALIASES}:
        return None
    return find_mix(name)[0]


def _first(patterns: Mapping[str, str], name: str) -> str:
    for pattern, chosen in patterns.items():
        if fnmatchcase(name, pattern):
            return chosen
    raise GGUFLabError(
        f"no pattern says which type tensor {quoted(name)} gets: end with '*' for all others."
    )


def _known(name: Any, mixes: Iterable[str] = ()) -> QType:
    found = find_qtype(name)
    writable = [t.name for t in QTYPES.values() if can_decode(t.name) and can_quantize(t.name)]
    if found is None or found.name not in writable:
        what = "can't be written" if found else "is unknown"
        writable += [mix for mix in mixes if mix not in writable]
        raise UnsupportedError(
            f"type {printable(repr(name))} {what}: there are {', '.join(writable)}."
            + suggest(str(name), writable)
        )
    return found


def file_type_of(qtype: str) -> int:
    """Return the number for ``general.file_type`` of a file that is mostly of one type.

    Raises
    ------
    UnsupportedError
        If llama.cpp has none.
    """
    if qtype not in _FILE_TYPES:
        raise UnsupportedError(
            f"llama.cpp has no file type {printable(repr(qtype))}: it has {', '.join(_FILE_TYPES)}."
        )
    return _FILE_TYPES[qtype]


def store(name: str, rows: Rows, choose: Choose, held: Mapping[str, str] | None = None) -> Stored:
    """Decide how a tensor is stored.

    Parameters
    ----------
    name : str
        In the file.
    rows : Rows
        What the converter makes of the checkpoint.
    choose : callable
    held : mapping of str to str, optional
        Patterns of tensors with the type that they get whatever is chosen, unless they are norms or
        have one dimension.

    Raises
    ------
    UnsupportedError
        If its numbers are of a type that is not decoded, or the chosen type can't be written.
    """
    shape, dtype = rows.shape, rows.dtype
    if not can_decode(dtype):
        raise UnsupportedError(
            f"tensor {quoted(name)}: the checkpoint has it in {printable(dtype)}, which is not"
            " decoded. Convert the checkpoint to BF16 with the library that made it."
        )
    stored = known_qtype(dtype)
    if stored.block_size > 1:
        return Stored(stored, f"{dtype} blocks of the checkpoint, as they are")
    if len(shape) > 1 and not name.endswith("_norm.weight"):
        for pattern, due in (held or {}).items():
            if fnmatchcase(name, pattern):
                return Stored(known_qtype(due), "the type that llama.cpp wants it in")
    if why := _why_f32(name, shape):
        return Stored(known_qtype("F32"), why)
    wanted = _known(choose(name, shape))
    fits = fitting_type(wanted.name, shape[-1])
    if fits == wanted.name:
        return Stored(wanted)
    block = wanted.block_size
    words = f"rows of {shape[-1]} are no multiple of {block}, the block of {wanted.name}"
    return Stored(_known(fits or "F16"), words, fallback=True)


def _why_f32(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return "one-dimensional"
    for pattern, why in ALWAYS_F32:
        if pattern_of(pattern).fullmatch(name):
            return why
    return "" if name.endswith(".weight") else "no weight by its name"


def read_as(
    name: str,
    rows: Rows,
    qtype: QType,
    importance: NDArray[np.float32] | None = None,
    effort: str = "ggml",
) -> Iterator[NDArray[np.uint8]]:
    """Read all rows, portion by portion, as bytes of a type.

    Bytes that are of this type already are handed on as they are, and numbers are widened to F32
    exactly, NaN and infinity too. Everything else is rounded, and then they are refused.

    Raises
    ------
    QuantizationError
        If a value can't be represented: it says where.
    """
    dtype = rows.dtype
    for start, stop, weights in portions(rows.shape, importance):
        data = rows.read(start, stop)
        if dtype == qtype.name:
            yield data
            continue
        numbers = dequantize(np.ascontiguousarray(data), dtype)
        if qtype.name == "F32":
            yield numbers.view(np.uint8)
            continue
        try:
            if qtype.block_size == 1:
                yield quantize(numbers, qtype.name)
                continue
            yield quantize(numbers, qtype.name, importance=weights, effort=effort)
        except QuantizationError as error:
            where = f" (rows counted from {start})" if start else ""
            raise QuantizationError(f"tensor {quoted(name)}: {error}{where}") from None
