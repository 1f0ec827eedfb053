"""What the tests of hyper-parameters share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gguf_lab.reference.architectures import family_of
from gguf_lab.reference.architectures.plan import draw_plan
from gguf_lab.reference.facts import Facts

DATA = Path(__file__).parents[1] / "data"

# The multipliers of falcon-h1, when they are in the weights.
ONES = {
    "attention_in_multiplier": 1.0,
    "attention_out_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "key_multiplier": 1.0,
    "lm_head_multiplier": 1.0,
    "mlp_multipliers": [1.0] * 2,
    "ssm_in_multiplier": 1.0,
    "ssm_multipliers": [1.0] * 5,
    "ssm_out_multiplier": 1.0,
}


def as_written(value):
    """Say as which type a value is to be written, and as which value it is read back."""
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, int):
        return ["uint32", value]
    if isinstance(value, float):
        return ["float32", float(np.float32(value))]
    if isinstance(value, str):
        return ["string", value]
    items = [as_written(item) for item in value]
    ((kind),) = {kind for kind, _ in items}
    kind = {"uint32": "int32"}.get(kind, kind)
    return [f"array[{kind}]", [item for _, item in items]]


def spelled_for_4(config):
    """Spell the rotary settings as Transformers 4 did: at the root, and ``rope_scaling``."""
    if "rope_parameters" not in config or "full_attention" in config["rope_parameters"]:
        return dict(config)  # two sets of settings had other names in each family
    old = {key: value for key, value in config.items() if key != "rope_parameters"}
    scaling = dict(config["rope_parameters"])
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in scaling:
            old[name] = scaling.pop(name)
    kind = scaling.pop("rope_type")
    old["rope_scaling"] = None if kind == "default" and not scaling else {"type": kind, **scaling}
    return old


def logits(model):
    """Run a model on a few tokens."""
    torch = pytest.importorskip("torch")
    tokens = torch.randint(3, 28, (2, 11), generator=torch.Generator().manual_seed(1))
    further = {"decoder_input_ids": tokens[:, :5]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(tokens, **further)[0]


def built(config, weights=None):
    """Build the model of a configuration, in float32."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    (name,) = config["architectures"]
    further = {"add_pooling_layer": False} if name == "BertModel" else {}
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    made = transformers.AutoConfig.for_model(**config, **eager)
    model = getattr(transformers, name)(made, **further).eval().float()
    if weights is None:
        for key, value in model.state_dict().items():
            if value.is_floating_point():  # far from where nothing matters
                value.copy_(torch.randn(value.shape) / 2 + ("norm" in key))
    else:
        model.load_state_dict(weights)
    return model


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model as a tensor of a checkpoint, for drawing plans: no data."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "F32"


def shapes_in_file(config, architecture, metadata):
    """Say which tensors a file would have, by the tables of tensors: of a model without data."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    (name,) = config["architectures"]
    with torch.device("meta"):
        model = getattr(transformers, name)(transformers.AutoConfig.for_model(**config))
    tied = getattr(model, "all_tied_weights_keys", {})
    tensors = {
        key: Parameter(key, tuple(value.shape))
        for key, value in model.state_dict().items()
        if key not in tied
    }
    family = family_of(architecture)
    plan = draw_plan(family, Facts.of(architecture, metadata, config), tensors)
    return {key: tuple(origin.rows.shape) for key, origin in plan.origins.items() if origin.rows}
