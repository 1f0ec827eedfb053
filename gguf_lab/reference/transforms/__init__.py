"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import (
    Added,
    Arithmetic,
    Exp,
    MinusExp,
    Product,
    Reciprocal,
    Times,
    UnitColumns,
)
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
from .rows import AsStored, Chain, Decoded, NamedRows, Rows, Transform, Transformed
from .scaled import BYTE_TYPES, Scaled
from .shapes import (
    Cut,
    Flatten,
    Half,
    Join,
    Part,
    Reordered,
    Split,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
)

__all__ = [
    "BYTE_TYPES",
    "Added",
    "Arithmetic",
    "AsStored",
    "Chain",
    "Cut",
    "DecodeMXFP4",
    "Decoded",
    "Exp",
    "Flatten",
    "GroupParts",
    "Half",
    "HeadPart",
    "Join",
    "MinusExp",
    "NamedRows",
    "Part",
    "PermuteRotary",
    "Product",
    "Reciprocal",
    "Reordered",
    "RepackMXFP4",
    "Rows",
    "Scaled",
    "Split",
    "Squeeze",
    "Stack",
    "TakeApart",
    "Tiled",
    "TiledColumns",
    "Times",
    "Transform",
    "Transformed",
    "Transpose",
    "UnitColumns",
    "UnpermuteRotary",
    "Unsqueeze",
]
