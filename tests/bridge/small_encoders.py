"""Small random models of Transformers that see or hear: nobody's weights."""

from __future__ import annotations

from typing import Any

from .small_models import LINEAR, shaken

WIDTH = 64
"""Of the language model."""

_TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SIGHT = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}
_QWEN = {
    "depth": 4,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_TURNED = {"rope_parameters": {"rope_type": "default", "mrope_section": [3, 3, 2]}}
_PART = {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
# llama.cpp (llama-cpp-python 0.3.36) reads no epsilon of qwen2vl, and takes 0
_NO_EPSILON = {**_TURNED, "rms_norm_eps": 1e-30}
_QWEN35 = {
    **_QWEN,
    "hidden_size": 64,
    "out_hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_position_embeddings": 64,
}
_RECURRENT = {
    **_TEXT,
    **LINEAR,
    "num_hidden_layers": 3,
    "rope_parameters": _TURNED["rope_parameters"] | _PART | {"partial_rotary_factor": 0.25},
}
_GLM: dict[str, Any] = {
    "vision_config": {
        "depth": 3,
        "hidden_size": 48,
        "intermediate_size": 80,
        "out_hidden_size": WIDTH,
        "num_heads": 2,
        "image_size": 112,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "text_config": {**_TEXT, "rope_parameters": _TURNED["rope_parameters"] | _PART},
}
_HEARING = {
    "hidden_size": 48,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "d_model": 48,
    "encoder_ffn_dim": 192,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
}

ENCODERS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "gemma3": (
        "Gemma3ForConditionalGeneration",
        {
            "vision_config": _SIGHT,
            "text_config": {**_TEXT, "query_pre_attn_scalar": 16},
            "mm_tokens_per_image": 4,
        },
        (56, 56),
    ),
    "gemma4": (
        "Gemma4ForConditionalGeneration",
        {
            "vision_config": {
                **_SIGHT,
                "num_key_value_heads": 4,
                "head_dim": 12,
                "patch_size": 16,
                "pooling_kernel_size": 3,
                "position_embedding_size": 64,
                "standardize": True,
            },
            "audio_config": {
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "output_proj_dims": 40,
                "subsampling_conv_channels": [128, 8],
            },
            "text_config": {
                **_TEXT,
                "num_hidden_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"],
                "global_head_dim": 24,
                "hidden_size_per_layer_input": 8,
                "vocab_size_per_layer_input": 300,
                "num_kv_shared_layers": 0,
            },
        },
        (480, 336),
    ),
    "glm4v": ("Glm4vForConditionalGeneration", _GLM, (112, 112)),
    "glm4v_moe": (
        "Glm4vMoeForConditionalGeneration",
        {
            **_GLM,
            "text_config": {
                **_GLM["text_config"],
                "num_hidden_layers": 2,
                "n_routed_experts": 4,
                "n_shared_experts": 1,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
                "first_k_dense_replace": 1,
            },
        },
        (168, 112),
    ),
    "glm_ocr": ("GlmOcrForConditionalGeneration", _GLM, (168, 112)),
    "lighton_ocr": (
        "LightOnOcrForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "model_type": "pixtral", "head_dim": 12, "image_size": 280},
            "text_config": {**_TEXT, "model_type": "qwen3"},
            "spatial_merge_size": 2,
        },
        (280, 196),
    ),
    "janus": (
        "JanusForConditionalGeneration",
        {
            "vision_config": {
                **_SIGHT,
                "mlp_ratio": 2,
                "projection_dim": WIDTH,
                "depth": 2,
                "num_image_tokens": 16,
            },
            "vq_config": {
                "embed_dim": 4,
                "num_embeddings": 5,
                "latent_channels": 8,
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 0,
                "num_patches": 4,
                "image_token_embed_dim": 16,
                "projection_dim": 16,
            },
            "text_config": {**_TEXT, "model_type": "llama"},
        },
        (56, 56),
    ),
    "idefics3": (
        "Idefics3ForConditionalGeneration",
        {
            "vision_config": _SIGHT,
            "text_config": {**_TEXT, "model_type": "llama"},
            "scale_factor": 2,
        },
        (56, 56),
    ),
    "llava": (
        "LlavaForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "model_type": "pixtral", "head_dim": 12, "image_size": 280},
            "text_config": {**_TEXT, "model_type": "mistral"},
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        },
        (70, 112),
    ),
    "mistral3": (
        "Mistral3ForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "model_type": "pixtral", "head_dim": 12, "image_size": 280},
            "text_config": {**_TEXT, "model_type": "mistral"},
            "spatial_merge_size": 2,
        },
        (168, 112),
    ),
    "internvl": (
        "InternVLForConditionalGeneration",
        {
            "vision_config": {
                **_SIGHT,
                "image_size": [56, 56],
                "patch_size": [14, 14],
                "use_qk_norm": True,
                "attention_bias": True,
            },
            "text_config": {**_TEXT, "model_type": "qwen2"},
            "downsample_ratio": 0.5,
        },
        (56, 56),
    ),
    "llama4": (
        "Llama4ForConditionalGeneration",
        {
            "vision_config": {
                **_SIGHT,
                "intermediate_size": 192,
                "vision_output_dim": 40,
                "projector_input_dim": 40,
                "projector_output_dim": 40,
                "pixel_shuffle_ratio": 0.5,
            },
            "text_config": {
                **_TEXT,
                "num_hidden_layers": 4,
                "intermediate_size_mlp": 96,
                "num_local_experts": 2,
                "interleave_moe_layer_step": 2,
            },
        },
        (56, 56),
    ),
    "lfm2_vl": (
        "Lfm2VlForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "patch_size": 16, "num_patches": 256},
            "text_config": {
                **_TEXT,
                "num_hidden_layers": 2,
                "layer_types": ["conv", "full_attention"],
                "model_type": "lfm2",
            },
            "downsample_factor": 2,
            "projector_hidden_size": 56,
        },
        (256, 256),
    ),
    "minicpmv4_6": (
        "MiniCPMV4_6ForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "image_size": 980},
            "text_config": {**_RECURRENT, "model_type": "qwen3_5_text"},
            "insert_layer_id": 1,
        },
        (112, 112),
    ),
    "paddleocr_vl": (
        "PaddleOCRVLForConditionalGeneration",
        {
            "vision_config": {**_SIGHT, "spatial_merge_size": 2},
            "text_config": {**_TEXT, **_TURNED},
        },
        (168, 112),
    ),
    "qwen2_vl": (
        "Qwen2VLForConditionalGeneration",
        {
            "vision_config": {**_QWEN, "embed_dim": 64, "hidden_size": WIDTH, "mlp_ratio": 2},
            "text_config": {**_TEXT, **_NO_EPSILON},
        },
        (168, 112),
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        {
            "vision_config": {
                **_QWEN,
                "hidden_size": 64,
                "out_hidden_size": WIDTH,
                "intermediate_size": 96,
                "fullatt_block_indexes": [1, 3],
            },
            "text_config": {**_TEXT, **_NO_EPSILON},
        },
        (168, 280),
    ),
    "exaone4_5": (
        "Exaone4_5_ForConditionalGeneration",
        {
            "vision_config": {
                **_QWEN,
                "hidden_size": 64,
                "out_hidden_size": WIDTH,
                "intermediate_size": 96,
                "num_key_value_heads": 1,
                "fullatt_block_indexes": [1, 3],
            },
            "text_config": {
                **_TEXT,
                "model_type": "exaone4",
                "sliding_window": None,
                "layer_types": ["full_attention"],
            },
        },
        (168, 280),
    ),
    "qwen3_vl": (
        "Qwen3VLForConditionalGeneration",
        {
            "vision_config": {
                **_QWEN,
                "hidden_size": 64,
                "out_hidden_size": WIDTH,
                "intermediate_size": 96,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [0, 2],
            },
            "text_config": {**_TEXT, **_TURNED},
        },
        (168, 112),
    ),
    "qwen3_5": (
        "Qwen3_5ForConditionalGeneration",
        {"vision_config": _QWEN35, "text_config": _RECURRENT},
        (168, 112),
    ),
    "qwen3_5_moe": (
        "Qwen3_5MoeForConditionalGeneration",
        {
            "vision_config": _QWEN35,
            "text_config": {
                **_RECURRENT,
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
                "shared_expert_intermediate_size": 32,
            },
        },
        (168, 112),
    ),
    "qwen3_vl_moe": (
        "Qwen3VLMoeForConditionalGeneration",
        {
            "vision_config": {
                **_QWEN,
                "hidden_size": 64,
                "out_hidden_size": WIDTH,
                "intermediate_size": 96,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [1],
            },
            "text_config": {
                **_TEXT,
                **_TURNED,
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 24,
            },
        },
        (112, 112),
    ),
    "qwen2_audio": (
        "Qwen2AudioForConditionalGeneration",
        {
            "audio_config": {**_HEARING, "model_type": "qwen2_audio_encoder"},
            "text_config": {**_TEXT, "model_type": "qwen2"},
        },
        (0, 0),
    ),
    "voxtral": (
        "VoxtralForConditionalGeneration",
        {
            "audio_config": {**_HEARING, "model_type": "voxtral_encoder"},
            "text_config": {**_TEXT, "model_type": "llama"},
        },
        (0, 0),
    ),
    "audioflamingo3": (
        "AudioFlamingo3ForConditionalGeneration",
        {
            "audio_config": {**_HEARING, "model_type": "audioflamingo3_encoder"},
            "text_config": {**_TEXT, "model_type": "qwen2"},
        },
        (0, 0),
    ),
}
"""``model_type`` to the class, its settings, and the width and height of an image."""

READING = [kind for kind in ENCODERS if kind not in {"glm4v_moe", "glm_ocr"}]
"""Those of which the language model is exported, too."""


def encoder(kind: str, **vision: Any) -> Any:
    """One of `ENCODERS` in float32, with other settings for what sees or hears."""
    import torch
    import transformers

    torch.manual_seed(0)
    name, settings, _ = ENCODERS[kind]
    part = "vision_config" if "vision_config" in settings else "audio_config"
    settings = {**settings, part: {**settings[part], **vision}}
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = shaken(getattr(transformers, name)(config).float())
    for name, limit in model.named_buffers():
        if name.endswith(("put_min", "put_max")):  # of what gemma 4's layers let through
            limit.fill_(4 if name.endswith("max") else -4)
    return model
