"""Quantizers where float32 ends, and their kernels in numba's cache on disk."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from gguf_lab.codec.quantizers import can_quantize, quantize
from gguf_lab.errors import QuantizationError

# Weights and importance (all else is 0) whose largest scale is positive, while the block's own
# becomes 0; or whose inverse scale is infinite. The bytes (all else is 0) are ggml's.
AT_THE_END = [
    (
        "IQ1_M",
        {245: -5.605194e-45, 246: -1.401298e-45, 247: -1.401298e-45, 254: 0.0516235},
        {247: 493725408.0},
        {47: 136},
    ),
    (
        "IQ1_S",
        {151: 8.22591e-07, 153: -2.802597e-45, 154: -2.802597e-45},
        {154: 1224811661492224.0},
        {43: 128},
    ),
    (
        "IQ2_XS",
        {164: 801.7874, 169: -4.2e-45, 170: -4.2e-45, 173: 1.4e-45, 174: 1.4e-45, 175: 4.2e-45},
        {169: 5.4524e19, 170: 4.11569e19, 173: 5.01666e18, 174: 4.32615e18, 175: 2.76428e19},
        {42: 53, 45: 12},
    ),
    (
        "IQ3_XXS",
        {164: 801.7874, 185: -2.8e-45, 186: 4.2e-45, 189: -1.4e-45, 190: -1.4e-45, 191: -1.4e-45},
        {185: 4.94821e19, 186: 4.25806e19, 189: 1.30839e19, 190: 2.04103e19, 191: 1.07606e19},
        {88: 64, 89: 12},
    ),
    ("IQ4_NL", {0: 1.0, 1: 1e-42}, {1: 1.0}, dict.fromkeys(range(2, 18), 255)),
]


@pytest.mark.parametrize(
    ("name", "weights", "importance", "expected"), AT_THE_END, ids=[row[0] for row in AT_THE_END]
)
def test_scales_that_become_nothing(name, weights, importance, expected):
    n = 32 if name == "IQ4_NL" else 256
    row, columns = np.zeros((1, n), np.float32), np.zeros(n, np.float32)
    for array, given in ((row[0], weights), (columns, importance)):
        array[list(given)] = list(given.values())
    found = quantize(row, name, importance=columns)[0]
    assert {int(k): int(found[k]) for k in np.flatnonzero(found)} == expected


@pytest.mark.parametrize("name", ["Q4_0", "IQ2_XS", "Q6_K"])
def test_an_importance_that_overflows_is_refused(name):
    rows = np.random.default_rng(0).standard_normal((1, 256)).astype(np.float32)
    columns = np.full(256, 1e30, np.float32)
    quantize(rows, name, importance=columns)
    columns[7] = 2e30
    with pytest.raises(QuantizationError, match=r"column 7 is 2e\+30.*at most 1e\+30"):
        quantize(rows, name, importance=columns)


def test_no_two_compiled_functions_have_one_name():
    """In the cache on disk numba tells functions of one name apart by luck."""
    from numba.core.registry import CPUDispatcher

    assert can_quantize("IQ2_XS")  # imports all of them
    functions = {
        id(made.py_func): made.py_func
        for made in gc.get_objects()
        if issubclass(type(made), CPUDispatcher)  # torch warns whoever asks for a __class__
        and made.py_func.__module__.startswith("gguf_lab.codec.quantizers")
        and made.targetoptions.get("inline") != "always"
    }
    names = Counter((f.__module__, f.__qualname__) for f in functions.values())
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_what_numpy_is_told_to_raise_is_about_the_numbers_of_others():
    """Numbers too small for float32 become 0, as ever."""
    small, plain = np.full((1, 32), 1e-300), np.full((1, 32), 0.5)
    with np.errstate(all="raise"):
        assert not quantize(small, "Q8_0").any()
        assert quantize(plain, "Q8_0", importance=np.full(32, 1e-40)).any()


def test_a_view_of_torch_that_keeps_its_sign_beside_the_numbers():
    numbers = torch.complex(torch.zeros(1, 32), torch.linspace(-1, 1, 32)[None])
    view = numbers.conj().imag
    assert view.is_neg()
    assert (quantize(view, "Q8_0") == quantize(view.resolve_neg(), "Q8_0")).all()
    importance = numbers.conj().imag.abs()[0]
    assert quantize(view, "Q4_0", importance=importance).any()


@pytest.mark.parametrize(
    "change", [lambda t: t.to("meta"), torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr]
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_an_importance_without_data_or_not_dense_is_refused(change):
    with pytest.raises(QuantizationError, match="must be a dense tensor with data; got a torch"):
        quantize(np.ones((1, 32)), "Q8_0", importance=change(torch.ones(1, 32)))


@pytest.mark.slow
def test_kernels_of_several_processes_meet_in_the_cache(tmp_path):
    """Each compiles one type; then one process loads two of them, and their bits are the same."""

    def session(*names):
        code = f"""
import numpy as np
from gguf_lab.codec.quantizers import quantize
rows = np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32)
for name in {names}:
    print(name, quantize(rows, name, importance=np.ones(512)).tobytes().hex())
"""
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split() for line in done.stdout.splitlines())

    alone = {}
    for name in ("IQ2_XXS", "IQ2_XS", "IQ3_XXS"):
        alone |= session(name)
    assert session("IQ2_XS", "IQ3_XXS", "IQ2_XXS") == alone
