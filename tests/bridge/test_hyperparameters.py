"""Hyper-parameters against files that llama.cpp's converter wrote, in both directions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge.hyperparameters import (
    FACTOR_TENSORS,
    FAMILIES,
    config_of,
    metadata_of,
    rope_factors_of,
)
from gguf_lab.errors import CheckpointError, GGUFError, UnsupportedError
from gguf_lab.reference import open_checkpoint
from gguf_lab.reference.architectures import FAMILIES as TENSOR_FAMILIES

from .hyperparameters import DATA, as_written, built, logits, spelled_for_4

MODELS = {path.parent.name: path for path in sorted((DATA / "models").glob("*/*.gguf"))}

# What is written beyond the converter, and why.
MORE = {
    # its class knows one way to choose experts and doesn't save which; llama.cpp needs to know
    "minimax-m2": {"minimax-m2.expert_gating_func"},
}
# The converter took 12 layers of 768 from the defaults of Transformers' class, which doesn't know
# the names in this configuration; the tensors have 3 of 24, and so has what we write.
NOT_OF_THE_CONVERTER = {"nomic-bert-moe"}

# Transformers has no such class, and can't turn three numbers of a head (the rotary part of this
# one) in pairs. phi-2 is among the variations too.
NO_ORIGINAL = {"nomic-bert-moe", "phi2"}

# What is in no file, and what llama.cpp's graph has built in for it.
BUILT_IN = {
    "gemma2": {"query_pre_attn_scalar": 10},
    "gemma3": {"query_pre_attn_scalar": 10},
    "qwen3moe": {"norm_topk_prob": True},
}


def config_in(name):
    return json.loads((MODELS[name].parent / "hf" / "config.json").read_text())


def read(name):
    """Open a model and read its configuration off it."""
    model = gl.open(MODELS[name])
    shapes = {key: tensor.shape for key, tensor in model.tensors.items()}
    factors = {
        key: model.tensor(key).to_numpy().ravel().tolist()
        for key in FACTOR_TENSORS
        if key in shapes
    }
    return config_of(model.architecture, model.metadata, shapes, factors)


def test_every_family_has_a_table_of_tensors_too():
    ours = {name for family in FAMILIES for name in family.architectures}
    assert ours <= {name for family in TENSOR_FAMILIES for name in family.architectures}


@pytest.mark.parametrize(
    "spelling", [dict, spelled_for_4], ids=["transformers 5", "transformers 4"]
)
@pytest.mark.parametrize("name", sorted(MODELS.keys() - NOT_OF_THE_CONVERTER))
def test_what_the_converter_wrote(name, spelling):
    metadata = gl.open(MODELS[name]).metadata
    names = open_checkpoint(MODELS[name].parent / "hf").tensors
    architecture, written = metadata_of(spelling(config_in(name)), names)
    assert architecture == metadata["general.architecture"]
    expected = {
        key: [metadata.type_of(key), value if np.isscalar(value) else [*value]]
        for key, value in metadata.items()
        if key.startswith(f"{architecture}.")
    }
    written = {key: as_written(value) for key, value in written.items()}
    assert MORE.get(name, set()) == written.keys() - expected.keys()
    assert {key: written[key] for key in written.keys() & expected.keys()} == expected


@pytest.mark.parametrize("name", MODELS)
def test_the_factors_that_the_converter_calculated(name):
    model = gl.open(MODELS[name])
    expected = {key: model.tensor(key).to_numpy() for key in FACTOR_TENSORS if key in model.tensors}
    factors = rope_factors_of(config_in(name))
    assert factors.keys() == expected.keys()
    for key, values in factors.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected[key].ravel(), strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS.keys() - NO_ORIGINAL))
def test_a_model_of_what_was_read_computes_the_same(name):
    ours = read(name)
    theirs = {**config_in(name), **BUILT_IN.get(name, {}), "vocab_size": ours["vocab_size"]}
    theirs.pop("quantization_config", None)
    theirs.pop("time_step_limit", None)  # has an infinity, in words
    if theirs["architectures"] == ["BertForSequenceClassification"]:
        theirs["architectures"] = ["BertModel"]  # its pooler isn't in the file
    original = built(theirs)
    expected, got = logits(original), logits(built(ours, original.state_dict()))
    assert expected.std() > 0
    # to the last bit, but where rotary settings were found again by their float32 factors
    tolerance = 1e-6 if name == "llama3-tied" else 0.0
    assert (expected - got).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_in_no_file_is_not_in_it(name):
    """If llama.cpp's converter writes it one day, this fails: take it out of the table."""
    setting = BUILT_IN[name]
    assert metadata_of(config_in(name)) == metadata_of({**config_in(name), **setting})
    assert setting.items() <= read(name).items()


def test_what_dots1_says_of_its_experts():
    """Its class knows one way, which the models published call otherwise, or not at all."""
    config = config_in("dots1")
    written = metadata_of(config)
    assert written[1]["dots1.expert_gating_func"] == 2
    del config["scoring_func"]
    assert metadata_of(config) == metadata_of(config | {"scoring_func": "noaux_tc"}) == written
    with pytest.raises(CheckpointError, match=r"scoring_func in config\.json is 'softmax'"):
        metadata_of(config | {"scoring_func": "softmax"})
    architecture, metadata = written[0], {**written[1], "dots1.expert_gating_func": 1}
    with pytest.raises(UnsupportedError, match="aren't chosen by the sigmoid"):
        config_of(architecture, metadata, {"token_embd.weight": (30, 24)})


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("glm4moe", "nextn_predict_layers", 4, "expected fewer than 4, all the layers"),
        ("glm4moe", "rope.dimension_sections", [2, 2, 2, 0], "this one sees"),
        ("ernie4_5", "rope.dimension_sections", [2, 2, 2, 0], "this one sees"),
        ("ernie4_5-moe", "interleave_moe_layer_step", 2, "loads experts in all layers"),
        ("ernie4_5-moe", "expert_shared_feed_forward_length", 8, "a multiple of 7"),
        ("hunyuan-dense", "rope.scaling.alpha", 2.0, "as those that see"),
    ],
)
def test_files_that_no_checkpoint_makes(name, key, value, words):
    model = gl.open(MODELS[name])
    metadata = {**model.metadata, f"{name}.{key}": value}
    shapes = {key: tensor.shape for key, tensor in model.tensors.items()}
    with pytest.raises((GGUFError, UnsupportedError), match=words):
        config_of(name, metadata, shapes)


def test_the_number_that_stretches_hunyuans_base_is_found_again():
    config = config_in("hunyuan-dense")
    for alpha in (0.5, 50.0, 999.25, 1000.0):
        rope = config["rope_parameters"] | {"alpha": alpha}
        architecture, written = metadata_of(config | {"rope_parameters": rope})
        stored = {k: as_written(value)[1] for k, value in written.items()}
        found = config_of(architecture, stored, {"token_embd.weight": (30, 24)})
        assert found["rope_parameters"]["alpha"] == alpha
    assert found["eod_token_id"] is None
    stored["tokenizer.ggml.eos_token_id"] = 7
    found = config_of(architecture, stored, {"token_embd.weight": (30, 24)})
    assert found["eod_token_id"] == 7
    plain = stored | {"hunyuan-dense.context_length": 32768}  # of another converter
    found = config_of(architecture, plain, {"token_embd.weight": (30, 24)})
    assert found["rope_parameters"]["rope_type"] == "default"
    assert found["rope_parameters"]["rope_theta"] > 1e7


def test_experts_that_transformers_does_not_have():
    with pytest.raises(UnsupportedError, match="no nomic-bert with experts"):
        read("nomic-bert-moe")


def test_a_hand_written_nomic_bert_is_taken_at_its_word():
    architecture, written = metadata_of(config_in("nomic-bert-moe"))
    assert architecture == "nomic-bert-moe"
    assert written["nomic-bert-moe.block_count"] == 3
    assert written["nomic-bert-moe.embedding_length"] == 24
    assert written["nomic-bert-moe.context_length"] == 512


def llama(**more):
    """Metadata and shapes of a small llama; a key of value None is taken out."""
    metadata = {
        "llama.block_count": 2,
        "llama.context_length": 64,
        "llama.embedding_length": 24,
        "llama.feed_forward_length": 28,
        "llama.attention.head_count": 4,
        "llama.attention.layer_norm_rms_epsilon": float(np.float32(1e-5)),
        **{f"llama.{key.replace('__', '.')}": value for key, value in more.items()},
    }
    present = {key: value for key, value in metadata.items() if value is not None}
    return "llama", present, {"token_embd.weight": (30, 24)}


def test_what_llama_cpp_takes_an_absent_key_for():
    config = config_of(*llama())
    assert config["num_key_value_heads"] == 4
    assert config["head_dim"] == 6
    assert config["rope_parameters"] == {"rope_theta": 10000.0, "rope_type": "default"}
    assert config["tie_word_embeddings"] is True
    assert config["rms_norm_eps"] == 1e-5  # and not the float32 next to it
    assert [config[f"{token}_token_id"] for token in ("bos", "eos", "pad")] == [None] * 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_count", None),
        ("block_count", 0),
        ("block_count", -1),
        ("block_count", 10**9),
        ("block_count", "2"),
        ("block_count", True),
        ("block_count", 2.0),
        ("context_length", [64, 64, 64]),
        ("embedding_length", None),
        ("embedding_length", 2**40),
        ("attention__head_count", 0),
        ("attention__head_count", range(2**40)),
        ("attention__head_count_kv", [1]),
        ("attention__head_count_kv", [2, "x"]),
        ("attention__layer_norm_rms_epsilon", float("nan")),
        ("attention__layer_norm_rms_epsilon", "small"),
        ("attention__layer_norm_rms_epsilon", None),
        ("rope__freq_base", 0.0),
        ("rope__freq_base", -1.0),
        ("rope__freq_base", float("inf")),
        ("rope__scaling__type", 3),
        ("rope__scaling__factor", "four"),
        ("expert_count", [3, -3]),
    ],
)
def test_a_malformed_key_is_named(key, value):
    name = f"llama.{key.replace('__', '.')}"
    with pytest.raises(GGUFError, match=name) as caught:
        config_of(*llama(**{key: value}))
    assert len(str(caught.value)) < 200


def test_layers_that_differ_are_not_averaged():
    with pytest.raises(UnsupportedError, match=r"llama\.attention\.head_count_kv differs"):
        config_of(*llama(attention__head_count_kv=[2, 4]))
    assert config_of(*llama(attention__head_count_kv=[2, 2]))["num_key_value_heads"] == 2


def test_what_transformers_cannot_express():
    with pytest.raises(UnsupportedError, match="different sizes"):
        config_of(*llama(attention__key_length=6, attention__value_length=8))
    with pytest.raises(UnsupportedError, match="not the size of a head"):
        config_of(*llama(rope__dimension_count=4))
    with pytest.raises(UnsupportedError, match="'spiral'"):
        config_of(*llama(rope__scaling__type="spiral"))


def test_factors_must_be_given_and_fit():
    architecture, metadata, shapes = llama()
    shapes["rope_freqs.weight"] = (3,)
    with pytest.raises(UnsupportedError, match=r"rope_freqs\.weight are needed"):
        config_of(architecture, metadata, shapes)
    with pytest.raises(UnsupportedError, match="2 factors for 3 frequencies"):
        config_of(architecture, metadata, shapes, {"rope_freqs.weight": [1.0, 2.0]})


def test_factors_that_are_not_llama_3s_are_taken_as_they_are():
    architecture, metadata, shapes = llama()
    shapes["rope_freqs.weight"] = (3,)
    factors = [1.0, 1.5, 2.25]
    config = config_of(architecture, metadata, shapes, {"rope_freqs.weight": factors})
    assert config["rope_parameters"]["rope_type"] == "longrope"
    assert config["rope_parameters"]["short_factor"] == factors
    assert rope_factors_of(config)["rope_freqs.weight"].tolist() == factors


def test_an_unknown_family_is_named():
    with pytest.raises(UnsupportedError, match="architecture 'rwkv7'"):
        config_of("rwkv7", {}, {})
    with pytest.raises(UnsupportedError, match="model type 'clip'"):
        metadata_of({"model_type": "clip"})
    with pytest.raises(CheckpointError, match="lacks model_type"):
        metadata_of({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", "wide"),
        ("hidden_size", -3),
        ("num_attention_heads", "four"),
        ("num_hidden_layers", None),
        ("rope_parameters", [1]),
        ("vocab_size", None),
    ],
)
def test_a_malformed_setting_is_named(name, value):
    with pytest.raises(CheckpointError, match=name):
        metadata_of({**config_in("llama"), name: value})


def test_nothing_is_changed_that_was_given():
    config = config_in("qwen2")
    before = json.dumps(config)
    metadata_of(config)
    rope_factors_of(config)
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "every fourth layer"),
        ("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 3}, "every fourth layer"),
        ("olmoe", {"num_key_value_heads": 2}, "as many heads of keys and values"),
    ],
)
def test_what_llama_cpp_has_built_in_otherwise_is_refused(name, changes, words):
    with pytest.raises(UnsupportedError, match=words):
        metadata_of(config_in(name) | changes)


@pytest.mark.parametrize("kind", ["qwen2", "llama4_text"])
def test_more_layers_than_anybody_has_are_refused_at_once(kind):
    """Before the class of the configuration makes a list of as many."""
    config = {"model_type": kind, "num_hidden_layers": 2**40}
    for given in (config, {"model_type": "qwen3_5", "text_config": config}):
        with pytest.raises(CheckpointError, match=r"num_hidden_layers .* at most 512"):
            metadata_of(given)


def test_layers_without_positions_are_a_list():
    config = config_in("llama4") | {"no_rope_layers": 5}
    with pytest.raises(CheckpointError, match=r"no_rope_layers in config\.json is 5"):
        metadata_of(config)
