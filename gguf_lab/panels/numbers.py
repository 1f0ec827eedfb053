"""How the panels write and send figures."""

from __future__ import annotations

import math

__all__ = ["exact", "finite", "number", "percent", "signed", "three_digits"]


def finite(value: float | None) -> float | None:
    """Return None for NaN and infinities: JSON has none, and Jupyter sends them as text."""
    return value if value is not None and math.isfinite(value) else None


def number(value: float | None, unit: str = "") -> str:
    """Write a figure with four significant digits, zeros at the end too; both zeros are 0.

    Examples
    --------
    >>> number(0.0123456), number(float("inf"), "dB"), number(None)
    ('0.01235', '∞ dB', '–')
    >>> number(12345.6), number(1.5e-7)
    ('12350', '1.500e−7')
    """
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        text = "∞" if value > 0 else "−∞"
    else:
        text = _printed(f"{value:#.4g}") if value else "0"
    return f"{text} {unit}".rstrip()


def signed(value: float, places: int) -> str:
    """Write a difference with its sign; what is rounded to zero has none.

    Examples
    --------
    >>> signed(1.26, 1), signed(-0.04, 1), signed(-2, 1)
    ('+1.3', '0', '−2.0')
    """
    text = f"{value:+.{places}f}"
    return text.replace("-", "−") if float(text) else "0"


def exact(value: float) -> str:
    """Write a weight with all digits that tell it from others of its type; both zeros are 0.

    Examples
    --------
    >>> exact(-0.5), exact(-0.0), exact(float("-inf"))
    ('−0.5', '0', '−∞')
    """
    return _printed(str(value)) if value and math.isfinite(value) else number(value)


def three_digits(x: float) -> str:
    """Write a number with three significant digits, zeros too, so that a column lines up.

    Examples
    --------
    >>> three_digits(0.5), three_digits(123.4), three_digits(1234.5)
    ('0.500', '123', '1230')
    """
    if not x or not math.isfinite(x):
        return number(x)
    return _printed(f"{x:#.3g}")


def percent(ratio: float) -> str:
    """Write a ratio as a percentage with three significant digits."""
    return f"{three_digits(100 * ratio)} %"


def _printed(text: str) -> str:
    """Write a number as `figure` of the browser does: no power of ten below 100,000."""
    digits, power = text.split("e") if "e" in text else (text, "")
    if power:
        text = f"{float(text):.0f}" if 0 <= int(power) < 5 else f"{digits.rstrip('.')}e{int(power)}"
    return text.rstrip(".").replace("-", "−")
