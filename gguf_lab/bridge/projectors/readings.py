"""Which projectors are read beside which language models, and as what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..hyperparameters.file_side import FileSide

__all__ = ["READINGS", "UNMERGED", "Reading"]

UNMERGED = "pixtral without a merger"
"""Pixtral before Mistral Small 3.1: each patch is a token."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a projector is read beside a language model.

    Attributes
    ----------
    model_type : str
        In ``config.json``.
    kind : str
        The class of Transformers.
    settings : callable
        Of the whole, without those of the language model.
    tokens : Mapping of str to str
        Settings that are numbers of tokens, with the texts of these.
    text : str
        ``model_type`` of the language model, where it is another than alone.
    """

    model_type: str
    kind: str
    settings: Callable[[FileSide], dict[str, Any]]
    tokens: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


_QWEN_PADS = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
_QWEN_TOKENS = {
    **_QWEN_PADS,
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_MISTRAL3 = Reading(
    "mistral3", "Mistral3ForConditionalGeneration", reading.pixtral, {"image_token_index": "[IMG]"}
)
_INTERNVL = Reading(
    "internvl",
    "InternVLForConditionalGeneration",
    reading.internvl,
    {"image_token_id": "<IMG_CONTEXT>"},
)

# Type of the projector, architecture of the language model. Another one would find its layers, but
# not what some do before and after them: the class of the whole has a plain head.
READINGS: dict[tuple[str, str], Reading] = {
    ("gemma3", "gemma3"): Reading(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        reading.gemma3,
        {
            "image_token_index": "<image_soft_token>",
            "boi_token_index": "<start_of_image>",
            "eoi_token_index": "<end_of_image>",
        },
    ),
    ("gemma4v", "gemma4"): Reading(
        "gemma4",
        "Gemma4ForConditionalGeneration",
        reading.gemma4,
        {
            "image_token_id": "<|image|>",
            "boi_token_id": "<|image>",
            "eoi_token_id": "<image|>",
            "audio_token_id": "<|audio|>",
            "boa_token_id": "<|audio>",
            "eoa_token_index": "<audio|>",
        },
    ),
    ("idefics3", "llama"): Reading(
        "idefics3",
        "Idefics3ForConditionalGeneration",
        reading.idefics3,
        {"image_token_id": "<image>"},
    ),
    **{("pixtral", name): _MISTRAL3 for name in ("mistral3", "llama")},
    (UNMERGED, "llama"): Reading(
        "llava", "LlavaForConditionalGeneration", reading.llava, {"image_token_index": "[IMG]"}
    ),
    **{
        ("internvl", name): _INTERNVL for name in ("llama", "qwen2", "qwen3", "qwen3moe", "gpt-oss")
    },
    ("lightonocr", "qwen3"): Reading(
        "lighton_ocr",
        "LightOnOcrForConditionalGeneration",
        reading.pixtral,
        {"image_token_id": "<|image_pad|>"},
    ),
    ("llama4", "llama4"): Reading(
        "llama4",
        "Llama4ForConditionalGeneration",
        reading.llama4,
        {
            "image_token_index": "<|patch|>",
            "boi_token_index": "<|image_start|>",
            "eoi_token_index": "<|image_end|>",
        },
    ),
    ("lfm2", "lfm2"): Reading(
        "lfm2_vl", "Lfm2VlForConditionalGeneration", reading.lfm2, {"image_token_id": "<image>"}
    ),
    ("minicpmv4_6", "qwen35"): Reading(
        "minicpmv4_6",
        "MiniCPMV4_6ForConditionalGeneration",
        reading.minicpmv,
        _QWEN_PADS,
    ),
    ("paddleocr", "paddleocr"): Reading(
        "paddleocr_vl",
        "PaddleOCRVLForConditionalGeneration",
        reading.paddleocr,
        {
            "image_token_id": "<|IMAGE_PLACEHOLDER|>",
            "vision_start_token_id": "<|IMAGE_START|>",
            "vision_end_token_id": "<|IMAGE_END|>",
        },
    ),
    ("qwen2vl_merger", "qwen2vl"): Reading(
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        reading.qwen2vl,
        _QWEN_TOKENS,
        "qwen2_vl_text",
    ),
    ("qwen2.5vl_merger", "qwen2vl"): Reading(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        reading.qwen25vl,
        _QWEN_TOKENS,
        "qwen2_5_vl_text",
    ),
    ("exaone4_5", "exaone4"): Reading(
        "exaone4_5",
        "Exaone4_5_ForConditionalGeneration",
        reading.exaone,
        _QWEN_PADS,
    ),
    ("qwen3vl_merger", "qwen3vl"): Reading(
        "qwen3_vl", "Qwen3VLForConditionalGeneration", reading.qwen3vl, _QWEN_TOKENS
    ),
    ("qwen3vl_merger", "qwen3vlmoe"): Reading(
        "qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", reading.qwen3vl, _QWEN_TOKENS
    ),
    ("qwen3vl_merger", "qwen35"): Reading(
        "qwen3_5", "Qwen3_5ForConditionalGeneration", reading.qwen35, _QWEN_TOKENS
    ),
    ("qwen3vl_merger", "qwen35moe"): Reading(
        "qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", reading.qwen35, _QWEN_TOKENS
    ),
    ("glm4v", "glm4"): Reading(
        "glm4v",
        "Glm4vForConditionalGeneration",
        reading.glm4v,
        {
            "image_token_id": "<|image|>",
            "video_token_id": "<|video|>",
            "image_start_token_id": "<|begin_of_image|>",
            "image_end_token_id": "<|end_of_image|>",
            "video_start_token_id": "<|begin_of_video|>",
            "video_end_token_id": "<|end_of_video|>",
        },
    ),
    ("qwen2a", "qwen2"): Reading(
        "qwen2_audio",
        "Qwen2AudioForConditionalGeneration",
        reading.qwen2_audio,
        {"audio_token_index": "<|AUDIO|>"},
    ),
    ("musicflamingo", "qwen2"): Reading(
        "audioflamingo3",
        "AudioFlamingo3ForConditionalGeneration",
        reading.whisper,
        {"audio_token_id": "<sound>"},
    ),
    ("voxtral", "llama"): Reading(
        "voxtral", "VoxtralForConditionalGeneration", reading.whisper, {"audio_token_id": "[AUDIO]"}
    ),
}
