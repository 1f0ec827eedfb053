"""Rows that are asked for by the name of their tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..file.text import preview, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ByName"]


class _Row(Protocol):
    @property
    def name(self) -> str | None: ...

    @property
    def status(self) -> str: ...


RowT = TypeVar("RowT", bound=_Row)


class ByName(Generic[RowT]):
    """Rows of tensors, in order and by name. What only the reference has is without a name."""

    __slots__ = ()
    rows: tuple[RowT, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self.rows)

    def __contains__(self, which: object) -> bool:
        """Whether there is a tensor of this name, or this row."""
        return which in self._ipython_key_completions_() or which in self.rows

    def __getitem__(self, name: str) -> RowT:
        for row in self.rows:
            if row.name == name is not None:
                return row
        hint = suggest(name, self._ipython_key_completions_())
        raise KeyError(f"no tensor named {preview(name)} in this comparison.{hint}")

    def _ipython_key_completions_(self) -> list[str]:
        return [row.name for row in self.rows if row.name]

    @property
    def compared(self) -> list[RowT]:
        """The rows that summaries are made of: compared, and not unverified."""
        return [row for row in self.rows if row.status == "compared"]
