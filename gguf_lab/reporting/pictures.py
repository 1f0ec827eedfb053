"""Figures as pictures that are part of the page."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from ..markup import Html, image
from .page import figure, paragraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

__all__ = ["MOST_DRAWN", "picture"]

MOST_DRAWN = 200
"""Layers up to which they are drawn: a picture has to fit a page."""


def picture(draw: Callable[[], Figure], words: str) -> Html:
    """Draw a figure as SVG, with what it says below; or say why there is none.

    Parameters
    ----------
    draw : callable
        Makes the figure. Names of a file are no formulas here, and no font has all their letters.
    words : str
        What is to be seen.
    """
    import matplotlib as mpl

    from ..plots.style import on_white

    svg = io.StringIO()
    with on_white(), mpl.rc_context({"svg.hashsalt": "gguf-lab"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        try:
            drawn = draw()
        except GGUFLabError as error:
            return paragraph(f"No picture: {error}.", quiet=True)
        drawn.savefig(svg, format="svg", metadata={"Date": None})
    return figure(image(svg.getvalue(), words), words)
