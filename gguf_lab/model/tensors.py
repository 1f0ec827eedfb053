"""The tensors of a model, by name and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..file import GGUFFile, preview, printable, suggest
from ..file.text import aligned
from ..markup import card, grid, note
from .tensor import Tensor
from .words import bytes_in_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Tensors"]

_SHOWN = 20
_COLUMNS = ("name", "qtype", "shape", "size", "status")


class Tensors(Mapping[str, Tensor]):
    """The tensors of a model, in the order of the file.

    Raises
    ------
    KeyError
        For a missing name, naming the names closest to it.
    """

    __slots__ = ("_name", "_tensors")

    def __init__(self, name: str, file: GGUFFile) -> None:
        self._name = name
        self._tensors = {info.name: Tensor(info, file) for info in file.tensors}

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._tensors[name]
        except KeyError:
            raise KeyError(
                f"{self._name} has no tensor {preview(name)}; it has {len(self)} tensors."
                f"{suggest(name, self._tensors)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
        """Return a tensor, or `default` if the file does not have it."""
        return self._tensors.get(name, default)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per tensor.

        Returns
        -------
        pandas.DataFrame
            Columns name, layer (missing outside of layers), kind, qtype, shape (tuple in NumPy's
            order), n_elements, nbytes (missing for an unknown type), bits_per_weight, offset (bytes
            from the start of its file), shard (from 0), status.
        """
        import pandas as pd

        all_of = list(self._tensors.values())
        return pd.DataFrame(
            {
                "name": pd.Series([t.name for t in all_of], dtype=object),
                "layer": pd.array([t.layer for t in all_of], dtype="Int64"),
                "kind": pd.Series([t.kind for t in all_of], dtype=object),
                "qtype": pd.Series([t.qtype for t in all_of], dtype=object),
                "shape": pd.Series([t.shape for t in all_of], dtype=object),
                "n_elements": pd.Series([t.n_elements for t in all_of], dtype="int64"),
                "nbytes": pd.array([t.nbytes for t in all_of], dtype="Int64"),
                "bits_per_weight": pd.Series([t.bits_per_weight for t in all_of], dtype="float64"),
                "offset": pd.Series([t.info.offset for t in all_of], dtype="int64"),
                "shard": pd.Series([t.info.shard for t in all_of], dtype="int64"),
                "status": pd.Series([t.status for t in all_of], dtype=object),
            }
        )

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                printable(t.name),
                t.qtype,
                " × ".join(map(str, t.shape)) or "scalar",
                "?" if t.nbytes is None else bytes_in_words(t.nbytes),
                t.status,
            )
            for t, _ in zip(self._tensors.values(), range(_SHOWN), strict=False)
        ]

    def _more(self) -> str:
        return f"… and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""

    def __repr__(self) -> str:
        lines = [f"{len(self):,} tensors of {self._name}"]
        lines += [f"  {line}" for line in aligned([_COLUMNS, *self._rows()])]
        if self._more():
            lines.append(f"  {self._more()}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return card(
            f"{len(self):,} tensors of {self._name}",
            grid(_COLUMNS, self._rows()),
            note(self._more()),
        )

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._tensors)
