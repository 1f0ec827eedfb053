"""Lines that tables of image and sound encoders share, with the projectors behind them.

Facts: llama.cpp's converter, class ``MmprojModel`` and those that are made from it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...facts import Quantity
from ...transforms import Chain, FoldedNorm, Permute, Pick, Reshape, Third, UnpermuteRotary
from ..family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from ...facts import Facts
    from ...transforms import Transform

__all__ = [
    "COLUMN",
    "FRAMES",
    "IMAGE_HEADS",
    "IMAGE_LAYERS",
    "IMAGE_WIDTH",
    "LANGUAGE_MODEL",
    "OTHER_PART",
    "PATCH_SIZE",
    "SAME_ENCODERS",
    "SIGLIP",
    "folded_norm",
    "frames",
    "planes_of_patches",
    "projector",
    "qkv_apart",
    "unpermute_image_heads",
]

SIGLIP = tuple(
    Spelling(f"vision_tower.{part}", f"vision_tower.vision_model.{part}")
    for part in ("embeddings.", "encoder.", "post_layernorm.", "head.")
)
"""SigLIP as Transformers 5 writes it, as it was published."""

OTHER_PART = "part of the language model, which has a file of its own"

LANGUAGE_MODEL = tuple(
    LeftOut(pattern, OTHER_PART)
    for pattern in (
        "*language_model.*",
        "model.text_model.*",
        "model.layers.*",
        "model.embed_tokens.*",
        "model.norm.*",
        "model.mtp.*",
        "mtp.*",
        "lm_head.*",
        "thinker.model.*",
        "thinker.lm_head.*",
    )
)

_SEES = ("vision_config", "vision_encoder")


def _of_images(*names: str) -> tuple[str, ...]:
    return tuple(f"{part}.{name}" for part in _SEES for name in names)


IMAGE_WIDTH = Quantity(
    "width of the image encoder",
    "vision.embedding_length",
    _of_images("embed_dim", "hidden_size", "width", "vt_hidden_size"),
)
IMAGE_LAYERS = Quantity(
    "number of layers of the image encoder",
    "vision.block_count",
    _of_images("num_hidden_layers", "depth", "num_layers", "layers", "vt_num_hidden_layers"),
)
IMAGE_HEADS = Quantity(
    "number of heads of the image encoder",
    "vision.attention.head_count",
    _of_images("num_attention_heads", "num_heads", "heads", "vt_num_attention_heads"),
)
PATCH_SIZE = Quantity("size of a patch", "vision.patch_size", _of_images("patch_size"))
SOUND_WIDTH = Quantity(
    "width of the sound encoder",
    "audio.embedding_length",
    (
        "audio_config.hidden_size",
        "audio_config.d_model",
        "whisper_config.d_model",
        "speech_config.d_model",
        "encoder_config.hidden_dim",
    ),
)

SAME_ENCODERS = (IMAGE_WIDTH, IMAGE_LAYERS, SOUND_WIDTH)
"""What file and checkpoint must agree on, where both say it."""


def projector(
    *names: str,
    spellings: tuple[Spelling, ...] = (),
    left_out: tuple[LeftOut, ...] = (),
    rows: tuple[Row, ...] = (),
    made_up: tuple[LeftOut, ...] = (),
    same: tuple[Quantity, ...] = SAME_ENCODERS,
) -> Family:
    """Make the table of the projectors with these names, and of the encoders before them.

    Parameters
    ----------
    names : str
        Values of ``clip.projector_type``, ``clip.vision.projector_type`` or
        ``clip.audio.projector_type``.
    spellings, left_out, rows, made_up, same
        As of `Family`; the language model is left out besides.
    """
    return Family(
        ("clip",),
        (),
        spellings,
        (*left_out, *LANGUAGE_MODEL),
        rows,
        made_up,
        same,
        projectors=names,
    )


def unpermute_image_heads(facts: Facts, _: int | None) -> Transform:
    """Undo the order that Transformers gives queries and keys for rotary halves."""
    return UnpermuteRotary(facts.need(IMAGE_HEADS))


def planes_of_patches(facts: Facts, _: int | None) -> Transform:
    """Make a convolution of a matrix for patches whose colors stand pixel by pixel."""
    size = facts.need(PATCH_SIZE)
    pixels = Reshape((0, size, size, -1), f"cut into patches of {size} × {size}")
    return Chain(pixels, Permute((0, 3, 1, 2), "color by color"))


def qkv_apart(pattern: str, to: str) -> tuple[Row, ...]:
    """Make rows for a fused q, k and v that are three tensors of the file.

    Parameters
    ----------
    pattern : str
        Of the fused tensor, without its ending.
    to : str
        The name in the file, likewise, with ``{}`` for the letter.
    """
    return tuple(
        Row(f"{pattern}.{end}", f"{to.replace('{}', letter)}.{end}", Third(which))
        for end in ("weight", "bias")
        for which, letter in enumerate("qkv")
    )


def _fold(which: str, _: int) -> Transform:
    return FoldedNorm(which)


def folded_norm(name: str) -> tuple[Row, ...]:
    """Make rows for a batch norm as one factor and one summand.

    Parameters
    ----------
    name : str
        Of the norm in the checkpoint, with ``{layer}``.
    """
    factor = ("weight", "running_var")
    return tuple(
        Row(
            f"{name}.{source}",
            f"a.blk.{{layer}}.conv_norm.{end}",
            join=partial(_fold, which),
            place=place,
        )
        for which, end, sources in (
            ("factor", "weight", factor),
            ("summand", "bias", ("bias", "running_mean", *factor)),
        )
        for place, source in enumerate(sources)
    )


COLUMN = Reshape((-1, 1), "written as a column")
"""The bias of a convolution over time, which llama.cpp adds to each of its columns."""


def frames(pattern: str) -> tuple[Row, ...]:
    """Make rows for a convolution over two frames, which llama.cpp calculates as two."""
    return tuple(
        Row(
            pattern,
            f"v.patch_embd.weight{tail}",
            Pick(2, frame, f"frame {frame} of a convolution over two"),
        )
        for frame, tail in enumerate(("", ".1"))
    )


FRAMES = frames("*patch_embed.proj.weight")
