"""bert and what llama.cpp calls bert (roberta, xlm-roberta and distilbert too), and its heirs.

Facts: llama.cpp's converter, classes ``BertModel``, ``RobertaModel``, ``XLMRobertaModel``,
``DistilBertModel``, ``NomicBertModel``, ``ModernBertModel``, ``NeoBert``, ``JinaBertV2Model`` and
``EuroBertModel``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..transforms import AsStored, Half, Part, Transform
from .common import split_and_transpose, split_experts
from .family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["BERT", "EUROBERT", "JINA_BERT_V2", "MODERN_BERT", "NEO_BERT", "NOMIC_BERT"]


def _positions(facts: Facts, _: int | None) -> Transform:
    # roberta counts positions from pad_token_id + 1 on: the rows before it are never used
    padding = facts.config.get("pad_token_id")
    if facts.config.get("model_type") not in ("roberta", "xlm-roberta") or type(padding) is not int:
        return AsStored()
    return Part(padding + 1, None, f"rows from {padding + 1} on (pad_token_id + 1)")


def _has_labels(facts: Facts) -> bool:
    # the converter writes the labels of a classifier that has real ones, and then this name
    return f"{facts.architecture}.classifier.output_labels" in facts.metadata


def _pools(facts: Facts) -> bool:
    """Whether the pooler is the layer below a classifier, which llama.cpp calls ``cls``.

    The converter leaves it out there too, and llama.cpp then takes the score of something else.
    """
    if (facts.architecture, facts.config.get("model_type")) != ("bert", "bert"):
        return False
    if facts.config.get("architectures") != ["BertForSequenceClassification"]:
        return False
    return not facts.shapes or {"cls.weight", "cls.output.weight"} <= facts.shapes.keys()


def _does_not_pool(facts: Facts) -> bool:
    return not _pools(facts)


_CLASSIFIER = (
    Row("classifier.weight", to="classifier.out_proj.weight", when=_has_labels),
    Row("classifier.bias", to="classifier.out_proj.bias", when=_has_labels),
)
_POOLER = "the pooler: llama.cpp takes embeddings from the last layer"
_MASKED_WORDS = "the head for masked words: llama.cpp makes embeddings only"

_LEFT_OUT = (
    LeftOut("embeddings.position_ids", "the numbers 0, 1, 2, ...: no weight"),
    LeftOut("pooler.dense.weight", _POOLER, when=_does_not_pool),
    LeftOut("pooler.dense.bias", _POOLER, when=_does_not_pool),
    LeftOut("cls.predictions*", _MASKED_WORDS),
    LeftOut("vocab_*", _MASKED_WORDS),
    LeftOut("lm_head.*", _MASKED_WORDS),
    LeftOut(
        "cls.seq_relationship*",
        "the head for the next sentence: llama.cpp makes embeddings only",
    ),
)

# as Transformers 5 holds nomic-bert
_AS_HELD = (
    Row("embeddings.LayerNorm.weight", "token_embd_norm.weight"),
    Row("embeddings.LayerNorm.bias", "token_embd_norm.bias"),
    *(
        Row(f"layers.{{layer}}.{held}.{tail}", f"blk.{{layer}}.{ours}.{tail}")
        for held, ours in (
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
            ("post_attention_layernorm", "attn_output_norm"),
            ("post_mlp_layernorm", "layer_output_norm"),
        )
        for tail in ("weight", "bias")
    ),
)

BERT = Family(
    architectures=("bert",),
    model_types=("bert", "roberta", "xlm-roberta", "distilbert"),
    spellings=(
        # with a head on top, Transformers puts the encoder's name before its tensors
        Spelling("bert.", ""),
        Spelling("roberta.", ""),
        Spelling("distilbert.", ""),
        # names from TensorFlow days
        Spelling(".gamma", ".weight", "end"),
        Spelling(".beta", ".bias", "end"),
    ),
    left_out=_LEFT_OUT,
    rows=(
        Row("embeddings.position_embeddings.weight", transform=_positions),
        Row("pooler.dense.weight", to="classifier.dense.weight", when=_pools),
        Row("pooler.dense.bias", to="classifier.dense.bias", when=_pools),
        *_CLASSIFIER,
    ),
)

NOMIC_BERT = Family(
    architectures=("nomic-bert", "nomic-bert-moe"),
    model_types=("nomic_bert",),
    spellings=(Spelling("bert.", ""),),
    left_out=(
        *_LEFT_OUT,
        LeftOut("*mlp.experts.bias", "a bias that llama.cpp's experts don't have"),
    ),
    rows=(
        Row(
            "encoder.layers.{layer}.mlp.experts.mlp.w1",
            to="encoder.layers.{layer}.mlp.experts.mlp.w1.weight",
            transform=split_experts,
        ),
        Row(
            "encoder.layers.{layer}.mlp.experts.mlp.w2",
            to="encoder.layers.{layer}.mlp.experts.mlp.w2.weight",
            transform=split_and_transpose,
        ),
        *_AS_HELD,
    ),
    # a converter that runs with Transformers 5 writes the usual sizes instead of the checkpoint's
    same=(),
)

MODERN_BERT = Family(
    architectures=("modern-bert",),
    model_types=("modernbert",),
    spellings=(Spelling("model.", ""),),
    left_out=(*_LEFT_OUT, LeftOut("decoder.*", _MASKED_WORDS)),
    rows=_CLASSIFIER,
)

NEO_BERT = replace(MODERN_BERT, architectures=("neo-bert",), model_types=("neobert",))


def _gate_apart(facts: Facts) -> bool:
    return "blk.0.ffn_gate.weight" in facts.shapes


# In files of 2024 gate and up are two tensors, in later ones one. The variant for code calls the
# one "up_gated_layer", up before the gate; the others "gated_layers", the gate first.
JINA_BERT_V2 = replace(
    BERT,
    architectures=("jina-bert-v2",),
    model_types=(),
    rows=(
        *_CLASSIFIER,
        *(
            Row(
                f"encoder.layer.{{layer}}.mlp.{fused}.weight",
                f"blk.{{layer}}.{name}.weight",
                Half(which),
                when=_gate_apart,
            )
            for fused, names in (
                ("gated_layers", ("ffn_gate", "ffn_up")),
                ("up_gated_layer", ("ffn_up", "ffn_gate")),
            )
            for which, name in enumerate(names)
        ),
    ),
    borrowed=("bert",),
)

EUROBERT = Family(
    architectures=("eurobert",),
    model_types=("eurobert",),
    spellings=(Spelling("model.", ""),),
    left_out=_LEFT_OUT,
)
