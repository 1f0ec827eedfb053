"""t5, mt5 and umt5: encoder and decoder, or the encoder alone.

Facts: llama.cpp's converter, classes ``T5Model`` and ``T5EncoderModel``.
"""

from __future__ import annotations

from .common import LEFT_OUT
from .family import Family, Row

__all__ = ["T5"]

_SHARED = "a copy of the token embedding that encoder and decoder share"

T5 = Family(
    architectures=("t5", "t5encoder"),
    model_types=("t5", "mt5", "umt5"),
    left_out=LEFT_OUT,
    rows=tuple(
        Row(f"{name}.weight", to="shared.weight", copies=_SHARED)
        for name in ("decoder.embed_tokens", "encoder.embed_tokens", "shared")
    ),
)
