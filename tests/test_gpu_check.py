"""The parts of the GPU check that need no GPU: what counts as equal, what it says without one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .codec import interpreted
from .scripts import load

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_check.py"


@pytest.fixture(scope="module")
def gpu_check():
    return load("benchmarks/gpu_check.py")


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
    row = gpu_check.check("IQ2_XXS", "cpu", ("torch",), np.random.default_rng(0), 1000)
    assert row["error"] == "ImportError: no module named gguf"
    assert row["wrong"] == []
    assert "ImportError" in gpu_check.line(row)


def test_a_wrong_value_is_found(gpu_check, monkeypatch):
    right = gpu_check.dequantize

    def wrong(blocks, name, *, device="cpu", backend=None):
        values = right(blocks, name, device=device, backend=backend)
        if backend == "torch":
            values[-1, -1] += 1
        return values

    generator = np.random.default_rng(0)
    assert gpu_check.check("Q8_0", "cpu", ("torch",), generator, 1000)["wrong"] == []
    monkeypatch.setattr(gpu_check, "dequantize", wrong)
    row = gpu_check.check("Q8_0", "cpu", ("torch",), generator, 1000)
    assert row["wrong"] == ["torch: 1 values", "torch: 1 values at another address"]
    assert "1 values" in gpu_check.line(row)


def test_results_that_differ_are_told_apart(gpu_check):
    x, r = np.random.default_rng(0).normal(0, 1, (2, 100)).astype(np.float32)
    want, other = (gpu_check.measure(x, r) for _ in range(2))
    assert gpu_check.differences(other, want) == []
    other.ee *= 1 + 1e-5
    other.counts[5] += 1
    other.n_nan = 1
    words = gpu_check.differences(other, want)
    assert [word.split()[0] for word in words] == ["n_nan", "1", "ee"]
    x[0] = np.nan
    nan = gpu_check.measure(x, r)
    assert gpu_check.differences(nan, nan) == []
    assert "peak is" in " ".join(gpu_check.differences(want, nan))


@pytest.mark.parametrize("name", ["MXFP4", "F32", "Q4_K", "IQ1_M"])
def test_sane_blocks_hold_numbers(gpu_check, name):
    blocks = gpu_check.sane_blocks(name, np.random.default_rng(0), 300)
    values = gpu_check.dequantize(blocks, name)
    assert len(blocks) == 300
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 1e6


@pytest.mark.parametrize("name", ["F32", "Q4_0", "IQ1_M"])
def test_numbers_among_random_blocks_have_numbers_as_their_reference(gpu_check, name):
    shape = (1000, gpu_check.FORMATS[name].qtype.type_size)
    blocks = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    values = gpu_check.dequantize(blocks, name, backend="numpy")
    assert np.isnan(values).any()
    rows = gpu_check.reference_rows(values, np.random.default_rng(0))
    reference = gpu_check.dequantize(rows, "BF16", backend="numpy")
    assert np.array_equal(np.isnan(reference), np.isnan(values))
    assert len({*gpu_check.measure(values, reference).counts}) > 10


def test_sums_beyond_float32_are_compared_where_nothing_hides_them(gpu_check, monkeypatch):
    """Among random blocks some weight is NaN, and so is every sum."""
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    from gguf_lab.codec.backends import torch_, triton_
    from gguf_lab.comparison import triton_kernels

    def decode(fmt, blocks, dtype):
        return torch_.dequantize(fmt, blocks).to(dtype)

    def wrong_beyond_float32(*sides):
        found = gpu_check.measure(*(gpu_check.dequantize(x.numpy(), name) for name, x in sides))
        found.xx *= 1 if found.fits_float32 else 1.01
        return found

    def dequantize(blocks, name, **keywords):
        return right(blocks, name)

    right = gpu_check.dequantize
    monkeypatch.setattr(gpu_check, "dequantize", dequantize)
    monkeypatch.setattr(triton_, "dequantize", decode)
    monkeypatch.setattr(triton_kernels, "measure_with_triton", wrong_beyond_float32)
    row = gpu_check.check("F32", "cpu", ("torch", "triton"), np.random.default_rng(0), 4000)
    (wrong,) = row["wrong"]
    assert wrong.startswith("comparison of finite blocks: xx is")


@pytest.mark.slow
def test_all_of_it_in_small_through_the_interpreter(tmp_path):
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    jobs = {name: ("gpu_check", name) for name in ("Q4_0", "IQ2_XXS", "F16", "huge", "streaming")}
    results = interpreted.run(jobs, tmp_path)
    for result in results.values():
        assert result["error"] is None
        assert result["wrong"] == []
    assert list(results["Q4_0"]["of_copy"]) == [
        "torch",
        "torch.float32",
        "torch.float16",
        "torch.bfloat16",
        "compare",
        "compare with histogram",
    ]
    assert results["huge"]["weights"] == 96_000
    assert results["streaming"]["backend"] == "triton"


@pytest.fixture
def pretended(gpu_check, monkeypatch):
    """Let the CPU stand for a device, a small one."""
    import torch

    answers = {"is_available": True, "get_device_name": "Pretended 1", "mem_get_info": (1 << 18, 0)}
    for name, answer in (answers | {"get_device_capability": (9, 0)}).items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    small = {"CHECKED_BYTES": 2000, "STREAMED_WEIGHTS": 1 << 15, "HUGE_WEIGHTS": 32 * 3000}
    for name, value in (small | {"DEVICE": "cpu", "measure_copy": lambda *_, **__: 1.0}).items():
        monkeypatch.setattr(gpu_check, name, value)


@pytest.mark.usefixtures("pretended")
def test_where_triton_does_not_work_torch_is_checked(gpu_check, monkeypatch, tmp_path, capsys):
    """It is installed, but has no C compiler, say; here, it knows no such device."""
    monkeypatch.setattr(sys, "argv", ["gpu_check", "Q8_0", "--out", str(tmp_path)])
    assert gpu_check.main() == 1
    said = capsys.readouterr()
    assert "only torch is checked: backend 'triton' cannot be used" in said.out
    assert said.err == "gpu-check: differing or unchecked: huge, triton\n"
    found = json.loads((tmp_path / "gpu-check-pretended-1.json").read_text(encoding="utf-8"))
    (row,) = found["formats"]
    assert (row["error"], row["wrong"], [*row["of_copy"]]) == (None, [], ["torch"])
    assert "cannot be used" in found["triton_trouble"]
    model, _, streaming = found["others"]
    assert (model["error"], model["wrong"]) == (None, [])
    assert (streaming["error"], streaming["backend"], streaming["wrong"]) == (None, "torch", [])


def test_an_unknown_format_is_refused_before_anything(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check", "Q8_0", "Q9_9"])
    with pytest.raises(SystemExit):
        gpu_check.main()
    assert "expected one of IQ2_XXS, " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("pretended")
def test_the_whole_script_on_a_pretended_device(gpu_check, monkeypatch, tmp_path, capsys):
    """With the kernels as they are compiled; one format breaks, another one is wrong."""
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    from .codec.compiled import on_the_cpu

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    right = gpu_check.dequantize

    def sometimes(blocks, name, *, device="cpu", backend=None):
        if name == "Q5_0":
            raise RuntimeError("out of memory")
        values = right(blocks, name, device=device, backend=backend)
        if (name, backend) == ("Q8_0", "torch"):
            values[0] += 1
        return values

    monkeypatch.setattr(gpu_check, "dequantize", sometimes)
    command = ["gpu_check", "Q4_K", "Q5_0", "Q8_0", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with on_the_cpu():
        assert gpu_check.main() == 1
    assert capsys.readouterr().err == "gpu-check: differing or unchecked: Q5_0, Q8_0\n"
    found = json.loads((tmp_path / "gpu-check-pretended-1.json").read_text(encoding="utf-8"))
    assert found["timed_weights"] == 1 << 12
    good, broken, wrong = found["formats"]
    assert (good["error"], good["wrong"]) == (None, [])
    assert all(share > 0 for share in good["of_copy"].values())
    assert broken["error"] == "RuntimeError: out of memory"
    assert "of_copy" not in broken
    assert wrong["wrong"] == ["torch: 32 values", "torch: 32 values at another address"]
    assert [row["check"] for row in found["others"]] == ["model", "huge", "streaming"]
    assert found["copy_gb_per_s_afterwards"] == 1.0


def test_a_model_that_comes_out_otherwise_is_found(gpu_check, monkeypatch):
    right = gpu_check.gguf_lab.compare

    def wrong(*arguments, device, **options):
        found = right(*arguments, device="cpu", **options)
        if device != "cpu":
            found.rows[1].statistics.counts[7] += 1
        return found

    assert gpu_check.check_model("cpu")["wrong"] == []
    monkeypatch.setattr(gpu_check.gguf_lab, "compare", wrong)
    decode = gpu_check.gguf_lab.Tensor.dequantize
    monkeypatch.setattr(
        gpu_check.gguf_lab.Tensor, "dequantize", lambda tensor, device: decode(tensor) + 1
    )
    found = gpu_check.check_model("another")
    assert any("1 counts of the histogram" in what for what in found["wrong"])
    assert len(found["wrong"]) == 1 + found["tensors"]


@pytest.mark.slow
def test_a_buffer_that_is_written_too_early_is_found(gpu_check, monkeypatch):
    """Chunks have other weights: the numbers of another one show, even if nearly the same."""
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    from gguf_lab.comparison import on_device

    from .codec.compiled import on_the_cpu

    right, calls = on_device.measure_on_device, itertools.count()

    def sometimes(weights, reference, *arguments, **options):
        if next(calls) == 12:  # five alone, four to warm up
            weights = weights[0], np.roll(weights[1], 1, axis=0)
        return right(weights, reference, *arguments, **options)

    with on_the_cpu():
        assert gpu_check.check_streaming("cpu", 1 << 14)["wrong"] == []
        monkeypatch.setattr(on_device, "measure_on_device", sometimes)
        (what,) = gpu_check.check_streaming("cpu", 1 << 14)["wrong"]
    assert "of a chunk, among others" in what
