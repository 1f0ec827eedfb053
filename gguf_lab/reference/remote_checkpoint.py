"""The original weights where they lie on a server: headers now, rows when they are read."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..codec.threads import Pool
from ..errors import CheckpointError
from ..file.remote import (
    Address,
    MissingFileError,
    RemoteFile,
    RemoteOptions,
    read_repository,
    read_small,
    unless,
)
from ..file.text import few, quoted
from .checkpoint import (
    INDEX,
    INDEXES,
    SINGLE,
    Checkpoint,
    joined,
    shard_name,
    tensors_of,
    weight_map_of,
)
from .quantized import QUANTIZER, needs_quantizer, with_quantizer
from .safetensors_header import HEADER_LIMIT, parse_json

if TYPE_CHECKING:
    from .checkpoint import CheckpointTensor

__all__ = ["open_remote_checkpoint"]

_AT_ONCE = 8  # shards whose headers are on their way


class _Reader:
    """Opens the files of one checkpoint, and keeps count."""

    def __init__(self, options: RemoteOptions) -> None:
        self.options = options
        self.fetched = 0
        self.sources: list[RemoteFile] = []

    def open(self, address: Address) -> dict[str, CheckpointTensor]:
        source = RemoteFile(address, self.options)
        self.sources.append(source)
        return tensors_of(source)

    def read_json(self, address: Address, what: str) -> tuple[dict[str, object], Address]:
        file = read_small(address, HEADER_LIMIT, self.options, count=self.count)
        return parse_json(file.body, str(address), what), file.pinned

    def close(self) -> None:
        for source in self.sources:
            source.close()

    def count(self, n: int) -> None:
        self.fetched += n


def open_remote_checkpoint(address: Address, options: RemoteOptions | None) -> Checkpoint:
    """Open a checkpoint on a server; see `open_checkpoint`.

    Raises
    ------
    CheckpointError
        If there is nothing to open, or a file is malformed.
    RemoteError
        If it cannot be had.
    """
    reader = _Reader(options or RemoteOptions.from_environment())
    with ExitStack() as undo:
        undo.callback(reader.close)
        tensors, weights = _open(address, reader)
        config = _read_config(weights.parent.child("config.json"), reader)
        if needs_quantizer(config, tensors):
            said = _read_config(weights.parent.child(QUANTIZER), reader)
            config = with_quantizer(config, said)
        undo.pop_all()
    return Checkpoint(
        address, config, MappingProxyType(tensors), tuple(reader.sources), reader.fetched
    )


def _open(address: Address, reader: _Reader) -> tuple[dict[str, CheckpointTensor], Address]:
    """Open the weights; return them, and the file to begin with at its commit."""
    if address.name.endswith(".safetensors") and address.path:
        return _open_file(address, reader)
    if address.name.endswith(".safetensors.index.json"):
        return _open_shards(*reader.read_json(address, "the index"), reader)
    if address.suffix == ".gguf" and address.path:
        raise CheckpointError(
            f"{address} is a GGUF file. A checkpoint is the original: a repository with {SINGLE}, "
            "or a .safetensors file."
        )
    try:
        return _open_file(address.child(SINGLE), reader)
    except MissingFileError:
        pass
    for index in INDEXES:
        try:
            content, found = reader.read_json(address.child(index), "the index")
        except MissingFileError:
            continue
        return _open_shards(content, found, reader)  # a shard that is missing is no other habit
    return _open_file(_only_file(address, reader.options), reader)


def _open_file(file: Address, reader: _Reader) -> tuple[dict[str, CheckpointTensor], Address]:
    tensors = reader.open(file)
    return tensors, reader.sources[-1].pinned


def _open_shards(
    content: dict[str, object], index: Address, reader: _Reader
) -> tuple[dict[str, CheckpointTensor], Address]:
    weight_map = weight_map_of(content, index)
    names = sorted(set(weight_map.values()))
    files = [index.parent.child(shard_name(name, index)) for name in names]
    left = Event()
    opened = unless(left.is_set)(reader.open)
    with Pool(_AT_ONCE, thread_name_prefix="gguf_lab-shards") as pool:
        try:
            shards = dict(zip(names, pool.map(opened, files), strict=True))
        except BaseException:  # one that is refused, or Ctrl-C: the pool ends with the last of them
            left.set()
            raise
    return joined(weight_map, shards, index), index


def _only_file(address: Address, options: RemoteOptions) -> Address:
    """Return the only safetensors file of a repository."""
    expected = f"expected {SINGLE} or {INDEX}"
    if not address.repository:
        raise CheckpointError(f"{address} has no checkpoint: {expected}. Name the file itself.")
    folder = address.path + "/" if address.path else ""
    files = [file.path for file in read_repository(address.whole, options).files]
    found = [
        path.removeprefix(folder)
        for path in files
        if path.startswith(folder) and path.endswith(".safetensors")
    ]
    found = [name for name in found if "/" not in name]
    if len(found) == 1:
        return address.child(found[0])
    if found:
        names = few(map(quoted, found), most=5)
        raise CheckpointError(
            f"{address} has {len(found)} safetensors files ({names}) and no {INDEX} that says how "
            "they belong together. Name one of them."
        )
    raise CheckpointError(
        f"{address} has no safetensors file: {expected}. GGUF Lab reads safetensors only; some "
        "repositories have a converted branch, refs/convert/safetensors or refs/pr/1."
    )


def _read_config(address: Address, reader: _Reader) -> dict[str, object]:
    try:
        return reader.read_json(address, "the configuration")[0]
    except MissingFileError:
        return {}
