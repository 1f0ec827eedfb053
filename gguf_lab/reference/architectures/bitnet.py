"""bitnet: every matrix but the embedding is written as the layers calculate with it, ternary.

Facts: llama.cpp's converter, class ``BitnetModel``. It knows the names of the first bitnet
(1bitLLM), which calls itself llama, and not yet what Transformers calls two norms of a layer.

It does the same to weights that a checkpoint has ternary already, packed, so that the zeros among
them shrink all others: that is no part of the model, and is shown as the error that it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transforms import Ternary
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["BITNET"]


def _are_trained(facts: Facts) -> bool:
    """Whether the weights are those of the training, not packed."""
    how = facts.config.get("quantization_config")
    if not isinstance(how, dict) or how.get("quant_method") != "bitnet":
        return True
    return bool(how.get("quantization_mode") == "online")


BITNET = Family(
    architectures=("bitnet",),
    model_types=("bitnet",),
    spellings=(
        *SPELLINGS,
        Spelling(".self_attn.attn_sub_norm.", ".self_attn.inner_attn_ln.", "anywhere"),
        Spelling(".mlp.ffn_sub_norm.", ".mlp.ffn_layernorm.", "anywhere"),
    ),
    left_out=LEFT_OUT,
    rows=(Row("*_proj.weight", transform=Ternary(), when=_are_trained),),
    borrowed=("llama",),
)
