"""The encoders of images and sounds of dots3-note, both in one file.

Facts: llama.cpp's converter, class ``Dots3NoteMmprojModel``.
"""

from __future__ import annotations

from ...transforms import Half
from ..family import LeftOut, Row, Spelling, stacked
from .common import OTHER_PART, projector

__all__ = ["DOTS3_NOTE"]

_HEARS = "audio_encoder.dots_encoder.speech_encoder."

DOTS3_NOTE = projector(
    "dots3note_v",
    "dots3note_a",
    # in the words of the file, which the name map of gguf 0.19 does not know yet
    spellings=(
        *(
            Spelling(theirs, ours)
            for theirs, ours in (
                ("vision_encoder.patch_embed.proj.", "v.patch_embd."),
                ("vision_encoder.patch_embed.norm.", "v.pre_ln."),
                ("vision_encoder.post_trunk_norm.", "mm.post_norm."),
                ("vision_encoder.adapter.ln_q.", "mm.input_norm."),
                ("vision_encoder.adapter.mlp.", "mm."),
                ("vision_encoder.blocks.", "v.blk."),
                (f"{_HEARS}conv2d", "a.conv2d."),
                (f"{_HEARS}conv_out.", "a.conv_out."),
                (f"{_HEARS}layer_norm.", "a.post_ln."),
                (f"{_HEARS}layers.", "a.blk."),
                ("audio_encoder.audio_adapter.proj.0.", "mm.a.norm_pre."),
                ("audio_encoder.audio_adapter.proj.", "mm.a.mlp."),
            )
        ),
        *(
            Spelling(f".{theirs}", f".{ours}", "anywhere")
            for theirs, ours in (
                ("norm_1.", "ln1."),
                ("norm_2.", "ln2."),
                ("attn.qkv.", "attn_qkv."),
                ("attn.proj.", "attn_out."),
                ("attn.q_norm.", "attn_q_norm."),
                ("attn.k_norm.", "attn_k_norm."),
                ("mlp.fc1.", "ffn_gate."),
                ("mlp.fc2.", "ffn_down."),
                ("mlp.fc3.", "ffn_up."),
                ("mlp.gate_weight", "ffn_gate_inp.weight"),
                ("mlp.router_bias", "exp_probs_b.weight"),
                ("self_attn_layer_norm.", "ln1."),
                ("final_layer_norm.", "ln2."),
                ("self_attn.q_proj.", "attn_q."),
                ("self_attn.k_proj.", "attn_k."),
                ("self_attn.v_proj.", "attn_v."),
                ("self_attn.out_proj.", "attn_out."),
            )
        ),
    ),
    left_out=(LeftOut("model.*", OTHER_PART),),
    rows=(
        *(
            stacked(
                f"v.blk.{{layer}}.mlp.experts.{{index}}.{theirs}.weight",
                f"v.blk.{{layer}}.ffn_{ours}_exps.weight",
            )
            for theirs, ours in (("fc1", "gate"), ("fc2", "down"), ("fc3", "up"))
        ),
        *(
            Row(f"a.blk.{{layer}}.fc1.{end}", f"a.blk.{{layer}}.ffn_{kind}.{end}", half)
            for end, axis in (("weight", -2), ("bias", -1))
            for kind, half in (("gate", Half(0, axis=axis)), ("up", Half(1, axis=axis)))
        ),
        *(
            Row(f"a.blk.{{layer}}.fc2.{end}", f"a.blk.{{layer}}.ffn_down.{end}")
            for end in ("weight", "bias")
        ),
    ),
)
