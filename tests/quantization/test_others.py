"""The other packages: what is said where they are not installed, and what they do where they are.

Of each that is installed the bits are counted here by hand, from what its format is known to store.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache

import numpy as np
import pytest

from gguf_lab.quantization import others, rate_distortion

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours

ROWS, COLUMNS = 32, 512
N = ROWS * COLUMNS

# Method: module, and bits per weight: those of a code, then scales and offsets per weight.
METHODS = {
    "bitsandbytes NF4": ("bitsandbytes", 4 + 32 / 64),
    "bitsandbytes NF4 nested": ("bitsandbytes", 4 + 8 / 64 + 32 / (64 * 256) + 32 / N),
    "bitsandbytes FP4": ("bitsandbytes", 4 + 32 / 64),
    "bitsandbytes INT8": ("bitsandbytes", 8 + 32 / COLUMNS),
    "HQQ 4-bit": ("hqq", 4 + (16 + 16) / 64),
    "HQQ 2-bit": ("hqq", 2 + (16 + 16) / 64),
    "torchao int4": ("torchao", 4 + 16 / 32),
    "torchao float8": ("torchao", 8 + 32 / COLUMNS),
    "quanto int8": ("optimum.quanto", 8 + 16 / COLUMNS),
    "quanto float8": ("optimum.quanto", 8 + 16 / COLUMNS),
    "quanto int4": ("optimum.quanto", 4 + (16 + 16) / 128),
    "quanto int2": ("optimum.quanto", 2 + (16 + 16) / 128),
}

NF4 = (
    *(-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0),
)
"""Table of the paper (QLoRA, appendix E)."""

FP4 = (0.0, 0.0052083333, 0.16666667, 0.25, 0.33333333, 0.5, 0.66666667, 1.0)
"""Magnitudes of bitsandbytes' own four-bit floats."""


def weights() -> np.ndarray:
    """Return weights that float16 holds exactly: some packages take no others."""
    normal = np.random.default_rng(5).normal(0, 0.05, (ROWS, COLUMNS))
    return normal.astype(np.float16).astype(np.float32)


def nearest(values: np.ndarray, table: tuple[float, ...]) -> np.ndarray:
    """Round to the nearest entry of a table."""
    levels = np.sort(np.array(table))
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]


def in_blocks(table: tuple[float, ...]) -> np.ndarray:
    """Round blocks of 64, each scaled by its largest magnitude."""
    blocks = weights().astype(np.float64).reshape(-1, 64)
    scales = np.abs(blocks).max(axis=1, keepdims=True)
    return (nearest(blocks / scales, table) * scales).reshape(ROWS, COLUMNS)


def in_rows() -> np.ndarray:
    """Round rows to whole multiples of 1/127 of their largest magnitude."""
    rows = weights().astype(np.float64)
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    return np.round(rows / scales) * scales


EXPECTED = {
    "bitsandbytes NF4": lambda: in_blocks(NF4),
    "bitsandbytes FP4": lambda: in_blocks((*FP4, *(-level for level in FP4))),
    "bitsandbytes INT8": in_rows,
    "quanto int8": in_rows,
}
"""What those must give, of which the rule is simple enough to be written down once more."""


@cache
def measured() -> dict:
    result = rate_distortion(weights(), ["Q4_0", "Q8_0"], progress=False)
    return {rate.method: rate for rate in result.rates}


def error_of(back: np.ndarray) -> float:
    return float(np.linalg.norm(back - weights()) / np.linalg.norm(weights()))


def test_every_method_is_listed():
    assert {m.name for m in others.other_methods()} == METHODS.keys()
    assert METHODS.keys() <= measured().keys()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_installed_says_how_to_install_it(method, monkeypatch):
    def missing(module):
        if "." in module:  # as Python does if the package around it is missing
            raise ModuleNotFoundError(module)

    monkeypatch.setattr(others, "find_spec", missing)
    result = rate_distortion(weights(), ["Q8_0"], progress=False)
    rate = next(rate for rate in result.rates if rate.method == method)
    assert rate.status.startswith("not installed: pip install ")
    assert math.isnan(rate.bits_per_weight)
    assert math.isnan(rate.relative_rmse)
    assert rate.status in result._repr_html_()


def test_a_package_that_fails_is_a_row_with_its_reason(monkeypatch):
    def broken(_values):
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(others, "_METHODS", [("HQQ", "json", "hqq", "4-bit", broken)])
    result = rate_distortion(weights(), ["Q8_0"], progress=False)
    rates = {rate.method: rate for rate in result.rates}
    assert rates["HQQ 4-bit"].status == "failed: RuntimeError: no kernel for this device"
    assert rates["Q8_0"].status == "measured"


def test_values_that_are_not_finite_are_no_figure(monkeypatch):
    def endless(values):
        return values * float("inf"), 1.0

    monkeypatch.setattr(others, "_METHODS", [("HQQ", "json", "hqq", "4-bit", endless)])
    result = rate_distortion(weights(), ["Q8_0"], progress=False)
    rate = next(rate for rate in result.rates if rate.method == "HQQ 4-bit")
    assert rate.status == "failed: values that are not finite came back"


@pytest.mark.parametrize("method", METHODS)
def test_bits_are_those_that_the_format_stores(method):
    module, bits = METHODS[method]
    skip_without(module)
    rate = measured()[method]
    assert rate.status == "measured"
    assert rate.bits_per_weight == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize("method", EXPECTED)
def test_errors_are_those_of_the_published_rule(method):
    skip_without(METHODS[method][0])
    # float16 in between: scales, or what comes back, are rounded to 11 bits
    assert measured()[method].relative_rmse == pytest.approx(error_of(EXPECTED[method]()), rel=5e-3)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in EXPECTED])
def test_errors_are_those_that_so_many_bits_can_have(method):
    skip_without(METHODS[method][0])
    rate = measured()[method]
    assert 0 < rate.gap_bits < 3


def skip_without(module: str) -> None:
    """Skip visibly: no test run installs these packages, they are hundreds of megabytes."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{module} is not installed: pip install 'gguf-lab[methods]'")
