"""bert and what llama.cpp calls bert: roberta, xlm-roberta and distilbert too.

Facts: llama.cpp's converter, classes ``BertModel``, ``RobertaModel``, ``XLMRobertaModel`` and
``DistilBertModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transforms import AsStored, Part, Transform
from .family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["BERT"]


def _positions(facts: Facts, _: int | None) -> Transform:
    # roberta counts positions from pad_token_id + 1 on: the rows before it are never used
    padding = facts.config.get("pad_token_id")
    if facts.config.get("model_type") not in ("roberta", "xlm-roberta") or type(padding) is not int:
        return AsStored()
    return Part(padding + 1, None, f"rows from {padding + 1} on (pad_token_id + 1)")


def _has_labels(facts: Facts) -> bool:
    # the converter writes the labels of a classifier that has real ones, and then this name
    return "bert.classifier.output_labels" in facts.metadata


_POOLER = "the pooler: llama.cpp takes embeddings from the last layer"
_MASKED_WORDS = "the head for masked words: llama.cpp makes embeddings only"

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
    left_out=(
        LeftOut("embeddings.position_ids", "the numbers 0, 1, 2, ...: no weight"),
        LeftOut("pooler.dense.weight", _POOLER),
        LeftOut("pooler.dense.bias", _POOLER),
        LeftOut("cls.predictions*", _MASKED_WORDS),
        LeftOut("vocab_*", _MASKED_WORDS),
        LeftOut("lm_head.*", _MASKED_WORDS),
        LeftOut(
            "cls.seq_relationship*",
            "the head for the next sentence: llama.cpp makes embeddings only",
        ),
    ),
    rows=(
        Row("embeddings.position_embeddings.weight", transform=_positions),
        Row("classifier.weight", to="classifier.out_proj.weight", when=_has_labels),
        Row("classifier.bias", to="classifier.out_proj.bias", when=_has_labels),
    ),
)
