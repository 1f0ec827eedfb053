"""Models of any size for tests and benchmarks: true heads and true names, holes for the data.

A hole takes no room on the disk and reads as zeros. `fill` puts numbers where they are wanted.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

import gguf_lab as gl
from gguf_lab.quantization import Facts, choose_types

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Shape:
    """The figures of a llama, as its configuration has them."""

    hidden: int
    feed: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int = 128_256
    merges: int = 280_147


LLAMA_8B = Shape(hidden=4096, feed=14336, layers=32, heads=32, kv_heads=8)
LLAMA_70B = Shape(hidden=8192, feed=28672, layers=80, heads=64, kv_heads=8)


def tensors(of: Shape) -> list[tuple[str, str, tuple[int, ...]]]:
    """List all tensors: the name in the file, in the checkpoint, the shape in NumPy's order."""
    kv = of.hidden * of.kv_heads // of.heads
    block = (
        ("attn_norm", "input_layernorm", (of.hidden,)),
        ("attn_q", "self_attn.q_proj", (of.hidden, of.hidden)),
        ("attn_k", "self_attn.k_proj", (kv, of.hidden)),
        ("attn_v", "self_attn.v_proj", (kv, of.hidden)),
        ("attn_output", "self_attn.o_proj", (of.hidden, of.hidden)),
        ("ffn_norm", "post_attention_layernorm", (of.hidden,)),
        ("ffn_gate", "mlp.gate_proj", (of.feed, of.hidden)),
        ("ffn_up", "mlp.up_proj", (of.feed, of.hidden)),
        ("ffn_down", "mlp.down_proj", (of.hidden, of.feed)),
    )
    listed: list[tuple[str, str, tuple[int, ...]]] = [
        ("token_embd.weight", "model.embed_tokens.weight", (of.vocabulary, of.hidden)),
        ("output_norm.weight", "model.norm.weight", (of.hidden,)),
        ("output.weight", "lm_head.weight", (of.vocabulary, of.hidden)),
    ]
    for layer in range(of.layers):
        for ours, theirs, shape in block:
            name = f"model.layers.{layer}.{theirs}.weight"
            listed.append((f"blk.{layer}.{ours}.weight", name, shape))
    return listed


def write_model(path: Path, of: Shape, *, mix: str = "Q4_K_M", pure: bool = False) -> None:
    """Write a GGUF file with a vocabulary, in the types that llama-quantize would choose."""
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_block_count, of.layers),
        (writer.add_context_length, 131_072),
        (writer.add_embedding_length, of.hidden),
        (writer.add_feed_forward_length, of.feed),
        (writer.add_head_count, of.heads),
        (writer.add_head_count_kv, of.kv_heads),
        (writer.add_vocab_size, of.vocabulary),
    ):
        add(value)
    words = _words(of.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([1] * of.vocabulary)
    pairs = (words[i % of.vocabulary] for i in range(2 * of.merges))
    writer.add_token_merges([f"{a} {b}" for a, b in zip(pairs, pairs, strict=True)])
    listed = [(name, shape, "F32" if len(shape) == 1 else "BF16") for name, _, shape in tensors(of)]
    facts = Facts("llama", of.layers, n_head=of.heads, n_head_kv=of.kv_heads)
    size = 0
    for (name, choice), (_, shape, _) in zip(
        choose_types(mix, listed, facts, pure=pure).items(), listed, strict=True
    ):
        kind = gguf.GGMLQuantizationType[choice.qtype]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        nbytes = int(np.prod(shape)) // block * block_bytes
        stored = (*shape[:-1], shape[-1] // block * block_bytes) if block > 1 else shape
        dtype = np.dtype(np.uint8 if block > 1 else np.float32)
        writer.add_tensor_info(name, stored, dtype, nbytes, raw_dtype=kind)
        size += -(-nbytes // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // 32) * 32
    os.truncate(path, start + size)


def _words(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, count).tolist()
    numbers = rng.integers(0, 2**62, count).tolist()
    return [f"{number:x}"[-length:] for number, length in zip(numbers, lengths, strict=True)]


def write_checkpoint(folder: Path, of: Shape, *, shards: int) -> None:
    """Write shards in bfloat16, their index, the configuration."""
    weight_map = {}
    listed = [(name, shape) for _, name, shape in tensors(of)]
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        header: dict[str, Any] = {}
        at = 0
        for name, shape in listed[number::shards]:
            end = at + 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            weight_map[name], at = file, end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        (folder / file).write_bytes(len(text).to_bytes(8, "little") + text)
        os.truncate(folder / file, 8 + len(text) + at)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    configuration = {
        "model_type": "llama",
        "hidden_size": of.hidden,
        "intermediate_size": of.feed,
        "num_hidden_layers": of.layers,
        "num_attention_heads": of.heads,
        "num_key_value_heads": of.kv_heads,
        "vocab_size": of.vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(configuration))


def fill(
    path: Path, folder: Path, of: Shape, rows: dict[str, int | None], *, repeat: bool = False
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Write random weights into the first rows of some tensors, quantized and original.

    Parameters
    ----------
    path, folder : Path
        What `write_model` and `write_checkpoint` have written.
    of : Shape
    rows : dict of str to int or None
        Names of the file, and how many rows of each (None: all); of queries and keys whole heads.
    repeat : bool, optional
        Write them again and again, to the last row.

    Returns
    -------
    dict of str to (float32 array, uint8 array)
        The rows in the order of the file, as the checkpoint has them (in bfloat16, exactly), and
        the bytes that the file has.
    """
    rng = np.random.default_rng(0)
    original_names = {ours: theirs for ours, theirs, _ in tensors(of)}
    found = {}
    with gl.open(path) as model, gl.open_checkpoint(folder) as checkpoint:
        for name, wanted in rows.items():
            tensor, original = model.tensor(name), checkpoint.tensors[original_names[name]]
            count = min(wanted or tensor.n_rows, tensor.n_rows)
            width = tensor.shape[-1]
            bits = rng.normal(0, 0.05, (count, width)).astype(np.float32).view(np.uint32) >> 16
            weights = (bits << 16).view(np.float32)
            if tensor.kind in {"attn_q", "attn_k"}:  # in pairs, for the rotary embedding
                half = of.hidden // of.heads // 2
                weights = weights.reshape(-1, 2, half, width).swapaxes(1, 2).reshape(count, width)
            blocks = np.asarray(gl.quantize(weights, tensor.qtype)).reshape(-1).view(np.uint8)
            for file, at, data in (
                (path, tensor.info.offset, blocks),
                (Path(original.source.name), original.offset, bits.astype(np.uint16)),
            ):
                with file.open("r+b") as opened:
                    opened.seek(at)
                    for _ in range(tensor.n_rows // count if repeat else 1):
                        opened.write(data.tobytes())
            found[name] = weights, blocks
    return found
