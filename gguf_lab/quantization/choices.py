"""Which type each tensor of a model gets: the same as llama-quantize gives it, with the reason.

Source: ``llama_tensor_get_type`` and what it calls, in ``llama-quant.cpp`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GGUFLabError, UnsupportedError
from ..file import known_qtype, preview, printable, qtype, quoted, suggest
from .mixes import ALIASES, MIXES, Mix, Place, first_match
from .roles import WHOLE_NAMES, layer_of, role_of, why_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..file import QType
    from .facts import Facts

__all__ = [
    "NEED_IMPORTANCE",
    "Choice",
    "choose_types",
    "file_order",
    "find_mix",
    "fitting_type",
]

_FEED_FORWARD = ("ffn_up", "ffn_gate", "ffn_down")
_Q8_0_AT_LEAST = {"glm5-next": ("attn_q_a", "attn_q_b", "nextn.eh_proj")}

_FALLBACKS = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
    "Q2_0": "Q4_0",
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
}
"""What is taken for rows that the block of a type does not divide, before F16 is."""

NEED_IMPORTANCE = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}
"""Types to which llama-quantize makes nothing without an importance matrix."""

_PLAIN = {"F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The type of one tensor.

    Attributes
    ----------
    qtype : str
        The type.
    reason : str
        Why this one: the rule of the mix, an override, a shape that does not fit.
    quantized : bool
        Whether the tensor is one of those that are quantized at all.
    needs_importance : bool
        Whether llama-quantize refuses to do this without an importance matrix.
    wanted : str
        The type that was wanted, if it is another one: its block does not divide the rows.
    """

    qtype: str
    reason: str
    quantized: bool = True
    needs_importance: bool = False
    wanted: str = ""

    @property
    def fallback(self) -> bool:
        """Whether another type was wanted."""
        return bool(self.wanted)


def find_mix(name: str) -> tuple[str, Mix]:
    """Look up a mix by the name that llama-quantize has for it, in any case of letters.

    Returns
    -------
    tuple of str and Mix
        The full name (for "Q4_K" that is "Q4_K_M") and the mix.

    Raises
    ------
    GGUFLabError
        If there is none.
    """
    upper = str(name).upper()
    full = ALIASES.get(upper, upper)
    if full not in MIXES:
        raise GGUFLabError(
            f"quantization {printable(repr(name))} is unknown.{suggest(upper, MIXES)} "
            f"Expected one of {', '.join(MIXES)}."
        )
    return full, MIXES[full]


def file_order(names: Iterable[str]) -> list[str]:
    """Sort names as llama.cpp does: outside of the layers first, then layer by layer, by name."""

    def key(name: str) -> tuple[int, str]:
        layer = layer_of(name)
        return (-1 if layer is None else layer), name

    return sorted(names, key=key)


def choose_types(
    mix: str,
    tensors: Sequence[tuple[str, tuple[int, ...], str]],
    facts: Facts,
    *,
    has_imatrix: bool = False,
    overrides: Mapping[str, str] | None = None,
    pure: bool = False,
) -> dict[str, Choice]:
    """Choose the type of every tensor as llama-quantize does.

    Parameters
    ----------
    mix : str
        Name of the mix: ``"Q4_K_M"``.
    tensors : sequence of (name, shape, qtype)
        All tensors of the model, in any order; shapes in NumPy's order; the types they have.
    facts : Facts
        What is known about the model.
    has_imatrix : bool, optional
        Whether there is an importance matrix: some mixes spend their bits differently then.
    overrides : mapping of str to str, optional
        Regular expression to type; the first whose pattern is found in a name decides. Tensors
        that are never quantized stay as they are.
    pure : bool, optional
        Give every tensor the base type of the mix.

    Returns
    -------
    dict of str to Choice
        In the order of `tensors`.

    Raises
    ------
    GGUFLabError
        If the mix, or the pattern or type of an override, is unknown, or no tensor fits a pattern.
    UnsupportedError
        Where llama-quantize refuses: rows that fit no type, experts outside of the layers.

    Notes
    -----
    llama-quantize passes over overrides if the mix is F32, F16 or BF16; here they hold.

    Examples
    --------
    >>> from gguf_lab.quantization import Facts
    >>> tensors = [("output.weight", (1000, 256), "BF16"), ("output_norm.weight", (256,), "F32")]
    >>> choices = choose_types("Q4_K_M", tensors, Facts("llama", n_layer=2))
    >>> [choice.qtype for choice in choices.values()]
    ['Q6_K', 'F32']
    """
    compiled = _compile(overrides or {})
    chooser = _Chooser(mix, facts, compiled, has_imatrix=has_imatrix, pure=pure)
    shapes = {name: (shape, qtype) for name, shape, qtype in tensors}
    chooser.count(shapes)
    choices = {name: chooser.choose(name, *shapes[name]) for name in file_order(shapes)}
    chooser.check_overrides()
    return {name: choices[name] for name in shapes}


def _compile(overrides: Mapping[str, str]) -> dict[str, tuple[re.Pattern[str], QType]]:
    if not isinstance(overrides, Mapping):
        raise GGUFLabError(
            f"overrides are given as {preview(overrides)}. Expected a mapping of patterns to types,"
            " such as {'attn_v': 'Q8_0'}."
        )
    compiled = {}
    for pattern, name in overrides.items():
        try:
            compiled[pattern] = re.compile(pattern), known_qtype(name)
        except (re.error, TypeError) as error:
            raise GGUFLabError(
                f"override {quoted(str(pattern))} is no regular expression: {error}. Expected one, "
                "such as 'attn_v' or 'blk.[0-3].ffn_down'."
            ) from None
        except UnsupportedError as error:
            raise UnsupportedError(f"override {quoted(pattern)}: {error}") from None
    return compiled


class _Chooser:
    """Goes over the tensors in llama.cpp's order and counts those of each role."""

    def __init__(
        self,
        name: str,
        facts: Facts,
        overrides: Mapping[str, tuple[re.Pattern[str], QType]],
        *,
        has_imatrix: bool,
        pure: bool,
    ) -> None:
        self.name, self.mix = find_mix(name)
        self.facts = facts
        self.has_imatrix, self.pure, self.overrides = has_imatrix, pure, overrides
        self.seen: Counter[str] = Counter()
        self.used: set[str] = set()
        self.n_attn_v, self.tied = 0, True
        # attn_v is small beside attn_q in such a model: more bits for it cost next to nothing.
        self.gives_70b_more = facts.is_70b and not self.mix.counted

    def count(self, names: Iterable[str]) -> None:
        roles = Counter(map(role_of, names))
        self.n_attn_v, self.tied = roles["attn_v"], not roles["output"]

    def choose(self, name: str, shape: tuple[int, ...], source: str) -> Choice:
        if why := why_never(name, shape, self.facts.architecture, self.facts.projector):
            return Choice(source, f"never quantized: {why}", quantized=False)
        wanted, reason = self._wanted(name, shape)
        fits, reason = _fit(name, wanted, shape[-1], reason)
        needs = fits in NEED_IMPORTANCE or (fits == "Q2_K" and self.name == "Q2_K_S")
        return Choice(
            fits,
            reason,
            needs_importance=needs and name not in WHOLE_NAMES,
            wanted="" if fits == wanted else wanted,
        )

    def check_overrides(self) -> None:
        for pattern in [pattern for pattern in self.overrides if pattern not in self.used]:
            raise GGUFLabError(
                f"override {quoted(pattern)} decides for no tensor that is quantized. Check the "
                "pattern; `model.tensors` lists the names."
            )

    def _wanted(self, name: str, shape: tuple[int, ...]) -> tuple[str, str]:
        for pattern, (compiled, asked) in self.overrides.items():
            if compiled.search(name):
                self.used.add(pattern)
                return asked.name, f"override {quoted(pattern)}"
        if self.mix.base in _PLAIN:
            return self.mix.base, self.name
        if self.pure:
            return self.mix.base, f"{self.name}, pure"
        if any(part in name for part in _Q8_0_AT_LEAST.get(self.facts.architecture, ())):
            return "Q8_0", f"{self.facts.architecture} keeps it at Q8_0"
        role = role_of(name)
        if role == "output" or (role == "token_embd" and self.tied):
            return self._output(role, shape)
        if self.name == "MXFP4_MOE":
            return self._experts(role, shape)
        return self._by_rules(name, role)

    def _output(self, role: str, shape: tuple[int, ...]) -> tuple[str, str]:
        tied = "" if role == "output" else ", which the embeddings are too"
        what = f"{self.name}: output{tied}"
        block = qtype(self.mix.base).block_size
        if self.name != "MXFP4_MOE" and shape[-1] % block:
            return "Q8_0", f"{what}, rows of {shape[-1]} are no multiple of {block}"
        if self.facts.architecture == "falcon":
            return "Q8_0", f"{what}, falcon"
        return self.mix.output, what

    def _experts(self, role: str, shape: tuple[int, ...]) -> tuple[str, str]:
        experts = len(shape) > 2 and shape[-3] > 1
        if self.facts.architecture == "bailingmoe3":  # whose attention is three-dimensional too
            experts = experts and role in _FEED_FORWARD
        what = "experts" if experts else "no experts"
        return ("MXFP4" if experts else "Q8_0"), f"{self.name}: {what}"

    def _by_rules(self, name: str, role: str) -> tuple[str, str]:
        index, count = self.seen[role], self.n_attn_v if role == "attn_v" else self.facts.n_layer
        self.seen[role] += 1
        if role in _FEED_FORWARD and self.facts.n_expert > 1 and not self.mix.counted:
            index = self._layer_of(name)
        place = Place(index, count, self.facts, self.has_imatrix)
        found = first_match(self.mix.rules.get(role, ()), place)
        chosen, words = found or (self.mix.base, "")
        reason = f"{self.name}: {', '.join(filter(None, (role if found else '', words)))}"
        if role == "attn_v" and chosen in {"Q3_K", "Q4_K"} and self.gives_70b_more:
            return "Q5_K", f"{self.name}: attn_v of a 70B model"
        return chosen, reason.removesuffix(": ")

    def _layer_of(self, name: str) -> int:
        layer = layer_of(name)
        if layer is None or layer >= self.facts.n_layer:
            raise UnsupportedError(
                f"tensor {quoted(name)} lies in none of the {self.facts.n_layer} layers. In a "
                "model with experts its type depends on the layer; llama-quantize refuses it too."
            )
        return layer


def fitting_type(wanted: str, row: int) -> str | None:
    """Return the type that rows of `row` weights can have in place of `wanted`; None: undefined."""
    block = qtype(wanted).block_size
    if row % block == 0:
        return wanted
    if block > 32 and wanted not in _FALLBACKS:
        return None
    fits = _FALLBACKS.get(wanted, wanted)
    return "F16" if row % qtype(fits).block_size else fits


def _fit(name: str, wanted: str, row: int, reason: str) -> tuple[str, str]:
    """Return the type that rows of this length can have, and the reason with what was wanted."""
    fits, block = fitting_type(wanted, row), qtype(wanted).block_size
    if fits is None:
        raise UnsupportedError(
            f"tensor {quoted(name)} has rows of {row} weights, which the block of {wanted} "
            f"({block} weights) does not divide, and no other type is defined in its place. "
            "Choose another type for it by an override."
        )
    if fits == wanted:
        return fits, reason
    return fits, f"{reason}; {fits} for {wanted}: rows of {row} are no multiple of {block}"
