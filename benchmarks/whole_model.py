"""A 1.1 B-parameter llama against its bf16 checkpoint, file to result.

The shapes are TinyLlama's, the types those of a Q4_K_M mix, the weights random: blocks of random
bytes with sane scales, and as reference the decoded weights plus noise. Both sides run in processes
of their own: `gguf_lab.compare`, and the script that one would write first (gguf-py, safetensors,
NumPy with ``np.histogram``). Needs 3 GB of disk in ``--folder``, and torch to write bf16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

LAYERS, WIDTH, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY = 22, 2048, 5632, 32, 4, 32000
KV_WIDTH = WIDTH // HEADS * KV_HEADS
# name in the file, name in the checkpoint, shape, type
MATRICES = (
    ("attn_q", "self_attn.q_proj", (WIDTH, WIDTH), "Q4_K"),
    ("attn_k", "self_attn.k_proj", (KV_WIDTH, WIDTH), "Q4_K"),
    ("attn_v", "self_attn.v_proj", (KV_WIDTH, WIDTH), "Q6_K"),
    ("attn_output", "self_attn.o_proj", (WIDTH, WIDTH), "Q4_K"),
    ("ffn_gate", "mlp.gate_proj", (FEED_FORWARD, WIDTH), "Q4_K"),
    ("ffn_up", "mlp.up_proj", (FEED_FORWARD, WIDTH), "Q4_K"),
    ("ffn_down", "mlp.down_proj", (WIDTH, FEED_FORWARD), "Q6_K"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--folder", help="keep the model there; default: a temporary folder")
    parser.add_argument("--worker", nargs=3, metavar=("SIDE", "FILE", "FOLDER"), help="internal")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(*arguments.worker)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "random-1.1B-Q4_K_M.gguf"
        if not file.exists():
            write_model(folder, file)
        found = {}
        for side in ("gguf_lab", "obvious"):
            command = [sys.executable, __file__, "--worker", side, str(file), str(folder)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[side] = json.loads(answer.stdout)
            print(side, found[side], flush=True)
    theirs = found["obvious"]["first"]
    for call in ("first", "second"):
        ratio = theirs / found["gguf_lab"][call]
        print(f"the {call} comparison of gguf_lab is {ratio:.1f} times faster than the script")


def tensors() -> list[tuple[str, str, tuple[int, ...], str]]:
    """All tensors: name in the file, name in the checkpoint, shape, type."""
    found: list[tuple[str, str, tuple[int, ...], str]] = [
        ("token_embd.weight", "model.embed_tokens.weight", (VOCABULARY, WIDTH), "Q4_K"),
        ("output.weight", "lm_head.weight", (VOCABULARY, WIDTH), "Q6_K"),
        ("output_norm.weight", "model.norm.weight", (WIDTH,), "F32"),
    ]
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        found += [
            (f"blk.{i}.{ours}.weight", f"{layer}.{theirs}.weight", shape, qtype)
            for ours, theirs, shape, qtype in MATRICES
        ]
        found += [
            (f"blk.{i}.attn_norm.weight", f"{layer}.input_layernorm.weight", (WIDTH,), "F32"),
            (
                f"blk.{i}.ffn_norm.weight",
                f"{layer}.post_attention_layernorm.weight",
                (WIDTH,),
                "F32",
            ),
        ]
    return found


def write_model(folder: Path, file: Path) -> None:
    import gguf
    import torch
    from safetensors.torch import save_file

    from gguf_lab import dequantize
    from gguf_lab.codec import find_format

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama", use_temp_file=False)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_vocab_size(VOCABULARY)
    checkpoint, stored = {}, {}
    for name, original, shape, qtype in tensors():
        fmt = find_format(qtype)
        kind = gguf.GGMLQuantizationType[qtype]
        row_bytes = fmt.qtype.row_bytes(shape[-1])
        rows = int(np.prod(shape[:-1]))
        if qtype == "F32":
            blocks = rng.normal(1, 0.1, (rows, shape[-1])).astype(np.float32).view(np.uint8)
        else:
            blocks = rng.integers(0, 256, (rows, row_bytes), dtype=np.uint8)
            flat = blocks.reshape(-1, fmt.qtype.type_size)
            for field in fmt.fields:
                if field.kind == "f16":  # scales of about 2**-11
                    flat[:, field.offset + 1] = 0x10
        weights = dequantize(blocks, qtype)
        weights += rng.normal(0, 0.05 * weights.std(), weights.shape).astype(np.float32)
        if ".attn_q." in name or ".attn_k." in name:  # back to rotary halves
            heads = HEADS if ".attn_q." in name else KV_HEADS
            paired = weights.reshape(heads, rows // heads // 2, 2, shape[-1])
            weights = paired.swapaxes(1, 2).reshape(rows, shape[-1])
        tensor = torch.from_numpy(weights.reshape(shape).copy())
        checkpoint[original] = tensor.to(torch.bfloat16)
        stored[name] = (blocks.reshape(*shape[:-1], -1), kind)
    for name, (blocks, kind) in stored.items():
        writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(checkpoint, folder / "model.safetensors")
    config = {"model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
    config |= {"num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def measure(side: str, file: str, folder: str) -> dict[str, Any]:
    """Run one side in this process: seconds (imports included in the first), and memory in MiB."""
    found: dict[str, Any] = {}
    for call in ("first", "second") if side == "gguf_lab" else ("first",):
        start = perf_counter()
        found["tensors"] = ours(file, folder) if side == "gguf_lab" else obvious(file, folder)
        found[call] = round(perf_counter() - start, 2)
    return {**found, **memory()}


def memory() -> dict[str, int]:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":") for line in text.splitlines())
    return {
        key: int(fields[key].split()[0]) // 1024 for key in ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    }


def ours(file: str, folder: str) -> int:
    import gguf_lab

    return len(gguf_lab.compare(file, folder, progress=False).compared)


def obvious(file: str, folder: str) -> int:
    import gguf
    from gguf.quants import dequantize
    from safetensors import safe_open

    names = {name: original for name, original, _, _ in tensors()}
    n = 0
    with safe_open(f"{folder}/model.safetensors", framework="pt") as reference:
        for tensor in gguf.GGUFReader(file).tensors:
            x = dequantize(tensor.data, tensor.tensor_type)
            r = reference.get_tensor(names[tensor.name]).float().numpy()
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(tensor.name.split(".")[-2])
            if heads:
                halves = r.reshape(heads, 2, len(r) // heads // 2, -1)
                r = halves.swapaxes(1, 2).reshape(r.shape)
            e = x - r
            np.sqrt(np.mean(e**2))
            np.sqrt(np.sum(e**2) / np.sum(r**2))
            np.sum(x * r) / np.sqrt(np.sum(x**2) * np.sum(r**2))
            np.abs(e).max()
            np.histogram(e, 64)
            n += 1
    return n


if __name__ == "__main__":
    main()
