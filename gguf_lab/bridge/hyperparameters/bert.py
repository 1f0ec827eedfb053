"""bert (roberta, xlm-roberta and distilbert too) and nomic-bert.

Facts: llama.cpp's converter, classes ``BertModel``, ``DistilBertModel``, ``RobertaModel``,
``XLMRobertaModel`` and ``NomicBertModel``. It cuts the rows off roberta's positions that nothing
reaches; what is left is a bert, and read as one. Heads of the pretraining aren't written, and
poolers only where they are the layer below a classifier (there it forgets them). llama.cpp computes
GELU by the tanh formula; the models are trained with the exact one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import OPTIONAL_HEAD_DIM, base, implied
from .config_side import ConfigSide, refuse
from .family import Family, Implied, Rule, Written, always

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .file_side import FileSide

__all__ = ["BERT", "NOMIC_BERT"]

_FROM_PADDING = ("roberta", "xlm-roberta")
_MOST_LABELS = 100_000
_CLASSIFIER = "BertForSequenceClassification"
_SCORES = ("cls.weight", "cls.output.weight")


def _positions_to_file(config: ConfigSide) -> Mapping[str, object]:
    length, first = config.count("max_position_embeddings"), 0
    if config.find("model_type") in _FROM_PADDING and config.find("pad_token_id") is not None:
        first = config.count("pad_token_id") + 1
    if first > length:
        raise config.wrong("max_position_embeddings", length, f"at least {first}")
    return {"context_length": length - first}


def _positions_to_config(file: FileSide) -> Mapping[str, object]:
    return {"max_position_embeddings": file.shape("position_embd.weight")[0]}


def _labels_to_file(config: ConfigSide) -> Mapping[str, object]:
    labels = config.find("id2label")
    if labels and not isinstance(labels, dict):
        raise config.wrong("id2label", labels, "a name for each number")
    if not labels:
        return {}
    # Transformers makes up two for any model; what scores a text is loaded by their number
    if len(labels) == 2 and labels.get(0) == "LABEL_0" and not _is_classifier(config):
        return {}
    return {"classifier.output_labels": [text for _, text in sorted(labels.items())]}


def _is_classifier(config: ConfigSide) -> bool:
    kinds = config.find("architectures")
    return isinstance(kinds, list) and any(
        str(kind).endswith("ForSequenceClassification") for kind in kinds
    )


def _labels_to_config(file: FileSide) -> Mapping[str, object]:
    if not file.has("classifier.output_labels"):
        return {}
    labels = file.texts("classifier.output_labels", _MOST_LABELS)
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _classifier_to_config(file: FileSide) -> Mapping[str, object]:
    """Read what scores a text as what it is, also where it was another kind's: they are alike."""
    if _bert_type(file) != "bert" or not all(map(file.tensor, _SCORES)):
        return {}
    return {"architectures": [_CLASSIFIER], "num_labels": file.shape(_SCORES[1])[0]}


def _epsilon(config: ConfigSide) -> Mapping[str, object]:
    return {"attention.layer_norm_epsilon": 1e-12} if config.find("dim") is not None else {}


def _no_adapters(config: ConfigSide) -> Mapping[str, object]:
    if config.find("lora_adaptations"):
        raise refuse("jina-embeddings-v3, whose adapters llama.cpp keeps in files of their own")
    return {}


def _types_to_config(file: FileSide) -> Mapping[str, object]:
    return {"type_vocab_size": file.shape("token_types.weight")[0]}


def _spelled(file: FileSide) -> Mapping[str, object]:
    """Write the sizes once more as distilbert calls them."""
    if _bert_type(file) == "bert":
        return _types_to_config(file)
    return {
        "activation": "gelu",
        "n_layers": file.layers(),
        "n_heads": file.count("attention.head_count", least=1),
        "dim": file.count("embedding_length", least=1),
        "hidden_dim": file.count("feed_forward_length", least=1),
    }


def _is_distilled(config: ConfigSide) -> bool:
    return bool(config.find("model_type") == "distilbert")


def _bert_type(file: FileSide) -> str:
    return "bert" if file.tensor("token_types.weight") else "distilbert"


BERT = Family(
    architectures=("bert",),
    classes={"bert": "BertModel", "distilbert": "DistilBertModel"},
    also=_FROM_PADDING,
    model_type=_bert_type,
    lines=base(
        Rule(_no_adapters),
        Rule(_positions_to_file, _positions_to_config),
        Rule(_epsilon),
        Written("attention.causal", False),
        Rule(to_config=_classifier_to_config),
        Rule(_labels_to_file, _labels_to_config),
        Rule(to_config=_spelled),
        *implied(hidden_act="gelu"),
        Implied("activation", "gelu", when=_is_distilled),
        Implied("is_decoder", False, when=always),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    without=("num_key_value_heads", "rope_parameters"),
)


def _nomic_architecture(config: ConfigSide) -> str:
    return "nomic-bert-moe" if config.find("moe_every_n_layers") else "nomic-bert"


def _nomic_context(config: ConfigSide) -> Mapping[str, object]:
    if config.find("max_position_embeddings") is not None:
        return {}
    # as they were trained, which is shorter than what n_positions allows
    trained = {8192: 2048, 2048: 512}
    length = config.count("n_positions")
    if length not in trained:
        raise config.wrong("n_positions", length, "8192 or 2048, the published ones")
    return {"context_length": trained[length]}


def _nomic_experts(config: ConfigSide) -> Mapping[str, object]:
    if not config.find("moe_every_n_layers"):
        return {}
    return {
        "moe_every_n_layers": config.count("moe_every_n_layers"),
        "expert_used_count": config.count("moe_top_k"),
    }


def _nomic_type(file: FileSide) -> str:
    if file.architecture == "nomic-bert-moe":
        raise file.unsupported("Transformers has no nomic-bert with experts")
    return "nomic_bert"


def _nomic_padding(file: FileSide) -> Mapping[str, object]:
    # its class insists on one, and uses it only to draw the first weights of a training
    return {} if file.has("tokenizer.ggml.padding_token_id") else {"pad_token_id": 0}


NOMIC_BERT = Family(
    architectures=("nomic-bert", "nomic-bert-moe"),
    classes={"nomic_bert": "NomicBertModel"},
    architecture=_nomic_architecture,
    model_type=_nomic_type,
    lines=base(
        Rule(_nomic_context),
        Written("attention.causal", False),
        Rule(_nomic_experts),
        Rule(to_config=_types_to_config),
        Rule(to_config=_nomic_padding),
        *implied(hidden_act="silu"),
    ),
    without=("num_key_value_heads",),
    # the class of Transformers doesn't know the names of the published checkpoints
    as_saved=lambda config: "n_embd" in config and "hidden_size" not in config,
)
