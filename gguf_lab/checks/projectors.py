"""Rules about encoders of images and sounds, and what projects them (mmproj)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..file import ArrayValue, preview
from ..file.text import few
from ..model.names import split_name
from ..reference.demanded_projectors import FLAGS, PARTS, encoders_in
from .rules import CONVERT, CORRECT_KEY, Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..file import Metadata
    from .rules import Subject

__all__: list[str] = []

_COLORS = ("clip.vision.image_mean", "clip.vision.image_std")
_MOST = 2**31 - 1
_BOUNDS = {
    **dict.fromkeys((f"clip.{part}.embedding_length" for part in PARTS), (1, _MOST)),
    "clip.vision.image_size": (0, 8192),
    "clip.vision.patch_size": (1, 65535),
    **dict.fromkeys(("clip.vision.window_size", "clip.audio.window_size"), (0, 4096)),
    **dict.fromkeys(
        ("clip.vision.projector.scale_factor", "clip.vision.spatial_merge_size"), (1, 65535)
    ),
    "clip.audio.num_mel_bins": (1, 256),
}
_ORDERED = (
    ("clip.vision.image_min_pixels", "clip.vision.image_max_pixels"),
    ("clip.vision.preproc_min_tiles", "clip.vision.preproc_max_tiles"),
)
_OF_LAYERS = "wa_pattern_mode"  # one number for each
_HEARS_WAVES = ("gemma4ua", "pockettts_spkenc")  # as many numbers as they like
_UNLIKE_LAYERS = ("dots3note_v", "gemma3nv", "mimovl", "mimo_audio")
# What the converter writes for every model of a type whose graph asks for it.
_ACTIVATIONS = {
    "clip.use_silu": (
        *("deepseek4v", "dots_ocr", "dots3note_v", "exaone4_5", "glm5v", "mimovl"),
        "qwen2.5vl_merger",
    ),
    "clip.use_gelu": (
        *("gemma3", "granite4_vision", "idefics3", "kimivl", "lfm2", "ling3vl", "llama4"),
        *("minicpmv4_6", "nemotron_v2_vl", "paddleocr", "phi4", "qwen3vl_merger"),
    ),
}
_GEMMA4 = "gemma4v"


@rule(
    "projector-type",
    "error",
    "tools/mtmd/clip.cpp: 'unknown projector type'; without an encoder nothing is loaded",
    kinds=("mmproj",),
)
def projector_type(subject: Subject) -> Iterator[Found]:
    """Expect an encoder, of a type that llama.cpp knows."""
    encoders = encoders_in(subject.metadata)
    if not encoders:
        yield Found(
            "clip.has_vision_encoder",
            "neither this key nor clip.has_audio_encoder says that there is an encoder: llama.cpp "
            "loads nothing",
            CONVERT,
        )
    for encoder in encoders:
        if not encoder.projector_type:
            words = f"no key says the type of its projector ({encoder.part}): llama.cpp refuses it"
            yield Found("clip.projector_type", words, CONVERT)
        elif not encoder.known:
            yield Found(
                "clip.projector_type",
                f"the type of its projector ({encoder.part}) is {preview(encoder.projector_type)}, "
                "which llama.cpp does not know: it refuses the file",
                "It may be newer than what is known here, or for a fork of llama.cpp.",
            )


@rule(
    "projector-keys",
    "error",
    "tools/mtmd/clip.cpp: 'Key not found', or ends where a key has another type",
    kinds=("mmproj",),
)
def projector_keys(subject: Subject) -> Iterator[Found]:
    """Expect every key that the type of a projector needs, each in the type that it is read as."""
    metadata = subject.metadata
    due = dict.fromkeys(FLAGS.values(), ("bool", "")) | {
        key: (kind, encoder.projector_type if needed else "")
        for encoder in encoders_in(metadata)
        if encoder.known
        for key, (kind, needed) in encoder.due_keys().items()
    }
    for key, (kind, needed_for) in due.items():
        if key not in metadata:
            if needed_for:
                words = f"the key is missing, which llama.cpp needs for {needed_for}"
                yield Found(key, words, CONVERT)
        elif (got := metadata.type_of(key)) != kind:
            words = f"the key is of type {got}; llama.cpp reads it as {kind}, and ends at another"
            yield Found(key, words, CONVERT)


@rule(
    "projector-values",
    "error",
    "tools/mtmd/clip.cpp: its checks of what it has read",
    kinds=("mmproj",),
)
def projector_values(subject: Subject) -> Iterator[Found]:
    """Expect figures within the bounds of llama.cpp."""
    metadata = subject.metadata
    if metadata.get("clip.use_gelu") is True and metadata.get("clip.use_silu") is True:
        words = "both this key and clip.use_silu are true; llama.cpp has one activation"
        yield Found("clip.use_gelu", words, CORRECT_KEY)
    for encoder in encoders_in(metadata):
        keys = encoder.due_keys()
        for key in keys:
            value = metadata.integer(key)
            least, most = _BOUNDS.get(key, (0, _MOST))
            if key.endswith("num_mel_bins") and encoder.projector_type in _HEARS_WAVES:
                most = _MOST
            if value is not None and not least <= value <= most:
                words = f"the key is {value:,}; llama.cpp takes {least} to {most:,}"
                yield Found(key, words, CORRECT_KEY)
        for smaller, larger in _ORDERED:
            low, high = metadata.integer(smaller), metadata.integer(larger)
            if smaller in keys and low is not None and high is not None and low > high:
                words = f"the key is {low:,}, and {larger} only {high:,}: llama.cpp refuses that"
                yield Found(smaller, words, CORRECT_KEY)
        layers = metadata.integer(f"clip.{encoder.part}.block_count")
        yield from _wrong_lengths(metadata, keys, layers)


def _wrong_lengths(metadata: Metadata, keys: Iterable[str], layers: int | None) -> Iterator[Found]:
    for key in keys:
        values = metadata.get(key)
        if not isinstance(values, ArrayValue):
            continue
        if key in _COLORS and len(values) < 3:
            words = f"the key has {len(values)} values; llama.cpp needs one for each color"
            yield Found(key, words, CONVERT)
        if key.endswith(_OF_LAYERS) and len(values) != layers:
            words = f"the key has {len(values):,} values for {layers} layers: llama.cpp ends"
            yield Found(key, words, CONVERT)


@rule(
    "projector-tensors",
    "error",
    "tools/mtmd/clip.cpp: 'unable to find tensor'",
    kinds=("mmproj",),
)
def projector_tensors(subject: Subject) -> Iterator[Found]:
    """Expect every tensor without which llama.cpp does not load a projector of its type."""
    tensors = subject.model.tensors
    for encoder in encoders_in(subject.metadata):
        due = encoder.due_tensors(subject.metadata)
        absent = [" or ".join(names) for names in due if not any(name in tensors for name in names)]
        if absent:
            yield Found(
                absent[0],
                f"{counted(len(absent), 'tensors are')} missing that llama.cpp needs for "
                f"{encoder.projector_type}: {examples(absent)}",
                "Convert the model again from a complete checkpoint.",
            )


@rule(
    "unlike-layers",
    "warning",
    "tools/mtmd/clip.cpp asks for most tensors of a layer without needing them",
    kinds=("mmproj",),
)
def unlike_layers(subject: Subject) -> Iterator[Found]:
    """Expect the same tensors in every layer: what one lacks llama.cpp computes without."""
    for encoder in encoders_in(subject.metadata):
        if not encoder.known or encoder.projector_type in _UNLIKE_LAYERS:
            continue
        number = subject.metadata.integer(f"clip.{encoder.part}.block_count") or 0
        layers: dict[str, set[int]] = {}
        for name in subject.model.tensors:
            layer, kind = split_name(name)
            if layer is not None and layer < number and name.startswith(encoder.layers):
                layers.setdefault(kind, set()).add(layer)
        there = set().union(*layers.values())
        for kind, those in layers.items():
            if absent := sorted(there - those):
                name = kind.removeprefix(encoder.layers.removesuffix("blk."))
                yield Found(
                    f"{encoder.layers}{absent[0]}.{name}",
                    f"{counted(len(absent), 'layers have')} no {name} ({few(map(str, absent))}), "
                    f"which {len(those)} others have: llama.cpp computes without it, if it loads "
                    "the file at all",
                    "Convert the model again from a complete checkpoint.",
                )


@rule(
    "activation",
    "warning",
    "tools/mtmd/clip.cpp: without clip.use_gelu and clip.use_silu it takes the quick GELU",
    kinds=("mmproj",),
)
def activation(subject: Subject) -> Iterator[Found]:
    """Expect the key that says which activation the layers of an encoder have."""
    said = [key for key in _ACTIVATIONS if subject.metadata.get(key) is True]
    taken = said[0].removeprefix("clip.use_") if said else "quick GELU, 1.702 in a sigmoid"
    for encoder in encoders_in(subject.metadata):
        kind = encoder.projector_type
        if kind == _GEMMA4 and said != ["clip.use_gelu"]:
            yield Found(
                "clip.use_gelu",
                f"the key is not true, so llama.cpp takes the {taken}; Gemma 4 has GELU, in its "
                "tanh form. llama.cpp's converter leaves the key out",
                "Export the projector with GGUF Lab (gguf-lab export --mmproj), which writes it.",
                "note",
            )
        for due, types in _ACTIVATIONS.items():
            if kind in types and said != [due]:
                yield Found(
                    due,
                    f"the key is not true, so llama.cpp takes the {taken}; its converter writes "
                    f"the key for every model of type {kind}",
                    CORRECT_KEY if due in subject.metadata else CONVERT,
                )
