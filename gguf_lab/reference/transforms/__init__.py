"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import Added, Arithmetic, MinusExp
from .heads import (
    GroupParts,
    HeadPart,
    PermuteRotary,
    TakeApart,
    Tiled,
    TiledColumns,
    UnpermuteRotary,
)
from .mxfp4 import DecodeMXFP4, RepackMXFP4
from .rows import AsStored, Chain, NamedRows, Rows, Transform, Transformed
from .shapes import Cut, Half, Join, Part, Split, Squeeze, Stack, Transpose

__all__ = [
    "Added",
    "Arithmetic",
    "AsStored",
    "Chain",
    "Cut",
    "DecodeMXFP4",
    "GroupParts",
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
    "Tiled",
    "TiledColumns",
    "Transform",
    "Transformed",
    "Transpose",
    "UnpermuteRotary",
]
