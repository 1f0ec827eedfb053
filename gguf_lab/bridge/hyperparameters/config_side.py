"""What a ``config.json`` says, with every default filled in as llama.cpp's converter sees it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from math import isinf, isnan
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, UnsupportedError
from ...model.names import MOST_LAYERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["GELU", "ConfigSide", "filled_in", "flat"]

_LAYERS = frozenset(
    (
        "num_hidden_layers",
        "n_layers",
        "n_layer",
        "num_layers",
        "num_decoder_layers",
        "depth",
        "encoder_layers",
    )
)

GELU = ("gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_python")
"""The forms of it, of which llama.cpp has one."""

_NO_JSON = {"Infinity", "-Infinity", "NaN"}


@dataclass(frozen=True, slots=True)
class ConfigSide:
    """One configuration.

    Attributes
    ----------
    values : Mapping
        The text part of a multimodal configuration is its root.
    names : Collection of str
        The names of the tensors of the checkpoint.
    rope : Mapping
        The settings of the rotary embedding, in the spelling of Transformers 5.
    given : Mapping
        The values before any default was filled in.
    """

    values: Mapping[str, Any]
    names: Collection[str] = ()
    rope: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    def find(self, *names: str) -> Any:
        """Return the value of the first of the names that is there, also if it is null."""
        return next((self.values[name] for name in names if name in self.values), None)

    def need(self, *names: str) -> Any:
        """Return the value of the first of the names that is there, which must not be null."""
        value = self.find(*names)
        if value is None:
            raise CheckpointError(f"config.json lacks {' or '.join(names)}")
        return value

    def wrong(self, name: str, value: object, due: str) -> CheckpointError:
        """Make the error for a value that cannot be meant."""
        return CheckpointError(f"{name} in config.json is {value!r:.60}; expected {due}")

    def count(self, *names: str) -> int:
        """Return a whole number that is not negative and must be there."""
        return counted(self, names[0], self.need(*names))

    def number(self, *names: str) -> float:
        """Return a number that must be there."""
        return real(self, names[0], self.need(*names))

    def head_size(self) -> int:
        """Return ``head_dim``, or else the width divided by the heads."""
        if self.find("head_dim") is not None:
            return self.count("head_dim")
        return self.count("hidden_size", "n_embd", "dim") // self.heads()

    def heads(self) -> int:
        """Return the number of heads of the queries."""
        heads = self.count("num_attention_heads", "n_head", "n_heads", "num_heads")
        if not heads:
            raise self.wrong("num_attention_heads", heads, "at least 1")
        return heads

    def layers(self) -> int:
        """Return the number of layers."""
        return self.count("n_layers", "num_hidden_layers", "n_layer", "num_layers")

    def layer_types(self) -> list[str]:
        """Return ``layer_types``, one for each layer."""
        kinds = self.need("layer_types")
        if not isinstance(kinds, list | tuple) or len(kinds) != self.layers():
            raise self.wrong("layer_types", kinds, f"{self.layers()} names, one per layer")
        return [*kinds]


def counted(config: ConfigSide, name: str, value: object) -> int:
    """Check that a value is a whole number that is not negative."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise config.wrong(name, value, "a whole number that is not negative")
    return value


def real(config: ConfigSide, name: str, value: object) -> float:
    """Check that a value is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise config.wrong(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        raise config.wrong(name, value, "a number that a float can be") from None
    if isnan(number):
        raise config.wrong(name, value, "a number")
    return number


def finite(config: ConfigSide, name: str, value: object) -> float:
    """Check that a value is a number with an end."""
    if isinf(number := real(config, name, value)):
        raise config.wrong(name, value, "a finite number")
    return number


def filled_in(config: Mapping[str, object]) -> dict[str, Any]:
    """Fill in the defaults of the class that ``model_type`` names, if Transformers has it.

    This is what llama.cpp's converter does first, and why it finds both spellings of the rotary
    settings in the same place. Like the converter, it takes what the class refuses as it is.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    values: dict[str, Any] = _floats(dict(config))
    _check_layers(values)
    kind = values.get("model_type")
    if not isinstance(kind, str):
        raise CheckpointError("config.json lacks model_type, which says what family it is of")
    if kind not in CONFIG_MAPPING:
        text = values.get("text_config")
        if isinstance(text, dict) and isinstance(text.get("model_type"), str):
            values["text_config"] = filled_in(text)
        return values
    try:
        return dict(CONFIG_MAPPING[kind].from_dict(deepcopy(values)).to_dict())
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        StrictDataclassError,
    ):
        # exaone4's "LLLG", say. What is missing or wrong is found where it is asked for.
        return values


def _floats(value: Any) -> Any:
    """Copy values, and read the numbers that JSON lacks, which Transformers 5 writes in words."""
    if isinstance(value, dict):
        if [*value] == ["__float__"] and value["__float__"] in _NO_JSON:
            return float(value["__float__"])
        return {name: _floats(item) for name, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else deepcopy(value)


def _check_layers(values: Mapping[str, Any]) -> None:
    """Refuse more layers than llama.cpp knows, before a class makes a list of as many."""
    for name, number in values.items():
        if isinstance(number, dict):
            _check_layers(number)
        elif name in _LAYERS and type(number) is int and number > MOST_LAYERS:
            raise CheckpointError(
                f"{name} in config.json is {number}; expected at most {MOST_LAYERS} layers"
            )


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Move the text part of a multimodal configuration to the root."""
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else dict(config)


def rope_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the rotary settings, which lie at the root or in a dictionary, old spelling or new."""

    def first(names: Iterable[str]) -> Any:
        return next((values[name] for name in names if name in values), None)

    found = deepcopy(values.get("rope_parameters", values.get("rope_scaling")) or {})
    _check_rope("rope_parameters", found)
    for name in ("full_attention", "sliding_attention"):
        _check_rope(f"rope_parameters.{name}", found.get(name, {}))
    if "full_attention" in found or "sliding_attention" in found:
        return found
    local = first(
        ("local_rope_theta", "rope_local_theta", "rope_theta_local", "swa_rope_theta",
         "rope_local_base_freq")
    )  # fmt: skip
    if local is not None:
        found["sliding_attention"] = {"rope_theta": local}
    elsewhere = {
        "rope_theta": ("global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta",
                       "rotary_emb_base"),
        "partial_rotary_factor": ("partial_rotary_factor", "rope_pct", "rope_percent"),
        "original_max_position_embeddings": ("original_max_position_embeddings",),
    }  # fmt: skip
    for name, names in elsewhere.items():
        if name not in found and (value := first(names)) is not None:
            found[name] = value
    if "rope_type" not in found and (kind := found.get("type")) is not None:
        found["rope_type"] = kind
    return found


def _check_rope(name: str, settings: object) -> None:
    if not isinstance(settings, dict):
        raise CheckpointError(f"{name} in config.json is no dictionary")
    for kind in (settings.get("rope_type"), settings.get("type")):
        if not isinstance(kind, str | None):
            raise CheckpointError(f"rope_type in config.json is {kind!r:.60}; expected a name")


def side_of(
    values: Mapping[str, Any], names: Collection[str], given: Mapping[str, Any]
) -> ConfigSide:
    """Make the side of the configuration of values that are filled in and flat."""
    return ConfigSide(values, names, rope_settings(values), given)


def refuse(why: str) -> UnsupportedError:
    """Make the error for a configuration that no file can express."""
    return UnsupportedError(f"as a GGUF file: {why}")
