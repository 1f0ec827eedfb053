"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import Added, Arithmetic, MinusExp
from .heads import HeadPart, PermuteRotary, TakeApart, UnpermuteRotary
from .mxfp4 import DecodeMXFP4, RepackMXFP4
from .rows import AsStored, Chain, NamedRows, Rows, Transform, Transformed
from .shapes import Half, Join, Part, Split, Squeeze, Stack, Transpose

__all__ = [
    "Added",
    "Arithmetic",
    "AsStored",
    "Chain",
    "DecodeMXFP4",
    "Half",
    "HeadPart",
    "Join",
    "MinusExp",
    "NamedRows",
    "Part",
    "PermuteRotary",
    "RepackMXFP4",
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
