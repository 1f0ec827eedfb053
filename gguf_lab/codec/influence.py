"""Which bits of a block drive which weights: found by flipping bits, not declared.

What a bit does depends on the block around it: a scale of zero or NaN hides everything, and a bit
of a grid index may change a weight here and leave it alone there. So the answer that belongs to the
format is a union: a bit drives a weight if flipping it changed the weight in at least one of up to
two thousand base blocks (of plain numbers, more), always the same ones. Among them every byte takes
all of its 256 values eight times, in random company.

Bits whose bytes are read by no common weight are flipped in the same run: which bytes a weight
reads is the same in every block, and known from one run that writes down the addresses. The blocks
come in portions. A run rests when it has changed every weight that reads its bytes, or when each of
its bytes has changed one and two thirds of all blocks so far have added nothing.

Two of the 2048 entries of a grid may be all that tells what a bit of their index drives. The few
blocks of a portion that have shown something new are therefore turned: what lies in one group is
tried in the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..errors import GGUFLabError
from .backends import numpy_
from .bind import bind
from .formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..file.qtypes import QType
    from .formats import Format

__all__ = ["Influence", "check_index", "flip_each", "influence_of"]

_MEASURED: WeakKeyDictionary[type[Format], Influence] = WeakKeyDictionary()

_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "i64": 8}

# Weights decoded per step: the temporaries stay in the cache.
_STEP = 1 << 14
# How often a byte takes each of its values; where the first of these sweeps is cut into portions.
_SWEEPS, _CUTS = 8, (8, 16, 24, 32, 48, 64, 96, 128, 192)
_PATIENCE = 3  # times as many blocks as had last added something, until a run rests
_TURNS = 8  # of a block, until it is as it was


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Influence:
    """Which bits of a block drive which weights: a property of the format.

    Attributes
    ----------
    qtype : QType
        The format.
    matrix : numpy.ndarray of bool, shape (8 * type_size, block_size)
        Row ``8 * byte + bit`` (bit 0 is the lowest of its byte) is true where flipping that bit
        changed the weight in one of the base blocks. Read-only.
    """

    qtype: QType
    matrix: npt.NDArray[np.bool_]

    def reach(self, first: int, stop: int) -> str:
        """Say what the single bits of the bytes [first, stop) drive, most frequent reach first."""
        counts = self.matrix[8 * first : 8 * stop].sum(axis=1)
        found = Counter(map(int, counts)).most_common()
        if len(found) > 3:
            return f"{counts.min()} to {counts.max()} weights"
        if len(found) == 1:
            return self._words(found[0][0])
        return ", ".join(f"{self._words(n)} ({times} bits)" for n, times in found)

    def _words(self, n: int) -> str:
        size, group = self.qtype.block_size, FORMATS[self.qtype.name].group
        if n == 0:
            return "nothing"
        if n == size:
            return "every weight" if size > 1 else "the weight"
        if n == 1:
            return "one weight"
        return f"{n} weights" if n != group else f"a group of {n}"

    def bits_of(self, weight: int) -> tuple[int, ...]:
        """Return the bits that drive a weight; GGUFLabError if there is no such weight."""
        check_index(weight, self.matrix.shape[1], f"weights of a {self.qtype.name} block")
        return tuple(map(int, np.flatnonzero(self.matrix[:, weight])))

    def driving(self, weight: int) -> str:
        """Return `bits_of` in words: "d bits 0-15, qs[3] bits 4-7"; raises as it does."""
        bits, parts = np.array(self.bits_of(weight), int), []
        for field in FORMATS[self.qtype.name].fields:
            for k in range(field.count):
                first = 8 * (field.offset + k * field.width)
                own = bits[(bits >= first) & (bits < first + 8 * field.width)] - first
                if own.size:
                    name = field.name if field.count == 1 else f"{field.name}[{k}]"
                    parts.append(f"{name} {_runs(own.tolist())}")
        return ", ".join(parts) or "no bit"

    def weights_of(self, bit: int) -> tuple[int, ...]:
        """Return the weights that a bit drives; GGUFLabError if there is no such bit."""
        check_index(bit, len(self.matrix), f"bits of a {self.qtype.name} block")
        return tuple(map(int, np.flatnonzero(self.matrix[bit])))

    def __repr__(self) -> str:
        bits, weights = self.matrix.shape
        fields = FORMATS[self.qtype.name].fields
        reach = "; ".join(f"{f.name}: {self.reach(f.offset, f.stop)}" for f in fields)
        driven = f"{weights} weight{'s' * (weights > 1)} of {self.qtype.name}"
        return f"Influence of {bits} bits on {driven}: {reach}"


def check_index(i: int, n: int, things: str) -> None:
    """Raise GGUFLabError unless there is a thing i of n, counted from 0."""
    if not 0 <= index(i) < n:
        raise GGUFLabError(f"the {things} are counted from 0 to {n - 1}: there is no {i}")


def _runs(numbers: list[int]) -> str:
    """Write ascending bit numbers briefly: "bits 0-3, 7"."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1][1:] = [n]
        else:
            runs.append([n])
    text = " and ".join("-".join(map(str, run)) for run in runs)
    return f"bit {text}" if len(numbers) == 1 else f"bits {text}"


def _readers(fmt: type[Format]) -> npt.NDArray[np.bool_]:
    """Return (type_size, block_size): the bytes that the definition reads for each weight."""
    groups, size = fmt.qtype.block_size // fmt.group, fmt.group
    read = np.zeros((fmt.qtype.type_size, groups, size), np.bool_)
    g, j = np.arange(groups)[:, None], np.arange(size)

    def recording(name: str) -> Any:
        def load(b: Any, o: Any) -> Any:
            offsets = np.broadcast_to(np.atleast_2d(o), (groups, size))
            for k in range(_WIDTHS[name]):
                read[offsets + k, g, j] = True
            return numpy_.PRIMITIVES[name](b, o)

        return load

    primitives = {**numpy_.PRIMITIVES, **{name: recording(name) for name in _WIDTHS}}
    block = np.zeros((1, fmt.qtype.type_size), np.uint8)
    with np.errstate(all="ignore"):
        bind(fmt.scale, primitives)(block, fmt.table(), g)
        bind(fmt.quant, primitives)(block, fmt.table(), g, j)
    return read.reshape(len(read), -1)


def _apart(readers: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Sort the bytes into sets within which no weight reads two of them."""
    sets: list[tuple[list[int], npt.NDArray[np.bool_]]] = []
    for byte, weights in enumerate(readers):
        for members, taken in sets:
            if not (taken & weights).any():
                members.append(byte)
                np.logical_or(taken, weights, out=taken)
                break
        else:
            sets.append(([byte], weights.copy()))
    return [members for members, _ in sets]


def _portions(size: int, sparse: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield blocks in which each byte takes each value in turn, then mostly empty ones.

    The latter show what random bytes practically never do: a small number in a wide integer, a
    double half-way between two singles. Their bits are random on one side of a random border and
    zero on the other.
    """
    random = np.random.default_rng(0)
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None], size, axis=1)
    for sweep in range(_SWEEPS):
        blocks = random.permuted(values, axis=0)
        yield from [blocks] if sweep else np.split(blocks, _CUTS)
    bits = random.integers(0, 2, (sparse, 8 * size), dtype=np.uint8)
    border, bit = random.integers(0, 8 * size, (sparse, 1)), np.arange(8 * size)
    bits[::2] *= bit >= border[::2]
    bits[1::2] *= bit < border[1::2]
    yield np.packbits(bits, axis=1, bitorder="little")


def _turned(blocks: npt.NDArray[np.uint8], sets: Sequence[Sequence[int]]) -> npt.NDArray[np.uint8]:
    """Return blocks with the bytes of each set in other places, every eighth of it in each."""
    turned = np.repeat(blocks[None], _TURNS - 1, axis=0)
    for members in sets:
        step, rest = divmod(len(members), _TURNS)
        if not rest:
            for k, part in enumerate(turned, 1):
                part[:, members] = np.roll(blocks[:, members], k * step, axis=1)
    return turned.reshape(-1, blocks.shape[1])


def _measure(fmt: type[Format]) -> Influence:
    size, weights = fmt.qtype.type_size, fmt.qtype.block_size
    readers = _readers(fmt)
    sets = _apart(readers)
    runs = [(members, bit) for members in sets for bit in range(8)]
    flips = np.zeros((len(runs), size), np.uint8)
    for flip, (members, bit) in zip(flips, runs, strict=True):
        flip[members] = 1 << bit
    matrix = np.zeros((size, 8, weights), np.bool_)

    seen, grown, open_ = 0, [0] * len(runs), np.arange(len(runs))

    def try_blocks(bases: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Flip the bits of all runs that do not rest; return the blocks that told something new."""
        nonlocal seen, open_
        changed, left = _changed(fmt, bases, flips[open_]), []
        seen, telling = seen + len(bases), np.zeros(len(bases), np.bool_)
        for k, flipped in zip(open_.tolist(), changed.swapaxes(0, 1), strict=True):
            members, bit = runs[k]
            before, whole = matrix[members, bit], readers[members]
            matrix[members, bit] = found = before | (flipped.any(axis=0) & whole)
            new, silent = (before < found).any(axis=0), found.any(axis=1) < whole.any(axis=1)
            if new.any():
                grown[k] = seen
                telling |= flipped[:, new].any(axis=1)
            if (found < whole).any() and (silent.any() or _PATIENCE * grown[k] > seen):
                left.append(k)
        open_ = np.array(left)
        return bases[telling]

    for bases in _portions(size, 256 * size**2 if fmt.plain() else 0):
        telling = try_blocks(bases)
        if open_.size and 0 < len(telling) <= len(bases) // 4:
            try_blocks(_turned(telling, sets))
        if not open_.size:
            break
    matrix.flags.writeable = False
    return Influence(fmt.qtype, matrix.reshape(-1, weights))


def _changed(
    fmt: type[Format], bases: npt.NDArray[np.uint8], flips: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Return (blocks, flips, block_size): the weights that each flip changes in each block."""
    size, weights = bases.shape[1], fmt.qtype.block_size
    every = np.concatenate([np.zeros((1, size), np.uint8), flips])
    changed = np.empty((len(bases), len(flips), weights), np.bool_)
    step = max(1, _STEP // (len(every) * weights))
    for i in range(0, len(bases), step):
        blocks = (bases[i : i + step, None] ^ every).reshape(-1, size)
        values = numpy_.dequantize(fmt, blocks).reshape(-1, len(every), weights)
        changed[i : i + step] = _differ(values[:, 1:], values[:, :1])
    return changed


def _differ(a: np.ndarray, b: np.ndarray) -> npt.NDArray[np.bool_]:
    """Whether float32 values differ in their bits; any NaN equals any NaN."""
    both_nan = np.isnan(a) & np.isnan(b)
    return np.asarray((a.view(np.uint32) != b.view(np.uint32)) & ~both_nan)


def influence_of(fmt: type[Format]) -> Influence:
    """Return which bits drive which weights in a format; measured once per process.

    Parameters
    ----------
    fmt : type of Format
        The definition.

    Notes
    -----
    What only a few blocks in ten thousands show can be missed. Thirty times the base blocks find
    the same for every format.
    """
    if fmt not in _MEASURED:
        _MEASURED[fmt] = _measure(fmt)
    return _MEASURED[fmt]


def flip_each(fmt: type[Format], block: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return (8 * type_size, block_size) float32: the weights of this block with one bit flipped.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    block : uint8 array (type_size,)
        Little endian.
    """
    bits = np.arange(8 * fmt.qtype.type_size)
    blocks = np.repeat(block[None], len(bits), axis=0)
    blocks[bits, bits // 8] ^= (1 << bits % 8).astype(np.uint8)
    return numpy_.dequantize(fmt, blocks)
