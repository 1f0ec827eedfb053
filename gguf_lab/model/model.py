"""A model: a GGUF file joined with the codec that turns its bytes into numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from ..file import FileName, GGUFFile, file_type_name, open_file, printable
from ..file.remote import location
from .card import html_of, text_of
from .tensors import Tensors

if TYPE_CHECKING:
    import os
    from contextlib import ExitStack
    from pathlib import Path

    from ..file import Address, ByteSource, Metadata, RemoteOptions
    from .tensor import Tensor

__all__ = ["Kind", "Model", "given_model", "open_model"]

Kind = Literal["model", "adapter", "vocabulary", "imatrix", "mmproj", "controlvector"]


def open_model(
    path: str | os.PathLike[str] | Address, *, options: RemoteOptions | None = None
) -> Model:
    """Open a GGUF file; if it is one of a shard set, the whole set.

    Reads the head of the file only. Tensor data is read, or fetched, when it is looked at.

    Parameters
    ----------
    path : str, os.PathLike or Address
        The file, or any file of a shard set: a path, ``hf://owner/repo/file``,
        ``hf://owner/repo@revision/file``, or the URL of a file on a server that gives ranges.
    options : RemoteOptions, optional
        How a server is read. Default: `RemoteOptions.from_environment`.

    Returns
    -------
    Model
        Also a context manager, which closes the file.

    Raises
    ------
    GGUFError
        If the file is missing or malformed, or if shards are missing or do not belong together.
    RemoteError
        If it lies on a server and cannot be had from there. Later too, when its data is read.
    """
    return Model(location(path), open_file(path, options=options))


def given_model(given: str | os.PathLike[str] | Address | Model, opened: ExitStack) -> Model:
    """Return the model that was given; a path or an address is opened, and closed with `opened`."""
    return given if isinstance(given, Model) else opened.enter_context(open_model(given))


class Model:
    """An open GGUF file, or shard set, of any kind.

    Attributes
    ----------
    path : pathlib.Path or Address
        What was opened.
    file : GGUFFile
        The file or files behind it.
    tensors : Tensors
        The tensors by name, in the order of the file.
    """

    def __init__(self, path: Path | Address, file: GGUFFile) -> None:
        self.path = path
        self.file = file
        self.tensors = Tensors(printable(path.name), file)

    @property
    def metadata(self) -> Metadata:
        """Keys and values of the file."""
        return self.file.metadata

    @property
    def version(self) -> int:
        """Version of the format: 1, 2 or 3."""
        return self.file.version

    @property
    def byteorder(self) -> str:
        """Byte order of the file: "little" or "big"."""
        return self.file.byteorder

    @property
    def name(self) -> str:
        """The name that the file gives itself (``general.name``), else the name of the file."""
        return self.metadata.text("general.name") or self.path.stem

    @property
    def architecture(self) -> str | None:
        """The architecture (``general.architecture``), None if the file does not say."""
        return self.metadata.text("general.architecture")

    @property
    def kind(self) -> Kind:
        """What sort of file it is.

        By ``general.type``; a file of architecture "clip" is a projector even if it does not say
        so, one of "controlvector" (of llama-cvector-generator) adds to what layers put out, and one
        that has a tokenizer but no tensors is a vocabulary.
        """
        told = self.metadata.text("general.type")
        if told == "adapter":
            return "adapter"
        if told == "imatrix":
            return "imatrix"
        if told == "mmproj" or self.architecture == "clip":
            return "mmproj"
        if self.architecture == "controlvector":
            return "controlvector"
        if not self.tensors and any(key.startswith("tokenizer.") for key in self.metadata):
            return "vocabulary"
        return "model"

    @property
    def file_name(self) -> FileName | None:
        """The parts of the file's name by the naming convention, None if it has none of them."""
        return FileName.parse(self.path.name)

    @property
    def file_type(self) -> str | None:
        """How most weights are stored ("Q4_K_M"), by ``general.file_type``.

        A number that is not known is given as "unknown (99)"; None if the file does not say.
        """
        number = self.metadata.integer("general.file_type")
        if number is None:
            return None
        return file_type_name(number) or f"unknown ({number})"

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """Where its bytes come from, in the order of the shards."""
        return self.file.sources

    @property
    def n_parameters(self) -> int:
        """Weights of all tensors."""
        return sum(info.n_elements for info in self.file.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors of known types, without padding and metadata."""
        return sum(info.nbytes or 0 for info in self.file.tensors)

    @property
    def fetched(self) -> int:
        """Bytes that came over a network so far; 0 if the file is of this machine."""
        return self.file.fetched

    @property
    def bits_per_weight(self) -> float:
        """Bits of tensor data per weight: 8 · bytes / weights.

        Over the tensors whose type is known; NaN if there are none.
        """
        known = sum(info.n_elements for info in self.file.tensors if info.nbytes is not None)
        return 8 * self.nbytes / known if known else math.nan

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by its name.

        Raises
        ------
        KeyError
            If there is none, naming the names closest to it.
        """
        return self.tensors[name]

    def close(self) -> None:
        """Close the file. What was read stays valid; metadata stays readable."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)
