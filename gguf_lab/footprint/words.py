"""What was counted, in words: the same facts for the text, the card and the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..file import printable
from ..markup import card, facts, fold, grid, note
from ..model.words import count_in_words, memory_in_words
from .estimate import FORMULA
from .machines import MACHINES

if TYPE_CHECKING:
    from .result import Memory

__all__ = ["answer", "facts_of", "formulas_of", "html_of", "machine_rows", "text_of"]

_NEAR: Final = 0.1  # of the capacity: a warning that the estimate decides


def answer(memory: Memory, capacity: float) -> str:
    """Say whether it fits in so many bytes."""
    total, room = memory.total, memory_in_words(round(capacity))
    with_context = f"with {memory.context:,} tokens of context"
    if not memory.cells.full:
        with_context = "as an encoder" if memory.kind == "encoder" else "as a diffusion model"
    if abs(total - capacity) <= memory.compute * _NEAR:
        return (
            f"It is close: {with_context} it needs about {memory_in_words(total)} of {room}, and "
            f"the working memory ({memory_in_words(memory.compute)} of it) is an estimate."
        )
    if memory.fits(capacity):
        left = memory_in_words(round(capacity - total))
        return (
            f"Yes, it fits in {room} {with_context}: it needs about {memory_in_words(total)}, and "
            f"{left} are left for everything else."
        )
    return (
        f"No, it does not fit in {room} {with_context}: it needs about {memory_in_words(total)}, "
        f"{memory_in_words(round(total - capacity))} more than there is."
    )


def facts_of(memory: Memory) -> list[tuple[str, str]]:
    """Return the parts as pairs of a label and a value."""
    drafting = ""
    if memory.drafting:
        size = memory_in_words(memory.drafting)
        drafting = f", without the {size} of layers that draft tokens: they are left in the file"
    found = [("weights", _exact(memory.weights) + drafting)]
    if memory.n_attention:
        found.append(("KV cache", f"{_exact(memory.cache)}: {_cache(memory)}"))
    if memory.n_state:
        words = f"{memory.n_state} layers, {_sequences(memory)}, float32"
        found.append(("recurrent state", f"{_exact(memory.state)}: {words}"))
    if not memory.cells.full:
        whole = "an encoder" if memory.kind == "encoder" else "a diffusion model"
        found.append(("KV cache", f"none: {whole} sees all its tokens at once"))
    rule = (
        f"2 bytes for each of {count_in_words(memory.n_parameters)} parameters, the weights alone "
        f"in 16 bits; this is {memory.total / max(1, memory.rule_of_thumb):.2f} times that, all "
        "included"
    )
    found += [
        ("compute buffer", f"about {memory_in_words(memory.compute)}: an estimate"),
        ("total", f"about {memory_in_words(memory.total)}"),
        ("rule of thumb", f"{memory_in_words(memory.rule_of_thumb)}: {rule}"),
    ]
    if memory.generates:
        active = ""
        if memory.n_active != memory.n_parameters:
            active = f" ({count_in_words(memory.n_active)} active parameters)"
        empty, full = map(memory_in_words, (memory.read_weights, memory.read_per_token))
        words = f"{empty} of weights{active}; {full} with a full context"
        found.append(("read for a token", words))
    return found


def _exact(number: int) -> str:
    return f"{memory_in_words(number)} ({number:,} bytes)"


def _sequences(memory: Memory) -> str:
    return "1 sequence" if memory.parallel == 1 else f"{memory.parallel} sequences"


def _cache(memory: Memory) -> str:
    """Say what the cache is made of."""
    full = memory.n_attention - memory.n_windowed
    parts = []
    if full:
        parts.append(f"{full} layers × {memory.cells.full:,} tokens")
    if memory.n_windowed:
        window = f"a window of {memory.window:,}"
        parts.append(f"{memory.n_windowed} layers × {memory.cells.window:,} tokens ({window})")
    kind = "one latent vector for each token" if memory.latent else "keys and values"
    return f"{' + '.join(parts)}, {kind} in {memory.kv_type}"


def formulas_of(memory: Memory) -> list[str]:
    """State how each figure is made, one sentence each."""
    latent = "the latent vector" if memory.latent else "(key heads × size + value heads × size)"
    found = [
        (
            "Weights: the bytes of all tensors as they lie in the file"
            f"{', but of layers that only draft tokens' if memory.drafting else ''}; on GPUs an "
            "embedding that is the output matrix too is there twice."
        ),
        (
            f"KV cache: for each layer with attention, tokens × {latent} × bytes of "
            f"{memory.kv_type}; tokens are rounded up to 256, and layers with a sliding window "
            "keep the window and a micro-batch."
        ),
        f"Compute buffer, an estimate with flash attention: {FORMULA}.",
    ]
    if memory.n_state:
        found.append(
            "Recurrent state: for each recurrent layer and sequence, 4 bytes × its numbers, "
            "whatever the context."
        )
    if memory.generates:
        found.append(
            "Tokens per second, at most: memory bandwidth / bytes read for a token (the weights it "
            "uses, of experts only those it is sent to, and all that is kept of its context). "
            "Arithmetic and latency come on top: no machine reaches it."
        )
    return found


def machine_rows(memory: Memory) -> list[tuple[str, str, str, str, str, str]]:
    """Return per known machine: name, memory, whether it fits, bandwidth, the two bounds."""
    rows = []
    for machine in MACHINES:
        bounds = [
            "" if bound is None else _speed(bound)
            for bound in (
                memory.tokens_per_second(machine.bandwidth, full=False),
                memory.tokens_per_second(machine.bandwidth),
            )
        ]
        rows.append(
            (
                machine.name,
                memory_in_words(machine.memory),
                "fits" if memory.fits(machine.memory) else "too small",
                f"{machine.bandwidth / 1e9:,.0f} GB/s",
                bounds[0],
                bounds[1],
            )
        )
    return rows


def _speed(bound: float) -> str:
    return f"{bound:,.0f}" if bound >= 99.5 else f"{bound:.1f}"


def text_of(memory: Memory) -> str:
    """Return a few lines."""
    lines = [f"Memory of {printable(memory.name)}, {_settings(memory)}"]
    lines += [f"  {label}: {value}" for label, value in facts_of(memory)]
    if len(memory.devices) > 1:
        lines += [
            f"  {device.name}: {memory_in_words(device.total)}, {device.layers} layers"
            for device in memory.devices
        ]
    return "\n".join(lines)


def _settings(memory: Memory) -> str:
    return (
        f"{memory.context:,} tokens of context, {_sequences(memory)}, "
        f"{memory.ubatch} at once, cache in {memory.kv_type}"
    )


def html_of(memory: Memory) -> str:
    """Return the same as a card, with the table of machines and the formulas folded."""
    parts = [facts(facts_of(memory))]
    if len(memory.devices) > 1:
        columns = ("device", "layers", "weights", "cache", "state", "compute (estimate)", "total")
        rows = [
            (
                *(device.name, str(device.layers)),
                *(memory_in_words(n) for n in (device.weights, device.cache, device.state)),
                *(memory_in_words(n) for n in (device.compute, device.total)),
            )
            for device in memory.devices
        ]
        parts.append(grid(columns, rows, range(1, 7)))
    headers = ("machine", "memory", "", "bandwidth", "tokens/s, empty", "tokens/s, full context")
    parts.append(
        fold("At most, on known machines", grid(headers, machine_rows(memory), (1, 3, 4, 5)))
    )
    parts.append(fold("Formulas", *map(note, formulas_of(memory))))
    return card(f"Memory of {printable(memory.name)}", *parts, note=_settings(memory))
