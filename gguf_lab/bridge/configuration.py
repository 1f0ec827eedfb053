"""From the metadata of a file to a configuration of Transformers and the class of the model."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from ..errors import GGUFError, UnsupportedError
from ..file.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model import Model

__all__ = ["Blueprint", "end_tokens", "sampling_of", "settings_of"]

_BUFFERS = 1 << 28  # bytes that constants may take that no tensor of the file vouches for
# keys of a file, what Transformers calls them, and what they may be at most
_SAMPLING: dict[str, tuple[str, type[float], float]] = {
    "top_k": ("top_k", int, 1 << 31),
    "top_p": ("top_p", float, 1.0),
    "min_p": ("min_p", float, 1.0),
    "temp": ("temperature", float, 1e6),
}
_LAYERS = ("num_hidden_layers", "num_layers", "num_decoder_layers", "n_layer", "n_layers")


class Blueprint:
    """What is to be built: a class of Transformers, and the configuration for it.

    Attributes
    ----------
    settings : dict
        What config.json would say.
    config : transformers.PreTrainedConfig
    kind : type
        The class of the model.
    arguments : dict
        Further arguments of the class: of what converters leave out no part is made.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import transformers

        self.settings = settings
        (name,) = settings["architectures"]
        kind = getattr(transformers, name, None)
        if kind is None:
            raise UnsupportedError(
                f"Transformers {transformers.__version__} has no {name}, which this file is"
            )
        self.kind: Any = kind
        known = inspect.signature(kind.__init__).parameters
        self.arguments = {"add_pooling_layer": False} if "add_pooling_layer" in known else {}
        self.config = self._checked(lambda: transformers.AutoConfig.for_model(**settings))

    def sketch(self) -> Any:
        """Build the model without any memory, on torch's device "meta"."""
        import torch

        with torch.device("meta"):
            sketch = self._checked(lambda: self.kind(self.config, **self.arguments))
        constants = sum(buffer.nbytes for buffer in sketch.buffers())
        weights = sum(weight.nbytes for weight in sketch.parameters())
        if constants > max(_BUFFERS, weights):
            raise GGUFError(
                f"by the metadata the constants of the model would take {constants:,} bytes, its"
                f" weights {weights:,}: is a size in the metadata wrong?"
            )
        return sketch

    def _checked(self, make: Any) -> Any:
        try:
            return make()
        except Exception as error:
            # metadata are untrusted, and each class complains about nonsense in its own way
            words = printable(f"{type(error).__name__}: {error}")
            raise GGUFError(
                f"Transformers can't make a {self.kind.__name__} of the metadata: {words:.300}"
            ) from error


def settings_of(model: Model, *, part: bool = False) -> dict[str, Any]:
    """Say what config.json would say of a file.

    Parameters
    ----------
    model : Model
    part : bool
        Whether it is to be the language model of one that sees or hears.

    Raises
    ------
    UnsupportedError
        If the file is no model, or there is no table for its architecture.
    GGUFError
        If metadata are missing or don't make sense.
    """
    from .hyperparameters import FACTOR_TENSORS, config_of

    if model.kind != "model":
        raise UnsupportedError(
            f"{model.path} is no model but something else ({model.kind}): Transformers can't run it"
        )
    if model.architecture is None:
        raise GGUFError(f"{model.path} doesn't say what it is: it lacks general.architecture")
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    factors = {name: _settings_in(model, name) for name in FACTOR_TENSORS if name in model.tensors}
    settings = config_of(model.architecture, model.metadata, shapes, factors, part=part)
    for key in _LAYERS:
        if isinstance(value := settings.get(key), int) and value > len(shapes):
            raise GGUFError(
                f"{model.path}: by the metadata there are {value} layers ({key}), but the file has"
                f" only {len(shapes)} tensors"
            )
    return settings


def _settings_in(model: Model, name: str) -> list[float]:
    tensor = model.tensors[name]
    if math.prod(tensor.shape) > 1 << 16:
        raise GGUFError(
            f"{model.path}: {name} has shape {tensor.shape}, more than heads have elements"
        )
    values: list[float] = tensor.to_numpy().reshape(-1).tolist()
    return values


def end_tokens(metadata: Mapping[str, object], settings: Mapping[str, Any]) -> list[int]:
    """List the tokens that end a text, as llama.cpp counts them; the first is what the file says.

    Of many models a file names the end of a text alone. That of a turn llama.cpp knows by its name.
    """
    from .tokenizers import has_tokenizer
    from .tokenizers.checked import strings
    from .tokenizers.forced import ends_of

    tokens = strings(metadata, "tokenizer.ggml.tokens") if has_tokenizer(metadata) else []
    found = [settings.get("eos_token_id"), *ends_of(metadata, tokens)]
    rows = settings["vocab_size"]
    return [token for token in dict.fromkeys(found) if type(token) is int and 0 <= token < rows]


def sampling_of(metadata: Mapping[str, object]) -> dict[str, float | bool]:
    """Say how tokens are drawn by default, as Transformers says it; nothing if the first is taken.

    What makes no sense is passed over: it is a default, and no reason to refuse a model.
    """
    from .hyperparameters.file_side import shortest

    found: dict[str, float | bool] = {}
    for key, (name, kind, most) in _SAMPLING.items():
        value = metadata.get(f"general.sampling.{key}")
        if type(value) is kind and 0 <= value <= most:
            found[name] = shortest(value) if kind is float else value
    if not found or found.get("temperature") == 0:
        return {}
    return {"do_sample": True, **found}
