"""deepseek2: deepseek v2 and v3, attention with latent keys and values (MLA).

Facts: llama.cpp's converter, class ``DeepseekV2Model``, and its graph. With MLA the file speaks of
one head of keys and values, as large as the latent vector and the part that is turned; the sizes
of the heads that come of it have keys of their own. Of YaRN's two ``mscale`` it has one and takes
the other for equal, as they are in the models published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import VOCABULARY, base, implied
from .config_side import real
from .family import Family, Implied, Pair, Rule
from .file_side import REQUIRED, shortest
from .rope import ROPE, scaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["DEEPSEEK2"]

_SOFTMAX, _SIGMOID = 1, 2
_MSCALE = "rope.scaling.yarn_log_multiplier"


def _attention(config: ConfigSide) -> Mapping[str, object]:
    latent = 512 if config.find("kv_lora_rank") is None else config.count("kv_lora_rank")
    turned = config.count("qk_rope_head_dim")
    return {
        "attention.head_count_kv": 1,
        "attention.kv_lora_rank": latent,
        "attention.key_length": latent + turned,
        "attention.value_length": latent,
        "attention.key_length_mla": config.count("qk_nope_head_dim") + turned,
        "attention.value_length_mla": config.count("v_head_dim"),
        "rope.dimension_count": turned,
    }


def _attention_to_config(file: FileSide) -> Mapping[str, object]:
    turned = file.count("rope.dimension_count", least=1)
    # files from before the converter split the matrix have the heads' own sizes in these
    suffix = "_mla" if file.has("attention.key_length_mla") else ""
    key = file.count(f"attention.key_length{suffix}", least=1)
    if key < turned:
        raise file.wrong(f"attention.key_length{suffix}", f"at least {turned}")
    return {
        "num_key_value_heads": file.count("attention.head_count", least=1),
        "kv_lora_rank": file.count("attention.kv_lora_rank", least=1),
        "q_lora_rank": file.count("attention.q_lora_rank", 0) or None,
        "qk_rope_head_dim": turned,
        "qk_nope_head_dim": key - turned,
        "v_head_dim": file.count(f"attention.value_length{suffix}", least=1),
    }


def _experts(config: ConfigSide) -> Mapping[str, object]:
    experts, dense = config.find("n_routed_experts"), config.find("first_k_dense_replace")
    if dense is None:
        dense = config.layers() if experts is None else 0
    written: dict[str, object] = {
        "leading_dense_block_count": dense,
        "expert_feed_forward_length": config.count("moe_intermediate_size", "intermediate_size"),
        "expert_shared_count": config.find("n_shared_experts") or 0,
    }
    if (scale := config.find("routed_scaling_factor")) is not None:
        written["expert_weights_scale"] = real(config, "routed_scaling_factor", scale)
    if config.find("norm_topk_prob"):
        written["expert_weights_norm"] = True
    if config.find("model_type") == "deepseek_v3" and config.find("scoring_func") is None:
        # its class knows no other, and doesn't say so; llama.cpp would take the softmax
        written["expert_gating_func"] = _SIGMOID
    if (config.find("n_group") or 1) != 1 and not _in_groups(config):
        written |= {"expert_group_count": 1, "expert_group_used_count": 1}
    return written


def _in_groups(config: ConfigSide) -> bool:
    """Whether groups are chosen first: not all of them, and by deepseek v2 only if it says so."""
    limited = config.find("topk_method") == "group_limited_greedy"
    limited |= config.find("model_type") != "deepseek_v2"
    return limited and config.find("n_group") not in (None, 1, config.find("topk_group"))


def _experts_to_config(file: FileSide) -> Mapping[str, object]:
    groups = file.count("expert_group_count", 0) or None
    limited = groups is not None and groups > 1
    found: dict[str, object] = {
        "n_routed_experts": file.count("expert_count", 0) or None,
        "n_group": groups,
        "topk_group": file.count("expert_group_used_count", 0) or None,
        "norm_topk_prob": file.flag("expert_weights_norm", absent=False),
        "routed_scaling_factor": file.number("expert_weights_scale", 0.0) or 1.0,
    }
    if _model_type(file) == "deepseek_v2":
        if file.has("expert_gating_func"):
            found["scoring_func"] = "softmax"
        return {**found, "topk_method": "group_limited_greedy" if limited else "greedy"}
    # layers that predict further tokens aren't written
    found |= {"n_group": groups or 1, "topk_group": found["topk_group"] or 1}
    return {
        **found,
        "scoring_func": "sigmoid",
        "rope_interleave": True,
        "num_nextn_predict_layers": 0,
    }


def _chooses_groups(config: ConfigSide) -> bool:
    # llama.cpp takes the best groups as deepseek v3 does
    return config.find("model_type") == "deepseek_v2" and _in_groups(config)


def _normalizes(config: ConfigSide) -> bool:
    # the first code of deepseek v2 did, and llama.cpp does; its class in Transformers does not
    return config.find("model_type") == "deepseek_v2" and bool(config.find("norm_topk_prob"))


def _model_type(file: FileSide) -> str:
    corrected = file.tensor("blk.*.exp_probs_b.bias")
    gate = file.count("expert_gating_func", _SIGMOID if corrected else _SOFTMAX)
    if gate not in {_SOFTMAX, _SIGMOID}:
        raise file.unsupported("its experts are chosen neither by softmax nor by sigmoid")
    return "deepseek_v3" if gate == _SIGMOID else "deepseek_v2"


def _mscale(config: ConfigSide) -> Mapping[str, object]:
    value = config.rope.get("mscale_all_dim")
    return {} if value is None else {_MSCALE: 0.1 * real(config, "mscale_all_dim", value)}


def _rope_to_config(file: FileSide) -> Mapping[str, object]:
    settings: dict[str, Any] = scaling(file, file.count("rope.dimension_count", least=1))
    if settings["rope_type"] == "yarn" and file.has(_MSCALE):
        # the converter wrote a tenth
        mscale = shortest(round(10 * file.number(_MSCALE), 7))
        settings |= {"mscale": mscale, "mscale_all_dim": mscale}
    return {"rope_parameters": settings}


DEEPSEEK2 = Family(
    architectures=("deepseek2",),
    classes={"deepseek_v2": "DeepseekV2ForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM"},
    model_type=_model_type,
    lines=base(
        Rule(_attention, _attention_to_config),
        VOCABULARY,
        Pair("attention.q_lora_rank", ("q_lora_rank",)),
        Rule(_experts, _experts_to_config),
        Implied("topk_method", "groups by the sum of their two best", when=_chooses_groups),
        Implied("norm_topk_prob", "heeded, unlike in Transformers", when=_normalizes),
        Pair("leading_dense_block_count", ("first_k_dense_replace",), absent=0),
        Pair("expert_feed_forward_length", ("moe_intermediate_size",), absent=REQUIRED),
        Pair("expert_shared_count", ("n_shared_experts",), absent=REQUIRED),
        Rule(_mscale),
        *implied(hidden_act="silu", attention_bias=False),
        head_dim=Rule(),
        kv_heads=Rule(),
        rope=Rule(ROPE.to_file, _rope_to_config),
    ),
    without=("num_local_experts",),
)
