"""Small tokenizers, what llama.cpp's converter wrote for them, and files with nothing else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np

DATA = Path(__file__).parents[1] / "data" / "tokenizers"
NAMES = sorted(path.stem for path in (DATA / "expected").glob("*.json"))

TEXTS = [
    "",
    " ",
    "\n",
    "Hello world",
    " Hello  world ",
    "  three   spaces\t\ttabs \n\n newlines \r\n\n",
    "I'm HE'S we'll They'VE it'd can't 'quoted' ''",
    "1 12 123 1234 12345 1234567 3.14 1,000,000 ½ ٣٤٥",
    "Größe naïve café Ångström CamelCase snake_case ÉTÉ x²",
    "我想在apple工作1314151天～ 日本語テキスト 한국어 ภาษาไทย កាន់តែ",
    "Быстрая лиса Γειά σου שלום مرحبا नमस्ते ",
    "🚀 😶‍🌫️ 🦙🦙 ✅ <|im_start|>user\nhi<|im_end|><think>x</think><tool>",
    "def f(x):\n    return {x: [1, 2]}  # !=-+*/%$^&~`|\\\n",
    "<s>text</s> <unk> <|endoftext|>[CLS] [MASK] a",
    "the dog the dog the\u00a0dog\u3000the",
    "a" * 70 + " " * 20 + "!" * 20,
    "/path/to//file http://example.com/a?b=c#d... (x) [y] {z}",
]


@cache
def expected(name: str) -> dict[str, Any]:
    return json.loads((DATA / "expected" / f"{name}.json").read_text(encoding="utf-8"))


def value_of(kind: str, value: Any) -> Any:
    array = kind.removeprefix("ARRAY ")
    return value if array in {kind, "STRING"} else np.array(value, array.lower())


def metadata(name: str) -> dict[str, Any]:
    """What the converter wrote, as `metadata_of_tokenizer` returns it."""
    return {key: value_of(*pair) for key, pair in expected(name)["metadata"].items()}


def typed(value: object) -> list[object]:
    """A value with the type that a file gives it."""
    if isinstance(value, bool):
        return ["BOOL", value]
    if isinstance(value, int):
        return ["UINT32", value]
    if isinstance(value, str):
        return ["STRING", value]
    if isinstance(value, np.ndarray):
        return [f"ARRAY {value.dtype.name.upper()}", value.tolist()]
    assert isinstance(value, list)
    assert all(isinstance(item, str) for item in value)
    return ["ARRAY STRING", value]


def write_vocabulary(path: Path, found: dict[str, Any], architecture: str = "llama") -> Path:
    """Write a file that has a tokenizer and nothing else."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_uint32(f"{architecture}.vocab_size", len(found.get("tokenizer.ggml.tokens", [])))
    for key, value in found.items():
        if isinstance(value, np.ndarray):
            kind = gguf.GGUFValueType[value.dtype.name.upper()]
            writer.add_key_value(key, value.tolist(), gguf.GGUFValueType.ARRAY, sub_type=kind)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            kind = gguf.GGUFValueType[str(typed(value)[0])]
            writer.add_key_value(key, value, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
