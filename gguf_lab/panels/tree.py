"""The metadata of a file as a tree."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..file.text import printable
from ..markup import card, grid, more
from .assets import script, style
from .base import Panel
from .leaves import MAX_LEAVES, item_text, leaves, search_items

if TYPE_CHECKING:
    from .owner import Openable

__all__ = ["MetadataTree"]

PAGE: Final = 200
_LONGEST_TEXT: Final = 1_000_000


class MetadataTree(Panel):
    """The metadata of a model, keys grouped by their dots.

    Arrays are paged from the kernel, so a vocabulary of any size scrolls; their first 20 items come
    with the panel. Long texts (chat templates) unfold as preformatted text. The search looks
    through keys and values and, in the kernel, through the strings of arrays: part by part, so that
    the kernel is free in between.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    height : int
        Height in CSS pixels.
    """

    _esm = script("branches", "tree")
    _css = style("tree")

    leaves = traitlets.List(
        traitlets.Dict(), help="One entry per key: see `gguf_lab.panels.leaves.leaves`"
    ).tag(sync=True)

    def __init__(self, model: Openable, *, height: int = 420) -> None:
        model = self._model_of(model)
        self._metadata = model.metadata
        self._name = model.name
        super().__init__(leaves=leaves(self._metadata), height=height, label="Metadata tree")
        if len(self._metadata) > MAX_LEAVES:
            self.error = (
                f"The file has {len(self._metadata):,} keys; the first {MAX_LEAVES:,} are shown. "
                "model.metadata has them all."
            )

    def _value(self, question: dict[str, Any]) -> Any:
        key = next(islice(self._metadata, int(question["leaf"]), None), None)
        if key is None:
            raise LookupError(f"there is no key number {question['leaf']} in the metadata")
        return self._metadata[key]

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        ask = question["ask"]
        if ask == "items":
            start = max(0, int(question["start"]))
            stop = min(int(question["stop"]), start + PAGE)
            return {"items": [item_text(item) for item in self._value(question)[start:stop]]}
        if ask == "text":
            return {"text": printable(self._value(question), _LONGEST_TEXT, lines=True)}
        if ask == "search":
            text, first = str(question["text"])[:200], question.get("start") or (0, 0)
            place = int(first[0]), int(first[1])
            hits, rest = search_items(self._metadata, text, place)
            return {"hits": hits, "next": None if rest is None else list(rest)}
        return super()._answer(question)

    def __repr__(self) -> str:
        return f"<MetadataTree: {len(self._metadata):,} keys of {printable(self._name, 80)}>"

    def _static(self, limit: int | None) -> str:
        shown = self.leaves if limit is None else self.leaves[:limit]
        rows = [(leaf["key"], leaf["type"], leaf["value"]) for leaf in shown]
        return card(
            f"Metadata of {printable(self._name, 120)}",
            grid(("key", "type", "value"), rows),
            more(len(self._metadata), len(rows), "keys"),
        )
