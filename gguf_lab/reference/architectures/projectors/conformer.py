"""Conformers, which hear: of LFM2-Audio, and of Nemotron Nano Omni beside RADIO, which sees.

Facts: llama.cpp's converter, classes ``ConformerAudioModel``, ``LFM2AudioModel`` and
``NemotronNanoV2VLModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...transforms import Reshape, Squeeze
from ..family import LeftOut, Row, Spelling
from .common import PATCH_SIZE, folded_norm, projector

if TYPE_CHECKING:
    from ...facts import Facts
    from ...transforms import Transform

__all__ = ["LFM2A", "NEMOTRON"]

_COLUMNS = Reshape((-1, 1, 1), "written as a column")
_CONVOLUTIONS = (
    Row("conformer.pre_encode.conv.*.bias", transform=_COLUMNS),
    Row("*.conv.depthwise_conv.weight", transform=Squeeze()),
    *(
        Row(f"*.conv.pointwise_conv{k}.weight", transform=Reshape((0, -1), "as a matrix"))
        for k in (1, 2)
    ),
)
_COUNTED = LeftOut("*.num_batches_tracked", "counted in training, needed for nothing else")


LFM2A = projector(
    "lfm2a",
    left_out=(
        LeftOut("lfm.*", "part of the language model, which has a file of its own"),
        LeftOut("audio_loss_weights", "weights of the loss, for training only"),
        *(
            LeftOut(f"{part}*", "makes sounds, which has a file of its own")
            for part in ("codebook_offsets", "depth_embeddings", "depth_linear", "depthformer")
        ),
        _COUNTED,
    ),
    rows=(
        *_CONVOLUTIONS,
        *folded_norm("conformer.layers.{layer}.conv.batch_norm"),
    ),
)


def _as_convolution(facts: Facts, _: int | None) -> Transform:
    size = facts.need(PATCH_SIZE)
    return Reshape((0, 3, size, size), f"cut into patches of {size} × {size}")


_PLACES = "interpolated to the size of images that is fixed in the file: not compared"

NEMOTRON = projector(
    "nemotron_v2_vl",
    "parakeet",
    spellings=(
        # Parakeet by the names of other conformers, which gguf knows
        Spelling("sound_encoder.encoder.subsampling.layers.", "conformer.pre_encode.conv."),
        Spelling("sound_encoder.encoder.subsampling.linear.", "conformer.pre_encode.out."),
        Spelling("sound_encoder.encoder.feature_extractor.featurizer.fb", "a.mel_filters"),
        Spelling("sound_encoder.encoder.feature_extractor.featurizer.window", "a.window"),
        Spelling("sound_encoder.encoder.layers.", "conformer.layers."),
        Spelling(".self_attn.o_proj.", ".self_attn.linear_out.", "anywhere"),
        Spelling(".self_attn.relative_k_proj.", ".self_attn.linear_pos.", "anywhere"),
        Spelling(".self_attn.bias_", ".self_attn.pos_bias_", "anywhere"),
        Spelling(".conv.norm.", ".conv.batch_norm.", "anywhere"),
        Spelling("sound_projection.norm.", "mm.a.norm_pre."),
        Spelling("sound_projection.linear", "mm.a.mlp."),
    ),
    left_out=(
        LeftOut("*.input_conditioner.*", "mean and deviation of colors: metadata in the file"),
        LeftOut("*.video_embedder.*", "for videos, which llama.cpp does not take"),
        LeftOut("*.summary_idxs", "says which outputs sum up an image: not used"),
        LeftOut("*.patch_generator.pos_embed", _PLACES),
        _COUNTED,
    ),
    rows=(
        *_CONVOLUTIONS,
        *(Row(f"*.conv.pointwise_conv{k}.bias", transform=_COLUMNS) for k in (1, 2)),
        *(
            Row(
                f"conformer.layers.{{layer}}.conv.batch_norm.running_{name}",
                f"a.blk.{{layer}}.conv_norm_{name}",
            )
            for name in ("mean", "var")
        ),
        Row("*.patch_generator.embedder.weight", transform=_as_convolution),
    ),
    made_up=(LeftOut("v.position_embd.weight", _PLACES),),
)
