"""The converter's work on paper: which checkpoint tensors become which tensor of the file.

Names go the converter's way: spelled as the table does, then given to ``gguf.TensorNameMap``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from ...errors import ComparisonError
from ..facts import DECODER_LAYERS, LAYERS
from ..transforms import Decoded, Transform, Transformed
from .family import Row, number_in, pattern_of, reason_in
from .grouping import Origin, regrouped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gguf import TensorNameMap

    from ..facts import Facts
    from ..transforms import NamedRows
    from .family import Family

__all__ = ["LIMITS", "Origin", "Plan", "draw_plan", "has_name_map"]

_ENDINGS = (".weight", ".bias", ".scale")
# the limits between which layers of gemma4's encoders clip what they are given and what they give
LIMITS = tuple(f".{of}_{limit}" for of in ("input", "output") for limit in ("min", "max"))
_ENCODERS = ("v.", "a.", "mm.")
_LAYERS_OF_ENCODERS = 128  # as many as the converter looks up for a file with several of them
_LAYER_LIMIT = 1000  # no model has more; the name map grows with them, and file names are untrusted


@dataclass(frozen=True, slots=True)
class Plan:
    """What the converter makes of a checkpoint.

    Attributes
    ----------
    origins : dict of str to Origin
        By the name in the file.
    left_out : dict of str to str
        Names of checkpoint tensors that the table leaves out on purpose, and why.
    unknown : dict of str to str
        Names of checkpoint tensors that neither the table nor the name map knows, and the words
        for it.
    """

    origins: dict[str, Origin] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One tensor of the checkpoint on its way."""

    tensor: NamedRows
    row: Row
    index: int


_COPY = Row("*")


def draw_plan(family: Family, facts: Facts, tensors: Mapping[str, NamedRows]) -> Plan:
    """Follow the table of a family over a checkpoint.

    Parameters
    ----------
    family : Family
    facts : Facts
    tensors : Mapping of str to NamedRows
        The tensors of a checkpoint, or the parameters of a model.
    """
    plan = Plan()
    map_name = _name_map(facts, family)
    pieces: dict[str, list[_Piece]] = {}
    rows = [(pattern_of(row.pattern), row) for row in family.rows if row.when(facts)]
    left_out = tuple(line for line in family.left_out if line.when(facts))
    after_the_last = str(facts.next_layer())
    for tensor in tensors.values():
        spelled = family.spell(tensor.name).replace("{next}", after_the_last)
        reason = reason_in(left_out, spelled)
        if reason is not None:
            plan.left_out[tensor.name] = reason
            continue
        matches = [(m.groupdict(), row) for regex, row in rows if (m := regex.fullmatch(spelled))]
        for numbers, row in matches or [({}, _COPY)]:
            source = row.name_for(facts, numbers) or spelled
            # gguf's map may be older than the file: names of files stand for themselves
            name = source if _is_of_file(source, facts) else map_name(source)
            name = name or (map_name(tensor.name) if source == spelled else None)
            if name is None:
                plan.unknown[tensor.name] = _why_unknown(spelled, facts)
            else:
                index = row.place if row.place is not None else int(numbers.get("index", 0))
                pieces.setdefault(name, []).append(_Piece(tensor, row, index))
    for name, parts in pieces.items():
        chosen = _choose(parts, plan)
        plan.origins[name] = _origin(name, chosen, facts)
    _swap_back(plan, facts)
    for name in facts.shapes:
        if name not in plan.origins and (origin := regrouped(name, facts.shapes, plan.origins)):
            plan.origins[name] = origin
    return plan


def _is_of_file(name: str, facts: Facts) -> bool:
    """Whether a table calls a tensor as the file does."""
    of_encoder = facts.architecture == "clip" and not facts.shapes and name.startswith(_ENCODERS)
    return name in facts.shapes or name.startswith("blk.") or of_encoder


def _swap_back(plan: Plan, facts: Facts) -> None:
    """Exchange up and down where the first scripts for image encoders did, as llama.cpp does."""
    width = facts.metadata.get("clip.vision.embedding_length")
    for name, shape in facts.shapes.items():
        swapped = len(shape) == 2 and shape[1] == width != shape[0]
        if swapped and name.startswith("v.blk.") and name.endswith(".ffn_down.weight"):
            for down in (name, name.removesuffix("weight") + "bias"):
                up = down.replace(".ffn_down.", ".ffn_up.")
                origins = {down: plan.origins.pop(up, None), up: plan.origins.pop(down, None)}
                plan.origins.update((name, o) for name, o in origins.items() if o)


def _why_unknown(name: str, facts: Facts) -> str:
    # a projector's configuration counts the layers of the language model
    layers = _layers(facts) if facts.architecture == "clip" else facts.number(LAYERS)
    layer = number_in(name)
    if layers and layer is not None and layer >= layers:
        return f"layer {layer}: the file ends with layer {layers - 1}"
    return f"no tensor of {facts.architecture} is known by this name"


def _choose(pieces: list[_Piece], plan: Plan) -> list[_Piece]:
    """Take the first by name of several tensors that a row calls copies of each other."""
    if len(pieces) < 2 or not all(piece.row.copies for piece in pieces):
        return pieces
    first, *others = sorted(pieces, key=lambda piece: piece.tensor.name)
    plan.left_out.update((piece.tensor.name, piece.row.copies) for piece in others)
    return [first]


def _origin(name: str, pieces: list[_Piece], facts: Facts) -> Origin:
    """Join the pieces of one tensor of the file, each transformed by its row."""
    pieces.sort(key=lambda piece: piece.index)
    # parts of one tensor may change places and be joined again
    names = tuple(dict.fromkeys(name for piece in pieces for name in _names(piece.tensor)))
    join = pieces[0].row.join
    layer = number_in(name)
    problem = _numbering(pieces) if join else ""
    if join is None and len(pieces) > 1:
        problem = f"{len(pieces)} tensors of the checkpoint would become it"
    if problem:
        return Origin(names, None, problem)
    try:
        sources = tuple(_transformed(piece, facts, layer) for piece in pieces)
    except ComparisonError as error:
        return Origin(names, None, str(error))
    return Origin(names, Transformed(join(len(pieces)), sources) if join else sources[0])


def _names(tensor: NamedRows) -> tuple[str, ...]:
    return tensor.names if isinstance(tensor, Decoded) else (tensor.name,)


def _numbering(pieces: list[_Piece]) -> str:
    """Say what is wrong with the numbers of parts that are to be joined; empty if nothing is."""
    numbers = [piece.index for piece in pieces]
    if numbers == list(range(len(numbers))):
        return ""
    listed = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"its parts in the checkpoint should be numbered from 0 without gaps, but are {listed}"


def _transformed(piece: _Piece, facts: Facts, layer: int | None) -> Transformed:
    transform: Transform = piece.row.transform_for(facts, layer)
    return Transformed(transform, (piece.tensor,))


def has_name_map(architecture: str) -> bool:
    """Whether ``gguf.TensorNameMap`` knows the names of an architecture."""
    from gguf import MODEL_ARCH_NAMES

    return architecture in MODEL_ARCH_NAMES.values()


def _layers(facts: Facts) -> int:
    """Count the layers: those of the file, or, if there is no file yet, those that are told."""
    if facts.shapes:
        layers = (number_in(name) for name in facts.shapes)
        return 1 + max((n for n in layers if n is not None), default=-1)
    if facts.architecture == "clip":
        return _LAYERS_OF_ENCODERS
    return max(facts.number(LAYERS) or 0, facts.number(DECODER_LAYERS) or 0)


@lru_cache(maxsize=8)
def _converter_names(architecture: str, layers: int) -> TensorNameMap | None:
    # a tenth of a second for 80 layers, and asked for by everything that lines up
    from gguf import MODEL_ARCH_NAMES, TensorNameMap

    arch = next((key for key, name in MODEL_ARCH_NAMES.items() if name == architecture), None)
    shared = TensorNameMap.block_mappings_cfg
    try:
        # the map of arctic changes what all maps are made from: it gets a copy
        TensorNameMap.block_mappings_cfg = dict(shared)
        return None if arch is None else TensorNameMap(arch, layers)
    finally:
        TensorNameMap.block_mappings_cfg = shared


def _name_map(facts: Facts, family: Family) -> Callable[[str], str | None]:
    """Make the converter's own map from checkpoint names to file names."""
    layers = min(_layers(facts), _LAYER_LIMIT)
    maps = [_converter_names(name, layers) for name in (facts.architecture, family.like)]

    def map_name(name: str) -> str | None:
        for names in maps:
            found = names and names.get_name(name, try_suffixes=_ENDINGS + LIMITS)
            if isinstance(found, str):
                return found
        return None

    return map_name
