"""What a file is, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from ..file.text import printable
from ..markup import card, grid
from ..model.words import bits_in_words, bytes_in_words, count_in_words
from .assets import script, style
from .base import Panel

if TYPE_CHECKING:
    from ..model import Model
    from .owner import Openable

__all__ = ["Headline"]


class Headline(Panel):
    """Name, kind and size of a model.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    reference : str
        Words about the reference; empty if there is none.
    """

    _esm = script("headline")
    _css = style("headline")

    title = traitlets.Unicode("", help="Name of the model").tag(sync=True)
    subtitle = traitlets.Unicode("", help="File and reference").tag(sync=True)
    facts = traitlets.List(traitlets.List(), help="[name, text, explanation]").tag(sync=True)

    def __init__(self, model: Openable, *, reference: str = "") -> None:
        model = self._model_of(model)
        path = printable(str(getattr(model.path, "name", model.path)), 160)
        name = printable(model.name, 160)
        parts = [part for part in (name, printable(reference, 200)) if part and part != path]
        super().__init__(
            title=path,
            subtitle="  ·  ".join(parts),
            facts=_facts(model),
            label="What the file is",
        )

    def __repr__(self) -> str:
        return f"<Headline: {self.title}>"

    def _static(self, limit: int | None) -> str:
        del limit
        return card(self.title, grid(("", ""), [f[:2] for f in self.facts]), note=self.subtitle)


def _facts(model: Model) -> list[list[str]]:
    cut = sum(tensor.status == "truncated" for tensor in model.tensors.values())
    words = (
        f"\u26a0 cut short: {cut:,} of {len(model.tensors):,} tensors incomplete" if cut else None
    )
    facts: list[list[Any]] = [
        ["state", words, "Fetch the file again, or let the download finish"],
        ["kind", model.kind, "What the file holds"],
        ["architecture", model.architecture, "general.architecture"],
        ["file type", model.file_type, "general.file_type: the mixture of types it was made with"],
        ["parameters", count_in_words(model.n_parameters), f"{model.n_parameters:,} weights"],
        ["bits/weight", bits_in_words(model.bits_per_weight), ""],
        ["tensor data", bytes_in_words(model.nbytes), f"{model.nbytes:,} bytes of tensors"],
        ["tensors", f"{len(model.tensors):,}", "Tensors in the file"],
        ["GGUF", f"v{model.version}, {model.byteorder}-endian", "Version of the file format"],
    ]
    return [
        [name, printable(str(text), 60), words]
        for name, text, words in facts
        if text and text != "model"
    ]
