"""Runs PTX, what Triton compiles for NVIDIA GPUs, on NumPy: the compiled kernels without a GPU.

Triton's interpreter runs the kernels' source. What the compiler makes of it (types, layouts, the
sharing of a tile's work among threads, barriers, PTX of our own) can only be wrong in its output.

All programs of a launch run at once, an array element to a thread: warps one after another from
barrier to barrier, the first warp first or last, so that a missing barrier shows. Shared memory and
registers hold no zeros at first; an address must lie in one of the arguments and be a multiple of
what is read there. ``fma`` is rounded twice, to long double first. See https://docs.nvidia.com/cuda/
parallel-thread-execution for the instructions; one that is not known here is an error.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

import numpy as np
import torch

WARP = 32
TYPE = re.compile(r"(?:bf16|[busf]\d+)(?:x2)?$|pred$")
STATEMENT = re.compile(r"\s*(?:(?P<brace>[{}])|(?P<label>[$\w]+):|(?P<code>[^;]+);)")
INSTRUCTION = re.compile(r"(?:@(!?[%\w]+)\s+)?([\w.:]+)\s*(.*)", re.DOTALL)
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^\s,{}\[\]]+")
PLAIN = {
    "add": operator.add,
    "sub": operator.sub,
    "neg": operator.neg,
    "abs": np.abs,
    "min": np.fmin,
    "max": np.fmax,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "not": operator.invert,
}
COMPARE = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
ENDED = -1


def dtype(kind):
    """Return NumPy's type of a PTX type: ``s32``, ``b16``, ``f64``; ``f16x2`` is two of ``f16``."""
    if kind == "pred":
        return np.dtype(bool)
    letter, bits = {"b": "u", "s": "i"}.get(kind[0], kind[0]), kind[1:].removesuffix("x2")
    return np.dtype(f"{letter}{int(bits) // 8}")


class Memory:
    """The arrays that a kernel may use, at their own addresses."""

    def __init__(self, *arrays):
        self.arrays = [array.reshape(-1).view(np.uint8) for array in arrays]

    def elements(self, addresses, kind):
        """Yield ``(which, array of that type, indices)`` for each array that is addressed."""
        size, left = kind.itemsize, np.ones(len(addresses), bool)
        if (addresses % size).any():
            raise ValueError(f"misaligned address of {kind}")
        for array in self.arrays:
            start = array.ctypes.data
            inside = left & (addresses >= start) & (addresses + size <= start + array.size)
            if inside.any():
                left &= ~inside
                yield inside, array, (addresses[inside] - start).astype(np.int64)
        if left.any():
            raise ValueError(f"address outside of the arguments: {addresses[left][0]:#x}")


@dataclass
class Instruction:
    name: str
    modifiers: list[str]
    types: list[str]
    operands: list
    guard: tuple[str, bool] | None

    def __str__(self):
        return f"{'.'.join([self.name, *self.modifiers, *self.types])} {self.operands}"


class Kernel:
    """A parsed kernel: instructions, where labels are, registers' types, shared memory."""

    def __init__(self, ptx, dynamic=0):
        entry = ptx.index(".entry")
        self.threads = int(re.search(r"\.reqntid (\d+)", ptx)[1])
        unused = re.compile(r"//[^\n]*|^\s*\.(loc|file|pragma)\b[^\n]*$", re.MULTILINE)
        text = unused.sub("", ptx[entry:])
        self.code, self.labels, self.registers = [], {}, {}
        self.shared = dynamic  # global_smem is first
        scopes, at = [{"global_smem": 0}], text.index("{") + 1
        while scopes:
            found = STATEMENT.match(text, at)
            at = found.end()
            if found["brace"] == "{":
                scopes.append({})
            elif found["brace"] == "}":
                scopes.pop()
            elif found["label"]:
                self.labels[found["label"]] = len(self.code)
            elif found["code"].lstrip().startswith("."):
                self._declare(found["code"].split(), scopes[-1])
            else:
                symbols = {name: at for scope in scopes for name, at in scope.items()}
                self.code.append(self._parse(found["code"].strip(), symbols))
        self.shared = -(-self.shared // 16) * 16

    def _declare(self, words, scope):
        if words[0] == ".reg":
            self.registers[words[2].split("<")[0]] = words[1].lstrip(".")
        elif words[0] == ".shared":
            self.shared = -(-self.shared // 16) * 16
            kind, name, count = re.search(r"\.(b\d+) (\w+)\[(\d+)\]", " ".join(words)).groups()
            scope[name] = self.shared
            self.shared += dtype(kind).itemsize * int(count)
        else:
            raise NotImplementedError(" ".join(words))

    def _parse(self, text, symbols):
        guard, code, rest = INSTRUCTION.match(text).groups()
        name, *parts = code.replace("::", ".").split(".")
        if "ftz" in parts or "approx" in parts:
            raise NotImplementedError(f"not exact: {text}")
        operands = [
            [self._operand(one, symbols) for one in word[1:-1].split(",")]
            if word.startswith("{")
            else self._operand(word, symbols)
            for word in OPERAND.findall(rest)
        ]
        return Instruction(
            name,
            [part for part in parts if not TYPE.match(part)],
            [part for part in parts if TYPE.match(part)],
            operands,
            (guard.lstrip("!"), not guard.startswith("!")) if guard else None,
        )

    @staticmethod
    def _operand(text, symbols):
        """Return a register's or label's name, a number, or an address: (register, offset)."""
        text = text.strip()
        if text.startswith("["):
            base, _, offset = text.strip("[] ").partition("+")
            base = symbols.get(base.strip(), base.strip())
            return base, int(offset or 0)
        if text.startswith("0f"):
            return np.uint32(int(f"0x{text[2:]}", 0)).view(np.float32)
        if text.startswith("0d"):
            return np.uint64(int(f"0x{text[2:]}", 0)).view(np.float64)
        if re.match(r"-?\d", text):
            return int(text.rstrip("U"), 0)
        return symbols.get(text, text)

    def width(self, register):
        """Return the type that a register's bits have in an array."""
        kind = dtype(self.registers[register.rstrip("0123456789")])
        return kind if kind.kind == "b" else np.dtype(f"u{kind.itemsize}")

    def run(self, programs, arguments, memory, last_warp_first=False):
        """Run so many programs; arguments are integers: addresses, where they are pointers."""
        shared = np.full((programs, self.shared), 0xA5, np.uint8)
        warps = [
            Warp(self, w, programs, arguments, memory, shared) for w in range(self.threads // WARP)
        ]
        if last_warp_first:
            warps.reverse()
        with np.errstate(all="ignore"):
            while (warps[0].at != ENDED).any():
                for warp in warps:
                    warp.advance()
                if any((warp.at != warps[0].at).any() for warp in warps):
                    raise ValueError("the warps of a program wait at different barriers")


class Warp:
    """The same warp of every program: 32 threads each, side by side in arrays."""

    def __init__(self, kernel, number, programs, arguments, memory, shared):
        lanes = np.arange(programs * WARP)
        self.kernel, self.memory, self.arguments = kernel, memory, arguments
        self.at = np.zeros(len(lanes), np.int64)  # the next instruction of each thread
        self.registers = {
            "%tid.x": (lanes % WARP + number * WARP).astype(np.uint32),
            "%ctaid.x": (lanes // WARP).astype(np.uint32),
        }
        self.shared = Memory(shared)
        self.offset = shared.ctypes.data + lanes // WARP * kernel.shared

    def advance(self):
        """Run every thread to the next barrier or the end."""
        waiting = self.at == ENDED
        while not waiting.all():
            now = int(self.at[~waiting].min())  # threads that are behind come first
            one = self.kernel.code[now]
            self.on = (self.at == now) & ~waiting
            self.at[self.on] += 1
            if one.guard:
                self.on = self.on & (self.registers[one.guard[0]] == one.guard[1])
            if one.name == "bar":
                waiting |= self.on
            elif one.name == "bra":
                self.at[self.on] = self.kernel.labels[one.operands[0]]
            elif one.name == "ret":
                self.at[self.on] = ENDED
                waiting |= self.on
            elif self.on.any():
                try:
                    self._execute(one)
                except Exception as error:
                    error.add_note(f"in {one}")
                    raise

    def _execute(self, one):
        if one.name in PLAIN:
            d, *operands = one.operands
            plain = self._bfloat16 if one.types[-1].startswith("bf16") else self._numbers
            self.set(d, plain(one, operands))
        elif hasattr(self, f"_{one.name}"):
            getattr(self, f"_{one.name}")(one, *one.operands)
        else:
            raise NotImplementedError(str(one))

    # --- registers --------------------------------------------------------------------------------

    def get(self, operand, kind):
        """Return an operand as an array of a type; of a wider register its lower bits."""
        if isinstance(kind, str) and kind.endswith("x2"):
            whole = np.dtype(f"u{2 * dtype(kind).itemsize}")
            return self.get(operand, whole).view(dtype(kind)).reshape(-1, 2)
        kind = kind if isinstance(kind, np.dtype) else dtype(kind)
        if isinstance(operand, str):
            bits = self._register(operand)
            if bits.dtype == kind:
                return bits
            return bits.astype(f"u{kind.itemsize}").view(kind)
        if isinstance(operand, np.floating):
            return np.full(len(self.at), operand).view(kind)
        if kind.kind == "b":
            return np.full(len(self.at), bool(operand))
        bits = np.uint64(operand % 2**64).astype(f"u{kind.itemsize}")
        return np.full(len(self.at), bits).view(kind)

    def set(self, register, value):
        """Put values into a register of at least their width, in the threads that are on."""
        if register == "_":
            return
        kind = self.kernel.width(register)
        if value.ndim == 2:
            value = np.ascontiguousarray(value).view(f"u{2 * value.dtype.itemsize}")[:, 0]
        if kind.kind != "b":
            if value.dtype.kind == "f":
                value = value.view(f"u{value.dtype.itemsize}")
            if value.dtype.itemsize > kind.itemsize:
                raise ValueError(f"{value.dtype} into {kind}")
            value = value.astype(kind)  # extends by the sign of a signed type
        if self.on.all():
            self.registers[register] = value
            return
        self.registers[register] = np.where(self.on, value, self._register(register))

    def _register(self, name):
        """Return a register's bits: any, but no zeros, if the kernel has written none."""
        if name not in self.registers:
            self.registers[name] = np.full(len(self.at), 0xA5, self.kernel.width(name))
        return self.registers[name]

    def inputs(self, one, operands):
        return [self.get(operand, one.types[-1]) for operand in operands]

    # --- arithmetic -------------------------------------------------------------------------------

    def _numbers(self, one, operands):
        return PLAIN[one.name](*self.inputs(one, operands))

    def _bfloat16(self, one, operands):  # which NumPy lacks
        bits = [self.get(x, one.types[-1].removeprefix("b").replace("f", "b")) for x in operands]
        numbers = [(x.astype(np.uint32) << 16).view(np.float32) for x in bits]
        made = torch.from_numpy(PLAIN[one.name](*numbers)).bfloat16()
        return made.view(torch.int16).numpy().view(np.uint16)

    def _mul(self, one, d, a, b):
        self.set(d, self._product(one, a, b))

    def _mad(self, one, d, a, b, c):
        product = self._product(one, a, b)
        self.set(d, product + self.get(c, product.dtype))

    def _product(self, one, a, b):
        a, b = self.inputs(one, (a, b))
        if "wide" in one.modifiers:
            wider = f"{a.dtype.kind}{2 * a.dtype.itemsize}"
            return a.astype(wider) * b.astype(wider)
        if not {"lo", "rn"} & {*one.modifiers}:
            raise NotImplementedError(str(one))
        return a * b

    def _fma(self, one, d, *operands):
        a, b, c = (x.astype(np.longdouble) for x in self.inputs(one, operands))
        self.set(d, (a * b + c).astype(dtype(one.types[0])))

    def _shl(self, one, d, a, b):
        a, b = self.get(a, one.types[0]), self.get(b, "u32")
        width = 8 * a.dtype.itemsize
        self.set(d, np.where(b < width, a << (b % width).astype(a.dtype), 0).astype(a.dtype))

    def _shr(self, one, d, a, b):
        a, b = self.get(a, one.types[0]), self.get(b, "u32")
        width = 8 * a.dtype.itemsize
        beyond = a >> a.dtype.type(width - 1) if a.dtype.kind == "i" else np.zeros_like(a)
        self.set(d, np.where(b < width, a >> (b % width).astype(a.dtype), beyond))

    def _bfe(self, one, d, a, start, size):
        a, start, size = self.get(a, one.types[0]), int(start), int(size)
        up = a.dtype.type(8 * a.dtype.itemsize - size - start)
        self.set(d, a << up >> a.dtype.type(up + start))

    def _prmt(self, one, d, a, b, choice):
        pool = np.stack([self.get(x, "u32") for x in (a, b)], 1).view(np.uint8)
        choice = self.get(choice, "u32")
        made = np.zeros((len(pool), 4), np.uint8)
        for k in range(4):
            nibble = choice >> np.uint32(4 * k) & np.uint32(15)
            byte = pool[np.arange(len(pool)), nibble & 7]
            made[:, k] = np.where(nibble & 8, (byte.view(np.int8) >> 7).view(np.uint8), byte)
        self.set(d, made.view(np.uint32)[:, 0])

    def _setp(self, one, d, a, b):
        (how,) = one.modifiers
        a, b = self.inputs(one, (a, b))
        unordered = np.isnan(a) | np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
        if how in ("num", "nan"):
            made = unordered == (how == "nan")
        elif how in COMPARE:
            made = COMPARE[how](a, b) & ~unordered
        else:  # ltu, neu ...: also if unordered
            made = COMPARE[how[:-1]](a, b) | unordered
        registers = d.split("|")
        if len(registers) != made[0].size:  # of packed numbers, one for each
            raise NotImplementedError(str(one))
        for register, column in zip(registers, made.reshape(len(made), -1).T, strict=True):
            self.set(register, column)

    def _selp(self, one, d, a, b, p):
        a, b = self.inputs(one, (a, b))
        self.set(d, np.where(self.get(p, "pred"), a, b))

    def _cvt(self, one, d, *operands):
        to, of = one.types
        if to in ("f16x2", "bf16", "bf16x2"):
            half = torch.float16 if to == "f16x2" else torch.bfloat16
            # of two numbers the first one is the upper
            parts = [torch.from_numpy(self.get(x, of)).to(half) for x in reversed(operands)]
            bits = torch.stack(parts, 1).view(torch.int16).numpy().view(np.uint16)
            self.set(d, bits if to.endswith("x2") else bits[:, 0])
            return
        if to[0] != "f" and of[0] == "f":
            raise NotImplementedError(str(one))
        self.set(d, self.get(operands[0], of).astype(dtype(to)))

    def _mov(self, one, d, a):
        kind = dtype(one.types[0])
        if isinstance(d, list):
            part = np.dtype(f"u{kind.itemsize // len(d)}")
            parts = np.ascontiguousarray(self.get(a, kind)).view(part).reshape(-1, len(d))
            for k, register in enumerate(d):
                self.set(register, parts[:, k])
        elif isinstance(a, list):
            parts = [self.get(x, f"b{8 * kind.itemsize // len(a)}") for x in a]
            self.set(d, np.stack(parts, 1).view(f"u{kind.itemsize}")[:, 0])
        else:
            self.set(d, self.get(a, kind))

    # --- memory -----------------------------------------------------------------------------------

    def _memory(self, one, address):
        """Return the memory and the addresses there of the threads that are on."""
        base, offset = address
        is_shared = "shared" in one.modifiers
        if isinstance(base, int):
            found = np.full(len(self.at), base + offset)
        else:
            found = self.get(base, "u32" if is_shared else "u64").astype(np.int64) + offset
        if not is_shared:
            return self.memory, found[self.on]
        if ((found < 0) | (found >= self.kernel.shared))[self.on].any():
            raise ValueError("address outside of the program's shared memory")
        return self.shared, (found + self.offset)[self.on]

    def _read(self, one, address, kind, count):
        memory, addresses = self._memory(one, address)
        size = kind.itemsize * count
        made = np.zeros((len(self.at), size), np.uint8)
        rows = np.flatnonzero(self.on)
        for inside, array, first in memory.elements(addresses, np.dtype((np.void, size))):
            made[rows[inside]] = array[first[:, None] + np.arange(size)]
        return made.view(kind)

    def _write(self, one, address, values):
        memory, addresses = self._memory(one, address)
        data = np.ascontiguousarray(values).view(np.uint8)[self.on]
        for inside, array, first in memory.elements(addresses, np.dtype((np.void, data.shape[1]))):
            array[first[:, None] + np.arange(data.shape[1])] = data[inside]

    def _ld(self, one, d, address):
        kind = dtype(one.types[0])
        if "param" in one.modifiers:
            value = self.arguments[int(address[0].rpartition("_")[2])]
            self.set(d, self.get(value, kind))
            return
        registers = d if isinstance(d, list) else [d]
        values = self._read(one, address, kind, len(registers))
        for k, register in enumerate(registers):
            self.set(register, values[:, k])

    def _st(self, one, address, a):
        values = [self.get(x, one.types[0]) for x in (a if isinstance(a, list) else [a])]
        self._write(one, address, np.stack(values, 1))

    def _red(self, one, address, value):
        if one.modifiers[-1] != "add":
            raise NotImplementedError(str(one))
        kind = dtype(one.types[0])
        memory, addresses = self._memory(one, address)
        value = self.get(value, kind)[self.on]
        for inside, array, first in memory.elements(addresses, kind):
            start = -array.ctypes.data % kind.itemsize
            whole = array[start : start + (array.size - start) // kind.itemsize * kind.itemsize]
            np.add.at(whole.view(kind), (first - start) // kind.itemsize, value[inside])

    def _atom(self, one, d, address, value):
        self._red(one, address, value)  # what was there before depends on the order: not given

    # --- warps ------------------------------------------------------------------------------------

    def _warps(self, values):
        """Return what the threads of whole warps hold: (warps, 32)."""
        if (self.on.reshape(-1, WARP).any(1) != self.on.reshape(-1, WARP).all(1)).any():
            raise ValueError("a part of a warp exchanges values")
        return values.reshape(-1, WARP)

    def _shfl(self, one, d, a, b, clamp, members):
        values, lane = self._warps(self.get(a, "b32")), np.arange(WARP)
        if clamp != WARP - 1 or members not in (-1, 2**32 - 1):
            raise NotImplementedError(str(one))
        chosen = self._warps(self.get(b, "u32"))
        chosen = lane ^ chosen if "bfly" in one.modifiers else chosen % WARP
        if not {"bfly", "idx"} & {*one.modifiers}:
            raise NotImplementedError(str(one))
        self.set(d, np.take_along_axis(values, chosen.astype(np.int64), 1).reshape(-1))

    def _redux(self, one, d, a, members):
        values = self._warps(self.get(a, one.types[0]))
        made = {"add": np.sum, "max": np.max, "min": np.min}[one.modifiers[-1]](values, 1)
        self.set(d, np.repeat(made.astype(values.dtype), WARP))

    def _matrices(self, one, address):
        """Yield the address of either number that a thread holds of a warp's 8x8 matrices."""
        (count,) = (int(part[1:]) for part in one.modifiers if re.match(r"x\d", part))
        base, offset = address
        rows = self._warps(self.get(base, "u32").astype(np.int64) + offset)
        on = self.on.reshape(-1, WARP)[:, 0]
        thread = np.arange(WARP)
        for k in range(count):
            # Thread 8 k + i has the address of row i; thread t holds two numbers of row t // 4.
            if (rows[on, 8 * k : 8 * k + 8] % 16).any():
                raise NotImplementedError(f"misaligned: {one}")
            for half in range(2):
                row, column = thread // 4, 2 * (thread % 4) + half
                if "trans" in one.modifiers:
                    row, column = column, row
                self.registers["%matrix"] = rows[:, 8 * k + row].reshape(-1).astype(np.uint32)
                self.registers["%matrix"] += np.tile(2 * column, len(rows)).astype(np.uint32)
                yield k, half, ("%matrix", 0)

    def _stmatrix(self, one, address, a):
        for k, half, place in self._matrices(one, address):
            numbers = self.get(a[k], "b32").view(np.uint16).reshape(-1, 2)
            self._write(one, place, numbers[:, half : half + 1])

    def _ldmatrix(self, one, d, address):
        found = np.zeros((len(d), len(self.at), 2), np.uint16)
        for k, half, place in self._matrices(one, address):
            found[k, :, half] = self._read(one, place, np.dtype(np.uint16), 1)[:, 0]
        for register, numbers in zip(d, found, strict=True):
            self.set(register, numbers.view(np.uint32)[:, 0])
