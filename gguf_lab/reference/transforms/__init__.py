"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import Added, Arithmetic, MinusExp, Product, Reciprocal, Ternary, Times
from .heads import (
    GroupParts,
    HeadPart,
    NegatedHalves,
    PermuteRotary,
    TakeApart,
    Tiled,
    TiledColumns,
    UnpermuteRotary,
)
from .mxfp4 import DecodeMXFP4, RepackMXFP4
from .rows import AsStored, Chain, Decoded, NamedRows, Rows, Transform, Transformed
from .scaled import BYTE_TYPES, Scaled
from .shapes import Cut, Half, Join, Part, Split, Squeeze, Stack, Transpose

__all__ = [
    "BYTE_TYPES",
    "Added",
    "Arithmetic",
    "AsStored",
    "Chain",
    "Cut",
    "DecodeMXFP4",
    "Decoded",
    "GroupParts",
    "Half",
    "HeadPart",
    "Join",
    "MinusExp",
    "NamedRows",
    "NegatedHalves",
    "Part",
    "PermuteRotary",
    "Product",
    "Reciprocal",
    "RepackMXFP4",
    "Rows",
    "Scaled",
    "Split",
    "Squeeze",
    "Stack",
    "TakeApart",
    "Ternary",
    "Tiled",
    "TiledColumns",
    "Times",
    "Transform",
    "Transformed",
    "Transpose",
    "UnpermuteRotary",
]
