"""Checkpoints in few bits, against torch's own numbers; whole models are in test_exactness."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.errors import ComparisonError
from gguf_lab.reference import align, open_checkpoint
from gguf_lab.reference.quantized import decode_tensors
from gguf_lab.reference.transforms import Decoded, products

from .support import DATA, E2M1, TABLES, ArrayRows, fake_model, write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

FP8 = {"quant_method": "fp8", "weight_block_size": [3, 4]}
TYPES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I8": torch.int8,
    "U8": torch.uint8,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I32": torch.int32,
}


@dataclass(frozen=True)
class Named(ArrayRows):
    name: str = ""


def rows(name: str, tensor: torch.Tensor) -> Named:
    """A tensor of torch as one of a checkpoint."""
    dtype = next(name for name, kind in TYPES.items() if kind == tensor.dtype)
    seen = tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[tensor.itemsize])
    return Named(seen.numpy(), dtype, name=name)


def decoded(tensors: dict[str, torch.Tensor], how: dict[str, Any]) -> dict[str, Any]:
    named = {name: rows(name, tensor) for name, tensor in tensors.items()}
    return decode_tensors(named, {"quantization_config": how}).tensors


def values(tensor: Any, start: int = 0, stop: int | None = None) -> np.ndarray:
    stop = int(np.prod(tensor.shape[:-1])) if stop is None else stop
    assert tensor.dtype == "F32"
    return tensor.read(start, stop).view(np.float32)  # type: ignore[no-any-return]


def bits(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Numbers of any bits, NaN among them."""
    made = np.random.default_rng(seed).integers(0, 256, (*shape[:-1], shape[-1] * dtype.itemsize))
    return torch.from_numpy(made.astype(np.uint8)).view(dtype)


def spread(scales: torch.Tensor, block: tuple[int, ...], shape: tuple[int, ...]) -> torch.Tensor:
    """Scales as large as their weights, as llama.cpp's converter makes them."""
    scales = scales.float()
    for axis, size in enumerate(block, scales.ndim - len(block)):
        scales = scales.repeat_interleave(size, axis)
    return scales[tuple(slice(0, n) for n in shape)]


@given(
    st.sampled_from(["F8_E4M3", "F8_E5M2", "I8"]),
    st.sampled_from(["F32", "BF16", "F8_E8M0"]),
    st.lists(st.integers(1, 9), min_size=2, max_size=3),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 999),
)
def test_blocks_of_any_size_as_torch_has_them(
    dtype: str, scale_dtype: str, shape: list[int], block: tuple[int, int], seed: int
) -> None:
    weights = bits(tuple(shape), TYPES[dtype], seed)
    counts = (*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1]))
    scales = bits(counts, TYPES[scale_dtype], seed + 1)
    how = {"quant_method": "fp8", "weight_block_size": [*block]}
    found = decoded({"a.weight": weights, "a.weight_scale_inv": scales}, how)
    assert [*found] == ["a.weight"]
    due = (weights.float() * spread(scales, block, tuple(shape))).reshape(-1, shape[-1]).numpy()
    np.testing.assert_array_equal(values(found["a.weight"]), due)
    first, last = sorted(np.random.default_rng(seed).integers(0, len(due) + 1, 2).tolist())
    np.testing.assert_array_equal(values(found["a.weight"], first, last), due[first:last])


@pytest.mark.parametrize("counts", [(), (1,), (6,), (6, 1), (1, 5), (6, 5), (1, 1)])
def test_scales_without_a_block_fit_by_their_shape(counts: tuple[int, ...]) -> None:
    weights, scales = bits((6, 5), torch.int8, 1), torch.rand(counts)
    how = {"quant_method": "modelopt"}
    found = decoded({"a.weight": weights, "a.weight_scale": scales}, how)
    wide = scales.reshape(*counts, *(1,) * (2 - len(counts)))
    np.testing.assert_array_equal(values(found["a.weight"], 2, 5), (weights * wide).numpy()[2:5])


def test_one_scale_for_each_of_some_experts() -> None:
    weights, scales = bits((4, 3, 5), torch.float8_e4m3fn, 2), torch.rand(4)
    found = decoded({"up": weights, "up_scale_inv": scales}, {"quant_method": "fp8"})
    due = (weights.float() * scales[:, None, None]).reshape(12, 5).numpy()
    np.testing.assert_array_equal(values(found["up"], 4, 11), due[4:11])


@pytest.mark.parametrize("width", [2, 4, 8])
def test_packed_numbers(width: int) -> None:
    """The first one is in the lowest bits of a word; the last word may have room for more."""
    rng, half = np.random.default_rng(width), 1 << width - 1
    numbers = rng.integers(-half, half, (5, 18))
    words = np.zeros((5, -(-18 * width // 32)), np.int64)
    for column in range(18):
        words[:, column * width // 32] |= numbers[:, column] + half << column * width % 32
    scales = torch.rand(5, 6).bfloat16()
    tensors = {
        "a.weight_packed": torch.from_numpy(words.astype(np.uint32).view(np.int32)),
        "a.weight_scale": scales,
    }
    found = decoded(tensors, packed(width, 3))
    assert [*found] == ["a.weight"]
    due = torch.from_numpy(numbers).float() * scales.float().repeat_interleave(3, 1)
    np.testing.assert_array_equal(values(found["a.weight"], 1, 4), due.numpy()[1:4])


def packed(width: object, group: object, **more: object) -> dict[str, Any]:
    weights = {"num_bits": width, "group_size": group, "strategy": "group", **more}
    groups = {"group_0": {"weights": weights}}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": groups,
    }


@pytest.mark.parametrize(
    "how",
    [
        None,
        {},
        "fp8",
        {"quant_method": "gptq"},
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"},
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": ["gptq"]},
        packed(4, 3, symmetric=False),
        packed(3, 3),
        packed([4], None),
        packed(4, 0),
        {**packed(4, 3), "config_groups": {}},
        {**packed(4, 3), "config_groups": {"a": {}, "b": {}}},
        {**packed(4, 3), "config_groups": {"a": {"weights": 3}}},
    ],
)
def test_what_is_not_known_stays_as_it_is(how: Any) -> None:
    tensors = {
        "a.weight": bits((6, 5), torch.int8, 1),
        "a.weight_scale": torch.rand(6, 1),
        "b.weight_packed": bits((6, 5), torch.int32, 1),
        "b.weight_scale": torch.rand(6, 1),
        "c.qweight": bits((1, 8), torch.int32, 1),
        "c.qzeros": bits((2, 1), torch.int32, 1),
        "c.scales": torch.rand(2, 8),
        "c.g_idx": torch.zeros(8, dtype=torch.int32),
    }
    found = decoded(tensors, how)
    assert [*found] == [*tensors]
    assert not any(isinstance(tensor, Decoded) for tensor in found.values())


@pytest.mark.parametrize("symmetric", [True, False])
def test_packed_numbers_whose_columns_have_moved_stay_as_they_are(symmetric: bool) -> None:
    tensors = {
        "a.weight_packed": bits((6, 2), torch.int32, 1),
        "a.weight_scale": torch.rand(6, 4),
        "a.weight_zero_point": bits((1, 4), torch.int32, 1),
        "a.weight_g_idx": bits((16,), torch.int32, 1),
    }
    assert [*decoded(tensors, packed(4, 4, symmetric=symmetric))] == [*tensors]


def in_words(numbers: np.ndarray, width: int, axis: int) -> torch.Tensor:
    """Numbers along an axis, the first one in the lowest bits of the first word."""
    rows = np.moveaxis(numbers, axis, -1)
    each = 32 // width
    words = np.zeros((len(rows), -(-rows.shape[1] // each)), np.int64)
    for column in range(rows.shape[1]):
        words[:, column // each] |= rows[:, column].astype(np.int64) << column % each * width
    packed = np.moveaxis(words.astype(np.uint32).view(np.int32), -1, axis)
    return torch.from_numpy(np.ascontiguousarray(packed))


WIDTHS = st.sampled_from([2, 4, 8])


@given(WIDTHS, *[st.integers(1, 9)] * 3, st.sampled_from(["numba", "numpy"]), st.integers(0, 999))
def test_packed_numbers_with_zero_points(
    width: int, n_rows: int, groups: int, group: int, backend: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 1 << width, (n_rows, groups * group))
    zeros = rng.integers(0, 1 << width, (n_rows, groups))
    scales = bits((n_rows, groups), torch.bfloat16, seed)
    tensors = {
        "a.weight_packed": in_words(numbers, width, 1),
        "a.weight_scale": scales,
        "a.weight_zero_point": in_words(zeros, width, 0),
        "a.weight_shape": torch.tensor([n_rows, groups * group], dtype=torch.int32),
    }
    whole = torch.from_numpy(numbers - zeros.repeat(group, 1)).float()
    due = (whole * scales.float().repeat_interleave(group, 1)).numpy()
    check(tensors, packed(width, group, symmetric=False), due, backend, seed)


@given(
    WIDTHS,
    *[st.integers(1, 4)] * 3,
    st.sampled_from(["gptq", "gptq_v2", None]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    st.sampled_from(["numba", "numpy"]),
    st.integers(0, 999),
)
def test_the_matrices_of_gptq_lie_on_their_side(
    width: int,
    outs: int,
    ins: int,
    groups: int,
    version: str | None,
    dtype: torch.dtype,
    backend: str,
    seed: int,
) -> None:
    """Columns are in any order of groups; the first version has its zero points less one."""
    rng, each = np.random.default_rng(seed), 32 // width
    n_rows, columns = outs * each, ins * each
    numbers = rng.integers(0, 1 << width, (columns, n_rows))
    zeros = rng.integers(0, 1 << width, (groups, n_rows))
    scales, group_of = bits((groups, n_rows), dtype, seed), rng.integers(0, groups, columns)
    tensors = {
        "a.qweight": in_words(numbers, width, 0),
        "a.qzeros": in_words(zeros, width, 1),
        "a.scales": scales,
        "a.g_idx": torch.from_numpy(group_of.astype(np.int32)),
    }
    added = 0 if version == "gptq_v2" else 1
    whole = torch.from_numpy(numbers - zeros[group_of] - added).float()
    due = (scales[group_of].float() * whole).T.numpy()
    how = {"quant_method": "gptq", "bits": width}
    how |= {} if version is None else {"checkpoint_format": version}
    check(tensors, how, due, backend, seed)


@given(*[st.integers(1, 5)] * 2, st.sampled_from([None, "bitlinear", "autobitlinear"]))
def test_ternary_numbers_and_their_scale(n_rows: int, columns: int, linear: str | None) -> None:
    """Transformers' ``BitLinear`` divides by the scale; its ``AutoBitLinear`` multiplies."""
    rng = np.random.default_rng(n_rows * columns)
    numbers = torch.from_numpy(rng.integers(-1, 2, (4 * n_rows, columns))).float()
    scale = torch.tensor([1.7], dtype=torch.bfloat16)
    quarters = (numbers + 1).to(torch.uint8).reshape(4, n_rows, columns)
    packed = quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6
    tensors = {"a.weight": packed, "a.weight_scale": scale}
    due = numbers * scale.float() if linear == "autobitlinear" else numbers / scale.float()
    how = {"quant_method": "bitnet"} | ({} if linear is None else {"linear_class": linear})
    check(tensors, how, due.numpy(), "numpy", n_rows)


def check(
    tensors: dict[str, torch.Tensor], how: dict[str, Any], due: np.ndarray, backend: str, seed: int
) -> None:
    found = decoded(tensors, how)
    assert [*found] == ["a.weight"]
    assert found["a.weight"].shape == due.shape
    first, last = sorted(np.random.default_rng(seed).integers(0, len(due) + 1, 2).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "choose_backend", lambda: backend)
        np.testing.assert_array_equal(values(found["a.weight"]), due)
        np.testing.assert_array_equal(values(found["a.weight"], first, last), due[first:last])


@pytest.mark.parametrize("group_of", [[0, 1, 2, 0, 0, 0, 0, 0], [0, -1, 0, 0, 0, 0, 0, 0]])
def test_a_column_of_a_group_that_there_is_not_is_said(group_of: list[int]) -> None:
    tensors = {
        "a.qweight": bits((1, 8), torch.int32, 1),
        "a.qzeros": bits((2, 1), torch.int32, 1),
        "a.scales": torch.rand(2, 8),
        "a.g_idx": torch.tensor(group_of, dtype=torch.int32),
    }
    found = decoded(tensors, {"quant_method": "gptq", "bits": 4})
    with pytest.raises(
        ComparisonError, match=r"a.g_idx: columns belong to groups -?\d to \d: there are 2"
    ):
        values(found["a.weight"])


@given(st.integers(1, 5), st.integers(1, 9), st.sampled_from(["modelopt", "ct", "none"]))
def test_nvfp4_by_its_names(n_rows: int, groups: int, style: str) -> None:
    """Numbers of 4 bits, two to a byte; a scale for each 16 of a row, and one for all.

    Of the latter, compressed-tensors has the reciprocal.
    """
    rng = np.random.default_rng(n_rows * groups)
    codes = rng.integers(0, 16, (n_rows, 16 * groups), np.uint8)
    scales = bits((n_rows, groups), torch.float8_e4m3fn, groups)
    whole = torch.tensor(rng.uniform(1e-6, 1e-3), dtype=torch.float32)
    name = "a.weight_packed" if style == "ct" else "a.weight"
    tensors = {
        name: torch.from_numpy(codes[:, ::2] | codes[:, 1::2] << 4),
        "a.weight_scale": scales,
        "a.input_scale": whole,
    }
    due = torch.from_numpy(E2M1[codes]) * scales.float().repeat_interleave(16, 1)
    if style == "modelopt":
        tensors["a.weight_scale_2"] = whole
        due *= whole
    elif style == "ct":
        tensors["a.weight_global_scale"] = whole.reshape(1)
        due *= 1 / whole
    found = decoded(tensors, {})
    assert [*found] == ["a.weight"]
    np.testing.assert_array_equal(values(found["a.weight"]), due.numpy())
    np.testing.assert_array_equal(values(found["a.weight"], 1, n_rows), due.numpy()[1:])


@pytest.mark.parametrize("counts", [(3, 4), (2, 3), (2,), (), (2, 1, 4)])
def test_nvfp4_whose_scales_do_not_fit_is_said(counts: tuple[int, ...]) -> None:
    tensors = {
        "a.weight": bits((2, 32), torch.uint8, 1),
        "a.weight_scale": bits((*counts, 1), torch.float8_e4m3fn, 2).reshape(counts),
    }
    with pytest.raises(ComparisonError, match=r"do not (fit|hold)"):
        _ = decoded(tensors, {})["a.weight"].shape


def test_fp8_and_mxfp4_in_the_format_of_deepseek_by_their_names() -> None:
    weights, packed = bits((130, 5), torch.float8_e4m3fn, 1), bits((3, 32), torch.int8, 2)
    scales = {"a": torch.tensor([[0.5], [8.0]]), "b": torch.tensor([[1.0, 2], [4, 0.5], [1, 1]])}
    tensors = {"a.weight": weights, "b.weight": packed} | {
        f"{name}.scale": scale.to(torch.float8_e8m0fnu) for name, scale in scales.items()
    }
    found = decoded(tensors, {})
    assert [*found] == ["a.weight", "b.weight"]
    due = weights.float() * scales["a"].repeat_interleave(128, 0)[:130]
    np.testing.assert_array_equal(values(found["a.weight"]), due.numpy())
    codes = packed.view(torch.uint8).numpy()
    numbers = E2M1[np.stack([codes & 15, codes >> 4], -1).reshape(3, 64)]
    due = torch.from_numpy(numbers) * scales["b"].repeat_interleave(32, 1)
    np.testing.assert_array_equal(values(found["b.weight"]), due.numpy())


def test_fp8_in_the_format_of_mistral_by_its_names() -> None:
    """It has no config.json."""
    weights = bits((6, 5), torch.float8_e4m3fn, 1)
    tensors = {
        "layers.0.attention.wq.weight": weights,
        "layers.0.attention.wq.qscale_weight": torch.tensor(0.3),
        "layers.0.attention.wq.qscale_act": torch.tensor(2.0),
    }
    found = decoded(tensors, {})
    assert [*found] == ["layers.0.attention.wq.weight"]
    np.testing.assert_array_equal(values(*found.values()), (weights.float() * 0.3).numpy())


def test_models_that_see_say_it_of_their_language() -> None:
    tensors = {"a.weight": bits((3, 4), torch.int8, 1), "a.weight_scale_inv": torch.rand(1, 1)}
    named = {name: rows(name, tensor) for name, tensor in tensors.items()}
    found = decode_tensors(named, {"text_config": {"quantization_config": FP8}}).tensors
    assert found["a.weight"].dtype == "F32"


@pytest.mark.parametrize("counts", [(3, 2), (2, 3), (2,), (), (1, 2, 2)])
def test_scales_that_do_not_fit_are_said(counts: tuple[int, ...]) -> None:
    tensors = {"a.weight": bits((6, 8), torch.int8, 1), "a.weight_scale_inv": torch.rand(counts)}
    found = decoded(tensors, FP8)
    with pytest.raises(ComparisonError, match=r"do not fit weights of shape \(6, 8\)"):
        _ = found["a.weight"].shape


def test_a_number_by_itself_has_no_row_to_scale() -> None:
    tensors = {"a.weight": torch.tensor(3, dtype=torch.int8), "a.weight_scale": torch.rand(())}
    with pytest.raises(ComparisonError, match=r"do not fit weights of shape \(\)"):
        _ = decoded(tensors, {"quant_method": "modelopt"})["a.weight"].shape


def test_a_tensor_whose_scales_do_not_fit_is_unmatched_with_the_reason(tmp_path: Path) -> None:
    name, shape = "model.layers.0.self_attn.o_proj.weight", (6, 8)
    tensors = {
        name: ("F8_E4M3", shape, bytes(48)),
        f"{name}_scale_inv": ("F32", (2, 3), bytes(24)),
        "model.norm.weight": ("F32", (8,), bytes(32)),
        "model.layers.0.mlp.up_proj.weight": ("F32", shape, bytes(192)),
        "model.layers.0.mlp.up_proj.input_scale": ("F32", (1,), bytes(4)),
        "model.layers.0.mlp.gate_proj.weight": ("F32", shape, bytes(192)),
        "model.layers.0.mlp.down_proj.weight": ("F32", shape, bytes(192)),
    }
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    config = {"model_type": "llama", "quantization_config": FP8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes: dict[str, tuple[int, ...]] = {
        "blk.0.attn_output.weight": shape,
        "output_norm.weight": (8,),
        **{f"blk.0.ffn_{kind}.weight": shape for kind in ("up", "gate", "down")},
    }
    model: Any = fake_model("llama", shapes)
    alignment = align(model, open_checkpoint(tmp_path))
    found = {pair.name: (pair.status, pair.reason) for pair in alignment.pairs}
    status, reason = found.pop("blk.0.attn_output.weight")
    assert status == "unmatched"
    assert "scales of shape (2, 3) do not fit" in reason
    assert {status for status, _ in found.values()} == {"matched"}
    reasons = {only.name: only.reason for only in alignment.reference_only}
    assert reasons["model.layers.0.mlp.up_proj.input_scale"] == "scales of what a layer calculates"


def test_a_file_of_few_bits_is_compared_with_the_product() -> None:
    folder = DATA / "deepseek3-fp8"
    result = gl.compare(folder / "deepseek3-fp8-f32.gguf", folder / "hf", progress=False)
    assert all(row.exact for row in result.rows)
    row = result["blk.0.ffn_up.weight"]
    assert row.transform == "times its scales, each for 8 × 16 weights"
    name = "model.layers.0.mlp.up_proj.weight"
    assert row.reference_name == f"{name} + {name}_scale_inv"


def pack_bitnet(golden: Path, folder: Path, factor: float) -> Path:
    """The original of a bitnet, whose matrices are ternary in the file; packed, times a factor."""
    tensors, model = {}, gl.open(golden / f"{golden.name}-f32.gguf")
    for name, tensor in open_checkpoint(golden / "hf").tensors.items():
        stored = bytes(tensor.read(0, int(np.prod(tensor.shape[:-1]))))
        tensors[name] = (tensor.dtype, tensor.shape, stored)
    for pair in align(model, open_checkpoint(golden / "hf")).pairs:
        if pair.transform.startswith("ternary"):
            weights = np.asarray(model.tensor(pair.name).dequantize())
            mean = np.abs(weights).max()
            quarters = (np.sign(weights) + 1).astype(np.uint8).reshape(4, -1, weights.shape[1])
            packed = quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6
            (name,) = pair.reference_names
            tensors[name] = ("U8", packed.shape, packed.tobytes())
            tensors[f"{name}_scale"] = ("F32", (1,), (mean * np.float32(factor)).tobytes())
    write_checkpoint(folder / "model.safetensors", tensors)
    config = json.loads((golden / "hf" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
    (folder / "config.json").write_text(json.dumps(config))
    return golden / f"{golden.name}-f32.gguf"


@pytest.mark.parametrize("factor", [1, 2])
def test_a_packed_bitnet_is_what_its_layers_calculate_with(tmp_path: Path, factor: float) -> None:
    """Nothing is rounded a second time, as llama.cpp's converter does it: a scale too small shows.

    It takes the mean of what is ternary already, zeros included.
    """
    file = pack_bitnet(TABLES / "bitnet-2b4t", tmp_path, factor)
    result = gl.compare(file, tmp_path, progress=False)
    ternary = [row for row in result.rows if row.transform.startswith("ternary")]
    assert len(ternary) == 14
    assert all(row.exact for row in result.rows if row not in ternary)
    for row in ternary:
        assert row.relative_rmse == pytest.approx(1 - 1 / factor, abs=1e-7)
        assert row.cosine == pytest.approx(1)


PARTS = ("weight", "weight_packed", "weight_scale", "weight_scale_2", "weight_global_scale")
ENDS = (
    *(*PARTS, "weight_scale_inv", "scale", "qscale_weight", "weight_shape", "input_scale", "bias"),
    *("weight_zero_point", "qweight", "qzeros", "scales", "g_idx"),
)
SHAPES = ((), (0,), (1,), (4,), (64,), (4, 32), (4, 16), (4, 1), (4, 2), (4, 0), (0, 4), (2, 4, 2))
METHODS = (
    {"quant_method": "fp8", "weight_block_size": [2, 2]},
    {"quant_method": "fp8", "weight_block_size": [2, 2, 2]},
    {"quant_method": "modelopt"},
    {"quant_method": ["fp8"]},
    packed(4, 4),
    {"quant_method": "gptq", "bits": 4},
    {"quant_method": "bitnet"},
)


@given(
    st.dictionaries(
        st.sampled_from(ENDS),
        st.tuples(st.sampled_from(SHAPES), st.sampled_from([*TYPES])),
        min_size=2,
    ),
    st.sampled_from(METHODS),
    st.integers(0, 99),
)
def test_parts_that_make_no_sense_are_said_when_they_are_looked_at(
    parts: dict[str, tuple[tuple[int, ...], str]], how: dict[str, Any], seed: int
) -> None:
    """Never while they are put together: other tensors of the checkpoint may make sense."""
    rng, tensors = np.random.default_rng(seed), {}
    for end, (shape, dtype) in parts.items():
        width = TYPES[dtype].itemsize
        values = rng.integers(0, 256, (*shape, width), np.uint8).view(f"u{width}")[..., 0]
        tensors[f"a.{end}"] = Named(np.asarray(values), dtype, name=f"a.{end}")
    for tensor in decode_tensors(tensors, {"quantization_config": how}).tensors.values():
        if isinstance(tensor, Decoded):
            try:
                shape, dtype = tensor.shape, tensor.dtype
            except ComparisonError:
                continue
            n = int(np.prod(shape[:-1]))
            assert dtype == "F32"
            assert tensor.read(n // 3, n).shape == (n - n // 3, 4 * shape[-1])
