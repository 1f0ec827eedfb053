"""What strangers' bytes go into: each target takes any bytes, and ends well or in our own error.

The same functions run under hypothesis (`test_targets.py`) and under atheris (`run.py`). Whatever
else they raise is a finding.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gguf_lab.bridge.chat import _choose, _special_tokens
from gguf_lab.bridge.chat_process import _answer
from gguf_lab.bridge.hyperparameters import FACTOR_TENSORS, config_of
from gguf_lab.bridge.tokenizers.building import build
from gguf_lab.bridge.tokenizers.vocabulary import read_vocabulary
from gguf_lab.errors import GGUFLabError
from gguf_lab.file import ArrayValue, FileName, GGUFFile, open_file, parse_header
from gguf_lab.model import Model
from gguf_lab.panels.leaves import leaves
from gguf_lab.quantization import open_imatrix
from gguf_lab.reference import open_checkpoint
from gguf_lab.reference.safetensors_header import parse_safetensors

from ..file.builders import Grudging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CUT", "LONGEST_MESSAGE", "TARGETS", "joined", "try_out"]

CUT = b"\n--8<--\n"
"""Between the files of a folder, in the bytes of a target that takes several."""

LONGEST_MESSAGE = 2000
"""Characters of an error: what a file says may be long, a message is not."""

_MOST_ITEMS = 10_000


def joined(files: dict[str, bytes]) -> bytes:
    """Put a folder into bytes, as `_folder` takes it apart."""
    return CUT.join(["\n".join(files).encode(), *files.values()])


@contextlib.contextmanager
def _folder(data: bytes) -> Iterator[tuple[Path, list[str]]]:
    """Make a folder of files: the first piece has their names, the others are what they hold."""
    first, *contents = data.split(CUT)
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    folder = root / "home"
    folder.mkdir()
    names = []
    for name, content in zip(first.split(b"\n")[:8], contents, strict=False):
        text = name.decode("utf-8", "replace")
        if text in {"", ".", ".."} or "/" in text or "\0" in text or len(os.fsencode(text)) > 200:
            continue
        (folder / text).write_bytes(content)
        names.append(text)
    # what must stay out of reach, beside the folder
    (root / "outside.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    try:
        yield folder, names
    finally:
        shutil.rmtree(root)


def header(data: bytes) -> None:
    """A GGUF file: its head, everything that is shown of it, the rows of its tensors."""
    source = Grudging(data, "fuzzed.gguf")
    read = parse_header(source)
    file = GGUFFile([source], [read])
    model = Model(Path("fuzzed.gguf"), file)
    for value in read.metadata.values():
        repr(value)
        if isinstance(value, ArrayValue):
            # as text, in which NaN is NaN
            assert repr(value[-3:]) == repr(value[: len(value)][-3:])
            assert repr(value[:: max(1, len(value) // 3)][:1]) == repr(value[:1])
    FileName.from_metadata(read.metadata)
    assert _safe(repr(model))
    assert _safe(model._repr_html_())
    for leaf in leaves(read.metadata):
        assert _safe(leaf["key"] + leaf["value"] + leaf["type"])
    for info in file.tensors:
        with contextlib.suppress(GGUFLabError):
            rows = file.raw(info, 0, min(info.n_rows, 3))
            assert rows.nbytes <= len(data)
    for tensor in list(model.tensors.values())[:20]:
        assert _safe(repr(tensor))
        # an empty shape may claim any number of rows; of what has bytes there are few
        if tensor.nbytes and tensor.nbytes < 1 << 16:
            with contextlib.suppress(GGUFLabError):
                tensor.to_numpy()


def shards(data: bytes) -> None:
    """A folder with shards of a GGUF file, opened from each of its files."""
    with _folder(data) as (folder, names):
        for name in names:
            with contextlib.suppress(GGUFLabError), open_file(folder / name) as file:
                assert all(path.parent == folder for path in file.paths)
                for info in file.tensors:
                    with contextlib.suppress(GGUFLabError):
                        file.raw(info)
        if names:
            open_file(folder / names[0]).close()


def naming(data: bytes) -> None:
    """The name of a file."""
    text = data.decode("utf-8", "surrogateescape")
    for name in (text, f"{text}.gguf"):
        parts = FileName.parse(name)
        if parts is not None:
            with contextlib.suppress(GGUFLabError):
                assert FileName.parse(parts.format()) == parts


def safetensors(data: bytes) -> None:
    """A safetensors file: its header, which covers the data exactly once."""
    entries, _ = parse_safetensors(Grudging(data, "fuzzed.safetensors"))
    spans = sorted((e.offset, e.offset + e.nbytes) for e in entries.values() if e.nbytes)
    start = 8 + int.from_bytes(data[:8], "little")
    for begin, end in spans:
        assert begin == start
        start = end
    assert start == len(data)
    for entry in entries.values():
        assert math.prod(entry.shape) <= 8 * len(data)


def index(data: bytes) -> None:
    """A folder with a checkpoint: an index, its shards, a configuration."""
    with _folder(data) as (folder, _), open_checkpoint(folder) as checkpoint:
        assert _safe(repr(checkpoint))
        assert _safe(checkpoint._repr_html_())
        for tensor in checkpoint.tensors.values():
            assert Path(tensor.source.name).resolve().is_relative_to(folder.resolve())
            if tensor.row_bytes:
                tensor.read(0, min(tensor.n_rows, 3))


def imatrix(data: bytes) -> None:
    """An importance matrix, of either format."""
    with _file(data, "imatrix") as path, open_imatrix(path) as opened:
        assert _safe(repr(opened))
        for name in opened:
            values = opened[name]
            assert values.nbytes <= len(data)


def configuration(data: bytes) -> None:
    """The hyper-parameters of a GGUF file, as what Transformers would be told."""
    read = parse_header(Grudging(data, "fuzzed.gguf"))
    shapes = {info.name: info.shape for info in read.tensors}
    architecture = read.metadata.text("general.architecture") or ""
    factors = {
        name: [1.0] * math.prod(shapes[name])
        for name in FACTOR_TENSORS
        if name in shapes and math.prod(shapes[name]) < _MOST_ITEMS
    }
    json.dumps(config_of(architecture, read.metadata, shapes, factors))


def tokenizer(data: bytes) -> None:
    """The tokenizer of a GGUF file, and what it makes of a text."""
    read = parse_header(Grudging(data, "fuzzed.gguf"))
    if len(read.metadata.get("tokenizer.ggml.tokens", ())) > _MOST_ITEMS:  # type: ignore[arg-type]
        return
    built = build(read_vocabulary(read.metadata))
    encoding = built.encode("Hello, wörld!  ½ \n<s> 日本")
    built.decode(encoding.ids)


def template(data: bytes) -> None:
    """The chat templates of a GGUF file, and any answer of the process that renders them."""
    with contextlib.suppress(GGUFLabError):
        _answer((data, 0), 1.0)
    model: Any = Model(
        Path("f.gguf"), GGUFFile([source := Grudging(data, "f.gguf")], [parse_header(source)])
    )
    for tools in (False, True):
        with contextlib.suppress(GGUFLabError):
            _choose(model, None, tools=tools)
    _special_tokens(model)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
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


def try_out(name: str, data: bytes) -> bool:
    """Give bytes to a target; say whether it took them. Anything but our error goes through."""
    try:
        TARGETS[name](data)
    except GGUFLabError as refused:
        message = str(refused)
        assert _safe(message), f"{name}: the error is not safe to print: {message[:500]!r}"
        assert len(message) < LONGEST_MESSAGE, f"{name}: {len(message)} characters of error"
        return False
    return True


@contextlib.contextmanager
def _file(data: bytes, name: str) -> Iterator[Path]:
    handle, path = tempfile.mkstemp(
        suffix=name, dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        yield Path(path)
    finally:
        Path(path).unlink()


def _safe(text: str) -> bool:
    """Whether a text has nothing that steers a terminal or turns the direction of writing."""
    return all(c.isprintable() or c == "\n" for c in text)
