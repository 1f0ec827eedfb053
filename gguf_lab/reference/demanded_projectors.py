"""What llama.cpp demands of encoders of images and sounds, by the type of their projector.

Source: ``load_hparams`` and ``load_tensors`` of llama.cpp (``tools/mtmd/clip.cpp``): what is read
with ``required``, whatever the settings are.

In the tables "a.*" stands for "a.weight" and "a.bias", and "a|b" for one of the two. Braces hold
what is put in their place: words, or the key that counts (behind "1:" from one on). A key is
a whole number of 32 bits unless its type stands behind it, and may be missing if it ends with "?".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import TYPE_CHECKING

from ..file import ArrayValue
from ..model.names import MOST_LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FLAGS", "PARTS", "TYPES", "Encoder", "encoders_in"]

PARTS = {"vision": "v", "audio": "a", "gen.audio": "a.gen.code"}
"""What keys of an encoder begin with, behind "clip.", and tensors in its layers."""

FLAGS = {part: f"clip.has_{part.replace('.', '_')}_encoder" for part in PARTS}
"""The key by which a file says that it has an encoder."""

_IN_LAYER = (
    "{0}attn_out.weight",
    "{0}ffn_up.weight|{0}ffn_gate_exps.weight",
    "{0}ffn_down.weight|{0}ffn_gate_exps.weight",
)
_OTHER_LAYERS = ("gemma3nv", "qwen3tts_spkenc", "pockettts_gen")
_SEES_ONLY = "gemma3nv"  # what hears is passed over
_BY_PART = {("qwen2.5o", "vision"): "qwen2.5vl_merger", ("qwen2.5o", "audio"): "qwen2a"}

_ALWAYS = (
    "{0}.embedding_length {0}.attention.head_count {0}.attention.head_dim? "
    "{0}.feed_forward_length {0}.block_count {0}.projection_dim "
    "{0}.attention.layer_norm_epsilon:float32 {0}.attention.head_count_kv? "
    "{0}.feature_layer:array[int32]? use_gelu:bool? use_silu:bool? projector_type:string? "
    "{0}.projector_type:string? "
    "vision.mm_patch_merge_type:string? vision.image_grid_pinpoints:array[int32]?"
)
_ALSO = {
    "vision": (
        "vision.image_size vision.patch_size vision.image_mean:array[float32] "
        "vision.image_std:array[float32] minicpmv_version:int32? minicpmv_query_num?"
    ),
    "audio": "audio.num_mel_bins",
    "gen.audio": "gen.audio.model_variant:string?",
}

_MERGED = "vision.spatial_merge_size?"
_SCALED = "vision.projector.scale_factor?"
_PIXELS = "vision.image_min_pixels vision.image_max_pixels"
_STACKED = "audio.projector.stack_factor"
_TILES = "vision.preproc_min_tiles? vision.preproc_max_tiles?"
_SAM_KEYS = (
    "vision.sam.block_count vision.sam.head_count vision.sam.embedding_length vision.window_size "
    f"{_TILES}"
)
_SAM = (
    "v.sam.pos_embd.weight v.sam.patch_embd.* v.sam.neck.{0,2}.weight v.sam.neck.{1,3}.* "
    "v.sam.net_{2,3}.weight v.view_seperator mm.model.fc.* "
    "v.sam.blk.{vision.sam.block_count}.{attn.qkv,attn.out,pre_ln,post_ln,mlp.lin1,mlp.lin2}.* "
    "v.sam.blk.{vision.sam.block_count}.attn.pos_{h,w}.weight"
)
_WHISPER = "a.conv1d.{1,2}.*"
_CONFORMER = (
    "a.conv1d.{0,2,3,5,6}.* a.pre_encode.out.* "
    "a.blk.{audio.block_count}.{ffn_norm,ffn_norm_1,norm_conv,conv_norm}.* "
    "a.blk.{audio.block_count}.pos_bias_{u,v} a.blk.{audio.block_count}.linear_pos.weight "
)
_CONFORMED = "a.blk.{audio.block_count}.{ffn_up_1,ffn_down_1,conv_dw,conv_pw1,conv_pw2}"
_QFORMER = "{self_attn,cross_attn}_{q,k,v,out,norm}.*"
_QFORMER_FFN = "ffn_{up,down,norm}.*"
_WAV_LAYER = "{attn_q,attn_k,attn_v,attn_out,ffn_up,ffn_down,ls1,ls2}.weight"

# Type: tensors besides those of the layers, keys besides those of all.
_TABLE: dict[str, tuple[str, str]] = {
    "mlp": ("mm.2.weight|mm.3.bias", ""),
    "ldp": (
        (
            "mm.model.mlp.{1,3}.* mm.model.mb_block.{1,2}.block.{0,2}.0.weight "
            "mm.model.mb_block.{1,2}.block.{0,2}.1.* mm.model.mb_block.{1,2}.block.1.fc{1,2}.*"
        ),
        "",
    ),
    "ldpv2": ("mm.model.mlp.{0,2}.* mm.model.peg.0.*", ""),
    "resampler": (
        (
            "resampler.pos_embed_k resampler.query resampler.{proj,kv}.weight "
            "resampler.attn.{q,k,v,out}.* resampler.ln_{q,kv,post}.*"
        ),
        "",
    ),
    "adapter": (
        (
            "adapter.{conv,linear.norm1}.* "
            "adapter.linear.{linear,dense_h_to_4h,gate,dense_4h_to_h}.weight adapter.{boi,eoi}"
        ),
        "",
    ),
    "minicpmv4_6": (
        "mm.{input_norm,up,down}.weight",
        f"{_SCALED} vision.wa_layer_indexes:array[int32]?",
    ),
    "qwen2vl_merger": ("mm.{0,2}.*", f"{_MERGED} vision.n_wa_pattern?"),
    "qwen2.5vl_merger": ("mm.{0,2}.*", f"{_MERGED} vision.n_wa_pattern"),
    "qwen3vl_merger": ("mm.{0,2}.*", f"{_MERGED} vision.n_wa_pattern?"),
    "exaone4_5": (
        "mm.{0,2}.*",
        f"{_MERGED} {_PIXELS} vision.n_wa_pattern? vision.attention.head_count_kv",
    ),
    "ling3vl": ("mm.{input_norm,0,2}.*", f"{_MERGED} vision.n_wa_pattern?"),
    "mimovl": (
        "mm.{0,2}.weight",
        (
            f"{_MERGED} {_PIXELS} vision.attention.head_count_kv vision.window_size "
            "vision.wa_pattern_mode:array[int32]"
        ),
    ),
    "minimax_m3": ("mm.{1,2,merger.fc1,merger.fc2}.*", _MERGED),
    "muse-glimmer": ("mm.{0,1,2}.weight", _MERGED),
    "step3vl": ("mm.{0,1,model.fc}.weight", f"{_SCALED} vision.preproc_image_size?"),
    "youtuvl": (
        "mm.input_norm.weight mm.{0,2}.*",
        f"{_MERGED} vision.window_size vision.wa_layer_indexes:array[int32]",
    ),
    "yasa2": ("v.patch_embd.weight mm.{0,2}.weight", ""),
    "glm4v": ("mm.{model.fc,up,gate,down,post_norm}.weight mm.patch_merger.*", _MERGED),
    "glm5v": (
        "mm.{model.fc,up,gate,down,post_norm}.weight mm.patch_merger.*",
        f"{_MERGED} {_PIXELS} vision.swiglu_clamp:float32",
    ),
    "gemma3": ("mm.{input_projection,soft_emb_norm}.weight", _SCALED),
    "gemma3nv": ("mm.{input_projection,soft_emb_norm}.weight", _SCALED),
    "gemma4v": ("mm.input_projection.weight", _SCALED),
    "gemma4uv": ("mm.input_projection.weight v.patch_norm.{1,2,3}.*", _SCALED),
    "gemma4a": (
        (
            "a.conv1d.{0,1}.weight a.input_projection.weight a.blk.{audio.block_count}."
            "{ffn_norm,ffn_norm_1,ffn_up_1,ffn_down_1,conv_pw1,conv_pw2,conv_dw}.weight"
        ),
        "",
    ),
    "gemma4ua": ("mm.a.input_projection.weight", ""),
    "idefics3": ("mm.model.fc.weight", f"{_SCALED} vision.preproc_image_size?"),
    "lfm2": ("mm.{1,2}.*", _SCALED),
    "kimivl": ("mm.{input_norm,1,2}.*", _SCALED),
    "kimik25": (
        "mm.{input_norm,1,2}.*",
        f"{_SCALED} vision.image_min_pixels? vision.image_max_pixels?",
    ),
    "paddleocr": ("mm.{input_norm,1,2}.*", _PIXELS),
    "deepseek4v": (
        "mm.{1,2}.* v.image_newline v.token_embd.img_{start,end,pad}",
        "vision.projector.scale_factor vision.image_min_pixels",
    ),
    "pixtral": ("mm.{1,2}.weight v.token_embd.img_break", _MERGED),
    "lightonocr": ("mm.{1,2}.weight", f"{_MERGED} vision.preproc_image_size?"),
    "dots_ocr": (
        "mm.{0,2,input_norm}.* mm.post_norm.weight",
        f"vision.projector.scale_factor {_PIXELS}",
    ),
    "dots3note_v": (
        "mm.{0,2,input_norm}.* mm.post_norm.weight",
        f"vision.spatial_merge_size vision.expert_used_count {_PIXELS}",
    ),
    "dots3note_a": (
        "a.conv2d.{1,2,3}.* a.conv_out.weight mm.a.{norm_pre,mlp.1,mlp.3}.*",
        "",
    ),
    "internvl": ("mm.model.mlp.{0,1,3}.*", f"{_SCALED} {_TILES}"),
    "nemotron_v2_vl": ("mm.model.mlp.{0,1,3}.weight", _SCALED),
    "llama4": ("mm.model.{fc,mlp.1,mlp.2}.weight", _SCALED),
    "cogvlm": ("mm.{model.fc,up,gate,down}.weight mm.post_fc_norm.* v.{boi,eoi}", ""),
    "hunyuanvl": (
        "mm.{0,2,model.fc}.* mm.{pre_norm,post_norm}.weight mm.image_{begin,end} v.image_newline",
        f"{_MERGED} vision.image_min_pixels? vision.image_max_pixels?",
    ),
    "janus_pro": ("mm.{0,1}.*", ""),
    "phi4": ("mm.{0,2}.*", _PIXELS),
    "deepseekocr": (_SAM, _SAM_KEYS),
    "deepseekocr2": (_SAM, f"{_SAM_KEYS} vision.attention.head_count_kv"),
    "granite4_vision": (
        (
            "v.image_newline v.proj_blk.{vision.projector.spatial_offsets}.{img_pos,query} "
            "v.proj_blk.{vision.projector.spatial_offsets}.{linear,norm,post_norm}.* "
            f"v.proj_blk.{{vision.projector.spatial_offsets}}.{_QFORMER} "
            f"v.proj_blk.{{vision.projector.spatial_offsets}}.{_QFORMER_FFN}"
        ),
        (
            "vision.projector.spatial_offsets:array[int32] vision.projector.query_side "
            "vision.projector.window_side"
        ),
    ),
    "ultravox": (f"{_WHISPER} mm.a.{{mlp.1,mlp.2,norm_pre,norm_mid}}.weight", _STACKED),
    "voxtral": (f"{_WHISPER} mm.a.mlp.{{1,2}}.weight", _STACKED),
    "meralion": (f"{_WHISPER} mm.a.{{mlp.0,mlp.1,mlp.2,mlp.3,norm_pre}}.*", _STACKED),
    "glma": (f"{_WHISPER} mm.a.{{mlp.1,mlp.2,norm_pre}}.* v.{{boi,eoi}}", _STACKED),
    "musicflamingo": (f"{_WHISPER} mm.a.mlp.{{1,2}}.*", f"{_STACKED}?"),
    "qwen2a": (f"{_WHISPER} mm.a.fc.*", f"{_STACKED}?"),
    "qwen3a": ("a.conv2d.{1,2,3}.* a.conv_out.weight mm.a.mlp.{1,2}.*", f"{_STACKED}?"),
    "lfm2a": (
        f"{_CONFORMER} {_CONFORMED}.* mm.a.mlp.{{0,1,3}}.*",
        "",
    ),
    "parakeet": (
        (
            f"{_CONFORMER} {_CONFORMED}.weight a.blk.{{audio.block_count}}.conv_norm_{{mean,var}} "
            "mm.model.mlp.{0,1,3}.weight"
        ),
        "audio.subsampling_factor audio.conv_kernel_size",
    ),
    "granite_speech": (
        (
            "a.{input_projection,enc_ctc_out,enc_ctc_out_mid,proj_norm,proj_linear}.* a.proj_query "
            "a.blk.{audio.block_count}."
            "{ffn_norm,ffn_norm_1,ffn_up_1,ffn_down_1,norm_conv,conv_norm,conv_pw1,conv_pw2}.* "
            "a.blk.{audio.block_count}.{attn_rel_pos_emb,conv_dw.weight} "
            f"a.proj_blk.{{0,1}}.{_QFORMER} a.proj_blk.{{0,1}}.{_QFORMER_FFN}"
        ),
        (
            "audio.chunk_size audio.conv_kernel_size audio.max_pos_emb audio.projector.window_size "
            "audio.projector.downsample_rate audio.projector.head_count"
        ),
    ),
    "mimo_audio": (
        (
            f"{_WHISPER} a.{{downsample.conv,rvq.codebook}}.weight a.downsample.norm.* "
            "mm.a.{code_embd,local_norm,mlp.1,mlp.2}.weight "
            "mm.a.local_blk.{audio.local_block_count}.attn_{q,k,v}.* "
            "mm.a.local_blk.{audio.local_block_count}."
            "{attn_out,ffn_gate,ffn_up,ffn_down,ln1,ln2}.weight"
        ),
        (
            "audio.rvq.num_quantizers audio.rvq.codebook_size:array[int32] audio.window_size "
            "audio.wa_pattern_mode:array[int32] audio.local_block_count audio.local_group_size"
        ),
    ),
    "qwen3tts_spkenc": (
        (
            "a.{conv1d.0,conv_out,asp_attn,asp_tdnn}.* mm.a.fc.* "
            "a.blk.{1:audio.block_count}.{conv_pw1,conv_pw2,se_conv1,se_conv2}.* "
            "a.blk.{1:audio.block_count}.res2.{0,1,2,3,4,5,6}.*"
        ),
        "",
    ),
    "qwen3tts_gen": (
        (
            "a.gen.code.{embd,head,out_embd,output_norm}.weight "
            "a.gen.wav.quant.{first,rest}.{in_proj,out_proj,codebook}.weight "
            "a.gen.wav.{pre_conv,tfm.in_proj,tfm.out_proj,dac.entry,dac.post_conv}.* "
            f"a.gen.wav.tfm.output_norm.weight a.gen.wav.tfm.blk.{{0,1,2,3,4,5,6,7}}.{_WAV_LAYER} "
            "a.gen.wav.tfm.blk.{0,1,2,3,4,5,6,7}.{ffn_gate,ln1,ln2}.weight "
            "a.gen.wav.up.blk.{0,1}.{conv,dwconv,norm,pw1,pw2}.* a.gen.wav.up.blk.{0,1}.gamma "
            "a.gen.wav.dac.blk.{0,1,2,3}.snake.{alpha,beta} a.gen.wav.dac.post_snake.{alpha,beta} "
            "a.gen.wav.dac.blk.{0,1,2,3}.{conv,res.0.conv1,res.1.conv1,res.2.conv1,"
            "res.0.conv2,res.1.conv2,res.2.conv2}.* "
            "a.gen.wav.dac.blk.{0,1,2,3}.res.{0,1,2}.act{1,2}.{alpha,beta}"
        ),
        "",
    ),
    "pockettts_spkenc": (
        (
            "a.seanet.conv_{in,out}.* a.seanet.blk.{0,1,2}.{res_conv1,res_conv2,scale_conv}.* "
            "a.{downsample.conv,speaker_proj}.weight"
        ),
        "",
    ),
    "pockettts_gen": (
        (
            "a.gen.flow.{input_proj,cond_embd,final.ada,final.proj}.* "
            "a.gen.flow.time.{0,1}.{freqs,norm} a.gen.flow.time.{0,1}.{up,down}.* "
            "a.gen.out_eos.* a.gen.input_linear.weight a.gen.emb_{mean,std} "
            "a.gen.wav.{quant_out,upsample}.weight a.gen.wav.seanet.conv_{in,out}.* "
            "a.gen.wav.seanet.blk.{0,1,2}.{res_conv1,res_conv2,scale_conv}.* "
            f"a.gen.wav.tfm.blk.{{gen.audio.block_count}}.{_WAV_LAYER} "
            "a.gen.wav.tfm.blk.{gen.audio.block_count}.ln{1,2}.*"
        ),
        "",
    ),
}

# Type: a key, and what tensors are due besides if it has this value, or is not there.
_DEPENDS = {
    "minicpmv4_6": (
        "vision.projector.scale_factor",
        4,
        (
            "v.vit_merger.{ln1,ds_ln}.* "
            "v.vit_merger.{attn_q,attn_k,attn_v,attn_out,ds_ffn_up,ds_ffn_down}.weight"
        ),
    ),
}

TYPES = frozenset(_TABLE)
"""Types of projectors that llama.cpp knows."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder that a file says to have.

    Attributes
    ----------
    part : {"vision", "audio", "gen.audio"}
        What its keys begin with, behind "clip.".
    projector_type : str
        As llama.cpp takes it; "" if the file does not say it.
    """

    part: str
    projector_type: str

    @property
    def known(self) -> bool:
        """Whether llama.cpp has the type."""
        return self.projector_type in TYPES

    @property
    def layers(self) -> str:
        """What the names of tensors in its layers begin with, before their number."""
        return f"{PARTS[self.part]}.blk."

    def due_keys(self) -> dict[str, tuple[str, bool]]:
        """Return the type of each key that llama.cpp reads, and whether it must be there."""
        own = _TABLE[self.projector_type][1] if self.known else ""
        due = {}
        for word in f"{_ALWAYS} {_ALSO[self.part]} {own}".format(self.part).split():
            key, _, kind = word.removesuffix("?").partition(":")
            due[f"clip.{key}"] = kind or "uint32", not word.endswith("?")
        return due

    def due_tensors(self, metadata: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        """Yield what must be there: a tensor, or one of two."""
        if not self.known:
            return
        words = _TABLE[self.projector_type][0].split()
        key, due, more = _DEPENDS.get(self.projector_type, ("", None, ""))
        if metadata.get(f"clip.{key}", due) == due:
            words += more.split()
        if self.projector_type not in _OTHER_LAYERS:
            start = f"{self.layers}{{{self.part}.block_count}}."
            words += [word.format(start) for word in _IN_LAYER]
        for word in words:
            yield from zip(*(_expanded(name, metadata) for name in word.split("|")), strict=True)


def encoders_in(metadata: Mapping[str, object]) -> list[Encoder]:
    """List the encoders of a file that llama.cpp loads."""
    found: list[Encoder] = []
    for part, flag in FLAGS.items():
        if metadata.get(flag) is not True:
            continue
        told = [metadata.get(f"clip.{of}projector_type") for of in ("", f"{part}.")]
        name = next((text for text in told if text and isinstance(text, str)), "")
        if not (part == "audio" and found and found[0].projector_type == _SEES_ONLY):
            found.append(Encoder(part, _BY_PART.get((name, part), name)))
    return found


def _expanded(word: str, metadata: Mapping[str, object]) -> list[str]:
    """Write out what a word of the tables stands for."""
    word, star, _ = word.partition("*")
    pieces = re.split(r"\{(.*?)\}", word) + (["weight,bias", ""] if star else [])
    choices = ([plain] for plain in pieces[::2]), (_choices(p, metadata) for p in pieces[1::2])
    turns = (choice for pair in zip_longest(*choices, fillvalue=[""]) for choice in pair)
    return ["".join(parts) for parts in product(*turns)]


def _choices(braced: str, metadata: Mapping[str, object]) -> list[str]:
    if "," in braced:
        return braced.split(",")
    first, _, key = braced.rpartition(":")
    value = metadata.get(f"clip.{key}")
    count = len(value) if isinstance(value, ArrayValue) else value
    number = min(count, MOST_LAYERS) if isinstance(count, int) else 0
    return [str(int(first or 0) + n) for n in range(number)]
