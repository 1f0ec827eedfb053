"""What a tensor does in a model, by its name, and which tensors are never quantized.

Source: ``tensor_get_category``, ``tensor_allows_quantization`` of llama.cpp (``llama-quant.cpp``).
"""

from __future__ import annotations

import re

__all__ = ["TURNED", "WHOLE_NAMES", "layer_of", "role_of", "why_never"]

# The first of these that a name contains says what the tensor does.
_ROLES = {
    "attn_qkv.weight": "attn_v",
    "attn_kv_b.weight": "attn_v",
    "attn_v.weight": "attn_v",
    "attn_k.weight": "attn_k",
    "attn_q.weight": "attn_q",
    "attn_output.weight": "attn_output",
    "ffn_up": "ffn_up",
    "ffn_gate": "ffn_gate",
    "ffn_down": "ffn_down",
}
WHOLE_NAMES = {
    "output.weight": "output",
    "token_embd.weight": "token_embd",
    "per_layer_token_embd.weight": "token_embd",
}

_NEVER = {
    "_norm.weight": "a norm",
    "ffn_gate_inp.weight": "the choice of experts",
    "ffn_gate_tid2eid.weight": "a table of experts",
    "altup": "small",
    "laurel": "small",
    "per_layer_model_proj": "not large",
    "ssm_conv1d": "a small convolution",
    "shortconv.conv.weight": "a small convolution",
    "indexer.k_proj.weight": "small",
    "indexer.q_proj.weight": "small",
    "time_mix_first.weight": "small",
    "time_mix_lerp_fused.weight": "small",
    "attn_rel_b.weight": "relative positions",
    ".position_embd": "positions",
    "sam.pos_embd": "positions",
    "sam.neck.": "of an image encoder",
    "sam.net_": "of an image encoder",
    ".rel_pos": "positions",
    ".patch_embd": "image patches",
    ".patch_merger": "image patches",
    "a.rvq.codebook": "an audio codebook",
    "mm.a.code_embd": "an audio codebook",
} | {
    f"time_mix_{name}.weight": "small"
    for name in (
        *("w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2"),
        *("decay_w1", "decay_w2"),
    )
}
"""Parts of names of tensors that are never quantized, and why."""

_NEVER_WHOLE = {
    "position_embd.weight": "positions",
    "token_types.weight": "token types",
}

_NEVER_IN = {
    "glm5-next": (
        "hc_",
        "indexer.attn_q_b",
        "indexer.attn_k",
        "indexer.proj",
        "indexer_compressor_gate",
        "indexer_compressor_ape",
        "ssm_f_a.weight",
        "ssm_f_b.weight",
        "ssm_g_a.weight",
        "ssm_g_b.weight",
        "ssm_beta.weight",
        "attn_kv_a_mqa.weight",
        "attn_k_b.weight",
        "attn_v_b.weight",
    )
}


def layer_of(name: str) -> int | None:
    """Return the layer that a tensor belongs to, None outside of the layers."""
    match = re.match(r"blk\.(\d+)", name)
    return int(match[1]) if match else None


def role_of(name: str) -> str:
    """Return what a tensor does: "attn_v", "output"; "" if nothing that a mix speaks of."""
    if name in WHOLE_NAMES:
        return WHOLE_NAMES[name]
    return next((role for part, role in _ROLES.items() if part in name), "")


TURNED = {"gemma3": "mm.input_projection.weight"}
"""What llama.cpp turns over when it calculates, by ``clip.projector_type``: blocks can't be.

llama-quantize quantizes it all the same, and llama.cpp computes NaN with the file; its converter
writes it in F16 whatever it is asked for.
"""


def why_never(
    name: str, shape: tuple[int, ...], architecture: str, projector: str = ""
) -> str | None:
    """Return why a tensor is never quantized, None if it may be."""
    if TURNED.get(projector) == name:
        return "llama.cpp turns it over"
    if sum(size > 1 for size in shape[:-1]) == 0:  # leading ones are no dimensions for ggml
        return "one-dimensional"
    if not name.endswith("weight"):
        return "no weight by its name"
    if name in _NEVER_WHOLE:
        return _NEVER_WHOLE[name]
    if any(part in name for part in _NEVER_IN.get(architecture, ())):
        return f"small in {architecture}"
    return next((why for part, why in _NEVER.items() if part in name), None)
