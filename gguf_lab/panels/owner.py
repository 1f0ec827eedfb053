"""What is given as a path is opened by who was given it, and closed with it."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from ..file.remote import Address
from ..model import open_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..comparison import Comparison, TensorComparison
    from ..model import Model

__all__ = ["Openable", "Owner"]

Openable: TypeAlias = "Model | str | PathLike[str] | Address"


class Owner:
    """Opens what it is given as a path or an address, and closes what it has opened."""

    _owned: tuple[Any, ...] = ()

    def _opened(self, given: Any, opener: Callable[[Any], Any]) -> Any:
        """Return what was given; a path or an address is opened, and closed with its owner."""
        if not isinstance(given, str | PathLike | Address):
            return given
        opened = opener(given)
        self._owned = (*self._owned, opened)
        return opened

    def _model_of(self, given: Openable) -> Model:
        """Return the model that was given, opened if need be.

        Raises
        ------
        TypeError
            If it is no model.
        """
        model: Model = self._opened(given, open_model)
        if not hasattr(model, "tensors") or not hasattr(model, "metadata"):
            raise TypeError(
                f"{type(self).__name__} takes a model, a path or an address, "
                f"not {type(given).__name__}"
            )
        return model

    def _rows_of(self, comparison: Comparison) -> tuple[TensorComparison, ...]:
        """Return the rows of what was given.

        Raises
        ------
        TypeError
            If it is no comparison.
        """
        if not hasattr(comparison, "rows"):
            raise TypeError(
                f"{type(self).__name__} takes a comparison, as `compare` returns it, "
                f"not {type(comparison).__name__}"
            )
        return comparison.rows

    def _close_owned(self) -> None:
        for owned in reversed(self._owned):
            owned.close()
        self._owned = ()
