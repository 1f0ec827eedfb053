"""deepseek v2 and v3 and others with latent keys and values (MLA) in their attention.

Facts: llama.cpp's converter, classes ``DeepseekV2Model``, ``KimiLinearModel``, ``Glm5NextModel``,
``BailingMoeV3Model`` and ``Dots3NoteModel``. It splits the matrix that makes keys and values of the
latent vector: ``k_b`` is applied to the query instead, hence transposed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import ComparisonError
from ..facts import HEADS, LAYERS, WIDTH, Quantity
from ..transforms import (
    AsStored,
    Chain,
    Cut,
    Exp,
    HeadPart,
    MinusExp,
    Product,
    Times,
    Transform,
    Transpose,
)
from .common import EXPERTS, FUSED_EXPERTS, LEFT_OUT, MIXTRAL_EXPERTS, PREDICTOR_ROWS, SPELLINGS
from .family import Family, Row, Spelling, stacked
from .mamba import TIME_STEPS

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = [
    "BAILINGMOE3",
    "DEEPSEEK2",
    "DEEPSEEK32",
    "DOTS3NOTE",
    "GLM5_NEXT",
    "GLM_DSA",
    "KIMI_K3",
    "KIMI_LINEAR",
    "MISTRAL4",
]

_KEY = Quantity("size of a key", "attention.key_length_mla", ())
_ROTATED = Quantity("rotated part of a key", "rope.dimension_count", ("qk_rope_head_dim",))
_VALUE = Quantity("size of a value", "attention.value_length_mla", ("v_head_dim",))
_NOT_ROTATED = Quantity("part of a key that isn't rotated", "", ("qk_nope_head_dim",))


def _keys(facts: Facts, layer: int | None) -> Transform:
    size = facts.in_config(_NOT_ROTATED)
    if size is None:
        size = facts.need(_KEY) - facts.need(_ROTATED)
    return Chain(HeadPart(facts.heads(layer), size), Transpose())


def _values(facts: Facts, layer: int | None) -> Transform:
    return HeadPart(facts.heads(layer), facts.need(_VALUE), at_end=True)


def _unsplit(facts: Facts) -> bool:
    # as files had it before the converter split it
    return any(name.endswith(".attn_kv_b.weight") for name in facts.shapes)


# as Mistral calls them in its own format
_MISTRAL = Spelling(".attention.wkv_b.", ".self_attn.kv_b_proj.", "anywhere")
_MISTRAL_EXPERTS = tuple(
    stacked(
        f"model.layers.{{layer}}.experts.{{index}}.{ours}.weight",
        to=f"model.layers.{{layer}}.mlp.experts.{theirs}_proj.weight",
    )
    for ours, theirs in (("w1", "gate"), ("w2", "down"), ("w3", "up"))
)

_KV_B = "model.layers.{layer}.self_attn.kv_b_proj.weight"

_LATENT = (
    Row(_KV_B, to="model.layers.{layer}.self_attn.k_b_proj.weight", transform=_keys),
    Row(_KV_B, to="model.layers.{layer}.self_attn.v_b_proj.weight", transform=_values),
    Row(_KV_B, when=_unsplit),
)

DEEPSEEK2 = Family(
    architectures=("deepseek2",),
    model_types=("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "youtu"),
    spellings=(*SPELLINGS, _MISTRAL),
    left_out=LEFT_OUT,
    rows=(
        *_LATENT,
        *EXPERTS,
        *_MISTRAL_EXPERTS,
        *FUSED_EXPERTS,
        *PREDICTOR_ROWS,
    ),
    # with MLA the file speaks of one head of keys and values, the checkpoint of as many as queries
    same=(WIDTH, LAYERS, HEADS),
)

# an indexer more, which chooses what is attended to
GLM_DSA = replace(DEEPSEEK2, architectures=("glm-dsa",), model_types=("glm_moe_dsa",))

DEEPSEEK32 = replace(
    GLM_DSA, architectures=("deepseek32",), model_types=("deepseek_v32",), like="glm-dsa"
)

MISTRAL4 = replace(DEEPSEEK2, architectures=("mistral4",), model_types=("mistral4",))

# in most layers a linear attention in its place (KDA)
KIMI_LINEAR = replace(
    DEEPSEEK2,
    architectures=("kimi-linear",),
    model_types=("kimi_linear",),
    spellings=(*SPELLINGS, TIME_STEPS),
    rows=(*_LATENT, *MIXTRAL_EXPERTS, Row("*.A_log", transform=MinusExp())),
)

_LAYER = "model.layers.{layer}"
# a gate of either kind has one name; the file has a place for one of the two in each layer
_GATES = tuple(
    Row(f"{_LAYER}.self_attn.g_proj.weight", f"blk.{{layer}}.{to}.weight")
    for to in ("ssm_g", "attn_gate")
)
_SCORES = tuple(
    Row(
        f"{theirs}_{part}.weight",
        to=f"{ours}_res_score.weight",
        join=lambda _: Product("norm and projection multiplied"),
        place=place,
    )
    for theirs, ours in (
        (f"{_LAYER}.self_attention_res", "blk.{layer}.attn"),
        (f"{_LAYER}.mlp_res", "blk.{layer}.ffn"),
        ("model.output_attn_res", "output"),
    )
    for place, part in enumerate(("norm", "proj"))
)

# layers attend to earlier layers, and experts work in a smaller space
KIMI_K3 = replace(
    KIMI_LINEAR,
    architectures=("kimi-k3",),
    model_types=("kimi_k3",),
    rows=(
        *KIMI_LINEAR.rows,
        *_GATES,
        *_SCORES,
        *(
            Row(
                f"{_LAYER}.block_sparse_moe.routed_expert_{part}.weight",
                to=f"blk.{{layer}}.ffn_routed_{part.removesuffix('_proj')}.weight",
            )
            for part in ("norm", "down_proj", "up_proj")
        ),
    ),
    like="kimi-linear",
)

_GLM5_NEXT_NAMES = (
    # the mixing of several residual streams
    *(
        (f"hc_{where}_{kind}", f"hc_{where}_{kind}.weight")
        for where in ("attn", "ffn")
        for kind in ("fn", "base", "scale")
    ),
    # the indexer, which pools keys before it chooses what is attended to
    ("self_attn.indexer.index_kpool_compress_ape", "indexer_compressor_ape.weight"),
    ("self_attn.indexer.index_kpool_compress_gate", "indexer_compressor_gate.weight"),
    ("self_attn.indexer.wq_b.weight", "indexer.attn_q_b.weight"),
    ("self_attn.indexer.wk.weight", "indexer.attn_k.weight"),
    ("self_attn.indexer.weights_proj.weight", "indexer.proj.weight"),
    ("self_attn.indexer.k_norm.weight", "indexer.k_norm.weight"),
    ("self_attn.indexer.k_norm.bias", "indexer.k_norm.bias"),
)

GLM5_NEXT = replace(
    KIMI_LINEAR,
    architectures=("glm5-next",),
    model_types=("glm5_next",),
    rows=(
        *_LATENT,
        *EXPERTS,
        *PREDICTOR_ROWS,
        Row("*.A_log", transform=MinusExp()),
        *(
            Row(f"model.layers.{{layer}}.{ours}", f"blk.{{layer}}.{theirs}")
            for ours, theirs in _GLM5_NEXT_NAMES
        ),
    ),
    like="kimi-linear",
)

# Ling 3.0: as kimi-linear, but for names, gates and the sign of the decay
BAILINGMOE3 = replace(
    KIMI_LINEAR,
    architectures=("bailingmoe3",),
    model_types=("bailing_hybrid",),
    spellings=(
        *KIMI_LINEAR.spellings,
        Spelling(".attention.dense.", ".attention.o_proj.", "anywhere"),
        Spelling(".attention.", ".self_attn.", "anywhere"),
        Spelling(".expert_bias", ".expert_bias.bias", "end"),
    ),
    rows=(
        *_LATENT,
        *EXPERTS,
        *PREDICTOR_ROWS,
        Row(f"{_LAYER}.final_layernorm.weight", "blk.{layer}.layer_output_norm.weight"),
        Row("*.A_log", transform=Chain(Exp(), Cut(1))),
        Row(f"{_LAYER}.self_attn.f_proj.weight", "blk.{layer}.ssm_f_a.weight"),
        *(
            Row(f"{_LAYER}.self_attn.g_proj.weight", f"blk.{{layer}}.{to}.weight")
            for to in ("ssm_g_a", "attn_gate")
        ),
    ),
    like="kimi-linear",
)

_SLIDING_KEY = Quantity("size of a key of sliding layers", "attention.key_length_mla_swa", ())
_SLIDING_VALUE = Quantity(
    "size of a value of sliding layers", "attention.value_length_mla_swa", ("swa_v_head_dim",)
)
_RANK = Quantity("rank of latent keys", "attention.kv_lora_rank", ("kv_lora_rank",))
_SLIDING_RANK = Quantity(
    "rank of latent keys of sliding layers", "attention.kv_lora_rank_swa", ("swa_kv_lora_rank",)
)
_QUERY_RANK = Quantity("rank of latent queries", "attention.q_lora_rank", ("q_lora_rank",))


def _slides(facts: Facts, layer: int | None) -> bool:
    """Whether a layer attends to a window; one after the last, which predicts, does too."""
    kinds = facts.config.get("layer_types")
    if not isinstance(kinds, list) or layer is None:
        raise ComparisonError("config.json has no layer_types: which layers slide is unknown")
    return layer >= len(kinds) or kinds[layer] == "sliding_attention"


def _dots_keys(facts: Facts, layer: int | None) -> Transform:
    if not _slides(facts, layer):
        return _keys(facts, layer)
    size = facts.need(_SLIDING_KEY) - facts.need(_ROTATED)
    return Chain(HeadPart(facts.heads(layer), size), Transpose())


def _dots_values(facts: Facts, layer: int | None) -> Transform:
    size = facts.need(_SLIDING_VALUE if _slides(facts, layer) else _VALUE)
    return HeadPart(facts.heads(layer), size, at_end=True)


def _rescaled(facts: Facts, rank: Quantity) -> Transform:
    # what the model multiplies behind the norm goes into its weights
    if facts.config.get("apply_mla_qkv_lora_rescale") is not True:
        return AsStored()
    return Times((math.sqrt(facts.need(WIDTH) / facts.need(rank)),))


# sliding layers with sizes of their own between those with an indexer
DOTS3NOTE = replace(
    GLM_DSA,
    architectures=("dots3note",),
    model_types=("dots3_note", "dots3_note_text"),
    spellings=(Spelling("model.mtp.", "model.layers.{next}."), *SPELLINGS),
    rows=(
        Row(_KV_B, f"{_LAYER}.self_attn.k_b_proj.weight", _dots_keys),
        Row(_KV_B, f"{_LAYER}.self_attn.v_b_proj.weight", _dots_values),
        *EXPERTS,
        *PREDICTOR_ROWS,
        Row("*.q_a_layernorm.weight", transform=lambda facts, _: _rescaled(facts, _QUERY_RANK)),
        Row(
            "*.kv_a_layernorm.weight",
            transform=lambda facts, layer: _rescaled(
                facts, _SLIDING_RANK if _slides(facts, layer) else _RANK
            ),
        ),
        Row(f"{_LAYER}.self_attn.g_proj.weight", "blk.{layer}.attn_gate.weight"),
        Row(f"{_LAYER}.self_attn.k_rope_only_layernorm.weight", "blk.{layer}.attn_k_norm.weight"),
    ),
    same=(WIDTH, LAYERS),
    like="glm-dsa",
)
