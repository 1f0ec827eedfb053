"""Families of which little is special: from command-r to starcoder2.

Facts: llama.cpp's converter, classes ``CommandR2Model``, ``Cohere2Model``, ``Exaone4Model``,
``NemotronModel``, ``Olmo2Model``, ``OlmoeModel``, ``SeedOssModel`` and ``StarCoder2Model``, and the
graphs of these families.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import (
    OPTIONAL_HEAD_DIM,
    PREDICTORS,
    SOME_SLIDE,
    VOCABULARY,
    as_many_heads,
    base,
    biased,
    every,
    implied,
    layer_kinds,
    predictors,
    sliding_layers,
    without_predictors,
)
from .config_side import real, refuse
from .family import Family, Implied, Pair, Rule, Written
from .file_side import REQUIRED
from .rope import ROPE, llama3_tensor, part_of, scaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["COHERE", "COHERE2", "EXAONE4", "NEMOTRON", "OLMO2", "OLMOE", "SEED_OSS", "STARCODER2"]

_QKV_BIAS = biased("attention_bias", "blk.*.attn_q.bias")


def _trained_length(config: ConfigSide) -> Mapping[str, object]:
    return {"context_length": config.count("model_max_length", "max_position_embeddings")}


COHERE = Family(
    architectures=("command-r",),
    classes={"cohere": "CohereForCausalLM"},
    lines=base(
        Rule(_trained_length),
        Pair("logit_scale", ("logit_scale",), float, needed=True, absent=1.0),
        Written("rope.scaling.type", "none"),
        biased("use_qk_norm", "blk.*.attn_q_norm.weight"),
        _QKV_BIAS,
        *implied(hidden_act="silu"),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
)


def _cohere2_rope(config: ConfigSide) -> Mapping[str, object]:
    # published configurations have rotary_pct, those that Transformers saves have not
    part = 1.0 if (part := config.find("rotary_pct")) is None else real(config, "rotary_pct", part)
    size = config.count("hidden_size") // config.heads()
    return {"rope.dimension_count": int(part * size)}


def _cohere2_rope_to_config(file: FileSide) -> Mapping[str, object]:
    size = file.width_of_head()
    turned = file.count("rope.dimension_count", size, least=1)
    return {"rotary_pct": part_of(turned, size), "rope_parameters": scaling(file, turned)}


def _no_bias(_: FileSide) -> Mapping[str, object]:
    # no `Implied`: a checkpoint with biases is exported if they are zero, which changes nothing
    return {"attention_bias": False}


COHERE2 = Family(
    architectures=("cohere2",),
    classes={"cohere2": "Cohere2ForCausalLM"},
    lines=base(
        Pair("logit_scale", ("logit_scale",), float, needed=True, absent=REQUIRED),
        Pair("attention.sliding_window", ("sliding_window",), needed=True, absent=REQUIRED),
        SOME_SLIDE,
        sliding_layers(4),
        VOCABULARY,
        Rule(_cohere2_rope),
        Written("rope.scaling.type", "none"),
        *implied(hidden_act="silu"),
        Rule(to_config=_no_bias),
        rope=Rule(ROPE.to_file, _cohere2_rope_to_config),
    ),
)


def _exaone4_layers(config: ConfigSide) -> Mapping[str, object]:
    more = predictors(config)
    return {"block_count": config.layers() + more, **({PREDICTORS: more} if more else {})}


def _exaone4_layers_to_config(file: FileSide) -> Mapping[str, object]:
    return {"num_hidden_layers": without_predictors(file)}


def _exaone4_window(config: ConfigSide) -> Mapping[str, object]:
    windowed = config.find("sliding_window") is not None
    if config.layers() == 64 and not (windowed and any(_exaone4_pattern(config))):
        raise refuse("an exaone4 of 64 layers of which none slides: llama.cpp lets them slide")
    if not windowed:
        return {}
    return {
        "attention.sliding_window": config.count("sliding_window"),
        "attention.sliding_window_pattern": _exaone4_pattern(config),
    }


def _exaone4_pattern(config: ConfigSide) -> list[bool]:
    pattern, layers = config.find("sliding_window_pattern"), config.layers()
    if "layer_types" not in config.values and isinstance(pattern, str) and pattern:
        return [pattern[index % len(pattern)] == "L" for index in range(layers)]  # "LLLG"
    return [kind == "sliding_attention" for kind in config.layer_types()]


def _exaone4_loses_window(config: ConfigSide) -> bool:
    # llama.cpp knows the size that slides by its layers, and lets no other slide
    return bool(_exaone4_window(config)) and config.layers() != 64


def _exaone4_sees_all(config: ConfigSide) -> bool:
    return _exaone4_loses_window(config) and any(_exaone4_pattern(config))


def _exaone4_turns_all(config: ConfigSide) -> bool:
    # with a window, even one that is never full, only the layers that slide know positions
    return _exaone4_loses_window(config) and not all(_exaone4_pattern(config))


def _exaone4_window_to_config(file: FileSide) -> Mapping[str, object]:
    layers, key = without_predictors(file), "attention.sliding_window_pattern"
    if not (window := file.count("attention.sliding_window", 0)):
        return {"sliding_window": None, "layer_types": layer_kinds([False] * layers)}
    sliding = file.flags_per_layer(key, layers) if file.has(key) else every(4, layers)
    return {"sliding_window": window, "layer_types": layer_kinds(sliding)}


EXAONE4 = Family(
    architectures=("exaone4",),
    classes={"exaone4": "Exaone4ForCausalLM"},
    lines=base(
        VOCABULARY,
        Rule(_exaone4_layers, _exaone4_layers_to_config),
        Rule(_exaone4_window, _exaone4_window_to_config),
        *implied(hidden_act="silu"),
        Implied("sliding_window", None, when=_exaone4_sees_all),
        Implied("layer_types", "positions in all layers", when=_exaone4_turns_all),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    factors=llama3_tensor,
)


def _nemotron_rope(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 0.5))
    size = int(part * config.count("hidden_size")) // config.heads()
    factor = config.find("factor") or config.rope.get("factor")
    written: dict[str, object] = {"rope.dimension_count": size, "rope.scaling.type": "none"}
    if factor is not None:
        written["rope.scaling.type"] = "linear"
        written["rope.scaling.factor"] = real(config, "factor", factor)
    return written


def _nemotron_rope_to_config(file: FileSide) -> Mapping[str, object]:
    # the part was taken of width / heads, also where head_dim is another number
    turned = file.count("rope.dimension_count", file.width_of_head(), least=1)
    heads, width = file.count("attention.head_count"), file.count("embedding_length")
    part = turned * heads / width
    if int(part * width) // heads != turned:
        part = part_of(turned * heads, width)
    settings = scaling(file, int(file.head_size() * part))
    return {"rope_parameters": {**settings, "partial_rotary_factor": part}}


NEMOTRON = Family(
    architectures=("nemotron",),
    classes={"nemotron": "NemotronForCausalLM"},
    lines=base(
        VOCABULARY,
        Pair("attention.layer_norm_epsilon", ("norm_eps",), float, needed=True, absent=REQUIRED),
        Rule(_nemotron_rope),
        _QKV_BIAS,
        biased("mlp_bias", "blk.*.ffn_down.bias"),
        *implied(hidden_act="relu2"),
        rope=Rule(ROPE.to_file, _nemotron_rope_to_config),
    ),
    without=("rms_norm_eps", "layer_norm_eps"),
)


def _is_olmo3(file: FileSide) -> str:
    return "olmo3" if file.count("attention.sliding_window", 0) else "olmo2"


def _olmo3_window(config: ConfigSide) -> Mapping[str, object]:
    if "sliding_window" not in config.values:
        return {}
    sliding = [kind == "sliding_attention" for kind in config.layer_types()]
    if not any(sliding):
        return {}  # with a window, llama.cpp insists on a layer that slides
    return {
        "attention.sliding_window": config.count("sliding_window"),
        "attention.sliding_window_pattern": sliding,
    }


def _olmo_rope_to_config(file: FileSide) -> Mapping[str, object]:
    full: Any = ROPE.to_config(file)["rope_parameters"]
    if _is_olmo3(file) == "olmo2":
        return {"rope_parameters": full}
    # layers with a window aren't scaled; their own base is read by llama.cpp, and not used
    sliding = {"rope_type": "default", "rope_theta": full["rope_theta"]}
    settings = {"full_attention": full, "sliding_attention": sliding}
    return {"rope_parameters": settings, **_exaone4_window_to_config(file)}


OLMO2 = Family(
    architectures=("olmo2",),
    classes={"olmo2": "Olmo2ForCausalLM", "olmo3": "Olmo3ForCausalLM"},
    model_type=_is_olmo3,
    lines=base(
        Rule(_olmo3_window),
        *implied(hidden_act="silu", attention_bias=False),
        head_dim=OPTIONAL_HEAD_DIM,
        rope=Rule(ROPE.to_file, _olmo_rope_to_config),
    ),
)

STARCODER2 = Family(
    architectures=("starcoder2",),
    classes={"starcoder2": "Starcoder2ForCausalLM"},
    lines=base(
        biased("use_bias", "blk.*.attn_q.bias"),
        *implied(hidden_act="gelu_pytorch_tanh", sliding_window=None),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    spelled={"layer_norm_eps": "norm_epsilon"},
)


OLMOE = Family(
    architectures=("olmoe",),
    classes={"olmoe": "OlmoeForCausalLM"},
    lines=base(
        as_many_heads("olmoe"),
        _QKV_BIAS,
        *implied(hidden_act="silu", norm_topk_prob=False, clip_qkv=None),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    spelled={"num_local_experts": "num_experts"},
)

SEED_OSS = Family(
    architectures=("seed_oss",),
    classes={"seed_oss": "SeedOssForCausalLM"},
    lines=base(
        _QKV_BIAS,
        *implied(hidden_act="silu", attention_out_bias=False, mlp_bias=False),
    ),
)
