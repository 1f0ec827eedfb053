"""Rules about values, and about the scales of blocks: they need every tensor to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rules import Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rules import Subject
    from .scan import Scan

__all__: list[str] = []

_FEW = 0.001  # of the blocks: fewer of them say nothing about a tensor
_MANY = 0.01
_OCTAVES = 10  # between the scales of nearly all blocks and one that is not of the same kind


@rule(
    "not-finite",
    "error",
    "ggml_validate_row_data of ggml-quants.c: `llama-cli --check-tensors` refuses it",
    needs="values",
)
def not_finite(subject: Subject) -> Iterator[Found]:
    """Expect finite values: one that is not makes every token that it touches NaN."""
    for name, scan in subject.scans.items():
        if scan.first is not None:
            row, column = scan.first
            yield Found(
                name,
                f"{counted(scan.n_nan, 'values are')} NaN and {scan.n_inf:,} infinite, the first "
                f"in row {row:,}, column {column:,}",
                "Fetch the file again; if it stays, quantize again from a sound original.",
            )


@rule(
    "all-zero",
    "warning",
    "a matrix or norm of zeros switches off what it belongs to",
    needs="values",
    kinds=("model", "mmproj"),
)
def all_zero(subject: Subject) -> Iterator[Found]:
    """Expect no matrix and no norm of zeros; a bias may be."""
    for name, scan in subject.scans.items():
        shape = subject.model.tensors[name].shape
        matters = len(shape) > 1 or name.endswith("_norm.weight")
        if matters and scan.zero_rows == scan.n_rows:
            yield Found(
                name,
                "every value is zero",
                "Compare it with the original checkpoint; convert again if it is not zero there.",
            )


@rule(
    "zero-rows",
    "note",
    "rows of zeros give nothing: unused tokens, neurons or experts",
    needs="values",
    kinds=("model", "mmproj"),
)
def zero_rows(subject: Subject) -> Iterator[Found]:
    """Say where rows of a matrix are all zero."""
    for name, scan in subject.scans.items():
        if len(subject.model.tensors[name].shape) > 1 and 0 < scan.zero_rows < scan.n_rows:
            yield Found(
                name,
                f"{scan.zero_rows:,} of {scan.n_rows:,} rows "
                f"({100 * scan.zero_rows / scan.n_rows:.2f} %) are all zero",
            )


@rule(
    "zero-blocks",
    "note",
    "a scale of zero makes a whole block zero, where the original may have had small weights",
    needs="values",
)
def zero_blocks(subject: Subject) -> Iterator[Found]:
    """Say where many blocks are zero beyond the rows that are."""
    for name, scan in subject.scans.items():
        in_zero_rows = scan.n_blocks * scan.zero_rows // scan.n_rows
        extra = scan.zero_blocks - in_zero_rows
        if extra > _MANY * scan.n_blocks:
            yield Found(
                name,
                f"{extra:,} of {scan.n_blocks:,} blocks ({100 * extra / scan.n_blocks:.1f} %) have "
                "a scale of zero, beyond those of rows that are all zero",
                "Compare them with the original.",
            )


@rule(
    "coarse-scales",
    "note",
    "binary16 has steps of 2^-24 near zero: below 32 of them a scale is off by up to 1/64 and more",
    needs="values",
)
def coarse_scales(subject: Subject) -> Iterator[Found]:
    """Say where scales are so near to zero that they are rough themselves."""
    found = [
        (name, scan.coarse / scan.n_blocks)
        for name, scan in subject.scans.items()
        if scan.n_blocks and scan.coarse > max(1, _FEW * scan.n_blocks)
    ]
    if found:
        found.sort(key=lambda item: -item[1])
        yield Found(
            found[0][0],
            f"{100 * found[0][1]:.1f} % of the blocks have a scale deep among the subnormal "
            "numbers of binary16, with five bits or fewer"
            + (f"; so it is in {examples(name for name, _ in found[1:])}" if found[1:] else ""),
            "Where such blocks matter, a plain type (F16, BF16) keeps their small weights.",
        )


@rule(
    "odd-scale",
    "warning",
    "a flipped bit in the exponent of a scale multiplies a block by up to 65,536",
    needs="values",
)
def odd_scale(subject: Subject) -> Iterator[Found]:
    """Expect no scale a thousand times larger than nearly all others of the tensor."""
    for name, scan in subject.scans.items():
        if (found := _beyond(scan)) is not None:
            n, octaves = found
            yield Found(
                name,
                f"{n:,} of {scan.n_blocks:,} blocks have a scale that is 2^{octaves} times "
                "that of 99 % of the others, or more",
                "Compare these blocks with the original: `gl.compare` shows the largest errors.",
            )


def _beyond(scan: Scan) -> tuple[int, int] | None:
    """Return how many scales are far beyond 99 % of them, and by how many octaves."""
    finite = scan.exponents[:-1]
    total = int(finite.sum())
    if total < 100:
        return None
    usual = int(np.searchsorted(np.cumsum(finite), 0.99 * total))
    far = finite[usual + _OCTAVES :]
    if not far.any():
        return None
    return int(far.sum()), _OCTAVES + int(np.flatnonzero(far)[0])
