"""Backends: primitives and one generic kernel each. Imported on first use."""

from __future__ import annotations

__all__: list[str] = []
