"""Numbers as people read them."""

from __future__ import annotations

import math

__all__ = ["bits_in_words", "bytes_in_words", "count_in_words"]


def _scaled(number: int, names: tuple[str, ...]) -> str:
    value, at = float(number), 0
    # 999.95 would round to 1000.0 of the smaller unit.
    while value >= 999.95 and at < len(names) - 1:
        value, at = value / 1000, at + 1
    digits = str(number) if at == 0 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
    return f"{digits} {names[at]}".strip()


def bytes_in_words(number: int) -> str:
    """Return a size with a decimal unit.

    Examples
    --------
    >>> bytes_in_words(98_303_000)
    '98.3 MB'
    """
    return _scaled(number, ("bytes", "kB", "MB", "GB", "TB", "PB", "EB"))


def count_in_words(number: int) -> str:
    """Return a number of weights with a unit.

    Examples
    --------
    >>> count_in_words(134_515_008)
    '135 M'
    """
    return _scaled(number, ("", "k", "M", "B", "T", "Q"))


def bits_in_words(bits: float) -> str:
    """Return bits per weight with two decimals, "unknown" for NaN."""
    return "unknown" if math.isnan(bits) else f"{bits:.2f}"
