"""What llama.cpp would refuse is refused before it is written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab.errors import CheckpointError, UnsupportedError

from ..reference.support import ramp
from .checkpoints import checkpoint_with, exported, llama_tensors, llama_with, tensors_of
from .small_models import DATA, causal, other

if TYPE_CHECKING:
    from pathlib import Path

DOWN = "model.layers.1.mlp.down_proj.weight"
EXPERT = "model.layers.1.block_sparse_moe.experts.2."


def refused(checkpoint: Any, tmp_path: Path, words: str, **settings: Any) -> None:
    """Neither export nor plan takes it, and nothing is written."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=words):
        exported(checkpoint, tmp_path / "f.gguf", **settings)
    with pytest.raises(CheckpointError, match=words):
        gl.plan(checkpoint, target_bits_per_weight=8, progress=False)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("qtype", ["F16", "Q4_K_M"])
def test_a_tensor_is_missing(tmp_path: Path, qtype: str) -> None:
    tensors = llama_tensors()
    del tensors[DOWN]
    hf = llama_with(tmp_path / "hf", tensors)
    words = "no llama without 'blk.1.ffn_down.weight' or .*', for which.*all of its files"
    refused(hf, tmp_path, words, qtype=qtype)


def test_one_shard_of_several(tmp_path: Path) -> None:
    hf = shutil.copytree(DATA / "llama3-tied" / "hf", tmp_path / "hf")
    refused(hf / "model-00002-of-00003.safetensors", tmp_path, r"without '.*' and \d+ more, for")


def test_a_whole_layer_is_missing(tmp_path: Path) -> None:
    tensors = {name: t for name, t in llama_tensors().items() if ".layers.2." not in name}
    refused(llama_with(tmp_path / "hf", tensors), tmp_path, "'blk.2.attn_norm.weight'")


def test_billions_of_layers_cost_no_time(tmp_path: Path) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors(), num_hidden_layers=4_000_000_000)
    refused(hf, tmp_path, "num_hidden_layers in config.json is 4000000000; expected at most 512")


def test_of_hundreds_of_missing_layers_the_first_are_named(tmp_path: Path) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors(), num_hidden_layers=512)
    refused(hf, tmp_path, "'blk.3.attn_norm.weight'.* more, for which")


@pytest.mark.parametrize(
    ("part", "words"), [(".EncDecAttention.q.", "'dec.blk.0.cross_attn_q.weight'"), ("", "'dec.")]
)
def test_something_of_the_decoder_is_missing(tmp_path: Path, part: str, words: str) -> None:
    tensors = tensors_of("umt5")
    less = {n: t for n, t in tensors.items() if not n.startswith("decoder.") or part not in n}
    assert len(less) < len(tensors)
    refused(checkpoint_with(tmp_path / "hf", "umt5", less), tmp_path, words)


def test_an_output_of_its_own_is_missing(tmp_path: Path) -> None:
    """The file would load, and compute with the embeddings instead."""
    tensors = llama_tensors()
    del tensors["lm_head.weight"]
    hf = llama_with(tmp_path / "hf", tensors)
    refused(hf, tmp_path, "nothing for 'output.weight'")
    body = llama_with(tmp_path / "body", tensors, architectures=["LlamaModel"])
    assert "output.weight" not in exported(body, tmp_path / "f.gguf").tensors


def test_what_llama_cpp_has_no_model_for_is_told_from_a_missing_file(tmp_path: Path) -> None:
    model = causal("starcoder2", use_bias=False)
    refused(model, tmp_path, "'blk.0.attn_output.bias'.*if it is complete, llama.cpp has no such")


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (f"{EXPERT}w", r"'blk.1.ffn_gate_exps.weight' would be \(2, 40, 24\).*of experts is 3"),
        (f"{EXPERT}w2", r"'blk.1.ffn_down_exps.weight' would be \(2, 24, 40\)"),
    ],
)
def test_an_expert_is_missing(tmp_path: Path, gone: str, words: str) -> None:
    tensors = {name: t for name, t in tensors_of("mixtral").items() if not name.startswith(gone)}
    refused(checkpoint_with(tmp_path / "hf", "mixtral", tensors), tmp_path, words)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        (DOWN, (160, 96), r"ffn_down.weight' would be \(160, 96\), but the hidden size is 96"),
        (DOWN, (96, 150), r"ffn_down.weight' .* width of the feed-forward layers is 160"),
        (DOWN.replace("down", "up"), (150, 96), r"ffn_up.weight' .* layers is 160"),
        ("model.embed_tokens.weight", (500, 96), "'token_embd.weight' .* vocabulary is 512"),
        ("model.embed_tokens.weight", (512, 90), "'token_embd.weight' .* hidden size is 96"),
        ("lm_head.weight", (500, 96), "'output.weight' .* size of the vocabulary is 512"),
    ],
)
def test_a_shape_contradicts_the_configuration(
    tmp_path: Path, name: str, shape: tuple[int, ...], words: str
) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors() | {name: ramp(*shape)})
    refused(hf, tmp_path, words)


HEADS_AND_EXPERTS = [
    ("llama", {}, {"num_attention_heads": 8}, "'blk.0.attn_q.weight' .* their width is 128"),
    ("qwen3", {}, {"num_key_value_heads": 1}, "'blk.0.attn_k.weight' .* their width is 24"),
    ("phi3", {"head_dim": 24}, {}, "'blk.0.attn_qkv.weight' .* values together is 128"),
    ("qwen2", {"head_dim": 24}, {}, "'blk.0.attn_q.weight' .* takes the hidden size, is 64"),
    ("exaone4", {"head_dim": 24}, {}, "'blk.0.attn_output.weight' .* the hidden size, is 64"),
    ("qwen3_moe", {}, {"moe_intermediate_size": 48}, "'blk.0.ffn_up_exps.weight' .* expert is 48"),
    ("mixtral", {}, {"intermediate_size": 48}, "'blk.0.ffn_up_exps.weight' .* layers is 48"),
    (
        *("qwen2_moe", {}, {"shared_expert_intermediate_size": 48}),
        "'blk.0.ffn_up_shexp.weight' .* width of the shared experts is 48",
    ),
    ("deepseek_v2", {}, {"v_head_dim": 24}, "'blk.0.attn_output.weight' .* width is 96"),
    ("deepseek_v2", {}, {"kv_lora_rank": 16}, "'blk.0.attn_kv_a_norm.weight' .* values is 16"),
    ("ernie4_5", {}, {"num_key_value_heads": 1}, "'blk.0.attn_k.weight' .* their width is 24"),
    (
        *("ernie4_5_moe", {"moe_layer_start_index": 0}, {"moe_num_shared_experts": 1}),
        "'blk.0.ffn_up_shexp.weight' .* width of the shared experts is 32",
    ),
    (
        *("dots1", {"first_k_dense_replace": 0}, {"moe_intermediate_size": 48}),
        "'blk.0.ffn_up_exps.weight' .* expert is 48",
    ),
    (
        *("glm4_moe", {"first_k_dense_replace": 0}, {"n_shared_experts": 2}),
        "'blk.0.ffn_up_shexp.weight' .* width of the shared experts is 64",
    ),
]


@pytest.mark.parametrize(("kind", "settings", "changed", "words"), HEADS_AND_EXPERTS)
def test_heads_or_experts_of_another_width(
    tmp_path: Path, kind: str, settings: Any, changed: dict[str, Any], words: str
) -> None:
    model = causal(kind, num_hidden_layers=1, **settings)
    for name, value in changed.items():  # afterwards: the weights are others
        setattr(model.config, name, value)
    refused(model, tmp_path, words)


@pytest.mark.oracle
@pytest.mark.parametrize(("kind", "settings", "changed", "words"), HEADS_AND_EXPERTS)
def test_llama_cpp_refuses_them_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    settings: Any,
    changed: dict[str, Any],
    words: str,
) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    model = causal(kind, num_hidden_layers=1, **settings)
    if not settings:
        exported(model, tmp_path / "sound.gguf")
    for name, value in changed.items():
        setattr(model.config, name, value)
    monkeypatch.setattr("gguf_lab.bridge.drafting.check_loadable", lambda *_: None)
    exported(model, tmp_path / "f.gguf")
    for path in sorted(tmp_path.glob("*.gguf")):
        loads = llama_cpp.llama_model_load_from_file
        found = loads(str(path).encode(), llama_cpp.llama_model_default_params())
        assert bool(found) == (path.name == "sound.gguf"), words
        if found:
            llama_cpp.llama_model_free(found)


@pytest.mark.parametrize(
    ("folder", "changed", "words"),
    [
        ("t5", {"d_kv": 12}, "'dec.blk.0.attn_k.weight' .* their width is 48"),
        ("gemma4", {"head_dim": 12}, "'blk.0.attn_k.weight' .* their width is 24"),
    ],
)
def test_heads_of_other_kinds(
    tmp_path: Path, folder: str, changed: dict[str, int], words: str
) -> None:
    hf = checkpoint_with(tmp_path / "hf", folder, tensors_of(folder), **changed)
    refused(hf, tmp_path, words)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("gpt_oss", {"head_dim": 3}, "3 values of a head are rotated, and llama.cpp rotates pairs"),
        ("qwen3", {"head_dim": 1}, "1 values of a head are rotated"),
        ("gemma4_text", {"head_dim": 1}, "1 values of a head are rotated"),
        ("glm4", {"head_dim": 2}, "1 values of a head are rotated"),
        ("phi", {"hidden_size": 40}, "5 values of a head are rotated"),
        ("gpt_neox", {"hidden_size": 56}, "3 values of a head are rotated"),
        (
            *("deepseek_v2", {"n_group": 2, "topk_method": "group_limited_greedy"}),
            "4 experts in 2 groups, of which 0 are used",
        ),
        ("mixtral", {"num_experts_per_tok": 5}, "5 of 4 experts are used"),
    ],
)
def test_heads_and_experts_with_which_llama_cpp_ends(
    tmp_path: Path, kind: str, settings: dict[str, Any], words: str
) -> None:
    """It loads such a file, or not even that, and ends the process."""
    refused(causal(kind, **settings), tmp_path, words)


@pytest.mark.parametrize("layer", ["full_attention", "sliding_attention"])
def test_an_embeddinggemma_of_one_kind_of_layers(layer: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="an embeddinggemma of one kind of layers"):
        exported(other("gemma3_text", layer_types=[layer] * 3), tmp_path / "f.gguf")


def test_a_decoder_of_more_layers_than_the_encoder(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="more layers in its decoder"):
        exported(other("t5", num_decoder_layers=4), tmp_path / "f.gguf")
    exported(other("mt5", num_decoder_layers=2), tmp_path / "f.gguf")


def test_experts_of_an_lfm2_without_corrections(tmp_path: Path) -> None:
    hf = checkpoint_with(tmp_path / "hf", "lfm2moe", tensors_of("lfm2moe"), use_expert_bias=False)
    with pytest.raises(UnsupportedError, match="an lfm2_moe without use_expert_bias"):
        exported(hf, tmp_path / "f.gguf")


@pytest.mark.parametrize("kind", ["glm4_moe", "dots1"])
def test_experts_none_of_which_is_shared(tmp_path: Path, kind: str) -> None:
    model = causal(kind)
    model.config.n_shared_experts = 0
    with pytest.raises(UnsupportedError, match="experts without one that is shared"):
        exported(model, tmp_path / "f.gguf")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [(None, "is not there"), (ramp(2), r"has shape \(2,\)")],
    ids=["none", "two"],
)
def test_the_numbers_of_an_activation_are_one_each(tmp_path: Path, tensor: Any, words: str) -> None:
    tensors = {**tensors_of("apertus"), "model.layers.1.mlp.act_fn.beta": tensor}
    hf = checkpoint_with(
        tmp_path / "hf", "apertus", {name: t for name, t in tensors.items() if t is not None}
    )
    refused(hf, tmp_path, f"'model.layers.1.mlp.act_fn.beta', a number of the activation, {words}")


def test_an_apertus_that_is_tied(tmp_path: Path) -> None:
    refused(causal("apertus", tie_word_embeddings=True), tmp_path, "no apertus without 'output.w")


@pytest.mark.parametrize("kind", ["gpt2", "bloom"])
def test_heads_that_are_not_rotated_may_be_odd(tmp_path: Path, kind: str) -> None:
    exported(causal(kind, hidden_size=20, n_embd=20), tmp_path / "f.gguf")


DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 1.0}
TURNED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        *(
            (kind, {"layer_types": ["full_attention"] * 3}, "no layer has a sliding window")
            for kind in ("gemma2", "gpt_oss", "cohere2")
        ),
        (
            "exaone4",
            {"num_hidden_layers": 64, "layer_types": ["full_attention"] * 64},
            "64 layers of which none",
        ),
        ("gemma4_text", {"num_kv_shared_layers": 1}, "layers 3 and 4, the last with keys"),
        ("gemma4_text", {"num_kv_shared_layers": 3}, "layers 1 and 2, the last with keys"),
        ("lfm2", {"layer_types": ["full_attention"] * 3}, "an lfm2 of one kind of layers"),
        ("lfm2", {"layer_types": ["conv"] * 3}, "an lfm2 of one kind of layers"),
        ("lfm2", {"conv_L_cache": 1}, "an lfm2 with conv_L_cache of 1"),
        *(
            (kind, {"layer_types": [f"{layers}_attention"] * 3}, "in all layers or in none")
            for kind in ("qwen3_next", "qwen3_5_text")
            for layers in ("full", "linear")
        ),
        ("ernie4_5_moe", {"moe_layer_interval": 2}, "experts in each 2. layer from 1 to 2 of 3"),
        ("ernie4_5_moe", {"moe_layer_end_index": 1}, "experts in each 1. layer from 1 to 1 of 3"),
        ("hunyuan_v1_dense", {"rope_parameters": DYNAMIC}, "without alpha"),
        ("hunyuan_v1_dense", {"max_position_embeddings": 256}, "and a context of 256"),
        (
            *("hunyuan_v1_dense", {"rope_parameters": DYNAMIC | {"rope_theta": 5e5, "alpha": 2.0}}),
            "a rotary base of 500000.0",
        ),
        ("dots1", {"num_key_value_heads": 2}, "dots1 only with as many heads"),
        ("llama4_text", {"num_hidden_layers": 3}, "a llama4 of 3 layers"),
        ("llama4_text", {"layer_types": ["full_attention"] * 4}, "not every fourth layer"),
        ("llama4_text", {"no_rope_layers": [1] * 4}, "not every fourth layer"),
        ("llama4_text", {"moe_layers": [0, 1]}, "experts in other layers than interleave"),
        ("nemotron_h", {"layers_block_type": ["mamba", "mlp"]}, "without full_attention"),
        ("nemotron_h", {"layers_block_type": ["attention", "moe"]}, "without linear_attention"),
        (
            *("nemotron_h", {"layers_block_type": ["mlp", "moe", "attention", "mamba"]}),
            "some layers are dense and others have experts",
        ),
        ("ministral3", {"rope_parameters": {"rope_type": "default"}}, "'default': only with yarn"),
        *(
            ("falcon_h1", settings, words)
            for settings, words in (
                ({"tie_word_embeddings": True}, "another lm_head_multiplier than embedding_mult"),
                ({"attention_bias": True}, "adds three of the four"),
                ({"mlp_bias": True}, "mlp_bias and mlp_multipliers other than 1"),
                ({"mamba_conv_bias": False}, "without mamba_conv_bias"),
            )
        ),
        *(
            ("granitemoehybrid", settings, words)
            for settings, words in (
                ({"layer_types": ["linear_attention"] * 3}, "a granite 4 without attention"),
                ({"layer_types": ["full_attention"] * 3}, "without rotary positions"),
                ({"mamba_expand": 3, "mamba_d_head": 24}, "mamba_expand other than 2"),
                ({"mamba_conv_bias": False}, "without mamba_conv_bias"),
            )
        ),
        ("qwen3_next", {"linear_value_head_dim": 8}, "keys of 16 and of values of 8"),
        ("qwen3_5_text", {"head_dim": 24}, r"\[11, 11, 10\] with heads of 24"),
        ("qwen3_5_moe_text", {"rope_parameters": TURNED | {"mrope_section": [0, 0, 0]}}, "of 32"),
        ("qwen3_5_text", {"rope_parameters": TURNED | {"mrope_section": [4, 0, 0]}}, "pairs of no"),
    ],
)
def test_layers_with_which_llama_cpp_ends(
    tmp_path: Path, kind: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words):
        exported(causal(kind, **settings), tmp_path / "f.gguf")
    assert not [*tmp_path.iterdir()]


def test_a_llama_4_without_experts(tmp_path: Path) -> None:
    model = causal("llama4_text", moe_layers=[])
    model.config.num_local_experts = 0
    with pytest.raises(UnsupportedError, match="a llama4 without experts"):
        exported(model, tmp_path / "f.gguf")


def test_a_nemotron_h_that_predicts_further_tokens(tmp_path: Path) -> None:
    more = {"mtp.layers.0.norm.weight": ramp(24)}
    hf = checkpoint_with(tmp_path / "hf", "nemotron-h-moe", tensors_of("nemotron-h-moe") | more)
    with pytest.raises(UnsupportedError, match="layers that predict further tokens"):
        exported(hf, tmp_path / "f.gguf")


def test_norms_of_queries_are_of_many_layers_in_command_r(tmp_path: Path) -> None:
    """llama.cpp tells by the number of layers whether it asks for them."""
    with pytest.raises(UnsupportedError, match="no command-r with"):
        exported(causal("cohere", use_qk_norm=True), tmp_path / "f.gguf")
    layers = {"num_hidden_layers": 64, "hidden_size": 8, "intermediate_size": 8}
    refused(causal("cohere", **layers), tmp_path, "no command-r without 'blk.0.attn_q_norm.weight'")


def test_all_matrices_are_transposed(tmp_path: Path) -> None:
    """The key of the inner width is corrected by the matrices: not by these."""
    turned = {
        name: ramp(*shape[::-1]) if ".down_proj." in name else (dtype, shape, raw)
        for name, (dtype, shape, raw) in llama_tensors().items()
    }
    refused(llama_with(tmp_path / "hf", turned), tmp_path, "the hidden size is 96; .* and 6 more")


@pytest.mark.parametrize(
    ("kind", "setting", "words"),
    [
        ("qwen3", "attention_bias", "'blk.0.attn_output.bias', 'blk.1.attn_output.bias'"),
        ("qwen3_moe", "attention_bias", "'blk.0.attn_output.bias'"),
        ("gemma", "attention_bias", "'blk.0.attn_output.bias'"),
        ("gemma2", "attention_bias", "'blk.0.attn_output.bias'"),
        ("gemma3_text", "attention_bias", "'blk.0.attn_output.bias'"),
        ("olmo2", "attention_bias", "'blk.0.attn_output.bias'"),
        ("cohere", "attention_bias", "'blk.0.attn_output.bias'"),
        ("deepseek_v2", "attention_bias", "'blk.0.attn_kv_a_mqa.bias'"),
        ("deepseek_v2", "mlp_bias", "'blk.0.ffn_down.bias'"),
        ("mamba", "use_bias", "'blk.0.ssm_in.bias'"),
        ("ernie4_5", "use_bias", "'blk.0.ffn_down.bias'"),
        ("ernie4_5_moe", "use_bias", "'blk.0.ffn_down.bias'"),
        ("hunyuan_v1_dense", "attention_bias", "'blk.0.attn_output.bias'"),
        ("dots1", "attention_bias", "'blk.0.attn_output.bias'"),
        ("mamba2", "use_bias", "'blk.0.ssm_in.bias', 'blk.0.ssm_out.bias'"),
        ("qwen3_next", "attention_bias", "'blk.1.attn_output.bias'"),
        ("qwen3_5_text", "attention_bias", "'blk.1.attn_output.bias'"),
        ("llama4_text", "attention_bias", "'blk.0.attn_output.bias'"),
        ("nemotron_h", "use_bias", "'blk.0.ssm_in.bias', 'blk.0.ssm_out.bias'"),
        ("nemotron_h", "mlp_bias", "'blk.1.ffn_down_shexp.bias', 'blk.1.ffn_up_shexp.bias'"),
        ("falcon_h1", "mamba_proj_bias", "'blk.0.ssm_in.bias'"),
        ("falcon_h1", "projectors_bias", "'blk.0.ssm_out.bias'"),
        ("granitemoehybrid", "mamba_proj_bias", "'blk.0.ssm_in.bias', 'blk.0.ssm_out.bias'"),
        ("lfm2", "conv_bias", "'blk.0.shortconv.conv.bias'"),
    ],
)
def test_biases_that_llama_cpp_has_no_place_for(
    tmp_path: Path, kind: str, setting: str, words: str
) -> None:
    with pytest.raises(UnsupportedError, match=f"llama.cpp has no .*{words}"):
        exported(causal(kind, **{setting: True}), tmp_path / "f.gguf")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["llama", "granite", "granitemoe", "nemotron"])
def test_biases_that_it_has_a_place_for(tmp_path: Path, kind: str) -> None:
    file = exported(causal(kind, attention_bias=True), tmp_path / "f.gguf")
    assert "blk.0.attn_output.bias" in file.tensors


def test_biases_that_the_converter_leaves_out_must_be_zero(tmp_path: Path) -> None:
    model = causal("cohere2", attention_bias=True)
    with pytest.raises(UnsupportedError, match=r"no place for '.*\.bias', and it is not"):
        exported(model, tmp_path / "f.gguf")
    assert not [*tmp_path.iterdir()]
    for name, values in model.named_parameters():
        if name.endswith(".bias"):
            values.data.zero_()
    drafts: list[Any] = []
    file = exported(model, tmp_path / "f.gguf", report=drafts.append)
    assert not [name for name in file.tensors if name.endswith(".bias")]
    assert {*drafts[0].left_out.values()} == {
        "a bias: the converter leaves it out, if it is all zero"
    }
