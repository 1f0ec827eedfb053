"""The tensors of a GGUF file before it is written: each with its type and where it comes from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError, ComparisonError
from ..file.text import printable, quoted
from ..reference.alignment import what_wraps
from ..reference.quantized import method_of
from ..reference.transforms import Chain, Decoded, DecodeMXFP4, RepackMXFP4, Transformed
from .draft import DraftTensor
from .storage import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ..reference.architectures.plan import Plan
    from .sources import Source
    from .storage import Choose

__all__ = ["check_plan", "draft_tensors", "mostly"]

_PLAIN = ("F32", "F16", "BF16")


def check_plan(plan: Plan, source: Source) -> None:
    """Refuse a checkpoint of which anything would be lost."""
    problems = [f"{quoted(name)}: {why}" for name, why in plan.unknown.items()]
    problems += [
        f"{', '.join(map(quoted, origin.names[:3]))}: {quoted(name)} can't be made of it:"
        f" {origin.problem}"
        for name, origin in plan.origins.items()
        if origin.rows is None
    ]
    if not plan.origins and not problems:
        problems = ["it has no tensors"]
    if problems:
        listed = "; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else "")
        way = what_wraps(source.tensors) or "Export the model without what was added to it."
        method = method_of(source.config)
        if method and not any(isinstance(rows, Decoded) for rows in source.tensors.values()):
            way = (
                f"It is quantized ({printable(method, 40)}), in a way that is not read: export the"
                " original weights, before they were quantized."
            )
        raise CheckpointError(
            f"{source.words}: {len(problems)} tensor(s) would be lost: {listed}. Nothing was"
            f" written. {way}"
        )


def draft_tensors(
    plan: Plan,
    source: Source,
    choose: Choose,
    calculated: Mapping[str, NDArray[np.float32]] | None = None,
    held: Mapping[str, str] | None = None,
) -> Iterator[DraftTensor]:
    """Decide on every tensor, in the order in which llama.cpp's converter writes them.

    Parameters
    ----------
    plan : Plan
    source : Source
    choose : callable
    calculated : mapping of str to ndarray, optional
        Vectors that are in no checkpoint: they come first.
    held : mapping of str to str, optional
        As of `store`.
    """
    for name, values in (calculated or {}).items():
        made = _Calculated(values)
        yield DraftTensor(name, made.shape, store(name, made, choose), (), "calculated", made)
    place = {name: number for number, name in enumerate(sorted(source.tensors))}
    found = []
    for name, origin in plan.origins.items():
        assert origin.rows is not None
        rows = _undecoded(origin.rows)
        try:
            shape = rows.shape or (1,)
            stored = store(name, rows, choose, held)
        except ComparisonError as error:
            raise CheckpointError(
                f"{source.words}: {quoted(name)} can't be made of"
                f" {', '.join(map(quoted, origin.names[:3]))}: {error}."
            ) from None
        tensor = DraftTensor(name, shape, stored, origin.names, origin.rows.words, rows)
        # what is joined is complete, for the converter, with its last part; blocks go first, and
        # what it has unpacked goes last
        together = _together(name, source)
        parts = (
            n for other in together if other in plan.origins for n in plan.origins[other].names
        )
        last = max((place[n] for n in parts if n in place), default=len(place))
        found.append((rows.dtype in _PLAIN, last, together.index(name), tensor))
    yield from (tensor for *_, tensor in sorted(found, key=lambda item: item[:3]))


def _together(name: str, source: Source) -> list[str]:
    """List what the converter writes at once, when the last part of all has come, in its order."""
    kinds = ("gate", "up", "down") if source.config.get("model_type") == "ernie4_5_moe" else ()
    layer, dot, kind = name.partition(".ffn_")
    if kind not in {f"{kind}_exps.weight" for kind in kinds}:
        return [name]
    return [f"{layer}{dot}{kind}_exps.weight" for kind in kinds]


def _undecoded(rows: Transformed) -> Transformed:
    """Read blocks of MXFP4 as blocks: a file has them too."""
    transform = rows.transform
    if type(transform) is DecodeMXFP4:
        return Transformed(RepackMXFP4(), rows.sources)
    if isinstance(transform, Chain) and type(transform.first) is DecodeMXFP4:
        return Transformed(Chain(RepackMXFP4(), transform.second), rows.sources)
    return rows


@dataclass(frozen=True, slots=True)
class _Calculated:
    """A vector that is in no checkpoint."""

    values: NDArray[np.float32]
    dtype: str = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self.values.astype("<f4", copy=False).view(np.uint8)[None][start:stop]


def mostly(qtype: str | Mapping[str, str] | Choose, tensors: tuple[DraftTensor, ...]) -> str:
    """Name the type that stands for the file: the one that was asked for, or the most frequent."""
    blocks = any(t.qtype.name == "MXFP4" for t in tensors)
    if isinstance(qtype, str):
        return "MXFP4" if blocks and qtype in _PLAIN else qtype
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[tensor.qtype.name] += prod(tensor.shape)
    return weights.most_common(1)[0][0]
