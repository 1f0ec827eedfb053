"""What llama.cpp demands of projectors, by llama.cpp: with all of it a file is loaded, without any
one part of it the file is refused for just that part."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from gguf_lab.reference.demanded_projectors import TYPES, Encoder

from ..file.builders import Builder
from .loading_projectors import answers
from .variants import LLAMA

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = 2
FIGURES: dict[str, Any] = {
    "block_count": LAYERS,
    "attention.layer_norm_epsilon": 1e-5,
    "image_size": 56,
    "patch_size": 14,
    "num_mel_bins": 80,
    "subsampling_factor": 8,
    "conv_kernel_size": 3,
    "rvq.num_quantizers": 1,
    "swiglu_clamp": 7.0,
}
ARRAYS = {
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "wa_pattern_mode": [0] * LAYERS,
    "wa_layer_indexes": [0],
    "rvq.codebook_size": [1],
    "spatial_offsets": [0, 1],
    "feature_layer": [0, 1],
}
# Of these llama.cpp says it in other words.
OTHER_WORDS = {
    "clip.vision.image_mean": "image_mean/image_std arrays",
    "clip.vision.image_std": "image_mean/image_std arrays",
    "clip.audio.rvq.codebook_size": "clip.audio.rvq.codebook_size",
    "clip.audio.rvq.num_quantizers": "clip.audio.rvq.num_quantizers",
    "a.rvq.codebook.weight": "a.rvq.codebook",
    "mm.a.code_embd.weight": "mm.a.code_embd",
    "v.patch_embd.weight": "v.patch_embd.weight",
}


def part_of(kind: str) -> str:
    """The part that a type is of, by what it asks for."""
    due = [" ".join(names) for names in Encoder("vision", kind).due_tensors({})]
    if any(name.startswith("a.gen.") for name in due):
        return "gen.audio"
    return "audio" if any(name.startswith(("a.", "mm.a.")) for name in due) else "vision"


def complete(encoder: Encoder) -> tuple[Builder, list[str], list[str]]:
    """A file with all that is demanded and no more; its keys, and its tensors."""
    due = {key: kind for key, (kind, needed) in encoder.due_keys().items() if needed}
    if "clip.vision.projector.spatial_offsets" in due:
        due["clip.vision.feature_layer"] = "array[int32]"
    values: dict[str, Any] = {}
    for key in due:
        name = key.removeprefix(f"clip.{encoder.part}.")
        values[key] = ARRAYS.get(name.removeprefix("projector."), FIGURES.get(name, 4))
    builder = Builder()
    builder.key("general.architecture", "string", "clip")
    builder.key("general.type", "string", "mmproj")
    builder.key(f"clip.has_{encoder.part.replace('.', '_')}_encoder", "bool", 1)
    builder.key("clip.projector_type", "string", encoder.projector_type)
    for key, kind in due.items():
        builder.key(key, kind, values[key])
    figures = dict(values)
    if "clip.vision.projector.spatial_offsets" in figures:
        figures["clip.vision.projector.spatial_offsets"] = LAYERS
    names = [names[0] for names in encoder.due_tensors(figures)]
    for name in names:
        builder.tensor(name, (1,), 0, b"\0" * 4)
    return builder, list(due), names


def without(content: bytes, name: str) -> bytes:
    """A file in which a key or a tensor has another name."""
    told = struct.pack("<Q", len(name)) + name.encode()
    assert content.count(told) == 1
    return content.replace(told, struct.pack("<Q", len(name)) + b"x" + name.encode()[1:])


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TYPES))
def test_llama_cpp_demands_this_and_no_more(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    builder, keys, tensors = complete(Encoder(part_of(kind), kind))
    content = builder.build()
    files = {"": content, **{name: without(content, name) for name in [*keys, *tensors]}}
    paths = []
    for number, changed in enumerate(files.values()):
        paths.append(tmp_path / f"{number}.gguf")
        paths[-1].write_bytes(changed)
    first, *others = answers(LLAMA, paths)
    assert "unable to find" not in first, first
    assert "not found" not in first, first
    words = {**OTHER_WORDS, **({"mm.2.weight": "ended with 11"} if kind == "mlp" else {})}
    wrong = {
        name: said
        for name, said in zip([*keys, *tensors], others, strict=True)
        if words.get(name, f" {name}") not in said
    }
    wrong.pop("clip.vision.feature_layer", None)
    assert wrong == {}
