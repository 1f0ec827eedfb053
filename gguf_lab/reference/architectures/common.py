"""Lines that tables of many families share.

Facts: llama.cpp's converter, classes ``ModelBase`` and ``TextModel``, and ``LlamaModel.permute``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import ComparisonError
from ..facts import Quantity
from ..transforms import Added, Chain, Half, Split, Transform, Transpose, UnpermuteRotary, Upright
from .family import LeftOut, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = [
    "EXPERTS",
    "FUSED_EXPERTS",
    "LEFT_OUT",
    "MIXTRAL_EXPERTS",
    "NORMS_PLUS_ONE",
    "PREDICTORS",
    "PREDICTOR_ROWS",
    "ROPE_FACTORS",
    "ROPE_FREQS",
    "ROTARY_ROWS",
    "SPELLINGS",
    "fused_experts",
    "lying_experts",
    "multipliers",
    "split_and_transpose",
    "split_experts",
]

_CONSTANT = "a constant of the attention mask, no weight"
_OTHER_PART = "part of the image or sound encoder, which has a file of its own (mmproj)"

SPELLINGS = (
    # the text part of a model that sees or hears, of one that speaks too
    Spelling("thinker.", ""),
    Spelling("language_model.", "", "anywhere"),
    Spelling("model.model.", "model."),
    # saved without the head on top
    Spelling("layers.", "model.layers."),
    Spelling("embed_tokens.", "model.embed_tokens."),
    Spelling("norm.", "model.norm."),
    Spelling("e_score_correction_bias", "e_score_correction.bias", "end"),
)

PREDICTORS = (
    Spelling("model.mtp.", "mtp."),
    Spelling("mtp.layers.0.", "model.layers.{next}."),
    Spelling("mtp.fc.", "blk.{next}.nextn.eh_proj."),
    Spelling("mtp.pre_fc_norm_embedding.", "blk.{next}.nextn.enorm."),
    Spelling("mtp.pre_fc_norm_hidden.", "blk.{next}.nextn.hnorm."),
    Spelling("mtp.norm.", "blk.{next}.nextn.shared_head_norm."),
)
"""What predicts a further token is a layer after the last."""

_ENCODERS = (
    *("*vision_*", "*vision.*", "*visual.*", "*audio_*", "*audio.*", "*projector.*"),
    *("*patch_merge_mlp.*", "model.connector.*", "*image_newline*", "vit.*", "siglip2.*"),
    *("mlp_AR.*", "mlp1.*", "sound_encoder.*", "sound_projection.*", "speech_embeddings.*"),
    *("model.aligner.*", "model.merger.*"),
    *("model.embed_vision.*", "model.embed_audio.*", "embed_vision.*", "embed_audio.*"),
)
_DRAWS = ("model.vqmodel.*", "model.generation_*")
_SPEAKS = ("talker.*", "code2wav.*", "token2wav.*")

LEFT_OUT = (
    LeftOut("*.rotary_emb.inv_freq", "rotary frequencies are calculated, not stored"),
    LeftOut("*.attention.masked_bias", _CONSTANT),
    LeftOut("*.attention.bias", _CONSTANT),
    *(LeftOut(pattern, _OTHER_PART) for pattern in _ENCODERS),
    *(
        LeftOut(pattern, f"part of what {does}, which the language model is not")
        for does, patterns in (("speaks", _SPEAKS), ("makes images", _DRAWS))
        for pattern in patterns
    ),
)

ROPE_FREQS = LeftOut(
    "rope_freqs.weight",
    "calculated by the converter from the rope scaling in config.json: the checkpoint has"
    " no such tensor",
)

ROPE_FACTORS = LeftOut(
    "rope_factors_*.weight",
    "taken from the rope scaling in config.json: the checkpoint has no such tensor",
)


def _rotary_queries(facts: Facts, layer: int | None) -> UnpermuteRotary:
    return UnpermuteRotary(facts.heads(layer))


def _rotary_keys(facts: Facts, layer: int | None) -> UnpermuteRotary:
    # grouped-query attention: K has fewer heads than Q, of the same size
    return UnpermuteRotary(facts.kv_heads(layer))


ROTARY_ROWS = (
    Row("*q_proj.weight", transform=_rotary_queries),
    Row("*q_proj.bias", transform=_rotary_queries),
    Row("*k_proj.weight", transform=_rotary_keys),
    Row("*k_proj.bias", transform=_rotary_keys),
)

PREDICTOR_ROWS = tuple(
    Row(f"model.layers.{{layer}}.{name}.weight", f"blk.{{layer}}.nextn.{ours}.weight")
    for name, ours in (
        ("eh_proj", "eh_proj"),
        ("enorm", "enorm"),
        ("hnorm", "hnorm"),
        ("embed_tokens", "embed_tokens"),
        ("shared_head.head", "shared_head_head"),
        ("shared_head.norm", "shared_head_norm"),
    )
)
"""A layer that predicts a further token, where ``TensorNameMap`` doesn't know of it yet."""

NORMS_PLUS_ONE = tuple(
    Row(pattern, transform=Added(1))
    for pattern in ("model.norm.weight", "*layernorm.weight", "*.q_norm.weight", "*.k_norm.weight")
)
"""Norms that multiply by 1 + weight, all of a model."""

EXPERTS = tuple(
    stacked(
        f"model.layers.{{layer}}.mlp.experts.{{index}}.{kind}_proj.weight",
        to=f"model.layers.{{layer}}.mlp.experts.{kind}_proj.weight",
    )
    for kind in ("gate", "up", "down")
)
"""Experts with a tensor each."""

MIXTRAL_EXPERTS = tuple(
    stacked(
        f"*layers.{{layer}}.block_sparse_moe.experts.{{index}}.{kind}.weight",
        to=f"layers.{{layer}}.feed_forward.experts.{kind}.weight",
    )
    for kind in ("w1", "w2", "w3")
)
"""The same as mixtral calls them."""


def fused_experts(module: str) -> tuple[Row, ...]:
    """Make rows for all experts of a layer in one tensor, as Transformers 5 holds them.

    Parameters
    ----------
    module : str
        The name of the experts in a layer, such as ``"mlp.experts"``.
    """
    experts = f"model.layers.{{layer}}.{module}"
    gate, up, down = (f"blk.{{layer}}.ffn_{kind}_exps.weight" for kind in ("gate", "up", "down"))
    return tuple(
        row
        for tail in ("", ".weight")
        for row in (
            Row(f"{experts}.gate_up_proj{tail}", gate, Half(0)),
            Row(f"{experts}.gate_up_proj{tail}", up, Half(1)),
            Row(f"{experts}.down_proj{tail}", down),
        )
    )


FUSED_EXPERTS = fused_experts("mlp.experts")


def _turned(columns: Quantity | None, half: int | None, facts: Facts, _: int | None) -> Transform:
    upright = Transpose() if columns is None else Upright(facts.need(columns))
    return upright if half is None else Chain(upright, Half(half))


def lying_experts(
    module: str, columns: tuple[Quantity, Quantity] | tuple[None, None] = (None, None)
) -> tuple[Row, ...]:
    """Make rows for all experts of a layer in one tensor, the matrix of each on its side.

    Parameters
    ----------
    module : str
        As of `fused_experts`.
    columns : two of Quantity, optional
        Of the matrices for gate and up, and for down, if some checkpoints have them upright.
    """
    experts, (inside, outside) = f"model.layers.{{layer}}.{module}", columns
    return (
        *(
            Row(
                f"{experts}.gate_up_proj",
                f"blk.{{layer}}.ffn_{kind}_exps.weight",
                partial(_turned, inside, half),
            )
            for half, kind in enumerate(("gate", "up"))
        ),
        Row(
            f"{experts}.down_proj",
            "blk.{layer}.ffn_down_exps.weight",
            partial(_turned, outside, None),
        ),
    )


def multipliers(facts: Facts, name: str, count: int | None = None) -> tuple[float, ...]:
    """Look up numbers in the configuration; one of them stands alone there."""
    value: Any = facts.config.get(name)
    found = value if count and isinstance(value, list) else [value]
    if len(found) != (count or 1) or not all(type(n) in {int, float} for n in found):
        raise ComparisonError(f"config.json has no {name}, with which the converter multiplies")
    return tuple(float(n) for n in found)


_EXPERT_COUNT = Quantity("number of experts", "expert_count", ("num_experts", "num_local_experts"))


def split_experts(facts: Facts, _: int | None) -> Split:
    """Split the rows of all experts of a layer, which stand one below the other."""
    return Split(facts.need(_EXPERT_COUNT))


def split_and_transpose(facts: Facts, layer: int | None) -> Transform:
    """Split them, the matrix of each on its side."""
    return Chain(split_experts(facts, layer), Transpose())
