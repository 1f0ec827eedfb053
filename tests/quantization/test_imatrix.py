from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_lab.errors import GGUFError, GGUFLabError
from gguf_lab.quantization import open_imatrix

from .record_mixes import DATA

if TYPE_CHECKING:
    from pathlib import Path

SMOLLM2 = DATA / "imatrix" / "smollm2-imatrix.gguf"
Q = "blk.0.attn_q.weight"


def gguf_file(path: Path, tensors: dict[str, np.ndarray], **keys: object) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("imatrix.datasets", keys.get("datasets", ["some text", "more text"]))
    writer.add_uint32("imatrix.chunk_count", 7)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def entry(name: bytes, calls: int, values: list[float]) -> bytes:
    head = struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(values))
    return head + np.array(values, "<f4").tobytes()


def legacy_file(*entries: bytes, tail: bytes = b"") -> bytes:
    return struct.pack("<i", len(entries)) + b"".join(entries) + tail


@pytest.fixture
def refusal(tmp_path):
    def refuse(raw: bytes) -> str:
        path = tmp_path / "imatrix.dat"
        path.write_bytes(raw)
        with pytest.raises(GGUFError) as caught:
            open_imatrix(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return refuse


def test_a_file_of_llama_imatrix():
    reader = {tensor.name: tensor.data for tensor in gguf.GGUFReader(SMOLLM2).tensors}
    with open_imatrix(SMOLLM2) as imatrix:
        assert len(imatrix) == len(reader) // 2
        assert (imatrix.datasets, imatrix.chunk_count) == (("real/calib.txt",), 12)
        assert "12 chunks" in repr(imatrix)
        for name, values in imatrix.items():
            expected = reader[f"{name}.in_sum2"].ravel() / reader[f"{name}.counts"].item()
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, expected)


def test_odd_counts_beyond_2_to_the_23_stay_odd(tmp_path):
    """There half of 1 is no float32 any more: adding it would round up to the next even number."""
    sums, counts = np.array([3e7], np.float32), np.array([2**23 + 1], np.float32)
    path = gguf_file(tmp_path / "i.gguf", {f"{Q}.in_sum2": sums, f"{Q}.counts": counts})
    with open_imatrix(path) as imatrix:
        assert imatrix[f"{Q}"] == sums / counts


def test_experts_have_counts_of_their_own(tmp_path):
    sums = np.arange(12, dtype=np.float32).reshape(3, 4)
    counts = np.array([[2], [0], [4]], np.float32)
    path = gguf_file(tmp_path / "i.gguf", {f"{Q}.in_sum2": sums, f"{Q}.counts": counts})
    with open_imatrix(path) as imatrix:
        values = imatrix[Q]
    np.testing.assert_array_equal(values, [sums[0] / 2, np.ones(4), sums[2] / 4])
    assert values.dtype == np.float32


def test_an_entry_that_is_missing(tmp_path):
    with open_imatrix(SMOLLM2) as imatrix:
        assert "token_embd.weight" not in imatrix
        with pytest.raises(KeyError, match=r'no entry "blk.0.attn_qq.weight".* Did you mean'):
            imatrix["blk.0.attn_qq.weight"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({Q: (1, "f4")}, "is no importance matrix: none of its 1 tensors"),
        ({f"{Q}.in_sum2": (4, "f4")}, "has a tensor *.in_sum2, but none *.counts"),
        ({f"{Q}.counts": (1, "f4")}, "has a tensor *.counts, but none *.in_sum2"),
        ({f"{Q}.in_sum2": (4, "f4"), f"{Q}.counts": (1, "f2")}, "types F32 and F16"),
        ({f"{Q}.in_sum2": (4, "f4"), f"{Q}.counts": (3, "f4")}, "4 sums and 3 counts"),
        ({f"{Q}.in_sum2": (2, "f4"), f"{Q}.counts": (4, "f4")}, "2 sums and 4 counts"),
    ],
)
def test_gguf_files_that_are_refused(tmp_path, tensors, message):
    arrays = {name: np.ones(n, dtype) for name, (n, dtype) in tensors.items()}
    with pytest.raises(GGUFError) as caught:
        open_imatrix(gguf_file(tmp_path / "i.gguf", arrays))
    assert message in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_name(tmp_path, bad):
    sums, counts = np.array([1, bad, 2], np.float32), np.ones(1, np.float32)
    path = gguf_file(tmp_path / "i.gguf", {f"{Q}.in_sum2": sums, f"{Q}.counts": counts})
    with (
        open_imatrix(path) as imatrix,
        pytest.raises(GGUFError, match=rf"value 1 of entry '{Q}' is {bad}"),
    ):
        imatrix[Q]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", ((), 0)),
        (struct.pack("<ii", 9, 4) + b"text", (("text",), 9)),
        # llama.cpp takes what it can read of it
        (b"odd", ((), 0)),
        (struct.pack("<i", 9), ((), 9)),
        (struct.pack("<i", 9) + b"odd", ((), 9)),
        (struct.pack("<ii", 9, 400) + b"text", ((), 9)),
        (struct.pack("<ii", 9, -1) + b"text", ((), 9)),
        (struct.pack("<ii", 9, 4) + b"text and more", (("text",), 9)),
    ],
)
def test_a_legacy_file(tmp_path, tail, expected):
    path = tmp_path / "imatrix.dat"
    path.write_bytes(legacy_file(entry(b"a", 4, [1, 2, 3]), entry(Q.encode(), 0, [5]), tail=tail))
    with open_imatrix(path) as imatrix:
        assert imatrix.legacy
        assert list(imatrix) == ["a", Q]
        np.testing.assert_array_equal(imatrix["a"], np.array([1, 2, 3], np.float32) / 4)
        np.testing.assert_array_equal(imatrix[Q], [5])
        assert (imatrix.datasets, imatrix.chunk_count) == expected


def test_legacy_files_that_are_refused(refusal):
    whole = legacy_file(entry(b"name", 1, [1, 2, 3]))
    for cut in range(len(whole)):
        assert "Expected" in refusal(whole[:cut])
    assert "number of entries is 2147483647. Expected 1 to" in refusal(
        struct.pack("<i", 2**31 - 1) + whole[4:]
    )
    assert "number of entries is 0" in refusal(struct.pack("<i", 0) + whole[4:])
    assert "for the second time" in refusal(legacy_file(*[entry(b"a", 1, [1.0])] * 2))
    giant = struct.pack("<i", 1) + struct.pack("<i", 1) + b"a" + struct.pack("<ii", 1, 2**31 - 1)
    assert "byte 13: the number of values of entry 1 of 1 is 2147483647" in refusal(giant)


@settings(max_examples=100)
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda raw: b"GGUF" + raw))
def test_any_bytes_are_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "imatrix"
    path.write_bytes(raw)
    with contextlib.suppress(GGUFLabError), open_imatrix(path) as imatrix:
        for name in imatrix:
            assert imatrix[name].size <= len(raw)


def test_a_file_on_a_server_is_not_looked_for_here():
    with pytest.raises(GGUFError, match=r"^hf://a/b/c.dat: .*download it"):
        open_imatrix("hf://a/b/c.dat")


def test_a_missing_file(tmp_path):
    with pytest.raises(GGUFError, match="does not exist"):
        open_imatrix(tmp_path / "no")


@pytest.mark.parametrize("bits", [0x7FA00000, 0x7FC00000, 0x7F800000])
def test_numbers_that_are_none_are_refused_without_ado(bits: int, tmp_path: Path) -> None:
    """A signaling NaN, a quiet one and infinity; numpy would warn of the first."""
    odd = np.array([bits], "<u4").view("<f4")
    legacy = tmp_path / "i.dat"
    legacy.write_bytes(struct.pack("<i", 1) + entry(Q.encode(), 3, [1.0])[:-4] + odd.tobytes())
    counts = np.ones((1, 1), np.float32)
    new = gguf_file(tmp_path / "i.gguf", {f"{Q}.in_sum2": odd.reshape(1, 1), f"{Q}.counts": counts})
    for path in (legacy, new):
        with open_imatrix(path) as imatrix, pytest.raises(GGUFError, match="value 0 of entry"):
            imatrix[Q]
