"""gpt2, and starcoder (``gpt_bigcode``), which came from it.

Facts: llama.cpp's converter, classes ``GPT2Model`` and ``StarCoderModel``; ``Conv1D`` in
Transformers, whose weight is that of a linear layer transposed.
"""

from __future__ import annotations

from ..transforms import Transpose
from .common import LEFT_OUT
from .family import Family, LeftOut, Row, Spelling

__all__ = ["GPT2", "STARCODER"]

_CONSTANT = "a constant of the attention mask, no weight"

GPT2 = Family(
    architectures=("gpt2",),
    model_types=("gpt2",),
    # saved without the head on top
    spellings=tuple(
        Spelling(name, f"transformer.{name}") for name in ("h.", "wte.", "wpe.", "ln_f.")
    ),
    left_out=(
        *LEFT_OUT,
        LeftOut("*.attn.bias", _CONSTANT),
        LeftOut("*.attn.masked_bias", _CONSTANT),
    ),
    rows=(
        Row("*.c_attn.weight", transform=Transpose()),
        Row("*.c_proj.weight", transform=Transpose()),
        Row("*.c_fc.weight", transform=Transpose()),
    ),
)

STARCODER = Family(architectures=("starcoder",), model_types=("gpt_bigcode",), left_out=LEFT_OUT)
