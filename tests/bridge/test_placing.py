"""Placing: what the tables say forward, undone; in any chunks, against the forward transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.bridge.placing import Parameter, find_place
from gguf_lab.errors import ComparisonError
from gguf_lab.reference.transforms import (
    Added,
    AsStored,
    Chain,
    Cut,
    Exp,
    GroupParts,
    Half,
    HeadPart,
    Join,
    MinusExp,
    Part,
    PermuteRotary,
    Reordered,
    Rows,
    Split,
    Squeeze,
    Stack,
    TakeApart,
    Tiled,
    TiledColumns,
    Transformed,
    Transpose,
    UnpermuteRotary,
)

from ..reference.support import ArrayRows

small = st.integers(1, 4)


def halves(tensor: Rows, **options) -> list[Rows]:
    return [Transformed(Half(which, **options), (tensor,)) for which in (0, 1)]


# What the converter makes of tensors of these shapes: all of what it makes, so that the tensors can
# be made again. Sizes a, b, c, d are drawn.
CASES = {
    "as stored": lambda a, b, c, d: ([(a, b)], lambda t: [Transformed(AsStored(), t)]),
    "vector": lambda a, b, c, d: ([(a,)], lambda t: [Transformed(AsStored(), t)]),
    "three dimensions": lambda a, b, c, d: ([(a, b, c)], lambda t: [Transformed(AsStored(), t)]),
    "rotary": lambda a, b, c, d: (
        [(2 * a * b, c)],
        lambda t: [Transformed(UnpermuteRotary(a), t)],
    ),
    "rotary bias": lambda a, b, c, d: (
        [(2 * a * b,)],
        lambda t: [Transformed(UnpermuteRotary(a), t)],
    ),
    "part of a head rotated": lambda a, b, c, d: (
        [(a * (2 * b + c), d)],
        lambda t: [Transformed(PermuteRotary(a, 2 * b), t)],
    ),
    "taken apart": lambda a, b, c, d: (
        [((a * b + 2 * b) * c, d)],
        lambda t: [Transformed(TakeApart(a * b, b), t)],
    ),
    "bias taken apart": lambda a, b, c, d: (
        [((a * b + 2 * b) * c,)],
        lambda t: [Transformed(TakeApart(a * b, b), t)],
    ),
    "stacked": lambda a, b, c, d: ([(b, c)] * a, lambda t: [Transformed(Stack(a), t)]),
    "vectors stacked": lambda a, b, c, d: ([(b,)] * a, lambda t: [Transformed(Stack(a), t)]),
    "joined": lambda a, b, c, d: (
        [(a, d), (b, d), (c, d)],
        lambda t: [Transformed(Join(""), t)],
    ),
    "vectors joined": lambda a, b, c, d: (
        [(a,), (b,), (c,)],
        lambda t: [Transformed(Join(""), t)],
    ),
    "experts joined": lambda a, b, c, d: (
        [(a, b, d), (a, c, d)],
        lambda t: [Transformed(Join(""), t)],
    ),
    "rotary, joined": lambda a, b, c, d: (
        [(2 * a * b, d), (2 * a * c, d), (b, d)],
        lambda t: [
            Transformed(
                Join(""),
                (
                    Transformed(UnpermuteRotary(a), t[:1]),
                    Transformed(UnpermuteRotary(a), t[1:2]),
                    t[2],
                ),
            )
        ],
    ),
    "halves": lambda a, b, c, d: ([(a, 2 * b, c)], lambda t: halves(t[0])),
    "alternating": lambda a, b, c, d: ([(a, 2 * b, c)], lambda t: halves(t[0], alternating=True)),
    "halves of rows": lambda a, b, c, d: (
        [(a, 2 * b)],
        lambda t: halves(t[0], alternating=True, axis=-1),
    ),
    "parts": lambda a, b, c, d: (
        [(a + b, c)],
        lambda t: [Transformed(Part(0, a, ""), t), Transformed(Part(a, None, ""), t)],
    ),
    "parts of heads": lambda a, b, c, d: (
        [(a * (b + c), d)],
        lambda t: [
            Transformed(Chain(HeadPart(a, b), Transpose()), t),
            Transformed(HeadPart(a, c, at_end=True), t),
        ],
    ),
    "parts of groups": lambda a, b, c, d: (
        [(a * (2 * b + 2 * c), d)],
        lambda t: [
            Transformed(GroupParts(a, (b, b, c, c), 0, 3, ""), t),
            Transformed(GroupParts(a, (b, b, c, c), 3, 4, ""), t),
        ],
    ),
    "tiles": lambda a, b, c, d: (
        [(d + a * b * c, d)],
        lambda t: [Transformed(Tiled(a, b, c, d), t)],
    ),
    "tiles of a vector": lambda a, b, c, d: (
        [(a * b * c,)],
        lambda t: [Transformed(Tiled(a, b, c), t)],
    ),
    "tiles of columns": lambda a, b, c, d: (
        [(d, a * b * c)],
        lambda t: [Transformed(TiledColumns(Tiled(a, b, c)), t)],
    ),
    "a vector cut": lambda a, b, c, d: ([(a * b,)], lambda t: [Transformed(Cut(b), t)]),
    "transposed": lambda a, b, c, d: ([(a, b)], lambda t: [Transformed(Transpose(), t)]),
    "experts transposed": lambda a, b, c, d: ([(a, b, c)], lambda t: [Transformed(Transpose(), t)]),
    "transposed, halves": lambda a, b, c, d: (
        [(a, b, 2 * c)],
        lambda t: [
            Transformed(Chain(Transpose(), Half(which, alternating=True)), t) for which in (0, 1)
        ],
    ),
    "split, transposed": lambda a, b, c, d: (
        [(a * b, c)],
        lambda t: [Transformed(Chain(Split(a), Transpose()), t)],
    ),
    "squeezed": lambda a, b, c, d: ([(a, 1, b)], lambda t: [Transformed(Squeeze(), t)]),
    "reordered": lambda a, b, c, d: (
        [(2 * a, b, c)],
        lambda t: [Transformed(Reordered((1, 0)), t)],
    ),
    "transposed, reordered": lambda a, b, c, d: (
        [(a, 3 * b)],
        lambda t: [Transformed(Chain(Transpose(), Reordered((2, 0, 1))), t)],
    ),
    "transposed twice": lambda a, b, c, d: (
        [(a, b)],
        lambda t: [Transformed(Chain(Transpose(), Transpose()), t)],
    ),
}


def put_back(
    trees: list[Rows], files: list[Rows], shapes: list[tuple[int, ...]], data: st.DataObject
) -> list[np.ndarray]:
    """Put what a converter made into new tensors, in chunks and an order that are drawn."""
    into = {str(i): torch.full(shape, math.nan) for i, shape in enumerate(shapes)}
    counts = dict.fromkeys(into, 0)
    jobs = []
    for tree, file in zip(trees, files, strict=True):
        place, rows = find_place(tree), math.prod(file.shape[:-1])
        cuts = data.draw(st.lists(st.integers(0, rows), max_size=4).map(sorted))
        jobs += [(place, file, *ends) for ends in zip([0, *cuts], [*cuts, rows], strict=True)]
    for place, file, start, stop in data.draw(st.permutations(jobs)):
        read = np.ascontiguousarray(file.read(start, stop)).view(np.float32)
        values = torch.from_numpy(read.copy())
        target = place.target(slice(start, stop), into)
        if target is not None and data.draw(st.booleans()):
            name, rows_of_it = target
            rows_of_it.copy_(values)  # refuses another shape
            counts[name] += values.numel()
            continue
        for name, count in place.put(start, values, into).items():
            counts[name] += count
    assert counts == {name: tensor.numel() for name, tensor in into.items()}
    return [tensor.numpy() for tensor in into.values()]


@pytest.mark.parametrize("case", CASES)
@given(a=small, b=small, c=small, d=small, data=st.data())
def test_what_was_moved_comes_back(case, a, b, c, d, data) -> None:
    shapes, make = CASES[case](a, b, c, d)
    ends = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    arrays = [
        np.arange(start, start + math.prod(shape), dtype=np.float32).reshape(shape)
        for start, shape in zip(ends, shapes, strict=False)
    ]
    files = make(tuple(ArrayRows(array) for array in arrays))
    trees = make(tuple(Parameter(str(i), shape) for i, shape in enumerate(shapes)))
    for found, array in zip(put_back(trees, files, shapes, data), arrays, strict=True):
        assert (found == array).all()


def test_every_transform_has_a_case() -> None:
    from gguf_lab.reference import transforms
    from gguf_lab.reference.transforms import encoders

    no_moves = {"Added", "Arithmetic", "Exp", "MinusExp"}
    no_moves |= {"NamedRows", "Rows", "Transform", "Transformed"}
    # parts of what is quantized are of a checkpoint, never parameters of a model
    no_moves |= {"BYTE_TYPES", "DecodeMXFP4", "Decoded", "Reciprocal", "RepackMXFP4", "Scaled"}
    no_moves |= {"PackedColumns", "PackedRows", "PackedTernary"}
    # what is loaded of falcon-h1 has no multipliers any more; gemma3n, kimi-k3, bitnet, talkie,
    # bailingmoe, rwkv, qwen3vlmoe and the encoders of images and sounds are not handed over
    no_moves |= {"Extended", "Centered", "NegatedHalves", "Product", "Reshape", "Ternary", "Times"}
    no_moves |= {"Numbers", "UnitColumns", "Upright"}
    names = {*transforms.__all__} - no_moves - {*encoders.__all__}
    used = {name for make in CASES.values() for name in names_in(make)}
    assert names <= used


def names_in(function) -> set[str]:
    codes, found = [function.__code__], set()
    while codes:
        code = codes.pop()
        found |= {*code.co_names}
        codes += [c for c in code.co_consts if hasattr(c, "co_names")]
    return found | ({"Half"} if "halves" in found else set())


def file_of(transform, values: np.ndarray, dtype: str) -> np.ndarray:
    rows = Transformed(transform, (ArrayRows(values.reshape(1, -1), dtype),))
    kind = "f2" if rows.dtype == "F16" else "f4"
    return rows.read(0, 1).view(kind).astype(np.float32)[0]


def bfloat16s() -> np.ndarray:
    """All finite numbers of bfloat16, as their bits."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    return bits[(bits & 0x7F80) != 0x7F80]


def test_one_added_to_a_bfloat16_comes_off_exactly() -> None:
    bits = bfloat16s()
    numbers = (bits.astype(np.uint32) << 16).view(np.float32)
    # smaller ones get lost in float32 next to 1, larger ones swallow it
    exact = (numbers == 0) | ((np.abs(numbers) >= 2.0**-16) & (np.abs(numbers) < 2.0**17))
    file = file_of(Added(1), bits[exact], "BF16")
    assert (Added(1).undo(file) == numbers[exact]).all()
    # where some were lost, those that are returned become the same file
    file = file_of(Added(1), bits, "BF16")
    assert (file_of(Added(1), Added(1).undo(file), "F32") == file).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_one_added_to_a_float32_gives_the_same_file_again(numbers) -> None:
    file = file_of(Added(1), np.array(numbers, np.float32), "F32")
    assert (file_of(Added(1), Added(1).undo(file), "F32") == file).all()


def test_a_logarithm_comes_back_to_float32_rounding() -> None:
    numbers = np.linspace(-20, 20, 100_001, dtype=np.float32)
    file = file_of(MinusExp(), numbers, "F32")
    assert np.abs(MinusExp().undo(file) - numbers).max() <= 2.0**-20  # half a unit of 16 to 20
    assert np.isnan(MinusExp().undo(np.float32([1]))).all()
    assert (file_of(Exp(), numbers, "F32") == -file).all()
    assert (Exp().undo(-file) == MinusExp().undo(file)).all()


def test_calculations_are_undone_where_they_were_done() -> None:
    tree = Transformed(
        Join(""), (Transformed(Added(1), (Parameter("norm", (2,)),)), Parameter("bias", (2,)))
    )
    place = find_place(tree)
    into = {"norm": torch.empty(2), "bias": torch.empty(2)}
    assert not place.exactly
    place.put(0, torch.tensor([[1.0, 2, 3, 4]]), into)
    assert into["norm"].tolist() == [0, 1]
    assert into["bias"].tolist() == [3, 4]


def test_values_are_rounded_to_the_type_of_the_parameter() -> None:
    into = {"w": torch.empty(2, 2, dtype=torch.bfloat16)}
    values = torch.tensor([[1 + 2.0**-9, 1 + 3 * 2.0**-9]])
    find_place(Parameter("w", (2, 2))).put(1, values, into)
    assert into["w"][1].tolist() == [1, 1 + 2.0**-7]  # to even, and up


def test_rows_that_only_move_together_are_decoded_into_their_place() -> None:
    stored, other = Parameter("w", (8, 4)), Parameter("v", (8, 4))
    into = {"w": torch.zeros(8, 4), "v": torch.zeros(8, 4)}
    plain = find_place(Transformed(AsStored(), (stored,)))
    name, target = plain.target(slice(2, 5), into)
    target += 1
    assert name == "w"
    assert into["w"].sum(axis=1).tolist() == [0, 0, 4, 4, 4, 0, 0, 0]
    joined = find_place(Transformed(Join("experts"), (stored, other)))
    assert joined.target(slice(8, 16), into)[0] == "v"
    assert joined.target(slice(6, 10), into) is None  # in two parameters
    half = {"w": into["w"].half()}
    assert plain.target(slice(2, 5), half) is None  # rounded
    assert plain.target(slice(3, 3), into) is None
    for transform in (UnpermuteRotary(2), Transpose(), Added(1)):
        assert find_place(Transformed(transform, (stored,))).target(slice(0, 3), into) is None


def test_whole_rows_are_counted_where_they_stay_whole() -> None:
    """The numbers of elements of a large matrix would take twice its memory."""
    matrix = Parameter("w", (8, 3))
    for transform in (AsStored(), UnpermuteRotary(2), TakeApart(2, 1), Transpose()):
        assert find_place(Transformed(transform, (matrix,))).whole_rows
    assert not find_place(Transformed(Half(0, axis=-1), (Parameter("b", (8, 4)),))).whole_rows


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ComparisonError, match="two rotary halves"):
        find_place(Transformed(UnpermuteRotary(4), (Parameter("w", (6, 2)),)))
    with pytest.raises(ComparisonError, match="is no parameter"):
        find_place(Transformed(AsStored(), (ArrayRows(np.zeros((2, 2), np.float32)),)))
    with pytest.raises(ComparisonError, match="has no values"):
        Parameter("w", (6, 2)).read(0, 1)
