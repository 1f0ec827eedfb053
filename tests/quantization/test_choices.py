from __future__ import annotations

import json
from typing import Any

import pytest

from gguf_lab.errors import GGUFError, GGUFLabError, UnsupportedError
from gguf_lab.file import FILE_TYPES, QTYPES
from gguf_lab.quantization import MIXES, Facts, choose_types, file_order, find_mix

from .record_mixes import LETTERS, MIXES_FOLDER, OVERRIDES, SKETCHES, record, write

QTYPE_NAMES = [qtype.name for qtype in QTYPES.values()]
LLAMA = Facts("llama", n_layer=8, n_head=8, n_head_kv=8)


def recorded(name: str) -> dict[str, Any]:
    return json.loads((MIXES_FOLDER / f"{name}.json").read_text())


def options_of(run: str) -> tuple[str, dict[str, Any]]:
    mix, _, option = run.partition(" ")
    options: dict[str, dict[str, Any]] = {
        "": {},
        "imatrix": {"has_imatrix": True},
        "overrides": {"overrides": OVERRIDES},
        "pure": {"pure": True},
    }
    return mix, options[option]


@pytest.mark.parametrize("name", SKETCHES)
def test_the_same_types_as_llama_quantize(name):
    """What llama_model_quantize has chosen for the same tensors, for every mix."""
    model = recorded(name)
    tensors = [(name, tuple(shape), qtype) for name, shape, qtype in model["tensors"]]
    facts = Facts.of(model["metadata"])
    assert {*MIXES} <= {*model["choices"]}
    for run, letters in model["choices"].items():
        mix, options = options_of(run)
        if letters.startswith("refused"):
            with pytest.raises(UnsupportedError):
                choose_types(mix, tensors, facts, **options)
            continue
        expected = [QTYPE_NAMES[LETTERS.index(letter)] for letter in letters]
        choices = choose_types(mix, tensors, facts, **options)
        differing = {
            name: (choice.qtype, wanted, choice.reason)
            for (name, choice), wanted in zip(choices.items(), expected, strict=True)
            if choice.qtype != wanted
        }
        assert differing == {}, run


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", SKETCHES)
def test_the_recorded_choices_are_those_of_llama_cpp(name, tmp_path):
    pytest.importorskip("llama_cpp")
    model = recorded(name)
    assert record(model, write(model, tmp_path / "model.gguf")) == model["choices"]


def chosen(mix: str, tensors: dict[str, tuple[int, ...]], facts: Facts = LLAMA, **options: Any):
    return choose_types(mix, [(n, shape, "F32") for n, shape in tensors.items()], facts, **options)


def test_every_mix_is_a_file_type_and_the_reverse():
    """But for those that llama-quantize does not make (any more)."""
    gone = {"Q4_1_SOME_F16", "Q4_2", "Q4_3", "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "NVFP4"}
    assert {*MIXES} == {*FILE_TYPES.values()} - gone


def test_names_of_mixes():
    assert find_mix("q4_k")[0] == "Q4_K_M"
    assert find_mix("Mxfp4_MoE")[0] == "MXFP4_MOE"
    with pytest.raises(GGUFLabError, match=r"'Q4_K_N' is unknown. Did you mean \"Q4_K_S\""):
        find_mix("Q4_K_N")
    for wrong in (None, 8, ["Q8_0"]):
        with pytest.raises(GGUFLabError, match="is unknown"):
            find_mix(wrong)


def test_the_reason_says_which_rule():
    names = [f"blk.{i}.attn_v.weight" for i in range(8)]
    choices = chosen("Q4_K_M", {"token_embd.weight": (8, 256), **dict.fromkeys(names, (8, 256))})
    reasons = [(choices[name].qtype, choices[name].reason) for name in names]
    more = "Q4_K_M: attn_v, in the first or last eighth of the layers, or every third between"
    assert reasons[0] == reasons[3] == reasons[7] == ("Q6_K", more)
    assert reasons[1] == reasons[2] == ("Q4_K", "Q4_K_M")
    output = choices["token_embd.weight"]
    assert (output.qtype, output.reason) == ("Q6_K", "Q4_K_M: output, which the embeddings are too")


def test_a_fallback_is_said_aloud():
    choices = chosen(
        "Q4_K_S",
        {f"blk.{i}.ffn_up.weight": (4, row) for i, row in enumerate((256, 96, 40))},
    )
    assert [(c.qtype, c.fallback) for c in choices.values()] == [
        ("Q4_K", False),
        ("Q5_0", True),
        ("F16", True),
    ]
    reason = choices["blk.1.ffn_up.weight"].reason
    assert reason == "Q4_K_S; Q5_0 for Q4_K: rows of 96 are no multiple of 256"


def test_the_order_of_the_tensors_given_does_not_matter():
    shapes = {f"blk.{i}.attn_v.weight": (8, 256) for i in range(8)}
    turned = dict(reversed(shapes.items()))
    assert chosen("Q3_K_M", turned) == chosen("Q3_K_M", shapes)
    assert list(chosen("Q3_K_M", turned)) == list(turned)


def test_the_order_of_llama_cpp():
    names = ["blk.10.a", "blk.2.b", "token_embd.weight", "blk.2.a", "output.weight"]
    assert file_order(names) == [
        "output.weight",
        "token_embd.weight",
        "blk.2.a",
        "blk.2.b",
        "blk.10.a",
    ]


def test_which_need_an_importance_matrix():
    shapes = {"output.weight": (4, 256), "blk.0.ffn_up.weight": (4, 256)}
    needing = {mix for mix in MIXES if chosen(mix, shapes)["blk.0.ffn_up.weight"].needs_importance}
    assert needing == {"Q2_K_S", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS"}
    tiny = chosen("Q4_0", shapes, overrides={".": "IQ2_XS"})
    assert not tiny["output.weight"].needs_importance
    assert tiny["blk.0.ffn_up.weight"].needs_importance


def test_overrides():
    matrices = {f"blk.0.attn_{name}.weight": (4, 256) for name in "qk"}
    shapes = {**matrices, "blk.0.attn_norm.weight": (256,)}
    choices = chosen("F16", shapes, overrides={"attn_q": "q8_0", "attn": "BF16"})
    assert [choice.qtype for choice in choices.values()] == ["Q8_0", "BF16", "F32"]
    assert choices["blk.0.attn_q.weight"].reason == "override 'attn_q'"
    assert choices["blk.0.attn_norm.weight"].reason == "never quantized: one-dimensional"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"attn_[": "Q8_0"}, "'attn_\\[' is no regular expression: unterminated"),
        ({"attn_q": "Q9_0"}, "'attn_q': type 'Q9_0' is unknown. Did you mean"),
        ({"attn_x": "Q8_0"}, "'attn_x' decides for no tensor that is quantized"),
        ({"norm": "Q8_0"}, "'norm' decides for no tensor that is quantized"),
        ({"attn_q": 999}, "'attn_q': type 999 is unknown"),
        ({3: "Q8_0"}, "'3' is no regular expression"),
        ([("attn_q", "Q8_0")], "Expected a mapping of patterns to types"),
    ],
)
def test_overrides_that_are_refused(overrides, message):
    shapes = {"blk.0.attn_q.weight": (4, 256), "blk.0.attn_norm.weight": (256,)}
    with pytest.raises(GGUFLabError, match=message):
        chosen("F16", shapes, overrides=overrides)


def test_experts_outside_of_the_layers_are_refused():
    experts = Facts("llama", n_layer=2, n_expert=4)
    with pytest.raises(
        UnsupportedError, match=r"'blk.2.ffn_up.weight' lies in none of the 2 layers"
    ):
        chosen("Q4_K_M", {"blk.2.ffn_up.weight": (4, 256)}, experts)


def test_facts_of_metadata():
    metadata = {"general.architecture": "llama", "llama.block_count": 80}
    assert Facts.of(metadata) == Facts("llama", 80)
    heads = {"llama.attention.head_count": [8, 4], "llama.attention.head_count_kv": [2, 4]}
    facts = Facts.of(metadata | heads)
    assert (facts.n_head, facts.n_head_kv, facts.n_gqa, facts.is_70b) == (8, 2, 4, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": 3}, "'general.architecture' is 3. Expected a text"),
        ({"llama.block_count": None}, '"llama.block_count" is None. Expected a whole number'),
        ({"llama.block_count": -1}, '"llama.block_count" is -1'),
        ({"llama.expert_count": "8"}, '"llama.expert_count" is "8"'),
        ({"llama.attention.head_count": [True]}, "whole number"),
    ],
)
def test_metadata_without_the_facts(change, message):
    metadata = {"general.architecture": "llama", "llama.block_count": 2} | change
    with pytest.raises(GGUFError, match=message):
        Facts.of(metadata)


def test_what_llama_cpp_turns_over_is_never_quantized():
    """llama-quantize does it, and llama.cpp computes NaN with such a projector of gemma 3."""
    tensors = [("mm.input_projection.weight", (64, 64), "F16"), ("mm.0.weight", (64, 64), "F16")]
    for projector, kept in (("gemma3", True), ("gemma4v", False)):
        facts = Facts.of({"general.architecture": "clip", "clip.projector_type": projector})
        found = choose_types("Q8_0", tensors, facts)
        assert found["mm.input_projection.weight"].quantized is not kept
        assert found["mm.0.weight"].qtype == "Q8_0"
