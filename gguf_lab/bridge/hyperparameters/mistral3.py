"""mistral and ministral 3: llama, and scores that grow with the position.

Facts: llama.cpp's converter, class ``Mistral3Model``, and its graph. The architecture mistral3 is
that of ministral 3 and of the language model of what sees ("Mistral Small 3.1"), which is a plain
mistral; mistral alone is a llama in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import NO_WINDOW, VOCABULARY, base
from .config_side import real, refuse
from .family import Family, Implied, Rule, always
from .llama import WHOLE_HEAD
from .rope import ROPE, llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["MISTRAL3"]

_GROWS, _MSCALE = "attention.temperature_scale", "rope.scaling.yarn_log_multiplier"


def _is_ministral(config: ConfigSide) -> bool:
    return bool(config.find("model_type") == "ministral3")


def _architecture(config: ConfigSide) -> str:
    # as given: the default of the text part covers the root's
    sees = config.given.get("architectures") == ["Mistral3ForConditionalGeneration"]
    return "mistral3" if sees or _is_ministral(config) else "llama"


def _model_type(file: FileSide) -> str:
    return "ministral3" if file.has(_GROWS) else "mistral"


def _scores(config: ConfigSide) -> Mapping[str, object]:
    if not _is_ministral(config):
        return {}
    said = config.rope
    if said.get("rope_type") != "yarn":
        raise refuse(f"a ministral3 with rope_type {said.get('rope_type')!r:.60}: only with yarn")
    written = {_GROWS: real(config, "llama_4_scaling_beta", said.get("llama_4_scaling_beta"))}
    if (mscale := said.get("mscale_all_dim")) is not None:
        written[_MSCALE] = real(config, "mscale_all_dim", mscale)
    return written


def _rope_to_config(file: FileSide) -> Mapping[str, object]:
    settings: dict[str, Any] = {**ROPE.to_config(file)["rope_parameters"]}  # type: ignore[dict-item]
    if file.has(_MSCALE) and settings["rope_type"] == "yarn":
        # llama.cpp has one of the two, and takes the other for 1
        settings |= {"mscale": 1.0, "mscale_all_dim": file.number(_MSCALE)}
    if file.has(_GROWS):
        settings["llama_4_scaling_beta"] = file.number(_GROWS)
        # the scores grow at each of these, with whatever scaling
        length = file.count("rope.scaling.original_context_length", file.count("context_length"), 1)
        settings["original_max_position_embeddings"] = length
    return {"rope_parameters": settings}


MISTRAL3 = Family(
    architectures=("mistral3",),
    classes={"ministral3": "Ministral3ForCausalLM", "mistral": "MistralForCausalLM"},
    also=("mistral3",),
    model_type=_model_type,
    architecture=_architecture,
    factors=llama3_tensor,
    lines=base(
        VOCABULARY,
        WHOLE_HEAD,
        Rule(_scores),
        Implied("hidden_act", "silu"),
        Implied("sliding_window", None, when=always),
        NO_WINDOW,
        rope=Rule(ROPE.to_file, _rope_to_config),
    ),
)
