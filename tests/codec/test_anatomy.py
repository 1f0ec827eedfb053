from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.codec import FORMATS
from gguf_lab.codec.influence import _differ, _measure, _portions, influence_of
from gguf_lab.codec.trace import Traced

from .golden import same_bits

NAMES = sorted(FORMATS)


def random_blocks(name: str, n: int, seed: int = 0) -> np.ndarray:
    shape = (n, FORMATS[name].qtype.type_size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def block_of(name: str, fill: int = 0, **fields: bytes) -> np.ndarray:
    """A block filled with one byte, and the given fields."""
    block = np.full(FORMATS[name].qtype.type_size, fill, np.uint8)
    for field in FORMATS[name].fields:
        if field.name in fields:
            block[field.offset : field.stop] = np.frombuffer(fields[field.name], np.uint8)
    return block


# --- the arithmetic -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_explained_weight_is_the_dequantized_one(name):
    for block in random_blocks(name, 2):
        anatomy = gl.dissect(block, name)
        want = gl.dequantize(block, name, backend="torch")
        assert same_bits(anatomy.weights, want)
        explanations = [anatomy.explain(i) for i in range(len(want))]
        assert same_bits(np.array([e.weight for e in explanations]), want)
        # What is written at the end of the text, read again, is the same number.
        written = [str(e).rsplit(" = ", 1)[1] for e in explanations]
        assert same_bits(np.array([np.float32(text) for text in written]), want)


@settings(max_examples=60)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_an_explanation_holds_for_any_block(name, seed, data):
    block = random_blocks(name, 1, seed)[0]
    index = data.draw(st.integers(0, FORMATS[name].qtype.block_size - 1))
    explanation = gl.dissect(block, name).explain(index)
    want = gl.dequantize(block, name, backend="torch")[index : index + 1]
    assert same_bits(np.array([explanation.weight]), want)
    with np.errstate(all="ignore"):
        again = explanation.d * explanation.q - explanation.m
    assert same_bits(np.array([again]), want)
    for read in explanation.reads:
        raw = block[read.offset : read.offset + read.width].tobytes()
        mask = (1 << 8 * read.width) - 1
        assert int.from_bytes(raw, "little") == read.value & mask


class Bytes:
    """What the formulas call ``block``: bytes by index, and fields by name."""

    def __init__(self, block, fmt):
        self.block = block
        for field in fmt.fields:
            elements = Elements(block, field)
            setattr(self, field.name, elements[0] if field.count == 1 else elements)

    def __getitem__(self, k):
        return number(self.block[k] if isinstance(k, slice) else self.block[k : k + 1])


class Elements:
    def __init__(self, block, field):
        self.block, self.field = block, field

    def __getitem__(self, k):
        k = k if isinstance(k, slice) else slice(k, k + 1)
        start, stop = (self.field.offset + x * self.field.width for x in (k.start, k.stop))
        return number(self.block[start:stop], signed=self.field.kind == "i64")


def number(raw, signed=False):
    return int.from_bytes(raw.tobytes(), "little", signed=signed)


def bits_as(kind, unsigned):
    return lambda x: np.array(x % (1 << 64)).astype(unsigned).view(kind)[()]


def signed(bits):
    return lambda x: x - (1 << bits) if x >> (bits - 1) else x


FUNCTIONS = {
    "i8": signed(8),
    "i16": signed(16),
    "i32": signed(32),
    "f16": lambda x: np.float32(bits_as(np.float16, np.uint16)(x)),
    "float32": np.float32,
    "float32_of_bits": bits_as(np.float32, np.uint32),
    "float64_of_bits": bits_as(np.float64, np.uint64),
}


def run_formulas(explanation, block, fmt):
    """Evaluate the formulas as Python over the block's bytes: they must give what they claim."""
    table = fmt.table().tolist()
    known = {**FUNCTIONS, "block": Bytes(block, fmt), "table": table}
    for step in explanation.steps:
        value = eval(step.formula, {}, known) if step.formula else step.value
        assert np.float32(value).tobytes() == np.float32(step.value).tobytes(), str(step)
        for condition in step.because:
            assert eval(condition, {}, known), condition
        if step.numbers:
            value = eval(step.numbers, {"table": table})
            assert value == pytest.approx(float(step.value), rel=1e-5, abs=1e-38), str(step)
        known[step.name] = np.float32(step.value) if step.name in "dmq" else step.value
    return len(explanation.steps)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_formulas_are_true(name):
    """Evaluated by Python, each formula gives its value and each condition holds."""
    fmt, done = FORMATS[name], 0
    for seed, block in enumerate(random_blocks(name, 12, 5)):
        anatomy = gl.dissect(block, name)
        if np.isfinite(anatomy.weights).all():
            done += 1
            random = np.random.default_rng(seed)
            for i in random.integers(0, len(anatomy.weights), 12):
                assert run_formulas(anatomy.explain(int(i)), block, fmt) >= 2
    assert done


def test_the_steps_of_a_q4_0_weight():
    # d = 0.5; byte 2 of the nibbles is 0xa3: weight 2 is 3 - 8, weight 18 is 10 - 8.
    block = block_of("Q4_0", d=np.float16(0.5).tobytes())
    block[4] = 0xA3
    anatomy = gl.dissect(block, "Q4_0")
    assert str(anatomy.explain(18)).splitlines() == [
        "Q4_0 block, weight 18 (group 1, position 2): 1.0",
        "  driven by d bits 0-15, qs[2] bits 4-7",
        "  block.d      bytes 0-1  0x3800 = 14336",
        "  block.qs[2]  byte 4     0xa3 = 163",
        "  d = f16(block.d) = 0.5",
        "  q = ((block.qs[2] >> 4) & 15) - 8 = 10 - 8 = 2",
        "  weight = d * q = 0.5 * 2 = 1.0",
    ]
    assert anatomy.explain(2).steps[-1].numbers == "0.5 * -5"
    assert anatomy.explain(2).bits == (*range(16), 32, 33, 34, 35)


def test_what_a_choice_depends_on_is_said():
    block = block_of("IQ1_S", d=np.float16(1).tobytes(), qh=b"\x00\x80" * 8)
    step = gl.dissect(block, "IQ1_S").explain(0).steps[-2]
    assert step.name == "q"
    assert step.because == ("(block.qh[0] >> 15) != 0",)
    assert "because (block.qh[0] >> 15) == 0" in str(
        gl.dissect(block_of("IQ1_S"), "IQ1_S").explain(0)
    )


def test_there_is_no_weight_beyond_the_block():
    anatomy = gl.dissect(block_of("Q4_0"), "Q4_0")
    for i in (-1, 32):
        with pytest.raises(gl.GGUFLabError, match=rf"weights .* from 0 to 31: there is no {i}"):
            anatomy.explain(i)
        with pytest.raises(gl.GGUFLabError, match=rf"there is no {i}"):
            anatomy.influence.bits_of(i)
        with pytest.raises(gl.GGUFLabError, match=rf"there is no {i}"):
            anatomy.influence.driving(i)
    with pytest.raises(gl.GGUFLabError, match=r"bits .* from 0 to 143: there is no 144"):
        anatomy.influence.weights_of(144)
    with pytest.raises(TypeError):
        anatomy.explain(2.7)


def test_fields_are_found_by_name():
    anatomy = gl.dissect(block_of("Q4_K"), "Q4_K")
    assert "dmin" in anatomy
    assert "D" not in anatomy
    assert [field.name for field in anatomy] == anatomy._ipython_key_completions_()
    assert [anatomy[field.name] for field in anatomy] == list(anatomy.fields)


def test_a_traced_value_refuses_to_choose_a_branch():
    with pytest.raises(TypeError, match="where"):
        bool(Traced("read", 1, 0, 1))


# --- the fields -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_belongs_to_exactly_one_field(name):
    block = random_blocks(name, 1, 3)[0]
    anatomy = gl.dissect(block, name)
    assert b"".join(part.raw for part in anatomy.fields) == block.tobytes()
    # Elements in order, each turned lowest bit first: the bits of the block in order.
    bits = "".join(element[::-1] for part in anatomy.fields for element in part.bits)
    assert bits == "".join(map(str, np.unpackbits(block, bitorder="little")))
    for part in anatomy.fields:
        assert len(part.bits) == len(part.integers) == len(part.values) == part.field.count
        unsigned = [int(element, 2) for element in part.bits]
        size = 8 * part.field.width
        signed = part.field.kind[0] == "i" or size == 64
        want = [u - (1 << size) if signed and u >> (size - 1) else u for u in unsigned]
        assert part.integers.tolist() == want


def test_the_values_of_fields():
    block = block_of("Q4_K", d=np.float16(0.25).tobytes(), dmin=np.float16(-3).tobytes())
    anatomy = gl.dissect(block, "Q4_K")
    assert anatomy["d"].values.tolist() == [0.25]
    assert anatomy["dmin"].values.tolist() == [-3]
    assert anatomy["d"].bits == ("0011010000000000",)
    assert gl.dissect(np.array([0xC0, 0xBF], np.uint8), "BF16")["x"].values.tolist() == [-1.5]
    assert gl.dissect(np.array([0xFE], np.uint8), "I8")["x"].values.tolist() == [-2]
    double = gl.dissect(np.frombuffer(np.float64(-1 / 3).tobytes(), np.uint8), "F64")
    assert double["x"].values.tolist() == [-1 / 3]
    assert "-0.3333333333333333" in repr(double)
    with pytest.raises(gl.GGUFLabError, match=r"no field 'm'.*d, dmin, scales, qs"):
        anatomy["m"]


@pytest.mark.parametrize("name", NAMES)
def test_the_frame_has_a_row_for_each_element(name):
    frame = gl.dissect(random_blocks(name, 1)[0], name).to_frame()
    assert [*frame.columns] == [
        *("field", "index", "kind", "byte", "n_bytes", "raw", "bits", "integer", "value", "drives")
    ]
    assert len(frame) == sum(field.count for field in FORMATS[name].fields)
    assert frame["n_bytes"].sum() == FORMATS[name].qtype.type_size


# --- influence ------------------------------------------------------------------------------------


def test_the_influence_of_q4_0_by_hand():
    matrix = gl.dissect(block_of("Q4_0"), "Q4_0").influence.matrix
    want = np.zeros((144, 32), bool)
    want[:16] = True  # the scale
    for byte in range(16):
        for bit in range(8):
            want[16 + 8 * byte + bit, byte + 16 * (bit >= 4)] = True
    assert (matrix == want).all()


def test_the_influence_of_q4_k_scales_by_hand():
    """Bytes 4-7 hold six bits of the scales 0-3, and in the upper two those of 4-7 (ggml)."""
    influence = influence_of(FORMATS["Q4_K"])
    group = [range(32 * g, 32 * g + 32) for g in range(8)]
    for k in range(4):
        for bit in range(8):
            low = k if bit < 6 else k + 4
            assert influence.weights_of(8 * (4 + k) + bit) == (*group[low],)  # scales
            assert influence.weights_of(8 * (8 + k) + bit) == (*group[low],)  # mins
            assert influence.weights_of(8 * (12 + k) + bit) == (*group[k + 4],)


def test_the_influence_of_signs_with_even_parity():
    # Seven stored sign bits a group of IQ2_XXS; the eighth sign evens the parity of all of them.
    influence = influence_of(FORMATS["IQ2_XXS"])
    for k in range(7):
        assert influence.weights_of(8 * 6 + k) == (k, 7)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("IQ1_S", lambda g: [16 + 8 * g + k for k in range(8)] + high_bits(34, 16, g // 4, g % 4)),
        ("IQ1_M", lambda g: [8 * g + k for k in range(8)] + high_bits(32, 4, g, 0)),
    ],
)
def test_what_one_entry_of_a_large_grid_tells_is_not_missed(name, bits):
    """A bit of an index drives each weight at which two entries differ, if only in that bit."""
    grid = FORMATS[name].table().reshape(2048, 8)
    indices = np.arange(2048)
    want = np.array([(grid != grid[indices ^ 1 << k]).any(axis=0) for k in range(11)])
    matrix = influence_of(FORMATS[name]).matrix
    for g in range(32):
        assert (matrix[bits(g), 8 * g : 8 * g + 8] == want).all()


def high_bits(byte: int, width: int, element: int, k: int) -> list[int]:
    """The k-th three bits of an element of `qh`."""
    first = 8 * byte + width * element + 3 * k
    return [first, first + 1, first + 2]


@pytest.mark.parametrize(
    ("name", "field", "reach"),
    [
        ("Q4_K", "d", "every weight"),
        ("Q4_K", "scales", "a group of 32"),
        ("Q4_K", "qs", "one weight"),
        ("Q8_1", "s", "nothing"),
        ("Q8_K", "bsums", "nothing"),
        ("IQ1_M", "scales", "16 weights (48 bits), every weight (16 bits)"),
        ("TQ1_0", "qs", "5 weights"),
        ("F64", "x", "the weight"),  # the low bits only where they break a tie
        ("I64", "x", "the weight"),
    ],
)
def test_what_a_bit_of_a_field_drives_in_words(name, field, reach):
    anatomy = gl.dissect(block_of(name), name)
    part = anatomy[field].field
    assert anatomy.influence.reach(part.offset, part.stop) == reach
    assert reach in repr(anatomy)
    assert f"{field}: {reach}" in repr(anatomy.influence)


@pytest.mark.parametrize("name", NAMES)
def test_flipping_one_bit_at_a_time_finds_nothing_else(name):
    """The bits are flipped many at once: one by one, in blocks of their own, nothing is added."""
    influence = influence_of(FORMATS[name]).matrix
    seen = np.zeros_like(influence)
    for block in random_blocks(name, 3, 11):
        anatomy = gl.dissect(block, name)
        seen |= _differ(anatomy.flip_each(), anatomy.weights[None])
    assert not (seen & ~influence).any()


@pytest.mark.parametrize("name", NAMES)
def test_runs_that_rest_miss_nothing(name, monkeypatch):
    """All blocks for all bits, as if none had ever rested, show no more."""
    found = _measure(FORMATS[name]).matrix
    monkeypatch.setattr("gguf_lab.codec.influence._PATIENCE", 1 << 20)
    whole = _measure(FORMATS[name]).matrix
    assert (found == whole).all()


def test_a_flip_in_a_block_of_zeros_does_little_and_influence_says_more():
    anatomy = gl.dissect(block_of("Q4_0"), "Q4_0")
    flipped = anatomy.flip_each()
    assert flipped.shape == (144, 32)
    assert (flipped[16:] == 0).all()  # the scale is zero
    assert (flipped[10] == -8 * np.float32(2) ** -14).all()  # its lowest exponent bit: 2**-14
    assert anatomy.influence.matrix[16:].any(axis=1).all()
    assert (gl.dequantize(block_of("Q4_0"), "Q4_0") == 0).all()


def test_base_blocks_show_every_value_of_every_byte():
    blocks = np.concatenate([*_portions(18, 0)])
    assert (np.sort(blocks, axis=0) == np.repeat(np.arange(256), 8)[:, None]).all()


def test_influence_is_measured_once():
    assert influence_of(FORMATS["Q6_K"]) is influence_of(FORMATS["Q6_K"])


# --- shown ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.extend(data.split())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", [0x00, 0x7C, 0xFF])
def test_blocks_of_nan_and_infinity_are_shown_like_others(name, fill):
    anatomy = gl.dissect(block_of(name, fill), name)
    page = Page(anatomy._repr_html_())
    assert not page.open
    assert "script" not in page.tags
    raw = [word for word in page.words if re.fullmatch("[0-9a-f]{2}", word)]
    assert raw.count(f"{fill:02x}") >= anatomy.qtype.type_size
    assert anatomy.title in repr(anatomy)
    assert repr(anatomy.explain(0)) == str(anatomy.explain(0))
    assert len(anatomy.to_frame())


def test_a_nan_scale_is_told():
    anatomy = gl.dissect(block_of("Q4_0", d=np.float16(np.nan).tobytes()), "Q4_0")
    assert "32 not finite" in repr(anatomy)
    assert str(anatomy.explain(0)).endswith("weight = d * q = nan * -8 = nan")


def test_html_and_text_list_the_same():
    anatomy = gl.dissect(random_blocks("Q6_K", 1)[0], "Q6_K")
    words = Page(anatomy._repr_html_()).words
    assert set(repr(anatomy).split()) <= {*words}
    escaped = anatomy.explain(0)._repr_html_()
    assert "&gt;&gt;" in gl.dissect(block_of("IQ1_S"), "IQ1_S").explain(0)._repr_html_()
    assert escaped.startswith("<pre")


# --- what is refused, what is left alone ----------------------------------------------------------


def test_one_block_is_asked_for():
    with pytest.raises(gl.GGUFLabError, match=r"\(144,\); got uint8 of shape \(288,\).*row\["):
        gl.dissect(np.zeros(288, np.uint8), "Q4_K")
    with pytest.raises(gl.GGUFLabError, match="got float32"):
        gl.dissect(np.zeros(144, np.float32), "Q4_K")
    with pytest.raises(gl.UnsupportedError, match="'Q9_9'"):
        gl.dissect(np.zeros(144, np.uint8), "Q9_9")


def test_the_block_is_copied_and_nothing_can_be_written():
    block = block_of("Q8_0", 1)
    anatomy = gl.dissect(block, 8)
    block[:] = 0
    assert (anatomy.block == 1).all()
    part = anatomy.fields[1]
    for array in (anatomy.block, anatomy.weights, part.integers, part.values):
        assert not array.flags.writeable
    assert not anatomy.influence.matrix.flags.writeable
