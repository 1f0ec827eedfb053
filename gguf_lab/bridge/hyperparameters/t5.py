"""t5, mt5 and umt5: an encoder and a decoder.

Facts: llama.cpp's converter, class ``T5Model``, and its graph: with a gate GELU, without ReLU. The
first t5 has no gate, one matrix for input and output, and scales what comes out of the decoder;
no key says so, and llama.cpp leaves it (the order of the logits is the same; export warns of it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import LAYERS, implied
from .config_side import refuse
from .family import Family, Implied, Pair, Rule, always
from .file_side import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .family import Line
    from .file_side import FileSide

__all__ = ["T5", "T5ENCODER"]

_ASSUMED_LENGTH = 512


def _length(config: ConfigSide) -> Mapping[str, object]:
    length = config.find("n_positions")
    return {"context_length": _ASSUMED_LENGTH if length is None else length}


def _length_to_config(file: FileSide) -> Mapping[str, object]:
    return {"n_positions": file.count("context_length", _ASSUMED_LENGTH)}


def _decoder(config: ConfigSide) -> Mapping[str, object]:
    start, number = config.find("decoder_start_token_id"), config.find("num_decoder_layers")
    # the padding token is where decoders of this family start
    written = {"decoder_start_token_id": config.count("pad_token_id") if start is None else start}
    if number is None:
        return written
    if config.count("num_decoder_layers") > config.layers():
        raise refuse("a t5 with more layers in its decoder than before it: llama.cpp loads none")
    return {**written, "decoder_block_count": number}


def _decoder_to_config(file: FileSide) -> Mapping[str, object]:
    return {
        "num_decoder_layers": file.count("decoder_block_count", file.layers(), least=1),
        "decoder_start_token_id": file.count("decoder_start_token_id", 0),
        "is_encoder_decoder": True,
    }


def _sizes(config: ConfigSide) -> Mapping[str, object]:
    # llama.cpp has these two built in
    if config.find("relative_attention_max_distance") not in (None, 128):
        raise refuse("a t5 with relative_attention_max_distance other than 128")
    size, epsilon = config.count("d_kv"), config.number("layer_norm_epsilon")
    return {
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_epsilon": epsilon,
        "attention.layer_norm_rms_epsilon": epsilon,
    }


def _sizes_to_config(file: FileSide) -> Mapping[str, object]:
    if file.count("attention.value_length", file.head_size()) != file.head_size():
        raise file.unsupported("keys and values are of different sizes")
    gated = file.tensor("enc.blk.*.ffn_gate.weight")
    found: dict[str, object] = {
        "d_kv": file.head_size(),
        "layer_norm_epsilon": file.number("attention.layer_norm_rms_epsilon"),
        "feed_forward_proj": "gated-gelu" if gated else "relu",
    }
    if _model_type(file) == "t5":
        plain = file.has("logit_scale") and file.number("logit_scale") == 1
        found["tie_word_embeddings"] = not (gated or plain or file.tensor("output.weight"))
    return found


def _scale(config: ConfigSide) -> Mapping[str, object]:
    """Tell, with a key that llama.cpp passes over, what looks like the first t5 and does not scale.

    It is for the way back alone: llama.cpp never scales.
    """
    scales = config.find("model_type") == "umt5" or bool(config.find("scale_decoder_outputs"))
    is_clear = scales or _has_gate(config) or "lm_head.weight" in config.names
    return {} if is_clear else {"logit_scale": 1.0}


def _has_gate(config: ConfigSide) -> bool:
    return bool(config.find("is_gated_act"))


def _has_none(config: ConfigSide) -> bool:
    return not _has_gate(config)


def _scales_as_tied(config: ConfigSide) -> bool:
    return config.find("model_type") == "umt5" and bool(config.find("tie_word_embeddings"))


def _model_type(file: FileSide) -> str:
    # in t5 the first layer's table of distances serves all, in umt5 each layer has its own
    return "umt5" if file.tensor("*.blk.1.attn_rel_b.weight") else "t5"


_SHARED: tuple[Line, ...] = (
    Rule(_length, _length_to_config),
    Pair("embedding_length", ("d_model",), needed=True, absent=REQUIRED),
    Pair("feed_forward_length", ("d_ff",), needed=True, absent=REQUIRED),
    LAYERS,
    Pair("attention.head_count", ("num_heads",), needed=True, absent=REQUIRED),
    Pair(
        "attention.relative_buckets_count",
        ("relative_attention_num_buckets",),
        needed=True,
        absent=REQUIRED,
    ),
    Rule(_sizes, _sizes_to_config),
    Implied("dense_act_fn", "gelu", when=_has_gate),
    Implied("dense_act_fn", "relu", when=_has_none),
)

T5 = Family(
    architectures=("t5",),
    classes={"t5": "T5ForConditionalGeneration", "umt5": "UMT5ForConditionalGeneration"},
    also=("mt5",),
    model_type=_model_type,
    lines=(
        *_SHARED,
        Rule(_decoder, _decoder_to_config),
        Rule(_scale),
        Implied("scale_decoder_outputs", False, when=always),
        Implied("tie_word_embeddings", "logits that aren't scaled", when=_scales_as_tied),
    ),
    spelled={"num_hidden_layers": "num_layers"},
)

T5ENCODER = Family(
    architectures=("t5encoder",),
    classes={"t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"},
    model_type=_model_type,
    lines=(*_SHARED, *implied(is_encoder_decoder=False)),
    spelled={"num_hidden_layers": "num_layers"},
)
