"""The rooms of the workbench: which panels each tab shows, made when it is first shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .block_view import BlockView
from .chat_template import ChatTemplate
from .detail import TensorDetail
from .error_map import ErrorMap
from .histograms import ErrorHistograms
from .other_types import OtherTypes
from .overview import Overview
from .running import WillItRun
from .side_by_side import SideBySide
from .table import TensorTable
from .tensor_view import TensorView
from .tree import MetadataTree
from .vocabulary import Vocabulary
from .worst_places import WorstPlaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Model
    from ..quantization import Imatrix
    from ..reference import Checkpoint
    from .sides import Sides

__all__ = ["ROOMS", "Contents", "Room", "rooms_of"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What the panels are made of.

    Attributes
    ----------
    model : Model
    reference : Checkpoint, Model or None
    importance : Imatrix or None
    other : Model, path or None
        Another file of the same model.
    selected : str or None
        The tensor to begin with.
    sides : Sides or None
        What reads model and reference, for all panels that do.
    """

    model: Model
    reference: Checkpoint | Model | None
    importance: Imatrix | None
    other: Any = None
    selected: str | None = None
    sides: Sides | None = None

    def place(self) -> tuple[Any, Any, Any]:
        """Return what a panel that looks into one tensor takes first."""
        return self.model, self.selected, self.sides or self.reference


@dataclass(frozen=True, slots=True)
class Room:
    """A tab.

    Attributes
    ----------
    name, label : str
        What it is called in Python, and by the user.
    panels : dict of str to callable
        Makes each panel: attribute of the workbench to a function of `Contents`.
    needs : callable, optional
        Whether there is something to show in it.
    """

    name: str
    label: str
    panels: dict[str, Callable[[Contents], Any]]
    needs: Callable[[Contents], bool] = lambda _: True


def _has_template(contents: Contents) -> bool:
    return any(key.startswith("tokenizer.chat_template") for key in contents.model.metadata)


ROOMS = (
    Room(
        "overview", "Overview", {"overview": lambda c: Overview(c.model, check=False, height=720)}
    ),
    Room(
        "tensors",
        "Tensors",
        {
            "table": lambda c: TensorTable(c.model, height=640, figures=c.reference is not None),
            "detail": lambda c: TensorDetail(c.model, height=220 if c.reference is None else 640),
        },
    ),
    Room(
        "errors",
        "Errors",
        {
            "errors": lambda c: ErrorMap(weighted=c.importance is not None, height=760),
            "worst": lambda c: WorstPlaces(*c.place(), importance=c.importance, height=420),
            "types": lambda c: OtherTypes(*c.place(), importance=c.importance, height=420),
            "histograms": lambda _: ErrorHistograms(height=520),
        },
        lambda c: c.reference is not None,
    ),
    Room(
        "weights",
        "Weights",
        {
            "picture": lambda c: TensorView(*c.place()),
            "block": lambda c: BlockView(*c.place()),
        },
    ),
    Room(
        "pair",
        "A and B",
        {"pair": lambda c: SideBySide(c.model, c.other, c.reference)},
        lambda c: c.other is not None,
    ),
    Room(
        "run",
        "Will it run",
        {"run": lambda c: WillItRun(c.model, height=760)},
        lambda c: c.model.kind == "model",
    ),
    Room(
        "metadata",
        "Metadata",
        {"metadata": lambda c: MetadataTree(c.model, height=640)},
    ),
    Room(
        "vocabulary",
        "Vocabulary",
        {"vocabulary": lambda c: Vocabulary(c.model, height=640)},
        lambda c: "tokenizer.ggml.tokens" in c.model.metadata,
    ),
    Room(
        "template",
        "Chat template",
        {"template": lambda c: ChatTemplate(c.model, c.reference)},
        _has_template,
    ),
)
"""In the order of their tabs."""


def rooms_of(contents: Contents) -> dict[str, Room]:
    """Return the rooms that have something to show."""
    return {room.name: room for room in ROOMS if room.needs(contents)}
