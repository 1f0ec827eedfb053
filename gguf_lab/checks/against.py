"""Rules about a file beside its original."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from ..comparison import SETTLED, worst_first
from .rules import Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..comparison import TensorComparison
    from .rules import Subject

__all__: list[str] = []

_FEWEST = 5  # tensors of a type, before one of them can stand out
_TIMES = 3.0  # the median error
_UNLIKE = 0.5  # cosine: what is left is no rounding


@rule("unmatched", "warning", "what has no original cannot be compared", needs="comparison")
def unmatched(subject: Subject) -> Iterator[Found]:
    """Expect an original for every tensor, and a place for every tensor of the original."""
    assert subject.comparison is not None
    groups: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for row in subject.comparison.rows:
        if row.status not in SETTLED:
            where = row.name or row.reference_name or ""
            groups[row.status, row.reason, row.name is None].append(where)
    for (status, reason, only), names in groups.items():
        what = "tensors of the reference are" if only else "tensors are"
        what = f"{counted(len(names), what)} {'not in the file' if only else status}"
        # What the converter leaves out or calculates has a reason; it is known, not amiss.
        known = bool(reason) and status == "unmatched"
        yield Found(
            names[0],
            f"{what}: {reason or 'nothing of their name is there'} ({examples(names)})",
            severity="note" if known or status == "unverified" else None,
        )


@rule("exactness", "note", "weight-space error, not the quality of answers", needs="comparison")
def exactness(subject: Subject) -> Iterator[Found]:
    """Say how much of the file is exactly the original."""
    assert subject.comparison is not None
    compared = subject.compared
    exact = sum(bool(row.exact) for row in compared)
    errors = [row.relative_rmse for row in compared if row.relative_rmse]
    if compared:
        other = subject.comparison.compared_with
        words = f"{exact:,} of {len(compared):,} compared tensors are exactly {other}"
        finite = [e for e in errors if math.isfinite(e)]
        if finite:
            words += f"; the others differ by a relative RMSE of {median(finite):.3g} (median)"
        yield Found("file", words)


@rule(
    "unlike",
    "error",
    "no rounding turns a tensor away from its original by 60 degrees",
    needs="comparison",
)
def unlike(subject: Subject) -> Iterator[Found]:
    """Expect every tensor to point where its original does."""
    assert subject.comparison is not None
    other = subject.comparison.compared_with
    for row in subject.compared:
        if row.n_nan or row.n_inf:
            scan = subject.scans.get(row.name or "")
            if scan is None or scan.first is None:  # else the values themselves were found so
                yield _not_finite(row, other)
        elif row.cosine is not None and row.cosine < _UNLIKE:
            yield Found(
                row.name or "",
                f"the cosine with {other} is {row.cosine:.3g}: these are not the same weights",
                "Check that the reference is the original of this file.",
            )


def _not_finite(row: TensorComparison, other: str) -> Found:
    """Say of which side values are not finite, in the words of the rule that reads the values."""
    assert row.statistics is not None
    found = f"{counted(row.n_nan, 'values are')} NaN and {row.n_inf:,} infinite"
    ours, original = map(math.isfinite, (row.statistics.xx, row.statistics.rr))
    if original:
        advice = "Fetch the file again; if it stays, quantize again from a sound original."
        return Found(row.name or "", f"{found}; those of {other} are finite", advice)
    where = f"in {other}" if ours else f"here or in {other}"
    return Found(row.name or "", f"{found} {where}", "Look for a sound original.")


@rule(
    "changed",
    "warning",
    "a tensor in F32 has room for every value of an original in 16 or 32 bits",
    needs="comparison",
)
def changed(subject: Subject) -> Iterator[Found]:
    """Expect tensors that are stored in F32 to be exactly the original."""
    assert subject.comparison is not None
    other = subject.comparison.compared_with
    odd = [
        row
        for row in subject.compared
        if row.qtype == "F32"
        and row.reference_qtype in {"F32", "F16", "BF16"}
        and not (row.exact or row.n_nan or row.n_inf or (row.relative_rmse or 0) <= 1e-6)
    ]
    if odd:
        worst = worst_first(odd, "relative_rmse")[0]
        yield Found(
            worst.name or "",
            f"{counted(len(odd), 'tensors are')} stored in F32 and yet not {other}: "
            f"{_error(worst, other)} ({examples(row.name or '' for row in odd)})",
            "Another version of the checkpoint, a merged adapter, or a converter that changes more "
            "than it says.",
        )


def _error(row: TensorComparison, other: str) -> str:
    if row.relative_rmse is None or math.isnan(row.relative_rmse):
        return f"error up to {row.max_abs_error:.3g} where {other} is zero"
    return f"relative RMSE {row.relative_rmse:.3g}"


@rule(
    "outlier",
    "warning",
    "tensors of one type lose about the same share; one that loses far more is unlike the others",
    needs="comparison",
)
def outlier(subject: Subject) -> Iterator[Found]:
    """Expect no tensor to have lost three times as much as most others of its type."""
    groups = defaultdict(list)
    for row in subject.compared:
        if row.relative_rmse and math.isfinite(row.relative_rmse) and len(row.shape) > 1:
            groups[row.qtype, row.reference_qtype].append(row)
    for (qtype, _), rows in groups.items():
        usual = median(row.relative_rmse for row in rows)
        for row in rows:
            if len(rows) >= _FEWEST and row.relative_rmse > _TIMES * usual:
                yield Found(
                    row.name or "",
                    f"its relative RMSE is {row.relative_rmse:.3g}, {row.relative_rmse / usual:.1f}"
                    f" times the median of the {len(rows):,} matrices in {qtype}",
                    "Look at its worst rows; a larger type for it may be worth its bits "
                    "(--tensor-type).",
                )
