"""What is known of a multimodal model before its projector is written, and the figures shared.

Facts: llama.cpp's converter, ``MmprojModel.set_gguf_parameters``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ..hyperparameters.config_side import GELU, ConfigSide, counted, filled_in, real, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "ATTENTION", "EPSILON", "PATCHES", "SCALE", "SIGLIP", "Projector", "Side", "images", "needs",
    "pixels", "side_of", "sounds", "width_of_text",
]  # fmt: skip

EPSILON = "vision.attention.layer_norm_epsilon"
SCALE = "vision.projector.scale_factor"
ATTENTION = ("attn_q.*", "attn_k.*", "attn_v.*", "attn_out.*")
SIGLIP = ("ln1.*", "ln2.*", "ffn_up.*", "ffn_down.*", *ATTENTION)
PATCHES = ("v.patch_embd.*", "v.position_embd.weight")

_LAYERS = ("num_hidden_layers", "depth", "num_layers", "encoder_layers")
_HEADS = ("num_attention_heads", "num_heads", "encoder_attention_heads")


@dataclass(frozen=True, slots=True)
class Side(ConfigSide):
    """A configuration whose parts are asked for with a dot: ``vision_config.hidden_size``.

    Attributes
    ----------
    processing : Mapping
        ``preprocessor_config.json`` and ``processor_config.json``, in one.
    """

    processing: Mapping[str, Any] | None = None

    def count_or(self, name: str, default: int) -> int:
        """Return a whole number, or `default` where there is none."""
        return default if (value := self.find(name)) is None else counted(self, name, value)

    def number_or(self, name: str, default: float) -> float:
        """Return a number, or `default` where there is none."""
        return default if (value := self.find(name)) is None else real(self, name, value)

    def must_be(self, name: str, *due: object) -> None:
        """Refuse what llama.cpp has built in otherwise; the first of `due` is the default."""
        value = self.find(name)
        if value is not None and value not in due:
            listed = " or ".join(map(repr, due))
            raise refuse(f"{name} {value!r:.40} in config.json: llama.cpp has {listed}")

    def activation(self, name: str) -> dict[str, object]:
        """Say what stands between the two halves of a layer: GELU or SiLU."""
        value = self.need(name)
        if value not in (*GELU, "silu"):
            raise refuse(f"{name} {value!r:.40} in config.json: llama.cpp has gelu or silu")
        return {"use_silu" if value == "silu" else "use_gelu": True}

    def gelu(self, name: str) -> None:
        """Refuse another activation than a GELU, which llama.cpp has in one form."""
        self.must_be(name, *GELU)

    def rotary_base(self, due: float) -> None:
        """Refuse another base of the rotary positions of images."""
        for name in ("rope_parameters.rope_theta", "rope_theta"):
            self.must_be(f"vision_config.{name}", due)

    def side_length(self, name: str) -> int:
        """Return one length of a square that may be given as two equal ones."""
        value = self.need(name)
        if isinstance(value, list | tuple):
            if len(value) != 2 or value[0] != value[1]:
                raise self.wrong(name, value, "one length, or two equal ones")
            value = value[0]
        return counted(self, name, value)


def side_of(config: Mapping[str, Any], processing: Mapping[str, Any] | None) -> Side:
    """Fill in the defaults of the class, as the converter does, and make the parts reachable."""
    return Side(dict(_dotted(filled_in(config))), processing=processing)


def _dotted(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found.append((f"{above}{name}", value))
        if isinstance(value, dict):
            found += _dotted(value, f"{above}{name}.")
    return found


def width_of_text(side: Side) -> int:
    """Return the width of the language model."""
    return side.count("text_config.hidden_size", "hidden_size")


def images(
    side: Side,
    *,
    image_size: int | None = None,
    width: int | None = None,
    width_inside: int | None = None,
) -> dict[str, object]:
    """Gather what every encoder of images has; some call it otherwise, and give it."""
    part = "vision_config."
    if image_size is None:
        image_size = side.side_length(f"{part}image_size")
    if width is None:
        width = side.count(f"{part}hidden_size")
    if width_inside is None:
        width_inside = side.count(f"{part}intermediate_size")
    return {
        "has_vision_encoder": True,
        "vision.projection_dim": width_of_text(side),
        "vision.image_size": image_size,
        "vision.patch_size": side.side_length(f"{part}patch_size"),
        "vision.embedding_length": width,
        "vision.feed_forward_length": width_inside,
        "vision.block_count": side.count(*(part + name for name in _LAYERS)),
        "vision.attention.head_count": side.count(*(part + name for name in _HEADS)),
        "vision.image_mean": _color(side, "image_mean"),
        "vision.image_std": _color(side, "image_std"),
    }


def pixels(side: Side, name: str, edge: str) -> int:
    """Return how many pixels an image has, at least or at most; Transformers 5 calls it an edge."""
    said = side.processing or {}
    size = said.get("size")
    value = said.get(name)
    if value is None and isinstance(size, dict):
        value = size.get(edge)
    if value is None:
        raise CheckpointError(
            f"nothing says {name}, to which llama.cpp scales images: it stands in"
            " preprocessor_config.json. Give the processor (processor=...) or the folder where it"
            " is."
        )
    return counted(side, f"{name} of the processor", value)


def sounds(side: Side, projector_type: str) -> dict[str, object]:
    """Gather what every encoder of sounds has that is made from Whisper's."""
    part = "audio_config."
    side.gelu(f"{part}activation_function")
    return {
        "has_audio_encoder": True,
        "audio.projection_dim": width_of_text(side),
        "audio.embedding_length": side.count(f"{part}hidden_size", f"{part}d_model"),
        "audio.feed_forward_length": side.count(
            f"{part}intermediate_size", f"{part}encoder_ffn_dim"
        ),
        "audio.block_count": side.count(*(part + name for name in _LAYERS)),
        "audio.attention.head_count": side.count(*(part + name for name in _HEADS)),
        "projector_type": projector_type,
        "audio.num_mel_bins": side.count(f"{part}num_mel_bins"),
        "audio.attention.layer_norm_epsilon": side.number_or(f"{part}layer_norm_eps", 1e-5),
    }


def _color(side: Side, name: str) -> list[float]:
    """Return the mean or the deviation of colors: three numbers."""
    if side.processing is None:
        raise CheckpointError(
            f"nothing says {name}, by which images are normalized: it stands in"
            " preprocessor_config.json or processor_config.json. Give the processor (processor=...)"
            " or the folder where it is."
        )
    value = side.processing.get(name)
    given = list(value) if isinstance(value, list | tuple) else []
    if len(given) != 3 or any(type(item) not in (int, float) for item in given):
        raise CheckpointError(
            f"{name} of the processor is {value!r:.60}; expected three numbers, one for each color"
        )
    return [float(item) for item in given]


@dataclass(frozen=True, slots=True)
class Projector:
    """How the encoders of a family of models, and what projects them, are written.

    Attributes
    ----------
    model_types : tuple of str
        In ``config.json``.
    metadata : callable
        Makes the keys of the file, without "clip.", of what is known.
    needs : tuple of str
        The tensors without which the model would compute something else, with ``{layer}``.
    held : mapping of str to str
        Patterns of tensors with the type that llama.cpp wants them in, whatever is asked for.
    otherwise : mapping of str to str
        What llama.cpp does otherwise than Transformers with every model of the family, in words.
    """

    model_types: tuple[str, ...]
    metadata: Callable[[Side], dict[str, object]]
    needs: tuple[str, ...]
    held: Mapping[str, str] = field(default_factory=dict)
    otherwise: Mapping[str, str] = field(default_factory=dict)


def needs(*names: str, layers: Sequence[str] = (), prefix: str = "v") -> tuple[str, ...]:
    """List tensors; a name with a star stands for its weight and its bias."""
    listed = [*names, *(f"{prefix}.blk.{{layer}}.{name}" for name in layers)]
    return tuple(
        name.replace("*", end)
        for name in listed
        for end in (("weight", "bias") if name.endswith("*") else ("",))
    )
