"""What a small file could cost at most: inputs of a megabyte or two, made to be expensive.

`python -m tests.fuzz.worst [TARGET ...]` tries them with no more address space than `ROOM` beyond
what the packages take, and prints the seconds of the processor that the slowest of each took.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import TYPE_CHECKING

from ..file.builders import Builder
from .targets import joined, try_out

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOM", "SIZE", "WORST"]

SIZE = 1 << 20
"""Bytes of an input, about."""

ROOM = 400 << 20
"""Address space that one may take: 400 bytes for each of its own."""


def header() -> Iterator[bytes]:
    n = SIZE // 40
    keys = Builder()
    tensors = Builder()
    for number in range(n):
        keys.key(f"{number:08}", "uint8", 1)
        tensors.tensor(f"{number:08}", [0])
    yield keys.build()
    yield tensors.build()
    for kind, item in (("string", b""), ("array", struct.pack("<IQ", 0, 0)), ("uint8", b"\1")):
        count = SIZE // max(8, len(item))
        raw = Builder().string("k") + Builder().kind("array") + Builder().kind(kind)
        yield Builder().raw_key(raw + struct.pack("<Q", count) + (item or bytes(8)) * count).build()
    yield Builder().key("general.name", "string", "\u202e" * (SIZE // 3)).build()
    yield Builder().key("general.architecture", "string", "\x1b" * SIZE).build()
    for claim in (2**32, 2**60, 2**64 - 1):
        yield Builder(n_keys=claim).build() + bytes(SIZE)
        yield Builder(n_tensors=claim).build() + bytes(SIZE)
    yield Builder().tensor("a", [2**40, 2**20], 1).build()
    yield Builder().tensor("a", [0, 2**60]).tensor("b", [2**60, 0]).build()


def shards() -> Iterator[bytes]:
    for count in (99_999, 2**31):
        one = Builder().key("split.no", "uint16", 0).key("split.count", "uint32", count)
        yield joined({f"a-00001-of-{count:05}.gguf": one.build()})


def naming() -> Iterator[bytes]:
    for text in ("a-", "1x", "-v1", "q4_", "-00001-of-00001", "\u00a0 ", "v1."):
        yield (text * (900 // len(text))).encode()
        yield (text * (SIZE // len(text))).encode()


def safetensors() -> Iterator[bytes]:
    entry = '"dtype":"U8","shape":[],"data_offsets":[0,0]'
    texts = [
        "[" * SIZE,
        '{"a":' * (SIZE // 5),
        '{"a":[' + ",".join(["[]"] * (SIZE // 3)) + "]}",
        '{"a":{"dtype":"U8","data_offsets":[0,0],"shape":[' + "1," * (SIZE // 2) + "1]}}",
        '{"a":' + "9" * SIZE + "}",
        '{"a":1e' + "9" * SIZE + "}",
        '{"' + "a" * SIZE + '":1}',
        '{"__metadata__":{' + ",".join(f'"{n}":"{n}"' for n in range(SIZE // 16)) + "}}",
        "{" + ",".join(f'"{n}":{{{entry}}}' for n in range(SIZE // 60)) + "}",
        "{" + ",".join(['"a":1'] * (SIZE // 6)) + "}",
    ]
    for text in texts:
        yield struct.pack("<Q", len(text)) + text.encode()
    yield struct.pack("<Q", 99_999_999) + bytes(SIZE)


def index() -> Iterator[bytes]:
    name = "model.safetensors.index.json"
    nothing = struct.pack("<Q", 2) + b"{}"
    many = {f"{n}": "a.safetensors" for n in range(SIZE // 24)}
    apart = {f"{n}": f"{n}.safetensors" for n in range(SIZE // 24)}
    for weights in (many, apart, {"w": "a/" * (SIZE // 2)}, {"a" * SIZE: "b"}):
        text = json.dumps({"weight_map": weights}).encode()
        yield joined({name: text, "a.safetensors": nothing})
    yield joined({"model.safetensors": nothing, "config.json": b'{"a":' * (SIZE // 5)})


def imatrix() -> Iterator[bytes]:
    entries = b"".join(
        struct.pack("<i", 6) + f"{n:06}".encode() + struct.pack("<iif", 1, 1, 1)
        for n in range(SIZE // 88)
    )
    yield struct.pack("<i", SIZE // 88) + entries
    yield struct.pack("<ii", 1, SIZE) + b"\x1b" * SIZE + struct.pack("<iif", 1, 1, 1)
    yield struct.pack("<iiiii", 2**31 - 1, 0, 1, 2**31 - 1, 0) + bytes(SIZE)


def configuration() -> Iterator[bytes]:
    from .seeds import seeds_of

    for seed in seeds_of("configuration"):
        name = b".block_count" + struct.pack("<I", 4)
        at = seed.find(name)
        if at >= 0:
            at += len(name)
            yield seed[:at] + struct.pack("<I", 2**32 - 1) + seed[at + 4 :]
            yield seed[:at] + struct.pack("<I", 2**31 - 1) + seed[at + 4 :]


def tokenizer() -> Iterator[bytes]:
    def vocabulary(model: str, tokens: list[str]) -> Builder:
        made = Builder().key("tokenizer.ggml.model", "string", model)
        made.key("tokenizer.ggml.tokens", "array[string]", tokens)
        made.key("tokenizer.ggml.scores", "array[float32]", [0.0] * len(tokens))
        return made

    chain = ["<unk>", "<s>", "</s>", *("a" * n for n in range(1, int((2 * SIZE) ** 0.5)))]
    lengths = ["<unk>", "<s>", "</s>"]
    lengths += [chr(300 + n) + "b" * n for n in range(1, int((2 * SIZE) ** 0.5))]
    for tokens in (chain, lengths, ["<unk>", "<s>", "</s>", "H" * SIZE]):
        yield vocabulary("llama", tokens).build()
        yield vocabulary("t5", tokens).build()
    bpe = vocabulary("gpt2", ["a" * n for n in range(1, 400)])
    bpe.key("tokenizer.ggml.pre", "string", "default")
    merges = [f"{'a' * n} {'a' * m}" for n in range(1, 30) for m in range(1, 370)]
    yield bpe.key("tokenizer.ggml.merges", "array[string]", merges).build()


def template() -> Iterator[bytes]:
    yield b'{"text": "' + b"a" * SIZE + b'"}'
    yield b'{"error": "' + b"\\u001b" * (SIZE // 6) + b'", "message": "' + b"x" * SIZE + b'"}'
    yield b"[" * SIZE
    names = [f"{n}" for n in range(SIZE // 10)]
    yield Builder().key("tokenizer.chat_templates", "array[string]", names).build()


WORST = {
    made.__name__: made
    for made in (
        header,
        shards,
        naming,
        safetensors,
        index,
        imatrix,
        configuration,
        tokenizer,
        template,
    )
}


def main(names: list[str]) -> None:
    """Try what is worst for some targets."""
    import resource
    from pathlib import Path

    from .seeds import seeds_of

    for name in names:  # loads what is loaded late
        for seed in seeds_of(name):
            try_out(name, seed)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    for name in names:
        slowest = 0.0
        for number, data in enumerate(WORST[name]()):
            # said before it is tried: a crash is told by the last line
            print(f"{name} {number}: {len(data)} bytes", file=sys.stderr, flush=True)
            start = time.process_time()
            try_out(name, data)
            slowest = max(slowest, time.process_time() - start)
        print(name, slowest)


if __name__ == "__main__":
    main(sys.argv[1:] or list(WORST))
