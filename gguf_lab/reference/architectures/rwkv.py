"""rwkv in its versions 6 and 7, and both in the place of the attention of qwen2.

Facts: llama.cpp's converter, classes ``Rwkv6Model``, ``RWKV6Qwen2Model``, ``Rwkv7Model`` and
``ARwkv7Model``. The state has no heads to agree on.

A token is mixed with the one before it: by how much, for each of the values that are calculated
from the mix (r, w, k ...), is a vector of its own in the checkpoint and a row of
``time_mix_lerp_fused`` in the file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..facts import Quantity
from ..transforms import (
    AsStored,
    Chain,
    Reordered,
    Reshape,
    Stack,
    Times,
    Transform,
    Transpose,
)
from .common import LEFT_OUT
from .family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["ARWKV7", "RWKV6", "RWKV6QWEN2", "RWKV7"]


def _mixes(pattern: str, order: str) -> tuple[Row, ...]:
    """Make rows for vectors that are stacked; `pattern` ends where their letters begin."""
    return tuple(
        Row(
            pattern + letter,
            "blk.{layer}.time_mix_lerp_fused.weight",
            join=partial(Stack, what="mixes"),
            place=place,
        )
        for place, letter in enumerate(order)
    )


def _parameters(module: str, names: dict[str, str], transform: Transform) -> tuple[Row, ...]:
    """Make rows for parameters of a module, whose names do not end in ``.weight``."""
    return tuple(
        Row(f"{module}.{theirs}", f"blk.{{layer}}.{ours}.weight", transform)
        for theirs, ours in names.items()
    )


def _version_6(module: str, mixing: Transform) -> tuple[Row, ...]:
    """Make rows for what stands in the place of attention.

    Parameters
    ----------
    module : str
    mixing : Transform
        Of the two matrices that calculate, from the token, how much to mix.
    """
    transposed = {"time_decay_w1": "time_mix_decay_w1", "time_decay_w2": "time_mix_decay_w2"}
    return (
        *_mixes(f"{module}.time_maa_", "wkvrg"),
        *_parameters(module, {"time_maa_x": "time_mix_lerp_x"}, AsStored()),
        *_parameters(module, {"time_decay": "time_mix_decay"}, AsStored()),
        *_parameters(module, {"time_maa_w1": "time_mix_w1", "time_maa_w2": "time_mix_w2"}, mixing),
        *_parameters(module, transposed, Transpose()),
    )


_RESCALE = Quantity(
    "number of layers between rescalings", "rescale_every_n_layers", ("rescale_every",)
)


def _rescaled(facts: Facts, layer: int | None) -> Transform:
    every = facts.number(_RESCALE)
    halvings = (layer or 0) // every if every else 0
    return Times((0.5**halvings,)) if halvings else AsStored()


RWKV6 = Family(
    architectures=("rwkv6",),
    model_types=("rwkv6",),
    left_out=LEFT_OUT,
    rows=(
        *_version_6("rwkv.blocks.{layer}.attention", Transpose()),
        *_parameters(
            "rwkv.blocks.{layer}",
            {
                "attention.time_faaaa": "time_mix_first",
                "feed_forward.time_maa_k": "channel_mix_lerp_k",
                "feed_forward.time_maa_r": "channel_mix_lerp_r",
            },
            AsStored(),
        ),
        Row("*.attention.output.weight", transform=_rescaled),
        Row("*.feed_forward.value.weight", transform=_rescaled),
    ),
)

RWKV6QWEN2 = Family(
    architectures=("rwkv6qwen2",),
    model_types=("rwkv6qwen2",),
    left_out=LEFT_OUT,
    # its order is r, k, v, w, g; that of llama.cpp is the one of rwkv6: w, k, v, r, g
    rows=_version_6(
        "model.layers.{layer}.self_attn", Chain(Transpose(), Reordered((3, 1, 2, 0, 4)))
    ),
)

_TIME_MIX = "model.layers.{layer}.attention"

RWKV7 = Family(
    architectures=("rwkv7",),
    model_types=("rwkv7",),
    spellings=(
        Spelling("model.blocks.", "model.layers."),
        Spelling(".attn_norm.", ".ln1.", "anywhere"),
        Spelling(".ffn_norm.", ".ln2.", "anywhere"),
        Spelling(".g_norm.", ".ln_x.", "anywhere"),
        Spelling(".attn.", ".attention.", "anywhere"),
        Spelling(".self_attn.", ".attention.", "anywhere"),
        Spelling(".time_mixer.", ".", "anywhere"),
        Spelling(".ffn.", ".feed_forward.", "anywhere"),
        # matrices of low rank, as Flash Linear Attention (fla) writes them
        Spelling("_lora.lora.0.weight", "1.weight", "end"),
        Spelling("_lora.lora.2.weight", "2.weight", "end"),
        Spelling("_lora.lora.2.bias", "0.weight", "end"),
    ),
    left_out=(
        *LEFT_OUT,
        *(
            LeftOut(
                f"model.layers.0.attention.v{{part}}{tail}",
                "the first layer takes no values from the one before: the file has others here",
            )
            for tail in ("", ".weight")
        ),
    ),
    rows=(
        *_mixes(f"{_TIME_MIX}.x_", "rwkvag"),
        # all in one, as fla once wrote them
        Row(
            f"{_TIME_MIX}.x_x",
            "blk.{layer}.time_mix_lerp_fused.weight",
            Reshape((0, 1, 1, -1), "dimensions of 1 added"),
        ),
        *_parameters(_TIME_MIX, {"k_k": "time_mix_k_k", "k_a": "time_mix_k_a"}, AsStored()),
        *_parameters(_TIME_MIX, {"r_k": "time_mix_r_k"}, Reshape((-1,), "rows joined to one")),
        *_parameters(
            "model.layers.{layer}", {"feed_forward.x_k": "channel_mix_lerp_k"}, AsStored()
        ),
        # matrices of low rank that stand as they are calculated with: fla's are on their side
        *_parameters(_TIME_MIX, {f"{kind}0": f"time_mix_{kind}0" for kind in "wav"}, AsStored()),
        *_parameters(
            _TIME_MIX,
            {f"{kind}{part}": f"time_mix_{kind}{part}" for kind in "wavg" for part in "12"},
            Transpose(),
        ),
        # llama.cpp wants tensors for values of the layer before the first: it doesn't look at them
        Row("*.attention.a{part}.weight"),
        Row("model.layers.0.attention.a{part}.weight", "blk.0.time_mix_v{part}.weight"),
        Row("model.layers.0.attention.a0", "blk.0.time_mix_v0.weight"),
        Row("model.layers.0.attention.a1", "blk.0.time_mix_v1.weight", Transpose()),
        Row("model.layers.0.attention.a2", "blk.0.time_mix_v2.weight", Transpose()),
    ),
)

ARWKV7 = replace(RWKV7, architectures=("arwkv7",), model_types=("rwkv_hybrid",))
