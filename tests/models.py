"""The models that tests read: small ones, made by llama.cpp's converter, beside their originals."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "data" / "models"
