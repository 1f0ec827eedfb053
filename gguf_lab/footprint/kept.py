"""What a model keeps of its context, layer by layer, as llama.cpp keeps it.

Sources: ``llama_model::create_memory``, ``llama_kv_cache``, ``llama_kv_cache_iswa``,
``llama_memory_recurrent``, ``llama_hparams`` and each model's ``load_arch_hparams`` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..errors import UnsupportedError
from ..file import printable
from .hyper import HyperParameters

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["Kept", "Kind", "LayerCache", "kept_by"]

Kind = Literal["decoder", "encoder", "diffusion"]


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps.

    Attributes
    ----------
    keys, values : int
        Numbers for each token, in the type of the cache; 0 where nothing is kept.
    windowed : bool
        Whether it looks back no further than the sliding window.
    state : int
        Numbers for each sequence, in float32: of a convolution or a recurrence.
    """

    keys: int = 0
    values: int = 0
    windowed: bool = False
    state: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What all layers keep.

    Attributes
    ----------
    layers : tuple of LayerCache
        In order; layers that only draft tokens keep nothing.
    window : int
        Tokens that a layer with a sliding window looks back.
    n_main : int
        Layers that compute the next token; those behind draft further ones.
    head_sizes : tuple of int
        Sizes of one head's keys and values that occur, for the types that come in blocks.
    kind : {"decoder", "encoder", "diffusion"}
        An encoder makes no tokens; it and a diffusion model see a whole batch at once.
    latent : bool
        Multi-head latent attention: one compressed vector for each token, no values.
    """

    layers: tuple[LayerCache, ...]
    window: int
    n_main: int
    head_sizes: tuple[int, ...]
    kind: Kind
    latent: bool


@dataclass(frozen=True, slots=True)
class _Window:
    """Which layers have a sliding window, where the file does not list them.

    Of every `pattern` layers one is without, the last or the `first`; the window is that of the
    file, `absent` if the file has none (None: it must), `fixed` whatever it has.
    """

    pattern: int = 0
    first: bool = False
    absent: int | None = None
    fixed: int | None = None


_OPTIONAL: Final = 0
_WINDOWS: Final = {
    "afmoe": _Window(4, absent=_OPTIONAL),
    "cohere2": _Window(4),
    "cohere2moe": _Window(4, first=True),
    "exaone-moe": _Window(4, absent=128),
    "exaone4": _Window(4, absent=4096),
    "gemma2": _Window(2, absent=4096),
    "gemma3": _Window(6, absent=_OPTIONAL),
    "gemma3n": _Window(5),
    "gemma4": _Window(),
    "gpt-oss": _Window(2),
    "granite_swa": _Window(),
    "laguna": _Window(4, first=True, absent=_OPTIONAL),
    "llama4": _Window(4, absent=8192, fixed=8192),
    "maple": _Window(),
    "mellum": _Window(4, absent=_OPTIONAL),
    "mimo2": _Window(),
    "muse-glimmer": _Window(4),
    "olmo2": _Window(4, absent=_OPTIONAL),
    "plamo3": _Window(8, absent=_OPTIONAL),
    "smallthinker": _Window(4, first=True, absent=_OPTIONAL, fixed=4096),
    "spark2_5": _Window(),
    "step35": _Window(),
}
_EVERYWHERE: Final = {"lfm2"}  # every layer with attention has the window, if there is one
_ENCODERS: Final = {
    *("bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert"),
    *("eurobert", "modern-bert", "gemma-embedding", "wavtokenizer-dec", "t5encoder"),
}
_DIFFUSION: Final = {"dream", "llada", "llada-moe", "rnd1"}
# llama.cpp gives t5encoder a cache like any other, although nothing reads it.
_WITHOUT_CACHE: Final = (_ENCODERS | _DIFFUSION) - {"t5encoder"}
_RECURRENT: Final = {"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"}
# Attention in some layers, a recurrence in others: those without key-value heads, or by a rule.
_NO_HEADS: Final = {
    *("jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "bailingmoe3"),
}
_INTERVAL: Final = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}
_NEMOTRON: Final = {"nemotron_h", "nemotron_h_moe"}
_BOTH: Final = {"falcon-h1"}
_DRAFTS_TOO: Final = {"bailingmoe3"}  # layers that draft tokens have a place in its cache
# Keys and values in every layer, and nothing else. Not to be guessed: the next architecture may
# keep what nobody has thought of.
_PLAIN: Final = {
    *("apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom"),
    *("chameleon", "chatglm", "codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek"),
    *("deepseek2", "deepseek2-ocr", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "falcon"),
    *("gemma", "glm4", "glm4moe", "gpt2", "gptj", "gptneox", "granite", "granitemoe", "grok"),
    *("grovemoe", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "internlm2", "jais", "jais2"),
    *("llama", "llama-embed", "maincoder", "minicpm", "minicpm3", "minimax-m2", "mistral3"),
    *("mistral4", "mpt", "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr"),
    *("pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "plm", "qwen", "qwen2", "qwen2moe"),
    *("qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3"),
    *("stablelm", "starcoder", "starcoder2", "t5", "xverse"),
}
# llama.cpp keeps something of its own kind for these: the keys of an indexer, compressed keys,
# layers that are run several times, or the cache of another model.
_OWN: Final = {
    *("minimax-m3", "glm-dsa", "deepseek32", "deepseek4", "glm5-next", "hy_v4", "dots3note"),
    *("dflash", "eagle3", "gemma4-assistant", "qwen4exp", "graniteswitch", "nanbeige"),
    *("hrm_text", "kimi-k3", "clip"),
}


def kept_by(model: Model) -> Kept:
    """Read from the metadata what each layer keeps.

    Raises
    ------
    GGUFError
        If a key that is needed is missing or makes no sense.
    UnsupportedError
        If the architecture is unknown, or keeps something that is not known here.
    """
    keys = HyperParameters(model)
    name = keys.architecture
    _check_known(name)
    n = keys.n_layers
    n_main = n - min(keys.number("nextn_predict_layers", 0), n)
    heads = keys.numbers("attention.head_count", 0)
    kv_heads = keys.numbers("attention.head_count_kv", heads)
    full, small = _head_sizes(keys, heads[0])
    latent = bool(
        keys.number("attention.key_length_mla", 0) and keys.number("attention.value_length_mla", 0)
    )
    recurrent = _recurrent(keys, n_main, kv_heads)
    window, windowed = _windowed(keys, n_main, recurrent)
    attends = _attending(keys, n_main, recurrent)
    state = _state(keys, heads[0]) if any(recurrent) else 0
    layers = []
    for at in range(n):
        key, value = small if windowed[at] else full
        has = attends[at] and (at < n_main or n_main == 0 or name in _DRAFTS_TOO)
        layers.append(
            LayerCache(
                keys=key * kv_heads[at] if has else 0,
                values=value * kv_heads[at] if has and not latent else 0,
                windowed=windowed[at],
                state=state if recurrent[at] and at < n_main else 0,
            )
        )
    sizes = {s for at in range(n_main) if attends[at] for s in (small if windowed[at] else full)}
    kind: Kind = "decoder"
    if name in _ENCODERS | _DIFFUSION:
        kind = "encoder" if name in _ENCODERS else "diffusion"
    return Kept(tuple(layers), window, n_main, tuple(sorted(sizes)), kind, latent)


def _check_known(name: str) -> None:
    known = {*_PLAIN, *_WINDOWS, *_EVERYWHERE, *_ENCODERS, *_DIFFUSION, *_RECURRENT, *_NO_HEADS}
    if name in _OWN:
        raise UnsupportedError(
            f"a model of architecture {printable(name)} keeps more of its context than keys and "
            "values, in a way that is not known here: its memory cannot be told"
        )
    if name not in known | {*_INTERVAL, *_NEMOTRON, *_BOTH}:
        raise UnsupportedError(
            f"the architecture {printable(name)!r} is not known here: what it keeps of its context "
            "cannot be told"
        )


def _head_sizes(keys: HyperParameters, heads: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the sizes of a head's keys and values, without and with a window."""
    if not heads:
        return (0, 0), (0, 0)
    even = keys.number("embedding_length") // heads
    full = (keys.number("attention.key_length", even), keys.number("attention.value_length", even))
    small = (
        keys.number("attention.key_length_swa", full[0]),
        keys.number("attention.value_length_swa", full[1]),
    )
    return full, small


def _recurrent(keys: HyperParameters, n_main: int, kv_heads: list[int]) -> list[bool]:
    name, n = keys.architecture, keys.n_layers
    if name in _RECURRENT or name in _BOTH:
        return [True] * n
    if name in _NO_HEADS:
        return [at < n_main and kv_heads[at] == 0 for at in range(n)]
    if name in _NEMOTRON:
        wide = keys.numbers("feed_forward_length", 0)
        return [at < n_main and kv_heads[at] == 0 and wide[at] == 0 for at in range(n)]
    if name in _INTERVAL:
        if (told := keys.flags("attention.recurrent_layers")) is not None:
            return told
        every = keys.number("full_attention_interval", _INTERVAL[name]) or 1
        return [at < n_main and (at + 1) % every != 0 for at in range(n)]
    return [False] * n


def _attending(keys: HyperParameters, n_main: int, recurrent: list[bool]) -> list[bool]:
    name, n = keys.architecture, keys.n_layers
    if name in _WITHOUT_CACHE or name in _RECURRENT:
        return [False] * n
    if name in _BOTH:
        return [True] * n
    if name in _NEMOTRON:
        wide = keys.numbers("feed_forward_length", 0)
        return [not recurrent[at] and wide[at] == 0 for at in range(n)]
    own = n  # layers behind these use the keys and values of a layer before
    if name == "gemma3n":
        own = 20
    elif name == "gemma4":
        own = n - min(keys.number("attention.shared_kv_layers", 0), n)
    return [not recurrent[at] and at < own for at in range(n)]


def _windowed(keys: HyperParameters, n_main: int, recurrent: list[bool]) -> tuple[int, list[bool]]:
    """Return the length of the sliding window, and which layers have it."""
    name, n = keys.architecture, keys.n_layers
    nowhere = [False] * n
    if name in _EVERYWHERE:
        size = keys.number("attention.sliding_window", 0)
        return size, [bool(size) and at < n_main and not recurrent[at] for at in range(n)]
    rule = _WINDOWS.get(name)
    if rule is None or (name == "exaone4" and n_main != 64):  # of its two sizes only the 32B one
        return 0, nowhere
    size = keys.number("attention.sliding_window", rule.absent)
    if size == 0 and (rule.absent == _OPTIONAL or rule.fixed is not None):
        return 0, nowhere
    if rule.fixed is not None:
        size = rule.fixed
    if (told := keys.flags("attention.sliding_window_pattern")) is not None:
        return size, told
    if not rule.pattern:  # then the file has to list the layers: this raises
        keys.number("attention.sliding_window_pattern")
    every = keys.number("attention.sliding_window_pattern", rule.pattern)
    if every == 0:
        return size, [at < n_main for at in range(n)]
    full = 0 if rule.first else every - 1
    return size, [at < n_main and at % every != full for at in range(n)]


def _state(keys: HyperParameters, heads: int) -> int:
    """Return how many numbers a recurrent layer keeps of a sequence."""
    width = keys.number("embedding_length")
    if head := keys.number("wkv.head_size", 0):
        return width * (keys.number("token_shift_count", 2) + head)
    if taps := keys.number("shortconv.l_cache", 0):
        return width * (taps - 1)
    taps = keys.number("ssm.conv_kernel", 0)
    if head := keys.number("kda.head_dim", 0):
        return 3 * (taps - 1 if taps else 3) * heads * head + head * head * heads
    inner, size = keys.number("ssm.inner_size", 0), keys.number("ssm.state_size", 0)
    channels = inner + 2 * keys.number("ssm.group_count", 0) * size
    recurrence = size * inner
    if keys.architecture == "minimax-01":
        head = keys.number("attention.key_length", width // heads if heads else 0)
        recurrence = head * head * heads
    return max(taps - 1, 0) * channels + recurrence
