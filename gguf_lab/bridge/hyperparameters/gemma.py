"""gemma, gemma2, gemma3 and embeddinggemma.

Facts: llama.cpp's converter, classes ``GemmaModel``, ``Gemma2Model``, ``Gemma3Model`` and
``EmbeddingGemma``, and the graphs. ``query_pre_attn_scalar`` is in no file: llama.cpp knows the 27B
models by their number of layers, and takes the size of a head for all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import (
    CONTEXT,
    HEAD_DIM,
    HEADS,
    KV_HEADS,
    LAYERS,
    SOME_SLIDE,
    WIDTH,
    WIDTH_INSIDE,
    base,
    implied,
    other_base,
    sliding_layers,
    sliding_of,
)
from .config_side import counted, refuse
from .family import Family, Pair, Rule
from .file_side import REQUIRED
from .rope import ROPE, scaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .family import Line
    from .file_side import FileSide

__all__ = ["GEMMA", "GEMMA2", "GEMMA3", "GEMMA_EMBEDDING"]

_RMS = Pair("attention.layer_norm_rms_epsilon", ("rms_norm_eps",), float, True, REQUIRED)
_SIZES: tuple[Line, ...] = (
    CONTEXT,
    WIDTH,
    LAYERS,
    WIDTH_INSIDE,
    HEADS,
    KV_HEADS,
    _RMS,
    HEAD_DIM,
    other_base(),
    Rule(to_config=ROPE.to_config),
)

GEMMA = Family(
    architectures=("gemma",),
    classes={"gemma": "GemmaForCausalLM"},
    lines=(
        *_SIZES,
        *implied(
            hidden_act="gelu_pytorch_tanh", attention_bias=False, use_bidirectional_attention=False
        ),
    ),
)


def _scalar(layers_of_27b: int) -> Rule:
    def to_config(file: FileSide) -> Mapping[str, object]:
        width, heads = file.count("embedding_length"), file.count("attention.head_count", least=1)
        big = file.layers() == layers_of_27b
        return {"query_pre_attn_scalar": width // heads if big else file.head_size()}

    return Rule(to_config=to_config)


_BUILT_IN = implied(hidden_activation="gelu_pytorch_tanh", attention_bias=False)

GEMMA2 = Family(
    architectures=("gemma2",),
    classes={"gemma2": "Gemma2ForCausalLM"},
    lines=(
        *_SIZES,
        Pair("attn_logit_softcapping", ("attn_logit_softcapping",), float, True, 50.0),
        Pair("final_logit_softcapping", ("final_logit_softcapping",), float, True, 30.0),
        Pair("attention.sliding_window", ("sliding_window",), int, True, 4096),
        SOME_SLIDE,
        sliding_layers(2),
        _scalar(46),
        *_BUILT_IN,
    ),
)


def _gemma3_window(config: ConfigSide) -> Mapping[str, object]:
    if "sliding_attention" not in config.layer_types():
        return {}  # with a window, llama.cpp insists on a layer that slides
    return {"attention.sliding_window": config.count("sliding_window")}


def _gemma3_layers(file: FileSide) -> Mapping[str, object]:
    window = file.count("attention.sliding_window", 0)
    sliding = sliding_of(file, 6) if window else [False] * file.layers()
    kinds = ["sliding_attention" if item else "full_attention" for item in sliding]
    return {"layer_types": kinds, **({"sliding_window": window} if window else {})}


def two_ropes(file: FileSide, full: Mapping[str, object]) -> dict[str, object]:
    """Put the settings of layers that see all beside those of layers with a window."""
    local = {"rope_type": "default", "rope_theta": file.positive("rope.freq_base_swa", 10000.0)}
    return {"full_attention": dict(full), "sliding_attention": local}


def _gemma3_rope(file: FileSide) -> Mapping[str, object]:
    full: Any = scaling(file, file.head_size())
    if not file.has("rope.freq_base"):
        full["rope_theta"] = 1_000_000.0  # what the converter writes for a configuration without
    return {"rope_parameters": two_ropes(file, full)}


def _gemma3(*more: Line, scalar: Rule) -> tuple[Line, ...]:
    return base(
        Pair("final_logit_softcapping", ("final_logit_softcapping",), float),
        Rule(_gemma3_window, _gemma3_layers),
        Rule(sliding_layers(6).to_file),
        scalar,
        *_BUILT_IN,
        *more,
        rope=Rule(ROPE.to_file, _gemma3_rope),
    )


GEMMA3 = Family(
    architectures=("gemma3",),
    classes={"gemma3_text": "Gemma3ForCausalLM"},
    also=("gemma3",),
    lines=_gemma3(*implied(use_bidirectional_attention=False), scalar=_scalar(62)),
)


def _as_given(config: ConfigSide) -> Mapping[str, object]:
    # its class halves the window, which is counted to both sides here; the file has the whole
    window = config.given.get("sliding_window")
    if window is None:
        raise config.wrong("sliding_window", window, "the width of the window")
    if len({*config.layer_types()}) < 2:
        raise refuse("an embeddinggemma of one kind of layers: llama.cpp ends without both kinds")
    return {"attention.sliding_window": counted(config, "sliding_window", window)}


GEMMA_EMBEDDING = Family(
    architectures=("gemma-embedding",),
    classes={"gemma3_text": "Gemma3TextModel"},
    lines=_gemma3(Rule(_as_given), *implied(use_bidirectional_attention=True), scalar=_scalar(0)),
)
