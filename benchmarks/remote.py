"""Look at a model of 8 billion weights over a network of 50 ms and 100 Mbit/s: time and bytes.

The files have the shapes of Llama 3.1 8B and a vocabulary of its size; the tensors that are
compared have random data, all others are holes. The network is simulated by the server, a process
of its own: it answers every request after the latency, and all answers share the bandwidth.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from holes import LLAMA_8B, fill, write_checkpoint, write_model

import gguf_lab as gl

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PART = 1 << 14
TENSORS = ("blk.0.attn_k.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--bandwidth", type=float, default=100e6, help="bits per second, of all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model.gguf", LLAMA_8B, pure=True)
        write_checkpoint(folder, LLAMA_8B, shards=4)
        fill(folder / "model.gguf", folder, LLAMA_8B, dict.fromkeys(TENSORS))
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
