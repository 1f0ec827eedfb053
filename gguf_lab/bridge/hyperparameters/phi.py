"""phi-2 and phi-3 (phi-4 too).

Facts: llama.cpp's converter, classes ``Phi2Model`` and ``Phi3MiniModel``. llama.cpp leaves the
sliding window of phi-3 unused for now; the file has it, and so has the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .common import CONTEXT, HEADS, KV_HEADS, LAYERS, WIDTH, WIDTH_INSIDE, implied, other_base
from .config_side import refuse
from .family import Family, Implied, Pair, Rule, always
from .file_side import REQUIRED
from .rope import LONG, PARTIAL_ROPE, SHORT, longrope_attention

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["PHI2", "PHI3"]


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = config.rope.get("partial_rotary_factor", 1.0)
    return {"rope.dimension_count": int(part * config.count("hidden_size")) // config.heads()}


def _phi2_sizes(config: ConfigSide) -> Mapping[str, object]:
    # as the converter has it, whatever intermediate_size says
    if config.find("num_key_value_heads") not in (None, config.heads()):
        raise refuse("a phi-2 with fewer heads of keys than of queries: llama.cpp can't load it")
    return {
        "feed_forward_length": 4 * config.count("hidden_size"),
        "attention.head_count_kv": config.heads(),
    }


def _phi2_sizes_to_config(file: FileSide) -> Mapping[str, object]:
    if file.tensor("blk.0.attn_k.weight"):
        rows = file.shape("blk.0.attn_k.weight")[0]
    else:
        rows = (file.shape("blk.0.attn_qkv.weight")[0] - file.count("embedding_length")) // 2
    return {
        "intermediate_size": file.shape("blk.0.ffn_up.weight")[0],
        "num_key_value_heads": rows // file.head_size(),
    }


PHI2 = Family(
    architectures=("phi2",),
    classes={"phi": "PhiForCausalLM"},
    lines=(
        CONTEXT,
        WIDTH,
        Rule(_phi2_sizes, _phi2_sizes_to_config),
        LAYERS,
        HEADS,
        Pair("attention.layer_norm_epsilon", ("layer_norm_eps",), float, True, REQUIRED),
        Rule(_turned, PARTIAL_ROPE.to_config),
        other_base(),
        *implied(hidden_act="gelu_new", qk_layernorm=False),
    ),
)


def _phi3_rope(config: ConfigSide) -> Mapping[str, object]:
    length = _original_length(config)
    written: dict[str, object] = {
        "rope.scaling.original_context_length": length,
        "rope.freq_base": float(config.rope["rope_theta"]),
        **_turned(config),
    }
    if config.rope.get("long_factor"):
        scale = config.count("max_position_embeddings") / length
        kind = str(config.rope.get("rope_type", "")).lower()
        if kind in {"su", "longrope"}:
            written["rope.scaling.attn_factor"] = longrope_attention(scale, length)
        elif kind == "yarn":
            written["rope.scaling.attn_factor"] = 0.1 * np.log(scale) + 1 if scale > 1 else 1.0
        else:
            raise refuse(f"phi3 with rope_type {kind!r}")
    return written


def _original_length(config: ConfigSide) -> int:
    length = config.rope.get("original_max_position_embeddings")
    if isinstance(length, bool) or not isinstance(length, int) or length < 2:
        raise config.wrong("original_max_position_embeddings", length, "a number of tokens")
    return length


def _phi3_rope_to_config(file: FileSide) -> Mapping[str, object]:
    length = file.count("rope.scaling.original_context_length", file.count("context_length"))
    return {**PARTIAL_ROPE.to_config(file), "original_max_position_embeddings": length}


def _phi3_factors(config: ConfigSide) -> Mapping[str, npt.NDArray[np.float32]]:
    lists: dict[str, Any] = {
        LONG: config.rope.get("long_factor"),
        SHORT: config.rope.get("short_factor"),
    }
    if not lists[LONG]:
        return {}
    return {name: np.array(values, np.float32) for name, values in lists.items()}


def _window(config: ConfigSide) -> Mapping[str, object]:
    # zero tells a phi-4 from the others
    return {"attention.sliding_window": config.find("sliding_window") or 0}


def _window_to_config(file: FileSide) -> Mapping[str, object]:
    return {"sliding_window": file.count("attention.sliding_window", 0) or None}


PHI3 = Family(
    architectures=("phi3",),
    classes={"phi3": "Phi3ForCausalLM"},
    lines=(
        CONTEXT,
        WIDTH,
        WIDTH_INSIDE,
        LAYERS,
        HEADS,
        KV_HEADS,
        Pair("attention.layer_norm_rms_epsilon", ("rms_norm_eps",), float, True, REQUIRED),
        Rule(_phi3_rope, _phi3_rope_to_config),
        Rule(_window, _window_to_config),
        # the loader reads it, and says that it is not used for now
        Implied("sliding_window", None, when=always),
        *implied(hidden_act="silu"),
    ),
    factors=_phi3_factors,
)
