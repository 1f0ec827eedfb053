"""Files that llama.cpp's converter made against their own checkpoints: no difference at all."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gguf_lab.codec import dequantize
from gguf_lab.errors import ComparisonError
from gguf_lab.model import open_model
from gguf_lab.reference import Pair, align, open_checkpoint
from gguf_lab.reference.architectures import FAMILIES, family_of
from gguf_lab.reference.architectures import PROJECTORS as ENCODERS
from gguf_lab.reference.architectures.projectors import projector_types

from .support import DATA, E2M1, PROJECTORS, TABLES, aligned, write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

CONVERTED = {
    path.parent.name: path
    for path in sorted([*DATA.glob("*/*.gguf"), *TABLES.glob("*/*.gguf")])
    if path.stem.endswith(("-f32", "-f16", "-bf16", "-nvfp4")) and (path.parent / "hf").is_dir()
} | {f"mmproj-{path.parent.name}": path for path in sorted(PROJECTORS.glob("*/*.gguf"))}
EVERY = pytest.mark.parametrize("name", CONVERTED)

# What the checkpoint has no tensor for: everything else must be matched.
_FREQS = (
    *("llama3-tied", "deci", "exaone4", "gemma4", "gemma4-moe", "apertus", "arcee", "exaone"),
    "llama-embed",
    *("dflash-gemma", "gemma4-assistant"),
)
_FACTORS = ("phi3-long", "minicpm", "phimoe")
_MATRICES = tuple(f"attn_{kind}" for kind in ("k", "output", "q", "v"))
_SCALED = {
    "llama-nvfp4": (*_MATRICES, "ffn_down", "ffn_gate", "ffn_up"),
    "qwen3moe-nvfp4": (*_MATRICES, "ffn_down_exps", "ffn_gate_exps", "ffn_up_exps"),
}
UNMATCHED = {
    **{
        name: {f"blk.0.{kind}.{end}" for kind in kinds for end in ("scale", "input_scale")}
        for name, kinds in _SCALED.items()
    },
    "mmproj-nemotron": {"v.position_embd.weight"},
    "mmproj-pixtral-mistral": {"v.token_embd.img_break"},
    **{name: {"rope_freqs.weight"} for name in _FREQS},
    "muse-glimmer": {
        f"blk.{layer}.attn_{kind}_norm.weight" for layer in range(2) for kind in ("q", "k")
    },
    **{name: {"rope_factors_long.weight", "rope_factors_short.weight"} for name in _FACTORS},
    "mmproj-mimo-v2.5": {
        "a.rvq.codebook.weight",
        *(f"a.conv1d.{number}.{end}" for number in (1, 2) for end in ("weight", "bias")),
        *(f"a.downsample.{part}.weight" for part in ("conv", "norm")),
        *("a.downsample.norm.bias", "a.post_ln.weight", "a.post_ln.bias"),
        "a.blk.0.attn_k.weight",
        *(
            f"a.blk.0.{part}.{end}"
            for part in ("attn_out", "attn_q", "attn_v", "ffn_down", "ffn_up", "ln1", "ln2")
            for end in ("weight", "bias")
        ),
    },
    **{f"mmproj-{name}": {"a.position_embd.weight"} for name in ("qwen2.5omni", "qwen3omni")},
}

# What the converter leaves out on purpose: everything else must be used.
_SEES = {"model.visual.deepstack_merger_list.0.norm.weight", "model.visual.patch_embed.proj.weight"}
_POOLER = {"pooler.dense.weight", "pooler.dense.bias"}
_ALIBI = {"transformer.relative_pe.slopes", *(f"transformer.h.{i}.attn.bias" for i in range(2))}
LEFT_OUT = {
    "kimi-k3": {"mm_projector.pre_norm.weight", "vision_tower.patch.weight"},
    "deepseek4": {f"mtp.0.{name}" for name in ("norm.weight", "e_proj.weight", "e_proj.scale")},
    "bert": {"bert.pooler.dense.weight", "bert.pooler.dense.bias"},
    "nomic-bert-moe": {"encoder.layers.1.mlp.experts.bias"},
    "apertus": {
        f"model.layers.{layer}.mlp.act_fn.{name}"
        for layer in range(3)
        for name in ("alpha_n", "alpha_p", "beta", "eps")
    },
    "chatglm": {"transformer.rotary_pos_emb.inv_freq"},
    "rwkv7-hf": {f"model.blocks.0.attention.v{part}" for part in range(3)},
    "arwkv7": {f"model.layers.0.self_attn.time_mixer.v{part}" for part in range(3)},
    "grovemoe": {f"model.layers.{layer}.mlp.expert_bias" for layer in range(2)},
    "dots3note": {
        "audio_encoder.audio_adapter.proj.0.weight",
        "vision_encoder.post_trunk_norm.weight",
    },
    "muse-glimmer": {
        "model.vision_adapter.fc1.weight",
        "model.vision_projection.weight",
        "model.vision_tower.ln_pre.weight",
    },
    "gemma4-assistant": {
        "masked_embedding.centroids.weight",
        "masked_embedding.token_ordering",
    },
    "glm5-next": {"model.visual.post_layernorm.weight"},
    "minimax-m3": {
        "multi_modal_projector.linear_1.weight",
        "patch_merge_mlp.linear_1.weight",
        "vision_tower.vision_model.pre_layrnorm.weight",
    },
    "mistral3-sees": {"multi_modal_projector.linear_1.weight", "vision_tower.patch_conv.weight"},
    "qwen2vl": {"visual.blocks.0.norm1.weight", "visual.patch_embed.proj.weight"},
    "mmproj-gemma3": {
        f"vision_tower.vision_model.head.{name}"
        for name in (
            "probe",
            *(f"attention.in_proj_{end}" for end in ("weight", "bias")),
            *(
                f"{module}.{end}"
                for module in ("attention.out_proj", "layernorm", "mlp.fc1", "mlp.fc2")
                for end in ("weight", "bias")
            ),
        )
    },
    "mmproj-paddleocr": {
        "visual.vision_model.embeddings.packing_position_embedding.weight",
        *(
            f"visual.vision_model.head.{name}"
            for name in (
                "probe",
                "attention.in_proj_bias",
                "attention.in_proj_weight",
                "layernorm.weight",
            )
        ),
    },
    "mmproj-qwen2.5omni": {
        "talker.codec_head.weight",
        "thinker.audio_tower.audio_bos_eos_token.weight",
        "token2wav.code2wav_bigvgan_model.conv_pre.bias",
    },
    "mmproj-qwen3omni": {"code2wav.decoder.0.conv.bias", "talker.codec_head.weight"},
    "mmproj-sarashina2vl": {"norm.bias", "norm.weight"},
    "mmproj-glm-asr": {"audio_encoder.proj.weight", "audio_encoder.proj.bias"},
    # LLaVA takes the output of the last layer but one
    "mmproj-llava": {
        f"vision_tower.vision_model.{module}.{end}"
        for module in (
            "post_layernorm",
            *(f"encoder.layers.2.layer_norm{n}" for n in (1, 2)),
            *(f"encoder.layers.2.mlp.fc{n}" for n in (1, 2)),
            *(f"encoder.layers.2.self_attn.{kind}_proj" for kind in ("k", "out", "q", "v")),
        )
        for end in ("weight", "bias")
    },
    "mmproj-granite-speech": {
        f"encoder.layers.{layer}.conv.batch_norm.num_batches_tracked" for layer in range(2)
    },
    "mmproj-granite4_vision": {"model.vision_tower.vision_model.head.probe"},
    "mmproj-janus_pro": {
        f"model.{name}"
        for name in (
            "generation_aligner.fc1.bias",
            "generation_embeddings.weight",
            "generation_head.proj_out.bias",
            "vqmodel.decoder.conv_in.bias",
        )
    },
    "mmproj-lfm2a": {
        *(f"conformer.layers.{k}.conv.batch_norm.num_batches_tracked" for k in (0, 6)),
        "audio_loss_weights",
        "codebook_offsets",
        "depth_embeddings.0.embedding.weight",
        "depth_linear.weight",
        "depthformer.layers.0.operator_norm.weight",
    },
    "mmproj-nemotron": {
        "sound_encoder.encoder.layers.0.conv.norm.num_batches_tracked",
        *(
            f"vision_model.radio_model.{name}"
            for name in (
                "input_conditioner.norm_mean",
                "input_conditioner.norm_std",
                "model.patch_generator.pos_embed",
                "model.patch_generator.video_embedder.weight",
                "summary_idxs",
            )
        ),
    },
    "mmproj-phi4": {
        f"model.vision_tower.vision_tower.vision_model.{name}"
        for name in (
            *(f"encoder.layers.3.layer_norm1.{end}" for end in ("bias", "weight")),
            "head.layernorm.weight",
            "head.probe",
            *(f"post_layernorm.{end}" for end in ("bias", "weight")),
        )
    },
    "cogvlm": {"model.vision.boi", "model.vision.patch_embedding.proj.weight"},
    "hunyuan_vl": {"vit.perceive.before_rms.weight"},
    "jais": _ALIBI,
    "jais-13b": _ALIBI,
    "jais-2024": _ALIBI,
    **{f"jina-bert-v2{kind}": _POOLER for kind in ("", "-2024", "-code", "-code-2024")},
    "neo-bert": {"decoder.weight", "decoder.bias"},
    "paddleocr": {"mlp_AR.pre_norm.weight"},
    "talkie": {"lm_head_gain.w_g"},
    "qwen3vl": _SEES,
    "qwen3vlmoe": _SEES,
}

# what stands in no file, or in another one
ELSEWHERE = {
    "scales of what a layer calculates",
    "part of the language model, which has a file of its own",
    "made from the checkpoint in the folder speech_tokenizer: not compared",
}

# Functions are rounded by whoever calculates them: so many units in the last place may differ. The
# summand of a batch norm is a difference, in which a unit of what is subtracted may be several.
ROUNDED = {
    "-exp(A_log)": 1,
    "exp(A_log)": 1,
    "log(1 + exp(x))": 1,
    "the factor of a batch norm": 2,
    "the summand of a batch norm": 4,
}


def decoded(rows: np.ndarray, qtype: str) -> np.ndarray:
    return np.asarray(dequantize(np.ascontiguousarray(rows), qtype))


def test_every_family_has_a_converted_file() -> None:
    assert len(CONVERTED) >= 80
    models = [open_model(path) for path in CONVERTED.values()]
    families = {family_of(model.architecture or "", model.metadata) for model in models}
    assert families == {*FAMILIES, *ENCODERS}
    types = {kind for model in models for kind in projector_types(model.metadata)}
    assert types == {kind for table in ENCODERS for kind in table.projectors}


@EVERY
def test_converted_files_differ_by_exactly_nothing(name: str) -> None:
    """The same type is compared by bytes; what the converter widened, by the bits of values."""
    model, alignment = aligned(CONVERTED[name])
    assert [p.name for p in alignment.pairs] == list(model.tensors)
    unmatched = {
        p.name for p in alignment.pairs if p.status != "matched" and p.reason not in ELSEWHERE
    }
    assert unmatched == UNMATCHED.get(name, set())
    left = {t.name for t in alignment.reference_only if t.reason not in ELSEWHERE}
    assert left == LEFT_OUT.get(name, set())
    for pair in alignment.pairs:
        if pair.status != "matched":
            continue
        tensor = model.tensors[pair.name]
        ours, theirs = pair.read_stored(0, tensor.n_rows), pair.read(0, tensor.n_rows)
        qtype = pair.stored_dtype
        assert theirs.dtype == np.uint8
        assert theirs.shape[0] == tensor.n_rows
        if units := ROUNDED.get(pair.transform.split(";")[0]):
            values = decoded(ours, qtype), decoded(theirs, pair.dtype)
            np.testing.assert_array_max_ulp(*values, maxulp=units)
        elif qtype == pair.dtype:
            assert np.array_equal(ours, theirs), pair.name
        else:
            assert qtype in {"F32", "F16", "I32", "MXFP4"}
            values = decoded(ours, qtype), decoded(theirs, pair.dtype)
            assert values[0].tobytes() == values[1].tobytes(), pair.name


@EVERY
def test_chunks_are_parts_of_the_whole(name: str) -> None:
    model, alignment = aligned(CONVERTED[name])
    for pair in alignment.pairs:
        if pair.status == "matched":
            n_rows = model.tensors[pair.name].n_rows
            marks = [*range(0, n_rows, 7), n_rows]
            parts = [pair.read(a, b) for a, b in itertools.pairwise(marks)]
            assert np.array_equal(np.concatenate(parts), pair.read(0, n_rows)), pair.name


@pytest.mark.parametrize(
    ("name", "tensor", "words", "n_sources"),
    [
        ("qwen2moe", "blk.2.ffn_gate_exps.weight", "experts 0-2 stacked", 3),
        ("bloom", "blk.0.attn_qkv.bias", "q, k and v taken apart, 4 heads", 1),
        (
            "falcon-new",
            "blk.1.attn_qkv.weight",
            "q, k and v taken apart, 4 heads in groups of 2",
            1,
        ),
        ("gpt2", "blk.1.ffn_up.weight", "transposed", 1),
        ("gemma2", "blk.1.post_ffw_norm.weight", "1 added", 1),
        ("gemma3", "token_embd.weight", "rows 0 to 30, those of the tokenizer's tokens", 1),
        ("gemma4-moe", "blk.0.ffn_down_exps.scale", "", 1),
        ("nemotron", "output_norm.weight", "1 added", 1),
        ("stablelm-qknorm", "blk.0.attn_q_norm.weight", "heads 0-3 stacked", 4),
        ("granitemoe", "blk.0.ffn_up_exps.weight", "second half of the rows", 1),
        ("mamba", "blk.0.ssm_a", "-exp(A_log)", 1),
        ("mamba", "blk.0.ssm_conv1d.weight", "dimension of 1 dropped", 1),
        (
            "deepseek2",
            "blk.0.attn_k_b.weight",
            "the first 6 rows of each of 4 heads; transposed",
            1,
        ),
        ("deepseek2", "blk.0.attn_v_b.weight", "the last 10 rows of each of 4 heads", 1),
        ("gpt-oss", "blk.0.ffn_up_exps.weight", "transposed; odd rows", 1),
        (
            "gpt-oss-mxfp4",
            "blk.0.ffn_gate_exps.weight",
            "MXFP4 blocks and scales decoded; even rows",
            2,
        ),
        ("gpt-oss-mxfp4", "blk.0.ffn_gate_exps.bias", "even elements", 1),
        (
            "qwen3moe-nvfp4",
            "blk.0.ffn_up_exps.weight",
            (
                "e2m1 unpacked; times its scales, each for 1 × 16 weights; times its scales; "
                "experts 0-2 stacked; "
                "the file's weights times blk.0.ffn_up_exps.scale"
            ),
            9,
        ),
        (
            "nomic-bert-moe",
            "blk.1.ffn_down_exps.weight",
            "rows split into 3 experts; transposed",
            1,
        ),
        (
            "internlm2",
            "blk.0.attn_k.weight",
            "k of each group; rows un-permuted for rotary halves, 2 heads",
            1,
        ),
        ("llama4", "blk.1.ffn_up_exps.weight", "transposed; second half of the rows", 1),
        ("mamba2", "blk.0.ssm_norm.weight", "cut into rows of 24", 1),
        ("falcon-h1", "blk.1.attn_k.weight", "times 0.39 and 0.7", 1),
        (
            "falcon-h1",
            "blk.0.ssm_in.weight",
            "times 1.1, runs of rows with multipliers of their own",
            1,
        ),
        ("step35", "blk.2.nextn.hnorm.weight", "1 added", 1),
        ("granite4-dense", "blk.0.ffn_gate.weight", "first half of the rows", 1),
        ("qwen3next", "blk.0.attn_gate.weight", "the gates of all heads", 1),
        ("qwen3_5", "blk.3.nextn.enorm.weight", "1 added", 1),
        ("qwen3_5", "blk.0.ssm_alpha.weight", "heads of values in tiles of 2", 1),
        ("qwen3_5", "blk.0.ssm_out.weight", "columns: heads of values in tiles of 2", 1),
        ("mmproj-gemma4", "a.blk.0.per_dim_scale.weight", "log(1 + exp(x))", 1),
        (
            "mmproj-gemma4",
            "v.patch_embd.weight",
            "cut into patches of 3 × 3; color by color",
            1,
        ),
        (
            "mmproj-kimik25",
            "v.blk.0.attn_qkv.bias",
            (
                "q of q, k and v; axis by axis in 2 heads; k of q, k and v; axis by axis in 2"
                " heads; v of q, k and v; q, k and v joined"
            ),
            1,
        ),
        ("mmproj-lfm2a", "a.blk.6.conv_norm.bias", "the summand of a batch norm", 4),
        ("mmproj-gemma4u", "v.patch_norm.1.bias", "color by color", 1),
        (
            "bailingmoe",
            "blk.0.attn_k.weight",
            "the rows of k; rows un-permuted for rotary halves, 2 heads",
            1,
        ),
        ("bailingmoe", "output.weight", "columns divided by their lengths", 1),
        ("bailingmoe3", "blk.0.ssm_a", "exp(A_log); cut into rows of 1", 1),
        (
            "dots3note",
            "blk.1.attn_k_b.weight",
            "the first 8 rows of each of 2 heads; transposed",
            1,
        ),
        ("dots3note", "blk.1.attn_kv_a_norm.weight", "times 1.33333", 1),
        ("dflash", "blk.0.attn_k_norm.weight", "rows permuted to rotary halves, 1 heads", 1),
        ("sarvam", "blk.1.exp_probs_b.bias", "its mean subtracted", 1),
        ("rwkv6", "blk.1.time_mix_output.weight", "times 0.5", 1),
        (
            "rwkv6qwen2",
            "blk.0.time_mix_w2.weight",
            "transposed; parts in the order 3, 1, 2, 0, 4",
            1,
        ),
        ("rwkv7", "blk.0.time_mix_lerp_fused.weight", "mixes 0-5 stacked", 6),
        ("rwkv7", "blk.1.time_mix_lerp_fused.weight", "dimensions of 1 added", 1),
        ("rwkv7", "blk.0.time_mix_r_k.weight", "rows joined to one", 1),
        ("rwkv7-hf", "blk.0.time_mix_v1.weight", "transposed", 1),
        ("gemma3n", "altup_proj.weight", "projections 0-2 stacked", 3),
        (
            "mmproj-minimax-m3",
            "v.blk.0.attn_k.bias",
            "rotary halves brought together axis by axis, 2 heads",
            1,
        ),
        ("mmproj-mimo-v2.5", "mm.a.code_embd.weight", "channels 0-1 stacked", 2),
        (
            "mmproj-muse-glimmer",
            "v.patch_embd.weight",
            "two frames added; rows as patches",
            1,
        ),
        (
            "bitnet",
            "blk.0.attn_k.weight",
            "ternary: -1, 0 or 1 times the mean of the absolute values",
            1,
        ),
        ("plamo", "blk.0.attn_q.weight", "heads of queries in tiles of 3", 1),
        ("plamo2", "blk.1.post_attention_norm", "0.2 added", 1),
        ("talkie", "blk.0.attn_k.weight", "the second half of each head of 6 times -1", 1),
        (
            "baichuan",
            "blk.0.attn_k.weight",
            "the rows of k; rows un-permuted for rotary halves, 4 heads",
            1,
        ),
    ],
)
def test_words(name: str, tensor: str, words: str, n_sources: int) -> None:
    pairs: dict[str, Pair] = {p.name: p for p in aligned(CONVERTED[name])[1].pairs}
    assert pairs[tensor].transform == words
    assert len(pairs[tensor].reference_names) == n_sources


@pytest.mark.parametrize(
    ("model", "other"), [("qwen2", "qwen3"), ("gemma", "gemma2"), ("lfm2", "lfm2moe")]
)
def test_the_checkpoint_of_another_family_is_refused(model: str, other: str) -> None:
    with pytest.raises(ComparisonError, match="in the file against model type"):
        align(open_model(CONVERTED[model]), open_checkpoint(CONVERTED[other].parent / "hf"))


def test_mxfp4_experts_against_the_decoded_checkpoint(tmp_path: Path) -> None:
    """What Transformers saves after decoding: plain numbers, (experts, in, out)."""
    folder = DATA / "gpt-oss-mxfp4"
    tensors = {}
    for t in open_checkpoint(folder / "hf").tensors.values():
        data = t.read(0, t.n_rows)
        if t.name.endswith("_blocks"):
            scales = open_checkpoint(folder / "hf").tensors[t.name.replace("_blocks", "_scales")]
            exponents = scales.read(0, scales.n_rows).reshape(scales.shape).astype(np.float32)
            nibbles = np.stack([data & 15, data >> 4], axis=-1).reshape(*t.shape[:3], 32)
            values = E2M1[nibbles] * np.exp2(exponents - 127)[..., None]
            plain = values.reshape(*t.shape[:2], -1).swapaxes(1, 2)
            tensors[t.name.removesuffix("_blocks")] = ("F32", plain.shape, plain.tobytes())
        elif not t.name.endswith("_scales"):
            tensors[t.name] = (t.dtype, t.shape, data.tobytes())
    write_checkpoint(tmp_path / "model.safetensors", tensors)
    model = open_model(folder / "gpt-oss-mxfp4-bf16.gguf")
    pairs = [p for p in align(model, open_checkpoint(tmp_path)).pairs if "_exps.weight" in p.name]
    assert len(pairs) == 9
    for pair in pairs:
        tensor = model.tensors[pair.name]
        assert tensor.qtype == "MXFP4"
        theirs = decoded(pair.read(0, tensor.n_rows), pair.dtype)
        assert np.array_equal(decoded(tensor.blocks(), tensor.qtype), theirs), pair.name


@pytest.mark.parametrize("name", ["qwen2vl", "qwen3vlmoe"])
def test_what_thinks_in_a_model_that_speaks_lines_up(name: str, tmp_path: Path) -> None:
    """Qwen2.5-Omni and Qwen3-Omni: a language model within another, which speaks."""
    path, renamed = CONVERTED[name], {}
    for tensor in open_checkpoint(path.parent / "hf").tensors.values():
        raw = tensor.read(0, tensor.n_rows).tobytes()
        renamed[f"thinker.{tensor.name}"] = (tensor.dtype, tensor.shape, raw)
    renamed["talker.codec_head.weight"] = ("F32", (1,), bytes(4))
    write_checkpoint(tmp_path / "model.safetensors", renamed)
    model = open_model(path)
    alignment = align(model, open_checkpoint(tmp_path))
    assert {pair.status for pair in alignment.pairs} == {"matched"}
    reasons = {t.name: t.reason for t in alignment.reference_only}
    assert "part of what speaks" in reasons.pop("talker.codec_head.weight")
    assert all("image or sound encoder" in reason for reason in reasons.values())
