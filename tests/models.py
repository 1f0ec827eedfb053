"""The models that tests read: small ones, made by llama.cpp's converter, beside their originals."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "data" / "models"
# Their checkpoints are in few bits: Transformers loads them only with a package for each, or a GPU.
QUANTIZED = frozenset(
    (
        *("deepseek3-fp8", "llama-bitnet", "llama-gptq", "llama-int4-zeros", "llama-int8"),
        *("llama-nvfp4", "qwen3moe-int4", "qwen3moe-nvfp4"),
    )
)
