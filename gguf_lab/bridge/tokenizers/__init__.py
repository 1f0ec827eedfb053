"""Tokenizers, both ways: the keys `tokenizer.*` of a file, and a tokenizer of Transformers."""

from __future__ import annotations

from .exporting import metadata_of_tokenizer
from .importing import to_tokenizer
from .vocabulary import has_tokenizer

__all__ = ["has_tokenizer", "metadata_of_tokenizer", "to_tokenizer"]
