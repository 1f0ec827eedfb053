"""A model in, the same model in fewer bits out: tensor by tensor, a chunk of rows at a time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import (
    all_finite,
    can_decode,
    can_quantize,
    check_effort,
    dequantize,
    find_format,
    quantize,
)
from ..codec.quantizers import REQUIRES_IMPORTANCE
from ..codec.threads import check_threads
from ..errors import QuantizationError, UnsupportedError
from ..file import FILE_TYPES, ArrayValue, printable, qtype, quoted
from ..file.layout import without_ones
from ..file.source import expanded
from ..file.text import path_text
from ..file.writer import Payload, write_file
from ..model import given_model
from ..progress import counted
from ..reference.stored import second_scale_of
from .choices import choose_types, file_order, find_mix
from .facts import Facts
from .given import file_of, given_imatrix
from .imatrix import importance_of, keys_of, portions
from .result import QuantizedTensor, Requantization

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from ..model import Model, Tensor
    from .choices import Choice

__all__ = ["requantize"]

_NOT_COPIED = {
    "general.quantization_version",  # written anew
    "general.file_type",
    "general.alignment",  # the new file has the default
    "split.no",
    "split.count",
    "split.tensors.count",
}
_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION


@dataclass(frozen=True, slots=True)
class _Work:
    """What is quantized, open, and how: see :func:`requantize`."""

    model: Model
    mix: str
    imatrix: Mapping[str, Any] | None
    effort: str
    threads: int | None

    def plan(self, overrides: Mapping[str, str] | None, *, pure: bool) -> list[QuantizedTensor]:
        """Choose and check what each tensor will become, in the order of the new file."""
        choices = choose_types(
            self.mix,
            [(t.name, t.shape, t.qtype) for t in self.model.tensors.values()],
            Facts.of(self.model.metadata),
            has_imatrix=self.imatrix is not None,
            overrides=overrides,
            pure=pure,
        )
        return [self._plan(self.model.tensors[name], choices[name]) for name in file_order(choices)]

    def _plan(self, tensor: Tensor, choice: Choice) -> QuantizedTensor:
        """Refuse before the work what would fail in its midst."""
        tensor.blocks(slice(0, 0))  # truncated, or of an unknown type
        changed = choice.qtype != tensor.qtype
        if changed:
            find_format(tensor.qtype)
            if not can_quantize(choice.qtype):
                raise UnsupportedError(
                    f"tensor {quoted(tensor.name)} cannot become {choice.qtype}: there is no "
                    "quantizer for it."
                )
            scale = second_scale_of(self.model, tensor)
            if scale is not None and tensor.layer is None:
                raise UnsupportedError(
                    f"tensor {quoted(tensor.name)} cannot become {choice.qtype}: llama.cpp knows "
                    f"{quoted(scale.name)} beside it for {tensor.qtype} alone. Keep it: "
                    f"overrides={{'^{printable(tensor.name)}$': '{tensor.qtype}'}}."
                )
        importance = self._why_importance(tensor, choice, changed=changed)
        return QuantizedTensor(tensor.name, tensor.shape, tensor.qtype, choice, importance)

    def _why_importance(self, tensor: Tensor, choice: Choice, *, changed: bool) -> str:
        """Return "used", or why there is no importance; refuse where there must be one."""
        needed = choice.needs_importance or choice.qtype in REQUIRES_IMPORTANCE
        if self.imatrix is None:
            if not (needed and choice.quantized):
                return ""
            advice = "Give an importance matrix (imatrix=..., --imatrix), or choose more bits"
        elif not changed:
            return "not needed"
        elif importance_of(self.imatrix, tensor.name, tensor.shape) is not None:
            return "used"
        elif tensor.name in self.imatrix:  # that of embeddings which serve as output too
            if not needed:
                found = np.size(self.imatrix[tensor.name])
                return f"none: {found} values for {tensor.row_values} columns"
            advice = "Its entry has another size; choose more bits"
        elif not needed:
            return "none: no entry"
        else:
            advice = "The importance matrix has no entry for it: choose more bits"
        why = f" ({choice.reason})" if choice.reason != choice.qtype else ""
        raise QuantizationError(
            f"tensor {quoted(tensor.name)} would become {choice.qtype}{why}, which "
            f"without importance is of no use; llama-quantize refuses it too. {advice}."
        )

    def metadata(self) -> dict[str, object]:
        """Copy the metadata in llama-quantize's order, with what it adds."""
        old = self.model.metadata
        new = {key: _typed(old, key) for key in old if key not in _NOT_COPIED}
        new["general.quantization_version"] = np.uint32(_QUANTIZATION_VERSION)
        number = next(number for number, name in FILE_TYPES.items() if name == self.mix)
        new["general.file_type"] = np.uint32(number)
        if self.imatrix is not None:
            for key, value in keys_of(self.imatrix).items():
                new.pop(key, None)
                new[key] = value
        return new

    def payload(self, plan: QuantizedTensor, count: Callable[[int], object]) -> Payload:
        chunks = partial(self._chunks, plan, count)
        return Payload(plan.name, without_ones(plan.shape), qtype(plan.qtype), chunks)

    def _chunks(
        self, plan: QuantizedTensor, count: Callable[[int], object]
    ) -> Iterator[NDArray[np.uint8]]:
        tensor = self.model.tensors[plan.name]
        used = self.imatrix if plan.importance == "used" else None
        importance = importance_of(used, tensor.name, tensor.shape)
        for start, stop, weights in portions(tensor.shape, importance):
            yield self._encode(tensor, plan, slice(start, stop), weights)
            count((stop - start) * tensor.row_values)

    def _encode(
        self, tensor: Tensor, plan: QuantizedTensor, rows: slice, weights: Any
    ) -> NDArray[np.uint8]:
        if not plan.changed:
            blocks = tensor.blocks(rows)
            self._check_finite(tensor, blocks, rows.start)
            return blocks
        try:
            return quantize(
                tensor.to_numpy(rows),
                plan.qtype,
                importance=weights,
                effort=self.effort,
                threads=self.threads,
            )
        except QuantizationError as error:
            raise QuantizationError(
                f"{path_text(self.model.path)}: tensor {quoted(tensor.name)}, rows from "
                f"{rows.start} on: {error}"
            ) from None

    def _check_finite(self, tensor: Tensor, blocks: NDArray[np.uint8], start: int) -> None:
        """Refuse to copy what would be refused if it were quantized; so does llama-quantize."""
        if not can_decode(tensor.qtype) or all_finite(blocks, tensor.qtype):
            return
        values = dequantize(blocks, tensor.qtype)
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise QuantizationError(
            f"{path_text(self.model.path)}: tensor {quoted(tensor.name)}: the value at row"
            f" {start + row}, column {column} is {values[row, column]}; all must be"
            " finite. Fetch the file again, or make it anew from sound weights."
        )


def _typed(metadata: Any, key: str) -> object:
    """Return a value that is written as it is in the file: its type, and text that is no UTF-8."""
    value, kind = metadata[key], metadata.type_of(key)
    if kind == "string":
        return metadata.encoded(key)
    if isinstance(value, ArrayValue) or kind == "bool":
        return value
    return np.dtype(kind).type(value)


def requantize(
    model: str | os.PathLike[str] | Model,
    path: str | os.PathLike[str],
    mix: str,
    *,
    imatrix: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    overrides: Mapping[str, str] | None = None,
    pure: bool = False,
    effort: str = "ggml",
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], object] = True,
    threads: int | None = None,
) -> Requantization:
    """Write a model anew in fewer bits (or more), as llama-quantize does.

    Parameters
    ----------
    model : str, path or Model
        The GGUF file, or any file of a shard set. Its tensors may be of any type; what is quantized
        already keeps the errors that it has, and the result says so.
    path : str or os.PathLike
        The file to write. It appears when it is complete.
    mix : str
        One of llama-quantize's mixes: ``"Q4_K_M"``, ``"Q8_0"``, ``"IQ4_XS"``, ``"F16"`` ...
    imatrix : str, path or mapping, optional
        An importance matrix: the file, or tensor name to values (columns,) or (experts, columns).
    overrides : mapping of str to str, optional
        Regular expression to type: ``{"attn_v": "Q8_0"}``. The first that is found in a name
        decides.
    pure : bool, optional
        Give every tensor the base type of the mix.
    effort : {"ggml", "best"}, optional
        See :func:`gguf_lab.quantize`.
    max_shard_bytes : int, optional
        Write several files, none of which has more bytes of tensors.
    overwrite : bool, optional
        Replace the file if it exists.
    progress : bool or callable, optional
        Show a progress bar if it takes more than half a second; or call a function with the weights
        that are done and all weights. What it raises stops the work, and leaves no file behind.
    threads : int, optional
        Default: the CPUs that this process may use. Does not change any byte.

    Returns
    -------
    Requantization
        What each tensor was and is now, and why.

    Raises
    ------
    GGUFError
        If a file is malformed, or the new one cannot be written.
    UnsupportedError
        If a tensor cannot be decoded, or not be encoded as is asked.
    QuantizationError
        If an importance matrix is needed, or does not fit; if values are not finite.
    GGUFLabError
        If the mix, an override or the effort is unknown, or `threads` is no number of threads.
    """
    check_effort(effort)
    check_threads(threads)
    target, mix = expanded(path), find_mix(mix)[0]
    with ExitStack() as opened:
        model = given_model(model, opened)
        work = _Work(model, mix, given_imatrix(imatrix, opened), effort, threads)
        tensors = work.plan(overrides, pure=pure)
        started = time.perf_counter()
        with counted(progress, sum(t.n_elements for t in tensors), "quantize") as count:
            paths = write_file(
                target,
                work.metadata(),
                [work.payload(tensor, count) for tensor in tensors],
                max_shard_bytes=max_shard_bytes,
                overwrite=overwrite,
                sources=(*model.sources, *file_of(work.imatrix)),
            )
        seconds = time.perf_counter() - started
        return Requantization(tuple(paths), str(model.path), mix, tuple(tensors), seconds)
