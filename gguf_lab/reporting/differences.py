"""Sections on a file beside its original: errors by layer and kind, the worst, the left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from ..comparison import SETTLED, Statistics, worst_first
from ..comparison.pool import pools
from ..file import printable
from ..file.called import called
from ..markup import Html
from ..model.words import bits_in_words, bytes_in_words
from .page import columns, paragraph, section, table
from .pictures import MOST_DRAWN, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

    from ..comparison import Comparison, TensorComparison
    from ..model import Model

__all__ = ["all_tensors", "left_out", "metadata_differences", "weight_errors"]

_WORST, _TENSORS, _ROWS, _KINDS = 15, 2500, 300, 40
_FIGURES = ("#relative RMSE", "#SQNR (dB)", "#cosine", "#largest error")

Section = tuple[str, Html]
KeyT = TypeVar("KeyT")


def figure_of(value: float | None, digits: str = "#.4g") -> str:
    """Write a figure; "-" if there is none."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if not value:
        return "0"
    return "NaN" if math.isnan(value) else format(value, digits)


def _figures(of: TensorComparison | Statistics) -> tuple[str, ...]:
    return (
        figure_of(of.relative_rmse),
        figure_of(of.sqnr_db, ".2f"),
        figure_of(of.cosine, ".6f"),
        figure_of(of.max_abs_error),
    )


def weight_errors(found: Comparison) -> Section:
    """Show the error by layer and by kind, and the worst tensors."""
    name = f"Error against {found.compared_with}"
    head = paragraph(
        f"{printable(found.model_path.name)} against "
        f"{printable(called(found.reference_path))}: {found.summary}."
    )
    if not found.compared:
        words = paragraph("No tensor was compared, so there are no figures.")
        return section(name, head, words, apart=True)
    everything = Statistics()
    for row in found.compared:
        if row.statistics is not None:
            everything.add(row.statistics)
    whole = paragraph(
        f"All compared weights together: relative RMSE {figure_of(everything.relative_rmse)}, "
        f"SQNR {figure_of(everything.sqnr_db, '.2f')} dB."
    )
    return section(
        name, head, whole, *_pictures(found), *_tables(found), *_worst(found), apart=True
    )


def _pictures(found: Comparison) -> list[Html]:
    frame, layers = _drawable(found)
    if len(layers) > MOST_DRAWN:
        return [paragraph(f"No pictures by layer: there are {len(layers):,} layers.", quiet=True)]
    title = printable(found.model_path.name)
    from ..plots import plot_heatmap, plot_layers

    return [
        picture(
            lambda: plot_layers(frame, layers, title=title),
            "Relative RMSE by layer: a line for each kind of matrix, and all weights of a layer "
            f"together (black). Lower is nearer to {found.compared_with}.",
        ),
        picture(
            lambda: plot_heatmap(frame, title=title),
            "Relative RMSE of each matrix: layers downwards, kinds to the right. Light is a large "
            "error, '-' that there is no such matrix or it was not compared.",
        ),
    ]


def _drawable(found: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows and layers whose names are safe to draw, of the commonest kinds."""
    frame, layers = found.to_frame(), found.layers()
    frame["kind"] = frame["kind"].map(lambda kind: printable(kind, 40))
    kinds = frame[frame["layer"].notna()]["kind"].value_counts().index[:_KINDS]
    return frame[frame["kind"].isin(kinds)], layers


def _tables(found: Comparison) -> list[Html]:
    by_layer = _pooled(found.compared, lambda row: row.layer, str)
    by_kind = _pooled(found.compared, lambda row: row.kind or None, printable)
    by_type = _pooled(
        found.compared,
        lambda row: (row.qtype or "", row.reference_qtype or ""),
        " of ".join,
    )
    heads = columns("", "#tensors", "#weights", "#bits per weight", *_FIGURES)
    return [
        table([(label, ""), *heads[1:]], rows, most=_ROWS, title=f"By {label}, all weights pooled")
        for label, rows in (("type", by_type), ("kind", by_kind), ("layer", by_layer))
        if rows
    ]


def _pooled(
    rows: Iterable[TensorComparison],
    key_of: Callable[[TensorComparison], KeyT | None],
    words: Callable[[KeyT], str],
) -> list[tuple[str, ...]]:
    """Return a line for each group of tensors; those whose key is None are left out."""
    return [
        (
            words(key),
            f"{pool.n_tensors:,}",
            f"{pool.statistics.n:,}",
            bits_in_words(pool.bits_per_weight) if pool.statistics.n else "-",
            *_figures(pool.statistics),
        )
        for key, pool in pools(rows, key_of).items()
    ]


def _worst(found: Comparison) -> list[Html]:
    """List the tensors with the largest error, and draw the errors of the first."""
    lossy = worst_first((row for row in found.compared if not row.exact), "relative_rmse")
    if not lossy:
        return [paragraph(f"Every compared tensor is exactly {found.compared_with}.")]
    rows = [
        (
            row.name or "",
            row.qtype or "",
            row.reference_qtype or "",
            bits_in_words(row.bits_per_weight if row.bits_per_weight is not None else math.nan),
            *_figures(row),
        )
        for row in lossy[:_WORST]
    ]
    other = found.compared_with.removeprefix("the ")
    heads = columns("tensor", "=type", f"={other}", "#bits per weight", *_FIGURES)
    first = lossy[0].name or ""
    return [
        table(heads, rows, most=_WORST, title="The worst tensors"),
        picture(
            lambda: found.plot_histogram(first),
            f"Errors of the weights of {printable(first)}, the worst tensor. The dashed lines are "
            "one RMSE on both sides of zero.",
        ),
    ]


def left_out(found: Comparison) -> Section | None:
    """List what was not compared, with the reason; None if everything was."""
    rows = [
        (
            row.name or "-",
            row.reference_name or "-",
            row.status,
            row.reason or "nothing of this name is there",
            *_figures(row)[:2],
        )
        for row in found.rows
        if row.status not in SETTLED
    ]
    if not rows:
        return None
    words = paragraph(
        "Unmatched: nothing on the other side. Unverified: only name and shape agree, and what the "
        "converter did is not undone; the figures are shown, and no summary counts them. "
        "Unsupported: the numbers cannot be read."
    )
    heads = columns("tensor", f"in {found.compared_with}", "=status", "~reason", *_FIGURES[:2])
    return section("What was not compared", words, table(heads, rows, most=_ROWS))


def metadata_differences(found: Comparison) -> Section | None:
    """List the keys in which two GGUF files differ; None if there are none."""
    if not found.metadata:
        return None
    rows = [(d.key, d.kind, d.ours or "-", d.theirs or "-") for d in found.metadata]
    heads = columns("key", "~difference", "~in the file", "~in the reference")
    return section("Metadata that differ", table(heads, rows, most=_ROWS))


def all_tensors(model: Model, found: Comparison | None) -> Section:
    """List every tensor, with its figures if there are any."""
    if not model.tensors:
        return section("All tensors", paragraph("The file has no tensors."), apart=True)
    rows = {row.name: row for row in found.rows if row.name is not None} if found else {}
    lines = []
    for name, tensor in model.tensors.items():
        line = [
            name,
            tensor.qtype,
            " x ".join(map(str, tensor.shape)),
            "unknown" if tensor.nbytes is None else bytes_in_words(tensor.nbytes),
            bits_in_words(tensor.bits_per_weight),
            tensor.status,
        ]
        if found is not None:
            row = rows.get(name)
            line += _figures(row)[:3] if row is not None else ("-", "-", "-")
        lines.append(line)
    heads = columns("tensor", "=type", "=shape", "#size", "#bits per weight", "=status")
    if found is not None:
        heads += columns(*_FIGURES[:3])
    return section("All tensors", table(heads, lines, most=_TENSORS), apart=True)
