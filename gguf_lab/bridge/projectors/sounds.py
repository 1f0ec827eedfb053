"""Encoders of sounds that are made from Whisper's, and what projects them.

Facts: llama.cpp's converter, class ``WhisperEncoderModel`` and those that are made from it.
"""

from __future__ import annotations

from ..hyperparameters.config_side import refuse
from .side import Projector, Side, needs, sounds

__all__ = ["AUDIO_FLAMINGO3", "QWEN2_AUDIO", "ULTRAVOX", "VOXTRAL"]

_WHISPER = (
    "ln1.*", "ln2.*", "ffn_up.*", "ffn_down.*", "attn_q.*", "attn_k.weight", "attn_v.*",
    "attn_out.*",
)  # fmt: skip
_BEFORE = ("a.conv1d.1.*", "a.conv1d.2.*", "a.position_embd.weight", "a.post_ln.*")
_STACK = "audio.projector.stack_factor"
_IN_F16 = {"a.conv1d.*.weight": "F16"}


def _qwen2_audio(side: Side) -> dict[str, object]:
    return sounds(side, "qwen2a")


QWEN2_AUDIO = Projector(
    ("qwen2_audio",),
    _qwen2_audio,
    needs(*_BEFORE, "mm.a.fc.*", layers=_WHISPER, prefix="a"),
    _IN_F16,
)


def _audio_flamingo3(side: Side) -> dict[str, object]:
    side.gelu("projector_hidden_act")
    return sounds(side, "musicflamingo")


AUDIO_FLAMINGO3 = Projector(
    ("audioflamingo3",),
    _audio_flamingo3,
    needs(*_BEFORE, "mm.a.mlp.1.*", "mm.a.mlp.2.*", layers=_WHISPER, prefix="a"),
    {"a.conv1d.*.weight": "F32"},
)


def _ultravox(side: Side) -> dict[str, object]:
    side.must_be("projector_act", "swiglu")
    return {**sounds(side, "ultravox"), _STACK: side.count("stack_factor")}


ULTRAVOX = Projector(
    ("ultravox",),
    _ultravox,
    needs(
        *_BEFORE, "mm.a.mlp.1.weight", "mm.a.mlp.2.weight", "mm.a.norm_pre.weight",
        "mm.a.norm_mid.weight", layers=_WHISPER, prefix="a",
    ),
    _IN_F16,
)  # fmt: skip

_STACKED = 4


def _voxtral(side: Side) -> dict[str, object]:
    figures = sounds(side, "voxtral")
    side.gelu("projector_hidden_act")
    width, inside = (figures[f"audio.{k}_length"] for k in ("embedding", "feed_forward"))
    if not isinstance(width, int) or inside != _STACKED * width:
        raise refuse(
            f"a voxtral of intermediate_size {inside} and hidden_size {width}: llama.cpp joins"
            f" {_STACKED} frames, and takes the one for so many times the other"
        )
    return {**figures, _STACK: _STACKED}


VOXTRAL = Projector(
    ("voxtral",),
    _voxtral,
    needs(*_BEFORE, "mm.a.mlp.1.weight", "mm.a.mlp.2.weight", layers=_WHISPER, prefix="a"),
    _IN_F16,
    {"frames": "the mean of each two is taken before four are joined"},
)
