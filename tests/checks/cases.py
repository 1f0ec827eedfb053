"""For every rule files that break it: real files with one thing changed."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .variants import LLAMA, MODELS, Q4_K_M, variant

if TYPE_CHECKING:
    from pathlib import Path

    from ..file.builders import Builder

IMATRIX = MODELS.parent / "imatrix" / "smollm2-imatrix.gguf"
QWEN2 = MODELS / "qwen2" / "qwen2-bf16.gguf"  # without a tokenizer
GPT2 = MODELS / "gpt2" / "gpt2-bf16.gguf"
MAMBA = MODELS / "mamba" / "mamba-bf16.gguf"
MIXTRAL = MODELS / "mixtral" / "mixtral-bf16.gguf"
PROJECTOR = MODELS.parent / "projectors" / "gemma3" / "mmproj-gemma3-bf16.gguf"
GEMMA4 = PROJECTOR.parents[1] / "gemma4" / "mmproj-gemma4-bf16.gguf"
QWEN2_NAME = "Tiny-13K-v1.0-BF16.gguf"
OLMO = MODELS.parent / "tables" / "olmo" / "olmo-bf16.gguf"  # without a table of its own
OLMO_NAME = "Tiny-4K-v1.0-BF16.gguf"
NAMES = {
    LLAMA: "Tiny-311K-v1.0-BF16.gguf",
    Q4_K_M: "Tiny-1.4M-v1.0-Q4_K_M.gguf",
    IMATRIX: "Tiny-imatrix.gguf",
    PROJECTOR: "mmproj-Tiny-3.7K-v1.0-BF16.gguf",
}
"""Names of the unchanged files by which nothing is unusual in them."""

F32, F16, IQ2_XXS = 0, 1, 16
_TOKENS = "tokenizer.ggml.tokens"
_CHAT = "tokenizer.chat_template"
_TINY: dict[str, Any] = {
    "source": MAMBA,
    "name": "Tiny-14K-v1.0-BF16.gguf",
    "also": "tokenizer",
}


@dataclass(frozen=True)
class Case:
    """A change that breaks a rule.

    Attributes
    ----------
    code : str
    says : str
        What its finding says.
    severity : str
    source : Path
    also : frozenset of str
        Other rules that the change breaks.
    name : str
        The file's, if it is not that of the unchanged file.
    changes : dict
        Of `variant`.
    refused : bool
        Whether llama.cpp refuses the file (with ``--check-tensors``); as a rule it does if the
        finding is an error.
    """

    code: str
    says: str
    severity: str = "warning"
    source: Path = LLAMA
    also: frozenset[str] = frozenset()
    name: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    refused: bool | None = None

    def write(self, folder: Path) -> Path:
        changes = dict(self.changes)
        if self.code != "template":  # to render one takes a process
            changes["keys"] = {_CHAT: None, **changes.get("keys", {})}
        return variant(self.source, folder / (self.name or NAMES[self.source]), **changes)

    @property
    def id(self) -> str:
        return f"{self.code}: {self.says}"


def case(
    code: str,
    says: str,
    severity: str = "warning",
    *,
    source: Path = LLAMA,
    also: str = "",
    name: str = "",
    refused: bool | None = None,
    **changes: Any,
) -> Case:
    if refused is None:
        refused = severity == "error"
    return Case(code, says, severity, source, frozenset(also.split()), name, changes, refused)


def key(name: str, kind: str = "", value: Any = None) -> dict[str, Any]:
    """One key with another value; without a type it is left out."""
    return {"keys": {name: (kind, value) if kind else None}}


def tensor(name: str, *entry: Any) -> dict[str, Any]:
    """One tensor more, or with another content; without one it is left out."""
    return {"tensors": {name: entry or None}}


def tokens(change: dict[int, str]) -> dict[str, Any]:
    """Some tokens with other texts."""
    import gguf_lab as gl

    with gl.open(LLAMA) as model:
        texts = list(model.metadata[_TOKENS])
    for place, text in change.items():
        texts[place] = text
    return {"keys": {_TOKENS: ("array[string]", texts)}}


def bpe(**other: tuple[str, Any] | None) -> dict[str, Any]:
    """The keys of a byte-level BPE, with changes; the tokens stay as they are."""
    found: dict[str, Any] = {
        "model": ("string", "gpt2"),
        "pre": ("string", "llama-bpe"),
        "merges": ("array[string]", ["t h", "o r"]),
    }
    found |= other
    return {"keys": {f"tokenizer.ggml.{name}": entry for name, entry in found.items()}}


def _gap(builder: Builder) -> None:
    """Move the last tensor by an alignment."""
    *others, last = builder.tensors
    offset = struct.unpack("<Q", last[-8:])[0]
    builder.tensors = [*others, last[:-8] + struct.pack("<Q", offset + 32)]
    builder.data = builder.data[:offset] + bytes(32) + builder.data[offset:]


def _align(builder: Builder) -> None:
    """Give the head another length, and let the data follow at a multiple of 8."""
    builder.key("general.alignment", "uint32", 8)
    while not len(builder.head()) % 32:
        builder.key(f"general.padding.{len(builder.keys)}", "string", "x" * 8)
    builder.alignment = 8


def _dirty(builder: Builder) -> None:
    """A tensor of 12 bytes before the last, and no zeros after it."""
    name, ne = "blk.0.attn_q.scale", [3]
    builder.tensor(name, ne, F32, struct.pack("<3f", 1, 2, 3))
    builder.data = builder.data[:-20] + b"old memory of others"
    builder.tensor("blk.0.attn_k.scale", [1], F32, struct.pack("<f", 1))


def _block_scales(share: float, scale: int) -> Any:
    """Give a share of the blocks of Q4_K other scales: half-precision numbers as they are."""

    def change(raw: np.ndarray) -> None:
        blocks = raw.reshape(-1, 144)
        chosen = blocks[1 : 2 * int(share * len(blocks)) : 2]  # not the first of a row
        chosen[:, 0:4] = np.frombuffer(struct.pack("<HH", scale, scale), np.uint8)

    return change


def _bf16(row: int, column: int, bits: int) -> Any:
    def change(raw: np.ndarray) -> None:
        raw[row, 2 * column : 2 * column + 2] = struct.unpack("BB", struct.pack("<H", bits))

    return change


def _zero(rows: slice) -> Any:
    def change(raw: np.ndarray) -> None:
        raw[rows] = 0

    return change


def _small(n: int) -> bytes:
    return np.full(n, 0.01, np.float16).tobytes()


def _iq2(rows: int, columns: int) -> bytes:
    blocks = np.random.default_rng(1).integers(0, 256, (rows * columns // 256, 66), np.uint8)
    blocks[:, 0:2] = np.frombuffer(struct.pack("<e", 0.001), np.uint8)
    return blocks.tobytes()


_DOWN = "blk.0.ffn_down.weight"  # 256 rows of two blocks
_BIG = (F16, (1024, 1024), _small(1024 * 1024))
_TURNED = (F16, (96, 160), _small(96 * 160))
_TOO_FEW = (F16, (96, 511), _small(511 * 96))
_SMALL = (F16, (256, 512), _small(512 * 256))

KEYS = (
    case(
        "key-type",
        "the key is 10000 of type uint32, but llama.cpp reads it as float32, and refuses",
        "error",
        **key("llama.rope.freq_base", "uint32", 10_000),
    ),
    case(
        "key-type",
        "the key is 3 of type int32, but llama.cpp reads it as uint32",
        "error",
        **key("llama.block_count", "int32", 3),
    ),
    case(
        "key-type",
        "the key is 32 of type uint16, but llama.cpp reads it as uint32",
        "error",
        **key("general.file_type", "uint16", 32),
    ),
    case(
        "key-type",
        "the key is 1 of type uint8, but llama.cpp reads it as bool",
        "error",
        **key("tokenizer.ggml.add_bos_token", "uint8", 1),
    ),
    case(
        "key-type",
        "the key is 2 of type int32, but llama.cpp reads it as uint32",
        "error",
        **key("tokenizer.ggml.eos_token_id", "int32", 2),
    ),
    case(
        "key-type",
        "the key is 1 of type uint32, but llama.cpp reads it as uint16",
        "error",
        **key("split.count", "uint32", 1),
    ),
    case(
        "nested-array",
        "an array of arrays, for which llama.cpp refuses",
        "error",
        **key("general.nested", "array[array[uint32]]", [[1], [2, 3]]),
    ),
    case(
        "unknown-architecture",
        'the key is "llama9", which the gguf package does not know',
        refused=True,
        **key("general.architecture", "string", "llama9"),
    ),
    case(
        "rope-scaling",
        'the key is "su"; llama.cpp knows none, linear, yarn, longrope',
        "error",
        **key("llama.rope.scaling.type", "string", "su"),
    ),
    case(
        "expert-counts",
        "4 of 3 experts are used",
        "error",
        source=MIXTRAL,
        name="Tiny-48K-v1.0-BF16.gguf",
        **key("llama.expert_used_count", "uint32", 4),
    ),
    case(
        "expert-counts",
        "3 experts in 2 groups, of which 0 are used",
        "error",
        source=MIXTRAL,
        name="Tiny-48K-v1.0-BF16.gguf",
        **key("llama.expert_group_count", "uint32", 2),
    ),
)

LAYOUT = (
    case("truncated", "ends too early: 1 of 30", "error", cut=128),
    case(
        "unknown-type",
        "type number 31: Q4_0_4_4, which ggml has removed",
        "error",
        also="unasked-tensor",
        **tensor("old.weight", 31, (256,), bytes(144)),
    ),
    case(
        "unknown-type",
        "type number 200: unknown here",
        "error",
        also="unasked-tensor",
        **tensor("new.weight", 200, (256,), bytes(144)),
    ),
    case("order", "a gap, for which llama.cpp refuses", "error", edit=_gap),
    case(
        "alignment",
        "the key is 8, and the data begins at byte",
        "error",
        edit=_align,
    ),
    case("trailing", "1.0 kB follow the last tensor", tail=b"\1" * 1000),
    case("padding", "the 20 bytes between 'blk.0.attn_q.scale'", "note", refused=True, edit=_dirty),
    case(
        "tensor-name",
        r"1 tensor name is empty or no plain text ('blk.0.\x1b[31m')",
        also="unasked-tensor",
        refused=True,
        **tensor("blk.0.\x1b[31m", F32, (4,), struct.pack("<4f", 1, 2, 3, 4)),
    ),
    case(
        "empty-tensor",
        "1 tensor has no values ('blk.0.attn_q.scale')",
        refused=True,
        **tensor("blk.0.attn_q.scale", F32, (0,), b""),
    ),
    case(
        "key-name",
        "1 key is not of lower-case words and dots ('general.My Key')",
        "note",
        **key("general.My Key", "uint32", 1),
    ),
    case(
        "architecture-key",
        "is missing; without it nobody",
        "error",
        **key("general.architecture"),
    ),
    case(
        "architecture-key",
        "the key is 7; without",
        "error",
        **key("general.architecture", "uint32", 7),
    ),
    case(
        "quantization-version",
        "is missing though there are quantized tensors",
        source=Q4_K_M,
        **key("general.quantization_version"),
    ),
    case(
        "quantization-version",
        "the key is 1; ggml has had version 2",
        **key("general.quantization_version", "uint32", 1),
    ),
)

NAMING = (
    case("name", "does not tell the size and the encoding", "note", name="tiny.gguf"),
    case("name", "'Tiny-BF16.gguf' does not tell the size", "note", name="Tiny-BF16.gguf"),
    case("name-encoding", "says Q8_0, the key says BF16", name="Tiny-311K-v1.0-Q8_0.gguf"),
    case(
        "name-size", "the size label is '7B', but the tensors have 311 k", name="Tiny-7B-BF16.gguf"
    ),
    case("name-size", "the size label is '99B'", **key("general.size_label", "string", "99B")),
    case(
        "name-shard",
        "the name says shard 2 of 3, but",
        name="Tiny-311K-v1.0-BF16-00002-of-00003.gguf",
    ),
)

ARCHITECTURE = (
    case(
        "hyper-parameters",
        "the key is missing: llama.cpp loads no model without it",
        "error",
        **key("llama.attention.layer_norm_rms_epsilon"),
    ),
    case(
        "hyper-parameters",
        "head_count is 'six'; expected a whole number",
        also="key-type",
        refused=True,
        **key("llama.attention.head_count", "string", "six"),
    ),
    case(
        "layers",
        "says 4 layers, but 1 of them has no tensor (3)",
        "error",
        **key("llama.block_count", "uint32", 4),
    ),
    case(
        "layers",
        "says 2 layers, but there are tensors of 1 further ones (2)",
        "error",
        **key("llama.block_count", "uint32", 2),
    ),
    case(
        "missing-tensor",
        "1 tensor is missing that a model of architecture llama cannot",
        "error",
        **tensor("blk.1.attn_output.weight"),
    ),
    case(
        "unasked-tensor",
        "1 tensor is not asked for by llama.cpp: it has no llama with them",
        "error",
        **tensor("blk.0.what.weight", F32, (1,), struct.pack("<f", 1)),
    ),
    case(
        "unasked-tensor",
        "1 tensor is not asked for by llama.cpp: it has no qwen2 with them",
        "error",
        source=QWEN2,
        name=QWEN2_NAME,
        also="tokenizer",
        **tensor("blk.0.attn_output.bias", F32, (24,), bytes(96)),
    ),
    case(
        "shapes",
        "its shape is (512, 96), but by llama.embedding_length the hidden size is 64, not 96",
        "error",
        **key("llama.embedding_length", "uint32", 64),
    ),
    case(
        "shapes",
        "its shape is (160, 96), but by llama.embedding_length the hidden size is 96, not 160",
        "error",
        **tensor("blk.1.ffn_down.weight", *_TURNED),
    ),
    case(
        "shapes",
        "width of the feed-forward layers is 128, not 160; so it is for 9 tensors",
        "error",
        **key("llama.feed_forward_length", "uint32", 128),
    ),
    case(
        "shapes",
        "but by llama.expert_count the number of experts is 4, not 3; so it is for 8 tensors",
        "error",
        source=MIXTRAL,
        name="Tiny-48K-v1.0-BF16.gguf",
        **key("llama.expert_count", "uint32", 4),
    ),
    case(
        "vocabulary-size",
        "it has 511 rows, token_embd.weight 512",
        "error",
        **tensor("output.weight", *_TOO_FEW),
    ),
    case(
        "vocabulary-size",
        "there are 512 tokens by this key, but token_embd.weight has 511 rows",
        "error",
        tensors={"token_embd.weight": _TOO_FEW, "output.weight": _TOO_FEW},
    ),
    case(
        "vocabulary-size",
        "there are 31 tokens by this key, but token_embd.weight has 32 rows",
        "error",
        **_TINY,
        **key("mamba.vocab_size", "uint32", 31),
    ),
    case(
        "shapes",
        "its shape is (4, 96), but by llama.embedding_length the hidden size is 96, not 384",
        "error",
        **tensor("blk.1.attn_norm.weight", F32, (96, 4), np.ones(384, np.float32).tobytes()),
    ),
    case(
        "shapes",
        "the rank of keys and values is 16, not 17; so it is for 1 tensor",
        "error",
        source=MODELS / "deepseek2" / "deepseek2-bf16.gguf",
        name="Tiny-28K-v1.0-BF16.gguf",
        also="tokenizer",
        **tensor("blk.1.attn_kv_a_norm.weight", F32, (17,), np.ones(17, np.float32).tobytes()),
    ),
    case(
        "unasked-tensor",
        "6 tensors are not asked for by llama.cpp: it has no command-r with them",
        "error",
        source=MODELS / "cohere" / "cohere-bf16.gguf",  # with 64 layers it has
        name="Tiny-18K-v1.0-BF16.gguf",
        also="tokenizer",
    ),
    case(
        "foreign-tensor",
        "1 tensor is not among those that the architecture olmo has",
        source=OLMO,
        name=OLMO_NAME,
        also="tokenizer",
        refused=True,
        **tensor("blk.0.what.weight", F32, (1,), struct.pack("<f", 1)),
    ),
    case(
        "heads",
        "7 values of a head are rotated, and it has 16, all of them",
        "error",
        **key("llama.rope.dimension_count", "uint32", 7),
    ),
    case(
        "epsilon",
        "the key is -1.0: llama.cpp ends at the first norm",
        "error",
        refused=False,  # when it is loaded; it ends when it computes
        **key("llama.attention.layer_norm_rms_epsilon", "float32", -1.0),
    ),
    case(
        "hyper-parameters",
        "llama.rope.freq_base is nan; expected a finite number",
        **key("llama.rope.freq_base", "float32", float("nan")),
    ),
    case(
        "layers",
        "the key is 0; llama.cpp takes 1 to 512",
        "error",
        also="hyper-parameters",
        **key("llama.block_count", "uint32", 0),
    ),
    case(
        "vocab-size-key",
        "the key says 513 tokens, and there are 512",
        "warning",
        **key("llama.vocab_size", "uint32", 513),
    ),
    case(
        "hyper-parameters",
        "the key is missing: llama.cpp loads no model without it",
        "error",
        **_TINY,
        **key("mamba.context_length"),
    ),
    case(
        "shapes",
        "the hidden size is 96, not 128; so it is for 1 tensor",
        "error",
        **tensor("blk.1.attn_norm.weight", F32, (128,), np.ones(128, np.float32).tobytes()),
    ),
    case(
        "shapes",
        "its shape is (9216,), but by llama.embedding_length the hidden size is 96, not 1;",
        "error",
        also="unusable-type",
        **tensor("blk.1.attn_output.weight", F16, (96 * 96,), _small(96 * 96)),
    ),
    case(
        "shapes",
        "its shape is (512, 64), but by llama.embedding_length the hidden size is 96, not 64",
        "error",
        **tensor("output.weight", F16, (64, 512), _small(64 * 512)),
    ),
    case(
        "shapes",
        "its shape is (16, 24), but by gpt2.context_length the length of the context is 17",
        "error",
        source=GPT2,
        name="Tiny-22K-v1.0-BF16.gguf",
        also="tokenizer",
        **key("gpt2.context_length", "uint32", 17),
    ),
    case(
        "shapes",
        "its shape is (96, 64), but by llama.embedding_length the hidden size is 96, not 64",
        "error",
        **tensor("blk.1.attn_q.weight", F16, (64, 96), _small(96 * 64)),
    ),
    case(
        "shapes",
        "for which llama.cpp takes the hidden size, is 24, not 25; so it is for 1 tensor",
        "error",
        source=QWEN2,
        name=QWEN2_NAME,
        also="tokenizer",
        **tensor("blk.1.attn_q.bias", F32, (25,), np.ones(25, np.float32).tobytes()),
    ),
    case(
        "shapes",
        "the number of heads times their width is 96, not 64",
        "error",
        **tensor("blk.1.attn_output.weight", F16, (64, 96), _small(64 * 96)),
    ),
    case(
        "shapes",
        "the number of heads times their width is 48, not 32; so it",
        "error",
        **key("llama.attention.head_count_kv", "uint32", 3),
    ),
)

TYPES = (
    case(
        "unusable-type",
        "1 tensor is in F16, though llama.cpp adds or multiplies their values with numbers in F32",
        "error",
        refused=False,  # when it is loaded; it ends when it computes
        **tensor("blk.1.attn_norm.weight", F16, (96,), _small(96)),
    ),
    case(
        "unusable-type",
        "1 tensor is in F64, a type with which ggml multiplies no matrix",
        "error",
        refused=False,
        **tensor("blk.1.attn_q.weight", 28, (96, 96), np.ones(96 * 96).tobytes()),
    ),
    case(
        "projector-type",
        "neither this key nor clip.has_audio_encoder says that there is an encoder",
        "error",
        source=PROJECTOR,
        **key("clip.has_vision_encoder", "bool", 0),
    ),
    case(
        "projector-type",
        'the type of its projector (vision) is "gemma33", which llama.cpp does not know',
        "error",
        source=PROJECTOR,
        **key("clip.projector_type", "string", "gemma33"),
    ),
    case(
        "projector-type",
        "no key says the type of its projector (vision)",
        "error",
        source=PROJECTOR,
        **key("clip.projector_type"),
    ),
    case(
        "projector-keys",
        "the key is missing, which llama.cpp needs for gemma3",
        "error",
        source=PROJECTOR,
        **key("clip.vision.image_mean"),
    ),
    case(
        "projector-keys",
        "the key is of type uint64; llama.cpp reads it as uint32, and ends at another",
        "error",
        source=PROJECTOR,
        **key("clip.vision.projector.scale_factor", "uint64", 4),
    ),
    case(
        "projector-values",
        "both this key and clip.use_silu are true",
        "error",
        source=PROJECTOR,
        also="activation",
        **key("clip.use_silu", "bool", 1),
    ),
    case(
        "projector-values",
        "the key is 9,000; llama.cpp takes 0 to 8,192",
        "error",
        source=PROJECTOR,
        **key("clip.vision.image_size", "uint32", 9000),
    ),
    case(
        "projector-values",
        "the key has 2 values; llama.cpp needs one for each color",
        "error",
        source=PROJECTOR,
        **key("clip.vision.image_std", "array[float32]", [0.5, 0.5]),
    ),
    case(
        "projector-tensors",
        "1 tensor is missing that llama.cpp needs for gemma3: 'mm.soft_emb_norm.weight'",
        "error",
        source=PROJECTOR,
        **tensor("mm.soft_emb_norm.weight"),
    ),
    case(
        "projector-tensors",
        "1 tensor is missing that llama.cpp needs for gemma3: 'v.blk.1.attn_out.weight'",
        "error",
        source=PROJECTOR,
        also="unlike-layers",
        **tensor("v.blk.1.attn_out.weight"),
    ),
    case(
        "unlike-layers",
        "1 layer has no attn_q.bias (1), which 2 others have: llama.cpp computes without it",
        source=PROJECTOR,
        **tensor("v.blk.1.attn_q.bias"),
    ),
    case(
        "activation",
        "the key is not true, so llama.cpp takes the quick GELU, 1.702 in a sigmoid; its converter",
        source=PROJECTOR,
        **key("clip.use_gelu"),
    ),
    case(
        "activation",
        "Gemma 4 has GELU, in its tanh form. llama.cpp's converter leaves the key out",
        "note",
        source=GEMMA4,
        name="mmproj-Hf-6.1K-v1.0-BF16.gguf",
    ),
    case(
        "turned-blocks",
        "it is in Q8_0: llama.cpp turns it over",
        "error",
        source=PROJECTOR,
        refused=False,  # when it is loaded
        **tensor("mm.input_projection.weight", 8, (32, 12), (b"\0\x3c" + bytes(range(32))) * 12),
    ),
    case(
        "file-type",
        "the key says Q8_0, but no tensor has a type of that mix (Q8_0)",
        also="other-type name-encoding",
        **key("general.file_type", "uint32", 7),
    ),
    case(
        "file-type",
        "the key is 999, which stands for no mix",
        **key("general.file_type", "uint32", 999),
    ),
    case("file-type", "the key is missing", source=Q4_K_M, **key("general.file_type")),
    case(
        "other-type",
        "1 tensor has another type than llama-quantize would choose in Q4_K_M: 1 F16",
        "note",
        source=Q4_K_M,
        **tensor("blk.0.ffn_up.weight", *_SMALL),
    ),
    case(
        "giant",
        "1 large tensor in 16 or 32 bits ('blk.0.ffn_up_shexp.weight'): 2.1 MB",
        source=Q4_K_M,
        also="shapes unasked-tensor name-size other-type",
        refused=True,
        **tensor("blk.0.ffn_up_shexp.weight", *_BIG),
    ),
    case(
        "no-importance",
        "1 tensor has a type that needs an importance matrix",
        source=Q4_K_M,
        also="other-type name-encoding",
        keys={"general.file_type": ("uint32", 19)},
        tensors={"blk.0.attn_q.weight": (IQ2_XXS, (256, 256), _iq2(256, 256))},
    ),
    case(
        "imatrix-keys",
        "the key is 'many', expected a whole number",
        **key("quantize.imatrix.entries_count", "string", "many"),
    ),
    case(
        "imatrix-keys",
        "had 3 entries, but 14 matrices of layers are quantized",
        "note",
        source=Q4_K_M,
        **key("quantize.imatrix.entries_count", "uint32", 3),
    ),
    case(
        "imatrix-file",
        "1 entry lacks sums or counts ('blk.0.attn_k.weight')",
        "error",
        source=IMATRIX,
        refused=False,
        **tensor("blk.0.attn_k.weight.counts"),
    ),
    case(
        "imatrix-file", "the key is missing", "note", source=IMATRIX, **key("imatrix.chunk_count")
    ),
)

TOKENIZER = (
    case(
        "tokenizer",
        "the key is missing: llama.cpp loads no model without it",
        "error",
        source=QWEN2,
        name=QWEN2_NAME,
    ),
    case(
        "tokenizer",
        "the key is missing though there are tokens",
        "error",
        **key("tokenizer.ggml.model"),
    ),
    case(
        "tokenizer",
        'the key is "klingon"; llama.cpp knows',
        "error",
        **key("tokenizer.ggml.model", "string", "klingon"),
    ),
    case("tokenizer", "the key is missing though there is a tokenizer", "error", **key(_TOKENS)),
    case("tokenizer", "expected a list of texts", "error", **key(_TOKENS, "string", "one text")),
    case(
        "token-lists",
        "it has 511 items, but there are 512 tokens",
        "error",
        **key("tokenizer.ggml.scores", "array[float32]", [0.0] * 511),
    ),
    case(
        "token-lists",
        "it has 513 items, but there are 512 tokens",
        **key("tokenizer.ggml.scores", "array[float32]", [0.0] * 513),
    ),
    case(
        "token-lists",
        "expected a list of int32",
        "error",
        **key("tokenizer.ggml.token_type", "array[uint8]", [1] * 512),
    ),
    case(
        "token-lists",
        "1 type is not among 0 to 6, the first is 9 at 7",
        **key("tokenizer.ggml.token_type", "array[int32]", [1] * 7 + [9] + [1] * 504),
    ),
    case(
        "duplicate-token",
        "1 token has a text that an earlier one has: 'or' is 259 and 400",
        "error",
        **tokens({400: "or"}),
    ),
    *(
        case(
            "merges",
            "the key is missing",
            "error",
            **bpe(model=("string", kind), pre=("string", pre), merges=None),
        )
        for kind, pre in (
            ("gpt2", "llama-bpe"),
            ("gemma4", "kimi-k2"),
            ("hybriddna", "llama-bpe"),
            ("whitespace", "whitespace"),
        )
    ),
    case(
        "merges",
        "1 of 2 merges are not of two tokens that make up a third, the first is 'x y'",
        **bpe(merges=("array[string]", ["t h", "x y"])),
    ),
    case(
        "special-ids",
        "the key is 512; there are 512 tokens",
        **key("tokenizer.ggml.padding_token_id", "uint32", 512),
    ),
    case("end-token", "llama.cpp takes token 11", **bpe(eos_token_id=None)),
    *(
        case(
            "end-token",
            "llama.cpp takes none in its place",
            **bpe(model=("string", kind), eos_token_id=None),
        )
        for kind in ("gemma4", "rwkv")
    ),
    case(
        "end-token",
        "but tokenizer.ggml.add_bos_token is true: llama.cpp takes token 11, which is Falcon's",
        **bpe(bos_token_id=None),
    ),
    *(
        case(
            "end-token",
            f"but {why}: llama.cpp ends at the first text",
            "error",
            refused=False,  # when it is loaded
            **bpe(model=("string", kind), pre=("string", pre), bos_token_id=None),
        )
        for kind, pre, why in (
            ("t5", "llama-bpe", "tokenizer.ggml.add_bos_token is true"),
            ("gpt2", "glm4", "tokenizer.ggml.add_bos_token is true"),
            ("gemma4", "llama-bpe", "gemma4 begins every text with it"),
        )
    ),
    case(
        "special-type",
        "'<|im_end|>' should end a text or a turn, but is no control token",
        **tokens({400: "<|im_end|>"}),
    ),
    case(
        "pre-tokenizer", "the key is missing: llama.cpp cuts text by its default", **bpe(pre=None)
    ),
    case("pre-tokenizer", "the key is empty: llama.cpp cuts text", **bpe(pre=("string", ""))),
    *(
        case(
            "pre-tokenizer",
            'the key is "mine": the llama.cpp that is known here has no such',
            "error",
            **bpe(model=("string", kind), pre=("string", "mine")),
        )
        for kind in ("gpt2", "hybriddna", "whitespace")
    ),
)

CHAT = (
    case(
        "no-template",
        "the model is called 'Tiny-311K-Instruct",
        name="Tiny-311K-Instruct-v1.0-BF16.gguf",
        **key(_CHAT),
    ),
    case("template", "The chat template cannot be rendered", **key(_CHAT, "string", "{% if %}")),
    case("template", "writes nothing of what the user says", **key(_CHAT, "string", "Hi!")),
    case(
        "template",
        "tried what a template must not do",
        **key(_CHAT, "string", "{{ messages.__class__.__mro__ }}"),
    ),
)

VALUES = (
    case(
        "not-finite",
        "1 value is NaN and 0 infinite, the first in row 5, column 7",
        "error",
        values={"blk.1.ffn_up.weight": _bf16(5, 7, 0x7FC0)},
    ),
    case(
        "not-finite",
        "0 values are NaN and 1 infinite, the first in row 0, column 3",
        "error",
        values={"blk.1.ffn_up.weight": _bf16(0, 3, 0xFF80)},
    ),
    case(
        "not-finite",
        "256 values are NaN",
        "error",
        source=Q4_K_M,
        values={_DOWN: lambda raw: raw[9].__setitem__(slice(0, 2), [0xFF, 0x7F])},
    ),
    case("all-zero", "every value is zero", values={"blk.1.ffn_norm.weight": _zero(slice(None))}),
    case(
        "zero-rows",
        "3 of 512 rows (0.59 %) are all zero",
        "note",
        values={"token_embd.weight": _zero(slice(10, 13))},
    ),
    case(
        "zero-blocks",
        "25 of 512 blocks (4.9 %) have a scale of zero",
        "note",
        source=Q4_K_M,
        values={_DOWN: _block_scales(0.05, 0)},
    ),
    case(
        "coarse-scales",
        "10.0 % of the blocks have a scale deep among the subnormal",
        "note",
        source=Q4_K_M,
        values={_DOWN: _block_scales(0.1, 3)},
    ),
    case(
        "odd-scale",
        "2 of 512 blocks have a scale that is 2^",
        source=Q4_K_M,
        values={_DOWN: _block_scales(0.004, 0x6400)},
    ),
)

CASES = (*LAYOUT, *KEYS, *NAMING, *ARCHITECTURE, *TYPES, *TOKENIZER, *CHAT, *VALUES)
