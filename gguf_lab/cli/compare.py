"""``gguf-lab compare``: the error of each tensor against its original."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import ComparisonError
from .terminal import FILE, escape, listed, print_json, print_table, say, show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..comparison import Comparison, TensorComparison

__all__ = ["add_compare"]

_FIGURES = ("relative_rmse", "rmse", "sqnr_db", "cosine", "max_abs_error", "n_nan")
_WEIGHTED = "weighted_relative_rmse"  # known with an importance matrix only
_ALL = (*_FIGURES, _WEIGHTED)


def add_compare(commands: Any) -> None:
    """Add ``compare``."""
    command = commands.add_parser("compare", help="the error of each tensor against its original")
    command.add_argument("file", help=FILE)
    command.add_argument(
        "reference",
        help="the folder of the original safetensors checkpoint, or another GGUF file; hf://owner/repo",
    )
    command.add_argument(
        "--imatrix",
        metavar="FILE",
        help="an importance matrix: errors are weighted by it too, column by column",
    )
    command.add_argument(
        "--sort", choices=_ALL, metavar="FIGURE", help=f"worst first, by {listed(_ALL)}"
    )
    command.add_argument(
        "--cache",
        metavar="DIR",
        help="keep the figures of finished tensors there, and go on from there the next time",
    )
    command.add_argument(
        "--fail-above",
        action="append",
        default=[],
        type=_limit,
        metavar="FIGURE=LIMIT",
        help="exit with status 1 if a compared tensor is worse than a limit, and list those that "
        "are: above it, but BELOW it for sqnr_db and cosine, where high is good; NaN is worse than "
        "any limit. May be repeated",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_compare)


def _limit(text: str) -> tuple[str, float]:
    figure, _, number = text.partition("=")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if figure not in _ALL or math.isnan(limit):
        raise argparse.ArgumentTypeError(
            f"{escape(text)} is not FIGURE=LIMIT with one of {listed(_ALL)} and a number"
        )
    return figure, limit


def _compare(arguments: argparse.Namespace) -> int:
    from ..comparison import COLUMNS, LOW_IS_BAD, compare, worst_first
    from ..model import open_model

    asked = [arguments.sort, *(figure for figure, _ in arguments.fail_above)]
    if _WEIGHTED in asked and arguments.imatrix is None:
        raise ComparisonError(f"{_WEIGHTED} needs an importance matrix: give --imatrix FILE")
    weighted = [] if arguments.imatrix is None else [_WEIGHTED]
    with open_model(arguments.file) as model:
        result = compare(
            model,
            arguments.reference,
            importance=arguments.imatrix,
            progress=sys.stderr.isatty(),
            cache=arguments.cache,
        )
    for words in result.cache_notes:
        say(words)
    rows = list(result.rows)
    failures = _failures(result, arguments.fail_above)
    if arguments.sort:
        rows = worst_first(rows, arguments.sort)
    if arguments.json:
        print_json(
            {
                "model": str(result.model_path),
                "reference": str(result.reference_path),
                "summary": result.summary,
                "tensors": [
                    {column: getattr(row, column) for column in (*COLUMNS, *weighted)}
                    for row in rows
                ],
                "metadata_differences": [asdict(found) for found in result.metadata],
                "failures": failures,
            }
        )
    else:
        columns = ("name", "status", "qtype", "reference_qtype", *_FIGURES, *weighted)
        cells = [[show(getattr(row, column)) for column in columns] for row in rows]
        print_table(columns, cells, right=range(4, len(columns)))
        _print_reasons(rows)
        _print_metadata(result)
    if not any(row.measured for row in rows):
        raise ComparisonError(
            f"{result.model_path}: no tensor has an original in {result.reference_path}"
        )
    for failure in failures:
        side = "below" if failure["figure"] in LOW_IS_BAD else "above"
        words = f"{failure['figure']} {show(failure['value'])} is {side} {failure['limit']:g}"
        say(f"{failure['name']}: {words}")
    return 1 if failures else 0


def _failures(result: Comparison, limits: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """List the compared tensors that are worse than a limit; NaN is worse than any.

    What is exactly the original keeps every limit, zeros too, whose relative figures are undefined.
    Where the importance matrix has no entry there is nothing to hold against a weighted limit.
    """
    return [
        {"name": row.name, "figure": figure, "value": value, "limit": limit}
        for figure, limit in limits
        for row in result.compared
        if not row.exact
        and (value := getattr(row, figure)) is not None
        and _is_worse(value, figure, limit)
    ]


def _is_worse(value: float, figure: str, limit: float) -> bool:
    from ..comparison import LOW_IS_BAD

    if math.isnan(value):
        return True
    return value < limit if figure in LOW_IS_BAD else value > limit


def _print_reasons(rows: Iterable[TensorComparison]) -> None:
    doubts: Counter[str] = Counter()
    for row in rows:
        if not row.measured:
            print(f"{escape(row.name or row.reference_name or '')}: {escape(row.reason)}")
        elif row.status != "compared":
            doubts[f"{row.status}: {row.reason}"] += 1
    for words, n in doubts.items():
        print(f"{n} {'tensor is' if n == 1 else 'tensors are'} {escape(words)}")


def _print_metadata(result: Comparison) -> None:
    for found in result.metadata:
        values = f"{found.ours or '-'} | {found.theirs or '-'}"
        print(f"metadata {escape(found.key)}: {escape(found.kind)}: {escape(values)}")
