"""The arithmetic of one weight, step by step, as the definition itself does it.

Nothing here knows a format: what is told is what ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..markup import preformatted
from .bind import bind
from .formula import Formulas
from .influence import influence_of
from .trace import PRIMITIVES, Traced, single, value_of, walk

if TYPE_CHECKING:
    from .formats import Format

__all__ = ["Explanation", "Read", "Step", "explain"]


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes of the block that a weight is made of.

    Attributes
    ----------
    name : str
        The field, as the formulas call it: ``block.qs[3]``.
    offset, width : int
        First byte in the block, and how many.
    value : int
        The number read, little endian.
    """

    name: str
    offset: int
    width: int
    value: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of arithmetic.

    Attributes
    ----------
    name : str
        What is computed: a table entry (``t1``), ``d``, ``m``, ``q`` or ``weight``.
    formula : str
        How, in terms of the fields.
    numbers : str
        The same in numbers; empty if that says nothing new.
    value : int or numpy.float32
        The result.
    because : tuple of str
        The conditions that chose this formula, as they hold in this block.
    """

    name: str
    formula: str
    numbers: str
    value: Any
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [self.name, self.formula, self.numbers, str(self.value)]
        line = " = ".join(part for part in parts if part)
        return f"{line}   because {' and '.join(self.because)}" if self.because else line


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """How the definition makes one weight of a block: ``weight = d * q - m``, in float32.

    Attributes
    ----------
    qtype : str
        The format.
    index, group, position : int
        Which weight of the block; which group, and which weight of the group.
    d, m, q, weight : numpy.float32
        Scale, offset, quantized value and result, bit for bit.
    reads : tuple of Read
        The bytes that it was made of.
    steps : tuple of Step
        The arithmetic; the last step is the weight.
    bits : tuple of int
        The bits of the block (``8 * byte + bit``) that can drive the weight.
    driven_by : str
        The same in words, by field.
    """

    qtype: str
    index: int
    group: int
    position: int
    d: np.float32
    m: np.float32
    q: np.float32
    weight: np.float32
    reads: tuple[Read, ...]
    steps: tuple[Step, ...]
    bits: tuple[int, ...]
    driven_by: str

    def __str__(self) -> str:
        rows = []
        for read in self.reads:
            last = read.offset + read.width - 1
            where = f"byte {last}" if read.width == 1 else f"bytes {read.offset}-{last}"
            hexadecimal = f"0x{read.value & (1 << 8 * read.width) - 1:0{2 * read.width}x}"
            rows.append((read.name, where, f"{hexadecimal} = {read.value}"))
        wide = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
        place = f"group {self.group}, position {self.position}"
        lines = [
            f"{self.qtype} block, weight {self.index} ({place}): {self.weight!s}",
            f"  driven by {self.driven_by}",
        ]
        lines += [f"  {a:{wide[0]}}  {b:{wide[1]}}  {c}" for a, b, c in rows]
        return "\n".join([*lines, *(f"  {step}" for step in self.steps)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def explain(fmt: type[Format], block: npt.NDArray[np.uint8], index: int) -> Explanation:
    """Run a definition for one weight and write down what it does.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    block : uint8 array (type_size,)
        Little endian.
    index : int
        Which weight of the block.
    """
    g, j = divmod(index, fmt.group)
    data, table = block.tobytes(), fmt.table()
    with np.errstate(all="ignore"):
        d, m = bind(fmt.scale, PRIMITIVES)(data, table, g)
        q = bind(fmt.quant, PRIMITIVES)(data, table, g, j)
        numbers = single(value_of(d)), single(value_of(m)), single(value_of(q))
        weight = np.float32(numbers[0] * numbers[2] - numbers[1])
    seen: set[int] = set()
    nodes = [node for part in (d, m, q) for node in walk(part, seen)]
    formulas, influence = Formulas(fmt, nodes), influence_of(fmt)
    reads = {(n.args[0], n.args[1]): n.value for n in nodes if n.op == "read"}
    steps = [Step(*formulas.of(node, inside=True)) for node in formulas.entries]
    parts = [("d", d, 1), ("m", m, 0), ("q", q, None)]
    # d = 1 and m = 0 as plain numbers are not worth a line: x * 1 - 0 is x to the bit.
    shown = [(name, part) for name, part, plain in parts if not _is_plain(part, plain)]
    steps += [Step(name, *formulas.of(part)[1:]) for name, part in shown]
    names = {name for name, _ in shown}
    terms = dict(zip("dmq", map(str, numbers), strict=True))
    if value_of(q) == numbers[2]:  # an integer is written as one
        terms["q"] = str(value_of(q))
    formula = ("d * " if "d" in names else "") + "q" + (" - m" if "m" in names else "")
    text = " ".join(terms.get(word, word) for word in formula.split())
    steps.append(Step("weight", formula, text if len(names) > 1 else "", weight))
    return Explanation(
        fmt.name,
        index,
        g,
        j,
        *numbers,
        weight,
        tuple(Read(formulas.field(o, n), o, n, v) for (o, n), v in sorted(reads.items())),
        tuple(steps),
        influence.bits_of(index),
        influence.driving(index),
    )


def _is_plain(x: Any, number: int | None) -> bool:
    return not isinstance(x, Traced) and x == number
