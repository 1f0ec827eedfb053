"""What a GGUF file would be, before it is written: every tensor with its type, and all metadata.

Nothing but names, shapes and settings is read for it (and what may be left out only if it is zero,
or a copy, and what becomes metadata), and everything that can be refused is refused here.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import REQUIRES_IMPORTANCE
from ..errors import (
    CheckpointError,
    QuantizationError,
    UnsupportedError,
)
from ..file.text import preview, quoted
from ..quantization.imatrix import importance_of, keys_of
from ..reference.architectures import family_of
from ..reference.architectures.family import line_in, number_in
from ..reference.architectures.plan import Origin, draw_plan
from ..reference.facts import LAYERS, Facts
from ..reference.transforms import AsStored, Transformed
from .activation import activation_of
from .draft import Draft, DraftTensor
from .draft_tensors import check_plan, draft_tensors, mostly
from .general import added, general_metadata, given_metadata, quantization_version
from .hyperparameters import MODEL_TYPES, metadata_of, rope_factors_of, unsaid_of
from .loadable import check_classifier, check_loadable, check_zeros
from .pooling import pooling_of
from .storage import chooser, file_type_of, mix_chooser, mix_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..reference.architectures.plan import Plan
    from ..reference.transforms import NamedRows
    from .sources import Source
    from .storage import Choose

__all__ = ["draft_export"]

_HEAD = "lm_head.weight"
_EMBEDDING = "token_embd.weight"
# `load_arch_tensors` creates no output for them: a file with one has a tensor too many
_WITHOUT_OUTPUT = frozenset(["gemma", "gemma2", "command-r", "cohere2"])
# llama.cpp loads none without the number of sequences told apart, which is a tokenizer's key
_WITH_TYPES = frozenset(["bert", "nomic-bert", "nomic-bert-moe"])
# models around a language model that llama.cpp has as one of its own
_AROUND = frozenset((
    "audioflamingo3", "exaone4_5", "idefics3", "internvl", "internvl_chat", "janus", "lfm2_vl",
    "lighton_ocr", "llava", "minicpmv4_6", "qwen2_audio", "smolvlm", "voxtral",
))  # fmt: skip
_OF_THE_WHOLE = ("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
_AT_ONCE = 1 << 22  # values


def draft_export(
    source: Source,
    *,
    tokenizer: Any = None,
    qtype: str | Mapping[str, str] | Choose = "F16",
    metadata: Mapping[str, object] | None = None,
    file_type: str | None = None,
    imatrix: Mapping[str, Any] | None = None,
) -> Draft:
    """Say what would be written, without reading a weight. Parameters as of `export`."""
    source = _language_part(source)
    mix, metadata = mix_of(qtype), given_metadata(metadata)
    choose = chooser("F16" if mix else qtype)
    model_type = str(source.config.get("model_type"))
    if model_type not in MODEL_TYPES:
        raise UnsupportedError(
            f"{source.words}: models of type {quoted(model_type)} can't be exported yet; those of"
            f" type {', '.join(sorted(MODEL_TYPES))} can."
        )
    architecture, settings = metadata_of(source.config, source.tensors)
    family = family_of(architecture)
    assert family is not None  # who has a table of hyper-parameters has one of tensors
    facts = Facts.of(architecture, settings, source.config)
    plan = draw_plan(family, facts, source.tensors)
    _leave_out(plan, facts, source.tensors)
    check_plan(plan, source)
    check_classifier(source.words, facts, plan.origins)
    lines = {name: line_in(family.left_out, family.spell(name)) for name in plan.left_out}
    due = [source.tensors[name] for name, line in lines.items() if line and line.if_zero]
    check_zeros(source.words, due)
    factors = rope_factors_of(source.config)
    if mix:  # it looks at all tensors before it gives one a type
        found = [
            (t.name, t.shape, t.qtype.name) for t in draft_tensors(plan, source, choose, factors)
        ]
        choose = mix_chooser(
            mix, found, {"general.architecture": architecture, **settings}, imatrix
        )
    tensors = tuple(draft_tensors(plan, source, choose, factors))
    _check_importance(tensors, imatrix)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    _correct_width(architecture, settings, shapes)
    check_loadable(source.words, facts, shapes)
    layers = facts.number(LAYERS) or 0
    activation = activation_of(source.words, architecture, layers, source.tensors)
    pooling, other_pooling = pooling_of(source.folder)
    if pooling is not None:
        settings[f"{architecture}.pooling_type"] = pooling
    number = file_type_of(file_type or mostly(mix or qtype, tensors))
    general: dict[str, object] = {
        "general.architecture": architecture,
        "general.type": "model",
        **general_metadata(source.name, source.folder, shapes, source.generation),
    }
    rows = shapes.get(_EMBEDDING, (0,))[0]
    keys: dict[str, object] = {
        **general,
        **settings,
        **activation,
        "general.file_type": number,
        "general.quantization_version": quantization_version(),
        **_vocabulary(source, tokenizer, rows, {**general, **metadata}),
        **(keys_of(imatrix) if imatrix is not None else {}),
    }
    unsaid = {
        name: f"{preview(had)} in config.json, {preview(becomes)} in llama.cpp"
        for name, (had, becomes) in unsaid_of(source.config, architecture, settings, shapes).items()
    }
    if other_pooling:
        unsaid["pooling"] = f"{other_pooling} in modules.json; llama.cpp has mean, cls, lasttoken"
    written = added(keys, metadata)
    if words := _unknown_ends(source, written):
        unsaid["eos_token_id"] = words
    return Draft(written, tensors, plan.left_out, unsaid)


def _language_part(source: Source) -> Source:
    """Take the language model of one that sees or hears for the model, where it is an ordinary one.

    What both parts of the configuration may say, the whole says.
    """
    whole = source.config
    part = whole.get("llm_config" if whole.get("model_type") == "internvl_chat" else "text_config")
    if str(whole.get("model_type")) not in _AROUND or not isinstance(part, dict):
        return source
    shared = {name: whole[name] for name in _OF_THE_WHOLE if whole.get(name) is not None}
    # its class, by which it has a head, stands nowhere
    return replace(source, config={**part, **shared, "architectures": ["ForCausalLM"]})


def _leave_out(plan: Plan, facts: Facts, tensors: Mapping[str, NamedRows]) -> None:
    """Leave out what the table of a family can't know: it depends on the configuration."""
    tied = facts.config.get("tie_word_embeddings")
    output, embedding = plan.origins.get("output.weight"), plan.origins.get(_EMBEDDING)
    why = "tied: the file uses token_embd.weight for the output too"
    if tied is True and output and embedding and _same(output, embedding):
        plan.left_out.update(dict.fromkeys(output.names, why))
        del plan.origins["output.weight"]
    if tied is False and _HEAD in plan.left_out:
        plan.unknown[_HEAD] = f"it is not tied, but {facts.architecture} has no other output"
    elif facts.architecture in _WITHOUT_OUTPUT and _HEAD in tensors and embedding:
        head = Origin((_HEAD,), Transformed(AsStored(), (tensors[_HEAD],)))
        if _same(head, embedding):
            plan.left_out[_HEAD] = why
            plan.unknown.pop(_HEAD, None)
        else:
            plan.unknown[_HEAD] = (
                f"it is not what the embedding is, but {facts.architecture} has no other output"
            )
    if facts.config.get("num_nextn_predict_layers"):
        layers = facts.number(LAYERS) or 0
        for name in [n for n in plan.unknown if (number_in(n) or 0) >= layers]:
            plan.left_out[name] = "of a layer that only predicts further tokens"
            del plan.unknown[name]


def _same(one: Origin, other: Origin) -> bool:
    """Whether two tensors are the same to the last byte; portions of them are read."""
    if one.rows is None or other.rows is None:
        return False  # which is refused later, with the reason
    mine, theirs = one.rows, other.rows
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        return False
    n_rows = prod(mine.shape[:-1])
    step = max(1, _AT_ONCE // max(1, mine.shape[-1]))
    return all(
        np.array_equal(mine.read(at, stop), theirs.read(at, stop))
        for at, stop in ((at, min(at + step, n_rows)) for at in range(0, n_rows, step))
    )


def _check_importance(tensors: tuple[DraftTensor, ...], imatrix: Mapping[str, Any] | None) -> None:
    """Refuse before the work what would fail in its midst."""
    for tensor in tensors:
        if not tensor.quantized:
            continue
        name, importance = tensor.qtype.name, importance_of(imatrix, tensor.name, tensor.shape)
        if importance is None and name in REQUIRES_IMPORTANCE:
            raise QuantizationError(
                f"tensor {quoted(tensor.name)} cannot become {name} without importance. Give an"
                " importance matrix with an entry for it (imatrix=..., --imatrix), or choose more"
                " bits."
            )


def _correct_width(
    architecture: str, settings: dict[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Tell the true width of the feed-forward layers.

    The converter takes it for four times the hidden size in phi-2, bloom and starcoder, whatever
    the checkpoint says. llama.cpp doesn't load a file in which that is wrong.
    """
    key = f"{architecture}.feed_forward_length"
    widths = {shape[-1] for name, shape in shapes.items() if name.endswith(".ffn_down.weight")}
    if len(widths) == 1 and type(settings.get(key)) is int:
        settings[key] = widths.pop()


def _unknown_ends(source: Source, written: Mapping[str, object]) -> str:
    """Say which ends of a reply no key tells, as the converter's keys don't, and no name does."""
    from .tokenizers.comparing import unknown_ends
    from .tokenizers.source import open_source

    generation = source.generation
    if source.folder is not None:
        with open_source(source.folder, source.config) as opened:
            generation = opened.generation
    ends = generation.get("eos_token_id")
    # of a configuration that names no end it is its class's, which nobody chose
    by_default = type(ends) is int and generation.get("_from_model_config") is True
    return "" if by_default else unknown_ends(written, ends)


def _vocabulary(
    source: Source, tokenizer: Any, rows: int, general: Mapping[str, Any]
) -> dict[str, object]:
    architecture = str(general["general.architecture"])
    if tokenizer is False:
        # the converter of most families leaves the number to the tokens
        found = {"tokenizer.ggml.model": "none", f"{architecture}.vocab_size": rows}
        if architecture in _WITH_TYPES:
            found["tokenizer.ggml.token_type_count"] = source.config.get("type_vocab_size", 1)
        return found
    given = source.folder if tokenizer is None else tokenizer
    if given is None:
        raise CheckpointError(
            f"{source.words} comes without a tokenizer: pass tokenizer=..., or False for none."
        )
    from .tokenizers import metadata_of_tokenizer

    return metadata_of_tokenizer(
        given,
        config=source.config,
        vocabulary=rows,
        pre_tokenizer=general.get("tokenizer.ggml.pre"),
        general=general,
    )
