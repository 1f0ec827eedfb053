"""The same model under two architectures: how the rows of queries and keys then differ.

llama.cpp turns either neighbours of a head, or elements half a head apart, as its table of
architectures says (``llama_model_rope_type``); converters arrange the rows accordingly. All else
has the same meaning in every graph. So a phi-4 may be a file of "phi3" or of "llama".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import ComparisonError
from ..file.text import quoted
from ..model.names import split_name
from .facts import WIDTH, Facts, Quantity
from .transforms import Join, Part, PermuteRotary, Transformed, UnpermuteRotary

if TYPE_CHECKING:
    from ..model import Model
    from .transforms import Rows

__all__ = ["Arrangement"]

_PAIRS: Final = frozenset((
    "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe3", "chameleon", "chatglm", "cohere2",
    "cohere2moe", "command-r", "deci", "deepseek", "deepseek2", "deepseek2-ocr", "deepseek32",
    "deepseek4", "dots3note", "ernie4_5", "ernie4_5-moe", "glm-dsa", "glm4", "granite",
    "granite_swa", "granitehybrid", "granitemoe", "hy_v4", "internlm2", "llada", "llama",
    "llama-embed", "llama4", "maincoder", "minicpm", "mistral3", "mistral4", "muse-glimmer",
    "nanbeige", "neo-bert", "olmo", "plm", "smollm3", "starcoder", "xverse",
))  # fmt: skip
_HALVES: Final = frozenset((
    "afmoe", "apertus", "bailingmoe2", "bert", "bitnet", "codeshell", "cogvlm", "dbrx", "dots1",
    "dream", "eurobert", "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma",
    "gemma-embedding", "gemma2", "gemma3", "gemma3n", "gemma4", "glm4moe", "gpt-oss", "gptneox",
    "grok", "grovemoe", "hrm_text", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "hy_v3", "jais2",
    "jina-bert-v3", "laguna", "lfm2", "lfm2moe", "llada-moe", "maple", "mellum", "mimo2",
    "minicpm3", "minimax-01", "minimax-m2", "minimax-m3", "modern-bert", "nemotron", "nomic-bert",
    "nomic-bert-moe", "olmo2", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded", "phi2",
    "phi3", "phimoe", "plamo", "plamo2", "plamo3", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3",
    "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "rnd1", "seed_oss",
    "smallthinker", "spark2_5", "stablelm", "starcoder2", "step35", "talkie",
))  # fmt: skip
_NOTHING: Final = frozenset((
    "arwkv7", "bloom", "glm5-next", "gpt2", "gptj", "jais", "jamba", "jina-bert-v2", "kimi-k3",
    "kimi-linear", "mamba", "mamba2", "mpt", "nemotron_h", "nemotron_h_moe", "refact", "rwkv6",
    "rwkv6qwen2", "rwkv7", "t5", "t5encoder",
))  # fmt: skip
_HEAD_SIZE: Final = Quantity("size of a head", "attention.key_length", ())
_ROTATED: Final = Quantity("elements that are turned", "rope.dimension_count", ())
_NORMS: Final = frozenset(("attn_q_norm", "attn_k_norm"))
_SECTIONS = "rope.dimension_sections"  # with them these turn halves, too
_BY_SECTIONS: Final = frozenset(("bailingmoe3", "glm4"))


def _turned(model: Model) -> str:
    """Name what is turned together; empty if that is not known."""
    name = model.architecture or ""
    if name in _BY_SECTIONS and f"{name}.{_SECTIONS}" in model.metadata:
        return "halves"
    known = (("pairs", _PAIRS), ("halves", _HALVES), ("nothing", _NOTHING))
    return next((kind for kind, names in known if name in names), "")


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the tensors of a reference have to be arranged to stand as in the file.

    Attributes
    ----------
    to : {"", "pairs", "halves"}
        What queries and keys are arranged to; empty: they stay.
    facts : Facts
        Of the reference.
    words : str
        What the architectures are, and what follows from that.
    doubted : bool
        Whether that is true of all tensors: nobody knows how both arrange their rows.
    """

    to: str
    facts: Facts
    words: str = ""
    doubted: bool = False

    @classmethod
    def of(cls, model: Model, reference: Model) -> Arrangement:
        """Look up what is known of both architectures."""
        names = [side.architecture or "" for side in (model, reference)]
        facts = Facts.of(names[1], reference.metadata, {})
        ours, theirs = _turned(model), _turned(reference)
        if names[0] == names[1] or (ours == theirs != ""):
            return cls("", facts)
        both = f"architecture {quoted(names[0])} in the file, {quoted(names[1])} in the reference"
        if {ours, theirs} == {"pairs", "halves"}:
            return cls(ours, facts, both)
        return cls("", facts, f"{both}: name and shape agree, the order of rows may not", True)

    def arranged(self, name: str, rows: Rows) -> Rows | Transformed:
        """Arrange the rows of a tensor of the reference as they are in the file.

        Raises
        ------
        ComparisonError
            If its rows would have to be arranged, and it is not known how.
        """
        layer, kind = split_name(name)
        kind = kind.removesuffix(".bias")
        if not self.to or not kind.startswith(("attn_q", "attn_k")):
            return rows
        heads, kv_heads = self.facts.heads(layer), self.facts.kv_heads(layer)
        n = rows.shape[0] if rows.shape else 0
        if kind == "attn_qkv":
            size = n // (heads + 2 * kv_heads)
            ends = heads * size, (heads + kv_heads) * size
            parts = [Part(0, ends[0], ""), Part(*ends, ""), Part(ends[1], None, "")]
            q, k, v = (Transformed(part, (rows,)) for part in parts)
            apart = self._turn(q, heads, size), self._turn(k, kv_heads, size), v
            return Transformed(Join(f"q and k arranged in rotary {self.to}"), apart)
        if kind in _NORMS and len(rows.shape) == 1:
            size = self.facts.in_file(_HEAD_SIZE) or self.facts.need(WIDTH) // heads
            return self._turn(rows, max(1, n // max(1, size)), size)
        count = {"attn_q": heads, "attn_k": kv_heads}.get(kind)
        if count is None:
            raise ComparisonError(f"{self.words}: how to arrange {quoted(kind)} is not known")
        return self._turn(rows, count, n // count)

    def _turn(self, rows: Rows, heads: int, size: int) -> Transformed:
        rotated = self.facts.in_file(_ROTATED) or size
        if self.to == "halves":
            return Transformed(PermuteRotary(heads, rotated), (rows,))
        if rotated != size:
            raise ComparisonError(f"{self.words}: they turn {rotated} of {size} elements")
        return Transformed(UnpermuteRotary(heads), (rows,))
