"""Importance matrices: how much each column of a weight counts, as llama-imatrix has measured it.

For each weight that takes part in a matrix product: the mean square of what it was multiplied with,
per column, and in a model with experts per expert.

Source: ``common_imatrix_load`` and ``load_imatrix`` of llama-quantize for both file formats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import GGUFError, QuantizationError
from ..file import ArrayValue, LocalFile, preview, printable, quoted, suggest
from ..file.remote import Address, location
from ..file.text import few
from ..model import open_model
from .legacy_imatrix import LegacyReader

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from ..model import Model

__all__ = [
    "Imatrix", "entry_of", "fitting", "importance_of", "keys_of", "numbers_of", "open_imatrix",
    "portions",
]  # fmt: skip

_Values = npt.NDArray[np.float32]

_SUMS, _COUNTS = ".in_sum2", ".counts"

_PORTION = 1 << 22
"""Weights that are quantized at once: 16 MiB of float32."""

_LONGEST_OVERRIDE = 127
"""Bytes of a text that llama-quantize writes beside an importance matrix."""


class Imatrix(Mapping[str, _Values]):
    """An open importance matrix: tensor name to float32 (columns,) or (experts, columns).

    Values are read from the file when they are asked for, and not kept.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    datasets : tuple of str
        The texts that it was measured on, as the file calls them.
    chunk_count : int
        Chunks of text that went into it; 0 if the file does not say.
    legacy : bool
        Whether the file is of the format before GGUF.
    """

    def __init__(
        self,
        path: Path,
        entries: Mapping[str, Callable[[], _Values]],
        close: Callable[[], None],
        *,
        datasets: tuple[str, ...] = (),
        chunk_count: int = 0,
        legacy: bool = False,
    ) -> None:
        self.path, self._entries, self._close = path, entries, close
        self.datasets, self.chunk_count, self.legacy = datasets, chunk_count, legacy

    def __getitem__(self, name: str) -> _Values:
        try:
            entry = self._entries[name]
        except KeyError:
            raise KeyError(
                f"{self.path} has no entry {preview(name)}; it has {len(self)} entries."
                f"{suggest(name, self._entries)}"
            ) from None
        values = entry()
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise GGUFError(
                f"{self.path}: value {at} of entry {quoted(name)} is {values.flat[at]}. Expected "
                "finite numbers; compute the importance matrix again."
            )
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def close(self) -> None:
        """Close the file."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        datasets = few(printable(repr(name)) for name in self.datasets)
        on = f" on {datasets}" if datasets else ""
        chunks = f", {self.chunk_count} chunks" if self.chunk_count else ""
        return f"<Imatrix {printable(self.path.name)}: {len(self)} entries{chunks}{on}>"


def open_imatrix(path: str | os.PathLike[str]) -> Imatrix:
    """Open an importance matrix, GGUF or of the format before it.

    Parameters
    ----------
    path : str or os.PathLike
        A file that llama-imatrix has written.

    Returns
    -------
    Imatrix
        Also a context manager, which closes the file.

    Raises
    ------
    GGUFError
        If the file is missing or malformed, has no entries, or lies on a server.

    Notes
    -----
    The values are those that llama-quantize computes: sums of squares divided by their count, and 1
    for all columns of an expert that no token came to.
    """
    place = location(path)
    if isinstance(place, Address):
        raise GGUFError(f"{place}: an importance matrix is read on this machine: download it.")
    with LocalFile(place) as file:
        magic = bytes(file.read(0, min(4, file.size)))
    return _open_gguf(place) if magic in {b"GGUF", b"FUGG"} else _open_legacy(place)


def importance_of(
    imatrix: Mapping[str, Any] | None, name: str, shape: tuple[int, ...]
) -> _Values | None:
    """Return what an importance matrix has for a tensor to quantize, as `entry_of` does.

    Raises
    ------
    QuantizationError
        Also if the entry is zero for every column.
    """
    values = entry_of(imatrix, name, shape)
    if values is not None and not values.any(axis=1).all():
        raise QuantizationError(
            f"importance of {quoted(name)} is zero for every column: nothing counts."
        )
    return values


def entry_of(
    imatrix: Mapping[str, Any] | None, name: str, shape: tuple[int, ...], dtype: Any = np.float32
) -> npt.NDArray[Any] | None:
    """Return what an importance matrix has for a tensor: (1, columns) or (experts, columns).

    None if it has no entry; or one that does not fit the embeddings, where they serve as output
    too: that is how such an entry is made.

    Raises
    ------
    QuantizationError
        If the entry is of another size, or a value negative or not finite.
    """
    if imatrix is None or name not in imatrix:
        return None
    values = numbers_of(imatrix[name], dtype)
    if name.endswith("token_embd.weight") and values.size != shape[-1]:
        return None
    return fitting(values, name, shape)


def numbers_of(given: Any, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Return what somebody gives as importance as an array; a tensor of torch may be of any type.

    Raises
    ------
    QuantizationError
        If it is no array of numbers.
    """
    if hasattr(given, "detach"):
        given = given.detach().cpu().double().numpy()
    try:
        return np.asarray(given, dtype)
    except (TypeError, ValueError) as error:
        raise QuantizationError(f"the importance is no array of numbers: {error}") from None


def fitting(values: npt.NDArray[Any], name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the importance of a tensor's columns as (1, columns) or (experts, columns).

    Raises
    ------
    QuantizationError
        If there are others than so many values, or if one is negative or not finite.
    """
    columns, experts = shape[-1], shape[-3] if len(shape) > 2 else 1
    if values.size not in {columns, experts * columns}:
        parts = f" in each of {experts} experts" * (experts > 1)
        raise QuantizationError(
            f"tensor {quoted(name)} has {columns} columns{parts}, but the importance matrix "
            f"{values.size} values for it. Is it of another model?"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise QuantizationError(
            f"importance of {quoted(name)} has values that are negative or not finite."
        )
    return values.reshape(-1, columns)


def portions(
    shape: tuple[int, ...], importance: _Values | None
) -> Iterator[tuple[int, int, _Values | None]]:
    """Yield rows of a tensor to quantize at once, from and to, and what counts in their columns.

    Parameters
    ----------
    shape : tuple of int
    importance : float32 array (experts, columns), optional
        As `importance_of` returns it. No portion has rows of two experts.
    """
    n_rows, columns = math.prod(shape[:-1]), shape[-1] if shape else 1
    if not columns:
        return  # of no bytes, in up to 2**60 rows
    step = max(1, _PORTION // columns)
    part = shape[-2] if importance is not None and len(importance) > 1 else n_rows
    for first in range(0, n_rows, max(1, part)):
        weights = None if importance is None else importance[first // part % len(importance)]
        for start in range(first, first + part, step):
            yield start, min(start + step, first + part), weights


def keys_of(imatrix: Mapping[str, Any]) -> dict[str, object]:
    """Return the keys that llama-quantize writes into a file that it made with one."""
    keys: dict[str, object] = {}
    if isinstance(imatrix, Imatrix):
        keys["quantize.imatrix.file"] = _cut(str(imatrix.path))
        if imatrix.datasets:
            keys["quantize.imatrix.dataset"] = _cut(imatrix.datasets[0])
    keys["quantize.imatrix.entries_count"] = np.uint32(len(imatrix))
    if isinstance(imatrix, Imatrix) and imatrix.chunk_count > 0:
        keys["quantize.imatrix.chunks_count"] = np.uint32(imatrix.chunk_count)
    return keys


def _cut(text: str) -> str:
    # A path that is no UTF-8 has lone surrogates, which a file cannot keep.
    return text.encode(errors="replace")[:_LONGEST_OVERRIDE].decode(errors="ignore")


def _open_gguf(path: Path) -> Imatrix:
    model = open_model(path)
    try:
        entries = _gguf_entries(model)
        datasets = model.metadata.get("imatrix.datasets")
        names = datasets if isinstance(datasets, ArrayValue) else ()
        chunks = model.metadata.integer("imatrix.chunk_count") or 0
    except BaseException:
        model.close()
        raise
    texts = tuple(name for name in names if isinstance(name, str))
    return Imatrix(path, entries, model.close, datasets=texts, chunk_count=chunks)


def _gguf_entries(model: Model) -> dict[str, Callable[[], _Values]]:
    sums = [n.removesuffix(_SUMS) for n in model.tensors if n.endswith(_SUMS)]
    counts = {n.removesuffix(_COUNTS) for n in model.tensors if n.endswith(_COUNTS)}
    if not sums and not counts:
        raise GGUFError(
            f"{model.path} is no importance matrix: none of its {len(model.tensors)} tensors is "
            f"called *{_SUMS}. Expected a file that llama-imatrix has written."
        )
    for name in sorted(counts.symmetric_difference(sums)):
        have, lack = (_COUNTS, _SUMS) if name in counts else (_SUMS, _COUNTS)
        raise GGUFError(
            f"{model.path}: entry {quoted(name)} has a tensor *{have}, but none *{lack}. Expected "
            "both; the file is damaged."
        )
    return {name: _gguf_entry(model, name) for name in sums}


def _gguf_entry(model: Model, name: str) -> Callable[[], _Values]:
    """Check an entry and return what reads it."""
    sums, counts = model.tensors[name + _SUMS], model.tensors[name + _COUNTS]
    if sums.qtype != "F32" or counts.qtype != "F32":
        raise GGUFError(
            f"{model.path}: sums and counts of entry {quoted(name)} are of types {sums.qtype} and "
            f"{counts.qtype}. Expected F32 for both."
        )
    n, parts = sums.n_elements, counts.n_elements
    if not n or not parts or n % parts:
        raise GGUFError(
            f"{model.path}: entry {quoted(name)} has {n} sums and {parts} counts. Expected one "
            "count, or one for each expert."
        )

    def read() -> _Values:
        per_expert = counts.to_numpy().reshape(-1, 1)
        # A count is a whole number, rounded to the nearest; halves away from zero.
        # In float64: beyond 2^23 there are no halves in float32, and odd ones would go up by 1.
        exact = per_expert.astype(np.float64)
        whole = np.trunc(exact + np.copysign(0.5, exact)).astype(np.float32)
        totals = sums.to_numpy().reshape(parts, -1)
        used = whole > 0
        with np.errstate(all="ignore"):  # what is not finite then is refused, with its place
            values = np.where(used, totals / np.where(used, whole, 1), np.float32(1))
        return values if parts > 1 else values.reshape(-1)

    return read


def _open_legacy(path: Path) -> Imatrix:
    """Read the format before GGUF: int32 numbers, names, float32 values, one after the other."""
    file = LocalFile(path)
    try:
        reader = LegacyReader(file)
        entries = _legacy_entries(reader)
        chunks, text = reader.origin()
    except BaseException:
        file.close()
        raise
    datasets = (text,) if text else ()
    return Imatrix(
        path, entries, file.close, datasets=datasets, chunk_count=max(0, chunks), legacy=True
    )


def _legacy_entries(reader: LegacyReader) -> dict[str, Callable[[], _Values]]:
    n_entries = reader.count("the number of entries", at_least=1, bytes_each=12)
    entries: dict[str, Callable[[], _Values]] = {}
    for index in range(n_entries):
        what = f"entry {index + 1} of {n_entries}"
        name = reader.text(f"the name of {what}")
        calls = reader.number(f"the calls of {what}")
        n = reader.count(f"the number of values of {what}", at_least=1, bytes_each=4)
        if name in entries:
            raise reader.malformed(f"{what} is {quoted(name)} for the second time", "new names")
        entries[name] = _legacy_entry(reader.file, reader.position, n, calls)
        reader.position += 4 * n
    return entries


def _legacy_entry(file: LocalFile, offset: int, n: int, calls: int) -> Callable[[], _Values]:
    def read() -> _Values:
        values = file.read(offset, 4 * n).view("<f4").astype(np.float32)
        with np.errstate(all="ignore"):  # as above
            return values / np.float32(calls) if calls > 0 else values

    return read
