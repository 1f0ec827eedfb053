"""granite, dense and with experts: llama with four numbers to multiply by. And granite 4.

Facts: llama.cpp's converter, classes ``GraniteModel``, ``GraniteMoeModel`` and
``GraniteHybridModel``, and the graphs. Granite 4 has layers of mamba2 between those of attention;
without any it is a granite in the file, where only the sizes of a state that is not there tell it.
Whether positions are rotary is a key, which the converter writes as in the models published: not
with mamba2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import VOCABULARY, base, biased, implied, limited
from .config_side import real, refuse
from .family import Family, Implied, Pair, Rule
from .rope import llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .family import Line
    from .file_side import FileSide

__all__ = ["GRANITE", "GRANITEHYBRID", "GRANITEMOE"]

_SCALES = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


def _scales_to_file(config: ConfigSide) -> Mapping[str, object]:
    # zero is as good as none
    found = {key: config.find(name) for key, name in _SCALES.items()}
    return {key: real(config, _SCALES[key], value) for key, value in found.items() if value}


def _scales_to_config(file: FileSide) -> Mapping[str, object]:
    absent = {"attention.scale": file.head_size() ** -0.5}
    # a zero means that nothing is multiplied, in the file and to llama.cpp
    read = {key: file.number(key, 0.0) or absent.get(key, 1.0) for key in _SCALES}
    return {_SCALES[key]: value for key, value in read.items()}


def _whole_head(config: ConfigSide) -> Mapping[str, object]:
    return {"rope.dimension_count": config.count("hidden_size") // config.heads()}


_SHARED: tuple[Line, ...] = (
    VOCABULARY,
    Rule(_whole_head),
    Rule(_scales_to_file, _scales_to_config),
    biased("attention_bias", "blk.*.attn_q.bias"),
    *implied(hidden_act="silu"),
)
# head_dim is neither written nor read
_NO_HEAD_DIM = Rule()

_INNER, _SHARED_WIDTH = "ssm.inner_size", "expert_shared_feed_forward_length"
_KV, _ROTARY = "attention.head_count_kv", "rope.scaling.finetuned"
_4 = {"granitemoehybrid": "GraniteMoeHybridForCausalLM"}
_MAMBA = {"mamba", "linear_attention"}
_EXPANDED = 2  # so many times the width are the inner values
_ANY_LENGTH = 2**20


def _is_4(file: FileSide) -> bool:
    return file.has(_INNER)


def _architecture(config: ConfigSide) -> str:
    if _MAMBA & {*config.layer_types()}:
        return "granitehybrid"
    return "granitemoe" if config.find("num_local_experts") else "granite"


def _is_rotary(config: ConfigSide) -> bool:
    return bool(config.find("position_embedding_type") == "rope")


def _state(config: ConfigSide) -> Mapping[str, object]:
    architecture = _architecture(config)
    hybrid, rotary = architecture == "granitehybrid", _is_rotary(config)
    if {*config.layer_types()} <= _MAMBA:
        raise refuse("a granite 4 without attention: llama.cpp ends without any")
    if architecture == "granitemoe" and not rotary:
        raise refuse(
            "a granite 4 with experts, without mamba2 and without rotary positions: llama.cpp"
            " turns them"
        )
    if config.count("mamba_expand") != _EXPANDED:
        raise refuse("a granite 4 with mamba_expand other than 2: llama.cpp ends at it")
    if hybrid and config.find("mamba_conv_bias") is False:
        raise refuse("a granite 4 without mamba_conv_bias: llama.cpp ends without one")
    kv_heads = config.find("num_key_value_heads")
    number = config.heads() if kv_heads is None else config.count("num_key_value_heads")
    written: dict[str, object] = {
        _KV: [0 if kind in _MAMBA else number for kind in config.layer_types()],
        "ssm.conv_kernel": config.count("mamba_d_conv"),
        "ssm.state_size": config.count("mamba_d_state"),
        "ssm.group_count": config.count("mamba_n_groups"),
        _INNER: _EXPANDED * config.count("hidden_size"),
        "ssm.time_step_rank": config.count("mamba_n_heads"),
        _ROTARY: rotary,
    }
    if hybrid and not rotary:
        written["context_length"] = _ANY_LENGTH
    if not config.find("num_local_experts"):
        written["expert_used_count"] = 0  # llama.cpp ends at any other
    return written


def _state_to_config(file: FileSide) -> Mapping[str, object]:
    width, inner = file.count("embedding_length", least=1), file.count(_INNER, least=1)
    heads = file.count("ssm.time_step_rank", least=1)
    if inner != _EXPANDED * width or inner % heads:
        raise file.wrong(_INNER, f"{_EXPANDED * width}, and a multiple of {heads}")
    if file.count("expert_count", 0):
        shared = file.count(_SHARED_WIDTH, 0)
    else:
        shared = file.count("feed_forward_length")
    return {
        **_kinds(file),
        "mamba_expand": _EXPANDED,
        "mamba_d_conv": file.count("ssm.conv_kernel", least=1),
        "mamba_d_state": file.count("ssm.state_size", least=1),
        "mamba_n_groups": file.count("ssm.group_count", least=1),
        "mamba_n_heads": heads,
        "mamba_d_head": inner // heads,
        "position_embedding_type": "rope" if _turns(file) else None,
        "num_local_experts": file.count("expert_count", 0),
        "num_experts_per_tok": file.count("expert_used_count", 0),
        "shared_intermediate_size": shared,
    }


def _turns(file: FileSide) -> bool:
    # llama.cpp reads the key in two of the three
    return file.architecture == "granitemoe" or file.flag(_ROTARY, absent=True)


def _kinds(file: FileSide) -> Mapping[str, object]:
    heads = file.per_layer(_KV)
    numbers = {number for number in heads if number} or {file.count("attention.head_count")}
    if len(numbers) != 1:
        raise file.unsupported(f"{file.name(_KV)} has {len(numbers)} different numbers above zero")
    kinds = ["full_attention" if number else "linear_attention" for number in heads]
    return {"num_key_value_heads": numbers.pop(), "layer_types": kinds}


def _state_of_4(file: FileSide) -> Mapping[str, object]:
    if _is_4(file):
        return _state_to_config(file)
    if not _turns(file):
        raise file.unsupported(f"{file.name(_ROTARY)} is false: only granite 4 has no positions")
    return {}


def _shared_width(config: ConfigSide) -> Mapping[str, object]:
    width = config.find("shared_intermediate_size")
    return {_SHARED_WIDTH: width} if width else {}


# Comes before the two below, whose files may be of it, too.
GRANITEHYBRID = Family(
    architectures=("granitehybrid",),
    classes=_4,
    architecture=_architecture,
    lines=base(
        *_SHARED,
        Rule(_shared_width),
        Rule(_state, _state_to_config),
        Implied("time_step_limit", "no limit", when=limited),
        head_dim=_NO_HEAD_DIM,
        kv_heads=Rule(),
    ),
    factors=llama3_tensor,
)


def _granite_or_4(file: FileSide) -> str:
    return "granitemoehybrid" if _is_4(file) else "granite"


GRANITE = Family(
    architectures=("granite",),
    classes={"granite": "GraniteForCausalLM", **_4},
    model_type=_granite_or_4,
    lines=base(
        *_SHARED,
        biased("mlp_bias", "blk.*.ffn_down.bias"),
        Rule(to_config=_state_of_4),
        head_dim=_NO_HEAD_DIM,
    ),
    factors=llama3_tensor,
)


def _model_type(file: FileSide) -> str:
    if _is_4(file):
        return "granitemoehybrid"
    return "granitemoeshared" if file.count(_SHARED_WIDTH, 0) else "granitemoe"


GRANITEMOE = Family(
    architectures=("granitemoe",),
    classes={
        "granitemoe": "GraniteMoeForCausalLM",
        "granitemoeshared": "GraniteMoeSharedForCausalLM",
        **_4,
    },
    model_type=_model_type,
    lines=base(
        *_SHARED,
        Rule(
            _shared_width,
            Pair(_SHARED_WIDTH, ("shared_intermediate_size",)).to_config,
        ),
        Rule(to_config=_state_of_4),
        head_dim=_NO_HEAD_DIM,
    ),
    factors=llama3_tensor,
)
