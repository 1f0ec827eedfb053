"""The GGUF files of a repository, by quantization."""

from __future__ import annotations

import pytest

import gguf_lab as gl
from gguf_lab.model import find

FILES = {
    "README.md": 10,
    "Tiny-1B-Q8_0.gguf": 800,
    "Tiny-1B-Q4_K_M.gguf": 400,
    "tiny-1b.q4_k_s.gguf": 390,
    "mmproj-Tiny-1B-F16.gguf": 100,
    "BF16/Tiny-1B-BF16-00002-of-00002.gguf": 700,
    "BF16/Tiny-1B-BF16-00001-of-00002.gguf": 900,
    "Q6_K/tiny-00001-of-00003.gguf": 200,
    "Q6_K/tiny-00003-of-00003.gguf": 200,
    "<img src=x onerror=alert(1)>\x1b[2J.gguf": 1,
}


@pytest.fixture
def hub(hub):
    card = {"base_model": "org/Tiny-1B"}
    hub.add_repository("maker/Tiny", {p: bytes(n) for p, n in FILES.items()}, card)
    return hub


def test_files_are_grouped_and_sets_are_joined(hub):
    found = find("maker/Tiny")
    frame = found.to_frame()
    assert dict(zip(frame["name"], frame["size"], strict=True)) == {
        "Tiny-1B-Q8_0.gguf": 800,
        "Tiny-1B-Q4_K_M.gguf": 400,
        "tiny-1b.q4_k_s.gguf": 390,
        "mmproj-Tiny-1B-F16.gguf": 100,
        "BF16/Tiny-1B-BF16-00001-of-00002.gguf": 1600,
        "Q6_K/tiny-00001-of-00003.gguf": 400,
        "<img src=x onerror=alert(1)>\x1b[2J.gguf": 1,
    }
    by_name = frame.set_index("name")
    assert list(by_name["quantization"]) == [
        *("unknown", "F16", "Q4_K_S", "Q4_K_M", "Q6_K", "Q8_0", "BF16")
    ]
    assert by_name.loc["mmproj-Tiny-1B-F16.gguf", "kind"] == "mmproj"
    assert tuple(by_name.loc["Q6_K/tiny-00001-of-00003.gguf", ["n_files", "n_expected"]]) == (2, 3)
    assert tuple(
        by_name.loc["BF16/Tiny-1B-BF16-00001-of-00002.gguf", ["n_files", "n_expected"]]
    ) == (2, 2)
    assert len(found) == len(list(found)) == 7


def test_a_file_is_named_by_its_quantization(hub):
    found = find("hf://maker/Tiny")
    assert found["Q4_K_M"] == found["q4_k_m"] == "hf://maker/Tiny/Tiny-1B-Q4_K_M.gguf"
    assert found["BF16"] == "hf://maker/Tiny/BF16/Tiny-1B-BF16-00001-of-00002.gguf"
    assert found["tiny-1b.q4_k_s.gguf"].endswith("/tiny-1b.q4_k_s.gguf")
    assert found.reference == "hf://org/Tiny-1B"
    with pytest.raises(KeyError, match="Q4_K_M"):
        found["Q4_K_X"]
    assert "Q8_0" in found._ipython_key_completions_()
    assert "q4_k_m" in found
    assert "tiny-1b.q4_k_s.gguf" in found
    assert found.files[0] in found
    assert "Q4_K_X" not in found


def test_two_files_of_one_quantization_are_named(hub):
    files = {"a-Q8_0.gguf": bytes(8), "b-Q8_0.gguf": bytes(7), "mmproj-a-Q8_0.gguf": bytes(3)}
    hub.add_repository("maker/Two", files)
    found = find("maker/Two")
    with pytest.raises(KeyError, match=r"2 files of .*Q8_0.*b-Q8_0\.gguf.*a-Q8_0\.gguf"):
        found["Q8_0"]
    assert found.reference is None


@pytest.mark.parametrize(
    ("card", "reference"),
    [
        (None, None),
        ([], None),
        ({"base_model": ["org/a"]}, "hf://org/a"),
        ({"base_model": ["org/a", "org/b"]}, None),
        ({"base_model": "/home/me/model"}, None),
        ({"base_model": 7}, None),
    ],
)
def test_the_card_names_the_original(hub, card, reference):
    hub.add_repository("maker/Card", {"x-Q8_0.gguf": b"1"}, card)
    assert find("maker/Card").reference == reference


def test_it_shows_text_and_nothing_else(hub):
    found = find("maker/Tiny")
    text, page = repr(found), found._repr_html_()
    assert "original: hf://org/Tiny-1B" in text
    assert "2 of 3" in text
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "<img" not in page
    assert "\x1b" not in page
    assert "&lt;img" in page


def test_a_repository_without_gguf(hub):
    hub.add_repository("org/Tiny", {"model.safetensors": b"x"})
    with pytest.raises(gl.RemoteError, match="no GGUF file among its 1 files"):
        gl.find("org/Tiny")
    with pytest.raises(gl.RemoteError, match="does not exist"):
        gl.find("org/Missing")
    with pytest.raises(gl.RemoteError, match="not a repository"):
        gl.find("hf://maker/Tiny/Tiny-1B-Q8_0.gguf")
