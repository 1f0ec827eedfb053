"""What Transformers sees in an image and hears in a sound, with the small models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .small_encoders import ENCODERS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

MEAN, STD = [0.4, 0.5, 0.6], [0.25, 0.3, 0.35]
BREAK = 12
RATE = 16000
SEEING = [kind for kind, (_, _, size) in ENCODERS.items() if size[0]]


def processor(kind: str, folder: Path) -> Path:
    """Write what an export looks up in the files of a processor."""
    longest = {"longest_edge": ENCODERS[kind][2][0]}
    pixels = {"min_pixels": 784, "max_pixels": 1 << 20, "scale_resolution": 112}
    said = {"image_mean": MEAN, "image_std": STD, "size": longest, **pixels}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": {str(BREAK): {"content": "[IMG_BREAK]"}}})
    )
    return folder


def patches(kind: str, image: Any) -> dict[str, Any]:
    """An image as Transformers gives it to a model of this type."""
    import torch

    height, width = image.shape[-2:]
    if kind.startswith(("qwen", "glm", "exaone")):
        down, across = height // 14, width // 14
        twice = image.repeat(2, 1, 1, 1).reshape(1, 2, 3, down // 2, 2, 14, across // 2, 2, 14)
        rows = twice.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(down * across, -1)
        return {"pixel_values": rows, "image_grid_thw": torch.tensor([[1, down, across]])}
    if kind == "minicpmv4_6":
        down, across = height // 14, width // 14
        cut = image.reshape(3, down, 14, across, 14).permute(0, 2, 1, 3, 4)
        size = torch.tensor([[down, across]], dtype=torch.int32)
        return {"pixel_values": cut.reshape(1, 3, 14, -1), "target_sizes": size}
    if kind == "paddleocr_vl":
        down, across = height // 14, width // 14
        cut = image.reshape(3, down, 14, across, 14).permute(1, 3, 0, 2, 4)
        rows = cut.reshape(down * across, 3, 14, 14)
        return {"pixel_values": rows, "image_grid_thw": torch.tensor([[1, down, across]])}
    if kind == "gemma4":
        down, across = height // 16, width // 16
        cut = image.reshape(3, down, 16, across, 16).permute(1, 3, 2, 4, 0)
        columns, rows = torch.arange(across).repeat(down), torch.arange(down)
        places = torch.stack([columns, rows.repeat_interleave(across)], 1)
        return {
            "pixel_values": cut.reshape(1, down * across, -1),
            "image_position_ids": places[None],
        }
    if kind == "lfm2_vl":
        down, across = height // 16, width // 16
        cut = image.reshape(3, down, 16, across, 16).permute(1, 3, 2, 4, 0)
        return {
            "pixel_values": cut.reshape(1, down * across, -1),
            "spatial_shapes": torch.tensor([[down, across]]),
            "pixel_attention_mask": torch.ones(1, down * across, dtype=torch.long),
        }
    if kind in {"llava", "mistral3", "lighton_ocr"}:
        return {"pixel_values": image, "image_sizes": torch.tensor([[height, width]])}
    return {"pixel_values": image[None] if kind == "idefics3" else image}


def due_of_image(kind: str, model: Any, image: Any) -> np.ndarray:
    import torch

    with torch.no_grad():
        sees = model.model if kind == "janus" else model
        found = sees.get_image_features(**patches(kind, image))
        if kind == "llama4":
            hidden = found.last_hidden_state
            rows = model.multi_modal_projector(hidden.reshape(-1, hidden.shape[-1]))
            # llama.cpp goes through the image column by column, of which the export warns
            return rows.reshape(2, 2, -1).transpose(0, 1).reshape(4, -1).numpy()
        rows = found.pooler_output
    rows = torch.cat([*rows]) if isinstance(rows, list | tuple) else rows
    parts = [
        rows,
        *(torch.cat([*part]) for part in getattr(found, "deepstack_features", None) or ()),
    ]
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts], 1).numpy()


def read_around(kind: str, model: Any, image: Any) -> np.ndarray:
    """The logits of a text with an image within: what is seen stands in the place of token 7."""
    import inspect

    import torch

    for part in (model.config, *model.modules()):
        for name in ("image_token_id", "image_token_index"):
            if type(getattr(part, name, None)) is int:
                setattr(part, name, 7)
    count = len(due_of_image(kind, model, image))
    tokens = torch.tensor([[1, 5, 11, *[7] * count, 9, 3, 12]])
    known = inspect.signature(model.forward).parameters
    kinds = {name: (tokens == 7).long() for name in ("mm_token_type_ids", "token_type_ids")}
    told = {name: values for name, values in kinds.items() if name in known}
    mask = torch.ones_like(tokens)
    with torch.no_grad():
        found = model(input_ids=tokens, attention_mask=mask, **patches(kind, image), **told)
    logits: np.ndarray = found.logits[0].numpy()
    return logits


def due_of_sound(kind: str, model: Any, sound: np.ndarray) -> np.ndarray:
    import torch
    from transformers import Gemma4AudioFeatureExtractor, WhisperFeatureExtractor

    extractor = (
        Gemma4AudioFeatureExtractor()
        if kind == "gemma4"
        else WhisperFeatureExtractor(feature_size=80)
    )
    heard = extractor([sound], sampling_rate=RATE, return_tensors="pt")
    part = getattr(model, "model", model)
    with torch.no_grad():
        if kind == "gemma4":
            found = part.get_audio_features(heard.input_features, heard.input_features_mask)
            return found.pooler_output[0].numpy()
        masks = [torch.ones(1, 3000, dtype=torch.long)] if kind == "audioflamingo3" else []
        hidden = part.audio_tower(heard.input_features, *masks).last_hidden_state
        if kind == "voxtral":  # four frames are joined
            hidden = hidden.reshape(1, -1, 4 * hidden.shape[-1])
        return part.multi_modal_projector(hidden)[0].numpy()
