"""Panels that ask all rows of the selected tensor something, beside those of its original."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import traitlets

from ..comparison.weighting import weights_of
from .places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    import numpy as np

    from ..comparison.weighting import Weights
    from ..file.remote import Address
    from ..model import Model
    from ..reference import Checkpoint
    from .owner import Openable

__all__ = ["Inquiry"]


class Inquiry(Place):
    """A question about the rows of a tensor, whose answer needs the original.

    Its panels document what they take: model, tensor, original, importance.
    """

    _label: ClassVar[str]
    _tall: ClassVar[int]
    _no_original: ClassVar[str]
    _busy: ClassVar[str]

    verdict = traitlets.Unicode("", help="The answer in words").tag(sync=True)

    def __init__(
        self,
        model: Openable,
        name: str | None = None,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        *,
        importance: Mapping[str, np.ndarray] | None = None,
        selection: Place | None = None,
        height: int | None = None,
    ) -> None:
        self._importance = importance
        tall = self._tall if height is None else height
        super().__init__(model, name, reference, selection, height=tall, label=self._label)

    def _enter(self, name: str | None) -> None:
        self.verdict = ""
        self._clear()
        if name is None or not self._able:
            self.verdict = str(self.facts.get("problem", ""))
        elif not self.facts["compared"]:
            self.verdict = self._no_original.format(self.facts["remark"])
        else:
            self._jobs.put(type(self).__name__, self._asked(name), self._busy)

    def _asked(self, name: str) -> Iterator[float]:
        """Work on the answer; one that does not come to its end says so."""
        try:
            yield from self._ask(name)
        except BaseException as stopped:
            if self.name == name:  # not for the sake of another tensor
                cancelled = isinstance(stopped, GeneratorExit)
                self.verdict = "Cancelled before the end." if cancelled else "This failed."
            raise

    def _look(self, _change: object = None) -> None:
        """Do nothing: which weight is looked at changes nothing here."""

    def _clear(self) -> None:
        """Forget the answer for the tensor before."""
        raise NotImplementedError

    def _ask(self, name: str) -> Iterator[float]:
        """Work on the answer, and give the share that is done now and then."""
        raise NotImplementedError

    def _weights(self, name: str) -> Weights | None:
        """Return the importance of a tensor's columns."""
        return weights_of(self._importance, self._sides.tensor(name))
