"""Writes GGUF files: the head in one piece, then the tensors chunk by chunk, all or nothing.

The layout is that of `header` (version 3, little endian). A file grows under another name next to
its target and gets its own name when it is complete: whatever happens before leaves nothing behind.
Shards are those of ``gguf.GGUFWriter``: a new one begins where the next tensor would exceed the
limit, the first has the metadata, and all have the keys ``split.*``.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GGUFError, writing_to
from .header import DEFAULT_ALIGNMENT, MAGIC, MAX_DIMENSIONS, MAX_NAME_BYTES
from .packing import pack_metadata, pack_string
from .source import LocalFile
from .text import path_text, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from .qtypes import QType
    from .source import ByteSource

__all__ = ["Payload", "check_target", "is_read", "partial_path", "shard_paths", "write_file"]

_SHARD_LIMIT = 99_999  # five digits in the name
_LONGEST_STEM = 200  # bytes of a name that is grown under: file systems take 255 in all
_BESIDE = frozenset((".json", ".model", ".txt", ".jinja"))
"""What is read beside safetensors: configuration, tokenizer, chat template."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A tensor to write: what the head says of it, and where its bytes come from.

    Attributes
    ----------
    name : str
    shape : tuple of int
        NumPy order.
    qtype : QType
    chunks : callable
        Gives the bytes, in order, in uint8 arrays of any shape; called once, when it is its turn.
    """

    name: str
    shape: tuple[int, ...]
    qtype: QType
    chunks: Callable[[], Iterable[NDArray[np.uint8]]]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape[:-1]) * self.qtype.row_bytes(self.shape[-1])


def write_file(
    path: str | os.PathLike[str],
    metadata: Mapping[str, object],
    tensors: Sequence[Payload],
    *,
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
    sources: Iterable[ByteSource | Path] = (),
) -> list[Path]:
    """Write a GGUF file, or a set of shards.

    Parameters
    ----------
    path : str or os.PathLike
        The file. The names of several shards are made of it: ``model-00001-of-00003.gguf``.
    metadata : Mapping of str to object
        Values as `pack_metadata` takes them.
    tensors : sequence of Payload
    max_shard_bytes : int, optional
        A shard has no more bytes of tensors than this, or only one tensor.
    overwrite : bool
        Replace what is there. It is replaced when the new file is complete, not before.
    sources : iterable of ByteSource or Path
        What is read, none of which is replaced; nor what lies beside safetensors.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    GGUFError
        If a file is there already, or is one of `sources`; if the disk has not enough room, a
        tensor or a key cannot be written, or a tensor has not as many bytes as its shape says.
    OSError
        If writing fails.
    """
    _check_tensors(tensors)
    shards = _shards(tensors, max_shard_bytes)
    paths = shard_paths(Path(path), len(shards))
    heads = [
        _head(metadata if number == 0 else {}, shard, number, shards)
        for number, shard in enumerate(shards)
    ]
    _check_sources(paths, [*sources])
    check_target(paths, sum(map(len, heads)) + sum(t.nbytes for t in tensors), overwrite)
    partial = [partial_path(p) for p in paths]
    try:
        with writing_to(path):
            for target, head, shard in zip(partial, heads, shards, strict=True):
                _write(target, head, shard)
            _check_free(paths, overwrite)
            _publish(partial, paths)
    finally:
        for target in partial:
            with suppress(OSError):
                target.unlink(missing_ok=True)
    return paths


def shard_paths(path: Path, count: int) -> list[Path]:
    """Name the files of a set as llama.cpp does; a single file keeps its name."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count)]


def _check_tensors(tensors: Sequence[Payload]) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        size = len(tensor.name.encode())
        if not 0 < size <= MAX_NAME_BYTES:
            why = f"its name has {size} bytes; ggml takes 1 to {MAX_NAME_BYTES}"
        elif tensor.name in seen:
            why = "there are two of this name"
        elif not 1 <= len(tensor.shape) <= MAX_DIMENSIONS:
            why = f"it has {len(tensor.shape)} dimensions; ggml takes 1 to {MAX_DIMENSIONS}"
        elif not tensor.qtype.known or tensor.shape[-1] % tensor.qtype.block_size:
            block = tensor.qtype.block_size
            why = f"rows of {tensor.shape[-1]:,} values are no whole blocks of {block}"
        else:
            seen.add(tensor.name)
            continue
        raise GGUFError(f"tensor {quoted(tensor.name)} ({tensor.qtype.name}) not written: {why}.")


def _shards(tensors: Sequence[Payload], limit: int | None) -> list[list[Payload]]:
    """Share the tensors out to files, in order."""
    if limit is not None and (not isinstance(limit, Real) or limit < 1):
        raise GGUFError(f"the limit of a shard is {limit!r} bytes; give a positive number.")
    shards: list[list[Payload]] = [[]]
    size = 0
    for tensor in tensors:
        if limit is not None and shards[-1] and size + tensor.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.nbytes
    if len(shards) > _SHARD_LIMIT:
        raise GGUFError(
            f"{len(shards):,} shards are more than names can count ({_SHARD_LIMIT:,}): allow more"
            f" than {limit:,} bytes for each."
        )
    return shards


def _head(
    metadata: Mapping[str, object],
    shard: Sequence[Payload],
    number: int,
    shards: Sequence[Sequence[Payload]],
) -> bytes:
    """Make what comes before the tensors of one file, padding included."""
    keys = dict(metadata)
    if len(shards) > 1:
        keys["split.no"] = np.uint16(number)
        keys["split.count"] = np.uint16(len(shards))
        keys["split.tensors.count"] = np.int32(sum(map(len, shards)))
    parts = [MAGIC, struct.pack("<IQQ", 3, len(shard), len(keys)), pack_metadata(keys)]
    offset = 0
    for tensor in shard:
        dimensions = tensor.shape[::-1]
        parts.append(pack_string(tensor.name))
        parts.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        parts.append(struct.pack("<IQ", tensor.qtype.id, offset))
        offset += _padded(tensor.nbytes)
    head = b"".join(parts)
    return head + bytes(_padded(len(head)) - len(head))


def _padded(n: int) -> int:
    return n + -n % DEFAULT_ALIGNMENT


def _write(path: Path, head: bytes, tensors: Sequence[Payload]) -> None:
    with path.open("xb") as file:
        file.write(head)
        for tensor in tensors:
            written = 0
            for chunk in tensor.chunks():
                written += chunk.nbytes
                if written > tensor.nbytes:
                    break
                file.write(np.ascontiguousarray(chunk).data)
            if written != tensor.nbytes:
                raise GGUFError(
                    f"tensor {quoted(tensor.name)} should have {tensor.nbytes:,} bytes (shape"
                    f" {tensor.shape}, {tensor.qtype.name}), but {written:,} came."
                )
            file.write(bytes(_padded(written) - written))


def check_target(paths: Sequence[Path], nbytes: int, overwrite: bool) -> None:
    """Refuse before the work what would fail after it: GGUFError says what stands in the way."""
    folder = paths[0].parent
    if not folder.is_dir():
        raise GGUFError(f"there is no folder {path_text(folder)} to write into.")
    _check_free(paths, overwrite)
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise GGUFError(
            f"{path_text(paths[0])} takes {nbytes:,} bytes, but only {free:,} are free there."
        )


def partial_path(path: Path) -> Path:
    """Name what a file grows under, next to it: names are counted in bytes, not in letters."""
    stem = path.name.encode(errors="replace")[:_LONGEST_STEM].decode(errors="ignore")
    return path.with_name(f".{stem}.{token_hex(4)}.partial")


def is_read(target: Path, sources: Iterable[ByteSource | Path]) -> bool:
    """Whether what is to be written would take the place of a file that is read.

    Beside safetensors lie the files without which they are no checkpoint: these are read, too.
    """
    if not target.exists():
        return False
    for source in sources:
        path = source.path if isinstance(source, LocalFile) else source
        if isinstance(source, LocalFile) and source.is_at(target):
            return True
        if not isinstance(path, Path) or not path.exists():
            continue
        of_checkpoint = path.suffix == ".safetensors" and target.suffix in _BESIDE
        if target.samefile(path) or (of_checkpoint and target.parent.samefile(path.parent)):
            return True
    return False


def _check_sources(paths: Sequence[Path], sources: Sequence[ByteSource | Path]) -> None:
    for path in paths:
        if is_read(path, sources):
            raise GGUFError(f"{path_text(path)} is a file that is read. Give another name.")


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not path.is_file():  # a root user's /dev/null would be gone
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise GGUFError(f"{path_text(path)} is {kind}; give the name of a file.")
        # A link whose file is away, on a disk that is not mounted, say, is somebody's too.
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise GGUFError(
                f"{path_text(path)} exists already. Give another name, or overwrite it"
                " (overwrite=True, --overwrite)."
            )


def _publish(partial: Sequence[Path], paths: Sequence[Path]) -> None:
    """Give the files their names; if that fails, those that were not there before go again."""
    new = [path for path in paths if not path.exists()]
    try:
        for source, target in zip(partial, paths, strict=True):
            os.replace(source, target)  # noqa: PTH105 -- one word says that it replaces
    except BaseException:
        for target in new:
            with suppress(OSError):
                target.unlink(missing_ok=True)
        raise
