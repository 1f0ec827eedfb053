"""Numbers as people read them."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

__all__ = [
    "bits_in_words", "bytes_in_words", "count_in_words", "memory_in_words", "share_in_words",
]  # fmt: skip


def _scaled(number: int, names: tuple[str, ...], step: int = 1000) -> str:
    value, at = float(number), 0
    # 999.5 would round to 1000 of the smaller unit.
    while value >= step - 0.5 and at < len(names) - 1:
        value, at = value / step, at + 1
    if at == 0:
        return f"{number} {names[0]}".strip()
    places = Decimal("0.1") if value < 99.95 else Decimal(1)
    # Halves go up, as in a browser: panels write sizes there too.
    return f"{Decimal(value).quantize(places, ROUND_HALF_UP)} {names[at]}"


def bytes_in_words(number: int) -> str:
    """Return a size with a decimal unit: files and tensors, as hubs show them.

    Examples
    --------
    >>> bytes_in_words(98_303_000)
    '98.3 MB'
    """
    return _scaled(number, ("bytes", "kB", "MB", "GB", "TB", "PB", "EB"))


def memory_in_words(number: int) -> str:
    """Return a size with a binary unit: memory to run, which llama.cpp counts so.

    Examples
    --------
    >>> memory_in_words(98_303_000)
    '93.7 MiB'
    """
    return _scaled(number, ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 1024)


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


def share_in_words(part: int, whole: int) -> str:
    """Return a share in percent; what is there is never 0.0 %.

    Examples
    --------
    >>> share_in_words(1, 3), share_in_words(1, 100_000)
    ('33.3 %', 'under 0.1 %')
    """
    share = 100 * part / whole if whole else 0.0
    return "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"
