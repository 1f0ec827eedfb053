"""Transformers, both ways: a GGUF file as a PyTorch model and tokenizer, and out again."""

from __future__ import annotations

from .chat import ChatPrompt, chat_prompt
from .exporting import export, export_mmproj
from .loading import to_transformers

__all__ = ["ChatPrompt", "chat_prompt", "export", "export_mmproj", "to_transformers"]
