"""A small llama in Q4_K_M beside its original, compared; results to the last bit."""

from __future__ import annotations

from dataclasses import fields

import gguf_lab as gl

from ..models import MODELS

Q4_K_M, ORIGINAL = MODELS / "llama-256" / "llama-Q4_K_M.gguf", MODELS / "llama-256" / "hf"


def compare(model=Q4_K_M, reference=ORIGINAL, **keywords):
    return gl.compare(model, reference, progress=False, **keywords)


def bits(statistics):
    numbers = [getattr(statistics, f.name) for f in fields(statistics) if f.name != "counts"]
    return [n if n is None else float(n).hex() for n in numbers], statistics.counts.tobytes()


def figures(result):
    return [(row.name, row.status, row.statistics and bits(row.statistics)) for row in result]
