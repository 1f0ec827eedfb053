"""Hyper-parameters with the options that each family has, against the converter and in a circle.

What the converter writes of each is recorded (tests/data/hyperparameters).
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gguf_lab.bridge.hyperparameters import FAMILIES, config_of, metadata_of, rope_factors_of
from gguf_lab.errors import CheckpointError, GGUFLabError

from .hyperparameters import DATA, ONES, as_written, built, logits, shapes_in_file

RECORDED = json.loads((DATA / "hyperparameters" / "converter.json").read_text())

# What is written beyond the converter: its class of Transformers has one way to choose experts and
# doesn't save which, and llama.cpp would take the other.
MORE = {"dsv3-native": {"expert_gating_func"}}

# The language model of what sees is a plain mistral, which is a llama in a file of its own.
BACK = {"mistral3-sees": "llama"}

# What the file hasn't got. For gemma llama.cpp takes the size of a head; these configurations leave
# it to the class, which says 256.
BUILT_IN = {
    name: {"query_pre_attn_scalar": 16} for name in ("gemma2", "gemma3_text", "gemma3-vision")
}
# These are in the weights.
BUILT_IN["falcon_h1"] = ONES


def recorded(name):
    """Return architecture, metadata (full keys, a FLOAT32 as it is read back) and factors."""
    entry = RECORDED[name]
    architecture = entry["architecture"]
    metadata = {
        f"{architecture}.{key}": float(np.float32(value)) if kind == "FLOAT32" else value
        for key, (kind, value) in entry["metadata"].items()
    }
    return architecture, metadata, entry.get("factors", {})


def text_only(config):
    """Take the part that a file has, in a form that Transformers builds a model of."""
    config = dict(config)
    if config["model_type"] == "gemma3":
        config = {**config["text_config"], "architectures": ["Gemma3ForCausalLM"]}
    if config["model_type"] == "qwen3_5":
        config = {**config["text_config"], "architectures": ["Qwen3_5ForCausalLM"]}
    if config["model_type"] == "llama4":
        config = {**config["text_config"], "architectures": ["Llama4ForCausalLM"]}
    if config["model_type"] == "mistral3":
        name = "Ministral3" if config["text_config"]["model_type"] == "ministral3" else "Mistral"
        config = {**config["text_config"], "architectures": [f"{name}ForCausalLM"]}
    if config["model_type"] == "exaone4":  # "LLLG" and null are refused by its class
        kinds = ["sliding_attention"] * 3 + ["full_attention"]
        window = config["sliding_window"]
        config |= {
            "layer_types": kinds if window else ["full_attention"] * 4,
            "sliding_window_pattern": 4,
        }
    if config["model_type"] == "bert":
        config["architectures"] = ["BertModel"]
    return config


def read(name):
    """Read the configuration off what the converter wrote, and the tensors there would be."""
    architecture, metadata, factors = recorded(name)
    shapes = shapes_in_file(text_only(RECORDED[name]["config"]), architecture, metadata)
    shapes |= {key: (len(values),) for key, values in factors.items()}
    return config_of(architecture, metadata, shapes, factors)


@pytest.mark.parametrize("name", RECORDED)
def test_what_the_converter_writes(name):
    entry = RECORDED[name]
    architecture, written = metadata_of(entry["config"])
    assert architecture == entry["architecture"]
    written = {
        key.removeprefix(f"{architecture}."): as_written(value) for key, value in written.items()
    }
    assert MORE.get(name, set()) == written.keys() - entry["metadata"].keys()
    for key, (kind, value) in entry["metadata"].items():
        name = f"array[{kind[6:].lower()}]" if kind.startswith("ARRAY ") else kind.lower()
        same = float(np.float32(value)) if kind == "FLOAT32" else value
        assert written[key] == [name, same], key
    factors = {key: values.tolist() for key, values in rope_factors_of(entry["config"]).items()}
    expected = entry.get("factors", {})
    assert factors == {key: np.float32(values).tolist() for key, values in expected.items()}


@pytest.mark.parametrize("name", RECORDED)
def test_in_a_circle(name):
    """What was read writes what was read, and what that writes is read as the same."""
    architecture, metadata, _ = recorded(name)
    config = read(name)
    back, written = metadata_of(config)
    written = {key: as_written(value)[1] for key, value in written.items()}
    assert back == BACK.get(name, architecture)
    if back != architecture:
        metadata = {key.replace(architecture, back, 1): item for key, item in metadata.items()}
    if name == "mixtral":  # a null head_dim isn't written, the size that llama.cpp derives is
        metadata |= {f"llama.attention.{part}_length": 12 for part in ("key", "value")}
    more = {f"{architecture}.{key}" for key in MORE.get(name, ())}
    assert {key: value for key, value in written.items() if key not in more} == metadata


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_a_model_of_what_was_read_computes_the_same(name):
    config = text_only(RECORDED[name]["config"]) | BUILT_IN.get(name, {})
    original, ours = built(config), read(name)
    weights = original.state_dict()
    if config["model_type"] in {"roberta", "xlm-roberta"}:
        # positions begin behind that of the padding; the rows before are cut off, poolers left out
        weights = {key: value for key, value in weights.items() if "pooler" not in key}
        positions = "embeddings.position_embeddings.weight"
        weights[positions] = weights[positions][config["pad_token_id"] + 1 :]
    expected, got = logits(original), logits(built(ours, weights))
    assert expected.std() > 0
    assert (expected - got).abs().max() == 0


def test_every_family_is_among_them():
    found = {entry["architecture"] for entry in RECORDED.values()}
    expected = {name for family in FAMILIES for name in family.architectures}
    assert expected - found == {"nomic-bert-moe"}  # which is in the tests with files


JUNK = [
    -1, 0, 1, 7, 2**40, "x", 1.5, 1e300, 2**64 - 1, float("nan"), True, [], [1], [0] * 4, [3] * 4,
    ["a"] * 4, [[1]] * 4, range(2**40), b"bytes",
]  # fmt: skip


ONE_OF_EACH = {entry["architecture"]: name for name, entry in RECORDED.items()}


def refusal(architecture, metadata, shapes, factors):
    """Return what a file is refused with; any error but ours is raised."""
    try:
        config_of(architecture, metadata, shapes, factors)
    except GGUFLabError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_junk_is_refused_or_means_something(name):
    architecture, metadata, factors = recorded(name)
    shapes = shapes_in_file(text_only(RECORDED[name]["config"]), architecture, metadata)
    shapes |= {key: (len(values),) for key, values in factors.items()}
    assert refusal(architecture, metadata, shapes, factors) == ""
    words = []
    for key in metadata:
        others = {other: value for other, value in metadata.items() if other != key}
        words.append(refusal(architecture, others, shapes, factors))
        words += [refusal(architecture, {**others, key: junk}, shapes, factors) for junk in JUNK]
    assert max(map(len, words)) < 300
    assert sum(map(bool, words)) > len(words) // 4


ADJUSTED = {"block_auto_adjust_ff_dim": True}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("dsv2-lite", "scoring_func"),
        ("dots1", "scoring_func"),
        ("phi", "num_key_value_heads"),
        ("ernie4_5_moe", "moe_layer_end_index"),
        ("bert", "id2label"),
        ("mamba", "time_step_rank"),
        ("mamba", "layer_norm_epsilon"),
        ("mamba2", "head_dim"),
        ("mamba2", "expand"),
    ],
)
def test_a_setting_of_a_wrong_type_is_a_clear_error(name, setting):
    for value in ([1], "x"):
        with pytest.raises(GGUFLabError):
            metadata_of(RECORDED[name]["config"] | {setting: value})


def test_a_width_in_multiples_of_nothing_is_a_clear_error():
    config = RECORDED["lfm2"]["config"]
    with pytest.raises(CheckpointError, match="block_multiple_of"):
        metadata_of(config | ADJUSTED | {"block_multiple_of": 0})


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("llama", {"rope_parameters": {"rope_type": [1]}}, r"rope_type in config.json is \[1\]"),
        ("llama", {"rope_parameters": {"type": {"a": 1}}}, "rope_type in config.json is"),
        ("llama", {"rope_parameters": {"full_attention": 3}}, "full_attention in config.json is"),
        ("llama", {"rope_parameters": {"sliding_attention": "x"}}, "sliding_attention in config"),
        ("llama", {"rope_parameters": {"rope_type": "default", "mrope_section": 1.5}}, "is 1.5"),
        ("llama", {"rope_parameters": {"rope_type": "default", "mrope_section": ["a"]}}, "is 'a'"),
        (
            "lfm2",
            {"block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": math.inf},
            "is inf",
        ),
        ("llama", {"rms_norm_eps": math.nan}, "rms_norm_eps in config.json is nan"),
        ("llama", {"rms_norm_eps": 10**400}, "a number that a float can be"),
    ],
)
def test_junk_within_settings_is_a_clear_error(name, settings, words):
    config = {k: v for k, v in RECORDED[name]["config"].items() if not k.startswith("rope_")}
    with pytest.raises(CheckpointError, match=words):
        metadata_of(config | settings)
