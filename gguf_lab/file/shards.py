"""A file, or a set of shards ``-00001-of-0000N`` that is seen as one file.

Source: ``llama-gguf-split`` of llama.cpp and ``gguf.GGUFWriter``. ``split.no`` counts from 0, file
names count from 1; ``split.count`` is the number of files and ``split.tensors.count`` the number of
tensors of all of them. Only the first shard carries the metadata of the model.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ..errors import GGUFError, UnsupportedError
from .header import Header, parse_header
from .remote import Address, RemoteFile, location
from .source import Bytes, ByteSource, LocalFile
from .text import few, preview, quoted

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from .layout import TensorInfo
    from .metadata import Metadata
    from .remote import RemoteOptions

__all__ = ["GGUFFile", "open_file"]

_SHARD_NAME = re.compile(r"(?s)(.*)-([0-9]{5})-of-([0-9]{5})\.gguf")


class GGUFFile:
    """What one file or a whole shard set holds.

    Parameters
    ----------
    sources : sequence of ByteSource
        The files in the order of the set.
    headers : sequence of Header
        The head of each.

    Attributes
    ----------
    paths : tuple of pathlib.Path or Address
        The files in the order of the set.
    headers : tuple of Header
        The head of each.
    tensors : tuple of TensorInfo
        Of all files, in order; `TensorInfo.shard` is the place in `paths`.
    """

    def __init__(self, sources: Sequence[ByteSource], headers: Sequence[Header]) -> None:
        self._sources = tuple(sources)
        self.headers = tuple(headers)
        self.paths: tuple[Path | Address, ...] = tuple(
            getattr(source, "path", Path(source.name)) for source in sources
        )
        self.tensors = tuple(info for header in headers for info in header.tensors)

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """Where the bytes come from, in the order of the set."""
        return self._sources

    @property
    def metadata(self) -> Metadata:
        """Metadata of the first file: the others only say which shard they are."""
        return self.headers[0].metadata

    @property
    def version(self) -> int:
        """Version of the format, of the first file."""
        return self.headers[0].version

    @property
    def byteorder(self) -> str:
        """The byte order, "little" or "big"; the same in all files of a set."""
        return self.headers[0].byteorder

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.size for source in self._sources)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each file."""
        return tuple(source.size for source in self._sources)

    @property
    def fetched(self) -> int:
        """Bytes that came over a network so far; 0 if the files are of this machine."""
        return sum(source.fetched for source in self._sources)

    def raw(self, info: TensorInfo, start: int = 0, stop: int | None = None) -> Bytes:
        """Return rows of a tensor as they lie in the file.

        Parameters
        ----------
        info : TensorInfo
            One of `tensors`.
        start, stop : int
            The rows [start, stop) of the tensor seen as (n_rows, row_values).

        Returns
        -------
        numpy.ndarray of uint8, shape (stop - start, row_bytes)
            A read-only view, in the byte order of the file.

        Raises
        ------
        GGUFError
            If the tensor is truncated or the rows are not in it.
        UnsupportedError
            If its type is unknown, so that rows cannot be told apart.
        """
        source = self._sources[info.shard]
        what = f"{source.name}: tensor {quoted(info.name)}"
        row_bytes = info.row_bytes
        if row_bytes is None or info.nbytes is None:
            raise UnsupportedError(
                f"{what} has the type number {info.qtype.id}, which this version does not know. "
                f"Its data from byte {info.offset:,} on is kept as it is; a newer version may "
                "decode it."
            )
        if info.status == "truncated":
            raise GGUFError(
                f"{what} is truncated: it takes the bytes {info.offset:,} to "
                f"{info.offset + info.nbytes:,}, but the file ends at {source.size:,}. Fetch the "
                "file again or let the download finish."
            )
        stop = info.n_rows if stop is None else stop
        if not 0 <= start <= stop <= info.n_rows:
            raise GGUFError(
                f"{what} has {info.n_rows:,} rows; rows {start:,} to {stop:,} are not among them."
            )
        rows = stop - start
        if not rows * row_bytes:
            return np.empty((rows, row_bytes), np.uint8)
        at = info.offset + start * row_bytes
        return source.read(at, rows * row_bytes).reshape(rows, row_bytes)

    def bytes_of(self, shard: int, offset: int, n: int) -> Bytes:
        """Return `n` bytes of one of the files, whatever they belong to; a read-only view."""
        return self._sources[shard].read(offset, n)

    def close(self) -> None:
        """Close all files. Arrays that were read, and the metadata, stay usable."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        files = f"{len(self.paths)} files from " if len(self.paths) > 1 else ""
        return f"<GGUFFile {files}{self.paths[0]}: {len(self.tensors)} tensors>"


def open_file(
    path: str | os.PathLike[str] | Address, *, options: RemoteOptions | None = None
) -> GGUFFile:
    """Open a GGUF file; if it is one of a shard set, the whole set.

    Parameters
    ----------
    path : str, os.PathLike or Address
        The file, or any file of a set: a path, ``hf://owner/repo/file``, or a URL.
    options : RemoteOptions, optional
        How a server is read. Default: `RemoteOptions.from_environment`.

    Raises
    ------
    GGUFError
        If a file is malformed or missing, or if the files do not belong together.
    RemoteError
        If a file on a server cannot be had.
    """
    given = _open(path, options)
    opened = [given]
    try:
        header = parse_header(given)
        count = _whole(given, header, "split.count") or 0
        if count <= 1:
            return GGUFFile(opened, [header])
        return _open_set(given, header, count, opened, options)
    except BaseException:
        for source in opened:
            source.close()
        raise


def _open(
    path: str | os.PathLike[str] | Address, options: RemoteOptions | None
) -> LocalFile | RemoteFile:
    place = location(path)
    if not isinstance(place, Address):
        with suppress(OSError):  # no right to look, or too long a name: LocalFile says so
            if place.is_dir():
                raise GGUFError(f"{place} is a folder; expected a file. {_files_in(place)}")
        return LocalFile(place)
    if place.repository and not place.path:
        raise GGUFError(
            f"{place} is a repository; expected a file in it, such as {place}/model-Q4_K_M.gguf."
            f" gguf_lab.find({str(place)!r}) lists its files."
        )
    return RemoteFile(place, options)


def _files_in(folder: Path) -> str:
    """Say what to give instead of a folder."""
    with suppress(OSError):
        names = sorted(file.name for file in folder.iterdir())
        if files := [name for name in names if name.lower().endswith(".gguf")]:
            return f"Give one of those in it: {few(map(quoted, files), most=3)}."
        if "config.json" in names or any(name.endswith(".safetensors") for name in names):
            return (
                "It looks like a checkpoint, which is what a file is compared with: the second of"
                " the two that compare takes."
            )
    return "Give the path of the file."


def _open_set(
    given: LocalFile | RemoteFile,
    header: Header,
    count: int,
    opened: list[LocalFile | RemoteFile],
    options: RemoteOptions | None,
) -> GGUFFile:
    """Open the other files of the set, and note in `opened` what has to be closed."""
    number, names = _names(given, header, count)
    if isinstance(given, LocalFile):
        _check_there(given, number, names)
        # Beside the file as it was named: in a cache of links the targets have other names.
        paths: list[Path | Address] = [given.path.parent / name for name in names]
    else:
        paths = [given.pinned.parent.child(name) for name in names]
    sources: list[LocalFile | RemoteFile] = []
    headers: list[Header] = []
    for place, path in enumerate(paths):
        sources.append(given if place == number else _open(path, options))
        if place != number:
            opened.append(sources[-1])
        headers.append(parse_header(sources[-1], shard=place))
        _check_shard(sources, headers, count)
    _check_tensors(sources, headers)
    return GGUFFile(sources, headers)


def _whole(source: ByteSource, header: Header, key: str) -> int | None:
    """Return a whole number of the metadata, None if the key is missing."""
    if key not in header.metadata:
        return None
    value = header.metadata.integer(key)
    if value is None or value < 0:
        raise GGUFError(
            f"{source.name}, byte {header.metadata.offset_of(key):,}: metadata key '{key}' is "
            f"{preview(header.metadata[key])} of type {header.metadata.type_of(key)}. Expected a "
            "whole number. Split the model again."
        )
    return value


def _names(given: LocalFile | RemoteFile, header: Header, count: int) -> tuple[int, list[str]]:
    """Return the place of a file in its set, from 0, and the names of all files."""
    match = _SHARD_NAME.fullmatch(given.path.name)
    if match is None:
        raise GGUFError(
            f"{given.name} is one of {count} shards (metadata key 'split.count'), but its name "
            "does not say which. Expected a name that ends in -00001-of-"
            f"{count:05d}.gguf. Give all files of the set their original names back."
        )
    if int(match[3]) != count or not 1 <= int(match[2]) <= count:
        raise GGUFError(
            f"{given.name} is number {int(match[2])} of {int(match[3])} shards by its name, but "
            f"one of {count} by its metadata key 'split.count'. Give the files their original "
            "names back."
        )
    names = [f"{match[1]}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return int(match[2]) - 1, names


def _check_there(given: LocalFile, number: int, names: Sequence[str]) -> None:
    """Name what is missing of a set before any of it is opened."""
    folder = given.path.parent
    # Enough to say; a file may claim any number of shards.
    missing = list(islice((name for name in names if not (folder / name).exists()), 6))
    if missing:
        shown = ", ".join(quoted(name) for name in missing[:5])
        raise GGUFError(
            f"{given.name} is shard {number + 1} of {len(names)}, but {folder} does not have "
            f"{shown}{' and more' if len(missing) > 5 else ''}. Put all shards into one folder."
        )


def _check_shard(sources: Sequence[ByteSource], headers: Sequence[Header], count: int) -> None:
    """Check that the file opened last is the one that its place in the set asks for."""
    number, source, header = len(sources) - 1, sources[-1], headers[-1]
    for key, expected in (("split.count", count), ("split.no", number)):
        found = _whole(source, header, key)
        if found != expected:
            has = "is missing" if found is None else f"is {found}"
            raise GGUFError(
                f"{source.name}: metadata key '{key}' {has}. Expected {expected}, by the name of "
                f"the file and by {sources[0].name}. The files are of different sets; fetch them "
                "again from one place."
            )
    if header.byteorder != headers[0].byteorder:
        raise GGUFError(
            f"{source.name} is {header.byteorder}-endian, but {sources[0].name} is "
            f"{headers[0].byteorder}-endian. Expected one byte order in a shard set."
        )


def _check_tensors(sources: Sequence[ByteSource], headers: Sequence[Header]) -> None:
    """Check that no tensor is there twice and that none is missing."""
    seen: dict[str, int] = {}
    for number, header in enumerate(headers):
        for info in header.tensors:
            if info.name in seen:
                raise GGUFError(
                    f"tensor {quoted(info.name)} is in {sources[seen[info.name]].name} and again "
                    f"in {sources[number].name}. Expected it in one shard. Split the model again."
                )
            seen[info.name] = number
    for source, header in zip(sources, headers, strict=True):
        total = _whole(source, header, "split.tensors.count")
        if total is not None and total != len(seen):
            raise GGUFError(
                f"{source.name}: metadata key 'split.tensors.count' is {total:,}, but the "
                f"{len(sources)} shards beside it have {len(seen):,} tensors. Expected the number "
                "of all tensors. The files are of different sets; fetch them again from one place."
            )
