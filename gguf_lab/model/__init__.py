"""A model: the file's structure joined with the codec, seen as tensors of numbers."""

from __future__ import annotations

from .found import Found, FoundFile, find
from .model import Kind, Model, given_model, open_model
from .names import split_name
from .tensor import Tensor
from .tensors import Tensors

__all__ = [
    "Found",
    "FoundFile",
    "Kind",
    "Model",
    "Tensor",
    "Tensors",
    "find",
    "given_model",
    "open_model",
    "split_name",
]
