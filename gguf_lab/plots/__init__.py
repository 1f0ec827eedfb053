"""Pictures: pure functions of frames and arrays to matplotlib figures. No pyplot state."""

from __future__ import annotations

from .beside import plot_beside
from .histograms import plot_histogram
from .layers import plot_heatmap, plot_layers

__all__ = ["plot_beside", "plot_heatmap", "plot_histogram", "plot_layers"]
