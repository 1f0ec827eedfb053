"""The same weights in other tensors: fused or apart, experts stacked or each by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import ComparisonError
from ..transforms import Half, Join, Numbers, Part, Pick, Stack, Transformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..transforms import Rows

__all__ = ["UP", "Origin", "gated", "regrouped"]

UP = ".ffn_up.weight"
_GATE = ".ffn_gate.weight"

# What the converter joins on demand (--fuse-qkv, --fuse-gate-up-exps), and how.
_FUSED = (
    (".attn_qkv.", (".attn_q.", ".attn_k.", ".attn_v."), "q, k and v joined"),
    (".ffn_gate_up_exps.", (".ffn_gate_exps.", ".ffn_up_exps."), "gate and up joined"),
)
# The first files of mixtral had a tensor for each expert.
_EXPERT = re.compile(r"(blk\.[0-9]+\.ffn_(?:gate|up|down))\.([0-9]{1,6})\.weight")
_STACKED = re.compile(r"(blk\.[0-9]+\.ffn_(?:gate|up|down))_exps\.weight")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor of the file comes from.

    Attributes
    ----------
    names : tuple of str
        Of the reference's tensors.
    rows : Transformed, optional
        None if the table can't be followed.
    problem : str
        Why it can't.
    """

    names: tuple[str, ...]
    rows: Transformed | None
    problem: str = ""


def regrouped(
    name: str, shapes: Mapping[str, tuple[int, ...]], origins: Mapping[str, Origin]
) -> Origin | None:
    """Find the weights of a tensor in others, where the reference has none of its name.

    Parameters
    ----------
    name : str
    shapes : Mapping of str to tuple of int
        Of the tensors of the file, NumPy order.
    origins : Mapping of str to Origin
        What the reference has, by the names that the file would have for it.
    """
    return (
        _joined(name, shapes, origins)
        or _part(name, shapes, origins)
        or _expert(name, origins)
        or _experts(name, shapes, origins)
    )


def gated(
    name: str, shapes: Mapping[str, tuple[int, ...]], origins: Mapping[str, Origin]
) -> Origin | None:
    """Find gate and up where one of two files has both in what it calls up, as phi3: gate first.

    Parameters as of `regrouped`.
    """
    if not name.endswith((UP, _GATE)):
        return None
    up, gate = name.replace(_GATE, UP), name.replace(UP, _GATE)
    theirs = [origins.get(up), origins.get(gate)]
    rows = [origin.rows for origin in theirs if origin and origin.rows]
    ours, lengths = shapes[name][:1], [_length(part) or 0 for part in rows]
    if theirs[1] is None and gate in shapes and lengths == [2 * n for n in ours]:
        return Origin((up,), Transformed(Half(int(name == up)), (rows[0],)))
    if gate not in shapes and name == up and len(rows) == 2 and (sum(lengths),) == ours:
        return Origin((gate, up), Transformed(Join("gate and up joined"), _alike(rows[::-1])))
    return None


def _joined(
    name: str, shapes: Mapping[str, tuple[int, ...]], origins: Mapping[str, Origin]
) -> Origin | None:
    """Join what is apart in the reference."""
    for whole, parts, words in _FUSED:
        names = [name.replace(whole, part) for part in parts]
        if whole in name and not any(part in shapes for part in names):
            found = [origins[part] for part in names if part in origins]
            rows = tuple(origin.rows for origin in found if origin.rows)
            if len(rows) == len(parts):
                sources = tuple(n for origin in found for n in origin.names)
                return Origin(sources, Transformed(Join(words), _alike(rows)))
    return None


def _part(
    name: str, shapes: Mapping[str, tuple[int, ...]], origins: Mapping[str, Origin]
) -> Origin | None:
    """Take apart what is one tensor in the reference."""
    for whole, parts, _ in _FUSED:
        for place, part in enumerate(parts):
            origin = origins.get(name.replace(part, whole)) if part in name else None
            if origin is None or origin.rows is None:
                continue
            if len(parts) == 2:
                return Origin(origin.names, Transformed(Half(place), (origin.rows,)))
            sides = [shapes.get(name.replace(part, other)) for other in parts]
            lengths = [side[0] for side in sides if side]
            start, stop = sum(lengths[:place]), sum(lengths[: place + 1])
            if len(lengths) == len(parts) and sum(lengths) == _length(origin.rows):
                cut = Part(start, stop, f"the rows of {'qkv'[place]}")
                return Origin(origin.names, Transformed(cut, (origin.rows,)))
    return None


def _expert(name: str, origins: Mapping[str, Origin]) -> Origin | None:
    """Take one expert of those that are stacked in the reference."""
    match = _EXPERT.fullmatch(name)
    stacked = origins.get(f"{match[1]}_exps.weight") if match else None
    if not match or not stacked or not stacked.rows:
        return None
    number, sources = int(match[2]), stacked.rows.sources
    if isinstance(stacked.rows.transform, Stack) and len(stacked.names) == len(sources):
        expert = sources[number] if number < len(sources) else None
        return Origin((stacked.names[number],), expert) if isinstance(expert, Transformed) else None
    picked = Pick(0, number, f"expert {number}")
    return Origin(stacked.names, Transformed(picked, (stacked.rows,)))


def _experts(
    name: str, shapes: Mapping[str, tuple[int, ...]], origins: Mapping[str, Origin]
) -> Origin | None:
    """Stack the experts that have a tensor each in the reference."""
    match, count = _STACKED.fullmatch(name), (shapes.get(name) or (0,))[0]
    found: list[Origin] = []
    while match and len(found) < count:
        origin = origins.get(f"{match[1]}.{len(found)}.weight")
        if origin is None or origin.rows is None:
            return None
        found.append(origin)
    if not found:
        return None
    rows = tuple(origin.rows for origin in found if origin.rows)
    sources = tuple(n for origin in found for n in origin.names)
    return Origin(sources, Transformed(Stack(len(found)), _alike(rows)))


def _alike(rows: Sequence[Transformed]) -> tuple[Rows, ...]:
    """Decode what is to become one tensor and is of several types."""
    try:
        types = {row.dtype for row in rows}
    except ComparisonError:  # said where it is read
        return tuple(rows)
    return tuple(Transformed(Numbers(), (row,)) for row in rows) if len(types) > 1 else tuple(rows)


def _length(rows: Rows) -> int | None:
    try:
        return rows.shape[0] if rows.shape else None
    except ComparisonError:
        return None
