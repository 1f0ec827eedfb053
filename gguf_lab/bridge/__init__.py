"""Transformers, both ways: a GGUF file as a PyTorch model and tokenizer, and out again."""

from __future__ import annotations

from .chat import ChatPrompt, chat_prompt
from .exporting import export
from .loading import to_transformers

__all__ = ["ChatPrompt", "chat_prompt", "export", "to_transformers"]
