"""Transformers, both ways: a GGUF file as a PyTorch model and tokenizer, and out again."""

from __future__ import annotations

__all__: list[str] = []
