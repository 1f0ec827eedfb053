"""Will it run: memory by context and devices, and the bound on tokens per second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..errors import GGUFLabError
from ..file.text import printable
from ..footprint import KV_TYPES, Counter
from ..footprint.counting import MOST_TOKENS
from ..footprint.words import facts_of, formulas_of, html_of, machine_rows
from ..markup import Html, card, note
from ..model.words import memory_in_words
from .assets import script, style
from .base import Panel

if TYPE_CHECKING:
    from ..footprint import Memory
    from .owner import Openable

__all__ = ["WillItRun"]

_GIB: Final = 2**30
_STEPS: Final = tuple(1 << k for k in range(11, 18))  # 2 k to 128 k tokens
_TABLE_TYPES: Final = ("F16", "Q8_0", "Q4_0")
_MOST: Final = 1 << 24  # tokens that the search for the longest context looks at
_PARTS: Final = (
    ("weights", "weights"),
    ("cache", "KV cache"),
    ("state", "recurrent state"),
    ("compute", "compute buffer (estimate)"),
)


class WillItRun(Panel):
    """Whether a model fits in the memory that there is, with the context that is wanted.

    Weights and cache are exact, the compute buffer is an estimate; every formula is stated. Nothing
    of the weights is read.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    context : int
        Tokens of all sequences together.
    height : int
        Height in CSS pixels; 0 leaves it to the content.

    Attributes
    ----------
    context, parallel : int
        Tokens of all sequences together; sequences.
    kv_type : str
        Type of keys and values.
    capacity : float
        Memory of the machine in GiB (2^30 bytes).
    gpus : list of float
        Memory of each GPU in GiB; empty: everything is in the machine's memory.
    gpu_layers : int
        Layers on the GPUs; more than there are: all, and the output.
    memory : Memory or None
        What was counted; None where it could not be.
    """

    _esm = script("running")
    _css = style("lines", "running")

    context = traitlets.Int(8192, min=1, help="Tokens of all sequences together").tag(sync=True)
    kv_type = traitlets.Enum(KV_TYPES, "F16", help="Type of keys and values").tag(sync=True)
    parallel = traitlets.Int(1, min=1, max=256, help="Sequences at the same time").tag(sync=True)
    capacity = traitlets.Float(8.0, min=0, help="Memory of the machine in GiB").tag(sync=True)
    gpus = traitlets.List(
        traitlets.Float(min=0), maxlen=16, help="Memory of each GPU in GiB; none: no GPU"
    ).tag(sync=True)
    gpu_layers = traitlets.Int(999, min=0, help="Layers on the GPUs").tag(sync=True)
    choices = traitlets.Dict(
        {"types": list(KV_TYPES), "contexts": list(_STEPS), "most": MOST_TOKENS},
        help="What the fields offer",
    ).tag(sync=True)
    result = traitlets.Dict(help="The answer, the parts, the tables, the formulas").tag(sync=True)

    def __init__(self, model: Openable, *, context: int = 8192, height: int = 0) -> None:
        model = self._model_of(model)
        self.memory: Memory | None = None
        self._counter: Counter | None = None
        self._problem = ""
        try:
            self._counter = Counter(model)
        except GGUFLabError as error:
            self._problem = printable(str(error), 600)
        super().__init__(context=context, height=height, label="Will it run")
        names = ["context", "kv_type", "parallel", "capacity", "gpus", "gpu_layers"]
        self.observe(self._refresh, names)
        self._refresh()

    def _refresh(self, _change: object = None) -> None:
        self.memory = None
        if self._counter is None:
            self.result = {"problem": self._problem}
            return
        try:
            self.memory = self._count(self.context, self.kv_type)
        except GGUFLabError as error:
            self.result = {"problem": printable(str(error), 600)}
            return
        found = self.memory
        self.result = {
            "answer": self._answer_words(found),
            "fits": self._fits(found),
            "most": self._longest() if found.generates else "",
            "devices": self._devices(found),
            "facts": [[label, printable(text, 400)] for label, text in facts_of(found)],
            "contexts": self._contexts() if found.generates else {},
            "machines": [list(row) for row in machine_rows(found)],
            "generates": found.generates,
            "formulas": formulas_of(found),
        }

    def _count(self, context: int, kv_type: str) -> Memory:
        assert self._counter is not None
        split = [size for size in self.gpus if size > 0]
        return self._counter.count(
            context,
            kv_type=kv_type,
            parallel=self.parallel,
            gpu_layers=self.gpu_layers if split else None,
            split=split or (1.0,),
        )

    def _capacities(self, memory: Memory) -> list[float]:
        """Return the bytes that each device has."""
        sizes = [self.capacity, *(size for size in self.gpus if size > 0)]
        return [size * _GIB for size in sizes[: len(memory.devices)]]

    def _fits(self, memory: Memory) -> bool:
        rooms = self._capacities(memory)
        return all(d.total <= room for d, room in zip(memory.devices, rooms, strict=True))

    def _answer_words(self, memory: Memory) -> str:
        if len(memory.devices) == 1:
            return memory.answer(self.capacity * _GIB)
        fits = self._fits(memory)
        parts = []
        for device, room in zip(memory.devices, self._capacities(memory), strict=True):
            sign = "of" if device.total <= room else "but has only"
            parts.append(
                f"{device.name} needs about {memory_in_words(device.total)} {sign} "
                f"{memory_in_words(round(room))}"
            )
        verdict = "Yes, it fits" if fits else "No, it does not fit"
        return f"{verdict} with {memory.context:,} tokens of context: {'; '.join(parts)}."

    def _devices(self, memory: Memory) -> list[dict[str, Any]]:
        return [
            {
                "name": device.name,
                "layers": device.layers,
                "room": room,
                "total": device.total,
                "words": (
                    f"about {memory_in_words(device.total)} of {memory_in_words(round(room))}, "
                    f"{device.layers} layers"
                ),
                "parts": [
                    [key, label, getattr(device, key), memory_in_words(getattr(device, key))]
                    for key, label in _PARTS
                ],
            }
            for device, room in zip(memory.devices, self._capacities(memory), strict=True)
        ]

    def _contexts(self) -> dict[str, Any]:
        """Return totals by context and type of cache, and whether each fits."""
        rows = []
        types = [kind for kind in _TABLE_TYPES if self._possible(kind)]
        for context in (c for c in _STEPS if c >= self.parallel):
            found = [self._count(context, kind) for kind in types]
            cells = [[memory_in_words(m.total), self._fits(m)] for m in found]
            rows.append([context, cells])
        return {"types": types, "rows": rows}

    def _possible(self, kv_type: str) -> bool:
        try:
            self._count(self.context, kv_type)
        except GGUFLabError:
            return False
        return True

    def _longest(self) -> str:
        """Say which context just fits: the count only grows with it."""

        def fits(blocks: int) -> bool:
            return self._fits(self._count(max(256 * blocks, self.parallel), self.kv_type))

        least, most = 1, _MOST // 256
        if not fits(least):
            return "Not even 256 tokens of context fit."
        if fits(most):
            return "The context does not decide: millions of tokens would fit."
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if fits(middle) else (least, middle)
        words = f"At most {256 * least:,} tokens of context fit, with the cache in {self.kv_type}"
        made_for = self._counter.trained if self._counter is not None else 0
        more = f"; the model was made for {made_for:,}" if 0 < made_for < 256 * least else ""
        return f"{words}{more}."

    def __repr__(self) -> str:
        return f"<WillItRun: {self.result.get('answer') or self.result.get('problem', '')}>"

    def _static(self, limit: int | None) -> str:
        del limit
        if self.memory is None:
            return card("Will it run", note(self.result.get("problem", "")))
        words = f"{self.result['answer']} {self.result['most']}"
        return card("Will it run", Html(html_of(self.memory)), note=words)
