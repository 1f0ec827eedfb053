"""Sections on the file itself: what it is, what is unusual, where its bytes are, its metadata."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..file import preview, printable
from ..markup import Html, escaped, facts, preformatted
from ..model.card import facts_of, mix_of, warnings_of
from ..model.words import bits_in_words, bytes_in_words, share_in_words
from .page import columns, paragraph, section, table
from .pictures import picture

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..checks import Findings
    from ..model import Model

__all__ = ["about_file", "findings", "metadata", "sizes", "verdict"]

_FINDINGS, _KEYS, _KINDS, _TYPES, _FILES = 300, 400, 60, 40, 100
_TEMPLATE = 20_000  # characters

Section = tuple[str, Html]


def severity(word: str) -> Html:
    """Mark a severity; the word says it, the colour only helps."""
    return Html(f'<span class="severity {escaped(word)}">{escaped(word)}</span>')


def verdict(found: Findings) -> Html:
    """Say in a line what the check found."""
    return paragraph(f"Check: {found.summary}.")


def about_file(model: Model) -> Section:
    """Tell what the file is."""
    warned = [paragraph(f"Warning: {text}") for text in warnings_of(model)]
    parts = [*warned, facts(facts_of(model))]
    paths = model.file.paths
    if len(paths) > 1:
        counts = Counter(info.shard for info in model.file.tensors)
        rows = [
            (printable(path.name, 120), bytes_in_words(size), f"{counts[n]:,}")
            for n, (path, size) in enumerate(zip(paths, model.file.sizes, strict=True))
        ]
        heads = columns("file", "#size", "#tensors")
        parts.append(table(heads, rows, most=_FILES, title="Shards"))
    return section("What the file is", *parts)


def findings(found: Findings) -> Section:
    """List what is unusual or wrong, the worst first."""
    parts = []
    if found:
        rows = [
            (severity(f.severity), f.code, f.where, f.message, f.what_to_do or "-") for f in found
        ]
        heads = columns("=severity", "=rule", "where", "~what", "~what to do")
        parts.append(table(heads, rows, most=_FINDINGS))
    else:
        parts.append(paragraph("Nothing unusual was found."))
    if found.skipped:
        reasons: dict[str, list[str]] = {}
        for code, why in found.skipped.items():
            reasons.setdefault(why, []).append(code)
        words = "; ".join(f"{', '.join(codes)} ({why})" for why, codes in reasons.items())
        parts.append(paragraph(f"Rules that were not asked: {words}.", quiet=True))
    return section("What is unusual", *parts)


def sizes(model: Model) -> Section:
    """Show where the bytes are, by kind of tensor and by type."""
    if not model.tensors:
        return section("Where the bytes are", paragraph("The file has no tensors."))
    shown = picture(
        lambda: _draw_sizes(model),
        "Size of all tensors of a kind, in parts by their types. Kinds are named as in llama.cpp, "
        "without the number of the layer.",
    )
    total, weights = model.nbytes, model.n_parameters
    types = [
        (
            name,
            f"{n:,}",
            f"{count:,}",
            _percent(count, weights),
            "unknown" if size is None else bytes_in_words(size),
            "-" if size is None else _percent(size, total),
            "-" if not size or not count else bits_in_words(8 * size / count),
        )
        for name, n, count, size in mix_of(model)
    ]
    heads = columns(
        "type", "#tensors", "#weights", "#of all", "#size", "#of all", "#bits per weight"
    )
    by_type = table(heads, types, most=_TYPES, title="By type")
    heads = columns("kind", "types", "#tensors", "#size", "#of all", "#bits per weight")
    by_kind = table(heads, _kinds(model), most=_KINDS, title="By kind")
    return section("Where the bytes are", shown, by_type, by_kind)


def _draw_sizes(model: Model) -> Figure:
    import pandas as pd

    from ..plots.sizes import plot_sizes

    tensors = [t for t in model.tensors.values() if t.nbytes]
    frame: pd.DataFrame = pd.DataFrame(
        {
            "kind": [printable(t.kind, 40) for t in tensors],
            "qtype": [t.qtype for t in tensors],
            "nbytes": [t.nbytes for t in tensors],
        }
    )
    return plot_sizes(frame, title=printable(model.path.name))


def _kinds(model: Model) -> list[tuple[str, ...]]:
    """Return a row per kind, the largest first."""
    size: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    tensors: Counter[str] = Counter()
    types: dict[str, Counter[str]] = {}
    for tensor in model.tensors.values():
        kind = tensor.kind
        size[kind] += tensor.nbytes or 0
        weights[kind] += tensor.n_elements if tensor.nbytes is not None else 0
        tensors[kind] += 1
        types.setdefault(kind, Counter())[tensor.qtype] += 1
    return [
        (
            kind,
            ", ".join(f"{name} ({n:,})" for name, n in types[kind].most_common(4)),
            f"{tensors[kind]:,}",
            bytes_in_words(n),
            _percent(n, model.nbytes),
            bits_in_words(8 * n / weights[kind]) if weights[kind] else "-",
        )
        for kind, n in size.most_common()
    ]


def _percent(part: int, whole: int) -> str:
    return share_in_words(part, whole) if whole else "-"


def metadata(model: Model) -> Section:
    """List the keys, and the chat template in full."""
    rows = (
        (key, model.metadata.type_of(key), preview(value, 160))
        for key, value in model.metadata.items()
    )
    parts = [table(columns("key", "=type", "~value"), rows, most=_KEYS)]
    template = model.metadata.text("tokenizer.chat_template")
    if template:
        parts += [Html("<h3>Chat template</h3>"), preformatted(template, _TEMPLATE)]
    return section("Metadata", *parts, apart=True)
