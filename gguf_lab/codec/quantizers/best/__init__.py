"""Less error than ggml's in the same bits (``effort="best"``), for the types without a grid.

A search writes codes and scales into plain arrays, so that four compiled functions serve all types;
NumPy packs them. What is stored is, of each block, the better one of ggml's and of what the search
has found, by the squared error of the values that the bytes read as, times the importance if there
is one. The grid types have searches of their own: `iq1_best`, `iq2_iq3_best`.
"""

from __future__ import annotations

from .searches import SEARCHES, improve

__all__ = ["SEARCHES", "improve"]
