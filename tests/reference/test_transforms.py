"""Transforms: formulas of the converter, read in any chunks, reading no more than needed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.codec import dequantize, quantize
from gguf_lab.errors import ComparisonError
from gguf_lab.reference.transforms import (
    Added,
    AsStored,
    Centered,
    Chain,
    DecodeMXFP4,
    Exp,
    Extended,
    Half,
    HeadPart,
    Join,
    MinusExp,
    NegatedHalves,
    Part,
    PermuteRotary,
    Reordered,
    Split,
    Squeeze,
    Stack,
    TakeApart,
    Ternary,
    Times,
    Transform,
    Transformed,
    Transpose,
    UnitColumns,
    UnpermuteRotary,
    UnpermuteRotaryAxes,
    Upright,
)

from .support import E2M1, ArrayRows


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape).astype(dtype)


def permute(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """The formula of llama.cpp's LlamaModel.permute, in numpy."""
    shape = (n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)


def whole(rows: Transformed) -> np.ndarray:
    return rows.read(0, math.prod(rows.shape[:-1]))


def equal(rows: np.ndarray, expected: np.ndarray) -> bool:
    return rows.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_rotary_by_hand() -> None:
    # one head of four rows: halves (0, 1), (2, 3) become pairs (0, 2), (1, 3)
    rows = Transformed(UnpermuteRotary(1), (ArrayRows(array(4, 1)),))
    assert whole(rows).view("f4").ravel().tolist() == [0, 2, 1, 3]


def test_rotary_bias_by_hand() -> None:
    # two heads of four elements
    rows = Transformed(UnpermuteRotary(2), (ArrayRows(array(8)),))
    assert rows.read(0, 1).view("f4").tolist() == [[0, 2, 1, 3, 4, 6, 5, 7]]
    assert rows.read(1, 1).shape == (0, 32)


@given(
    heads=st.integers(1, 5),
    half=st.integers(1, 4),
    rest=st.sampled_from([(), (1,), (3,), (2, 3)]),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
)
def test_rotary_is_the_converters_formula(
    heads: int, half: int, rest: tuple[int, ...], dtype: str
) -> None:
    weights = array(heads * 2 * half, *rest, dtype=dtype)
    rows = Transformed(UnpermuteRotary(heads), (ArrayRows(weights),))
    assert rows.shape == weights.shape
    assert equal(whole(rows), permute(weights, heads))


def test_rotary_reads_only_the_heads_it_needs() -> None:
    source = ArrayRows(array(40, 3))  # five heads of eight rows
    rows = Transformed(UnpermuteRotary(5), (source,))
    part = rows.read(17, 23)
    assert equal(part, permute(source.array, 5)[17:23])
    assert source.asked == [(16, 24)]


@pytest.mark.parametrize(("shape", "heads"), [((6, 2), 4), ((9,), 3), ((), 1), ((4, 4), 0)])
def test_rotary_refuses_heads_that_do_not_divide(shape: tuple[int, ...], heads: int) -> None:
    with pytest.raises(ComparisonError, match="rotary halves"):
        UnpermuteRotary(heads).shape(shape)


def test_rotary_of_nothing() -> None:
    rows = Transformed(UnpermuteRotary(2), (ArrayRows(array(0, 3)),))
    assert whole(rows).shape == (0, 12)


@given(experts=st.integers(1, 4), shape=st.sampled_from([(3,), (2, 3), (2, 2, 3)]))
def test_stack_is_numpys(experts: int, shape: tuple[int, ...]) -> None:
    arrays = [array(*shape) + 100 * i for i in range(experts)]
    rows = Transformed(Stack(experts), tuple(map(ArrayRows, arrays)))
    assert rows.shape == (experts, *shape)
    assert equal(whole(rows), np.stack(arrays))


def test_stack_reads_only_the_experts_it_needs() -> None:
    sources = tuple(ArrayRows(array(4, 3)) for _ in range(3))
    Transformed(Stack(3), sources).read(6, 8)
    assert [s.asked for s in sources] == [[], [(2, 4)], []]


def test_stack_refuses_different_shapes_and_types() -> None:
    with pytest.raises(ComparisonError, match="different shapes"):
        Stack(2).shape((2, 3), (3, 2))
    with pytest.raises(ComparisonError, match="different types"):
        Stack(2).dtype("F16", "BF16")


def test_part_is_a_slice() -> None:
    source = ArrayRows(array(6, 2))
    rows = Transformed(Part(2, None, "rows from 2 on"), (source,))
    assert rows.shape == (4, 2)
    assert equal(rows.read(1, 3), source.array[3:5])


def test_rows_of_zeros_are_added() -> None:
    source = ArrayRows(array(4, 3) + 1)
    rows = Transformed(Extended(7), (source,))
    expected = np.pad(source.array, ((0, 3), (0, 0)))
    assert (rows.shape, rows.words) == ((7, 3), "rows of zeros added up to row 7")
    for start, stop in itertools.combinations_with_replacement(range(8), 2):
        assert equal(rows.read(start, stop), expected[start:stop])
    for shape in ((8, 3), (4,), (2, 2, 3)):
        with pytest.raises(ComparisonError, match="can't be extended to 7 rows"):
            Extended(7).shape(shape)


@pytest.mark.parametrize("part", [Part(7, None, ""), Part(0, 7, ""), Part(4, 3, "")])
def test_part_refuses_rows_that_are_not_there(part: Part) -> None:
    with pytest.raises(ComparisonError, match="has no rows"):
        part.shape((6, 2))


def take_apart(qkv: np.ndarray, n_heads: int, n_kv: int) -> np.ndarray:
    """The formula of llama.cpp's FalconModel, in numpy."""
    groups = qkv.reshape(n_kv, n_heads // n_kv + 2, -1, *qkv.shape[1:])
    parts = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, *qkv.shape[1:]) for part in parts])


@given(
    kv=st.integers(1, 4),
    queries=st.integers(1, 4),
    size=st.integers(1, 4),
    rest=st.sampled_from([(), (3,)]),
)
def test_take_apart_is_the_converters_formula(
    kv: int, queries: int, size: int, rest: tuple[int, ...]
) -> None:
    weights = array((kv * queries + 2 * kv) * size, *rest)
    rows = Transformed(TakeApart(kv * queries, kv), (ArrayRows(weights),))
    assert rows.shape == weights.shape
    assert equal(whole(rows), take_apart(weights, kv * queries, kv))


@pytest.mark.parametrize(
    ("shape", "heads", "kv"), [((10, 2), 4, 4), ((12, 2), 4, 3), ((12, 2), 4, 0), ((2, 6, 2), 2, 2)]
)
def test_take_apart_refuses_heads_that_do_not_divide(
    shape: tuple[int, ...], heads: int, kv: int
) -> None:
    with pytest.raises(ComparisonError, match="doesn't divide"):
        TakeApart(heads, kv).shape(shape)


@given(
    heads=st.integers(1, 4),
    half=st.integers(1, 3),
    still=st.integers(0, 3),
    rest=st.sampled_from([(), (3,)]),
)
def test_permute_is_the_converters_formula(
    heads: int, half: int, still: int, rest: tuple[int, ...]
) -> None:
    """Of llama.cpp's Glm4Model.normal_to_neox, in numpy."""
    weights = array(heads * (2 * half + still), *rest)
    head = weights.reshape(heads, -1, *rest)
    rotated = head[:, : 2 * half]
    expected = np.concatenate([rotated[:, ::2], rotated[:, 1::2], head[:, 2 * half :]], axis=1)
    rows = Transformed(PermuteRotary(heads, 2 * half), (ArrayRows(weights),))
    assert equal(whole(rows), expected)
    if not still:
        inverse = Transformed(UnpermuteRotary(heads), (rows,))
        assert equal(whole(inverse), weights)


@pytest.mark.parametrize("permute", [PermuteRotary(4, 2), PermuteRotary(2, 8), PermuteRotary(2, 0)])
def test_permute_refuses_what_does_not_divide(permute: PermuteRotary) -> None:
    with pytest.raises(ComparisonError, match="rows to rotate"):
        permute.shape((6, 3))


@pytest.mark.parametrize("size", [6, 10, 16, 80])
@pytest.mark.parametrize("rest", [(), (3,)])
def test_halves_of_axes_are_brought_together(size: int, rest: tuple[int, ...]) -> None:
    """[Ta Ha Wa | Tb Hb Wb | other] becomes [Ta Tb | Ha Hb | Wa Wb | other], head by head."""
    weights = array(3 * size, *rest)
    half = 2 * (size // 2) // 3 // 2
    heads = weights.reshape(3, size, *rest)
    first, second, other = np.split(heads, [3 * half, 6 * half], axis=1)
    axes = [np.split(part, 3, axis=1) for part in (first, second)]
    parts = [axes[which][axis] for axis in range(3) for which in range(2)]
    expected = np.concatenate([*parts, other], axis=1)
    assert equal(whole(Transformed(UnpermuteRotaryAxes(3), (ArrayRows(weights),))), expected)


@pytest.mark.parametrize("shape", [(), (16, 3), (15, 3), (18, 1, 2)])
def test_axes_refuse_what_does_not_divide(shape: tuple[int, ...]) -> None:
    with pytest.raises(ComparisonError, match="heads of three axes"):
        UnpermuteRotaryAxes(3).shape(shape)


@given(heads=st.integers(1, 4), sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_head_parts_are_torchs_split(heads: int, sizes: tuple[int, int]) -> None:
    weights = array(heads * sum(sizes), 3)
    first, last = np.split(weights.reshape(heads, -1, 3), [sizes[0]], axis=1)
    source = (ArrayRows(weights),)
    assert equal(whole(Transformed(HeadPart(heads, sizes[0]), source)), first)
    assert equal(whole(Transformed(HeadPart(heads, sizes[1], at_end=True), source)), last)


@pytest.mark.parametrize("part", [HeadPart(4, 2), HeadPart(2, 4), HeadPart(0, 1)])
def test_head_part_refuses_rows_that_are_not_there(part: HeadPart) -> None:
    with pytest.raises(ComparisonError, match="doesn't have"):
        part.shape((6, 3))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (2, 6, 4), (3, 2, 6, 2)])
def test_half_is_numpys(which: int, alternating: bool, shape: tuple[int, ...]) -> None:
    weights = array(*shape)
    for axis in (-2, -1):
        half = shape[axis] // 2
        part = slice(which, None, 2) if alternating else slice(which * half, (which + 1) * half)
        expected = weights[..., part, :] if axis == -2 else weights[..., part]
        rows = Transformed(Half(which, alternating, axis), (ArrayRows(weights),))
        assert rows.shape == expected.shape
        assert equal(whole(rows), expected)


def test_half_refuses_odd_numbers() -> None:
    for half, shape in ((Half(0), (3, 2)), (Half(0), (4,)), (Half(0, axis=-1), (2, 3))):
        with pytest.raises(ComparisonError, match="halved"):
            half.shape(shape)


@given(
    shape=st.sampled_from([(1, 1), (3, 4), (2, 3, 4), (2, 2, 3, 2)]),
    dtype=st.sampled_from(["float32", "float16", "int8", "float64"]),
)
def test_transpose_is_numpys(shape: tuple[int, ...], dtype: str) -> None:
    weights = array(*shape, dtype=dtype)
    rows = Transformed(Transpose(), (ArrayRows(weights),))
    assert equal(whole(rows), weights.swapaxes(-1, -2))
    with pytest.raises(ComparisonError, match="transposed"):
        Transpose().shape((3,))


@given(shape=st.sampled_from([(3, 4), (2, 3, 4), (2, 4, 3), (2, 4, 4)]))
def test_what_lies_is_set_upright(shape: tuple[int, ...]) -> None:
    """By its columns; a square matrix is taken to lie."""
    weights = array(*shape)
    rows = Transformed(Upright(4), (ArrayRows(weights),))
    stands = shape[-1] == 4 != shape[-2]
    assert equal(whole(rows), weights if stands else weights.swapaxes(-1, -2))
    with pytest.raises(ComparisonError, match="transposed"):
        Upright(3).shape((3,))


@given(
    rows=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    lead=st.sampled_from([(), (1,), (3,)]),
)
def test_join_is_numpys_concatenate(rows: list[int], lead: tuple[int, ...]) -> None:
    arrays = [array(*lead, n, 2) + 100 * i for i, n in enumerate(rows)]
    joined = Transformed(Join("joined"), tuple(map(ArrayRows, arrays)))
    assert equal(whole(joined), np.concatenate(arrays, axis=-2))


def test_join_of_vectors() -> None:
    joined = Transformed(Join("joined"), (ArrayRows(array(3)), ArrayRows(array(2))))
    assert joined.shape == (5,)
    assert whole(joined).view("f4").tolist() == [[0, 1, 2, 0, 1]]


def test_join_refuses_different_widths_and_types() -> None:
    for shapes in (((2, 3), (2, 4)), ((3,), (2, 3)), ((1, 2, 3), (2, 2, 3))):
        with pytest.raises(ComparisonError, match="joined"):
            Join("").shape(*shapes)
    with pytest.raises(ComparisonError, match="joined"):
        Join("").dtype("F16", "BF16")


def test_squeeze_and_split_keep_the_rows() -> None:
    source = ArrayRows(array(6, 1, 4))
    for transform, shape in ((Squeeze(), (6, 4)), (Split(3), (3, 2, 1, 4))):
        rows = Transformed(transform, (source,))
        assert rows.shape == shape
        assert equal(whole(rows), source.array)
    with pytest.raises(ComparisonError, match="no dimension of 1"):
        Squeeze().shape((6, 2, 4))
    with pytest.raises(ComparisonError, match="4 experts"):
        Split(4).shape((6, 2))


@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 3), (3, 4), (0, 4)])
def test_reordered_is_numpys_indexing(shape: tuple[int, ...]) -> None:
    source = array(*shape)
    rows = Transformed(Reordered((2, 0, 1)), (ArrayRows(source),))
    assert rows.shape == shape
    assert rows.words == "parts in the order 2, 0, 1"
    assert equal(whole(rows), source.reshape(3, shape[0] // 3, *shape[1:])[[2, 0, 1]])


@pytest.mark.parametrize("shape", [(6,), (7, 2)])
def test_reordered_refuses_what_does_not_divide(shape: tuple[int, ...]) -> None:
    with pytest.raises(ComparisonError, match="3 parts"):
        Reordered((2, 0, 1)).shape(shape)


BITS16 = st.lists(st.integers(0, 0xFFFF), min_size=6, max_size=6)


@given(bits=BITS16)
def test_added_rounds_as_the_converter_does(bits: list[int]) -> None:
    """BF16 is widened before, F16 is added in half precision: torch is the oracle."""
    import torch

    raw = np.array(bits, np.uint16).reshape(2, 3)
    for dtype, torch_dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        tensor = torch.from_numpy(raw.view(np.int16).copy()).view(torch_dtype)
        wide = tensor.float() if dtype == "BF16" else tensor
        for number in (1, 1 / 5, 1 / 5**1.5):
            rows = Transformed(Added(number), (ArrayRows(raw, dtype),))
            assert rows.dtype == ("F32" if dtype == "BF16" else "F16")
            ours = dequantize(whole(rows), rows.dtype)
            assert np.array_equal(ours, (wide + number).float().numpy(), equal_nan=True)


@given(bits=BITS16)
def test_halves_of_heads_are_negated_as_the_converter_does(bits: list[int]) -> None:
    import torch

    raw = np.array(bits, np.uint16).reshape(6, 1)
    signs = torch.tensor([1, -1, -1, 1, -1, -1])[:, None]  # heads of 3: the second half is longer
    for dtype, torch_dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        tensor = torch.from_numpy(raw.view(np.int16).copy()).view(torch_dtype)
        rows = Transformed(NegatedHalves(3), (ArrayRows(raw, dtype),))
        assert rows.dtype == dtype
        ours = dequantize(whole(rows), dtype)
        due = (tensor * signs.to(torch_dtype)).float().numpy()
        assert np.array_equal(ours, due, equal_nan=True)
        number = ~np.isnan(due)
        assert np.array_equal(np.signbit(ours[number]), np.signbit(due[number]))


def test_halves_that_are_none_are_not_negated() -> None:
    with pytest.raises(ComparisonError, match=r"\(7, 2\) doesn't divide into heads of 3"):
        NegatedHalves(3).shape((7, 2))
    with pytest.raises(ComparisonError, match="type I8 are not negated"):
        NegatedHalves(4).dtype("I8")


@given(bits=BITS16)
def test_products_are_rounded_as_the_converter_does(bits: list[int]) -> None:
    import torch

    raw = np.array(bits, np.uint16).reshape(3, 2)
    times = Times((0.7, 0.39), ((1, 0.35), (2, 1.7), (1 << 62, 3.3)))
    for dtype, torch_dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        tensor = torch.from_numpy(raw.view(np.int16).copy()).view(torch_dtype)
        due = (tensor.float() if dtype == "BF16" else tensor) * 0.7 * 0.39
        for row, number in enumerate((0.35, 1.7, 3.3)):
            due[row] *= number
        rows = Transformed(times, (ArrayRows(raw, dtype),))
        assert rows.dtype == ("F32" if dtype == "BF16" else "F16")
        ours = dequantize(whole(rows), rows.dtype)
        assert np.array_equal(ours, due.float().numpy(), equal_nan=True)


def test_unit_columns_is_the_converters_formula() -> None:
    """torch adds the squares row by row in float32: ``w / (norm(w, dim=0) + 1e-7)``."""
    import torch

    values = np.random.default_rng(0).standard_normal((3000, 17)).astype(np.float32)
    rows = Transformed(UnitColumns(), (ArrayRows(values),))
    expected = torch.from_numpy(values.copy())
    expected /= torch.norm(expected, p=2, dim=0, keepdim=True) + 1e-7
    assert rows.shape == values.shape
    assert rows.dtype == "F32"
    assert equal(whole(rows), expected.numpy())
    assert equal(rows.read(1000, 1030), expected.numpy()[1000:1030])
    with pytest.raises(ComparisonError, match="no columns"):
        UnitColumns().shape((3,))


@given(values=st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4))
def test_minus_exp_is_rounded_once(values: list[float]) -> None:
    logs = np.array(values, np.float32).reshape(2, 2)
    rows = Transformed(MinusExp(), (ArrayRows(logs),))
    assert (rows.dtype, rows.shape) == ("F32", (2, 2))
    exact = -np.exp(logs.astype(np.float64))
    assert np.array_equal(whole(rows).view("f4"), exact.astype(np.float32))


def test_ternary_weights_are_those_of_the_converter() -> None:
    """The formula of BitnetModel.weight_quant; the mean may be off in its last places."""
    import torch

    torch.manual_seed(0)
    for dtype, torch_dtype, off in (("BF16", torch.bfloat16, 2), ("F16", torch.float16, 1 << 13)):
        for scale in (0.02, 1e-7):  # the mean is 0.00001 at least
            weights = (torch.randn(30, 70) * scale).to(torch_dtype)
            wide = weights.float()
            inverse = 1 / wide.abs().mean().clamp(min=1e-5)
            due = (wide * inverse).round().clamp(-1, 1) / inverse
            if dtype == "F16":
                due = due.half().float()
            raw = weights.view(torch.int16).numpy().view(np.uint16)
            rows = Transformed(Ternary(), (ArrayRows(raw, dtype),))
            assert rows.dtype == ("F32" if dtype == "BF16" else "F16")
            assert rows.rows_per_read == 30
            ours = dequantize(whole(rows), rows.dtype)
            np.testing.assert_array_max_ulp(ours, due.numpy(), off)
            assert np.array_equal(np.sign(ours), np.sign(due.numpy()))


def test_mxfp4_decodes_to_what_transformers_decodes() -> None:
    """Their layout: low bits first, one element after the other; scale ``2 ** (e - 127)``."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (2, 3, 2, 16), dtype=np.uint8)
    scales = rng.integers(100, 150, (2, 3, 2), dtype=np.uint8)
    rows = Transformed(DecodeMXFP4(), (ArrayRows(blocks, "U8"), ArrayRows(scales, "U8")))
    assert (rows.shape, rows.dtype) == ((2, 3, 64), "F32")
    elements = np.stack([E2M1[blocks & 15], E2M1[blocks >> 4]], axis=-1).reshape(2, 3, 2, 32)
    expected = elements * np.exp2(scales.astype(np.float32) - 127)[..., None]
    assert np.array_equal(whole(rows).view("f4"), expected.reshape(6, 64))


def test_mxfp4_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(ComparisonError, match="make no MXFP4"):
        DecodeMXFP4().shape((2, 3, 2, 16), (2, 3, 1))
    with pytest.raises(ComparisonError, match="make no MXFP4"):
        DecodeMXFP4().shape((2, 3, 2, 8), (2, 3, 2))
    with pytest.raises(ComparisonError, match="instead of U8"):
        DecodeMXFP4().dtype("U8", "F32")


def test_a_chain_is_one_after_the_other() -> None:
    chain = Chain(HeadPart(2, 2), Transpose())
    rows = Transformed(chain, (ArrayRows(array(6, 4)),))
    assert rows.words == "the first 2 rows of each of 2 heads; transposed"
    assert rows.shape == (2, 4, 2)
    assert equal(whole(rows), array(6, 4).reshape(2, 3, 4)[:, :2].swapaxes(1, 2))


def test_rows_far_apart_are_read_run_by_run() -> None:
    source = ArrayRows(array(40, 2))
    part = Transformed(HeadPart(2, 2), (source,)).read(1, 3)
    assert equal(part, source.array[[1, 20]])
    assert source.asked == [(1, 2), (20, 21)]


def test_contiguous_rows_stay_views() -> None:
    source = ArrayRows(array(6, 2))
    base = source.array.view(np.uint8)
    for transform in (AsStored(), Part(1, None, "")):
        assert np.shares_memory(Transformed(transform, (source,)).read(1, 4), base)
    assert np.shares_memory(Transformed(Stack(2), (source, source)).read(1, 4), base)


def test_words_of_nested_transforms() -> None:
    inner = tuple(Transformed(UnpermuteRotary(2), (ArrayRows(array(8, 2)),)) for _ in range(3))
    rows = Transformed(Stack(3), inner)
    assert rows.words == "rows un-permuted for rotary halves, 2 heads; experts 0-2 stacked"
    assert Transformed(AsStored(), (ArrayRows(array(1)),)).words == ""


@given(
    case=st.sampled_from(
        [
            (AsStored(), [array(12, 3)]),
            (UnpermuteRotary(3), [array(12, 3)]),
            (UnpermuteRotary(2), [array(8, 3, 2)]),
            (Stack(3), [array(4, 3), array(4, 3) + 50, array(4, 3) + 90]),
            (Part(2, 11, ""), [array(12, 3)]),
            (TakeApart(4, 2), [array(16, 3)]),
            (PermuteRotary(2, 4), [array(12, 3)]),
            (UnpermuteRotaryAxes(2), [array(16, 3)]),
            (HeadPart(3, 2, at_end=True), [array(15, 3)]),
            (Half(1), [array(2, 6, 3)]),
            (Half(1, alternating=True), [array(2, 6, 3)]),
            (Half(0, alternating=True, axis=-1), [array(5, 4)]),
            (Transpose(), [array(3, 4, 5)]),
            (Upright(5), [array(3, 4, 5)]),
            (Chain(Upright(4), Half(1)), [array(3, 4, 6)]),
            (Chain(HeadPart(3, 2), Transpose()), [array(15, 3)]),
            (Chain(Transpose(), Half(0, alternating=True)), [array(2, 3, 8)]),
            (Join(""), [array(2, 4, 3), array(2, 1, 3)]),
            (Squeeze(), [array(4, 1, 3)]),
            (Split(2), [array(4, 3)]),
            (UnitColumns(), [array(4, 3)]),
            (Centered(), [array(4)]),
            (Reordered((1, 2, 0)), [array(6, 2, 3)]),
            (Chain(Transpose(), Reordered((1, 0))), [array(3, 4)]),
            (Added(1), [array(4, 3)]),
            (MinusExp(), [array(4, 3)]),
            (Ternary(), [array(4, 3)]),
            (NegatedHalves(4), [array(8, 3)]),
            (Exp(), [array(4, 3)]),
            (Times((0.7, 1.3), ((1, 0.1), (3, 0.2), (9, 0.3))), [array(4, 3)]),
        ]
    ),
    cuts=st.lists(st.integers(0, 24), max_size=5),
)
def test_chunks_make_the_whole(case: tuple[Transform, list[np.ndarray]], cuts: list[int]) -> None:
    transform, arrays = case
    rows = Transformed(transform, tuple(map(ArrayRows, arrays)))
    n_rows = math.prod(rows.shape[:-1])
    marks = sorted({0, n_rows, *(min(c, n_rows) for c in cuts)})
    parts = [rows.read(a, b) for a, b in itertools.pairwise(marks)]
    assert all(p.dtype == np.uint8 for p in parts)
    assert np.array_equal(np.concatenate(parts), whole(rows))


def test_what_is_transposed_is_read_once_if_read_in_whole_matrices() -> None:
    source = ArrayRows(array(3, 8, 5))
    for transform, together in (
        (Transpose(), 5),
        (Chain(AsStored(), Transpose()), 5),
        (Chain(Transpose(), AsStored()), 5),
        (AsStored(), 1),
    ):
        rows = Transformed(transform, (source,))
        assert rows.rows_per_read == together
        assert Transformed(Stack(1), (rows,)).rows_per_read == together
    rows = Transformed(Transpose(), (source,))
    source.asked.clear()
    for start in range(0, 15, rows.rows_per_read):
        rows.read(start, start + rows.rows_per_read)
    read = [row for a, b in source.asked for row in range(a, b) if b - a > 1]
    assert read == [*range(24)]


@pytest.mark.parametrize(("qtype", "bits"), [("BF16", 7), ("F16", 10), ("F32", 23)])
def test_a_mean_is_subtracted_in_the_type_of_the_vector(qtype: str, bits: int) -> None:
    values = np.random.default_rng(0).normal(3, 1, 32).astype(np.float32)
    stored = np.asarray(quantize(values, qtype)).reshape(1, -1)
    source = ArrayRows(stored.view({7: "u2", 10: "f2", 23: "f4"}[bits]).reshape(-1), qtype)
    exact = np.asarray(dequantize(stored, qtype)).astype(np.float64).ravel()
    rows = Transformed(Centered(), (source,))
    assert (rows.dtype, rows.shape) == (qtype, (32,))
    got = np.asarray(dequantize(np.ascontiguousarray(rows.read(0, 1)), qtype)).ravel()
    np.testing.assert_allclose(got, exact - exact.mean(), atol=4 * 2.0**-bits)
    assert abs(got.mean()) < 4 * 2.0**-bits
