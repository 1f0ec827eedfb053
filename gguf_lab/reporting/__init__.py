"""One self-contained HTML page about a file: what it is, what is unusual, what quantization did."""

from __future__ import annotations

from .run import report

__all__ = ["report"]
