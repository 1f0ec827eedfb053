"""Transformers, both ways: a GGUF file as a PyTorch model and tokenizer, and out again."""

from __future__ import annotations

from .loading import to_transformers

__all__ = ["to_transformers"]
