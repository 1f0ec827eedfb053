"""What a model is, in a few lines: the same facts for the text and for the HTML card."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..file import ArrayValue, preview, printable
from ..file.text import few
from ..markup import Html, card, facts, fold, grid
from .words import bits_in_words, bytes_in_words, count_in_words, share_in_words

if TYPE_CHECKING:
    from .model import Model

__all__ = ["facts_of", "html_of", "mix_of", "text_of", "title_of", "warnings_of"]

# What is worth a line: the end of the key behind the architecture, and how it is called.
_HYPER_PARAMETERS = (
    ("projector_type", "projector"),
    ("vision.projector_type", "vision projector"),
    ("audio.projector_type", "audio projector"),
    ("block_count", "layers"),
    ("vision.block_count", "vision layers"),
    ("audio.block_count", "audio layers"),
    ("context_length", "context length"),
    ("embedding_length", "embedding length"),
    ("vision.embedding_length", "vision embedding length"),
    ("audio.embedding_length", "audio embedding length"),
    ("feed_forward_length", "feed-forward length"),
    ("attention.head_count", "attention heads"),
    ("attention.head_count_kv", "key-value heads"),
    ("expert_count", "experts"),
    ("expert_used_count", "experts used"),
    ("model_hint", "for models like"),
    ("layer_count", "directions for layers"),
)
_OTHER_KEYS = (
    ("adapter.type", "adapter type"),
    ("adapter.lora.alpha", "LoRA alpha"),
    ("imatrix.datasets", "imatrix data"),
    ("imatrix.chunk_count", "imatrix chunks"),
    ("imatrix.chunk_size", "imatrix chunk size"),
    ("quantize.imatrix.dataset", "quantized with imatrix of"),
    ("general.license", "license"),
)
_KINDS = {
    "model": "model",
    "adapter": "adapter",
    "vocabulary": "vocabulary without weights",
    "imatrix": "importance matrix",
    "mmproj": "multimodal projector",
    "controlvector": "control vector",
}


def mix_of(model: Model) -> list[tuple[str, int, int, int | None]]:
    """Return per type its name, tensors, weights and bytes (None if unknown), largest first."""
    tensors: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    sizes: dict[str, int | None] = {}
    for tensor in model.tensors.values():
        tensors[tensor.qtype] += 1
        weights[tensor.qtype] += tensor.n_elements
        known = sizes.setdefault(tensor.qtype, 0)
        sizes[tensor.qtype] = (
            None if known is None or tensor.nbytes is None else known + tensor.nbytes
        )
    order = sorted(tensors, key=lambda name: (-weights[name], name))
    return [(name, tensors[name], weights[name], sizes[name]) for name in order]


def title_of(model: Model) -> str:
    """Return the name of the model and what kind of file it is."""
    return f"{printable(model.name)}: {_KINDS[model.kind]}"


def facts_of(model: Model) -> list[tuple[str, str]]:
    """Return what is worth knowing, as pairs of a label and a value; plain text, capped."""
    facts = []
    if model.architecture is not None:
        facts.append(("architecture", printable(model.architecture)))
    facts.append(("format", f"GGUF version {model.version}, {model.byteorder}-endian"))
    paths = model.file.paths
    name = printable(paths[0].name, 120)
    shards = f" and {len(paths) - 1} more, {len(paths)} shards" if len(paths) > 1 else ""
    facts.append(("file", f"{name}{shards}, {bytes_in_words(model.file.size)}"))
    weights = model.n_parameters
    if model.tensors:
        facts += [
            (
                "parameters",
                f"{count_in_words(weights)} ({weights:,}) in {len(model.tensors):,} tensors",
            ),
            ("tensor data", f"{bytes_in_words(model.nbytes)} ({model.nbytes:,} bytes)"),
            ("bits per weight", bits_in_words(model.bits_per_weight)),
        ]
    if model.file_type is not None:
        facts.append(("file type", model.file_type))
    if mix := mix_of(model):
        facts.append(("tensor types", _mix_in_words(mix, weights)))
    metadata = model.metadata
    keys = [(f"{model.architecture}.{end}", label) for end, label in _HYPER_PARAMETERS]
    facts += [
        (label, preview(metadata[key])) for key, label in (*keys, *_OTHER_KEYS) if key in metadata
    ]
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, ArrayValue):
        kind = metadata.text("tokenizer.ggml.model")
        facts.append(
            ("vocabulary", f"{len(tokens):,} tokens" + (f", {printable(kind)}" if kind else ""))
        )
    facts.append(("metadata", f"{len(metadata):,} keys"))
    if model.fetched:
        facts.append(
            ("fetched", f"{bytes_in_words(model.fetched)} of {bytes_in_words(model.file.size)}")
        )
    return facts


def _mix_in_words(mix: list[tuple[str, int, int, int | None]], all_weights: int) -> str:
    """Say which types the weights have, the commonest six by their share."""
    parts = [
        f"{name} {share_in_words(weights, all_weights)} ({tensors:,})"
        for name, tensors, weights, _ in mix
    ]
    return few(parts, most=6)


def warnings_of(model: Model) -> list[str]:
    """Return what is wrong with the file, one sentence each."""
    status = Counter(tensor.status for tensor in model.tensors.values())
    warnings = []
    if cut := status["truncated"]:
        warnings.append(
            f"the file is cut short: {cut:,} of {len(model.tensors):,} tensors are truncated and "
            "cannot be decoded. Fetch the file again or let the download finish."
        )
    if opaque := status["opaque"]:
        warnings.append(
            f"{opaque:,} of {len(model.tensors):,} tensors have a type that this version does not "
            "know; they are listed but cannot be decoded."
        )
    return warnings


def text_of(model: Model) -> str:
    """Return one short paragraph."""
    facts = "; ".join(f"{label} {value}" for label, value in facts_of(model))
    warnings = "".join(f"\nWarning: {text}" for text in warnings_of(model))
    return f"<{title_of(model)}; {facts}>{warnings}"


def html_of(model: Model) -> str:
    """Return the same as a card, with two folded tables: the tensor types, the files of a set."""
    folded: list[Html] = []
    if mix := mix_of(model):
        types = [
            (name, f"{n:,}", f"{weights:,}", "unknown" if size is None else bytes_in_words(size))
            for name, n, weights, size in mix[:50]
        ]
        columns = ("type", "tensors", "weights", "size")
        folded.append(fold("Tensor types", grid(columns, types, (1, 2, 3))))
    paths = model.file.paths
    if len(paths) > 1:
        counts = Counter(info.shard for info in model.file.tensors)
        files = [
            (printable(path.name, 120), f"{counts[number]:,}")
            for number, path in enumerate(paths[:100])
        ]
        folded.append(fold(f"{len(paths)} shards", grid(("file", "tensors"), files, (1,))))
    return card(title_of(model), facts(facts_of(model)), *folded, warnings=warnings_of(model))
