"""Weights that stand in a file without a factor, which is a tensor beside them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.reference import align, open_checkpoint

from .support import DATA, contents_of, write_checkpoint, write_model

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = np.random.default_rng(0).standard_normal((3, 4, 64), np.float32)
NAMES = {"up": "mlp.up_proj", "gate": "mlp.gate_proj", "down": "mlp.down_proj"}


def write_original(folder: Path, up: np.ndarray) -> Path:
    folder.mkdir()
    tensors = {
        f"model.layers.0.{name}.weight": ("F32", (4, 64), WEIGHTS[0].tobytes())
        for name in NAMES.values()
    }
    tensors["model.layers.0.mlp.up_proj.weight"] = ("F32", (4, 64), up.astype("<f4").tobytes())
    write_checkpoint(folder / "model.safetensors", tensors)
    return folder


@pytest.mark.parametrize("end", ["", ".weight"])
@pytest.mark.parametrize("kind", ["NVFP4", "Q4_0", "F32"])
def test_weights_are_compared_times_their_scale(tmp_path: Path, kind: str, end: str) -> None:
    """Without it a file in NVFP4 is thousands of times its original."""
    stored = gl.quantize(WEIGHTS[0] * 3000, kind)
    scale = np.float32(1 / 3000)
    tensors = {
        "blk.0.ffn_up.weight": (kind, np.asarray(stored)),
        f"blk.0.ffn_up{end}.scale": np.array([scale]),
        f"blk.0.ffn_up{end}.input_scale": np.array([7.0]),
        "blk.0.ffn_gate.weight": WEIGHTS[0],
        "blk.0.ffn_down.weight": WEIGHTS[0],
    }
    model = write_model(tmp_path / "m.gguf", tensors)
    original = write_original(tmp_path / "hf", WEIGHTS[0])
    importance = {"blk.0.ffn_up.weight": np.arange(1.0, 65)}
    result = gl.compare(model, original, importance=importance, progress=False)
    row = result["blk.0.ffn_up.weight"]
    due = gl.dequantize(stored, kind).reshape(4, 64) * scale
    error = (due - WEIGHTS[0]).astype(np.float64)
    assert row.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    assert row.max_abs_error == np.abs(error).max()
    weighted = np.square(error) @ np.arange(1.0, 65), np.square(WEIGHTS[0]) @ np.arange(1.0, 65)
    due_weighted = np.sqrt(weighted[0].sum() / weighted[1].sum())
    assert row.weighted_relative_rmse == pytest.approx(due_weighted, rel=1e-6)
    assert row.transform == f"the file's weights times blk.0.ffn_up{end}.scale"
    assert row.qtype == kind
    scales = result[f"blk.0.ffn_up{end}.scale"], result[f"blk.0.ffn_up{end}.input_scale"]
    assert [(row.status, row.measured) for row in scales] == [("scale", False)] * 2
    assert scales[0].reason == "the weights beside it are multiplied with it"
    words = "3 of 3 tensors compared, 1 of them weighted by importance, 2 scales beside them"
    assert result.summary == words


def test_a_scale_alone_multiplies_too(tmp_path: Path) -> None:
    """As llama.cpp does, whatever the type is."""
    tensors = {f"blk.0.ffn_{kind}.weight": WEIGHTS[0] for kind in NAMES}
    tensors["blk.0.ffn_up.scale"] = np.array([0.5])
    model = write_model(tmp_path / "m.gguf", tensors)
    original = write_original(tmp_path / "hf", WEIGHTS[0] / 2)
    assert gl.compare(model, original, progress=False)["blk.0.ffn_up.weight"].exact


@pytest.mark.parametrize("architecture", ["llama", "qwen2moe"])
def test_two_files_are_compared_times_the_scales_of_each(tmp_path: Path, architecture: str) -> None:
    """One number for all weights, or one for each expert."""
    several = architecture == "qwen2moe"
    name = "blk.0.ffn_up_exps" if several else "blk.0.ffn_up"
    weights = WEIGHTS if several else WEIGHTS[0]
    scales = np.array([2.0, 4, 8]) if several else np.array([4.0])
    factors = scales[:, None, None] if several else scales
    halves = {
        f"{name}.weight": weights,
        f"{name}.scale": scales,
        f"{name}.input_scale": scales,
    }
    whole = {f"{name}.weight": weights * factors}
    both = [
        write_model(tmp_path / f"{i}.gguf", tensors, architecture)
        for i, tensors in enumerate((halves, whole))
    ]
    row = gl.compare(*both, progress=False)[f"{name}.weight"]
    assert row.exact
    assert row.transform == f"the file's weights times {name}.scale"
    row = gl.compare(*reversed(both), progress=False)[f"{name}.weight"]
    assert row.exact
    assert row.transform == f"the reference's weights times {name}.scale"
    assert gl.compare(both[0], both[0], progress=False)[f"{name}.weight"].exact


@pytest.mark.parametrize("n", [2, 64])
def test_a_scale_that_does_not_fit_leaves_no_figure(tmp_path: Path, n: int) -> None:
    tensors = {f"blk.0.ffn_{kind}.weight": WEIGHTS[0] for kind in NAMES}
    tensors["blk.0.ffn_up.scale"] = np.ones(n)
    model = write_model(tmp_path / "m.gguf", tensors)
    original = write_original(tmp_path / "hf", WEIGHTS[0])
    row = gl.compare(model, original, progress=False)["blk.0.ffn_up.weight"]
    if n == 64:  # one for each column: of what goes in
        assert row.exact
    else:
        assert row.status == "unsupported"
        assert row.reason == "scales of shape (2,) do not fit weights of shape (4, 64) in the file"


def gemma4(folder: Path, *, folded: bool) -> tuple[Path, Path]:
    """The experts of gemma4 have scales of their own; NVFP4's are multiplied into these."""
    source = DATA / "gemma4-moe"
    with gl.open(source / "gemma4-moe-bf16.gguf") as model:
        tensors, numbers = contents_of(model)
        name = "blk.0.ffn_down_exps"
        scales = model.tensor(f"{name}.scale").to_numpy()
        weights = model.tensor(f"{name}.weight").to_numpy()
    if folded:
        tensors[f"{name}.weight"], tensors[f"{name}.scale"] = weights / 2, scales * 2
        tensors[f"{name}.input_scale"] = np.ones_like(scales)
    write_model(folder / "m.gguf", tensors, "gemma4", **numbers)
    return folder / "m.gguf", source / "hf"


def test_scales_of_the_model_are_compared_for_themselves(tmp_path: Path) -> None:
    model, original = gemma4(tmp_path, folded=False)
    rows = {row.name: row for row in gl.compare(model, original, progress=False).rows}
    assert rows["blk.0.ffn_down_exps.scale"].exact
    assert "times" not in rows["blk.0.ffn_down_exps.weight"].transform
    assert rows["blk.0.ffn_gate_inp.scale"].exact
    two = {row.name: row for row in gl.compare(model, model, progress=False).rows}
    assert two["blk.0.ffn_down_exps.scale"].exact
    assert two["blk.0.ffn_down_exps.weight"].transform == ""


def test_scales_of_the_model_that_hold_those_of_a_quantization_too(tmp_path: Path) -> None:
    model, original = gemma4(tmp_path, folded=True)
    rows = {row.name: row for row in gl.compare(model, original, progress=False).rows}
    row = rows["blk.0.ffn_down_exps.weight"]
    assert row.exact
    assert row.transform.endswith("the file's weights times blk.0.ffn_down_exps.scale")
    assert "router.per_expert_scale" in (row.reference_name or "")
    assert rows["blk.0.ffn_down_exps.scale"].status == "scale"


def test_scales_of_the_model_without_its_weights(tmp_path: Path) -> None:
    """What is in the file is no longer the scale of the model: it has no figure."""
    model, original = gemma4(tmp_path, folded=True)
    tensors = {
        t.name: (t.dtype, t.shape, t.read(0, t.n_rows).tobytes())
        for t in open_checkpoint(original).tensors.values()
        if "experts.down_proj" not in t.name
    }
    (tmp_path / "hf").mkdir()
    shutil.copy(original / "config.json", tmp_path / "hf")
    write_checkpoint(tmp_path / "hf" / "model.safetensors", tensors)
    found = gl.compare(model, tmp_path / "hf", progress=False)
    rows = {row.name or row.reference_name: row for row in found.rows}
    assert rows["blk.0.ffn_down_exps.weight"].status == "unmatched"
    assert rows["blk.0.ffn_down_exps.scale"].status == "scale"
    left = [row.reason for name, row in rows.items() if "layers.0.router.per_expert" in str(name)]
    assert left == ["part of a scale in the file"]


def test_truncated_scales_leave_no_figure(tmp_path: Path) -> None:
    tensors = {f"blk.0.ffn_{kind}.weight": WEIGHTS[0] for kind in NAMES}
    tensors["blk.0.ffn_up.scale"] = np.ones(1)
    path = write_model(tmp_path / "m.gguf", tensors)
    content = path.read_bytes()
    with gl.open(path) as whole:
        end = whole.tensor("blk.0.ffn_up.scale").info.offset
        start = max(t.info.offset for t in whole.tensors.values())
    assert end == start, "the scale is the last tensor"
    path.write_bytes(content[:-32])
    model = gl.open(path)
    assert model.tensor("blk.0.ffn_up.scale").status == "truncated"
    alignment = align(model, open_checkpoint(write_original(tmp_path / "hf", WEIGHTS[0])))
    pair = next(p for p in alignment.pairs if p.name == "blk.0.ffn_up.weight")
    assert (pair.status, pair.reason) == ("unsupported", "the tensor in the file is truncated")


def test_beside_a_file_without_scales(tmp_path: Path) -> None:
    """The other file needs none: they are no difference between the two."""
    folder = DATA / "llama-nvfp4"
    plain = gl.export(folder / "hf", tmp_path / "m.gguf", tokenizer=False, progress=False)
    both = [
        gl.compare(path, folder / "hf", progress=False)
        for path in (plain, folder / "llama-nvfp4.gguf")
    ]
    beside = both[0].beside(both[1])
    assert len(beside.compared) == 12
    assert {row.status for row in beside.rows if row.name} == {"compared", "scale"}
    assert "not compared" not in beside.summary
    found = gl.check(folder / "llama-nvfp4.gguf", folder / "hf", progress=False)
    assert [f.where for f in found if f.code == "unmatched"] == [
        "model.layers.0.mlp.down_proj.input_scale"
    ]
