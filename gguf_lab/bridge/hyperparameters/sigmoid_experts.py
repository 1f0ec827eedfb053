"""glm4-moe (GLM 4.5 to 4.7) and dots1: experts that are chosen as deepseek v3 chooses them.

Facts: llama.cpp's converter, classes ``Glm4MoeModel`` and ``Dots1Model``, and the graphs. Of
glm4-moe a layer that predicts a further token counts among the layers of a file; Transformers has
none. A checkpoint that Transformers has saved says that it has one and has no tensors of it: then
the converter counts it, and we do not. dots1 says ``noaux_tc`` of how experts are chosen, which the
converter no longer knows, or nothing, and then llama.cpp ends; its class knows one way, the
sigmoid.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .common import (
    NO_WINDOW,
    OPTIONAL_HEAD_DIM,
    PREDICTORS,
    as_many_heads,
    base,
    biased,
    implied,
    without_predictors,
)
from .config_side import refuse
from .family import Family, Implied, Line, Pair, Rule
from .file_side import REQUIRED
from .glm4 import TURNED
from .mrope import TEXT_ONLY
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["DOTS1", "GLM4MOE"]

_SIGMOID = 2
_GATE, _SCALE = "expert_gating_func", "expert_weights_scale"
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")


def _layers(config: ConfigSide) -> Mapping[str, object]:
    # by their tensors: what Transformers saves has one by its settings alone
    layers = config.layers()
    numbers = {int(found[1]) for found in map(_LAYER.match, config.names) if found}
    more = len({number for number in numbers if number >= layers})
    return {"block_count": layers + more, **({PREDICTORS: more} if more else {})}


def _layers_to_config(file: FileSide) -> Mapping[str, object]:
    return {"num_hidden_layers": without_predictors(file), "num_nextn_predict_layers": 0}


def _sigmoid(_: ConfigSide) -> Mapping[str, object]:
    return {_GATE: _SIGMOID}


def _gate_to_config(file: FileSide) -> Mapping[str, object]:
    if file.count(_GATE, _SIGMOID) != _SIGMOID:
        raise file.unsupported("its experts aren't chosen by the sigmoid")
    return {}


def _shared(config: ConfigSide) -> Mapping[str, object]:
    if not (number := config.count("n_shared_experts")):
        raise refuse("experts without one that is shared: llama.cpp has no such model")
    return {"expert_shared_count": number}


def _shared_to_config(file: FileSide) -> Mapping[str, object]:
    return {"n_shared_experts": file.count("expert_shared_count", least=1)}


def _scale_to_config(file: FileSide) -> Mapping[str, object]:
    return {"routed_scaling_factor": file.number(_SCALE, 0.0) or 1.0}  # zero is none


_EXPERTS: tuple[Line, ...] = (
    Pair("expert_feed_forward_length", ("moe_intermediate_size",), needed=True, absent=REQUIRED),
    Pair("leading_dense_block_count", ("first_k_dense_replace",), needed=True, absent=0),
    Rule(_shared, _shared_to_config),
    Rule(
        Pair(_SCALE, ("routed_scaling_factor",), float, needed=True).to_file,
        _scale_to_config,
    ),
    Pair("expert_weights_norm", ("norm_topk_prob",), bool, needed=True, absent=False),
    biased("attention_bias", "blk.*.attn_q.bias"),
    *implied(hidden_act="silu"),
)

GLM4MOE = Family(
    architectures=("glm4moe",),
    classes={"glm4_moe": "Glm4MoeForCausalLM"},
    lines=base(
        Rule(_layers, _layers_to_config),
        *_EXPERTS,
        Rule(_sigmoid, _gate_to_config),
        TURNED,
        TEXT_ONLY,
        biased("use_qk_norm", "blk.*.attn_q_norm.weight"),
        head_dim=OPTIONAL_HEAD_DIM,
        rope=PARTIAL_ROPE,
    ),
    spelled={"num_local_experts": "n_routed_experts"},
)


def _gate(config: ConfigSide) -> Mapping[str, object]:
    name = config.find("scoring_func")
    if name not in (None, "sigmoid", "noaux_tc"):
        raise config.wrong("scoring_func", name, "sigmoid or noaux_tc")
    return {_GATE: _SIGMOID}


def _slides(config: ConfigSide) -> bool:
    window, length = config.find("sliding_window"), config.find("max_position_embeddings")
    shorter = isinstance(window, int) and isinstance(length, int) and window < length
    return shorter and "sliding_attention" in (config.find("layer_types") or ())


DOTS1 = Family(
    architectures=("dots1",),
    classes={"dots1": "Dots1ForCausalLM"},
    lines=base(
        as_many_heads("dots1"),
        *_EXPERTS,
        NO_WINDOW,
        Implied("layer_types", "full_attention everywhere", when=_slides),
        head_dim=OPTIONAL_HEAD_DIM,
        gate=Rule(_gate, _gate_to_config),
    ),
    spelled={"num_local_experts": "n_routed_experts"},
)
