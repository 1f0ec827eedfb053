"""What the targets begin with: small good files of every kind that they take."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gguf_lab.file import LocalFile, parse_header

from ..bridge import vocabularies
from ..file.builders import F32, Builder
from ..file.test_mutations import FILES
from .targets import TARGETS, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CORPUS", "made_for", "seeds_of"]

CORPUS = Path(__file__).parent / "corpus"
"""A folder per target: inputs that a longer run has found to reach more of the code."""

_LONGEST = 10_000  # bytes of a head
_DATA = Path(__file__).parents[1] / "data"
_NAMES = (
    "Mixtral-8x7B-v0.1-KQ2.gguf",
    "Grok-100B-v1.0-Q4_0-00003-of-00009.gguf",
    "Hermes-2-Pro-Llama-3-8B-F16.gguf",
    "mmproj-model-f16.gguf",
    "phi-3-mini-3.8B-ContextLength4k-instruct-v1.0-UD-Q4_K_XL-LoRA.gguf",
)


@cache
def seeds_of(name: str) -> tuple[bytes, ...]:
    """Return what a target begins with: made here, then kept from longer runs."""
    kept = sorted((CORPUS / name).glob("*")) if (CORPUS / name).is_dir() else []
    return (*made_for(name), *(path.read_bytes() for path in kept))


def made_for(name: str) -> Iterable[bytes]:
    """Return whole inputs for a target."""
    assert name in TARGETS
    return {
        "header": lambda: list(FILES.values()),
        "shards": _shards,
        "naming": lambda: [text.encode() for text in _NAMES],
        "safetensors": lambda: [_safetensors({"w": (2, 3), "b": (4,)}), _safetensors({})],
        "index": _indices,
        "imatrix": _matrices,
        "configuration": _configurations,
        "tokenizer": _vocabularies,
        "template": _templates,
    }[name]()


def _shards() -> list[bytes]:
    files = {}
    for number in range(2):
        builder = Builder()
        builder.key("split.no", "uint16", number)
        builder.key("split.count", "uint16", 2)
        builder.key("split.tensors.count", "int32", 2)
        builder.tensor(f"t{number}", [4], F32, bytes(16))
        files[f"a-0000{number + 1}-of-00002.gguf"] = builder.build()
    return [joined(files), joined({"b.gguf": FILES[3, "little"]})]


def _safetensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(entries).encode()
    return struct.pack("<Q", len(head)) + head + bytes(range(at))


def _indices() -> list[bytes]:
    weights = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    found = {
        "model.safetensors.index.json": json.dumps(weights).encode(),
        "config.json": b'{"model_type": "llama", "hidden_size": 8}',
        "a.safetensors": _safetensors({"w": (2, 3)}),
        "b.safetensors": _safetensors({"v": (4,)}),
    }
    outside = {"weight_map": {"w": "../outside.safetensors"}}
    return [
        joined(found),
        joined({"model.safetensors": _safetensors({"w": (2, 3)}), "config.json": b"{}"}),
        joined({"model.safetensors.index.json": json.dumps(outside).encode()}),
    ]


def _matrices() -> list[bytes]:
    name = b"blk.0.attn_q.weight"
    legacy = struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii3f", 4, 3, 1, 2, 3)
    builder = Builder().key("general.type", "string", "imatrix")
    builder.key("imatrix.datasets", "array[string]", ["a", "b"])
    builder.key("imatrix.chunk_count", "uint32", 3)
    builder.tensor("a.weight.in_sum2", [4, 2], F32, struct.pack("<8f", *range(8)))
    builder.tensor("a.weight.counts", [1, 2], F32, struct.pack("<2f", 2, 0))
    return [legacy, legacy + struct.pack("<ii", 9, 4) + b"text", builder.build()]


def _keys(builder: Builder, metadata: dict[str, Any]) -> Builder:
    for key, value in metadata.items():
        kind, plain = vocabularies.typed(value)
        words = str(kind).lower().split()
        builder.key(key, f"array[{words[1]}]" if len(words) > 1 else words[0], plain)
    return builder


def _vocabularies() -> list[bytes]:
    """A part of the vocabularies of every kind: a hundred tokens, and those of a few merges."""
    found = []
    for name in vocabularies.NAMES:
        metadata = dict(vocabularies.metadata(name))
        tokens = metadata["tokenizer.ggml.tokens"]
        merges = metadata.get("tokenizer.ggml.merges", [])[:15]
        used = {part for text in merges for part in (*text.split(" ", 1), text.replace(" ", "", 1))}
        chosen = [i for i, token in enumerate(tokens) if i < 100 or token in used]
        for part in ("tokens", "token_type", "scores"):
            key = f"tokenizer.ggml.{part}"
            if key in metadata:
                value = metadata[key]
                few = [value[i] for i in chosen]
                metadata[key] = np.array(few, value.dtype) if hasattr(value, "dtype") else few
        if merges:
            metadata["tokenizer.ggml.merges"] = merges
        for key, value in metadata.items():
            if key.endswith("_token_id"):
                metadata[key] = min(value, len(chosen) - 1)
        charsmap = metadata.get("tokenizer.ggml.precompiled_charsmap")
        if charsmap is not None and len(charsmap) > 4096:
            trie = struct.pack("<I", 8) + struct.pack("<II", 0x100, 0) + b"a\0b\0"
            metadata["tokenizer.ggml.precompiled_charsmap"] = np.frombuffer(trie, np.uint8)
        metadata.pop("tokenizer.chat_template", None)
        found.append(_keys(Builder(), metadata).build())
    return found


def _configurations() -> list[bytes]:
    """The heads of what llama.cpp's converter wrote: a model of every family, without its data."""
    heads = []
    for path in sorted((_DATA / "models").glob("*/*.gguf")):
        with LocalFile(path) as file:
            heads.append(bytes(file.read(0, parse_header(file).data_offset)))
    return [head for head in heads if len(head) < _LONGEST]


def _templates() -> list[bytes]:
    builder = Builder().key("tokenizer.ggml.model", "string", "llama")
    builder.key("tokenizer.ggml.tokens", "array[string]", ["<unk>", "<s>", "</s>", "a"])
    builder.key("tokenizer.chat_template", "string", "{{ messages }}")
    builder.key("tokenizer.chat_templates", "array[string]", ["tool_use"])
    builder.key("tokenizer.chat_template.tool_use", "string", "{{ tools }}")
    return [builder.build(), b'{"text": "x"}', b'{"error": "E", "message": "m", "line": "3"}']
