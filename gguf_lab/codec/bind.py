"""Run a definition over another backend's primitives: the one trick of this codebase.

A definition such as ``Q4_K.scale`` calls ``u8``, ``f16``, ``where`` ... by name. `bind` makes
a copy of the function whose globals map those names to a backend's own primitives, does the same to
the helpers it calls, and hands every copy to the backend's just-in-time compiler. Nothing is parsed
and no source is generated: the code object is the definition's own.
"""

from __future__ import annotations

import hashlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["bind", "digest"]


def _helpers(fn: FunctionType, primitives: Mapping[str, Any]) -> dict[str, FunctionType]:
    """Return the functions that `fn` calls by global name and that are not primitives."""
    found = {name: fn.__globals__.get(name) for name in fn.__code__.co_names}
    return {
        name: f
        for name, f in found.items()
        if isinstance(f, FunctionType) and name not in primitives
    }


def bind(fn: Any, primitives: Mapping[str, Any], jit: Callable[[Any], Any] = lambda fn: fn) -> Any:
    """Return `fn` over other primitives.

    Parameters
    ----------
    fn : function
        A definition (``Format.scale``, ``Format.quant``), a helper, or a kernel that calls them.
    primitives : mapping of str to object
        What the global names of `fn` shall mean.
    jit : callable, optional
        Applied to the result and to each bound helper, innermost first.
    """
    bound = {name: bind(f, primitives, jit) for name, f in _helpers(fn, primitives).items()}
    environment = {**fn.__globals__, **primitives, **bound}
    return jit(FunctionType(fn.__code__, environment, fn.__name__, fn.__defaults__))


def digest(*functions: Any, primitives: Mapping[str, Any]) -> str:
    """Return a short hash of the functions' code, the numbers and all the helpers that they name.

    A compiler's disk cache watches one source file; the digest, put into a kernel's name, makes an
    edit of a definition in another file a different kernel.
    """
    state = hashlib.blake2b(digest_size=6)
    for fn in functions:
        code = fn.__code__
        named = {name: fn.__globals__.get(name) for name in code.co_names}
        numbers = {name: x for name, x in named.items() if isinstance(x, (int, float, np.number))}
        parts = (code.co_code, code.co_consts, code.co_names, fn.__defaults__, numbers)
        state.update(repr(parts).encode())
        for helper in _helpers(fn, primitives).values():
            state.update(digest(helper, primitives=primitives).encode())
    return state.hexdigest()
