"""The families: one small table each, to be read as a specification.

A table holds what is special: spellings, transforms, what a converter leaves out or makes up.
Everything else is copied as it is, under the name that ``gguf.TensorNameMap`` gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bert import BERT
from .llama import LLAMA

if TYPE_CHECKING:
    from .family import Family

__all__ = ["FAMILIES", "family_of", "family_of_model_type"]

FAMILIES: tuple[Family, ...] = (LLAMA, BERT)

_BY_MODEL_TYPE = {name: family for family in FAMILIES for name in family.model_types}
_BY_ARCHITECTURE = {name: family for family in FAMILIES for name in family.architectures}


def family_of(architecture: str) -> Family | None:
    """Find the table for a value of ``general.architecture``, or None if there is none yet."""
    return _BY_ARCHITECTURE.get(architecture)


def family_of_model_type(model_type: str) -> Family | None:
    """Find the family that a ``config.json`` names, or None if it is none of those known."""
    return _BY_MODEL_TYPE.get(model_type)
