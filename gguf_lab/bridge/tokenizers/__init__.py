"""Tokenizers, both ways: the keys `tokenizer.*` of a file, and a tokenizer of Transformers."""

from __future__ import annotations

from .importing import to_tokenizer
from .vocabulary import has_tokenizer

__all__ = ["has_tokenizer", "to_tokenizer"]
