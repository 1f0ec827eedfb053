"""A model and its original, made by a stranger: every text that can be chosen is an attack."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from .file.builders import F32, Q4_0, Builder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ATTACK",
    "SHORT",
    "is_text",
    "write_all",
    "write_file",
    "write_model",
    "write_original",
]

ATTACK = (
    "\"'><img src=x onerror=attack()><script>attack()</script><a href=javascript:attack()>x</a>"
    "</script></style></textarea><svg onload=attack()>{{7*7}}<b onmouseover=attack()>&lt;"
    "\x1b[2J\x1b]0;owned\x07\x9b2J\x08\r\x00\u202egnp.exe\u2066\u200e\u2028"
)
"""Tags, event handlers, ANSI and C1 escapes, NUL, bidirectional marks, a line separator."""

SHORT = "<img src=x onerror=attack()>\x1b[2J\x9b2J\u202e"
"""The same for a name, of which ggml allows 63 bytes."""

HIDDEN, FEED, TOKENS = 32, 64, 40
LONG = 10_000_000
LONGEST_KEY = (ATTACK * 1000).encode()[:65_535].decode(errors="ignore")
"""A longer key is refused with the file."""
TENSORS = {
    "token_embd.weight": ("model.embed_tokens.weight", (TOKENS, HIDDEN)),
    "output_norm.weight": ("model.norm.weight", (HIDDEN,)),
    "output.weight": ("lm_head.weight", (TOKENS, HIDDEN)),
    "blk.0.attn_norm.weight": ("model.layers.0.input_layernorm.weight", (HIDDEN,)),
    "blk.0.attn_q.weight": ("model.layers.0.self_attn.q_proj.weight", (HIDDEN, HIDDEN)),
    "blk.0.attn_k.weight": ("model.layers.0.self_attn.k_proj.weight", (HIDDEN, HIDDEN)),
    "blk.0.attn_v.weight": ("model.layers.0.self_attn.v_proj.weight", (HIDDEN, HIDDEN)),
    "blk.0.attn_output.weight": ("model.layers.0.self_attn.o_proj.weight", (HIDDEN, HIDDEN)),
    "blk.0.ffn_norm.weight": ("model.layers.0.post_attention_layernorm.weight", (HIDDEN,)),
    "blk.0.ffn_gate.weight": ("model.layers.0.mlp.gate_proj.weight", (FEED, HIDDEN)),
    "blk.0.ffn_up.weight": ("model.layers.0.mlp.up_proj.weight", (FEED, HIDDEN)),
    "blk.0.ffn_down.weight": ("model.layers.0.mlp.down_proj.weight", (HIDDEN, FEED)),
}


def is_text(shown: str) -> bool:
    """Whether a text steers no terminal and turns no direction of writing."""
    return all(c.isprintable() or c in "\n\t" for c in shown)


def write_all(folder: Path) -> dict[str, Path]:
    """Write all of it, under names that are attacks too."""
    return {
        "every text": write_file(folder / f"{SHORT}.gguf"),
        "a llama": write_model(folder / f"llama{SHORT}.gguf"),
        "original": write_original(folder / f"original{SHORT}"),
    }


def write_file(path: Path) -> Path:
    """Write a file in which even the architecture and every key are attacks."""
    builder = Builder()
    builder.key("general.architecture", "string", ATTACK)
    builder.key("general.name", "string", ATTACK)
    builder.key(f"{SHORT}.{ATTACK}", "string", ATTACK)
    builder.key(f"{SHORT}.list", "array[string]", [ATTACK] * 30)
    builder.key(LONGEST_KEY, "string", ATTACK)
    builder.key("long", "string", (ATTACK * (LONG // len(ATTACK) + 1))[:LONG])
    builder.key("tokenizer.ggml.model", "string", ATTACK)
    builder.key("tokenizer.ggml.tokens", "array[string]", [ATTACK] * 30)
    builder.key("tokenizer.chat_template", "string", ATTACK)
    builder.tensor(SHORT, [HIDDEN, 2], F32, _weights((2, HIDDEN)).tobytes())
    builder.tensor(f"blk.0.{SHORT}", [HIDDEN, 2], 39, bytes(2 * 17))
    builder.tensor(f"blk.1.{SHORT}", [HIDDEN, 2], 9999, bytes(64))
    return builder.write(path)


def write_model(path: Path) -> Path:
    """Write a llama that works, with attacks wherever a text is free."""
    builder = Builder()
    builder.key("general.architecture", "string", "llama")
    for name in ("name", "author", "license", "description", "basename", "size_label"):
        builder.key(f"general.{name}", "string", ATTACK)
    builder.key("general.tags", "array[string]", [ATTACK, SHORT])
    builder.key("general.base_model.count", "uint32", 1)
    builder.key("general.base_model.0.name", "string", ATTACK)
    builder.key("general.base_model.0.repo_url", "string", f"javascript:{ATTACK}")
    for name, value in (
        ("block_count", 1),
        ("context_length", 128),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", FEED),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 2),
        ("vocab_size", TOKENS),
    ):
        builder.key(f"llama.{name}", "uint32", value)
    builder.key("llama.attention.layer_norm_rms_epsilon", "float32", 1e-5)
    builder.key("tokenizer.ggml.model", "string", "llama")
    builder.key("tokenizer.ggml.pre", "string", ATTACK)
    tokens = ["<unk>", "<s>", "</s>", *(f"{i}{ATTACK}" for i in range(TOKENS - 3))]
    builder.key("tokenizer.ggml.tokens", "array[string]", tokens)
    builder.key("tokenizer.ggml.scores", "array[float32]", [float(-i) for i in range(TOKENS)])
    builder.key("tokenizer.ggml.token_type", "array[int32]", [2, 3, 3, *[4] * 9, *[1] * 28])
    template = ATTACK.replace("{{7*7}}", "{{ messages[0].content }}").replace("\0", "")
    builder.key("tokenizer.chat_template", "string", template)
    builder.key("tokenizer.chat_template.evil", "string", "{{ raise_exception(messages) }}")
    builder.key("tokenizer.chat_templates", "array[string]", ["evil", ATTACK])
    builder.key(f"evil.{SHORT}", "string", ATTACK)
    for name, (_, shape) in TENSORS.items():
        kind, data = F32, _weights(shape).tobytes()
        if len(shape) > 1:
            blocks = np.random.default_rng(1).integers(0, 256, (_size(shape) // 32, 18), np.uint8)
            blocks[:, :2] = np.array([0.01], np.float16).view(np.uint8)
            kind, data = Q4_0, blocks.tobytes()
        builder.tensor(name, shape[::-1], kind, data)
    builder.tensor(f"blk.0.{SHORT}", [HIDDEN, 2], F32, _weights((2, HIDDEN)).tobytes())
    return builder.write(path)


def write_original(folder: Path) -> Path:
    """Write the checkpoint of `write_model`, with attacks in its names and its configuration."""
    folder.mkdir()
    header: dict[str, Any] = {"__metadata__": {SHORT: ATTACK}}
    data = b""
    names = [*TENSORS.values(), (ATTACK, (2, HIDDEN)), (f"model.layers.0.{SHORT}", (HIDDEN,))]
    for name, shape in names:
        part = _weights(shape).tobytes()
        offsets = [len(data), len(data) + len(part)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        data += part
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    configuration = {
        "model_type": "llama",
        "architectures": [ATTACK],
        "_name_or_path": ATTACK,
        SHORT: {SHORT: ATTACK},
        "hidden_size": HIDDEN,
        "intermediate_size": FEED,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": TOKENS,
    }
    (folder / "config.json").write_text(json.dumps(configuration))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": ATTACK}))
    return folder


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(_size(shape)).normal(0, 0.05, shape).astype(np.float32)
