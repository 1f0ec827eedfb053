"""phi-2 and phi-3 (with phi-4, which calls itself phi3).

Facts: llama.cpp's converter, classes ``Phi2Model`` and ``Phi3MiniModel``. What phi-3 has fused,
QKV and gate with up, stays fused in the file.
"""

from __future__ import annotations

from .common import LEFT_OUT, ROPE_FACTORS, SPELLINGS
from .family import Family

__all__ = ["PHI2", "PHI3"]

PHI2 = Family(architectures=("phi2",), model_types=("phi",), spellings=SPELLINGS, left_out=LEFT_OUT)

PHI3 = Family(
    architectures=("phi3",),
    model_types=("phi3",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    made_up=(ROPE_FACTORS,),
)
