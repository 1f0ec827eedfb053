"""One block of a tensor: its bytes, the bits of a weight, its arithmetic, its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from ..codec import Anatomy, dissect
from ..errors import GGUFLabError
from ..file.text import printable
from ..markup import Html, card, grid, note, preformatted
from .assets import script, style
from .places import Place
from .sides import SIDES, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from ..codec import Explanation
    from ..file.remote import Address
    from ..model import Model
    from ..reference import Checkpoint
    from .owner import Openable

__all__ = ["BlockView"]


class BlockView(Place):
    """The block that holds a weight: its bytes field by field, and how they make the weight.

    The bits that drive the selected weight are marked, its arithmetic is written out as the
    definition of the format does it. The arrow keys walk over the weights, Page Up and Page Down
    over the blocks, Shift with up or down over the rows of the tensor; in the map of bytes Enter
    selects a weight that the byte drives.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    name : str, optional
        The tensor to begin with; default the first matrix.
    reference : Checkpoint, Model, path or Address, optional
        The original weights.
    selection : TensorView or BlockView, optional
        A panel with which tensor and weight are shared: a click there shows the block here. Its
        reference is used if none is given.
    height : int
        Height of the panel in CSS pixels.

    Attributes
    ----------
    selected : list of str
        The tensor shown (its name; the first one if there are several).
    cell : list of int
        Row and column of the selected weight.

    Raises
    ------
    ComparisonError
        If the reference does not belong to the model, or a name or place is unknown.

    See Also
    --------
    gguf_lab.dissect : the same of a block of one's own.
    """

    _esm = script("axes", "places", "figures", "block_view")
    _css = style("places", "block_view")
    _corner: ClassVar[tuple[int, int]] = (3, 9)

    block = traitlets.Dict(help="Where the block is, and its fields").tag(sync=True)
    block_bytes = traitlets.Bytes(b"", help="The bytes, little endian").tag(sync=True)
    block_values = traitlets.Bytes(b"", help="float32: the weights, side by side").tag(sync=True)
    drives = traitlets.Bytes(b"", help="Bits: per byte, which weights it drives").tag(sync=True)
    arithmetic = traitlets.Dict(help="The selected weight: its bits, its arithmetic").tag(sync=True)

    def __init__(
        self,
        model: Openable,
        name: str | None = None,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        *,
        selection: Place | None = None,
        height: int = 700,
    ) -> None:
        super().__init__(model, name, reference, selection, height=height, label="Block")

    def anatomy(self) -> Anatomy:
        """Return the block that holds the selected weight, taken apart.

        Raises
        ------
        GGUFLabError
            If no tensor is selected, or the selected one has no values that can be shown.
        """
        if not self._able:
            raise GGUFLabError(f"there is no block: {self.facts['problem']}")
        return self._dissect(self.name or "", *self.cell)

    def _dissect(self, name: str, row: int, column: int) -> Anatomy:
        tensor = self._sides.tensor(name)
        at = column // self._sides.block_size(name)
        n = tensor.row_values // self._sides.block_size(name)
        blocks = tensor.blocks(slice(row, row + 1)).reshape(n, -1)
        return dissect(blocks[at], tensor.qtype)

    # -- another tensor, another weight

    def _enter(self, name: str | None) -> None:
        self.block, self.arithmetic = {}, {}
        self.block_bytes = self.block_values = self.drives = b""

    def _look(self, _change: object = None) -> None:
        if self._able:
            self._jobs.put("block", self._read_block(self.name or ""), "Taking the block apart")
        super()._look()

    def _read_block(self, name: str) -> Iterator[float]:
        row, column = self.cell
        size = self._sides.block_size(name)
        left = column // size * size
        found = read(self._sides.readers(name, SIDES), [(row, row + 1)], left, left + size)
        anatomy = self._dissect(name, row, column)  # measures the format when it meets it first
        yield 0.5
        explanation = anatomy.explain(column % size)
        reach = anatomy.influence.matrix.reshape(anatomy.qtype.type_size, 8, size).any(axis=1)
        with self._publishing(name):
            self.block = {
                "title": anatomy.title,
                "row": row,
                "left": left,
                "size": size,
                "index": left // size,
                "n_blocks": self._sides.tensor(name).row_values // size,
                "sides": [self._sides.called(side) for side in found],
                "fields": [_field(part, anatomy) for part in anatomy.fields],
            }
            self.block_bytes = anatomy.block.tobytes()
            self.block_values = np.stack([one[0] for one in found.values()]).tobytes()
            self.drives = np.packbits(reach, axis=1, bitorder="little").tobytes()
            self.arithmetic = {
                "weight": column % size,
                "bits": list(explanation.bits),
                "words": self._told(explanation, found["quantized"][0, column % size]),
            }

    def _told(self, explanation: Explanation, value: np.float32) -> str:
        """Tell the arithmetic of a weight to its end: a scale may stand beside the tensor."""
        scale = self._sides.scale(self.name or "")
        end = "" if scale is None else f"\n  times {printable(scale.name)} = {value}"
        return f"{explanation}{end}"

    # -- static form

    def __repr__(self) -> str:
        if self.name is None:
            return "<BlockView: no tensor>"
        row, column = self.cell
        return f"<BlockView: {self.facts['label']}, row {row:,}, column {column:,}>"

    def _static(self, limit: int | None) -> str:
        del limit
        label = self.facts["label"] or "No tensor"
        if not self._able:
            return card(label, note(self.facts["problem"]))
        name, (row, column) = self.name or "", self.cell
        try:
            anatomy = self._dissect(name, row, column)
            size = anatomy.qtype.block_size
            left = column // size * size
            found = read(self._sides.readers(name, SIDES), [(row, row + 1)], left, left + size)
        except GGUFLabError as error:  # the file may have been closed since
            return card(label, note(str(error)))
        lines = [
            (f"{left + k:,}", *(str(values[0, k]) for values in found.values()))
            for k in range(max(0, column - left - 4), min(size, column - left + 5))
        ]
        return card(
            f"{label}, row {row:,}, block {left // size:,}",
            Html(anatomy._repr_html_()),
            preformatted(
                self._told(anatomy.explain(column - left), found["quantized"][0, column - left])
            ),
            grid(("column", *map(self._sides.called, found)), lines, range(1 + len(found))),
        )


def _field(part: Any, anatomy: Anatomy) -> dict[str, Any]:
    """Tell a field to the browser: its place, what its bits drive, its elements as text."""
    field = part.field
    plain = field.kind in ("f16", "f32", "f64", "bf16")
    values = part.values if plain else part.integers
    return {
        "name": field.name,
        "kind": field.kind,
        "offset": field.offset,
        "count": field.count,
        "width": field.width,
        "drives": anatomy.influence.reach(field.offset, field.stop),
        "brief": part.brief(8),
        "values": [f"{value:.8g}" if plain else str(value) for value in values],
    }
