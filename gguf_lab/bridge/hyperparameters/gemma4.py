"""The text part of gemma4: two sizes of heads, shared keys and values, embeddings per layer.

Facts: llama.cpp's converter, class ``Gemma4Model``; ``Gemma4TextConfig`` of Transformers, which
keeps what differs from layer to layer in ``per_layer_config``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .common import KV_HEADS, SOME_SLIDE, WIDTH_INSIDE, base, implied, layer_kinds
from .config_side import counted, refuse
from .family import Family, Implied, Pair, Rule
from .gemma import two_ropes
from .rope import FREQS, ROPE, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["GEMMA4"]

_KV, _KV_GLOBAL = "num_key_value_heads", "num_global_key_value_heads"


def _of_full_layers(config: ConfigSide, name: str, name_there: str) -> Any:
    """Find a setting of the layers that see all, in either of the places it may be."""
    if (value := config.find(name)) is not None:
        return value
    kinds, per_layer = config.layer_types(), config.find("per_layer_config") or {}
    found = (
        there[name_there]
        for index, there in per_layer.items()
        if int(index) < len(kinds) and kinds[int(index)] == "full_attention" and name_there in there
    )
    return next(found, None)


def _full_size(config: ConfigSide) -> int:
    size = _of_full_layers(config, "global_head_dim", "head_dim")
    return counted(config, "global_head_dim", size)


def _to_file(config: ConfigSide) -> Mapping[str, object]:
    sliding = [kind == "sliding_attention" for kind in config.layer_types()]
    shared, full, local = (
        config.count("num_kv_shared_layers"),
        _full_size(config),
        config.count("head_dim"),
    )
    width, first = config.count("intermediate_size"), len(sliding) - shared
    # the layer whose keys it takes, whatever that is
    taken = {True: first - 2, False: first - 1}
    if any(taken[s] < 0 or sliding[taken[s]] != s for s in sliding[first:]):
        raise refuse(
            f"a gemma4 whose layers {first - 2} and {first - 1}, the last with keys of their own,"
            " aren't one with a window and one that sees all: llama.cpp shares the keys of these"
        )
    written: dict[str, object] = {
        "attention.sliding_window": config.count("sliding_window"),
        "attention.shared_kv_layers": shared,
        "embedding_length_per_layer_input": config.find("hidden_size_per_layer_input") or 0,
        "attention.sliding_window_pattern": sliding,
        "attention.key_length": full,
        "attention.value_length": full,
        "attention.key_length_swa": local,
        "attention.value_length_swa": local,
        "rope.dimension_count": full,
        "rope.dimension_count_swa": int(local * config.rope.get("partial_rotary_factor", 1.0)),
    }
    experts = config.find("expert_intermediate_size", "moe_intermediate_size")
    if experts is not None:
        written["expert_feed_forward_length"] = counted(config, "moe_intermediate_size", experts)
    if config.find("use_double_wide_mlp"):
        written["feed_forward_length"] = [
            width if layer < first else 2 * width for layer in range(len(sliding))
        ]
    heads, heads_full = config.find(_KV), _of_full_layers(config, _KV_GLOBAL, _KV)
    if heads is not None and heads_full is not None:
        written["attention.head_count_kv"] = [heads if s else heads_full for s in sliding]
    return written


def _kv_heads(file: FileSide, sliding: list[bool]) -> dict[str, object]:
    heads = file.per_layer("attention.head_count_kv")
    local = {number for number, slides in zip(heads, sliding, strict=True) if slides}
    full = {number for number, slides in zip(heads, sliding, strict=True) if not slides}
    if len(local) > 1 or len(full) > 1:
        raise file.unsupported("more than two numbers of heads of keys and values")
    # full layers may take their keys for values
    without = any(
        not slides and not file.tensor(f"blk.{layer}.attn_v.weight")
        for layer, slides in enumerate(sliding)
        if file.tensor(f"blk.{layer}.attn_k.weight")
    )
    found: dict[str, object] = {_KV: max(local or full), "attention_k_eq_v": without}
    if full and full != local:
        if not without:
            raise file.unsupported("other numbers of heads in layers that have values of their own")
        found[_KV_GLOBAL] = full.pop()
    return found


def _width(file: FileSide) -> dict[str, object]:
    widths = file.per_layer("feed_forward_length")
    narrow = widths[0]
    first = file.layers() - file.count("attention.shared_kv_layers", 0)
    wide = [narrow if layer < first else 2 * narrow for layer in range(len(widths))]
    if widths not in ([narrow] * len(widths), wide):
        raise file.unsupported(f"{file.name('feed_forward_length')} differs from layer to layer")
    return {
        "intermediate_size": narrow,
        "use_double_wide_mlp": widths == wide and first < len(widths),
    }


def _per_layer_inputs(file: FileSide) -> dict[str, object]:
    found: dict[str, object] = {
        "hidden_size_per_layer_input": file.count("embedding_length_per_layer_input", 0)
    }
    if found["hidden_size_per_layer_input"]:
        rows = file.shape("per_layer_token_embd.weight")[0]
        found["vocab_size_per_layer_input"] = rows
    return found


def _experts(file: FileSide) -> dict[str, object]:
    if not (number := file.count("expert_count", 0)):
        return {"enable_moe_block": False}
    return {
        "enable_moe_block": True,
        "num_experts": number,
        "top_k_experts": file.count("expert_used_count", least=1),
        "moe_intermediate_size": file.count("expert_feed_forward_length", least=1),
    }


def _to_config(file: FileSide) -> Mapping[str, object]:
    sliding = file.flags_per_layer("attention.sliding_window_pattern")
    return {
        "layer_types": layer_kinds(sliding),
        "head_dim": file.count("attention.key_length_swa", least=1),
        "global_head_dim": file.head_size(),
        "num_kv_shared_layers": file.count("attention.shared_kv_layers", 0),
        "sliding_window": file.count("attention.sliding_window", least=1),
        **_kv_heads(file, sliding),
        **_width(file),
        **_per_layer_inputs(file),
        **_experts(file),
    }


def _rope_to_config(file: FileSide) -> Mapping[str, object]:
    size = file.head_size()
    turned = size
    if FREQS in file.shapes:
        if len(values := [*file.factors.get(FREQS, ())]) != size // 2:
            raise file.unsupported(f"{size // 2} values of {FREQS} are needed")
        # a pair that isn't turned has a factor of 1e30
        turned = 2 * sum(value == 1 for value in values)
        if any(value not in {1.0, float(np.float32(1e30))} for value in values):
            raise file.unsupported(f"{FREQS} scales frequencies")
    full = {
        "rope_type": "proportional",
        "rope_theta": file.positive("rope.freq_base", 10000.0),
        "partial_rotary_factor": part_of(turned, size),
    }
    local = file.count("attention.key_length_swa", least=1)
    if file.count("rope.dimension_count_swa", local) != local:
        raise file.unsupported("heads with a window are turned in part")
    return {"rope_parameters": two_ropes(file, full)}


def _sees_both_sides(config: ConfigSide) -> bool:
    # "vision" is about pictures, which this part of the model doesn't see
    return bool(config.find("use_bidirectional_attention") == "all")


def _factors(config: ConfigSide) -> Mapping[str, npt.NDArray[np.float32]]:
    settings = config.rope.get("full_attention", {})
    if settings.get("rope_type") != "proportional" or settings.get("factor", 1.0) != 1:
        raise refuse("a gemma4 whose full layers aren't turned proportionally, by a factor of 1")
    size = _full_size(config)
    turned = int(size * settings.get("partial_rotary_factor", 1.0) / 2)
    values = [1.0] * turned + [1e30] * (size // 2 - turned)
    return {FREQS: np.array(values, np.float32)}


GEMMA4 = Family(
    architectures=("gemma4",),
    classes={"gemma4_text": "Gemma4ForCausalLM"},
    also=("gemma4",),
    lines=base(
        SOME_SLIDE,
        Rule(_to_file, _to_config),
        Pair("final_logit_softcapping", ("final_logit_softcapping",), float),
        *implied(hidden_activation="gelu_pytorch_tanh", attention_bias=False),
        Implied(
            "use_bidirectional_attention", "only in layers with a window", when=_sees_both_sides
        ),
        rope=Rule(ROPE.to_file, _rope_to_config),
        kv_heads=Rule(KV_HEADS.to_file),
        width_inside=Rule(WIDTH_INSIDE.to_file),
    ),
    factors=_factors,
    without=("num_local_experts", "num_experts_per_tok"),
)
