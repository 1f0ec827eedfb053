"""Will it run: the memory that a model and a context need, and the bound on speed that follows."""

from __future__ import annotations

from .counting import KV_TYPES, Counter, memory
from .machines import MACHINES, Machine
from .result import Cells, DeviceMemory, Memory
from .weights import active_parameters

__all__ = [
    "KV_TYPES",
    "MACHINES",
    "Cells",
    "Counter",
    "DeviceMemory",
    "Machine",
    "Memory",
    "active_parameters",
    "memory",
]
