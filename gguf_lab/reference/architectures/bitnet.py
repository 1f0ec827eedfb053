"""bitnet: every matrix but the embedding is written as the layers calculate with it, ternary.

Facts: llama.cpp's converter, class ``BitnetModel``. It knows the names of the first bitnet
(1bitLLM), which calls itself llama, and not yet what Transformers calls two norms of a layer.
"""

from __future__ import annotations

from ..transforms import Ternary
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row, Spelling

__all__ = ["BITNET"]

BITNET = Family(
    architectures=("bitnet",),
    model_types=("bitnet",),
    spellings=(
        *SPELLINGS,
        Spelling(".self_attn.attn_sub_norm.", ".self_attn.inner_attn_ln.", "anywhere"),
        Spelling(".mlp.ffn_sub_norm.", ".mlp.ffn_layernorm.", "anywhere"),
    ),
    left_out=LEFT_OUT,
    rows=(Row("*_proj.weight", transform=Ternary()),),
    borrowed=("llama",),
)
