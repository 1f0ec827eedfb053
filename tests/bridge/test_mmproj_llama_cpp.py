"""Exported projectors in llama.cpp itself: what it sees and hears is what Transformers does.

The differences that are left are those of GELU, which llama.cpp looks up in a table of half
precision, and which is the tanh form for it where Transformers may have the exact one.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl

from .running import TOKENS, expected, logits_of, opened
from .senses import BREAK, MEAN, RATE, SEEING, STD, due_of_image, due_of_sound, processor
from .small_encoders import ENCODERS, READING, WIDTH, encoder
from .small_models import byte_level, causal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

llama_cpp = pytest.importorskip("llama_cpp")
mtmd = pytest.importorskip("llama_cpp.mtmd_cpp")
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:llama.cpp computes differently"),
]

SECONDS = 30
# It takes the mean of each two frames before it joins four, and then ends: 187.5 tokens are none.
HEARING = ["gemma4", *(kind for kind in ENCODERS if kind not in {*SEEING, "voxtral"})]
ROUGH_TEXT = {"gemma3": 1e-3, "gemma4": 5e-3}
ROUGH = {"internvl": 5e-3, "qwen2_audio": 1e-4, "audioflamingo3": 1e-4}


@contextmanager
def seen(path: Path, text: Path, medium: Any) -> Iterator[list[np.ndarray]]:
    """What llama.cpp makes of an image or a sound: rows of embeddings, for each part of it."""
    with opened(text) as model:
        settings = mtmd.mtmd_context_params_default()
        settings.use_gpu = settings.warmup = False
        settings.n_threads, settings.flash_attn_type = 2, 0
        context = mtmd.mtmd_init_from_file(str(path).encode(), model.model, settings)
        assert context
        try:
            yield list(_encoded(context, medium, model.n_embd()))
        finally:
            mtmd.mtmd_free(context)


def _encoded(context: Any, medium: np.ndarray, width: int) -> Iterator[np.ndarray]:
    if medium.ndim == 3:
        data = medium.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(medium.shape[1], medium.shape[0], data)
    else:
        data = medium.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        bitmap = mtmd.mtmd_bitmap_init_from_audio(medium.size, data)
    chunks = mtmd.mtmd_input_chunks_init()
    prompt = b"a" + mtmd.mtmd_default_marker() + b"b"
    text = mtmd.mtmd_input_text(prompt, len(prompt), False, True)
    bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
    try:
        assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), bitmaps, 1) == 0
        for place in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, place)
            if mtmd.mtmd_input_chunk_get_type(chunk) == 0:  # text
                continue
            count = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
            assert mtmd.mtmd_encode_chunk(context, chunk) == 0
            values = mtmd.mtmd_get_output_embd(context)
            yield np.ctypeslib.as_array(values, shape=(count * width,)).reshape(count, -1).copy()
    finally:
        mtmd.mtmd_bitmap_free(bitmap)
        mtmd.mtmd_input_chunks_free(chunks)


def files(kind: str, model: Any, folder: Path, width: int) -> tuple[Path, Path]:
    """The projector, and any language model of the right width."""
    processor(kind, folder)
    path = gl.export_mmproj(
        model, folder / f"{kind}.gguf", processor=folder, qtype="F32", progress=False
    )
    language = causal("llama", hidden_size=width, head_dim=width // 4)
    text = gl.export(
        language, folder / "text.gguf", tokenizer=byte_level(), qtype="F32", progress=False
    )
    assert not isinstance(text, list)
    return path, text


def check(kind: str, found: list[np.ndarray], due: np.ndarray, say: Any) -> None:
    assert found
    for rows in found:
        assert rows.shape == due.shape
        worst = float(np.linalg.norm(rows - due) / np.linalg.norm(due))
        say(f"{kind}: {len(due)} tokens, relative difference {worst:.1e}")
        assert worst < ROUGH.get(kind, 1e-3)


@pytest.mark.parametrize("kind", READING)
def test_language_models(kind: str, tmp_path: Path, say: Any) -> None:
    """What reads is exported from the same model, and computes the same logits."""
    model = encoder(kind)
    path = gl.export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert not isinstance(path, list)
    due = expected(model, TOKENS)
    worst = float(np.abs(logits_of(path, TOKENS) - due).max())
    say(f"{kind}: logits up to {np.abs(due).max():.2f}, off by {worst:.1e}")
    assert np.abs(due).max() > 0.05
    assert worst < ROUGH_TEXT.get(kind, 1e-5)


@pytest.mark.parametrize("kind", SEEING)
def test_images(kind: str, tmp_path: Path, say: Any) -> None:
    import torch

    model = encoder(kind)
    deep = getattr(model.config.vision_config, "deepstack_visual_indexes", ())
    path, text = files(kind, model, tmp_path, WIDTH * (1 + len(deep)))
    across, down = ENCODERS[kind][2]
    image = np.random.default_rng(1).integers(0, 256, (down, across, 3), dtype=np.uint8)
    if kind == "internvl":  # llama.cpp gives a patch the position of the one before
        positions = next(p for n, p in model.named_parameters() if "position_embeddings" in n)
        with torch.no_grad():
            positions.copy_(torch.roll(positions, 1, 1))
    normal = ((image / 255 - MEAN) / STD).astype(np.float32)
    due = due_of_image(kind, model, torch.tensor(normal).permute(2, 0, 1)[None])
    with seen(path, text, image) as found:
        if kind in {"llava", "mistral3"}:  # a token behind every row
            side = 14 if kind == "llava" else 28
            rows, columns = down // side, across // side
            (whole,) = found
            cut = np.append(whole, whole[-1:], 0)[: rows * (columns + 1)]
            cut = cut.reshape(rows, columns + 1, -1)
            broken = model.get_input_embeddings().weight[BREAK].detach().numpy()
            assert np.array_equal(cut[:-1, -1], np.broadcast_to(broken, cut[:-1, -1].shape))
            check(kind, [cut[:, :-1].reshape(rows * columns, -1)], due, say)
        else:
            check(kind, found, due, say)


@pytest.mark.parametrize("qtype", ["Q8_0", "Q4_K_M"])
def test_a_quantized_projector(qtype: str, tmp_path: Path, say: Any) -> None:
    """Without the exception to what llama-quantize does, llama.cpp computes NaN with gemma 3's."""
    import torch

    model = encoder("gemma3", hidden_size=64, intermediate_size=128)
    path, text = files("gemma3", model, tmp_path, WIDTH)
    gl.requantize(path, tmp_path / "q.gguf", qtype, progress=False)
    assert gl.open(tmp_path / "q.gguf").tensors["v.blk.0.ffn_down.weight"].qtype != "F32"
    image = np.random.default_rng(1).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    normal = ((image / 255 - MEAN) / STD).astype(np.float32)
    due = due_of_image("gemma3", model, torch.tensor(normal).permute(2, 0, 1)[None])
    with seen(tmp_path / "q.gguf", text, image) as found:
        worst = float(np.linalg.norm(found[0] - due) / np.linalg.norm(due))
        say(f"gemma3 in {qtype}: relative difference {worst:.1e}")
        assert worst < (0.05 if qtype == "Q8_0" else 0.3)


@pytest.mark.parametrize("kind", HEARING)
def test_sounds(kind: str, tmp_path: Path, say: Any) -> None:
    """One as long as the encoder listens: what is made of a silence behind it differs."""
    model = encoder(kind)
    path, text = files(kind, model, tmp_path, WIDTH)
    noise = np.random.default_rng(1).standard_normal(SECONDS * RATE)
    sound = (0.1 * noise).astype(np.float32)
    due = due_of_sound(kind, model, sound)
    with seen(path, text, sound) as found:
        check(kind, found[:1], due, say)
