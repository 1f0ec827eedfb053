"""Sections that do not depend on the file: how to read the figures, how the page was made."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata as installed
from typing import TYPE_CHECKING

from ..file import printable
from ..file.called import called
from ..markup import Html, facts
from .page import paragraph, section

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..model import Model

__all__ = ["how_it_was_made", "how_to_read"]

_READING = """\
These are errors of weights, not of answers. They say how far the numbers in the file are from
the original ones. How much of that an answer shows depends on where a tensor stands and on what
it is multiplied with; for that, measure perplexity or KL divergence (llama-perplexity).

Relative RMSE: the root mean square of the error, divided by that of the original weights. 0.1
means that the error is a tenth of a typical weight. Zero is exact.

SQNR: the same in decibels, -20 log10 of it; 20 dB is a relative RMSE of 0.1. Each bit more per
weight is worth about 6 dB, which halves the error. ∞ is exact.

Cosine: of the angle between the tensor and its original as vectors; 1 is the same direction.

Largest error: of a single weight, in units of the weights.

Pooled: figures of a layer, kind or type are of all its weights together. The sums are added, so
that large tensors weigh more. Unverified tensors are in none of them.

Bits per weight: 8 times the bytes of the tensor data, by the number of weights; scales are
included, metadata and padding are not."""


def how_to_read() -> tuple[str, Html]:
    """Explain the figures."""
    return section(
        "How to read the figures",
        *(paragraph(" ".join(text.split())) for text in _READING.split("\n\n")),
    )


def how_it_was_made(model: Model, found: Comparison | None, version: str) -> tuple[str, Html]:
    """Say with what, from what and when the page was made; no paths of the machine."""
    pairs = [("made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")), ("GGUF Lab", version)]
    versions = [("Python", platform.python_version())]
    versions += [(name, installed.version(name)) for name in ("numpy", "matplotlib")]
    pairs += versions
    pairs.append(("file", f"{printable(model.path.name, 200)} ({model.file.size:,} bytes)"))
    if found is not None:
        pairs.append(("reference", printable(called(found.reference_path), 200)))
        pairs.append(
            ("comparison", f"{found.backend} on {found.device}, {found.seconds:.1f} s, one pass")
        )
    command = f"gguf-lab report {printable(model.path.name, 200)}"
    if found is not None:
        command += f" --reference {printable(found.reference_path.name, 200)}"
    pairs.append(("command", command))
    return section("How this page was made", facts(pairs))
