"""What ``config.json`` would say of the projectors in files, a function for each family.

Each says it of the keys and shapes of a file (`FileSide` of "clip"): of the whole model, but for
the language model. It is the way back from what the neighbouring files write.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from .side import SCALE

if TYPE_CHECKING:
    from ..hyperparameters.file_side import FileSide

__all__ = [
    "exaone", "gemma3", "gemma4", "glm4v", "idefics3", "internvl", "lfm2", "llama4", "llava",
    "minicpmv", "paddleocr", "pixtral", "qwen2_audio", "qwen2vl", "qwen3vl", "qwen25vl", "qwen35",
    "whisper",
]  # fmt: skip


def _sight(file: FileSide, **others: str) -> dict[str, Any]:
    """Gather what every encoder of images has; some call it otherwise."""
    found = {
        "hidden_size": file.count("vision.embedding_length", least=1),
        "intermediate_size": file.count("vision.feed_forward_length", least=1),
        "num_hidden_layers": _layers(file, "vision"),
        "num_attention_heads": file.count("vision.attention.head_count", least=1),
        "image_size": file.count("vision.image_size", least=1),
        "patch_size": file.count("vision.patch_size", least=1),
        "layer_norm_eps": file.number("vision.attention.layer_norm_epsilon"),
    }
    return {others.get(name, name): value for name, value in found.items()}


def _hearing(file: FileSide, *names: str) -> dict[str, Any]:
    """Gather what every encoder of sounds has that is made from Whisper's."""
    width, inside, layers, heads = names
    return {
        width: file.count("audio.embedding_length", least=1),
        inside: file.count("audio.feed_forward_length", least=1),
        layers: _layers(file, "audio"),
        heads: file.count("audio.attention.head_count", least=1),
        "num_mel_bins": file.count("audio.num_mel_bins", least=1),
        "max_source_positions": file.shape("a.position_embd.weight")[0],
    }


def _layers(file: FileSide, part: str) -> int:
    """Count the layers of an encoder: no more than there are tensors."""
    key = f"{part}.block_count"
    number = file.count(key, least=1)
    if number > len(file.shapes):
        raise file.wrong(key, f"no more layers than the file has tensors, {len(file.shapes)}")
    return number


def _activation(file: FileSide) -> str:
    return "silu" if file.flag("use_silu", False) else "gelu"


def _side_in_patches(file: FileSide) -> int:
    size = file.count("vision.image_size", least=1)
    return size // file.count("vision.patch_size", least=1)


def gemma3(file: FileSide) -> dict[str, Any]:
    """Say it of Gemma 3."""
    tokens = _side_in_patches(file) // file.count(SCALE, 4, least=1)
    return {
        "vision_config": {**_sight(file), "vision_use_head": False},
        "mm_tokens_per_image": tokens * tokens,
    }


def gemma4(file: FileSide) -> dict[str, Any]:
    """Say it of Gemma 4, which may hear."""
    vision = _sight(file, layer_norm_eps="rms_norm_eps")
    del vision["image_size"]  # images have any
    heads = vision["num_attention_heads"]
    return {
        "vision_config": {
            **vision,
            "num_key_value_heads": heads,
            "head_dim": vision["hidden_size"] // heads,
            "position_embedding_size": file.shape("v.position_embd.weight")[-2:][0],
            "standardize": file.tensor("v.std_bias"),
            "use_clipped_linears": file.tensor("v.*.input_max"),
        },
        "audio_config": _gemma4_hears(file) if file.has("audio.block_count") else None,
    }


def _gemma4_hears(file: FileSide) -> dict[str, Any]:
    return {
        "hidden_size": file.count("audio.embedding_length", least=1),
        "num_hidden_layers": _layers(file, "audio"),
        "num_attention_heads": file.count("audio.attention.head_count", least=1),
        "rms_norm_eps": file.number("audio.attention.layer_norm_epsilon"),
        "subsampling_conv_channels": [file.shape(f"a.conv1d.{n}.weight")[0] for n in (0, 1)],
        "conv_kernel_size": file.shape("a.blk.0.conv_dw.weight")[-1],
        "output_proj_dims": file.shape("a.pre_encode.out.weight")[0],
        "use_clipped_linears": file.tensor("a.*.input_max"),
    }


def idefics3(file: FileSide) -> dict[str, Any]:
    """Say it of Idefics 3 and SmolVLM."""
    return {"vision_config": _sight(file), "scale_factor": file.count(SCALE, least=1)}


def _pixtral(file: FileSide) -> dict[str, Any]:
    vision = _sight(file)
    del vision["layer_norm_eps"]  # stands in its class
    return {
        "vision_config": {
            **vision,
            "model_type": "pixtral",
            "head_dim": vision["hidden_size"] // vision["num_attention_heads"],
            "hidden_act": _activation(file),
        },
        "multimodal_projector_bias": file.tensor("mm.1.bias"),
    }


def llava(file: FileSide) -> dict[str, Any]:
    """Say it of Pixtral, of which each patch is a token."""
    chosen = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    return {**_pixtral(file), **chosen}


def pixtral(file: FileSide) -> dict[str, Any]:
    """Say it of Pixtral in Mistral Small 3.1 and LightOnOCR."""
    if not file.tensor("mm.patch_merger.weight"):
        raise file.unsupported("a Pixtral that merges no patches is none of Mistral 3")
    return {
        **_pixtral(file),
        "spatial_merge_size": file.count("vision.spatial_merge_size", least=1),
    }


def internvl(file: FileSide) -> dict[str, Any]:
    """Say it of InternVL."""
    vision, scale = _sight(file), file.count(SCALE, least=1)
    tokens = _side_in_patches(file) // scale
    return {
        "vision_config": {
            **vision,
            "image_size": [vision["image_size"]] * 2,
            "patch_size": [vision["patch_size"]] * 2,
            "attention_bias": file.tensor("v.blk.0.attn_q.bias"),
            "use_qk_norm": file.tensor("v.blk.0.attn_q_norm.weight"),
            "norm_type": "layer_norm" if file.tensor("v.blk.0.ln1.bias") else "rms_norm",
            "hidden_act": _activation(file),
        },
        "downsample_ratio": 1 / scale,
        "image_seq_length": tokens * tokens,
    }


def llama4(file: FileSide) -> dict[str, Any]:
    """Say it of Llama 4."""
    return {
        "vision_config": {
            **_sight(file, layer_norm_eps="norm_eps"),
            "pixel_shuffle_ratio": 1 / file.count(SCALE, least=1),
            "vision_output_dim": file.shape("mm.model.fc.weight")[-1],
            "projector_input_dim": file.shape("mm.model.mlp.1.weight")[0],
            "projector_output_dim": file.shape("mm.model.mlp.2.weight")[0],
        }
    }


def lfm2(file: FileSide) -> dict[str, Any]:
    """Say it of LFM2-VL."""
    vision = _sight(file)
    del vision["image_size"]  # images have any
    return {
        "vision_config": {
            **vision,
            "num_patches": file.shape("v.position_embd.weight")[0],
            "vision_use_head": False,
        },
        "downsample_factor": file.count(SCALE, least=1),
        "projector_hidden_size": file.shape("mm.1.weight")[0],
        "projector_use_layernorm": file.tensor("mm.input_norm.weight"),
        "projector_bias": file.tensor("mm.1.bias"),
    }


def _with_places(file: FileSide) -> dict[str, Any]:
    """Gather the same where the size in the file is another than that of the learned positions."""
    vision = _sight(file)
    side = isqrt(file.shape("v.position_embd.weight")[0])
    return {**vision, "image_size": side * vision["patch_size"]}


def minicpmv(file: FileSide) -> dict[str, Any]:
    """Say it of MiniCPM-V 4.6."""
    if file.count(SCALE, 4) != 4:
        raise file.unsupported("a projector that keeps four times as many tokens (4x)")
    (layer,) = file.counts("vision.wa_layer_indexes", 1)
    return {"vision_config": _with_places(file), "insert_layer_id": layer}


def paddleocr(file: FileSide) -> dict[str, Any]:
    """Say it of PaddleOCR-VL."""
    return {"vision_config": _with_places(file)}


def _qwen(file: FileSide) -> dict[str, Any]:
    """Gather what the encoders of Qwen-VL and GLM-4V have in common."""
    return {
        "depth": _layers(file, "vision"),
        "hidden_size": file.count("vision.embedding_length", least=1),
        "out_hidden_size": file.count("vision.projection_dim", least=1),
        "intermediate_size": file.shape("v.blk.0.ffn_down.weight")[-1],
        "num_heads": file.count("vision.attention.head_count", least=1),
        "patch_size": file.count("vision.patch_size", least=1),
    }


def qwen2vl(file: FileSide) -> dict[str, Any]:
    """Say it of Qwen2-VL."""
    vision = _qwen(file)
    width, inside = vision.pop("hidden_size"), vision.pop("intermediate_size")
    if inside % width:
        raise file.unsupported(f"layers {inside} wide inside, which is no multiple of {width}")
    vision |= {"embed_dim": width, "mlp_ratio": inside // width}
    return {"vision_config": {**vision, "hidden_size": vision.pop("out_hidden_size")}}


def qwen25vl(file: FileSide) -> dict[str, Any]:
    """Say it of Qwen2.5-VL."""
    vision, step = _qwen(file), file.count("vision.n_wa_pattern", least=1)
    whole = [*range(step - 1, vision["depth"], step)]
    # of videos, which llama.cpp does not see: as in all models that were published
    built_in = {"tokens_per_second": 2}
    return {"vision_config": {**vision, "fullatt_block_indexes": whole, **built_in}}


def exaone(file: FileSide) -> dict[str, Any]:
    """Say it of EXAONE 4.5."""
    (vision,) = qwen25vl(file).values()
    del vision["tokens_per_second"]
    heads = file.count("vision.attention.head_count_kv", least=1)
    return {"vision_config": {**vision, "num_key_value_heads": heads}}


def qwen35(file: FileSide) -> dict[str, Any]:
    """Say it of Qwen3.5, dense and with experts."""
    positions = file.shape("v.position_embd.weight")[0]
    merged = file.count("vision.spatial_merge_size", 2, least=1)
    more = {"num_position_embeddings": positions, "spatial_merge_size": merged}
    return {"vision_config": {**_qwen(file), **more}}


def qwen3vl(file: FileSide) -> dict[str, Any]:
    """Say it of Qwen3-VL, dense and with experts."""
    found = qwen35(file)
    layers = range(found["vision_config"]["depth"])
    deep = [n for n in layers if file.tensor(f"v.deepstack.{n}.norm.weight")]
    found["vision_config"]["deepstack_visual_indexes"] = deep
    return found


def glm4v(file: FileSide) -> dict[str, Any]:
    """Say it of GLM-4V."""
    return {
        "vision_config": {
            **_qwen(file),
            "intermediate_size": file.count("vision.feed_forward_length", least=1),
            "image_size": file.count("vision.image_size", least=1),
            "rms_norm_eps": file.number("vision.attention.layer_norm_epsilon"),
            "hidden_act": _activation(file),
        }
    }


def qwen2_audio(file: FileSide) -> dict[str, Any]:
    """Say it of Qwen2-Audio."""
    names = ("d_model", "encoder_ffn_dim", "encoder_layers", "encoder_attention_heads")
    return {"audio_config": _hearing(file, *names)}


def whisper(file: FileSide) -> dict[str, Any]:
    """Say it of Audio Flamingo 3 and Voxtral."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return {"audio_config": _hearing(file, *names)}
