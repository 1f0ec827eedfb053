"""What speaks: the encoder of a voice, and what makes sounds of the language model's output.

Facts: llama.cpp's converter, classes ``Qwen3TTSSpeakerEncoderModel`` and ``PocketTTSMmprojModel``.
All is spelled as in the file: the name map of gguf 0.19 does not know these models yet.
"""

from __future__ import annotations

from ...transforms import Reshape
from ..family import LeftOut, Row, Spelling, stacked
from .common import OTHER_PART, projector, qkv_apart

__all__ = ["POCKET_TTS", "QWEN3_TTS"]

_PREDICTOR = "talker.code_predictor."

QWEN3_TTS = projector(
    "qwen3tts_spkenc",
    "qwen3tts_gen",
    spellings=(
        *(
            Spelling(theirs, ours)
            for theirs, ours in (
                ("speaker_encoder.blocks.0.conv.", "a.conv1d.0."),
                ("speaker_encoder.blocks.", "a.blk."),
                ("speaker_encoder.mfa.conv.", "a.conv_out."),
                ("speaker_encoder.asp.tdnn.conv.", "a.asp_tdnn."),
                ("speaker_encoder.asp.conv.", "a.asp_attn."),
                ("speaker_encoder.fc.", "mm.a.fc."),
                ("talker.model.codec_embedding.", "a.gen.code.out_embd."),
                (f"{_PREDICTOR}model.norm.", "a.gen.code.output_norm."),
                (f"{_PREDICTOR}small_to_mtp_projection.", "a.gen.code.proj_in."),
                (f"{_PREDICTOR}model.layers.", "a.gen.code.blk."),
            )
        ),
        *(
            Spelling(f".{theirs}.", f".{ours}.", "anywhere")
            for theirs, ours in (
                ("tdnn1.conv", "conv_pw1"),
                ("tdnn2.conv", "conv_pw2"),
                ("se_block.conv1", "se_conv1"),
                ("se_block.conv2", "se_conv2"),
                ("input_layernorm", "ln1"),
                ("post_attention_layernorm", "ln2"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.v_proj", "attn_v"),
                ("self_attn.o_proj", "attn_out"),
                ("self_attn.q_norm", "attn_q_norm"),
                ("self_attn.k_norm", "attn_k_norm"),
                ("mlp.gate_proj", "ffn_gate"),
                ("mlp.up_proj", "ffn_up"),
                ("mlp.down_proj", "ffn_down"),
            )
        ),
    ),
    left_out=tuple(
        LeftOut(f"talker.{part}.*", OTHER_PART)
        for part in (
            "model.layers",
            "model.text_embedding",
            "model.norm",
            "text_projection",
            "codec_head",
        )
    ),
    rows=(
        *(
            Row(
                f"a.blk.{{layer}}.res2net_block.blocks.{{n}}.conv.{end}",
                f"a.blk.{{layer}}.res2.{{n}}.{end}",
            )
            for end in ("weight", "bias")
        ),
        stacked(
            f"{_PREDICTOR}model.codec_embedding.{{index}}.weight",
            "a.gen.code.embd.weight",
            "codebooks",
        ),
        stacked(f"{_PREDICTOR}lm_head.{{index}}.weight", "a.gen.code.head.weight", "codebooks"),
    ),
    made_up=(
        LeftOut(
            "a.gen.wav.*",
            "made from the checkpoint in the folder speech_tokenizer: not compared",
        ),
    ),
)


def _seanet(module: str, to: str, residual: int, scaling: int) -> tuple[Row, ...]:
    """Make the rows of convolutions in three stages, and one before and one after them.

    Parameters
    ----------
    module, to : str
        Of the checkpoint, and of the file.
    residual, scaling : int
        Where these two stand in a stage, of which each has three places.
    """
    places = [("0.*", "conv_in"), ("11.*", "conv_out")]
    for stage in range(3):
        blk = f"blk.{stage}"
        places += [
            (f"{3 * stage + residual}.block.1.*", f"{blk}.res_conv1"),
            (f"{3 * stage + residual}.block.3.*", f"{blk}.res_conv2"),
            (f"{3 * stage + scaling}.*", f"{blk}.scale_conv"),
        ]
    return tuple(
        Row(f"mimi.{module}.model.{place}.{end}", f"{to}.{name}.{end}")
        for place, name in places
        for end in ("weight", "bias")
    )


_FLOW = "flow_lm.flow_net."

POCKET_TTS = projector(
    "pockettts_spkenc",
    "pockettts_gen",
    spellings=(
        *(
            Spelling(theirs, ours)
            for theirs, ours in (
                ("flow_lm.speaker_proj_weight", "a.speaker_proj.weight"),
                ("flow_lm.input_linear.", "a.gen.input_linear."),
                ("flow_lm.emb_", "a.gen.emb_"),
                ("flow_lm.out_eos.", "a.gen.out_eos."),
                (f"{_FLOW}input_proj.", "a.gen.flow.input_proj."),
                (f"{_FLOW}cond_embed.", "a.gen.flow.cond_embd."),
                (f"{_FLOW}final_layer.linear.", "a.gen.flow.final.proj."),
                (f"{_FLOW}final_layer.", "a.gen.flow.final."),
                (f"{_FLOW}time_embed.", "a.gen.flow.time."),
                (f"{_FLOW}res_blocks.", "a.gen.flow.blk."),
                ("mimi.downsample.conv.conv.", "a.downsample.conv."),
                ("mimi.upsample.convtr.convtr.", "a.gen.wav.upsample."),
                ("mimi.quantizer.output_proj.", "a.gen.wav.quant_out."),
                ("mimi.encoder_transformer.transformer.layers.", "a.blk."),
                ("mimi.decoder_transformer.transformer.layers.", "a.gen.wav.tfm.blk."),
            )
        ),
        *(
            Spelling(f".{theirs}", f".{ours}", "anywhere")
            for theirs, ours in (
                ("mlp.0.", "up."),
                ("mlp.2.", "down."),
                ("mlp.3.alpha", "norm"),
                ("in_ln.", "norm."),
                ("adaLN_modulation.1.", "ada."),
                ("norm1.", "ln1."),
                ("norm2.", "ln2."),
                ("self_attn.out_proj.", "attn_out."),
                ("linear1.", "ffn_up."),
                ("linear2.", "ffn_down."),
                ("layer_scale_1.scale", "ls1.weight"),
                ("layer_scale_2.scale", "ls2.weight"),
            )
        ),
    ),
    left_out=tuple(
        LeftOut(f"flow_lm.{part}", OTHER_PART)
        for part in ("transformer.*", "out_norm.*", "conditioner.*", "bos_*")
    ),
    rows=(
        *_seanet("encoder", "a.seanet", residual=1, scaling=3),
        *_seanet("decoder", "a.gen.wav.seanet", residual=3, scaling=2),
        *(
            row
            for blocks in ("a.blk.{layer}", "a.gen.wav.tfm.blk.{layer}")
            for row in qkv_apart(f"{blocks}.self_attn.in_proj", f"{blocks}.attn_{{}}")
        ),
        Row("a.gen.wav.quant_out.weight", transform=Reshape((0, -1), "dimension of 1 dropped")),
    ),
)
