"""The lines that most tables share.

Facts: llama.cpp's converter, ``TextModel.set_gguf_parameters`` (what is written), and
``llama_model_base::load_hparams`` (what is optional and what it is taken for when absent).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ...errors import GGUFError, UnsupportedError
from .config_side import ConfigSide, counted, refuse
from .family import Implied, Line, Pair, Rule
from .file_side import REQUIRED, FileSide
from .rope import ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BASE", "CONTEXT", "EXPERT_COUNT", "GATE", "HEADS", "HEAD_DIM", "KV_HEADS", "LAYERS",
    "NO_WINDOW", "OPTIONAL_HEAD_DIM", "PREDICTORS", "SIZES", "SOME_SLIDE", "VOCABULARY", "WIDTH",
    "WIDTH_INSIDE",
    "as_many_heads", "base", "biased", "every", "heads_of_state", "implied", "layer_kinds",
    "limited", "other_base", "predictors", "slides", "sliding_layers", "sliding_of",
    "without_predictors",
]  # fmt: skip

_GATES = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}


def _layers_to_file(config: ConfigSide) -> Mapping[str, object]:
    return {"block_count": config.layers()}


def _layers_to_config(file: FileSide) -> Mapping[str, object]:
    return {"num_hidden_layers": file.layers()}


def _kv_heads_to_config(file: FileSide) -> Mapping[str, object]:
    # optional: as many as queries have
    key = "attention.head_count_kv"
    return {"num_key_value_heads": file.count(key if file.has(key) else "attention.head_count")}


def _causal_to_file(config: ConfigSide) -> Mapping[str, object]:
    return {"attention.causal": False} if config.find("is_causal") is False else {}


def _gate_to_file(config: ConfigSide) -> Mapping[str, object]:
    name = config.find(
        "score_function", "scoring_func", "score_func", "moe_router_activation",
        "moe_router_activation_func", "expert_selection_fn",
    )  # fmt: skip
    if name is None:
        return {}
    if not isinstance(name, str) or name not in _GATES:
        raise config.wrong("scoring_func", name, f"one of {', '.join(_GATES)}")
    return {"expert_gating_func": _GATES[name]}


def _head_dim_to_file(config: ConfigSide) -> Mapping[str, object]:
    if (size := config.find("head_dim")) is None:
        return {}
    size = counted(config, "head_dim", size)
    return {"attention.key_length": size, "attention.value_length": size}


def _head_dim_to_config(file: FileSide) -> Mapping[str, object]:
    size = file.head_size()
    if file.count("attention.value_length", size) != size:
        raise file.unsupported("keys and values are of different sizes")
    return {"head_dim": size}


def _optional_head_dim_to_config(file: FileSide) -> Mapping[str, object]:
    return _head_dim_to_config(file) if file.has("attention.key_length") else {}


def _no_window(_: FileSide) -> Mapping[str, object]:
    return {"sliding_window": None}


NO_WINDOW = Rule(to_config=_no_window)
"""No file tells of one, and llama.cpp has none."""

LAYERS = Rule(_layers_to_file, _layers_to_config)

PREDICTORS = "nextn_predict_layers"
"""How many layers of a file only predict further tokens: the last ones."""


def predictors(config: ConfigSide) -> int:
    """Count the layers that predict further tokens by their tensors: settings may be silent."""
    names = (name.removeprefix("model.") for name in config.names)
    numbers = (name.split(".")[2] for name in names if name.startswith("mtp.layers."))
    return len({*numbers})


def without_predictors(file: FileSide) -> int:
    """Count the layers that a model of Transformers has, which predicts no further tokens."""
    layers = file.layers() - file.count(PREDICTORS, 0)
    if layers < 1:
        raise file.wrong(PREDICTORS, f"fewer than {file.layers()}, all the layers")
    return layers


def _some_epsilon(file: FileSide) -> Mapping[str, object]:
    keys = ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon")
    if not any(file.has(key) for key in keys):
        names = " and ".join(file.name(key) for key in keys)
        raise GGUFError(f"the metadata lack both {names}; every norm needs one")
    return {}


HEAD_DIM = Rule(_head_dim_to_file, _head_dim_to_config)
"""``head_dim`` where Transformers has that setting."""

OPTIONAL_HEAD_DIM = Rule(_head_dim_to_file, _optional_head_dim_to_config)
"""``head_dim`` where Transformers heeds it but has no such setting by default."""

VOCABULARY = Pair("vocab_size", ("vocab_size",), needed=True)

EXPERT_COUNT = Pair("expert_count", ("num_local_experts", "num_experts", "n_routed_experts"))
GATE = Rule(_gate_to_file)

_EXPERTS: tuple[Line, ...] = (
    EXPERT_COUNT,
    Pair("expert_used_count", ("num_experts_per_tok", "num_experts_per_token", "top_k_experts")),
    Pair("expert_group_count", ("n_group",)),
    Pair("expert_group_used_count", ("topk_group",)),
    GATE,
)

CONTEXT = Pair(
    "context_length",
    ("max_position_embeddings", "n_ctx", "n_positions", "max_length", "max_sequence_length",
     "model_max_length"),
    absent=REQUIRED,
)  # fmt: skip
WIDTH = Pair("embedding_length", ("hidden_size", "n_embd", "dim"), absent=REQUIRED)
WIDTH_INSIDE = Rule(
    Pair(
        "feed_forward_length",
        ("prefix_dense_intermediate_size", "dense_intermediate_size", "intermediate_size",
         "n_inner", "hidden_dim"),
    ).to_file,
    Pair("feed_forward_length", ("intermediate_size",), absent=REQUIRED).to_config,
)  # fmt: skip
HEADS = Pair("attention.head_count", ("num_attention_heads", "n_head", "n_heads"), absent=REQUIRED)
KV_HEADS = Rule(
    Pair("attention.head_count_kv", ("num_key_value_heads", "n_kv_heads")).to_file,
    _kv_heads_to_config,
)

SIZES: tuple[Line, ...] = (LAYERS, CONTEXT, WIDTH, WIDTH_INSIDE, HEADS, KV_HEADS)
BASE: tuple[Line, ...] = (
    *SIZES,
    Rule(_causal_to_file),
    ROPE,
    Pair("attention.layer_norm_rms_epsilon", ("rms_norm_eps", "norm_eps"), float),
    Pair(
        "attention.layer_norm_epsilon",
        ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
        float,
    ),
    Rule(to_config=_some_epsilon),
    *_EXPERTS,
)
"""What the converter writes for every family whose class calls that of `TextModel`."""


def base(
    *more: Line,
    head_dim: Line = HEAD_DIM,
    rope: Line = ROPE,
    kv_heads: Line = KV_HEADS,
    width_inside: Line = WIDTH_INSIDE,
    expert_count: Line = EXPERT_COUNT,
    gate: Line = GATE,
) -> tuple[Line, ...]:
    """Put further lines behind those of every family, some of which may be exchanged."""
    other: dict[Line, Line] = {
        ROPE: rope,
        KV_HEADS: kv_heads,
        WIDTH_INSIDE: width_inside,
        EXPERT_COUNT: expert_count,
        GATE: gate,
    }
    return (*(other.get(line, line) for line in BASE), head_dim, *more)


def biased(name: str, *tensors: str) -> Rule:
    """Tell a setting for biases by the tensors that are there."""

    def to_config(file: FileSide) -> Mapping[str, object]:
        return {name: any(file.tensor(tensor) for tensor in tensors)}

    return Rule(to_config=to_config)


def layer_kinds(sliding: list[bool]) -> list[str]:
    """Name the kind of attention of each layer."""
    return ["sliding_attention" if item else "full_attention" for item in sliding]


def slides(config: ConfigSide) -> bool:
    """Say whether any layer slides, where that is not what ``use_sliding_window`` says."""
    kinds = config.find("layer_types")
    named = isinstance(kinds, list | tuple) and "sliding_attention" in kinds
    return named and config.find("sliding_window") is not None


def every(number: int, layers: int) -> list[bool]:
    """Let every layer slide but each `number`-th, as llama.cpp's ``set_swa_pattern``."""
    return [number == 0 or index % number < number - 1 for index in range(layers)]


def sliding_layers(number: int) -> Rule:
    """Pair ``layer_types`` with a pattern; every `number`-th layer sees all if no key tells it.

    The converter leaves the key out. So do we where it changes nothing.
    """
    key = "attention.sliding_window_pattern"

    def to_file(config: ConfigSide) -> Mapping[str, object]:
        sliding = [kind == "sliding_attention" for kind in config.layer_types()]
        return {} if sliding == every(number, len(sliding)) else {key: sliding}

    def to_config(file: FileSide) -> Mapping[str, object]:
        return {"layer_types": layer_kinds(sliding_of(file, number))}

    return Rule(to_file, to_config)


def _some_slide(config: ConfigSide) -> Mapping[str, object]:
    if "sliding_attention" not in config.layer_types():
        raise refuse("a model of which no layer has a sliding window: llama.cpp ends without one")
    return {}


SOME_SLIDE = Rule(_some_slide)
"""llama.cpp always gives these families a window, and insists on a layer that it is for."""


def sliding_of(file: FileSide, number: int) -> list[bool]:
    """Say which layers slide: a list, or a period, or a period that is built in."""
    key = "attention.sliding_window_pattern"
    value = file.metadata.get(file.name(key), number)
    if isinstance(value, int) and not isinstance(value, bool):
        return every(file.count(key, number), file.layers())
    return file.flags_per_layer(key)


def other_base() -> Rule:
    """Write the base of the rotary embedding only if it isn't what llama.cpp takes it for.

    The converters of these families never write it, so that another base would be lost.
    """

    def to_file(config: ConfigSide) -> Mapping[str, object]:
        base = float(config.rope.get("rope_theta") or 10000.0)
        return {} if base == 10000.0 else {"rope.freq_base": base}

    return Rule(to_file)


def as_many_heads(architecture: str) -> Rule:
    """Refuse fewer heads of keys and values than of queries, where llama.cpp loads no such file."""

    def to_file(config: ConfigSide) -> Mapping[str, object]:
        kv_heads = config.find("num_key_value_heads")
        if kv_heads not in (None, config.heads()):
            raise UnsupportedError(
                f"llama.cpp loads {architecture} only with as many heads of keys and values as of"
                f" queries; config.json has {kv_heads!r:.20} and {config.heads()}"
            )
        return {}

    return Rule(to_file)


def heads_of_state(file: FileSide) -> tuple[int, int]:
    """Return how many heads the state of a recurrence has, and the size of one."""
    heads, inner = file.count("ssm.time_step_rank", least=1), file.count("ssm.inner_size", least=1)
    if inner % heads:
        raise file.wrong("ssm.inner_size", f"a multiple of {heads}, the heads")
    return heads, inner // heads


def limited(config: ConfigSide) -> bool:
    """Say whether the time steps of mamba2 are limited, which llama.cpp knows nothing of."""
    limit = config.find("time_step_limit")
    # Transformers 5 writes what JSON has no number for as {"__float__": "Infinity"}
    endless = ([0.0, inf], [0.0, {"__float__": "Infinity"}])
    return limit is not None and [*limit] not in endless


def implied(**settings: Any) -> tuple[Line, ...]:
    """Make a line for each setting that is built in."""
    return tuple(Implied(name, value) for name, value in settings.items())
