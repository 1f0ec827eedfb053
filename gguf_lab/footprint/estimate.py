"""An estimate of the working memory of llama.cpp's graph: what is certain is said of it, no more.

The allocator of ggml reuses memory from operation to operation, so that the peak of one moment
counts. Two moments are estimated: the logits of a whole micro-batch, and the widest layer beside
the masks of attention. Flash attention is assumed (``-fa auto``): scores are never kept whole,
except where an architecture has a bias in its attention, which flash attention does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..model import Model
    from .hyper import HyperParameters

__all__ = ["FORMULA", "Width", "compute_buffer", "width_of"]

FORMULA: Final = (
    "tokens of a micro-batch × the larger of (4 bytes × (vocabulary + 2 × embedding)) and "
    "(2 bytes × cells of the cache + 4 bytes × the widest layer)"
)
_BIASED: Final = {"t5", "t5encoder"}  # a bias for each pair of positions: scores are kept whole
_SCORES: Final = 3  # scores, bias and softmax


@dataclass(frozen=True, slots=True)
class Width:
    """Numbers that a graph keeps for one token at its widest moments.

    Attributes
    ----------
    output : int
        Logits and what they are made of; 0 if there are no logits.
    layer : int
        The widest layer.
    scores : int
        Times the cells of the cache, where attention keeps its scores.
    """

    output: int
    layer: int
    scores: int


def width_of(model: Model, keys: HyperParameters, *, logits: bool) -> Width:
    """Read the widths from the metadata."""
    embedding = keys.number("embedding_length")
    # As recorded sizes show: eight vectors of a layer live at once in attention, of an encoder that
    # keeps no keys five.
    layer = max(
        (8 if logits else 5) * embedding,
        _inside(model, keys, logits=logits),
        7 * keys.number("ssm.inner_size", 0),
        _absorbed(keys),
    )
    rows = model.tensors["token_embd.weight"].n_rows if "token_embd.weight" in model.tensors else 0
    heads = max(keys.numbers("attention.head_count", 0))
    return Width(
        output=rows + 2 * embedding if logits and rows else 0,
        layer=layer,
        scores=_SCORES * heads if keys.architecture in _BIASED else 0,
    )


def _inside(model: Model, keys: HyperParameters, *, logits: bool) -> int:
    """Count what the second part of a layer keeps: gate, up and their product, or one of them.

    As sizes recorded of thirty shapes show, of one to eight experts, exactly: what flows past it
    has room for four vectors; for two where all fits into what attention has left.
    """
    embedding, wide = keys.number("embedding_length"), max(keys.numbers("feed_forward_length", 0))
    kinds = {tensor.kind for tensor in model.tensors.values()}
    expert = keys.number("expert_feed_forward_length", 0) or wide
    used = keys.number("expert_used_count", 0) if "ffn_down_exps" in kinds else 0
    found = 4 * embedding + used * max(3 * expert, embedding) if used else 0
    if used and "ffn_down" not in kinds:
        return found
    ups = (tensor for tensor in model.tensors.values() if tensor.kind == "ffn_up")
    if "ffn_gate" in kinds or any(tensor.n_rows == 2 * wide for tensor in ups):  # both: phi3
        return max(found, 3 * wide + (4 if wide > 2 * embedding else 2) * embedding)
    return max(found, wide + (4 if logits else 3) * embedding)


def _absorbed(keys: HyperParameters) -> int:
    """Count what latent attention keeps: queries in the space of the keys, and what comes of them.

    As sizes recorded of DeepSeek V3's shapes show: three vectors for each head, and the rotary one.
    """
    if not keys.number("attention.key_length_mla", 0):
        return 0
    heads = max(keys.numbers("attention.head_count", 0))
    latent = keys.number("attention.kv_lora_rank", 0)
    return heads * (3 * latent + keys.number("rope.dimension_count", 0))


def compute_buffer(width: Width, cells: int, tokens: int, *, output: bool = True) -> int:
    """Return the estimate in bytes.

    Parameters
    ----------
    width : Width
    cells : int
        Of the cache, for one sequence: a mask for layers with and one for those without a window.
    tokens : int
        That are computed at once.
    output : bool
        Whether the logits are computed here.
    """
    mask, number = 2, 4  # bytes
    layer = tokens * (mask * cells + number * (width.layer + width.scores * cells))
    return max(layer, tokens * number * width.output if output else 0)
