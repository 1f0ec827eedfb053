"""mamba, falcon-mamba and mamba2.

Facts: llama.cpp's converter, classes ``MambaModel`` and ``Mamba2Model``, which read ``config.json``
as it is. Of falcon-mamba's two epsilons it writes one; the other, of the norms inside of a layer,
is the default of Transformers in the models published.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from .common import LAYERS, biased, heads_of_state, implied, limited
from .config_side import counted, real, refuse
from .family import Family, Implied, Pair, Rule, Written
from .file_side import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["MAMBA", "MAMBA2"]


def _count(config: ConfigSide, absent: float, *names: str) -> int:
    """Return a whole number, or another where it is absent, null or zero."""
    return counted(config, names[0], config.find(*names) or absent)


def _epsilon(config: ConfigSide) -> float:
    return real(
        config, "layer_norm_epsilon", config.find("layer_norm_epsilon", "rms_norm_eps") or 1e-5
    )


def _sizes(config: ConfigSide) -> Mapping[str, object]:
    width = config.count("hidden_size", "d_model")
    inner = _count(config, 2 * width, "intermediate_size", "d_inner")
    if inner != 2 * width:
        raise refuse("a mamba whose intermediate_size is not twice its hidden_size")
    rank = config.find("time_step_rank", "dt_rank")
    if rank in (None, 0, "auto"):
        rank = -(width // -16)  # a sixteenth of the width, rounded up
    return {
        "embedding_length": width,
        "ssm.conv_kernel": _count(config, 4, "conv_kernel", "d_conv"),
        "ssm.inner_size": inner,
        "ssm.state_size": _count(config, 16, "state_size", "d_state"),
        "ssm.time_step_rank": counted(config, "time_step_rank", rank),
        "attention.layer_norm_rms_epsilon": _epsilon(config),
        "ssm.dt_b_c_rms": config.find("model_type") == "falcon_mamba",
    }


def _sizes_to_config(file: FileSide) -> Mapping[str, object]:
    width, inner = file.count("embedding_length", least=1), file.count("ssm.inner_size", least=1)
    if inner % width:
        raise file.wrong("ssm.inner_size", f"a multiple of {width}")
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "expand": inner // width,
        "conv_kernel": file.count("ssm.conv_kernel", least=1),
        "state_size": file.count("ssm.state_size", least=1),
        "time_step_rank": file.count("ssm.time_step_rank", least=1),
    }


def _model_type(file: FileSide) -> str:
    return "falcon_mamba" if file.flag("ssm.dt_b_c_rms", absent=False) else "mamba"


_UNUSED = (
    Written("context_length", 2**20),  # any length will do
    Written("feed_forward_length", 0),
    Written("attention.head_count", 0),
)
_EPSILON = Rule(
    to_config=Pair(
        "attention.layer_norm_rms_epsilon", ("layer_norm_epsilon",), float, True, REQUIRED
    ).to_config
)

MAMBA = Family(
    architectures=("mamba",),
    classes={"mamba": "MambaForCausalLM", "falcon_mamba": "FalconMambaForCausalLM"},
    model_type=_model_type,
    lines=(
        *_UNUSED,
        LAYERS,
        Rule(_sizes, _sizes_to_config),
        _EPSILON,
        biased("use_bias", "blk.*.ssm_in.bias"),
        biased("use_conv_bias", "blk.*.ssm_conv1d.bias"),
        *implied(hidden_act="silu"),
    ),
    as_saved=lambda _: True,
)


def _sizes2(config: ConfigSide) -> Mapping[str, object]:
    width = config.count("hidden_size", "d_model", "dim")
    expand = real(config, "expand", config.find("expand") or 2)
    inner = _count(config, expand * width, "intermediate_size", "d_inner")
    head = _count(config, 64, "head_dim")
    if inner != expand * width:
        raise refuse("a mamba2 whose intermediate_size is not its hidden_size times expand")
    if inner % head:
        raise config.wrong("head_dim", head, f"a divisor of {inner}, the inner width")
    return {
        "embedding_length": width,
        "ssm.conv_kernel": _count(config, 4, "conv_kernel", "d_conv"),
        "ssm.inner_size": inner,
        "ssm.state_size": _count(config, 128, "state_size", "d_state"),
        "ssm.time_step_rank": inner // head,
        "ssm.group_count": _count(config, 1, "n_groups"),
        "attention.layer_norm_rms_epsilon": _epsilon(config),
    }


def _sizes2_to_config(file: FileSide) -> Mapping[str, object]:
    width, (heads, size) = file.count("embedding_length", least=1), heads_of_state(file)
    if heads * size % width:
        raise file.wrong("ssm.inner_size", f"a multiple of {width}")
    return {
        "hidden_size": width,
        "expand": heads * size // width,
        "num_heads": heads,
        "head_dim": size,
        "conv_kernel": file.count("ssm.conv_kernel", least=1),
        "state_size": file.count("ssm.state_size", least=1),
        "n_groups": file.count("ssm.group_count", least=1),
    }


MAMBA2 = Family(
    architectures=("mamba2",),
    classes={"mamba2": "Mamba2ForCausalLM"},
    lines=(
        *_UNUSED,
        LAYERS,
        Rule(_sizes2, _sizes2_to_config),
        _EPSILON,
        *implied(hidden_act="silu"),
        Implied("time_step_limit", [0.0, inf], when=limited),
    ),
    as_saved=lambda _: True,
)
