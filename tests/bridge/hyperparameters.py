"""What the tests of hyper-parameters share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "data"


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
    old["rope_scaling"] = None if kind == "default" else {"type": kind, **scaling}
    return old
