"""What the file of a projector would be, before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, UnsupportedError
from ...file.qtypes import find_qtype
from ...file.text import few, quoted
from ...reference.architectures import family_of
from ...reference.architectures.family import number_in
from ...reference.architectures.plan import Origin, draw_plan
from ...reference.facts import Facts
from ...reference.transforms import Pick, Transformed
from ..draft import Draft
from ..draft_tensors import check_plan, draft_tensors, mostly
from ..general import added, general_metadata, given_metadata, quantization_version
from ..storage import chooser, file_type_of, mix_of
from . import PROJECTORS, side_of
from .processing import open_processing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...reference.architectures.plan import Plan
    from ..sources import Source
    from ..storage import Choose
    from . import Projector
    from .processing import Processing

__all__ = ["draft_projector"]

_TABLES = {name: table for table in PROJECTORS for name in table.model_types}
_PATCHES = ("*.patch_embd.weight*", "*.patch_merger.weight*")
_LAYERS = {"v.blk.": "vision.block_count", "a.blk.": "audio.block_count"}
_HEARS = ("a.", "mm.a.")
_EMBEDDING = "embed_tokens.weight"
_BREAK, _BREAK_TOKEN = "v.token_embd.img_break", "[IMG_BREAK]"


def draft_projector(
    source: Source,
    *,
    processor: Any = None,
    qtype: str | Mapping[str, str] | Choose = "F16",
    metadata: Mapping[str, object] | None = None,
    file_type: str | None = None,
) -> Draft:
    """Say what would be written, without reading a weight. Parameters as of `export_mmproj`."""
    metadata = given_metadata(metadata)
    model_type = str(source.config.get("model_type"))
    if model_type not in _TABLES:
        raise UnsupportedError(
            f"{source.words}: projectors of models of type {quoted(model_type)} can't be exported"
            f" yet; those of type {', '.join(sorted(_TABLES))} can."
        )
    if mix_of(qtype) and find_qtype(qtype) is None:
        raise UnsupportedError(
            f"{qtype} is a mix of types for language models: name one, such as F16 or Q8_0."
        )
    table, choose = _TABLES[model_type], chooser(qtype)
    with open_processing(processor, source.folder, source.config) as processing:
        side = side_of(source.config, processing.settings if processing else None)
        figures = table.metadata(side)
        settings = {f"clip.{key}": value for key, value in figures.items()}
        family = family_of("clip", settings)
        assert family is not None  # who has a table of metadata has one of tensors
        plan = draw_plan(family, Facts.of("clip", settings, source.config), source.tensors)
        if _BREAK in table.needs:
            _take_break(plan, source, processing)
    check_plan(plan, source)
    tensors = tuple(draft_tensors(plan, source, choose, held=_held(table, qtype)))
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    _check_complete(source.words, table, figures, shapes)
    keys: dict[str, object] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        **general_metadata(source.name, source.folder, shapes, source.generation),
        "general.file_type": file_type_of(file_type or mostly(qtype, tensors)),
        **settings,
        "general.quantization_version": quantization_version(),
    }
    return Draft(added(keys, metadata), tensors, plan.left_out, dict(table.otherwise))


def _held(table: Projector, qtype: object) -> dict[str, str]:
    """Gather what is stored in a type of its own; the first pattern counts."""
    convolved = "F16" if isinstance(qtype, str) and qtype.upper() == "F16" else "F32"
    return {**table.held, **dict.fromkeys(_PATCHES, convolved)}


def _take_break(plan: Plan, source: Source, processing: Processing | None) -> None:
    """Take what stands behind every row of an image: a row of the token embedding."""
    token = processing.token(_BREAK_TOKEN) if processing else None
    if token is None:
        raise CheckpointError(
            f"{source.words}: nothing says which token {_BREAK_TOKEN} is, which llama.cpp puts"
            " behind every row of an image. Give the processor (processor=...), or the folder with"
            " its tokenizer.json."
        )
    named = (tensor for name, tensor in source.tensors.items() if name.endswith(_EMBEDDING))
    embedding = next(named, None)
    if embedding is None:
        raise CheckpointError(
            f"{source.words} has no {_EMBEDDING}, of which the row {token} is needed:"
            f" {_BREAK_TOKEN}. Give the folder with all of its files."
        )
    row = Transformed(Pick(0, token, f"the row of {_BREAK_TOKEN}"), (embedding,))
    plan.origins[_BREAK] = Origin((embedding.name,), row)


def _numbers(figures: Mapping[str, object]) -> dict[str, Sequence[int]]:
    """List the numbers that layers have, by how the names of their tensors begin."""
    counts = {start: figures.get(key) for start, key in _LAYERS.items()}
    marked = figures.get("vision.is_deepstack_layers")
    deep = [n for n, mark in enumerate(marked) if mark] if isinstance(marked, list) else []
    return {
        **{start: range(n if isinstance(n, int) else 0) for start, n in counts.items()},
        "v.deepstack.": deep,
    }


def _check_complete(
    words: str,
    table: Projector,
    figures: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse a checkpoint of which llama.cpp would load the file, and compute something else.

    Most tensors are optional to it: what a model lacks is just not calculated.
    """
    numbers = _numbers(figures)
    due = [
        name.replace("{layer}", str(layer))
        for name in table.needs
        for layer in (numbers[name.partition("{layer}")[0]] if "{layer}" in name else (0,))
        if "audio.block_count" in figures or not name.startswith(_HEARS)
    ]
    if absent := [name for name in due if name not in shapes]:
        raise CheckpointError(
            f"{words}: nothing in the checkpoint becomes {few(map(quoted, absent))}. Nothing was"
            " written. Give the folder with all of its files; if it is complete, llama.cpp has no"
            " such model."
        )
    beyond = [
        name
        for name in shapes
        for start, known in numbers.items()
        if name.startswith(start) and number_in(name) not in known
    ]
    if beyond:
        raise CheckpointError(
            f"{words}: config.json has fewer layers than the checkpoint: {few(map(quoted, beyond))}"
            " would never be used. Nothing was written."
        )
