"""The parts of the GPU check that need no GPU: what counts as equal, what it says without one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_check.py"


@pytest.fixture(scope="module")
def gpu_check():
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_device_it_says_so_and_checks_nothing(tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path)]
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 2
    assert "no CUDA device" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_bits_are_compared_and_any_nan_equals_any_nan(gpu_check):
    bits = np.array([0x7FC00000, 0xFF800001, 0x00000000, 0x3F800000, 0x7F800000], np.uint32)
    other = np.array([0xFFC00001, 0x7FC00000, 0x80000000, 0x3F800001, 0x7F800000], np.uint32)
    values, others = bits.view(np.float32), other.view(np.float32)
    assert gpu_check.count_differing(values, others) == 2  # minus zero, and the last bit of 1
    assert gpu_check.count_differing(values, values) == 0
    with pytest.raises(ValueError, match="shape"):
        gpu_check.count_differing(values, others[:2])


def test_one_broken_format_is_reported_and_does_not_hide_the_others(gpu_check, monkeypatch):
    def broken(*arguments, **keywords):
        raise ImportError("no module named gguf")

    monkeypatch.setattr(gpu_check, "dequantize", broken)
    row = gpu_check.check("IQ2_XXS", 1.0, np.random.default_rng(0))
    assert row["error"] == "ImportError: no module named gguf"
    assert "ImportError" in gpu_check.line(row)
