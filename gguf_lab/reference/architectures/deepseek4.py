"""deepseek v4, under the names of DeepSeek's own checkpoints: FP8, and experts in MXFP4.

Facts: llama.cpp's converter, class ``DeepseekV4Model``, which has a map of its own, too.
"""

from __future__ import annotations

from ..facts import HEADS, LAYERS, WIDTH
from .family import Family, LeftOut, Row, stacked

__all__ = ["DEEPSEEK4"]

_OTHER_FILE = "of a layer that predicts further tokens, which has a file of its own"
_OTHER_PART = "part of the image encoder, which has a file of its own (mmproj)"

_OUTSIDE = {
    "embed.weight": "token_embd",
    "norm.weight": "output_norm",
    "head.weight": "output",
    **{f"hc_head_{part}": f"output_hc_{part}" for part in ("fn", "base", "scale")},
}
_INSIDE = {
    **{
        f"hc_{where}_{part}": f"hc_{where}_{part}"
        for where in ("attn", "ffn")
        for part in ("fn", "base", "scale")
    },
    "attn_norm.weight": "attn_norm",
    "attn.attn_sink": "attn_sinks",
    "attn.wq_a.weight": "attn_q_a",
    "attn.wq_b.weight": "attn_q_b",
    "attn.q_norm.weight": "attn_q_a_norm",
    "attn.wkv.weight": "attn_kv",
    "attn.kv_norm.weight": "attn_kv_a_norm",
    "attn.wo_a.weight": "attn_output_a",
    "attn.wo_b.weight": "attn_output_b",
    "attn.indexer.wq_b.weight": "indexer.attn_q_b",
    "attn.indexer.weights_proj.weight": "indexer.proj",
    **{
        f"attn.{theirs}compressor.{part}": f"{ours}_compressor_{name}"
        for theirs, ours in (("", "attn"), ("indexer.", "indexer"))
        for part, name in (
            ("ape", "ape"),
            ("wkv.weight", "kv"),
            ("wgate.weight", "gate"),
            ("norm.weight", "norm"),
        )
    },
    "ffn_norm.weight": "ffn_norm",
    "ffn.gate.weight": "ffn_gate_inp",
    "ffn.gate.tid2eid": "ffn_gate_tid2eid",
}
_EXPERTS = (("w1", "gate"), ("w2", "down"), ("w3", "up"))

DEEPSEEK4 = Family(
    architectures=("deepseek4",),
    model_types=("deepseek_v4",),
    left_out=(
        LeftOut("mtp.*", _OTHER_FILE),
        LeftOut("aligner.*", _OTHER_PART),
        LeftOut("image_*", _OTHER_PART),
    ),
    rows=(
        *(Row(theirs, to=f"{ours}.weight") for theirs, ours in _OUTSIDE.items()),
        *(
            Row(f"layers.{{layer}}.{theirs}", to=f"blk.{{layer}}.{ours}.weight")
            for theirs, ours in _INSIDE.items()
        ),
        Row("layers.{layer}.ffn.gate.bias", to="blk.{layer}.exp_probs_b.bias"),
        Row("layers.{layer}.ffn.gate.bias_vl", to="blk.{layer}.exp_probs_b_vl.bias"),
        *(
            Row(
                f"layers.{{layer}}.ffn.shared_experts.{theirs}.weight",
                to=f"blk.{{layer}}.ffn_{ours}_shexp.weight",
            )
            for theirs, ours in _EXPERTS
        ),
        *(
            stacked(
                f"layers.{{layer}}.ffn.experts.{{index}}.{theirs}.weight",
                to=f"blk.{{layer}}.ffn_{ours}_exps.weight",
            )
            for theirs, ours in _EXPERTS
        ),
    ),
    same=(WIDTH, LAYERS, HEADS),
)
