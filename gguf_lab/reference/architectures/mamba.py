"""mamba, and falcon_mamba, which has norms more.

Facts: llama.cpp's converter, class ``MambaModel``. The state has no heads to agree on.
"""

from __future__ import annotations

from ..transforms import MinusExp, Squeeze
from .common import LEFT_OUT
from .family import Family, Row

__all__ = ["MAMBA"]

MAMBA = Family(
    architectures=("mamba",),
    model_types=("mamba", "falcon_mamba"),
    left_out=LEFT_OUT,
    rows=(
        Row("*.A_log", transform=MinusExp()),
        Row("*.conv1d.weight", transform=Squeeze()),
    ),
)
