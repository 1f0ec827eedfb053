"""What a repository on a hub offers: its GGUF files by quantization, and the original's name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import RemoteError
from ..file import FileName, preview, printable, suggest
from ..file.remote import read_repository
from ..file.text import aligned, few
from ..markup import card, facts, grid, more
from .words import bytes_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from ..file import Address, RemoteOptions
    from ..file.remote import HubFile

__all__ = ["Found", "FoundFile", "find"]

_SHOWN = 50
_COLUMNS = ("quantization", "kind", "name", "size", "files")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A GGUF file, or shard set, of a repository.

    Attributes
    ----------
    address : str
        What `open` takes: ``hf://owner/repo/file``, of a set its first file.
    name : str
        The path in the repository; of a set that of its first file.
    quantization : str
        As the name says, such as "Q4_K_M"; "unknown" if it does not.
    kind : str
        "model", or what the name says: "mmproj", "LoRA", "vocab".
    size : int
        Bytes of all files.
    n_files : int
        How many files there are.
    n_expected : int
        How many there should be by the name.
    """

    address: str
    name: str
    quantization: str
    kind: str
    size: int
    n_files: int
    n_expected: int


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """The GGUF files of a repository. Made by `find`.

    Attributes
    ----------
    repository : Address
        The repository that was asked.
    files : tuple of FoundFile
        By quantization, the smallest first.
    base_models : tuple of str
        Names of the repositories that the card gives as ``base_model``.
    """

    repository: Address
    files: tuple[FoundFile, ...]
    base_models: tuple[str, ...]

    @property
    def reference(self) -> str | None:
        """The original as `compare` takes it, None unless the card names exactly one."""
        return f"hf://{self.base_models[0]}" if len(self.base_models) == 1 else None

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[FoundFile]:
        return iter(self.files)

    def __getitem__(self, name: str) -> str:
        """Return the address of a file, by its name or by its quantization if that is unique."""
        found = [file for file in self.files if file.name == name]
        if not found:
            wanted = str(name).lower()
            found = [file for file in self.files if file.quantization.lower() == wanted]
            models = [file for file in found if file.kind == "model"]
            found = models or found
        if len(found) == 1:
            return found[0].address
        if found:
            names = few((preview(file.name) for file in found), most=5)
            raise KeyError(f"{self.repository} has {len(found)} files of {preview(name)}: {names}.")
        known = dict.fromkeys(n for f in self.files for n in (f.quantization, f.name))
        raise KeyError(f"{self.repository} has no file {preview(name)}.{suggest(name, known)}")

    def __contains__(self, which: object) -> bool:
        """Whether there is a file of this name or quantization, or this very one."""
        return any(
            which in (file, file.name) or str(which).lower() == file.quantization.lower()
            for file in self.files
        )

    def _ipython_key_completions_(self) -> list[str]:
        counts = Counter(file.quantization for file in self.files)
        return [*(name for name, n in counts.items() if n == 1), *(f.name for f in self.files)]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per file or shard set.

        Returns
        -------
        pandas.DataFrame
            Columns quantization, kind, name, size (bytes), n_files, n_expected, address.
        """
        import pandas as pd

        text = ("quantization", "kind", "name", "address")
        columns = ("quantization", "kind", "name", "size", "n_files", "n_expected", "address")
        return pd.DataFrame(
            {
                column: pd.Series(
                    [getattr(file, column) for file in self.files],
                    dtype=object if column in text else "int64",
                )
                for column in columns
            }
        )

    def _facts(self) -> list[tuple[str, str]]:
        names = few(self.base_models, most=5)
        return [
            ("original", f"hf://{names}" if self.reference else names or "the card names none"),
            ("GGUF files", f"{len(self.files):,}"),
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        before = ""
        for file in self.files[:_SHOWN]:
            files = str(file.n_files)
            if file.n_files != file.n_expected:
                files += f" of {file.n_expected}"
            group = "" if file.quantization == before else printable(file.quantization)
            size = bytes_in_words(file.size)
            rows.append((group, file.kind, printable(file.name, 120), size, files))
            before = file.quantization
        return rows

    def __repr__(self) -> str:
        lines = [f"GGUF files of {self.repository}"]
        lines += [f"  {label}: {printable(value, 400)}" for label, value in self._facts()]
        if self.files:
            lines += [f"  {line}" for line in aligned([_COLUMNS, *self._rows()])]
        if len(self.files) > _SHOWN:
            lines.append(f"  … and {len(self.files) - _SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = [grid(_COLUMNS, self._rows(), (3, 4))] if self.files else []
        return card(
            f"GGUF files of {self.repository}",
            facts(self._facts()),
            *table,
            more(len(self.files), _SHOWN, "in to_frame()"),
        )


def find(repository: str | Address, *, options: RemoteOptions | None = None) -> Found:
    """List the GGUF files of a repository on a hub.

    Parameters
    ----------
    repository : str or Address
        ``owner/repo``, ``owner/repo@revision``, or the same behind ``hf://``.
    options : RemoteOptions, optional
        How the hub is asked. Default: `RemoteOptions.from_environment`.

    Returns
    -------
    Found
        ``found["Q4_K_M"]`` is an address for `open`, ``found.reference`` one for `compare`.

    Raises
    ------
    RemoteError
        If there is no such repository, it may not be read, or the hub is out of reach.
    """
    found = read_repository(repository, options)
    if not any(file.path.lower().endswith(".gguf") for file in found.files):
        raise RemoteError(
            f"{found.address} has no GGUF file among its {len(found.files):,} files. If it is an "
            "original, look for a repository that was made from it."
        )
    return Found(found.address, tuple(_grouped(found.address, found.files)), found.base_models)


def _grouped(repository: Address, files: tuple[HubFile, ...]) -> list[FoundFile]:
    """Join the shards of a set, and order what there is by quantization."""
    sets: dict[tuple[Any, ...], list[tuple[int, HubFile]]] = {}
    for file in files:
        if not file.path.lower().endswith(".gguf"):
            continue
        name = _parts_of(PurePosixPath(file.path).name)
        # All of the path but the number of the shard.
        stem = file.path if name.shard is None else file.path[: -len("-00001-of-00001.gguf")]
        sets.setdefault((stem, name.shard_count), []).append((name.shard or 0, file))
    in_order = (sorted(shards, key=itemgetter(0)) for shards in sets.values())
    entries = [_entry(repository, [file for _, file in shards]) for shards in in_order]
    smallest: dict[str, int] = {}
    for entry in sorted(entries, key=lambda e: e.size, reverse=True):
        smallest[entry.quantization] = entry.size
    return sorted(entries, key=lambda e: (smallest[e.quantization], e.quantization, e.size, e.name))


def _entry(repository: Address, files: list[HubFile]) -> FoundFile:
    path = PurePosixPath(files[0].path)
    name = _parts_of(path.name)
    encoding = name.encoding
    if encoding is None and len(path.parts) > 1:  # a folder for each quantization
        encoding = _parts_of(f"{path.parts[-2]}.gguf").encoding
    return FoundFile(
        address=str(repository.child(files[0].path)),
        name=files[0].path,
        quantization=encoding or _UNKNOWN,
        kind=name.type or "model",
        size=sum(file.size for file in files),
        n_files=len(files),
        n_expected=name.shard_count or 1,
    )


def _parts_of(name: str) -> FileName:
    return FileName.parse(name) or FileName("")
