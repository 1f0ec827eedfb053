"""What a converter does to a tensor on its way into the file, row chunk by row chunk."""

from __future__ import annotations

from .arithmetic import (
    Added,
    Arithmetic,
    MinusExp,
    Product,
    Reciprocal,
    Ternary,
    Times,
)
from .encoders import (
    FoldedNorm,
    HalvesAdded,
    Permute,
    Pick,
    Reshape,
    Softplus,
    Third,
    UnpermuteRotaryAxes,
)
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
    "FoldedNorm",
    "GroupParts",
    "Half",
    "HalvesAdded",
    "HeadPart",
    "Join",
    "MinusExp",
    "NamedRows",
    "NegatedHalves",
    "Part",
    "Permute",
    "PermuteRotary",
    "Pick",
    "Product",
    "Reciprocal",
    "RepackMXFP4",
    "Reshape",
    "Rows",
    "Scaled",
    "Softplus",
    "Split",
    "Squeeze",
    "Stack",
    "TakeApart",
    "Ternary",
    "Third",
    "Tiled",
    "TiledColumns",
    "Times",
    "Transform",
    "Transformed",
    "Transpose",
    "UnpermuteRotary",
    "UnpermuteRotaryAxes",
]
