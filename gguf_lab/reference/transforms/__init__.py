"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import Added, MinusExp
from .heads import HeadPart, PermuteRotary, TakeApart, UnpermuteRotary
from .mxfp4 import DecodeMXFP4
from .rows import AsStored, Chain, Rows, Transform, Transformed
from .shapes import Half, Join, Part, Split, Squeeze, Stack, Transpose

__all__ = [
    "Added",
    "AsStored",
    "Chain",
    "DecodeMXFP4",
    "Half",
    "HeadPart",
    "Join",
    "MinusExp",
    "Part",
    "PermuteRotary",
    "Rows",
    "Split",
    "Squeeze",
    "Stack",
    "TakeApart",
    "Transform",
    "Transformed",
    "Transpose",
    "UnpermuteRotary",
]
