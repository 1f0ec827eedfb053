"""Look at a model of 8 billion weights over a network of 50 ms and 100 Mbit/s: time and bytes.

The files have the shapes of Llama 3.1 8B and a vocabulary of its size; the tensors that are
compared have random data, all others are holes. The network is simulated by the server, a process
of its own: it answers every request after the latency, and all answers share the bandwidth.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

import gguf_lab as gl

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

HIDDEN, FEED, LAYERS, HEADS, KV_HEADS, VOCABULARY = 4096, 14336, 32, 32, 8, 128_256
KV = HIDDEN * KV_HEADS // HEADS
PART = 1 << 14
TENSORS = ("blk.0.attn_k.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight")

# GGUF name, name in the checkpoint, shape in NumPy's order
BLOCK = (
    ("attn_norm", "input_layernorm", (HIDDEN,)),
    ("attn_q", "self_attn.q_proj", (HIDDEN, HIDDEN)),
    ("attn_k", "self_attn.k_proj", (KV, HIDDEN)),
    ("attn_v", "self_attn.v_proj", (KV, HIDDEN)),
    ("attn_output", "self_attn.o_proj", (HIDDEN, HIDDEN)),
    ("ffn_norm", "post_attention_layernorm", (HIDDEN,)),
    ("ffn_gate", "mlp.gate_proj", (FEED, HIDDEN)),
    ("ffn_up", "mlp.up_proj", (FEED, HIDDEN)),
    ("ffn_down", "mlp.down_proj", (HIDDEN, FEED)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--bandwidth", type=float, default=100e6, help="bits per second, of all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model.gguf")
        write_checkpoint(folder)
        fill(folder)
        ours, theirs = multiprocessing.Pipe()
        settings = folder, arguments.latency, arguments.bandwidth / 8, theirs
        server = multiprocessing.get_context("spawn").Process(target=serve, args=settings)
        server.start()
        try:
            measure(ours.recv(), folder, arguments.bandwidth / 8)
        finally:
            server.terminate()
            server.join()


def measure(url: str, folder: Path, bandwidth: float) -> None:
    gl.compare(folder / "model.gguf", folder, tensors=TENSORS[0], progress=False)  # loads numba
    rows: list[tuple[str, float, int, int]] = []
    started = time.perf_counter()
    model = gl.open(f"{url}/model.gguf")
    rows.append(("open the file", time.perf_counter() - started, model.fetched, 0))
    started = time.perf_counter()
    checkpoint = gl.open_checkpoint(f"{url}/model.safetensors.index.json")
    rows.append(("open the original", time.perf_counter() - started, 0, checkpoint.fetched))
    for tensor in TENSORS:
        started = time.perf_counter()
        result = gl.compare(model, checkpoint, tensors=tensor, progress=False)
        seconds = time.perf_counter() - started
        rows.append((tensor, seconds, result.model_fetched, result.reference_fetched))
    whole = model.file.size, checkpoint.nbytes
    rows.append(("download both (computed)", sum(whole) / bandwidth, *whole))
    print("| what | seconds | MB of the file | MB of the original |\n| --- | --- | --- | --- |")
    for what, seconds, a, b in rows:
        print(f"| {what} | {seconds:,.2f} | {a / 1e6:,.2f} | {b / 1e6:,.2f} |")


def tensors() -> list[tuple[str, str, tuple[int, ...]]]:
    listed: list[tuple[str, str, tuple[int, ...]]] = [
        ("token_embd.weight", "model.embed_tokens.weight", (VOCABULARY, HIDDEN)),
        ("output_norm.weight", "model.norm.weight", (HIDDEN,)),
        ("output.weight", "lm_head.weight", (VOCABULARY, HIDDEN)),
    ]
    for layer in range(LAYERS):
        for ours, theirs, shape in BLOCK:
            name = f"model.layers.{layer}.{theirs}.weight"
            listed.append((f"blk.{layer}.{ours}.weight", name, shape))
    return listed


def write_model(path: Path) -> None:
    """Write a head like that of a Q4_K_M file, and a hole for the data."""
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_block_count, LAYERS),
        (writer.add_context_length, 131_072),
        (writer.add_embedding_length, HIDDEN),
        (writer.add_feed_forward_length, FEED),
        (writer.add_head_count, HEADS),
        (writer.add_head_count_kv, KV_HEADS),
        (writer.add_vocab_size, VOCABULARY),
    ):
        add(value)
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, VOCABULARY).tolist()
    numbers = rng.integers(0, 2**62, VOCABULARY).tolist()
    words = [f"{number:x}"[-length:] for number, length in zip(numbers, lengths, strict=True)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges([f"{a} {b}" for a, b in zip(words, reversed(words), strict=True)])
    size = 0
    for name, _, shape in tensors():
        kind = gguf.GGMLQuantizationType.Q4_K if len(shape) > 1 else gguf.GGMLQuantizationType.F32
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


def write_checkpoint(folder: Path, shards: int = 4) -> None:
    """Write four shards in bfloat16 with holes for the data, their index, the configuration."""
    weight_map = {}
    listed = [(name, shape) for _, name, shape in tensors()]
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
        "hidden_size": HIDDEN,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(configuration))


def fill(folder: Path) -> None:
    """Write numbers of the size of weights into the tensors that will be compared."""
    rng = np.random.default_rng(0)
    names = {ours: theirs for ours, theirs, _ in tensors()}
    with gl.open(folder / "model.gguf") as model, gl.open_checkpoint(folder) as checkpoint:
        places = [(model.tensor(name).info, checkpoint.tensors[names[name]]) for name in TENSORS]
    for info, original in places:
        blocks = rng.integers(0, 256, ((info.nbytes or 0) // 144, 144), np.uint8)
        blocks[:, :4] = np.array([1e-3, 1e-3], np.float16).view(np.uint8)  # scales of Q4_K
        bits = rng.normal(0, 0.05, original.nbytes // 2).astype(np.float32).view(np.uint32) >> 16
        for path, at, data in (
            (folder / "model.gguf", info.offset, blocks),
            (Path(original.source.name), original.offset, bits.astype(np.uint16)),
        ):
            with path.open("r+b") as file:
                file.seek(at)
                file.write(data.tobytes())


def serve(folder: Path, latency: float, bandwidth: float, pipe: Connection) -> None:
    """Serve a folder by ranges, as slowly as the network is."""
    lock, free = threading.Lock(), [0.0]

    def wait_for_the_line(n: int) -> None:
        with lock:
            free[0] = max(free[0], time.monotonic()) + n / bandwidth
            until = free[0]
        time.sleep(max(0.0, until - time.monotonic()))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(latency)
            path = folder / Path(self.path).name
            if not path.is_file():
                self.send_error(404)
                return
            size = path.stat().st_size
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, stop = (int(match[1]), min(int(match[2]) + 1, size)) if match else (0, size)
            self.send_response(206 if match else 200)
            self.send_header("Content-Length", str(stop - start))
            self.send_header("ETag", f'"{size}"')
            if match:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            with path.open("rb") as file:
                file.seek(start)
                for at in range(start, stop, PART):
                    part = file.read(min(PART, stop - at))
                    wait_for_the_line(len(part))
                    self.wfile.write(part)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pipe.send(f"http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
