"""What the file of a projector would be, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, GGUFError, UnsupportedError
from ...file.qtypes import find_qtype
from ...file.text import few, preview, quoted
from ...reference.architectures import family_of
from ...reference.architectures.family import number_in
from ...reference.architectures.plan import Origin, draw_plan
from ...reference.facts import Facts
from ...reference.transforms import Pick, Transformed
from ..draft import Draft
from ..draft_tensors import check_plan, draft_tensors, mostly, quantization_version
from ..general import added, general_metadata
from ..storage import chooser, file_type_of, mix_of
from . import PROJECTORS, side_of
from .processing import open_processing

if TYPE_CHECKING:
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
    metadata = metadata or {}
    if not isinstance(metadata, Mapping):
        raise GGUFError(f"metadata is {preview(metadata)}. Expected a mapping of keys to values.")
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
        **general_metadata(source.name, source.folder, shapes),
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


def _check_complete(
    words: str,
    table: Projector,
    figures: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse a checkpoint of which llama.cpp would load the file, and compute something else.

    Most tensors are optional to it: what a model lacks is just not calculated.
    """
    layers = {start: figures.get(key) for start, key in _LAYERS.items()}
    counts = {start: count for start, count in layers.items() if isinstance(count, int)}
    due = [
        name.replace("{layer}", str(layer))
        for name in table.needs
        for layer in range(counts.get(name[:6], 1))
        if "audio.block_count" in figures or not name.startswith(_HEARS)
    ]
    marked = figures.get("vision.is_deepstack_layers")
    deep = [n for n, mark in enumerate(marked) if mark] if isinstance(marked, list) else []
    due += [
        f"v.deepstack.{n}.{part}.{end}"
        for n in deep
        for part in ("norm", "fc1", "fc2")
        for end in ("weight", "bias")
    ]
    if absent := [name for name in due if name not in shapes]:
        raise CheckpointError(
            f"{words}: nothing in the checkpoint becomes {few(map(quoted, absent))}. Nothing was"
            " written. Give the folder with all of its files; if it is complete, llama.cpp has no"
            " such model."
        )
    beyond = [n for n in shapes if n[:6] in _LAYERS and (number_in(n) or 0) >= counts.get(n[:6], 0)]
    if beyond:
        raise CheckpointError(
            f"{words}: config.json has fewer layers than the checkpoint: {few(map(quoted, beyond))}"
            " would never be used. Nothing was written."
        )
