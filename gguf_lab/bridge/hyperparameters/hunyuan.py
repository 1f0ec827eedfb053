"""hunyuan, dense.

Facts: llama.cpp's converter, class ``HunYuanModel``, and the graph. The models published stretch
the base of the rotary embedding by a number, ``alpha``, and call that ``dynamic``: the file has the
base that comes of it, and always a context of 262,144. What is of experts in ``config.json`` is not
written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .common import base, biased, implied
from .config_side import real, refuse
from .family import Family, Rule
from .rope import DIMENSION_SECTIONS, ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["HUNYUAN"]

_CONTEXT, _BASE = 256 * 1024, 10000.0
_LENGTHS = (32 * 1024, _CONTEXT)
_LENGTH_BEFORE = "rope.scaling.original_context_length"
_END = "tokenizer.ggml.eos_token_id"
_DIGITS = 17


def _stretched(alpha: float, size: int) -> float:
    return float(_BASE * alpha ** (size / (size - 2)))


def _alpha(config: ConfigSide) -> Mapping[str, object]:
    if str(config.rope.get("rope_type")) != "dynamic":
        return {}
    alpha, size = real(config, "alpha", config.rope.get("alpha") or 0), config.head_size()
    if alpha <= 0:
        raise refuse("a dynamic rotary embedding without alpha: llama.cpp has no such thing")
    if size < 4:
        raise refuse(f"a rotary embedding with alpha and heads of {size}")
    theta, length = config.rope.get("rope_theta"), config.count("max_position_embeddings")
    if theta != _BASE or length not in _LENGTHS:
        raise refuse(
            f"alpha with a rotary base of {theta!r:.20} and a context of {length}: llama.cpp's"
            f" converter knows it with {_BASE} and one of {_LENGTHS}"
        )
    stretched = _stretched(alpha, size)
    if not stretched < float(np.finfo(np.float32).max):
        raise refuse(f"a rotary embedding with an alpha of {alpha}")
    return {
        "rope.freq_base": stretched,
        "rope.scaling.type": "none",
        "rope.scaling.factor": 1.0,
        _LENGTH_BEFORE: _CONTEXT,
        "context_length": _CONTEXT,
    }


def _rope_to_config(file: FileSide) -> Mapping[str, object]:
    for key in (DIMENSION_SECTIONS, "rope.scaling.alpha"):
        if file.has(key):
            raise file.unsupported(f"this one has {file.name(key)}, as those that see")
    settings: dict[str, Any] = dict(ROPE.to_config(file)["rope_parameters"])  # type: ignore[call-overload]
    size, found = file.head_size(), file.positive("rope.freq_base", _BASE)
    stretches = file.text("rope.scaling.type", "linear") == "none" and file.has(_LENGTH_BEFORE)
    if not stretches or size < 4 or file.count("context_length") != _CONTEXT:
        return {"rope_parameters": settings}
    # the shortest number of which the same base comes
    exact = (found / _BASE) ** ((size - 2) / size)
    for digits in range(_DIGITS):
        alpha = float(round(exact, digits))
        if alpha > 0 and np.float32(_stretched(alpha, size)) == np.float32(found):
            stretched = {"rope_type": "dynamic", "rope_theta": _BASE, "alpha": alpha, "factor": 1.0}
            return {"rope_parameters": stretched}
    return {"rope_parameters": settings}


def _end(file: FileSide) -> Mapping[str, object]:
    # the converter writes the end of a document as the end of a text
    return {"eod_token_id": file.count(_END) if file.has(_END) else None}


HUNYUAN = Family(
    architectures=("hunyuan-dense",),
    classes={"hunyuan_v1_dense": "HunYuanDenseV1ForCausalLM"},
    lines=base(
        Rule(_alpha),
        Rule(to_config=_end),
        biased("attention_bias", "blk.*.attn_q.bias"),
        *implied(hidden_act="silu"),
        rope=Rule(ROPE.to_file, _rope_to_config),
        expert_count=Rule(),
    ),
)
