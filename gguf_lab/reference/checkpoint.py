"""The original weights: a Hugging Face checkpoint in safetensors, one file or an index with shards.

Rows are bytes, read when they are asked for; torch is not needed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..file.layout import Shaped
from ..file.remote import Address, location
from ..file.source import LocalFile, looked_for
from ..file.text import few, path_text, printable, quoted
from ..markup import card, facts
from .links import check_link, check_links
from .quantized import QUANTIZER, needs_quantizer, with_quantizer
from .safetensors_header import (
    DTYPE_BITS,
    HEADER_LIMIT,
    parse_json,
    parse_safetensors,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import NoReturn, Self

    import numpy as np
    from numpy.typing import NDArray

    from ..file.remote import RemoteOptions
    from ..file.source import ByteSource

__all__ = ["Checkpoint", "CheckpointTensor", "open_checkpoint"]

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
INDEXES = (INDEX, "consolidated.safetensors.index.json")  # Transformers' name, and Mistral's
# what the same weights may be stored as instead, newest habit first
_OTHER_FORMS = ("*.bin", "*.bin.index.json", "*.pth", "*.pt", "*.ckpt", "*.h5", "*.msgpack")


@dataclass(frozen=True, slots=True)
class CheckpointTensor(Shaped):
    """A tensor of a checkpoint: what the header says, and its rows as bytes.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        As in safetensors: ``"F32"``, ``"F16"``, ``"BF16"``, ``"F64"``, ``"I8"``, ...
    source : ByteSource
        The file that has it.
    offset, nbytes : int
        Where in that file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    source: ByteSource = field(repr=False, compare=False)
    offset: int = field(repr=False)
    nbytes: int = field(repr=False)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        if self.n_rows == 0:
            return self.row_values * DTYPE_BITS.get(self.dtype, 8) // 8
        return self.nbytes // self.n_rows

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop`: uint8 ``(stop - start, row_bytes)``, little endian.

        Raises
        ------
        CheckpointError
            If there are no such rows.
        """
        if not 0 <= start <= stop <= self.n_rows:
            raise CheckpointError(
                f"Tensor {quoted(self.name)} of the checkpoint has the rows 0 to {self.n_rows}:"
                f" {start} to {stop} are not among them."
            )
        size = self.row_bytes
        data = self.source.read(self.offset + start * size, (stop - start) * size)
        return data.reshape(stop - start, size)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Checkpoint:
    """An original checkpoint, opened for its rows. Made by `open_checkpoint`.

    Attributes
    ----------
    path : Path or Address
        The folder, repository or file that was opened.
    config : dict
        ``config.json`` next to the weights; empty if there is none.
    tensors : Mapping of str to CheckpointTensor
        In the order of the file, shard by shard.
    """

    path: Path | Address
    config: dict[str, object]
    tensors: Mapping[str, CheckpointTensor]
    _sources: tuple[ByteSource, ...]
    _fetched_beside: int = 0  # for the configuration and the index

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """Where the bytes come from: the safetensors files."""
        return self._sources

    @property
    def n_files(self) -> int:
        """How many safetensors files it consists of."""
        return len(self._sources)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in self.tensors.values())

    @property
    def fetched(self) -> int:
        """Bytes that came over a network so far; 0 if the files are of this machine."""
        return self._fetched_beside + sum(source.fetched for source in self._sources)

    @property
    def model_type(self) -> str:
        """What the configuration calls the model, such as ``"llama"``; empty if it doesn't."""
        kind = self.config.get("model_type")
        return kind if isinstance(kind, str) else ""

    def close(self) -> None:
        """Let go of the files; arrays that were read stay valid."""
        for source in self._sources:
            source.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an open checkpoint can be neither copied nor pickled: hand its path on, and open it"
            " there"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _facts(self) -> list[tuple[str, str]]:
        counts = Counter(tensor.dtype for tensor in self.tensors.values())
        dtypes = ", ".join(f"{n} {printable(d)}" for d, n in list(counts.items())[:6])
        return [
            ("path", path_text(self.path)),
            ("model type", printable(self.model_type) or "not given"),
            ("tensors", f"{len(self.tensors):,} ({dtypes})" if counts else "none"),
            ("size", f"{self.nbytes / 1e6:,.1f} MB in {self.n_files} file(s)"),
            *([("fetched", f"{self.fetched / 1e6:,.1f} MB")] if self.fetched else []),
        ]

    def __repr__(self) -> str:
        return "Checkpoint: " + ", ".join(f"{key} {value}" for key, value in self._facts())

    def _repr_html_(self) -> str:
        return card("Checkpoint", facts(self._facts()))


def open_checkpoint(
    path: str | os.PathLike[str] | Address | Checkpoint, *, options: RemoteOptions | None = None
) -> Checkpoint:
    """Open an original checkpoint.

    Parameters
    ----------
    path : str, path, Address or Checkpoint
        A ``.safetensors`` file, a ``*.safetensors.index.json`` file, or a folder. In a folder
        the first of these is taken: ``model.safetensors``; ``model.safetensors.index.json`` with
        its shards; ``consolidated.safetensors.index.json``, which is Mistral's own; the only
        ``*.safetensors`` file there is. (Transformers chooses so too.)
        ``config.json`` in the same folder is read if it is there. An open checkpoint is
        returned as it is. On a server: ``hf://owner/repo`` or ``hf://owner/repo@revision``, with
        or without a file behind it, or a URL; headers are fetched now, rows when they are read.
    options : RemoteOptions, optional
        How a server is read. Default: `RemoteOptions.from_environment`.

    Returns
    -------
    Checkpoint
        Also a context manager, which closes its files.

    Raises
    ------
    CheckpointError
        If there is nothing to open, the weights are in another form (it says how to convert
        them), or a file is malformed, incomplete or points outside of its folder.
    RemoteError
        If it lies on a server and cannot be had from there. Later too, when rows are read.
    """
    if isinstance(path, Checkpoint):
        return path
    place = location(path)
    if isinstance(place, Address):
        from .remote_checkpoint import open_remote_checkpoint

        return open_remote_checkpoint(place, options)
    try:
        weights = _find_weights(place)
        if place.is_dir():
            check_links(place)
        config = _read_config(weights.parent / "config.json")
    except OSError as problem:
        where = printable(str(place), 200)
        raise CheckpointError(
            f"{where} cannot be read: {problem.strerror}. Check the path and your rights."
        ) from None
    sources: list[ByteSource] = []
    try:
        if weights.name.endswith(".json"):
            tensors = _open_shards(weights, sources)
        else:
            tensors = _open_file(weights, sources)
        if needs_quantizer(config, tensors):
            config = with_quantizer(config, _read_config(weights.parent / QUANTIZER))
    except BaseException:
        for source in sources:
            source.close()
        raise
    return Checkpoint(place, config, MappingProxyType(tensors), tuple(sources))


def _find_weights(path: Path) -> Path:
    """Choose the file to begin with."""
    if path.is_dir():
        return _find_in_folder(path)
    if not path.is_file():
        if path.exists():
            raise CheckpointError(f"{path} is neither a file nor a folder. Give the path of one.")
        raise CheckpointError(f"There is no file or folder {path} {looked_for(path)}")
    if path.name.endswith((".safetensors", ".safetensors.index.json")):
        return path
    if path.suffix == ".gguf":
        raise CheckpointError(
            f"{path} is a GGUF file. A checkpoint is the original: a folder with"
            f" {SINGLE}, or a .safetensors file."
        )
    other_form = any(path.match(pattern) for pattern in _OTHER_FORMS)
    raise CheckpointError(
        f"{path} is neither a .safetensors file nor a .safetensors.index.json file."
        + (_how_to_convert(path.parent) if other_form else "")
    )


def _find_in_folder(folder: Path) -> Path:
    for name in (SINGLE, *INDEXES):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    if found:
        names = few((quoted(file.name) for file in found), most=5)
        raise CheckpointError(
            f"{folder} has {len(found)} safetensors files ({names}) and no {INDEX} that says how"
            " they belong together. Give the path of one file, or fetch the index."
        )
    other = [file for pattern in _OTHER_FORMS for file in sorted(folder.glob(pattern))]
    if other:
        raise CheckpointError(
            f"{folder} has no safetensors file, only {quoted(other[0].name)}."
            + _how_to_convert(folder)
        )
    raise CheckpointError(f"{folder} has no safetensors file: expected {SINGLE} or {INDEX}.")


def _how_to_convert(folder: Path) -> str:
    return (
        " GGUF Lab reads safetensors only (a pickled file can run code when it is loaded). Convert"
        " it with Transformers: AutoModelForCausalLM (or AutoModel)"
        f".from_pretrained({quoted(str(folder))}).save_pretrained('a-new-folder')."
    )


def _read_json(path: Path, what: str) -> dict[str, object]:
    source = LocalFile(path, error=CheckpointError)
    try:
        if source.size > HEADER_LIMIT:
            raise CheckpointError(
                f"{path}: {source.size:,} bytes are too many for {what} (limit {HEADER_LIMIT:,})."
            )
        return parse_json(source.read(0, source.size).tobytes(), str(path), what)
    finally:
        source.close()


def _read_config(path: Path) -> dict[str, object]:
    if path.is_file():
        return _read_json(path, "the configuration")
    if path.exists() or path.is_symlink():
        raise CheckpointError(f"{path}, the configuration, is no file that can be read.")
    return {}


def _open_file(path: Path, sources: list[ByteSource]) -> dict[str, CheckpointTensor]:
    sources.append(LocalFile(path, error=CheckpointError))
    return tensors_of(sources[-1])


def tensors_of(source: ByteSource) -> dict[str, CheckpointTensor]:
    """Read the header of one file: its tensors, in its order."""
    return {
        name: CheckpointTensor(name, e.shape, e.dtype, source, e.offset, e.nbytes)
        for name, e in parse_safetensors(source)[0].items()
    }


def _open_shards(index: Path, sources: list[ByteSource]) -> dict[str, CheckpointTensor]:
    weight_map = weight_map_of(_read_json(index, "the index"), index)
    shards = {
        name: _open_file(_shard_path(index, name), sources)
        for name in sorted(set(weight_map.values()))
    }
    return joined(weight_map, shards, index)


def weight_map_of(index: dict[str, object], where: Path | Address) -> dict[str, str]:
    """Return what an index says: the file of each tensor."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
        raise CheckpointError(
            f"{where}: weight_map should be an object that gives a file name for each tensor."
        )
    if not weight_map:
        raise CheckpointError(f"{where} names no file.")
    return weight_map


def joined(
    weight_map: Mapping[str, str],
    shards: Mapping[str, Mapping[str, CheckpointTensor]],
    index: Path | Address,
) -> dict[str, CheckpointTensor]:
    """Take from each shard the tensors that the index says are in it."""
    for name, shard in weight_map.items():
        if name not in shards[shard]:
            raise CheckpointError(
                f"{index}: tensor {quoted(name)} should be in {quoted(shard)}, but isn't. Do the"
                " index and the shards belong to the same version of the checkpoint?"
            )
    # what a shard has beyond the index is no part of the model: Transformers doesn't load it either
    return {
        name: tensor
        for shard, tensors in shards.items()
        for name, tensor in tensors.items()
        if weight_map.get(name) == shard
    }


def shard_name(name: str, index: Path | Address) -> str:
    """Return the name of a shard, if it does not lead out of the folder."""
    pure = PurePosixPath(name.replace("\\", "/"))
    plain = name and "\0" not in name and ":" not in name
    if not plain or pure.is_absolute() or ".." in pure.parts:
        raise CheckpointError(
            f"{index}: the shard name {quoted(name)} leads out of the folder; a shard lies next to"
            " the index."
        )
    return str(pure)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long for any file
        return False


def _shard_path(index: Path, name: str) -> Path:
    """Where a shard is, if the index may name it."""
    folder = index.parent
    path = folder / shard_name(name, index)
    if not _is_file(path):
        raise CheckpointError(
            f"{index}: the shard {quoted(name)} is missing in {folder}. Is the download complete?"
        )
    check_link(path, folder, f"{index}: the shard {quoted(name)}")
    return path
